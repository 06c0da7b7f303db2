//! What an auditor can show others of a log that does not pass: evidence that verifies without it.
//!
//! The log is read a second time, since the first reading keeps no more than it needs to go on.
//! What it finds is checked as everybody else will check it before it is given out.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::attestation::{Attestation, State};
use proto::checkpoint::SignedCheckpoint;
use proto::entry::Entry;
use proto::evidence::{Appended, EVIDENCE_ENTRIES_MAX, Evidence, EvidenceError, Extension};
use proto::hash::Hash;
use proto::ids::{LeafIndex, TreeSize};
use proto::map::{Bucket, BucketSource, Crown, MapError, MapIndex, MapProof, MapValue, Prefix};
use proto::merkle::{self, Peaks};
use proto::note::NOTE_BYTES_MAX;
use proto::tile::{TILE_WIDTH, parse_bundle};

use super::{AuditError, Auditor, EntryFailure, LogSource, width_at};

/// The log as it was read again.
struct Again {
    leaves: Vec<Hash>,
    /// What stands at the size from which the evidence goes on.
    peaks: Peaks,
    states: BTreeMap<MapIndex, State>,
    /// The entries after that.
    since: Vec<Entry>,
}

impl<S: LogSource> Auditor<S> {
    /// What shows others why this log does not pass, if anything does: a byte that is wrong on the
    /// way, or at the server, is no member's doing.
    ///
    /// The file accuses somebody, or shows that an entry is in the log of which only an audit can
    /// tell that a rule refuses it.
    ///
    /// # Errors
    /// [`AuditError`] when the log cannot be read again.
    pub async fn evidence(&self, failed: &AuditError) -> Result<Option<Evidence>, AuditError> {
        let takes_entries = matches!(
            failed,
            AuditError::MapRoot
                | AuditError::Entry {
                    failure: EntryFailure::Rule(_),
                    ..
                }
        );
        let bytes = self.source.fetch("checkpoint", NOTE_BYTES_MAX).await?;
        let theirs = SignedCheckpoint::parse(&bytes)?;
        if !takes_entries {
            let Some(ours) = self.contradicted(failed) else {
                return Ok(None);
            };
            let evidence = self.of_two(failed, ours, theirs).await?;
            return Ok(evidence.filter(|evidence| self.stands(evidence)));
        }
        // From what was seen before: shorter, and it accuses those who signed both. What leaves
        // the question open is given if nothing answers it.
        let (seen, mut open) = (self.seen.iter().rev().map(Some), None);
        for from in seen.chain([None]) {
            let Some(evidence) = self.of_entries(failed, from, &theirs).await? else {
                continue;
            };
            match evidence.verify(&self.roster, &mut |_| {}) {
                Ok(_) => return Ok(Some(evidence)),
                Err(EvidenceError::NeedsTheLog { .. }) => open = open.or(Some(evidence)),
                Err(_) => {}
            }
        }
        Ok(open)
    }

    /// Which of the checkpoints seen before the log contradicts.
    fn contradicted(&self, failed: &AuditError) -> Option<&SignedCheckpoint> {
        let size = match failed {
            AuditError::Rollback { ours, .. } => *ours,
            AuditError::Fork { size } => *size,
            _ => return None,
        };
        self.seen.iter().find(|seen| seen.claimed().size == size)
    }

    fn stands(&self, evidence: &Evidence) -> bool {
        matches!(
            evidence.verify(&self.roster, &mut |_| {}),
            Ok(_) | Err(EvidenceError::NeedsTheLog { .. })
        )
    }

    /// What the checkpoint seen before and the one of now show.
    async fn of_two(
        &self,
        failed: &AuditError,
        ours: &SignedCheckpoint,
        theirs: SignedCheckpoint,
    ) -> Result<Option<Evidence>, AuditError> {
        let ours = ours.clone();
        let (seen, size) = (ours.claimed().size, theirs.claimed().size);
        Ok(match failed {
            AuditError::Rollback { .. } => Some(Evidence::Rollback {
                larger: ours,
                smaller: theirs,
            }),
            AuditError::Fork { .. } if seen == size => Some(Evidence::Fork {
                first: ours,
                second: theirs,
            }),
            AuditError::Fork { .. } => {
                let leaves = self.again(size, size).await?.leaves;
                let begins_with = merkle::root(seen, &leaves[..]).ok();
                let proof = merkle::prove_consistency(seen, size, &leaves[..]).ok();
                begins_with
                    .zip(proof)
                    .map(|(begins_with, proof)| Evidence::Rewritten {
                        smaller: ours,
                        larger: theirs,
                        begins_with,
                        proof,
                    })
            }
            _ => None,
        })
    }

