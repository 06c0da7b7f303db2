//! The rules that admit an entry, in the order of the design: issuer and kind, then (after the
//! repeat check) references, clock, dates, slots. The first rule that says no gives the reason.

use std::sync::Arc;

use proto::attestation::{
    Attestation, CLOCK_SKEW_MS_MAX, COVERAGE_DAYS_MAX, CatalogueNotice, Claim, Coverage, Erasure,
    GRANT_DAYS_MAX, Grant, GrantState, RESERVATION_DAYS_MAX, Release, Revocation, SlotStatus,
    State, catalogue_index, coverage_index, grant_index, member_may_issue, slot_index,
};
use proto::entry::{Entry, Header, Kind, VerifiedEntry};
use proto::ids::{Day, LeafIndex, UnixMillis};
use proto::refusal::{Reason, Refusal, TakenSlot};
use proto::roster::SignedRoster;
use proto::signing::PublicKey;

use super::View;
use super::overlay::Overlay;

/// Yes, or the reason for no.
type Rule<T, E> = Result<Result<T, Refusal>, E>;

/// Returns the refusal out of a rule; storage errors go out by `?` as ever.
macro_rules! admitted {
    ($rule:expr) => {
        match $rule {
            Ok(value) => value,
            Err(refusal) => return Ok(Err(refusal.into())),
        }
    };
}

/// Whether the issuer is active at this place of the log and may issue this kind.
pub(super) fn issuer_may<V: View>(
    overlay: &Overlay<'_, V>,
    header: &Header,
    at: UnixMillis,
) -> Result<Result<(), Reason>, V::Error> {
    let allowed = match overlay.roster().member_by_key(&header.issuer) {
        Some(member) => member_may_issue(member.role, header.kind),
        None => {
            match overlay.state(&grant_index(&header.issuer))? {
                Some(State::Grant(GrantState::Active { expires_at, .. })) if at < expires_at => {}
                Some(State::Grant(GrantState::Active { .. })) => {
                    return Ok(Err(Reason::GrantExpired));
                }
                Some(State::Grant(GrantState::Revoked { .. })) => {
                    return Ok(Err(Reason::GrantRevoked));
                }
                _ => return Ok(Err(Reason::IssuerUnknown)),
            }
            matches!(header.kind, Kind::Claim | Kind::Release | Kind::Erasure)
        }
    };
    Ok(allowed.then_some(()).ok_or(Reason::KindNotAllowed))
}

/// Whether the entry's references, clock, dates and slots let it in; if so, what it says.
pub(super) fn admit<V: View>(
    overlay: &mut Overlay<'_, V>,
    entry: &VerifiedEntry,
    at: UnixMillis,
) -> Rule<Attestation, V::Error> {
    let header = entry.header();
    // The edge refuses a header that is not of its kind's shape before it gets here; a peer's
    // batch may still carry one, and must find the same answer on every member.
    let Ok(attestation) = Attestation::read(header) else {
        return Ok(Err(Reason::ReferenceUnfit.into()));
    };
    let issuer = &header.issuer;
    let on_time = clock(header.issued_at, at);
    let today = at.day();
    admitted!(match &attestation {
        Attestation::Roster(roster) => succeed(overlay, roster, on_time),
        Attestation::Catalogue(notice) => on_time.and(name_catalogue(notice, today)),
        Attestation::Grant(grant) => grant_till(overlay, grant, on_time, at)?,
        Attestation::Revocation(revocation) => revoke(overlay, revocation, issuer, on_time)?,
        Attestation::Coverage(coverage) => cover(overlay, coverage, issuer, on_time, today)?,
        Attestation::Claim(claim) => reserve(overlay, claim, on_time, today)?,
        Attestation::Release(release) => free(overlay, release, issuer, on_time)?,
        Attestation::Erasure(erasure) => erase(overlay, erasure, issuer, on_time)?,
        Attestation::Access(_) => on_time,
    });
    Ok(Ok(attestation))
}

/// Whether the entry was issued close enough to its batch.
fn clock(issued_at: UnixMillis, at: UnixMillis) -> Result<(), Refusal> {
    let apart = issued_at.get().abs_diff(at.get());
    (apart <= CLOCK_SKEW_MS_MAX)
        .then_some(())
        .ok_or(Reason::ClockSkew.into())
}

fn within(day: Day, today: Day, days: u32) -> Result<(), Refusal> {
    let fits = today <= day && day <= today.plus(days);
    fits.then_some(()).ok_or(Reason::DateOutOfRange.into())
}

fn succeed<V: View>(
    overlay: &mut Overlay<'_, V>,
    signed: &SignedRoster,
    on_time: Result<(), Refusal>,
) -> Result<(), Refusal> {
    let successor = signed
        .verify_successor(overlay.roster())
        .map_err(|_| Reason::RosterUnfit)?;
    on_time?;
    overlay.put_in_force(successor);
    Ok(())
}

/// A catalogue is named on the day it comes into force, not before: so one is in force at a time.
fn name_catalogue(notice: &CatalogueNotice, today: Day) -> Result<(), Refusal> {
    (notice.valid_from <= today)
        .then_some(())
        .ok_or(Reason::DateOutOfRange.into())
}

fn grant_till<V: View>(
    overlay: &Overlay<'_, V>,
    grant: &Grant,
    on_time: Result<(), Refusal>,
    at: UnixMillis,
) -> Rule<(), V::Error> {
    if overlay.roster().member_by_key(&grant.till).is_some() {
        return Ok(Err(Reason::AlreadyGranted.into()));
    }
    match overlay.state(&grant_index(&grant.till))? {
        Some(State::Grant(GrantState::Revoked { .. })) => {
            return Ok(Err(Reason::GrantRevoked.into()));
        }
        Some(State::Grant(GrantState::Active { expires_at, .. })) if at < expires_at => {
            return Ok(Err(Reason::AlreadyGranted.into()));
        }
        _ => {}
    }
    admitted!(on_time);
    let latest = at.day().plus(GRANT_DAYS_MAX).start();
    let fits = at < grant.expires_at && grant.expires_at <= latest;
    Ok(fits.then_some(()).ok_or(Reason::DateOutOfRange.into()))
}

