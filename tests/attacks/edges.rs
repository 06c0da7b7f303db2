//! What the node answers to those it should not serve, and to what it cannot read.

use std::time::Duration;

use client::system;
use proto::attestation::{Attestation, Grant};
use proto::signing::SecretKey;
use proto::wire::v1::ledger_service_client::LedgerServiceClient;
use proto::wire::v1::log_service_client::LogServiceClient;
use proto::wire::v1::{
    AppendRequest, EvaluateRequest, GetCheckpointRequest, GetEntryRequest, LookupRequest,
    evaluator_service_client::EvaluatorServiceClient,
};
use proto::wire::write;
use tests::federation::{accepted, fresh_key, grant};
use tests::raw::{Identity, channel, is_let_in};
use tests::workload::fresh_slots;
use tests::world::World;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(10));
    request
}

fn as_key(world: &World, key: &SecretKey) -> Channel {
    channel(world.node.addresses.grpc, Identity::Key(key.clone()))
}

fn one_slot() -> LookupRequest {
    LookupRequest {
        slot_keys: vec![vec![7; 32]],
        coverage_keys: Vec::new(),
    }
}

async fn lookup(channel: &Channel) -> Result<(), Status> {
    LedgerServiceClient::new(channel.clone())
        .lookup(timed(one_slot()))
        .await
        .map(|_| ())
}

/// The reason in the status' details, with its code.
fn reason(status: &Status) -> (Code, String) {
    let reason = status
        .get_details_error_info()
        .map(|info| info.reason)
        .unwrap_or_default();
    (status.code(), reason)
}

