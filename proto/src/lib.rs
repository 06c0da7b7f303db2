//! The Vitrail protocol: what is hashed, signed, sealed, sent and proved.
//!
//! No socket, no file, no clock and no global randomness in here: time, random bytes and stored
//! data are arguments. A module imports only modules declared above it.

pub mod ids;

pub mod hash;

pub mod signing;

pub mod certificate;

pub mod identity;

pub mod lpp;

pub mod merkle;

pub mod tile;

pub mod map;

pub mod oprf;

pub mod dkg;

pub mod token;

pub mod incident;

pub mod at_rest;

pub mod note;

pub mod roster;

pub mod checkpoint;

pub mod head_log;

pub mod follower;

mod signed_bytes;

pub mod entry;

pub mod batch;

pub mod ballot;

pub mod seal;

pub mod refusal;

pub mod renewal;

pub mod benefit;

pub mod contracts;

pub mod attestation;

pub mod receipt;

pub mod lineage;

pub mod disclosure;

pub mod foreign_slots;

pub mod evidence;

pub mod wire;
