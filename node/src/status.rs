//! How a federation is: who leads, who votes, who is behind, and how many may still fail.
//!
//! Every member's node is asked for what it knows; what a node says of others counts only as far
//! as it is signed. One that does not answer is a member that is away.

use std::collections::BTreeMap;

use proto::ids::{MemberName, UnixSeconds};
use proto::roster::{Address, Roster};
use proto::signing::SecretKey;
use proto::wire::status::{NodeStatus, SeatStatus};
use schemars::JsonSchema;
use serde::Serialize;
use thiserror::Error;
use tokio::task::JoinSet;

use crate::clock;
use crate::peer::Peer;
use crate::presence;
use crate::tls::TlsError;

/// Why nothing can be said.
#[derive(Debug, Error)]
pub enum StatusError {
    /// The way to a node cannot be prepared.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody answers.
    #[error("neither the own node nor any other member's answers")]
    NobodyAnswers,
}

/// Where a member's node stands in the ordering engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Seat {
    /// It votes.
    Votes,
    /// It gets every batch and has no vote.
    Learns,
    /// It has none.
    None,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// Whether it votes in the roster.
    pub voting: bool,
    /// Where its node stands in the ordering engine.
    pub seat: Seat,
    /// What its node says that it does; absent when it does not answer.
    pub condition: Option<String>,
    /// How many entries it is behind the largest state that a quorum vouches for.
    pub behind: Option<u64>,
    /// The size of its newest cosignature that any node holds.
    pub cosigned: Option<u64>,
    /// How long ago it made that one, in seconds.
    pub cosigned_ago_s: Option<u64>,
    /// Whether its cosignature of the newest state is still missing.
    pub missing: bool,
}

/// The federation, as its nodes show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FederationStatus {
    /// The ledger.
    pub origin: String,
    /// Which roster is in force.
    pub epoch: u64,
    /// The largest size that a quorum vouches for.
    pub size: u64,
    /// Who leads, if the nodes that were asked agree on anybody.
    pub leader: Option<String>,
    /// How many voting members must cosign.
    pub quorum: usize,
    /// How many of the voting members that answer may fail, one after the other, before nothing
    /// can be written any more.
    pub may_fail: usize,
    /// Every member, as the roster lists them.
    pub members: Vec<MemberStatus>,
}

/// Asks the own node, then every member of the roster in force.
///
/// # Errors
/// [`StatusError`].
pub async fn ask(
    name: &MemberName,
    address: &Address,
    first: &Roster,
    secret: &SecretKey,
) -> Result<FederationStatus, StatusError> {
    let own = Peer::open(name.clone(), secret.public(), address, secret)?;
    let mut answers = all(vec![own]).await;
    let known = newest_roster(&answers).unwrap_or_else(|| first.clone());
    answers.extend(all(Peer::all(&known, secret)?).await);
    let roster = newest_roster(&answers).ok_or(StatusError::NobodyAnswers)?;
    Ok(summary(&roster, &answers, clock::now().seconds()))
}

/// Asks all of them at the same time: two seconds at most.
async fn all(peers: Vec<Peer>) -> BTreeMap<MemberName, NodeStatus> {
    let mut asked = JoinSet::new();
    for peer in peers {
        asked.spawn(async move { Some((peer.member().clone(), peer.status().await.ok()?)) });
    }
    asked.join_all().await.into_iter().flatten().collect()
}

/// Each node was reached over its member's key, and shows the roster that its ledger admitted.
fn newest_roster(answers: &BTreeMap<MemberName, NodeStatus>) -> Option<Roster> {
    let rosters = answers.values().map(|status| status.roster.admitted());
    rosters.max_by_key(|roster| roster.epoch()).cloned()
}

fn summary(
    roster: &Roster,
    answers: &BTreeMap<MemberName, NodeStatus>,
    now: UnixSeconds,
) -> FederationStatus {
    let certified = |status: &NodeStatus| {
        let verified = status.checkpoint.verify(roster).ok()?;
        Some(verified.size().get())
    };
    let size = answers.values().filter_map(certified).max().unwrap_or(0);
    let held = answers
        .values()
        .flat_map(|status| status.cosignatures.iter().chain([&status.checkpoint]));
    let cosigned = presence::newest(roster, held);
    let leader = leader(answers);
    let seats = seats(leader.as_ref(), answers);
    let members: Vec<_> = roster
        .members()
        .iter()
        .map(|member| {
            let answer = answers.get(&member.name);
            let newest = cosigned.get(&member.name);
            let cosigned = newest.map(|it| it.size);
            let held = answer.and_then(certified);
            MemberStatus {
                name: member.name.to_string(),
                voting: member.is_voting(),
                seat: seat(&member.name, seats),
                condition: answer.map(|it| it.condition.clone()),
                behind: held.map(|held| size.saturating_sub(held)),
                cosigned,
                cosigned_ago_s: newest.map(|it| it.seconds_ago(now)),
                missing: member.is_voting() && cosigned.is_none_or(|cosigned| cosigned < size),
            }
        })
        .collect();
    FederationStatus {
        origin: roster.origin().to_string(),
        epoch: roster.epoch().get(),
        size,
        leader: leader.map(|it| it.to_string()),
        quorum: roster.quorum(),
        may_fail: may_fail(roster.quorum(), seats, &members),
        members,
    }
}

