//! A key in a PKCS#11 token: it computes HMAC-SHA256 (CKM_SHA256_HMAC) and never leaves.
//!
//! HMAC and not the wrapping of a data key: hardware modules and softhsm2 have it alike, it takes
//! no nonce (which some modules insist to choose themselves), and the key may do nothing else.
//! A session lives for one answer: opened, logged in, asked, closed, so that nothing is left
//! logged in while the node runs.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use proto::at_rest::{AtRestKey, SALT_BYTES, token_message};
use thiserror::Error;
use zeroize::Zeroizing;

/// Label of the sealing key where the settings say nothing else.
pub const KEY_LABEL: &str = "vitrail-seal";
/// Length of a key that is made here: as long as the output of SHA-256 (RFC 2104, 3).
const KEY_BYTES: u64 = 32;
/// Length of what HMAC-SHA256 gives.
const MAC_BYTES: usize = 32;

/// A module is initialised once in a process (PKCS #11 2.40, 5.4), so one at a time uses it.
static MODULE: Mutex<()> = Mutex::new(());

/// Why a token does not give a key. Neither the PIN nor anything of the key is quoted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// The module is not there, or is no PKCS#11 module.
    #[error("{path} cannot be loaded as a PKCS#11 module", path = path.display())]
    Module {
        /// Its file.
        path: PathBuf,
    },
    /// No token in any slot has the label.
    #[error("the PKCS#11 module has no token with the label {label:?}")]
    NoToken {
        /// The label of the settings.
        label: String,
    },
    /// Several tokens have the label, and any could be the wrong one.
    #[error("the PKCS#11 module has {got} tokens with the label {label:?}; it must be one")]
    Tokens {
        /// The label of the settings.
        label: String,
        /// How many.
        got: usize,
    },
    /// The token refuses the PIN.
    #[error("the PIN of the token {label:?} is wrong")]
    PinWrong {
        /// The token's label.
        label: String,
    },
    /// The token takes no PIN any more.
    #[error("the PIN of the token {label:?} is locked, expired or not set")]
    PinLocked {
        /// The token's label.
        label: String,
    },
    /// One more wrong PIN locks the token, so this program does not try.
    #[error("one more wrong PIN locks the token {label:?}: the node does not try")]
    LastTry {
        /// The token's label.
        label: String,
    },
    /// The token has no such key.
    #[error("the token {token:?} has no secret key with the label {label:?}")]
    NoKey {
        /// The token's label.
        token: String,
        /// The key's label.
        label: String,
    },
    /// Several keys have the label, and any could be the wrong one.
    #[error("the token {token:?} has {got} secret keys with the label {label:?}; it must be one")]
    Keys {
        /// The token's label.
        token: String,
        /// The key's label.
        label: String,
        /// How many.
        got: usize,
    },
    /// There is such a key already.
    #[error("the token {token:?} has a key with the label {label:?} already")]
    KeyExists {
        /// The token's label.
        token: String,
        /// The key's label.
        label: String,
    },
    /// The key could be read out of the token, so that it protects nothing.
    #[error("the key {label:?} may leave its token: it must be sensitive and not extractable")]
    KeyMayLeave {
        /// The key's label.
        label: String,
    },
    /// The module refuses something else.
    #[error("the PKCS#11 module fails: {code}")]
    Failed {
        /// Which function failed, and its CKR code.
        code: String,
    },
}

/// A token, its key and its PIN. It cannot be printed.
pub(super) struct Token {
    module: PathBuf,
    label: String,
    key: String,
    pin: AuthPin,
}

impl Token {
    pub(super) fn new(module: PathBuf, label: String, key: String, pin: &str) -> Self {
        let pin = AuthPin::from(pin);
        Self {
            module,
            label,
            key,
            pin,
        }
    }

    /// The key of the files with this salt.
    pub(super) fn key(&self, salt: &[u8; SALT_BYTES]) -> Result<AtRestKey, TokenError> {
        let mac = self.logged_in(Access::Read, |session| {
            let key = self.find(session)?;
            let mac = session.sign(&Mechanism::Sha256Hmac, key, &token_message(salt));
            Ok(Zeroizing::new(mac.map_err(|error| failed(&error))?))
        })?;
        let mac: &[u8; MAC_BYTES] = mac.as_slice().try_into().map_err(|_| TokenError::Failed {
            code: format!("an HMAC-SHA256 of {} bytes", mac.len()),
        })?;
        Ok(AtRestKey::from_token(mac, salt))
    }

