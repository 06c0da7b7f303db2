//! The whole exchange, judged by the RFC's own test vectors and by an independent implementation.

use serde::Deserialize;
use voprf::{Ristretto255, VoprfClient, VoprfServer};

use super::ciphersuite::scalar_from_bytes;
use super::*;

/// RFC 9497, A.1.2: VOPRF mode, ristretto255-SHA512. Bytes are in hexadecimal; the values of a
/// batch are separated by commas.
const VECTORS: &str = include_str!("rfc9497_voprf.json");

#[derive(Deserialize)]
struct Suite {
    #[serde(rename = "keyInfo")]
    key_info: String,
    seed: String,
    #[serde(rename = "skSm")]
    secret: String,
    #[serde(rename = "pkSm")]
    public: String,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Vector {
    batch: usize,
    blind: String,
    blinded_element: String,
    evaluation_element: String,
    input: String,
    output: String,
    proof: VectorProof,
}

#[derive(Deserialize)]
struct VectorProof {
    proof: String,
    r: String,
}

fn suite() -> Suite {
    serde_json::from_str(VECTORS).unwrap()
}

fn list(text: &str) -> Vec<Vec<u8>> {
    text.split(',').map(|it| hex::decode(it).unwrap()).collect()
}

fn array<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn scalar(bytes: &[u8]) -> Scalar {
    scalar_from_bytes(bytes.try_into().unwrap()).unwrap()
}

fn joint_secret(suite: &Suite) -> JointSecret {
    let info = hex::decode(&suite.key_info).unwrap();
    JointSecret::derive(&array(&suite.seed), &info).unwrap()
}

impl Vector {
    /// The client's first step, with the RFC's blinds.
    fn blind(&self) -> (Vec<Blind>, Vec<BlindedElement>) {
        let inputs = list(&self.input).into_iter().zip(list(&self.blind));
        inputs
            .map(|(input, blind)| blind_with(&input, scalar(&blind)).unwrap())
            .unzip()
    }

    fn assert_evaluated(&self, evaluated: &[EvaluatedElement]) {
        let points: Vec<_> = evaluated
            .iter()
            .map(|it| it.0.compress().to_bytes().to_vec())
            .collect();
        assert_eq!(points, list(&self.evaluation_element));
    }

    fn assert_outputs(&self, kept: &[Blind], evaluated: &[EvaluatedElement]) {
        let outputs: Vec<_> = finalize(kept, evaluated)
            .iter()
            .map(|output| output.as_bytes().to_vec())
            .collect();
        assert_eq!(outputs, list(&self.output));
    }
}

/// All ways to take `count` of the items.
fn subsets<T: Clone>(items: &[T], count: usize) -> Vec<Vec<T>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let Some((first, rest)) = items.split_first() else {
        return Vec::new();
    };
    let mut with_first = subsets(rest, count - 1);
    for subset in &mut with_first {
        subset.insert(0, first.clone());
    }
    with_first.extend(subsets(rest, count));
    with_first
}

#[test]
fn the_rfc_key_comes_out_of_the_rfc_seed() {
    let suite = suite();
    let secret = joint_secret(&suite);
    assert_eq!(*secret.sole_share().to_bytes(), array(&suite.secret));
    assert_eq!(secret.public().to_bytes(), array(&suite.public));
}

#[test]
fn every_rfc_vector_holds_for_one_server_proof_included() {
    let suite = suite();
    let secret = joint_secret(&suite);
    let share = secret.sole_share();
    assert_eq!(suite.vectors.len(), 3);
    for vector in &suite.vectors {
        let (kept, blinded) = vector.blind();
        assert_eq!(blinded.len(), vector.batch);
        let sent: Vec<_> = blinded.iter().map(|it| it.to_bytes().to_vec()).collect();
        assert_eq!(sent, list(&vector.blinded_element));

        let r = scalar(&hex::decode(&vector.proof.r).unwrap());
        let answer = share.evaluate_with(&blinded, &r);
        assert_eq!(answer.dleq_proof.to_bytes(), array(&vector.proof.proof));

        let answer = share.public().verify(&blinded, answer).unwrap();
        let evaluated = combine(&secret.public(), Threshold::ONE, &[answer]).unwrap();
        vector.assert_evaluated(&evaluated);
        vector.assert_outputs(&kept, &evaluated);
    }
}

