//! The rules of what is taken, handed over, given back and settled, over what an auditor keeps.

use proto::attestation::lifecycle::{PaymentEvent, PaymentStage, SlotEvent, SlotStage};
use proto::attestation::{
    Delivery, EarlyFrom, HOLD_DAYS_MAX, Handover, InvoiceState, Release, Settlement, SlotStatus,
    State, invoice_index, settlement_index, slot_index,
};
use proto::entry::{Header, Kind};
use proto::ids::{Day, LeafIndex, SlotKey, UnixMillis};
use proto::refusal::Reason;
use proto::roster::Roster;
use proto::signing::PublicKey;

use super::{Brief, Detail, Replay, Span};

/// What later entries may ask of a delivery.
pub(super) struct Delivered {
    pub(super) claim: LeafIndex,
    pub(super) invoice: LeafIndex,
    pub(super) is_first: bool,
    /// The day from which its renewal clock runs.
    pub(super) delivered_on: Day,
}

impl Delivered {
    pub(super) fn new(delivery: &Delivery, leaf: LeafIndex, issued_at: UnixMillis) -> Self {
        Self {
            claim: delivery.claim,
            invoice: delivery.handover.invoice(leaf),
            is_first: matches!(delivery.handover, Handover::First { .. }),
            delivered_on: delivery.handover.delivered_on(issued_at),
        }
    }
}

impl Replay {
    /// Whether a claim may take a slot: it is free, or the months are over after which an attested
    /// condition opens it.
    pub(super) fn may_take(
        &self,
        slot: &SlotKey,
        early: Option<EarlyFrom>,
        span: Span,
    ) -> Result<(), Reason> {
        let today = span.latest.day();
        let taken = match self.map.get(&slot_index(slot)) {
            Some(State::Slot(state)) => state.on(today),
            _ => None,
        };
        let Some(taken) = taken else {
            return Ok(());
        };
        match (taken.status, early) {
            (SlotStatus::Reserved, _) => Err(Reason::SlotReserved),
            (SlotStatus::Held, None) => Err(Reason::SlotHeld),
            (SlotStatus::Held, Some(early)) => {
                let delivered = self.delivery(taken.by).ok_or(Reason::SlotHeld)?;
                let open = early.opens_on(delivered.delivered_on) <= today;
                open.then_some(()).ok_or(Reason::EarlyRenewalTooSoon)
            }
        }
    }

    /// The till that claimed may release, and so may a payer that the claim rests on.
    pub(super) fn free(
        &self,
        roster: &Roster,
        release: &Release,
        issuer: u32,
        span: Span,
    ) -> Result<(), Reason> {
        let claim = self.referenced(release.claim, Kind::Claim)?;
        let mut payers = self.payers(claim).into_iter();
        if !self.same_till(claim.issuer, issuer)
            && !payers.any(|payer| self.same_member(roster, payer, issuer))
        {
            return Err(Reason::NotEntitled);
        }
        let event = match release.invoice {
            None => SlotEvent::Release,
            Some(invoice) => {
                self.first_delivery(invoice, release.claim)?;
                SlotEvent::Return
            }
        };
        let next = |slot| {
            let stage = self.slot_stage(slot, release.claim, release.invoice, span);
            stage.next(event).map(|_| ())
        };
        release.slots.iter().try_for_each(next)
    }

    /// The till that claimed hands over what the claim still has.
    pub(super) fn deliver(
        &self,
        delivery: &Delivery,
        issuer: u32,
        span: Span,
    ) -> Result<(), Reason> {
        let claim = self.referenced(delivery.claim, Kind::Claim)?;
        if !self.same_till(claim.issuer, issuer) {
            return Err(Reason::NotEntitled);
        }
        let (event, invoice) = match delivery.handover {
            Handover::First { until } => {
                span.has_within(until, HOLD_DAYS_MAX)?;
                (SlotEvent::Deliver, None)
            }
            Handover::Correction {
                invoice,
                delivered_on,
                until,
            } => {
                let first = self.first_delivery(invoice, delivery.claim)?;
                let latest = delivered_on.plus(HOLD_DAYS_MAX);
                let fits =
                    delivered_on == first.delivered_on && delivered_on <= until && until <= latest;
                fits.then_some(()).ok_or(Reason::DateOutOfRange)?;
                (SlotEvent::Correct, Some(invoice))
            }
            Handover::Replacement { invoice } => {
                self.first_delivery(invoice, delivery.claim)?;
                (SlotEvent::Replace, Some(invoice))
            }
        };
        for slot in &delivery.slots {
            let stage = self.slot_stage(slot, delivery.claim, invoice, span);
            stage.next(event)?;
        }
        match delivery.handover {
            Handover::Correction { invoice, .. } => self.may_correct(claim, invoice),
            Handover::First { .. } | Handover::Replacement { .. } => Ok(()),
        }
    }

