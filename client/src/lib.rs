//! What tills, insurers, optician federations and auditors call.
//!
//! A client believes nothing it is answered: every checkpoint, proof and signature is verified
//! against the roster before a value comes out of a function here. Identities go in, and nothing
//! but blinded elements, pseudorandom keys and sealed payloads goes out; an [`Observer`] sees
//! each byte that does.
//!
//! | who | starts at |
//! |---|---|
//! | a till | [`pos::Pos`], [`queue::Queue`], [`device`]; its software at [`agent`]; if it does not work, [`doctor`] |
//! | a payer | [`insurer::Insurer`], [`coverage_file`], [`contracts`], [`office`] |
//! | the CNAM | [`catalogue_file`], [`catalogue`] |
//! | an optician federation | [`federation`] |
//! | whoever looks into an incident | [`incident`] |
//! | an auditor | [`auditor::Auditor`], and what a payer made with [`disclosure`] |
//! | who reads what they found | [`page`] |
//!
//! [`Observer`]: connection::Observer

#[cfg(test)]
mod example;

pub mod failure;

pub mod files;

pub mod system;

pub mod catalogue_file;

pub mod connection;

pub mod nodes;

pub mod contradiction;

mod seen;

mod verified;

pub mod session;

pub mod rosters;

pub mod view;

pub mod tokens;

pub mod lookup;

pub mod disclosure;

pub mod issue;

pub mod receipts;

pub mod erasure;

mod former_keys;

pub mod opened;

pub mod pos;

pub mod queue;

pub mod settlement;

pub mod office;

pub mod coverage_file;

pub mod insurer;

pub mod contracts;

pub mod incident;

pub mod catalogue;

pub mod federation;

pub mod auditor;

pub mod page;

pub mod profile;

pub mod device;

pub mod doctor;

pub mod agent;
