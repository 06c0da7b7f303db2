//! Quotes without a ledger, for the tests of the till.

use super::super::insured::example::insured;
use super::super::product::example::{TODAY, catalogue};
use super::super::{Item, Occasion};
use super::*;

/// A sale of these items to the example's person.
pub(in crate::pos) fn sale(items: &[&str]) -> Sale {
    sale_on(items, &Occasion::default())
}

pub(in crate::pos) fn sale_on(items: &[&str], occasion: &Occasion) -> Sale {
    let items: Vec<Item> = items.iter().map(|item| item.parse().unwrap()).collect();
    Sale::new(&catalogue(), &insured(), &items, occasion, TODAY).unwrap()
}

/// A quote of these lines.
pub(in crate::pos) fn quote(lines: Vec<QuoteLine>, payers: Vec<Payer>) -> Quote {
    let ledger = crate::example::Ledger::furnished();
    let checkpoint = ledger.checkpoint().verify(&ledger.roster).unwrap();
    Quote {
        lines,
        checkpoint,
        catalogue: Some(LeafIndex::new(1)),
        denied: Vec::new(),
        sources: vec![QuoteSource::Ledger; payers.len()],
        payers,
        early_renewal: EarlyRenewal::None,
        prescription_until: None,
    }
}

/// Lines as a quote has them when every slot is free.
pub(in crate::pos) fn lines(sale: Sale, offers: &[Offer], payers: &[Payer]) -> Vec<QuoteLine> {
    let places = 0..u8::try_from(sale.products.len()).unwrap();
    let slots = places.map(|place| (SlotKey::from_bytes([255 - place; 32]), None));
    let slots = slots.collect();
    super::lines(sale, payers, offers, slots)
}
