//! The engine's state in one value, and the mark outside the database that misses a lost one.
//!
//! ```text
//! version  1 byte
//! id       8 bytes   of this life of the data folder
//! writes   8 bytes   how often this value was written
//! vote     optional: 18 bytes
//! purged   optional: log id, 16 bytes
//! present  optional: first index, 8 bytes; log id of the last record, 16 bytes
//! lock     optional: size, 8 bytes; log root, 32; map root, 32
//! snapshot 1 byte    whether there is one
//! check    32 bytes
//! ```
//!
//! All of it is one value, so that a lost vote is a lost state and cannot pass for "not voted yet".

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use proto::hash::{Context, HASH_BYTES, Hash, derive};
use proto::ids::TreeSize;

use crate::engine::record::{
    RECORD_VERSION, Reader, RecordError, put_log_id, put_optional_log_id, vote_from_bytes,
    vote_to_bytes,
};
use crate::engine::{EngineId, LogId, Vote};

/// What this node signed last. It is durable before the signature leaves, so that a node that
/// stops in between does not sign another history at the same size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedLock {
    /// The size of the log.
    pub size: TreeSize,
    /// The root of the log.
    pub log_root: Hash,
    /// The root of the map.
    pub map_root: Hash,
}

/// The records that are in the engine's log: all from the first index to the last place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSpan {
    /// The index of the first.
    pub first: u64,
    /// The place of the last.
    pub last: LogId,
}

/// What is in the one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct State {
    pub(super) id: EngineId,
    pub(super) writes: u64,
    pub(super) vote: Option<Vote>,
    pub(super) purged: Option<LogId>,
    pub(super) present: Option<RecordSpan>,
    pub(super) lock: Option<SignedLock>,
    pub(super) has_snapshot: bool,
}

impl State {
    /// A new life.
    pub(super) const fn new(id: EngineId) -> Self {
        Self {
            id,
            writes: 0,
            vote: None,
            purged: None,
            present: None,
            lock: None,
            has_snapshot: false,
        }
    }

    /// The index that the next record must have; `None` when any will do, because there never was
    /// one.
    pub(super) fn next_index(&self) -> Option<u64> {
        let last = self.present.map(|span| span.last).or(self.purged);
        last.map(|last| last.index.saturating_add(1))
    }

    /// The value that is stored under a key.
    pub(super) fn to_bytes(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = vec![RECORD_VERSION];
        bytes.extend(self.id.get().to_be_bytes());
        bytes.extend(self.writes.to_be_bytes());
        bytes.push(self.vote.is_some().into());
        if let Some(vote) = &self.vote {
            bytes.extend(vote_to_bytes(vote));
        }
        put_optional_log_id(&mut bytes, self.purged.as_ref());
        bytes.push(self.present.is_some().into());
        if let Some(span) = &self.present {
            bytes.extend(span.first.to_be_bytes());
            put_log_id(&mut bytes, &span.last);
        }
        bytes.push(self.lock.is_some().into());
        if let Some(lock) = &self.lock {
            bytes.extend(lock.size.get().to_be_bytes());
            bytes.extend(lock.log_root.as_bytes());
            bytes.extend(lock.map_root.as_bytes());
        }
        bytes.push(self.has_snapshot.into());
        checked(key, bytes)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) writes under the same key.
    pub(super) fn from_bytes(key: &[u8], bytes: &[u8]) -> Option<Self> {
        Self::parse(unchecked(key, bytes)?).ok()
    }

    fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let mut reader = Reader::versioned(bytes)?;
        let state = Self {
            id: EngineId::new(reader.number("engine id")?),
            writes: reader.number("writes")?,
            vote: optional(&mut reader, |reader| {
                vote_from_bytes(&reader.array::<18>("vote")?)
            })?,
            purged: reader.optional_log_id()?,
            present: optional(&mut reader, |reader| {
                let first = reader.number("first index")?;
                let last = reader.log_id()?;
                Ok(RecordSpan { first, last })
            })?,
            lock: optional(&mut reader, |reader| {
                let size = TreeSize::new(reader.number("size")?);
                let log_root = Hash::from_bytes(reader.array("log root")?);
                let map_root = Hash::from_bytes(reader.array("map root")?);
                Ok(SignedLock {
                    size,
                    log_root,
                    map_root,
                })
            })?,
            has_snapshot: reader.flag("snapshot")?,
        };
        reader.end()?;
        Ok(state)
    }
}

fn optional<'a, T>(
    reader: &mut Reader<'a>,
    value: impl FnOnce(&mut Reader<'a>) -> Result<T, RecordError>,
) -> Result<Option<T>, RecordError> {
    let there = reader.flag("an optional value")?;
    there.then(|| value(reader)).transpose()
}

