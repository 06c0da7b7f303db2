//! Files to coverages: what a payer says, and that the ledger has it once.

mod table;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use proto::attestation::{Attestation, CatalogueNotice, Coverage, CoverageTerms};
use proto::benefit::{Counting, Percent, Rule};
use proto::contracts::{ContractRecord, ContractsHeader, end_line};
use proto::entry::Entry;
use proto::hash::Hash;
use proto::ids::{Cents, Day, LeafIndex, RequestId};
use proto::lpp::GroupedCode;
use proto::refusal::Reason;
use proto::roster::{Epoch, Roster};
use proto::token::ContractToken;
use proto::wire::quote::{CodeAnswer, QuoteAsked};

use super::*;
use crate::clock;
use crate::example::{Alone, first_roster, origin, roster_parts, secret};
use crate::follow::Upstream;
use crate::sequencer::{Sequencer, found, open};
use crate::store::{Store, StoreOptions};
use crate::witness::Witness;

const PLANS: &str = include_str!("../../../deploy/plans.toml");
const NETWORKS: &str = include_str!("../../../deploy/networks.toml");
const AMO_PLANS: &str = include_str!("../../../deploy/plans-amo.toml");

fn code(text: &str) -> GroupedCode {
    text.parse().unwrap()
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn roster() -> Roster {
    Roster::new(roster_parts(Epoch::default(), None)).unwrap()
}

fn record(token: u8, plan: &str, from: &str, to: &str) -> ContractRecord {
    ContractRecord {
        token: ContractToken::from_bytes([token; 32]),
        plan: plan.parse().unwrap(),
        rights_from: day(from),
        rights_to: day(to),
        turning: [None, None],
        reference: None,
    }
}

/// The files of a payer in a folder.
fn files(dir: &Path, plans: &str, records: &[ContractRecord]) -> Sources {
    let sources = Sources {
        contracts: dir.join("contracts.txt"),
        plans: dir.join("plans.toml"),
        networks: Some(dir.join("networks.toml")),
    };
    fs::write(dir.join("networks.toml"), NETWORKS).unwrap();
    let header = ContractsHeader::new(&roster(), "75000001".parse().unwrap(), Day::new(20_000));
    let mut text = header.to_text();
    for record in records {
        text += &record.to_line();
        text += "\n";
    }
    text += &end_line(records.len() as u64);
    fs::write(&sources.plans, plans).unwrap();
    fs::write(&sources.contracts, text).unwrap();
    fs::set_permissions(&sources.contracts, fs::Permissions::from_mode(0o600)).unwrap();
    sources
}

fn load(sources: &Sources) -> Result<Book, BookError> {
    Book::load(sources, &roster(), &"75000001".parse().unwrap())
}

fn book(plans: &str, records: &[ContractRecord]) -> Book {
    let dir = tempfile::tempdir().unwrap();
    load(&files(dir.path(), plans, records)).unwrap()
}

fn asked(token: u8, codes: &[&str]) -> QuoteAsked {
    QuoteAsked {
        contract: ContractToken::from_bytes([token; 32]).contract_key(),
        grouped_codes: codes.iter().map(|text| code(text)).collect(),
    }
}

#[test]
fn the_example_plans_say_what_their_page_says() {
    let plans = Plans::parse(PLANS, PlansForm::Toml).unwrap();
    assert_eq!(plans.len(), 4);
    let rule = |plan: &str, grouped: &str, on: &str| {
        let place = plans.place(&plan.parse().unwrap()).unwrap();
        let terms = plans.terms(
            place,
            code(grouped),
            proto::benefit::Period::ALWAYS,
            day(on),
        );
        terms.map(|terms| terms.rule)
    };
    let rate = |percent| Rule::Rate {
        percent: Percent::new(percent).unwrap(),
        counting: Counting::WithEarlier,
        plus: Cents::default(),
    };
    assert_eq!(rule("ESSENTIEL", "VU1", "2026-12-31"), Some(rate(100)));
    assert_eq!(rule("ESSENTIEL", "VU1", "2027-01-01"), Some(rate(110)));
    assert_eq!(rule("ESSENTIEL", "VU1", "2028-01-01"), None);
    assert_eq!(
        rule("C2S", "M01", "2026-06-01"),
        Some(Rule::Full { limit: None })
    );
    assert_eq!(rule("RENFORT", "M01", "2026-06-01"), None);
    let amo = Plans::parse(AMO_PLANS, PlansForm::Toml).unwrap();
    let place = amo.place(&"ALSACE-MOSELLE".parse().unwrap()).unwrap();
    let always = proto::benefit::Period::ALWAYS;
    let terms = amo
        .terms(place, code("VU1"), always, day("2026-06-01"))
        .unwrap();
    assert_eq!(terms.rule, Rule::mandatory(Percent::new(90).unwrap()));
    assert_eq!(terms.rights.to, day("2027-12-31"));
}

#[test]
fn a_wrong_plan_is_named_with_its_field() {
    let said = |from: &str, to: &str| {
        assert!(PLANS.contains(from), "{from}");
        Plans::parse(&PLANS.replacen(from, to, 1), PlansForm::Toml)
            .unwrap_err()
            .to_string()
    };
    for (from, to, parts) in [
        (
            "pays = \"full\"",
            "pays = \"fully\"",
            ["ESSENTIEL", "pays must be"],
        ),
        ("\"class-a\"", "\"class-c\"", ["ESSENTIEL", "codes must be"]),
        (
            "2026-12-31",
            "2026-13-31",
            ["ESSENTIEL", "to must be YYYY-MM-DD"],
        ),
        (
            "2026-12-31",
            "2027-01-31",
            ["ESSENTIEL", "run on 2027-01-01"],
        ),
        ("90.00", "90.0", ["CONFORT", "limits frame_most must be"]),
        ("\"90.00\"", "\"101.00\"", ["CONFORT", "at most 100.00 EUR"]),
        (
            "\"600.00\"",
            "\"701.00\"",
            ["CONFORT", "200.00 to 700.00 EUR"],
        ),
        (
            "name = \"CONFORT\"",
            "name = \"CON FORT\"",
            ["plan 3", "32 characters"],
        ),
        (
            "kind = \"solidarity\"",
            "kind = \"social\"",
            ["unknown variant", "solidarity"],
        ),
        ("limits = {}", "limit = {}", ["unknown field", "limits"]),
        (
            "name = \"RESEAU-1\"",
            "name = \"\"",
            ["CONFORT", "network name"],
        ),
    ] {
        let error = said(from, to);
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
    assert!(matches!(
        Plans::parse("plan = []", PlansForm::Toml),
        Err(PlansError::Count { got: 0 })
    ));
    let long = "#".repeat(PLANS_BYTES_MAX + 1);
    for form in [PlansForm::Toml, PlansForm::Csv] {
        let read = Plans::parse(&long, form);
        assert!(matches!(read, Err(PlansError::TooLong)));
    }
}

#[test]
fn an_unknown_contract_and_an_ended_one_get_the_same_answer() {
    let book = book(
        PLANS,
        &[
            record(1, "ESSENTIEL", "2026-01-01", "2026-06-30"),
            record(1, "CONFORT", "2026-07-01", "2026-12-31"),
            record(2, "RENFORT", "2026-01-01", "2026-12-31"),
        ],
    );
    let opinion = |token: u8, on: &str| {
        let asked = asked(token, &["M01", "M03"]);
        book.opinion(&asked.contract, &asked.grouped_codes, day(on))
    };
    let unknown = opinion(9, "2026-03-01");
    assert!(unknown.token.is_none() && unknown.coverage_keys().is_empty());
    assert_eq!(unknown.refusal(), Some(Reason::ContractEnded));
    let ended = opinion(1, "2027-01-01");
    assert_eq!(ended.refusal(), Some(Reason::ContractEnded));
    assert_eq!(
        ended.coverage_keys().len(),
        2,
        "what was asked about is known"
    );
    assert_eq!(unknown.codes, ended.codes);

    let until = |token, on: &str| {
        let said = opinion(token, on).codes.remove(1).1;
        said.map(|commitment| commitment.until.to_iso())
    };
    assert_eq!(until(1, "2026-06-01"), Ok("2026-06-30".into()));
    assert_eq!(until(1, "2026-07-01"), Ok("2026-08-30".into()));
    let partly = opinion(2, "2026-03-01");
    assert_eq!(partly.codes[0].1, Err(Reason::NotCovered));
    assert!(partly.codes[1].1.is_ok() && partly.refusal().is_none());
}

#[test]
fn a_commitment_ends_with_the_month_in_which_the_person_is_of_another_age() {
    let mut record = record(1, "ESSENTIEL", "2026-01-01", "2027-12-31");
    record.turning = [None, Some("2026-04".parse().unwrap())];
    let book = book(PLANS, &[record]);
    let asked = asked(1, &["M01"]);
    let at = |on: &str| {
        let mut opinion = book.opinion(&asked.contract, &asked.grouped_codes, day(on));
        let commitment = opinion.codes.remove(0).1.unwrap();
        (commitment.until.to_iso(), commitment.terms.renewal.child)
    };
    assert_eq!(at("2026-03-20"), ("2026-04-30".to_owned(), 12));
    assert_eq!(at("2026-04-30"), ("2026-04-30".to_owned(), 12));
    assert_eq!(at("2026-05-01"), ("2026-06-30".to_owned(), 24));
}

#[test]
fn a_shop_is_in_the_networks_of_the_terms_on_the_days_of_its_list() {
    let record = record(1, "CONFORT", "2026-01-01", "2027-12-31");
    let book = book(PLANS, &[record]);
    let networks = |shop: &str, codes: &[&str], on: &str| {
        let asked = asked(1, codes);
        let opinion = book.opinion(&asked.contract, &asked.grouped_codes, day(on));
        book.networks_of(&opinion, &shop.parse().unwrap(), day(on))
    };
    let own = ["RESEAU-1".parse().unwrap()];
    let pair = ["M03", "VU1"];
    assert_eq!(networks("750000001", &pair, "2026-01-01"), own);
    assert_eq!(networks("2A0000002", &pair, "2026-03-01"), own);
    assert_eq!(networks("2A0000002", &pair, "2026-02-28"), []);
    assert_eq!(networks("750000009", &pair, "2026-03-01"), []);
    // Neither code is paid otherwise in the network.
    assert_eq!(networks("750000001", &["LEN", "M01"], "2026-03-01"), []);
    // The contract does not run: nothing is said of the shop.
    assert_eq!(networks("750000001", &pair, "2028-01-01"), []);
}

#[test]
fn a_network_that_nobody_lists_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let records = [record(1, "CONFORT", "2026-01-01", "2026-12-31")];
    let sources = files(dir.path(), PLANS, &records);
    let refused = |sources: &Sources| load(sources).unwrap_err().to_string();
    let path = sources.networks.clone().unwrap();
    fs::write(&path, NETWORKS.replace("RESEAU-1", "RESEAU-2")).unwrap();
    assert!(refused(&sources).contains("plans.toml: network RESEAU-1 is not among"));
    fs::write(&path, NETWORKS.replace("750000001", "75000001")).unwrap();
    assert!(refused(&sources).contains("networks.toml: network RESEAU-1, shop 1: finess"));
    let none = Sources {
        networks: None,
        ..sources
    };
    assert!(refused(&none).contains("network RESEAU-1 is not among"));
}

#[test]
fn files_that_are_not_this_payers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let records = [record(1, "ESSENTIEL", "2026-01-01", "2026-12-31")];
    let sources = files(dir.path(), PLANS, &records);
    let refused = |sources: &Sources| load(sources).unwrap_err().to_string();
    let other = Book::load(&sources, &roster(), &"75000002".parse().unwrap());
    assert!(other.unwrap_err().to_string().contains("its payer is not"));
    fs::set_permissions(&sources.contracts, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(refused(&sources).contains("mode is 640"));
    let unknown = files(dir.path(), AMO_PLANS, &records);
    assert!(refused(&unknown).contains("plan ESSENTIEL, which is not among"));
    let sources = files(dir.path(), PLANS, &records);
    let text = fs::read_to_string(&sources.contracts).unwrap();
    fs::write(&sources.contracts, text.replace("end 1\n", "")).unwrap();
    assert!(refused(&sources).contains("not whole"));
}

/// A ledger with a catalogue, kept by the member `cnam`.
async fn ledger(dir: &Path) -> Sequencer {
    let witness = || Witness::new("cnam".parse().unwrap(), secret("cnam"));
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    found(&store, &witness(), &first_roster(), &origin(), [1; 10]).unwrap();
    let ledger = open(&store, witness(), None, Box::new(|_| ())).unwrap();
    Alone::lead(&ledger);
    name_catalogue(&ledger, 1).await;
    ledger
}

async fn name_catalogue(ledger: &Sequencer, hash: u8) {
    let notice = Attestation::Catalogue(CatalogueNotice {
        hash: Hash::from_bytes([hash; 32]),
        valid_from: clock::now().day(),
    });
    let request = RequestId::new(clock::now(), [hash; 10]);
    let header = notice.header(secret("cnam").public(), request);
    let entry = Entry::sign(&header, &origin(), &secret("cnam")).unwrap();
    ledger.append(entry, None).await.unwrap();
}

/// Plans that run whenever the test does.
fn always(percent: u16) -> String {
    format!(
        "[[plan]]\nname = \"P\"\nkind = \"free\"\nfrom = \"2020-01-01\"\nto = \"2199-12-31\"\n\
         [[plan.rule]]\ncodes = [\"all\"]\npays = \"{percent} %\"\n\
         [[plan.rule]]\ncodes = [\"LEN\"]\npays = \"nothing\"\n"
    )
}

async fn bind(quoter: &Arc<Quoter>, asked: &QuoteAsked) -> Vec<CodeAnswer> {
    let opinion = quoter.opinion(asked, None);
    quoter.bind(&asked.contract, &opinion).await.unwrap()
}

fn places(answers: &[CodeAnswer]) -> Vec<LeafIndex> {
    let covered = answers.iter().filter_map(|answer| match answer {
        CodeAnswer::Covered { receipt, .. } => Some(receipt.proved.index),
        CodeAnswer::Refused(_) => None,
    });
    covered.collect()
}

fn opened(answer: &CodeAnswer, token: &ContractToken) -> (Coverage, CoverageTerms) {
    let CodeAnswer::Covered {
        receipt,
        payload: (sealed, salt),
    } = answer
    else {
        panic!("refused");
    };
    receipt.verify(&roster(), &mut |_| {}).unwrap();
    let Ok(Attestation::Coverage(coverage)) = Attestation::read(receipt.proved.entry.header())
    else {
        panic!("no coverage");
    };
    let commitment = proto::seal::PayloadCommitment::from_hash(coverage.commitment);
    let opened = sealed
        .open(&token.sealing_secret(), salt, &commitment)
        .unwrap();
    let terms = CoverageTerms::from_bytes(opened.as_bytes()).unwrap();
    (coverage, terms)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_coverage_that_stands_is_given_again_and_another_one_supersedes_it() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(dir.path()).await;
    let records = [record(1, "P", "2020-01-01", "2199-12-31")];
    let quoter = Quoter::new(
        book(&always(60), &records),
        ledger.clone(),
        Upstream::new(ledger.clone(), secret("cnam"), None),
        secret("cnam"),
    );
    let quoter = Arc::new(quoter);
    let question = asked(1, &["M01", "VU1"]);
    let first = bind(&quoter, &question).await;
    assert_eq!(places(&first).len(), 2);
    let token = ContractToken::from_bytes([1; 32]);
    for (answer, grouped) in first.iter().zip(["M01", "VU1"]) {
        let (coverage, CoverageTerms(terms)) = opened(answer, &token);
        assert_eq!(coverage.coverage, token.coverage_key(code(grouped)));
        assert_eq!(coverage.until, clock::now().day().plus(COVERAGE_VALID_DAYS));
        assert_eq!(terms.rule, Rule::mandatory(Percent::new(60).unwrap()));
    }
    let size = ledger.snapshot().size();
    assert_eq!(places(&bind(&quoter, &question).await), places(&first));
    assert_eq!(ledger.snapshot().size(), size, "nothing was appended");

    // Other terms, and another catalogue, are other coverages.
    quoter.replace(book(&always(65), &records));
    let second = bind(&quoter, &question).await;
    assert!(places(&second).iter().min() > places(&first).iter().max());
    name_catalogue(&ledger, 2).await;
    let third = bind(&quoter, &question).await;
    assert!(places(&third).iter().min() > places(&second).iter().max());
    ledger.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn tills_that_ask_at_once_get_one_coverage_and_nobody_one_of_an_unknown_contract() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = ledger(dir.path()).await;
    let records = [record(1, "P", "2020-01-01", "2199-12-31")];
    let quoter = Quoter::new(
        book(&always(60), &records),
        ledger.clone(),
        Upstream::new(ledger.clone(), secret("cnam"), None),
        secret("cnam"),
    );
    let quoter = Arc::new(quoter);
    let size = ledger.snapshot().size().get();
    let many = (0..8).map(|_| {
        let quoter = quoter.clone();
        tokio::spawn(async move { places(&bind(&quoter, &asked(1, &["M01"])).await) })
    });
    let mut given = Vec::new();
    for one in many.collect::<Vec<_>>() {
        given.extend(one.await.unwrap());
    }
    assert_eq!(given, [LeafIndex::new(size); 8]);
    for (token, grouped, want) in [
        (2, "M01", Reason::ContractEnded),
        (1, "LEN", Reason::NotCovered),
    ] {
        let answers = bind(&quoter, &asked(token, &[grouped])).await;
        let reason = match answers[..] {
            [CodeAnswer::Refused(reason)] => Some(reason),
            _ => None,
        };
        assert_eq!(reason, Some(want), "{grouped}");
    }
    ledger.stop();
}
