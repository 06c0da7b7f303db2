//! Claims that a till could not send: wherever it or the node stops, each enters the ledger exactly
//! once, or is refused with its reason and proof.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use client::files::FileError;
use client::issue::Issued;
use client::pos::Draft;
use client::queue::{Queue, SendError};
use client::session::Session;
use client::system;
use proto::attestation::Attestation;
use proto::entry::Entry;
use proto::ids::{LeafIndex, RequestId, SlotKey, UnixMillis};
use proto::receipt::ReceiptFile;
use proto::refusal::Reason;
use proto::signing::SecretKey;
use serde_json::Value;
use tests::binary::vitrail;
use tests::federation::accepted;
use tests::process::write_secret;
use tests::workload::fresh_slots;
use tests::world::World;

/// Rounds in which the till's program is killed: each at another moment of its work.
const KILLS: u64 = 12;
/// Longest time after which it is killed, in milliseconds: about what a whole claim takes here.
const KILL_WITHIN_MS: u64 = 120;

/// A claim that a till of this world made ready.
fn draft(world: &World, slots: &[SlotKey]) -> Draft {
    let prepared = world.ground.claim(&world.tills[0], slots);
    let Ok(Attestation::Claim(claim)) = Attestation::read(prepared.entry.header()) else {
        panic!("a claim was made");
    };
    Draft {
        made_at: system::now(),
        claim,
        payload: prepared.payload,
        salt: prepared.salt,
    }
}

/// What the ledger has of a draft: the indexes of its claims.
async fn entered(session: &Session, draft: &Draft) -> Vec<LeafIndex> {
    let size = session.home().checkpoint().await.unwrap().claimed().size;
    let mut found = Vec::new();
    for place in 0..size.get() {
        let index = LeafIndex::new(place);
        let entry = session.verified_entry(index).await.unwrap();
        if entry.header().commitment == Some(draft.claim.commitment) {
            found.push(index);
        }
    }
    found
}

/// Writes an attempt into the file of a queued claim, as the till has it right before it sends.
fn note_attempt(folder: &Path, name: &str, entry: &Entry) {
    let path = folder.join(name).with_extension("claim");
    let mut text = fs::read_to_string(&path).unwrap();
    let entry = BASE64_STANDARD.encode(entry.bytes());
    text.push_str(&format!("after 1\nattempt {entry}\n"));
    fs::write(&path, text).unwrap();
}

fn keep_nothing(_: &Issued) -> Result<Option<PathBuf>, FileError> {
    Ok(None)
}

/// Sends a claim that is expected to get in, and says where.
async fn send(queue: &Queue, session: &Session, name: &str) -> LeafIndex {
    let sent = queue.send(session, name, keep_nothing).await.unwrap();
    accepted(&sent.unwrap().issued)
}

