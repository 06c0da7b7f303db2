//! Incident keys that are sealed on disk, as `vitrail-node` seals its secrets: under a passphrase
//! or a credential. What a PKCS#11 token seals, `vitrail-node reseal` opens.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use client::failure::{Failure, FailureKind};
use client::files::{self, FileError};
use client::system::{self, NoRandomness};
use proto::at_rest::{
    self, AtRestError, AtRestKey, KeyOrigin, SALT_BYTES, SECRET_BYTES_MAX, SECRET_BYTES_MIN,
    SealedSecret, cut_newline,
};
use thiserror::Error;
use zeroize::Zeroizing;

/// How a key file is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Method {
    /// Whoever has the file has the key
    None,
    /// Under a random secret in another file
    Credential,
    /// Under a passphrase, from another file or typed in
    Passphrase,
}

/// Why a file is not sealed or opened. Nothing of it is quoted.
#[derive(Debug, Error)]
pub(super) enum SealedError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    AtRest(#[from] AtRestError),
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    #[error("the key file is sealed under a credential: name its file with --seal-file")]
    NoCredential,
    #[error("no passphrase: name its file with --seal-file, or start at a terminal")]
    NoPassphrase,
    #[error("the key file is sealed by a PKCS#11 token, which this command does not speak to")]
    Token,
    #[error("the terminal: {0}")]
    Terminal(io::ErrorKind),
    #[error("the passphrase was not typed the same twice")]
    TypedTwice,
    #[error(
        "a credential or passphrase must have {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes, this one has {got}"
    )]
    Length { got: usize },
}

impl Failure for SealedError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::File(error) => error.kind(),
            Self::NoRandomness(_) | Self::Terminal(_) => FailureKind::Unavailable,
            Self::AtRest(_)
            | Self::NoCredential
            | Self::NoPassphrase
            | Self::Token
            | Self::TypedTwice
            | Self::Length { .. } => FailureKind::Malformed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Token => Some(
                "`vitrail-node reseal --incident-key FILE --seal pkcs11 --to passphrase`, where the token is",
            ),
            _ => None,
        }
    }
}

/// The secret in a key file's text, which is sealed or plain. `file` has the passphrase or the
/// credential; without it a passphrase is asked for.
pub(super) fn open(
    text: Zeroizing<String>,
    purpose: &str,
    file: Option<&Path>,
) -> Result<Zeroizing<String>, SealedError> {
    if !at_rest::is_sealed(&text) {
        return Ok(text);
    }
    let sealed = SealedSecret::parse(&text)?;
    let secret = match (sealed.origin(), file) {
        (KeyOrigin::Pkcs11, _) => return Err(SealedError::Token),
        (KeyOrigin::Credential, None) => return Err(SealedError::NoCredential),
        (KeyOrigin::Passphrase, None) => typed("Passphrase")?,
        (_, Some(file)) => read(file)?,
    };
    let key = key_of(sealed.origin(), secret, sealed.salt())?;
    Ok(sealed.open(&key, purpose)?)
}

/// The text of a new key file. A passphrase that is asked for is typed twice.
pub(super) fn seal(
    method: Method,
    purpose: &str,
    secret: &str,
    file: Option<&PathBuf>,
) -> Result<Zeroizing<String>, SealedError> {
    let (origin, given) = match (method, file) {
        (Method::None, _) => return Ok(Zeroizing::new(secret.to_owned())),
        (Method::Credential, None) => return Err(SealedError::NoCredential),
        (Method::Passphrase, None) => (KeyOrigin::Passphrase, typed_twice()?),
        (Method::Credential, Some(file)) => (KeyOrigin::Credential, read(file)?),
        (Method::Passphrase, Some(file)) => (KeyOrigin::Passphrase, read(file)?),
    };
    let (salt, nonce) = (system::random()?, system::random()?);
    let key = key_of(origin, given, &salt)?;
    let sealed = at_rest::seal(origin, &salt, &key, &nonce, purpose, secret)?;
    Ok(Zeroizing::new(sealed))
}

fn key_of(
    origin: KeyOrigin,
    mut secret: Zeroizing<Vec<u8>>,
    salt: &[u8; SALT_BYTES],
) -> Result<AtRestKey, SealedError> {
    if origin == KeyOrigin::Passphrase {
        cut_newline(&mut secret);
    }
    let got = secret.len();
    if !(SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&got) {
        return Err(SealedError::Length { got });
    }
    Ok(match origin {
        KeyOrigin::Passphrase => AtRestKey::from_passphrase(&secret, salt)?,
        KeyOrigin::Credential => AtRestKey::from_credential(&secret, salt),
        KeyOrigin::Pkcs11 => return Err(SealedError::Token),
    })
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, SealedError> {
    // A newline at the end is none of the passphrase's bytes.
    Ok(Zeroizing::new(files::read(file, SECRET_BYTES_MAX + 2)?))
}

fn typed_twice() -> Result<Zeroizing<Vec<u8>>, SealedError> {
    let first = typed("New passphrase")?;
    let again = typed("The same again")?;
    (*first == *again)
        .then_some(first)
        .ok_or(SealedError::TypedTwice)
}

/// What somebody types at the terminal, without echo.
fn typed(what: &str) -> Result<Zeroizing<Vec<u8>>, SealedError> {
    if !io::stdin().is_terminal() {
        return Err(SealedError::NoPassphrase);
    }
    let typed = rpassword::prompt_password(format!("{what}: "));
    let typed = typed.map_err(|error| SealedError::Terminal(error.kind()))?;
    Ok(Zeroizing::new(typed.into_bytes()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_sealed_key_opens_with_its_own_secret_alone() {
        let folder = tempfile::tempdir().unwrap();
        let [right, wrong] = ["right", "wrong"].map(|name| folder.path().join(name));
        fs::write(&right, "words that nobody guesses\n").unwrap();
        fs::write(&wrong, "words that anybody guesses\n").unwrap();
        for method in [Method::Credential, Method::Passphrase] {
            let sealed = seal(method, "incident key", "secret\n", Some(&right)).unwrap();
            assert!(!sealed.contains("secret"));
            let opened = open(sealed.clone(), "incident key", Some(&right)).unwrap();
            assert_eq!(*opened, "secret\n");
            for (purpose, file) in [("incident key", &wrong), ("evaluator key", &right)] {
                let closed = open(sealed.clone(), purpose, Some(file));
                let closed = closed.map(|_| ()).unwrap_err();
                assert!(matches!(
                    closed,
                    SealedError::AtRest(AtRestError::DoesNotOpen)
                ));
            }
        }
        let plain = seal(Method::None, "incident key", "secret\n", None).unwrap();
        assert_eq!(*open(plain, "incident key", None).unwrap(), "secret\n");
    }

    #[test]
    fn a_key_behind_a_token_or_a_short_passphrase_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let short = folder.path().join("short");
        fs::write(&short, "fifteen letters\n").unwrap();
        let refused = seal(Method::Passphrase, "incident key", "secret\n", Some(&short));
        let refused = refused.map(|_| ()).unwrap_err();
        assert!(matches!(refused, SealedError::Length { got: 15 }));
        let (salt, key) = ([1; SALT_BYTES], AtRestKey::from_bytes([2; 32]));
        let origin = KeyOrigin::Pkcs11;
        let sealed = at_rest::seal(origin, &salt, &key, &[3; 24], "incident key", "secret\n");
        let refused = open(
            Zeroizing::new(sealed.unwrap()),
            "incident key",
            Some(&short),
        );
        let refused = refused.map(|_| ()).unwrap_err();
        assert!(matches!(refused, SealedError::Token));
    }
}
