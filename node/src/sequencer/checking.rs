//! One batch, decided again: what every member does before it cosigns.
//!
//! ```text
//! extends -> leader's signature -> issuers' signatures -> decide -> grow -> compare roots
//! ```

use std::thread;

use proto::attestation::Attestation;
use proto::batch::{BatchError, BatchHeader, SignedHeader};
use proto::checkpoint::Checkpoint;
use proto::entry::{Entry, EntryError, Kind, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{LeafIndex, Origin, UnixMillis};
use proto::seal::{Salt, SealedPayload};
use proto::signing::PublicKey;
use proto::wire::WireError;
use proto::wire::batch::BatchRecord;
use thiserror::Error;

use super::steps::{Grown, grow};
use crate::ledger::{Batch, Commit, Outcome, Verdict, decide};
use crate::snapshot::{ReadError, Snapshot};
use crate::store::{Store, StoreError};

/// Entries below which another thread costs more than it saves.
const MIN_SHARE: usize = 16;

/// Why a member does not cosign a batch.
#[derive(Debug, Error)]
pub enum BatchFault {
    /// The record cannot be read.
    #[error("the record: {0}")]
    Malformed(WireError),
    /// Its leader has no vote.
    #[error("the leader that the record names has no vote")]
    NotAVoter,
    /// It is signed for another term than the one in which its leader leads.
    #[error("the batch is of another term than its place in the order")]
    Term,
    /// Its leader has signed another batch for the same place in the same term.
    #[error("the leader has signed another batch for the same place in the same term")]
    TwoHeaders {
        /// That one.
        other: Box<SignedHeader>,
    },
    /// It does not follow the batch that this node holds.
    #[error("the batch does not extend what this node holds")]
    DoesNotExtend,
    /// Its leader did not sign it.
    #[error(transparent)]
    Header(#[from] BatchError),
    /// It is decided at a moment before the one before it, or far from this node's clock.
    #[error("the batch is dated outside what this node's clock allows")]
    Dated,
    /// An entry is malformed, or its issuer did not sign it, or its payload does not fit.
    #[error("entry {place} of the batch is not one that its issuer has signed")]
    Entry {
        /// Its place in the batch, from 0.
        place: usize,
    },
    /// The roots that the leader states do not follow from the entries.
    #[error("the roots of the batch do not follow from its entries")]
    Roots {
        /// What follows.
        computed: Box<Checkpoint>,
    },
    /// The own ledger cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The own store does not take where the engine is.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whose fault it is that a batch is not cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// No honest leader makes such a batch.
    Leader,
    /// The leader's clock or log, or this node's, is not as it should be.
    Unclear,
    /// This node's own.
    Own,
}

impl BatchFault {
    /// The words for what another member can have done wrong, as in the metrics.
    pub const CODES: [&'static str; 9] = [
        "malformed",
        "not-a-voter",
        "term",
        "two-headers",
        "does-not-extend",
        "header",
        "dated",
        "entry",
        "roots",
    ];

    /// The word for it, of [`CODES`](Self::CODES); none for what is this node's own fault.
    #[must_use]
    pub const fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Malformed(_) => "malformed",
            Self::NotAVoter => "not-a-voter",
            Self::Term => "term",
            Self::TwoHeaders { .. } => "two-headers",
            Self::DoesNotExtend => "does-not-extend",
            Self::Header(_) => "header",
            Self::Dated => "dated",
            Self::Entry { .. } => "entry",
            Self::Roots { .. } => "roots",
            Self::Read(_) | Self::Store(_) => return None,
        })
    }

    /// Whose fault it is.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self {
            Self::Malformed(_)
            | Self::NotAVoter
            | Self::Term
            | Self::TwoHeaders { .. }
            | Self::Header(_)
            | Self::Entry { .. }
            | Self::Roots { .. } => Blame::Leader,
            Self::DoesNotExtend | Self::Dated => Blame::Unclear,
            Self::Read(_) | Self::Store(_) => Blame::Own,
        }
    }
}

/// A batch that was decided and grown in memory, and states what this node found too.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) header: SignedHeader,
    pub(super) commit: Commit,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) grown: Grown,
    pub(super) payloads: Vec<(LeafIndex, SealedPayload, Salt)>,
}

impl Prepared {
    pub(super) fn checkpoint(&self, origin: &Origin) -> Checkpoint {
        self.header.claimed().checkpoint(origin)
    }
}

/// Where the chain of headers has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) number: u64,
    pub(super) hash: Hash,
    pub(super) at: UnixMillis,
}

impl Default for Chain {
    /// Before the first batch.
    fn default() -> Self {
        Self {
            number: 0,
            hash: Hash::from_bytes([0; 32]),
            at: UnixMillis::new(0),
        }
    }
}

impl Chain {
    pub(super) fn after(header: &BatchHeader) -> Self {
        Self {
            number: header.number,
            hash: header.hash(),
            at: header.at,
        }
    }

