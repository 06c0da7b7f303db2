//! One flipped byte in what is stored: the node refuses to start, or its answers do not verify;
//! never is a wrong one served that does.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use client::session::Session;
use node::engine::EngineId;
use node::sequencer;
use node::snapshot::Snapshot;
use node::store::{Store, StoreOptions};
use node::witness::Witness;
use proto::attestation::{Attestation, State, slot_index};
use proto::checkpoint::Checkpoint;
use proto::ids::{LeafIndex, SlotKey};
use proto::roster::Roster;
use proto::signing::SecretKey;
use tests::federation::cnam;
use tests::process::files;
use tests::workload::fresh_slots;
use tests::world::World;
use tokio::runtime::Handle;

const FLIPS: usize = 1_000;
/// Enough for two full tiles and a map of some dozen buckets.
const CLAIMS: usize = 600;
/// How many claims are asked for after each flip; all of them would test the same buckets twice.
const ASKED: usize = 12;

/// What is true of the ledger.
struct Truth {
    roster: Roster,
    key: SecretKey,
    checkpoint: Checkpoint,
    claims: Vec<(SlotKey, LeafIndex)>,
}

/// What became of a ledger with a flipped byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The store or the recovery refuses it.
    Refused,
    /// Everything is served as it was: the byte was not in use, or was repaired.
    Whole,
    /// Some answers are refused for what is stored.
    Unanswered,
}

/// One file of the ledger. The zeros at its end are room that is not used yet.
struct Stored {
    path: PathBuf,
    bytes: Vec<u8>,
    length: u64,
}

/// The files of the ledger.
fn stored(folder: &Path) -> Vec<Stored> {
    let mut found = files(folder);
    found.retain(|file| !file.ends_with("ballast"));
    let read = found.iter().map(|file| {
        let mut bytes = fs::read(file).unwrap();
        let length = bytes.len() as u64;
        bytes.truncate(
            bytes
                .iter()
                .rposition(|byte| *byte != 0)
                .map_or(0, |last| last + 1),
        );
        Stored {
            path: file.strip_prefix(folder).unwrap().to_owned(),
            bytes,
            length,
        }
    });
    read.collect()
}

/// Which bytes of which files are not zero.
fn places(ledger: &[Stored]) -> Vec<(usize, usize)> {
    let places = ledger.iter().enumerate().flat_map(|(file, stored)| {
        let used = stored
            .bytes
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte != 0);
        used.map(move |(at, _)| (file, at))
    });
    places.collect()
}

