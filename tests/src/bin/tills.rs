//! How long `vitrail check` takes from the start of its process to its verified answer, over a real
//! federation in which two payers quote from their own contracts: one till, many at once without a
//! pause, and many that check at moments of their own; and whose processor time it is.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement that cannot go on ends with its reason"
)]

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use client::system;
use hdrhistogram::Histogram;
use serde::Serialize;
use tests::payers::Payers;
use tests::process::{TICKS_PER_SECOND, cpu_ticks_of_children};

/// Measures coverage checks.
#[derive(Debug, Parser)]
#[command(name = "tills")]
struct Options {
    /// How many checks one till makes, one after another.
    #[arg(long, default_value_t = 200)]
    alone: usize,
    /// How many tills there are.
    #[arg(long, default_value_t = 50)]
    tills: usize,
    /// How many checks each of them makes without a pause, all of them at once.
    #[arg(long, default_value_t = 10)]
    each: usize,
    /// Every how many seconds, on average, each of them checks when it is open at the counter; may
    /// be repeated, for one measurement each.
    #[arg(long)]
    every: Vec<f64>,
    /// Whether all four members vote; otherwise the CNAM's node does, and the others follow it.
    #[arg(long)]
    all_vote: bool,
    /// How long one such measurement lasts, in seconds.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
}

/// What some checks took, in milliseconds, how many of them both payers' nodes answered, and the
/// processor time they cost. Steps of that are 10 ms, so a hundred checks tell it to 0.1 ms.
#[derive(Debug, Serialize)]
struct Took {
    checks: usize,
    live: usize,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    checks_per_s: f64,
    /// Of one check, by the till's process.
    till_cpu_ms: f64,
    /// Of one check, by all nodes together.
    nodes_cpu_ms: f64,
    /// The same of each node.
    node_cpu_ms: BTreeMap<String, f64>,
}

/// Tills that check at moments of their own.
#[derive(Debug, Serialize)]
struct Open {
    tills: usize,
    /// The pause of one till from one due moment to the next, on average.
    every_s: f64,
    /// From the moment at which a check was due: what a till that was late adds, counts.
    took: Took,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    one_till: Option<Took>,
    tills: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_once: Option<Took>,
    open: Vec<Open>,
}

/// How long a check took, and whether both payers' nodes answered.
type Check = (Duration, bool);

/// One check of a till's own person, from a moment on.
fn check(payers: &Payers, till: usize, from: Instant) -> Check {
    let answer = payers.check_command(till, till).output().unwrap();
    let took = from.elapsed();
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(answer.status.success(), "{said}");
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["rest_cents"], 37_991);
    let live = |payer: usize| answer["payers"][payer]["source"] == "live";
    (took, live(0) && live(1))
}

/// Processor time so far: of the checks that have ended, and of each node.
struct Spent {
    tills: u64,
    nodes: BTreeMap<String, u64>,
}

impl Spent {
    fn now(payers: &Payers) -> Self {
        let nodes = payers.nodes.running.iter();
        Self {
            tills: cpu_ticks_of_children(),
            nodes: nodes
                .map(|(name, node)| (name.to_string(), node.cpu_ticks()))
                .collect(),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a figure of a report")]
fn ratio(ticks: u64, checks: usize) -> f64 {
    ticks as f64 * 1e3 / TICKS_PER_SECOND as f64 / checks.max(1) as f64
}

/// Makes checks and reports what they took.
fn measured(payers: &Payers, checks: impl FnOnce() -> Vec<Check>) -> Took {
    let (before, started) = (Spent::now(payers), Instant::now());
    let checks = checks();
    let (whole, after) = (started.elapsed(), Spent::now(payers));
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    for (took, _) in &checks {
        let micros = u64::try_from(took.as_micros()).unwrap();
        histogram.record(micros).unwrap();
    }
    let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
    let millis = |took: Duration| took.as_secs_f64() * 1e3;
    let of_node = |(name, ticks): (&String, &u64)| {
        let spent = ticks - before.nodes[name];
        (name.clone(), ratio(spent, checks.len()))
    };
    let node_cpu_ms: BTreeMap<_, _> = after.nodes.iter().map(of_node).collect();
    #[allow(clippy::cast_precision_loss, reason = "a figure of a report")]
    let count = checks.len() as f64;
    Took {
        checks: checks.len(),
        live: checks.iter().filter(|(_, live)| *live).count(),
        p50_ms: millis(at(0.5)),
        p95_ms: millis(at(0.95)),
        p99_ms: millis(at(0.99)),
        max_ms: millis(Duration::from_micros(histogram.max())),
        checks_per_s: count / whole.as_secs_f64(),
        till_cpu_ms: ratio(after.tills - before.tills, checks.len()),
        nodes_cpu_ms: node_cpu_ms.values().sum(),
        node_cpu_ms,
    }
}

fn one_till(payers: &Payers, count: usize) -> Vec<Check> {
    (0..count)
        .map(|_| check(payers, 0, Instant::now()))
        .collect()
}

/// The checks of all tills, each of which makes its own one after another.
fn by_all(tills: usize, checks: impl Fn(usize) -> Vec<Check> + Sync) -> Vec<Check> {
    let checks = &checks;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..tills)
            .map(|till| scope.spawn(move || checks(till)))
            .collect();
        let threads = threads.into_iter();
        threads
            .flat_map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    })
}

fn at_once(payers: &Payers, tills: usize, each: usize) -> Vec<Check> {
    by_all(tills, |till| {
        let check = |_| check(payers, till, Instant::now());
        (0..each).map(check).collect()
    })
}

/// A pause of this many seconds on average, exponentially distributed, as between customers who
/// know nothing of each other.
fn pause(every: f64) -> Duration {
    // 53 bits are what a float holds; the half keeps the logarithm's argument from 0.
    let drawn = u64::from_be_bytes(system::random().unwrap()) >> 11;
    #[allow(clippy::cast_precision_loss, reason = "2^53 values are exact")]
    let uniform = (drawn as f64 + 0.5) / (1_u64 << 53) as f64;
    Duration::from_secs_f64(-uniform.ln() * every)
}

/// Each till checks at moments of its own until the time is over. A moment does not wait for the
/// check before it: one that is late counts from when it was due.
fn open(payers: &Payers, tills: usize, every: f64, seconds: f64) -> Vec<Check> {
    let started = Instant::now();
    let end = started + Duration::from_secs_f64(seconds);
    by_all(tills, |till| {
        let mut checks = Vec::new();
        let mut due = started + pause(every);
        while due < end {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            checks.push(check(payers, till, due));
            due += pause(every);
        }
        checks
    })
}

#[tokio::main]
async fn main() {
    let Options {
        alone,
        tills,
        each,
        every,
        all_vote,
        seconds,
    } = Options::parse();
    let payers = match all_vote {
        true => Payers::all_voting(tills + 1, tills).await,
        false => Payers::new(tills + 1, tills).await,
    };
    // Warm: every coverage is in the ledger, as after a person's first check anywhere.
    for till in 0..tills {
        check(&payers, till, Instant::now());
    }
    let open = every.into_iter().map(|every_s| Open {
        tills,
        every_s,
        took: measured(&payers, || open(&payers, tills, every_s, seconds)),
    });
    let report = Report {
        one_till: (alone > 0).then(|| measured(&payers, || one_till(&payers, alone))),
        tills,
        at_once: (each > 0).then(|| measured(&payers, || at_once(&payers, tills, each))),
        open: open.collect(),
    };
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
}
