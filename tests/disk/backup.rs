//! A running node is backed up while it is written to; wiped, it comes back from the backup, signs
//! nothing before it has heard what it had signed, and ends with the roots of the others.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proto::checkpoint::Checkpoint;
use proto::ids::{LeafIndex, MemberName};
use proto::signing::SecretKey;
use serde::Deserialize;
use tests::answers::answer;
use tests::binary::{scratch_folder, vitrail_node};
use tests::nodes::Nodes;
use tests::process::{NodeProcess, copy_folder};
use tests::replicated::{all_voting, reaches};
use tests::workload::Ground;

/// How long something may take to become so, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Deserialize)]
struct BackedUp {
    entries: u64,
    fetched: u64,
    taken_at_ms: u64,
    log_root: String,
    map_root: String,
}

#[derive(Debug, Deserialize)]
struct Restored {
    entries: u64,
    vouched: bool,
}

/// What a command of the operator says about a member's node: exit code, output, errors.
fn operator(
    nodes: &Nodes,
    member: &str,
    word: &str,
    folder: Option<&Path>,
) -> (i32, String, String) {
    let name: MemberName = member.parse().unwrap();
    let done = Command::new(vitrail_node())
        .arg(word)
        .args(folder)
        .args(["-o", "json", "--dir"])
        .arg(nodes.folder(member))
        .args(["--grpc", &nodes.listens[&name].to_string()])
        .output()
        .unwrap();
    let _ = answer(&[word], &done.stdout);
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = done.status.code().unwrap();
    (code, text(done.stdout), text(done.stderr))
}

fn back_up(nodes: &Nodes, member: &str, folder: &Path) -> BackedUp {
    let (code, said, failed) = operator(nodes, member, "backup", Some(folder));
    assert_eq!(code, 0, "{failed}");
    serde_json::from_str(&said).unwrap()
}

/// Claims through a member's node for as long as it is not told to end.
fn under_load(nodes: &Nodes, ground: &Ground, till: &SecretKey) -> Load {
    let ends = Arc::new(AtomicBool::new(false));
    let (session, roster) = (nodes.session("cnam", till), nodes.federation.roster.clone());
    let (ground, till, told) = (ground.clone(), till.clone(), ends.clone());
    let claims = tokio::spawn(async move {
        let mut newest = LeafIndex::new(0);
        while !told.load(Ordering::Relaxed) {
            newest = ground.claim_at(&session, &till, &roster).await;
        }
        newest
    });
    Load { ends, claims }
}

struct Load {
    ends: Arc<AtomicBool>,
    claims: tokio::task::JoinHandle<LeafIndex>,
}

impl Load {
    /// Ends it; the newest claim.
    async fn end(self) -> LeafIndex {
        self.ends.store(true, Ordering::Relaxed);
        self.claims.await.unwrap()
    }
}

/// What `/readyz?verbose` says, whether ready or not.
fn readiness(node: &NodeProcess) -> String {
    let (_, body) = node.ask("/readyz?verbose").unwrap();
    String::from_utf8(body).unwrap()
}

/// Waits until the newest cosignature of a member that any node holds is of this size.
fn has_cosigned(nodes: &Nodes, member: &str, size: u64) {
    let until = Instant::now() + PATIENCE;
    loop {
        let (_, said, _) = operator(nodes, "opticians", "status", None);
        let told: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
        let members = told["members"].as_array().cloned().unwrap_or_default();
        let newest = members.iter().find(|it| it["name"] == member);
        if newest.is_some_and(|it| it["cosigned"].as_u64() >= Some(size)) {
            return;
        }
        assert!(Instant::now() < until, "{said}");
        std::thread::sleep(POLL);
    }
}

fn becomes_ready(node: &NodeProcess) {
    let until = Instant::now() + PATIENCE;
    while !readiness(node).ends_with("\nready\n") {
        assert!(Instant::now() < until, "{}", readiness(node));
        std::thread::sleep(POLL);
    }
}

/// Flips a bit in each block of what the database of a backup has; zeros are room that was never
/// written to.
fn damage(folder: &Path) {
    let database = folder.join("data/ledger/db");
    let mut bytes = fs::read(&database).unwrap();
    for byte in bytes.iter_mut().step_by(251).filter(|byte| **byte != 0) {
        *byte ^= 1;
    }
    fs::write(database, bytes).unwrap();
}

