//! What a simulation sells, and what its payers pay of it.

use std::num::NonZeroU8;

use proto::benefit::{Percent, RenewalMonths, Rule, Terms};
use proto::ids::{Cents, Day, SlotKey};
use proto::lpp::{Catalogue, CatalogueHeader, CatalogueLine, CodePair, GroupedCode};
use proto::token::ContractToken;

use super::ledger::{Broken, Ledger};
use crate::lookup::Found;
use crate::pos::Insured;
use crate::pos::at_hand::AskedCoverage;

/// What a complementary insurer pays of an item, in cents.
const CAP_CENTS: u64 = 5_000;
/// What the mandatory insurer pays of the base, in per cent.
const MANDATORY_PERCENT: u16 = 60;

/// One product.
type Row = (&'static str, &'static str, Option<u64>, Option<u64>, u8);

/// Code, grouped code, base, price limit, last age, all in the CNAM's words. The last one is no
/// longer in force; the lens without a base may not be billed with the frame of class A.
const PRODUCTS: [Row; 6] = [
    ("2264861", "M03", Some(5), None, 0),
    ("2200335", "VU1", Some(5), None, 0),
    ("2222124", "M01", Some(900), Some(3_000), 0),
    ("2276870", "M04", Some(5), None, 15),
    ("2263927", "V01", None, None, 0),
    ("2209738", "SV1", None, None, 0),
];

/// The catalogue of every simulation.
pub(super) fn catalogue() -> Option<Catalogue> {
    let mut lines = Vec::new();
    for (code, grouped_code, base, limit, age) in PRODUCTS {
        lines.push(CatalogueLine {
            code: code.parse().ok()?,
            grouped_code: grouped_code.parse().ok()?,
            label: "Article de simulation".parse().ok()?,
            base: base.map(Cents::new),
            plv: limit.map(Cents::new),
            age_max: NonZeroU8::new(age),
            end: (code == "2209738").then(|| Day::new(19_000)),
        });
    }
    let header = CatalogueHeader {
        version: "SIMULATION-1".parse().ok()?,
        valid_from: Day::new(18_000),
    };
    let pair = CodePair::new("2222124".parse().ok()?, "2263927".parse().ok()?);
    let catalogue = Catalogue::new(header, lines).ok()?;
    catalogue
        .with_pairs(pair.into_iter().collect(), Default::default())
        .ok()
}

/// What a payer commits to: 60 per cent of the base, or 50.00 an item.
fn terms(payer: usize, grouped_code: GroupedCode) -> Option<Terms> {
    let cap = Terms::cap(grouped_code, Cents::new(CAP_CENTS), 24);
    let rule = match payer {
        0 => Rule::mandatory(Percent::new(MANDATORY_PERCENT).ok()?),
        _ => cap.rule,
    };
    Some(Terms {
        rule,
        renewal: RenewalMonths::PUBLISHED,
        ..cap
    })
}

/// Answers as a node does: who has the slots, and each payer's coverages, signed now if there are
/// none. Who is no payer of the federation covers nothing.
pub(super) fn look(
    ledger: &mut Ledger,
    insured: &Insured,
    tokens: &[ContractToken],
    slots: &[SlotKey],
    asked: &[AskedCoverage],
) -> Result<Found, Broken> {
    let contracts = insured.contracts();
    let mut coverages = Vec::new();
    for coverage in asked {
        let (contract, token) = match (contracts.get(coverage.payer), tokens.get(coverage.payer)) {
            (Some(contract), Some(token)) => (contract, token),
            _ => return Err(Broken),
        };
        let number = &contract.payer_number;
        let member = ledger.roster.payer(number).map(|member| member.public_key);
        let place = ledger.place_of(member);
        coverages.push(
            match (place, terms(coverage.payer, coverage.grouped_code)) {
                (Some(place), Some(terms)) => {
                    let secret = token.sealing_secret();
                    Some(ledger.coverage(place, &coverage.key, &secret, terms)?)
                }
                _ => None,
            },
        );
    }
    let mut found = Vec::new();
    for slot in slots {
        found.push(ledger.slot(slot)?);
    }
    Ok(Found {
        checkpoint: ledger.verified_checkpoint()?,
        slots: found,
        coverages,
    })
}
