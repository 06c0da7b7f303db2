use super::*;
use crate::attestation::{Claim, Coverage};
use crate::entry::Entry;
use crate::ids::Cents;
use crate::receipt::example::{Ledger, SLOTS, attestations, claim};
use crate::roster::example::secret;
use crate::seal::seal;

const AMO: SealingSecret = SealingSecret::from_bytes([1; 32]);
const AMC: SealingSecret = SealingSecret::from_bytes([2; 32]);
/// Where the claims of the two contracts stand.
const FIRST: usize = 4;
const SECOND: usize = 5;
/// Where a coverage of the second contract stands.
const COVERAGE: usize = 6;
/// Where the first claim's delivery and the second contract's settlement stand.
const DELIVERY: usize = 7;
const SETTLEMENT: usize = 8;

/// The terms of a claim in the bytes of version 1, which are read for good.
fn claim_bytes(amount: u64) -> Vec<u8> {
    let price = 12_000_u64.to_be_bytes();
    let line = [b"M03", &price[..], &amount.to_be_bytes(), &[8; 32], &[0]];
    [&[1, 1], line.concat().as_slice()].concat()
}

/// The terms of a coverage in the bytes of version 1.
fn coverage_bytes() -> Vec<u8> {
    let (amount, months) = (5_000_u64.to_be_bytes(), 24_u16.to_be_bytes());
    [&[1][..], b"M03", &amount, &months].concat()
}

/// What the second contract's payer paid.
fn settlement_terms() -> SettlementTerms {
    SettlementTerms {
        amount: Cents::new(5_000),
        reference: "VIR 77".to_owned(),
    }
}

/// Two claims for two contracts, a coverage of the second contract, the delivery of the first
/// claim and its settlement, each with its payload.
struct Disclosing {
    ledger: Ledger,
    payloads: [(SealedPayload, Salt); 5],
}

impl Disclosing {
    fn new() -> Self {
        Self::up_to(SETTLEMENT)
    }

    /// A ledger that ends with this entry.
    fn up_to(last: usize) -> Self {
        let claimed = |amount, salt: u8| {
            let salt = Salt::from_bytes([salt; 32]);
            let (amo, amc) = (claim_bytes(3), claim_bytes(amount));
            (seal(&[(&AMO, &amo), (&AMC, &amc)], &salt).unwrap(), salt)
        };
        let salt = Salt::from_bytes([13; 32]);
        let covered = seal(&[(&AMC, &coverage_bytes())], &salt).unwrap();
        let paid_salt = Salt::from_bytes([15; 32]);
        let paid = seal(&[(&AMC, &settlement_terms().to_bytes())], &paid_salt).unwrap();
        let payloads = [
            claimed(5_000, 11),
            claimed(7_000, 12),
            (covered, salt),
            // The very terms of the claim: only the salt is another.
            claimed(5_000, 14),
            (paid, paid_salt),
        ];
        let commitment = |place: usize| {
            let (payload, salt) = &payloads[place];
            *payload.commitment(salt).as_hash()
        };
        let [
            first,
            catalogue,
            grant,
            _,
            Attestation::Coverage(cover),
            _,
            _,
            _,
            Attestation::Delivery(delivery),
            Attestation::Settlement(settlement),
            _,
        ] = attestations()
        else {
            panic!("the example has each kind at its place");
        };
        let claims = |place| {
            Attestation::Claim(Claim {
                commitment: commitment(place),
                ..claim(vec![SLOTS[place]])
            })
        };
        let coverage = Attestation::Coverage(Coverage {
            commitment: commitment(2),
            ..cover
        });
        let entries = [
            first,
            catalogue,
            grant,
            Attestation::Coverage(cover),
            claims(0),
            claims(1),
            coverage,
            Attestation::Delivery(Delivery {
                commitment: commitment(DELIVERY - FIRST),
                ..delivery
            }),
            Attestation::Settlement(Settlement {
                under: None,
                commitment: commitment(SETTLEMENT - FIRST),
                ..settlement
            }),
        ];
        let ledger = Ledger::with(4, &entries[..=last]);
        Self { ledger, payloads }
    }

    fn disclosable(&self, entry: usize) -> Disclosable {
        let (payload, salt) = self.payloads[entry - FIRST].clone();
        let receipt = self.ledger.receipt(entry as u64);
        Disclosable {
            receipt,
            payload,
            salt,
        }
    }

    fn disclosed(&self, entry: usize, contract: &SealingSecret) -> Disclosure {
        Disclosure::make(self.disclosable(entry), contract, &secret(1)).unwrap()
    }

    fn verify(&self, text: &str) -> Result<Disclosed, DisclosureError> {
        Disclosure::verify(text, &self.ledger.roster, &mut |_| {})
    }
}

