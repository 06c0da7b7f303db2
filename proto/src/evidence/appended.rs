//! What was appended to a ledger, with all it takes to compute both roots after it without having
//! the ledger: the peaks of the log before, and a map proof of each key that is touched.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::{EVIDENCE_ENTRIES_MAX, EvidenceError, Roots};
use crate::attestation::{Attestation, ShapeError, State, StateError};
use crate::entry::{Entry, Header};
use crate::hash::Hash;
use crate::ids::LeafIndex;
use crate::map::{
    MapIndex, MapProof, MapProofError, MapValue, MapValueError, NotShown, PartialMap,
};
use crate::merkle::Peaks;

/// Entries, and what shows what they make of log and map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The peaks of the log before, largest first.
    pub(super) peaks: Vec<Hash>,
    pub(super) entries: Vec<Entry>,
    /// What the map before has under each key that is touched, and beside those that are removed.
    pub(super) states: BTreeMap<MapIndex, MapProof>,
}

/// Why no evidence can be made of entries.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GatherError<E> {
    /// There are more entries than a file of evidence holds.
    #[error("evidence holds at most {EVIDENCE_ENTRIES_MAX} entries, not {got}")]
    TooMany {
        /// How many there are.
        got: usize,
    },
    /// An entry does not have the shape of its kind.
    #[error("entry {index}: {reason}")]
    Shape {
        /// Its place.
        index: LeafIndex,
        /// What is wrong with it.
        reason: ShapeError,
    },
    /// A map proof that was given is not one of the map before.
    #[error("a map proof does not fit: {0}")]
    Proof(MapProofError),
    /// What the map has cannot be read as a state.
    #[error("a map value is no state")]
    State,
    /// A map proof cannot be had.
    #[error("a map proof cannot be had")]
    Prove(E),
}

/// Why the states that entries read and change are not known.
enum Unknown {
    NotShown(NotShown),
    State,
}

impl From<NotShown> for Unknown {
    fn from(not_shown: NotShown) -> Self {
        Self::NotShown(not_shown)
    }
}

impl From<StateError> for Unknown {
    fn from(_: StateError) -> Self {
        Self::State
    }
}

impl From<MapValueError> for Unknown {
    fn from(_: MapValueError) -> Self {
        Self::State
    }
}

impl Appended {
    /// Gathers what shows the effect of these entries on a ledger: `prove` is asked for the proofs
    /// of the map before.
    ///
    /// # Errors
    /// [`GatherError`].
    pub fn gather<E>(
        before: &Peaks,
        map_root: Hash,
        entries: Vec<Entry>,
        mut prove: impl FnMut(&MapIndex) -> Result<MapProof, E>,
    ) -> Result<Self, GatherError<E>> {
        let got = entries.len();
        if got > EVIDENCE_ENTRIES_MAX {
            return Err(GatherError::TooMany { got });
        }
        let first = before.size().next_index();
        let (_, states) = learn(map_root, first, &entries, &mut |_, _, _| Ok(()), |index| {
            prove(index).map_err(GatherError::Prove)
        })?;
        Ok(Self {
            peaks: before.hashes().to_vec(),
            entries,
            states,
        })
    }

    /// Entries of which nothing is shown but that they are in the log: what they make of the map
    /// cannot be computed. Whoever has the log can go on from there.
    #[must_use]
    pub fn bare(before: &Peaks, entries: Vec<Entry>) -> Self {
        Self {
            peaks: before.hashes().to_vec(),
            entries,
            states: BTreeMap::new(),
        }
    }

    /// The entries, in the order of the log.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The map root after these entries, once the peaks are found to be those of the log before,
    /// and the log after to be that log with these entries and nothing else. `watch` sees each
    /// entry and reads the states before it.
    pub(super) fn map_root_after(
        &self,
        before: &Roots,
        after: &Roots,
        watch: &mut Watch<'_>,
    ) -> Result<Hash, EvidenceError> {
        let mut peaks = Peaks::new(before.size, self.peaks.clone())?;
        if peaks.root() != before.log_root {
            return Err(EvidenceError::OtherLogBefore);
        }
        self.entries
            .iter()
            .for_each(|entry| peaks.append(entry.leaf_hash()));
        if (peaks.size(), peaks.root()) != (after.size, after.log_root) {
            return Err(EvidenceError::OtherLogAfter);
        }
        let first = before.size.next_index();
        let given = |index: &MapIndex| {
            let proof = self.states.get(index).cloned();
            proof.ok_or(GatherError::Prove(StateMissing))
        };
        let (root, needed) = learn(before.map_root, first, &self.entries, watch, given)?;
        // What nothing calls for nobody would check: another spelling of the same file.
        let all_needed = needed.len() == self.states.len();
        all_needed
            .then_some(root)
            .ok_or(EvidenceError::StateNotCalledFor)
    }
}

