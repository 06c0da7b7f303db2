//! `vitrail-node config show`: the settings that count, and where each comes from.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{Output, print};
use super::failure::CommandError;
use crate::config::{Layer, Setting, Settings};

/// What can be done with settings.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show every setting as it counts for the node in this folder.
    Show(ShowArgs),
}

/// Arguments of `config show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Say where each comes from: a flag, the environment, the machine's file, the node's folder, or
    /// nowhere.
    #[arg(long)]
    origins: bool,
    /// The node's folder.
    #[arg(long, env = "VITRAIL_DIR")]
    dir: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

/// What `config show` prints of a setting.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SettingReport {
    name: String,
    value: Option<String>,
    /// `flag`, `environment`, `machine`, `folder`, `default`, or `unset`.
    origin: &'static str,
}

/// What `config show` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ConfigReport {
    settings: Vec<SettingReport>,
}

/// `matches` are the words of the whole command line.
pub(super) fn config(
    command: ConfigCommand,
    matches: &ArgMatches,
    output: Output,
) -> Result<(), CommandError> {
    let ConfigCommand::Show(args) = command;
    let show = matches
        .subcommand_matches("config")
        .and_then(|config| config.subcommand_matches("show"));
    let is_from_environment = |name: &str| {
        let source = show.and_then(|show| show.value_source(name));
        source == Some(ValueSource::EnvVariable)
    };
    let settings = Settings::explained(&args.dir, &args.settings)?.into_iter();
    let report = ConfigReport {
        settings: settings
            .map(|setting| told(setting, is_from_environment))
            .collect(),
    };
    print(output, &report, &text(&report, args.origins))
}

fn told(setting: Setting, is_from_environment: impl Fn(&str) -> bool) -> SettingReport {
    let Setting { name, value } = setting;
    let origin = match value.as_ref().map(|(_, layer)| layer) {
        Some(Layer::Above) if is_from_environment(&name) => "environment",
        Some(Layer::Above) => "flag",
        Some(Layer::Machine) => "machine",
        Some(Layer::Folder) => "folder",
        Some(Layer::Default) => "default",
        None => "unset",
    };
    SettingReport {
        name,
        value: value.map(|(value, _)| value),
        origin,
    }
}

fn text(report: &ConfigReport, origins: bool) -> String {
    let mut text = String::new();
    for SettingReport {
        name,
        value,
        origin,
    } in &report.settings
    {
        let value = value.as_deref().unwrap_or("-");
        let origin = if origins { *origin } else { "" };
        let width = if origins { 12 } else { 0 };
        let _ = writeln!(text, "{name:<19} {origin:<width$}{value}");
    }
    text
}