#[test]
fn an_auditor_opens_the_part_that_was_disclosed() {
    let scene = Disclosing::new();
    let text = scene.disclosed(FIRST, &AMC).to_text();
    let mut passed = Vec::new();
    let opened = Disclosure::verify(&text, &scene.ledger.roster, &mut |step| passed.push(step));
    let opened = opened.unwrap();
    let terms = ClaimTerms::from_bytes(&claim_bytes(5_000)).unwrap();
    assert_eq!(opened.terms, Terms::Claim(terms));
    assert_eq!((opened.part, opened.by.as_str()), (1, "member-01"));
    assert_eq!(opened.receipt.index, LeafIndex::new(4));
    let steps = [
        Step::Format,
        Step::Checkpoint,
        Step::Entry,
        Step::Inclusion,
        Step::Discloser,
        Step::Commitment,
        Step::Part,
        Step::Terms,
    ];
    assert_eq!(passed, steps);
    let coverage = scene.verify(&scene.disclosed(COVERAGE, &AMC).to_text());
    let terms = CoverageTerms::from_bytes(&coverage_bytes()).unwrap();
    assert_eq!(coverage.unwrap().terms, Terms::Coverage(terms));
}

/// The auditor is as strong as can be: beside the file he has payload and salt of every neighbour.
#[test]
fn the_key_of_one_part_opens_none_of_its_neighbours() {
    let scene = Disclosing::new();
    let disclosed = scene.disclosed(FIRST, &AMC);
    let mut tried = 0;
    for (payload, salt) in &scene.payloads {
        for part in 0..payload.part_count() {
            let commitment = payload.commitment(salt);
            let opened = payload.open_part(part, &disclosed.seal_key, salt, &commitment);
            let is_disclosed = *payload == disclosed.payload && part == disclosed.part;
            assert_eq!(opened.is_ok(), is_disclosed);
            tried += 1;
        }
    }
    // The other payer's part, both parts of the next claim and of the delivery, the coverage, the
    // settlement, and the one itself.
    assert_eq!(tried, 8);
}

#[test]
fn a_delivery_and_a_settlement_open_like_a_claim() {
    let scene = Disclosing::new();
    let opened = |entry, contract: &SealingSecret| {
        let text = scene.disclosed(entry, contract).to_text();
        scene.verify(&text).unwrap()
    };
    let delivered = opened(DELIVERY, &AMO);
    let Terms::Delivery(delivery, terms) = delivered.terms else {
        panic!("terms of another kind");
    };
    assert_eq!(delivered.part, 0);
    assert_eq!(delivery.claim, LeafIndex::new(4));
    assert_eq!(terms, ClaimTerms::from_bytes(&claim_bytes(3)).unwrap());
    let Terms::Settlement(settlement, terms) = opened(SETTLEMENT, &AMC).terms else {
        panic!("terms of another kind");
    };
    assert_eq!(settlement.outcome.as_str(), "rejected");
    assert_eq!(terms, settlement_terms());
    // The mandatory insurer has no part of the other payer's answer.
    let made = Disclosure::make(scene.disclosable(SETTLEMENT), &AMO, &secret(1));
    assert_eq!(made, Err(OpenError::NotForThisContract.into()));
}

/// A till may seal anything: what is no terms of the entry's kind is disclosed by nobody.
#[test]
fn terms_of_another_kind_are_not_disclosed() {
    let scene = Disclosing::new();
    let mut wrong = scene.disclosed(SETTLEMENT, &AMC);
    let salt = Salt::from_bytes([16; 32]);
    let sealed = seal(&[(&AMC, &claim_bytes(5_000))], &salt).unwrap();
    let header = wrong.header().clone();
    let header = Header {
        commitment: Some(*sealed.commitment(&salt).as_hash()),
        ..header
    };
    let origin = scene.ledger.roster.origin();
    let entry = Entry::sign(&header, origin, &secret(0)).unwrap();
    wrong.receipt.proved.entry = entry.into_entry();
    let disclosable = Disclosable {
        receipt: wrong.receipt,
        payload: sealed,
        salt,
    };
    let made = Disclosure::make(disclosable, &AMC, &secret(1));
    assert_eq!(made.unwrap_err().step(), Step::Terms);
}

