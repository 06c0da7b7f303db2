//! What an entry says: one type for each kind, read from and written to a header, and what each
//! does to the map.
//!
//! [`Attestation::read`] checks that a header has just the fields its kind needs. Whether the
//! ledger admits it is decided elsewhere; what an admitted one changes is [`Attestation::effects`],
//! the same function for the node that appends and for the auditor who replays the log.

mod access;
mod claim;
mod content;
mod coverage_terms;
mod delivery;
mod effects;
mod grant;
pub mod lifecycle;
mod member;
mod settlement;
mod shape;
mod state;
#[cfg(test)]
mod tests;

pub use self::access::{
    AccessRecord, LOOK_KEYS_MAX, Look, LookOutcome, RECORD_LOOKS_MAX, RecordError, looks_that_fit,
};
pub use self::claim::{Claim, Coverage, EarlyFrom, Release};
pub use self::content::{CLAIM_LINES_MAX, ClaimLine, ClaimTerms, CodeOpening, ContentError};
pub use self::coverage_terms::CoverageTerms;
pub use self::delivery::{Delivery, HOLD_DAYS_MAX, Handover};
pub use self::effects::Effects;
pub use self::grant::{CatalogueNotice, Grant, GrantClass, Revocation, SESSION_MS_MAX};
pub use self::member::{MemberState, member_index, member_of_key, same_member};
pub use self::settlement::{PAYMENT_REFERENCE_MAX, Settlement, SettlementOutcome, SettlementTerms};
use self::shape::Shape;
pub use self::shape::ShapeError;
pub use self::state::{
    CoverageState, GrantState, Hold, InvoiceState, SettlementState, SlotState, SlotStatus, State,
    StateError, catalogue_index, coverage_index, grant_index, invoice_index, roster_index,
    settlement_index, slot_index,
};
use crate::entry::{Header, Kind};
use crate::hash::Hash;
use crate::ids::{LeafIndex, RequestId};
use crate::roster::{Role, SignedRoster};
use crate::signing::PublicKey;

/// How far an issuer's clock may be from the batch's: tills are not all on NTP, and beyond two
/// minutes the order of two shops' claims would no longer mean anything.
pub const CLOCK_SKEW_MS_MAX: u64 = 120_000;
/// How much earlier than an entry that stands before it an entry may have been issued: the first is
/// at most the clock skew ahead of its batch, the second at most that behind its own, and no batch
/// is decided at a moment before the last one's. Entry 0 founds the ledger outside of any batch.
pub const ORDER_SKEW_MS_MAX: u64 = 2 * CLOCK_SKEW_MS_MAX;
/// The longest reservation: the usual delay from a quote to the delivery of glasses.
pub const RESERVATION_DAYS_MAX: u32 = 60;
/// The longest validity of a coverage: a contract year and a day.
pub const COVERAGE_DAYS_MAX: u32 = 366;
/// The longest grant: a year and a month, so that yearly renewals overlap.
pub const GRANT_DAYS_MAX: u32 = 397;

/// Whether a member of this role may issue this kind; what tills may is
/// [`till_may_issue`].
#[must_use]
pub const fn member_may_issue(role: Role, kind: Kind) -> bool {
    match kind {
        Kind::Roster | Kind::Erasure | Kind::Access => true,
        Kind::Catalogue => matches!(role, Role::Amo),
        Kind::Grant | Kind::Revocation => matches!(role, Role::Federation),
        Kind::Coverage | Kind::Release | Kind::Settlement => {
            matches!(role, Role::Amo | Role::Amc)
        }
        Kind::Claim | Kind::Delivery => false,
    }
}

/// Whether a till may issue this kind.
#[must_use]
pub const fn till_may_issue(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Claim | Kind::Delivery | Kind::Release | Kind::Erasure
    )
}

/// Asks every member to delete the payload and salt of an entry. The entry itself stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// The entry whose payload goes.
    pub erased: LeafIndex,
}

/// Commits to an [`AccessRecord`], sealed to the incident keys of the roster. Nothing else of it
/// is public: neither who looked nor at what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The commitment to the sealed record.
    pub commitment: Hash,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the type it holds")]
pub enum Attestation {
    Roster(SignedRoster),
    Catalogue(CatalogueNotice),
    Grant(Grant),
    Revocation(Revocation),
    Coverage(Coverage),
    Claim(Claim),
    Release(Release),
    Erasure(Erasure),
    Delivery(Delivery),
    Settlement(Settlement),
    Access(Access),
}

