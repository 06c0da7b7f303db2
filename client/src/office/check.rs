//! Whether a claim and its invoice are right: the reasons for which a payer rejects them.

use std::collections::HashSet;

use proto::attestation::{Attestation, ClaimLine, ClaimTerms};
use proto::benefit::{Rule, Terms};
use proto::identity::Person;
use proto::ids::{Cents, Day, LeafIndex, Month, SlotKey};
use proto::lpp::{GroupedCode, Side, Slot};
use proto::refusal::Reason;
use proto::renewal::{ADULT_YEARS, months_until_renewal, plus_months};
use thiserror::Error;

use super::book::{BookedClaim, BookedInvoice};
use crate::failure::{Failure, FailureKind};
use crate::lookup::LookupError;
use crate::session::Session;
use crate::tokens::TokenError;

/// Days by which a till's and a payer's calendar may differ around midnight.
const CALENDAR_DAYS: u32 = 1;

/// Why a claim could not be checked.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The claim could not be had.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The entry named is no claim.
    #[error("entry {index} is no claim")]
    NotAClaim {
        /// The entry.
        index: LeafIndex,
    },
    /// The token could not be made: the claim may rest on no own coverage, be too old, or have been
    /// checked as often as it may.
    #[error(transparent)]
    Tokens(#[from] TokenError),
}

impl Failure for CheckError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::NotAClaim { .. } => FailureKind::Malformed,
            Self::Tokens(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Lookup(error) => error.hint(),
            Self::NotAClaim { .. } => Some("name the claim, not its delivery"),
            Self::Tokens(error) => error.hint(),
        }
    }
}

/// Whose slots a claim has taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysFit {
    /// The claim.
    pub claim: LeafIndex,
    /// The slots of the person among the claim's, by name.
    pub own: Vec<Slot>,
    /// The slot keys that are not the person's: none when the claim is right.
    pub foreign: Vec<SlotKey>,
}

impl KeysFit {
    /// Whether every slot is the person's.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.foreign.is_empty()
    }
}

/// Whether the slot keys of a claim are those of a person. It takes one evaluation under the person
/// key, which is on record and counted for this claim.
///
/// # Errors
/// [`CheckError`], see its variants.
pub async fn check_keys(
    session: &Session,
    person: &Person,
    claim: LeafIndex,
) -> Result<KeysFit, CheckError> {
    let entry = session.verified_entry(claim).await?;
    let Ok(Attestation::Claim(claimed)) = Attestation::read(entry.header()) else {
        return Err(CheckError::NotAClaim { index: claim });
    };
    let token = session.claimed_person_token(person, claim).await?;
    let of_person = |slot: &Slot| claimed.slots.contains(&token.slot_key(*slot));
    let own: Vec<Slot> = Slot::ALL.into_iter().filter(of_person).collect();
    let keys: HashSet<SlotKey> = own.iter().map(|slot| token.slot_key(*slot)).collect();
    let foreign = claimed.slots.iter().filter(|key| !keys.contains(key));
    Ok(KeysFit {
        claim,
        foreign: foreign.copied().collect(),
        own,
    })
}

/// The first thing that is wrong with an invoice; `None` when it may be paid as it is. What does not
/// open is not judged.
#[must_use]
pub fn check_invoice(claim: &BookedClaim, invoice: &BookedInvoice) -> Option<Reason> {
    let (Some(claimed), Some(invoiced)) = (&claim.terms, &invoice.terms) else {
        return None;
    };
    if !was_claimed(claim, claimed) {
        return Some(Reason::InvoiceUnfit);
    }
    let terms: Vec<&Terms> = claim.coverages.iter().map(|coverage| &coverage.0).collect();
    if invoiced
        .lines
        .iter()
        .any(|line| line.amount > most(&terms, line))
    {
        return Some(Reason::AmountAboveCoverage);
    }
    let turning = claim.contract.as_ref().map(|contract| contract.turning);
    match invoice.until {
        Some(until) if !renews_on(&terms, invoiced, invoice.delivered_on, until, turning) => {
            Some(Reason::RenewalDateWrong)
        }
        _ => None,
    }
}

