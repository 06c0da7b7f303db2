//! The incomplete tiles at the right edge of the log.

use std::sync::Arc;

use thiserror::Error;

use super::{TILE_HEIGHT, TILE_WIDTH, TileId, TileWith, fold};
use crate::hash::Hash;
use crate::ids::TreeSize;
use crate::merkle::{Blake3, Peaks, TreeHasher};

/// The incomplete tiles of a log of some size, one a level: all that is needed to append to it
/// and to know its root.
///
/// A clone shares the tiles and costs six counters; the next append copies only the tiles it
/// changes. So a snapshot can be published after every batch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RightEdgeWith<H> {
    size: TreeSize,
    /// By level. The tile of level `L` has `(size >> 8L) % 256` hashes, possibly none.
    tiles: Vec<Arc<TileWith<H>>>,
}

/// The right edge of the ledger's log.
pub type RightEdge = RightEdgeWith<Blake3>;

/// Why the right edge cannot be built again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RebuildError<E> {
    /// There are not as many last leaves as the size says.
    #[error("the last tile of the log has {want} leaves, not {got}")]
    TailLength {
        /// Leaf hashes given.
        got: u64,
        /// Leaf hashes that a log of this size has in its last tile.
        want: u64,
    },
    /// A tile that must be full is not.
    #[error("tile {tile} is not full")]
    NotFull {
        /// Which one.
        tile: TileId,
    },
    /// A full tile cannot be read.
    #[error("a full tile cannot be read")]
    Source(#[from] E),
}

impl<H: TreeHasher> RightEdgeWith<H> {
    /// The edge of an empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The edge of a log of this size, from its full tiles and the leaf hashes after them.
    ///
    /// Reads at most 255 tiles a level. Its [`root`](Self::root) is computed from what was read,
    /// so whoever compares it with a checkpoint has checked all of that.
    ///
    /// # Errors
    /// [`RebuildError`] when a tile is missing or not full, or the last leaves are not as many as
    /// the size says.
    pub fn rebuild<E>(
        size: TreeSize,
        mut full_tile: impl FnMut(TileId) -> Result<Arc<TileWith<H>>, E>,
        tail_leaves: &[Hash],
    ) -> Result<Self, RebuildError<E>> {
        let got = tail_leaves.len() as u64;
        let want = size.get() % TILE_WIDTH as u64;
        if got != want {
            return Err(RebuildError::TailLength { got, want });
        }
        let mut tiles = Vec::new();
        let mut partial = tile_of(tail_leaves);
        let (mut level, mut hashes) = (0, size.get());
        while hashes > 0 {
            tiles.push(Arc::new(std::mem::take(&mut partial)));
            hashes >>= TILE_HEIGHT;
            for index in hashes - hashes % TILE_WIDTH as u64..hashes {
                let id = TileId { level, index };
                let tile = full_tile(id)?;
                if !tile.is_full() {
                    return Err(RebuildError::NotFull { tile: id });
                }
                partial.push(tile.root());
            }
            level += 1;
        }
        Ok(Self { size, tiles })
    }

    /// The incomplete tiles, level 0 first, some of them empty: with the size, all there is of an
    /// edge.
    pub fn tiles(&self) -> impl Iterator<Item = &TileWith<H>> {
        self.tiles.iter().map(|tile| &**tile)
    }

    /// The edge of a log of this size with the tiles that [`tiles`](Self::tiles) gave; `None` unless
    /// they are as many and as wide as such a log has. Whoever compares its [`root`](Self::root) with
    /// a checkpoint has checked the hashes too.
    #[must_use]
    pub fn of_tiles(size: TreeSize, tiles: Vec<TileWith<H>>) -> Option<Self> {
        let levels = std::iter::successors(Some(size.get()), |hashes| Some(hashes >> TILE_HEIGHT));
        let hashes = levels.take_while(|hashes| *hashes > 0);
        let want = hashes.map(|hashes| hashes % TILE_WIDTH as u64);
        let fits = tiles.iter().map(|tile| tile.width() as u64).eq(want);
        let tiles = tiles.into_iter().map(Arc::new).collect();
        fits.then_some(Self { size, tiles })
    }

    /// Appends leaf hashes, and returns the tiles that they complete, each before the tile that
    /// holds its root.
    #[must_use = "a full tile is no longer in the edge: store it"]
    pub fn append_all(&mut self, leaf_hashes: &[Hash]) -> Vec<(TileId, Arc<TileWith<H>>)> {
        let mut completed = Vec::new();
        for leaf_hash in leaf_hashes {
            self.append_one(*leaf_hash, &mut completed);
        }
        completed
    }

