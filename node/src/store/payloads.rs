//! Sealed payloads, several to a stored value: one for each entry would be a third of what the
//! database does for a claim.
//!
//! ```text
//! key      first leaf
//! value    for each payload:  place 1 byte, counted from the first leaf
//!                             length 2 bytes, big-endian
//!                             payload
//! ```
//!
//! A value holds payloads of one batch and is not added to later; erasing takes one out.

use std::collections::BTreeMap;

use proto::ids::LeafIndex;
use proto::seal::SealedPayload;

use super::{Store, StoreError, keys};

/// How many entries a value spans at most.
pub(super) const LEAVES_MAX: u64 = 16;
/// How long a value gets at most: sixteen share a page, which must stay below the 1 MiB from
/// which the database puts it into a file of its own.
const BYTES_MAX: usize = 32 * 1024;

/// Payloads that are stored together, under the first leaf.
pub(super) type Bundles = BTreeMap<LeafIndex, Vec<u8>>;

/// Puts payloads, in the order of their leaves, into as few values as they fit.
pub(super) fn bundles<'a>(
    payloads: impl Iterator<Item = (LeafIndex, &'a SealedPayload)>,
) -> Bundles {
    let mut bundles = Bundles::new();
    for (leaf, payload) in payloads {
        let payload = payload.to_bytes();
        // Payloads are far shorter than 64 KiB (seal), so two bytes always hold the length.
        let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
        let (place, bundle) = match bundles.last_entry() {
            Some(last) if fits(*last.key(), leaf, last.get().len() + payload.len()) => {
                (place(*last.key(), leaf), last.into_mut())
            }
            _ => (0, bundles.entry(leaf).or_default()),
        };
        bundle.push(place);
        bundle.extend(length.to_be_bytes());
        bundle.extend(payload);
    }
    bundles
}

fn fits(first: LeafIndex, leaf: LeafIndex, bytes: usize) -> bool {
    leaf.get() - first.get() < LEAVES_MAX && bytes <= BYTES_MAX
}

/// Where a leaf is in the bundle that begins with `first` and spans it.
fn place(first: LeafIndex, leaf: LeafIndex) -> u8 {
    u8::try_from(leaf.get() - first.get()).unwrap_or(u8::MAX)
}

/// One payload of a bundle; `Ok(None)` when it has none for this leaf.
///
/// # Errors
/// [`Malformed`].
pub(super) fn find(
    first: LeafIndex,
    bundle: &[u8],
    leaf: LeafIndex,
) -> Result<Option<&[u8]>, Malformed> {
    let wanted = place(first, leaf);
    let mut found = None;
    for record in Records(bundle) {
        let (place, record) = record?;
        if place == wanted {
            found = record.get(HEAD_BYTES..);
        }
    }
    Ok(found)
}

/// What is left of a bundle when the payload of this leaf is taken out.
fn without(first: LeafIndex, bundle: &[u8], leaf: LeafIndex) -> Result<Vec<u8>, Malformed> {
    let gone = place(first, leaf);
    let mut left = Vec::with_capacity(bundle.len());
    for record in Records(bundle) {
        let (place, record) = record?;
        if place != gone {
            left.extend_from_slice(record);
        }
    }
    Ok(left)
}

/// A stored value that is no bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Place and length.
const HEAD_BYTES: usize = 3;

/// The records of a bundle: the place of each, and all its bytes.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Result<(u8, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (&[place, high, low], _) = match self.0.split_first_chunk::<HEAD_BYTES>() {
            Some(head) => head,
            None if self.0.is_empty() => return None,
            None => return self.end(),
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((record, rest)) = self.0.split_at_checked(HEAD_BYTES + length) else {
            return self.end();
        };
        self.0 = rest;
        Some(Ok((place, record)))
    }
}

impl<'a> Records<'a> {
    fn end(&mut self) -> Option<Result<(u8, &'a [u8]), Malformed>> {
        self.0 = &[];
        Some(Err(Malformed))
    }
}

