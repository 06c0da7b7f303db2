//! The whole way of a batch, on a real disk.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use proto::attestation::{
    Attestation, CatalogueNotice, Claim, Coverage, Grant, GrantClass, Release,
};
use proto::hash::Hash;
use proto::ids::{CoverageKey, LeafIndex, RequestId, SlotKey, UnixMillis};
use proto::receipt::{Receipt, Step};
use proto::refusal::Reason;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::*;
use crate::clock;
use crate::example::{first_roster, founded, origin, secret, taken_up, witness};
use crate::ledger::Outcome;
use crate::store::{Store, StoreOptions, SyncMode};
use crate::witness::Witness;

fn reopened(dir: &Path) -> Sequencer {
    taken_up(&Store::open(dir, StoreOptions::default()).unwrap())
}

pub(super) fn sign(by: &str, attestation: &Attestation) -> VerifiedEntry {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let mut random = [0; 10];
    let request = REQUESTS.fetch_add(1, Ordering::Relaxed);
    random[2..].copy_from_slice(&request.to_be_bytes());
    let id = RequestId::new(clock::now(), random);
    let header = attestation.header(secret(by).public(), id);
    proto::entry::Entry::sign(&header, &origin(), &secret(by)).unwrap()
}

pub(super) async fn must(ledger: &Sequencer, by: &str, attestation: &Attestation) -> LeafIndex {
    let decided = ledger.append(sign(by, attestation), None).await.unwrap();
    match decided.verdict.outcome {
        Outcome::Appended(leaf) => leaf,
        Outcome::Refused(refusal) => panic!("{refusal:?}"),
    }
}

/// A catalogue, a till and a coverage; the coverage's index.
pub(super) async fn prepare(ledger: &Sequencer) -> LeafIndex {
    let today = clock::now().day();
    let notice = CatalogueNotice {
        hash: Hash::from_bytes([9; 32]),
        valid_from: today,
    };
    must(ledger, "cnam", &Attestation::Catalogue(notice)).await;
    for till in ["till", "other-till"] {
        let grant = Grant {
            till: secret(till).public(),
            finess: "750000001".parse().unwrap(),
            expires_at: UnixMillis::new(clock::now().get() + 86_400_000),
            hourly_quota: 20,
            daily_quota: 60,
            class: GrantClass::Till,
        };
        must(ledger, "opticians", &Attestation::Grant(grant)).await;
    }
    let coverage = Coverage {
        coverage: CoverageKey::from_bytes([7; 32]),
        catalogue: LeafIndex::new(1),
        until: today.plus(30),
        commitment: Hash::from_bytes([1; 32]),
    };
    must(ledger, "amc", &Attestation::Coverage(coverage)).await
}

pub(super) fn claim(slot: u64, coverage: LeafIndex) -> Attestation {
    let mut key = [0; 32];
    key[24..].copy_from_slice(&slot.to_be_bytes());
    Attestation::Claim(Claim {
        slots: vec![SlotKey::from_bytes(key)],
        catalogue: LeafIndex::new(1),
        coverages: vec![coverage],
        until: clock::now().day().plus(60),
        commitment: Hash::from_bytes([2; 32]),
        early: None,
    })
}

