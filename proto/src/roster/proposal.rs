//! The roster that a ceremony leads to: the one before it with new shares, and nothing else new.

use std::num::NonZeroU16;

use thiserror::Error;

use super::{
    Element, MemberShare, OprfElements, Roster, RosterError, RosterParts, RosterValueError,
};
use crate::dkg::{Outcome, Plan};

/// Why no roster follows from a ceremony.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProposalError {
    /// There is no epoch after the last one.
    #[error("there is no roster after epoch {0}")]
    LastEpoch(u64),
    /// A key or a share is no public element.
    #[error(transparent)]
    Element(#[from] RosterValueError),
    /// The new roster breaks a rule.
    #[error(transparent)]
    Roster(#[from] RosterError),
}

impl Roster {
    /// The next roster: this one with the keys, the shares and the transcript of a ceremony. Every
    /// participant comes to the same text.
    ///
    /// # Errors
    /// [`ProposalError`]; with a plan that was made from this roster it does not happen.
    pub fn after_ceremony(&self, plan: &Plan, outcome: &Outcome) -> Result<Self, ProposalError> {
        let last = ProposalError::LastEpoch(self.epoch().get());
        let holding = &outcome.holding;
        let shares = holding.public.iter().map(|pair| {
            Ok(MemberShare {
                member: pair.member.clone(),
                index: number(pair.person.index().get()),
                public: OprfElements {
                    person: Element::from_bytes(pair.person.to_bytes())?,
                    contract: Element::from_bytes(pair.contract.to_bytes())?,
                },
            })
        });
        Ok(Self::new(RosterParts {
            epoch: self.epoch().next().ok_or(last)?,
            previous: Some(self.hash()),
            threshold: number(plan.threshold().get()),
            joint: OprfElements {
                person: Element::from_bytes(holding.joint_person.to_bytes())?,
                contract: Element::from_bytes(holding.joint_contract.to_bytes())?,
            },
            ceremony: Some(outcome.transcript.hash()),
            shares: shares.collect::<Result<_, ProposalError>>()?,
            ..self.parts.clone()
        })?)
    }
}

/// Indexes and thresholds are never 0.
fn number(value: u16) -> NonZeroU16 {
    NonZeroU16::new(value).unwrap_or(NonZeroU16::MIN)
}
