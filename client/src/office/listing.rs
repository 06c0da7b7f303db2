//! Entries of the own members' claims, page after page, each verified before it comes out.
//!
//! A node could leave an entry out. It cannot make one up, and what is settled on the strength of a
//! list is first proved by the map ([`Session::open_entry`]).

use proto::attestation::{Attestation, Grant};
use proto::checkpoint::VerifiedCheckpoint;
use proto::entry::{Kind, VerifiedEntry};
use proto::ids::{CoverageKey, Finess, LeafIndex, MemberName, TreeSize, UnixMillis};
use proto::receipt::{EntryProof, ReceiptError};
use proto::seal::{Opened, PayloadCommitment, Salt, SealedPayload};
use proto::signing::PublicKey;
use proto::token::SealingSecret;
use proto::wire::claims::{ClaimsAsked, ClaimsPage, ListedClaim, OwnEntry, PAGE_CLAIMS_MAX};
use thiserror::Error;

use crate::connection::{Attempted, CallError, Verdict};
use crate::failure::{Failure, FailureKind};
use crate::lookup::LookupError;
use crate::nodes::Manner;
use crate::session::Session;

/// Why there is no list.
#[derive(Debug, Error)]
pub enum ListError {
    /// The node did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What it answered does not verify, or is not fresh.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The pages do not go forward through the log.
    #[error("{member}: its pages do not follow the log")]
    Order {
        /// Who answered.
        member: MemberName,
    },
    /// An entry of the answer fails.
    #[error("{member}, entry {entry}: {reason}")]
    Entry {
        /// Who answered.
        member: MemberName,
        /// Which entry.
        entry: LeafIndex,
        /// What is wrong with it.
        reason: WrongClaim,
    },
}

/// What is wrong with one entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WrongClaim {
    /// Signature or place.
    #[error(transparent)]
    Entry(#[from] ReceiptError),
    /// It is of another kind, or beside it stand entries that have nothing to do with it.
    #[error("it is not what was asked for")]
    Unlike,
}

impl Attempted for ListError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Call(error) => error.verdict(),
            Self::Lookup(error) => error.verdict(),
            Self::Order { .. } | Self::Entry { .. } => Verdict::Lied,
        }
    }
}

impl Failure for ListError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Call(error) => error.kind(),
            Self::Lookup(error) => error.kind(),
            Self::Order { .. } | Self::Entry { .. } => FailureKind::Unavailable,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Call(CallError::NotAdmitted { .. }) => {
                Some("claims are listed for payers, with the member's key")
            }
            Self::Call(error) => error.hint(),
            Self::Lookup(error) => error.hint(),
            Self::Order { .. } | Self::Entry { .. } => Some("ask another member's node"),
        }
    }
}

/// An entry with its payload.
#[derive(Debug, Clone)]
struct Sealed {
    entry: VerifiedEntry,
    payload: Option<(SealedPayload, Salt)>,
}

/// An own coverage that a claim rests on.
#[derive(Debug, Clone)]
pub(super) struct OwnCoverage {
    pub(super) index: LeafIndex,
    pub(super) key: CoverageKey,
    /// The own key, or one of the same member's before.
    pub(super) issuer: PublicKey,
    sealed: Sealed,
}

/// A claim, delivery, release or own settlement.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its place in the log.
    pub index: LeafIndex,
    /// When it was issued, by its issuer's clock.
    pub issued_at: UnixMillis,
    /// Who issued it.
    pub issuer: PublicKey,
    /// What it says.
    pub says: Attestation,
    /// The shop whose till issued it, or of a settlement the delivery; `None` once the till's grant
    /// was revoked.
    pub shop: Option<Finess>,
    pub(super) coverages: Vec<OwnCoverage>,
    sealed: Sealed,
}

/// What was listed.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// In the order of the log.
    pub entries: Vec<Listed>,
    /// The size of the log that was read to its end.
    pub size: TreeSize,
}

impl Sealed {
    fn open(&self, secret: &SealingSecret) -> Option<Opened> {
        let (sealed, salt) = self.payload.as_ref()?;
        let commitment = PayloadCommitment::from_hash(self.entry.header().commitment?);
        sealed.open(secret, salt, &commitment).ok()
    }
}

impl Listed {
    /// The claim that it is, or belongs to.
    #[must_use]
    pub fn claim(&self) -> LeafIndex {
        match &self.says {
            Attestation::Delivery(delivery) => delivery.claim,
            Attestation::Release(release) => release.claim,
            Attestation::Settlement(settlement) => settlement.claim,
            _ => self.index,
        }
    }

    /// The part of its payload that is sealed for a contract.
    pub(super) fn open(&self, secret: &SealingSecret) -> Option<Opened> {
        self.sealed.open(secret)
    }
}

impl OwnCoverage {
    pub(super) fn open(&self, secret: &SealingSecret) -> Option<Opened> {
        self.sealed.open(secret)
    }
}

