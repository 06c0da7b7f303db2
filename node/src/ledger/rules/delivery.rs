//! What may be delivered, stated again, and settled. What follows from what is the one machine of
//! [`lifecycle`](proto::attestation::lifecycle); here it is asked about the states of the map.

use std::sync::Arc;

use proto::attestation::lifecycle::{PaymentEvent, PaymentStage, SlotEvent, SlotStage};
use proto::attestation::{
    Attestation, Delivery, HOLD_DAYS_MAX, Handover, InvoiceState, Settlement, SlotStatus, State,
    invoice_index, settlement_index, slot_index,
};
use proto::entry::{Entry, Kind};
use proto::ids::{Day, LeafIndex, SlotKey};
use proto::refusal::{Reason, Refusal};
use proto::signing::PublicKey;

use super::super::View;
use super::super::overlay::Overlay;
use super::{Rule, admitted, payers_of, referenced, same_member, same_till, within};

/// The till that claimed hands over what the claim still has.
pub(super) fn deliver<V: View>(
    overlay: &Overlay<'_, V>,
    delivery: &Delivery,
    issuer: &PublicKey,
    on_time: Result<(), Refusal>,
    today: Day,
) -> Rule<(), V::Error> {
    let claim = admitted!(referenced(overlay, delivery.claim, Kind::Claim)?);
    if !same_till(overlay, &claim.header().issuer, issuer)? {
        return Ok(Err(Reason::NotEntitled.into()));
    }
    let (event, invoice) = match delivery.handover {
        Handover::First { .. } => (SlotEvent::Deliver, None),
        Handover::Correction { invoice, .. } => (SlotEvent::Correct, Some(invoice)),
        Handover::Replacement { invoice } => (SlotEvent::Replace, Some(invoice)),
    };
    let first = match invoice {
        Some(invoice) => Some(admitted!(first_delivery(overlay, invoice, delivery.claim)?)),
        None => None,
    };
    admitted!(on_time);
    admitted!(dates(delivery.handover, first.as_deref(), today));
    for slot in &delivery.slots {
        let stage = slot_stage(overlay, slot, delivery.claim, invoice, today)?;
        admitted!(stage.next(event));
    }
    match delivery.handover {
        Handover::Correction { invoice, .. } => may_correct(overlay, &claim, invoice),
        Handover::First { .. } | Handover::Replacement { .. } => Ok(Ok(())),
    }
}

/// The renewal clock of a correction runs from the first delivery, whenever it is stated.
fn dates(handover: Handover, first: Option<&Entry>, today: Day) -> Result<(), Refusal> {
    match (handover, first) {
        (Handover::First { until }, _) => within(until, today, HOLD_DAYS_MAX),
        (
            Handover::Correction {
                delivered_on,
                until,
                ..
            },
            Some(first),
        ) if delivered_on == first.header().issued_at.day() => {
            within(until, delivered_on, HOLD_DAYS_MAX)
        }
        (Handover::Correction { .. }, _) => Err(Reason::DateOutOfRange.into()),
        (Handover::Replacement { .. }, _) => Ok(()),
    }
}

/// An invoice is stated again when one of the payers has given ground for it; the first of them
/// says why not.
fn may_correct<V: View>(
    overlay: &Overlay<'_, V>,
    claim: &Arc<Entry>,
    invoice: LeafIndex,
) -> Rule<(), V::Error> {
    let state = invoice_state(overlay, invoice)?;
    let mut refusal = None;
    for payer in payers_of(overlay, claim)? {
        let stage = payment_stage(overlay, state, invoice, &payer)?;
        match stage.next(PaymentEvent::Correct) {
            Ok(_) => return Ok(Ok(())),
            Err(reason) => refusal = refusal.or(Some(reason)),
        }
    }
    Ok(Err(refusal.unwrap_or(Reason::NotEntitled).into()))
}

