//! The conformance kit: scenarios that till software plays against a simulating agent, which
//! watches.
//!
//! A scenario has a test card of its own and is played in any order, any number of times, beside
//! others. It passes when its steps were seen in their order, and fails at once when till software
//! does what a real shop would pay for: another Idempotency-Key for what had lost its answer,
//! or a second claim of what was refused.

use std::mem::{Discriminant, discriminant};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::Serialize;
use utoipa::ToSchema;

use super::simulated::cards;
use crate::files::{self, FileError};

/// What a simulating agent saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// A check of this card.
    Checked { card: u16, covered: bool },
    /// A claim of this card, under a key that is known by this name.
    Claimed {
        card: u16,
        key: String,
        outcome: Outcome,
    },
    /// A delivery for this card.
    Delivered {
        card: u16,
        key: String,
        outcome: Outcome,
    },
    /// A release of this card's claim.
    Released {
        card: u16,
        key: String,
        outcome: Outcome,
    },
    /// The queue was asked.
    QueueAsked,
    /// A receipt was read.
    ReceiptRead,
}

impl Seen {
    /// Under which key something was to be written, and what was told.
    fn written(&self) -> Option<(&str, Outcome)> {
        match self {
            Self::Claimed { key, outcome, .. }
            | Self::Delivered { key, outcome, .. }
            | Self::Released { key, outcome, .. } => Some((key, *outcome)),
            Self::Checked { .. } | Self::QueueAsked | Self::ReceiptRead => None,
        }
    }
}

/// What a claim, a delivery or a release was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Accepted,
    Refused,
    Queued,
    /// Its answer got lost on purpose.
    Lost,
}

/// One thing that till software is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Check,
    Claim(Outcome),
    Deliver(Outcome),
    Release(Outcome),
    AskQueue,
    ReadReceipt,
}

impl Step {
    const fn sentence(self) -> &'static str {
        match self {
            Self::Check => "check the card",
            Self::Claim(Outcome::Accepted) => "claim, and take the acceptance",
            Self::Claim(Outcome::Refused) => "claim, and take the refusal",
            Self::Claim(Outcome::Queued) => "claim with queue, and take 202",
            Self::Claim(Outcome::Lost) => "claim, and get no answer (504)",
            Self::Deliver(Outcome::Lost) => "deliver, and get no answer (504)",
            Self::Deliver(_) => "deliver",
            Self::Release(Outcome::Lost) => "release, and get no answer (504)",
            Self::Release(_) => "release",
            Self::AskQueue => "ask what became of it: GET /v1/queue or the address of the 202",
            Self::ReadReceipt => "fetch the receipt by its name",
        }
    }

    const fn is_done_by(self, seen: &Seen) -> bool {
        match (self, seen) {
            (Self::Check, Seen::Checked { covered, .. }) => *covered,
            (Self::Claim(want), Seen::Claimed { outcome, .. })
            | (Self::Deliver(want), Seen::Delivered { outcome, .. })
            | (Self::Release(want), Seen::Released { outcome, .. }) => want as u8 == *outcome as u8,
            (Self::AskQueue, Seen::QueueAsked) | (Self::ReadReceipt, Seen::ReceiptRead) => true,
            _ => false,
        }
    }
}

/// What is played with one card.
struct Scenario {
    name: &'static str,
    card: u16,
    steps: &'static [Step],
}

const SCENARIOS: [Scenario; 8] = [
    Scenario {
        name: "covered",
        card: cards::COVERED,
        steps: &[Step::Check, Step::Claim(Outcome::Accepted)],
    },
    Scenario {
        name: "refused",
        card: cards::RESERVED,
        steps: &[Step::Claim(Outcome::Refused)],
    },
    Scenario {
        name: "answer-lost",
        card: cards::LOST,
        steps: &[Step::Claim(Outcome::Lost), Step::Claim(Outcome::Accepted)],
    },
    Scenario {
        name: "queued",
        card: cards::UNREACHABLE,
        steps: &[Step::Claim(Outcome::Queued), Step::AskQueue],
    },
    Scenario {
        name: "delivered",
        card: cards::DELIVERED,
        steps: &[
            Step::Claim(Outcome::Accepted),
            Step::Deliver(Outcome::Accepted),
            Step::ReadReceipt,
        ],
    },
    Scenario {
        name: "released",
        card: cards::RELEASED,
        steps: &[
            Step::Claim(Outcome::Accepted),
            Step::Release(Outcome::Accepted),
        ],
    },
    Scenario {
        name: "delivery-lost",
        card: cards::DELIVERY_LOST,
        steps: &[
            Step::Claim(Outcome::Accepted),
            Step::Deliver(Outcome::Lost),
            Step::Deliver(Outcome::Accepted),
        ],
    },
    Scenario {
        name: "release-lost",
        card: cards::RELEASE_LOST,
        steps: &[
            Step::Claim(Outcome::Accepted),
            Step::Release(Outcome::Lost),
            Step::Release(Outcome::Accepted),
        ],
    },
];

