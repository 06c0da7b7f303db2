//! Who pays what of a sale: each payer in turn, each line to the cent.

use super::limits::{Bracket, Limits};
use super::product_class::{ProductClass, class_of};
use super::{NetworkName, Rule, Terms};
use crate::ids::{Cents, Day};
use crate::lpp::{CatalogueLine, GroupedCode, Side, Slot, SlotError};
use crate::refusal::Reason;
use crate::renewal::Prescription;

/// One thing that is sold, with what the catalogue says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// What its payers may see of it.
    pub grouped_code: GroupedCode,
    /// Which place in the pair it takes.
    pub slot: Slot,
    /// Its price at the counter.
    pub price: Cents,
    /// The amount that rates apply to (tarif de responsabilité).
    pub base: Option<Cents>,
    /// The highest price it may be sold at (PLV).
    pub price_limit: Option<Cents>,
    /// The last age in completed years that it is for.
    pub age_max: Option<u16>,
}

impl Item {
    /// An item of the catalogue, for an eye if it is a lens, at a price.
    ///
    /// # Errors
    /// [`SlotError`] for a lens without a side, and for anything else with one.
    pub fn new(line: &CatalogueLine, side: Option<Side>, price: Cents) -> Result<Self, SlotError> {
        Ok(Self {
            grouped_code: line.grouped_code,
            slot: line.grouped_code.slot(side)?,
            price,
            base: line.base,
            price_limit: line.plv,
            age_max: line.age_max.map(|age| u16::from(age.get())),
        })
    }

    /// Whether the limits of a pair count it: a frame or a lens of class B.
    fn is_counted(&self) -> bool {
        let frame_or_lens = matches!(self.slot, Slot::Frame | Slot::RightLens | Slot::LeftLens);
        frame_or_lens && class_of(self.grouped_code) == Some(ProductClass::B)
    }
}

/// When, for whom and where.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The day of the sale.
    pub today: Day,
    /// Completed years of the person on that day.
    pub age: u16,
    /// The networks that the optician is in.
    pub networks: &'a [NetworkName],
    /// The prescription; `None` when its date is not to be checked here.
    pub prescription: Option<Prescription>,
}

/// What one payer pays of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How much.
    pub amount: Cents,
    /// Why the payer's terms do not apply, if they do not: then the amount is zero.
    pub reason: Option<Reason>,
}

/// Who pays what of one item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemBenefit {
    /// Its price.
    pub price: Cents,
    /// One for each payer, in their order. All zero when the item is refused.
    pub shares: Vec<Share>,
    /// Why nobody pays, if so.
    pub refusal: Option<Reason>,
}

impl ItemBenefit {
    /// What all payers pay; never more than the price.
    #[must_use]
    pub fn paid(&self) -> Cents {
        let amounts = self.shares.iter().map(|share| share.amount);
        amounts.fold(Cents::default(), Cents::plus)
    }

    /// What is left to pay: price and payments differ by exactly this.
    #[must_use]
    pub fn rest(&self) -> Cents {
        self.price.minus(self.paid())
    }
}

/// Who pays what of a sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Benefit {
    /// One for each item, in their order.
    pub items: Vec<ItemBenefit>,
}

impl Benefit {
    /// What one payer, by its place in the order, pays of all items.
    #[must_use]
    pub fn paid_by(&self, payer: usize) -> Cents {
        let shares = self.items.iter().filter_map(|item| item.shares.get(payer));
        shares.fold(Cents::default(), |sum, share| sum.plus(share.amount))
    }

    /// What is left to pay of all items.
    #[must_use]
    pub fn rest(&self) -> Cents {
        let rests = self.items.iter().map(ItemBenefit::rest);
        rests.fold(Cents::default(), Cents::plus)
    }
}