impl From<GatherError<StateMissing>> for EvidenceError {
    fn from(error: GatherError<StateMissing>) -> Self {
        match error {
            GatherError::TooMany { .. } | GatherError::Prove(StateMissing) => Self::StateMissing,
            GatherError::Shape { index, reason } => Self::Shape { index, reason },
            GatherError::Proof(error) => Self::MapProof(error),
            GatherError::State => Self::NotAState,
        }
    }
}

/// The states before an entry.
pub(super) type Before<'a> = &'a dyn Fn(&MapIndex) -> Result<Option<State>, StateMissing>;
/// Whoever sees each entry with its place and the states before it.
pub(super) type Watch<'a> =
    dyn FnMut(LeafIndex, Seen<'_>, Before<'_>) -> Result<(), StateMissing> + 'a;

/// An entry, and what it says.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) header: &'a Header,
    pub(super) says: &'a Attestation,
}

/// A state is not shown.
pub(super) struct StateMissing;

/// The map root after these entries, and the proofs of the map before that it takes: whoever
/// makes a file and whoever checks it ask for the very same ones.
///
/// Each round learns what the one before found missing. A proof opens a path for good, and a
/// branch beside a removed leaf is one level above the last: so there are no more rounds than an
/// index has bits.
fn learn<E>(
    map_root: Hash,
    first: LeafIndex,
    entries: &[Entry],
    watch: &mut Watch<'_>,
    mut prove: impl FnMut(&MapIndex) -> Result<MapProof, GatherError<E>>,
) -> Result<(Hash, BTreeMap<MapIndex, MapProof>), GatherError<E>> {
    let says = read_all(first, entries)?;
    let mut map = PartialMap::new(map_root);
    let mut proofs = BTreeMap::new();
    loop {
        let missing = match root_after(&map, first, entries, &says, watch) {
            Ok(root) => return Ok((root, proofs)),
            Err(Unknown::State) => return Err(GatherError::State),
            Err(Unknown::NotShown(missing)) => BTreeSet::from_iter(missing.indexes),
        };
        for index in missing {
            let proof = prove(&index)?;
            map.learn(&index, &proof).map_err(GatherError::Proof)?;
            proofs.insert(index, proof);
        }
    }
}

fn read_all<E>(first: LeafIndex, entries: &[Entry]) -> Result<Vec<Attestation>, GatherError<E>> {
    let numbered = (first.get()..).zip(entries);
    let read = |(index, entry): (u64, &Entry)| {
        let index = LeafIndex::new(index);
        let shape = |reason| GatherError::Shape { index, reason };
        Attestation::read(entry.header()).map_err(shape)
    };
    numbered.map(read).collect()
}

/// Runs the entries' effects over the states that are known, and computes the root after all of
/// them.
fn root_after(
    map: &PartialMap,
    first: LeafIndex,
    entries: &[Entry],
    says: &[Attestation],
    watch: &mut Watch<'_>,
) -> Result<Hash, Unknown> {
    let mut changes: BTreeMap<MapIndex, Option<MapValue>> = BTreeMap::new();
    // All that is missing is found in one pass: an unknown state counts as absent until then.
    let missing = RefCell::new(Vec::new());
    for (index, (entry, says)) in (first.get()..).zip(entries.iter().zip(says)) {
        let index = LeafIndex::new(index);
        let before = |at: &MapIndex| -> Result<Option<State>, Unknown> {
            let value = match changes.get(at) {
                Some(changed) => *changed,
                None => map.read(at).unwrap_or_else(|not_shown| {
                    missing.borrow_mut().extend(not_shown.indexes);
                    None
                }),
            };
            let state = value.map(|value| State::from_bytes(value.as_bytes()));
            Ok(state.transpose()?)
        };
        let header = entry.header();
        let shown = |at: &MapIndex| before(at).map_err(|_| StateMissing);
        watch(index, Seen { header, says }, &shown).map_err(|StateMissing| Unknown::State)?;
        for (at, state) in says.effects(index, &header.issuer, before)? {
            let value = state.map(|state| MapValue::from_bytes(&state.to_bytes()));
            changes.insert(at, value.transpose()?);
        }
    }
    let root = map.root_after(&changes);
    let mut indexes = missing.into_inner();
    match root {
        Ok(root) if indexes.is_empty() => Ok(root),
        Ok(_) => Err(NotShown { indexes }.into()),
        Err(not_shown) => {
            indexes.extend(not_shown.indexes);
            Err(NotShown { indexes }.into())
        }
    }
}
