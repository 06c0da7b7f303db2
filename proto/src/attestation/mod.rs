//! What an entry says: one type for each kind, read from and written to a header, and what each
//! does to the map.
//!
//! [`Attestation::read`] checks that a header has just the fields its kind needs. Whether the
//! ledger admits it is decided elsewhere; what an admitted one changes is [`Attestation::effects`],
//! the same function for the node that appends and for the auditor who replays the log.

mod access;
mod content;
mod coverage_terms;
mod state;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use self::access::{
    AccessRecord, LOOK_KEYS_MAX, Look, LookOutcome, RECORD_LOOKS_MAX, RecordError, looks_that_fit,
};
pub use self::content::{CLAIM_LINES_MAX, ClaimLine, ClaimTerms, CodeOpening, ContentError};
pub use self::coverage_terms::CoverageTerms;
pub use self::state::{
    CoverageState, GrantState, SlotState, SlotStatus, State, StateError, catalogue_index,
    coverage_index, grant_index, roster_index, slot_index,
};
use crate::entry::{Header, Kind};
use crate::hash::Hash;
use crate::ids::{CoverageKey, Day, Finess, IdError, LeafIndex, RequestId, SlotKey, UnixMillis};
use crate::map::MapIndex;
use crate::roster::{Role, SignedRoster, SignedRosterError};
use crate::signing::{PublicKey, SigningError};

/// How far an issuer's clock may be from the batch's: tills are not all on NTP, and beyond two
/// minutes the order of two shops' claims would no longer mean anything.
pub const CLOCK_SKEW_MS_MAX: u64 = 120_000;
/// The longest reservation: the usual delay from a quote to the delivery of glasses.
pub const RESERVATION_DAYS_MAX: u32 = 60;
/// The longest validity of a coverage: a contract year and a day.
pub const COVERAGE_DAYS_MAX: u32 = 366;
/// The longest grant: a year and a month, so that yearly renewals overlap.
pub const GRANT_DAYS_MAX: u32 = 397;

/// Whether a member of this role may issue this kind; tills issue claims, releases and erasures.
#[must_use]
pub const fn member_may_issue(role: Role, kind: Kind) -> bool {
    match kind {
        Kind::Roster | Kind::Erasure | Kind::Access => true,
        Kind::Catalogue => matches!(role, Role::Amo),
        Kind::Grant | Kind::Revocation => matches!(role, Role::Federation),
        Kind::Coverage | Kind::Release => matches!(role, Role::Amo | Role::Amc),
        Kind::Claim => false,
    }
}

/// Names a version of the LPP catalogue by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CatalogueNotice {
    /// The hash of the catalogue's canonical text (`lpp::Catalogue::hash`).
    pub hash: Hash,
    /// The first day on which it is the one to use.
    pub valid_from: Day,
}

/// The longest admission of a session key: a day behind the counter.
pub const SESSION_MS_MAX: u64 = 12 * 3_600_000;

/// What a key is admitted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantClass {
    /// A till's key, admitted by a federation: it claims and looks up itself.
    Till,
    /// A till's long-lived key, enrolled by a federation: it grants session keys and does nothing
    /// else.
    Device,
    /// A key that a till claims and looks up with for some hours, admitted by its device key.
    Session {
        /// The device key, which issues the grant.
        device: PublicKey,
    },
}

/// Admits a till's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The key that the till signs and connects with.
    pub till: PublicKey,
    /// The shop it stands in.
    pub finess: Finess,
    /// The first moment at which it is no longer admitted.
    pub expires_at: UnixMillis,
    /// Elements each node evaluates for it in an hour.
    pub hourly_quota: u32,
    /// Elements each node evaluates for it in a day.
    pub daily_quota: u32,
    /// What it is admitted as.
    pub class: GrantClass,
}

/// Ends a till's admission, for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// The key that is no longer admitted.
    pub till: PublicKey,
}

/// A payer's signed commitment: for this grouped code, so much is paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// The coverage key of the contract and the grouped code.
    pub coverage: CoverageKey,
    /// The catalogue it was computed with.
    pub catalogue: LeafIndex,
    /// The last day on which a claim may rest on it.
    pub until: Day,
    /// The commitment to the sealed [`CoverageTerms`].
    pub commitment: Hash,
}

