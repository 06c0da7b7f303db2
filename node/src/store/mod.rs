//! What is durable: the log, the map, the answers to requests, and the erasable vault.
//!
//! One database (sled) with one tree, all that was applied in one write and our own sync after it;
//! beside it a flat file with the salts of sealed payloads, because salts must be erasable in place.
//!
//! ```text
//! ledger/db        everything but the salts, under the keys of `keys`
//! ledger/blobs/    stays empty: the database never syncs what it puts there
//! vault/salts      how far the log had come; 32 bytes for each entry, zeros where there is none
//! vault/engine/    the log, vote and cosign lock of the ordering engine
//! ballast          16 MiB to delete when the disk is full, so that the database opens again
//! ```
//!
//! Nothing that is read is believed for having been stored. Tiles, entries and buckets are checked
//! against the roots by who reads them, answers against their own check, payloads against the
//! commitment of their entry; [`Store::recover`] checks the whole before anything is signed.
//!
//! A thief with these files has sealed entries, pseudorandom keys and, until they are erased, the
//! salts. Without the tokens, which no node has, no payload opens.

mod answer;
mod cache;
mod commit;
mod database;
mod disk;
mod engine;
mod head_log;
mod keys;
mod payloads;
mod progress;
mod recover;
mod reserve;
mod unwritten;
mod vault;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::entry::Entry;
use proto::ids::{LeafIndex, TreeSize, UnixMillis};
use proto::map::{Bucket, BucketSource, Prefix};
use proto::seal::{Salt, SealedPayload};
use proto::tile::{Tile, TileId, TileSource, parse_bundle};
use thiserror::Error;

pub use self::commit::{Salts, Writes};
pub use self::database::is_held;
pub use self::disk::{
    BALLAST_BYTES, DISK_WATERMARK_BYTES, DiskSpace, SyncMode, SyncObserver, SyncProbe,
};
pub use self::engine::{EngineState, RecordSpan, SignedLock};
pub use self::head_log::{HeadLogState, HeadLogTiles};
pub use self::recover::{RecoverError, Recovered};

use self::cache::{Buckets, Generations};
use self::commit::Writer;
use self::database::Database;
use self::disk::{FreeSpace, Syncs};
use self::engine::{EngineWriter, Segments};
use self::progress::Progress;
use self::unwritten::Batch;
use self::vault::Vault;
use crate::engine::record::RecordError;
use crate::ledger::{Answered, RequestKey};

/// Memory for caches, unless configured otherwise.
pub const CACHE_BYTES: u64 = 256 * 1024 * 1024;
/// What a cached bucket takes: sixteen leaves of 129 bytes, and its places in the tables.
const CACHED_BUCKET_BYTES: u64 = 2560;
/// Cached full tiles, of 16 KiB each with their pairs: the newest 256,000 entries and all above.
const TILES_CACHED: usize = 1024;
/// Cached entries, of about 1 KiB each: the catalogue, and the coverages that claims rest on.
const ENTRIES_CACHED: usize = 16 * 1024;

