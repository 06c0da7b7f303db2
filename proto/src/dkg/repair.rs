//! The repair of one member's share of one joint key by members that have theirs (the repairable
//! threshold scheme of Laing and Stinson, ePrint 2017/1155). The arithmetic is
//! `frost-ristretto255`'s; that every value is committed to, and so every wrong one has a name, is
//! this protocol's own.
//!
//! ```text
//! helper i           delta_ij for each helper j: random, but sum over j = lambda_i * share_i
//!   its opening      delta_ij * G for each j;   checked: sum over j = lambda_i * public share_i
//! helper i to j      delta_ij;                  checked: delta_ij * G is the one opened
//! helper j           sigma_j = sum over i of delta_ij
//!   to the repaired  sigma_j;                   checked: sigma_j * G = sum over i of delta_ij * G
//! repaired member    share = sum over j of sigma_j
//! ```
//!
//! `lambda_i` is the weight of share i in the value at the repaired index. A helper's share is
//! hidden by its own randomness: of what it gives to another helper, all others see `delta_ij * G`
//! alone, so helpers that are fewer than the threshold have neither its share nor the repaired one.

use std::collections::BTreeMap;

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity as _;
use frost_ristretto255::Ristretto255Sha512;
use frost_ristretto255::keys::repairable::{
    Delta, Sigma, repair_share_part1, repair_share_part2, repair_share_part3,
};
use zeroize::Zeroizing;

use super::plan::Plan;
use super::polynomial::{
    Fault, KeyOutcome, KeyPublished, Randomness, SecretValues, identifier, secret_share,
};
use crate::oprf::{ELEMENT_BYTES, SCALAR_BYTES, SecretShare, ShareIndex, lagrange};

/// What one helper committed to for one key.
#[derive(Clone)]
pub(super) struct DeltaCommitments {
    /// `delta * G` for each helper, by index.
    points: BTreeMap<ShareIndex, RistrettoPoint>,
}

impl DeltaCommitments {
    /// Bytes of one key in a helper's opening: an element for each helper.
    pub(super) fn opening_bytes(plan: &Plan) -> usize {
        plan.helpers().count() * ELEMENT_BYTES
    }

    /// Reads one key of a helper's opening; `bytes` has the length
    /// [`DeltaCommitments::opening_bytes`].
    pub(super) fn parse(plan: &Plan, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::opening_bytes(plan) {
            return None;
        }
        let elements = bytes.chunks_exact(ELEMENT_BYTES);
        let points = plan.helpers().zip(elements).map(|(helper, element)| {
            let point = CompressedRistretto::from_slice(element)
                .ok()?
                .decompress()?;
            (!point.is_identity()).then_some((helper.index, point))
        });
        let points = points.collect::<Option<_>>()?;
        Some(Self { points })
    }

    fn of(values: &SecretValues) -> Result<Self, Fault> {
        let points = values.iter().map(|(index, value)| {
            let value = scalar(value).ok_or(Fault::Unusable)?;
            Ok((*index, RistrettoPoint::mul_base(&value)))
        });
        let points = points.collect::<Result<_, Fault>>()?;
        Ok(Self { points })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let points = self.points.values();
        points
            .flat_map(|point| point.compress().to_bytes())
            .collect()
    }

    /// Whether this is the delta for the helper of this index.
    fn fits(&self, to: ShareIndex, delta: &[u8]) -> bool {
        let delta = scalar(delta).map(|delta| RistrettoPoint::mul_base(&delta));
        delta.is_some() && delta.as_ref() == self.points.get(&to)
    }
}

/// The repair of one key's share, as one helper sees it.
pub(super) struct Helping<'a> {
    plan: &'a Plan,
    own: ShareIndex,
    deltas: SecretValues,
}

impl<'a> Helping<'a> {
    /// Makes this helper's deltas. They are made anew from the seed when they are needed.
    pub(super) fn new(
        plan: &'a Plan,
        held: &KeyOutcome,
        mut random: Randomness,
    ) -> Result<Self, Fault> {
        let repaired = identifier(plan.repaired().ok_or(Fault::Unusable)?)?;
        let helpers = plan.helpers().map(|one| identifier(one.index));
        let helpers = helpers.collect::<Result<Vec<_>, Fault>>()?;
        let package = held.package(plan.threshold())?;
        let made =
            repair_share_part1::<Ristretto255Sha512, _>(&helpers, &package, &mut random, repaired)?;
        let mut deltas = SecretValues::new();
        for one in plan.helpers() {
            let delta = made.get(&identifier(one.index)?).ok_or(Fault::Unusable)?;
            deltas.insert(one.index, Zeroizing::new(delta.serialize()));
        }
        let own = held.share.index();
        Ok(Self { plan, own, deltas })
    }

