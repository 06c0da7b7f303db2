//! One published state of the ledger, and every proof that is made from it.
//!
//! A snapshot is what a checkpoint commits to: the right edge of the log, the crown of the map,
//! the roster in force. Older tiles, buckets and entries come from the store, and each is checked
//! against those hashes before it is used: a byte that changed on disk is an error, never an
//! answer. All parts of one answer come from one snapshot.

mod pages;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use proto::attestation::{
    self, Attestation, GrantState, State, catalogue_index, coverage_index, grant_index,
    roster_index, slot_index,
};
use proto::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};
use proto::entry::Entry;
use proto::hash::Hash;
use proto::ids::{CoverageKey, Finess, LeafIndex, SlotKey, TreeSize, UnixSeconds};
use proto::map::{Crown, MapError, MapIndex, MapProof};
use proto::merkle::{ConsistencyProof, InclusionProof, ProveError, Subtrees as _};
use proto::merkle::{prove_consistency, prove_inclusion};
use proto::receipt::{EntryProof, RefusalReceipt};
use proto::refusal::{Refusal, TakenSlot};
use proto::roster::{Epoch, Roster, SignedRoster};
use proto::seal::{Salt, SealedPayload};
use proto::signing::PublicKey;
use proto::tile::{RightEdge, TileError, TilePath, TileWidth, TiledLog};
use proto::wire::StateAnswer;
use thiserror::Error;

use crate::ledger::{Answered, RequestKey, View};
use crate::store::{Store, StoreAt, StoreError};

/// Why a snapshot cannot answer. None of these carries content.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The store could not read.
    #[error("the store cannot be read: {0}")]
    Store(#[from] StoreError),
    /// A stored entry, tile or bucket is not the one that the roots commit to.
    #[error("stored {what} does not fit the ledger's roots")]
    Corrupt {
        /// What does not fit.
        what: &'static str,
    },
    /// The log is not that long.
    #[error("the log has {size} entries, which leaves out {asked}")]
    BeyondEnd {
        /// The size of the log.
        size: TreeSize,
        /// The index or size asked for.
        asked: u64,
    },
}

/// An entry, and its payload unless it has none or it was erased.
pub type Replicated = (Arc<Entry>, Option<(SealedPayload, Salt)>);

/// A published state. Cheap to share; it stays valid while newer ones are published.
#[derive(Debug)]
pub struct Snapshot {
    checkpoint: SignedCheckpoint,
    checkpoint_text: String,
    /// When a quorum vouched for it, once somebody has asked.
    vouched_at: OnceLock<Option<UnixSeconds>>,
    edge: RightEdge,
    crown: Crown,
    roster: Arc<Roster>,
    store: Store,
}

impl Snapshot {
    pub(crate) fn new(
        checkpoint: SignedCheckpoint,
        edge: RightEdge,
        crown: Crown,
        roster: Arc<Roster>,
        store: Store,
    ) -> Self {
        let checkpoint_text = checkpoint.to_text();
        Self {
            checkpoint,
            checkpoint_text,
            vouched_at: OnceLock::new(),
            edge,
            crown,
            roster,
            store,
        }
    }

    /// The state under a checkpoint that was verified against this roster: nobody need do it again.
    pub(crate) fn certified(
        certificate: &VerifiedCheckpoint,
        edge: RightEdge,
        crown: Crown,
        roster: Arc<Roster>,
        store: Store,
    ) -> Self {
        Self {
            vouched_at: OnceLock::from(Some(certificate.time())),
            ..Self::new(certificate.signed().clone(), edge, crown, roster, store)
        }
    }

    /// The same state under a newer certificate.
    pub(crate) fn renewed(&self, certificate: &VerifiedCheckpoint) -> Self {
        Self::certified(
            certificate,
            self.edge.clone(),
            self.crown.clone(),
            self.roster.clone(),
            self.store.clone(),
        )
    }

    pub(crate) const fn edge(&self) -> &RightEdge {
        &self.edge
    }

    pub(crate) const fn crown(&self) -> &Crown {
        &self.crown
    }

