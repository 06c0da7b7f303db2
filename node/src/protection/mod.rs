//! Secrets at rest: what a node keeps of the joint keys is sealed under a key that is not on the
//! same disk.
//!
//! The bytes of a sealed file are in `proto::at_rest`. Here is where its key comes from: a
//! credential, a passphrase, or a key in a PKCS#11 token.

mod source;
pub mod token;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use proto::at_rest::{
    self, AtRestError, AtRestKey, KeyOrigin, SALT_BYTES, SECRET_BYTES_MAX, SECRET_BYTES_MIN,
    SealedSecret,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use self::source::Source;
pub use self::source::make_key;
use self::token::TokenError;

/// Name of the systemd credential, in `$CREDENTIALS_DIRECTORY`.
pub const CREDENTIAL_NAME: &str = "vitrail-seal";
/// Most bytes of a PIN: more is the wrong file.
pub const PIN_BYTES_MAX: usize = 256;

/// Where the key comes from that seals a node's shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Nothing is sealed: whoever has the disk has the shares. For demonstrations and tests.
    #[default]
    None,
    /// A random secret in a file that the service manager provides, such as a systemd credential.
    Credential,
    /// A passphrase: from a file, a file descriptor, or typed in at the terminal.
    Passphrase,
    /// A key that does not leave its PKCS#11 token.
    Pkcs11,
}

/// How secrets are sealed, as the settings say it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sealing {
    /// Where the key comes from.
    pub method: Method,
    /// File of the credential, the passphrase or the PIN. `None` for the credential of systemd, or
    /// for who is asked at the terminal.
    pub file: Option<PathBuf>,
    /// The PKCS#11 module, a shared library.
    pub module: Option<PathBuf>,
    /// Label of the token.
    pub token: Option<String>,
    /// Label of the key in it; [`token::KEY_LABEL`] where nothing else is said.
    pub key: Option<String>,
}

