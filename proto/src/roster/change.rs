//! What members decide about who they are: the roster that comes of it, and in words what is new
//! in a roster before one signs it.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroU16;

use thiserror::Error;

use super::{
    Address, Element, IncidentKey, Member, Roster, RosterError, RosterParts, Standing,
    faults_tolerated,
};
use crate::ids::MemberName;
use crate::incident::IncidentPublicKey;
use crate::signing::PublicKey;

/// One change to who the members are. Shares and joint keys are a key ceremony's business.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// A new member. It begins without a vote.
    Join {
        /// The member as it asks to be listed.
        member: Box<Member>,
        /// What access records are to be sealed to for it, if it looks into incidents.
        incident: Option<IncidentPublicKey>,
    },
    /// A member gets a vote.
    Vote(MemberName),
    /// A member loses its vote, and goes on following.
    Unvote(MemberName),
    /// A member leaves, and its share and incident key with it.
    Leave(MemberName),
    /// A member has another key.
    Rotate {
        /// Whose.
        member: MemberName,
        /// The new key.
        public_key: PublicKey,
    },
    /// A member is reached elsewhere.
    Move {
        /// Whose node.
        member: MemberName,
        /// Where it serves gRPC from now on.
        grpc: Option<Address>,
        /// Where it serves pages from now on.
        http: Option<Address>,
    },
}

/// Why no roster comes of a change.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChangeError {
    /// There is no epoch after the last one.
    #[error("there is no roster after epoch {0}")]
    LastEpoch(u64),
    /// Nothing changes.
    #[error("nothing is to change")]
    Nothing,
    /// The roster has no such member.
    #[error("{0} is not a member")]
    Unknown(MemberName),
    /// The roster has a member of this name.
    #[error("{0} is a member already")]
    Known(MemberName),
    /// A new member does not vote from the first moment: its node has to catch up first.
    #[error("{0} must join without a vote, and gets it by a later roster")]
    JoinsVoting(MemberName),
    /// The member votes already.
    #[error("{0} votes already")]
    Votes(MemberName),
    /// The member has no vote that it could lose.
    #[error("{0} has no vote")]
    VotesNot(MemberName),
    /// Too few shares would be left to make a token.
    #[error(
        "without {member} there are {left} shares of the joint keys, a token takes {threshold}"
    )]
    Shares {
        /// Who was to leave.
        member: MemberName,
        /// How many shares are left.
        left: usize,
        /// How many it takes.
        threshold: NonZeroU16,
    },
    /// The roster that comes of it breaks a rule.
    #[error(transparent)]
    Roster(#[from] RosterError),
}

impl Roster {
    /// The next roster: this one with these changes, one after the other.
    ///
    /// # Errors
    /// [`ChangeError`], the first change that cannot be made.
    pub fn after_changes(&self, changes: &[MemberChange]) -> Result<Self, ChangeError> {
        let last = ChangeError::LastEpoch(self.epoch().get());
        let mut parts = self.parts.clone();
        parts.epoch = self.epoch().next().ok_or(last)?;
        parts.previous = Some(self.hash());
        for change in changes {
            apply(&mut parts, change)?;
        }
        let next = Self::new(parts)?;
        match next.differences(self).is_empty() {
            true => Err(ChangeError::Nothing),
            false => Ok(next),
        }
    }

