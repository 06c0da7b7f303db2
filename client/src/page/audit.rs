//! The report of an audit for people: what holds, how often that was checked, what the ledger is used
//! for, how fast its members are.

mod entries;

use maud::{Markup, html};
use proto::refusal::Reason;

use super::drawing;
use super::language::Language;
use super::{card, document, states, tile, verdict};
use crate::auditor::check::Check;
use crate::auditor::findings::{
    CheckFacts, CosigningFacts, EventFacts, FailureFacts, Findings, MemberDelays,
};

/// The page; it says what `findings` does, and nothing more.
#[must_use]
pub fn page(findings: &Findings) -> String {
    let title = format!("Audit · {} · Vitrail", findings.origin);
    document(&title, |language| body(findings, language))
}

fn body(findings: &Findings, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    html! {
        header {
            h1 { (say("Audit du registre ", "Audit of the ledger ")) strong { (findings.origin) } }
            p.origin {
                (say("établi le ", "made on ")) (language.moment(&findings.made_at))
                (say(" d'après ", " from ")) code { (findings.log) }
            }
        }
        (outcome(findings, language))
        @if let Some(failure) = &findings.failure { (failed(failure, language)) }
        (figures(findings, language))
        (checks(&findings.checks, findings.failure.as_ref(), language))
        (entries::card(findings, language))
        (events(&findings.events, language))
        (cosigning(&findings.cosigning, language))
        (cosigned(findings, language))
        (runs(findings, language))
        footer {
            p {
                (say(
                    "Ce rapport ne contient aucune donnée personnelle : des nombres, des empreintes, des noms de membres. \
                     Les mêmes faits pour un programme sont dans report.json.",
                    "This report has no personal data: figures, hashes, names of members. \
                     The same facts for a program are in report.json.",
                ))
            }
            p {
                (say("Chacun peut le refaire : ", "Anybody can make it again: "))
                code { "vitrail audit --report" }
            }
        }
    }
}

fn outcome(findings: &Findings, language: Language) -> Markup {
    let verified = language.number(findings.verified);
    let sentence = match (language, findings.holds) {
        (Language::French, true) => {
            format!("Tout est vérifié : {verified} écritures, de la première à la dernière.")
        }
        (Language::French, false) => {
            format!("Le registre ne passe pas l'audit. {verified} écritures ont été vérifiées.")
        }
        (Language::English, true) => {
            format!("Everything holds: {verified} entries, from the first to the last.")
        }
        (Language::English, false) => {
            format!("The ledger does not pass. {verified} entries were verified.")
        }
    };
    let quorum = match (language, findings.holds) {
        (_, false) => String::new(),
        (Language::French, true) => format!(
            "Un quorum de {} membres votants sur {} se porte garant du même état.",
            findings.roster.quorum, findings.roster.voting
        ),
        (Language::English, true) => format!(
            "A quorum of {} of {} voting members vouches for the same state.",
            findings.roster.quorum, findings.roster.voting
        ),
    };
    verdict(findings.holds, &sentence, &quorum)
}

fn failed(failure: &FailureFacts, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let check = failure.check.and_then(named);
    let evidence = failure.evidence.as_ref();
    let content = html! {
        @if let Some(check) = check {
            p { (say("Ne tient pas : ", "Does not hold: ")) (say(check.french(), check.english())) "." }
        }
        p {
            @if let Some(entry) = failure.entry {
                (say("Écriture n° ", "Entry ")) (language.number(entry)) ". "
            }
            (say("Le programme dit : ", "The program says: ")) code lang="en" { (failure.what) }
        }
        @match evidence {
            None => p {
                (say(
                    "Rien de signé ne permet d'accuser un membre : une copie fautive ou un serveur en défaut suffit à l'expliquer.",
                    "Nothing that was signed accuses a member: a bad copy or a faulty server is enough to explain it.",
                ))
            },
            Some(evidence) => {
                @if evidence.holds {
                    p.accused {
                        strong { (evidence.members.join(", ")) } " : "
                        (say(&evidence.french, &evidence.english))
                    }
                }
                p {
                    (say("Preuve, vérifiable sans réseau : ", "Evidence, verified without a network: "))
                    code { (evidence.file) }
                }
                (states::side_by_side(&evidence.states, &evidence.members, language))
            }
        }
    };
    card(
        "failure",
        language,
        say("Ce qui ne tient pas", "What does not hold"),
        &content,
    )
}

fn named(code: &str) -> Option<Check> {
    Check::ALL
        .iter()
        .copied()
        .find(|check| check.code() == code)
}

