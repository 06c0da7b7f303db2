//! Till software works through a real agent over a real federation: what it asks happens once, also
//! when the agent is killed at any moment; who is not paired gets nothing; and no identity stays in
//! what the agent writes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use proto::receipt::ReceiptFile;
use serde_json::{Value, json};
use tests::agent::AgentProcess;
use tests::binary::scratch_folder;
use tests::browser::Browser;
use tests::bytes::Needles;
use tests::federation::AMC_PAYERS;
use tests::payers::Payers;
use tests::planted::Planted;
use tests::process::{files, write_secret};

/// Rounds in which the agent is killed, each at another moment of its work.
const KILLS: usize = 6;
/// Longest time after which it is killed: about what a whole claim takes here.
const KILL_WITHIN: Duration = Duration::from_millis(600);
/// How long a claim that waits may take to get in once the node is back.
const SENT_WITHIN: Duration = Duration::from_secs(120);

/// A shop's folder: its profile, its key, its agent's folder.
fn shop(payers: &Payers) -> PathBuf {
    let dir = payers.dir().join("shop");
    fs::create_dir(&dir).unwrap();
    write_secret(&dir.join("key.pem"), &payers.tills[0].to_pem().unwrap());
    for file in ["roster.txt", "catalogue.txt"] {
        fs::copy(payers.dir().join(file), dir.join(file)).unwrap();
    }
    let profile = "roster = \"roster.txt\"\nkey = \"key.pem\"\ncatalogue = \"catalogue.txt\"\n\
                   [agent]\norigins = [\"https://caisse.example\"]\n";
    fs::write(dir.join("vitrail.toml"), profile).unwrap();
    dir
}

fn start(dir: &Path) -> AgentProcess {
    AgentProcess::start::<&str>(dir, &[])
}

fn card(one: &Planted) -> Value {
    let nir = toml::from_str::<toml::Table>(&one.card()).unwrap();
    let payer = json!({ "payer_number": AMC_PAYERS[0], "member_number": one.member_number });
    json!({ "nir": nir["nir"].as_str(), "birth_date": one.birth_date, "complementary": [payer] })
}

/// A frame and a lens for somebody.
fn sale(one: &Planted) -> Value {
    let frame = json!({ "code": "2264861", "price_cents": 14_000 });
    let lens = json!({ "code": "2200335", "side": "right", "price_cents": 16_000 });
    json!({ "sale": { "card": card(one), "items": [frame, lens] } })
}

fn key(name: &str) -> String {
    format!("key-of-the-till-{name}")
}

/// The text of a receipt verifies with the roster alone.
fn verifies(agent: &AgentProcess, payers: &Payers, name: &Value) {
    let path = format!("/v1/receipts/{}", name.as_str().unwrap());
    let text = agent.get(&path).body;
    let roster = &payers.nodes.federation.roster;
    ReceiptFile::verify(&text, roster, &mut |_| {}).unwrap();
}

/// Who shows no token, another one, or comes from elsewhere, gets nothing.
fn strangers_get_nothing(agent: &AgentProcess) {
    let own = format!("Host: {}", agent.address);
    let bearer = format!("Authorization: Bearer {}", agent.token);
    let ask = |headers: &[&str]| {
        let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
        agent.ask("GET", "/v1/receipts", &headers, "").unwrap()
    };
    assert_eq!(ask(&[&own, &bearer]).status, 200);
    let page = "Origin: https://caisse.example";
    assert_eq!(ask(&[&own, &bearer, page]).status, 200);
    for (headers, status, code) in [
        (vec![own.as_str()], 401, "not-paired"),
        (vec![&own, "Authorization: Bearer AAAA"], 401, "not-paired"),
        (vec!["Host: evil.example", &bearer], 421, "host-not-allowed"),
        (
            vec![&own, &bearer, "Origin: https://evil.example"],
            403,
            "origin-not-allowed",
        ),
    ] {
        let reply = ask(&headers);
        assert_eq!(
            (reply.status, reply.json()["code"].as_str()),
            (status, Some(code))
        );
        assert!(!reply.head.contains("access-control-allow-origin"));
    }
}

