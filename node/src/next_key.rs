//! The key that takes over from a member's key, beside it on the disk.
//!
//! ```text
//! node.key        the key in force
//! node.key.next   made by `rotate`; it signs nothing before a roster lists it
//! ```
//!
//! Both are held while the federation decides, so that the member cosigns without a gap: the state
//! with the roster that lists the new key is signed with it. Then the node ends, and begins again
//! with the new key in the old one's place. The file is read when a roster lists another key than
//! the node's, so a running node need not be told of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use proto::signing::{PublicKey, SecretKey};

use crate::secret_file;

/// What follows the name of the key file.
const NEXT: &str = ".next";

/// Where the next key lies, if there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextKey(PathBuf);

impl NextKey {
    /// That of the key in this file.
    #[must_use]
    pub fn of(key: &Path) -> Self {
        let mut path: OsString = key.as_os_str().to_owned();
        path.push(NEXT);
        Self(path.into())
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The key, if there is one with this public half. Blocks for one small file.
    #[must_use]
    pub fn with(&self, listed: &PublicKey) -> Option<SecretKey> {
        let pem = secret_file::read(&self.0).ok()?;
        let key = SecretKey::from_pem(&pem).ok()?;
        (key.public() == *listed).then_some(key)
    }
}
