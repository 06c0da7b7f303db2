//! What the answers of the ledger add up to: who pays what of each line, and until when it holds.

use std::mem;

use proto::attestation::{SlotState, SlotStatus};
use proto::benefit::{self, Benefit, ItemBenefit, NetworkName, Terms};
use proto::checkpoint::VerifiedCheckpoint;
use proto::ids::{Cents, Day, LeafIndex, MemberName, SlotKey};
use proto::lpp::{GroupedCode, Slot};
use proto::refusal::Reason;
use proto::renewal::{self, EarlyRenewal};
use proto::roster::Role;

use super::offer::{Denied, Offer, Offers};
use super::question::{Payer, Questions};
use super::sale::Sale;
use super::{Product, QuoteSource};
use crate::lookup::{Found, SlotProof};

/// What one payer pays of one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Who pays.
    pub member: MemberName,
    /// As mandatory or as complementary insurer.
    pub role: Role,
    /// How much.
    pub amount: Cents,
    /// The coverage that commits the payer to it.
    pub coverage: LeafIndex,
    /// The last day on which a claim may rest on it and the contract's rights run.
    pub valid_until: Day,
    /// Months from delivery to the renewal date, at the person's age.
    pub renewal_months: u16,
    /// Position among the payers of the quote.
    pub(super) payer_position: usize,
}

/// A payer whose terms say something of a line, and why it pays nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpaid {
    /// Who does not pay.
    pub member: MemberName,
    /// Why.
    pub reason: Reason,
}

/// What one payer pays of all lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PayerTotal {
    /// Who; `None` when no member of the federation has the payer's number.
    pub member: Option<MemberName>,
    /// As mandatory or as complementary insurer.
    pub role: Role,
    /// How much of the lines that are not refused.
    pub amount: Cents,
    /// Where its coverages come from.
    pub source: QuoteSource,
    /// Networks that the till says its shop is in, and the payer's own list says it is not.
    pub not_in: Vec<NetworkName>,
}

/// Where the renewal clock of a slot stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The last covered item is old enough, or there was none (predicate P1).
    Free,
    /// A claim reserves the slot.
    Reserved {
        /// The last day of it.
        until: Day,
    },
    /// A delivered item holds the slot.
    Held {
        /// When it was delivered.
        delivered: Day,
        /// The last day of it.
        until: Day,
        /// The first day on which the attested condition opens the slot, if it does.
        opens: Option<Day>,
    },
    /// A delivered item holds the slot, and the attested condition opens it (predicate P2).
    Early {
        /// When it was delivered.
        delivered: Day,
        /// The last day on which it holds the slot without a condition.
        until: Day,
        /// Since when the condition opens it.
        opens: Day,
    },
}

impl Renewal {
    /// The name that JSON output uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Reserved { .. } => "reserved",
            Self::Held { .. } => "held",
            Self::Early { .. } => "early",
        }
    }

    /// The last day on which the slot is taken.
    #[must_use]
    pub const fn until(self) -> Option<Day> {
        match self {
            Self::Free => None,
            Self::Reserved { until } | Self::Held { until, .. } | Self::Early { until, .. } => {
                Some(until)
            }
        }
    }

    /// When the item that holds the slot was delivered.
    #[must_use]
    pub const fn delivered(self) -> Option<Day> {
        match self {
            Self::Held { delivered, .. } | Self::Early { delivered, .. } => Some(delivered),
            Self::Free | Self::Reserved { .. } => None,
        }
    }

    /// The first day on which the attested condition opens the slot.
    #[must_use]
    pub const fn opens(self) -> Option<Day> {
        match self {
            Self::Held { opens, .. } => opens,
            Self::Early { opens, .. } => Some(opens),
            Self::Free | Self::Reserved { .. } => None,
        }
    }
}

/// Why nothing is paid for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineRefusal {
    /// The first rule that said no.
    pub reason: Reason,
    /// The last day of a taken slot.
    pub until: Option<Day>,
}

impl LineRefusal {
    /// Whether a claim of the line would be refused by the ledger, with a proof.
    const fn is_taken(self) -> bool {
        matches!(
            self.reason,
            Reason::SlotReserved
                | Reason::SlotHeld
                | Reason::EarlyRenewalTooSoon
                | Reason::EarlyRenewalNotOpen
        )
    }
}

