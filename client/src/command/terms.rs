//! What was sealed for one payer, as a disclosure shows it.

use std::fmt::Write as _;

use proto::attestation::{
    ClaimLine, ClaimTerms, CoverageTerms, Delivery, Handover, Settlement, SettlementTerms,
};
use proto::benefit::{Counting, Limits, NetworkRule, Rule, Span};
use proto::disclosure::Terms;
use proto::ids::Cents;
use proto::refusal::Reason;
use schemars::JsonSchema;
use serde::Serialize;

/// The letters of the six ceilings of a responsible contract, in their order.
const BRACKETS: [char; 6] = ['a', 'b', 'c', 'd', 'e', 'f'];

/// One line of a claim.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LineReport {
    grouped_code: &'static str,
    price_cents: u64,
    amount_cents: u64,
    /// Only in the part of the CNAM.
    lpp_code: Option<String>,
}

/// What a payer pays for one item.
#[derive(Debug, Serialize, JsonSchema)]
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
#[derive(Debug, Serialize, JsonSchema)]
struct NetworkReport {
    name: String,
    rule: RuleReport,
}

/// Least and most for a pair with lenses of one bracket.
#[derive(Debug, Serialize, JsonSchema)]
struct SpanReport {
    bracket: char,
    least_cents: u64,
    most_cents: u64,
}

/// The limits of a whole pair.
#[derive(Debug, Serialize, JsonSchema)]
struct LimitsReport {
    frame_most_cents: u64,
    pairs: Vec<SpanReport>,
}

/// Months from a delivery to the next one.
#[derive(Debug, Serialize, JsonSchema)]
struct RenewalReport {
    adult: u16,
    child: u16,
    frame_fit: u16,
}

/// What a payer committed to for one grouped code.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CoverageReport {
    grouped_code: &'static str,
    rights_from: String,
    rights_to: String,
    renewal_months: RenewalReport,
    rule: RuleReport,
    network: Option<NetworkReport>,
    limits: Option<LimitsReport>,
}

/// What was handed over, as one payer sees it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DeliveryReport {
    /// `first`, `correction` or `replacement`.
    handover: &'static str,
    claim: u64,
    /// The first delivery; `null` when this is it.
    invoice: Option<u64>,
    lines: Vec<LineReport>,
}

/// What a payer answered to an invoice.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SettlementReport {
    outcome: &'static str,
    /// The code of the payer's reason, unless it is paid.
    reason: Option<&'static str>,
    claim: u64,
    invoice: u64,
    amount_cents: u64,
    reference: String,
}

/// What a payer committed to, what was claimed from it, delivered, and answered by it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum TermsReport {
    Coverage(Box<CoverageReport>),
    Claim { lines: Vec<LineReport> },
    Delivery(DeliveryReport),
    Settlement(SettlementReport),
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

impl LineReport {
    fn of(terms: &ClaimTerms) -> Vec<Self> {
        let line = |line: &ClaimLine| {
            let opening = line.opening.as_ref();
            Self {
                grouped_code: line.grouped_code.as_str(),
                price_cents: line.price.get(),
                amount_cents: line.amount.get(),
                lpp_code: opening.map(|opening| opening.lpp_code.to_string()),
            }
        };
        terms.lines.iter().map(line).collect()
    }

    fn text(&self, verb: &str) -> String {
        let code = self.lpp_code.as_deref().unwrap_or_default();
        let (price, amount) = (euros(self.price_cents), euros(self.amount_cents));
        let grouped = self.grouped_code;
        format!("{grouped} {code:<7} price {price}, {verb} {amount}\n")
    }
}

impl DeliveryReport {
    fn new(delivery: &Delivery, terms: &ClaimTerms) -> Self {
        let (handover, invoice) = match delivery.handover {
            Handover::First { .. } => ("first", None),
            Handover::Correction { invoice, .. } => ("correction", Some(invoice.get())),
            Handover::Replacement { invoice } => ("replacement", Some(invoice.get())),
        };
        Self {
            handover,
            claim: delivery.claim.get(),
            invoice,
            lines: LineReport::of(terms),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("delivery ({}) of claim {}", self.handover, self.claim);
        if let Some(invoice) = self.invoice {
            let _ = write!(text, ", invoice {invoice}");
        }
        text.push('\n');
        text.extend(self.lines.iter().map(|line| line.text("invoiced")));
        text
    }
}

impl SettlementReport {
    fn new(settlement: &Settlement, terms: &SettlementTerms) -> Self {
        Self {
            outcome: settlement.outcome.as_str(),
            reason: settlement.outcome.reason().map(Reason::code),
            claim: settlement.claim.get(),
            invoice: settlement.invoice.get(),
            amount_cents: terms.amount.get(),
            reference: terms.reference.clone(),
        }
    }

