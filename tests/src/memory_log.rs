//! A log and its map in memory, served to an auditor as a member would.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use client::auditor::{FetchError, LogSource};
use proto::attestation::State;
use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::entry::Entry;
use proto::hash::Hash;
use proto::ids::{Origin, UnixSeconds};
use proto::map::{Bucket, BucketSource, Crown, MapIndex, MapValue, Prefix};
use proto::signing::SecretKey;
use proto::tile::{RightEdge, TILE_WIDTH, TileId, TilePath, TileWidth, encode_entry};

use crate::federation::cnam;

/// The files of a log, by path.
#[derive(Debug)]
pub struct MemoryLog(HashMap<String, Vec<u8>>);

impl MemoryLog {
    /// What the CNAM, who cosigns at this moment, would serve of this log and map.
    ///
    /// # Panics
    /// When the log is longer than one bundle.
    #[must_use]
    pub fn new(
        origin: &Origin,
        entries: &[Arc<Entry>],
        map: &BTreeMap<MapIndex, State>,
        cosigner: &SecretKey,
        at: UnixSeconds,
    ) -> Self {
        assert!(entries.len() < TILE_WIDTH, "one bundle");
        let mut edge = RightEdge::new();
        let leaf_hashes: Vec<Hash> = entries.iter().map(|entry| entry.leaf_hash()).collect();
        assert!(edge.append_all(&leaf_hashes).is_empty());
        let value = |state: &State| Some(MapValue::from_bytes(&state.to_bytes()).unwrap());
        let states = map.iter().map(|(index, state)| (*index, value(state)));
        let update = Crown::new().update(&states.collect(), &NoBuckets).unwrap();
        let checkpoint = Checkpoint {
            origin: origin.clone(),
            size: edge.size(),
            log_root: edge.root(),
            map_root: update.root(),
        };
        let cosigned = checkpoint.cosign(&cnam(), cosigner, at);
        let signed = SignedCheckpoint::new(checkpoint, vec![cosigned]).unwrap();
        let mut bundle = Vec::new();
        for entry in entries {
            encode_entry(entry.bytes(), &mut bundle).unwrap();
        }
        let width = TileWidth::new(u16::try_from(entries.len()).unwrap()).unwrap();
        let (index, level) = (0, 0);
        let tile = TileId { level, index };
        let hashes = edge.partial_tile(tile).unwrap().to_bytes();
        Self(HashMap::from([
            ("checkpoint".to_owned(), signed.to_text().into_bytes()),
            (TilePath::Entries { index, width }.to_string(), bundle),
            (TilePath::Hashes { tile, width }.to_string(), hashes),
        ]))
    }
}

/// The map is made at once, so no bucket is there before.
struct NoBuckets;

impl BucketSource for NoBuckets {
    type Error = String;

    fn bucket(&self, _prefix: &Prefix) -> Result<Arc<Bucket>, String> {
        Err("there is no bucket".to_owned())
    }
}

impl LogSource for MemoryLog {
    async fn fetch(&self, path: &str, _limit: usize) -> Result<Vec<u8>, FetchError> {
        let path = path.to_owned();
        let file = self.0.get(&path).cloned();
        file.ok_or(FetchError::NotFound { path })
    }
}
