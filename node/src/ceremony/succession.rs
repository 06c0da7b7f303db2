//! Which of the shares on this disk are in force, and the end of the ones that are not.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use proto::roster::MemberShare;

use super::folder::{CEREMONIES, EVALUATOR_KEY, EVALUATOR_PURPOSE, overwrite, sync_folder};
use crate::config::Config;
use crate::evaluator::Evaluator;
use crate::protection::Protection;
use crate::secret_file;
use crate::server::StartError;

/// This member's shares that the roster in force publishes. If a ceremony made them, they move to
/// the node's key file, and the shares before them are overwritten and gone.
///
/// # Errors
/// [`StartError`] when a file cannot be read, or [`StartError::OtherShares`] when no file has the
/// published shares.
pub fn share_in_force(
    config: &Config,
    protection: &Protection,
    published: &MemberShare,
) -> Result<Evaluator, StartError> {
    let held = read(&config.evaluator_key, protection);
    if let Ok(held) = &held
        && held.fits(published)
    {
        return Ok(held.clone());
    }
    for path in dealt(&config.ceremonies) {
        let evaluator = read(&path, protection)?;
        if evaluator.fits(published) {
            let moved = replace(&path, &config.evaluator_key);
            moved.map_err(|error| StartError::SecretFile {
                path: config.evaluator_key.clone(),
                error: error.into(),
            })?;
            tracing::info!(
                "the shares of the last ceremony are in force; the old ones are deleted"
            );
            return Ok(evaluator);
        }
    }
    held?;
    Err(StartError::OtherShares {
        member: config.name.clone(),
    })
}

fn read(path: &Path, protection: &Protection) -> Result<Evaluator, StartError> {
    let failed = |error| StartError::SecretFile {
        path: path.to_owned(),
        error,
    };
    let text = secret_file::read(path).map_err(failed)?;
    let opened = protection.open(EVALUATOR_PURPOSE, &text);
    let opened = opened.map_err(StartError::Protection)?;
    Evaluator::parse(&opened).map_err(|error| StartError::EvaluatorKey {
        path: path.to_owned(),
        error,
    })
}

/// The key files in the folders of this node's ceremonies.
fn dealt(ceremonies: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(ceremonies).into_iter().flatten().flatten();
    let files = folders.map(|folder| folder.path().join(EVALUATOR_KEY));
    files.filter(|file| file.exists()).collect()
}

/// Moves the new file over the old one, and overwrites what the old one held.
fn replace(new: &Path, held: &Path) -> io::Result<()> {
    let old = match OpenOptions::new().write(true).open(held) {
        Ok(file) => Some(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    fs::rename(new, held)?;
    for folder in [held, new].iter().filter_map(|path| path.parent()) {
        sync_folder(folder)?;
    }
    // From here the new shares are the node's. The old file has no name any more, and is wiped.
    old.map_or(Ok(()), |old| overwrite(&old))
}

/// The folder of a node's ceremonies.
#[must_use]
pub fn ceremonies(dir: &Path) -> PathBuf {
    dir.join(CEREMONIES)
}
