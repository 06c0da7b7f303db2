//! What the engine keeps: every crash leaves what was reported, every damage is found.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::*;
use crate::engine::{
    Applied, CommittedLeaderId, EngineId, Entry, LogId, Membership, Payload, Record,
    StoredMembership, Vote,
};

pub(super) const ID: EngineId = EngineId::new(7);

pub(super) fn place(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term), index)
}

/// Batches whose bytes say where they are; every third is long.
pub(super) fn batches(term: u64, indexes: std::ops::Range<u64>) -> Vec<Entry> {
    let entry = |index: u64| {
        let length = if index.is_multiple_of(3) { 70_000 } else { 600 };
        let bytes = [term.to_be_bytes(), index.to_be_bytes()].concat();
        Entry {
            log_id: place(term, index),
            payload: Payload::Normal(Record::new(bytes.repeat(length / 16))),
        }
    };
    indexes.map(entry).collect()
}

pub(super) fn applied(index: u64) -> Applied {
    let seat = |name: &str| crate::engine::Seat {
        member: name.parse().unwrap(),
    };
    let seats = BTreeMap::from([(ID, seat("cnam"))]);
    let membership = Membership::new(vec![[ID].into()], seats).unwrap();
    Applied {
        log_id: Some(place(1, index)),
        membership: StoredMembership::new(Some(place(1, 0)), membership),
    }
}

pub(super) fn signed(size: u64, root: u8) -> SignedLock {
    SignedLock {
        size: TreeSize::new(size),
        log_root: Hash::from_bytes([root; 32]),
        map_root: Hash::from_bytes([root; 32]),
    }
}

/// All that a store has of an engine.
pub(super) type Found = (EngineState, Vec<Entry>);

pub(super) fn begun(store: &Store) -> Result<Found, StoreError> {
    let state = store.begin_engine(EngineId::new(u64::MAX))?;
    let records = match state.present {
        Some(span) => store.records(span.first, span.last.index + 1, usize::MAX)?,
        None => Vec::new(),
    };
    Ok((state, records))
}

#[derive(Debug, Clone)]
enum Op {
    Vote(u64),
    Append(u64),
    Truncate(u64),
    Purge(u64),
    Applied(u64),
    Snapshot(u64),
    Lock(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (0_u64..9).prop_map(Op::Vote),
        (1_u64..7).prop_map(Op::Append),
        (1_u64..7).prop_map(Op::Append),
        (0_u64..9).prop_map(Op::Truncate),
        (0_u64..9).prop_map(Op::Purge),
        (0_u64..9).prop_map(Op::Applied),
        (0_u64..9).prop_map(Op::Snapshot),
        (0_u64..9).prop_map(Op::Lock),
    ]
}