    fn append_one(&mut self, leaf_hash: Hash, completed: &mut Vec<(TileId, Arc<TileWith<H>>)>) {
        let mut hash = leaf_hash;
        let mut index = self.size.get();
        self.size = TreeSize::new(index + 1);
        for level in 0.. {
            index >>= TILE_HEIGHT;
            let at = usize::from(level);
            if at == self.tiles.len() {
                self.tiles.push(Arc::default());
            }
            let Some(tile) = self.tiles.get_mut(at) else {
                return;
            };
            Arc::make_mut(tile).push(hash);
            if !tile.is_full() {
                return;
            }
            hash = tile.root();
            completed.push((TileId { level, index }, std::mem::take(tile)));
        }
    }

    /// How many leaves the log has.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.size
    }

    /// The root of the log.
    #[must_use]
    pub fn root(&self) -> Hash {
        fold::<H>(self.tiles.iter().flat_map(|tile| tile.peaks()))
    }

    /// The incomplete tile with this id; `None` if the tile is full, empty or not begun.
    #[must_use]
    pub fn partial_tile(&self, id: TileId) -> Option<&Arc<TileWith<H>>> {
        let tile = self.tiles.get(usize::from(id.level))?;
        let below = u32::from(TILE_HEIGHT) * (u32::from(id.level) + 1);
        let index = self.size.get().checked_shr(below).unwrap_or(0);
        (index == id.index && tile.width() > 0).then_some(tile)
    }
}

impl RightEdge {
    /// The complete subtrees of the log, to which a verifier can append without a tile.
    #[must_use]
    pub fn peaks(&self) -> Peaks {
        let mut hashes: Vec<Hash> = self.tiles.iter().flat_map(|tile| tile.peaks()).collect();
        hashes.reverse();
        Peaks::of(self.size, hashes)
    }
}

