//! `doctor`: what is wrong, and what may be done about it.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use client::doctor::{self, Finding, Standing};
use client::profile::{QUEUE_FOLDER, Settings};
use schemars::JsonSchema;
use serde::Serialize;

use super::report::{Report, to_json};
use super::{Answer, SettingsArgs};

/// Arguments of `doctor`.
#[derive(Args)]
pub(super) struct DoctorArgs {
    /// The folder of claims that wait
    #[arg(
        long,
        env = "VITRAIL_QUEUE",
        value_name = "DIR",
        default_value = QUEUE_FOLDER
    )]
    queue: PathBuf,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// `vitrail doctor`
pub(super) async fn doctor(args: DoctorArgs) -> Answer {
    let profile = args.settings.load(Settings::default())?;
    let findings = doctor::examine(&profile, &args.queue).await;
    Ok(Box::new(DoctorReport {
        well: findings.iter().all(|one| one.standing != Standing::Ill),
        findings: findings.into_iter().map(FindingReport::from).collect(),
    }))
}

/// What `doctor` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DoctorReport {
    /// Whether nothing is ill.
    well: bool,
    findings: Vec<FindingReport>,
}

/// What was found of one matter.
#[derive(Debug, Serialize, JsonSchema)]
struct FindingReport {
    matter: String,
    /// `ok`, `remark`, or `failed`.
    standing: &'static str,
    found: String,
    /// What may be done.
    hint: Option<&'static str>,
}

impl From<Finding> for FindingReport {
    fn from(finding: Finding) -> Self {
        Self {
            matter: finding.matter,
            standing: match finding.standing {
                Standing::Well => "ok",
                Standing::Remark => "remark",
                Standing::Ill => "failed",
            },
            found: finding.found,
            hint: finding.hint,
        }
    }
}

impl Report for DoctorReport {
    fn text(&self) -> String {
        let mut text = String::new();
        for one in &self.findings {
            let _ = writeln!(text, "{:<7} {:<18} {}", one.standing, one.matter, one.found);
            if let Some(hint) = one.hint {
                let _ = writeln!(text, "{:<26} {hint}", "");
            }
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.well
    }
}