    /// The cosigned checkpoint.
    #[must_use]
    pub const fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }

    /// The cosigned checkpoint as it is sent.
    #[must_use]
    pub fn checkpoint_text(&self) -> &str {
        &self.checkpoint_text
    }

    /// When a quorum of the roster vouched for the checkpoint; `None` when none did.
    #[must_use]
    pub fn vouched_at(&self) -> Option<UnixSeconds> {
        let verify = || Some(self.checkpoint.verify(&self.roster).ok()?.time());
        *self.vouched_at.get_or_init(verify)
    }

    /// The signed roster in force, as its entry has it.
    ///
    /// # Errors
    /// [`ReadError`] when the entry cannot be read.
    pub fn signed_roster(&self) -> Result<SignedRoster, ReadError> {
        let by = match self.state(&roster_index())? {
            Some(State::Roster { by }) => by,
            _ => LeafIndex::new(0),
        };
        let entry = self.entry(by)?;
        match entry.map(|entry| Attestation::read(entry.header())) {
            Some(Ok(Attestation::Roster(signed))) => Ok(signed),
            _ => Err(ReadError::Corrupt {
                what: "roster entry",
            }),
        }
    }

    /// The entry with the roster of this epoch, with its audit path; `None` when the ledger has
    /// none that it can find.
    ///
    /// # Errors
    /// [`ReadError`] when the entry cannot be read.
    pub fn prove_roster(&self, epoch: Epoch) -> Result<Option<EntryProof>, ReadError> {
        match self.store.roster_entry(epoch)? {
            Some(leaf) => self.prove_entry(leaf),
            None => Ok(None),
        }
    }

    /// The roster before the one in force, as far as it can be found.
    #[must_use]
    pub fn roster_before(&self) -> Option<Roster> {
        let before = self.roster.epoch().get().checked_sub(1)?;
        let leaf = self.store.roster_entry(Epoch::new(before)).ok()??;
        match Attestation::read(self.entry(leaf).ok()??.header()) {
            Ok(Attestation::Roster(signed)) => Some(signed.admitted().clone()),
            _ => None,
        }
    }

    /// How long ago a quorum vouched for the checkpoint; `None` when none did.
    #[must_use]
    pub fn age(&self, now: UnixSeconds) -> Option<Duration> {
        let vouched_at = self.vouched_at()?;
        let age = now.get().saturating_sub(vouched_at.get());
        Some(Duration::from_secs(age))
    }

    /// The number of entries.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.edge.size()
    }

    /// The roster in force.
    #[must_use]
    pub const fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    /// The audit path of an entry.
    ///
    /// # Errors
    /// [`ReadError::BeyondEnd`], or what is stored cannot be read or does not fit.
    pub fn place(&self, index: LeafIndex) -> Result<InclusionProof, ReadError> {
        let proof = prove_inclusion(index, self.size(), &self.tiled());
        proof.map_err(|error| self.unprovable(index.get(), error))
    }

    /// An entry, checked against the log; `None` when the log is not that long.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn entry(&self, index: LeafIndex) -> Result<Option<Arc<Entry>>, ReadError> {
        if !self.size().contains(index) {
            return Ok(None);
        }
        if let Some(entry) = self.store.checked_entry(index) {
            return Ok(Some(entry));
        }
        let corrupt = ReadError::Corrupt { what: "entry" };
        let bytes = self.store.entry_bytes(index)?;
        let Ok(entry) = Entry::parse(&bytes) else {
            return Err(corrupt);
        };
        if self.leaf(index)? != entry.leaf_hash() {
            return Err(corrupt);
        }
        let entry = Arc::new(entry);
        // What fits this log fits every later one: the log only grows.
        self.store.remember_checked(index, &entry);
        Ok(Some(entry))
    }

    /// An entry with its audit path; `None` when the log is not that long.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn prove_entry(&self, index: LeafIndex) -> Result<Option<EntryProof>, ReadError> {
        let Some(entry) = self.entry(index)? else {
            return Ok(None);
        };
        Ok(Some(EntryProof {
            entry: (*entry).clone(),
            index,
            inclusion: self.place(index)?,
        }))
    }

    /// An entry with its payload and salt, as another member's vault is to have it; `None` when
    /// the log is not that long.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn replicated(&self, index: LeafIndex) -> Result<Option<Replicated>, ReadError> {
        let Some(entry) = self.entry(index)? else {
            return Ok(None);
        };
        let payload = match entry.header().commitment {
            None => None,
            Some(commitment) => self.stored_payload(index, &commitment)?,
        };
        Ok(Some((entry, payload)))
    }

    /// Proof that this log extends an earlier one.
    ///
    /// # Errors
    /// [`ReadError::BeyondEnd`], or what is stored cannot be read or does not fit.
    pub fn prove_consistency(&self, old: TreeSize) -> Result<ConsistencyProof, ReadError> {
        let proof = prove_consistency(old, self.size(), &self.tiled());
        proof.map_err(|error| self.unprovable(old.get(), error))
    }

    /// A slot's state with its map proof, and the entry that made it.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn slot(&self, slot: &SlotKey) -> Result<StateAnswer, ReadError> {
        self.answer(&slot_index(slot))
    }

    /// The newest coverage under a key with its map proof, entry and payload.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn coverage(&self, coverage: &CoverageKey) -> Result<StateAnswer, ReadError> {
        let mut answer = self.answer(&coverage_index(coverage))?;
        if let Some(proved) = &answer.entry {
            answer.payload = self.payload(&proved.entry, proved.index)?;
        }
        Ok(answer)
    }

    /// Which catalogue is in force, with its map proof and the entry that names it.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn catalogue(&self) -> Result<StateAnswer, ReadError> {
        self.answer(&catalogue_index())
    }

    /// What the map has under an index with its proof, and the entry that made it so.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn proved_state(&self, index: &MapIndex) -> Result<StateAnswer, ReadError> {
        self.answer(index)
    }

    /// The sealed payload or record of an entry, while it is not erased.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn record(&self, proved: &EntryProof) -> Result<Option<(SealedPayload, Salt)>, ReadError> {
        self.payload(&proved.entry, proved.index)
    }

    /// Whether a till's key is admitted, as the map has it.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn grant(&self, till: &PublicKey) -> Result<Option<GrantState>, ReadError> {
        match self.state(&grant_index(till))? {
            Some(State::Grant(state)) => Ok(Some(state)),
            _ => Ok(None),
        }
    }

    /// Whether what was issued under `former` is for the member with `key` to read and answer for:
    /// the same key, or one that it had before.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn same_member(&self, former: &PublicKey, key: &PublicKey) -> Result<bool, ReadError> {
        attestation::same_member(&self.roster, former, key, |index| self.state(index))
    }

    /// The shop that a till stands in, as its federation has certified it; `None` once its grant was
    /// revoked, and for a key that never had one.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn shop(&self, till: &PublicKey) -> Result<Option<Finess>, ReadError> {
        let by = match self.grant(till)? {
            Some(GrantState::Active { by, .. } | GrantState::Session { by, .. }) => by,
            Some(GrantState::Device { .. } | GrantState::Revoked { .. }) | None => return Ok(None),
        };
        let corrupt = || ReadError::Corrupt { what: "entry" };
        let granted = self.entry(by)?.ok_or_else(corrupt)?;
        match Attestation::read(granted.header()) {
            Ok(Attestation::Grant(grant)) => Ok(Some(grant.finess)),
            _ => Err(corrupt()),
        }
    }

    /// The receipt of a refusal, as long as the slot is still held by the entry it names.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn refusal_receipt(
        &self,
        refused: &Entry,
        refusal: Refusal,
    ) -> Result<Option<RefusalReceipt>, ReadError> {
        let Some(TakenSlot {
            key_position,
            holder,
        }) = refusal.taken
        else {
            return Ok(None);
        };
        let Some(key) = refused.header().keys.get(key_position) else {
            return Ok(None);
        };
        let index = slot_index(&SlotKey::from_bytes(*key));
        let named = match self.state(&index)? {
            Some(State::Slot(state)) => {
                state.by == holder || state.beneath.is_some_and(|hold| hold.by == holder)
            }
            _ => false,
        };
        let holder = match named {
            true => self.prove_entry(holder)?,
            false => None,
        };
        let state = self.answer(&index)?.map_proof;
        Ok(holder.map(|holder| RefusalReceipt {
            reason: refusal.reason,
            refused: refused.clone(),
            key_position,
            state,
            holder,
            checkpoint: self.checkpoint.clone(),
        }))
    }

    /// The bytes of a tile or entry bundle (C2SP tlog-tiles); `None` for what is not there yet.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn tile(&self, path: &TilePath) -> Result<Option<Vec<u8>>, ReadError> {
        match path {
            TilePath::Hashes { tile, width } => match self.tiled().tile(*tile) {
                Ok(tile) => Ok(tile.to_partial_bytes(*width)),
                Err(TileError::Missing(_)) => Ok(None),
                Err(error) => Err(unreadable(error)),
            },
            TilePath::Entries { index, width } => self.bundle(*index, *width),
        }
    }

    fn bundle(&self, index: u64, width: TileWidth) -> Result<Option<Vec<u8>>, ReadError> {
        let first = index.saturating_mul(proto::tile::TILE_WIDTH as u64);
        let end = first.saturating_add(width.get().into());
        if end > self.size().get() {
            return Ok(None);
        }
        let mut bundle = Vec::new();
        for leaf in first..end {
            let Some(entry) = self.entry(LeafIndex::new(leaf))? else {
                return Ok(None);
            };
            let too_long = ReadError::Corrupt { what: "entry" };
            proto::tile::encode_entry(entry.bytes(), &mut bundle).map_err(|_| too_long)?;
        }
        Ok(Some(bundle))
    }

    /// What the map has under an index, proved.
    pub(crate) fn map_proof(&self, index: &MapIndex) -> Result<MapProof, ReadError> {
        let proof = self.crown.prove(index, &self.buckets());
        proof.map_err(unreadable_map)
    }

    fn answer(&self, index: &MapIndex) -> Result<StateAnswer, ReadError> {
        let map_proof = self.map_proof(index)?;
        let state = self.state(index)?;
        let entry = state
            .map(|state| self.prove_entry(state.by()))
            .transpose()?
            .flatten();
        Ok(StateAnswer {
            map_proof,
            entry,
            payload: None,
        })
    }

    fn payload(
        &self,
        entry: &Entry,
        index: LeafIndex,
    ) -> Result<Option<(SealedPayload, Salt)>, ReadError> {
        match entry.header().commitment {
            Some(commitment) => self.stored_payload(index, &commitment),
            None => Err(ReadError::Corrupt { what: "payload" }),
        }
    }

    fn stored_payload(
        &self,
        index: LeafIndex,
        commitment: &Hash,
    ) -> Result<Option<(SealedPayload, Salt)>, ReadError> {
        let Some((sealed, salt)) = self.store.payload(index)? else {
            return Ok(None);
        };
        let commits = sealed.commitment(&salt).as_hash() == commitment;
        commits
            .then_some(Some((sealed, salt)))
            .ok_or(ReadError::Corrupt { what: "payload" })
    }

    fn leaf(&self, index: LeafIndex) -> Result<Hash, ReadError> {
        self.tiled().subtree(0, index.get()).map_err(unreadable)
    }

    /// The store as it was at this size: later commits overwrite buckets in place.
    fn buckets(&self) -> StoreAt<'_> {
        self.store.as_of(self.size())
    }

    fn tiled(&self) -> TiledLog<'_, Store> {
        TiledLog::new(&self.edge, &self.store)
    }

    fn unprovable(&self, asked: u64, error: ProveError<TileError<StoreError>>) -> ReadError {
        match error {
            ProveError::Subtrees(error) => unreadable(error),
            _ => ReadError::BeyondEnd {
                size: self.size(),
                asked,
            },
        }
    }
}

