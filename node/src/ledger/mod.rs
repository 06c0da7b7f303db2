//! What is admitted to the ledger: one pure function.
//!
//! [`decide`] takes the ledger as it stands and a batch, and answers with what to commit and one
//! verdict for each entry. It reads no clock, no file and no socket: every member that runs it on
//! the same batches reaches the same log root and the same map root.

mod overlay;
mod replay;
mod rules;

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::attestation::{Attestation, ShapeError, State};
use proto::entry::{Entry, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{LeafIndex, RequestId, TreeSize, UnixMillis};
use proto::map::MapIndex;
use proto::refusal::{Reason, Refusal};
use proto::roster::{Roster, SuccessionError};
use proto::signing::PublicKey;

use self::overlay::Overlay;
pub use self::replay::{ReplayError, replay};

/// The ledger as it stands before a batch.
pub trait View {
    /// Why something could not be read; such a batch is not decided at all.
    type Error;

    /// The number of entries.
    fn size(&self) -> TreeSize;

    /// The roster in force.
    fn roster(&self) -> &Arc<Roster>;

    /// The state that the map has at this place.
    ///
    /// # Errors
    /// The store could not read it, or read something that its hash does not fit.
    fn state(&self, index: &MapIndex) -> Result<Option<State>, Self::Error>;

    /// The entry with this index; `None` when the log is not that long.
    ///
    /// # Errors
    /// The store could not read it, or read something that its hash does not fit.
    fn entry(&self, index: LeafIndex) -> Result<Option<Arc<Entry>>, Self::Error>;

    /// What was answered to this request before.
    ///
    /// # Errors
    /// The store could not read it.
    fn answered(&self, request: &RequestKey) -> Result<Option<Answered>, Self::Error>;
}

/// What a repeat is recognised by: the request id, scoped to its issuer so that nobody can use
/// up another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey {
    /// First, because it begins with the time: keys of one hour lie together.
    pub request_id: RequestId,
    /// Who asked.
    pub issuer: PublicKey,
}

/// The first answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The leaf hash of the bytes that were asked.
    pub leaf: Hash,
    /// What became of them.
    pub outcome: Outcome,
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the log at this index.
    Appended(LeafIndex),
    /// A rule said no.
    Refused(Refusal),
}

/// Entries to decide together, and the moment that decides their clock rules.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The batch's moment, set once by whoever orders it, never by `decide`.
    pub at: UnixMillis,
    /// The entries, in their order. Signatures were checked when each was read: that needs no
    /// ledger, so it is done in parallel before the batch is formed.
    pub entries: Vec<VerifiedEntry>,
}

/// The answer for one entry of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What became of the entry.
    pub outcome: Outcome,
    /// Whether this is the answer to an earlier request with the same bytes.
    pub repeated: bool,
}

/// What a batch changes: all of it is made durable at once, or none.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// The entries to append, the first at the size that the view had.
    pub entries: Vec<VerifiedEntry>,
    /// What changes in the map; `None` removes.
    pub map: BTreeMap<MapIndex, Option<State>>,
    /// The answers to remember.
    pub answers: BTreeMap<RequestKey, Answered>,
    /// Entries whose payload and salt are to be deleted.
    pub erased: Vec<LeafIndex>,
    /// The roster that comes into force after this batch.
    pub roster: Option<Arc<Roster>>,
}

/// Why an entry cannot open a ledger.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError {
    /// The entry does not have the shape of its kind.
    #[error("the first entry: {0}")]
    Shape(#[from] ShapeError),
    /// The entry is of another kind.
    #[error("the first entry must be a roster")]
    NotARoster,
    /// The roster is not a first one, or not signed by all its voting members.
    #[error("the first roster: {0}")]
    Roster(#[from] SuccessionError),
}

/// The commit that opens a ledger: entry 0 is the first roster, signed by all its voting members.
///
/// # Errors
/// The entry is no roster, or the roster is not a valid first one.
pub fn genesis(entry: &VerifiedEntry) -> Result<Commit, GenesisError> {
    let attestation = Attestation::read(entry.header())?;
    let Attestation::Roster(signed) = &attestation else {
        return Err(GenesisError::NotARoster);
    };
    let roster = Arc::new(signed.verify_genesis()?);
    let issuer = &entry.header().issuer;
    let effects = attestation.effects_on(&BTreeMap::new(), LeafIndex::new(0), issuer);
    let map = effects.into_iter().collect();
    Ok(Commit {
        entries: vec![entry.clone()],
        map,
        roster: Some(roster),
        ..Commit::default()
    })
}

/// Decides a batch: entries one after the other, each seeing what the ones before it did.
///
/// # Errors
/// Only what the view could not read. A rule that says no is a [`Verdict`], never an error.
pub fn decide<V: View>(view: &V, batch: &Batch) -> Result<(Commit, Vec<Verdict>), V::Error> {
    let mut overlay = Overlay::new(view);
    let mut verdicts = Vec::with_capacity(batch.entries.len());
    for entry in &batch.entries {
        verdicts.push(decide_entry(&mut overlay, entry, batch.at)?);
    }
    Ok((overlay.into_commit(), verdicts))
}

fn decide_entry<V: View>(
    overlay: &mut Overlay<'_, V>,
    entry: &VerifiedEntry,
    at: UnixMillis,
) -> Result<Verdict, V::Error> {
    let header = entry.header();
    if let Err(reason) = rules::issuer_may(overlay, header, at)? {
        return Ok(first(Outcome::Refused(reason.into())));
    }
    let request = RequestKey {
        request_id: header.request_id,
        issuer: header.issuer,
    };
    let leaf = entry.leaf_hash();
    if let Some(earlier) = overlay.answered(&request)? {
        return Ok(repeat(&earlier, leaf));
    }
    let outcome = match rules::admit(overlay, entry, at)? {
        Ok(attestation) => Outcome::Appended(overlay.append(entry, &attestation)?),
        Err(refusal) => Outcome::Refused(refusal),
    };
    overlay.remember(request, Answered { leaf, outcome });
    Ok(first(outcome))
}

const fn first(outcome: Outcome) -> Verdict {
    Verdict {
        outcome,
        repeated: false,
    }
}

/// Same request, same bytes: the first answer again. Same request, other bytes: refused.
fn repeat(earlier: &Answered, leaf: Hash) -> Verdict {
    if earlier.leaf == leaf {
        Verdict {
            outcome: earlier.outcome,
            repeated: true,
        }
    } else {
        first(Outcome::Refused(Reason::RequestReused.into()))
    }
}

#[cfg(test)]
mod tests;
