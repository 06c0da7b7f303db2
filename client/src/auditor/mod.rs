//! The auditor: the whole log from entry 0, every hash, signature and map transition.
//!
//! 1. The newest checkpoint says how long the log is. It is not believed yet.
//! 2. Each entry has the bytes and the shape of its kind, and its issuer signed it.
//! 3. The rules of the ledger admit it where it stands; it takes effect on a map of our own.
//! 4. Its leaf hash is in the tile that the server serves, and each tile is in the one above.
//! 5. The log root and the map root that came out are those of the checkpoint.
//! 6. A quorum of the roster in force at the end cosigned the checkpoint.
//! 7. The roster file's roster was in force at some place, and the log seen before is its start.
//!
//! The first thing that does not hold ends the audit, with the entry where there is one.
//!
//! A [`Course`] is how far it has come, and can be kept in a file. A later audit goes on from there
//! and verifies what is new. Where that does not fit what was kept, nothing kept is believed: all of
//! the log is read again, and must begin with the checkpoint that was kept.

mod accusation;
pub mod check;
pub mod cosigning;
mod course;
pub mod findings;
mod kept;
pub(crate) mod replay;
mod source;
pub mod statistics;
mod verified;

use std::collections::BTreeMap;
use std::time::Duration;

use proto::attestation::{Attestation, ShapeError};
use proto::checkpoint::{
    Checkpoint, CheckpointError, SignedCheckpoint, SignedCheckpointError, VerifiedCheckpoint,
};
use proto::entry::{EntryError, Kind};
use proto::ids::{LeafIndex, TreeSize};
use proto::merkle;
use proto::note::NOTE_BYTES_MAX;
use proto::refusal::Reason;
use proto::roster::{Roster, SuccessionError};
use proto::tile::{
    BundleError, RightEdge, TILE_HEIGHT, TILE_LEVEL_MAX, TILE_WIDTH, TileId, TilePath, TileWidth,
    parse_bundle,
};
use thiserror::Error;
use tokio::time::Instant;

use self::check::Check;
pub use self::course::{Course, RUNS_MAX, Run};
pub use self::kept::KeptError;
pub use self::source::{FETCH_DEADLINE, FetchError, HttpSource, LogSource};
use self::verified::VerifiedBundle;
use crate::failure::{Failure, FailureKind};

/// Most bytes of a bundle: 256 entries of the largest size, each behind two bytes of length.
const BUNDLE_BYTES_MAX: usize = TILE_WIDTH * (2 + proto::entry::ENTRY_BYTES_MAX);
/// Most bytes of a tile.
const TILE_BYTES_MAX: usize = TILE_WIDTH * proto::hash::HASH_BYTES;
/// How often the newest checkpoint is looked at while the log is read, for how fast members cosign.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// How far an audit has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Entries verified.
    pub verified: TreeSize,
    /// Entries in the log.
    pub total: TreeSize,
}

/// A log of which everything was verified.
#[derive(Debug, Clone)]
pub struct Audit {
    /// What a quorum cosigned, and what came out of the entries.
    pub checkpoint: VerifiedCheckpoint,
    /// The roster in force at the end.
    pub roster: Roster,
    /// How many entries there are of each kind.
    pub counts: BTreeMap<Kind, u64>,
    /// How many slots, coverages, grants and others the map has.
    pub map_size: usize,
    /// How many bytes of entries were read.
    pub entry_bytes: u64,
}

