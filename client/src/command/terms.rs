//! What was sealed for one payer, as a disclosure shows it.

use std::fmt::Write as _;

use proto::attestation::{ClaimLine, ClaimTerms, CoverageTerms};
use proto::benefit::{Counting, Limits, NetworkRule, Rule, Span};
use proto::disclosure::Terms;
use proto::ids::Cents;
use serde::Serialize;

/// The letters of the six ceilings of a responsible contract, in their order.
const BRACKETS: [char; 6] = ['a', 'b', 'c', 'd', 'e', 'f'];

/// One line of a claim.
#[derive(Debug, Serialize)]
pub(super) struct LineReport {
    grouped_code: &'static str,
    price_cents: u64,
    amount_cents: u64,
    /// Only in the part of the CNAM.
    lpp_code: Option<String>,
}

/// What a payer pays for one item.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum RuleReport {
    Nothing,
    Full {
        limit_cents: Option<u64>,
    },
    Rate {
        percent: u16,
        plus_cents: u64,
        with_earlier: bool,
    },
    Cap {
        most_cents: u64,
        with_earlier: bool,
    },
}

/// What is paid in a network of opticians.
#[derive(Debug, Serialize)]
struct NetworkReport {
    name: String,
    rule: RuleReport,
}

/// Least and most for a pair with lenses of one bracket.
#[derive(Debug, Serialize)]
struct SpanReport {
    bracket: char,
    least_cents: u64,
    most_cents: u64,
}

/// The limits of a whole pair.
#[derive(Debug, Serialize)]
struct LimitsReport {
    frame_most_cents: u64,
    pairs: Vec<SpanReport>,
}

/// Months from a delivery to the next one.
#[derive(Debug, Serialize)]
struct RenewalReport {
    adult: u16,
    child: u16,
    frame_fit: u16,
}

/// What a payer committed to for one grouped code.
#[derive(Debug, Serialize)]
pub(super) struct CoverageReport {
    grouped_code: &'static str,
    rights_from: String,
    rights_to: String,
    renewal_months: RenewalReport,
    rule: RuleReport,
    network: Option<NetworkReport>,
    limits: Option<LimitsReport>,
}

/// What a payer committed to, or what was claimed from it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum TermsReport {
    Coverage(Box<CoverageReport>),
    Claim { lines: Vec<LineReport> },
}

impl RuleReport {
    fn new(rule: Rule) -> Self {
        let with_earlier = |counting| counting == Counting::WithEarlier;
        match rule {
            Rule::Nothing => Self::Nothing,
            Rule::Full { limit } => Self::Full {
                limit_cents: limit.map(Cents::get),
            },
            Rule::Rate {
                percent,
                counting,
                plus,
            } => Self::Rate {
                percent: percent.get(),
                plus_cents: plus.get(),
                with_earlier: with_earlier(counting),
            },
            Rule::Cap { most, counting } => Self::Cap {
                most_cents: most.get(),
                with_earlier: with_earlier(counting),
            },
        }
    }

    fn text(&self) -> String {
        let earlier = |with| {
            if with {
                ", earlier payers taken off"
            } else {
                ""
            }
        };
        match self {
            Self::Nothing => "nothing".to_owned(),
            Self::Full { limit_cents: None } => "all of it, within the price limit".to_owned(),
            Self::Full {
                limit_cents: Some(limit),
            } => format!("all of it, up to a price of {}", euros(*limit)),
            Self::Rate {
                percent,
                plus_cents,
                with_earlier,
            } => format!(
                "{percent} % of the base and {} more{}",
                euros(*plus_cents),
                earlier(*with_earlier)
            ),
            Self::Cap {
                most_cents,
                with_earlier,
            } => format!("{} at most{}", euros(*most_cents), earlier(*with_earlier)),
        }
    }
}

impl LimitsReport {
    fn new(limits: &Limits) -> Self {
        let pair = |(bracket, span): (char, &Span)| SpanReport {
            bracket,
            least_cents: span.least.get(),
            most_cents: span.most.get(),
        };
        Self {
            frame_most_cents: limits.frame_most.get(),
            pairs: BRACKETS.into_iter().zip(&limits.spans).map(pair).collect(),
        }
    }
}

