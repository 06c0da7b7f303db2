//! What `evidence verify` answers, and an audit that found something to show.

use std::fmt::Write as _;
use std::path::PathBuf;

use proto::evidence::Step;
use proto::foreign_slots;
use schemars::JsonSchema;
use serde::Serialize;

use super::{Report, StepReport, to_json};

impl From<Step> for StepReport {
    fn from(step: Step) -> Self {
        Self {
            step: step.as_str(),
            sentence: step.sentence(),
        }
    }
}

impl From<foreign_slots::Step> for StepReport {
    fn from(step: foreign_slots::Step) -> Self {
        Self {
            step: step.as_str(),
            sentence: step.sentence(),
        }
    }
}

/// Who is guilty of what.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct VerdictReport {
    pub(in super::super) offence: &'static str,
    pub(in super::super) members: Vec<String>,
    /// Whether a quorum vouches for each of the two states that contradict each other.
    pub(in super::super) certified: bool,
    pub(in super::super) what: String,
    pub(in super::super) sentence: String,
}

/// What `evidence verify` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct EvidenceReport {
    pub(in super::super) valid: bool,
    pub(in super::super) passed: Vec<StepReport>,
    pub(in super::super) failed_step: Option<&'static str>,
    pub(in super::super) failure: Option<String>,
    pub(in super::super) verdict: Option<VerdictReport>,
    /// Whether it takes the log, so that the file alone says neither yes nor no.
    pub(in super::super) takes_the_log: bool,
}

impl Report for EvidenceReport {
    fn text(&self) -> String {
        let mut text = String::new();
        for StepReport { step, sentence } in &self.passed {
            let _ = writeln!(text, "ok     {step:<13} {sentence}");
        }
        if let (Some(step), Some(failure)) = (self.failed_step, &self.failure) {
            let word = if self.takes_the_log {
                "OPEN  "
            } else {
                "FAILED"
            };
            let _ = writeln!(text, "{word} {step:<13} {failure}");
        }
        if let Some(verdict) = &self.verdict {
            let members = verdict.members.join(", ");
            let _ = writeln!(text, "guilty {members}: {}", verdict.what);
            let _ = writeln!(text, "{members} : {}", verdict.sentence);
            if verdict.certified {
                let quorums = "a quorum vouches for both states: more members lie than may";
                let _ = writeln!(text, "{quorums}");
            }
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.valid
    }

    fn is_known(&self) -> bool {
        !self.takes_the_log
    }

    fn problem(&self) -> Option<(String, Option<&'static str>)> {
        let step = self.failed_step?;
        Some(match self.takes_the_log {
            true => (
                "the file alone does not tell".to_owned(),
                Some("audit the log with `vitrail audit`"),
            ),
            false => (
                format!("the evidence does not hold: step {step} failed"),
                Some("it accuses nobody; ask whoever gave it for another copy"),
            ),
        })
    }
}

/// Which slots of a claim are not the person's that its payer names.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct ForeignReport {
    pub(in super::super) claim: u64,
    /// The payer whose word it is that the claim was for this person.
    pub(in super::super) payer: String,
    /// The key that signed the claim.
    pub(in super::super) issuer: String,
    /// How many slots the claim has.
    pub(in super::super) slots: usize,
    /// The places of the foreign ones among them, from 0.
    pub(in super::super) foreign: Vec<usize>,
}

/// What `evidence verify` answers about foreign slots. It says nothing of the person.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct ForeignSlotsReport {
    pub(in super::super) valid: bool,
    pub(in super::super) passed: Vec<StepReport>,
    pub(in super::super) failed_step: Option<&'static str>,
    pub(in super::super) failure: Option<String>,
    pub(in super::super) proved: Option<ForeignReport>,
}

impl Report for ForeignSlotsReport {
    fn text(&self) -> String {
        let mut text = String::new();
        for StepReport { step, sentence } in &self.passed {
            let _ = writeln!(text, "ok     {step:<13} {sentence}");
        }
        if let (Some(step), Some(failure)) = (self.failed_step, &self.failure) {
            let _ = writeln!(text, "FAILED {step:<13} {failure}");
        }
        if let Some(proved) = &self.proved {
            let places: Vec<_> = proved.foreign.iter().map(ToString::to_string).collect();
            let _ = writeln!(
                text,
                "claim {}, signed by {}, has {} slots; from 0, foreign to the person: {}",
                proved.claim,
                proved.issuer,
                proved.slots,
                places.join(", ")
            );
            let _ = writeln!(
                text,
                "that the claim was for this person is the word of {}",
                proved.payer
            );
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
        Some((
            format!("the evidence does not hold: step {step} failed"),
            Some("it accuses nobody; ask the payer for another copy"),
        ))
    }
}

/// What `audit` answers when a log does not pass and others can be shown why.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct AuditFailedReport {
    pub(in super::super) failure: String,
    pub(in super::super) file: PathBuf,
    pub(in super::super) evidence: EvidenceReport,
    /// The page for people, if one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) report: Option<PathBuf>,
    /// Files of evidence that were given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in super::super) given: Vec<GivenReport>,
}

/// A file of evidence that somebody gave to an audit.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct GivenReport {
    pub(in super::super) file: PathBuf,
    pub(in super::super) evidence: EvidenceReport,
}

impl GivenReport {
    /// One line for each file: whom it accuses of what, or why it accuses nobody.
    pub(super) fn lines(given: &[Self]) -> String {
        let mut text = String::new();
        for Self { file, evidence } in given {
            let file = file.display();
            let _ = match (&evidence.verdict, &evidence.failure) {
                (Some(verdict), _) => {
                    let members = verdict.members.join(", ");
                    writeln!(text, "given {file}: guilty {members}: {}", verdict.what)
                }
                (None, failure) => {
                    let failure = failure.as_deref().unwrap_or_default();
                    writeln!(text, "given {file}: accuses nobody: {failure}")
                }
            };
        }
        text
    }
}

impl Report for AuditFailedReport {
    fn text(&self) -> String {
        let mut text = self.evidence.text() + &GivenReport::lines(&self.given);
        let _ = writeln!(text, "written to {}", self.file.display());
        if let Some(page) = &self.report {
            let _ = writeln!(text, "report in {}", page.display());
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        false
    }

    fn problem(&self) -> Option<(String, Option<&'static str>)> {
        let hint = "keep the file, and show it to the federation: `vitrail evidence verify`";
        Some((self.failure.clone(), Some(hint)))
    }
}