/// What each payer pays of each item: the mandatory insurer first, then the complementary ones in
/// the order given. `payers` has the terms of each; at most one counts for a grouped code.
///
/// 1. An item above its price limit, for another age, or without a valid prescription is refused.
/// 2. Each payer in turn: the rule of its terms for each item, at most what is left of the price.
/// 3. Then that payer's limits of the pair: the frame's most, the least, the most.
/// 4. An item that nobody pays anything of is refused.
///
/// The order of the items changes nothing. Cost: items times payers times terms.
#[must_use]
pub fn compute(items: &[Item], payers: &[Vec<&Terms>], situation: &Situation<'_>) -> Benefit {
    let mut lines: Vec<ItemBenefit> = items
        .iter()
        .map(|item| ItemBenefit {
            price: item.price,
            shares: Vec::with_capacity(payers.len()),
            refusal: refusal(item, situation),
        })
        .collect();
    for terms in payers {
        let earlier: Vec<Cents> = lines.iter().map(ItemBenefit::paid).collect();
        let mut turn = Turn::new(items, &lines, &earlier, terms, situation);
        turn.keep_limits();
        for (line, share) in lines.iter_mut().zip(turn.shares) {
            line.shares.push(share);
        }
    }
    for line in &mut lines {
        if line.refusal.is_none() && line.paid() == Cents::default() {
            line.refusal = Some(nobody_pays(&line.shares));
        }
    }
    Benefit { items: lines }
}

/// Why an item is paid by nobody, whatever the terms.
fn refusal(item: &Item, situation: &Situation<'_>) -> Option<Reason> {
    if item.price_limit.is_some_and(|limit| item.price > limit) {
        return Some(Reason::AbovePriceLimit);
    }
    if item.age_max.is_some_and(|most| situation.age > most) {
        return Some(Reason::NotForThisAge);
    }
    let prescription = situation.prescription?;
    let valid = prescription.is_valid(item.slot, situation.today);
    (!valid).then_some(Reason::PrescriptionExpired)
}

/// The first reason of a payer that says more than "not covered".
fn nobody_pays(shares: &[Share]) -> Reason {
    let mut reasons = shares.iter().filter_map(|share| share.reason);
    reasons
        .find(|reason| *reason != Reason::NotCovered)
        .unwrap_or(Reason::NotCovered)
}

/// One payer's turn: its shares, and what it must know to keep its limits.
struct Turn<'a> {
    items: &'a [Item],
    /// What earlier payers pay of each item.
    earlier: &'a [Cents],
    /// What this payer pays of each.
    shares: Vec<Share>,
    /// The places of the items that its limits count.
    counted: Vec<usize>,
    limits: Option<Limits>,
}

impl<'a> Turn<'a> {
    fn new(
        items: &'a [Item],
        lines: &[ItemBenefit],
        earlier: &'a [Cents],
        terms: &[&Terms],
        situation: &Situation<'_>,
    ) -> Self {
        let mut turn = Self {
            items,
            earlier,
            shares: Vec::with_capacity(items.len()),
            counted: Vec::new(),
            limits: None,
        };
        for (place, ((item, line), earlier)) in items.iter().zip(lines).zip(earlier).enumerate() {
            let of_item = terms.iter().find(|t| t.grouped_code == item.grouped_code);
            let share = share(item, line.refusal, *earlier, of_item.copied(), situation);
            let in_force = line.refusal.is_none()
                && of_item.is_some_and(|t| t.rights.contains(situation.today));
            if in_force && item.is_counted() {
                turn.counted.push(place);
                turn.add_limits(of_item.and_then(|terms| terms.limits));
            }
            turn.shares.push(share);
        }
        turn
    }

    fn add_limits(&mut self, limits: Option<Limits>) {
        self.limits = match (self.limits, limits) {
            (Some(one), Some(other)) => Some(one.lower(other)),
            (one, other) => one.or(other),
        };
    }

