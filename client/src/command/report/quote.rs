//! What `check` answers: who pays what of each line and in total, and until when it holds.

use std::fmt::Write as _;
use std::path::PathBuf;

use client::pos::{PayerTotal, Quote, QuoteLine};
use client::session::Session;
use proto::ids::{Cents, Day, UnixMillis};
use proto::lpp::Side;
use proto::roster::Role;
use schemars::JsonSchema;
use serde::Serialize;

use super::{NodesReport, RefusalReport, Report, to_json};

/// What one payer pays of one line.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PaymentReport {
    pub(super) member: String,
    pub(super) role: &'static str,
    pub(super) amount_cents: u64,
    pub(super) coverage: u64,
    pub(super) valid_until: String,
}

/// A payer that has terms for a line and pays nothing of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct UnpaidReport {
    pub(super) member: String,
    pub(super) code: &'static str,
    pub(super) sentence: &'static str,
}

/// Where the renewal clock of a line's slot stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RenewalReport {
    /// `free`, `reserved`, `held`, or `early` when the attested condition opens a held slot.
    pub(super) state: &'static str,
    pub(super) delivered: Option<String>,
    pub(super) until: Option<String>,
    /// From when on the attested condition opens the slot.
    pub(super) opens: Option<String>,
    /// The entry that has the slot, as the map of the checkpoint proves; none for a free one.
    pub(super) holder: Option<u64>,
}

/// What one payer pays of all lines.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PayerReport {
    /// None when no member of the federation has the payer's number.
    pub(super) member: Option<String>,
    pub(super) role: &'static str,
    pub(super) amount_cents: u64,
    /// `live` when its node said so, `ledger` when it did not answer and the ledger has its
    /// coverages, `none` when neither.
    pub(super) source: &'static str,
    /// Networks that this till says it is in, and the payer's own list says it is not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) not_in: Vec<String>,
}

/// One line of a quote.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LineReport {
    pub(super) lpp_code: String,
    pub(super) grouped_code: &'static str,
    pub(super) label: &'static str,
    pub(super) slot: &'static str,
    pub(super) side: Option<&'static str>,
    pub(super) price_cents: u64,
    pub(super) amo_cents: u64,
    pub(super) amc_cents: u64,
    pub(super) rest_cents: u64,
    pub(super) payments: Vec<PaymentReport>,
    pub(super) unpaid: Vec<UnpaidReport>,
    pub(super) renewal: RenewalReport,
    pub(super) refusal: Option<RefusalReport>,
    /// What each payer of the quote pays, for the table.
    #[serde(skip)]
    pub(super) by_payer: Vec<u64>,
}

impl LineReport {
    fn new(line: &QuoteLine, payers: usize) -> Self {
        let product = &line.product;
        let holder = line.taken.as_ref().map(|taken| taken.holder.index.get());
        let payments = line.payments().iter().map(|payment| PaymentReport {
            member: payment.member.to_string(),
            role: payment.role.as_str(),
            amount_cents: payment.amount.get(),
            coverage: payment.coverage.get(),
            valid_until: payment.valid_until.to_iso(),
        });
        let unpaid = line.unpaid.iter().map(|unpaid| UnpaidReport {
            member: unpaid.member.to_string(),
            code: unpaid.reason.code(),
            sentence: unpaid.reason.french(),
        });
        Self {
            lpp_code: product.item.code.to_string(),
            grouped_code: product.grouped_code.as_str(),
            label: product.grouped_code.label(),
            slot: product.slot.as_str(),
            side: product.item.side.map(|side| match side {
                Side::Right => "right",
                Side::Left => "left",
            }),
            price_cents: product.item.price.get(),
            amo_cents: line.paid_by(Role::Amo).get(),
            amc_cents: line.paid_by(Role::Amc).get(),
            rest_cents: line.rest().get(),
            payments: payments.collect(),
            unpaid: unpaid.collect(),
            renewal: RenewalReport {
                state: line.renewal.as_str(),
                delivered: line.renewal.delivered().map(Day::to_iso),
                until: line.renewal.until().map(Day::to_iso),
                opens: line.renewal.opens().map(Day::to_iso),
                holder,
            },
            refusal: line
                .refusal
                .map(|refusal| RefusalReport::of_line(refusal, holder)),
            by_payer: (0..payers)
                .map(|place| line.paid_by_payer(place).get())
                .collect(),
        }
    }

    /// What is to say of the line below the table.
    fn remarks(&self) -> Vec<String> {
        let unpaid = self.unpaid.iter();
        let mut remarks: Vec<String> = unpaid
            .map(|unpaid| format!("{}: {}", unpaid.member, unpaid.sentence))
            .collect();
        let RenewalReport {
            state,
            delivered,
            opens,
            ..
        } = &self.renewal;
        if let (Some(delivered), Some(opens)) = (delivered, opens) {
            let clock = match *state {
                "early" => "renewal before the time, open since",
                _ => "renewal before the time, open from",
            };
            remarks.push(format!("delivered {delivered}, {clock} {opens}"));
        }
        remarks.extend(self.refusal.as_ref().map(RefusalReport::text));
        remarks
    }
}

/// What `check` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::command) struct QuoteReport {
    pub(super) covered: bool,
    pub(super) lines: Vec<LineReport>,
    pub(super) payers: Vec<PayerReport>,
    pub(super) amo_cents: u64,
    pub(super) amc_cents: u64,
    pub(super) rest_cents: u64,
    /// The last day on which all payments can be claimed.
    pub(super) valid_until: Option<String>,
    /// The last day on which the prescription counts, if its date was given.
    pub(super) prescription_until: Option<String>,
    pub(super) early_renewal: &'static str,
    pub(super) checkpoint_size: u64,
    pub(super) checkpoint_time: u64,
    #[serde(flatten)]
    pub(super) nodes: NodesReport,
    /// Where the quote is kept for a later claim.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kept: Option<PathBuf>,
    /// Members whose answers failed their check.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) wrong_members: Vec<String>,
}

