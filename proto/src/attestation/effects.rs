//! What an admitted entry changes in the map.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::iter;

use super::state::{Hold, InvoiceState, SettlementState};
use super::{
    Attestation, Claim, CoverageState, Delivery, Grant, GrantClass, GrantState, Handover,
    MemberState, Release, SlotState, SlotStatus, State, catalogue_index, coverage_index,
    grant_index, invoice_index, member_index, roster_index, settlement_index, slot_index,
};
use crate::ids::{Day, LeafIndex, SlotKey};
use crate::map::MapIndex;
use crate::roster::Roster;
use crate::signing::PublicKey;

/// What changes in the map, in order; `None` removes.
pub type Effects = Vec<(MapIndex, Option<State>)>;

impl Attestation {
    /// What the entry at `leaf`, issued by this key, changes in the map once it is admitted.
    ///
    /// It depends on nothing but the entry and the states before it, which `before` gives: never on
    /// a clock. A free slot is one that the map does not have, so that a release leaves the map as it
    /// was before the claim; a hold that a claim or delivery lies over comes back with it.
    ///
    /// # Errors
    /// Only what `before` could not read.
    pub fn effects<E>(
        &self,
        leaf: LeafIndex,
        issuer: &PublicKey,
        before: impl Fn(&MapIndex) -> Result<Option<State>, E>,
    ) -> Result<Effects, E> {
        let slot = |slot: &SlotKey| match before(&slot_index(slot))? {
            Some(State::Slot(state)) => Ok(Some(state)),
            _ => Ok(None),
        };
        Ok(match self {
            Self::Roster(signed) => in_force(signed.admitted(), leaf),
            Self::Catalogue(notice) => {
                let valid_from = notice.valid_from;
                let state = State::Catalogue {
                    valid_from,
                    by: leaf,
                };
                vec![(catalogue_index(), Some(state))]
            }
            Self::Grant(grant) => vec![granted(grant, leaf)],
            Self::Revocation(revocation) => {
                let state = GrantState::Revoked { by: leaf };
                vec![(grant_index(&revocation.till), Some(State::Grant(state)))]
            }
            Self::Coverage(coverage) => {
                let until = coverage.until;
                let state = State::Coverage(CoverageState { until, by: leaf });
                vec![(coverage_index(&coverage.coverage), Some(state))]
            }
            Self::Claim(claim) => reserved(claim, leaf, slot)?,
            Self::Delivery(delivery) => delivered(delivery, leaf, slot)?,
            Self::Release(release) => {
                let mut effects = freed(release, slot)?;
                effects.extend(returned(release, leaf, before)?);
                effects
            }
            Self::Settlement(settlement) => {
                let state = SettlementState {
                    outcome: settlement.outcome,
                    delivery: settlement.delivery,
                    by: leaf,
                };
                let payer = settlement.payer(issuer);
                let index = settlement_index(settlement.invoice, &payer);
                vec![(index, Some(State::Settlement(state)))]
            }
            Self::Erasure(_) | Self::Access(_) => Vec::new(),
        })
    }

    /// The same over a map in memory.
    #[must_use]
    pub fn effects_on(
        &self,
        map: &BTreeMap<MapIndex, State>,
        leaf: LeafIndex,
        issuer: &PublicKey,
    ) -> Effects {
        let before = |index: &MapIndex| Ok::<_, Infallible>(map.get(index).copied());
        match self.effects(leaf, issuer, before) {
            Ok(effects) => effects,
            Err(never) => match never {},
        }
    }
}

/// The roster, and of each of its keys whose it is. Keys of rosters before stay as they are.
fn in_force(roster: &Roster, by: LeafIndex) -> Effects {
    let keys = roster.members().iter().map(|member| {
        let state = State::Member(MemberState::new(&member.name, by));
        (member_index(&member.public_key), Some(state))
    });
    let in_force = (roster_index(), Some(State::Roster { by }));
    iter::once(in_force).chain(keys).collect()
}

fn granted(grant: &Grant, by: LeafIndex) -> (MapIndex, Option<State>) {
    let expires_at = grant.expires_at;
    let state = match grant.class {
        GrantClass::Till => GrantState::Active { expires_at, by },
        GrantClass::Device => GrantState::Device { expires_at, by },
        GrantClass::Session { device } => GrantState::Session {
            expires_at,
            by,
            device,
        },
    };
    (grant_index(&grant.till), Some(State::Grant(state)))
}

/// A claim lies over the hold that is there, whether that has run out or not: what a day is, this
/// function does not know.
fn reserved<E>(
    claim: &Claim,
    by: LeafIndex,
    slot: impl Fn(&SlotKey) -> Result<Option<SlotState>, E>,
) -> Result<Effects, E> {
    let (status, until) = (SlotStatus::Reserved, claim.until);
    let reserve = |key: &SlotKey| {
        let beneath = slot(key)?.and_then(|before| before.hold());
        Ok((slot_index(key), Some(taken(status, until, by, beneath))))
    };
    claim.slots.iter().map(reserve).collect()
}

/// A replacement changes nothing: the slot stays held by the delivery, until the same day.
fn delivered<E>(
    delivery: &Delivery,
    leaf: LeafIndex,
    slot: impl Fn(&SlotKey) -> Result<Option<SlotState>, E>,
) -> Result<Effects, E> {
    let until = match delivery.handover {
        Handover::First { until } | Handover::Correction { until, .. } => until,
        Handover::Replacement { .. } => return Ok(Vec::new()),
    };
    let hold = |key: &SlotKey| {
        let beneath = slot(key)?.and_then(|before| before.beneath);
        Ok((
            slot_index(key),
            Some(taken(SlotStatus::Held, until, leaf, beneath)),
        ))
    };
    let mut effects: Effects = delivery.slots.iter().map(hold).collect::<Result<_, E>>()?;
    let state = State::Invoice(InvoiceState {
        delivery: leaf,
        returned_by: None,
    });
    let invoice = delivery.handover.invoice(leaf);
    effects.push((invoice_index(invoice), Some(state)));
    Ok(effects)
}

fn freed<E>(
    release: &Release,
    slot: impl Fn(&SlotKey) -> Result<Option<SlotState>, E>,
) -> Result<Effects, E> {
    let free = |key: &SlotKey| {
        let hold = slot(key)?.and_then(|before| before.beneath);
        let back = hold.map(|Hold { until, by }| taken(SlotStatus::Held, until, by, None));
        Ok((slot_index(key), back))
    };
    release.slots.iter().map(free).collect()
}

/// What goes back is no longer invoiced as it was.
fn returned<E>(
    release: &Release,
    leaf: LeafIndex,
    before: impl Fn(&MapIndex) -> Result<Option<State>, E>,
) -> Result<Option<(MapIndex, Option<State>)>, E> {
    let Some(invoice) = release.invoice else {
        return Ok(None);
    };
    let index = invoice_index(invoice);
    let delivery = match before(&index)? {
        Some(State::Invoice(state)) => state.delivery,
        _ => invoice,
    };
    let state = InvoiceState {
        delivery,
        returned_by: Some(leaf),
    };
    Ok(Some((index, Some(State::Invoice(state)))))
}

const fn taken(status: SlotStatus, until: Day, by: LeafIndex, beneath: Option<Hold>) -> State {
    State::Slot(SlotState {
        status,
        until,
        by,
        beneath,
    })
}
