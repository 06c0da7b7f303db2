//! The follower: the one way to advance a verified view of a ledger.
//!
//! Points of sale, insurers, auditors and mirrors all hold one. It believes no server: whatever
//! arrives is checked against the roster and against what was seen before, and `now` is an
//! argument. Its whole state is two texts, the roster's and [`SignedCheckpoint::to_text`]; who
//! stores them after each advance keeps its protection against rollback over a restart.

use std::cmp::Ordering;

use thiserror::Error;

use crate::checkpoint::{CheckpointError, SignedCheckpoint, VerifiedCheckpoint};
use crate::ids::{MemberName, TreeSize, UnixSeconds};
use crate::merkle::{ConsistencyProof, ProofError};
use crate::roster::{Roster, SignedRoster, SuccessionError};

/// Oldest view that answers a lookup: members cosign again long before, even an unchanged ledger.
pub const MAX_AGE_SECONDS: u64 = 60;
/// How far a quorum may seem ahead of us: what `decide` tolerates between two clocks as well.
pub const MAX_AHEAD_SECONDS: u64 = 120;

/// How the view changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// There was no view; what a quorum of the roster vouches for is taken as the first.
    First,
    /// The ledger grew from one size to another, and the old log is the beginning of the new one.
    Grown {
        /// The size before.
        from: TreeSize,
        /// The size after.
        to: TreeSize,
    },
    /// The same ledger, cosigned later.
    Refreshed,
    /// The same ledger, cosigned no later than what is held; the view was kept.
    Unchanged,
}

/// Why a checkpoint does not advance the view, which stays as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FollowError {
    /// The checkpoint is not one that a quorum of the roster vouches for.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A quorum claims a time that has not come. One of the clocks is wrong.
    #[error("the checkpoint is {ahead} seconds ahead of this clock, {MAX_AHEAD_SECONDS} may be")]
    FromTheFuture {
        /// By how much, in seconds.
        ahead: u64,
    },
    /// The ledger had more entries when it was seen before.
    #[error("the checkpoint has {theirs} entries, {ours} were seen before")]
    Rollback {
        /// The size of the view.
        ours: TreeSize,
        /// The size of the checkpoint.
        theirs: TreeSize,
    },
    /// The ledger was shown in two states at one size: more members lied than may.
    #[error("the checkpoint has other roots than the one seen before at size {}", .0.size())]
    Fork(Box<Fork>),
    /// The larger log is not shown to begin with the one held.
    #[error(transparent)]
    Growth(#[from] GrowthError),
}

/// Why a larger log is not shown to begin with a smaller one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GrowthError {
    /// No proof came with the larger checkpoint.
    #[error("growing from {from} to {to} entries takes a consistency proof")]
    NoProof {
        /// The smaller size.
        from: TreeSize,
        /// The larger size.
        to: TreeSize,
    },
    /// The proof fails. Whoever sent it may simply be wrong, so this alone is no evidence against
    /// the members.
    #[error("the consistency proof fails: {0}")]
    Inconsistent(#[from] ProofError),
}

/// Why a checkpoint is not taken for an earlier state of the view.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ContainmentError {
    /// There is no view.
    #[error("no checkpoint has been accepted yet")]
    NoView,
    /// The checkpoint is of another ledger.
    #[error("the checkpoint has another origin than the roster")]
    Origin,
    /// The view has to advance before it can contain this.
    #[error("the checkpoint has {theirs} entries, the view only {ours}")]
    Ahead {
        /// The size of the view.
        ours: TreeSize,
        /// The size of the checkpoint.
        theirs: TreeSize,
    },
    /// The ledger was shown in two states at one size: more members lied than may.
    #[error("the checkpoint has other roots than the view at size {}", .0.size())]
    Fork(Box<Fork>),
    /// The view is not shown to begin with the checkpoint's log.
    #[error(transparent)]
    Growth(#[from] GrowthError),
}

/// Why a new roster is not adopted; roster and view stay as they were.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AdoptError {
    /// A roster does not follow the one before it.
    #[error(transparent)]
    Succession(#[from] SuccessionError),
    /// The checkpoint does not advance the view under the new roster.
    #[error(transparent)]
    Follow(#[from] FollowError),
}

/// Why the view is not used to answer a lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FreshnessError {
    /// There is no view.
    #[error("no checkpoint has been accepted yet")]
    NoView,
    /// The members have not cosigned for too long, or a server hides that they have.
    #[error("the checkpoint is {age} seconds old, {MAX_AGE_SECONDS} may be")]
    TooOld {
        /// Its age in seconds.
        age: u64,
    },
}

