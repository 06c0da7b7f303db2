//! A secret in a file, sealed under a key that is not on the same disk.
//!
//! ```text
//! vitrail sealed v1
//! credential <base64 salt>           or: passphrase argon2id 65536 3 1 <base64 salt>
//!                                    or: pkcs11 hmac-sha256 <base64 salt>
//! box <base64 of nonce || XChaCha20-Poly1305>
//! ```
//!
//! The box is bound to the first two lines and to what the secret is for, so that no file can stand
//! in for another. Where the credential, the passphrase or the token is, the caller knows.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::hash::{Context, HASH_BYTES, derive_secret};
use crate::token::secret_bytes;

/// First line of a sealed file.
pub const TITLE: &str = "vitrail sealed v1";
/// Fewest bytes of a credential or passphrase. A credential is random; a passphrase shorter than
/// this is found by trying, whatever Argon2 costs.
pub const SECRET_BYTES_MIN: usize = 16;
/// Most bytes of a credential or passphrase: more is the wrong file.
pub const SECRET_BYTES_MAX: usize = 4096;
/// Length of the salt in the second line.
pub const SALT_BYTES: usize = 16;
/// Length of the nonce: long enough to be drawn at random (XChaCha20).
pub const NONCE_BYTES: usize = 24;

/// Argon2id: 64 MiB, three passes, one lane (RFC 9106, section 4, second recommendation, for one
/// core): 0.13 s for each key, and as much for each guess.
const MEMORY_KIB: u32 = 65_536;
const PASSES: u32 = 3;
const LANES: u32 = 1;
const PASSPHRASE_WORDS: &str = "passphrase argon2id 65536 3 1";
const CREDENTIAL_WORDS: &str = "credential";
const PKCS11_WORDS: &str = "pkcs11 hmac-sha256";

/// Why a secret cannot be sealed or opened. Nothing of it is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AtRestError {
    /// The key derivation fails, for lack of memory.
    #[error("the passphrase cannot be turned into a key; it takes {MEMORY_KIB} KiB of memory")]
    Derivation,
    /// The secret is too long to be sealed.
    #[error("the secret cannot be sealed")]
    Seal,
    /// A line cannot be read.
    #[error("line {line} of the sealed file is not of its form")]
    Line {
        /// Which line, from 1.
        line: usize,
    },
    /// The box does not open: another secret, or changed bytes.
    #[error("the file does not open: another credential, passphrase or key, or a changed file")]
    DoesNotOpen,
}

/// How the key of a sealed file is made: the words of its second line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyOrigin {
    /// From a random secret that the service manager provides.
    Credential,
    /// From a passphrase, by Argon2id (RFC 9106).
    Passphrase,
    /// By a key that does not leave its PKCS#11 token, through HMAC-SHA256.
    Pkcs11,
}

impl KeyOrigin {
    const ALL: [Self; 3] = [Self::Credential, Self::Passphrase, Self::Pkcs11];

    const fn words(self) -> &'static str {
        match self {
            Self::Credential => CREDENTIAL_WORDS,
            Self::Passphrase => PASSPHRASE_WORDS,
            Self::Pkcs11 => PKCS11_WORDS,
        }
    }

    fn line(self, salt: &[u8; SALT_BYTES]) -> String {
        format!("{} {}", self.words(), BASE64_STANDARD.encode(salt))
    }
}

secret_bytes! {
    /// The key that a file is sealed under.
    AtRestKey
}

impl AtRestKey {
    /// The key that a credential gives with a file's salt.
    #[must_use]
    pub fn from_credential(credential: &[u8], salt: &[u8; SALT_BYTES]) -> Self {
        Self(*derive_secret(Context::SecretsAtRest, &[credential, salt]))
    }

    /// The key that a passphrase gives with a file's salt. Takes 0.13 s and 64 MiB.
    ///
    /// # Errors
    /// [`AtRestError::Derivation`].
    pub fn from_passphrase(
        passphrase: &[u8],
        salt: &[u8; SALT_BYTES],
    ) -> Result<Self, AtRestError> {
        let failed = |_| AtRestError::Derivation;
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES)).map_err(failed)?;
        let mut key = Self([0; HASH_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, salt, &mut key.0)
            .map_err(failed)?;
        Ok(key)
    }

    /// The key from what a token answers to [`token_message`] with a file's salt.
    #[must_use]
    pub fn from_token(mac: &[u8; 32], salt: &[u8; SALT_BYTES]) -> Self {
        Self(*derive_secret(Context::SecretsAtRest, &[mac, salt]))
    }
}

