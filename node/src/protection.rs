//! Secrets at rest: what a node keeps of the joint keys is sealed under a key that is not on the
//! same disk.
//!
//! A sealed file is three lines: what it is, how its key is made, and the box: XChaCha20-Poly1305
//! with a random nonce, bound to the first two lines and to what the secret is for.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use proto::hash::{Context, derive_secret};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

/// First line of a sealed file.
pub const TITLE: &str = "vitrail sealed v1";
/// Name of the systemd credential, in `$CREDENTIALS_DIRECTORY`.
pub const CREDENTIAL_NAME: &str = "vitrail-seal";
/// Fewest bytes of a credential or passphrase. A credential is random; a passphrase shorter than
/// this is found by trying, whatever Argon2 costs.
pub const SECRET_BYTES_MIN: usize = 16;
/// Most bytes of a credential or passphrase: more is the wrong file.
pub const SECRET_BYTES_MAX: usize = 4096;

/// Argon2id: 64 MiB, three passes, one lane (RFC 9106, section 4, second recommendation, for one
/// core): 0.13 s at each start of a node, and as much for each guess.
const MEMORY_KIB: u32 = 65_536;
const PASSES: u32 = 3;
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 24;
const KEY_BYTES: usize = 32;

/// Where the key comes from that seals a node's shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Nothing is sealed: whoever has the disk has the shares. For demonstrations and tests.
    None,
    /// A random secret in a file that the service manager provides, such as a systemd credential.
    Credential,
    /// A passphrase, from a file or a file descriptor that somebody types it into.
    Passphrase,
}

/// Why a secret cannot be sealed or opened. Nothing of it is quoted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProtectionError {
    /// It is not known where the credential is.
    #[error(
        "no credential: set seal_file, or start the node by systemd with LoadCredential={CREDENTIAL_NAME}"
    )]
    NoCredential,
    /// It is not known where the passphrase is.
    #[error("no passphrase: set seal_file to a file or to /dev/fd/N")]
    NoPassphrase,
    /// The credential or passphrase cannot be read.
    #[error("{path}: {kind}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// It is too short to protect anything, or too long to be one.
    #[error("{path} must hold {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, it holds {got}", path = path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// How many it holds, or one more than the most.
        got: usize,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The key derivation fails, for lack of memory.
    #[error("the passphrase cannot be turned into a key; it takes {MEMORY_KIB} KiB of memory")]
    Derivation,
    /// The file is not sealed, and the settings say that it must be.
    #[error("the file is not sealed: seal it, or set seal = \"none\"")]
    NotSealed,
    /// The file is sealed, and the settings say that nothing is.
    #[error("the file is sealed: set seal to the way it was")]
    Sealed,
    /// The file was sealed in another way than the settings say.
    #[error("line 2 of the file says another way of sealing than the settings")]
    OtherMethod,
    /// A line cannot be read.
    #[error("line {line} of the sealed file is not of its form")]
    Line {
        /// Which line, from 1.
        line: usize,
    },
    /// The box does not open: another secret, or changed bytes.
    #[error("the file does not open: another credential or passphrase, or a changed file")]
    DoesNotOpen,
}

/// Seals and opens a node's secrets. It cannot be printed.
#[derive(Clone)]
pub struct Protection(Option<Arc<Source>>);

struct Source {
    method: Method,
    secret: Zeroizing<Vec<u8>>,
    /// The salt that this process seals with.
    salt: [u8; SALT_BYTES],
    /// Keys by salt: Argon2 is paid once for each.
    keys: Mutex<BTreeMap<[u8; SALT_BYTES], Zeroizing<[u8; KEY_BYTES]>>>,
}

impl Protection {
    /// Seals nothing. For demonstrations and tests.
    pub const NONE: Self = Self(None);

