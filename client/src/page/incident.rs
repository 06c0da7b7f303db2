//! What a till's key looked at, for people: a timeline, the list, and which of the own contracts those
//! were. Who holds the page learns pseudorandom keys and an insurer's own references, so it is for
//! those who look into the incident alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use maud::{Markup, html};
use proto::attestation::LookOutcome;
use proto::ids::UnixMillis;
use proto::roster::Roster;
use proto::signing::PublicKey;

use super::drawing::{self, Bar};
use super::language::Language;
use super::{card, document, tile};
use crate::contracts::Reference;
use crate::incident::{AffectedContracts, IncidentList, Touched};

/// Bars of the timeline.
const BARS: u64 = 48;
/// The shortest span of a bar, in milliseconds: a minute.
const BAR_MS_MIN: u64 = 60_000;

/// What the page is about.
#[derive(Debug, Clone, Copy)]
pub struct Incident<'a> {
    /// The till's key.
    pub till: &'a PublicKey,
    /// From when on its looks were asked for.
    pub since: UnixMillis,
    /// Its looks.
    pub list: &'a IncidentList,
    /// Which of the own contracts they were about, if a contracts file was given.
    pub contracts: Option<&'a AffectedContracts>,
    /// The federation, for the members' names.
    pub roster: &'a Roster,
}

/// The page.
#[must_use]
pub fn page(incident: &Incident<'_>) -> String {
    let title = format!("Incident · {} · Vitrail", incident.roster.origin());
    document(&title, |language| body(incident, language))
}

fn body(incident: &Incident<'_>, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let list = incident.list;
    html! {
        header {
            h1 { (say("Ce qu'un poste a consulté", "What a till looked at")) }
            p.origin {
                (say("clé du poste ", "the till's key ")) code { (incident.till.to_base64()) }
                (say(", depuis le ", ", since ")) (language.moment(&incident.since.to_iso()))
            }
        }
        (figures(incident, language))
        (timeline(&list.touched, language))
        @if let Some(contracts) = incident.contracts { (affected(contracts, list, language)) }
        (looks(incident, language))
        footer {
            p {
                (say(
                    "Confidentiel : ces clés sont des pseudonymes, et les références celles de l'organisme. \
                     Aucun assuré n'y est nommé ; seul l'organisme qui a le contrat peut le reconnaître.",
                    "Confidential: these keys are pseudonyms, and the references are the insurer's own. \
                     Nobody is named; only the insurer that has the contract can tell whose it is.",
                ))
            }
        }
    }
}

const fn class(outcome: LookOutcome) -> &'static str {
    match outcome {
        LookOutcome::Answered => "o-answered",
        LookOutcome::Failed => "o-failed",
        LookOutcome::Refused(_) => "o-refused",
    }
}

const CLASSES: [&str; 3] = ["o-answered", "o-failed", "o-refused"];

fn word(class: &str, language: Language) -> &'static str {
    match class {
        "o-answered" => language.say("répondues", "answered"),
        "o-failed" => language.say("sans réponse", "not answered"),
        _ => language.say("refusées", "refused"),
    }
}

fn count(touched: &[Touched], wanted: &str) -> u64 {
    let looks = touched.iter().filter(|look| class(look.outcome) == wanted);
    looks.count() as u64
}

fn figures(incident: &Incident<'_>, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let list = incident.list;
    let number = |it: u64| language.number(it);
    let answered = number(count(&list.touched, "o-answered"));
    let refused = number(count(&list.touched, "o-refused"));
    let records = match language {
        Language::French => "relevés de tous les postes ; ",
        Language::English => "records of all tills; ",
    };
    let erased = language.counted(list.erased, ("effacé", "effacés"), ("erased", "erased"));
    let records = format!("{records}{erased}");
    html! {
        dl.tiles {
            (tile(say("Consultations", "Looks"), &number(list.touched.len() as u64), ""))
            (tile(say("Répondues", "Answered"), &answered, say("les seules qui ont appris quelque chose", "the only ones that learned something")))
            (tile(say("Refusées", "Refused"), &refused, say("la tentative est au registre", "the attempt is on record")))
            @if let Some(contracts) = incident.contracts {
                (tile(
                    say("Contrats concernés", "Contracts affected"),
                    &number(contracts.contracts.len() as u64),
                    &format!("{} {}", say("sur", "of"), number(contracts.read)),
                ))
            }
            (tile(say("Écritures relues", "Entries verified"), &number(list.entries), &records))
        }
    }
}

