//! `vitrail-node check perf`: whether this machine is fit for a node, before it goes live.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use proto::roster::MEMBERS_MAX;

use super::answer::{Output, print};
use super::failure::CommandError;
use super::{told_to_stop, wait_for};
use crate::fitness::{Effort, Fitness, FitnessError, Verdict, examine};

/// Members of the smallest federation in which one may lie.
const MEMBERS_DEFAULT: u32 = 4;
/// A minute of each says no more than a second, and is a long time for a machine that is full.
const SECONDS_MAX: u64 = 60;
/// Beyond it no federation would be in one country.
const ROUND_TRIP_MS_MAX: u64 = 10_000;
/// How often the spinner turns.
const TURN: Duration = Duration::from_millis(100);

/// What can be checked.
#[derive(Debug, Subcommand)]
pub(super) enum CheckCommand {
    /// Measure disk and processors with the node's own work, for some seconds, and say whether they
    /// are fit for a node.
    Perf(PerfArgs),
}

/// Arguments of `check perf`.
#[derive(Debug, Args)]
pub(super) struct PerfArgs {
    /// The folder of the ledger, or any on the disk that it is to lie on. Written into, below a
    /// folder of its own, and left as it was.
    #[arg(long, env = "VITRAIL_DATA", value_name = "DIR")]
    data: PathBuf,
    /// Members that vote, this one included.
    #[arg(long, value_name = "N", default_value_t = MEMBERS_DEFAULT,
        value_parser = clap::value_parser!(u32).range(1..=MEMBERS_MAX as i64))]
    members: u32,
    /// Milliseconds to the other members and back.
    #[arg(long, value_name = "MS", default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(..=ROUND_TRIP_MS_MAX))]
    round_trip_ms: u64,
    /// Seconds for each of five measurements; 0 does the fewest rounds.
    #[arg(long, value_name = "S", default_value_t = 1,
        value_parser = clap::value_parser!(u64).range(..=SECONDS_MAX))]
    seconds: u64,
}

pub(super) fn check(command: CheckCommand, output: Output) -> Result<(), CommandError> {
    let CheckCommand::Perf(args) = command;
    let effort = Effort::new(
        Duration::from_secs(args.seconds),
        args.members,
        Duration::from_millis(args.round_trip_ms),
    );
    wait_for(async {
        let fitness = measured(args.data, effort).await?;
        print(output, &fitness, &text(&fitness))?;
        match fitness.fit {
            true => Ok(()),
            false => Err(CommandError::Unfit),
        }
    })
}

/// Measures on a thread of its own. Told to stop, it ends what it is at and leaves nothing behind.
async fn measured(data: PathBuf, effort: Effort) -> Result<Fitness, CommandError> {
    let told = told_to_stop().map_err(|error| CommandError::Runtime(error.kind()))?;
    let stop = Arc::new(AtomicBool::new(false));
    let is_stopped = stop.clone();
    // On standard error, and only where that is a terminal.
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(TURN);
    let shown = bar.clone();
    let work = move || examine(&data, &effort, &is_stopped, |what| shown.set_message(what));
    let mut work = tokio::task::spawn_blocking(work);
    let done = tokio::select! {
        done = &mut work => done,
        () = told => {
            stop.store(true, Ordering::Relaxed);
            work.await
        }
    };
    bar.finish_and_clear();
    let done: Result<Fitness, FitnessError> =
        done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    done.map_err(|error| Box::new(error).into())
}

fn text(fitness: &Fitness) -> String {
    let mut text = String::new();
    for one in &fitness.findings {
        let verdict = one.verdict.as_str();
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{verdict:<7} {:<12} {}", one.matter, one.found);
        if let Some(hint) = one.hint {
            let _ = writeln!(text, "{:<20} wanted: {}\n{:<20} {hint}", "", one.wanted, "");
        }
    }
    for line in &fitness.estimate.arithmetic {
        let _ = writeln!(text, "  {line}");
    }
    if fitness.debug_build {
        text.push_str("built without optimisation: these are not the figures of the machine\n");
    }
    text.push_str(match fitness.verdict {
        Verdict::Ok => "fit\n",
        Verdict::Slow => "fit, and slow where it says so\n",
        Verdict::Unfit => "not fit\n",
    });
    text
}
