//! The engine's log over the store: written in the order it is asked for, read from memory.
//!
//! One thread writes. It takes what has gathered while it synced and writes that with one sync.
//! What the engine reads is mostly what it has just appended, so it seldom waits for the disk.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{Stream, TryStreamExt as _, stream};
use openraft::OptionalSend;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use tokio::sync::{mpsc, oneshot};

use super::record::RECORD_BYTES_MAX;
use super::tail::{Gap, Tail};
use super::{Entry, LogId, Payload, TypeConfig, Vote};
use crate::store::{EngineState, Store, StoreError};

/// Most bytes of records in an answer that may be partial: it becomes one message to a member.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Writes that wait for the disk before the engine waits with them.
const WRITES_WAITING_MAX: usize = 64;
/// Most records that share one sync, in bytes: more would make the first of them wait.
const SHARED_SYNC_BYTES_MAX: usize = 1024 * 1024;

/// Where the disk is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskWork {
    /// On threads of their own, so that the engine never waits for a sync.
    Threads,
    /// Where it is asked for, so that a simulation goes the same way each time.
    Inline,
}

impl DiskWork {
    /// How this node waits: on threads, unless it is simulated.
    #[must_use]
    pub fn of_this_node() -> Self {
        #[cfg(test)]
        if crate::simulation::is_on() {
            return Self::Inline;
        }
        Self::Threads
    }
}

/// The engine's log and vote.
#[derive(Debug)]
pub struct LogStore {
    shared: Arc<Shared>,
    /// The way to the thread that writes; `None` when there is none.
    writer: Option<mpsc::Sender<Write>>,
}

/// Reads the engine's log and vote, also while it is written.
#[derive(Debug, Clone)]
pub struct LogReader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    work: DiskWork,
    tail: Mutex<Tail>,
    vote: Mutex<Option<Vote>>,
}

/// Records, and whom to tell once they are durable.
type Append = (Vec<Entry>, IOFlushed<TypeConfig>);

/// One write, and whom to tell.
enum Write {
    Append(Vec<Entry>, IOFlushed<TypeConfig>),
    Vote(Vote, oneshot::Sender<io::Result<()>>),
    Truncate(Option<LogId>, oneshot::Sender<io::Result<()>>),
    /// Nobody waits for it: a failure shows at the next write.
    Purge(LogId),
}

impl LogStore {
    /// The log over a store, from what [`Store::begin_engine`] found there.
    ///
    /// # Errors
    /// When the thread that writes cannot be started.
    pub fn new(store: Store, state: &EngineState, work: DiskWork) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            store,
            work,
            tail: Mutex::new(Tail::new(state)),
            vote: Mutex::new(state.vote),
        });
        let writer = match work {
            DiskWork::Inline => None,
            DiskWork::Threads => {
                let (writer, writes) = mpsc::channel(WRITES_WAITING_MAX);
                let shared = shared.clone();
                let thread = std::thread::Builder::new().name("engine-log".to_owned());
                thread.spawn(move || shared.work_off(writes))?;
                Some(writer)
            }
        };
        Ok(Self { shared, writer })
    }

    /// A reader of the same log.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        LogReader(self.shared.clone())
    }

    async fn write(&self, write: Write) -> io::Result<()> {
        match &self.writer {
            None => {
                self.shared.carry_out(write);
                Ok(())
            }
            Some(writer) => writer.send(write).await.map_err(|_| stopped()),
        }
    }

    /// Writes, and waits until it is done.
    async fn written(
        &self,
        write: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Write,
    ) -> io::Result<()> {
        let (done, wait) = oneshot::channel();
        self.write(write(done)).await?;
        wait.await.map_err(|_| stopped())?
    }
}

impl Shared {
    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn vote(&self) -> MutexGuard<'_, Option<Vote>> {
        self.vote.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out writes in their order until nobody can ask for another.
    fn work_off(&self, mut writes: mpsc::Receiver<Write>) {
        let mut next = writes.blocking_recv();
        while let Some(write) = next {
            next = match write {
                Write::Append(entries, done) => {
                    let mut appends = vec![(entries, done)];
                    let other = gather(&mut writes, &mut appends);
                    self.append(appends);
                    other
                }
                write => {
                    self.carry_out(write);
                    None
                }
            };
            next = next.or_else(|| writes.blocking_recv());
        }
    }

    fn carry_out(&self, write: Write) {
        match write {
            Write::Append(entries, done) => self.append(vec![(entries, done)]),
            Write::Vote(vote, done) => {
                let saved = self.store.save_vote(&vote);
                if saved.is_ok() {
                    *self.vote() = Some(vote);
                }
                let _ = done.send(saved.map_err(|error| failed(&error)));
            }
            Write::Truncate(after, done) => {
                let truncated = self.store.truncate_records(after);
                // Records that were on their way when this was asked for are gone again.
                self.tail().truncate(after);
                let _ = done.send(truncated.map_err(|error| failed(&error)));
            }
            Write::Purge(upto) => {
                if let Err(error) = self.store.purge_records(upto) {
                    tracing::error!(%error, "records of the engine could not be purged");
                }
            }
        }
    }

