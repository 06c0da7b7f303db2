use std::path::Path;

use proto::merkle::TreeHasher as _;
use proto::tile::parse_bundle;

use super::*;
use crate::engine::EngineId;
use crate::store::{SignedLock, StoreOptions, SyncMode};

/// Enough leaves for two full tiles of the lowest level and some more.
const LEAVES: u64 = 600;

fn store(dir: &Path, disk_watermark_bytes: u64) -> Store {
    let options = StoreOptions {
        sync: SyncMode::Skipped,
        cache_bytes: 8 << 20,
        disk_watermark_bytes,
    };
    Store::open(dir, options).unwrap()
}

fn open(store: &Store) -> HeadLog {
    let secret = SecretKey::from_seed(&[3; 32]);
    let ledger = "vitrail.test/optique".parse().unwrap();
    HeadLog::open(store.clone(), &ledger, &"alpha".parse().unwrap(), secret).unwrap()
}

/// What stands for a signed checkpoint of this size.
fn leaf(size: u64) -> String {
    format!("vitrail.test/optique\n{size}\n")
}

fn append(log: &HeadLog, sizes: impl IntoIterator<Item = u64>) {
    for size in sizes {
        log.append(&leaf(size), TreeSize::new(size)).unwrap();
    }
}

/// RFC 6962, 2.1, word for word.
fn slow_root(leaves: &[String]) -> Hash {
    match leaves {
        [] => Sha256::empty(),
        [one] => Sha256::leaf(one.as_bytes()),
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Sha256::pair(&slow_root(left), &slow_root(right))
        }
    }
}

fn assert_is_over(log: &HeadLog, leaves: &[String]) {
    let note = log.checkpoint();
    let mut lines = note.lines().skip(1);
    assert_eq!(lines.next().unwrap(), leaves.len().to_string());
    assert_eq!(lines.next().unwrap(), slow_root(leaves).to_base64());
    assert_eq!(lines.next(), Some(""));
}

fn tile(log: &HeadLog, path: &str) -> Option<Vec<u8>> {
    log.tile(&path.parse().unwrap()).unwrap()
}

#[test]
fn a_head_log_goes_on_where_it_was_and_serves_every_leaf() {
    let dir = tempfile::tempdir().unwrap();
    let mut leaves = Vec::new();
    let mut origin = None;
    for part in [0..1, 1..255, 255..256, 256..300, 300..LEAVES] {
        let store = store(dir.path(), 1);
        let log = open(&store);
        assert_is_over(&log, &leaves);
        let sizes = part.map(|place| 10 * place + 1);
        leaves.extend(sizes.clone().map(leaf));
        append(&log, sizes);
        assert_is_over(&log, &leaves);
        // What was shown once is shown again after a restart, under the same name.
        let note = log.checkpoint();
        assert_eq!(open(&store).checkpoint(), note);
        let first = note.lines().next().unwrap().to_owned();
        assert_eq!(*origin.get_or_insert(first.clone()), first);
    }
    let store = store(dir.path(), 1);
    let log = open(&store);
    let bundles = [
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/88",
    ];
    let served: Vec<String> = bundles
        .iter()
        .flat_map(|path| {
            let bundle = tile(&log, path).unwrap();
            let leaves = parse_bundle(&bundle).unwrap().into_iter();
            leaves
                .map(|leaf| String::from_utf8(leaf.to_vec()).unwrap())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(served, leaves);
    for (path, bytes) in [
        ("tile/0/001", 8192),
        ("tile/0/000.p/7", 224),
        ("tile/1/000.p/2", 64),
    ] {
        assert_eq!(
            tile(&log, path).map(|tile| tile.len()),
            Some(bytes),
            "{path}"
        );
    }
    for path in [
        "tile/0/003",
        "tile/0/002.p/89",
        "tile/2/000.p/1",
        "tile/entries/002.p/89",
    ] {
        assert_eq!(tile(&log, path), None, "{path}");
    }
}

#[test]
fn a_checkpoint_that_is_not_larger_is_no_leaf() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&store(dir.path(), 1));
    append(&log, [5, 5, 4, 6]);
    assert_is_over(&log, &[leaf(5), leaf(6)]);
    assert_eq!(log.newest(), TreeSize::new(6));
}

#[test]
fn what_is_stored_and_does_not_fit_begins_another_life() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), 1);
    let log = open(&store);
    append(&log, [1, 2, 3]);
    let before = log.checkpoint();
    let state = store.head_log().unwrap().unwrap();
    // The last leaf is another one: it is neither served nor gone on with.
    store.append_head_log(b"spoiled", &[], &state).unwrap();
    assert!(log.tile(&"tile/entries/000.p/3".parse().unwrap()).is_err());
    let log = open(&store);
    assert_is_over(&log, &[]);
    let origin = |note: &str| note.lines().next().unwrap().to_owned();
    assert_ne!(origin(&log.checkpoint()), origin(&before));
    assert!(store.head_log_leaf(LeafIndex::new(0)).is_err());
    append(&log, [4]);
    assert_is_over(&open(&store), &[leaf(4)]);
}

#[test]
fn a_head_log_that_lost_its_newest_leaf_is_not_gone_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), 1);
    let log = open(&store);
    append(&log, [1]);
    let one = store.head_log().unwrap().unwrap();
    append(&log, [2]);
    let mark = dir.path().join("vault/head-log");
    let of_two = std::fs::read(&mark).unwrap();
    // The database has the state of one leaf again, as after a broken byte.
    store
        .append_head_log(leaf(1).as_bytes(), &[], &one)
        .unwrap();
    assert_is_over(&open(&store), &[leaf(1)]);
    std::fs::write(&mark, of_two).unwrap();
    assert_is_over(&open(&store), &[]);
}

#[test]
fn a_folder_that_had_forgotten_what_it_signed_has_another_head_log() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path(), 1);
    append(&open(&store), [1, 2]);
    store.begin_engine(EngineId::new(1)).unwrap();
    assert!(store.head_log().unwrap().is_some());
    let lock = SignedLock {
        size: TreeSize::new(9),
        log_root: Hash::from_bytes([1; 32]),
        map_root: Hash::from_bytes([2; 32]),
    };
    store.begin_engine_anew(EngineId::new(2), &lock).unwrap();
    assert!(store.head_log().unwrap().is_none());
    assert_is_over(&open(&store), &[]);
}

#[test]
fn a_leaf_that_is_not_durable_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    append(&open(&store(dir.path(), 1)), [1, 2]);
    let log = open(&store(dir.path(), u64::MAX));
    let full = log.append(&leaf(3), TreeSize::new(3));
    let is_full = matches!(full, Err(HeadLogError::Store(StoreError::DiskFull { .. })));
    assert!(is_full, "{full:?}");
    assert_is_over(&log, &[leaf(1), leaf(2)]);
}
