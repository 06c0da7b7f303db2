//! A whole node, from `init` to `stop`, driven from outside over TLS and plain HTTP.

mod rotation;

use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use proto::attestation::{
    Attestation, CatalogueNotice, Claim, Coverage, Grant, GrantClass, Revocation,
};
use proto::entry::{Entry, VerifiedEntry};
use proto::hash::Hash;
use proto::ids::{CoverageKey, LeafIndex, RequestId, SlotKey, UnixMillis};
use proto::oprf::{PublicShare, ShareIndex, blind};
use proto::roster::{Role, Roster, SignedRoster};
use proto::seal::{Salt, SealedPayload, seal};
use proto::signing::SecretKey;
use proto::token::ContractToken;
use proto::wire::v1::evaluator_service_client::EvaluatorServiceClient;
use proto::wire::v1::ledger_service_client::LedgerServiceClient;
use proto::wire::v1::log_service_client::LogServiceClient;
use proto::wire::{AppendAnswer, read, v1, write};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt as _;

use super::*;
use crate::config::Settings;
use crate::example::{origin, secret};
use crate::init::{self, Founding};
use crate::protection::Sealing;
use crate::secret_file;
use tls::test_client;

/// A node of `cnam`, with an AMC and a federation of opticians that follow.
struct Node {
    _place: tempfile::TempDir,
    dir: PathBuf,
    roster: Roster,
    running: RunningNode,
}

impl Node {
    async fn start() -> Self {
        let place = tempfile::tempdir().unwrap();
        let dir = place.path().join("node");
        let follows = |name: &str, role: &str, payer: &str| {
            let key = secret(name).public().to_base64();
            format!("{name} {role} {payer} following {key} - -")
                .parse()
                .unwrap()
        };
        let founding = Founding {
            origin: origin(),
            name: "cnam".parse().unwrap(),
            role: Role::Amo,
            payer: Some("01".parse().unwrap()),
            grpc: "127.0.0.1:7443".parse().unwrap(),
            http: "127.0.0.1:7480".parse().unwrap(),
            sealing: Sealing::default(),
            others: vec![
                follows("amc", "amc", "75000001"),
                follows("opticians", "federation", "-"),
            ],
            incident_keys: Vec::new(),
        };
        let roster = init::init(&dir, &founding).unwrap().roster;
        let running = RunningNode::start(config(&dir)).await.unwrap();
        Self {
            _place: place,
            dir,
            roster,
            running,
        }
    }

    fn own_key(&self) -> SecretKey {
        SecretKey::from_pem(&secret_file::read(&self.dir.join("node.key")).unwrap()).unwrap()
    }

    async fn ledger(&self, secret: &SecretKey) -> LedgerServiceClient<Channel> {
        LedgerServiceClient::new(self.channel(secret).await)
    }

    async fn channel(&self, secret: &SecretKey) -> Channel {
        let (address, config) = (self.running.addresses().grpc, test_client(secret));
        let connector = tower::service_fn(move |_| {
            let config = config.clone();
            async move {
                let tls = tls::test_connect(address, config).await?;
                Ok::<_, io::Error>(TokioIo::new(tls))
            }
        });
        let endpoint = Endpoint::from_static("http://vitrail");
        endpoint.connect_with_connector(connector).await.unwrap()
    }

    async fn append(
        &self,
        by: &SecretKey,
        attestation: &Attestation,
        payload: Option<(&SealedPayload, &Salt)>,
    ) -> Result<AppendAnswer, Status> {
        let entry = sign(by, attestation);
        let request = timed(write::append(&entry, payload));
        let answer = self.ledger(by).await.append(request).await?.into_inner();
        Ok(read::append_answer(answer, &entry).unwrap())
    }

    async fn must(&self, by: &SecretKey, attestation: &Attestation) -> LeafIndex {
        match self.append(by, attestation, None).await.unwrap() {
            AppendAnswer::Accepted(receipt) => {
                receipt.verify(&self.roster, &mut |_| ()).unwrap().index
            }
            AppendAnswer::Refused { reason, .. } => panic!("{reason:?}"),
        }
    }

    async fn grant(&self, till: &str) {
        let grant = Grant {
            till: secret(till).public(),
            finess: "750000001".parse().unwrap(),
            expires_at: UnixMillis::new(clock::now().get() + 86_400_000),
            hourly_quota: 20,
            daily_quota: 60,
            class: GrantClass::Till,
        };
        self.must(&secret("opticians"), &Attestation::Grant(grant))
            .await;
    }

