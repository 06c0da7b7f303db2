//! Incident keys: what access records are sealed to, by HPKE (RFC 9180).
//!
//! A member that has one in the roster can read who looked at what; the nodes that write and keep
//! the records cannot. The suite is DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305,
//! mode base: the numbers 0x0020, 0x0001 and 0x0003 of RFC 9180, section 7.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use curve25519_dalek::montgomery::MontgomeryPoint;
use hpke::rand_core::{CryptoRng, RngCore};
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _};
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use crate::hash::Context;
use crate::token::secret_bytes;

/// Length of an incident key, public or secret (RFC 7748, 5).
pub const INCIDENT_KEY_BYTES: usize = 32;
/// What an envelope carries: one secret of 32 bytes.
const CONTENT_BYTES: usize = 32;
/// Length of an envelope: an ephemeral public key, the content, a tag.
pub const ENVELOPE_BYTES: usize = INCIDENT_KEY_BYTES + CONTENT_BYTES + 16;

/// The `info` of RFC 9180: an envelope made for something else does not open here.
const INFO: &[u8] = Context::AccessRecord.string().as_bytes();
const FILE_TITLE: &str = "vitrail incident key v1";
/// What the secret half is sealed as, wherever its file lies.
pub const INCIDENT_PURPOSE: &str = "incident key";

type HpkeKem = hpke::kem::X25519HkdfSha256;
type HpkeKdf = hpke::kdf::HkdfSha256;
type HpkeAead = hpke::aead::ChaCha20Poly1305;

/// Why something is not an incident key, or an envelope cannot be made or opened. Nothing of it is
/// quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IncidentKeyError {
    /// The text is not the base64 of 32 bytes.
    #[error("an incident key must be the base64 of {INCIDENT_KEY_BYTES} bytes")]
    Encoding,
    /// Not the one spelling of its point, or a point of low order, under which everything would
    /// be sealed to everybody (RFC 7748, 6.1).
    #[error("the incident key must be a canonical X25519 point that is not of low order")]
    Point,
    /// The text of a key file is not of its form.
    #[error("an incident key file must be `{FILE_TITLE}`, then `secret` and a base64 key")]
    File,
    /// Nothing can be sealed to this key.
    #[error("nothing can be sealed to this incident key")]
    Seal,
    /// The envelope was made for another key, another record, or not at all.
    #[error("the envelope does not open with this incident key (RFC 9180, 5.2)")]
    Open,
}

/// The public half, as the roster has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentPublicKey([u8; INCIDENT_KEY_BYTES]);

impl IncidentPublicKey {
    /// Reads the one spelling of a key that can be used.
    ///
    /// # Errors
    /// [`IncidentKeyError::Point`].
    pub fn from_bytes(bytes: [u8; INCIDENT_KEY_BYTES]) -> Result<Self, IncidentKeyError> {
        // Whatever the scalar, a point of low order gives zeros (RFC 7748, 6.1).
        let product = MontgomeryPoint(bytes).mul_clamped([1; 32]);
        let usable = is_canonical(&bytes) && product.0 != [0; 32];
        usable.then_some(Self(bytes)).ok_or(IncidentKeyError::Point)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; INCIDENT_KEY_BYTES] {
        &self.0
    }

    /// Reads the padded base64 spelling.
    ///
    /// # Errors
    /// [`IncidentKeyError::Encoding`] or [`IncidentKeyError::Point`].
    pub fn from_base64(text: &str) -> Result<Self, IncidentKeyError> {
        let bytes = BASE64_STANDARD.decode(text).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        Self::from_bytes(bytes.ok_or(IncidentKeyError::Encoding)?)
    }

    /// The padded base64 spelling of the roster.
    #[must_use]
    pub fn to_base64(self) -> String {
        BASE64_STANDARD.encode(self.0)
    }

