//! The ordering engine of a federation, and all that knows which one it is.
//!
//! The engine is openraft. It keeps one replicated log of records: batches of the ledger, changes
//! of who votes, and the blank records that a new leader begins with. What it needs to be durable
//! lies in the store of the ledger ([`crate::store`]), in a byte form of our own ([`record`]), so
//! that another engine could take over the same files.
//!
//! The engine gives availability, and no loss when nodes crash. That nobody lies is not its
//! promise: each member checks batches and roots for itself.

mod log_store;
pub mod record;
mod tail;
mod type_config;

pub use self::log_store::{DiskWork, LogReader, LogStore};
pub use self::type_config::{
    Applied, CommittedLeaderId, EngineId, Entry, LeaderId, LogId, Membership, Payload, Record,
    Seat, SnapshotMeta, StoredMembership, TypeConfig, Vote,
};