/// Reserves slots on the strength of coverages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The slots to reserve, all or none.
    pub slots: Vec<SlotKey>,
    /// The catalogue it was computed with.
    pub catalogue: LeafIndex,
    /// The coverages it rests on, in ascending order.
    pub coverages: Vec<LeafIndex>,
    /// The last day of the reservation.
    pub until: Day,
    /// The commitment to the sealed [`ClaimTerms`], one part for each payer.
    pub commitment: Hash,
}

/// Frees the slots of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The slots to free: all of the claim's or some.
    pub slots: Vec<SlotKey>,
    /// The claim that holds them.
    pub claim: LeafIndex,
}

/// Asks every member to delete the payload and salt of an entry. The entry itself stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Erasure {
    /// The entry whose payload goes.
    pub erased: LeafIndex,
}

/// Commits to an [`AccessRecord`], sealed to the incident keys of the roster. Nothing else of it
/// is public: neither who looked nor at what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The commitment to the sealed record.
    pub commitment: Hash,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the type it holds")]
pub enum Attestation {
    Roster(SignedRoster),
    Catalogue(CatalogueNotice),
    Grant(Grant),
    Revocation(Revocation),
    Coverage(Coverage),
    Claim(Claim),
    Release(Release),
    Erasure(Erasure),
    Access(Access),
}