/// Why the store did not do what it was asked to. Nothing that is stored is quoted.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The database cannot be opened or read as a whole.
    #[error("the database cannot be read: rebuild this node from its peers")]
    Unreadable,
    /// Another process has it open.
    #[error("another process has the ledger open")]
    Locked,
    /// The database put a value into a file of its own, which no sync covers.
    #[error("ledger/blobs must be empty: rebuild this node from its peers")]
    Blobs,
    /// Something stored is missing, or is not what was stored.
    #[error("stored {what} is missing or corrupt")]
    Corrupt {
        /// What it is.
        what: Stored,
    },
    /// The state that was asked for is too long ago: some of its buckets are gone. Ask again
    /// with a newer one.
    #[error("the state at size {size} is no longer at hand")]
    Superseded {
        /// The size of the log at that state.
        size: TreeSize,
    },
    /// There is too little room to commit. Nothing was written.
    #[error("{free} bytes are free on the disk, commits need {watermark}")]
    DiskFull {
        /// What is free.
        free: u64,
        /// What must be.
        watermark: u64,
    },
    /// The commit does not continue the log. Nothing was written.
    #[error("the commit begins at entry {got} and must begin at {want}")]
    OutOfPlace {
        /// Where it begins.
        got: LeafIndex,
        /// Where it must begin.
        want: LeafIndex,
    },
    /// The checkpoint does not have the size that the log has after the commit. Nothing was
    /// written.
    #[error("the checkpoint has size {got}, the log has {want}")]
    WrongSize {
        /// What the checkpoint says.
        got: TreeSize,
        /// What the log has.
        want: TreeSize,
    },
    /// [`Store::recover`] has not found the ledger sound yet.
    #[error("the ledger was not recovered yet")]
    NotRecovered,
    /// A write or sync failed. Whether the commit is durable, only a restart can tell.
    #[error("a write or sync failed: {0}")]
    SyncFailed(#[source] io::Error),
    /// A write or sync failed before, so that nothing can be promised until a restart.
    #[error("a write or sync failed before: restart the node")]
    Poisoned,
    /// The engine's state was not read yet.
    #[error("the engine's state was not read yet")]
    EngineNotBegun,
    /// Records that the engine was told to be durable are gone from the end of its log.
    #[error(
        "the engine's log ends before index {got}, and reached {want}: rebuild this node from its peers"
    )]
    EngineShortened {
        /// The index after the last that is left.
        got: u64,
        /// The index after the last that was durable, at least.
        want: u64,
    },
    /// The records do not continue the engine's log. Nothing was written.
    #[error("the records begin at index {got} and must begin at {want}")]
    RecordOutOfPlace {
        /// Where they begin, or where one of them is.
        got: u64,
        /// Where it must be.
        want: u64,
    },
    /// A record or membership of the engine is too large. Nothing was written.
    #[error("the engine's record cannot be written: {0}")]
    Record(#[from] RecordError),
    /// A checkpoint that this node signed before forbids this one. Nothing was written.
    #[error("a checkpoint of size {held} was signed, which forbids this one of size {got}")]
    AlreadySigned {
        /// The size of the one that is to be signed.
        got: TreeSize,
        /// The size of the one that was.
        held: TreeSize,
    },
    /// The operating system did not do it.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Something that is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// A page of the database itself.
    Page,
    /// Format version and newest checkpoint.
    Head,
    /// Sixteen entries.
    Chunk(u64),
    /// A full tile.
    Tile(TileId),
    /// A bucket of the map; `None` when even its key is no prefix.
    Bucket(Option<Prefix>),
    /// The sealed payload of an entry.
    Payload(LeafIndex),
    /// The answer to a request.
    Answer,
    /// The mark of an erasure.
    Erasure,
    /// The engine's state.
    EngineState,
    /// How far the engine's log was applied.
    EngineApplied,
    /// Up to where the engine's newest snapshot reaches.
    EngineSnapshot,
    /// A record of the engine's log.
    EngineRecord(u64),
    /// How far the head log has come.
    HeadLog,
    /// A leaf of the head log.
    HeadLogLeaf(LeafIndex),
    /// A full tile of the head log.
    HeadLogTile(TileId),
}

impl fmt::Display for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Page => f.write_str("page"),
            Self::Head => f.write_str("head"),
            Self::Chunk(index) => write!(f, "entry chunk {index}"),
            Self::Tile(id) => write!(f, "tile {id}"),
            Self::Bucket(Some(prefix)) => write!(f, "map bucket {prefix}"),
            Self::Bucket(None) => f.write_str("map bucket"),
            Self::Payload(leaf) => write!(f, "payload of entry {leaf}"),
            Self::Answer => f.write_str("answer"),
            Self::Erasure => f.write_str("erasure mark"),
            Self::EngineState => f.write_str("state of the engine"),
            Self::EngineApplied => f.write_str("applied place of the engine"),
            Self::EngineSnapshot => f.write_str("snapshot of the engine"),
            Self::EngineRecord(index) => write!(f, "record {index} of the engine"),
            Self::HeadLog => f.write_str("state of the head log"),
            Self::HeadLogLeaf(index) => write!(f, "leaf {index} of the head log"),
            Self::HeadLogTile(id) => write!(f, "tile {id} of the head log"),
        }
    }
}

/// How a store is opened.
#[derive(Debug, Clone, Copy)]
pub struct StoreOptions {
    /// What a sync does.
    pub sync: SyncMode,
    /// Memory for caches, half of it the database's.
    pub cache_bytes: u64,
    /// Free space below which nothing is committed.
    pub disk_watermark_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            sync: SyncMode::Durable,
            cache_bytes: CACHE_BYTES,
            disk_watermark_bytes: DISK_WATERMARK_BYTES,
        }
    }
}

