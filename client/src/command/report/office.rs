//! What the payer's back office answers: claims, settlements, statements.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use client::office::{
    BookedClaim, BookedInvoice, ClaimBook, KeysFit, Settled, SettledLine, SkippedSettlement,
    Statement, StatementLine,
};
use proto::attestation::ClaimTerms;
use proto::ids::{Cents, TreeSize};
use schemars::JsonSchema;
use serde::Serialize;

use super::life::stage_word;
use super::{ProblemReport, Report, to_json};

/// One invoice of a claim.
#[derive(Debug, Serialize, JsonSchema)]
struct InvoiceReport {
    invoice: u64,
    /// The delivery that is to be settled.
    newest: u64,
    delivered_on: String,
    grouped_codes: Vec<&'static str>,
    /// What is asked of this payer, in cents; `None` when it does not open.
    amount: Option<u64>,
    stage: &'static str,
    correctable: Option<bool>,
    reason: Option<&'static str>,
    settlement: Option<u64>,
    /// What the own settlement says, in cents.
    settled: Option<u64>,
}

/// One claim.
#[derive(Debug, Serialize, JsonSchema)]
struct ClaimedReport {
    claim: u64,
    issued_at: String,
    /// The FINESS number of the shop; `None` once its till was revoked.
    finess: Option<String>,
    state: &'static str,
    until: String,
    /// The insurer's own reference of the contract, if it gave one.
    reference: Option<String>,
    /// Line of the contract in the contracts file; `None` when no contract fits.
    line: Option<u64>,
    grouped_codes: Vec<&'static str>,
    /// What was claimed of this payer, in cents; `None` when it does not open.
    amount: Option<u64>,
    invoices: Vec<InvoiceReport>,
}

/// What `claims list` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct ClaimsReport {
    claims: Vec<ClaimedReport>,
    /// Entries of claims from before the beginning of the list.
    earlier: u64,
    /// Claims that no contract of the file fits.
    unmatched: usize,
    /// The size of the log that was read to its end.
    size: u64,
}

impl ClaimsReport {
    pub(in crate::command) fn new(book: &ClaimBook, size: TreeSize) -> Self {
        let unmatched = book.claims.iter().filter(|claim| claim.contract.is_none());
        Self {
            claims: book.claims.iter().map(ClaimedReport::new).collect(),
            earlier: book.earlier,
            unmatched: unmatched.count(),
            size: size.get(),
        }
    }
}

impl ClaimedReport {
    fn new(claim: &BookedClaim) -> Self {
        let contract = claim.contract.as_ref();
        let reference = contract.and_then(|contract| contract.reference.as_ref());
        Self {
            claim: claim.index.get(),
            issued_at: claim.issued_at.to_iso(),
            finess: claim.shop.map(|shop| shop.to_string()),
            state: claim.state.as_str(),
            until: claim.until.to_iso(),
            reference: reference.map(|reference| reference.as_str().to_owned()),
            line: contract.map(|contract| contract.line),
            grouped_codes: codes(claim.terms.as_ref()),
            amount: claim.terms.as_ref().map(sum),
            invoices: claim.invoices.iter().map(InvoiceReport::new).collect(),
        }
    }

    fn text(&self) -> String {
        let Self {
            claim,
            state,
            issued_at,
            ..
        } = self;
        let finess = self.finess.as_deref().unwrap_or("-");
        let mut text = format!("claim {claim}  {state}  {issued_at}  shop {finess}");
        if let Some(reference) = &self.reference {
            let _ = write!(text, "  contract {reference}");
        }
        let amount = euros(self.amount);
        let _ = writeln!(text, "  {}  {amount}", self.grouped_codes.join(" "));
        for invoice in &self.invoices {
            text.push_str(&invoice.text());
        }
        text
    }
}

