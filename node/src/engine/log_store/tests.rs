//! The engine's own suite over the real store, and what it does not ask: order, bounds, failures.

use std::io;
use std::path::Path;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use openraft::storage::{
    EntryResponder, RaftLogStorageExt as _, RaftSnapshotBuilder, RaftStateMachine, Snapshot,
};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt as _;
use openraft::{OptionalSend, StorageError};

use super::*;
use crate::engine::{
    Applied, CommittedLeaderId, EngineId, Record, Seat, SnapshotMeta, StoredMembership,
};
use crate::store::{StoreOptions, SyncMode};

const OPTIONS: StoreOptions = StoreOptions {
    sync: SyncMode::Skipped,
    cache_bytes: 8 << 20,
    disk_watermark_bytes: 1,
};

type SnapshotOfNothing = Snapshot<CommittedLeaderId, EngineId, Seat, ()>;

fn open(dir: &Path, options: StoreOptions, work: DiskWork) -> (Store, LogStore) {
    let store = Store::open(dir, options).unwrap();
    let state = store.begin_engine(EngineId::new(7)).unwrap();
    let log = LogStore::new(store.clone(), &state, work).unwrap();
    (store, log)
}

/// The least that applies: it keeps how far it came, through the functions of the store.
#[derive(Clone)]
struct Machine(Store);

impl Machine {
    fn applied(&self) -> io::Result<Applied> {
        let applied = self.0.applied().map_err(|error| failed(&error))?;
        Ok(applied.unwrap_or_default())
    }

    fn save(&self, applied: &Applied) -> io::Result<()> {
        let saved = self.0.save_applied(applied);
        saved.map_err(|error| failed(&error))
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Machine {
    type SnapshotData = ();

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOfNothing> {
        let applied = self.applied()?;
        let saved = self.0.save_engine_snapshot(&applied);
        saved.map_err(|error| failed(&error))?;
        Ok(Snapshot {
            meta: applied.into(),
            snapshot: (),
        })
    }
}

impl RaftStateMachine<TypeConfig> for Machine {
    type SnapshotData = ();
    type SnapshotBuilder = Self;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        let applied = self.applied()?;
        Ok((applied.log_id, applied.membership))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (entry, responder) = next?;
            let mut applied = self.applied()?;
            applied.log_id = Some(entry.log_id);
            if let Payload::Membership(membership) = entry.payload {
                applied.membership = StoredMembership::new(applied.log_id, membership);
            }
            self.save(&applied)?;
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Self {
        self.clone()
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, (): ()) -> io::Result<()> {
        let reached = Applied::from(meta);
        self.save(&reached)?;
        let saved = self.0.save_engine_snapshot(&reached);
        saved.map_err(|error| failed(&error))
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<SnapshotOfNothing>> {
        let reached = self.0.engine_snapshot().map_err(|error| failed(&error))?;
        Ok(reached.map(|reached| Snapshot {
            meta: reached.into(),
            snapshot: (),
        }))
    }
}

/// A folder, a store and a log for each test of the suite.
struct Folders(DiskWork);

impl StoreBuilder<TypeConfig, LogStore, Machine, tempfile::TempDir> for Folders {
    async fn build(
        &self,
    ) -> Result<(tempfile::TempDir, LogStore, Machine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let (store, log) = open(&dir.path().join("data"), OPTIONS, self.0);
        Ok((dir, log, Machine(store)))
    }
}

/// Time is paused: the suite sleeps where a store may purge later, and this one does not.
#[tokio::test(start_paused = true)]
async fn the_suite_of_the_engine_passes_with_a_thread_that_writes() {
    Suite::test_all(Folders(DiskWork::Threads)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_suite_of_the_engine_passes_without_a_second_thread() {
    Suite::test_all(Folders(DiskWork::Inline)).await.unwrap();
}

fn place(term: u64, index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(term), index)
}

fn batches(term: u64, indexes: Range<u64>, length: usize) -> Vec<Entry> {
    let entry = |index: u64| Entry {
        log_id: place(term, index),
        payload: Payload::Normal(Record::new(vec![index.to_be_bytes()[7]; length])),
    };
    indexes.map(entry).collect()
}

async fn all(reader: &mut LogReader) -> Vec<Entry> {
    reader.try_get_log_entries(..).await.unwrap()
}

#[tokio::test]
async fn many_appends_in_flight_are_all_durable_in_their_order() {
    for work in [DiskWork::Threads, DiskWork::Inline] {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut log) = open(dir.path(), OPTIONS, work);
        let syncs = store.syncs();
        let mut done = Vec::new();
        let mut want = Vec::new();
        for first in (0..600).step_by(3) {
            let entries = batches(1, first..first + 3, 2000);
            let (tell, told) = TypeConfig::oneshot();
            log.append(entries.clone(), IOFlushed::signal(tell))
                .await
                .unwrap();
            want.extend(entries);
            done.push(told);
        }
        assert_eq!(all(&mut log.reader()).await, want);
        for told in done {
            told.await.unwrap().unwrap();
        }
        // One for each call at most, and one for the file.
        assert!(store.syncs() - syncs <= 201);
        drop((store, log));
        let (_, log) = open(dir.path(), OPTIONS, work);
        assert_eq!(all(&mut log.reader()).await, want);
    }
}

#[tokio::test]
async fn a_partial_answer_is_bounded_and_goes_on_where_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut log) = open(dir.path(), OPTIONS, DiskWork::Threads);
    let want = batches(1, 0..40, 100_000);
    log.blocking_append(want.clone()).await.unwrap();
    let state = store.begin_engine(EngineId::new(1)).unwrap();
    let unread = LogStore::new(store, &state, DiskWork::Threads).unwrap();
    // Once from memory, once from the disk.
    for mut reader in [log.reader(), unread.reader()] {
        let mut found = Vec::new();
        while found.len() < want.len() {
            let from = found.len() as u64;
            let page = reader.limited_get_log_entries(from, 40).await.unwrap();
            assert!((1..=10).contains(&page.len()), "{}", page.len());
            found.extend(page);
        }
        assert_eq!(found, want);
        let streamed: Vec<_> = reader.entries_stream(5..).await.collect().await;
        let streamed: io::Result<Vec<_>> = streamed.into_iter().collect();
        assert_eq!(streamed.unwrap(), want[5..]);
    }
}

#[tokio::test]
async fn what_was_cut_off_is_not_read_and_what_follows_is() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut log) = open(dir.path(), OPTIONS, DiskWork::Threads);
    let mut reader = log.reader();
    log.blocking_append(batches(1, 0..10, 50_000))
        .await
        .unwrap();
    log.truncate_after(Some(place(1, 3))).await.unwrap();
    assert_eq!(all(&mut reader).await, batches(1, 0..4, 50_000));
    log.blocking_append(batches(2, 4..6, 10)).await.unwrap();
    log.purge(place(1, 1)).await.unwrap();
    let mut want = batches(1, 2..4, 50_000);
    want.extend(batches(2, 4..6, 10));
    assert_eq!(all(&mut reader).await, want);
    log.save_vote(&Vote::new(9, EngineId::new(3)))
        .await
        .unwrap();
    drop((store, log, reader));
    let (_, mut log) = open(dir.path(), OPTIONS, DiskWork::Threads);
    assert_eq!(all(&mut log.reader()).await, want);
    let state = log.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(place(1, 1)));
    assert_eq!(state.last_log_id, Some(place(2, 5)));
    let vote = log.reader().read_vote().await.unwrap();
    assert_eq!(vote, Some(Vote::new(9, EngineId::new(3))));
}