/// The durable ledger of one node. A clone is another handle on the same one.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    database: Database,
    vault: Vault,
    syncs: Syncs,
    free_space: FreeSpace,
    /// Whether a write or sync of the database failed.
    failed: AtomicBool,
    /// Held by whoever syncs the database.
    syncing: Mutex<()>,
    progress: Mutex<Progress>,
    writer: Mutex<Writer>,
    engine: Mutex<EngineWriter>,
    engine_dir: PathBuf,
    engine_segments: Mutex<Segments>,
    buckets: Mutex<Buckets>,
    tiles: Mutex<Generations<TileId, Arc<Tile>>>,
    entries: Mutex<Generations<LeafIndex, Arc<Entry>>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    /// Opens the ledger in this folder, or makes an empty one.
    ///
    /// Only [`recover`](Self::recover) says whether what was opened is sound, and only after it
    /// can anything be committed.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Unreadable`] when the database is torn beyond its own
    /// repair, [`StoreError::Blobs`], [`StoreError::Io`].
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir)?;
        let free_space = FreeSpace::new(dir, options.disk_watermark_bytes);
        disk::keep_ballast(dir, &free_space)?;
        let database = Database::open(&dir.join("ledger"), options.cache_bytes / 2)?;
        let vault = Vault::open(&dir.join("vault"))?;
        // What cannot be read here cannot be when it is asked for either, which says so.
        let applied = engine::applied_in(&database).ok().flatten();
        let progress = Progress::found(applied.and_then(|it| it.log_id));
        sync_names(dir, &vault)?;
        let buckets = options.cache_bytes / 2 / CACHED_BUCKET_BYTES;
        Ok(Self(Arc::new(Inner {
            database,
            vault,
            syncs: Syncs::new(options.sync),
            free_space,
            failed: AtomicBool::default(),
            syncing: Mutex::default(),
            progress: Mutex::new(progress),
            writer: Mutex::default(),
            engine: Mutex::default(),
            engine_dir: dir.join("vault/engine"),
            engine_segments: Mutex::default(),
            buckets: Mutex::new(Buckets::new(usize::try_from(buckets).unwrap_or(usize::MAX))),
            tiles: Mutex::new(Generations::new(TILES_CACHED)),
            entries: Mutex::new(Generations::new(ENTRIES_CACHED)),
        })))
    }

    /// How much room there is on its disk, measured a fraction of a second ago at most.
    ///
    /// # Errors
    /// What the system says.
    pub fn disk_space(&self) -> io::Result<DiskSpace> {
        self.0.free_space.measured()
    }

    /// Has this observer told of each sync from now on; only the first one ever is.
    pub fn observe_syncs(&self, observer: SyncObserver) {
        self.0.syncs.observe(observer);
    }

    /// How many syncs were made since it was opened.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.0.syncs.count()
    }

    /// The bytes of an entry, as stored: believe them once their leaf hash is in the log.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when there is none, or its chunk cannot be read.
    pub fn entry_bytes(&self, index: LeafIndex) -> Result<Vec<u8>, StoreError> {
        let (chunk, place) = keys::chunk_of(index);
        let corrupt = || StoreError::Corrupt {
            what: Stored::Chunk(chunk),
        };
        let bytes = self
            .0
            .database
            .value(&keys::chunk(chunk))?
            .ok_or_else(corrupt)?;
        let entries = parse_bundle(&bytes).map_err(|_| corrupt())?;
        entries
            .get(place)
            .map(|entry| entry.to_vec())
            .ok_or_else(corrupt)
    }

    /// An entry that this process has committed, or found in the log before, if it is in memory.
    #[must_use]
    pub fn checked_entry(&self, index: LeafIndex) -> Option<Arc<Entry>> {
        lock(&self.0.entries).find(&index)
    }

    /// Keeps an entry whose leaf hash was found in the log, which only grows.
    pub fn remember_checked(&self, index: LeafIndex, entry: &Arc<Entry>) {
        lock(&self.0.entries).insert(index, entry.clone());
    }

    /// The sealed payload of an entry and its salt, unless it has none or they were erased.
    /// Believe them once they fit the commitment of the entry.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the bytes are not a payload, [`StoreError::Io`].
    pub fn payload(&self, index: LeafIndex) -> Result<Option<(SealedPayload, Salt)>, StoreError> {
        let corrupt = || StoreError::Corrupt {
            what: Stored::Payload(index),
        };
        let Some((first, bundle)) = self.bundle_of(index)? else {
            return Ok(None);
        };
        let found = payloads::find(first, &bundle, index).map_err(|_| corrupt())?;
        let Some(bytes) = found else {
            return Ok(None);
        };
        // A payload without salt is noise, whether it is being erased or never had one.
        let Some(salt) = self.0.vault.read(index)? else {
            return Ok(None);
        };
        let sealed = SealedPayload::from_bytes(bytes).map_err(|_| corrupt())?;
        Ok(Some((sealed, salt)))
    }

    /// What was answered to a request before.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the answer fails its check.
    pub fn answered(&self, request: &RequestKey) -> Result<Option<Answered>, StoreError> {
        let key = keys::answer(request);
        let Some(bytes) = self.0.database.value(&key)? else {
            return Ok(None);
        };
        let corrupt = StoreError::Corrupt {
            what: Stored::Answer,
        };
        answer::from_bytes(&key, &bytes).map(Some).ok_or(corrupt)
    }

    /// Forgets answers to requests made before a moment, the oldest first and at most so many:
    /// a batch keeps readers waiting. Says how many; fewer than `at_most` means that none is left.
    ///
    /// Nothing is synced: what a power cut brings back is forgotten again.
    ///
    /// # Errors
    /// Those of a commit that cannot be written.
    pub fn expire_answers(&self, before: UnixMillis, at_most: usize) -> Result<usize, StoreError> {
        lock(&self.0.writer).ready()?;
        let expired = self
            .0
            .database
            .first_keys(keys::answers_before(before), at_most)?;
        let mut batch = Batch::default();
        expired.iter().for_each(|key| batch.remove(key));
        self.0.database.apply(batch);
        Ok(expired.len())
    }

    /// The store as it was when the log had this size, for a reader of an earlier state.
    #[must_use]
    pub const fn as_of(&self, size: TreeSize) -> StoreAt<'_> {
        StoreAt { store: self, size }
    }

    fn bucket_as_of(
        &self,
        prefix: &Prefix,
        size: Option<TreeSize>,
    ) -> Result<Arc<Bucket>, StoreError> {
        let (found, since) = lock(&self.0.buckets).find(prefix, size);
        if let Some(bucket) = found.in_memory()? {
            return Ok(bucket);
        }
        let stored = self.stored_bucket(prefix)?.map(Arc::new);
        let mut cache = lock(&self.0.buckets);
        if let Some(bucket) = &stored {
            cache.remember(*prefix, bucket, since);
        }
        // Meanwhile a commit may have replaced or removed it; then the cache has what it was.
        let (found, _) = cache.find(prefix, size);
        let missing = StoreError::Corrupt {
            what: Stored::Bucket(Some(*prefix)),
        };
        found.in_memory()?.or(stored).ok_or(missing)
    }

    /// The newest bucket under a prefix, be there none.
    fn newest_bucket(&self, prefix: &Prefix) -> Result<Option<Arc<Bucket>>, StoreError> {
        let (found, _) = lock(&self.0.buckets).find(prefix, None);
        match found.in_memory()? {
            Some(bucket) => Ok(Some(bucket)),
            None => Ok(self.stored_bucket(prefix)?.map(Arc::new)),
        }
    }

    fn stored_bucket(&self, prefix: &Prefix) -> Result<Option<Bucket>, StoreError> {
        let Some(bytes) = self.0.database.value(&keys::bucket(prefix))? else {
            return Ok(None);
        };
        let corrupt = |_| StoreError::Corrupt {
            what: Stored::Bucket(Some(*prefix)),
        };
        Bucket::from_bytes(&bytes).map(Some).map_err(corrupt)
    }
}

