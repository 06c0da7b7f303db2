//! Third-party payment between tills and payers, from coverage to settlement: what tills ask and claim,
//! what payers answer, see and pay, and what both keep of it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a scenario fails where it stands"
)]

mod after_rotation;
mod agent;
mod catalogue;
mod clients;
mod contracts;
mod disclosure;
mod histories;
mod insurers;
mod lanes;
mod lifecycle;
mod office;
mod one_slot;
mod payer;
mod queue;
mod quote;
mod receipts;
mod schemathesis;
mod sessions;
