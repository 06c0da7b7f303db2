//! One file of the engine's log: a header, records in frames, and zeros up to its length.
//!
//! ```text
//! header   version 1 byte; engine id 8 bytes; number of the segment 8 bytes;
//!          optional: log id of the record before the first, 16 bytes; check 32 bytes; zeros to 128
//! frame    length of the record 4 bytes
//!          began 8 bytes    index of the first record that was appended by the same call
//!          writes 8 bytes   how often the engine's state was durably written before
//!          check 32 bytes
//!          record, and zeros to the next multiple of 64
//! ```
//!
//! Numbers are big-endian. A check covers the life of the folder, the segment and the place in it:
//! bytes that lie elsewhere, or are left from another life, are no frame.
//!
//! A call begins only when the records of the one before are durable. So a frame whose call began
//! behind an index says that the record there was durable.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use proto::hash::{Context, HASH_BYTES, derive};

use super::check::{checked, unchecked};
use crate::engine::record::{
    RECORD_BYTES_MAX, RECORD_HEADER_BYTES, RECORD_VERSION, Reader, put_optional_log_id,
    record_from_bytes,
};
use crate::engine::{EngineId, Entry, LogId};
use crate::store::disk::write_zeros_at;

/// Length of a segment: four of the largest records, and little to write ahead for a quiet node.
pub(super) const SEGMENT_BYTES: u64 = 4 * 1024 * 1024;
/// Where the first frame is.
pub(super) const HEADER_BYTES: u64 = 128;
/// Frames begin at multiples of this, so that one behind broken bytes is found again.
const FRAME_ALIGN: usize = 64;
/// What lies before a record and its check.
const FRAME_HEAD_BYTES: usize = 20;
/// Where the record of a frame begins.
const RECORD_AT: usize = FRAME_HEAD_BYTES + HASH_BYTES;

const _: () = assert!(
    HEADER_BYTES + frame_bytes(RECORD_HEADER_BYTES + RECORD_BYTES_MAX) as u64 <= SEGMENT_BYTES
);

/// What the checks of a segment are bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentId {
    pub(super) engine: EngineId,
    pub(super) number: u64,
}

/// Since when a record is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Since {
    /// The index of the first record that was appended by the same call.
    pub(super) began: u64,
    /// How often the engine's state was durably written before.
    pub(super) writes: u64,
}

impl SegmentId {
    /// What a check at a place of this segment begins with.
    fn key(self, offset: u64) -> [u8; 24] {
        let mut key = [0; 24];
        let parts = [self.engine.get(), self.number, offset];
        for (place, part) in key.chunks_exact_mut(8).zip(parts) {
            place.copy_from_slice(&part.to_be_bytes());
        }
        key
    }

    /// The name of the file.
    pub(super) fn path(self, dir: &Path) -> PathBuf {
        dir.join(format!("log-{:016x}", self.number))
    }

    /// The number in the name of a file, unless it is no segment.
    pub(super) fn number_in(name: &str) -> Option<u64> {
        let digits = name.strip_prefix("log-").filter(|it| it.len() == 16)?;
        u64::from_str_radix(digits, 16).ok()
    }

    /// The header, for a segment after this record.
    pub(super) fn header(self, previous: Option<LogId>) -> Vec<u8> {
        let mut bytes = vec![RECORD_VERSION];
        bytes.extend(self.engine.get().to_be_bytes());
        bytes.extend(self.number.to_be_bytes());
        put_optional_log_id(&mut bytes, previous.as_ref());
        checked(&self.key(0), bytes)
    }

    /// The record before the first, as a header of this segment says; `None` when it is none.
    pub(super) fn previous(self, bytes: &[u8]) -> Option<Option<LogId>> {
        let length = 18 + 16 * usize::from(*bytes.get(17)?);
        let header = unchecked(&self.key(0), bytes.get(..length + HASH_BYTES)?)?;
        let mut reader = Reader::versioned(header).ok()?;
        reader.number("engine id").ok()?;
        reader.number("number").ok()?;
        let previous = reader.optional_log_id().ok()?;
        reader.end().ok().map(|()| previous)
    }

    /// Appends the frame of a record that is to lie at this offset.
    pub(super) fn put_frame(self, bytes: &mut Vec<u8>, offset: u64, since: Since, record: &[u8]) {
        let begin = bytes.len();
        // A record is at most one megabyte.
        bytes.extend(u32::try_from(record.len()).unwrap_or(0).to_be_bytes());
        bytes.extend(since.began.to_be_bytes());
        bytes.extend(since.writes.to_be_bytes());
        let head = &bytes[begin..];
        let check = derive(Context::EngineRecord, &[&self.key(offset), head, record]);
        bytes.extend(check.as_bytes());
        bytes.extend_from_slice(record);
        bytes.resize(begin + frame_bytes(record.len()), 0);
    }

