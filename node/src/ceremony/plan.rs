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