/// The field that a malformed request is told about.
fn field(status: &Status) -> String {
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let details = status
        .get_details_bad_request()
        .expect("it names the field");
    details.field_violations[0].field.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_ed25519_certificate_gets_past_the_handshake() {
    let world = World::new(0).await;
    let address = world.node.addresses.grpc;
    assert!(
        is_let_in(address, Identity::Key(fresh_key())).await,
        "any such key may ask"
    );
    assert!(!is_let_in(address, Identity::Nobody).await);
    let other = rcgen::generate_simple_self_signed(["vitrail".to_owned()]).unwrap();
    let p256 = Identity::Certificate(other.cert.der().clone(), other.signing_key.serialize_der());
    assert!(!is_let_in(address, p256).await);
    // A certificate is worth nothing without its key.
    let certificate = proto::certificate::self_signed(&world.federation.cnam).unwrap();
    let stolen = fresh_key().to_pkcs8_der().unwrap().to_vec();
    let thief = Identity::Certificate(certificate, stolen);
    assert!(!is_let_in(address, thief).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_served_while_its_grant_runs_and_not_before_or_after() {
    let world = World::new(1).await;
    assert_eq!(
        lookup(&as_key(&world, &world.tills[0]))
            .await
            .map_err(|s| reason(&s)),
        Ok(())
    );

    let stranger = lookup(&as_key(&world, &fresh_key())).await.unwrap_err();
    assert_eq!(
        reason(&stranger),
        (Code::PermissionDenied, "ISSUER_UNKNOWN".to_owned())
    );
    let message = stranger.get_details_localized_message().unwrap();
    assert!(message.locale.starts_with("fr") && message.message.ends_with('.'));

    let opticians = world
        .federation
        .session(&world.node, &world.federation.opticians);
    let till = as_key(&world, &world.tills[0]);
    let revoked = client::federation::revoke(&opticians, world.tills[0].public())
        .await
        .unwrap();
    accepted(&revoked);
    let status = lookup(&till).await.unwrap_err();
    assert_eq!(
        reason(&status),
        (Code::PermissionDenied, "GRANT_REVOKED".to_owned())
    );

    let brief = fresh_key();
    let expires_at = proto::ids::UnixMillis::new(system::now().get() + 2_000);
    let brief_grant = Grant {
        expires_at,
        ..grant(&brief)
    };
    accepted(
        &client::federation::grant(&opticians, brief_grant)
            .await
            .unwrap(),
    );
    let till = as_key(&world, &brief);
    assert_eq!(lookup(&till).await.map_err(|s| reason(&s)), Ok(()));
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let status = lookup(&till).await.unwrap_err();
    assert_eq!(
        reason(&status),
        (Code::PermissionDenied, "GRANT_EXPIRED".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_a_deadline_or_with_a_long_one_is_told_so() {
    let world = World::new(1).await;
    let mut ledger = LedgerServiceClient::new(as_key(&world, &world.tills[0]));
    let status = ledger.lookup(Request::new(one_slot())).await.unwrap_err();
    assert_eq!(
        reason(&status),
        (Code::InvalidArgument, "DEADLINE_MISSING".to_owned())
    );
    let mut long = Request::new(one_slot());
    long.set_timeout(Duration::from_secs(3_600));
    let status = ledger.lookup(long).await.unwrap_err();
    assert_eq!(
        reason(&status),
        (Code::InvalidArgument, "DEADLINE_UNFIT".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_append_is_told_its_field_and_nothing_is_written() {
    let world = World::new(1).await;
    let channel = as_key(&world, &world.tills[0]);
    let mut log = LogServiceClient::new(channel.clone());
    let before = log
        .get_checkpoint(timed(GetCheckpointRequest {}))
        .await
        .unwrap();

    let good = world.ground.claim(&world.tills[0], &fresh_slots(2));
    let request = write::append(&good.entry, Some((&good.payload, &good.salt)));
    let append = async |change: &dyn Fn(&mut AppendRequest)| {
        let mut changed = request.clone();
        change(&mut changed);
        let mut ledger = LedgerServiceClient::new(channel.clone());
        field(&ledger.append(timed(changed)).await.unwrap_err())
    };
    assert_eq!(append(&|r| r.entry.clear()).await, "entry");
    assert_eq!(append(&|r| r.entry.truncate(40)).await, "entry");
    assert_eq!(append(&|r| r.entry.push(0)).await, "entry");
    assert_eq!(append(&|r| r.entry[0] = 9).await, "entry");
    assert_eq!(
        append(&|r| *r.entry.last_mut().unwrap() ^= 1).await,
        "entry"
    );
    assert_eq!(append(&|r| r.payload = None).await, "payload");
    let salt = |r: &mut AppendRequest| r.payload.as_mut().unwrap().salt.truncate(31);
    assert_eq!(append(&salt).await, "payload.salt");
    let parts = |r: &mut AppendRequest| *r.payload.as_mut().unwrap().parts.last_mut().unwrap() ^= 1;
    assert_eq!(append(&parts).await, "payload");

    let size = |text: &str| text.lines().nth(1).unwrap().to_owned();
    let after = log
        .get_checkpoint(timed(GetCheckpointRequest {}))
        .await
        .unwrap();
    assert_eq!(
        size(&before.get_ref().checkpoint),
        size(&after.get_ref().checkpoint)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_question_is_told_its_field() {
    let world = World::new(1).await;
    let channel = as_key(&world, &world.tills[0]);
    let mut ledger = LedgerServiceClient::new(channel.clone());
    let mut log = LogServiceClient::new(channel.clone());
    let short = LookupRequest {
        slot_keys: vec![vec![7; 31]],
        coverage_keys: Vec::new(),
    };
    assert_eq!(
        field(&ledger.lookup(timed(short)).await.unwrap_err()),
        "slot_keys"
    );
    let many = LookupRequest {
        slot_keys: vec![vec![7; 32]; 33],
        coverage_keys: Vec::new(),
    };
    assert_eq!(
        field(&ledger.lookup(timed(many)).await.unwrap_err()),
        "slot_keys"
    );
    let mut evaluator = EvaluatorServiceClient::new(channel.clone());
    let id = system::request_id().unwrap().as_bytes().to_vec();
    let evaluate = |request_id: Vec<u8>, kind, blinded| EvaluateRequest {
        request_id,
        kind,
        blinded,
        claim: None,
    };
    let status = evaluator
        .evaluate(timed(evaluate(id.clone(), 1, vec![vec![0xff; 32]])))
        .await;
    assert_eq!(field(&status.unwrap_err()), "blinded");
    let status = evaluator
        .evaluate(timed(evaluate(id, 0, vec![vec![0; 32]])))
        .await;
    assert_eq!(field(&status.unwrap_err()), "kind");
    let status = evaluator
        .evaluate(timed(evaluate(vec![1], 1, vec![vec![0; 32]])))
        .await;
    assert_eq!(field(&status.unwrap_err()), "request_id");

    let beyond = log
        .get_entry(timed(GetEntryRequest { index: u64::MAX }))
        .await
        .unwrap_err();
    assert!(
        matches!(beyond.code(), Code::NotFound | Code::OutOfRange),
        "{beyond:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_above_the_limit_is_refused_unread() {
    let world = World::new(1).await;
    let mut ledger = LedgerServiceClient::new(as_key(&world, &world.tills[0]));
    let request = AppendRequest {
        entry: vec![0; 200 * 1024],
        payload: None,
    };
    let status = ledger.append(timed(request)).await.unwrap_err();
    assert!(
        matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted),
        "{status:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_taken_over_its_issuers_connection_alone() {
    let world = World::new(2).await;
    let claim = world.ground.claim(&world.tills[0], &fresh_slots(1));
    let request = write::append(&claim.entry, Some((&claim.payload, &claim.salt)));
    let mut other = LedgerServiceClient::new(as_key(&world, &world.tills[1]));
    let status = other.append(timed(request)).await.unwrap_err();
    assert_eq!(
        reason(&status),
        (Code::PermissionDenied, "NOT_THE_ISSUER".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_may_not_issue_what_its_role_may_not() {
    let world = World::new(1).await;
    let till = world.sessions().remove(0);
    let refused = till
        .issue(&Attestation::Grant(grant(&fresh_key())), None)
        .await;
    match refused {
        Ok(client::issue::Issued::Refused(refused)) => {
            assert_eq!(refused.reason.code(), "KIND_NOT_ALLOWED");
        }
        other => panic!("a till granted a key: {other:?}"),
    }
}
