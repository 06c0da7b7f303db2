//! What an auditor keeps to go on from: a [`Course`] in a file (protocol.md, section 24).
//!
//! The file is as trustworthy as the folder that it lies in, like the roster file beside it. Its check
//! finds what was damaged or cut, and the ledger it is of. The log root and the map root that follow
//! from it are computed again when it is read, and must be those that a quorum cosigned.

mod bytes;

use std::collections::BTreeMap;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use proto::checkpoint::SignedCheckpoint;
use proto::entry::Kind;
use proto::hash::{self, Context, KeyedHasher};
use proto::ids::{Day, Origin, TreeSize, UnixSeconds};
use proto::note::NOTE_BYTES_MAX;
use proto::tile::{RightEdge, Tile};
use thiserror::Error;

pub(super) use self::bytes::{NotKept, Reader, Writer};
use super::check::{Check, Checks};
use super::cosigning::{Cosigning, Delays};
use super::replay::Replay;
use super::statistics::{Event, Statistics};
use super::{Course, Run};
use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};

/// What the file begins with.
const MAGIC: &[u8] = b"vitrail audit state v1\n";
/// Longest name of a ledger or member here; both have their own shorter limits.
const NAME_BYTES_MAX: usize = 1_024;

/// Why what was kept cannot be gone on from.
#[derive(Debug, Error)]
pub enum KeptError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not of this version, was cut or damaged.
    #[error("the audit that was kept: {0}")]
    NotKept(#[from] NotKept),
    /// It is of another ledger than the roster.
    #[error("the audit that was kept is of another ledger than the roster")]
    OtherLedger,
    /// What it has is not what a quorum cosigned.
    #[error("the audit that was kept: its {what} is not what was cosigned")]
    Unfit {
        /// What differs.
        what: &'static str,
    },
}

impl Failure for KeptError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::File(error) => error.kind(),
            Self::NotKept(_) | Self::OtherLedger | Self::Unfit { .. } => FailureKind::Malformed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::File(_) => None,
            Self::OtherLedger => Some("give the report of each ledger a folder of its own"),
            Self::NotKept(_) | Self::Unfit { .. } => {
                Some("without the file the next audit reads the log from its first entry")
            }
        }
    }
}

impl Course {
    /// Keeps a course whose last run ended well. After a crash there is the file before or this one.
    ///
    /// # Errors
    /// [`KeptError::File`]; [`KeptError::Unfit`] when nothing was cosigned yet.
    pub fn keep(&self, path: &Path) -> Result<(), KeptError> {
        let unfit = KeptError::Unfit { what: "size" };
        let Some(checkpoint) = self.checkpoint.as_ref() else {
            return Err(unfit);
        };
        if checkpoint.claimed().size != self.size() {
            return Err(unfit);
        }
        let origin = checkpoint.claimed().origin.clone();
        files::replace_by(path, |file| {
            let mut file = BufWriter::new(file);
            let mut writer = Writer::new(&mut file, hasher(&origin));
            writer.put(MAGIC);
            writer.long(origin.as_str().as_bytes());
            writer.long(checkpoint.to_text().as_bytes());
            self.write(&mut writer);
            writer.finish()
        })?;
        Ok(())
    }

