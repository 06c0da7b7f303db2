//! One joint key of a ceremony: this member's polynomial, what the others committed to, and the
//! share that comes out. The arithmetic is `frost-ristretto255`'s; bytes are this protocol's own.

use std::collections::BTreeMap;

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity as _, IsIdentity as _};
use frost_ristretto255::keys::dkg::{part1, part2, part3, round1, round2};
use frost_ristretto255::keys::refresh::{refresh_dkg_part1, refresh_dkg_part2, refresh_dkg_shares};
use frost_ristretto255::keys::{
    KeyPackage, PublicKeyPackage, SigningShare, VerifiableSecretSharingCommitment, VerifyingShare,
};
use frost_ristretto255::rand_core::{self, CryptoRng, RngCore};
use frost_ristretto255::{Error, Identifier, Signature, VerifyingKey};
use zeroize::Zeroizing;

use super::plan::{Kind, Plan};
use crate::hash::SecretStream;
use crate::oprf::{
    ELEMENT_BYTES, JointPublicKey, PublicShare, SCALAR_BYTES, SecretShare, ShareIndex, Threshold,
};

/// A scalar for each member of an index, in its encoding.
pub(super) type SecretValues = BTreeMap<ShareIndex, Zeroizing<Vec<u8>>>;

/// A Schnorr proof of knowledge: an element and a scalar.
const PROOF_BYTES: usize = ELEMENT_BYTES + SCALAR_BYTES;

/// What of a polynomial is committed to: a coefficient for each share of the threshold. In a
/// refresh the lowest is zero, and not written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    is_zero_at_0: bool,
    threshold: Threshold,
}

impl Form {
    /// The form of a plan's polynomials; a repair has none.
    pub(super) const fn of(plan: &Plan) -> Option<Self> {
        let is_zero_at_0 = match plan.kind() {
            Kind::Deal => false,
            Kind::Refresh => true,
            Kind::Repair(_) => return None,
        };
        let threshold = plan.threshold();
        Some(Self {
            is_zero_at_0,
            threshold,
        })
    }

    /// Bytes of one polynomial in an opening: an element for each coefficient, and the proof.
    pub(super) fn opening_bytes(self) -> usize {
        let coefficients = usize::from(self.threshold.get()) - usize::from(self.is_zero_at_0);
        coefficients * ELEMENT_BYTES + PROOF_BYTES
    }
}

/// Randomness out of a member's seed, in the form that the library takes it.
pub(super) struct Randomness(pub(super) SecretStream);

impl RngCore for Randomness {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        self.0.fill(dest);
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.fill(dest);
        Ok(())
    }
}

impl CryptoRng for Randomness {}

/// What a member committed to for one key.
#[derive(Clone)]
pub(super) struct Commitments {
    /// Of the coefficients from the lowest on; in a refresh the first is the identity.
    points: Vec<RistrettoPoint>,
    package: round1::Package,
}

impl Commitments {
    /// Reads one polynomial of an opening; `bytes` has the length [`Form::opening_bytes`].
    pub(super) fn parse(form: Form, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != form.opening_bytes() {
            return None;
        }
        let (elements, proof) = bytes.split_at(bytes.len() - PROOF_BYTES);
        let mut points = match form.is_zero_at_0 {
            false => Vec::new(),
            true => vec![RistrettoPoint::identity()],
        };
        for element in elements.chunks_exact(ELEMENT_BYTES) {
            let point = CompressedRistretto::from_slice(element)
                .ok()?
                .decompress()?;
            points.push(Some(point).filter(|point| !point.is_identity())?);
        }
        let elements = elements.chunks_exact(ELEMENT_BYTES);
        let commitment = VerifiableSecretSharingCommitment::deserialize(elements).ok()?;
        let proof = Signature::deserialize(proof).ok()?;
        let package = round1::Package::new(commitment, proof);
        Some(Self { points, package })
    }

    /// Whether a share is the polynomial's value at this index.
    fn fits(&self, index: ShareIndex, share: &SigningShare) -> bool {
        let bytes = Zeroizing::new(share.serialize());
        let scalar = <[u8; SCALAR_BYTES]>::try_from(bytes.as_slice()).ok();
        let scalar = scalar.and_then(|bytes| Option::from(Scalar::from_canonical_bytes(bytes)));
        let at = Scalar::from(index.get());
        let mut value = RistrettoPoint::identity();
        for point in self.points.iter().rev() {
            value = value * at + point;
        }
        scalar.is_some_and(|scalar: Scalar| RistrettoPoint::mul_base(&scalar) == value)
    }
}