impl InvoiceReport {
    fn new(invoice: &BookedInvoice) -> Self {
        let (stage, correctable) = stage_word(invoice.stage);
        let settlement = invoice.settlement;
        let reason = settlement.and_then(|settlement| settlement.outcome.reason());
        Self {
            invoice: invoice.first.get(),
            newest: invoice.newest.get(),
            delivered_on: invoice.delivered_on.to_iso(),
            grouped_codes: codes(invoice.terms.as_ref()),
            amount: invoice.invoiced().map(Cents::get),
            stage,
            correctable,
            reason: reason.map(|reason| reason.code()),
            settlement: settlement.map(|settlement| settlement.by.get()),
            settled: invoice.settled.map(Cents::get),
        }
    }

    fn text(&self) -> String {
        let Self {
            invoice,
            newest,
            delivered_on,
            stage,
            ..
        } = self;
        let reason = self.reason.map(|code| format!(" {code}"));
        format!(
            "  invoice {invoice}  delivery {newest}  {delivered_on}  {}  {}  {stage}{}\n",
            self.grouped_codes.join(" "),
            euros(self.amount),
            reason.unwrap_or_default()
        )
    }
}

impl Report for ClaimsReport {
    fn text(&self) -> String {
        let claims: String = self.claims.iter().map(ClaimedReport::text).collect();
        let mut text = format!(
            "{claims}{} claims, {} of them on contracts that the file does not have; log of {} \
             entries\n",
            self.claims.len(),
            self.unmatched,
            self.size
        );
        if self.earlier > 0 {
            let _ = writeln!(text, "{} entries of earlier claims left out", self.earlier);
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

fn codes(terms: Option<&ClaimTerms>) -> Vec<&'static str> {
    let lines = terms
        .map(|terms| terms.lines.as_slice())
        .unwrap_or_default();
    lines
        .iter()
        .map(|line| line.grouped_code.as_str())
        .collect()
}

fn sum(terms: &ClaimTerms) -> u64 {
    terms.lines.iter().map(|line| line.amount.get()).sum()
}

fn euros(cents: Option<u64>) -> String {
    cents.map_or("does not open".to_owned(), |cents| {
        Cents::new(cents).to_euros()
    })
}

/// What `claims check` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct CheckedReport {
    claim: u64,
    fits: bool,
    /// The slots that are the person's.
    slots: Vec<&'static str>,
    /// How many slot keys of the claim are not.
    foreign: usize,
    /// The file that shows others that they are not, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<PathBuf>,
}

impl CheckedReport {
    pub(in crate::command) fn new(checked: &KeysFit, evidence: Option<PathBuf>) -> Self {
        Self {
            claim: checked.claim.get(),
            fits: checked.fits(),
            slots: checked.own.iter().map(|slot| slot.as_str()).collect(),
            foreign: checked.foreign.len(),
            evidence,
        }
    }
}

impl Report for CheckedReport {
    fn text(&self) -> String {
        let slots = self.slots.join(" ");
        let mut text = match self.fits {
            true => format!(
                "claim {}: the slots are the person's: {slots}\n",
                self.claim
            ),
            false => format!(
                "claim {}: {} slot keys are not the person's: reject it for FOREIGN_SLOT_KEY\n",
                self.claim, self.foreign
            ),
        };
        if let Some(path) = &self.evidence {
            let _ = writeln!(text, "evidence written to {}", path.display());
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.fits
    }
}

/// One line that is in the ledger.
#[derive(Debug, Serialize, JsonSchema)]
struct SettledLineReport {
    line: u64,
    settlement: u64,
    outcome: Option<&'static str>,
    reason: Option<&'static str>,
    /// Whether it was there before this run.
    before: bool,
    /// The evidence of foreign slots, if it was rejected for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<PathBuf>,
}

/// What `settle --file` answers.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(in crate::command) struct SettledReport {
    settled: Vec<SettledLineReport>,
    refused: usize,
    /// Lines of which nothing is known to be in the ledger.
    failed: usize,
    /// Lines that could not be read.
    skipped: usize,
    problems: Vec<ProblemReport>,
}

impl SettledReport {
    /// `evidence` has the files of evidence, by line.
    pub(in crate::command) fn new(
        lines: &[SettledLine],
        skipped: &[SkippedSettlement],
        evidence: &BTreeMap<u64, PathBuf>,
    ) -> Self {
        let mut report = Self {
            skipped: skipped.len(),
            ..Self::default()
        };
        for line in skipped {
            report.note(line.line, line.reason.to_string());
        }
        for line in lines {
            report.take(line, evidence.get(&line.line));
        }
        report.problems.sort_by_key(|problem| problem.line);
        report
    }

