//! Admitting again what another member has admitted.
//!
//! The log does not say at which moment an entry was decided, only that it was within
//! [`CLOCK_SKEW_MS_MAX`] of the entry's own time. So an entry is not admitted here only if the
//! rules refuse it at every moment of that span.

use proto::attestation::{Attestation, CLOCK_SKEW_MS_MAX};
use proto::entry::VerifiedEntry;
use proto::ids::{LeafIndex, UnixMillis};
use proto::refusal::Reason;

use super::overlay::Overlay;
use super::rules;
use super::{Answered, Commit, Outcome, RequestKey, View};

/// How far apart the moments are that are tried: the rules about time turn at midnights and at
/// the expiry of a grant, and tills have no reason to meet either within a second.
const STEP_MS: usize = 1_000;

/// Why a stretch of the log is not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayError<E> {
    /// The own ledger could not be read.
    View(E),
    /// An entry breaks a rule, at whatever moment it was decided.
    NotAdmitted {
        /// Its place.
        index: LeafIndex,
        /// The rule, at the entry's own time.
        reason: Reason,
    },
}

impl<E> From<E> for ReplayError<E> {
    fn from(error: E) -> Self {
        Self::View(error)
    }
}

/// What entries change that stand in the log after those of the view: the same commit, but for
/// answers to refused requests, that [`decide`](super::decide) gave the member that ordered them.
///
/// # Errors
/// [`ReplayError`], for the first entry that breaks a rule.
pub fn replay<V: View>(
    view: &V,
    entries: &[VerifiedEntry],
) -> Result<Commit, ReplayError<V::Error>> {
    let mut overlay = Overlay::new(view);
    for (index, entry) in (view.size().get()..).zip(entries) {
        let index = LeafIndex::new(index);
        let not_admitted = |reason| ReplayError::NotAdmitted { index, reason };
        let header = entry.header();
        let request = RequestKey {
            request_id: header.request_id,
            issuer: header.issuer,
        };
        if overlay.answered(&request)?.is_some() {
            return Err(not_admitted(Reason::RequestReused));
        }
        let attestation = admit_at_some_moment(&mut overlay, entry)?.map_err(not_admitted)?;
        let outcome = Outcome::Appended(overlay.append(entry, &attestation)?);
        let leaf = entry.leaf_hash();
        overlay.remember(request, Answered { leaf, outcome });
    }
    Ok(overlay.into_commit())
}

/// The entry's own time first, at which nearly every entry is admitted.
fn admit_at_some_moment<V: View>(
    overlay: &mut Overlay<'_, V>,
    entry: &VerifiedEntry,
) -> Result<Result<Attestation, Reason>, V::Error> {
    let own = entry.header().issued_at;
    let first = match admit(overlay, entry, own)? {
        Ok(attestation) => return Ok(Ok(attestation)),
        Err(reason) => reason,
    };
    for at in moments(own) {
        if let Ok(attestation) = admit(overlay, entry, at)? {
            return Ok(Ok(attestation));
        }
    }
    Ok(Err(first))
}

fn admit<V: View>(
    overlay: &mut Overlay<'_, V>,
    entry: &VerifiedEntry,
    at: UnixMillis,
) -> Result<Result<Attestation, Reason>, V::Error> {
    if let Err(reason) = rules::issuer_may(overlay, entry.header(), at)? {
        return Ok(Err(reason));
    }
    let admitted = rules::admit(overlay, entry, at)?;
    Ok(admitted.map_err(|refusal| refusal.reason))
}

/// Every second at which the entry can have been decided, and the first moment of its last day.
fn moments(own: UnixMillis) -> impl Iterator<Item = UnixMillis> {
    let (first, last) = (
        own.get().saturating_sub(CLOCK_SKEW_MS_MAX),
        own.get().saturating_add(CLOCK_SKEW_MS_MAX),
    );
    let midnight = UnixMillis::new(last).day().start().get();
    (first..=last)
        .step_by(STEP_MS)
        .chain((midnight >= first).then_some(midnight))
        .map(UnixMillis::new)
}
