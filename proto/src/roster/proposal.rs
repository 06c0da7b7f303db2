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
        let published = &outcome.holding.published;
        let shares = published.shares.iter().map(|pair| {
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
                person: Element::from_bytes(published.joint_person.to_bytes())?,
                contract: Element::from_bytes(published.joint_contract.to_bytes())?,
            },
            ceremony: Some(outcome.transcript.hash()),
            shares: shares.collect::<Result<_, ProposalError>>()?,
            ..self.parts.clone()
        })?)
    }
}

impl Roster {
    /// Whether this roster follows `previous` with other shares, keys and threshold, and with
    /// nothing else new: what a member may sign that did not take part in the ceremony.
    #[must_use]
    pub fn changes_shares_alone(&self, previous: &Self) -> bool {
        let unchanged = RosterParts {
            epoch: self.epoch(),
            previous: Some(previous.hash()),
            threshold: self.threshold(),
            joint: *self.joint(),
            ceremony: self.ceremony(),
            shares: self.shares().to_vec(),
            ..previous.parts.clone()
        };
        let follows = previous.epoch().next() == Some(self.epoch()) && self.ceremony().is_some();
        follows && Self::new(unchanged).is_ok_and(|same| same.text() == self.text())
    }
}

/// Indexes and thresholds are never 0.
fn number(value: u16) -> NonZeroU16 {
    NonZeroU16::new(value).unwrap_or(NonZeroU16::MIN)
}

#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::super::example::{element, federation, parts};
    use super::*;
    use crate::hash::Hash;

    /// A roster after `federation(4, 1)` with other shares, after one more change.
    fn successor(change: impl FnOnce(&mut RosterParts)) -> Roster {
        let mut parts = parts(4, 1);
        parts.epoch = federation(4, 1).epoch().next().unwrap();
        parts.previous = Some(federation(4, 1).hash());
        parts.threshold = NonZeroU16::new(3).unwrap();
        parts.joint.person = element(7);
        parts.ceremony = Some(Hash::from_bytes([1; 32]));
        parts.shares[0].public.contract = element(8);
        change(&mut parts);
        Roster::new(parts).unwrap()
    }

    #[test]
    fn a_ceremony_changes_shares_and_nothing_else() {
        let previous = federation(4, 1);
        let allowed =
            |change: fn(&mut RosterParts)| successor(change).changes_shares_alone(&previous);
        assert!(allowed(|_| {}));
        assert!(allowed(|parts| {
            parts.shares.pop();
        }));
        assert!(!allowed(
            |parts| parts.members[4].standing = Standing::Voting
        ));
        assert!(!allowed(|parts| parts.members[0].grpc = None));
        assert!(!allowed(|parts| parts.ceremony = None));
        assert!(!allowed(
            |parts| parts.previous = Some(Hash::from_bytes([2; 32]))
        ));
        assert!(!allowed(|parts| parts.epoch = super::super::Epoch::new(2)));
        assert!(!allowed(
            |parts| parts.origin = "vitrail.example/audio".parse().unwrap()
        ));
    }
}
