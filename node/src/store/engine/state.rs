//! The engine's state beside its records, in one value.
//!
//! ```text
//! version  1 byte
//! id       8 bytes   of this life of the data folder
//! writes   8 bytes   how often this value was written
//! vote     optional: 18 bytes
//! lock     optional: size, 8 bytes; log root, 32; map root, 32
//! purged   optional: log id, 16 bytes
//! begin    where the log begins: number of the segment, 8 bytes; offset, 8 bytes
//! last     optional: log id of the last record, 16 bytes
//! cutting  1 byte    whether all after the last record is to be overwritten
//! snapshot optional: optional log id, up to where the newest one reaches
//! check    32 bytes
//! ```
//!
//! All of it is one value, so that a lost vote is a lost state and cannot pass for "not voted yet".

use proto::batch::BatchHeader;
use proto::hash::Hash;
use proto::ids::TreeSize;

use super::check::{checked, unchecked};
use super::segment::HEADER_BYTES;
use crate::engine::record::{
    RECORD_VERSION, Reader, RecordError, VOTE_BYTES, put_optional_log_id, vote_from_bytes,
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

impl SignedLock {
    /// What a member signs that cosigns the batch with this header.
    #[must_use]
    pub const fn after(header: &BatchHeader) -> Self {
        Self {
            size: header.size,
            log_root: header.log_root,
            map_root: header.map_root,
        }
    }
}

/// The records that are in the engine's log: all from the first index to the last place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordSpan {
    /// The index of the first.
    pub first: u64,
    /// The place of the last.
    pub last: LogId,
}

/// A place in the log's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    /// The number of the segment.
    pub(super) segment: u64,
    /// The offset in it.
    pub(super) offset: u64,
}

/// What is in the one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct State {
    pub(super) id: EngineId,
    pub(super) writes: u64,
    pub(super) vote: Option<Vote>,
    pub(super) lock: Option<SignedLock>,
    pub(super) purged: Option<LogId>,
    /// Where the first record is that was not purged, or will be.
    pub(super) begin: Position,
    /// The last record when this was written, unless it was purged.
    pub(super) last: Option<LogId>,
    pub(super) cutting: bool,
    pub(super) snapshot: Option<Option<LogId>>,
}

impl State {
    /// A new life.
    pub(super) const fn new(id: EngineId) -> Self {
        Self {
            id,
            writes: 0,
            vote: None,
            lock: None,
            purged: None,
            begin: Position {
                segment: 0,
                offset: HEADER_BYTES,
            },
            last: None,
            cutting: false,
            snapshot: None,
        }
    }

    /// The value as it is stored, with a check that begins with this key.
    pub(super) fn to_bytes(&self, key: &[u8]) -> Vec<u8> {
        let mut bytes = vec![RECORD_VERSION];
        bytes.extend(self.id.get().to_be_bytes());
        bytes.extend(self.writes.to_be_bytes());
        bytes.push(self.vote.is_some().into());
        if let Some(vote) = &self.vote {
            bytes.extend(vote_to_bytes(vote));
        }
        bytes.push(self.lock.is_some().into());
        if let Some(lock) = &self.lock {
            bytes.extend(lock.size.get().to_be_bytes());
            bytes.extend(lock.log_root.as_bytes());
            bytes.extend(lock.map_root.as_bytes());
        }
        put_optional_log_id(&mut bytes, self.purged.as_ref());
        bytes.extend(self.begin.segment.to_be_bytes());
        bytes.extend(self.begin.offset.to_be_bytes());
        put_optional_log_id(&mut bytes, self.last.as_ref());
        bytes.push(self.cutting.into());
        bytes.push(self.snapshot.is_some().into());
        if let Some(reached) = &self.snapshot {
            put_optional_log_id(&mut bytes, reached.as_ref());
        }
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
                vote_from_bytes(&reader.array::<VOTE_BYTES>("vote")?)
            })?,
            lock: optional(&mut reader, lock_from)?,
            purged: reader.optional_log_id()?,
            begin: Position {
                segment: reader.number("segment")?,
                offset: reader.number("offset")?,
            },
            last: reader.optional_log_id()?,
            cutting: reader.flag("cutting")?,
            snapshot: optional(&mut reader, Reader::optional_log_id)?,
        };
        reader.end()?;
        Ok(state)
    }
}

fn lock_from(reader: &mut Reader<'_>) -> Result<SignedLock, RecordError> {
    Ok(SignedLock {
        size: TreeSize::new(reader.number("size")?),
        log_root: Hash::from_bytes(reader.array("log root")?),
        map_root: Hash::from_bytes(reader.array("map root")?),
    })
}

fn optional<'a, T>(
    reader: &mut Reader<'a>,
    value: impl FnOnce(&mut Reader<'a>) -> Result<T, RecordError>,
) -> Result<Option<T>, RecordError> {
    let there = reader.flag("an optional value")?;
    there.then(|| value(reader)).transpose()
}

#[cfg(test)]
mod tests {
    use proto::hash::HASH_BYTES;

    use super::*;
    use crate::engine::CommittedLeaderId;

    fn full() -> State {
        let log_id = |term, index| LogId::new(CommittedLeaderId::new(term), index);
        State {
            id: EngineId::new(0x0102_0304),
            writes: 77,
            vote: Some(Vote::new_committed(3, EngineId::new(5))),
            lock: Some(SignedLock {
                size: TreeSize::new(9),
                log_root: Hash::from_bytes([1; 32]),
                map_root: Hash::from_bytes([2; 32]),
            }),
            purged: Some(log_id(1, 10)),
            begin: Position {
                segment: 4,
                offset: 1088,
            },
            last: Some(log_id(3, 12)),
            cutting: true,
            snapshot: Some(Some(log_id(1, 9))),
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
        let begin = "00000000000000000000000000000080";
        let want = format!("0100000000010203040000000000000000000000{begin}000000");
        assert_eq!(&hex[..78], want);
        assert_eq!(bytes.len(), 39 + HASH_BYTES);
        assert_eq!(
            full().to_bytes(b"g").len(),
            39 + 18 + 72 + 16 + 16 + 17 + 32
        );
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
}
