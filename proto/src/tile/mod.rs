//! The log as it is stored and served: 256-wide tiles of hashes and bundles of entries
//! (C2SP tlog-tiles).
//!
//! A tile of level `L` holds up to 256 neighbouring subtree roots of level `8 * L`; level 0 holds
//! leaf hashes. Full tiles never change and are stored; the incomplete ones, one a level, are the
//! [`RightEdge`] and live in memory. [`TiledLog`] puts both together, and believes a stored tile
//! only when the tile above it, up to the edge, says the same hash.
//!
//! The short names are those of the ledger, which hashes with BLAKE3; those ending in `With` take the
//! hash function as a type. A head log has SHA-256.

mod bundle;
mod edge;
mod path;
mod tiled;

use std::fmt;
use std::marker::PhantomData;

use thiserror::Error;

pub use bundle::{BundleError, ENTRIES_PER_CHUNK, ENTRY_BYTES_MAX, encode_entry, parse_bundle};
pub use edge::{RebuildError, RightEdge, RightEdgeWith};
pub use path::{TILE_PATH_BYTES_MAX, TilePath, TilePathError};
pub use tiled::{TileError, TileSource, TiledLog, TiledLogWith};

use crate::hash::{HASH_BYTES, Hash};
use crate::merkle::{Blake3, TreeHasher};

/// How many levels of the tree one tile spans (C2SP tlog-tiles fixes it).
pub const TILE_HEIGHT: u8 = 8;
/// How many hashes a full tile holds.
pub const TILE_WIDTH: usize = 1 << TILE_HEIGHT;
/// The highest level a tile can have: levels 0 to 5 cover [`LOG_LEAVES_MAX`] leaves.
pub const TILE_LEVEL_MAX: u8 = 5;
/// Most leaves a log can have, `2^48`: at 1,000 entries a second they last 8,900 years.
pub const LOG_LEAVES_MAX: u64 = 1 << 48;

/// The place of a tile in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileId {
    /// Its level; 0 holds leaf hashes.
    pub level: u8,
    /// Its place among the tiles of its level.
    pub index: u64,
}

impl TileId {
    /// The tile one level up that holds this tile's root, and the place of the root in it.
    #[must_use]
    pub const fn above(self) -> (Self, u64) {
        let tile = Self {
            level: self.level.saturating_add(1),
            index: self.index >> TILE_HEIGHT,
        };
        (tile, self.index % TILE_WIDTH as u64)
    }
}

impl fmt::Display for TileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of level {}", self.index, self.level)
    }
}

/// How many hashes a tile has, or how many entries a bundle has: 1 to 256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TileWidth(u16);

impl TileWidth {
    /// The width of a full tile.
    pub const FULL: Self = Self(1 << TILE_HEIGHT);

    /// The width, if it is one.
    #[must_use]
    pub const fn new(width: u16) -> Option<Self> {
        if width >= 1 && width <= Self::FULL.0 {
            Some(Self(width))
        } else {
            None
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The bytes are not those of a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a tile has 32 to 8192 bytes, a multiple of 32, not {got}")]
pub struct TileBytesError {
    /// How many bytes there are.
    pub got: usize,
}

/// Up to 256 hashes and all the pairs that are complete among them.
///
/// The pairs are hashed once, when the tile is read or grows, so that a proof costs one array
/// read for each of its hashes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TileWith<H> {
    width: usize,
    /// Every complete subtree right after the two it is the pair of, so that a tile grows by
    /// appending alone: `n` hashes and their pairs take `2n - ones(n)` places.
    subtrees: Vec<Hash>,
    hasher: PhantomData<H>,
}

/// A tile of the ledger's log.
pub type Tile = TileWith<Blake3>;

impl<H: TreeHasher> TileWith<H> {
    /// A tile without hashes, to be grown.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            width: 0,
            subtrees: Vec::new(),
            hasher: PhantomData,
        }
    }

