//! What is asked of the ledger for a set of products, and what the answers add up to.

use proto::attestation::{CoverageTerms, SlotStatus};
use proto::checkpoint::VerifiedCheckpoint;
use proto::identity::Contract;
use proto::ids::{Cents, CoverageKey, Day, LeafIndex, MemberName, SlotKey};
use proto::lpp::GroupedCode;
use proto::refusal::Reason;
use proto::roster::{Role, Roster};
use proto::seal::PayloadCommitment;
use proto::signing::PublicKey;
use proto::token::{ContractToken, PersonToken, SealingSecret};

use super::{CheckError, Product};
use crate::lookup::{CoverageProof, Found, SlotProof};

/// Who may pay, in the order of paying.
#[derive(Debug, Clone)]
pub(super) struct Payer {
    /// The member that the number belongs to; coverages of anybody else are not believed.
    member: Option<(MemberName, PublicKey)>,
    pub(super) role: Role,
    pub(super) sealing_secret: SealingSecret,
}

/// The payers of these contracts. The first contract is the mandatory insurer's.
pub(super) fn payers(
    contracts: &[Contract],
    tokens: &[ContractToken],
    roster: &Roster,
) -> Vec<Payer> {
    let payer = |(position, (contract, token)): (usize, (&Contract, &ContractToken))| {
        let role = if position == 0 { Role::Amo } else { Role::Amc };
        let member = roster
            .payer(&contract.payer_number)
            .filter(|m| m.role == role);
        Payer {
            member: member.map(|m| (m.name.clone(), m.public_key)),
            role,
            sealing_secret: token.sealing_secret(),
        }
    };
    contracts
        .iter()
        .zip(tokens)
        .enumerate()
        .map(payer)
        .collect()
}

/// The keys to look up for a set of products.
pub(super) struct Questions {
    /// One for each product.
    pub(super) slots: Vec<SlotKey>,
    /// One for each payer and grouped code.
    pub(super) coverages: Vec<CoverageKey>,
    /// What each coverage key stands for: position of the payer, and grouped code.
    meanings: Vec<(usize, GroupedCode)>,
}

impl Questions {
    pub(super) fn new(
        products: &[Product],
        person: &PersonToken,
        contracts: &[ContractToken],
    ) -> Self {
        let mut codes: Vec<GroupedCode> = products.iter().map(|p| p.grouped_code).collect();
        codes.sort_unstable();
        codes.dedup();
        let mut questions = Self {
            slots: products
                .iter()
                .map(|product| person.slot_key(product.slot))
                .collect(),
            coverages: Vec::new(),
            meanings: Vec::new(),
        };
        for (payer, token) in contracts.iter().enumerate() {
            for code in &codes {
                questions.coverages.push(token.coverage_key(*code));
                questions.meanings.push((payer, *code));
            }
        }
        questions
    }

    /// The coverages that a claim may rest on today, opened.
    pub(super) fn read_offers(
        &self,
        found: &Found,
        payers: &[Payer],
        today: Day,
    ) -> Result<Vec<Offer>, CheckError> {
        let mut offers = Vec::new();
        for ((payer_position, code), proof) in self.meanings.iter().zip(&found.coverages) {
            let Some((proof, payer)) = proof.as_ref().zip(payers.get(*payer_position)) else {
                continue;
            };
            if let Some(offer) = read_offer(proof, payer, *code, today)? {
                offers.push(Offer {
                    payer_position: *payer_position,
                    ..offer
                });
            }
        }
        Ok(offers)
    }
}

/// What one payer pays for one grouped code.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    payer_position: usize,
    grouped_code: GroupedCode,
    amount: Cents,
    renewal_months: u16,
    /// The entry that says so.
    pub(super) coverage: LeafIndex,
    /// The catalogue that it was computed with.
    pub(super) catalogue: LeafIndex,
}

/// The terms of a coverage; `None` when it has run out or its payload has been erased.
fn read_offer(
    proof: &CoverageProof,
    payer: &Payer,
    grouped_code: GroupedCode,
    today: Day,
) -> Result<Option<Offer>, CheckError> {
    let index = proof.index;
    let issuer = proof.entry.header().issuer;
    if payer.member.as_ref().is_none_or(|(_, key)| *key != issuer) {
        return Err(CheckError::OtherPayer { index });
    }
    let Some((sealed, salt)) = &proof.payload else {
        return Ok(None);
    };
    if proof.coverage.until < today {
        return Ok(None);
    }
    let commitment = PayloadCommitment::from_hash(proof.coverage.commitment);
    let opened = sealed
        .open(&payer.sealing_secret, salt, &commitment)
        .map_err(|_| CheckError::Terms { index })?;
    let terms = CoverageTerms::from_bytes(opened.as_bytes())
        .ok()
        .filter(|terms| terms.grouped_code == grouped_code)
        .ok_or(CheckError::Terms { index })?;
    Ok(Some(Offer {
        payer_position: 0, // set by the caller, who knows it
        grouped_code,
        amount: terms.amount,
        renewal_months: terms.renewal_months,
        coverage: index,
        catalogue: proof.coverage.catalogue,
    }))
}

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
    /// Months from delivery to the renewal date.
    pub renewal_months: u16,
    /// Position among the payers of the quote.
    pub(super) payer_position: usize,
}

