//! The last checkpoint that was verified, kept in a file: what makes a rollback or a fork of the
//! ledger visible to a client that was switched off in between, or asks another node than before.
//!
//! A node that shows an older state is passed over, and another is asked. A contradiction that
//! members have signed ends the work, and stays in a file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proto::checkpoint::{
    CheckpointError, SignedCheckpoint, SignedCheckpointError, VerifiedCheckpoint,
};
use proto::follower::{AdoptError, Advance, FollowError, Follower, FreshnessError};
use proto::ids::{MemberName, TreeSize, UnixSeconds};
use proto::merkle::ConsistencyProof;
use proto::note::NOTE_BYTES_MAX;
use proto::roster::{Roster, SignedRoster, SuccessionError};
use thiserror::Error;

use crate::connection::{Attempted, CallError, Connection, Verdict};
use crate::contradiction::Contradiction;
use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};
use crate::nodes::Manner;
use crate::rosters::Rosters;
use crate::seen::Seen;
use crate::session::Session;
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
    /// A roster that was learned does not follow the one before it.
    #[error(transparent)]
    Roster(#[from] SuccessionError),
    /// Nobody gave a newer checkpoint.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The checkpoint that was given does not follow what was seen before, or is no quorum's.
    #[error("{member}: {reason}")]
    Follow {
        /// The member whose node gave it.
        member: MemberName,
        /// Which check failed.
        reason: FollowError,
    },
    /// The newest checkpoint is too old.
    #[error("{member}: {reason}")]
    Stale {
        /// The member whose node gave it.
        member: MemberName,
        /// Its age.
        reason: FreshnessError,
    },
    /// Members have signed what cannot both be true.
    #[error(transparent)]
    Contradicted(#[from] Contradiction),
}

impl Failure for ViewError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::File(error) => error.kind(),
            Self::StoredText(_) | Self::Stored(_) | Self::Roster(_) => FailureKind::Malformed,
            Self::Call(error) => error.kind(),
            Self::Follow {
                reason: FollowError::Rollback { .. },
                ..
            }
            | Self::Stale { .. } => FailureKind::Unavailable,
            Self::Follow { .. } => FailureKind::Refused,
            Self::Contradicted(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::StoredText(_) | Self::Stored(_) => Some(
                "it belongs to another roster or was damaged; without the file the next \
                 checkpoint is taken on the word of a quorum",
            ),
            Self::Follow {
                reason: FollowError::Rollback { .. },
                ..
            } => Some("every node that answers is behind what was seen before: try again later"),
            Self::Follow {
                reason: FollowError::Growth(_),
                ..
            } => Some("keep the state folder: the federation must see it"),
            Self::Call(error) => error.hint(),
            Self::Contradicted(error) => error.hint(),
            _ => None,
        }
    }
}

impl Attempted for ViewError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::Call(error) => error.verdict(),
            // It lags, or was put back to an old state: that alone makes nobody guilty.
            Self::Follow {
                reason: FollowError::Rollback { .. },
                ..
            } => Verdict::Failed(Some(Duration::ZERO)),
            Self::Stale { .. } => Verdict::Failed(None),
            Self::Follow { .. } => Verdict::Lied,
            Self::File(_)
            | Self::StoredText(_)
            | Self::Stored(_)
            | Self::Roster(_)
            | Self::Contradicted(_) => Verdict::Final,
        }
    }
}

/// A verified view of one ledger that outlives the program, if it has a folder.
#[derive(Debug)]
pub struct View {
    follower: Follower,
    /// The rosters that follow the follower's, until a checkpoint under the last of them comes.
    successors: Vec<SignedRoster>,
    folder: Option<PathBuf>,
    seen: Arc<Seen>,
}

/// A checkpoint that a node gave, and what the view becomes with it.
struct Candidate {
    signed: SignedCheckpoint,
    follower: Follower,
    advance: Advance,
}

impl View {
    /// A view that begins now and is not stored.
    #[must_use]
    pub fn new(roster: Roster) -> Self {
        Self {
            follower: Follower::new(roster),
            successors: Vec::new(),
            folder: None,
            seen: Arc::default(),
        }
    }

    /// Goes on from what the folder holds. The folder is made when there is something to store.
    ///
    /// # Errors
    /// [`ViewError`] when what is stored cannot be read, or does not verify under the roster.
    pub fn open(roster: Roster, folder: &Path) -> Result<Self, ViewError> {
        Self::open_among(&Rosters::new(roster), folder)
    }

