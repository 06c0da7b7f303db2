//! A record of the engine in values small enough for the database.
//!
//! The database puts a page above a quarter of a segment (1 MiB) into a file of its own, which no
//! sync covers. Up to seventeen values share a page. So a record and its check are cut into parts.

use bytes::Bytes;
use sled::{Batch, IVec};

use super::super::{StoreError, Stored, keys};
use super::state::{checked, unchecked};
use crate::engine::Entry;
use crate::engine::record::{record_from_bytes, record_to_bytes};

/// Longest part: seventeen of them, the values of one page, are 544 KiB.
const PART_BYTES: usize = 32 * 1024;

/// Adds the parts of a record to a batch. Says how many bytes they are.
///
/// # Errors
/// [`StoreError::Record`] when the record is too large.
pub(super) fn insert(batch: &mut Batch, entry: &Entry) -> Result<usize, StoreError> {
    let index = entry.log_id.index;
    let bytes = checked(&keys::record(index), record_to_bytes(entry)?);
    // A record is at most 33 parts.
    for (part, bytes) in (0_u16..).zip(bytes.chunks(PART_BYTES)) {
        batch.insert(&keys::record_part(index, part), bytes);
    }
    Ok(bytes.len())
}

/// Puts records together from their parts, in the order of the keys.
pub(super) struct Records<I: Iterator> {
    parts: std::iter::Peekable<I>,
    next: u64,
}

impl<I: Iterator<Item = Result<(IVec, IVec), StoreError>>> Records<I> {
    /// The records whose parts these are, of which the first must have this index, and each
    /// other the one that follows.
    pub(super) fn new(parts: I, first: u64) -> Self {
        let parts = parts.peekable();
        Self { parts, next: first }
    }

    /// The next record, and how many bytes it is.
    fn read(&mut self) -> Result<Option<(Entry, usize)>, StoreError> {
        if self.parts.peek().is_none() {
            return Ok(None);
        }
        let index = self.next;
        let corrupt = || StoreError::Corrupt {
            what: Stored::EngineRecord(index),
        };
        let mut bytes = Vec::new();
        for part in 0.. {
            let is_of_it = |found: &Result<(IVec, IVec), StoreError>| match found {
                Ok((key, _)) => keys::record_place(key).is_none_or(|(at, _)| at <= index),
                Err(_) => true,
            };
            let Some(found) = self.parts.next_if(is_of_it) else {
                break;
            };
            let (key, value) = found?;
            if keys::record_place(&key) != Some((index, part)) {
                return Err(corrupt());
            }
            bytes.extend_from_slice(&value);
        }
        let content = unchecked(&keys::record(index), &bytes).map(<[u8]>::len);
        let mut bytes = Bytes::from(bytes);
        bytes.truncate(content.ok_or_else(corrupt)?);
        let entry = record_from_bytes(&bytes).map_err(|_| corrupt())?;
        if entry.log_id.index != index {
            return Err(corrupt());
        }
        self.next = index.saturating_add(1);
        Ok(Some((entry, bytes.len())))
    }
}

/// Ends with the first error.
impl<I: Iterator<Item = Result<(IVec, IVec), StoreError>>> Iterator for Records<I> {
    type Item = Result<(Entry, usize), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
