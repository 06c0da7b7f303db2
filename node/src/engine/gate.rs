//! What a message of another member's engine must be before this node's engine sees it.
//!
//! openraft trusts its peers. Here a message is taken from the seat of the member alone that its
//! TLS certificate names; a batch only after this node has decided it again and found the same
//! roots; a membership only if each of its seats is another member of the roster. So a member
//! that lies can delay, and cannot have honest members order what they would not cosign.

use std::collections::BTreeSet;

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use proto::ballot::SignedBallot;
use proto::ids::MemberName;
use proto::roster::Roster;
use proto::wire::batch::BatchRecord;
use proto::wire::{WireError, v1};
use thiserror::Error;

use super::distrust::Term;
use super::mandate::TERM_STEP_MAX;
use super::message::{
    read_append, read_install, read_mandate, read_transfer, read_vote, write_appended, write_voted,
};
use super::record::vote_to_bytes;
use super::running::Engine;
use super::{
    Applied, EngineId, Entry, LeaderId, LogId, Membership, Payload, Record, Snapshot, SnapshotMeta,
    TypeConfig, Vote,
};
use crate::sequencer::{BatchFault, Blame};
use crate::store::StoreError;

/// Why a message of another engine is not taken.
#[derive(Debug, Error)]
pub enum GateError {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// This node has no engine.
    #[error("this node only follows")]
    NoEngine,
    /// It is for another life of this member's node.
    #[error("the message is for another engine")]
    NotMe,
    /// It speaks for a seat that is not its sender's.
    #[error("the message speaks for a seat that is not its sender's")]
    NotItsSeat,
    /// The sender has no vote in the roster in force.
    #[error("the sender has no vote")]
    NotAVoter,
    /// It is of a term in which its sender has not shown the votes of a majority.
    #[error("the sender shows no majority of signed votes for its term")]
    NoMandate,
    /// It asks for a vote in a term that elections cannot have reached.
    #[error("the term is more than {TERM_STEP_MAX} ahead of this node's")]
    FarTerm,
    /// Its sender has led with a batch that this member does not cosign.
    #[error("the sender is not followed since a batch of its was refused")]
    Distrusted,
    /// A batch in it is not one that this member would cosign.
    #[error("a batch: {0}")]
    Batch(#[from] BatchFault),
    /// A membership in it is not one of this roster.
    #[error("a membership has a vote that is not another member's, or takes one from a member")]
    Membership,
    /// The own store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The own engine does not answer.
    #[error("this node's engine has stopped")]
    Stopped,
}

impl Engine {
    /// Takes records of the leader's log.
    ///
    /// # Errors
    /// [`GateError`]; the engine has then not seen the message.
    pub async fn append(
        &self,
        from: &MemberName,
        message: v1::EngineServiceAppendRequest,
    ) -> Result<v1::EngineServiceAppendResponse, GateError> {
        self.require_me(message.to)?;
        let shown = read_mandate(&message.mandate)?;
        let append = read_append(message)?;
        let leader = append.vote.leader_id;
        self.require_leader(from, &append.vote, &shown)?;
        self.require_sound(from, &append).await?;
        let answer = self.raft().append_entries(append).await;
        let answer = answer.map_err(|_| GateError::Stopped)?;
        // These two come once the vote is durable, so this node votes for nobody else.
        let is_durable = matches!(
            answer,
            AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_)
        );
        if is_durable {
            self.hear();
        }
        let ballot = match is_durable && !shown.is_empty() {
            true => self.mandates().ballot(&leader, from),
            false => Vec::new(),
        };
        Ok(write_appended(&answer, ballot))
    }

    /// Answers whether this node votes for a candidate.
    ///
    /// # Errors
    /// [`GateError`]; the engine has then not seen the message.
    pub async fn vote(
        &self,
        from: &MemberName,
        message: &v1::EngineServiceVoteRequest,
    ) -> Result<v1::EngineServiceVoteResponse, GateError> {
        let request = self.candidacy(from, message)?;
        let asked = request.vote;
        let answer = self.raft().vote(request).await;
        let answer = answer.map_err(|_| GateError::Stopped)?;
        // The answer comes once the vote is durable.
        let ballot = match answer.vote_granted && answer.vote == asked {
            true => self.mandates().ballot(&asked.leader_id, from),
            false => Vec::new(),
        };
        Ok(write_voted(&answer, ballot))
    }

    /// Answers whether this node would vote for a candidate.
    ///
    /// # Errors
    /// [`GateError`]; the engine has then not seen the message.
    pub async fn pre_vote(
        &self,
        from: &MemberName,
        message: &v1::EngineServiceVoteRequest,
    ) -> Result<v1::EngineServiceVoteResponse, GateError> {
        let request = self.candidacy(from, message)?;
        let answer = self.raft().pre_vote(request).await;
        let answer = answer.map_err(|_| GateError::Stopped)?;
        Ok(write_voted(&answer, Vec::new()))
    }