    /// The record in the frame that lies at this offset, if these bytes begin with one.
    pub(super) fn frame(self, bytes: &Bytes, offset: u64) -> Option<(Since, Entry)> {
        let (head, rest) = bytes.split_at_checked(FRAME_HEAD_BYTES)?;
        let (length, sinces) = head.split_first_chunk()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        if !(RECORD_HEADER_BYTES..=RECORD_HEADER_BYTES + RECORD_BYTES_MAX).contains(&length) {
            return None;
        }
        let (check, rest) = rest.split_first_chunk::<HASH_BYTES>()?;
        let record = rest.get(..length)?;
        let found = derive(Context::EngineRecord, &[&self.key(offset), head, record]);
        if found.as_bytes() != check {
            return None;
        }
        let (began, writes) = sinces.split_first_chunk()?;
        let since = Since {
            began: u64::from_be_bytes(*began),
            writes: u64::from_be_bytes(writes.try_into().ok()?),
        };
        let entry = record_from_bytes(&bytes.slice_ref(record)).ok()?;
        Some((since, entry))
    }
}

/// How many bytes the frame of a record of this length takes.
pub(super) const fn frame_bytes(record: usize) -> usize {
    (RECORD_AT + record).next_multiple_of(FRAME_ALIGN)
}

/// The length of the frame that begins with these bytes, which are one.
fn frame_length(frame: &[u8]) -> usize {
    let length = frame.first_chunk().map_or(0, |it| u32::from_be_bytes(*it));
    frame_bytes(usize::try_from(length).unwrap_or(0))
}

/// Reads the frames of a segment one after the other.
#[derive(Debug)]
pub(super) struct Frames<'a> {
    id: SegmentId,
    bytes: &'a Bytes,
    /// Where the next frame is.
    pub(super) at: usize,
}

impl<'a> Frames<'a> {
    /// The frames from a place on.
    pub(super) const fn new(id: SegmentId, bytes: &'a Bytes, at: usize) -> Self {
        Self { id, bytes, at }
    }

    /// Whether a frame further on says that the record of an index was durable.
    pub(super) fn prove_durable(&self, index: u64) -> bool {
        let places = (self.at..self.bytes.len()).step_by(FRAME_ALIGN).skip(1);
        let mut later = places.filter_map(|at| {
            let bytes = self.bytes.slice(at..);
            self.id.frame(&bytes, at as u64)
        });
        later.any(|(since, _)| since.began > index)
    }
}

impl Iterator for Frames<'_> {
    type Item = (usize, Since, Entry);

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let (at, bytes) = (self.at, self.bytes.slice(self.at..));
        let (since, entry) = self.id.frame(&bytes, at as u64)?;
        self.at += frame_length(&bytes);
        Some((at, since, entry))
    }
}

/// Where a frame is.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: SegmentId,
    pub(super) file: Arc<File>,
    pub(super) offset: u64,
    pub(super) length: usize,
}

impl Place {
    /// Reads the record; `None` when it is not what was written there.
    pub(super) fn read(&self) -> io::Result<Option<Entry>> {
        let mut bytes = vec![0; self.length];
        self.file.read_exact_at(&mut bytes, self.offset)?;
        let found = self.id.frame(&Bytes::from(bytes), self.offset);
        Ok(found.map(|(_, entry)| entry))
    }
}

/// An open segment, and where its records are.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: SegmentId,
    pub(super) file: Arc<File>,
    /// Where its first record begins, and each after it.
    pub(super) offsets: VecDeque<u64>,
    /// The index of the first.
    pub(super) first: u64,
    /// Where the next frame goes.
    pub(super) end: u64,
}

impl Segment {
    /// Opens the file of a segment, with no record yet.
    pub(super) fn open(dir: &Path, id: SegmentId, end: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(id.path(dir))?;
        Ok(Self {
            id,
            file: Arc::new(file),
            offsets: VecDeque::new(),
            first: 0,
            end,
        })
    }

    /// Takes note of a record at this offset, after those that it has.
    pub(super) fn push(&mut self, index: u64, offset: u64, length: usize) {
        if self.offsets.is_empty() {
            self.first = index;
        }
        self.offsets.push_back(offset);
        self.end = offset + length as u64;
    }

    /// The index after the last.
    pub(super) fn next(&self) -> u64 {
        self.first.saturating_add(self.offsets.len() as u64)
    }

