//! Who may call what: a table of methods, and the place of a key at one moment of the log.
//!
//! A key is a member's because the roster in force says so, or a till's because its grant runs.
//! Both are looked up at each call in the newest published state; nothing is remembered from the
//! handshake, so a revocation counts from the call after it.

use proto::attestation::GrantState;
use proto::ids::UnixMillis;
use proto::refusal::Reason;
use proto::roster::{Role, Roster};
use proto::signing::PublicKey;
use thiserror::Error;

use crate::snapshot::{ReadError, Snapshot};

/// Who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Any key: the method gives nothing that plain HTTP does not give to everybody.
    Anyone,
    /// A member of the roster, or a till whose grant runs.
    Admitted,
    /// As [`Access::Admitted`]; and a till whose grant has ended gets as far as the service, which
    /// records what it asked for before it says no.
    Recorded,
    /// A till whose grant runs; and one whose grant has ended, as with [`Access::Recorded`].
    RecordedTill,
    /// A member of the roster: what the nodes ask of each other, and what is for members alone.
    /// Whether it holds an incident key, takes part in a ceremony or pays a claim, the service asks.
    Member,
    /// A till whose grant runs, or a payer. Others have no use for tokens.
    TillOrPayer,
}

/// A method of the schema with who may call it.
pub type Method = (&'static str, Access);

/// The method under which each append counts, alone or in a stream.
pub const APPEND: Method = ("/vitrail.v1.LedgerService/Append", Access::Admitted);
/// The same for what another member's node passes on.
pub const FORWARD: Method = ("/vitrail.v1.ReplicationService/Forward", Access::Member);

/// Every method of the schema, with who may call it. A method that is not listed cannot be
/// called at all, and a test compares the list with the schema.
pub const METHODS: &[Method] = &[
    ("/vitrail.v1.AccessService/ListRecords", Access::Member),
    ("/vitrail.v1.CeremonyService/Fetch", Access::Member),
    ("/vitrail.v1.ClaimService/ListClaims", Access::Member),
    ("/vitrail.v1.EngineService/Append", Access::Member),
    ("/vitrail.v1.EngineService/Enlist", Access::Member),
    ("/vitrail.v1.EngineService/Install", Access::Member),
    ("/vitrail.v1.EngineService/PreVote", Access::Member),
    ("/vitrail.v1.EngineService/Transfer", Access::Member),
    ("/vitrail.v1.EngineService/Vote", Access::Member),
    ("/vitrail.v1.EvaluatorService/Evaluate", Access::TillOrPayer),
    APPEND,
    ("/vitrail.v1.LedgerService/AppendEach", Access::Admitted),
    ("/vitrail.v1.LedgerService/Lookup", Access::Recorded),
    ("/vitrail.v1.LedgerService/Open", Access::Admitted),
    ("/vitrail.v1.LogService/GetCatalogue", Access::Anyone),
    ("/vitrail.v1.LogService/GetCheckpoint", Access::Anyone),
    ("/vitrail.v1.LogService/GetEntry", Access::Anyone),
    ("/vitrail.v1.LogService/GetRoster", Access::Anyone),
    ("/vitrail.v1.LogService/ProveConsistency", Access::Anyone),
    ("/vitrail.v1.QuoteService/Quote", Access::RecordedTill),
    ("/vitrail.v1.ReplicationService/Cosign", Access::Member),
    ("/vitrail.v1.ReplicationService/Follow", Access::Member),
    FORWARD,
    ("/vitrail.v1.ReplicationService/ForwardEach", Access::Member),
    ("/vitrail.v1.ReplicationService/Status", Access::Member),
];

/// The listed method with this path.
#[must_use]
pub fn method(path: &str) -> Option<Method> {
    METHODS.iter().copied().find(|(listed, _)| *listed == path)
}

/// What an admitted key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// The key of a member with this role.
    Member(Role),
    /// The key of a till, or of one of its sessions.
    Till,
    /// The enrolled key of a till: it grants session keys, and may do nothing else.
    Device,
}

impl Access {
    /// Whether a till whose grant has ended gets as far as the service.
    #[must_use]
    pub const fn is_recorded(self) -> bool {
        matches!(self, Self::Recorded | Self::RecordedTill)
    }
}

/// Goes with a call to a [`Access::Recorded`] method whose key was granted once and is no longer
/// admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedTill(pub Reason);

/// Whether a refusal is that of a key which the ledger knows. Strangers are not recorded: anybody
/// could fill the log.
#[must_use]
pub const fn was_granted(reason: Reason) -> bool {
    matches!(reason, Reason::GrantExpired | Reason::GrantRevoked)
}

/// Why a key may not make a call.
#[derive(Debug, Error)]
pub enum AdmissionError {
    /// A rule says no.
    #[error("{}", .0.english())]
    Refused(Reason),
    /// The state of its grant cannot be read.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
}

/// What a key is in one published state, at this moment.
///
/// # Errors
/// [`AdmissionError::Refused`] when it is neither a member's nor that of a till whose grant runs.
pub fn admit(
    snapshot: &Snapshot,
    key: &PublicKey,
    now: UnixMillis,
) -> Result<Admission, AdmissionError> {
    if let Some(admission) = member(snapshot.roster(), key) {
        return Ok(admission);
    }
    let grant = snapshot.grant(key)?;
    let device = match grant {
        Some(GrantState::Session { device, .. }) => snapshot.grant(&device)?,
        _ => None,
    };
    granted(grant, device, now).map_err(AdmissionError::Refused)
}