/// What a token's key computes HMAC-SHA256 of. The context keeps the answer apart from everything
/// else that the key may be asked for.
#[must_use]
pub fn token_message(salt: &[u8; SALT_BYTES]) -> Vec<u8> {
    [Context::SecretsAtRest.string().as_bytes(), salt].concat()
}

/// Whether a file's text is that of a sealed one, or at least begins so.
#[must_use]
pub fn is_sealed(text: &str) -> bool {
    body(text).is_some()
}

fn body(text: &str) -> Option<&str> {
    text.strip_prefix(TITLE)?.strip_prefix('\n')
}

/// A passphrase without the newline at its end, which is the editor's or the terminal's.
pub fn cut_newline(passphrase: &mut Vec<u8>) {
    let end = passphrase.iter().rposition(|byte| !b"\r\n".contains(byte));
    passphrase.truncate(end.map_or(0, |last| last + 1));
}

/// The text of a sealed file. `salt` is what `key` was made with, `nonce` is fresh, `purpose` says
/// what the secret is.
///
/// # Errors
/// [`AtRestError::Seal`], which happens to no secret that fits into memory.
pub fn seal(
    origin: KeyOrigin,
    salt: &[u8; SALT_BYTES],
    key: &AtRestKey,
    nonce: &[u8; NONCE_BYTES],
    purpose: &str,
    secret: &str,
) -> Result<String, AtRestError> {
    let line = origin.line(salt);
    let bound = bound(&line, purpose);
    let payload = Payload {
        msg: secret.as_bytes(),
        aad: bound.as_bytes(),
    };
    let cipher = XChaCha20Poly1305::new(Key::from_slice(key.as_bytes()));
    let sealed = cipher.encrypt(XNonce::from_slice(nonce), payload);
    let sealed = sealed.map_err(|_| AtRestError::Seal)?;
    let sealed = BASE64_STANDARD.encode([nonce.as_slice(), &sealed].concat());
    Ok(format!("{TITLE}\n{line}\nbox {sealed}\n"))
}

fn bound(line: &str, purpose: &str) -> String {
    format!("{TITLE}\n{line}\n{purpose}")
}

/// A sealed file that is of its form, not opened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    origin: KeyOrigin,
    salt: [u8; SALT_BYTES],
    nonce: [u8; NONCE_BYTES],
    sealed: Vec<u8>,
}

impl SealedSecret {
    /// Reads the text of a sealed file.
    ///
    /// # Errors
    /// [`AtRestError::Line`].
    pub fn parse(text: &str) -> Result<Self, AtRestError> {
        let wrong = |line| AtRestError::Line { line };
        let rest = body(text).ok_or(wrong(1))?;
        let (line, rest) = rest.split_once('\n').ok_or(wrong(2))?;
        let (words, salt) = line.rsplit_once(' ').ok_or(wrong(2))?;
        let mut origins = KeyOrigin::ALL.into_iter();
        let origin = origins.find(|origin| origin.words() == words);
        let salt = BASE64_STANDARD.decode(salt).ok();
        let salt = salt.and_then(|salt| salt.try_into().ok());
        let sealed = rest.strip_prefix("box ").and_then(|r| r.strip_suffix('\n'));
        let sealed = sealed.and_then(|sealed| BASE64_STANDARD.decode(sealed).ok());
        let sealed = sealed.ok_or(wrong(3))?;
        let (nonce, sealed) = sealed.split_first_chunk().ok_or(wrong(3))?;
        Ok(Self {
            origin: origin.ok_or(wrong(2))?,
            salt: salt.ok_or(wrong(2))?,
            nonce: *nonce,
            sealed: sealed.to_vec(),
        })
    }

    /// How its key is made.
    #[must_use]
    pub const fn origin(&self) -> KeyOrigin {
        self.origin
    }

    /// What its key is made with.
    #[must_use]
    pub const fn salt(&self) -> &[u8; SALT_BYTES] {
        &self.salt
    }

