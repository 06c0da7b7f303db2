//! The engine's way to the engines of other members: our own peer channel.

use std::future::Future;
use std::time::Duration;

use openraft::error::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::v2::RaftNetworkV2;
use openraft::network::{RPCOption, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use proto::roster::Address;
use proto::signing::{PublicKey, SecretKey};
use proto::wire::v1;
use thiserror::Error;
use tonic::{Code, Request, Status};

use super::mandate::{Mandates, TERM_STEP_MAX};
use super::message::{
    Manifest, read_appended, read_voted, write_append, write_install, write_transfer, write_vote,
};
use super::record::vote_from_bytes;
use super::{Applied, EngineId, LeaderId, Seat, Snapshot, TypeConfig, Vote};
use crate::peer::Peer;
use crate::sequencer::Sequencer;

/// How long records may take: they are checked and synced before they are answered.
const APPEND_DEADLINE: Duration = Duration::from_secs(5);
/// How long a vote may take: beyond it the next election is near.
const VOTE_DEADLINE: Duration = Duration::from_millis(500);
/// How long a node may take to catch up before it is told again; what it has, it keeps.
const INSTALL_DEADLINE: Duration = Duration::from_secs(8);

/// Why a message got no answer that can be used.
#[derive(Debug, Error)]
enum LinkError {
    #[error("the roster has no address for this member")]
    NoAddress,
    #[error("it does not answer ({0:?})")]
    Call(Code),
    #[error("its answer cannot be read")]
    Answer,
    #[error("its answer speaks of a term that it cannot know of, or too often")]
    Term,
    #[error("it gives a vote without its signed ballot")]
    Ballot,
    #[error("the message cannot be written")]
    Message,
}

/// Makes the ways to other engines, as the owner of this key.
#[derive(Debug, Clone)]
pub(super) struct Links {
    pub(super) sequencer: Sequencer,
    pub(super) secret: SecretKey,
    pub(super) mandates: Mandates,
    pub(super) id: EngineId,
}

/// The way to one engine.
#[derive(Debug)]
pub(super) struct Link {
    to: EngineId,
    seat: Seat,
    links: Links,
    peer: Option<(PublicKey, Address, Peer)>,
}

impl RaftNetworkFactory<TypeConfig> for Links {
    type Network = Link;

    async fn new_client(&mut self, target: EngineId, node: &Seat) -> Link {
        Link {
            to: target,
            seat: node.clone(),
            links: self.clone(),
            peer: None,
        }
    }
}

impl Link {
    /// The way to where the roster in force says that the member is, and with which key; of one
    /// that has just left, the roster before: until it has lost its vote, it may be needed.
    fn peer(&mut self) -> Result<Peer, LinkError> {
        let snapshot = self.links.sequencer.snapshot();
        let member = snapshot.roster().member(&self.seat.member).cloned();
        let before = || snapshot.roster_before()?.member(&self.seat.member).cloned();
        let member = member.or_else(before).ok_or(LinkError::NoAddress)?;
        let address = member.grpc.as_ref().ok_or(LinkError::NoAddress)?;
        if let Some((key, known, peer)) = &self.peer
            && (key, known) == (&member.public_key, address)
        {
            return Ok(peer.clone());
        }
        let secret = &self.links.secret;
        let peer = Peer::open(member.name.clone(), member.public_key, address, secret);
        let peer = peer.map_err(|_| LinkError::NoAddress)?;
        self.peer = Some((member.public_key, address.clone(), peer.clone()));
        Ok(peer)
    }

    fn mandate(&self, leader: &LeaderId) -> Vec<Vec<u8>> {
        self.links.mandates.show(self.to, leader)
    }

    /// Notes a call that failed.
    fn noted<T>(&self, answer: Result<T, LinkError>) -> Result<T, LinkError> {
        if answer.is_err() {
            self.links.mandates.note_failure(self.to);
        }
        answer
    }

    /// Keeps a ballot for this node. `false` when it is none.
    fn gather(&self, ballot: &[u8], leader: &LeaderId) -> bool {
        let snapshot = self.links.sequencer.snapshot();
        let from = (self.to, &self.seat.member);
        let mandates = &self.links.mandates;
        mandates.gather(ballot, leader, from, snapshot.roster())
    }

    /// What an answer says of the vote of its node. That a majority gave it is not believed: a
    /// leader shows its mandate itself. Nor is a vote for this node in a term that it never asked
    /// for, nor a term that elections cannot have reached.
    fn later(&self, vote: Vote, sent: &LeaderId) -> Result<Vote, LinkError> {
        let (term, sent) = (vote.leader_id.term, sent.term);
        let is_own = vote.leader_id.voted_for == self.links.id;
        if term > sent && (is_own || term - sent > TERM_STEP_MAX) {
            return Err(LinkError::Term);
        }
        Ok(Vote {
            committed: vote.committed && term <= sent,
            ..vote
        })
    }

    /// A leader steps down for a later vote, and not each time that the same node says so.
    fn stepping_down(&self, vote: Vote, sent: &LeaderId) -> Result<Vote, LinkError> {
        let vote = self.later(vote, sent)?;
        let is_heard = vote.leader_id.term <= sent.term || self.links.mandates.hears_later(self.to);
        is_heard.then_some(vote).ok_or(LinkError::Term)
    }

    async fn appended(
        &mut self,
        rpc: &AppendEntriesRequest<TypeConfig>,
    ) -> Result<AppendEntriesResponse<TypeConfig>, LinkError> {
        let (peer, leader) = (self.peer()?, rpc.vote.leader_id);
        let message = write_append(self.to, rpc, self.mandate(&leader));
        let message = message.map_err(|_| LinkError::Message)?;
        let mut engine = peer.engine();
        let call = engine.append(request(message, APPEND_DEADLINE));
        let answer = within(APPEND_DEADLINE, call).await;
        let answer = self.noted(answer)?;
        let is_signed = !answer.ballot.is_empty() && self.gather(&answer.ballot, &leader);
        let mandates = &self.links.mandates;
        mandates.note_answer(self.to, leader.term, is_signed);
        match read_appended(&answer).map_err(|_| LinkError::Answer)? {
            AppendEntriesResponse::HigherVote(vote) => self
                .stepping_down(vote, &leader)
                .map(AppendEntriesResponse::HigherVote),
            answer => Ok(answer),
        }
    }

    async fn voted(
        &mut self,
        rpc: &VoteRequest<TypeConfig>,
        is_real: bool,
    ) -> Result<VoteResponse<TypeConfig>, LinkError> {
        let (mut engine, leader) = (self.peer()?.engine(), rpc.vote.leader_id);
        let asked = write_vote(self.to, rpc);
        let answer = match is_real {
            true => {
                let message = request(asked, VOTE_DEADLINE);
                within(VOTE_DEADLINE, engine.vote(message)).await?
            }
            false => {
                let asked = Some(asked);
                let message = request(v1::PreVoteRequest { asked }, VOTE_DEADLINE);
                let answer = within(VOTE_DEADLINE, engine.pre_vote(message)).await?;
                answer.answer.ok_or(LinkError::Answer)?
            }
        };
        let mut voted = read_voted(&answer).map_err(|_| LinkError::Answer)?;
        if is_real && voted.vote_granted && !self.gather(&answer.ballot, &leader) {
            return Err(LinkError::Ballot);
        }
        voted.vote = self.later(voted.vote, &leader)?;
        Ok(voted)
    }
}

/// A call with its deadline, which is kept here too: a node that is cut off does not keep it.
async fn within<T>(
    deadline: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, LinkError> {
    let answered = tokio::time::timeout(deadline, call).await;
    let answered = answered.unwrap_or_else(|_| Err(Status::deadline_exceeded("")));
    let answer = answered.map_err(|status| LinkError::Call(status.code()))?;
    Ok(answer.into_inner())
}

fn request<T>(message: T, deadline: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(deadline);
    request
}

/// A node that is not there is asked less often than one that gave a wrong answer.
impl From<LinkError> for RPCError<TypeConfig> {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::NoAddress | LinkError::Call(_) => {
                Self::Unreachable(Unreachable::new(&error))
            }
            LinkError::Answer | LinkError::Term | LinkError::Ballot | LinkError::Message => {
                Self::Network(NetworkError::new(&error))
            }
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Link {
    type SnapshotData = Manifest;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        Ok(self.appended(&rpc).await?)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Ok(self.voted(&rpc, true).await?)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Ok(self.voted(&rpc, false).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let streaming = |error| StreamingError::Unreachable(Unreachable::new(&error));
        let mut engine = self.peer().map_err(streaming)?.engine();
        let applied = Applied::from(&snapshot.meta);
        let mandate = self.mandate(&vote.leader_id);
        let message = write_install(self.to, &vote, &applied, &snapshot.snapshot, mandate);
        let message = message.map_err(|_| streaming(LinkError::Message))?;
        let call = engine.install(request(message, INSTALL_DEADLINE));
        let answer = tokio::select! {
            closed = cancel => return Err(StreamingError::Closed(closed)),
            answer = within(INSTALL_DEADLINE, call) => answer,
        };
        let answer = self.noted(answer).map_err(streaming)?;
        let said = vote_from_bytes(&answer.vote).map_err(|_| streaming(LinkError::Answer))?;
        let said = self.stepping_down(said, &vote.leader_id);
        Ok(SnapshotResponse::new(said.map_err(streaming)?))
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let mut engine = self.peer()?.engine();
        let call = engine.transfer(request(write_transfer(&req), VOTE_DEADLINE));
        within(VOTE_DEADLINE, call).await?;
        Ok(Ok(()))
    }
}
