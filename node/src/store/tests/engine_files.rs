//! The engine's files: cut, torn, flipped, lost, half written, purged.

use super::damage::Dice;
use super::engine::{Found, ID, applied, batches, begun, place, signed};
use super::erasure::contains;
use super::*;
use crate::engine::record::RECORD_BYTES_MAX;
use crate::engine::{EngineId, Entry, Payload, Record, Vote};

/// A copy of a folder as a crash would leave it, damaged; what is found there is the last state,
/// or an error. Says whether it opened.
fn opened_damaged(folder: &Folder, want: &Found, damage: impl FnOnce(&Path)) -> bool {
    let damaged = tempfile::tempdir().unwrap();
    copy(&folder.path(), damaged.path());
    damage(&damaged.path().join("vault/engine"));
    let Ok(store) = Store::open(damaged.path(), OPTIONS) else {
        return false;
    };
    match begun(&store) {
        Ok(found) => assert!(found == *want, "reported records or votes are gone"),
        Err(_) => return false,
    }
    true
}

/// A store with some of everything.
fn filled(folder: &Folder) -> Found {
    let store = folder.open();
    store.begin_engine(ID).unwrap();
    for round in 0..15 {
        store.save_vote(&Vote::new(round, ID)).unwrap();
        let next = round * 4;
        store
            .append_records(&batches(round, next..next + 6))
            .unwrap();
        store
            .truncate_records(Some(place(round, next + 3)))
            .unwrap();
        store.lock_signature(&signed(round, 1)).unwrap();
        store.save_applied(&applied(next)).unwrap();
    }
    store.save_engine_snapshot(&applied(7)).unwrap();
    store.purge_records(place(1, 7)).unwrap();
    store.save_vote(&Vote::new_committed(20, ID)).unwrap();
    let found = begun(&store).unwrap();
    assert_eq!(found.1.len(), 52);
    found
}

#[test]
fn a_new_life_keeps_nothing_of_the_old_one_but_what_was_signed() {
    let folder = Folder::new();
    let (old, _) = filled(&folder);
    let store = folder.open();
    begun(&store).unwrap();
    // Less than what is locked here binds nobody.
    assert!(matches!(
        store.begin_engine_anew(EngineId::new(8), &signed(3, 2)),
        Err(StoreError::AlreadySigned { .. })
    ));
    let lock = signed(old.lock.unwrap().size.get() + 5, 2);
    let fresh = store.begin_engine_anew(EngineId::new(8), &lock).unwrap();
    assert_eq!((fresh.id, fresh.lock), (EngineId::new(8), Some(lock)));
    assert!(matches!(
        store.lock_signature(&signed(lock.size.get(), 1)),
        Err(StoreError::AlreadySigned { .. })
    ));
    drop(store);
    let (found, records) = begun(&folder.open()).unwrap();
    assert_eq!((found, records), (fresh, Vec::new()));
    // The new life has a log of its own.
    let store = folder.open();
    begun(&store).unwrap();
    store.append_records(&batches(1, 0..9)).unwrap();
    drop(store);
    assert_eq!(begun(&folder.open()).unwrap().1, batches(1, 0..9));
}

/// A record as long as may be, and not the same twice.
fn longest(term: u64, index: u64) -> Entry {
    let bytes = [term.to_be_bytes(), index.to_be_bytes()].concat();
    Entry {
        log_id: place(term, index),
        payload: Payload::Normal(Record::new(bytes.repeat(RECORD_BYTES_MAX / 16))),
    }
}

