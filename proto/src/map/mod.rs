//! The map: a compact binary sparse Merkle tree whose presence and absence are both provable.
//!
//! ```text
//! root({})                 = empty
//! root({index: value})     = BLAKE3(0x00 || index || BLAKE3(0x00 || value))
//! root(leaves) at depth d  = pair(root(leaves with bit d 0), root(leaves with bit d 1))
//! ```
//!
//! So a leaf stands at the shallowest depth at which it is alone, and the root depends on the
//! contents alone, not on the order in which they came. The proof that an index is absent shows
//! the leaf that stands in its way by index and hash of value: its value does not leave (a value
//! that can be guessed can still be checked against that hash).
//!
//! Leaves are stored in [`Bucket`]s: a branch of at most [`BUCKET_LEAVES_MAX`] leaves is one
//! stored value, a larger one is split. The upper tree is in memory, the [`Crown`]; it never
//! changes: an update makes the next one, which shares all branches that no change touched.

mod bucket;
mod crown;
mod partial;
mod prefix;
mod proof;

use std::fmt;

use thiserror::Error;

pub use bucket::{BUCKET_BYTES_MAX, BUCKET_LEAVES_MAX, Bucket, BucketError};
pub use crown::{BucketSource, Crown, MapError, MapRebuildError, MapUpdate};
pub use partial::{NotShown, PartialMap};
pub use prefix::{PREFIX_BITS_MAX, Prefix, PrefixError};
pub use proof::{
    MAP_PROOF_BYTES_MAX, MAP_PROOF_SIBLINGS_MAX, MapProof, MapProofBytesError, MapProofError,
};

use crate::hash::{self, Context, HASH_BYTES, Hash, LEAF_PREFIX};

/// Longest value: a slot's or a coverage's state fits, and a bucket stays well under 4 KiB, above
/// which the database would put it into a file of its own.
pub const MAP_VALUE_BYTES_MAX: usize = 64;

/// The place of a key in the map: pseudorandom, so that the tree stays balanced.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MapIndex([u8; HASH_BYTES]);

impl MapIndex {
    /// The place of this key among those of one use, such as [`Context::MapSlot`].
    #[must_use]
    pub fn new(context: Context, key: &[u8]) -> Self {
        Self(*hash::derive(context, &[key]).as_bytes())
    }

    /// The place with these bytes. Whether it is that of a key, only whoever knows the key can say.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// An index under the other half of the branch in which this one turns at this depth.
    fn across(&self, depth: usize) -> Self {
        let mut bytes = self.0;
        if let Some(byte) = bytes.get_mut(depth / 8) {
            *byte ^= 0x80 >> (depth % 8);
        }
        Self(bytes)
    }

    /// Whether the path turns right at this depth; the first bit is the highest of byte 0.
    fn turns_right(&self, depth: usize) -> bool {
        let byte = self.0.get(depth / 8).copied().unwrap_or(0);
        byte & (0x80 >> (depth % 8)) != 0
    }

    /// How many first bits two indexes share.
    fn shared_bits(&self, other: &Self) -> usize {
        let differing = self.0.iter().zip(&other.0).map(|(a, b)| a ^ b);
        let zeros = |(at, byte): (usize, u8)| at * 8 + byte.leading_zeros() as usize;
        let mut bytes = differing.enumerate();
        bytes.find(|(_, byte)| *byte != 0).map_or(256, zeros)
    }
}

impl fmt::Debug for MapIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MapIndex(..)")
    }
}

/// The bytes are not those of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a map value has 1 to {MAP_VALUE_BYTES_MAX} bytes, not {got}")]
pub struct MapValueError {
    /// How many bytes there are.
    pub got: usize,
}

/// What the map holds under an index: 1 to 64 bytes, whose meaning the map does not know.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MapValue {
    length: u8,
    /// Zero beyond the length, so that equal values are equal arrays.
    bytes: [u8; MAP_VALUE_BYTES_MAX],
}

impl MapValue {
    /// The value with these bytes.
    ///
    /// # Errors
    /// [`MapValueError`] for none, or more than [`MAP_VALUE_BYTES_MAX`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MapValueError> {
        let got = bytes.len();
        let mut padded = [0; MAP_VALUE_BYTES_MAX];
        match (u8::try_from(got), padded.get_mut(..got)) {
            (Ok(length @ 1..), Some(start)) => {
                start.copy_from_slice(bytes);
                let bytes = padded;
                Ok(Self { length, bytes })
            }
            _ => Err(MapValueError { got }),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes
            .get(..usize::from(self.length))
            .unwrap_or_default()
    }

    /// What a proof of another index's absence shows in place of the value. It is only ever hashed
    /// again with its index, so a value that looks like a leaf gains nothing.
    fn hash(&self) -> Hash {
        hash::prefixed(LEAF_PREFIX, self.as_bytes(), &[])
    }
}

impl fmt::Debug for MapValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MapValue({} bytes)", self.length)
    }
}

/// The hash of a leaf. It has the index in it, so a leaf stands for one index wherever it is put.
fn leaf_hash(index: &MapIndex, value_hash: &Hash) -> Hash {
    hash::prefixed(LEAF_PREFIX, index.as_bytes(), value_hash.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An index with these first bytes; the rest zeros.
    pub(super) fn index(start: &[u8]) -> MapIndex {
        let mut bytes = [0; 32];
        bytes[..start.len()].copy_from_slice(start);
        MapIndex(bytes)
    }

    pub(super) fn value(bytes: &[u8]) -> MapValue {
        MapValue::from_bytes(bytes).unwrap()
    }

    #[test]
    fn one_key_under_two_contexts_has_two_places() {
        let slot = MapIndex::new(Context::MapSlot, b"key");
        assert_ne!(slot, MapIndex::new(Context::MapCoverage, b"key"));
    }

    #[test]
    fn a_value_has_1_to_64_bytes() {
        for got in [0, 65, 256, 257, 512] {
            let error = MapValueError { got };
            assert_eq!(MapValue::from_bytes(&vec![1; got]), Err(error));
        }
        for length in [1, 63, 64] {
            assert_eq!(value(&vec![1; length]).as_bytes(), vec![1; length]);
        }
        assert_ne!(value(&[1]), value(&[1, 0]));
    }

    #[test]
    fn the_first_bit_is_the_highest_of_the_first_byte() {
        let one = index(&[0b1010_0000, 0, 1]);
        assert!(one.turns_right(0) && !one.turns_right(1) && one.turns_right(2));
        assert!(one.turns_right(23) && !one.turns_right(255) && !one.turns_right(256));
        assert_eq!(one.shared_bits(&index(&[0b1010_0000])), 23);
        assert_eq!(one.shared_bits(&index(&[0])), 0);
        assert_eq!(one.shared_bits(&one), 256);
    }

    #[test]
    fn debug_shows_neither_index_nor_value() {
        assert_eq!(format!("{:?}", index(&[7])), "MapIndex(..)");
        assert_eq!(format!("{:?}", value(&[7, 7])), "MapValue(2 bytes)");
    }
}
