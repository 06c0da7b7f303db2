//! The steps of a batch at a member, one after the other and each timed: what a machine is measured
//! by before it serves. No engine orders, and nobody else cosigns; what is made, checked and synced
//! is what a running node makes, checks and syncs, by the same functions.

use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::batch::content_hash;
use proto::checkpoint::CheckpointError;
use proto::entry::VerifiedEntry;
use proto::seal::{Salt, SealedPayload};
use proto::wire::WireError;
use proto::wire::batch::{BatchRecord, record_bytes};
use thiserror::Error;

use super::OpenError;
use super::checking::{BatchFault, Chain, Prepared, check};
use super::opening::first_snapshot;
use super::steps::{Placed, commit_batch, grow, write_salts};
use crate::clock;
use crate::engine::{self, Applied, CommittedLeaderId, EngineId, LogId, Payload, Record};
use crate::ledger::{Batch, Outcome, decide};
use crate::snapshot::{ReadError, Snapshot};
use crate::store::{SignedLock, Store, StoreError};
use crate::witness::{Witness, WitnessError};

/// The one term: nobody else leads.
const TERM: u64 = 1;
/// After so many batches their records are purged, as an engine does with what was applied.
const PURGED_AFTER: u64 = 16;

/// An entry as its issuer signed it, and its payload.
pub type Append = (VerifiedEntry, Option<(SealedPayload, Salt)>);

/// How long each step of one batch took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepTimes {
    /// Deciding, growing log and map, signing the header: what the leader does.
    pub prepared: Duration,
    /// Checking all of that again, with the issuers' signatures: what every other member does.
    pub checked: Duration,
    /// The record durable in the engine's log.
    pub recorded: Duration,
    /// The salts durable in the vault. A running node does this beside the record.
    pub salted: Duration,
    /// What is to be signed durable.
    pub locked: Duration,
    /// Cosigned, and durable in the ledger. A running node syncs several batches together, beside
    /// those that come after.
    pub committed: Duration,
    /// Bytes of the record.
    pub bytes: usize,
}

