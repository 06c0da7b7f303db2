//! The messages of `AccessService`.

use super::{LOOKUP_KEYS_MAX, Salt, SealedPayload, WireError, read, v1, write};
use crate::attestation::LOOK_KEYS_MAX;
use crate::checkpoint::SignedCheckpoint;
use crate::ids::{LeafIndex, UnixMillis};
use crate::receipt::EntryProof;

/// Most records in a page: an insurer reads some thousand looks a call, and a page of the longest
/// records stays below the 4 MiB that a gRPC client takes.
pub const PAGE_RECORDS_MAX: usize = 16;

// Whatever may be asked for in one lookup can be recorded.
const _: () = assert!(LOOKUP_KEYS_MAX <= LOOK_KEYS_MAX);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordsAsked {
    /// Entries issued before this may be left out.
    pub since: UnixMillis,
    /// Where to go on.
    pub first: LeafIndex,
    /// Most records in the page, 1 to [`PAGE_RECORDS_MAX`].
    pub page_size: usize,
}

/// An access entry with its place and its record; nothing of it is checked yet.
#[derive(Debug, Clone)]
pub struct RecordAnswer {
    /// The entry and its place in the log.
    pub proved: EntryProof,
    /// Its sealed record, while it is not erased.
    pub payload: Option<(SealedPayload, Salt)>,
}

/// One page of records; nothing of it is checked yet.
#[derive(Debug, Clone)]
pub struct RecordsPage {
    /// In the order of the log.
    pub records: Vec<RecordAnswer>,
    /// The first index that was not looked at.
    pub next: LeafIndex,
    /// What every place of the page is against.
    pub checkpoint: SignedCheckpoint,
}

/// Reads what a caller asks for.
///
/// # Errors
/// A page larger than [`PAGE_RECORDS_MAX`].
pub fn read_request(request: &v1::ListRecordsRequest) -> Result<RecordsAsked, WireError> {
    let got = request.page_size as usize;
    if got > PAGE_RECORDS_MAX {
        let (field, max) = ("page_size", PAGE_RECORDS_MAX);
        return Err(WireError::TooMany { field, got, max });
    }
    Ok(RecordsAsked {
        since: UnixMillis::new(request.since),
        first: LeafIndex::new(request.first_index),
        page_size: if got == 0 { PAGE_RECORDS_MAX } else { got },
    })
}

/// What a caller asks for, as a message.
#[must_use]
pub fn write_request(asked: &RecordsAsked) -> v1::ListRecordsRequest {
    v1::ListRecordsRequest {
        since: asked.since.get(),
        first_index: asked.first.get(),
        page_size: u32::try_from(asked.page_size).unwrap_or(u32::MAX),
    }
}

/// Reads a page.
///
/// # Errors
/// The first field that is missing or wrong.
pub fn read_page(message: &v1::ListRecordsResponse) -> Result<RecordsPage, WireError> {
    let got = message.records.len();
    if got > PAGE_RECORDS_MAX {
        let (field, max) = ("records", PAGE_RECORDS_MAX);
        return Err(WireError::TooMany { field, got, max });
    }
    let records = message.records.iter().map(|record| {
        let missing = WireError::Missing { field: "entry" };
        Ok(RecordAnswer {
            proved: read::proved_entry(record.entry.as_ref().ok_or(missing)?)?,
            payload: record.payload.as_ref().map(read::payload).transpose()?,
        })
    });
    Ok(RecordsPage {
        records: records.collect::<Result<_, WireError>>()?,
        next: LeafIndex::new(message.next_index),
        checkpoint: read::checkpoint(&message.checkpoint)?,
    })
}

/// A page, as a message.
#[must_use]
pub fn write_page(
    records: &[RecordAnswer],
    next: LeafIndex,
    checkpoint: String,
) -> v1::ListRecordsResponse {
    let record = |record: &RecordAnswer| v1::SealedRecord {
        entry: Some(write::proved_entry(&record.proved)),
        payload: record
            .payload
            .as_ref()
            .map(|(sealed, salt)| write::payload(sealed, salt)),
    };
    v1::ListRecordsResponse {
        records: records.iter().map(record).collect(),
        next_index: next.get(),
        checkpoint,
    }
}