impl View for Snapshot {
    type Error = ReadError;

    fn size(&self) -> TreeSize {
        self.edge.size()
    }

    fn roster(&self) -> &Arc<Roster> {
        &self.roster
    }

    fn state(&self, index: &MapIndex) -> Result<Option<State>, ReadError> {
        let value = self
            .crown
            .read(index, &self.buckets())
            .map_err(unreadable_map)?;
        let corrupt = |_| ReadError::Corrupt { what: "map value" };
        value
            .map(|value| State::from_bytes(value.as_bytes()).map_err(corrupt))
            .transpose()
    }

    fn entry(&self, index: LeafIndex) -> Result<Option<Arc<Entry>>, ReadError> {
        Self::entry(self, index)
    }

    fn answered(&self, request: &RequestKey) -> Result<Option<Answered>, ReadError> {
        Ok(self.store.answered(request)?)
    }
}

fn unreadable(error: TileError<StoreError>) -> ReadError {
    match error {
        TileError::Source(error) => ReadError::Store(error),
        TileError::CorruptTile { .. } | TileError::Missing(_) => {
            ReadError::Corrupt { what: "tile" }
        }
    }
}

pub(crate) fn unreadable_map(error: MapError<StoreError>) -> ReadError {
    match error {
        MapError::Source(error) => ReadError::Store(error),
        _ => ReadError::Corrupt { what: "map bucket" },
    }
}
