//! Files that hold a secret: readable by their owner alone, never overwritten.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use thiserror::Error;
use zeroize::Zeroizing;

/// Longest secret file: a PEM key has some 120 bytes, an evaluator key some 150.
pub const SECRET_FILE_BYTES_MAX: usize = 4096;

/// Owner reads and writes, nobody else does anything.
const MODE: u32 = 0o600;

/// Why a secret cannot be read from its file, or written to it. Nothing of the content is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SecretFileError {
    /// The system says no.
    #[error("{0}")]
    Io(io::ErrorKind),
    /// Others than the owner can read or write it.
    #[error("its mode is {mode:o}, so that others can get at it; it must be 600")]
    Open {
        /// Its permission bits.
        mode: u32,
    },
    /// It is too long to be a key.
    #[error("it has more than {SECRET_FILE_BYTES_MAX} bytes")]
    TooLong,
}

impl From<io::Error> for SecretFileError {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// Writes a secret to a new file and syncs it.
///
/// # Errors
/// [`SecretFileError::Io`], with `AlreadyExists` when there is such a file.
pub fn write(path: &Path, secret: &str) -> Result<(), SecretFileError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)?;
    file.write_all(secret.as_bytes())?;
    Ok(file.sync_all()?)
}

/// Reads a secret that nobody else could read.
///
/// # Errors
/// [`SecretFileError`], see its variants.
pub fn read(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::Open { mode });
    }
    // Reserved at once: a string that grows would leave copies behind that nobody wipes.
    let mut secret = Zeroizing::new(String::with_capacity(SECRET_FILE_BYTES_MAX + 1));
    file.take(SECRET_FILE_BYTES_MAX as u64 + 1)
        .read_to_string(&mut secret)?;
    let fits = secret.len() <= SECRET_FILE_BYTES_MAX;
    fits.then_some(secret).ok_or(SecretFileError::TooLong)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_secret_reads_back_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write(&path, "secret\n").unwrap();
        assert_eq!(*read(&path).unwrap(), "secret\n");
        let refused = write(&path, "other\n");
        assert_eq!(
            refused,
            Err(SecretFileError::Io(io::ErrorKind::AlreadyExists))
        );
        assert_eq!(*read(&path).unwrap(), "secret\n");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write(&path, "secret\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(
            read(&path).err(),
            Some(SecretFileError::Open { mode: 0o640 })
        );
    }

    #[test]
    fn a_file_too_long_for_a_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        write(&path, &"x".repeat(SECRET_FILE_BYTES_MAX + 1)).unwrap();
        assert_eq!(read(&path).err(), Some(SecretFileError::TooLong));
    }
}