    /// Its bytes in this helper's opening.
    pub(super) fn opening(&self) -> Result<Vec<u8>, Fault> {
        Ok(DeltaCommitments::of(&self.deltas)?.to_bytes())
    }

    /// The delta that each other helper alone is sent.
    pub(super) fn shares(mut self) -> SecretValues {
        self.deltas.remove(&self.own);
        self.deltas
    }

    /// Checks the deltas that the others sent, and adds them to the own one.
    pub(super) fn sigma(
        &self,
        openings: &BTreeMap<ShareIndex, &DeltaCommitments>,
        received: &SecretValues,
    ) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let mut deltas = Vec::new();
        for one in self.plan.helpers() {
            let delta = match one.index == self.own {
                true => self.deltas.get(&self.own),
                false => received.get(&one.index),
            };
            let delta = delta.ok_or(Fault::Share(one.index))?;
            let opening = openings.get(&one.index).ok_or(Fault::Unusable)?;
            if !opening.fits(self.own, delta) {
                return Err(Fault::Share(one.index));
            }
            deltas.push(Delta::deserialize(delta)?);
        }
        Ok(Zeroizing::new(repair_share_part2(&deltas).serialize()))
    }
}

/// Checks that what each helper committed to adds up to its part of the repaired share.
pub(super) fn check_deltas(
    plan: &Plan,
    openings: &BTreeMap<ShareIndex, &DeltaCommitments>,
    published: &KeyPublished,
) -> Result<(), Fault> {
    let repaired = plan.repaired().ok_or(Fault::Unusable)?;
    let helpers: Vec<_> = plan.helpers().map(|one| one.index).collect();
    let weights = lagrange(&helpers, Scalar::from(repaired.get()));
    for (helper, weight) in helpers.into_iter().zip(weights) {
        let opening = openings.get(&helper).ok_or(Fault::Unusable)?;
        let share = published.shares.get(&helper).ok_or(Fault::Unusable)?;
        let sum: RistrettoPoint = opening.points.values().sum();
        if sum != share.point() * weight {
            return Err(Fault::Deltas(helper));
        }
    }
    Ok(())
}

/// Checks the sums that the helpers sent, and adds them up to the repaired share, which must be
/// the one that is published.
pub(super) fn repaired_share(
    plan: &Plan,
    openings: &BTreeMap<ShareIndex, &DeltaCommitments>,
    sigmas: &SecretValues,
    published: &KeyPublished,
) -> Result<SecretShare, Fault> {
    let repaired = plan.repaired().ok_or(Fault::Unusable)?;
    let mut parts = Vec::new();
    for helper in plan.helpers().map(|one| one.index) {
        let sigma = sigmas.get(&helper).ok_or(Fault::Sigma(helper))?;
        let value = scalar(sigma).ok_or(Fault::Sigma(helper))?;
        let opened = openings.values().map(|opening| opening.points.get(&helper));
        let opened: Option<RistrettoPoint> = opened.sum();
        if Some(RistrettoPoint::mul_base(&value)) != opened {
            return Err(Fault::Sigma(helper));
        }
        parts.push(Sigma::deserialize(sigma)?);
    }
    let package = published.package(plan.threshold())?;
    let key = repair_share_part3(&parts, identifier(repaired)?, &package)?;
    let share = secret_share(repaired, &key)?;
    let fits = published.shares.get(&repaired) == Some(&share.public());
    fits.then_some(share).ok_or(Fault::Unusable)
}

/// A scalar in its one encoding.
fn scalar(bytes: &[u8]) -> Option<Zeroizing<Scalar>> {
    let bytes = <[u8; SCALAR_BYTES]>::try_from(bytes).map(Zeroizing::new);
    let read = Scalar::from_canonical_bytes(*bytes.ok()?);
    Option::from(read).map(Zeroizing::new)
}