/// Two valid checkpoints of one size with different roots: evidence that anyone who has the
/// roster can check, since both are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    ours: VerifiedCheckpoint,
    theirs: VerifiedCheckpoint,
}

impl Fork {
    /// The fork between two checkpoints of one ledger, if they are one.
    #[must_use]
    pub fn between(ours: &VerifiedCheckpoint, theirs: &VerifiedCheckpoint) -> Option<Self> {
        let same_place = ours.origin() == theirs.origin() && ours.size() == theirs.size();
        let same_roots =
            ours.log_root() == theirs.log_root() && ours.map_root() == theirs.map_root();
        (same_place && !same_roots).then(|| Self {
            ours: ours.clone(),
            theirs: theirs.clone(),
        })
    }

    /// The size at which the ledger was shown in two states.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.ours.size()
    }

    /// The checkpoint that was seen first.
    #[must_use]
    pub const fn ours(&self) -> &SignedCheckpoint {
        self.ours.signed()
    }

    /// The checkpoint that contradicts it.
    #[must_use]
    pub const fn theirs(&self) -> &SignedCheckpoint {
        self.theirs.signed()
    }

    /// The members that cosigned both, which an honest one never does.
    #[must_use]
    pub fn culprits(&self) -> Vec<&MemberName> {
        let signed_theirs = |name: &MemberName| self.theirs.signers().any(|other| other == name);
        self.ours
            .signers()
            .filter(|name| signed_theirs(name))
            .collect()
    }
}

/// What one verifier holds true of a ledger: its roster, and the largest checkpoint it accepted.
///
/// The checkpoint always verifies under the roster, so that both can be read back from storage.
#[derive(Debug, Clone)]
pub struct Follower {
    roster: Roster,
    latest: Option<VerifiedCheckpoint>,
}

impl Follower {
    /// Follows a ledger of which nothing has been seen yet but its roster.
    #[must_use]
    pub const fn new(roster: Roster) -> Self {
        Self {
            roster,
            latest: None,
        }
    }

    /// Goes on from the state that was stored.
    ///
    /// # Errors
    /// [`CheckpointError`] when the stored checkpoint does not verify under the stored roster.
    pub fn resume(roster: Roster, stored: &SignedCheckpoint) -> Result<Self, CheckpointError> {
        let latest = Some(stored.verify(&roster)?);
        Ok(Self { roster, latest })
    }

    /// The roster that checkpoints are verified against.
    #[must_use]
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// The largest checkpoint accepted so far: what proofs are to be verified against.
    #[must_use]
    pub const fn latest(&self) -> Option<&VerifiedCheckpoint> {
        self.latest.as_ref()
    }

    /// Takes a checkpoint as the new view, if it is shown to contain the one held.
    ///
    /// 1. Its origin is the roster's, every cosignature verifies, and a quorum cosigned
    ///    ([`SignedCheckpoint::verify`]).
    /// 2. It is at most [`MAX_AHEAD_SECONDS`] ahead of `now`.
    /// 3. Without a view it is the first one. This is trust on first use, and as much as any
    ///    verifier with the roster can ask: a quorum vouches for it.
    /// 4. At the same size it has the same roots, else it is a [`Fork`]; the later of two equal
    ///    ones is kept.
    /// 5. It is not smaller.
    /// 6. If it is larger, `consistency` proves that its log begins with the one held.
    ///
    /// # Errors
    /// [`FollowError`], the first of these that does not hold.
    pub fn advance(
        &mut self,
        candidate: &SignedCheckpoint,
        consistency: Option<&ConsistencyProof>,
        now: UnixSeconds,
    ) -> Result<Advance, FollowError> {
        let candidate = candidate.verify(&self.roster)?;
        let advance = self.compare(&candidate, consistency, now)?;
        // From here the candidate is the view, unless it says no more than the one held.
        if advance != Advance::Unchanged {
            self.latest = Some(candidate);
        }
        Ok(advance)
    }

