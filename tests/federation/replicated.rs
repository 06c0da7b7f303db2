//! One ledger at four members: each checks for itself, and any one of them may go.

use std::collections::BTreeSet;

use proto::ids::LeafIndex;
use proto::signing::SecretKey;
use tests::nodes::Nodes;
use tests::replicated::{all_voting, reaches};
use tests::workload::Ground;

const MEMBERS: [&str; 4] = ["cnam", "alpha", "beta", "opticians"];

/// All these members come to this size, and to the same roots.
async fn agree(nodes: &Nodes, members: &[&str], key: &SecretKey, size: u64) {
    let mut states = BTreeSet::new();
    for member in members {
        let checkpoint = reaches(&nodes.session(member, key), size).await;
        checkpoint.verify(&nodes.federation.roster).unwrap();
        states.insert(checkpoint.claimed().to_text());
    }
    assert_eq!(states.len(), 1, "{states:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn four_members_order_one_ledger_and_go_on_without_their_leader() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = all_voting(dir.path(), 4, 2).await;
    let founder = nodes.node("cnam");
    let ground = Ground::lay(&nodes.federation, founder).await;
    let tills = nodes.federation.grant_tills(founder, 1).await;
    let (till, roster) = (&tills[0], nodes.federation.roster.clone());
    let founder = nodes.session("cnam", till);
    let laid = founder.home().checkpoint().await.unwrap().claimed().size;
    agree(&nodes, &MEMBERS, till, laid.get()).await;

    let mut newest = LeafIndex::new(0);
    for member in MEMBERS {
        let session = nodes.session(member, till);
        newest = ground.claim_at(&session, till, &roster).await;
    }
    agree(&nodes, &MEMBERS, till, newest.get() + 1).await;

    nodes.kill("cnam");
    for member in &MEMBERS[1..] {
        let session = nodes.session(member, till);
        newest = ground.claim_at(&session, till, &roster).await;
    }
    agree(&nodes, &MEMBERS[1..], till, newest.get() + 1).await;

    nodes.start(&"cnam".parse().unwrap(), &[]);
    agree(&nodes, &MEMBERS, till, newest.get() + 1).await;
}
