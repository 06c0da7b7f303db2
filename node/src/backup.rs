//! A backup of a running node: its ledger once more, in a folder that may lie anywhere.
//!
//! It is fetched from the node itself, page by page as a member without a vote fetches it: each
//! entry's signature, each payload and each rule is checked on the way, and both roots computed here
//! are those that a quorum has cosigned. So it is consistent while the node writes on, and known to
//! be good before it is called done. The same folder again costs what is new since, and what was
//! erased meanwhile is erased in it too.
//!
//! ```text
//! backup.json           what is in it: written last
//! data/ledger, vault    the ledger; no engine log and no vote: who restores it begins a new life
//! data/quota            what the keys had spent
//! roster.txt            the federation's first roster
//! ```
//!
//! No key is in it, no share and no contract of a payer: old shares are never backed up, and the
//! node's key lies in a safe.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use proto::hash::Hash;
use proto::ids::{Origin, TreeSize};
use proto::roster::Address;
use proto::signing::SecretKey;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::blocking::blocking;
use crate::clock;
use crate::config::Config;
use crate::peer::{Peer, PeerError};
use crate::sequencer::{ApplyError, Replica};
use crate::server::{StartError, open_data, read_key, read_roster};
use crate::tls::TlsError;

/// The file in a backup that says what is in it.
pub const BACKUP_FILE: &str = "backup.json";
/// The folder in a backup that takes the place of a lost data folder.
pub const DATA_FOLDER: &str = "data";
/// The file in a node's data folder that says when it was backed up last, and how far.
pub const LAST_BACKUP_FILE: &str = "last-backup.json";
/// What the keys had spent, in a data folder.
const QUOTA_FOLDER: &str = "quota";
/// The first roster, in a backup.
const ROSTER_FILE: &str = "roster.txt";
/// Most pages in a row that bring nothing new: one may only bring a newer cosignature.
const IDLE_PAGES_MAX: u32 = 3;
/// Longest of these files: they have some 300 bytes.
const BACKUP_FILE_BYTES_MAX: u64 = 64 * 1024;

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backup {
    /// The ledger.
    pub origin: String,
    /// When it was done, in milliseconds since 1970.
    pub taken_at_ms: u64,
    /// How many entries it has.
    pub entries: u64,
    /// How many of them were new to the folder.
    pub fetched: u64,
    /// The root of the log, in base64.
    pub log_root: String,
    /// The root of the map, in base64.
    pub map_root: String,
}

