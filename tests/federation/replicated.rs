//! One ledger at four members: each checks for itself, and any one of them may go.

use std::collections::BTreeSet;

use client::session::Session;
use proto::ids::LeafIndex;
use proto::roster::Roster;
use proto::signing::SecretKey;
use proto::wire::AppendAnswer;
use tests::nodes::Nodes;
use tests::replicated::{all_voting, reaches};
use tests::workload::{Ground, fresh_slots};

const MEMBERS: [&str; 4] = ["cnam", "alpha", "beta", "opticians"];

/// Claims a fresh slot at a member's node, and verifies the receipt.
async fn claim(session: &Session, ground: &Ground, till: &SecretKey, roster: &Roster) -> LeafIndex {
    let claim = ground.claim(till, &fresh_slots(1));
    let payload = Some((&claim.payload, &claim.salt));
    let answer = session.home().append(&claim.entry, payload).await.unwrap();
    let AppendAnswer::Accepted(receipt) = answer else {
        panic!("a claim of a free slot is refused");
    };
    receipt.verify(roster, &mut |_| {}).unwrap().index
}

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
        newest = claim(&nodes.session(member, till), &ground, till, &roster).await;
    }
    agree(&nodes, &MEMBERS, till, newest.get() + 1).await;

    nodes.kill("cnam");
    for member in &MEMBERS[1..] {
        newest = claim(&nodes.session(member, till), &ground, till, &roster).await;
    }
    agree(&nodes, &MEMBERS[1..], till, newest.get() + 1).await;

    nodes.start(&"cnam".parse().unwrap(), &[]);
    agree(&nodes, &MEMBERS, till, newest.get() + 1).await;
}
