//! A payer's back office over a real node: it lists its own claims alone, finds the one under
//! another person's slot keys, settles from a file through a kill, and its statement adds up.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use client::insurer::Insurer;
use client::issue::Issued;
use client::pos::{Complementary, HandingOver, Insured, Item, Pos};
use client::system;
use client::view::View;
use proto::identity::Person;
use proto::ids::{Day, LeafIndex};
use proto::signing::SecretKey;
use serde_json::Value;
use tempfile::TempDir;
use tests::binary::{scratch_folder, vitrail};
use tests::federation::{AMC_PAYERS, CNAM_PAYER, Federation, accepted};
use tests::planted::{MEMBERS_HEADER, Planted, catalogue};
use tests::process::{NodeProcess, write_secret};

/// Those that the complementary insurer covers too.
const COVERED: usize = 6;

/// A shop, the mandatory insurer, and a complementary one with its folder.
struct Town {
    node: NodeProcess,
    federation: Federation,
    folder: TempDir,
    shop: Pos,
    people: Vec<Planted>,
}

impl Town {
    async fn new() -> Self {
        let folder = scratch_folder();
        let federation = Federation::found(folder.path());
        let node = federation.start(&[]);
        let till = federation.grant_tills(&node, 1).await.remove(0);
        let people = Planted::people(COVERED + 2);
        let cnam = federation.session(&node, &federation.cnam);
        let named = client::catalogue::publish(&cnam, &catalogue()).await;
        let named = accepted(&named.unwrap());
        for (key, mandatory, covered) in [
            (&federation.cnam, true, COVERED + 1),
            (&federation.amcs[0], false, COVERED),
        ] {
            let session = federation.session(&node, key);
            let insurer = Insurer::open(session, named).await.unwrap();
            let people = people.iter().take(covered);
            let rows: Vec<_> = people.map(|one| one.coverage(mandatory)).collect();
            for covered in insurer.cover(&rows, &mut |_| {}).await.unwrap() {
                accepted(&covered.outcome.unwrap());
            }
        }
        let view = View::new(federation.roster.clone());
        let shop = Pos::new(federation.session(&node, &till), catalogue(), view);
        let town = Self {
            node,
            federation,
            folder,
            shop,
            people,
        };
        town.office("alpha", &town.federation.amcs[0], false);
        town.office("cnam", &town.federation.cnam, true);
        town
    }

    /// A payer's folder, with the contracts of everybody it may insure.
    fn office(&self, name: &str, key: &SecretKey, mandatory: bool) {
        let folder = self.at(name);
        fs::create_dir(&folder).unwrap();
        let roster = self.federation.node_dir().join("roster.txt");
        fs::copy(roster, folder.join("roster.txt")).unwrap();
        write_secret(&folder.join("key.pem"), &key.to_pem().unwrap());
        let people = self.people.iter().enumerate();
        let lines = people.map(|(place, one)| one.member_line(mandatory, &format!("c/{place}")));
        let lines: String = lines.collect();
        fs::write(
            folder.join("members.csv"),
            format!("{MEMBERS_HEADER}{lines}"),
        )
        .unwrap();
        let imported = self.run(name, &["contracts", "import", "members.csv"]);
        assert_eq!(imported["contracts"], self.people.len());
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, office: &str, arguments: &[&str]) -> Command {
        let mut command = vitrail();
        let address = format!("cnam={}", self.node.addresses.grpc);
        // An outcome is a subcommand: what is for all of them stands before it.
        command.current_dir(self.at(office)).args(arguments);
        command.args(["--address", &address]);
        command
    }

    /// What a command of a payer answers as JSON.
    fn run(&self, office: &str, arguments: &[&str]) -> Value {
        let output = self
            .command(office, arguments)
            .args(["-o", "json"])
            .output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {said}"))
    }

    async fn claim(&self, insured: &Insured) -> LeafIndex {
        let items: [Item; 1] = ["2223342=120.00".parse().unwrap()];
        let quote = self.shop.check(insured, &items).await.unwrap();
        accepted(&self.shop.claim(&quote).await.unwrap())
    }