/// Check, claim, the same again after a kill, deliver, return.
fn a_whole_sale(dir: &Path, payers: &Payers, one: &Planted) -> AgentProcess {
    let agent = start(dir);
    strangers_get_nothing(&agent);
    let checked = agent.post("/v1/check", None, &sale(one)).json();
    assert_eq!(checked["covered"], true, "{checked}");
    // 40.00 of the frame and of the lens; 60 per cent of 0.05 twice.
    let quote = &checked["quote"];
    assert_eq!([&quote["amo_cents"], &quote["amc_cents"]], [6, 8_000]);
    let claimed = agent.post("/v1/claim", Some(&key("sale")), &sale(one));
    assert_eq!(claimed.json()["outcome"], "accepted", "{}", claimed.body);
    agent.kill();
    let agent = start(dir);
    let again = agent.post("/v1/claim", Some(&key("sale")), &sale(one));
    assert_eq!((again.status, &again.body), (claimed.status, &claimed.body));
    let claimed = claimed.json();
    verifies(&agent, payers, &claimed["receipt"]);
    let second = agent
        .post("/v1/claim", Some(&key("second")), &sale(one))
        .json();
    assert_eq!(second["refusal"]["code"], "SLOT_RESERVED");
    assert_eq!(second["refusal"]["holder"], claimed["index"]);
    verifies(&agent, payers, &second["receipt"]);
    let delivery = json!({ "claim": claimed["index"], "card": card(one) });
    let delivered = agent
        .post("/v1/deliver", Some(&key("deliver")), &delivery)
        .json();
    assert_eq!(delivered["outcome"], "accepted", "{delivered}");
    let release = json!({ "entry": delivered["index"] });
    let returned = agent
        .post("/v1/release", Some(&key("release")), &release)
        .json();
    assert_eq!(returned["outcome"], "accepted", "{returned}");
    verifies(&agent, payers, &returned["receipt"]);
    let status = agent.get("/v1/status").json();
    assert_eq!(status["members"].as_array().unwrap().len(), 4);
    assert!(status["checkpoint"]["age_seconds"].is_u64(), "{status}");
    agent
}

/// What left the machine for a check: the federation's own methods, and nothing of the person, however
/// it may be written down.
fn what_left_has_nobody_in_it(agent: &AgentProcess, one: &Planted) {
    let last = agent.get("/v1/outbound").json()["last"].clone();
    let checked = agent.post("/v1/check", None, &sale(one)).json();
    assert_eq!(checked["covered"], true, "{checked}");
    let left = agent.get(&format!("/v1/outbound?after={last}")).json();
    let messages = left["messages"].as_array().unwrap();
    let needles = Needles::new(one.words());
    let mut methods = BTreeSet::new();
    for message in messages {
        let bytes = message["bytes"].as_str().unwrap();
        let bytes = BASE64_STANDARD.decode(bytes).unwrap();
        assert_eq!(message["size"], bytes.len());
        assert!(needles.found_in(&bytes).is_empty(), "{message}");
        methods.insert(message["method"].as_str().unwrap().to_owned());
    }
    for service in ["EvaluatorService/Evaluate", "LedgerService/Lookup"] {
        assert!(methods.contains(&format!("vitrail.v1.{service}")), "{left}");
    }
}

/// The counter page, from this card to the receipt and back, if there is a browser.
fn at_the_counter(dir: &Path, agent: &AgentProcess, one: &Planted) {
    let Some(browser) = Browser::find() else {
        return;
    };
    let downloads = dir.parent().unwrap().join("downloads");
    fs::create_dir(&downloads).unwrap();
    let address = format!("http://{}", agent.address);
    let (to, card) = (downloads.to_str().unwrap(), card(one).to_string());
    browser.run(
        "comptoir-live.mjs",
        &[address.as_str(), &agent.token, to, &card],
    );
}

/// Killed at any moment of a claim, and asked again with the same key: it is accepted, once.
fn killed_at_any_moment(dir: &Path, mut agent: AgentProcess, people: &[Planted]) -> AgentProcess {
    for (round, one) in (0..).zip(people) {
        let name = key(&format!("round-{round}"));
        thread::scope(|scope| {
            let asked = scope.spawn(|| {
                // Whether an answer comes is the agent's end to say.
                let _ = agent.try_post("/v1/claim", Some(&name), &sale(one));
            });
            thread::sleep(KILL_WITHIN * round / u32::try_from(KILLS).unwrap());
            agent.signal_kill();
            asked.join().unwrap();
        });
        drop(agent);
        agent = start(dir);
        let answer = agent.post("/v1/claim", Some(&name), &sale(one)).json();
        assert_eq!(answer["outcome"], "accepted", "round {round}: {answer}");
        let other = key(&format!("other-{round}"));
        let refused = agent.post("/v1/claim", Some(&other), &sale(one)).json();
        assert_eq!(refused["refusal"]["holder"], answer["index"], "{refused}");
    }
    agent
}

/// A kept quote is claimed while nobody takes writes, waits over a kill, and gets in once.
fn waits_for_the_federation(
    dir: &Path,
    payers: &mut Payers,
    agent: AgentProcess,
    one: &Planted,
) -> AgentProcess {
    let mut keep = sale(one);
    keep["keep"] = true.into();
    let kept = agent.post("/v1/check", None, &keep).json()["kept"].clone();
    let claim = json!({ "quote": kept, "queue": true });
    payers.nodes.kill("cnam");
    let queued = agent.post("/v1/claim", Some(&key("queued")), &claim);
    assert_eq!(
        (queued.status, &queued.json()["outcome"]),
        (202, &json!("queued"))
    );
    assert_eq!(agent.get("/v1/queue").json()["waiting"], 1);
    agent.kill();
    let agent = start(dir);
    let ask = queued.json()["queued"]["ask"].clone();
    let ask = ask.as_str().unwrap();
    assert!(["waits", "sent"].contains(&agent.get(ask).json()["state"].as_str().unwrap()));
    payers.start("cnam");
    let begun = Instant::now();
    let accepted = loop {
        let told = agent.get(ask).json();
        if told["state"] == "accepted" {
            break told["answer"].clone();
        }
        assert!(begun.elapsed() < SENT_WITHIN, "{told}");
        thread::sleep(Duration::from_millis(500));
    };
    let again = agent.post("/v1/claim", Some(&key("queued")), &claim);
    assert_eq!((again.status, again.json()), (200, accepted));
    assert_eq!(agent.get("/v1/queue").json()["waiting"], 0);
    agent
}

