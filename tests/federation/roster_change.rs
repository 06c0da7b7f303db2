//! Members come and go by the operators' commands, each with its own key, while tills write.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::profile::{Profile, Settings};
use client::session::Session;
use proto::attestation::{Attestation, CatalogueNotice};
use proto::ids::MemberName;
use proto::receipt::Receipt;
use proto::roster::{Roster, SignedRoster};
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use serde_json::Value;
use tests::answers::answer;
use tests::binary::vitrail_node;
use tests::nodes::Nodes;
use tests::process::{NodeProcess, write_secret};
use tests::replicated::{sign, voting};
use tests::workload::{Ground, fresh_slots};

/// How often something is looked at again.
const POLL: Duration = Duration::from_millis(100);
/// How long it may take to become what is waited for, on however busy a machine.
const SETTLED_MAX: Duration = Duration::from_secs(60);
/// Pause of the till between two claims.
const CLAIM_PAUSE: Duration = Duration::from_millis(50);

/// What a command of an operator at a member's node prints; the error text of one that fails.
fn operator(nodes: &Nodes, member: &str, words: &[&str]) -> Result<Value, String> {
    let name: MemberName = member.parse().unwrap();
    let done = Command::new(vitrail_node())
        .args(words)
        .args(["-o", "json", "--dir"])
        .arg(nodes.folder(member))
        .args(["--grpc", &nodes.listens[&name].to_string()])
        .output()
        .unwrap();
    match done.status.success() {
        true => Ok(answer(words, &done.stdout)),
        false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
    }
}

/// Files that go from one organisation to the next, by whatever way they choose.
struct Post(PathBuf);

impl Post {
    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Each of these members signs its own copy of a proposal.
    fn signed_by(&self, nodes: &Nodes, proposal: &str, members: &[&str]) -> Vec<String> {
        let copies = members.iter().map(|member| {
            let copy = self.path(&format!("{proposal}-{member}"));
            let from = self.path(proposal);
            let words = ["roster", "sign", "--proposal", &from, "--out", &copy];
            operator(nodes, member, &words).unwrap();
            copy
        });
        copies.collect()
    }

    /// Puts copies together at a member, and has its node take the roster.
    fn publish(&self, nodes: &Nodes, at: &str, copies: &[String]) -> Result<Roster, String> {
        let mut words = vec!["roster", "publish"];
        words.extend(copies.iter().map(String::as_str));
        operator(nodes, at, &words)?;
        let signed = SignedRoster::parse(&fs::read(&copies[0]).unwrap()).unwrap();
        Ok(signed.admitted().clone())
    }
}

/// The federation as a member's node shows it, as soon as it is as it should be.
fn settled(nodes: &Nodes, member: &str, is_settled: impl Fn(&Value) -> bool) {
    let started = Instant::now();
    loop {
        let status = operator(nodes, member, &["status"]);
        if status.as_ref().is_ok_and(&is_settled) {
            return;
        }
        assert!(started.elapsed() < SETTLED_MAX, "{status:?}");
        std::thread::sleep(POLL);
    }
}

/// Whether a member votes in the engine and has cosigned the newest state.
fn votes(status: &Value, name: &str) -> bool {
    let mut members = status["members"].as_array().unwrap().iter();
    members.any(|it| it["name"] == name && it["seat"] == "votes" && it["missing"] == false)
}

fn waits_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < SETTLED_MAX, "{what}");
        std::thread::sleep(POLL);
    }
}

/// Claims fresh slots one after the other until it is told to end; nothing may be refused, and
/// each is sent again with the same bytes until it has its receipt.
async fn write_on(
    session: Session,
    ground: Arc<Ground>,
    till: SecretKey,
    ends: Arc<AtomicBool>,
) -> Vec<Receipt> {
    let mut receipts = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        let claim = ground.claim(&till, &fresh_slots(1));
        let payload = Some((&claim.payload, &claim.salt));
        let started = Instant::now();
        loop {
            match session.home().append(&claim.entry, payload).await {
                Ok(AppendAnswer::Accepted(receipt)) => break receipts.push(receipt),
                Ok(AppendAnswer::Refused { reason, .. }) => panic!("{}", reason.code()),
                Err(error) => assert!(started.elapsed() < SETTLED_MAX, "{error}"),
            }
            tokio::time::sleep(CLAIM_PAUSE).await;
        }
        tokio::time::sleep(CLAIM_PAUSE).await;
    }
    receipts
}

/// A new organisation's key and folder, and its request.
fn join(nodes: &mut Nodes, dir: &Path, name: &str) -> String {
    let key = client::system::random().map(|seed| SecretKey::from_seed(&seed));
    let (key, file) = (key.unwrap(), dir.join(format!("{name}.key")));
    write_secret(&file, &key.to_pem().unwrap());
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listens = free.local_addr().unwrap();
    drop(free);
    let name: MemberName = name.parse().unwrap();
    nodes.keys.insert(name.clone(), key);
    nodes.listens.insert(name.clone(), listens);
    let done = Command::new(vitrail_node())
        .args(["join", "--seal", "none", "--name", name.as_str(), "--dir"])
        .arg(nodes.folder(name.as_str()))
        .arg("--roster")
        .arg(dir.join("roster.txt"))
        .arg("--key")
        .arg(&file)
        .args(["--role", "amc", "--payer-number", "33333333"])
        .args(["--grpc", &listens.to_string()])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let request = nodes.folder(name.as_str()).join("request.txt");
    request.to_str().unwrap().to_owned()
}

