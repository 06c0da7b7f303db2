//! Members that keep one ledger: they order, check and cosign it together, make keys and tokens
//! together, come and go, are cut off, are killed, and lie.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a scenario fails where it stands"
)]

mod ceremony;
mod cosigning;
mod failover;
mod following;
mod head_log;
mod leader_kill;
mod lying_leader;
mod members;
mod partition;
mod replicated;
mod roster_change;
mod threshold;