/// This member's own polynomial for one key. It is made anew from the seed when it is needed.
pub(super) struct Polynomial<'a> {
    plan: &'a Plan,
    form: Form,
    own: ShareIndex,
    secret: round1::SecretPackage,
    package: round1::Package,
}

/// Why one key is not made.
pub(super) enum Fault {
    /// This participant's proof fails.
    Proof(ShareIndex),
    /// This participant's share fails.
    Share(ShareIndex),
    /// This helper's deltas do not add up to its part of the repaired share.
    Deltas(ShareIndex),
    /// This helper's sum of deltas fails.
    Sigma(ShareIndex),
    /// Something else that checked messages do not cause.
    Unusable,
}

impl From<Error> for Fault {
    fn from(_: Error) -> Self {
        Self::Unusable
    }
}

/// What everybody may know of one key.
pub(super) struct KeyPublished {
    pub(super) shares: BTreeMap<ShareIndex, PublicShare>,
    pub(super) joint: JointPublicKey,
}

/// One key's outcome for this member.
pub(super) struct KeyOutcome {
    pub(super) share: SecretShare,
    pub(super) published: KeyPublished,
}

impl KeyOutcome {
    /// The same in the library's form.
    pub(super) fn package(&self, threshold: Threshold) -> Result<KeyPackage, Fault> {
        let joint = VerifyingKey::deserialize(&self.published.joint.to_bytes())?;
        let share = SigningShare::deserialize(self.share.to_bytes().as_slice())?;
        let public = VerifyingShare::deserialize(&self.share.public().to_bytes())?;
        let own = identifier(self.share.index())?;
        Ok(KeyPackage::new(own, share, public, joint, threshold.get()))
    }
}

impl KeyPublished {
    /// The same in the library's form.
    pub(super) fn package(&self, threshold: Threshold) -> Result<PublicKeyPackage, Fault> {
        let joint = VerifyingKey::deserialize(&self.joint.to_bytes())?;
        let mut shares = BTreeMap::new();
        for (index, share) in &self.shares {
            let share = VerifyingShare::deserialize(&share.to_bytes())?;
            shares.insert(identifier(*index)?, share);
        }
        Ok(PublicKeyPackage::new(shares, joint, Some(threshold.get())))
    }
}

impl<'a> Polynomial<'a> {
    pub(super) fn new(plan: &'a Plan, own: ShareIndex, random: Randomness) -> Result<Self, Fault> {
        let count = u16::try_from(plan.participants().len()).map_err(|_| Fault::Unusable)?;
        let threshold = plan.threshold().get();
        let form = Form::of(plan).ok_or(Fault::Unusable)?;
        let (secret, package) = match form.is_zero_at_0 {
            false => part1(identifier(own)?, count, threshold, random)?,
            true => refresh_dkg_part1(identifier(own)?, count, threshold, random)?,
        };
        Ok(Self {
            plan,
            form,
            own,
            secret,
            package,
        })
    }

    /// Its bytes in this member's opening.
    pub(super) fn opening(&self) -> Result<Vec<u8>, Fault> {
        let mut bytes = self.package.commitment().serialize()?.concat();
        bytes.extend(self.package.proof_of_knowledge().serialize()?);
        Ok(bytes)
    }

    /// Checks what the others committed to, and gives for each of them the value that it alone
    /// is sent.
    pub(super) fn shares(
        &self,
        openings: &BTreeMap<ShareIndex, &Commitments>,
    ) -> Result<SecretValues, Fault> {
        let (_, values) = self.part2(openings)?;
        let mut shares = BTreeMap::new();
        for index in self.others() {
            let value = values.get(&identifier(index)?).ok_or(Fault::Unusable)?;
            shares.insert(index, Zeroizing::new(value.signing_share().serialize()));
        }
        Ok(shares)
    }

    fn part2(
        &self,
        openings: &BTreeMap<ShareIndex, &Commitments>,
    ) -> Result<(round2::SecretPackage, BTreeMap<Identifier, round2::Package>), Fault> {
        let packages = self.packages(openings)?;
        match self.form.is_zero_at_0 {
            false => match part2(self.secret.clone(), &packages) {
                Err(Error::InvalidProofOfKnowledge { culprit }) => {
                    Err(self.index_of(culprit).map_or(Fault::Unusable, Fault::Proof))
                }
                other => Ok(other?),
            },
            true => Ok(refresh_dkg_part2(self.secret.clone(), &packages)?),
        }
    }