/// Only the federation that granted a key may revoke it.
fn revoke<V: View>(
    overlay: &Overlay<'_, V>,
    revocation: &Revocation,
    issuer: &PublicKey,
    on_time: Result<(), Refusal>,
) -> Rule<(), V::Error> {
    let state = overlay.state(&grant_index(&revocation.till))?;
    let by = match state {
        Some(State::Grant(GrantState::Active { by, .. })) => by,
        Some(State::Grant(GrantState::Revoked { .. })) => {
            return Ok(Err(Reason::GrantRevoked.into()));
        }
        _ => return Ok(Err(Reason::ReferenceUnknown.into())),
    };
    let grant = admitted!(referenced(overlay, by, Kind::Grant)?);
    if grant.header().issuer != *issuer {
        return Ok(Err(Reason::NotEntitled.into()));
    }
    Ok(on_time)
}

/// Only the payer that issued a coverage may replace it, as long as it is a member: coverage keys
/// are public, and nobody may end another payer's commitment.
fn cover<V: View>(
    overlay: &Overlay<'_, V>,
    coverage: &Coverage,
    issuer: &PublicKey,
    on_time: Result<(), Refusal>,
    today: Day,
) -> Rule<(), V::Error> {
    admitted!(catalogue_in_force(overlay, coverage.catalogue)?);
    if let Some(State::Coverage(earlier)) = overlay.state(&coverage_index(&coverage.coverage))? {
        let earlier = admitted!(referenced(overlay, earlier.by, Kind::Coverage)?);
        let owner = earlier.header().issuer;
        if owner != *issuer && overlay.roster().member_by_key(&owner).is_some() {
            return Ok(Err(Reason::NotEntitled.into()));
        }
    }
    admitted!(on_time);
    Ok(within(coverage.until, today, COVERAGE_DAYS_MAX))
}

/// A claim takes all its slots, or none: the first one that is taken refuses it.
fn reserve<V: View>(
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
        if let Some(State::Slot(slot)) = overlay.state(&slot_index(slot))?
            && slot.is_taken(today)
        {
            let reason = match slot.status {
                SlotStatus::Reserved => Reason::SlotReserved,
                SlotStatus::Held => Reason::SlotHeld,
            };
            let taken = Some(TakenSlot {
                key_position,
                holder: slot.by,
            });
            return Ok(Err(Refusal { reason, taken }));
        }
    }
    Ok(Ok(()))
}

/// The till that claimed may release, and so may a payer whose coverage the claim rests on.
fn free<V: View>(
    overlay: &Overlay<'_, V>,
    release: &Release,
    issuer: &PublicKey,
    on_time: Result<(), Refusal>,
) -> Rule<(), V::Error> {
    let claim = admitted!(referenced(overlay, release.claim, Kind::Claim)?);
    if claim.header().issuer != *issuer && !is_payer_of(overlay, &claim, issuer)? {
        return Ok(Err(Reason::NotEntitled.into()));
    }
    admitted!(on_time);
    for slot in &release.slots {
        match overlay.state(&slot_index(slot))? {
            Some(State::Slot(state)) if state.by == release.claim => {}
            _ => return Ok(Err(Reason::SlotNotHeld.into())),
        }
    }
    Ok(Ok(()))
}

fn is_payer_of<V: View>(
    overlay: &Overlay<'_, V>,
    claim: &Entry,
    issuer: &PublicKey,
) -> Result<bool, V::Error> {
    // The first reference of a claim is its catalogue, the others are its coverages.
    for coverage in claim.header().references.iter().skip(1) {
        let coverage = overlay.entry(*coverage)?;
        if coverage.is_some_and(|coverage| coverage.header().issuer == *issuer) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn erase<V: View>(
    overlay: &Overlay<'_, V>,
    erasure: &Erasure,
    issuer: &PublicKey,
    on_time: Result<(), Refusal>,
) -> Rule<(), V::Error> {
    let Some(erased) = overlay.entry(erasure.erased)? else {
        return Ok(Err(Reason::ReferenceUnknown.into()));
    };
    // Who wrote down a look must not be able to take it back.
    if erased.header().commitment.is_none() || erased.header().kind == Kind::Access {
        return Ok(Err(Reason::ReferenceUnfit.into()));
    }
    if erased.header().issuer != *issuer {
        return Ok(Err(Reason::NotEntitled.into()));
    }
    Ok(on_time)
}

fn referenced<V: View>(
    overlay: &Overlay<'_, V>,
    index: LeafIndex,
    kind: Kind,
) -> Rule<Arc<Entry>, V::Error> {
    Ok(match overlay.entry(index)? {
        None => Err(Reason::ReferenceUnknown.into()),
        Some(entry) if entry.header().kind == kind => Ok(entry),
        Some(_) => Err(Reason::ReferenceUnfit.into()),
    })
}

fn catalogue_in_force<V: View>(
    overlay: &Overlay<'_, V>,
    catalogue: LeafIndex,
) -> Rule<(), V::Error> {
    if let Some(State::Catalogue { by, .. }) = overlay.state(&catalogue_index())?
        && by == catalogue
    {
        return Ok(Ok(()));
    }
    admitted!(referenced(overlay, catalogue, Kind::Catalogue)?);
    Ok(Err(Reason::CatalogueOutdated.into()))
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
