//! The pairing token: what till software shows to be let in, and what is kept of it.
//!
//! The token is drawn at the first start and written to a file for the till software, which takes
//! it from there. The agent keeps its hash alone, and never reads that file. Everything that the
//! agent writes down about requests is named and recognised under a key that is made of the token,
//! so that who finds the folder can try out nothing.

use std::fs;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use proto::hash::{Context, HASH_BYTES, Hash, KeyedHasher, derive, derive_secret};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::AgentError;
use crate::files::{self, FileError};
use crate::system;

/// Bytes of a token: 256 bits, which nobody guesses at any speed.
pub const TOKEN_BYTES: usize = 32;

/// What the file of a token's hash is called.
const HASH_FILE: &str = "token-hash";
/// What the file is called that hands the token over.
const TOKEN_FILE: &str = "token";
/// Longest file of a hash: 44 characters and a line end.
const HASH_FILE_BYTES_MAX: usize = 64;

/// What is kept of a token.
#[derive(Debug)]
pub(super) struct Pairing {
    hash: Hash,
}

/// The key of a paired request: it is there only while the request is.
pub(super) struct RequestKey(Zeroizing<[u8; HASH_BYTES]>);

impl RequestKey {
    /// What parts of a request are known by: `label` says which.
    pub(super) fn digest(&self, label: &str, bytes: &[u8]) -> Hash {
        let mut hasher = KeyedHasher::new(&self.0);
        hasher.update(&(label.len() as u64).to_be_bytes());
        hasher.update(label.as_bytes());
        hasher.update(bytes);
        hasher.finish()
    }
}

impl Pairing {
    /// The pairing of a folder. At the first start, or if `anew`, a token is drawn: then the path
    /// of the file is given too that hands it over.
    pub(super) fn open(folder: &Path, anew: bool) -> Result<(Self, Option<PathBuf>), AgentError> {
        let path = folder.join(HASH_FILE);
        if !anew {
            match files::read_text(&path, HASH_FILE_BYTES_MAX) {
                Ok(text) => {
                    let hash = text.strip_suffix('\n').and_then(Hash::from_base64);
                    let hash = hash.ok_or(AgentError::TokenHash)?;
                    return Ok((Self { hash }, None));
                }
                Err(FileError::Missing { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let token = Zeroizing::new(system::random::<TOKEN_BYTES>()?);
        let text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(token.as_slice()));
        let handed_over = folder.join(TOKEN_FILE);
        files::replace_secret(&handed_over, text.as_bytes())?;
        let hash = derive(Context::AgentToken, &[token.as_slice()]);
        // From here the token in the file is the one that counts.
        files::replace_secret(&path, format!("{hash}\n").as_bytes())?;
        Ok((Self { hash }, Some(handed_over)))
    }

    /// Where the token was left, if nobody has taken it yet.
    pub(super) fn left_in(folder: &Path) -> Option<PathBuf> {
        let path = folder.join(TOKEN_FILE);
        fs::exists(&path).is_ok_and(|there| there).then_some(path)
    }

    /// The key of a request that shows the token, compared in constant time.
    pub(super) fn admit(&self, shown: &str) -> Option<RequestKey> {
        let token = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(shown).ok()?);
        let token: &[u8; TOKEN_BYTES] = token.as_slice().try_into().ok()?;
        let hash = derive(Context::AgentToken, &[token]);
        let same: bool = hash.as_bytes().ct_eq(self.hash.as_bytes()).into();
        same.then(|| RequestKey(derive_secret(Context::AgentRequests, &[token])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_token_is_drawn_once_handed_over_and_known_by_its_hash_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (first, handed_over) = Pairing::open(folder.path(), false).unwrap();
        let path = handed_over.unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let token = fs::read_to_string(&path).unwrap();
        assert!(first.admit(&token).is_some());
        assert_eq!(Pairing::left_in(folder.path()), Some(path.clone()));
        fs::remove_file(&path).unwrap();
        let (again, none) = Pairing::open(folder.path(), false).unwrap();
        assert!(none.is_none() && again.admit(&token).is_some());
        let kept = fs::read_to_string(folder.path().join(HASH_FILE)).unwrap();
        assert!(!kept.contains(&token));
        let (anew, _) = Pairing::open(folder.path(), true).unwrap();
        assert!(anew.admit(&token).is_none());
    }

    #[test]
    fn any_other_token_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (pairing, path) = Pairing::open(folder.path(), false).unwrap();
        let token = fs::read_to_string(path.unwrap()).unwrap();
        for wrong in ["", "x", &token[1..], &format!("{token}A"), &"A".repeat(43)] {
            assert!(pairing.admit(wrong).is_none());
        }
        fs::write(folder.path().join(HASH_FILE), "torn").unwrap();
        assert!(matches!(
            Pairing::open(folder.path(), false),
            Err(AgentError::TokenHash)
        ));
    }
}
