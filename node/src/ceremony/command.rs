//! `vitrail-node ceremony run | sign | publish`: the arguments, and what each one prints.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Subcommand};
use proto::ids::MemberName;
use proto::roster::{Address, Epoch, Roster, SignedRoster};
use schemars::JsonSchema;
use serde::Serialize;

use super::publication::read_roster;
use super::{CeremonyFailure, Purpose, WAIT_DEFAULT, Wanted, publish, run, sign};
use crate::config::{Config, Settings};
use crate::server::read_key;

/// What a ceremony's command does.
#[derive(Debug, Subcommand)]
pub enum CeremonyCommand {
    /// Take part in a ceremony, on every participating node at the same time. It may be stopped
    /// and started again; it ends when everybody has finished.
    Run(RunArgs),
    /// Sign the proposed roster as a voting member. It may change shares, keys and threshold alone;
    /// compare its line `ceremony` with what the participants say.
    Sign(SignArgs),
    /// Append the proposed roster to the ledger at this member's running node.
    Publish(PublishArgs),
}

/// What all three need.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// The node's folder.
    #[arg(long, env = "VITRAIL_DIR")]
    dir: PathBuf,
    /// The signed roster in force, such as a node's /roster page gives it. Without it, the first
    /// roster.
    #[arg(long, value_name = "FILE")]
    in_force: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

/// Arguments of `ceremony run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// How many shares evaluate together; everybody gives the same.
    #[arg(long, required_unless_present_any = ["refresh", "repair"])]
    threshold: Option<u16>,
    /// A member that takes part, this one included; everybody gives the same.
    #[arg(
        long = "participant",
        value_name = "NAME",
        required_unless_present_any = ["refresh", "repair"]
    )]
    participants: Vec<MemberName>,
    /// Make new shares of the keys there are, without a change of any token.
    #[arg(long, conflicts_with = "threshold")]
    refresh: bool,
    /// Make the shares of this member again, which it has lost, out of the participants' own.
    /// Nothing else changes. Everybody gives the same, that member too.
    #[arg(long, value_name = "MEMBER", conflicts_with_all = ["threshold", "refresh"])]
    repair: Option<MemberName>,
    /// Which attempt under the roster in force this is.
    #[arg(long, default_value_t = 1)]
    attempt: u32,
    /// Where a participant is reached for the ceremony, if not where the roster says.
    #[arg(long = "peer", value_name = "NAME=HOST:PORT")]
    peers: Vec<Peer>,
    /// Seconds that each step waits for the others.
    #[arg(long, value_name = "S", default_value_t = WAIT_DEFAULT.as_secs())]
    wait: u64,
}

/// Arguments of `ceremony sign`.
#[derive(Debug, Args)]
pub struct SignArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The proposed roster; the signature is added to it.
    #[arg(long, value_name = "FILE")]
    proposal: PathBuf,
}

/// Arguments of `ceremony publish`.
#[derive(Debug, Args)]
pub struct PublishArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The proposed roster, signed by a quorum of the voting members.
    #[arg(long, value_name = "FILE")]
    proposal: PathBuf,
    /// Where this member's node is reached. Without it, where the roster says.
    #[arg(long, value_name = "HOST:PORT")]
    node_address: Option<Address>,
}

/// `NAME=HOST:PORT`.
#[derive(Debug, Clone)]
pub struct Peer(MemberName, Address);

impl FromStr for Peer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('=');
        let peer =
            parts.and_then(|(name, address)| Some(Self(name.parse().ok()?, address.parse().ok()?)));
        peer.ok_or("a peer must be NAME=HOST:PORT")
    }
}

/// What `run` and `sign` print.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProposalReport {
    /// The proposed roster.
    pub proposal: PathBuf,
    /// The hash of its text.
    pub roster_hash: String,
    /// The hash of the ceremony's transcript.
    pub transcript_hash: String,
    /// Whether a quorum of the voting members has signed it.
    pub quorum: bool,
    /// After a repair, who has its shares again; the proposed roster then records the repair alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repaired: Option<String>,
}