#[tokio::test]
async fn what_the_disk_does_not_take_is_never_reported_durable() {
    let dir = tempfile::tempdir().unwrap();
    let full = StoreOptions {
        disk_watermark_bytes: u64::MAX,
        ..OPTIONS
    };
    drop(open(dir.path(), OPTIONS, DiskWork::Threads));
    let (store, mut log) = open(dir.path(), full, DiskWork::Threads);
    assert!(log.blocking_append(batches(1, 0..1, 10)).await.is_err());
    assert!(
        log.save_vote(&Vote::new(1, EngineId::new(1)))
            .await
            .is_err()
    );
    assert_eq!(log.reader().read_vote().await.unwrap(), None);
    drop((store, log));
    let (_, mut log) = open(dir.path(), OPTIONS, DiskWork::Threads);
    assert!(all(&mut log.reader()).await.is_empty());
    let gap = [batches(1, 0..1, 1), batches(1, 2..3, 1)].concat();
    assert!(log.blocking_append(gap).await.is_err());
    let long = batches(1, 0..1, RECORD_BYTES_MAX + 1);
    assert!(log.blocking_append(long).await.is_err());
    log.blocking_append(batches(1, 0..1, RECORD_BYTES_MAX))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_beside_purges_meets_whole_records_without_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let (store, mut log) = open(dir.path(), OPTIONS, DiskWork::Threads);
    log.blocking_append(batches(1, 0..300, 40_000))
        .await
        .unwrap();
    let state = store.begin_engine(EngineId::new(1)).unwrap();
    let mut log = LogStore::new(store, &state, DiskWork::Threads).unwrap();
    let mut reader = log.reader();
    let reading = tokio::spawn(async move {
        loop {
            let found = reader.limited_get_log_entries(0, 300).await.unwrap();
            let Some(first) = found.first().map(|entry| entry.log_id.index) else {
                return;
            };
            let want = batches(1, first..first + found.len() as u64, 40_000);
            assert!(found == want);
        }
    });
    for index in (0..300).step_by(10) {
        log.purge(place(1, index)).await.unwrap();
        tokio::task::yield_now().await;
    }
    log.purge(place(1, 299)).await.unwrap();
    reading.await.unwrap();
}

#[test]
fn nothing_here_prints_a_batch() {
    let dir = tempfile::tempdir().unwrap();
    let (_, log) = open(dir.path(), OPTIONS, DiskWork::Inline);
    log.shared.tail().append(&batches(1, 120..121, 3)).unwrap();
    let printed = format!("{log:?} {:?}", Arc::clone(&log.shared));
    assert!(printed.contains("3 bytes") && !printed.contains("xxx"));
}