/// Why nothing is paid for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineRefusal {
    /// Somebody has the slot until a day.
    Taken {
        /// Reserved or held.
        status: SlotStatus,
        /// The last day of it.
        until: Day,
    },
    /// The price is above the highest that is allowed.
    AbovePriceLimit {
        /// The highest price.
        limit: Cents,
    },
    /// The product is for younger people.
    NotForThisAge,
    /// No payer has a coverage for it.
    NotCovered,
}

impl LineRefusal {
    /// The name that JSON output uses.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Taken { status, .. } => taken_reason(status).code(),
            Self::AbovePriceLimit { .. } => "ABOVE_PRICE_LIMIT",
            Self::NotForThisAge => "NOT_FOR_THIS_AGE",
            Self::NotCovered => "NOT_COVERED",
        }
    }

    /// The sentence for the counter.
    #[must_use]
    pub const fn french(self) -> &'static str {
        match self {
            Self::Taken { status, .. } => taken_reason(status).french(),
            Self::AbovePriceLimit { .. } => {
                "Le prix dépasse le prix limite de vente de cet équipement."
            }
            Self::NotForThisAge => "Cet équipement est réservé à des assurés plus jeunes.",
            Self::NotCovered => "Aucun organisme ne prend cet équipement en charge.",
        }
    }
}

const fn taken_reason(status: SlotStatus) -> Reason {
    match status {
        SlotStatus::Reserved => Reason::SlotReserved,
        SlotStatus::Held => Reason::SlotHeld,
    }
}

/// One line of a quote.
#[derive(Debug, Clone)]
pub struct QuoteLine {
    /// What is sold.
    pub product: Product,
    /// Who has the slot today, with the proof; `None` when it is free.
    pub taken: Option<SlotProof>,
    /// Why nothing is paid, if so.
    pub refusal: Option<LineRefusal>,
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
        let of_role = self
            .payments()
            .iter()
            .filter(|payment| payment.role == role);
        of_role.fold(Cents::default(), |sum, payment| sum.plus(payment.amount))
    }

    /// What is left to pay at the counter.
    #[must_use]
    pub fn rest(&self) -> Cents {
        let price = self.product.item.price;
        self.payments()
            .iter()
            .fold(price, |left, payment| left.minus(payment.amount))
    }

    /// Whether a claim has this line: somebody pays, and at most a taken slot is in the way.
    pub(super) fn is_claimable(&self) -> bool {
        let only_taken = matches!(self.refusal, None | Some(LineRefusal::Taken { .. }));
        only_taken && !self.payments.is_empty()
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
}

