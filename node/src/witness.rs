//! This member's cosignatures, and the rule that it never signs two histories.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::hash::Hash;
use proto::ids::{MemberName, Origin, TreeSize, UnixSeconds};
use proto::note::NoteError;
use proto::roster::Roster;
use proto::signing::SecretKey;
use thiserror::Error;

use crate::next_key::NextKey;
use crate::sequencer::StopReason;
use crate::store::SignedLock;

/// Cosigns what this node found itself. What is signed is durable before the signature
/// leaves: as a lock, or at a member that votes alone as the record in the engine's log.
#[derive(Debug, Clone)]
pub struct Witness {
    name: MemberName,
    secret: SecretKey,
    /// Where the key lies that takes over with the roster that lists it.
    next: Option<NextKey>,
    last: Option<Signed>,
    /// The latest time signed, in seconds: a clock that is set back would else make a smaller size
    /// the later one, which is evidence against this member. Clones share it.
    latest: Arc<AtomicU64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Signed {
    size: TreeSize,
    log_root: Hash,
    map_root: Hash,
}

/// Why this member does not sign a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WitnessError {
    /// Same size, other roots.
    #[error("this member has signed other roots at size {size}")]
    Contradiction {
        /// The size of both.
        size: TreeSize,
    },
    /// A smaller size than the last one.
    #[error("this member has signed size {last}, and does not go back to {got}")]
    Rollback {
        /// The last size signed.
        last: TreeSize,
        /// The size asked for.
        got: TreeSize,
    },
    /// The checkpoint cannot be written as a note.
    #[error(transparent)]
    Note(#[from] NoteError),
}

impl Witness {
    /// A witness that has signed nothing yet.
    #[must_use]
    pub fn new(name: MemberName, secret: SecretKey) -> Self {
        Self {
            name,
            secret,
            next: None,
            last: None,
            latest: Arc::default(),
        }
    }

    /// The same witness, which signs with the key there what stands under a roster that lists it.
    #[must_use]
    pub fn with_next(self, next: NextKey) -> Self {
        Self {
            next: Some(next),
            ..self
        }
    }

    /// Signs nothing at an earlier time than this from here on.
    pub fn not_before(&self, time: UnixSeconds) {
        self.latest.fetch_max(time.get(), Ordering::Relaxed);
    }

    /// Takes note of a checkpoint that is durable with its signature: nothing that contradicts it
    /// is ever signed again.
    pub fn settle(&mut self, checkpoint: &Checkpoint) {
        self.last = Some(Signed::of(checkpoint));
    }

    /// Takes note of a lock that may be older than what was settled since. Of two of one size it
    /// is the lock that this member has signed.
    pub fn settle_lock(&mut self, lock: &Checkpoint) {
        if self.last.is_none_or(|last| last.size <= lock.size) {
            self.settle(lock);
        }
    }

    /// Takes note of what a quorum vouches for, unless this member has signed something of that
    /// size already: that is never forgotten before a larger size.
    pub fn settle_newer(&mut self, checkpoint: &Checkpoint) {
        if self.last.is_none_or(|last| last.size < checkpoint.size) {
            self.settle(checkpoint);
        }
    }

    /// Whether this was signed already, as far as is known here: the same or a larger one was.
    ///
    /// # Errors
    /// [`WitnessError::Contradiction`] when other roots of this size were.
    pub fn remembers(&self, signed: &Checkpoint) -> Result<bool, WitnessError> {
        let signed = Signed::of(signed);
        match self.last {
            Some(last) if last.size == signed.size && last != signed => {
                Err(WitnessError::Contradiction { size: last.size })
            }
            last => Ok(last.is_some_and(|last| last.size >= signed.size)),
        }
    }

    /// A witness with the same key that remembers nothing: for signatures that never leave the
    /// disk.
    #[must_use]
    pub fn for_the_disk(&self) -> Self {
        Self::new(self.name.clone(), self.secret.clone())
    }

    /// Why a node with this key ends its work under a roster; `None` when it goes on.
    #[must_use]
    pub fn place_in(&self, roster: &Roster) -> Option<StopReason> {
        match roster.member(&self.name) {
            None => Some(StopReason::Left),
            Some(own) if own.public_key != self.secret.public() => Some(StopReason::KeyReplaced),
            Some(_) => None,
        }
    }

    /// Whether this roster lists the member with the key that has yet to take over.
    #[must_use]
    pub fn is_replaced_in(&self, roster: &Roster) -> bool {
        self.next_in(roster).is_some()
    }

    /// The key that has yet to take over, if this roster lists it.
    fn next_in(&self, roster: &Roster) -> Option<SecretKey> {
        let listed = roster.member(&self.name)?.public_key;
        match listed == self.secret.public() {
            true => None,
            false => self.next.as_ref()?.with(&listed),
        }
    }

    /// Whether this very checkpoint is the last one settled.
    #[must_use]
    pub fn has_settled(&self, checkpoint: &Checkpoint) -> bool {
        self.last == Some(Signed::of(checkpoint))
    }

    /// Whether a larger checkpoint was settled, or another one of the same size: this one is then
    /// not signed.
    #[must_use]
    pub fn is_past(&self, checkpoint: &Checkpoint) -> bool {
        let asked = Signed::of(checkpoint);
        self.last
            .is_some_and(|last| last.size > asked.size || last.size == asked.size && last != asked)
    }

    /// Its member name.
    #[must_use]
    pub const fn name(&self) -> &MemberName {
        &self.name
    }