/// Nothing of anybody is in what the shop's agent wrote; the search finds what it must.
fn nothing_of_anybody(dir: &Path, people: &[Planted]) {
    const LOG_LINE: &str = "POST /v1/claim 200";
    let mut words: Vec<_> = people.iter().flat_map(Planted::words).collect();
    words.push((LOG_LINE.to_owned(), LOG_LINE.as_bytes().to_vec()));
    let needles = Needles::new(words);
    let mut found = BTreeSet::new();
    for file in files(dir) {
        let bytes = fs::read(&file).unwrap();
        found.extend(
            needles
                .found_in(&bytes)
                .into_iter()
                .map(ToString::to_string),
        );
    }
    assert_eq!(found, BTreeSet::from([LOG_LINE.to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_works_through_its_agent_and_everything_happens_once() {
    let mut payers = Payers::new(KILLS + 4, 1).await;
    let dir = shop(&payers);
    let people = payers.people.clone();
    let agent = a_whole_sale(&dir, &payers, &people[0]);
    what_left_has_nobody_in_it(&agent, &people[KILLS + 2]);
    at_the_counter(&dir, &agent, &people[KILLS + 2]);
    let agent = killed_at_any_moment(&dir, agent, &people[1..=KILLS]);
    let agent = waits_for_the_federation(&dir, &mut payers, agent, &people[KILLS + 1]);
    agent.terminate();
    nothing_of_anybody(&dir, &people);
}

/// What a vendor's integration is judged by: the agent's own program, and how it ends.
#[test]
fn the_conformance_kit_says_how_each_scenario_stands_and_ends_accordingly() {
    let folder = scratch_folder();
    let kit = ["--simulate", "--conformance", "report.json"];
    let (is_well, told) = AgentProcess::start(folder.path(), &kit).ended();
    assert!(!is_well && told["conformance"]["passed"] == false, "{told}");

    let agent = AgentProcess::start(folder.path(), &kit);
    let scenarios = agent.get("/v1/conformance").json()["scenarios"].clone();
    let nir = |name: &str| {
        let found = scenarios.as_array().unwrap().iter();
        let mut found = found.filter(|it| it["name"] == name);
        found.next().unwrap()["nir"].clone()
    };
    let payer = json!({ "payer_number": AMC_PAYERS[0], "member_number": "ADH1" });
    let card = |name: &str| json!({ "nir": nir(name), "birth_date": "19500101", "complementary": [payer] });
    let item = json!({ "code": "2264861", "price_cents": 14_000 });
    let sale = |name: &str| json!({ "sale": { "card": card(name), "items": [item] } });
    let claim = |name: &str, by: &str| agent.post("/v1/claim", Some(&key(by)), &sale(name));
    assert_eq!(agent.post("/v1/check", None, &sale("covered")).status, 200);
    assert_eq!(claim("covered", "one").status, 200);
    let refused = claim("refused", "two").json();
    assert_eq!(refused["outcome"], "refused", "{refused}");
    assert_eq!(claim("answer-lost", "three").status, 504);
    assert_eq!(claim("answer-lost", "three").status, 200);
    let mut waits = sale("queued");
    waits["queue"] = true.into();
    let queued = agent.post("/v1/claim", Some(&key("four")), &waits);
    assert_eq!(queued.status, 202);
    assert_eq!(agent.get("/v1/queue").status, 200);
    let claimed = claim("delivered", "five").json()["index"].clone();
    let body = json!({ "claim": claimed, "card": card("delivered") });
    let delivered = agent.post("/v1/deliver", Some(&key("six")), &body).json();
    let receipt = format!("/v1/receipts/{}", delivered["receipt"].as_str().unwrap());
    assert_eq!(agent.get(&receipt).status, 200);
    let body = json!({ "entry": claim("released", "seven").json()["index"] });
    let _ = agent.post("/v1/release", Some(&key("eight")), &body);
    let claimed = claim("delivery-lost", "nine").json()["index"].clone();
    let body = json!({ "claim": claimed, "card": card("delivery-lost") });
    let deliver = || agent.post("/v1/deliver", Some(&key("ten")), &body).status;
    assert_eq!((deliver(), deliver()), (504, 200));
    let body = json!({ "entry": claim("release-lost", "eleven").json()["index"] });
    let release = || {
        agent
            .post("/v1/release", Some(&key("twelve")), &body)
            .status
    };
    assert_eq!((release(), release()), (504, 200));
    let (is_well, told) = agent.ended();
    assert!(is_well && told["conformance"]["passed"] == true, "{told}");
}