    async fn deliver(&self, insured: &Insured, claim: LeafIndex) -> Issued {
        let what = HandingOver::default();
        self.shop.deliver(insured, claim, &what).await.unwrap()
    }

    /// The contract of somebody else's insurer with the slots of this one: what a till does that has
    /// the first one's clocks run on under another name.
    fn crossed(&self, contract: usize, slots: usize) -> Insured {
        let (contract, slots) = (&self.people[contract], &self.people[slots]);
        let person = Person {
            nir: slots.nir(),
            birth_date: contract.birth_date.parse().unwrap(),
            birth_rank: "1".parse().unwrap(),
        };
        let complementary = Complementary {
            payer_number: AMC_PAYERS[0].parse().unwrap(),
            member_number: contract.member_number.parse().unwrap(),
        };
        Insured::new(person, CNAM_PAYER.parse().unwrap(), vec![complementary]).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_lists_checks_settles_and_states_its_own_claims() {
    let town = Town::new().await;
    let mut claims = Vec::new();
    for person in 0..=COVERED {
        // The last is the mandatory insurer's alone; the first sells on under another's slots.
        let insured = match person {
            0 => town.crossed(0, COVERED + 1),
            _ => town.people[person].insured(),
        };
        let claim = town.claim(&insured).await;
        accepted(&town.deliver(&insured, claim).await);
        claims.push(claim);
    }
    let reserved = town.claim(&town.crossed(1, COVERED + 1)).await;
    own_claims_are_listed(&town, &claims, reserved);
    a_claim_under_foreign_keys_is_found(&town, &claims).await;
    settled_through_a_kill_and_stated(&town, &claims);
    the_rejection_has_evidence(town, claims[0]);
}

fn own_claims_are_listed(town: &Town, claims: &[LeafIndex], reserved: LeafIndex) {
    let listed = town.run("alpha", &["claims", "list"]);
    let indexes = |listed: &Value| -> Vec<u64> {
        let listed = listed["claims"].as_array().unwrap().iter();
        listed
            .map(|claim| claim["claim"].as_u64().unwrap())
            .collect()
    };
    let mut own: Vec<u64> = claims[..COVERED].iter().map(|claim| claim.get()).collect();
    own.push(reserved.get());
    assert_eq!(indexes(&listed), own);
    assert_eq!(listed["unmatched"], 0);
    for (place, claim) in listed["claims"].as_array().unwrap().iter().enumerate() {
        let person = if place == COVERED { 1 } else { place };
        assert_eq!(claim["reference"], format!("c/{person}"));
        assert_eq!(claim["grouped_codes"], serde_json::json!(["M01"]));
        assert_eq!(claim["amount"], 3_000);
        assert_eq!(claim["finess"], "750000001");
        let state = if place == COVERED {
            "reserved"
        } else {
            "delivered"
        };
        assert_eq!(claim["state"], state);
    }
    // The mandatory insurer pays for those with its coverage, the crossed ones are none of it.
    let listed = town.run("cnam", &["claims", "list"]);
    let own: Vec<u64> = claims[1..].iter().map(|claim| claim.get()).collect();
    assert_eq!(indexes(&listed), own);
    assert_eq!(
        town.run("alpha", &["claims", "list", "--from", "100000"])["claims"],
        serde_json::json!([])
    );
}

async fn a_claim_under_foreign_keys_is_found(town: &Town, claims: &[LeafIndex]) {
    for (place, fits) in [(0, false), (1, true)] {
        let one = &town.people[place];
        let (nir, birth) = (nir(one), &one.birth_date);
        let card = format!("nir = \"{}\"\nbirth_date = \"{birth}\"\n", nir);
        fs::write(town.at("alpha").join("card.toml"), card).unwrap();
        let index = claims[place].to_string();
        let checked = town.run("alpha", &["claims", "check", &index, "--card", "card.toml"]);
        assert_eq!(checked["fits"], fits, "{place}");
        assert_eq!(checked["foreign"], u64::from(!fits));
    }
    // The right is bound to a claim on an own coverage, and used up after a few times.
    let alpha = town
        .federation
        .session(&town.node, &town.federation.amcs[0]);
    let insured = town.people[2].insured();
    let person = insured.person();
    assert!(alpha.person_token(person).await.is_err());
    let others = claims[COVERED];
    assert!(alpha.claimed_person_token(person, others).await.is_err());
    for _ in 0..4 {
        alpha.claimed_person_token(person, claims[2]).await.unwrap();
    }
    assert!(alpha.claimed_person_token(person, claims[2]).await.is_err());
}

fn settled_through_a_kill_and_stated(town: &Town, claims: &[LeafIndex]) {
    let office = town.at("alpha");
    write_files(town, claims);
    let first_day = system::now().day();
    killed_after_the_first_line(town, &office.join("day.csv.sent"));
    let settled = town.run("alpha", &["settle", "--file", "day.csv"]);
    let problems = settled["problems"].as_array().unwrap().iter();
    let lines: Vec<u64> = problems.map(|one| one["line"].as_u64().unwrap()).collect();
    // The claim that rests on no coverage of its own, and the line that names none.
    assert_eq!(lines, [7, 8], "{settled}");
    let outcome = |line: u64| {
        let all = settled["settled"].as_array().unwrap();
        let one = all.iter().find(|one| one["line"] == line).unwrap();
        format!("{} {}", one["outcome"].as_str().unwrap(), one["reason"])
    };
    assert_eq!(outcome(2), "rejected \"FOREIGN_SLOT_KEY\"");
    // Its evidence is told of as often as it is asked for.
    let told = town.run("alpha", &["settle", "--file", "day.csv"]);
    let file = format!("claim-{}.foreign", claims[0]);
    for settled in [&settled, &told] {
        for one in settled["settled"].as_array().unwrap() {
            let named = (one["line"] == 2).then_some(file.as_str());
            assert_eq!(one["evidence"].as_str(), named, "{one}");
        }
    }
    assert_eq!(outcome(3), "paid null");
    assert_eq!(outcome(4), "rejected \"NOT_COVERED\"");
    fs::write(office.join("networks.toml"), "").unwrap();
    let third = ["settle", "--file", "third.csv"];
    let third = [&third[..], &["--networks", "networks.toml"]].concat();
    let third = town.run("alpha", &third);
    assert_eq!(third["settled"][0]["outcome"], "paid", "{third}");
    // Again: nothing is settled twice, whatever is left of the journal.
    fs::remove_file(office.join("day.csv.sent")).unwrap();
    let again = town.run("alpha", &["settle", "--file", "day.csv"]);
    let mut lines = again["settled"].as_array().unwrap().iter();
    assert!(lines.all(|one| one["before"] == true), "{again}");
    stated(town, first_day);
}

/// What the payer's rejection rests on convinces whoever has the roster, when no node runs any more.
fn the_rejection_has_evidence(town: Town, claim: LeafIndex) {
    let office = town.at("alpha");
    let Town {
        node,
        folder: _folder,
        people,
        ..
    } = town;
    drop(node);
    let file = office.join(format!("claim-{claim}.foreign"));
    let mode = fs::metadata(&file).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let verify = |format: &str| {
        let mut command = vitrail();
        let command = command.current_dir(&office).args(["evidence", "verify"]);
        command
            .arg(&file)
            .args(["--roster", "roster.txt", "-o", format]);
        command.output().unwrap()
    };
    let held = verify("json");
    let answer: Value = serde_json::from_slice(&held.stdout).unwrap();
    assert!(held.status.success(), "{answer}");
    assert_eq!(answer["proved"]["claim"], claim.get());
    // A frame is one slot, and it is another person's.
    assert_eq!(answer["proved"]["slots"], 1);
    assert_eq!(answer["proved"]["foreign"], serde_json::json!([0]));
    let mut said = vec![held.stdout, held.stderr, verify("text").stdout];
    let text = fs::read_to_string(&file).unwrap();
    let changed = text.replacen("birth-rank 1", "birth-rank 2", 1);
    fs::write(&file, changed).unwrap();
    let refused = verify("json");
    assert_eq!(refused.status.code(), Some(1));
    let answer: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(answer["failed_step"], "discloser");
    said.extend([refused.stdout, refused.stderr]);
    said.push(fs::read(office.join("day.csv.sent")).unwrap());
    let blind = text.lines().find_map(|line| line.strip_prefix("blind "));
    let nir = nir(&people[0]);
    for said in said {
        let said = String::from_utf8(said).unwrap();
        for secret in [&nir[..13], &people[0].birth_date, blind.unwrap()] {
            assert!(!said.contains(secret));
        }
    }
}

/// What the run settles, and the third claim apart: the right to check it is used up.
fn write_files(town: &Town, claims: &[LeafIndex]) {
    let office = town.at("alpha");
    let mut file = "claim;outcome;reason;amount;reference;nir;birth_date;birth_rank\n".to_owned();
    for (place, claim) in claims.iter().enumerate().filter(|(place, _)| *place != 2) {
        let one = &town.people[place];
        let (outcome, amount) = match place {
            1 => ("paid;", "12.34"),
            3 => ("rejected;NOT_COVERED", ""),
            _ => ("paid;", "as claimed"),
        };
        let (nir, birth) = (nir(one), &one.birth_date);
        file.push_str(&format!(
            "{claim};{outcome};{amount};VIR 9;{nir};{birth};1\n"
        ));
    }
    file.push_str("nothing;paid;;;;295109912611193;19951012;1\n");
    fs::write(office.join("day.csv"), &file).unwrap();
    let third = format!("claim;outcome;reason;amount\n{};paid;;\n", claims[2]);
    fs::write(office.join("third.csv"), third).unwrap();
}

/// List and statement both add up to what was paid: to persons 1, 2, 4 and 5, and to one of them
/// another amount than was claimed.
fn stated(town: &Town, first_day: Day) {
    let listed = town.run("alpha", &["claims", "list"]);
    let claims = listed["claims"].as_array().unwrap().iter();
    let invoices = claims.flat_map(|claim| claim["invoices"].as_array().unwrap());
    let settled: u64 = invoices.filter_map(|one| one["settled"].as_u64()).sum();
    assert_eq!(settled, 1_234 + 3 * 3_000);
    let mut days = vec![first_day, system::now().day()];
    days.dedup();
    let (mut paid, mut count) = (0, 0);
    for day in &days {
        let stated = town.run("alpha", &["statements", "--day", &day.to_iso()]);
        paid += stated["paid"].as_u64().unwrap();
        for shop in stated["shops"].as_array().unwrap() {
            assert_eq!(shop["finess"], "750000001");
            count += shop["settlements"].as_array().unwrap().len();
        }
    }
    assert_eq!((paid, count), (1_234 + 3 * 3_000, COVERED));
    let day = first_day.to_iso();
    let mut table = town.command("alpha", &["statements", "--day", &day, "-o", "csv"]);
    let table = String::from_utf8(table.output().unwrap().stdout).unwrap();
    assert!(table.starts_with("day;finess;settlement;"), "{table}");
}

/// The number with its check digits, as the mandatory insurer's list has it.
fn nir(one: &Planted) -> String {
    let line = one.member_line(true, "");
    line.split(';').next().unwrap().to_owned()
}

/// Starts a run, and kills it once something was written down.
fn killed_after_the_first_line(town: &Town, journal: &Path) {
    let mut run = town.command("alpha", &["settle", "--file", "day.csv"]);
    let mut run = run
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let has_sent = || fs::read_to_string(journal).is_ok_and(|text| text.contains("\nsent "));
    while !has_sent() && run.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let _ = run.kill();
    run.wait().unwrap();
    assert!(has_sent(), "what is sent was not written down before");
}