impl From<Reason> for LineRefusal {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            until: None,
        }
    }
}

/// One line of a quote.
#[derive(Debug, Clone)]
pub struct QuoteLine {
    /// What is sold.
    pub product: Product,
    /// Who has the slot today, with the proof; `None` when it is free.
    pub taken: Option<SlotProof>,
    /// Where its renewal clock stands.
    pub renewal: Renewal,
    /// Why nothing is paid, if so.
    pub refusal: Option<LineRefusal>,
    /// Payers whose terms do not apply to it today.
    pub unpaid: Vec<Unpaid>,
    /// What each payer committed to, were the line not refused.
    pub(super) payments: Vec<Payment>,
    pub(super) slot_key: SlotKey,
}

impl QuoteLine {
    /// What each payer pays, in the order of paying; nothing when the line is refused.
    #[must_use]
    pub fn payments(&self) -> &[Payment] {
        if self.refusal.is_some() {
            &[]
        } else {
            &self.payments
        }
    }

    /// What the payers of one role pay together.
    #[must_use]
    pub fn paid_by(&self, role: Role) -> Cents {
        self.paid(|payment| payment.role == role)
    }

    /// What one payer, by its place in the order, pays.
    #[must_use]
    pub fn paid_by_payer(&self, position: usize) -> Cents {
        self.paid(|payment| payment.payer_position == position)
    }

    /// What is left to pay at the counter.
    #[must_use]
    pub fn rest(&self) -> Cents {
        self.product.item.price.minus(self.paid(|_| true))
    }

    fn paid(&self, by: impl Fn(&Payment) -> bool) -> Cents {
        let payments = self.payments().iter().filter(|payment| by(payment));
        payments.fold(Cents::default(), |sum, payment| sum.plus(payment.amount))
    }

    /// Takes note of what payers' nodes refused of its grouped code. When nobody pays, what a payer
    /// says about its contract tells more than that nobody does.
    fn note_refusals(&mut self, payers: &[Payer], refused: &[(usize, GroupedCode, Reason)]) {
        for (position, code, reason) in refused {
            let payer = payers
                .get(*position)
                .and_then(|payer| payer.member.as_ref());
            let Some((member, _)) = payer.filter(|_| *code == self.product.grouped_code) else {
                continue;
            };
            if let Some(refusal) = &mut self.refusal
                && refusal.reason == Reason::NotCovered
            {
                refusal.reason = *reason;
            }
            if self.refusal.is_none_or(|refusal| refusal.reason != *reason) {
                let (member, reason) = (member.clone(), *reason);
                self.unpaid.push(Unpaid { member, reason });
            }
        }
    }

    /// Whether a claim has this line: somebody pays, and at most a taken slot is in the way.
    pub(super) fn is_claimable(&self) -> bool {
        self.refusal.is_none_or(LineRefusal::is_taken) && !self.payments.is_empty()
    }
}

/// What is covered, and who pays what. Holds secrets of the contracts, so it cannot be printed
/// whole and is not stored.
#[derive(Debug)]
pub struct Quote {
    lines: Vec<QuoteLine>,
    checkpoint: VerifiedCheckpoint,
    pub(super) payers: Vec<Payer>,
    pub(super) catalogue: Option<LeafIndex>,
    /// One for each payer.
    sources: Vec<QuoteSource>,
    denied: Vec<Denied>,
    early_renewal: EarlyRenewal,
    prescription_until: Option<Day>,
}

impl Quote {
    pub(super) fn new(
        mut sale: Sale,
        payers: Vec<Payer>,
        asked: &Questions,
        found: Found,
        offers: &Offers,
        catalogue: Option<LeafIndex>,
    ) -> Self {
        let slots = asked.slots.iter().copied().zip(found.slots).collect();
        let early_renewal = sale.occasion.early_renewal;
        let prescription_until = sale.prescription_until();
        // From here the terms are those for this shop, whatever the till said of networks.
        let (at_shop, denied) = offers.at_shop(&mem::take(&mut sale.occasion.networks));
        let mut lines = lines(sale, &payers, &at_shop, slots);
        for line in &mut lines {
            line.note_refusals(&payers, &offers.refusals);
        }
        Self {
            sources: offers.sources.clone(),
            denied,
            early_renewal,
            prescription_until,
            lines,
            checkpoint: found.checkpoint,
            payers,
            catalogue,
        }
    }