    /// Seals a secret of 32 bytes to this key. `context` is bound to it and must be given again to
    /// open it; `random` is 32 fresh bytes, the input of `DeriveKeyPair` (RFC 9180, 7.1.3).
    ///
    /// # Errors
    /// [`IncidentKeyError::Seal`], which happens to no key that was read here.
    pub fn seal(
        &self,
        content: &[u8; CONTENT_BYTES],
        context: &[u8],
        random: &[u8; 32],
    ) -> Result<[u8; ENVELOPE_BYTES], IncidentKeyError> {
        let sealed = self.seal_bytes(INFO, content, context, random)?;
        sealed.try_into().map_err(|_| IncidentKeyError::Seal)
    }

    /// `enc || ct` of `SealBase` (RFC 9180, 6.1).
    fn seal_bytes(
        &self,
        info: &[u8],
        content: &[u8],
        context: &[u8],
        random: &[u8; 32],
    ) -> Result<Vec<u8>, IncidentKeyError> {
        let failed = |_| IncidentKeyError::Seal;
        let public = <HpkeKem as hpke::Kem>::PublicKey::from_bytes(&self.0).map_err(failed)?;
        let mut random = Given(Zeroizing::new(*random));
        let (ephemeral, sealed) = hpke::single_shot_seal::<HpkeAead, HpkeKdf, HpkeKem, _>(
            &OpModeS::Base,
            &public,
            info,
            content,
            context,
            &mut random,
        )
        .map_err(failed)?;
        Ok([ephemeral.to_bytes().as_slice(), &sealed].concat())
    }
}

/// Whether the bytes spell a number below 2^255 - 19, little-endian.
fn is_canonical(bytes: &[u8; INCIDENT_KEY_BYTES]) -> bool {
    let [lowest, middle @ .., highest] = bytes;
    let is_high = *highest == 0x7f && middle.iter().all(|byte| *byte == 0xff);
    *highest < 0x80 && !(is_high && *lowest >= 0xed)
}

secret_bytes! {
    /// The secret half: whoever has it reads every access record that is not erased. It belongs on
    /// no node.
    IncidentSecretKey
}

impl IncidentSecretKey {
    /// Its public half.
    #[must_use]
    pub fn public(&self) -> IncidentPublicKey {
        IncidentPublicKey(MontgomeryPoint::mul_base_clamped(*self.as_bytes()).0)
    }

    /// The text of its file: two lines, in one spelling.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(BASE64_STANDARD.encode(self.as_bytes()));
        Zeroizing::new([FILE_TITLE, "\nsecret ", &secret, "\n"].concat())
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// [`IncidentKeyError::File`].
    pub fn parse(text: &str) -> Result<Self, IncidentKeyError> {
        let secret = text
            .strip_prefix(FILE_TITLE)
            .and_then(|rest| rest.strip_prefix("\nsecret "))
            .and_then(|rest| rest.strip_suffix('\n'))
            .and_then(|secret| BASE64_STANDARD.decode(secret).ok())
            .map(Zeroizing::new)
            .ok_or(IncidentKeyError::File)?;
        let secret = secret.as_slice().try_into();
        secret
            .map(Self::from_bytes)
            .map_err(|_| IncidentKeyError::File)
    }

    /// Opens an envelope that was sealed to this key in this context.
    ///
    /// # Errors
    /// [`IncidentKeyError::Open`].
    pub fn open(
        &self,
        envelope: &[u8; ENVELOPE_BYTES],
        context: &[u8],
    ) -> Result<Zeroizing<[u8; CONTENT_BYTES]>, IncidentKeyError> {
        let opened = self.open_bytes(INFO, envelope, context)?;
        let content = opened.as_slice().try_into();
        content
            .map(Zeroizing::new)
            .map_err(|_| IncidentKeyError::Open)
    }

