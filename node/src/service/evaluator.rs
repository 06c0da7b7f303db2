//! `EvaluatorService`: blinded elements under this node's shares.

use std::sync::Arc;

use proto::oprf::{BlindedElement, PartialEvaluation, SCALAR_RANDOM_BYTES};
use proto::refusal::Reason;
use proto::wire::v1::evaluator_service_server::EvaluatorService;
use proto::wire::{WireError, read, v1, write};
use tonic::{Request, Response, Status, async_trait};
use zeroize::Zeroizing;

use super::status::CallError;
use crate::admission::Admission;
use crate::evaluator::{Evaluator, JointKey};

/// Most elements that are evaluated on the task itself. A till asks for two, about 0.2 ms; more
/// would keep a core from other calls and go to a thread of their own.
const INLINE_ELEMENTS_MAX: usize = 4;

/// The service over this node's shares.
#[derive(Debug)]
pub(super) struct Evaluation(pub(super) Arc<Evaluator>);

#[async_trait]
impl EvaluatorService for Evaluation {
    async fn evaluate(
        &self,
        request: Request<v1::EvaluateRequest>,
    ) -> Result<Response<v1::EvaluateResponse>, Status> {
        let admission = request.extensions().get::<Admission>().copied();
        let admission = admission.ok_or(CallError::NoPeer)?;
        let evaluation = self.evaluate(request.get_ref(), admission).await?;
        Ok(Response::new(write::evaluation(&evaluation)))
    }
}

impl Evaluation {
    async fn evaluate(
        &self,
        request: &v1::EvaluateRequest,
        admission: Admission,
    ) -> Result<PartialEvaluation, CallError> {
        let (_, kind, blinded) = read::evaluate(request)?;
        let unknown = WireError::Value {
            field: "kind",
            got: request.kind.into(),
        };
        let key = JointKey::of(kind).ok_or(unknown)?;
        may_evaluate(key, admission)?;
        let random = random()?;
        if blinded.len() <= INLINE_ELEMENTS_MAX {
            return Ok(self.0.evaluate(key, &blinded, &random)?);
        }
        self.evaluate_apart(key, blinded, random).await
    }

    async fn evaluate_apart(
        &self,
        key: JointKey,
        blinded: Vec<BlindedElement>,
        random: Zeroizing<[u8; SCALAR_RANDOM_BYTES]>,
    ) -> Result<PartialEvaluation, CallError> {
        let evaluator = self.0.clone();
        let evaluate = move || evaluator.evaluate(key, &blinded, &random);
        let evaluated = tokio::task::spawn_blocking(evaluate).await;
        Ok(evaluated.map_err(|_| CallError::EvaluationLost)??)
    }
}

/// A payer knows its own members by contract and has no use for a person token: there is no bulk
/// right to those.
fn may_evaluate(key: JointKey, admission: Admission) -> Result<(), CallError> {
    match (key, admission) {
        (_, Admission::Till) | (JointKey::Contract, Admission::Member(_)) => Ok(()),
        (JointKey::Person, Admission::Member(_)) => {
            Err(CallError::NotAllowed(Reason::KindNotAllowed))
        }
    }
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
    fn no_payer_evaluates_person_tokens() {
        let payer = Admission::Member(Role::Amc);
        assert!(may_evaluate(JointKey::Contract, payer).is_ok());
        assert!(may_evaluate(JointKey::Person, payer).is_err());
        assert!(may_evaluate(JointKey::Person, Admission::Till).is_ok());
    }
}
