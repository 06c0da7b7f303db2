//! One member's server: the ledger, its store, and the services at its edge.
//!
//! Data flows one way: an append comes in at `service`, is admitted by `admission`, waits for
//! `sequencer`, is ordered by `order`, decided by `ledger`, made durable by `store`, cosigned by
//! `witness`, and is from then on part of every [`snapshot`] that answers are proved from.

pub mod clock;
#[cfg(test)]
mod example;
pub mod ledger;
pub mod order;
pub mod sequencer;
pub mod snapshot;
pub mod store;
pub mod witness;
