//! What the map holds under one index, provable against its root alone.

use thiserror::Error;

use super::{MAP_VALUE_BYTES_MAX, MapIndex, MapValue, leaf_hash};
use crate::hash::{self, HASH_BYTES, Hash};
use crate::merkle;

/// Most siblings of a path: two different indexes part at bit 256 at the latest.
pub const MAP_PROOF_SIBLINGS_MAX: usize = 256;
/// Longest encoded proof: the end, the depth, one bit and one hash for each sibling.
pub const MAP_PROOF_BYTES_MAX: usize = 1
    + 1
    + MAP_VALUE_BYTES_MAX
    + 2
    + MAP_PROOF_SIBLINGS_MAX / 8
    + MAP_PROOF_SIBLINGS_MAX * HASH_BYTES;

const END_EMPTY: u8 = 0;
const END_OWN: u8 = 1;
const END_OTHER: u8 = 2;

/// What stands at the end of the path of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing: the index is absent.
    Empty,
    /// Its own leaf, with this value.
    Own(MapValue),
    /// The leaf of another index, alone under the same prefix: the index is absent.
    Other { index: MapIndex, value_hash: Hash },
}

/// Shows what the map holds under one index: a value, or nothing. Only [`verify`](Self::verify)
/// gives it out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapProof {
    end: End,
    /// From the end of the path up; `hash::empty()` for an empty branch.
    siblings: Vec<Hash>,
}

/// Why a proof does not show what the map holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MapProofError {
    /// The leaf at the end of the path is not on the path of the index.
    #[error("the leaf in the proof is not on the path of the index")]
    Elsewhere,
    /// The leaf that should show absence is that of the index itself.
    #[error("the leaf in the proof of absence is that of the index itself")]
    Present,
    /// The hashes do not lead to the root of the map.
    #[error("the proof does not lead to the root of the map")]
    WrongRoot,
}

/// The bytes are not those of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MapProofBytesError {
    /// There are fewer or more bytes than the proof's own figures say.
    #[error("the map proof is cut short or has bytes left over")]
    Length,
    /// The end of the path is of no known kind.
    #[error("the end of a map proof is 0, 1 or 2")]
    End,
    /// The value has no byte or too many.
    #[error("a map value has 1 to {MAP_VALUE_BYTES_MAX} bytes")]
    Value,
    /// The path is longer than an index.
    #[error("a map proof has at most {MAP_PROOF_SIBLINGS_MAX} siblings")]
    Depth,
    /// A bit beyond the depth is set, or an empty sibling is written out.
    #[error("a map proof must name each empty sibling by its bit alone")]
    Spelling,
    /// The end could stand one level higher, so the map is not built so.
    #[error("the last sibling of a map proof must not be empty")]
    NotShallowest,
}

impl MapProof {
    /// The proof with this end and these siblings, from the end up.
    pub(super) fn of(end: End, siblings: Vec<Hash>) -> Self {
        Self { end, siblings }
    }

    /// The end of the path, and the siblings from it up. Nobody has checked them.
    pub(super) fn path(&self) -> (&End, &[Hash]) {
        (&self.end, &self.siblings)
    }

    /// What the map with this root holds under this index.
    ///
    /// # Errors
    /// [`MapProofError`] names the check that failed.
    pub fn verify(&self, index: &MapIndex, root: Hash) -> Result<Option<&MapValue>, MapProofError> {
        let (mut at, found) = match &self.end {
            End::Empty => (hash::empty(), None),
            End::Own(value) => (leaf_hash(index, &value.hash()), Some(value)),
            End::Other { index: other, .. } if other == index => {
                return Err(MapProofError::Present);
            }
            // The other leaf is in the way only if both would stand at the same place.
            End::Other { index: other, .. } if other.shared_bits(index) < self.siblings.len() => {
                return Err(MapProofError::Elsewhere);
            }
            End::Other { index, value_hash } => (leaf_hash(index, value_hash), None),
        };
        for (depth, sibling) in (0..self.siblings.len()).rev().zip(&self.siblings) {
            at = if index.turns_right(depth) {
                merkle::pair(sibling, &at)
            } else {
                merkle::pair(&at, sibling)
            };
        }
        (at == root)
            .then_some(found)
            .ok_or(MapProofError::WrongRoot)
    }

