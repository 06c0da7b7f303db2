//! `EvaluatorService`: blinded elements under this node's shares.

use std::sync::Arc;

use proto::attestation::{Attestation, GrantState, Look, LookOutcome};
use proto::hash::{Context, derive};
use proto::ids::{LeafIndex, RequestId};
use proto::oprf::{BlindedElement, PartialEvaluation, SCALAR_RANDOM_BYTES};
use proto::refusal::Reason;
use proto::signing::PublicKey;
use proto::wire::claims::named_claim;
use proto::wire::v1::evaluator_service_server::EvaluatorService;
use proto::wire::{WireError, read, v1, write};
use tonic::{Request, Response, Status, async_trait};
use zeroize::Zeroizing;

use super::claims;
use super::status::CallError;
use super::{Services, peer_key};
use crate::access::alarm::Reading;
use crate::admission::Admission;
use crate::clock;
use crate::evaluator::{Evaluator, JointKey};
use crate::quota::{
    CLAIM_CHECK_DAYS_MAX, ClaimCheck, DAY_MS, Limits, Spender, Spending, claim_check, claim_limits,
    node_share, payer_limits,
};
use crate::snapshot::{ReadError, Snapshot};
use crate::tls::PeerKey;

/// Most elements that are evaluated on the task itself. A till asks for two, about 0.2 ms; more
/// would keep a core from other calls and go to a thread of their own.
const INLINE_ELEMENTS_MAX: usize = 4;

/// The service over this node's shares.
#[derive(Debug)]
pub(super) struct Evaluation {
    pub(super) services: Services,
}

#[async_trait]
impl EvaluatorService for Evaluation {
    async fn evaluate(
        &self,
        request: Request<v1::EvaluateRequest>,
    ) -> Result<Response<v1::EvaluateResponse>, Status> {
        let admission = request.extensions().get::<Admission>().copied();
        let admission = admission.ok_or(CallError::NoPeer)?;
        let caller = Caller {
            peer: peer_key(&request)?,
            admission,
        };
        let evaluation = self.evaluate(request.get_ref(), caller).await?;
        Ok(Response::new(write::evaluation(&evaluation)))
    }
}

impl Evaluation {
    async fn evaluate(
        &self,
        request: &v1::EvaluateRequest,
        caller: Caller,
    ) -> Result<PartialEvaluation, CallError> {
        let evaluator = self.services.evaluator.as_ref().ok_or(CallError::NoShare)?;
        let (request_id, kind, blinded) = read::evaluate(request)?;
        let unknown = WireError::Value {
            field: "kind",
            got: request.kind.into(),
        };
        let key = JointKey::of(kind).ok_or(unknown)?;
        let claim = named_claim(request);
        may_evaluate(key, caller.admission, claim)?;
        let claim = match claim {
            Some(claim) => Some(self.look(claim, caller).await?),
            None => None,
        };
        let spending = self.spending(caller, request_id, request, claim)?;
        self.services.quotas.spend(&spending, clock::now()).await?;
        // From here it is spent, whatever happens to this process.
        let people = match key {
            JointKey::Person => spending.elements,
            JointKey::Contract => 0,
        };
        self.services
            .watch(caller.peer, Reading::Evaluated { people });
        let random = random()?;
        if blinded.len() <= INLINE_ELEMENTS_MAX {
            return Ok(evaluator.evaluate(key, &blinded, &random)?);
        }
        evaluate_apart(evaluator.clone(), key, blinded, random).await
    }

    /// Whether the payer may ask about the claim, with its look on record either way.
    async fn look(&self, claim: LeafIndex, caller: Caller) -> Result<ClaimCheck, CallError> {
        let snapshot = self.services.sequencer.snapshot();
        let payer = caller.peer.0;
        let (claimed, issued_at) = claims::claim(&snapshot, claim)?;
        let now = clock::now();
        let is_young = now.get().saturating_sub(issued_at.get()) <= CLAIM_CHECK_DAYS_MAX * DAY_MS;
        let under = claims::own_coverages(&snapshot, &claimed, &payer)?;
        let under = under.first().filter(|_| is_young).map(|own| own.issuer);
        let look = Look {
            by: payer,
            at: now,
            outcome: match under {
                Some(_) => LookOutcome::Answered,
                None => LookOutcome::Refused(Reason::NotEntitled),
            },
            slots: claimed.slots,
            coverages: Vec::new(),
        };
        self.services.recorder.record(look).await?;
        // From here the look is in the ledger, whatever happens to this process.
        match under {
            Some(under) => Ok(claim_check(claim, under, snapshot.roster())),
            None => Err(CallError::NotAllowed(Reason::NotEntitled)),
        }
    }

