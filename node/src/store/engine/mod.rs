//! What the ordering engine needs to be durable: its log and vote, how far the log was applied, and
//! what this node signed last.
//!
//! | What | Where | Durable |
//! |---|---|---|
//! | vote, cosign lock, purged place | `vault/engine/state` | when the call returns |
//! | records appended | `vault/engine/log-*` | when the call returns; the caller reports it only then |
//! | records cut off at the end | there | when the call returns, and overwritten |
//! | records purged | there | overwritten, and durably so after [`Store::forget_purged`] |
//! | snapshot | the database | when the call returns |
//! | how far was applied | the database | with the batch that it came with; alone, with the next sync |
//!
//! What is purged was applied, so it lies in the ledger too: there is no second copy for long. The
//! records lie outside the database because a record has salts, which must be erasable in place,
//! and because the database writes several times what it is given.
//!
//! Each value has its check. A flipped bit or a lost end is an error, never another record or an
//! older vote; only a record that was being written when the power went is cut off. A node with
//! such an error is rebuilt from its peers, under a new engine id. What is not found: that the disk
//! lost, in the same power cut, both the newest slot of the state and what says so (its copy, the
//! mark, every record after it), or the last records and all that. An old copy of the folder is
//! sound: peers find it. A thief with these files has sealed payloads and their salts.

mod applied;
mod check;
mod opening;
mod segment;
mod segments;
mod slots;
mod state;

use std::io;

use self::applied::stored_applied;
pub(super) use self::applied::{applied_in, applied_value};
use self::segments::Folder;
pub(super) use self::segments::Segments;
use self::slots::{Mark, StateFile};
use self::state::State;
pub use self::state::{RecordSpan, SignedLock};
use super::unwritten::Batch;
use super::{Store, StoreError, Stored, disk, keys, lock};
use crate::engine::record::record_to_bytes;
use crate::engine::{Applied, EngineId, Entry, LogId, Vote};

/// Whether, and from what, the engine's files may be written.
#[derive(Debug, Default)]
pub(super) enum EngineWriter {
    /// Nobody has read them yet.
    #[default]
    NotBegun,
    /// They are these.
    Ready(Box<Written>),
    /// A write or sync failed.
    Poisoned,
}

/// What the files of the engine say.
#[derive(Debug)]
pub(super) struct Written {
    file: StateFile,
    state: State,
    present: Option<RecordSpan>,
}

impl EngineWriter {
    const fn ready(&self) -> Result<&Written, StoreError> {
        match self {
            Self::Ready(written) => Ok(written),
            Self::NotBegun => Err(StoreError::EngineNotBegun),
            Self::Poisoned => Err(StoreError::Poisoned),
        }
    }
}

impl Written {
    /// The last record, be it purged.
    fn last(&self) -> Option<LogId> {
        self.present.map(|span| span.last).or(self.state.purged)
    }

