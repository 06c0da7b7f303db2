//! Payers' own nodes quote from their contracts and plans: over a real federation, with a node
//! killed, a plan changed, an unknown contract and keys that may not ask.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a scenario fails where it stands"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use client::connection::CallError;
use client::incident;
use client::issue::{Issued, Refused};
use client::pos::{Item, Pos, Quote, QuoteSource};
use client::system;
use client::view::View;
use proto::attestation::LookOutcome;
use proto::ids::{Cents, LeafIndex, UnixMillis};
use proto::lpp::{Catalogue, CatalogueHeader, CatalogueLine};
use proto::refusal::Reason;
use proto::signing::SecretKey;
use proto::wire::quote::QuoteAsked;
use tempfile::TempDir;
use tests::binary::{scratch_folder, vitrail};
use tests::federation::accepted;
use tests::nodes::Nodes;
use tests::planted::{MEMBERS_HEADER, Planted};
use tests::process::write_secret;

const MANDATORY: &str = r#"
[[plan]]
name = "CONFORT"
kind = "mandatory"
from = "2020-01-01"
to = "2099-12-31"
[[plan.rule]]
codes = ["all"]
pays = "60 %"
"#;

const RESPONSIBLE: &str = r#"
[[plan]]
name = "CONFORT"
kind = "responsible"
from = "2020-01-01"
to = "2099-12-31"
limits = {}
[[plan.rule]]
codes = ["all"]
pays = "100 % with earlier"
[[plan.rule]]
codes = ["class-a"]
pays = "full"
[[plan.rule]]
codes = ["frames-b", "lenses-b"]
pays = "40.00"
"#;

/// As long as a loaded machine may take for what takes no time.
const PATIENCE: Duration = Duration::from_secs(60);

fn catalogue() -> Catalogue {
    let line = |code: &str, grouped: &str| CatalogueLine {
        code: code.parse().unwrap(),
        grouped_code: grouped.parse().unwrap(),
        label: "Article".parse().unwrap(),
        base: Some(Cents::new(5)),
        plv: None,
        age_max: None,
        end: None,
    };
    let header = CatalogueHeader {
        version: "2026-1".parse().unwrap(),
        valid_from: system::now().day(),
    };
    let lines = vec![line("2264861", "M03"), line("2200335", "VU1")];
    Catalogue::new(header, lines).unwrap()
}

/// A federation in which the CNAM and one complementary insurer quote.
struct Payers {
    nodes: Nodes,
    people: Vec<Planted>,
    tills: Vec<SecretKey>,
    folder: TempDir,
}

impl Payers {
    /// The last of the people is in nobody's contracts.
    async fn new() -> Self {
        let folder = scratch_folder();
        let mut nodes = Nodes::found(folder.path(), 4, 2, &BTreeMap::new());
        nodes.start_all(&[]);
        let tills = nodes.federation.grant_tills(nodes.node("cnam"), 2).await;
        let cnam = nodes.session("cnam", &nodes.federation.cnam);
        let named = client::catalogue::publish(&cnam, &catalogue()).await;
        let named = accepted(&named.unwrap());
        nodes.all_have(named, &tills[0]).await;
        let mut payers = Self {
            nodes,
            people: Planted::people(3),
            tills,
            folder,
        };
        payers.quotes("cnam", MANDATORY);
        payers.quotes("alpha", RESPONSIBLE);
        payers
    }

    fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn plans(&self, name: &str) -> PathBuf {
        self.dir().join(format!("{name}-plans.toml"))
    }

