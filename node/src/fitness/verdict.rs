//! What the figures mean: each held against two limits, and how many appends a second follow from
//! them. A function of the figures alone.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Effort, Measured, Spread, micros};
use crate::http::PAGE_CONNECTIONS_MAX;
use crate::store::DISK_WATERMARK_BYTES;
use crate::tls::CONNECTIONS_MAX;

/// A sync that is back sooner has not waited for a disk: the fastest that keep their word take tens
/// of microseconds. What then survives a power cut is a matter of luck.
pub const SYNC_BELIEVED_US_MIN: u64 = 20;
/// A batch takes three syncs, one after the other; at 5 ms each a node still does 2,480 appends a
/// second (docs/performance.md).
pub const SYNC_OK_US_MAX: u64 = 5_000;
/// Beyond it the three syncs of a batch take longer than the 100 ms between two heartbeats.
pub const SYNC_FIT_US_MAX: u64 = 35_000;
/// A vote is synced before it is given, and an election waits 300 ms for it.
pub const SYNC_P99_FIT_US_MAX: u64 = 300_000;
/// What two cores of 2026 do with room: 100 us a check.
pub const CHECKS_OK_MIN: u64 = 10_000;
/// Below it the checks of a full batch take about the 100 ms between two heartbeats, or more.
pub const CHECKS_FIT_MIN: u64 = 2_000;
/// A check at the counter takes two at each of the nodes asked; an import of contracts takes a
/// million, which at this rate is four minutes.
pub const EVALUATIONS_OK_MIN: u64 = 4_000;
/// A hundred counters that check in the same second, with a quarter of a core each for them.
pub const EVALUATIONS_FIT_MIN: u64 = 800;
/// A batch keeps readers waiting while it is applied, and the next one while it is checked.
pub const BATCH_OK_US_MAX: u64 = 60_000;
/// At it the alert `VitrailSyncsSlow` is raised (deploy/prometheus).
pub const BATCH_FIT_US_MAX: u64 = 500_000;
/// The peak of all French third-party payment: about 800 a second.
pub const APPENDS_OK_MIN: u64 = 800;
/// Its average: about 155 a second.
pub const APPENDS_FIT_MIN: u64 = 155;
/// What an entry takes on the disk (docs/performance.md, "Room").
pub const BYTES_PER_ENTRY: u64 = 3_100;
/// Room for about five million entries.
pub const FREE_OK_BYTES_MIN: u64 = 16 * 1024 * 1024 * 1024;
/// Room for about a quarter of a million entries above what stops writes.
pub const FREE_FIT_BYTES_MIN: u64 = DISK_WATERMARK_BYTES + 768 * 1024 * 1024;
/// A connection is an open file: all that the two listeners let in, and the node's own files.
pub const HANDLES_OK_MIN: u64 = (CONNECTIONS_MAX + PAGE_CONNECTIONS_MAX + 512) as u64;
/// With fewer a federation of a few hundred tills is turned away.
pub const HANDLES_FIT_MIN: u64 = 1_024;
/// What an entry costs a node in processor time, in signature checks: 290 us of it where a check
/// took 55 to 90 us (docs/performance.md).
pub const CHECKS_PER_ENTRY: u64 = 4;
/// Times that a batch waits for the others: for a majority to have it, and for a quorum to cosign.
const ROUND_TRIPS_PER_BATCH: u64 = 2;

/// How a matter stands, from the best on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and is what others will wait for.
    Slow,
    /// No node of a federation should run on it.
    Unfit,
}

impl Verdict {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Slow => "slow",
            Self::Unfit => "unfit",
        }
    }

    fn at_most(got: u64, ok: u64, fit: u64) -> Self {
        match got {
            _ if got <= ok => Self::Ok,
            _ if got <= fit => Self::Slow,
            _ => Self::Unfit,
        }
    }

    fn at_least(got: u64, ok: u64, fit: u64) -> Self {
        match got {
            _ if got >= ok => Self::Ok,
            _ if got >= fit => Self::Slow,
            _ => Self::Unfit,
        }
    }
}

/// What was found of one matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// `sync`, `signatures`, `evaluations`, `batch`, `appends`, `room`, or `files`.
    pub matter: &'static str,
    /// How it stands.
    pub verdict: Verdict,
    /// The figures, in words.
    pub found: String,
    /// What is wanted, and from where on it is unfit.
    pub wanted: String,
    /// What may be done; absent where it is as it should be.
    pub hint: Option<&'static str>,
}

