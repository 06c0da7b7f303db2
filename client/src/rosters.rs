//! Who the members are now: the rosters from the one that is trusted to the newest that was
//! learned, kept in the state folder.
//!
//! The roster file is what a client is given once. Any member's node shows the rosters after it;
//! each is believed because a quorum of the one before signed it and the log has it
//! ([`Lineage`]). A till that was off for years goes on by itself, as long as one member that it
//! knows still has the key it had.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::ids::MemberName;
use proto::lineage::{LINEAGE_ROSTERS_MAX, Lineage, LineageError, VerifiedLineage};
use proto::note::NOTE_BYTES_MAX;
use proto::roster::{Roster, SignedRoster};
use thiserror::Error;

use crate::connection::{Attempted, CallError, Connection, Verdict};
use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};
use crate::nodes::Manner;
use crate::session::Session;

/// The folder in the state folder.
const FOLDER: &str = "rosters";
/// How long a command asks for a newer roster before it goes on with what it has.
pub const ROSTER_QUESTION_MAX: Duration = Duration::from_secs(3);

/// Why nothing newer was learned.
#[derive(Debug, Error)]
pub enum LearnError {
    /// The state folder cannot be used.
    #[error("state: {0}")]
    File(#[from] FileError),
    /// Nobody answers.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What a node shows does not lead to a roster in force.
    #[error("{member}: {reason}")]
    Lineage {
        /// The member whose node it is.
        member: MemberName,
        /// Which check failed.
        reason: LineageError,
    },
}

impl Failure for LearnError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::File(error) => error.kind(),
            Self::Call(error) => error.kind(),
            Self::Lineage { .. } => FailureKind::Refused,
        }
    }
}

impl Attempted for LearnError {
    fn verdict(&self) -> Verdict {
        match self {
            Self::File(_) => Verdict::Final,
            Self::Call(error) => error.verdict(),
            // A roster may come into force between two answers.
            Self::Lineage { .. } => Verdict::Failed(None),
        }
    }
}

/// The rosters from the trusted one on.
#[derive(Debug, Clone)]
pub struct Rosters {
    trusted: Roster,
    successors: Vec<SignedRoster>,
    newest: Roster,
    folder: Option<PathBuf>,
}

impl Rosters {
    /// The trusted roster alone, and nothing is kept.
    #[must_use]
    pub fn new(trusted: Roster) -> Self {
        Self {
            newest: trusted.clone(),
            trusted,
            successors: Vec::new(),
            folder: None,
        }
    }

    /// The trusted roster and what the state folder has after it. What does not follow there, such
    /// as another ledger's, is left aside.
    ///
    /// # Errors
    /// [`FileError`] when the folder cannot be read.
    pub fn open(trusted: Roster, state: &Path) -> Result<Self, FileError> {
        let mut rosters = Self::new(trusted);
        let folder = state.join(FOLDER);
        while rosters.successors.len() < LINEAGE_ROSTERS_MAX
            && let Some(epoch) = rosters.newest.epoch().next()
        {
            let bytes = match files::read(&folder.join(epoch.to_string()), NOTE_BYTES_MAX) {
                Ok(bytes) => bytes,
                Err(FileError::Missing { .. }) => break,
                Err(error) => return Err(error),
            };
            let Ok(signed) = SignedRoster::parse(&bytes) else {
                break;
            };
            let Ok(next) = signed.verify_successor(&rosters.newest) else {
                break;
            };
            rosters.successors.push(signed);
            rosters.newest = next;
        }
        rosters.folder = Some(folder);
        Ok(rosters)
    }

    /// The newest roster that is known.
    #[must_use]
    pub const fn newest(&self) -> &Roster {
        &self.newest
    }

    /// All of them, the newest first: an old receipt verifies under the roster of its time.
    pub fn newest_first(&self) -> impl Iterator<Item = &Roster> {
        let known = self.successors.iter().map(SignedRoster::admitted);
        known.rev().chain([&self.trusted])
    }

