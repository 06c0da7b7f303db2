//! The steps of a batch, in their order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::hash::Hash;
use proto::ids::{LeafIndex, UnixMillis};
use proto::map::{Crown, MapIndex, MapUpdate, MapValue};
use proto::roster::Roster;
use proto::seal::{Salt, SealedPayload};
use proto::tile::{RightEdge, Tile, TileId};
use thiserror::Error;

use super::{
    BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, BatchObserver, BatchReport, Condition, Decided, LINGER,
    Message, RENEWAL, Shared, StopReason, Unavailable, Waiting,
};
use crate::clock;
use crate::ledger::{Commit, Outcome, Verdict, decide};
use crate::order::Orderer;
use crate::snapshot::{ReadError, Snapshot, unreadable_map};
use crate::store::{Store, StoreError, Writes};
use crate::witness::{Witness, WitnessError};

/// How often a stopped sequencer looks whether the disk has room again.
const ROOM_CHECK: Duration = Duration::from_secs(1);
/// How long an answer is kept. A repeat can only come while clocks still admit its entry (two
/// minutes), or from a till that was off for a night.
const ANSWERS_KEPT_MS: u64 = 48 * 3600 * 1000;
/// How often old answers are looked for, and how many are forgotten at a time.
pub(super) const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
const EXPIRED_AT_A_TIME: usize = 2048;

/// What the thread owns.
pub(super) struct Worker {
    pub(super) inbox: Receiver<Message>,
    pub(super) shared: Arc<Shared>,
    pub(super) order: Box<dyn Orderer>,
    pub(super) witness: Witness,
    pub(super) store: Store,
    pub(super) observer: BatchObserver,
    pub(super) expired_at: Instant,
    pub(super) renewed_at: Instant,
    /// How many entries the last batch had: as many are expected again.
    pub(super) company: usize,
}

/// What a batch makes of log and map, in memory.
pub(super) struct Grown {
    pub(super) edge: RightEdge,
    pub(super) tiles: Vec<(TileId, Arc<Tile>)>,
    pub(super) map: MapUpdate,
    pub(super) roster: Arc<Roster>,
}

/// Why a batch was thrown away before it was durable.
#[derive(Debug, Error)]
enum Failure {
    #[error("free space is below the watermark")]
    NoRoom,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

impl Failure {
    const fn stop_reason(&self) -> StopReason {
        match self {
            Self::NoRoom | Self::Store(StoreError::DiskFull { .. }) => StopReason::DiskFull,
            Self::Store(_) => StopReason::SyncFailed,
            Self::Read(_) => StopReason::Corrupt,
            Self::Witness(_) => StopReason::RootMismatch,
        }
    }
}

impl Worker {
    /// Works until it is told to stop.
    pub(super) fn run(mut self) {
        loop {
            self.forget_old_answers();
            match self.collect() {
                Collected::Batch(waiting) => self.carry_through(waiting),
                Collected::Nothing => self.idle(),
                Collected::Stop(waiting) => {
                    self.carry_through(waiting);
                    self.shared
                        .enter(Condition::Stopped(StopReason::ShuttingDown));
                    return;
                }
            }
        }
    }

    /// Takes what is waiting: whatever came in while the last batch was on its way, and if that is
    /// less than the last batch had, what comes within [`LINGER`].
    fn collect(&self) -> Collected {
        let patience = match self.shared.condition() {
            Condition::Writing | Condition::Following => RENEWAL,
            Condition::Stopped(_) => ROOM_CHECK,
        };
        let mut next = match self.inbox.recv_timeout(patience) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => return Collected::Nothing,
            Err(RecvTimeoutError::Disconnected) => return Collected::Stop(Vec::new()),
        };
        let lingers_until = Instant::now() + LINGER;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        loop {
            match next {
                Message::Append(waiting) => {
                    bytes += waiting.entry.bytes().len();
                    batch.push(*waiting);
                }
                Message::Stop => return Collected::Stop(batch),
            }
            if batch.len() >= BATCH_ENTRIES_MAX || bytes >= BATCH_BYTES_MAX {
                return Collected::Batch(batch);
            }
            let received = match batch.len() < self.company {
                true => self.receive_until(lingers_until),
                false => self.inbox.try_recv().ok(),
            };
            match received {
                Some(message) => next = message,
                None => return Collected::Batch(batch),
            }
        }
    }