/// How many entries this machine would append a second, if all members' machines were like it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Estimate {
    /// Members that vote.
    pub members: u32,
    /// The smaller of the two that follow.
    pub appends_per_second: u64,
    /// What the processors allow.
    pub by_processors: u64,
    /// What one batch after the other allows.
    pub by_batches: u64,
    /// How both were reckoned, a line each.
    pub arithmetic: Vec<String>,
}

/// What a machine is worth.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fitness {
    /// The worst of the findings.
    pub verdict: Verdict,
    /// Whether none of them is unfit.
    pub fit: bool,
    /// Whether this program was built without optimisation: its figures are then its own, and not
    /// the machine's.
    pub debug_build: bool,
    /// One for each matter.
    pub findings: Vec<Finding>,
    /// What follows from them.
    pub estimate: Estimate,
    /// The figures.
    pub measured: Measured,
}

/// Holds what was measured against the limits.
pub(super) fn judge(measured: Measured, effort: &Effort) -> Fitness {
    let estimate = estimate(&measured, effort);
    let findings = vec![
        sync(&measured.syncs.took, measured.syncs.per_second),
        signatures(&measured),
        evaluations(&measured),
        batch(&measured),
        appends(&estimate),
        room(&measured),
        files(&measured),
    ];
    let worst = findings.iter().map(|finding| finding.verdict).max();
    let verdict = worst.unwrap_or(Verdict::Ok);
    Fitness {
        verdict,
        fit: verdict != Verdict::Unfit,
        debug_build: cfg!(debug_assertions),
        findings,
        estimate,
        measured,
    }
}

fn finding(
    matter: &'static str,
    verdict: Verdict,
    found: String,
    wanted: String,
    hint: &'static str,
) -> Finding {
    Finding {
        matter,
        verdict,
        found,
        wanted,
        hint: (verdict != Verdict::Ok).then_some(hint),
    }
}

fn sync(took: &Spread, per_second: u64) -> Finding {
    let Spread {
        median_us, p99_us, ..
    } = *took;
    let found = format!("median {median_us} us, p99 {p99_us} us, {per_second} a second");
    let wanted = format!(
        "median {SYNC_BELIEVED_US_MIN} to {SYNC_OK_US_MAX} us; unfit below, above \
         {SYNC_FIT_US_MAX}, or with a p99 above {SYNC_P99_FIT_US_MAX}"
    );
    if median_us < SYNC_BELIEVED_US_MIN {
        let hint = "so fast a sync probably lies: memory, or a cache that a power cut empties; \
                    name a folder on a disk that keeps its word";
        return finding("sync", Verdict::Unfit, found, wanted, hint);
    }
    let by_median = Verdict::at_most(median_us, SYNC_OK_US_MAX, SYNC_FIT_US_MAX);
    let by_p99 = Verdict::at_most(p99_us, SYNC_P99_FIT_US_MAX, SYNC_P99_FIT_US_MAX);
    let hint = "a disk of its own, local and solid-state; nothing else should sync on it";
    finding("sync", by_median.max(by_p99), found, wanted, hint)
}

fn signatures(measured: &Measured) -> Finding {
    let cores = &measured.cores;
    let one = cores.signature_checks_per_core;
    finding(
        "signatures",
        Verdict::at_least(one, CHECKS_OK_MIN, CHECKS_FIT_MIN),
        format!(
            "{one} checks a second on one core, {} on {}",
            cores.signature_checks, cores.cores
        ),
        format!("{CHECKS_OK_MIN} a second on one core; unfit below {CHECKS_FIT_MIN}"),
        "faster cores, or cores that are not shared with others",
    )
}

fn evaluations(measured: &Measured) -> Finding {
    let one = measured.cores.evaluations_per_core;
    finding(
        "evaluations",
        Verdict::at_least(one, EVALUATIONS_OK_MIN, EVALUATIONS_FIT_MIN),
        format!("{one} a second on one core, each with its proof"),
        format!("{EVALUATIONS_OK_MIN} a second; unfit below {EVALUATIONS_FIT_MIN}"),
        "faster cores, or cores that are not shared with others",
    )
}

fn batch(measured: &Measured) -> Finding {
    let it = &measured.batch;
    let (memory, disk) = (in_memory_us(measured), on_disk_us(measured));
    finding(
        "batch",
        Verdict::at_most(memory + disk, BATCH_OK_US_MAX, BATCH_FIT_US_MAX).max(Verdict::at_most(
            it.durable_p99_us,
            BATCH_FIT_US_MAX,
            BATCH_FIT_US_MAX,
        )),
        format!(
            "{} claims: {memory} us to decide, check and grow log and map, {disk} us until \
             durable, p99 {} us",
            it.entries, it.durable_p99_us
        ),
        format!("{BATCH_OK_US_MAX} us in all; unfit above {BATCH_FIT_US_MAX}"),
        "look at `sync` and `signatures`: a batch is made of both",
    )
}

