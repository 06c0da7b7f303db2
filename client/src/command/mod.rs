//! The command line: what it reads, what it prints, how it ends.
//!
//! It ends with 0 for yes, 1 for no (refused, not covered, invalid), 2 when it could not ask, and 3
//! when the ledger contradicts what was seen of it before.
//! Answers go to stdout: text on a terminal, a line of JSON elsewhere, or as `-o` says. What went
//! wrong goes to stderr as `error:` and `hint:`.

mod agent;
mod audit;
mod card;
mod catalogue;
mod config;
mod contracts;
mod cover;
mod delivery;
mod disclosure;
mod doctor;
mod erase;
mod evidence;
mod incident;
mod keeping;
mod key;
mod manual;
mod office;
mod print;
mod queue;
mod receipt;
mod report;
mod schema;
mod sealed;
mod session;
mod terms;
mod till;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use client::failure::{Failure, FailureKind};
use client::profile::{Layers, Profile, ProfileError, Settings};
use tokio::runtime::{Builder, Runtime};

use self::print::Format;
use self::report::Report;

/// Asks, claims, covers and audits in a Vitrail ledger.
///
/// Ends with 0 for yes, 1 for no (refused, not covered, invalid), 2 when it could not ask, 3 when
/// the ledger contradicts what was seen of it before.
#[derive(Parser)]
#[command(name = "vitrail", version, max_term_width = 100)]
struct Cli {
    /// How answers are printed [default: text on a terminal, json elsewhere]
    #[arg(short, long, global = true, value_enum, env = "VITRAIL_OUTPUT")]
    output: Option<Format>,
    /// Says on stderr which node answered, and which could not
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows what is covered, who pays what, and what is left to pay
    Check(till::CheckArgs),
    /// Reserves what is covered, and keeps the receipt
    Claim(till::ClaimArgs),
    /// Works on the claims that wait until the federation can be reached
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Hands over what was claimed, and invoices it to its payers
    Deliver(delivery::DeliverArgs),
    /// Works on claims that rest on the own coverages
    #[command(subcommand)]
    Claims(office::ClaimsCommand),
    /// Answers to an invoice as one of its payers, or to many from a file
    Settle(Box<delivery::SettleArgs>),
    /// Shows what was paid, rejected and recovered on a day, by shop
    Statements(office::StatementsArgs),
    /// Shows where each payer stands to an invoice, with proof
    Status(delivery::StatusArgs),
    /// Gives claimed slots back, or takes delivered goods back
    Release(till::ReleaseArgs),
    /// Signs the coverages of an insurer's file
    Cover(cover::CoverArgs),
    /// Reads and publishes the LPP catalogue
    #[command(subcommand)]
    Catalogue(catalogue::CatalogueCommand),
    /// Works on an insurer's own contracts
    #[command(subcommand)]
    Contracts(contracts::ContractsCommand),
    /// Admits a till's key
    Grant(key::GrantArgs),
    /// Ends a till's admission, for good
    Revoke(key::RevokeArgs),
    /// Lists what a till's key looked at, from the sealed access records
    Incident(incident::IncidentArgs),
    /// Lets an auditor read your part of one entry, and nothing else
    Disclose(disclosure::DiscloseArgs),
    /// Works on disclosures
    #[command(subcommand)]
    Disclosure(disclosure::DisclosureCommand),
    /// Deletes payload and salt of an own entry everywhere; the entry and its proofs stay
    Erase(erase::EraseArgs),
    /// Shows the session key of a till with a device key, and renews it if it is due
    Session(session::SessionArgs),
    /// Works on receipt files
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    /// Works on files of evidence against members
    #[command(subcommand)]
    Evidence(evidence::EvidenceCommand),
    /// Verifies the whole log from its first entry: every hash, signature and change
    Audit(audit::AuditArgs),
    /// Makes an Ed25519 key
    Keygen(key::KeygenArgs),
    /// Serves till software on this machine: JSON over HTTP on 127.0.0.1
    Agent(Box<agent::AgentArgs>),
    /// Looks for what is wrong: files, clock, nodes, catalogue, admission
    Doctor(doctor::DoctorArgs),
    /// Works on settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Prints what a shell completes commands from
    Completion(manual::CompletionArgs),
    /// Writes a manual page for each command
    Manual(manual::ManualArgs),
    /// Prints the JSON Schema of what a command answers with `-o json`
    Schema(schema::SchemaArgs),
}

/// What every command that asks somebody has. A flag counts before the variable, that before the
/// profile, that before the default.
#[derive(Args)]
struct SettingsArgs {
    /// The profile [default: vitrail.toml, if it is there]
    #[arg(long, env = "VITRAIL_PROFILE", value_name = "FILE")]
    profile: Option<PathBuf>,
    /// The federation's signed roster [default: roster.txt]
    #[arg(long, env = "VITRAIL_ROSTER", value_name = "FILE")]
    roster: Option<PathBuf>,
    /// The own Ed25519 key, PKCS#8 PEM [default: key.pem]
    #[arg(long, env = "VITRAIL_KEY", value_name = "FILE")]
    key: Option<PathBuf>,
    /// The member whose node is asked first while it is well [default: the nearest]
    #[arg(long, env = "VITRAIL_NODE", value_name = "NAME")]
    node: Option<String>,
    /// The LPP catalogue in force [default: catalogue.txt]
    #[arg(long, env = "VITRAIL_CATALOGUE", value_name = "FILE")]
    catalogue: Option<PathBuf>,
    /// The folder of what has been verified so far [default: state]
    #[arg(long, env = "VITRAIL_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// The address of a member's node, in place of the roster's; may be repeated
    #[arg(long = "address", value_name = "NAME=HOST:PORT", value_parser = parse_address)]
    addresses: Vec<(String, String)>,
}

