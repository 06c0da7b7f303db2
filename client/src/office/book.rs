//! One record a claim: its state toward this payer, what is asked of it, what it answered.
//!
//! The states come from the listed entries alone, by the same effects and machines as the ledger's
//! own ([`Attestation::effects_on`], [`ClaimState::of`]).

use std::collections::{BTreeMap, HashMap};

use proto::attestation::lifecycle::{ClaimState, PaymentStage, SlotStage};
use proto::attestation::{
    Attestation, Claim, ClaimTerms, CoverageTerms, Delivery, Handover, InvoiceState,
    SettlementState, SettlementTerms, State, invoice_index, settlement_index, slot_index,
};
use proto::benefit::Networks;
use proto::ids::{Cents, CoverageKey, Day, Finess, LeafIndex, SlotKey, UnixMillis};
use proto::map::MapIndex;
use proto::signing::PublicKey;
use proto::token::SealingSecret;

use super::listing::{Listed, Listing};
use super::matching::Matched;

/// The claims of a list.
#[derive(Debug, Clone, Default)]
pub struct ClaimBook {
    /// By index, ascending.
    pub claims: Vec<BookedClaim>,
    /// Entries of claims from before the list's beginning: where one of them begins is not known.
    pub earlier: u64,
    /// The own networks, by which the amounts are held against the rule for the shop; `None` when
    /// they are held against what is paid wherever it was sold.
    pub networks: Option<Networks>,
}

/// A claim as this payer has it.
#[derive(Debug, Clone)]
pub struct BookedClaim {
    /// The claim.
    pub index: LeafIndex,
    /// When it was issued.
    pub issued_at: UnixMillis,
    /// The shop; `None` once its till was revoked.
    pub shop: Option<Finess>,
    /// Its slots.
    pub slots: Vec<SlotKey>,
    /// The last day of its reservation.
    pub until: Day,
    /// Its state toward this payer.
    pub state: ClaimState,
    /// What was claimed of this payer; `None` when no contract of the file fits, or it is erased.
    pub terms: Option<ClaimTerms>,
    /// Its own coverages, as far as they open.
    pub coverages: Vec<CoverageTerms>,
    /// The key under which the own coverages were issued: the own one, or one that the same member
    /// had before. The payments are kept under it.
    pub payer: PublicKey,
    /// Whether it rests on coverages of other payers too.
    pub others_pay: bool,
    /// The contract; `None` when the file has none that fits.
    pub contract: Option<Matched>,
    /// What was invoiced, in the order of the log.
    pub invoices: Vec<BookedInvoice>,
}

/// What was invoiced of a claim at one handing over.
#[derive(Debug, Clone)]
pub struct BookedInvoice {
    /// The first delivery, by which it is named.
    pub first: LeafIndex,
    /// The newest delivery: the one that is settled.
    pub newest: LeafIndex,
    /// The day of the first delivery.
    pub delivered_on: Day,
    /// The last day of the hold, as it was stated last.
    pub until: Option<Day>,
    /// What is asked of this payer.
    pub terms: Option<ClaimTerms>,
    /// Where the payment stands.
    pub stage: PaymentStage,
    /// The own answer, if there is one.
    pub settlement: Option<SettlementState>,
    /// The amount that the own answer says.
    pub settled: Option<Cents>,
}

impl BookedClaim {
    /// What the payer's sealing secret of this claim is, if its contract is known.
    #[must_use]
    pub fn secret(&self) -> Option<&SealingSecret> {
        self.contract.as_ref().map(|contract| &contract.secret)
    }
}

impl BookedInvoice {
    /// What this payer's part adds up to; `None` when it does not open.
    #[must_use]
    pub fn invoiced(&self) -> Option<Cents> {
        self.terms.as_ref().map(sum)
    }
}

/// What the lines of a part add up to.
pub(super) fn sum(terms: &ClaimTerms) -> Cents {
    let lines = terms.lines.iter();
    lines.fold(Cents::default(), |sum, line| sum.plus(line.amount))
}

/// What is known of the ledger from the list.
#[derive(Default)]
struct Replayed {
    map: BTreeMap<MapIndex, State>,
    /// Whose claim and invoice each delivery is of.
    deliveries: HashMap<LeafIndex, LeafIndex>,
}

impl ClaimBook {
    /// Books a list of the payer with this key, as of a day.
    #[must_use]
    pub fn new(
        listing: &Listing,
        contracts: &HashMap<CoverageKey, Matched>,
        own_key: &PublicKey,
        today: Day,
    ) -> Self {
        let mut book = Self::default();
        let mut replayed = Replayed::default();
        let mut places: HashMap<LeafIndex, usize> = HashMap::new();
        for listed in &listing.entries {
            for (index, state) in
                listed
                    .says
                    .effects_on(&replayed.map, listed.index, &listed.issuer)
            {
                match state {
                    Some(state) => replayed.map.insert(index, state),
                    None => replayed.map.remove(&index),
                };
            }
            if let Attestation::Claim(claim) = &listed.says {
                places.insert(listed.index, book.claims.len());
                book.claims.push(booked(listed, claim, contracts, own_key));
                continue;
            }
            let place = places.get(&listed.claim());
            match place.and_then(|place| book.claims.get_mut(*place)) {
                Some(claim) => {
                    claim.take(listed);
                    if let Attestation::Delivery(_) = listed.says {
                        replayed.deliveries.insert(listed.index, claim.index);
                    }
                }
                None => book.earlier += 1,
            }
        }
        for claim in &mut book.claims {
            claim.close(&replayed, today);
        }
        book
    }

