//! Whether what was looked up about one slot is what the log said at the size that the answer was
//! proved at.
//!
//! A look is answered from the newest state of one node, which may be behind the others by as much
//! as a checkpoint may be old. So it need not fit an order in real time, as calls that change
//! something must ([`crate::linear`]); it has to fit the order of the log, up to its size: the slot
//! is with the last claim before that size that was not released before it. What was accepted has a
//! known place. What was not answered may stand at any, or at none, but not before it was asked.

use crate::linear::{Asked, CallId};

/// Something that was asked for and may have changed the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Which call it was.
    pub id: CallId,
    /// When it was made.
    pub at: u64,
    /// What was asked.
    pub asked: Asked,
    /// Its place in the log, if that was told.
    pub place: Option<u64>,
}

/// What was looked up. Times are of the clock of the changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// When the answer was there.
    pub answered_at: u64,
    /// How many entries the log had that the answer was proved by.
    pub size: u64,
    /// The claim that has the slot, and its place.
    pub holder: Option<(CallId, u64)>,
}

/// Why an answer is not what the log said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// The claim stands behind the size that was answered.
    Beyond,
    /// The claim had yet to be made, or was refused.
    Unasked,
    /// The claim was told another place.
    Moved,
    /// The claim had been released by then.
    Released,
    /// Another claim had come after it by then.
    Overtaken(CallId),
    /// A claim had the slot by then, and nobody had released it.
    Missed(CallId),
}

/// Holds an answer against all that was asked for about its slot.
///
/// # Errors
/// [`Unfit`].
pub fn check(look: &Look, changes: &[Change]) -> Result<(), Unfit> {
    let is_before = |change: &Change| change.place.is_some_and(|place| place < look.size);
    let Some((holder, place)) = look.holder else {
        return nothing_is_missed(look, changes);
    };
    if place >= look.size {
        return Err(Unfit::Beyond);
    }
    if !changes.iter().any(|change| change.id == holder) {
        return Err(Unfit::Unasked);
    }
    for change in changes {
        match change.asked {
            Asked::Claim if change.id == holder => {
                if change.at > look.answered_at {
                    return Err(Unfit::Unasked);
                }
                if change.place.is_some_and(|told| told != place) {
                    return Err(Unfit::Moved);
                }
            }
            Asked::Claim if is_before(change) && change.place > Some(place) => {
                return Err(Unfit::Overtaken(change.id));
            }
            Asked::Release(claim) if claim == holder && is_before(change) => {
                return Err(Unfit::Released);
            }
            Asked::Claim | Asked::Release(_) => {}
        }
    }
    Ok(())
}

/// Each claim that stands before the size is released by one that stands there, or may.
fn nothing_is_missed(look: &Look, changes: &[Change]) -> Result<(), Unfit> {
    let may_be_before = |change: &Change| match change.place {
        Some(place) => place < look.size,
        None => change.at <= look.answered_at,
    };
    for claim in changes.iter().filter(|it| it.asked == Asked::Claim) {
        let frees = |it: &Change| it.asked == Asked::Release(claim.id) && may_be_before(it);
        let stands = claim.place.is_some_and(|place| place < look.size);
        if stands && !changes.iter().any(frees) {
            return Err(Unfit::Missed(claim.id));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn change(id: CallId, at: u64, asked: Asked, place: Option<u64>) -> Change {
        Change {
            id,
            at,
            asked,
            place,
        }
    }

    /// Claimed at 5, released at 7, claimed at 9; a claim and a release whose answers were lost.
    fn changes() -> Vec<Change> {
        vec![
            change(0, 10, Asked::Claim, Some(5)),
            change(1, 20, Asked::Release(0), Some(7)),
            change(2, 30, Asked::Claim, Some(9)),
            change(3, 40, Asked::Claim, None),
            change(4, 50, Asked::Release(2), None),
        ]
    }

    const fn look(answered_at: u64, size: u64, holder: Option<(CallId, u64)>) -> Look {
        Look {
            answered_at,
            size,
            holder,
        }
    }

    #[test]
    fn what_the_log_said_at_each_size_is_true_however_late_it_is_told() {
        for (size, holder) in [
            (5, None),
            (6, Some((0, 5))),
            (7, Some((0, 5))),
            (8, None),
            (10, Some((2, 9))),
            // The release that was not answered may stand there, and then the lost claim.
            (12, None),
            (14, Some((3, 12))),
        ] {
            assert_eq!(
                check(&look(100, size, holder), &changes()),
                Ok(()),
                "{size}"
            );
        }
    }

    #[test]
    fn what_the_log_did_not_say_is_found() {
        for (answered_at, size, holder, unfit) in [
            (100, 5, Some((0, 5)), Unfit::Beyond),
            (5, 6, Some((0, 5)), Unfit::Unasked),
            (35, 20, Some((3, 12)), Unfit::Unasked),
            (100, 20, Some((9, 12)), Unfit::Unasked),
            (100, 6, Some((0, 4)), Unfit::Moved),
            (100, 8, Some((0, 5)), Unfit::Released),
            (100, 12, Some((3, 8)), Unfit::Overtaken(2)),
            (100, 7, None, Unfit::Missed(0)),
            // The release had yet to be asked for.
            (45, 12, None, Unfit::Missed(2)),
        ] {
            let told = check(&look(answered_at, size, holder), &changes());
            assert_eq!(told, Err(unfit), "{holder:?} at {size}");
        }
    }
}