    /// Makes the state durable as it is now.
    fn save(&mut self, folder: Folder<'_>) -> io::Result<()> {
        self.state.writes = self.state.writes.saturating_add(1);
        self.state.last = self.present.map(|span| span.last);
        self.file.write(&self.state, folder.syncs)
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
        let dir = self.engine_folder().dir;
        std::fs::create_dir_all(dir)?;
        dir.parent().map_or(Ok(()), disk::sync_folder)?;
        let opened = StateFile::open(dir, &self.0.syncs);
        let opened = opened.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => StoreError::Corrupt {
                what: Stored::EngineState,
            },
            _ => error.into(),
        })?;
        let written = match opened {
            Some((file, state, mark)) => self.open_log(file, state, mark)?,
            None => self.begin_life(fresh)?,
        };
        let snapshot = self.checked_snapshot(&written.state)?;
        let found = EngineState {
            id: written.state.id,
            vote: written.state.vote,
            purged: written.state.purged,
            present: written.present,
            lock: written.state.lock,
            applied: self.applied()?.unwrap_or_default(),
            snapshot,
        };
        *writer = EngineWriter::Ready(Box::new(written));
        Ok(found)
    }

    /// Ends the life that was begun, and begins another under the given id, which knows nothing of
    /// the engine's log and votes; what was signed elsewhere is its cosign lock. For a data folder
    /// from an old backup, whose votes and records are not those that this node had given last; its
    /// head log is not either, and ends with that life.
    ///
    /// A crash on the way leaves the old life without what was signed elsewhere: begin anew again.
    ///
    /// # Errors
    /// [`StoreError::AlreadySigned`] when more is locked here. Those of
    /// [`append_records`](Self::append_records).
    pub fn begin_engine_anew(
        &self,
        fresh: EngineId,
        signed: &SignedLock,
    ) -> Result<EngineState, StoreError> {
        let mut writer = lock(&self.0.engine);
        let held = self.may_write(&writer)?.state.lock;
        if let Some(held) = held.filter(|held| held.size > signed.size) {
            let (got, held) = (signed.size, held.size);
            return Err(StoreError::AlreadySigned { got, held });
        }
        let mut batch = Batch::default();
        for key in [
            keys::APPLIED,
            keys::SNAPSHOT,
            keys::BATCH_HEADER,
            keys::HEAD_LOG,
        ] {
            batch.remove(key);
        }
        lock(&self.0.progress).apply_place(None);
        self.sync_values(&mut writer, [batch])?;
        self.change(&mut writer, |written, folder| {
            self.purge_all(written, folder)?;
            let state = State {
                lock: Some(*signed),
                ..State::new(fresh)
            };
            written.file = StateFile::create(folder.dir, &state, folder.syncs)?;
            written.state = state;
            Ok(())
        })?;
        Ok(EngineState {
            id: fresh,
            vote: None,
            purged: None,
            present: None,
            lock: Some(*signed),
            applied: Applied::default(),
            snapshot: None,
        })
    }

    /// Purges every record there is.
    fn purge_all(&self, written: &mut Written, folder: Folder<'_>) -> io::Result<()> {
        let Some(last) = written.last() else {
            return Ok(());
        };
        let segments = &self.0.engine_segments;
        written.state.snapshot = None;
        written.state.begin = lock(segments).begin_after(last, written.state.begin);
        written.state.purged = Some(last);
        written.present = None;
        written.save(folder)?;
        segments::purge(folder, segments, &written.state)
    }

    /// Makes a vote durable.
    ///
    /// # Errors
    /// Those of [`append_records`](Self::append_records).
    pub fn save_vote(&self, vote: &Vote) -> Result<(), StoreError> {
        let mut writer = lock(&self.0.engine);
        self.may_write(&writer)?;
        self.change(&mut writer, |written, folder| {
            written.state.vote = Some(*vote);
            written.save(folder)
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
        let last = self.may_write(&writer)?.last();
        let mut next = last.map(|last| last.index.saturating_add(1));
        let mut records = Vec::with_capacity(entries.len());
        for entry in entries {
            let got = entry.log_id.index;
            let want = next.unwrap_or(got);
            if got != want {
                return Err(StoreError::RecordOutOfPlace { got, want });
            }
            next = Some(got.saturating_add(1));
            records.push((entry.log_id, record_to_bytes(entry)?));
        }
        let (Some(begun), Some(last_new)) = (entries.first(), entries.last()) else {
            return Ok(());
        };
        self.change(&mut writer, |written, folder| {
            let segments = &self.0.engine_segments;
            segments::append(folder, segments, &written.state, last, &records)?;
            // Durable from here, and only now said outside: the mark is never ahead.
            let first = written.present.map_or(begun.log_id.index, |it| it.first);
            let (writes, last) = (written.state.writes, last_new.log_id);
            written.present = Some(RecordSpan { first, last });
            written.file.write_mark(&Mark { writes, last })
        })
    }

    /// Cuts off all records after a place, or all there are, and makes that durable.
    ///
    /// # Errors
    /// Those of [`append_records`](Self::append_records).
    pub fn truncate_records(&self, after: Option<LogId>) -> Result<(), StoreError> {
        let mut writer = lock(&self.0.engine);
        let Some(span) = self.may_write(&writer)?.present else {
            return Ok(());
        };
        let kept = after.filter(|after| after.index >= span.first);
        if kept.is_some_and(|last| last.index >= span.last.index) {
            return Ok(());
        }
        let from = kept.map_or(span.first, |last| last.index.saturating_add(1));
        self.change(&mut writer, |written, folder| {
            written.present = kept.map(|last| RecordSpan { last, ..span });
            // A crash from here on is finished at the next start, so that the next records never
            // meet half of these.
            written.state.cutting = true;
            written.save(folder)?;
            segments::cut(folder, &self.0.engine_segments, from)?;
            written.state.cutting = false;
            written.save(folder)
        })
    }

    /// The first half of a cut, for the tests that crash there.
    #[cfg(test)]
    pub(super) fn begin_cut(&self, after: Option<LogId>) {
        let cut = |written: &mut Written, folder: Folder<'_>| {
            let kept = written.present.zip(after);
            written.present = kept.map(|(span, last)| RecordSpan { last, ..span });
            written.state.cutting = true;
            written.save(folder)
        };
        self.change(&mut lock(&self.0.engine), cut).unwrap();
    }

    /// Removes all records up to a place. They must have been applied, or be in a snapshot.
    ///
    /// That they are removed is durable when this returns. Their bytes are overwritten; that this
    /// is durable too, [`forget_purged`](Self::forget_purged) says. A start does it again.
    ///
    /// # Errors
    /// Those of a write; [`StoreError::Poisoned`] after one that failed. A full disk is none.
    pub fn purge_records(&self, upto: LogId) -> Result<(), StoreError> {
        let mut writer = lock(&self.0.engine);
        self.refuse_after_failure()?;
        let purged = writer.ready()?.state.purged;
        if purged.is_some_and(|purged| purged.index >= upto.index) {
            return Ok(());
        }
        // What is gone from the log must be known to have been applied.
        if lock(&self.0.progress).may_lack(upto) {
            self.sync_values(&mut writer, [])?;
        }
        self.change(&mut writer, |written, folder| {
            let segments = &self.0.engine_segments;
            let begin = lock(segments).begin_after(upto, written.state.begin);
            written.state.purged = Some(upto);
            written.state.begin = begin;
            let left = written.present.filter(|it| it.last.index > upto.index);
            written.present = left.map(|span| RecordSpan {
                first: span.first.max(upto.index.saturating_add(1)),
                ..span
            });
            written.save(folder)?;
            segments::purge(folder, segments, &written.state)
        })
    }

    /// Makes sure that what was purged is nowhere in the data folder, and says up to which record
    /// that is: nothing of it, and no salt in it, comes back after a power cut.
    ///
    /// An erasure is complete with this. Its record has been applied and committed at some place;
    /// have the engine purge up to there, then call this. An answer before that place (or `None`)
    /// means that the purge is still on its way: call again. Cost: one sync.
    ///
    /// # Errors
    /// [`StoreError::EngineNotBegun`]; those of a write. A full disk is none.
    pub fn forget_purged(&self) -> Result<Option<LogId>, StoreError> {
        let mut writer = lock(&self.0.engine);
        self.refuse_after_failure()?;
        let purged = writer.ready()?.state.purged;
        self.change(&mut writer, |_, folder| {
            segments::sync_purged(folder, &self.0.engine_segments)
        })?;
        Ok(purged)
    }

    /// The records from an index up to, and without, another, in order: as many as have this many
    /// bytes together, and at least one. Believe them only if nothing was cut off or purged
    /// meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when one of them is missing or is not what was stored.
    pub fn records(&self, from: u64, to: u64, bytes_max: usize) -> Result<Vec<Entry>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let places = lock(&self.0.engine_segments).places(from, to, bytes_max);
        let corrupt = |index| StoreError::Corrupt {
            what: Stored::EngineRecord(index),
        };
        let found = segments::read(&places, from)?.map_err(corrupt)?;
        let end = from.saturating_add(found.len() as u64);
        let full = bytes_max < usize::MAX && !found.is_empty();
        match end >= to || full && self.has_record(end) {
            true => Ok(found),
            false => Err(corrupt(end)),
        }
    }

    /// How far the engine's log was applied to the durable ledger; `None` when nothing was.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is not what was stored.
    pub fn applied(&self) -> Result<Option<Applied>, StoreError> {
        applied_in(&self.0.database)
    }

    /// Notes that records without a batch were applied: those of a batch come with its commit
    /// ([`Writes::applied`](super::Writes::applied)).
    ///
    /// Nothing is synced: after a power cut they are applied again, to the same effect. Before
    /// they are purged it is ([`purge_records`](Self::purge_records)).
    ///
    /// # Errors
    /// [`StoreError::Record`] when the membership is too large; those of a write.
    pub fn save_applied(&self, applied: &Applied) -> Result<(), StoreError> {
        self.refuse_after_failure()?;
        let mut batch = Batch::default();
        batch.insert(keys::APPLIED, applied_value(keys::APPLIED, applied)?);
        self.0.database.apply(batch);
        lock(&self.0.progress).apply_place(applied.log_id);
        Ok(())
    }

    /// Up to where the newest snapshot reaches, and the membership there.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it is not what was stored.
    pub fn engine_snapshot(&self) -> Result<Option<Applied>, StoreError> {
        stored_applied(&self.0.database, keys::SNAPSHOT, Stored::EngineSnapshot)
    }

    /// Makes durable up to where a snapshot reaches.
    ///
    /// # Errors
    /// Those of [`append_records`](Self::append_records).
    pub fn save_engine_snapshot(&self, reached: &Applied) -> Result<(), StoreError> {
        let mut writer = lock(&self.0.engine);
        self.may_write(&writer)?;
        let mut batch = Batch::default();
        batch.insert(keys::SNAPSHOT, applied_value(keys::SNAPSHOT, reached)?);
        self.sync_values(&mut writer, [batch])?;
        // Durable from here; what the state says of it is never ahead.
        self.change(&mut writer, |written, folder| {
            written.state.snapshot = Some(reached.log_id);
            written.save(folder)
        })
    }

    /// What this node signed last, before it could leave.
    ///
    /// # Errors
    /// [`StoreError::EngineNotBegun`], [`StoreError::Poisoned`].
    pub fn signed_lock(&self) -> Result<Option<SignedLock>, StoreError> {
        Ok(lock(&self.0.engine).ready()?.state.lock)
    }

    /// Makes durable what this node is about to sign. Only when this has returned may the
    /// signature leave. What is locked already is not written again.
    ///
    /// # Errors
    /// [`StoreError::AlreadySigned`] when a checkpoint of this size with other roots, or a larger
    /// one, was locked before. Those of [`append_records`](Self::append_records).
    pub fn lock_signature(&self, next: &SignedLock) -> Result<(), StoreError> {
        let mut writer = lock(&self.0.engine);
        match writer.ready()?.state.lock {
            Some(held) if held == *next => return Ok(()),
            Some(held) if held.size >= next.size => {
                let (got, held) = (next.size, held.size);
                return Err(StoreError::AlreadySigned { got, held });
            }
            _ => {}
        }
        self.may_write(&writer)?;
        self.change(&mut writer, |written, folder| {
            written.state.lock = Some(*next);
            #[cfg(test)]
            if crate::simulation::locks_late() {
                return Ok(());
            }
            written.save(folder)
        })
    }

    /// Makes batches durable, and what was written to the database before them.
    fn sync_values(
        &self,
        writer: &mut EngineWriter,
        batches: impl IntoIterator<Item = Batch>,
    ) -> Result<(), StoreError> {
        let synced = self.write_and_sync(batches);
        synced.inspect_err(|_| *writer = EngineWriter::Poisoned)
    }

    fn engine_folder(&self) -> Folder<'_> {
        Folder {
            dir: &self.0.engine_dir,
            syncs: &self.0.syncs,
        }
    }

    fn may_write<'a>(&self, writer: &'a EngineWriter) -> Result<&'a Written, StoreError> {
        let written = writer.ready()?;
        self.refuse_after_failure()?;
        self.0.free_space.check_reserve()?;
        Ok(written)
    }

    fn has_record(&self, index: u64) -> bool {
        let segments = lock(&self.0.engine_segments);
        !segments
            .places(index, index.saturating_add(1), 0)
            .is_empty()
    }

    /// Changes the files of the engine. Whatever goes wrong, a panic included, leaves the writer
    /// poisoned.
    fn change(
        &self,
        writer: &mut EngineWriter,
        change: impl FnOnce(&mut Written, Folder<'_>) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let mut written = match std::mem::replace(writer, EngineWriter::Poisoned) {
            EngineWriter::Ready(written) => written,
            other => {
                *writer = other;
                return writer.ready().map(|_| ());
            }
        };
        let changed = change(&mut written, self.engine_folder());
        changed.map_err(|error| self.failed(StoreError::SyncFailed(error)))?;
        *writer = EngineWriter::Ready(written);
        Ok(())
    }

    /// Reads the log that belongs to a state, and finishes what a crash interrupted.
    fn open_log(
        &self,
        file: StateFile,
        state: State,
        mark: Option<Mark>,
    ) -> Result<Written, StoreError> {
        let durable = match mark {
            // A mark of a state that is not there: the newest was lost.
            Some(mark) if mark.writes > state.writes => {
                let what = Stored::EngineState;
                return Err(StoreError::Corrupt { what });
            }
            Some(mark) if mark.writes == state.writes => Some(mark.last),
            _ => state.last,
        };
        let folder = self.engine_folder();
        let opened = opening::open(folder, &state, durable)?;
        *lock(&self.0.engine_segments) = opened.segments;
        let mut written = Written {
            file,
            present: opened.present,
            state,
        };
        if written.state.cutting {
            written.state.cutting = false;
            written.save(folder).map_err(StoreError::SyncFailed)?;
        }
        Ok(written)
    }

    fn begin_life(&self, fresh: EngineId) -> Result<Written, StoreError> {
        for (key, what) in [
            (keys::APPLIED, Stored::EngineApplied),
            (keys::SNAPSHOT, Stored::EngineSnapshot),
        ] {
            if self.0.database.has_any(key)? {
                return Err(StoreError::Corrupt { what });
            }
        }
        let folder = self.engine_folder();
        if !opening::numbers(folder)?.is_empty() {
            let what = Stored::EngineState;
            return Err(StoreError::Corrupt { what });
        }
        self.refuse_after_failure()?;
        self.0.free_space.check_reserve()?;
        let state = State::new(fresh);
        let file = StateFile::create(folder.dir, &state, folder.syncs);
        let file = file.map_err(StoreError::SyncFailed)?;
        *lock(&self.0.engine_segments) = Segments::default();
        Ok(Written {
            file,
            state,
            present: None,
        })
    }

    /// The snapshot, which reaches at least as far as the state says.
    fn checked_snapshot(&self, state: &State) -> Result<Option<Applied>, StoreError> {
        let snapshot = self.engine_snapshot()?;
        let got = snapshot.as_ref().map(|reached| reached.log_id);
        match got >= state.snapshot {
            true => Ok(snapshot),
            false => Err(StoreError::Corrupt {
                what: Stored::EngineSnapshot,
            }),
        }
    }
}
