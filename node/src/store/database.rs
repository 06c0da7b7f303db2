//! The database behind a wall: what it needs to be durable, and its panics as errors.
//!
//! It panics on some torn files and on some failing disks. A read that meets one is an error like
//! any other, and the process goes on.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::{Bound, Range, RangeBounds, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::thread::sleep;
use std::time::{Duration, Instant};

use sled::{Db, IVec};

use super::disk::sync_folder;
use super::reserve::SegmentReserve;
use super::unwritten::{Batch, Layer, Unwritten, merged};
use super::{StoreError, Stored};

/// The database puts a page above a quarter of this into a file of its own, which it never syncs.
/// Sixteen values share a page; ours are at most 768 KiB (sixteen entries of 48 KiB).
const SEGMENT_BYTES: usize = 4 * 1024 * 1024;

/// How long an opening waits for one that is closing: the last calls of a node that stops may hold
/// its store for moments after it has said that it stopped.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// One open database: one tree, what is newer than its file, and that file once more, since nobody
/// but us syncs it.
pub(super) struct Database {
    /// Taken only to be dropped.
    tree: Option<Db>,
    unwritten: RwLock<Unwritten>,
    /// Held while the database is open; the last to go.
    _lock: Option<File>,
    file: File,
    /// Held by whoever writes to the file.
    reserve: Mutex<Option<SegmentReserve>>,
}

impl Database {
    /// Opens the database in this folder, or makes an empty one that a power cut leaves whole.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        std::fs::create_dir_all(dir)?;
        let config = sled::Config::new().path(dir).segment_size(SEGMENT_BYTES);
        let config = config.cache_capacity(cache_bytes);
        let lock = lock(dir)?;
        cut_reserve(&dir.join("db"))?;
        let tree = contained(|| Ok(config.open())).and_then(|tree| tree.map_err(unopened))?;
        refuse_blobs(dir)?;
        let file = File::open(dir.join("db"))?;
        file.sync_all()?;
        let reserve = SegmentReserve::of(&dir.join("db"), SEGMENT_BYTES as u64)?;
        File::open(dir.join("conf"))?.sync_all()?;
        sync_folder(&dir.join("blobs"))?;
        sync_folder(dir)?;
        Ok(Self {
            tree: Some(tree),
            unwritten: RwLock::default(),
            _lock: Some(lock),
            file,
            reserve: Mutex::new(Some(reserve)),
        })
    }

    /// The file, to be synced.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// The value under a key.
    pub(super) fn value(&self, key: &[u8]) -> Result<Option<IVec>, StoreError> {
        let newer = self.unwritten().find(key);
        newer.map_or_else(|| contained(|| Ok(self.tree()?.get(key)?)), Ok)
    }

    /// The keys and values under a prefix, in the order of the keys. The first error is the last
    /// item.
    pub(super) fn scan(
        &self,
        prefix: &[u8],
    ) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> + use<> {
        self.range((Bound::Included(prefix.to_vec()), after(prefix)))
    }

    fn range<R: RangeBounds<Vec<u8>>>(
        &self,
        range: R,
    ) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> + use<R> {
        let newer = self.unwritten().range(&range);
        let file = self.tree().map(|tree| tree.range(range));
        merged(newer, until_an_error(file))
    }

    /// The last key of a range, and its value. Reads the whole range.
    pub(super) fn last(
        &self,
        range: RangeInclusive<[u8; 9]>,
    ) -> Result<Option<(IVec, IVec)>, StoreError> {
        let (start, end) = range.into_inner();
        self.range(start.to_vec()..=end.to_vec()).last().transpose()
    }

    /// Up to `at_most` of the first keys of a range.
    pub(super) fn first_keys(
        &self,
        range: Range<Vec<u8>>,
        at_most: usize,
    ) -> Result<Vec<IVec>, StoreError> {
        let keys = self.range(range).map(|found| Ok(found?.0));
        keys.take(at_most).collect()
    }

    /// Whether there is any key under a prefix.
    pub(super) fn has_any(&self, prefix: &[u8]) -> Result<bool, StoreError> {
        Ok(self.scan(prefix).next().transpose()?.is_some())
    }

    /// Applies a batch in memory: from here on it is read. A process that ends loses it.
    pub(super) fn apply(&self, batch: Batch) {
        self.unwritten_mut().apply(batch);
    }

    /// What was applied and waits to be written, in bytes.
    pub(super) fn unwritten_bytes(&self) -> usize {
        self.unwritten().bytes()
    }

    /// Writes what was applied to the file: all of it, or nothing. That is not durable: it ends in
    /// `sync_file_range`, which syncs neither the length of the file nor where its blocks are.
    ///
    /// One at a time; others go on applying meanwhile.
    pub(super) fn write(&self) -> Result<(), StoreError> {
        let mut reserve = self.reserve.lock().unwrap_or_else(PoisonError::into_inner);
        reserve.as_mut().map_or(Ok(()), SegmentReserve::keep)?;
        let changes = self.unwritten_mut().begin();
        contained(|| {
            let tree = self.tree()?;
            if !changes.is_empty() {
                tree.apply_batch(batch_of(&changes))?;
            }
            Ok(tree.flush()?)
        })?;
        drop(changes);
        let written = self.unwritten_mut().written();
        drop(written);
        Ok(())
    }

    fn unwritten(&self) -> RwLockReadGuard<'_, Unwritten> {
        let unwritten = self.unwritten.read();
        unwritten.unwrap_or_else(PoisonError::into_inner)
    }

    fn unwritten_mut(&self) -> RwLockWriteGuard<'_, Unwritten> {
        let unwritten = self.unwritten.write();
        unwritten.unwrap_or_else(PoisonError::into_inner)
    }

    fn tree(&self) -> Result<&Db, StoreError> {
        self.tree.as_ref().ok_or(StoreError::Unreadable)
    }

    /// For the tests that damage what is stored.
    #[cfg(test)]
    pub(super) fn sled(&self) -> Db {
        self.tree.clone().unwrap()
    }

    /// The same database with another owner.
    #[cfg(test)]
    pub(super) fn another(&self) -> Self {
        Self {
            tree: self.tree.clone(),
            unwritten: RwLock::default(),
            _lock: None,
            file: self.file.try_clone().unwrap(),
            reserve: Mutex::default(),
        }
    }
}

