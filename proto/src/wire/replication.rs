//! What the nodes of members send each other: pages of the log, and entries passed on.

use super::{Append, WireError, read, v1, write};
use crate::checkpoint::SignedCheckpoint;
use crate::entry::{Entry, Issuers};
use crate::lineage::LINEAGE_ROSTERS_MAX;
use crate::merkle::ConsistencyProof;
use crate::receipt::EntryProof;
use crate::seal::{Salt, SealedPayload};

/// Most entries of one page: with it what a follower commits at once stays well under 100 ms.
pub const PAGE_ENTRIES_MAX: usize = 2048;
/// Bytes after which a page takes no further entry: twice the largest batch with its payloads, so
/// that a follower catches up, and half of what a gRPC message may have by default.
pub const PAGE_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Bytes after which a page takes no further roster: some five hundred of a federation of seven,
/// and with the entries still less than a node takes for an answer. A ledger that lacks more
/// changes of members than that is not brought up by pages.
pub const PAGE_ROSTERS_BYTES_MAX: usize = 1536 * 1024;

/// A stretch of the log as another node gives it; nothing of it is checked yet.
#[derive(Debug, Clone)]
pub struct Page {
    /// The entries from the place that was asked for on, each with its payload unless it has none
    /// or it was erased.
    pub entries: Vec<Append>,
    /// The newest checkpoint that the other node has.
    pub checkpoint: SignedCheckpoint,
    /// That the checkpoint's log begins with the log up to the last of these entries.
    pub consistency: ConsistencyProof,
    /// The rosters from the place that was asked for on, up to the one whose quorum vouches for the
    /// checkpoint, each with its place there. A page that reaches the checkpoint needs none, unless
    /// it begins the log.
    pub rosters: Vec<EntryProof>,
}

/// Reads a page.
///
/// # Errors
/// More than [`PAGE_ENTRIES_MAX`] entries, more rosters than [`LINEAGE_ROSTERS_MAX`], a proof that
/// is longer than any, or the first field that is missing or wrong.
pub fn read_page(message: &v1::FollowResponse) -> Result<Page, WireError> {
    at_most("entries", message.entries.len(), PAGE_ENTRIES_MAX)?;
    at_most("rosters", message.rosters.len(), LINEAGE_ROSTERS_MAX)?;
    Ok(Page {
        entries: read_entries(&message.entries)?,
        checkpoint: read::checkpoint(&message.checkpoint)?,
        consistency: read::consistency(&message.consistency)?,
        rosters: message
            .rosters
            .iter()
            .map(read::proved_entry)
            .collect::<Result<_, _>>()?,
    })
}

fn at_most(field: &'static str, got: usize, max: usize) -> Result<(), WireError> {
    (got <= max)
        .then_some(())
        .ok_or(WireError::TooMany { field, got, max })
}

/// The entries of a page or a batch, each with its payload.
pub(super) fn read_entries(entries: &[v1::ReplicatedEntry]) -> Result<Vec<Append>, WireError> {
    let mut issuers = Issuers::default();
    let read = entries.iter().map(|replicated| {
        let payload = replicated.payload.as_ref().map(read::payload).transpose()?;
        Ok((
            Entry::parse_among(&replicated.entry, &mut issuers)?,
            payload,
        ))
    });
    read.collect()
}

/// A page, as it is sent.
#[must_use]
pub fn write_page(page: &Page) -> v1::FollowResponse {
    let entries = page.entries.iter();
    v1::FollowResponse {
        entries: entries
            .map(|(entry, payload)| write_entry(entry, payload.as_ref()))
            .collect(),
        checkpoint: page.checkpoint.to_text(),
        consistency: write::consistency(&page.consistency),
        rosters: page.rosters.iter().map(write::proved_entry).collect(),
    }
}

/// Reads an append that another node passes on for its issuer.
///
/// # Errors
/// The first field that is missing or wrong.
pub fn read_forwarded(append: Option<&v1::AppendRequest>) -> Result<Append, WireError> {
    let append = append.ok_or(WireError::Missing { field: "append" })?;
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
    fn a_page_of_too_many_entries_or_rosters_is_refused_before_any_is_read() {
        let refused = |message, field, max| {
            let refused = read_page(&message).map(|_| ());
            let got = max + 1;
            assert_eq!(refused, Err(WireError::TooMany { field, got, max }));
        };
        let entries = v1::FollowResponse {
            entries: vec![v1::ReplicatedEntry::default(); PAGE_ENTRIES_MAX + 1],
            ..Default::default()
        };
        refused(entries, "entries", PAGE_ENTRIES_MAX);
        let rosters = v1::FollowResponse {
            rosters: vec![v1::ProvedEntry::default(); LINEAGE_ROSTERS_MAX + 1],
            ..Default::default()
        };
        refused(rosters, "rosters", LINEAGE_ROSTERS_MAX);
    }

    #[test]
    fn what_is_passed_on_without_an_append_is_refused() {
        let refused = read_forwarded(None).map(|_| ());
        assert_eq!(refused, Err(WireError::Missing { field: "append" }));
    }
}
