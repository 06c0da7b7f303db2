//! The command of the operator: `vitrail-node keygen | init | join | seal-key | reseal | run |
//! status | rebuild | backup | restore | roster | leave | rotate | ceremony | check | config |
//! completion | manual | schema | demo`.
//!
//! Exit codes: 0 yes, 1 no (what was given is invalid or refused), 2 could not. Answers go to
//! standard output: text on a terminal, a line of JSON elsewhere, or as `-o` says; what went wrong
//! goes to standard error.

mod answer;
mod backups;
mod check;
mod config;
mod demo;
mod failure;
mod joining;
mod manual;
mod members;
mod rosters;
mod schema;
mod sealing;

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;

use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use proto::identity::PayerNumber;
use proto::ids::{IdError, MemberName, Origin};
use proto::incident::IncidentPublicKey;
use proto::roster::{Address, IncidentKey, Role};
use rustix::process::{Resource, Rlimit, Signal, getpid, getrlimit, kill_process, setrlimit};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use self::answer::{Output, print, print_failure};
use self::backups::{BackupArgs, RestoreArgs};
use self::check::CheckCommand;
use self::config::ConfigCommand;
use self::failure::CommandError;
use self::joining::JoinArgs;
use self::manual::{CompletionArgs, ManualArgs};
use self::members::MemberArgs;
use self::rosters::{LeaveArgs, RosterCommand, RotateArgs};
use self::schema::SchemaArgs;
use self::sealing::{ResealArgs, SealArgs, SealKeyArgs};
use crate::ceremony;
use crate::ceremony::command::{CeremonyCommand, CeremonyReport};
use crate::config::{Config, ROSTER_FILE, Settings};
use crate::init::{self, Following, Founding, InitError, role_of};
use crate::server::{Addresses, RunningNode, StartError};
use crate::service_manager;

