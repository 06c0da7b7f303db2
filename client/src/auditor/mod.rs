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

mod accusation;
pub(crate) mod replay;
mod source;
mod verified;

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::attestation::ShapeError;
use proto::checkpoint::{
    Checkpoint, CheckpointError, SignedCheckpoint, SignedCheckpointError, VerifiedCheckpoint,
};
use proto::entry::{EntryError, Kind};
use proto::ids::{LeafIndex, TreeSize};
use proto::map::{Bucket, BucketSource, Crown, MapValue, MapValueError, Prefix};
use proto::note::NOTE_BYTES_MAX;
use proto::refusal::Reason;
use proto::roster::{Roster, SuccessionError};
use proto::tile::{
    BundleError, RightEdge, TILE_HEIGHT, TILE_LEVEL_MAX, TILE_WIDTH, TileId, TilePath, TileWidth,
};
use thiserror::Error;

use self::replay::Replay;
pub use self::source::{FETCH_DEADLINE, FetchError, HttpSource, LogSource};
use self::verified::VerifiedBundle;
use crate::failure::{Failure, FailureKind};

/// Most bytes of a bundle: 256 entries of the largest size, each behind two bytes of length.
const BUNDLE_BYTES_MAX: usize = TILE_WIDTH * (2 + proto::entry::ENTRY_BYTES_MAX);
/// Most bytes of a tile.
const TILE_BYTES_MAX: usize = TILE_WIDTH * proto::hash::HASH_BYTES;

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
    seen: Option<SignedCheckpoint>,
}

impl<S: LogSource> Auditor<S> {
    /// An auditor of the log at `source`, which must belong to this roster.
    #[must_use]
    pub const fn new(source: S, roster: Roster) -> Self {
        Self {
            source,
            roster,
            seen: None,
        }
    }

    /// The same auditor, who has verified this before: the log must begin with it.
    #[must_use]
    pub fn having_seen(self, checkpoint: &VerifiedCheckpoint) -> Self {
        Self {
            seen: Some(checkpoint.signed().clone()),
            ..self
        }
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
        let bytes = self.source.fetch("checkpoint", NOTE_BYTES_MAX).await?;
        let signed = SignedCheckpoint::parse(&bytes)?;
        let claimed = signed.claimed();
        self.require_expected(claimed)?;
        let mut pass = Pass {
            edge: RightEdge::new(),
            replay: Replay::new(self.roster.clone()),
            entry_bytes: 0,
        };
        while pass.edge.size() < claimed.size {
            self.bundle(&mut pass, claimed.size).await?;
            progress(Progress {
                verified: pass.edge.size(),
                total: claimed.size,
            });
        }
        self.partial_tiles(&pass.edge).await?;
        pass.finish(&signed)
    }

    /// Step 1, as far as it goes without reading the log.
    fn require_expected(&self, claimed: &Checkpoint) -> Result<(), AuditError> {
        if claimed.origin != *self.roster.origin() {
            return Err(AuditError::Origin);
        }
        if claimed.size == TreeSize::new(0) {
            return Err(AuditError::Empty);
        }
        match self.seen.as_ref().map(SignedCheckpoint::claimed) {
            Some(seen) if seen.size > claimed.size => Err(AuditError::Rollback {
                ours: seen.size,
                theirs: claimed.size,
            }),
            Some(seen) if seen.size == claimed.size && seen.map_root != claimed.map_root => {
                Err(AuditError::Fork { size: seen.size })
            }
            _ => Ok(()),
        }
    }