/// Lists what rests on the own coverages, from a place of the log on and without what was issued
/// before a moment. `progress` is told after each page how far in the log it is, and how long that
/// is.
///
/// # Errors
/// [`ListError`]; nothing is then known, not even a part.
pub async fn list(
    session: &Session,
    since: UnixMillis,
    first: LeafIndex,
    progress: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Listing, ListError> {
    let mut listing = Listing::default();
    let mut first = first;
    loop {
        let asked = ClaimsAsked {
            since,
            first,
            page_size: PAGE_CLAIMS_MAX,
        };
        let asked = &asked;
        let page = session.ask(Manner::PAGE, |connection| async move {
            let seen = session.seen().size();
            let page = connection.claims(asked).await?;
            let own_keys = own_keys(session, &page).await?;
            verify_page(session, connection.member(), &page, first, seen, &own_keys)
        });
        let page = page.await?;
        listing.entries.extend(page.entries);
        listing.size = page.size;
        progress(page.next.get(), page.size.get());
        if page.next.get() >= page.size.get() {
            return Ok(listing);
        }
        first = page.next;
    }
}

/// A page of one member's node, verified.
struct Page {
    entries: Vec<Listed>,
    next: LeafIndex,
    size: TreeSize,
}

/// The keys of a page's coverages and settlements that are the own member's, now or before.
async fn own_keys(session: &Session, page: &ClaimsPage) -> Result<Vec<PublicKey>, LookupError> {
    let mut own_keys = Vec::new();
    for listed in &page.entries {
        for entry in listed.coverages.iter().chain([&listed.entry]) {
            let header = entry.proved.entry.header();
            let is_payers = matches!(header.kind, Kind::Coverage | Kind::Settlement);
            let issuer = header.issuer;
            if is_payers && !own_keys.contains(&issuer) && session.is_own_key(&issuer).await? {
                own_keys.push(issuer);
            }
        }
    }
    Ok(own_keys)
}

/// Verifies a page that begins at a place of the log: it goes on, or the log ends.
fn verify_page(
    session: &Session,
    member: &MemberName,
    page: &ClaimsPage,
    first: LeafIndex,
    seen: TreeSize,
    own_keys: &[PublicKey],
) -> Result<Page, ListError> {
    let checkpoint = session.verify_newest(member, &page.checkpoint, seen)?;
    let order = || ListError::Order {
        member: member.clone(),
    };
    if page.next <= first && page.next.get() < checkpoint.size().get() {
        return Err(order());
    }
    let (mut from, mut entries) = (first, Vec::new());
    for listed in &page.entries {
        let index = listed.entry.proved.index;
        if index < from || index >= page.next {
            return Err(order());
        }
        from = LeafIndex::new(index.get() + 1);
        let verified = verify(listed, &checkpoint, own_keys);
        entries.push(verified.map_err(|reason| ListError::Entry {
            member: member.clone(),
            entry: index,
            reason,
        })?);
    }
    Ok(Page {
        entries,
        next: page.next,
        size: checkpoint.size(),
    })
}

fn verify(
    listed: &ListedClaim,
    checkpoint: &VerifiedCheckpoint,
    own_keys: &[PublicKey],
) -> Result<Listed, WrongClaim> {
    let sealed = sealed(&listed.entry, checkpoint)?;
    let header = sealed.entry.header();
    let (issuer, issued_at) = (header.issuer, header.issued_at);
    let says = Attestation::read(header).map_err(|_| WrongClaim::Unlike)?;
    let till = match (&says, &listed.delivery) {
        (Attestation::Claim(_) | Attestation::Delivery(_) | Attestation::Release(_), None) => {
            issuer
        }
        (Attestation::Settlement(settlement), Some(delivery)) => {
            let fits = own_keys.contains(&issuer) && delivery.index == settlement.delivery;
            fits.then_some(()).ok_or(WrongClaim::Unlike)?;
            delivery.verify(checkpoint, &mut |_| {})?.header().issuer
        }
        _ => return Err(WrongClaim::Unlike),
    };
    let mut coverages = Vec::new();
    for own in &listed.coverages {
        let coverage = coverage(own, checkpoint, own_keys)?;
        if let Attestation::Claim(claim) = &says
            && !claim.coverages.contains(&coverage.index)
        {
            return Err(WrongClaim::Unlike);
        }
        coverages.push(coverage);
    }
    let grant = listed.grant.as_ref();
    let shop = grant
        .map(|grant| shop(grant, checkpoint, &till))
        .transpose()?;
    Ok(Listed {
        index: listed.entry.proved.index,
        issued_at,
        issuer,
        says,
        shop,
        coverages,
        sealed,
    })
}

fn sealed(own: &OwnEntry, checkpoint: &VerifiedCheckpoint) -> Result<Sealed, WrongClaim> {
    Ok(Sealed {
        entry: own.proved.verify(checkpoint, &mut |_| {})?,
        payload: own.payload.clone(),
    })
}

fn coverage(
    own: &OwnEntry,
    checkpoint: &VerifiedCheckpoint,
    own_keys: &[PublicKey],
) -> Result<OwnCoverage, WrongClaim> {
    let sealed = sealed(own, checkpoint)?;
    let header = sealed.entry.header();
    match Attestation::read(header) {
        Ok(Attestation::Coverage(coverage)) if own_keys.contains(&header.issuer) => {
            Ok(OwnCoverage {
                index: own.proved.index,
                key: coverage.coverage,
                issuer: header.issuer,
                sealed,
            })
        }
        _ => Err(WrongClaim::Unlike),
    }
}

/// The shop that a grant in the log says a till stands in: what is in the log was admitted.
fn shop(
    grant: &EntryProof,
    checkpoint: &VerifiedCheckpoint,
    till: &PublicKey,
) -> Result<Finess, WrongClaim> {
    let entry = grant.verify(checkpoint, &mut |_| {})?;
    match Attestation::read(entry.header()) {
        Ok(Attestation::Grant(Grant {
            till: key, finess, ..
        })) if key == *till => Ok(finess),
        _ => Err(WrongClaim::Unlike),
    }
}