/// One member's node of a Vitrail federation.
#[derive(Debug, Parser)]
#[command(name = "vitrail-node", version, propagate_version = true)]
struct Cli {
    /// How answers are printed [default: text on a terminal and of `run` and `demo`, json elsewhere].
    #[arg(short, long, global = true, env = "VITRAIL_OUTPUT")]
    output: Option<Output>,
    /// End when standard input ends: for a program that starts this one and must not leave it
    /// behind, however it ends itself.
    #[arg(long, global = true)]
    until_stdin_ends: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a signing key (PKCS#8 PEM, mode 0600).
    Keygen(KeygenArgs),
    /// Found a federation: keys, first roster, settings and ledger of its first member.
    Init(InitArgs),
    /// Set up the node of a member: its folder, from the first roster and its key. Who is no member
    /// yet gets a request too, for the members to sign.
    Join(JoinArgs),
    /// Make the key in a PKCS#11 token that seals a node's shares; it never leaves the token.
    SealKey(SealKeyArgs),
    /// Seal a stopped node's secrets in another way, or an incident key; goes on where it stopped.
    Reseal(ResealArgs),
    /// Run the node until SIGTERM or SIGINT.
    Run(RunArgs),
    /// Say who leads, who votes, who is behind, and how many may still fail.
    Status(MemberArgs),
    /// Fetch a lost ledger from the other members into an empty data folder, and verify all of it.
    Rebuild(MemberArgs),
    /// Bring a backup of the running node up to date: verified, without keys; from the second time
    /// on only what is new is fetched.
    Backup(BackupArgs),
    /// Put a backup in the place of a lost data folder; the node then signs nothing before it has
    /// caught up with what it had signed.
    Restore(RestoreArgs),
    /// Decide who the members are: propose the next roster, sign it, put it in force.
    #[command(subcommand)]
    Roster(RosterCommand),
    /// Write the proposal by which this member leaves.
    Leave(LeaveArgs),
    /// Make a new key for this member, and write the proposal by which it takes over.
    ///
    /// What a payer covered under the old key carries no new claims: it covers anew. All else that the
    /// member issued stays its own, to settle, release, erase and revoke under the new key.
    Rotate(RotateArgs),
    /// Make the joint keys together with other members, refresh the shares, publish the outcome.
    #[command(subcommand)]
    Ceremony(CeremonyCommand),
    /// Learn whether this machine is fit, before it goes live.
    #[command(subcommand)]
    Check(CheckCommand),
    /// Look at the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print what a shell completes commands from.
    Completion(CompletionArgs),
    /// Write a manual page for each command.
    Manual(ManualArgs),
    /// Print the JSON Schema of what a command answers with `-o json`.
    Schema(SchemaArgs),
    /// Play the main job: four nodes, two shops, twenty people who do not exist; then stay up.
    Demo(demo::DemoArgs),
}

impl Command {
    /// What is printed when nothing else is asked for. A node and the demo run on and tell meanwhile
    /// what happens, in a log that people read: the service manager's, or a build's.
    fn usual_output(&self) -> Output {
        match self {
            Self::Run(_) | Self::Demo(_) => Output::Text,
            _ => Output::usual(),
        }
    }
}

#[derive(Debug, Args)]
struct KeygenArgs {
    /// File to write; it must not exist.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

#[derive(Debug, Args)]
struct InitArgs {
    /// The node's folder; it must not exist, or be empty.
    #[arg(long, env = "VITRAIL_DIR")]
    dir: PathBuf,
    /// Name of the ledger, such as vitrail.example/optique.
    #[arg(long)]
    origin: Origin,
    /// Name of the founding member.
    #[arg(long)]
    name: MemberName,
    /// Its role: amo, amc or federation.
    #[arg(long, value_parser = parse_role)]
    role: Role,
    /// The number claims name it by, if it pays any.
    #[arg(long)]
    payer_number: Option<PayerNumber>,
    /// Where others reach its gRPC.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7443")]
    grpc: Address,
    /// Where others reach its pages.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7480")]
    http: Address,
    #[command(flatten)]
    sealing: SealArgs,
    /// A member that follows from the start:
    /// "name role payer-number|- following base64-key grpc|- http|-".
    #[arg(long, value_name = "MEMBER")]
    member: Vec<Following>,
    /// The incident key of such a member, as `vitrail keygen --incident` prints it.
    #[arg(long, value_name = "NAME=BASE64", value_parser = parse_incident_key)]
    incident: Vec<IncidentKey>,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// The node's folder.
    #[arg(long, env = "VITRAIL_DIR")]
    dir: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

fn parse_role(word: &str) -> Result<Role, &'static str> {
    role_of(word).ok_or("a role must be amo, amc or federation")
}

fn parse_incident_key(text: &str) -> Result<IncidentKey, String> {
    let (member, key) = text.split_once('=').ok_or("must be NAME=BASE64")?;
    let member = member.parse().map_err(|error: IdError| error.to_string())?;
    let public_key = IncidentPublicKey::from_base64(key).map_err(|error| error.to_string())?;
    Ok(IncidentKey { member, public_key })
}

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let matches = Cli::command().try_get_matches();
    let read = matches.and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match read {
        Ok(read) => read,
        Err(error) => {
            // Help and version are answers; anything else is a command that cannot be read.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 1 } else { 0 });
        }
    };
    let output = cli.output.unwrap_or_else(|| cli.command.usual_output());
    log_to_stderr(output);
    if cli.until_stdin_ends {
        end_with_stdin();
    }
    match execute(cli.command, output, &matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_failure(output, &error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// Logs go to standard error: as JSON when results do, filtered by `VITRAIL_LOG`.
fn log_to_stderr(output: Output) {
    let filter = EnvFilter::try_from_env("VITRAIL_LOG")
        .unwrap_or_else(|_| EnvFilter::new("info,openraft=warn"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // Fails only when a subscriber is set already, as in a test that runs commands in process.
    let _ = match output {
        Output::Text => subscriber.try_init(),
        Output::Json => subscriber.json().try_init(),
    };
}

/// Sends SIGTERM to this process when its standard input has ended: a node then ends in order, any
/// other command at once.
fn end_with_stdin() {
    std::thread::spawn(|| {
        // Whatever comes of it, there is nothing more to read.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        if let Err(error) = kill_process(getpid(), Signal::TERM) {
            tracing::error!(%error, "standard input has ended, and this process cannot be told to");
        }
    });
}

fn execute(command: Command, output: Output, matches: &ArgMatches) -> Result<(), CommandError> {
    match command {
        Command::Keygen(args) => keygen(&args.out, output),
        Command::Init(args) => init(args, output),
        Command::Join(args) => joining::join(args, output),
        Command::SealKey(args) => sealing::seal_key(args, output),
        Command::Reseal(args) => sealing::reseal(args, output),
        Command::Run(args) => run(args, output),
        Command::Status(args) => members::status(args, output),
        Command::Rebuild(args) => members::rebuild_node(args, output),
        Command::Backup(args) => backups::backup(args, output),
        Command::Restore(args) => backups::restore(args, output),
        Command::Roster(command) => wait_for(rosters::roster(command, output)),
        Command::Leave(args) => wait_for(rosters::leave(args, output)),
        Command::Rotate(args) => wait_for(rosters::rotate(args, output)),
        Command::Ceremony(command) => ceremony(command, output),
        Command::Check(command) => check::check(command, output),
        Command::Config(command) => config::config(command, matches, output),
        Command::Completion(args) => {
            manual::completion(&args, Cli::command());
            Ok(())
        }
        Command::Schema(args) => schema::schema(&args, output),
        Command::Manual(args) => manual::manual(args, Cli::command(), output),
        Command::Demo(args) => demo::demo(&args, output),
    }
}

fn wait_for(work: impl Future<Output = Result<(), CommandError>>) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| CommandError::Runtime(e.kind()))?;
    runtime.block_on(work)
}

/// What `keygen` prints.
#[derive(Debug, Serialize, JsonSchema)]
struct KeyReport<'a> {
    file: &'a Path,
    public_key: String,
}

fn keygen(out: &Path, output: Output) -> Result<(), CommandError> {
    let secret = init::generate_key()?;
    init::write_secret(out, &secret.to_pem().map_err(InitError::from)?)?;
    let report = KeyReport {
        file: out,
        public_key: secret.public().to_base64(),
    };
    let text = format!("{}\n", report.public_key);
    print(output, &report, &text)
}

/// What `init` prints.
#[derive(Debug, Serialize, JsonSchema)]
struct InitReport<'a> {
    dir: &'a Path,
    origin: &'a str,
    name: &'a str,
    public_key: String,
    roster: PathBuf,
    roster_hash: String,
    incident_key: PathBuf,
}

fn init(args: InitArgs, output: Output) -> Result<(), CommandError> {
    let founding = Founding {
        origin: args.origin,
        name: args.name,
        role: args.role,
        payer: args.payer_number,
        grpc: args.grpc,
        http: args.http,
        sealing: args.sealing.sealing(),
        others: args.member,
        incident_keys: args.incident,
    };
    let founded = init::init(&args.dir, &founding)?;
    let report = InitReport {
        dir: &founded.dir,
        origin: founding.origin.as_str(),
        name: founding.name.as_str(),
        public_key: founded.public_key.to_base64(),
        roster: founded.dir.join(ROSTER_FILE),
        roster_hash: founded.roster.hash().to_base64(),
        incident_key: founded.dir.join(init::INCIDENT_KEY_FILE),
    };
    let text = format!(
        "founded {} in {}\npublic key   {}\nroster       {}\nroster hash  {}\n\
         incident key {} (move it to where incidents are looked into; the node never reads it)\n",
        report.origin,
        report.dir.display(),
        report.public_key,
        report.roster.display(),
        report.roster_hash,
        report.incident_key.display(),
    );
    print(output, &report, &text)
}

/// What `run` prints once it serves.
#[derive(Debug, Serialize, JsonSchema)]
struct RunReport<'a> {
    origin: &'a str,
    size: u64,
    #[serde(flatten)]
    addresses: Addresses,
}

