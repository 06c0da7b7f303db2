//! The type configuration of the engine: who its nodes are, and what its log carries.

use std::fmt;

use bytes::Bytes;
use openraft::impls::leader_id_std;
use openraft::vote::RaftLeaderId;
use proto::ids::MemberName;

/// One life of one member's data folder. It is drawn at random when the folder begins, so that a
/// member whose disk was wiped never returns under an identity that had already voted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EngineId(u64);

impl EngineId {
    /// The life with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// A new life. Two of a hundred members draw the same once in 2^51 federations.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub fn draw() -> Result<Self, getrandom::Error> {
        getrandom::u64().map(Self)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl From<u64> for EngineId {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl fmt::Display for EngineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Whose life an [`EngineId`] is. Where that member is reached, the roster says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seat {
    /// The member.
    pub member: MemberName,
}

/// For the engine's own test suite, which makes memberships of numbers alone.
#[cfg(test)]
impl Default for Seat {
    fn default() -> Self {
        let member = "member".parse().unwrap();
        Self { member }
    }
}

/// What one batch is to the engine: bytes, shared by all who hold them, that never print.
#[derive(Clone, PartialEq, Eq)]
pub struct Record(Bytes);

impl Record {
    /// A record of these bytes. Whether they are too many is checked where they are written and
    /// read ([`RECORD_BYTES_MAX`](super::record::RECORD_BYTES_MAX)).
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} bytes)", self.0.len())
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

openraft::declare_raft_types!(
    /// One leader a term, as in the paper; terms are u64; tokio runs it.
    pub TypeConfig:
        D = Record,
        R = (),
        NodeId = EngineId,
        Node = Seat,
        Term = u64,
        LeaderId = LeaderId,
);

/// A candidate or leader: its term and its life.
pub type LeaderId = leader_id_std::LeaderId<u64, EngineId>;
/// A leader that a majority voted for: there is one a term, so the term says it.
pub type CommittedLeaderId = <LeaderId as RaftLeaderId>::Committed;
/// The place of a record: the term of the leader that proposed it, and its index.
pub type LogId = openraft::LogId<CommittedLeaderId>;
/// Whom this node voted for, and whether a majority did.
pub type Vote = openraft::impls::Vote<LeaderId>;
/// What a record of the engine's log carries.
pub type Payload = openraft::EntryPayload<Record, EngineId, Seat>;
/// A record of the engine's log.
pub type Entry = openraft::Entry<CommittedLeaderId, Payload>;
/// Who votes and who only follows.
pub type Membership = openraft::Membership<EngineId, Seat>;
/// A membership and the record that put it in force.
pub type StoredMembership = openraft::StoredMembership<CommittedLeaderId, EngineId, Seat>;
/// Up to where a snapshot reaches, and the membership there.
pub type SnapshotMeta = openraft::storage::SnapshotMeta<CommittedLeaderId, EngineId, Seat>;

/// How far the state machine has come: the last applied record, and the membership in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// The last record that was applied.
    pub log_id: Option<LogId>,
    /// The membership in force.
    pub membership: StoredMembership,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_prints_its_length_alone() {
        let record = Record::new(vec![b'x'; 3]);
        assert_eq!(format!("{record} {record:?}"), "3 bytes Record(3 bytes)");
        let entry = Entry {
            log_id: LogId::new(CommittedLeaderId::new(2), 5),
            payload: Payload::Normal(record),
        };
        assert!(!format!("{entry} {entry:?}").contains("xxx"));
    }
}
