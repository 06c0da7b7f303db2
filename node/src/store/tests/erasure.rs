//! An erased salt is nowhere, whenever the crash comes.

use std::sync::atomic::Ordering;

use super::*;

const SALT: [u8; 32] = *b"a salt that is to be found again";
const OTHER_SALT: [u8; 32] = *b"another salt that is to be found";

/// Whether the bytes are anywhere in the files of a folder.
pub(super) fn contains(dir: &Path, bytes: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().any(|found| {
        let found = found.unwrap();
        if found.file_type().unwrap().is_dir() {
            return contains(&found.path(), bytes);
        }
        let content = std::fs::read(found.path()).unwrap();
        content.windows(bytes.len()).any(|window| window == bytes)
    })
}

fn with_two_payloads(folder: &Folder) -> Ledger {
    let mut ledger = Ledger::new(folder.open());
    let payloads = [(3, SALT), (4, OTHER_SALT)].map(|(at, salt)| {
        let (payload, salt) = sealed(salt);
        (LeafIndex::new(at), payload, salt)
    });
    ledger
        .commit(&Batch {
            claims: 10,
            payloads: payloads.into(),
            ..Batch::default()
        })
        .unwrap();
    ledger
}

fn erase(at: u64) -> Batch {
    Batch {
        claims: 1,
        erased: vec![LeafIndex::new(at)],
        ..Batch::default()
    }
}

#[test]
fn a_payload_reads_back_with_its_salt() {
    let folder = Folder::new();
    let ledger = with_two_payloads(&folder);
    let (payload, salt) = ledger.store.payload(LeafIndex::new(3)).unwrap().unwrap();
    assert!(salt == Salt::from_bytes(SALT));
    assert_eq!(payload.commitment(&salt), sealed(SALT).0.commitment(&salt));
    assert!(ledger.store.payload(LeafIndex::new(5)).unwrap().is_none());
}

#[test]
fn an_erased_salt_is_nowhere_in_the_data_folder() {
    let folder = Folder::new();
    let mut ledger = with_two_payloads(&folder);
    assert!(
        contains(&folder.path(), &SALT),
        "the search finds what is there"
    );
    ledger.commit(&erase(3)).unwrap();
    assert!(!contains(&folder.path(), &SALT));
    assert!(contains(&folder.path(), &OTHER_SALT));
    assert!(ledger.store.payload(LeafIndex::new(3)).unwrap().is_none());
    assert!(ledger.store.payload(LeafIndex::new(4)).unwrap().is_some());
    assert_eq!(recovered(&ledger.store).unwrap(), Some(ledger.roots()));
}

#[test]
fn a_payload_that_its_own_batch_erases_is_never_written() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    let (payload, salt) = sealed(SALT);
    let payloads = vec![(LeafIndex::new(0), payload, salt)];
    ledger
        .commit(&Batch {
            payloads,
            ..erase(0)
        })
        .unwrap();
    assert!(!contains(&folder.path(), &SALT));
    assert!(ledger.store.payload(LeafIndex::new(0)).unwrap().is_none());
}

#[test]
fn an_erasure_that_a_crash_interrupts_is_carried_out_at_the_next_start() {
    let folder = Folder::new();
    let mut ledger = with_two_payloads(&folder);
    ledger.commit(&erase(3)).unwrap();
    // As if the power had gone between the commit and the overwriting of the salt.
    ledger
        .store
        .0
        .vault
        .write(
            LeafIndex::new(3),
            TreeSize::new(4),
            [(LeafIndex::new(3), &Salt::from_bytes(SALT))].into_iter(),
        )
        .unwrap();
    let crashed = tempfile::tempdir().unwrap();
    copy(&folder.path(), crashed.path());
    assert!(contains(crashed.path(), &SALT));
    let store = Store::open(crashed.path(), OPTIONS).unwrap();
    assert_eq!(recovered(&store).unwrap(), Some(ledger.roots()));
    assert!(!contains(crashed.path(), &SALT));
}

#[test]
fn the_mark_of_an_erasure_goes_with_the_next_commit() {
    let folder = Folder::new();
    let mut ledger = with_two_payloads(&folder);
    let marks = |ledger: &Ledger| ledger.store.0.database.scan(keys::ERASURES).count();
    ledger.commit(&erase(3)).unwrap();
    assert_eq!(marks(&ledger), 1);
    ledger.commit(&erase(4)).unwrap();
    assert_eq!(marks(&ledger), 1);
    ledger.claims(1);
    assert_eq!(marks(&ledger), 0);
}

#[test]
fn an_entry_whose_salt_was_not_synced_is_not_committed() {
    let folder = Folder::new();
    let mut ledger = with_two_payloads(&folder);
    ledger
        .store
        .0
        .syncs
        .fail_next
        .store(true, Ordering::Relaxed);
    let (payload, salt) = sealed(SALT);
    let payloads = vec![(LeafIndex::new(10), payload, salt)];
    let refused = ledger.commit(&Batch {
        claims: 1,
        payloads,
        ..Batch::default()
    });
    assert!(matches!(refused, Err(StoreError::SyncFailed(_))));
    assert_eq!(recovered(&ledger.store).unwrap(), Some(ledger.roots()));
}

#[test]
fn the_salts_of_a_batch_that_got_no_place_go_with_the_next() {
    const LOST: [u8; 32] = *b"a salt of a batch without place.";
    let folder = Folder::new();
    let mut ledger = with_two_payloads(&folder);
    let (payload, salt) = sealed(LOST);
    let next = ledger.edge.size().next_index();
    let payloads = [(next, &payload, &salt)];
    let lost = Salts {
        payloads: &payloads,
        ..ledger.next_salts(1)
    };
    ledger.store.write_ahead(&lost).unwrap();
    assert!(contains(&folder.path(), &LOST));
    ledger.claims(2);
    assert!(!contains(&folder.path(), &LOST));
}

#[test]
fn what_is_written_ahead_is_synced_once() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    let before = ledger.store.syncs();
    ledger.claims(3);
    assert_eq!(ledger.store.syncs() - before, 2);
    let salts = ledger.next_salts(2);
    for _ in 0..2 {
        ledger.store.write_ahead(&salts).unwrap();
        assert_eq!(ledger.store.syncs() - before, 3);
    }
    ledger.claims(2);
    assert_eq!(ledger.store.syncs() - before, 4);
    assert_eq!(recovered(&ledger.store).unwrap(), Some(ledger.roots()));
}

#[test]
fn a_node_that_wrote_ahead_and_lost_power_opens_without_the_batch() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    ledger.claims(3);
    let salts = ledger.next_salts(2);
    ledger.store.write_ahead(&salts).unwrap();
    let crashed = tempfile::tempdir().unwrap();
    copy(&folder.path(), crashed.path());
    let store = Store::open(crashed.path(), OPTIONS).unwrap();
    assert_eq!(recovered(&store).unwrap(), Some(ledger.roots()));
}
