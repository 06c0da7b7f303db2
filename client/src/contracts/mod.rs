//! The insurer's own contracts: imported from its list of members, kept as tokens.
//!
//! ```text
//! members.csv -> import -> contracts.txt -> ContractsFile -> ContractRecord
//! ```
//!
//! [`import::import`] is the only thing that ever reads the list of members. What it leaves has
//! the token of each contract, its plan and its rights, and nothing that names a person.

pub mod file;
pub mod import;
pub mod members;
pub mod progress;

pub use proto::contracts::{ContractRecord, ContractsHeader, Reference};

pub use self::file::{ContractsFile, ContractsFileError};