    /// Reads the credential or passphrase; `file` is where it is, if the operator says so.
    ///
    /// # Errors
    /// [`ProtectionError`] when there is none, or none that can be used.
    pub fn load(method: Method, file: Option<&Path>) -> Result<Self, ProtectionError> {
        let path = match (method, file) {
            (Method::None, _) => return Ok(Self::NONE),
            (_, Some(file)) => file.to_owned(),
            (Method::Passphrase, None) => return Err(ProtectionError::NoPassphrase),
            (Method::Credential, None) => {
                let folder = std::env::var_os("CREDENTIALS_DIRECTORY");
                let folder = folder.ok_or(ProtectionError::NoCredential)?;
                Path::new(&folder).join(CREDENTIAL_NAME)
            }
        };
        let mut secret = read(&path)?;
        if method == Method::Passphrase {
            // The newline at the end is the editor's, or the terminal's.
            let end = secret.iter().rposition(|byte| !b"\r\n".contains(byte));
            secret.truncate(end.map_or(0, |last| last + 1));
        }
        let got = secret.len();
        if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&got) {
            return Err(ProtectionError::Length { path, got });
        }
        Ok(Self(Some(Arc::new(Source {
            method,
            secret,
            salt: random()?,
            keys: Mutex::default(),
        }))))
    }

    /// The text to write: a sealed file, or the secret itself where nothing is sealed. `purpose`
    /// says what the secret is, so that no file can stand in for another.
    ///
    /// # Errors
    /// [`ProtectionError::NoRandomness`] or [`ProtectionError::Derivation`].
    pub fn seal(&self, purpose: &str, secret: &str) -> Result<Zeroizing<String>, ProtectionError> {
        let Some(source) = &self.0 else {
            return Ok(Zeroizing::new(secret.to_owned()));
        };
        let method = source.line(&source.salt);
        let nonce: [u8; NONCE_BYTES] = random()?;
        let bound = bound(&method, purpose);
        let payload = Payload {
            msg: secret.as_bytes(),
            aad: bound.as_bytes(),
        };
        let cipher = source.cipher(&source.salt)?;
        let sealed = cipher.encrypt(XNonce::from_slice(&nonce), payload);
        let sealed = sealed.map_err(|_| ProtectionError::Derivation)?;
        let sealed = BASE64_STANDARD.encode([nonce.as_slice(), &sealed].concat());
        Ok(Zeroizing::new(format!("{TITLE}\n{method}\nbox {sealed}\n")))
    }

    /// The secret in a file's text.
    ///
    /// # Errors
    /// [`ProtectionError`], see its variants.
    pub fn open(&self, purpose: &str, text: &str) -> Result<Zeroizing<String>, ProtectionError> {
        let sealed = text.strip_prefix(TITLE).and_then(|r| r.strip_prefix('\n'));
        let (source, rest) = match (&self.0, sealed) {
            (None, None) => return Ok(Zeroizing::new(text.to_owned())),
            (None, Some(_)) => return Err(ProtectionError::Sealed),
            (Some(_), None) => return Err(ProtectionError::NotSealed),
            (Some(source), Some(rest)) => (source, rest),
        };
        let (method, rest) = rest
            .split_once('\n')
            .ok_or(ProtectionError::Line { line: 2 })?;
        let salt = method
            .rsplit_once(' ')
            .and_then(|(_, salt)| BASE64_STANDARD.decode(salt).ok()?.try_into().ok())
            .ok_or(ProtectionError::Line { line: 2 })?;
        if method != source.line(&salt) {
            return Err(ProtectionError::OtherMethod);
        }
        let sealed = rest.strip_prefix("box ").and_then(|r| r.strip_suffix('\n'));
        let sealed = sealed.and_then(|sealed| BASE64_STANDARD.decode(sealed).ok());
        let sealed = sealed.ok_or(ProtectionError::Line { line: 3 })?;
        let (nonce, sealed) = sealed
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(ProtectionError::Line { line: 3 })?;
        let bound = bound(method, purpose);
        let payload = Payload {
            msg: sealed,
            aad: bound.as_bytes(),
        };
        let opened = source.cipher(&salt)?;
        let opened = opened.decrypt(XNonce::from_slice(nonce), payload);
        let opened = Zeroizing::new(opened.map_err(|_| ProtectionError::DoesNotOpen)?);
        let opened = std::str::from_utf8(&opened).map_err(|_| ProtectionError::DoesNotOpen)?;
        Ok(Zeroizing::new(opened.to_owned()))
    }
}

impl Source {
    /// The second line of a file: all that is needed to make its key but the secret.
    fn line(&self, salt: &[u8; SALT_BYTES]) -> String {
        let salt = BASE64_STANDARD.encode(salt);
        match self.method {
            Method::Passphrase => format!("passphrase argon2id {MEMORY_KIB} {PASSES} 1 {salt}"),
            Method::Credential | Method::None => format!("credential {salt}"),
        }
    }

