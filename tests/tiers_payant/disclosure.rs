//! An insurer lets an auditor read its part of one entry. He opens that and none of its neighbours,
//! though he has every payload and salt; and who had the payload is on record.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use client::connection::CallError;
use client::incident;
use client::insurer::Insurer;
use client::lookup::{LookupError, PayloadProof};
use client::pos::{HandingOver, Pos};
use client::session::Session;
use client::settlement::{self, Answer};
use client::system;
use client::view::View;
use proto::attestation::{LookOutcome, SettlementOutcome};
use proto::ids::{Cents, LeafIndex, UnixMillis};
use proto::incident::IncidentSecretKey;
use proto::lpp::{Catalogue, CatalogueHeader, CatalogueLine};
use proto::refusal::Reason;
use proto::seal::{OpenError, PayloadCommitment, SealKey};
use proto::signing::SecretKey;
use serde_json::{Value, json};
use tests::binary::vitrail;
use tests::federation::accepted;
use tests::planted::{MEMBERS_HEADER, Planted};
use tests::process::write_secret;
use tests::world::World;

/// What is in the ledger.
struct Scene {
    world: World,
    people: Vec<Planted>,
    /// The complementary insurer's coverages.
    coverages: Vec<LeafIndex>,
    /// A frame for each person, which both payers pay for.
    claims: Vec<LeafIndex>,
}

fn catalogue() -> Catalogue {
    let line = CatalogueLine {
        code: "2223342".parse().unwrap(),
        grouped_code: "M01".parse().unwrap(),
        label: "Monture".parse().unwrap(),
        base: Some(Cents::new(900)),
        plv: None,
        age_max: None,
        end: None,
    };
    let header = CatalogueHeader {
        version: "2026-1".parse().unwrap(),
        valid_from: system::now().day(),
    };
    Catalogue::new(header, vec![line]).unwrap()
}

impl Scene {
    async fn set() -> Self {
        let world = World::new(1).await;
        let people = Planted::people(2);
        let federation = &world.federation;
        let session = |key: &SecretKey| federation.session(&world.node, key);
        let named = client::catalogue::publish(&session(&federation.cnam), &catalogue()).await;
        let named = accepted(&named.unwrap());
        let mut coverages = Vec::new();
        for (key, mandatory) in [(&federation.cnam, true), (&federation.amcs[0], false)] {
            let insurer = Insurer::open(session(key), named).await.unwrap();
            let rows: Vec<_> = people.iter().map(|one| one.coverage(mandatory)).collect();
            let covered = insurer.cover(&rows, &mut |_| {}).await.unwrap();
            let covered = covered
                .iter()
                .map(|one| accepted(one.outcome.as_ref().unwrap()));
            coverages = covered.collect();
        }
        let view = View::new(federation.roster.clone());
        let pos = Pos::new(session(&world.tills[0]), catalogue(), view);
        let items = ["2223342=120.00".parse().unwrap()];
        let mut claims = Vec::new();
        for one in &people {
            let quote = pos.check(&one.insured(), &items).await.unwrap();
            claims.push(accepted(&pos.claim(&quote).await.unwrap()));
        }
        Self {
            world,
            people,
            coverages,
            claims,
        }
    }

    fn session(&self, key: &SecretKey) -> Session {
        self.world.federation.session(&self.world.node, key)
    }

    fn alpha(&self) -> &SecretKey {
        &self.world.federation.amcs[0]
    }

    /// The first person's frame is handed over, and the complementary insurer pays its part.
    async fn delivered_and_paid(&self) -> [LeafIndex; 2] {
        let (till, insured) = (&self.world.tills[0], self.people[0].insured());
        let pos = Pos::new(
            self.session(till),
            catalogue(),
            View::new(self.world.federation.roster.clone()),
        );
        let what = HandingOver::default();
        let delivery = accepted(&pos.deliver(&insured, self.claims[0], &what).await.unwrap());
        let answer = Answer {
            outcome: SettlementOutcome::Paid,
            amount: None,
            reference: "VIR 77".to_owned(),
        };
        let (alpha, contract) = (self.session(self.alpha()), &insured.contracts()[1]);
        let settled = settlement::settle(&alpha, contract, delivery, &answer).await;
        [delivery, accepted(&settled.unwrap())]
    }

    /// The complementary insurer discloses its part of an entry, found by its contracts file.
    fn disclose(&self, entry: LeafIndex, out: &str) -> Value {
        let entry = entry.to_string();
        let words = [
            "disclose",
            &entry,
            "--contracts",
            "contracts.txt",
            "--out",
            out,
        ];
        let made = self.run(self.alpha(), &words);
        assert!(made.status.success(), "{}", said(&made));
        let (code, answer) = self.opened(out);
        assert_eq!(code, 0, "{answer}");
        assert_eq!(answer["passed"].as_array().unwrap().len(), 8);
        answer["disclosed"].clone()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.folder.path().join(name)
    }