fn figures(findings: &Findings, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let number = |it: usize| language.number(it as u64);
    let (epoch, last) = (findings.roster.epoch, findings.runs.last());
    let new = last.map_or(0, |run| run.to - run.from);
    html! {
        dl.tiles {
            (tile(say("Écritures vérifiées", "Entries verified"), &language.number(findings.verified), &bytes(findings.entry_bytes, language)))
            (tile(
                say("Nouvelles depuis l'audit précédent", "New since the audit before"),
                &language.number(new),
                &format!("{} {}", say("audits à la suite :", "audits in a row:"), number(findings.runs.len())),
            ))
            (tile(say("Clés de l'état des droits", "Keys of the map"), &number(findings.map_keys), ""))
            (tile(
                say("Composition de la fédération", "Roster of the federation"),
                &format!("n° {epoch}"),
                &format!("{} {}", number(findings.roster.voting), say("membres votants", "voting members")),
            ))
        }
    }
}

fn bytes(bytes: u64, language: Language) -> String {
    let (unit, of) = match bytes {
        0..10_000 => (1, language.say("octets", "bytes")),
        10_000..10_000_000 => (1_000, language.say("ko", "kB")),
        _ => (1_000_000, language.say("Mo", "MB")),
    };
    format!("{}\u{a0}{of}", language.number(bytes / unit))
}

fn checks(checks: &[CheckFacts], failure: Option<&FailureFacts>, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let mark = |facts: &CheckFacts| match (facts.holds, facts.count, failure) {
        (false, ..) => ("bad", say("✗ ne tient pas", "✗ does not hold")),
        (true, 0, Some(_)) => ("unknown", say("non atteint", "not reached")),
        (true, 0, None) => ("unknown", say("sans objet", "not needed")),
        (true, ..) => ("good", say("✓ tient", "✓ holds")),
    };
    let content = html! {
        table.checks {
            thead {
                tr {
                    th scope="col" { (say("Contrôle", "Check")) }
                    th.figure scope="col" { (say("Fois", "Times")) }
                    th scope="col" { (say("Résultat", "Result")) }
                }
            }
            tbody {
                @for facts in checks {
                    @let (class, word) = mark(facts);
                    tr data-check=(facts.check) {
                        th scope="row" {
                            (sentence(named(facts.check).map_or("", |it| say(it.french(), it.english()))))
                        }
                        td.figure { (language.number(facts.count)) }
                        td class=(class) { (word) }
                    }
                }
            }
        }
    };
    card(
        "checks",
        language,
        say("Ce qui a été vérifié", "What was checked"),
        &content,
    )
}

/// With a capital, as a sentence begins.
fn sentence(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + rest.as_str() + "."
}

/// The words for what happened to a claim, and the class of its colour.
fn event(facts: &EventFacts, language: Language) -> (&'static str, &'static str) {
    let say = |french, english| language.say(french, english);
    match facts.event {
        "claimed" => ("k-claim", say("Réservation", "Claim")),
        "claimed-early" => (
            "k-claim",
            say(
                "Réservation anticipée, sur condition attestée",
                "Early claim, on an attested condition",
            ),
        ),
        "released" => ("k-release", say("Réservation rendue", "Claim given back")),
        "delivered" => (
            "k-delivery",
            say("Première livraison, facturée", "First delivery, invoiced"),
        ),
        "corrected" => ("k-delivery", say("Facture corrigée", "Invoice corrected")),
        "replaced" => (
            "k-delivery",
            say("Remplacement sous garantie", "Replaced under warranty"),
        ),
        "returned" => (
            "k-release",
            say("Équipement rapporté après livraison", "Goods brought back"),
        ),
        "paid" => (
            "k-settlement",
            say("Payée par un organisme", "Paid by a payer"),
        ),
        "rejected" => (
            "k-refused",
            say("Rejetée par un organisme", "Rejected by a payer"),
        ),
        _ => (
            "k-refused",
            say(
                "Paiement repris par un organisme",
                "Payment taken back by a payer",
            ),
        ),
    }
}

