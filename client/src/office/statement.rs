//! What a payer answered on one day, by shop: sums to the cent of its settlements.

use std::collections::{BTreeMap, HashMap};

use proto::attestation::{Attestation, SettlementOutcome, SettlementTerms};
use proto::ids::{Cents, CoverageKey, Day, Finess, LeafIndex};

use super::listing::Listing;
use super::matching::Matched;

/// One settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementLine {
    /// The settlement.
    pub settlement: LeafIndex,
    /// The claim.
    pub claim: LeafIndex,
    /// The first delivery of the invoice.
    pub invoice: LeafIndex,
    /// What was answered.
    pub outcome: SettlementOutcome,
    /// The amount; nothing when it was rejected.
    pub amount: Cents,
    /// What the bank statement calls it; may be empty.
    pub reference: String,
}

/// The settlements of one shop.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatementShop {
    /// In the order of the log.
    pub lines: Vec<StatementLine>,
    /// What the payments add up to.
    pub paid: Cents,
    /// What was taken back.
    pub recovered: Cents,
    /// How many were rejected.
    pub rejected: u64,
}

/// The settlements of one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The day, in UTC.
    pub day: Day,
    /// By FINESS; `None` are the shops of tills whose grant was revoked.
    pub shops: BTreeMap<Option<Finess>, StatementShop>,
    /// Settlements that no contract of the file opens: their amounts are missing above.
    pub unread: Vec<LeafIndex>,
}

impl Statement {
    /// What was paid and what was taken back, everywhere.
    #[must_use]
    pub fn totals(&self) -> (Cents, Cents) {
        let none = (Cents::default(), Cents::default());
        self.shops.values().fold(none, |(paid, recovered), shop| {
            (paid.plus(shop.paid), recovered.plus(shop.recovered))
        })
    }
}

/// The statement of a day over a list that has all of it.
#[must_use]
pub fn statement(
    listing: &Listing,
    contracts: &HashMap<CoverageKey, Matched>,
    day: Day,
) -> Statement {
    let mut statement = Statement {
        day,
        shops: BTreeMap::new(),
        unread: Vec::new(),
    };
    for listed in &listing.entries {
        let Attestation::Settlement(settlement) = &listed.says else {
            continue;
        };
        if listed.issued_at.day() != day {
            continue;
        }
        let mut keys = listed.coverages.iter();
        let contract = keys.find_map(|coverage| contracts.get(&coverage.key));
        let opened = contract.and_then(|contract| listed.open(&contract.secret));
        let terms = opened.and_then(|opened| SettlementTerms::from_bytes(opened.as_bytes()).ok());
        let Some(terms) = terms else {
            statement.unread.push(listed.index);
            continue;
        };
        let shop = statement.shops.entry(listed.shop).or_default();
        shop.take(StatementLine {
            settlement: listed.index,
            claim: settlement.claim,
            invoice: settlement.invoice,
            outcome: settlement.outcome,
            amount: terms.amount,
            reference: terms.reference,
        });
    }
    statement
}

impl StatementShop {
    fn take(&mut self, line: StatementLine) {
        match line.outcome {
            SettlementOutcome::Paid => self.paid = self.paid.plus(line.amount),
            SettlementOutcome::Recovered(_) => self.recovered = self.recovered.plus(line.amount),
            SettlementOutcome::Rejected(_) => self.rejected += 1,
        }
        self.lines.push(line);
    }
}