    /// The same with each line refused for a reason, in a simulation.
    pub(super) fn refused(mut self, reason: Reason) -> Self {
        for line in &mut self.lines {
            line.refusal = Some(reason.into());
        }
        self
    }

    /// The lines, in the order of the items.
    #[must_use]
    pub fn lines(&self) -> &[QuoteLine] {
        &self.lines
    }

    /// The checkpoint that all of it was proved against.
    #[must_use]
    pub const fn checkpoint(&self) -> &VerifiedCheckpoint {
        &self.checkpoint
    }

    /// What the optician attested to renew before the time.
    #[must_use]
    pub const fn early_renewal(&self) -> EarlyRenewal {
        self.early_renewal
    }

    /// The last day on which the prescription counts, if its date was given.
    #[must_use]
    pub const fn prescription_until(&self) -> Option<Day> {
        self.prescription_until
    }

    /// The last day on which every payment of it can still be claimed; `None` without one.
    #[must_use]
    pub fn valid_until(&self) -> Option<Day> {
        let payments = self.lines.iter().flat_map(QuoteLine::payments);
        payments.map(|payment| payment.valid_until).min()
    }

    /// Whether every line is paid for by somebody.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        self.lines.iter().all(|line| line.refusal.is_none())
    }

    /// What each payer pays for all lines, in the order of paying.
    #[must_use]
    pub fn payer_totals(&self) -> Vec<PayerTotal> {
        let total = |(position, payer): (usize, &Payer)| PayerTotal {
            member: payer.member.as_ref().map(|(name, _)| name.clone()),
            role: payer.role,
            amount: self.sum(|line| line.paid_by_payer(position)),
            source: self
                .sources
                .get(position)
                .copied()
                .unwrap_or(QuoteSource::None),
            not_in: self
                .denied
                .iter()
                .filter(|denied| denied.payer_position == position)
                .map(|denied| denied.network.clone())
                .collect(),
        };
        self.payers.iter().enumerate().map(total).collect()
    }

    /// What the payers of one role pay for all lines.
    #[must_use]
    pub fn paid_by(&self, role: Role) -> Cents {
        self.sum(|line| line.paid_by(role))
    }

    /// What is left to pay at the counter for all lines.
    #[must_use]
    pub fn rest(&self) -> Cents {
        self.sum(QuoteLine::rest)
    }

    fn sum(&self, of: impl Fn(&QuoteLine) -> Cents) -> Cents {
        self.lines
            .iter()
            .fold(Cents::default(), |sum, line| sum.plus(of(line)))
    }
}

/// The lines of a sale. The amounts are those of the whole sale, so the limits of a pair count a
/// line whose slot is taken too: a claim has all of them or none.
fn lines(
    sale: Sale,
    payers: &[Payer],
    offers: &[Offer],
    slots: Vec<(SlotKey, Option<SlotProof>)>,
) -> Vec<QuoteLine> {
    let Benefit { items } = compute(&sale, payers, offers);
    let Sale {
        products,
        today,
        age,
        occasion,
        ..
    } = sale;
    let made = products.into_iter().zip(items).zip(slots);
    made.map(|((product, benefit), (slot_key, slot))| {
        let terms = Committed {
            payers,
            offers: of_code(offers, &product),
            age,
        };
        let taken = slot.filter(|slot| slot.state.is_taken(today));
        let payments = terms.payments(&benefit);
        let clock = taken.as_ref().map_or(Renewal::Free, |taken| {
            let (state, delivered) = (taken.state.on(today), taken.delivered_on());
            let condition = occasion.early_renewal;
            let state = state.unwrap_or(taken.state);
            terms.renewal(product.slot, state, delivered, condition, today)
        });
        QuoteLine {
            refusal: refusal(&benefit, clock, occasion.early_renewal),
            unpaid: terms.unpaid(&benefit),
            renewal: clock,
            product,
            taken,
            payments,
            slot_key,
        }
    })
    .collect()
}

fn compute(sale: &Sale, payers: &[Payer], offers: &[Offer]) -> Benefit {
    let items: Vec<benefit::Item> = sale.products.iter().map(Product::priced).collect();
    let of_payer = |position: usize| -> Vec<&Terms> {
        let own = offers.iter().filter(|o| o.payer_position == position);
        own.map(|offer| &offer.terms).collect()
    };
    let terms: Vec<Vec<&Terms>> = (0..payers.len()).map(of_payer).collect();
    benefit::compute(&items, &terms, &sale.situation())
}

