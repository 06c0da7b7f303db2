//! Entries that an honest member does not have in its log: what of it can be shown with the roster
//! alone.

use super::appended::{Before, Seen, StateMissing};
use super::extension::Vouched;
use super::{Appended, BACK_DATING_MS_MAX, BatchLink, EvidenceError, Offence};
use crate::attestation::{
    Attestation, CLOCK_SKEW_MS_MAX, ORDER_SKEW_MS_MAX, SlotStatus, State, slot_index,
};
use crate::entry::Entry;
use crate::ids::{LeafIndex, UnixMillis};
use crate::receipt::EntryProof;
use crate::refusal::Reason;

/// Whether a batch is dated before the one it extends, or an entry of it is issued outside the
/// clock's tolerance of it. Its signatures have been checked.
///
/// Only an entry that the batch itself appended was decided at its moment. Entry 0 founds the
/// ledger and is not decided at all.
pub(super) fn back_dated(
    batch: &BatchLink,
    entry: Option<&EntryProof>,
) -> Result<Result<Offence, EvidenceError>, EvidenceError> {
    let (header, before) = (batch.header.claimed(), &batch.previous);
    let offence = Offence::BackDated {
        term: header.term,
        number: header.number,
    };
    let within = |honest: &'static str| Err(EvidenceError::NoContradiction(honest));
    let Some(proved) = entry else {
        let earliest = before.at.get().saturating_sub(BACK_DATING_MS_MAX);
        return Ok(match header.at.get() < earliest {
            true => Ok(offence),
            false => within("the batch is not dated before the last one"),
        });
    };
    let index = proved.index;
    let is_its_own = !before.size.contains(index) && header.size.contains(index) && index.get() > 0;
    if !is_its_own {
        return Err(EvidenceError::OtherBatch { index });
    }
    let leaf = proved.entry.leaf_hash();
    proved
        .inclusion
        .verify(leaf, index, header.size, header.log_root)?;
    let issued_at = proved.entry.header().issued_at;
    let apart = issued_at.get().abs_diff(header.at.get());
    Ok(match apart > CLOCK_SKEW_MS_MAX {
        true => Ok(offence),
        false => within("the entry was issued within the clock's tolerance of its batch"),
    })
}

/// Whether a rule refuses an entry that is in the log. The signatures have been checked.
///
/// What can be shown is a claim of a slot that is taken, and an entry that was issued long before
/// one that is shown to stand before it. Other rules ask for more of the log than the states that
/// their entry touches.
pub(super) fn broken(
    vouched: &Vouched,
    appended: &Appended,
    index: LeafIndex,
    reason: Reason,
) -> Result<Result<Offence, EvidenceError>, EvidenceError> {
    let mut found = None;
    let ahead = newest_before(appended.entries(), vouched.before.size.get(), index);
    let mut watch = |at: LeafIndex, seen: Seen<'_>, before: Before<'_>| {
        if at == index {
            found = Some(match reason {
                Reason::ClockSkew => is_late(seen, ahead),
                _ => refuses(reason, seen, before)?,
            });
        }
        Ok(())
    };
    let (before, after) = (&vouched.before, &vouched.after);
    appended.map_root_after(before, after, &mut watch)?;
    let offence = Offence::Rule { index, reason };
    Ok(match found {
        None => return Err(EvidenceError::NotAppended { index }),
        Some(None) => Err(EvidenceError::NeedsTheLog { index, reason }),
        Some(Some(true)) => Ok(offence),
        Some(Some(false)) => Err(EvidenceError::NoContradiction(
            "the rule admits the entry where it stands",
        )),
    })
}

/// The latest moment at which an entry was issued that is shown to stand before this place; the
/// first of those given stands at `first`.
fn newest_before(entries: &[Entry], first: u64, index: LeafIndex) -> Option<UnixMillis> {
    let placed = (first..index.get()).zip(entries);
    let decided = placed.filter(|(place, _)| *place > 0);
    decided.map(|(_, entry)| entry.header().issued_at).max()
}

/// Whether the entry was issued too long before one that stands before it; `None` when those that
/// are given do not show it, as one still further ahead may.
fn is_late(seen: Seen<'_>, ahead: Option<UnixMillis>) -> Option<bool> {
    let latest = seen
        .header
        .issued_at
        .get()
        .saturating_add(ORDER_SKEW_MS_MAX);
    ahead
        .is_some_and(|ahead| ahead.get() > latest)
        .then_some(true)
}

/// Whether the rule refuses the entry at every moment at which it can have been decided; `None`
/// when that cannot be told from the states before it.
fn refuses(
    reason: Reason,
    seen: Seen<'_>,
    before: Before<'_>,
) -> Result<Option<bool>, StateMissing> {
    let status = match reason {
        Reason::SlotReserved => SlotStatus::Reserved,
        Reason::SlotHeld => SlotStatus::Held,
        _ => return Ok(None),
    };
    let Attestation::Claim(claim) = seen.says else {
        return Ok(Some(false));
    };
    // A slot that is taken on the last of the days in question is taken on all of them: by the
    // same entry if that is the upper one, and a hold beneath refuses no less without months.
    if status == SlotStatus::Held && claim.early.is_some() {
        return Ok(None);
    }
    let issued_at = seen.header.issued_at.get();
    let latest = UnixMillis::new(issued_at.saturating_add(CLOCK_SKEW_MS_MAX)).day();
    for slot in &claim.slots {
        let Some(State::Slot(state)) = before(&slot_index(slot))? else {
            continue;
        };
        if state.on(latest).is_some_and(|taken| taken.status == status) {
            return Ok(Some(true));
        }
    }
    Ok(Some(false))
}
