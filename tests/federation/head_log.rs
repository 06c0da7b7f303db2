//! The head log as stock tools read it: other people's crates fetch it from a running node, verify
//! each hash and signature, and cosign it as a witness does, over restarts and over `kill -9`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::session::Session;
use client::system;
use proto::checkpoint::SignedCheckpoint;
use proto::head_log::{HeadLogLife, HeadLogOrigin};
use proto::ids::UnixSeconds;
use proto::note::NoteSignature;
use proto::signing::SecretKey;
use proto::tile::parse_bundle;
use signed_note::{Note, Signature, StandardVerifier, VerifierList, key_id};
use tests::federation::{cnam, fresh_key};
use tests::process::NodeProcess;
use tests::workload::{Ground, fresh_slots};
use tests::world::World;
use tlog_tiles::{
    Checkpoint, Error, Hash, Tile, TileHashReader, TileReader, check_record, check_tree,
    prove_record, prove_tree, record_hash,
};

/// How often the node is killed while it writes.
const KILLS: usize = 3;
const TILLS: usize = 4;
/// What takes longer hangs: a leaf follows its checkpoint within a second and a sync.
const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);
/// The type byte of a cosignature (C2SP signed-note).
const COSIGNATURE: u8 = 0x04;

/// The tiles of a node's head log, over HTTP.
struct Tiles<'a>(&'a NodeProcess);

impl TileReader for Tiles<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, Error> {
        let fetch = |tile: &Tile| {
            // Where the height stands in older paths, C2SP tlog-tiles has nothing: it is 8.
            let path = tile.path().replacen("tile/8/", "/head/tile/", 1);
            self.0.page(&path).map_err(Error::InvalidInput)
        };
        tiles.iter().map(fetch).collect()
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

/// A witness as C2SP tlog-witness has it, of stock parts: it cosigns the heads of a log whose key it
/// was given, each only as the continuation of the one before.
struct Witness {
    log: String,
    log_key: VerifierList,
    secret: SecretKey,
    seen: Option<(u64, Hash)>,
}

impl Witness {
    /// Given the verifier key of a log, whose name is its origin.
    fn of(verifier_key: &str) -> Self {
        let verifier = StandardVerifier::new(verifier_key).unwrap();
        Self {
            log: verifier_key.split('+').next().unwrap().to_owned(),
            log_key: VerifierList::new(vec![Box::new(verifier)]),
            secret: fresh_key(),
            seen: None,
        }
    }

    /// Opens a head, verifies that it continues the last one, and cosigns it.
    fn cosign(&mut self, node: &NodeProcess, head: &[u8]) -> (Checkpoint, Note) {
        let note = Note::from_bytes(head).unwrap();
        let (signatures, others) = note.verify(&self.log_key).unwrap();
        assert_eq!((signatures.len(), others.len()), (1, 0));
        let checkpoint = Checkpoint::from_bytes(note.text()).unwrap();
        assert_eq!(checkpoint.origin(), self.log);
        assert_eq!(checkpoint.extension(), "");
        self.follow(node, &checkpoint).unwrap();
        self.seen = Some((checkpoint.size(), *checkpoint.hash()));
        let cosigned = self.sign(note.text(), signatures);
        (checkpoint, cosigned)
    }

    /// Whether a head continues the last one that was seen, by a proof from the tiles.
    fn follow(&self, node: &NodeProcess, head: &Checkpoint) -> Result<(), Error> {
        let (size, root) = (head.size(), *head.hash());
        let Some((old_size, old_root)) = self.seen else {
            return Ok(());
        };
        let tiles = Tiles(node);
        let reader = TileHashReader::new(size, root, &tiles);
        let proof = prove_tree(size, old_size, &reader)?;
        check_tree(&proof, size, root, old_size, old_root)
    }

    /// A cosignature/v1 beside the log's own signature.
    fn sign(&self, text: &[u8], mut signatures: Vec<Signature>) -> Note {
        let (name, time) = ("witness.example", system::now().seconds().get());
        let message = [format!("cosignature/v1\ntime {time}\n").as_bytes(), text].concat();
        let key = [&[COSIGNATURE][..], &self.secret.public().to_bytes()].concat();
        let signed = self.secret.sign(&message);
        let signed = [&time.to_be_bytes()[..], signed.as_bytes()].concat();
        signatures.push(Signature::new(name.to_owned(), key_id(name, &key), signed).unwrap());
        Note::new(text, &signatures).unwrap()
    }
}

/// The leaves of a head, each proved to be under it.
fn proved_leaves(node: &NodeProcess, head: &Checkpoint) -> Vec<SignedCheckpoint> {
    let tiles = Tiles(node);
    let reader = TileHashReader::new(head.size(), *head.hash(), &tiles);
    let mut leaves = Vec::new();
    for first in (0..head.size()).step_by(256) {
        let path = match head.size() - first {
            256.. => format!("/head/tile/entries/{:03}", first / 256),
            width => format!("/head/tile/entries/{:03}.p/{width}", first / 256),
        };
        let bundle = node.page(&path).unwrap();
        for (index, leaf) in (first..).zip(parse_bundle(&bundle).unwrap()) {
            let proof = prove_record(head.size(), index, &reader).unwrap();
            let (size, root) = (head.size(), *head.hash());
            check_record(&proof, size, root, index, record_hash(leaf)).unwrap();
            leaves.push(SignedCheckpoint::parse(leaf).unwrap());
        }
    }
    assert_eq!(leaves.len() as u64, head.size());
    leaves
}

/// The size of the ledger at the newest leaf, by an unverified look.
fn newest(node: &NodeProcess) -> u64 {
    let head = node.page("/head/checkpoint").unwrap();
    let size = Checkpoint::from_bytes(Note::from_bytes(&head).unwrap().text())
        .unwrap()
        .size();
    let Some(last) = size.checked_sub(1) else {
        return 0;
    };
    let (bundle, width) = (last / 256, last % 256 + 1);
    let path = match width {
        256 => format!("/head/tile/entries/{bundle:03}"),
        _ => format!("/head/tile/entries/{bundle:03}.p/{width}"),
    };
    // Between the two pages the log may have grown, never shrunk.
    let bundle = node.page(&path).unwrap();
    let leaf = parse_bundle(&bundle).unwrap().pop().unwrap().to_vec();
    SignedCheckpoint::parse(&leaf).unwrap().claimed().size.get()
}

/// The size of the ledger as it is published.
fn published(node: &NodeProcess) -> u64 {
    let page = node.page("/checkpoint").unwrap();
    SignedCheckpoint::parse(&page).unwrap().claimed().size.get()
}

/// Returns once this is so.
fn until(mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "it does not come");
        std::thread::sleep(POLL);
    }
}