/// Splits the RFC's secret and runs the vectors through every subset of the shares. The same
/// element makes the same output, so one finalization a vector is enough.
fn every_subset_gives_the_rfc_output(threshold: u16, shares: u16, vectors: &[Vector]) {
    let secret = joint_secret(&suite());
    let random: Vec<_> = (1..threshold).map(|i| [i.to_le_bytes()[0]; 64]).collect();
    let threshold = Threshold::new(threshold).unwrap();
    let shares = ShareIndex::new(shares).unwrap();
    let shares = secret.split(threshold, shares, &random).unwrap();
    for vector in vectors {
        let (kept, blinded) = vector.blind();
        let verified = |share: &SecretShare| {
            let answer = share.evaluate(&blinded, &[6; 64]).unwrap();
            share.public().verify(&blinded, answer).unwrap()
        };
        let answers: Vec<_> = shares.iter().map(verified).collect();
        let mut last = Vec::new();
        for mut subset in subsets(&answers, usize::from(threshold.get())) {
            // The order in which the answers arrive does not matter.
            subset.rotate_left(1);
            last = combine(&secret.public(), threshold, &subset).unwrap();
            vector.assert_evaluated(&last);
        }
        vector.assert_outputs(&kept, &last);
    }
}

#[test]
fn every_two_of_three_give_the_rfc_output() {
    every_subset_gives_the_rfc_output(2, 3, &suite().vectors);
}

#[test]
fn every_three_of_five_give_the_rfc_output() {
    every_subset_gives_the_rfc_output(3, 5, &suite().vectors);
}

#[test]
fn every_five_of_nine_give_the_rfc_output() {
    // The batch holds the inputs of the two vectors before it; alone it keeps 126 subsets fast.
    every_subset_gives_the_rfc_output(5, 9, &suite().vectors[2..]);
}

#[test]
fn another_implementation_gives_the_same_outputs_and_accepts_the_proofs() {
    type Client = VoprfClient<Ristretto255>;
    for round in 0..4_u8 {
        let seed = [round; 32];
        let secret = JointSecret::derive(&seed, b"cross-check").unwrap();
        let theirs = VoprfServer::<Ristretto255>::new_from_seed(&seed, b"cross-check").unwrap();

        let inputs: Vec<Vec<u8>> = (0..3)
            .map(|i| vec![round ^ i; 1 + 90 * usize::from(i)])
            .collect();
        let (kept, blinded): (Vec<_>, Vec<_>) = (1..)
            .zip(&inputs)
            .map(|(i, input)| blind(input, &[round * 16 + i; 64]).unwrap())
            .unzip();
        let answer = secret
            .sole_share()
            .evaluate(&blinded, &[round; 64])
            .unwrap();

        let clients: Vec<_> = kept
            .iter()
            .zip(&blinded)
            .map(|(kept, sent)| [kept.scalar.to_bytes(), sent.to_bytes()].concat())
            .map(|bytes| Client::deserialize(&bytes).unwrap())
            .collect();
        let messages: Vec<_> = answer
            .elements
            .iter()
            .map(|it| voprf::EvaluationElement::deserialize(&it.to_bytes()).unwrap())
            .collect();
        let proof = voprf::Proof::deserialize(&answer.dleq_proof.to_bytes()).unwrap();
        let accepted = Client::batch_finalize(
            &inputs,
            &clients,
            &messages,
            &proof,
            theirs.get_public_key(),
        );
        let accepted: Vec<_> = accepted.unwrap().map(Result::unwrap).collect();

        let answer = secret
            .sole_share()
            .public()
            .verify(&blinded, answer)
            .unwrap();
        let evaluated = combine(&secret.public(), Threshold::ONE, &[answer]).unwrap();
        for position in 0..inputs.len() {
            let output = kept[position].finalize(&evaluated[position]);
            assert_eq!(output.as_bytes()[..], accepted[position][..]);
            let direct = theirs.evaluate(&inputs[position]).unwrap();
            assert_eq!(output.as_bytes()[..], direct[..]);
        }
    }
}

/// Two shares of five say nothing of a secret that takes three: for every candidate there is a
/// polynomial through them and it, and so the shares of the others. A guess has nothing to be
/// compared with.
#[test]
fn shares_below_the_threshold_fit_every_candidate_secret() {
    let threshold = Threshold::new(3).unwrap();
    let random: Vec<[u8; 64]> = vec![[21; 64], [22; 64]];
    let secret = joint_secret(&suite());
    let five = ShareIndex::new(5).unwrap();
    let stolen: Vec<_> = secret.split(threshold, five, &random).unwrap()[..2]
        .iter()
        .map(|share| (share.index().scalar(), scalar(&*share.to_bytes())))
        .collect();
    let (kept, blinded) = blind(b"a person", &[3; 64]).unwrap();
    for seed in 0..8 {
        let candidate = JointSecret::derive(&[seed; 32], b"candidate").unwrap();
        let constant = scalar(&*candidate.sole_share().to_bytes());
        // f(x) = s + a x + b x^2 through both stolen shares.
        let [(x, fx), (y, fy)] = stolen[..] else {
            panic!("two shares")
        };
        let slope = |x: Scalar, fx: Scalar| (fx - constant) * x.invert();
        let b = (slope(x, fx) - slope(y, fy)) * (x - y).invert();
        let a = slope(x, fx) - b * x;
        let all: Vec<_> = (1..=5)
            .filter_map(ShareIndex::new)
            .map(|index| {
                let x = index.scalar();
                let value = constant + a * x + b * x * x;
                SecretShare::from_bytes(index, &value.to_bytes()).unwrap()
            })
            .collect();
        for (share, (_, value)) in all.iter().zip(&stolen) {
            assert_eq!(*share.to_bytes(), value.to_bytes(), "the stolen ones fit");
        }
        let verified = |share: &SecretShare| {
            let answer = share.evaluate(std::slice::from_ref(&blinded), &[6; 64]);
            share
                .public()
                .verify(std::slice::from_ref(&blinded), answer.unwrap())
                .unwrap()
        };
        let answers: Vec<_> = all[2..].iter().map(verified).collect();
        let evaluated = combine(&candidate.public(), threshold, &answers).unwrap();
        let alone = candidate
            .sole_share()
            .evaluate(std::slice::from_ref(&blinded), &[6; 64]);
        let alone = verified_alone(&candidate, &blinded, alone.unwrap());
        assert_eq!(
            kept.finalize(&evaluated[0]).as_bytes()[..],
            kept.finalize(&alone[0]).as_bytes()[..],
            "each candidate's token comes out"
        );
    }
}

