//! Group, hash and encodings: ristretto255-SHA512 (RFC 9497, 4.1) in mode VOPRF, the only suite.

use std::fmt;

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity as _;
use sha2::{Digest as _, Sha512};
use thiserror::Error;
use zeroize::Zeroizing;

/// Length of an encoded element (RFC 9497, 4.1: Ne).
pub const ELEMENT_BYTES: usize = 32;
/// Length of an encoded scalar (RFC 9497, 4.1: Ns).
pub const SCALAR_BYTES: usize = 32;
/// How many random bytes make one scalar: twice its length, so that reducing them leaves no bias.
pub const SCALAR_RANDOM_BYTES: usize = 64;

/// Why bytes are not an element or a scalar of the protocol. No variant carries the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// The bytes are not the one encoding of a point.
    #[error("an element must be the canonical encoding of a ristretto255 point (RFC 9496, 4.3.1)")]
    Element,
    /// The element is the identity, which would make every evaluation equal.
    #[error("an element must not be the identity (RFC 9497, 4.1)")]
    Identity,
    /// The bytes are not a number below the group's order.
    #[error("a scalar must be 32 bytes, little-endian, below the group's order (RFC 9497, 4.1)")]
    Scalar,
    /// The scalar of a share is zero.
    #[error("a share must not be zero")]
    ZeroShare,
}

/// A point that is not the identity, beside its one encoding, so that it is encoded only once.
#[derive(Clone, Copy)]
pub(super) struct Element {
    point: RistrettoPoint,
    bytes: [u8; ELEMENT_BYTES],
}

impl Element {
    /// Encodes a point; the identity has no place in the protocol.
    pub(super) fn new(point: &RistrettoPoint) -> Result<Self, DecodeError> {
        if point.is_identity() {
            return Err(DecodeError::Identity);
        }
        Ok(Self::multiple(point))
    }

    /// Encodes the product of a scalar that is not zero and a point that is not the identity:
    /// in a group of prime order it is not the identity either.
    pub(super) fn multiple(product: &RistrettoPoint) -> Self {
        Self {
            point: *product,
            bytes: product.compress().to_bytes(),
        }
    }

    /// DeserializeElement (RFC 9497, 4.1): strict, and never the identity.
    pub(super) fn from_bytes(bytes: &[u8; ELEMENT_BYTES]) -> Result<Self, DecodeError> {
        let point = CompressedRistretto(*bytes)
            .decompress()
            .ok_or(DecodeError::Element)?;
        if point.is_identity() {
            return Err(DecodeError::Identity);
        }
        // Decoding is strict: the bytes that were read are the ones that would be written.
        Ok(Self {
            point,
            bytes: *bytes,
        })
    }

    /// The doubles of points that are not the identity. Encoding many together takes one
    /// inversion for all of them, where each alone takes an inverse square root.
    pub(super) fn doubles(halves: &[RistrettoPoint]) -> Vec<Self> {
        let encodings = RistrettoPoint::double_and_compress_batch(halves);
        let double = |(half, encoding): (&RistrettoPoint, CompressedRistretto)| Self {
            point: half + half,
            bytes: encoding.to_bytes(),
        };
        halves.iter().zip(encodings).map(double).collect()
    }

    pub(super) const fn point(&self) -> &RistrettoPoint {
        &self.point
    }

