//! `claims`, `settle --file` and `statements`: the payer's back office.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use client::contracts::{ContractsFile, ContractsFileError};
use client::failure::{Failure, FailureKind};
use client::files;
use client::office::{
    self, ClaimBook, Listing, Matched, SETTLE_FILE_BYTES_MAX, Settled, SettledLine,
};
use client::profile::{Profile, Settings};
use client::session::Session;
use client::system;
use proto::contracts::ContractsError;
use proto::ids::{CoverageKey, Day, LeafIndex, UnixMillis};
use thiserror::Error;

use super::cover::progress_bar;
use super::keeping::{ReceiptsArgs, keep, load};
use super::report::office::{CheckedReport, ClaimsReport, SettledReport, StatementReport};
use super::{Answer, Failed, SettingsArgs, card};

/// What a payer does with its claims.
#[derive(Subcommand)]
pub(super) enum ClaimsCommand {
    /// Lists claims on own coverages, with what became of them; who asked goes on record
    List(ListArgs),
    /// Whether the slots of a claim are those of the insured person
    Check(CheckArgs),
}

/// Where the own contracts are.
#[derive(Args)]
pub(super) struct ContractsArgs {
    /// The own contracts, as `contracts import` wrote them
    #[arg(
        long,
        env = "VITRAIL_CONTRACTS",
        value_name = "FILE",
        default_value = "contracts.txt"
    )]
    contracts: PathBuf,
}

/// Arguments of `claims list`.
#[derive(Args)]
pub(super) struct ListArgs {
    /// The place in the log to begin at; of claims before it nothing is shown
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    from: u64,
    #[command(flatten)]
    contracts: ContractsArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Arguments of `claims check`.
#[derive(Args)]
pub(super) struct CheckArgs {
    /// The claim
    #[arg(value_name = "INDEX")]
    claim: u64,
    /// A card of the insured person, with nir, birth_date and birth_rank; - for stdin
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
    /// The folder for evidence, if the slots are not: it names the person, for an auditor alone to
    /// read [default: none is written]
    #[arg(long, value_name = "DIR")]
    evidence: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Arguments of `statements`.
#[derive(Args)]
pub(super) struct StatementsArgs {
    /// The day, in UTC
    #[arg(long, value_name = "DATE")]
    day: Day,
    #[command(flatten)]
    contracts: ContractsArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Arguments of `settle --file`.
#[derive(Args)]
pub(super) struct SettleFileArgs {
    /// Settles each line of a CSV: claim;outcome;reason;amount. Stopped, it goes on where it was
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// The shops of the own networks, as the own node has them: amounts are held against the rule for
    /// the shop [default: against what is paid wherever it was sold]
    #[arg(long, env = "VITRAIL_NETWORKS", value_name = "FILE", requires = "file")]
    networks: Option<PathBuf>,
    /// The folder for evidence of foreign slots: it names the person, for an auditor alone to read
    /// [default: where the file is]
    #[arg(long, value_name = "DIR", requires = "file")]
    evidence: Option<PathBuf>,
    #[command(flatten)]
    contracts: ContractsArgs,
    #[command(flatten)]
    receipts: ReceiptsArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Why a settlement is not asked for.
#[derive(Debug, Error)]
#[error("name a delivery and what is answered, or a file")]
pub(super) struct NothingAsked;

impl Failure for NothingAsked {
    fn kind(&self) -> FailureKind {
        FailureKind::Malformed
    }