/// When a span of time begins, and how many looks of each class are in it.
type Span = (UnixMillis, BTreeMap<&'static str, u64>);

/// The looks in equal spans of so many milliseconds, from the first one to the last.
fn spans(touched: &[Touched]) -> (u64, Vec<Span>) {
    let moments = touched.iter().map(|look| look.at.get());
    let (Some(first), Some(last)) = (moments.clone().min(), moments.max()) else {
        return (BAR_MS_MIN, Vec::new());
    };
    let span = ((last - first) / BARS + 1).max(BAR_MS_MIN);
    let bars = (last - first) / span + 1;
    let begin = |bar: u64| UnixMillis::new(first + bar * span);
    let mut spans: Vec<_> = (0..bars).map(|bar| (begin(bar), BTreeMap::new())).collect();
    for look in touched {
        let bar = usize::try_from((look.at.get() - first) / span).unwrap_or(usize::MAX);
        if let Some((_, counts)) = spans.get_mut(bar) {
            *counts.entry(class(look.outcome)).or_default() += 1;
        }
    }
    (span, spans)
}

fn timeline(touched: &[Touched], language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let (span, spans) = spans(touched);
    let minutes = language.number(span.div_ceil(60_000));
    let said = match language {
        Language::French => {
            format!("Consultations dans le temps, une barre toutes les {minutes} min.")
        }
        Language::English => format!("Looks over time, a bar every {minutes} min."),
    };
    let bars: Vec<Bar> = spans
        .into_iter()
        .map(|(at, counts)| Bar {
            label: language.day_and_hour(&at.to_iso()),
            parts: CLASSES
                .into_iter()
                .map(|class| (class, counts.get(class).copied().unwrap_or(0)))
                .collect(),
        })
        .collect();
    let content = html! {
        @if bars.is_empty() {
            p { (say("Aucune consultation.", "No look.")) }
        } @else {
            (drawing::stacked(&bars, &said, language))
            ul.legend {
                @for class in CLASSES {
                    li {
                        svg.key viewBox="0 0 12 12" aria-hidden="true" { rect class=(class) width="12" height="12" rx="2" {} }
                        (word(class, language)) " " strong { (language.number(count(touched, class))) }
                    }
                }
            }
        }
    };
    card(
        "timeline",
        language,
        say("Dans le temps (UTC)", "Over time (UTC)"),
        &content,
    )
}

fn affected(contracts: &AffectedContracts, list: &IncidentList, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let answered = |looks: &[usize]| {
        let mut outcomes = looks.iter().filter_map(|place| list.touched.get(*place));
        outcomes.any(|look| look.outcome == LookOutcome::Answered)
    };
    let content = html! {
        table.contracts {
            thead {
                tr {
                    th scope="col" { (say("Référence", "Reference")) }
                    th.figure scope="col" { (say("Ligne du fichier", "Line of the file")) }
                    th scope="col" { (say("A appris quelque chose", "Learned something")) }
                    th scope="col" { (say("Consultations", "Looks")) }
                }
            }
            tbody {
                @for contract in &contracts.contracts {
                    @let (class, said) = match answered(&contract.looks) {
                        true => ("bad", say("oui", "yes")),
                        false => ("good", say("non", "no")),
                    };
                    tr {
                        th scope="row" { (contract.reference.as_ref().map_or("–", Reference::as_str)) }
                        td.figure { (contract.line) }
                        td class=(class) { (said) }
                        td { (places(&contract.looks)) }
                    }
                }
            }
        }
    };
    card(
        "contracts",
        language,
        say(
            "Contrats de l'organisme qui ont été consultés",
            "Own contracts that were looked at",
        ),
        &content,
    )
}

fn places(looks: &[usize]) -> String {
    let places: Vec<String> = looks.iter().map(ToString::to_string).collect();
    places.join(", ")
}

fn looks(incident: &Incident<'_>, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let content = html! {
        table.looks {
            thead {
                tr {
                    th.figure scope="col" { (say("N°", "No.")) }
                    th scope="col" { (say("Moment", "Moment")) }
                    th scope="col" { (say("Réponse", "Answer")) }
                    th scope="col" { (say("Nœud", "Node")) }
                    th.figure scope="col" { (say("Écriture", "Entry")) }
                    th scope="col" { (say("Clés consultées", "Keys looked at")) }
                }
            }
            tbody {
                @for (place, look) in incident.list.touched.iter().enumerate() {
                    (row(place, look, incident.roster, language))
                }
            }
        }
    };
    card(
        "looks",
        language,
        say("Chaque consultation", "Each look"),
        &content,
    )
}

