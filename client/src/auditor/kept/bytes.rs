//! The bytes of what an auditor keeps: numbers big-endian, a count before what is counted, and a
//! keyed hash of all of it at the end.

use std::io::{self, Read, Write};

use proto::hash::{HASH_BYTES, KeyedHasher};
use thiserror::Error;

/// Most things of a kind: more entries than a log can have in memory.
const COUNT_MAX: u64 = 1 << 40;

/// Why bytes are not what an auditor keeps. None of them is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotKept {
    /// Another program, or a later version, wrote the file.
    #[error("it is of another version, or no such file")]
    Version,
    /// The file ends too early, or cannot be read.
    #[error("it is cut, or cannot be read")]
    Cut,
    /// Something in it is not of its form.
    #[error("it is damaged")]
    Form,
    /// The hash at its end is not that of what is before it.
    #[error("it is damaged: its check does not fit")]
    Check,
    /// Something follows the end.
    #[error("there is more in it than was kept")]
    Longer,
}

/// Writes; the first failure is told at the end.
pub(in super::super) struct Writer<'a> {
    file: &'a mut dyn Write,
    hasher: KeyedHasher,
    written: io::Result<()>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(file: &'a mut dyn Write, hasher: KeyedHasher) -> Self {
        Self {
            file,
            hasher,
            written: Ok(()),
        }
    }

    /// Bytes of a length that the reader knows.
    pub(in super::super) fn put(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        if self.written.is_ok() {
            self.written = self.file.write_all(bytes);
        }
    }

    pub(in super::super) fn u8(&mut self, number: u8) {
        self.put(&[number]);
    }

    pub(in super::super) fn u32(&mut self, number: u32) {
        self.put(&number.to_be_bytes());
    }

    pub(in super::super) fn u64(&mut self, number: u64) {
        self.put(&number.to_be_bytes());
    }

    /// Bytes behind their length.
    pub(in super::super) fn long(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.put(bytes);
    }

    /// How many there are, then each.
    pub(in super::super) fn all<I>(&mut self, items: I, write: impl Fn(&mut Self, I::Item))
    where
        I: IntoIterator<IntoIter: ExactSizeIterator>,
    {
        let items = items.into_iter();
        self.u64(items.len() as u64);
        items.for_each(|item| write(self, item));
    }

    pub(super) fn finish(self) -> io::Result<()> {
        self.written?;
        self.file.write_all(self.hasher.finish().as_bytes())?;
        self.file.flush()
    }
}

/// Reads what a [`Writer`] wrote. Nothing counts before [`Reader::finish`].
pub(in super::super) struct Reader<'a> {
    file: &'a mut dyn Read,
    hasher: KeyedHasher,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a mut dyn Read, hasher: KeyedHasher) -> Self {
        Self { file, hasher }
    }

    /// What the file must begin with.
    pub(super) fn expect(&mut self, bytes: &[u8]) -> Result<(), NotKept> {
        let got = self.bytes(bytes.len()).map_err(|_| NotKept::Version)?;
        (got == bytes).then_some(()).ok_or(NotKept::Version)
    }

    fn bytes(&mut self, length: usize) -> Result<Vec<u8>, NotKept> {
        let mut bytes = vec![0; length];
        self.file.read_exact(&mut bytes).map_err(|_| NotKept::Cut)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    pub(in super::super) fn array<const N: usize>(&mut self) -> Result<[u8; N], NotKept> {
        let mut bytes = [0; N];
        self.file.read_exact(&mut bytes).map_err(|_| NotKept::Cut)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    pub(in super::super) fn u8(&mut self) -> Result<u8, NotKept> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(in super::super) fn u32(&mut self) -> Result<u32, NotKept> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(in super::super) fn u64(&mut self) -> Result<u64, NotKept> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Bytes behind their length, which is at most `limit`.
    pub(in super::super) fn long(&mut self, limit: usize) -> Result<Vec<u8>, NotKept> {
        let length = usize::try_from(self.u64()?).map_err(|_| NotKept::Form)?;
        if length > limit {
            return Err(NotKept::Form);
        }
        self.bytes(length)
    }

    /// Text behind its length.
    pub(in super::super) fn text(&mut self, limit: usize) -> Result<String, NotKept> {
        String::from_utf8(self.long(limit)?).map_err(|_| NotKept::Form)
    }

    /// As many as the count before them says. Memory is taken as they come, not by the count.
    pub(in super::super) fn all<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, NotKept>,
    ) -> Result<Vec<T>, NotKept> {
        let count = self.u64()?;
        if count > COUNT_MAX {
            return Err(NotKept::Form);
        }
        (0..count).map(|_| read(self)).collect()
    }

    pub(super) fn finish(self) -> Result<(), NotKept> {
        let mut check = [0; HASH_BYTES];
        self.file.read_exact(&mut check).map_err(|_| NotKept::Cut)?;
        if self.hasher.finish().as_bytes() != &check {
            return Err(NotKept::Check);
        }
        match self.file.read(&mut [0]) {
            Ok(0) => Ok(()),
            _ => Err(NotKept::Longer),
        }
    }
}