/// A damaged copy of the backup is not taken, and leaves nothing behind; the backup is.
fn is_restored(nodes: &Nodes, backup: &Path, damaged: &Path, entries: u64) {
    copy_folder(backup, damaged);
    damage(damaged);
    let (code, _, refused) = operator(nodes, "alpha", "restore", Some(damaged));
    assert!(code == 1 && refused.contains("rebuild"), "{refused}");
    assert!(!nodes.folder("alpha").join("data").exists());
    let (code, said, failed) = operator(nodes, "alpha", "restore", Some(backup));
    assert_eq!(code, 0, "{failed}");
    let restored: Restored = serde_json::from_str(&said).unwrap();
    assert!(restored.entries == entries && restored.vouched);
}

/// Waits until every member has this entry; the checkpoint that is the same at all of them.
async fn all_reach(nodes: &Nodes, till: &SecretKey, newest: LeafIndex) -> Checkpoint {
    let mut reached = Vec::new();
    for name in ["cnam", "alpha", "beta", "opticians"] {
        let checkpoint = reaches(&nodes.session(name, till), newest.get() + 1).await;
        checkpoint.verify(&nodes.federation.roster).unwrap();
        reached.push(checkpoint.claimed().clone());
    }
    assert!(reached.iter().all(|it| it == &reached[0]), "{reached:?}");
    reached.swap_remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_backed_up_under_load_and_comes_back_from_it_without_a_second_history() {
    let folder = scratch_folder();
    let mut nodes = all_voting(folder.path(), 4, 2).await;
    let ground = Ground::lay(&nodes.federation, nodes.node("cnam")).await;
    let tills = nodes.federation.grant_tills(nodes.node("cnam"), 1).await;
    let (till, roster) = (&tills[0], nodes.federation.roster.clone());
    let backup = folder.path().join("backup");

    // Twice, while claims come in: the second time costs what is new.
    let load = under_load(&nodes, &ground, till);
    let first = back_up(&nodes, "alpha", &backup);
    assert!(first.fetched == first.entries && first.entries > 5);
    assert!(
        nodes.node("alpha").metric("vitrail_last_backup_entries") == Some(first.entries as f64)
    );
    let second = back_up(&nodes, "alpha", &backup);
    let newest = load.end().await;
    assert_eq!(second.entries, first.entries + second.fetched);
    assert!(second.fetched > 0 && second.taken_at_ms > first.taken_at_ms);
    let at = nodes
        .node("alpha")
        .metric("vitrail_last_backup_timestamp_seconds");
    assert_eq!(at, Some(second.taken_at_ms as f64 / 1000.0));
    // No key is in it, and nothing over a ledger is restored.
    let kept: Vec<_> = tests::process::files(&backup);
    let is_key = |path: &&std::path::PathBuf| path.extension().is_some_and(|it| it == "key");
    assert!(!kept.iter().any(|path| is_key(&path)), "{kept:?}");
    let (code, _, refused) = operator(&nodes, "alpha", "restore", Some(&backup));
    assert!(code == 1 && refused.contains("not empty"), "{refused}");

    // The node goes on and signs, the others know of it, and then everything of it is lost.
    let alpha = nodes.session("alpha", till);
    let later = ground.claim_at(&alpha, till, &roster).await;
    assert!(later > newest);
    has_cosigned(&nodes, "alpha", later.get() + 1);
    nodes.kill("alpha");
    let (code, _, failed) = operator(&nodes, "alpha", "backup", Some(&backup));
    assert!(
        code == 2 && failed.contains("is the node running"),
        "{failed}"
    );
    fs::remove_dir_all(nodes.folder("alpha").join("data")).unwrap();

    let damaged = folder.path().join("damaged");
    is_restored(&nodes, &backup, &damaged, second.entries);

    // One remembers what it had signed: it begins a new life, and signs nothing before a quorum has
    // been heard.
    let away = ["cnam", "beta"];
    away.iter().for_each(|name| nodes.kill(name));
    nodes.start(&"alpha".parse().unwrap(), &[]);
    let log = fs::read_to_string(nodes.node("alpha").log()).unwrap();
    assert!(log.contains("begins a new life"), "{log}");
    assert!(readiness(nodes.node("alpha")).contains("[-]cosigning failed"));
    assert_eq!(nodes.node("alpha").metric("vitrail_recalling"), Some(1.0));
    for name in away {
        nodes.start(&name.parse().unwrap(), &[]);
    }
    becomes_ready(nodes.node("alpha"));

    let alpha = nodes.session("alpha", till);
    let newest = ground.claim_at(&alpha, till, &roster).await;
    assert!(newest > later);
    let roots = all_reach(&nodes, till, newest).await;
    let of_backup = [second.log_root, second.map_root];
    assert!(of_backup[0] != roots.log_root.to_base64() && of_backup[1].len() == 44);
}
