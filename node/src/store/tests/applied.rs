//! Batches that are applied before they are durable: what readers see, and what a crash leaves.

use std::sync::atomic::{AtomicBool, Ordering};

use super::engine::{ID, applied, batches, place};
use super::*;
use crate::store::commit::WAITING_MAX;

/// A batch that the engine's log has: its first so many records.
fn logged(claims: u64, records: u64) -> Batch {
    Batch {
        claims,
        applied: Some(applied(records)),
        is_logged: true,
        ..Batch::default()
    }
}

/// What a store would find in this folder after a crash.
fn after_a_crash(folder: &Folder) -> (Option<Roots>, Option<crate::engine::Applied>) {
    let crashed = tempfile::tempdir().unwrap();
    copy(&folder.path(), crashed.path());
    let store = Store::open(crashed.path(), OPTIONS).unwrap();
    (recovered(&store).unwrap(), store.applied().unwrap())
}

#[test]
fn what_is_applied_is_read_at_once_and_durable_after_the_next_sync() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    ledger.claims(40);
    let before = ledger.roots();
    for (claims, records) in [(1, 1), (30, 2), (0, 3), (300, 4)] {
        ledger.commit(&logged(claims, records)).unwrap();
    }
    assert_eq!(after_a_crash(&folder), (Some(before), None));
    for (at, entry) in (0..).zip(&ledger.entries) {
        let index = LeafIndex::new(at);
        assert_eq!(ledger.store.entry_bytes(index).unwrap(), entry.bytes());
        let (request, answered) = answer(at, entry);
        assert_eq!(ledger.store.answered(&request).unwrap(), Some(answered));
        let found = ledger.crown.read(&slot(at), &ledger.store).unwrap();
        assert_eq!(found, Some(state(at)));
    }
    assert_eq!(recovered(&ledger.store).unwrap(), Some(ledger.roots()));
    ledger.store.sync().unwrap();
    let after = (Some(ledger.roots()), Some(applied(4)));
    assert_eq!(after_a_crash(&folder), after);
    let syncs = ledger.store.syncs();
    ledger.store.sync().unwrap();
    assert_eq!(ledger.store.syncs(), syncs, "nothing was left to sync");
}

#[test]
fn batches_that_are_not_durable_are_only_so_many() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    for record in 0..WAITING_MAX + 10 {
        ledger.commit(&logged(1, record)).unwrap();
    }
    let (found, place) = after_a_crash(&folder);
    assert_eq!(found.map(|found| found.0.get()), Some(WAITING_MAX));
    assert_eq!(place, Some(applied(WAITING_MAX - 1)));
}

#[test]
fn a_batch_that_erases_is_durable_at_once() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    let (payload, salt) = sealed([1; 32]);
    let with_payload = Batch {
        payloads: vec![(LeafIndex::new(0), payload, salt)],
        ..logged(1, 1)
    };
    ledger.commit(&with_payload).unwrap();
    assert!(ledger.store.payload(LeafIndex::new(0)).unwrap().is_some());
    let erasing = Batch {
        erased: vec![LeafIndex::new(0)],
        ..logged(1, 2)
    };
    ledger.commit(&erasing).unwrap();
    assert!(ledger.store.payload(LeafIndex::new(0)).unwrap().is_none());
    let after = (Some(ledger.roots()), Some(applied(2)));
    assert_eq!(after_a_crash(&folder), after);
}

#[test]
fn records_are_purged_only_once_the_ledger_has_them_on_the_disk() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    ledger.store.begin_engine(ID).unwrap();
    ledger.store.append_records(&batches(1, 0..9)).unwrap();
    ledger.commit(&logged(3, 3)).unwrap();
    let durable = ledger.roots();
    ledger.store.sync().unwrap();
    ledger.commit(&logged(4, 7)).unwrap();
    ledger.store.purge_records(place(1, 3)).unwrap();
    assert_eq!(after_a_crash(&folder), (Some(durable), Some(applied(3))));
    ledger.store.purge_records(place(1, 4)).unwrap();
    let after = (Some(ledger.roots()), Some(applied(7)));
    assert_eq!(after_a_crash(&folder), after);
}

#[test]
fn after_a_sync_that_failed_nothing_is_applied_and_reads_go_on() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    ledger.claims(5);
    ledger.commit(&logged(20, 1)).unwrap();
    let fail_next = &ledger.store.0.syncs.fail_next;
    fail_next.store(true, Ordering::Relaxed);
    let failed = ledger.store.sync();
    assert!(matches!(failed, Err(StoreError::SyncFailed(_))));
    let refused = ledger.commit(&logged(1, 2));
    assert!(matches!(refused, Err(StoreError::Poisoned)));
    assert!(matches!(ledger.store.sync(), Err(StoreError::Poisoned)));
    for at in 0..25 {
        let found = ledger.crown.read(&slot(at), &ledger.store).unwrap();
        assert_eq!(found, Some(state(at)));
        assert!(ledger.store.entry_bytes(LeafIndex::new(at)).is_ok());
    }
}

#[test]
fn readers_find_every_batch_while_others_are_written() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    ledger.claims(1);
    let store = ledger.store.clone();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(Ordering::Relaxed) {
                store.sync().unwrap();
            }
        });
        for record in 1..200 {
            ledger.commit(&logged(7, record)).unwrap();
            let newest = ledger.entries.len().saturating_sub(40);
            for (at, entry) in (0..).zip(&ledger.entries).skip(newest) {
                let index = LeafIndex::new(at);
                assert_eq!(ledger.store.entry_bytes(index).unwrap(), entry.bytes());
                let (request, answered) = answer(at, entry);
                assert_eq!(ledger.store.answered(&request).unwrap(), Some(answered));
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
    store.sync().unwrap();
    let after = (Some(ledger.roots()), Some(applied(199)));
    assert_eq!(after_a_crash(&folder), after);
}