fn events(events: &[EventFacts], language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let most = events.iter().map(|facts| facts.count).max().unwrap_or(0);
    let reason = |code: &str| Reason::ALL.iter().find(|it| it.code() == code);
    let content = html! {
        p.said {
            (say(
                "Une demande que les règles refusent n'entre pas au registre : elle n'est comptée nulle part. \
                 Ce que les organismes rejettent ou reprennent y est, avec son motif.",
                "A request that the rules refuse does not enter the ledger, so it is counted nowhere. \
                 What payers reject or take back is in it, with the reason.",
            ))
        }
        @if events.is_empty() {
            p { (say("Aucune demande encore.", "No claim yet.")) }
        } @else {
            table.events {
                thead {
                    tr {
                        th scope="col" { (say("Ce qui est arrivé", "What happened")) }
                        th.figure scope="col" { (say("Fois", "Times")) }
                        td {}
                    }
                }
                tbody {
                    @for facts in events {
                        @let (class, word) = event(facts, language);
                        tr data-event=(facts.event) {
                            th scope="row" {
                                (word)
                                @if let Some(reason) = facts.reason.and_then(reason) {
                                    span.more {
                                        (say(reason.french(), reason.english())) " " code { (reason.code()) }
                                    }
                                }
                            }
                            td.figure { (language.number(facts.count)) }
                            td { (drawing::lying(class, facts.count, most)) }
                        }
                    }
                }
            }
        }
    };
    card(
        "events",
        language,
        say("Ce que sont devenues les demandes", "What became of claims"),
        &content,
    )
}

fn cosigning(facts: &CosigningFacts, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let (sampled, idle) = (language.number(facts.sampled), language.number(facts.idle));
    let said = match language {
        Language::French => format!(
            "Entre la dernière écriture d'un état et la cosignature de chaque membre, en secondes entières. \
             {sampled} états relevés pendant les audits ; {idle} autres, cosignés à nouveau sans écriture, ne disent rien d'un délai."
        ),
        Language::English => format!(
            "From the newest entry of a state to each member's cosignature, in whole seconds. \
             {sampled} states seen during audits; {idle} more had been cosigned again without a write and tell no delay."
        ),
    };
    let content = html! {
        p.said { (said) }
        @if facts.members.is_empty() {
            p { (say("Aucun relevé encore.", "Nothing seen yet.")) }
        } @else {
            table.delays {
                thead {
                    tr {
                        th scope="col" { (say("Membre", "Member")) }
                        th.figure scope="col" { (say("États", "States")) }
                        th.figure scope="col" { (say("Médiane", "Median")) }
                        th.figure scope="col" { (say("99 sur 100", "99 of 100")) }
                        th scope="col" { (say("Répartition, en secondes", "Distribution, in seconds")) }
                    }
                }
                tbody { @for member in &facts.members { (delays(member, language)) } }
            }
        }
    };
    card(
        "cosigning",
        language,
        say("Délai de cosignature", "Cosignature delay"),
        &content,
    )
}

fn delays(member: &MemberDelays, language: Language) -> Markup {
    let seconds = |it: u32| format!("{}\u{a0}s", language.number(u64::from(it)));
    let (median, p99) = (seconds(member.median_s), seconds(member.p99_s));
    let said = match language {
        Language::French => format!("{} : médiane {median}, 99 sur 100 en {p99}", member.member),
        Language::English => format!("{}: median {median}, 99 of 100 within {p99}", member.member),
    };
    let delays: Vec<(u32, u64)> = member
        .delays
        .iter()
        .map(|it| (it.seconds, it.count))
        .collect();
    html! {
        tr data-member=(member.member) {
            th scope="row" { (member.member) }
            td.figure { (language.number(member.samples)) }
            td.figure { (median) }
            td.figure { (p99) }
            td { (drawing::seconds(&delays, &said)) }
        }
    }
}

fn cosigned(findings: &Findings, language: Language) -> Markup {
    let Some(state) = &findings.checkpoint else {
        return html! {};
    };
    let content = states::side_by_side(std::slice::from_ref(state), &[], language);
    let heading = match findings.holds {
        true => language.say("L'état cosigné", "The cosigned state"),
        false => language.say("Le dernier état vérifié", "The state verified last"),
    };
    card("state", language, heading, &content)
}

fn runs(findings: &Findings, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let content = html! {
        table {
            thead {
                tr {
                    th scope="col" { (say("Point de contrôle du", "Checkpoint of")) }
                    th.figure scope="col" { (say("Déjà vérifiées", "Verified before")) }
                    th.figure scope="col" { (say("Vérifiées à la fin", "Verified at the end")) }
                }
            }
            tbody {
                @for run in findings.runs.iter().rev() {
                    tr {
                        th scope="row" { (language.moment(&run.at)) }
                        td.figure { (language.number(run.from)) }
                        td.figure { (language.number(run.to)) }
                    }
                }
            }
        }
    };
    match findings.runs.is_empty() {
        true => html! {},
        false => card(
            "runs",
            language,
            say("Les audits à la suite", "The audits in a row"),
            &content,
        ),
    }
}