/// The names in the folder of the engine.
fn names(engine: &Path) -> Vec<String> {
    let found = std::fs::read_dir(engine).unwrap();
    let name = |it: io::Result<std::fs::DirEntry>| it.unwrap().file_name();
    let mut names: Vec<_> = found.map(|it| name(it).into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_log_of_many_segments_reads_back_after_cuts_and_purges() {
    let folder = Folder::new();
    let store = folder.open();
    store.begin_engine(ID).unwrap();
    let records: Vec<_> = (0..14).map(|index| longest(1, index)).collect();
    store.append_records(&records[..9]).unwrap();
    store.append_records(&records[9..]).unwrap();
    assert_eq!(begun(&store).unwrap().1, records);
    let page = store.records(2, 14, 3 << 20).unwrap();
    assert_eq!(page, records[2..2 + page.len()]);
    // Back over several segments, and on from there.
    store.truncate_records(Some(place(1, 4))).unwrap();
    assert!(names(&folder.path().join("vault/engine")).len() < 5);
    let new: Vec<_> = (5..12).map(|index| longest(2, index)).collect();
    store.append_records(&new).unwrap();
    store.purge_records(place(1, 3)).unwrap();
    let want = [&records[4..5], &new].concat();
    assert_eq!(begun(&store).unwrap().1, want);
    drop(store);
    let store = folder.open();
    assert_eq!(begun(&store).unwrap().1, want);
    // All of it: the next record need not follow.
    store.purge_records(place(3, 40)).unwrap();
    store.append_records(&[longest(3, 41)]).unwrap();
    store.truncate_records(None).unwrap();
    store.append_records(&[longest(4, 41)]).unwrap();
    drop(store);
    assert_eq!(begun(&folder.open()).unwrap().1, [longest(4, 41)]);
    let blobs = std::fs::read_dir(folder.path().join("ledger/blobs"));
    assert_eq!(blobs.unwrap().count(), 0);
}

#[test]
fn what_was_purged_or_cut_off_is_nowhere_in_the_data_folder() {
    let folder = Folder::new();
    let store = folder.open();
    store.begin_engine(ID).unwrap();
    let secret = |index: u64| [b"a salt of record ", &index.to_be_bytes()[..]].concat();
    let entry = |index: u64| Entry {
        log_id: place(1, index),
        payload: Payload::Normal(Record::new(secret(index).repeat(if index == 3 {
            40_000
        } else {
            9
        }))),
    };
    let is_there = |index| contains(&folder.path(), &secret(index));
    for first in [0, 4, 8] {
        let entries: Vec<_> = (first..first + 4).map(entry).collect();
        store.append_records(&entries).unwrap();
    }
    assert_eq!(store.forget_purged().unwrap(), None);
    assert!((0..12).all(is_there), "the search finds what is there");
    store.truncate_records(Some(place(1, 10))).unwrap();
    assert!(!is_there(11));
    // In the middle of the newest segment, with a crash before the bytes are overwritten.
    let before = tempfile::tempdir().unwrap();
    copy(&folder.path(), before.path());
    store.purge_records(place(1, 6)).unwrap();
    assert_eq!(store.forget_purged().unwrap(), Some(place(1, 6)));
    assert_eq!(
        (0..11).map(is_there).collect::<Vec<_>>(),
        (0..11).map(|it| it > 6).collect::<Vec<_>>()
    );
    let state = std::fs::read(folder.path().join("vault/engine/state")).unwrap();
    std::fs::write(before.path().join("vault/engine/state"), state).unwrap();
    let crashed = Store::open(before.path(), OPTIONS).unwrap();
    assert!(begun(&crashed).unwrap() == begun(&store).unwrap());
    assert!(!contains(before.path(), &secret(6)) && contains(before.path(), &secret(7)));
    store.purge_records(place(1, 10)).unwrap();
    assert!((0..12).all(|index| !is_there(index)));
    // The zeros are used again.
    store.append_records(&[entry(11)]).unwrap();
    drop(store);
    assert_eq!(begun(&folder.open()).unwrap().1, [entry(11)]);
    assert_eq!(names(&folder.path().join("vault/engine")).len(), 2);
}

#[test]
fn what_is_purged_was_durably_applied() {
    let folder = Folder::new();
    let store = folder.open();
    store.begin_engine(ID).unwrap();
    store.append_records(&batches(1, 0..5)).unwrap();
    store.save_applied(&applied(3)).unwrap();
    store.purge_records(place(1, 3)).unwrap();
    let crashed = tempfile::tempdir().unwrap();
    copy(&folder.path(), crashed.path());
    let (state, records) = begun(&Store::open(crashed.path(), OPTIONS).unwrap()).unwrap();
    assert_eq!((state.applied, records), (applied(3), batches(1, 4..5)));
}

#[test]
fn a_flipped_bit_or_a_lost_value_in_the_database_is_an_error() {
    let folder = Folder::new();
    let want = filled(&folder);
    let store = folder.open();
    let database = store.0.database.sled();
    for key in [keys::APPLIED, keys::SNAPSHOT] {
        let value = database.get(key).unwrap().unwrap();
        for at in 0..value.len() {
            let mut flipped = value.to_vec();
            flipped[at] ^= 4;
            database.insert(key, flipped).unwrap();
            assert!(begun(&store).is_err());
        }
        database.remove(key).unwrap();
        // Nothing tells that something was applied but the ledger that it was applied to.
        assert!(key == keys::APPLIED || begun(&store).is_err());
        database.insert(key, value).unwrap();
    }
    assert!(begun(&store).unwrap() == want);
}

#[test]
fn a_cut_torn_or_flipped_file_gives_the_last_state_or_an_error() {
    let folder = Folder::new();
    let want = filled(&folder);
    let mut dice = Dice(99);
    for name in ["state", "log-0000000000000000"] {
        let bytes = std::fs::read(folder.path().join("vault/engine").join(name)).unwrap();
        let length = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let (mut opened, mut refused) = (0, 0);
        for round in 0..45 {
            let reach = if round % 2 == 0 { length } else { 500 };
            let at = length - 1 - dice.below(reach);
            let (end, bit) = ((at + 1 + dice.below(8192)).min(length), dice.below(8));
            let whole = opened_damaged(&folder, &want, |engine| {
                let mut bytes = bytes.clone();
                match round % 3 {
                    0 => bytes.truncate(at),
                    1 => bytes[at..end].fill(0xA5),
                    _ => bytes[at] ^= 1 << bit,
                }
                std::fs::write(engine.join(name), bytes).unwrap();
            });
            *if whole { &mut opened } else { &mut refused } += 1;
        }
        // One page of the state is no loss; of the log, only zeros that fill a frame are.
        assert!(
            refused > 0 && (name == "state" || opened < 10),
            "{name}: {opened}"
        );
    }
    assert!(opened_damaged(&folder, &want, |_| {}));
}

#[test]
fn a_lost_file_is_an_error() {
    let folder = Folder::new();
    let store = folder.open();
    store.begin_engine(ID).unwrap();
    store
        .append_records(&(0..9).map(|at| longest(1, at)).collect::<Vec<_>>())
        .unwrap();
    store.save_applied(&applied(1)).unwrap();
    store.sync().unwrap();
    store.save_vote(&Vote::new(1, ID)).unwrap();
    let want = begun(&store).unwrap();
    drop(store);
    let names = names(&folder.path().join("vault/engine"));
    assert_eq!(names.len(), 4);
    for name in names {
        let lost = |engine: &Path| std::fs::remove_file(engine.join(&name)).unwrap();
        assert!(!opened_damaged(&folder, &want, lost), "{name}");
    }
    let lost = |engine: &Path| std::fs::remove_dir_all(engine).unwrap();
    assert!(!opened_damaged(&folder, &want, lost));
}

/// The folder as a power cut leaves it that comes while `write` is being carried out: its last
/// call to the state and mark is lost, and `tear` has changed what else it wrote.
fn power_cut(
    folder: &Folder,
    store: &Store,
    write: impl FnOnce(&Store),
    tear: impl FnOnce(&mut Vec<u8>),
) -> tempfile::TempDir {
    let cut = tempfile::tempdir().unwrap();
    copy(&folder.path(), cut.path());
    write(store);
    let log = "vault/engine/log-0000000000000000";
    let mut bytes = std::fs::read(folder.path().join(log)).unwrap();
    tear(&mut bytes);
    std::fs::write(cut.path().join(log), bytes).unwrap();
    cut
}

#[test]
fn a_record_that_a_power_cut_tears_is_cut_off_and_one_that_was_durable_is_an_error() {
    let begin = || {
        let folder = Folder::new();
        let store = folder.open();
        store.begin_engine(ID).unwrap();
        store.append_records(&batches(1, 1..4)).unwrap();
        (folder, store)
    };
    let found = |cut: &tempfile::TempDir| {
        let store = Store::open(cut.path(), OPTIONS).unwrap();
        begun(&store).map(|(_, records)| records)
    };
    let end = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte != 0).unwrap();
    // Torn anywhere: what one call wrote is there up to the first torn record.
    for back in [10, 700, 71_000, 72_000] {
        let (folder, store) = begin();
        let cut = power_cut(
            &folder,
            &store,
            |store| store.append_records(&batches(1, 4..8)).unwrap(),
            |bytes| {
                let end = end(bytes);
                bytes[end - back..end - back + 9].fill(0);
            },
        );
        let records = found(&cut).unwrap();
        assert_eq!(records, batches(1, 1..1 + records.len() as u64));
        assert!((3..7).contains(&records.len()), "{back}: {}", records.len());
        // What was torn does not come back behind what is written next.
        let store = Store::open(cut.path(), OPTIONS).unwrap();
        store.begin_engine(ID).unwrap();
        let next = 1 + records.len() as u64;
        store.append_records(&batches(2, next..next + 1)).unwrap();
        drop(store);
        assert_eq!(found(&cut).unwrap().len(), records.len() + 1);
    }
    // A later call was made, so this record was durable, whatever the mark has lost.
    let (folder, store) = begin();
    let two = |store: &Store| {
        store.append_records(&batches(1, 4..6)).unwrap();
        store.append_records(&batches(1, 6..8)).unwrap();
    };
    let cut = power_cut(&folder, &store, two, |bytes| {
        let at = end(bytes) - 71_000 - 900;
        bytes[at] ^= 1;
    });
    assert!(matches!(
        found(&cut),
        Err(StoreError::Corrupt {
            what: Stored::EngineRecord(_)
        })
    ));
    // A vote was durable before this record.
    let (folder, store) = begin();
    let voted = |store: &Store| {
        store.save_vote(&Vote::new(2, ID)).unwrap();
        store.append_records(&batches(2, 4..5)).unwrap();
    };
    let cut = power_cut(&folder, &store, voted, |_| {});
    assert!(matches!(
        found(&cut),
        Err(StoreError::Corrupt {
            what: Stored::EngineState
        })
    ));
}

#[test]
fn a_cut_that_a_crash_interrupts_is_finished_at_the_next_start() {
    let folder = Folder::new();
    let store = folder.open();
    store.begin_engine(ID).unwrap();
    store
        .append_records(&(0..9).map(|at| longest(1, at)).collect::<Vec<_>>())
        .unwrap();
    for kept in [Some(1), None] {
        let after = kept.map(|index| place(1, index));
        let crashed = tempfile::tempdir().unwrap();
        copy(&folder.path(), crashed.path());
        // As if the process had gone after the state said so, with half of it overwritten.
        let half = Store::open(crashed.path(), OPTIONS).unwrap();
        half.begin_engine(ID).unwrap();
        half.begin_cut(after);
        drop(half);
        let path = crashed.path().join("vault/engine/log-0000000000000001");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[1 << 20..2 << 20].fill(0);
        std::fs::write(&path, bytes).unwrap();
        let store = Store::open(crashed.path(), OPTIONS).unwrap();
        let want: Vec<_> = (0..kept.map_or(0, |it| it + 1))
            .map(|at| longest(1, at))
            .collect();
        assert_eq!(begun(&store).unwrap().1, want);
        let next = want.len() as u64;
        store.append_records(&[longest(2, next)]).unwrap();
        drop(store);
        let store = Store::open(crashed.path(), OPTIONS).unwrap();
        assert_eq!(begun(&store).unwrap().1.len(), want.len() + 1);
        assert!(!contains(
            crashed.path(),
            &[1_u64.to_be_bytes(), 8_u64.to_be_bytes()].concat()
        ));
    }
}
