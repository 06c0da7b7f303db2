use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::identity::IdentityError;
use crate::ids::SlotKey;
use crate::oprf::{CombineError, JointSecret, SecretShare, ShareIndex, VerifyError, blind};
use crate::receipt::example::{Ledger, attestations, claim};
use crate::roster::example::{federation, parts, secret};
use crate::roster::{Element, OprfElements, RosterParts};
use crate::signing::SigningError;

/// Where the claim stands in the log.
const CLAIM: u64 = 4;
/// A slot key that is nobody's.
const STRANGE: SlotKey = SlotKey::from_bytes([0x77; 32]);

fn person(rank: &str) -> Person {
    Person {
        nir: "2 95 10 99 126 111 93".parse().unwrap(),
        birth_date: "19951012".parse().unwrap(),
        birth_rank: rank.parse().unwrap(),
    }
}

/// The members' shares of the person key, two of which make a token.
fn shares(seed: u8) -> (JointPublicKey, Vec<SecretShare>) {
    let joint = JointSecret::derive(&[seed; 32], b"foreign slots").unwrap();
    let (two, four) = (Threshold::new(2).unwrap(), ShareIndex::new(4).unwrap());
    let split = joint.split(two, four, &[[9; 64]]).unwrap();
    (joint.public(), split)
}

/// The federation of the example, with shares that somebody holds.
fn roster() -> Roster {
    let (joint, shares) = shares(1);
    let mut parts: RosterParts = parts(4, 0);
    let person = |bytes: [u8; 32]| Element::from_bytes(bytes).unwrap();
    parts.joint.person = person(joint.to_bytes());
    for (member, share) in parts.shares.iter_mut().zip(&shares) {
        member.public = OprfElements {
            person: person(share.public().to_bytes()),
            ..member.public
        };
    }
    Roster::new(parts).unwrap()
}

/// What these members answer about a person, and the token that it makes.
fn made(of: &Person, blinding: u8, members: &[usize]) -> (TokenMaking, PersonToken) {
    let (joint, shares) = shares(1);
    let (kept, element) = blind(&of.oprf_input(), &[blinding; 64]).unwrap();
    let answers = members.iter().map(|member| {
        let share = &shares[*member];
        let answer = share.evaluate(&[element], &[6; 64]).unwrap();
        share.public().verify(&[element], answer).unwrap()
    });
    let answers: Vec<_> = answers.collect();
    let two = Threshold::new(2).unwrap();
    let evaluated = oprf::combine(&joint, two, &answers).unwrap();
    let token = PersonToken::from_output(&kept.finalize(&evaluated[0]));
    (TokenMaking::keep(&kept, &answers), token)
}

/// A ledger with a claim on two slots, one of them the person's own.
struct Scene {
    ledger: Ledger,
    roster: Roster,
    making: TokenMaking,
}

impl Scene {
    fn new() -> Self {
        Self::claiming(&[STRANGE])
    }

    /// The claim takes the person's frame, and these slots.
    fn claiming(others: &[SlotKey]) -> Self {
        let (making, token) = made(&person("1"), 5, &[2, 0]);
        let mut slots = [&[token.slot_key(Slot::Frame)], others].concat();
        slots.sort_unstable();
        let [first, catalogue, grant, _, coverage, ..] = attestations();
        let claimed = Attestation::Claim(claim(slots));
        let ledger = Ledger::with(4, &[first, catalogue, grant, coverage, claimed]);
        Self {
            ledger,
            roster: roster(),
            making,
        }
    }

    fn evidence(&self) -> ForeignSlots {
        let receipt = self.ledger.receipt(CLAIM);
        ForeignSlots::make(receipt, person("1"), self.making.clone(), &secret(1))
    }

    fn verify(&self, text: &str) -> Result<ProvedForeign, ForeignSlotsError> {
        ForeignSlots::verify(text, &self.roster, &mut |_| {})
    }

