//! Passing on what a node without a vote is asked to append.

use std::time::Duration;

use proto::entry::VerifiedEntry;
use proto::ids::TreeSize;
use proto::receipt::Receipt;
use proto::refusal::Reason;
use proto::seal::{Salt, SealedPayload};
use proto::wire::v1::append_response::Answer;
use proto::wire::{AppendAnswer, read, v1, write};
use thiserror::Error;
use tokio::time::timeout;
use tonic::{Code, Status};

use crate::peer::Peer;
use crate::sequencer::{Sequencer, StopReason, Unavailable};
use crate::service::CallError;

/// How long an answer waits until this node has the entry too, so that whoever wrote here reads
/// here what he wrote. After it the answer goes out all the same: the entry is in the log.
const CATCH_UP_MAX: Duration = Duration::from_secs(1);

/// Why an entry of this node's own is not proved to be in the log. It may be there all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotIssued {
    /// It was not taken.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The voting member's answer does not prove that it is in the log.
    #[error("the receipt of the entry fails")]
    Unproved,
    /// A rule refused it.
    #[error("the entry was refused: {}", .0.english())]
    Refused(Reason),
}

/// The way to the voting members, for entries.
#[derive(Debug, Clone)]
pub struct Upstream {
    sequencer: Sequencer,
    peers: Vec<Peer>,
}

impl Upstream {
    /// Passes entries on to the first of these that answers, and waits for them in this ledger.
    #[must_use]
    pub const fn new(sequencer: Sequencer, peers: Vec<Peer>) -> Self {
        Self { sequencer, peers }
    }

    /// Passes an append on. The same bytes may be sent again: they get the first answer again.
    ///
    /// # Errors
    /// The voting member's own status, or that none can be reached.
    pub async fn append(&self, append: &v1::AppendRequest) -> Result<v1::AppendResponse, Status> {
        let answer = self.forward(append).await?;
        if let Some(wanted) = size_with(&answer) {
            self.catch_up(wanted).await;
        }
        Ok(answer)
    }

    async fn forward(&self, append: &v1::AppendRequest) -> Result<v1::AppendResponse, Status> {
        for peer in &self.peers {
            match peer.forward(append.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(status) if is_out_of_reach(&status) => {
                    tracing::warn!(member = %peer.member(), code = ?status.code(), "not passed on");
                }
                Err(status) => return Err(*status),
            }
        }
        let unreachable = Unavailable::Stopped(StopReason::NoWriter);
        Err(CallError::from(unreachable).into())
    }

    /// Passes on an entry of this node's own, and returns once it is proved to be in the log.
    ///
    /// # Errors
    /// [`NotIssued`]; the entry may be in the log all the same.
    pub async fn issue(
        &self,
        entry: &VerifiedEntry,
        payload: &(SealedPayload, Salt),
    ) -> Result<Receipt, NotIssued> {
        let append = write::append(entry, Some((&payload.0, &payload.1)));
        let answer = self.forward(&append).await.map_err(|status| {
            NotIssued::from(match status.code() {
                Code::ResourceExhausted => Unavailable::QueueFull,
                _ => Unavailable::Stopped(StopReason::NoWriter),
            })
        })?;
        let read = read::append_answer(answer, entry).map_err(|_| NotIssued::Unproved)?;
        match read {
            AppendAnswer::Refused { reason, .. } => Err(NotIssued::Refused(reason)),
            AppendAnswer::Accepted(receipt) => {
                let snapshot = self.sequencer.snapshot();
                let verified = receipt.verify(snapshot.roster(), &mut |_| {});
                verified.map_err(|_| NotIssued::Unproved)?;
                Ok(receipt)
            }
        }
    }

    /// Returns once this node has published a state of this size, or after a second.
    pub async fn catch_up(&self, wanted: TreeSize) {
        let mut published = self.sequencer.published();
        let reached = published.wait_for(|size| *size >= wanted);
        if timeout(CATCH_UP_MAX, reached).await.is_err() {
            tracing::debug!("an entry was appended that this node does not have yet");
        }
    }
}

/// The size of the log that has what was appended.
fn size_with(answer: &v1::AppendResponse) -> Option<TreeSize> {
    match &answer.answer {
        Some(Answer::Receipt(receipt)) => {
            let index = receipt.inclusion.as_ref()?.index;
            Some(TreeSize::new(index.saturating_add(1)))
        }
        _ => None,
    }
}

/// Whether the status says that there was no answer, rather than being one.
fn is_out_of_reach(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
    ) && status.details().is_empty()
}