/// One asks to join, members sign, another publishes. Its vote waits until its node has caught up.
fn joins_and_votes(nodes: &mut Nodes, post: &Post) -> [Roster; 2] {
    let dir = nodes.folder("gamma").parent().unwrap().to_owned();
    let request = join(nodes, &dir, "gamma");
    let out = post.path("join");
    let words = ["roster", "propose", "--request", &request, "--out", &out];
    operator(nodes, "beta", &words).unwrap();
    let words = ["roster", "sign", "--proposal", &out, "--dry-run"];
    let told = operator(nodes, "cnam", &words).unwrap();
    let told = told["changes"][0].as_str().unwrap().to_owned();
    assert!(told.starts_with("gamma joins, following: amc"), "{told}");
    let refused = operator(nodes, "alpha", &words[..4]).unwrap_err();
    assert!(refused.contains("alpha has no vote"), "{refused}");
    let copies = post.signed_by(nodes, "join", &["beta", "opticians"]);
    let missing = post.publish(nodes, "cnam", &copies[..1]).unwrap_err();
    assert!(missing.contains("1 of the 2 signatures"), "{missing}");
    assert!(
        missing.contains("cnam, opticians may still sign"),
        "{missing}"
    );
    let joined = post.publish(nodes, "cnam", &copies).unwrap();

    let out = post.path("vote");
    let words = ["roster", "propose", "--vote", "gamma", "--out", &out];
    operator(nodes, "cnam", &words).unwrap();
    let copies = post.signed_by(nodes, "vote", &["cnam", "beta"]);
    let mut early = vec!["roster", "publish", "--wait", "0"];
    early.extend(copies.iter().map(String::as_str));
    let refused = operator(nodes, "beta", &early).unwrap_err();
    assert!(refused.contains("gamma cannot vote yet"), "{refused}");
    nodes.start(&"gamma".parse().unwrap(), &[]);
    let voting = post.publish(nodes, "beta", &copies).unwrap();
    assert_eq!((voting.epoch().get(), voting.quorum()), (3, 3));
    settled(nodes, "opticians", |it| votes(it, "gamma"));
    [joined, voting]
}

/// The leader leaves: another one leads, and its node says what it is and does not start again.
fn leaves(nodes: &mut Nodes, post: &Post) -> Roster {
    let out = post.path("leave");
    let refused = operator(nodes, "beta", &["leave", "--out", &out]).unwrap_err();
    assert!(refused.contains("3f + 1"), "{refused}");
    let words = ["leave", "--fewer-faults", "--out", &out];
    operator(nodes, "beta", &words).unwrap();
    let copies = post.signed_by(nodes, "leave", &["cnam", "gamma", "opticians"]);
    let left = post.publish(nodes, "gamma", &copies).unwrap();
    let is_left = r#"vitrail_store_state{state="left"}"#;
    waits_for("beta knows that it has left", || {
        nodes.node("beta").metric(is_left) == Some(1.0)
    });
    nodes.kill("beta");
    let refused = nodes.try_start(&"beta".parse().unwrap(), &[]).unwrap_err();
    assert!(refused.contains("not that of member beta"), "{refused}");
    settled(nodes, "cnam", |it| {
        ["cnam", "gamma", "opticians"]
            .iter()
            .all(|name| votes(it, name))
    });
    left
}

/// One takes a new key: its node cosigns to the last with the old one, ends, and goes on.
fn rotates(nodes: &mut Nodes, post: &Post, before: &Roster) -> Roster {
    let (out, request) = (post.path("rotate"), post.path("rotation-request"));
    let words = ["rotate", "--out", &out, "--request", &request];
    operator(nodes, "opticians", &words).unwrap();
    let copies = post.signed_by(nodes, "rotate", &["cnam", "gamma"]);
    let rotated = post.publish(nodes, "cnam", &copies).unwrap();
    let name: MemberName = "opticians".parse().unwrap();
    let key = |roster: &Roster| roster.member(&name).unwrap().public_key;
    assert_ne!(key(&rotated), key(before));
    waits_for("the node with the old key has ended", || {
        nodes.running.get_mut(&name).unwrap().ended().is_some()
    });
    started_with_its_new_key(nodes, &name, &[]);
    settled(nodes, "cnam", |it| votes(it, "opticians"));
    rotated
}

