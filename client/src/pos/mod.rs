//! The till: what is covered, who pays what, reserve it, give it back.

pub(crate) mod at_hand;
mod claim;
mod correction;
mod delivery;
mod insured;
pub(crate) mod kept;
mod live;
mod offer;
mod product;
mod question;
mod quote;
mod sale;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proto::attestation::{Attestation, CatalogueNotice, Release};
use proto::entry::VerifiedEntry;
use proto::ids::{LeafIndex, SlotKey};
use proto::lpp::Catalogue;
use proto::receipt::{RECEIPT_BYTES_MAX, ReceiptFile};
use thiserror::Error;
use tokio::sync::Mutex;

pub use self::claim::{ClaimError, ClaimOutcome, Draft, RESERVATION_DAYS};
pub use self::correction::{
    CorrectedAmount, CorrectedPrice, CorrectionError, CorrectionTextError, Corrections, LineName,
};
pub use self::delivery::{Cause, DeliverError, HandingOver, Invoice, deliver, invoice};
pub use self::insured::{Complementary, Insured, InsuredError, PAYERS_MAX};
pub use self::kept::{KEPT_BYTES_MAX, KeptError};
pub use self::live::{LIVE_QUOTE_MAX, QuoteSource};
use self::offer::{Offer, Offers};
pub use self::product::{Item, ItemError, ItemTextError, ItemsRefused, Product, read_items};
use self::question::Questions;
pub use self::quote::{LineRefusal, PayerTotal, Payment, Quote, QuoteLine, Renewal, Unpaid};
pub use self::sale::Occasion;
use self::sale::Sale;
use crate::failure::{Failure, FailureKind};
use crate::files;
use crate::issue::{IssueError, Issued};
use crate::lookup::LookupError;
use crate::session::Session;
use crate::system;
use crate::tokens::TokenError;
use crate::view::{View, ViewError};

/// How long a till that refuses an item asks which catalogue is in force: the answer stands, and
/// this is a hint beside it.
pub const CATALOGUE_QUESTION_MAX: Duration = Duration::from_millis(500);

/// The file in the state folder that proves which catalogue the ledger names.
const CATALOGUE_RECEIPT: &str = "catalogue-receipt.txt";

/// A till in a shop.
pub struct Pos {
    session: Session,
    catalogue: Arc<Catalogue>,
    view: Mutex<View>,
    /// The catalogue entry that was last found to name our catalogue, so that one call is saved.
    catalogue_entry: Mutex<Option<LeafIndex>>,
    /// Where the receipt of that entry is kept from one run of the program to the next.
    catalogue_receipt: Option<PathBuf>,
    /// How long the payers' nodes may take.
    live_quote_max: Duration,
}

/// Why no quote could be made. Nothing of the identity or of the items is quoted.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The items cannot be taken together.
    #[error(transparent)]
    Items(#[from] ItemError),
    /// The prescription is dated later than today.
    #[error("prescription: its date is not to come")]
    PrescriptionAhead,
    /// The own view of the ledger does not advance.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The tokens could not be made.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// The state of the ledger could not be had.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A coverage was issued by somebody who is not its payer.
    #[error("coverage {index} was not issued by the payer of the contract")]
    OtherPayer {
        /// The coverage.
        index: LeafIndex,
    },
    /// A coverage's payload cannot be opened, or does not say what it should.
    #[error("the terms of coverage {index} cannot be read")]
    Terms {
        /// The coverage.
        index: LeafIndex,
    },
    /// A coverage names something else than a catalogue.
    #[error("coverage {index} names no catalogue")]
    NoCatalogue {
        /// The coverage.
        index: LeafIndex,
    },
    /// The local catalogue is not the one that the payers computed with.
    #[error("the catalogue file is not the one in force in the ledger")]
    OtherCatalogue,
}

impl Failure for CheckError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Items(error) => error.kind(),
            Self::PrescriptionAhead | Self::OtherCatalogue => FailureKind::Malformed,
            Self::View(error) => error.kind(),
            Self::Tokens(error) => error.kind(),
            Self::Lookup(error) => error.kind(),
            Self::OtherPayer { .. } | Self::Terms { .. } | Self::NoCatalogue { .. } => {
                FailureKind::Unavailable
            }
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::OtherCatalogue => Some("fetch the one in force: vitrail catalogue fetch"),
            Self::View(error) => error.hint(),
            Self::Tokens(error) => error.hint(),
            Self::Lookup(error) => error.hint(),
            _ => None,
        }
    }
}

/// Why a claim could not be released.
#[derive(Debug, Error)]
pub enum ReleaseError {
    /// The entry to release could not be had.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The entry named is no claim and no delivery.
    #[error("entry {index} is no claim and no delivery")]
    NotAClaim {
        /// The entry.
        index: LeafIndex,
    },
    /// The tokens could not be made.
    #[error(transparent)]
    Tokens(#[from] TokenError),
    /// It is not known what became of the release.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

impl Failure for ReleaseError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::NotAClaim { .. } => FailureKind::Malformed,
            Self::Tokens(error) => error.kind(),
            Self::Issue(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Lookup(error) => error.hint(),
            Self::Issue(error) => error.hint(),
            _ => None,
        }
    }
}

