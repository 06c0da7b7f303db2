//! What the nodes of members send each other: pages of the log, and entries passed on.

use super::{Append, WireError, read, v1, write};
use crate::checkpoint::SignedCheckpoint;
use crate::entry::Entry;
use crate::seal::{Salt, SealedPayload};

/// Most entries of one page: with it what a follower commits at once stays well under 100 ms.
pub const PAGE_ENTRIES_MAX: usize = 2048;
/// Bytes after which a page takes no further entry: twice the largest batch with its payloads, so
/// that a follower catches up, and half of what a gRPC message may have by default.
pub const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A stretch of the log as another node gives it; nothing of it is checked yet.
#[derive(Debug, Clone)]
pub struct Page {
    /// The entries from the place that was asked for on, each with its payload unless it has none
    /// or it was erased.
    pub entries: Vec<Append>,
    /// The newest checkpoint that the other node has.
    pub checkpoint: SignedCheckpoint,
}

/// Reads a page.
///
/// # Errors
/// More than [`PAGE_ENTRIES_MAX`] entries, or the first field that is missing or wrong.
pub fn read_page(message: &v1::FollowResponse) -> Result<Page, WireError> {
    let got = message.entries.len();
    if got > PAGE_ENTRIES_MAX {
        return Err(WireError::TooMany {
            field: "entries",
            got,
            max: PAGE_ENTRIES_MAX,
        });
    }
    let entries = message.entries.iter().map(|replicated| {
        let payload = replicated.payload.as_ref().map(read::payload).transpose()?;
        Ok((Entry::parse(&replicated.entry)?, payload))
    });
    Ok(Page {
        entries: entries.collect::<Result<_, WireError>>()?,
        checkpoint: read::checkpoint(&message.checkpoint)?,
    })
}

/// Reads an append that another node passes on for its issuer.
///
/// # Errors
/// The first field that is missing or wrong.
pub fn read_forwarded(message: &v1::ForwardRequest) -> Result<Append, WireError> {
    let append = message
        .append
        .as_ref()
        .ok_or(WireError::Missing { field: "append" })?;
    let payload = append.payload.as_ref().map(read::payload).transpose()?;
    Ok((Entry::parse(&append.entry)?, payload))
}

/// An entry of a page.
#[must_use]
pub fn write_entry(entry: &Entry, payload: Option<&(SealedPayload, Salt)>) -> v1::ReplicatedEntry {
    v1::ReplicatedEntry {
        entry: entry.bytes().to_vec(),
        payload: payload.map(|(sealed, salt)| write::payload(sealed, salt)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_too_many_entries_is_refused_before_any_is_read() {
        let message = v1::FollowResponse {
            entries: vec![v1::ReplicatedEntry::default(); PAGE_ENTRIES_MAX + 1],
            checkpoint: String::new(),
        };
        let refused = read_page(&message).map(|_| ());
        let got = PAGE_ENTRIES_MAX + 1;
        let want = WireError::TooMany {
            field: "entries",
            got,
            max: PAGE_ENTRIES_MAX,
        };
        assert_eq!(refused, Err(want));
    }

    #[test]
    fn what_is_passed_on_without_an_append_is_refused() {
        let refused = read_forwarded(&v1::ForwardRequest::default()).map(|_| ());
        assert_eq!(refused, Err(WireError::Missing { field: "append" }));
    }
}
