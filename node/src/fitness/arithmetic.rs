//! What the cores do: strict checks of signatures, evaluations of tokens.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use proto::oprf::{BlindedElement, JointSecret, SCALAR_RANDOM_BYTES, blind};
use proto::signing::{SecretKey, Signature};
use zeroize::Zeroizing;

use super::{Cores, FitnessError, Rounds, per_second};
use crate::evaluator::{Evaluator, JointKey};

/// Checks of a round: enough that reading the clock costs nothing beside them.
const CHECKS: usize = 32;
/// Bytes that are signed: about those of a claim.
const MESSAGE_BYTES: usize = 400;
/// Evaluations of a round.
const EVALUATIONS: usize = 8;

/// Measures both, the checks on one core and then on all.
pub(super) fn measure(rounds: &Rounds<'_>) -> Result<Cores, FitnessError> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let signed = Signed::new()?;
    let of_one = signed.checks_per_second(rounds)?;
    let of_all = thread::scope(|scope| {
        let check = || signed.checks_per_second(rounds);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(check)).collect();
        let joined = threads.into_iter().map(|thread| {
            // A panic in a thread is one here.
            let joined = thread.join();
            joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        joined.sum::<Result<u64, _>>()
    })?;
    Ok(Cores {
        cores,
        signature_checks_per_core: of_one,
        signature_checks: of_all,
        evaluations_per_core: evaluations_per_second(rounds)?,
    })
}

/// Messages of one key, each with its signature.
struct Signed {
    secret: SecretKey,
    messages: Vec<(Vec<u8>, Signature)>,
}

impl Signed {
    fn new() -> Result<Self, FitnessError> {
        let secret = SecretKey::from_seed(&Zeroizing::new(random()?));
        let signed = |number: usize| {
            let mut message = vec![0; MESSAGE_BYTES];
            message[..8].copy_from_slice(&(number as u64).to_be_bytes());
            let signature = secret.sign(&message);
            (message, signature)
        };
        let messages = (0..CHECKS).map(signed).collect();
        Ok(Self { secret, messages })
    }

    fn checks_per_second(&self, rounds: &Rounds<'_>) -> Result<u64, FitnessError> {
        let public = self.secret.public();
        let started = Instant::now();
        let done = rounds.repeat(|| {
            let mut all = self.messages.iter();
            all.try_for_each(|(message, signature)| public.verify(message, signature))
                .map_err(FitnessError::from)
        })?;
        Ok(per_second(done.len() * CHECKS, started.elapsed()))
    }
}

/// One element a request, as a till asks: each has a proof of its own.
fn evaluations_per_second(rounds: &Rounds<'_>) -> Result<u64, FitnessError> {
    let share = || {
        let seed = Zeroizing::new(random()?);
        Ok::<_, FitnessError>(JointSecret::derive(&seed, b"vitrail check perf")?.sole_share())
    };
    let evaluator = Evaluator::new(share()?, share()?);
    let element = |number: usize| {
        let (_, element) = blind(&number.to_be_bytes(), &random::<SCALAR_RANDOM_BYTES>()?)?;
        Ok::<_, FitnessError>(element)
    };
    let elements: Vec<BlindedElement> = (0..EVALUATIONS).map(element).collect::<Result<_, _>>()?;
    let started = Instant::now();
    let done = rounds.repeat(|| {
        elements.iter().try_for_each(|element| {
            let random = random()?;
            let asked = std::slice::from_ref(element);
            black_box(evaluator.evaluate(JointKey::Person, asked, &random)?);
            Ok::<_, FitnessError>(())
        })
    })?;
    Ok(per_second(done.len() * EVALUATIONS, started.elapsed()))
}

pub(super) fn random<const N: usize>() -> Result<[u8; N], FitnessError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| FitnessError::NoRandomness)?;
    Ok(bytes)
}
