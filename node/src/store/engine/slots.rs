//! The file of the engine's state: two slots and a mark, each on a page of its own.
//!
//! A state is written into one slot and synced, while the other still holds the one before: a
//! power cut takes at most the slot that was being written. After the sync the other slot is
//! written alike, without another: so from then on one damaged slot is no loss.
//!
//! The mark says how far the log was durable, without a sync: a node that was killed finds it, and
//! after a power cut it may be some seconds old. Each slot says it too, as of when it was written.
//!
//! ```text
//! slot   at 0 and at 4096: length of the state 2 bytes; state and its check
//! mark   at 8192: writes of the newest state 8 bytes; log id of the last record; check 32 bytes
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use proto::hash::HASH_BYTES;

use super::check::{checked, unchecked};
use super::state::State;
use crate::engine::LogId;
use crate::engine::record::{LOG_ID_BYTES, log_id_from_bytes, log_id_to_bytes};
use crate::store::disk::{Syncs, sync_folder, write_zeros_at};

/// A page of the file: what is written into one cannot tear another.
const PAGE_BYTES: u64 = 4096;
/// Where the mark is.
const MARK_AT: u64 = 2 * PAGE_BYTES;
/// The whole file.
const FILE_BYTES: u64 = 3 * PAGE_BYTES;
/// Length of a mark.
const MARK_BYTES: usize = 8 + LOG_ID_BYTES + HASH_BYTES;
/// What the checks of slots begin with.
const SLOT_KEY: &[u8] = b"state";
/// What the checks of marks begin with.
const MARK_KEY: &[u8] = b"mark";

/// How far the log was durable while the state was this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// How often the state had been written.
    pub(super) writes: u64,
    /// The last record.
    pub(super) last: LogId,
}

/// The open file.
#[derive(Debug)]
pub(super) struct StateFile {
    file: File,
    /// The slot that holds what is durable.
    durable: u64,
}

impl StateFile {
    /// Makes the file with a first state, durably, or not at all.
    pub(super) fn create(dir: &Path, state: &State, syncs: &Syncs) -> io::Result<Self> {
        let (new, path) = (dir.join("state.new"), dir.join("state"));
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&new)?;
        write_zeros_at(&file, 0..FILE_BYTES)?;
        let mut created = Self { file, durable: 1 };
        created.write(state, syncs)?;
        std::fs::rename(new, path)?;
        sync_folder(dir)?;
        Ok(created)
    }

    /// Opens the file and reads the newest state; `None` when there is no file.
    ///
    /// # Errors
    /// `InvalidData` when neither slot holds a state.
    pub(super) fn open(
        dir: &Path,
        syncs: &Syncs,
    ) -> io::Result<Option<(Self, State, Option<Mark>)>> {
        let mut options = OpenOptions::new();
        let file = match options.read(true).write(true).open(dir.join("state")) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let slots = [0, 1].map(|slot| slot_at(&file, slot));
        let newest = match &slots {
            [Some(one), Some(other)] if one.writes < other.writes => 1,
            [Some(_), _] => 0,
            [None, Some(_)] => 1,
            [None, None] => return Err(ErrorKind::InvalidData.into()),
        };
        let mark = mark_at(&file);
        let [one, other] = slots;
        let state = if newest == 0 { one } else { other };
        let state = state.ok_or(ErrorKind::InvalidData)?;
        // What a killed process wrote and did not sync must not be taken for durable.
        syncs.sync(&file)?;
        let durable = newest;
        let opened = Self { file, durable };
        opened.write_slot(1 - durable, &state)?;
        Ok(Some((opened, state, mark)))
    }

    /// Makes a state durable.
    pub(super) fn write(&mut self, state: &State, syncs: &Syncs) -> io::Result<()> {
        let next = 1 - self.durable;
        self.write_slot(next, state)?;
        syncs.sync(&self.file)?;
        self.durable = next;
        self.write_slot(1 - next, state)
    }

    /// Writes the mark; it is durable with the next state, or when the system writes it.
    pub(super) fn write_mark(&self, mark: &Mark) -> io::Result<()> {
        let bytes = [&mark.writes.to_be_bytes()[..], &log_id_to_bytes(&mark.last)];
        self.file
            .write_all_at(&checked(MARK_KEY, bytes.concat()), MARK_AT)
    }

    fn write_slot(&self, slot: u64, state: &State) -> io::Result<()> {
        let state = state.to_bytes(SLOT_KEY);
        // A state is some 220 bytes.
        let length = u16::try_from(state.len()).map_err(io::Error::other)?;
        let bytes = [&length.to_be_bytes()[..], &state].concat();
        self.file.write_all_at(&bytes, slot * PAGE_BYTES)
    }
}

