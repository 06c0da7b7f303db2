//! The bytes of what the engine says and stores: records, votes, places, memberships.
//!
//! They are the same on the disk and between members, and they name nothing of the engine's own,
//! so that another engine reads what this one wrote. Numbers are big-endian.
//!
//! ```text
//! record      version 1 byte; kind 1 byte; log id; content
//!   kind 0    blank: no content
//!   kind 1    batch: all bytes that follow, at most 1 MiB
//!   kind 2    membership
//! log id      term 8 bytes; index 8 bytes
//! vote        version 1 byte; term 8 bytes; engine id 8 bytes; granted by a majority 1 byte, 0 or 1
//! applied     version 1 byte; optional log id; optional log id of the membership; membership
//! optional    0, or 1 and the value
//! membership  sets of voters 1 byte, at most 2; of each: how many 1 byte, engine ids of 8 bytes
//!             seats 1 byte; of each: engine id 8 bytes; length 1 byte, name of the member
//! ```
//!
//! Engine ids ascend, in each set and over the seats; no set is empty; every voter has a seat. So
//! each value has one spelling, and what reads back writes the same bytes.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proto::ids::MemberName;
use proto::roster::MEMBERS_MAX;
use thiserror::Error;

use super::type_config::{
    Applied, CommittedLeaderId, EngineId, Entry, LeaderId, LogId, Membership, Payload, Record,
    Seat, SnapshotMeta, StoredMembership, Vote,
};

/// The version that this code writes and reads.
pub const RECORD_VERSION: u8 = 1;
/// Longest content of a batch: four times what a batch collects, for its payloads and signatures.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Version, kind and log id of a record.
pub const RECORD_HEADER_BYTES: usize = 18;
/// Sets of voters while one replaces another: the old and the new (Raft, section 6).
pub const VOTER_SETS_MAX: usize = 2;
/// Seats of a membership: each member's life, and for some the one that follows it.
pub const SEATS_MAX: usize = 2 * MEMBERS_MAX;
/// Length of a vote.
pub const VOTE_BYTES: usize = 18;
/// Length of a log id.
pub const LOG_ID_BYTES: usize = 16;

const BLANK: u8 = 0;
const BATCH: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// Why bytes are not what they should be, or a value cannot be written. Nothing is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// They end too early.
    #[error("{field} is cut off")]
    Cut {
        /// What is cut off.
        field: &'static str,
    },
    /// More follows where the value ends.
    #[error("{got} bytes follow the end")]
    Surplus {
        /// How many.
        got: usize,
    },
    /// It was written by another version.
    #[error("the version is {got}, this program reads {RECORD_VERSION}")]
    Version {
        /// Its version.
        got: u8,
    },
    /// A byte that says what follows says something else.
    #[error("{field} cannot be {got}")]
    Unknown {
        /// Which byte.
        field: &'static str,
        /// What it is.
        got: u8,
    },
    /// There is more of something than there may be.
    #[error("{field}: at most {max}, there are {got}")]
    TooMany {
        /// Of what.
        field: &'static str,
        /// How many there are.
        got: usize,
        /// How many there may be.
        max: usize,
    },
    /// Engine ids do not ascend.
    #[error("{field} do not ascend")]
    Order {
        /// Which ones.
        field: &'static str,
    },
    /// A set of voters is empty, or a voter has no seat.
    #[error("a set of voters is empty, or a voter has no seat")]
    Voters,
    /// The name of a seat is no member name.
    #[error("a seat has no member name")]
    MemberName,
}

/// The bytes of a record.
///
/// # Errors
/// [`RecordError::TooMany`]: the batch or the membership is larger than may be.
pub fn record_to_bytes(entry: &Entry) -> Result<Vec<u8>, RecordError> {
    let mut bytes = vec![RECORD_VERSION];
    match &entry.payload {
        Payload::Blank => {
            bytes.push(BLANK);
            put_log_id(&mut bytes, &entry.log_id);
        }
        Payload::Normal(record) => {
            at_most("bytes of a batch", record.bytes().len(), RECORD_BYTES_MAX)?;
            bytes.reserve_exact(RECORD_HEADER_BYTES + record.bytes().len());
            bytes.push(BATCH);
            put_log_id(&mut bytes, &entry.log_id);
            bytes.extend_from_slice(record.bytes());
        }
        Payload::Membership(membership) => {
            bytes.push(MEMBERSHIP);
            put_log_id(&mut bytes, &entry.log_id);
            put_membership(&mut bytes, membership)?;
        }
    }
    Ok(bytes)
}

