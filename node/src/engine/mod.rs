//! The ordering engine of a federation, and all that knows which one it is.
//!
//! The engine is openraft. It keeps one replicated log of records: batches of the ledger, changes
//! of who votes, and the blank records that a new leader begins with. What it needs to be durable
//! lies in the store of the ledger ([`crate::store`]), in a byte form of our own ([`record`]), so
//! that another engine could take over the same files.
//!
//! ```text
//! Engine (Orderer) -> openraft -> network -> gate of another member -> openraft -> log_store
//!                             \-> machine -> sequencer: checked, cosigned, certified, applied
//! ```
//!
//! The engine gives availability, and no loss when nodes crash. That nobody lies is not its
//! promise: each member checks batches and roots for itself.

mod catching_up;
mod distrust;
mod gate;
mod leadership;
mod log_store;
mod machine;
mod mandate;
mod message;
mod network;
pub mod record;
mod refused;
mod running;
mod runtime;
mod tail;
mod type_config;
mod unapplied;

pub use self::gate::GateError;
pub use self::log_store::DiskWork;
pub use self::message::Manifest;
pub use self::running::{Engine, EngineError, NotReady, Own};
pub use self::unapplied::unapplied;

pub use self::type_config::{
    Applied, CommittedLeaderId, EngineId, Entry, LeaderId, LogId, Membership, Payload, Record,
    Seat, SnapshotMeta, StoredMembership, TypeConfig, Vote,
};

/// The state of the ledger at one place of the log, as far as the engine moves it: a manifest.
pub(crate) type Snapshot = openraft::storage::Snapshot<CommittedLeaderId, EngineId, Seat, Manifest>;