/// Closing flushes and syncs once more, and panics when the disk refuses that.
impl Drop for Database {
    fn drop(&mut self) {
        let tree = self.tree.take();
        let closed = contained(|| {
            drop(tree);
            Ok(())
        });
        if closed.is_err() {
            tracing::error!("the database could not be closed in order");
        }
    }
}

/// The end of the keys with this prefix.
fn after(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

fn batch_of(changes: &Layer) -> sled::Batch {
    let mut batch = sled::Batch::default();
    for (key, value) in changes {
        match value {
            Some(value) => batch.insert(key, value),
            None => batch.remove(key),
        }
    }
    batch
}

/// What is found, up to and with the first error.
fn until_an_error(
    mut found: Result<sled::Iter, StoreError>,
) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> + use<> {
    let mut failed = false;
    std::iter::from_fn(move || {
        let next = match &mut found {
            _ if failed => None,
            Ok(found) => contained(|| Ok(found.next().transpose()?)).transpose(),
            Err(_) => Some(Err(StoreError::Unreadable)),
        };
        failed = matches!(next, Some(Err(_)));
        next
    })
}

fn contained<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(StoreError::Unreadable))
}

/// Tells a ledger that is in use from one that is torn.
fn unopened(error: sled::Error) -> StoreError {
    match error {
        // The database reports a taken lock in this kind alone.
        sled::Error::Io(error) if error.kind() == io::ErrorKind::Other => StoreError::Locked,
        sled::Error::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            StoreError::Io(error)
        }
        _ => StoreError::Unreadable,
    }
}

impl From<sled::Error> for StoreError {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) => Self::Io(error),
            sled::Error::CollectionNotFound(_)
            | sled::Error::Unsupported(_)
            | sled::Error::ReportableBug(_)
            | sled::Error::Corruption { .. } => Self::Corrupt { what: Stored::Page },
        }
    }
}

/// Holds the folder for this process, before anything in it is changed: the database's own lock
/// comes only when it opens. One that is just closing is waited for.
fn lock(dir: &Path) -> Result<File, StoreError> {
    let file = File::create(dir.join("lock"))?;
    let until = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => sleep(LOCK_PAUSE),
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::Locked),
            Err(error) => return Err(io::Error::from(error).into()),
        }
    }
}

/// Whether a process has the ledger in this data folder open. Nothing is made or changed there.
///
/// # Errors
/// What the system says, but that there is no ledger: then nobody has it.
pub fn is_held(data: &Path) -> io::Result<bool> {
    let file = match File::open(data.join("ledger").join("lock")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // Given back when the file is closed, at once.
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// The database must find its file as it left it.
fn cut_reserve(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => Ok(SegmentReserve::cut(&file, SEGMENT_BYTES as u64)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn refuse_blobs(dir: &Path) -> Result<(), StoreError> {
    match std::fs::read_dir(dir.join("blobs"))?.next() {
        None => Ok(()),
        Some(_) => Err(StoreError::Blobs),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_database_is_an_error() {
        let outcome = contained::<()>(|| panic!("as the database does"));
        assert!(matches!(outcome, Err(StoreError::Unreadable)));
    }

    #[test]
    fn a_scan_ends_with_its_first_error() {
        let dir = tempfile::tempdir().unwrap();
        let mut database = Database::open(dir.path(), 1 << 20).unwrap();
        database.tree = None;
        let mut found = database.scan(b"e");
        assert!(matches!(found.next(), Some(Err(StoreError::Unreadable))));
        assert!(found.next().is_none());
    }
}
