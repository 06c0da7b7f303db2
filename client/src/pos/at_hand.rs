//! A quote from a ledger at hand: the same reckoning with nobody to ask, for the simulating agent.

use proto::ids::{CoverageKey, Day, LeafIndex, SlotKey};
use proto::lpp::{Catalogue, GroupedCode};
use proto::refusal::Reason;
use proto::roster::Roster;
use proto::token::{ContractToken, PersonToken};

use super::live::LiveQuotes;
use super::offer::Offers;
use super::question::{self, Questions};
use super::sale::Sale;
use super::{CheckError, ClaimError, Draft, Insured, Item, Occasion, Quote};
use crate::lookup::Found;
use crate::system;

/// A coverage that a quote asks about.
pub(crate) struct AskedCoverage {
    /// Position of the payer among the contracts of the insured.
    pub(crate) payer: usize,
    pub(crate) grouped_code: GroupedCode,
    pub(crate) key: CoverageKey,
}

/// What a quote rests on besides the ledger.
pub(crate) struct Desk<'a> {
    pub(crate) roster: &'a Roster,
    pub(crate) catalogue: &'a Catalogue,
    /// The entry that names it.
    pub(crate) named_at: LeafIndex,
    pub(crate) today: Day,
}

impl Desk<'_> {
    /// What is covered, who pays what: `look` answers as a node does.
    ///
    /// # Errors
    /// [`CheckError`], as for a till that asks.
    pub(crate) fn quote(
        &self,
        insured: &Insured,
        (items, occasion): (&[Item], &Occasion),
        (person, tokens): (&PersonToken, &[ContractToken]),
        look: impl FnOnce(&[SlotKey], &[AskedCoverage]) -> Result<Found, CheckError>,
    ) -> Result<Quote, CheckError> {
        let sale = Sale::new(self.catalogue, insured, items, occasion, self.today)?;
        let payers = question::payers(&insured.contracts(), tokens, self.roster);
        let asked = Questions::new(&sale.products, person, tokens);
        let of_payer = |payer| {
            let keys = asked.coverages_of(payer).into_iter();
            keys.map(move |(grouped_code, key)| AskedCoverage {
                payer,
                grouped_code,
                key,
            })
        };
        let coverages: Vec<AskedCoverage> = (0..payers.len()).flat_map(of_payer).collect();
        let found = look(&asked.slots, &coverages)?;
        let offers = Offers::read(&asked, &found, &LiveQuotes::default(), &payers, self.today)?;
        let catalogue = (!offers.offers.is_empty()).then_some(self.named_at);
        Ok(Quote::new(sale, payers, &asked, found, &offers, catalogue))
    }
}

/// The same quote with each line refused for a reason.
pub(crate) fn refused(quote: Quote, reason: Reason) -> Quote {
    quote.refused(reason)
}

/// The claim of a quote's claimable lines, ready to be signed.
///
/// # Errors
/// [`ClaimError`] when there is nothing to claim.
pub(crate) fn draft(quote: &Quote) -> Result<Draft, ClaimError> {
    Draft::new(quote, system::now())
}
