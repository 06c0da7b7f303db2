//! Members take new keys over a real node, and keep what is theirs under the old ones: a payer
//! lists, opens, settles, releases and erases, a federation revokes, and the till sees it paid.

use std::fs;

use client::auditor::{Auditor, HttpSource};
use client::coverage_file::CoverageRow;
use client::insurer::Insurer;
use client::issue::Issued;
use client::pos::{self, HandingOver, Item, Pos};
use client::session::Session;
use client::settlement::{self, Answer, SettleError};
use client::view::View;
use client::{erasure, federation};
use proto::attestation::lifecycle::PaymentStage;
use proto::attestation::{Attestation, Settlement, SettlementOutcome};
use proto::hash::Hash;
use proto::ids::LeafIndex;
use proto::refusal::Reason;
use proto::roster::{MemberChange, SignedRoster};
use proto::seal::{self, Salt};
use proto::signing::{PublicKey, SecretKey};
use proto::token::SealingSecret;
use serde_json::Value;
use tempfile::TempDir;
use tests::binary::{scratch_folder, vitrail};
use tests::federation::{Federation, accepted, cnam, fresh_key};
use tests::planted::{MEMBERS_HEADER, Planted, catalogue};
use tests::process::{NodeProcess, write_secret};

/// A shop, both payers, and the complementary one's office.
struct Town {
    folder: TempDir,
    federation: Federation,
    node: NodeProcess,
    till: SecretKey,
    people: Vec<Planted>,
    /// The catalogue in the ledger.
    named: LeafIndex,
    /// The newest coverage of each person by the complementary insurer.
    coverages: Vec<LeafIndex>,
}

impl Town {
    async fn new() -> Self {
        let folder = scratch_folder();
        let federation = Federation::found(folder.path());
        let node = federation.start(&[]);
        let till = federation.grant_tills(&node, 1).await.remove(0);
        let founder = federation.session(&node, &federation.cnam);
        let named = client::catalogue::publish(&founder, &catalogue()).await;
        let mut town = Self {
            named: accepted(&named.unwrap()),
            folder,
            federation,
            node,
            till,
            people: Planted::people(3),
            coverages: Vec::new(),
        };
        let keys = [&town.federation.cnam, &town.federation.amcs[0]].map(SecretKey::clone);
        town.cover(&keys[0], true).await;
        town.coverages = town.cover(&keys[1], false).await;
        town
    }

    fn session(&self, key: &SecretKey) -> Session {
        self.federation.session(&self.node, key)
    }

    /// A payer covers everybody.
    async fn cover(&self, key: &SecretKey, mandatory: bool) -> Vec<LeafIndex> {
        let insurer = Insurer::open(self.session(key), self.named).await.unwrap();
        let people = self.people.iter();
        let rows: Vec<CoverageRow> = people.map(|one| one.coverage(mandatory)).collect();
        let covered = insurer.cover(&rows, &mut |_| {}).await.unwrap();
        let outcomes = covered.into_iter().map(|one| one.outcome.unwrap());
        outcomes.map(|issued| accepted(&issued)).collect()
    }

    fn shop(&self) -> Pos {
        let view = View::new(self.federation.roster.clone());
        Pos::new(self.session(&self.till), catalogue(), view)
    }

    async fn claim(&self, person: usize) -> LeafIndex {
        let items: [Item; 1] = ["2223342=120.00".parse().unwrap()];
        let (shop, insured) = (self.shop(), self.people[person].insured());
        let quote = shop.check(&insured, &items).await.unwrap();
        accepted(&shop.claim(&quote).await.unwrap())
    }

    async fn deliver(&self, person: usize, claim: LeafIndex) -> LeafIndex {
        let insured = self.people[person].insured();
        let what = HandingOver::default();
        accepted(&self.shop().deliver(&insured, claim, &what).await.unwrap())
    }