impl Attestation {
    /// Reads what a header says.
    ///
    /// # Errors
    /// The first field that its kind does not have, needs, or needs otherwise.
    pub fn read(header: &Header) -> Result<Self, ShapeError> {
        let shape = Shape(header);
        match header.kind {
            Kind::Roster => shape.roster(),
            Kind::Catalogue => shape.catalogue(),
            Kind::Grant => shape.grant(),
            Kind::Revocation => shape.revocation(),
            Kind::Coverage => shape.coverage(),
            Kind::Claim => shape.claim(),
            Kind::Release => shape.release(),
            Kind::Erasure => shape.erasure(),
            Kind::Delivery => shape.delivery(),
            Kind::Settlement => shape.settlement(),
            Kind::Access => shape.access(),
        }
    }

    /// The kind of entry that says this.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Roster(_) => Kind::Roster,
            Self::Catalogue(_) => Kind::Catalogue,
            Self::Grant(_) => Kind::Grant,
            Self::Revocation(_) => Kind::Revocation,
            Self::Coverage(_) => Kind::Coverage,
            Self::Claim(_) => Kind::Claim,
            Self::Release(_) => Kind::Release,
            Self::Erasure(_) => Kind::Erasure,
            Self::Delivery(_) => Kind::Delivery,
            Self::Settlement(_) => Kind::Settlement,
            Self::Access(_) => Kind::Access,
        }
    }

    /// The header that says this, ready to be signed.
    #[must_use]
    pub fn header(&self, issuer: PublicKey, request_id: RequestId) -> Header {
        let mut header = Header {
            kind: self.kind(),
            issuer,
            request_id,
            issued_at: request_id.at(),
            keys: Vec::new(),
            hold_until: None,
            references: Vec::new(),
            commitment: None,
            statement: Vec::new(),
        };
        match self {
            Self::Roster(roster) => header.statement = roster.to_text().into_bytes(),
            Self::Catalogue(notice) => header.statement = notice.to_statement(),
            Self::Grant(grant) => header.statement = grant.to_statement(),
            Self::Revocation(revocation) => header.statement = revocation.till.to_bytes().into(),
            Self::Coverage(coverage) => {
                header.keys = vec![*coverage.coverage.as_bytes()];
                header.hold_until = Some(coverage.until);
                header.references = vec![coverage.catalogue];
                header.commitment = Some(coverage.commitment);
            }
            Self::Claim(claim) => {
                header.keys = claim.slots.iter().map(|slot| *slot.as_bytes()).collect();
                header.hold_until = Some(claim.until);
                header.references = vec![claim.catalogue];
                header.references.extend(&claim.coverages);
                header.commitment = Some(claim.commitment);
                header.statement = claim.early.map(|early| early as u8).into_iter().collect();
            }
            Self::Release(release) => {
                header.keys = release.slots.iter().map(|slot| *slot.as_bytes()).collect();
                header.references = vec![release.claim];
                header.references.extend(release.invoice);
            }
            Self::Erasure(erasure) => header.references = vec![erasure.erased],
            Self::Delivery(delivery) => {
                header.keys = delivery.slots.iter().map(|slot| *slot.as_bytes()).collect();
                header.hold_until = delivery.handover.until();
                header.references = delivery.handover.references(delivery.claim);
                header.commitment = Some(delivery.commitment);
                header.statement = delivery.handover.to_statement();
            }
            Self::Settlement(settlement) => {
                let Settlement {
                    claim,
                    invoice,
                    delivery,
                    ..
                } = *settlement;
                header.references = vec![claim, invoice, delivery];
                header.commitment = Some(settlement.commitment);
                header.statement = settlement.to_statement();
            }
            Self::Access(access) => header.commitment = Some(access.commitment),
        }
        header
    }
}

impl Shape<'_> {
    fn erasure(&self) -> Result<Attestation, ShapeError> {
        self.no_statement()?;
        self.absent(self.0.keys.is_empty(), "keys")?;
        self.absent(self.0.hold_until.is_none(), "hold_until")?;
        self.absent(self.0.commitment.is_none(), "commitment")?;
        let [erased] = self.0.references[..] else {
            return Err(self.needs("one reference"));
        };
        Ok(Attestation::Erasure(Erasure { erased }))
    }

    fn access(&self) -> Result<Attestation, ShapeError> {
        self.no_statement()?;
        self.absent(self.0.keys.is_empty(), "keys")?;
        self.absent(self.0.hold_until.is_none(), "hold_until")?;
        self.absent(self.0.references.is_empty(), "references")?;
        let commitment = self.commitment()?;
        Ok(Attestation::Access(Access { commitment }))
    }
}
