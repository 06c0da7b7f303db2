//! Inclusion and consistency proofs as they travel, and the checks that make them worth something.

use thiserror::Error;

use super::{Blake3, TreeHasher};
use crate::hash::Hash;
use crate::ids::{LeafIndex, TreeSize};

/// The longest inclusion proof: a tree of at most `2^64 - 1` leaves is 64 pairs deep.
pub const INCLUSION_PROOF_HASHES_MAX: usize = 64;
/// The longest consistency proof, as in C2SP tlog-witness: enough for trees of `2^62` leaves.
pub const CONSISTENCY_PROOF_HASHES_MAX: usize = 63;

/// Why a proof does not show what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProofError {
    /// The proof is longer than any proof can be.
    #[error("a proof of {got} hashes is longer than {max}")]
    TooManyHashes {
        /// Hashes in the proof.
        got: usize,
        /// Most hashes such a proof can have.
        max: usize,
    },
    /// The leaf is not in a tree of this size.
    #[error("leaf {index} is not in a tree of size {size}")]
    NotInTree {
        /// The leaf.
        index: LeafIndex,
        /// The size of the tree.
        size: TreeSize,
    },
    /// The older tree is the larger one.
    #[error("a tree of size {old} does not grow into one of size {new}")]
    Shrinks {
        /// The size before.
        old: TreeSize,
        /// The size after.
        new: TreeSize,
    },
    /// The proof has too few or too many hashes for these sizes.
    #[error("a proof of {got} hashes has the wrong length for these sizes")]
    WrongLength {
        /// Hashes in the proof.
        got: usize,
    },
    /// The hashes do not lead to the root of the tree; for a consistency proof, of the new one.
    #[error("the proof does not lead to the root")]
    WrongRoot,
    /// The hashes do not lead to the root of the old tree.
    #[error("the proof does not lead to the old root")]
    WrongOldRoot,
}

/// Shows that one leaf is in a tree (RFC 9162, 2.1.3). Believe it only once verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InclusionProof {
    hashes: Vec<Hash>,
}

impl InclusionProof {
    pub(super) fn of(hashes: Vec<Hash>) -> Self {
        Self { hashes }
    }

    /// The proof with these hashes, from the leaf up.
    ///
    /// # Errors
    /// [`ProofError::TooManyHashes`] above [`INCLUSION_PROOF_HASHES_MAX`].
    pub fn from_hashes(hashes: Vec<Hash>) -> Result<Self, ProofError> {
        let hashes = bounded(hashes, INCLUSION_PROOF_HASHES_MAX)?;
        Ok(Self { hashes })
    }

    /// Its hashes, from the leaf up.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Checks that the tree with this size and root has this leaf at this index.
    ///
    /// # Errors
    /// The check that failed: [`ProofError::NotInTree`], [`ProofError::WrongLength`] or
    /// [`ProofError::WrongRoot`] (RFC 9162, 2.1.3.2).
    pub fn verify(
        &self,
        leaf: Hash,
        index: LeafIndex,
        size: TreeSize,
        root: Hash,
    ) -> Result<(), ProofError> {
        self.verify_with::<Blake3>(leaf, index, size, root)
    }

    /// [`InclusionProof::verify`] under another hash function.
    ///
    /// # Errors
    /// Those of [`InclusionProof::verify`].
    pub fn verify_with<H: TreeHasher>(
        &self,
        leaf: Hash,
        index: LeafIndex,
        size: TreeSize,
        root: Hash,
    ) -> Result<(), ProofError> {
        if !size.contains(index) {
            return Err(ProofError::NotInTree { index, size });
        }
        let mut climb = Climb::new(index.get(), size.get() - 1);
        let mut at = leaf;
        for sibling in &self.hashes {
            at = match climb.step() {
                Some(Side::Left) => H::pair(sibling, &at),
                Some(Side::Right) => H::pair(&at, sibling),
                None => return Err(self.wrong_length()),
            };
        }
        if !climb.is_at_the_top() {
            return Err(self.wrong_length());
        }
        (at == root).then_some(()).ok_or(ProofError::WrongRoot)
    }

    fn wrong_length(&self) -> ProofError {
        ProofError::WrongLength {
            got: self.hashes.len(),
        }
    }
}

/// Shows that one tree begins with another (RFC 9162, 2.1.4). Believe it only once verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsistencyProof {
    hashes: Vec<Hash>,
}

impl ConsistencyProof {
    pub(super) fn of(hashes: Vec<Hash>) -> Self {
        Self { hashes }
    }

    /// The proof with these hashes, from the last old leaf up.
    ///
    /// # Errors
    /// [`ProofError::TooManyHashes`] above [`CONSISTENCY_PROOF_HASHES_MAX`].
    pub fn from_hashes(hashes: Vec<Hash>) -> Result<Self, ProofError> {
        let hashes = bounded(hashes, CONSISTENCY_PROOF_HASHES_MAX)?;
        Ok(Self { hashes })
    }