impl CoverageReport {
    fn new(CoverageTerms(terms): &CoverageTerms) -> Self {
        let network = |network: &NetworkRule| NetworkReport {
            name: network.name.to_string(),
            rule: RuleReport::new(network.rule),
        };
        Self {
            grouped_code: terms.grouped_code.as_str(),
            rights_from: terms.rights.from.to_iso(),
            rights_to: terms.rights.to.to_iso(),
            renewal_months: RenewalReport {
                adult: terms.renewal.adult,
                child: terms.renewal.child,
                frame_fit: terms.renewal.frame_fit,
            },
            rule: RuleReport::new(terms.rule),
            network: terms.network.as_ref().map(network),
            limits: terms.limits.as_ref().map(LimitsReport::new),
        }
    }

    fn text(&self) -> String {
        let RenewalReport {
            adult,
            child,
            frame_fit,
        } = self.renewal_months;
        let mut text = format!(
            "{}: {}, rights from {} to {}\nrenewal after {adult} months, {child} under 16, \
             {frame_fit} when the frame no longer fits\n",
            self.grouped_code,
            self.rule.text(),
            self.rights_from,
            self.rights_to
        );
        if let Some(NetworkReport { name, rule }) = &self.network {
            let _ = writeln!(text, "in the network {name}: {}", rule.text());
        }
        if let Some(LimitsReport {
            frame_most_cents,
            pairs,
        }) = &self.limits
        {
            let _ = writeln!(text, "frame: {} at most", euros(*frame_most_cents));
            for pair in pairs {
                let (least, most) = (euros(pair.least_cents), euros(pair.most_cents));
                let _ = writeln!(text, "pair {}: {least} to {most}", pair.bracket);
            }
        }
        text
    }
}

impl TermsReport {
    pub(super) fn new(terms: &Terms) -> Self {
        match terms {
            Terms::Coverage(terms) => Self::Coverage(Box::new(CoverageReport::new(terms))),
            Terms::Claim(terms) => Self::of_claim(terms),
        }
    }

    fn of_claim(terms: &ClaimTerms) -> Self {
        let line = |line: &ClaimLine| LineReport {
            grouped_code: line.grouped_code.as_str(),
            price_cents: line.price.get(),
            amount_cents: line.amount.get(),
            lpp_code: line
                .opening
                .as_ref()
                .map(|opening| opening.lpp_code.to_string()),
        };
        Self::Claim {
            lines: terms.lines.iter().map(line).collect(),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Coverage(coverage) => coverage.text(),
            Self::Claim { lines } => {
                let mut text = String::new();
                for line in lines {
                    let code = line.lpp_code.as_deref().unwrap_or_default();
                    let (price, amount) = (euros(line.price_cents), euros(line.amount_cents));
                    let grouped = line.grouped_code;
                    let _ = writeln!(text, "{grouped} {code:<7} price {price}, paid {amount}");
                }
                text
            }
        }
    }
}

fn euros(cents: u64) -> String {
    Cents::new(cents).to_euros()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proto::benefit::Terms as Committed;

    use super::*;

    #[test]
    fn the_terms_of_a_coverage_are_told_in_words_and_numbers() {
        let terms = Committed::cap("M03".parse().unwrap(), Cents::new(5_000), 24);
        let limited = Committed {
            limits: Some(Limits::RESPONSIBLE),
            ..terms.clone()
        };
        let plain = TermsReport::new(&Terms::Coverage(CoverageTerms(terms)));
        assert!(
            plain.text().starts_with("M03: 50.00 at most"),
            "{}",
            plain.text()
        );
        let json = super::super::report::to_json(&plain);
        assert!(
            json.starts_with(r#"{"coverage":{"grouped_code":"M03","rights_from":"#),
            "{json}"
        );
        assert!(
            json.ends_with(r#""network":null,"limits":null}}"#),
            "{json}"
        );
        let limited = TermsReport::new(&Terms::Coverage(CoverageTerms(limited)));
        assert_eq!(
            limited.text().lines().count(),
            plain.text().lines().count() + 7
        );
        let rate = RuleReport::Rate {
            percent: 60,
            plus_cents: 1_000,
            with_earlier: true,
        };
        assert_snapshot!(rate.text(), @"60 % of the base and 10.00 more, earlier payers taken off");
    }
}
