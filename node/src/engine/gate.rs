//! What a message of another member's engine must be before this node's engine sees it.
//!
//! openraft trusts its peers. Here a message is taken from the seat of the member alone that its
//! TLS certificate names; a batch only after this node has decided it again and found the same
//! roots; a membership only if each of its seats is another member of the roster. So a member
//! that lies can delay, and cannot have honest members order what they would not cosign.

use std::collections::BTreeSet;

use openraft::raft::AppendEntriesRequest;
use proto::ids::MemberName;
use proto::roster::Roster;
use proto::wire::{WireError, v1};
use thiserror::Error;

use super::message::{
    read_append, read_install, read_transfer, read_vote, write_appended, write_voted,
};
use super::record::vote_to_bytes;
use super::running::Engine;
use super::{EngineId, Entry, LeaderId, Membership, Payload, Snapshot, SnapshotMeta, TypeConfig};
use crate::sequencer::BatchFault;

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
    /// A batch in it is not one that this member would cosign.
    #[error("a batch: {0}")]
    Batch(#[from] BatchFault),
    /// A membership in it is not one of this roster.
    #[error("a membership has a seat that is not another member's, or too few voters")]
    Membership,
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
        message: v1::EngineAppendRequest,
    ) -> Result<v1::EngineAppendResponse, GateError> {
        self.require_me(message.to)?;
        let append = read_append(message)?;
        self.require_seat(from, &append.vote.leader_id)?;
        if !append.vote.committed {
            return Err(GateError::NotItsSeat);
        }
        self.require_sound(&append).await?;
        let answer = self.raft().append_entries(append).await;
        Ok(write_appended(&answer.map_err(|_| GateError::Stopped)?))
    }

    /// Answers whether this node votes for a candidate.
    ///
    /// # Errors
    /// [`GateError`]; the engine has then not seen the message.
    pub async fn vote(
        &self,
        from: &MemberName,
        message: &v1::EngineVoteRequest,
    ) -> Result<v1::EngineVoteResponse, GateError> {
        self.require_me(message.to)?;
        let request = read_vote(message)?;
        self.require_seat(from, &request.vote.leader_id)?;
        let answer = self.raft().vote(request).await;
        Ok(write_voted(&answer.map_err(|_| GateError::Stopped)?))
    }

    /// Answers whether this node would vote for a candidate.
    ///
    /// # Errors
    /// [`GateError`]; the engine has then not seen the message.
    pub async fn pre_vote(
        &self,
        from: &MemberName,
        message: &v1::EngineVoteRequest,
    ) -> Result<v1::EngineVoteResponse, GateError> {
        self.require_me(message.to)?;
        let request = read_vote(message)?;
        self.require_seat(from, &request.vote.leader_id)?;
        let answer = self.raft().pre_vote(request).await;
        Ok(write_voted(&answer.map_err(|_| GateError::Stopped)?))
    }

    /// Goes on from where the leader says, once the ledger is there.
    ///
    /// # Errors
    /// [`GateError`]; what the ledger was brought up to, it keeps.
    pub async fn install(
        &self,
        from: &MemberName,
        message: &v1::EngineInstallRequest,
    ) -> Result<v1::EngineInstallResponse, GateError> {
        self.require_me(message.to)?;
        let (vote, applied, manifest) = read_install(message)?;
        self.require_seat(from, &vote.leader_id)?;
        let roster = self.roster();
        require_members(applied.membership.membership(), &roster)?;
        let meta = SnapshotMeta::from(applied);
        let snapshot = Snapshot {
            meta,
            snapshot: manifest,
        };
        let answer = self.raft().install_full_snapshot(vote, snapshot).await;
        let vote = answer.map_err(|_| GateError::Stopped)?.vote;
        Ok(v1::EngineInstallResponse {
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
        message: &v1::EngineTransferRequest,
    ) -> Result<v1::EngineTransferResponse, GateError> {
        self.require_me(message.to)?;
        let request = read_transfer(message)?;
        self.require_seat(from, &request.from_leader().leader_id)?;
        let answer = self.raft().handle_transfer_leader(request).await;
        let is_taken = answer.map_err(|_| GateError::Stopped)?.is_ok();
        Ok(v1::EngineTransferResponse { is_taken })
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

    /// A member speaks for its own seat. Before this node knows any seat, for whichever it says.
    fn require_seat(&self, from: &MemberName, leader: &LeaderId) -> Result<(), GateError> {
        let roster = self.roster();
        if !roster.member(from).is_some_and(|member| member.is_voting()) {
            return Err(GateError::NotAVoter);
        }
        let membership = self.membership();
        match membership.get_node(&leader.voted_for) {
            Some(seat) if seat.member == *from => Ok(()),
            None if membership.nodes().next().is_none() => Ok(()),
            // A seat that was given while this node was away.
            None if !membership.nodes().any(|(_, seat)| seat.member == *from) => Ok(()),
            _ => Err(GateError::NotItsSeat),
        }
    }

    async fn require_sound(
        &self,
        append: &AppendEntriesRequest<TypeConfig>,
    ) -> Result<(), GateError> {
        for Entry { log_id, payload } in &append.entries {
            match payload {
                Payload::Blank => {}
                Payload::Membership(membership) => require_members(membership, &self.roster())?,
                Payload::Normal(record) => {
                    let bytes = record.bytes().clone();
                    let checked = self.sequencer().check(bytes, log_id.leader_id.term).await;
                    checked.ok_or(GateError::Stopped)??;
                }
            }
        }
        Ok(())
    }
}

/// Each seat is a member of the roster; no member votes twice, and none without a vote.
fn require_members(membership: &Membership, roster: &Roster) -> Result<(), GateError> {
    for voters in membership.get_joint_config() {
        let mut members = BTreeSet::new();
        for id in voters {
            let seat = membership.get_node(id).ok_or(GateError::Membership)?;
            if roster.member(&seat.member).is_none() || !members.insert(&seat.member) {
                return Err(GateError::Membership);
            }
        }
    }
    Ok(())
}