    /// Status line, headers and body of a page.
    async fn page(&self, path: &str) -> String {
        let mut tcp = TcpStream::connect(self.running.addresses().http)
            .await
            .unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        tcp.read_to_end(&mut bytes).await.unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn config(dir: &Path) -> Config {
    let free = Some("127.0.0.1:0".parse().unwrap());
    let settings = Settings {
        grpc: free,
        http: free,
        admin: free,
        ..Settings::default()
    };
    Config::load(dir, settings).unwrap()
}

fn sign(by: &SecretKey, attestation: &Attestation) -> VerifiedEntry {
    let mut random = [0; 10];
    getrandom::fill(&mut random).unwrap();
    let header = attestation.header(by.public(), RequestId::new(clock::now(), random));
    Entry::sign(&header, &origin(), by).unwrap()
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(10));
    request
}

fn reason(status: &Status) -> String {
    status
        .get_error_details()
        .error_info()
        .unwrap()
        .reason
        .clone()
}

fn catalogue() -> Attestation {
    let valid_from = clock::now().day();
    Attestation::Catalogue(CatalogueNotice {
        hash: Hash::from_bytes([9; 32]),
        valid_from,
    })
}

fn payload() -> (SealedPayload, Salt) {
    let salt = Salt::from_bytes([4; 32]);
    let secret = ContractToken::from_bytes([5; 32]).sealing_secret();
    (seal(&[(&secret, b"terms")], &salt).unwrap(), salt)
}

fn coverage(catalogue: LeafIndex) -> Attestation {
    let (sealed, salt) = payload();
    Attestation::Coverage(Coverage {
        coverage: CoverageKey::from_bytes([7; 32]),
        catalogue,
        until: clock::now().day().plus(30),
        commitment: *sealed.commitment(&salt).as_hash(),
    })
}

fn claim(catalogue: LeafIndex, coverage: LeafIndex) -> Attestation {
    let (sealed, salt) = payload();
    Attestation::Claim(Claim {
        slots: vec![SlotKey::from_bytes([1; 32]), SlotKey::from_bytes([2; 32])],
        catalogue,
        coverages: vec![coverage],
        until: clock::now().day().plus(60),
        commitment: *sealed.commitment(&salt).as_hash(),
        early: None,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_gets_a_receipt_and_the_second_one_of_its_slots_a_proof_of_refusal() {
    let node = Node::start().await;
    let catalogue = node.must(&node.own_key(), &catalogue()).await;
    node.grant("till").await;
    node.grant("other-till").await;
    let (sealed, salt) = payload();
    let sealed = Some((&sealed, &salt));
    let covered = node
        .append(&secret("amc"), &coverage(catalogue), sealed)
        .await
        .unwrap();
    let AppendAnswer::Accepted(covered) = covered else {
        panic!("refused")
    };
    let claim = claim(catalogue, covered.proved.index);
    let first = node.append(&secret("till"), &claim, sealed).await.unwrap();
    let AppendAnswer::Accepted(receipt) = first else {
        panic!("refused")
    };
    receipt.verify(&node.roster, &mut |_| ()).unwrap();
    let second = node
        .append(&secret("other-till"), &claim, sealed)
        .await
        .unwrap();
    let AppendAnswer::Refused {
        evidence: Some(evidence),
        ..
    } = second
    else {
        panic!("accepted")
    };
    evidence.verify(&node.roster, &mut |_| ()).unwrap();
    assert_eq!(evidence.holder.index, receipt.proved.index);

    let request = v1::LookupRequest {
        slot_keys: vec![vec![1; 32], vec![3; 32]],
        coverage_keys: vec![vec![7; 32]],
    };
    let mut ledger = node.ledger(&secret("till")).await;
    let answer = ledger.lookup(timed(request)).await.unwrap().into_inner();
    let checkpoint = read::checkpoint(&answer.checkpoint)
        .unwrap()
        .verify(&node.roster)
        .unwrap();
    let slot = read::state(&answer.slots[0]).unwrap();
    slot.entry
        .unwrap()
        .verify(&checkpoint, &mut |_| ())
        .unwrap();
    assert!(read::state(&answer.slots[1]).unwrap().entry.is_none());
    assert!(read::state(&answer.coverages[0]).unwrap().payload.is_some());
    node.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_admitted_is_told_so_and_may_still_follow_the_log() {
    let node = Node::start().await;
    let stranger = secret("stranger");
    let refused = node
        .append(&stranger, &catalogue(), None)
        .await
        .unwrap_err();
    assert_eq!(
        (refused.code(), reason(&refused).as_str()),
        (Code::PermissionDenied, "ISSUER_UNKNOWN")
    );

    let mut log = LogServiceClient::new(node.channel(&stranger).await);
    let checkpoint = log
        .get_checkpoint(timed(v1::GetCheckpointRequest {}))
        .await
        .unwrap();
    read::checkpoint(&checkpoint.get_ref().checkpoint)
        .unwrap()
        .verify(&node.roster)
        .unwrap();
    let entry = log
        .get_entry(timed(v1::GetEntryRequest { index: 0 }))
        .await
        .unwrap()
        .into_inner();
    read::proved_entry(&entry.entry.unwrap()).unwrap();
    let absent = log
        .get_entry(timed(v1::GetEntryRequest { index: 1 }))
        .await
        .unwrap_err();
    assert_eq!(absent.code(), Code::NotFound);
    let proof = log
        .prove_consistency(timed(v1::ProveConsistencyRequest { old_size: 1 }))
        .await;
    assert!(proof.unwrap().into_inner().hashes.is_empty());
    let beyond = log
        .prove_consistency(timed(v1::ProveConsistencyRequest { old_size: 9 }))
        .await;
    assert_eq!(beyond.unwrap_err().code(), Code::OutOfRange);
    node.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_till_is_refused_on_its_open_connection() {
    let node = Node::start().await;
    node.grant("till").await;
    let mut till = node.ledger(&secret("till")).await;
    assert!(
        till.lookup(timed(v1::LookupRequest::default()))
            .await
            .is_ok()
    );
    let revocation = Revocation {
        till: secret("till").public(),
    };
    node.must(&secret("opticians"), &Attestation::Revocation(revocation))
        .await;
    let refused = till
        .lookup(timed(v1::LookupRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "GRANT_REVOKED");
    node.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_is_not_sound_is_told_which_field_is_wrong() {
    let node = Node::start().await;
    let own = node.own_key();
    let mut ledger = node.ledger(&own).await;
    let stolen = sign(&secret("amc"), &catalogue());
    let refused = ledger
        .append(timed(write::append(&stolen, None)))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), "NOT_THE_ISSUER");

    let entry = sign(&own, &catalogue());
    let late = ledger
        .append(write::append(&entry, None))
        .await
        .unwrap_err();
    assert_eq!(
        (late.code(), reason(&late).as_str()),
        (Code::InvalidArgument, "DEADLINE_MISSING")
    );

    let (sealed, salt) = payload();
    let request = write::append(&entry, Some((&sealed, &salt)));
    let refused = ledger.append(timed(request)).await.unwrap_err();
    let violations = refused
        .get_error_details()
        .bad_request()
        .unwrap()
        .field_violations
        .clone();
    assert_eq!(violations[0].field, "payload");

    let other = Salt::from_bytes([8; 32]);
    let covered = sign(&own, &coverage(LeafIndex::new(0)));
    for payload in [None, Some((&sealed, &other))] {
        let refused = ledger
            .append(timed(write::append(&covered, payload)))
            .await
            .unwrap_err();
        assert_eq!(
            refused.code(),
            Code::InvalidArgument,
            "{}",
            refused.message()
        );
    }

    let mut forged = write::append(&entry, None);
    *forged.entry.last_mut().unwrap() ^= 1;
    let refused = ledger.append(timed(forged)).await.unwrap_err();
    assert_eq!(
        refused.message(),
        "entry: signature: the signature does not verify"
    );

    let long = v1::AppendRequest {
        entry: vec![0; 70_000],
        payload: None,
    };
    let refused = ledger.append(timed(long)).await.unwrap_err();
    assert_eq!(refused.code(), Code::OutOfRange);
    assert_eq!(node.running.size(), TreeSize::new(1));
    node.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_till_evaluates_both_kinds_of_token_and_a_payer_its_contracts() {
    let node = Node::start().await;
    node.grant("till").await;
    let share = node.roster.shares()[0].public;
    let own = node.own_key();
    for (by, kind, public, answers) in [
        (&secret("till"), v1::TokenKind::Person, share.person, true),
        (
            &secret("till"),
            v1::TokenKind::Contract,
            share.contract,
            true,
        ),
        (&own, v1::TokenKind::Contract, share.contract, true),
        (&own, v1::TokenKind::Person, share.person, false),
        (
            &secret("opticians"),
            v1::TokenKind::Contract,
            share.contract,
            false,
        ),
    ] {
        let blinded: Vec<_> = (0..10_u8)
            .map(|n| blind(&[n], &[n + 1; 64]).unwrap().1)
            .collect();
        let id = RequestId::new(clock::now(), [3; 10]);
        let request = timed(write::evaluate(id, kind, &blinded));
        let mut evaluator = EvaluatorServiceClient::new(node.channel(by).await);
        match evaluator.evaluate(request).await {
            Ok(answer) => {
                let evaluation = read::evaluation(answer.get_ref()).unwrap();
                let public = PublicShare::from_bytes(ShareIndex::ONE, public.as_bytes()).unwrap();
                assert!(answers && public.verify(&blinded, evaluation).is_ok());
            }
            Err(refused) => assert!(!answers && refused.code() == Code::PermissionDenied),
        }
    }
    node.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_show_checkpoint_roster_tiles_metrics_and_readiness() {
    let node = Node::start().await;
    node.must(&node.own_key(), &catalogue()).await;
    let body = |page: String| page.split_once("\r\n\r\n").unwrap().1.to_owned();
    let checkpoint = body(node.page("/checkpoint").await);
    let checkpoint = read::checkpoint(&checkpoint)
        .unwrap()
        .verify(&node.roster)
        .unwrap();
    assert_eq!(checkpoint.size(), TreeSize::new(2));
    let roster = body(node.page("/roster").await);
    let roster = SignedRoster::parse(roster.as_bytes())
        .unwrap()
        .verify_genesis()
        .unwrap();
    assert_eq!(roster, node.roster);
    let tile = node.page("/tile/entries/000.p/2").await;
    assert!(
        tile.contains("application/octet-stream") && tile.contains("max-age=600"),
        "{tile}"
    );
    for absent in [
        "/tile/entries/000",
        "/tile/0/000.p/3",
        "/tile/0/%30",
        "/tile/../node.key",
        "/x",
    ] {
        assert!(
            node.page(absent).await.starts_with("HTTP/1.1 404"),
            "{absent}"
        );
    }
    let metrics = node.page("/metrics").await;
    let appended = "vitrail_appends_total{kind=\"catalogue\",outcome=\"appended\",reason=\"\"} 1\n";
    assert!(
        metrics.contains(appended) && metrics.contains("vitrail_log_entries 2\n"),
        "{metrics}"
    );
    assert!(node.page("/livez").await.ends_with("\r\n\r\nok\n"));
    let ready = body(node.page("/readyz?verbose").await);
    assert_eq!(
        ready,
        "[+]store ok\n[+]writes ok\n[+]cosigning ok\n[+]checkpoint-age ok\nready\n"
    );
    node.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_health_and_what_is_not_listed_cannot_be_called() {
    let node = Node::start().await;
    let admin = format!("http://{}", node.running.addresses().admin);
    let admin = Endpoint::from_shared(admin)
        .unwrap()
        .connect()
        .await
        .unwrap();
    for channel in [admin, node.channel(&secret("stranger")).await] {
        let service = "vitrail.v1.LedgerService".to_owned();
        let mut health = HealthClient::new(channel);
        // The reporter sets its first status right after the start.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let status = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(status.get_ref().status, 1);
    }
    let mut grpc = tonic::client::Grpc::new(node.channel(&node.own_key()).await);
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<v1::LookupRequest, v1::LookupResponse>::default();
    let path = "/vitrail.v1.LedgerService/Erase".parse().unwrap();
    let unlisted = grpc
        .unary(timed(v1::LookupRequest::default()), path, codec)
        .await;
    assert_eq!(reason(&unlisted.unwrap_err()), "METHOD_UNKNOWN");
    node.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_node_starts_again_where_it_was() {
    let node = Node::start().await;
    let mut idle = node.ledger(&node.own_key()).await;
    node.must(&node.own_key(), &catalogue()).await;
    let Node {
        _place,
        dir,
        running,
        ..
    } = node;
    running.stop().await;
    assert!(
        idle.lookup(timed(v1::LookupRequest::default()))
            .await
            .is_err()
    );
    drop(idle);
    let again = RunningNode::start(config(&dir)).await.unwrap();
    assert_eq!(again.size(), TreeSize::new(2));
    again.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_do_not_fit_each_other_do_not_start() {
    let node = Node::start().await;
    let other = Node::start().await;
    node.running.stop().await;
    other.running.stop().await;
    let evaluator_key = other.dir.join("evaluator.key");
    let started = RunningNode::start(Config {
        evaluator_key,
        ..config(&node.dir)
    })
    .await;
    assert!(matches!(started, Err(StartError::OtherShares { .. })));
    let key = other.dir.join("node.key");
    let started = RunningNode::start(Config {
        key,
        ..config(&node.dir)
    })
    .await;
    assert!(matches!(
        started,
        Err(StartError::Ledger(OpenError::NotAMember(_)))
    ));
    let started = RunningNode::start(Config {
        data: other.dir.join("empty"),
        ..config(&node.dir)
    })
    .await;
    assert!(matches!(started, Err(StartError::Ledger(OpenError::Empty))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_whose_port_is_taken_ends_what_it_had_begun() {
    let Node {
        _place,
        dir,
        running,
        ..
    } = Node::start().await;
    running.stop().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = config(&dir);
    settings.grpc = taken.local_addr().unwrap();
    let started = RunningNode::start(settings).await;
    assert!(matches!(started, Err(StartError::Bind { .. })));
    // One process has the store at a time: a thread that was left behind would have it still.
    let free = RunningNode::start(config(&dir)).await.unwrap();
    free.stop().await;
}
