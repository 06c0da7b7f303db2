//! Whose votes make a mandate, and what a candidate keeps of what it is answered.

use std::collections::BTreeMap;

use proto::roster::{Epoch, Standing};

use super::*;
use crate::engine::Seat;
use crate::example::{origin, roster_parts, secret};

const MEMBERS: [&str; 4] = ["cnam", "amc", "other-amc", "opticians"];

fn name(text: &str) -> MemberName {
    text.parse().unwrap()
}

/// The four members, the first so many of which vote.
fn roster(voting: usize) -> Roster {
    let mut parts = roster_parts(Epoch::default(), None);
    for member in &mut parts.members {
        let votes = MEMBERS[..voting].contains(&member.name.as_str());
        member.standing = match votes {
            true => Standing::Voting,
            false => Standing::Following,
        };
    }
    Roster::new(parts).unwrap()
}

/// The engine of a member is its place among them, from 1 on.
fn engine(of: &str) -> EngineId {
    let place = MEMBERS.iter().position(|it| *it == of).unwrap();
    EngineId::new(place as u64 + 1)
}

fn membership(sets: &[&[&str]]) -> Membership {
    let sets = sets
        .iter()
        .map(|set| set.iter().map(|of| engine(of)).collect());
    let seats: BTreeMap<_, _> = MEMBERS
        .iter()
        .map(|it| (engine(it), Seat { member: name(it) }))
        .collect();
    Membership::new(sets.collect(), seats).unwrap()
}

fn leader(term: u64, of: &str) -> LeaderId {
    let voted_for = engine(of);
    LeaderId { term, voted_for }
}

fn node(of: &str) -> Mandates {
    Mandates::new(engine(of), name(of), secret(of), origin(), None)
}

fn ballots(by: &[&str], leader: &LeaderId, member: &str) -> Vec<SignedBallot> {
    let ballots = by.iter().map(|by| node(by).signed(leader, &name(member)));
    ballots.collect()
}

fn verify(shown: &[SignedBallot], sets: &[&[&str]], voting: usize) -> bool {
    let (leader, membership, roster) = (leader(7, "amc"), membership(sets), roster(voting));
    node("opticians").verify(shown, &leader, &name("amc"), &membership, &roster)
}

#[test]
fn a_mandate_is_the_votes_of_a_majority_for_one_leader_in_one_term() {
    let (leader7, all) = (leader(7, "amc"), &[&MEMBERS[..]][..]);
    let of = |by: &[&str]| ballots(by, &leader7, "amc");
    assert!(verify(&of(&["amc", "cnam", "opticians"]), all, 4));
    assert!(!verify(&of(&["amc", "cnam"]), all, 4));
    assert!(!verify(&of(&["amc", "amc", "amc"]), all, 4));
    assert!(!verify(&[], all, 4));
    let three = ["amc", "cnam", "opticians"];
    assert!(!verify(&ballots(&three, &leader(6, "amc"), "amc"), all, 4));
    assert!(!verify(&ballots(&three, &leader(7, "cnam"), "amc"), all, 4));
    assert!(!verify(&ballots(&three, &leader7, "cnam"), all, 4));
}

#[test]
fn a_ballot_counts_for_the_one_who_signed_it() {
    let (leader7, all) = (leader(7, "amc"), &[&MEMBERS[..]][..]);
    let forged = |by: &str| {
        // Signed by the leader in the name of another.
        let parts = (engine(by), name(by), secret("amc"));
        Mandates::new(parts.0, parts.1, parts.2, origin(), None).signed(&leader7, &name("amc"))
    };
    let mut shown = ballots(&["amc"], &leader7, "amc");
    shown.extend([forged("cnam"), forged("opticians"), forged("other-amc")]);
    assert!(!verify(&shown, all, 4));
    // As many engines of one member as may be are one vote.
    let lives = (10..20).map(|id| {
        let life = Mandates::new(
            EngineId::new(id),
            name("amc"),
            secret("amc"),
            origin(),
            None,
        );
        life.signed(&leader7, &name("amc"))
    });
    assert!(!verify(&lives.collect::<Vec<_>>(), all, 4));
}

