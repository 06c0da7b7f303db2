//! Whole ceremonies over bytes: honest ones judged by an independent OPRF under the secret that
//! the shares give, and one cheat at a time, who is named.

mod repair;

use curve25519_dalek::scalar::Scalar;
use voprf::{Ristretto255, VoprfServer};

use super::*;
use crate::hash::Hash;
use crate::ids::MemberName;
use crate::oprf::{self, CombineError, SecretShare, ShareIndex, Threshold, VerifiedEvaluation};
use crate::signing::SecretKey;

const INPUT: &[u8] = b"an input";

fn name(place: u16) -> MemberName {
    format!("member-{place}").parse().unwrap()
}

fn secret(place: u16) -> SecretKey {
    SecretKey::from_seed(&[u8::try_from(place).unwrap(); 32])
}

fn seed(place: u16) -> [u8; SEED_BYTES] {
    [100 + u8::try_from(place).unwrap(); SEED_BYTES]
}

fn parts(kind: Kind, threshold: u16, participants: u16) -> PlanParts {
    PlanParts {
        kind,
        origin: "vitrail.test/optique".parse().unwrap(),
        roster: Hash::from_bytes([7; 32]),
        attempt: 1,
        threshold: Threshold::new(threshold).unwrap(),
        participants: (1..=participants).map(participant).collect(),
    }
}

fn participant(place: u16) -> Participant {
    Participant {
        name: name(place),
        index: ShareIndex::new(place).unwrap(),
        public_key: secret(place).public(),
    }
}

fn plan(threshold: u16, participants: u16) -> Plan {
    Plan::new(parts(Kind::Deal, threshold, participants)).unwrap()
}

/// Every participant with its secrets, and what is on its way between them.
struct Table {
    plan: Plan,
    secrets: Vec<SecretKey>,
    seeds: Vec<[u8; SEED_BYTES]>,
    held: Vec<Option<Holding>>,
    /// What a member without shares knows of them.
    published: Option<Published>,
}

impl Table {
    fn new(plan: Plan) -> Self {
        let indexes = plan.participants().iter().map(|one| one.index.get());
        let indexes: Vec<_> = indexes.collect();
        Self {
            plan,
            secrets: indexes.iter().copied().map(secret).collect(),
            seeds: indexes.iter().copied().map(seed).collect(),
            held: vec![None; indexes.len()],
            published: None,
        }
    }

    fn seat(&self, place: usize) -> Seat<'_> {
        let name = &self.plan.participants()[place].name;
        let basis = match (&self.held[place], &self.published) {
            (Some(held), _) => Basis::Held(held),
            (None, Some(published)) => Basis::Published(published),
            (None, None) => Basis::Nothing,
        };
        let (secret, seed) = (&self.secrets[place], &self.seeds[place]);
        Seat::new(&self.plan, name, secret, seed, basis).unwrap()
    }

    fn seats(&self) -> Vec<Seat<'_>> {
        (0..self.secrets.len())
            .map(|place| self.seat(place))
            .collect()
    }

    /// What each participant says to everybody, sent as bytes.
    fn round(&self, say: impl Fn(&Seat<'_>) -> Message) -> Messages {
        let seats = self.seats();
        let names = self.plan.participants().iter().map(|one| one.name.clone());
        names
            .zip(seats.iter().map(|seat| sent(&say(seat))))
            .collect()
    }

    fn first_two(&self) -> (Messages, Messages) {
        (
            self.round(|seat| seat.commitment().unwrap()),
            self.round(|seat| seat.opening().unwrap()),
        )
    }

    /// The shares that are sent to this participant.
    fn shares_to(&self, place: usize, openings: &[Openings]) -> Messages {
        let each = self.seats().into_iter().zip(openings);
        let said = each.map(|(seat, openings)| seat.shares(openings).unwrap());
        self.received(place, Step::Share, said.collect())
    }

    /// What of that which each says to others reaches this participant.
    fn received(&self, place: usize, step: Step, said: Vec<Messages>) -> Messages {
        let to = &self.plan.participants()[place].name;
        let all = self.plan.participants().iter().zip(said);
        let sent_to = all.filter_map(|(from, mut said)| Some((from, sent(&said.remove(to)?))));
        let received: Messages = sent_to
            .map(|(from, message)| (from.name.clone(), message))
            .collect();
        let senders = self.seat(place).senders(step);
        assert!(received.keys().eq(senders.iter().map(|one| &one.name)));
        received
    }

    fn play(&self) -> Vec<Outcome> {
        let (commitments, opened) = self.first_two();
        let seats = self.seats();
        let openings: Vec<_> = seats
            .iter()
            .map(|seat| seat.check_openings(&commitments, &opened).unwrap())
            .collect();
        let views = (0..seats.len())
            .map(|place| {
                let name = self.plan.participants()[place].name.clone();
                (name, sent(&seats[place].view(&openings[place])))
            })
            .collect();
        let outcomes: Vec<_> = seats
            .iter()
            .enumerate()
            .map(|(place, seat)| {
                seat.check_views(&openings[place], &views).unwrap();
                let shares = self.shares_to(place, &openings);
                seat.finish(&openings[place], &shares).unwrap()
            })
            .collect();
        let confirmed =
            self.round(|seat| seat.confirmation(&outcomes[0].transcript, "an endorsement"));
        for (seat, outcome) in seats.iter().zip(&outcomes) {
            let endorsed = seat.check_confirmations(&outcome.transcript, &confirmed);
            assert_eq!(endorsed.unwrap(), vec!["an endorsement"; seats.len()]);
        }
        outcomes
    }
}

