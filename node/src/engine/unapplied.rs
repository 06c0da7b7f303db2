//! What the engine's log has and the ledger on the disk has not, after a start.
//!
//! A crash leaves the ledger some batches behind the log. The engine hands them over again, and they
//! come to the same roots. Two things of them are known ahead: each record has with it what
//! certifies the state before it, so that nobody is asked for that again; and what a member that
//! votes alone has in its log stays ordered, so it is what that member has signed, or will.

use proto::wire::batch::BatchRecord;

use super::{EngineId, Membership, Payload};
use crate::sequencer::Unapplied;
use crate::store::{EngineState, SignedLock, Store, StoreError};

/// Most bytes of records that are read at a time.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Reads what was not applied yet, as far as it is of use. A record that cannot be read ends it: the
/// engine hands that one over as well, and says what is wrong with it.
///
/// # Errors
/// [`StoreError::Corrupt`]: the log cannot be read.
pub fn unapplied(store: &Store, state: &EngineState) -> Result<Unapplied, StoreError> {
    let mut found = Unapplied {
        lock: state.lock,
        ..Unapplied::default()
    };
    let Some(span) = state.present else {
        return Ok(found);
    };
    let after = state.applied.log_id.map_or(0, |it| it.index + 1);
    let (mut next, end) = (after.max(span.first), span.last.index + 1);
    let mut membership = state.applied.membership.membership().clone();
    while next < end {
        let records = store.records(next, end, PAGE_BYTES_MAX)?;
        next += records.len() as u64;
        for record in records {
            let record = match record.payload {
                Payload::Blank => continue,
                Payload::Membership(newer) => {
                    membership = newer;
                    continue;
                }
                Payload::Normal(record) => record,
            };
            let Ok(record) = BatchRecord::from_bytes(record.bytes()) else {
                return Ok(found);
            };
            if votes_alone(&membership, state.id) {
                found.lock_newer(SignedLock::after(record.header.claimed()));
            } else if found.is_full() {
                return Ok(found);
            }
            if !found.is_full() {
                found.certificates.push(record.before);
            }
        }
    }
    Ok(found)
}

