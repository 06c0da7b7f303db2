//! The pages. Of a node, over a real federation: what the operator sees of a member that is stopped
//! and comes back, and, where there is a browser, how the pages work in it. Of an agent: the counter
//! page from the card to the receipt, by the keyboard alone.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use proto::receipt::{ReceiptFile, VerifiedFile};
use proto::roster::SignedRoster;
use serde_json::Value;
use tests::agent::AgentProcess;
use tests::binary::{scratch_folder, vitrail_node};
use tests::browser::Browser;
use tests::judge::{both_kinds, page, succeeds};
use tests::nodes::Nodes;
use tests::process::NodeProcess;
use tests::replicated::all_voting;
use tests::workload::{Ground, fresh_slots};

/// What takes longer to be seen hangs: a member that is gone is told after ten seconds.
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(500);

/// What the operator's page says, once it says this.
fn seen(node: &NodeProcess, is_so: impl Fn(&Value) -> bool) -> Value {
    let started = Instant::now();
    loop {
        let json = node.page("/etat.json").unwrap();
        let seen: Value = serde_json::from_slice(&json).unwrap();
        if is_so(&seen) {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "still: {seen:#}");
        std::thread::sleep(POLL);
    }
}

fn member<'a>(seen: &'a Value, name: &str) -> &'a Value {
    let members = seen["members"].as_array().unwrap();
    members.iter().find(|it| it["name"] == name).unwrap()
}

fn has_alarm(seen: &Value, code: &str) -> bool {
    let alarms = seen["alarms"].as_array().unwrap();
    alarms.iter().any(|alarm| alarm["code"] == code)
}

/// Everybody is there and has what there is.
fn is_whole(seen: &Value) -> bool {
    let members = seen["members"].as_array().unwrap();
    let all = members
        .iter()
        .all(|it| it["present"] == true && it["behind"] == 0);
    let is_led = seen["leader"].is_string();
    all && is_led && seen["may_fail"] == 1 && !has_alarm(seen, "member-away")
}

/// The counter page over a simulated federation; the receipt that it downloads is a real one.
#[test]
fn the_counter_page_goes_from_the_card_to_the_receipt() {
    let Some(browser) = Browser::find() else {
        return;
    };
    let folder = scratch_folder();
    let agent = AgentProcess::start(folder.path(), &["--simulate"]);
    let downloads = folder.path().join("downloads");
    fs::create_dir(&downloads).unwrap();
    let address = format!("http://{}", agent.address);
    let to = downloads.to_str().unwrap();
    browser.run("comptoir.mjs", &[address.as_str(), &agent.token, to]);
    let roster = fs::read(folder.path().join("agent/simulated/roster.txt")).unwrap();
    let roster = SignedRoster::parse(&roster).unwrap();
    let roster = roster.verify_genesis().unwrap();
    for (name, is_receipt) in [("receipt", true), ("refusal", false)] {
        let text = fs::read_to_string(downloads.join(name)).unwrap();
        let verified = ReceiptFile::verify(&text, &roster, &mut |_| {}).unwrap();
        assert_eq!(matches!(verified, VerifiedFile::Accepted(_)), is_receipt);
    }
}

/// The files of `vitrail receipt verify`, one of them spoiled, for the receipt page.
async fn give_receipts(nodes: &Nodes, ground: &Ground, folder: &Path) {
    let founder = nodes.node("cnam");
    let tills = nodes.federation.grant_tills(founder, 2).await;
    let sessions: Vec<_> = tills
        .iter()
        .map(|till| nodes.session("cnam", till))
        .collect();
    let [receipt, refusal] = both_kinds(&sessions, ground, &tills).await;
    let bad = spoiled_path(&receipt);
    fs::create_dir(folder).unwrap();
    for (name, text) in [("receipt", &receipt), ("refusal", &refusal), ("bad", &bad)] {
        fs::write(folder.join(name).with_extension("txt"), text).unwrap();
    }
    fs::write(folder.join("roster.txt"), founder.page("/roster").unwrap()).unwrap();
}

/// A receipt of which one hash of the path is another.
fn spoiled_path(receipt: &str) -> String {
    let place = receipt.find("path ").unwrap() + "path ".len();
    let mut bytes = receipt.as_bytes().to_vec();
    bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).unwrap()
}

/// Backs up the founder's node, and makes it so many days ago.
fn backed_up(nodes: &Nodes, to: &Path, days_ago: Option<u64>) {
    let folder = nodes.folder("cnam");
    let grpc = nodes.node("cnam").addresses.grpc.to_string();
    let mut backup = Command::new(vitrail_node());
    backup.arg("backup").arg(to).arg("--dir").arg(&folder);
    succeeds(backup.args(["--grpc", &grpc]));
    let Some(days) = days_ago else { return };
    let file = folder.join("data/last-backup.json");
    let told = fs::read_to_string(&file).unwrap();
    let mut told: Value = serde_json::from_str(&told).unwrap();
    let taken_at = told["taken_at_ms"].as_u64().unwrap();
    told["taken_at_ms"] = (taken_at - days * 86_400_000).into();
    fs::write(&file, told.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_show_receipts_and_a_member_that_is_stopped_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = scratch_folder();
    let mut nodes = all_voting(dir.path(), 4, 2).await;
    let ground = Ground::lay(&nodes.federation, nodes.node("cnam")).await;
    let files = dir.path().join("given");
    give_receipts(&nodes, &ground, &files).await;
    let browser = Browser::find();
    let address = format!("http://{}", nodes.node("cnam").addresses.http);
    if let Some(browser) = &browser {
        browser.run("recu.mjs", &[page().as_path(), &files, Path::new(&address)]);
    }
    let look = |state: &str| {
        if let Some(browser) = &browser {
            browser.run("etat.mjs", &[address.as_str(), state]);
        }
    };

    let whole = seen(nodes.node("cnam"), is_whole);
    assert_eq!(
        (&whole["quorum"], &whole["alarms"]),
        (&3.into(), &Value::Array(vec![]))
    );
    assert_eq!(whole["shares"]["own"], true);
    let appended = whole["appended"].as_array().unwrap();
    assert!(appended.iter().any(|count| count.as_u64() > Some(0)));
    look("whole");

    backed_up(&nodes, &scratch.path().join("backup"), Some(3));
    nodes.kill("beta");
    let till = nodes
        .federation
        .grant_tills(nodes.node("cnam"), 1)
        .await
        .remove(0);
    let claim = ground.claim(&till, &fresh_slots(1));
    let session = nodes.session("cnam", &till);
    let payload = Some((&claim.payload, &claim.salt));
    session.home().append(&claim.entry, payload).await.unwrap();
    let is_away =
        |seen: &Value| member(seen, "beta")["present"] == false && seen["leader"].is_string();
    let without = seen(nodes.node("cnam"), is_away);
    assert!(
        member(&without, "beta")["behind"].as_u64() > Some(0),
        "{without:#}"
    );
    assert_eq!(without["may_fail"], 0);
    assert!(has_alarm(&without, "member-away") && has_alarm(&without, "nobody-may-fail"));
    assert!(has_alarm(&without, "backup-old"), "{without:#}");
    look("away");

    nodes.start(&"beta".parse().unwrap(), &[]);
    seen(nodes.node("cnam"), is_whole);
    seen(nodes.node("beta"), is_whole);
    backed_up(&nodes, &scratch.path().join("backup"), None);
    seen(nodes.node("cnam"), |seen| !has_alarm(seen, "backup-old"));
    look("back");
}
