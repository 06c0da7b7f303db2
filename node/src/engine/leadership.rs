//! Whose turn it is, as far as this node can tell: who is cut off does not lead, and knows no leader.
//!
//! The engine of a leader that is cut off goes on leading, for nobody else: it takes nothing more,
//! and what it has taken waits. The engine of a follower goes on naming the leader that it heard
//! last. Whoever asks such a node to append must not wait for them.

use std::time::{Duration, Instant};

use openraft::{Instant as _, RaftMetrics, ServerState};

use super::TypeConfig;
use crate::order::Leadership;

/// How long there may be silence: by then those who can have elected another leader. It is well
/// above a hiccup of the machine, and small beside the ten seconds for which a till waits.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// How often a node looks whether it has become silent: silence itself does not wake it.
pub(super) const LOOK: Duration = Duration::from_millis(250);

/// What the engine says of itself, unless it speaks of what has been silent for too long.
/// `heard_at` is when a leader was heard last.
pub(super) fn leadership(metrics: &RaftMetrics<TypeConfig>, heard_at: Instant) -> Leadership {
    let term = metrics.current_term;
    let applied = metrics.last_applied.map(|applied| applied.leader_id.term);
    match (metrics.state, metrics.current_leader) {
        (ServerState::Leader, _) if applied == Some(term) && is_followed(metrics) => {
            Leadership::Own { term }
        }
        (ServerState::Leader, _) | (_, None) => Leadership::Nobody,
        (_, Some(_)) if heard_at.elapsed() > SILENCE_MAX => Leadership::Nobody,
        (_, Some(leader)) => {
            let seat = metrics.membership_config.membership().get_node(&leader);
            seat.map_or(Leadership::Nobody, |seat| {
                Leadership::Member(seat.member.clone())
            })
        }
    }
}

/// Whether a majority has answered this leader lately. One that votes alone is one.
fn is_followed(metrics: &RaftMetrics<TypeConfig>) -> bool {
    let membership = metrics.membership_config.membership();
    let answered = metrics.last_quorum_acked.as_ref();
    membership.voter_ids().count() < 2 || answered.is_none_or(|at| at.elapsed() <= SILENCE_MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use openraft::TokioInstant;
    use openraft::metrics::SerdeInstant;

    use super::*;
    use crate::engine::{CommittedLeaderId, EngineId, LogId, Membership, Seat, StoredMembership};

    const VOTERS: [&str; 4] = ["cnam", "alpha", "beta", "opticians"];

    fn metrics(voters: usize, state: ServerState, leader: u64) -> RaftMetrics<TypeConfig> {
        let seats = (1..).zip(&VOTERS[..voters]).map(|(id, name)| {
            let member = name.parse().unwrap();
            (EngineId::new(id), Seat { member })
        });
        let seats: BTreeMap<_, _> = seats.collect();
        let ids: BTreeSet<_> = seats.keys().copied().collect();
        let membership = Membership::new(vec![ids], seats).unwrap();
        let mut metrics = RaftMetrics::new_initial(EngineId::new(1));
        metrics.membership_config = Arc::new(StoredMembership::new(None, membership));
        metrics.state = state;
        metrics.current_term = 3;
        metrics.current_leader = Some(EngineId::new(leader));
        metrics.last_applied = Some(LogId::new(CommittedLeaderId::new(3), 7));
        metrics
    }

    fn before(silence: Duration) -> (Instant, Option<SerdeInstant<TokioInstant>>) {
        let acked = SerdeInstant::new(TokioInstant::now() - silence);
        (Instant::now() - silence, Some(acked))
    }

    #[test]
    fn who_is_cut_off_does_not_lead_and_knows_no_leader() {
        let (lately, long_ago) = (Duration::from_millis(100), SILENCE_MAX * 2);
        for (silence, is_known) in [(lately, true), (long_ago, false)] {
            let (heard_at, acked) = before(silence);
            let mut leads = metrics(4, ServerState::Leader, 1);
            leads.last_quorum_acked = acked;
            let own = Leadership::Own { term: 3 };
            assert_eq!(leadership(&leads, heard_at) == own, is_known);
            let follows = metrics(4, ServerState::Follower, 2);
            let alpha = Leadership::Member("alpha".parse().unwrap());
            assert_eq!(leadership(&follows, heard_at) == alpha, is_known);
        }
    }

    #[test]
    fn one_that_votes_alone_leads_whoever_is_silent() {
        let (heard_at, acked) = before(SILENCE_MAX * 2);
        let mut alone = metrics(1, ServerState::Leader, 1);
        alone.last_quorum_acked = acked;
        assert_eq!(leadership(&alone, heard_at), Leadership::Own { term: 3 });
    }

    #[test]
    fn a_leader_leads_once_it_has_what_came_before() {
        let (heard_at, acked) = before(Duration::ZERO);
        let mut young = metrics(4, ServerState::Leader, 1);
        young.last_quorum_acked = acked;
        young.last_applied = Some(LogId::new(CommittedLeaderId::new(2), 7));
        assert_eq!(leadership(&young, heard_at), Leadership::Nobody);
    }
}
