//! An erased payload: its salt is nowhere on the disk, and the log is what it was.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a scenario fails where it stands"
)]

use proto::attestation::{Attestation, Erasure};
use proto::wire::AppendAnswer;
use tests::bytes::{contains, find_in_folder};
use tests::federation::accepted;
use tests::workload::fresh_slots;
use tests::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn after_an_erasure_the_salt_is_nowhere_and_the_entry_still_proves() {
    let mut world = World::new(1).await;
    let till = world.sessions().remove(0);
    let slots = fresh_slots(1);
    let claim = world.ground.claim(&world.tills[0], &slots);
    let payload = Some((&claim.payload, &claim.salt));
    let AppendAnswer::Accepted(receipt) = till.home().append(&claim.entry, payload).await.unwrap()
    else {
        panic!("the claim was refused");
    };
    let index = receipt.proved.index;
    let data = world.federation.node_dir();
    assert!(
        !find_in_folder(&data, claim.salt.as_bytes()).is_empty(),
        "the salt is stored at first"
    );

    let stranger = world
        .federation
        .session(&world.node, &world.federation.amcs[1]);
    let erasure = Attestation::Erasure(Erasure { erased: index });
    let refused = stranger.issue(&erasure, None).await.unwrap();
    assert!(
        matches!(refused, client::issue::Issued::Refused(_)),
        "only the issuer erases"
    );
    accepted(&till.issue(&erasure, None).await.unwrap());
    assert_eq!(
        find_in_folder(&data, claim.salt.as_bytes()),
        [] as [std::path::PathBuf; 0]
    );

    world.restart();
    assert_eq!(
        find_in_folder(&data, claim.salt.as_bytes()),
        [] as [std::path::PathBuf; 0]
    );
    let till = world.sessions().remove(0);
    till.verified_entry(index)
        .await
        .expect("the entry is in the log as before");
    receipt
        .verify(&world.federation.roster, &mut |_| {})
        .expect("its receipt verifies as before");
    let found = till.lookup(&slots, &[]).await.unwrap();
    assert_eq!(
        found.slots[0].as_ref().unwrap().state.by,
        index,
        "it has its slot as before"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_coverage_is_found_without_its_terms() {
    let world = World::new(1).await;
    let till = world.sessions().remove(0);
    let key = world.ground.coverage_keys[0];
    let before = till.lookup(&[], &[key]).await.unwrap();
    let coverage = before.coverages[0].as_ref().unwrap();
    let salt = coverage.payload.as_ref().unwrap().1.clone();
    let cnam = world
        .federation
        .session(&world.node, &world.federation.cnam);
    let erasure = Attestation::Erasure(Erasure {
        erased: coverage.index,
    });
    accepted(&cnam.issue(&erasure, None).await.unwrap());
    let after = till.lookup(&[], &[key]).await.unwrap();
    let after = after.coverages[0].as_ref().unwrap();
    assert!(after.payload.is_none() && after.index == coverage.index);
    assert_eq!(
        find_in_folder(&world.federation.node_dir(), salt.as_bytes()),
        [] as [std::path::PathBuf; 0]
    );
}

#[test]
fn the_search_finds_what_is_there() {
    assert!(contains(b"a salt in a file", b"salt"));
    assert!(!contains(b"a salt in a file", b"pepper"));
}
