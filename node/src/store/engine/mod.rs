//! What the ordering engine needs to be durable, in the one tree of the ledger: its log and vote,
//! how far the log was applied, and what this node signed last.
//!
//! | What | Durable |
//! |---|---|
//! | vote, cosign lock, snapshot | when the call returns |
//! | records appended | when the call returns; the caller reports it to the engine only then |
//! | records cut off at the end | when the call returns |
//! | how far was applied | with the ledger's commit that it came with; alone, with the next sync |
//! | records purged | with the next sync: what a power cut brings back is purged again |
//!
//! What is purged was applied, so it lies in the ledger too: there is no second copy for long.
//!
//! Each value has its check, and a count outside the database knows how often the state was
//! written. A flipped bit or a torn end is an error, never another record or an older vote. Such a
//! node is rebuilt from its peers, under a new engine id.
//!
//! A thief with these records has what their batches have. What is purged stays in the file until
//! the database writes over it, so a salt must not be in a record: it could not be erased.

mod parts;
mod state;

use sled::Batch;

pub(super) use self::state::EngineMark;
pub use self::state::{RecordSpan, SignedLock};

use self::parts::Records;
use self::state::{State, checked, unchecked};
use super::{Store, StoreError, Stored, keys, lock};
use crate::engine::record::{applied_from_bytes, applied_to_bytes};
use crate::engine::{Applied, EngineId, Entry, LogId, Vote};

/// Most bytes of records in one batch: a batch keeps readers of the whole ledger waiting.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Most keys that one batch of a purge removes, for the same reason.
const PURGED_KEYS_MAX: usize = 1024;
/// Bytes of records that are read at a time when a node starts.
const PAGE_BYTES: usize = 1024 * 1024;

/// Whether, and from what, the engine's state may be written.
#[derive(Debug, Default)]
pub(super) enum EngineWriter {
    /// Nobody has read it yet.
    #[default]
    NotBegun,
    /// It is this.
    Ready(Box<State>),
    /// A write or sync failed.
    Poisoned,
}

impl EngineWriter {
    fn ready(&self) -> Result<State, StoreError> {
        match self {
            Self::Ready(state) => Ok(State::clone(state)),
            Self::NotBegun => Err(StoreError::EngineNotBegun),
            Self::Poisoned => Err(StoreError::Poisoned),
        }
    }
}

/// What the engine goes on from after a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineState {
    /// The life of this data folder.
    pub id: EngineId,
    /// The newest vote.
    pub vote: Option<Vote>,
    /// Up to where records were purged.
    pub purged: Option<LogId>,
    /// The records that are in the log.
    pub present: Option<RecordSpan>,
    /// What this node signed last.
    pub lock: Option<SignedLock>,
    /// How far the log was applied to the durable ledger.
    pub applied: Applied,
    /// Up to where the newest snapshot reaches.
    pub snapshot: Option<Applied>,
}

/// Whether the mark outside the database is synced too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// With votes and snapshots, which are rare and must never be forgotten.
    Synced,
    /// Later, by the system: a record is not worth a second sync.
    Written,
}

impl Store {
    /// Reads and checks all that the engine has stored; in a data folder that has nothing of an
    /// engine, begins a life under the given id. Only after this is anything of it written.
    ///
    /// Cost: reads the whole log of the engine, which is short as long as it is purged.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] and [`StoreError::EngineShortened`]: this node is rebuilt from its
    /// peers. [`StoreError::DiskFull`] or [`StoreError::SyncFailed`] when a life cannot begin.
    pub fn begin_engine(&self, fresh: EngineId) -> Result<EngineState, StoreError> {
        let mut writer = lock(&self.0.engine);
        if matches!(*writer, EngineWriter::Poisoned) {
            return Err(StoreError::Poisoned);
        }
        let state = match self.stored_state()? {
            Some(state) => state,
            None => self.begin_life(&mut writer, fresh)?,
        };
        self.check_records(&state)?;
        let applied = self.applied()?.unwrap_or_default();
        let snapshot = self.engine_snapshot()?;
        if snapshot.is_some() != state.has_snapshot {
            let what = Stored::EngineSnapshot;
            return Err(StoreError::Corrupt { what });
        }
        *writer = EngineWriter::Ready(Box::new(state.clone()));
        self.purge_leftovers(&state)?;
        let State {
            id,
            vote,
            purged,
            present,
            lock,
            ..
        } = state;
        Ok(EngineState {
            id,
            vote,
            purged,
            present,
            lock,
            applied,
            snapshot,
        })
    }