/// How far one scenario is.
#[derive(Debug, Clone, Default)]
struct Progress {
    done: usize,
    /// The key of the first claim.
    key: Option<String>,
    /// What lost its first answer, and the key of that.
    lost: Option<(Discriminant<Seen>, String)>,
    failed: Option<&'static str>,
}

/// One scenario in the report.
#[derive(Debug, Clone, Serialize, ToSchema, JsonSchema)]
pub struct ScenarioAnswer {
    /// Its name.
    pub name: &'static str,
    /// The NIR of its test card.
    pub nir: String,
    /// `passed`, `failed`, or `open`: not played, or not to its end.
    pub state: &'static str,
    /// What is to be done next.
    pub next: Option<&'static str>,
    /// What was done wrong.
    pub failure: Option<&'static str>,
}

/// Answer of `GET /v1/conformance`, and the report.
#[derive(Debug, Clone, Serialize, ToSchema, JsonSchema)]
pub struct ConformanceAnswer {
    /// Whether every scenario passed.
    pub passed: bool,
    /// The scenarios.
    pub scenarios: Vec<ScenarioAnswer>,
    /// Always: only a simulating agent has this.
    pub simulated: bool,
}

/// The kit, watching.
#[derive(Debug)]
pub(super) struct Conformance {
    report: PathBuf,
    progress: Mutex<Vec<Progress>>,
}

impl Conformance {
    /// Begins to watch. The report is there from now on, and is replaced whenever it changes.
    pub(super) fn new(report: PathBuf) -> Result<Self, FileError> {
        let conformance = Self {
            report,
            progress: Mutex::new(vec![Progress::default(); SCENARIOS.len()]),
        };
        conformance.write()?;
        Ok(conformance)
    }

    fn progress(&self) -> MutexGuard<'_, Vec<Progress>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[allow(clippy::needless_pass_by_value, reason = "it is made to be told")]
    pub(super) fn saw(&self, seen: Seen) {
        for (scenario, progress) in SCENARIOS.iter().zip(self.progress().iter_mut()) {
            progress.saw(scenario, &seen);
        }
        // A report that cannot be written is still at /v1/conformance.
        let _ = self.write();
    }

    /// How far each scenario is.
    pub(super) fn answer(&self) -> ConformanceAnswer {
        let told = |(scenario, progress): (&Scenario, &Progress)| {
            let next = scenario.steps.get(progress.done);
            ScenarioAnswer {
                name: scenario.name,
                nir: cards::nir(scenario.card),
                state: match (progress.failed, next) {
                    (Some(_), _) => "failed",
                    (None, None) => "passed",
                    (None, Some(_)) => "open",
                },
                next: next.map(|step| step.sentence()),
                failure: progress.failed,
            }
        };
        let scenarios: Vec<_> = SCENARIOS
            .iter()
            .zip(self.progress().iter())
            .map(told)
            .collect();
        ConformanceAnswer {
            passed: scenarios.iter().all(|scenario| scenario.state == "passed"),
            scenarios,
            simulated: true,
        }
    }

    fn write(&self) -> Result<(), FileError> {
        let report = serde_json::to_string_pretty(&self.answer()).unwrap_or_default();
        files::replace(&self.report, format!("{report}\n").as_bytes())
    }
}

impl Progress {
    fn saw(&mut self, scenario: &Scenario, seen: &Seen) {
        let card = match seen {
            Seen::Checked { card, .. }
            | Seen::Claimed { card, .. }
            | Seen::Delivered { card, .. }
            | Seen::Released { card, .. } => Some(*card),
            // These are of whatever scenario waits for them.
            Seen::QueueAsked | Seen::ReceiptRead => None,
        };
        if card.is_some_and(|card| card != scenario.card) {
            return;
        }
        if let Some((key, outcome)) = seen.written() {
            self.judge_lost(discriminant(seen), key, outcome);
        }
        if let Seen::Claimed { key, outcome, .. } = seen {
            let is_other = self.key.as_ref().is_some_and(|first| first != key);
            let was_refused = scenario.card == cards::RESERVED && *outcome == Outcome::Refused;
            if is_other && was_refused {
                self.failed = Some("what was refused was claimed again");
            }
            self.key.get_or_insert_with(|| key.clone());
        }
        let next = scenario.steps.get(self.done);
        if next.is_some_and(|step| step.is_done_by(seen)) {
            self.done += 1;
        }
    }