/// A message through its bytes.
fn sent(message: &Message) -> Message {
    let read = Message::parse(&message.to_bytes()).unwrap();
    assert_eq!(read, *message);
    read
}

fn changed(message: &Message, place: usize) -> Message {
    let mut bytes = message.to_bytes().to_vec();
    bytes[place] ^= 1;
    Message::parse(&bytes).unwrap()
}

/// What these holders combine for the input, under the person or the contract key.
fn output(
    holders: &[&Holding],
    threshold: Threshold,
    key: fn(&Holding) -> (&SecretShare, oprf::JointPublicKey),
) -> Result<Vec<u8>, CombineError> {
    let (kept, blinded) = oprf::blind(INPUT, &[9; 64]).unwrap();
    let answers: Vec<VerifiedEvaluation> = holders
        .iter()
        .map(|holder| {
            let (share, _) = key(holder);
            let answer = share.evaluate(&[blinded], &[8; 64]).unwrap();
            share.public().verify(&[blinded], answer).unwrap()
        })
        .collect();
    let combined = oprf::combine(&key(holders[0]).1, threshold, &answers)?;
    Ok(kept.finalize(&combined[0]).as_bytes().to_vec())
}

fn person(holding: &Holding) -> (&SecretShare, oprf::JointPublicKey) {
    (&holding.person, holding.published.joint_person)
}

fn contract(holding: &Holding) -> (&SecretShare, oprf::JointPublicKey) {
    (&holding.contract, holding.published.joint_contract)
}

/// The joint secret, which outside of this test nobody ever puts together: Lagrange at 0.
fn reconstructed(
    holders: &[&Holding],
    key: fn(&Holding) -> (&SecretShare, oprf::JointPublicKey),
) -> [u8; 32] {
    let points: Vec<(Scalar, Scalar)> = holders
        .iter()
        .map(|holder| {
            let (share, _) = key(holder);
            let value = Scalar::from_canonical_bytes(*share.to_bytes()).unwrap();
            (Scalar::from(share.index().get()), value)
        })
        .collect();
    let mut secret = Scalar::ZERO;
    for (i, value) in &points {
        let others = points.iter().filter(|(j, _)| j != i);
        let weight: Scalar = others.map(|(j, _)| j * (j - i).invert()).product();
        secret += weight * value;
    }
    secret.to_bytes()
}

fn subsets(holders: &[Outcome], count: usize) -> Vec<Vec<&Holding>> {
    (0_u32..1 << holders.len())
        .filter(|set| set.count_ones() as usize == count)
        .map(|set| {
            let chosen = holders.iter().enumerate();
            chosen
                .filter(|(place, _)| set & (1 << place) != 0)
                .map(|(_, outcome)| &outcome.holding)
                .collect()
        })
        .collect()
}