impl QuoteReport {
    pub(in crate::command) fn new(quote: &Quote, session: &Session) -> Self {
        let wrong = session.wrong_members();
        let totals = quote.payer_totals();
        let line = |line| LineReport::new(line, totals.len());
        Self {
            covered: quote.is_covered(),
            lines: quote.lines().iter().map(line).collect(),
            payers: totals.iter().map(payer).collect(),
            amo_cents: quote.paid_by(Role::Amo).get(),
            amc_cents: quote.paid_by(Role::Amc).get(),
            rest_cents: quote.rest().get(),
            valid_until: quote.valid_until().map(Day::to_iso),
            prescription_until: quote.prescription_until().map(Day::to_iso),
            early_renewal: quote.early_renewal().as_str(),
            checkpoint_size: quote.checkpoint().size().get(),
            checkpoint_time: quote.checkpoint().time().get(),
            nodes: NodesReport::new(session),
            kept: None,
            wrong_members: wrong.iter().map(ToString::to_string).collect(),
        }
    }

    /// The same, kept in a file.
    pub(in crate::command) fn kept(self, path: PathBuf) -> Self {
        Self {
            kept: Some(path),
            ..self
        }
    }

    /// The heads of the payers' columns: AMO, AMC, AMC 2.
    fn heads(&self) -> Vec<String> {
        let mut complementary = 0;
        let head = |payer: &PayerReport| {
            if payer.role == Role::Amo.as_str() {
                return "AMO".to_owned();
            }
            complementary += 1;
            match complementary {
                1 => "AMC".to_owned(),
                more => format!("AMC {more}"),
            }
        };
        self.payers.iter().map(head).collect()
    }

    fn table(&self) -> String {
        let mut text = format!("{:<8} {:<4} {:<20} {:>9}", "code", "", "slot", "price");
        for head in self.heads() {
            let _ = write!(text, " {head:>9}");
        }
        let _ = writeln!(text, " {:>9}", "to pay");
        let mut row = |names: [&str; 3], amounts: &[u64]| {
            let [code, grouped, slot] = names;
            let _ = write!(text, "{code:<8} {grouped:<4} {slot:<20}");
            for amount in amounts {
                let _ = write!(text, " {:>9}", Cents::new(*amount).to_euros());
            }
            text.push('\n');
        };
        for line in &self.lines {
            let amounts = amounts(line.price_cents, &line.by_payer, line.rest_cents);
            row([&line.lpp_code, line.grouped_code, line.slot], &amounts);
        }
        let price = self.lines.iter().map(|line| line.price_cents).sum();
        let by_payer: Vec<u64> = self.payers.iter().map(|payer| payer.amount_cents).collect();
        row(
            ["total", "", ""],
            &amounts(price, &by_payer, self.rest_cents),
        );
        text.push_str(&self.legend());
        text
    }

    /// Who stands behind the heads of the columns.
    fn legend(&self) -> String {
        let named = self.heads().into_iter().zip(&self.payers);
        let named = named.map(|(head, payer)| {
            let member = payer.member.as_deref().unwrap_or("not a member");
            format!("{head}: {member} ({})", payer.source)
        });
        let named: Vec<String> = named.collect();
        format!("{}\n", named.join(", "))
    }
}

fn amounts(price: u64, by_payer: &[u64], rest: u64) -> Vec<u64> {
    let mut amounts = vec![price];
    amounts.extend_from_slice(by_payer);
    amounts.push(rest);
    amounts
}

fn payer(total: &PayerTotal) -> PayerReport {
    PayerReport {
        member: total.member.as_ref().map(ToString::to_string),
        role: total.role.as_str(),
        amount_cents: total.amount.get(),
        source: total.source.as_str(),
        not_in: total.not_in.iter().map(ToString::to_string).collect(),
    }
}

impl Report for QuoteReport {
    fn text(&self) -> String {
        let mut text = self.table();
        for line in &self.lines {
            for remark in line.remarks() {
                let _ = writeln!(text, "{}: {remark}", line.lpp_code);
            }
        }
        if let Some(until) = &self.valid_until {
            let _ = writeln!(text, "valid until {until}");
        }
        if let Some(until) = &self.prescription_until {
            let _ = writeln!(text, "prescription valid until {until}");
        }
        let at = UnixMillis::new(self.checkpoint_time.saturating_mul(1000)).to_iso();
        let _ = writeln!(text, "ledger as of {at}");
        if let Some(kept) = &self.kept {
            let _ = writeln!(text, "quote kept in {}", kept.display());
        }
        text
    }

    fn json(&self) -> String {
        to_json(self)
    }

    fn is_yes(&self) -> bool {
        self.covered
    }

    fn details(&self) -> Vec<String> {
        self.nodes.details()
    }

    fn warnings(&self) -> Vec<String> {
        let wrong = self.wrong_members.iter();
        let wrong = wrong.map(|member| {
            format!("{member} answered wrongly and was replaced: tell the federation")
        });
        let payers = self.payers.iter().flat_map(|payer| {
            let member = payer.member.as_deref().unwrap_or("the payer");
            let not_in = payer.not_in.iter();
            not_in.map(move |name| format!("{member} does not list this shop in {name}"))
        });
        wrong.chain(payers).collect()
    }
}
