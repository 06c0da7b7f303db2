//! From one roster to the next: a signed roster is accepted from the one before it.

use thiserror::Error;

use super::{Epoch, Roster, RosterParseError, SignerError};
use crate::ids::MemberName;
use crate::note::{Note, NoteError, NoteSignature, SignatureKind};
use crate::signing::SecretKey;

/// Why bytes are not a signed roster.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignedRosterError {
    /// They are not a note.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text of the note is not a roster.
    #[error(transparent)]
    Roster(#[from] RosterParseError),
}

/// Why a signed roster is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SuccessionError {
    /// A genesis roster must be of epoch 0.
    #[error("the first roster must be of epoch 0, this one is of epoch {got}")]
    NotGenesis {
        /// Its epoch.
        got: Epoch,
    },
    /// The roster belongs to another ledger.
    #[error("the roster has another origin than the one before it")]
    Origin,
    /// The roster does not follow the one that was given.
    #[error("the roster is of epoch {got}, the one before it of epoch {previous}")]
    Epoch {
        /// The epoch of the roster.
        got: Epoch,
        /// The epoch of the one before.
        previous: Epoch,
    },
    /// The roster follows another one of the same epoch: the federation may have split.
    #[error("the roster names another roster of epoch {previous} as the one before it")]
    Previous {
        /// The epoch of the one before.
        previous: Epoch,
    },
    /// A line is from somebody else, or does not verify.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// Too few voting members signed.
    #[error("{got} voting members signed the roster, it takes {want}")]
    QuorumNotMet {
        /// How many signed.
        got: usize,
        /// How many it takes.
        want: usize,
    },
}

/// Why two copies of a signed roster are not put together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MergeError {
    /// They are two rosters.
    #[error("the files hold different rosters")]
    OtherRoster,
    /// Their lines are too many for one note.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// A roster and who claims to have signed it. Only verifying gives the roster out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedRoster {
    roster: Roster,
    note: Note,
}

impl SignedRoster {
    /// Puts a roster and the lines of [`Roster::sign`] together.
    ///
    /// # Errors
    /// [`NoteError`] for no line, or two of one key.
    pub fn new(roster: Roster, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        let note = Note::new(roster.text().to_owned(), signatures)?;
        Ok(Self { roster, note })
    }

    /// The same roster with this member's signature too, in place of an older one of its.
    ///
    /// # Errors
    /// [`NoteError`] when there are too many lines.
    pub fn signed_by(&self, name: &MemberName, secret: &SecretKey) -> Result<Self, NoteError> {
        let others = self.note.signatures().iter();
        let mut signatures: Vec<_> = others.filter(|line| line.name() != name).cloned().collect();
        signatures.push(self.roster.sign(name, secret));
        Self::new(self.roster.clone(), signatures)
    }

    /// The same roster with the lines of another copy of it too. Of one name the own line stays.
    ///
    /// # Errors
    /// [`MergeError`] when the other one is another roster, or there are too many lines.
    pub fn merged(&self, other: &Self) -> Result<Self, MergeError> {
        if self.roster.hash() != other.roster.hash() {
            return Err(MergeError::OtherRoster);
        }
        let mut signatures = self.note.signatures().to_vec();
        for line in other.note.signatures() {
            if signatures.iter().all(|held| held.name() != line.name()) {
                signatures.push(line.clone());
            }
        }
        Ok(Self::new(self.roster.clone(), signatures)?)
    }

