//! `deliver`, `settle` and `status`: the life of a claim after it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use client::failure::{Failure, FailureKind};
use client::files::{self, FileError};
use client::pos::{self, Cause, CorrectedAmount, CorrectedPrice, Corrections, HandingOver};
use client::settlement::{self, Answer as Settled};
use proto::attestation::{SettlementOutcome, SettlementTerms};
use proto::identity::{Contract, IdentityError, MemberNumber, Nir};
use proto::ids::{Cents, IdError, LeafIndex};
use proto::lpp::Slot;
use proto::refusal::Reason;
use proto::roster::Role;
use serde::Deserialize;
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::keeping::{ReceiptsArgs, keep, load, named};
use super::office::{self, NothingAsked, SettleFileArgs};
use super::report::life::StatusReport;
use super::{Answer, Failed, SettingsArgs, card};

/// Longest file of a member: three short lines and a comment or two.
const MEMBER_BYTES_MAX: usize = 1024;

/// Which entry is meant: by its receipt, or by its place in the log.
#[derive(Args)]
struct EntryArgs {
    /// The receipt of the entry
    #[arg(
        value_name = "RECEIPT",
        required_unless_present = "entry",
        conflicts_with = "entry"
    )]
    receipt: Option<PathBuf>,
    /// The index of the entry, if its receipt is not at hand
    #[arg(long, value_name = "INDEX")]
    entry: Option<u64>,
}

impl EntryArgs {
    fn index(&self) -> Result<LeafIndex, Failed> {
        match (&self.receipt, self.entry) {
            (Some(path), _) => named(path),
            (None, index) => Ok(LeafIndex::new(index.unwrap_or_default())),
        }
    }
}

/// Arguments of `deliver`.
#[derive(Args)]
pub(super) struct DeliverArgs {
    #[command(flatten)]
    claim: EntryArgs,
    /// The card of the person, which opens what was claimed; - for stdin
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
    /// A slot that is handed over, such as frame or right-lens; may be repeated [default: all]
    #[arg(long = "slot", value_name = "SLOT")]
    slots: Vec<Slot>,
    /// States again what this delivery invoiced, after a payer has found something to correct
    #[arg(long, value_name = "INDEX", conflicts_with = "warranty")]
    correct: Option<u64>,
    /// Replaces what this first delivery handed over, under warranty: nobody pays
    #[arg(long, value_name = "INDEX")]
    warranty: Option<u64>,
    /// A line's price, where it is lower than it was claimed, as in VU1/2=90.00; may be repeated
    #[arg(long = "price", value_name = "CODE=EUROS", conflicts_with = "warranty")]
    prices: Vec<CorrectedPrice>,
    /// What a payer is asked for of a line, where it is less, as in 01:VU1/2=0.03; may be repeated
    #[arg(
        long = "amount",
        value_name = "PAYER:CODE=EUROS",
        conflicts_with = "warranty"
    )]
    amounts: Vec<CorrectedAmount>,
    #[command(flatten)]
    receipts: ReceiptsArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Arguments of `settle`.
#[derive(Args)]
pub(super) struct SettleArgs {
    /// The receipt of the delivery
    #[arg(value_name = "RECEIPT", conflicts_with_all = ["entry", "file"])]
    receipt: Option<PathBuf>,
    /// The index of the delivery, if its receipt is not at hand
    #[arg(long, value_name = "INDEX", conflicts_with = "file")]
    entry: Option<u64>,
    #[command(flatten)]
    many: SettleFileArgs,
    #[command(subcommand)]
    outcome: Option<Outcome>,
}

/// What is answered, and for whom.
#[derive(Subcommand)]
enum Outcome {
    /// The own part is paid
    Paid(PaymentArgs),
    /// Nothing is paid
    Rejected(BecauseArgs),
    /// What was paid was not due, and is taken back
    Recovered(BecauseArgs),
}

#[derive(Args)]
struct PaymentArgs {
    /// A TOML file with member_number, birth_date and birth_rank of the contract
    #[arg(long, value_name = "FILE")]
    member: PathBuf,
    /// The amount in euros [default: what the own part of the invoice adds up to]
    #[arg(long, value_name = "EUROS", value_parser = parse_euros)]
    amount: Option<Cents>,
    /// What the own bank statement calls the payment
    #[arg(long, value_name = "TEXT", default_value = "", value_parser = parse_reference)]
    reference: String,
    #[command(flatten)]
    receipts: ReceiptsArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Args)]
struct BecauseArgs {
    /// Why, by its code, such as INVOICE_UNFIT
    #[arg(long, value_name = "CODE", value_parser = parse_reason)]
    reason: Reason,
    #[command(flatten)]
    payment: PaymentArgs,
}

