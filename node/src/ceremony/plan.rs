//! From the roster in force and what the operator wants to the plan that everybody computes.

use std::collections::BTreeMap;

use proto::dkg::{Kind, Participant, Plan, PlanParts};
use proto::ids::MemberName;
use proto::oprf::{ShareIndex, Threshold};
use proto::roster::{Address, Roster};

use super::CeremonyFailure;

/// What the operators of all participants agreed on by other means, and each gives here.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Whether new keys are made, or the shares of the ones there are.
    pub kind: Kind,
    /// How many shares evaluate together; in a refresh it is the roster's.
    pub threshold: Option<u16>,
    /// Who takes part; nobody given in a refresh: everybody who has a share.
    pub participants: Vec<MemberName>,
    /// Which attempt under this roster it is, from 1.
    pub attempt: u32,
    /// Where participants are reached for the ceremony, if not where the roster says.
    pub peers: BTreeMap<MemberName, Address>,
}

impl Wanted {
    /// The plan under this roster. In a deal the indexes are 1, 2, ... in the order of names; in
    /// a refresh everybody keeps its own.
    ///
    /// # Errors
    /// [`CeremonyFailure`] for a name that is no member's or has no share, or a rule of plans.
    pub(super) fn plan(&self, roster: &Roster) -> Result<Plan, CeremonyFailure> {
        let threshold = match self.kind {
            Kind::Deal => self.threshold.and_then(Threshold::new),
            Kind::Refresh => Threshold::new(roster.threshold().get()),
        };
        let participants = match self.kind {
            Kind::Deal => self.dealt(roster)?,
            Kind::Refresh => self.refreshed(roster)?,
        };
        Ok(Plan::new(PlanParts {
            kind: self.kind,
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

    fn refreshed(&self, roster: &Roster) -> Result<Vec<Participant>, CeremonyFailure> {
        let everybody = roster.shares().iter().map(|share| share.member.clone());
        let names = match self.participants.is_empty() {
            true => everybody.collect(),
            false => self.participants.clone(),
        };
        let with_index = names.into_iter().map(|name| {
            let share = roster.share(&name);
            let index = share.and_then(|share| ShareIndex::new(share.index.get()));
            match index {
                Some(index) => participant(roster, name, index),
                None => Err(CeremonyFailure::NoShare { member: name }),
            }
        });
        with_index.collect()
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
