//! `LogService`: what a follower of the log asks for.

use proto::ids::{LeafIndex, TreeSize};
use proto::roster::Epoch;
use proto::wire::rosters::write_roster;
use proto::wire::v1::log_service_server::LogService;
use proto::wire::{v1, write};
use tonic::{Request, Response, Status, async_trait};

use super::status::CallError;
use crate::sequencer::Sequencer;

/// The service over one ledger. Each answer is made from one snapshot.
#[derive(Debug)]
pub(super) struct Log(pub(super) Sequencer);

#[async_trait]
impl LogService for Log {
    async fn get_checkpoint(
        &self,
        _request: Request<v1::GetCheckpointRequest>,
    ) -> Result<Response<v1::GetCheckpointResponse>, Status> {
        let checkpoint = self.0.snapshot().checkpoint_text().to_owned();
        Ok(Response::new(v1::GetCheckpointResponse { checkpoint }))
    }

    async fn prove_consistency(
        &self,
        request: Request<v1::ProveConsistencyRequest>,
    ) -> Result<Response<v1::ProveConsistencyResponse>, Status> {
        let snapshot = self.0.snapshot();
        let old = TreeSize::new(request.get_ref().old_size);
        let path = snapshot.prove_consistency(old).map_err(CallError::Read)?;
        Ok(Response::new(v1::ProveConsistencyResponse {
            hashes: write::consistency(&path),
            checkpoint: snapshot.checkpoint_text().to_owned(),
        }))
    }

    async fn get_entry(
        &self,
        request: Request<v1::GetEntryRequest>,
    ) -> Result<Response<v1::GetEntryResponse>, Status> {
        let snapshot = self.0.snapshot();
        let index = LeafIndex::new(request.get_ref().index);
        let proved = snapshot.prove_entry(index).map_err(CallError::Read)?;
        let proved = proved.ok_or(CallError::EntryUnknown)?;
        Ok(Response::new(v1::GetEntryResponse {
            entry: Some(write::proved_entry(&proved)),
            checkpoint: snapshot.checkpoint_text().to_owned(),
        }))
    }

    async fn get_roster(
        &self,
        request: Request<v1::GetRosterRequest>,
    ) -> Result<Response<v1::GetRosterResponse>, Status> {
        let snapshot = self.0.snapshot();
        let epoch = Epoch::new(request.get_ref().epoch);
        let proved = snapshot.prove_roster(epoch).map_err(CallError::Read)?;
        let proved = proved.ok_or(CallError::RosterUnknown)?;
        let answer = write_roster(&proved, snapshot.checkpoint_text());
        Ok(Response::new(answer))
    }

    async fn get_catalogue(
        &self,
        _request: Request<v1::GetCatalogueRequest>,
    ) -> Result<Response<v1::GetCatalogueResponse>, Status> {
        let snapshot = self.0.snapshot();
        let catalogue = snapshot.catalogue().map_err(CallError::Read)?;
        Ok(Response::new(v1::GetCatalogueResponse {
            catalogue: Some(write::state(&catalogue)),
            checkpoint: snapshot.checkpoint_text().to_owned(),
        }))
    }
}
