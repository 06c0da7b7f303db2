//! The engine's messages between nodes: openraft's types in the schema's messages, and back.

use bytes::Bytes;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, TransferLeaderRequest, VoteRequest, VoteResponse,
};
use proto::ballot::SignedBallot;
use proto::batch::SignedHeader;
use proto::checkpoint::SignedCheckpoint;
use proto::wire::batch::{read_cosigned, read_header};
use proto::wire::v1::EngineAppendOutcome as Outcome;
use proto::wire::{WireError, v1};

use super::record::{
    RecordError, SEATS_MAX, applied_from_bytes, applied_to_bytes, log_id_from_bytes,
    log_id_to_bytes, record_from_bytes, record_to_bytes, vote_from_bytes, vote_to_bytes,
};
use super::{Applied, EngineId, LogId, TypeConfig};

/// Most records of one message: a heartbeat has none, a batch is one.
pub(super) const RECORDS_MAX: usize = 16;

/// Where a node that is far behind may go on, and what the ledger is there.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The header of the last batch before; none before the first.
    pub header: Option<SignedHeader>,
    /// What a quorum vouches for at that place, or later.
    pub checkpoint: SignedCheckpoint,
}

fn malformed(field: &'static str) -> impl Fn(RecordError) -> WireError {
    move |_| WireError::Format {
        field,
        want: "an engine record",
    }
}

fn place(field: &'static str, bytes: &[u8]) -> Result<Option<LogId>, WireError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    log_id_from_bytes(bytes).map(Some).map_err(malformed(field))
}

fn place_bytes(place: Option<&LogId>) -> Vec<u8> {
    place.map(log_id_to_bytes).unwrap_or_default()
}

/// The ballots that come with a message; nobody has checked them yet.
pub(super) fn read_mandate(mandate: &[Vec<u8>]) -> Result<Vec<SignedBallot>, WireError> {
    let got = mandate.len();
    if got > SEATS_MAX {
        return Err(WireError::TooMany {
            field: "mandate",
            got,
            max: SEATS_MAX,
        });
    }
    let ballots = mandate.iter().map(|bytes| {
        SignedBallot::from_bytes(bytes).map_err(|_| WireError::Format {
            field: "mandate",
            want: "signed ballots",
        })
    });
    ballots.collect()
}

pub(super) fn write_append(
    to: EngineId,
    append: &AppendEntriesRequest<TypeConfig>,
    mandate: Vec<Vec<u8>>,
) -> Result<v1::EngineServiceAppendRequest, RecordError> {
    let records = append.entries.iter().map(record_to_bytes);
    Ok(v1::EngineServiceAppendRequest {
        to: to.get(),
        vote: vote_to_bytes(&append.vote),
        previous: place_bytes(append.prev_log_id.as_ref()),
        records: records.collect::<Result<_, _>>()?,
        committed: place_bytes(append.leader_commit.as_ref()),
        mandate,
    })
}

pub(super) fn read_append(
    message: v1::EngineServiceAppendRequest,
) -> Result<AppendEntriesRequest<TypeConfig>, WireError> {
    let got = message.records.len();
    if got > RECORDS_MAX {
        return Err(WireError::TooMany {
            field: "records",
            got,
            max: RECORDS_MAX,
        });
    }
    let records = message.records.into_iter().map(Bytes::from);
    let entries = records.map(|record| record_from_bytes(&record).map_err(malformed("records")));
    Ok(AppendEntriesRequest {
        vote: vote_from_bytes(&message.vote).map_err(malformed("vote"))?,
        prev_log_id: place("previous", &message.previous)?,
        entries: entries.collect::<Result<_, _>>()?,
        leader_commit: place("committed", &message.committed)?,
    })
}

pub(super) fn write_appended(
    answer: &AppendEntriesResponse<TypeConfig>,
    ballot: Vec<u8>,
) -> v1::EngineServiceAppendResponse {
    let (outcome, place, vote) = match answer {
        AppendEntriesResponse::Success => (Outcome::Done, Vec::new(), Vec::new()),
        AppendEntriesResponse::PartialSuccess(place) => {
            (Outcome::Partly, place_bytes(place.as_ref()), Vec::new())
        }
        AppendEntriesResponse::Conflict => (Outcome::Conflict, Vec::new(), Vec::new()),
        AppendEntriesResponse::HigherVote(vote) => {
            (Outcome::LaterVote, Vec::new(), vote_to_bytes(vote))
        }
    };
    v1::EngineServiceAppendResponse {
        outcome: outcome.into(),
        place,
        vote,
        ballot,
    }
}

