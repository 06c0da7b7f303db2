//! A member that lies to the engines of the others: its own node is down, and the test speaks with
//! its key, over real TLS to real nodes. It forges what it can, then is elected and lies.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a scenario fails where it stands"
)]

use std::time::{Duration, Instant};

use node::engine::{EngineId, Membership, Seat};
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use proto::wire::v1::EngineAppendOutcome;
use tests::engine_liar::{Forged, Liar};
use tests::nodes::Nodes;
use tests::replicated::all_voting;
use tests::workload::{Ground, fresh_slots};
use tonic::Code;

/// Longest wait for an election after a liar was found out, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);
const HONEST: [&str; 3] = ["cnam", "alpha", "opticians"];

/// Four members that vote, one of whom is a liar.
struct World {
    nodes: Nodes,
    ground: Ground,
    till: SecretKey,
    liar: Liar,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut nodes = all_voting(dir.path(), 4, 2).await;
        let founder = nodes.node("cnam");
        let ground = Ground::lay(&nodes.federation, founder).await;
        let till = nodes.federation.grant_tills(founder, 1).await.remove(0);
        let liar = Liar::instead_of("beta", &mut nodes).await;
        Self {
            nodes,
            ground,
            till,
            liar,
            _dir: dir,
        }
    }

    /// A claim at each honest member's node is accepted, with a receipt of a quorum.
    async fn all_go_on(&self) {
        for member in HONEST {
            let session = self.nodes.session(member, &self.till);
            let claim = self.ground.claim(&self.till, &fresh_slots(1));
            let payload = Some((&claim.payload, &claim.salt));
            let began = Instant::now();
            let receipt = loop {
                match session.home().append(&claim.entry, payload).await {
                    Ok(AppendAnswer::Accepted(receipt)) => break receipt,
                    Ok(AppendAnswer::Refused { reason, .. }) => panic!("{}", reason.code()),
                    Err(error) => assert!(began.elapsed() < PATIENCE, "{member}: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            let roster = &self.nodes.federation.roster;
            receipt.verify(roster, &mut |_| {}).unwrap();
        }
    }

    /// What each honest member's node answers.
    async fn refused_by_all(&mut self, forged: &Forged, want: Code) {
        for member in HONEST {
            let status = self.liar.append(member, forged).await.unwrap_err();
            assert_eq!(status.code(), want, "{member}: {}", status.message());
        }
    }
}

/// The same seats, but one member's vote goes to the liar, who has two then.
fn two_seats(membership: &Membership, robbed: &str, liar: &str) -> Membership {
    let seats = membership.nodes().map(|(id, seat)| {
        let member = match seat.member.as_str() == robbed {
            true => liar.parse().unwrap(),
            false => seat.member.clone(),
        };
        (*id, Seat { member })
    });
    let seats: std::collections::BTreeMap<EngineId, Seat> = seats.collect();
    Membership::new(membership.get_joint_config().clone(), seats).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_messages_are_refused_and_a_leader_that_lies_is_followed_no_more() {
    let mut world = World::new().await;

    // A later term, without votes, or with ballots that it signed for the others itself.
    let later = world.liar.term() + 1;
    world
        .refused_by_all(&Forged::heartbeat(later), Code::FailedPrecondition)
        .await;
    let stuffed = world.liar.stuffed(later);
    world
        .refused_by_all(&stuffed, Code::FailedPrecondition)
        .await;
    // The seat of another, in its own name or under the mandate that the other has.
    let leader = world.liar.seat_of("cnam");
    let own_term = Forged::heartbeat(world.liar.term()).of(leader);
    world
        .refused_by_all(&own_term, Code::PermissionDenied)
        .await;
    world
        .refused_by_all(&Forged::heartbeat(later).of(leader), Code::PermissionDenied)
        .await;
    // A term after which there is no other.
    for member in HONEST {
        let status = world.liar.campaign(member, u64::MAX).await.unwrap_err();
        assert_eq!(
            status.code(),
            Code::FailedPrecondition,
            "{}",
            status.message()
        );
    }

    // It asks for votes, and gets them: it leads, with a mandate.
    let heartbeat = world.liar.take_the_lead(&HONEST).await;
    let membership = two_seats(world.liar.membership(), "alpha", "beta");
    let seats = world.liar.with_membership(&heartbeat, membership);
    world.refused_by_all(&seats, Code::FailedPrecondition).await;
    for member in HONEST {
        let answer = world.liar.append(member, &heartbeat).await;
        let is_taken = answer.is_ok_and(|it| it.outcome() != EngineAppendOutcome::Unspecified);
        assert!(is_taken, "{member} still follows");
    }
    let claim = world.ground.claim(&world.till, &fresh_slots(1));
    let session = world.nodes.session("cnam", &world.till);
    let checkpoint = session.home().checkpoint().await.unwrap();
    let lie = world.liar.with_wrong_map(&heartbeat, &claim, &checkpoint);
    world.refused_by_all(&lie, Code::FailedPrecondition).await;
    // One batch was enough: it may say that it leads as often as it likes.
    world
        .refused_by_all(&heartbeat, Code::PermissionDenied)
        .await;
    world.all_go_on().await;
}
