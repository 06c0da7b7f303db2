//! The payers' coverages that a claim may rest on: what ledger and nodes answered, opened.

use proto::attestation::CoverageTerms;
use proto::benefit::{NetworkName, Terms};
use proto::ids::{Day, LeafIndex};
use proto::lpp::GroupedCode;
use proto::refusal::Reason;
use proto::seal::PayloadCommitment;

use super::live::{LiveQuotes, Said};
use super::question::{Payer, Questions};
use super::{CheckError, QuoteSource};
use crate::lookup::{CoverageProof, Found};

/// What the payers committed to, where that comes from, and what their nodes refused.
#[derive(Debug, Default)]
pub(super) struct Offers {
    pub(super) offers: Vec<Offer>,
    /// Position of the payer, grouped code, and why its node says no.
    pub(super) refusals: Vec<(usize, GroupedCode, Reason)>,
    /// One for each payer.
    pub(super) sources: Vec<QuoteSource>,
    /// For each payer the networks that the shop is in by its node; `None` if that did not answer.
    networks: Vec<Option<Vec<NetworkName>>>,
}

/// A network that the till says its shop is in, and a payer's own list says it is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denied {
    pub(super) payer_position: usize,
    pub(super) network: NetworkName,
}

impl Offers {
    /// The coverages that a claim may rest on today, opened: what a payer's node says now, or
    /// else what the ledger has. Of two coverages of one key the later one counts, as in the
    /// ledger.
    pub(super) fn read(
        asked: &Questions,
        found: &Found,
        live: &LiveQuotes,
        payers: &[Payer],
        today: Day,
    ) -> Result<Self, CheckError> {
        let mut offers = Self::of(payers, live);
        for ((position, code), ledger) in asked.meanings().zip(&found.coverages) {
            let Some(payer) = payers.get(position) else {
                continue;
            };
            let proof = match (live.of(position, code), ledger) {
                (Some(Said::Refused(reason)), _) => {
                    offers.refusals.push((position, code, *reason));
                    continue;
                }
                (Some(Said::Covered(live)), Some(ledger)) if ledger.index > live.index => ledger,
                (Some(Said::Covered(live)), _) => live,
                (None, Some(ledger)) => ledger,
                (None, None) => continue,
            };
            if let Some(offer) = read_offer(proof, payer, position, code, today)? {
                offers.add(offer);
            }
        }
        Ok(offers)
    }

    /// The offers as they are for the shop: a payer's own list says whether it is in the network;
    /// where the payer's node did not answer, the till's word counts, which the payer checks later.
    pub(super) fn at_shop(&self, said: &[NetworkName]) -> (Vec<Offer>, Vec<Denied>) {
        let (mut offers, mut denied) = (Vec::new(), Vec::new());
        for offer in &self.offers {
            let mut offer = offer.clone();
            if let Some(name) = offer.terms.network.as_ref().map(|own| own.name.clone()) {
                let listed = self.networks.get(offer.payer_position);
                let listed = listed.and_then(Option::as_ref);
                if listed.map_or(said, Vec::as_slice).contains(&name) {
                    offer.terms = offer.terms.in_network();
                } else if said.contains(&name) {
                    denied.push(Denied {
                        payer_position: offer.payer_position,
                        network: name,
                    });
                }
            }
            offers.push(offer);
        }
        denied.dedup();
        (offers, denied)
    }

    fn of(payers: &[Payer], live: &LiveQuotes) -> Self {
        let source = |position| match live.has(position) {
            true => QuoteSource::Live,
            false => QuoteSource::None,
        };
        Self {
            sources: (0..payers.len()).map(source).collect(),
            networks: (0..payers.len())
                .map(|position| live.networks(position).map(<[NetworkName]>::to_vec))
                .collect(),
            ..Self::default()
        }
    }

    fn add(&mut self, offer: Offer) {
        if let Some(source @ QuoteSource::None) = self.sources.get_mut(offer.payer_position) {
            *source = QuoteSource::Ledger;
        }
        self.offers.push(offer);
    }
}

/// What one payer committed to for one grouped code.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) payer_position: usize,
    pub(super) terms: Terms,
    /// The last day on which a claim may rest on it.
    pub(super) until: Day,
    /// The entry that says so.
    pub(super) coverage: LeafIndex,
    /// The catalogue that it was computed with.
    pub(super) catalogue: LeafIndex,
}

/// The terms of a coverage; `None` when it has run out or its payload has been erased.
fn read_offer(
    proof: &CoverageProof,
    payer: &Payer,
    payer_position: usize,
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
    let CoverageTerms(terms) = CoverageTerms::from_bytes(opened.as_bytes())
        .ok()
        .filter(|CoverageTerms(terms)| terms.grouped_code == grouped_code)
        .ok_or(CheckError::Terms { index })?;
    Ok(Some(Offer {
        payer_position,
        terms,
        until: proof.coverage.until,
        coverage: index,
        catalogue: proof.coverage.catalogue,
    }))
}

#[cfg(test)]
pub(super) mod example {
    use proto::ids::Cents;

    use super::*;

    /// A cap, valid far beyond the day of the tests.
    pub(in crate::pos) fn offer(payer_position: usize, code: &str, amount: u64) -> Offer {
        let terms = Terms::cap(code.parse().unwrap(), Cents::new(amount), 24);
        offer_of(payer_position, terms)
    }

    pub(in crate::pos) fn offer_of(payer_position: usize, terms: Terms) -> Offer {
        Offer {
            payer_position,
            terms,
            until: Day::new(20_800),
            coverage: LeafIndex::new(10 + payer_position as u64),
            catalogue: LeafIndex::new(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::roster::Role;

    use super::super::question::example::payer;
    use super::*;

    #[test]
    fn the_payers_list_decides_and_the_tills_word_where_its_node_is_silent() {
        use proto::benefit::{Counting, NetworkRule, Rule};
        use proto::ids::Cents;
        let cap = |most| Rule::Cap {
            most: Cents::new(most),
            counting: Counting::Alone,
        };
        let name: NetworkName = "RESEAU-1".parse().unwrap();
        let network = NetworkRule {
            name: name.clone(),
            rule: cap(9_000),
        };
        let terms = Terms {
            network: Some(network),
            ..Terms::cap("M03".parse().unwrap(), Cents::new(4_000), 24)
        };
        let rule = |listed: Option<&[NetworkName]>, said: &[NetworkName]| {
            let offers = Offers {
                offers: vec![example::offer_of(0, terms.clone())],
                networks: vec![listed.map(<[NetworkName]>::to_vec)],
                ..Offers::default()
            };
            let (mut offers, denied) = offers.at_shop(said);
            let at_shop = offers.remove(0).terms;
            (at_shop.rule, at_shop.network.is_none(), denied.len())
        };
        let own = std::slice::from_ref(&name);
        assert_eq!(rule(Some(own), &[]), (cap(9_000), true, 0));
        assert_eq!(rule(Some(own), own), (cap(9_000), true, 0));
        assert_eq!(rule(Some(&[]), own), (cap(4_000), false, 1));
        assert_eq!(rule(Some(&[]), &[]), (cap(4_000), false, 0));
        assert_eq!(rule(None, own), (cap(9_000), true, 0));
        assert_eq!(rule(None, &[]), (cap(4_000), false, 0));
    }

    #[test]
    fn debug_of_a_payer_shows_no_secret() {
        let shown = format!("{:?}", payer(Role::Amo, 1));
        assert!(shown.contains("SealingSecret(<secret>)"), "{shown}");
    }
}
