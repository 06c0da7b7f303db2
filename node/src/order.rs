//! Who decides the order of batches: the one door to the replicated engine.
//!
//! A leader hands a record over; every member gets each record back once it has its place, the
//! leader too. A federation of one voting member has an engine of one, and nothing after this
//! point knows the difference.

use std::fmt;

use bytes::Bytes;
use proto::ids::MemberName;
use tokio::sync::watch;

/// Whose turn it is to propose batches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Leadership {
    /// Nobody is known to lead.
    #[default]
    Nobody,
    /// This node leads in this term, and has every record of the terms before.
    Own {
        /// The term.
        term: u64,
    },
    /// Another member leads.
    Member(MemberName),
}

/// Told when a record was not ordered as far as this node knows. It may be ordered all the same.
pub type Lost = Box<dyn FnOnce() + Send>;

/// Puts records in an order that every member keeps.
pub trait Orderer: Send + Sync + fmt::Debug {
    /// Whose turn it is.
    fn leadership(&self) -> watch::Receiver<Leadership>;

    /// Hands over a record of this term. It comes back to the sequencer once it has its place,
    /// or `lost` is called, or both.
    fn propose(&self, term: u64, record: Bytes, lost: Lost);
}