/// Reads what [`record_to_bytes`] writes. A batch shares the bytes it was read from.
///
/// # Errors
/// [`RecordError`], the first thing that is not so.
pub fn record_from_bytes(bytes: &Bytes) -> Result<Entry, RecordError> {
    let mut reader = Reader::versioned(bytes)?;
    let kind = reader.byte("kind")?;
    let log_id = reader.log_id()?;
    let payload = match kind {
        BLANK => Payload::Blank,
        BATCH => {
            let content = reader.rest();
            at_most("bytes of a batch", content.len(), RECORD_BYTES_MAX)?;
            Payload::Normal(Record::new(bytes.slice_ref(content)))
        }
        MEMBERSHIP => Payload::Membership(reader.membership()?),
        got => return Err(RecordError::Unknown { field: "kind", got }),
    };
    reader.end()?;
    Ok(Entry { log_id, payload })
}

/// The bytes of a vote.
#[must_use]
pub fn vote_to_bytes(vote: &Vote) -> Vec<u8> {
    let mut bytes = vec![RECORD_VERSION];
    bytes.extend(vote.leader_id.term.to_be_bytes());
    bytes.extend(vote.leader_id.voted_for.get().to_be_bytes());
    bytes.push(vote.committed.into());
    bytes
}

/// Reads what [`vote_to_bytes`] writes.
///
/// # Errors
/// [`RecordError`], the first thing that is not so.
pub fn vote_from_bytes(bytes: &[u8]) -> Result<Vote, RecordError> {
    let mut reader = Reader::versioned(bytes)?;
    let term = reader.number("term")?;
    let voted_for = EngineId::new(reader.number("engine id")?);
    let committed = reader.flag("vote")?;
    reader.end()?;
    let leader_id = LeaderId { term, voted_for };
    Ok(Vote {
        leader_id,
        committed,
    })
}

/// The bytes of a place in the log.
#[must_use]
pub fn log_id_to_bytes(log_id: &LogId) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LOG_ID_BYTES);
    put_log_id(&mut bytes, log_id);
    bytes
}

/// Reads what [`log_id_to_bytes`] writes.
///
/// # Errors
/// [`RecordError`], the first thing that is not so.
pub fn log_id_from_bytes(bytes: &[u8]) -> Result<LogId, RecordError> {
    let mut reader = Reader(bytes);
    let log_id = reader.log_id()?;
    reader.end()?;
    Ok(log_id)
}

/// The bytes of how far the state machine has come, which also say up to where a snapshot reaches.
///
/// # Errors
/// [`RecordError::TooMany`]: the membership is larger than may be.
pub fn applied_to_bytes(applied: &Applied) -> Result<Vec<u8>, RecordError> {
    let mut bytes = vec![RECORD_VERSION];
    put_optional_log_id(&mut bytes, applied.log_id.as_ref());
    put_optional_log_id(&mut bytes, applied.membership.log_id().as_ref());
    put_membership(&mut bytes, applied.membership.membership())?;
    Ok(bytes)
}

/// Reads what [`applied_to_bytes`] writes.
///
/// # Errors
/// [`RecordError`], the first thing that is not so.
pub fn applied_from_bytes(bytes: &[u8]) -> Result<Applied, RecordError> {
    let mut reader = Reader::versioned(bytes)?;
    let log_id = reader.optional_log_id()?;
    let since = reader.optional_log_id()?;
    let membership = StoredMembership::new(since, reader.membership()?);
    reader.end()?;
    Ok(Applied { log_id, membership })
}

impl From<&SnapshotMeta> for Applied {
    fn from(meta: &SnapshotMeta) -> Self {
        Self {
            log_id: meta.last_log_id,
            membership: meta.last_membership.clone(),
        }
    }
}

impl From<Applied> for SnapshotMeta {
    fn from(applied: Applied) -> Self {
        Self {
            last_log_id: applied.log_id,
            last_membership: applied.membership,
        }
    }
}

/// Appends a place in the log.
pub(crate) fn put_log_id(bytes: &mut Vec<u8>, log_id: &LogId) {
    bytes.extend(log_id.leader_id.term.to_be_bytes());
    bytes.extend(log_id.index.to_be_bytes());
}

/// Appends a place in the log that there may not be.
pub(crate) fn put_optional_log_id(bytes: &mut Vec<u8>, log_id: Option<&LogId>) {
    bytes.push(log_id.is_some().into());
    if let Some(log_id) = log_id {
        put_log_id(bytes, log_id);
    }
}

fn put_membership(bytes: &mut Vec<u8>, membership: &Membership) -> Result<(), RecordError> {
    let sets = membership.get_joint_config();
    let seats: BTreeMap<_, _> = membership.nodes().collect();
    bytes.push(count("sets of voters", sets.len(), VOTER_SETS_MAX)?);
    for voters in sets {
        bytes.push(count("voters", voters.len(), SEATS_MAX)?);
        for id in voters {
            bytes.extend(id.get().to_be_bytes());
        }
    }
    bytes.push(count("seats", seats.len(), SEATS_MAX)?);
    for (id, seat) in seats {
        let name = seat.member.as_str().as_bytes();
        bytes.extend(id.get().to_be_bytes());
        bytes.push(count("bytes of a name", name.len(), u8::MAX.into())?);
        bytes.extend(name);
    }
    Ok(())
}