    /// A member takes a new key, by a roster that the one with a vote signs.
    async fn rotate(&mut self, member: &str) -> SecretKey {
        let key = fresh_key();
        let change = MemberChange::Rotate {
            member: member.parse().unwrap(),
            public_key: key.public(),
        };
        let next = self.federation.roster.after_changes(&[change]).unwrap();
        let line = next.sign(&cnam(), &self.federation.cnam);
        let signed = SignedRoster::new(next.clone(), vec![line]).unwrap();
        let text = signed.to_text();
        let founder = self.session(&self.federation.cnam);
        let put = founder.issue(&Attestation::Roster(signed), None).await;
        accepted(&put.unwrap());
        self.federation.roster = next;
        fs::write(self.folder.path().join("roster.txt"), text).unwrap();
        key
    }

    /// The complementary insurer's folder, with its contracts and the key it has now.
    fn office(&self, key: &SecretKey) {
        let folder = self.folder.path();
        write_secret(&folder.join("key.pem"), &key.to_pem().unwrap());
        let people = self.people.iter().enumerate();
        let lines = people.map(|(place, one)| one.member_line(false, &format!("c/{place}")));
        let members = format!("{MEMBERS_HEADER}{}", lines.collect::<String>());
        fs::write(folder.join("members.csv"), members).unwrap();
        let imported = self.run(&["contracts", "import", "members.csv"]);
        assert_eq!(imported["contracts"], self.people.len());
    }

    /// What a command of the complementary insurer answers.
    fn run(&self, words: &[&str]) -> Value {
        let address = format!("cnam={}", self.node.addresses.grpc);
        let mut command = vitrail();
        let command = command.current_dir(self.folder.path()).args(words);
        let output = command.args(["--address", &address, "-o", "json"]).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words:?}: {said}"))
    }

    /// How the payments of an invoice stand, with the names of the payers, as the till reads it.
    async fn standing(&self, delivery: LeafIndex) -> Vec<(String, PaymentStage)> {
        let opened = self.session(&self.till).open_entry(delivery).await.unwrap();
        let payers = opened.payers.into_iter();
        let named = payers.map(|one| (one.member.unwrap().to_string(), one.stage));
        named.collect()
    }

    async fn settle(
        &self,
        session: &Session,
        person: usize,
        delivery: LeafIndex,
    ) -> Result<Issued, SettleError> {
        let contracts = self.people[person].insured().contracts();
        let answer = Answer {
            outcome: SettlementOutcome::Paid,
            amount: None,
            reference: "VIR 1".to_owned(),
        };
        settlement::settle(session, &contracts[1], delivery, &answer).await
    }
}

fn refused(issued: &Issued) -> Reason {
    match issued {
        Issued::Accepted(receipt) => panic!("appended at {}", receipt.proved.index),
        Issued::Refused(refused) => refused.reason,
    }
}

