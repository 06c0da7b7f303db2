//! Founding a ledger, and taking up one that is on disk.

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use proto::attestation::{
    Attestation, CLOCK_SKEW_MS_MAX, ORDER_SKEW_MS_MAX, ShapeError, State, roster_index,
};
use proto::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use proto::entry::{Entry, EntryError, VerifiedEntry};
use proto::ids::{LeafIndex, Origin, RequestId, UnixMillis};
use proto::map::Crown;
use proto::roster::{Roster, SignedRoster};
use proto::tile::RightEdge;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::checking::Chain;
use super::company::Company;
use super::gathering::{BROUGHT_MAX, Gathering};
use super::ordering::votes_alone;
use super::recalling::Recalling;
use super::steps::grow_from;
use super::syncing::keep_durable;
use super::worker::Worker;
use super::{BatchObserver, CONTROL_MAX, Condition, QUEUE_ENTRIES_MAX, Sequencer, Shared};
use crate::clock;
use crate::ledger::{GenesisError, genesis};
use crate::snapshot::{ReadError, Snapshot, unreadable_map};
use crate::store::{RecoverError, Recovered, SignedLock, Store, StoreError, Writes};
use crate::witness::{Witness, WitnessError};

/// Why a ledger cannot be founded.
#[derive(Debug, Error)]
pub enum FoundError {
    /// The store has a ledger already.
    #[error("the folder has a ledger already")]
    Founded,
    /// The roster's entry cannot be signed.
    #[error("the first entry: {0}")]
    Entry(#[from] EntryError),
    /// The roster cannot open a ledger.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// The first state cannot be built.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the store has cannot be recovered.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// The first checkpoint cannot be signed.
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

/// Why a ledger on disk is not taken up. Nothing has been signed.
#[derive(Debug, Error)]
pub enum OpenError {
    /// There is none.
    #[error("the folder has no ledger yet")]
    Empty,
    /// The roots that were recomputed are not those that were signed, or a byte is missing.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// What is stored cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The place of the engine, or the lock, cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The entry that the map names as roster is not an entry.
    #[error("the roster in force: {0}")]
    RosterEntry(#[from] EntryError),
    /// The entry that the map names as roster does not have the shape of one.
    #[error("the roster in force: {0}")]
    RosterShape(#[from] ShapeError),
    /// The entry that the map names as roster is of another kind.
    #[error("the ledger's map names no roster in force")]
    NoRoster,
    /// The stored checkpoint does not verify.
    #[error("the stored checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The key is not one of the roster's.
    #[error("this node's key is not that of member {0} in the roster in force")]
    NotAMember(proto::ids::MemberName),
    /// The roster in force lists the member with the key that was to take over.
    #[error("the new key of member {0} is in the roster in force")]
    KeyReplaced(proto::ids::MemberName),
}

/// Makes entry 0 out of the first roster and commits it.
///
/// # Errors
/// [`FoundError`]; nothing is then in the store.
pub fn found(
    store: &Store,
    witness: &Witness,
    roster: &SignedRoster,
    origin: &Origin,
    random: [u8; 10],
) -> Result<(), FoundError> {
    if store.recover()?.is_some() {
        return Err(FoundError::Founded);
    }
    let now = clock::now();
    let entry = first_entry(witness, roster, origin, RequestId::new(now, random))?;
    let commit = genesis(&entry)?;
    let roster = commit.roster.clone().ok_or(GenesisError::NotARoster)?;
    let grown = grow_from(RightEdge::new(), &Crown::new(), roster, &commit, store)?;
    let checkpoint = Checkpoint {
        origin: origin.clone(),
        size: grown.edge.size(),
        log_root: grown.edge.root(),
        map_root: grown.map.root(),
    };
    let checkpoint = witness.cosign(checkpoint, now.seconds())?;
    store.commit(&Writes {
        first: LeafIndex::new(0),
        entries: &commit.entries,
        tiles: &grown.tiles,
        map: &grown.map,
        answers: &commit.answers,
        payloads: &[],
        erased: &[],
        applied: None,
        checkpoint: &checkpoint,
        header: None,
    })?;
    Ok(())
}

fn first_entry(
    witness: &Witness,
    roster: &SignedRoster,
    origin: &Origin,
    request_id: RequestId,
) -> Result<VerifiedEntry, EntryError> {
    let attestation = Attestation::Roster(roster.clone());
    let header = attestation.header(witness.secret().public(), request_id);
    Entry::sign(&header, origin, witness.secret())
}

/// What is known, at a start, of batches that the engine's log has and the ledger has not.
#[derive(Debug, Default)]
pub struct Unapplied {
    /// What this member has signed last, or will: of these batches too where it votes alone, since
    /// then they stay ordered.
    pub lock: Option<SignedLock>,
    /// What certifies the state before each of them; nobody has checked it yet.
    pub certificates: Vec<SignedCheckpoint>,
}

impl Unapplied {
    /// Takes a lock that is on a larger size than the one held.
    pub fn lock_newer(&mut self, lock: SignedLock) {
        if self.lock.is_none_or(|held| held.size < lock.size) {
            self.lock = Some(lock);
        }
    }

    /// Whether there are as many certificates as are kept.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.certificates.len() >= BROUGHT_MAX
    }
}

/// Takes up a ledger: recomputes its roots from what is on disk, checks them against what was
/// signed, and only then starts the thread that may sign more. Nothing is appended before it is
/// [given its engine](Sequencer::attach). `lock` is what this node had signed last.
///
/// # Panics
/// Outside of a runtime's context.
///
/// # Errors
/// [`OpenError`]; nothing has then been signed or written.
pub fn open(
    store: &Store,
    witness: Witness,
    lock: Option<SignedLock>,
    observer: BatchObserver,
) -> Result<Sequencer, OpenError> {
    let recovered = store.recover()?.ok_or(OpenError::Empty)?;
    let snapshot = Arc::new(first_snapshot(store, recovered)?);
    let unapplied = Unapplied {
        lock,
        ..Unapplied::default()
    };
    take_up(store, witness, snapshot, unapplied, observer)
}

/// Starts the thread over a state that was recovered, or brought up by pages.
pub(super) fn take_up(
    store: &Store,
    mut witness: Witness,
    snapshot: Arc<Snapshot>,
    unapplied: Unapplied,
    observer: BatchObserver,
) -> Result<Sequencer, OpenError> {
    let roster = snapshot.roster();
    let own = roster.member(witness.name());
    if own.is_none_or(|own| own.public_key != witness.secret().public()) {
        return Err(OpenError::NotAMember(witness.name().clone()));
    }
    let vouched_at = snapshot.checkpoint().verify(roster)?.time();
    witness.not_before(vouched_at);
    witness.settle(snapshot.checkpoint().claimed());
    if let Some(lock) = unapplied.lock {
        witness.settle_lock(&lock.checkpoint(roster.origin()));
    }
    let header = store.last_header()?;
    // The founder's first entry came without a batch.
    let came_by_pages = header.as_ref().map_or(snapshot.size().get() > 1, |it| {
        it.claimed().checkpoint(roster.origin()) != *snapshot.checkpoint().claimed()
    });
    let chain = match header {
        Some(header) => Chain::after(header.claimed()),
        None if votes_alone(roster, witness.name()) => begun_anew(&snapshot)?,
        None => Chain::default(),
    };
    let begun = Begun {
        snapshot,
        chain,
        came_by_pages,
        certificates: unapplied.certificates,
    };
    Ok(start(store.clone(), witness, observer, begun))
}

/// The chain of a member that votes alone, over a ledger that came back without its headers. Nobody
/// else knows the moment of the last batch; it is not before the newest entry's by more than the
/// clock skew, so neither is the next one.
fn begun_anew(snapshot: &Snapshot) -> Result<Chain, ReadError> {
    let mut newest = UnixMillis::new(0);
    // Entry 0 was decided in no batch.
    for index in (1..snapshot.size().get()).rev() {
        let Some(entry) = snapshot.entry(LeafIndex::new(index))? else {
            break;
        };
        let issued_at = entry.header().issued_at;
        newest = newest.max(issued_at);
        // What stands before an entry was issued at most so much after it.
        if issued_at.get().saturating_add(ORDER_SKEW_MS_MAX) < newest.get() {
            break;
        }
    }
    Ok(Chain {
        at: UnixMillis::new(newest.get().saturating_sub(CLOCK_SKEW_MS_MAX)),
        ..Chain::default()
    })
}

/// The state that was on disk, with the roster that its map says is in force. That this roster
/// followed from the ones before was decided when it was appended.
pub(super) fn first_snapshot(store: &Store, recovered: Recovered) -> Result<Snapshot, OpenError> {
    let Recovered {
        checkpoint,
        edge,
        crown,
    } = recovered;
    let roster = roster_in_force(store, &crown)?;
    Ok(Snapshot::new(
        checkpoint,
        edge,
        crown,
        roster,
        store.clone(),
    ))
}

/// Recovery has checked every bucket and entry against the roots, so this only reads.
fn roster_in_force(store: &Store, crown: &Crown) -> Result<Arc<Roster>, OpenError> {
    let value = crown.read(&roster_index(), store).map_err(unreadable_map)?;
    let Some(Ok(State::Roster { by })) = value.map(|value| State::from_bytes(value.as_bytes()))
    else {
        return Err(OpenError::NoRoster);
    };
    let bytes = store.entry_bytes(by).map_err(ReadError::from)?;
    let entry = Entry::parse(&bytes)?;
    match Attestation::read(entry.header())? {
        Attestation::Roster(signed) => Ok(Arc::new(signed.admitted().clone())),
        _ => Err(OpenError::NoRoster),
    }
}

/// From where a thread goes on.
struct Begun {
    snapshot: Arc<Snapshot>,
    chain: Chain,
    came_by_pages: bool,
    certificates: Vec<SignedCheckpoint>,
}

fn start(store: Store, witness: Witness, observer: BatchObserver, begun: Begun) -> Sequencer {
    let Begun {
        snapshot,
        chain,
        came_by_pages,
        certificates,
    } = begun;
    let (inbox, appends) = mpsc::channel(QUEUE_ENTRIES_MAX);
    let (control, controls) = mpsc::channel(CONTROL_MAX);
    let (cosigned, own_cosignature) = watch::channel(None);
    let mut gathering = Gathering::default();
    gathering.add(snapshot.checkpoint(), snapshot.roster());
    for certificate in certificates {
        gathering.bring(certificate);
    }
    let recalling = Recalling::begin(witness.name(), snapshot.roster());
    let shared = Arc::new(Shared::new(snapshot, Condition::Following));
    shared.recalling.send_replace(recalling.is_some());
    keep_durable(store.clone(), &shared);
    let mut worker = Worker {
        inbox: appends,
        control: controls,
        own: control.downgrade(),
        shared: shared.clone(),
        orderer: None,
        leadership: None,
        witness,
        store,
        observer,
        came_by_pages,
        chain,
        cosigned,
        gathering,
        recalling,
        flight: None,
        checked: None,
        sound: None,
        asked: None,
        pending: None,
        awaited: None,
        expired_at: Instant::now(),
        renewed_at: Instant::now(),
        catching_up: None,
        company: Company::none(),
        stops_at: None,
    };
    // What is on disk may be hours old: readers get a fresh cosignature from the start.
    worker.renew();
    let thread = set_to_work(worker);
    Sequencer {
        inbox,
        control,
        cosigned: own_cosignature,
        shared,
        thread: Arc::new(Mutex::new(thread)),
    }
}

/// Hashes, signatures and syncs: not on a thread that answers calls. A simulation has one thread.
fn set_to_work(worker: Worker) -> Option<JoinHandle<()>> {
    let runtime = Handle::current();
    #[cfg(test)]
    if crate::simulation::is_on() {
        tokio::spawn(worker.run());
        return None;
    }
    Some(std::thread::spawn(move || runtime.block_on(worker.run())))
}
