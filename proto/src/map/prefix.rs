//! The place of a branch: the first bits of every index under it.

use std::fmt;

use thiserror::Error;

use super::MapIndex;
use crate::hash::HASH_BYTES;

/// Longest prefix of a bucket. A branch is split only above 16 leaves, and below 252 bits there
/// are only 16 indexes.
pub const PREFIX_BITS_MAX: u8 = 252;

/// The first bits of every index under one branch; sorted as the branches stand, left to right.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    /// Zero beyond the length.
    bits: [u8; HASH_BYTES],
    length: u8,
}

/// The bytes are not those of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PrefixError {
    /// There are more or fewer bytes than the length asks for.
    #[error("a prefix is its length and just the bytes that hold so many bits")]
    Length,
    /// The prefix is longer than that of any bucket.
    #[error("a prefix has at most {PREFIX_BITS_MAX} bits")]
    TooLong,
    /// A bit beyond the length is set, so that one prefix would have two spellings.
    #[error("the bits beyond the length of a prefix must be zero")]
    SpareBits,
}

impl Prefix {
    /// The prefix of the whole map.
    pub const ROOT: Self = Self {
        bits: [0; HASH_BYTES],
        length: 0,
    };

    /// How many bits it has.
    #[must_use]
    pub const fn length(&self) -> u8 {
        self.length
    }

    /// The depth of the branch: where the leaves under it part next.
    pub(super) fn depth(&self) -> usize {
        usize::from(self.length)
    }

    /// Whether this index is under the branch.
    #[must_use]
    pub fn contains(&self, index: &MapIndex) -> bool {
        MapIndex(self.bits).shared_bits(index) >= self.depth()
    }

    /// The left and right branches under this one.
    pub(super) fn halves(self) -> (Self, Self) {
        let length = self.length.saturating_add(1);
        let mut right = Self { length, ..self };
        if let Some(byte) = right.bits.get_mut(self.depth() / 8) {
            *byte |= 0x80 >> (self.length % 8);
        }
        (Self { length, ..self }, right)
    }

    /// Whether the path to this branch turns right at a depth.
    pub(super) fn turns_right(&self, depth: usize) -> bool {
        MapIndex(self.bits).turns_right(depth)
    }

    /// The key under which the bucket of this branch is stored: its length, then the bits.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = self.bits.iter().take(self.depth().div_ceil(8));
        std::iter::once(&self.length)
            .chain(bytes)
            .copied()
            .collect()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) writes.
    ///
    /// # Errors
    /// [`PrefixError`] for any other spelling.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PrefixError> {
        let (length, written) = bytes.split_first().ok_or(PrefixError::Length)?;
        let length = *length;
        if length > PREFIX_BITS_MAX {
            return Err(PrefixError::TooLong);
        }
        if written.len() != usize::from(length).div_ceil(8) {
            return Err(PrefixError::Length);
        }
        let mut bits = [0; HASH_BYTES];
        for (bit, byte) in bits.iter_mut().zip(written) {
            *bit = *byte;
        }
        let spare = |byte: &u8| length % 8 != 0 && byte << (length % 8) != 0;
        if written.last().is_some_and(spare) {
            return Err(PrefixError::SpareBits);
        }
        Ok(Self { bits, length })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..self.depth()).try_for_each(|at| u8::from(self.turns_right(at)).fmt(f))
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Prefix({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::index;
    use super::*;

    #[test]
    fn halves_part_the_indexes_under_a_branch() {
        let (left, right) = Prefix::ROOT.halves();
        let (right_left, right_right) = right.halves();
        assert_eq!(format!("{left} {right_left} {right_right}"), "0 10 11");
        let under = |prefix: Prefix| [0x00, 0x80, 0xc0].map(|b| prefix.contains(&index(&[b])));
        assert_eq!(under(Prefix::ROOT), [true; 3]);
        assert_eq!(under(left), [true, false, false]);
        assert_eq!(under(right), [false, true, true]);
        assert_eq!(under(right_left), [false, true, false]);
        assert_eq!(under(right_right), [false, false, true]);
    }

    #[test]
    fn one_prefix_has_one_spelling() {
        assert_eq!(Prefix::ROOT.to_bytes(), [0]);
        for (bytes, error) in [
            (&[][..], PrefixError::Length),
            (&[0, 0], PrefixError::Length),
            (&[1], PrefixError::Length),
            (&[8, 1, 0], PrefixError::Length),
            (&[1, 0x40], PrefixError::SpareBits),
            (&[9, 0, 1], PrefixError::SpareBits),
            (&[[253].as_slice(), &[0; 32]].concat(), PrefixError::TooLong),
        ] {
            assert_eq!(Prefix::from_bytes(bytes), Err(error), "{bytes:?}");
        }
        assert!(Prefix::from_bytes(&[8, 255]).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_reads_as_a_prefix_writes_the_same_bytes(
            mut bytes in prop::collection::vec(any::<u8>(), 0..36),
            fits: bool,
        ) {
            if fits && !bytes.is_empty() {
                bytes[0] = u8::try_from((bytes.len() - 1) * 8).unwrap_or(0);
            }
            if let Ok(prefix) = Prefix::from_bytes(&bytes) {
                prop_assert_eq!(prefix.to_bytes(), bytes);
            }
        }
    }
}
