//! What several test programs share. Nothing imports this package.
//!
//! A scenario runs against a real node: the `vitrail-node` binary, with its own folder on a real
//! disk, reached over TLS as a till or a member reaches it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what cannot be set up fails the scenario that wanted it"
)]

pub mod source;

pub mod binary;

pub mod process;

pub mod disk;

pub mod bytes;

pub mod agent;

pub mod answers;

pub mod false_voter;

pub mod federation;

pub mod machine;
pub mod nodes;
pub mod packages;
pub mod payers;

pub mod liar;

pub mod line;

pub mod shifted;

pub mod workload;

pub mod planted;

pub mod memory_log;

pub mod wiretap;

pub mod tapped;

pub mod endless;

pub mod world;

pub mod partition;

pub mod linear;
pub mod looks;

pub mod containers;
pub mod contest;

pub mod raw;
pub mod replicated;

pub mod engine_liar;

pub mod soft_token;

pub mod debian;

pub mod prometheus;

pub mod terminal;

pub mod judge;

pub mod browser;