impl Pos {
    /// A till that works with this catalogue and goes on from this view.
    #[must_use]
    pub fn new(session: Session, catalogue: Catalogue, view: View) -> Self {
        Self {
            session: view.compared_by(session),
            catalogue: Arc::new(catalogue),
            view: Mutex::new(view),
            catalogue_entry: Mutex::new(None),
            catalogue_receipt: None,
            live_quote_max: LIVE_QUOTE_MAX,
        }
    }

    /// The same till, which keeps the receipt of the entry that names its catalogue in this folder.
    #[must_use]
    pub fn keeping_receipt_in(self, folder: &Path) -> Self {
        Self {
            catalogue_receipt: Some(folder.join(CATALOGUE_RECEIPT)),
            ..self
        }
    }

    /// The same till, which waits so long for the payers' nodes in place of [`LIVE_QUOTE_MAX`].
    #[must_use]
    pub fn waiting_for_payers(self, at_most: Duration) -> Self {
        Self {
            live_quote_max: at_most,
            ..self
        }
    }

    /// What it works through.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Whether the items are covered, who pays what, and what is left to pay, without a
    /// prescription's date, an attested condition or a network: [`Pos::check_sale`].
    ///
    /// # Errors
    /// [`CheckError`]. An item that is not covered or taken is a line of the quote, no error.
    pub async fn check(&self, insured: &Insured, items: &[Item]) -> Result<Quote, CheckError> {
        self.check_sale(insured, items, &Occasion::default()).await
    }

    /// Whether the items are covered, who pays what, and what is left to pay.
    ///
    /// 1. The items are looked up in the catalogue: grouped codes, slots, base, highest price.
    /// 2. The own view of the ledger advances, so that a rollback or a fork is noticed.
    /// 3. Meanwhile the identity is blinded, evaluated by `t` members and turned into tokens.
    /// 4. The slots and the coverages of every payer are looked up and verified; meanwhile each
    ///    payer's own node is asked for its coverages, at most [`LIVE_QUOTE_MAX`].
    /// 5. What a payer's node says counts, otherwise what the ledger has. Each coverage must be
    ///    its payer's own, valid today, and opens to its terms.
    /// 6. The catalogue that the coverages name must be the local one.
    /// 7. Amounts, by the rules of [`proto::benefit`]: the mandatory insurer first, each payer
    ///    what its terms give of what is left; and where each slot's renewal clock stands.
    ///
    /// # Errors
    /// [`CheckError`]. An item that is not covered or taken is a line of the quote, no error.
    pub async fn check_sale(
        &self,
        insured: &Insured,
        items: &[Item],
        occasion: &Occasion,
    ) -> Result<Quote, CheckError> {
        let today = system::now().day();
        let sale = Sale::new(&self.catalogue, insured, items, occasion, today)?;
        let contracts = insured.contracts();
        // A view that does not advance ends it at once; tokens that fail wait for the view.
        let ((), tokens) = tokio::try_join!(self.advance(), async {
            Ok(self.session.tokens(insured.person(), &contracts).await)
        })?;
        let (person, tokens) = tokens?;
        let payers = question::payers(&contracts, &tokens, self.session.roster());
        let asked = Questions::new(&sale.products, &person, &tokens);
        let (found, live) = tokio::join!(
            self.session.lookup(&asked.slots, &asked.coverages),
            self.live_quotes(&asked, &payers),
        );
        let found = found?;
        // What a payer's node shows may contradict the ledger too.
        if let Some(contradiction) = self.session.seen().found() {
            return Err(LookupError::from(contradiction).into());
        }
        let offers = Offers::read(&asked, &found, &live, &payers, today)?;
        let catalogue = self.catalogue_in_force(&offers.offers).await?;
        Ok(Quote::new(sale, payers, &asked, found, &offers, catalogue))
    }

    async fn advance(&self) -> Result<(), CheckError> {
        self.view.lock().await.advance(&self.session).await?;
        Ok(())
    }

    /// Whether the ledger has the till's catalogue in force; `None` when nobody says so within
    /// [`CATALOGUE_QUESTION_MAX`], or none was named. A till that refuses an item by its own
    /// catalogue wants to know.
    pub async fn catalogue_is_current(&self) -> Option<bool> {
        let asked = self.session.catalogue_in_force();
        let answer = tokio::time::timeout(CATALOGUE_QUESTION_MAX, asked).await;
        let named = answer.ok()?.ok()??;
        Some(named.notice.hash == self.catalogue.hash())
    }

