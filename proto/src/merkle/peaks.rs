//! A log as its complete subtrees: all it takes to append to it and to know its root.

use thiserror::Error;

use super::pair;
use crate::hash::{self, Hash};
use crate::ids::TreeSize;

/// Most peaks: a size has 64 binary digits.
pub const PEAKS_MAX: usize = 64;

/// There are not as many peaks as the size has binary ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a log of this size has {want} complete subtrees, not {got}")]
pub struct PeaksError {
    /// Hashes given.
    pub got: usize,
    /// Hashes that a log of the size has.
    pub want: usize,
}

/// The roots of the complete subtrees that make up a log, the largest and leftmost first: one for
/// each 1 among the binary digits of its size.
///
/// Whoever holds a root believes peaks only once their [`root`](Self::root) is that one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peaks {
    size: TreeSize,
    hashes: Vec<Hash>,
}

impl Peaks {
    /// The peaks of a log of this size, largest first.
    ///
    /// # Errors
    /// [`PeaksError`] unless there is one hash for each 1 among the digits of the size.
    pub fn new(size: TreeSize, hashes: Vec<Hash>) -> Result<Self, PeaksError> {
        let got = hashes.len();
        let want = size.get().count_ones() as usize;
        let peaks = Self { size, hashes };
        (got == want)
            .then_some(peaks)
            .ok_or(PeaksError { got, want })
    }

    /// The peaks of a log that was built here.
    pub(crate) const fn of(size: TreeSize, hashes: Vec<Hash>) -> Self {
        Self { size, hashes }
    }

    /// How many leaves the log has.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// The hashes, largest subtree first.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The root of the log.
    #[must_use]
    pub fn root(&self) -> Hash {
        let from_the_right = self.hashes.iter().rev().copied();
        from_the_right
            .reduce(|right, left| pair(&left, &right))
            .unwrap_or_else(hash::empty)
    }

    /// Appends a leaf hash: it is paired with each subtree that it completes. A log of `2^64 - 1`
    /// leaves stays as it is.
    pub fn append(&mut self, leaf_hash: Hash) {
        let Some(grown) = self.size.get().checked_add(1) else {
            return;
        };
        let mut at = leaf_hash;
        for _ in 0..self.size.get().trailing_ones() {
            let Some(left) = self.hashes.pop() else {
                return;
            };
            at = pair(&left, &at);
        }
        self.hashes.push(at);
        self.size = TreeSize::new(grown);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{leaf, root};

    #[test]
    fn peaks_have_the_root_of_all_leaves_at_every_size() {
        let leaves: Vec<Hash> = (0..70_u8).map(|number| leaf(&[number])).collect();
        let mut peaks = Peaks::default();
        assert_eq!(peaks.root(), hash::empty());
        for (appended, size) in leaves.iter().zip(1..) {
            peaks.append(*appended);
            assert_eq!(peaks.size(), TreeSize::new(size));
            assert_eq!(Ok(peaks.root()), root(peaks.size(), &leaves[..]), "{size}");
            let again = Peaks::new(peaks.size(), peaks.hashes().to_vec());
            assert_eq!(again.as_ref(), Ok(&peaks));
        }
    }

    #[test]
    fn as_many_peaks_as_the_size_has_ones() {
        let hashes = vec![leaf(b"a"), leaf(b"b")];
        for (size, want) in [(0, 0), (1, 1), (7, 3), (8, 1)] {
            let made = Peaks::new(TreeSize::new(size), hashes.clone());
            assert_eq!(made, Err(PeaksError { got: 2, want }));
        }
        assert!(Peaks::new(TreeSize::new(5), hashes).is_ok());
    }

    #[test]
    fn the_longest_log_takes_no_more() {
        let mut peaks = Peaks::new(TreeSize::new(u64::MAX), vec![leaf(b"a"); PEAKS_MAX]).unwrap();
        let before = peaks.clone();
        peaks.append(leaf(b"b"));
        assert_eq!(peaks, before);
    }
}
