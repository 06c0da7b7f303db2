//! The salts of sealed payloads, in a flat file where each can be overwritten.
//!
//! The database appends: what it deletes stays in its file for long. So the one thing that must
//! really go, the salt, lies outside it, 32 bytes for each entry behind a first 32 for the mark.
//! Without the salt a sealed payload is noise, even to whoever holds the token. Zeros say that
//! there is none.
//!
//! The mark says how far the log had come. The database takes a broken byte for the end of its
//! log and opens in the state before it, which is sound in itself: only something outside can tell
//! that entries are missing. It lies here because this file is synced before each batch anyway.
//!
//! An attacker who holds this file and the database still needs the contract token of each
//! payload. On a file system or a disk that never writes in place, the old bytes go when that disk
//! reclaims them: an operator who must promise more encrypts the disk under a key of its own.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use proto::ids::{LeafIndex, TreeSize};
use proto::seal::Salt;
use zeroize::Zeroizing;

use super::reserve::Ahead;

/// Length of a salt.
const SALT_BYTES: usize = 32;
/// How much is written ahead: room for 32,768 entries.
const STEP_BYTES: u64 = 1024 * 1024;
/// What lies where no salt is.
const NO_SALT: [u8; SALT_BYTES] = [0; SALT_BYTES];

/// How far the log was durable when a batch began, and how far that batch was to take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Entries that were durable.
    pub(super) durable: TreeSize,
    /// Entries that there are once that batch is durable too.
    pub(super) intended: TreeSize,
}

impl Mark {
    /// Both sizes, and their complements: a mark with a broken byte is none.
    fn to_bytes(self) -> [u8; SALT_BYTES] {
        let sizes = [self.durable.get(), self.intended.get()];
        let mut bytes = [0; SALT_BYTES];
        let numbers = sizes.into_iter().chain(sizes.map(|size| !size));
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; SALT_BYTES]) -> Option<Self> {
        let size = |place: &[u8]| Some(TreeSize::new(u64::from_be_bytes(place.try_into().ok()?)));
        let (durable, intended) = (size(bytes.get(..8)?)?, size(bytes.get(8..16)?)?);
        let mark = Self { durable, intended };
        (mark.to_bytes() == *bytes).then_some(mark)
    }

    /// Whether a log of this size is one that a crash can have left.
    pub(super) fn allows(self, size: TreeSize) -> bool {
        (self.durable..=self.intended).contains(&size)
    }
}

/// The file of salts.
#[derive(Debug)]
pub(super) struct Vault {
    file: File,
    ahead: Ahead,
    /// The length of the file: zeros are written ahead, so that a sync need not commit a length.
    end: AtomicU64,
}

impl Vault {
    /// Opens the file, or creates it.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(dir.join("salts"))?;
        let end = AtomicU64::new(file.metadata()?.len());
        let ahead = Ahead::of(&dir.join("salts"))?;
        Ok(Self { file, ahead, end })
    }

    /// The file, to be synced.
    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Writes the mark. It is durable after the next sync.
    pub(super) fn write_mark(&self, mark: Mark) -> io::Result<()> {
        self.file.write_all_at(&mark.to_bytes(), 0)
    }

    /// The mark: `Ok(None)` before the first commit.
    ///
    /// # Errors
    /// `InvalidData` when the bytes are no mark.
    pub(super) fn mark(&self) -> io::Result<Option<Mark>> {
        let mut bytes = NO_SALT;
        match self.file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        if bytes == NO_SALT {
            return Ok(None);
        }
        Mark::from_bytes(&bytes)
            .map(Some)
            .ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// Writes the salts of a batch, and zeros for its entries that have none: a batch that was
    /// written here and got no place may have left others. They are durable after the next sync.
    ///
    /// # Errors
    /// `InvalidInput` for a salt of an entry outside of the batch.
    pub(super) fn write<'a>(
        &self,
        first: LeafIndex,
        size: TreeSize,
        salts: impl Iterator<Item = (LeafIndex, &'a Salt)>,
    ) -> io::Result<()> {
        let outside = || io::Error::from(ErrorKind::InvalidInput);
        let count = size.get().checked_sub(first.get()).ok_or_else(outside)?;
        let count = usize::try_from(count).map_err(|_| outside())?;
        let mut bytes = Zeroizing::new(vec![NO_SALT; count]);
        for (leaf, salt) in salts {
            let place = leaf.get().checked_sub(first.get()).ok_or_else(outside)?;
            let place = usize::try_from(place).map_err(|_| outside())?;
            *bytes.get_mut(place).ok_or_else(outside)? = *salt.as_bytes();
        }
        let (at, end) = (offset(first)?, offset(size.next_index())?);
        while end > self.end.load(Ordering::Relaxed) {
            let end = self.ahead.lengthen(STEP_BYTES)?;
            self.end.store(end, Ordering::Relaxed);
        }
        self.file.write_all_at(bytes.as_flattened(), at)
    }

    /// The salt of an entry's payload, if there is one.
    pub(super) fn read(&self, leaf: LeafIndex) -> io::Result<Option<Salt>> {
        let mut bytes = Zeroizing::new(NO_SALT);
        match self.file.read_exact_at(&mut *bytes, offset(leaf)?) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            read => read.map(|()| (*bytes != NO_SALT).then(|| Salt::from_bytes(*bytes))),
        }
    }

    /// Overwrites a salt. It is gone from the disk after the next sync.
    pub(super) fn erase(&self, leaf: LeafIndex) -> io::Result<()> {
        self.file.write_all_at(&NO_SALT, offset(leaf)?)
    }
}