    /// Its hashes, from the last old leaf up.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Checks that the tree with the new size and root begins with the tree with the old ones.
    ///
    /// # Errors
    /// The check that failed: [`ProofError::Shrinks`], [`ProofError::WrongLength`],
    /// [`ProofError::WrongOldRoot`] or [`ProofError::WrongRoot`] (RFC 9162, 2.1.4.2).
    pub fn verify(
        &self,
        old: TreeSize,
        old_root: Hash,
        new: TreeSize,
        new_root: Hash,
    ) -> Result<(), ProofError> {
        self.verify_with::<Blake3>(old, old_root, new, new_root)
    }

    /// [`ConsistencyProof::verify`] under another hash function.
    ///
    /// # Errors
    /// Those of [`ConsistencyProof::verify`].
    pub fn verify_with<H: TreeHasher>(
        &self,
        old: TreeSize,
        old_root: Hash,
        new: TreeSize,
        new_root: Hash,
    ) -> Result<(), ProofError> {
        if old > new {
            return Err(ProofError::Shrinks { old, new });
        }
        if old == new || old == TreeSize::new(0) {
            return self.verify_empty::<H>(old, old_root, new, new_root);
        }
        let mut climb = Climb::new(old.get() - 1, new.get() - 1);
        climb.skip_left_turns();
        // A complete old tree is a subtree of the new one: its root is where the climb starts.
        let (mut at, siblings) = match self.hashes.split_first() {
            _ if old.get().is_power_of_two() => (old_root, self.hashes.as_slice()),
            Some((first, rest)) => (*first, rest),
            None => return Err(self.wrong_length()),
        };
        let mut old_at = at;
        for sibling in siblings {
            match climb.step() {
                Some(Side::Left) => {
                    old_at = H::pair(sibling, &old_at);
                    at = H::pair(sibling, &at);
                }
                // What stands to the right came after the old tree.
                Some(Side::Right) => at = H::pair(&at, sibling),
                None => return Err(self.wrong_length()),
            }
        }
        if !climb.is_at_the_top() {
            return Err(self.wrong_length());
        }
        if old_at != old_root {
            return Err(ProofError::WrongOldRoot);
        }
        (at == new_root).then_some(()).ok_or(ProofError::WrongRoot)
    }

    /// Between equal trees, and from the empty tree, there is nothing to show.
    fn verify_empty<H: TreeHasher>(
        &self,
        old: TreeSize,
        old_root: Hash,
        new: TreeSize,
        new_root: Hash,
    ) -> Result<(), ProofError> {
        if !self.hashes.is_empty() {
            return Err(self.wrong_length());
        }
        if old == TreeSize::new(0) && old_root != H::empty() {
            return Err(ProofError::WrongOldRoot);
        }
        let same = old != new || old_root == new_root;
        same.then_some(()).ok_or(ProofError::WrongRoot)
    }

    fn wrong_length(&self) -> ProofError {
        ProofError::WrongLength {
            got: self.hashes.len(),
        }
    }
}

fn bounded(hashes: Vec<Hash>, max: usize) -> Result<Vec<Hash>, ProofError> {
    let got = hashes.len();
    (got <= max)
        .then_some(hashes)
        .ok_or(ProofError::TooManyHashes { got, max })
}

/// On which side of the path the next sibling stands.
enum Side {
    Left,
    Right,
}

/// The way from a leaf to the root, as RFC 9162 walks it: `fn` and `sn` of 2.1.3.2 and 2.1.4.2.
struct Climb {
    /// The index of the subtree the path is at, at its level (`fn`).
    at: u64,
    /// The index of the last subtree of that level (`sn`).
    last: u64,
}

impl Climb {
    fn new(at: u64, last: u64) -> Self {
        Self { at, last }
    }

    /// "If LSB(fn) is set, then right-shift both fn and sn equally until LSB(fn) is not set."
    fn skip_left_turns(&mut self) {
        self.up(self.at.trailing_ones());
    }

    /// One sibling further up; `None` at the top, where no sibling is left.
    fn step(&mut self) -> Option<Side> {
        // "If sn is 0, then stop the iteration and fail the proof verification."
        if self.last == 0 {
            return None;
        }
        // "If LSB(fn) is set, or if fn is equal to sn": the sibling is on the left.
        let is_right = self.at & 1 == 1;
        if !is_right && self.at != self.last {
            self.up(1);
            return Some(Side::Right);
        }
        // "If LSB(fn) is not set, then right-shift both fn and sn equally until either LSB(fn)
        // is set or fn is 0": the last subtree of a level has no pair there and moves up alone.
        if !is_right {
            self.up(self.at.trailing_zeros());
        }
        self.up(1);
        Some(Side::Left)
    }

    fn is_at_the_top(&self) -> bool {
        self.last == 0
    }

    /// Up by some levels; beyond the 63rd only zero is left.
    fn up(&mut self, levels: u32) {
        self.at = self.at.checked_shr(levels).unwrap_or(0);
        self.last = self.last.checked_shr(levels).unwrap_or(0);
    }
}
