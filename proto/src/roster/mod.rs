//! The roster: who the members of one federation are, with which keys, and how many must agree.
//!
//! It is the one thing a verifier has to be given; everything else is checked against it. It is
//! text that people can read before they sign it, and each roster is signed by a quorum of the one
//! before it. What a role may do is not said here.

mod change;
#[cfg(test)]
pub(crate) mod example;
mod member;
mod proposal;
mod request;
mod succession;
mod text;

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU16;

use thiserror::Error;

pub use self::change::{ChangeError, Difference, MemberChange, Strength};
pub use self::member::{
    ADDRESS_BYTES_MAX, Address, Element, IncidentKey, Member, MemberShare, OprfElements, Role,
    RosterValueError, Standing,
};
pub use self::proposal::ProposalError;
pub use self::request::{MemberRequest, RequestError, WrittenRequest};
pub use self::succession::{MergeError, SignedRoster, SignedRosterError, SuccessionError};
pub use self::text::{RosterLine, RosterParseError};
use crate::hash::{self, Context, Hash};
use crate::identity::PayerNumber;
use crate::ids::{MemberName, Origin};
use crate::incident::IncidentPublicKey;
use crate::note::{
    NOTE_BYTES_MAX, NOTE_SIGNATURES_MAX, NoteSignature, NoteSignatureError, SignatureKind,
};
use crate::signing::{PublicKey, SecretKey};

/// Most members: each may sign a note, and a note has as many lines.
pub const MEMBERS_MAX: usize = NOTE_SIGNATURES_MAX;
/// Most incident keys: each access record has an envelope of 80 bytes for each of them, and each
/// costs the node 0.1 ms.
pub const INCIDENT_KEYS_MAX: usize = 16;
/// Longest roster text: with a plain signature of every member it is still one note.
pub const ROSTER_BYTES_MAX: usize = 48 * 1024;

// The sum that makes `ROSTER_BYTES_MAX` true: dash, name, base64 of 68 bytes, spaces, newline.
const _: () = assert!(ROSTER_BYTES_MAX + 1 + MEMBERS_MAX * (4 + 64 + 1 + 92 + 1) <= NOTE_BYTES_MAX);

/// Which roster of a federation this is: 0 for the first, one more for each successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Epoch(u64);

impl Epoch {
    /// Wraps the number.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The epoch after this one; `None` after the last that there is.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(next) => Some(Self(next)),
            None => None,
        }
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The contents of a roster, before its rules are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterParts {
    /// The ledger that the federation keeps.
    pub origin: Origin,
    /// Which of its rosters this is.
    pub epoch: Epoch,
    /// [`Roster::hash`] of the one before; `None` exactly in epoch 0.
    pub previous: Option<Hash>,
    /// How many shares it takes to evaluate the OPRF.
    pub threshold: NonZeroU16,
    /// The joint public keys of the OPRF.
    pub joint: OprfElements,
    /// The hash of the transcript of the ceremony that made these shares; `None` while the keys
    /// are the founding member's alone.
    pub ceremony: Option<Hash>,
    /// The members, in any order.
    pub members: Vec<Member>,
    /// The shares, in any order, at most one for each member.
    pub shares: Vec<MemberShare>,
    /// The incident keys, in any order, at most one for each member.
    pub incident_keys: Vec<IncidentKey>,
}