    /// What a candidate asks, if it may ask it.
    fn candidacy(
        &self,
        from: &MemberName,
        message: &v1::EngineServiceVoteRequest,
    ) -> Result<VoteRequest<TypeConfig>, GateError> {
        self.require_me(message.to)?;
        let request = read_vote(message)?;
        self.require_candidate(from, &request.vote)?;
        Ok(request)
    }

    /// Goes on from where the leader says, once the ledger is there.
    ///
    /// # Errors
    /// [`GateError`]; what the ledger was brought up to, it keeps.
    pub async fn install(
        &self,
        from: &MemberName,
        message: &v1::EngineServiceInstallRequest,
    ) -> Result<v1::EngineServiceInstallResponse, GateError> {
        self.require_me(message.to)?;
        let shown = read_mandate(&message.mandate)?;
        let (vote, applied, manifest) = read_install(message)?;
        self.require_leader(from, &vote, &shown)?;
        self.require_members(applied.log_id, applied.membership.membership())?;
        let meta = SnapshotMeta::from(applied);
        let snapshot = Snapshot {
            meta,
            snapshot: manifest,
        };
        let answer = self.raft().install_full_snapshot(vote, snapshot).await;
        let vote = answer.map_err(|_| GateError::Stopped)?.vote;
        Ok(v1::EngineServiceInstallResponse {
            vote: vote_to_bytes(&vote),
        })
    }

    /// Takes the lead, as the leader asks.
    ///
    /// # Errors
    /// [`GateError`]; the engine has then not seen the message.
    pub async fn transfer(
        &self,
        from: &MemberName,
        message: &v1::EngineServiceTransferRequest,
    ) -> Result<v1::EngineServiceTransferResponse, GateError> {
        self.require_me(message.to)?;
        let request = read_transfer(message)?;
        self.require_own_seat(from, &request.from_leader().leader_id)?;
        let answer = self.raft().handle_transfer_leader(request).await;
        let is_taken = answer.map_err(|_| GateError::Stopped)?.is_ok();
        Ok(v1::EngineServiceTransferResponse { is_taken })
    }

    fn require_me(&self, to: u64) -> Result<(), GateError> {
        (self.id() == EngineId::new(to))
            .then_some(())
            .ok_or(GateError::NotMe)
    }

    /// A member asks for a seat for a life of its node.
    ///
    /// # Errors
    /// [`GateError::NotAVoter`] when it is no member; [`GateError::Stopped`] when the engine does
    /// not take the change now.
    pub async fn enlisted(&self, from: &MemberName, id: u64) -> Result<bool, GateError> {
        if self.roster().member(from).is_none() {
            return Err(GateError::NotAVoter);
        }
        let seated = self.enlist(from.clone(), EngineId::new(id)).await;
        seated.map_err(|_| GateError::Stopped)
    }

    fn require_voting(&self, from: &MemberName) -> Result<(), GateError> {
        let roster = self.roster();
        let votes = roster.member(from).is_some_and(|it| it.is_voting());
        if !votes {
            return Err(GateError::NotAVoter);
        }
        let is_followed = !self.distrust().has(from);
        is_followed.then_some(()).ok_or(GateError::Distrusted)
    }

    /// A member speaks for its own seat. Before this node knows any seat, for whichever it says.
    fn require_seat(&self, from: &MemberName, leader: &LeaderId) -> Result<(), GateError> {
        self.require_voting(from)?;
        self.require_own_seat(from, leader)
    }

    /// The same for one that may have lost its vote: a leader that leaves hands the lead over.
    fn require_own_seat(&self, from: &MemberName, leader: &LeaderId) -> Result<(), GateError> {
        let membership = self.membership();
        match membership.get_node(&leader.voted_for) {
            Some(seat) if seat.member == *from => Ok(()),
            None if membership.nodes().next().is_none() => Ok(()),
            // A seat that was given while this node was away.
            None if !membership.nodes().any(|(_, seat)| seat.member == *from) => Ok(()),
            _ => Err(GateError::NotItsSeat),
        }
    }

    /// A candidate asks for its own seat, and in a term that elections may have reached.
    fn require_candidate(&self, from: &MemberName, vote: &Vote) -> Result<(), GateError> {
        self.require_seat(from, &vote.leader_id)?;
        if vote.committed {
            return Err(GateError::NoMandate);
        }
        let own = self.own_vote().leader_id.term;
        let is_near = vote.leader_id.term <= own.saturating_add(TERM_STEP_MAX);
        is_near.then_some(()).ok_or(GateError::FarTerm)
    }

