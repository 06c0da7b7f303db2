//! A bundle of entries, verified on all cores: bytes, signatures, shapes.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::thread;

use proto::attestation::Attestation;
use proto::entry::{Entry, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{LeafIndex, Origin};
use proto::tile::parse_bundle;

use super::{AuditError, EntryFailure};

/// Entries that stand for themselves: whether the ledger's rules admit them is not known yet.
pub(super) struct VerifiedBundle {
    pub(super) entries: Vec<(VerifiedEntry, Attestation)>,
    pub(super) leaf_hashes: Vec<Hash>,
}

impl VerifiedBundle {
    /// Verifies some entries of a bundle, the first of which is entry `first`.
    pub(super) fn verify(
        bytes: &[u8],
        first: LeafIndex,
        wanted: Range<usize>,
        origin: &Origin,
    ) -> Result<Self, AuditError> {
        let bundle = parse_bundle(bytes).map_err(|reason| AuditError::Bundle { first, reason })?;
        let (got, want) = (bundle.len(), wanted.end);
        let begin = first.get() + wanted.start as u64;
        let bundle = bundle.get(wanted);
        let bundle = bundle.ok_or(AuditError::BundleLength { first, got, want })?;
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let share = bundle.len().div_ceil(cores).max(1);
        let verified: Vec<Vec<_>> = thread::scope(|scope| {
            let verify = |part: &[&[u8]]| part.iter().map(|e| verify_entry(e, origin)).collect();
            let threads: Vec<_> = bundle
                .chunks(share)
                .map(|part| scope.spawn(move || verify(part)))
                .collect();
            let joined = threads.into_iter().map(|thread| thread.join());
            joined
                .collect::<Result<_, _>>()
                .map_err(|_| AuditError::Interrupted)
        })?;
        let mut all = Self {
            entries: Vec::with_capacity(bundle.len()),
            leaf_hashes: Vec::new(),
        };
        for (index, entry) in (begin..).zip(verified.into_iter().flatten()) {
            let entry_index = LeafIndex::new(index);
            let fails = |failure| AuditError::Entry {
                entry: entry_index,
                failure,
            };
            let (entry, attestation, leaf_hash) = entry.map_err(fails)?;
            all.entries.push((entry, attestation));
            all.leaf_hashes.push(leaf_hash);
        }
        Ok(all)
    }
}

fn verify_entry(
    bytes: &[u8],
    origin: &Origin,
) -> Result<(VerifiedEntry, Attestation, Hash), EntryFailure> {
    let entry = Entry::parse(bytes)?.verify(origin)?;
    let attestation = Attestation::read(entry.header())?;
    let leaf_hash = entry.leaf_hash();
    Ok((entry, attestation, leaf_hash))
}