    /// How evidence fails that the payer itself changed, and signed again.
    fn resigned(&self, change: impl FnOnce(&mut ForeignSlots)) -> ForeignSlotsError {
        let mut changed = self.evidence();
        change(&mut changed);
        changed.signature = secret(1).sign(changed.signed_text().as_bytes());
        self.verify(&changed.to_text()).unwrap_err()
    }
}

#[test]
fn an_auditor_sees_with_the_roster_alone_which_slots_are_foreign() {
    let scene = Scene::new();
    let text = scene.evidence().to_text();
    let mut passed = Vec::new();
    let proved = ForeignSlots::verify(&text, &scene.roster, &mut |step| passed.push(step));
    let proved = proved.unwrap();
    let header = proved.receipt.entry.header().clone();
    let Ok(Attestation::Claim(claimed)) = Attestation::read(&header) else {
        panic!("the entry is a claim");
    };
    let strange = claimed.slots.iter().position(|key| *key == STRANGE);
    assert_eq!(proved.foreign, [strange.unwrap()]);
    assert_eq!((proved.slots, proved.by.as_str()), (2, "member-01"));
    assert_eq!(proved.receipt.index, LeafIndex::new(CLAIM));
    let steps = [
        Step::Format,
        Step::Identity,
        Step::Checkpoint,
        Step::Entry,
        Step::Inclusion,
        Step::Claim,
        Step::Discloser,
        Step::Evaluations,
        Step::Token,
        Step::Foreign,
    ];
    assert_eq!(passed, steps);
}

#[test]
fn a_claim_that_is_wholly_the_persons_is_no_evidence() {
    let (_, token) = made(&person("1"), 8, &[0, 1]);
    let scene = Scene::claiming(&[token.slot_key(Slot::LeftLens)]);
    let refused = scene.verify(&scene.evidence().to_text());
    assert_eq!(refused, Err(ForeignSlotsError::AllOwn));
    assert_eq!(ForeignSlotsError::AllOwn.step(), Step::Foreign);
}

#[test]
fn evaluations_of_another_identity_or_under_another_blind_are_refused() {
    let scene = Scene::new();
    let share = ShareIndex::ONE;
    let bad = ForeignSlotsError::Evaluation(VerifyError::BadShare { culprit: share });
    let other_person = scene.resigned(|file| file.person = person("2"));
    assert_eq!(other_person, bad);
    let (other, _) = made(&person("1"), 7, &[0, 2]);
    let other_blind = scene.resigned(|file| file.making.blind = other.blind.clone());
    assert_eq!(other_blind, bad);
    assert_eq!(bad.step(), Step::Evaluations);
    let zero = scene.resigned(|file| file.making.blind = KeptBlind::from_bytes([0; 32]));
    assert_eq!(zero.step(), Step::Evaluations);
}

#[test]
fn evaluations_are_as_many_as_the_threshold_each_of_another_member() {
    let scene = Scene::new();
    let (all, _) = made(&person("1"), 5, &[0, 1, 2]);
    let too_many = scene.resigned(|file| file.making = all.clone());
    assert_eq!(too_many, ForeignSlotsError::Count { got: 3, want: 2 });
    let too_few = scene.resigned(|file| file.making.answers.truncate(1));
    assert_eq!(too_few, ForeignSlotsError::Count { got: 1, want: 2 });
    let share = ShareIndex::ONE;
    let twice = scene.resigned(|file| file.making.answers[1] = file.making.answers[0].clone());
    assert_eq!(twice, ForeignSlotsError::Order { share });
    let turned = scene.resigned(|file| file.making.answers.swap(0, 1));
    assert_eq!(turned, ForeignSlotsError::Order { share });
    for error in [too_many, too_few, twice, turned] {
        assert_eq!(error.step(), Step::Evaluations);
    }
}