    /// The same where several rosters are known: what is stored verifies under that of its time,
    /// and the next checkpoint is asked for under the newest.
    ///
    /// # Errors
    /// As [`View::open`], when it verifies under none of them.
    pub fn open_among(rosters: &Rosters, folder: &Path) -> Result<Self, ViewError> {
        let newest = || rosters.newest().clone();
        let follower = match files::read(&folder.join(FILE_NAME), NOTE_BYTES_MAX) {
            Ok(bytes) => {
                let stored = SignedCheckpoint::parse(&bytes)?;
                let mut known = rosters.newest_first().cloned();
                let resumed = known.find_map(|it| Follower::resume(it, &stored).ok());
                match resumed {
                    Some(follower) => follower,
                    None => Follower::resume(newest(), &stored)?,
                }
            }
            Err(FileError::Missing { .. }) => Follower::new(newest()),
            Err(error) => return Err(error.into()),
        };
        Ok(Self {
            successors: rosters.after(follower.roster()).to_vec(),
            seen: Arc::new(Seen::new(follower.latest(), Some(folder))),
            follower,
            folder: Some(folder.to_owned()),
        })
    }

    /// What was verified last.
    #[must_use]
    pub const fn follower(&self) -> &Follower {
        &self.follower
    }

    /// The same session, which compares what nodes show with this view, and moves with it.
    #[must_use]
    pub fn compared_by(&self, session: Session) -> Session {
        session.comparing_with(self.seen.clone())
    }

    /// Asks the nodes for the newest checkpoint with the proof that it extends the one held, until
    /// one gives it; verifies and stores it, and requires it to be fresh.
    ///
    /// # Errors
    /// [`ViewError`]; the view stays as it was.
    pub async fn advance(&mut self, session: &Session) -> Result<Advance, ViewError> {
        let (held, seen, successors) = (&self.follower, &self.seen, &self.successors);
        let asked = session.ask(Manner::READ, |connection| async move {
            let (signed, consistency) = newest(&connection, held).await?;
            let now = system::now().seconds();
            let member = connection.member();
            let shown = (signed, consistency);
            let candidate = follow(held, successors, seen, member, shown, now)?;
            let fresh = candidate.follower.require_fresh(now);
            fresh.map_err(|reason| ViewError::Stale {
                member: member.clone(),
                reason,
            })?;
            Ok::<_, ViewError>(candidate)
        });
        self.keep(asked.await?)
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
        self.keep(Candidate {
            signed: audited.signed().clone(),
            follower: Follower::resume(roster.clone(), audited.signed())?,
            advance: Advance::First,
        })?;
        Ok(())
    }

    /// Stored before anything is answered from it.
    fn keep(&mut self, candidate: Candidate) -> Result<Advance, ViewError> {
        let Candidate {
            signed,
            follower,
            advance,
        } = candidate;
        if let (Some(folder), false) = (&self.folder, advance == Advance::Unchanged) {
            files::create_folder(folder)?;
            files::replace(&folder.join(FILE_NAME), signed.to_text().as_bytes())?;
        }
        self.successors
            .retain(|it| it.admitted().epoch() > follower.roster().epoch());
        self.follower = follower;
        if let Some(latest) = self.follower.latest() {
            self.seen.advance(latest);
        }
        Ok(advance)
    }
}

/// The newest checkpoint of a node, with the proof that it extends what is held. Of a node whose
/// log is shorter than that, the checkpoint alone: it may be evidence.
async fn newest(
    connection: &Connection,
    held: &Follower,
) -> Result<(SignedCheckpoint, Option<ConsistencyProof>), CallError> {
    let size = held
        .latest()
        .map_or(TreeSize::new(0), VerifiedCheckpoint::size);
    // Nothing is proved about an empty log: the first view needs only the checkpoint.
    if size == TreeSize::new(0) {
        return Ok((connection.checkpoint().await?, None));
    }
    match connection.consistency(size).await {
        Ok((consistency, checkpoint)) => Ok((checkpoint, Some(consistency))),
        Err(behind @ CallError::Behind { .. }) => {
            let checkpoint = connection.checkpoint().await?;
            // It may have caught up in between, and then the proof is missing.
            match checkpoint.claimed().size < size {
                true => Ok((checkpoint, None)),
                false => Err(behind),
            }
        }
        Err(error) => Err(error),
    }
}

