//! What is covered, reserved and freed: coverages, claims and releases.

use super::Attestation;
use super::shape::{Shape, ShapeError, ascending};
use crate::hash::Hash;
use crate::ids::{CoverageKey, Day, LeafIndex, SlotKey};
use crate::renewal::plus_months;

/// A payer's signed commitment: for this grouped code, so much is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The coverage key of the contract and the grouped code.
    pub coverage: CoverageKey,
    /// The catalogue it was computed with.
    pub catalogue: LeafIndex,
    /// The last day on which a claim may rest on it.
    pub until: Day,
    /// The commitment to the sealed [`CoverageTerms`](super::CoverageTerms).
    pub commitment: Hash,
}

/// Reserves slots on the strength of coverages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The slots to reserve, all or none.
    pub slots: Vec<SlotKey>,
    /// The catalogue it was computed with.
    pub catalogue: LeafIndex,
    /// The coverages it rests on, in ascending order.
    pub coverages: Vec<LeafIndex>,
    /// The last day of the reservation.
    pub until: Day,
    /// How soon after its delivery the claim may take a slot that is still held; `None` for not
    /// before the hold ends. It is all that members learn of an early renewal: the condition is
    /// sealed for the payers.
    pub early: Option<EarlyFrom>,
    /// The commitment to the sealed [`ClaimTerms`](super::ClaimTerms), one part for each payer.
    pub commitment: Hash,
}

/// How many months after a delivery an attested condition opens its slots. The number is signed: it
/// never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EarlyFrom {
    /// Without delay: the listed medical situations, and a child's sight that got worse.
    AtOnce = 0,
    /// From six months on: a frame that no longer fits a child under six.
    SixMonths = 6,
    /// From twelve months on: a change of sight from 16 years on.
    TwelveMonths = 12,
}

impl EarlyFrom {
    /// Every one, by months.
    pub const ALL: [Self; 3] = [Self::AtOnce, Self::SixMonths, Self::TwelveMonths];

    /// The months.
    #[must_use]
    pub const fn months(self) -> u16 {
        self as u16
    }

    /// The one of so many months; `None` for any other number.
    #[must_use]
    pub fn from_months(months: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|early| early.months() == months)
    }

    /// The first day on which a slot is open that was delivered on this one.
    #[must_use]
    pub fn opens_on(self, delivered_on: Day) -> Day {
        plus_months(delivered_on, self.months())
    }
}

/// Frees the slots of a claim: reserved ones, or ones that were delivered and come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The slots to free: all of the claim's or some.
    pub slots: Vec<SlotKey>,
    /// The claim that reserved them.
    pub claim: LeafIndex,
    /// The first delivery of what comes back; `None` when nothing was delivered yet.
    pub invoice: Option<LeafIndex>,
}

impl Shape<'_> {
    pub(super) fn coverage(&self) -> Result<Attestation, ShapeError> {
        self.no_statement()?;
        let [coverage] = self.0.keys[..] else {
            return Err(self.needs("one coverage key"));
        };
        let [catalogue] = self.0.references[..] else {
            return Err(self.needs("one catalogue"));
        };
        Ok(Attestation::Coverage(Coverage {
            coverage: CoverageKey::from_bytes(coverage),
            catalogue,
            until: self.until()?,
            commitment: self.commitment()?,
        }))
    }

    pub(super) fn claim(&self) -> Result<Attestation, ShapeError> {
        let early = match self.0.statement[..] {
            [] => None,
            [months] => Some(
                EarlyFrom::from_months(months.into())
                    .ok_or(self.unknown_statement("0, 6 or 12 months"))?,
            ),
            _ => return Err(self.unknown_statement("0, 6 or 12 months")),
        };
        let [catalogue, coverages @ ..] = &self.0.references[..] else {
            return Err(self.needs("a catalogue and one coverage or more"));
        };
        if coverages.is_empty() {
            return Err(self.needs("a catalogue and one coverage or more"));
        }
        ascending("coverages", coverages)?;
        Ok(Attestation::Claim(Claim {
            slots: self.slots()?,
            catalogue: *catalogue,
            coverages: coverages.to_vec(),
            until: self.until()?,
            early,
            commitment: self.commitment()?,
        }))
    }

    pub(super) fn release(&self) -> Result<Attestation, ShapeError> {
        self.no_statement()?;
        self.absent(self.0.hold_until.is_none(), "hold_until")?;
        self.absent(self.0.commitment.is_none(), "commitment")?;
        let (claim, invoice) = match self.0.references[..] {
            [claim] => (claim, None),
            [claim, invoice] => (claim, Some(invoice)),
            _ => return Err(self.needs("one claim, and at most its first delivery")),
        };
        Ok(Attestation::Release(Release {
            slots: self.slots()?,
            claim,
            invoice,
        }))
    }
}
