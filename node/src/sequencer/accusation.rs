//! What a member can show others of what voting members signed.

use std::convert::Infallible;

use proto::batch::SignedHeader;
use proto::checkpoint::SignedCheckpoint;
use proto::entry::{Entry, VerifiedEntry};
use proto::evidence::{Appended, BatchLink, Evidence, Extension, GatherError};
use proto::hash;
use proto::ids::LeafIndex;
use proto::merkle::Peaks;
use proto::refusal::Reason;
use proto::wire::batch::BatchRecord;

use super::checking::BatchFault;
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
        if let Some(before) = self.before {
            return appended_after(before, entries);
        }
        let peaks = Peaks::default();
        let none = |_: &_| Err::<_, GatherError<Infallible>>(GatherError::State);
        let gathered = Appended::gather(&peaks, hash::empty(), entries.clone(), none);
        Ok(gathered.unwrap_or_else(|_| Appended::bare(&peaks, entries)))
    }
}

/// Entries with what shows that they follow a state.
fn appended_after(before: &Snapshot, entries: Vec<Entry>) -> Result<Appended, ReadError> {
    let (peaks, map_root) = (before.edge().peaks(), before.crown().root());
    let prove = |index: &_| before.map_proof(index);
    match Appended::gather(&peaks, map_root, entries.clone(), prove) {
        Ok(appended) => Ok(appended),
        Err(GatherError::Prove(error)) => Err(error),
        Err(_) => Ok(Appended::bare(&peaks, entries)),
    }
}

/// What a batch that was refused shows to others about its leader, if the roster alone is enough
/// to see it. `last` is the header of the newest batch in this ledger, `before` the state there.
///
/// # Errors
/// [`ReadError`] when the own ledger cannot be read.
pub(crate) fn of_refused(
    record: &BatchRecord,
    fault: &BatchFault,
    last: Option<&SignedHeader>,
    before: &Snapshot,
) -> Result<Option<Evidence>, ReadError> {
    let link = last.map(|last| BatchLink {
        leader: record.leader.clone(),
        previous: *last.claimed(),
        header: record.header.clone(),
    });
    let evidence = match (fault, link) {
        (BatchFault::TwoHeaders { other }, _) => Evidence::TwoHeaders {
            leader: record.leader.clone(),
            first: SignedHeader::clone(other),
            second: record.header.clone(),
        },
        (BatchFault::Dated, Some(batch)) => Evidence::BackDated { batch, entry: None },
        (BatchFault::Roots { .. }, Some(batch)) => {
            let entries = record.entries.iter().map(|(entry, _)| entry.clone());
            Evidence::WrongMap {
                extension: Extension::Batch(batch),
                appended: appended_after(before, entries.collect())?,
            }
        }
        _ => return Ok(None),
    };
    // Where it convinces nobody it is none: a clock, or a log root, is this node's word alone.
    let verified = evidence.verify(before.roster(), &mut |_| {});
    Ok(verified.is_ok().then_some(evidence))
}
