//! What tokens cost: a node's evaluations with proofs, an insurer's batches, a till's two tokens.
//!
//! All of it is arithmetic in this one process, on one thread, so that each figure is of one core.
//! What a whole import takes over a real node, `vitrail contracts import` itself tells.
#![allow(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on ends with its reason"
)]

use std::time::{Duration, Instant};

use clap::Parser;
use proto::oprf::{
    Blind, BlindedElement, ELEMENTS_MAX, JointSecret, PartialEvaluation, ShareIndex, Threshold,
    blind, combine, finalize,
};
use proto::wire::v1::TokenKind;
use proto::wire::{read, write};
use serde::Serialize;

/// Measures the tokens' arithmetic on one core.
#[derive(Debug, Parser)]
#[command(name = "tokens")]
struct Options {
    /// How often each figure is measured; the median counts.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

/// What was measured, each a median.
#[derive(Debug, Serialize)]
struct Report {
    /// Elements a second that a node evaluates in batches of 1,000, from the bytes that came to
    /// the bytes that leave, one proof over each batch.
    node_evaluations_per_s: f64,
    /// What an insurer spends on one contract of a batch of 1,000 that one node answers.
    insurer_us_per_contract: f64,
    /// What a till spends on both tokens, each answered by two nodes.
    till_ms_for_two_tokens: f64,
}

/// The median of what some rounds took.
fn median(rounds: usize, mut round: impl FnMut() -> Duration) -> f64 {
    let mut took: Vec<Duration> = (0..rounds.max(1)).map(|_| round()).collect();
    took.sort_unstable();
    took[took.len() / 2].as_secs_f64()
}

/// Blinds this many inputs that are all different.
fn blinded(count: usize, salt: u8) -> (Vec<Blind>, Vec<BlindedElement>) {
    let one = |number: usize| {
        let mut random = [salt; 64];
        random[..8].copy_from_slice(&(number as u64).to_be_bytes());
        blind(&[&random[..8], &[salt; 60]].concat(), &random).unwrap()
    };
    (0..count).map(one).unzip()
}

/// One request as it comes to a node, and its answer as it leaves.
fn answer(secret: &proto::oprf::SecretShare, request: &[u8]) -> Vec<u8> {
    use prost::Message as _;
    let request = proto::wire::v1::EvaluateRequest::decode(request).unwrap();
    let (_, _, elements) = read::evaluate(&request).unwrap();
    let evaluation = secret.evaluate(&elements, &[5; 64]).unwrap();
    write::evaluation(&evaluation).encode_to_vec()
}

fn request(elements: &[BlindedElement]) -> Vec<u8> {
    use prost::Message as _;
    let id = client::system::request_id().unwrap();
    write::evaluate(id, TokenKind::Contract, elements).encode_to_vec()
}

fn parse(answer: &[u8]) -> PartialEvaluation {
    use prost::Message as _;
    read::evaluation(&proto::wire::v1::EvaluateResponse::decode(answer).unwrap()).unwrap()
}

fn node_evaluations_per_s(rounds: usize) -> f64 {
    let secret = JointSecret::derive(&[1; 32], b"tokens")
        .unwrap()
        .sole_share();
    let (_, elements) = blinded(ELEMENTS_MAX, 1);
    let request = request(&elements);
    let seconds = median(rounds, || {
        let started = Instant::now();
        std::hint::black_box(answer(&secret, &request));
        started.elapsed()
    });
    #[allow(clippy::cast_precision_loss, reason = "a figure of a report")]
    let elements = ELEMENTS_MAX as f64;
    elements / seconds
}

/// Both tokens of one till, or the tokens of a batch: everything but the nodes' part.
fn client_seconds(rounds: usize, count: usize, kinds: u8, threshold: u16) -> f64 {
    let threshold = Threshold::new(threshold).unwrap();
    let joint = JointSecret::derive(&[2; 32], b"tokens").unwrap();
    let highest = ShareIndex::new(3).unwrap();
    let random: Vec<[u8; 64]> = (1..threshold.get()).map(|_| [8; 64]).collect();
    let shares = joint.split(threshold, highest, &random).unwrap();
    let asked = &shares[..usize::from(threshold.get())];
    median(rounds, || {
        let mut took = Duration::ZERO;
        for kind in 0..kinds {
            let started = Instant::now();
            let (blinds, elements) = blinded(count, kind + 1);
            let request = request(&elements);
            took += started.elapsed();
            let answers: Vec<Vec<u8>> = asked.iter().map(|share| answer(share, &request)).collect();
            let started = Instant::now();
            let verified: Vec<_> = asked
                .iter()
                .zip(&answers)
                .map(|(share, answer)| share.public().verify(&elements, parse(answer)).unwrap())
                .collect();
            let evaluated = combine(&joint.public(), threshold, &verified).unwrap();
            std::hint::black_box(finalize(&blinds, &evaluated));
            took += started.elapsed();
        }
        took
    })
}

fn main() {
    let Options { rounds } = Options::parse();
    #[allow(clippy::cast_precision_loss, reason = "a figure of a report")]
    let batch = ELEMENTS_MAX as f64;
    let report = Report {
        node_evaluations_per_s: node_evaluations_per_s(rounds),
        insurer_us_per_contract: client_seconds(rounds, ELEMENTS_MAX, 1, 1) * 1e6 / batch,
        till_ms_for_two_tokens: client_seconds(rounds * 20, 1, 2, 2) * 1e3,
    };
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
}
