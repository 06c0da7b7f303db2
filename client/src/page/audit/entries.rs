//! The entries of each day by kind, drawn.

use std::collections::BTreeMap;

use maud::{Markup, html};
use proto::entry::Kind;
use proto::ids::Day;

use super::super::drawing::{self, Bar};
use super::super::language::Language;
use crate::auditor::findings::{DayFacts, Findings};

/// Most bars of a plot: the newest days, months or years.
const BARS_MAX: usize = 120;
/// Up to so many days each has a bar, then each month, then each year.
const DAYS_MAX: u32 = 62;
const MONTHS_DAYS_MAX: u32 = 1_827;

/// The classes of the plot's colours, by kind.
const fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Roster => "k-roster",
        Kind::Catalogue => "k-catalogue",
        Kind::Grant => "k-grant",
        Kind::Revocation => "k-revocation",
        Kind::Coverage => "k-coverage",
        Kind::Claim => "k-claim",
        Kind::Release => "k-release",
        Kind::Erasure => "k-erasure",
        Kind::Delivery => "k-delivery",
        Kind::Settlement => "k-settlement",
        Kind::Access => "k-access",
    }
}

/// The plot with its legend, and the same figures as a table.
pub(super) fn card(findings: &Findings, language: Language) -> Markup {
    let say = |french, english| language.say(french, english);
    let bars = grouped(&findings.days);
    let most = bars
        .iter()
        .map(|(_, kinds)| kinds.values().sum::<u64>())
        .max();
    let (verified, most) = (
        language.number(findings.verified),
        language.number(most.unwrap_or(0)),
    );
    let span = match (findings.days.first(), findings.days.last()) {
        (Some(first), Some(last)) => format!("{} – {}", first.day, last.day),
        _ => "–".to_owned(),
    };
    let said = match language {
        Language::French => {
            format!("{verified} écritures, {span} ; la plus haute barre en a {most}.")
        }
        Language::English => format!("{verified} entries, {span}; the highest bar has {most}."),
    };
    let drawn: Vec<Bar> = bars
        .iter()
        .map(|(label, kinds)| Bar {
            label: label.clone(),
            parts: Kind::ALL
                .into_iter()
                .map(|kind| (class(kind), kinds.get(kind.as_str()).copied().unwrap_or(0)))
                .collect(),
        })
        .collect();
    let content = html! {
        (drawing::stacked(&drawn, &said, language))
        ul.legend {
            @for kind in Kind::ALL {
                @if let Some(count) = findings.kinds.get(kind.as_str()) {
                    li {
                        svg.key viewBox="0 0 12 12" aria-hidden="true" { rect class=(class(kind)) width="12" height="12" rx="2" {} }
                        (language.kind(kind.as_str())) " " strong { (language.number(*count)) }
                    }
                }
            }
        }
        details {
            summary { (say("Les mêmes nombres en tableau", "The same figures as a table")) }
            (table(&bars, language))
        }
    };
    super::card(
        "entries",
        language,
        say("Écritures par jour et par espèce", "Entries a day, by kind"),
        &content,
    )
}

type Grouped = Vec<(String, BTreeMap<&'static str, u64>)>;

/// The days that have a bar, or the months or years where there are many, without gaps.
fn grouped(days: &[DayFacts]) -> Grouped {
    let day = |facts: Option<&DayFacts>| facts.and_then(|facts| facts.day.parse::<Day>().ok());
    let (Some(first), Some(last)) = (day(days.first()), day(days.last())) else {
        return Vec::new();
    };
    let letters = match last.get() - first.get() {
        0..DAYS_MAX => "2026-01-01".len(),
        DAYS_MAX..MONTHS_DAYS_MAX => "2026-01".len(),
        _ => "2026".len(),
    };
    let name = |day: &str| day.get(..letters).unwrap_or(day).to_owned();
    let mut bars: BTreeMap<String, BTreeMap<&'static str, u64>> = BTreeMap::new();
    for day in first.get()..=last.get() {
        bars.entry(name(&Day::new(day).to_iso())).or_default();
    }
    for facts in days {
        let bar = bars.entry(name(&facts.day)).or_default();
        for (kind, count) in &facts.kinds {
            *bar.entry(kind).or_default() += count;
        }
    }
    let left_out = bars.len().saturating_sub(BARS_MAX);
    bars.into_iter().skip(left_out).collect()
}

fn table(bars: &Grouped, language: Language) -> Markup {
    let has = |kind: &Kind| {
        bars.iter()
            .any(|(_, kinds)| kinds.contains_key(kind.as_str()))
    };
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(has).collect();
    let days = bars.iter().filter(|(_, kinds)| !kinds.is_empty());
    html! {
        table.days {
            thead {
                tr {
                    th scope="col" { (language.say("Jour (UTC)", "Day (UTC)")) }
                    @for kind in &kinds { th.figure scope="col" { (language.kind(kind.as_str())) } }
                }
            }
            tbody {
                @for (label, counts) in days {
                    tr {
                        th scope="row" { (label) }
                        @for kind in &kinds {
                            td.figure { (language.number(counts.get(kind.as_str()).copied().unwrap_or(0))) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(day: &str, count: u64) -> DayFacts {
        DayFacts {
            day: day.to_owned(),
            kinds: BTreeMap::from([("claim", count)]),
        }
    }

    #[test]
    fn days_become_months_and_years_and_lose_no_entry() {
        assert!(grouped(&[]).is_empty());
        let days = grouped(&[on("2026-01-30", 1), on("2026-02-02", 2)]);
        let labels: Vec<_> = days.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(
            labels,
            ["2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02"]
        );
        let months = grouped(&[
            on("2026-01-30", 1),
            on("2026-01-31", 4),
            on("2026-05-02", 2),
        ]);
        let labels: Vec<_> = months.iter().map(|(label, _)| label.as_str()).collect();
        assert_eq!(
            labels,
            ["2026-01", "2026-02", "2026-03", "2026-04", "2026-05"]
        );
        assert_eq!(months[0].1["claim"], 5);
        let years = grouped(&[on("2016-01-30", 1), on("2026-05-02", 2)]);
        assert_eq!((years.len(), years[10].0.as_str()), (11, "2026"));
    }
}