/// Why a header does not have the shape of its kind.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// A field that this kind needs is missing, or has the wrong number of items.
    #[error("a {kind} needs {need}", kind = .kind.as_str())]
    Needs {
        /// The kind of the entry.
        kind: Kind,
        /// What it needs.
        need: &'static str,
    },
    /// A field is set that this kind does not have.
    #[error("a {kind} has no {field}", kind = .kind.as_str())]
    Excess {
        /// The kind of the entry.
        kind: Kind,
        /// The field that must be empty.
        field: &'static str,
    },
    /// Slot keys or references are not in strictly ascending order.
    #[error("{field} must be in strictly ascending order")]
    Unordered {
        /// The field.
        field: &'static str,
    },
    /// The statement is not of the length that its kind has.
    #[error("the statement of a {kind} must be {want} bytes, got {got}", kind = .kind.as_str())]
    StatementLength {
        /// The kind of the entry.
        kind: Kind,
        /// Bytes found.
        got: usize,
        /// Bytes needed.
        want: usize,
    },
    /// The statement names a key that cannot be used.
    #[error("till: {0}")]
    Till(#[from] SigningError),
    /// The statement names an impossible FINESS number.
    #[error("finess: {0}")]
    Finess(#[from] IdError),
    /// The statement is not a signed roster.
    #[error("roster: {0}")]
    Roster(#[from] SignedRosterError),
}

impl Attestation {
    /// Reads what a header says.
    ///
    /// # Errors
    /// The first field that its kind does not have, needs, or needs otherwise.
    pub fn read(header: &Header) -> Result<Self, ShapeError> {
        let shape = Shape(header);
        match header.kind {
            Kind::Roster => shape.roster(),
            Kind::Catalogue => shape.catalogue(),
            Kind::Grant => shape.grant(),
            Kind::Revocation => shape.revocation(),
            Kind::Coverage => shape.coverage(),
            Kind::Claim => shape.claim(),
            Kind::Release => shape.release(),
            Kind::Erasure => shape.erasure(),
            Kind::Access => shape.access(),
        }
    }

    /// The kind of entry that says this.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Roster(_) => Kind::Roster,
            Self::Catalogue(_) => Kind::Catalogue,
            Self::Grant(_) => Kind::Grant,
            Self::Revocation(_) => Kind::Revocation,
            Self::Coverage(_) => Kind::Coverage,
            Self::Claim(_) => Kind::Claim,
            Self::Release(_) => Kind::Release,
            Self::Erasure(_) => Kind::Erasure,
            Self::Access(_) => Kind::Access,
        }
    }

    /// The header that says this, ready to be signed.
    #[must_use]
    pub fn header(&self, issuer: PublicKey, request_id: RequestId) -> Header {
        let mut header = Header {
            kind: self.kind(),
            issuer,
            request_id,
            issued_at: request_id.at(),
            keys: Vec::new(),
            hold_until: None,
            references: Vec::new(),
            commitment: None,
            statement: Vec::new(),
        };
        match self {
            Self::Roster(roster) => header.statement = roster.to_text().into_bytes(),
            Self::Catalogue(notice) => header.statement = notice.to_statement(),
            Self::Grant(grant) => header.statement = grant.to_statement(),
            Self::Revocation(revocation) => header.statement = revocation.till.to_bytes().into(),
            Self::Coverage(coverage) => {
                header.keys = vec![*coverage.coverage.as_bytes()];
                header.hold_until = Some(coverage.until);
                header.references = vec![coverage.catalogue];
                header.commitment = Some(coverage.commitment);
            }
            Self::Claim(claim) => {
                header.keys = claim.slots.iter().map(|slot| *slot.as_bytes()).collect();
                header.hold_until = Some(claim.until);
                header.references = vec![claim.catalogue];
                header.references.extend(&claim.coverages);
                header.commitment = Some(claim.commitment);
            }
            Self::Release(release) => {
                header.keys = release.slots.iter().map(|slot| *slot.as_bytes()).collect();
                header.references = vec![release.claim];
            }
            Self::Erasure(erasure) => header.references = vec![erasure.erased],
            Self::Access(access) => header.commitment = Some(access.commitment),
        }
        header
    }

    /// What the entry at `leaf` changes in the map once it is admitted; `None` removes.
    ///
    /// A free slot is one that the map does not have, so that a release leaves no trace in the
    /// map and its root is what it would have been without the claim.
    #[must_use]
    pub fn effects(&self, leaf: LeafIndex) -> Vec<(MapIndex, Option<State>)> {
        match self {
            Self::Roster(_) => vec![(roster_index(), Some(State::Roster { by: leaf }))],
            Self::Catalogue(notice) => {
                let state = State::Catalogue {
                    valid_from: notice.valid_from,
                    by: leaf,
                };
                vec![(catalogue_index(), Some(state))]
            }
            Self::Grant(grant) => {
                let (expires_at, by) = (grant.expires_at, leaf);
                let state = match grant.class {
                    GrantClass::Till => GrantState::Active { expires_at, by },
                    GrantClass::Device => GrantState::Device { expires_at, by },
                    GrantClass::Session { device } => GrantState::Session {
                        expires_at,
                        by,
                        device,
                    },
                };
                vec![(grant_index(&grant.till), Some(State::Grant(state)))]
            }
            Self::Revocation(revocation) => {
                let state = GrantState::Revoked { by: leaf };
                vec![(grant_index(&revocation.till), Some(State::Grant(state)))]
            }
            Self::Coverage(coverage) => {
                let state = CoverageState {
                    until: coverage.until,
                    by: leaf,
                };
                vec![(
                    coverage_index(&coverage.coverage),
                    Some(State::Coverage(state)),
                )]
            }
            Self::Claim(claim) => {
                let state = SlotState {
                    status: SlotStatus::Reserved,
                    until: claim.until,
                    by: leaf,
                };
                let reserve = |slot| (slot_index(slot), Some(State::Slot(state)));
                claim.slots.iter().map(reserve).collect()
            }
            Self::Release(release) => release
                .slots
                .iter()
                .map(|slot| (slot_index(slot), None))
                .collect(),
            Self::Erasure(_) | Self::Access(_) => Vec::new(),
        }
    }
}

impl CatalogueNotice {
    const STATEMENT_BYTES: usize = 32 + 4;

    fn to_statement(self) -> Vec<u8> {
        [
            self.hash.as_bytes().as_slice(),
            &self.valid_from.get().to_be_bytes(),
        ]
        .concat()
    }
}

