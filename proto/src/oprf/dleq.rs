//! The proof that every answered element was multiplied by the one share that was published: a
//! discrete logarithm equality proof over a whole batch (RFC 9497, 2.2).

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::VartimeMultiscalarMul as _;
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

use super::ciphersuite::{
    BlindedElement, DecodeError, Element, PartialElement, SCALAR_BYTES, Tag, hash_to_scalar,
    scalar_from_bytes,
};

/// Length of an encoded proof: two scalars.
pub const DLEQ_PROOF_BYTES: usize = 2 * SCALAR_BYTES;

/// The lengths that the transcripts carry, I2OSP(len, 2): an element's and the seed's.
const ELEMENT_LENGTH: [u8; 2] = 32_u16.to_be_bytes();
const SEED_LENGTH: [u8; 2] = 64_u16.to_be_bytes();

/// A proof over one batch, constant in size. It reveals nothing of the share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DleqProof {
    c: Scalar,
    s: Scalar,
}

impl DleqProof {
    /// Reads `c || s`, both canonical.
    ///
    /// # Errors
    /// [`DecodeError::Scalar`] when either is not reduced (RFC 9497, 4.1).
    pub fn from_bytes(bytes: &[u8; DLEQ_PROOF_BYTES]) -> Result<Self, DecodeError> {
        let (c, s) = bytes.split_at(SCALAR_BYTES);
        let scalar = |half: &[u8]| {
            let half = half.try_into().map_err(|_| DecodeError::Scalar)?;
            scalar_from_bytes(half)
        };
        Ok(Self {
            c: scalar(c)?,
            s: scalar(s)?,
        })
    }

    /// `c || s`.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; DLEQ_PROOF_BYTES] {
        let mut bytes = [0; DLEQ_PROOF_BYTES];
        let (c, s) = bytes.split_at_mut(SCALAR_BYTES);
        c.copy_from_slice(self.c.as_bytes());
        s.copy_from_slice(self.s.as_bytes());
        bytes
    }

    /// GenerateProof (RFC 9497, 2.2.1) with `A` the generator, `k` the share, `B` its public
    /// element. `r` must be secret and fit this one proof: two proofs with one `r` give `k` away.
    pub(super) fn generate(
        k: &Scalar,
        public: &Element,
        blinded: &[BlindedElement],
        partial: &[PartialElement],
        r: &Scalar,
    ) -> Self {
        // (M, Z) = ComputeCompositesFast(k, B, C, D), where Z = k * M
        let weights = weights(public, blinded, partial);
        let m = weighted_sum(&weights, blinded.iter().map(|element| &element.0));
        let z = k * m;
        // t2 = r * A, t3 = r * M
        let t2 = RistrettoPoint::mul_base(r);
        let t3 = r * m;
        let c = challenge(public, &[m, z, t2, t3]);
        // s = r - c * k, by way of a product that is wiped
        let product = Zeroizing::new(c * k);
        Self { c, s: r - *product }
    }

    /// VerifyProof (RFC 9497, 2.2.2). Nothing in it is secret, so nothing needs constant time.
    pub(super) fn verifies(
        &self,
        public: &Element,
        blinded: &[BlindedElement],
        partial: &[PartialElement],
    ) -> bool {
        if blinded.len() != partial.len() {
            return false;
        }
        // (M, Z) = ComputeComposites(B, C, D)
        let weights = weights(public, blinded, partial);
        let m = weighted_sum(&weights, blinded.iter().map(|element| &element.0));
        let z = weighted_sum(&weights, partial.iter().map(|element| &element.0));
        // t2 = s * A + c * B, t3 = s * M + c * Z
        let t2 =
            RistrettoPoint::vartime_double_scalar_mul_basepoint(&self.c, public.point(), &self.s);
        let t3 = RistrettoPoint::vartime_multiscalar_mul([self.s, self.c], [m, z]);
        self.c == challenge(public, &[m, z, t2, t3])
    }
}

/// The scalars `di` of ComputeComposites (RFC 9497, 2.2.1). They depend on the whole batch, so
/// no element can be wrong without the composites being wrong too.
fn weights(
    public: &Element,
    blinded: &[BlindedElement],
    partial: &[PartialElement],
) -> Vec<Scalar> {
    // seedTranscript = I2OSP(len(Bm), 2) || Bm || I2OSP(len(seedDST), 2) || seedDST
    let seed_tag = Tag::Seed.bytes();
    let seed = Sha512::new_with_prefix(ELEMENT_LENGTH)
        .chain_update(public.bytes())
        .chain_update([0, seed_tag.len().to_le_bytes()[0]])
        .chain_update(seed_tag)
        .finalize();

    // compositeTranscript = I2OSP(len(seed), 2) || seed || I2OSP(i, 2) ||
    //   I2OSP(len(Ci), 2) || Ci || I2OSP(len(Di), 2) || Di || "Composite"
    let pairs = (0_u16..).zip(blinded.iter().zip(partial));
    pairs
        .map(|(i, (ci, di))| {
            let transcript: [&[u8]; 8] = [
                &SEED_LENGTH,
                &seed,
                &i.to_be_bytes(),
                &ELEMENT_LENGTH,
                ci.0.bytes(),
                &ELEMENT_LENGTH,
                di.0.bytes(),
                b"Composite",
            ];
            hash_to_scalar(&transcript, Tag::HashToScalar)
        })
        .collect()
}