    /// The voting members of the roster before that have signed this one, so that it verifies.
    #[must_use]
    pub fn voting_signers<'a>(&self, previous: &'a Roster) -> Vec<&'a MemberName> {
        let text = self.note.text();
        let lines = self.note.signatures().iter().filter_map(|line| {
            let signer = previous.verify_signature(text, line, SignatureKind::Ed25519);
            signer.ok().filter(|it| it.is_voting())
        });
        lines.map(|member| &member.name).collect()
    }

    /// Reads a signed roster in its one spelling.
    ///
    /// # Errors
    /// [`SignedRosterError`] when the bytes are not a note, or its text not a roster.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignedRosterError> {
        let note = Note::parse(bytes)?;
        let roster = Roster::parse(note.text())?;
        Ok(Self { roster, note })
    }

    /// The signed roster as it is stored and sent.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.note.to_text()
    }

    /// Accepts the first roster of a federation, which all its voting members signed.
    ///
    /// Their signatures show that the members agree on it, not that it is the federation one
    /// means: for that, compare [`Roster::hash`] with what a member published.
    ///
    /// # Errors
    /// [`SuccessionError`] for a later epoch, a line that fails, or a voting member's missing one.
    pub fn verify_genesis(&self) -> Result<Roster, SuccessionError> {
        let got = self.roster.epoch();
        if got != Epoch::default() {
            return Err(SuccessionError::NotGenesis { got });
        }
        let voting = self.roster.voting_members().count();
        self.require_signatures(&self.roster, voting)?;
        Ok(self.roster.clone())
    }

    /// The roster, whoever signed it: for a ledger that admitted it and knows so from its map.
    #[must_use]
    pub const fn admitted(&self) -> &Roster {
        &self.roster
    }

    /// Accepts the roster after `previous`, which a quorum of `previous` signed.
    ///
    /// # Errors
    /// [`SuccessionError`] when it is of another origin, does not follow `previous`, has a line
    /// that fails, or too few.
    pub fn verify_successor(&self, previous: &Roster) -> Result<Roster, SuccessionError> {
        let (roster, epoch) = (&self.roster, previous.epoch());
        if roster.origin() != previous.origin() {
            return Err(SuccessionError::Origin);
        }
        if Some(roster.epoch()) != epoch.next() {
            return Err(SuccessionError::Epoch {
                got: roster.epoch(),
                previous: epoch,
            });
        }
        if roster.previous() != Some(previous.hash()) {
            return Err(SuccessionError::Previous { previous: epoch });
        }
        self.require_signatures(previous, previous.quorum())?;
        Ok(roster.clone())
    }

    /// Every line must be from a member of `signers` and verify; `want` of them must be voting.
    fn require_signatures(&self, signers: &Roster, want: usize) -> Result<(), SuccessionError> {
        let mut got = 0;
        for line in self.note.signatures() {
            let text = self.note.text();
            let member = signers.verify_signature(text, line, SignatureKind::Ed25519)?;
            // A note has one line for a key, and a roster one key for a member.
            got += usize::from(member.is_voting());
        }
        if got < want {
            return Err(SuccessionError::QuorumNotMet { got, want });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::example::{federation, name, parts, secret};
    use super::super::{RosterParts, Standing};
    use super::*;
    use crate::hash;
    use crate::note::NoteSignatureError;

    fn signed(roster: &Roster, signers: impl IntoIterator<Item = u8>) -> SignedRoster {
        let signers = signers.into_iter();
        let lines = signers.map(|signer| roster.sign(&name(signer), &secret(signer)));
        SignedRoster::new(roster.clone(), lines.collect()).unwrap()
    }

    /// A roster after `federation(4, 1)` in which the follower votes, after one more change.
    fn successor(change: impl FnOnce(&mut RosterParts)) -> Roster {
        let mut parts = parts(4, 1);
        parts.epoch = Epoch::new(1);
        parts.previous = Some(federation(4, 1).hash());
        parts.members[4].standing = Standing::Voting;
        change(&mut parts);
        Roster::new(parts).unwrap()
    }

    #[test]
    fn a_genesis_roster_takes_all_its_voting_members() {
        let roster = federation(4, 1);
        let complete = signed(&roster, 0..4);
        assert_eq!(complete.verify_genesis(), Ok(roster.clone()));
        assert_eq!(signed(&roster, 0..5).verify_genesis(), Ok(roster.clone()));
        for missing in 0..4 {
            let signers = (0..5).filter(|signer| *signer != missing);
            assert_eq!(
                signed(&roster, signers).verify_genesis(),
                Err(SuccessionError::QuorumNotMet { got: 3, want: 4 })
            );
        }
        assert_eq!(
            signed(&successor(|_| {}), 0..5).verify_genesis(),
            Err(SuccessionError::NotGenesis { got: Epoch::new(1) })
        );
    }

    #[test]
    fn a_successor_takes_a_quorum_of_the_roster_before() {
        let (previous, next) = (federation(4, 1), successor(|_| {}));
        for signers in [vec![0, 1, 2], vec![1, 2, 3, 4], vec![3, 0, 2, 1]] {
            assert_eq!(
                signed(&next, signers).verify_successor(&previous),
                Ok(next.clone())
            );
        }
        // The fifth votes in the new roster alone.
        assert_eq!(
            signed(&next, [0, 1, 4]).verify_successor(&previous),
            Err(SuccessionError::QuorumNotMet { got: 2, want: 3 })
        );
    }

    #[test]
    fn a_newcomer_does_not_sign_itself_in() {
        let mut newcomer = parts(4, 2);
        newcomer.epoch = Epoch::new(1);
        newcomer.previous = Some(federation(4, 1).hash());
        let next = Roster::new(newcomer).unwrap();
        let unknown = SignerError::Unknown { name: name(5) };
        assert_eq!(
            signed(&next, [0, 1, 2, 5]).verify_successor(&federation(4, 1)),
            Err(unknown.into())
        );
    }

    #[test]
    fn a_roster_that_does_not_follow_is_refused() {
        let previous = federation(4, 1);
        let refused = |roster: &Roster| signed(roster, 0..4).verify_successor(&previous);
        assert_eq!(
            refused(&successor(
                |p| p.origin = "vitrail.example/audio".parse().unwrap()
            )),
            Err(SuccessionError::Origin)
        );
        let epoch = |got| SuccessionError::Epoch {
            got: Epoch::new(got),
            previous: Epoch::new(0),
        };
        assert_eq!(
            refused(&successor(|p| p.epoch = Epoch::new(2))),
            Err(epoch(2))
        );
        assert_eq!(refused(&previous), Err(epoch(0)));
        assert_eq!(
            refused(&successor(|p| p.previous = Some(hash::empty()))),
            Err(SuccessionError::Previous {
                previous: Epoch::new(0)
            })
        );
    }

    #[test]
    fn copies_that_were_signed_apart_are_put_together() {
        let (previous, next) = (federation(4, 1), successor(|_| {}));
        let (one, two) = (signed(&next, [0, 1]), signed(&next, [1, 2, 4]));
        let both = one.merged(&two).unwrap();
        assert_eq!(both.verify_successor(&previous), Ok(next));
        assert_eq!(
            both.voting_signers(&previous),
            [&name(0), &name(1), &name(2)]
        );
        let other = successor(|parts| parts.members[0].grpc = None);
        let refused = one.merged(&signed(&other, [2]));
        assert_eq!(refused, Err(MergeError::OtherRoster));
    }

    #[test]
    fn a_line_over_another_roster_refuses_the_whole() {
        let (previous, next) = (federation(4, 1), successor(|_| {}));
        let mut lines: Vec<_> = (0..3).map(|s| next.sign(&name(s), &secret(s))).collect();
        lines.push(previous.sign(&name(3), &secret(3)));
        let signed = SignedRoster::new(next, lines).unwrap();
        let (member, reason) = (name(3), NoteSignatureError::Signature);
        assert_eq!(
            signed.verify_successor(&previous),
            Err(SignerError::Bad { member, reason }.into())
        );
    }

    #[test]
    fn a_signed_roster_is_read_back_and_no_byte_of_it_can_change() {
        let signed = signed(&federation(1, 1), 0..2);
        let text = signed.to_text();
        assert_eq!(SignedRoster::parse(text.as_bytes()), Ok(signed));
        for (place, flip) in (0..text.len()).zip([0x01, 0x20, 0x80].into_iter().cycle()) {
            let mut bytes = text.clone().into_bytes();
            bytes[place] ^= flip;
            let accepted =
                SignedRoster::parse(&bytes).is_ok_and(|signed| signed.verify_genesis().is_ok());
            assert!(!accepted, "{place} {flip}");
        }
    }
}
