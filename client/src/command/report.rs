//! The shapes of the answers. As JSON they are an interface: tests below hold each of them.

mod catalogue;
pub(super) mod evidence;
mod issue;
mod items;
pub(super) mod life;
mod nodes;
pub(super) mod office;
mod quote;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use client::issue::Refused;
use client::pos::LineRefusal;
use proto::ids::Day;
use proto::receipt::Step;
use schemars::JsonSchema;
use serde::Serialize;

pub(super) use self::catalogue::{FetchReport, ImportReport, RemarkReport, StatusReport};
pub(super) use self::issue::{ClaimReport, IssueReport};
pub(super) use self::items::ItemsReport;
pub(super) use self::nodes::NodesReport;
pub(super) use self::quote::QuoteReport;

/// An answer: text for people, JSON for programs, and whether it is a yes.
pub(super) trait Report {
    /// For people.
    fn text(&self) -> String;

    /// One JSON object.
    fn json(&self) -> String;

    /// A table, where the answer is one.
    fn csv(&self) -> Option<String> {
        None
    }

    /// Whether the command ends with 0.
    fn is_yes(&self) -> bool {
        true
    }

    /// Whether it is known what became of the matter: if not, the command ends with 2.
    fn is_known(&self) -> bool {
        true
    }

    /// How the answer was had, for who asks with `--verbose`.
    fn details(&self) -> Vec<String> {
        Vec::new()
    }

    /// What to be warned of on stderr, though there is an answer.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    /// What to say on stderr beside the answer.
    fn problem(&self) -> Option<(String, Option<&'static str>)> {
        None
    }
}

/// Compact JSON. A struct of strings and numbers always has one.
pub(super) fn to_json(report: &impl Serialize) -> String {
    serde_json::to_string(report).unwrap_or_default()
}

/// A rule that said no.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RefusalReport {
    code: &'static str,
    sentence: &'static str,
    /// The last day of a taken slot.
    until: Option<String>,
    /// The entry that has the slot.
    holder: Option<u64>,
}

impl RefusalReport {
    fn of_line(refusal: LineRefusal, holder: Option<u64>) -> Self {
        let LineRefusal { reason, until } = refusal;
        Self {
            code: reason.code(),
            sentence: reason.french(),
            until: until.map(Day::to_iso),
            holder,
        }
    }

    fn of_entry(refused: &Refused) -> Self {
        let holder = refused
            .evidence
            .as_ref()
            .map(|evidence| evidence.holder.index.get());
        let (code, sentence) = (refused.reason.code(), refused.reason.french());
        Self {
            code,
            sentence,
            until: None,
            holder,
        }
    }

    fn text(&self) -> String {
        let until = self
            .until
            .as_ref()
            .map(|until| format!(" Jusqu'au {until}."));
        let holder = self.holder.map(|holder| format!(" (entry {holder})"));
        format!(
            "{}{}{}",
            self.sentence,
            until.unwrap_or_default(),
            holder.unwrap_or_default()
        )
    }
}

/// A line of a file and what is wrong with it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProblemReport {
    pub(super) line: u64,
    pub(super) problem: String,
}

/// What `cover` answers.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct CoverReport {
    pub(super) accepted: usize,
    pub(super) refused: usize,
    /// Rows of which it is not known what became of them: give them again.
    pub(super) unknown: usize,
    /// Lines that cannot be read.
    pub(super) skipped: usize,
    pub(super) problems: Vec<ProblemReport>,
}

impl Report for CoverReport {
    fn text(&self) -> String {
        let Self {
            accepted,
            refused,
            unknown,
            skipped,
            ..
        } = self;
        let mut text = format!(
            "coverages accepted {accepted}, refused {refused}, unknown {unknown}; \
             lines skipped {skipped}\n"
        );
        for ProblemReport { line, problem } in &self.problems {
            let _ = writeln!(text, "line {line}: {problem}");
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.problems.is_empty()
    }
}

/// What `keygen` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct KeyReport {
    pub(super) public_key: String,
    pub(super) out: PathBuf,
}

