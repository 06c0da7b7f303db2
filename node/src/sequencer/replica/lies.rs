//! Pages that a peer has made up, in between two checkpoints: none of them is taken, nothing of
//! them is on the disk, and the same ledger then takes those of an honest peer to the same roots.

use std::path::Path;

use proto::attestation::{Attestation, Grant, GrantClass};
use proto::ids::UnixMillis;
use proto::merkle::ConsistencyProof;
use proto::receipt::EntryProof;
use proto::roster::{MemberChange, SignedRoster};
use proto::signing::SecretKey;

use super::super::found;
use super::super::steps::grow;
use super::super::tests::{claim, must, prepare, sign};
use super::tests::{entries, now, open_at, page};
use super::*;
use crate::clock;
use crate::example::{first_roster, founded, origin, secret};
use crate::store::StoreOptions;

/// Entries of a page here: some pages of each ledger lie in between.
const PAGE: usize = 4;

/// A ledger on the disk, as far as a start finds it.
fn on_disk(dir: &Path) -> Option<Checkpoint> {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    let recovered = store.recover().unwrap()?;
    Some(recovered.checkpoint.claimed().clone())
}

/// The checkpoint of the ledger that honest pages make of this folder's.
fn brought_up(dir: &Path, of: &Snapshot) -> Checkpoint {
    let mut replica = open_at(dir);
    while replica.size() < of.size() {
        let next = of.page(replica.size(), PAGE).unwrap();
        replica.apply(next, now()).unwrap();
    }
    let published = replica.sequencer().unwrap().snapshot();
    published.checkpoint().claimed().clone()
}

