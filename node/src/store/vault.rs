//! The salts of sealed payloads, in a flat file where each can be overwritten.
//!
//! The database appends: what it deletes stays in its file for long. So the one thing that must
//! really go, the salt, lies outside it, 32 bytes at 32 times the index of its entry. Without the
//! salt a sealed payload is noise, even to whoever holds the token. Zeros say that there is none.
//!
//! An attacker who holds this file and the database still needs the contract token of each
//! payload. On a file system or a disk that never writes in place, the old bytes go when that disk
//! reclaims them: an operator who must promise more encrypts the disk under a key of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use proto::ids::LeafIndex;
use proto::seal::Salt;
use zeroize::Zeroizing;

/// Length of a salt.
const SALT_BYTES: usize = 32;
/// What lies where no salt is.
const NO_SALT: [u8; SALT_BYTES] = [0; SALT_BYTES];

/// The file of salts.
#[derive(Debug)]
pub(super) struct Vault {
    file: File,
}

impl Vault {
    /// Opens the file, or creates it.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        Ok(Self {
            file: options.open(dir.join("salts"))?,
        })
    }

    /// The file, to be synced.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Writes a salt. It is durable after the next sync.
    pub(super) fn write(&self, leaf: LeafIndex, salt: &Salt) -> io::Result<()> {
        self.file.write_all_at(salt.as_bytes(), offset(leaf)?)
    }

    /// The salt of an entry's payload, if there is one.
    pub(super) fn read(&self, leaf: LeafIndex) -> io::Result<Option<Salt>> {
        let mut bytes = Zeroizing::new(NO_SALT);
        match self.file.read_exact_at(&mut *bytes, offset(leaf)?) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            read => read.map(|()| (*bytes != NO_SALT).then(|| Salt::from_bytes(*bytes))),
        }
    }

    /// Overwrites a salt. It is gone from the disk after the next sync.
    pub(super) fn erase(&self, leaf: LeafIndex) -> io::Result<()> {
        self.file.write_all_at(&NO_SALT, offset(leaf)?)
    }
}

fn offset(leaf: LeafIndex) -> io::Result<u64> {
    let offset = leaf.get().checked_mul(SALT_BYTES as u64);
    offset.ok_or_else(|| ErrorKind::FileTooLarge.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_reads_back_until_it_is_erased() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let leaf = LeafIndex::new(1000);
        assert!(vault.read(leaf).unwrap().is_none());
        vault.write(leaf, &Salt::from_bytes([7; 32])).unwrap();
        assert_eq!(vault.read(leaf).unwrap().unwrap().as_bytes(), &[7; 32]);
        assert!(vault.read(LeafIndex::new(999)).unwrap().is_none());
        assert!(vault.read(LeafIndex::new(1001)).unwrap().is_none());
        vault.erase(leaf).unwrap();
        assert!(vault.read(leaf).unwrap().is_none());
    }

    #[test]
    fn an_index_past_every_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        assert!(vault.read(LeafIndex::new(u64::MAX)).is_err());
    }
}
