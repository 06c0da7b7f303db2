//! The operator's page as HTML.

use maud::{DOCTYPE, Markup, html};

use super::drawing;
use super::words::Language;
use crate::overview::{MemberOverview, Overview, Shares};

/// The page; `refreshes` if it loads itself again.
pub(super) fn page(seen: &Overview, language: Language, refreshes: bool) -> String {
    let say = |french, english| language.say(french, english);
    let title = format!("{} · {} · Vitrail", say("État", "State"), seen.name);
    let markup = html! {
        (DOCTYPE)
        html lang=(language.code()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="stylesheet" href="/etat.css";
            }
            body {
                (header(seen, language, refreshes))
                main {
                    (alarms(seen, language))
                    (tiles(seen, language))
                    (members(&seen.members, language))
                    section.card {
                        h2 { (say("Écritures par minute", "Entries a minute")) }
                        (drawing::hour(&seen.appended, language))
                    }
                }
                footer {
                    p {
                        (say("Les mêmes faits pour un programme : ", "The same facts for a program: "))
                        a href="/etat.json" { "/etat.json" }
                        (say(" ; vérifier un reçu : ", "; verify a receipt: "))
                        a href="/recu" { "/recu" }
                    }
                }
            }
        }
    };
    markup.into_string()
}

fn header(seen: &Overview, language: Language, refreshes: bool) -> Markup {
    let other = language.other();
    let again = if refreshes { "" } else { "&refresh" };
    let kept = if refreshes { "&refresh" } else { "" };
    html! {
        header {
            div {
                h1 { (language.say("État du nœud ", "State of the node ")) strong { (seen.name) } }
                p.origin {
                    (seen.origin) " · " (language.say("composition n° ", "roster no. ")) (seen.epoch)
                    " · " (language.condition(seen.condition))
                }
            }
            nav aria-label=(language.say("Affichage", "Display")) {
                a href={ "?lang=" (language.code()) (again) } {
                    @if refreshes { (language.say("Ne plus actualiser", "Stop refreshing")) }
                    @else { (language.say("Actualiser sans cesse", "Keep refreshing")) }
                }
                a href={ "?lang=" (other.code()) (kept) } lang=(other.code()) hreflang=(other.code()) {
                    (other.say("Français", "English"))
                }
            }
        }
    }
}

fn alarms(seen: &Overview, language: Language) -> Markup {
    let calm = seen.alarms.is_empty();
    html! {
        section.alarms.calm[calm] {
            h2 { (language.say("Alarmes", "Alarms")) }
            @if calm {
                p { (language.say("Rien à signaler.", "Nothing to report.")) }
            } @else {
                ul { @for alarm in &seen.alarms { li { (language.alarm(alarm)) } } }
            }
        }
    }
}

/// The figures that are looked at first.
fn tiles(seen: &Overview, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let unknown = || say("inconnu", "unknown").to_owned();
    let age = seen.checkpoint_age_s.map(|age| language.duration(age));
    let backup = seen.backup_age_s.map(|age| language.duration(age));
    let may_fail = seen.may_fail.map(|count| count.to_string());
    let disk = seen.disk.map(|disk| language.bytes(disk.free_bytes));
    let stops = seen.disk.map_or_else(String::new, |disk| {
        let watermark = language.bytes(disk.watermark_bytes);
        format!(
            "{} {watermark}",
            say("arrêt des écritures sous", "writes stop below")
        )
    });
    let quorum = match language {
        Language::French => format!("quorum de {} membres votants", seen.quorum),
        Language::English => format!("a quorum is {} voting members", seen.quorum),
    };
    let leader = seen.leader.clone().unwrap_or_else(unknown);
    html! {
        dl.tiles {
            (tile(say("Écritures", "Entries"), &language.number(seen.size), ""))
            (tile(
                say("Dernier point de contrôle", "Newest checkpoint"),
                &age.unwrap_or_else(unknown),
                say("depuis qu'un quorum l'a contresigné", "since a quorum cosigned it"),
            ))
            (tile(
                say("Pannes encore permises", "May still fail"),
                &may_fail.unwrap_or_else(unknown),
                &quorum,
            ))
            (tile(say("Mène", "Leads"), &leader, ""))
            (shares(&seen.shares, language))
            (tile(say("Disque libre", "Free disk"), &disk.unwrap_or_else(unknown), &stops))
            (tile(
                say("Dernière sauvegarde", "Last backup"),
                &backup.unwrap_or_else(|| say("jamais", "never").to_owned()),
                say("par « vitrail-node backup »", "by `vitrail-node backup`"),
            ))
        }
    }
}

fn shares(shares: &Shares, language: Language) -> Markup {
    let reached = format!("{} / {}", shares.present, shares.held);
    let (held, threshold) = (shares.held, shares.threshold);
    let own = match shares.own {
        Some(true) => language.say("ce nœud a la sienne", "this node has its own"),
        Some(false) => language.say("celle de ce nœud manque", "this node's is missing"),
        None => language.say("aucune ici", "none here"),
    };
    let more = match language {
        Language::French => format!("il en faut {threshold} sur {held} ; {own}"),
        Language::English => format!("it takes {threshold} of {held}; {own}"),
    };
    let name = language.say("Parts des clés communes", "Shares of the joint keys");
    tile(name, &reached, &more)
}

fn tile(name: &str, figure: &str, more: &str) -> Markup {
    html! {
        div {
            dt { (name) }
            dd {
                span.figure { (figure) }
                @if !more.is_empty() { span.more { (more) } }
            }
        }
    }
}

fn members(members: &[MemberOverview], language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    html! {
        section.card {
            h2 #members { (say("Membres", "Members")) }
            div.wide tabindex="0" role="group" aria-labelledby="members" {
                table {
                    thead {
                        tr {
                            th scope="col" { (say("Membre", "Member")) }
                            th scope="col" { (say("Vote", "Vote")) }
                            th scope="col" { (say("Présent", "Present")) }
                            th scope="col" { (say("A contresigné", "Cosigned")) }
                            th scope="col" { (say("Retard", "Behind")) }
                            th scope="col" { (say("Il y a", "Ago")) }
                        }
                    }
                    tbody { @for it in members { (member(it, language)) } }
                }
            }
        }
    }
}

fn member(member: &MemberOverview, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let count = |it: Option<u64>| it.map_or_else(|| "–".to_owned(), |it| language.number(it));
    let ago = member.cosigned_ago_s.map(|ago| language.duration(ago));
    let (state, word) = match (member.present, member.voting) {
        (true, _) => ("here", say("oui", "yes")),
        (false, true) => ("away", say("absent", "away")),
        (false, false) => ("unknown", say("inconnu", "unknown")),
    };
    html! {
        tr data-member=(member.name) {
            th scope="row" { (member.name) span.more { (language.role(member.role)) } }
            td { @if member.voting { (say("vote", "votes")) } @else { (say("suit", "follows")) } }
            td class=(state) { (word) }
            td.figure { (count(member.cosigned)) }
            td.figure { (count(member.behind)) }
            td.figure { (ago.unwrap_or_else(|| "–".to_owned())) }
        }
    }
}
