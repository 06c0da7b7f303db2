//! Real measurements in a small folder, and the judgement of figures that were made up.

use std::fs;
use std::path::PathBuf;

use super::verdict::{
    APPENDS_OK_MIN, CHECKS_FIT_MIN, FREE_FIT_BYTES_MIN, SYNC_BELIEVED_US_MIN, SYNC_FIT_US_MAX,
    SYNC_OK_US_MAX, SYNC_P99_FIT_US_MAX, judge,
};
use super::*;
use crate::store::{Store, StoreOptions};

/// Nobody is waited for, and a batch is small.
const SMALL: Effort = Effort {
    time: Duration::ZERO,
    rounds_min: 2,
    batch_entries: 3,
    members: 4,
    round_trip: Duration::ZERO,
};

fn names_in(folder: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect();
    names.sort();
    names
}

#[test]
fn everything_is_measured_and_the_folder_is_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("kept"), "kept").unwrap();
    let before = names_in(dir.path());
    let inside = std::sync::Mutex::new(0);
    let told = |_| *inside.lock().unwrap() += names_in(dir.path()).len();
    let fitness = examine(dir.path(), &SMALL, &AtomicBool::new(false), told).unwrap();
    assert_eq!(names_in(dir.path()), before);
    // It was measured there: the scratch folder was beside the file each time.
    assert_eq!(*inside.lock().unwrap(), 6);

    let Measured {
        syncs,
        cores,
        batch,
        machine,
    } = fitness.measured;
    assert_eq!((syncs.took.rounds, syncs.bytes), (2, WRITE_BYTES));
    assert!(syncs.took.p99_us >= syncs.took.median_us && syncs.per_second > 0);
    assert!(cores.cores > 0 && cores.signature_checks_per_core > 0);
    assert!(cores.signature_checks > 0 && cores.evaluations_per_core > 0);
    assert_eq!((batch.entries, batch.rounds), (3, 2));
    let steps = [
        batch.prepared_us,
        batch.checked_us,
        batch.recorded_us,
        batch.committed_us,
    ];
    assert!(steps.iter().all(|took| *took > 0), "{batch:?}");
    assert!(machine.free_bytes > 0);
    let matters: Vec<_> = fitness.findings.iter().map(|it| it.matter).collect();
    let all = [
        "sync",
        "signatures",
        "evaluations",
        "batch",
        "appends",
        "room",
        "files",
    ];
    assert_eq!(matters, all);
    assert_eq!(fitness.estimate.members, 4);
}

#[test]
fn a_full_batch_is_about_what_a_leader_collects() {
    let dir = tempfile::tempdir().unwrap();
    let mut scratch = Scratch::found(&dir.path().join("node")).unwrap();
    let bytes = scratch.claims(BATCH_ENTRIES).unwrap().bytes;
    assert!(
        (WRITE_BYTES * 3 / 4..WRITE_BYTES * 5 / 4).contains(&bytes),
        "{bytes}"
    );
}

#[test]
fn what_is_stopped_or_cannot_be_done_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let examine = |data: &Path, stop| examine(data, &SMALL, &AtomicBool::new(stop), |_| ());
    let stopped = examine(dir.path(), true);
    assert!(matches!(stopped, Err(FitnessError::Stopped)), "{stopped:?}");
    assert_eq!(names_in(dir.path()), Vec::<PathBuf>::new());

    let missing = examine(&dir.path().join("missing"), false);
    assert!(matches!(missing, Err(FitnessError::NoFolder { .. })));
    // Nobody may make a folder there, whoever he is.
    let refused = examine(Path::new("/proc"), false);
    assert!(matches!(refused, Err(FitnessError::Unwritable { .. })));
    let tight = require_room(SCRATCH_BYTES, &SMALL);
    assert!(matches!(tight, Err(FitnessError::NoRoom { .. })));
}

#[test]
fn a_folder_that_a_node_has_open_is_not_measured() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let examine = || examine(dir.path(), &SMALL, &AtomicBool::new(false), |_| ());
    assert!(matches!(examine(), Err(FitnessError::InUse { .. })));
    drop(store);
    let before = names_in(dir.path());
    assert!(examine().is_ok());
    assert_eq!(names_in(dir.path()), before);
}