fn tile_of<H: TreeHasher>(hashes: &[Hash]) -> TileWith<H> {
    let mut tile = TileWith::new();
    hashes.iter().for_each(|hash| tile.push(*hash));
    tile
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "a test's logs are small")]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use super::super::Tile;
    use super::super::tests::leaves;
    use super::*;
    use crate::merkle::{self, Sha256};

    #[test]
    fn the_edge_has_the_root_of_all_leaves_at_every_size() {
        let leaves = leaves(600);
        let mut edge = RightEdge::new();
        assert_eq!(edge.root(), crate::hash::empty());
        for size in 1..=600 {
            let _ = edge.append_all(&leaves[size - 1..size]);
            let expected = merkle::root(edge.size(), &leaves[..size]);
            assert_eq!(Ok(edge.root()), expected, "size {size}");
            let peaks = edge.peaks();
            assert_eq!(
                (
                    Peaks::new(edge.size(), peaks.hashes().to_vec()),
                    Ok(peaks.root())
                ),
                (Ok(peaks.clone()), expected)
            );
        }
    }

    #[test]
    fn the_edge_under_another_hash_has_the_root_that_the_rfc_defines_under_it() {
        fn root_of(leaves: &[Hash]) -> Hash {
            match leaves {
                [one] => *one,
                _ => {
                    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
                    Sha256::pair(&root_of(left), &root_of(right))
                }
            }
        }
        let leaves: Vec<Hash> = (0..600_u64)
            .map(|i| Sha256::leaf(&i.to_be_bytes()))
            .collect();
        let mut edge = RightEdgeWith::<Sha256>::new();
        assert_eq!(edge.root(), Sha256::empty());
        let mut stored = HashMap::new();
        for size in 1..=600 {
            stored.extend(edge.append_all(&leaves[size - 1..size]));
            assert_eq!(edge.root(), root_of(&leaves[..size]), "size {size}");
        }
        let read = |id| stored.get(&id).cloned().ok_or(id);
        let rebuilt = RightEdgeWith::rebuild(edge.size(), read, &leaves[512..]);
        assert_eq!(rebuilt, Ok(edge));
    }

    #[test]
    fn leaves_in_one_batch_or_many_make_the_same_edge_and_tiles() {
        let leaves = leaves(70_000);
        let mut whole = RightEdge::new();
        let tiles = whole.append_all(&leaves);
        let mut pieces = RightEdge::new();
        let mut from_pieces = Vec::new();
        for batch in leaves.chunks(777) {
            from_pieces.extend(pieces.append_all(batch));
        }
        assert_eq!(pieces, whole);
        assert_eq!(from_pieces, tiles);
        assert_eq!(tiles.len(), 70_000 / 256 + 70_000 / 65_536);
        assert_eq!(Ok(whole.root()), merkle::root(whole.size(), &leaves[..]));
    }

    #[test]
    fn a_snapshot_is_not_changed_by_later_appends() {
        let leaves = leaves(1_000);
        let mut edge = RightEdge::new();
        let _ = edge.append_all(&leaves[..300]);
        let (snapshot, root) = (edge.clone(), edge.root());
        let _ = edge.append_all(&leaves[300..]);
        assert_eq!(snapshot.root(), root);
        assert_eq!(snapshot.size(), TreeSize::new(300));
        assert_ne!(edge.root(), root);
    }

    #[test]
    fn the_partial_tile_of_a_level_is_the_last_one() {
        let mut edge = RightEdge::new();
        let _ = edge.append_all(&leaves(515));
        let width = |level, index| {
            let tile = edge.partial_tile(TileId { level, index });
            tile.map(|tile| tile.width())
        };
        assert_eq!(width(0, 2), Some(3));
        assert_eq!(width(0, 1), None);
        assert_eq!(width(0, 3), None);
        assert_eq!(width(1, 0), Some(2));
        assert_eq!(width(1, 1), None);
        assert_eq!(width(2, 0), None);
        assert_eq!(width(255, 0), None);
    }

    #[test]
    fn an_edge_rebuilt_from_tiles_is_the_edge() {
        let leaves = leaves(66_200);
        let mut edge = RightEdge::new();
        let mut stored = HashMap::new();
        for size in [
            0, 1, 255, 256, 257, 512, 60_000, 65_535, 65_536, 65_537, 66_200,
        ] {
            let from = edge.size().get() as usize;
            stored.extend(edge.append_all(&leaves[from..size]));
            let tail = &leaves[size - size % 256..size];
            let read = |id| stored.get(&id).cloned().ok_or(id);
            let rebuilt = RightEdge::rebuild(edge.size(), read, tail).unwrap();
            assert_eq!(rebuilt, edge, "size {size}");
            // The rebuilt one goes on like the first.
            let (mut one, mut other) = (edge.clone(), rebuilt);
            assert_eq!(one.append_all(&leaves), other.append_all(&leaves));
            assert_eq!(one.root(), other.root());
        }
    }

    #[test]
    fn an_edge_of_its_own_tiles_is_the_edge_and_of_others_none() {
        let leaves = leaves(66_200);
        let mut edge = RightEdge::new();
        for size in [0, 1, 255, 256, 257, 65_535, 65_536, 66_200] {
            let from = edge.size().get() as usize;
            let _ = edge.append_all(&leaves[from..size]);
            let tiles: Vec<Tile> = edge.tiles().cloned().collect();
            let again = RightEdge::of_tiles(edge.size(), tiles.clone());
            assert_eq!(again.as_ref(), Some(&edge), "size {size}");
            let other = TreeSize::new(size as u64 + 1);
            assert_eq!(RightEdge::of_tiles(other, tiles.clone()), None);
            let fewer = tiles.into_iter().skip(1).collect();
            let fewer = RightEdge::of_tiles(edge.size(), fewer);
            assert_eq!(fewer.is_none(), size > 0, "size {size}");
        }
    }

    #[test]
    fn a_rebuild_from_what_does_not_fit_is_refused_by_name() {
        let leaves = leaves(515);
        let size = TreeSize::new(515);
        let mut edge = RightEdge::new();
        let stored = edge.append_all(&leaves);
        let full = |id: TileId| Ok::<_, Infallible>(stored[id.index as usize].1.clone());
        let short = RightEdge::rebuild(size, full, &leaves[513..]);
        assert_eq!(short, Err(RebuildError::TailLength { got: 2, want: 3 }));
        let missing = RightEdge::rebuild(size, Err, &leaves[512..]);
        let first = TileId { level: 0, index: 0 };
        assert_eq!(missing, Err(RebuildError::Source(first)));
        let partial = |_| Ok::<_, Infallible>(Arc::new(tile_of(&leaves[..255])));
        let narrow = RightEdge::rebuild(size, partial, &leaves[512..]);
        assert_eq!(narrow, Err(RebuildError::NotFull { tile: first }));
    }

    #[test]
    fn one_flipped_byte_of_a_tile_or_leaf_changes_the_rebuilt_root() {
        let leaves = leaves(300);
        let mut edge = RightEdge::new();
        let stored = edge.append_all(&leaves)[0].1.to_bytes();
        for at in [0, 31, 4_000, 8_191] {
            let mut bytes = stored.clone();
            bytes[at] ^= 1;
            let read = |_| Tile::from_bytes(&bytes).map(Arc::new);
            let rebuilt = RightEdge::rebuild(edge.size(), read, &leaves[256..]).unwrap();
            assert_ne!(rebuilt.root(), edge.root());
        }
    }
}