/// Carries an operation out on a store and on what it should then have.
fn carry_out(op: &Op, term: u64, store: &Store, (state, records): &mut Found) {
    let last = records.last().map(|entry| entry.log_id).or(state.purged);
    match *op {
        Op::Vote(by) => {
            state.vote = Some(Vote::new(term, EngineId::new(by)));
            store.save_vote(&state.vote.unwrap()).unwrap();
        }
        Op::Append(count) => {
            let next = last.map_or(0, |last| last.index + 1);
            let new = batches(term, next..next + count);
            store.append_records(&new).unwrap();
            records.extend(new);
        }
        Op::Truncate(back) => {
            let left = records.len().saturating_sub(usize::try_from(back).unwrap());
            records.truncate(left);
            let kept = records.last().map(|entry| entry.log_id);
            store.truncate_records(kept.or(state.purged)).unwrap();
        }
        Op::Purge(count) => {
            let at = usize::try_from(count).unwrap();
            let upto = records.get(at).map(|entry| entry.log_id);
            let upto = upto.or(last).unwrap_or(place(term, 3));
            store.purge_records(upto).unwrap();
            state.purged = Some(upto);
            records.retain(|entry| entry.log_id.index > upto.index);
        }
        Op::Applied(index) => {
            state.applied = applied(index);
            store.save_applied(&state.applied).unwrap();
        }
        Op::Snapshot(index) => {
            state.snapshot = Some(applied(index));
            store.save_engine_snapshot(&applied(index)).unwrap();
        }
        Op::Lock(by) => {
            let size = state.lock.map_or(0, |lock| lock.size.get()) + by;
            let next = state.lock.filter(|_| by == 0).unwrap_or(signed(size, 3));
            store.lock_signature(&next).unwrap();
            state.lock = Some(next);
        }
    }
    let first = records.first().map(|entry| entry.log_id.index);
    state.present = first.map(|first| RecordSpan {
        first,
        last: records.last().unwrap().log_id,
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn a_crash_after_any_call_leaves_what_was_reported(ops in prop::collection::vec(op(), 1..25)) {
        let folder = Folder::new();
        let store = folder.open();
        let mut want = (store.begin_engine(ID).unwrap(), Vec::new());
        for (term, op) in (1..).zip(&ops) {
            carry_out(op, term, &store, &mut want);
            if !term.is_multiple_of(4) {
                continue; // A copy is forty megabytes.
            }
            // How far was applied may be lost in a power cut; with the next sync it is not.
            let reached = want.0.snapshot.take().unwrap_or(applied(0));
            store.save_engine_snapshot(&reached).unwrap();
            want.0.snapshot = Some(reached);
            let crashed = tempfile::tempdir().unwrap();
            copy(&folder.path(), crashed.path());
            let copied = Store::open(crashed.path(), OPTIONS).unwrap();
            prop_assert!(begun(&copied).unwrap() == want, "after {:?}", op);
        }
        prop_assert!(begun(&store).unwrap() == want);
    }
}

#[test]
fn a_life_begins_once_and_needs_to_have_begun() {
    let folder = Folder::new();
    let store = folder.open();
    let early = store.append_records(&batches(1, 0..1));
    assert!(matches!(early, Err(StoreError::EngineNotBegun)));
    assert!(store.signed_lock().is_err());
    assert_eq!(store.begin_engine(ID).unwrap().id, ID);
    drop(store);
    let again = folder.open().begin_engine(EngineId::new(9)).unwrap();
    assert_eq!(again.id, ID);
    // An engine without a ledger is an empty ledger, not a torn one.
    assert!(folder.open().recover().unwrap().is_none());
}

#[test]
fn records_out_of_place_are_refused_and_nothing_is_written() {
    let folder = Folder::new();
    let store = folder.open();
    store.begin_engine(ID).unwrap();
    store.append_records(&batches(1, 5..7)).unwrap();
    for wrong in [4..5, 6..7, 8..9] {
        let refused = store.append_records(&batches(1, wrong));
        assert!(matches!(
            refused,
            Err(StoreError::RecordOutOfPlace { want: 7, .. })
        ));
    }
    let gap = [batches(1, 7..8), batches(1, 9..10)].concat();
    assert!(store.append_records(&gap).is_err());
    store.append_records(&batches(1, 7..8)).unwrap();
    assert_eq!(begun(&store).unwrap().1, batches(1, 5..8));
}

#[test]
fn nothing_is_signed_twice_at_one_size_or_behind_it() {
    let folder = Folder::new();
    let store = folder.open();
    store.begin_engine(ID).unwrap();
    store.lock_signature(&signed(10, 1)).unwrap();
    let syncs = store.syncs();
    store.lock_signature(&signed(10, 1)).unwrap();
    assert_eq!(store.syncs(), syncs, "it is durable already");
    for forbidden in [signed(10, 2), signed(9, 1), signed(0, 1)] {
        let refused = store.lock_signature(&forbidden);
        assert!(matches!(refused, Err(StoreError::AlreadySigned { .. })));
    }
    store.lock_signature(&signed(11, 2)).unwrap();
    drop(store);
    let store = folder.open();
    let state = store.begin_engine(ID).unwrap();
    assert_eq!(state.lock, Some(signed(11, 2)));
    assert!(store.lock_signature(&signed(11, 3)).is_err());
}

#[test]
fn how_far_was_applied_comes_with_the_commit_or_not_at_all() {
    let folder = Folder::new();
    let mut ledger = Ledger::new(folder.open());
    ledger.store.begin_engine(ID).unwrap();
    for index in 0..4 {
        let batch = Batch {
            claims: 3,
            applied: Some(applied(index)),
            ..Batch::default()
        };
        ledger.commit(&batch).unwrap();
        let crashed = tempfile::tempdir().unwrap();
        copy(&folder.path(), crashed.path());
        let copied = Store::open(crashed.path(), OPTIONS).unwrap();
        assert_eq!(recovered(&copied).unwrap(), Some(ledger.roots()));
        assert_eq!(copied.applied().unwrap(), Some(applied(index)));
    }
    ledger.claims(1);
    assert_eq!(ledger.store.applied().unwrap(), Some(applied(3)));
}

#[test]
fn after_a_failed_sync_neither_ledger_nor_engine_writes() {
    for fail_commit in [true, false] {
        let folder = Folder::new();
        let mut ledger = Ledger::new(folder.open());
        ledger.store.begin_engine(ID).unwrap();
        ledger.claims(1);
        let store = ledger.store.clone();
        store.0.syncs.fail_next.store(true, Ordering::Relaxed);
        let batch = Batch {
            claims: 1,
            ..Batch::default()
        };
        let failed = match fail_commit {
            true => ledger.commit(&batch),
            false => store.append_records(&batches(1, 0..1)),
        };
        assert!(matches!(failed, Err(StoreError::SyncFailed(_))));
        for refused in [
            ledger.commit(&batch),
            store.append_records(&batches(1, 0..1)),
            store.save_vote(&Vote::new(1, ID)),
            store.lock_signature(&signed(1, 1)),
            store.truncate_records(None),
            store.purge_records(place(1, 0)),
            store.save_applied(&applied(1)),
            store.save_engine_snapshot(&applied(1)),
        ] {
            assert!(matches!(refused, Err(StoreError::Poisoned)), "{refused:?}");
        }
    }
}

#[test]
fn records_are_taken_a_little_below_the_watermark_and_refused_cleanly_below_that() {
    let folder = Folder::new();
    folder.open().begin_engine(ID).unwrap();
    let free = rustix::fs::statvfs(folder.path()).unwrap();
    let free = free.f_bavail * free.f_frsize;
    let with = |disk_watermark_bytes| {
        let options = StoreOptions {
            disk_watermark_bytes,
            ..OPTIONS
        };
        let store = Store::open(&folder.path(), options).unwrap();
        store.begin_engine(ID).unwrap();
        store
    };
    let tight = with(free + free / 3);
    assert!(!tight.has_room());
    tight.append_records(&batches(1, 0..1)).unwrap();
    drop(tight);
    let full = with(u64::MAX);
    let refused = full.append_records(&batches(1, 1..2));
    assert!(matches!(refused, Err(StoreError::DiskFull { .. })));
    full.purge_records(place(1, 0)).unwrap();
    drop(full);
    with(1).append_records(&batches(1, 1..2)).unwrap();
}

/// Where the process that is to be killed writes.
const TO_BE_KILLED: &str = "VITRAIL_TEST_ENGINE_DIR";

/// Started by the test below as a process: appends, cuts off and votes, and prints each step once it
/// is durable. Anywhere else there is nothing to write to, and nothing to do.
#[test]
fn writes_until_it_is_killed() {
    let Ok(dir) = std::env::var(TO_BE_KILLED) else {
        return;
    };
    let options = StoreOptions {
        sync: SyncMode::Durable,
        ..OPTIONS
    };
    let store = Store::open(Path::new(&dir), options).unwrap();
    let state = store.begin_engine(ID).unwrap();
    let mut next = state.present.map_or(0, |span| span.last.index + 1);
    loop {
        store.append_records(&batches(1, next..next + 4)).unwrap();
        store.truncate_records(Some(place(1, next + 1))).unwrap();
        store.save_vote(&Vote::new(next, ID)).unwrap();
        next += 2;
        println!("durable {next}");
    }
}

#[test]
fn a_killed_process_has_lost_nothing_that_it_reported() {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path()).unwrap();
    let mut durable = 0;
    for round in 1..=3 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("store::tests::engine::writes_until_it_is_killed")
            .env(TO_BE_KILLED, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let steps =
            lines.filter_map(|line| Some(line.ok()?.split_once("durable ")?.1.parse().ok()));
        let reported = steps.flatten().take(10 * round).last();
        writer.kill().unwrap();
        writer.wait().unwrap();
        durable = reported.unwrap_or(durable);
        let (state, records) = begun(&folder.open()).unwrap();
        let left = records.len() as u64;
        assert!(left >= durable, "{left} are left of {durable}");
        // It was killed between two steps: what is there beyond is one step, whole.
        assert_eq!(records, batches(1, 0..left));
        assert!(state.vote.unwrap() >= Vote::new(durable - 2, ID));
    }
    assert!(durable > 0);
}