    /// Whether a header is that of the next batch.
    pub(super) fn is_extended_by(&self, header: &BatchHeader) -> bool {
        self.number.checked_add(1) == Some(header.number) && header.previous == self.hash
    }

    /// The header of the next batch.
    pub(super) fn next(
        &self,
        term: u64,
        at: UnixMillis,
        content: Hash,
        state: &Grown,
    ) -> BatchHeader {
        BatchHeader {
            term,
            number: self.number + 1,
            previous: self.hash,
            at,
            size: state.edge.size(),
            log_root: state.edge.root(),
            map_root: state.map.root(),
            content,
        }
    }
}

/// Decides a batch again that extends this state, and compares what it makes of it.
///
/// # Errors
/// [`BatchFault`], the first of these that does not hold: the batch extends chain and state; its
/// leader signed the header; each issuer signed its entry, and each payload fits; the roots that
/// the header states follow.
pub(super) fn check(
    record: BatchRecord,
    leader: &PublicKey,
    chain: &Chain,
    before: &Snapshot,
    store: &Store,
) -> Result<Prepared, BatchFault> {
    let origin = before.roster().origin();
    let BatchRecord {
        header, entries, ..
    } = record;
    let claimed = header.claimed();
    if !chain.is_extended_by(claimed) {
        return Err(BatchFault::DoesNotExtend);
    }
    if claimed.at < chain.at {
        return Err(BatchFault::Dated);
    }
    header.verify(origin, leader)?;
    let (entries, payloads) = verify_entries(entries, origin)?;
    let batch = Batch {
        at: claimed.at,
        entries,
    };
    let (commit, verdicts) = decide(before, &batch)?;
    let grown = grow(before, &commit, store)?;
    let computed = grown.checkpoint(origin);
    if computed != claimed.checkpoint(origin) {
        return Err(BatchFault::Roots {
            computed: Box::new(computed),
        });
    }
    Ok(Prepared {
        payloads: appended(payloads, &verdicts),
        header,
        commit,
        verdicts,
        grown,
    })
}

type Payload = Option<(SealedPayload, Salt)>;

fn verify_entries(
    entries: Vec<(Entry, Payload)>,
    origin: &Origin,
) -> Result<(Vec<VerifiedEntry>, Vec<Payload>), BatchFault> {
    for (place, (entry, payload)) in entries.iter().enumerate() {
        if !is_whole(entry, payload.as_ref()) {
            return Err(BatchFault::Entry { place });
        }
    }
    let (entries, payloads): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
    let verified = verify_signatures(&entries, origin);
    let verified = verified.map_err(|(place, _)| BatchFault::Entry { place })?;
    Ok((verified, payloads))
}

/// Whether the entry has the shape of its kind, and the payload that it commits to.
fn is_whole(entry: &Entry, payload: Option<&(SealedPayload, Salt)>) -> bool {
    let header = entry.header();
    let fits = match (&header.commitment, payload) {
        (None, None) => true,
        (Some(commitment), Some((sealed, salt))) => {
            sealed.commitment(salt).as_hash() == commitment
                && sealed.is_record() == (header.kind == Kind::Access)
        }
        _ => false,
    };
    fits && Attestation::read(header).is_ok()
}

/// Checks the issuers' signatures on all cores.
///
/// # Errors
/// The place of the first part's first entry whose signature fails, and why.
pub(super) fn verify_signatures(
    entries: &[Entry],
    origin: &Origin,
) -> Result<Vec<VerifiedEntry>, (usize, EntryError)> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = entries.len().div_ceil(cores).max(MIN_SHARE);
    let verify = |first: usize, part: &[Entry]| {
        let verified = part.iter().zip(first..).map(|(entry, place)| {
            let verified = entry.clone().verify(origin);
            verified.map_err(|error| (place, error))
        });
        verified.collect::<Result<Vec<_>, _>>()
    };
    if entries.len() <= share {
        return verify(0, entries);
    }
    let parts = thread::scope(|scope| {
        let parts = entries.chunks(share).enumerate();
        let threads: Vec<_> = parts
            .map(|(part, entries)| scope.spawn(move || verify(part * share, entries)))
            .collect();
        let joined = threads.into_iter().map(thread::ScopedJoinHandle::join);
        joined.collect::<Vec<_>>()
    });
    let mut verified = Vec::with_capacity(entries.len());
    for part in parts {
        // A panic in a thread is one here.
        verified.extend(part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
    }
    Ok(verified)
}

/// The payloads of the entries that were appended, with their places.
pub(super) fn appended(
    payloads: Vec<Payload>,
    verdicts: &[Verdict],
) -> Vec<(LeafIndex, SealedPayload, Salt)> {
    let pairs = payloads.into_iter().zip(verdicts);
    let appended = pairs.filter_map(|(payload, verdict)| match verdict {
        Verdict {
            outcome: Outcome::Appended(leaf),
            repeated: false,
        } => payload.map(|(sealed, salt)| (*leaf, sealed, salt)),
        _ => None,
    });
    appended.collect()
}
