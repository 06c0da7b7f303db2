//! `kill -9` under load: nothing that was acknowledged is lost, and the roots are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use client::session::Session;
use client::system;
use proto::follower::Follower;
use proto::ids::{LeafIndex, TreeSize};
use proto::receipt::Receipt;
use proto::wire::AppendAnswer;
use tests::workload::{Ground, Prepared, fresh_slots};
use tests::world::World;
use tokio::task::JoinSet;

const ROUNDS: u64 = 20;
const TILLS: usize = 8;
const IN_FLIGHT: usize = 32;
/// Longest wait for the first answer of a round, on however busy a machine.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(60);

/// What the callers of one round have sent, and what was acknowledged.
#[derive(Default)]
struct Round {
    acknowledged: Mutex<Vec<Receipt>>,
    /// By caller: what it waits for.
    unanswered: Mutex<BTreeMap<usize, Prepared>>,
}

/// Claims fresh slots, one after the other, until the round is over.
async fn claim_on(
    round: Arc<Round>,
    caller: usize,
    session: Session,
    ground: Arc<Ground>,
    key: proto::signing::SecretKey,
) {
    loop {
        let claim = ground.claim(&key, &fresh_slots(1));
        round
            .unanswered
            .lock()
            .unwrap()
            .insert(caller, claim.clone());
        let payload = Some((&claim.payload, &claim.salt));
        match session.home().append(&claim.entry, payload).await {
            Ok(AppendAnswer::Accepted(receipt)) => {
                round.acknowledged.lock().unwrap().push(receipt);
                round.unanswered.lock().unwrap().remove(&caller);
            }
            Ok(AppendAnswer::Refused { reason, .. }) => panic!("refused: {}", reason.code()),
            Err(_) => return, // The node is gone, and with it the round.
        }
    }
}

/// Returns once something was acknowledged: how soon that is depends on the machine.
async fn under_load(round: &Round) {
    let first = async {
        while round.acknowledged.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let came = tokio::time::timeout(LOAD_WAIT_MAX, first).await;
    came.expect("the round has load");
}

/// Whoever follows the log takes only one that begins with what it has seen: nothing in that was
/// lost, and the root over it is the same.
async fn follow(follower: &mut Follower, session: &Session) -> TreeSize {
    let seen = follower.latest().map(|latest| latest.size());
    let (consistency, checkpoint) = match seen {
        None => (None, session.home().checkpoint().await.unwrap()),
        Some(seen) => {
            let (consistency, checkpoint) = session.home().consistency(seen).await.unwrap();
            (Some(consistency), checkpoint)
        }
    };
    let now = system::now().seconds();
    follower
        .advance(&checkpoint, consistency.as_ref(), now)
        .expect("the log extends what was seen");
    follower.latest().unwrap().size()
}

/// A till that lost its answer asks again with the same bytes, and gets one place in the log.
async fn ask_again(session: &Session, claim: &Prepared) -> LeafIndex {
    let mut places = BTreeSet::new();
    for _ in 0..2 {
        let payload = Some((&claim.payload, &claim.salt));
        match session.home().append(&claim.entry, payload).await.unwrap() {
            AppendAnswer::Accepted(receipt) => places.insert(receipt.proved.index),
            AppendAnswer::Refused { reason, .. } => panic!("refused: {}", reason.code()),
        };
    }
    assert_eq!(places.len(), 1, "asked twice, appended twice");
    places.into_iter().next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_in_twenty_kills() {
    let mut world = World::new(TILLS).await;
    let roster = world.federation.roster.clone();
    let ground = Arc::new(world.ground.clone());
    let mut follower = Follower::new(roster.clone());
    let mut seen = BTreeSet::new();
    for round_number in 0..ROUNDS {
        let sessions = world.sessions();
        let round = Arc::new(Round::default());
        let mut callers = JoinSet::new();
        for caller in 0..IN_FLIGHT {
            let (session, key) = (
                sessions[caller % TILLS].clone(),
                world.tills[caller % TILLS].clone(),
            );
            callers.spawn(claim_on(
                round.clone(),
                caller,
                session,
                ground.clone(),
                key,
            ));
        }
        under_load(&round).await;
        // Another moment of a batch each time.
        tokio::time::sleep(Duration::from_millis(50 + (37 * round_number) % 200)).await;
        world.node.kill();
        callers.shutdown().await;
        world.node = world.federation.start(&[]);

        let sessions = world.sessions();
        let size = follow(&mut follower, &sessions[0]).await;
        let acknowledged = std::mem::take(&mut *round.acknowledged.lock().unwrap());
        let newest = acknowledged
            .iter()
            .max_by_key(|receipt| receipt.checkpoint.claimed().size);
        let newest = newest.expect("the round has load");
        let mut of_callers = Follower::resume(roster.clone(), &newest.checkpoint).unwrap();
        follow(&mut of_callers, &sessions[0]).await;
        for receipt in &acknowledged {
            let index = receipt.verify(&roster, &mut |_| {}).unwrap().index;
            assert!(size.contains(index), "an acknowledged entry is gone");
            assert!(seen.insert(index), "two entries have one index");
        }
        let unanswered = std::mem::take(&mut *round.unanswered.lock().unwrap());
        for (caller, claim) in &unanswered {
            let index = ask_again(&sessions[caller % TILLS], claim).await;
            assert!(seen.insert(index), "two entries have one index");
        }
    }
    println!("{} entries acknowledged in {ROUNDS} rounds", seen.len());
}