    /// Steps 2 to 4 for the next bundle.
    async fn bundle(&self, pass: &mut Pass, total: TreeSize) -> Result<(), AuditError> {
        let first = pass.edge.size();
        let index = first.get() / TILE_WIDTH as u64;
        let width = width_at(total.get() - first.get());
        let bytes = self.entries(index, width).await?;
        pass.entry_bytes += bytes.len() as u64;
        let origin = self.roster.origin().clone();
        let want = usize::from(width.get());
        let verify = move || VerifiedBundle::verify(&bytes, first.next_index(), want, &origin);
        let bundle = tokio::task::spawn_blocking(verify).await;
        let bundle = bundle.map_err(|_| AuditError::Interrupted)??;
        for (offset, (entry, attestation)) in bundle.entries.iter().enumerate() {
            let entry_index = LeafIndex::new(first.get() + offset as u64);
            let fails = |failure| AuditError::Entry {
                entry: entry_index,
                failure,
            };
            pass.replay.append(entry, attestation).map_err(fails)?;
        }
        for (tile, expected) in self.grow(pass, &bundle.leaf_hashes)? {
            let path = TilePath::Hashes {
                tile,
                width: TileWidth::FULL,
            };
            let served = self.source.fetch(&path.to_string(), TILE_BYTES_MAX).await?;
            if served != expected {
                return Err(AuditError::Tile { tile });
            }
        }
        Ok(())
    }

    /// Appends leaf hashes, and stops on the way where the log seen before ended. Returns the
    /// tiles that are full now.
    fn grow(
        &self,
        pass: &mut Pass,
        leaf_hashes: &[proto::hash::Hash],
    ) -> Result<Vec<(TileId, Vec<u8>)>, AuditError> {
        let begin = pass.edge.size().get();
        let seen = self.seen.as_ref().map(SignedCheckpoint::claimed);
        let seen_here = seen.and_then(|seen| {
            let offset = usize::try_from(seen.size.get().checked_sub(begin)?).ok()?;
            leaf_hashes
                .split_at_checked(offset)
                .map(|halves| (seen, halves))
        });
        let mut full = Vec::new();
        match seen_here {
            Some((seen, (before, after))) => {
                full.extend(pass.edge.append_all(before));
                if pass.edge.root() != seen.log_root {
                    return Err(AuditError::Fork { size: seen.size });
                }
                full.extend(pass.edge.append_all(after));
            }
            None => full.extend(pass.edge.append_all(leaf_hashes)),
        }
        Ok(full
            .into_iter()
            .map(|(id, tile)| (id, tile.to_bytes()))
            .collect())
    }

    /// Step 4 for the tiles that are not full.
    async fn partial_tiles(&self, edge: &RightEdge) -> Result<(), AuditError> {
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

/// What has come out of the entries so far.
struct Pass {
    edge: RightEdge,
    replay: Replay,
    entry_bytes: u64,
}

impl Pass {
    /// Steps 5 to 7.
    fn finish(self, signed: &SignedCheckpoint) -> Result<Audit, AuditError> {
        let claimed = signed.claimed();
        if self.edge.root() != claimed.log_root {
            return Err(AuditError::LogRoot);
        }
        let Replay {
            map,
            counts,
            roster,
            given_met,
            ..
        } = self.replay;
        let states = map
            .iter()
            .map(|(index, state)| Ok((*index, Some(MapValue::from_bytes(&state.to_bytes())?))));
        let states: BTreeMap<_, _> = states
            .collect::<Result<_, MapValueError>>()
            .map_err(|_| AuditError::Map)?;
        let update = Crown::new()
            .update(&states, &NoBuckets)
            .map_err(|_| AuditError::Map)?;
        if update.root() != claimed.map_root {
            return Err(AuditError::MapRoot);
        }
        let roster = roster.ok_or(AuditError::Empty)?;
        let checkpoint = signed.verify(&roster)?;
        if !given_met {
            return Err(AuditError::OtherRoster);
        }
        let (map_size, entry_bytes) = (map.len(), self.entry_bytes);
        Ok(Audit {
            checkpoint,
            roster,
            counts,
            map_size,
            entry_bytes,
        })
    }
}

/// A map that is built at once from nothing reads no bucket.
struct NoBuckets;

/// There is no bucket to read.
struct NoBucket;

impl BucketSource for NoBuckets {
    type Error = NoBucket;

    fn bucket(&self, _prefix: &Prefix) -> Result<Arc<Bucket>, NoBucket> {
        Err(NoBucket)
    }
}

#[cfg(test)]
mod tests;