fn of_code<'a>(offers: &'a [Offer], product: &Product) -> Vec<&'a Offer> {
    let same = |offer: &&Offer| offer.terms.grouped_code == product.grouped_code;
    offers.iter().filter(same).collect()
}

/// What the payers committed to for one grouped code.
struct Committed<'a> {
    payers: &'a [Payer],
    offers: Vec<&'a Offer>,
    age: u16,
}

impl Committed<'_> {
    /// Each payer that pays something, with the coverage behind it.
    fn payments(&self, benefit: &ItemBenefit) -> Vec<Payment> {
        let paid = self.offers.iter().filter_map(|offer| {
            let (member, role) = self.payer(offer)?;
            let share = benefit.shares.get(offer.payer_position)?;
            (share.amount > Cents::default()).then(|| Payment {
                member,
                role,
                amount: share.amount,
                coverage: offer.coverage,
                valid_until: offer.until.min(offer.terms.rights.to),
                renewal_months: offer.terms.renewal.at(self.age),
                payer_position: offer.payer_position,
            })
        });
        let mut payments: Vec<Payment> = paid.collect();
        payments.sort_by_key(|payment| payment.payer_position);
        payments
    }

    /// Each payer that has terms, and pays nothing for a reason of its own.
    fn unpaid(&self, benefit: &ItemBenefit) -> Vec<Unpaid> {
        let unpaid = self.offers.iter().filter_map(|offer| {
            let (member, _) = self.payer(offer)?;
            let reason = benefit.shares.get(offer.payer_position)?.reason?;
            Some(Unpaid { member, reason })
        });
        unpaid
            .filter(|u| benefit.refusal != Some(u.reason))
            .collect()
    }

    fn payer(&self, offer: &Offer) -> Option<(MemberName, Role)> {
        let payer = self.payers.get(offer.payer_position)?;
        let (name, _) = payer.member.as_ref()?;
        Some((name.clone(), payer.role))
    }

    /// Where the clock of a taken slot stands, `delivered` being the day of the entry that has it.
    /// Of several payers the last one to open the slot counts.
    fn renewal(
        &self,
        slot: Slot,
        SlotState { status, until, .. }: SlotState,
        delivered: Day,
        condition: EarlyRenewal,
        today: Day,
    ) -> Renewal {
        if status == SlotStatus::Reserved {
            return Renewal::Reserved { until };
        }
        let published = renewal::earliest_early_renewal(condition, slot, self.age);
        let own = self.offers.iter().filter_map(|offer| {
            let months = offer.terms.renewal;
            months.early(condition, slot, self.age)
        });
        let months = own.max().or(published);
        let opens = months.map(|months| renewal::plus_months(delivered, months));
        match opens {
            Some(opens) if opens <= today => Renewal::Early {
                delivered,
                until,
                opens,
            },
            _ => Renewal::Held {
                delivered,
                until,
                opens,
            },
        }
    }
}

/// Price, age and prescription first, then the slot, then that nobody pays.
fn refusal(benefit: &ItemBenefit, clock: Renewal, condition: EarlyRenewal) -> Option<LineRefusal> {
    let of_item = [
        Reason::AbovePriceLimit,
        Reason::NotForThisAge,
        Reason::PrescriptionExpired,
    ];
    let first = benefit.refusal.filter(|reason| of_item.contains(reason));
    if let Some(reason) = first {
        return Some(reason.into());
    }
    let taken = match clock {
        Renewal::Free | Renewal::Early { .. } => None,
        Renewal::Reserved { .. } => Some(Reason::SlotReserved),
        Renewal::Held { .. } if condition == EarlyRenewal::None => Some(Reason::SlotHeld),
        Renewal::Held { opens: None, .. } => Some(Reason::EarlyRenewalNotOpen),
        Renewal::Held { .. } => Some(Reason::EarlyRenewalTooSoon),
    };
    let taken = taken.map(|reason| LineRefusal {
        reason,
        until: clock.until(),
    });
    taken.or(benefit.refusal.map(LineRefusal::from))
}

#[cfg(test)]
pub(super) mod example;
#[cfg(test)]
mod tests;
