//! Plots, drawn as SVG. Whole numbers only; what a plot shows is said in words or a table too.

use maud::{Markup, html};

use super::language::Language;

/// One bar: what stands under it, and how much of each class, from the bottom up.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) parts: Vec<(&'static str, u64)>,
}

impl Bar {
    fn total(&self) -> u64 {
        self.parts.iter().map(|(_, count)| count).sum()
    }
}

const WIDTH: u64 = 960;
/// Where the axis stands: the figures are left of it.
const LEFT: u64 = 64;
const HEIGHT: u64 = 220;
const BASE: u64 = 236;
/// Labels under the axis that do not touch each other.
const LABELS_MAX: usize = 8;
/// The widest bar: few bars are no blocks.
const BAR_MAX: u64 = 64;

/// Stacked bars with an axis; `said` tells the same in a sentence.
pub(super) fn stacked(bars: &[Bar], said: &str, language: Language) -> Markup {
    let top = nice(bars.iter().map(Bar::total).max().unwrap_or(0));
    let count = u64::try_from(bars.len()).unwrap_or(1).max(1);
    let step = (WIDTH - LEFT) / count;
    let width = (step * 3 / 4).clamp(1, BAR_MAX);
    let every = bars.len().div_ceil(LABELS_MAX).max(1);
    let at = |count: u64| BASE - count * HEIGHT / top;
    let ticks = [top, top / 2];
    html! {
        p.said { (said) }
        svg.plot viewBox={ "0 0 " (WIDTH) " 262" } role="img" aria-label=(said) {
            @for tick in ticks.into_iter().filter(|tick| *tick > 0) {
                path.grid d={ "M" (LEFT) " " (at(tick)) "H" (WIDTH) } {}
                text.tick x=(LEFT - 8) y=(at(tick) + 4) { (language.number(tick)) }
            }
            path.axis d={ "M" (LEFT) " " (BASE) "H" (WIDTH) } {}
            @for (place, bar) in bars.iter().enumerate() {
                @let left = LEFT + step * place as u64 + (step - width) / 2;
                @for (class, from, to) in slices(bar) {
                    rect class=(class) x=(left) y=(at(to)) width=(width) height=(at(from) - at(to)) {}
                }
                @if place % every == 0 {
                    text.label x=(left + width / 2) y="256" { (bar.label) }
                }
            }
        }
    }
}

/// From where to where each part of a bar stands.
fn slices(bar: &Bar) -> Vec<(&'static str, u64, u64)> {
    let mut from = 0;
    let mut slices = Vec::new();
    for (class, count) in bar.parts.iter().filter(|(_, count)| *count > 0) {
        slices.push((*class, from, from + count));
        from += count;
    }
    slices
}

/// The smallest of 1, 2 and 5 times a power of ten that is not below a number.
fn nice(number: u64) -> u64 {
    let mut power = 1_u64;
    loop {
        for step in [1, 2, 5] {
            let candidate = power.saturating_mul(step);
            if candidate >= number {
                return candidate;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// One bar that lies, for a row of a table: this much of the longest one.
pub(super) fn lying(class: &str, count: u64, most: u64) -> Markup {
    let width = (count * 240 / most.max(1)).max(2);
    html! {
        svg.lying viewBox="0 0 240 14" aria-hidden="true" {
            rect class=(class) x="0" y="1" width=(width) height="12" rx="2" {}
        }
    }
}

/// The seconds that have a bar of their own; all above share one.
pub(super) const SECONDS: u32 = 15;

/// How often each delay was seen, a bar a second.
pub(super) fn seconds(delays: &[(u32, u64)], said: &str) -> Markup {
    let bins: Vec<u64> = (0..=SECONDS)
        .map(|bin| {
            let falls_here = |(delay, _): &&(u32, u64)| (*delay).min(SECONDS) == bin;
            delays
                .iter()
                .filter(falls_here)
                .map(|(_, count)| count)
                .sum()
        })
        .collect();
    let most = bins.iter().copied().max().unwrap_or(0).max(1);
    html! {
        svg.seconds viewBox="0 0 272 64" role="img" aria-label=(said) {
            path.axis d="M0 46H272" {}
            @for (place, count) in bins.iter().enumerate().filter(|(_, count)| **count > 0) {
                @let height = (count * 40 / most).max(2);
                rect.delay x=(place * 17 + 2) y=(46 - height) width="13" height=(height) rx="1.5" {}
            }
            @for place in [0, 5, 10] {
                text.label x=(place * 17 + 8) y="60" { (place) }
            }
            text.tick x="271" y="60" { "≥" (SECONDS) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (number, end) in [
            (0, 1),
            (1, 1),
            (3, 5),
            (6, 10),
            (11, 20),
            (201, 500),
            (1_000, 1_000),
        ] {
            assert_eq!(nice(number), end, "{number}");
        }
        assert!(nice(u64::MAX) == u64::MAX);
    }

    #[test]
    fn the_parts_of_a_bar_stand_on_each_other() {
        let bar = Bar {
            label: String::new(),
            parts: vec![("a", 2), ("b", 0), ("c", 3)],
        };
        assert_eq!(slices(&bar), [("a", 0, 2), ("c", 2, 5)]);
        let drawn = stacked(&[bar], "said", Language::French).into_string();
        // Of five, the scale's end: two fifths of the height, then three on top of them.
        assert!(
            drawn.contains(r#"class="a" x="480" y="148" width="64" height="88""#),
            "{drawn}"
        );
        assert!(
            drawn.contains(r#"class="c" x="480" y="16" width="64" height="132""#),
            "{drawn}"
        );
    }
}