/// Which rule the contents of a roster break.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RosterError {
    /// There are more members than a note can have signatures.
    #[error("a roster may have at most {MEMBERS_MAX} members, this one has {got}")]
    TooManyMembers {
        /// How many there are.
        got: usize,
    },
    /// Nobody could cosign a checkpoint.
    #[error("a roster must have at least one voting member")]
    NoVotingMember,
    /// Two members have one name.
    #[error("two members have the name {name}")]
    DuplicateName {
        /// The name.
        name: MemberName,
    },
    /// One organisation would vote twice.
    #[error("the public key of {name} is that of another member too")]
    DuplicateKey {
        /// The second member with the key.
        name: MemberName,
    },
    /// A claim would have two payers.
    #[error("the payer number of {name} is that of another member too")]
    DuplicatePayer {
        /// The second member with the number.
        name: MemberName,
    },
    /// An optician federation pays no claims.
    #[error("{name} has a payer number and a role that does not pay")]
    PayerRole {
        /// The member.
        name: MemberName,
    },
    /// A share belongs to nobody in the roster.
    #[error("{name} has a share and is not a member")]
    UnknownShareholder {
        /// The name in the share.
        name: MemberName,
    },
    /// One member would reach the threshold with fewer others.
    #[error("{name} has more than one share")]
    DuplicateShareholder {
        /// The member.
        name: MemberName,
    },
    /// Two shares of one index cannot be combined.
    #[error("two shares have the index {index}")]
    DuplicateShareIndex {
        /// The index.
        index: NonZeroU16,
    },
    /// No set of members could evaluate the OPRF.
    #[error("the threshold is {threshold} and there are {shares} shares")]
    Threshold {
        /// How many shares it takes.
        threshold: NonZeroU16,
        /// How many there are.
        shares: usize,
    },
    /// There are more incident keys than an access record has room for.
    #[error("a roster may have at most {INCIDENT_KEYS_MAX} incident keys, this one has {got}")]
    TooManyIncidentKeys {
        /// How many there are.
        got: usize,
    },
    /// An incident key belongs to nobody in the roster.
    #[error("{name} has an incident key and is not a member")]
    UnknownIncidentMember {
        /// The name beside the key.
        name: MemberName,
    },
    /// A member has two incident keys, or its key is another's too.
    #[error(
        "the incident key of {name} is not the only one of its member, or not its member's alone"
    )]
    DuplicateIncidentKey {
        /// The member of the second one.
        name: MemberName,
    },
    /// Epoch 0 names a roster before it, or a later epoch names none.
    #[error("the roster of epoch {epoch} must name a previous one exactly if it is not epoch 0")]
    Previous {
        /// Its epoch.
        epoch: Epoch,
    },
    /// Its text would leave no room for the signatures of all its members.
    #[error("the text of a roster may have at most {ROSTER_BYTES_MAX} bytes, this one has {got}")]
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
}

/// Why a signature line is not one of this federation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignerError {
    /// No member of the roster has this name.
    #[error("{name} signed and is not in the roster")]
    Unknown {
        /// The name in the line.
        name: MemberName,
    },
    /// A plain signature where a cosignature belongs, or the other way round.
    #[error("the signature of {member} is of the wrong kind")]
    WrongKind {
        /// Whose line it is.
        member: MemberName,
    },
    /// The member's key did not make this signature.
    #[error("the signature of {member}: {reason}")]
    Bad {
        /// Whose line it is.
        member: MemberName,
        /// Which check failed.
        reason: NoteSignatureError,
    },
}

/// A roster whose rules hold. Whether anybody signed it is [`SignedRoster`]'s question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roster {
    /// Members sorted by name, shares by index: one roster has one text.
    parts: RosterParts,
    text: String,
    hash: Hash,
}

impl Roster {
    /// Checks the rules and sorts the members and shares.
    ///
    /// # Errors
    /// [`RosterError`], the first rule that does not hold.
    pub fn new(mut parts: RosterParts) -> Result<Self, RosterError> {
        parts.members.sort_by(|a, b| a.name.cmp(&b.name));
        parts.shares.sort_by_key(|share| share.index);
        parts.incident_keys.sort_by(|a, b| a.member.cmp(&b.member));
        check_members(&parts.members)?;
        check_shares(&parts)?;
        check_incident_keys(&parts)?;
        if parts.previous.is_none() != (parts.epoch == Epoch::default()) {
            return Err(RosterError::Previous { epoch: parts.epoch });
        }
        let text = text::format(&parts);
        if text.len() > ROSTER_BYTES_MAX {
            return Err(RosterError::TooLong { got: text.len() });
        }
        let hash = hash::derive(Context::Roster, &[text.as_bytes()]);
        Ok(Self { parts, text, hash })
    }

