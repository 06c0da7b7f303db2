//! Tills whose node is killed, hangs, or was put back to an old state: they go on by themselves. A
//! ledger that contradicts itself is another matter.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use client::pos::{Item, Pos, Quote};
use client::session::{Session, SessionParts};
use client::view::View;
use proto::ids::LeafIndex;
use proto::signing::SecretKey;
use serde_json::Value;
use tests::binary::{scratch_folder, vitrail};
use tests::federation::{accepted, cnam};
use tests::line::Line;
use tests::nodes::Nodes;
use tests::payers::{PAIR, Payers, catalogue};
use tests::process::{NodeProcess, copy_folder, write_secret};
use tests::workload::{Ground, fresh_slots};

/// Longest wait for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A till that prefers the node of `home`.
fn pos(payers: &Payers, home: &str) -> Pos {
    let session = payers.nodes.roaming(home, &payers.tills[0]);
    let view = View::new(payers.nodes.federation.roster.clone());
    Pos::new(session, catalogue(), view)
}

async fn check(pos: &Pos, payers: &Payers, person: usize) -> Quote {
    let items: Vec<Item> = PAIR.iter().map(|item| item.parse().unwrap()).collect();
    let insured = payers.people[person].insured();
    let quote = pos.check(&insured, &items).await.unwrap();
    assert!(quote.is_covered());
    quote
}

/// `vitrail check` or `claim` of the pair by the first till, which prefers the node of `home`.
fn till(payers: &Payers, home: &str, word: &str, person: usize) -> Output {
    let (dir, own) = (payers.dir(), payers.dir().join("till.pem"));
    write_secret(&own, &payers.tills[0].to_pem().unwrap());
    fs::write(dir.join("card.toml"), payers.people[person].card()).unwrap();
    let mut command = vitrail();
    command
        .args([word, "-v", "-o", "json", "--node", home])
        .args(["--roster", "roster.txt", "--key", "till.pem"])
        .args(["--card", "card.toml", "--catalogue", "catalogue.txt"])
        .args(PAIR.iter().flat_map(|item| ["--item", item]))
        .current_dir(dir);
    command.output().unwrap()
}