#[test]
fn a_proof_counts_for_the_share_of_its_own_member_alone() {
    let scene = Scene::new();
    let third = ShareIndex::new(3).unwrap();
    let second = ShareIndex::new(2).unwrap();
    let other_share = scene.resigned(|file| file.making.answers[1].index = second);
    let bad = |culprit| ForeignSlotsError::Evaluation(VerifyError::BadShare { culprit });
    assert_eq!(other_share, bad(second));
    let first_proof = scene.resigned(|file| {
        file.making.answers[1].dleq_proof = file.making.answers[0].dleq_proof;
    });
    assert_eq!(first_proof, bad(third));
    let nobodys = ShareIndex::new(9).unwrap();
    let no_member = scene.resigned(|file| file.making.answers[1].index = nobodys);
    assert_eq!(no_member, ForeignSlotsError::NoShare { share: nobodys });
    // Under the roster of another ceremony the same answers are nobody's.
    let text = scene.evidence().to_text();
    let refused = ForeignSlots::verify(&text, &federation(4, 0), &mut |_| {});
    assert_eq!(refused.unwrap_err().step(), Step::Evaluations);
}

#[test]
fn shares_that_do_not_make_the_joint_key_make_no_token() {
    let scene = Scene::new();
    let mut parts = parts(4, 0);
    let of_members = roster();
    parts.shares = of_members.shares().to_vec();
    let other_joint = Roster::new(parts).unwrap();
    let text = scene.evidence().to_text();
    let refused = ForeignSlots::verify(&text, &other_joint, &mut |_| {}).unwrap_err();
    assert_eq!(refused, ForeignSlotsError::Combine(CombineError::OtherKey));
    assert_eq!(refused.step(), Step::Token);
}

#[test]
fn who_says_it_is_a_payer_and_nothing_was_changed_since() {
    let scene = Scene::new();
    let of = |signer: u8| {
        let receipt = scene.ledger.receipt(CLAIM);
        ForeignSlots::make(receipt, person("1"), scene.making.clone(), &secret(signer))
    };
    // A member that pays nobody, and somebody who is no member.
    for signer in [2, 200] {
        let refused = scene.verify(&of(signer).to_text());
        assert_eq!(refused, Err(ForeignSlotsError::Stranger));
    }
    let mut unsigned = of(1);
    unsigned.by = secret(0).public();
    let refused = scene.verify(&unsigned.to_text());
    let want = ForeignSlotsError::Signature(SigningError::Signature);
    assert_eq!(refused, Err(want));
}

#[test]
fn an_entry_that_is_no_claim_and_another_place_fail_at_their_steps() {
    let scene = Scene::new();
    let no_claim = scene.resigned(|file| file.receipt = scene.ledger.receipt(2));
    assert_eq!(no_claim.step(), Step::Claim);
    let moved = scene.resigned(|file| file.receipt.proved.index = LeafIndex::new(3));
    assert_eq!(moved.step(), Step::Inclusion);
}

#[test]
fn an_identity_has_the_one_spelling_of_a_card_that_is_right() {
    let scene = Scene::new();
    let text = scene.evidence().to_text();
    for (nir, want) in [
        (
            "295109912611194",
            ForeignSlotsError::Identity(IdentityError::NirKey),
        ),
        (
            "2951099126111 93",
            ForeignSlotsError::Spelling { field: "NIR" },
        ),
    ] {
        let changed = text.replace("295109912611193", nir);
        let mut passed = Vec::new();
        let refused = ForeignSlots::verify(&changed, &scene.roster, &mut |step| passed.push(step));
        assert_eq!(refused.as_ref().unwrap_err(), &want);
        assert_eq!(want.step(), Step::Identity);
        assert_eq!(passed, [Step::Format]);
    }
}

#[test]
fn no_character_of_the_file_can_be_changed() {
    let scene = Scene::new();
    let text = scene.evidence().to_text();
    // Every character of its own lines; those of a receipt have a test of their own.
    let head = text.find("\n\n").unwrap();
    for place in (0..head + 40).chain([text.len() - 1]) {
        let mut bytes = text.as_bytes().to_vec();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(scene.verify(&changed).is_err(), "{place}");
    }
    for cut in 0..head {
        assert!(ForeignSlots::parse(&text[..cut]).is_err(), "{cut}");
    }
    assert!(scene.verify(&format!("{}\n", *text)).is_err());
}

