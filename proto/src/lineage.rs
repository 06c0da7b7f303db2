//! From a roster that one trusts to the one in force: how whoever was away learns who the members
//! are now, from anybody, believing nobody.
//!
//! Each roster is signed by a quorum of the one before it. The last one stands in the log, under a
//! checkpoint that its own quorum vouches for: a roster that was signed and never came into force
//! is none. It names the ones before by their hashes, so they need no proof of their own.

use thiserror::Error;

use crate::attestation::{Attestation, ShapeError};
use crate::checkpoint::{CheckpointError, SignedCheckpoint, VerifiedCheckpoint};
use crate::entry::Entry;
use crate::receipt::{EntryProof, ReceiptError};
use crate::roster::{Epoch, Roster, SignedRoster, SuccessionError};

/// Most rosters that are followed at a time: of a federation that changes each week, those of
/// twenty years.
pub const LINEAGE_ROSTERS_MAX: usize = 1024;

/// Why rosters do not lead from the one that is trusted to the one in force.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LineageError {
    /// The entry is none that could have a roster.
    #[error("the entry with the roster: {0}")]
    Shape(#[from] ShapeError),
    /// The entry says something else.
    #[error("the entry has no roster")]
    NotARoster,
    /// A roster does not follow the one before it.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// No quorum of the last roster vouches for the checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The last roster is not in the log.
    #[error("the entry with the roster: {0}")]
    Receipt(#[from] ReceiptError),
    /// There are more rosters than anybody needs.
    #[error("more than {LINEAGE_ROSTERS_MAX} rosters follow the one that is trusted")]
    TooMany,
}

/// The rosters that follow the one that is trusted, as they come in.
#[derive(Debug, Clone)]
pub struct Lineage {
    roster: Roster,
    successors: Vec<SignedRoster>,
    last: Option<(EntryProof, SignedCheckpoint)>,
}

/// Rosters that lead to the one in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedLineage {
    /// The roster in force.
    pub roster: Roster,
    /// The rosters after the trusted one, in their order; the last is the one in force.
    pub successors: Vec<SignedRoster>,
    /// The checkpoint of the log that the last one stands in.
    pub checkpoint: VerifiedCheckpoint,
}

impl Lineage {
    /// Begins with the roster that is trusted.
    #[must_use]
    pub const fn from(trusted: Roster) -> Self {
        Self {
            roster: trusted,
            successors: Vec::new(),
            last: None,
        }
    }

    /// Which roster is asked for next; `None` after the last that there can be.
    #[must_use]
    pub const fn wanted(&self) -> Option<Epoch> {
        self.roster.epoch().next()
    }

    /// Takes the next roster, with the place of its entry under a checkpoint.
    ///
    /// # Errors
    /// [`LineageError`] when it does not follow; what was taken before stays.
    pub fn take(
        &mut self,
        proved: EntryProof,
        checkpoint: SignedCheckpoint,
    ) -> Result<(), LineageError> {
        if self.successors.len() == LINEAGE_ROSTERS_MAX {
            return Err(LineageError::TooMany);
        }
        let signed = roster_of(&proved.entry)?;
        self.roster = signed.verify_successor(&self.roster)?;
        self.successors.push(signed);
        self.last = Some((proved, checkpoint));
        Ok(())
    }

    /// The roster in force, once nobody has a later one; `None` if that is the trusted one.
    ///
    /// # Errors
    /// [`LineageError::Checkpoint`] or [`LineageError::Receipt`] when the last roster is not shown
    /// to be in the log.
    pub fn end(self) -> Result<Option<VerifiedLineage>, LineageError> {
        let Some((proved, checkpoint)) = self.last else {
            return Ok(None);
        };
        let checkpoint = checkpoint.verify(&self.roster)?;
        proved.verify(&checkpoint, &mut |_| {})?;
        Ok(Some(VerifiedLineage {
            roster: self.roster,
            successors: self.successors,
            checkpoint,
        }))
    }
}

