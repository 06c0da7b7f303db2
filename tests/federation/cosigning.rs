//! Members that only follow cosign what they have checked themselves, and nothing else. Their
//! signatures are one more word for a state, and part of no quorum.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use node::engine::EngineId;
use node::peer::Peer;
use node::store::{Recovered, Store, StoreOptions};
use proto::attestation::{Attestation, CatalogueNotice};
use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::evidence::{Evidence, Offence};
use proto::hash::Hash;
use proto::ids::MemberName;
use proto::merkle::ConsistencyProof;
use proto::receipt::{Receipt, ReceiptFile};
use proto::wire::AppendAnswer;
use proto::wire::replication::Page;
use serde_json::Value;
use tests::binary::{scratch_folder, vitrail, vitrail_node};
use tests::engine_liar::SYNCED;
use tests::false_voter::FalseVoter;
use tests::federation::cnam;
use tests::nodes::Nodes;
use tests::replicated::sign;
use tests::workload::{Ground, fresh_slots};
use tokio::time::sleep;

/// Longest wait for what must come, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
const FOLLOWING: [&str; 3] = ["alpha", "beta", "opticians"];

/// The newest cosignature of a member that the voting member's node holds.
async fn held_of(nodes: &Nodes, member: &str) -> Option<SignedCheckpoint> {
    let roster = &nodes.federation.roster;
    let (voting, secret) = (roster.member(&cnam()).unwrap(), &nodes.keys[&cnam()]);
    let address = voting.grpc.as_ref().unwrap();
    let peer = Peer::open(cnam(), voting.public_key, address, secret).unwrap();
    let held = peer.status().await.ok()?.cosignatures;
    let is_of = |it: &SignedCheckpoint| it.cosignatures()[0].name().as_str() == member;
    held.into_iter().find(is_of)
}

/// A member's cosignature of this very state, as soon as the voting member's node holds it.
async fn cosigned(nodes: &Nodes, member: &str, state: &Checkpoint) -> SignedCheckpoint {
    let until = Instant::now() + PATIENCE;
    loop {
        let held = held_of(nodes, member).await;
        match held.filter(|it| it.claimed() == state) {
            Some(held) => return held,
            None => assert!(Instant::now() < until, "{member} has not cosigned"),
        }
        sleep(PAUSE).await;
    }
}

async fn claimed(nodes: &Nodes) -> Receipt {
    let voting = nodes.node("cnam");
    let till = nodes.federation.grant_tills(voting, 1).await.remove(0);
    let ground = Ground::lay(&nodes.federation, voting).await;
    let claim = ground.claim(&till, &fresh_slots(1));
    let session = nodes.session("alpha", &till);
    let payload = Some((&claim.payload, &claim.salt));
    match session.home().append(&claim.entry, payload).await.unwrap() {
        AppendAnswer::Accepted(receipt) => receipt,
        AppendAnswer::Refused { reason, .. } => panic!("refused: {}", reason.code()),
    }
}

