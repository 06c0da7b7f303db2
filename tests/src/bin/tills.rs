//! How long `vitrail check` takes from the start of its process to its verified answer, over a real
//! federation in which two payers quote from their own contracts: one till, and many at once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a measurement that cannot go on ends with its reason"
)]

use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;
use serde::Serialize;
use tests::payers::Payers;

/// Measures coverage checks.
#[derive(Debug, Parser)]
#[command(name = "tills")]
struct Options {
    /// How many checks one till makes, one after another.
    #[arg(long, default_value_t = 200)]
    alone: usize,
    /// How many tills check at once.
    #[arg(long, default_value_t = 50)]
    tills: usize,
    /// How many checks each of them makes.
    #[arg(long, default_value_t = 10)]
    each: usize,
}

/// What some checks took, in milliseconds, and how many of them both payers' nodes answered.
#[derive(Debug, Serialize)]
struct Took {
    checks: usize,
    live: usize,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    checks_per_s: f64,
}

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    one_till: Took,
    tills: usize,
    at_once: Took,
}

/// One check: how long it took, and whether both payers' nodes answered.
fn check(payers: &Payers, till: usize) -> (Duration, bool) {
    let mut command = payers.check_command(till, till);
    let started = Instant::now();
    let answer = command.output().unwrap();
    let took = started.elapsed();
    let said = String::from_utf8_lossy(&answer.stderr).into_owned();
    assert!(answer.status.success(), "{said}");
    let answer: serde_json::Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(answer["rest_cents"], 37_991);
    let live = |payer: usize| answer["payers"][payer]["source"] == "live";
    (took, live(0) && live(1))
}

fn report(checks: &[(Duration, bool)], whole: Duration) -> Took {
    let mut histogram = Histogram::<u64>::new(3).unwrap();
    for (took, _) in checks {
        let micros = u64::try_from(took.as_micros()).unwrap();
        histogram.record(micros).unwrap();
    }
    let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile));
    let millis = |took: Duration| took.as_secs_f64() * 1e3;
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
    }
}

fn one_till(payers: &Payers, count: usize) -> Took {
    let started = Instant::now();
    let checks: Vec<_> = (0..count).map(|_| check(payers, 0)).collect();
    report(&checks, started.elapsed())
}

fn at_once(payers: &Payers, tills: usize, each: usize) -> Took {
    let started = Instant::now();
    let checks = thread::scope(|scope| {
        let checks = |till| move || (0..each).map(|_| check(payers, till)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..tills).map(|till| scope.spawn(checks(till))).collect();
        let threads = threads.into_iter();
        threads
            .flat_map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    report(&checks, started.elapsed())
}

#[tokio::main]
async fn main() {
    let Options { alone, tills, each } = Options::parse();
    let payers = Payers::new(tills + 1, tills).await;
    // Warm: every coverage is in the ledger, as after a person's first check anywhere.
    for till in 0..tills {
        check(&payers, till);
    }
    let report = Report {
        one_till: one_till(&payers, alone),
        tills,
        at_once: at_once(&payers, tills, each),
    };
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
}
