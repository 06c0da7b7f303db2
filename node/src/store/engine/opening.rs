//! What a node finds of the engine's log: every record from where it begins to its end.
//!
//! Bytes behind the last frame that are no frame are a record that was being written: they are
//! overwritten. It is an error, and nothing is touched, when one of these says that a record was
//! durable that is not there: the state, its mark, a frame further on, a later segment.

use std::io;

use bytes::Bytes;

use super::segment::{Frames, HEADER_BYTES, SEGMENT_BYTES, Segment, SegmentId, Since, erase};
use super::segments::{Folder, NEW, SPARE, Segments};
use super::state::{RecordSpan, State};
use crate::engine::{Entry, LogId};
use crate::store::disk::sync_folder;
use crate::store::{StoreError, Stored};

/// The log as it was found.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) segments: Segments,
    pub(super) present: Option<RecordSpan>,
}

/// Reads and checks the log that belongs to a state. `durable` is the last record that is known
/// to have been durable.
///
/// # Errors
/// [`StoreError::Corrupt`] and [`StoreError::EngineShortened`]: rebuild this node from its peers.
pub(super) fn open(
    folder: Folder<'_>,
    state: &State,
    durable: Option<LogId>,
) -> Result<Opened, StoreError> {
    let mut opening = Opening {
        folder,
        state,
        durable,
        segments: Vec::new(),
        first: None,
        last: None,
    };
    opening.open()?;
    let present = opening.first.zip(opening.last);
    Ok(Opened {
        segments: Segments::new(opening.segments),
        present: present.map(|(first, last)| RecordSpan { first, last }),
    })
}

/// The numbers of the segments in a folder, in their order.
pub(super) fn numbers(folder: Folder<'_>) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for found in std::fs::read_dir(folder.dir)? {
        let name = found?.file_name();
        numbers.extend(name.to_str().and_then(SegmentId::number_in));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

struct Opening<'a> {
    folder: Folder<'a>,
    state: &'a State,
    durable: Option<LogId>,
    segments: Vec<Segment>,
    first: Option<u64>,
    last: Option<LogId>,
}

impl Opening<'_> {
    fn open(&mut self) -> Result<(), StoreError> {
        let numbers = numbers(self.folder)?;
        let begin = self.state.begin.segment;
        let old = numbers.partition_point(|number| *number < begin);
        let (old, live) = numbers.split_at(old);
        for (want, number) in (begin..).zip(live) {
            if *number != want {
                return Err(self.missing());
            }
            match self.is_cut() && want > begin {
                true => self.remove(want)?,
                false => self.read(want, Some(number) == live.last())?,
            }
        }
        self.require_durable()?;
        old.iter().try_for_each(|number| self.remove(*number))?;
        for unused in [SPARE, NEW, "state.new"] {
            match std::fs::remove_file(self.folder.dir.join(unused)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(sync_folder(self.folder.dir)?)
    }

    /// Takes in one segment, and overwrites what does not belong to the log.
    fn read(&mut self, number: u64, is_newest: bool) -> Result<(), StoreError> {
        let engine = self.state.id;
        let id = SegmentId { engine, number };
        let bytes = Bytes::from(std::fs::read(id.path(self.folder.dir))?);
        let previous = id.previous(&bytes).ok_or_else(|| self.missing())?;
        if bytes.len() as u64 != SEGMENT_BYTES || (self.last.is_some() && previous != self.last) {
            return Err(self.missing());
        }
        let begin = match self.state.begin.segment == number {
            true => self.state.begin.offset,
            false => HEADER_BYTES,
        };
        let mut segment = Segment::open(self.folder.dir, id, begin)?;
        let at = usize::try_from(begin).unwrap_or(bytes.len());
        let mut frames = Frames::new(id, &bytes, at);
        while !self.is_cut()
            && let Some((offset, since, entry)) = frames.next()
        {
            self.take(since, &entry)?;
            segment.push(entry.log_id.index, offset as u64, frames.at - offset);
        }
        if !is_zero(&bytes, segment.end, SEGMENT_BYTES) {
            if !self.is_cut() {
                self.require_durable()?;
                if !is_newest || frames.prove_durable(self.next_index()) {
                    return Err(self.missing());
                }
            }
            erase(&segment.file, segment.end, SEGMENT_BYTES)?;
        }
        if !is_zero(&bytes, HEADER_BYTES, begin) {
            erase(&segment.file, HEADER_BYTES, begin)?;
        }
        // What a killed process wrote and did not sync must not be taken for durable.
        self.folder.syncs.sync(&segment.file)?;
        self.segments.push(segment);
        Ok(())
    }

    /// Takes in the next record.
    fn take(&mut self, since: Since, entry: &Entry) -> Result<(), StoreError> {
        let (got, purged) = (entry.log_id, self.state.purged);
        let in_place = match self.last {
            Some(last) => got.index == last.index.saturating_add(1),
            None => purged.is_none_or(|purged| got.index > purged.index),
        };
        let other = self
            .durable
            .is_some_and(|durable| durable.index == got.index && durable != got);
        if !in_place || other {
            return Err(self.missing());
        }
        if since.writes > self.state.writes {
            let what = Stored::EngineState;
            return Err(StoreError::Corrupt { what });
        }
        self.first = self.first.or(Some(got.index));
        self.last = Some(got);
        Ok(())
    }

    /// Whether a cut that was begun is to take all that follows.
    fn is_cut(&self) -> bool {
        self.state.cutting && self.last == self.state.last
    }

    fn next_index(&self) -> u64 {
        let last = self.last.or(self.state.purged);
        last.map_or(0, |last| last.index.saturating_add(1))
    }

    fn missing(&self) -> StoreError {
        let what = Stored::EngineRecord(self.next_index());
        StoreError::Corrupt { what }
    }

    fn require_durable(&self) -> Result<(), StoreError> {
        match self.durable {
            Some(durable) if durable.index >= self.next_index() => {
                Err(StoreError::EngineShortened {
                    got: self.next_index(),
                    want: durable.index.saturating_add(1),
                })
            }
            _ => Ok(()),
        }
    }

    /// Overwrites and removes a segment that is no longer part of the log.
    fn remove(&self, number: u64) -> Result<(), StoreError> {
        let engine = self.state.id;
        let id = SegmentId { engine, number };
        let segment = Segment::open(self.folder.dir, id, HEADER_BYTES)?;
        erase(&segment.file, 0, SEGMENT_BYTES)?;
        self.folder.syncs.sync(&segment.file)?;
        Ok(std::fs::remove_file(id.path(self.folder.dir))?)
    }
}

fn is_zero(bytes: &[u8], from: u64, to: u64) -> bool {
    let range = usize::try_from(from).unwrap_or(0)..usize::try_from(to).unwrap_or(0);
    let bytes = bytes.get(range).unwrap_or_default();
    // By words that are compared at once: a segment has 4 MiB, and each start reads some.
    let zeros = [0; 4096];
    bytes
        .chunks(zeros.len())
        .all(|part| *part == zeros[..part.len()])
}