fn receipt(decided: &Decided, index: LeafIndex) -> Receipt {
    Receipt {
        proved: decided.snapshot.prove_entry(index).unwrap().unwrap(),
        checkpoint: decided.snapshot.checkpoint().clone(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_comes_with_a_receipt_that_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = founded(dir.path());
    let coverage = prepare(&ledger).await;
    let appends = (0..600).map(|slot| ledger.append(sign("till", &claim(slot, coverage)), None));
    for decided in all_at_once(appends.collect()).await {
        let decided = decided.unwrap();
        let Outcome::Appended(index) = decided.verdict.outcome else {
            panic!("refused")
        };
        let mut steps = Vec::new();
        receipt(&decided, index)
            .verify(decided.snapshot.roster(), &mut |step| steps.push(step))
            .unwrap();
        assert_eq!(steps, [Step::Checkpoint, Step::Entry, Step::Inclusion]);
    }
    ledger.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_claims_of_one_slot_one_is_accepted_and_the_others_are_shown_why() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = founded(dir.path());
    let coverage = prepare(&ledger).await;
    let tills = ["till", "other-till"];
    let claims: Vec<_> = (0..300)
        .map(|n| sign(tills[n % 2], &claim(1, coverage)))
        .collect();
    let appends = claims
        .iter()
        .map(|claim| ledger.append(claim.clone(), None))
        .collect();
    let mut accepted = 0;
    for (claim, decided) in claims.iter().zip(all_at_once(appends).await) {
        let decided = decided.unwrap();
        match decided.verdict.outcome {
            Outcome::Appended(_) => accepted += 1,
            Outcome::Refused(refusal) => {
                assert_eq!(refusal.reason, Reason::SlotReserved);
                let shown = decided
                    .snapshot
                    .refusal_receipt(claim, refusal)
                    .unwrap()
                    .unwrap();
                shown
                    .verify(decided.snapshot.roster(), &mut |_| ())
                    .unwrap();
            }
        }
    }
    assert_eq!(accepted, 1);
    ledger.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_taken_up_again_has_the_same_roots_and_answers() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = founded(dir.path());
    let coverage = prepare(&ledger).await;
    let entry = sign("till", &claim(1, coverage));
    let first = ledger.append(entry.clone(), None).await.unwrap();
    let index = must(&ledger, "till", &claim(2, coverage)).await;
    let release = Release {
        slots: vec![slot_of(&claim(2, coverage))],
        claim: index,
        invoice: None,
    };
    must(&ledger, "till", &Attestation::Release(release)).await;
    let before = ledger.snapshot().checkpoint().claimed().clone();
    ledger.stop();
    drop((ledger, first.snapshot));

    let ledger = reopened(dir.path());
    assert_eq!(*ledger.snapshot().checkpoint().claimed(), before);
    let again = ledger.append(entry, None).await.unwrap();
    assert_eq!(again.verdict.outcome, first.verdict.outcome);
    assert!(again.verdict.repeated);
    ledger.stop();
}

fn slot_of(claim: &Attestation) -> SlotKey {
    let Attestation::Claim(claim) = claim else {
        panic!("a claim")
    };
    claim.slots[0]
}

/// On a slow disk batches come close upon each other: nothing is lost, and no slot is taken twice.
#[tokio::test(flavor = "multi_thread")]
async fn many_tills_that_fight_for_slots_leave_a_ledger_that_is_taken_up_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    founded(dir.path()).stop();
    let slow = StoreOptions {
        sync: SyncMode::Delayed(Duration::from_millis(2)),
        ..StoreOptions::default()
    };
    let ledger = taken_up(&Store::open(dir.path(), slow).unwrap());
    let coverage = prepare(&ledger).await;
    let before = ledger.snapshot().size().get();
    let mut tills = JoinSet::new();
    for till in 0..24 {
        let ledger = ledger.clone();
        tills.spawn(async move {
            let mut accepted = 0;
            // Half of the slots are another till's too.
            for round in 0..8 {
                let slot = round * 100 + till / (1 + round % 2);
                let decided = ledger.append(sign("till", &claim(slot, coverage)), None);
                let outcome = decided.await.unwrap().verdict.outcome;
                accepted += u64::from(matches!(outcome, Outcome::Appended(_)));
            }
            accepted
        });
    }
    let accepted: u64 = tills.join_all().await.into_iter().sum();
    assert_eq!(accepted, 4 * 24 + 4 * 12);
    let last = ledger.snapshot().checkpoint().claimed().clone();
    assert_eq!(last.size.get(), before + accepted);
    ledger.stop();
    drop(ledger);
    // Taking it up recomputes both roots from what is on the disk.
    let ledger = reopened(dir.path());
    assert_eq!(*ledger.snapshot().checkpoint().claimed(), last);
    ledger.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_ledger_takes_no_more_and_goes_on_answering() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = founded(dir.path());
    let coverage = prepare(&ledger).await;
    let index = must(&ledger, "till", &claim(1, coverage)).await;
    ledger.stop();
    let refused = ledger
        .append(sign("till", &claim(2, coverage)), None)
        .await
        .map(|_| ());
    assert_eq!(refused, Err(Unavailable::Stopped(StopReason::ShuttingDown)));
    let slot = slot_of(&claim(1, coverage));
    let answer = ledger.snapshot().slot(&slot).unwrap();
    assert_eq!(answer.entry.unwrap().index, index);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_of_the_ledger_that_fails_stops_writes_and_reads_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    found(&store, &witness(), &first_roster(), &origin(), [1; 10]).unwrap();
    let ledger = taken_up(&store);
    let coverage = prepare(&ledger).await;
    let last = claim_before_a_failing_sync(&ledger, &store, coverage).await;
    let stopped = Unavailable::Stopped(StopReason::SyncFailed);
    let refused = ledger
        .append(sign("till", &claim(99, coverage)), None)
        .await;
    assert_eq!(refused.map(|_| ()), Err(stopped));
    let answer = ledger.snapshot().slot(&slot_of(&last)).unwrap();
    assert!(answer.entry.is_some());
    ledger.stop();
}

/// The claim after whose answer the ledger was synced, which failed. A busy machine may have synced
/// before it is told to fail: then the next claim is as good.
async fn claim_before_a_failing_sync(
    ledger: &Sequencer,
    store: &Store,
    coverage: LeafIndex,
) -> Attestation {
    for slot in 1..20 {
        let claim = claim(slot, coverage);
        must(ledger, "till", &claim).await;
        store.fail_next_sync(true);
        sleep(Duration::from_millis(500)).await;
        if ledger.condition() == Condition::Stopped(StopReason::SyncFailed) {
            return claim;
        }
        store.fail_next_sync(false);
    }
    panic!("no sync of the ledger failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_another_key_does_not_take_the_ledger_up() {
    let dir = tempfile::tempdir().unwrap();
    founded(dir.path()).stop();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let stranger = Witness::new("cnam".parse().unwrap(), secret("stranger"));
    let refused = open(&store, stranger, None, Box::new(|_| ()));
    assert!(matches!(refused, Err(OpenError::NotAMember(_))));
}

/// Polls all of them at once, so that they share batches.
async fn all_at_once<F>(futures: Vec<F>) -> Vec<F::Output>
where
    F: Future,
{
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        if outputs.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
