//! Repairs over bytes: every lost member, every set of helpers, and one cheat at a time.

use super::*;

/// The table of a repair after this deal: `lost` has nothing but what is public.
fn table(dealt: &[Outcome], threshold: u16, lost: u16, helpers: &[u16]) -> Table {
    let mut parts = parts(Kind::Repair(index(lost)), threshold, 0);
    let places = || helpers.iter().chain([&lost]).copied();
    parts.participants = places().map(participant).collect();
    let mut table = Table::new(Plan::new(parts).unwrap());
    table.published = Some(dealt[0].holding.published.clone());
    for (held, one) in table.held.iter_mut().zip(table.plan.participants()) {
        let dealt = &dealt[usize::from(one.index.get()) - 1];
        *held = (one.index != index(lost)).then(|| dealt.holding.clone());
    }
    table
}

fn index(place: u16) -> ShareIndex {
    ShareIndex::new(place).unwrap()
}

fn deal(threshold: u16, participants: u16) -> Vec<Outcome> {
    Table::new(plan(threshold, participants)).play()
}

/// Everything that is on its way in a repair.
struct Played {
    commitments: Messages,
    opened: Messages,
    openings: Vec<Openings>,
    /// What reaches each participant.
    shares: Vec<Messages>,
    sigmas: Vec<Messages>,
}

impl Played {
    fn new(table: &Table) -> Self {
        let (commitments, opened) = table.first_two();
        let seats = table.seats();
        let each = seats.iter();
        let openings = each.map(|seat| seat.check_openings(&commitments, &opened).unwrap());
        let openings: Vec<_> = openings.collect();
        let views = table.round(|seat| seat.view(&openings[0]));
        for (seat, openings) in seats.iter().zip(&openings) {
            seat.check_views(openings, &views).unwrap();
        }
        let places = 0..seats.len();
        let shares: Vec<_> = places
            .clone()
            .map(|place| table.shares_to(place, &openings))
            .collect();
        let said = |place: usize| {
            seats[place]
                .sigma(&openings[place], &shares[place])
                .unwrap()
        };
        let sigmas = places
            .clone()
            .map(|to| table.received(to, Step::Sigma, places.clone().map(said).collect()));
        Self {
            sigmas: sigmas.collect(),
            commitments,
            opened,
            openings,
            shares,
        }
    }

    fn finish(&self, table: &Table) -> Vec<Outcome> {
        let seats = table.seats();
        let outcomes: Vec<_> = seats
            .iter()
            .enumerate()
            .map(|(place, seat)| {
                let finished = seat.finish_repair(&self.openings[place], &self.sigmas[place]);
                finished.unwrap()
            })
            .collect();
        let confirmed = table.round(|seat| seat.confirmation(&outcomes[0].transcript, "a line"));
        for (seat, outcome) in seats.iter().zip(&outcomes) {
            let checked = seat.check_confirmations(&outcome.transcript, &confirmed);
            assert!(checked.is_ok());
        }
        outcomes
    }
}

/// The sets of `count` out of these members.
fn sets(members: &[u16], count: usize) -> Vec<Vec<u16>> {
    let all = 0_u32..1 << members.len();
    let sets = all.filter(|set| set.count_ones() as usize == count);
    let chosen = |set: u32| {
        let each = members.iter().enumerate();
        each.filter(move |(place, _)| set & (1 << place) != 0)
    };
    sets.map(|set| chosen(set).map(|(_, member)| *member).collect())
        .collect()
}

fn same_shares(one: &Holding, other: &Holding) -> bool {
    one.person.to_bytes() == other.person.to_bytes()
        && one.contract.to_bytes() == other.contract.to_bytes()
        && one.published == other.published
}

#[test]
fn every_lost_member_gets_the_shares_it_had_from_any_set_of_helpers() {
    for (threshold, participants) in [(2, 3), (3, 5)] {
        let dealt = deal(threshold, participants);
        let needed = Threshold::new(threshold).unwrap();
        let want = [person, contract].map(|key| output(&subsets(&dealt, 3)[0], needed, key));
        for lost in 1..=participants {
            let others: Vec<_> = (1..=participants).filter(|one| *one != lost).collect();
            for count in usize::from(threshold)..=others.len() {
                for helpers in sets(&others, count) {
                    let table = table(&dealt, threshold, lost, &helpers);
                    let outcomes = Played::new(&table).finish(&table);
                    for (one, outcome) in table.plan.participants().iter().zip(&outcomes) {
                        let before = &dealt[usize::from(one.index.get()) - 1].holding;
                        assert!(same_shares(&outcome.holding, before), "{lost} {helpers:?}");
                        assert_eq!(outcome.transcript, outcomes[0].transcript);
                    }
                    let mut holders: Vec<_> = outcomes.iter().map(|one| &one.holding).collect();
                    holders.sort_by_key(|holder| holder.person.index() != index(lost));
                    let got = [person, contract].map(|key| output(&holders, needed, key));
                    assert_eq!(got, want);
                }
            }
        }
    }
}

