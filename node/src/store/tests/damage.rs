//! Bytes that change on disk, and ends that are missing: never a wrong root, never a panic.

use std::fs::File;

use proto::merkle::Subtrees as _;
use proto::tile::TiledLog;

use super::*;

/// A xorshift generator: the same damage in every run.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// The same database and vault, with nothing in memory yet.
fn uncached(store: &Store, folder: &Folder) -> Store {
    let inner = &store.0;
    Store(Arc::new(Inner {
        database: inner.database.another(),
        vault: Vault::open(&folder.path().join("vault")).unwrap(),
        syncs: Syncs::new(SyncMode::Skipped),
        free_space: FreeSpace::new(&folder.path(), 1),
        failed: AtomicBool::default(),
        syncing: Mutex::default(),
        progress: Mutex::default(),
        writer: Mutex::default(),
        engine: Mutex::default(),
        engine_dir: folder.path().join("vault/engine"),
        engine_segments: Mutex::default(),
        buckets: Mutex::new(Buckets::new(1000)),
        tiles: Mutex::new(Generations::new(1000)),
        entries: Mutex::new(Generations::new(1000)),
    }))
}

/// Everything read through the roots is what was committed, or an error.
fn no_wrong_answer(ledger: &Ledger, store: &Store, dice: &mut Dice) {
    let log = TiledLog::new(&ledger.edge, store);
    for _ in 0..40 {
        let at = dice.below(ledger.entries.len());
        let entry = &ledger.entries[at];
        let at = at as u64;
        if let Ok(leaf) = log.subtree(0, at) {
            assert_eq!(leaf, entry.leaf_hash());
            if let Ok(bytes) = store.entry_bytes(LeafIndex::new(at)) {
                assert!(bytes == entry.bytes() || proto::merkle::leaf(&bytes) != leaf);
            }
        }
        if let Ok(value) = ledger.crown.read(&slot(at), store) {
            assert_eq!(value, ledger.map[&slot(at)]);
        }
        let (request, answered) = answer(at, entry);
        if let Ok(found) = store.answered(&request) {
            assert_eq!(found, Some(answered));
        }
    }
}

#[test]
fn one_flipped_bit_of_any_stored_value_is_never_a_valid_answer() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    for claims in [3, 250, 450, 100] {
        ledger.claims(claims);
    }
    let database = ledger.store.0.database.sled();
    let keys: Vec<_> = database.iter().keys().map(Result::unwrap).collect();
    let of_kind = |kind: u8| keys.iter().filter(|key| key[0] == kind).collect::<Vec<_>>();
    let kinds = [b'e', b't', b'm', b'h', b'q'].map(of_kind);
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    for round in 0..500 {
        let kind = &kinds[round % kinds.len()];
        let key = kind[dice.below(kind.len())];
        let value = database.get(key).unwrap().unwrap();
        let mut flipped = value.to_vec();
        flipped[dice.below(value.len())] ^= 1 << dice.below(8);
        database.insert(key, flipped).unwrap();
        let store = uncached(&ledger.store, &folder);
        no_wrong_answer(&ledger, &store, &mut dice);
        // No root covers answers, and who may sign a head is for the caller to say.
        match key[0] {
            b'q' => assert_eq!(recovered(&store).unwrap(), Some(ledger.roots())),
            b'h' => {
                assert!(!matches!(recovered(&store), Ok(Some(roots)) if roots != ledger.roots()))
            }
            _ => assert!(recovered(&store).is_err(), "key {key:?}"),
        }
        database.insert(key, value).unwrap();
    }
    let store = uncached(&ledger.store, &folder);
    assert_eq!(recovered(&store).unwrap(), Some(ledger.roots()));
}

#[test]
fn a_lost_or_surplus_value_is_found() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    ledger.claims(600);
    let database = ledger.store.0.database.sled();
    for key in database.iter().keys().map(Result::unwrap) {
        if key[0] == b'q' {
            continue;
        }
        let value = database.remove(&key).unwrap().unwrap();
        let store = uncached(&ledger.store, &folder);
        assert!(recovered(&store).is_err(), "without {key:?}");
        database.insert(&key, value).unwrap();
    }
    let tile = keys::tile(TileId { level: 0, index: 2 }).to_vec();
    for surplus in [
        keys::chunk(38).to_vec(),
        tile,
        b"m\x01\x80".to_vec(),
        b"mx".to_vec(),
    ] {
        assert!(database.insert(&surplus, &[0, 1, 2][..]).unwrap().is_none());
        let store = uncached(&ledger.store, &folder);
        assert!(recovered(&store).is_err(), "with {surplus:?}");
        database.remove(&surplus).unwrap();
    }
}