    /// The payer imports its list of members; then its node is started with it and its plans.
    fn quotes(&mut self, name: &str, plans: &str) {
        let lines = self.people.iter().take(2);
        let lines: String = lines
            .map(|one| one.member_line(name == "cnam", ""))
            .collect();
        let list = self.dir().join(format!("{name}.csv"));
        fs::write(&list, format!("{MEMBERS_HEADER}{lines}")).unwrap();
        fs::write(self.plans(name), plans).unwrap();
        let contracts = self.dir().join(format!("{name}-contracts.txt"));
        let key = self.dir().join(format!("{name}-payer.pem"));
        write_secret(
            &key,
            &self.nodes.keys[&name.parse().unwrap()].to_pem().unwrap(),
        );
        let mut import = self.command(&key, &["contracts", "import"]);
        let import = import
            .arg(&list)
            .arg("--out")
            .arg(&contracts)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&import.stderr).into_owned();
        assert!(import.status.success(), "{said}");
        self.nodes.kill(name);
        self.start(name);
    }

    fn start(&mut self, name: &str) {
        let contracts = self.dir().join(format!("{name}-contracts.txt"));
        let plans = self.plans(name);
        let flags = ["--contracts", contracts.to_str().unwrap(), "--plans"];
        let flags = [&flags[..], &[plans.to_str().unwrap()]].concat();
        self.nodes.start(&name.parse().unwrap(), &flags);
    }

    /// A command of the owner of this key.
    fn command(&self, key: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(vitrail());
        command
            .args(words)
            .args(["-o", "json", "--node", "cnam", "--roster"])
            .arg(self.dir().join("roster.txt"))
            .arg("--key")
            .arg(key)
            .current_dir(self.dir());
        command
    }

    fn pos(&self) -> Pos {
        let session = self.nodes.session("cnam", &self.tills[0]);
        let view = View::new(self.nodes.federation.roster.clone());
        Pos::new(session, catalogue(), view).waiting_for_payers(PATIENCE)
    }

    async fn check(&self, person: usize) -> Quote {
        let insured = self.people[person].insured();
        self.pos().check(&insured, &pair()).await.unwrap()
    }

    /// What came of each look of a till at one member's node, and at how many coverages.
    async fn looks(&self, till: usize, node: &str) -> Vec<(LookOutcome, usize)> {
        let session = self.nodes.session("cnam", &self.nodes.federation.opticians);
        let till = self.tills[till].public();
        let (key, since) = (&self.nodes.incident, UnixMillis::new(0));
        let mut progress = |_, _| {};
        let list = incident::list(&session, key, &till, since, &mut progress);
        let node = self.nodes.keys[&node.parse().unwrap()].public();
        let touched = list.await.unwrap().touched.into_iter();
        let at = touched.filter(|look| look.node == node && look.slots.is_empty());
        at.map(|look| (look.outcome, look.coverages.len()))
            .collect()
    }
}

fn pair() -> Vec<Item> {
    let pair = [
        "2264861=140.00",
        "2200335/right=160.00",
        "2200335/left=200.00",
    ];
    pair.iter().map(|item| item.parse().unwrap()).collect()
}

fn amounts(quote: &Quote) -> (Vec<u64>, u64) {
    let totals = quote.payer_totals();
    let paid = totals.iter().map(|total| total.amount.get()).collect();
    (paid, quote.rest().get())
}

fn sources(quote: &Quote) -> Vec<QuoteSource> {
    quote
        .payer_totals()
        .iter()
        .map(|total| total.source)
        .collect()
}

/// The coverages that a quote rests on.
fn coverages(quote: &Quote) -> Vec<LeafIndex> {
    let payments = quote.lines().iter().flat_map(|line| line.payments());
    let mut coverages: Vec<_> = payments.map(|payment| payment.coverage).collect();
    coverages.sort_unstable();
    coverages.dedup();
    coverages
}

use QuoteSource::{Ledger, Live};