/// The answer of a command that ended with 0.
fn answer(output: &Output) -> Value {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn send_signal(node: &NodeProcess, signal: &str) {
    let mut kill = Command::new("kill");
    let sent = kill.args([signal, &node.pid().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// The nodes that a session asked in vain.
fn passed_over(session: &Session) -> Vec<String> {
    let passed = session.passed_over().into_iter();
    passed.map(|one| one.member.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_whose_node_is_killed_or_hangs_goes_on_by_itself() {
    let mut payers = Payers::new(3, 2).await;
    let first = till(&payers, "beta", "check", 0);
    assert_eq!(answer(&first)["answered_by"], "beta");

    // Killed between two commands.
    payers.nodes.kill("beta");
    let second = till(&payers, "beta", "check", 0);
    let (quote, said) = (answer(&second), String::from_utf8_lossy(&second.stderr));
    assert_ne!(quote["answered_by"], "beta", "{quote}");
    assert!(
        said.contains("passed over: beta cannot be reached"),
        "{said}"
    );
    assert!(said.contains("answered by "), "{said}");
    let claimed = answer(&till(&payers, "beta", "claim", 0));
    assert_eq!(claimed["claim"]["outcome"], "accepted");
    assert_ne!(claimed["claim"]["answered_by"], "beta");
    let known = fs::read_to_string(payers.dir().join("state/nodes")).unwrap();
    assert!(known.starts_with("vitrail nodes v1\n"), "{known}");

    // One that hangs is hedged around, in a till that had it as its node.
    payers.nodes.start(&"beta".parse().unwrap(), &[]);
    let pos = pos(&payers, "beta");
    check(&pos, &payers, 1).await;
    send_signal(payers.nodes.node("beta"), "-STOP");
    let began = Instant::now();
    let quote = check(&pos, &payers, 1).await;
    println!("a check while the till's node hangs: {:?}", began.elapsed());
    assert_ne!(pos.session().answered_by().unwrap().as_str(), "beta");
    assert_eq!(passed_over(pos.session()), ["beta"]);
    let began = Instant::now();
    accepted(&pos.claim(&quote).await.unwrap());
    println!("a claim while the till's node hangs: {:?}", began.elapsed());
    send_signal(payers.nodes.node("beta"), "-CONT");
}

/// Appends claims one after the other; gives the places they got.
async fn append_all(session: Session, ground: Ground, till: SecretKey, count: usize) -> Places {
    let mut places = Places::new();
    for _ in 0..count {
        let claim = ground.claim(&till, &fresh_slots(1));
        let payload = Some((&claim.payload, &claim.salt));
        let issued = session.append(&claim.entry, payload).await.unwrap();
        places.insert(accepted(&issued));
    }
    places
}

type Places = BTreeSet<LeafIndex>;

#[tokio::test(flavor = "multi_thread")]
async fn claims_on_their_way_to_a_node_that_is_killed_are_each_entered_once() {
    const CLAIMS: usize = 60;
    let folder = scratch_folder();
    let mut nodes = Nodes::found(folder.path(), 4, 2, &BTreeMap::new());
    nodes.start_all(&[]);
    let voting = nodes.node("cnam");
    let tills = nodes.federation.grant_tills(voting, 2).await;
    let ground = Ground::lay(&nodes.federation, voting).await;
    nodes
        .all_have(*ground.coverages.last().unwrap(), &tills[0])
        .await;
    let cnam = nodes.session("cnam", &tills[0]);
    let before = cnam.newest_checkpoint().await.unwrap().size();
    let sending: Vec<_> = tills
        .iter()
        .map(|till| {
            let session = nodes.roaming("beta", till);
            tokio::spawn(append_all(session, ground.clone(), till.clone(), CLAIMS))
        })
        .collect();
    // In the middle: as soon as some of them are there.
    while cnam.newest_checkpoint().await.unwrap().size().get() < before.get() + 10 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    nodes.kill("beta");
    let mut places = Places::new();
    for sent in sending {
        places.extend(sent.await.unwrap());
    }
    assert_eq!(places.len(), tills.len() * CLAIMS);
    let after = cnam.newest_checkpoint().await.unwrap().size();
    assert_eq!(
        after.get() - before.get(),
        places.len() as u64,
        "none twice"
    );
}

/// A session whose way to the voting node is not the one that the nodes take.
fn way_around(nodes: &Nodes, home: &str, till: &SecretKey) -> Session {
    let voting = nodes.listens[&cnam()].to_string().parse().unwrap();
    let parts = SessionParts {
        roster: nodes.federation.roster.clone(),
        secret: till.clone(),
        home: Some(home.parse().unwrap()),
        addresses: BTreeMap::from([(cnam(), voting)]),
        observer: None,
    };
    Session::open(parts).unwrap()
}

/// Claims until the ledger has grown.
async fn grow(nodes: &Nodes, ground: &Ground, till: &SecretKey) {
    let session = nodes.session("cnam", till);
    append_all(session, ground.clone(), till.clone(), 5).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_put_back_to_an_old_state_is_passed_over_and_nobody_is_accused() {
    let folder = scratch_folder();
    let (line, listener) = Line::new().await;
    let in_front = BTreeMap::from([(cnam(), line.address())]);
    let mut nodes = Nodes::found(folder.path(), 4, 2, &in_front);
    line.connect(listener, nodes.listens[&cnam()]);
    nodes.start_all(&[]);
    let voting = nodes.node("cnam");
    let tills = nodes.federation.grant_tills(voting, 1).await;
    let ground = Ground::lay(&nodes.federation, voting).await;
    nodes
        .all_have(*ground.coverages.last().unwrap(), &tills[0])
        .await;

    nodes.kill("opticians");
    let (data, copy) = (nodes.folder("opticians"), folder.path().join("copy"));
    copy_folder(&data, &copy);
    nodes.start(&"opticians".parse().unwrap(), &[]);
    grow(&nodes, &ground, &tills[0]).await;
    let state = folder.path().join("state");
    let mut view = View::open(nodes.federation.roster.clone(), &state).unwrap();
    let around = way_around(&nodes, "cnam", &tills[0]);
    view.advance(&around).await.unwrap();
    let seen = view.follower().latest().unwrap().size();
    let session = way_around(&nodes, "opticians", &tills[0]);

    line.cut();
    nodes.kill("opticians");
    fs::remove_dir_all(&data).unwrap();
    copy_folder(&copy, &data);
    nodes.start(&"opticians".parse().unwrap(), &[]);
    let alone = nodes.session("opticians", &tills[0]);
    let old = alone.newest_checkpoint().await.unwrap().size();
    assert!(old < seen, "{old} < {seen}");

    // After a restart of the till.
    drop(view);
    let mut view = View::open(nodes.federation.roster.clone(), &state).unwrap();
    let session = view.compared_by(session);
    view.advance(&session).await.unwrap();
    assert!(view.follower().latest().unwrap().size() >= seen);
    assert_ne!(session.answered_by().unwrap().as_str(), "opticians");
    let found = session
        .lookup(&fresh_slots(1), &ground.coverage_keys)
        .await
        .unwrap();
    assert!(found.checkpoint.size() >= seen);
    assert_eq!(
        session.answered_by().unwrap().as_str(),
        "cnam",
        "the others cannot record"
    );
    let passed = session.passed_over();
    let opticians = passed.iter().find(|one| one.member.as_str() == "opticians");
    let reason = &opticians.unwrap().reason;
    assert!(reason.contains("were seen before"), "{reason}");
    assert!(!state.join("evidence").exists());
    assert!(session.wrong_members().is_empty());
}

/// The evidence in a till's state folder, once there is some.
fn evidence(state: &Path) -> Option<String> {
    let file = fs::read_dir(state.join("evidence")).ok()?.next()?.unwrap();
    assert!(file.file_name().to_string_lossy().starts_with("rollback-"));
    Some(fs::read_to_string(file.path()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_that_was_rolled_back_is_brought_up_or_kept_as_evidence_with_its_own_exit_code() {
    let mut payers = Payers::new(2, 1).await;
    payers.nodes.kill("cnam");
    let (ledger, copy) = (payers.nodes.folder("cnam"), payers.dir().join("copy"));
    copy_folder(&ledger, &copy);
    payers.start("cnam");
    answer(&till(&payers, "cnam", "check", 0));
    answer(&till(&payers, "cnam", "claim", 0));

    payers.nodes.kill("cnam");
    fs::remove_dir_all(&ledger).unwrap();
    copy_folder(&copy, &ledger);
    payers.start("cnam");
    let (state, began) = (payers.dir().join("state"), Instant::now());
    // A signature of the same second as the one seen proves nothing yet.
    let output = loop {
        let output = till(&payers, "cnam", "check", 0);
        assert!(!output.status.success(), "an older ledger was believed");
        if output.status.code() == Some(3) {
            break output;
        }
        // It may get back what it had lost from those that follow it, before it vouches again.
        if String::from_utf8_lossy(&output.stdout).contains("SLOT_RESERVED") {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{output:?}");
    };
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["error"]["kind"], "contradicted", "{said}");
    let text = evidence(&state).unwrap();
    assert!(
        text.starts_with("vitrail evidence v2\nkind rollback\n\n"),
        "{text}"
    );
    assert_eq!(text.matches("\u{2014} cnam ").count(), 2, "{text}");
}
