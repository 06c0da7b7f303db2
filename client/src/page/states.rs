//! States of the ledger that members signed, side by side.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::language::Language;
use crate::auditor::findings::{SignerFacts, StateFacts};

/// A table with a column for each state. What differs is marked, and who signed both is named.
pub(super) fn side_by_side(states: &[StateFacts], guilty: &[String], language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let size = |it: &StateFacts| language.number(it.size);
    let signed_all = match states.len() {
        1 => say("l'a signé", "signed it"),
        _ => say("a signé les deux", "signed both"),
    };
    let names: BTreeSet<&str> = states
        .iter()
        .flat_map(|state| &state.signers)
        .map(|signer| signer.member.as_str())
        .collect();
    html! {
        table.states {
            thead {
                tr {
                    td {}
                    @for place in 1..=states.len() {
                        th scope="col" {
                            (say("État", "State"))
                            @if states.len() > 1 { " " (place) }
                        }
                    }
                }
            }
            tbody {
                (row(say("Écritures", "Entries"), &each(states, size), language))
                (row(say("Racine du journal", "Log root"), &each(states, |it| it.log_root.clone()), language))
                (row(say("Racine de l'état des droits", "Map root"), &each(states, |it| it.map_root.clone()), language))
                @for name in names {
                    tr.guilty[guilty.iter().any(|it| it == name)] {
                        th scope="row" {
                            (name)
                            @if guilty.iter().any(|it| it == name) {
                                span.more { (signed_all) }
                            }
                        }
                        @for state in states { td { (signed(state, name, language)) } }
                    }
                }
            }
        }
    }
}

fn each(states: &[StateFacts], figure: impl Fn(&StateFacts) -> String) -> Vec<String> {
    states.iter().map(figure).collect()
}

fn row(name: &str, figures: &[String], language: Language) -> Markup {
    let differ = figures
        .windows(2)
        .any(|two| matches!(two, [a, b] if a != b));
    html! {
        tr.differ[differ] {
            th scope="row" {
                (name)
                @if differ { span.more { (language.say("≠ diffère", "≠ differs")) } }
            }
            @for figure in figures { td.root { (figure) } }
        }
    }
}

fn signed(state: &StateFacts, name: &str, language: Language) -> String {
    let is_it = |signer: &&SignerFacts| signer.member == name;
    match state.signers.iter().find(is_it) {
        Some(signer) => language.moment(&signer.at),
        None => "–".to_owned(),
    }
}
