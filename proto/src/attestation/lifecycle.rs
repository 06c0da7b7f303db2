//! The life of a claim: what each slot and each payer's payment may become, and by what.
//!
//! Two machines, each a total function. A slot of a claim is reserved, delivered and gone
//! ([`SlotStage`]); what one payer owes for an invoice is due, paid, rejected or recovered
//! ([`PaymentStage`]). Both stages are read from the map alone, and the rules that admit an entry
//! ask [`SlotStage::next`] and [`PaymentStage::next`] and nobody else. [`ClaimState`] is the one
//! word for all of it.

use super::settlement::SettlementOutcome;
use super::state::{InvoiceState, SettlementState, SlotState, SlotStatus};
use crate::ids::{Day, LeafIndex};
use crate::refusal::Reason;

/// Where one slot of a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SlotStage {
    /// The claim has it.
    Reserved,
    /// The claim had it until a day that is past; nobody has taken it since.
    Expired,
    /// A delivery of the claim has it.
    Delivered,
    /// Nobody has it, or somebody else: it was released, came back, or was taken later.
    Gone,
}

/// What can happen to a slot of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SlotEvent {
    /// It is handed over for the first time.
    Deliver,
    /// Its delivery is stated again.
    Correct,
    /// It is replaced under warranty.
    Replace,
    /// The reservation is given up.
    Release,
    /// What was handed over comes back.
    Return,
}

impl SlotStage {
    /// Every stage.
    pub const ALL: [Self; 4] = [Self::Reserved, Self::Expired, Self::Delivered, Self::Gone];

    /// The stage of a slot of this claim on this day. `of_claim` says whether the entry that made a
    /// hold is a delivery of the claim.
    #[must_use]
    pub fn of(state: Option<SlotState>, claim: LeafIndex, of_claim: bool, today: Day) -> Self {
        match state {
            Some(slot) => match slot.status {
                SlotStatus::Reserved if slot.by != claim => Self::Gone,
                SlotStatus::Reserved if slot.until < today => Self::Expired,
                SlotStatus::Reserved => Self::Reserved,
                SlotStatus::Held if of_claim => Self::Delivered,
                SlotStatus::Held => Self::Gone,
            },
            None => Self::Gone,
        }
    }

    /// What becomes of the slot.
    ///
    /// # Errors
    /// The reason for which it cannot.
    pub const fn next(self, event: SlotEvent) -> Result<Self, Reason> {
        match (self, event) {
            (Self::Gone, _) => Err(Reason::SlotNotHeld),
            (Self::Reserved, SlotEvent::Deliver)
            | (Self::Delivered, SlotEvent::Correct | SlotEvent::Replace) => Ok(Self::Delivered),
            (Self::Reserved | Self::Expired, SlotEvent::Release)
            | (Self::Delivered, SlotEvent::Return) => Ok(Self::Gone),
            (Self::Expired, SlotEvent::Deliver) => Err(Reason::ReservationEnded),
            (Self::Delivered, SlotEvent::Deliver | SlotEvent::Release) => {
                Err(Reason::AlreadyDelivered)
            }
            (
                Self::Reserved | Self::Expired,
                SlotEvent::Correct | SlotEvent::Replace | SlotEvent::Return,
            ) => Err(Reason::NotDelivered),
        }
    }
}

/// Where the payment of one invoice by one payer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaymentStage {
    /// Nothing was delivered.
    NotDelivered,
    /// The payer has not answered to what was delivered, or stated again since.
    Due,
    /// The goods, or some of them, came back before it answered: nothing is due as it was invoiced.
    Withdrawn,
    /// It has paid.
    Paid,
    /// It does not pay.
    Rejected {
        /// Whether the invoice may be corrected and sent again.
        correctable: bool,
    },
    /// It has taken back what it paid.
    Recovered {
        /// Whether the invoice may be corrected and sent again.
        correctable: bool,
    },
}

/// What can happen to a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PaymentEvent {
    /// The invoice is stated again.
    Correct,
    /// Goods come back.
    Return,
    /// The payer pays.
    Pay,
    /// The payer rejects.
    Reject {
        /// Whether for a reason that can be put right.
        correctable: bool,
    },
    /// The payer takes back what it paid.
    Recover {
        /// Whether for a reason that can be put right.
        correctable: bool,
    },
}

impl PaymentEvent {
    /// The event that a settlement is.
    #[must_use]
    pub const fn of(outcome: SettlementOutcome) -> Self {
        match outcome {
            SettlementOutcome::Paid => Self::Pay,
            SettlementOutcome::Rejected(reason) => Self::Reject {
                correctable: reason.is_correctable(),
            },
            SettlementOutcome::Recovered(reason) => Self::Recover {
                correctable: reason.is_correctable(),
            },
        }
    }
}

impl PaymentStage {
    /// Every stage.
    pub const ALL: [Self; 8] = [
        Self::NotDelivered,
        Self::Due,
        Self::Withdrawn,
        Self::Paid,
        Self::Rejected { correctable: true },
        Self::Rejected { correctable: false },
        Self::Recovered { correctable: true },
        Self::Recovered { correctable: false },
    ];