    /// Reads the text of a roster in its one spelling.
    ///
    /// # Errors
    /// [`RosterParseError`], which names the line that cannot be read or the rule it breaks.
    pub fn parse(text: &str) -> Result<Self, RosterParseError> {
        text::parse(text)
    }

    /// The text that members sign; [`Roster::parse`] reads it back.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the next roster names this one by.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// The ledger that the federation keeps.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.parts.origin
    }

    /// Which of the federation's rosters this is.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.parts.epoch
    }

    /// The hash of the roster before; `None` exactly in epoch 0.
    #[must_use]
    pub const fn previous(&self) -> Option<Hash> {
        self.parts.previous
    }

    /// How many shares it takes to evaluate the OPRF.
    #[must_use]
    pub const fn threshold(&self) -> NonZeroU16 {
        self.parts.threshold
    }

    /// The joint public keys of the OPRF.
    #[must_use]
    pub const fn joint(&self) -> &OprfElements {
        &self.parts.joint
    }

    /// The hash of the transcript of the ceremony that made the shares, if one did.
    #[must_use]
    pub const fn ceremony(&self) -> Option<Hash> {
        self.parts.ceremony
    }

    /// All members, sorted by name.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.parts.members
    }

    /// The members whose cosignatures count, sorted by name.
    pub fn voting_members(&self) -> impl Iterator<Item = &Member> {
        self.members().iter().filter(|member| member.is_voting())
    }

    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: &MemberName) -> Option<&Member> {
        let place = self.members().binary_search_by(|m| m.name.cmp(name)).ok()?;
        self.members().get(place)
    }

    /// The member with this key: how a TLS client certificate becomes a member.
    #[must_use]
    pub fn member_by_key(&self, public_key: &PublicKey) -> Option<&Member> {
        self.members().iter().find(|m| m.public_key == *public_key)
    }

    /// The member that pays the claims under this number.
    #[must_use]
    pub fn payer(&self, number: &PayerNumber) -> Option<&Member> {
        self.members()
            .iter()
            .find(|m| m.payer.as_ref() == Some(number))
    }

    /// All shares, sorted by index.
    #[must_use]
    pub fn shares(&self) -> &[MemberShare] {
        &self.parts.shares
    }

    /// The share that this member holds.
    #[must_use]
    pub fn share(&self, member: &MemberName) -> Option<&MemberShare> {
        self.shares().iter().find(|share| share.member == *member)
    }

    /// What access records are sealed to, sorted by member.
    #[must_use]
    pub fn incident_keys(&self) -> &[IncidentKey] {
        &self.parts.incident_keys
    }

    /// The incident key of this member, if it has one.
    #[must_use]
    pub fn incident_key(&self, member: &MemberName) -> Option<&IncidentPublicKey> {
        let mut keys = self.incident_keys().iter();
        keys.find(|key| key.member == *member)
            .map(|key| &key.public_key)
    }

    /// How many voting members must cosign before a checkpoint counts.
    #[must_use]
    pub fn quorum(&self) -> usize {
        quorum_of(self.voting_members().count())
    }

    /// Signs the roster: a genesis roster as one of its members, a later one as a member of the
    /// roster before it.
    #[must_use]
    pub fn sign(&self, name: &MemberName, secret: &SecretKey) -> NoteSignature {
        NoteSignature::sign(self.text(), name, secret)
    }

    /// Checks one signature line of a note and says whose it is.
    ///
    /// # Errors
    /// [`SignerError`] when the signer is not in this roster, or did not sign this text so.
    pub fn verify_signature(
        &self,
        text: &str,
        line: &NoteSignature,
        kind: SignatureKind,
    ) -> Result<&Member, SignerError> {
        let member = self.member(line.name()).ok_or(SignerError::Unknown {
            name: line.name().clone(),
        })?;
        if line.kind() != kind {
            return Err(SignerError::WrongKind {
                member: member.name.clone(),
            });
        }
        line.verify(text, &member.public_key)
            .map(|()| member)
            .map_err(|reason| SignerError::Bad {
                member: member.name.clone(),
                reason,
            })
    }
}

