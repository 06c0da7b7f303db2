//! This member's head log: the ledger's published checkpoints, one after the other, in the plain
//! form of C2SP that stock witnesses and tools read.
//!
//! A leaf is durable before the head over it is shown, and a head of some size is never followed
//! by another one of that size. So the log is kept by members that take part in ordering alone: the
//! others remember what these have signed, and whose data folder is older than that begins another
//! life, with another head log. A head log that cannot be read begins another life as well.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use proto::hash::Hash;
use proto::head_log::{HeadLogCheckpoint, HeadLogLife, HeadLogOrigin, leaf_hash};
use proto::ids::{LeafIndex, MemberName, Origin, TreeSize};
use proto::merkle::{Sha256, Subtrees as _};
use proto::signing::SecretKey;
use proto::tile::{
    RebuildError, RightEdgeWith, TILE_WIDTH, TileError, TilePath, TileSource as _, TileWidth,
    TiledLogWith, encode_entry,
};
use thiserror::Error;

use crate::blocking::blocking;
use crate::sequencer::{Condition, Sequencer};
use crate::snapshot::Snapshot;
use crate::store::{HeadLogState, HeadLogTiles, Store, StoreError};

/// Shortest time between two leaves. A leaf takes a sync and about a kilobyte, a batch comes every
/// few milliseconds under load, and no witness asks as often as once a second.
pub const PERIOD: Duration = Duration::from_secs(1);

/// Why the head log cannot answer, or does not go on.
#[derive(Debug, Error)]
pub enum HeadLogError {
    /// The store did not read or write.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored is not what the head is over.
    #[error("stored {what} does not fit the head log")]
    Corrupt {
        /// What does not fit.
        what: &'static str,
    },
    /// The operating system has no randomness.
    #[error("the operating system has no randomness")]
    NoRandomness,
}

/// One head, and all that is needed to show what lies under it.
#[derive(Debug)]
struct Head {
    edge: RightEdgeWith<Sha256>,
    state: HeadLogState,
    note: String,
}

/// The head log of one node. Whoever reads sees one head at a time; one task appends.
#[derive(Debug)]
pub struct HeadLog {
    store: Store,
    origin: HeadLogOrigin,
    secret: SecretKey,
    head: RwLock<Arc<Head>>,
}

impl HeadLog {
    /// Goes on with the head log in the store, or begins one. Blocks.
    ///
    /// # Errors
    /// [`HeadLogError::Store`] when the store does not read or write. What is stored and does not
    /// fit is no error: a new life is begun.
    pub fn open(
        store: Store,
        ledger: &Origin,
        member: &MemberName,
        secret: SecretKey,
    ) -> Result<Self, HeadLogError> {
        let (state, edge) = match resumed(&store) {
            Ok(Some(found)) => found,
            Ok(None) => begun(&store)?,
            Err(HeadLogError::Corrupt { .. } | HeadLogError::Store(StoreError::Corrupt { .. })) => {
                tracing::error!("the head log does not fit what is stored: another one begins");
                begun(&store)?
            }
            Err(error) => return Err(error),
        };
        let origin = HeadLogOrigin::new(ledger, member, state.life);
        let head = Head::new(&origin, edge, state, &secret);
        Ok(Self {
            store,
            origin,
            secret,
            head: RwLock::new(Arc::new(head)),
        })
    }

    /// The newest head, signed, as it is sent.
    #[must_use]
    pub fn checkpoint(&self) -> String {
        self.head().note.clone()
    }

    /// What a stock tool verifies this log with.
    #[must_use]
    pub fn verifier_key(&self) -> String {
        self.origin.verifier_key(&self.secret.public())
    }

    /// The size of the ledger at the newest leaf.
    #[must_use]
    pub fn newest(&self) -> TreeSize {
        self.head().state.newest
    }

    /// The bytes of a tile or bundle of leaves (C2SP tlog-tiles); `None` for what is not there yet.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit the head.
    pub fn tile(&self, path: &TilePath) -> Result<Option<Vec<u8>>, HeadLogError> {
        let head = self.head();
        let source = self.store.head_log_tiles();
        let log = TiledLogWith::new(&head.edge, &source);
        match path {
            TilePath::Hashes { tile, width } => match log.tile(*tile) {
                Ok(tile) => Ok(tile.to_partial_bytes(*width)),
                Err(TileError::Missing(_)) => Ok(None),
                Err(error) => Err(unreadable(error)),
            },
            TilePath::Entries { index, width } => self.bundle(&log, head.size(), *index, *width),
        }
    }

    fn bundle(
        &self,
        log: &TiledLogWith<'_, HeadLogTiles<'_>, Sha256>,
        size: TreeSize,
        index: u64,
        width: TileWidth,
    ) -> Result<Option<Vec<u8>>, HeadLogError> {
        let first = index.saturating_mul(TILE_WIDTH as u64);
        let end = first.saturating_add(width.get().into());
        if end > size.get() {
            return Ok(None);
        }
        let corrupt = HeadLogError::Corrupt { what: "leaf" };
        let mut bundle = Vec::new();
        for index in first..end {
            let leaf = self.store.head_log_leaf(LeafIndex::new(index))?;
            let expected = log.subtree(0, index).map_err(unreadable)?;
            if leaf_hash(&leaf) != expected || encode_entry(&leaf, &mut bundle).is_err() {
                return Err(corrupt);
            }
        }
        Ok(Some(bundle))
    }

