//! The examples of docs/protocol.md are what the code computes.
//!
//! They were printed by a second implementation, written from that page alone. So this test
//! says two things: the page is enough to write one, and the code does what the page says.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "the whole file is a test, its functions included"
)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use proto::attestation::{
    Attestation, Claim, CoverageTerms, SlotState, SlotStatus, State, catalogue_index, roster_index,
    slot_index,
};
use proto::entry::{Entry, VerifiedEntry};
use proto::hash::Hash;
use proto::identity::{Contract, Person};
use proto::ids::{Day, LeafIndex, Origin, RequestId, TreeSize, UnixMillis};
use proto::lpp::{Catalogue, GroupedCode, Slot};
use proto::map::{Bucket, BucketSource, Crown, MapIndex, MapUpdate, MapValue, Prefix};
use proto::merkle;
use proto::oprf::{JointSecret, OprfOutput, Threshold, blind, combine};
use proto::seal::{LppCodeCommitment, LppCodeSalt, Salt, SealedPayload, seal};
use proto::signing::SecretKey;
use proto::token::{ContractToken, PersonToken};

const PAGE: &str = include_str!("../../docs/protocol.md");

/// The example of this name, from the page: hex, which may go on in indented lines.
fn example(name: &str) -> String {
    let (_, examples) = PAGE.split_once("\n## 16 ").unwrap();
    let start = format!("\n{name} = ");
    let (_, rest) = examples
        .split_once(&start)
        .unwrap_or_else(|| panic!("no example {name}"));
    let mut lines = rest.lines();
    let first = lines.next().unwrap().to_owned();
    let more = lines.take_while(|line| line.starts_with("  "));
    more.fold(first, |hex, line| hex + line.trim())
}

#[track_caller]
fn assert_is_example(name: &str, bytes: &[u8]) {
    assert_eq!(hex::encode(bytes), example(name), "{name}");
}

fn person() -> Person {
    Person {
        nir: "2951099126111 93".parse().unwrap(),
        birth_date: "19951012".parse().unwrap(),
        birth_rank: "1".parse().unwrap(),
    }
}

fn contract() -> Contract {
    Contract {
        payer_number: "0123456789".parse().unwrap(),
        member_number: "AB1234".parse().unwrap(),
        birth_date: "19951012".parse().unwrap(),
        birth_rank: "2".parse().unwrap(),
    }
}

fn joint_secret() -> JointSecret {
    JointSecret::derive(&[1; 32], b"example").unwrap()
}

/// The whole exchange between a client and the one node of a 1-of-1 sharing.
fn evaluate(input: &[u8]) -> OprfOutput {
    let share = joint_secret().sole_share();
    let (kept, element) = blind(input, &[2; 64]).unwrap();
    let answer = share.evaluate(&[element], &[3; 64]).unwrap();
    let answer = share.public().verify(&[element], answer).unwrap();
    let joint = joint_secret().public();
    kept.finalize(&combine(&joint, Threshold::ONE, &[answer]).unwrap()[0])
}

fn person_token() -> PersonToken {
    PersonToken::from_output(&evaluate(&person().oprf_input()))
}

fn contract_token() -> ContractToken {
    ContractToken::from_output(&evaluate(&contract().oprf_input()))
}

fn frame() -> GroupedCode {
    "M01".parse().unwrap()
}

fn terms() -> Vec<u8> {
    // Version 1, which is read for good and no longer written.
    hex::decode("014d30310000000000000bb80018").unwrap()
}

/// The same as version 2 says it.
fn terms_2() -> Vec<u8> {
    CoverageTerms::from_bytes(&terms()).unwrap().to_bytes()
}

const SALT: Salt = Salt::from_bytes([9; 32]);

fn payload() -> SealedPayload {
    let secret = contract_token().sealing_secret();
    seal(&[(&secret, &terms())], &SALT).unwrap()
}

fn claim() -> VerifiedEntry {
    let origin: Origin = "vitrail.example/optique".parse().unwrap();
    let till = SecretKey::from_seed(&[7; 32]);
    let request_id = RequestId::new(UnixMillis::new(1_768_000_000_000), [9; 10]);
    let claim = Claim {
        slots: vec![person_token().slot_key(Slot::Frame)],
        catalogue: LeafIndex::new(1),
        coverages: vec![LeafIndex::new(2)],
        until: Day::new(20_500),
        early: None,
        commitment: *payload().commitment(&SALT).as_hash(),
    };
    let header = Attestation::Claim(claim).header(till.public(), request_id);
    Entry::sign(&header, &origin, &till).unwrap()
}

/// The buckets of one update, as a store would keep them.
struct Buckets(MapUpdate);

impl BucketSource for Buckets {
    type Error = Infallible;