    fn take(&mut self, line: &SettledLine, evidence: Option<&PathBuf>) {
        match &line.settled {
            Settled::Done {
                index,
                outcome,
                issued,
            } => self.settled.push(SettledLineReport {
                line: line.line,
                settlement: index.get(),
                outcome: outcome.map(|outcome| outcome.as_str()),
                reason: outcome.and_then(|outcome| Some(outcome.reason()?.code())),
                before: issued.is_none(),
                evidence: evidence.cloned(),
            }),
            Settled::Refused(reason) => {
                self.refused += 1;
                let problem = format!("{} ({})", reason.french(), reason.code());
                self.note(line.line, problem);
            }
            Settled::Failed(failure) => {
                self.failed += 1;
                self.note(line.line, failure.to_string());
            }
        }
    }

    fn note(&mut self, line: u64, problem: String) {
        self.problems.push(ProblemReport { line, problem });
    }
}

impl Report for SettledReport {
    fn text(&self) -> String {
        let mut text = String::new();
        for settled in &self.settled {
            let outcome = settled.outcome.unwrap_or("settled");
            let reason = settled.reason.map(|code| format!(" {code}"));
            let before = if settled.before { ", before" } else { "" };
            let _ = writeln!(
                text,
                "line {}: {outcome}{} by entry {}{before}",
                settled.line,
                reason.unwrap_or_default(),
                settled.settlement
            );
            if let Some(path) = &settled.evidence {
                let _ = writeln!(text, "  evidence: {}", path.display());
            }
        }
        for ProblemReport { line, problem } in &self.problems {
            let _ = writeln!(text, "line {line}: {problem}");
        }
        let _ = writeln!(
            text,
            "settled {}, refused {}, failed {}, lines skipped {}",
            self.settled.len(),
            self.refused,
            self.failed,
            self.skipped
        );
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.problems.is_empty()
    }
}

/// One settlement of a statement.
#[derive(Debug, Serialize, JsonSchema)]
struct StatementLineReport {
    settlement: u64,
    claim: u64,
    invoice: u64,
    outcome: &'static str,
    reason: Option<&'static str>,
    /// In cents.
    amount: u64,
    reference: String,
}

/// The settlements of one shop; amounts in cents.
#[derive(Debug, Serialize, JsonSchema)]
struct ShopReport {
    /// `None` for the tills whose grant was revoked.
    finess: Option<String>,
    paid: u64,
    recovered: u64,
    rejected: u64,
    settlements: Vec<StatementLineReport>,
}

/// What `statements` answers; amounts in cents.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct StatementReport {
    day: String,
    shops: Vec<ShopReport>,
    paid: u64,
    recovered: u64,
    /// Settlements that no contract of the file opens: they are in no sum.
    unread: Vec<u64>,
}

impl StatementReport {
    pub(in crate::command) fn new(statement: &Statement) -> Self {
        let (paid, recovered) = statement.totals();
        let shops = statement.shops.iter().map(|(finess, shop)| ShopReport {
            finess: finess.map(|finess| finess.to_string()),
            paid: shop.paid.get(),
            recovered: shop.recovered.get(),
            rejected: shop.rejected,
            settlements: shop.lines.iter().map(StatementLineReport::new).collect(),
        });
        Self {
            day: statement.day.to_iso(),
            shops: shops.collect(),
            paid: paid.get(),
            recovered: recovered.get(),
            unread: statement.unread.iter().map(|index| index.get()).collect(),
        }
    }
}

impl StatementLineReport {
    fn new(line: &StatementLine) -> Self {
        Self {
            settlement: line.settlement.get(),
            claim: line.claim.get(),
            invoice: line.invoice.get(),
            outcome: line.outcome.as_str(),
            reason: line.outcome.reason().map(|reason| reason.code()),
            amount: line.amount.get(),
            reference: line.reference.clone(),
        }
    }
}

