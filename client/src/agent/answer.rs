//! What till software is answered. The names of the fields are those of `vitrail -o json`.

use proto::ids::{Cents, Day};
use proto::lpp::Side;
use proto::refusal::Reason;
use proto::roster::Role;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::issue::{Issued, Refused};
use crate::pos::{ItemsRefused, PayerTotal, Payment, Quote, QuoteLine};
use crate::queue::Queued;

/// A rule that said no.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Refusal {
    /// The reason, out of the closed list.
    pub code: String,
    /// The sentence for the counter, in French.
    pub sentence: String,
    /// The same in English.
    pub sentence_en: String,
    /// The last day of a taken slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The entry that has the slot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<u64>,
    /// Items that it is about, counted from 1, when it is about items.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub items: Vec<usize>,
}

impl Refusal {
    pub(super) fn new(reason: Reason) -> Self {
        Self {
            code: reason.code().to_owned(),
            sentence: reason.french().to_owned(),
            sentence_en: reason.english().to_owned(),
            until: None,
            holder: None,
            items: Vec::new(),
        }
    }

    pub(super) fn of_items(refused: &ItemsRefused) -> Self {
        Self {
            items: refused.positions.clone(),
            ..Self::new(refused.reason)
        }
    }

    fn of_entry(refused: &Refused) -> Self {
        let evidence = refused.evidence.as_ref();
        Self {
            holder: evidence.map(|evidence| evidence.holder.index.get()),
            ..Self::new(refused.reason)
        }
    }
}

/// What one payer pays of one line.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PaymentAnswer {
    /// Who.
    pub member: String,
    /// `amo`, the mandatory insurer, or `amc`, a complementary one.
    pub role: String,
    /// How much.
    pub amount_cents: u64,
    /// The ledger's entry that commits the payer to it.
    pub coverage: u64,
    /// The last day on which a claim may rest on it.
    pub valid_until: String,
}

/// A payer that has terms for a line and pays nothing of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UnpaidAnswer {
    /// Who.
    pub member: String,
    /// Why.
    pub refusal: Refusal,
}

/// Where the renewal clock of a line's slot stands.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RenewalAnswer {
    /// `free`, `reserved`, `held`, or `early` when the attested condition opens a held slot.
    pub state: String,
    /// When the item that holds the slot was delivered.
    pub delivered: Option<String>,
    /// The last day on which the slot is taken.
    pub until: Option<String>,
    /// From when on the attested condition opens it.
    pub opens: Option<String>,
}

/// One line of a quote.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LineAnswer {
    /// LPP code.
    pub lpp_code: String,
    /// Grouped code.
    pub grouped_code: String,
    /// What the grouped code stands for.
    pub label: String,
    /// What its renewal clock applies to.
    pub slot: String,
    /// `right` or `left` for a lens.
    pub side: Option<String>,
    /// Price.
    pub price_cents: u64,
    /// What the mandatory insurer pays.
    pub amo_cents: u64,
    /// What the complementary insurers pay.
    pub amc_cents: u64,
    /// What is left to pay at the counter.
    pub rest_cents: u64,
    /// What each payer pays, in the order of paying.
    pub payments: Vec<PaymentAnswer>,
    /// Payers whose terms do not apply.
    pub unpaid: Vec<UnpaidAnswer>,
    /// The renewal clock.
    pub renewal: RenewalAnswer,
    /// Why nothing is paid, if so.
    pub refusal: Option<Refusal>,
}

/// What one payer pays of all lines.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PayerAnswer {
    /// None when no member of the federation has the payer's number.
    pub member: Option<String>,
    /// `amo` or `amc`.
    pub role: String,
    /// How much.
    pub amount_cents: u64,
    /// `live` when its node said so, `ledger` when the ledger has it, `none` when neither.
    pub source: String,
    /// Networks that the till says its shop is in, and the payer's list says it is not.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub not_in: Vec<String>,
}

