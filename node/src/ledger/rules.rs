//! The rules that admit an entry, in the order of the design: issuer and kind, then (after the
//! repeat check) references, clock, dates, slots. The first rule that says no gives the reason.

mod claim;
mod delivery;
mod grant;

use std::sync::Arc;

use proto::attestation::{
    self, Attestation, CLOCK_SKEW_MS_MAX, CatalogueNotice, Erasure, GrantState, State,
    catalogue_index, grant_index, member_may_issue, till_may_issue,
};
use proto::entry::{Entry, Header, Kind, VerifiedEntry};
use proto::ids::{Day, LeafIndex, UnixMillis};
use proto::map::MapIndex;
use proto::refusal::{Reason, Refusal};
use proto::roster::SignedRoster;
use proto::signing::PublicKey;

use self::claim::{cover, free, reserve};
use self::delivery::{deliver, settle};
use self::grant::{grant_till, revoke};
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
use admitted;

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
            Self::Till => till_may_issue(kind),
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

/// Whether what was issued under `former` is the issuer's: its own key, or one that the same member
/// had before.
fn same_member<V: View>(
    overlay: &Overlay<'_, V>,
    former: &PublicKey,
    issuer: &PublicKey,
) -> Result<bool, V::Error> {
    let state = |index: &MapIndex| overlay.state(index);
    attestation::same_member(overlay.roster(), former, issuer, state)
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
        Attestation::Release(release) => free(overlay, release, issuer, on_time, today)?,
        Attestation::Delivery(delivery) => deliver(overlay, delivery, issuer, on_time, today)?,
        Attestation::Settlement(settlement) => settle(overlay, settlement, issuer, on_time)?,
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
    let by = &erased.header().issuer;
    if !same_till(overlay, by, issuer)? && !same_member(overlay, by, issuer)? {
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

/// The payers that a claim rests on, each once: the issuers of its coverages, in their order.
fn payers_of<V: View>(
    overlay: &Overlay<'_, V>,
    claim: &Arc<Entry>,
) -> Result<Vec<PublicKey>, V::Error> {
    let mut payers = Vec::new();
    // The first reference of a claim is its catalogue, the others are its coverages.
    for coverage in claim.header().references.iter().skip(1) {
        if let Some(coverage) = overlay.entry(*coverage)? {
            let payer = coverage.header().issuer;
            if !payers.contains(&payer) {
                payers.push(payer);
            }
        }
    }
    Ok(payers)
}

/// Whether the claim rests on a coverage of the issuer, under whichever of its keys.
fn is_payer<V: View>(
    overlay: &Overlay<'_, V>,
    claim: &Arc<Entry>,
    issuer: &PublicKey,
) -> Result<bool, V::Error> {
    for payer in payers_of(overlay, claim)? {
        if same_member(overlay, &payer, issuer)? {
            return Ok(true);
        }
    }
    Ok(false)
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
