//! A payer's own contracts and plans, and the signed coverages that are made from them on demand.
//!
//! ```text
//! plans.toml, or plans.csv -> Plans     \
//! contracts.txt            -> Contracts  -> Book -> Commitment -> Quoter -> coverage entry -> ledger
//! ```
//!
//! Nothing of it is an argument of `decide`: the ledger keeps what a payer signed, and the payer
//! alone knows why. The files hold tokens, plans and rights, and nothing that names a person.

mod book;
mod contracts;
mod plans;
mod quoter;
mod reload;
#[cfg(test)]
mod tests;

pub use self::book::{Book, BookError, Commitment, Opinion, Sources};
pub use self::contracts::{CONTRACTS_MAX, Contracts, ContractsLoadError};
pub use self::plans::{PLANS_BYTES_MAX, PLANS_MAX, Plans, PlansError, PlansForm};
pub use self::quoter::{COVERAGE_VALID_DAYS, QuoteError, Quoter, REUSE_DAYS_MIN};
pub use self::reload::{RELOAD_PAUSE, Watched, reload};
