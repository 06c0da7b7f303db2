//! What a commit promises, and what readers see meanwhile.

use std::sync::atomic::Ordering;

use super::*;

#[test]
fn what_was_committed_is_recovered_with_equal_roots() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    for claims in [1, 15, 1, 300, 0, 223, 100] {
        ledger.claims(claims);
        let crashed = tempfile::tempdir().unwrap();
        copy(&folder.path(), crashed.path());
        let copied = Store::open(crashed.path(), OPTIONS).unwrap();
        assert_eq!(recovered(&copied).unwrap(), Some(ledger.roots()));
    }
}

#[test]
fn a_reopened_store_goes_on_where_it_was() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    for claims in [1, 7, 8, 250] {
        ledger.claims(claims);
        let Ledger {
            secret,
            edge,
            crown,
            map,
            entries,
            store,
        } = ledger;
        drop(store);
        let store = folder.open();
        let found = store.recover().unwrap().unwrap();
        assert_eq!((&found.edge, found.crown.root()), (&edge, crown.root()));
        let (edge, crown) = (found.edge, found.crown);
        ledger = Ledger {
            store,
            secret,
            edge,
            crown,
            map,
            entries,
        };
    }
    for (at, entry) in (0..).zip(&ledger.entries) {
        assert_eq!(
            ledger.store.entry_bytes(LeafIndex::new(at)).unwrap(),
            entry.bytes()
        );
        let (request, answered) = answer(at, entry);
        assert_eq!(ledger.store.answered(&request).unwrap(), Some(answered));
    }
    let beyond = ledger.store.entry_bytes(LeafIndex::new(266));
    assert!(matches!(
        beyond,
        Err(StoreError::Corrupt {
            what: Stored::Chunk(16)
        })
    ));
}

#[test]
fn nothing_is_committed_before_recover_or_out_of_place() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    ledger.claims(20);
    let edge = std::mem::take(&mut ledger.edge);
    let batch = Batch {
        claims: 1,
        ..Batch::default()
    };
    let refused = ledger.commit(&batch);
    assert!(matches!(refused, Err(StoreError::OutOfPlace { .. })));
    ledger.edge = edge;
    ledger.claims(1);
    let Ledger { store, .. } = ledger;
    drop(store);
    ledger.store = folder.open();
    assert!(matches!(
        ledger.commit(&batch),
        Err(StoreError::NotRecovered)
    ));
    let expired = ledger.store.expire_answers(moment(0), 1);
    assert!(matches!(expired, Err(StoreError::NotRecovered)));
}

#[test]
fn a_second_process_is_told_that_the_ledger_is_open() {
    let folder = Folder::new();
    let _open = folder.open();
    let second = Store::open(&folder.path(), OPTIONS);
    assert!(matches!(second, Err(StoreError::Locked)));
}

#[test]
fn after_a_failed_sync_nothing_is_committed_and_reads_go_on() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    ledger.claims(40);
    ledger
        .store
        .0
        .syncs
        .fail_next
        .store(true, Ordering::Relaxed);
    let batch = Batch {
        claims: 5,
        removed: vec![3],
        ..Batch::default()
    };
    assert!(matches!(
        ledger.commit(&batch),
        Err(StoreError::SyncFailed(_))
    ));
    for _ in 0..2 {
        assert!(matches!(ledger.commit(&batch), Err(StoreError::Poisoned)));
    }
    assert!(matches!(
        ledger.store.expire_answers(moment(9), 9),
        Err(StoreError::Poisoned)
    ));
    // What can be read now may not be durable, so recovering does not help.
    let _ = ledger.store.recover();
    assert!(matches!(ledger.commit(&batch), Err(StoreError::Poisoned)));
    // The published state is the one before, and it stays readable.
    let source = ledger.store.as_of(ledger.edge.size());
    assert_eq!(
        ledger.crown.read(&slot(3), &source).unwrap(),
        Some(state(3))
    );
    assert!(ledger.store.entry_bytes(LeafIndex::new(39)).is_ok());
}