    /// Makes a vote durable.
    ///
    /// # Errors
    /// Those of [`append_records`](Self::append_records).
    pub fn save_vote(&self, vote: &Vote) -> Result<(), StoreError> {
        self.change_state(Mark::Synced, |state, _| {
            state.vote = Some(*vote);
            Ok(())
        })
    }

    /// Makes records durable at the end of the engine's log, all with one sync.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`], [`StoreError::RecordOutOfPlace`] and [`StoreError::Record`]
    /// before anything is written. [`StoreError::SyncFailed`] leaves open what is durable; after
    /// it every write is refused with [`StoreError::Poisoned`], of ledger and engine alike.
    pub fn append_records(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut writer = lock(&self.0.engine);
        let mut state = writer.ready()?;
        self.may_write()?;
        let mut batches = Vec::new();
        let (mut batch, mut bytes) = (Batch::default(), 0);
        for entry in entries {
            let got = entry.log_id.index;
            let want = state.next_index().unwrap_or(got);
            if got != want {
                return Err(StoreError::RecordOutOfPlace { got, want });
            }
            bytes += parts::insert(&mut batch, entry)?;
            let first = state.present.map_or(got, |span| span.first);
            let last = entry.log_id;
            state.present = Some(RecordSpan { first, last });
            if bytes >= BATCH_BYTES_MAX {
                batches.push(with_state(std::mem::take(&mut batch), &mut state));
                bytes = 0;
            }
        }
        if bytes > 0 {
            batches.push(with_state(batch, &mut state));
        }
        self.write_state(&mut writer, batches, state, Mark::Written)
    }

    /// Cuts off all records after a place, or all there are, and makes that durable.
    ///
    /// # Errors
    /// Those of [`append_records`](Self::append_records).
    pub fn truncate_records(&self, after: Option<LogId>) -> Result<(), StoreError> {
        self.change_state(Mark::Written, |state, batch| {
            let Some(span) = state.present else {
                return Ok(());
            };
            let kept = after.filter(|after| after.index >= span.first);
            let from = kept.map_or(span.first, |last| last.index.saturating_add(1));
            let range = keys::record(from)..keys::record(span.last.index.saturating_add(1));
            // One batch, or the next records could meet parts of these: it is short, since what is
            // cut off was on its way to a majority when a leader changed.
            for part in self.0.database.range(range) {
                batch.remove(part?.0);
            }
            state.present = match kept {
                Some(last) if last.index >= span.last.index => Some(span),
                Some(last) => Some(RecordSpan { last, ..span }),
                None => None,
            };
            Ok(())
        })
    }

    /// Removes all records up to a place. They must have been applied, or be in a snapshot.
    ///
    /// Nothing is synced: what a power cut brings back is purged again.
    ///
    /// # Errors
    /// Those of a write; [`StoreError::Poisoned`] after one that failed.
    pub fn purge_records(&self, upto: LogId) -> Result<(), StoreError> {
        let mut writer = lock(&self.0.engine);
        let mut state = writer.ready()?;
        self.refuse_after_failure()?;
        if state
            .purged
            .is_some_and(|purged| purged.index >= upto.index)
        {
            return Ok(());
        }
        state.purged = Some(upto);
        state.present = state
            .present
            .filter(|span| span.last.index > upto.index)
            .map(|span| RecordSpan {
                first: span.first.max(upto.index.saturating_add(1)),
                ..span
            });
        // Once the state says so, records that are still there are leftovers.
        let moved = with_state(Batch::default(), &mut state);
        let purged = self.0.database.apply(moved);
        let purged = purged.and_then(|()| self.purge_leftovers(&state));
        if let Err(error) = purged {
            *writer = EngineWriter::Poisoned;
            return Err(self.failed(error));
        }
        *writer = EngineWriter::Ready(Box::new(state));
        Ok(())
    }

    /// The records from an index up to, and without, another, in order: as many as have this many
    /// bytes together, and at least one. Believe them only if nothing was cut off or purged
    /// meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when one of them is missing or is not what was stored.
    pub fn records(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        let range = keys::record(from)..keys::record(to.max(from));
        let mut found = Vec::new();
        let mut bytes = 0;
        for record in Records::new(self.0.database.range(range), from) {
            let (entry, length) = record?;
            bytes += length;
            if bytes > bytes_max && !found.is_empty() {
                return Ok(found);
            }
            found.push(entry);
        }
        match from.saturating_add(found.len() as u64) {
            end if end >= to => Ok(found),
            missing => Err(StoreError::Corrupt {
                what: Stored::EngineRecord(missing),
            }),
        }
    }

