//! What a session has verified: the same bytes are not verified twice.
//!
//! One answer proves several entries against one checkpoint, and a payer's node and the ledger give
//! the same coverage. A session has one roster, so what its signatures say of the same bytes does
//! not change. Ages and places are checked each time.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proto::checkpoint::{CheckpointError, SignedCheckpoint, VerifiedCheckpoint};
use proto::entry::VerifiedEntry;
use proto::receipt::{EntryProof, ReceiptError};
use proto::roster::Roster;

/// Checkpoints that are remembered: those of the few members that are asked at one time.
const CHECKPOINTS_MAX: usize = 16;
/// Entries that are remembered: those of one quote, twice.
const ENTRIES_MAX: usize = 64;

/// What has been verified against the roster of one session.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    checkpoints: Mutex<VecDeque<VerifiedCheckpoint>>,
    entries: Mutex<VecDeque<VerifiedEntry>>,
}

impl Verified {
    /// The checkpoint, verified under the session's roster; see [`SignedCheckpoint::verify`].
    pub(crate) fn checkpoint(
        &self,
        signed: &SignedCheckpoint,
        roster: &Roster,
    ) -> Result<VerifiedCheckpoint, CheckpointError> {
        let known = locked(&self.checkpoints);
        let found = known.iter().find(|known| known.signed() == signed).cloned();
        drop(known);
        if let Some(found) = found {
            return Ok(found);
        }
        let verified = signed.verify(roster)?;
        remember(&self.checkpoints, verified.clone(), CHECKPOINTS_MAX);
        Ok(verified)
    }

    /// The entry, signed and in its place; see [`EntryProof::verify`]. The place is checked each
    /// time, the signature once for the same bytes.
    pub(crate) fn entry(
        &self,
        proved: &EntryProof,
        checkpoint: &VerifiedCheckpoint,
    ) -> Result<VerifiedEntry, ReceiptError> {
        let known = locked(&self.entries);
        let same = |known: &&VerifiedEntry| known.bytes() == proved.entry.bytes();
        let found = known.iter().find(same).cloned();
        drop(known);
        if let Some(found) = found {
            proved.verify_inclusion(checkpoint)?;
            return Ok(found);
        }
        let verified = proved.verify(checkpoint, &mut |_| {})?;
        remember(&self.entries, verified.clone(), ENTRIES_MAX);
        Ok(verified)
    }
}

/// A panic elsewhere, while the lock was held, leaves what was verified.
fn locked<T>(list: &Mutex<VecDeque<T>>) -> MutexGuard<'_, VecDeque<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

fn remember<T>(list: &Mutex<VecDeque<T>>, one: T, at_most: usize) {
    let mut list = locked(list);
    if list.len() >= at_most {
        list.pop_front();
    }
    list.push_back(one);
}

#[cfg(test)]
mod tests {
    use proto::ids::LeafIndex;

    use super::*;
    use crate::example::Ledger;

    #[test]
    fn what_was_verified_once_still_has_to_be_in_its_place() {
        let ledger = Ledger::furnished();
        let (known, roster) = (Verified::default(), &ledger.roster);
        let signed = ledger.checkpoint();
        let checkpoint = known.checkpoint(&signed, roster).unwrap();
        assert_eq!(known.checkpoint(&signed, roster), Ok(checkpoint.clone()));
        let proved = ledger.prove(2);
        let entry = known.entry(&proved, &checkpoint).unwrap();
        assert_eq!(known.entry(&proved, &checkpoint).unwrap(), entry);
        let elsewhere = EntryProof {
            index: LeafIndex::new(3),
            ..proved
        };
        let refused = known.entry(&elsewhere, &checkpoint);
        assert!(matches!(refused, Err(ReceiptError::Inclusion(_))));
    }

    #[test]
    fn a_checkpoint_with_another_line_is_another_checkpoint() {
        let ledger = Ledger::furnished();
        let known = Verified::default();
        known
            .checkpoint(&ledger.checkpoint(), &ledger.roster)
            .unwrap();
        let text = ledger.checkpoint().to_text();
        let (start, line) = text.trim_end().rsplit_once(' ').unwrap();
        let mut line = line.to_owned();
        let other = if line.as_bytes()[20] == b'A' {
            "B"
        } else {
            "A"
        };
        line.replace_range(20..21, other);
        let forged = SignedCheckpoint::parse(format!("{start} {line}\n").as_bytes()).unwrap();
        assert!(known.checkpoint(&forged, &ledger.roster).is_err());
    }
}
