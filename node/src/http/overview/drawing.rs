//! The entries of the last hour, minute by minute, as a drawing.

use maud::{Markup, html};

use super::words::Language;

const BAR: u64 = 10;
const HEIGHT: u64 = 120;
const BASE: u64 = 140;

/// One bar a minute; what it shows is said in a sentence too.
pub(super) fn hour(appended: &[u64], language: Language) -> Markup {
    let most = appended.iter().copied().max().unwrap_or(0);
    let total: u64 = appended.iter().sum();
    let width = BAR * u64::try_from(appended.len()).unwrap_or(0);
    let (all, peak) = (language.number(total), language.number(most));
    let said = match language {
        Language::French => format!("{all} écritures en une heure, au plus {peak} en une minute."),
        Language::English => format!("{all} entries in an hour, at most {peak} in a minute."),
    };
    let bars = appended.iter().zip((0..).map(|minute| minute * BAR));
    html! {
        p { (said) }
        svg class="hour" viewBox={ "0 0 " (width) " 160" } role="img" aria-label=(said) {
            path class="line" d={ "M0 " (BASE) "H" (width) } {}
            @for (count, x) in bars.filter(|(count, _)| **count > 0) {
                @let height = (count * HEIGHT / most).max(2);
                rect x=(x + 1) y=(BASE - height) width=(BAR - 2) height=(height) rx="1.5" {}
            }
            text x="0" y="156" { "-60\u{a0}min" }
            text class="now" x=(width) y="156" { (language.say("maintenant", "now")) }
        }
    }
}
