//! Whole federations simulated: four nodes, their disks, network and time, on one thread, each run
//! the same for the same seed.
//!
//! Each host is a node as it runs everywhere: files, recovery, sequencer, gate, engine, mandates,
//! cosigning, recall, the gRPC services behind TLS. Three things are the simulation's: the network
//! ([`network`]), time and random bytes ([`machine`]), and that what blocks is done where it is
//! asked for. Tills claim slots while nodes crash and start again, lines hold back or lose what is
//! sent, and slow down ([`faults`]). After each step of 10 ms everything is looked at ([`watch`]).
//!
//! A crash comes between two steps. A node finds again what it had written: torn and unsynced
//! writes are the business of the store's own tests and of the power cuts in `tests/`.
//!
//! Each run has a process of its own, because libraries count what happens in theirs. To see one:
//! `VITRAIL_SIM_SEED=7 cargo test -p node simulation::seeds -- --nocapture`, and with the nodes' logs:
//! `VITRAIL_SIM_LOG=node=debug`.

mod faults;
mod federation;
mod machine;
pub(crate) mod network;
mod run;
mod tills;
mod trace;
mod watch;

use std::cell::Cell;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tempfile::TempDir;

use crate::example::copy_folder;

/// How many seeds are run, unless `VITRAIL_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 24;
/// Seeds that once failed, and what they found.
const ONCE_FAILED: [(u64, &str); 1] = [(
    10,
    "a member that was behind waited for ever with a batch that appends nothing",
)];
/// Seeds in whose plan a member crashes between its signature and the certificate.
const LATE_SEEDS: [u64; 4] = [2, 3, 5, 10];
/// What tells a process that it is one run, and which.
const RUN: &str = "VITRAIL_SIM_RUN";
const SEED: &str = "VITRAIL_SIM_SEED";
const GROUND: &str = "VITRAIL_SIM_GROUND";
const LOG: &str = "VITRAIL_SIM_LOG";
const LATE: &str = "VITRAIL_SIM_LATE_LOCKS";

thread_local! {
    static LATE_LOCKS: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is a simulation's.
pub(crate) fn is_on() -> bool {
    machine::is_simulated()
}

/// Whether the simulated members break a rule on purpose: their cosign locks are in memory when
/// the signature leaves, and on the disk with whatever is written next.
pub(crate) fn locks_late() -> bool {
    LATE_LOCKS.get()
}

/// A place for folders that need no disk, if there is one: nothing here is about what a disk does.
fn place() -> TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// Not a test of its own: the process of one run, when it is told so.
#[test]
fn a_process_of_its_own() {
    let (Ok(run), Some(ground)) = (env::var(RUN), env::var_os(GROUND)) else {
        return;
    };
    let ground = PathBuf::from(ground);
    if let Ok(filter) = env::var(LOG) {
        let log = tracing_subscriber::fmt().with_env_filter(filter);
        log.with_ansi(false).with_writer(std::io::stderr).init();
    }
    if run == "found" {
        let founded = thread::spawn(move || run::found(&ground));
        println!("{}", founded.join().unwrap().unwrap());
        return;
    }
    let seed: u64 = env::var(SEED).unwrap().parse().unwrap();
    // A thread of its own, because hash tables begin with what a thread has done before.
    let ran = thread::spawn(move || {
        LATE_LOCKS.set(env::var_os(LATE).is_some());
        let folders = place();
        copy_folder(&ground, folders.path());
        run::run(seed, folders.path())
    });
    let (trace, ended) = ran.join().unwrap();
    println!("{trace}");
    if let Err(violation) = ended {
        panic!("seed {seed}: {violation}");
    }
}

/// What a run gave.
struct Ran {
    held: bool,
    trace: String,
    said: String,
}

fn process(run: &str, ground: &Path, seed: u64, is_late: bool) -> Ran {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "simulation::a_process_of_its_own", "--nocapture"])
        .env(RUN, run)
        .env(GROUND, ground)
        .env(SEED, seed.to_string())
        .env_remove(LATE);
    if is_late {
        command.env(LATE, "1");
    }
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let told = String::from_utf8_lossy(&stdout);
    let lines = told.lines().filter(|line| line.contains(" ms  "));
    Ran {
        held: status.success(),
        trace: lines.map(|line| format!("{line}\n")).collect(),
        said: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

/// A founded federation that runs begin with.
fn ground() -> TempDir {
    let ground = place();
    let founded = process("found", ground.path(), 0, false);
    assert!(founded.held, "{}{}", founded.trace, founded.said);
    ground
}

/// Runs seeds on all cores; those that ended with a violation.
fn failed(ground: &Path, seeds: &[u64], is_late: bool) -> Vec<(u64, Ran)> {
    let next = AtomicU64::new(0);
    let work = || {
        let mut failed = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let seed = usize::try_from(place)
                .ok()
                .and_then(|place| seeds.get(place));
            let Some(&seed) = seed else { return failed };
            let ran = process("run", ground, seed, is_late);
            if !ran.held {
                failed.push((seed, ran));
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut failed: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap());
        joined.flatten().collect()
    });
    failed.sort_by_key(|(seed, _)| *seed);
    failed
}

#[test]
fn seeds() {
    let ground = ground();
    if let Some(seed) = env::var(SEED).ok().and_then(|seed| seed.parse().ok()) {
        let ran = process("run", ground.path(), seed, env::var_os(LATE).is_some());
        println!("{}{}", ran.said, ran.trace);
        assert!(ran.held, "{}", ran.said);
        return;
    }
    let count = env::var("VITRAIL_SIM_SEEDS").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(SEEDS);
    let mut seeds: Vec<_> = (1..=count).collect();
    let once = ONCE_FAILED.map(|(seed, _)| seed).into_iter();
    seeds.extend(once.filter(|seed| *seed > count));
    let failed = failed(ground.path(), &seeds, false);
    for (seed, ran) in &failed {
        println!(
            "{}\nVITRAIL_SIM_SEED={seed} cargo test -p node simulation::seeds",
            ran.said
        );
    }
    let failed: Vec<_> = failed.iter().map(|(seed, _)| seed).collect();
    assert!(failed.is_empty(), "seeds {failed:?}");
}

/// What shows that the simulation can fail: members that sign before their lock is on the disk are
/// found out. Which of these seeds crashes one at that moment depends on all of its code; one has to.
#[test]
fn a_cosign_lock_that_is_late_is_found() {
    let ground = ground();
    let failed = failed(ground.path(), &LATE_SEEDS, true);
    assert!(!failed.is_empty(), "nothing was found");
    for (seed, ran) in failed {
        assert!(
            ran.said.contains("its disk knows of"),
            "{seed}: {}",
            ran.said
        );
    }
}

#[test]
fn the_same_seed_goes_the_same_way() {
    let ground = ground();
    let run = |seed| process("run", ground.path(), seed, false).trace;
    let [one, other] = [1, 2].map(|seed| {
        let (once, again) = (run(seed), run(seed));
        let lines = once.lines().zip(again.lines());
        let mut differ = lines.filter(|(one, other)| one != other);
        assert_eq!(differ.next(), None, "seed {seed}");
        assert_eq!(once.len(), again.len(), "seed {seed}");
        once
    });
    assert_ne!(one, other);
}
