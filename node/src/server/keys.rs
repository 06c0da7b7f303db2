//! The node's key, and the one that takes over with the roster that lists it.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use proto::roster::Roster;
use proto::signing::SecretKey;

use super::StartError;
use super::opening::read_key;
use crate::ceremony::overwrite;
use crate::next_key::NextKey;
use crate::secret_file::SecretFileError;

/// The keys of one node.
pub(super) struct Keys {
    /// The one that it runs with.
    pub(super) secret: SecretKey,
    /// The one that is to take over.
    pub(super) next: Option<SecretKey>,
    path: PathBuf,
}

impl Keys {
    /// Reads both. Blocks.
    pub(super) fn read(path: &Path) -> Result<Self, StartError> {
        let next = NextKey::of(path);
        let next = next.path();
        Ok(Self {
            secret: read_key(path)?,
            next: next.exists().then(|| read_key(next)).transpose()?,
            path: path.to_owned(),
        })
    }

    /// Where the key lies that is to take over, now or later.
    pub(super) fn next_key(&self) -> NextKey {
        NextKey::of(&self.path)
    }

    /// Whether this roster lists the member with the key that is to take over.
    pub(super) fn is_replaced_in(&self, roster: &Roster) -> bool {
        let next = self.next.as_ref().map(SecretKey::public);
        next.is_some_and(|next| roster.member_by_key(&next).is_some())
    }

    /// The key that was to take over does, and the one before is overwritten and gone. Blocks.
    pub(super) fn take_over(self) -> Result<Self, StartError> {
        let next = read_key(self.next_key().path())?;
        let failed = |error: io::Error| StartError::SecretFile {
            path: self.path.clone(),
            error: SecretFileError::from(error),
        };
        let moved = || {
            let old = OpenOptions::new().write(true).open(&self.path)?;
            fs::rename(self.next_key().path(), &self.path)?;
            let folder = self.path.parent().unwrap_or(Path::new("."));
            fs::File::open(folder)?.sync_all()?;
            // From here the new key is the node's. The old file has no name any more.
            overwrite(&old)
        };
        moved().map_err(failed)?;
        tracing::info!("the new key has taken over; the old one is deleted");
        Ok(Self {
            secret: next,
            next: None,
            path: self.path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::secret;
    use crate::secret_file;

    #[test]
    fn the_new_key_takes_the_place_of_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.key");
        secret_file::write(&path, &secret("old").to_pem().unwrap()).unwrap();
        let alone = Keys::read(&path).unwrap();
        assert!(alone.next.is_none());
        let next = NextKey::of(&path).path().to_owned();
        secret_file::write(&next, &secret("new").to_pem().unwrap()).unwrap();
        let both = Keys::read(&path).unwrap();
        assert!(both.next.is_some());
        let after = both.take_over().unwrap();
        assert_eq!(after.secret.public(), secret("new").public());
        assert!(after.next.is_none() && !next.exists());
        let read = Keys::read(&path).unwrap();
        assert_eq!(read.secret.public(), secret("new").public());
    }
}
