//! Appends that share a stream: each is let in and answered by itself, at one node and through
//! another member's.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::session::Session;
use futures_channel::mpsc::{UnboundedSender, unbounded};
use proto::ids::LeafIndex;
use proto::roster::Roster;
use proto::signing::SecretKey;
use proto::wire::v1::ledger_service_client::LedgerServiceClient;
use proto::wire::v1::numbered_answer::Answer;
use proto::wire::{AppendAnswer, read, v1, write};
use tests::federation::accepted;
use tests::process::NodeProcess;
use tests::raw::{Identity, channel};
use tests::replicated::{leader, voting};
use tests::workload::{Ground, Prepared, fresh_slots};
use tests::world::World;
use tokio::task::JoinSet;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;

/// A stream to a node, as a program without our client would have it.
struct Lane {
    appends: UnboundedSender<v1::NumberedAppend>,
    answers: Streaming<v1::NumberedAnswer>,
}

impl Lane {
    async fn open(node: &NodeProcess, key: &SecretKey) -> Self {
        let channel = channel(node.addresses.grpc, Identity::Key(key.clone()));
        let (appends, outbound) = unbounded();
        let mut request = Request::new(outbound);
        request.set_timeout(Duration::from_secs(10));
        let answers = LedgerServiceClient::new(channel).append_each(request).await;
        Self {
            appends,
            answers: answers.unwrap().into_inner(),
        }
    }

    fn send(&self, number: u64, append: Option<v1::AppendRequest>) {
        let numbered = v1::NumberedAppend { number, append };
        self.appends.unbounded_send(numbered).unwrap();
    }

    async fn next(&mut self) -> (u64, Answer) {
        let answer = self.answers.message().await.unwrap().unwrap();
        (answer.number, answer.answer.unwrap())
    }
}

fn request(claim: &Prepared) -> v1::AppendRequest {
    write::append(&claim.entry, Some((&claim.payload, &claim.salt)))
}

/// The code of a failure with the reason in its details.
fn failure(answer: Answer) -> (Code, String) {
    let Answer::Failure(failure) = answer else {
        panic!("it has an answer");
    };
    let code = Code::from_i32(failure.code);
    let status = Status::with_details(code, failure.message, failure.details.into());
    (code, status.get_details_error_info().unwrap().reason)
}

fn is_accepted(answer: Answer, claim: &Prepared, roster: &Roster) -> bool {
    let Answer::Append(answer) = answer else {
        return false;
    };
    let answer = read::append_answer(answer, &claim.entry).unwrap();
    matches!(answer, AppendAnswer::Accepted(receipt) if receipt.verify(roster, &mut |_| {}).is_ok())
}

/// How many calls of a method a node has answered.
fn calls(node: &NodeProcess, method: &str) -> u64 {
    let page = String::from_utf8(node.page("/metrics").unwrap()).unwrap();
    let counts = page.lines().filter(|line| {
        line.starts_with("vitrail_rpc_seconds_count") && line.contains(&format!("/{method}\""))
    });
    let counts = counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap());
    counts.sum()
}

