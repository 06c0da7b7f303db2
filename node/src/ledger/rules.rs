//! The rules that admit an entry, in the order of the design: issuer and kind, then (after the
//! repeat check) references, clock, dates, slots. The first rule that says no gives the reason.

use std::sync::Arc;

use proto::attestation::{
    Attestation, CLOCK_SKEW_MS_MAX, COVERAGE_DAYS_MAX, CatalogueNotice, Claim, Coverage, Erasure,
    GRANT_DAYS_MAX, Grant, GrantClass, GrantState, RESERVATION_DAYS_MAX, Release, Revocation,
    SESSION_MS_MAX, SlotStatus, State, catalogue_index, coverage_index, grant_index,
    member_may_issue, slot_index,
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
        None => match standing(overlay, &header.issuer, at)? {
            Ok(standing) => standing.may_issue(header.kind),
            Err(reason) => return Ok(Err(reason)),
        },
    };
    Ok(allowed.then_some(()).ok_or(Reason::KindNotAllowed))
}

/// What a key that is no member's may do, by its grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Till,
    Device,
}

impl Standing {
    const fn may_issue(self, kind: Kind) -> bool {
        match self {
            Self::Till => matches!(kind, Kind::Claim | Kind::Release | Kind::Erasure),
            Self::Device => matches!(kind, Kind::Grant),
        }
    }
}

/// The standing of a key at this place of the log. A session stands only while its device does.
fn standing<V: View>(
    overlay: &Overlay<'_, V>,
    key: &PublicKey,
    at: UnixMillis,
) -> Result<Result<Standing, Reason>, V::Error> {
    let (expires_at, standing) = match overlay.state(&grant_index(key))? {
        Some(State::Grant(GrantState::Active { expires_at, .. })) => (expires_at, Standing::Till),
        Some(State::Grant(GrantState::Device { expires_at, .. })) => (expires_at, Standing::Device),
        Some(State::Grant(GrantState::Session {
            expires_at, device, ..
        })) => match overlay.state(&grant_index(&device))? {
            Some(State::Grant(GrantState::Device {
                expires_at: enrolled_until,
                ..
            })) => (expires_at.min(enrolled_until), Standing::Till),
            Some(State::Grant(GrantState::Revoked { .. })) => {
                return Ok(Err(Reason::GrantRevoked));
            }
            _ => return Ok(Err(Reason::IssuerUnknown)),
        },
        Some(State::Grant(GrantState::Revoked { .. })) => return Ok(Err(Reason::GrantRevoked)),
        _ => return Ok(Err(Reason::IssuerUnknown)),
    };
    Ok((at < expires_at)
        .then_some(standing)
        .ok_or(Reason::GrantExpired))
}

/// Whether two keys are one till's: the same key, or sessions of one device. What a till claimed
/// with yesterday's session it may release with today's.
fn same_till<V: View>(
    overlay: &Overlay<'_, V>,
    one: &PublicKey,
    other: &PublicKey,
) -> Result<bool, V::Error> {
    if one == other {
        return Ok(true);
    }
    let device = |key: &PublicKey| {
        Ok(match overlay.state(&grant_index(key))? {
            Some(State::Grant(GrantState::Session { device, .. })) => Some(device),
            _ => None,
        })
    };
    let device_of_one = device(one)?;
    Ok(device_of_one.is_some() && device_of_one == device(other)?)
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
        Attestation::Grant(grant) => grant_till(overlay, grant, issuer, on_time, at)?,
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
    issuer: &PublicKey,
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
        Some(State::Grant(
            GrantState::Active { expires_at, .. }
            | GrantState::Device { expires_at, .. }
            | GrantState::Session { expires_at, .. },
        )) if at < expires_at => {
            return Ok(Err(Reason::AlreadyGranted.into()));
        }
        _ => {}
    }
    admitted!(may_grant(overlay, grant, issuer)?);
    admitted!(on_time);
    let latest = match grant.class {
        GrantClass::Till | GrantClass::Device => at.day().plus(GRANT_DAYS_MAX).start(),
        GrantClass::Session { .. } => UnixMillis::new(at.get().saturating_add(SESSION_MS_MAX)),
    };
    let fits = at < grant.expires_at && grant.expires_at <= latest;
    Ok(fits.then_some(()).ok_or(Reason::DateOutOfRange.into()))
}

/// A federation admits tills and enrols devices. A device grants sessions of its own shop, and
/// none with more quota than it has itself.
fn may_grant<V: View>(
    overlay: &Overlay<'_, V>,
    grant: &Grant,
    issuer: &PublicKey,
) -> Rule<(), V::Error> {
    let by = match overlay.state(&grant_index(issuer))? {
        Some(State::Grant(GrantState::Device { by, .. }))
            if overlay.roster().member_by_key(issuer).is_none() =>
        {
            by
        }
        // Of all others only a federation may issue grants.
        _ => {
            let of_federation = matches!(grant.class, GrantClass::Till | GrantClass::Device);
            let rule = of_federation
                .then_some(())
                .ok_or(Reason::NotEntitled.into());
            return Ok(rule);
        }
    };
    let enrolment = admitted!(referenced(overlay, by, Kind::Grant)?);
    let Ok(Attestation::Grant(enrolled)) = Attestation::read(enrolment.header()) else {
        return Ok(Err(Reason::ReferenceUnfit.into()));
    };
    let within = grant.class == GrantClass::Session { device: *issuer }
        && grant.finess == enrolled.finess
        && grant.hourly_quota <= enrolled.hourly_quota
        && grant.daily_quota <= enrolled.daily_quota;
    Ok(within.then_some(()).ok_or(Reason::NotEntitled.into()))
}

/// Only the federation that granted a key may revoke it.
fn revoke<V: View>(
    overlay: &Overlay<'_, V>,
    revocation: &Revocation,
    issuer: &PublicKey,
    on_time: Result<(), Refusal>,
) -> Rule<(), V::Error> {
    // A session is revoked by the federation that enrolled its device.
    let state = match overlay.state(&grant_index(&revocation.till))? {
        Some(State::Grant(GrantState::Session { device, .. })) => {
            overlay.state(&grant_index(&device))?
        }
        state => state,
    };
    let by = match state {
        Some(State::Grant(GrantState::Active { by, .. } | GrantState::Device { by, .. })) => by,
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
    if !same_till(overlay, &claim.header().issuer, issuer)?
        && !is_payer_of(overlay, &claim, issuer)?
    {
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
    if !same_till(overlay, &erased.header().issuer, issuer)? {
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