#[tokio::test(flavor = "multi_thread")]
async fn payers_quote_from_their_plans_and_the_ledger_serves_while_one_is_down() {
    let mut payers = Payers::new().await;
    // 60 % of a base of 0.05, and 40.00 an item; a price of 500.00.
    let first = payers.check(0).await;
    assert_eq!(amounts(&first), (vec![9, 12_000], 37_991));
    assert_eq!(sources(&first), [Live, Live]);
    assert_eq!(
        coverages(&first).len(),
        4,
        "two grouped codes of two payers"
    );
    let again = payers.check(0).await;
    assert_eq!(
        (amounts(&again), coverages(&again)),
        (amounts(&first), coverages(&first))
    );
    assert_eq!(
        payers.looks(0, "alpha").await,
        [(LookOutcome::Answered, 2); 2]
    );

    payers.nodes.kill("alpha");
    let down = payers.check(0).await;
    assert_eq!(sources(&down), [Live, Ledger]);
    assert_eq!(
        (amounts(&down), coverages(&down)),
        (amounts(&first), coverages(&first))
    );
    command_says_which_it_was(&payers);

    // A plan that changes while its node serves: another coverage, which supersedes the first.
    payers.start("alpha");
    let changed = RESPONSIBLE.replace("\"40.00\"", "\"45.00\"");
    fs::write(payers.plans("alpha"), changed).unwrap();
    let began = Instant::now();
    let second = loop {
        let quote = payers.check(0).await;
        assert!(began.elapsed() < PATIENCE, "{:?}", amounts(&quote));
        if amounts(&quote).0[1] != 12_000 {
            break quote;
        }
    };
    assert_eq!(amounts(&second), (vec![9, 13_500], 36_491));
    assert_eq!(sources(&second), [Live, Live]);
    let stale = payers.pos().claim(&first).await.unwrap();
    let Issued::Refused(Refused { reason, .. }) = stale else {
        panic!("a superseded coverage was claimed on");
    };
    assert_eq!(reason, Reason::CoverageSuperseded);
    accepted(&payers.pos().claim(&second).await.unwrap());

    // Files that cannot be used change nothing.
    fs::write(payers.plans("alpha"), "[[plan]]\n").unwrap();
    while payers
        .nodes
        .node("alpha")
        .metric("vitrail_contracts_refused_total")
        == Some(0.0)
    {
        assert!(began.elapsed() < 2 * PATIENCE, "the file was not read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let other = payers.check(1).await;
    assert_eq!(
        (amounts(&other), sources(&other)),
        (amounts(&second), vec![Live, Live])
    );
}

/// `vitrail check`, while the complementary insurer's node is down.
fn command_says_which_it_was(payers: &Payers) {
    let (dir, person) = (payers.dir(), &payers.people[0]);
    let key = dir.join("till.pem");
    write_secret(&key, &payers.tills[0].to_pem().unwrap());
    fs::write(dir.join("catalogue.txt"), catalogue().to_text()).unwrap();
    let card = format!(
        "nir = \"{}{:02}\"\nbirth_date = \"{}\"\n[[complementary]]\npayer_number = \"{}\"\n\
         member_number = \"{}\"\n",
        person.nir,
        97 - person.nir.parse::<u64>().unwrap() % 97,
        person.birth_date,
        tests::federation::AMC_PAYERS[0],
        person.member_number
    );
    fs::write(dir.join("card.toml"), card).unwrap();
    let words = [
        "check",
        "--card",
        "card.toml",
        "--catalogue",
        "catalogue.txt",
    ];
    let mut command = payers.command(&key, &words);
    let check = command.args(["--item", "2264861=140.00"]).output().unwrap();
    let said = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(check.status.success(), "{said}");
    let answer: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(answer["payers"][1]["source"], "ledger");
    assert_eq!(answer["payers"][1]["amount_cents"], 4_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_gets_nothing_and_every_till_that_asks_is_on_record() {
    let payers = Payers::new().await;
    // Somebody without a contract: both payers say so, and have it on record.
    let unknown = payers.check(2).await;
    assert_eq!(sources(&unknown), [Live, Live]);
    for line in unknown.lines() {
        assert_eq!(
            line.refusal.map(|refusal| refusal.reason),
            Some(Reason::ContractEnded)
        );
    }
    for node in ["cnam", "alpha"] {
        let refused = (LookOutcome::Refused(Reason::ContractEnded), 0);
        assert_eq!(payers.looks(0, node).await, [refused], "{node}");
    }

    let session = payers.nodes.session("cnam", &payers.tills[1]);
    let contracts = payers.people[0].insured().contracts();
    let tokens = session.contract_tokens(&contracts[1..]).await.unwrap();
    let asked = QuoteAsked {
        contract: tokens[0].contract_key(),
        grouped_codes: vec!["M03".parse().unwrap(), "OPT".parse().unwrap()],
    };
    let opticians = payers
        .nodes
        .session("cnam", &payers.nodes.federation.opticians);
    let revoked = client::federation::revoke(&opticians, payers.tills[1].public()).await;
    let revoked = accepted(&revoked.unwrap());
    payers.nodes.all_have(revoked, &payers.tills[0]).await;
    let alpha = |key: &SecretKey| {
        let (asked, session) = (asked.clone(), payers.nodes.session("alpha", key));
        async move { session.home().quote(&asked).await.unwrap_err() }
    };
    let reason = |error: CallError| match error {
        CallError::NotAdmitted { reason, .. } => reason,
        error => panic!("{error}"),
    };
    let revoked = alpha(&payers.tills[1]).await;
    assert_eq!(reason(revoked), Some(Reason::GrantRevoked));
    let looks = payers.looks(1, "alpha").await;
    assert_eq!(looks, [(LookOutcome::Refused(Reason::GrantRevoked), 2)]);
    let member = alpha(&payers.nodes.federation.cnam).await;
    assert_eq!(reason(member), Some(Reason::KindNotAllowed));
    alpha(&tests::federation::fresh_key()).await;
    // The coverage was never made.
    let key = tokens[0].coverage_key("M03".parse().unwrap());
    let found = opticians.lookup(&[], &[key]).await.unwrap();
    assert!(found.coverages[0].is_none());
}
