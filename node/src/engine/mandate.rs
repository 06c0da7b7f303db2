//! By what a leader leads: the signed ballots of a majority, and who has seen them.
//!
//! openraft believes a message that says a majority has voted. Here the votes come along. Each
//! voter signs the one it gives ([`proto::ballot`]), the candidate gathers them, and its first
//! messages of a term carry them until they are taken. Who takes them promises the same, by a
//! ballot of its own: so the mandate of a leader that stays grows with its federation.
//!
//! A node counts by the membership that it knows, one vote for a seat; or by the voting members of
//! the roster, one for a member. The second is for a node whose membership is old, or that has
//! none yet: its roster it has from the ledger, under the cosignatures of a quorum.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proto::ballot::{Ballot, SignedBallot};
use proto::ids::{MemberName, Origin};
use proto::roster::Roster;
use proto::signing::SecretKey;

use super::{EngineId, LeaderId, Membership, Vote};

/// By how much a message without a mandate may be ahead of this node's term. Elections that fail
/// move terms by one; a member that lies could otherwise use up all of them with one message.
pub(super) const TERM_STEP_MAX: u64 = 1 << 20;
/// How long a leader takes no second word of a later term from the same node: one that lies could
/// otherwise end each term as it begins.
const LATER_TERM_PAUSE: Duration = Duration::from_secs(5);

/// The ballots of this node: those it gives, those it has got, and which leader it has verified.
#[derive(Clone)]
pub(super) struct Mandates(Arc<Inner>);

struct Inner {
    id: EngineId,
    name: MemberName,
    secret: SecretKey,
    origin: Origin,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The own candidacy, and the ballots for it by who gave them.
    own: Option<(LeaderId, BTreeMap<EngineId, SignedBallot>)>,
    /// The term for which each node has signed its ballot.
    taken: BTreeMap<EngineId, u64>,
    /// The newest leader whose mandate this node has verified, and whose engine that is, unless
    /// it was before this start.
    verified: Option<(LeaderId, Option<MemberName>)>,
    /// When each node spoke of a later term.
    later: BTreeMap<EngineId, Instant>,
}

impl fmt::Debug for Mandates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mandates({})", self.0.id)
    }
}

