//! Whether what callers were told about one slot could be true: is there an order of their calls,
//! each at one moment between question and answer, in which a slot is taken once at a time?
//!
//! The search of Wing and Gong ("Testing and verifying concurrent objects", 1993) with the memory
//! of Lowe (2017): what was tried from the same calls and the same state is not tried again. A call
//! whose answer was lost may have taken effect at any moment after it, or never.

use std::collections::{BTreeSet, HashSet};

/// A call, by its place in the history.
pub type CallId = usize;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// To have the slot.
    Claim,
    /// To free it of this claim.
    Release(CallId),
}

/// What was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was done.
    Accepted,
    /// It was not done; of a claim: because this one has the slot.
    Refused(Option<CallId>),
    /// Nothing.
    Nothing,
}

/// One call about the slot. Times are of one clock, in any unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// When it was made.
    pub at: u64,
    /// When the answer was there; without one, the call may take effect at any time.
    pub answered_at: u64,
    /// What was asked.
    pub asked: Asked,
    /// What was told.
    pub told: Told,
}

impl Call {
    const fn is_answered(&self) -> bool {
        !matches!(self.told, Told::Nothing)
    }

    /// Who has the slot after the call `id`, done while `holder` has it; `None` if what was told
    /// would not be true. Without an answer only what takes effect is of interest.
    fn done(&self, id: CallId, holder: Option<CallId>) -> Option<Option<CallId>> {
        match (self.asked, self.told) {
            (Asked::Claim, Told::Accepted | Told::Nothing) => holder.is_none().then_some(Some(id)),
            (Asked::Claim, Told::Refused(by)) => {
                (holder.is_some() && (by.is_none() || by == holder)).then_some(holder)
            }
            (Asked::Release(claim), Told::Accepted | Told::Nothing) => {
                (holder == Some(claim)).then_some(None)
            }
            (Asked::Release(claim), Told::Refused(_)) => (holder != Some(claim)).then_some(holder),
        }
    }
}

/// No order explains what was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The calls that could be put in order, at most.
    pub explained: Vec<CallId>,
    /// Those of which one had to come next, and could not.
    pub stuck: Vec<CallId>,
}

/// What is done, and who has the slot then: from here the rest does not depend on the order before.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Reached {
    /// All calls before this one are done.
    all_before: CallId,
    /// And these after it.
    beyond: BTreeSet<CallId>,
    holder: Option<CallId>,
}

impl Reached {
    fn has(&self, id: CallId) -> bool {
        id < self.all_before || self.beyond.contains(&id)
    }

    fn with(&self, id: CallId, holder: Option<CallId>) -> Self {
        let mut next = self.clone();
        next.holder = holder;
        next.beyond.insert(id);
        while next.beyond.remove(&next.all_before) {
            next.all_before += 1;
        }
        next
    }

    /// The calls of which one has to come next: made before the first answer that is still open.
    fn next(&self, calls: &[Call]) -> Vec<CallId> {
        let open = || (self.all_before..calls.len()).filter(|id| !self.has(*id));
        let answered = open().filter(|id| calls[*id].is_answered());
        let first = answered.map(|id| calls[id].answered_at).min();
        let Some(first) = first else {
            return Vec::new();
        };
        open().filter(|id| calls[*id].at <= first).collect()
    }
}

