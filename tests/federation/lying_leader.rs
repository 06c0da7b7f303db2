//! A member that lies to the engines of the others: its own node is down, and the test speaks with
//! its key, over real TLS to real nodes. It forges what it can, then is elected and lies.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use node::engine::{EngineId, Membership, Seat};
use proto::hash::Hash;
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use proto::wire::v1::EngineAppendOutcome;
use serde_json::Value;
use tests::binary::vitrail;
use tests::engine_liar::{Forged, Liar, Lie};
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
    dir: tempfile::TempDir,
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
            dir,
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

    /// The liar's message with a batch of so many claims, and a lie.
    async fn batch(&self, heartbeat: &Forged, claims: usize, lie: Lie) -> Forged {
        let session = self.nodes.session("cnam", &self.till);
        let newest = session.home().checkpoint().await.unwrap();
        let claims: Vec<_> = (0..claims)
            .map(|_| self.ground.claim(&self.till, &fresh_slots(1)))
            .collect();
        let claims: Vec<_> = claims.iter().collect();
        self.liar.with_batch(heartbeat, &claims, &newest, lie)
    }

    /// Each honest member's node has kept a file that accuses the liar, for whoever has the roster;
    /// one that is changed accuses nobody. The node counts what it refused.
    fn shown_by_all(&self, offence: &str) {
        for member in HONEST {
            let refused = self.nodes.folder(member).join("data/refused");
            let files = fs::read_dir(refused).unwrap();
            let mut files = files.map(|it| it.unwrap().path());
            let file = files.find(|it| it.extension().is_some_and(|it| it == "evidence"));
            let file = file.unwrap_or_else(|| panic!("{member} has no evidence"));
            let (code, said) = self.verify(&file);
            assert_eq!(code, Some(0), "{said}");
            let said: Value = serde_json::from_str(&said).unwrap();
            assert_eq!(said["verdict"]["offence"], offence);
            assert_eq!(said["verdict"]["members"], serde_json::json!(["beta"]));

            let mut bytes = fs::read(&file).unwrap();
            let place = bytes.len() * 2 / 3;
            bytes[place] ^= 1;
            let changed = self.dir.path().join("changed.evidence");
            fs::write(&changed, bytes).unwrap();
            let (code, said) = self.verify(&changed);
            assert_eq!(code, Some(1), "{said}");

            let fault = format!(
                "vitrail_batches_refused_total{{fault=\"{}\"}}",
                fault_of(offence)
            );
            assert_eq!(
                self.nodes.node(member).metric(&fault),
                Some(1.0),
                "{member}"
            );
        }
    }

    /// What `vitrail evidence verify` says of a file, with the roster alone.
    fn verify(&self, file: &Path) -> (Option<i32>, String) {
        let roster = self.dir.path().join("roster.txt");
        let verified = vitrail()
            .args(["evidence", "verify", "-o", "json", "--roster"])
            .args([&roster, file])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        (verified.status.code(), said)
    }

    /// What each honest member's node answers.
    async fn refused_by_all(&mut self, forged: &Forged, want: Code) {
        for member in HONEST {
            let status = self.liar.append(member, forged).await.unwrap_err();
            assert_eq!(status.code(), want, "{member}: {}", status.message());
        }
    }
}

/// The word in the metrics for the fault that the evidence shows.
fn fault_of(offence: &str) -> &str {
    match offence {
        "wrong-map" => "roots",
        "back-dated" => "dated",
        same => same,
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
    let map_root = Some(Hash::from_bytes([2; 32]));
    let lie = Lie {
        map_root,
        ..Lie::default()
    };
    let lie = world.batch(&heartbeat, 1, lie).await;
    world.refused_by_all(&lie, Code::FailedPrecondition).await;
    // One batch was enough: it may say that it leads as often as it likes.
    world
        .refused_by_all(&heartbeat, Code::PermissionDenied)
        .await;
    world.all_go_on().await;
    world.shown_by_all("wrong-map");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_dated_back_is_refused_by_all_and_each_can_show_it() {
    let mut world = World::new().await;
    let heartbeat = world.liar.take_the_lead(&HONEST).await;
    let lie = Lie {
        ago_millis: 3_600_000,
        ..Lie::default()
    };
    let lie = world.batch(&heartbeat, 1, lie).await;
    world.refused_by_all(&lie, Code::FailedPrecondition).await;
    world.all_go_on().await;
    world.shown_by_all("back-dated");
}

/// The header names both entries, so whoever is shown one of them sees that there is another.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_cannot_be_hidden_from_one_member() {
    let mut world = World::new().await;
    let heartbeat = world.liar.take_the_lead(&HONEST).await;
    let lie = Lie {
        hidden: 1,
        ..Lie::default()
    };
    let lie = world.batch(&heartbeat, 2, lie).await;
    world.refused_by_all(&lie, Code::FailedPrecondition).await;
    world.all_go_on().await;
}

/// Each side finds the history sound that it was shown first, and refuses the other one.
#[tokio::test(flavor = "multi_thread")]
async fn two_histories_for_two_sides_are_two_headers_that_accuse_the_leader() {
    let mut world = World::new().await;
    let heartbeat = world.liar.take_the_lead(&HONEST).await;
    let far = Lie {
        far: true,
        ..Lie::default()
    };
    let histories = [
        world.batch(&heartbeat, 1, far).await,
        world.batch(&heartbeat, 2, far).await,
    ];
    let sides = [&HONEST[..2], &HONEST[2..]];
    for (history, side) in histories.iter().zip(sides) {
        for member in side {
            let answer = world.liar.append(member, history).await.unwrap();
            assert_eq!(answer.outcome(), EngineAppendOutcome::Conflict, "{member}");
        }
    }
    for (history, side) in histories.iter().rev().zip(sides) {
        for member in side {
            let status = world.liar.append(member, history).await.unwrap_err();
            assert_eq!(status.code(), Code::FailedPrecondition, "{member}");
        }
    }
    world.all_go_on().await;
    world.shown_by_all("two-headers");
}
