//! The threshold oblivious PRF: RFC 9497 in mode VOPRF (0x01), ciphersuite ristretto255-SHA512,
//! with the server's secret in shares.
//!
//! ```text
//! client                                 each of t nodes, with share k_i
//! blind(input) -> Blind, B      -- B -->
//!                               <-----   SecretShare::evaluate: k_i * B and a DLEQ proof
//! PublicShare::verify   (a wrong answer names its share)
//! combine -> k * B      (any t verified answers, any t give the same)
//! Blind::finalize -> the output of RFC 9497 under k, which nobody ever held
//! ```
//!
//! The nodes learn nothing about the input, and a client learns one output for each element that
//! t nodes evaluate. Counting and limiting those evaluations is the nodes' part.

mod ciphersuite;
mod dealer;
mod dleq;
mod share;

use std::fmt;

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest as _, Sha512};
use thiserror::Error;
use zeroize::{ZeroizeOnDrop, Zeroizing};

pub use ciphersuite::{
    BlindedElement, DecodeError, ELEMENT_BYTES, JointPublicKey, PartialElement, SCALAR_BYTES,
    SCALAR_RANDOM_BYTES,
};
use ciphersuite::{Element, half, hash_to_group, scalar_from_bytes};
pub use dealer::{DeriveError, JointSecret, SplitError};
pub use dleq::{DLEQ_PROOF_BYTES, DleqProof};
pub(crate) use share::lagrange;
pub use share::{
    CombineError, ELEMENTS_MAX, EvaluateError, EvaluatedElement, JointKeyError, PartialEvaluation,
    PublicShare, SecretShare, ShareIndex, Threshold, VerifiedEvaluation, VerifyError, combine,
};

/// Longest input: its length is hashed as 16 bits (RFC 9497, 1.2, "PrivateInput").
pub const INPUT_BYTES_MAX: usize = 65_535;

/// Length of an output: one SHA-512 hash (RFC 9497, 4.1: Nh).
pub const OUTPUT_BYTES: usize = 64;

/// Why an input cannot be blinded. No variant carries the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BlindError {
    /// The input is too long.
    #[error("an input is {got} bytes, more than {INPUT_BYTES_MAX}")]
    InputTooLong {
        /// Its length.
        got: usize,
    },
    /// The input hashes to the identity (RFC 9497, 3.3.1: InvalidInputError).
    #[error("the input hashes to the identity")]
    InvalidInput,
    /// The random bytes reduce to zero: they were not random.
    #[error("the random bytes make a blind of zero")]
    ZeroBlind,
    /// The bytes of a blind that was kept are not a number below the group's order.
    #[error("a blind must be 32 bytes, little-endian, below the group's order")]
    Scalar,
}

/// What the client keeps of one input until the answer is there: the input and the scalar that
/// hides it. It cannot be printed, and is wiped when dropped.
#[derive(ZeroizeOnDrop)]
pub struct Blind {
    scalar: Scalar,
    /// `I2OSP(len(input), 2) || input`, the first part of what [`Blind::finalize`] hashes.
    framed_input: Vec<u8>,
}

/// Blind (RFC 9497, 3.3.1): hides the input behind a random scalar. `random` is 64 fresh bytes
/// from a cryptographic source, never used for another input: two elements under one scalar can
/// be linked.
///
/// # Errors
/// [`BlindError`]; only the length is ever met in practice.
pub fn blind(
    input: &[u8],
    random: &[u8; SCALAR_RANDOM_BYTES],
) -> Result<(Blind, BlindedElement), BlindError> {
    // blind = G.RandomScalar()
    blind_with(input, Scalar::from_bytes_mod_order_wide(random))
}

