//! Members that this node no longer follows as leaders.
//!
//! A leader that goes on saying that it is there would be followed for ever, however often its
//! batches are refused. So nothing of the engine is taken from it after the first such batch: its
//! silence then looks like any other, and the others elect another one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proto::ids::MemberName;

/// How long a leader is not followed whose clock, or whose log, is not as it should be: both can
/// happen to an honest one, and it need not be this node's clock that is right.
const PAUSE: Duration = Duration::from_secs(60);

/// For how long a member is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
    /// For a minute.
    Pause,
    /// Until this node is started again: it has signed what no honest member signs.
    Lasting,
}

/// Whom this node does not follow.
#[derive(Debug, Default)]
pub(super) struct Distrust(Mutex<BTreeMap<MemberName, (Term, Instant)>>);

impl Distrust {
    fn members(&self) -> MutexGuard<'_, BTreeMap<MemberName, (Term, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a member no more. What lasts is not shortened.
    pub(super) fn begin(&self, member: &MemberName, term: Term) {
        let mut members = self.members();
        let lasts = members.get(member).is_some_and(|it| it.0 == Term::Lasting);
        if !lasts {
            tracing::error!(%member, ?term, "this member is not followed as a leader");
            members.insert(member.clone(), (term, Instant::now()));
        }
    }

    /// Whether a member is not followed now.
    pub(super) fn has(&self, member: &MemberName) -> bool {
        self.members()
            .get(member)
            .is_some_and(|(term, since)| match term {
                Term::Pause => since.elapsed() < PAUSE,
                Term::Lasting => true,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lie_is_not_forgotten_for_a_later_mistake() {
        let (distrust, member) = (Distrust::default(), "amc".parse().unwrap());
        assert!(!distrust.has(&member));
        distrust.begin(&member, Term::Lasting);
        distrust.begin(&member, Term::Pause);
        assert_eq!(distrust.members()[&member].0, Term::Lasting);
        assert!(distrust.has(&member) && !distrust.has(&"cnam".parse().unwrap()));
    }
}
