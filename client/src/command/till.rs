//! `check`, `claim` and `release`.

use std::path::{Path, PathBuf};

use clap::Args;
use client::device;
use client::failure::{Failure, FailureKind};
use client::files;
use client::issue::Issued;
use client::pos::{CheckError, Insured, Occasion, Pos, Quote, read_items};
use client::profile::{Profile, ProfileError, Settings};
use client::system;
use proto::benefit::NetworkName;
use proto::ids::{Day, LeafIndex};
use proto::lpp::Slot;
use proto::receipt::{RECEIPT_BYTES_MAX, ReceiptError, ReceiptFile};
use proto::refusal::Reason;
use proto::renewal::EarlyRenewal;
use thiserror::Error;

use super::report::{ClaimReport, IssueReport, ItemsReport, QuoteReport};
use super::{Answer, Failed, SettingsArgs, card};

/// What is sold, and to whom.
#[derive(Args)]
struct SaleArgs {
    /// A TOML file with nir, birth_date, birth_rank, regime and complementary; - for stdin.
    /// An identity is never a flag, since other users of the machine can see flags
    #[arg(long, value_name = "FILE")]
    card: PathBuf,
    /// What is sold: LPP code, eye of a lens, price in euros; may be repeated
    #[arg(
        long = "item",
        value_name = "CODE[/right|/left]=PRICE",
        required = true
    )]
    items: Vec<String>,
    /// The date of the prescription, YYYY-MM-DD; without it the prescription is not checked
    #[arg(long, value_name = "DATE")]
    prescription: Option<Day>,
    /// What opens a renewal before its time: sight-change, child, medical or frame-fit.
    /// The optician attests it; no diopter is asked
    #[arg(long, value_name = "CONDITION", default_value_t)]
    early_renewal: EarlyRenewal,
    /// A payer's network that the shop is in; may be repeated [default: networks of the profile]
    #[arg(long = "network", value_name = "NAME")]
    networks: Vec<NetworkName>,
}

impl SaleArgs {
    fn occasion(&self, profile: &Profile) -> Result<Occasion, ProfileError> {
        Ok(Occasion {
            prescription: self.prescription,
            early_renewal: self.early_renewal,
            networks: match self.networks.as_slice() {
                [] => profile.networks()?,
                named => named.to_vec(),
            },
        })
    }
}

/// Arguments of `check`.
#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    sale: SaleArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Arguments of `claim`.
#[derive(Args)]
pub(super) struct ClaimArgs {
    #[command(flatten)]
    sale: SaleArgs,
    #[command(flatten)]
    receipts: ReceiptsArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Where receipts go.
#[derive(Args)]
pub(super) struct ReceiptsArgs {
    /// The folder that receipts are written to [default: receipts]
    #[arg(long, env = "VITRAIL_RECEIPTS", value_name = "DIR")]
    receipts: Option<PathBuf>,
}

/// Arguments of `release`.
#[derive(Args)]
pub(super) struct ReleaseArgs {
    /// The receipt of the claim, or of the delivery that comes back
    #[arg(
        value_name = "RECEIPT",
        required_unless_present = "claim",
        conflicts_with = "claim"
    )]
    receipt: Option<PathBuf>,
    /// The index of the claim or delivery, if its receipt is not at hand
    #[arg(long, value_name = "INDEX")]
    claim: Option<u64>,
    /// A slot to release, such as frame or right-lens; may be repeated [default: all]
    #[arg(long = "slot", value_name = "SLOT", requires = "card")]
    slots: Vec<Slot>,
    /// The card of the person, to tell his slots apart; - for stdin
    #[arg(long, value_name = "FILE", requires = "slots")]
    card: Option<PathBuf>,
    #[command(flatten)]
    receipts: ReceiptsArgs,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Why a file does not name an entry.
