//! Group commit: one thread takes what is waiting, and carries it through named steps.
//!
//! ```text
//! collect -> order -> decide -> grow -> cosign -> commit -> publish -> answer
//! ```
//!
//! Everything before `commit` is in memory and can be thrown away. From `commit` on the batch is
//! in the ledger, whatever happens to this process: a client that lost its answer asks again and
//! gets the first answer again. Nothing is visible before it is durable.

mod opening;
mod replica;
mod steps;

use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use proto::entry::VerifiedEntry;
use proto::ids::TreeSize;
use proto::seal::{Salt, SealedPayload};
use thiserror::Error;
use tokio::sync::{oneshot, watch};

pub use self::opening::{FoundError, OpenError, found, open};
pub use self::replica::{Applied, ApplyError, Contradiction, PageError, Replica};
use crate::ledger::Verdict;
use crate::snapshot::Snapshot;

/// Most entries in a batch: with it a batch stays well under the 30 ms for which it may hold the
/// store's write lock.
pub const BATCH_ENTRIES_MAX: usize = 1024;
/// Most bytes of entries in a batch, for the same reason and so that a batch fits one message to
/// a peer. A batch always takes at least one entry.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
/// How long a batch waits to be as large as the one before it: a batch costs the same syncs and
/// signature whatever its size. A lone till does not wait.
pub const LINGER: Duration = Duration::from_millis(3);
/// Most entries that wait: a second of work at full load. Beyond it a write is refused at once.
pub const QUEUE_ENTRIES_MAX: usize = 8192;
/// How old a checkpoint may get while nothing is written. Clients want one younger than 60 s.
pub const RENEWAL: Duration = Duration::from_secs(20);

/// Why writes are stopped. Reads go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StopReason {
    /// Free space is below the watermark. Writes resume by themselves when there is room.
    #[error("the disk is full")]
    DiskFull,
    /// The disk did not confirm a write. What it holds is unknown until the node restarts.
    #[error("the disk failed to confirm a write")]
    SyncFailed,
    /// This node's roots contradict what it has signed.
    #[error("the ledger's roots contradict an earlier signature")]
    RootMismatch,
    /// What is stored does not fit the ledger's roots.
    #[error("stored data does not fit the ledger's roots")]
    Corrupt,
    /// The voting members have contradicted themselves, and this node holds the evidence.
    #[error("the voting members have contradicted themselves")]
    Contradicted,
    /// No voting member can be reached, and this one has no vote.
    #[error("no voting member can be reached")]
    NoWriter,
    /// The node is shutting down.
    #[error("the node is shutting down")]
    ShuttingDown,
}

impl StopReason {
    /// The word for it in metrics and in `/readyz?verbose`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DiskFull => "disk-full",
            Self::SyncFailed => "sync-failed",
            Self::RootMismatch => "root-mismatch",
            Self::Corrupt => "corrupt",
            Self::Contradicted => "contradicted",
            Self::NoWriter => "no-writer",
            Self::ShuttingDown => "shutting-down",
        }
    }
}

/// Whether the ledger takes writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// It does.
    Writing,
    /// It takes what the voting members have decided, and passes on what it is asked to append.
    Following,
    /// It does not, for this reason.
    Stopped(StopReason),
}

/// Why an append was not taken. Nothing of it is in the ledger, unless the reason came after the
/// commit: asking again with the same bytes is always safe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unavailable {
    /// As many entries wait as may.
    #[error("{QUEUE_ENTRIES_MAX} entries are waiting already")]
    QueueFull,
    /// Writes are stopped.
    #[error("writes are stopped: {0}")]
    Stopped(StopReason),
}

/// The answer to an append: what became of the entry, and the state it is proved against.
#[derive(Debug, Clone)]
pub struct Decided {
    /// What became of it.
    pub verdict: Verdict,
    /// The first published state in which it is so.
    pub snapshot: Arc<Snapshot>,
}

/// What a batch took, for metrics.
#[derive(Debug, Clone, Copy)]
pub struct BatchReport {
    /// Entries that were decided.
    pub decided: usize,
    /// Entries that were appended.
    pub appended: usize,
    /// Bytes of the entries appended.
    pub bytes: usize,
    /// From the first step to the last before `commit`.
    pub prepared_in: Duration,
    /// The `commit` step alone: it ends when the disk has confirmed.
    pub committed_in: Duration,
}

/// Sees each batch after it is published.
pub type BatchObserver = Box<dyn Fn(&BatchReport) + Send>;

/// One append on its way.
struct Waiting {
    entry: VerifiedEntry,
    payload: Option<(SealedPayload, Salt)>,
    answer: oneshot::Sender<Result<Decided, Unavailable>>,
}

/// What the thread is sent.
enum Message {
    Append(Box<Waiting>),
    Stop,
}

/// What the thread shares with everybody who reads.
#[derive(Debug)]
struct Shared {
    snapshot: RwLock<Arc<Snapshot>>,
    condition: RwLock<Condition>,
    published: watch::Sender<TreeSize>,
}

impl Shared {
    fn new(snapshot: Arc<Snapshot>, condition: Condition) -> Self {
        Self {
            published: watch::Sender::new(snapshot.size()),
            snapshot: RwLock::new(snapshot),
            condition: RwLock::new(condition),
        }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn publish(&self, snapshot: Arc<Snapshot>) {
        let size = snapshot.size();
        *self
            .snapshot
            .write()
            .unwrap_or_else(PoisonError::into_inner) = snapshot;
        self.published.send_replace(size);
    }

    fn condition(&self) -> Condition {
        *self
            .condition
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, condition: Condition) {
        *self
            .condition
            .write()
            .unwrap_or_else(PoisonError::into_inner) = condition;
    }
}

/// The way to the sequencer's thread. Clones share it.
#[derive(Debug, Clone)]
pub struct Sequencer {
    inbox: SyncSender<Message>,
    shared: Arc<Shared>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Sequencer {
    /// Appends an entry. Returns when it is durable, in the log and cosigned, or refused.
    ///
    /// # Errors
    /// [`Unavailable`] when the entry was not taken; the same bytes may be sent again.
    pub async fn append(
        &self,
        entry: VerifiedEntry,
        payload: Option<(SealedPayload, Salt)>,
    ) -> Result<Decided, Unavailable> {
        if let Condition::Stopped(reason) = self.shared.condition() {
            return Err(Unavailable::Stopped(reason));
        }
        let (answer, answered) = oneshot::channel();
        let waiting = Box::new(Waiting {
            entry,
            payload,
            answer,
        });
        self.inbox
            .try_send(Message::Append(waiting))
            .map_err(|error| match error {
                TrySendError::Full(_) => Unavailable::QueueFull,
                TrySendError::Disconnected(_) => Unavailable::Stopped(StopReason::ShuttingDown),
            })?;
        // The thread ends without answering only when the node shuts down.
        answered
            .await
            .unwrap_or(Err(Unavailable::Stopped(StopReason::ShuttingDown)))
    }

    /// The newest published state.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot()
    }

    /// Tells of each state that is published, with its size.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<TreeSize> {
        self.shared.published.subscribe()
    }

    /// Whether the ledger takes writes.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.shared.condition()
    }

    /// Finishes what is waiting and ends the thread. Blocks until it has.
    pub fn stop(&self) {
        // A full inbox is worked off, so this send waits at most for a few batches.
        let _ = self.inbox.send(Message::Stop);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