/// Why there is no backup, or not a newer one.
#[derive(Debug, Error)]
pub enum BackupError {
    /// The node's files cannot be used, or those of the backup.
    #[error(transparent)]
    Start(#[from] Box<StartError>),
    /// The way to the node cannot be prepared.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The own address cannot be dialled.
    #[error("the own node's address cannot be dialled")]
    OwnAddress,
    /// The node does not answer, or not so that it can be read.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// What the node sent is not taken.
    #[error("a page of the own node is not taken: {0}")]
    Page(#[from] Box<ApplyError>),
    /// The folder has a backup of another ledger.
    #[error("the folder has a backup of {got}, the node serves {want}")]
    OtherLedger {
        /// What the backup is of.
        got: Origin,
        /// What the node serves.
        want: Origin,
    },
    /// The folder has more than the node, or the node sends nothing that could be vouched for.
    #[error("the backup has {held} entries, and the node brings it no further")]
    Stalled {
        /// How many entries the backup has.
        held: TreeSize,
    },
    /// What was read back from the disk is not what was written.
    #[error("the backup has {got} entries when it is read back, {want} were written")]
    ReadBack {
        /// How many there are, vouched for by a quorum.
        got: TreeSize,
        /// How many were written.
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
    /// The work was broken off; what was fetched until then stays, and the next backup goes on.
    #[error("the backup was broken off")]
    BrokenOff,
}

impl BackupError {
    /// Whether the backup was begun under another key of this member.
    #[must_use]
    pub fn is_of_another_key(&self) -> bool {
        matches!(self, Self::Start(error) if error.is_of_another_key())
    }
}

/// Brings the backup in folder `to` up to what the running node has published. `progress` is told
/// how many entries it holds.
///
/// # Errors
/// [`BackupError`]. What was in the folder before is still good.
pub async fn backup(
    config: &Config,
    to: &Path,
    mut progress: impl FnMut(TreeSize),
) -> Result<Backup, BackupError> {
    let peer = own_node(config)?;
    let wanted = peer.status().await?.checkpoint.claimed().size;
    let into = Config {
        data: to.join(DATA_FOLDER),
        ..config.clone()
    };
    make_folder(to)?;
    let mut replica = open(&into).await?;
    let before = replica.size();
    let mut idle_pages = 0;
    // Vouched for by a quorum, and not older than when this began.
    while replica.size() < wanted || !is_whole(&replica) {
        let held = replica.size();
        replica = take_page(replica, &peer).await?;
        idle_pages = if replica.size() == held {
            idle_pages + 1
        } else {
            0
        };
        if idle_pages > IDLE_PAGES_MAX {
            return Err(BackupError::Stalled { held });
        }
        progress(replica.size());
    }
    let size = replica.size();
    drop(replica);
    let (log_root, map_root) = read_back(&into, size).await?;
    let done = Backup {
        origin: read_roster(&config.roster)
            .map_err(Box::new)?
            .origin()
            .to_string(),
        taken_at_ms: clock::now().get(),
        entries: size.get(),
        fetched: size.get().saturating_sub(before.get()),
        log_root: log_root.to_base64(),
        map_root: map_root.to_base64(),
    };
    let (config, to) = (config.clone(), to.to_owned());
    let finishing = blocking(move || finish(&config, &to, done));
    finishing.await.map_err(|_| BackupError::BrokenOff)?
}

/// What the node of this data folder was backed up to last; `None` when it never was.
#[must_use]
pub fn last(data: &Path) -> Option<Backup> {
    read(&data.join(LAST_BACKUP_FILE)).ok()
}

/// Reads what a backup says of itself.
pub(crate) fn read(path: &Path) -> io::Result<Backup> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(BACKUP_FILE_BYTES_MAX)
        .read_to_string(&mut text)?;
    serde_json::from_str(&text).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Writes such a file: all of it, durable, or the one before stays.
pub(crate) fn write(path: &Path, backup: &Backup) -> io::Result<()> {
    let text = serde_json::to_string_pretty(backup).map_err(io::Error::from)?;
    write_whole(path, format!("{text}\n").as_bytes())
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut draft = tempfile::NamedTempFile::new_in(folder)?;
    draft.write_all(bytes)?;
    draft.as_file().sync_all()?;
    draft.persist(path).map_err(|error| error.error)?;
    fs::File::open(folder)?.sync_all()
}

/// The way to the node that is backed up, as itself.
fn own_node(config: &Config) -> Result<Peer, BackupError> {
    let secret = read_key(&config.key).map_err(Box::new)?;
    let address = config.grpc.to_string().parse::<Address>();
    let address = address.map_err(|_| BackupError::OwnAddress)?;
    let (name, key) = (config.name.clone(), secret.public());
    Ok(Peer::open(name, key, &address, &secret)?)
}

async fn open(into: &Config) -> Result<Replica, BackupError> {
    let config = into.clone();
    let opened = blocking(move || open_data(&config)).await;
    let opened: Result<(Replica, SecretKey), StartError> =
        opened.map_err(|_| BackupError::BrokenOff)?;
    let (replica, _) = opened.map_err(Box::new)?;
    let first = read_roster(&into.roster).map_err(Box::new)?;
    let (got, want) = (replica.roster().origin().clone(), first.origin().clone());
    match got == want {
        true => Ok(replica),
        false => Err(BackupError::OtherLedger { got, want }),
    }
}

/// Whether a quorum vouches for all that is held: between two pages it may be for less.
fn is_whole(replica: &Replica) -> bool {
    let published = replica.sequencer().map(|it| it.snapshot().size());
    published == Some(replica.size())
}

async fn take_page(mut replica: Replica, peer: &Peer) -> Result<Replica, BackupError> {
    let page = peer.follow(replica.size(), replica.vouched_at()).await?;
    // Hashes, signatures and syncs: not on a thread of the runtime.
    let applying = blocking(move || {
        let applied = replica.apply(page, clock::now().seconds());
        applied.map(|_| replica)
    });
    let applied = applying.await.map_err(|_| BackupError::BrokenOff)?;
    Ok(applied.map_err(Box::new)?)
}

/// Opens the folder as one that was restored is opened: every stored byte of log and map is read
/// and hashed again. Both roots.
async fn read_back(into: &Config, want: TreeSize) -> Result<(Hash, Hash), BackupError> {
    let replica = open(into).await?;
    let got = replica.sequencer().map(|it| it.snapshot());
    match got {
        Some(got) if got.size() == want => {
            let checkpoint = got.checkpoint().claimed();
            Ok((checkpoint.log_root, checkpoint.map_root))
        }
        other => {
            let got = other.map_or(TreeSize::new(0), |it| it.size());
            Err(BackupError::ReadBack { got, want })
        }
    }
}

/// The rest of what belongs to it, and only then the word that it is done.
fn finish(config: &Config, to: &Path, done: Backup) -> Result<Backup, BackupError> {
    let (spent, kept) = (
        config.data.join(QUOTA_FOLDER),
        to.join(DATA_FOLDER).join(QUOTA_FOLDER),
    );
    copy_spent(&spent, &kept).map_err(failed_at(&kept))?;
    let (first, roster) = (fs::read(&config.roster), to.join(ROSTER_FILE));
    let first = first.map_err(failed_at(&config.roster))?;
    write_whole(&roster, &first).map_err(failed_at(&roster))?;
    for path in [to.join(BACKUP_FILE), config.data.join(LAST_BACKUP_FILE)] {
        write(&path, &done).map_err(failed_at(&path))?;
    }
    Ok(done)
}

/// The records of the quotas are only ever appended, and a torn one is skipped by who reads it. Old
/// files go, so the folder is made anew.
fn copy_spent(from: &Path, to: &Path) -> io::Result<()> {
    match fs::remove_dir_all(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match copy_folder(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        copied => copied,
    }
}

/// Copies a folder with all in it; each file and name is durable when it returns.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    let items = fs::read_dir(from)?;
    fs::create_dir_all(to)?;
    for item in items {
        let item = item?;
        let (from, to) = (item.path(), to.join(item.file_name()));
        match item.file_type()?.is_dir() {
            true => copy_folder(&from, &to)?,
            false => {
                fs::copy(&from, &to)?;
                fs::File::open(&to)?.sync_all()?;
            }
        }
    }
    fs::File::open(to)?.sync_all()
}

/// Nobody else may read it: it has the salts of the sealed payloads.
fn make_folder(path: &Path) -> Result<(), BackupError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(failed_at(path))
}

fn failed_at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |error| BackupError::Io {
        path,
        kind: error.kind(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Backup {
        Backup {
            origin: "vitrail.test/optique".to_owned(),
            taken_at_ms: 1_768_000_000_000,
            entries: 9,
            fetched: 4,
            log_root: "AA==".to_owned(),
            map_root: "AQ==".to_owned(),
        }
    }

    #[test]
    fn what_was_backed_up_last_reads_back_and_its_form_is_stable() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last(dir.path()), None);
        write(&dir.path().join(LAST_BACKUP_FILE), &example()).unwrap();
        assert_eq!(last(dir.path()), Some(example()));
        let text = serde_json::to_string(&example()).unwrap();
        assert_eq!(
            text,
            "{\"origin\":\"vitrail.test/optique\",\"taken_at_ms\":1768000000000,\"entries\":9,\
             \"fetched\":4,\"log_root\":\"AA==\",\"map_root\":\"AQ==\"}"
        );
        fs::write(dir.path().join(LAST_BACKUP_FILE), "{").unwrap();
        assert_eq!(last(dir.path()), None);
    }

    #[test]
    fn a_folder_is_copied_with_all_that_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("claims")).unwrap();
        fs::write(from.join("1"), "a").unwrap();
        fs::write(from.join("claims/2"), "b").unwrap();
        copy_spent(&from, &to).unwrap();
        assert_eq!(fs::read(to.join("claims/2")).unwrap(), b"b");
        fs::remove_file(from.join("1")).unwrap();
        copy_spent(&from, &to).unwrap();
        assert!(!to.join("1").exists() && to.join("claims/2").exists());
        copy_spent(&dir.path().join("none"), &to).unwrap();
        assert!(!to.exists());
    }
}
