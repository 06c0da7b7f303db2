//! The pages in a real browser: of a node, of the counter, of a receipt, of an audit and its evidence.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a scenario fails where it stands"
)]

mod audit;
mod live;
mod recu;