impl Report for KeyReport {
    fn text(&self) -> String {
        format!(
            "public key {}\nwritten to {}\n",
            self.public_key,
            self.out.display()
        )
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

/// One step of a verification.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StepReport {
    pub(super) step: &'static str,
    pub(super) sentence: &'static str,
}

impl From<Step> for StepReport {
    fn from(step: Step) -> Self {
        Self {
            step: step.as_str(),
            sentence: step.sentence(),
        }
    }
}

/// What is known once every step has passed.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VerifiedReport {
    /// `receipt` or `refusal`.
    pub(super) title: &'static str,
    pub(super) kind: &'static str,
    pub(super) index: u64,
    /// The hash of the entry's leaf, as its fingerprint has it.
    pub(super) leaf: Option<String>,
    pub(super) reason: Option<&'static str>,
    pub(super) sentence: Option<&'static str>,
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) time: u64,
    pub(super) cosigned_by: Vec<String>,
}

/// What `receipt verify` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ReceiptReport {
    pub(super) valid: bool,
    pub(super) passed: Vec<StepReport>,
    pub(super) failed_step: Option<&'static str>,
    pub(super) failure: Option<String>,
    pub(super) verified: Option<VerifiedReport>,
}

impl Report for ReceiptReport {
    fn text(&self) -> String {
        let mut text = String::new();
        for StepReport { step, sentence } in &self.passed {
            let _ = writeln!(text, "ok     {step:<10} {sentence}");
        }
        if let (Some(step), Some(failure)) = (self.failed_step, &self.failure) {
            let _ = writeln!(text, "FAILED {step:<10} {failure}");
        }
        if let Some(verified) = &self.verified {
            let VerifiedReport {
                kind,
                index,
                origin,
                size,
                ..
            } = verified;
            let _ = match verified.sentence {
                None => writeln!(text, "{kind} at entry {index} of {size}, ledger {origin}"),
                Some(sentence) => {
                    writeln!(
                        text,
                        "refused for {kind} at entry {index}, ledger {origin}: {sentence}"
                    )
                }
            };
            if let Some(leaf) = &verified.leaf {
                let _ = writeln!(text, "leaf {leaf}");
            }
            let _ = writeln!(text, "cosigned by {}", verified.cosigned_by.join(", "));
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.valid
    }

    fn problem(&self) -> Option<(String, Option<&'static str>)> {
        let step = self.failed_step?;
        let message = format!("the receipt is not valid: step {step} failed");
        Some((
            message,
            Some("do not rely on this file; ask whoever gave it for another copy"),
        ))
    }
}

/// What `audit` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AuditReport {
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) log_root: String,
    pub(super) map_root: String,
    pub(super) epoch: u64,
    pub(super) time: u64,
    pub(super) cosigned_by: Vec<String>,
    pub(super) counts: BTreeMap<&'static str, u64>,
    pub(super) map_size: usize,
    pub(super) entry_bytes: u64,
    /// The page for people, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) report: Option<PathBuf>,
    /// Files of evidence that were given: one that holds makes the answer a no.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) given: Vec<evidence::GivenReport>,
}

impl Report for AuditReport {
    fn text(&self) -> String {
        let mut text = format!(
            "ledger {}, {} entries, {} bytes, every one verified\nlog root {}\nmap root {}, {} keys\n",
            self.origin, self.size, self.entry_bytes, self.log_root, self.map_root, self.map_size
        );
        for (kind, count) in &self.counts {
            let _ = writeln!(text, "{kind:<12} {count:>10}");
        }
        let _ = writeln!(
            text,
            "roster of epoch {}, checkpoint cosigned by {}",
            self.epoch,
            self.cosigned_by.join(", ")
        );
        if let Some(page) = &self.report {
            let _ = writeln!(text, "report in {}", page.display());
        }
        text + &evidence::GivenReport::lines(&self.given)
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.given.iter().all(|given| !given.evidence.valid)
    }

    fn problem(&self) -> Option<(String, Option<&'static str>)> {
        let hint = "the log holds all the same; show the file to the federation";
        let accused = "a file that was given shows what no honest member signs".to_owned();
        (!self.is_yes()).then_some((accused, Some(hint)))
    }
}

#[cfg(test)]
mod tests;