/// `d0 * E0 + d1 * E1 + ...`, over public values only.
fn weighted_sum<'a>(
    weights: &[Scalar],
    elements: impl Iterator<Item = &'a Element>,
) -> RistrettoPoint {
    RistrettoPoint::vartime_multiscalar_mul(weights, elements.map(Element::point))
}

/// challengeTranscript (RFC 9497, 2.2.1): Bm, then M, Z, t2 and t3, each behind its length, then
/// "Challenge".
fn challenge(public: &Element, points: &[RistrettoPoint; 4]) -> Scalar {
    let [a0, a1, a2, a3] = points.map(|point| point.compress().to_bytes());
    let transcript: [&[u8]; 11] = [
        &ELEMENT_LENGTH,
        public.bytes(),
        &ELEMENT_LENGTH,
        &a0,
        &ELEMENT_LENGTH,
        &a1,
        &ELEMENT_LENGTH,
        &a2,
        &ELEMENT_LENGTH,
        &a3,
        b"Challenge",
    ];
    hash_to_scalar(&transcript, Tag::HashToScalar)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oprf::ciphersuite::hash_to_group;

    struct Batch {
        public: Element,
        blinded: Vec<BlindedElement>,
        partial: Vec<PartialElement>,
        proof: DleqProof,
    }

    /// An honest answer over three elements.
    fn batch() -> Batch {
        let k = Scalar::from(77_u8);
        let public = Element::multiple(&RistrettoPoint::mul_base(&k));
        let points = [b"a", b"b", b"c"].map(|input| hash_to_group(input));
        let blinded: Vec<_> = points
            .iter()
            .map(|point| BlindedElement(Element::multiple(point)))
            .collect();
        let partial: Vec<_> = points
            .iter()
            .map(|point| PartialElement(Element::multiple(&(k * point))))
            .collect();
        let proof = DleqProof::generate(&k, &public, &blinded, &partial, &Scalar::from(1_234_u16));
        Batch {
            public,
            blinded,
            partial,
            proof,
        }
    }

    #[test]
    fn an_honest_batch_verifies() {
        let it = batch();
        assert!(it.proof.verifies(&it.public, &it.blinded, &it.partial));
    }

    #[test]
    fn one_wrong_element_in_a_batch_is_refused() {
        for position in 0..3 {
            let mut it = batch();
            it.partial[position] = PartialElement(Element::multiple(&hash_to_group(b"other")));
            assert!(!it.proof.verifies(&it.public, &it.blinded, &it.partial));
        }
    }

    #[test]
    fn two_answers_exchanged_are_refused() {
        let mut it = batch();
        it.partial.swap(0, 1);
        assert!(!it.proof.verifies(&it.public, &it.blinded, &it.partial));
    }

    #[test]
    fn errors_that_cancel_out_in_a_plain_sum_are_refused() {
        let mut it = batch();
        let error = hash_to_group(b"error");
        let shift = |element: &PartialElement, by: RistrettoPoint| {
            PartialElement(Element::multiple(&(element.0.point() + by)))
        };
        it.partial[0] = shift(&it.partial[0], error);
        it.partial[1] = shift(&it.partial[1], -error);
        assert!(!it.proof.verifies(&it.public, &it.blinded, &it.partial));
    }

    #[test]
    fn a_proof_does_not_fit_another_share_or_batch() {
        let it = batch();
        let other = Element::multiple(&RistrettoPoint::mul_base(&Scalar::from(78_u8)));
        assert!(!it.proof.verifies(&other, &it.blinded, &it.partial));
        assert!(
            !it.proof
                .verifies(&it.public, &it.blinded[..2], &it.partial[..2])
        );
    }

    #[test]
    fn every_flipped_bit_of_a_proof_is_refused() {
        let it = batch();
        for bit in (0..8 * DLEQ_PROOF_BYTES).step_by(53) {
            let mut bytes = it.proof.to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let accepted = DleqProof::from_bytes(&bytes)
                .is_ok_and(|proof| proof.verifies(&it.public, &it.blinded, &it.partial));
            assert!(!accepted, "bit {bit}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_reads_as_a_proof_writes_the_same_bytes(mut bytes in any::<[u8; 64]>(), low: bool) {
            if low {
                bytes[31] &= 0x0f;
                bytes[63] &= 0x0f;
            }
            if let Ok(proof) = DleqProof::from_bytes(&bytes) {
                prop_assert_eq!(proof.to_bytes(), bytes);
            }
        }
    }
}
