//! What the head log needs to be durable: its leaves, its full tiles, and how far it has come.
//!
//! It lies beside the ledger in the same database, and is nothing the ledger depends on: whoever
//! cannot read it begins another one. How far it has come is written into a file beside the database
//! too: a broken byte makes the database take the one before for the newest, and that would be
//! continued a second time.

use std::path::PathBuf;
use std::sync::Arc;

use proto::hash::{Context, HASH_BYTES, Hash, derive};
use proto::head_log::HeadLogLife;
use proto::ids::{LeafIndex, TreeSize};
use proto::merkle::{Sha256, TreeHasher as _};
use proto::tile::{TileId, TileSource, TileWith};

use super::unwritten::Batch;
use super::{Store, StoreError, Stored, keys};

/// The format of the state that this code writes and reads.
const STATE_VERSION: u8 = 1;
/// Version, life, size, root, newest.
const STATE_BYTES: usize = 1 + 8 + 8 + HASH_BYTES + 8;
/// Most keys of a former life that are removed at once: a batch keeps readers waiting.
const REMOVED_AT_ONCE: usize = 1024;

/// How far the head log has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLogState {
    /// Which life of it.
    pub life: HeadLogLife,
    /// How many leaves it has.
    pub size: TreeSize,
    /// The root over them.
    pub root: Hash,
    /// The size of the ledger at the checkpoint in its last leaf; 0 without leaves.
    pub newest: TreeSize,
}

impl HeadLogState {
    /// A life that has nothing yet.
    #[must_use]
    pub fn begun(life: HeadLogLife) -> Self {
        Self {
            life,
            size: TreeSize::default(),
            root: Sha256::empty(),
            newest: TreeSize::default(),
        }
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = vec![STATE_VERSION];
        bytes.extend(self.life.get().to_be_bytes());
        bytes.extend(self.size.get().to_be_bytes());
        bytes.extend(self.root.as_bytes());
        bytes.extend(self.newest.get().to_be_bytes());
        let check = derive(Context::HeadLog, &[&bytes]);
        bytes.extend(check.as_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (state, check) = bytes.split_last_chunk::<HASH_BYTES>()?;
        if derive(Context::HeadLog, &[state]).as_bytes() != check || state.len() != STATE_BYTES {
            return None;
        }
        let (&STATE_VERSION, rest) = state.split_first()? else {
            return None;
        };
        let (life, rest) = rest.split_first_chunk()?;
        let (size, rest) = rest.split_first_chunk()?;
        let (root, newest) = rest.split_first_chunk()?;
        Some(Self {
            life: HeadLogLife::new(u64::from_be_bytes(*life)),
            size: TreeSize::new(u64::from_be_bytes(*size)),
            root: Hash::from_bytes(*root),
            newest: TreeSize::new(u64::from_be_bytes(newest.try_into().ok()?)),
        })
    }
}

impl Store {
    /// How far the head log has come; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when what is stored fails its check.
    pub fn head_log(&self) -> Result<Option<HeadLogState>, StoreError> {
        let Some(bytes) = self.0.database.value(keys::HEAD_LOG)? else {
            return Ok(None);
        };
        let corrupt = || StoreError::Corrupt {
            what: Stored::HeadLog,
        };
        let state = HeadLogState::from_bytes(&bytes).ok_or_else(corrupt)?;
        match self.head_log_mark() {
            Some(mark) if mark.life == state.life && mark.size > state.size => Err(corrupt()),
            _ => Ok(Some(state)),
        }
    }

    /// How far it had come at least; `None` where that was torn or never written.
    fn head_log_mark(&self) -> Option<HeadLogState> {
        HeadLogState::from_bytes(&std::fs::read(self.head_log_mark_path()).ok()?)
    }

    fn head_log_mark_path(&self) -> PathBuf {
        self.0.engine_dir.with_file_name("head-log")
    }

    /// A leaf of the head log, as stored: believe it once its hash is in the tree.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when there is none.
    pub fn head_log_leaf(&self, index: LeafIndex) -> Result<Vec<u8>, StoreError> {
        let leaf = self.0.database.value(&keys::head_log_leaf(index))?;
        let missing = StoreError::Corrupt {
            what: Stored::HeadLogLeaf(index),
        };
        leaf.map(|bytes| bytes.to_vec()).ok_or(missing)
    }

