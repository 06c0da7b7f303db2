//! Who sits in the engine: a seat for each member's node that asks, a vote for each that has one in
//! the roster, and no vote for anybody else.

use std::collections::{BTreeMap, BTreeSet};

use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver as _;
use proto::ids::MemberName;
use proto::roster::{Member, Roster};
use thiserror::Error;

use super::{Engine, EngineError, said};
use crate::engine::{EngineId, Membership, Seat};
use crate::order::Leadership;
use crate::peer::Peer;

/// By how many records a learner may be behind and still be given a vote.
const LAG_MAX: u64 = 64;

/// Why a roster is not proposed now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotReady {
    /// A member would get a vote whose node does not take part yet, or is behind.
    #[error("{0} cannot vote yet: its node must run with --learn and catch up first")]
    Learns(MemberName),
    /// Too few would cosign at once.
    #[error("by this roster {quorum} members must cosign, and only {ready} of those that vote do")]
    Quorum {
        /// How many of the members that would vote cosign already, with the key that they keep.
        ready: usize,
        /// How many must.
        quorum: usize,
    },
}

impl NotReady {
    #[cfg(test)]
    pub(crate) const fn example() -> Self {
        Self::Quorum {
            ready: 1,
            quorum: 2,
        }
    }
}

impl Engine {
    /// Whether a roster may be proposed: whoever would get a vote by it is there already, and so
    /// many cosign by it at once that the ledger goes on. Only a leader knows.
    ///
    /// # Errors
    /// [`NotReady`].
    pub fn require_ready(&self, next: &Roster) -> Result<(), NotReady> {
        if !matches!(*self.0.leadership.borrow(), Leadership::Own { .. }) {
            return Ok(());
        }
        let now = self.roster();
        let mut ready = 0;
        for member in next.voting_members() {
            let is_ready = self.is_ready(&now, member);
            let is_new = !roster_has_vote(&now, &member.name);
            if is_new && !is_ready {
                return Err(NotReady::Learns(member.name.clone()));
            }
            ready += usize::from(is_ready);
        }
        let quorum = next.quorum();
        match ready < quorum {
            true => Err(NotReady::Quorum { ready, quorum }),
            false => Ok(()),
        }
    }

    /// Whether this member's node follows closely, and has the key that the roster lists.
    fn is_ready(&self, now: &Roster, member: &Member) -> bool {
        if member.name == self.0.name {
            let listed = &member.public_key;
            return *listed == self.0.secret.public() || self.0.next.with(listed).is_some();
        }
        let known = now.member(&member.name).map(|it| it.public_key);
        let membership = self.membership();
        let mut seats = membership.nodes();
        let follows = seats.any(|(id, seat)| seat.member == member.name && self.has_caught_up(id));
        known == Some(member.public_key) && follows
    }

    pub(super) async fn ask_for_seat(&self) -> Result<(), EngineError> {
        let roster = self.roster();
        if roster.member(&self.0.name).is_none() {
            return Ok(());
        }
        let votes = roster_has_vote(&roster, &self.0.name);
        let is_seated = match votes {
            true => self.votes().contains(&self.id()),
            false => self.membership().get_node(&self.id()).is_some(),
        };
        if is_seated {
            return Ok(());
        }
        let peers = Peer::voting(&roster, &self.0.secret).map_err(said)?;
        for peer in peers {
            if let Ok(true) = peer.enlist(self.id().get()).await {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A member asks for a seat for this life of its node. Only a leader gives one.
    ///
    /// # Errors
    /// [`EngineError::Engine`] when the change is not taken now; the member asks again.
    pub async fn enlist(&self, member: MemberName, id: EngineId) -> Result<bool, EngineError> {
        if !matches!(*self.0.leadership.borrow(), Leadership::Own { .. }) {
            return Ok(false);
        }
        self.0.enlisted.lock().await.insert(member.clone(), id);
        let seats = self.membership();
        if seats.get_node(&id).is_none() {
            tracing::info!(%member, engine = %id, "a seat in the ordering engine");
            let added = self.raft().add_learner(id, Seat { member }, false).await;
            added.map_err(said)?;
        }
        Ok(true)
    }

    /// Gives a vote to each member that has one in the roster, and takes it from the others.
    pub(super) async fn give_seats(&self) -> Result<(), EngineError> {
        let roster = self.roster();
        let membership = self.membership();
        let enlisted = self.0.enlisted.lock().await.clone();
        let now = self.votes();
        let wanted = self.wanted(&roster, &membership, &now, &enlisted);
        if !roster_has_vote(&roster, &self.0.name) {
            // Whoever is to lead takes the vote from this node: nobody else follows it any more.
            self.hand_over().await;
            return Ok(());
        }
        // A change of voters that a leader before this one did not carry through is one too.
        let is_halfway = membership.get_joint_config().len() > 1;
        if (wanted != now || is_halfway) && !wanted.is_empty() {
            tracing::info!(
                from = now.len(),
                to = wanted.len(),
                "voters of the ordering engine"
            );
            let change = ChangeMembers::ReplaceAllVoters(wanted);
            self.raft()
                .change_membership(change, true)
                .await
                .map_err(said)?;
            return Ok(());
        }
        let gone = gone(&roster, &membership, &now, &enlisted);
        if !gone.is_empty() {
            let change = ChangeMembers::RemoveNodes(gone);
            self.raft()
                .change_membership(change, false)
                .await
                .map_err(said)?;
        }
        Ok(())
    }

    /// Of each voting member the newest life that has caught up; until then the one that votes.
    fn wanted(
        &self,
        roster: &Roster,
        membership: &Membership,
        now: &BTreeSet<EngineId>,
        enlisted: &BTreeMap<MemberName, EngineId>,
    ) -> BTreeSet<EngineId> {
        let voting = roster.voting_members().filter_map(|member| {
            let of = |id: &&EngineId| {
                let seat = membership.get_node(id);
                seat.is_some_and(|seat| seat.member == member.name)
            };
            let newest = enlisted.get(&member.name).filter(of);
            newest
                .filter(|id| now.contains(id) || self.has_caught_up(id))
                .or_else(|| now.iter().find(of))
                .copied()
        });
        voting.collect()
    }

    pub(super) fn has_caught_up(&self, id: &EngineId) -> bool {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        let last = metrics.last_log_index.unwrap_or(0);
        let matched = metrics
            .replication
            .as_ref()
            .and_then(|it| it.get(id)?.as_ref());
        matched.is_some_and(|matched| matched.index + LAG_MAX >= last)
    }
}

fn roster_has_vote(roster: &Roster, name: &MemberName) -> bool {
    roster.member(name).is_some_and(|it| it.is_voting())
}

/// Seats without a vote whose member has left, or lives on in another seat.
fn gone(
    roster: &Roster,
    membership: &Membership,
    now: &BTreeSet<EngineId>,
    enlisted: &BTreeMap<MemberName, EngineId>,
) -> BTreeSet<EngineId> {
    let seats = membership.nodes().filter(|(id, _)| !now.contains(id));
    let gone = seats.filter(|(id, seat)| {
        roster.member(&seat.member).is_none()
            || enlisted
                .get(&seat.member)
                .is_some_and(|newest| newest != *id)
            || membership
                .nodes()
                .any(|(other, it)| now.contains(other) && it.member == seat.member)
                && !enlisted.contains_key(&seat.member)
    });
    gone.map(|(id, _)| *id).collect()
}