fn run(args: RunArgs, output: Output) -> Result<(), CommandError> {
    let config = Config::load(&args.dir, args.settings)?;
    allow_many_files();
    let runtime = tokio::runtime::Runtime::new().map_err(|e| CommandError::Runtime(e.kind()))?;
    runtime.block_on(run_until_told(config, output))
}

/// Every connection is a file, and many systems allow 1024 of them until a process asks for more.
fn allow_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit on open files stays as it is");
    }
}

async fn run_until_told(config: Config, output: Output) -> Result<(), CommandError> {
    // Before the start, so that a signal during a long recovery is not lost.
    let told = told_to_stop().map_err(|error| CommandError::Runtime(error.kind()))?;
    let mut told = pin!(told);
    // A new member waits for the ledger before it serves, and may be told to stop meanwhile.
    let node = tokio::select! {
        () = &mut told => return Ok(()),
        started = service_manager::starting(RunningNode::start(config)) => {
            started.map_err(Box::new)?
        }
    };
    let addresses = node.addresses();
    let report = RunReport {
        origin: node.origin().as_str(),
        size: node.size().get(),
        addresses,
    };
    let text = format!(
        "serving {} with {} entries\ngrpc   {}\nhttp   http://{}\nadmin  {}\n",
        report.origin, report.size, addresses.grpc, addresses.http, addresses.admin,
    );
    let printed = print(output, &report, &text);
    service_manager::serving(&format!(
        "serving {} from {} entries on",
        report.origin, report.size
    ));
    let alive = tokio::spawn(service_manager::keep_alive(node.sequencer().clone()));
    let mut is_replaced = false;
    if printed.is_ok() {
        tokio::select! {
            () = told => {}
            () = node.key_replaced() => is_replaced = true,
        }
    }
    alive.abort();
    service_manager::stopping();
    node.stop().await;
    match is_replaced {
        true => Err(Box::new(StartError::KeyReplaced).into()),
        false => printed,
    }
}