pub(super) fn read_appended(
    message: &v1::EngineServiceAppendResponse,
) -> Result<AppendEntriesResponse<TypeConfig>, WireError> {
    Ok(match message.outcome() {
        Outcome::Done => AppendEntriesResponse::Success,
        Outcome::Partly => AppendEntriesResponse::PartialSuccess(place("place", &message.place)?),
        Outcome::Conflict => AppendEntriesResponse::Conflict,
        Outcome::LaterVote => {
            let vote = vote_from_bytes(&message.vote).map_err(malformed("vote"))?;
            AppendEntriesResponse::HigherVote(vote)
        }
        Outcome::Unspecified => {
            return Err(WireError::Value {
                field: "outcome",
                got: message.outcome.into(),
            });
        }
    })
}

pub(super) fn write_vote(
    to: EngineId,
    vote: &VoteRequest<TypeConfig>,
) -> v1::EngineServiceVoteRequest {
    v1::EngineServiceVoteRequest {
        to: to.get(),
        vote: vote_to_bytes(&vote.vote),
        last: place_bytes(vote.last_log_id.as_ref()),
        is_transfer: vote.leadership_transfer,
    }
}

pub(super) fn read_vote(
    message: &v1::EngineServiceVoteRequest,
) -> Result<VoteRequest<TypeConfig>, WireError> {
    let vote = vote_from_bytes(&message.vote).map_err(malformed("vote"))?;
    let mut request = VoteRequest::new(vote, place("last", &message.last)?);
    request.leadership_transfer = message.is_transfer;
    Ok(request)
}

pub(super) fn write_voted(
    answer: &VoteResponse<TypeConfig>,
    ballot: Vec<u8>,
) -> v1::EngineServiceVoteResponse {
    v1::EngineServiceVoteResponse {
        ballot,
        vote: vote_to_bytes(&answer.vote),
        is_granted: answer.vote_granted,
        last: place_bytes(answer.last_log_id.as_ref()),
    }
}

pub(super) fn read_voted(
    message: &v1::EngineServiceVoteResponse,
) -> Result<VoteResponse<TypeConfig>, WireError> {
    let vote = vote_from_bytes(&message.vote).map_err(malformed("vote"))?;
    let last = place("last", &message.last)?;
    Ok(VoteResponse::new(vote, last, message.is_granted))
}

pub(super) fn write_install(
    to: EngineId,
    vote: &super::Vote,
    applied: &Applied,
    manifest: &Manifest,
    mandate: Vec<Vec<u8>>,
) -> Result<v1::EngineServiceInstallRequest, RecordError> {
    let header = manifest.header.as_ref();
    Ok(v1::EngineServiceInstallRequest {
        to: to.get(),
        vote: vote_to_bytes(vote),
        applied: applied_to_bytes(applied)?,
        header: header.map(SignedHeader::to_bytes).unwrap_or_default(),
        checkpoint: manifest.checkpoint.to_text(),
        mandate,
    })
}

pub(super) fn read_install(
    message: &v1::EngineServiceInstallRequest,
) -> Result<(super::Vote, Applied, Manifest), WireError> {
    let header = match message.header.is_empty() {
        true => None,
        false => Some(read_header(&message.header)?),
    };
    let vote = vote_from_bytes(&message.vote).map_err(malformed("vote"))?;
    let applied = applied_from_bytes(&message.applied).map_err(malformed("applied"))?;
    let checkpoint = read_cosigned(&message.checkpoint)?;
    Ok((vote, applied, Manifest { header, checkpoint }))
}

pub(super) fn write_transfer(
    request: &TransferLeaderRequest<TypeConfig>,
) -> v1::EngineServiceTransferRequest {
    v1::EngineServiceTransferRequest {
        to: request.to_node_id().get(),
        vote: vote_to_bytes(request.from_leader()),
        last: place_bytes(request.last_log_id()),
    }
}

pub(super) fn read_transfer(
    message: &v1::EngineServiceTransferRequest,
) -> Result<TransferLeaderRequest<TypeConfig>, WireError> {
    let vote = vote_from_bytes(&message.vote).map_err(malformed("vote"))?;
    let last = place("last", &message.last)?;
    Ok(TransferLeaderRequest::new(
        vote,
        EngineId::new(message.to),
        last,
    ))
}