/// Whether the lines of all invoices together are lines of the claim, each once, and for no more
/// than was claimed.
fn was_claimed(claim: &BookedClaim, claimed: &ClaimTerms) -> bool {
    let mut open: Vec<&ClaimLine> = claimed.lines.iter().collect();
    let invoices = claim.invoices.iter().filter_map(|one| one.terms.as_ref());
    for terms in invoices {
        if terms.early != claimed.early {
            return false;
        }
        for line in &terms.lines {
            let same = |one: &&ClaimLine| {
                one.grouped_code == line.grouped_code
                    && one.code_commitment == line.code_commitment
                    && line.price <= one.price
                    && line.amount <= one.amount
            };
            let Some(place) = open.iter().position(same) else {
                return false;
            };
            open.swap_remove(place);
        }
    }
    true
}

/// The most that the coverages of a grouped code give for a line, wherever it was sold. It is a
/// bound: what a pair is limited to beside, or what earlier payers leave, only lowers it.
fn most(terms: &[&Terms], line: &ClaimLine) -> Cents {
    let of_code = terms
        .iter()
        .filter(|one| one.grouped_code == line.grouped_code);
    let rules = of_code.flat_map(|one| {
        let network = one.network.as_ref().map(|network| network.rule);
        std::iter::once(one.rule).chain(network)
    });
    rules
        .map(|rule| most_of(rule, line.price))
        .max()
        .unwrap_or_default()
}

fn most_of(rule: Rule, price: Cents) -> Cents {
    match rule {
        Rule::Nothing => Cents::default(),
        Rule::Full { limit } => match limit {
            Some(limit) if price > limit => Cents::default(),
            _ => price,
        },
        // The base counts up to the price.
        Rule::Rate { percent, plus, .. } => percent.of(price).plus(plus).min(price),
        Rule::Cap { most, .. } => most.min(price),
    }
}

/// Whether the hold ends when the coverage, or the published rules, let the next one be paid.
fn renews_on(
    terms: &[&Terms],
    invoiced: &ClaimTerms,
    delivered_on: Day,
    until: Day,
    turning: Option<[Option<Month>; 2]>,
) -> bool {
    let free = until.plus(1).get();
    let codes = invoiced.lines.iter().map(|line| line.grouped_code);
    let mut months = codes.flat_map(|code| months_of(terms, code, delivered_on, turning));
    months.any(|months| {
        let right = plus_months(delivered_on, months).get();
        right.abs_diff(free) <= CALENDAR_DAYS
    })
}

/// Every renewal time that is possible for an item at an age that the payer cannot rule out.
fn months_of(
    terms: &[&Terms],
    code: GroupedCode,
    delivered_on: Day,
    turning: Option<[Option<Month>; 2]>,
) -> Vec<u16> {
    let today = Month::of(delivered_on);
    let [six, sixteen] = turning.unwrap_or([Some(today); 2]);
    let may_be_child = sixteen.is_some_and(|month| today <= month);
    let is_adult = sixteen.is_none_or(|month| month <= today);
    let may_be_small = six.is_some_and(|month| today <= month);
    let mut months = Vec::new();
    let of_code = terms.iter().filter(|one| one.grouped_code == code);
    for renewal in of_code.map(|one| one.renewal) {
        months.extend(is_adult.then_some(renewal.adult));
        months.extend(may_be_child.then_some(renewal.child));
        months.extend(may_be_small.then_some(renewal.frame_fit));
    }
    for slot in [None, Some(Side::Right)]
        .iter()
        .filter_map(|side| code.slot(*side).ok())
    {
        months.extend(is_adult.then_some(months_until_renewal(ADULT_YEARS, slot)));
        months.extend(may_be_child.then_some(months_until_renewal(0, slot)));
    }
    months
}
