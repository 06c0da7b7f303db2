//! The rules of the ledger, played again over the entries that it admitted.
//!
//! The log does not say at which moment an entry was decided, only that it was within
//! [`CLOCK_SKEW_MS_MAX`] of `issued_at`. So a rule about time is broken only if it is broken at
//! every moment of that span.

mod delivery;
mod kept;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;

use proto::attestation::{
    Attestation, CLOCK_SKEW_MS_MAX, COVERAGE_DAYS_MAX, CatalogueNotice, Claim, Coverage, Erasure,
    GRANT_DAYS_MAX, Grant, GrantClass, GrantState, ORDER_SKEW_MS_MAX, RESERVATION_DAYS_MAX,
    Revocation, SESSION_MS_MAX, State, catalogue_index, coverage_index, grant_index,
    member_may_issue, member_of_key, same_member, till_may_issue,
};
use proto::entry::{Header, Kind, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{Day, Finess, LeafIndex, RequestId, UnixMillis};
use proto::map::MapIndex;
use proto::refusal::Reason;
use proto::roster::{Member, Roster, SignedRoster};
use proto::signing::PublicKey;

use self::delivery::Delivered;
use super::EntryFailure;

/// How long a request id is remembered: an id carries the time of its entry, so the same one
/// cannot be admitted again once this much has passed, twice the clock skew on either side.
const REQUEST_MEMORY_MS: u64 = 4 * CLOCK_SKEW_MS_MAX;

/// The state of the ledger after some entries.
#[derive(Default)]
pub(crate) struct Replay {
    /// The hashes of all rosters that have been in force, in their order.
    in_force: Vec<Hash>,
    pub(crate) roster: Option<Roster>,
    pub(crate) map: BTreeMap<MapIndex, State>,
    pub(super) counts: BTreeMap<Kind, u64>,
    /// How many states the entries have set or removed.
    pub(super) changes: u64,
    entries: Vec<Brief>,
    issuers: HashMap<[u8; 32], u32>,
    /// The keys of the numbers in `issuers`.
    keys: Vec<PublicKey>,
    /// What the devices were enrolled with, by key.
    devices: HashMap<[u8; 32], Enrolled>,
    requests: BTreeSet<(RequestId, u32)>,
}

/// What a device was enrolled with: a session has the same shop, and no more quota.
#[derive(Clone, Copy)]
struct Enrolled {
    finess: Finess,
    hourly_quota: u32,
    daily_quota: u32,
}

/// What later entries may ask of an earlier one.
struct Brief {
    kind: Kind,
    issuer: u32,
    has_payload: bool,
    detail: Detail,
}

/// What is kept of an entry besides what every entry has.
enum Detail {
    None,
    /// Where the map keeps the newest coverage under the same key.
    Coverage(MapIndex),
    /// The coverages that a claim rests on.
    Claim(Box<[LeafIndex]>),
    /// Whose slots a delivery hands over, and since when.
    Delivery(Delivered),
}

/// The moments at which an entry can have been decided.
#[derive(Clone, Copy)]
struct Span {
    earliest: UnixMillis,
    latest: UnixMillis,
}

impl Span {
    const fn around(at: UnixMillis) -> Self {
        Self {
            earliest: UnixMillis::new(at.get().saturating_sub(CLOCK_SKEW_MS_MAX)),
            latest: UnixMillis::new(at.get().saturating_add(CLOCK_SKEW_MS_MAX)),
        }
    }

    fn has_within(self, day: Day, days: u32) -> Result<(), Reason> {
        let fits = self.earliest.day() <= day && day <= self.latest.day().plus(days);
        fits.then_some(()).ok_or(Reason::DateOutOfRange)
    }
}

impl Replay {
    /// Whether a roster has been in force at some place.
    pub(super) fn was_in_force(&self, roster: &Roster) -> bool {
        self.in_force.contains(&roster.hash())
    }

    /// Lets the next entry take effect, if the rules admit it here.
    pub(crate) fn append(
        &mut self,
        entry: &VerifiedEntry,
        attestation: &Attestation,
    ) -> Result<(), EntryFailure> {
        let header = entry.header();
        match self.roster.take() {
            None => self.roster = Some(found(header, attestation)?),
            Some(roster) => self.roster = Some(self.admit(roster, header, attestation)?),
        }
        let leaf = LeafIndex::new(self.entries.len() as u64);
        for (index, state) in attestation.effects_on(&self.map, leaf, &header.issuer) {
            self.changes += 1;
            match state {
                Some(state) => self.map.insert(index, state),
                None => self.map.remove(&index),
            };
        }
        if let (Kind::Roster, Some(roster)) = (header.kind, &self.roster) {
            self.in_force.push(roster.hash());
        }
        self.remember(header, attestation);
        Ok(())
    }

    fn remember(&mut self, header: &Header, attestation: &Attestation) {
        let issuer = self.issuer(&header.issuer);
        let detail = match attestation {
            Attestation::Coverage(coverage) => Detail::Coverage(coverage_index(&coverage.coverage)),
            Attestation::Claim(claim) => Detail::Claim(claim.coverages.as_slice().into()),
            Attestation::Delivery(delivery) => {
                let leaf = LeafIndex::new(self.entries.len() as u64);
                Detail::Delivery(Delivered::new(delivery, leaf, header.issued_at))
            }
            _ => Detail::None,
        };
        if let Attestation::Grant(grant) = attestation
            && grant.class == GrantClass::Device
        {
            let enrolled = Enrolled {
                finess: grant.finess,
                hourly_quota: grant.hourly_quota,
                daily_quota: grant.daily_quota,
            };
            self.devices.insert(grant.till.to_bytes(), enrolled);
        }
        let has_payload = header.commitment.is_some();
        let is_founding = self.entries.is_empty();
        self.entries.push(Brief {
            kind: header.kind,
            issuer,
            has_payload,
            detail,
        });
        *self.counts.entry(header.kind).or_default() += 1;
        // No batch decided entry 0: neither its id nor its time says anything of others.
        if is_founding {
            return;
        }
        self.requests.insert((header.request_id, issuer));
        let oldest = header.issued_at.get().saturating_sub(REQUEST_MEMORY_MS);
        while self
            .requests
            .first()
            .is_some_and(|(id, _)| id.at().get() < oldest)
        {
            self.requests.pop_first();
        }
    }

    /// A small number for an issuer: ten million entries keep four bytes each instead of a key.
    fn issuer(&mut self, key: &PublicKey) -> u32 {
        let next = u32::try_from(self.issuers.len()).unwrap_or(u32::MAX);
        let number = *self.issuers.entry(key.to_bytes()).or_insert(next);
        if number == next {
            self.keys.push(*key);
        }
        number
    }

    /// The roster in force after the entry.
    fn admit(
        &mut self,
        roster: Roster,
        header: &Header,
        attestation: &Attestation,
    ) -> Result<Roster, EntryFailure> {
        let span = Span::around(header.issued_at);
        self.issuer_may(&roster, header, span)?;
        let issuer = self.issuer(&header.issuer);
        if self.requests.contains(&(header.request_id, issuer)) {
            return Err(Reason::RequestReused.into());
        }
        self.require_order(header.issued_at)?;
        match attestation {
            Attestation::Roster(signed) => return succeed(signed, &roster),
            Attestation::Catalogue(notice) => name_catalogue(notice, span)?,
            Attestation::Grant(grant) => self.grant(&roster, &header.issuer, grant, span)?,
            Attestation::Revocation(revocation) => self.revoke(&roster, revocation, issuer)?,
            Attestation::Coverage(coverage) => self.cover(&roster, coverage, issuer, span)?,
            Attestation::Claim(claim) => self.reserve(&roster, claim, span)?,
            Attestation::Release(release) => self.free(&roster, release, issuer, span)?,
            Attestation::Delivery(delivery) => self.deliver(delivery, issuer, span)?,
            Attestation::Settlement(settlement) => self.settle(&roster, settlement, header)?,
            Attestation::Erasure(erasure) => self.erase(&roster, erasure, issuer)?,
            Attestation::Access(_) => {}
        }
        Ok(roster)
    }

    /// No moment is late enough for what stands before the entry and early enough for the entry.
    /// The newest id that is remembered has the latest time of all entries, as those that are
    /// forgotten are earlier than the one for which they were.
    fn require_order(&self, issued_at: UnixMillis) -> Result<(), Reason> {
        let latest = issued_at.get().saturating_add(ORDER_SKEW_MS_MAX);
        let newest = self.requests.last().map(|(id, _)| id.at().get());
        let fits = newest.is_none_or(|newest| newest <= latest);
        fits.then_some(()).ok_or(Reason::ClockSkew)
    }

    fn issuer_may(&self, roster: &Roster, header: &Header, span: Span) -> Result<(), Reason> {
        let allowed = match roster.member_by_key(&header.issuer) {
            Some(member) => member_may_issue(member.role, header.kind),
            None => {
                let (expires_at, is_device) = self.standing(&header.issuer)?;
                if span.earliest >= expires_at {
                    return Err(Reason::GrantExpired);
                }
                match is_device {
                    true => header.kind == Kind::Grant,
                    false => till_may_issue(header.kind),
                }
            }
        };
        allowed.then_some(()).ok_or(Reason::KindNotAllowed)
    }

    /// Until when a key stands, and whether as a device. A session stands while its device does.
    fn standing(&self, key: &PublicKey) -> Result<(UnixMillis, bool), Reason> {
        match self.grant_state(key) {
            Some(GrantState::Active { expires_at, .. }) => Ok((*expires_at, false)),
            Some(GrantState::Device { expires_at, .. }) => Ok((*expires_at, true)),
            Some(GrantState::Session {
                expires_at, device, ..
            }) => match self.grant_state(device) {
                Some(GrantState::Device {
                    expires_at: enrolled_until,
                    ..
                }) => Ok((*expires_at.min(enrolled_until), false)),
                Some(GrantState::Revoked { .. }) => Err(Reason::GrantRevoked),
                _ => Err(Reason::IssuerUnknown),
            },
            Some(GrantState::Revoked { .. }) => Err(Reason::GrantRevoked),
            None => Err(Reason::IssuerUnknown),
        }
    }

    fn grant_state(&self, key: &PublicKey) -> Option<&GrantState> {
        match self.map.get(&grant_index(key)) {
            Some(State::Grant(state)) => Some(state),
            _ => None,
        }
    }

    /// A federation admits tills and enrols devices; a device grants sessions of its own shop and
    /// quota.
    fn may_grant(&self, roster: &Roster, issuer: &PublicKey, grant: &Grant) -> Result<(), Reason> {
        let within = match self.grant_state(issuer) {
            Some(GrantState::Device { .. }) if roster.member_by_key(issuer).is_none() => {
                let enrolled = self.devices.get(&issuer.to_bytes());
                grant.class == GrantClass::Session { device: *issuer }
                    && enrolled.is_some_and(|enrolled| {
                        grant.finess == enrolled.finess
                            && grant.hourly_quota <= enrolled.hourly_quota
                            && grant.daily_quota <= enrolled.daily_quota
                    })
            }
            _ => matches!(grant.class, GrantClass::Till | GrantClass::Device),
        };
        within.then_some(()).ok_or(Reason::NotEntitled)
    }

    /// Whether two issuers are one till's: the same key, or sessions of one device.
    fn same_till(&self, one: u32, other: u32) -> bool {
        let device = |issuer: u32| match self.grant_state(self.keys.get(issuer as usize)?)? {
            GrantState::Session { device, .. } => Some(*device),
            _ => None,
        };
        one == other || (device(one).is_some() && device(one) == device(other))
    }

    /// Whether what was issued under `former` is the issuer's: its own key, or one that the same
    /// member had before.
    fn same_member(&self, roster: &Roster, former: u32, issuer: u32) -> bool {
        let key = |issuer: u32| self.keys.get(issuer as usize);
        let (Some(former), Some(issuer)) = (key(former), key(issuer)) else {
            return false;
        };
        let state = |index: &MapIndex| Ok::<_, Infallible>(self.map.get(index).copied());
        match same_member(roster, former, issuer, state) {
            Ok(same) => same,
            Err(never) => match never {},
        }
    }

    /// The member of the roster whose key an issuer's is, or was.
    fn member<'r>(&self, roster: &'r Roster, issuer: u32) -> Option<&'r Member> {
        let key = self.keys.get(issuer as usize)?;
        let state = |index: &MapIndex| Ok::<_, Infallible>(self.map.get(index).copied());
        match member_of_key(roster, key, state) {
            Ok(member) => member,
            Err(never) => match never {},
        }
    }

    fn grant(
        &self,
        roster: &Roster,
        issuer: &PublicKey,
        grant: &Grant,
        span: Span,
    ) -> Result<(), Reason> {
        if roster.member_by_key(&grant.till).is_some() {
            return Err(Reason::AlreadyGranted);
        }
        match self.map.get(&grant_index(&grant.till)) {
            Some(State::Grant(GrantState::Revoked { .. })) => return Err(Reason::GrantRevoked),
            Some(State::Grant(
                GrantState::Active { expires_at, .. }
                | GrantState::Device { expires_at, .. }
                | GrantState::Session { expires_at, .. },
            )) if span.latest < *expires_at => {
                return Err(Reason::AlreadyGranted);
            }
            _ => {}
        }
        self.may_grant(roster, issuer, grant)?;
        let longest = match grant.class {
            GrantClass::Till | GrantClass::Device => span.latest.day().plus(GRANT_DAYS_MAX).start(),
            GrantClass::Session { .. } => {
                UnixMillis::new(span.latest.get().saturating_add(SESSION_MS_MAX))
            }
        };
        let fits = span.earliest < grant.expires_at && grant.expires_at <= longest;
        fits.then_some(()).ok_or(Reason::DateOutOfRange)
    }

    fn revoke(&self, roster: &Roster, revocation: &Revocation, issuer: u32) -> Result<(), Reason> {
        let state = match self.grant_state(&revocation.till) {
            Some(GrantState::Session { device, .. }) => self.grant_state(device),
            state => state,
        };
        let by = match state {
            Some(GrantState::Active { by, .. } | GrantState::Device { by, .. }) => *by,
            Some(GrantState::Revoked { .. }) => return Err(Reason::GrantRevoked),
            _ => return Err(Reason::ReferenceUnknown),
        };
        let grant = self.referenced(by, Kind::Grant)?;
        self.same_member(roster, grant.issuer, issuer)
            .then_some(())
            .ok_or(Reason::NotEntitled)
    }

    fn cover(
        &self,
        roster: &Roster,
        coverage: &Coverage,
        issuer: u32,
        span: Span,
    ) -> Result<(), Reason> {
        self.catalogue_in_force(coverage.catalogue)?;
        if let Some(State::Coverage(earlier)) = self.map.get(&coverage_index(&coverage.coverage)) {
            let owner = self.referenced(earlier.by, Kind::Coverage)?.issuer;
            let owner = self.member(roster, owner);
            let own_key = self.keys.get(issuer as usize);
            if owner.is_some_and(|owner| Some(&owner.public_key) != own_key) {
                return Err(Reason::NotEntitled);
            }
        }
        span.has_within(coverage.until, COVERAGE_DAYS_MAX)
    }

    fn reserve(&self, roster: &Roster, claim: &Claim, span: Span) -> Result<(), Reason> {
        self.catalogue_in_force(claim.catalogue)?;
        for coverage in &claim.coverages {
            self.coverage_in_force(roster, *coverage, span)?;
        }
        span.has_within(claim.until, RESERVATION_DAYS_MAX)?;
        claim
            .slots
            .iter()
            .try_for_each(|slot| self.may_take(slot, claim.early, span))
    }

    fn coverage_in_force(
        &self,
        roster: &Roster,
        index: LeafIndex,
        span: Span,
    ) -> Result<(), Reason> {
        let brief = self.referenced(index, Kind::Coverage)?;
        let Detail::Coverage(place) = &brief.detail else {
            return Err(Reason::ReferenceUnfit);
        };
        if !self.is_member(roster, brief.issuer) {
            return Err(Reason::ReferenceUnfit);
        }
        match self.map.get(place) {
            Some(State::Coverage(newest)) if newest.by == index => {
                let runs = newest.until >= span.earliest.day();
                runs.then_some(()).ok_or(Reason::CoverageExpired)
            }
            _ => Err(Reason::CoverageSuperseded),
        }
    }

    fn is_member(&self, roster: &Roster, issuer: u32) -> bool {
        let is_issuer = |key: &PublicKey| self.issuers.get(&key.to_bytes()) == Some(&issuer);
        roster
            .members()
            .iter()
            .any(|member| is_issuer(&member.public_key))
    }

    fn erase(&self, roster: &Roster, erasure: &Erasure, issuer: u32) -> Result<(), Reason> {
        let erased = self.entry(erasure.erased).ok_or(Reason::ReferenceUnknown)?;
        if !erased.has_payload || erased.kind == Kind::Access {
            return Err(Reason::ReferenceUnfit);
        }
        let own = self.same_till(erased.issuer, issuer)
            || self.same_member(roster, erased.issuer, issuer);
        own.then_some(()).ok_or(Reason::NotEntitled)
    }

    fn catalogue_in_force(&self, catalogue: LeafIndex) -> Result<(), Reason> {
        match self.map.get(&catalogue_index()) {
            Some(State::Catalogue { by, .. }) if *by == catalogue => Ok(()),
            _ => Err(Reason::CatalogueOutdated),
        }
    }

    fn entry(&self, index: LeafIndex) -> Option<&Brief> {
        self.entries.get(usize::try_from(index.get()).ok()?)
    }

    fn referenced(&self, index: LeafIndex, kind: Kind) -> Result<&Brief, Reason> {
        let entry = self.entry(index).ok_or(Reason::ReferenceUnknown)?;
        (entry.kind == kind)
            .then_some(entry)
            .ok_or(Reason::ReferenceUnfit)
    }
}

/// The first entry founds the ledger: a roster that all its voting members signed.
fn found(header: &Header, attestation: &Attestation) -> Result<Roster, EntryFailure> {
    let Attestation::Roster(signed) = attestation else {
        return Err(EntryFailure::NotARoster);
    };
    let roster = signed.verify_genesis()?;
    let is_member = roster.member_by_key(&header.issuer).is_some();
    is_member
        .then_some(roster)
        .ok_or(Reason::IssuerUnknown.into())
}

fn succeed(signed: &SignedRoster, previous: &Roster) -> Result<Roster, EntryFailure> {
    Ok(signed.verify_successor(previous)?)
}

fn name_catalogue(notice: &CatalogueNotice, span: Span) -> Result<(), Reason> {
    let begun = notice.valid_from <= span.latest.day();
    begun.then_some(()).ok_or(Reason::DateOutOfRange)
}
