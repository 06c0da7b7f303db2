//! A backup in the place of a lost data folder.
//!
//! The copy is opened as a node opens its ledger, every stored byte of log and map hashed again,
//! before it takes its place. It has no vote and no lock of the node that was backed up, so the node
//! that starts on it begins a new life: it asks the other members what it had signed, catches up
//! with that, and signs nothing before ([`crate::recall`]).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proto::ids::{Origin, TreeSize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::backup::{self, BACKUP_FILE, DATA_FOLDER, LAST_BACKUP_FILE};
use crate::config::Config;
use crate::sequencer::Replica;
use crate::server::{StartError, open_data, read_roster};

/// Why nothing is restored. The data folder is as it was.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// There is something in the data folder.
    #[error("{path} is not empty", path = path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The backup was never done.
    #[error("{path} cannot be read: there is no backup that was done", path = path.display())]
    NoBackup {
        /// The file that says so.
        path: PathBuf,
    },
    /// The backup is of another ledger.
    #[error("the backup is of {got}, the node's roster of {want}")]
    OtherLedger {
        /// What the backup is of.
        got: String,
        /// What the node's first roster is of.
        want: Origin,
    },
    /// The copy is not a sound ledger, or the node's files cannot be used.
    #[error("the backup is not taken: {0}")]
    Start(#[from] Box<StartError>),
    /// The copy is not what the backup says of itself.
    #[error("the backup has {got} entries, and says that it has {want}")]
    Other {
        /// How many it has.
        got: TreeSize,
        /// How many it says it has, or the same with other roots.
        want: TreeSize,
    },
    /// A file cannot be read or written.
    #[error("{path}: {kind}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
}

impl RestoreError {
    /// Whether the backup was taken under another key of this member.
    #[must_use]
    pub fn is_of_another_key(&self) -> bool {
        matches!(self, Self::Start(error) if error.is_of_another_key())
    }
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// The ledger.
    pub origin: String,
    /// When the backup was done, in milliseconds since 1970.
    pub taken_at_ms: u64,
    /// How many entries there are now.
    pub entries: u64,
    /// Whether a quorum vouches for all of them. Not for a backup that was broken off after one that
    /// was done: the node then has the rest vouched for when it starts.
    pub vouched: bool,
}

/// Puts the backup in folder `from` in the place of the node's data folder. Blocks.
///
/// # Errors
/// [`RestoreError`]; the data folder is then as it was.
pub fn restore(config: &Config, from: &Path) -> Result<Restored, RestoreError> {
    let file = from.join(BACKUP_FILE);
    let done = backup::read(&file).map_err(|_| RestoreError::NoBackup { path: file })?;
    let first = read_roster(&config.roster).map_err(Box::new)?;
    if done.origin != first.origin().as_str() {
        let (got, want) = (done.origin, first.origin().clone());
        return Err(RestoreError::OtherLedger { got, want });
    }
    refuse_to_overwrite(&config.data)?;
    let draft = draft_of(&config.data);
    let restored = copied(config, from, &draft, &done);
    if restored.is_err() {
        // What was copied is of no use to anybody.
        let _ = fs::remove_dir_all(&draft);
    }
    restored
}

fn copied(
    config: &Config,
    from: &Path,
    draft: &Path,
    done: &backup::Backup,
) -> Result<Restored, RestoreError> {
    match fs::remove_dir_all(draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed_at(draft)(error));
        }
        _ => {}
    }
    let data = from.join(DATA_FOLDER);
    backup::copy_folder(&data, draft).map_err(failed_at(&data))?;
    let restored = checked(config, draft, done)?;
    let last = draft.join(LAST_BACKUP_FILE);
    backup::write(&last, done).map_err(failed_at(&last))?;
    take_place(draft, &config.data).map_err(failed_at(&config.data))?;
    Ok(restored)
}

/// Opens the copy, and compares it with what the backup says of itself.
fn checked(config: &Config, draft: &Path, done: &backup::Backup) -> Result<Restored, RestoreError> {
    let copy = Config {
        data: draft.to_owned(),
        ..config.clone()
    };
    let (replica, _) = open_data(&copy).map_err(Box::new)?;
    let (got, want) = (replica.size(), TreeSize::new(done.entries));
    let is_what_it_says = got > want || (got == want && has_roots(&replica, done));
    if !is_what_it_says {
        return Err(RestoreError::Other { got, want });
    }
    Ok(Restored {
        origin: done.origin.clone(),
        taken_at_ms: done.taken_at_ms,
        entries: got.get(),
        vouched: replica.sequencer().is_some(),
    })
}

fn has_roots(replica: &Replica, done: &backup::Backup) -> bool {
    let Some(snapshot) = replica.sequencer().map(|it| it.snapshot()) else {
        return false;
    };
    let checkpoint = snapshot.checkpoint().claimed();
    checkpoint.log_root.to_base64() == done.log_root
        && checkpoint.map_root.to_base64() == done.map_root
}

fn refuse_to_overwrite(data: &Path) -> Result<(), RestoreError> {
    match fs::read_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed_at(data)(error)),
        Ok(mut items) => match items.next() {
            None => Ok(()),
            Some(_) => Err(RestoreError::NotEmpty {
                path: data.to_owned(),
            }),
        },
    }
}

/// Beside the data folder, so that it takes its place with one rename.
fn draft_of(data: &Path) -> PathBuf {
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    data.with_file_name(name)
}

fn take_place(draft: &Path, data: &Path) -> io::Result<()> {
    // A folder takes the place of an empty one.
    fs::rename(draft, data)?;
    match data.parent() {
        Some(parent) => fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn failed_at(path: &Path) -> impl FnOnce(io::Error) -> RestoreError {
    let path = path.to_owned();
    move |error| RestoreError::Io {
        path,
        kind: error.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_absent_or_empty_folder_is_restored_into() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        refuse_to_overwrite(&data).unwrap();
        fs::create_dir(&data).unwrap();
        refuse_to_overwrite(&data).unwrap();
        fs::write(data.join("ballast"), "x").unwrap();
        let refused = refuse_to_overwrite(&data);
        assert!(matches!(refused, Err(RestoreError::NotEmpty { .. })));
        assert_eq!(draft_of(&data), dir.path().join("data.restoring"));
    }
}
