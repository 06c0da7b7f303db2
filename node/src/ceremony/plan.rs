//! From the roster in force and what the operator wants to the plan that everybody computes.

use std::collections::BTreeMap;

use proto::dkg::{Kind, Participant, Plan, PlanParts};
use proto::ids::MemberName;
use proto::oprf::{ShareIndex, Threshold};
use proto::roster::{Address, Roster};

use super::CeremonyFailure;

/// What a ceremony is held for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// New joint keys, and so new tokens.
    Deal,
    /// New shares of the joint keys there are.
    Refresh,
    /// The shares of this member again, which it has lost.
    Repair(MemberName),
}

/// What the operators of all participants agreed on by other means, and each gives here.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// What it is held for.
    pub purpose: Purpose,
    /// How many shares evaluate together; only a deal chooses, otherwise it is the roster's.
    pub threshold: Option<u16>,
    /// Who takes part; nobody given: everybody who has a share. The member whose shares are
    /// repaired takes part whether it is given or not.
    pub participants: Vec<MemberName>,
    /// Which attempt under this roster it is, from 1.
    pub attempt: u32,
    /// Where participants are reached for the ceremony, if not where the roster says.
    pub peers: BTreeMap<MemberName, Address>,
}

impl Wanted {
    /// The plan under this roster. In a deal the indexes are 1, 2, ... in the order of names;
    /// otherwise everybody keeps its own.
    ///
    /// # Errors
    /// [`CeremonyFailure`] for a name that is no member's or has no share, or a rule of plans.
    pub(super) fn plan(&self, roster: &Roster) -> Result<Plan, CeremonyFailure> {
        let in_force = Threshold::new(roster.threshold().get());
        let (kind, threshold, participants) = match &self.purpose {
            Purpose::Deal => {
                let threshold = self.threshold.and_then(Threshold::new);
                (Kind::Deal, threshold, self.dealt(roster)?)
            }
            Purpose::Refresh => {
                let names = self.sharing(roster);
                (Kind::Refresh, in_force, indexed(roster, names)?)
            }
            Purpose::Repair(member) => {
                let mut names = self.sharing(roster);
                if !names.contains(member) {
                    names.push(member.clone());
                }
                let kind = Kind::Repair(index(roster, member)?);
                (kind, in_force, indexed(roster, names)?)
            }
        };
        Ok(Plan::new(PlanParts {
            kind,
            origin: roster.origin().clone(),
            roster: roster.hash(),
            attempt: self.attempt,
            threshold: threshold.ok_or(CeremonyFailure::Threshold)?,
            participants,
        })?)
    }

    fn dealt(&self, roster: &Roster) -> Result<Vec<Participant>, CeremonyFailure> {
        let mut names = self.participants.clone();
        names.sort();
        let indexes = (1..).filter_map(ShareIndex::new);
        names
            .into_iter()
            .zip(indexes)
            .map(|(name, index)| participant(roster, name, index))
            .collect()
    }

    /// Who takes part of those that have a share.
    fn sharing(&self, roster: &Roster) -> Vec<MemberName> {
        let everybody = roster.shares().iter().map(|share| share.member.clone());
        match self.participants.is_empty() {
            true => everybody.collect(),
            false => self.participants.clone(),
        }
    }

    /// Where this participant is reached.
    pub(super) fn address(
        &self,
        roster: &Roster,
        member: &MemberName,
    ) -> Result<Address, CeremonyFailure> {
        let published = || roster.member(member)?.grpc.clone();
        let address = self.peers.get(member).cloned().or_else(published);
        address.ok_or_else(|| CeremonyFailure::NoAddress {
            member: member.clone(),
        })
    }
}

/// These members with the indexes that their shares have.
fn indexed(roster: &Roster, names: Vec<MemberName>) -> Result<Vec<Participant>, CeremonyFailure> {
    let with_index = names.into_iter().map(|name| {
        let index = index(roster, &name)?;
        participant(roster, name, index)
    });
    with_index.collect()
}

fn index(roster: &Roster, member: &MemberName) -> Result<ShareIndex, CeremonyFailure> {
    let share = roster.share(member);
    let index = share.and_then(|share| ShareIndex::new(share.index.get()));
    index.ok_or_else(|| CeremonyFailure::NoShare {
        member: member.clone(),
    })
}

fn participant(
    roster: &Roster,
    name: MemberName,
    index: ShareIndex,
) -> Result<Participant, CeremonyFailure> {
    match roster.member(&name) {
        Some(member) => Ok(Participant {
            public_key: member.public_key,
            name,
            index,
        }),
        None => Err(CeremonyFailure::NotAMember { member: name }),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use proto::dkg::PlanError;
    use proto::oprf::{JointSecret, SecretShare};
    use proto::roster::{Element, Epoch, MemberShare, OprfElements};

    use super::*;
    use crate::example::roster_parts;

    fn name(name: &str) -> MemberName {
        name.parse().unwrap()
    }

    /// A roster in which amc, cnam and other-amc share keys, any two of them, and opticians not.
    fn roster() -> Roster {
        let mut parts = roster_parts(Epoch::default(), None);
        let two = Threshold::new(2).unwrap();
        let joint = JointSecret::derive(&[1; 32], b"ceremony tests").unwrap();
        let shares = joint.split(two, ShareIndex::new(3).unwrap(), &[[8; 64]]);
        let both = |public: [u8; 32]| {
            let element = Element::from_bytes(public).unwrap();
            OprfElements {
                person: element,
                contract: element,
            }
        };
        let sharing = ["amc", "cnam", "other-amc"]
            .into_iter()
            .zip(shares.unwrap());
        let published = |(member, share): (&str, SecretShare)| MemberShare {
            member: name(member),
            index: NonZeroU16::new(share.index().get()).unwrap(),
            public: both(share.public().to_bytes()),
        };
        parts.shares = sharing.map(published).collect();
        parts.threshold = NonZeroU16::new(2).unwrap();
        parts.joint = both(joint.public().to_bytes());
        Roster::new(parts).unwrap()
    }

    fn repair(member: &str, participants: &[&str]) -> Result<Plan, CeremonyFailure> {
        let wanted = Wanted {
            purpose: Purpose::Repair(name(member)),
            threshold: None,
            participants: participants.iter().copied().map(name).collect(),
            attempt: 1,
            peers: BTreeMap::new(),
        };
        wanted.plan(&roster())
    }

    #[test]
    fn the_repaired_member_takes_part_whether_it_is_named_or_not() {
        let plan = repair("other-amc", &["amc", "cnam"]).unwrap();
        assert_eq!(plan.repaired(), ShareIndex::new(3));
        assert_eq!(plan.participants().len(), 3);
        for participants in [&["cnam", "other-amc", "amc"][..], &[]] {
            let same = repair("other-amc", participants).unwrap();
            assert_eq!(same.id(), plan.id());
        }
    }

    #[test]
    fn a_repair_by_too_few_or_of_nobodys_share_is_refused_before_anything_is_said() {
        let two = Threshold::new(2).unwrap();
        let few = repair("other-amc", &["amc"]).unwrap_err();
        assert!(matches!(
            few,
            CeremonyFailure::Plan(PlanError::Helpers { threshold, helpers: 1 }) if threshold == two
        ));
        for (member, helpers) in [
            ("opticians", &["amc", "cnam"][..]),
            ("amc", &["cnam", "opticians"][..]),
        ] {
            let none = repair(member, helpers).unwrap_err();
            let CeremonyFailure::NoShare { member } = none else {
                panic!("{none}");
            };
            assert_eq!(member.as_str(), "opticians");
        }
    }
}
