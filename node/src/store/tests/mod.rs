//! The store driven as a node drives it, with a small ledger whose every state is remembered.

mod applied;
mod commits;
mod damage;
mod engine;
mod engine_files;
mod erasure;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proto::attestation::{SlotState, SlotStatus, State, slot_index};
use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::entry::{Entry, Header, Kind, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{Day, Origin, RequestId, SlotKey, UnixSeconds};
use proto::map::{Crown, MapIndex, MapUpdate, MapValue};
use proto::seal::seal;
use proto::signing::SecretKey;
use proto::tile::RightEdge;
use proto::token::SealingSecret;

use super::*;
use crate::example::copy_folder as copy;
use crate::ledger::Outcome;

/// Small caches and a watermark that any disk has.
const OPTIONS: StoreOptions = StoreOptions {
    sync: SyncMode::Skipped,
    cache_bytes: 8 << 20,
    disk_watermark_bytes: 1,
};

/// The size and roots of a ledger.
type Roots = (TreeSize, Hash, Hash);

/// A folder that goes with the test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn open(&self) -> Store {
        Store::open(&self.path(), OPTIONS).unwrap()
    }
}

/// What a sequencer knows, and what the tests compare with.
struct Ledger {
    store: Store,
    secret: SecretKey,
    edge: RightEdge,
    crown: Crown,
    map: BTreeMap<MapIndex, Option<MapValue>>,
    entries: Vec<VerifiedEntry>,
}

/// What one batch of a test has beside plain claims.
#[derive(Default)]
struct Batch {
    claims: u64,
    payloads: Vec<(LeafIndex, SealedPayload, Salt)>,
    erased: Vec<LeafIndex>,
    removed: Vec<u64>,
    applied: Option<crate::engine::Applied>,
    /// Whether the engine's log has it, so that the ledger may be behind.
    is_logged: bool,
}

impl Ledger {
    /// A ledger without entries in a store that has none.
    fn new(store: Store) -> Self {
        assert!(store.recover().unwrap().is_none());
        Self {
            store,
            secret: SecretKey::from_seed(&[7; 32]),
            edge: RightEdge::new(),
            crown: Crown::new(),
            map: BTreeMap::new(),
            entries: Vec::new(),
        }
    }

    fn roots(&self) -> Roots {
        (self.edge.size(), self.edge.root(), self.crown.root())
    }

    fn claims(&mut self, claims: u64) {
        self.commit(&Batch {
            claims,
            ..Batch::default()
        })
        .unwrap();
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let first = self.edge.size().next_index();
        let indexes = first.get()..first.get() + batch.claims;
        let entries: Vec<_> = indexes.clone().map(|at| self.claim(at)).collect();
        let answers: BTreeMap<_, _> = indexes
            .clone()
            .zip(&entries)
            .map(|(at, entry)| answer(at, entry))
            .collect();
        let mut changes: BTreeMap<_, _> = indexes.map(|at| (slot(at), Some(state(at)))).collect();
        changes.extend(batch.removed.iter().map(|at| (slot(*at), None)));

        let leaves: Vec<Hash> = entries.iter().map(|entry| entry.leaf_hash()).collect();
        let mut edge = self.edge.clone();
        let tiles = edge.append_all(&leaves);
        let source = self.store.as_of(self.edge.size());
        let map = self.crown.update(&changes, &source).unwrap();
        let payloads: Vec<_> = batch
            .payloads
            .iter()
            .map(|(at, p, salt)| (*at, p, salt))
            .collect();
        let writes = Writes {
            first,
            entries: &entries,
            tiles: &tiles,
            map: &map,
            answers: &answers,
            payloads: &payloads,
            erased: &batch.erased,
            applied: batch.applied.as_ref(),
            checkpoint: &self.checkpoint(&edge, &map),
            header: None,
        };
        match batch.is_logged {
            true => self.store.apply(&writes)?,
            false => self.store.commit(&writes)?,
        }
        (self.edge, self.crown) = (edge, map.crown().clone());
        self.map.extend(changes);
        self.entries.extend(entries);
        Ok(())
    }

    /// What the vault gets of a next batch of so many claims.
    fn next_salts(&self, claims: u64) -> Salts<'static> {
        let first = self.edge.size().next_index();
        let indexes = first.get()..first.get() + claims;
        let leaves: Vec<Hash> = indexes.map(|at| self.claim(at).leaf_hash()).collect();
        let mut edge = self.edge.clone();
        let _ = edge.append_all(&leaves);
        Salts {
            first,
            size: edge.size(),
            log_root: edge.root(),
            payloads: &[],
            erased: &[],
        }
    }

    fn checkpoint(&self, edge: &RightEdge, map: &MapUpdate) -> SignedCheckpoint {
        let checkpoint = Checkpoint {
            origin: origin(),
            size: edge.size(),
            log_root: edge.root(),
            map_root: map.root(),
        };
        let name = "cnam".parse().unwrap();
        let cosignature = checkpoint.cosign(&name, &self.secret, UnixSeconds::new(1_768_000_000));
        SignedCheckpoint::new(checkpoint, vec![cosignature]).unwrap()
    }

    fn claim(&self, at: u64) -> VerifiedEntry {
        let issued_at = moment(at);
        let header = Header {
            kind: Kind::Claim,
            issuer: self.secret.public(),
            request_id: RequestId::new(issued_at, [1; 10]),
            issued_at,
            keys: vec![[3; 32]],
            hold_until: Some(Day::new(20_500)),
            references: vec![LeafIndex::new(at)],
            commitment: None,
            statement: Vec::new(),
        };
        Entry::sign(&header, &origin(), &self.secret).unwrap()
    }
}

fn origin() -> Origin {
    "vitrail.test/optique".parse().unwrap()
}

/// When the claim with this index is made: a millisecond after the one before.
fn moment(at: u64) -> UnixMillis {
    UnixMillis::new(1_768_000_000_000 + at)
}

fn slot(at: u64) -> MapIndex {
    slot_index(&SlotKey::from_bytes(
        [at.to_be_bytes(); 4].concat().try_into().unwrap(),
    ))
}

fn state(at: u64) -> MapValue {
    let (status, until) = (SlotStatus::Reserved, Day::new(20_500));
    let state = State::Slot(SlotState {
        status,
        until,
        by: LeafIndex::new(at),
        beneath: None,
    });
    MapValue::from_bytes(&state.to_bytes()).unwrap()
}

fn answer(at: u64, entry: &VerifiedEntry) -> (RequestKey, Answered) {
    let header = entry.header();
    let request = RequestKey {
        request_id: header.request_id,
        issuer: header.issuer,
    };
    let outcome = Outcome::Appended(LeafIndex::new(at));
    (
        request,
        Answered {
            leaf: entry.leaf_hash(),
            outcome,
        },
    )
}

fn sealed(salt: [u8; 32]) -> (SealedPayload, Salt) {
    let salt = Salt::from_bytes(salt);
    let secret = SealingSecret::from_bytes([5; 32]);
    (seal(&[(&secret, b"terms")], &salt).unwrap(), salt)
}

/// The roots that a store recovers to.
fn recovered(store: &Store) -> Result<Option<Roots>, RecoverError> {
    let found = store.recover()?;
    Ok(found.map(|found| (found.edge.size(), found.edge.root(), found.crown.root())))
}
