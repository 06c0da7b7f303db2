//! What may be covered, reserved and freed.

use proto::attestation::lifecycle::SlotEvent;
use proto::attestation::{
    Attestation, COVERAGE_DAYS_MAX, Claim, Coverage, EarlyFrom, RESERVATION_DAYS_MAX, Release,
    SlotState, SlotStatus, State, coverage_index, member_of_key, slot_index,
};
use proto::entry::Kind;
use proto::ids::{Day, LeafIndex};
use proto::map::MapIndex;
use proto::refusal::{Reason, Refusal, TakenSlot};
use proto::signing::PublicKey;

use super::super::View;
use super::super::overlay::Overlay;
use super::delivery::{delivery_at, first_delivery, slot_stage};
use super::{Rule, admitted, catalogue_in_force, is_payer, referenced, same_till, within};

/// Only the payer that issued a coverage may replace it, as long as it is a member, under whichever
/// key: coverage keys are public, and nobody may end another payer's commitment.
pub(super) fn cover<V: View>(
    overlay: &Overlay<'_, V>,
    coverage: &Coverage,
    issuer: &PublicKey,
    on_time: Result<(), Refusal>,
    today: Day,
) -> Rule<(), V::Error> {
    admitted!(catalogue_in_force(overlay, coverage.catalogue)?);
    if let Some(State::Coverage(earlier)) = overlay.state(&coverage_index(&coverage.coverage))? {
        let earlier = admitted!(referenced(overlay, earlier.by, Kind::Coverage)?);
        let state = |index: &MapIndex| overlay.state(index);
        let owner = member_of_key(overlay.roster(), &earlier.header().issuer, state)?;
        if owner.is_some_and(|owner| owner.public_key != *issuer) {
            return Ok(Err(Reason::NotEntitled.into()));
        }
    }
    admitted!(on_time);
    Ok(within(coverage.until, today, COVERAGE_DAYS_MAX))
}

/// A claim takes all its slots, or none: the first one that is taken refuses it.
pub(super) fn reserve<V: View>(
    overlay: &Overlay<'_, V>,
    claim: &Claim,
    on_time: Result<(), Refusal>,
    today: Day,
) -> Rule<(), V::Error> {
    admitted!(catalogue_in_force(overlay, claim.catalogue)?);
    for coverage in &claim.coverages {
        admitted!(coverage_in_force(overlay, *coverage, today)?);
    }
    admitted!(on_time);
    admitted!(within(claim.until, today, RESERVATION_DAYS_MAX));
    for (key_position, slot) in claim.slots.iter().enumerate() {
        let Some(State::Slot(state)) = overlay.state(&slot_index(slot))? else {
            continue;
        };
        let Some(taken) = state.on(today) else {
            continue;
        };
        if let Err(reason) = may_take(overlay, &taken, claim.early, today)? {
            let taken = Some(TakenSlot {
                key_position,
                holder: taken.by,
            });
            return Ok(Err(Refusal { reason, taken }));
        }
    }
    Ok(Ok(()))
}

/// A slot that is held may be taken once the months are over after which an attested condition
/// opens it, counted from its first delivery; one that is reserved may not.
fn may_take<V: View>(
    overlay: &Overlay<'_, V>,
    taken: &SlotState,
    early: Option<EarlyFrom>,
    today: Day,
) -> Result<Result<(), Reason>, V::Error> {
    let Some(early) = early.filter(|_| taken.status == SlotStatus::Held) else {
        return Ok(Err(match taken.status {
            SlotStatus::Reserved => Reason::SlotReserved,
            SlotStatus::Held => Reason::SlotHeld,
        }));
    };
    let Some((entry, delivery)) = delivery_at(overlay, taken.by)? else {
        return Ok(Err(Reason::SlotHeld));
    };
    let delivered_on = delivery.handover.delivered_on(entry.header().issued_at);
    let open = early.opens_on(delivered_on) <= today;
    Ok(open.then_some(()).ok_or(Reason::EarlyRenewalTooSoon))
}

/// The till that claimed may release, and so may a payer whose coverage the claim rests on: what is
/// reserved, or, with the first delivery named, what was delivered and came back.
pub(super) fn free<V: View>(
    overlay: &Overlay<'_, V>,
    release: &Release,
    issuer: &PublicKey,
    on_time: Result<(), Refusal>,
    today: Day,
) -> Rule<(), V::Error> {
    let claim = admitted!(referenced(overlay, release.claim, Kind::Claim)?);
    let entitled =
        same_till(overlay, &claim.header().issuer, issuer)? || is_payer(overlay, &claim, issuer)?;
    if !entitled {
        return Ok(Err(Reason::NotEntitled.into()));
    }
    let event = match release.invoice {
        None => SlotEvent::Release,
        Some(invoice) => {
            admitted!(first_delivery(overlay, invoice, release.claim)?);
            SlotEvent::Return
        }
    };
    admitted!(on_time);
    for slot in &release.slots {
        let stage = slot_stage(overlay, slot, release.claim, release.invoice, today)?;
        admitted!(stage.next(event));
    }
    Ok(Ok(()))
}

/// A coverage counts while its date runs, its payer is a member and nothing newer replaces it.
fn coverage_in_force<V: View>(
    overlay: &Overlay<'_, V>,
    index: LeafIndex,
    today: Day,
) -> Rule<(), V::Error> {
    let entry = admitted!(referenced(overlay, index, Kind::Coverage)?);
    let Ok(Attestation::Coverage(coverage)) = Attestation::read(entry.header()) else {
        return Ok(Err(Reason::ReferenceUnfit.into()));
    };
    if overlay
        .roster()
        .member_by_key(&entry.header().issuer)
        .is_none()
    {
        return Ok(Err(Reason::ReferenceUnfit.into()));
    }
    if coverage.until < today {
        return Ok(Err(Reason::CoverageExpired.into()));
    }
    let newest = overlay.state(&coverage_index(&coverage.coverage))?;
    let is_newest = matches!(newest, Some(State::Coverage(state)) if state.by == index);
    Ok(is_newest
        .then_some(())
        .ok_or(Reason::CoverageSuperseded.into()))
}
