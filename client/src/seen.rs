//! The last checkpoint that was verified, as every call of a session compares with it, whichever
//! node answers.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::checkpoint::VerifiedCheckpoint;
use proto::ids::{MemberName, TreeSize};

use crate::contradiction::Contradiction;

/// What was seen of a ledger so far: shared by a view, which alone moves it, and by sessions.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    latest: Mutex<Option<VerifiedCheckpoint>>,
    contradiction: Mutex<Option<Contradiction>>,
    state: Option<PathBuf>,
}

impl Seen {
    /// What was seen last, and the state folder, in which evidence is kept.
    pub(crate) fn new(latest: Option<&VerifiedCheckpoint>, state: Option<&Path>) -> Self {
        Self {
            latest: Mutex::new(latest.cloned()),
            contradiction: Mutex::default(),
            state: state.map(Path::to_owned),
        }
    }

    /// How long the log was.
    pub(crate) fn size(&self) -> TreeSize {
        let latest = locked(&self.latest);
        latest
            .as_ref()
            .map_or(TreeSize::new(0), VerifiedCheckpoint::size)
    }

    /// What a view has verified to follow what was seen before.
    pub(crate) fn advance(&self, latest: &VerifiedCheckpoint) {
        *locked(&self.latest) = Some(latest.clone());
    }

    /// What is contradictory between what was seen and what a member's node shows. It is remembered.
    pub(crate) fn contradiction(
        &self,
        member: &MemberName,
        shown: &VerifiedCheckpoint,
    ) -> Option<Contradiction> {
        let seen = locked(&self.latest).clone()?;
        let found = Contradiction::between(&seen, shown, member, self.state.as_deref())?;
        *locked(&self.contradiction) = Some(found.clone());
        Some(found)
    }

    /// The contradiction that was found last, if there was one.
    pub(crate) fn found(&self) -> Option<Contradiction> {
        locked(&self.contradiction).clone()
    }
}

/// A panic elsewhere, while the lock was held, leaves what was seen.
fn locked<T>(one: &Mutex<T>) -> MutexGuard<'_, T> {
    one.lock().unwrap_or_else(PoisonError::into_inner)
}