/// Why a log does not pass.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuditError {
    /// A file of the log cannot be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The checkpoint cannot be read.
    #[error("checkpoint: {0}")]
    CheckpointText(#[from] SignedCheckpointError),
    /// The checkpoint is of another ledger than the roster.
    #[error("the checkpoint has another origin than the roster")]
    Origin,
    /// The ledger has not been founded.
    #[error("the log is empty")]
    Empty,
    /// A bundle of entries cannot be read.
    #[error("entries from {first} on: {reason}")]
    Bundle {
        /// The first entry of the bundle.
        first: LeafIndex,
        /// What is wrong with it.
        reason: BundleError,
    },
    /// A bundle does not have as many entries as the log.
    #[error("entries from {first} on: there are {got}, the checkpoint says {want}")]
    BundleLength {
        /// The first entry of the bundle.
        first: LeafIndex,
        /// Entries in it.
        got: usize,
        /// Entries there must be.
        want: usize,
    },
    /// An entry fails.
    #[error("entry {entry}: {failure}")]
    Entry {
        /// Which one.
        entry: LeafIndex,
        /// Which check.
        failure: EntryFailure,
    },
    /// A tile is not the one that the entries give.
    #[error("tile {tile}: it is not the one that the entries give")]
    Tile {
        /// Which one.
        tile: TileId,
    },
    /// The checkpoint has another log root than the entries give.
    #[error("log root: the checkpoint has another one than the entries give")]
    LogRoot,
    /// The checkpoint has another map root than the entries give.
    #[error("map root: the checkpoint has another one than the entries give")]
    MapRoot,
    /// The states do not make a map.
    #[error("map root: the states do not make a map")]
    Map,
    /// The checkpoint is no quorum's.
    #[error("cosignatures: {0}")]
    Cosignatures(#[from] CheckpointError),
    /// The log never had the roster file's roster in force.
    #[error("roster: the log never has the roster file's roster in force")]
    OtherRoster,
    /// The log is shorter than it was.
    #[error("rollback: the log has {theirs} entries, {ours} were seen before")]
    Rollback {
        /// The size seen before.
        ours: TreeSize,
        /// The size now.
        theirs: TreeSize,
    },
    /// The log does not begin with the one seen before.
    #[error("fork: at size {size} the log has another root than the one seen before")]
    Fork {
        /// The size seen before.
        size: TreeSize,
    },
    /// The verification itself was cut off.
    #[error("the audit was interrupted")]
    Interrupted,
}

/// Which check an entry failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EntryFailure {
    /// Bytes or signature.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The shape of its kind.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// A rule that must have refused it.
    #[error("it should have been refused: {} ({})", .0.english(), .0.code())]
    Rule(Reason),
    /// The first entry is no roster.
    #[error("the first entry must be a roster")]
    NotARoster,
    /// A roster does not follow from the one before it.
    #[error("roster: {0}")]
    Succession(#[from] SuccessionError),
}

impl AuditError {
    /// Whether it may be for what was kept that the check failed, and not for the log.
    fn doubts_what_was_kept(&self) -> bool {
        let told_by_the_checkpoint = matches!(
            self,
            Self::CheckpointText(_)
                | Self::Origin
                | Self::Empty
                | Self::Rollback { .. }
                | Self::Fork { .. }
        );
        !told_by_the_checkpoint && self.kind() == FailureKind::Refused
    }
}

impl From<Reason> for EntryFailure {
    fn from(reason: Reason) -> Self {
        Self::Rule(reason)
    }
}

impl Failure for AuditError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Fetch(error) => error.kind(),
            Self::Interrupted => FailureKind::Unavailable,
            _ => FailureKind::Refused,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Fetch(FetchError::NotFound { .. }) => {
                Some("is this the address of a member's log, without a path behind it?")
            }
            Self::Rollback { .. } | Self::Fork { .. } => {
                Some("keep the state folder: it is evidence, and the federation must see it")
            }
            _ => None,
        }
    }
}

/// Verifies one log from its first entry to its last.
#[derive(Debug)]
pub struct Auditor<S> {
    source: S,
    roster: Roster,
    /// Ascending by size.
    seen: Vec<SignedCheckpoint>,
}

impl<S: LogSource> Auditor<S> {
    /// An auditor of the log at `source`, which must belong to this roster.
    #[must_use]
    pub const fn new(source: S, roster: Roster) -> Self {
        Self {
            source,
            roster,
            seen: Vec::new(),
        }
    }

    /// The same auditor, who has verified this before: the log must begin with it.
    #[must_use]
    pub fn having_seen(self, checkpoint: &VerifiedCheckpoint) -> Self {
        self.having_kept(checkpoint.signed())
    }

    /// The same, of what an earlier audit has kept.
    #[must_use]
    pub fn having_kept(mut self, checkpoint: &SignedCheckpoint) -> Self {
        let is_same = |seen: &SignedCheckpoint| seen.claimed() == checkpoint.claimed();
        if !self.seen.iter().any(is_same) {
            self.seen.push(checkpoint.clone());
            self.seen.sort_by_key(|seen| seen.claimed().size);
        }
        self
    }

