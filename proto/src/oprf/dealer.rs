//! A joint secret in one hand. Only for a federation of one node, and for tests: with several
//! members no one may ever hold it, and the key ceremony makes the shares instead.

use std::fmt;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use thiserror::Error;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::ciphersuite::{Element, JointPublicKey, SCALAR_RANDOM_BYTES, Tag, hash_to_scalar};
use super::share::{SecretShare, ShareIndex, Threshold};

/// Why no joint secret comes out of a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DeriveError {
    /// The public information has a length that does not fit 16 bits.
    #[error("the information is {got} bytes, more than 65535 (RFC 9497, 3.2.1)")]
    InfoTooLong {
        /// Its length.
        got: usize,
    },
    /// All 256 attempts gave zero, which does not happen.
    #[error("the seed gives no usable secret (RFC 9497, 3.2.1)")]
    Unusable,
}

/// Why a secret cannot be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SplitError {
    /// Nobody could ever combine.
    #[error("a threshold of {threshold} is above the number of shares, {shares}")]
    ThresholdAboveShares {
        /// The threshold asked for.
        threshold: Threshold,
        /// The shares asked for.
        shares: ShareIndex,
    },
    /// The polynomial needs one random coefficient less than the threshold.
    #[error("{got} random coefficients for a polynomial that needs {want}")]
    Coefficients {
        /// How many there are.
        got: usize,
        /// How many it needs.
        want: usize,
    },
    /// A share came out as zero: the random bytes were not random.
    #[error("share {index} came out as zero")]
    ZeroShare {
        /// The share.
        index: ShareIndex,
    },
}

/// The whole joint secret, never zero. It cannot be printed, and is wiped when dropped.
#[derive(Clone, ZeroizeOnDrop)]
pub struct JointSecret {
    scalar: Scalar,
}

impl JointSecret {
    /// DeriveKeyPair (RFC 9497, 3.2.1): `seed` is 32 bytes from a cryptographic random source,
    /// `info` says publicly what the key is for.
    ///
    /// # Errors
    /// [`DeriveError::InfoTooLong`] above 65535 bytes; [`DeriveError::Unusable`] never in practice.
    pub fn derive(seed: &[u8; 32], info: &[u8]) -> Result<Self, DeriveError> {
        let length = u16::try_from(info.len())
            .map_err(|_| DeriveError::InfoTooLong { got: info.len() })?
            .to_be_bytes();
        for counter in 0..=u8::MAX {
            // deriveInput = seed || I2OSP(len(info), 2) || info
            // skS = HashToScalar(deriveInput || I2OSP(counter, 1), "DeriveKeyPair" || context)
            let message: [&[u8]; 4] = [seed, &length, info, &[counter]];
            let scalar = hash_to_scalar(&message, Tag::DeriveKeyPair);
            if scalar != Scalar::ZERO {
                return Ok(Self { scalar });
            }
        }
        Err(DeriveError::Unusable)
    }

    /// The joint public key.
    #[must_use]
    pub fn public(&self) -> JointPublicKey {
        JointPublicKey(Element::multiple(&RistrettoPoint::mul_base(&self.scalar)))
    }

    /// The secret as the one share of a 1-of-1 sharing: index 1, threshold 1.
    #[must_use]
    pub fn sole_share(&self) -> SecretShare {
        SecretShare::of_nonzero(ShareIndex::ONE, self.scalar)
    }

    /// Shamir's sharing: the shares 1 to `shares` are the values there of a random polynomial of
    /// degree `threshold - 1` whose value at 0 is the secret. `random` holds 64 fresh bytes for
    /// each coefficient but the first.
    ///
    /// # Errors
    /// [`SplitError`], see its variants.
    pub fn split(
        &self,
        threshold: Threshold,
        shares: ShareIndex,
        random: &[[u8; SCALAR_RANDOM_BYTES]],
    ) -> Result<Vec<SecretShare>, SplitError> {
        if threshold.get() > shares.get() {
            return Err(SplitError::ThresholdAboveShares { threshold, shares });
        }
        let want = usize::from(threshold.get()) - 1;
        if random.len() != want {
            return Err(SplitError::Coefficients {
                got: random.len(),
                want,
            });
        }
        let coefficients: Zeroizing<Vec<Scalar>> = Zeroizing::new(
            random
                .iter()
                .map(Scalar::from_bytes_mod_order_wide)
                .collect(),
        );
        (1..=shares.get())
            .filter_map(ShareIndex::new)
            .map(|index| {
                SecretShare::new(index, *self.value_at(index, &coefficients))
                    .map_err(|_| SplitError::ZeroShare { index })
            })
            .collect()
    }

    /// The polynomial's value, from the highest coefficient down to the secret (Horner).
    fn value_at(&self, index: ShareIndex, coefficients: &[Scalar]) -> Zeroizing<Scalar> {
        let mut value = Zeroizing::new(Scalar::ZERO);
        for coefficient in coefficients.iter().rev().chain([&self.scalar]) {
            *value = *value * index.scalar() + coefficient;
        }
        value
    }
}

impl fmt::Debug for JointSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JointSecret(<secret>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> JointSecret {
        JointSecret::derive(&[3; 32], b"test").unwrap()
    }

    #[test]
    fn a_split_that_cannot_work_is_refused() {
        let three = ShareIndex::new(3).unwrap();
        let four = Threshold::new(4).unwrap();
        assert_eq!(
            secret().split(four, three, &[[1; 64]; 3]).err(),
            Some(SplitError::ThresholdAboveShares {
                threshold: four,
                shares: three
            })
        );
        let two = Threshold::new(2).unwrap();
        assert_eq!(
            secret().split(two, three, &[]).err(),
            Some(SplitError::Coefficients { got: 0, want: 1 })
        );
    }

    #[test]
    fn a_share_of_zero_is_refused() {
        // The line through the secret at 0 and through 0 at 2 has the slope -secret / 2.
        let slope = -secret().scalar * Scalar::from(2_u8).invert();
        let mut random = [0; 64];
        random[..32].copy_from_slice(slope.as_bytes());
        let two = Threshold::new(2).unwrap();
        let refused = secret().split(two, ShareIndex::new(3).unwrap(), &[random]);
        assert_eq!(
            refused.err(),
            Some(SplitError::ZeroShare {
                index: ShareIndex::new(2).unwrap()
            })
        );
    }

    #[test]
    fn a_split_of_one_of_one_is_the_secret_itself() {
        let shares = secret()
            .split(Threshold::ONE, ShareIndex::ONE, &[])
            .unwrap();
        let sole = secret().sole_share();
        assert_eq!(shares[0].to_bytes(), sole.to_bytes());
        assert_eq!(sole.public().to_bytes(), secret().public().to_bytes());
    }

    #[test]
    fn information_beyond_16_bits_is_refused() {
        let refused = JointSecret::derive(&[3; 32], &vec![0; 65_536]).err();
        assert_eq!(refused, Some(DeriveError::InfoTooLong { got: 65_536 }));
    }

    #[test]
    fn debug_of_the_secret_shows_no_byte_of_it() {
        assert_eq!(format!("{:?}", secret()), "JointSecret(<secret>)");
    }
}