/// Whom most nodes see leading.
fn leader(answers: &BTreeMap<MemberName, NodeStatus>) -> Option<MemberName> {
    let mut seen: BTreeMap<&MemberName, usize> = BTreeMap::new();
    for leader in answers.values().filter_map(|it| it.leader.as_ref()) {
        *seen.entry(leader).or_default() += 1;
    }
    let most = seen.into_iter().max_by_key(|(_, count)| *count);
    most.map(|(leader, _)| leader.clone())
}

/// The seats as the leader gives them; without one as whoever has an engine knows them.
fn seats<'a>(
    leader: Option<&MemberName>,
    answers: &'a BTreeMap<MemberName, NodeStatus>,
) -> &'a [SeatStatus] {
    let of_leader = leader.and_then(|leader| answers.get(leader));
    let any = answers.values().find(|status| !status.seats.is_empty());
    of_leader.or(any).map_or(&[], |status| &status.seats)
}

fn seat(name: &MemberName, seats: &[SeatStatus]) -> Seat {
    let own = seats.iter().filter(|seat| seat.member == *name);
    match own.map(|seat| seat.votes).max() {
        None => Seat::None,
        Some(true) => Seat::Votes,
        Some(false) => Seat::Learns,
    }
}

/// Both a quorum of cosignatures and a majority of the engine's votes must be left.
fn may_fail(quorum: usize, seats: &[SeatStatus], members: &[MemberStatus]) -> usize {
    let well = |it: &&MemberStatus| it.voting && it.condition.is_some() && it.seat == Seat::Votes;
    let well = members.iter().filter(well).count();
    let majority = seats.iter().filter(|seat| seat.votes).count() / 2 + 1;
    well.saturating_sub(quorum.max(majority))
}

#[cfg(test)]
mod tests {
    use proto::checkpoint::{Checkpoint, SignedCheckpoint};
    use proto::hash;
    use proto::ids::{TreeSize, UnixSeconds};
    use proto::roster::{RosterParts, SignedRoster, Standing};

    use super::*;
    use crate::example::{first_roster, secret};

    /// The example federation, with a vote for every member.
    fn roster() -> Roster {
        let first = first_roster();
        let first = first.admitted();
        let mut members = first.members().to_vec();
        for member in &mut members {
            member.standing = Standing::Voting;
        }
        Roster::new(RosterParts {
            origin: first.origin().clone(),
            epoch: first.epoch(),
            previous: None,
            threshold: first.threshold(),
            joint: *first.joint(),
            ceremony: None,
            members,
            shares: first.shares().to_vec(),
            incident_keys: first.incident_keys().to_vec(),
        })
        .unwrap()
    }

    fn cosigned_by(roster: &Roster, size: u64, names: &[&MemberName]) -> SignedCheckpoint {
        let checkpoint = Checkpoint {
            origin: roster.origin().clone(),
            size: TreeSize::new(size),
            log_root: hash::empty(),
            map_root: hash::empty(),
        };
        let lines = names.iter().map(|name| {
            let key = secret(name.as_str());
            checkpoint.cosign(name, &key, UnixSeconds::new(size))
        });
        let lines = lines.collect();
        SignedCheckpoint::new(checkpoint, lines).unwrap()
    }

    #[test]
    fn a_member_that_is_away_is_missing_and_nobody_more_may_fail() {
        let roster = roster();
        let names: Vec<_> = roster.members().iter().map(|it| &it.name).collect();
        let (away, here) = names.split_last().unwrap();
        let seats: Vec<_> = names
            .iter()
            .zip(1..)
            .map(|(name, engine_id)| SeatStatus {
                member: (*name).clone(),
                engine_id,
                votes: true,
            })
            .collect();
        let line = roster.sign(here[0], &secret(here[0].as_str()));
        let status = NodeStatus {
            checkpoint: cosigned_by(&roster, 9, here),
            cosignatures: vec![cosigned_by(&roster, 5, &[away])],
            roster: SignedRoster::new(roster.clone(), vec![line]).unwrap(),
            leader: Some(here[0].clone()),
            seats,
            condition: "following".to_owned(),
        };
        let answers = here.iter().map(|name| ((*name).clone(), status.clone()));
        let told = summary(&roster, &answers.collect(), UnixSeconds::new(10));
        assert_eq!((told.size, told.leader), (9, Some(here[0].to_string())));
        assert_eq!(told.may_fail, here.len() - told.quorum);
        let last = told.members.last().unwrap();
        assert_eq!(
            (last.cosigned, last.missing, last.behind),
            (Some(5), true, None)
        );
        assert!(told.members[..here.len()].iter().all(|it| !it.missing));
        // A signature of another key counts for nothing.
        let mut forged = status.clone();
        forged.cosignatures = vec![{
            let checkpoint = cosigned_by(&roster, 9, &[here[0]]).claimed().clone();
            let line = checkpoint.cosign(away, &secret("nobody"), UnixSeconds::new(9));
            SignedCheckpoint::new(checkpoint, vec![line]).unwrap()
        }];
        let told = summary(
            &roster,
            &[(here[0].clone(), forged)].into(),
            UnixSeconds::new(10),
        );
        assert!(told.members.last().unwrap().missing);
    }
}
