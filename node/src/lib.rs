//! One member's server: the ledger, its store, and the services at its edge.
//!
//! Data flows one way: an append comes in at `service`, is admitted by `admission`, waits for
//! `sequencer`, is ordered by `order`, decided by `ledger`, made durable by `store`, cosigned by
//! `witness`, and is from then on part of every [`snapshot`] that answers are proved from. A member
//! without a vote has the same ledger by `follow`, which replays what the voting ones decided.

pub mod access;
pub mod admission;
pub mod backup;
pub mod blocking;
pub mod ceremony;
pub mod clock;
pub mod command;
pub mod config;
pub mod cosigning;
pub mod coverage;
pub mod demo;
pub mod engine;
pub mod evaluator;
#[cfg(test)]
mod example;
pub mod fitness;
pub mod follow;
pub mod head_log;
pub mod http;
pub mod init;
pub mod join;
pub mod ledger;
pub mod metrics;
pub mod next_key;
pub mod order;
pub mod overview;
pub mod peer;
pub mod presence;
pub mod protection;
pub mod quota;
pub mod rebuild;
pub mod recall;
pub mod reseal;
pub mod restore;
pub mod roster_change;
pub mod secret_file;
pub mod sequencer;
pub mod server;
pub mod service;
pub mod service_manager;
#[cfg(test)]
mod simulation;
pub mod snapshot;
pub mod sources;
pub mod standing;
pub mod status;
pub mod store;
pub mod tls;
pub mod witness;