#[test]
fn while_voters_change_both_sets_must_have_voted() {
    let leader7 = leader(7, "amc");
    let of = |by: &[&str]| ballots(by, &leader7, "amc");
    // The roster has one voting member, who has not voted: the seats alone decide.
    let joint: [&[&str]; 2] = [&["amc", "other-amc"], &["amc", "other-amc", "opticians"]];
    assert!(verify(&of(&["amc", "other-amc"]), &joint, 1));
    assert!(!verify(&of(&["amc", "opticians"]), &joint, 1));
}

#[test]
fn a_node_with_an_old_membership_or_none_counts_the_voting_members_of_its_roster() {
    let leader7 = leader(7, "amc");
    let three = ballots(&["amc", "other-amc", "opticians"], &leader7, "amc");
    // The one voter that it knew has not voted.
    assert!(verify(&three, &[&["cnam"]], 4));
    assert!(verify(&three, &[], 4));
    assert!(!verify(&three[..2], &[], 4));
    assert!(!verify(&three, &[], 1));
    assert!(verify(&ballots(&["cnam"], &leader7, "amc"), &[], 1));
}

#[test]
fn what_was_verified_stays_so_for_that_leader_and_member_alone() {
    let (node, leader7) = (node("opticians"), leader(7, "amc"));
    let shown = ballots(&["amc", "cnam", "opticians"], &leader7, "amc");
    let (membership, roster) = (membership(&[&MEMBERS[..]]), roster(4));
    assert!(!node.has_verified(&leader7, &name("amc"), true));
    assert!(node.verify(&shown, &leader7, &name("amc"), &membership, &roster));
    assert!(node.has_verified(&leader7, &name("amc"), false));
    assert!(!node.has_verified(&leader7, &name("cnam"), true));
    assert!(!node.has_verified(&leader(8, "amc"), &name("amc"), true));
    // A start takes it from the vote on the disk, where the seat says whose it is.
    let vote = Vote {
        leader_id: leader7,
        committed: true,
    };
    let parts = (engine("opticians"), name("opticians"), secret("opticians"));
    let started = Mandates::new(parts.0, parts.1, parts.2, origin(), Some(vote));
    assert!(started.has_verified(&leader7, &name("amc"), true));
    assert!(!started.has_verified(&leader7, &name("amc"), false));
}

#[test]
fn a_candidate_keeps_what_it_may_show_and_shows_it_until_it_was_taken() {
    let (amc, leader7, roster) = (node("amc"), leader(7, "amc"), roster(4));
    let from = |of: &'static str| node(of).ballot(&leader7, &name("amc"));
    let gather = |bytes: &[u8], of: &'static str| {
        amc.gather(bytes, &leader7, (engine(of), &name(of)), &roster)
    };
    assert!(gather(&from("cnam"), "cnam"));
    assert!(!gather(&from("cnam"), "opticians"));
    assert!(!gather(
        &node("cnam").ballot(&leader(6, "amc"), &name("amc")),
        "cnam"
    ));
    assert!(!gather(&[], "cnam"));
    let to = engine("opticians");
    assert_eq!(amc.show(to, &leader7).len(), 2);
    // Its log has to be brought up before it signs anything: it will see the mandate again.
    amc.note_answer(to, 7, false);
    assert_eq!(amc.show(to, &leader7).len(), 2);
    amc.note_answer(to, 7, true);
    amc.note_answer(to, 7, false);
    assert!(amc.show(to, &leader7).is_empty());
    amc.note_failure(to);
    assert_eq!(amc.show(to, &leader7).len(), 2);
    // A later candidacy begins with nothing but its own vote, and a late answer changes nothing.
    assert_eq!(amc.show(to, &leader(8, "amc")).len(), 1);
    assert!(gather(&from("opticians"), "opticians"));
    assert_eq!(amc.show(to, &leader(8, "amc")).len(), 1);
}

#[test]
fn the_word_of_a_later_term_is_heard_once_in_a_while() {
    let amc = node("amc");
    assert!(amc.hears_later(engine("cnam")));
    assert!(!amc.hears_later(engine("cnam")));
    assert!(amc.hears_later(engine("opticians")));
}
