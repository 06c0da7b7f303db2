//! `LedgerService`: appending entries and asking for states.

use proto::attestation::{Attestation, Look, LookOutcome};
use proto::entry::{Entry, Kind, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{CoverageKey, LeafIndex, SlotKey};
use proto::seal::{Salt, SealedPayload};
use proto::signing::PublicKey;
use proto::wire::v1::append_response::Answer;
use proto::wire::v1::ledger_service_server::LedgerService;
use proto::wire::{Append, read, v1, write};
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::lane::LaneAnswers;
use super::status::CallError;
use super::{Services, open, peer_key};
use crate::access::alarm::Reading;
use crate::admission::{APPEND, RefusedTill};
use crate::clock;
use crate::ledger::Outcome;
use crate::sequencer::{Decided, Unavailable};
use crate::snapshot::{ReadError, Snapshot};
use crate::tls::PeerKey;

/// The service over one ledger.
#[derive(Debug, Clone)]
pub(super) struct Ledger(pub(super) Services);

#[async_trait]
impl LedgerService for Ledger {
    async fn append(
        &self,
        request: Request<v1::AppendRequest>,
    ) -> Result<Response<v1::AppendResponse>, Status> {
        let answer = self.append_for(peer_key(&request)?, request.get_ref());
        Ok(Response::new(answer.await?))
    }

    type AppendEachStream = LaneAnswers;

    async fn append_each(
        &self,
        request: Request<Streaming<v1::NumberedAppend>>,
    ) -> Result<Response<LaneAnswers>, Status> {
        let (ledger, peer) = (self.clone(), peer_key(&request)?);
        let lane = self.0.lane(APPEND, peer.0);
        let answers = lane.answer_each(request.into_inner(), move |append| {
            let ledger = ledger.clone();
            async move { ledger.append_for(peer, &append).await }
        });
        Ok(Response::new(answers))
    }

    async fn lookup(
        &self,
        request: Request<v1::LookupRequest>,
    ) -> Result<Response<v1::LookupResponse>, Status> {
        let by = peer_key(&request)?;
        let refused = request.extensions().get::<RefusedTill>().copied();
        Ok(Response::new(
            self.lookup(request.get_ref(), by, refused).await?,
        ))
    }

    async fn open(
        &self,
        request: Request<v1::OpenRequest>,
    ) -> Result<Response<v1::OpenResponse>, Status> {
        let by = peer_key(&request)?;
        let index = LeafIndex::new(request.get_ref().index);
        Ok(Response::new(open::open(&self.0, index, by).await?))
    }
}

impl Ledger {
    /// Appends what the peer has sent and issued.
    async fn append_for(
        &self,
        peer: PeerKey,
        message: &v1::AppendRequest,
    ) -> Result<v1::AppendResponse, Status> {
        let append = read::append(message, &peer.0).map_err(CallError::Malformed)?;
        let is_claim = append.0.header().kind == Kind::Claim;
        let answer = self.append_anywhere(message, append, &peer.0).await?;
        if is_claim && matches!(answer.answer, Some(Answer::Receipt(_))) {
            self.0.watch(peer, Reading::Claimed);
        }
        Ok(answer)
    }

    /// Appends here while this node leads, and passes on otherwise.
    async fn append_anywhere(
        &self,
        message: &v1::AppendRequest,
        append: Append,
        issuer: &PublicKey,
    ) -> Result<v1::AppendResponse, Status> {
        let upstream = &self.0.upstream;
        if upstream.leads() {
            match self.append(append, issuer).await {
                Err(CallError::Unavailable(Unavailable::NotLeading)) => {}
                answered => return Ok(answered?),
            }
        } else {
            // The signature is left to whoever leads: the connection shows whose append it is.
            check_form(&append, issuer)?;
        }
        // In a box: a leader's appends need no room for it.
        match Box::pin(upstream.append(message)).await {
            Err(_) if upstream.leads() => {
                let append = read::append(message, issuer).map_err(CallError::Malformed)?;
                Ok(self.append(append, issuer).await?)
            }
            answered => answered,
        }
    }

    /// Appends what its issuer has sent, here or at another member's node.
    pub(super) async fn append(
        &self,
        append: Append,
        issuer: &PublicKey,
    ) -> Result<v1::AppendResponse, CallError> {
        let Services {
            sequencer, metrics, ..
        } = &self.0;
        let (entry, payload) = self.check(append, issuer)?;
        self.require_ready(&entry)?;
        let asked = entry.clone();
        let waiting = metrics.append_waits();
        let decided = sequencer.append(entry, payload).await?;
        drop(waiting);
        metrics.entry_decided(asked.header().kind, &decided.verdict);
        Ok(self.answer(&asked, &decided)?)
    }

    /// Finds out what to answer, and answers once it is on record that it was asked. What cannot
    /// be read as a lookup asks for nothing and is not recorded.
    async fn lookup(
        &self,
        request: &v1::LookupRequest,
        peer: PeerKey,
        refused: Option<RefusedTill>,
    ) -> Result<v1::LookupResponse, CallError> {
        let (slots, coverages) = read::lookup(request)?;
        let answer = match refused {
            Some(RefusedTill(reason)) => Err(CallError::NotAllowed(reason)),
            None => {
                states(&self.0.sequencer.snapshot(), &slots, &coverages).map_err(CallError::Read)
            }
        };
        let outcome = match &answer {
            Ok(_) => LookOutcome::Answered,
            Err(CallError::NotAllowed(reason)) => LookOutcome::Refused(*reason),
            Err(_) => LookOutcome::Failed,
        };
        let look = Look {
            by: peer.0,
            at: clock::now(),
            outcome,
            slots,
            coverages,
        };
        self.0.recorder.record(look).await?;
        // From here the look is in the ledger, whatever happens to this process.
        self.0.watch(peer, Reading::Looked);
        answer
    }

    /// A roster under which nobody could vouch for anything is not proposed at all: no ledger goes
    /// on after it. What it says is checked by whoever decides it.
    fn require_ready(&self, entry: &Entry) -> Result<(), CallError> {
        if entry.header().kind != Kind::Roster {
            return Ok(());
        }
        let attestation = Attestation::read(entry.header())?;
        if let (Attestation::Roster(signed), Some(engine)) = (attestation, &self.0.engine) {
            engine.require_ready(signed.admitted())?;
        }
        Ok(())
    }

    fn check(
        &self,
        append: Append,
        issuer: &PublicKey,
    ) -> Result<(VerifiedEntry, Option<(SealedPayload, Salt)>), CallError> {
        check_form(&append, issuer)?;
        let (entry, payload) = append;
        let snapshot = self.0.sequencer.snapshot();
        let verified = entry.verify(snapshot.roster().origin());
        Ok((verified.map_err(CallError::Entry)?, payload))
    }

    fn answer(&self, asked: &Entry, decided: &Decided) -> Result<v1::AppendResponse, ReadError> {
        let Decided { verdict, snapshot } = decided;
        match verdict.outcome {
            Outcome::Appended(index) => {
                let inclusion = snapshot.place(index)?;
                Ok(write::accepted(
                    index,
                    &inclusion,
                    snapshot.checkpoint_text().to_owned(),
                ))
            }
            Outcome::Refused(refusal) => {
                let receipt = snapshot.refusal_receipt(asked, refusal);
                // Under load the map as it was at this snapshot may be gone; a newer one tells
                // the same as long as the slot is taken.
                let newest = || self.0.sequencer.snapshot().refusal_receipt(asked, refusal);
                let receipt = receipt.or_else(|_| newest())?;
                Ok(write::refused(
                    refusal,
                    receipt.as_ref().map(write::evidence),
                ))
            }
        }
    }
}

/// What can be said of an append without the ledger, but for the signature. All of it is said on
/// the caller's own task, so that signatures are checked on every core and the sequencer only sees
/// entries that hold.
fn check_form((entry, payload): &Append, issuer: &PublicKey) -> Result<(), CallError> {
    // Before the signature: who has stolen an entry on its way cannot even have it checked.
    if entry.header().issuer != *issuer {
        return Err(CallError::NotTheIssuer);
    }
    Attestation::read(entry.header())?;
    check_payload(entry.header().commitment.as_ref(), payload.as_ref())?;
    // A record is what an access entry has, and nothing else has one.
    let is_access = entry.header().kind == Kind::Access;
    let is_record = |it: &(SealedPayload, Salt)| it.0.is_record();
    if payload
        .as_ref()
        .is_some_and(|it| is_record(it) != is_access)
    {
        return Err(CallError::PayloadMismatch);
    }
    Ok(())
}

fn check_payload(
    commitment: Option<&Hash>,
    payload: Option<&(SealedPayload, Salt)>,
) -> Result<(), CallError> {
    match (commitment, payload) {
        (None, None) => Ok(()),
        (Some(_), None) => Err(CallError::PayloadMissing),
        (None, Some(_)) => Err(CallError::PayloadUnwanted),
        (Some(commitment), Some((sealed, salt))) => {
            let fits = sealed.commitment(salt).as_hash() == commitment;
            fits.then_some(()).ok_or(CallError::PayloadMismatch)
        }
    }
}

/// Every state of one answer is proved against the checkpoint of one snapshot.
fn states(
    snapshot: &Snapshot,
    slots: &[SlotKey],
    coverages: &[CoverageKey],
) -> Result<v1::LookupResponse, ReadError> {
    let slots = slots
        .iter()
        .map(|slot| Ok(write::state(&snapshot.slot(slot)?)));
    let coverages = coverages
        .iter()
        .map(|coverage| Ok(write::state(&snapshot.coverage(coverage)?)));
    Ok(v1::LookupResponse {
        slots: slots.collect::<Result<_, ReadError>>()?,
        coverages: coverages.collect::<Result<_, ReadError>>()?,
        checkpoint: snapshot.checkpoint_text().to_owned(),
    })
}