    /// In words, all that is new in this roster after `previous`, epoch and hash aside: one
    /// sentence for each fact, none of which is left out.
    #[must_use]
    pub fn differences(&self, previous: &Self) -> Vec<Difference> {
        let mut found = Vec::new();
        let names = self.members().iter().chain(previous.members());
        let names: BTreeSet<_> = names.map(|member| &member.name).collect();
        for name in &names {
            member_differences(&mut found, previous.member(name), self.member(name));
        }
        for name in &names {
            let (was, is) = (previous.share(name), self.share(name));
            if was != is {
                let (name, has) = ((*name).clone(), is.is_some());
                found.push(Difference::Share { name, has });
            }
            if previous.incident_key(name) != self.incident_key(name) {
                let (name, has) = ((*name).clone(), self.incident_key(name).is_some());
                found.push(Difference::IncidentKey { name, has });
            }
        }
        let (was, is) = (&previous.parts, &self.parts);
        if was.threshold != is.threshold {
            let (was, is) = (was.threshold, is.threshold);
            found.push(Difference::Threshold { was, is });
        }
        let joint: [(&'static str, &Element, &Element); 2] = [
            ("person", &was.joint.person, &is.joint.person),
            ("contract", &was.joint.contract, &is.joint.contract),
        ];
        let changed = joint.into_iter().filter(|(_, was, is)| was != is);
        found.extend(changed.map(|(name, ..)| Difference::JointKey(name)));
        if was.ceremony != is.ceremony {
            found.push(Difference::Ceremony);
        }
        if was.origin != is.origin {
            found.push(Difference::Origin);
        }
        let (was, is) = (Strength::of(previous), Strength::of(self));
        if was != is {
            found.push(Difference::Strength { was, is });
        }
        found
    }
}

fn apply(parts: &mut RosterParts, change: &MemberChange) -> Result<(), ChangeError> {
    match change {
        MemberChange::Join { member, incident } => join(parts, member, *incident),
        MemberChange::Vote(name) => {
            let member = listed(parts, name)?;
            if member.is_voting() {
                return Err(ChangeError::Votes(name.clone()));
            }
            member.standing = Standing::Voting;
            Ok(())
        }
        MemberChange::Unvote(name) => {
            let member = listed(parts, name)?;
            if !member.is_voting() {
                return Err(ChangeError::VotesNot(name.clone()));
            }
            member.standing = Standing::Following;
            Ok(())
        }
        MemberChange::Leave(name) => leave(parts, name),
        MemberChange::Rotate { member, public_key } => {
            listed(parts, member)?.public_key = *public_key;
            Ok(())
        }
        MemberChange::Move { member, grpc, http } => {
            let member = listed(parts, member)?;
            (member.grpc, member.http) = (grpc.clone(), http.clone());
            Ok(())
        }
    }
}

fn listed<'a>(
    parts: &'a mut RosterParts,
    name: &MemberName,
) -> Result<&'a mut Member, ChangeError> {
    let mut members = parts.members.iter_mut();
    let member = members.find(|member| member.name == *name);
    member.ok_or_else(|| ChangeError::Unknown(name.clone()))
}

fn join(
    parts: &mut RosterParts,
    member: &Member,
    incident: Option<IncidentPublicKey>,
) -> Result<(), ChangeError> {
    let name = &member.name;
    if parts.members.iter().any(|it| it.name == *name) {
        return Err(ChangeError::Known(name.clone()));
    }
    if member.is_voting() {
        return Err(ChangeError::JoinsVoting(name.clone()));
    }
    parts.members.push(member.clone());
    parts
        .incident_keys
        .extend(incident.map(|public_key| IncidentKey {
            member: name.clone(),
            public_key,
        }));
    Ok(())
}

fn leave(parts: &mut RosterParts, name: &MemberName) -> Result<(), ChangeError> {
    listed(parts, name)?;
    parts.members.retain(|it| it.name != *name);
    parts.incident_keys.retain(|it| it.member != *name);
    let held = parts.shares.len();
    parts.shares.retain(|it| it.member != *name);
    let (left, threshold) = (parts.shares.len(), parts.threshold);
    if left < held && left < usize::from(threshold.get()) {
        let member = name.clone();
        return Err(ChangeError::Shares {
            member,
            left,
            threshold,
        });
    }
    Ok(())
}

/// How many members vote, and what follows from that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strength {
    /// How many vote.
    pub voting: usize,
    /// How many must cosign.
    pub quorum: usize,
    /// How many may lie.
    pub faults: usize,
}

impl Strength {
    /// That of a roster.
    #[must_use]
    pub fn of(roster: &Roster) -> Self {
        let voting = roster.voting_members().count();
        Self {
            voting,
            quorum: roster.quorum(),
            faults: faults_tolerated(voting),
        }
    }
}

/// One thing that is new in a roster. Its display is a sentence for whoever is to sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A new member.
    Joins(Box<Member>),
    /// A member is gone.
    Leaves(MemberName),
    /// Whether a member votes has changed.
    Votes {
        /// Whose vote.
        name: MemberName,
        /// Whether it has one now.
        has: bool,
    },
    /// A member has another key.
    Key {
        /// Whose.
        name: MemberName,
        /// The key before.
        was: Box<PublicKey>,
        /// The key now.
        is: Box<PublicKey>,
    },
    /// A member is reached elsewhere.
    Address(Box<Member>),
    /// A member has another role or payer number: it is as good as another organisation.
    Role(Box<Member>),
    /// A member's public shares have changed.
    Share {
        /// Whose.
        name: MemberName,
        /// Whether it has any now.
        has: bool,
    },
    /// A member's incident key has changed.
    IncidentKey {
        /// Whose.
        name: MemberName,
        /// Whether it has one now.
        has: bool,
    },
    /// Another number of shares makes a token.
    Threshold {
        /// The number before.
        was: NonZeroU16,
        /// The number now.
        is: NonZeroU16,
    },
    /// A joint key is another one: all tokens change.
    JointKey(&'static str),
    /// A key ceremony led to the shares.
    Ceremony,
    /// It is the roster of another ledger.
    Origin,
    /// How many vote has changed.
    Strength {
        /// Before.
        was: Strength,
        /// Now.
        is: Strength,
    },
}

