//! What a payer asks about the claims on its coverages.

use proto::ids::{LeafIndex, RequestId};
use proto::oprf::{BlindedElement, PartialEvaluation};
use proto::wire::claims::{self, ClaimsAsked, ClaimsPage};
use proto::wire::{read, v1, write};

use super::{CallError, Connection};

impl Connection {
    /// Asks for evaluations under the person key as a payer, which names the claim they are about.
    ///
    /// # Errors
    /// As [`evaluate_at_most`](Self::evaluate_at_most).
    pub async fn evaluate_for_claim(
        &self,
        retries: u32,
        id: RequestId,
        claim: LeafIndex,
        blinded: &[BlindedElement],
    ) -> Result<PartialEvaluation, CallError> {
        let request = write::evaluate(id, v1::TokenKind::Person, blinded);
        let request = claims::write_evaluate(request, claim);
        let channel = &self.channel;
        let method = "vitrail.v1.EvaluatorService/Evaluate";
        let answer = self.call_at_most(retries, method, request, |request| {
            let mut client =
                v1::evaluator_service_client::EvaluatorServiceClient::new(channel.clone());
            async move { client.evaluate(request).await }
        });
        read::evaluation(&answer.await?).map_err(|e| self.unreadable(e))
    }

    /// Asks for a page of what rests on the own coverages, which the node puts on record.
    ///
    /// # Errors
    /// [`CallError`]. Nothing of the answer is verified yet.
    pub async fn claims(&self, asked: &ClaimsAsked) -> Result<ClaimsPage, CallError> {
        let request = claims::write_request(asked);
        let channel = &self.channel;
        let answer = self.call("vitrail.v1.ClaimService/ListClaims", request, |request| {
            let mut client = v1::claim_service_client::ClaimServiceClient::new(channel.clone());
            async move { client.list_claims(request).await }
        });
        claims::read_page(&answer.await?).map_err(|e| self.unreadable(e))
    }
}
