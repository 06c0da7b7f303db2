//! The header of a batch: what a leader signs before its batch is ordered.
//!
//! A header chains to the one before it and states what log and map are once its entries are
//! decided. Whoever has the ledger before the batch recomputes all of it. A leader that signs two
//! headers for one place, or roots that do not follow, has signed the evidence against itself.
//!
//! ```text
//! version 1 || term (8) || number (8) || previous (32) || at (8) ||
//! size (8) || log root (32) || map root (32) || content (32)
//! ```

use thiserror::Error;

use crate::checkpoint::Checkpoint;
use crate::entry::Entry;
use crate::hash::{Context, HASH_BYTES, Hash, derive};
use crate::ids::{Origin, TreeSize, UnixMillis};
use crate::signed_bytes::{Reader, signed_message};
use crate::signing::{PublicKey, SIGNATURE_BYTES, SecretKey, Signature, SigningError};

/// Bytes of a header without its signature.
pub const HEADER_BYTES: usize = 1 + 8 + 8 + HASH_BYTES + 8 + 8 + 3 * HASH_BYTES;
/// Most entries in a batch: with it a batch stays well under the 30 ms for which it may hold the
/// store's write lock.
pub const BATCH_ENTRIES_MAX: usize = 1024;

const VERSION: u8 = 1;
const SIGNATURE_LABEL: &[u8] = b"vitrail batch v1\n";

/// Why bytes are no signed header, or a header is not accepted. Nothing of it is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BatchError {
    /// The bytes are cut, too long, or of another version.
    #[error("a batch header must be {HEADER_BYTES} bytes of version {VERSION} and a signature")]
    Form,
    /// The leader did not sign it for this ledger.
    #[error("batch header: {0}")]
    Signature(#[from] SigningError),
    /// The entries are not those that the header names.
    #[error("the entries are not those that the batch header names")]
    Content,
}

/// What a batch is, where it stands, and what it makes of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// The leader's term: between two members' terms an election lies.
    pub term: u64,
    /// Its place among all batches, from 1 on; a leader signs one header for a place in its term.
    pub number: u64,
    /// The [`hash`](BatchHeader::hash) of the header before; zeros for the first.
    pub previous: Hash,
    /// The moment at which its entries are decided.
    pub at: UnixMillis,
    /// How many entries the log has after it.
    pub size: TreeSize,
    /// The root of the log after it.
    pub log_root: Hash,
    /// The root of the map after it.
    pub map_root: Hash,
    /// [`content_hash`] of its entries, refused ones included.
    pub content: Hash,
}

/// A header with its leader's signature, which nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeader {
    header: BatchHeader,
    signature: Signature,
}

/// The hash over the leaf hashes of a batch's entries, in their order.
#[must_use]
pub fn content_hash<'a>(entries: impl Iterator<Item = &'a Entry>) -> Hash {
    let leaves: Vec<Hash> = entries.map(Entry::leaf_hash).collect();
    let parts: Vec<&[u8]> = leaves.iter().map(|leaf| &leaf.as_bytes()[..]).collect();
    derive(Context::BatchContent, &parts)
}

impl BatchHeader {
    /// The bytes that are signed, after label and origin.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let parts: [&[u8]; 9] = [
            &[VERSION],
            &self.term.to_be_bytes(),
            &self.number.to_be_bytes(),
            self.previous.as_bytes(),
            &self.at.get().to_be_bytes(),
            &self.size.get().to_be_bytes(),
            self.log_root.as_bytes(),
            self.map_root.as_bytes(),
            self.content.as_bytes(),
        ];
        let mut rest = bytes.as_mut_slice();
        for part in parts {
            let (place, after) = rest.split_at_mut(part.len());
            place.copy_from_slice(part);
            rest = after;
        }
        bytes
    }

    /// Reads a header in its one spelling.
    ///
    /// # Errors
    /// [`BatchError::Form`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BatchError> {
        let bytes: &[u8; HEADER_BYTES] = bytes.try_into().map_err(|_| BatchError::Form)?;
        let mut reader = Reader(bytes);
        let header = Self::read(&mut reader).ok_or(BatchError::Form)?;
        Ok(header)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.take::<1>()? != [VERSION] {
            return None;
        }
        Some(Self {
            term: reader.number()?,
            number: reader.number()?,
            previous: reader.hash()?,
            at: UnixMillis::new(reader.number()?),
            size: TreeSize::new(reader.number()?),
            log_root: reader.hash()?,
            map_root: reader.hash()?,
            content: reader.hash()?,
        })
    }

    /// What the next header names as the one before it.
    #[must_use]
    pub fn hash(&self) -> Hash {
        derive(Context::BatchHeader, &[&self.to_bytes()])
    }

    /// The state that the header states.
    #[must_use]
    pub fn checkpoint(&self, origin: &Origin) -> Checkpoint {
        Checkpoint {
            origin: origin.clone(),
            size: self.size,
            log_root: self.log_root,
            map_root: self.map_root,
        }
    }

    /// Signs it as the leader.
    #[must_use]
    pub fn sign(self, origin: &Origin, secret: &SecretKey) -> SignedHeader {
        let signature = secret.sign(&signed_message(SIGNATURE_LABEL, origin, &self.to_bytes()));
        SignedHeader {
            header: self,
            signature,
        }
    }
}