    pub(super) const fn bytes(&self) -> &[u8; ELEMENT_BYTES] {
        &self.bytes
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Element {}

/// Declares one role that an element has in the protocol. An element of one role cannot stand
/// in for an element of another.
macro_rules! element {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name(pub(super) Element);

        impl $name {
            /// Reads the canonical encoding.
            ///
            /// # Errors
            /// [`DecodeError::Element`] for any other encoding, [`DecodeError::Identity`] for the
            /// identity (RFC 9497, 4.1).
            pub fn from_bytes(bytes: &[u8; ELEMENT_BYTES]) -> Result<Self, DecodeError> {
                Element::from_bytes(bytes).map(Self)
            }

            /// Its canonical encoding.
            #[must_use]
            pub const fn to_bytes(&self) -> [u8; ELEMENT_BYTES] {
                *self.0.bytes()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

element! {
    /// What a client sends: its input as an element, times a random scalar. It says nothing about
    /// the input, not even to someone who knows every share.
    BlindedElement
}
element! {
    /// What one node answers to a blinded element: the element times that node's share. It counts
    /// for nothing until its proof is verified.
    PartialElement
}
element! {
    /// The public key that belongs to the joint secret, which nobody holds.
    JointPublicKey
}

/// Half of a scalar: twice its product with a point is the scalar's.
pub(super) fn half(scalar: &Scalar) -> Scalar {
    // (q + 1) / 2, the inverse of 2 modulo the group's order q.
    const INVERSE_OF_2: [u8; SCALAR_BYTES] = [
        0xf7, 0xe9, 0x7a, 0x2e, 0x8d, 0x31, 0x09, 0x2c, 0x6b, 0xce, 0x7b, 0x51, 0xef, 0x7c, 0x6f,
        0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x08,
    ];
    scalar * Scalar::from_bytes_mod_order(INVERSE_OF_2)
}

/// DeserializeScalar (RFC 9497, 4.1): only the reduced encoding is read.
pub(super) fn scalar_from_bytes(bytes: &[u8; SCALAR_BYTES]) -> Result<Scalar, DecodeError> {
    Option::from(Scalar::from_canonical_bytes(*bytes)).ok_or(DecodeError::Scalar)
}

/// The uses of hash_to_field, each under its own domain separation tag. All of them end in
/// contextString = "OPRFV1-" || I2OSP(mode, 1) || "-" || identifier (RFC 9497, 3.1), mode 0x01.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    HashToGroup,
    HashToScalar,
    DeriveKeyPair,
    Seed,
    /// Ours, not of the RFC: the random scalar of a DLEQ proof.
    ProofNonce,
}

impl Tag {
    pub(super) const fn bytes(self) -> &'static [u8] {
        match self {
            Self::HashToGroup => b"HashToGroup-OPRFV1-\x01-ristretto255-SHA512",
            Self::HashToScalar => b"HashToScalar-OPRFV1-\x01-ristretto255-SHA512",
            Self::DeriveKeyPair => b"DeriveKeyPairOPRFV1-\x01-ristretto255-SHA512",
            Self::Seed => b"Seed-OPRFV1-\x01-ristretto255-SHA512",
            Self::ProofNonce => b"VitrailProofNonce-OPRFV1-\x01-ristretto255-SHA512",
        }
    }
}

/// The message parts, hashed to 64 uniform bytes: `expand_message_xmd` with SHA-512 (RFC 9380,
/// 5.3.1). 64 bytes are one block of SHA-512, so `ell` is 1 and the loop of step 8 is empty.
fn expand_message_xmd(message: &[&[u8]], tag: Tag) -> Zeroizing<[u8; 64]> {
    // DST_prime = DST || I2OSP(len(DST), 1): every tag is far below 256 bytes.
    let tag_bytes = tag.bytes();
    let tag_length = [tag_bytes.len().to_le_bytes()[0]];

    // msg_prime = Z_pad || msg || l_i_b_str || I2OSP(0, 1) || DST_prime
    let mut first = Sha512::new_with_prefix([0; 128]);
    for part in message {
        first.update(part);
    }
    first.update(64_u16.to_be_bytes());
    first.update([0]);
    first.update(tag_bytes);
    first.update(tag_length);
    // b_0 = H(msg_prime)
    let b0 = Zeroizing::new(<[u8; 64]>::from(first.finalize()));

    // b_1 = H(b_0 || I2OSP(1, 1) || DST_prime)
    let second = Sha512::new_with_prefix(b0.as_slice())
        .chain_update([1])
        .chain_update(tag_bytes)
        .chain_update(tag_length);
    Zeroizing::new(second.finalize().into())
}

/// HashToGroup (RFC 9497, 4.1): 64 uniform bytes through the one-way map (RFC 9496, 4.3.4).
pub(super) fn hash_to_group(input: &[u8]) -> RistrettoPoint {
    let uniform = expand_message_xmd(&[input], Tag::HashToGroup);
    RistrettoPoint::from_uniform_bytes(&uniform)
}

/// HashToScalar (RFC 9497, 4.1): 64 uniform bytes, little-endian, modulo the group's order.
pub(super) fn hash_to_scalar(message: &[&[u8]], tag: Tag) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&expand_message_xmd(message, tag))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Encodings that RFC 9496, A.3 wants refused: non-canonical, negative, not on the curve.
    const BAD_ENCODINGS: [&str; 7] = [
        "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
    ];

    fn bytes(text: &str) -> [u8; 32] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    #[test]
    fn an_element_has_one_encoding() {
        for bad in BAD_ENCODINGS {
            let refused = BlindedElement::from_bytes(&bytes(bad));
            assert_eq!(refused, Err(DecodeError::Element), "{bad}");
        }
    }

    #[test]
    fn the_identity_is_refused_in_every_role() {
        let identity = [0; 32];
        let refused = DecodeError::Identity;
        assert_eq!(BlindedElement::from_bytes(&identity), Err(refused));
        assert_eq!(PartialElement::from_bytes(&identity), Err(refused));
        assert_eq!(JointPublicKey::from_bytes(&identity), Err(refused));
    }

    #[test]
    fn a_scalar_has_one_encoding() {
        // The group's order, little-endian (RFC 9496, 4).
        let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
        assert_eq!(scalar_from_bytes(&bytes(order)), Err(DecodeError::Scalar));
        assert_eq!(scalar_from_bytes(&[0xff; 32]), Err(DecodeError::Scalar));
        assert_eq!(scalar_from_bytes(&[0; 32]), Ok(Scalar::ZERO));
    }

    #[test]
    fn every_tag_ends_in_the_context_string_and_is_its_own() {
        let tags = [
            Tag::HashToGroup,
            Tag::HashToScalar,
            Tag::DeriveKeyPair,
            Tag::Seed,
            Tag::ProofNonce,
        ];
        for (position, tag) in tags.iter().enumerate() {
            assert!(tag.bytes().ends_with(b"OPRFV1-\x01-ristretto255-SHA512"));
            assert!(tag.bytes().len() < 256);
            for other in &tags[..position] {
                assert_ne!(tag.bytes(), other.bytes());
            }
        }
    }

    #[test]
    fn twice_the_half_is_the_whole_for_scalars_and_points() {
        for scalar in [1_u64, 2, 3, u64::MAX].map(Scalar::from) {
            assert_eq!(half(&scalar) + half(&scalar), scalar);
        }
        let points = [b"a", b"b", b"c"].map(|input| hash_to_group(input));
        let halves = points.map(|point| half(&Scalar::ONE) * point);
        for (double, point) in Element::doubles(&halves).iter().zip(points) {
            assert_eq!(*double.point(), point);
            assert_eq!(*double.bytes(), point.compress().to_bytes());
        }
    }

    #[test]
    fn a_message_in_parts_hashes_like_the_whole() {
        assert_eq!(
            hash_to_scalar(&[b"ab", b"", b"c"], Tag::HashToScalar),
            hash_to_scalar(&[b"abc"], Tag::HashToScalar)
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_reads_as_an_element_writes_the_same_bytes(bytes: [u8; 32]) {
            if let Ok(element) = BlindedElement::from_bytes(&bytes) {
                prop_assert_eq!(element.to_bytes(), bytes);
            }
        }

        #[test]
        fn a_written_element_reads_back(input: [u8; 8]) {
            let element = BlindedElement(Element::new(&hash_to_group(&input)).unwrap());
            prop_assert_eq!(BlindedElement::from_bytes(&element.to_bytes()), Ok(element));
        }

        #[test]
        fn what_reads_as_a_scalar_writes_the_same_bytes(bytes: [u8; 32]) {
            if let Ok(scalar) = scalar_from_bytes(&bytes) {
                prop_assert_eq!(scalar.to_bytes(), bytes);
            }
        }
    }
}
