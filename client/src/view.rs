//! The last checkpoint that was verified, kept in a file: what makes a rollback or a fork of the
//! ledger visible to a client that was switched off in between.

use std::path::{Path, PathBuf};

use proto::checkpoint::{
    CheckpointError, SignedCheckpoint, SignedCheckpointError, VerifiedCheckpoint,
};
use proto::follower::{Advance, FollowError, Follower, FreshnessError};
use proto::ids::{TreeSize, UnixSeconds};
use proto::merkle::ConsistencyProof;
use proto::note::NOTE_BYTES_MAX;
use proto::roster::Roster;
use thiserror::Error;

use crate::connection::{CallError, Connection};
use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};
use crate::system;

/// The file in the state folder.
const FILE_NAME: &str = "checkpoint";

/// Why the view cannot be read, advanced or stored.
#[derive(Debug, Error)]
pub enum ViewError {
    /// The state folder cannot be used.
    #[error("state: {0}")]
    File(#[from] FileError),
    /// What is stored is not a checkpoint.
    #[error("the stored checkpoint: {0}")]
    StoredText(#[from] SignedCheckpointError),
    /// What is stored does not verify under the roster.
    #[error("the stored checkpoint: {0}")]
    Stored(#[from] CheckpointError),
    /// Nobody gave a newer checkpoint.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The checkpoint that was given contradicts what was seen before, or is no quorum's.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The newest checkpoint is too old.
    #[error(transparent)]
    Stale(#[from] FreshnessError),
}

impl Failure for ViewError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::File(error) => error.kind(),
            Self::StoredText(_) | Self::Stored(_) => FailureKind::Malformed,
            Self::Call(error) => error.kind(),
            Self::Follow(_) => FailureKind::Refused,
            Self::Stale(_) => FailureKind::Unavailable,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::StoredText(_) | Self::Stored(_) => Some(
                "it belongs to another roster or was damaged; without the file the next \
                 checkpoint is taken on the word of a quorum",
            ),
            Self::Follow(FollowError::Fork(_) | FollowError::Rollback { .. }) => {
                Some("keep the state folder: it is evidence, and the federation must see it")
            }
            Self::Call(error) => error.hint(),
            _ => None,
        }
    }
}

/// A verified view of one ledger that outlives the program, if it has a folder.
#[derive(Debug)]
pub struct View {
    follower: Follower,
    path: Option<PathBuf>,
}

impl View {
    /// A view that begins now and is not stored.
    #[must_use]
    pub const fn new(roster: Roster) -> Self {
        Self {
            follower: Follower::new(roster),
            path: None,
        }
    }

    /// Goes on from what the folder holds; makes the folder if it is not there.
    ///
    /// # Errors
    /// [`ViewError`] when what is stored cannot be read, or does not verify under the roster.
    pub fn open(roster: Roster, folder: &Path) -> Result<Self, ViewError> {
        files::create_folder(folder)?;
        let path = folder.join(FILE_NAME);
        let follower = match files::read(&path, NOTE_BYTES_MAX) {
            Ok(bytes) => Follower::resume(roster, &SignedCheckpoint::parse(&bytes)?)?,
            Err(FileError::Missing { .. }) => Follower::new(roster),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            follower,
            path: Some(path),
        })
    }

    /// What was verified last.
    #[must_use]
    pub const fn follower(&self) -> &Follower {
        &self.follower
    }

    /// Asks for the newest checkpoint with the proof that it extends the one held, verifies and
    /// stores it, and requires it to be fresh.
    ///
    /// # Errors
    /// [`ViewError`]; the view stays as it was.
    pub async fn advance(&mut self, connection: &Connection) -> Result<Advance, ViewError> {
        let latest = self.follower.latest();
        let held = latest.map_or(TreeSize::new(0), |latest| latest.size());
        // Nothing is proved about an empty log: the first view needs only the checkpoint.
        let (consistency, checkpoint) = if held == TreeSize::new(0) {
            (None, connection.checkpoint().await?)
        } else {
            let (consistency, checkpoint) = connection.consistency(held).await?;
            (Some(consistency), checkpoint)
        };
        let now = system::now().seconds();
        let advance = self.take(&checkpoint, consistency.as_ref(), now)?;
        self.follower.require_fresh(now)?;
        Ok(advance)
    }

    /// Takes what an audit verified as the new view. An audit needs no consistency proof: it has
    /// computed the root of the log at the size held itself.
    ///
    /// # Errors
    /// [`ViewError::Stored`] when it is not of the view's ledger, [`ViewError::File`] when it
    /// cannot be stored.
    pub fn settle(
        &mut self,
        roster: &Roster,
        audited: &VerifiedCheckpoint,
    ) -> Result<(), ViewError> {
        self.follower = Follower::resume(roster.clone(), audited.signed())?;
        match &self.path {
            Some(path) => Ok(files::replace(path, audited.signed().to_text().as_bytes())?),
            None => Ok(()),
        }
    }

    fn take(
        &mut self,
        checkpoint: &SignedCheckpoint,
        consistency: Option<&ConsistencyProof>,
        now: UnixSeconds,
    ) -> Result<Advance, ViewError> {
        let advance = self.follower.advance(checkpoint, consistency, now)?;
        if let (Some(path), false) = (&self.path, advance == Advance::Unchanged) {
            // Stored before anything is answered from it.
            files::replace(path, checkpoint.to_text().as_bytes())?;
        }
        Ok(advance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Ledger, coverage};

    fn now(ledger: &Ledger) -> UnixSeconds {
        ledger.checkpoint().verify(&ledger.roster).unwrap().time()
    }

    #[test]
    fn what_was_verified_outlives_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::furnished();
        let mut view = View::open(ledger.roster.clone(), folder.path()).unwrap();
        view.take(&ledger.checkpoint(), None, now(&ledger)).unwrap();
        drop(view);
        let mut view = View::open(ledger.roster.clone(), folder.path()).unwrap();
        let held = view.follower().latest().map(VerifiedCheckpoint::size);
        assert_eq!(held, Some(TreeSize::new(6)));
        let cut = Ledger::new();
        let rollback = view.take(&cut.checkpoint(), None, now(&ledger));
        let is_rollback = matches!(
            rollback,
            Err(ViewError::Follow(FollowError::Rollback { .. }))
        );
        assert!(is_rollback);
    }

    #[test]
    fn what_an_audit_found_becomes_the_view() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::furnished();
        let mut view = View::open(ledger.roster.clone(), folder.path()).unwrap();
        view.take(&ledger.checkpoint(), None, now(&ledger)).unwrap();
        ledger.append("amc", &coverage(7));
        let audited = ledger.checkpoint().verify(&ledger.roster).unwrap();
        view.settle(&ledger.roster, &audited).unwrap();
        let view = View::open(ledger.roster, folder.path()).unwrap();
        assert_eq!(view.follower().latest(), Some(&audited));
    }

    #[test]
    fn a_damaged_state_is_an_error_and_not_a_fresh_start() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::furnished();
        let mut text = ledger.checkpoint().to_text();
        text.replace_range(30..31, "7");
        files::replace(&folder.path().join(FILE_NAME), text.as_bytes()).unwrap();
        assert!(View::open(ledger.roster, folder.path()).is_err());
    }
}
