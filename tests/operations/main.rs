//! What an operator installs, starts, asks and watches: programs, packages, units, images, alerts, and
//! what is published with them.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a scenario fails where it stands"
)]

mod boot;
mod check_perf;
mod container;
mod demo;
mod dependencies;
mod deployment;
mod doctor;
mod observability;
mod package;
mod schema;
mod service_manager;
mod terminal;