/// Writes the ledger to a folder.
fn write_all(ledger: &[Stored], to: &Path) {
    let _ = fs::remove_dir_all(to);
    for stored in ledger {
        let path = to.join(&stored.path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = File::create(path).unwrap();
        file.write_all(&stored.bytes).unwrap();
        file.set_len(stored.length).unwrap();
    }
}

/// The ledger in `scratch` with one byte of it flipped, somewhere.
fn flip_one(ledger: &[Stored], scratch: &Path, places: &[(usize, usize)], round: usize) {
    let random = u64::from_be_bytes(client::system::random().unwrap());
    let (file, at) = places[usize::try_from(random).unwrap() % places.len()];
    write_all(ledger, scratch);
    let stored = &ledger[file];
    let flipped = [stored.bytes[at] ^ (1 << (round % 8))];
    let file = File::options()
        .write(true)
        .open(scratch.join(&stored.path))
        .unwrap();
    file.write_all_at(&flipped, at as u64).unwrap();
}

fn try_out(folder: &Path, truth: &Truth, round: usize) -> Outcome {
    let options = StoreOptions {
        cache_bytes: 1 << 22,
        ..StoreOptions::default()
    };
    let Ok(store) = Store::open(folder, options) else {
        return Outcome::Refused;
    };
    let witness = Witness::new(cnam(), truth.key.clone());
    let Ok(engine) = store.begin_engine(EngineId::new(1)) else {
        return Outcome::Refused;
    };
    let Ok(sequencer) = sequencer::open(&store, witness, engine.lock, Box::new(|_| {})) else {
        return Outcome::Refused;
    };
    let outcome = ask(&sequencer.snapshot(), truth, round);
    sequencer.stop();
    outcome
}

/// Asks for claims as a client does, and believes what verifies: it must then be true.
fn ask(snapshot: &Snapshot, truth: &Truth, round: usize) -> Outcome {
    let checkpoint = snapshot.checkpoint().verify(&truth.roster).unwrap();
    // An earlier state is sound in itself; served as the newest it is a wrong answer like others.
    assert_eq!(
        checkpoint.size(),
        truth.checkpoint.size,
        "WRONG: acknowledged entries are gone"
    );
    assert_eq!(
        checkpoint.log_root(),
        truth.checkpoint.log_root,
        "WRONG: another log root"
    );
    assert_eq!(
        checkpoint.map_root(),
        truth.checkpoint.map_root,
        "WRONG: another map root"
    );
    let mut outcome = Outcome::Whole;
    for place in 0..ASKED {
        let (slot, index) = truth.claims[(round * ASKED + place) % truth.claims.len()];
        let (Ok(answer), Ok(Some(proved))) = (snapshot.slot(&slot), snapshot.prove_entry(index))
        else {
            outcome = Outcome::Unanswered;
            continue;
        };
        let Ok(value) = answer
            .map_proof
            .verify(&slot_index(&slot), checkpoint.map_root())
        else {
            outcome = Outcome::Unanswered;
            continue;
        };
        let state = value.and_then(|value| State::from_bytes(value.as_bytes()).ok());
        assert!(
            matches!(state, Some(State::Slot(state)) if state.by == index),
            "WRONG: a state that verifies and is not so"
        );
        if proved.verify(&checkpoint, &mut |_| {}).is_err() {
            outcome = Outcome::Unanswered;
            continue;
        }
        let Ok(Attestation::Claim(claim)) = Attestation::read(proved.entry.header()) else {
            panic!("WRONG: an entry that verifies and is not the claim");
        };
        assert_eq!(
            claim.slots,
            [slot],
            "WRONG: an entry that verifies and is another"
        );
    }
    outcome
}

/// Claims, and where each came to stand.
async fn claimed(world: &World, session: &Session) -> Vec<(SlotKey, LeafIndex)> {
    let mut claims = Vec::new();
    let mut in_flight = tokio::task::JoinSet::new();
    for _ in 0..CLAIMS {
        let slots = fresh_slots(1);
        let claim = world.ground.claim(&world.tills[0], &slots);
        let session = session.clone();
        in_flight.spawn(async move {
            let payload = Some((&claim.payload, &claim.salt));
            let answer = session.home().append(&claim.entry, payload).await.unwrap();
            let proto::wire::AppendAnswer::Accepted(receipt) = answer else {
                panic!("refused")
            };
            (slots[0], receipt.proved.index)
        });
    }
    while let Some(one) = in_flight.join_next().await {
        claims.push(one.unwrap());
    }
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_flipped_bytes_give_no_wrong_answer() {
    let mut world = World::new(1).await;
    let session = world.sessions().remove(0);
    let claims = claimed(&world, &session).await;
    let checkpoint = session.home().checkpoint().await.unwrap().claimed().clone();
    assert!(world.node.terminate().success());
    let data = world.federation.node_dir().join("data");
    let truth = Truth {
        roster: world.federation.roster.clone(),
        key: world.federation.cnam.clone(),
        checkpoint,
        claims,
    };

    let scratch = world.folder.path().join("flipped");
    let ledger = stored(&data);
    write_all(&ledger, &scratch);
    assert_eq!(
        try_out(&scratch, &truth, 0),
        Outcome::Whole,
        "without a flip all is well"
    );

    let places = places(&ledger);
    let next = AtomicUsize::new(0);
    let flip = |worker: usize| {
        let scratch = world.folder.path().join(format!("flipped-{worker}"));
        let mut outcomes = Vec::new();
        loop {
            let round = next.fetch_add(1, Ordering::Relaxed);
            if round >= FLIPS {
                return outcomes;
            }
            flip_one(&ledger, &scratch, &places, round);
            outcomes.push(try_out(&scratch, &truth, round));
        }
    };
    let flip = &flip;
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|worker| {
                let runtime = Handle::current();
                scope.spawn(move || {
                    let _entered = runtime.enter();
                    flip(worker)
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    });
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    for outcome in outcomes {
        *counts.entry(outcome).or_default() += 1;
    }
    println!(
        "{FLIPS} flips in {} bytes in use, 0 wrong answers: {counts:?}",
        places.len()
    );
    assert!(
        counts.get(&Outcome::Refused) > Some(&0),
        "no flip was noticed"
    );
}