/// A damaged copy of the data folder opens in its last state, or not at all: the database takes a
/// broken byte for its end, and an earlier state is sound in itself and still a lie.
fn opened_damaged(ledger: &Path, damage: impl FnOnce(&Path), history: &[Roots]) -> bool {
    let damaged = tempfile::tempdir().unwrap();
    copy(ledger, damaged.path());
    damage(&damaged.path().join("ledger/db"));
    let Ok(store) = Store::open(damaged.path(), OPTIONS) else {
        return false;
    };
    match recovered(&store) {
        Ok(Some(roots)) => assert_eq!(
            Some(&roots),
            history.last(),
            "acknowledged entries are gone"
        ),
        Ok(None) | Err(_) => return false,
    }
    true
}

/// A folder with commits of several sizes, and the states they made.
fn history(folder: &Folder) -> Vec<Roots> {
    let mut ledger = Ledger::new(folder.open());
    let mut history = vec![];
    for round in 0..30 {
        ledger.claims(1 + round * 3);
        history.push(ledger.roots());
    }
    history
}

fn written_length(path: &Path) -> usize {
    let bytes = std::fs::read(path).unwrap();
    bytes.iter().rposition(|byte| *byte != 0).unwrap()
}

#[test]
fn a_cut_tail_is_an_error() {
    let folder = Folder::new();
    let history = history(&folder);
    let length = written_length(&folder.path().join("ledger/db"));
    let mut dice = Dice(99);
    let mut opened = 0;
    for round in 0..40 {
        let cut = if round % 3 == 0 {
            dice.below(length)
        } else {
            length - dice.below(20_000)
        };
        opened += usize::from(opened_damaged(
            &folder.path(),
            |db| {
                let file = File::options().write(true).open(db).unwrap();
                file.set_len(cut as u64).unwrap();
            },
            &history,
        ));
    }
    assert_eq!(opened, 0, "what was cut off is missed");
}

#[test]
fn a_torn_tail_gives_the_last_state_or_an_error() {
    let folder = Folder::new();
    let history = history(&folder);
    let length = written_length(&folder.path().join("ledger/db"));
    let mut dice = Dice(7);
    for round in 0..40 {
        let reach = if round % 3 == 0 { length - 1 } else { 20_000 };
        let begin = length - dice.below(reach) - 1;
        let end = (begin + 1 + dice.below(8192)).min(length);
        let fill = u8::try_from(dice.below(2) * 0xA5).unwrap();
        opened_damaged(
            &folder.path(),
            |db| {
                let mut bytes = std::fs::read(db).unwrap();
                bytes[begin..end].fill(fill);
                std::fs::write(db, bytes).unwrap();
            },
            &history,
        );
    }
}

#[test]
fn a_flipped_bit_of_the_file_gives_the_last_state_or_an_error() {
    let folder = Folder::new();
    let history = history(&folder);
    let length = written_length(&folder.path().join("ledger/db"));
    let mut dice = Dice(31);
    for _ in 0..40 {
        let at = dice.below(length);
        opened_damaged(
            &folder.path(),
            |db| {
                let mut bytes = std::fs::read(db).unwrap();
                bytes[at] ^= 1 << dice.below(8);
                std::fs::write(db, bytes).unwrap();
            },
            &history,
        );
    }
}

#[test]
fn damage_beside_the_database_file_gives_the_same_state_or_an_error() {
    let folder = Folder::new();
    let history = history(&folder);
    // Opening once more leaves a snapshot of the page table beside the configuration.
    drop(folder.open());
    let ledger = folder.path().join("ledger");
    let mut dice = Dice(17);
    for found in std::fs::read_dir(&ledger).unwrap() {
        let name = found.unwrap().file_name();
        if name == "db" || name == "blobs" || name == "lock" {
            continue;
        }
        let length = std::fs::read(ledger.join(&name)).unwrap().len();
        for round in 0..12 {
            let at = dice.below(length);
            let damage = |db: &Path| {
                let path = db.with_file_name(&name);
                let mut bytes = std::fs::read(&path).unwrap();
                if round % 2 == 0 {
                    bytes.truncate(at);
                } else {
                    bytes[at] ^= 1 << dice.below(8);
                }
                std::fs::write(path, bytes).unwrap();
            };
            opened_damaged(&folder.path(), damage, &history);
        }
    }
}