/// Claims fresh slots until it is told to end, or the node is gone.
async fn claim_on(over: Arc<AtomicBool>, session: Session, ground: Arc<Ground>, till: SecretKey) {
    while !over.load(Ordering::Relaxed) {
        let claim = ground.claim(&till, &fresh_slots(1));
        let payload = Some((&claim.payload, &claim.salt));
        if session.home().append(&claim.entry, payload).await.is_err() {
            return;
        }
    }
}

/// Kills the node while it writes, as far as one can see between a checkpoint and its leaf.
fn kill_while_writing(world: &mut World) -> u64 {
    let over = Arc::new(AtomicBool::new(false));
    let ground = Arc::new(world.ground.clone());
    let handle = tokio::runtime::Handle::current();
    let sessions = world.sessions();
    let claiming: Vec<_> = sessions
        .into_iter()
        .zip(world.tills.clone())
        .map(|(session, till)| handle.spawn(claim_on(over.clone(), session, ground.clone(), till)))
        .collect();
    let begun = published(&world.node);
    until(|| published(&world.node) > begun + 8 && newest(&world.node) < published(&world.node));
    let reached = published(&world.node);
    world.kill_and_restart();
    over.store(true, Ordering::Relaxed);
    tokio::task::block_in_place(|| {
        handle.block_on(async {
            for claiming in claiming {
                claiming.await.unwrap();
            }
        });
    });
    reached
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_tools_verify_the_head_log_over_restarts_and_kills() {
    let mut world = World::new(TILLS).await;
    tokio::task::block_in_place(|| until(|| newest(&world.node) == published(&world.node)));
    let page =
        |node: &NodeProcess, path: &str| String::from_utf8(node.page(path).unwrap()).unwrap();
    let verifier_key = page(&world.node, "/head/key");
    let verifier_key = verifier_key.trim_end();
    // The key in it is the roster's, the name that of the ledger, the member and one life.
    let life = verifier_key.split(['/', '+']).nth(4).unwrap();
    let life = HeadLogLife::new(u64::from_str_radix(life, 16).unwrap());
    let origin = HeadLogOrigin::new(world.federation.origin(), &cnam(), life);
    assert_eq!(
        verifier_key,
        origin.verifier_key(&world.federation.cnam.public())
    );

    let mut witness = Witness::of(verifier_key);
    let mut sizes = Vec::new();
    for round in 0..=KILLS {
        let (head, cosigned) = tokio::task::block_in_place(|| {
            let reached = match round {
                0 => published(&world.node),
                _ => kill_while_writing(&mut world),
            };
            until(|| newest(&world.node) >= reached);
            let head = world.node.page("/head/checkpoint").unwrap();
            witness.cosign(&world.node, &head)
        });
        let leaves = tokio::task::block_in_place(|| proved_leaves(&world.node, &head));
        for leaf in &leaves {
            leaf.verify(&world.federation.roster).unwrap();
        }
        // Leaves that were there once are there again, in their order, each a larger ledger.
        let now: Vec<u64> = leaves
            .iter()
            .map(|leaf| leaf.claimed().size.get())
            .collect();
        assert!(
            now.starts_with(&sizes) && now.is_sorted_by(|a, b| a < b),
            "{sizes:?} {now:?}"
        );
        sizes = now;
        assert_is_cosigned(&witness, &cosigned);
    }
    assert!(sizes.len() > KILLS, "{sizes:?}");

    // A witness that saw another history refuses this one.
    let head = world.node.page("/head/checkpoint").unwrap();
    let (head, _) = witness.cosign(&world.node, &head);
    for other in [
        (head.size() - 1, record_hash(b"another")),
        (head.size() + 1, *head.hash()),
    ] {
        witness.seen = Some(other);
        assert!(witness.follow(&world.node, &head).is_err());
    }
    assert!(world.node.page("/head/tile/0/999").is_err());
    assert!(world.node.page("/head/tile/0/0").is_err());
}

/// The witness's line is a cosignature as members give it, so what reads those reads this.
fn assert_is_cosigned(witness: &Witness, cosigned: &Note) {
    let text = String::from_utf8(cosigned.text().to_vec()).unwrap();
    let note = String::from_utf8(cosigned.to_bytes()).unwrap();
    let line = NoteSignature::parse(note.lines().last().unwrap()).unwrap();
    assert_eq!(line.verify(&text, &witness.secret.public()), Ok(()));
    assert!(line.time() > Some(UnixSeconds::new(0)));
}