    /// A leader speaks in its own name, and has shown once that a majority gave it its term. What
    /// is of an earlier term than this node's is let through: the engine answers it with the later.
    fn require_leader(
        &self,
        from: &MemberName,
        vote: &Vote,
        shown: &[SignedBallot],
    ) -> Result<(), GateError> {
        let (leader, membership) = (&vote.leader_id, self.membership());
        self.require_voting(from)?;
        let seat = membership.get_node(&leader.voted_for);
        if seat.is_some_and(|seat| seat.member != *from) {
            return Err(GateError::NotItsSeat);
        }
        if !vote.committed {
            return Err(GateError::NoMandate);
        }
        let mandates = self.mandates();
        let is_taken = leader.term < self.own_vote().leader_id.term
            || mandates.has_verified(leader, from, seat.is_some())
            || mandates.verify(shown, leader, from, &membership, &self.roster());
        is_taken.then_some(()).ok_or(GateError::NoMandate)
    }

    async fn require_sound(
        &self,
        from: &MemberName,
        append: &AppendEntriesRequest<TypeConfig>,
    ) -> Result<(), GateError> {
        let led_in = append.vote.leader_id.term;
        for Entry { log_id, payload } in &append.entries {
            match payload {
                Payload::Blank => {}
                Payload::Membership(next) => {
                    self.require_members(Some(*log_id), next)?;
                }
                Payload::Normal(record) => {
                    let (bytes, term) = (record.bytes().clone(), log_id.leader_id.term);
                    let checked = self.sequencer().check(bytes, term, led_in).await;
                    if let Err(fault) = checked.ok_or(GateError::Stopped)? {
                        self.blame(from, record, &fault);
                        return Err(fault.into());
                    }
                }
            }
        }
        Ok(())
    }

    fn require_members(&self, at: Option<LogId>, next: &Membership) -> Result<(), GateError> {
        let applied = self.applied()?;
        let mut votes = applied.membership.membership().voter_ids();
        let learns = votes.all(|id| id != self.id());
        let known = Known {
            applied: &applied,
            roster: &self.roster(),
            learns,
        };
        require_members(at, next, &known)
    }

    /// Follows the leader of a refused batch no more, and keeps the batch. Who hands on what another
    /// has signed may have taken it unseen, while it was behind.
    fn blame(&self, from: &MemberName, record: &Record, fault: &BatchFault) {
        tracing::error!(%from, %fault, "a batch is refused");
        self.refusals().count(fault);
        let record = BatchRecord::from_bytes(record.bytes()).ok();
        let handed_on = record.as_ref().is_some_and(|it| it.leader != *from);
        match fault.blame() {
            Blame::Leader if !handed_on => self.distrust().begin(from, Term::Lasting),
            Blame::Leader | Blame::Unclear => self.distrust().begin(from, Term::Pause),
            Blame::Own => return,
        }
        let Some(record) = record else { return };
        self.refusals()
            .keep(from, &record, fault, (self.store(), self.sequencer()));
    }
}

/// What is known here when a membership comes.
struct Known<'a> {
    applied: &'a Applied,
    roster: &'a Roster,
    /// Whether this node has no vote in what it has applied.
    learns: bool,
}

/// Each voter is a member of the roster, or one that has left and votes on in the old set until the
/// new one is in force beside it; no member votes twice; and no member that has a vote loses it as
/// long as the roster gives it one. What a leader repeats of what this node has applied is
/// history: it changes nothing. So is what a node without a vote is told of members that have left
/// since: whatever it takes, nobody counts it.
fn require_members(
    at: Option<LogId>,
    next: &Membership,
    known: &Known<'_>,
) -> Result<(), GateError> {
    let Known {
        applied,
        roster,
        learns,
    } = *known;
    let index = |place: Option<LogId>| place.map(|place| place.index);
    if applied.log_id.is_some() && index(at) <= index(applied.log_id) {
        return Ok(());
    }
    let stays: BTreeSet<_> = voters(applied.membership.membership())
        .filter(|name| roster.member(name).is_some_and(|it| it.is_voting()))
        .collect();
    let voted: BTreeSet<_> = applied.membership.membership().voter_ids().collect();
    let sets = next.get_joint_config();
    if sets.is_empty() {
        return Err(GateError::Membership);
    }
    for (place, set) in sets.iter().enumerate() {
        let is_old = place + 1 < sets.len();
        let mut members = BTreeSet::new();
        for id in set {
            let seat = next.get_node(id).ok_or(GateError::Membership)?;
            let has_left = learns || is_old && voted.contains(id);
            let is_known = roster.member(&seat.member).is_some() || has_left;
            if !is_known || !members.insert(&seat.member) {
                return Err(GateError::Membership);
            }
        }
        if !stays.is_subset(&members) {
            return Err(GateError::Membership);
        }
    }
    Ok(())
}

fn voters(membership: &Membership) -> impl Iterator<Item = &MemberName> {
    let seats = membership
        .voter_ids()
        .filter_map(|id| membership.get_node(&id));
    seats.map(|seat| &seat.member)
}

#[cfg(test)]
mod tests;
