//! How long a member's node takes to come back from nothing: a ledger of so many entries is made,
//! one member's disk is empty, and `vitrail-node rebuild` fetches and verifies everything from the
//! others while they serve.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a run that cannot go on ends with its reason"
)]

use std::fs;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use client::session::Session;
use hdrhistogram::Histogram;
use proto::checkpoint::Checkpoint;
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use serde::{Deserialize, Serialize};
use tests::binary::{scratch_folder, vitrail_node};
use tests::nodes::Nodes;
use tests::replicated::{reaches, voting};
use tests::workload::{Ground, Prepared, fresh_slots};
use tokio::task::JoinSet;

/// The node's allocator, so that both share the two cores on the same terms.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Who votes, the first so many of them.
const VOTING: [&str; 4] = ["cnam", "alpha", "opticians", "beta"];
/// Whose disk is empty.
const REBUILT: &str = "beta";
/// Connections that fill the ledger, and appends on their way on each.
const TILLS: usize = 16;
const CALLS_EACH: usize = 16;
/// Claims signed at a time: what is signed must be sent within 120 s.
const CLAIMS_AT_A_TIME: usize = 64_000;
/// Longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// Pause of a till between two claims, and before it asks again.
const TILL_PAUSE: Duration = Duration::from_millis(20);
/// How long it claims before.
const BEFORE: Duration = Duration::from_secs(5);

/// Rebuilds a wiped node and says how long it took.
#[derive(Debug, Parser)]
#[command(name = "rebuild")]
struct Options {
    /// Entries in the ledger.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    entries: u64,
    /// Members that vote; with four, the wiped one is one of them.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=4))]
    nodes: u8,
}

/// What a run found.
#[derive(Debug, Serialize)]
struct Report {
    voting: u8,
    entries: u64,
    filled_s: f64,
    rebuilt_s: f64,
    entries_per_s: f64,
    disk_mb: u64,
    /// What a till's claim took at another node, before and meanwhile.
    claim_before: Took,
    claim_meanwhile: Took,
    cosigned_by: usize,
    quorum: usize,
    equal_roots_at: u64,
}

/// How long claims took.
#[derive(Debug, Serialize)]
struct Took {
    claims: u64,
    p50_ms: f64,
    p99_ms: f64,
}

/// What `vitrail-node rebuild` prints.
#[derive(Debug, Deserialize)]
struct Rebuilt {
    entries: u64,
    cosigned_by: usize,
    quorum: usize,
}

fn main() {
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let report = runtime.block_on(measure(&options));
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
}

async fn measure(options: &Options) -> Report {
    let folder = scratch_folder();
    let voters = &VOTING[..usize::from(options.nodes)];
    let mut nodes = voting(folder.path(), voters, &[]).await;
    let ground = Ground::lay(&nodes.federation, nodes.node("cnam")).await;
    let founder = nodes.node("cnam");
    let tills = nodes.federation.grant_tills(founder, TILLS + 1).await;
    let (one, tills) = tills.split_last().unwrap();
    let filled_s = fill(&nodes, &ground, tills, options.entries).await;
    if voters.contains(&REBUILT) {
        nodes.kill(REBUILT);
        fs::remove_dir_all(nodes.folder(REBUILT).join("data")).unwrap();
    }
    let pause = tokio::time::sleep(BEFORE);
    let (claim_before, ()) = meanwhile(&nodes, &ground, one, pause).await;
    let started = Instant::now();
    let (claim_meanwhile, output) = meanwhile(&nodes, &ground, one, rebuild(&nodes)).await;
    let rebuilt_s = started.elapsed().as_secs_f64();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let rebuilt: Rebuilt = serde_json::from_slice(&output.stdout).unwrap();
    nodes.start(&REBUILT.parse().unwrap(), &[]);
    let disk = tests::process::disk_bytes(&nodes.folder(REBUILT).join("data"));
    Report {
        voting: options.nodes,
        entries: rebuilt.entries,
        filled_s,
        rebuilt_s,
        #[allow(clippy::cast_precision_loss, reason = "figures of a report")]
        entries_per_s: rebuilt.entries as f64 / rebuilt_s,
        disk_mb: disk >> 20,
        claim_before,
        claim_meanwhile,
        cosigned_by: rebuilt.cosigned_by,
        quorum: rebuilt.quorum,
        equal_roots_at: equal_roots(&nodes, one).await,
    }
}

