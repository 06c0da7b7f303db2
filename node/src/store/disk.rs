//! What the store asks of the disk: that a sync is a sync, and that there is room.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::StoreError;

/// Free space below which nothing is committed, unless configured otherwise: the database needs
/// room to open again, and on a disk that is really full it does not.
pub const DISK_WATERMARK_BYTES: u64 = 64 * 1024 * 1024;
/// Size of the file that an operator may delete to give the database room to open.
pub const BALLAST_BYTES: u64 = 16 * 1024 * 1024;
/// How long a measure of the free space is believed. In that time even 100 batches of the largest
/// size stay below the watermark.
const FREE_SPACE_AGE_MAX: Duration = Duration::from_millis(200);

/// Zeros are written in pieces of this size.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// What a sync does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncMode {
    /// It returns when the disk has the bytes.
    #[default]
    Durable,
    /// It first sleeps, as a slower disk would. For measurements.
    Delayed(Duration),
    /// It does nothing. Only for the power-cut test, which must be seen to fail.
    Skipped,
}

/// Told how long each sync took.
pub type SyncObserver = Box<dyn Fn(Duration) + Send + Sync>;

/// Syncs files, and counts how often.
#[derive(Default)]
pub(super) struct Syncs {
    mode: SyncMode,
    count: AtomicU64,
    observer: OnceLock<SyncObserver>,
    #[cfg(test)]
    pub(super) fail_next: std::sync::atomic::AtomicBool,
}

impl Syncs {
    pub(super) fn new(mode: SyncMode) -> Self {
        Self {
            mode,
            ..Self::default()
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Has the first observer there is told of each sync from now on.
    pub(super) fn observe(&self, observer: SyncObserver) {
        let _ = self.observer.set(observer);
    }

    /// Returns when the bytes of the file, and its length, would survive a power cut.
    ///
    /// A sync that failed is not tried again: the kernel may have dropped the very pages it could
    /// not write, and the second call would report success.
    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        #[cfg(test)]
        if self.fail_next.swap(false, Ordering::Relaxed) {
            return Err(io::ErrorKind::Other.into());
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let synced = match self.mode {
            SyncMode::Durable => file.sync_data(),
            SyncMode::Delayed(delay) => {
                std::thread::sleep(delay);
                file.sync_data()
            }
            SyncMode::Skipped => Ok(()),
        };
        if let Some(observer) = self.observer.get() {
            observer(started.elapsed());
        }
        synced
    }
}

impl fmt::Debug for Syncs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Syncs({:?})", self.mode)
    }
}

/// Writes and syncs a file as the store does, for measuring a disk: into room that was written
/// ahead, so that no sync has to commit a longer file.
#[derive(Debug)]
pub struct SyncProbe {
    file: File,
    syncs: Syncs,
    room: u64,
    at: u64,
}

impl SyncProbe {
    /// Makes a new file with so many bytes of room.
    ///
    /// # Errors
    /// What the system says; a file that exists is one.
    pub fn create(path: &Path, room: u64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        write_zeros_at(&file, 0..room)?;
        file.sync_all()?;
        Ok(Self {
            file,
            syncs: Syncs::new(SyncMode::Durable),
            room,
            at: 0,
        })
    }

    /// Writes these bytes where the last ones end, or at the start where they do not fit, and says
    /// how long the sync after it took.
    ///
    /// # Errors
    /// What the system says.
    pub fn round(&mut self, bytes: &[u8]) -> io::Result<Duration> {
        if self.at.saturating_add(bytes.len() as u64) > self.room {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at)?;
        self.at += bytes.len() as u64;
        let started = Instant::now();
        self.syncs.sync(&self.file)?;
        Ok(started.elapsed())
    }
}

/// Makes the names in a folder durable: without it a new file may be lost whole.
pub(super) fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// How much room there is on the disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    /// What is free.
    pub free: u64,
    /// Below this nothing is written any more.
    pub watermark: u64,
}

/// Watches the free space of the disk.
#[derive(Debug)]
pub(super) struct FreeSpace {
    dir: PathBuf,
    watermark: u64,
    measured: Mutex<Option<(Instant, u64)>>,
}