    /// Takes the rosters that follow the one held, in order, and a checkpoint signed under the
    /// last of them: all or nothing, so that roster and view always belong together.
    ///
    /// # Errors
    /// [`AdoptError`] when a roster does not follow ([`SignedRoster::verify_successor`]), or the
    /// checkpoint does not advance the view ([`Follower::advance`]).
    pub fn adopt(
        &mut self,
        successors: &[SignedRoster],
        candidate: &SignedCheckpoint,
        consistency: Option<&ConsistencyProof>,
        now: UnixSeconds,
    ) -> Result<Advance, AdoptError> {
        let mut roster = self.roster.clone();
        for successor in successors {
            roster = successor.verify_successor(&roster)?;
        }
        let candidate = candidate.verify(&roster).map_err(FollowError::from)?;
        let advance = self.compare(&candidate, consistency, now)?;
        // Kept even if it says nothing new: it is the one that the new roster vouches for.
        self.latest = Some(candidate);
        self.roster = roster;
        Ok(advance)
    }

    /// Steps 2 to 6 of [`Follower::advance`].
    fn compare(
        &self,
        candidate: &VerifiedCheckpoint,
        consistency: Option<&ConsistencyProof>,
        now: UnixSeconds,
    ) -> Result<Advance, FollowError> {
        let ahead = candidate.time().get().saturating_sub(now.get());
        if ahead > MAX_AHEAD_SECONDS {
            return Err(FollowError::FromTheFuture { ahead });
        }
        let Some(latest) = &self.latest else {
            return Ok(Advance::First);
        };
        if let Some(fork) = Fork::between(latest, candidate) {
            return Err(FollowError::Fork(Box::new(fork)));
        }
        let (from, to) = (latest.size(), candidate.size());
        match to.cmp(&from) {
            Ordering::Less => Err(FollowError::Rollback {
                ours: from,
                theirs: to,
            }),
            Ordering::Equal if candidate.time() > latest.time() => Ok(Advance::Refreshed),
            Ordering::Equal => Ok(Advance::Unchanged),
            Ordering::Greater => {
                verify_growth(latest, candidate, consistency)?;
                Ok(Advance::Grown { from, to })
            }
        }
    }

    /// Checks that a checkpoint from before the view, such as that of a receipt, is an earlier
    /// state of it. The view stays; the checkpoint was verified under the roster of its own time.
    ///
    /// # Errors
    /// [`ContainmentError`] when it is of another ledger, ahead of the view, a [`Fork`] of it, or
    /// not shown to be its beginning.
    pub fn require_contains(
        &self,
        earlier: &VerifiedCheckpoint,
        consistency: Option<&ConsistencyProof>,
    ) -> Result<(), ContainmentError> {
        let latest = self.latest.as_ref().ok_or(ContainmentError::NoView)?;
        if earlier.origin() != latest.origin() {
            return Err(ContainmentError::Origin);
        }
        if let Some(fork) = Fork::between(latest, earlier) {
            return Err(ContainmentError::Fork(Box::new(fork)));
        }
        let (ours, theirs) = (latest.size(), earlier.size());
        match theirs.cmp(&ours) {
            Ordering::Less => Ok(verify_growth(earlier, latest, consistency)?),
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(ContainmentError::Ahead { ours, theirs }),
        }
    }

    /// Refuses to answer a lookup from a view older than [`MAX_AGE_SECONDS`].
    ///
    /// # Errors
    /// [`FreshnessError`], with the age.
    pub fn require_fresh(&self, now: UnixSeconds) -> Result<&VerifiedCheckpoint, FreshnessError> {
        let latest = self.latest.as_ref().ok_or(FreshnessError::NoView)?;
        match now.get().saturating_sub(latest.time().get()) {
            0..=MAX_AGE_SECONDS => Ok(latest),
            age => Err(FreshnessError::TooOld { age }),
        }
    }
}