/// Claims so many fresh slots at once over one connection, and verifies each receipt.
async fn claim_at_once(
    session: &Session,
    ground: &Ground,
    till: &SecretKey,
    roster: &Roster,
    count: usize,
) -> BTreeSet<LeafIndex> {
    let mut claiming = JoinSet::new();
    for _ in 0..count {
        let (session, claim) = (session.clone(), ground.claim(till, &fresh_slots(1)));
        claiming.spawn(async move {
            let payload = Some((&claim.payload, &claim.salt));
            session.home().append(&claim.entry, payload).await
        });
    }
    let answers = claiming.join_all().await;
    let receipts = answers.into_iter().map(|answer| match answer.unwrap() {
        AppendAnswer::Accepted(receipt) => receipt.verify(roster, &mut |_| {}).unwrap().index,
        AppendAnswer::Refused { reason, .. } => panic!("refused: {}", reason.code()),
    });
    receipts.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_append_is_answered_by_its_number_and_harms_no_other() {
    let world = World::new(2).await;
    let claims = [(); 3].map(|()| world.ground.claim(&world.tills[0], &fresh_slots(1)));
    let others = world.ground.claim(&world.tills[1], &fresh_slots(1));
    let mut lane = Lane::open(&world.node, &world.tills[0]).await;
    lane.send(40, Some(request(&claims[0])));
    lane.send(7, None);
    lane.send(8, Some(v1::AppendRequest::default()));
    lane.send(9, Some(request(&others)));
    lane.send(3, Some(request(&claims[1])));
    let mut answers = BTreeMap::new();
    for _ in 0..5 {
        let (number, answer) = lane.next().await;
        answers.insert(number, answer);
    }
    let mut take = |number| answers.remove(&number).unwrap();
    let roster = &world.federation.roster;
    assert!(is_accepted(take(40), &claims[0], roster));
    assert!(is_accepted(take(3), &claims[1], roster));
    let malformed = (Code::InvalidArgument, "MALFORMED".to_owned());
    assert_eq!(failure(take(7)), malformed);
    assert_eq!(failure(take(8)), malformed);
    let stolen = (Code::PermissionDenied, "NOT_THE_ISSUER".to_owned());
    assert_eq!(failure(take(9)), stolen);

    // The stream has outlived them, and the same bytes get the same place again.
    lane.send(1, Some(request(&claims[2])));
    lane.send(2, Some(request(&claims[0])));
    for _ in 0..2 {
        let (number, answer) = lane.next().await;
        let claim = if number == 1 { &claims[2] } else { &claims[0] };
        assert!(is_accepted(answer, claim, roster));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_revoked_while_its_stream_is_open_appends_nothing_more() {
    let world = World::new(1).await;
    let till = &world.tills[0];
    let mut lane = Lane::open(&world.node, till).await;
    let before = world.ground.claim(till, &fresh_slots(1));
    lane.send(1, Some(request(&before)));
    let (_, answer) = lane.next().await;
    assert!(is_accepted(answer, &before, &world.federation.roster));

    let opticians = &world.federation.opticians;
    let opticians = world.federation.session(&world.node, opticians);
    let revoked = client::federation::revoke(&opticians, till.public()).await;
    accepted(&revoked.unwrap());
    let after = world.ground.claim(till, &fresh_slots(1));
    lane.send(2, Some(request(&after)));
    let (_, answer) = lane.next().await;
    let refused = (Code::PermissionDenied, "GRANT_REVOKED".to_owned());
    assert_eq!(failure(answer), refused);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_ends_its_streams_in_good_order() {
    let mut world = World::new(1).await;
    let till = world.tills[0].clone();
    let mut lane = Lane::open(&world.node, &till).await;
    let claim = world.ground.claim(&till, &fresh_slots(1));
    lane.send(1, Some(request(&claim)));
    let (_, answer) = lane.next().await;
    assert!(is_accepted(answer, &claim, &world.federation.roster));

    assert!(world.node.terminate().success());
    assert!(lane.answers.message().await.unwrap().is_none());
    let log = std::fs::read_to_string(world.node.log()).unwrap();
    assert!(!log.contains("broken off"), "it waited for an idle stream");
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_at_once_share_a_stream_and_a_lone_one_is_a_call() {
    let world = World::new(1).await;
    let session = &world.sessions()[0];
    let claim = |count| {
        let (ground, roster) = (&world.ground, &world.federation.roster);
        claim_at_once(session, ground, &world.tills[0], roster, count)
    };
    claim(1).await;
    assert_eq!(calls(&world.node, "AppendEach"), 0);
    assert_eq!(claim(40).await.len(), 40);
    assert_eq!(claim(40).await.len(), 40);
    assert_eq!(calls(&world.node, "AppendEach"), 1, "one stream for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_passes_on_what_comes_at_once_over_one_stream() {
    let folder = tempfile::tempdir().unwrap();
    let nodes = voting(folder.path(), &["cnam", "alpha", "opticians"], &[]).await;
    let founder = nodes.node("cnam");
    let ground = Ground::lay(&nodes.federation, founder).await;
    let tills = nodes.federation.grant_tills(founder, 1).await;
    let leads = leader(&nodes).await;
    let other = nodes.running.keys().find(|name| **name != leads).unwrap();
    let session = nodes.session(other.as_str(), &tills[0]);
    let roster = &nodes.federation.roster;
    let claimed = claim_at_once(&session, &ground, &tills[0], roster, 40).await;
    assert_eq!(claimed.len(), 40);
    assert_eq!(calls(nodes.node(leads.as_str()), "ForwardEach"), 1);
}