/// Why a secret cannot be sealed or opened. Nothing of it is quoted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ProtectionError {
    /// It is not known where the credential is.
    #[error(
        "no credential: set seal_file, or start the node by systemd with LoadCredential={CREDENTIAL_NAME}"
    )]
    NoCredential,
    /// It is not known where the passphrase is, and there is no terminal to ask at.
    #[error("no passphrase: set seal_file to a file or to /dev/fd/N, or start at a terminal")]
    NoPassphrase,
    /// It is not known where the PIN is, and there is no terminal to ask at.
    #[error(
        "no PIN: set seal_file, start by systemd with LoadCredential={CREDENTIAL_NAME}, or start at a terminal"
    )]
    NoPin,
    /// The two times that a new passphrase was typed differ.
    #[error("the passphrase was not typed the same twice")]
    TypedTwice,
    /// A setting is missing that PKCS#11 cannot do without.
    #[error("seal = \"pkcs11\" needs the setting {setting}")]
    Missing {
        /// Its name.
        setting: &'static str,
    },
    /// The credential, passphrase or PIN cannot be read.
    #[error("{place}: {kind}")]
    Read {
        /// Where it is.
        place: String,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// It is too short to protect anything, or too long to be one.
    #[error("{place} must hold {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, it holds {got}")]
    Length {
        /// Where it is.
        place: String,
        /// How many it holds, or one more than the most.
        got: usize,
    },
    /// The PIN is none, or too long to be one.
    #[error("{place} must hold a PIN of 1 to {PIN_BYTES_MAX} bytes of UTF-8")]
    Pin {
        /// Where it is.
        place: String,
    },
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The token does not give the key.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The file is not sealed, and the settings say that it must be.
    #[error("the file is not sealed: seal it, or set seal = \"none\"")]
    NotSealed,
    /// The file is sealed, and the settings say that nothing is.
    #[error("the file is sealed: set seal to the way it was")]
    Sealed,
    /// The file was sealed in another way than the settings say.
    #[error("line 2 of the file says another way of sealing than the settings")]
    OtherMethod,
    /// The file cannot be read or opened, or nothing can be sealed.
    #[error(transparent)]
    AtRest(#[from] AtRestError),
}

/// Seals and opens a node's secrets. It cannot be printed.
#[derive(Clone)]
pub struct Protection(Option<Arc<Sealer>>);

struct Sealer {
    source: Source,
    /// The salt that this process seals with.
    salt: [u8; SALT_BYTES],
    /// Keys by salt: Argon2 or a token is asked once for each.
    keys: Mutex<BTreeMap<[u8; SALT_BYTES], AtRestKey>>,
}

impl Protection {
    /// Seals nothing. For demonstrations and tests.
    pub const NONE: Self = Self(None);

    /// Reads the credential, passphrase or PIN, or asks for it at the terminal; a token has then
    /// given its first key, so that a wrong PIN is known at once.
    ///
    /// # Errors
    /// [`ProtectionError`] when there is none, or none that can be used.
    pub fn load(sealing: &Sealing) -> Result<Self, ProtectionError> {
        Self::over(Source::load(sealing)?)
    }

    /// As [`Self::load`], for what is sealed for the first time: a passphrase is typed twice.
    ///
    /// # Errors
    /// [`ProtectionError`], as [`Self::load`], and [`ProtectionError::TypedTwice`].
    pub fn load_new(sealing: &Sealing) -> Result<Self, ProtectionError> {
        Self::over(Source::load_new(sealing)?)
    }

    fn over(source: Option<Source>) -> Result<Self, ProtectionError> {
        let Some(source) = source else {
            return Ok(Self::NONE);
        };
        let sealer = Sealer {
            source,
            salt: random()?,
            keys: Mutex::default(),
        };
        if sealer.source.origin() == KeyOrigin::Pkcs11 {
            sealer.key(&sealer.salt)?;
        }
        Ok(Self(Some(Arc::new(sealer))))
    }

    /// The text to write: a sealed file, or the secret itself where nothing is sealed. `purpose`
    /// says what the secret is, so that no file can stand in for another.
    ///
    /// # Errors
    /// [`ProtectionError`]: no randomness, or the key cannot be made.
    pub fn seal(&self, purpose: &str, secret: &str) -> Result<Zeroizing<String>, ProtectionError> {
        let Some(sealer) = &self.0 else {
            return Ok(Zeroizing::new(secret.to_owned()));
        };
        let (origin, salt, nonce) = (sealer.source.origin(), &sealer.salt, random()?);
        let key = sealer.key(salt)?;
        let sealed = at_rest::seal(origin, salt, &key, &nonce, purpose, secret)?;
        Ok(Zeroizing::new(sealed))
    }

    /// The secret in a file's text.
    ///
    /// # Errors
    /// [`ProtectionError`], see its variants.
    pub fn open(&self, purpose: &str, text: &str) -> Result<Zeroizing<String>, ProtectionError> {
        let sealer = match (&self.0, at_rest::is_sealed(text)) {
            (None, false) => return Ok(Zeroizing::new(text.to_owned())),
            (None, true) => return Err(ProtectionError::Sealed),
            (Some(_), false) => return Err(ProtectionError::NotSealed),
            (Some(sealer), true) => sealer,
        };
        let sealed = SealedSecret::parse(text)?;
        if sealed.origin() != sealer.source.origin() {
            return Err(ProtectionError::OtherMethod);
        }
        Ok(sealed.open(&sealer.key(sealed.salt())?, purpose)?)
    }
}

impl Sealer {
    fn key(&self, salt: &[u8; SALT_BYTES]) -> Result<AtRestKey, ProtectionError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(salt) {
            return Ok(key.clone());
        }
        let key = self.source.key(salt)?;
        keys.insert(*salt, key.clone());
        Ok(key)
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(sealer) => write!(f, "Protection({:?})", sealer.source.origin()),
            None => f.write_str("Protection(None)"),
        }
    }
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
        Protection::load(&Sealing {
            method,
            file: Some(path),
            ..Sealing::default()
        })
    }

    #[test]
    fn what_is_sealed_opens_in_another_process_and_shows_nothing() {
        for method in [Method::Credential, Method::Passphrase] {
            let words = "correct horse battery staple";
            let sealed = loaded(method, words).unwrap();
            let sealed = sealed.seal("share", SECRET).unwrap();
            assert!(!sealed.contains("a share"));
            let other = loaded(method, words).unwrap();
            assert_eq!(*other.open("share", &sealed).unwrap(), SECRET);
            let closed = Err(ProtectionError::AtRest(AtRestError::DoesNotOpen));
            assert_eq!(other.open("seed", &sealed), closed);
            let wrong = loaded(method, "correct horse battery stable").unwrap();
            assert_eq!(wrong.open("share", &sealed), closed);
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
        let absent = Protection::load(&Sealing {
            method: Method::Credential,
            file: Some("/nonexistent".into()),
            ..Sealing::default()
        });
        assert!(matches!(absent, Err(ProtectionError::Read { .. })));
    }

    #[test]
    fn a_token_is_named_whole_before_anybody_is_asked_for_its_pin() {
        let sealing = Sealing {
            method: Method::Pkcs11,
            ..Sealing::default()
        };
        let setting = "seal_module";
        let refused = Protection::load(&sealing).map(|_| ());
        assert_eq!(refused, Err(ProtectionError::Missing { setting }));
        let sealing = Sealing {
            module: Some("/nonexistent.so".into()),
            ..sealing
        };
        let setting = "seal_token";
        let refused = Protection::load(&sealing).map(|_| ());
        assert_eq!(refused, Err(ProtectionError::Missing { setting }));
    }

    #[test]
    fn debug_shows_the_method_alone() {
        let shown = format!("{:?}", loaded(Method::Credential, &"x".repeat(32)).unwrap());
        assert_eq!(shown, "Protection(Credential)");
    }
}