    fn bucket(&self, prefix: &Prefix) -> Result<Arc<Bucket>, Infallible> {
        let stored = self.0.puts().find(|(put, _)| *put == prefix);
        Ok(stored.map(|(_, bucket)| bucket.clone()).unwrap())
    }
}

/// A map without buckets, which is never asked for one.
struct Nothing;

impl BucketSource for Nothing {
    type Error = Infallible;

    fn bucket(&self, _: &Prefix) -> Result<Arc<Bucket>, Infallible> {
        unreachable!("an empty map has no bucket")
    }
}

fn slot_state() -> State {
    State::Slot(SlotState {
        status: SlotStatus::Reserved,
        until: Day::new(20_500),
        by: LeafIndex::new(2),
        beneath: None,
    })
}

#[test]
fn identities_and_tokens_are_those_of_the_page() {
    assert_is_example("person input", &person().oprf_input());
    assert_is_example("contract input", &contract().oprf_input());
    let secret = joint_secret().sole_share().to_bytes();
    assert_is_example("joint secret", secret.as_slice());
    let (person, contract) = (person_token(), contract_token());
    assert_is_example("person token", person.as_bytes());
    assert_is_example("contract token", contract.as_bytes());
    assert_is_example("slot key", person.slot_key(Slot::Frame).as_bytes());
    assert_is_example("coverage key", contract.coverage_key(frame()).as_bytes());
    assert_is_example("sealing secret", contract.sealing_secret().as_bytes());
    assert_is_example("contract key", contract.contract_key().as_bytes());
}

#[test]
fn catalogue_and_payload_are_those_of_the_page() {
    for (first_line, name) in [
        ("vitrail-catalogue/v1\n", "catalogue hash"),
        ("vitrail-catalogue/v2\n", "catalogue hash with pairs"),
    ] {
        let start = PAGE.find(first_line).unwrap();
        let (text, _) = PAGE[start..].split_once("```").unwrap();
        let catalogue = Catalogue::from_bytes(text.as_bytes()).unwrap();
        assert_is_example(name, catalogue.hash().as_bytes());
    }
    assert_is_example("coverage terms", &terms());
    assert_is_example("coverage terms 2", &terms_2());
    let hash = merkle::leaf(&payload().to_bytes());
    assert_is_example("payload hash", hash.as_bytes());
    let commitment = payload().commitment(&SALT);
    assert_is_example("payload commitment", commitment.as_hash().as_bytes());
    let code = LppCodeCommitment::new("2222124", &LppCodeSalt::from_bytes([4; 32]));
    assert_is_example("lpp code commitment", code.as_hash().as_bytes());
}

#[test]
fn the_claim_and_the_log_are_those_of_the_page() {
    let claim = claim();
    assert_is_example("till key", &claim.header().issuer.to_bytes());
    assert_is_example("claim", claim.bytes());
    assert_is_example("leaf", claim.leaf_hash().as_bytes());
    let leaves: [Hash; 3] = [merkle::leaf(b"a"), merkle::leaf(b"b"), claim.leaf_hash()];
    let root = merkle::root(TreeSize::new(3), leaves.as_slice()).unwrap();
    assert_is_example("log root", root.as_bytes());
}

#[test]
fn the_map_and_its_proofs_are_those_of_the_page() {
    let slot = slot_index(&person_token().slot_key(Slot::Frame));
    assert_is_example("slot state", &slot_state().to_bytes());
    assert_is_example("map index", slot.as_bytes());
    let roster = State::Roster {
        by: LeafIndex::new(0),
    };
    let value = |state: State| MapValue::from_bytes(&state.to_bytes()).ok();
    let changes: BTreeMap<MapIndex, Option<MapValue>> =
        [(slot, value(slot_state())), (roster_index(), value(roster))].into();
    let buckets = Buckets(Crown::new().update(&changes, &Nothing).unwrap());
    assert_is_example("map root", buckets.0.root().as_bytes());
    let proof = |index| buckets.0.crown().prove(index, &buckets).unwrap();
    assert_is_example("presence proof", &proof(&slot).to_bytes());
    assert_is_example("absence proof", &proof(&catalogue_index()).to_bytes());
}

#[test]
fn the_roster_and_the_checkpoint_of_the_page_read_back() {
    let block = |start: &str| {
        let (_, rest) = PAGE.split_once(&format!("```text\n{start}\n")).unwrap();
        let (text, _) = rest.split_once("```").unwrap();
        format!("{start}\n{text}")
    };
    let roster = block("vitrail roster v1");
    assert_eq!(
        proto::roster::Roster::parse(&roster).unwrap().text(),
        roster
    );
    let checkpoint = block("vitrail.example/optique");
    let read = proto::checkpoint::SignedCheckpoint::parse(checkpoint.as_bytes()).unwrap();
    assert_eq!(read.to_text(), checkpoint);
    for line in ["vitrail receipt v1", "vitrail refusal v1"] {
        assert!(PAGE.contains(line), "{line}");
    }
}