#[test]
fn a_repair_without_its_member_or_with_too_few_helpers_is_no_plan() {
    let refused = |lost, helpers: &[u16]| {
        let mut parts = parts(Kind::Repair(index(lost)), 3, 0);
        parts.participants = helpers.iter().copied().map(participant).collect();
        Plan::new(parts).err()
    };
    let (threshold, helpers) = (Threshold::new(3).unwrap(), 2);
    assert_eq!(refused(2, &[1, 2, 3, 4]), None);
    assert_eq!(
        refused(2, &[1, 2, 3]),
        Some(PlanError::Helpers { threshold, helpers })
    );
    assert_eq!(
        refused(5, &[1, 2, 3, 4]),
        Some(PlanError::Repaired { index: index(5) })
    );
}

#[test]
fn a_helper_that_starts_again_says_the_same_and_in_another_attempt_something_else() {
    let dealt = deal(2, 3);
    let first = Played::new(&table(&dealt, 2, 3, &[1, 2]));
    let again = Played::new(&table(&dealt, 2, 3, &[1, 2]));
    assert_eq!(first.commitments, again.commitments);
    assert_eq!(first.opened, again.opened);
    assert_eq!(first.shares, again.shares);
    assert_eq!(first.sigmas, again.sigmas);
    let other = attempt(&dealt, 2);
    let body = |played: &Played| played.shares[0][&name(2)].to_bytes()[64..].to_vec();
    assert_ne!(body(&first), body(&Played::new(&other)));
}

/// The repair of the third member by the first two, in this attempt.
fn attempt(dealt: &[Outcome], attempt: u32) -> Table {
    let mut table = table(dealt, 2, 3, &[1, 2]);
    let mut parts = parts(Kind::Repair(index(3)), 2, 3);
    parts.attempt = attempt;
    table.plan = Plan::new(parts).unwrap();
    table
}

/// The value of the person key in a secret message.
fn value(message: &Message) -> Scalar {
    let body: [u8; 32] = message.to_bytes()[64..96].try_into().unwrap();
    Scalar::from_canonical_bytes(body).unwrap()
}

#[test]
fn what_one_helper_keeps_hides_the_repaired_share_from_all_the_others() {
    // The second helper knows what it made, what the first sent it, and all that is public. Of the
    // two sums it lacks what the first made for itself.
    let dealt = deal(2, 3);
    let share = Scalar::from_canonical_bytes(*dealt[2].holding.person.to_bytes()).unwrap();
    let mut kept = Vec::new();
    for number in [1, 2] {
        let table = attempt(&dealt, number);
        let played = Played::new(&table);
        let second_sum = value(&played.sigmas[2][&name(2)]);
        let first_sum = value(&played.sigmas[2][&name(1)]);
        let from_second = value(&played.shares[0][&name(2)]);
        let known = second_sum + from_second;
        assert_ne!(known, share);
        kept.push(share - known);
        assert_eq!(kept.last(), Some(&(first_sum - from_second)));
    }
    // What it lacks is new in each attempt, though the share is the same.
    assert_ne!(kept[0], kept[1]);
    assert!(!kept.contains(&Scalar::ZERO));
}

#[test]
fn deltas_of_another_share_than_the_published_one_name_their_helper() {
    let dealt = deal(2, 3);
    let other = deal_again();
    for key in [person, contract] {
        let mut table = table(&dealt, 2, 3, &[1, 2]);
        let mut held = dealt[1].holding.clone();
        match key(&held).0.to_bytes() == person(&held).0.to_bytes() {
            true => held.person = other[1].holding.person.clone(),
            false => held.contract = other[1].holding.contract.clone(),
        }
        table.held[1] = Some(held);
        let (commitments, opened) = table.first_two();
        for place in [0, 2] {
            let refused = table.seat(place).check_openings(&commitments, &opened);
            let culprit = name(2);
            assert_eq!(refused.err(), Some(CeremonyError::Deltas { culprit }));
        }
    }
}

