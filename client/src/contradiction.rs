//! Two checkpoints that members signed and that cannot both be of one honest ledger.
//!
//! A node that is merely behind shows an older state: it is passed over. What is here is more: two
//! texts with the members' own signatures, which anybody with the roster can check. They are kept
//! in a file beside the last checkpoint that was seen, in the form of protocol.md, section 22.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proto::checkpoint::VerifiedCheckpoint;
use proto::evidence::Evidence;
use proto::follower::Fork;
use proto::ids::{MemberName, TreeSize};
use thiserror::Error;

use crate::failure::{Failure, FailureKind};
use crate::files;

/// The folder of evidence in the state folder.
const EVIDENCE_FOLDER: &str = "evidence";

/// What two checkpoints show together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContradictionKind {
    /// One size, other roots.
    Fork,
    /// The second is smaller and was cosigned later, by one who had cosigned the first.
    Rollback,
}

impl ContradictionKind {
    /// The word for it in the file and its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fork => "fork",
            Self::Rollback => "rollback",
        }
    }
}

/// A node showed a ledger that contradicts the one seen before. Nothing of it is believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{member} shows a ledger that contradicts the one seen before ({} at {size} entries, signed by \
     {}); {}",
    .kind.as_str(), names(.culprits), kept(.evidence.as_deref())
)]
pub struct Contradiction {
    /// The member whose node showed it.
    pub member: MemberName,
    /// What it is.
    pub kind: ContradictionKind,
    /// The size of the checkpoint that was shown.
    pub size: TreeSize,
    /// The members that signed both sides, which an honest one never does.
    pub culprits: Vec<MemberName>,
    /// The file that has both checkpoints; `None` when there is no folder, or it cannot be written.
    pub evidence: Option<PathBuf>,
}

impl Failure for Contradiction {
    fn kind(&self) -> FailureKind {
        FailureKind::Contradicted
    }

    fn hint(&self) -> Option<&'static str> {
        Some("keep the file and tell the federation: more of its members lied than may")
    }
}

fn names(culprits: &[MemberName]) -> String {
    let mut text = String::new();
    for (place, name) in culprits.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let _ = write!(text, "{comma}{name}");
    }
    text
}

fn kept(evidence: Option<&Path>) -> String {
    match evidence {
        Some(path) => format!("evidence kept in {}", path.display()),
        None => "the evidence could not be kept".to_owned(),
    }
}

impl Contradiction {
    /// What is contradictory between the checkpoint seen before and one that `member` shows, if
    /// anything is. The evidence is durable in the state folder when this returns.
    pub(crate) fn between(
        seen: &VerifiedCheckpoint,
        shown: &VerifiedCheckpoint,
        member: &MemberName,
        state: Option<&Path>,
    ) -> Option<Self> {
        let (kind, culprits) = match Fork::between(seen, shown) {
            Some(fork) => {
                let culprits = fork.culprits().into_iter().cloned().collect();
                (ContradictionKind::Fork, culprits)
            }
            None => (ContradictionKind::Rollback, rolled_back(seen, shown)?),
        };
        let size = shown.size();
        let text = text(kind, seen, shown);
        let evidence = state.and_then(|state| keep(state, kind, size, &text));
        Some(Self {
            member: member.clone(),
            kind,
            size,
            culprits,
            evidence,
        })
    }
}

/// The members that cosigned a smaller log after a larger one; `None` when there is none.
fn rolled_back(seen: &VerifiedCheckpoint, shown: &VerifiedCheckpoint) -> Option<Vec<MemberName>> {
    if shown.origin() != seen.origin() || shown.size() >= seen.size() {
        return None;
    }
    let went_back = |name: &&MemberName| seen.cosigned_at(name) < shown.cosigned_at(name);
    let culprits: Vec<_> = seen.signers().filter(went_back).cloned().collect();
    (!culprits.is_empty()).then_some(culprits)
}

fn text(kind: ContradictionKind, seen: &VerifiedCheckpoint, shown: &VerifiedCheckpoint) -> String {
    let (seen, shown) = (seen.signed().clone(), shown.signed().clone());
    let evidence = match kind {
        ContradictionKind::Fork => Evidence::Fork {
            first: seen,
            second: shown,
        },
        ContradictionKind::Rollback => Evidence::Rollback {
            larger: seen,
            smaller: shown,
        },
    };
    evidence.to_text()
}

/// The same evidence has the same name: a node that shows it again adds no file.
fn keep(state: &Path, kind: ContradictionKind, size: TreeSize, text: &str) -> Option<PathBuf> {
    let folder = state.join(EVIDENCE_FOLDER);
    files::create_folder(&folder).ok()?;
    let path = folder.join(format!("{}-{size}.txt", kind.as_str()));
    files::replace(&path, text.as_bytes()).ok()?;
    Some(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::example::{Ledger, coverage};

    const ALL: [&str; 4] = ["amc", "amo", "mutuelle", "opticiens"];

    /// A checkpoint of this ledger, cosigned so much later than it was made.
    fn later(ledger: &Ledger, signers: &[&str], seconds: u64) -> VerifiedCheckpoint {
        let signed = ledger.cosigned_later(signers, seconds);
        signed.verify(&ledger.roster).unwrap()
    }

    fn between(seen: &VerifiedCheckpoint, shown: &VerifiedCheckpoint) -> Option<Contradiction> {
        Contradiction::between(seen, shown, &"amc".parse().unwrap(), None)
    }

    #[test]
    fn an_older_state_is_no_contradiction_and_a_later_signature_under_it_is() {
        let old = Ledger::furnished();
        let mut new = Ledger::furnished();
        new.append("amc", &coverage(7));
        let seen = later(&new, &ALL, 60);
        assert_eq!(between(&seen, &later(&old, &ALL, 0)), None);
        assert_eq!(between(&seen, &later(&old, &ALL, 60)), None);
        let same_moment = later(&new, &ALL, 0).time().get() - later(&old, &ALL, 0).time().get();
        assert_eq!(between(&seen, &later(&old, &ALL, 60 + same_moment)), None);
        let shown = later(&old, &["amc", "amo", "opticiens"], 100);
        let found = between(&seen, &shown).unwrap();
        assert_eq!(found.kind, ContradictionKind::Rollback);
        assert_eq!(names(&found.culprits), "amc, amo, opticiens");
        // The log may grow.
        assert_eq!(between(&shown, &seen), None);
    }

    #[test]
    fn two_states_of_one_size_are_kept_with_both_signatures() {
        let (mut one, mut two) = (Ledger::furnished(), Ledger::furnished());
        one.append("amc", &coverage(7));
        two.append("amc", &coverage(8));
        let (seen, shown) = (later(&one, &ALL, 0), later(&two, &ALL[..3], 0));
        assert_eq!(between(&seen, &seen), None);
        let folder = tempfile::tempdir().unwrap();
        let member = "opticiens".parse().unwrap();
        let found = Contradiction::between(&seen, &shown, &member, Some(folder.path())).unwrap();
        assert_eq!(names(&found.culprits), "amc, amo, mutuelle");
        let path = folder.path().join("evidence/fork-7.txt");
        assert_eq!(found.evidence, Some(path.clone()));
        let kept = Evidence::parse(&fs::read_to_string(&path).unwrap()).unwrap();
        let want = Evidence::Fork {
            first: seen.signed().clone(),
            second: shown.signed().clone(),
        };
        assert_eq!(kept, want);
        assert!(
            found
                .to_string()
                .ends_with(&format!("evidence kept in {}", path.display()))
        );
    }
}