    /// How far the engine's log was applied to the durable ledger; `None` when nothing was.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is not what was stored.
    pub fn applied(&self) -> Result<Option<Applied>, StoreError> {
        self.stored_applied(keys::APPLIED, Stored::EngineApplied)
    }

    /// Notes that records without a batch were applied: those of a batch come with its commit
    /// ([`Writes::applied`](super::Writes::applied)).
    ///
    /// Nothing is synced: after a power cut they are applied again, to the same effect.
    ///
    /// # Errors
    /// [`StoreError::Record`] when the membership is too large; those of a write.
    pub fn save_applied(&self, applied: &Applied) -> Result<(), StoreError> {
        self.refuse_after_failure()?;
        let mut batch = Batch::default();
        batch.insert(keys::APPLIED, applied_value(keys::APPLIED, applied)?);
        let written = self.0.database.apply(batch);
        written.map_err(|error| self.failed(error))
    }

    /// Up to where the newest snapshot reaches, and the membership there.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is not what was stored.
    pub fn engine_snapshot(&self) -> Result<Option<Applied>, StoreError> {
        self.stored_applied(keys::SNAPSHOT, Stored::EngineSnapshot)
    }

    /// Makes durable up to where a snapshot reaches.
    ///
    /// # Errors
    /// Those of [`append_records`](Self::append_records).
    pub fn save_engine_snapshot(&self, reached: &Applied) -> Result<(), StoreError> {
        self.change_state(Mark::Synced, |state, batch| {
            batch.insert(keys::SNAPSHOT, applied_value(keys::SNAPSHOT, reached)?);
            state.has_snapshot = true;
            Ok(())
        })
    }

    /// What this node signed last, before it could leave.
    ///
    /// # Errors
    /// [`StoreError::EngineNotBegun`], [`StoreError::Poisoned`].
    pub fn signed_lock(&self) -> Result<Option<SignedLock>, StoreError> {
        Ok(lock(&self.0.engine).ready()?.lock)
    }

    /// Makes durable what this node is about to sign. Only when this has returned may the
    /// signature leave. What is locked already is not written again.
    ///
    /// # Errors
    /// [`StoreError::AlreadySigned`] when a checkpoint of this size with other roots, or a larger
    /// one, was locked before. Those of [`append_records`](Self::append_records).
    pub fn lock_signature(&self, next: &SignedLock) -> Result<(), StoreError> {
        let held = self.signed_lock()?;
        if held == Some(*next) {
            return Ok(());
        }
        self.change_state(Mark::Written, |state, _| match state.lock {
            Some(held) if held.size >= next.size && held != *next => {
                let (got, held) = (next.size, held.size);
                Err(StoreError::AlreadySigned { got, held })
            }
            _ => {
                state.lock = Some(*next);
                Ok(())
            }
        })
    }

    /// Changes the state, and what comes with it, durably. A change that says no writes nothing.
    fn change_state(
        &self,
        mark: Mark,
        change: impl FnOnce(&mut State, &mut Batch) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let mut writer = lock(&self.0.engine);
        let mut state = writer.ready()?;
        self.may_write()?;
        let mut batch = Batch::default();
        change(&mut state, &mut batch)?;
        let batches = vec![with_state(batch, &mut state)];
        self.write_state(&mut writer, batches, state, mark)
    }

    fn may_write(&self) -> Result<(), StoreError> {
        self.refuse_after_failure()?;
        self.0.free_space.check_reserve()
    }

    /// Writes batches and makes them durable; from then on the state is this one. Whatever goes
    /// wrong, a panic included, leaves the writer poisoned.
    fn write_state(
        &self,
        writer: &mut EngineWriter,
        batches: Vec<Batch>,
        state: State,
        mark: Mark,
    ) -> Result<(), StoreError> {
        *writer = EngineWriter::Poisoned;
        let written = self.write_durably(batches, state.writes, mark);
        written.map_err(|error| self.failed(error))?;
        *writer = EngineWriter::Ready(Box::new(state));
        Ok(())
    }

    fn write_durably(
        &self,
        batches: Vec<Batch>,
        writes: u64,
        mark: Mark,
    ) -> Result<(), StoreError> {
        let failed = StoreError::SyncFailed;
        self.0.database.keep_reserve().map_err(failed)?;
        self.write_batches(batches)?;
        self.sync_database()?;
        // Durable from here, and only now known outside: the mark is never ahead.
        self.0.engine_mark.write(writes).map_err(failed)?;
        match mark {
            Mark::Synced => self.sync_mark(),
            Mark::Written => Ok(()),
        }
    }