/// Bytes and, after them, their check under a key: a value that changed on the disk, or lies under
/// another key, is none.
pub(super) fn checked(key: &[u8], mut bytes: Vec<u8>) -> Vec<u8> {
    let check = derive(Context::EngineRecord, &[key, &bytes]);
    bytes.extend(check.as_bytes());
    bytes
}

/// The bytes of a value that passes its check under this key.
pub(super) fn unchecked<'a>(key: &[u8], bytes: &'a [u8]) -> Option<&'a [u8]> {
    let (content, check) = bytes.split_last_chunk::<HASH_BYTES>()?;
    (derive(Context::EngineRecord, &[key, content]).as_bytes() == check).then_some(content)
}

/// How often the engine's state was durably written, at least.
///
/// The database takes a broken byte for the end of its log and opens in the state before it, in
/// which this node has not voted yet or has not got the newest records. This file knows better.
/// It is written after each sync of the database, and synced itself with each vote and snapshot:
/// so it may be behind after a power cut, and is never ahead.
#[derive(Debug)]
pub(in crate::store) struct EngineMark(File);

/// The count, and its complement: a mark with a broken byte is none.
const MARK_BYTES: usize = 16;

impl EngineMark {
    /// Opens the file, or creates it empty.
    pub(in crate::store) fn open(dir: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        Ok(Self(options.open(dir.join("engine"))?))
    }

    /// The file, to be synced.
    pub(in crate::store) const fn file(&self) -> &File {
        &self.0
    }

    pub(super) fn write(&self, writes: u64) -> io::Result<()> {
        let bytes = [writes.to_be_bytes(), (!writes).to_be_bytes()].concat();
        self.0.write_all_at(&bytes, 0)
    }

    /// The count; `Ok(None)` when none was ever written.
    ///
    /// # Errors
    /// `InvalidData` when the bytes are no mark.
    pub(super) fn read(&self) -> io::Result<Option<u64>> {
        let mut bytes = [0; MARK_BYTES];
        if self.0.metadata()?.len() == 0 {
            return Ok(None);
        }
        self.0.read_exact_at(&mut bytes, 0)?;
        let (count, complement) = bytes.split_at(MARK_BYTES / 2);
        let mirrored = count.iter().zip(complement).all(|(a, b)| *a == !*b);
        let count = count.try_into().map(u64::from_be_bytes);
        match count {
            Ok(count) if mirrored => Ok(Some(count)),
            _ => Err(ErrorKind::InvalidData.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::CommittedLeaderId;

    fn full() -> State {
        let log_id = |term, index| LogId::new(CommittedLeaderId::new(term), index);
        State {
            id: EngineId::new(0x0102_0304),
            writes: 77,
            vote: Some(Vote::new_committed(3, EngineId::new(5))),
            purged: Some(log_id(1, 10)),
            present: Some(RecordSpan {
                first: 11,
                last: log_id(3, 12),
            }),
            lock: Some(SignedLock {
                size: TreeSize::new(9),
                log_root: Hash::from_bytes([1; 32]),
                map_root: Hash::from_bytes([2; 32]),
            }),
            has_snapshot: true,
        }
    }

    #[test]
    fn a_state_reads_back_and_has_golden_bytes() {
        let new = State::new(EngineId::new(0x0102_0304));
        for state in [full(), new.clone()] {
            let bytes = state.to_bytes(b"g");
            assert_eq!(State::from_bytes(b"g", &bytes), Some(state));
        }
        let bytes = new.to_bytes(b"g");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(&hex[..44], "01000000000102030400000000000000000000000000");
        assert_eq!(bytes.len(), 22 + HASH_BYTES);
        assert_eq!(full().to_bytes(b"g").len(), 22 + 18 + 16 + 24 + 72 + 32);
    }

    #[test]
    fn every_flipped_bit_every_cut_and_another_key_is_refused() {
        let bytes = full().to_bytes(b"g");
        assert_eq!(State::from_bytes(b"s", &bytes), None);
        for at in 0..bytes.len() {
            assert_eq!(State::from_bytes(b"g", &bytes[..at]), None);
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(State::from_bytes(b"g", &flipped), None);
            }
        }
    }

    #[test]
    fn a_mark_reads_back_and_a_broken_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let mark = EngineMark::open(dir.path()).unwrap();
        assert_eq!(mark.read().unwrap(), None);
        mark.write(300).unwrap();
        assert_eq!(mark.read().unwrap(), Some(300));
        mark.0.write_all_at(&[9], 15).unwrap();
        assert!(mark.read().is_err());
        mark.0.set_len(9).unwrap();
        assert!(mark.read().is_err());
    }
}