    /// Checks the shares that the others sent, and adds them up. `held` is what a refresh starts
    /// from.
    pub(super) fn finish(
        &self,
        openings: &BTreeMap<ShareIndex, &Commitments>,
        shares: &SecretValues,
        held: Option<&KeyOutcome>,
    ) -> Result<KeyOutcome, Fault> {
        let (secret, _) = self.part2(openings)?;
        let packages = self.packages(openings)?;
        let mut received = BTreeMap::new();
        for index in self.others() {
            let bytes = shares.get(&index).ok_or(Fault::Share(index))?;
            let share = SigningShare::deserialize(bytes).map_err(|_| Fault::Share(index))?;
            let opening = openings.get(&index).ok_or(Fault::Unusable)?;
            if !opening.fits(self.own, &share) {
                return Err(Fault::Share(index));
            }
            received.insert(identifier(index)?, round2::Package::new(share));
        }
        let (key, public) = match (self.form.is_zero_at_0, held) {
            (false, _) => part3(&secret, &packages, &received)?,
            (true, None) => return Err(Fault::Unusable),
            (true, Some(held)) => {
                let public = held.published.package(self.form.threshold)?;
                let key = held.package(self.form.threshold)?;
                refresh_dkg_shares(&secret, &packages, &received, public, key)?
            }
        };
        self.outcome(&key, &public)
    }

    /// The outcome in this protocol's types, held against itself: the own share fits its public
    /// one, and all public shares lie on one polynomial whose value at 0 is the joint key.
    fn outcome(&self, key: &KeyPackage, package: &PublicKeyPackage) -> Result<KeyOutcome, Fault> {
        let share = secret_share(self.own, key)?;
        let mut public = BTreeMap::new();
        for one in self.plan.participants() {
            let shares = package.verifying_shares();
            let bytes = shares.get(&identifier(one.index)?).ok_or(Fault::Unusable)?;
            let bytes = bytes.serialize()?;
            let bytes = bytes.as_slice().try_into().map_err(|_| Fault::Unusable)?;
            let read = PublicShare::from_bytes(one.index, bytes).map_err(|_| Fault::Unusable)?;
            public.insert(one.index, read);
        }
        let all: Vec<_> = public.values().copied().collect();
        let joint = JointPublicKey::of_shares(self.plan.threshold(), &all);
        let joint = joint.map_err(|_| Fault::Unusable)?;
        let said = package.verifying_key().serialize()?;
        let fits = joint.to_bytes().as_slice() == said.as_slice()
            && public.get(&self.own) == Some(&share.public());
        let shares = public;
        let published = KeyPublished { shares, joint };
        fits.then_some(KeyOutcome { share, published })
            .ok_or(Fault::Unusable)
    }

    fn packages(
        &self,
        openings: &BTreeMap<ShareIndex, &Commitments>,
    ) -> Result<BTreeMap<Identifier, round1::Package>, Fault> {
        let others = self.others().map(|index| {
            let opening = openings.get(&index).ok_or(Fault::Unusable)?;
            Ok((identifier(index)?, opening.package.clone()))
        });
        others.collect()
    }

    fn others(&self) -> impl Iterator<Item = ShareIndex> {
        let indexes = self.plan.participants().iter().map(|one| one.index);
        indexes.filter(|index| *index != self.own)
    }

    fn index_of(&self, wanted: Identifier) -> Option<ShareIndex> {
        let mut indexes = self.plan.participants().iter().map(|one| one.index);
        indexes.find(|index| Identifier::try_from(index.get()) == Ok(wanted))
    }
}

/// The share out of the library's form.
pub(super) fn secret_share(index: ShareIndex, key: &KeyPackage) -> Result<SecretShare, Fault> {
    let bytes = Zeroizing::new(key.signing_share().serialize());
    let bytes = bytes.as_slice().try_into().map_err(|_| Fault::Unusable)?;
    SecretShare::from_bytes(index, bytes).map_err(|_| Fault::Unusable)
}

pub(super) fn identifier(index: ShareIndex) -> Result<Identifier, Fault> {
    Ok(Identifier::try_from(index.get())?)
}
