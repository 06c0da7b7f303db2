//! Where the secret is that opens everything else: in a file, a descriptor, a credential of
//! systemd, a token, or somebody's head.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _};
use std::path::{Path, PathBuf};

use proto::at_rest::{
    AtRestKey, KeyOrigin, SALT_BYTES, SECRET_BYTES_MAX, SECRET_BYTES_MIN, cut_newline,
};
use zeroize::Zeroizing;

use super::token::{KEY_LABEL, Token};
use super::{CREDENTIAL_NAME, Method, PIN_BYTES_MAX, ProtectionError, Sealing};

/// A secret that was read, and where from, for errors.
struct Given {
    place: String,
    bytes: Zeroizing<Vec<u8>>,
}

/// What keys are made from, for as long as the process lives.
pub(super) enum Source {
    /// A random secret.
    Credential(Zeroizing<Vec<u8>>),
    /// What somebody knows.
    Passphrase(Zeroizing<Vec<u8>>),
    /// A key that is elsewhere.
    Token(Token),
}

impl Source {
    /// `None` where nothing is sealed.
    pub(super) fn load(sealing: &Sealing) -> Result<Option<Self>, ProtectionError> {
        Self::load_by(sealing, || ask("Passphrase"))
    }

    /// As [`Self::load`]; a passphrase that is typed is new, and typed twice.
    pub(super) fn load_new(sealing: &Sealing) -> Result<Option<Self>, ProtectionError> {
        Self::load_by(sealing, || {
            let Some(typed) = ask("New passphrase")? else {
                return Ok(None);
            };
            let again = ask("The same again")?;
            let same = again.is_some_and(|again| *again.bytes == *typed.bytes);
            same.then_some(Some(typed))
                .ok_or(ProtectionError::TypedTwice)
        })
    }

    fn load_by(
        sealing: &Sealing,
        passphrase: impl FnOnce() -> Result<Option<Given>, ProtectionError>,
    ) -> Result<Option<Self>, ProtectionError> {
        Ok(Some(match sealing.method {
            Method::None => return Ok(None),
            Method::Credential => {
                let file = sealing.file.clone().or_else(credential);
                let file = file.ok_or(ProtectionError::NoCredential)?;
                Self::Credential(long_enough(read(&file)?)?)
            }
            Method::Passphrase => {
                let given = match &sealing.file {
                    Some(file) => read(file)?,
                    None => passphrase()?.ok_or(ProtectionError::NoPassphrase)?,
                };
                Self::Passphrase(long_enough(without_newline(given))?)
            }
            Method::Pkcs11 => Self::Token(token(sealing)?),
        }))
    }

    pub(super) const fn origin(&self) -> KeyOrigin {
        match self {
            Self::Credential(_) => KeyOrigin::Credential,
            Self::Passphrase(_) => KeyOrigin::Passphrase,
            Self::Token(_) => KeyOrigin::Pkcs11,
        }
    }

    /// The key of the files with this salt.
    pub(super) fn key(&self, salt: &[u8; SALT_BYTES]) -> Result<AtRestKey, ProtectionError> {
        Ok(match self {
            Self::Credential(credential) => AtRestKey::from_credential(credential, salt),
            Self::Passphrase(passphrase) => AtRestKey::from_passphrase(passphrase, salt)?,
            Self::Token(token) => token.key(salt)?,
        })
    }
}

/// Makes the sealing key in the token of these settings; it never leaves. Asks for the PIN where no
/// file has it. Gives the key's label.
///
/// # Errors
/// [`ProtectionError`]: the settings, the PIN, or what the token refuses.
pub fn make_key(sealing: &Sealing) -> Result<String, ProtectionError> {
    let token = token(sealing)?;
    Ok(token.make_key()?)
}

/// The token of the settings, with its PIN. Nothing is asked of it yet.
fn token(sealing: &Sealing) -> Result<Token, ProtectionError> {
    let missing = |setting| ProtectionError::Missing { setting };
    let module = sealing.module.clone().ok_or(missing("seal_module"))?;
    let label = sealing.token.clone().ok_or(missing("seal_token"))?;
    let key = sealing.key.clone().unwrap_or(KEY_LABEL.to_owned());
    let pin = match sealing.file.clone().or_else(credential) {
        Some(file) => read(&file)?,
        None => ask("PIN of the token")?.ok_or(ProtectionError::NoPin)?,
    };
    let Given { place, bytes } = without_newline(pin);
    let fits = (1..=PIN_BYTES_MAX).contains(&bytes.len());
    let pin = str::from_utf8(&bytes).ok().filter(|_| fits);
    let pin = pin.ok_or(ProtectionError::Pin { place })?;
    Ok(Token::new(module, label, key, pin))
}

/// Where systemd puts the credential, if it started this process with one.
fn credential() -> Option<PathBuf> {
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY")?;
    let path = Path::new(&folder).join(CREDENTIAL_NAME);
    Some(path)
}

/// The newline at the end is the editor's, or the terminal's.
fn without_newline(mut given: Given) -> Given {
    cut_newline(&mut given.bytes);
    given
}

fn long_enough(given: Given) -> Result<Zeroizing<Vec<u8>>, ProtectionError> {
    let got = given.bytes.len();
    if (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&got) {
        Ok(given.bytes)
    } else {
        let place = given.place;
        Err(ProtectionError::Length { place, got })
    }
}

fn read(path: &Path) -> Result<Given, ProtectionError> {
    let place = path.display().to_string();
    let failed = |error: io::Error| ProtectionError::Read {
        place: place.clone(),
        kind: error.kind(),
    };
    // Reserved at once: a vector that grows would leave copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_BYTES_MAX + 2));
    let file = File::open(path).map_err(failed)?;
    file.take(SECRET_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    Ok(Given { place, bytes })
}

/// What somebody types at the terminal, without echo; `None` where nobody can.
fn ask(what: &str) -> Result<Option<Given>, ProtectionError> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let place = "what was typed".to_owned();
    match rpassword::prompt_password(format!("{what}: ")) {
        Ok(typed) => Ok(Some(Given {
            place,
            bytes: Zeroizing::new(typed.into_bytes()),
        })),
        Err(error) => Err(ProtectionError::Read {
            place: "the terminal".to_owned(),
            kind: error.kind(),
        }),
    }
}