    /// `OpenBase` (RFC 9180, 6.1).
    fn open_bytes(
        &self,
        info: &[u8],
        envelope: &[u8],
        context: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, IncidentKeyError> {
        let failed = |_| IncidentKeyError::Open;
        let (ephemeral, sealed) = envelope
            .split_at_checked(INCIDENT_KEY_BYTES)
            .ok_or(IncidentKeyError::Open)?;
        let secret = <HpkeKem as hpke::Kem>::PrivateKey::from_bytes(self.as_bytes());
        let ephemeral = <HpkeKem as hpke::Kem>::EncappedKey::from_bytes(ephemeral);
        let opened = hpke::single_shot_open::<HpkeAead, HpkeKdf, HpkeKem>(
            &OpModeR::Base,
            &secret.map_err(failed)?,
            &ephemeral.map_err(failed)?,
            info,
            sealed,
            context,
        );
        opened.map(Zeroizing::new).map_err(failed)
    }
}

/// Hands out the random bytes that the caller gave, which HPKE draws once.
struct Given(Zeroizing<[u8; 32]>);

impl RngCore for Given {
    fn next_u32(&mut self) -> u32 {
        hpke::rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        hpke::rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, target: &mut [u8]) {
        let length = target.len().min(self.0.len());
        target[..length].copy_from_slice(&self.0[..length]);
        self.0.zeroize();
    }
}

impl CryptoRng for Given {}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Given(<secret>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: IncidentSecretKey = IncidentSecretKey::from_bytes([7; 32]);

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    /// RFC 9180, A.2.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305, base.
    #[test]
    fn the_vector_of_the_rfc_is_sealed_and_opened_bit_for_bit() {
        let random = bytes("909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b");
        let secret = IncidentSecretKey::from_bytes(bytes(
            "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb",
        ));
        let public = bytes("4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a");
        assert_eq!(
            secret.public(),
            IncidentPublicKey::from_bytes(public).unwrap()
        );
        let info = hex::decode("4f6465206f6e2061204772656369616e2055726e").unwrap();
        let plaintext = b"Beauty is truth, truth beauty";
        let sealed = secret
            .public()
            .seal_bytes(&info, plaintext, b"Count-0", &random);
        let sealed = sealed.unwrap();
        assert_eq!(
            hex::encode(&sealed),
            "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a\
             1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db\
             21993c62ce81883d2dd1b51a28"
        );
        let opened = secret.open_bytes(&info, &sealed, b"Count-0").unwrap();
        assert_eq!(opened.as_slice(), plaintext);
    }

    #[test]
    fn an_envelope_opens_for_its_key_in_its_context_and_unchanged() {
        let envelope = SECRET.public().seal(&[1; 32], b"salt", &[2; 32]).unwrap();
        assert_eq!(*SECRET.open(&envelope, b"salt").unwrap(), [1; 32]);
        let refused = Err(IncidentKeyError::Open);
        let other = IncidentSecretKey::from_bytes([8; 32]);
        assert_eq!(other.open(&envelope, b"salt").map(|_| ()), refused);
        assert_eq!(SECRET.open(&envelope, b"other").map(|_| ()), refused);
        for byte in 0..ENVELOPE_BYTES {
            let mut changed = envelope;
            changed[byte] ^= 1;
            assert_eq!(
                SECRET.open(&changed, b"salt").map(|_| ()),
                refused,
                "{byte}"
            );
        }
    }

    #[test]
    fn points_of_low_order_and_second_spellings_are_refused() {
        // RFC 7748 and "May the Fourth Be With You": all points of low order, and 2^255 - 18.
        for point in [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "f6ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
            "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c5966aa",
        ] {
            let refused = IncidentPublicKey::from_bytes(bytes(point));
            assert_eq!(refused, Err(IncidentKeyError::Point), "{point}");
        }
        assert!(IncidentPublicKey::from_bytes([9; 32]).is_ok());
    }

    #[test]
    fn a_key_file_reads_back_in_its_one_spelling() {
        let text = SECRET.to_text();
        assert!(IncidentSecretKey::parse(&text) == Ok(SECRET));
        for bad in [
            text.trim_end().to_owned(),
            text.replace("secret ", "secret  "),
            text.replace("v1", "v2"),
            format!("{}\n", text.as_str()),
        ] {
            assert_eq!(
                IncidentSecretKey::parse(&bad).map(|_| ()),
                Err(IncidentKeyError::File)
            );
        }
        let shown = format!("{SECRET:?}");
        assert_eq!(shown, "IncidentSecretKey(<secret>)");
    }
}