impl Store {
    /// The stored bundle that spans a leaf.
    pub(super) fn bundle_of(
        &self,
        leaf: LeafIndex,
    ) -> Result<Option<(LeafIndex, sled::IVec)>, StoreError> {
        let lowest = LeafIndex::new(leaf.get().saturating_sub(LEAVES_MAX - 1));
        let range = keys::payloads(lowest)..=keys::payloads(leaf);
        let last = self.0.database.last(range)?;
        Ok(last.and_then(|(key, bundle)| Some((LeafIndex::new(keys::number(&key)?), bundle))))
    }

    /// What is left of the stored bundles without these payloads. One that cannot be read stays as
    /// it is: without its salt a payload is noise, and the salt goes in any case.
    pub(super) fn bundles_without(&self, erased: &[LeafIndex]) -> Result<Bundles, StoreError> {
        let mut left = Bundles::new();
        for leaf in erased {
            let Some((first, stored)) = self.bundle_of(*leaf)? else {
                continue;
            };
            let before = left.get(&first).map_or(&*stored, Vec::as_slice);
            if let Ok(after) = without(first, before, *leaf) {
                left.insert(first, after);
            }
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proto::seal::{Salt, seal};
    use proto::token::SealingSecret;

    fn sealed(length: usize) -> SealedPayload {
        let secret = SealingSecret::from_bytes([1; 32]);
        seal(&[(&secret, &vec![7; length])], &Salt::from_bytes([2; 32])).unwrap()
    }

    fn of(leaves: &[u64], length: usize) -> Bundles {
        let payload = sealed(length);
        let leaves = leaves.iter().map(|leaf| (LeafIndex::new(*leaf), &payload));
        bundles(leaves)
    }

    fn firsts(bundles: &Bundles) -> Vec<u64> {
        bundles.keys().map(|first| first.get()).collect()
    }

    #[test]
    fn each_payload_is_found_under_its_leaf_and_no_other() {
        let payload = sealed(100).to_bytes();
        let bundles = of(&[40, 41, 43, 55, 56], 100);
        assert_eq!(firsts(&bundles), [40, 56]);
        let first = LeafIndex::new(40);
        for leaf in 40..56 {
            let found = find(first, &bundles[&first], LeafIndex::new(leaf)).unwrap();
            let is_there = [40, 41, 43, 55].contains(&leaf);
            assert_eq!(found, is_there.then_some(payload.as_slice()), "{leaf}");
        }
    }

    #[test]
    fn a_bundle_ends_before_it_is_too_long() {
        let leaves: Vec<u64> = (0..16).collect();
        let bundles = of(&leaves, 2000);
        assert_eq!(firsts(&bundles), [0, 15]);
        assert!(
            bundles
                .values()
                .all(|bundle| bundle.len() <= BYTES_MAX + HEAD_BYTES)
        );
    }

    #[test]
    fn what_is_taken_out_is_gone_and_the_rest_stays() {
        let first = LeafIndex::new(8);
        let bundle = &of(&[8, 9, 10], 100)[&first];
        let left = without(first, bundle, LeafIndex::new(9)).unwrap();
        let found = |leaf| find(first, &left, LeafIndex::new(leaf)).unwrap().is_some();
        assert_eq!([8, 9, 10].map(found), [true, false, true]);
        assert_eq!(without(first, bundle, LeafIndex::new(11)).unwrap(), *bundle);
    }

    #[test]
    fn a_cut_bundle_is_none() {
        let first = LeafIndex::new(0);
        let bundle = &of(&[0, 1], 100)[&first];
        let whole = bundle.len() / 2;
        for length in (1..bundle.len()).filter(|length| *length != whole) {
            assert_eq!(
                find(first, &bundle[..length], first),
                Err(Malformed),
                "{length}"
            );
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..16u64) {
            let first = LeafIndex::new(0);
            let _ = find(first, &bytes, LeafIndex::new(at));
            let _ = without(first, &bytes, LeafIndex::new(at));
        }
    }
}
