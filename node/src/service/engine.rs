//! `EngineService`: what the ordering engines of members' nodes say to each other.

use proto::ids::MemberName;
use proto::wire::v1;
use proto::wire::v1::engine_service_server::EngineService;
use tonic::{Request, Response, Status, async_trait};

use super::peer;
use super::status::CallError;
use crate::engine::{self, GateError};
use crate::sequencer::Sequencer;

/// The service over this node's engine; a node that only follows has none.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) sequencer: Sequencer,
    pub(super) engine: Option<engine::Engine>,
}

impl Engine {
    /// Which member speaks, by the key of its certificate, and the engine it speaks to.
    fn between<T>(&self, request: &Request<T>) -> Result<(MemberName, &engine::Engine), CallError> {
        let key = peer(request)?;
        let snapshot = self.sequencer.snapshot();
        let member = snapshot.roster().member_by_key(&key);
        let from = member
            .ok_or(CallError::Engine(GateError::NotAVoter))?
            .name
            .clone();
        let engine = self.engine.as_ref();
        let engine = engine.ok_or(CallError::Engine(GateError::NoEngine))?;
        Ok((from, engine))
    }
}

#[async_trait]
impl EngineService for Engine {
    async fn append(
        &self,
        request: Request<v1::EngineServiceAppendRequest>,
    ) -> Result<Response<v1::EngineServiceAppendResponse>, Status> {
        let (from, engine) = self.between(&request)?;
        let answer = engine.append(&from, request.into_inner()).await;
        Ok(Response::new(answer.map_err(CallError::Engine)?))
    }

    async fn vote(
        &self,
        request: Request<v1::EngineServiceVoteRequest>,
    ) -> Result<Response<v1::EngineServiceVoteResponse>, Status> {
        let (from, engine) = self.between(&request)?;
        let answer = engine.vote(&from, request.get_ref()).await;
        Ok(Response::new(answer.map_err(CallError::Engine)?))
    }

    async fn pre_vote(
        &self,
        request: Request<v1::PreVoteRequest>,
    ) -> Result<Response<v1::PreVoteResponse>, Status> {
        let (from, engine) = self.between(&request)?;
        // One that asks nothing is malformed like one that asks without a vote.
        let asked = request.into_inner().asked.unwrap_or_default();
        let answer = engine.pre_vote(&from, &asked).await;
        let answer = Some(answer.map_err(CallError::Engine)?);
        Ok(Response::new(v1::PreVoteResponse { answer }))
    }

    async fn install(
        &self,
        request: Request<v1::EngineServiceInstallRequest>,
    ) -> Result<Response<v1::EngineServiceInstallResponse>, Status> {
        let (from, engine) = self.between(&request)?;
        let answer = engine.install(&from, request.get_ref()).await;
        Ok(Response::new(answer.map_err(CallError::Engine)?))
    }

    async fn transfer(
        &self,
        request: Request<v1::EngineServiceTransferRequest>,
    ) -> Result<Response<v1::EngineServiceTransferResponse>, Status> {
        let (from, engine) = self.between(&request)?;
        let answer = engine.transfer(&from, request.get_ref()).await;
        Ok(Response::new(answer.map_err(CallError::Engine)?))
    }

    async fn enlist(
        &self,
        request: Request<v1::EnlistRequest>,
    ) -> Result<Response<v1::EnlistResponse>, Status> {
        let (from, engine) = self.between(&request)?;
        let seated = engine.enlisted(&from, request.get_ref().engine_id).await;
        let is_seated = seated.map_err(CallError::Engine)?;
        Ok(Response::new(v1::EnlistResponse { is_seated }))
    }
}
