//! A history of a small federation, kept by the obvious means, for the tests of evidence: honest
//! as long as nobody is told to lie.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use super::*;
use crate::attestation::{
    Access, Attestation, Claim, Coverage, Delivery, Handover, Release, SlotStatus, State,
    slot_index,
};
use crate::batch::{BatchHeader, content_hash};
use crate::checkpoint::Checkpoint;
use crate::entry::Entry;
use crate::ids::{CoverageKey, RequestId, SlotKey, TreeSize, UnixMillis, UnixSeconds};
use crate::map::{Bucket, BucketSource, Crown, MapIndex, MapProof, MapValue, Prefix};
use crate::merkle::{Peaks, prove_consistency, prove_inclusion, root};
use crate::receipt::example::{attestations, till};
use crate::roster::example::{federation, name, secret};
use crate::signing::SecretKey;

/// The moment of the founding.
pub(super) const BEGIN: UnixMillis = UnixMillis::new(1_768_000_000_000);

/// The ledger at the end of a batch.
#[derive(Clone)]
pub(super) struct Point {
    pub(super) at: UnixMillis,
    pub(super) peaks: Peaks,
    pub(super) states: BTreeMap<MapIndex, State>,
}

/// All that a federation of four wrote. Point 0 is after the founding.
#[derive(Clone)]
pub(super) struct History {
    pub(super) roster: Roster,
    pub(super) entries: Vec<Entry>,
    pub(super) points: Vec<Point>,
    now: Point,
}

impl History {
    pub(super) fn founded() -> Self {
        let mut history = Self {
            roster: federation(4, 0),
            entries: Vec::new(),
            points: Vec::new(),
            now: Point {
                at: BEGIN,
                peaks: Peaks::default(),
                states: BTreeMap::new(),
            },
        };
        let [founding, ..] = attestations();
        history.append(&founding, &secret(0), BEGIN);
        history.seal(BEGIN);
        history
    }

    /// Appends an entry, whatever the rules say of it.
    pub(super) fn append(&mut self, says: &Attestation, signer: &SecretKey, at: UnixMillis) {
        let index = LeafIndex::new(self.entries.len() as u64);
        let number = u8::try_from(index.get()).unwrap();
        let header = says.header(signer.public(), RequestId::new(at, [number; 10]));
        let entry = Entry::sign(&header, self.roster.origin(), signer).unwrap();
        for (at, state) in says.effects_on(&self.now.states, index, &signer.public()) {
            match state {
                Some(state) => self.now.states.insert(at, state),
                None => self.now.states.remove(&at),
            };
        }
        self.now.peaks.append(entry.leaf_hash());
        self.entries.push(entry.into_entry());
    }

    /// Does the next thing that the rules allow with a slot; `kind` says what if there are several.
    pub(super) fn work(&mut self, kind: u8, slot: u8, at: UnixMillis) {
        let key = SlotKey::from_bytes([slot; 32]);
        let state = match self.now.states.get(&slot_index(&key)) {
            Some(State::Slot(state)) => Some(*state),
            _ => None,
        };
        let slots = vec![key];
        let says = match (kind % 3, state) {
            (0, _) => coverage(slot, at),
            (1, None) => claim(&[slot], at),
            (1, Some(state)) if state.status == SlotStatus::Reserved => {
                Attestation::Delivery(Delivery {
                    slots,
                    claim: state.by,
                    handover: Handover::First {
                        until: at.day().plus(700),
                    },
                    commitment: Hash::from_bytes([5; 32]),
                })
            }
            (2, Some(state)) => Attestation::Release(Release {
                slots,
                claim: state.by,
                invoice: (state.status == SlotStatus::Held).then_some(state.by),
            }),
            _ => access(slot),
        };
        self.append(&says, &till(), at);
    }

    /// Ends a batch.
    pub(super) fn seal(&mut self, at: UnixMillis) {
        self.now.at = at;
        self.points.push(self.now.clone());
    }

    /// Goes on from the last point that is left.
    pub(super) fn resume(&mut self) {
        self.now = self.points.last().unwrap().clone();
    }

    pub(super) fn last(&self) -> usize {
        self.points.len() - 1
    }

    pub(super) fn checkpoint(&self, point: usize) -> Checkpoint {
        let Point { peaks, states, .. } = &self.points[point];
        Checkpoint {
            origin: self.roster.origin().clone(),
            size: peaks.size(),
            log_root: peaks.root(),
            map_root: Buckets::of(states).crown.root(),
        }
    }

    /// The header of the batch that ended at a point, in the chain of those before it; `term` says
    /// who led when.
    pub(super) fn header(&self, point: usize, term: &dyn Fn(usize) -> u64) -> BatchHeader {
        let checkpoint = self.checkpoint(point);
        let previous = match point {
            0 => Hash::from_bytes([0; 32]),
            _ => self.header(point - 1, term).hash(),
        };
        BatchHeader {
            term: term(point),
            number: point as u64 + 1,
            previous,
            at: self.points[point].at,
            size: checkpoint.size,
            log_root: checkpoint.log_root,
            map_root: checkpoint.map_root,
            content: content_hash(self.between(point.checked_sub(1), point).iter()),
        }
    }