fn member_differences(found: &mut Vec<Difference>, was: Option<&Member>, is: Option<&Member>) {
    let (was, is) = match (was, is) {
        (Some(was), Some(is)) => (was, is),
        (None, Some(is)) => return found.push(Difference::Joins(Box::new(is.clone()))),
        (Some(was), None) => return found.push(Difference::Leaves(was.name.clone())),
        (None, None) => return,
    };
    let name = || is.name.clone();
    if was.standing != is.standing {
        let (name, has) = (name(), is.is_voting());
        found.push(Difference::Votes { name, has });
    }
    if was.public_key != is.public_key {
        let (name, was, is) = (name(), was.public_key.into(), is.public_key.into());
        found.push(Difference::Key { name, was, is });
    }
    if (&was.grpc, &was.http) != (&is.grpc, &is.http) {
        found.push(Difference::Address(Box::new(is.clone())));
    }
    if (was.role, &was.payer) != (is.role, &is.payer) {
        found.push(Difference::Role(Box::new(is.clone())));
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joins(it) => {
                write!(f, "{} joins, {}: {}", it.name, it.standing.as_str(), As(it))?;
                write!(f, ", key {}, {}", it.public_key.to_base64(), At(it))
            }
            Self::Leaves(name) => write!(f, "{name} leaves"),
            Self::Votes { name, has: true } => write!(f, "{name} gets a vote"),
            Self::Votes { name, has: false } => write!(f, "{name} loses its vote"),
            Self::Key { name, was, is } => {
                let (was, is) = (was.to_base64(), is.to_base64());
                write!(f, "{name} has the key {is} in place of {was}")
            }
            Self::Address(it) => write!(f, "{} is reached elsewhere: {}", it.name, At(it)),
            Self::Role(it) => write!(f, "{} becomes another organisation: {}", it.name, As(it)),
            Self::Share { name, has: true } => write!(f, "{name} has new public shares"),
            Self::Share { name, has: false } => write!(f, "{name} has no share any more"),
            Self::IncidentKey { name, has: true } => write!(f, "{name} has a new incident key"),
            Self::IncidentKey { name, has: false } => {
                write!(f, "{name} has no incident key any more")
            }
            Self::Threshold { was, is } => {
                write!(f, "a token takes {is} shares in place of {was}")
            }
            Self::JointKey(name) => write!(f, "the joint {name} key is another: tokens change"),
            Self::Ceremony => f.write_str("the shares are of another key ceremony"),
            Self::Origin => f.write_str("it is the roster of another ledger"),
            Self::Strength { was, is } => {
                let Strength {
                    voting,
                    quorum,
                    faults,
                } = is;
                write!(f, "{voting} members vote in place of {}: ", was.voting)?;
                write!(f, "{quorum} of them are a quorum, {faults} may lie")
            }
        }
    }
}

/// What a member is.
struct As<'a>(&'a Member);

impl fmt::Display for As<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.role.as_str())?;
        match &self.0.payer {
            Some(payer) => write!(f, ", payer {}", payer.as_str()),
            None => Ok(()),
        }
    }
}

