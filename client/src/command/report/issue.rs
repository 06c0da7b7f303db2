//! What became of an entry: accepted, refused, or queued on this machine's disk.

use std::fmt::Write as _;
use std::path::PathBuf;

use client::issue::Issued;
use client::session::Session;
use schemars::JsonSchema;
use serde::Serialize;

use super::{NodesReport, QuoteReport, RefusalReport, Report, to_json};

/// What became of an entry.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct IssueReport {
    pub(in crate::command) kind: &'static str,
    /// `accepted`, `refused` or `queued`.
    pub(in crate::command) outcome: &'static str,
    pub(in crate::command) accepted: bool,
    pub(in crate::command) index: Option<u64>,
    pub(in crate::command) refusal: Option<RefusalReport>,
    /// Where the receipt, or the proof of the refusal, was written.
    pub(in crate::command) receipt: Option<PathBuf>,
    /// Only when it waits on this machine's disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::command) queued: Option<WaitingReport>,
    #[serde(flatten)]
    pub(in crate::command) nodes: Option<NodesReport>,
}

/// An entry that waits to be sent.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct WaitingReport {
    /// Its name in the queue.
    pub(in crate::command) name: String,
    /// What that means, and why it waits.
    pub(in crate::command) note: String,
}

impl IssueReport {
    pub(in crate::command) fn new(
        kind: &'static str,
        issued: &Issued,
        receipt: Option<PathBuf>,
    ) -> Self {
        let (index, refusal) = match issued {
            Issued::Accepted(receipt) => (Some(receipt.proved.index.get()), None),
            Issued::Refused(refused) => (None, Some(RefusalReport::of_entry(refused))),
        };
        let accepted = index.is_some();
        Self {
            kind,
            outcome: if accepted { "accepted" } else { "refused" },
            accepted,
            index,
            refusal,
            receipt,
            queued: None,
            nodes: None,
        }
    }

    /// The same, with who answered in this session.
    pub(in crate::command) fn answered_in(self, session: &Session) -> Self {
        Self {
            nodes: Some(NodesReport::new(session)),
            ..self
        }
    }

    /// A claim that waits in the queue under a name.
    pub(in crate::command) fn queued(name: String, note: String) -> Self {
        Self {
            kind: "claim",
            outcome: "queued",
            accepted: false,
            index: None,
            refusal: None,
            receipt: None,
            queued: Some(WaitingReport { name, note }),
            nodes: None,
        }
    }
}

impl Report for IssueReport {
    fn text(&self) -> String {
        let mut text = match (&self.index, &self.refusal) {
            (Some(index), _) => format!("{} accepted as entry {index}\n", self.kind),
            (None, Some(refusal)) => format!("{} refused: {}\n", self.kind, refusal.text()),
            (None, None) => match &self.queued {
                Some(WaitingReport { name, note }) => {
                    format!("{} queued as {name}: {note}\n", self.kind)
                }
                None => format!("{} refused\n", self.kind),
            },
        };
        if let Some(receipt) = &self.receipt {
            let _ = writeln!(text, "receipt {}", receipt.display());
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.accepted
    }

    fn is_known(&self) -> bool {
        self.queued.is_none()
    }

    fn details(&self) -> Vec<String> {
        self.nodes
            .as_ref()
            .map(NodesReport::details)
            .unwrap_or_default()
    }
}

/// What `claim` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct ClaimReport {
    /// Nothing for a claim of a kept quote.
    pub(in crate::command) quote: Option<QuoteReport>,
    pub(in crate::command) claim: IssueReport,
}

impl Report for ClaimReport {
    fn text(&self) -> String {
        let quote = self.quote.as_ref().map(Report::text);
        format!("{}{}", quote.unwrap_or_default(), self.claim.text())
    }

    fn is_known(&self) -> bool {
        self.claim.is_known()
    }

    fn details(&self) -> Vec<String> {
        self.claim.details()
    }

    fn warnings(&self) -> Vec<String> {
        let quote = self.quote.as_ref().map(Report::warnings);
        quote.unwrap_or_default()
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.claim.accepted
    }
}