    /// The roster that the log must have had in force.
    #[must_use]
    pub const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Verifies everything; `progress` is called after each bundle.
    ///
    /// # Errors
    /// [`AuditError`], the first check that fails.
    pub async fn audit(
        &self,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Audit, AuditError> {
        self.go_on(&mut Course::default(), progress).await
    }

    /// Verifies what is new since `course`, which then has all of it. When it fails, the course has
    /// what was verified until then, and is not to be kept.
    ///
    /// A course that does not fit what follows, or is ahead of what was seen elsewhere, is begun
    /// anew: everything is verified.
    ///
    /// # Errors
    /// [`AuditError`], the first check that fails.
    pub async fn go_on(
        &self,
        course: &mut Course,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Audit, AuditError> {
        let is_ahead = |seen: &SignedCheckpoint| seen.claimed().size < course.size();
        if self.seen.iter().any(is_ahead) {
            *course = Course::default();
        }
        let had = course.size();
        let passed = self.verify(course, progress).await;
        match passed {
            Err(failed) if had > TreeSize::new(0) && failed.doubts_what_was_kept() => {
                *course = Course::default();
                self.verify(course, progress).await
            }
            passed => passed,
        }
    }

    async fn verify(
        &self,
        course: &mut Course,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Audit, AuditError> {
        let signed = self.newest().await?;
        let claimed = signed.claimed();
        self.require_expected(claimed)?;
        course.cosigning.wait(&signed, course.size());
        let mut sampled = Instant::now();
        while course.size() < claimed.size {
            self.bundle(course, claimed.size).await?;
            if sampled.elapsed() >= SAMPLE_EVERY {
                sampled = Instant::now();
                // Whether the newest one can be had is no matter of the one that is audited.
                if let Ok(shown) = self.newest().await {
                    course.cosigning.wait(&shown, course.size());
                }
            }
            progress(Progress {
                verified: course.size(),
                total: claimed.size,
            });
        }
        self.partial_tiles(course).await?;
        course.finish(&signed, &self.roster, self.seen.len() as u64)
    }

    async fn newest(&self) -> Result<SignedCheckpoint, AuditError> {
        let bytes = self.source.fetch("checkpoint", NOTE_BYTES_MAX).await?;
        Ok(SignedCheckpoint::parse(&bytes)?)
    }

    /// Step 1, as far as it goes without reading the log.
    fn require_expected(&self, claimed: &Checkpoint) -> Result<(), AuditError> {
        if claimed.origin != *self.roster.origin() {
            return Err(AuditError::Origin);
        }
        if claimed.size == TreeSize::new(0) {
            return Err(AuditError::Empty);
        }
        for seen in self.seen.iter().map(SignedCheckpoint::claimed) {
            if seen.size > claimed.size {
                let (ours, theirs) = (seen.size, claimed.size);
                return Err(AuditError::Rollback { ours, theirs });
            }
            if seen.size == claimed.size && seen.map_root != claimed.map_root {
                return Err(AuditError::Fork { size: seen.size });
            }
        }
        Ok(())
    }

    /// Steps 2 to 4 for the next bundle, of which the first entries may be known.
    async fn bundle(&self, course: &mut Course, total: TreeSize) -> Result<(), AuditError> {
        let begin = course.size();
        let index = begin.get() / TILE_WIDTH as u64;
        let first = LeafIndex::new(index * TILE_WIDTH as u64);
        let width = width_at(total.get() - first.get());
        let bytes = self.entries(index, width).await?;
        let known = require_known(&course.edge, index, &bytes)?;
        let origin = self.roster.origin().clone();
        let wanted = known..usize::from(width.get());
        let verify = move || VerifiedBundle::verify(&bytes, first, wanted, &origin);
        let bundle = tokio::task::spawn_blocking(verify).await;
        let bundle = bundle.map_err(|_| AuditError::Interrupted)??;
        for (index, (entry, attestation)) in (begin.get()..).zip(&bundle.entries) {
            let index = LeafIndex::new(index);
            let fails = |failure| AuditError::Entry {
                entry: index,
                failure,
            };
            course.admit(entry, attestation, index).map_err(fails)?;
        }
        for (tile, expected) in self.grow(course, &bundle.leaf_hashes)? {
            let path = TilePath::Hashes {
                tile,
                width: TileWidth::FULL,
            };
            let served = self.source.fetch(&path.to_string(), TILE_BYTES_MAX).await?;
            if served != expected {
                return Err(AuditError::Tile { tile });
            }
            course.checks.add(Check::Tile, 1);
        }
        Ok(())
    }

    /// Appends leaf hashes, and stops on the way where a log seen before ended. Returns the tiles
    /// that are full now.
    fn grow(
        &self,
        course: &mut Course,
        leaf_hashes: &[proto::hash::Hash],
    ) -> Result<Vec<(TileId, Vec<u8>)>, AuditError> {
        let mut full = Vec::new();
        let mut rest = leaf_hashes;
        for seen in self.seen.iter().map(SignedCheckpoint::claimed) {
            let ahead = seen.size.get().checked_sub(course.size().get());
            let ahead = ahead.and_then(|ahead| usize::try_from(ahead).ok());
            let Some((before, after)) = ahead.and_then(|ahead| rest.split_at_checked(ahead)) else {
                continue;
            };
            full.extend(course.edge.append_all(before));
            rest = after;
            if course.edge.root() != seen.log_root {
                return Err(AuditError::Fork { size: seen.size });
            }
        }
        full.extend(course.edge.append_all(rest));
        course.checks.add(Check::Leaf, leaf_hashes.len() as u64);
        let bytes = |(id, tile): (TileId, std::sync::Arc<proto::tile::Tile>)| (id, tile.to_bytes());
        Ok(full.into_iter().map(bytes).collect())
    }

    /// Step 4 for the tiles that are not full.
    async fn partial_tiles(&self, course: &mut Course) -> Result<(), AuditError> {
        let edge = course.edge.clone();
        for level in 0..=TILE_LEVEL_MAX {
            let hashes = edge.size().get() >> (TILE_HEIGHT * level);
            let tile = TileId {
                level,
                index: hashes / TILE_WIDTH as u64,
            };
            let Some(expected) = edge.partial_tile(tile).filter(|tile| tile.width() > 0) else {
                continue;
            };
            let expected = expected.to_bytes();
            let width = width_at(hashes % TILE_WIDTH as u64);
            let served = self
                .widest(|width| TilePath::Hashes { tile, width }, width)
                .await?;
            if !served.starts_with(&expected) {
                return Err(AuditError::Tile { tile });
            }
            course.checks.add(Check::Tile, 1);
        }
        Ok(())
    }

    async fn entries(&self, index: u64, width: TileWidth) -> Result<Vec<u8>, AuditError> {
        self.widest(|width| TilePath::Entries { index, width }, width)
            .await
    }

    /// The file of this width or, once the log has outgrown it and it is no longer served, the
    /// full one, of which it is the beginning.
    async fn widest(
        &self,
        path: impl Fn(TileWidth) -> TilePath,
        width: TileWidth,
    ) -> Result<Vec<u8>, AuditError> {
        let partial = self
            .source
            .fetch(&path(width).to_string(), BUNDLE_BYTES_MAX)
            .await;
        match partial {
            Err(FetchError::NotFound { .. }) if width != TileWidth::FULL => {
                let full = path(TileWidth::FULL).to_string();
                Ok(self.source.fetch(&full, BUNDLE_BYTES_MAX).await?)
            }
            fetched => Ok(fetched?),
        }
    }
}

/// The width of the file at the end of a log that has this many more entries or hashes.
fn width_at(left: u64) -> TileWidth {
    let width = u16::try_from(left).ok().and_then(TileWidth::new);
    width.unwrap_or(TileWidth::FULL)
}

/// The entries at the beginning of a bundle that have been verified are the same as then. Returns how
/// many they are.
fn require_known(edge: &RightEdge, index: u64, bytes: &[u8]) -> Result<usize, AuditError> {
    let tile = TileId { level: 0, index };
    let Some(known) = edge.partial_tile(tile) else {
        return Ok(0);
    };
    let first = LeafIndex::new(index * TILE_WIDTH as u64);
    let bundle = parse_bundle(bytes).map_err(|reason| AuditError::Bundle { first, reason })?;
    let (want, known) = (known.to_bytes(), known.width());
    let hashes = bundle.iter().take(known);
    let hashes = hashes.flat_map(|entry| *merkle::leaf(entry).as_bytes());
    let same = hashes.eq(want);
    same.then_some(known).ok_or(AuditError::Tile { tile })
}

#[cfg(test)]
mod tests;