    /// The rosters after this one, in their order.
    #[must_use]
    pub fn after(&self, roster: &Roster) -> &[SignedRoster] {
        let is_later = |it: &&SignedRoster| it.admitted().epoch() <= roster.epoch();
        let known = self.successors.iter().take_while(is_later).count();
        self.successors.get(known..).unwrap_or_default()
    }

    /// Whether any of them lists this member.
    #[must_use]
    pub fn ever_had(&self, name: &MemberName) -> bool {
        self.newest_first().any(|it| it.member(name).is_some())
    }

    /// Asks the members' nodes for rosters after the newest one, until one answers, and keeps what
    /// is new. Whether there was anything.
    ///
    /// # Errors
    /// [`LearnError`]; what was known stays.
    pub async fn learn(&mut self, session: &Session) -> Result<bool, LearnError> {
        let known = &self.newest;
        let asked = session.ask(Manner::READ, |connection| async move {
            follow(&connection, known.clone()).await
        });
        let Some(verified) = asked.await? else {
            return Ok(false);
        };
        if let Some(folder) = &self.folder {
            files::create_folder(folder)?;
            for signed in &verified.successors {
                let file = folder.join(signed.admitted().epoch().to_string());
                files::replace(&file, signed.to_text().as_bytes())?;
            }
        }
        self.successors.extend(verified.successors);
        self.newest = verified.roster;
        Ok(true)
    }
}

/// The rosters that one node shows after the one that is known.
async fn follow(
    connection: &Connection,
    known: Roster,
) -> Result<Option<VerifiedLineage>, LearnError> {
    let wrong = |reason| LearnError::Lineage {
        member: connection.member().clone(),
        reason,
    };
    let mut lineage = Lineage::from(known);
    while let Some(wanted) = lineage.wanted() {
        match connection.roster(wanted).await {
            Ok((proved, checkpoint)) => lineage.take(proved, checkpoint).map_err(wrong)?,
            Err(CallError::NotFound { .. }) => break,
            Err(error) => return Err(error.into()),
        }
    }
    lineage.end().map_err(wrong)
}

#[cfg(test)]
mod tests {
    use proto::roster::MemberChange;

    use super::*;
    use crate::example::{Ledger, secret};

    #[test]
    fn what_was_learned_is_there_in_the_next_run_and_nothing_else_is_believed() {
        let ledger = Ledger::furnished();
        let (trusted, state) = (ledger.roster.clone(), tempfile::tempdir().unwrap());
        let known = |name: &str| {
            let rosters = Rosters::open(trusted.clone(), state.path()).unwrap();
            rosters.newest().member(&name.parse().unwrap()).is_some()
        };
        let gone = trusted.member(&"mutuelle".parse().unwrap()).unwrap();
        let next = trusted.after_changes(&[MemberChange::Leave(gone.name.clone())]);
        let next = next.unwrap();
        let signers = trusted.voting_members();
        let lines = signers.map(|it| next.sign(&it.name, &secret(it.name.as_str())));
        let lines: Vec<_> = lines.collect();
        let signed = SignedRoster::new(next.clone(), lines.clone()).unwrap();
        let folder = state.path().join(FOLDER);
        files::create_folder(&folder).unwrap();
        assert!(known(gone.name.as_str()));
        files::replace(&folder.join("1"), signed.to_text().as_bytes()).unwrap();
        assert!(!known(gone.name.as_str()));
        let rosters = Rosters::open(trusted.clone(), state.path()).unwrap();
        assert_eq!(rosters.newest_first().count(), 2);
        assert_eq!(rosters.after(&trusted), [signed]);
        assert!(rosters.after(&next).is_empty() && rosters.ever_had(&gone.name));
        // A file that a quorum did not sign is as if it were not there.
        let stranger = proto::signing::SecretKey::from_seed(&[77; 32]);
        let first = &trusted.voting_members().next().unwrap().name;
        let forged = SignedRoster::new(next.clone(), vec![next.sign(first, &stranger)]).unwrap();
        files::replace(&folder.join("1"), forged.to_text().as_bytes()).unwrap();
        assert!(known(gone.name.as_str()));
    }
}