    /// What the request costs, and what its key may spend here at this place of the log.
    fn spending(
        &self,
        caller: Caller,
        request_id: RequestId,
        request: &v1::EvaluateRequest,
        claim: Option<ClaimCheck>,
    ) -> Result<Spending, CallError> {
        let snapshot = self.services.sequencer.snapshot();
        let roster = snapshot.roster();
        let (spender, limits) = match caller.admission {
            Admission::Member(_) => match claim {
                None => (Spender::Payer, payer_limits(roster)),
                Some(_) => (Spender::Payer, claim_limits(roster)),
            },
            Admission::Till | Admission::Device => {
                (Spender::Till, till_limits(&snapshot, &caller.peer.0)?)
            }
        };
        let kind = request.kind.to_be_bytes();
        let about = claim.map(|check| check.claim.get().to_be_bytes());
        let mut parts: Vec<&[u8]> = vec![&kind];
        parts.extend(about.as_ref().map(<[u8; 8]>::as_slice));
        parts.extend(request.blinded.iter().map(Vec::as_slice));
        Ok(Spending {
            key: spending_key(&snapshot, &caller.peer.0)?,
            spender,
            request_id,
            digest: derive(Context::EvaluationRequest, &parts),
            // At most a thousand.
            elements: u32::try_from(request.blinded.len()).unwrap_or(u32::MAX),
            limits,
            claim,
        })
    }
}

async fn evaluate_apart(
    evaluator: Arc<Evaluator>,
    key: JointKey,
    blinded: Vec<BlindedElement>,
    random: Zeroizing<[u8; SCALAR_RANDOM_BYTES]>,
) -> Result<PartialEvaluation, CallError> {
    let evaluate = move || evaluator.evaluate(key, &blinded, &random);
    let evaluated = tokio::task::spawn_blocking(evaluate).await;
    Ok(evaluated.map_err(|_| CallError::EvaluationLost)??)
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
struct Caller {
    peer: PeerKey,
    admission: Admission,
}

/// Whose quota a key spends: a session's is its device's, however many sessions that has.
fn spending_key(snapshot: &Snapshot, key: &PublicKey) -> Result<PublicKey, CallError> {
    Ok(match snapshot.grant(key)? {
        Some(GrantState::Session { device, .. }) => device,
        _ => *key,
    })
}

/// This node's share of what the till's grant promises.
fn till_limits(snapshot: &Snapshot, till: &PublicKey) -> Result<Limits, CallError> {
    let by = granted_by(snapshot.grant(till)?).map_err(CallError::NotAllowed)?;
    let corrupt = ReadError::Corrupt { what: "grant" };
    let Some(entry) = snapshot.entry(by)? else {
        return Err(corrupt.into());
    };
    let Ok(Attestation::Grant(grant)) = Attestation::read(entry.header()) else {
        return Err(corrupt.into());
    };
    let share = |quota: u32| node_share(quota.into(), snapshot.roster());
    Ok(Limits {
        hour: share(grant.hourly_quota),
        day: share(grant.daily_quota),
    })
}

/// The entry that lets a till evaluate. The gate has admitted it, by a state that may since have
/// been followed by another: a revocation that came between is told as one.
const fn granted_by(grant: Option<GrantState>) -> Result<LeafIndex, Reason> {
    match grant {
        Some(GrantState::Active { by, .. } | GrantState::Session { by, .. }) => Ok(by),
        Some(GrantState::Revoked { .. }) => Err(Reason::GrantRevoked),
        Some(GrantState::Device { .. }) => Err(Reason::KindNotAllowed),
        None => Err(Reason::IssuerUnknown),
    }
}

/// A payer knows its own members by contract, and has no use for a person token but to check whose
/// slots a claim has taken: there is no bulk right to those.
fn may_evaluate(
    key: JointKey,
    admission: Admission,
    claim: Option<LeafIndex>,
) -> Result<(), CallError> {
    let allowed = match (key, admission) {
        (_, Admission::Till) | (JointKey::Contract, Admission::Member(_)) => claim.is_none(),
        (JointKey::Person, Admission::Member(_)) => claim.is_some(),
        (_, Admission::Device) => false,
    };
    allowed
        .then_some(())
        .ok_or(CallError::NotAllowed(Reason::KindNotAllowed))
}

fn random() -> Result<Zeroizing<[u8; SCALAR_RANDOM_BYTES]>, CallError> {
    let mut random = Zeroizing::new([0; SCALAR_RANDOM_BYTES]);
    getrandom::fill(random.as_mut()).map_err(|_| CallError::NoRandomness)?;
    Ok(random)
}

#[cfg(test)]
mod tests {
    use proto::roster::Role;

    use super::*;

    #[test]
    fn a_revocation_between_gate_and_service_is_told_as_one() {
        let by = LeafIndex::new(7);
        let expires_at = proto::ids::UnixMillis::new(1);
        let active = GrantState::Active { expires_at, by };
        assert_eq!(granted_by(Some(active)), Ok(by));
        let revoked = GrantState::Revoked { by };
        assert_eq!(granted_by(Some(revoked)), Err(Reason::GrantRevoked));
        assert_eq!(granted_by(None), Err(Reason::IssuerUnknown));
    }

    #[test]
    fn a_payer_evaluates_person_tokens_about_a_claim_alone() {
        let (payer, claim) = (Admission::Member(Role::Amc), Some(LeafIndex::new(7)));
        assert!(may_evaluate(JointKey::Contract, payer, None).is_ok());
        assert!(may_evaluate(JointKey::Contract, payer, claim).is_err());
        assert!(may_evaluate(JointKey::Person, payer, None).is_err());
        assert!(may_evaluate(JointKey::Person, payer, claim).is_ok());
        assert!(may_evaluate(JointKey::Person, Admission::Till, None).is_ok());
        assert!(may_evaluate(JointKey::Person, Admission::Till, claim).is_err());
        for claim in [None, claim] {
            assert!(may_evaluate(JointKey::Person, Admission::Device, claim).is_err());
        }
    }
}