    /// Appends a checkpoint of the ledger, of this size, as it was published, and shows the head over
    /// it. One that is not larger than the newest is passed over. Blocks; one caller at a time.
    ///
    /// # Errors
    /// [`HeadLogError::Store`]; the head shown is then the one before.
    pub fn append(&self, signed_checkpoint: &str, newest: TreeSize) -> Result<(), HeadLogError> {
        let leaf = signed_checkpoint.as_bytes();
        let head = self.head();
        if newest <= head.state.newest {
            return Ok(());
        }
        let mut edge = head.edge.clone();
        let tiles = edge.append_all(&[leaf_hash(leaf)]);
        let state = HeadLogState {
            life: head.state.life,
            size: edge.size(),
            root: edge.root(),
            newest,
        };
        self.store.append_head_log(leaf, &tiles, &state)?;
        // Durable from here, and only now signed and shown.
        let head = Head::new(&self.origin, edge, state, &self.secret);
        *self.head.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(head);
        Ok(())
    }

    fn head(&self) -> Arc<Head> {
        let head = self.head.read();
        head.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Head {
    fn new(
        origin: &HeadLogOrigin,
        edge: RightEdgeWith<Sha256>,
        state: HeadLogState,
        secret: &SecretKey,
    ) -> Self {
        let checkpoint = HeadLogCheckpoint {
            origin: origin.clone(),
            size: state.size,
            root: state.root,
        };
        let note = checkpoint.sign(secret);
        Self { edge, state, note }
    }

    const fn size(&self) -> TreeSize {
        self.state.size
    }
}

/// The head log as it is stored, its right edge computed from its tiles and last leaves.
fn resumed(store: &Store) -> Result<Option<(HeadLogState, RightEdgeWith<Sha256>)>, HeadLogError> {
    let Some(state) = store.head_log()? else {
        return Ok(None);
    };
    let size = state.size.get();
    let tail = size - size % TILE_WIDTH as u64..size;
    let leaves = tail.map(|index| Ok(leaf_hash(&store.head_log_leaf(LeafIndex::new(index))?)));
    let leaves = leaves.collect::<Result<Vec<Hash>, StoreError>>()?;
    let source = store.head_log_tiles();
    let edge = RightEdgeWith::rebuild(state.size, |id| source.full_tile(id), &leaves);
    let edge = edge.map_err(|error| match error {
        RebuildError::Source(error) => error.into(),
        RebuildError::TailLength { .. } | RebuildError::NotFull { .. } => {
            HeadLogError::Corrupt { what: "tile" }
        }
    })?;
    match edge.root() == state.root {
        true => Ok(Some((state, edge))),
        false => Err(HeadLogError::Corrupt { what: "root" }),
    }
}

fn begun(store: &Store) -> Result<(HeadLogState, RightEdgeWith<Sha256>), HeadLogError> {
    let life = getrandom::u64().map_err(|_| HeadLogError::NoRandomness)?;
    let state = store.begin_head_log(HeadLogLife::new(life))?;
    Ok((state, RightEdgeWith::new()))
}

fn unreadable(error: TileError<StoreError>) -> HeadLogError {
    match error {
        TileError::Source(error) => error.into(),
        TileError::CorruptTile { .. } | TileError::Missing(_) => {
            HeadLogError::Corrupt { what: "tile" }
        }
    }
}

/// Appends what is published, at most once in [`PERIOD`] and no later than that, until it is told
/// to end. The first leaf after a start is what a crash may have kept from being one.
pub async fn keep(log: Arc<HeadLog>, sequencer: Sequencer, told: impl Future<Output = ()>) {
    let mut told = pin!(told);
    loop {
        if let Some(published) = due(&log, &sequencer) {
            let appending = log.clone();
            let (text, size) = (published.checkpoint_text().to_owned(), published.size());
            let appended = blocking(move || appending.append(&text, size)).await;
            if let Ok(Err(error)) = appended {
                tracing::warn!(%error, "the head log does not grow");
            }
        }
        tokio::select! {
            () = &mut told => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// What is published and has yet to become a leaf. Nothing while this node may have forgotten what
/// it signed, or has stopped over what it found.
fn due(log: &HeadLog, sequencer: &Sequencer) -> Option<Arc<Snapshot>> {
    let has_stopped = matches!(sequencer.condition(), Condition::Stopped(_));
    let is_sure = !sequencer.is_recalling() && !has_stopped;
    let published = sequencer.snapshot();
    let is_new = published.size() > log.newest() && published.vouched_at().is_some();
    (is_sure && is_new).then_some(published)
}

#[cfg(test)]
mod tests;
