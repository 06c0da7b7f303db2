//! The recorder over a real ledger: what it says is recorded is in the log, sealed, and no sooner.

use std::path::Path;

use proto::attestation::{AccessRecord, Look, LookOutcome};
use proto::entry::Kind;
use proto::ids::{LeafIndex, SlotKey};
use proto::incident::IncidentSecretKey;
use proto::roster::{Epoch, Roster};
use proto::seal::PayloadCommitment;

use super::*;
use crate::clock;
use crate::example::{Alone, origin, roster_parts, secret, signed};
use crate::follow::Upstream;
use crate::sequencer::{Sequencer, found, open};
use crate::snapshot::Snapshot;
use crate::store::{Store, StoreOptions};
use crate::witness::Witness;

fn started(ledger: &Sequencer, name: &str) -> Recorder {
    let upstream = Upstream::new(ledger.clone(), secret(name), None);
    Recorder::start(ledger.clone(), upstream, secret(name))
}

fn founded(dir: &Path, with_key: bool) -> Sequencer {
    let mut parts = roster_parts(Epoch::default(), None);
    if !with_key {
        parts.incident_keys.clear();
    }
    let roster = signed(Roster::new(parts).unwrap(), "cnam");
    let witness = || Witness::new("cnam".parse().unwrap(), secret("cnam"));
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    found(&store, &witness(), &roster, &origin(), [1; 10]).unwrap();
    let sequencer = open(&store, witness(), None, Box::new(|_| ())).unwrap();
    Alone::lead(&sequencer);
    sequencer
}

fn look(slot: u8) -> Look {
    Look {
        by: secret("till").public(),
        at: clock::now(),
        outcome: LookOutcome::Answered,
        slots: vec![SlotKey::from_bytes([slot; 32]); 20],
        coverages: Vec::new(),
    }
}

/// Every look of the log, and the number of access entries.
fn recorded(snapshot: &Snapshot) -> (Vec<Look>, usize) {
    // The key of the example's roster.
    let key = IncidentSecretKey::from_bytes([3; 32]);
    let (mut looks, mut entries) = (Vec::new(), 0);
    for index in 0..snapshot.size().get() {
        let proved = snapshot
            .prove_entry(LeafIndex::new(index))
            .unwrap()
            .unwrap();
        if proved.entry.header().kind != Kind::Access {
            continue;
        }
        entries += 1;
        let (sealed, salt) = snapshot.record(&proved).unwrap().unwrap();
        let commitment = PayloadCommitment::from_hash(proved.entry.header().commitment.unwrap());
        let opened = sealed.open_record(&key, &salt, &commitment).unwrap();
        looks.extend(AccessRecord::from_bytes(opened.as_bytes()).unwrap().looks);
    }
    (looks, entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_is_in_the_log_when_its_caller_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = founded(dir.path(), true);
    let recorder = started(&ledger, "cnam");
    for slot in 0..5 {
        let look = look(slot);
        recorder.record(look.clone()).await.unwrap();
        let (looks, _) = recorded(&ledger.snapshot());
        assert_eq!(looks.last(), Some(&look));
    }
    ledger.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_of_one_moment_share_entries_and_each_is_there_once() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = founded(dir.path(), true);
    let recorder = started(&ledger, "cnam");
    let looks: Vec<Look> = (0..200).map(look).collect();
    let tasks: Vec<_> = looks
        .iter()
        .map(|look| {
            let (recorder, look) = (recorder.clone(), look.clone());
            tokio::spawn(async move { recorder.record(look).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let (mut found, entries) = recorded(&ledger.snapshot());
    found.sort_by_key(|look| look.slots[0]);
    assert_eq!(found, looks);
    assert!(entries < 100, "{entries} entries for 200 looks");
    ledger.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_recorded_is_said_to_be_not() {
    let dir = tempfile::tempdir().unwrap();
    let ledger = founded(dir.path(), false);
    let recorder = started(&ledger, "cnam");
    let refused = recorder.record(look(1)).await;
    assert_eq!(refused, Err(NotRecorded::NoIncidentKey));
    ledger.stop();
    let dir = tempfile::tempdir().unwrap();
    let ledger = founded(dir.path(), true);
    let stranger = started(&ledger, "stranger");
    let refused = stranger.record(look(1)).await;
    assert_eq!(refused, Err(NotRecorded::Refused(Reason::IssuerUnknown)));
    ledger.stop();
    let recorder = started(&ledger, "cnam");
    assert!(matches!(
        recorder.record(look(1)).await,
        Err(NotRecorded::Unavailable(_))
    ));
}
