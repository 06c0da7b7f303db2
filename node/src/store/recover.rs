//! What a node does before it signs anything: compute every root again from the bytes on disk.

use std::sync::Arc;

use proto::checkpoint::SignedCheckpoint;
use proto::hash::Hash;
use proto::ids::{LeafIndex, TreeSize};
use proto::map::{Bucket, Crown, MapRebuildError, Prefix};
use proto::merkle;
use proto::tile::{ENTRIES_PER_CHUNK, RightEdge, Tile, TileId, parse_bundle};
use thiserror::Error;

use super::commit::{FORMAT_VERSION, Tail, Writer};
use super::{Store, StoreError, Stored, keys, lock};

/// Most tiles that are stored beyond those the entries make. There is none; the scan stops here.
const EXTRA_TILES_MAX: usize = 1;

/// Why what is stored is no ledger. A node that finds one of these must not start: it is rebuilt
/// from its peers.
#[derive(Debug, Error)]
pub enum RecoverError {
    /// Something is missing or cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It was written by another version.
    #[error("the ledger has format version {got}, this program reads {FORMAT_VERSION}")]
    Version {
        /// Its version.
        got: u8,
    },
    /// There is no head, but something of a ledger.
    #[error("the ledger has no head, but is not empty")]
    NoHead,
    /// A stored tile is not the one that the entries make.
    #[error("tile {tile} is not the one that the entries below it make")]
    Tile {
        /// Which one.
        tile: TileId,
    },
    /// There are tiles that the entries do not make.
    #[error("there are tiles beyond the end of the log")]
    ExtraTiles,
    /// Entries that were acknowledged are gone: the database took a broken byte for its end.
    #[error("there are {got} entries, and {want} were durable: rebuild this node from its peers")]
    Shortened {
        /// How many there are.
        got: TreeSize,
        /// How many there were.
        want: TreeSize,
    },
    /// There are more or fewer entries than the checkpoint says.
    #[error("there are {got} entries, the checkpoint says {want}")]
    LogSize {
        /// How many there are.
        got: TreeSize,
        /// What the checkpoint says.
        want: TreeSize,
    },
    /// The entries do not make the log of the checkpoint.
    #[error("the entries have the root {got}, the checkpoint says {want}")]
    LogRoot {
        /// Their root.
        got: Hash,
        /// What the checkpoint says.
        want: Hash,
    },
    /// The buckets are not those of any map.
    #[error("the map cannot be built: {0}")]
    Map(#[source] MapRebuildError<StoreError>),
    /// The buckets do not make the map of the checkpoint.
    #[error("the map has the root {got}, the checkpoint says {want}")]
    MapRoot {
        /// Their root.
        got: Hash,
        /// What the checkpoint says.
        want: Hash,
    },
}

/// A ledger whose every stored byte of log and map was found to fit its checkpoint.
#[derive(Debug)]
pub struct Recovered {
    /// The newest checkpoint. Its signatures are for the caller to verify: who may sign, the
    /// roster says.
    pub checkpoint: SignedCheckpoint,
    /// The right edge of the log.
    pub edge: RightEdge,
    /// The map.
    pub crown: Crown,
}

impl Store {
    /// Computes the log and the map again from every stored entry, tile and bucket, and compares
    /// them with the newest checkpoint; carries out erasures that a crash interrupted.
    ///
    /// `None` when the ledger is empty. Only after this can anything be committed.
    ///
    /// # Errors
    /// [`RecoverError`], the first thing that does not fit. The store then takes no commit.
    pub fn recover(&self) -> Result<Option<Recovered>, RecoverError> {
        let mut writer = lock(&self.0.writer);
        let mut tail = Tail {
            carried_out: self.finish_erasures()?,
            ..Tail::default()
        };
        let recovered = self.recompute(&mut tail)?;
        self.require_mark(tail.size)?;
        if matches!(*writer, Writer::NotRecovered) {
            lock(&self.0.progress).recovered(tail.size);
        }
        // After a failed sync, what can be read is not what is durable: only a restart helps.
        if !matches!(*writer, Writer::Poisoned) {
            *writer = Writer::Ready(tail);
        }
        Ok(recovered)
    }

    /// What was found is all that was durable, by what is kept outside the database.
    fn require_mark(&self, got: TreeSize) -> Result<(), RecoverError> {
        let mark = self.0.vault.mark().map_err(StoreError::Io)?;
        let want = mark.map_or(TreeSize::new(0), |mark| mark.durable);
        match mark {
            None if got == want => Ok(()),
            Some(mark) if mark.allows(got) => Ok(()),
            _ => Err(RecoverError::Shortened { got, want }),
        }
    }

