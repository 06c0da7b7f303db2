//! Claims that wait on a till's disk until the federation can be reached, and enter the ledger
//! exactly once.
//!
//! ```text
//! add -> [waiting] -> sign, note the attempt -> send -> keep the answer's proof -> remove
//! ```
//!
//! A signature is good for two minutes, so a claim is signed when it is sent. What must not happen
//! is that one claim gets in under two signatures. So:
//!
//! 1. The attempt, its whole entry, is durable in the claim's file before its first byte leaves.
//! 2. There is one open attempt of a claim at most. It is given up for another only once it is
//!    certain that it is not in the log and never will be ([`send`] says how).
//! 3. The file goes, or says that the claim is refused, once the answer's proof is durable.
//!
//! Wherever a till stops, the file says how to go on: with no attempt, nothing was sent; with one,
//! its answer is asked for first.
//!
//! [`send`]: crate::queue::Queue::send

mod file;
mod send;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use proto::ids::UnixMillis;
use thiserror::Error;

pub use self::file::{Attempt, QUEUED_BYTES_MAX, Queued};
pub(crate) use self::send::{Fate, fate};
pub use self::send::{RESEND_WITHIN_MS, SCAN_ENTRIES_MAX, SendError, Sent};
use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};
use crate::pos::{Draft, KeptError};

/// Most claims that wait: several days of a busy shop. Beyond it somebody must look.
pub const QUEUED_MAX: usize = 1_000;

/// What the file of a queued claim ends in.
const EXTENSION: &str = "claim";

/// Why the queue cannot be used. Nothing of a claim is quoted.
#[derive(Debug, Error)]
pub enum QueueError {
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file of a claim is not of its form.
    #[error("queued claim {name}: {reason}")]
    Claim {
        /// Its name.
        name: String,
        /// What is wrong with it.
        reason: KeptError,
    },
    /// As many claims wait as may.
    #[error("{QUEUED_MAX} claims wait in the queue already")]
    Full,
    /// This claim waits already.
    #[error("this claim is in the queue already, as {name}")]
    AlreadyQueued {
        /// Its name.
        name: String,
    },
    /// No claim of this name waits.
    #[error("no claim of this name is in the queue")]
    NotQueued,
    /// The claim was not refused: it may still get in, or be in already.
    #[error("queued claim {name} was not refused: it may still enter the ledger")]
    NotRefused {
        /// Its name.
        name: String,
    },
}

impl Failure for QueueError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Claim { .. } | Self::NotQueued => FailureKind::Malformed,
            Self::Full | Self::AlreadyQueued { .. } | Self::NotRefused { .. } => {
                FailureKind::Refused
            }
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Full | Self::AlreadyQueued { .. } => Some("`vitrail queue send` sends it"),
            Self::NotQueued => Some("`vitrail queue list` shows the names"),
            _ => None,
        }
    }
}

/// A folder of claims that wait, for its till alone.
#[derive(Debug, Clone)]
pub struct Queue {
    folder: PathBuf,
}

