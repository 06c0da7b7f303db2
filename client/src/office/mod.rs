//! The payer's back office: what rests on its coverages, whether it is right, and what it answers.
//!
//! ```text
//! list      entries of own claims, each verified          (listing)
//! match     with the own contracts file, by coverage key  (matching)
//! book      one record a claim: state, codes, amounts     (book)
//! check     slot keys, amounts, dates, invoice            (check)
//! settle    many answers from a file, each exactly once   (settle_file, settling)
//! statement what was paid on a day, by shop               (statement)
//! ```
//!
//! Nothing of it is kept but what `settle` needs to go on after a crash.

mod book;
mod check;
mod foreign;
mod journal;
mod listing;
mod matching;
mod networks;
mod settle_file;
mod settling;
mod statement;

pub use self::book::{BookedClaim, BookedInvoice, ClaimBook};
pub use self::check::{CheckError, KeysFit, check_invoice, check_keys};
pub use self::foreign::{keep as keep_evidence, kept as kept_evidence};
pub use self::journal::{JOURNAL_ENDING, JournalError};
pub use self::listing::{ListError, Listed, Listing, WrongClaim, list};
pub use self::matching::{Matched, match_contracts};
pub use self::networks::{NetworksFileError, read_networks};
pub use self::settle_file::{
    AmountAsked, SETTLE_FILE_BYTES_MAX, SettleFile, SettleFileError, SettleLineError, SettleRow,
    SkippedSettlement, read_settle_file,
};
pub use self::settling::{LineFailure, Settled, SettledLine, SettlingError, settle_all};
pub use self::statement::{Statement, StatementLine, StatementShop, statement};