    /// Reserves the slots of all claimable lines of a quote, or none.
    ///
    /// A line whose slot the quote found taken is claimed too: the ledger decides, and its
    /// refusal carries the proof. With an attested condition a held slot may be taken once its months
    /// are over: the ledger learns the months, and only if a slot is held; the condition is sealed for
    /// the payers.
    ///
    /// # Errors
    /// [`ClaimError`] when there is nothing to claim, or it is not known what became of it.
    pub async fn claim(&self, quote: &Quote) -> Result<ClaimOutcome, ClaimError> {
        let draft = self.draft(quote)?;
        let payload = Some((&draft.payload, &draft.salt));
        let attestation = Attestation::Claim(draft.claim);
        Ok(self.session.issue(&attestation, payload).await?)
    }

    /// The claim of a quote's claimable lines, ready to be signed: for a till that keeps it until
    /// it can send it.
    ///
    /// # Errors
    /// [`ClaimError`] when there is nothing to claim.
    pub fn draft(&self, quote: &Quote) -> Result<Draft, ClaimError> {
        Draft::new(quote, system::now())
    }

    /// Frees slots of a claim, or of a delivery that comes back: those given, or all of them if none is.
    ///
    /// # Errors
    /// [`ReleaseError`]; a refusal is an answer.
    pub async fn release(
        &self,
        claim: LeafIndex,
        slots: &[SlotKey],
    ) -> Result<Issued, ReleaseError> {
        release(&self.session, claim, slots).await
    }

    /// The newest catalogue entry that the offers name, once its hash is found to be ours.
    async fn catalogue_in_force(&self, offers: &[Offer]) -> Result<Option<LeafIndex>, CheckError> {
        let Some(newest) = offers.iter().max_by_key(|offer| offer.catalogue) else {
            return Ok(None);
        };
        let (coverage, index) = (newest.coverage, newest.catalogue);
        let mut known = self.catalogue_entry.lock().await;
        if *known == Some(index) {
            return Ok(Some(index));
        }
        let entry = self.catalogue_entry(index).await?;
        let Ok(Attestation::Catalogue(CatalogueNotice { hash, .. })) =
            Attestation::read(entry.header())
        else {
            return Err(CheckError::NoCatalogue { index: coverage });
        };
        if hash != self.catalogue.hash() {
            return Err(CheckError::OtherCatalogue);
        }
        *known = Some(index);
        Ok(Some(index))
    }

    /// The entry that names a catalogue, from the receipt that was kept of it or from the home
    /// node. A kept receipt is verified like one that has just come.
    async fn catalogue_entry(&self, index: LeafIndex) -> Result<VerifiedEntry, CheckError> {
        if let Some(entry) = self.kept_catalogue_entry(index) {
            return Ok(entry);
        }
        let (entry, receipt) = self.session.receipt(index).await?;
        if let Some(path) = &self.catalogue_receipt {
            // What cannot be kept is asked for again.
            let text = ReceiptFile::Accepted(receipt).to_text();
            let _ = files::replace(path, text.as_bytes());
        }
        Ok(entry)
    }

    fn kept_catalogue_entry(&self, index: LeafIndex) -> Option<VerifiedEntry> {
        let path = self.catalogue_receipt.as_ref()?;
        let text = files::read_text(path, RECEIPT_BYTES_MAX).ok()?;
        let Ok(ReceiptFile::Accepted(receipt)) = ReceiptFile::parse(&text) else {
            return None;
        };
        let verified = receipt.verify(self.session.roster(), &mut |_| {}).ok()?;
        (verified.index == index).then_some(verified.entry)
    }
}

/// Frees slots of a claim, or of a delivery that comes back, as the till of the claim or as a payer
/// that its coverages are of: those given, or all of the entry's if none is.
///
/// # Errors
/// [`ReleaseError`]; a refusal is an answer.
pub async fn release(
    session: &Session,
    claim: LeafIndex,
    slots: &[SlotKey],
) -> Result<Issued, ReleaseError> {
    let release = release_of(session, claim, slots).await?;
    Ok(session.issue(&release, None).await?)
}

/// What such a release says, ready to be signed: for a till that keeps it until it knows what
/// became of it.
///
/// # Errors
/// [`ReleaseError`].
pub async fn release_of(
    session: &Session,
    claim: LeafIndex,
    slots: &[SlotKey],
) -> Result<Attestation, ReleaseError> {
    let entry = session.verified_entry(claim).await?;
    let (of_entry, of_claim, invoice) = match Attestation::read(entry.header()) {
        Ok(Attestation::Claim(entry)) => (entry.slots, claim, None),
        Ok(Attestation::Delivery(delivery)) => {
            let invoice = delivery.handover.invoice(claim);
            (delivery.slots, delivery.claim, Some(invoice))
        }
        _ => return Err(ReleaseError::NotAClaim { index: claim }),
    };
    let mut slots = match slots {
        [] => of_entry,
        some => some.to_vec(),
    };
    slots.sort_unstable();
    Ok(Attestation::Release(Release {
        slots,
        claim: of_claim,
        invoice,
    }))
}