fn offset(leaf: LeafIndex) -> io::Result<u64> {
    let place = leaf.get().checked_add(1); // the mark is at place 0
    let offset = place.and_then(|place| place.checked_mul(SALT_BYTES as u64));
    offset.ok_or_else(|| ErrorKind::FileTooLarge.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_salt_reads_back_until_it_is_erased() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let leaf = LeafIndex::new(1000);
        assert!(vault.read(leaf).unwrap().is_none());
        let salt = Salt::from_bytes([7; 32]);
        let after = TreeSize::new(1001);
        vault
            .write(leaf, after, [(leaf, &salt)].into_iter())
            .unwrap();
        assert_eq!(vault.read(leaf).unwrap().unwrap().as_bytes(), &[7; 32]);
        assert!(vault.read(LeafIndex::new(999)).unwrap().is_none());
        assert!(vault.read(LeafIndex::new(1001)).unwrap().is_none());
        vault.erase(leaf).unwrap();
        assert!(vault.read(leaf).unwrap().is_none());
    }

    #[test]
    fn a_batch_leaves_its_own_salts_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        let (first, size) = (LeafIndex::new(7), TreeSize::new(7 + STEP_BYTES / 8));
        let salt = |leaf: u64| Salt::from_bytes([u8::try_from(leaf % 251 + 1).unwrap(); 32]);
        let write = |leaves: &[u64]| {
            let salts: Vec<_> = leaves
                .iter()
                .map(|it| (LeafIndex::new(*it), salt(*it)))
                .collect();
            vault.write(first, size, salts.iter().map(|(leaf, salt)| (*leaf, salt)))
        };
        let last = size.get() - 1;
        // The first got no place, the second did.
        write(&[7, 8, 9, last - 1]).unwrap();
        write(&[8, 300, last]).unwrap();
        for leaf in first.get()..size.get() {
            let read = vault.read(LeafIndex::new(leaf)).unwrap();
            let want = [8, 300, last].contains(&leaf).then(|| salt(leaf));
            assert!(read == want, "{leaf}");
        }
        assert!(write(&[6]).is_err() && write(&[last + 1]).is_err());
    }

    #[test]
    fn a_mark_reads_back_and_a_broken_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        assert_eq!(vault.mark().unwrap(), None);
        let mark = Mark {
            durable: TreeSize::new(7),
            intended: TreeSize::new(9),
        };
        vault.write_mark(mark).unwrap();
        assert_eq!(vault.mark().unwrap(), Some(mark));
        let allowed = |size| mark.allows(TreeSize::new(size));
        assert_eq!(
            [6, 7, 8, 9, 10].map(allowed),
            [false, true, true, true, false]
        );
        for place in 0..SALT_BYTES {
            let mut broken = mark.to_bytes();
            broken[place] ^= 1;
            vault.file.write_all_at(&broken, 0).unwrap();
            assert!(vault.mark().is_err(), "byte {place}");
        }
    }

    #[test]
    fn an_index_past_every_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(dir.path()).unwrap();
        assert!(vault.read(LeafIndex::new(u64::MAX)).is_err());
    }
}
