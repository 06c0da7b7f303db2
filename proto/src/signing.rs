//! Ed25519 keys and signatures (RFC 8032), checked one way only: strictly.
//!
//! `verify_strict` refuses non-canonical encodings and low-order points, so that every member,
//! and every auditor years later, accepts exactly the same set of signatures.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use thiserror::Error;
use zeroize::Zeroizing;

/// Length of an encoded public key, in bytes.
pub const PUBLIC_KEY_BYTES: usize = 32;
/// Length of a signature, in bytes.
pub const SIGNATURE_BYTES: usize = 64;

/// Why a key or a signature cannot be used. No variant carries the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SigningError {
    /// The bytes are not the canonical encoding of a point of the prime-order group's coset.
    #[error("a public key must be 32 canonical bytes of a point that is not of low order")]
    PublicKey,
    /// The text is not a PKCS#8 PEM document with an Ed25519 key.
    #[error("a secret key must be an Ed25519 key in PKCS#8 PEM (RFC 8410)")]
    SecretKey,
    /// The signature was not made by this key over this message.
    #[error("the signature does not verify")]
    Signature,
}

/// A public key that was checked when it was read: canonical and not of low order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a public key.
    ///
    /// # Errors
    /// [`SigningError::PublicKey`] for a non-canonical or low-order encoding.
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_BYTES]) -> Result<Self, SigningError> {
        if !is_canonical(bytes) {
            return Err(SigningError::PublicKey);
        }
        let point = VerifyingKey::from_bytes(bytes).map_err(|_| SigningError::PublicKey)?;
        (!point.is_weak())
            .then_some(Self(point))
            .ok_or(SigningError::PublicKey)
    }

    /// The 32 bytes of the key.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_BYTES] {
        self.0.to_bytes()
    }

    /// Reads the canonical base64 of 32 bytes.
    ///
    /// # Errors
    /// [`SigningError::PublicKey`] when it is not that, or not a usable key.
    pub fn from_base64(text: &str) -> Result<Self, SigningError> {
        let bytes = BASE64_STANDARD
            .decode(text)
            .map_err(|_| SigningError::PublicKey)?;
        Self::from_bytes(&bytes.try_into().map_err(|_| SigningError::PublicKey)?)
    }

    /// Padded base64 of the key.
    #[must_use]
    pub fn to_base64(&self) -> String {
        BASE64_STANDARD.encode(self.0.as_bytes())
    }

    /// Checks a signature strictly: the one check that decides, in every program of Vitrail.
    ///
    /// # Errors
    /// [`SigningError::Signature`] when it was not made by this key over this message.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SigningError> {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        self.0
            .verify_strict(message, &signature)
            .map_err(|_| SigningError::Signature)
    }
}

/// Whether the y coordinate is below the field's prime 2^255 - 19 (RFC 8032, 5.1.3): decompression
/// tolerates the few that are not, and one key must have one spelling. The other non-canonical
/// spelling, a sign bit on x = 0, belongs to low-order points, which are refused anyway.
fn is_canonical(bytes: &[u8; PUBLIC_KEY_BYTES]) -> bool {
    let [lowest, middle @ .., highest] = bytes;
    !(highest & 0x7f == 0x7f && middle.iter().all(|b| *b == 0xff) && *lowest >= 0xed)
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.to_base64())
    }
}

impl std::hash::Hash for PublicKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_bytes().cmp(other.0.as_bytes())
    }
}

/// An Ed25519 signature, not yet checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; SIGNATURE_BYTES]);

impl Signature {
    /// The signature with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; SIGNATURE_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its 64 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; SIGNATURE_BYTES] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", BASE64_STANDARD.encode(self.0))
    }
}

/// A secret key. It cannot be printed or compared, and is wiped when dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl SecretKey {
    /// The key with this seed; 32 bytes from a cryptographic random source.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads a PKCS#8 PEM document (RFC 8410), as `openssl genpkey -algorithm ed25519` writes it.
    ///
    /// # Errors
    /// [`SigningError::SecretKey`] for anything else; the text is not quoted.
    pub fn from_pem(pem: &str) -> Result<Self, SigningError> {
        SigningKey::from_pkcs8_pem(pem)
            .map(Self)
            .map_err(|_| SigningError::SecretKey)
    }

    /// The PKCS#8 PEM document of the key.
    ///
    /// # Errors
    /// [`SigningError::SecretKey`] if the encoder refuses, which no Ed25519 key makes it do.
    pub fn to_pem(&self) -> Result<Zeroizing<String>, SigningError> {
        self.0
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|_| SigningError::SecretKey)
    }

    /// The PKCS#8 DER document of the key: what a TLS stack is handed.
    ///
    /// # Errors
    /// [`SigningError::SecretKey`] if the encoder refuses, which no Ed25519 key makes it do.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, SigningError> {
        let document = self.0.to_pkcs8_der().map_err(|_| SigningError::SecretKey)?;
        Ok(Zeroizing::new(document.as_bytes().to_vec()))
    }

    /// The public key that belongs to it.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs a message; deterministic (RFC 8032, 5.1.6).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(<secret>)")
    }
}