    fn hint(&self) -> Option<&'static str> {
        Some("vitrail settle --entry INDEX paid --member FILE, or vitrail settle --file FILE")
    }
}

/// Runs one of the commands.
pub(super) async fn run(command: ClaimsCommand) -> Answer {
    match command {
        ClaimsCommand::List(args) => list(args).await,
        ClaimsCommand::Check(args) => check(args).await,
    }
}

/// `vitrail claims list`
async fn list(args: ListArgs) -> Answer {
    let profile = args.settings.load(Settings::default())?;
    let session = profile.open_session().await?;
    let first = LeafIndex::new(args.from);
    let own = own(&session, &args.contracts, UnixMillis::new(0), first).await?;
    Ok(Box::new(ClaimsReport::new(
        &own.book(&session),
        own.listing.size,
    )))
}

/// `vitrail claims check`
async fn check(args: CheckArgs) -> Answer {
    let insured = card::read(&args.card)?;
    let session = args
        .settings
        .load(Settings::default())?
        .open_session()
        .await?;
    let claim = LeafIndex::new(args.claim);
    let checked = office::check_keys(&session, insured.person(), claim).await?;
    let kept = match (&args.evidence, &checked.evidence) {
        (Some(folder), Some(evidence)) => Some(office::keep_evidence(folder, evidence)?),
        _ => None,
    };
    Ok(Box::new(CheckedReport::new(&checked, kept)))
}

/// `vitrail statements`
pub(super) async fn statements(args: StatementsArgs) -> Answer {
    let profile = args.settings.load(Settings::default())?;
    let session = profile.open_session().await?;
    let (since, first) = (args.day.start(), LeafIndex::new(0));
    let own = own(&session, &args.contracts, since, first).await?;
    let statement = office::statement(&own.listing, &own.contracts, args.day);
    Ok(Box::new(StatementReport::new(&statement)))
}

/// `vitrail settle --file`
pub(super) async fn settle_file(file: &Path, args: SettleFileArgs) -> Answer {
    let profile = load(args.settings, args.receipts).await?;
    let session = profile.open_session().await?;
    let read = office::read_settle_file(&files::read(file, SETTLE_FILE_BYTES_MAX)?)?;
    let networks = args.networks.as_deref().map(office::read_networks);
    let networks = networks.transpose()?;
    let (since, first) = (UnixMillis::new(0), LeafIndex::new(0));
    let own = own(&session, &args.contracts, since, first).await?;
    let book = ClaimBook {
        networks,
        ..own.book(&session)
    };
    let bar = progress_bar(read.rows.len() as u64);
    let mut problem = None;
    let mut done = |line: &SettledLine| {
        bar.inc(1);
        problem = problem.take().or(keep_receipt(&profile, line).err());
    };
    let folder = evidence_folder(file, args.evidence);
    let settled = office::settle_all(&session, &book, file, &folder, &read.rows, &mut done).await;
    bar.finish_and_clear();
    let settled = settled?;
    let evidence = office::kept_evidence(&folder, &book, &read.rows, &settled);
    match problem {
        Some(failed) => Err(failed),
        None => Ok(Box::new(SettledReport::new(
            &settled,
            &read.skipped,
            &evidence,
        ))),
    }
}

/// The folder that was told, or the one of the file and its journal.
fn evidence_folder(file: &Path, told: Option<PathBuf>) -> PathBuf {
    told.unwrap_or_else(|| file.parent().unwrap_or(Path::new("")).to_owned())
}

fn keep_receipt(profile: &Profile, line: &SettledLine) -> Result<(), Failed> {
    if let Settled::Done {
        issued: Some(issued),
        ..
    } = &line.settled
    {
        keep(profile, "settlement", issued)?;
    }
    Ok(())
}

/// What was listed, and whose it is.
struct Own {
    listing: Listing,
    contracts: HashMap<CoverageKey, Matched>,
}

impl Own {
    fn book(&self, session: &Session) -> ClaimBook {
        let today = system::now().day();
        ClaimBook::new(&self.listing, &self.contracts, &session.public_key(), today)
    }
}

/// Lists and matches, with a bar for each.
async fn own(
    session: &Session,
    args: &ContractsArgs,
    since: UnixMillis,
    first: LeafIndex,
) -> Result<Own, Failed> {
    let file = own_contracts(&args.contracts, session)?;
    let bar = progress_bar(0);
    let mut show = |position, length| {
        bar.set_length(length);
        bar.set_position(position);
    };
    let listed = office::list(session, since, first, &mut show).await;
    bar.finish_and_clear();
    let listing = listed?;
    let bar = progress_bar(0);
    let matched = office::match_contracts(&listing, file, &mut |read| bar.set_position(read));
    bar.finish_and_clear();
    Ok(Own {
        listing,
        contracts: matched?,
    })
}

/// The contracts file, which must be of the session's own member.
fn own_contracts(path: &Path, session: &Session) -> Result<ContractsFile, ContractsFileError> {
    let file = ContractsFile::open(path)?;
    let payer = session.own_member().and_then(|own| own.payer.as_ref());
    let payer = payer.ok_or(ContractsError::Other { field: "payer" })?;
    file.header().check(session.roster(), payer)?;
    Ok(file)
}