/// [`blind`] with a given scalar, as the RFC's test vectors want it.
fn blind_with(input: &[u8], scalar: Scalar) -> Result<(Blind, BlindedElement), BlindError> {
    let length =
        u16::try_from(input.len()).map_err(|_| BlindError::InputTooLong { got: input.len() })?;
    if scalar == Scalar::ZERO {
        return Err(BlindError::ZeroBlind);
    }
    let framed_input = [&length.to_be_bytes(), input].concat();
    let kept = Blind {
        scalar,
        framed_input,
    };
    // inputElement = G.HashToGroup(input); if it is the identity, raise InvalidInputError
    // blindedElement = blind * inputElement
    let input_element = Zeroizing::new(hash_to_group(input));
    let blinded = Element::new(&(scalar * *input_element)).map_err(|_| BlindError::InvalidInput)?;
    Ok((kept, BlindedElement(blinded)))
}

/// [`blind`] with a scalar that was used before, as [`Blind::to_bytes`] gave it: whoever has input
/// and scalar makes the element again that the nodes were asked for.
///
/// # Errors
/// [`BlindError`]; [`BlindError::Scalar`] when the bytes are no scalar.
pub fn blind_again(
    input: &[u8],
    scalar: &[u8; SCALAR_BYTES],
) -> Result<(Blind, BlindedElement), BlindError> {
    let scalar = scalar_from_bytes(scalar).map_err(|_| BlindError::Scalar)?;
    blind_with(input, scalar)
}

impl Blind {
    /// The scalar that hides the input, for evidence of what was asked, and for nothing else:
    /// with it the element is linked to the input.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; SCALAR_BYTES]> {
        Zeroizing::new(self.scalar.to_bytes())
    }

    /// Finalize (RFC 9497, 3.3.2), after the proofs were verified: takes the blind off and hashes
    /// the result with the input. `evaluated` must stand at the place of this blind's element in
    /// the request.
    #[must_use]
    pub fn finalize(&self, evaluated: &EvaluatedElement) -> OprfOutput {
        // N = G.ScalarInverse(blind) * evaluatedElement
        let inverse = Zeroizing::new(self.scalar.invert());
        let n = Zeroizing::new(*inverse * evaluated.0);
        self.hash(&Zeroizing::new(n.compress().to_bytes()))
    }

    /// The output for an unblinded element.
    fn hash(&self, unblinded: &[u8; ELEMENT_BYTES]) -> OprfOutput {
        // hashInput = I2OSP(len(input), 2) || input ||
        //   I2OSP(len(unblindedElement), 2) || unblindedElement || "Finalize"
        let hash = Sha512::new_with_prefix(&self.framed_input)
            .chain_update([0, 32])
            .chain_update(unblinded)
            .chain_update(b"Finalize")
            .finalize();
        OprfOutput(hash.into())
    }
}

/// [`Blind::finalize`] for a whole request, each blind with the element at its place: inversions
/// and encodings of a batch are done together.
#[must_use]
pub fn finalize(blinds: &[Blind], evaluated: &[EvaluatedElement]) -> Vec<OprfOutput> {
    let mut inverses = Zeroizing::new(Vec::with_capacity(blinds.len()));
    inverses.extend(blinds.iter().map(|blind| blind.scalar));
    Scalar::batch_invert(&mut inverses);
    let pairs = inverses.iter().zip(evaluated);
    let halves = Zeroizing::new(
        pairs
            .map(|(inverse, at)| half(inverse) * at.0)
            .collect::<Vec<_>>(),
    );
    let encodings = RistrettoPoint::double_and_compress_batch(halves.iter());
    let unblinded = Zeroizing::new(encodings);
    let unblinded = blinds.iter().zip(unblinded.iter());
    unblinded
        .map(|(blind, n)| blind.hash(n.as_bytes()))
        .collect()
}

impl fmt::Debug for Blind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blind(<secret>)")
    }
}

/// The PRF's value of one input under the joint key: as secret as the tokens made from it. It
/// cannot be printed or compared, and is wiped when dropped.
#[derive(Clone, ZeroizeOnDrop)]
pub struct OprfOutput([u8; OUTPUT_BYTES]);

impl OprfOutput {
    /// Its 64 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; OUTPUT_BYTES] {
        &self.0
    }
}

impl fmt::Debug for OprfOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OprfOutput(<secret>)")
    }
}

#[cfg(test)]
mod tests;