impl Quote {
    pub(super) fn new(
        products: Vec<Product>,
        payers: Vec<Payer>,
        asked: &Questions,
        found: Found,
        offers: &[Offer],
        catalogue: Option<LeafIndex>,
        today: Day,
    ) -> Self {
        let slots = asked.slots.iter().zip(found.slots);
        let lines = products
            .into_iter()
            .zip(slots)
            .map(|(product, (slot_key, slot))| {
                let payments = share_out(&product, offers, &payers);
                let taken = slot.filter(|slot| slot.state.is_taken(today));
                let refusal = refusal(&product, taken.as_ref(), &payments);
                QuoteLine {
                    product,
                    taken,
                    refusal,
                    payments,
                    slot_key: *slot_key,
                }
            });
        Self {
            lines: lines.collect(),
            checkpoint: found.checkpoint,
            payers,
            catalogue,
        }
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

    /// Whether every line is paid for by somebody.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        self.lines.iter().all(|line| line.refusal.is_none())
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

/// Each payer pays what it covers of what is left, the mandatory insurer first.
fn share_out(product: &Product, offers: &[Offer], payers: &[Payer]) -> Vec<Payment> {
    let mut left = product.item.price;
    let mut payments = Vec::new();
    for (payer_position, payer) in payers.iter().enumerate() {
        let offer = offers.iter().find(|offer| {
            offer.payer_position == payer_position && offer.grouped_code == product.grouped_code
        });
        let (Some(offer), Some((member, _))) = (offer, &payer.member) else {
            continue;
        };
        let amount = offer.amount.min(left);
        if amount == Cents::default() {
            continue;
        }
        left = left.minus(amount);
        payments.push(Payment {
            member: member.clone(),
            role: payer.role,
            amount,
            coverage: offer.coverage,
            renewal_months: offer.renewal_months,
            payer_position,
        });
    }
    payments
}

fn refusal(
    product: &Product,
    taken: Option<&SlotProof>,
    payments: &[Payment],
) -> Option<LineRefusal> {
    if let Some(limit) = product
        .price_limit
        .filter(|limit| product.item.price > *limit)
    {
        return Some(LineRefusal::AbovePriceLimit { limit });
    }
    if !product.fits_age {
        return Some(LineRefusal::NotForThisAge);
    }
    if let Some(SlotProof { state, .. }) = taken {
        return Some(LineRefusal::Taken {
            status: state.status,
            until: state.until,
        });
    }
    payments.is_empty().then_some(LineRefusal::NotCovered)
}

#[cfg(test)]
pub(super) mod example {
    use super::*;

    pub(in crate::pos) fn payer(role: Role, seed: u8) -> Payer {
        let key = proto::signing::SecretKey::from_seed(&[seed; 32]).public();
        Payer {
            member: Some((format!("member-{seed}").parse().unwrap(), key)),
            role,
            sealing_secret: SealingSecret::from_bytes([seed; 32]),
        }
    }

    pub(in crate::pos) fn offer(payer_position: usize, code: &str, amount: u64) -> Offer {
        Offer {
            payer_position,
            grouped_code: code.parse().unwrap(),
            amount: Cents::new(amount),
            renewal_months: 24,
            coverage: LeafIndex::new(10 + payer_position as u64),
            catalogue: LeafIndex::new(1),
        }
    }

    /// A quote of these lines.
    pub(in crate::pos) fn quote(lines: Vec<QuoteLine>, payers: Vec<Payer>) -> Quote {
        let ledger = crate::example::Ledger::furnished();
        let checkpoint = ledger.checkpoint().verify(&ledger.roster).unwrap();
        Quote {
            lines,
            checkpoint,
            payers,
            catalogue: Some(LeafIndex::new(1)),
        }
    }

    /// Lines as a quote has them when every slot is free.
    pub(in crate::pos) fn lines(
        products: &[Product],
        offers: &[Offer],
        payers: &[Payer],
    ) -> Vec<QuoteLine> {
        let line = |(place, product): (u8, &Product)| {
            let payments = share_out(product, offers, payers);
            let refusal = refusal(product, None, &payments);
            let slot_key = SlotKey::from_bytes([255 - place; 32]);
            QuoteLine {
                product: product.clone(),
                taken: None,
                refusal,
                payments,
                slot_key,
            }
        };
        (0..).zip(products).map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::insured::example::insured;
    use super::super::product;
    use super::super::product::example::{TODAY, catalogue};
    use super::example::{lines, offer, payer};
    use super::*;

    fn payers_of_two() -> Vec<Payer> {
        vec![payer(Role::Amo, 1), payer(Role::Amc, 2)]
    }

    fn quoted(item: &str, offers: &[Offer]) -> QuoteLine {
        let items = [item.parse().unwrap()];
        let products = product::look_up(&catalogue(), &insured(), &items, TODAY).unwrap();
        lines(&products, offers, &payers_of_two()).remove(0)
    }

    #[test]
    fn the_mandatory_insurer_pays_first_and_nobody_more_than_is_left() {
        let line = quoted(
            "2264861=95.00",
            &[offer(1, "M03", 10_000), offer(0, "M03", 3)],
        );
        assert_eq!(line.paid_by(Role::Amo), Cents::new(3));
        assert_eq!(line.paid_by(Role::Amc), Cents::new(9_497));
        assert_eq!(line.rest(), Cents::new(0));
        let line = quoted(
            "2264861=120.00",
            &[offer(0, "M03", 3), offer(1, "M03", 10_000)],
        );
        assert_eq!(line.rest(), Cents::new(1_997));
    }

    #[test]
    fn a_payer_with_nothing_left_to_pay_is_not_in_the_claim() {
        let line = quoted(
            "2264861=95.00",
            &[offer(0, "M03", 9_500), offer(1, "M03", 10_000)],
        );
        assert_eq!(line.payments().len(), 1);
    }

    #[test]
    fn a_coverage_of_another_grouped_code_pays_nothing() {
        let line = quoted("2264861=95.00", &[offer(0, "M01", 3_000)]);
        assert_eq!(line.refusal, Some(LineRefusal::NotCovered));
        assert_eq!(line.rest(), Cents::new(9_500));
        assert!(!line.is_claimable());
    }

    #[test]
    fn above_the_highest_price_nothing_is_paid() {
        let line = quoted("2222124=30.01", &[offer(0, "M01", 3_000)]);
        let limit = Cents::new(3_000);
        assert_eq!(line.refusal, Some(LineRefusal::AbovePriceLimit { limit }));
        assert_eq!(line.paid_by(Role::Amo), Cents::new(0));
        assert_eq!(line.rest(), Cents::new(3_001));
        assert!(!line.is_claimable());
        assert_eq!(
            quoted("2222124=30.00", &[offer(0, "M01", 3_000)]).refusal,
            None
        );
    }

    #[test]
    fn a_childs_frame_is_not_paid_for_an_adult() {
        let line = quoted("2276870=30.00", &[offer(0, "M04", 3_000)]);
        assert_eq!(line.refusal, Some(LineRefusal::NotForThisAge));
    }

    #[test]
    fn debug_of_a_payer_shows_no_secret() {
        let shown = format!("{:?}", payers_of_two());
        assert!(shown.contains("SealingSecret(<secret>)"), "{shown}");
    }
}
