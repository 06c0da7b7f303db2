//! How far an audit has come: what came out of the entries so far, and all that it takes to go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use proto::checkpoint::{SignedCheckpoint, VerifiedCheckpoint};
use proto::entry::{Kind, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{LeafIndex, TreeSize};
use proto::map::{Bucket, BucketSource, Crown, MapValue, MapValueError, Prefix};
use proto::roster::Roster;
use proto::tile::RightEdge;

use super::check::{Check, Checks};
use super::cosigning::Cosigning;
use super::replay::Replay;
use super::statistics::Statistics;
use super::{Attestation, Audit, AuditError, EntryFailure};

/// Most runs that are told apart: at one a day, those of almost three years. The oldest ones are
/// forgotten.
pub const RUNS_MAX: usize = 1_000;

/// What one run verified: from the size at which the run before ended to its own checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// Entries that had been verified before.
    pub from: TreeSize,
    /// Entries that were verified at its end.
    pub to: TreeSize,
    /// The time of the checkpoint that it ended at, in seconds since 1970.
    pub time: proto::ids::UnixSeconds,
}

/// The state of an audit after some entries.
///
/// It grows with the ledger, as the rules ask for it: some 20 bytes for each entry, 30 to 80 more for
/// coverages, claims and deliveries, and 60 for each key of the map. What is counted for a report
/// costs a hundred bytes a day, not a byte an entry.
#[derive(Default)]
pub struct Course {
    pub(super) edge: RightEdge,
    pub(super) replay: Replay,
    pub(super) entry_bytes: u64,
    pub(super) statistics: Statistics,
    pub(super) checks: Checks,
    pub(super) cosigning: Cosigning,
    /// What a quorum cosigned when the last run ended well.
    pub(super) checkpoint: Option<SignedCheckpoint>,
    pub(super) runs: Vec<Run>,
}

impl std::fmt::Debug for Course {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Course({} entries)", self.size())
    }
}

impl Course {
    /// How many entries have been verified.
    #[must_use]
    pub const fn size(&self) -> TreeSize {
        self.edge.size()
    }

    /// What a quorum cosigned when the last run ended well.
    #[must_use]
    pub const fn checkpoint(&self) -> Option<&SignedCheckpoint> {
        self.checkpoint.as_ref()
    }

    /// The roster in force after these entries.
    #[must_use]
    pub const fn roster(&self) -> Option<&Roster> {
        self.replay.roster.as_ref()
    }

    /// How many entries there are of each kind.
    #[must_use]
    pub const fn counts(&self) -> &BTreeMap<Kind, u64> {
        &self.replay.counts
    }

    /// How many slots, coverages, grants and others the map has.
    #[must_use]
    pub fn map_size(&self) -> usize {
        self.replay.map.len()
    }

    /// How many bytes of entries were read.
    #[must_use]
    pub const fn entry_bytes(&self) -> u64 {
        self.entry_bytes
    }

    /// What the entries say, counted.
    #[must_use]
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Which checks were made, and how often.
    #[must_use]
    pub const fn checks(&self) -> &Checks {
        &self.checks
    }

    /// How long members take to cosign.
    #[must_use]
    pub const fn cosigning(&self) -> &Cosigning {
        &self.cosigning
    }

    /// The runs that ended well, the newest last, at most [`RUNS_MAX`].
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Lets the next entry take effect, if the rules admit it here, and counts it.
    pub(super) fn admit(
        &mut self,
        entry: &VerifiedEntry,
        attestation: &Attestation,
        index: LeafIndex,
    ) -> Result<(), EntryFailure> {
        let header = entry.header();
        let changes = self.replay.changes;
        self.checks.add(Check::Form, 1);
        self.checks.add(Check::Signature, 1);
        // As it lies in its bundle, behind two bytes of length.
        self.entry_bytes += 2 + entry.shared().bytes().len() as u64;
        self.replay.append(entry, attestation)?;
        self.checks.add(Check::Rule, 1);
        let is_roster = header.kind == Kind::Roster;
        self.checks.add(Check::Roster, u64::from(is_roster));
        let changed = self.replay.changes - changes;
        self.checks.add(Check::MapChange, changed);
        self.statistics.record(header, attestation);
        if let Some(roster) = &self.replay.roster {
            let size = TreeSize::new(index.get() + 1);
            self.cosigning.reach(size, header.issued_at, roster);
        }
        Ok(())
    }

    /// The map root of the states.
    pub(super) fn map_root(&self) -> Result<Hash, AuditError> {
        let states = self.replay.map.iter();
        let states = states
            .map(|(index, state)| Ok((*index, Some(MapValue::from_bytes(&state.to_bytes())?))));
        let states: BTreeMap<_, _> = states
            .collect::<Result<_, MapValueError>>()
            .map_err(|_| AuditError::Map)?;
        let update = Crown::new().update(&states, &NoBuckets);
        update
            .map(|update| update.root())
            .map_err(|_| AuditError::Map)
    }

    /// Steps 5 to 7: what came out is what a quorum cosigned, of the ledger of the roster `given`.
    pub(super) fn finish(
        &mut self,
        signed: &SignedCheckpoint,
        given: &Roster,
        earlier: u64,
    ) -> Result<Audit, AuditError> {
        let claimed = signed.claimed();
        if self.edge.root() != claimed.log_root {
            return Err(AuditError::LogRoot);
        }
        if self.map_root()? != claimed.map_root {
            return Err(AuditError::MapRoot);
        }
        let roster = self.replay.roster.clone().ok_or(AuditError::Empty)?;
        let checkpoint = signed.verify(&roster)?;
        if !self.replay.was_in_force(given) {
            return Err(AuditError::OtherRoster);
        }
        self.checks.add(Check::LogRoot, 1);
        self.checks.add(Check::MapRoot, 1);
        let cosignatures = signed.cosignatures().len() as u64;
        self.checks.add(Check::Cosignature, cosignatures);
        self.checks.add(Check::Earlier, earlier);
        self.end_run(&checkpoint);
        Ok(Audit {
            checkpoint,
            roster,
            counts: self.replay.counts.clone(),
            map_size: self.map_size(),
            entry_bytes: self.entry_bytes,
        })
    }

    fn end_run(&mut self, checkpoint: &VerifiedCheckpoint) {
        let before = self.checkpoint.as_ref().map(SignedCheckpoint::claimed);
        self.runs.push(Run {
            from: before.map_or(TreeSize::new(0), |before| before.size),
            to: checkpoint.size(),
            time: checkpoint.time(),
        });
        let forgotten = self.runs.len().saturating_sub(RUNS_MAX);
        self.runs.drain(..forgotten);
        self.checkpoint = Some(checkpoint.signed().clone());
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