fn appends(estimate: &Estimate) -> Finding {
    let rate = estimate.appends_per_second;
    finding(
        "appends",
        Verdict::at_least(rate, APPENDS_OK_MIN, APPENDS_FIT_MIN),
        format!(
            "about {rate} a second as one of {} members",
            estimate.members
        ),
        format!("{APPENDS_OK_MIN} a second; unfit below {APPENDS_FIT_MIN}"),
        "the federation is as fast as a quorum of its members: this one would be waited for",
    )
}

fn room(measured: &Measured) -> Finding {
    let free = measured.machine.free_bytes;
    finding(
        "room",
        Verdict::at_least(free, FREE_OK_BYTES_MIN, FREE_FIT_BYTES_MIN),
        format!(
            "{} MiB free, for about {} entries",
            mebibytes(free),
            free.saturating_sub(DISK_WATERMARK_BYTES) / BYTES_PER_ENTRY
        ),
        format!(
            "{} MiB; unfit below {}",
            mebibytes(FREE_OK_BYTES_MIN),
            mebibytes(FREE_FIT_BYTES_MIN)
        ),
        "a larger disk: the ledger only grows",
    )
}

fn files(measured: &Measured) -> Finding {
    let wanted = format!("{HANDLES_OK_MIN}; unfit below {HANDLES_FIT_MIN}");
    let hint = "raise the limit on open files: LimitNOFILE= in the unit, `ulimit -Hn` in a shell";
    match measured.machine.file_handles {
        Some(free) => finding(
            "files",
            Verdict::at_least(free, HANDLES_OK_MIN, HANDLES_FIT_MIN),
            format!("{free} files and connections may be open"),
            wanted,
            hint,
        ),
        None => finding(
            "files",
            Verdict::Ok,
            "any number of files and connections may be open".to_owned(),
            wanted,
            hint,
        ),
    }
}

const fn mebibytes(bytes: u64) -> u64 {
    bytes / (1024 * 1024)
}

const fn in_memory_us(measured: &Measured) -> u64 {
    measured.batch.prepared_us + measured.batch.checked_us
}

const fn on_disk_us(measured: &Measured) -> u64 {
    let it = &measured.batch;
    it.recorded_us + it.locked_us + it.committed_us
}

/// Two limits, and the smaller counts: what all processors can work off, and what one batch after
/// the other brings, since the next one waits until this one is durable.
fn estimate(measured: &Measured, effort: &Effort) -> Estimate {
    let (it, cores, members) = (&measured.batch, &measured.cores, effort.members);
    let by_processors = cores.signature_checks / CHECKS_PER_ENTRY;
    // Every member's cosignature is checked, and the leader's header.
    let check_us = micros(Duration::from_secs(1)) / cores.signature_checks_per_core.max(1);
    let signatures_us = u64::from(members) * check_us;
    let network_us = ROUND_TRIPS_PER_BATCH * micros(effort.round_trip);
    let (memory, disk) = (in_memory_us(measured), on_disk_us(measured));
    let batch_us = (memory + disk + signatures_us + network_us).max(1);
    let by_batches = it.entries as u64 * 1_000_000 / batch_us;
    let (memory, disk) = (
        format!(
            "{} us decided + {} us checked",
            it.prepared_us, it.checked_us
        ),
        format!(
            "{} us recorded + {} us locked + {} us committed",
            it.recorded_us, it.locked_us, it.committed_us
        ),
    );
    let arithmetic = vec![
        format!(
            "processors: {} checks a second / {CHECKS_PER_ENTRY}, as an entry costs a node as \
             much as {CHECKS_PER_ENTRY} checks = {by_processors} appends a second",
            cores.signature_checks
        ),
        format!(
            "a batch: {memory} + {disk} + {members} members x {check_us} us for a signature + \
             {ROUND_TRIPS_PER_BATCH} x {} us to the others and back = {batch_us} us",
            micros(effort.round_trip)
        ),
        format!(
            "batches: {} entries / {batch_us} us = {by_batches} appends a second",
            it.entries
        ),
    ];
    Estimate {
        members,
        appends_per_second: by_processors.min(by_batches),
        by_processors,
        by_batches,
        arithmetic,
    }
}
