//! Whether a machine is fit for a node: what its disk and its cores do with a node's own work,
//! measured in seconds, before anybody relies on it.
//!
//! Everything is written into a scratch folder in the data folder, so on the disk that the ledger is
//! to lie on; no file of a ledger is touched. The scratch folder goes when the measurement ends,
//! fails, or is stopped. Only a kill -9 leaves it (`.check-perf-*`): it may be deleted then.

mod arithmetic;
mod machine;
mod scratch;
#[cfg(test)]
mod tests;
mod verdict;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use proto::entry::EntryError;
use proto::oprf::{BlindError, DeriveError, EvaluateError};
use proto::seal::SealError;
use proto::signing::SigningError;
use schemars::JsonSchema;
use serde::Serialize;
use tempfile::TempDir;
use thiserror::Error;

use self::scratch::Scratch;
pub use self::verdict::{Estimate, Finding, Fitness, Verdict};
use crate::init::InitError;
use crate::sequencer::{StepTimes, TrialError};
use crate::store::{BALLAST_BYTES, DISK_WATERMARK_BYTES, StoreError, SyncProbe, is_held};

/// Entries of a measured batch. With their payloads claims like these fill the 256 KiB after which a
/// leader adds none, so this is the batch of a node that has much to do.
pub const BATCH_ENTRIES: usize = 180;
/// Bytes of each measured write: the most that a leader collects for a batch.
const WRITE_BYTES: usize = crate::sequencer::BATCH_BYTES_MAX;
/// Room of the measured file, as much as four segments of the engine's log.
const PROBE_BYTES: u64 = 16 * 1024 * 1024;
/// What the scratch folder takes at once: the measured file, and the room that a ledger and an engine
/// write ahead.
const SCRATCH_BYTES: u64 = 128 * 1024 * 1024;
/// What it grows by in a second of batches, at most: 20,000 entries of 3 KB.
const SCRATCH_BYTES_PER_SECOND: u64 = 64 * 1024 * 1024;
/// Rounds of each measurement, however slow the machine: a median of fewer says nothing.
const ROUNDS_MIN: usize = 5;

/// How much is measured, and for what federation.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Time of each of the five measurements.
    pub time: Duration,
    /// Rounds of each, however long they take.
    pub rounds_min: usize,
    /// Entries of a batch, at least one.
    pub batch_entries: usize,
    /// Voting members of the roster, this one included.
    pub members: u32,
    /// The time to the members of a quorum and back.
    pub round_trip: Duration,
}

impl Effort {
    /// What an operator wants to know.
    #[must_use]
    pub const fn new(time: Duration, members: u32, round_trip: Duration) -> Self {
        Self {
            time,
            rounds_min: ROUNDS_MIN,
            batch_entries: BATCH_ENTRIES,
            members,
            round_trip,
        }
    }
}

