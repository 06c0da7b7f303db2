//! The whole log: its right edge in memory, its full tiles in storage.

use std::cell::RefCell;
use std::sync::Arc;

use thiserror::Error;

use super::{RightEdgeWith, TILE_HEIGHT, TILE_LEVEL_MAX, TileId, TileWith};
use crate::hash::Hash;
use crate::merkle::{Blake3, MissingSubtree, Subtrees, TreeHasher};

/// Where full tiles are stored.
pub trait TileSource<H = Blake3> {
    /// Why a tile cannot be read.
    type Error;

    /// The full tile with this id, as stored; it need not be believed.
    ///
    /// # Errors
    /// Whatever keeps the store from answering.
    fn full_tile(&self, id: TileId) -> Result<Arc<TileWith<H>>, Self::Error>;
}

/// Why the log cannot answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TileError<E> {
    /// A stored tile is not the one that the log was built from.
    #[error("tile {tile} is corrupt: the tile above it has another hash")]
    CorruptTile {
        /// Which one.
        tile: TileId,
    },
    /// The log is too short for this subtree.
    #[error(transparent)]
    Missing(#[from] MissingSubtree),
    /// A full tile cannot be read.
    #[error("a full tile cannot be read")]
    Source(#[source] E),
}

/// The tiles of a log as of one [`RightEdgeWith`]; makes proofs, through [`Subtrees`].
///
/// Every stored tile is checked against the hash that the tile above has for it, up to the edge.
/// So whatever comes out is under the root of the edge, or nothing comes out. A view is made for
/// one request and is not shared between threads.
#[derive(Debug)]
pub struct TiledLogWith<'a, S, H> {
    edge: &'a RightEdgeWith<H>,
    source: &'a S,
    /// The last checked tile of each level: a proof mostly stays inside one tile a level.
    checked: RefCell<LastByLevel<H>>,
}

/// The tiles of the ledger's log.
pub type TiledLog<'a, S> = TiledLogWith<'a, S, Blake3>;

type LastByLevel<H> = [Option<(u64, Arc<TileWith<H>>)>; TILE_LEVEL_MAX as usize + 1];

impl<'a, H: TreeHasher, S: TileSource<H>> TiledLogWith<'a, S, H> {
    /// The log with this edge, whose full tiles are in this source.
    #[must_use]
    pub fn new(edge: &'a RightEdgeWith<H>, source: &'a S) -> Self {
        Self {
            edge,
            source,
            checked: RefCell::default(),
        }
    }

    /// The tile with this id, full or partial, checked.
    ///
    /// # Errors
    /// [`TileError::CorruptTile`] when the stored tile is not the log's own,
    /// [`TileError::Missing`] when the log is too short to have begun it.
    pub fn tile(&self, id: TileId) -> Result<Arc<TileWith<H>>, TileError<S::Error>> {
        if let Some(tile) = self.edge.partial_tile(id) {
            return Ok(tile.clone());
        }
        if let Some(tile) = self.already_checked(id) {
            return Ok(tile);
        }
        // Ends at the edge: each level up has a 256th of the tiles, and past the highest there is
        // no tile.
        if id.level > TILE_LEVEL_MAX {
            let level = id.level.saturating_mul(TILE_HEIGHT);
            let index = id.index;
            return Err(MissingSubtree { level, index }.into());
        }
        let (above, place) = id.above();
        let expected = self.tile(above)?.subtree(0, place).ok_or(MissingSubtree {
            level: above.level * TILE_HEIGHT,
            index: id.index,
        })?;
        let tile = self.source.full_tile(id).map_err(TileError::Source)?;
        if !tile.is_full() || tile.root() != expected {
            return Err(TileError::CorruptTile { tile: id });
        }
        self.remember(id, &tile);
        Ok(tile)
    }

    fn already_checked(&self, id: TileId) -> Option<Arc<TileWith<H>>> {
        let checked = self.checked.borrow();
        let (index, tile) = checked.get(usize::from(id.level))?.as_ref()?;
        (*index == id.index).then(|| tile.clone())
    }

    fn remember(&self, id: TileId, tile: &Arc<TileWith<H>>) {
        if let Some(slot) = self.checked.borrow_mut().get_mut(usize::from(id.level)) {
            *slot = Some((id.index, tile.clone()));
        }
    }
}

impl<H: TreeHasher, S: TileSource<H>> Subtrees for TiledLogWith<'_, S, H> {
    type Error = TileError<S::Error>;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, Self::Error> {
        let inside = level % TILE_HEIGHT;
        let id = TileId {
            level: level / TILE_HEIGHT,
            index: index >> (TILE_HEIGHT - inside),
        };
        let first = id.index << (TILE_HEIGHT - inside);
        let hash = self.tile(id)?.subtree(inside, index - first);
        hash.ok_or(MissingSubtree { level, index }.into())
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "a test's logs are small")]
mod tests {
    use std::cell::Cell;
    use std::collections::HashMap;

    use super::super::tests::leaves;
    use super::super::{RightEdge, Tile};
    use super::*;
    use crate::ids::{LeafIndex, TreeSize};
    use crate::merkle::{self, ProveError};