impl TileSource for Store {
    type Error = StoreError;

    fn full_tile(&self, id: TileId) -> Result<Arc<Tile>, StoreError> {
        if let Some(tile) = lock(&self.0.tiles).find(&id) {
            return Ok(tile);
        }
        let corrupt = || StoreError::Corrupt {
            what: Stored::Tile(id),
        };
        let bytes = self
            .0
            .database
            .value(&keys::tile(id))?
            .ok_or_else(corrupt)?;
        let tile = Arc::new(Tile::from_bytes(&bytes).map_err(|_| corrupt())?);
        lock(&self.0.tiles).insert(id, tile.clone());
        Ok(tile)
    }
}

/// The newest state: for whoever commits. Other readers use [`Store::as_of`].
impl BucketSource for Store {
    type Error = StoreError;

    fn bucket(&self, prefix: &Prefix) -> Result<Arc<Bucket>, StoreError> {
        self.bucket_as_of(prefix, None)
    }
}

/// The buckets as they were when the log had one size, while commits go on replacing them.
///
/// They are kept for about half a second under full load; after that the answer is
/// [`StoreError::Superseded`].
#[derive(Debug, Clone, Copy)]
pub struct StoreAt<'a> {
    store: &'a Store,
    size: TreeSize,
}

impl BucketSource for StoreAt<'_> {
    type Error = StoreError;

    fn bucket(&self, prefix: &Prefix) -> Result<Arc<Bucket>, StoreError> {
        self.store.bucket_as_of(prefix, Some(self.size))
    }
}

/// A panic elsewhere, while the lock was held, leaves caches that are still right.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the folder's own name and those in it durable, whoever created them.
fn sync_names(dir: &Path, vault: &Vault) -> io::Result<()> {
    vault.file().sync_all()?;
    disk::sync_folder(&dir.join("vault"))?;
    disk::sync_folder(dir)?;
    match dir.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => disk::sync_folder(parent),
        _ => disk::sync_folder(Path::new(".")),
    }
}

#[cfg(test)]
mod tests;
