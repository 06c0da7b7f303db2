//! One key of a ceremony at one seat: what this member makes of its seed, and what the others opened.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{Basis, CONTRACT, Openings, PERSON, Seat};
use crate::dkg::CeremonyError;
use crate::dkg::plan::{Kind, Participant};
use crate::dkg::polynomial::{
    Commitments, Fault, Form, KeyOutcome, KeyPublished, Polynomial, Randomness, SecretValues,
};
use crate::dkg::repair::{DeltaCommitments, Helping};
use crate::hash::{Context, SecretStream};
use crate::oprf::ShareIndex;

/// Of the person key, then of the contract key.
pub(super) enum Content {
    Polynomials(Box<[Commitments; 2]>),
    Deltas([DeltaCommitments; 2]),
    /// The repaired member's: which shares it wants again.
    Request,
}

impl<'a> Seat<'a> {
    pub(super) fn content(&self, one: &Participant, body: &[u8]) -> Option<Content> {
        if let Some(form) = Form::of(self.plan) {
            let (person, contract) = body.split_at_checked(form.opening_bytes())?;
            let read = |bytes| Commitments::parse(form, bytes);
            let both = Box::new([read(person)?, read(contract)?]);
            return Some(Content::Polynomials(both));
        }
        if self.plan.repaired() == Some(one.index) {
            let want = [self.request(PERSON).ok()?, self.request(CONTRACT).ok()?].concat();
            return (want == body).then_some(Content::Request);
        }
        let (person, contract) =
            body.split_at_checked(DeltaCommitments::opening_bytes(self.plan))?;
        let read = |bytes| DeltaCommitments::parse(self.plan, bytes);
        Some(Content::Deltas([read(person)?, read(contract)?]))
    }

    pub(super) fn finish_key(
        &self,
        key: &[u8],
        openings: &Openings,
        shares: &SecretValues,
    ) -> Result<KeyOutcome, CeremonyError> {
        let held = match self.plan.kind() {
            Kind::Deal => None,
            Kind::Refresh | Kind::Repair(_) => Some(self.held_key(key)),
        };
        let held = held.transpose().map_err(|fault| self.blame(&fault))?;
        let finished = self
            .polynomial(key)
            .and_then(|own| own.finish(&openings.polynomials(key), shares, held.as_ref()));
        let finished = finished.map_err(|fault| self.blame(&fault))?;
        // A refresh that changed the joint key would change every token.
        let same = held.is_none_or(|held| held.published.joint == finished.published.joint);
        same.then_some(finished).ok_or(CeremonyError::Unusable)
    }

    fn held_key(&self, key: &[u8]) -> Result<KeyOutcome, Fault> {
        let Basis::Held(held) = self.basis else {
            return Err(Fault::Unusable);
        };
        let share = if key == PERSON {
            &held.person
        } else {
            &held.contract
        };
        Ok(KeyOutcome {
            share: share.clone(),
            published: self.published(key)?,
        })
    }

    pub(super) fn published(&self, key: &[u8]) -> Result<KeyPublished, Fault> {
        let published = match self.basis {
            Basis::Nothing => return Err(Fault::Unusable),
            Basis::Held(held) => &held.published,
            Basis::Published(published) => published,
        };
        let is_person = key == PERSON;
        let shares = published.shares.iter().map(|pair| {
            let share = if is_person {
                pair.person
            } else {
                pair.contract
            };
            (share.index(), share)
        });
        let (person, contract) = (published.joint_person, published.joint_contract);
        Ok(KeyPublished {
            shares: shares.collect(),
            joint: if is_person { person } else { contract },
        })
    }

    /// What the repaired member opens: the public share that it wants the secret of.
    pub(super) fn request(&self, key: &[u8]) -> Result<Vec<u8>, Fault> {
        let repaired = self.plan.repaired().ok_or(Fault::Unusable)?;
        let published = self.published(key)?;
        let share = published.shares.get(&repaired).ok_or(Fault::Unusable)?;
        Ok(share.to_bytes().to_vec())
    }

    pub(super) fn values(&self, key: &[u8], openings: &Openings) -> Result<SecretValues, Fault> {
        self.polynomial(key)
            .and_then(|own| own.shares(&openings.polynomials(key)))
    }

    pub(super) fn polynomial(&self, key: &[u8]) -> Result<Polynomial<'a>, Fault> {
        Polynomial::new(self.plan, self.own.index, self.randomness(key))
    }

    pub(super) fn helping(&self, key: &[u8]) -> Result<Helping<'a>, Fault> {
        Helping::new(self.plan, &self.held_key(key)?, self.randomness(key))
    }

    /// The plan is hashed in, so that one seed never serves two ceremonies.
    fn randomness(&self, key: &[u8]) -> Randomness {
        let parts = [self.seed.as_slice(), self.plan.id().as_bytes(), key].map(<[u8]>::to_vec);
        let parts = parts.map(Zeroizing::new);
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_slice()).collect();
        Randomness(SecretStream::new(Context::CeremonySecrets, &parts))
    }
}

impl Openings {
    /// What was opened of one key in a deal or a refresh.
    fn polynomials(&self, key: &[u8]) -> BTreeMap<ShareIndex, &Commitments> {
        let each = self
            .each
            .iter()
            .filter_map(|(index, opened)| match &opened.content {
                Content::Polynomials(both) => Some((*index, of_key(key, both))),
                _ => None,
            });
        each.collect()
    }

    /// What the helpers of a repair opened of one key.
    pub(super) fn deltas(&self, key: &[u8]) -> BTreeMap<ShareIndex, &DeltaCommitments> {
        let each = self
            .each
            .iter()
            .filter_map(|(index, opened)| match &opened.content {
                Content::Deltas(both) => Some((*index, of_key(key, both))),
                _ => None,
            });
        each.collect()
    }
}

fn of_key<'a, T>(key: &[u8], [person, contract]: &'a [T; 2]) -> &'a T {
    if key == PERSON { person } else { contract }
}
