//! The leaves of one small branch, stored as one value.

use std::sync::OnceLock;

use thiserror::Error;

use super::{MAP_VALUE_BYTES_MAX, MapIndex, MapValue, Prefix, leaf_hash};
use crate::hash::{self, HASH_BYTES, Hash};
use crate::merkle;

/// Most leaves of a bucket: fewer would cost memory for the crown, more would cost hashing for
/// each change.
pub const BUCKET_LEAVES_MAX: usize = 16;
/// Longest stored bucket.
pub const BUCKET_BYTES_MAX: usize = BUCKET_LEAVES_MAX * (HASH_BYTES + 1 + MAP_VALUE_BYTES_MAX);

/// One entry of the map and its hash, which is computed once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaf {
    pub(super) index: MapIndex,
    pub(super) value: MapValue,
    pub(super) hash: Hash,
}

impl Leaf {
    pub(super) fn new(index: MapIndex, value: MapValue) -> Self {
        let hash = leaf_hash(&index, &value.hash());
        Self { index, value, hash }
    }
}

/// The root of a branch, from its leaves in order: the definition of the map.
pub(super) fn branch_root(leaves: &[Leaf], depth: usize) -> Hash {
    match leaves {
        [] => hash::empty(),
        [alone] => alone.hash,
        _ => {
            let (left, right) = part(leaves, depth);
            let below = depth + 1;
            merkle::pair(&branch_root(left, below), &branch_root(right, below))
        }
    }
}

/// The leaves whose path turns left at this depth, and those whose path turns right.
pub(super) fn part(leaves: &[Leaf], depth: usize) -> (&[Leaf], &[Leaf]) {
    leaves.split_at(leaves.partition_point(|leaf| !leaf.index.turns_right(depth)))
}

/// The 1 to 16 leaves of one branch, in the order of their indexes.
#[derive(Debug, Clone)]
pub struct Bucket {
    leaves: Vec<Leaf>,
    /// The depth at which the root was asked for, and the root: leaves never change, and a bucket
    /// in memory is read far more often than it is stored.
    root: OnceLock<(usize, Hash)>,
}

impl PartialEq for Bucket {
    fn eq(&self, other: &Self) -> bool {
        self.leaves == other.leaves
    }
}

impl Eq for Bucket {}

/// The bytes are not those of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BucketError {
    /// A bucket without leaves is not stored.
    #[error("a bucket has at least one leaf")]
    NoLeaf,
    /// There are more leaves than a bucket can have.
    #[error("a bucket has at most {BUCKET_LEAVES_MAX} leaves")]
    TooManyLeaves,
    /// A value has no byte or too many.
    #[error("a map value has 1 to {MAP_VALUE_BYTES_MAX} bytes")]
    Value,
    /// The leaves are not in the order of their indexes, or one comes twice.
    #[error("the leaves of a bucket are in the order of their indexes, each once")]
    Order,
    /// The bytes end inside a leaf.
    #[error("the bucket ends inside a leaf")]
    CutShort,
}

impl Bucket {
    /// The bucket of these leaves, which are sorted, and at least 1 and at most 16.
    pub(super) fn of(leaves: Vec<Leaf>) -> Self {
        Self {
            leaves,
            root: OnceLock::new(),
        }
    }

    pub(super) fn hashed_leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    pub(super) fn find(&self, index: &MapIndex) -> Option<&MapValue> {
        let at = self.leaves.binary_search_by_key(index, |leaf| leaf.index);
        at.ok()
            .and_then(|at| self.leaves.get(at))
            .map(|leaf| &leaf.value)
    }

    /// Its leaves in the order of their indexes.
    pub fn leaves(&self) -> impl Iterator<Item = (&MapIndex, &MapValue)> {
        self.leaves.iter().map(|leaf| (&leaf.index, &leaf.value))
    }

    /// The root of the branch that these leaves make at the depth of the prefix.
    #[must_use]
    pub fn root(&self, prefix: &Prefix) -> Hash {
        let depth = prefix.depth();
        let (known_at, root) = self
            .root
            .get_or_init(|| (depth, branch_root(&self.leaves, depth)));
        if *known_at == depth {
            return *root;
        }
        branch_root(&self.leaves, depth)
    }