#[test]
fn any_threshold_of_shares_gives_the_rfc_output_and_one_fewer_does_not() {
    for (threshold, participants) in [(2, 3), (3, 5), (2, 2)] {
        let outcomes = Table::new(plan(threshold, participants)).play();
        let needed = Threshold::new(threshold).unwrap();
        let fewer = Threshold::new(threshold - 1).unwrap();
        for key in [person, contract] {
            let all = subsets(&outcomes, usize::from(threshold));
            let joint = reconstructed(&all[0], key);
            let judge = VoprfServer::<Ristretto255>::new_with_key(&joint).unwrap();
            let want = judge.evaluate(INPUT).unwrap().to_vec();
            for holders in all {
                assert_eq!(output(&holders, needed, key), Ok(want.clone()));
            }
            for holders in subsets(&outcomes, usize::from(threshold) - 1) {
                let got = output(&holders, needed, key);
                assert!(matches!(got, Err(CombineError::TooFew { .. })));
                assert_eq!(output(&holders, fewer, key), Err(CombineError::OtherKey));
                assert_ne!(reconstructed(&holders, key), joint);
            }
        }
        let keys = [person, contract].map(|key| key(&outcomes[0].holding).1.to_bytes());
        assert_ne!(keys[0], keys[1], "the two keys are independent");
    }
}

#[test]
fn everybody_has_the_same_transcript_and_public_shares() {
    let outcomes = Table::new(plan(2, 3)).play();
    for (place, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.transcript, outcomes[0].transcript);
        assert_eq!(
            outcome.holding.published.shares,
            outcomes[0].holding.published.shares
        );
        let own = &outcome.holding.published.shares[place];
        assert_eq!(own.person, outcome.holding.person.public());
        assert_eq!(own.contract, outcome.holding.contract.public());
    }
}

#[test]
fn a_member_that_starts_again_says_the_same_and_under_another_plan_something_else() {
    let table = Table::new(plan(2, 3));
    let again = Table::new(plan(2, 3));
    assert_eq!(table.first_two(), again.first_two());
    let mut other = parts(Kind::Deal, 2, 3);
    other.attempt = 2;
    let other = Table::new(Plan::new(other).unwrap());
    let bodies = |table: &Table| {
        let opening = table.seat(0).opening().unwrap();
        opening.to_bytes()[64..].to_vec()
    };
    assert_ne!(bodies(&table), bodies(&other));
}

#[test]
fn a_refresh_changes_every_share_and_no_token() {
    let dealt = Table::new(plan(2, 3)).play();
    let mut table = Table::new(Plan::new(parts(Kind::Refresh, 2, 3)).unwrap());
    table.held = dealt
        .iter()
        .map(|outcome| Some(outcome.holding.clone()))
        .collect();
    let refreshed = table.play();
    let two = Threshold::new(2).unwrap();
    for key in [person, contract] {
        let want = output(&subsets(&dealt, 2)[0], two, key);
        assert!(want.is_ok());
        for holders in subsets(&refreshed, 2) {
            assert_eq!(output(&holders, two, key), want);
        }
        for (old, new) in dealt.iter().zip(&refreshed) {
            assert_ne!(
                key(&old.holding).0.to_bytes(),
                key(&new.holding).0.to_bytes()
            );
        }
        // One share of before and one of after give nothing.
        let mixed = [&dealt[0].holding, &refreshed[1].holding];
        assert_eq!(output(&mixed, two, key), Err(CombineError::OtherKey));
    }
}

#[test]
fn a_refresh_without_the_old_shares_is_refused() {
    let table = Table::new(Plan::new(parts(Kind::Refresh, 2, 3)).unwrap());
    let (commitments, opened) = table.first_two();
    let openings: Vec<_> = table
        .seats()
        .iter()
        .map(|seat| seat.check_openings(&commitments, &opened).unwrap())
        .collect();
    let finished = table
        .seat(0)
        .finish(&openings[0], &table.shares_to(0, &openings));
    assert_eq!(finished.err(), Some(CeremonyError::Unusable));
}

#[test]
fn whoever_changes_a_message_on_its_way_breaks_its_signature() {
    let table = Table::new(plan(2, 3));
    let (commitments, opened) = table.first_two();
    let length = opened[&name(2)].to_bytes().len();
    for place in (0..length).step_by(37) {
        let mut bad = opened.clone();
        bad.insert(name(2), changed(&opened[&name(2)], place));
        let refused = table.seat(0).check_openings(&commitments, &bad).err();
        let (culprit, step) = (name(2), Step::Opening);
        assert_eq!(refused, Some(CeremonyError::Signature { culprit, step }));
    }
}