/// Fills the ledger with claims of fresh slots, through all nodes.
async fn fill(nodes: &Nodes, ground: &Ground, tills: &[SecretKey], entries: u64) -> f64 {
    let started = Instant::now();
    let homes = nodes.running.keys().cycle();
    let pairs = tills.iter().zip(homes);
    let sessions: Vec<Session> = pairs
        .map(|(till, home)| nodes.session(home.as_str(), till))
        .collect();
    let mut left = usize::try_from(entries).unwrap();
    while left > 0 {
        let count = left.min(CLAIMS_AT_A_TIME);
        let mut callers = JoinSet::new();
        for (session, claims) in sessions.iter().zip(ground.claims(tills, count, 1)) {
            let each = claims.len().div_ceil(CALLS_EACH).max(1);
            for part in claims.chunks(each) {
                callers.spawn(append_all(session.clone(), part.to_vec()));
            }
        }
        callers.join_all().await;
        left -= count;
    }
    started.elapsed().as_secs_f64()
}

async fn append_all(session: Session, claims: Vec<Prepared>) {
    for claim in &claims {
        append(&session, claim).await;
    }
}

/// Appends a claim; one that goes unanswered is asked for again, as tills do.
async fn append(session: &Session, claim: &Prepared) {
    let payload = Some((&claim.payload, &claim.salt));
    let until = Instant::now() + ANSWER_MAX;
    loop {
        match session.home().append(&claim.entry, payload).await {
            Ok(AppendAnswer::Accepted(_)) => return,
            Ok(AppendAnswer::Refused { reason, .. }) => panic!("refused: {}", reason.code()),
            Err(error) if Instant::now() > until => panic!("{error}"),
            Err(_) => tokio::time::sleep(TILL_PAUSE).await,
        }
    }
}

/// A till claims at the founder's node, one claim after the other, until something is done.
async fn meanwhile<T>(
    nodes: &Nodes,
    ground: &Ground,
    till: &SecretKey,
    done: impl Future<Output = T>,
) -> (Took, T) {
    let (session, over) = (nodes.session("cnam", till), AtomicBool::new(false));
    // One microsecond to a minute, which no deadline lets pass, to three figures.
    let mut micros: Histogram<u64> = Histogram::new_with_bounds(1, 60_000_000, 3).unwrap();
    let claims = async {
        while !over.load(Ordering::Relaxed) {
            let claim = ground.claim(till, &fresh_slots(1));
            let started = Instant::now();
            append(&session, &claim).await;
            micros.saturating_record(u64::try_from(started.elapsed().as_micros()).unwrap());
            tokio::time::sleep(TILL_PAUSE).await;
        }
    };
    let until = async {
        let done = done.await;
        over.store(true, Ordering::Relaxed);
        done
    };
    let ((), done) = tokio::join!(claims, until);
    #[allow(clippy::cast_precision_loss, reason = "figures of a report")]
    let millis = |quantile| micros.value_at_quantile(quantile) as f64 / 1e3;
    let took = Took {
        claims: micros.len(),
        p50_ms: millis(0.5),
        p99_ms: millis(0.99),
    };
    (took, done)
}

/// Runs `vitrail-node rebuild` on the empty disk.
async fn rebuild(nodes: &Nodes) -> Output {
    let mut command = Command::new(vitrail_node());
    command
        .args(["rebuild", "-o", "json", "--dir"])
        .arg(nodes.folder(REBUILT));
    let output = tokio::task::spawn_blocking(move || command.output());
    output.await.unwrap().unwrap()
}

/// The size at which the rebuilt node shows what the founder's shows.
async fn equal_roots(nodes: &Nodes, till: &SecretKey) -> u64 {
    let newest = nodes.session("cnam", till).home().checkpoint().await;
    let newest = newest.unwrap();
    let size = newest.claimed().size.get();
    let rebuilt = reaches(&nodes.session(REBUILT, till), size).await;
    let text = Checkpoint::to_text;
    assert_eq!(text(rebuilt.claimed()), text(newest.claimed()));
    size
}