/// Arguments of `status`.
#[derive(Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    entry: EntryArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

fn parse_euros(text: &str) -> Result<Cents, String> {
    text.parse().map_err(|error: IdError| error.to_string())
}

fn parse_reference(text: &str) -> Result<String, String> {
    let fits = SettlementTerms::is_reference(text);
    let wrong = "must be at most 35 printable ASCII characters";
    fits.then(|| text.to_owned()).ok_or(wrong.to_owned())
}

fn parse_reason(code: &str) -> Result<Reason, String> {
    Reason::from_code(code)
        .filter(|reason| reason.is_payers())
        .ok_or("must be a reason that a payer gives".to_owned())
}

/// Why a member's file cannot be used. Nothing of it is repeated.
#[derive(Debug, Error)]
enum MemberError {
    #[error("member: {0}")]
    File(#[from] FileError),
    #[error("member: must be TOML with member_number, birth_date and birth_rank in quotes")]
    Toml,
    #[error("member: {0}")]
    Identity(#[from] IdentityError),
    #[error("the key belongs to no member of the roster that pays")]
    NotAPayer,
}

impl Failure for MemberError {
    fn kind(&self) -> FailureKind {
        FailureKind::Malformed
    }
}

#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct Member {
    member_number: String,
    birth_date: String,
    birth_rank: String,
}

/// The contract of a payer's own member. The mandatory insurer's member number is the NIR.
fn contract(path: &Path, session: &client::session::Session) -> Result<Contract, MemberError> {
    let text = Zeroizing::new(files::read_text(path, MEMBER_BYTES_MAX)?);
    let member: Member = toml::from_str(&text).map_err(|_| MemberError::Toml)?;
    let own = session.own_member().ok_or(MemberError::NotAPayer)?;
    let payer_number = own.payer.clone().ok_or(MemberError::NotAPayer)?;
    let member_number = match own.role {
        Role::Amo => MemberNumber::from(&member.member_number.parse::<Nir>()?),
        Role::Amc | Role::Federation => member.member_number.parse()?,
    };
    Ok(Contract {
        payer_number,
        member_number,
        birth_date: member.birth_date.parse()?,
        birth_rank: member.birth_rank.parse()?,
    })
}

/// `vitrail deliver`
pub(super) async fn deliver(args: DeliverArgs) -> Answer {
    let profile = load(args.settings, args.receipts).await?;
    let claim = args.claim.index()?;
    let insured = card::read(&args.card)?;
    let session = profile.open_session().await?;
    let first = |index: u64| LeafIndex::new(index);
    let what = HandingOver {
        slots: args.slots,
        cause: match (args.correct, args.warranty) {
            (Some(index), _) => Cause::Correction(first(index)),
            (None, Some(index)) => Cause::Warranty(first(index)),
            (None, None) => Cause::First,
        },
        corrections: Corrections {
            prices: args.prices,
            amounts: args.amounts,
        },
    };
    let issued = pos::deliver(&session, &insured, claim, &what).await?;
    Ok(Box::new(keep(&profile, "delivery", &issued)?))
}

/// `vitrail settle`
pub(super) async fn settle(args: SettleArgs) -> Answer {
    let (answered, delivery) = match (args.many.file.clone(), args.outcome) {
        (Some(file), None) => return office::settle_file(&file, args.many).await,
        (None, Some(outcome)) => match (&args.receipt, args.entry) {
            (Some(path), _) => (outcome, named(path)?),
            (None, Some(index)) => (outcome, LeafIndex::new(index)),
            (None, None) => return Err(NothingAsked.into()),
        },
        _ => return Err(NothingAsked.into()),
    };
    let (outcome, payment) = match answered {
        Outcome::Paid(payment) => (SettlementOutcome::Paid, payment),
        Outcome::Rejected(because) => {
            (SettlementOutcome::Rejected(because.reason), because.payment)
        }
        Outcome::Recovered(because) => (
            SettlementOutcome::Recovered(because.reason),
            because.payment,
        ),
    };
    let profile = load(payment.settings, payment.receipts).await?;
    let session = profile.open_session().await?;
    let contract = contract(&payment.member, &session)?;
    let answer = Settled {
        outcome,
        amount: payment.amount,
        reference: payment.reference,
    };
    let issued = settlement::settle(&session, &contract, delivery, &answer).await?;
    Ok(Box::new(keep(&profile, "settlement", &issued)?))
}

/// `vitrail status`
pub(super) async fn status(args: StatusArgs) -> Answer {
    let profile = args.settings.load(client::profile::Settings::default())?;
    let profile = client::device::renewed(profile).await?;
    let session = profile.open_session().await?;
    let opened = session.open_entry(args.entry.index()?).await?;
    Ok(Box::new(StatusReport::new(&opened)))
}