#[test]
fn an_opening_that_was_not_committed_to_names_its_member() {
    let table = Table::new(plan(2, 3));
    let (commitments, mut opened) = table.first_two();
    let mut other = Table::new(plan(2, 3));
    other.seeds[1] = [1; SEED_BYTES];
    opened.insert(name(2), other.seat(1).opening().unwrap());
    let refused = table.seat(0).check_openings(&commitments, &opened).err();
    let culprit = name(2);
    assert_eq!(refused, Some(CeremonyError::OtherOpening { culprit }));
}

#[test]
fn a_copied_part_of_a_key_has_no_proof() {
    // The third commits to what the second committed to, and so would cancel or double it.
    let table = Table::new(plan(2, 3));
    let copied = table.seat(1).opening().unwrap().to_bytes()[64..].to_vec();
    let seat = table.seat(2);
    let opening = seat.signed(Step::Opening, None, copied);
    let fingerprint = opening.fingerprint().as_bytes().to_vec();
    let (mut commitments, mut opened) = table.first_two();
    commitments.insert(name(3), seat.signed(Step::Commitment, None, fingerprint));
    opened.insert(name(3), opening);
    let refused = table.seat(0).check_openings(&commitments, &opened).err();
    assert_eq!(refused, Some(CeremonyError::Proof { culprit: name(3) }));
}

#[test]
fn a_member_that_shows_two_openings_is_named_by_its_own_signatures() {
    let table = Table::new(plan(2, 3));
    let mut second = Table::new(plan(2, 3));
    second.seeds[1] = [1; SEED_BYTES];
    let (commitments, opened) = table.first_two();
    let (mut other_commitments, mut other_opened) = table.first_two();
    other_commitments.insert(name(2), second.seat(1).commitment().unwrap());
    other_opened.insert(name(2), second.seat(1).opening().unwrap());
    let seat = table.seat(0);
    let own = seat.check_openings(&commitments, &opened).unwrap();
    let third = table.seat(2);
    let theirs = third
        .check_openings(&other_commitments, &other_opened)
        .unwrap();
    let mut views = table.round(|each| each.view(&own));
    seat.check_views(&own, &views).unwrap();
    views.insert(name(3), third.view(&theirs));
    let (culprit, witness) = (name(2), name(3));
    assert_eq!(
        seat.check_views(&own, &views),
        Err(CeremonyError::TwoOpenings { culprit, witness })
    );
    // The same view with a signature of another message accuses the one that shows it.
    let mut false_body = third.view(&theirs).to_bytes()[64..].to_vec();
    let stolen = commitments[&name(2)].to_bytes()[..64].to_vec();
    false_body[96 + 32..96 + 96].copy_from_slice(&stolen);
    views.insert(name(3), third.signed(Step::View, None, false_body));
    let (culprit, author) = (name(3), name(2));
    assert_eq!(
        seat.check_views(&own, &views),
        Err(CeremonyError::FalseView { culprit, author })
    );
}

#[test]
fn a_wrong_share_of_either_key_names_its_sender_in_a_deal_and_in_a_refresh() {
    let dealt = Table::new(plan(2, 3)).play();
    for kind in [Kind::Deal, Kind::Refresh] {
        let mut table = Table::new(Plan::new(parts(kind, 2, 3)).unwrap());
        table.held = dealt
            .iter()
            .map(|outcome| Some(outcome.holding.clone()))
            .collect();
        let (commitments, opened) = table.first_two();
        let openings: Vec<_> = table
            .seats()
            .iter()
            .map(|seat| seat.check_openings(&commitments, &opened).unwrap())
            .collect();
        for place in [0, 32] {
            let mut shares = table.shares_to(0, &openings);
            let mut body = shares[&name(3)].to_bytes()[64..].to_vec();
            body[place] ^= 1;
            let to = &table.plan.participants()[0];
            let bad = table.seat(2).signed(Step::Share, Some(to), body);
            shares.insert(name(3), bad);
            let refused = table.seat(0).finish(&openings[0], &shares).err();
            let culprit = name(3);
            assert_eq!(refused, Some(CeremonyError::Share { culprit }));
        }
        let mut missing = table.shares_to(0, &openings);
        missing.remove(&name(2));
        let (member, step) = (name(2), Step::Share);
        assert_eq!(
            table.seat(0).finish(&openings[0], &missing).err(),
            Some(CeremonyError::Missing { member, step })
        );
    }
}