impl Mandates {
    /// What a node starts with. A vote on its disk that says a majority gave it is one whose
    /// mandate was verified before it was written.
    pub(super) fn new(
        id: EngineId,
        name: MemberName,
        secret: SecretKey,
        origin: Origin,
        vote: Option<Vote>,
    ) -> Self {
        let verified = vote.filter(|vote| vote.committed);
        let state = State {
            verified: verified.map(|vote| (vote.leader_id, None)),
            ..State::default()
        };
        Self(Arc::new(Inner {
            id,
            name,
            secret,
            origin,
            state: Mutex::new(state),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs this node's vote for a leader. Only for one that is durable: it is the only one of
    /// its term.
    pub(super) fn ballot(&self, leader: &LeaderId, member: &MemberName) -> Vec<u8> {
        self.signed(leader, member).to_bytes()
    }

    fn signed(&self, leader: &LeaderId, member: &MemberName) -> SignedBallot {
        let ballot = Ballot {
            term: leader.term,
            engine: leader.voted_for.get(),
            member: member.clone(),
            voter_engine: self.0.id.get(),
            voter: self.0.name.clone(),
        };
        ballot.sign(&self.0.origin, &self.0.secret)
    }

    /// Takes a ballot for this node that another one has answered with. `false` when it is none.
    pub(super) fn gather(
        &self,
        bytes: &[u8],
        leader: &LeaderId,
        from: (EngineId, &MemberName),
        roster: &Roster,
    ) -> bool {
        let Ok(signed) = SignedBallot::from_bytes(bytes) else {
            return false;
        };
        let (engine, voter) = from;
        let (ballot, key) = (signed.claimed(), roster.member(voter));
        let is_it = ballot.voter_engine == engine.get()
            && ballot.voter == *voter
            && is_for(ballot, leader, &self.0.name)
            && key.is_some_and(|it| signed.verify(&self.0.origin, &it.public_key).is_ok());
        if is_it {
            let mut state = self.state();
            if let Some((_, ballots)) = own(&mut state, leader) {
                ballots.insert(engine, signed);
            }
        }
        is_it
    }

    /// The mandate of this node as a leader, for one that has not taken anything of its term yet.
    pub(super) fn show(&self, to: EngineId, leader: &LeaderId) -> Vec<Vec<u8>> {
        let mut state = self.state();
        if state.taken.get(&to) == Some(&leader.term) {
            return Vec::new();
        }
        let mut shown = vec![self.ballot(leader, &self.0.name)];
        if let Some((_, ballots)) = own(&mut state, leader) {
            shown.extend(ballots.values().map(SignedBallot::to_bytes));
        }
        shown
    }

    /// A node has answered a message of a term. One that signs no ballot yet, because its log has
    /// to be brought up first, is shown the mandate again: its ballot may be the one that others
    /// will ask for.
    pub(super) fn note_answer(&self, by: EngineId, term: u64, is_signed: bool) {
        if is_signed {
            self.state().taken.insert(by, term);
        }
    }

    /// A call to a node failed: it may have started anew.
    pub(super) fn note_failure(&self, by: EngineId) {
        self.state().taken.remove(&by);
    }

    /// Whether the word of this node that there is a later term is taken now.
    pub(super) fn hears_later(&self, from: EngineId) -> bool {
        let mut state = self.state();
        let heard = state.later.get(&from);
        if heard.is_some_and(|heard| heard.elapsed() < LATER_TERM_PAUSE) {
            return false;
        }
        state.later.insert(from, Instant::now());
        true
    }

    /// Whether this node has verified the mandate of this leader. `is_seated`: whether it knows
    /// the leader's seat as this member's.
    pub(super) fn has_verified(
        &self,
        leader: &LeaderId,
        member: &MemberName,
        is_seated: bool,
    ) -> bool {
        let state = self.state();
        state.verified.as_ref().is_some_and(|(verified, of)| {
            verified == leader && of.as_ref().map_or(is_seated, |of| of == member)
        })
    }

    /// Counts a mandate; if it is a majority, its leader is verified from now on.
    pub(super) fn verify(
        &self,
        shown: &[SignedBallot],
        leader: &LeaderId,
        member: &MemberName,
        membership: &Membership,
        roster: &Roster,
    ) -> bool {
        let voted = voted(shown, leader, member, roster, &self.0.origin);
        let is_one = is_majority_of_seats(&voted, membership) || is_majority(&voted, roster);
        let mut state = self.state();
        let newest = state.verified.as_ref().map_or(0, |(it, _)| it.term);
        if is_one && newest <= leader.term {
            state.verified = Some((*leader, Some(member.clone())));
        }
        is_one
    }
}

/// The ballots for this candidacy; `None` when a later one has begun since.
fn own<'a>(
    state: &'a mut State,
    leader: &LeaderId,
) -> Option<&'a mut (LeaderId, BTreeMap<EngineId, SignedBallot>)> {
    if state
        .own
        .as_ref()
        .is_none_or(|(it, _)| it.term < leader.term)
    {
        state.own = Some((*leader, BTreeMap::new()));
    }
    state.own.as_mut().filter(|(it, _)| it == leader)
}

fn is_for(ballot: &Ballot, leader: &LeaderId, member: &MemberName) -> bool {
    ballot.term == leader.term
        && ballot.engine == leader.voted_for.get()
        && ballot.member == *member
}

/// Who has signed a vote for this leader, and as which engine.
fn voted<'a>(
    shown: &'a [SignedBallot],
    leader: &LeaderId,
    member: &MemberName,
    roster: &Roster,
    origin: &Origin,
) -> BTreeSet<(&'a MemberName, EngineId)> {
    let counted = shown.iter().filter(|signed| {
        let (ballot, key) = (signed.claimed(), roster.member(&signed.claimed().voter));
        is_for(ballot, leader, member)
            && key.is_some_and(|it| signed.verify(origin, &it.public_key).is_ok())
    });
    counted
        .map(SignedBallot::claimed)
        .map(|ballot| (&ballot.voter, EngineId::new(ballot.voter_engine)))
        .collect()
}

/// Whether a majority of each set of voters is among them, each seat by its own member.
fn is_majority_of_seats(
    voted: &BTreeSet<(&MemberName, EngineId)>,
    membership: &Membership,
) -> bool {
    let sets = membership.get_joint_config();
    let has_voted = |id: &&EngineId| {
        let seat = membership.get_node(id);
        seat.is_some_and(|seat| voted.contains(&(&seat.member, **id)))
    };
    let is_majority =
        |set: &BTreeSet<EngineId>| set.iter().filter(has_voted).count() * 2 > set.len();
    !sets.is_empty() && sets.iter().all(is_majority)
}

/// Whether a majority of the voting members is among them.
fn is_majority(voted: &BTreeSet<(&MemberName, EngineId)>, roster: &Roster) -> bool {
    let members: BTreeSet<_> = voted.iter().map(|(member, _)| *member).collect();
    let (mut voting, mut have) = (0, 0);
    for member in roster.voting_members() {
        voting += 1;
        have += usize::from(members.contains(&member.name));
    }
    have * 2 > voting
}

#[cfg(test)]
mod tests;