/// The draft, signed by this key at this moment.
fn signed(world: &World, draft: &Draft, key: &SecretKey, at: UnixMillis) -> Entry {
    let id = RequestId::new(at, system::random().unwrap());
    let header = Attestation::Claim(draft.claim.clone()).header(key.public(), id);
    let entry = Entry::sign(&header, world.federation.origin(), key);
    entry.unwrap().into_entry()
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_a_till_stopped_its_claim_gets_in_once() {
    let mut world = World::new(2).await;
    let folder = world.folder.path().join("queue");
    let queue = Queue::open(&folder).unwrap();
    let add = |draft: &Draft| queue.add(draft.clone(), system::now()).unwrap();
    let fresh = draft(&world, &fresh_slots(2));
    let [unsent, lost, old, moved, gone] = [0; 5].map(|_| draft(&world, &fresh_slots(2)));
    let names = [&unsent, &lost, &old, &moved, &gone].map(add);
    let session = world.sessions().remove(0);
    let now = system::now();
    let minutes_ago = |minutes: u64| UnixMillis::new(now.get() - minutes * 60_000);

    // Nothing was sent: the attempt was noted, and the till stopped.
    let attempt = signed(&world, &unsent, &world.tills[0], now);
    note_attempt(&folder, &names[0], &attempt);
    // It was sent and got in; the answer was lost, and the node was killed after that.
    let attempt = signed(&world, &lost, &world.tills[0], now);
    note_attempt(&folder, &names[1], &attempt);
    let issued = session.append(&attempt, Some((&lost.payload, &lost.salt)));
    let lost_at = accepted(&issued.await.unwrap());
    // Its payer has released it since: a second signature would reserve the slots once more.
    let payer = &world.federation.amcs[0];
    let payer = world.federation.session(&world.node, payer);
    let released = client::pos::release(&payer, lost_at, &[]).await;
    accepted(&released.unwrap());
    // It was noted long ago and never sent: its signature is too old.
    let attempt = signed(&world, &old, &world.tills[0], minutes_ago(3));
    note_attempt(&folder, &names[2], &attempt);
    // The till has another key now. Under the earlier one it got in, and the answer was lost.
    let attempt = signed(&world, &moved, &world.tills[1], now);
    note_attempt(&folder, &names[3], &attempt);
    let issued = world.sessions()[1].clone();
    let issued = issued.append(&attempt, Some((&moved.payload, &moved.salt)));
    let issued = issued.await;
    let moved_at = accepted(&issued.unwrap());
    // The till has another key, and under the earlier one nothing was sent.
    let attempt = signed(&world, &gone, &world.tills[1], minutes_ago(10));
    note_attempt(&folder, &names[4], &attempt);

    world.kill_and_restart();
    let session = world.sessions().remove(0);
    let name = add(&fresh);
    send(&queue, &session, &name).await;
    for name in [&names[0], &names[2], &names[4]] {
        send(&queue, &session, name).await;
    }
    assert_eq!(send(&queue, &session, &names[1]).await, lost_at);
    assert_eq!(send(&queue, &session, &names[3]).await, moved_at);
    assert!(queue.list().unwrap().is_empty());
    for draft in [&fresh, &unsent, &lost, &old, &moved, &gone] {
        assert_eq!(entered(&session, draft).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_may_still_come_is_not_signed_anew() {
    let world = World::new(2).await;
    let folder = world.folder.path().join("queue");
    let queue = Queue::open(&folder).unwrap();
    let draft = draft(&world, &fresh_slots(1));
    let name = queue.add(draft.clone(), system::now()).unwrap();
    // Signed a moment ago by a key that this till no longer has, and not in the log yet.
    let attempt = signed(&world, &draft, &world.tills[1], system::now());
    note_attempt(&folder, &name, &attempt);
    let session = world.sessions().remove(0);
    let waits = queue.send(&session, &name, keep_nothing).await;
    assert!(matches!(waits, Err(SendError::OnItsWay { .. })));
    assert!(entered(&session, &draft).await.is_empty());
    assert!(queue.read(&name).unwrap().attempt.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tills_queue_one_slot_and_one_of_them_is_refused_with_proof() {
    let world = World::new(2).await;
    let slots = fresh_slots(1);
    let sessions = world.sessions();
    let mut outcomes = Vec::new();
    for (till, session) in sessions.iter().enumerate() {
        let queue = Queue::open(&world.folder.path().join(format!("queue-{till}"))).unwrap();
        let draft = draft(&world, &slots);
        let name = queue.add(draft, system::now()).unwrap();
        let sent = queue.send(session, &name, keep_nothing).await;
        outcomes.push((queue, name, sent.unwrap().unwrap().issued));
    }
    let first = accepted(&outcomes[0].2);
    let (queue, name, Issued::Refused(refused)) = &outcomes[1] else {
        panic!("one slot was claimed twice");
    };
    assert_eq!(refused.reason, Reason::SlotReserved);
    let evidence = refused.evidence.as_ref().unwrap();
    let verified = evidence.verify(sessions[1].roster(), &mut |_| {});
    assert_eq!(verified.unwrap().state.by, first);
    // The shop finds it in its queue until it says that it has seen it.
    let listed = queue.list().unwrap();
    assert_eq!(listed[0].refused, Some(Reason::SlotReserved));
    let again = queue.send(&sessions[1], name, keep_nothing).await;
    assert!(again.unwrap().is_none());
    queue.forget(name).unwrap();
    assert!(queue.list().unwrap().is_empty());
}

/// The till's programs, in a folder of its own.
struct Till<'a> {
    world: &'a World,
    folder: PathBuf,
}

impl<'a> Till<'a> {
    fn new(world: &'a World) -> Self {
        let folder = world.folder.path().join("till");
        fs::create_dir_all(&folder).unwrap();
        let roster = world.federation.node_dir().join("roster.txt");
        fs::copy(roster, folder.join("roster.txt")).unwrap();
        write_secret(&folder.join("key.pem"), &world.tills[0].to_pem().unwrap());
        Self { world, folder }
    }

    fn command(&self, words: &[&str]) -> Command {
        let address = self.world.node.addresses.grpc;
        let mut command = vitrail();
        command
            .args(words)
            .args(["-o", "json", "--queue", "waiting"])
            .args(["--address", &format!("cnam={address}")])
            .stdin(Stdio::null())
            .current_dir(&self.folder);
        command
    }

    fn answer(&self, words: &[&str]) -> (i32, Value) {
        let run = self.command(words).output().unwrap();
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        let answer = serde_json::from_slice(&run.stdout);
        (run.status.code().unwrap(), answer.expect(&said))
    }

    fn start(&self, words: &[&str]) -> Child {
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_waits_while_the_node_is_down_and_is_sent_when_it_is_up() {
    let mut world = World::new(1).await;
    let draft = draft(&world, &fresh_slots(3));
    let till = Till::new(&world);
    draft.keep(&till.folder.join("quote")).unwrap();
    let folder = till.folder.clone();
    world.node.kill();
    let claim = ["claim", "--quote", "quote"];
    let (code, queued) = Till::new(&world).answer(&claim);
    // 2: it is not known what becomes of it. 0 would say that the slots are reserved.
    assert_eq!((code, &queued["claim"]["outcome"]), (2, &"queued".into()));
    let (code, send) = Till::new(&world).answer(&["queue", "send"]);
    assert_eq!((code, &send["waiting"]), (2, &1.into()));

    world.node = world.federation.start(&[]);
    let till = Till::new(&world);
    let (code, send) = till.answer(&["queue", "send"]);
    assert_eq!((code, &send["waiting"]), (0, &0.into()), "{send}");
    assert_eq!(send["sent"][0]["claim"]["outcome"], "accepted");
    let receipt = folder.join(send["sent"][0]["claim"]["receipt"].as_str().unwrap());
    let text = fs::read_to_string(receipt).unwrap();
    ReceiptFile::verify(&text, &world.federation.roster, &mut |_| {}).unwrap();
    // Claimed once more from the kept quote, it is the same claim.
    let (code, again) = till.answer(&claim);
    assert_eq!((code, &again["claim"]["outcome"]), (0, &"accepted".into()));
    assert_eq!(entered(&world.sessions()[0], &draft).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_that_is_killed_at_any_moment_claims_once() {
    let mut world = World::new(1).await;
    let mut drafts = Vec::new();
    for round in 0..KILLS {
        let draft = draft(&world, &fresh_slots(1));
        let till = Till::new(&world);
        draft.keep(&till.folder.join("quote")).unwrap();
        drafts.push(draft);
        let mut claim = till.start(&["claim", "--quote", "quote"]);
        let wait = Duration::from_millis(round * KILL_WITHIN_MS / KILLS);
        tokio::time::sleep(wait).await;
        claim.kill().unwrap();
        claim.wait().unwrap();
        // The shop tries again: whatever the first one came to, it is the same claim.
        let _ = till.answer(&["claim", "--quote", "quote"]);
        if round % 4 == 3 {
            let mut send = till.start(&["queue", "send"]);
            world.node.kill();
            send.wait().unwrap();
            world.node = world.federation.start(&[]);
        }
    }
    let (code, sent) = Till::new(&world).answer(&["queue", "send"]);
    assert_eq!((code, &sent["waiting"]), (0, &0.into()), "{sent}");
    let session = world.sessions().remove(0);
    for draft in &drafts {
        assert_eq!(entered(&session, draft).await.len(), 1);
    }
}