/// A number of things that fits one byte.
fn count(field: &'static str, got: usize, max: usize) -> Result<u8, RecordError> {
    at_most(field, got, max)?;
    u8::try_from(got).map_err(|_| RecordError::TooMany { field, got, max })
}

const fn at_most(field: &'static str, got: usize, max: usize) -> Result<(), RecordError> {
    if got > max {
        return Err(RecordError::TooMany { field, got, max });
    }
    Ok(())
}

/// What is left to read.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// What follows the version byte.
    pub(crate) fn versioned(bytes: &'a [u8]) -> Result<Self, RecordError> {
        let mut reader = Self(bytes);
        match reader.byte("version")? {
            RECORD_VERSION => Ok(reader),
            got => Err(RecordError::Version { got }),
        }
    }

    /// The next so many bytes.
    pub(crate) fn array<const N: usize>(
        &mut self,
        field: &'static str,
    ) -> Result<[u8; N], RecordError> {
        let (read, rest) = self
            .0
            .split_first_chunk()
            .ok_or(RecordError::Cut { field })?;
        self.0 = rest;
        Ok(*read)
    }

    /// The next number.
    pub(crate) fn number(&mut self, field: &'static str) -> Result<u64, RecordError> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// The next byte, which is 0 or 1.
    pub(crate) fn flag(&mut self, field: &'static str) -> Result<bool, RecordError> {
        match self.byte(field)? {
            0 => Ok(false),
            1 => Ok(true),
            got => Err(RecordError::Unknown { field, got }),
        }
    }

    /// The next place in the log.
    pub(crate) fn log_id(&mut self) -> Result<LogId, RecordError> {
        let term = self.number("term")?;
        let index = self.number("index")?;
        Ok(LogId::new(CommittedLeaderId::new(term), index))
    }

    /// The next place in the log, if there is one.
    pub(crate) fn optional_log_id(&mut self) -> Result<Option<LogId>, RecordError> {
        let there = self.flag("log id")?;
        there.then(|| self.log_id()).transpose()
    }

    /// Nothing is left.
    pub(crate) const fn end(&self) -> Result<(), RecordError> {
        match self.0.len() {
            0 => Ok(()),
            got => Err(RecordError::Surplus { got }),
        }
    }

    fn byte(&mut self, field: &'static str) -> Result<u8, RecordError> {
        self.array(field).map(|[byte]| byte)
    }

    const fn rest(&mut self) -> &'a [u8] {
        let rest = self.0;
        self.0 = &[];
        rest
    }

    fn count(&mut self, field: &'static str, max: usize) -> Result<usize, RecordError> {
        let got = usize::from(self.byte(field)?);
        at_most(field, got, max)?;
        Ok(got)
    }

    fn membership(&mut self) -> Result<Membership, RecordError> {
        let sets = self.count("sets of voters", VOTER_SETS_MAX)?;
        let sets: Vec<_> = (0..sets).map(|_| self.voters()).collect::<Result<_, _>>()?;
        let mut seats = BTreeMap::new();
        for _ in 0..self.count("seats", SEATS_MAX)? {
            let id = EngineId::new(self.number("engine id")?);
            let member = self.member_name()?;
            if seats.last_key_value().is_some_and(|(last, _)| *last >= id) {
                return Err(RecordError::Order { field: "seats" });
            }
            seats.insert(id, Seat { member });
        }
        Membership::new(sets, seats).map_err(|_| RecordError::Voters)
    }

    fn voters(&mut self) -> Result<BTreeSet<EngineId>, RecordError> {
        let mut voters = BTreeSet::new();
        for _ in 0..self.count("voters", SEATS_MAX)? {
            let id = EngineId::new(self.number("engine id")?);
            if voters.last().is_some_and(|last| *last >= id) {
                return Err(RecordError::Order { field: "voters" });
            }
            voters.insert(id);
        }
        Ok(voters)
    }

    fn member_name(&mut self) -> Result<MemberName, RecordError> {
        let field = "member name";
        let length = usize::from(self.byte(field)?);
        let (name, rest) = self
            .0
            .split_at_checked(length)
            .ok_or(RecordError::Cut { field })?;
        self.0 = rest;
        let name = std::str::from_utf8(name).map_err(|_| RecordError::MemberName)?;
        name.parse().map_err(|_| RecordError::MemberName)
    }
}

#[cfg(test)]
mod tests;