/// Why a machine cannot be measured. Nothing is left behind.
#[derive(Debug, Error)]
pub enum FitnessError {
    /// There is no such folder.
    #[error("{path} is not a folder", path = path.display())]
    NoFolder {
        /// What was named.
        path: PathBuf,
    },
    /// A node runs on it: measuring takes every core and the disk, and a leader that falls silent
    /// for a third of a second is replaced.
    #[error("a node has the ledger in {path} open", path = path.display())]
    InUse {
        /// The data folder.
        path: PathBuf,
    },
    /// The scratch folder cannot be made, or a file in it cannot be written.
    #[error("{path} cannot be written to: {kind}", path = path.display())]
    Unwritable {
        /// The data folder.
        path: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// What is free would not even do for the measurement.
    #[error("{free} bytes are free on the disk, the measurement needs {want}")]
    NoRoom {
        /// What is free.
        free: u64,
        /// What must be.
        want: u64,
    },
    /// It was told to stop.
    #[error("stopped before it was done")]
    Stopped,
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The scratch ledger cannot be founded.
    #[error("the scratch ledger: {0}")]
    Found(#[from] Box<InitError>),
    /// Its store cannot be opened.
    #[error("the scratch ledger: {0}")]
    Store(#[from] StoreError),
    /// A name in it is none.
    #[error("a name of the scratch ledger cannot be read")]
    Name,
    /// A batch did not go its way.
    #[error("the scratch ledger: {0}")]
    Trial(#[from] Box<TrialError>),
    /// An entry cannot be signed.
    #[error("an entry of the scratch ledger: {0}")]
    Entry(#[from] EntryError),
    /// A payload cannot be sealed.
    #[error("a payload of the scratch ledger: {0}")]
    Seal(#[from] SealError),
    /// A signature that was just made does not verify.
    #[error("a signature: {0}")]
    Signature(#[from] SigningError),
    /// No key comes out of the random bytes.
    #[error("an evaluation: {0}")]
    Key(#[from] DeriveError),
    /// An input cannot be blinded.
    #[error("an evaluation: {0}")]
    Blind(#[from] BlindError),
    /// An element is not evaluated.
    #[error("an evaluation: {0}")]
    Evaluate(#[from] EvaluateError),
}

/// How long something took, over many rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Spread {
    /// How often it was measured.
    pub rounds: usize,
    /// Half of the rounds took at most so many microseconds.
    pub median_us: u64,
    /// 99 of 100 rounds did; of fewer than 100, all.
    pub p99_us: u64,
}

impl Spread {
    /// Of no rounds: zero.
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |place: usize| took.get(place).map_or(0, |it| micros(*it));
        Self {
            rounds: took.len(),
            median_us: at(took.len() / 2),
            p99_us: at((took.len() * 99).div_ceil(100).saturating_sub(1)),
        }
    }
}

/// What writing a batch and syncing it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Syncs {
    /// Bytes that are written before each sync.
    pub bytes: usize,
    /// The sync alone.
    pub took: Spread,
    /// How many of them, with what is written, the disk does a second.
    pub per_second: u64,
}

/// What the cores do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cores {
    /// How many there are for this process.
    pub cores: usize,
    /// Strict Ed25519 checks a second on one core.
    pub signature_checks_per_core: u64,
    /// The same on all of them at once.
    pub signature_checks: u64,
    /// Elements a second on one core, each evaluated with a proof of its own, as for a till.
    pub evaluations_per_core: u64,
}

/// What a batch takes at a member, step by step, each a median but the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BatchSteps {
    /// Claims of a batch, each with a sealed payload and two slots.
    pub entries: usize,
    /// Bytes of a batch.
    pub bytes: usize,
    /// Batches that were measured.
    pub rounds: usize,
    /// The leader decides it, and grows log and map.
    pub prepared_us: u64,
    /// A member checks that, and every signature in it.
    pub checked_us: u64,
    /// The record and, beside it, the salts are durable.
    pub recorded_us: u64,
    /// What is to be signed is durable.
    pub locked_us: u64,
    /// It is cosigned, and durable in the ledger.
    pub committed_us: u64,
    /// 99 of 100 batches are recorded, locked and committed in so many microseconds.
    pub durable_p99_us: u64,
}

/// What the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Machine {
    /// Free bytes of the disk.
    pub free_bytes: u64,
    /// Files and connections that a process may have open, if the system says.
    pub file_handles: Option<u64>,
}

/// All that was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Measured {
    /// Of the disk.
    pub syncs: Syncs,
    /// Of the cores.
    pub cores: Cores,
    /// Of a batch.
    pub batch: BatchSteps,
    /// Of the machine.
    pub machine: Machine,
}

/// Measures the machine for a node whose data lies in this folder, which must exist. Blocks for about
/// five times the effort's time. `stop` ends it early; `told` hears what is measured next.
///
/// # Errors
/// [`FitnessError`]. The folder is then as it was before.
pub fn examine(
    data: &Path,
    effort: &Effort,
    stop: &AtomicBool,
    told: impl Fn(&'static str),
) -> Result<Fitness, FitnessError> {
    if !data.is_dir() {
        let path = data.to_owned();
        return Err(FitnessError::NoFolder { path });
    }
    let unwritable = |error: io::Error| FitnessError::Unwritable {
        path: data.to_owned(),
        kind: error.kind(),
    };
    if is_held(data).map_err(unwritable)? {
        let path = data.to_owned();
        return Err(FitnessError::InUse { path });
    }
    let machine = machine::look(data).map_err(unwritable)?;
    let folder = tempfile::Builder::new()
        .prefix(".check-perf-")
        .tempdir_in(data)
        .map_err(unwritable)?;
    require_room(machine.free_bytes, effort)?;
    let rounds = Rounds { effort, stop };
    let measured = measure(&folder, machine, &rounds, told).map_err(|error| match error {
        Failed::Disk(error) => unwritable(error),
        Failed::Else(error) => error,
    });
    // What cannot be removed is said; it is worth nothing to anybody.
    let removed = folder.close().map_err(unwritable);
    let measured = measured?;
    removed?;
    Ok(verdict::judge(measured, effort))
}

fn require_room(free: u64, effort: &Effort) -> Result<(), FitnessError> {
    let growth = effort
        .time
        .as_secs()
        .saturating_mul(SCRATCH_BYTES_PER_SECOND);
    let want = SCRATCH_BYTES + BALLAST_BYTES + DISK_WATERMARK_BYTES + growth;
    match free < want {
        true => Err(FitnessError::NoRoom { free, want }),
        false => Ok(()),
    }
}

/// A disk that fails is told with the folder that it holds.
enum Failed {
    Disk(io::Error),
    Else(FitnessError),
}

impl From<FitnessError> for Failed {
    fn from(error: FitnessError) -> Self {
        Self::Else(error)
    }
}

fn measure(
    folder: &TempDir,
    machine: Machine,
    rounds: &Rounds<'_>,
    told: impl Fn(&'static str),
) -> Result<Measured, Failed> {
    told("syncs of the disk");
    let syncs = syncs(folder.path(), rounds)?;
    told("signatures and evaluations");
    let cores = arithmetic::measure(rounds)?;
    told("batches");
    let batch = batches(folder.path(), rounds)?;
    Ok(Measured {
        syncs,
        cores,
        batch,
        machine,
    })
}

fn syncs(folder: &Path, rounds: &Rounds<'_>) -> Result<Syncs, Failed> {
    let mut probe = SyncProbe::create(&folder.join("syncs"), PROBE_BYTES).map_err(Failed::Disk)?;
    let bytes = vec![0x5a; WRITE_BYTES];
    let started = Instant::now();
    let took = rounds.repeat(|| probe.round(&bytes).map_err(Failed::Disk))?;
    Ok(Syncs {
        bytes: WRITE_BYTES,
        per_second: per_second(took.len(), started.elapsed()),
        took: Spread::of(took),
    })
}

fn batches(folder: &Path, rounds: &Rounds<'_>) -> Result<BatchSteps, FitnessError> {
    let entries = rounds.effort.batch_entries;
    let mut scratch = Scratch::found(&folder.join("node"))?;
    // The first batch fills caches, and is not counted.
    scratch.claims(entries)?;
    let steps = rounds.repeat(|| scratch.claims(entries))?;
    let median = |of: fn(&StepTimes) -> Duration| Spread::of(steps.iter().map(of).collect());
    let durable = |it: &StepTimes| it.recorded.max(it.salted) + it.locked + it.committed;
    Ok(BatchSteps {
        entries,
        bytes: steps.last().map_or(0, |it| it.bytes),
        rounds: steps.len(),
        prepared_us: median(|it| it.prepared).median_us,
        checked_us: median(|it| it.checked).median_us,
        recorded_us: median(|it| it.recorded.max(it.salted)).median_us,
        locked_us: median(|it| it.locked).median_us,
        committed_us: median(|it| it.committed).median_us,
        durable_p99_us: median(durable).p99_us,
    })
}

/// Repeats what is measured.
struct Rounds<'a> {
    effort: &'a Effort,
    stop: &'a AtomicBool,
}

impl Rounds<'_> {
    /// Until the time is over, at least so often as is wanted, and not once after the stop.
    fn repeat<T, E: From<FitnessError>>(
        &self,
        mut round: impl FnMut() -> Result<T, E>,
    ) -> Result<Vec<T>, E> {
        let (started, mut done) = (Instant::now(), Vec::new());
        while done.len() < self.effort.rounds_min || started.elapsed() < self.effort.time {
            if self.stop.load(Ordering::Relaxed) {
                return Err(FitnessError::Stopped.into());
            }
            done.push(round()?);
        }
        Ok(done)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// How many a second; what takes no time that can be told counts as a nanosecond.
fn per_second(count: usize, took: Duration) -> u64 {
    let rate = (count as u128) * 1_000_000_000 / took.as_nanos().max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}
