//! Ten thousand claims of one slot at once: one wins, and every other one is shown who did.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a scenario fails where it stands"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use client::session::Session;
use proto::ids::LeafIndex;
use proto::refusal::Reason;
use proto::roster::Roster;
use proto::wire::AppendAnswer;
use tests::workload::{Prepared, fresh_slots};
use tests::world::World;
use tokio::task::JoinSet;

const CLAIMS: usize = 10_000;
const TILLS: usize = 64;
/// Every so many claims, one is sent twice at once, as by a till that lost patience.
const RETRIED: usize = 8;
/// How often a till asks again while the node has too much to do.
const ATTEMPTS_MAX: usize = 50;

/// The verified answer: the index it got, or the index of the entry that has the slot.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Accepted(LeafIndex),
    Refused { holder: LeafIndex },
}

async fn claim(session: Session, claim: Arc<Prepared>, roster: Arc<Roster>) -> Outcome {
    for _ in 0..ATTEMPTS_MAX {
        let payload = Some((&claim.payload, &claim.salt));
        // Asking again with the same bytes is safe, whatever became of the first time.
        let Ok(answer) = session.home().append(&claim.entry, payload).await else {
            continue;
        };
        return verified(answer, &roster);
    }
    panic!("no answer after {ATTEMPTS_MAX} attempts");
}

fn verified(answer: AppendAnswer, roster: &Roster) -> Outcome {
    match answer {
        AppendAnswer::Accepted(receipt) => {
            let verified = receipt
                .verify(roster, &mut |_| {})
                .expect("the receipt verifies");
            Outcome::Accepted(verified.index)
        }
        AppendAnswer::Refused { reason, evidence } => {
            assert_eq!(reason, Reason::SlotReserved);
            let evidence = evidence.expect("a refusal for a slot carries its proof");
            let shown = evidence
                .verify(roster, &mut |_| {})
                .expect("the proof verifies");
            assert_eq!(shown.state.by, evidence.holder.index);
            Outcome::Refused {
                holder: evidence.holder.index,
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_ten_thousand_claims_of_one_slot_one_is_accepted_and_the_rest_are_shown_it() {
    let world = World::new(TILLS).await;
    let sessions = world.sessions();
    let roster = Arc::new(world.federation.roster.clone());
    let contested = fresh_slots(1);
    let before = sessions[0]
        .home()
        .checkpoint()
        .await
        .unwrap()
        .claimed()
        .size;

    let mut in_flight = JoinSet::new();
    let mut accepted = BTreeSet::new();
    let mut holders = BTreeSet::new();
    let mut answers = 0;
    for place in 0..CLAIMS {
        let till = place % TILLS;
        let prepared = Arc::new(world.ground.claim(&world.tills[till], &contested));
        let copies = if place % RETRIED == 0 { 2 } else { 1 };
        for _ in 0..copies {
            let session = sessions[till].clone();
            in_flight.spawn(claim(session, prepared.clone(), roster.clone()));
        }
    }
    while let Some(outcome) = in_flight.join_next().await {
        answers += 1;
        match outcome.unwrap() {
            Outcome::Accepted(index) => accepted.insert(index),
            Outcome::Refused { holder } => holders.insert(holder),
        };
    }
    assert_eq!(answers, CLAIMS + CLAIMS.div_ceil(RETRIED));
    assert_eq!(accepted.len(), 1, "one claim is accepted: {accepted:?}");
    assert_eq!(holders, accepted, "every refusal names the one that was");
    let after = sessions[0]
        .home()
        .checkpoint()
        .await
        .unwrap()
        .claimed()
        .size;
    assert_eq!(after.get(), before.get() + 1, "the log grew by one entry");
}
