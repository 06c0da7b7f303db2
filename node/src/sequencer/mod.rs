//! The way of every batch, from what waits at one node to what is certified at all of them.
//!
//! ```text
//! leader:       collect -> decide -> grow -> sign header -> propose
//! every member: check -> (ordered) -> lock -> cosign -> gather a quorum -> commit -> publish
//! leader:       answer
//! then:         sync
//! ```
//!
//! What is published is certified by a quorum and durable in the engine's log, whatever happens to
//! this process: a client that lost its answer asks again and gets the first answer again. Where
//! several members vote it is durable in the ledger too. At one that votes alone the ledger on the
//! disk follows: `commit` brings a batch into it for whoever reads, and what has gathered in some
//! milliseconds is written and synced together, beside the batches that come after. A start applies
//! again what the log has and the ledger has not, before it leads.

mod accusation;
mod catching_up;
mod certified;
mod checking;
mod company;
mod gathering;
mod opening;
mod ordering;
mod recalling;
mod replica;
mod steps;
mod syncing;
mod trial;
mod worker;

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use proto::batch::SignedHeader;
use proto::checkpoint::SignedCheckpoint;
use proto::entry::VerifiedEntry;
use proto::hash::Hash;
use proto::ids::{MemberName, TreeSize, UnixSeconds};
use proto::seal::{Salt, SealedPayload};
use proto::wire::replication::Page;
use thiserror::Error;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

pub use proto::batch::BATCH_ENTRIES_MAX;

pub(crate) use self::accusation::of_refused;
pub use self::catching_up::Taken;
use self::catching_up::{Installed, Paged};
pub use self::checking::{BatchFault, Blame};
pub use self::opening::{FoundError, OpenError, Unapplied, found, open};
pub use self::ordering::{BATCH_SKEW_MS_MAX, Certified, Opinion};
use self::ordering::{Checking, Ordered};
use self::recalling::Recalled;
pub(crate) use self::recalling::is_cosigned_by;
pub use self::replica::{Applied, ApplyError, PageError, Published, Replica};
pub use self::trial::{Append, StepTimes, Trial, TrialError};
use crate::engine::{self, LogId};
use crate::ledger::Verdict;
use crate::order::Orderer;
use crate::snapshot::Snapshot;

/// Bytes of entries and payloads after which a batch takes no further entry: it is written while
/// the store's write lock is held, and sent to each member in one message.
pub const BATCH_BYTES_MAX: usize = 256 * 1024;
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
    /// Another node holds a cosignature of this one that is unknown here.
    #[error("this node has forgotten what it signed, as one from an old backup has")]
    Restored,
    /// The roster in force does not list this member any more.
    #[error("this member has left the federation")]
    Left,
    /// The roster in force lists this member with another key than the node runs with.
    #[error("the roster in force has another key for this member than its node runs with")]
    KeyReplaced,
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
            Self::Restored => "restored",
            Self::Left => "left",
            Self::KeyReplaced => "key-replaced",
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

impl Condition {
    /// The word for it in metrics and in what a node says of itself.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Writing => "writing",
            Self::Following => "following",
            Self::Stopped(reason) => reason.as_str(),
        }
    }
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
    /// Another member's node leads, or did so before the entry was ordered.
    #[error("another member's node takes writes now")]
    NotLeading,
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
    /// The `commit` step alone: it ends when the batch is in the ledger for whoever reads.
    pub committed_in: Duration,
}

/// Sees each batch after it is published.
pub type BatchObserver = Box<dyn Fn(&BatchReport) + Send>;

/// One append on its way.
#[derive(Debug)]
struct Waiting {
    entry: VerifiedEntry,
    payload: Option<(SealedPayload, Salt)>,
    answer: oneshot::Sender<Result<Decided, Unavailable>>,
}

impl Waiting {
    /// How much of a batch it takes.
    fn bytes(&self) -> usize {
        let payload = self.payload.as_ref();
        self.entry.bytes().len() + payload.map_or(0, |(sealed, _)| sealed.byte_count())
    }
}

/// What the thread is told beside appends.
#[derive(Debug)]
enum Control {
    Attach(Arc<dyn Orderer>),
    Ordered(Box<Ordered>),
    Check(Checking),
    Cosigned(Box<SignedCheckpoint>),
    Newest(oneshot::Sender<Vec<SignedCheckpoint>>),
    Recalled(Box<Recalled>),
    Page(Box<Paged>),
    Installed(Box<Installed>),
    Lost(Hash),
    Stop,
}

/// Most things other than appends that wait: the engine hands over one at a time, each member's
/// node a few.
const CONTROL_MAX: usize = 1024;

/// What the thread shares with everybody who reads.
#[derive(Debug)]
struct Shared {
    snapshot: RwLock<Arc<Snapshot>>,
    condition: RwLock<Condition>,
    published: watch::Sender<TreeSize>,
    vouched: watch::Sender<TreeSize>,
    /// The place in the engine's log of the newest batch with an erasure.
    erased: watch::Sender<Option<LogId>>,
    /// Whether the others are asked what this node had signed.
    recalling: watch::Sender<bool>,
}