    fn recompute(&self, tail: &mut Tail) -> Result<Option<Recovered>, RecoverError> {
        let Some(checkpoint) = self.head()? else {
            return Ok(None);
        };
        let claimed = checkpoint.claimed();
        let edge = self.recompute_log(tail)?;
        let (got, want) = (edge.size(), claimed.size);
        if got != want {
            return Err(RecoverError::LogSize { got, want });
        }
        let (got, want) = (edge.root(), claimed.log_root);
        if got != want {
            return Err(RecoverError::LogRoot { got, want });
        }
        let crown = Crown::rebuild(self.stored_buckets()).map_err(RecoverError::Map)?;
        let (got, want) = (crown.root(), claimed.map_root);
        if got != want {
            return Err(RecoverError::MapRoot { got, want });
        }
        Ok(Some(Recovered {
            checkpoint,
            edge,
            crown,
        }))
    }

    /// The newest checkpoint; `None` when nothing at all is stored.
    fn head(&self) -> Result<Option<SignedCheckpoint>, RecoverError> {
        let corrupt = StoreError::Corrupt { what: Stored::Head };
        let Some(head) = self.0.database.value(keys::HEAD)? else {
            for prefix in keys::LEDGER {
                if self.0.database.has_any(prefix)? {
                    return Err(RecoverError::NoHead);
                }
            }
            return Ok(None);
        };
        match head.split_first() {
            Some((&FORMAT_VERSION, text)) => {
                let checkpoint = SignedCheckpoint::parse(text).map_err(|_| corrupt)?;
                Ok(Some(checkpoint))
            }
            Some((&got, _)) => Err(RecoverError::Version { got }),
            None => Err(corrupt.into()),
        }
    }

    /// Hashes every entry, and compares every tile that they complete with the stored one.
    fn recompute_log(&self, tail: &mut Tail) -> Result<RightEdge, RecoverError> {
        let mut edge = RightEdge::new();
        let mut tiles = 0;
        for (want, chunk) in (0..).zip(self.0.database.scan(keys::CHUNKS)) {
            let (key, bytes) = chunk?;
            let corrupt = || StoreError::Corrupt {
                what: Stored::Chunk(want),
            };
            // Only the last chunk may be short, so a short one before another is a gap.
            if keys::number(&key) != Some(want) || !tail.chunk.is_empty() {
                return Err(corrupt().into());
            }
            let entries = parse_bundle(&bytes).map_err(|_| corrupt())?;
            if entries.len() > ENTRIES_PER_CHUNK {
                return Err(corrupt().into());
            }
            if entries.len() < ENTRIES_PER_CHUNK {
                tail.chunk = bytes.to_vec();
            }
            let leaves: Vec<Hash> = entries.into_iter().map(merkle::leaf).collect();
            for (id, tile) in edge.append_all(&leaves) {
                self.compare_tile(id, &tile)?;
                tiles += 1;
            }
        }
        let stored = self
            .0
            .database
            .scan(keys::TILES)
            .take(tiles + EXTRA_TILES_MAX);
        if stored.count() > tiles {
            return Err(RecoverError::ExtraTiles);
        }
        tail.size = edge.size();
        Ok(edge)
    }

    fn compare_tile(&self, id: TileId, tile: &Arc<Tile>) -> Result<(), RecoverError> {
        let missing = StoreError::Corrupt {
            what: Stored::Tile(id),
        };
        let stored = self.0.database.value(&keys::tile(id))?;
        if stored.ok_or(missing)? != tile.to_bytes() {
            return Err(RecoverError::Tile { tile: id });
        }
        Ok(())
    }

    fn stored_buckets(&self) -> impl Iterator<Item = Result<(Prefix, Bucket), StoreError>> {
        self.0.database.scan(keys::BUCKETS).map(|stored| {
            let (key, bytes) = stored?;
            let prefix = keys::bucket_prefix(&key);
            let corrupt = || StoreError::Corrupt {
                what: Stored::Bucket(prefix),
            };
            let bucket = Bucket::from_bytes(&bytes).map_err(|_| corrupt())?;
            Ok((prefix.ok_or_else(corrupt)?, bucket))
        })
    }

    /// Overwrites the salts whose erasure is durable but was perhaps not carried out.
    fn finish_erasures(&self) -> Result<Vec<LeafIndex>, StoreError> {
        let mut erased = Vec::new();
        for mark in self.0.database.scan(keys::ERASURES) {
            let (key, _) = mark?;
            let corrupt = StoreError::Corrupt {
                what: Stored::Erasure,
            };
            erased.push(LeafIndex::new(keys::number(&key).ok_or(corrupt)?));
        }
        self.erase_salts(&erased)?;
        Ok(erased)
    }
}