/// Who pays what of a sale.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct QuoteAnswer {
    /// The lines, in the order of the items.
    pub lines: Vec<LineAnswer>,
    /// The payers, in the order of paying.
    pub payers: Vec<PayerAnswer>,
    /// What the mandatory insurer pays.
    pub amo_cents: u64,
    /// What the complementary insurers pay.
    pub amc_cents: u64,
    /// What is left to pay at the counter.
    pub rest_cents: u64,
    /// The last day on which all payments can be claimed.
    pub valid_until: Option<String>,
    /// The last day on which the prescription counts, if its date was given.
    pub prescription_until: Option<String>,
    /// Entries of the ledger when it was asked.
    pub checkpoint_size: u64,
    /// When its members cosigned that, in seconds since 1970.
    pub checkpoint_time: u64,
}

/// Answer of `POST /v1/check`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CheckAnswer {
    /// Whether every line is paid for by somebody.
    pub covered: bool,
    /// Who pays what; none when the items themselves are refused.
    pub quote: Option<QuoteAnswer>,
    /// Why the items are refused before anybody is asked.
    pub refusal: Option<Refusal>,
    /// The name under which the quote is kept, if that was asked and something can be claimed.
    pub kept: Option<String>,
    /// Whether a simulating agent says it.
    pub simulated: bool,
}

/// A claim that waits on this machine.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    /// Its name in the queue.
    pub name: String,
    /// Where to ask what became of it.
    pub ask: String,
}

/// What became of a claim, a delivery or a release.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EntryAnswer {
    /// `claim`, `delivery` or `release`.
    pub kind: String,
    /// `accepted`: it is in the ledger. `refused`: a rule says no. `queued`: it waits on this
    /// machine, and nothing is reserved yet.
    pub outcome: String,
    /// Its place in the ledger.
    pub index: Option<u64>,
    /// Why not.
    pub refusal: Option<Refusal>,
    /// The name of its receipt, or of the proof of the refusal, for `GET /v1/receipts/{name}`.
    pub receipt: Option<String>,
    /// Where it waits.
    pub queued: Option<Waiting>,
    /// The quote that a claim of a sale rests on.
    pub quote: Option<QuoteAnswer>,
    /// Whether a simulating agent says it.
    pub simulated: bool,
}

/// A claim of the queue.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct QueuedAnswer {
    /// Its name.
    pub name: String,
    /// `waits`; `sent` when it may be in the ledger already, its answer lost; `refused`; or
    /// `accepted`.
    pub state: String,
    /// Since when.
    pub queued_at: Option<String>,
    /// How many slots it is to reserve.
    pub slots: Option<usize>,
    /// The last day of the reservation.
    pub until: Option<String>,
    /// What became of it, once that is known.
    pub answer: Option<EntryAnswer>,
}

/// Answer of `GET /v1/queue`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct QueueAnswer {
    /// Claims that wait, and refused ones nobody has looked at, the oldest first.
    pub claims: Vec<QueuedAnswer>,
    /// How many wait.
    pub waiting: usize,
    /// Whether a simulating agent says it.
    pub simulated: bool,
}

/// One receipt, or proof of a refusal.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReceiptItem {
    /// Its name, for `GET /v1/receipts/{name}`.
    pub name: String,
    /// `claim`, `delivery` or `release`.
    pub kind: String,
    /// Whether it proves a refusal.
    pub refusal: bool,
}

/// Answer of `GET /v1/receipts`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReceiptsAnswer {
    /// In the order of their names.
    pub receipts: Vec<ReceiptItem>,
    /// What `after` must be for the next page; none on the last one.
    pub next: Option<String>,
    /// Whether a simulating agent says it.
    pub simulated: bool,
}

/// One member of the federation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MemberAnswer {
    /// Its name.
    pub name: String,
    /// `amo`, `amc` or `federation`.
    pub role: String,
    /// Whether it votes.
    pub voting: bool,
    /// Whether its node answered just now.
    pub reachable: bool,
}