impl Grant {
    const STATEMENT_BYTES: usize = 32 + 9 + 8 + 4 + 4;
    /// What follows the statement of a till's key in that of a device's.
    const DEVICE: u8 = 1;
    /// What follows it, and stands before the device's key, in that of a session's.
    const SESSION: u8 = 2;

    fn to_statement(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::STATEMENT_BYTES + 1 + 32);
        bytes.extend_from_slice(&self.till.to_bytes());
        bytes.extend_from_slice(self.finess.as_str().as_bytes());
        bytes.extend_from_slice(&self.expires_at.get().to_be_bytes());
        bytes.extend_from_slice(&self.hourly_quota.to_be_bytes());
        bytes.extend_from_slice(&self.daily_quota.to_be_bytes());
        match self.class {
            GrantClass::Till => {}
            GrantClass::Device => bytes.push(Self::DEVICE),
            GrantClass::Session { device } => {
                bytes.push(Self::SESSION);
                bytes.extend_from_slice(&device.to_bytes());
            }
        }
        bytes
    }
}

/// A header under inspection: one function for each kind.
struct Shape<'a>(&'a Header);

impl Shape<'_> {
    fn roster(&self) -> Result<Attestation, ShapeError> {
        self.only_statement()?;
        Ok(Attestation::Roster(SignedRoster::parse(&self.0.statement)?))
    }

    fn catalogue(&self) -> Result<Attestation, ShapeError> {
        self.only_statement()?;
        let bytes: [u8; CatalogueNotice::STATEMENT_BYTES] = self.statement()?;
        let [hash @ .., a, b, c, d] = bytes;
        Ok(Attestation::Catalogue(CatalogueNotice {
            hash: Hash::from_bytes(hash),
            valid_from: Day::new(u32::from_be_bytes([a, b, c, d])),
        }))
    }

    fn grant(&self) -> Result<Attestation, ShapeError> {
        self.only_statement()?;
        let statement = self.0.statement.as_slice();
        let length = ShapeError::StatementLength {
            kind: self.0.kind,
            got: statement.len(),
            want: Grant::STATEMENT_BYTES,
        };
        let (bytes, class) = statement
            .split_first_chunk::<{ Grant::STATEMENT_BYTES }>()
            .ok_or(length.clone())?;
        let class = match class {
            [] => GrantClass::Till,
            [Grant::DEVICE] => GrantClass::Device,
            [Grant::SESSION, device @ ..] => {
                let device = device.try_into().map_err(|_| length)?;
                let device = PublicKey::from_bytes(device)?;
                GrantClass::Session { device }
            }
            _ => return Err(length),
        };
        let mut rest = bytes.as_slice();
        let till = PublicKey::from_bytes(&split_array(&mut rest))?;
        let finess: [u8; 9] = split_array(&mut rest);
        Ok(Attestation::Grant(Grant {
            till,
            finess: str::from_utf8(&finess)
                .map_err(|_| IdError::Finess)?
                .parse()?,
            expires_at: UnixMillis::new(u64::from_be_bytes(split_array(&mut rest))),
            hourly_quota: u32::from_be_bytes(split_array(&mut rest)),
            daily_quota: u32::from_be_bytes(split_array(&mut rest)),
            class,
        }))
    }

    fn revocation(&self) -> Result<Attestation, ShapeError> {
        self.only_statement()?;
        let till = PublicKey::from_bytes(&self.statement()?)?;
        Ok(Attestation::Revocation(Revocation { till }))
    }

    fn coverage(&self) -> Result<Attestation, ShapeError> {
        self.no_statement()?;
        let [coverage] = self.0.keys[..] else {
            return Err(self.needs("one coverage key"));
        };
        let [catalogue] = self.0.references[..] else {
            return Err(self.needs("one catalogue"));
        };
        Ok(Attestation::Coverage(Coverage {
            coverage: CoverageKey::from_bytes(coverage),
            catalogue,
            until: self.until()?,
            commitment: self.commitment()?,
        }))
    }

    fn claim(&self) -> Result<Attestation, ShapeError> {
        self.no_statement()?;
        let [catalogue, coverages @ ..] = &self.0.references[..] else {
            return Err(self.needs("a catalogue and one coverage or more"));
        };
        if coverages.is_empty() {
            return Err(self.needs("a catalogue and one coverage or more"));
        }
        ascending("coverages", coverages)?;
        Ok(Attestation::Claim(Claim {
            slots: self.slots()?,
            catalogue: *catalogue,
            coverages: coverages.to_vec(),
            until: self.until()?,
            commitment: self.commitment()?,
        }))
    }

    fn release(&self) -> Result<Attestation, ShapeError> {
        self.no_statement()?;
        self.absent(self.0.hold_until.is_none(), "hold_until")?;
        self.absent(self.0.commitment.is_none(), "commitment")?;
        let [claim] = self.0.references[..] else {
            return Err(self.needs("one claim"));
        };
        Ok(Attestation::Release(Release {
            slots: self.slots()?,
            claim,
        }))
    }

    fn erasure(&self) -> Result<Attestation, ShapeError> {
        self.no_statement()?;
        self.absent(self.0.keys.is_empty(), "keys")?;
        self.absent(self.0.hold_until.is_none(), "hold_until")?;
        self.absent(self.0.commitment.is_none(), "commitment")?;
        let [erased] = self.0.references[..] else {
            return Err(self.needs("one reference"));
        };
        Ok(Attestation::Erasure(Erasure { erased }))
    }

    fn access(&self) -> Result<Attestation, ShapeError> {
        self.no_statement()?;
        self.absent(self.0.keys.is_empty(), "keys")?;
        self.absent(self.0.hold_until.is_none(), "hold_until")?;
        self.absent(self.0.references.is_empty(), "references")?;
        let commitment = self.commitment()?;
        Ok(Attestation::Access(Access { commitment }))
    }

    fn only_statement(&self) -> Result<(), ShapeError> {
        self.absent(self.0.keys.is_empty(), "keys")?;
        self.absent(self.0.hold_until.is_none(), "hold_until")?;
        self.absent(self.0.references.is_empty(), "references")?;
        self.absent(self.0.commitment.is_none(), "commitment")
    }

    fn no_statement(&self) -> Result<(), ShapeError> {
        self.absent(self.0.statement.is_empty(), "statement")
    }

    fn absent(&self, is_absent: bool, field: &'static str) -> Result<(), ShapeError> {
        is_absent.then_some(()).ok_or(ShapeError::Excess {
            kind: self.0.kind,
            field,
        })
    }

    const fn needs(&self, need: &'static str) -> ShapeError {
        ShapeError::Needs {
            kind: self.0.kind,
            need,
        }
    }

    fn statement<const N: usize>(&self) -> Result<[u8; N], ShapeError> {
        let (kind, got) = (self.0.kind, self.0.statement.len());
        let wrong = ShapeError::StatementLength { kind, got, want: N };
        self.0.statement.as_slice().try_into().map_err(|_| wrong)
    }

    fn slots(&self) -> Result<Vec<SlotKey>, ShapeError> {
        if self.0.keys.is_empty() {
            return Err(self.needs("one slot key or more"));
        }
        ascending("slot keys", &self.0.keys)?;
        Ok(self
            .0
            .keys
            .iter()
            .copied()
            .map(SlotKey::from_bytes)
            .collect())
    }

    fn until(&self) -> Result<Day, ShapeError> {
        self.0.hold_until.ok_or(self.needs("hold_until"))
    }

    fn commitment(&self) -> Result<Hash, ShapeError> {
        self.0
            .commitment
            .ok_or(self.needs("a commitment to its payload"))
    }
}

/// Ascending order gives one spelling and rules out that an entry names a slot twice.
fn ascending<T: PartialOrd>(field: &'static str, items: &[T]) -> Result<(), ShapeError> {
    items
        .is_sorted_by(|a, b| a < b)
        .then_some(())
        .ok_or(ShapeError::Unordered { field })
}

/// The next `N` bytes of an array whose length the caller has checked; zeros beyond its end.
fn split_array<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let Some((taken, left)) = rest.split_first_chunk() else {
        return [0; N];
    };
    *rest = left;
    *taken
}