fn votes_alone(membership: &Membership, own: EngineId) -> bool {
    membership.voter_ids().eq([own])
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use bytes::Bytes;
    use proto::attestation::{Attestation, CatalogueNotice};
    use proto::entry::{Entry, VerifiedEntry};
    use proto::hash::Hash;
    use proto::ids::{Day, RequestId, TreeSize};
    use tokio::sync::watch;

    use super::*;
    use crate::clock;
    use crate::engine::{self, Applied, CommittedLeaderId, LogId, Record, Seat};
    use crate::example::{copy_folder, first_roster, origin, secret, witness};
    use crate::order::{Leadership, Lost, Orderer};
    use crate::sequencer::{self, Replica, Sequencer};
    use crate::store::StoreOptions;

    const ID: EngineId = EngineId::new(7);

    /// An engine that orders what it is given, and keeps it.
    #[derive(Debug)]
    struct Keeping {
        sequencer: Sequencer,
        leadership: watch::Receiver<Leadership>,
        kept: Arc<Mutex<Vec<Bytes>>>,
    }

    impl Orderer for Keeping {
        fn leadership(&self) -> watch::Receiver<Leadership> {
            self.leadership.clone()
        }

        fn propose(&self, _term: u64, record: Bytes, _lost: Lost) {
            self.kept.lock().unwrap().push(record.clone());
            let sequencer = self.sequencer.clone();
            tokio::spawn(async move { sequencer.ordered(record, Applied::default()).await });
        }
    }

    fn notice(number: u8) -> VerifiedEntry {
        let notice = Attestation::Catalogue(CatalogueNotice {
            hash: Hash::from_bytes([number; 32]),
            valid_from: Day::new(20_500),
        });
        let id = RequestId::new(clock::now(), [number; 10]);
        let header = notice.header(secret("cnam").public(), id);
        Entry::sign(&header, &origin(), &secret("cnam")).unwrap()
    }

    /// A ledger that was just founded.
    fn founded(dir: &Path) -> Store {
        let store = Store::open(dir, StoreOptions::default()).unwrap();
        sequencer::found(&store, &witness(), &first_roster(), &origin(), [1; 10]).unwrap();
        store
    }

    /// What a ledger that votes alone comes to with so many batches, and their records.
    async fn history(dir: &Path, batches: u8) -> (Sequencer, Vec<Bytes>) {
        let store = Store::open(dir, StoreOptions::default()).unwrap();
        let ledger = sequencer::open(&store, witness(), None, Box::new(|_| ())).unwrap();
        let kept = Arc::default();
        ledger.attach(Arc::new(Keeping {
            sequencer: ledger.clone(),
            leadership: watch::channel(Leadership::Own { term: 1 }).1,
            kept: Arc::clone(&kept),
        }));
        for number in 0..batches {
            while ledger.append(notice(number), None).await.is_err() {
                tokio::task::yield_now().await;
            }
        }
        let records = kept.lock().unwrap().clone();
        (ledger, records)
    }

    fn seats(voters: &[EngineId]) -> Payload {
        let member: proto::ids::MemberName = "cnam".parse().unwrap();
        let seat = |id: &EngineId| {
            let member = member.clone();
            (*id, Seat { member })
        };
        let seats: BTreeMap<_, _> = voters.iter().map(seat).collect();
        let ids: BTreeSet<_> = voters.iter().copied().collect();
        Payload::Membership(Membership::new(vec![ids], seats).unwrap())
    }

    fn log(payloads: impl IntoIterator<Item = Payload>) -> Vec<engine::Entry> {
        let entry = |(index, payload)| engine::Entry {
            log_id: LogId::new(CommittedLeaderId::new(1), index),
            payload,
        };
        (0..).zip(payloads).map(entry).collect()
    }

    fn batch(record: &Bytes) -> Payload {
        Payload::Normal(Record::new(record.clone()))
    }

    fn found_in(store: &Store, payloads: Vec<Payload>) -> Unapplied {
        store.begin_engine(ID).unwrap();
        store.append_records(&log(payloads)).unwrap();
        unapplied(store, &store.begin_engine(ID).unwrap()).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_crash_took_from_the_ledger_comes_back_and_is_not_signed_again() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        drop(founded(one.path()));
        copy_folder(one.path(), other.path());
        let (before, records) = history(one.path(), 5).await;
        let want = before.snapshot();
        before.stop();

        // The same, of which the ledger has nothing yet.
        let store = Store::open(other.path(), StoreOptions::default()).unwrap();
        let ordered = records.iter().map(batch);
        let payloads = [seats(&[ID]), Payload::Blank].into_iter().chain(ordered);
        let unapplied = found_in(&store, payloads.collect());
        assert_eq!(
            unapplied.lock,
            Some(SignedLock::of(want.checkpoint().claimed()))
        );
        assert_eq!(unapplied.certificates.len(), records.len());
        let signed = unapplied.certificates.clone();

        let roster = first_roster().verify_genesis().unwrap();
        let replica = Replica::open(&store, witness(), roster).unwrap();
        let ledger = replica.into_sequencer(unapplied, Box::new(|_| ())).unwrap();
        assert!(
            ledger.own_cosignature().borrow().is_none(),
            "signed an old state again"
        );
        for (number, record) in records.iter().enumerate() {
            let taken = ledger.ordered(record.clone(), Applied::default()).await;
            taken.unwrap().unwrap();
            let published = ledger.snapshot();
            match signed.get(number + 1) {
                Some(signed) => assert_eq!(published.checkpoint(), signed),
                None => assert_eq!(
                    published.checkpoint().claimed(),
                    want.checkpoint().claimed()
                ),
            }
        }
        ledger.stop();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_others_may_take_out_of_the_log_binds_nobody() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        drop(founded(one.path()));
        copy_folder(one.path(), other.path());
        let (before, records) = history(one.path(), 3).await;
        before.stop();
        let store = Store::open(other.path(), StoreOptions::default()).unwrap();
        let payloads = vec![
            seats(&[ID]),
            batch(&records[0]),
            seats(&[ID, EngineId::new(8)]),
            batch(&records[1]),
            batch(&records[2]),
        ];
        let unapplied = found_in(&store, payloads);
        assert_eq!(unapplied.lock.map(|lock| lock.size), Some(TreeSize::new(2)));
        assert_eq!(unapplied.certificates.len(), 3);
    }

    #[test]
    fn a_log_without_batches_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = founded(dir.path());
        let state = store.begin_engine(ID).unwrap();
        assert!(unapplied(&store, &state).unwrap().certificates.is_empty());
        let unapplied = found_in(&store, vec![seats(&[ID]), Payload::Blank]);
        assert!(unapplied.lock.is_none() && unapplied.certificates.is_empty());
    }
}
