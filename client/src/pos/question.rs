//! What is asked of the ledger and of the payers' nodes for a sale.

use proto::identity::Contract;
use proto::ids::{ContractKey, CoverageKey, MemberName, SlotKey};
use proto::lpp::GroupedCode;
use proto::roster::{Role, Roster};
use proto::signing::PublicKey;
use proto::token::{ContractToken, PersonToken, SealingSecret};

use super::Product;

/// Who may pay, in the order of paying.
#[derive(Debug, Clone)]
pub(super) struct Payer {
    /// The member that the number belongs to; coverages of anybody else are not believed.
    pub(super) member: Option<(MemberName, PublicKey)>,
    pub(super) role: Role,
    /// What its node finds the contract by.
    pub(super) contract_key: ContractKey,
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
            contract_key: token.contract_key(),
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

    /// What each coverage key stands for: position of the payer, and grouped code.
    pub(super) fn meanings(&self) -> impl Iterator<Item = (usize, GroupedCode)> {
        self.meanings.iter().copied()
    }

    /// The grouped codes and coverage keys of one payer, by grouped code.
    pub(super) fn coverages_of(&self, payer_position: usize) -> Vec<(GroupedCode, CoverageKey)> {
        let all = self.meanings.iter().zip(&self.coverages);
        let own = all.filter(|((payer, _), _)| *payer == payer_position);
        own.map(|((_, code), key)| (*code, *key)).collect()
    }
}

#[cfg(test)]
pub(super) mod example {
    use super::*;

    pub(in crate::pos) fn payer(role: Role, seed: u8) -> Payer {
        let key = proto::signing::SecretKey::from_seed(&[seed; 32]).public();
        Payer {
            member: Some((format!("member-{seed}").parse().unwrap(), key)),
            role,
            contract_key: ContractKey::from_bytes([seed; 32]),
            sealing_secret: SealingSecret::from_bytes([seed; 32]),
        }
    }
}
