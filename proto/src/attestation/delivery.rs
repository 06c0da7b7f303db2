//! What is handed over, and invoiced: a delivery, its correction, a replacement under warranty.
//!
//! The first delivery of some slots of a claim is their invoice. A correction replaces what the
//! payers judge, under the same invoice; a replacement is on record and changes nothing.

use super::Attestation;
use super::shape::{Shape, ShapeError, split_array};
use crate::entry::Kind;
use crate::hash::Hash;
use crate::ids::{Day, LeafIndex, SlotKey, UnixMillis};
use crate::renewal::free_again_on;

/// The longest hold: 24 months have at most 731 days, and a day for clocks around midnight.
pub const HOLD_DAYS_MAX: u32 = 732;

/// Hands over slots of a claim, and invoices them to its payers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The slots that are handed over: all of the claim's or some.
    pub slots: Vec<SlotKey>,
    /// The claim that reserved them.
    pub claim: LeafIndex,
    /// What is handed over, and from when its renewal clock runs.
    pub handover: Handover,
    /// The commitment to the sealed [`ClaimTerms`](super::ClaimTerms) of what is handed over, one
    /// part for each payer.
    pub commitment: Hash,
}

/// Why something is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handover {
    /// For the first time. The entry is the invoice of these slots.
    First {
        /// The last day of the hold: on the next day the slots may be renewed.
        until: Day,
    },
    /// Not anew: the invoice is stated again after a payer has found something to correct.
    Correction {
        /// The first delivery of the slots.
        invoice: LeafIndex,
        /// The day of that first delivery, from which the renewal clock still runs.
        delivered_on: Day,
        /// The last day of the hold, as it should have been stated.
        until: Day,
    },
    /// Again, under warranty: nobody pays and no clock starts again.
    Replacement {
        /// The first delivery of the slots.
        invoice: LeafIndex,
    },
}

impl Handover {
    const FIRST: u8 = 1;
    const CORRECTION: u8 = 2;
    const REPLACEMENT: u8 = 3;
    /// Number of the handover, and the day of the first delivery.
    const CORRECTION_BYTES: usize = 1 + 4;

    /// The last day of the hold of what was delivered on a day, if so many months later the next one
    /// is paid for: the day before, and no later than the ledger takes from a till whose midnight
    /// comes before the ledger's. Terms that give a longer time end there too.
    #[must_use]
    pub fn last_day_held(delivered_on: Day, months: u16) -> Day {
        let before = Day::new(free_again_on(delivered_on, months).get().saturating_sub(1));
        before.min(delivered_on.plus(HOLD_DAYS_MAX - 1))
    }

    /// The last day of the hold, if it states one.
    #[must_use]
    pub const fn until(self) -> Option<Day> {
        match self {
            Self::First { until } | Self::Correction { until, .. } => Some(until),
            Self::Replacement { .. } => None,
        }
    }

    /// The invoice it belongs to, being itself the entry at `leaf`.
    #[must_use]
    pub const fn invoice(self, leaf: LeafIndex) -> LeafIndex {
        match self {
            Self::First { .. } => leaf,
            Self::Correction { invoice, .. } | Self::Replacement { invoice } => invoice,
        }
    }

    /// The day from which the renewal clock runs, for a delivery issued at this moment.
    #[must_use]
    pub fn delivered_on(self, issued_at: UnixMillis) -> Day {
        match self {
            Self::Correction { delivered_on, .. } => delivered_on,
            Self::First { .. } | Self::Replacement { .. } => issued_at.day(),
        }
    }

    pub(super) fn references(self, claim: LeafIndex) -> Vec<LeafIndex> {
        match self {
            Self::First { .. } => vec![claim],
            Self::Correction { invoice, .. } | Self::Replacement { invoice } => {
                vec![claim, invoice]
            }
        }
    }

    pub(super) fn to_statement(self) -> Vec<u8> {
        match self {
            Self::First { .. } => vec![Self::FIRST],
            Self::Replacement { .. } => vec![Self::REPLACEMENT],
            Self::Correction { delivered_on, .. } => {
                [&[Self::CORRECTION][..], &delivered_on.get().to_be_bytes()].concat()
            }
        }
    }
}

impl Shape<'_> {
    pub(super) fn delivery(&self) -> Result<Attestation, ShapeError> {
        let [claim, invoice @ ..] = &self.0.references[..] else {
            return Err(self.needs("a claim"));
        };
        let handover = match self.0.statement[..] {
            [Handover::FIRST] => {
                self.absent(invoice.is_empty(), "second reference")?;
                let until = self.until()?;
                Handover::First { until }
            }
            [Handover::CORRECTION, ref day @ ..] => {
                let mut day =
                    self.exact_statement(1 + day.len(), Handover::CORRECTION_BYTES, day)?;
                Handover::Correction {
                    invoice: self.one_more(invoice)?,
                    delivered_on: Day::new(u32::from_be_bytes(split_array(&mut day))),
                    until: self.until()?,
                }
            }
            [Handover::REPLACEMENT] => {
                self.absent(self.0.hold_until.is_none(), "hold_until")?;
                let invoice = self.one_more(invoice)?;
                Handover::Replacement { invoice }
            }
            _ => return Err(self.unknown_statement("first, correction or replacement")),
        };
        Ok(Attestation::Delivery(Delivery {
            slots: self.slots()?,
            claim: *claim,
            handover,
            commitment: self.commitment()?,
        }))
    }

    fn one_more(&self, references: &[LeafIndex]) -> Result<LeafIndex, ShapeError> {
        match references {
            [one] => Ok(*one),
            _ => Err(self.needs("a claim and the first delivery")),
        }
    }

    fn exact_statement<'b>(
        &self,
        got: usize,
        want: usize,
        rest: &'b [u8],
    ) -> Result<&'b [u8], ShapeError> {
        let kind = Kind::Delivery;
        let wrong = ShapeError::StatementLength { kind, got, want };
        (got == want).then_some(rest).ok_or(wrong)
    }
}
