//! Members' nodes come back: from an old backup, and from nothing, while the others serve.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use proto::ids::MemberName;
use serde::Deserialize;
use tests::answers::answer;
use tests::binary::vitrail_node;
use tests::nodes::Nodes;
use tests::replicated::{all_voting, reaches};
use tests::workload::Ground;

/// How often the federation is asked how it is.
const POLL: Duration = Duration::from_millis(200);
/// How long it may take to become what is waited for, on however busy a machine.
const SETTLED_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
struct Status {
    size: u64,
    leader: Option<String>,
    quorum: usize,
    may_fail: usize,
    members: Vec<Member>,
}

#[derive(Debug, Deserialize)]
struct Member {
    name: String,
    seat: String,
    condition: Option<String>,
    cosigned: Option<u64>,
    missing: bool,
}

impl Status {
    fn member(&self, name: &str) -> &Member {
        self.members.iter().find(|it| it.name == name).unwrap()
    }

    /// Every member votes, and has cosigned the newest state.
    fn is_whole(&self) -> bool {
        let mut members = self.members.iter();
        members.all(|it| it.seat == "votes" && !it.missing && it.condition.is_some())
    }
}

#[derive(Debug, Deserialize)]
struct Rebuilt {
    entries: u64,
    cosigned_by: usize,
    quorum: usize,
}

/// What a command of the operator prints about a member's node, and whether it said yes.
fn operator(nodes: &Nodes, words: &[&str], member: &str) -> (bool, String, String) {
    let name: MemberName = member.parse().unwrap();
    let done = Command::new(vitrail_node())
        .args(words)
        .args(["-o", "json", "--dir"])
        .arg(nodes.folder(member))
        .args(["--grpc", &nodes.listens[&name].to_string()])
        .output()
        .unwrap();
    let _ = answer(words, &done.stdout);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        done.status.success(),
        text(&done.stdout),
        text(&done.stderr),
    )
}

/// How the federation is, seen from a member's node, as soon as it is as it should be.
fn settled(nodes: &Nodes, member: &str, is_settled: impl Fn(&Status) -> bool) -> Status {
    let started = Instant::now();
    loop {
        let (_, said, failed) = operator(nodes, &["status"], member);
        if let Ok(status) = serde_json::from_str::<Status>(&said) {
            if is_settled(&status) {
                return status;
            }
            assert!(started.elapsed() < SETTLED_MAX, "{status:?}");
        }
        assert!(started.elapsed() < SETTLED_MAX, "{said}{failed}");
        std::thread::sleep(POLL);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        let to = to.join(item.file_name());
        match item.file_type().unwrap().is_dir() {
            true => copy(&item.path(), &to),
            false => drop(fs::copy(item.path(), to).unwrap()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_comes_back_from_an_old_backup_and_another_from_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = all_voting(dir.path(), 4, 2).await;
    let founder = nodes.node("cnam");
    let ground = Ground::lay(&nodes.federation, founder).await;
    let tills = nodes.federation.grant_tills(founder, 1).await;
    let (till, roster) = (&tills[0], nodes.federation.roster.clone());
    let founder = nodes.session("cnam", till);

    let whole = settled(&nodes, "opticians", Status::is_whole);
    assert_eq!((whole.quorum, whole.may_fail), (3, 1));
    assert!(whole.leader.is_some());

    // Killed, copied, and on: the copy is the backup.
    let (alpha, data) = ("alpha".parse().unwrap(), nodes.folder("alpha").join("data"));
    nodes.kill("alpha");
    let away = settled(&nodes, "cnam", |it| it.member("alpha").condition.is_none());
    assert_eq!(away.may_fail, 0);
    let backup = dir.path().join("backup");
    copy(&data, &backup);
    nodes.start(&alpha, &[]);
    for _ in 0..3 {
        ground.claim_at(&founder, till, &roster).await;
    }
    let signed = settled(&nodes, "cnam", Status::is_whole).size;
    nodes.kill("alpha");

    // It has signed what the backup knows nothing of, and the others remember.
    fs::remove_dir_all(&data).unwrap();
    copy(&backup, &data);
    nodes.start(&alpha, &[]);
    let log = fs::read_to_string(nodes.node("alpha").log()).unwrap();
    assert!(log.contains("begins a new life"), "{log}");
    let back = settled(&nodes, "cnam", Status::is_whole);
    assert!(back.member("alpha").cosigned >= Some(signed));
    let session = nodes.session("alpha", till);
    ground.claim_at(&session, till, &roster).await;
    let signed = settled(&nodes, "cnam", Status::is_whole).size;

    // Nothing is rebuilt over a ledger.
    let (is_done, _, refused) = operator(&nodes, &["rebuild"], "beta");
    assert!(!is_done, "{refused}");
    nodes.kill("beta");
    let (is_done, _, refused) = operator(&nodes, &["rebuild"], "beta");
    assert!(!is_done && refused.contains("already"), "{refused}");

    fs::remove_dir_all(nodes.folder("beta").join("data")).unwrap();
    let newest = ground.claim_at(&founder, till, &roster).await;
    let (is_done, said, failed) = operator(&nodes, &["rebuild"], "beta");
    assert!(is_done, "{failed}");
    let rebuilt: Rebuilt = serde_json::from_str(&said).unwrap();
    assert!(rebuilt.entries > newest.get() && newest.get() >= signed);
    assert!(rebuilt.cosigned_by >= 3 && rebuilt.quorum == 3);

    nodes.start(&"beta".parse().unwrap(), &[]);
    settled(&nodes, "cnam", Status::is_whole);
    let session = nodes.session("beta", till);
    let newest = ground.claim_at(&session, till, &roster).await;
    for member in ["cnam", "alpha", "beta", "opticians"] {
        let checkpoint = reaches(&nodes.session(member, till), newest.get() + 1).await;
        checkpoint.verify(&roster).unwrap();
    }
}