    /// The sent form: the end, the depth in two bytes, a bit for each sibling that is not empty
    /// (first bit highest), then those siblings.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match &self.end {
            End::Empty => bytes.push(END_EMPTY),
            End::Own(value) => {
                bytes.extend([END_OWN, value.length]);
                bytes.extend_from_slice(value.as_bytes());
            }
            End::Other { index, value_hash } => {
                bytes.push(END_OTHER);
                bytes.extend_from_slice(index.as_bytes());
                bytes.extend_from_slice(value_hash.as_bytes());
            }
        }
        let depth = u16::try_from(self.siblings.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&depth.to_be_bytes());
        let empty = hash::empty();
        for eight in self.siblings.chunks(8) {
            let bit = |(at, sibling): (usize, &Hash)| u8::from(*sibling != empty) << (7 - at);
            bytes.push(eight.iter().enumerate().map(bit).sum());
        }
        for sibling in self.siblings.iter().filter(|sibling| **sibling != empty) {
            bytes.extend_from_slice(sibling.as_bytes());
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) writes; believe it only once verified.
    ///
    /// # Errors
    /// [`MapProofBytesError`] for any other spelling.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MapProofBytesError> {
        let mut rest = bytes;
        let end = take_end(&mut rest)?;
        let depth = usize::from(u16::from_be_bytes(take(&mut rest)?));
        if depth > MAP_PROOF_SIBLINGS_MAX {
            return Err(MapProofBytesError::Depth);
        }
        let (bitmap, mut rest) = rest
            .split_at_checked(depth.div_ceil(8))
            .ok_or(MapProofBytesError::Length)?;
        let spare = |byte: &u8| depth % 8 != 0 && byte << (depth % 8) != 0;
        if bitmap.last().is_some_and(spare) {
            return Err(MapProofBytesError::Spelling);
        }
        let empty = hash::empty();
        let bits = bitmap
            .iter()
            .flat_map(|byte| (0..8).map(move |at| byte << at & 0x80 != 0));
        let mut siblings = Vec::with_capacity(depth);
        for is_written in bits.take(depth) {
            if !is_written {
                siblings.push(empty);
                continue;
            }
            let sibling = Hash::from_bytes(take(&mut rest)?);
            if sibling == empty {
                return Err(MapProofBytesError::Spelling);
            }
            siblings.push(sibling);
        }
        if !rest.is_empty() {
            return Err(MapProofBytesError::Length);
        }
        // Next to an empty branch a leaf would stand one level higher, and so would nothing.
        if siblings.first() == Some(&empty) {
            return Err(MapProofBytesError::NotShallowest);
        }
        Ok(Self { end, siblings })
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], MapProofBytesError> {
    let (taken, after) = rest.split_first_chunk().ok_or(MapProofBytesError::Length)?;
    *rest = after;
    Ok(*taken)
}

