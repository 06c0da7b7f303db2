//! The load generator: what one node, or a federation of several, does for tills that wait for
//! their receipts.
//!
//! Each node is a process of its own on a real disk, reached over TLS; tills are spread over the
//! nodes, and each writes through its own. Claims are signed and sealed
//! before the clock starts, each one different. An append counts when its receipt has come back
//! and was verified: inclusion for each, the quorum's cosignatures once for each checkpoint.
#![allow(
    clippy::unwrap_used,
    reason = "a load run that cannot go on ends with its reason"
)]

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use client::session::Session;
use hdrhistogram::Histogram;
use proto::attestation::Attestation;
use proto::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};
use proto::entry::Entry;
use proto::ids::{CoverageKey, Origin, SlotKey, TreeSize};
use proto::receipt::Receipt;
use proto::roster::Roster;
use proto::wire::AppendAnswer;
use serde::Serialize;
use tests::binary::scratch_folder;
use tests::process::TICKS_PER_SECOND;
use tests::workload::Prepared;
use tokio::task::JoinSet;

use self::stage::{Stage, Usage};

mod stage;

/// The node's allocator, so that both share the two cores on the same terms.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Claims prepared for each second of a run: more than one node appends on two cores.
const CLAIMS_PER_SECOND: usize = 15_000;
/// Longest run: what is signed before it must still be on time (120 s) at its end.
const SECONDS_MAX: u64 = 30;
/// Signature checks whose median says how fast this machine is.
const CHECKS_FOR_SCALE: usize = 1_000;
/// Claims in the ledger before lookups are measured.
const CLAIMS_BEFORE_LOOKUPS: usize = 20_000;
/// Appends on their way at once while they are made.
const IN_FLIGHT_BEFORE_LOOKUPS: usize = 256;
/// Checkpoints remembered as verified: some more than can be on their way at once.
const CHECKPOINTS_KEPT: usize = 4_096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    /// Claims, each awaited until its receipt.
    Append,
    /// Lookups of three slots and one coverage, each proof verified.
    Lookup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// Drives one node or several from outside and says what they do.
#[derive(Debug, Parser)]
#[command(name = "load")]
struct Options {
    /// Calls on their way at once.
    #[arg(long, default_value_t = 64)]
    in_flight: usize,
    /// How long to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=SECONDS_MAX))]
    seconds: u64,
    /// What to call.
    #[arg(long, value_enum, default_value = "append")]
    mode: Mode,
    /// Connections, one till each; 16 or as many as calls, if that is fewer.
    #[arg(long)]
    connections: Option<usize>,
    /// Nodes, each of a member that votes.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    nodes: u8,
    /// Slots of a claim: one is a frame, three are a frame and two lenses.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=8))]
    slots: u8,
    /// Milliseconds that the node sleeps before each sync, as a slower disk would.
    #[arg(long, default_value_t = 0)]
    sync_delay_ms: u64,
    /// How to print the result.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// What a run found. Times are of the caller: from the call to its verified answer.
#[derive(Debug, Serialize)]
struct Report {
    mode: Mode,
    nodes: u8,
    in_flight: usize,
    connections: usize,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    appends_per_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lookups_per_s: Option<f64>,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    entries: u64,
    checkpoints: usize,
    /// Of all nodes together.
    node_cpu_us_per_entry: f64,
    load_cpu_us_per_entry: f64,
    /// Of the largest node.
    node_rss_mb: f64,
    /// Of all nodes together.
    disk_bytes_per_entry: f64,
    batches: f64,
    syncs_per_batch: f64,
    sync_delay_ms: u64,
    /// One strict signature check on one core, the median before the run: the scale to read the
    /// other figures by, since it is most of what an append costs.
    signature_check_us: f64,
    errors: BTreeMap<String, u64>,
}

/// What one caller, and then all of them, have seen.
#[derive(Debug)]
struct Tally {
    micros: Histogram<u64>,
    errors: BTreeMap<String, u64>,
}

impl Tally {
    fn new() -> Self {
        // One microsecond to a minute, which no deadline lets pass, to three figures.
        let micros = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
        Self {
            micros,
            errors: BTreeMap::new(),
        }
    }

    fn count(&mut self, took: Duration, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self
                .micros
                .saturating_record(u64::try_from(took.as_micros()).unwrap()),
            Err(error) => *self.errors.entry(error).or_default() += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.micros.add(&other.micros).unwrap();
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
    }
}

/// Checkpoints whose cosignatures were verified, so that each distinct one is verified once.
#[derive(Debug, Default)]
struct Verified {
    by_size: HashMap<TreeSize, (SignedCheckpoint, VerifiedCheckpoint)>,
    count: usize,
}

impl Verified {
    fn verify(
        &mut self,
        signed: &SignedCheckpoint,
        roster: &Roster,
    ) -> Result<VerifiedCheckpoint, String> {
        let size = signed.claimed().size;
        if let Some((known, verified)) = self.by_size.get(&size)
            && known == signed
        {
            return Ok(verified.clone());
        }
        let verified = signed.verify(roster).map_err(|error| error.to_string())?;
        self.count += 1;
        if self.by_size.len() >= CHECKPOINTS_KEPT {
            self.by_size.clear();
        }
        self.by_size
            .insert(size, (signed.clone(), verified.clone()));
        Ok(verified)
    }
}

/// What the callers share.
struct Run {
    roster: Roster,
    claims: Vec<Vec<Prepared>>,
    next: Vec<AtomicUsize>,
    verified: Mutex<Verified>,
    end: Instant,
}

impl Run {
    fn new(roster: &Roster, claims: Vec<Vec<Prepared>>, longest: Duration) -> Arc<Self> {
        let next = claims.iter().map(|_| AtomicUsize::new(0)).collect();
        let end = Instant::now() + longest;
        Arc::new(Self {
            roster: roster.clone(),
            claims,
            next,
            verified: Mutex::default(),
            end,
        })
    }

