//! `contracts import`: an insurer's list of members becomes its file of tokens.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use client::contracts::import::{self, ImportFiles, Imported, Step};
use client::profile::Settings;
use client::system;
use indicatif::ProgressStyle;
use schemars::JsonSchema;
use serde::Serialize;

use super::cover::progress_bar;
use super::report::{ProblemReport, Report, to_json};
use super::{Answer, SettingsArgs};

/// What can be done with contracts.
#[derive(Subcommand)]
pub(super) enum ContractsCommand {
    /// Turns a list of members into tokens; stopped, the same command goes on where it was
    Import(ImportArgs),
}

/// Arguments of `contracts import`.
#[derive(Args)]
pub(super) struct ImportArgs {
    /// CSV: member_number;birth_date;birth_rank;plan;rights_from;rights_to and, if you like,
    /// reference, which is your own and must be no member number
    #[arg(value_name = "FILE")]
    list: PathBuf,
    /// The contracts file to write, for you alone to read
    #[arg(
        long,
        env = "VITRAIL_CONTRACTS",
        value_name = "FILE",
        default_value = "contracts.txt"
    )]
    out: PathBuf,
    /// Replace a contracts file that is there, once the new one is whole
    #[arg(long)]
    replace: bool,
    /// Forget an import that was stopped, and begin again
    #[arg(long)]
    restart: bool,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Runs one of the commands.
pub(super) async fn run(command: ContractsCommand) -> Answer {
    match command {
        ContractsCommand::Import(args) => import(args).await,
    }
}

/// `vitrail contracts import`
async fn import(args: ImportArgs) -> Answer {
    let session = args
        .settings
        .load(Settings::default())?
        .open_session()
        .await?;
    let files = ImportFiles {
        list: args.list,
        out: args.out,
        replace: args.replace,
        restart: args.restart,
    };
    let bar = progress_bar(0);
    // A template that does not parse leaves the bar in its plain style.
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent} % {msg} {eta}") {
        bar.set_style(style);
    }
    let mut watch = |step: Step| {
        bar.set_length(step.length);
        bar.set_position(step.offset);
        bar.set_message(format!("{} contracts", step.contracts));
    };
    let today = system::now().day();
    let imported = import::import(&session, &files, today, &mut watch).await;
    bar.finish_and_clear();
    Ok(Box::new(ContractsReport::new(imported?, files.out)))
}

/// What `contracts import` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ContractsReport {
    contracts: u64,
    /// Lines that were left out: all of them are counted.
    skipped: u64,
    /// The first of them.
    problems: Vec<ProblemReport>,
    /// The line after which an import that was stopped went on.
    resumed_after: Option<u64>,
    out: PathBuf,
}

impl ContractsReport {
    fn new(imported: Imported, out: PathBuf) -> Self {
        let problems = imported.problems.into_iter().map(|problem| ProblemReport {
            line: problem.line,
            problem: problem.reason,
        });
        Self {
            contracts: imported.contracts,
            skipped: imported.skipped,
            problems: problems.collect(),
            resumed_after: imported.resumed_after,
            out,
        }
    }
}

impl Report for ContractsReport {
    fn text(&self) -> String {
        let Self {
            contracts,
            skipped,
            problems,
            out,
            ..
        } = self;
        let mut text = String::new();
        if let Some(line) = self.resumed_after {
            let _ = writeln!(text, "went on after line {line}");
        }
        let _ = writeln!(text, "contracts {contracts}, lines skipped {skipped}");
        for ProblemReport { line, problem } in problems {
            let _ = writeln!(text, "line {line}: {problem}");
        }
        let more = skipped.saturating_sub(problems.len() as u64);
        if more > 0 {
            let _ = writeln!(text, "and {more} more lines");
        }
        let _ = writeln!(text, "written to {}", out.display());
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.skipped == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(skipped: u64) -> ContractsReport {
        ContractsReport {
            contracts: 998,
            skipped,
            problems: vec![ProblemReport {
                line: 17,
                problem: "birth_date: must be YYYYMMDD".to_owned(),
            }],
            resumed_after: Some(501),
            out: "contracts.txt".into(),
        }
    }

    #[test]
    fn the_json_of_an_import_is_an_interface() {
        assert_eq!(
            report(1).json(),
            "{\"contracts\":998,\"skipped\":1,\"problems\":[{\"line\":17,\"problem\":\
             \"birth_date: must be YYYYMMDD\"}],\"resumed_after\":501,\"out\":\"contracts.txt\"}"
        );
    }

    #[test]
    fn a_line_that_was_left_out_makes_it_a_no() {
        assert!(!report(2).is_yes() && report(0).is_yes());
        assert!(report(2).text().contains("and 1 more lines"));
    }
}