impl Shared {
    fn new(snapshot: Arc<Snapshot>, condition: Condition) -> Self {
        Self {
            published: watch::Sender::new(snapshot.size()),
            vouched: watch::Sender::new(snapshot.size()),
            erased: watch::Sender::new(None),
            recalling: watch::Sender::new(false),
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
    inbox: mpsc::Sender<Box<Waiting>>,
    control: mpsc::Sender<Control>,
    cosigned: watch::Receiver<Option<SignedCheckpoint>>,
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
        self.inbox.try_send(waiting).map_err(|error| match error {
            TrySendError::Full(_) => Unavailable::QueueFull,
            TrySendError::Closed(_) => Unavailable::Stopped(StopReason::ShuttingDown),
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

    /// The largest size that a quorum is known to have vouched for: what this node has yet to
    /// publish lies below it.
    #[must_use]
    pub fn vouched(&self) -> TreeSize {
        *self.shared.vouched.borrow()
    }

    /// Tells of each batch with an erasure, by its place in the engine's log: up to there the
    /// engine must forget what it has.
    #[must_use]
    pub fn erased(&self) -> watch::Receiver<Option<LogId>> {
        self.shared.erased.subscribe()
    }

    /// Whether the ledger takes writes.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.shared.condition()
    }

    /// Ends the work of this node for a reason that no batch brought.
    pub fn end_for(&self, reason: StopReason) {
        self.shared.enter(Condition::Stopped(reason));
    }

    /// Gives the thread its engine; before that nothing is appended.
    pub fn attach(&self, orderer: Arc<dyn Orderer>) {
        // The first thing that the thread is told, so there is room.
        let _ = self.control.try_send(Control::Attach(orderer));
    }

    /// What this member thinks of a record of `term` that its engine is to take from the leader of
    /// the term `led_in`. With it comes what certifies the batch before.
    ///
    /// # Errors
    /// [`BatchFault`]: the engine must not take it. `None` when the node is shutting down.
    pub async fn check(
        &self,
        record: Bytes,
        term: u64,
        led_in: u64,
    ) -> Option<Result<Opinion, BatchFault>> {
        let (answer, answered) = oneshot::channel();
        let checking = Checking {
            record,
            term,
            led_in,
            answer,
        };
        self.tell(Control::Check(checking)).await;
        answered.await.ok()
    }

    /// Takes a record that has its place in the order; returns once its batch is certified by a
    /// quorum and in the ledger, however long that takes.
    ///
    /// # Errors
    /// [`BatchFault`]: this node has stopped over it. `None` when the node is shutting down.
    pub async fn ordered(
        &self,
        record: Bytes,
        place: engine::Applied,
    ) -> Option<Result<Certified, BatchFault>> {
        let (done, told) = oneshot::channel();
        let ordered = Ordered {
            record,
            place,
            done,
        };
        self.tell(Control::Ordered(Box::new(ordered))).await;
        told.await.ok()
    }

    /// Takes cosignatures of members, from whomever they come.
    pub async fn cosigned_by_others(&self, signed: SignedCheckpoint) {
        self.tell(Control::Cosigned(Box::new(signed))).await;
    }

    /// The newest cosignature of each member that this node holds; at a node that follows its own
    /// alone.
    pub async fn cosignatures(&self) -> Vec<SignedCheckpoint> {
        let (answer, answered) = oneshot::channel();
        self.tell(Control::Newest(answer)).await;
        let own = || self.cosigned.borrow().iter().cloned().collect();
        answered.await.unwrap_or_else(|_| own())
    }

    /// Whether this node has yet to hear what it had signed, and signs nothing until then.
    #[must_use]
    pub fn is_recalling(&self) -> bool {
        *self.shared.recalling.borrow()
    }

    /// Says whether this node, which only follows, has yet to hear what it had signed.
    pub(crate) fn set_recalling(&self, recalling: bool) {
        self.shared.recalling.send_replace(recalling);
    }

    /// Takes the cosignatures that the node of `by` holds.
    pub async fn recalled(&self, by: MemberName, cosignatures: Vec<SignedCheckpoint>) {
        let recalled = Recalled { by, cosignatures };
        self.tell(Control::Recalled(Box::new(recalled))).await;
    }

    /// This member's newest cosignature that may leave the node.
    #[must_use]
    pub fn own_cosignature(&self) -> watch::Receiver<Option<SignedCheckpoint>> {
        self.cosigned.clone()
    }

    /// Takes a page of the log of another member that begins at this place, as [`Replica::apply`]
    /// does, and says where the next one must begin. `None` when the node is shutting down.
    pub async fn page(&self, from: TreeSize, page: Page, now: UnixSeconds) -> Option<Taken> {
        let (done, told) = oneshot::channel();
        let paged = Paged {
            from,
            page,
            now,
            done,
        };
        self.tell(Control::Page(Box::new(paged))).await;
        told.await.ok()
    }

    /// The ledger was brought up by pages to a place that the engine knows: it goes on from there.
    /// `None` when the node is shutting down.
    pub async fn installed(&self, header: Option<SignedHeader>) -> Option<()> {
        let (done, told) = oneshot::channel();
        let installed = Installed { header, done };
        self.tell(Control::Installed(Box::new(installed))).await;
        told.await.ok()
    }

    async fn tell(&self, control: Control) {
        // The thread ends only when the node shuts down.
        let _ = self.control.send(control).await;
    }

    /// Carries through what is waiting, and ends the thread. Blocks until it has.
    pub fn stop(&self) {
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            while let Err(TrySendError::Full(_)) = self.control.try_send(Control::Stop) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod liar;
#[cfg(test)]
mod tests;