/// How many of `voting` members may lie before two checkpoints of one size can both be valid:
/// `f = floor((n - 1) / 3)`.
#[must_use]
pub const fn faults_tolerated(voting: usize) -> usize {
    voting.saturating_sub(1) / 3
}

/// `floor((n + f) / 2) + 1`: any two quorums of `n` share more than `f` members, so at least one
/// honest one, who never signs two checkpoints of one size. Of 3 nobody may lie: f is 0.
#[must_use]
pub const fn quorum_of(voting: usize) -> usize {
    (voting + faults_tolerated(voting)) / 2 + 1
}

fn check_members(members: &[Member]) -> Result<(), RosterError> {
    if members.len() > MEMBERS_MAX {
        return Err(RosterError::TooManyMembers { got: members.len() });
    }
    if !members.iter().any(Member::is_voting) {
        return Err(RosterError::NoVotingMember);
    }
    let (mut names, mut keys, mut payers) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for member in members {
        let name = member.name.clone();
        if !names.insert(&member.name) {
            return Err(RosterError::DuplicateName { name });
        }
        if !keys.insert(member.public_key) {
            return Err(RosterError::DuplicateKey { name });
        }
        if member.payer.is_some() && !member.role.pays() {
            return Err(RosterError::PayerRole { name });
        }
        if member.payer.iter().any(|payer| !payers.insert(payer)) {
            return Err(RosterError::DuplicatePayer { name });
        }
    }
    Ok(())
}

fn check_shares(parts: &RosterParts) -> Result<(), RosterError> {
    let (mut holders, mut indexes) = (BTreeSet::new(), BTreeSet::new());
    for share in &parts.shares {
        let name = share.member.clone();
        if !parts.members.iter().any(|m| m.name == share.member) {
            return Err(RosterError::UnknownShareholder { name });
        }
        if !holders.insert(&share.member) {
            return Err(RosterError::DuplicateShareholder { name });
        }
        if !indexes.insert(share.index) {
            let index = share.index;
            return Err(RosterError::DuplicateShareIndex { index });
        }
    }
    let shares = parts.shares.len();
    if usize::from(parts.threshold.get()) > shares {
        let threshold = parts.threshold;
        return Err(RosterError::Threshold { threshold, shares });
    }
    Ok(())
}