/// What the view becomes with this checkpoint of a member's node.
fn follow(
    held: &Follower,
    successors: &[SignedRoster],
    seen: &Seen,
    member: &MemberName,
    (signed, consistency): (SignedCheckpoint, Option<ConsistencyProof>),
    now: UnixSeconds,
) -> Result<Candidate, ViewError> {
    let mut follower = held.clone();
    let consistency = consistency.as_ref();
    let advanced = match successors.is_empty() {
        true => follower.advance(&signed, consistency, now),
        false => match follower.adopt(successors, &signed, consistency, now) {
            Ok(advance) => Ok(advance),
            Err(AdoptError::Follow(error)) => Err(error),
            Err(AdoptError::Succession(error)) => return Err(error.into()),
        },
    };
    match advanced {
        Ok(advance) => Ok(Candidate {
            signed,
            follower,
            advance,
        }),
        Err(reason) => {
            if let (FollowError::Fork(_) | FollowError::Rollback { .. }, Ok(shown)) =
                (&reason, signed.verify(held.roster()))
                && let Some(found) = seen.contradiction(member, &shown)
            {
                return Err(found.into());
            }
            let member = member.clone();
            Err(ViewError::Follow { member, reason })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{Ledger, coverage};

    fn now(ledger: &Ledger) -> UnixSeconds {
        ledger.checkpoint().verify(&ledger.roster).unwrap().time()
    }

    /// Gives the view a checkpoint as a member's node shows it.
    fn show(view: &mut View, signed: SignedCheckpoint, now: UnixSeconds) -> Result<(), ViewError> {
        let member = "amc".parse().unwrap();
        let candidate = follow(
            &view.follower,
            &[],
            &view.seen,
            &member,
            (signed, None),
            now,
        )?;
        view.keep(candidate).map(|_| ())
    }

    #[test]
    fn what_was_verified_outlives_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::furnished();
        let mut view = View::open(ledger.roster.clone(), folder.path()).unwrap();
        show(&mut view, ledger.checkpoint(), now(&ledger)).unwrap();
        drop(view);
        let view = View::open(ledger.roster.clone(), folder.path()).unwrap();
        let held = view.follower().latest().map(VerifiedCheckpoint::size);
        assert_eq!(held, Some(TreeSize::new(6)));
        assert_eq!(view.seen.size(), TreeSize::new(6));
    }

    #[test]
    fn a_node_that_shows_an_older_state_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::furnished();
        let mut view = View::open(ledger.roster.clone(), folder.path()).unwrap();
        show(&mut view, ledger.checkpoint(), now(&ledger)).unwrap();
        let cut = Ledger::new();
        let older = show(&mut view, cut.checkpoint(), now(&ledger)).unwrap_err();
        assert_eq!(older.verdict(), Verdict::Failed(Some(Duration::ZERO)));
        assert_eq!(older.kind(), FailureKind::Unavailable);
        assert_eq!(view.seen.found(), None);
        assert!(!folder.path().join("evidence").exists());
        assert_eq!(view.seen.size(), TreeSize::new(6));
    }

    #[test]
    fn a_smaller_log_that_was_signed_later_is_evidence_and_ends_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::furnished();
        let mut view = View::open(ledger.roster.clone(), folder.path()).unwrap();
        show(&mut view, ledger.checkpoint(), now(&ledger)).unwrap();
        let shown = Ledger::new().cosigned_later(&["amc", "amo", "mutuelle"], 100);
        let refused = show(&mut view, shown, now(&ledger)).unwrap_err();
        assert_eq!(refused.verdict(), Verdict::Final);
        assert_eq!(refused.kind(), FailureKind::Contradicted);
        assert!(folder.path().join("evidence/rollback-1.txt").exists());
        assert!(view.seen.found().is_some());
        assert_eq!(
            view.seen.size(),
            TreeSize::new(6),
            "nothing of it is believed"
        );
    }

    #[test]
    fn what_an_audit_found_becomes_the_view() {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::furnished();
        let mut view = View::open(ledger.roster.clone(), folder.path()).unwrap();
        show(&mut view, ledger.checkpoint(), now(&ledger)).unwrap();
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