    /// What was kept of the ledger with this name; `None` when there is no file.
    ///
    /// # Errors
    /// [`KeptError`], see its variants.
    pub fn kept(path: &Path, origin: &Origin) -> Result<Option<Self>, KeptError> {
        let file = match files::open(path) {
            Ok(file) => file,
            Err(FileError::Missing { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut file = BufReader::new(file);
        let mut reader = Reader::new(&mut file, hasher(origin));
        reader.expect(MAGIC)?;
        if reader.long(NAME_BYTES_MAX)? != origin.as_str().as_bytes() {
            return Err(KeptError::OtherLedger);
        }
        let checkpoint = reader.long(NOTE_BYTES_MAX)?;
        let mut course = Self::read(&mut reader)?;
        reader.finish()?;
        let checkpoint = SignedCheckpoint::parse(&checkpoint).map_err(|_| NotKept::Form)?;
        course.require_cosigned(&checkpoint)?;
        course.checkpoint = Some(checkpoint);
        Ok(Some(course))
    }

    /// What was kept is what a quorum of its own roster cosigned.
    fn require_cosigned(&self, checkpoint: &SignedCheckpoint) -> Result<(), KeptError> {
        let unfit = |what| KeptError::Unfit { what };
        let claimed = checkpoint.claimed();
        if claimed.size != self.size() || self.replay.len() != claimed.size.get() {
            return Err(unfit("size"));
        }
        if claimed.log_root != self.edge.root() {
            return Err(unfit("log root"));
        }
        if self.map_root().ok() != Some(claimed.map_root) {
            return Err(unfit("map root"));
        }
        let roster = self.roster().ok_or_else(|| unfit("roster"))?;
        let verified = checkpoint.verify(roster);
        verified.map_err(|_| unfit("roster"))?;
        Ok(())
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.u64(self.size().get());
        let tiles: Vec<_> = self.edge.tiles().map(Tile::to_bytes).collect();
        writer.all(&tiles, |writer, tile| writer.long(tile));
        self.replay.write(writer);
        writer.u64(self.entry_bytes);
        for check in Check::ALL {
            writer.u64(self.checks.count(*check));
        }
        writer.all(&self.runs, |writer, run| {
            writer.u64(run.from.get());
            writer.u64(run.to.get());
            writer.u64(run.time.get());
        });
        write_statistics(&self.statistics, writer);
        write_cosigning(&self.cosigning, writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, NotKept> {
        let size = TreeSize::new(reader.u64()?);
        let tiles = reader.all(|reader| {
            let bytes = reader.long(hash::HASH_BYTES * proto::tile::TILE_WIDTH)?;
            match bytes.is_empty() {
                true => Ok(Tile::new()),
                false => Tile::from_bytes(&bytes).map_err(|_| NotKept::Form),
            }
        })?;
        let replay = Replay::read(reader)?;
        let entry_bytes = reader.u64()?;
        let mut counts = [0; Check::ALL.len()];
        for count in &mut counts {
            *count = reader.u64()?;
        }
        let runs = reader.all(|reader| {
            Ok(Run {
                from: TreeSize::new(reader.u64()?),
                to: TreeSize::new(reader.u64()?),
                time: UnixSeconds::new(reader.u64()?),
            })
        })?;
        Ok(Self {
            edge: RightEdge::of_tiles(size, tiles).ok_or(NotKept::Form)?,
            replay,
            entry_bytes,
            statistics: read_statistics(reader)?,
            checks: Checks::of(counts),
            cosigning: read_cosigning(reader)?,
            checkpoint: None,
            runs,
        })
    }
}

/// Under a key of its own for each ledger, so that the check alone tells whose it is.
fn hasher(origin: &Origin) -> KeyedHasher {
    let key = hash::derive(Context::AuditState, &[origin.as_str().as_bytes()]);
    KeyedHasher::new(key.as_bytes())
}

fn write_statistics(statistics: &Statistics, writer: &mut Writer<'_>) {
    writer.all(&statistics.days, |writer, (day, counts)| {
        writer.u32(day.get());
        counts.iter().for_each(|count| writer.u64(*count));
    });
    writer.all(&statistics.events, |writer, (event, count)| {
        writer.put(&event.to_bytes());
        writer.u64(*count);
    });
}

fn read_statistics(reader: &mut Reader<'_>) -> Result<Statistics, NotKept> {
    let days = reader.all(|reader| {
        let day = Day::new(reader.u32()?);
        let mut counts = [0; Kind::ALL.len()];
        for count in &mut counts {
            *count = reader.u64()?;
        }
        Ok((day, counts))
    })?;
    let events = reader.all(|reader| {
        let event = Event::from_bytes(reader.array()?).ok_or(NotKept::Form)?;
        Ok((event, reader.u64()?))
    })?;
    Ok(Statistics {
        days: days.into_iter().collect(),
        events: events.into_iter().collect(),
    })
}

fn write_cosigning(cosigning: &Cosigning, writer: &mut Writer<'_>) {
    writer.u64(cosigning.sampled);
    writer.u64(cosigning.idle);
    writer.all(&cosigning.delays, |writer, (member, delays)| {
        writer.long(member.as_str().as_bytes());
        writer.all(delays, |writer, (delay, count)| {
            writer.u32(*delay);
            writer.u64(*count);
        });
    });
    writer.all(cosigning.waiting.values(), |writer, shown| {
        writer.long(shown.to_text().as_bytes());
    });
}

fn read_cosigning(reader: &mut Reader<'_>) -> Result<Cosigning, NotKept> {
    let (sampled, idle) = (reader.u64()?, reader.u64()?);
    let delays = reader.all(|reader| {
        let name = reader.text(NAME_BYTES_MAX)?;
        let name = name.parse().map_err(|_| NotKept::Form)?;
        let delays = reader.all(|reader| Ok((reader.u32()?, reader.u64()?)))?;
        Ok((name, delays.into_iter().collect::<Delays>()))
    })?;
    let waiting = reader.all(|reader| {
        let text = reader.long(NOTE_BYTES_MAX)?;
        let shown = SignedCheckpoint::parse(&text).map_err(|_| NotKept::Form)?;
        Ok((shown.claimed().size, shown))
    })?;
    Ok(Cosigning {
        delays: delays.into_iter().collect(),
        sampled,
        idle,
        waiting: waiting.into_iter().collect::<BTreeMap<_, _>>(),
    })
}
