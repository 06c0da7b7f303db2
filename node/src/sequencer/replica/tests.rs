//! Pages as a voting member sends them, and as it must not.

use std::path::Path;

use proto::attestation::{Attestation, Revocation};
use proto::checkpoint::CheckpointError;
use proto::evidence::Offence;
use proto::hash::Hash;
use proto::merkle::ConsistencyProof;
use proto::wire::Append;
use proto::wire::replication::{read_page, write_page};

use super::super::tests::{claim, must, prepare, sign};
use super::*;
use crate::clock;
use crate::example::{first_roster, founded, roster_parts, secret};
use crate::store::StoreOptions;

pub(super) fn open_at(dir: &Path) -> Replica {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    let witness = Witness::new("amc".parse().unwrap(), secret("amc"));
    let first = first_roster().verify_genesis().unwrap();
    Replica::open(&store, witness, first).unwrap()
}

pub(super) fn now() -> UnixSeconds {
    clock::now().seconds()
}

pub(super) fn entries(of: &Sequencer, from: u64, at_most: usize) -> Vec<Append> {
    let snapshot = of.snapshot();
    (from..snapshot.size().get())
        .take(at_most)
        .map(|index| {
            let found = snapshot.replicated(LeafIndex::new(index)).unwrap().unwrap();
            ((*found.0).clone(), found.1)
        })
        .collect()
}

pub(super) fn page(of: &Sequencer, from: u64, at_most: usize) -> Page {
    let page = of.snapshot().page(TreeSize::new(from), at_most).unwrap();
    // As it comes over the line.
    read_page(&write_page(&page)).unwrap()
}

/// A page without a proof, which one that reaches its checkpoint needs not.
fn bare(entries: Vec<Append>, checkpoint: SignedCheckpoint) -> Page {
    Page {
        entries,
        checkpoint,
        consistency: ConsistencyProof::from_hashes(Vec::new()).unwrap(),
        rosters: Vec::new(),
    }
}

/// A checkpoint cosigned by a member of the example federation.
fn cosigned(checkpoint: &Checkpoint, by: &str, at: u64) -> SignedCheckpoint {
    let line = checkpoint.cosign(&by.parse().unwrap(), &secret(by), UnixSeconds::new(at));
    SignedCheckpoint::new(checkpoint.clone(), vec![line]).unwrap()
}

fn nothing_but(checkpoint: SignedCheckpoint) -> Page {
    bare(Vec::new(), checkpoint)
}

/// A voting member's ledger of ten claims, and a replica that has all of it.
async fn both(place: &Path) -> (Sequencer, Replica, LeafIndex) {
    let leader = founded(&place.join("leader"));
    let coverage = prepare(&leader).await;
    for slot in 0..10 {
        must(&leader, "till", &claim(slot, coverage)).await;
    }
    let mut replica = open_at(&place.join("replica"));
    let applied = replica.apply(page(&leader, 0, 100), now()).unwrap();
    assert_eq!(applied, Applied::Certified);
    (leader, replica, coverage)
}