fn verified_alone(
    secret: &JointSecret,
    blinded: &BlindedElement,
    answer: PartialEvaluation,
) -> Vec<EvaluatedElement> {
    let share = secret.sole_share().public();
    let verified = share.verify(std::slice::from_ref(blinded), answer).unwrap();
    combine(&secret.public(), Threshold::ONE, &[verified]).unwrap()
}

/// With one answer less than it takes, or one of them asked twice, nothing is combined.
#[test]
fn answers_below_the_threshold_are_not_combined() {
    let secret = joint_secret(&suite());
    let (three, five) = (Threshold::new(3).unwrap(), ShareIndex::new(5).unwrap());
    let shares = secret.split(three, five, &[[1; 64], [2; 64]]).unwrap();
    let (_, blinded) = blind(b"a person", &[3; 64]).unwrap();
    let verified = |share: &SecretShare| {
        let answer = share.evaluate(std::slice::from_ref(&blinded), &[6; 64]);
        let answer = answer.unwrap();
        share
            .public()
            .verify(std::slice::from_ref(&blinded), answer)
            .unwrap()
    };
    let two: Vec<_> = shares[..2].iter().map(verified).collect();
    assert!(combine(&secret.public(), three, &two).is_err());
    let twice = [&shares[0], &shares[1], &shares[1]].map(verified);
    assert!(combine(&secret.public(), three, &twice).is_err());
    // Taken for two of two, they do not make the joint key.
    assert!(combine(&secret.public(), Threshold::new(2).unwrap(), &two).is_err());
}

#[test]
fn an_input_of_65535_bytes_is_blinded_and_one_more_is_refused() {
    let input = vec![1; INPUT_BYTES_MAX + 1];
    assert!(blind(&input[1..], &[1; 64]).is_ok());
    let got = INPUT_BYTES_MAX + 1;
    assert_eq!(
        blind(&input, &[1; 64]).err(),
        Some(BlindError::InputTooLong { got })
    );
}

#[test]
fn a_blind_of_zero_would_send_the_identity_and_is_refused() {
    let refused = blind(b"x", &[0; 64]).err();
    assert_eq!(refused, Some(BlindError::ZeroBlind));
}

#[test]
fn two_blinds_of_one_input_share_no_element() {
    let (_, one) = blind(b"x", &[1; 64]).unwrap();
    let (_, other) = blind(b"x", &[2; 64]).unwrap();
    assert_ne!(one, other);
}

#[test]
fn debug_of_a_blind_and_of_an_output_shows_nothing() {
    let (kept, _) = blind(b"x", &[1; 64]).unwrap();
    assert_eq!(format!("{kept:?}"), "Blind(<secret>)");
    let output = OprfOutput([1; 64]);
    assert_eq!(format!("{output:?}"), "OprfOutput(<secret>)");
}

#[test]
fn a_request_finalizes_like_each_of_its_inputs_alone() {
    let secret = JointSecret::derive(&[5; 32], b"batch").unwrap();
    for count in [1_u8, 2, 7] {
        let request = (0..count).map(|n| blind(&[n], &[n + 1; 64]).unwrap());
        let (blinds, elements): (Vec<_>, Vec<_>) = request.unzip();
        let share = secret.sole_share();
        let answer = share.evaluate(&elements, &[6; 64]).unwrap();
        let answer = share.public().verify(&elements, answer).unwrap();
        let evaluated = combine(&secret.public(), Threshold::ONE, &[answer]).unwrap();
        let outputs = finalize(&blinds, &evaluated);
        let alone = blinds.iter().zip(&evaluated);
        let alone: Vec<_> = alone.map(|(blind, at)| blind.finalize(at)).collect();
        assert_eq!(outputs.len(), usize::from(count));
        for (output, alone) in outputs.iter().zip(&alone) {
            assert_eq!(output.as_bytes(), alone.as_bytes());
        }
    }
}
