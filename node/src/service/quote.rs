//! `QuoteService`: a payer's coverages of one contract, on record before they are answered.

use proto::attestation::{Look, LookOutcome};
use proto::wire::quote::{QuoteAnswer, read_request, write_answer};
use proto::wire::v1;
use proto::wire::v1::quote_service_server::QuoteService;
use tonic::{Request, Response, Status, async_trait};

use super::status::CallError;
use super::{Services, peer_key};
use crate::access::alarm::Reading;
use crate::admission::RefusedTill;
use crate::clock;
use crate::tls::PeerKey;

/// The service of one payer's node; without contracts it answers no quotes.
#[derive(Debug)]
pub(super) struct Quotes(pub(super) Services);

#[async_trait]
impl QuoteService for Quotes {
    async fn quote(
        &self,
        request: Request<v1::QuoteRequest>,
    ) -> Result<Response<v1::QuoteResponse>, Status> {
        let by = peer_key(&request)?;
        let refused = request.extensions().get::<RefusedTill>().copied();
        let answer = self.quote(request.get_ref(), by, refused).await?;
        Ok(Response::new(write_answer(&answer)))
    }
}

impl Quotes {
    /// Answers once it is on record that it was asked. What cannot be read asks for nothing and is
    /// not recorded; of an unknown contract no key is known to record.
    async fn quote(
        &self,
        request: &v1::QuoteRequest,
        peer: PeerKey,
        refused: Option<RefusedTill>,
    ) -> Result<QuoteAnswer, CallError> {
        let asked = read_request(request)?;
        let quoter = self.0.quoter.as_ref().ok_or(CallError::NotQuoting)?;
        let shop = self.0.sequencer.snapshot().shop(&peer.0)?;
        let opinion = quoter.opinion(&asked, shop.as_ref());
        let refusal = refused.map(|RefusedTill(reason)| reason);
        let look = Look {
            by: peer.0,
            at: clock::now(),
            outcome: match refusal.or_else(|| opinion.refusal()) {
                Some(reason) => LookOutcome::Refused(reason),
                None => LookOutcome::Answered,
            },
            slots: Vec::new(),
            coverages: opinion.coverage_keys(),
        };
        let recorded = self.0.recorder.record(look);
        if let Some(reason) = refusal {
            recorded.await?;
            return Err(CallError::NotAllowed(reason));
        }
        let bound = quoter.bind(&asked.contract, &opinion);
        let (recorded, codes) = tokio::join!(recorded, bound);
        recorded?;
        // From here the look is in the ledger, whatever happens to this process.
        self.0.watch(peer, Reading::Quoted);
        Ok(QuoteAnswer {
            codes: codes?,
            networks: opinion.networks.clone(),
        })
    }
}