impl SignedHeader {
    /// What the header says. Nobody vouches for it yet.
    #[must_use]
    pub const fn claimed(&self) -> &BatchHeader {
        &self.header
    }

    /// Checks that the owner of `leader` signed it for this ledger.
    ///
    /// # Errors
    /// [`BatchError::Signature`].
    pub fn verify(&self, origin: &Origin, leader: &PublicKey) -> Result<&BatchHeader, BatchError> {
        let message = signed_message(SIGNATURE_LABEL, origin, &self.header.to_bytes());
        leader.verify(&message, &self.signature)?;
        Ok(&self.header)
    }

    /// The header's bytes and the signature.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.header.to_bytes()[..], self.signature.as_bytes()].concat()
    }

    /// Reads a signed header; the signature is not checked.
    ///
    /// # Errors
    /// [`BatchError::Form`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BatchError> {
        let (header, signature) = bytes
            .split_at_checked(HEADER_BYTES)
            .ok_or(BatchError::Form)?;
        let signature: [u8; SIGNATURE_BYTES] =
            signature.try_into().map_err(|_| BatchError::Form)?;
        Ok(Self {
            header: BatchHeader::from_bytes(header)?,
            signature: Signature::from_bytes(signature),
        })
    }

    /// Whether two headers, both of one leader, cannot both be of an honest one: the same place in
    /// the same term, and another batch.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> bool {
        let (a, b) = (&self.header, &other.header);
        (a.term, a.number) == (b.term, b.number) && a != b
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> BatchHeader {
        BatchHeader {
            term: 3,
            number: 70_000,
            previous: Hash::from_bytes([1; 32]),
            at: UnixMillis::new(1_768_000_000_123),
            size: TreeSize::new(12_345),
            log_root: Hash::from_bytes([2; 32]),
            map_root: Hash::from_bytes([3; 32]),
            content: Hash::from_bytes([4; 32]),
        }
    }

    fn origin() -> Origin {
        "vitrail.test/optique".parse().unwrap()
    }

    #[test]
    fn the_bytes_of_a_header_are_as_documented() {
        let bytes = header().to_bytes();
        assert_eq!(bytes.len(), 161);
        assert_eq!(
            bytes[..17],
            *b"\x01\0\0\0\0\0\0\0\x03\0\0\0\0\0\x01\x11\x70"
        );
        assert_eq!(bytes[17..49], [1; 32]);
        assert_eq!(bytes[49..57], 1_768_000_000_123_u64.to_be_bytes());
        assert_eq!(bytes[57..65], 12_345_u64.to_be_bytes());
        assert_eq!(bytes[129..], [4; 32]);
        assert_eq!(BatchHeader::from_bytes(&bytes), Ok(header()));
    }

    #[test]
    fn a_signature_holds_for_one_header_one_ledger_and_one_leader() {
        let secret = SecretKey::from_seed(&[7; 32]);
        let signed = header().sign(&origin(), &secret);
        let read = SignedHeader::from_bytes(&signed.to_bytes()).unwrap();
        assert_eq!(read, signed);
        assert_eq!(read.verify(&origin(), &secret.public()), Ok(&header()));

        let other = "vitrail.test/audio".parse().unwrap();
        assert!(read.verify(&other, &secret.public()).is_err());
        let stranger = SecretKey::from_seed(&[8; 32]).public();
        assert!(read.verify(&origin(), &stranger).is_err());
        for at in 0..HEADER_BYTES {
            let mut bytes = signed.to_bytes();
            bytes[at] ^= 1;
            let verified = SignedHeader::from_bytes(&bytes)
                .and_then(|read| read.verify(&origin(), &secret.public()).copied());
            assert!(verified.is_err(), "byte {at}");
        }
        for cut in [0, 1, HEADER_BYTES, HEADER_BYTES + SIGNATURE_BYTES - 1] {
            let cut = SignedHeader::from_bytes(&signed.to_bytes()[..cut]);
            assert_eq!(cut, Err(BatchError::Form));
        }
    }

    #[test]
    fn two_headers_contradict_each_other_at_one_place_of_one_term_alone() {
        let secret = SecretKey::from_seed(&[7; 32]);
        let sign = |header: BatchHeader| header.sign(&origin(), &secret);
        let (ours, at) = (sign(header()), UnixMillis::new(1));
        assert!(!ours.contradicts(&sign(header())));
        assert!(ours.contradicts(&sign(BatchHeader { at, ..header() })));
        let (term, number) = (4, 70_001);
        assert!(!ours.contradicts(&sign(BatchHeader {
            at,
            term,
            ..header()
        })));
        assert!(!ours.contradicts(&sign(BatchHeader {
            at,
            number,
            ..header()
        })));
    }
}