    /// Makes the records of several calls durable with one sync, and only then says so.
    fn append(&self, appends: Vec<Append>) {
        let (entries, done): (Vec<_>, Vec<_>) = appends.into_iter().unzip();
        let entries = entries.concat();
        let appended = self.store.append_records(&entries);
        if let (Ok(()), Some(last)) = (&appended, entries.last()) {
            self.tail()
                .became_durable(last.log_id.index.saturating_add(1));
        }
        for done in done {
            done.io_completed(appended.as_ref().copied().map_err(failed));
        }
    }

    /// The records of a range, as many as have this many bytes together, and at least one.
    async fn read(self: &Arc<Self>, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        loop {
            let plan = self.tail().plan(range.clone(), bytes_max);
            if plan.disk.is_empty() {
                return Ok(plan.memory);
            }
            let read = self.read_disk(plan.disk.clone(), bytes_max).await;
            if self.tail().cuts() != plan.cuts {
                continue; // What was read may be half of what was just cut off or purged.
            }
            let mut found = read?;
            let whole = found.len() as u64 == plan.disk.end - plan.disk.start;
            if whole && bytes_max == usize::MAX {
                found.extend(plan.memory);
            }
            return Ok(found);
        }
    }

    async fn read_disk(
        self: &Arc<Self>,
        range: Range<u64>,
        bytes_max: usize,
    ) -> io::Result<Vec<Entry>> {
        let shared = self.clone();
        let read = move || shared.store.records(range.start, range.end, bytes_max);
        let read = match self.work {
            DiskWork::Inline => read(),
            DiskWork::Threads => tokio::task::spawn_blocking(read)
                .await
                .map_err(|_| stopped())?,
        };
        read.map_err(|error| failed(&error))
    }
}

/// Takes what has gathered of records meanwhile, so far as it may share one sync. What else comes
/// out is the next write.
fn gather(writes: &mut mpsc::Receiver<Write>, appends: &mut Vec<Append>) -> Option<Write> {
    let length = |entries: &[Entry]| entries.iter().map(length).sum::<usize>();
    let mut bytes: usize = appends.iter().map(|(entries, _)| length(entries)).sum();
    while bytes < SHARED_SYNC_BYTES_MAX {
        match writes.try_recv() {
            Ok(Write::Append(entries, done)) => {
                bytes += length(&entries);
                appends.push((entries, done));
            }
            other => return other.ok(),
        }
    }
    None
}

fn length(entry: &Entry) -> usize {
    match &entry.payload {
        Payload::Normal(record) => record.bytes().len(),
        Payload::Blank | Payload::Membership(_) => 0,
    }
}

fn failed(error: &StoreError) -> io::Error {
    io::Error::other(error.to_string())
}

fn stopped() -> io::Error {
    io::Error::other("the log of the engine was closed")
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(last) => last.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<TypeConfig> for LogReader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<Entry>> {
        self.0.read(bounds(&range), usize::MAX).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(*self.0.vote())
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.0.read(start..end, PAGE_BYTES_MAX).await
    }

    /// Page by page: what is to be applied after a long absence does not fit the memory at once.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let pages = Pages {
            shared: self.0.clone(),
            left: bounds(&range),
            begun: false,
        };
        let pages = stream::try_unfold(pages, Pages::turn);
        pages
            .map_ok(|page| stream::iter(page.into_iter().map(Ok)))
            .try_flatten()
    }
}

/// A range that is read page by page.
struct Pages {
    shared: Arc<Shared>,
    left: Range<u64>,
    begun: bool,
}

impl Pages {
    async fn turn(mut self) -> io::Result<Option<(Vec<Entry>, Self)>> {
        let page = self.shared.read(self.left.clone(), PAGE_BYTES_MAX).await?;
        let (Some(first), Some(last)) = (page.first(), page.last()) else {
            return Ok(None);
        };
        // Only before the first page may records be missing that were purged.
        if self.begun && first.log_id.index != self.left.start {
            return Err(io::Error::other("records were purged while they were read"));
        }
        self.left.start = last.log_id.index.saturating_add(1);
        self.begun = true;
        Ok(Some((page, self)))
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = LogReader;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let tail = self.shared.tail();
        Ok(LogState {
            last_purged_log_id: tail.purged(),
            last_log_id: tail.last(),
        })
    }

    async fn get_log_reader(&mut self) -> LogReader {
        self.reader()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        self.written(|done| Write::Vote(*vote, done)).await
    }

    /// Readable when this returns, durable when the callback is called.
    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        if entries.iter().any(|entry| length(entry) > RECORD_BYTES_MAX) {
            let error = "a batch is longer than a record may be";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        let appended = self.shared.tail().append(&entries);
        appended
            .map_err(|Gap { got, want }| failed(&StoreError::RecordOutOfPlace { got, want }))?;
        self.write(Write::Append(entries, callback)).await
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> io::Result<()> {
        // First out of sight, so that no reader meets a record that is half gone.
        self.shared.tail().truncate(last_log_id);
        self.written(|done| Write::Truncate(last_log_id, done))
            .await
    }

    async fn purge(&mut self, log_id: LogId) -> io::Result<()> {
        self.shared.tail().purge(log_id);
        self.write(Write::Purge(log_id)).await
    }
}

#[cfg(test)]
mod tests;