    fn roster(&self) -> PathBuf {
        self.world.federation.node_dir().join("roster.txt")
    }

    /// A command of the complementary insurer, or of the CNAM.
    fn run(&self, key: &SecretKey, words: &[&str]) -> Output {
        write_secret(&self.path("own.key"), &key.to_pem().unwrap());
        let address = self.world.node.addresses.grpc;
        vitrail()
            .args(words)
            .args(["-o", "json", "--key", "own.key", "--roster"])
            .arg(self.roster())
            .args(["--address", &format!("cnam={address}")])
            .current_dir(self.world.folder.path())
            .output()
            .unwrap()
    }

    /// What an auditor sees, who has the file and the roster and asks nobody.
    fn opened(&self, file: &str) -> (i32, Value) {
        let run = vitrail()
            .args(["disclosure", "open", file, "-o", "json", "--roster"])
            .arg(self.roster())
            .current_dir(self.world.folder.path())
            .output()
            .unwrap();
        let answer = serde_json::from_slice(&run.stdout).unwrap();
        (run.status.code().unwrap(), answer)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The complementary insurer's contracts, as its import leaves them.
    fn import(&self) {
        let lines = self.people.iter().map(|one| one.member_line(false, ""));
        let lines: String = lines.collect();
        self.write("members.csv", &format!("{MEMBERS_HEADER}{lines}"));
        let imported = self.run(self.alpha(), &["contracts", "import", "members.csv"]);
        assert!(imported.status.success(), "{}", said(&imported));
    }

    /// How the looks of a key since a moment ended.
    async fn looks(&self, key: &SecretKey, since: UnixMillis) -> Vec<LookOutcome> {
        let incident_key = self.world.federation.node_dir().join("incident.key");
        let incident_key = fs::read_to_string(incident_key).unwrap();
        let incident_key = IncidentSecretKey::parse(&incident_key).unwrap();
        let session = self.session(&self.world.federation.cnam);
        let by = key.public();
        let list = incident::list(&session, &incident_key, &by, since, &mut |_, _| {}).await;
        let touched = list.unwrap().touched;
        touched.iter().map(|touched| touched.outcome).collect()
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The key that a disclosure hands over.
fn disclosed_key(path: &Path) -> SealKey {
    let text = fs::read_to_string(path).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("key "));
    let bytes = BASE64_STANDARD.decode(line.unwrap()).unwrap();
    SealKey::from_bytes(bytes.try_into().unwrap())
}

/// Which parts of an entry a key opens, for somebody who has its payload and salt.
fn opens(key: &SealKey, proof: &PayloadProof) -> Vec<bool> {
    let (payload, salt) = proof.payload.as_ref().unwrap();
    let commitment = proof.entry.header().commitment.unwrap();
    let commitment = PayloadCommitment::from_hash(commitment);
    let open = |part| match payload.open_part(part, key, salt, &commitment) {
        Ok(_) => true,
        Err(OpenError::NotThisKey { .. }) => false,
        Err(error) => panic!("{error}"),
    };
    (0..payload.part_count()).map(open).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_opens_what_was_disclosed_and_none_of_its_neighbours() {
    let scene = Scene::set().await;
    scene.import();
    let disclosed = scene.disclose(scene.claims[0], "one");
    let line = json!({ "grouped_code": "M01", "price_cents": 12_000, "amount_cents": 3_000,
                       "lpp_code": null });
    assert_eq!(disclosed["terms"]["claim"]["lines"], json!([line]));
    assert_eq!(disclosed["disclosed_by"], "alpha");

    // He has the payloads and salts of all neighbours, as if their payers had leaked them.
    let key = disclosed_key(&scene.path("one"));
    let alpha = scene.session(scene.alpha());
    let same = alpha.payload(scene.claims[0]).await.unwrap();
    assert_eq!(
        opens(&key, &same),
        [false, true],
        "the CNAM's part stays closed"
    );
    for neighbour in [scene.claims[1], scene.coverages[0], scene.coverages[1]] {
        let neighbour = alpha.payload(neighbour).await.unwrap();
        assert!(!opens(&key, &neighbour).contains(&true));
    }
    // A file that names another place in the log fails, and so does one that was touched.
    let text = fs::read_to_string(scene.path("one")).unwrap();
    scene.write("touched", &text.replacen("\npart 1\n", "\npart 0\n", 1));
    let (code, answer) = scene.opened("touched");
    assert_eq!((code, &answer["failed_step"]), (1, &"discloser".into()));

    // The CNAM discloses its own part, by the card, and with it the individual code.
    let one = &scene.people[0];
    let line = one.member_line(true, "");
    let nir = line.split(';').next().unwrap();
    let card = format!("nir = \"{nir}\"\nbirth_date = \"{}\"\n", one.birth_date);
    write_secret(&scene.path("card.toml"), &card);
    let cnam = &scene.world.federation.cnam;
    let claim = scene.claims[0].to_string();
    let words = ["disclose", &claim, "--card", "card.toml", "--out", "other"];
    let made = scene.run(cnam, &words);
    assert!(made.status.success(), "{}", said(&made));
    let (_, answer) = scene.opened("other");
    let lines = &answer["disclosed"]["terms"]["claim"]["lines"];
    assert_eq!(lines[0]["lpp_code"], "2223342");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_and_a_settlement_are_disclosed_each_alone() {
    let scene = Scene::set().await;
    scene.import();
    let [delivery, paid] = scene.delivered_and_paid().await;
    let claim = scene.claims[0];
    let line = json!({ "grouped_code": "M01", "price_cents": 12_000, "amount_cents": 3_000,
                       "lpp_code": null });
    let disclosed = scene.disclose(delivery, "delivery");
    let delivered = json!({ "handover": "first", "claim": claim.get(), "invoice": null,
                            "lines": [line] });
    assert_eq!(disclosed["terms"], json!({ "delivery": delivered }));
    let disclosed = scene.disclose(paid, "paid");
    let settled = json!({ "outcome": "paid", "reason": null, "claim": claim.get(),
                          "invoice": delivery.get(), "amount_cents": 3_000,
                          "reference": "VIR 77" });
    assert_eq!(disclosed["terms"], json!({ "settlement": settled }));

    // Each of the two keys opens its own part: neither the CNAM's part of the same delivery, nor
    // the claim that says the same, nor the other of the two.
    let alpha = scene.session(scene.alpha());
    let neighbours = [claim, scene.claims[1], scene.coverages[0], delivery, paid];
    for (file, own, parts) in [
        ("delivery", delivery, &[false, true][..]),
        ("paid", paid, &[true]),
    ] {
        let key = disclosed_key(&scene.path(file));
        for entry in neighbours {
            let opened = opens(&key, &alpha.payload(entry).await.unwrap());
            match entry == own {
                true => assert_eq!(opened, parts, "{file}"),
                false => assert!(!opened.contains(&true), "{file}"),
            }
        }
    }
    // Whose settlement it is discloses it: the CNAM has no part of the other payer's answer.
    write_secret(&scene.path("card.toml"), &scene.people[0].card());
    let paid = paid.to_string();
    let words = ["disclose", &paid, "--card", "card.toml", "--out", "foreign"];
    let made = scene.run(&scene.world.federation.cnam, &words);
    assert_eq!(made.status.code(), Some(1), "{}", said(&made));
    assert!(!scene.path("foreign").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gets_a_payload_is_on_record_and_who_does_not_too() {
    let mut scene = Scene::set().await;
    let since = system::now();
    let (claim, coverage) = (scene.claims[0], scene.coverages[0]);
    let keys = &scene.world.federation;
    let (alpha, beta) = (keys.amcs[0].clone(), keys.amcs[1].clone());
    for index in [claim, coverage] {
        scene.session(&alpha).payload(index).await.unwrap();
    }
    // Neither another insurer nor another payer of the claim gets what is not its own.
    for (key, index) in [(&beta, claim), (&beta, coverage), (&keys.cnam, coverage)] {
        let refused = scene.session(key).payload(index).await;
        assert_eq!(reason(&refused), Some(Reason::NotEntitled));
    }
    let till = scene.session(&scene.world.tills[0]);
    till.payload(claim).await.unwrap();
    let of_a_payer = till.payload(coverage).await;
    assert_eq!(reason(&of_a_payer), Some(Reason::NotEntitled));
    let roster = scene.session(&alpha).payload(LeafIndex::new(0)).await;
    assert_eq!(reason(&roster), Some(Reason::ReferenceUnfit));

    // The node is killed the moment after an answer: the look is there all the same.
    scene.session(&alpha).payload(claim).await.unwrap();
    scene.world.kill_and_restart();
    let answered = [LookOutcome::Answered; 3];
    assert_eq!(scene.looks(&alpha, since).await, answered);
    let refused = [LookOutcome::Refused(Reason::NotEntitled); 2];
    assert_eq!(scene.looks(&beta, since).await, refused);

    // What its issuer erased is disclosed no more.
    let till = scene.session(&scene.world.tills[0]);
    accepted(&client::erasure::erase(&till, claim).await.unwrap());
    let erased = scene.session(&alpha).payload(claim).await.unwrap();
    assert!(erased.payload.is_none());
}

fn reason(refused: &Result<PayloadProof, LookupError>) -> Option<Reason> {
    match refused {
        Err(LookupError::Call(CallError::NotAdmitted { reason, .. })) => *reason,
        _ => None,
    }
}