    /// Where the record of an index is, if it is here.
    pub(super) fn place(&self, index: u64) -> Option<Place> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        let offset = *self.offsets.get(at)?;
        let end = self.offsets.get(at + 1).copied().unwrap_or(self.end);
        Some(Place {
            id: self.id,
            file: self.file.clone(),
            offset,
            length: usize::try_from(end - offset).ok()?,
        })
    }

    /// Forgets the records from an index on, and says where they began.
    pub(super) fn cut(&mut self, from: u64) -> u64 {
        let kept = from.saturating_sub(self.first);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        if let Some(offset) = self.offsets.get(kept) {
            self.end = *offset;
            self.offsets.truncate(kept);
        }
        self.end
    }

    /// Forgets the records before an index, and says where those that are left begin.
    pub(super) fn purge(&mut self, before: u64) -> u64 {
        while self.first < before && self.offsets.pop_front().is_some() {
            self.first += 1;
        }
        self.offsets.front().copied().unwrap_or(self.end)
    }
}

/// Overwrites a part of a segment. It is gone from the disk after the next sync.
pub(super) fn erase(file: &File, from: u64, to: u64) -> io::Result<()> {
    write_zeros_at(file, from..to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::record_to_bytes;
    use crate::engine::{CommittedLeaderId, Payload, Record};

    const ID: SegmentId = SegmentId {
        engine: EngineId::new(0x0102_0304),
        number: 5,
    };

    fn place(index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(3), index)
    }

    fn record(index: u64, length: usize) -> (Entry, Vec<u8>) {
        let entry = Entry {
            log_id: place(index),
            payload: Payload::Normal(Record::new(vec![7; length])),
        };
        let bytes = record_to_bytes(&entry).unwrap();
        (entry, bytes)
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_header_and_a_frame_read_back_and_have_golden_bytes() {
        for previous in [None, Some(place(9))] {
            let header = ID.header(previous);
            assert!(header.len() as u64 <= HEADER_BYTES);
            assert_eq!(ID.previous(&header), Some(previous));
            let other = SegmentId { number: 6, ..ID };
            assert_eq!(other.previous(&header), None);
        }
        let header = ID.header(None);
        assert_eq!(&hex(&header[..18]), "010000000001020304000000000000000500");
        let since = Since {
            began: 7,
            writes: 2,
        };
        let (entry, bytes) = record(8, 5);
        let mut frame = Vec::new();
        ID.put_frame(&mut frame, 128, since, &bytes);
        assert_eq!(
            &hex(&frame[..20]),
            "0000001700000000000000070000000000000002"
        );
        assert_eq!(hex(&frame[20..52]), GOLDEN_CHECK);
        assert_eq!(&frame[52..75], &bytes[..]);
        assert_eq!(frame.len(), 128);
        let frame = Bytes::from(frame);
        assert_eq!(ID.frame(&frame, 128), Some((since, entry)));
        assert_eq!(ID.frame(&frame, 192), None);
    }

    const GOLDEN_CHECK: &str = "c55aae256a5fffb5bcd3424a1f4ef3cac86d1467ddfb381b06f6a7dcacf72787";

    #[test]
    fn every_flipped_bit_of_a_header_and_a_frame_is_refused() {
        let header = ID.header(Some(place(9)));
        for at in 0..34 + HASH_BYTES {
            let mut flipped = header.clone();
            flipped[at] ^= 1;
            assert_ne!(ID.previous(&flipped), Some(Some(place(9))));
        }
        let since = Since {
            began: 7,
            writes: 2,
        };
        let (_, bytes) = record(8, 5);
        let mut frame = Vec::new();
        ID.put_frame(&mut frame, 128, since, &bytes);
        for at in 0..RECORD_AT + bytes.len() {
            let mut flipped = frame.clone();
            flipped[at] ^= 0x10;
            assert_eq!(ID.frame(&Bytes::from(flipped), 128), None, "byte {at}");
        }
    }

    #[test]
    fn a_frame_behind_broken_bytes_says_what_was_durable() {
        let mut bytes = vec![0; 128];
        for (index, began) in [(4, 4), (5, 5), (6, 5), (7, 7)] {
            let since = Since { began, writes: 1 };
            let offset = bytes.len() as u64;
            ID.put_frame(&mut bytes, offset, since, &record(index, 300).1);
        }
        let whole = Bytes::from(bytes.clone());
        let mut frames = Frames::new(ID, &whole, 128);
        let indexes: Vec<_> = frames.by_ref().map(|(.., it)| it.log_id.index).collect();
        assert_eq!(indexes, [4, 5, 6, 7]);
        assert_eq!(frames.at, whole.len());
        // The second record is torn, and so is the call of the fourth, or not.
        let length = (bytes.len() - 128) / 4;
        bytes[128 + length + 80] ^= 1;
        for (last_is_there, durable) in [(true, true), (false, false)] {
            if !last_is_there {
                bytes.truncate(128 + 3 * length);
            }
            let torn = Bytes::from(bytes.clone());
            let mut frames = Frames::new(ID, &torn, 128);
            assert_eq!(frames.by_ref().count(), 1);
            assert_eq!(frames.prove_durable(5), durable);
        }
    }
}