    /// The claim of this index, or the one that a delivery of this index belongs to.
    #[must_use]
    pub fn find(&self, index: LeafIndex) -> Option<&BookedClaim> {
        let has = |claim: &&BookedClaim| {
            let mut invoices = claim.invoices.iter();
            claim.index == index
                || invoices.any(|invoice| invoice.first == index || invoice.newest == index)
        };
        self.claims.iter().find(has)
    }
}

fn booked(
    listed: &Listed,
    claim: &Claim,
    contracts: &HashMap<CoverageKey, Matched>,
    own_key: &PublicKey,
) -> BookedClaim {
    let under = listed.coverages.first().map(|coverage| coverage.issuer);
    let mut keys = listed.coverages.iter();
    let contract = keys
        .find_map(|coverage| contracts.get(&coverage.key))
        .cloned();
    let secret = contract.as_ref().map(|contract| &contract.secret);
    let coverages = listed.coverages.iter();
    let coverages = coverages.filter_map(|coverage| {
        let opened = coverage.open(secret?)?;
        CoverageTerms::from_bytes(opened.as_bytes()).ok()
    });
    BookedClaim {
        index: listed.index,
        issued_at: listed.issued_at,
        shop: listed.shop,
        slots: claim.slots.clone(),
        until: claim.until,
        state: ClaimState::Reserved,
        terms: secret.and_then(|secret| claim_terms(listed, secret)),
        coverages: coverages.collect(),
        payer: under.unwrap_or(*own_key),
        others_pay: claim.coverages.len() > listed.coverages.len(),
        contract,
        invoices: Vec::new(),
    }
}

fn claim_terms(listed: &Listed, secret: &SealingSecret) -> Option<ClaimTerms> {
    ClaimTerms::from_bytes(listed.open(secret)?.as_bytes()).ok()
}

impl BookedClaim {
    fn take(&mut self, listed: &Listed) {
        match &listed.says {
            Attestation::Delivery(delivery) => self.deliver(listed, delivery),
            Attestation::Settlement(settlement) => {
                let secret = self.contract.as_ref().map(|contract| &contract.secret);
                let opened = secret.and_then(|secret| listed.open(secret));
                let terms = opened.map(|opened| SettlementTerms::from_bytes(opened.as_bytes()));
                let amount = terms.and_then(Result::ok).map(|terms| terms.amount);
                let mut invoices = self.invoices.iter_mut();
                if let Some(invoice) = invoices.find(|one| one.first == settlement.invoice) {
                    invoice.settled = amount;
                }
            }
            _ => {}
        }
    }

    fn deliver(&mut self, listed: &Listed, delivery: &Delivery) {
        let terms = self.secret().and_then(|secret| claim_terms(listed, secret));
        match delivery.handover {
            Handover::First { until } => self.invoices.push(BookedInvoice {
                first: listed.index,
                newest: listed.index,
                delivered_on: listed.issued_at.day(),
                until: Some(until),
                terms,
                stage: PaymentStage::Due,
                settlement: None,
                settled: None,
            }),
            Handover::Correction { invoice, until, .. } => {
                let mut invoices = self.invoices.iter_mut();
                if let Some(booked) = invoices.find(|one| one.first == invoice) {
                    (booked.newest, booked.until, booked.terms) =
                        (listed.index, Some(until), terms);
                }
            }
            // Nobody pays for it.
            Handover::Replacement { .. } => {}
        }
    }

    fn close(&mut self, replayed: &Replayed, today: Day) {
        let payer = self.payer;
        for invoice in &mut self.invoices {
            let state = match replayed.map.get(&invoice_index(invoice.first)) {
                Some(State::Invoice(state)) => Some(*state),
                _ => None,
            };
            invoice.settlement = match replayed.map.get(&settlement_index(invoice.first, &payer)) {
                Some(State::Settlement(state)) => Some(*state),
                _ => None,
            };
            invoice.stage = PaymentStage::of(state, invoice.settlement);
            if let Some(InvoiceState { delivery, .. }) = state {
                invoice.newest = delivery;
            }
        }
        let stages = self.slots.iter().map(|slot| {
            let state = match replayed.map.get(&slot_index(slot)) {
                Some(State::Slot(state)) => Some(*state),
                _ => None,
            };
            let of_claim =
                state.is_some_and(|state| replayed.deliveries.get(&state.by) == Some(&self.index));
            SlotStage::of(state, self.index, of_claim, today)
        });
        let stages: Vec<SlotStage> = stages.collect();
        let payments: Vec<PaymentStage> = self.invoices.iter().map(|one| one.stage).collect();
        self.state = ClaimState::of(&stages, &payments);
    }
}