    /// Makes the next leaf of the head log durable, with the tiles that it completes: all of it or
    /// nothing. `state` is what the head log is after it.
    ///
    /// Cost: one sync.
    ///
    /// # Errors
    /// [`StoreError::DiskFull`] before anything is written. [`StoreError::SyncFailed`] leaves open
    /// whether the leaf is durable; after it every write is refused with
    /// [`StoreError::Poisoned`], those of the ledger too. [`StoreError::Io`]: the leaf is durable.
    pub fn append_head_log(
        &self,
        leaf: &[u8],
        tiles: &[(TileId, Arc<TileWith<Sha256>>)],
        state: &HeadLogState,
    ) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let index = LeafIndex::new(state.size.get().saturating_sub(1));
        batch.insert(&keys::head_log_leaf(index), leaf);
        for (id, tile) in tiles {
            batch.insert(&keys::head_log_tile(*id), tile.to_bytes());
        }
        let bytes = state.to_bytes();
        batch.insert(keys::HEAD_LOG, bytes.as_slice());
        self.write_head_log(batch)?;
        // Not synced: after a power cut the one before allows this size.
        std::fs::write(self.head_log_mark_path(), bytes)?;
        Ok(())
    }

    /// Removes the head log there is, how far it has come first, so that no crash on the way brings
    /// it back; and begins another life of it.
    ///
    /// # Errors
    /// Those of [`append_head_log`](Self::append_head_log).
    pub fn begin_head_log(&self, life: HeadLogLife) -> Result<HeadLogState, StoreError> {
        for prefix in [keys::HEAD_LOG, keys::HEAD_LOG_LEAVES, keys::HEAD_LOG_TILES] {
            loop {
                let found = self.0.database.scan(prefix).take(REMOVED_AT_ONCE);
                let found = found.collect::<Result<Vec<_>, _>>()?;
                if found.is_empty() {
                    break;
                }
                let mut batch = Batch::default();
                found.into_iter().for_each(|(key, _)| batch.remove(key));
                self.write_and_sync([batch])?;
            }
        }
        let state = HeadLogState::begun(life);
        let mut batch = Batch::default();
        batch.insert(keys::HEAD_LOG, state.to_bytes());
        self.write_head_log(batch)?;
        Ok(state)
    }

    fn write_head_log(&self, batch: Batch) -> Result<(), StoreError> {
        self.refuse_after_failure()?;
        self.0.free_space.check()?;
        self.write_and_sync([batch])
    }

    /// The full tiles of the head log.
    #[must_use]
    pub fn head_log_tiles(&self) -> HeadLogTiles<'_> {
        HeadLogTiles(self)
    }
}

/// The full tiles of the head log, as stored.
#[derive(Debug, Clone, Copy)]
pub struct HeadLogTiles<'a>(&'a Store);

impl TileSource<Sha256> for HeadLogTiles<'_> {
    type Error = StoreError;

    fn full_tile(&self, id: TileId) -> Result<Arc<TileWith<Sha256>>, StoreError> {
        let corrupt = || StoreError::Corrupt {
            what: Stored::HeadLogTile(id),
        };
        let bytes = self.0.0.database.value(&keys::head_log_tile(id))?;
        let tile = TileWith::from_bytes(&bytes.ok_or_else(corrupt)?);
        tile.map(Arc::new).map_err(|_| corrupt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_reads_back_and_no_byte_of_it_can_change() {
        let state = HeadLogState {
            size: TreeSize::new(3),
            newest: TreeSize::new(70),
            ..HeadLogState::begun(HeadLogLife::new(0x0102_0304_0506_0708))
        };
        let bytes = state.to_bytes();
        assert_eq!(HeadLogState::from_bytes(&bytes), Some(state));
        for place in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[place] ^= 0x10;
            assert_eq!(HeadLogState::from_bytes(&bytes), None, "{place}");
        }
        assert_eq!(HeadLogState::from_bytes(&bytes[..bytes.len() - 1]), None);
        assert_eq!(HeadLogState::from_bytes(&[]), None);
    }
}