    /// The entries from the end of one batch (`None`: from the first) to that of another.
    pub(super) fn between(&self, from: Option<usize>, to: usize) -> Vec<Entry> {
        let size = |point: usize| usize::try_from(self.points[point].peaks.size().get()).unwrap();
        self.entries[from.map_or(0, size)..size(to)].to_vec()
    }

    /// What shows the way from one point (`None`: the empty ledger) to another.
    pub(super) fn appended(&self, from: Option<usize>, to: usize) -> Appended {
        let empty = (Peaks::default(), BTreeMap::new());
        let (peaks, states) = from.map_or(empty, |point| {
            let point = &self.points[point];
            (point.peaks.clone(), point.states.clone())
        });
        let map = Buckets::of(&states);
        let prove = |index: &MapIndex| map.prove(index);
        Appended::gather(&peaks, map.crown.root(), self.between(from, to), prove).unwrap()
    }

    /// What the map of a point has under an index.
    pub(super) fn state(&self, point: usize, index: &MapIndex) -> MapProof {
        let Ok(proof) = Buckets::of(&self.points[point].states).prove(index);
        proof
    }

    /// An entry with its place under the log of a point.
    pub(super) fn proved(&self, index: u64, point: usize) -> EntryProof {
        let leaves: Vec<Hash> = self.entries.iter().map(Entry::leaf_hash).collect();
        let (size, index) = (self.points[point].peaks.size(), LeafIndex::new(index));
        EntryProof {
            entry: self.entries[usize::try_from(index.get()).unwrap()].clone(),
            index,
            inclusion: prove_inclusion(index, size, &leaves[..]).unwrap(),
        }
    }

    /// What the log of a point began with at a smaller size, proved.
    pub(super) fn begins(&self, size: TreeSize, point: usize) -> (Hash, ConsistencyProof) {
        let leaves: Vec<Hash> = self.entries.iter().map(Entry::leaf_hash).collect();
        let larger = self.points[point].peaks.size();
        let proof = prove_consistency(size, larger, &leaves[..]).unwrap();
        (root(size, &leaves[..]).unwrap(), proof)
    }
}

/// A checkpoint with the cosignatures of these members, so many seconds after the founding.
pub(super) fn cosigned(checkpoint: &Checkpoint, by: &[u8], seconds: u64) -> SignedCheckpoint {
    let time = UnixSeconds::new(BEGIN.seconds().get() + seconds);
    let lines = by
        .iter()
        .map(|member| checkpoint.cosign(&name(*member), &secret(*member), time));
    SignedCheckpoint::new(checkpoint.clone(), lines.collect()).unwrap()
}

/// A header, signed by a member.
pub(super) fn led(header: BatchHeader, by: u8) -> SignedHeader {
    header.sign(federation(4, 0).origin(), &secret(by))
}

pub(super) fn coverage(key: u8, at: UnixMillis) -> Attestation {
    Attestation::Coverage(Coverage {
        coverage: CoverageKey::from_bytes([key; 32]),
        catalogue: LeafIndex::new(1),
        until: at.day().plus(30),
        commitment: Hash::from_bytes([3; 32]),
    })
}

pub(super) fn claim(slots: &[u8], at: UnixMillis) -> Attestation {
    Attestation::Claim(Claim {
        slots: slots
            .iter()
            .map(|slot| SlotKey::from_bytes([*slot; 32]))
            .collect(),
        catalogue: LeafIndex::new(1),
        coverages: vec![LeafIndex::new(1)],
        until: at.day().plus(60),
        early: None,
        commitment: Hash::from_bytes([4; 32]),
    })
}

pub(super) fn access(number: u8) -> Attestation {
    Attestation::Access(Access {
        commitment: Hash::from_bytes([number; 32]),
    })
}

/// A map with its buckets.
struct Buckets {
    crown: Crown,
    buckets: BTreeMap<Prefix, Arc<Bucket>>,
}

impl BucketSource for Buckets {
    type Error = Infallible;

    fn bucket(&self, prefix: &Prefix) -> Result<Arc<Bucket>, Infallible> {
        Ok(self.buckets[prefix].clone())
    }
}

impl Buckets {
    fn of(states: &BTreeMap<MapIndex, State>) -> Self {
        let none = Self {
            crown: Crown::new(),
            buckets: BTreeMap::new(),
        };
        let value = |state: &State| MapValue::from_bytes(&state.to_bytes()).unwrap();
        let changes = states.iter().map(|(at, state)| (*at, Some(value(state))));
        let update = none.crown.update(&changes.collect(), &none).unwrap();
        let puts = update.puts().map(|(at, bucket)| (*at, bucket.clone()));
        Self {
            buckets: puts.collect(),
            crown: update.crown().clone(),
        }
    }

    fn prove(&self, index: &MapIndex) -> Result<MapProof, Infallible> {
        Ok(self.crown.prove(index, self).unwrap())
    }
}