    fn may_correct(&self, claim: &Brief, invoice: LeafIndex) -> Result<(), Reason> {
        let mut refusal = None;
        for payer in self.payers(claim) {
            match self
                .payment_stage(invoice, payer)
                .next(PaymentEvent::Correct)
            {
                Ok(_) => return Ok(()),
                Err(reason) => refusal = refusal.or(Some(reason)),
            }
        }
        Err(refusal.unwrap_or(Reason::NotEntitled))
    }

    /// A payer that the claim rests on answers to what was delivered last.
    pub(super) fn settle(
        &self,
        roster: &Roster,
        settlement: &Settlement,
        header: &Header,
    ) -> Result<(), Reason> {
        let claim = self.referenced(settlement.claim, Kind::Claim)?;
        if settlement.under == Some(header.issuer) {
            return Err(Reason::ReferenceUnfit);
        }
        let number = |key: PublicKey| self.issuers.get(&key.to_bytes()).copied();
        let payer = number(settlement.payer(&header.issuer)).ok_or(Reason::NotEntitled)?;
        let issuer = number(header.issuer).ok_or(Reason::NotEntitled)?;
        if !self.payers(claim).contains(&payer) || !self.same_member(roster, payer, issuer) {
            return Err(Reason::NotEntitled);
        }
        self.first_delivery(settlement.invoice, settlement.claim)?;
        self.referenced(settlement.delivery, Kind::Delivery)?;
        let state = self.invoice_state(settlement.invoice);
        if state.is_none_or(|state| state.delivery != settlement.delivery) {
            return Err(Reason::ReferenceUnfit);
        }
        let stage = self.payment_stage(settlement.invoice, payer);
        stage.next(PaymentEvent::of(settlement.outcome)).map(|_| ())
    }

    /// The issuers of a claim's coverages, each once, in their order.
    fn payers(&self, claim: &Brief) -> Vec<u32> {
        let mut payers = Vec::new();
        if let Detail::Claim(coverages) = &claim.detail {
            for coverage in coverages.iter().filter_map(|index| self.entry(*index)) {
                if !payers.contains(&coverage.issuer) {
                    payers.push(coverage.issuer);
                }
            }
        }
        payers
    }

    fn delivery(&self, index: LeafIndex) -> Option<&Delivered> {
        match &self.entry(index)?.detail {
            Detail::Delivery(delivered) => Some(delivered),
            Detail::None | Detail::Coverage(_) | Detail::Claim(_) => None,
        }
    }

    fn first_delivery(&self, invoice: LeafIndex, claim: LeafIndex) -> Result<&Delivered, Reason> {
        self.referenced(invoice, Kind::Delivery)?;
        self.delivery(invoice)
            .filter(|delivered| delivered.is_first && delivered.claim == claim)
            .ok_or(Reason::ReferenceUnfit)
    }

    /// At the earliest day of the span: a reservation that runs at some moment of it counts.
    fn slot_stage(
        &self,
        slot: &SlotKey,
        claim: LeafIndex,
        invoice: Option<LeafIndex>,
        span: Span,
    ) -> SlotStage {
        let Some(State::Slot(state)) = self.map.get(&slot_index(slot)) else {
            return SlotStage::Gone;
        };
        let of_claim = self.delivery(state.by).is_some_and(|delivered| {
            let of_invoice = |invoice| delivered.invoice == invoice;
            delivered.claim == claim && invoice.is_none_or(of_invoice)
        });
        SlotStage::of(Some(*state), claim, of_claim, span.earliest.day())
    }

    fn invoice_state(&self, invoice: LeafIndex) -> Option<InvoiceState> {
        match self.map.get(&invoice_index(invoice)) {
            Some(State::Invoice(state)) => Some(*state),
            _ => None,
        }
    }

    fn payment_stage(&self, invoice: LeafIndex, payer: u32) -> PaymentStage {
        let key = self.keys.get(payer as usize);
        let settlement = key.and_then(|key| self.map.get(&settlement_index(invoice, key)));
        let settlement = match settlement {
            Some(State::Settlement(state)) => Some(*state),
            _ => None,
        };
        PaymentStage::of(self.invoice_state(invoice), settlement)
    }
}