fn parse_address(text: &str) -> Result<(String, String), String> {
    let (name, address) = text.split_once('=').ok_or("must be NAME=HOST:PORT")?;
    Ok((name.to_owned(), address.to_owned()))
}

impl SettingsArgs {
    /// The profile under these flags, and under `more` that only some commands have.
    fn load(self, more: Settings) -> Result<Profile, ProfileError> {
        Ok(Profile::new(self.layers(more)?.settled()))
    }

    /// The same, with what stands where.
    fn layers(self, more: Settings) -> Result<Layers, ProfileError> {
        let flags = Settings {
            roster: self.roster,
            key: self.key,
            node: self.node,
            catalogue: self.catalogue,
            state: self.state,
            addresses: self.addresses.into_iter().collect(),
            ..Settings::default()
        };
        Layers::read(self.profile.as_deref(), flags.or(more))
    }
}

/// Any failure, ready to be printed.
struct Failed {
    kind: FailureKind,
    message: String,
    hint: Option<&'static str>,
}

impl<E: Failure> From<E> for Failed {
    fn from(error: E) -> Self {
        Self {
            kind: error.kind(),
            message: error.to_string(),
            hint: error.hint(),
        }
    }
}

type Answer = Result<Box<dyn Report>, Failed>;

/// Runs the command of this process's arguments.
pub(crate) fn run() -> ExitCode {
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let output = cli.output.unwrap_or_else(Format::usual);
    let answer = match runtime(&cli.command) {
        Ok(runtime) => {
            let answer = runtime.block_on(answer(cli.command, output, &matches));
            // The name of a node that is down may still be looked up, for half a minute or more.
            runtime.shutdown_background();
            answer
        }
        Err(_) => Err(Failed {
            kind: FailureKind::Unavailable,
            message: "the system gives no threads to work with".to_owned(),
            hint: None,
        }),
    };
    match answer {
        Ok(report) => {
            print::report(output, cli.verbose, report.as_ref());
            ExitCode::from(match (report.is_known(), report.is_yes()) {
                (false, _) => 2,
                (true, yes) => u8::from(!yes),
            })
        }
        Err(failed) => {
            print::failed(output, &failed);
            ExitCode::from(match failed.kind {
                FailureKind::Refused => 1,
                FailureKind::Malformed | FailureKind::Unavailable => 2,
                FailureKind::Contradicted => 3,
            })
        }
    }
}

/// What a till does is a few calls and little arithmetic: one thread does it with less work than
/// several that wake each other. Imports, listings and audits compute on every core.
fn runtime(command: &Command) -> std::io::Result<Runtime> {
    match command {
        Command::Check(_)
        | Command::Claim(_)
        | Command::Queue(_)
        | Command::Deliver(_)
        | Command::Status(_)
        | Command::Release(_)
        | Command::Session(_) => Builder::new_current_thread().enable_all().build(),
        // A lock on the disk may block one thread for a while.
        Command::Agent(_) => Builder::new_multi_thread()
            .worker_threads(agent::THREADS)
            .enable_all()
            .build(),
        _ => Runtime::new(),
    }
}

async fn answer(command: Command, output: Format, matches: &ArgMatches) -> Answer {
    match command {
        Command::Check(args) => till::check(args).await,
        Command::Claim(args) => till::claim(args).await,
        Command::Queue(command) => queue::run(command).await,
        Command::Deliver(args) => delivery::deliver(args).await,
        Command::Claims(command) => office::run(command).await,
        Command::Settle(args) => delivery::settle(*args).await,
        Command::Statements(args) => office::statements(args).await,
        Command::Status(args) => delivery::status(args).await,
        Command::Release(args) => till::release(args).await,
        Command::Cover(args) => cover::cover(args).await,
        Command::Catalogue(command) => catalogue::run(command).await,
        Command::Contracts(command) => contracts::run(command).await,
        Command::Grant(args) => key::grant(args).await,
        Command::Revoke(args) => key::revoke(args).await,
        Command::Incident(args) => incident::incident(args).await,
        Command::Disclose(args) => disclosure::disclose(args).await,
        Command::Disclosure(command) => disclosure::run(&command),
        Command::Erase(args) => erase::erase(args).await,
        Command::Session(args) => session::session(args).await,
        Command::Receipt(command) => receipt::run(&command),
        Command::Evidence(command) => evidence::run(&command),
        Command::Audit(args) => audit::audit(args).await,
        Command::Keygen(args) => key::keygen(&args),
        Command::Agent(args) => agent::agent(*args, output).await,
        Command::Doctor(args) => doctor::doctor(args).await,
        Command::Config(command) => config::run(command, matches),
        Command::Completion(args) => manual::completion(&args, Cli::command()),
        Command::Manual(args) => manual::manual(&args, Cli::command()),
        Command::Schema(args) => schema::schema(&args),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_flag_takes_an_identity() {
        fn flags(command: &clap::Command, found: &mut Vec<String>) {
            let ids = command
                .get_arguments()
                .map(|argument| argument.get_id().to_string());
            found.extend(ids);
            command
                .get_subcommands()
                .for_each(|command| flags(command, found));
        }
        let mut found = Vec::new();
        flags(&Cli::command(), &mut found);
        for word in ["nir", "birth", "rank", "member_number"] {
            assert!(!found.iter().any(|flag| flag.contains(word)), "{word}");
        }
    }
}