    fn receive_until(&self, moment: Instant) -> Option<Message> {
        let patience = moment.saturating_duration_since(Instant::now());
        self.inbox.recv_timeout(patience).ok()
    }

    /// Carries a batch through all its steps, or answers all of it with why not.
    fn carry_through(&mut self, waiting: Vec<Waiting>) {
        if waiting.is_empty() {
            return;
        }
        if let Condition::Stopped(reason) = self.shared.condition() {
            return refuse_all(waiting, reason);
        }
        match self.batch(&waiting) {
            Ok((verdicts, snapshot)) => answer(waiting, &verdicts, &snapshot),
            Err(failure) => {
                let reason = failure.stop_reason();
                tracing::error!(reason = reason.as_str(), %failure, "writes are stopped");
                self.shared.enter(Condition::Stopped(reason));
                refuse_all(waiting, reason);
            }
        }
    }

    fn batch(&mut self, waiting: &[Waiting]) -> Result<(Vec<Verdict>, Arc<Snapshot>), Failure> {
        let started = Instant::now();
        self.company = waiting.len();
        if !self.store.has_room() {
            return Err(Failure::NoRoom);
        }
        let before = self.shared.snapshot();
        let entries = waiting
            .iter()
            .map(|waiting| waiting.entry.clone())
            .collect();
        let batch = self.order.order(entries, clock::now());
        let (commit, verdicts) = decide(&*before, &batch)?;
        let grown = grow(&before, &commit, &self.store)?;
        let checkpoint = self.cosign(&before, &grown)?;
        let prepared_in = started.elapsed();
        let payloads = payloads(waiting, &verdicts);
        commit_batch(
            &self.store,
            before.size().next_index(),
            &commit,
            &grown,
            &payloads,
            &checkpoint,
        )?;
        // From here the batch is in the ledger, whatever happens to this process.
        self.witness.settle(checkpoint.claimed());
        let committed_in = started.elapsed().saturating_sub(prepared_in);
        let snapshot = self.publish(grown, checkpoint);
        (self.observer)(&BatchReport {
            decided: waiting.len(),
            appended: commit.entries.len(),
            bytes: commit.entries.iter().map(|entry| entry.bytes().len()).sum(),
            prepared_in,
            committed_in,
        });
        Ok((verdicts, snapshot))
    }

    /// Cosigns the new roots. The signature does not leave before it is durable.
    fn cosign(&self, before: &Snapshot, grown: &Grown) -> Result<SignedCheckpoint, Failure> {
        let checkpoint = Checkpoint {
            origin: before.roster().origin().clone(),
            size: grown.edge.size(),
            log_root: grown.edge.root(),
            map_root: grown.map.root(),
        };
        Ok(self.witness.cosign(checkpoint, clock::now().seconds())?)
    }

    fn publish(&self, grown: Grown, checkpoint: SignedCheckpoint) -> Arc<Snapshot> {
        let Grown {
            edge, map, roster, ..
        } = grown;
        let crown = map.crown().clone();
        let snapshot = Snapshot::new(checkpoint, edge, crown, roster, self.store.clone());
        let snapshot = Arc::new(snapshot);
        self.shared.publish(snapshot.clone());
        snapshot
    }

    /// Nothing came in: renews the cosignature, and looks whether the disk has room again.
    fn idle(&mut self) {
        if self.renewed_at.elapsed() >= RENEWAL {
            self.renew();
        }
        let stopped_for_room = Condition::Stopped(StopReason::DiskFull);
        if self.shared.condition() == stopped_for_room && self.store.has_room() {
            tracing::info!("the disk has room again: writes resume");
            self.shared.enter(Condition::Writing);
        }
    }

    /// Forgets answers that nobody can ask for again, a few at a time.
    fn forget_old_answers(&mut self) {
        if self.expired_at.elapsed() < EXPIRY_INTERVAL {
            return;
        }
        self.expired_at = Instant::now();
        expire_answers(&self.store);
    }