/// Says under this key, or none, that an invoice is paid; nothing checks it but the ledger.
async fn says_paid(
    session: &Session,
    claim: LeafIndex,
    delivery: LeafIndex,
    under: Option<PublicKey>,
) -> Issued {
    let salt = Salt::from_bytes(client::system::random().unwrap());
    let part = (&SealingSecret::from_bytes([1; 32]), &b"terms"[..]);
    let payload = seal::seal(&[part], &salt).unwrap();
    let commitment: Hash = *payload.commitment(&salt).as_hash();
    let settlement = Attestation::Settlement(Settlement {
        claim,
        invoice: delivery,
        delivery,
        outcome: SettlementOutcome::Paid,
        under,
        commitment,
    });
    let issued = session.issue(&settlement, Some((&payload, &salt))).await;
    issued.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_keeps_under_its_new_key_what_it_did_under_its_old_one() {
    let mut town = Town::new().await;
    let mut sold = Vec::new();
    for person in 0..2 {
        let claim = town.claim(person).await;
        sold.push((claim, town.deliver(person, claim).await));
    }
    let reserved = town.claim(2).await;
    let old = town.federation.amcs[0].clone();
    let new = town.rotate("alpha").await;
    town.office(&new);

    a_claim_is_listed_opened_and_settled_once(&town, [&old, &new], sold[0]).await;
    nobody_else_settles(&town, &old, sold[1]).await;
    a_file_settles(&town, sold[1].1).await;
    a_claim_is_released_and_a_coverage_erased(&town, &new, reserved).await;
    a_coverage_is_issued_again(&town, &new).await;
    let till = town.till.public();
    let federation_key = town.rotate("opticians").await;
    let revoked = federation::revoke(&town.session(&federation_key), till).await;
    accepted(&revoked.unwrap());

    let source = format!("http://{}", town.node.addresses.http);
    let source = HttpSource::new(&source).unwrap();
    let auditor = Auditor::new(source, town.federation.roster.clone());
    auditor.audit(&mut |_| {}).await.unwrap();
}

async fn a_claim_is_listed_opened_and_settled_once(
    town: &Town,
    [old, new]: [&SecretKey; 2],
    (claim, delivery): (LeafIndex, LeafIndex),
) {
    let listed = town.run(&["claims", "list"]);
    let states = listed["claims"].as_array().unwrap().iter();
    let states: Vec<&str> = states.map(|one| one["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["delivered", "delivered", "reserved"], "{listed}");
    assert_eq!(listed["claims"][0]["amount"], 3_000);
    let session = town.session(new);
    let person = town.people[0].insured();
    let token = session.claimed_person_token(person.person(), claim).await;
    token.unwrap();

    let paid = town.settle(&session, 0, delivery).await.unwrap();
    accepted(&paid);
    let due = ("cnam".to_owned(), PaymentStage::Due);
    let paid = ("alpha".to_owned(), PaymentStage::Paid);
    assert_eq!(town.standing(delivery).await, [due, paid]);
    let again = town.settle(&session, 0, delivery).await.unwrap();
    assert_eq!(refused(&again), Reason::AlreadySettled);
    let unnamed = says_paid(&session, claim, delivery, None).await;
    assert_eq!(refused(&unnamed), Reason::NotEntitled);
    // The old key is nobody's any more: its owner is not even let in.
    assert!(town.settle(&town.session(old), 0, delivery).await.is_err());
}

async fn nobody_else_settles(
    town: &Town,
    old: &SecretKey,
    (claim, delivery): (LeafIndex, LeafIndex),
) {
    for key in [&town.federation.amcs[1], &town.federation.cnam] {
        let session = town.session(key);
        let issued = says_paid(&session, claim, delivery, Some(old.public())).await;
        assert_eq!(refused(&issued), Reason::NotEntitled);
    }
    let beta = town.session(&town.federation.amcs[1]);
    assert!(beta.open_entry(delivery).await.is_err());
}

async fn a_file_settles(town: &Town, delivery: LeafIndex) {
    let file = format!("claim;outcome;reason;amount\n{delivery};paid;;\n");
    fs::write(town.folder.path().join("day.csv"), file).unwrap();
    let settled = town.run(&["settle", "--file", "day.csv"]);
    assert_eq!(settled["settled"][0]["outcome"], "paid", "{settled}");
    let listed = town.run(&["claims", "list"]);
    for place in [0, 1] {
        let invoice = &listed["claims"][place]["invoices"][0];
        assert_eq!(invoice["settled"], 3_000, "{listed}");
    }
    assert_eq!(town.standing(delivery).await[1].1, PaymentStage::Paid);
}

async fn a_claim_is_released_and_a_coverage_erased(
    town: &Town,
    new: &SecretKey,
    reserved: LeafIndex,
) {
    let beta = town.session(&town.federation.amcs[1]);
    let payload = beta.payload(town.coverages[0]).await;
    assert!(payload.is_err());
    let session = town.session(new);
    accepted(&pos::release(&session, reserved, &[]).await.unwrap());
    let erased = town.coverages[0];
    let by_other = erasure::erase(&beta, erased).await.unwrap();
    assert_eq!(refused(&by_other), Reason::NotEntitled);
    let found = session.payload(erased).await.unwrap();
    assert!(found.payload.is_some());
    accepted(&erasure::erase(&session, erased).await.unwrap());
    let found = session.payload(erased).await.unwrap();
    assert!(found.payload.is_none());
}

/// What was covered under the old key carries no new claim; what is covered under the new one does.
async fn a_coverage_is_issued_again(town: &Town, new: &SecretKey) {
    town.cover(new, false).await;
    town.claim(2).await;
}