    fn sync_mark(&self) -> Result<(), StoreError> {
        let synced = self.0.syncs.sync(self.0.engine_mark.file());
        synced.map_err(StoreError::SyncFailed)
    }

    /// The state as it was stored: `None` when there never was one.
    fn stored_state(&self) -> Result<Option<State>, StoreError> {
        let corrupt = StoreError::Corrupt {
            what: Stored::EngineState,
        };
        let Ok(mark) = self.0.engine_mark.read() else {
            return Err(corrupt);
        };
        let stored = self.0.database.value(keys::ENGINE)?;
        let state = stored.map(|bytes| State::from_bytes(keys::ENGINE, &bytes).ok_or(corrupt));
        let state = state.transpose()?;
        let got = state.as_ref().map_or(0, |state| state.writes);
        match mark {
            Some(want) if got < want => Err(StoreError::EngineShortened { got, want }),
            // The mark was there before the first state.
            None if got > 0 => Err(StoreError::Corrupt {
                what: Stored::EngineState,
            }),
            _ => Ok(state),
        }
    }

    fn begin_life(&self, writer: &mut EngineWriter, fresh: EngineId) -> Result<State, StoreError> {
        for (key, what) in [
            (keys::RECORDS, Stored::EngineState),
            (keys::APPLIED, Stored::EngineApplied),
            (keys::SNAPSHOT, Stored::EngineSnapshot),
        ] {
            if self.0.database.has_any(key)? {
                return Err(StoreError::Corrupt { what });
            }
        }
        self.may_write()?;
        self.0
            .engine_mark
            .write(0)
            .map_err(StoreError::SyncFailed)?;
        self.sync_mark()?;
        let mut state = State::new(fresh);
        let batch = with_state(Batch::default(), &mut state);
        self.write_state(writer, vec![batch], state.clone(), Mark::Synced)?;
        Ok(state)
    }

    /// Every record that should be there is, and nothing beyond.
    fn check_records(&self, state: &State) -> Result<(), StoreError> {
        let beyond = state.next_index().unwrap_or(0);
        let range = keys::record(beyond)..[u8::MAX; 9];
        if let Some(surplus) = self.0.database.range(range).next() {
            let (key, _) = surplus?;
            if key.starts_with(keys::RECORDS) {
                let what = Stored::EngineRecord(beyond);
                return Err(StoreError::Corrupt { what });
            }
        }
        let Some(span) = state.present else {
            return Ok(());
        };
        let end = span.last.index.saturating_add(1);
        let mut next = span.first;
        let mut last = None;
        while next < end {
            let page = self.records(next, end, PAGE_BYTES)?;
            next = next.saturating_add(page.len() as u64);
            last = page.last().map(|entry| entry.log_id);
        }
        if last != Some(span.last) {
            let what = Stored::EngineRecord(span.last.index);
            return Err(StoreError::Corrupt { what });
        }
        Ok(())
    }

    /// Removes what the state says was purged.
    fn purge_leftovers(&self, state: &State) -> Result<(), StoreError> {
        let Some(purged) = state.purged else {
            return Ok(());
        };
        let range = keys::record(0).to_vec()..keys::record(purged.index.saturating_add(1)).to_vec();
        loop {
            let parts = self.0.database.first_keys(range.clone(), PURGED_KEYS_MAX)?;
            let mut batch = Batch::default();
            parts.iter().for_each(|key| batch.remove(key));
            self.0.database.apply(batch)?;
            if parts.len() < PURGED_KEYS_MAX {
                return Ok(());
            }
        }
    }

    fn stored_applied(&self, key: &[u8], what: Stored) -> Result<Option<Applied>, StoreError> {
        let Some(bytes) = self.0.database.value(key)? else {
            return Ok(None);
        };
        let content = unchecked(key, &bytes);
        let applied = content.and_then(|content| applied_from_bytes(content).ok());
        applied.map(Some).ok_or(StoreError::Corrupt { what })
    }
}

/// The value that says how far was applied, or up to where a snapshot reaches.
pub(super) fn applied_value(key: &[u8], applied: &Applied) -> Result<Vec<u8>, StoreError> {
    Ok(checked(key, applied_to_bytes(applied)?))
}

/// The batch with the state as it is after it.
fn with_state(mut batch: Batch, state: &mut State) -> Batch {
    state.writes = state.writes.saturating_add(1);
    batch.insert(keys::ENGINE, state.to_bytes(keys::ENGINE));
    batch
}
