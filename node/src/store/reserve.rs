//! Room written ahead of use, so that a sync only has bytes to bring to the disk.
//!
//! A sync after a write that made the file longer also commits the file system's journal, for the
//! new length: measured at 0.4 to 4 ms, against 0.1 ms for a write into bytes that were there.
//! So zeros are written and synced ahead, some megabytes at a time.
//!
//! They are appended (`O_APPEND`), so that the kernel puts them after whatever is in the file at
//! that moment: zeros never land on bytes that somebody else is writing.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// How much is written ahead of the database at a time.
const STEP_BYTES: u64 = 32 * 1024 * 1024;
/// Untouched segments that are left when more are added: time enough, at full load.
const MARGIN_SEGMENTS: u64 = 4;
/// Zeros are written in pieces of this size.
static PIECE: [u8; 64 * 1024] = [0; 64 * 1024];

/// The end of a file, where zeros are appended.
#[derive(Debug)]
pub(super) struct Ahead(File);

impl Ahead {
    /// The end of the file at this path, which must be there.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().read(true).append(true).open(path)?))
    }

    /// Appends zeros, makes them and the new length durable, and says that length.
    pub(super) fn lengthen(&self, by: u64) -> io::Result<u64> {
        let mut left = by;
        while left > 0 {
            let piece = usize::try_from(left)
                .unwrap_or(PIECE.len())
                .min(PIECE.len());
            (&self.0).write_all(&PIECE[..piece])?;
            left -= piece as u64;
        }
        self.0.sync_all()?;
        Ok(self.0.metadata()?.len())
    }
}

/// Room ahead of the database, which appends whole segments and does not know of it: where its
/// next segment begins, it finds our zeros and writes over them.
#[derive(Debug)]
pub(super) struct SegmentReserve {
    ahead: Ahead,
    segment_bytes: u64,
    /// Where the zeros end.
    end: u64,
}

impl SegmentReserve {
    /// Cuts off the segments at the end that were never used, before the database opens: it must
    /// find the file as it left it. Nobody else may have it open.
    pub(super) fn cut(file: &File, segment_bytes: u64) -> io::Result<()> {
        let mut segments = file.metadata()?.len().div_ceil(segment_bytes);
        let before = segments;
        while segments > 0 && untouched(file, segment_bytes, segments - 1)? {
            segments -= 1;
        }
        if segments < before {
            file.set_len(segments * segment_bytes)?;
            file.sync_all()?;
        }
        Ok(())
    }

    /// Room ahead of the file at this path; the first zeros come with the first commit.
    pub(super) fn of(path: &Path, segment_bytes: u64) -> io::Result<Self> {
        let ahead = Ahead::of(path)?;
        let end = ahead.0.metadata()?.len();
        Ok(Self {
            ahead,
            segment_bytes,
            end,
        })
    }

    /// Adds more zeros when the database comes near their end. Costs one small read otherwise.
    pub(super) fn keep(&mut self) -> io::Result<()> {
        // The database may have cut the file meanwhile, and our zeros with it.
        self.end = self.end.min(self.ahead.0.metadata()?.len());
        let margin = (self.end / self.segment_bytes).saturating_sub(MARGIN_SEGMENTS);
        if !untouched(&self.ahead.0, self.segment_bytes, margin)? {
            self.end = self.ahead.lengthen(STEP_BYTES)?;
        }
        Ok(())
    }
}

/// What a segment in use begins with; never all zeros.
const HEADER_BYTES: usize = 20;

/// Whether what the file has of a segment was never written to.
fn untouched(file: &File, segment_bytes: u64, segment: u64) -> io::Result<bool> {
    let mut header = [0; HEADER_BYTES];
    let at = segment * segment_bytes;
    let there = file.metadata()?.len().saturating_sub(at);
    let length = HEADER_BYTES.min(usize::try_from(there).unwrap_or(HEADER_BYTES));
    file.read_exact_at(&mut header[..length], at)?;
    Ok(header == [0; HEADER_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 1024 * 1024;

    fn file() -> (tempfile::NamedTempFile, File) {
        let named = tempfile::NamedTempFile::new().unwrap();
        let file = named.reopen().unwrap();
        (named, file)
    }

    #[test]
    fn what_was_added_and_never_used_is_cut_off_again() {
        let (named, file) = file();
        file.write_all_at(b"used", 0).unwrap();
        file.write_all_at(b"used", 2 * SEGMENT).unwrap();
        let mut reserve = SegmentReserve::of(named.path(), SEGMENT).unwrap();
        reserve.keep().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 2 * SEGMENT + 4 + STEP_BYTES);
        SegmentReserve::cut(&file, SEGMENT).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 3 * SEGMENT);
    }

    #[test]
    fn zeros_are_added_near_the_end_and_never_over_what_is_used() {
        let (named, file) = file();
        file.write_all_at(b"used", 0).unwrap();
        let mut reserve = SegmentReserve::of(named.path(), SEGMENT).unwrap();
        reserve.keep().unwrap();
        reserve.keep().unwrap();
        assert_eq!(file.metadata().unwrap().len(), STEP_BYTES + 4);
        for segment in 0..STEP_BYTES / SEGMENT {
            file.write_all_at(b"used", segment * SEGMENT).unwrap();
        }
        reserve.keep().unwrap();
        assert_eq!(file.metadata().unwrap().len(), 2 * STEP_BYTES + 4);
        assert!(!untouched(&file, SEGMENT, STEP_BYTES / SEGMENT - 1).unwrap());
    }
}