#[test]
fn a_message_of_another_plan_step_or_receiver_does_not_pass() {
    let table = Table::new(plan(2, 3));
    let mut other = parts(Kind::Deal, 2, 3);
    other.attempt = 2;
    let other = Table::new(Plan::new(other).unwrap());
    let (commitments, _) = table.first_two();
    let refused = |step, message: &Message| {
        let from = &table.plan.participants()[1];
        table.seat(0).check_signature(step, from, message).is_err()
    };
    assert!(!refused(Step::Commitment, &commitments[&name(2)]));
    assert!(refused(Step::View, &commitments[&name(2)]));
    assert!(refused(
        Step::Commitment,
        &other.seat(1).commitment().unwrap()
    ));
    let third = &table.plan.participants()[2];
    let share = table.seat(1).signed(Step::Share, Some(third), vec![1; 64]);
    assert!(refused(Step::Share, &share));
}

#[test]
fn a_message_has_a_signature_a_body_and_a_limit() {
    for got in [0, 64, MESSAGE_BYTES_MAX + 1] {
        let read = Message::parse(&vec![1; got]);
        assert_eq!(read.err(), Some(MessageError::Length { got }));
    }
    assert!(Message::parse(&[1; 65]).is_ok());
    assert!(Message::parse(&vec![1; MESSAGE_BYTES_MAX]).is_ok());
}

#[test]
fn a_plan_that_cannot_work_is_refused() {
    let refused = |change: fn(&mut PlanParts)| {
        let mut parts = parts(Kind::Deal, 2, 3);
        change(&mut parts);
        Plan::new(parts).err()
    };
    let threshold = |number| PlanError::Threshold {
        threshold: Threshold::new(number).unwrap(),
        participants: 3,
    };
    assert_eq!(refused(|_| {}), None);
    assert_eq!(
        refused(|p| p.threshold = Threshold::ONE),
        Some(threshold(1))
    );
    assert_eq!(
        refused(|p| p.threshold = Threshold::new(4).unwrap()),
        Some(threshold(4))
    );
    assert_eq!(refused(|p| p.attempt = 0), Some(PlanError::Attempt));
    let twice = |place| PlanError::Duplicate { name: name(place) };
    assert_eq!(
        refused(|p| p.participants[1].name = name(1)),
        Some(twice(1))
    );
    assert_eq!(
        refused(|p| p.participants[1].public_key = secret(1).public()),
        Some(twice(2))
    );
    assert_eq!(
        refused(|p| p.participants[1].index = ShareIndex::ONE),
        Some(twice(2))
    );
}

#[test]
fn the_bytes_of_a_ceremony_are_the_ones_that_were_published() {
    let outcomes = Table::new(plan(2, 3)).play();
    let table = Table::new(plan(2, 3));
    assert_eq!(
        table.plan.text().lines().next_back().unwrap(),
        format!("participant member-3 3 {}", secret(3).public().to_base64())
    );
    assert_eq!(
        table.plan.id().to_base64(),
        "RcNThkMZojzt1hzfn+2nq1fIGZ1ArH5qI+CmQRil8sY="
    );
    assert_eq!(
        outcomes[0].transcript.hash().to_base64(),
        "zR+L+FWbSiQ1rYc6ufpLF9ZgomfGlJ3tZb2NpHnFO3U="
    );
    let text = outcomes[0].transcript.text();
    assert!(text.starts_with(table.plan.text()));
    assert_eq!(text.lines().count(), 6 + 3 + 3 + 2 + 3);
}

#[test]
fn debug_shows_no_byte_of_a_secret() {
    let table = Table::new(plan(2, 3));
    let outcome = table.play().remove(0);
    assert_eq!(format!("{:?}", outcome.holding), "Holding(1, <secret>)");
    assert_eq!(format!("{:?}", table.seat(0)), "Seat(member-1, <secret>)");
}