/// A machine as those of docs/performance.md.
fn measured() -> Measured {
    Measured {
        syncs: Syncs {
            bytes: WRITE_BYTES,
            took: Spread {
                rounds: 1000,
                median_us: 150,
                p99_us: 900,
            },
            per_second: 3000,
        },
        cores: Cores {
            cores: 2,
            signature_checks_per_core: 16_000,
            signature_checks: 30_000,
            evaluations_per_core: 12_000,
        },
        batch: BatchSteps {
            entries: 128,
            bytes: WRITE_BYTES,
            rounds: 100,
            prepared_us: 3_000,
            checked_us: 5_000,
            recorded_us: 1_000,
            locked_us: 200,
            committed_us: 4_000,
            durable_p99_us: 9_000,
        },
        machine: Machine {
            free_bytes: 1 << 40,
            file_handles: Some(65_536),
        },
    }
}

fn verdict_of(measured: Measured, matter: &str) -> Verdict {
    let fitness = judge(measured, &SMALL);
    let mut findings = fitness.findings.iter();
    findings.find(|it| it.matter == matter).unwrap().verdict
}

#[test]
fn a_machine_is_as_good_as_its_worst_matter() {
    let good = judge(measured(), &SMALL);
    assert!(good.fit && good.verdict == Verdict::Ok, "{good:?}");
    assert!(good.findings.iter().all(|it| it.hint.is_none()));

    let mut slow = measured();
    slow.syncs.took.median_us = SYNC_OK_US_MAX + 1;
    let slow = judge(slow, &SMALL);
    assert!(slow.fit && slow.verdict == Verdict::Slow);
    assert!(slow.findings[0].hint.is_some());

    let mut unfit = measured();
    unfit.cores.signature_checks_per_core = CHECKS_FIT_MIN - 1;
    unfit.syncs.took.median_us = SYNC_OK_US_MAX + 1;
    let unfit = judge(unfit, &SMALL);
    assert!(!unfit.fit && unfit.verdict == Verdict::Unfit);
}

#[test]
fn a_disk_is_unfit_when_it_is_too_slow_and_when_it_is_too_fast_to_be_true() {
    let of = |median_us, p99_us| {
        let mut measured = measured();
        (measured.syncs.took.median_us, measured.syncs.took.p99_us) = (median_us, p99_us);
        verdict_of(measured, "sync")
    };
    assert_eq!(of(SYNC_BELIEVED_US_MIN, 100), Verdict::Ok);
    assert_eq!(of(SYNC_BELIEVED_US_MIN - 1, 100), Verdict::Unfit);
    assert_eq!(of(SYNC_FIT_US_MAX, 100_000), Verdict::Slow);
    assert_eq!(of(SYNC_FIT_US_MAX + 1, 100_000), Verdict::Unfit);
    assert_eq!(of(150, SYNC_P99_FIT_US_MAX + 1), Verdict::Unfit);
    let mut full = measured();
    full.machine.free_bytes = FREE_FIT_BYTES_MIN - 1;
    assert_eq!(verdict_of(full, "room"), Verdict::Unfit);
}

#[test]
fn the_estimate_is_the_smaller_of_two_that_can_be_reckoned_by_hand() {
    // 30,000 / 4; and 128 in 3,000 + 5,000 + 1,000 + 200 + 4,000 + 4 x 62 us.
    let four = judge(measured(), &SMALL).estimate;
    assert_eq!((four.by_processors, four.by_batches), (7_500, 9_518));
    assert_eq!(four.appends_per_second, 7_500);
    // 32 members, a round trip of 30 ms: 13,200 + 32 x 62 + 60,000 us.
    let far = Effort {
        members: 32,
        round_trip: Duration::from_millis(30),
        ..SMALL
    };
    let far = judge(measured(), &far).estimate;
    assert_eq!(far.by_batches, 128 * 1_000_000 / 75_184);
    assert_eq!(far.appends_per_second, far.by_batches);
    assert!(far.arithmetic[1].ends_with("= 75184 us"), "{far:?}");
    assert!(far.appends_per_second > APPENDS_OK_MIN);
}

#[test]
fn a_spread_is_what_a_sorted_list_says() {
    let took = |micros: &[u64]| micros.iter().copied().map(Duration::from_micros).collect();
    let of = |micros: &[u64]| {
        let Spread {
            median_us, p99_us, ..
        } = Spread::of(took(micros));
        (median_us, p99_us)
    };
    assert_eq!(of(&[]), (0, 0));
    assert_eq!(of(&[7]), (7, 7));
    assert_eq!(of(&[9, 1, 5]), (5, 9));
    let hundred: Vec<u64> = (1..=100).rev().collect();
    assert_eq!(of(&hundred), (51, 99));
}

#[test]
fn an_answer_has_the_form_that_is_published() {
    let schema = schemars::schema_for!(Fitness);
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    let mut answer = serde_json::to_value(judge(measured(), &SMALL)).unwrap();
    assert!(validator.is_valid(&answer));
    answer["fit"] = serde_json::Value::Null;
    assert!(!validator.is_valid(&answer));
}