/// Keeps other programs from sending meanwhile; they wait. It ends when it is dropped, and with
/// the program.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Queue {
    /// The queue in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`QueueError::File`].
    pub fn open(folder: &Path) -> Result<Self, QueueError> {
        files::create_folder(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Takes a claim: when it returns, the claim is durable. The name is made of its commitment,
    /// so one kept quote does not wait twice.
    ///
    /// # Errors
    /// [`QueueError::Full`], [`QueueError::AlreadyQueued`] or a file's.
    pub fn add(&self, draft: Draft, now: UnixMillis) -> Result<String, QueueError> {
        let _lock = self.lock()?;
        let name = Self::name_of(&draft);
        if self.path(&name).exists() {
            return Err(QueueError::AlreadyQueued { name });
        }
        if self.names()?.len() >= QUEUED_MAX {
            return Err(QueueError::Full);
        }
        self.put(&Queued {
            name: name.clone(),
            queued_at: now,
            draft,
            attempt: None,
            refused: None,
        })?;
        Ok(name)
    }

    /// The name that a claim has in any queue: made of its commitment.
    #[must_use]
    pub fn name_of(draft: &Draft) -> String {
        let commitment = draft.claim.commitment.as_bytes().iter();
        commitment
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    /// Every claim that waits or was refused, the oldest first.
    ///
    /// # Errors
    /// [`QueueError::Claim`] names the first one that cannot be read.
    pub fn list(&self) -> Result<Vec<Queued>, QueueError> {
        let names = self.names()?.into_iter();
        let mut found = names
            .map(|name| self.read(&name))
            .collect::<Result<Vec<_>, _>>()?;
        found.sort_by(|a, b| (a.queued_at, &a.name).cmp(&(b.queued_at, &b.name)));
        Ok(found)
    }

    /// One claim.
    ///
    /// # Errors
    /// [`QueueError::NotQueued`], or what is wrong with its file.
    pub fn read(&self, name: &str) -> Result<Queued, QueueError> {
        // A name is what `add` makes: nothing that leads out of the folder.
        if !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(QueueError::NotQueued);
        }
        let bytes = match files::read_secret(&self.path(name), QUEUED_BYTES_MAX) {
            Err(FileError::Missing { .. }) => return Err(QueueError::NotQueued),
            read => read?,
        };
        Queued::parse(name, &bytes).map_err(|reason| QueueError::Claim {
            name: name.to_owned(),
            reason,
        })
    }

    /// Takes a refused claim out of the queue, once somebody has seen why.
    ///
    /// # Errors
    /// [`QueueError::NotRefused`] for one that may still get in.
    pub fn forget(&self, name: &str) -> Result<(), QueueError> {
        let _lock = self.lock()?;
        let queued = self.read(name)?;
        if queued.refused.is_none() {
            return Err(QueueError::NotRefused { name: queued.name });
        }
        self.remove(&queued)
    }

    /// Waits until no other program sends.
    pub(super) fn lock(&self) -> Result<Lock, QueueError> {
        let path = self.folder.join("lock");
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let locked = options.open(&path).and_then(|file| {
            file.lock()?;
            Ok(Lock { _file: file })
        });
        Ok(locked.map_err(|error| files::io_error(&path, &error))?)
    }

    /// Replaces the file of a claim: durable when it returns.
    pub(super) fn put(&self, queued: &Queued) -> Result<(), QueueError> {
        let path = self.path(&queued.name);
        Ok(files::replace_secret(&path, queued.to_text().as_bytes())?)
    }

    pub(super) fn remove(&self, queued: &Queued) -> Result<(), QueueError> {
        Ok(files::remove(&self.path(&queued.name))?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name).with_extension(EXTENSION)
    }

    fn names(&self) -> Result<Vec<String>, QueueError> {
        let unreadable = |error: std::io::Error| files::io_error(&self.folder, &error);
        let mut names = Vec::new();
        for item in fs::read_dir(&self.folder).map_err(unreadable)? {
            let path = item.map_err(unreadable)?.path();
            let is_claim = path.extension().is_some_and(|found| found == EXTENSION);
            // What a crash left of a file that was being replaced has another ending.
            if let Some(name) = path.file_stem().filter(|_| is_claim) {
                names.push(name.to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use proto::ids::TreeSize;
    use proto::refusal::Reason;

    use super::*;
    use crate::example::Ledger;
    use crate::pos::kept::example::draft;

    fn queue() -> (tempfile::TempDir, Queue) {
        let folder = tempfile::tempdir().unwrap();
        let queue = Queue::open(&folder.path().join("queue")).unwrap();
        (folder, queue)
    }

    #[test]
    fn a_claim_waits_in_a_file_of_its_own_and_is_found_again() {
        use std::os::unix::fs::PermissionsExt as _;
        let (_folder, queue) = queue();
        let late = queue.add(draft(9), UnixMillis::new(20)).unwrap();
        let early = queue.add(draft(8), UnixMillis::new(10)).unwrap();
        let mode = fs::metadata(queue.path(&late))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let names: Vec<String> = queue.list().unwrap().into_iter().map(|q| q.name).collect();
        assert_eq!(names, [early, late]);
    }

    #[test]
    fn one_kept_quote_does_not_wait_twice() {
        let (_folder, queue) = queue();
        let name = queue.add(draft(9), UnixMillis::new(10)).unwrap();
        let again = queue.add(draft(9), UnixMillis::new(20));
        assert!(matches!(again, Err(QueueError::AlreadyQueued { name: found }) if found == name));
    }

    #[test]
    fn a_queue_takes_so_many_and_no_more() {
        let (_folder, queue) = queue();
        for number in 0..QUEUED_MAX {
            fs::write(queue.path(&format!("{number:016x}")), "").unwrap();
        }
        let full = queue.add(draft(9), UnixMillis::new(10));
        assert!(matches!(full, Err(QueueError::Full)));
    }

    #[test]
    fn attempt_and_refusal_are_in_the_file() {
        let (_folder, queue) = queue();
        let name = queue.add(draft(9), UnixMillis::new(10)).unwrap();
        let entry = Ledger::furnished().receipt(4).proved.entry;
        let mut queued = queue.read(&name).unwrap();
        let attempt = Attempt {
            entry,
            after: TreeSize::new(7),
        };
        queued.attempt = Some(attempt.clone());
        queue.put(&queued).unwrap();
        assert_eq!(queue.read(&name).unwrap().attempt, Some(attempt));
        let kept = queue.forget(&name);
        assert!(matches!(kept, Err(QueueError::NotRefused { .. })));
        queued.attempt = None;
        queued.refused = Some(Reason::CoverageExpired);
        queue.put(&queued).unwrap();
        let read = queue.read(&name).unwrap();
        assert_eq!(read.refused, Some(Reason::CoverageExpired));
        queue.forget(&name).unwrap();
        assert!(matches!(queue.read(&name), Err(QueueError::NotQueued)));
    }

    #[test]
    fn a_torn_file_is_named_and_a_name_leads_nowhere_else() {
        let (_folder, queue) = queue();
        let name = queue.add(draft(9), UnixMillis::new(10)).unwrap();
        let text = fs::read_to_string(queue.path(&name)).unwrap();
        fs::write(queue.path(&name), &text[..text.len() - 1]).unwrap();
        let torn = queue.list();
        assert!(matches!(torn, Err(QueueError::Claim { name: found, .. }) if found == name));
        let outside = queue.read("../queue/x");
        assert!(matches!(outside, Err(QueueError::NotQueued)));
    }
}
