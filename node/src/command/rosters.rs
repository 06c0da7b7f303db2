//! `vitrail-node roster propose | sign | publish`, `leave`, `rotate`: who the members are, decided
//! by those who are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use proto::ids::MemberName;
use proto::roster::{Address, MemberChange};
use schemars::JsonSchema;
use serde::Serialize;

use super::answer::{Output, print};
use super::failure::CommandError;
use crate::config::{Config, Settings};
use crate::roster_change::{Desk, Proposal, put_together, write};

/// How long `publish` waits for members that would vote by the roster and are not there yet.
const WAIT_DEFAULT_S: u64 = 60;

/// What is done with the next roster.
#[derive(Debug, Subcommand)]
pub(super) enum RosterCommand {
    /// Write the next roster: the one in force with some changes, unsigned.
    Propose(ProposeArgs),
    /// Say what a proposal changes, and sign it as a voting member.
    Sign(SignArgs),
    /// Put signed copies together, check them, and have the ledger take the roster.
    Publish(PublishArgs),
}

#[derive(Debug, Args)]
pub(super) struct DeskArgs {
    /// The node's folder.
    #[arg(long, env = "VITRAIL_DIR")]
    dir: PathBuf,
    /// The signed roster in force, such as a node's /roster page gives it. Without it the members'
    /// nodes are asked, and what they say is followed from the first roster on.
    #[arg(long, value_name = "FILE")]
    in_force: Option<PathBuf>,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
pub(super) struct ProposeArgs {
    #[command(flatten)]
    desk: DeskArgs,
    /// File to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A request: of a newcomer, which then follows, or of a member for another key or address.
    #[arg(long, value_name = "FILE")]
    request: Vec<PathBuf>,
    /// A member that gets a vote.
    #[arg(long, value_name = "NAME")]
    vote: Vec<MemberName>,
    /// A member that loses its vote and goes on following.
    #[arg(long, value_name = "NAME")]
    unvote: Vec<MemberName>,
    /// A member that leaves.
    #[arg(long, value_name = "NAME")]
    leave: Vec<MemberName>,
    /// Propose it even if fewer members may lie by it than now.
    #[arg(long)]
    fewer_faults: bool,
}

#[derive(Debug, Args)]
pub(super) struct SignArgs {
    #[command(flatten)]
    desk: DeskArgs,
    /// The proposal, signed by others or by nobody yet.
    #[arg(long, value_name = "FILE")]
    proposal: PathBuf,
    /// File for the signed copy; the proposal itself where nothing is said.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct PublishArgs {
    #[command(flatten)]
    desk: DeskArgs,
    /// Signed copies of the proposal.
    #[arg(required = true, value_name = "FILE")]
    copies: Vec<PathBuf>,
    /// The member whose node is to take it; the own one where nothing is said.
    #[arg(long, value_name = "NAME")]
    through: Option<MemberName>,
    /// Seconds to wait for members that would vote by it and have to catch up first.
    #[arg(long, value_name = "S", default_value_t = WAIT_DEFAULT_S)]
    wait: u64,
}

/// Arguments of `leave`.
#[derive(Debug, Args)]
pub(super) struct LeaveArgs {
    #[command(flatten)]
    desk: DeskArgs,
    /// File to write the proposal to.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Propose it even if fewer members may lie by it than now.
    #[arg(long)]
    fewer_faults: bool,
}

/// Arguments of `rotate`.
#[derive(Debug, Args)]
pub(super) struct RotateArgs {
    #[command(flatten)]
    desk: DeskArgs,
    /// File to write the proposal to.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// File to write the request to, which shows the others that this member holds the new key.
    #[arg(long, value_name = "FILE")]
    request: PathBuf,
    /// Where others reach the node's gRPC from then on, if elsewhere than now.
    #[arg(long, value_name = "HOST:PORT")]
    grpc_address: Option<Address>,
    /// Where others reach its pages from then on, if elsewhere than now.
    #[arg(long, value_name = "HOST:PORT")]
    http_address: Option<Address>,
}

/// What `propose`, `sign`, `leave` and `rotate` print.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProposalReport {
    /// The file; absent when nothing was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    epoch: u64,
    roster_hash: String,
    /// What is new, in words.
    changes: Vec<String>,
    signed_by: Vec<String>,
    quorum: usize,
}

/// What `publish` prints.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PublicationReport {
    #[serde(flatten)]
    proposal: ProposalReport,
    /// The place of the roster's entry; absent when nothing was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u64>,
}

impl ProposalReport {
    fn of(proposal: &Proposal, file: Option<&Path>) -> Self {
        Self {
            file: file.map(Path::to_owned),
            epoch: proposal.roster.epoch().get(),
            roster_hash: proposal.roster.hash().to_base64(),
            changes: proposal
                .differences
                .iter()
                .map(ToString::to_string)
                .collect(),
            signed_by: proposal.signed_by.iter().map(ToString::to_string).collect(),
            quorum: proposal.quorum,
        }
    }