/// Why a batch did not go its way.
#[derive(Debug, Error)]
pub enum TrialError {
    /// The ledger cannot be taken up.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The own record cannot be read.
    #[error("the record of the batch: {0}")]
    Record(#[from] WireError),
    /// The batch does not hold when it is checked.
    #[error(transparent)]
    Check(#[from] BatchFault),
    /// The state cannot be cosigned.
    #[error(transparent)]
    Witness(#[from] WitnessError),
    /// The own cosignature does not verify.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A rule refuses an entry.
    #[error("an entry of the batch was refused")]
    Refused,
}

/// A ledger of one member that takes batches, one at a time. Only for one that is thrown away: the
/// records name an engine that does not exist.
#[derive(Debug)]
pub struct Trial {
    store: Store,
    witness: Witness,
    snapshot: Snapshot,
    chain: Chain,
    index: u64,
}

impl Trial {
    /// Takes up a ledger that was just founded.
    ///
    /// # Errors
    /// [`TrialError::Open`], [`TrialError::Store`].
    pub fn open(store: Store, mut witness: Witness) -> Result<Self, TrialError> {
        let recovered = store.recover().map_err(OpenError::from)?;
        let snapshot = first_snapshot(&store, recovered.ok_or(OpenError::Empty)?)?;
        let _ = store.begin_engine(EngineId::new(TERM))?;
        witness.settle(snapshot.checkpoint().claimed());
        Ok(Self {
            store,
            witness,
            snapshot,
            chain: Chain::default(),
            index: 0,
        })
    }

    /// Takes a batch all the way to the disk.
    ///
    /// # Errors
    /// [`TrialError`]; the ledger takes nothing more after it.
    pub fn batch(&mut self, appends: &[Append]) -> Result<StepTimes, TrialError> {
        let mut watch = Lap(Instant::now());
        let record = self.propose(appends)?;
        let prepared = watch.lap();
        let leader = self.witness.secret().public();
        let read = BatchRecord::from_bytes(&record)?;
        let held = check(read, &leader, &self.chain, &self.snapshot, &self.store)?;
        let checked = watch.lap();
        let bytes = record.len();
        let place = self.append(record)?;
        let recorded = watch.lap();
        let first = self.snapshot.size().next_index();
        write_salts(&self.store, first, &held)?;
        let salted = watch.lap();
        let checkpoint = held.checkpoint(self.snapshot.roster().origin());
        self.store.lock_signature(&SignedLock::of(&checkpoint))?;
        let locked = watch.lap();
        self.commit(held, place)?;
        let committed = watch.lap();
        if self.index.is_multiple_of(PURGED_AFTER) {
            self.store.purge_records(place)?;
        }
        Ok(StepTimes {
            prepared,
            checked,
            recorded,
            salted,
            locked,
            committed,
            bytes,
        })
    }

    /// The record that a leader hands to its engine.
    fn propose(&self, appends: &[Append]) -> Result<Bytes, TrialError> {
        let before = &self.snapshot;
        let at = self.chain.at.max(clock::now());
        let entries = appends.iter().map(|(entry, _)| entry.clone()).collect();
        let content = content_hash(appends.iter().map(|(entry, _)| &**entry));
        let (commit, verdicts) = decide(before, &Batch { at, entries })?;
        let is_in = |outcome| matches!(outcome, Outcome::Appended(_));
        if !verdicts.iter().all(|verdict| is_in(verdict.outcome)) {
            return Err(TrialError::Refused);
        }
        let grown = grow(before, &commit, &self.store)?;
        let header = self.chain.next(TERM, at, content, &grown);
        let header = header.sign(before.roster().origin(), self.witness.secret());
        let entries = appends
            .iter()
            .map(|(entry, payload)| (&**entry, payload.as_ref()));
        let leader = self.witness.name();
        Ok(record_bytes(&header, leader, entries, before.checkpoint_text()).into())
    }

    /// Makes a record durable in the engine's log.
    fn append(&mut self, record: Bytes) -> Result<LogId, TrialError> {
        self.index += 1;
        let log_id = LogId::new(CommittedLeaderId::new(TERM), self.index);
        self.store.append_records(&[engine::Entry {
            log_id,
            payload: Payload::Normal(Record::new(record)),
        }])?;
        Ok(log_id)
    }

    /// Cosigns what was locked, and makes it durable in the ledger.
    fn commit(&mut self, held: Prepared, place: LogId) -> Result<(), TrialError> {
        let roster = self.snapshot.roster();
        let checkpoint = held.checkpoint(roster.origin());
        let now = clock::now().seconds();
        let certificate = self
            .witness
            .cosign(checkpoint.clone(), now)?
            .verify(roster)?;
        let payloads = held.payloads.iter();
        let payloads: Vec<_> = payloads
            .map(|(leaf, sealed, salt)| (*leaf, sealed, salt))
            .collect();
        let applied = Applied {
            log_id: Some(place),
            ..Applied::default()
        };
        let placed = Placed {
            applied: &applied,
            header: &held.header,
            alone: true,
        };
        commit_batch(
            &self.store,
            self.snapshot.size().next_index(),
            &held.commit,
            &held.grown,
            &payloads,
            certificate.signed(),
            Some(&placed),
        )?;
        self.store.sync()?;
        self.witness.settle_newer(&checkpoint);
        self.chain = Chain::after(held.header.claimed());
        let (edge, crown) = (held.grown.edge, held.grown.map.crown().clone());
        let store = self.store.clone();
        self.snapshot = Snapshot::certified(&certificate, edge, crown, held.grown.roster, store);
        Ok(())
    }
}

/// A watch that starts anew when it is read.
struct Lap(Instant);

impl Lap {
    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let took = now.duration_since(self.0);
        self.0 = now;
        took
    }
}