    /// The stored form: of each leaf the index, the length of the value, the value.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BUCKET_BYTES_MAX);
        for leaf in &self.leaves {
            bytes.extend_from_slice(leaf.index.as_bytes());
            bytes.push(leaf.value.length);
            bytes.extend_from_slice(leaf.value.as_bytes());
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) writes.
    ///
    /// # Errors
    /// [`BucketError`] for any other spelling. Whether the bucket is the map's own, only its
    /// [`root`](Self::root) can tell.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BucketError> {
        let mut leaves: Vec<Leaf> = Vec::with_capacity(BUCKET_LEAVES_MAX);
        let mut rest = bytes;
        while !rest.is_empty() {
            if leaves.len() == BUCKET_LEAVES_MAX {
                return Err(BucketError::TooManyLeaves);
            }
            let (index, after) = rest.split_first_chunk().ok_or(BucketError::CutShort)?;
            let index = MapIndex(*index);
            let (length, after) = after.split_first().ok_or(BucketError::CutShort)?;
            let (value, after) = after
                .split_at_checked(usize::from(*length))
                .ok_or(BucketError::CutShort)?;
            let value = MapValue::from_bytes(value).map_err(|_| BucketError::Value)?;
            if leaves.last().is_some_and(|last| last.index >= index) {
                return Err(BucketError::Order);
            }
            leaves.push(Leaf::new(index, value));
            rest = after;
        }
        if leaves.is_empty() {
            return Err(BucketError::NoLeaf);
        }
        Ok(Self::of(leaves))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::tests::{index, value};
    use super::*;

    fn stored(start: u8, value: &[u8]) -> Vec<u8> {
        let length = u8::try_from(value.len()).unwrap();
        [&index(&[start]).0[..], &[length], value].concat()
    }

    #[test]
    fn a_bucket_with_a_fault_is_refused_by_name() {
        use BucketError::{CutShort, NoLeaf, Order, TooManyLeaves, Value};
        let one = stored(1, b"one");
        let seventeen: Vec<u8> = (0..17).flat_map(|i| stored(i, b"x")).collect();
        for (bytes, error) in [
            (vec![], NoLeaf),
            (one[..31].to_vec(), CutShort),
            (one[..32].to_vec(), CutShort),
            (one[..35].to_vec(), CutShort),
            ([&one[..], &[0]].concat(), CutShort),
            (stored(1, b""), Value),
            (stored(1, &[0; 65]), Value),
            ([&one[..], &one].concat(), Order),
            ([stored(2, b"two"), one.clone()].concat(), Order),
            (seventeen.clone(), TooManyLeaves),
        ] {
            assert_eq!(Bucket::from_bytes(&bytes), Err(error));
        }
        assert!(Bucket::from_bytes(&seventeen[34..]).is_ok());
        assert!(Bucket::from_bytes(&stored(1, &[0; 64])).is_ok());
    }

    #[test]
    fn the_longest_bucket_is_the_limit() {
        let bytes: Vec<u8> = (0..16).flat_map(|i| stored(i, &[9; 64])).collect();
        assert_eq!(bytes.len(), BUCKET_BYTES_MAX);
        assert_eq!(Bucket::from_bytes(&bytes).unwrap().to_bytes(), bytes);
    }

    proptest! {
        #[test]
        fn every_bucket_reads_back(
            entries in prop::collection::btree_map(
                any::<[u8; 32]>(), prop::collection::vec(any::<u8>(), 1..=64), 1..=16),
        ) {
            let entries: BTreeMap<_, _> = entries;
            let leaf = |(i, v): (&[u8; 32], &Vec<u8>)| Leaf::new(MapIndex(*i), value(v));
            let bucket = Bucket::of(entries.iter().map(leaf).collect());
            prop_assert_eq!(Bucket::from_bytes(&bucket.to_bytes()), Ok(bucket));
        }

        #[test]
        fn whatever_reads_as_a_bucket_writes_the_same_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..200),
            length in 0_u8..4,
        ) {
            let mut bytes = bytes;
            if let Some(place) = bytes.get_mut(32) {
                *place = length;
            }
            for end in [35, bytes.len()] {
                let bytes = &bytes[..end.min(bytes.len())];
                if let Ok(bucket) = Bucket::from_bytes(bytes) {
                    prop_assert_eq!(bucket.to_bytes(), bytes);
                }
            }
        }
    }
}