    /// Brings the shares of frame and lenses of class B within the payer's limits.
    fn keep_limits(&mut self) {
        let Some(limits) = self.limits else {
            return;
        };
        if let Some(frame) = self.counted_at(Slot::Frame) {
            let most = limits.frame_most.minus(self.earlier_of(frame));
            let share = self.own_of(frame).min(most);
            self.set(frame, share);
        }
        let bracket = Bracket::of_lenses(self.items.iter().map(|item| item.grouped_code));
        let span = limits.span(bracket);
        self.raise_to(span.least, limits.frame_most);
        self.cut_to(span.most);
    }

    /// A whole pair of class B gets at least this, as far as it costs that much: lenses first.
    fn raise_to(&mut self, least: Cents, frame_most: Cents) {
        let pair = [Slot::RightLens, Slot::LeftLens, Slot::Frame];
        let places: Vec<usize> = pair.iter().filter_map(|s| self.counted_at(*s)).collect();
        if places.len() < pair.len() {
            return;
        }
        let mut missing = least.minus(self.counted_sum());
        for place in places {
            let paid = self.earlier_of(place).plus(self.own_of(place));
            let item = self.items.get(place);
            let most = item.map_or(Cents::default(), |item| match item.slot {
                Slot::Frame => item.price.min(frame_most),
                _ => item.price,
            });
            let more = most.minus(paid).min(missing);
            missing = missing.minus(more);
            self.set(place, self.own_of(place).plus(more));
        }
    }

    /// What is above the most is taken off the left lens, then the right one, then the frame.
    fn cut_to(&mut self, most: Cents) {
        let mut above = self.counted_sum().minus(most);
        for slot in [Slot::LeftLens, Slot::RightLens, Slot::Frame] {
            if let Some(place) = self.counted_at(slot) {
                let less = self.own_of(place).min(above);
                above = above.minus(less);
                self.set(place, self.own_of(place).minus(less));
            }
        }
    }

    fn counted_at(&self, slot: Slot) -> Option<usize> {
        let mut counted = self.counted.iter().copied();
        counted.find(|place| self.items.get(*place).is_some_and(|item| item.slot == slot))
    }

    /// What earlier payers and this one pay of all that the limits count.
    fn counted_sum(&self) -> Cents {
        let counted = self.counted.iter().copied();
        counted.fold(Cents::default(), |sum, place| {
            sum.plus(self.earlier_of(place)).plus(self.own_of(place))
        })
    }

    fn earlier_of(&self, place: usize) -> Cents {
        self.earlier.get(place).copied().unwrap_or_default()
    }

    fn own_of(&self, place: usize) -> Cents {
        self.shares
            .get(place)
            .map_or(Cents::default(), |share| share.amount)
    }

    fn set(&mut self, place: usize, amount: Cents) {
        if let Some(share) = self.shares.get_mut(place) {
            share.amount = amount;
        }
    }
}

/// What one payer's terms give for one item, before its limits.
fn share(
    item: &Item,
    refused: Option<Reason>,
    earlier: Cents,
    terms: Option<&Terms>,
    situation: &Situation<'_>,
) -> Share {
    if refused.is_some() {
        return Share {
            amount: Cents::default(),
            reason: refused,
        };
    }
    match terms.map_or(Err(Reason::NotCovered), |t| applicable(t, situation)) {
        Ok(rule) => Share {
            amount: rule.amount(item.price, item.base, item.price_limit, earlier),
            reason: None,
        },
        Err(reason) => Share {
            amount: Cents::default(),
            reason: Some(reason),
        },
    }
}

/// The rule that applies today at this optician.
fn applicable(terms: &Terms, situation: &Situation<'_>) -> Result<Rule, Reason> {
    if !terms.rights.contains(situation.today) {
        return Err(Reason::ContractEnded);
    }
    match &terms.network {
        Some(network) if situation.networks.contains(&network.name) => Ok(network.rule),
        Some(_) if terms.rule == Rule::Nothing => Err(Reason::OutsideNetwork),
        _ if terms.rule == Rule::Nothing => Err(Reason::NotCovered),
        _ => Ok(terms.rule),
    }
}