    /// Reads the served and stored form: the hashes one after another.
    ///
    /// # Errors
    /// [`TileBytesError`] unless these are 1 to 256 whole hashes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TileBytesError> {
        let got = bytes.len();
        let (hashes, rest) = bytes.as_chunks::<HASH_BYTES>();
        if !rest.is_empty() || !(1..=TILE_WIDTH).contains(&hashes.len()) {
            return Err(TileBytesError { got });
        }
        let mut tile = Self::new();
        tile.subtrees.reserve_exact(2 * hashes.len());
        for hash in hashes {
            tile.push(Hash::from_bytes(*hash));
        }
        Ok(tile)
    }

    /// The served and stored form; the pairs are not in it.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.first_bytes(self.width)
    }

    /// The form of the narrower tile that this one was before; `None` if it never was so wide.
    #[must_use]
    pub fn to_partial_bytes(&self, width: TileWidth) -> Option<Vec<u8>> {
        let width = usize::from(width.get());
        (width <= self.width).then(|| self.first_bytes(width))
    }

    fn first_bytes(&self, width: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(width * HASH_BYTES);
        let hashes = (0..width as u64).filter_map(|index| self.subtree(0, index));
        hashes.for_each(|hash| bytes.extend_from_slice(hash.as_bytes()));
        bytes
    }

    /// How many hashes it has.
    #[must_use]
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Whether it has all 256 hashes.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }

    /// Appends a hash and pairs up what it completes. A full tile stays as it is.
    pub fn push(&mut self, hash: Hash) {
        if self.is_full() {
            return;
        }
        // One pair for each subtree that ends here and was waiting for its right side: the low
        // ones of the width so far are the levels at which it does.
        let mut right = hash;
        self.subtrees.push(right);
        for level in 0..self.width.trailing_ones() {
            let left_index = (self.width >> level) - 1;
            let Some(left) = self.stored(level, left_index) else {
                return;
            };
            right = H::pair(&left, &right);
            self.subtrees.push(right);
        }
        self.width += 1;
    }

    /// The root of the complete subtree over the hashes `[index << level, (index + 1) << level)`
    /// of this tile, or `None` if it is not complete here.
    #[must_use]
    pub fn subtree(&self, level: u8, index: u64) -> Option<Hash> {
        let index = usize::try_from(index).ok()?;
        if level > TILE_HEIGHT || index >= self.width >> level {
            return None;
        }
        self.stored(u32::from(level), index)
    }

    /// The root over all its hashes: for a full tile, the hash that the tile above has for it.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold::<H>(self.peaks())
    }

    /// The largest complete subtrees that make up the tile, smallest first.
    fn peaks(&self) -> impl Iterator<Item = Hash> {
        let complete = (0..=u32::from(TILE_HEIGHT)).filter(|level| self.width >> level & 1 == 1);
        complete.filter_map(|level| self.stored(level, (self.width >> level) - 1))
    }

    /// A subtree stands `level` places after its last leaf, and before that leaf stand the leaves
    /// to its left with their pairs.
    fn stored(&self, level: u32, index: usize) -> Option<Hash> {
        let last = ((index + 1) << level) - 1;
        let before = 2 * last - last.count_ones() as usize;
        self.subtrees.get(before + level as usize).copied()
    }
}

/// Pairs up the complete subtrees of a tree, given smallest and rightmost first.
fn fold<H: TreeHasher>(peaks: impl Iterator<Item = Hash>) -> Hash {
    peaks
        .reduce(|right, left| H::pair(&left, &right))
        .unwrap_or_else(H::empty)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::TreeSize;
    use crate::merkle;

    pub(super) fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|i| merkle::leaf(&i.to_be_bytes())).collect()
    }

    fn tile_of(hashes: &[Hash]) -> Tile {
        let mut tile = Tile::new();
        hashes.iter().for_each(|hash| tile.push(*hash));
        tile
    }

    #[test]
    fn a_tile_of_any_width_has_the_root_and_subtrees_of_its_hashes() {
        let leaves = leaves(256);
        let mut tile = Tile::new();
        for (width, leaf) in (1..).zip(&leaves) {
            tile.push(*leaf);
            let hashes = &leaves[..width];
            assert_eq!(
                Ok(tile.root()),
                merkle::root(TreeSize::new(width as u64), hashes)
            );
            if width % 37 != 0 && width < 250 {
                continue;
            }
            for level in 0..=9 {
                for index in 0..=256 {
                    let expected = merkle::Subtrees::subtree(hashes, level, index).ok();
                    assert_eq!(tile.subtree(level, index), expected, "{level} {index}");
                }
            }
        }
        assert!(tile.is_full());
        assert_eq!(tile.subtree(8, 0), Some(tile.root()));
    }

    #[test]
    fn a_tile_reads_back_from_its_bytes() {
        let leaves = leaves(256);
        for width in [1, 2, 3, 255, 256] {
            let tile = tile_of(&leaves[..width]);
            assert_eq!(tile.to_bytes().len(), width * 32);
            assert_eq!(Tile::from_bytes(&tile.to_bytes()), Ok(tile));
        }
    }

    #[test]
    fn bytes_that_are_not_whole_hashes_or_too_many_are_no_tile() {
        for got in [0, 1, 31, 33, 8191, 8193, 8192 + 32] {
            assert_eq!(Tile::from_bytes(&vec![7; got]), Err(TileBytesError { got }));
        }
    }

    #[test]
    fn a_wider_tile_still_gives_the_narrower_ones() {
        let leaves = leaves(9);
        let tile = tile_of(&leaves);
        for width in 1..=9 {
            let partial = tile.to_partial_bytes(TileWidth::new(width).unwrap());
            let expected = tile_of(&leaves[..usize::from(width)]).to_bytes();
            assert_eq!(partial, Some(expected));
        }
        assert_eq!(tile.to_partial_bytes(TileWidth::new(10).unwrap()), None);
    }

    #[test]
    fn a_full_tile_takes_no_more() {
        let full = tile_of(&leaves(256));
        assert_eq!(tile_of(&leaves(300)), full);
    }

    #[test]
    fn a_width_is_1_to_256() {
        assert_eq!(TileWidth::new(0), None);
        assert_eq!(TileWidth::new(256), Some(TileWidth::FULL));
        assert_eq!(TileWidth::new(257), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn whatever_reads_as_a_tile_writes_the_same_bytes(
            bytes in prop::collection::vec(any::<u8>(), 0..8_300),
        ) {
            for bytes in [&bytes[..], &bytes[..bytes.len() / 32 * 32]] {
                if let Ok(tile) = Tile::from_bytes(bytes) {
                    prop_assert_eq!(tile.to_bytes(), bytes);
                }
            }
        }
    }
}