#[test]
fn a_file_is_bounded_before_it_is_read() {
    let long = "x".repeat(FOREIGN_SLOTS_BYTES_MAX + 1);
    let refused = ForeignSlots::parse(&long);
    assert!(matches!(refused, Err(ForeignSlotsError::TooLong { .. })));
    let scene = Scene::new();
    let text = scene.evidence().to_text();
    let line = text.lines().find(|line| line.starts_with("evaluation "));
    let line = format!("{}\n", line.unwrap());
    let many = text.replacen(&line, &line.repeat(EVALUATIONS_MAX + 1), 1);
    let refused = ForeignSlots::parse(&many);
    assert_eq!(refused, Err(ForeignSlotsError::TooManyEvaluations));
}

#[test]
fn debug_and_errors_show_nothing_of_the_person() {
    let scene = Scene::new();
    let evidence = scene.evidence();
    let blind = format!("{:?}", evidence.making.blind);
    assert_eq!(blind, "KeptBlind(<secret>)");
    let shown = format!("{evidence:?}");
    for secret in ["2951099126111", "19951012"] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let wrong = evidence
        .to_text()
        .replace("295109912611193", "295109912611194");
    let error = scene.verify(&wrong).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("29510"));
}

#[test]
fn the_file_is_these_bytes() {
    let made = Scene::new().evidence();
    let text = made.to_text();
    assert_eq!(ForeignSlots::parse(&text), Ok(made));
    let head: Vec<&str> = text.lines().take(9).collect();
    assert_eq!(head.join("\n"), GOLDEN_HEAD);
}

/// The text of one file, for tests that take it many times.
static TEXT: LazyLock<String> = LazyLock::new(|| Scene::new().evidence().to_text().to_string());

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_reads_as_evidence_writes_the_same_text(
        place in 0_usize..1_000,
        with in "[ -~\n]{0,3}",
        gone in 0_usize..4,
    ) {
        let mut text = TEXT.clone();
        let place = place.min(text.len() - gone);
        text.replace_range(place..place + gone, &with);
        if let Ok(read) = ForeignSlots::parse(&text) {
            let again = read.to_text();
            prop_assert_eq!(again.as_str(), text);
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(vitrail foreign slots v1\n)?[ -~\n]{0,200}") {
        let _ = ForeignSlots::parse(&text);
    }
}

/// The signature is over every other byte of the file, so it stands for those of the receipt too.
const GOLDEN_HEAD: &str = "vitrail foreign slots v1
by gTl3Dqh9F19Wo1Rmw0x+zMuNipG07jeiXfYPW4/Js5Q=
signature SHMopD948e2V1v3xlvmvL+WEPeSmqwVMQr9xNXRQlYSMFseSN/F/KhHQJzye6nNOceQpbtnlFz7Y3vyjpy0NAw==
nir 295109912611193
birth-date 19951012
birth-rank 1
blind npdMOkgfyxpeV00K7XQcMCVtoCgOyywi7en2iQC7vAo=
evaluation 1 aHWjQZnxln+6W524rpP/9gjzgEnHNwiGo8DHEu04iH0= W5R7kNnfUGK9BaL90lNV6O9LSvudIkJ4aXwb+kCicwHnj9Uus1Yy33r4N/GYP7b3PKZs5QiDjH+zCHYr3G9GDQ==
evaluation 3 IoEYdSbbqIwExfwZEZcxPzvKpxJDGT0Hb5A/CvFtmlc= no5IoBduuKvtRoSGEOzbwBO342ipoQk4m+0XwXKadA+N+FiDW4coJqhg4I+kasqVnpwMBfbv/H4qvG/OTIPjDw==";
