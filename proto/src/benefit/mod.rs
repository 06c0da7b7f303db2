//! What payers pay: rules per grouped code, limits of a pair, and who pays what of a sale.
//!
//! Till, payer's node and payer's back office run the same [`compute`] over the same [`Terms`],
//! so that a coverage that was signed once gives the same cents everywhere. The rules and their
//! sources are in `docs/benefit.md`.

mod compute;
mod limits;
mod network;
mod plan;
mod product_class;
mod rule;
mod terms;

pub use compute::{Benefit, Item, ItemBenefit, Share, Situation, compute};
pub use limits::{Bracket, Limits, Span};
pub use network::{NETWORKS_BYTES_MAX, NETWORKS_MAX, Networks, NetworksError};
pub use plan::{Plan, PlanDraft, PlanError, PlanKind, PlanName, PlanNameError, PlanRule};
pub use product_class::{ProductClass, class_of};
pub use rule::{Counting, PERCENT_MAX, Percent, PercentError, Rule};
pub use terms::{
    NETWORK_NAME_BYTES_MAX, NetworkName, NetworkNameError, NetworkRule, Period, RENEWAL_MONTHS_MAX,
    RenewalMonths, Terms, renewal_months,
};