/// Whether one who was admitted may make calls of this access.
///
/// # Errors
/// [`Reason::KindNotAllowed`] when the role is another.
pub fn allow(access: Access, admission: Admission) -> Result<(), Reason> {
    let allowed = match (access, admission) {
        (Access::Anyone | Access::Admitted, _)
        | (Access::Recorded, Admission::Till | Admission::Member(_))
        | (Access::TillOrPayer | Access::RecordedTill, Admission::Till)
        | (Access::Member, Admission::Member(_)) => true,
        (Access::Member, Admission::Till)
        | (Access::RecordedTill, Admission::Member(_))
        | (
            Access::Recorded | Access::RecordedTill | Access::TillOrPayer | Access::Member,
            Admission::Device,
        ) => false,
        (Access::TillOrPayer, Admission::Member(role)) => role.pays(),
    };
    allowed.then_some(()).ok_or(Reason::KindNotAllowed)
}

fn member(roster: &Roster, key: &PublicKey) -> Option<Admission> {
    roster
        .member_by_key(key)
        .map(|member| Admission::Member(member.role))
}

/// What a key is by its grant, and by that of its device if it is a session's: a session is
/// admitted only while its device is enrolled.
fn granted(
    grant: Option<GrantState>,
    device: Option<GrantState>,
    now: UnixMillis,
) -> Result<Admission, Reason> {
    let (expires_at, admission) = match grant {
        Some(GrantState::Active { expires_at, .. }) => (expires_at, Admission::Till),
        Some(GrantState::Device { expires_at, .. }) => (expires_at, Admission::Device),
        Some(GrantState::Session { expires_at, .. }) => match device {
            Some(GrantState::Device {
                expires_at: enrolled_until,
                ..
            }) => (expires_at.min(enrolled_until), Admission::Till),
            Some(GrantState::Revoked { .. }) => return Err(Reason::GrantRevoked),
            _ => return Err(Reason::IssuerUnknown),
        },
        Some(GrantState::Revoked { .. }) => return Err(Reason::GrantRevoked),
        None => return Err(Reason::IssuerUnknown),
    };
    (now < expires_at)
        .then_some(admission)
        .ok_or(Reason::GrantExpired)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;
    use prost_types::FileDescriptorSet;
    use proto::ids::LeafIndex;
    use proto::wire::DESCRIPTORS;

    use super::*;

    #[test]
    fn every_method_of_the_schema_is_listed_and_no_other() {
        let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
        let services = files.iter().flat_map(|file| {
            file.service
                .iter()
                .map(|service| (file.package().to_owned(), service))
        });
        let schema: BTreeSet<String> = services
            .flat_map(|(package, service)| {
                let path = format!("/{package}.{}/", service.name());
                service
                    .method
                    .iter()
                    .map(move |method| format!("{path}{}", method.name()))
            })
            .collect();
        let listed: BTreeSet<String> = METHODS.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(listed, schema);
        assert_eq!(METHODS.len(), listed.len());
    }

    #[test]
    fn a_method_that_is_not_listed_is_not_found() {
        assert_eq!(method("/vitrail.v1.LedgerService/Erase"), None);
        assert_eq!(method("/vitrail.v1.LedgerService/append"), None);
    }

    #[test]
    fn a_grant_admits_until_the_moment_it_names() {
        let grant = GrantState::Active {
            expires_at: UnixMillis::new(10),
            by: LeafIndex::new(3),
        };
        assert_eq!(
            granted(Some(grant), None, UnixMillis::new(9)),
            Ok(Admission::Till)
        );
        assert_eq!(
            granted(Some(grant), None, UnixMillis::new(10)),
            Err(Reason::GrantExpired)
        );
        let revoked = GrantState::Revoked {
            by: LeafIndex::new(4),
        };
        assert_eq!(
            granted(Some(revoked), None, UnixMillis::new(9)),
            Err(Reason::GrantRevoked)
        );
        assert_eq!(
            granted(None, None, UnixMillis::new(9)),
            Err(Reason::IssuerUnknown)
        );
    }

    #[test]
    fn no_till_asks_what_nodes_ask_of_each_other() {
        assert!(allow(Access::Member, Admission::Till).is_err());
        assert!(allow(Access::Member, Admission::Member(Role::Federation)).is_ok());
    }

    #[test]
    fn only_tills_ask_for_coverages() {
        let access = Access::RecordedTill;
        assert!(allow(access, Admission::Till).is_ok() && access.is_recorded());
        assert!(allow(access, Admission::Device).is_err());
        assert!(allow(access, Admission::Member(Role::Amc)).is_err());
    }

    #[test]
    fn an_optician_federation_evaluates_no_tokens() {
        let federation = Admission::Member(Role::Federation);
        assert_eq!(
            allow(Access::TillOrPayer, federation),
            Err(Reason::KindNotAllowed)
        );
        assert_eq!(allow(Access::Admitted, federation), Ok(()));
        for admission in [Admission::Till, Admission::Member(Role::Amc)] {
            assert_eq!(allow(Access::TillOrPayer, admission), Ok(()));
        }
    }
}