    fn text(&self) -> String {
        let Self {
            outcome,
            claim,
            invoice,
            reference,
            ..
        } = self;
        let reason = self.reason.map(|code| format!(" ({code})"));
        let mut text = format!(
            "{outcome}{}: {}, claim {claim}, invoice {invoice}",
            reason.unwrap_or_default(),
            euros(self.amount_cents)
        );
        if !reference.is_empty() {
            let _ = write!(text, ", reference {reference}");
        }
        text.push('\n');
        text
    }
}

impl TermsReport {
    pub(super) fn new(terms: &Terms) -> Self {
        match terms {
            Terms::Coverage(terms) => Self::Coverage(Box::new(CoverageReport::new(terms))),
            Terms::Claim(terms) => Self::Claim {
                lines: LineReport::of(terms),
            },
            Terms::Delivery(delivery, terms) => {
                Self::Delivery(DeliveryReport::new(delivery, terms))
            }
            Terms::Settlement(settlement, terms) => {
                Self::Settlement(SettlementReport::new(settlement, terms))
            }
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Coverage(coverage) => coverage.text(),
            Self::Claim { lines } => lines.iter().map(|line| line.text("paid")).collect(),
            Self::Delivery(delivery) => delivery.text(),
            Self::Settlement(settlement) => settlement.text(),
        }
    }
}

fn euros(cents: u64) -> String {
    Cents::new(cents).to_euros()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proto::attestation::SettlementOutcome;
    use proto::benefit::Terms as Committed;
    use proto::hash::Hash;
    use proto::ids::LeafIndex;

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

    #[test]
    fn a_delivery_and_a_settlement_are_told_with_what_is_public_of_them() {
        let bytes = [
            &[1, 1][..],
            b"M03",
            &12_000_u64.to_be_bytes(),
            &5_000_u64.to_be_bytes(),
            &[8; 32],
            &[0],
        ];
        let delivery = Delivery {
            slots: Vec::new(),
            claim: LeafIndex::new(4),
            handover: Handover::Replacement {
                invoice: LeafIndex::new(7),
            },
            commitment: Hash::from_bytes([1; 32]),
        };
        let terms = ClaimTerms::from_bytes(&bytes.concat()).unwrap();
        let report = TermsReport::new(&Terms::Delivery(delivery, terms));
        assert_snapshot!(super::super::report::to_json(&report), @r#"{"delivery":{"handover":"replacement","claim":4,"invoice":7,"lines":[{"grouped_code":"M03","price_cents":12000,"amount_cents":5000,"lpp_code":null}]}}"#);
        assert_snapshot!(report.text(), @"
        delivery (replacement) of claim 4, invoice 7
        M03         price 120.00, invoiced 50.00
        ");
        let settlement = Settlement {
            claim: LeafIndex::new(4),
            invoice: LeafIndex::new(7),
            delivery: LeafIndex::new(7),
            outcome: SettlementOutcome::Rejected(Reason::InvoiceUnfit),
            under: None,
            commitment: Hash::from_bytes([1; 32]),
        };
        let terms = SettlementTerms {
            amount: Cents::default(),
            reference: "VIR 77".to_owned(),
        };
        let report = TermsReport::new(&Terms::Settlement(settlement, terms));
        assert_snapshot!(super::super::report::to_json(&report), @r#"{"settlement":{"outcome":"rejected","reason":"INVOICE_UNFIT","claim":4,"invoice":7,"amount_cents":0,"reference":"VIR 77"}}"#);
        assert_snapshot!(report.text(), @"rejected (INVOICE_UNFIT): 0.00, claim 4, invoice 7, reference VIR 77");
    }
}
