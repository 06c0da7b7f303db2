//! A thief with one till's key and many connections: never more than was promised, whatever he
//! tries, a crash of the node included.

use std::time::Duration;

use client::connection::CallError;
use client::federation;
use client::session::Session;
use client::system;
use proto::attestation::Grant;
use proto::oprf::{BlindedElement, blind};
use proto::signing::SecretKey;
use proto::wire::v1::TokenKind;
use tests::federation::{accepted, fresh_key, grant};
use tests::world::World;

const HOURLY: u32 = 20;
const CONNECTIONS: usize = 12;
const CALLS: usize = 10;

async fn till_with_quota(world: &World) -> SecretKey {
    let till = fresh_key();
    let grant = Grant {
        hourly_quota: HOURLY,
        daily_quota: 60,
        ..grant(&till)
    };
    let opticians = world
        .federation
        .session(&world.node, &world.federation.opticians);
    accepted(&federation::grant(&opticians, grant).await.unwrap());
    till
}

fn element() -> BlindedElement {
    blind(&system::random::<16>().unwrap(), &system::random().unwrap())
        .unwrap()
        .1
}

/// How many elements one connection gets evaluated, and what it is told when it gets no more.
async fn grab(thief: Session, sizes: Vec<usize>) -> (usize, Option<CallError>) {
    let (mut got, mut last) = (0, None);
    for size in sizes {
        let elements: Vec<_> = (0..size).map(|_| element()).collect();
        let id = system::request_id().unwrap();
        let answer = thief.home().evaluate(id, TokenKind::Person, &elements);
        match answer.await {
            Ok(evaluation) => got += evaluation.elements.len(),
            Err(error) => last = Some(error),
        }
    }
    (got, last)
}

async fn grab_all(world: &World, till: &SecretKey) -> (usize, Vec<CallError>) {
    let grabs = (0..CONNECTIONS).map(|connection| {
        let sizes = (0..CALLS).map(|call| 1 + (connection + call) % 3).collect();
        tokio::spawn(grab(world.federation.session(&world.node, till), sizes))
    });
    let grabs: Vec<_> = grabs.collect();
    let (mut got, mut errors) = (0, Vec::new());
    for one in grabs {
        let (more, error) = one.await.unwrap();
        got += more;
        errors.extend(error);
    }
    (got, errors)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thief_with_many_connections_gets_what_was_promised_and_no_more() {
    let mut world = World::new(0).await;
    let till = till_with_quota(&world).await;
    let (got, errors) = grab_all(&world, &till).await;
    assert_eq!(got, HOURLY as usize, "{errors:?}");
    assert_eq!(errors.len(), CONNECTIONS);
    for error in errors {
        let CallError::Busy { retry_after, .. } = error else {
            panic!("{error}");
        };
        let wait = retry_after.unwrap();
        let hour = Duration::from_secs(3600);
        assert!(
            wait <= hour + Duration::from_secs(1) && wait > hour / 2,
            "{wait:?}"
        );
    }

    // Twenty people and no claim: the operator has been told.
    let metrics = String::from_utf8(world.node.page("/metrics").unwrap()).unwrap();
    let alarm = "vitrail_alarms_total{pattern=\"unclaimed\"} 1\n";
    assert!(metrics.contains(alarm), "{metrics}");

    // To crash the node gives nothing back, and to be another till is another quota.
    world.kill_and_restart();
    assert_eq!(grab_all(&world, &till).await.0, 0);
    let other = till_with_quota(&world).await;
    assert_eq!(grab_all(&world, &other).await.0, HOURLY as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_costs_once_and_a_payer_derives_contract_tokens_alone() {
    let world = World::new(0).await;
    let till = till_with_quota(&world).await;
    let session = world.federation.session(&world.node, &till);
    let elements: Vec<_> = (0..HOURLY).map(|_| element()).collect();
    let id = system::request_id().unwrap();
    let ask = || session.home().evaluate(id, TokenKind::Person, &elements);
    let first = ask().await.unwrap();
    assert_eq!(ask().await.unwrap().elements, first.elements);
    let more = [element()];
    let another = session.home().evaluate(id, TokenKind::Person, &more);
    assert!(matches!(another.await, Err(CallError::Busy { .. })));

    let payer = world
        .federation
        .session(&world.node, &world.federation.amcs[0]);
    let many: Vec<_> = (0..1000).map(|_| element()).collect();
    let id = system::request_id().unwrap();
    let contracts = payer.home().evaluate(id, TokenKind::Contract, &many).await;
    assert_eq!(contracts.unwrap().elements.len(), 1000);
    let people = payer.home().evaluate(id, TokenKind::Person, &many[..1]);
    assert!(matches!(people.await, Err(CallError::NotAdmitted { .. })));
}
