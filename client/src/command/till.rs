//! `check`, `claim` and `release`.

use std::path::PathBuf;

use clap::Args;
use client::device;
use client::failure::FailureKind;
use client::pos::{CheckError, ClaimError, Draft, Insured, Occasion, Pos, Quote, read_items};
use client::profile::{Profile, ProfileError, Settings};
use client::session::Session;
use proto::attestation::Attestation;
use proto::benefit::NetworkName;
use proto::ids::{Day, LeafIndex};
use proto::lpp::Slot;
use proto::refusal::Reason;
use proto::renewal::EarlyRenewal;

use super::keeping::{ReceiptsArgs, keep, load, named, settings};
use super::report::{ClaimReport, IssueReport, ItemsReport, QuoteReport};
use super::{Answer, Failed, SettingsArgs, card, queue};

/// What is sold, and to whom.
#[derive(Args)]
struct SaleArgs {
    /// A TOML file with nir, birth_date, birth_rank, regime and complementary; - for stdin.
    /// An identity is never a flag, since other users of the machine can see flags
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// What is sold: LPP code, eye of a lens, price in euros; may be repeated
    #[arg(long = "item", value_name = "CODE[/right|/left]=PRICE")]
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

impl SaleArgs {
    /// The person on the card.
    fn insured(&self) -> Result<Insured, Failed> {
        match &self.card {
            Some(card) if !self.items.is_empty() => Ok(card::read(card)?),
            _ => Err(Failed {
                kind: FailureKind::Malformed,
                message: "--card and at least one --item are needed".to_owned(),
                hint: None,
            }),
        }
    }
}

/// Arguments of `check`.
#[derive(Args)]
pub(super) struct CheckArgs {
    #[command(flatten)]
    sale: SaleArgs,
    /// Keep the quote in this file, from which it can be claimed when nobody can be asked
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Arguments of `claim`.
#[derive(Args)]
pub(super) struct ClaimArgs {
    #[command(flatten)]
    sale: SaleArgs,
    /// A quote that `check --keep` made, in place of a card and items
    #[arg(long, value_name = "FILE", conflicts_with_all = ["card", "items"])]
    quote: Option<PathBuf>,
    /// The folder of claims that wait: if the federation cannot be reached, this one waits there
    #[arg(long, env = "VITRAIL_QUEUE", value_name = "DIR")]
    queue: Option<PathBuf>,
    #[command(flatten)]
    receipts: ReceiptsArgs,
    #[command(flatten)]
    settings: SettingsArgs,
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

/// `vitrail check`
pub(super) async fn check(args: CheckArgs) -> Answer {
    let profile = device::renewed(args.settings.load(Settings::default())?).await?;
    let insured = args.sale.insured()?;
    let pos = Pos::open_anew(&profile, None).await?;
    let quote = match quote(&pos, &insured, &args.sale, &profile).await? {
        Ok(quote) => quote,
        Err(refused) => return Ok(Box::new(refused)),
    };
    let mut report = QuoteReport::new(&quote, pos.session());
    if let Some(path) = args.keep {
        match pos.draft(&quote) {
            Ok(draft) => {
                draft.keep(&path)?;
                report = report.kept(path);
            }
            // There is nothing to keep, and the report says why.
            Err(ClaimError::NothingCovered) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Box::new(report))
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
    let profile = args.settings.load(settings(args.receipts))?;
    if let Some(path) = &args.quote {
        let draft = Draft::kept(path)?;
        let claim = match &args.queue {
            Some(folder) => queue::claim(folder, draft, profile).await?,
            None => {
                let profile = device::renewed(profile).await?;
                send(draft, &profile, &profile.open_session().await?).await?
            }
        };
        return Ok(Box::new(ClaimReport { quote: None, claim }));
    }
    let profile = device::renewed(profile).await?;
    let insured = args.sale.insured()?;
    let pos = Pos::open_anew(&profile, None).await?;
    let quote = match quote(&pos, &insured, &args.sale, &profile).await? {
        Ok(quote) => quote,
        Err(refused) => return Ok(Box::new(refused)),
    };
    let (draft, report) = (pos.draft(&quote)?, QuoteReport::new(&quote, pos.session()));
    let claim = match &args.queue {
        Some(folder) => queue::claim(folder, draft, profile).await?,
        None => send(draft, &profile, pos.session()).await?,
    };
    Ok(Box::new(ClaimReport {
        quote: Some(report),
        claim,
    }))
}

/// Signs a claim and appends it, now or not at all.
async fn send(draft: Draft, profile: &Profile, session: &Session) -> Result<IssueReport, Failed> {
    let claim = Attestation::Claim(draft.claim);
    let payload = Some((&draft.payload, &draft.salt));
    let issued = session.issue(&claim, payload).await;
    let report = keep(profile, "claim", &issued.map_err(ClaimError::from)?)?;
    Ok(report.answered_in(session))
}

/// `vitrail release`
pub(super) async fn release(args: ReleaseArgs) -> Answer {
    let profile = load(args.settings, args.receipts).await?;
    let claim = match (&args.receipt, args.claim) {
        (Some(path), _) => named(path)?,
        (None, index) => LeafIndex::new(index.unwrap_or_default()),
    };
    // A payer that releases has no catalogue, so no till is opened.
    let session = profile.open_session().await?;
    let slots = match &args.card {
        Some(path) => {
            session
                .slot_keys(card::read(path)?.person(), &args.slots)
                .await?
        }
        None => Vec::new(),
    };
    let issued = client::pos::release(&session, claim, &slots).await?;
    let report = keep(&profile, "release", &issued)?;
    Ok(Box::new(report.answered_in(&session)))
}