    /// Tiles as bytes, as a disk has them.
    #[derive(Default)]
    struct Disk {
        tiles: HashMap<TileId, Vec<u8>>,
        reads: Cell<usize>,
    }

    impl TileSource for Disk {
        type Error = TileId;

        fn full_tile(&self, id: TileId) -> Result<Arc<Tile>, TileId> {
            self.reads.set(self.reads.get() + 1);
            let bytes = self.tiles.get(&id).ok_or(id)?;
            Tile::from_bytes(bytes).map(Arc::new).map_err(|_| id)
        }
    }

    fn log_of(leaves: &[Hash]) -> (RightEdge, Disk) {
        let mut edge = RightEdge::new();
        let mut disk = Disk::default();
        for (id, tile) in edge.append_all(leaves) {
            disk.tiles.insert(id, tile.to_bytes());
        }
        (edge, disk)
    }

    #[test]
    fn proofs_of_a_log_with_three_levels_of_tiles_verify_at_old_and_new_sizes() {
        let leaves = leaves(66_000);
        let (edge, disk) = log_of(&leaves);
        let log = TiledLog::new(&edge, &disk);
        let sizes = [
            1, 2, 255, 256, 257, 511, 40_000, 65_536, 65_537, 65_793, 66_000,
        ];
        for (i, size) in sizes.into_iter().enumerate() {
            let new = TreeSize::new(size);
            let root = merkle::root(new, &log).unwrap();
            assert_eq!(Ok(root), merkle::root(new, &leaves[..]));
            for at in [0, 1, size / 3, size / 2, size - 1].map(|at| at.min(size - 1)) {
                let index = LeafIndex::new(at);
                let proof = merkle::prove_inclusion(index, new, &log).unwrap();
                let verified = proof.verify(leaves[at as usize], index, new, root);
                assert_eq!(verified, Ok(()), "{at} in {size}");
            }
            for old in sizes.into_iter().take(i + 1).map(TreeSize::new) {
                let proof = merkle::prove_consistency(old, new, &log).unwrap();
                let old_root = merkle::root(old, &log).unwrap();
                assert_eq!(proof.verify(old, old_root, new, root), Ok(()));
            }
        }
        assert_eq!(merkle::root(edge.size(), &log), Ok(edge.root()));
    }

    #[test]
    fn a_proof_reads_each_tile_of_its_path_once() {
        let (edge, disk) = log_of(&leaves(66_000));
        let log = TiledLog::new(&edge, &disk);
        let _ = merkle::prove_inclusion(LeafIndex::new(12_345), edge.size(), &log).unwrap();
        assert_eq!(disk.reads.get(), 2);
    }

    #[test]
    fn one_flipped_byte_in_any_tile_of_the_path_lets_no_proof_out() {
        let (edge, mut disk) = log_of(&leaves(66_000));
        for tile in [
            TileId {
                level: 0,
                index: 48,
            },
            TileId { level: 1, index: 0 },
        ] {
            for at in [0, 33, 57 * 32, 8_191] {
                disk.tiles.get_mut(&tile).unwrap()[at] ^= 0x10;
                let log = TiledLog::new(&edge, &disk);
                assert_eq!(
                    merkle::prove_inclusion(LeafIndex::new(12_345), edge.size(), &log),
                    Err(ProveError::Subtrees(TileError::CorruptTile { tile }))
                );
                assert_eq!(log.tile(tile), Err(TileError::CorruptTile { tile }));
                disk.tiles.get_mut(&tile).unwrap()[at] ^= 0x10;
            }
        }
        let log = TiledLog::new(&edge, &disk);
        assert!(merkle::prove_inclusion(LeafIndex::new(12_345), edge.size(), &log).is_ok());
    }

    #[test]
    fn a_tile_cut_short_or_put_in_another_place_is_corrupt() {
        let (edge, mut disk) = log_of(&leaves(1_000));
        let [one, two] = [0, 1].map(|index| TileId { level: 0, index });
        let narrow = disk.tiles[&one][..255 * 32].to_vec();
        let other = disk.tiles[&two].clone();
        for bytes in [narrow, other] {
            disk.tiles.insert(one, bytes);
            let log = TiledLog::new(&edge, &disk);
            assert_eq!(log.tile(one), Err(TileError::CorruptTile { tile: one }));
        }
    }

    #[test]
    fn a_tile_that_cannot_be_read_is_the_sources_error() {
        let (edge, mut disk) = log_of(&leaves(1_000));
        let gone = TileId { level: 0, index: 2 };
        disk.tiles.remove(&gone);
        let log = TiledLog::new(&edge, &disk);
        assert_eq!(log.subtree(3, 65), Err(TileError::Source(gone)));
    }

    #[test]
    fn what_the_log_does_not_have_yet_is_missing() {
        let (edge, disk) = log_of(&leaves(600));
        let log = TiledLog::new(&edge, &disk);
        for (level, index) in [
            (0, 600),
            (0, u64::MAX),
            (3, 75),
            (8, 2),
            (9, 1),
            (16, 0),
            (63, 1),
            (64, 0),
            (255, u64::MAX),
        ] {
            let missing = matches!(log.subtree(level, index), Err(TileError::Missing(_)));
            assert!(missing, "{level} {index}");
        }
        assert!(log.subtree(9, 0).is_ok());
    }
}
