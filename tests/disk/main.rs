//! What is on the disk, when the power goes, the process is killed, the disk is full or its bytes change;
//! what comes back from a backup, and what is erased for good.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a scenario fails where it stands"
)]

mod backup;
mod disk_full;
mod erasure;
mod flips;
mod kill;
mod powercut;