    /// What the entries from a checkpoint on show, or all of them from the first one.
    async fn of_entries(
        &self,
        failed: &AuditError,
        from: Option<&SignedCheckpoint>,
        theirs: &SignedCheckpoint,
    ) -> Result<Option<Evidence>, AuditError> {
        let size = theirs.claimed().size;
        let begin = from.map_or(TreeSize::new(0), |ours| ours.claimed().size);
        let entries = size.get().checked_sub(begin.get());
        if entries.is_none_or(|entries| entries > EVIDENCE_ENTRIES_MAX as u64) {
            return Ok(None);
        }
        let Some(appended) = self.again(begin, size).await?.appended() else {
            return Ok(None);
        };
        let after = theirs.clone();
        let extension = match from.cloned() {
            Some(before) => Extension::Checkpoints { before, after },
            None => Extension::Founding(after),
        };
        Ok(match failed {
            AuditError::MapRoot => Some(Evidence::WrongMap {
                extension,
                appended,
            }),
            AuditError::Entry {
                entry,
                failure: EntryFailure::Rule(reason),
            } => Some(Evidence::Rule {
                extension,
                appended,
                index: *entry,
                reason: *reason,
            }),
            _ => None,
        })
    }

    /// Reads the log once more, without any check: the evidence is checked as a whole.
    async fn again(&self, from: TreeSize, total: TreeSize) -> Result<Again, AuditError> {
        let mut again = Again {
            leaves: Vec::new(),
            peaks: Peaks::default(),
            states: BTreeMap::new(),
            since: Vec::new(),
        };
        while (again.leaves.len() as u64) < total.get() {
            let first = LeafIndex::new(again.leaves.len() as u64);
            let width = width_at(total.get() - first.get());
            let index = first.get() / TILE_WIDTH as u64;
            let bytes = self.entries(index, width).await?;
            let bundle = parse_bundle(&bytes);
            let bundle = bundle.map_err(|reason| AuditError::Bundle { first, reason })?;
            let (got, want) = (bundle.len(), usize::from(width.get()));
            if got < want {
                return Err(AuditError::BundleLength { first, got, want });
            }
            for (index, bytes) in (first.get()..).zip(bundle.into_iter().take(want)) {
                let entry = LeafIndex::new(index);
                let fails = |failure| AuditError::Entry { entry, failure };
                again.take(entry, bytes, from).map_err(fails)?;
            }
        }
        Ok(again)
    }
}

impl Again {
    fn take(&mut self, index: LeafIndex, bytes: &[u8], from: TreeSize) -> Result<(), EntryFailure> {
        let entry = Entry::parse(bytes)?;
        self.leaves.push(entry.leaf_hash());
        if !from.contains(index) {
            self.since.push(entry);
            return Ok(());
        }
        self.peaks.append(entry.leaf_hash());
        let says = Attestation::read(entry.header())?;
        for (at, state) in says.effects_on(&self.states, index, &entry.header().issuer) {
            match state {
                Some(state) => self.states.insert(at, state),
                None => self.states.remove(&at),
            };
        }
        Ok(())
    }

    fn appended(self) -> Option<Appended> {
        let map = Map::of(&self.states)?;
        let prove = |index: &MapIndex| map.prove(index);
        Appended::gather(&self.peaks, map.crown.root(), self.since, prove).ok()
    }
}

/// The map of some states, with its buckets in memory.
struct Map {
    crown: Crown,
    buckets: BTreeMap<Prefix, Arc<Bucket>>,
}

/// A bucket is not there.
#[derive(Debug)]
struct NoBucket;

impl BucketSource for Map {
    type Error = NoBucket;

    fn bucket(&self, prefix: &Prefix) -> Result<Arc<Bucket>, NoBucket> {
        self.buckets.get(prefix).cloned().ok_or(NoBucket)
    }
}

impl Map {
    fn of(states: &BTreeMap<MapIndex, State>) -> Option<Self> {
        let empty = Self {
            crown: Crown::new(),
            buckets: BTreeMap::new(),
        };
        let mut changes = BTreeMap::new();
        for (index, state) in states {
            let value = MapValue::from_bytes(&state.to_bytes()).ok()?;
            changes.insert(*index, Some(value));
        }
        let update = empty.crown.update(&changes, &empty).ok()?;
        let puts = update.puts().map(|(at, bucket)| (*at, bucket.clone()));
        Some(Self {
            buckets: puts.collect(),
            crown: update.crown().clone(),
        })
    }

    fn prove(&self, index: &MapIndex) -> Result<MapProof, MapError<NoBucket>> {
        self.crown.prove(index, self)
    }
}