/// Shares of other keys.
fn deal_again() -> Vec<Outcome> {
    let mut parts = parts(Kind::Deal, 2, 3);
    parts.attempt = 2;
    Table::new(Plan::new(parts).unwrap()).play()
}

/// A secret message with one bit of its body changed, signed all the same.
fn wrong(
    table: &Table,
    message: &Message,
    step: Step,
    from: usize,
    to: usize,
    at: usize,
) -> Message {
    let mut body = message.to_bytes()[64..].to_vec();
    body[at] ^= 1;
    let to = &table.plan.participants()[to];
    table.seat(from).signed(step, Some(to), body)
}

#[test]
fn a_wrong_delta_and_a_wrong_sum_of_either_key_name_their_helper() {
    let dealt = deal(2, 3);
    let table = table(&dealt, 2, 3, &[1, 2]);
    let mut played = Played::new(&table);
    for at in [0, 32] {
        let delta = &played.shares[0][&name(2)];
        let bad = [(name(2), wrong(&table, delta, Step::Share, 1, 0, at))];
        let refused = table.seat(0).sigma(&played.openings[0], &bad.into());
        let culprit = name(2);
        assert_eq!(refused.err(), Some(CeremonyError::Share { culprit }));

        let mut sigmas = played.sigmas[2].clone();
        let bad = wrong(&table, &sigmas[&name(1)], Step::Sigma, 0, 2, at);
        sigmas.insert(name(1), bad);
        let refused = table.seat(2).finish_repair(&played.openings[2], &sigmas);
        let culprit = name(1);
        assert_eq!(refused.err(), Some(CeremonyError::Sigma { culprit }));
    }
    played.sigmas[2].remove(&name(2));
    let refused = table
        .seat(2)
        .finish_repair(&played.openings[2], &played.sigmas[2]);
    let (member, step) = (name(2), Step::Sigma);
    assert_eq!(refused.err(), Some(CeremonyError::Missing { member, step }));
}

#[test]
fn a_member_that_asks_for_another_share_than_its_own_is_named() {
    let dealt = deal(2, 3);
    let table = table(&dealt, 2, 3, &[1, 2]);
    let (mut commitments, mut opened) = table.first_two();
    let other = &dealt[0].holding.published.shares[0];
    let body = [other.person.to_bytes(), other.contract.to_bytes()].concat();
    let seat = table.seat(2);
    let opening = seat.signed(Step::Opening, None, body);
    let fingerprint = opening.fingerprint().as_bytes().to_vec();
    commitments.insert(name(3), seat.signed(Step::Commitment, None, fingerprint));
    opened.insert(name(3), opening);
    let refused = table.seat(0).check_openings(&commitments, &opened).err();
    let (culprit, step) = (name(3), Step::Opening);
    assert_eq!(refused, Some(CeremonyError::Malformed { culprit, step }));
}

#[test]
fn a_helper_without_its_shares_says_nothing() {
    let dealt = deal(2, 3);
    let mut table = table(&dealt, 2, 3, &[1, 2]);
    table.held[0] = None;
    assert_eq!(
        table.seat(0).commitment().err(),
        Some(CeremonyError::Unusable)
    );
}

#[test]
fn the_bytes_of_a_repair_are_the_ones_that_were_published() {
    let dealt = deal(2, 3);
    let table = table(&dealt, 2, 3, &[1, 2]);
    assert!(table.plan.text().contains("kind repair\n"));
    assert!(
        table
            .plan
            .text()
            .contains("threshold 2\nrepaired 3\nparticipant member-1 1 ")
    );
    assert_eq!(
        table.plan.id().to_base64(),
        "G7pkBs7JCjbqxyPpMKrw99EBduUaNXIjFozeJtehjG8="
    );
    let played = Played::new(&table);
    let lengths = |message: &Message| message.to_bytes().len() - 64;
    assert_eq!(lengths(&played.opened[&name(1)]), 2 * 2 * 32);
    assert_eq!(lengths(&played.opened[&name(3)]), 2 * 32);
    assert_eq!(lengths(&played.shares[0][&name(2)]), 2 * 32);
    assert_eq!(lengths(&played.sigmas[2][&name(2)]), 2 * 32);
    let outcomes = played.finish(&table);
    assert_eq!(
        outcomes[0].transcript.hash().to_base64(),
        "kuWePTwg2K6XBNnTJppaQdwgxYWEMXkFxQ07XbqPtys="
    );
    let text = outcomes[0].transcript.text();
    assert_eq!(text.lines().count(), 7 + 3 + 3 + 2 + 3);
}