#[test]
fn a_disclosure_that_is_turned_to_a_neighbour_fails_at_its_step() {
    let scene = Disclosing::new();
    let made = scene.disclosed(FIRST, &AMC);
    let resigned = |mut changed: Disclosure| {
        changed.signature = secret(1).sign(changed.signed_text().as_bytes());
        scene.verify(&changed.to_text()).unwrap_err().step()
    };
    let mut other_part = made.clone();
    other_part.part = 0;
    assert_eq!(resigned(other_part), Step::Part);
    for neighbour in [SECOND, COVERAGE, DELIVERY, SETTLEMENT] {
        let Disclosable {
            receipt,
            payload,
            salt,
        } = scene.disclosable(neighbour);
        let mut other_entry = made.clone();
        other_entry.receipt = receipt;
        assert_eq!(resigned(other_entry.clone()), Step::Commitment);
        other_entry.payload = payload;
        assert_eq!(resigned(other_entry.clone()), Step::Commitment);
        other_entry.salt = salt;
        assert_eq!(resigned(other_entry), Step::Part);
    }
    let mut other_place = made.clone();
    other_place.receipt.proved.index = LeafIndex::new(5);
    assert_eq!(resigned(other_place), Step::Inclusion);
    let mut no_terms = made;
    no_terms.receipt = scene.ledger.receipt(1);
    assert_eq!(resigned(no_terms), Step::Commitment);
}

#[test]
fn who_disclosed_is_a_member_and_nothing_was_changed_since() {
    let scene = Disclosing::new();
    let made = scene.disclosed(FIRST, &AMC);
    let mut unsigned = made.clone();
    unsigned.by = secret(2).public();
    assert_eq!(
        scene.verify(&unsigned.to_text()),
        Err(DisclosureError::Signature(SigningError::Signature))
    );
    let stranger = SecretKey::from_seed(&[0x55; 32]);
    let strange = Disclosure::make(scene.disclosable(FIRST), &AMC, &stranger).unwrap();
    assert_eq!(
        scene.verify(&strange.to_text()),
        Err(DisclosureError::Stranger)
    );
    assert!(scene.verify(&made.to_text()).is_ok());
}

#[test]
fn a_contract_that_no_part_is_for_discloses_nothing() {
    let scene = Disclosing::new();
    let stranger = SealingSecret::from_bytes([3; 32]);
    let made = Disclosure::make(scene.disclosable(FIRST), &stranger, &secret(1));
    assert_eq!(made, Err(OpenError::NotForThisContract.into()));
    let made = Disclosure::make(scene.disclosable(COVERAGE), &AMO, &secret(1));
    assert_eq!(made, Err(OpenError::NotForThisContract.into()));
}

#[test]
fn no_character_of_the_file_can_be_changed() {
    let scene = Disclosing::new();
    let text = scene.disclosed(FIRST, &AMC).to_text();
    // Every character of the lines of a disclosure; those of a receipt have a test of their own.
    let head = text.find("\n\n").unwrap();
    for place in (0..head + 40).chain([text.len() - 1]) {
        let mut bytes = text.clone().into_bytes();
        bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(scene.verify(&changed).is_err(), "{place}");
    }
    for cut in 0..head {
        assert!(Disclosure::parse(&text[..cut]).is_err(), "{cut}");
    }
    assert!(scene.verify(&format!("{text}\n")).is_err());
    let long = "x".repeat(DISCLOSURE_BYTES_MAX + 1);
    let refused = Disclosure::parse(&long);
    assert!(matches!(refused, Err(DisclosureError::TooLong { .. })));
}

#[test]
fn the_file_is_these_bytes() {
    let scene = Disclosing::up_to(COVERAGE);
    let made = scene.disclosed(FIRST, &AMC);
    let text = made.to_text();
    assert_eq!(Disclosure::parse(&text), Ok(made));
    let head: Vec<&str> = text.lines().take(6).collect();
    assert_eq!(head.join("\n"), GOLDEN_HEAD);
    assert_eq!(blake3::hash(text.as_bytes()).to_hex().as_str(), GOLDEN_HASH);
}

#[test]
fn debug_of_a_disclosure_shows_no_secret() {
    let shown = format!("{:?}", Disclosing::new().disclosed(FIRST, &AMC));
    assert!(shown.contains("SealKey(<secret>)"), "{shown}");
    assert!(shown.contains("Salt(<secret>)"), "{shown}");
}

const GOLDEN_HEAD: &str = "vitrail disclosure v1
by gTl3Dqh9F19Wo1Rmw0x+zMuNipG07jeiXfYPW4/Js5Q=
signature Jysrg7ynLb36nKQw6uqgQyCseXGmbhy1SbQJlf/NySM+iGrBIZu568uRVFI5nTnez7ELoOQ6wUSXsoQ1NyEgAg==
part 1
key 5l3iev3WwFAxLmMz2+CniMOrfhSgj20CMxad47j0Glk=
salt CwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCws=";
const GOLDEN_HASH: &str = "9a2360f82e87d51160784629a2d73031dad5efb972cd97b4926f785847993724";
