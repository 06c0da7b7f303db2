//! Who may be admitted, and by whom.

use proto::attestation::{
    Attestation, GRANT_DAYS_MAX, Grant, GrantClass, GrantState, Revocation, SESSION_MS_MAX, State,
    grant_index,
};
use proto::entry::Kind;
use proto::ids::UnixMillis;
use proto::refusal::{Reason, Refusal};
use proto::signing::PublicKey;

use super::super::View;
use super::super::overlay::Overlay;
use super::{Rule, admitted, referenced, same_member};

pub(super) fn grant_till<V: View>(
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

/// Only the federation that granted a key may revoke it, under whichever key it granted.
pub(super) fn revoke<V: View>(
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
    if !same_member(overlay, &grant.header().issuer, issuer)? {
        return Ok(Err(Reason::NotEntitled.into()));
    }
    Ok(on_time)
}