fn ceremony(command: CeremonyCommand, output: Output) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Runtime::new().map_err(|e| CommandError::Runtime(e.kind()))?;
    let report = runtime.block_on(ceremony::command::execute(command));
    match report.map_err(Box::new)? {
        CeremonyReport::Proposed(report) => {
            let quorum = if report.quorum {
                "a quorum has signed: publish it"
            } else {
                "more voting members must sign it"
            };
            let repaired = match &report.repaired {
                Some(member) => format!("{member} has its shares again, and its node can start\n"),
                None => String::new(),
            };
            let text = format!(
                "{repaired}proposed roster   {}\nroster hash       {}\ntranscript hash   {}\n{quorum}\n",
                report.proposal.display(),
                report.roster_hash,
                report.transcript_hash,
            );
            print(output, &report, &text)
        }
        CeremonyReport::Published(report) => {
            let text = format!(
                "entry {} puts roster {} in force\nrestart the nodes that hold a share\n",
                report.index, report.roster_hash,
            );
            print(output, &report, &text)
        }
    }
}

/// Completes at the first SIGTERM or SIGINT from now on.
fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_role_that_is_none_is_refused_with_the_list() {
        let words = [
            "vitrail-node",
            "init",
            "--dir",
            "d",
            "--origin",
            "o",
            "--name",
            "n",
        ];
        let refused = Cli::try_parse_from(words.iter().chain(&["--role", "bank"])).unwrap_err();
        assert!(refused.to_string().contains("amo, amc or federation"));
    }

    #[test]
    fn the_line_of_a_running_node_is_stable() {
        let addresses = Addresses {
            grpc: "127.0.0.1:1".parse().unwrap(),
            http: "127.0.0.1:2".parse().unwrap(),
            admin: "127.0.0.1:3".parse().unwrap(),
        };
        let report = RunReport {
            origin: "vitrail.test/optique",
            size: 1,
            addresses,
        };
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            "{\"origin\":\"vitrail.test/optique\",\"size\":1,\"grpc\":\"127.0.0.1:1\",\
             \"http\":\"127.0.0.1:2\",\"admin\":\"127.0.0.1:3\"}"
        );
    }
}