#[test]
fn a_disk_below_the_watermark_takes_no_commit_until_it_has_room_again() {
    let folder = Folder::new();
    let watermark = StoreOptions {
        disk_watermark_bytes: u64::MAX,
        ..OPTIONS
    };
    let store = Store::open(&folder.path(), watermark).unwrap();
    let mut ledger = Ledger::new(store);
    let batch = Batch {
        claims: 1,
        ..Batch::default()
    };
    assert!(!ledger.store.has_room());
    assert!(matches!(
        ledger.commit(&batch),
        Err(StoreError::DiskFull { .. })
    ));
    let Ledger { store, .. } = ledger;
    drop(store);
    let mut ledger = Ledger::new(folder.open());
    assert!(ledger.store.has_room());
    ledger.claims(1);
}

#[test]
fn a_reader_of_an_earlier_state_reads_it_while_commits_replace_it() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    ledger.claims(100);
    let mut states = Vec::new();
    for round in 0..20 {
        states.push((ledger.edge.size(), ledger.crown.clone(), ledger.map.clone()));
        let removed = vec![round * 2, round * 2 + 1];
        ledger
            .commit(&Batch {
                claims: 10,
                removed,
                ..Batch::default()
            })
            .unwrap();
    }
    for (size, crown, map) in &states {
        let source = ledger.store.as_of(*size);
        for at in 0..300 {
            let expected = map.get(&slot(at)).copied().flatten();
            let found = crown.read(&slot(at), &source).unwrap();
            assert_eq!(found, expected, "{at} at {size}");
        }
    }
    // Without saying which state, a reader of an early one finds buckets of another.
    let (_, crown, _) = &states[0];
    assert!(crown.read(&slot(0), &ledger.store).is_err());
}

#[test]
fn answers_expire_oldest_first_and_no_more_than_asked() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    ledger.claims(30);
    let store = &ledger.store;
    let known = |at: u64| {
        let (request, _) = answer(at, &ledger.entries[usize::try_from(at).unwrap()]);
        store.answered(&request).unwrap().is_some()
    };
    assert_eq!(store.expire_answers(moment(20), 15).unwrap(), 15);
    assert!(!known(14) && known(15));
    assert_eq!(store.expire_answers(moment(20), 15).unwrap(), 5);
    assert!(!known(19) && known(20) && known(29));
    assert_eq!(recovered(store).unwrap(), Some(ledger.roots()));
}

#[test]
fn no_value_ever_becomes_a_blob() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    let large = SealingSecret::from_bytes([5; 32]);
    for round in 0..100 {
        let first = ledger.edge.size().get();
        let payload = |at: u64| {
            let salt = Salt::from_bytes([at.to_be_bytes(); 4].concat().try_into().unwrap());
            let sealed = seal(&[(&large, &[1; 2000])], &salt).unwrap();
            (LeafIndex::new(at), sealed, salt)
        };
        let payloads = (first..first + 16).map(payload).collect();
        let removed = (first.saturating_sub(20)..first.saturating_sub(16)).collect();
        let batch = Batch {
            claims: 16 + round % 2,
            payloads,
            removed,
            ..Batch::default()
        };
        ledger.commit(&batch).unwrap();
    }
    assert_eq!(recovered(&ledger.store).unwrap(), Some(ledger.roots()));
    let blobs = std::fs::read_dir(folder.path().join("ledger/blobs")).unwrap();
    assert_eq!(blobs.count(), 0);
}

#[test]
fn a_store_with_a_blob_is_refused() {
    let folder = Folder::new();
    drop(folder.open());
    std::fs::write(folder.path().join("ledger/blobs/1"), b"x").unwrap();
    assert!(Store::open(&folder.path(), OPTIONS).is_err());
}

#[test]
fn a_commit_is_two_syncs_whether_or_not_it_has_a_payload() {
    let folder = Folder::new();
    let options = StoreOptions {
        sync: SyncMode::Durable,
        ..OPTIONS
    };
    let mut ledger = Ledger::new(Store::open(&folder.path(), options).unwrap());
    ledger.claims(5);
    assert_eq!(ledger.store.syncs(), 2);
    let (payload, salt) = sealed([1; 32]);
    let payloads = vec![(LeafIndex::new(5), payload, salt)];
    ledger
        .commit(&Batch {
            claims: 1,
            payloads,
            ..Batch::default()
        })
        .unwrap();
    assert_eq!(ledger.store.syncs(), 4);
}