    fn text(&self) -> String {
        let changes: String = self.changes.iter().map(|it| format!("  {it}\n")).collect();
        let signed = match self.signed_by.is_empty() {
            true => "nobody".to_owned(),
            false => self.signed_by.join(", "),
        };
        let written = match &self.file {
            Some(file) => format!("written to {}\n", file.display()),
            None => "nothing is written\n".to_owned(),
        };
        format!(
            "roster {}, hash {}\n{changes}signed by {signed}; {} signatures of voting members put \
             it in force\n{written}",
            self.epoch, self.roster_hash, self.quorum,
        )
    }
}

pub(super) async fn roster(command: RosterCommand, output: Output) -> Result<(), CommandError> {
    match command {
        RosterCommand::Propose(args) => propose(args, output).await,
        RosterCommand::Sign(args) => sign(args, output).await,
        RosterCommand::Publish(args) => publish(args, output).await,
    }
}

async fn open(desk: DeskArgs) -> Result<(Desk, bool), CommandError> {
    let config = Config::load(&desk.dir, desk.settings)?;
    let opened = Desk::open(&config, desk.in_force.as_deref()).await?;
    Ok((opened, desk.dry_run))
}

async fn propose(args: ProposeArgs, output: Output) -> Result<(), CommandError> {
    let (desk, is_dry) = open(args.desk).await?;
    let mut changes = Vec::new();
    for request in &args.request {
        changes.extend(desk.requested(request)?);
    }
    changes.extend(args.vote.into_iter().map(MemberChange::Vote));
    changes.extend(args.unvote.into_iter().map(MemberChange::Unvote));
    changes.extend(args.leave.into_iter().map(MemberChange::Leave));
    let proposal = desk.propose(&changes, args.fewer_faults)?;
    write_proposal(&proposal, &args.out, is_dry, output)
}

pub(super) async fn leave(args: LeaveArgs, output: Output) -> Result<(), CommandError> {
    let (desk, is_dry) = open(args.desk).await?;
    let change = MemberChange::Leave(desk.name.clone());
    let proposal = desk.propose(&[change], args.fewer_faults)?;
    write_proposal(&proposal, &args.out, is_dry, output)
}

pub(super) async fn rotate(args: RotateArgs, output: Output) -> Result<(), CommandError> {
    let (desk, is_dry) = open(args.desk).await?;
    let request = desk.rotation(args.grpc_address, args.http_address)?;
    let first = desk.first_roster();
    let changes = request.changes(desk.in_force(), first.hash());
    let changes = changes.map_err(|error| crate::roster_change::RosterChangeError::Request {
        path: args.request.clone(),
        error: Box::new(error),
    })?;
    let proposal = desk.propose(&changes, false)?;
    if !is_dry {
        write(&args.request, &request.to_text())?;
    }
    write_proposal(&proposal, &args.out, is_dry, output)
}

fn write_proposal(
    proposal: &Proposal,
    out: &Path,
    is_dry: bool,
    output: Output,
) -> Result<(), CommandError> {
    if !is_dry {
        write(out, proposal.roster.text())?;
    }
    let report = ProposalReport::of(proposal, Some(out).filter(|_| !is_dry));
    print(output, &report, &report.text())
}

async fn sign(args: SignArgs, output: Output) -> Result<(), CommandError> {
    let (desk, is_dry) = open(args.desk).await?;
    if is_dry {
        let proposal = desk.read_proposal(&args.proposal)?;
        let report = ProposalReport::of(&proposal, None);
        return print(output, &report, &report.text());
    }
    let (proposal, signed) = desk.sign(&args.proposal)?;
    let out = args.out.as_deref().unwrap_or(&args.proposal);
    write(out, &signed.to_text())?;
    let report = ProposalReport::of(&proposal, Some(out));
    print(output, &report, &report.text())
}

async fn publish(args: PublishArgs, output: Output) -> Result<(), CommandError> {
    let (desk, is_dry) = open(args.desk).await?;
    let Some(signed) = put_together(&args.copies)? else {
        return Ok(());
    };
    desk.require_quorum(&signed)?;
    let proposal = ProposalReport::of(&desk.proposal_of(&signed), None);
    let published = match is_dry {
        true => None,
        false => {
            let wait = Duration::from_secs(args.wait);
            Some(desk.publish(&signed, args.through.as_ref(), wait).await?)
        }
    };
    let index = published.map(|it| it.index.get());
    let report = PublicationReport { proposal, index };
    let changes = report.proposal.changes.iter();
    let changes: String = changes.map(|it| format!("  {it}\n")).collect();
    let text = match index {
        Some(index) => format!(
            "entry {index} puts roster {} in force\n",
            report.proposal.epoch
        ),
        None => format!("roster {} can be put in force\n", report.proposal.epoch),
    };
    print(output, &report, &format!("{text}{changes}"))
}