#[derive(Debug, Error)]
enum ReceiptFileError {
    /// It is no receipt.
    #[error("receipt: {0}")]
    Malformed(#[from] ReceiptError),
    /// It proves a refusal.
    #[error("receipt: this file proves a refusal, nothing was entered in the ledger")]
    Refusal,
}

impl Failure for ReceiptFileError {
    fn kind(&self) -> FailureKind {
        FailureKind::Malformed
    }
}

/// `vitrail check`
pub(super) async fn check(args: CheckArgs) -> Answer {
    let profile = device::renewed(args.settings.load(Settings::default())?).await?;
    let insured = card::read(&args.sale.card)?;
    let pos = Pos::open(&profile, None)?;
    match quote(&pos, &insured, &args.sale, &profile).await? {
        Ok(quote) => Ok(Box::new(QuoteReport::new(&quote, pos.session()))),
        Err(refused) => Ok(Box::new(refused)),
    }
}

/// The quote for these items, or the rule that refuses them before anybody is asked.
async fn quote(
    pos: &Pos,
    insured: &Insured,
    sale: &SaleArgs,
    profile: &Profile,
) -> Result<Result<Quote, ItemsReport>, Failed> {
    let occasion = sale.occasion(profile)?;
    let quoted = match read_items(&sale.items) {
        Ok(items) => pos.check_sale(insured, &items, &occasion).await,
        Err(error) => Err(CheckError::Items(error)),
    };
    match quoted {
        Ok(quote) => Ok(Ok(quote)),
        Err(CheckError::Items(error)) => match error.refusal() {
            Some(refused) => {
                // A wrong check digit is wrong in every catalogue.
                let is_current = match refused.reason {
                    Reason::LppCodeMistyped => None,
                    _ => pos.catalogue_is_current().await,
                };
                Ok(Err(ItemsReport::new(refused, is_current)))
            }
            None => Err(error.into()),
        },
        Err(error) => Err(error.into()),
    }
}

/// `vitrail claim`
pub(super) async fn claim(args: ClaimArgs) -> Answer {
    let profile = load(args.settings, args.receipts).await?;
    let insured = card::read(&args.sale.card)?;
    let pos = Pos::open(&profile, None)?;
    let quote = match quote(&pos, &insured, &args.sale, &profile).await? {
        Ok(quote) => quote,
        Err(refused) => return Ok(Box::new(refused)),
    };
    let issued = pos.claim(&quote).await?;
    let claim = keep(&profile, "claim", &issued)?;
    Ok(Box::new(ClaimReport {
        quote: QuoteReport::new(&quote, pos.session()),
        claim,
    }))
}

/// `vitrail release`
pub(super) async fn release(args: ReleaseArgs) -> Answer {
    let profile = load(args.settings, args.receipts).await?;
    let claim = match (&args.receipt, args.claim) {
        (Some(path), _) => named(path)?,
        (None, index) => LeafIndex::new(index.unwrap_or_default()),
    };
    // A payer that releases has no catalogue, so no till is opened.
    let session = profile.session(None)?;
    let slots = match &args.card {
        Some(path) => {
            session
                .slot_keys(card::read(path)?.person(), &args.slots)
                .await?
        }
        None => Vec::new(),
    };
    let issued = client::pos::release(&session, claim, &slots).await?;
    Ok(Box::new(keep(&profile, "release", &issued)?))
}

pub(super) async fn load(
    settings: SettingsArgs,
    receipts: ReceiptsArgs,
) -> Result<Profile, Failed> {
    let more = Settings {
        receipts: receipts.receipts,
        ..Settings::default()
    };
    Ok(device::renewed(settings.load(more)?).await?)
}

/// The entry that a receipt is of. Its proof is not needed here: the ledger decides.
pub(super) fn named(path: &Path) -> Result<LeafIndex, Failed> {
    let text = files::read_text(path, RECEIPT_BYTES_MAX)?;
    match ReceiptFile::parse(&text).map_err(ReceiptFileError::from)? {
        ReceiptFile::Accepted(receipt) => Ok(receipt.proved.index),
        ReceiptFile::Refused(_) => Err(ReceiptFileError::Refusal.into()),
    }
}

/// Writes the receipt, or the proof of the refusal, before anything is printed.
pub(super) fn keep(
    profile: &Profile,
    kind: &'static str,
    issued: &Issued,
) -> Result<IssueReport, Failed> {
    let Some(file) = issued.receipt_file() else {
        return Ok(IssueReport::new(kind, issued, None));
    };
    let folder = profile
        .settings()
        .receipts
        .as_deref()
        .unwrap_or(Path::new("receipts"));
    files::create_folder(folder)?;
    let name = match &file {
        ReceiptFile::Accepted(receipt) => {
            format!("{kind}-{:09}.receipt", receipt.proved.index.get())
        }
        ReceiptFile::Refused(_) => format!("{kind}-{}.refusal", system::request_id()?),
    };
    let path = folder.join(name);
    files::replace(&path, file.to_text().as_bytes())?;
    Ok(IssueReport::new(kind, issued, Some(path)))
}
