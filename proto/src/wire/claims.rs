//! The messages of `ClaimService`.

use super::{Salt, SealedPayload, WireError, read, v1, write};
use crate::checkpoint::SignedCheckpoint;
use crate::ids::{LeafIndex, UnixMillis};
use crate::receipt::EntryProof;

/// Most entries in a page: so many looks fit one access record, and the page stays below the 4 MiB
/// that a gRPC client takes.
pub const PAGE_CLAIMS_MAX: usize = 32;
/// Most coverages of one payer that a claim rests on: it has at most seven in all.
pub const OWN_COVERAGES_MAX: usize = 7;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimsAsked {
    /// Entries issued before this may be left out.
    pub since: UnixMillis,
    /// Where to go on.
    pub first: LeafIndex,
    /// Most entries in the page, 1 to [`PAGE_CLAIMS_MAX`].
    pub page_size: usize,
}

/// An entry with its place and its payload; nothing of it is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnEntry {
    /// The entry and its place in the log.
    pub proved: EntryProof,
    /// Its sealed payload, while it has one.
    pub payload: Option<(SealedPayload, Salt)>,
}

/// A claim, delivery, release or settlement; nothing of it is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedClaim {
    /// The entry.
    pub entry: OwnEntry,
    /// The coverages of the caller that the claim rests on.
    pub coverages: Vec<OwnEntry>,
    /// The delivery that a settlement judges.
    pub delivery: Option<EntryProof>,
    /// The grant of the till that issued the entry, or of a settlement the delivery.
    pub grant: Option<EntryProof>,
}

/// One page; nothing of it is checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimsPage {
    /// In the order of the log.
    pub entries: Vec<ListedClaim>,
    /// The first index that was not looked at.
    pub next: LeafIndex,
    /// What every place of the page is against.
    pub checkpoint: SignedCheckpoint,
}

/// Reads what a caller asks for.
///
/// # Errors
/// A page larger than [`PAGE_CLAIMS_MAX`].
pub fn read_request(request: &v1::ListClaimsRequest) -> Result<ClaimsAsked, WireError> {
    let got = request.page_size as usize;
    at_most("page_size", got, PAGE_CLAIMS_MAX)?;
    Ok(ClaimsAsked {
        since: UnixMillis::new(request.since),
        first: LeafIndex::new(request.first_index),
        page_size: if got == 0 { PAGE_CLAIMS_MAX } else { got },
    })
}

/// What a caller asks for, as a message.
#[must_use]
pub fn write_request(asked: &ClaimsAsked) -> v1::ListClaimsRequest {
    v1::ListClaimsRequest {
        since: asked.since.get(),
        first_index: asked.first.get(),
        page_size: u32::try_from(asked.page_size).unwrap_or(u32::MAX),
    }
}

/// Reads a page.
///
/// # Errors
/// The first field that is missing or wrong.
pub fn read_page(message: &v1::ListClaimsResponse) -> Result<ClaimsPage, WireError> {
    at_most("entries", message.entries.len(), PAGE_CLAIMS_MAX)?;
    let entries = message.entries.iter().map(read_listed);
    Ok(ClaimsPage {
        entries: entries.collect::<Result<_, WireError>>()?,
        next: LeafIndex::new(message.next_index),
        checkpoint: read::checkpoint(&message.checkpoint)?,
    })
}

fn read_listed(listed: &v1::ListedClaim) -> Result<ListedClaim, WireError> {
    let missing = WireError::Missing { field: "entry" };
    at_most("coverages", listed.coverages.len(), OWN_COVERAGES_MAX)?;
    let coverages = listed.coverages.iter().map(read_own);
    Ok(ListedClaim {
        entry: read_own(listed.entry.as_ref().ok_or(missing)?)?,
        coverages: coverages.collect::<Result<_, WireError>>()?,
        delivery: listed
            .delivery
            .as_ref()
            .map(read::proved_entry)
            .transpose()?,
        grant: listed.grant.as_ref().map(read::proved_entry).transpose()?,
    })
}