    /// The stage of a payer's payment, as the map has the invoice and the payer's settlement of it.
    ///
    /// An answer that can be put right counts for the delivery that it judged: once a newer one is
    /// stated, the payer is to answer anew. What was paid, or rejected for good, stays so.
    #[must_use]
    pub fn of(invoice: Option<InvoiceState>, settlement: Option<SettlementState>) -> Self {
        let Some(invoice) = invoice else {
            return Self::NotDelivered;
        };
        let open = match invoice.returned_by {
            None => Self::Due,
            Some(_) => Self::Withdrawn,
        };
        let Some(settlement) = settlement else {
            return open;
        };
        let answered = |stage, correctable: bool| {
            let anew = correctable && settlement.delivery != invoice.delivery;
            if anew { open } else { stage }
        };
        match settlement.outcome {
            SettlementOutcome::Paid => Self::Paid,
            SettlementOutcome::Rejected(reason) => {
                let correctable = reason.is_correctable();
                answered(Self::Rejected { correctable }, correctable)
            }
            SettlementOutcome::Recovered(reason) => {
                let correctable = reason.is_correctable();
                answered(Self::Recovered { correctable }, correctable)
            }
        }
    }

    /// What becomes of the payment.
    ///
    /// A correction needs one payer that gives ground for it; for the others the invoice is stated
    /// again all the same, and [`PaymentStage::restated`] says what becomes of theirs. Goods may
    /// always come back, paid for or not: counter and slot do not wait for the payer's office, which
    /// finds the return in the ledger and recovers.
    ///
    /// # Errors
    /// The reason for which it cannot.
    pub const fn next(self, event: PaymentEvent) -> Result<Self, Reason> {
        match (self, event) {
            (Self::NotDelivered, _)
            | (Self::Withdrawn, PaymentEvent::Pay | PaymentEvent::Reject { .. }) => {
                Err(Reason::NotDelivered)
            }
            (Self::Due, PaymentEvent::Correct) => Err(Reason::AlreadyDelivered),
            (Self::Due, PaymentEvent::Pay) => Ok(Self::Paid),
            (Self::Due, PaymentEvent::Reject { correctable }) => Ok(Self::Rejected { correctable }),
            (Self::Due | Self::Withdrawn, PaymentEvent::Return) => Ok(Self::Withdrawn),
            (Self::Withdrawn, PaymentEvent::Correct)
            | (
                Self::Rejected { correctable: true } | Self::Recovered { correctable: true },
                PaymentEvent::Correct,
            ) => Ok(Self::Due),
            (Self::Paid, PaymentEvent::Recover { correctable }) => {
                Ok(Self::Recovered { correctable })
            }
            (Self::Paid | Self::Rejected { .. } | Self::Recovered { .. }, PaymentEvent::Return) => {
                Ok(self)
            }
            (_, PaymentEvent::Recover { .. }) => Err(Reason::NotPaid),
            (Self::Paid | Self::Rejected { .. } | Self::Recovered { .. }, _) => {
                Err(Reason::AlreadySettled)
            }
        }
    }

    /// What becomes of the payment when the invoice is stated again, whoever gave ground for it.
    #[must_use]
    pub fn restated(self) -> Self {
        self.next(PaymentEvent::Correct).unwrap_or(self)
    }
}

/// The whole claim in one word, toward one payer or all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClaimState {
    /// Its slots are reserved.
    Reserved,
    /// Its reservation has run out.
    Expired,
    /// Its slots were given up before anything was delivered.
    Released,
    /// Some of its slots were delivered, others are still reserved.
    PartlyDelivered,
    /// What was not given up is delivered, and a payer is still to answer.
    Delivered,
    /// A payer rejected, and the till can put it right.
    ToCorrect,
    /// A payer rejected for good, or took its payment back for good.
    Rejected,
    /// Every payer has paid.
    Paid,
    /// The goods came back, and nothing of them is paid.
    Returned,
    /// The goods came back, and a payer has still to recover what it paid.
    ToRecover,
}

impl ClaimState {
    /// The word for it in command output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Expired => "expired",
            Self::Released => "released",
            Self::PartlyDelivered => "partly delivered",
            Self::Delivered => "delivered",
            Self::ToCorrect => "to correct",
            Self::Rejected => "rejected",
            Self::Paid => "paid",
            Self::Returned => "returned",
            Self::ToRecover => "to recover",
        }
    }

    /// The word for slots in these stages, and the payments of all their invoices by all payers.
    /// What somebody has to act on comes before what only waits.
    #[must_use]
    pub fn of(slots: &[SlotStage], payments: &[PaymentStage]) -> Self {
        let has = |stage| slots.contains(&stage);
        let any = |test: fn(&PaymentStage) -> bool| payments.iter().any(test);
        let delivered_once = any(|payment| *payment != PaymentStage::NotDelivered);
        if has(SlotStage::Reserved) {
            return match delivered_once {
                true => Self::PartlyDelivered,
                false => Self::Reserved,
            };
        }
        if !delivered_once {
            return match has(SlotStage::Expired) {
                true => Self::Expired,
                false => Self::Released,
            };
        }
        let can_correct = |payment: &PaymentStage| payment.next(PaymentEvent::Correct).is_ok();
        if !has(SlotStage::Delivered) {
            return match any(|payment| *payment == PaymentStage::Paid) {
                true => Self::ToRecover,
                false => Self::Returned,
            };
        }
        if any(can_correct) {
            Self::ToCorrect
        } else if any(|payment| *payment == PaymentStage::Due) {
            Self::Delivered
        } else if any(|payment| *payment != PaymentStage::Paid) {
            Self::Rejected
        } else {
            Self::Paid
        }
    }
}

#[cfg(test)]
mod tests;