/// What `vitrail-node status` says, and the operator's page and metrics of the voting member.
fn is_shown(nodes: &Nodes) {
    let voting = nodes.node("cnam");
    let asked = vitrail_node();
    let asked = std::process::Command::new(asked)
        .args(["status", "-o", "json", "--dir"])
        .arg(nodes.folder("cnam"))
        .arg("--grpc")
        .arg(nodes.listens[&cnam()].to_string())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    let status: Value = serde_json::from_str(&said)
        .unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&asked.stderr)));
    let page: Value = serde_json::from_slice(&voting.page("/etat.json").unwrap()).unwrap();
    for shown in [&status, &page] {
        for member in shown["members"].as_array().unwrap() {
            assert!(member["cosigned"].is_u64(), "{member}");
            assert!(member["cosigned_ago_s"].as_u64() < Some(60), "{member}");
        }
    }
    for (are, count) in [("following", 3.0), ("following-cosigning", 3.0)] {
        let metric = format!("vitrail_members{{are=\"{are}\"}}");
        assert_eq!(voting.metric(&metric), Some(count), "{are}");
    }
    for member in FOLLOWING {
        let age = nodes.node(member).metric("vitrail_cosignature_age_seconds");
        assert!(age.is_some_and(|age| age < 60.0), "{member}: {age:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_follow_cosign_and_a_receipt_may_have_their_signatures_too() {
    let folder = scratch_folder();
    let mut nodes = Nodes::found(folder.path(), 4, 2, &BTreeMap::new());
    nodes.start_all(&[]);
    let receipt = claimed(&nodes).await;
    let state = receipt.checkpoint.claimed().clone();
    let mut lines = receipt.checkpoint.cosignatures().to_vec();
    assert_eq!(lines.len(), 1);
    for member in FOLLOWING {
        let signed = cosigned(&nodes, member, &state).await;
        let line = signed.cosignatures()[0].clone();
        let verified = state.verify_cosignature(&line, &nodes.federation.roster);
        assert_eq!(verified.unwrap().name.as_str(), member);
        lines.push(line);
    }
    is_shown(&nodes);

    // With their lines the receipt verifies, and with theirs alone it does not.
    let roster = &nodes.federation.roster;
    let with = |lines: &[_]| Receipt {
        checkpoint: SignedCheckpoint::new(state.clone(), lines.to_vec()).unwrap(),
        ..receipt.clone()
    };
    with(&lines).verify(roster, &mut |_| {}).unwrap();
    with(&lines[1..]).verify(roster, &mut |_| {}).unwrap_err();
    let file = folder.path().join("receipt.txt");
    fs::write(&file, ReceiptFile::Accepted(with(&lines)).to_text()).unwrap();
    let verify = vitrail()
        .args(["receipt", "verify"])
        .arg(&file)
        .arg("--roster")
        .arg(folder.path().join("roster.txt"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verify.stderr).into_owned();
    assert_eq!(verify.status.code(), Some(0), "{said}");
}

/// The next page of the voting member's ledger, all of it true but the map, which it has signed.
fn with_wrong_map(nodes: &Nodes) -> (Checkpoint, Page) {
    let (roster, secret) = (&nodes.federation.roster, &nodes.keys[&cnam()]);
    let data = nodes.folder("cnam").join("data");
    let store = Store::open(&data, StoreOptions::default()).unwrap();
    let Recovered {
        checkpoint, edge, ..
    } = store.recover().unwrap().unwrap();
    let notice = CatalogueNotice {
        hash: Hash::from_bytes([7; 32]),
        valid_from: client::system::now().day(),
    };
    let entry = sign(&Attestation::Catalogue(notice), secret, roster).into_entry();
    let mut log = edge;
    let _ = log.append_all(&[entry.leaf_hash()]);
    let wrong = Checkpoint {
        origin: roster.origin().clone(),
        size: log.size(),
        log_root: log.root(),
        map_root: Hash::from_bytes([2; 32]),
    };
    let line = wrong.cosign(&cnam(), secret, client::system::now().seconds());
    let page = Page {
        entries: vec![(entry, None)],
        checkpoint: SignedCheckpoint::new(wrong, vec![line]).unwrap(),
        consistency: ConsistencyProof::from_hashes(Vec::new()).unwrap(),
        rosters: Vec::new(),
    };
    (checkpoint.claimed().clone(), page)
}

/// What a member has locked: the last state that it has signed, or was about to.
fn locked(nodes: &Nodes, member: &str) -> Checkpoint {
    let data = nodes.folder(member).join("data");
    let store = Store::open(&data, StoreOptions::default()).unwrap();
    let engine = store.begin_engine(EngineId::new(1)).unwrap();
    let origin = nodes.federation.roster.origin();
    engine.lock.unwrap().checkpoint(origin)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_does_not_cosign_a_map_that_does_not_follow() {
    let folder = scratch_folder();
    let mut nodes = Nodes::found(folder.path(), 4, 2, &BTreeMap::new());
    let alpha: MemberName = "alpha".parse().unwrap();
    for name in [cnam(), alpha.clone()] {
        nodes.start(&name, &[]);
    }
    let newest = claimed(&nodes).await.checkpoint.claimed().clone();
    cosigned(&nodes, "alpha", &newest).await;

    // The voting member lies from here on, with its own key.
    sleep(SYNCED).await;
    nodes.kill("cnam");
    let (held, page) = with_wrong_map(&nodes);
    let (address, secret) = (nodes.listens[&cnam()], nodes.keys[&cnam()].clone());
    let voter = FalseVoter::serve(address, &secret, held.size, page).await;
    let evidence = folder.path().join("alpha/data/evidence");
    let until = Instant::now() + PATIENCE;
    while !evidence.exists() || fs::read_dir(&evidence).unwrap().next().is_none() {
        assert!(Instant::now() < until, "the lie was not found");
        sleep(PAUSE).await;
    }
    let file = fs::read_dir(&evidence).unwrap().next().unwrap().unwrap();
    // It is written before it is synced, and found in between.
    sleep(Duration::from_secs(1)).await;
    let text = fs::read_to_string(file.path()).unwrap();
    let roster = &nodes.federation.roster;
    let verdict = Evidence::verify_text(&text, roster, &mut |_| {}).unwrap();
    assert!(matches!(verdict.offence, Offence::WrongMap { .. }));

    let given = voter.cosigned();
    assert!(given.iter().all(|it| it.claimed().size <= held.size));
    nodes.kill("alpha");
    assert_eq!(locked(&nodes, "alpha"), held);
}