    /// The secret.
    ///
    /// # Errors
    /// [`AtRestError::DoesNotOpen`].
    pub fn open(&self, key: &AtRestKey, purpose: &str) -> Result<Zeroizing<String>, AtRestError> {
        let bound = bound(&self.origin.line(&self.salt), purpose);
        let payload = Payload {
            msg: &self.sealed,
            aad: bound.as_bytes(),
        };
        let cipher = XChaCha20Poly1305::new(Key::from_slice(key.as_bytes()));
        let opened = cipher.decrypt(XNonce::from_slice(&self.nonce), payload);
        let opened = Zeroizing::new(opened.map_err(|_| AtRestError::DoesNotOpen)?);
        let opened = std::str::from_utf8(&opened).map_err(|_| AtRestError::DoesNotOpen)?;
        Ok(Zeroizing::new(opened.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a share\n";
    const SALT: [u8; SALT_BYTES] = [5; SALT_BYTES];

    fn key_of(origin: KeyOrigin, secret: &[u8; 32]) -> AtRestKey {
        match origin {
            KeyOrigin::Credential => AtRestKey::from_credential(secret, &SALT),
            KeyOrigin::Passphrase => AtRestKey::from_passphrase(secret, &SALT).unwrap(),
            KeyOrigin::Pkcs11 => AtRestKey::from_token(secret, &SALT),
        }
    }

    fn sealed(origin: KeyOrigin) -> String {
        let key = key_of(origin, &[7; 32]);
        seal(origin, &SALT, &key, &[6; NONCE_BYTES], "share", SECRET).unwrap()
    }

    #[test]
    fn a_sealed_secret_opens_with_its_key_for_its_purpose_alone() {
        for origin in KeyOrigin::ALL {
            let text = sealed(origin);
            assert!(is_sealed(&text) && !text.contains("a share"));
            let parsed = SealedSecret::parse(&text).unwrap();
            assert_eq!((parsed.origin(), parsed.salt()), (origin, &SALT));
            let key = key_of(origin, &[7; 32]);
            assert_eq!(*parsed.open(&key, "share").unwrap(), SECRET);
            let purpose = parsed.open(&key, "seed");
            assert_eq!(purpose, Err(AtRestError::DoesNotOpen));
            let wrong = parsed.open(&key_of(origin, &[8; 32]), "share");
            assert_eq!(wrong, Err(AtRestError::DoesNotOpen));
        }
    }

    #[test]
    fn no_byte_of_a_sealed_file_can_change() {
        let key = key_of(KeyOrigin::Pkcs11, &[7; 32]);
        let text = sealed(KeyOrigin::Pkcs11);
        let opens = |text: &str| {
            let parsed = SealedSecret::parse(text);
            parsed.and_then(|parsed| parsed.open(&key, "share")).is_ok()
        };
        assert!(opens(&text));
        for place in 0..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] ^= 1;
            let Ok(changed) = String::from_utf8(bytes) else {
                continue;
            };
            assert!(!opens(&changed), "{place}");
        }
        assert!((0..text.len()).all(|cut| !opens(&text[..cut])));
    }

    #[test]
    fn the_bytes_of_sealed_files_are_these() {
        for (origin, line, golden) in GOLDEN {
            let text = sealed(origin);
            assert!(text.starts_with(&format!("{TITLE}\n{line} BQUFBQUFBQUFBQUFBQUFBQ==\n")));
            let boxed = text.lines().nth(2).unwrap();
            assert_eq!(boxed, format!("box {golden}"));
        }
        let message = token_message(&SALT);
        assert_eq!(&message[..31], b"vitrail 2026 v1 secrets at rest");
        assert_eq!(message[31..], SALT);
    }

    /// Computed by a program of its own with other libraries: see docs/protocol.md for the steps.
    const GOLDEN: [(KeyOrigin, &str, &str); 3] = [
        (
            KeyOrigin::Credential,
            "credential",
            "BgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGaNu0vkef0CcQAh5KYInkoTWbWgmaxgZO",
        ),
        (
            KeyOrigin::Passphrase,
            "passphrase argon2id 65536 3 1",
            "BgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGC22hEPvSiRwmpCIP3cbKPzvP6RzwCPjR",
        ),
        (
            KeyOrigin::Pkcs11,
            "pkcs11 hmac-sha256",
            "BgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGaNu0vkef0CfhpT4Z8TXntE/Q1mXM6Cw9",
        ),
    ];

    #[test]
    fn only_newlines_at_the_end_are_cut() {
        for (given, kept) in [("a b\r\n\n", "a b"), ("\na ", "\na "), ("\n", "")] {
            let mut bytes = given.as_bytes().to_vec();
            cut_newline(&mut bytes);
            assert_eq!(bytes, kept.as_bytes());
        }
    }
}