/// Where a member is reached.
struct At<'a>(&'a Member);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |address: &Option<Address>| match address {
            Some(address) => address.as_str().to_owned(),
            None => "nowhere".to_owned(),
        };
        write!(f, "gRPC at {}, ", text(&self.0.grpc))?;
        write!(f, "pages at {}", text(&self.0.http))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Role;
    use super::super::example::{element, federation, name, parts, secret};
    use super::*;
    use crate::hash::Hash;

    fn newcomer(voting: bool) -> Member {
        Member {
            name: name(9),
            role: Role::Amc,
            payer: Some("33333333".parse().unwrap()),
            standing: if voting {
                Standing::Voting
            } else {
                Standing::Following
            },
            public_key: secret(9).public(),
            grpc: Some("nine.example:7443".parse().unwrap()),
            http: None,
        }
    }

    fn join(voting: bool) -> MemberChange {
        MemberChange::Join {
            member: Box::new(newcomer(voting)),
            incident: None,
        }
    }

    #[test]
    fn a_newcomer_follows_and_votes_by_a_later_roster() {
        let first = federation(3, 0);
        let joined = first.after_changes(&[join(false)]).unwrap();
        assert_eq!(joined.previous(), Some(first.hash()));
        assert_eq!(Some(joined.epoch()), first.epoch().next());
        assert!(!joined.member(&name(9)).unwrap().is_voting());
        let voting = joined.after_changes(&[MemberChange::Vote(name(9))]);
        assert_eq!(voting.unwrap().quorum(), 3);
        assert_eq!(
            first.after_changes(&[join(true)]),
            Err(ChangeError::JoinsVoting(name(9)))
        );
        assert_eq!(
            joined.after_changes(&[join(false)]),
            Err(ChangeError::Known(name(9)))
        );
    }

    #[test]
    fn who_leaves_takes_its_share_along_as_long_as_tokens_can_be_made() {
        let roster = federation(3, 0);
        let left = roster
            .after_changes(&[MemberChange::Leave(name(2))])
            .unwrap();
        assert_eq!((left.members().len(), left.shares().len()), (2, 2));
        assert_eq!(
            left.after_changes(&[MemberChange::Leave(name(1))]),
            Err(ChangeError::Shares {
                member: name(1),
                left: 1,
                threshold: NonZeroU16::new(2).unwrap(),
            })
        );
        assert_eq!(
            left.after_changes(&[MemberChange::Leave(name(2))]),
            Err(ChangeError::Unknown(name(2)))
        );
    }

    #[test]
    fn what_changes_nothing_is_no_roster() {
        let roster = federation(3, 1);
        assert_eq!(roster.after_changes(&[]), Err(ChangeError::Nothing));
        let votes = ChangeError::Votes(name(0));
        assert_eq!(
            roster.after_changes(&[MemberChange::Vote(name(0))]),
            Err(votes)
        );
        let same = MemberChange::Rotate {
            member: name(0),
            public_key: secret(0).public(),
        };
        assert_eq!(roster.after_changes(&[same]), Err(ChangeError::Nothing));
        let taken = MemberChange::Rotate {
            member: name(0),
            public_key: secret(1).public(),
        };
        let refused = roster.after_changes(&[taken]);
        assert!(matches!(refused, Err(ChangeError::Roster(_))));
    }

    #[test]
    fn the_words_are_those_a_signer_reads() {
        let roster = federation(3, 0);
        let next = roster.after_changes(&[
            join(false),
            MemberChange::Unvote(name(2)),
            MemberChange::Rotate {
                member: name(1),
                public_key: secret(8).public(),
            },
        ]);
        let words = next.unwrap().differences(&roster);
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        let (old, new) = (
            secret(1).public().to_base64(),
            secret(8).public().to_base64(),
        );
        let key = secret(9).public().to_base64();
        assert_eq!(
            words,
            [
                format!("member-01 has the key {new} in place of {old}"),
                "member-02 loses its vote".to_owned(),
                format!(
                    "member-09 joins, following: amc, payer 33333333, key {key}, \
                     gRPC at nine.example:7443, pages at nowhere"
                ),
                "2 members vote in place of 3: 2 of them are a quorum, 0 may lie".to_owned(),
            ]
        );
    }

    /// Whoever signs must see whatever is new: each part is changed alone, and each is told.
    #[test]
    fn nothing_that_a_roster_says_changes_without_a_word() {
        let previous = federation(4, 1);
        let changes: [fn(&mut RosterParts); 13] = [
            |it| it.origin = "vitrail.example/audio".parse().unwrap(),
            |it| it.threshold = NonZeroU16::new(3).unwrap(),
            |it| it.joint.person = element(7),
            |it| it.joint.contract = element(7),
            |it| it.ceremony = Some(Hash::from_bytes([1; 32])),
            |it| it.members[1].role = Role::Amo,
            |it| it.members[1].payer = None,
            |it| it.members[1].grpc = None,
            |it| it.members[1].http = None,
            |it| it.members[4].standing = Standing::Voting,
            |it| it.members[0].public_key = secret(40).public(),
            |it| it.shares[0].public.person = element(9),
            |it| {
                it.shares.pop();
            },
        ];
        for (place, change) in changes.iter().enumerate() {
            let mut next = parts(4, 1);
            next.epoch = previous.epoch().next().unwrap();
            next.previous = Some(previous.hash());
            assert!(differs(&next, &previous).is_empty());
            change(&mut next);
            assert!(!differs(&next, &previous).is_empty(), "{place}");
        }
    }

    fn differs(next: &RosterParts, previous: &Roster) -> Vec<Difference> {
        Roster::new(next.clone()).unwrap().differences(previous)
    }
}