/// A state of the ledger that a quorum vouches for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CheckpointAnswer {
    /// Entries.
    pub size: u64,
    /// When it was cosigned, in seconds since 1970.
    pub time: u64,
    /// How old it is by this machine's clock.
    pub age_seconds: u64,
}

/// Answer of `GET /v1/status`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StatusAnswer {
    /// Version of the agent.
    pub version: String,
    /// The ledger.
    pub origin: Option<String>,
    /// Number of the roster in force, as far as this till knows.
    pub epoch: Option<u64>,
    /// The members, and whether each answers.
    pub members: Vec<MemberAnswer>,
    /// The newest state that could be verified just now.
    pub checkpoint: Option<CheckpointAnswer>,
    /// How many claims wait.
    pub waiting: usize,
    /// Why something of it could not be had.
    pub problem: Option<String>,
    /// Whether a simulating agent says it.
    pub simulated: bool,
}

impl StatusAnswer {
    /// What is known without asking anybody.
    pub(super) fn bare(simulated: bool) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            origin: None,
            epoch: None,
            members: Vec::new(),
            checkpoint: None,
            waiting: 0,
            problem: None,
            simulated,
        }
    }
}

impl PaymentAnswer {
    fn new(payment: &Payment) -> Self {
        Self {
            member: payment.member.to_string(),
            role: payment.role.as_str().to_owned(),
            amount_cents: payment.amount.get(),
            coverage: payment.coverage.get(),
            valid_until: payment.valid_until.to_iso(),
        }
    }
}

impl LineAnswer {
    fn new(line: &QuoteLine) -> Self {
        let product = &line.product;
        let holder = line.taken.as_ref().map(|taken| taken.holder.index.get());
        let unpaid = line.unpaid.iter().map(|unpaid| UnpaidAnswer {
            member: unpaid.member.to_string(),
            refusal: Refusal::new(unpaid.reason),
        });
        let side = product.item.side.map(|side| match side {
            Side::Right => "right".to_owned(),
            Side::Left => "left".to_owned(),
        });
        let refusal = line.refusal.map(|refusal| Refusal {
            until: refusal.until.map(Day::to_iso),
            holder,
            ..Refusal::new(refusal.reason)
        });
        Self {
            lpp_code: product.item.code.to_string(),
            grouped_code: product.grouped_code.as_str().to_owned(),
            label: product.grouped_code.label().to_owned(),
            slot: product.slot.as_str().to_owned(),
            side,
            price_cents: product.item.price.get(),
            amo_cents: line.paid_by(Role::Amo).get(),
            amc_cents: line.paid_by(Role::Amc).get(),
            rest_cents: line.rest().get(),
            payments: line.payments().iter().map(PaymentAnswer::new).collect(),
            unpaid: unpaid.collect(),
            renewal: RenewalAnswer {
                state: line.renewal.as_str().to_owned(),
                delivered: line.renewal.delivered().map(Day::to_iso),
                until: line.renewal.until().map(Day::to_iso),
                opens: line.renewal.opens().map(Day::to_iso),
            },
            refusal,
        }
    }
}

impl PayerAnswer {
    fn new(total: &PayerTotal) -> Self {
        Self {
            member: total.member.as_ref().map(ToString::to_string),
            role: total.role.as_str().to_owned(),
            amount_cents: total.amount.get(),
            source: total.source.as_str().to_owned(),
            not_in: total.not_in.iter().map(ToString::to_string).collect(),
        }
    }
}

impl QuoteAnswer {
    pub(super) fn new(quote: &Quote) -> Self {
        let cents = |amount: Cents| amount.get();
        Self {
            lines: quote.lines().iter().map(LineAnswer::new).collect(),
            payers: quote.payer_totals().iter().map(PayerAnswer::new).collect(),
            amo_cents: cents(quote.paid_by(Role::Amo)),
            amc_cents: cents(quote.paid_by(Role::Amc)),
            rest_cents: cents(quote.rest()),
            valid_until: quote.valid_until().map(Day::to_iso),
            prescription_until: quote.prescription_until().map(Day::to_iso),
            checkpoint_size: quote.checkpoint().size().get(),
            checkpoint_time: quote.checkpoint().time().get(),
        }
    }

