//! Which memberships a member's engine may take.

use std::collections::BTreeMap;

use proto::roster::{Epoch, Standing};

use super::*;
use crate::engine::{CommittedLeaderId, Seat, StoredMembership};
use crate::example::roster_parts;

/// The four members, of which these vote.
fn roster(voting: &[&str]) -> Roster {
    let mut parts = roster_parts(Epoch::default(), None);
    for member in &mut parts.members {
        member.standing = match voting.contains(&member.name.as_str()) {
            true => Standing::Voting,
            false => Standing::Following,
        };
    }
    Roster::new(parts).unwrap()
}

/// One seat for each name, in this order; these sets of them vote.
fn membership(seats: &[&str], sets: &[&[u64]]) -> Membership {
    let seat = |(id, name): (u64, &&str)| {
        let member = name.parse().unwrap();
        (EngineId::new(id), Seat { member })
    };
    let seats: BTreeMap<_, _> = (1..).zip(seats).map(seat).collect();
    let sets = sets
        .iter()
        .map(|set| set.iter().map(|id| EngineId::new(*id)).collect());
    Membership::new(sets.collect(), seats).unwrap()
}

const ALL: [&str; 4] = ["cnam", "amc", "other-amc", "opticians"];

fn takes(next: &Membership, now: &Membership, roster: &Roster) -> bool {
    takes_as(false, next, now, roster)
}

/// The same for a node that has no vote yet, or that has one.
fn takes_as(learns: bool, next: &Membership, now: &Membership, roster: &Roster) -> bool {
    let place = |index| Some(LogId::new(CommittedLeaderId::new(1), index));
    let membership = StoredMembership::new(place(3), now.clone());
    let log_id = place(5);
    let applied = Applied { log_id, membership };
    let known = Known {
        applied: &applied,
        roster,
        learns,
    };
    // What is repeated is history, whatever it says.
    assert!(require_members(place(5), next, &known).is_ok());
    require_members(place(6), next, &known).is_ok()
}

#[test]
fn no_member_has_two_votes_and_nobody_votes_who_is_no_member() {
    let (founded, all) = (membership(&ALL, &[&[1]]), roster(&ALL));
    assert!(takes(
        &membership(&ALL, &[&[1], &[1, 2, 3, 4]]),
        &founded,
        &all
    ));
    let twice = ["cnam", "amc", "amc", "opticians"];
    assert!(!takes(
        &membership(&twice, &[&[1, 2, 3, 4]]),
        &founded,
        &all
    ));
    assert!(!takes(
        &membership(&twice, &[&[1], &[1, 2, 3]]),
        &founded,
        &all
    ));
    // A second life without a vote is how a wiped member comes back.
    assert!(takes(&membership(&twice, &[&[1, 3]]), &founded, &all));
    let stranger = ["cnam", "stranger"];
    assert!(!takes(&membership(&stranger, &[&[1, 2]]), &founded, &all));
    assert!(!takes(&Membership::default(), &founded, &all));
}

#[test]
fn a_leader_takes_no_vote_from_a_member_that_the_roster_gives_it() {
    let (now, all) = (membership(&ALL, &[&[1, 2, 3, 4]]), roster(&ALL));
    let without = membership(&ALL, &[&[2, 3, 4]]);
    assert!(!takes(&without, &now, &all));
    assert!(!takes(
        &membership(&ALL, &[&[1, 2, 3, 4], &[2]]),
        &now,
        &all
    ));
    assert!(!takes(&membership(&ALL, &[&[2]]), &now, &all));
    assert!(takes(&without, &now, &roster(&ALL[1..])));
    // In another seat it still has its vote.
    let moved = ["cnam", "amc", "other-amc", "opticians", "cnam"];
    assert!(takes(&membership(&moved, &[&[2, 3, 4, 5]]), &now, &all));
    // A node that knows no membership yet has nobody to keep.
    assert!(takes(&without, &Membership::default(), &all));
}

/// The four, of which the last is no member any more.
fn without_the_last() -> Roster {
    let mut parts = roster_parts(Epoch::default(), None);
    parts.members.retain(|it| it.name.as_str() != ALL[3]);
    for member in &mut parts.members {
        member.standing = Standing::Voting;
    }
    Roster::new(parts).unwrap()
}

#[test]
fn who_has_left_votes_in_the_old_set_alone_until_the_new_one_is_in_force() {
    let (now, left) = (membership(&ALL, &[&[1, 2, 3, 4]]), without_the_last());
    let joint = membership(&ALL, &[&[1, 2, 3, 4], &[1, 2, 3]]);
    assert!(takes(&joint, &now, &left));
    let done = membership(&ALL, &[&[1, 2, 3]]);
    assert!(takes(&done, &joint, &left));
    // Nobody brings it back, and nobody has it vote on.
    assert!(!takes(&now, &done, &left));
    assert!(!takes(
        &membership(&ALL, &[&[1, 2, 3], &[1, 2, 3, 4]]),
        &done,
        &left
    ));
    assert!(!takes(
        &membership(&ALL, &[&[1, 2, 3, 4], &[1, 2, 3]]),
        &done,
        &left
    ));
}

#[test]
fn a_node_that_begins_anew_is_told_of_those_who_have_left_since() {
    let left = without_the_last();
    let then = membership(&ALL, &[&[1, 2, 3, 4]]);
    let nothing = Membership::default();
    assert!(takes_as(true, &then, &nothing, &left));
    assert!(!takes_as(false, &then, &nothing, &left));
    let twice = ["cnam", "amc", "amc", "opticians"];
    assert!(!takes_as(
        true,
        &membership(&twice, &[&[1, 2, 3, 4]]),
        &nothing,
        &left
    ));
}