fn check_incident_keys(parts: &RosterParts) -> Result<(), RosterError> {
    let got = parts.incident_keys.len();
    if got > INCIDENT_KEYS_MAX {
        return Err(RosterError::TooManyIncidentKeys { got });
    }
    let (mut holders, mut keys) = (BTreeSet::new(), BTreeSet::new());
    for key in &parts.incident_keys {
        let name = key.member.clone();
        if !parts.members.iter().any(|m| m.name == key.member) {
            return Err(RosterError::UnknownIncidentMember { name });
        }
        if !holders.insert(&key.member) || !keys.insert(key.public_key) {
            return Err(RosterError::DuplicateIncidentKey { name });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::example::{federation, name, parts, secret};
    use super::*;
    use crate::ids::UnixSeconds;

    #[test]
    fn the_quorum_of_one_to_ten_members_is_the_table() {
        let table = [1, 2, 2, 3, 4, 4, 5, 6, 6, 7];
        let faults = [0, 0, 0, 1, 1, 1, 2, 2, 2, 3];
        for voting in 1..=10 {
            assert_eq!(quorum_of(voting), table[voting - 1], "{voting}");
            assert_eq!(faults_tolerated(voting), faults[voting - 1], "{voting}");
        }
    }

    #[test]
    fn two_quorums_share_an_honest_member_and_the_honest_alone_are_one() {
        for voting in 1..=MEMBERS_MAX {
            let (quorum, faults) = (quorum_of(voting), faults_tolerated(voting));
            let overlap_at_least = 2 * quorum - voting;
            assert!(overlap_at_least > faults, "{voting}");
            assert!(quorum <= voting - faults, "{voting}");
        }
    }

    #[test]
    fn any_two_quorums_of_seven_members_share_three() {
        let quorums: Vec<u8> = (0..1 << 7)
            .filter(|set: &u8| set.count_ones() == 5)
            .collect();
        for a in &quorums {
            assert!(quorums.iter().all(|b| (a & b).count_ones() > 2));
        }
    }

    #[test]
    fn only_voting_members_count_toward_the_quorum() {
        let roster = federation(4, 3);
        assert_eq!(roster.members().len(), 7);
        assert_eq!(roster.voting_members().count(), 4);
        assert_eq!(roster.quorum(), 3);
    }

    #[test]
    fn a_member_is_found_by_name_by_key_and_by_payer_number() {
        let roster = federation(4, 1);
        for (place, member) in roster.members().iter().enumerate() {
            let seed = u8::try_from(place).unwrap();
            assert_eq!(member.name, name(seed));
            assert_eq!(roster.member(&member.name), Some(member));
            assert_eq!(roster.member_by_key(&secret(seed).public()), Some(member));
        }
        assert_eq!(roster.member(&name(5)), None);
        assert_eq!(roster.member_by_key(&secret(5).public()), None);
        assert_eq!(roster.share(&name(3)).unwrap().index.get(), 4);
        assert_eq!(roster.share(&name(4)), None);
        let payer = |digits: &str| roster.payer(&digits.parse().unwrap());
        assert_eq!(payer("01").unwrap().role, Role::Amo);
        assert_eq!(payer("1".repeat(8).as_str()).unwrap().role, Role::Amc);
        assert_eq!(payer("99"), None);
    }

    #[test]
    fn the_order_of_the_parts_does_not_matter() {
        let mut parts = parts(4, 1);
        let roster = Roster::new(parts.clone()).unwrap();
        parts.members.reverse();
        parts.shares.reverse();
        assert_eq!(Roster::new(parts), Ok(roster));
    }

    /// What a valid roster of four voting members is refused for after one change.
    fn refusal(change: impl FnOnce(&mut RosterParts)) -> RosterError {
        let mut parts = parts(4, 1);
        change(&mut parts);
        Roster::new(parts).unwrap_err()
    }

    #[test]
    fn members_that_break_a_rule_are_refused() {
        assert_eq!(
            refusal(|p| p.members[2].name = name(1)),
            RosterError::DuplicateName { name: name(1) }
        );
        assert_eq!(
            refusal(|p| p.members[2].public_key = secret(1).public()),
            RosterError::DuplicateKey { name: name(2) }
        );
        assert_eq!(
            refusal(|p| p.members[1].payer = p.members[0].payer.clone()),
            RosterError::DuplicatePayer { name: name(1) }
        );
        assert_eq!(
            refusal(|p| p.members[2].payer = Some("123".parse().unwrap())),
            RosterError::PayerRole { name: name(2) }
        );
        assert_eq!(
            refusal(|p| p
                .members
                .iter_mut()
                .for_each(|m| m.standing = Standing::Following)),
            RosterError::NoVotingMember
        );
        assert_eq!(refusal(|p| p.members.clear()), RosterError::NoVotingMember);
        assert_eq!(
            refusal(|p| p.members = parts(101, 0).members),
            RosterError::TooManyMembers { got: 101 }
        );
    }

    #[test]
    fn shares_that_break_a_rule_are_refused() {
        let index = NonZeroU16::MIN;
        assert_eq!(
            refusal(|p| p.shares[1].member = name(9)),
            RosterError::UnknownShareholder { name: name(9) }
        );
        assert_eq!(
            refusal(|p| p.shares[1].member = name(0)),
            RosterError::DuplicateShareholder { name: name(0) }
        );
        assert_eq!(
            refusal(|p| p.shares[1].index = index),
            RosterError::DuplicateShareIndex { index }
        );
        let threshold = NonZeroU16::new(5).unwrap();
        assert_eq!(
            refusal(|p| p.threshold = threshold),
            RosterError::Threshold {
                threshold,
                shares: 4
            }
        );
    }

    #[test]
    fn incident_keys_that_break_a_rule_are_refused() {
        let key = |member, seed| IncidentKey {
            member: name(member),
            public_key: crate::incident::IncidentSecretKey::from_bytes([seed; 32]).public(),
        };
        assert_eq!(
            refusal(|p| p.incident_keys = vec![key(9, 1)]),
            RosterError::UnknownIncidentMember { name: name(9) }
        );
        for second in [key(1, 2), key(2, 1)] {
            let of = second.member.clone();
            assert_eq!(
                refusal(|p| p.incident_keys = vec![key(1, 1), second]),
                RosterError::DuplicateIncidentKey { name: of }
            );
        }
        assert_eq!(
            refusal(|p| p.incident_keys = vec![key(1, 1); 17]),
            RosterError::TooManyIncidentKeys { got: 17 }
        );
    }

    #[test]
    fn a_roster_names_a_previous_one_exactly_after_epoch_0() {
        let hash = hash::empty();
        let epoch = Epoch::default();
        assert_eq!(
            refusal(|p| p.previous = Some(hash)),
            RosterError::Previous { epoch }
        );
        let epoch = Epoch::new(1);
        assert_eq!(
            refusal(|p| p.epoch = epoch),
            RosterError::Previous { epoch }
        );
        assert_eq!(Epoch::new(u64::MAX).next(), None);
    }

    #[test]
    fn a_hundred_members_fit_and_texts_beyond_the_limit_do_not() {
        let mut parts = parts(100, 0);
        assert!(Roster::new(parts.clone()).is_ok());
        for member in &mut parts.members {
            let host = "h".repeat(ADDRESS_BYTES_MAX - 5);
            member.grpc = Some(format!("{host}:7443").parse().unwrap());
            member.http = member.grpc.clone();
        }
        let got = text::format(&parts).len();
        assert!(got > ROSTER_BYTES_MAX);
        assert_eq!(Roster::new(parts), Err(RosterError::TooLong { got }));
    }

    #[test]
    fn a_signature_line_is_of_a_member_and_of_the_kind_that_was_asked() {
        let roster = federation(4, 1);
        let (text, kind) = ("a\n", SignatureKind::Ed25519);
        let sign = |signer, key| NoteSignature::sign(text, &name(signer), &secret(key));
        for signer in 0..5 {
            let member = roster.verify_signature(text, &sign(signer, signer), kind);
            assert_eq!(member.unwrap().name, name(signer));
        }
        assert_eq!(
            roster.verify_signature(text, &sign(5, 5), kind),
            Err(SignerError::Unknown { name: name(5) })
        );
        assert_eq!(
            roster.verify_signature(text, &sign(0, 1), kind),
            Err(SignerError::Bad {
                member: name(0),
                reason: NoteSignatureError::KeyId
            })
        );
        assert_eq!(
            roster.verify_signature("b\n", &sign(0, 0), kind),
            Err(SignerError::Bad {
                member: name(0),
                reason: NoteSignatureError::Signature
            })
        );
        let cosigned = NoteSignature::cosign(text, &name(0), &secret(0), UnixSeconds::new(1));
        assert_eq!(
            roster.verify_signature(text, &cosigned, kind),
            Err(SignerError::WrongKind { member: name(0) })
        );
    }
}
