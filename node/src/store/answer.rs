//! The stored form of an answer: what makes a retry safe.
//!
//! ```text
//! leaf hash    32 bytes  of the bytes that were asked
//! outcome       1 byte   0 appended, 1 refused, 2 refused for a slot that is taken
//!   0: leaf index 8      1: reason 1      2: reason 1, key position 1, holder 8
//! check         8 bytes  of the key and all of the above
//! ```
//!
//! No root covers an answer. The check keeps a byte that changed on disk from being one.

use proto::entry::KEYS_MAX;
use proto::hash::Hash;
use proto::ids::LeafIndex;
use proto::merkle;
use proto::refusal::{Reason, Refusal, TakenSlot};

use crate::ledger::{Answered, Outcome};

/// Length of the check: an accident passes once in 2^64.
const CHECK_BYTES: usize = 8;

/// The stored form of an answer under its key.
pub(super) fn to_bytes(key: &[u8], answered: &Answered) -> Vec<u8> {
    let mut bytes = answered.leaf.as_bytes().to_vec();
    match answered.outcome {
        Outcome::Appended(leaf) => {
            bytes.push(0);
            bytes.extend(leaf.get().to_be_bytes());
        }
        Outcome::Refused(Refusal {
            reason,
            taken: None,
        }) => bytes.extend([1, reason as u8]),
        Outcome::Refused(Refusal {
            reason,
            taken: Some(taken),
        }) => {
            // An entry has at most eight keys; a position that is none does not read back.
            let position = u8::try_from(taken.key_position).unwrap_or(u8::MAX);
            bytes.extend([2, reason as u8, position]);
            bytes.extend(taken.holder.get().to_be_bytes());
        }
    }
    bytes.extend(check(key, &bytes));
    bytes
}

/// Reads what [`to_bytes`] writes under the same key; `None` for anything else.
pub(super) fn from_bytes(key: &[u8], bytes: &[u8]) -> Option<Answered> {
    let (content, stored_check) = bytes.split_last_chunk::<CHECK_BYTES>()?;
    if *stored_check != check(key, content) {
        return None;
    }
    let (leaf, outcome) = content.split_first_chunk()?;
    let refused = |reason, taken| {
        let reason = Reason::from_number(reason)?;
        Some(Outcome::Refused(Refusal { reason, taken }))
    };
    let outcome = match *outcome {
        [0, ref index @ ..] => Some(Outcome::Appended(leaf_index(index)?)),
        [1, reason] => refused(reason, None),
        [2, reason, position, ref holder @ ..] if usize::from(position) < KEYS_MAX => {
            let holder = leaf_index(holder)?;
            refused(
                reason,
                Some(TakenSlot {
                    key_position: position.into(),
                    holder,
                }),
            )
        }
        _ => None,
    };
    Some(Answered {
        leaf: Hash::from_bytes(*leaf),
        outcome: outcome?,
    })
}

fn leaf_index(bytes: &[u8]) -> Option<LeafIndex> {
    Some(LeafIndex::new(u64::from_be_bytes(bytes.try_into().ok()?)))
}

/// Binds the content to its key, so that an answer is not another request's either.
fn check(key: &[u8], content: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = merkle::leaf(&[key, content].concat());
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answers() -> impl Iterator<Item = Answered> {
        let refused = |reason| {
            let taken = TakenSlot {
                key_position: 7,
                holder: LeafIndex::new(9),
            };
            [None, Some(taken)].map(|taken| Outcome::Refused(Refusal { reason, taken }))
        };
        let refused = Reason::ALL.iter().copied().flat_map(refused);
        let outcomes = refused.chain([Outcome::Appended(LeafIndex::new(1 << 40))]);
        outcomes.map(|outcome| Answered {
            leaf: Hash::from_bytes([3; 32]),
            outcome,
        })
    }

    #[test]
    fn every_answer_reads_back_under_its_key_and_no_other() {
        for answered in answers() {
            let bytes = to_bytes(b"key", &answered);
            assert_eq!(from_bytes(b"key", &bytes), Some(answered));
            assert_eq!(from_bytes(b"kez", &bytes), None);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        for answered in answers() {
            let bytes = to_bytes(b"key", &answered);
            for at in 0..bytes.len() {
                assert_eq!(from_bytes(b"key", &bytes[..at]), None);
                for bit in 0..8 {
                    let mut flipped = bytes.clone();
                    flipped[at] ^= 1 << bit;
                    assert_eq!(from_bytes(b"key", &flipped), None, "byte {at} bit {bit}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_reads_writes_the_same_bytes(content in prop::collection::vec(any::<u8>(), 0..60)) {
            let bytes = [&content[..], &check(b"key", &content)].concat();
            if let Some(answered) = from_bytes(b"key", &bytes) {
                prop_assert_eq!(to_bytes(b"key", &answered), bytes);
            }
        }
    }
}