    /// Cosigns the same roots at a later time, so that reads stay fresh while nothing is written,
    /// or nothing can be. The roots are durable already, so nothing is written here.
    pub(super) fn renew(&mut self) {
        self.renewed_at = Instant::now();
        let snapshot = self.shared.snapshot();
        let same = snapshot.checkpoint().claimed().clone();
        match self.witness.cosign(same, clock::now().seconds()) {
            Ok(checkpoint) => self.shared.publish(Arc::new(snapshot.renewed(checkpoint))),
            Err(error) => {
                tracing::error!(%error, "the published checkpoint is not signed again");
                self.shared
                    .enter(Condition::Stopped(StopReason::RootMismatch));
            }
        }
    }
}

/// Forgets some of the answers that nobody can ask for again.
pub(super) fn expire_answers(store: &Store) {
    let before = UnixMillis::new(clock::now().get().saturating_sub(ANSWERS_KEPT_MS));
    if let Err(error) = store.expire_answers(before, EXPIRED_AT_A_TIME) {
        tracing::warn!(%error, "old answers are kept for now");
    }
}

enum Collected {
    Batch(Vec<Waiting>),
    Nothing,
    Stop(Vec<Waiting>),
}

/// Grows log and map by what was decided; touches nothing that is published or stored.
pub(super) fn grow(before: &Snapshot, commit: &Commit, store: &Store) -> Result<Grown, ReadError> {
    let roster = commit
        .roster
        .as_ref()
        .unwrap_or_else(|| before.roster())
        .clone();
    grow_from(before.edge().clone(), before.crown(), roster, commit, store)
}

pub(super) fn grow_from(
    mut edge: RightEdge,
    crown: &Crown,
    roster: Arc<Roster>,
    commit: &Commit,
    store: &Store,
) -> Result<Grown, ReadError> {
    let leaves: Vec<Hash> = commit
        .entries
        .iter()
        .map(|entry| entry.leaf_hash())
        .collect();
    let tiles = edge.append_all(&leaves);
    let map = crown
        .update(&map_changes(commit)?, store)
        .map_err(unreadable_map)?;
    Ok(Grown {
        edge,
        tiles,
        map,
        roster,
    })
}

fn map_changes(commit: &Commit) -> Result<BTreeMap<MapIndex, Option<MapValue>>, ReadError> {
    let value = |bytes: &[u8]| {
        MapValue::from_bytes(bytes).map_err(|_| ReadError::Corrupt { what: "map value" })
    };
    let changes = commit.map.iter();
    changes
        .map(|(index, state)| {
            let value = state.map(|state| value(&state.to_bytes())).transpose()?;
            Ok((*index, value))
        })
        .collect()
}

/// The payloads of the entries that this batch appended.
fn payloads<'a>(
    waiting: &'a [Waiting],
    verdicts: &[Verdict],
) -> Vec<(LeafIndex, &'a SealedPayload, &'a Salt)> {
    let pairs = waiting.iter().zip(verdicts);
    pairs
        .filter_map(|(waiting, verdict)| match (verdict, &waiting.payload) {
            (
                Verdict {
                    outcome: Outcome::Appended(leaf),
                    repeated: false,
                },
                Some(payload),
            ) => Some((*leaf, &payload.0, &payload.1)),
            _ => None,
        })
        .collect()
}

pub(super) fn commit_batch(
    store: &Store,
    first: LeafIndex,
    commit: &Commit,
    grown: &Grown,
    payloads: &[(LeafIndex, &SealedPayload, &Salt)],
    checkpoint: &SignedCheckpoint,
) -> Result<(), StoreError> {
    store.commit(&Writes {
        first,
        entries: &commit.entries,
        tiles: &grown.tiles,
        map: &grown.map,
        answers: &commit.answers,
        payloads,
        erased: &commit.erased,
        applied: None,
        checkpoint,
    })
}

/// Answers each waiter. One that has gone away will ask again.
fn answer(waiting: Vec<Waiting>, verdicts: &[Verdict], snapshot: &Arc<Snapshot>) {
    for (waiting, verdict) in waiting.into_iter().zip(verdicts) {
        let decided = Decided {
            verdict: *verdict,
            snapshot: snapshot.clone(),
        };
        let _ = waiting.answer.send(Ok(decided));
    }
}

fn refuse_all(waiting: Vec<Waiting>, reason: StopReason) {
    for waiting in waiting {
        let _ = waiting.answer.send(Err(Unavailable::Stopped(reason)));
    }
}
