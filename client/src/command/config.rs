//! `config show`: the settings that count, and where each comes from.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Subcommand};
use client::profile::{Layer, Setting};
use schemars::JsonSchema;
use serde::Serialize;

use super::keeping::{ReceiptsArgs, settings};
use super::report::{Report, to_json};
use super::{Answer, SettingsArgs};

/// What can be done with settings.
#[derive(Subcommand)]
pub(super) enum ConfigCommand {
    /// Shows every setting as it counts in this folder
    Show(ShowArgs),
}

/// Arguments of `config show`.
#[derive(Args)]
pub(super) struct ShowArgs {
    /// Say where each comes from: a flag, the environment, the profile, or nowhere
    #[arg(long)]
    origins: bool,
    #[command(flatten)]
    receipts: ReceiptsArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// `vitrail config show`; `matches` are the words of the whole command line.
pub(super) fn run(command: ConfigCommand, matches: &ArgMatches) -> Answer {
    let ConfigCommand::Show(args) = command;
    let of_show = matches
        .subcommand_matches("config")
        .and_then(|config| config.subcommand_matches("show"));
    let is_from_environment = |name: &str| {
        let name = name.split('.').next().unwrap_or(name);
        let source =
            of_show.and_then(|show| show.try_contains_id(name).ok().and(show.value_source(name)));
        source == Some(ValueSource::EnvVariable)
    };
    let layers = args.settings.layers(settings(args.receipts))?;
    let line = |setting: Setting| SettingReport::new(setting, is_from_environment);
    Ok(Box::new(ConfigReport {
        profile: layers.file().map(Into::into),
        settings: layers.settings().into_iter().map(line).collect(),
        origins: args.origins,
    }))
}

/// What `config show` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ConfigReport {
    /// The profile that was read, if there is one.
    profile: Option<PathBuf>,
    settings: Vec<SettingReport>,
    #[serde(skip)]
    origins: bool,
}

/// One setting.
#[derive(Debug, Serialize, JsonSchema)]
struct SettingReport {
    name: String,
    value: Option<String>,
    /// `flag`, `environment`, `profile`, `default`, or `unset`.
    origin: &'static str,
}

impl SettingReport {
    fn new(setting: Setting, is_from_environment: impl Fn(&str) -> bool) -> Self {
        let Setting { name, value } = setting;
        let origin = match value.as_ref().map(|(_, layer)| layer) {
            Some(Layer::Above) if is_from_environment(&name) => "environment",
            Some(Layer::Above) => "flag",
            Some(Layer::File) => "profile",
            Some(Layer::Default) => "default",
            None => "unset",
        };
        Self {
            name,
            value: value.map(|(value, _)| value),
            origin,
        }
    }
}

impl Report for ConfigReport {
    fn text(&self) -> String {
        let mut text = String::new();
        for SettingReport {
            name,
            value,
            origin,
        } in &self.settings
        {
            let value = value.as_deref().unwrap_or("-");
            let _ = match self.origins {
                true => writeln!(text, "{name:<16} {origin:<12} {value}"),
                false => writeln!(text, "{name:<16} {value}"),
            };
        }
        match &self.profile {
            Some(profile) => text.push_str(&format!("profile {}\n", profile.display())),
            None => text.push_str("no profile: there is no vitrail.toml here\n"),
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }
}
