//! Ballots: what a member signs when its node gives its vote to one leader of the ordering engine.
//!
//! A node that has voted gives no vote to another in the same term, so one ballot is all that it
//! signs for a term. The ballots of a majority are a leader's mandate. They name the member whose
//! engine it is, so that nobody leads under the mandate of another.
//!
//! ```text
//! version 1 || term (8) || engine (8) || length 1 || member || voter's engine (8) || length 1 || voter
//! ```

use thiserror::Error;

use crate::ids::{MemberName, Origin};
use crate::signed_bytes::{Reader, signed_message};
use crate::signing::{PublicKey, SIGNATURE_BYTES, SecretKey, Signature, SigningError};

/// Longest ballot with its signature: two names of at most 255 bytes.
pub const BALLOT_BYTES_MAX: usize = 1 + 8 + 8 + 256 + 8 + 256 + SIGNATURE_BYTES;

const VERSION: u8 = 1;
const SIGNATURE_LABEL: &[u8] = b"vitrail ballot v1\n";

/// Why bytes are no signed ballot, or a ballot does not count. Nothing of it is quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BallotError {
    /// The bytes are cut, too long, or of another version, or a name is none.
    #[error("a ballot must be of version {VERSION}, with two member names and a signature")]
    Form,
    /// The voter did not sign it for this ledger.
    #[error("ballot: {0}")]
    Signature(#[from] SigningError),
}

/// A vote for one leader in one term.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    /// The term.
    pub term: u64,
    /// The engine that is to lead: one life of one member's data folder.
    pub engine: u64,
    /// The member whose engine it is.
    pub member: MemberName,
    /// The engine that votes.
    pub voter_engine: u64,
    /// The member whose engine that is; it signs.
    pub voter: MemberName,
}

/// A ballot with its voter's signature, which nobody has checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBallot {
    ballot: Ballot,
    signature: Signature,
}

impl Ballot {
    /// The bytes that are signed, after label and origin.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend(self.term.to_be_bytes());
        bytes.extend(self.engine.to_be_bytes());
        put_name(&mut bytes, &self.member);
        bytes.extend(self.voter_engine.to_be_bytes());
        put_name(&mut bytes, &self.voter);
        bytes
    }

    /// Signs it as the voter.
    #[must_use]
    pub fn sign(self, origin: &Origin, secret: &SecretKey) -> SignedBallot {
        let signature = secret.sign(&signed_message(SIGNATURE_LABEL, origin, &self.to_bytes()));
        SignedBallot {
            ballot: self,
            signature,
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        if reader.take::<1>()? != [VERSION] {
            return None;
        }
        Some(Self {
            term: reader.number()?,
            engine: reader.number()?,
            member: reader.name()?,
            voter_engine: reader.number()?,
            voter: reader.name()?,
        })
    }
}

impl SignedBallot {
    /// What the ballot says. Nobody vouches for it yet.
    #[must_use]
    pub const fn claimed(&self) -> &Ballot {
        &self.ballot
    }

    /// Checks that the owner of `voter` signed it for this ledger.
    ///
    /// # Errors
    /// [`BallotError::Signature`].
    pub fn verify(&self, origin: &Origin, voter: &PublicKey) -> Result<&Ballot, BallotError> {
        let message = signed_message(SIGNATURE_LABEL, origin, &self.ballot.to_bytes());
        voter.verify(&message, &self.signature)?;
        Ok(&self.ballot)
    }

    /// The ballot's bytes and the signature.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.ballot.to_bytes();
        bytes.extend(self.signature.as_bytes());
        bytes
    }

    /// Reads a signed ballot in its one spelling; the signature is not checked.
    ///
    /// # Errors
    /// [`BallotError::Form`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BallotError> {
        let mut reader = Reader(bytes);
        let ballot = Ballot::read(&mut reader).ok_or(BallotError::Form)?;
        let signature: [u8; SIGNATURE_BYTES] =
            reader.0.try_into().map_err(|_| BallotError::Form)?;
        Ok(Self {
            ballot,
            signature: Signature::from_bytes(signature),
        })
    }
}

/// A name with its length before it. A member's name is shorter than 256 bytes (ids).
fn put_name(bytes: &mut Vec<u8>, name: &MemberName) {
    let name = name.as_str().as_bytes();
    bytes.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    bytes.extend(name);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ballot() -> Ballot {
        Ballot {
            term: 3,
            engine: 0x0102_0304_0506_0708,
            member: "cnam".parse().unwrap(),
            voter_engine: 9,
            voter: "beta".parse().unwrap(),
        }
    }

    fn origin() -> Origin {
        "vitrail.test/optique".parse().unwrap()
    }

    #[test]
    fn the_bytes_of_a_ballot_and_of_what_is_signed_are_as_documented() {
        let bytes = ballot().to_bytes();
        let (term, engine) = (
            b"\x01\0\0\0\0\0\0\0\x03",
            b"\x01\x02\x03\x04\x05\x06\x07\x08",
        );
        let (member, voter) = (b"\x04cnam", b"\0\0\0\0\0\0\0\x09\x04beta");
        assert_eq!(bytes, [&term[..], engine, member, voter].concat());

        let signed = signed_message(SIGNATURE_LABEL, &origin(), &bytes);
        let start = b"vitrail ballot v1\n\0\x14vitrail.test/optique";
        assert_eq!(signed, [&start[..], &bytes].concat());
        let signature = ballot().sign(&origin(), &SecretKey::from_seed(&[7; 32]));
        let end = &signature.to_bytes()[bytes.len()..];
        let golden: String = end[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(golden, "9e67f568ae620464");
    }

    #[test]
    fn a_signature_holds_for_one_ballot_one_ledger_and_one_voter() {
        let secret = SecretKey::from_seed(&[7; 32]);
        let signed = ballot().sign(&origin(), &secret);
        let bytes = signed.to_bytes();
        assert!(bytes.len() <= BALLOT_BYTES_MAX);
        let read = SignedBallot::from_bytes(&bytes).unwrap();
        assert_eq!(read, signed);
        assert_eq!(read.verify(&origin(), &secret.public()), Ok(&ballot()));

        let other = "vitrail.test/audio".parse().unwrap();
        assert!(read.verify(&other, &secret.public()).is_err());
        let stranger = SecretKey::from_seed(&[8; 32]).public();
        assert!(read.verify(&origin(), &stranger).is_err());
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            let read = SignedBallot::from_bytes(&bytes);
            let verified = read.and_then(|it| it.verify(&origin(), &secret.public()).cloned());
            assert!(verified.is_err(), "byte {at}");
        }
        for cut in 0..bytes.len() {
            let cut = SignedBallot::from_bytes(&bytes[..cut]);
            assert_eq!(cut, Err(BallotError::Form));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(SignedBallot::from_bytes(&longer), Err(BallotError::Form));
    }
}