/// A payer that the claim rests on answers, for its own part, to what was delivered last.
pub(super) fn settle<V: View>(
    overlay: &Overlay<'_, V>,
    settlement: &Settlement,
    issuer: &PublicKey,
    on_time: Result<(), Refusal>,
) -> Rule<(), V::Error> {
    let claim = admitted!(referenced(overlay, settlement.claim, Kind::Claim)?);
    // A key that need not be named is not named: an answer has one spelling.
    if settlement.under.as_ref() == Some(issuer) {
        return Ok(Err(Reason::ReferenceUnfit.into()));
    }
    let payer = settlement.payer(issuer);
    if !payers_of(overlay, &claim)?.contains(&payer) || !same_member(overlay, &payer, issuer)? {
        return Ok(Err(Reason::NotEntitled.into()));
    }
    admitted!(first_delivery(
        overlay,
        settlement.invoice,
        settlement.claim
    )?);
    admitted!(referenced(overlay, settlement.delivery, Kind::Delivery)?);
    let state = invoice_state(overlay, settlement.invoice)?;
    if state.is_none_or(|state| state.delivery != settlement.delivery) {
        return Ok(Err(Reason::ReferenceUnfit.into()));
    }
    admitted!(on_time);
    let stage = payment_stage(overlay, state, settlement.invoice, &payer)?;
    let next = stage.next(PaymentEvent::of(settlement.outcome));
    Ok(next.map(|_| ()).map_err(Refusal::from))
}

/// The delivery at this place of the log, if it is one.
pub(super) fn delivery_at<V: View>(
    overlay: &Overlay<'_, V>,
    index: LeafIndex,
) -> Result<Option<(Arc<Entry>, Delivery)>, V::Error> {
    let Some(entry) = overlay.entry(index)? else {
        return Ok(None);
    };
    Ok(match Attestation::read(entry.header()) {
        Ok(Attestation::Delivery(delivery)) => Some((entry, delivery)),
        _ => None,
    })
}

/// The entry that an invoice is named by: the first delivery of slots of this claim.
pub(super) fn first_delivery<V: View>(
    overlay: &Overlay<'_, V>,
    invoice: LeafIndex,
    claim: LeafIndex,
) -> Rule<Arc<Entry>, V::Error> {
    admitted!(referenced(overlay, invoice, Kind::Delivery)?);
    Ok(match delivery_at(overlay, invoice)? {
        Some((entry, delivery))
            if delivery.claim == claim && matches!(delivery.handover, Handover::First { .. }) =>
        {
            Ok(entry)
        }
        _ => Err(Reason::ReferenceUnfit.into()),
    })
}

/// Where a slot of a claim stands; with an invoice, only what that one delivered counts.
pub(super) fn slot_stage<V: View>(
    overlay: &Overlay<'_, V>,
    slot: &SlotKey,
    claim: LeafIndex,
    invoice: Option<LeafIndex>,
    today: Day,
) -> Result<SlotStage, V::Error> {
    let Some(State::Slot(state)) = overlay.state(&slot_index(slot))? else {
        return Ok(SlotStage::Gone);
    };
    let of_claim = match state.status {
        SlotStatus::Reserved => false,
        SlotStatus::Held => delivery_at(overlay, state.by)?.is_some_and(|(_, delivery)| {
            let of_invoice = |invoice| delivery.handover.invoice(state.by) == invoice;
            delivery.claim == claim && invoice.is_none_or(of_invoice)
        }),
    };
    Ok(SlotStage::of(Some(state), claim, of_claim, today))
}

fn invoice_state<V: View>(
    overlay: &Overlay<'_, V>,
    invoice: LeafIndex,
) -> Result<Option<InvoiceState>, V::Error> {
    Ok(match overlay.state(&invoice_index(invoice))? {
        Some(State::Invoice(state)) => Some(state),
        _ => None,
    })
}

fn payment_stage<V: View>(
    overlay: &Overlay<'_, V>,
    state: Option<InvoiceState>,
    invoice: LeafIndex,
    payer: &PublicKey,
) -> Result<PaymentStage, V::Error> {
    let settlement = match overlay.state(&settlement_index(invoice, payer))? {
        Some(State::Settlement(settlement)) => Some(settlement),
        _ => None,
    };
    Ok(PaymentStage::of(state, settlement))
}