fn roster_of(entry: &Entry) -> Result<SignedRoster, LineageError> {
    match Attestation::read(entry.header())? {
        Attestation::Roster(signed) => Ok(signed),
        _ => Err(LineageError::NotARoster),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::entry::Entry;
    use crate::hash::{self, Hash};
    use crate::ids::{LeafIndex, RequestId, TreeSize, UnixMillis, UnixSeconds};
    use crate::merkle::InclusionProof;
    use crate::roster::MemberChange;
    use crate::roster::example::{federation, name, secret};

    /// An entry with the roster, alone in a log that these members vouch for.
    fn entered(signed: &SignedRoster, vouch: &[u8]) -> (EntryProof, SignedCheckpoint) {
        let attestation = Attestation::Roster(signed.clone());
        let id = RequestId::new(UnixMillis::new(1), [0; 10]);
        let header = attestation.header(secret(0).public(), id);
        let origin = signed.admitted().origin();
        let entry = Entry::sign(&header, origin, &secret(0)).unwrap();
        let checkpoint = Checkpoint {
            origin: origin.clone(),
            size: TreeSize::new(1),
            log_root: entry.leaf_hash(),
            map_root: hash::empty(),
        };
        let at = UnixSeconds::new(9);
        let lines = vouch
            .iter()
            .map(|it| checkpoint.cosign(&name(*it), &secret(*it), at));
        let lines = lines.collect();
        let proved = EntryProof {
            entry: (*entry).clone(),
            index: LeafIndex::new(0),
            inclusion: InclusionProof::from_hashes(Vec::<Hash>::new()).unwrap(),
        };
        (proved, SignedCheckpoint::new(checkpoint, lines).unwrap())
    }

    fn after(roster: &Roster, change: MemberChange, signers: &[u8]) -> SignedRoster {
        let next = roster.after_changes(&[change]).unwrap();
        let lines = signers.iter().map(|it| next.sign(&name(*it), &secret(*it)));
        SignedRoster::new(next.clone(), lines.collect()).unwrap()
    }

    #[test]
    fn from_the_first_roster_to_the_one_in_force() {
        let first = federation(4, 1);
        let mut lineage = Lineage::from(first.clone());
        assert_eq!(lineage.clone().end(), Ok(None));
        let vote = after(&first, MemberChange::Vote(name(4)), &[0, 1, 2]);
        let (proved, checkpoint) = entered(&vote, &[0, 1, 2, 3]);
        lineage.take(proved, checkpoint).unwrap();
        let leave = after(vote.admitted(), MemberChange::Leave(name(0)), &[1, 2, 3, 4]);
        let (proved, checkpoint) = entered(&leave, &[2, 3, 4]);
        lineage.take(proved, checkpoint).unwrap();
        assert_eq!(lineage.wanted(), Some(Epoch::new(3)));
        let verified = lineage.end().unwrap().unwrap();
        assert_eq!(verified.roster, *leave.admitted());
        assert_eq!(verified.successors, [vote, leave]);
    }

    #[test]
    fn a_roster_that_was_signed_and_is_in_no_log_leads_nowhere() {
        let first = federation(4, 1);
        let vote = after(&first, MemberChange::Vote(name(4)), &[0, 1, 2]);
        // Too few of its members vouch for a log with it.
        let mut lineage = Lineage::from(first.clone());
        let (proved, checkpoint) = entered(&vote, &[0, 1]);
        lineage.take(proved, checkpoint).unwrap();
        assert!(matches!(lineage.end(), Err(LineageError::Checkpoint(_))));
        // The log that they vouch for has another one.
        let other = after(&first, MemberChange::Leave(name(4)), &[0, 1, 2]);
        let mut lineage = Lineage::from(first.clone());
        let (proved, _) = entered(&vote, &[0]);
        let (_, checkpoint) = entered(&other, &[0, 1, 2, 3]);
        lineage.take(proved, checkpoint).unwrap();
        assert!(matches!(lineage.end(), Err(LineageError::Receipt(_))));
        // Too few of the members before have signed it.
        let few = after(&first, MemberChange::Vote(name(4)), &[0, 1]);
        let (proved, checkpoint) = entered(&few, &[0, 1, 2, 3]);
        let refused = Lineage::from(first).take(proved, checkpoint);
        assert!(matches!(refused, Err(LineageError::Succession(_))));
    }
}
