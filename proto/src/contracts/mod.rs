//! The contracts file: an insurer's contracts as tokens, with plan and rights and nothing that
//! names a person.
//!
//! ```text
//! vitrail contracts v1
//! origin vitrail.example/optique
//! payer 75000001
//! contract-key QgWEBW9tRGiuyc/6RdyXCmTgorNQEMxAHRjEr46qWCA=
//! day 2026-11-22
//! BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=;CONFORT-2;2026-01-01;2026-12-31;;2031-04;c/00017
//! end 1
//! ```
//!
//! Whoever holds a contract token finds that contract's coverages and claims in the ledger. A file
//! without its last line is not whole.

mod reader;
mod record;

pub use self::reader::{
    ContractsError, ContractsHeader, ContractsReader, HEADER_LINES, LINE_BYTES_MAX, Line, end_line,
};
pub use self::record::{
    AGES, ContractRecord, FieldError, REFERENCE_BYTES_MAX, Reference, is_member_number,
    months_to_come, plan_name,
};