    /// Appends one till's claims, one after the other, until none is left or the time is over.
    async fn append(self: Arc<Self>, till: usize, session: Session) -> Tally {
        let mut tally = Tally::new();
        while Instant::now() < self.end {
            let place = self.next[till].fetch_add(1, Ordering::Relaxed);
            let Some(claim) = self.claims[till].get(place) else {
                break;
            };
            let started = Instant::now();
            let payload = Some((&claim.payload, &claim.salt));
            let outcome = match session.home().append(&claim.entry, payload).await {
                Ok(AppendAnswer::Accepted(receipt)) => self.verify(&receipt),
                Ok(AppendAnswer::Refused { reason, .. }) => Err(reason.code().to_owned()),
                Err(error) => Err(error.to_string()),
            };
            tally.count(started.elapsed(), outcome);
        }
        tally
    }

    fn verify(&self, receipt: &Receipt) -> Result<(), String> {
        let checkpoint = self
            .verified
            .lock()
            .unwrap()
            .verify(&receipt.checkpoint, &self.roster)?;
        receipt
            .proved
            .verify_inclusion(&checkpoint)
            .map_err(|error| error.to_string())
    }
}

/// Looks up what claims have taken until the time is over; the client verifies each answer.
async fn look_up(
    session: Session,
    taken: Arc<Vec<Vec<SlotKey>>>,
    coverages: Arc<Vec<CoverageKey>>,
    first: usize,
    end: Instant,
) -> Tally {
    let mut tally = Tally::new();
    let mut place = first;
    while Instant::now() < end {
        // A stride that meets every claim before it meets one twice.
        place = (place + 7_919) % taken.len();
        let coverage = [coverages[place % coverages.len()]];
        let started = Instant::now();
        let outcome = match session.lookup(&taken[place], &coverage).await {
            Ok(found) if found.slots.iter().all(Option::is_some) => Ok(()),
            Ok(_) => Err("a slot that was taken is free".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        tally.count(started.elapsed(), outcome);
    }
    tally
}

/// The median time of one strict signature check, with nothing else to do.
fn signature_check_micros(entry: &Entry, origin: &Origin) -> f64 {
    let mut took: Vec<Duration> = (0..CHECKS_FOR_SCALE)
        .map(|_| {
            let entry = entry.clone();
            let started = Instant::now();
            black_box(entry.verify(origin).unwrap());
            started.elapsed()
        })
        .collect();
    took.sort_unstable();
    took[CHECKS_FOR_SCALE / 2].as_secs_f64() * 1e6
}

fn main() {
    let options = Options::parse();
    let report = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(measure(&options));
    match options.output {
        Output::Json => println!("{}", serde_json::to_string(&report).unwrap()),
        Output::Text => {
            let value = serde_json::to_value(&report).unwrap();
            for (name, value) in value.as_object().unwrap() {
                println!("{name:24} {value}");
            }
        }
    }
    if !report.errors.is_empty() {
        std::process::exit(1);
    }
}

async fn measure(options: &Options) -> Report {
    let folder = scratch_folder();
    let delay = options.sync_delay_ms.to_string();
    let stage = Stage::set(folder.path(), options.nodes, &["--sync-delay-ms", &delay]).await;
    let connections = options
        .connections
        .unwrap_or(16)
        .clamp(1, options.in_flight.max(1));
    let tills = stage.grant_tills(connections).await;
    let ground = stage.lay_ground().await;
    let sessions = stage.sessions(&tills);
    for session in &sessions {
        session.home().checkpoint().await.unwrap(); // connects, before the clock starts
    }
    let seconds = usize::try_from(options.seconds).unwrap();
    let count = match options.mode {
        Mode::Append => seconds * CLAIMS_PER_SECOND,
        Mode::Lookup => CLAIMS_BEFORE_LOOKUPS,
    };
    let claims = ground.claims(&tills, count, options.slots.into());
    let first = claims[0][0].entry.clone().into_entry();
    let signature_check_us = signature_check_micros(&first, stage.federation().origin());
    let driver = Driver {
        options,
        stage: &stage,
        sessions,
    };
    let measured = match options.mode {
        Mode::Append => driver.append(claims).await,
        Mode::Lookup => driver.look_up(claims, ground.coverage_keys).await,
    };
    measured.report(&driver, signature_check_us)
}

fn slots_of(claims: &[Vec<Prepared>]) -> Vec<Vec<SlotKey>> {
    let slots =
        claims
            .iter()
            .flatten()
            .map(|claim| match Attestation::read(claim.entry.header()) {
                Ok(Attestation::Claim(claim)) => claim.slots,
                _ => Vec::new(),
            });
    slots.collect()
}

/// Who drives what.
struct Driver<'a> {
    options: &'a Options,
    stage: &'a Stage,
    sessions: Vec<Session>,
}

impl Driver<'_> {
    async fn append(&self, claims: Vec<Vec<Prepared>>) -> Measured {
        let before = self.stage.usage();
        let Options {
            in_flight, seconds, ..
        } = *self.options;
        let (tally, took, checkpoints) = self.append_all(claims, in_flight, seconds).await;
        let usage = (before, self.stage.usage());
        Measured {
            tally,
            took,
            checkpoints,
            usage,
        }
    }

    async fn look_up(&self, claims: Vec<Vec<Prepared>>, coverages: Vec<CoverageKey>) -> Measured {
        let taken = Arc::new(slots_of(&claims));
        self.append_all(claims, IN_FLIGHT_BEFORE_LOOKUPS, SECONDS_MAX)
            .await;
        let before = self.stage.usage();
        let (tally, took) = self.look_up_all(&taken, &Arc::new(coverages)).await;
        let usage = (before, self.stage.usage());
        Measured {
            tally,
            took,
            checkpoints: 0,
            usage,
        }
    }

    async fn append_all(
        &self,
        claims: Vec<Vec<Prepared>>,
        in_flight: usize,
        seconds: u64,
    ) -> (Tally, Duration, usize) {
        let started = Instant::now();
        let roster = &self.stage.federation().roster;
        let run = Run::new(roster, claims, Duration::from_secs(seconds));
        let mut callers = JoinSet::new();
        for caller in 0..in_flight {
            let till = caller % self.sessions.len();
            callers.spawn(run.clone().append(till, self.sessions[till].clone()));
        }
        let tally = all(callers).await;
        let checkpoints = run.verified.lock().unwrap().count;
        (tally, started.elapsed(), checkpoints)
    }

    async fn look_up_all(
        &self,
        taken: &Arc<Vec<Vec<SlotKey>>>,
        coverages: &Arc<Vec<CoverageKey>>,
    ) -> (Tally, Duration) {
        let started = Instant::now();
        let end = started + Duration::from_secs(self.options.seconds);
        let in_flight = self.options.in_flight;
        let mut callers = JoinSet::new();
        for caller in 0..in_flight {
            let session = self.sessions[caller % self.sessions.len()].clone();
            let first = caller * taken.len() / in_flight;
            let (taken, coverages) = (taken.clone(), coverages.clone());
            callers.spawn(look_up(session, taken, coverages, first, end));
        }
        (all(callers).await, started.elapsed())
    }
}

async fn all(mut callers: JoinSet<Tally>) -> Tally {
    let mut tally = Tally::new();
    while let Some(one) = callers.join_next().await {
        tally.add(one.unwrap());
    }
    tally
}

/// What a run has shown.
struct Measured {
    tally: Tally,
    took: Duration,
    checkpoints: usize,
    usage: (Usage, Usage),
}

impl Measured {
    fn report(self, driver: &Driver<'_>, signature_check_us: f64) -> Report {
        let Self {
            tally,
            took,
            checkpoints,
            usage: (before, after),
        } = self;
        let options = driver.options;
        let entries = tally.micros.len();
        #[allow(clippy::cast_precision_loss, reason = "figures of a report")]
        let float = |number: u64| number as f64;
        let each = |total: f64| total / float(entries.max(1));
        let millis = |micros: u64| float(micros) / 1e3;
        let cpu_micros = |ticks: u64| each(float(ticks) * 1e6 / float(TICKS_PER_SECOND));
        let rate = Some(float(entries) / took.as_secs_f64());
        let batches = after.batches - before.batches;
        Report {
            mode: options.mode,
            nodes: options.nodes,
            in_flight: options.in_flight,
            connections: driver.sessions.len(),
            seconds: took.as_secs_f64(),
            appends_per_s: rate.filter(|_| options.mode == Mode::Append),
            lookups_per_s: rate.filter(|_| options.mode == Mode::Lookup),
            p50_ms: millis(tally.micros.value_at_quantile(0.5)),
            p99_ms: millis(tally.micros.value_at_quantile(0.99)),
            max_ms: millis(tally.micros.max()),
            entries,
            checkpoints,
            node_cpu_us_per_entry: cpu_micros(after.node_ticks - before.node_ticks),
            load_cpu_us_per_entry: cpu_micros(after.own_ticks - before.own_ticks),
            node_rss_mb: float(driver.stage.largest_rss_kib()) / 1024.0,
            disk_bytes_per_entry: each(float(after.disk.saturating_sub(before.disk))),
            batches,
            syncs_per_batch: (after.syncs - before.syncs) / batches,
            sync_delay_ms: options.sync_delay_ms,
            signature_check_us,
            errors: tally.errors,
        }
    }
}