/// Gives the page to the ledger in this folder, and sees that it leaves no trace.
fn refused(dir: &Path, page: Page) -> PageError {
    let before = on_disk(dir);
    let mut replica = open_at(dir);
    let size = replica.size();
    let refused = match replica.apply(page, now()) {
        Err(ApplyError::Page(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(replica.size(), size);
    drop(replica);
    assert_eq!(on_disk(dir), before);
    assert!(refused.lie().is_some(), "{refused}");
    refused
}

/// A ledger with so many claims after the first four entries.
async fn ledger(dir: &Path, claims: u64) -> (Sequencer, LeafIndex) {
    let leader = founded(dir);
    let coverage = prepare(&leader).await;
    for slot in 0..claims {
        must(&leader, "till", &claim(slot, coverage)).await;
    }
    (leader, coverage)
}

/// What a liar makes of the page from here on. The entries are signed by their issuers, and the
/// rules admit them: nothing but the proof can tell.
fn lies(of: &Sequencer, other: &Sequencer, from: u64, coverage: LeafIndex) -> Vec<Page> {
    let honest = || page(of, from, PAGE);
    let mut changed = honest();
    let never_made = match from {
        0 => sign("opticians", &grant("nobody")),
        _ => sign("till", &claim(1_000 + from, coverage)),
    };
    changed.entries.last_mut().unwrap().0 = (**never_made.shared()).clone();
    let mut left_out = page(of, from + PAGE as u64, PAGE);
    if from == 0 {
        // A ledger begins with its first entry.
        left_out.entries[0] = honest().entries.remove(0);
    }
    let mut shortened = honest();
    shortened.entries.pop();
    let mut lengthened = honest();
    lengthened.entries = entries(of, from, PAGE + 1);
    let mut of_another = honest();
    of_another.consistency = page(other, from, PAGE).consistency;
    let mut unproved = honest();
    unproved.consistency = ConsistencyProof::from_hashes(Vec::new()).unwrap();
    vec![
        changed, left_out, shortened, lengthened, of_another, unproved,
    ]
}

fn grant(till: &str) -> Attestation {
    Attestation::Grant(Grant {
        till: secret(till).public(),
        finess: "750000001".parse().unwrap(),
        expires_at: UnixMillis::new(clock::now().get() + 86_400_000),
        hourly_quota: 20,
        daily_quota: 60,
        class: GrantClass::Till,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_not_of_the_checkpoints_log_leaves_no_trace() {
    let place = tempfile::tempdir().unwrap();
    let (leader, coverage) = ledger(&place.path().join("leader"), 15).await;
    let (other, _) = ledger(&place.path().join("other"), 15).await;
    let dir = place.path().join("replica");
    for from in [0, PAGE as u64, 2 * PAGE as u64] {
        for lie in lies(&leader, &other, from, coverage) {
            let why = refused(&dir, lie);
            assert!(matches!(why, PageError::NotInLog(_)), "{why}");
        }
        let mut replica = open_at(&dir);
        let applied = replica.apply(page(&leader, from, PAGE), now()).unwrap();
        assert_eq!(applied, Applied::CatchingUp);
    }
    let published = leader.snapshot();
    assert_eq!(
        brought_up(&dir, &published),
        *published.checkpoint().claimed()
    );
    leader.stop();
    other.stop();
}

/// The whole log of another ledger of the same members, with proofs that fit: a quorum has not
/// signed it. The last page of one, with entry 0 of this one, is the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_no_quorum_vouches_for_leaves_no_trace_however_well_it_is_proved() {
    let place = tempfile::tempdir().unwrap();
    let (leader, coverage) = ledger(&place.path().join("leader"), 9).await;
    let dir = place.path().join("replica");
    let by_one_that_follows = |page: &mut Page| {
        let claimed = page.checkpoint.claimed().clone();
        let line = claimed.cosign(&"other-amc".parse().unwrap(), &secret("other-amc"), now());
        page.checkpoint = SignedCheckpoint::new(claimed, vec![line]).unwrap();
    };
    for (from, most) in [(0, PAGE), (0, 100)] {
        let mut page = page(&leader, from, most);
        by_one_that_follows(&mut page);
        let why = refused(&dir, page);
        assert!(matches!(why, PageError::NotVouched(_)), "{why}");
    }
    // All of it at once: entry 0 would be committed before the roots are compared.
    let mut whole = page(&leader, 0, 100);
    let never_made = sign("till", &claim(500, coverage));
    whole.entries.last_mut().unwrap().0 = (**never_made.shared()).clone();
    let why = refused(&dir, whole);
    assert!(matches!(why, PageError::NotInLog(_)), "{why}");
    let published = leader.snapshot();
    assert_eq!(
        brought_up(&dir, &published),
        *published.checkpoint().claimed()
    );
    leader.stop();
}

/// The ledger with these entries after it, vouched for by the CNAM with this key.
fn extended(
    before: &Snapshot,
    store: &Store,
    entries: &[VerifiedEntry],
    key: &SecretKey,
) -> Snapshot {
    let commit = replay(before, entries).unwrap();
    let grown = grow(before, &commit, store).unwrap();
    let claimed = grown.checkpoint(&origin());
    let line = claimed.cosign(&"cnam".parse().unwrap(), key, now());
    let signed = SignedCheckpoint::new(claimed, vec![line]).unwrap();
    let first = before.size().next_index();
    commit_batch(store, first, &commit, &grown, &[], &signed, None).unwrap();
    let Grown {
        edge, map, roster, ..
    } = grown;
    Snapshot::new(signed, edge, map.crown().clone(), roster, store.clone())
}

/// A ledger of one voter that has taken two other keys since, each in force some entries after the
/// one before; and a roster that it has signed and never entered.
fn rotated(dir: &Path) -> (Snapshot, Attestation) {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    let witness = Witness::new("cnam".parse().unwrap(), secret("cnam"));
    found(&store, &witness, &first_roster(), &origin(), [1; 10]).unwrap();
    let recovered = store.recover().unwrap().unwrap();
    let mut ledger = first_snapshot(&store, recovered).unwrap();
    let rotation = |ledger: &Snapshot, from: &str, to: &str| {
        let change = MemberChange::Rotate {
            member: "cnam".parse().unwrap(),
            public_key: secret(to).public(),
        };
        let next = ledger.roster().after_changes(&[change]).unwrap();
        let line = next.sign(&"cnam".parse().unwrap(), &secret(from));
        Attestation::Roster(SignedRoster::new(next, vec![line]).unwrap())
    };
    let mut till = 0;
    let mut grants = || {
        let some = (0..2 * PAGE).map(|_| {
            till += 1;
            sign("opticians", &grant(&format!("till {till}")))
        });
        some.collect::<Vec<_>>()
    };
    ledger = extended(&ledger, &store, &grants(), &secret("cnam"));
    for (from, to) in [("cnam", "second"), ("second", "third")] {
        let entry = sign(from, &rotation(&ledger, from, to));
        ledger = extended(&ledger, &store, &[entry], &secret(to));
        ledger = extended(&ledger, &store, &grants(), &secret(to));
    }
    let never_entered = rotation(&ledger, "third", "fourth");
    (ledger, never_entered)
}

#[test]
fn the_rosters_of_a_page_lead_to_who_vouches_for_a_checkpoint_far_ahead() {
    let place = tempfile::tempdir().unwrap();
    let (ledger, never_entered) = rotated(&place.path().join("leader"));
    let dir = place.path().join("replica");
    let honest = || ledger.page(TreeSize::new(0), PAGE).unwrap();
    assert_eq!(honest().rosters.len(), 2);

    let mut unknown = honest();
    unknown.rosters.clear();
    let mut gap = honest();
    gap.rosters.remove(0);
    let mut short = honest();
    short.rosters.pop();
    // Who had the key that is to come signs another log with it.
    let mut phantom = honest();
    let entry = sign("third", &never_entered);
    phantom.rosters.push(EntryProof {
        entry: (**entry.shared()).clone(),
        ..phantom.rosters[1].clone()
    });
    let claimed = phantom.checkpoint.claimed().clone();
    let line = claimed.cosign(&"cnam".parse().unwrap(), &secret("fourth"), now());
    phantom.checkpoint = SignedCheckpoint::new(claimed, vec![line]).unwrap();
    for lie in [unknown, gap, short, phantom] {
        let why = refused(&dir, lie);
        assert!(matches!(why, PageError::NotVouched(_)), "{why}");
    }
    assert_eq!(brought_up(&dir, &ledger), *ledger.checkpoint().claimed());
    // The whole of it in one page begins the log too.
    let whole = place.path().join("whole");
    let mut replica = open_at(&whole);
    let page = ledger.page(TreeSize::new(0), 1_000).unwrap();
    assert_eq!(replica.apply(page, now()).unwrap(), Applied::Certified);
}

#[test]
fn a_page_has_the_rosters_that_its_taker_lacks_and_no_others() {
    let place = tempfile::tempdir().unwrap();
    let (ledger, _) = rotated(&place.path().join("leader"));
    let count = |from: u64, most| {
        let page = ledger.page(TreeSize::new(from), most).unwrap();
        page.rosters.len()
    };
    let (first, second) = (1 + 2 * PAGE as u64, 2 + 4 * PAGE as u64);
    assert_eq!([count(1, PAGE), count(first, PAGE)], [2, 2]);
    assert_eq!([count(first + 1, PAGE), count(second, PAGE)], [1, 1]);
    assert_eq!([count(second + 1, PAGE), count(1, 1_000)], [0, 0]);
}
