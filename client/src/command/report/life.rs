//! What `status` answers: where each payer stands to an invoice.

use std::fmt::Write as _;

use client::opened::{OpenedEntry, PayerStanding};
use proto::attestation::lifecycle::PaymentStage;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Report, to_json};

/// One payer.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct StandingReport {
    /// The member's name; `None` when it is a member no more.
    pub(super) payer: Option<String>,
    pub(super) stage: &'static str,
    /// Whether what it found can be corrected; `None` unless it rejected or recovered.
    pub(super) correctable: Option<bool>,
    /// The code of its reason, if it gave one.
    pub(super) reason: Option<&'static str>,
    /// The reason as a sentence for the counter.
    pub(super) sentence: Option<&'static str>,
    /// The settlement entry.
    pub(super) settlement: Option<u64>,
}

/// What `status` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct StatusReport {
    pub(super) kind: &'static str,
    pub(super) index: u64,
    /// The first delivery of the invoice.
    pub(super) invoice: Option<u64>,
    /// The newest delivery of the invoice, which is the one to be settled.
    pub(super) newest: Option<u64>,
    /// Whether goods of it came back.
    pub(super) returned: bool,
    pub(super) payers: Vec<StandingReport>,
}

impl StatusReport {
    pub(in crate::command) fn new(opened: &OpenedEntry) -> Self {
        let state = opened.invoice_state;
        let payers = opened.payers.iter();
        Self {
            kind: opened.says.kind().as_str(),
            index: opened.index.get(),
            invoice: opened.invoice.map(|index| index.get()),
            newest: state.map(|state| state.delivery.get()),
            returned: state.is_some_and(|state| state.returned_by.is_some()),
            payers: payers.map(StandingReport::new).collect(),
        }
    }
}

impl StandingReport {
    fn new(standing: &PayerStanding) -> Self {
        let member = standing.member.as_ref();
        let (stage, correctable) = stage_word(standing.stage);
        let settlement = standing.settlement;
        let reason = settlement.and_then(|settlement| settlement.outcome.reason());
        Self {
            payer: member.map(ToString::to_string),
            stage,
            correctable,
            reason: reason.map(|reason| reason.code()),
            sentence: reason.map(|reason| reason.french()),
            settlement: settlement.map(|settlement| settlement.by.get()),
        }
    }
}

/// The word for where a payment stands, and whether what was found can be corrected.
pub(super) const fn stage_word(stage: PaymentStage) -> (&'static str, Option<bool>) {
    match stage {
        PaymentStage::NotDelivered => ("not delivered", None),
        PaymentStage::Due => ("due", None),
        PaymentStage::Withdrawn => ("withdrawn", None),
        PaymentStage::Paid => ("paid", None),
        PaymentStage::Rejected { correctable } => ("rejected", Some(correctable)),
        PaymentStage::Recovered { correctable } => ("recovered", Some(correctable)),
    }
}

impl Report for StatusReport {
    fn text(&self) -> String {
        let mut text = format!("{} {}\n", self.kind, self.index);
        if let (Some(invoice), Some(newest)) = (self.invoice, self.newest) {
            let returned = if self.returned {
                ", goods came back"
            } else {
                ""
            };
            let _ = writeln!(
                text,
                "invoice {invoice}, newest delivery {newest}{returned}"
            );
        }
        for payer in &self.payers {
            let name = payer.payer.as_deref().unwrap_or("no member");
            let _ = write!(text, "{name}: {}", payer.stage);
            if let Some(settlement) = payer.settlement {
                let _ = write!(text, " (entry {settlement})");
            }
            if let Some(sentence) = payer.sentence {
                let _ = write!(text, ": {sentence}");
            }
            text.push('\n');
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }
}
