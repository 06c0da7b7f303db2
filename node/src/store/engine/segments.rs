//! The segments of the engine's log together: appended to, cut off at the end, erased from the
//! front.
//!
//! Files are written ahead with zeros, so that a sync has no new length to commit. One that was
//! purged whole is zeros again, and is kept as the next one.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::segment::{HEADER_BYTES, Place, SEGMENT_BYTES, Segment, SegmentId, Since, frame_bytes};
use super::state::{Position, State};
use crate::engine::{Entry, LogId};
use crate::store::disk::{Syncs, sync_folder, write_zeros_at};
use crate::store::lock;

/// The name of a segment of zeros that waits to be used again.
pub(super) const SPARE: &str = "spare";
/// The name of a segment that is being made.
pub(super) const NEW: &str = "new";

/// Where the files are, and how they are synced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folder<'a> {
    pub(super) dir: &'a Path,
    pub(super) syncs: &'a Syncs,
}

/// The open segments, the oldest first. Readers share them with whoever writes.
#[derive(Debug, Default)]
pub(in crate::store) struct Segments(Vec<Segment>);

impl Segments {
    /// Those that were found on the disk.
    pub(super) const fn new(found: Vec<Segment>) -> Self {
        Self(found)
    }

    /// Where the records of a range are, as far as they are here without a gap: as many as have
    /// about this many bytes together, and at least one.
    pub(super) fn places(&self, from: u64, to: u64, bytes_max: usize) -> Vec<Place> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for segment in &self.0 {
            while found.len() as u64 + from < to
                && let Some(place) = segment.place(from + found.len() as u64)
            {
                bytes += place.length;
                if bytes > bytes_max && !found.is_empty() {
                    return found;
                }
                found.push(place);
            }
        }
        found
    }

    /// Where the next frame goes, once there is a segment.
    fn end(&self) -> Option<Run> {
        let newest = self.0.last()?;
        Some(Run {
            id: newest.id,
            file: newest.file.clone(),
            at: newest.end,
            bytes: Vec::new(),
            frames: Vec::new(),
        })
    }

    /// Takes note of what was written.
    fn note(&mut self, run: &Run) {
        if let Some(newest) = self.0.last_mut() {
            for (index, offset, length) in &run.frames {
                newest.push(*index, *offset, *length);
            }
        }
    }

    /// Where the log begins once all records before an index are purged.
    pub(super) fn begin_after(&self, purged: LogId, begin: Position) -> Position {
        let first = purged.index.saturating_add(1);
        let mut segments = self.0.iter();
        let left = segments.find(|it| !it.offsets.is_empty() && it.next() > first);
        match (left, self.0.last()) {
            (Some(segment), _) => Position {
                segment: segment.id.number,
                offset: segment
                    .place(first.max(segment.first))
                    .map_or(segment.end, |place| place.offset),
            },
            (None, Some(newest)) => Position {
                segment: newest.id.number + 1,
                offset: HEADER_BYTES,
            },
            (None, None) => begin,
        }
    }
}

/// Frames for one segment, on their way to the disk.
struct Run {
    id: SegmentId,
    file: Arc<File>,
    at: u64,
    bytes: Vec<u8>,
    /// Index, offset and length of each.
    frames: Vec<(u64, u64, usize)>,
}

impl Run {
    fn has_room(&self, length: usize) -> bool {
        self.at + (self.bytes.len() + length) as u64 <= SEGMENT_BYTES
    }

    fn push(&mut self, index: u64, since: Since, record: &[u8]) {
        let offset = self.at + self.bytes.len() as u64;
        self.id.put_frame(&mut self.bytes, offset, since, record);
        let length = frame_bytes(record.len());
        self.frames.push((index, offset, length));
    }

    /// Makes the frames durable, and only then visible.
    fn finish(self, folder: Folder<'_>, segments: &Mutex<Segments>) -> io::Result<()> {
        if self.frames.is_empty() {
            return Ok(());
        }
        self.file.write_all_at(&self.bytes, self.at)?;
        folder.syncs.sync(&self.file)?;
        lock(segments).note(&self);
        Ok(())
    }
}

/// Makes records durable at the end. `last` is the record before them.
pub(super) fn append(
    folder: Folder<'_>,
    segments: &Mutex<Segments>,
    state: &State,
    mut last: Option<LogId>,
    records: &[(LogId, Vec<u8>)],
) -> io::Result<()> {
    let Some((first, _)) = records.first() else {
        return Ok(());
    };
    let since = Since {
        began: first.index,
        writes: state.writes,
    };
    let mut run = lock(segments).end();
    for (log_id, record) in records {
        let length = frame_bytes(record.len());
        let mut open = match run.take() {
            Some(open) if open.has_room(length) => open,
            // What is in an older segment is durable before there is a newer one.
            full => {
                let number = full
                    .as_ref()
                    .map_or(state.begin.segment, |it| it.id.number + 1);
                full.map_or(Ok(()), |full| full.finish(folder, segments))?;
                let engine = state.id;
                next_segment(folder, segments, SegmentId { engine, number }, last)?
            }
        };
        open.push(log_id.index, since, record);
        last = Some(*log_id);
        run = Some(open);
    }
    run.map_or(Ok(()), |run| run.finish(folder, segments))
}

