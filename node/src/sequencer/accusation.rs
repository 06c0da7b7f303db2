//! What a member without a vote can show others of what the voting members signed.

use std::convert::Infallible;

use proto::checkpoint::SignedCheckpoint;
use proto::entry::{Entry, VerifiedEntry};
use proto::evidence::{Appended, Evidence, Extension, GatherError};
use proto::hash;
use proto::ids::LeafIndex;
use proto::merkle::Peaks;
use proto::refusal::Reason;

use crate::snapshot::{ReadError, Snapshot};

/// Entries that came after a state of this ledger, and the checkpoint that has them.
pub(super) struct Accusation<'a> {
    /// The state before; `None` before entry 0.
    pub(super) before: Option<&'a Snapshot>,
    pub(super) entries: &'a [VerifiedEntry],
    pub(super) theirs: &'a SignedCheckpoint,
}

impl Accusation<'_> {
    /// That the checkpoint's map is not the one that its log gives.
    pub(super) fn wrong_map(&self) -> Result<Evidence, ReadError> {
        Ok(Evidence::WrongMap {
            extension: self.extension(),
            appended: self.appended()?,
        })
    }

    /// That an entry of the checkpoint's log breaks a rule.
    pub(super) fn rule(&self, index: LeafIndex, reason: Reason) -> Result<Evidence, ReadError> {
        Ok(Evidence::Rule {
            extension: self.extension(),
            appended: self.appended()?,
            index,
            reason,
        })
    }

    /// While this node catches up, the state before is vouched for by its own signature alone:
    /// the file then shows its operator what is wrong, and others nothing.
    fn extension(&self) -> Extension {
        let after = self.theirs.clone();
        match self.before {
            None => Extension::Founding(after),
            Some(before) => Extension::Checkpoints {
                before: before.checkpoint().clone(),
                after,
            },
        }
    }

    fn appended(&self) -> Result<Appended, ReadError> {
        let entries: Vec<Entry> = self
            .entries
            .iter()
            .map(|entry| (**entry.shared()).clone())
            .collect();
        let Some(before) = self.before else {
            let peaks = Peaks::default();
            let none = |_: &_| Err::<_, GatherError<Infallible>>(GatherError::State);
            let gathered = Appended::gather(&peaks, hash::empty(), entries.clone(), none);
            return Ok(gathered.unwrap_or_else(|_| Appended::bare(&peaks, entries)));
        };
        let (peaks, map_root) = (before.edge().peaks(), before.crown().root());
        let prove = |index: &_| before.map_proof(index);
        match Appended::gather(&peaks, map_root, entries.clone(), prove) {
            Ok(appended) => Ok(appended),
            Err(GatherError::Prove(error)) => Err(error),
            Err(_) => Ok(Appended::bare(&peaks, entries)),
        }
    }
}
