//! Files: read up to a limit, replaced as a whole, keys for their owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::failure::{Failure, FailureKind};
use crate::system::{self, NoRandomness};

/// Why a file cannot be read or written. The path is the user's own; no content is quoted.
#[derive(Debug, Error)]
pub enum FileError {
    /// There is no such file.
    #[error("{path} does not exist")]
    Missing {
        /// Its path.
        path: PathBuf,
    },
    /// It is there and was not to be overwritten.
    #[error("{path} exists and is not overwritten")]
    Exists {
        /// Its path.
        path: PathBuf,
    },
    /// It is longer than its kind of file ever is.
    #[error("{path} is longer than {limit} bytes")]
    TooLong {
        /// Its path.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// Others than its owner can read a file that holds a secret.
    #[error("{path} has the mode {mode:o}, so that others can read it; it must be 600")]
    Open {
        /// Its path.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not text.
    #[error("{path} is not UTF-8 text")]
    NotText {
        /// Its path.
        path: PathBuf,
    },
    /// The system could not read or write it.
    #[error("{path} cannot be used: {reason}")]
    Io {
        /// Its path.
        path: PathBuf,
        /// What the system says.
        reason: ErrorKind,
    },
    /// A name for the new version could not be drawn.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

impl Failure for FileError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Missing { .. }
            | Self::TooLong { .. }
            | Self::NotText { .. }
            | Self::Open { .. } => FailureKind::Malformed,
            Self::Exists { .. } => FailureKind::Refused,
            Self::Io { .. } | Self::NoRandomness(_) => FailureKind::Unavailable,
        }
    }
}

/// What the system says of a file.
#[must_use]
pub fn io_error(path: &Path, error: &std::io::Error) -> FileError {
    let path = path.to_owned();
    match error.kind() {
        ErrorKind::NotFound => FileError::Missing { path },
        ErrorKind::AlreadyExists => FileError::Exists { path },
        reason => FileError::Io { path, reason },
    }
}

/// The bytes of a file that has at most `limit` of them.
///
/// # Errors
/// [`FileError`], see its variants.
pub fn read(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let file = open(path)?;
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too long from one that just fits.
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    file.take(most)
        .read_to_end(&mut bytes)
        .map_err(|e| io_error(path, &e))?;
    if bytes.len() > limit {
        return Err(FileError::TooLong {
            path: path.to_owned(),
            limit,
        });
    }
    Ok(bytes)
}

/// The files in a folder, by name; what is no file is passed over.
///
/// # Errors
/// [`FileError::Missing`] or [`FileError::Io`].
pub fn in_folder(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let unreadable = |error| io_error(path, &error);
    let mut files = Vec::new();
    for item in fs::read_dir(path).map_err(unreadable)? {
        let file = item.map_err(unreadable)?.path();
        if file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// A file that is read piece by piece.
///
/// # Errors
/// [`FileError::Missing`] or [`FileError::Io`].
pub fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(|e| io_error(path, &e))
}

/// The bytes of a secret that nobody else could read, at most `limit` of them.
///
/// # Errors
/// [`FileError::Open`] when others can read it, and as [`read`].
pub fn read_secret(path: &Path, limit: usize) -> Result<Vec<u8>, FileError> {
    let metadata = fs::metadata(path).map_err(|e| io_error(path, &e))?;
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 != 0 {
        let path = path.to_owned();
        return Err(FileError::Open { path, mode });
    }
    read(path, limit)
}

/// The text of a file that has at most `limit` bytes.
///
/// # Errors
/// [`FileError`], see its variants.
pub fn read_text(path: &Path, limit: usize) -> Result<String, FileError> {
    String::from_utf8(read(path, limit)?).map_err(|_| FileError::NotText {
        path: path.to_owned(),
    })
}

/// Writes a whole file, replacing what was there: after a crash there is the old one or the new.
///
/// # Errors
/// [`FileError::Io`]; the old file is then still there.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_by(path, |file| file.write_all(bytes))
}

/// The same for a file that is written piece by piece.
///
/// # Errors
/// [`FileError::Io`]; the old file is then still there.
pub fn replace_by(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), FileError> {
    replace_with_mode(path, 0o644, write)
}

/// Replaces a whole file that its owner alone may read, as [`replace`] does.
///
/// # Errors
/// [`FileError::Io`]; the old file is then still there.
pub fn replace_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace_with_mode(path, 0o600, |file| file.write_all(bytes))
}

fn replace_with_mode(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), FileError> {
    let drawn = u64::from_be_bytes(system::random()?);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{drawn:016x}"));
    let fresh = path.with_file_name(name);
    let written = write_new(&fresh, mode, write)
        .and_then(|()| fs::rename(&fresh, path).map_err(|e| io_error(path, &e)));
    if written.is_err() {
        // The error that counts is the first one.
        let _ = fs::remove_file(&fresh);
        return written;
    }
    sync_folder_of(path)
}

/// Writes a secret to a new file that its owner alone may read.
///
/// # Errors
/// [`FileError::Exists`] when there is one already, or [`FileError::Io`].
pub fn create_secret(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_new(path, 0o600, |file| file.write_all(bytes))?;
    sync_folder_of(path)
}

/// Gives a file another name in its folder, in place of what had it: durable when it returns.
///
/// # Errors
/// [`FileError`]; the file then has its old name.
pub fn rename(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::rename(from, to).map_err(|e| io_error(from, &e))?;
    sync_folder_of(to)
}

/// Removes a file, if it is there.
///
/// # Errors
/// [`FileError::Io`].
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path).map_err(|e| io_error(path, &e)) {
        Ok(()) | Err(FileError::Missing { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes a folder and those above it.
///
/// # Errors
/// [`FileError::Io`].
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(|e| io_error(path, &e))
}

fn write_new(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let mut file = options.open(path).map_err(|e| io_error(path, &e))?;
    write(&mut file)
        .and_then(|()| file.sync_all())
        .map_err(|e| io_error(path, &e))
}

/// A new name is durable only once its folder is.
fn sync_folder_of(path: &Path) -> Result<(), FileError> {
    let parent = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = parent.unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|e| io_error(folder, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, b"1234").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"1234");
        assert!(matches!(
            read(&path, 3),
            Err(FileError::TooLong { limit: 3, .. })
        ));
        let missing = read(&folder.path().join("none"), 3);
        assert!(matches!(missing, Err(FileError::Missing { .. })));
    }

    #[test]
    fn replacing_leaves_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(read(&path, 9).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_for_its_owner_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        create_secret(&path, b"secret").unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(matches!(
            create_secret(&path, b"other"),
            Err(FileError::Exists { .. })
        ));
        assert_eq!(read(&path, 9).unwrap(), b"secret");
    }
}