/// Makes a segment with nothing but its header, durably, from the spare one if there is one.
fn next_segment(
    folder: Folder<'_>,
    segments: &Mutex<Segments>,
    id: SegmentId,
    previous: Option<LogId>,
) -> io::Result<Run> {
    let new = folder.dir.join(NEW);
    let is_spare = match std::fs::rename(folder.dir.join(SPARE), &new) {
        Err(error) if error.kind() == ErrorKind::NotFound => false,
        renamed => renamed.map(|()| true)?,
    };
    let mut options = OpenOptions::new();
    let options = options.write(true).create(!is_spare).truncate(!is_spare);
    let file = options.open(&new)?;
    if !is_spare {
        write_zeros_at(&file, 0..SEGMENT_BYTES)?;
    }
    file.write_all_at(&id.header(previous), 0)?;
    folder.syncs.sync(&file)?;
    std::fs::rename(new, id.path(folder.dir))?;
    sync_folder(folder.dir)?;
    let segment = Segment::open(folder.dir, id, HEADER_BYTES)?;
    let mut segments = lock(segments);
    segments.0.push(segment);
    segments.end().ok_or_else(|| ErrorKind::NotFound.into())
}

/// Overwrites all records from an index on, the newest first. The state says already that they
/// are to go.
pub(super) fn cut(folder: Folder<'_>, segments: &Mutex<Segments>, from: u64) -> io::Result<()> {
    loop {
        let mut open = lock(segments);
        let older = open.0.len() > 1;
        let Some(newest) = open.0.last_mut() else {
            return Ok(());
        };
        if older && (newest.offsets.is_empty() || newest.first >= from) {
            let newest = open.0.pop();
            drop(open);
            newest.map_or(Ok(()), |it| retire(folder, &it))?;
            continue;
        }
        let (file, end) = (newest.file.clone(), newest.end);
        let kept = newest.cut(from);
        drop(open);
        write_zeros_at(&file, kept..end)?;
        return folder.syncs.sync(&file);
    }
}

/// Overwrites what lies before the place where the log begins, and removes segments that are all
/// before it. What is in the segment that stays is gone from the disk with its next sync.
pub(super) fn purge(
    folder: Folder<'_>,
    segments: &Mutex<Segments>,
    state: &State,
) -> io::Result<()> {
    let first = state.purged.map_or(0, |it| it.index.saturating_add(1));
    let mut open = lock(segments);
    let stay = |it: &Segment| it.id.number >= state.begin.segment;
    let gone = open.0.iter().take_while(|it| !stay(it)).count();
    let gone: Vec<_> = open.0.drain(..gone).collect();
    let mut partly = None;
    if let Some(oldest) = open.0.first_mut() {
        let from = oldest.offsets.front().copied().unwrap_or(oldest.end);
        let to = oldest.purge(first);
        partly = Some((oldest.file.clone(), from..to));
    }
    drop(open);
    gone.iter().try_for_each(|it| retire(folder, it))?;
    partly.map_or(Ok(()), |(file, range)| write_zeros_at(&file, range))
}

/// Makes durable that what was purged is overwritten.
pub(super) fn sync_purged(folder: Folder<'_>, segments: &Mutex<Segments>) -> io::Result<()> {
    let oldest = lock(segments).0.first().map(|it| it.file.clone());
    oldest.map_or(Ok(()), |file| folder.syncs.sync(&file))
}

/// Overwrites a whole segment, durably, and keeps it as the spare one.
fn retire(folder: Folder<'_>, segment: &Segment) -> io::Result<()> {
    write_zeros_at(&segment.file, 0..segment.end)?;
    folder.syncs.sync(&segment.file)?;
    let path = segment.id.path(folder.dir);
    std::fs::rename(path, folder.dir.join(SPARE))?;
    sync_folder(folder.dir)
}

/// Reads records where they were said to be. The index of the first that is not there is the
/// error.
pub(super) fn read(places: &[Place], from: u64) -> io::Result<Result<Vec<Entry>, u64>> {
    let mut found = Vec::with_capacity(places.len());
    for (index, place) in (from..).zip(places) {
        match place.read()? {
            Some(entry) if entry.log_id.index == index => found.push(entry),
            _ => return Ok(Err(index)),
        }
    }
    Ok(Ok(found))
}