    fn cipher(&self, salt: &[u8; SALT_BYTES]) -> Result<XChaCha20Poly1305, ProtectionError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if !keys.contains_key(salt) {
            keys.insert(*salt, self.key(salt)?);
        }
        let key = keys.get(salt).ok_or(ProtectionError::Derivation)?;
        Ok(XChaCha20Poly1305::new(Key::from_slice(key.as_slice())))
    }

    fn key(&self, salt: &[u8; SALT_BYTES]) -> Result<Zeroizing<[u8; KEY_BYTES]>, ProtectionError> {
        if self.method != Method::Passphrase {
            return Ok(derive_secret(Context::SecretsAtRest, &[&self.secret, salt]));
        }
        let failed = |_| ProtectionError::Derivation;
        let params = Params::new(MEMORY_KIB, PASSES, 1, Some(KEY_BYTES)).map_err(failed)?;
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(&self.secret, salt, key.as_mut_slice())
            .map_err(failed)?;
        Ok(key)
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.0.as_ref().map_or(Method::None, |source| source.method);
        write!(f, "Protection({method:?})")
    }
}

fn bound(method: &str, purpose: &str) -> String {
    format!("{TITLE}\n{method}\n{purpose}")
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ProtectionError> {
    let failed = |error: io::Error| ProtectionError::Read {
        path: path.to_owned(),
        kind: error.kind(),
    };
    // Reserved at once: a vector that grows would leave copies behind that nobody wipes.
    let mut secret = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 2));
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(SECRET_BYTES_MAX as u64 + 1)
        .read_to_end(&mut secret)
        .map_err(failed)?;
    Ok(secret)
}

fn random<const N: usize>() -> Result<[u8; N], ProtectionError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| ProtectionError::NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const SECRET: &str = "a share\n";

    fn loaded(method: Method, secret: &str) -> Result<Protection, ProtectionError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, secret).unwrap();
        Protection::load(method, Some(&path))
    }

    #[test]
    fn what_is_sealed_opens_in_another_process_and_shows_nothing() {
        for method in [Method::Credential, Method::Passphrase] {
            let words = "correct horse battery staple";
            let sealed = loaded(method, words)
                .unwrap()
                .seal("share", SECRET)
                .unwrap();
            assert!(!sealed.contains("a share"));
            let other = loaded(method, words).unwrap();
            assert_eq!(*other.open("share", &sealed).unwrap(), SECRET);
            let purpose = other.open("seed", &sealed);
            assert_eq!(purpose, Err(ProtectionError::DoesNotOpen));
            let wrong = loaded(method, "correct horse battery stable").unwrap();
            let opened = wrong.open("share", &sealed);
            assert_eq!(opened, Err(ProtectionError::DoesNotOpen));
        }
    }

    #[test]
    fn no_byte_of_a_sealed_file_can_change() {
        let protection = loaded(Method::Credential, &"x".repeat(32)).unwrap();
        let sealed = protection.seal("share", SECRET).unwrap();
        for place in 0..sealed.len() {
            let mut bytes = sealed.as_bytes().to_vec();
            bytes[place] ^= 1;
            let Ok(text) = String::from_utf8(bytes) else {
                continue;
            };
            assert!(protection.open("share", &text).is_err(), "{place}");
        }
        for cut in 0..sealed.len() {
            assert!(protection.open("share", &sealed[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_plain_file_where_a_sealed_one_must_be_is_refused_and_the_other_way_round() {
        let protection = loaded(Method::Credential, &"x".repeat(32)).unwrap();
        let sealed = protection.seal("share", SECRET).unwrap();
        let plain = protection.open("share", SECRET);
        assert_eq!(plain, Err(ProtectionError::NotSealed));
        let none = Protection::NONE.open("share", &sealed);
        assert_eq!(none, Err(ProtectionError::Sealed));
        let plain = Protection::NONE.seal("share", SECRET).unwrap();
        assert_eq!(*Protection::NONE.open("share", &plain).unwrap(), SECRET);
        let other = loaded(Method::Passphrase, &"x".repeat(32)).unwrap();
        let opened = other.open("share", &sealed);
        assert_eq!(opened, Err(ProtectionError::OtherMethod));
    }

    #[test]
    fn a_secret_too_short_or_absent_is_refused() {
        let short = loaded(Method::Passphrase, "fifteen letters\n");
        assert!(matches!(
            short,
            Err(ProtectionError::Length { got: 15, .. })
        ));
        let long = loaded(Method::Credential, &"x".repeat(SECRET_BYTES_MAX + 1));
        assert!(matches!(long, Err(ProtectionError::Length { .. })));
        let absent = Protection::load(Method::Credential, Some(Path::new("/nonexistent")));
        assert!(matches!(absent, Err(ProtectionError::Read { .. })));
        let absent = Protection::load(Method::Passphrase, None);
        assert!(matches!(absent, Err(ProtectionError::NoPassphrase)));
    }

    #[test]
    fn debug_shows_the_method_alone() {
        let shown = format!("{:?}", loaded(Method::Credential, &"x".repeat(32)).unwrap());
        assert_eq!(shown, "Protection(Credential)");
    }
}