pub(super) fn read_own(own: &v1::OwnEntry) -> Result<OwnEntry, WireError> {
    let missing = WireError::Missing { field: "entry" };
    Ok(OwnEntry {
        proved: read::proved_entry(own.entry.as_ref().ok_or(missing)?)?,
        payload: own.payload.as_ref().map(read::payload).transpose()?,
    })
}

fn at_most(field: &'static str, got: usize, max: usize) -> Result<(), WireError> {
    match got > max {
        true => Err(WireError::TooMany { field, got, max }),
        false => Ok(()),
    }
}

/// The claim that a payer names when it asks for a person token.
#[must_use]
pub fn named_claim(request: &v1::EvaluateRequest) -> Option<LeafIndex> {
    request.claim.map(LeafIndex::new)
}

/// A request for evaluations that names a claim.
#[must_use]
pub fn write_evaluate(request: v1::EvaluateRequest, claim: LeafIndex) -> v1::EvaluateRequest {
    v1::EvaluateRequest {
        claim: Some(claim.get()),
        ..request
    }
}

/// A page, as a message.
#[must_use]
pub fn write_page(
    entries: &[ListedClaim],
    next: LeafIndex,
    checkpoint: String,
) -> v1::ListClaimsResponse {
    let listed = |listed: &ListedClaim| v1::ListedClaim {
        entry: Some(write_own(&listed.entry)),
        coverages: listed.coverages.iter().map(write_own).collect(),
        delivery: listed.delivery.as_ref().map(write::proved_entry),
        grant: listed.grant.as_ref().map(write::proved_entry),
    };
    v1::ListClaimsResponse {
        entries: entries.iter().map(listed).collect(),
        next_index: next.get(),
        checkpoint,
    }
}

pub(super) fn write_own(own: &OwnEntry) -> v1::OwnEntry {
    let payload = own.payload.as_ref();
    v1::OwnEntry {
        entry: Some(write::proved_entry(&own.proved)),
        payload: payload.map(|(sealed, salt)| write::payload(sealed, salt)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::example::Ledger;
    use crate::seal::seal;
    use crate::token::SealingSecret;

    fn listed(ledger: &Ledger) -> ListedClaim {
        let salt = Salt::from_bytes([9; 32]);
        let sealed = seal(&[(&SealingSecret::from_bytes([1; 32]), b"terms")], &salt).unwrap();
        let own = |index, payload| OwnEntry {
            proved: ledger.proved(index),
            payload,
        };
        ListedClaim {
            entry: own(4, Some((sealed, salt))),
            coverages: vec![own(3, None)],
            delivery: Some(ledger.proved(4)),
            grant: Some(ledger.proved(2)),
        }
    }

    #[test]
    fn a_page_reads_back_and_needs_its_entries() {
        let ledger = Ledger::of(4);
        let entries = [listed(&ledger)];
        let message = write_page(&entries, LeafIndex::new(5), ledger.checkpoint.to_text());
        let page = read_page(&message).unwrap();
        assert_eq!(page.entries, entries);
        assert_eq!(
            (page.next, page.checkpoint),
            (LeafIndex::new(5), ledger.checkpoint.clone())
        );
        let mut bare = message.clone();
        bare.entries[0].entry = None;
        assert!(read_page(&bare).is_err());
        let mut long = message;
        long.entries = vec![long.entries[0].clone(); PAGE_CLAIMS_MAX + 1];
        assert!(matches!(read_page(&long), Err(WireError::TooMany { .. })));
    }

    #[test]
    fn a_request_reads_back_and_a_page_has_a_limit() {
        let asked = ClaimsAsked {
            since: UnixMillis::new(3),
            first: LeafIndex::new(4),
            page_size: PAGE_CLAIMS_MAX,
        };
        let message = write_request(&asked);
        assert_eq!(read_request(&message), Ok(asked));
        let page_size = 0;
        assert_eq!(
            read_request(&v1::ListClaimsRequest {
                page_size,
                ..message
            }),
            Ok(asked)
        );
        let page_size = 33;
        assert!(
            read_request(&v1::ListClaimsRequest {
                page_size,
                ..message
            })
            .is_err()
        );
    }
}