/// The state in a slot, if it is one.
fn slot_at(file: &File, slot: u64) -> Option<State> {
    let mut length = [0; 2];
    file.read_exact_at(&mut length, slot * PAGE_BYTES).ok()?;
    let length = usize::from(u16::from_be_bytes(length));
    if length as u64 > PAGE_BYTES - 2 {
        return None;
    }
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, slot * PAGE_BYTES + 2).ok()?;
    State::from_bytes(SLOT_KEY, &bytes)
}

/// The mark, if it is one.
fn mark_at(file: &File) -> Option<Mark> {
    let mut bytes = [0; MARK_BYTES];
    file.read_exact_at(&mut bytes, MARK_AT).ok()?;
    let (writes, last) = unchecked(MARK_KEY, &bytes)?.split_first_chunk()?;
    let last = log_id_from_bytes(last).ok()?;
    let writes = u64::from_be_bytes(*writes);
    Some(Mark { writes, last })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{CommittedLeaderId, EngineId, Vote};

    const ID: EngineId = EngineId::new(3);

    fn state(term: u64) -> State {
        let mut state = State::new(ID);
        state.writes = term;
        state.vote = Some(Vote::new(term, ID));
        state
    }

    fn written(dir: &Path, terms: u64) -> StateFile {
        let syncs = Syncs::default();
        let mut file = StateFile::create(dir, &state(0), &syncs).unwrap();
        for term in 1..=terms {
            file.write(&state(term), &syncs).unwrap();
        }
        file
    }

    fn read(dir: &Path) -> Option<(State, Option<Mark>)> {
        let opened = StateFile::open(dir, &Syncs::default());
        let (_, state, mark) = opened.ok()??;
        Some((state, mark))
    }

    #[test]
    fn the_newest_state_is_read_and_one_damaged_slot_is_no_loss() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).is_none());
        for terms in [0, 1, 2] {
            let file = written(dir.path(), terms);
            for slot in [0, 1] {
                let mut byte = [0];
                let at = slot * PAGE_BYTES + 30;
                file.file.read_exact_at(&mut byte, at).unwrap();
                file.file.write_all_at(&[!byte[0]], at).unwrap();
                assert_eq!(read(dir.path()), Some((state(terms), None)));
            }
            // Each was mended from the other; both at once are an error.
            for slot in [0, 1] {
                file.file.write_all_at(&[0; 8], slot * PAGE_BYTES).unwrap();
            }
            assert!(StateFile::open(dir.path(), &Syncs::default()).is_err());
        }
    }

    #[test]
    fn a_write_that_a_power_cut_tears_leaves_the_state_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = written(dir.path(), 4);
        let next = 1 - file.durable;
        file.write_slot(next, &state(5)).unwrap();
        let at = next * PAGE_BYTES + 20;
        file.file.write_all_at(&[0xA5; 90], at).unwrap();
        assert_eq!(read(dir.path()), Some((state(4), None)));
    }

    #[test]
    fn a_mark_reads_back_and_a_broken_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = written(dir.path(), 1);
        let last = LogId::new(CommittedLeaderId::new(2), 9);
        let mark = Mark { writes: 1, last };
        file.write_mark(&mark).unwrap();
        assert_eq!(read(dir.path()), Some((state(1), Some(mark))));
        file.file.write_all_at(&[1], MARK_AT + 3).unwrap();
        assert_eq!(read(dir.path()), Some((state(1), None)));
    }
}