#[tokio::test(flavor = "multi_thread")]
async fn page_by_page_the_same_roots_come_out_and_only_they_are_published() {
    let place = tempfile::tempdir().unwrap();
    let (leader, whole, coverage) = both(place.path()).await;
    let text = |replica: &Replica| {
        let published = replica.sequencer().unwrap().snapshot();
        published.checkpoint_text().to_owned()
    };
    assert_eq!(text(&whole), leader.snapshot().checkpoint_text());

    let (dir, size) = (place.path().join("parts"), leader.snapshot().size().get());
    let mut replica = open_at(&dir);
    while replica.size().get() < size {
        // It takes the checkpoint to publish, and a start in between goes on.
        assert!(replica.sequencer().is_none());
        drop(replica);
        replica = open_at(&dir);
        let next = page(&leader, replica.size().get(), 4);
        replica.apply(next, now()).unwrap();
    }
    assert_eq!(text(&replica), leader.snapshot().checkpoint_text());
    drop(replica);
    let mut replica = open_at(&dir);
    assert_eq!(text(&replica), leader.snapshot().checkpoint_text());

    let revoked = Revocation {
        till: secret("till").public(),
    };
    must(&leader, "opticians", &Attestation::Revocation(revoked)).await;
    replica.apply(page(&leader, size, 4), now()).unwrap();
    let published = replica.sequencer().unwrap().snapshot();
    let till = published.grant(&secret("till").public()).unwrap();
    assert!(matches!(
        till,
        Some(proto::attestation::GrantState::Revoked { .. })
    ));
    let late = sign("till", &claim(99, coverage));
    assert!(matches!(
        leader.append(late, None).await.unwrap().verdict.outcome,
        crate::ledger::Outcome::Refused(refusal) if refusal.reason == Reason::GrantRevoked
    ));
    leader.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_quorum_vouches_for_or_comes_from_the_future_is_not_taken() {
    let place = tempfile::tempdir().unwrap();
    let (leader, mut replica, _) = both(place.path()).await;
    let held = replica.sequencer().unwrap().snapshot();
    let same = held.checkpoint().claimed().clone();
    let mut refused = |page| match replica.apply(page, now()) {
        Err(ApplyError::Page(error)) => error,
        other => panic!("{other:?}"),
    };
    let by_follower = nothing_but(cosigned(&same, "other-amc", now().get() + 1));
    assert!(matches!(
        refused(by_follower),
        PageError::Checkpoint(CheckpointError::QuorumNotMet { .. })
    ));
    let tomorrow = nothing_but(cosigned(&same, "cnam", now().get() + 86_400));
    assert!(matches!(refused(tomorrow), PageError::FromTheFuture { .. }));
    let size = same.size;
    let mut ahead = same.clone();
    ahead.size = TreeSize::new(size.get() + 1);
    let empty = nothing_but(cosigned(&ahead, "cnam", now().get()));
    assert_eq!(refused(empty), PageError::Empty { size });
    let beyond = bare(entries(&leader, 1, 2), held.checkpoint().clone());
    assert_eq!(refused(beyond), PageError::Beyond { size });

    let later = nothing_but(cosigned(&same, "cnam", now().get() + 5));
    assert_eq!(replica.apply(later, now()).unwrap(), Applied::Certified);
    assert_eq!(replica.vouched_at().get(), now().get() + 5);
    leader.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_histories_and_wrong_roots_are_evidence_and_change_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (leader, mut replica, coverage) = both(place.path()).await;
    let held = leader.snapshot().checkpoint().clone();
    let same = held.claimed().clone();
    must(&leader, "till", &claim(50, coverage)).await;
    let mut contradicted = |entries: Vec<Append>, checkpoint: &Checkpoint| {
        let checkpoint = cosigned(checkpoint, "cnam", now().get() + 2);
        match replica.apply(bare(entries, checkpoint), now()) {
            Err(ApplyError::Contradicted(contradiction)) => *contradiction,
            other => panic!("{other:?}"),
        }
    };
    let mut fork = same.clone();
    fork.log_root = Hash::from_bytes([1; 32]);
    let accused = |evidence: &Evidence| {
        let roster = first_roster().verify_genesis().unwrap();
        let text = evidence.to_text();
        let verdict = Evidence::verify_text(&text, &roster, &mut |_| {}).unwrap();
        assert_eq!(verdict.members, ["cnam".parse().unwrap()]);
        verdict.offence
    };
    let found = contradicted(Vec::new(), &fork);
    assert_eq!(accused(&found), Offence::Fork { size: same.size });

    let mut back = same.clone();
    back.size = TreeSize::new(same.size.get() - 1);
    let found = contradicted(Vec::new(), &back);
    assert!(matches!(accused(&found), Offence::Rollback { .. }));

    let next = leader.snapshot().checkpoint().claimed().clone();
    let size = next.size;
    let mut wrong = next.clone();
    wrong.map_root = Hash::from_bytes([3; 32]);
    let found = contradicted(entries(&leader, same.size.get(), 9), &wrong);
    assert_eq!(accused(&found), Offence::WrongMap { size });
    // A log root that the page does not lead to is the page's fault as far as one can tell.
    let mut other = next;
    other.log_root = Hash::from_bytes([3; 32]);
    let given = entries(&leader, same.size.get(), 9);
    let page = bare(given, cosigned(&other, "cnam", now().get() + 2));
    let refused = replica.apply(page, now()).unwrap_err();
    assert!(matches!(refused, ApplyError::Page(PageError::OtherLog)));
    assert_eq!(replica.size(), same.size);
    // An older checkpoint, signed before the one held, is only old.
    let old = nothing_but(cosigned(
        &back,
        "cnam",
        held.verify(replica.roster()).unwrap().time().get() - 9,
    ));
    assert_eq!(replica.apply(old, now()).unwrap(), Applied::Nothing);
    leader.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_breaks_a_rule_is_evidence_once_a_quorum_vouches_for_it() {
    let place = tempfile::tempdir().unwrap();
    let (leader, mut replica, coverage) = both(place.path()).await;
    let double = sign("other-till", &claim(3, coverage));
    let index = replica.size().next_index();
    let mut edge = leader.snapshot().edge().clone();
    let _ = edge.append_all(&[double.leaf_hash()]);
    let mut signed = leader.snapshot().checkpoint().claimed().clone();
    signed.size = edge.size();
    let mut given = |log_root| {
        signed.log_root = log_root;
        let given = vec![((**double.shared()).clone(), None)];
        let page = bare(given, cosigned(&signed, "cnam", now().get()));
        replica.apply(page, now()).unwrap_err()
    };
    let reason = Reason::SlotReserved;
    let unproved = given(Hash::from_bytes([9; 32]));
    assert!(matches!(
        unproved,
        ApplyError::Page(PageError::Rule { index: at, reason: why }) if (at, why) == (index, reason)
    ));
    let roster = first_roster().verify_genesis().unwrap();
    let proved = given(edge.root());
    assert!(matches!(
        proved,
        ApplyError::Contradicted(found) if found.verify(&roster, &mut |_| {}).unwrap().offence
            == Offence::Rule { index, reason }
    ));
    leader.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_its_entry_does_not_commit_to_is_not_taken() {
    let place = tempfile::tempdir().unwrap();
    let (leader, mut replica, coverage) = both(place.path()).await;
    let index = must(&leader, "till", &claim(60, coverage)).await;
    let mut page = page(&leader, index.get(), 9);
    let (secret, salt) = ([4; 32], Salt::from_bytes([5; 32]));
    let secret = proto::token::SealingSecret::from_bytes(secret);
    let other = proto::seal::seal(&[(&secret, b"terms")], &salt).unwrap();
    page.entries[0].1 = Some((other, salt));
    let refused = replica.apply(page, now()).unwrap_err();
    assert!(matches!(
        refused,
        ApplyError::Page(PageError::Payload { index: at }) if at == index
    ));
    leader.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_entry_of_another_federation_is_not_taken() {
    let place = tempfile::tempdir().unwrap();
    let leader = founded(&place.path().join("leader"));
    let store = Store::open(&place.path().join("replica"), StoreOptions::default()).unwrap();
    let witness = Witness::new("amc".parse().unwrap(), secret("amc"));
    let mut parts = roster_parts(proto::roster::Epoch::default(), None);
    parts.members.pop();
    let other = Roster::new(parts).unwrap();
    let mut replica = Replica::open(&store, witness, other).unwrap();
    let refused = replica.apply(page(&leader, 0, 9), now()).unwrap_err();
    assert!(matches!(refused, ApplyError::Page(PageError::OtherLedger)));
    assert!(replica.sequencer().is_none());
    leader.stop();
}
