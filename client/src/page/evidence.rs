//! A file of evidence for people: who signed what, each step of its verification, and the states that
//! contradict each other side by side.

use maud::{Markup, html};
use proto::evidence::Step;

use super::language::Language;
use super::{card, document, states, verdict};
use crate::auditor::findings::EvidenceFacts;

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StepState {
    /// It holds.
    Passed,
    /// It does not hold.
    Failed,
    /// The file alone does not tell.
    Open,
    /// It was not reached.
    Unreached,
}

const STEPS: [Step; 4] = [
    Step::Format,
    Step::Signatures,
    Step::Proofs,
    Step::Contradiction,
];

/// The page; `failed` is the step that did not pass, and whether the log is what it takes to tell.
#[must_use]
pub fn page(evidence: &EvidenceFacts, origin: &str, failed: Option<(Step, bool)>) -> String {
    let title = format!("Preuve · {origin} · Vitrail");
    document(&title, |language| body(evidence, origin, failed, language))
}

fn body(
    evidence: &EvidenceFacts,
    origin: &str,
    failed: Option<(Step, bool)>,
    language: Language,
) -> Markup {
    let say = |french, english| language.say(french, english);
    let is_open = failed.is_some_and(|(_, takes_the_log)| takes_the_log);
    let sentence = match (evidence.holds, is_open) {
        (true, _) => format!(
            "{} : {}",
            evidence.members.join(", "),
            say(&evidence.french, &evidence.english)
        ),
        (false, true) => say(
            "Le fichier seul ne suffit pas : il faut relire le journal (vitrail audit).",
            "The file alone does not tell: it takes the log (vitrail audit).",
        )
        .to_owned(),
        (false, false) => say(
            "Ce fichier n'accuse personne : une étape ne tient pas.",
            "This file accuses nobody: a step does not hold.",
        )
        .to_owned(),
    };
    html! {
        header {
            h1 { (say("Preuve au sujet du registre ", "Evidence about the ledger ")) strong { (origin) } }
            p.origin { code { (evidence.file) } }
        }
        (verdict(false, &sentence, ""))
        (steps(failed, language))
        @if !evidence.states.is_empty() {
            (card(
                "states",
                language,
                say("Les états signés, côte à côte", "The signed states, side by side"),
                &states::side_by_side(&evidence.states, &evidence.members, language),
            ))
        }
        footer {
            p {
                (say("À refaire sans réseau : ", "To be done again without a network: "))
                code { "vitrail evidence verify --roster roster.txt " (evidence.file) }
            }
        }
    }
}

fn state_of(step: Step, failed: Option<(Step, bool)>) -> StepState {
    match failed {
        Some((at, true)) if at == step => StepState::Open,
        Some((at, false)) if at == step => StepState::Failed,
        Some((at, _)) if at < step => StepState::Unreached,
        _ => StepState::Passed,
    }
}

fn steps(failed: Option<(Step, bool)>, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let word = |state| match state {
        StepState::Passed => ("good", say("✓ tient", "✓ holds")),
        StepState::Failed => ("bad", say("✗ ne tient pas", "✗ does not hold")),
        StepState::Open => ("unknown", say("à relire dans le journal", "takes the log")),
        StepState::Unreached => ("unknown", say("non atteint", "not reached")),
    };
    let content = html! {
        table {
            tbody {
                @for step in STEPS {
                    @let (class, said) = word(state_of(step, failed));
                    tr data-step=(step.as_str()) {
                        th scope="row" { (say(french(step), step.sentence())) }
                        td class=(class) { (said) }
                    }
                }
            }
        }
    };
    card(
        "steps",
        language,
        say(
            "Vérification, étape par étape",
            "Verification, step by step",
        ),
        &content,
    )
}

const fn french(step: Step) -> &'static str {
    match step {
        Step::Format => "le fichier a la forme attendue, sans rien de plus ni de moins",
        Step::Signatures => "au moins un membre de la composition a signé les deux déclarations",
        Step::Proofs => "ce que le fichier ajoute mène aux racines signées",
        Step::Contradiction => "aucun membre honnête ne signe les deux",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_after_a_step_that_failed_was_not_reached() {
        let at = |failed| STEPS.map(|step| state_of(step, failed));
        use StepState::{Failed, Open, Passed, Unreached};
        assert_eq!(at(None), [Passed; 4]);
        let proofs = Some((Step::Proofs, false));
        assert_eq!(at(proofs), [Passed, Passed, Failed, Unreached]);
        let open = Some((Step::Contradiction, true));
        assert_eq!(at(open), [Passed, Passed, Passed, Open]);
    }
}