/// Finds an order, or says how far one can be found.
///
/// # Errors
/// [`Violation`]: the slot was given twice, or somebody was told what cannot be true.
pub fn check(calls: &[Call]) -> Result<(), Violation> {
    let start = Reached {
        all_before: 0,
        beyond: BTreeSet::new(),
        holder: None,
    };
    let mut seen = HashSet::from([start.clone()]);
    let (mut open, mut best) = (vec![start.clone()], start);
    while let Some(reached) = open.pop() {
        let next = reached.next(calls);
        if next.is_empty() {
            return Ok(());
        }
        for id in next.into_iter().rev() {
            let Some(holder) = calls[id].done(id, reached.holder) else {
                continue;
            };
            let further = reached.with(id, holder);
            if seen.insert(further.clone()) {
                open.push(further);
            }
        }
        if reached.all_before + reached.beyond.len() > best.all_before + best.beyond.len() {
            best = reached;
        }
    }
    Err(Violation {
        explained: (0..calls.len()).filter(|id| best.has(*id)).collect(),
        stuck: best.next(calls),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn call(at: u64, answered_at: u64, asked: Asked, told: Told) -> Call {
        Call {
            at,
            answered_at,
            asked,
            told,
        }
    }

    const fn claim(at: u64, answered_at: u64, told: Told) -> Call {
        call(at, answered_at, Asked::Claim, told)
    }

    const fn release(at: u64, answered_at: u64, claim: CallId, told: Told) -> Call {
        call(at, answered_at, Asked::Release(claim), told)
    }

    #[test]
    fn one_after_the_other_is_legal() {
        let calls = [
            claim(0, 1, Told::Accepted),
            claim(2, 3, Told::Refused(Some(0))),
            release(4, 5, 0, Told::Accepted),
            release(6, 7, 0, Told::Refused(None)),
            claim(8, 9, Told::Accepted),
            claim(10, 11, Told::Refused(Some(4))),
        ];
        assert_eq!(check(&calls), Ok(()));
    }

    #[test]
    fn what_overlaps_may_have_come_in_either_order() {
        let calls = [
            claim(0, 10, Told::Refused(Some(1))),
            claim(1, 9, Told::Accepted),
            release(2, 9, 1, Told::Refused(None)),
        ];
        assert_eq!(check(&calls), Ok(()));
    }

    #[test]
    fn a_slot_that_is_given_twice_is_found() {
        let calls = [claim(0, 1, Told::Accepted), claim(0, 1, Told::Accepted)];
        assert!(check(&calls).is_err());
        let calls = [
            claim(0, 1, Told::Accepted),
            release(2, 3, 0, Told::Accepted),
            claim(4, 5, Told::Accepted),
            release(4, 7, 0, Told::Accepted),
        ];
        let violation = check(&calls).unwrap_err();
        assert_eq!(violation.explained, [0, 1, 2]);
        assert_eq!(violation.stuck, [3]);
    }

    #[test]
    fn a_refusal_before_anybody_has_the_slot_or_by_who_never_had_it_is_found() {
        let early = [
            claim(0, 1, Told::Refused(Some(1))),
            claim(2, 3, Told::Accepted),
        ];
        assert!(check(&early).is_err());
        let wrong = [
            claim(0, 1, Told::Accepted),
            claim(2, 9, Told::Refused(Some(2))),
            claim(3, 9, Told::Refused(Some(0))),
        ];
        assert!(check(&wrong).is_err());
    }

    #[test]
    fn what_was_freed_is_not_held() {
        let calls = [
            claim(0, 1, Told::Accepted),
            release(2, 3, 0, Told::Accepted),
            claim(4, 5, Told::Refused(Some(0))),
        ];
        assert!(check(&calls).is_err());
    }

    #[test]
    fn a_call_without_an_answer_may_have_been_done_late_or_never() {
        let never = [claim(0, 1, Told::Nothing), claim(2, 3, Told::Accepted)];
        assert_eq!(check(&never), Ok(()));
        let late = [
            claim(0, 1, Told::Nothing),
            claim(2, 3, Told::Accepted),
            release(4, 5, 1, Told::Accepted),
            claim(6, 7, Told::Refused(Some(0))),
        ];
        assert_eq!(check(&late), Ok(()));
        // But not before it was made, nor twice.
        let early = [
            claim(0, 1, Told::Refused(Some(1))),
            claim(2, 3, Told::Nothing),
        ];
        assert!(check(&early).is_err());
        let twice = [
            claim(0, 1, Told::Nothing),
            claim(2, 3, Told::Refused(Some(0))),
            release(4, 5, 0, Told::Accepted),
            claim(6, 7, Told::Refused(Some(0))),
        ];
        assert!(check(&twice).is_err());
    }

    /// Histories of an honest slot with callers that overlap are legal; with one answer turned
    /// round, the same search and a slow one that tries every order agree.
    #[test]
    fn the_search_agrees_with_one_that_tries_every_order() {
        let (mut legal, mut broken) = (0, 0);
        for seed in 0..400_u64 {
            let calls = history(seed);
            let told = check(&calls).is_ok();
            let start: Vec<CallId> = (0..calls.len()).collect();
            assert_eq!(told, any_order(&calls, &start, None), "{calls:?}");
            legal += usize::from(told);
            broken += usize::from(!told);
        }
        assert!(legal > 40 && broken > 40, "{legal} legal, {broken} not");
    }

    fn any_order(calls: &[Call], left: &[CallId], holder: Option<CallId>) -> bool {
        if left.iter().all(|id| !calls[*id].is_answered()) {
            return true;
        }
        left.iter().any(|id| {
            let before = |other: &CallId| {
                calls[*other].is_answered() && calls[*other].answered_at < calls[*id].at
            };
            let rest: Vec<_> = left.iter().copied().filter(|other| other != id).collect();
            let done = calls[*id].done(*id, holder);
            !rest.iter().any(before) && done.is_some_and(|next| any_order(calls, &rest, next))
        })
    }

    /// Seven calls that an honest slot has answered at one moment each, some answers changed.
    fn history(seed: u64) -> Vec<Call> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut below = |limit: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % limit
        };
        let (mut calls, mut holder) = (Vec::new(), None);
        for id in 0..7_usize {
            let moment = 10 * id as u64 + 10;
            let asked = match below(2) {
                0 => Asked::Claim,
                _ => Asked::Release(usize::try_from(below(id as u64 + 1)).unwrap()),
            };
            let (at, answered_at) = (moment - below(25).min(moment), moment + below(25));
            let yes = call(at, answered_at, asked, Told::Accepted);
            let told = match yes.done(id, holder) {
                Some(next) => {
                    holder = next;
                    Told::Accepted
                }
                None => Told::Refused(holder.filter(|_| asked == Asked::Claim)),
            };
            let told = match below(12) {
                0 => Told::Accepted,
                1 => Told::Nothing,
                2 => Told::Refused(None),
                _ => told,
            };
            calls.push(call(at, answered_at, asked, told));
        }
        calls
    }
}
