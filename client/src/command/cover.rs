//! `cover`: an insurer's file becomes coverages.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use clap::Args;
use client::coverage_file::{self, FILE_BYTES_MAX};
use client::files;
use client::insurer::{Covered, Insurer, InsurerError};
use client::issue::Issued;
use client::profile::Settings;
use indicatif::ProgressBar;

use super::report::{CoverReport, ProblemReport};
use super::{Answer, SettingsArgs};

/// Arguments of `cover`.
#[derive(Args)]
pub(super) struct CoverArgs {
    /// CSV: member_number;birth_date;birth_rank;grouped_code;amount;until;renewal_months
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The entry that names the catalogue in force
    #[arg(long, env = "VITRAIL_CATALOGUE_ENTRY", value_name = "INDEX")]
    catalogue_entry: Option<u64>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// `vitrail cover`
pub(super) async fn cover(args: CoverArgs) -> Answer {
    let more = Settings {
        catalogue_entry: args.catalogue_entry,
        ..Settings::default()
    };
    let profile = args.settings.load(more)?;
    let session = profile.open_session().await?;
    let role = session.own_member().ok_or(InsurerError::NotAPayer)?.role;
    let file = coverage_file::read(&files::read(&args.file, FILE_BYTES_MAX)?, role)?;
    let insurer = Insurer::open(session, profile.catalogue_entry()?).await?;
    let (lines, rows): (Vec<u64>, Vec<_>) = file.rows.into_iter().unzip();
    let bar = progress_bar(rows.len() as u64);
    let covered = insurer.cover(&rows, &mut |_| bar.inc(1)).await?;
    bar.finish_and_clear();
    let skipped = file.skipped.len();
    let mut report = CoverReport {
        skipped,
        ..CoverReport::default()
    };
    for line in &file.skipped {
        let problem = line.reason.to_string();
        report.problems.push(ProblemReport {
            line: line.line,
            problem,
        });
    }
    for one in &covered {
        count(
            &mut report,
            lines.get(one.position).copied().unwrap_or_default(),
            one,
        );
    }
    Ok(Box::new(report))
}

fn count(report: &mut CoverReport, line: u64, covered: &Covered) {
    let problem = match &covered.outcome {
        Ok(Issued::Accepted(_)) => {
            report.accepted += 1;
            return;
        }
        Ok(Issued::Refused(refused)) => {
            report.refused += 1;
            format!("{} ({})", refused.reason.french(), refused.reason.code())
        }
        Err(error) => {
            report.unknown += 1;
            error.to_string()
        }
    };
    report.problems.push(ProblemReport { line, problem });
}

/// A bar on a terminal, nothing anywhere else.
pub(super) fn progress_bar(length: u64) -> ProgressBar {
    if std::io::stderr().is_terminal() {
        ProgressBar::new(length)
    } else {
        ProgressBar::hidden()
    }
}