    /// The first reason for which a line is refused.
    pub(super) fn first_refusal(&self) -> Option<Refusal> {
        self.lines.iter().find_map(|line| line.refusal.clone())
    }
}

impl CheckAnswer {
    pub(super) fn quoted(quote: &Quote, kept: Option<String>, simulated: bool) -> Self {
        Self {
            covered: quote.is_covered(),
            quote: Some(QuoteAnswer::new(quote)),
            refusal: None,
            kept,
            simulated,
        }
    }

    pub(super) const fn refused(refusal: Refusal, simulated: bool) -> Self {
        Self {
            covered: false,
            quote: None,
            refusal: Some(refusal),
            kept: None,
            simulated,
        }
    }
}

impl EntryAnswer {
    /// What became of an entry, the proof being kept under this name.
    pub(super) fn issued(kind: &str, issued: &Issued, receipt: Option<String>) -> Self {
        let (index, refusal) = match issued {
            Issued::Accepted(receipt) => (Some(receipt.proved.index.get()), None),
            Issued::Refused(refused) => (None, Some(Refusal::of_entry(refused))),
        };
        let outcome = if index.is_some() {
            "accepted"
        } else {
            "refused"
        };
        Self {
            kind: kind.to_owned(),
            outcome: outcome.to_owned(),
            index,
            refusal,
            receipt,
            queued: None,
            quote: None,
            simulated: false,
        }
    }

    /// Refused before anything was signed.
    pub(super) fn refused(kind: &str, refusal: Refusal) -> Self {
        Self {
            kind: kind.to_owned(),
            outcome: "refused".to_owned(),
            index: None,
            refusal: Some(refusal),
            receipt: None,
            queued: None,
            quote: None,
            simulated: false,
        }
    }

    /// A claim that waits under this name.
    pub(super) fn waiting(name: &str) -> Self {
        Self {
            kind: "claim".to_owned(),
            outcome: "queued".to_owned(),
            index: None,
            refusal: None,
            receipt: None,
            queued: Some(Waiting {
                name: name.to_owned(),
                ask: format!("/v1/queue/{name}"),
            }),
            quote: None,
            simulated: false,
        }
    }

    /// The same with the quote it rests on.
    pub(super) fn resting_on(self, quote: Option<QuoteAnswer>) -> Self {
        Self { quote, ..self }
    }

    /// The same as a simulating agent says it.
    pub(super) fn simulated(self) -> Self {
        Self {
            simulated: true,
            ..self
        }
    }

    /// The status that goes with it.
    pub(super) const fn status(&self) -> u16 {
        match self.queued {
            Some(_) => 202,
            None => 200,
        }
    }
}

impl QueuedAnswer {
    pub(super) fn new(queued: &Queued) -> Self {
        let state = match (queued.refused, &queued.attempt) {
            (Some(_), _) => "refused",
            (None, Some(_)) => "sent",
            (None, None) => "waits",
        };
        let refused = queued.refused.map(Refusal::new);
        Self {
            name: queued.name.clone(),
            state: state.to_owned(),
            queued_at: Some(queued.queued_at.to_iso()),
            slots: Some(queued.draft.claim.slots.len()),
            until: Some(queued.draft.claim.until.to_iso()),
            answer: refused.map(|refusal| EntryAnswer::refused("claim", refusal)),
        }
    }

    /// One of which it is known what became of it.
    pub(super) fn answered(name: &str, answer: EntryAnswer) -> Self {
        Self {
            name: name.to_owned(),
            state: answer.outcome.clone(),
            queued_at: None,
            slots: None,
            until: None,
            answer: Some(answer),
        }
    }
}
