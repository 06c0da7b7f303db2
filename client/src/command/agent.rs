//! `agent`: a service on the shop's machine for its till software.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use client::agent::{
    Agent, AgentParts, ConformanceAnswer, Handled, Mode, ScenarioAnswer, openapi_json,
};
use client::failure::FailureKind;
use client::profile::{AGENT_FOLDER, AGENT_LISTEN, AgentSettings, QUEUE_FOLDER};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::keeping::{ReceiptsArgs, settings};
use super::print::{self, Format};
use super::report::{Report, to_json};
use super::{Answer, Failed, SettingsArgs};

/// Threads that it works with: one may wait for a lock on the disk.
pub(super) const THREADS: usize = 4;

/// Arguments of `agent`.
#[derive(Args)]
pub(super) struct AgentArgs {
    /// The address to listen on; it must be on 127.0.0.1 [default: 127.0.0.1:7490]
    #[arg(long, env = "VITRAIL_AGENT_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The folder of its token's hash, its requests and kept quotes [default: agent]
    #[arg(long, env = "VITRAIL_AGENT", value_name = "DIR")]
    folder: Option<PathBuf>,
    /// The folder of claims that wait [default: queue]
    #[arg(long, env = "VITRAIL_QUEUE", value_name = "DIR")]
    queue: Option<PathBuf>,
    /// The origin of a page that may call it; may be repeated [default: none]
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// Draws a new pairing token, which ends the old one
    #[arg(long)]
    new_token: bool,
    /// Nobody is asked: fixed test cards give every answer, for integrators
    #[arg(long)]
    simulate: bool,
    /// Watches the scenarios of the conformance kit, and writes how far they are
    #[arg(long, value_name = "FILE", requires = "simulate")]
    conformance: Option<PathBuf>,
    /// Prints the description of the interface, OpenAPI 3.1, and ends
    #[arg(long)]
    print_openapi: bool,
    #[command(flatten)]
    receipts: ReceiptsArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// `vitrail agent`
pub(super) async fn agent(args: AgentArgs, output: Format) -> Answer {
    if args.print_openapi {
        return Ok(Box::new(DescriptionReport));
    }
    let above = AgentSettings {
        listen: args.listen.map(|listen| listen.to_string()),
        folder: args.folder,
        queue: args.queue,
        origins: (!args.origins.is_empty()).then_some(args.origins),
    };
    let mut more = settings(args.receipts);
    more.agent = above;
    let profile = args.settings.load(more)?;
    let mode = match args.simulate {
        true => Mode::Simulated {
            conformance: args.conformance,
        },
        false => Mode::Live,
    };
    let set = profile.settings().agent.clone();
    let listen = match &set.listen {
        None => AGENT_LISTEN,
        Some(text) => text.parse().map_err(|_| Failed {
            kind: FailureKind::Malformed,
            message: "the setting listen is not an address such as 127.0.0.1:7490".to_owned(),
            hint: None,
        })?,
    };
    let is_simulated = mode != Mode::Live;
    let agent = Agent::bind(AgentParts {
        profile,
        listen,
        folder: set.folder.unwrap_or_else(|| PathBuf::from(AGENT_FOLDER)),
        queue: set.queue.unwrap_or_else(|| PathBuf::from(QUEUE_FOLDER)),
        origins: set.origins.unwrap_or_default(),
        mode,
        new_token: args.new_token,
        log: Arc::new(log_line),
    })
    .await?;
    let serving = ServingReport {
        listening: agent.address(),
        token_file: agent.token_file().map(Into::into),
        simulated: is_simulated,
    };
    // Before it says that it serves: from then on it may be told to end.
    let told = told_to_end();
    print::report(output, false, &serving);
    let conformance = agent.serve(told).await;
    Ok(Box::new(EndedReport {
        ended: true,
        conformance,
    }))
}

/// A line for each request: its route and status, and nothing that a caller wrote.
#[allow(clippy::print_stderr, reason = "stderr is where a service logs")]
fn log_line(handled: &Handled) {
    eprintln!("{handled}");
}

/// Completes when a service manager, or somebody at the keyboard, wants it to end. It listens from the
/// call on, not from when it is waited for.
fn told_to_end() -> impl Future<Output = ()> {
    let terminate = signal(SignalKind::terminate());
    async move {
        // Without a signal it still ends with its process.
        let Ok(mut terminate) = terminate else {
            let _ = tokio::signal::ctrl_c().await;
            return;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
}

/// What is printed when it serves.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ServingReport {
    listening: SocketAddr,
    /// The file with the pairing token, while nobody has taken it away.
    token_file: Option<PathBuf>,
    simulated: bool,
}

impl Report for ServingReport {
    fn text(&self) -> String {
        let address = self.listening;
        let mut text =
            format!("serving http://{address}\ncounter page http://{address}/comptoir\n");
        if let Some(token_file) = &self.token_file {
            let path = token_file.display();
            text.push_str(&format!(
                "the pairing token is in {path}: give it to the till software and remove the file\n"
            ));
        }
        if self.simulated {
            text.push_str("this is a simulation: nobody is asked, nothing is reserved\n");
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

/// What is printed when it has ended. With a conformance kit the command ends with 0 only if every
/// scenario passed.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct EndedReport {
    ended: bool,
    /// What the conformance kit has seen, if it watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    conformance: Option<ConformanceAnswer>,
}

impl Report for EndedReport {
    fn text(&self) -> String {
        let mut text = "ended\n".to_owned();
        for scenario in self.conformance.iter().flat_map(|kit| &kit.scenarios) {
            let ScenarioAnswer { name, state, .. } = scenario;
            let left = scenario.failure.or(scenario.next).unwrap_or_default();
            text.push_str(format!("{state:<7} {name:<12} {left}").trim_end());
            text.push('\n');
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.conformance.as_ref().is_none_or(|kit| kit.passed)
    }
}

/// The description of the interface.
struct DescriptionReport;

impl Report for DescriptionReport {
    fn text(&self) -> String {
        openapi_json()
    }

    fn json(&self) -> String {
        openapi_json().trim_end().to_owned()
    }
}