fn take_end(rest: &mut &[u8]) -> Result<End, MapProofBytesError> {
    let [kind] = take(rest)?;
    match kind {
        END_EMPTY => Ok(End::Empty),
        END_OWN => {
            let [length] = take(rest)?;
            let (value, after) = rest
                .split_at_checked(usize::from(length))
                .ok_or(MapProofBytesError::Length)?;
            *rest = after;
            let value = MapValue::from_bytes(value).map_err(|_| MapProofBytesError::Value)?;
            Ok(End::Own(value))
        }
        END_OTHER => {
            let index = MapIndex(take(rest)?);
            let value_hash = Hash::from_bytes(take(rest)?);
            Ok(End::Other { index, value_hash })
        }
        _ => Err(MapProofBytesError::End),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::value;
    use super::*;

    fn sibling(number: u8) -> Hash {
        merkle::leaf(&[number])
    }

    #[test]
    fn the_longest_proof_is_the_limit() {
        let siblings = vec![sibling(1); MAP_PROOF_SIBLINGS_MAX];
        let longest = MapProof::of(End::Own(value(&[7; 64])), siblings);
        let bytes = longest.to_bytes();
        assert_eq!(bytes.len(), MAP_PROOF_BYTES_MAX);
        assert_eq!(MapProof::from_bytes(&bytes), Ok(longest));
    }

    #[test]
    fn a_proof_with_a_fault_is_refused_by_name() {
        use MapProofBytesError::{Depth, End, Length, NotShallowest, Spelling, Value};
        let one = sibling(1);
        let written = |head: &[u8]| [head, one.as_bytes()].concat();
        let empty = hash::empty();
        for (bytes, error) in [
            (vec![], Length),
            (vec![0], Length),
            (vec![0, 0], Length),
            (vec![0, 0, 0, 0], Length),
            (vec![3, 0, 0], End),
            (vec![1, 0, 0, 0], Value),
            (vec![1], Length),
            (vec![1, 1], Length),
            ([&[1, 65][..], &[9; 65], &[0, 0]].concat(), Value),
            ([&[2][..], &[9; 63]].concat(), Length),
            ([&[0, 1, 1][..], &[0; 33]].concat(), Depth),
            (vec![0, 0, 1], Length),
            (vec![0, 0, 1, 0x80], Length),
            (vec![0, 0, 1, 0], NotShallowest),
            (written(&[0, 0, 2, 0x40]), NotShallowest),
            (written(&[0, 0, 1, 0xc0]), Spelling),
            (written(&[0, 0, 1, 0x81]), Spelling),
            ([&[0, 0, 1, 0x80], &empty.as_bytes()[..]].concat(), Spelling),
            ([&written(&[0, 0, 1, 0x80])[..], &[0]].concat(), Length),
        ] {
            assert_eq!(MapProof::from_bytes(&bytes), Err(error), "{bytes:?}");
        }
        assert!(MapProof::from_bytes(&written(&[0, 0, 1, 0x80])).is_ok());
        assert!(MapProof::from_bytes(&written(&[0, 0, 2, 0x80])).is_ok());
    }

    proptest! {
        #[test]
        fn every_proof_reads_back(
            end in 0_u8..3,
            bytes in prop::collection::vec(any::<u8>(), 64),
            length in 1_usize..=64,
            numbers in prop::collection::vec(prop::option::of(any::<u8>()), 0..=256),
        ) {
            let end = match end {
                0 => End::Empty,
                1 => End::Own(value(&bytes[..length])),
                _ => End::Other {
                    index: MapIndex(bytes[..32].try_into().unwrap()),
                    value_hash: Hash::from_slice(&bytes[32..]).unwrap(),
                },
            };
            let some = |number: Option<u8>| number.map_or_else(hash::empty, sibling);
            let mut siblings: Vec<Hash> = numbers.into_iter().map(some).collect();
            if let Some(first) = siblings.first_mut() {
                *first = sibling(0);
            }
            let proof = MapProof::of(end, siblings);
            prop_assert_eq!(MapProof::from_bytes(&proof.to_bytes()), Ok(proof));
        }

        #[test]
        fn whatever_reads_as_a_proof_writes_the_same_bytes(
            kind in 0_u8..4,
            depth in 0_u8..12,
            bytes in prop::collection::vec(any::<u8>(), 0..150),
        ) {
            let shaped = [&[kind, 0, depth], &bytes[..]].concat();
            for bytes in [shaped, bytes] {
                if let Ok(proof) = MapProof::from_bytes(&bytes) {
                    prop_assert_eq!(proof.to_bytes(), bytes);
                }
            }
        }
    }
}