    /// Its secret key.
    #[must_use]
    pub const fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// Cosigns a checkpoint; the same one again gets a newer time, and no time is before an earlier
    /// one, whatever the clock does. Nothing may leave the process
    /// before the checkpoint is durable and [`settled`](Self::settle): a batch that the disk did
    /// not take was never signed as far as anybody knows.
    ///
    /// # Errors
    /// [`WitnessError`] when it contradicts the last one settled. Nothing is then signed.
    pub fn cosign(
        &self,
        checkpoint: Checkpoint,
        at: UnixSeconds,
    ) -> Result<SignedCheckpoint, WitnessError> {
        self.cosign_with(&self.secret, checkpoint, at)
    }

    /// The same with the key that this roster lists, if it is the one that has yet to take over.
    ///
    /// # Errors
    /// As [`cosign`](Self::cosign).
    pub fn cosign_under(
        &self,
        roster: &Roster,
        checkpoint: Checkpoint,
        at: UnixSeconds,
    ) -> Result<SignedCheckpoint, WitnessError> {
        let next = self.next_in(roster);
        self.cosign_with(next.as_ref().unwrap_or(&self.secret), checkpoint, at)
    }

    fn cosign_with(
        &self,
        secret: &SecretKey,
        checkpoint: Checkpoint,
        at: UnixSeconds,
    ) -> Result<SignedCheckpoint, WitnessError> {
        let asked = Signed::of(&checkpoint);
        if let Some(last) = self.last {
            if asked.size < last.size {
                return Err(WitnessError::Rollback {
                    last: last.size,
                    got: asked.size,
                });
            }
            if asked.size == last.size && asked != last {
                return Err(WitnessError::Contradiction { size: last.size });
            }
        }
        self.not_before(at);
        let at = UnixSeconds::new(self.latest.load(Ordering::Relaxed));
        let cosignature = checkpoint.cosign(&self.name, secret, at);
        Ok(SignedCheckpoint::new(checkpoint, vec![cosignature])?)
    }
}

impl SignedLock {
    /// The lock before this checkpoint is signed.
    #[must_use]
    pub const fn of(checkpoint: &Checkpoint) -> Self {
        Self {
            size: checkpoint.size,
            log_root: checkpoint.log_root,
            map_root: checkpoint.map_root,
        }
    }

    /// What was signed.
    #[must_use]
    pub fn checkpoint(&self, origin: &Origin) -> Checkpoint {
        Checkpoint {
            origin: origin.clone(),
            size: self.size,
            log_root: self.log_root,
            map_root: self.map_root,
        }
    }
}

impl Signed {
    const fn of(checkpoint: &Checkpoint) -> Self {
        let Checkpoint {
            size,
            log_root,
            map_root,
            ..
        } = checkpoint;
        Self {
            size: *size,
            log_root: *log_root,
            map_root: *map_root,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(size: u64, root: u8) -> Checkpoint {
        Checkpoint {
            origin: "vitrail.test/optique".parse().unwrap(),
            size: TreeSize::new(size),
            log_root: Hash::from_bytes([root; 32]),
            map_root: Hash::from_bytes([root; 32]),
        }
    }

    #[test]
    fn two_roots_of_one_size_are_never_both_signed() {
        let mut witness = Witness::new("a".parse().unwrap(), SecretKey::from_seed(&[1; 32]));
        let at = UnixSeconds::new(1);
        witness.settle(&checkpoint(5, 1));
        assert!(witness.cosign(checkpoint(5, 1), at).is_ok());
        let size = TreeSize::new(5);
        assert_eq!(
            witness.cosign(checkpoint(5, 2), at),
            Err(WitnessError::Contradiction { size })
        );
        let got = TreeSize::new(4);
        assert_eq!(
            witness.cosign(checkpoint(4, 1), at),
            Err(WitnessError::Rollback { last: size, got })
        );
    }

    #[test]
    fn a_clock_that_is_set_back_signs_no_earlier_time() {
        let roster = crate::example::first_roster().verify_genesis().unwrap();
        let witness = Witness::new("cnam".parse().unwrap(), crate::example::secret("cnam"));
        let checkpoint = Checkpoint {
            origin: roster.origin().clone(),
            ..checkpoint(5, 1)
        };
        witness.not_before(UnixSeconds::new(70));
        for (clock, signed) in [(50, 70), (90, 90), (60, 90)] {
            let at = UnixSeconds::new(clock);
            let cosigned = witness.cosign(checkpoint.clone(), at).unwrap();
            let [(_, time)] = cosigned.verify_signers(&roster).unwrap()[..] else {
                unreachable!()
            };
            assert_eq!(time.get(), signed);
        }
    }

    #[test]
    fn what_was_signed_is_not_forgotten_for_what_others_signed_of_that_size() {
        let mut witness = Witness::new("a".parse().unwrap(), SecretKey::from_seed(&[1; 32]));
        let at = UnixSeconds::new(1);
        witness.settle(&checkpoint(5, 1));
        witness.settle_newer(&checkpoint(5, 2));
        assert!(witness.cosign(checkpoint(5, 2), at).is_err());
        assert!(witness.is_past(&checkpoint(5, 2)) && !witness.is_past(&checkpoint(5, 1)));
        // A start: what a quorum vouches for is on the disk, and beside it what was signed.
        let mut witness = Witness::new("a".parse().unwrap(), SecretKey::from_seed(&[1; 32]));
        witness.settle(&checkpoint(5, 2));
        witness.settle_lock(&checkpoint(5, 1));
        assert!(witness.cosign(checkpoint(5, 2), at).is_err());
        witness.settle_newer(&checkpoint(6, 2));
        assert!(witness.cosign(checkpoint(6, 2), at).is_ok());
    }
}