impl FreeSpace {
    pub(super) fn new(dir: &Path, watermark: u64) -> Self {
        Self {
            dir: dir.to_owned(),
            watermark,
            measured: Mutex::default(),
        }
    }

    /// What there is.
    pub(super) fn measured(&self) -> io::Result<DiskSpace> {
        let (free, watermark) = (self.bytes()?, self.watermark);
        Ok(DiskSpace { free, watermark })
    }

    /// Refuses when there is less than the watermark.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let (free, watermark) = (self.bytes()?, self.watermark);
        if free < watermark {
            return Err(StoreError::DiskFull { free, watermark });
        }
        Ok(())
    }

    /// Refuses when there is less than half the watermark: what the engine must still write once
    /// nothing new is proposed, such as the records that are on their way.
    pub(super) fn check_reserve(&self) -> Result<(), StoreError> {
        let (free, watermark) = (self.bytes()?, self.watermark / 2);
        if free < watermark {
            return Err(StoreError::DiskFull { free, watermark });
        }
        Ok(())
    }

    /// The free bytes, at most [`FREE_SPACE_AGE_MAX`] old.
    fn bytes(&self) -> io::Result<u64> {
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, free)) = *measured
            && at.elapsed() < FREE_SPACE_AGE_MAX
        {
            return Ok(free);
        }
        let disk = rustix::fs::statvfs(&self.dir)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        *measured = Some((Instant::now(), free));
        Ok(free)
    }
}

/// Keeps a file that an operator may delete when the disk is full. On a full disk the database
/// does not open; with these bytes back it does, and the node serves reads.
pub(super) fn keep_ballast(dir: &Path, free_space: &FreeSpace) -> Result<(), StoreError> {
    let path = dir.join("ballast");
    let length = path.metadata().map_or(0, |found| found.len());
    if length == BALLAST_BYTES || free_space.check().is_err() {
        return Ok(()); // An operator who has just deleted it does not want it back yet.
    }
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    let whole = rustix::fs::FallocateFlags::empty();
    match rustix::fs::fallocate(&file, whole, 0, BALLAST_BYTES) {
        Err(rustix::io::Errno::OPNOTSUPP) => write_zeros(&file)?,
        allocated => allocated.map_err(io::Error::from)?,
    }
    Ok(file.sync_all()?)
}

/// Overwrites a part of a file with zeros. What was there is gone after the next sync.
pub(super) fn write_zeros_at(file: &File, range: Range<u64>) -> io::Result<()> {
    let mut at = range.start;
    while at < range.end {
        let piece = usize::try_from(range.end - at).unwrap_or(ZEROS.len());
        let piece = &ZEROS[..piece.min(ZEROS.len())];
        file.write_all_at(piece, at)?;
        at += piece.len() as u64;
    }
    Ok(())
}

fn write_zeros(mut file: &File) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), BALLAST_BYTES), &mut file)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_below_the_watermark_is_full() {
        let dir = tempfile::tempdir().unwrap();
        assert!(FreeSpace::new(dir.path(), 1).check().is_ok());
        let free = FreeSpace::new(dir.path(), 1).bytes().unwrap();
        let tight = FreeSpace::new(dir.path(), free + free / 2);
        assert!(tight.check().is_err() && tight.check_reserve().is_ok());
        assert!(
            FreeSpace::new(dir.path(), u64::MAX)
                .check_reserve()
                .is_err()
        );
        let full = FreeSpace::new(dir.path(), u64::MAX).check();
        assert!(matches!(
            full,
            Err(StoreError::DiskFull {
                watermark: u64::MAX,
                ..
            })
        ));
    }

    #[test]
    fn the_ballast_is_allocated_and_not_forced_onto_a_full_disk() {
        let dir = tempfile::tempdir().unwrap();
        let ballast = dir.path().join("ballast");
        keep_ballast(dir.path(), &FreeSpace::new(dir.path(), u64::MAX)).unwrap();
        assert!(!ballast.exists());
        keep_ballast(dir.path(), &FreeSpace::new(dir.path(), 1)).unwrap();
        let blocks = std::os::unix::fs::MetadataExt::blocks(&ballast.metadata().unwrap());
        assert!(blocks * 512 >= BALLAST_BYTES);
    }
}