impl Report for StatementReport {
    fn text(&self) -> String {
        let mut text = String::new();
        for shop in &self.shops {
            let finess = shop.finess.as_deref().unwrap_or("-");
            let _ = writeln!(
                text,
                "shop {finess}  settlements {}  paid {}  recovered {}  rejected {}",
                shop.settlements.len(),
                Cents::new(shop.paid).to_euros(),
                Cents::new(shop.recovered).to_euros(),
                shop.rejected
            );
        }
        let (paid, recovered) = (
            Cents::new(self.paid).to_euros(),
            Cents::new(self.recovered).to_euros(),
        );
        let day = &self.day;
        let _ = writeln!(text, "{day}  paid {paid}  recovered {recovered}");
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    /// One line a settlement, as a bank or an accountant reads it.
    fn csv(&self) -> Option<String> {
        let mut text =
            "day;finess;settlement;claim;invoice;outcome;reason;amount;reference\n".to_owned();
        for shop in &self.shops {
            let finess = shop.finess.as_deref().unwrap_or_default();
            for line in &shop.settlements {
                let _ = writeln!(
                    text,
                    "{};{finess};{};{};{};{};{};{};{}",
                    self.day,
                    line.settlement,
                    line.claim,
                    line.invoice,
                    line.outcome,
                    line.reason.unwrap_or_default(),
                    Cents::new(line.amount).to_euros(),
                    quoted(&line.reference)
                );
            }
        }
        Some(text)
    }

    fn is_yes(&self) -> bool {
        self.unread.is_empty()
    }

    fn warnings(&self) -> Vec<String> {
        match self.unread.len() {
            0 => Vec::new(),
            unread => vec![format!(
                "{unread} settlements are on contracts that the file does not have: they are in no \
                 sum"
            )],
        }
    }
}

/// A field of a CSV (RFC 4180, 2.6 and 2.7).
fn quoted(text: &str) -> String {
    match text.contains([';', '"']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use client::office::StatementShop;
    use insta::assert_snapshot;
    use proto::attestation::SettlementOutcome;
    use proto::ids::{Day, LeafIndex};
    use proto::refusal::Reason;

    use super::*;

    fn report() -> StatementReport {
        let line = |settlement, outcome, amount, reference: &str| StatementLine {
            settlement: LeafIndex::new(settlement),
            claim: LeafIndex::new(4),
            invoice: LeafIndex::new(5),
            outcome,
            amount: Cents::new(amount),
            reference: reference.to_owned(),
        };
        let unfit = SettlementOutcome::Rejected(Reason::InvoiceUnfit);
        let shop = StatementShop {
            lines: vec![
                line(8, SettlementOutcome::Paid, 3_050, "VIR \"7\";8"),
                line(9, unfit, 0, ""),
            ],
            paid: Cents::new(3_050),
            recovered: Cents::default(),
            rejected: 1,
        };
        StatementReport::new(&Statement {
            day: Day::new(20_000),
            shops: [(Some("750000001".parse().unwrap()), shop)].into(),
            unread: Vec::new(),
        })
    }

    #[test]
    fn a_statement_as_csv_and_json_is_these_bytes() {
        assert_snapshot!(report().csv().unwrap(), @r#"
        day;finess;settlement;claim;invoice;outcome;reason;amount;reference
        2024-10-04;750000001;8;4;5;paid;;30.50;"VIR ""7"";8"
        2024-10-04;750000001;9;4;5;rejected;INVOICE_UNFIT;0.00;
        "#);
        assert_snapshot!(report().json(), @r#"{"day":"2024-10-04","shops":[{"finess":"750000001","paid":3050,"recovered":0,"rejected":1,"settlements":[{"settlement":8,"claim":4,"invoice":5,"outcome":"paid","reason":null,"amount":3050,"reference":"VIR \"7\";8"},{"settlement":9,"claim":4,"invoice":5,"outcome":"rejected","reason":"INVOICE_UNFIT","amount":0,"reference":""}]}],"paid":3050,"recovered":0,"unread":[]}"#);
    }
}
