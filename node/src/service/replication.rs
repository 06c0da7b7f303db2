//! `ReplicationService`: what the nodes of members ask of each other.

use proto::ids::{TreeSize, UnixSeconds};
use proto::wire::batch::read_cosigned;
use proto::wire::replication::{PAGE_ENTRIES_MAX, read_forwarded, write_page};
use proto::wire::status::{NodeStatus, write_status};
use proto::wire::v1;
use proto::wire::v1::replication_service_server::ReplicationService;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::lane::LaneAnswers;
use super::ledger::Ledger;
use super::news::wait_for_news;
use super::peer;
use super::status::CallError;
use crate::admission::FORWARD;
use crate::blocking::blocking;
use crate::engine::Engine;
use crate::sequencer::{Condition, Sequencer, Unavailable};

/// The service over one ledger.
#[derive(Debug)]
pub(super) struct Replication {
    pub(super) sequencer: Sequencer,
    pub(super) ledger: Ledger,
    pub(super) engine: Option<Engine>,
}

#[async_trait]
impl ReplicationService for Replication {
    async fn follow(
        &self,
        request: Request<v1::FollowRequest>,
    ) -> Result<Response<v1::FollowResponse>, Status> {
        let v1::FollowRequest { size, cosigned_at } = *request.get_ref();
        let (size, cosigned_at) = (TreeSize::new(size), UnixSeconds::new(cosigned_at));
        wait_for_news(&self.sequencer, size, cosigned_at).await;
        let snapshot = self.sequencer.snapshot();
        // Thousands of entries may come from the disk.
        let read = blocking(move || snapshot.page(size, PAGE_ENTRIES_MAX)).await;
        let page = read.map_err(|_| CallError::AnswerLost)?;
        Ok(Response::new(write_page(&page.map_err(CallError::Read)?)))
    }

    async fn forward(
        &self,
        request: Request<v1::ForwardRequest>,
    ) -> Result<Response<v1::ForwardResponse>, Status> {
        let append = request.into_inner().append;
        let answer = forwarded(&self.ledger, append.as_ref()).await?;
        Ok(Response::new(v1::ForwardResponse {
            append: Some(answer),
        }))
    }

    type ForwardEachStream = LaneAnswers;

    async fn forward_each(
        &self,
        request: Request<Streaming<v1::NumberedAppend>>,
    ) -> Result<Response<LaneAnswers>, Status> {
        let (ledger, key) = (self.ledger.clone(), peer(&request)?);
        let lane = ledger.0.lane(FORWARD, key);
        let answers = lane.answer_each(request.into_inner(), move |append| {
            let ledger = ledger.clone();
            async move { Ok(forwarded(&ledger, Some(&append)).await?) }
        });
        Ok(Response::new(answers))
    }

    async fn cosign(
        &self,
        request: Request<v1::CosignRequest>,
    ) -> Result<Response<v1::CosignResponse>, Status> {
        let signed = read_cosigned(&request.get_ref().checkpoint).map_err(CallError::Malformed)?;
        self.sequencer.cosigned_by_others(signed).await;
        let checkpoint = self.sequencer.snapshot().checkpoint_text().to_owned();
        Ok(Response::new(v1::CosignResponse { checkpoint }))
    }

    async fn status(
        &self,
        _: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        // The cosignatures first: the state that is answered beside them is not older.
        let cosignatures = self.sequencer.cosignatures().await;
        let snapshot = self.sequencer.snapshot();
        let engine = self.engine.as_ref();
        Ok(Response::new(write_status(&NodeStatus {
            checkpoint: snapshot.checkpoint().clone(),
            cosignatures,
            roster: snapshot.signed_roster().map_err(CallError::Read)?,
            leader: engine.and_then(Engine::leader),
            seats: engine.map(Engine::seats).unwrap_or_default(),
            condition: self.sequencer.condition().as_str().to_owned(),
        })))
    }
}

/// Appends what another member's node passes on.
async fn forwarded(
    ledger: &Ledger,
    append: Option<&v1::AppendRequest>,
) -> Result<v1::AppendResponse, CallError> {
    // Before anything costs: while nobody leads, everybody is asked again and again.
    if ledger.0.sequencer.condition() == Condition::Following {
        return Err(Unavailable::NotLeading.into());
    }
    // The member's node has admitted the issuer at its place of the log; here the ledger decides
    // at its own. That the issuer signed it is checked like any entry's.
    let append = read_forwarded(append)?;
    let issuer = append.0.header().issuer;
    ledger.append(append, &issuer).await
}