/// Another takes a new key while its node is away, and finds out when it starts.
fn rotates_while_away(nodes: &mut Nodes, post: &Post) {
    let name: MemberName = "alpha".parse().unwrap();
    nodes.kill("alpha");
    let (out, request) = (post.path("away"), post.path("away-request"));
    let words = ["rotate", "--out", &out, "--request", &request];
    operator(nodes, "alpha", &words).unwrap();
    let copies = post.signed_by(nodes, "away", &["cnam", "opticians"]);
    post.publish(nodes, "opticians", &copies).unwrap();
    let starts = started_with_its_new_key(nodes, &name, &["--learn"]);
    assert_eq!(starts, 2, "it was away when its key was replaced");
}

/// Starts a node until it goes on with its new key, and says how often. It ends once more when its
/// ledger has yet to take the roster in which that key is, as it has when the others made the quorum.
fn started_with_its_new_key(nodes: &mut Nodes, name: &MemberName, flags: &[&str]) -> u32 {
    let is_replaced = |said: &str| said.trim_end().ends_with("start the node again");
    let started = NodeProcess::once_its_port_is_free(|| nodes.try_start(name, flags));
    match started {
        Ok(node) => {
            nodes.running.insert(name.clone(), node);
            1
        }
        Err(said) if is_replaced(&said) => {
            nodes.start(name, flags);
            2
        }
        Err(said) => panic!("{name} did not start:\n{said}"),
    }
}

/// The settings of a till that was given the first roster of all, and nothing since.
fn till_of_old(dir: &Path, till: &SecretKey) -> Profile {
    let key = dir.join("till.key");
    write_secret(&key, &till.to_pem().unwrap());
    Profile::new(Settings {
        roster: Some(dir.join("roster.txt")),
        key: Some(key),
        state: Some(dir.join("till-state")),
        node: Some("beta".to_owned()),
        ..Settings::default()
    })
}

/// What the till has verified, advanced to now.
async fn advanced(profile: &Profile) -> Session {
    let session = profile.open_session().await.unwrap();
    let mut view = profile.view().unwrap();
    view.advance(&session).await.unwrap();
    session
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_joins_votes_one_leaves_and_one_takes_a_new_key_while_tills_write() {
    let dir = tempfile::tempdir().unwrap();
    let post = Post(dir.path().join("post"));
    fs::create_dir(&post.0).unwrap();
    let mut nodes = voting(dir.path(), &["cnam", "beta", "opticians"], &[]).await;
    nodes.start(&"alpha".parse().unwrap(), &["--learn"]);
    let founder = nodes.node("cnam");
    let ground = Arc::new(Ground::lay(&nodes.federation, founder).await);
    let tills = nodes.federation.grant_tills(founder, 2).await;
    let first = nodes.federation.roster.clone();
    assert_eq!((first.voting_members().count(), first.quorum()), (3, 2));
    let profile = till_of_old(dir.path(), &tills[1]);
    let session = advanced(&profile).await;
    assert_eq!(session.roster().hash(), first.hash());

    let ends = Arc::new(AtomicBool::new(false));
    let session = nodes.session("cnam", &tills[0]);
    let writing = write_on(session, ground.clone(), tills[0].clone(), ends.clone());
    let writing = tokio::spawn(writing);
    let [joined, voting] = joins_and_votes(&mut nodes, &post);
    let left = leaves(&mut nodes, &post);
    let rotated = rotates(&mut nodes, &post, &left);
    ends.store(true, Ordering::Relaxed);
    let receipts = writing.await.unwrap();

    rotates_while_away(&mut nodes, &post);

    // The newcomer and the new key carry the ledger alone, and the till goes on with them.
    let session = advanced(&profile).await;
    let now = profile.roster().unwrap();
    assert_eq!(session.roster().hash(), now.hash());
    assert_eq!(now.previous(), Some(rotated.hash()));
    nodes.kill("cnam");
    let cnam = nodes.keys[&"cnam".parse().unwrap()].clone();
    let notice = CatalogueNotice {
        hash: proto::hash::empty(),
        valid_from: client::system::now().day(),
    };
    let entry = sign(&Attestation::Catalogue(notice), &cnam, &now);
    nodes.federation.roster = now.clone();
    let gamma = nodes.session("gamma", &cnam);
    let started = Instant::now();
    let receipt = loop {
        match gamma.home().append(&entry, None).await {
            Ok(AppendAnswer::Accepted(receipt)) => break receipt,
            Ok(AppendAnswer::Refused { reason, .. }) => panic!("{}", reason.code()),
            Err(error) => assert!(started.elapsed() < SETTLED_MAX, "{error}"),
        }
    };
    receipt.verify(&now, &mut |_| {}).unwrap();

    // Whatever was promised before stays proved, by the roster of then.
    let rosters = [first, joined, voting, left, rotated];
    let by = |receipt: &Receipt, roster| receipt.verify(roster, &mut |_| {}).is_ok();
    let then: Vec<_> = receipts
        .iter()
        .map(|receipt| {
            rosters
                .iter()
                .position(|roster| by(receipt, roster))
                .unwrap()
        })
        .collect();
    assert!(then.len() > 20, "{then:?}");
    assert!(
        then.first() == Some(&0) && then.last() > Some(&1),
        "{then:?}"
    );
}