/// What `publish` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PublicationReport {
    /// The place of the roster entry in the log.
    pub index: u64,
    /// The hash of the roster that is now in force.
    pub roster_hash: String,
}

/// What a command of the ceremony gave.
#[derive(Debug)]
#[allow(missing_docs, reason = "each variant is the report it holds")]
pub enum CeremonyReport {
    Proposed(ProposalReport),
    Published(PublicationReport),
}

/// Carries a command out.
///
/// # Errors
/// [`CeremonyFailure`].
pub async fn execute(command: CeremonyCommand) -> Result<CeremonyReport, CeremonyFailure> {
    match command {
        CeremonyCommand::Run(args) => take_part(args).await,
        CeremonyCommand::Sign(args) => {
            let (config, roster) = args.node.open()?;
            let secret = read_key(&config.key).map_err(Box::new)?;
            let signed = sign(&args.proposal, &roster, &config.name, &secret)?;
            let report = proposed(args.proposal, &signed, &roster);
            Ok(CeremonyReport::Proposed(report))
        }
        CeremonyCommand::Publish(args) => {
            let (config, roster) = args.node.open()?;
            let secret = read_key(&config.key).map_err(Box::new)?;
            let proposal = read_roster(&args.proposal)?;
            let published = roster.member(&config.name).and_then(|own| own.grpc.clone());
            let address = args.node_address.or(published);
            let address = address.ok_or_else(|| CeremonyFailure::NoAddress {
                member: config.name.clone(),
            })?;
            let index = publish(&proposal, &roster, &config.name, &secret, &address).await?;
            Ok(CeremonyReport::Published(PublicationReport {
                index: index.get(),
                roster_hash: proposal.admitted().hash().to_base64(),
            }))
        }
    }
}

async fn take_part(args: RunArgs) -> Result<CeremonyReport, CeremonyFailure> {
    let dir = args.node.dir.clone();
    let (config, roster) = args.node.open()?;
    let purpose = match args.repair.clone() {
        Some(member) => Purpose::Repair(member),
        None if args.refresh => Purpose::Refresh,
        None => Purpose::Deal,
    };
    let wanted = Wanted {
        purpose,
        threshold: args.threshold,
        participants: args.participants,
        attempt: args.attempt,
        peers: args
            .peers
            .into_iter()
            .map(|peer| (peer.0, peer.1))
            .collect(),
    };
    let wait = Duration::from_secs(args.wait);
    let finished = run(&dir, config, roster.clone(), wanted, wait).await?;
    Ok(CeremonyReport::Proposed(ProposalReport {
        repaired: args.repair.map(|member| member.to_string()),
        ..proposed(finished.proposal, &finished.roster, &roster)
    }))
}

fn proposed(proposal: PathBuf, signed: &SignedRoster, in_force: &Roster) -> ProposalReport {
    let roster = signed.admitted();
    let transcript = roster.ceremony().map(proto::hash::Hash::to_base64);
    ProposalReport {
        proposal,
        roster_hash: roster.hash().to_base64(),
        transcript_hash: transcript.unwrap_or_default(),
        quorum: signed.verify_successor(in_force).is_ok(),
        repaired: None,
    }
}

impl NodeArgs {
    /// The settings, and the roster in force. A first roster must be signed by its members; of a
    /// later one the operator vouches, and no participant with another one takes part.
    fn open(self) -> Result<(Config, Roster), CeremonyFailure> {
        let config = Config::load(&self.dir, self.settings)?;
        let path: &Path = self.in_force.as_deref().unwrap_or(&config.roster);
        let signed = read_roster(path)?;
        let roster = match signed.admitted().epoch() == Epoch::default() {
            true => signed.verify_genesis().map_err(Box::new)?,
            false => signed.admitted().clone(),
        };
        Ok((config, roster))
    }
}