fn row(place: usize, look: &Touched, roster: &Roster, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let node = roster.member_by_key(&look.node);
    let node = node.map_or_else(|| look.node.to_base64(), |member| member.name.to_string());
    let (slots, coverages) = (look.slots.len() as u64, look.coverages.len() as u64);
    let slots_said = language.counted(slots, ("droit", "droits"), ("slot", "slots"));
    let coverages_said = language.counted(
        coverages,
        ("prise en charge", "prises en charge"),
        ("coverage", "coverages"),
    );
    let summary = format!("{slots_said}, {coverages_said}");
    let slots = look.slots.iter().map(|key| hex(key.as_bytes()));
    let coverages = look.coverages.iter().map(|key| hex(key.as_bytes()));
    html! {
        tr data-outcome=(class(look.outcome)) {
            td.figure { (place) }
            th scope="row" { (language.moment(&look.at.to_iso())) }
            td {
                @match look.outcome {
                    LookOutcome::Answered => (say("répondue", "answered")),
                    LookOutcome::Failed => (say("sans réponse", "not answered")),
                    LookOutcome::Refused(reason) => {
                        (say("refusée", "refused"))
                        span.more { (say(reason.french(), reason.english())) }
                    }
                }
            }
            td { (node) }
            td.figure { (language.number(look.entry.get())) }
            td {
                details {
                    summary { (summary) }
                    ul.keys {
                        @for key in slots { li { (say("droit ", "slot ")) code { (key) } } }
                        @for key in coverages { li { (say("prise en charge ", "coverage ")) code { (key) } } }
                    }
                }
            }
        }
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing into a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use proto::ids::{CoverageKey, LeafIndex, SlotKey};
    use proto::refusal::Reason;

    use super::*;
    use crate::example::{Ledger, secret};

    fn look(at: u64, outcome: LookOutcome) -> Touched {
        Touched {
            entry: LeafIndex::new(9),
            node: secret("amo").public(),
            at: UnixMillis::new(at),
            outcome,
            slots: vec![SlotKey::from_bytes([0x1a; 32])],
            coverages: Vec::new(),
        }
    }

    #[test]
    fn a_timeline_has_each_look_once_whatever_its_length() {
        for days in [0, 1, 40, 4_000] {
            let at = |part: u64| 1_768_000_000_000 + days * 86_400_000 * part / 10;
            let looks: Vec<_> = (0..=10)
                .map(|part| look(at(part), LookOutcome::Answered))
                .collect();
            let (span, spans) = spans(&looks);
            let total: u64 = spans.iter().flat_map(|(_, counts)| counts.values()).sum();
            assert_eq!(total, 11);
            assert!(spans.len() as u64 <= BARS && span >= BAR_MS_MIN);
        }
    }

    #[test]
    fn one_slot_and_no_coverage_are_said_as_people_say_them() {
        let one = look(1_768_000_000_000, LookOutcome::Answered);
        let roster = &Ledger::new().roster;
        let french = row(0, &one, roster, Language::French).into_string();
        assert!(french.contains("<summary>1 droit, 0 prise en charge</summary>"));
        let english = row(0, &one, roster, Language::English).into_string();
        assert!(english.contains("<summary>1 slot, 0 coverages</summary>"));
        let more = Touched {
            coverages: vec![CoverageKey::from_bytes([2; 32]); 2],
            ..one
        };
        let french = row(0, &more, roster, Language::French).into_string();
        assert!(french.contains("<summary>1 droit, 2 prises en charge</summary>"));
    }

    #[test]
    fn a_page_names_nodes_and_says_why_a_look_was_refused() {
        let refused = LookOutcome::Refused(Reason::GrantRevoked);
        let list = IncidentList {
            touched: vec![
                look(1_768_000_000_000, LookOutcome::Answered),
                look(1_768_000_100_000, refused),
            ],
            entries: 3,
            ..IncidentList::default()
        };
        let incident = Incident {
            till: &secret("till").public(),
            since: UnixMillis::new(0),
            list: &list,
            contracts: None,
            roster: &Ledger::new().roster,
        };
        let page = page(&incident);
        for said in [
            "<td>amo</td>",
            Reason::GrantRevoked.english(),
            &"1a".repeat(32),
            "09/01/2026 à 23:06:40 UTC",
        ] {
            assert!(page.contains(said), "{said}");
        }
    }
}
