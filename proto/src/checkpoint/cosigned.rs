//! The cosignature of one member, verified once, and what a quorum of them makes.

use super::{Checkpoint, CheckpointError, SignedCheckpoint, VerifiedCheckpoint, quorum_time};
use crate::ids::UnixSeconds;
use crate::note::{NoteSignature, SignatureKind};
use crate::roster::{Member, Roster, SignerError};
use crate::signing::PublicKey;

/// A cosignature that was verified under a member's key, so that it need not be verified again when
/// a quorum of them has come together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    checkpoint: Checkpoint,
    line: NoteSignature,
    key: PublicKey,
}

impl Cosigned {
    /// Checks a line as the cosignature of a checkpoint by a member, and says whose it is.
    ///
    /// # Errors
    /// [`SignerError`] when the signer is not in the roster, or did not cosign this checkpoint.
    pub fn verify<'a>(
        checkpoint: &Checkpoint,
        line: &NoteSignature,
        roster: &'a Roster,
    ) -> Result<(Self, &'a Member), SignerError> {
        let text = checkpoint.to_text();
        let member = roster.verify_signature(&text, line, SignatureKind::Cosignature)?;
        let cosigned = Self {
            checkpoint: checkpoint.clone(),
            line: line.clone(),
            key: member.public_key,
        };
        Ok((cosigned, member))
    }

    /// What was cosigned.
    #[must_use]
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The line of the note.
    #[must_use]
    pub const fn line(&self) -> &NoteSignature {
        &self.line
    }

    /// Whether a voting member of this roster has cosigned this checkpoint, with the key that the
    /// roster lists.
    #[must_use]
    pub fn counts_for(&self, checkpoint: &Checkpoint, roster: &Roster) -> bool {
        let member = roster.member(self.line.name());
        let is_of = |member: &Member| member.is_voting() && member.public_key == self.key;
        self.checkpoint == *checkpoint && member.is_some_and(is_of)
    }
}

impl VerifiedCheckpoint {
    /// The checkpoint under those of the cosignatures that count for it, if they are a quorum of
    /// the roster: what [`SignedCheckpoint::verify`] finds, without verifying any of them again.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`] and [`CheckpointError::QuorumNotMet`].
    pub fn gather<'a>(
        checkpoint: &Checkpoint,
        cosigned: impl IntoIterator<Item = &'a Cosigned>,
        roster: &Roster,
    ) -> Result<Self, CheckpointError> {
        if checkpoint.origin != *roster.origin() {
            return Err(CheckpointError::Origin);
        }
        let counting = cosigned.into_iter();
        let counting = counting.filter(|it| it.counts_for(checkpoint, roster));
        let lines: Vec<_> = counting.map(|it| it.line.clone()).collect();
        let times: Vec<UnixSeconds> = lines.iter().filter_map(NoteSignature::time).collect();
        let (got, want) = (times.len(), roster.quorum());
        let unmet = CheckpointError::QuorumNotMet { got, want };
        let time = quorum_time(times, want).ok_or(unmet)?;
        // Two lines of one key are one member's.
        let signed = SignedCheckpoint::new(checkpoint.clone(), lines);
        let signed = signed.map_err(|_| CheckpointError::QuorumNotMet { got: 0, want })?;
        Ok(Self { signed, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::example::{TIME, checkpoint, cosigned};
    use crate::hash::Hash;
    use crate::roster::example::{federation, name, secret};

    const VOTING: u8 = 4;

    fn roster() -> Roster {
        federation(VOTING, 1)
    }

    fn lines(checkpoint: &Checkpoint, signers: &[u8]) -> Vec<Cosigned> {
        let signed = signers
            .iter()
            .map(|s| checkpoint.cosign(&name(*s), &secret(*s), TIME));
        let verified = signed.map(|line| Cosigned::verify(checkpoint, &line, &roster()).unwrap().0);
        verified.collect()
    }

    #[test]
    fn what_is_gathered_is_what_verifying_the_whole_finds() {
        let roster = roster();
        let this = checkpoint(9, Hash::from_bytes([1; 32]));
        for count in 0..=VOTING {
            let signers: Vec<u8> = (0..count).collect();
            let gathered = VerifiedCheckpoint::gather(&this, &lines(&this, &signers), &roster);
            let whole = (count > 0).then(|| cosigned(&this, signers, TIME).verify(&roster));
            assert_eq!(gathered.ok(), whole.and_then(Result::ok), "{count} signers");
        }
    }

    #[test]
    fn followers_do_not_count() {
        let this = checkpoint(9, Hash::from_bytes([1; 32]));
        let gather = |signers: &[u8]| {
            VerifiedCheckpoint::gather(&this, &lines(&this, signers), &roster()).is_ok()
        };
        assert!(gather(&[0, 1, 2]) && gather(&[0, 1, 2, VOTING]));
        assert!(!gather(&[0, 1, VOTING]));
    }

    #[test]
    fn lines_of_other_checkpoints_and_replaced_keys_do_not_count() {
        let roster = roster();
        let this = checkpoint(9, Hash::from_bytes([1; 32]));
        let other = checkpoint(9, Hash::from_bytes([2; 32]));
        let all: Vec<u8> = (0..VOTING).collect();
        assert!(VerifiedCheckpoint::gather(&this, &lines(&this, &all), &roster).is_ok());
        assert!(VerifiedCheckpoint::gather(&this, &lines(&other, &all), &roster).is_err());
        let twice: Vec<_> = [lines(&this, &all), lines(&this, &all)].concat();
        assert!(VerifiedCheckpoint::gather(&this, &twice, &roster).is_err());
        let replaced = lines(&this, &all).into_iter().map(|line| Cosigned {
            key: secret(99).public(),
            ..line
        });
        let replaced: Vec<_> = replaced.collect();
        assert!(VerifiedCheckpoint::gather(&this, &replaced, &roster).is_err());
    }
}
