//! The steps of a batch that touch log, map and store.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::batch::SignedHeader;
use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::hash::Hash;
use proto::ids::{LeafIndex, Origin};
use proto::map::{Crown, MapIndex, MapUpdate, MapValue};
use proto::roster::Roster;
use proto::seal::{Salt, SealedPayload};
use proto::tile::{RightEdge, Tile, TileId};
use thiserror::Error;

use super::StopReason;
use super::checking::Prepared;
use crate::engine::Applied;
use crate::ledger::Commit;
use crate::snapshot::{ReadError, Snapshot, unreadable_map};
use crate::store::{Salts, Store, StoreError, Writes};
use crate::witness::WitnessError;

/// The log with the leaves of a batch or a page, in memory.
#[derive(Debug, Clone)]
pub(super) struct GrownLog {
    pub(super) edge: RightEdge,
    pub(super) tiles: Vec<(TileId, Arc<Tile>)>,
}

impl GrownLog {
    pub(super) fn new(mut edge: RightEdge, leaves: impl Iterator<Item = Hash>) -> Self {
        let leaves: Vec<Hash> = leaves.collect();
        let tiles = edge.append_all(&leaves);
        Self { edge, tiles }
    }
}

/// What a batch makes of log and map, in memory.
#[derive(Debug)]
pub(super) struct Grown {
    pub(super) edge: RightEdge,
    pub(super) tiles: Vec<(TileId, Arc<Tile>)>,
    pub(super) map: MapUpdate,
    pub(super) roster: Arc<Roster>,
}

impl Grown {
    pub(super) fn checkpoint(&self, origin: &Origin) -> Checkpoint {
        Checkpoint {
            origin: origin.clone(),
            size: self.edge.size(),
            log_root: self.edge.root(),
            map_root: self.map.root(),
        }
    }
}

/// Where the engine and the chain of headers are once a batch is in the ledger.
#[derive(Debug)]
pub(super) struct Placed<'a> {
    pub(super) applied: &'a Applied,
    pub(super) header: &'a SignedHeader,
    /// Whether this member votes alone, so that a start applies all of its log before it serves.
    pub(super) alone: bool,
}

/// Why a batch was thrown away before it was durable.
#[derive(Debug, Error)]
pub(super) enum Failure {
    #[error("free space is below the watermark")]
    NoRoom,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Witness(#[from] WitnessError),
}

impl Failure {
    pub(super) const fn stop_reason(&self) -> StopReason {
        match self {
            Self::NoRoom | Self::Store(StoreError::DiskFull { .. }) => StopReason::DiskFull,
            Self::Store(_) => StopReason::SyncFailed,
            Self::Read(_) => StopReason::Corrupt,
            Self::Witness(_) => StopReason::RootMismatch,
        }
    }
}

/// Grows log and map by what was decided; touches nothing that is published or stored.
pub(super) fn grow(before: &Snapshot, commit: &Commit, store: &Store) -> Result<Grown, ReadError> {
    let log = GrownLog::new(before.edge().clone(), leaves(commit));
    grow_map(log, before, commit, store)
}

/// The same where the log has grown already, by the leaves of what was decided.
pub(super) fn grow_map(
    log: GrownLog,
    before: &Snapshot,
    commit: &Commit,
    store: &Store,
) -> Result<Grown, ReadError> {
    let roster = commit.roster.as_ref();
    let roster = roster.unwrap_or_else(|| before.roster()).clone();
    grow_onto(log, before.crown(), roster, commit, store)
}

pub(super) fn grow_from(
    edge: RightEdge,
    crown: &Crown,
    roster: Arc<Roster>,
    commit: &Commit,
    store: &Store,
) -> Result<Grown, ReadError> {
    let log = GrownLog::new(edge, leaves(commit));
    grow_onto(log, crown, roster, commit, store)
}

fn leaves(commit: &Commit) -> impl Iterator<Item = Hash> {
    commit.entries.iter().map(|entry| entry.leaf_hash())
}

fn grow_onto(
    GrownLog { edge, tiles }: GrownLog,
    crown: &Crown,
    roster: Arc<Roster>,
    commit: &Commit,
    store: &Store,
) -> Result<Grown, ReadError> {
    let map = crown
        .update(&map_changes(commit)?, store)
        .map_err(unreadable_map)?;
    Ok(Grown {
        edge,
        tiles,
        map,
        roster,
    })
}

fn map_changes(commit: &Commit) -> Result<BTreeMap<MapIndex, Option<MapValue>>, ReadError> {
    let value = |bytes: &[u8]| {
        MapValue::from_bytes(bytes).map_err(|_| ReadError::Corrupt { what: "map value" })
    };
    let changes = commit.map.iter();
    changes
        .map(|(index, state)| {
            let value = state.map(|state| value(&state.to_bytes())).transpose()?;
            Ok((*index, value))
        })
        .collect()
}

/// Makes the salts of a batch durable ahead of its commit.
pub(super) fn write_salts(
    store: &Store,
    first: LeafIndex,
    batch: &Prepared,
) -> Result<(), StoreError> {
    let payloads = batch.payloads.iter();
    let payloads: Vec<_> = payloads
        .map(|(leaf, sealed, salt)| (*leaf, sealed, salt))
        .collect();
    store.write_ahead(&Salts {
        first,
        size: batch.grown.edge.size(),
        log_root: batch.grown.edge.root(),
        payloads: &payloads,
        erased: &batch.commit.erased,
    })
}

/// Brings a batch to the ledger. A member that votes alone has it in its engine's log and applies it
/// again before it serves, so its ledger may be behind on the disk; not so for a roster, from which
/// a start reads who this node is. Where others vote too, a start would wait for them to say what of
/// its log is ordered, and show less meanwhile than it had shown: there the ledger is durable first.
pub(super) fn commit_batch(
    store: &Store,
    first: LeafIndex,
    commit: &Commit,
    grown: &Grown,
    payloads: &[(LeafIndex, &SealedPayload, &Salt)],
    checkpoint: &SignedCheckpoint,
    placed: Option<&Placed<'_>>,
) -> Result<(), StoreError> {
    let writes = Writes {
        first,
        entries: &commit.entries,
        tiles: &grown.tiles,
        map: &grown.map,
        answers: &commit.answers,
        payloads,
        erased: &commit.erased,
        checkpoint,
        applied: placed.map(|placed| placed.applied),
        header: placed.map(|placed| placed.header),
    };
    match placed {
        Some(placed) if placed.alone && commit.roster.is_none() => store.apply(&writes),
        _ => store.commit(&writes),
    }
}