    /// Makes the key in the token, and gives its label.
    pub(super) fn make_key(&self) -> Result<String, TokenError> {
        self.logged_in(Access::Write, |session| {
            if !self.keys(session)?.is_empty() {
                return Err(TokenError::KeyExists {
                    token: self.label.clone(),
                    label: self.key.clone(),
                });
            }
            let template = [
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::Label(self.key.clone().into_bytes()),
                Attribute::ValueLen(KEY_BYTES.into()),
                Attribute::Token(true),
                Attribute::Private(true),
                Attribute::Sensitive(true),
                Attribute::Extractable(false),
                Attribute::Sign(true),
                Attribute::Encrypt(false),
                Attribute::Decrypt(false),
                Attribute::Wrap(false),
                Attribute::Unwrap(false),
                Attribute::Derive(false),
            ];
            let made = session.generate_key(&Mechanism::GenericSecretKeyGen, &template);
            made.map_err(|error| failed(&error))?;
            // Seen to be what the node will take, before anything is sealed under it.
            self.find(session).map(|_| self.key.clone())
        })
    }

    fn logged_in<T>(
        &self,
        access: Access,
        act: impl FnOnce(&Session) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let _one = MODULE.lock().unwrap_or_else(PoisonError::into_inner);
        let module = load(&self.module)?;
        let done = self.with_session(&module, access, act);
        // Its answer is there or not; a module that cannot end changes nothing in it.
        let _ = module.finalize();
        done
    }

    fn with_session<T>(
        &self,
        module: &Pkcs11,
        access: Access,
        act: impl FnOnce(&Session) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let slot = self.slot(module)?;
        let session = match access {
            Access::Read => module.open_ro_session(slot),
            Access::Write => module.open_rw_session(slot),
        };
        let session = session.map_err(|error| failed(&error))?;
        let login = session.login(UserType::User, Some(&self.pin));
        login.map_err(|error| self.login_failed(&error))?;
        let done = act(&session);
        let _ = session.logout();
        done
    }

    /// The slot of the one token with the label.
    fn slot(&self, module: &Pkcs11) -> Result<Slot, TokenError> {
        let slots = module.get_slots_with_initialized_token();
        let mut found = Vec::new();
        for slot in slots.map_err(|error| failed(&error))? {
            // A token that is drawn out meanwhile is not the one.
            let Ok(info) = module.get_token_info(slot) else {
                continue;
            };
            // PKCS #11 pads labels with blanks.
            if info.label().trim_end() == self.label {
                found.push((slot, info));
            }
        }
        let label = self.label.clone();
        match found.as_slice() {
            [] => Err(TokenError::NoToken { label }),
            [(_, info)] if info.user_pin_locked() => Err(TokenError::PinLocked { label }),
            [(_, info)] if info.user_pin_final_try() => Err(TokenError::LastTry { label }),
            [(slot, _)] => Ok(*slot),
            several => Err(TokenError::Tokens {
                label,
                got: several.len(),
            }),
        }
    }

    fn login_failed(&self, error: &Error) -> TokenError {
        let label = self.label.clone();
        match error {
            Error::Pkcs11(
                RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange,
                _,
            ) => TokenError::PinWrong { label },
            Error::Pkcs11(
                RvError::PinLocked | RvError::PinExpired | RvError::UserPinNotInitialized,
                _,
            ) => TokenError::PinLocked { label },
            other => failed(other),
        }
    }

    fn keys(&self, session: &Session) -> Result<Vec<ObjectHandle>, TokenError> {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::Label(self.key.clone().into_bytes()),
        ];
        session
            .find_objects(&template)
            .map_err(|error| failed(&error))
    }

    /// The one key with the label, if it cannot leave the token.
    fn find(&self, session: &Session) -> Result<ObjectHandle, TokenError> {
        let (token, label) = (self.label.clone(), self.key.clone());
        let keys = self.keys(session)?;
        let [key] = keys.as_slice() else {
            return Err(match keys.len() {
                0 => TokenError::NoKey { token, label },
                got => TokenError::Keys { token, label, got },
            });
        };
        let wanted = [AttributeType::Sensitive, AttributeType::Extractable];
        let attributes = session.get_attributes(*key, &wanted);
        let attributes = attributes.map_err(|error| failed(&error))?;
        let stays = attributes.contains(&Attribute::Sensitive(true))
            && attributes.contains(&Attribute::Extractable(false));
        stays
            .then_some(*key)
            .ok_or(TokenError::KeyMayLeave { label })
    }
}

/// What a session may do.
#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
}

fn load(path: &Path) -> Result<Pkcs11, TokenError> {
    let unloaded = |_| TokenError::Module {
        path: path.to_owned(),
    };
    let module = Pkcs11::new(path).map_err(unloaded)?;
    let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    module
        .initialize(arguments)
        .map_err(|error| failed(&error))?;
    Ok(module)
}

/// The code and the function alone: what a module says beside them is its own.
fn failed(error: &Error) -> TokenError {
    let code = match error {
        Error::Pkcs11(code, function) => format!("{function:?} says {code:?}"),
        Error::NullFunctionPointer | Error::MissingSymbol(_) => "a function is missing".to_owned(),
        _ => "an answer is not of its form".to_owned(),
    };
    TokenError::Failed { code }
}