    /// What lost its answer is asked for again under its key alone: under another it may happen
    /// twice.
    fn judge_lost(&mut self, what: Discriminant<Seen>, key: &str, outcome: Outcome) {
        match &self.lost {
            Some((lost, first)) if *lost == what && first != key => {
                self.failed = Some("another Idempotency-Key for what had lost its answer");
            }
            None if outcome == Outcome::Lost => self.lost = Some((what, key.to_owned())),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claimed(card: u16, key: &str, outcome: Outcome) -> Seen {
        let key = key.to_owned();
        Seen::Claimed { card, key, outcome }
    }

    fn delivered(card: u16, key: &str, outcome: Outcome) -> Seen {
        let key = key.to_owned();
        Seen::Delivered { card, key, outcome }
    }

    fn released(card: u16, key: &str, outcome: Outcome) -> Seen {
        let key = key.to_owned();
        Seen::Released { card, key, outcome }
    }

    fn state(kit: &Conformance, name: &str) -> &'static str {
        let answer = kit.answer();
        let found = answer
            .scenarios
            .iter()
            .find(|scenario| scenario.name == name);
        found.unwrap().state
    }

    #[test]
    fn a_lost_answer_is_asked_for_with_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        for (second, want) in [("one", "passed"), ("two", "failed")] {
            let report = folder.path().join("report.json");
            let kit = Conformance::new(report.clone()).unwrap();
            kit.saw(claimed(cards::LOST, "one", Outcome::Lost));
            assert_eq!(state(&kit, "answer-lost"), "open");
            kit.saw(claimed(cards::LOST, second, Outcome::Accepted));
            assert_eq!(state(&kit, "answer-lost"), want);
            let written = std::fs::read_to_string(report).unwrap();
            assert!(written.contains(want) && !kit.answer().passed);
        }
    }

    #[test]
    fn a_lost_delivery_is_asked_for_with_its_own_key() {
        let folder = tempfile::tempdir().unwrap();
        for (second, want) in [("two", "passed"), ("three", "failed")] {
            let kit = Conformance::new(folder.path().join("report.json")).unwrap();
            kit.saw(claimed(cards::DELIVERY_LOST, "one", Outcome::Accepted));
            kit.saw(delivered(cards::DELIVERY_LOST, "two", Outcome::Lost));
            kit.saw(delivered(cards::DELIVERY_LOST, second, Outcome::Accepted));
            // What comes later of another kind has a key of its own.
            kit.saw(released(cards::DELIVERY_LOST, "four", Outcome::Accepted));
            assert_eq!(state(&kit, "delivery-lost"), want);
        }
    }

    #[test]
    fn a_whole_integration_passes() {
        let folder = tempfile::tempdir().unwrap();
        let kit = Conformance::new(folder.path().join("report.json")).unwrap();
        let checked = Seen::Checked {
            card: cards::COVERED,
            covered: true,
        };
        kit.saw(checked);
        kit.saw(claimed(cards::COVERED, "a", Outcome::Accepted));
        kit.saw(claimed(cards::RESERVED, "b", Outcome::Refused));
        kit.saw(claimed(cards::RESERVED, "b", Outcome::Refused));
        kit.saw(claimed(cards::LOST, "c", Outcome::Lost));
        kit.saw(claimed(cards::LOST, "c", Outcome::Accepted));
        kit.saw(claimed(cards::UNREACHABLE, "d", Outcome::Queued));
        kit.saw(Seen::QueueAsked);
        kit.saw(claimed(cards::DELIVERED, "e", Outcome::Accepted));
        kit.saw(claimed(cards::RELEASED, "f", Outcome::Accepted));
        kit.saw(released(cards::RELEASED, "g", Outcome::Accepted));
        kit.saw(claimed(cards::RELEASE_LOST, "h", Outcome::Accepted));
        kit.saw(released(cards::RELEASE_LOST, "i", Outcome::Lost));
        kit.saw(released(cards::RELEASE_LOST, "i", Outcome::Accepted));
        kit.saw(claimed(cards::DELIVERY_LOST, "j", Outcome::Accepted));
        kit.saw(delivered(cards::DELIVERY_LOST, "k", Outcome::Lost));
        kit.saw(delivered(cards::DELIVERY_LOST, "k", Outcome::Accepted));
        assert!(!kit.answer().passed);
        kit.saw(delivered(cards::DELIVERED, "l", Outcome::Accepted));
        kit.saw(Seen::ReceiptRead);
        assert!(kit.answer().passed);
        kit.saw(claimed(cards::RESERVED, "m", Outcome::Refused));
        assert_eq!(state(&kit, "refused"), "failed");
    }
}