/// The log of `larger` must begin with the log of `smaller`.
fn verify_growth(
    smaller: &VerifiedCheckpoint,
    larger: &VerifiedCheckpoint,
    consistency: Option<&ConsistencyProof>,
) -> Result<(), GrowthError> {
    let (from, to) = (smaller.size(), larger.size());
    let consistency = consistency.ok_or(GrowthError::NoProof { from, to })?;
    consistency.verify(from, smaller.log_root(), to, larger.log_root())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::checkpoint::example::{TIME, checkpoint, cosigned};
    use crate::hash::{self, Hash};
    use crate::merkle::{self, Subtrees, prove_consistency};
    use crate::note::NoteSignatureError;
    use crate::roster::example::{federation, name, parts, secret};
    use crate::roster::{Epoch, SignerError, Standing};

    const NOW: UnixSeconds = UnixSeconds::new(TIME.get() + 1);

    /// A log that is never stored: leaf `i` is the hash of `i`, or of `i` and a letter from
    /// where a dishonest copy leaves the honest one.
    #[derive(Clone, Copy)]
    struct Log {
        differs_from: u64,
    }

    const HONEST: Log = Log {
        differs_from: u64::MAX,
    };

    impl Subtrees for Log {
        type Error = Infallible;

        fn subtree(&self, level: u8, index: u64) -> Result<Hash, Infallible> {
            let Some(below) = level.checked_sub(1) else {
                let letter: &[u8] = if index < self.differs_from { b"" } else { b"x" };
                return Ok(merkle::leaf(&[&index.to_be_bytes(), letter].concat()));
            };
            let left = self.subtree(below, 2 * index)?;
            Ok(merkle::pair(&left, &self.subtree(below, 2 * index + 1)?))
        }
    }

    impl Log {
        fn checkpoint(self, size: u64) -> Checkpoint {
            let Ok(root) = merkle::root(TreeSize::new(size), &self);
            checkpoint(size, root)
        }

        fn cosigned(self, size: u64) -> SignedCheckpoint {
            cosigned(&self.checkpoint(size), 0..3, TIME)
        }

        fn consistency(self, from: u64, to: u64) -> ConsistencyProof {
            prove_consistency(TreeSize::new(from), TreeSize::new(to), &self).unwrap()
        }
    }

    /// A follower of four voting members and a follower, which has seen this many entries.
    fn at(size: u64) -> Follower {
        let mut follower = Follower::new(federation(4, 1));
        let first = follower.advance(&HONEST.cosigned(size), None, NOW);
        assert_eq!(first, Ok(Advance::First));
        follower
    }

    fn size_of(follower: &Follower) -> u64 {
        follower.latest().unwrap().size().get()
    }

    fn grown(from: u64, to: u64) -> Advance {
        let (from, to) = (TreeSize::new(from), TreeSize::new(to));
        Advance::Grown { from, to }
    }

    #[test]
    fn a_view_grows_along_consistency_proofs() {
        let mut follower = at(1);
        let sizes = [1, 2, 3, 7, 8, 20, 21, 64];
        for pair in sizes.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            let proof = HONEST.consistency(from, to);
            let advance = follower.advance(&HONEST.cosigned(to), Some(&proof), NOW);
            assert_eq!(advance, Ok(grown(from, to)));
            assert_eq!(follower.latest().unwrap().signed(), &HONEST.cosigned(to));
        }
    }

    #[test]
    fn the_first_view_still_takes_a_quorum() {
        let mut follower = Follower::new(federation(4, 1));
        let two = cosigned(&HONEST.checkpoint(5), [0, 1, 4], TIME);
        assert_eq!(
            follower.advance(&two, None, NOW),
            Err(CheckpointError::QuorumNotMet { got: 2, want: 3 }.into())
        );
        assert_eq!(follower.latest(), None);
        assert_eq!(follower.require_fresh(NOW), Err(FreshnessError::NoView));
    }

    #[test]
    fn growth_without_a_proof_or_with_the_wrong_one_is_refused() {
        let mut follower = at(5);
        let (from, to) = (TreeSize::new(5), TreeSize::new(9));
        let nine = HONEST.cosigned(9);
        assert_eq!(
            follower.advance(&nine, None, NOW),
            Err(GrowthError::NoProof { from, to }.into())
        );
        for proof in [
            HONEST.consistency(4, 9),
            HONEST.consistency(5, 8),
            HONEST.consistency(0, 9),
            Log { differs_from: 2 }.consistency(5, 9),
        ] {
            let refused = follower.advance(&nine, Some(&proof), NOW);
            let Err(FollowError::Growth(GrowthError::Inconsistent(_))) = refused else {
                panic!("{refused:?}");
            };
        }
        assert_eq!(size_of(&follower), 5);
    }

    #[test]
    fn a_larger_log_that_rewrote_an_entry_is_refused() {
        let mut follower = at(5);
        let rewritten = Log { differs_from: 4 };
        let proof = rewritten.consistency(5, 9);
        let refused = follower.advance(&rewritten.cosigned(9), Some(&proof), NOW);
        let Err(FollowError::Growth(GrowthError::Inconsistent(_))) = refused else {
            panic!("{refused:?}");
        };
        // Leaving the honest log only after what was seen is what any log may do.
        let later = Log { differs_from: 5 };
        let proof = later.consistency(5, 9);
        let advance = follower.advance(&later.cosigned(9), Some(&proof), NOW);
        assert_eq!(advance, Ok(grown(5, 9)));
    }

    #[test]
    fn a_smaller_checkpoint_is_a_rollback_with_a_proof_or_without() {
        let mut follower = at(9);
        let (ours, theirs) = (TreeSize::new(9), TreeSize::new(5));
        let rollback = Err(FollowError::Rollback { ours, theirs });
        let five = HONEST.cosigned(5);
        assert_eq!(follower.advance(&five, None, NOW), rollback);
        let proof = HONEST.consistency(5, 9);
        assert_eq!(follower.advance(&five, Some(&proof), NOW), rollback);
        assert_eq!(size_of(&follower), 9);
    }

    #[test]
    fn two_states_of_one_size_are_a_fork_that_names_its_culprits() {
        let mut other_map = HONEST.checkpoint(5);
        other_map.map_root = hash::empty();
        for other in [Log { differs_from: 0 }.checkpoint(5), other_map] {
            let mut follower = at(5);
            let theirs = cosigned(&other, [1, 2, 3], TIME);
            let Err(FollowError::Fork(fork)) = follower.advance(&theirs, None, NOW) else {
                panic!();
            };
            assert_eq!(fork.ours(), &HONEST.cosigned(5));
            assert_eq!(fork.theirs(), &theirs);
            assert_eq!(fork.culprits(), [&name(1), &name(2)]);
            assert_eq!(follower.latest().unwrap().signed(), &HONEST.cosigned(5));

            // Whoever has the roster and the two texts finds the same fork.
            let read = |signed: &SignedCheckpoint| {
                let text = signed.to_text();
                let signed = SignedCheckpoint::parse(text.as_bytes()).unwrap();
                signed.verify(follower.roster()).unwrap()
            };
            let (ours, theirs) = (read(fork.ours()), read(fork.theirs()));
            assert_eq!(Fork::between(&ours, &theirs), Some(*fork));
            assert_eq!(Fork::between(&ours, &ours), None);
        }
    }

    #[test]
    fn a_fork_without_a_quorum_is_only_a_checkpoint_without_a_quorum() {
        let mut follower = at(5);
        let theirs = cosigned(&Log { differs_from: 0 }.checkpoint(5), [1, 2], TIME);
        assert_eq!(
            follower.advance(&theirs, None, NOW),
            Err(CheckpointError::QuorumNotMet { got: 2, want: 3 }.into())
        );
    }

    #[test]
    fn of_two_equal_checkpoints_the_later_is_kept() {
        let mut follower = at(5);
        let later = UnixSeconds::new(TIME.get() + 50);
        let five = HONEST.checkpoint(5);
        let (old, new) = (cosigned(&five, 1..4, TIME), cosigned(&five, 0..4, later));
        assert_eq!(follower.advance(&old, None, NOW), Ok(Advance::Unchanged));
        assert_eq!(follower.latest().unwrap().signed(), &HONEST.cosigned(5));
        assert_eq!(follower.advance(&new, None, NOW), Ok(Advance::Refreshed));
        assert_eq!(follower.advance(&old, None, NOW), Ok(Advance::Unchanged));
        assert_eq!(follower.latest().unwrap().time(), later);
    }

    #[test]
    fn the_future_and_the_past_end_at_the_named_seconds() {
        let five = HONEST.cosigned(5);
        let first =
            |now: u64| Follower::new(federation(4, 1)).advance(&five, None, UnixSeconds::new(now));
        assert_eq!(first(TIME.get() - 120), Ok(Advance::First));
        assert_eq!(
            first(TIME.get() - 121),
            Err(FollowError::FromTheFuture { ahead: 121 })
        );
        let fresh = |now| {
            at(5)
                .require_fresh(UnixSeconds::new(now))
                .map(|c| c.size().get())
        };
        assert_eq!(fresh(TIME.get() + 60), Ok(5));
        assert_eq!(fresh(TIME.get() - 120), Ok(5));
        assert_eq!(
            fresh(TIME.get() + 61),
            Err(FreshnessError::TooOld { age: 61 })
        );
    }

    #[test]
    fn an_earlier_checkpoint_is_contained_only_with_a_proof() {
        let roster = federation(4, 1);
        let follower = at(9);
        let earlier = |log: Log, size| log.cosigned(size).verify(&roster).unwrap();
        let five = earlier(HONEST, 5);
        let proof = HONEST.consistency(5, 9);
        assert_eq!(follower.require_contains(&five, Some(&proof)), Ok(()));
        assert_eq!(follower.require_contains(&earlier(HONEST, 9), None), Ok(()));
        let (from, to) = (TreeSize::new(5), TreeSize::new(9));
        assert_eq!(
            follower.require_contains(&five, None),
            Err(GrowthError::NoProof { from, to }.into())
        );
        let lie = Log { differs_from: 4 };
        for proof in [&proof, &lie.consistency(5, 9)] {
            assert!(
                follower
                    .require_contains(&earlier(lie, 5), Some(proof))
                    .is_err()
            );
        }
        let (ours, theirs) = (TreeSize::new(9), TreeSize::new(10));
        assert_eq!(
            follower.require_contains(&earlier(HONEST, 10), None),
            Err(ContainmentError::Ahead { ours, theirs })
        );
        let fork = follower.require_contains(&earlier(lie, 9), None);
        assert!(matches!(fork, Err(ContainmentError::Fork(_))));
        assert_eq!(
            Follower::new(roster.clone()).require_contains(&five, None),
            Err(ContainmentError::NoView)
        );
    }

    /// The roster after `federation(4, 1)`: its first member no longer votes, its last one does.
    fn successor() -> SignedRoster {
        let mut next = parts(4, 1);
        next.epoch = Epoch::new(1);
        next.previous = Some(federation(4, 1).hash());
        next.members[0].standing = Standing::Following;
        next.members[4].standing = Standing::Voting;
        let next = Roster::new(next).unwrap();
        let lines = (0..3).map(|s| next.sign(&name(s), &secret(s))).collect();
        SignedRoster::new(next, lines).unwrap()
    }

    #[test]
    fn a_roster_and_a_checkpoint_under_it_are_adopted_together() {
        let mut follower = at(5);
        let nine = cosigned(&HONEST.checkpoint(9), 2..5, TIME);
        let proof = HONEST.consistency(5, 9);
        assert_eq!(
            follower.advance(&nine, Some(&proof), NOW),
            Err(CheckpointError::QuorumNotMet { got: 2, want: 3 }.into())
        );
        let advance = follower.adopt(&[successor()], &nine, Some(&proof), NOW);
        assert_eq!(advance, Ok(grown(5, 9)));
        assert_eq!(follower.roster().epoch(), Epoch::new(1));
        // What it holds reads back from storage.
        let stored = follower.latest().unwrap().signed();
        assert!(Follower::resume(follower.roster().clone(), stored).is_ok());
    }

    #[test]
    fn an_unchanged_ledger_is_kept_under_the_signatures_of_the_new_roster() {
        let mut follower = at(5);
        let five = cosigned(&HONEST.checkpoint(5), 2..5, TIME);
        let advance = follower.adopt(&[successor()], &five, None, NOW);
        assert_eq!(advance, Ok(Advance::Unchanged));
        assert_eq!(follower.latest().unwrap().signed(), &five);
        assert!(Follower::resume(follower.roster().clone(), &five).is_ok());
    }

    #[test]
    fn a_roster_whose_checkpoint_is_refused_is_not_adopted() {
        let mut follower = at(5);
        let old_quorum = HONEST.cosigned(5);
        let refused = CheckpointError::QuorumNotMet { got: 2, want: 3 };
        assert_eq!(
            follower.adopt(&[successor()], &old_quorum, None, NOW),
            Err(FollowError::from(refused).into())
        );
        let got = Epoch::new(1);
        let twice = [successor(), successor()];
        let five = cosigned(&HONEST.checkpoint(5), 2..5, TIME);
        assert_eq!(
            follower.adopt(&twice, &five, None, NOW),
            Err(SuccessionError::Epoch { got, previous: got }.into())
        );
        assert_eq!(follower.roster(), &federation(4, 1));
        assert_eq!(follower.latest().unwrap().signed(), &old_quorum);
    }

    #[test]
    fn a_stored_state_is_checked_when_it_is_read_back() {
        let text = at(5).latest().unwrap().signed().to_text();
        let stored = SignedCheckpoint::parse(text.as_bytes()).unwrap();
        let follower = Follower::resume(federation(4, 1), &stored).unwrap();
        assert_eq!(size_of(&follower), 5);
        let changed = text.replacen("\n5\n", "\n6\n", 1);
        let changed = SignedCheckpoint::parse(changed.as_bytes()).unwrap();
        let (member, reason) = (name(0), NoteSignatureError::Signature);
        assert_eq!(
            Follower::resume(federation(4, 1), &changed).unwrap_err(),
            SignerError::Bad { member, reason }.into()
        );
    }
}
