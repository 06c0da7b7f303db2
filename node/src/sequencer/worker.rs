//! The sequencer's thread: what comes in, in the order in which it is dealt with.
//!
//! It is one task over one ledger, so nothing in it is locked. One batch is on its way at a time:
//! what comes in meanwhile makes the next one. What the engine hands over goes before what is
//! waiting to be proposed, because others wait for this member's cosignature.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use proto::batch::SignedHeader;
use proto::checkpoint::SignedCheckpoint;
use proto::ids::{MemberName, UnixMillis};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until, timeout_at};

use super::checking::{Chain, Prepared};
use super::company::Company;
use super::gathering::Gathering;
use super::ordering::{Awaited, Checking, Flight, Held, Pending};
use super::recalling::Recalling;
use super::replica::Replica;
use super::steps::Failure;
use super::{
    BATCH_BYTES_MAX, BATCH_ENTRIES_MAX, BatchObserver, Condition, Control, RENEWAL, Shared,
    StopReason, Unavailable, Waiting,
};
use crate::clock;
use crate::order::{Leadership, Orderer};
use crate::store::Store;
use crate::witness::Witness;

/// How long an answer is kept. A repeat can only come while clocks still admit its entry (two
/// minutes), or from a till that was off for a night.
const ANSWERS_KEPT_MS: u64 = 48 * 3600 * 1000;
/// How often old answers are looked for, and how many are forgotten at a time.
pub(super) const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);
const EXPIRED_AT_A_TIME: usize = 2048;

/// How long what waits may take to be carried through when the node stops: a quorum may be gone.
const STOP_MAX: Duration = Duration::from_secs(5);

/// What the thread owns.
pub(super) struct Worker {
    pub(super) inbox: mpsc::Receiver<Box<Waiting>>,
    pub(super) control: mpsc::Receiver<Control>,
    /// For what comes back from the engine later.
    pub(super) own: mpsc::WeakSender<Control>,
    pub(super) shared: Arc<Shared>,
    pub(super) orderer: Option<Arc<dyn Orderer>>,
    pub(super) leadership: Option<watch::Receiver<Leadership>>,
    pub(super) witness: Witness,
    pub(super) store: Store,
    pub(super) observer: BatchObserver,
    pub(super) chain: Chain,
    /// Whether the newest state came by pages, so that its last batch may come again.
    pub(super) came_by_pages: bool,
    /// This member's newest cosignature that may leave, for those who carry it to the others.
    pub(super) cosigned: watch::Sender<Option<SignedCheckpoint>>,
    pub(super) gathering: Gathering,
    /// What this node has heard of its own signatures; none once it may sign.
    pub(super) recalling: Option<Recalling>,
    /// The own proposal on its way.
    pub(super) flight: Option<Flight>,
    /// The batch that the gate had checked, ahead of its order.
    pub(super) checked: Option<Held<Prepared>>,
    /// The newest header that the gate has found sound, and whose it is.
    pub(super) sound: Option<(MemberName, SignedHeader)>,
    /// The gate's question that waits for the batch before.
    pub(super) asked: Option<Checking>,
    /// The ordered batch that waits for a quorum.
    pub(super) pending: Option<Pending>,
    /// The ordered batch that has to come by pages.
    pub(super) awaited: Option<Awaited>,
    pub(super) expired_at: Instant,
    pub(super) renewed_at: Instant,
    /// The ledger while it is brought up to a snapshot of the engine.
    pub(super) catching_up: Option<Replica>,
    /// Who is expected to come with the next batch.
    pub(super) company: Company,
    /// When it ends, once it was told to stop.
    pub(super) stops_at: Option<Instant>,
}

enum Event {
    Control(Control),
    Append(Box<Waiting>),
    Leadership,
    Tick,
    End,
}

impl Worker {
    /// Works until it is told to stop, or nobody is left to tell.
    pub(super) async fn run(mut self) {
        let mut ticks = interval(EXPIRY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            match self.next(&mut ticks).await {
                Event::Append(first) => self.take(first).await,
                Event::End => break,
                Event::Control(control) => self.obey(control),
                Event::Leadership => self.follow_leadership(),
                Event::Tick => self.tick(),
            }
        }
        self.end();
    }

    async fn next(&mut self, ticks: &mut Interval) -> Event {
        // Who does not lead answers at once, whatever is still on its way.
        let leads = self.shared.condition() == Condition::Writing;
        let takes = !leads || self.is_free();
        let ends = self.stops_at.unwrap_or_else(|| Instant::now() + STOP_MAX);
        tokio::select! {
            biased;
            control = self.control.recv() => control.map_or(Event::End, Event::Control),
            () = changed(self.leadership.as_mut()) => Event::Leadership,
            waiting = self.inbox.recv(), if takes => waiting.map_or(Event::End, Event::Append),
            _ = ticks.tick() => Event::Tick,
            () = sleep_until(ends), if self.stops_at.is_some() => Event::End,
        }
    }

    fn obey(&mut self, control: Control) {
        match control {
            Control::Attach(orderer) => {
                self.leadership = Some(orderer.leadership());
                self.orderer = Some(orderer);
                self.follow_leadership();
            }
            Control::Ordered(ordered) => self.ordered(*ordered),
            Control::Check(checking) => self.check_ahead(checking),
            Control::Cosigned(signed) => self.cosignatures(&signed),
            Control::Newest(answer) => {
                let _ = answer.send(self.gathering.newest());
            }
            Control::Recalled(recalled) => self.recalled(&recalled),
            Control::Page(page) => self.page(*page),
            Control::Installed(installed) => self.installed(*installed),
            Control::Lost(header) => self.lost(header),
            Control::Stop => self.stop_soon(),
        }
    }

    /// Takes what is waiting and proposes it, or answers all of it with why not.
    async fn take(&mut self, first: Box<Waiting>) {
        let waiting = self.collect(first).await;
        if let Condition::Stopped(reason) = self.shared.condition() {
            return refuse_all(waiting, Unavailable::Stopped(reason));
        }
        let Leadership::Own { term } = self.leadership() else {
            return refuse_all(waiting, Unavailable::NotLeading);
        };
        if self.recalling.is_some() || !self.is_free() || !self.may_lead() {
            return refuse_all(waiting, Unavailable::NotLeading);
        }
        self.company.leaves(waiting.len());
        self.propose(term, waiting);
    }

    /// Members follow a leader that votes. One that has lost its vote hands the lead over.
    fn may_lead(&self) -> bool {
        let snapshot = self.shared.snapshot();
        let own = snapshot.roster().member(self.witness.name());
        own.is_some_and(|own| own.is_voting())
    }

    /// Whatever came in while the last batch was on its way, and what is waited for.
    async fn collect(&mut self, first: Box<Waiting>) -> Vec<Waiting> {
        let waits_until = self.company.waits_until();
        let mut bytes = first.bytes();
        let mut batch = vec![*first];
        while batch.len() < BATCH_ENTRIES_MAX && bytes < BATCH_BYTES_MAX {
            let next = match self.inbox.try_recv() {
                Ok(next) => Some(next),
                Err(_) if !self.company.is_there(batch.len()) => {
                    let next = timeout_at(waits_until, self.inbox.recv()).await;
                    next.ok().flatten()
                }
                Err(_) => None,
            };
            let Some(next) = next else { break };
            bytes += next.bytes();
            batch.push(*next);
        }
        batch
    }

    /// Whether no batch is on its way.
    const fn is_free(&self) -> bool {
        self.flight.is_none() && self.pending.is_none()
    }

    fn leadership(&self) -> Leadership {
        let leadership = self.leadership.as_ref();
        leadership.map_or(Leadership::Nobody, |it| it.borrow().clone())
    }

    /// Who leads has changed: what this node is asked to append goes there from now on.
    fn follow_leadership(&mut self) {
        let leads = matches!(self.leadership(), Leadership::Own { .. });
        if !leads {
            self.let_go();
            self.company = Company::none();
        }
        let condition = match self.shared.condition() {
            Condition::Stopped(_) => return,
            _ if leads => Condition::Writing,
            _ => Condition::Following,
        };
        self.shared.enter(condition);
    }

    /// Who waits here asks elsewhere, with the same bytes. The batch itself stays on its way: it may
    /// have its place already.
    fn let_go(&mut self) {
        let flight = self.flight.as_mut().map(|it| &mut it.waiting);
        let pending = self.pending.as_mut().map(|it| &mut it.waiting);
        for waiting in flight.into_iter().chain(pending) {
            refuse_all(mem::take(waiting), Unavailable::NotLeading);
        }
    }

    fn tick(&mut self) {
        if self.renewed_at.elapsed() >= RENEWAL {
            self.renew();
        }
        let stopped_for_room = Condition::Stopped(StopReason::DiskFull);
        if self.shared.condition() == stopped_for_room && self.store.has_room() {
            tracing::info!("the disk has room again: writes resume");
            self.shared.enter(Condition::Following);
            self.follow_leadership();
        }
        if self.expired_at.elapsed() >= EXPIRY_INTERVAL {
            self.expired_at = Instant::now();
            expire_answers(&self.store);
        }
    }

    /// Takes nothing more; what waits is carried through, and then the thread ends.
    fn stop_soon(&mut self) {
        self.inbox.close();
        self.stops_at = Some(Instant::now() + STOP_MAX);
    }

    pub(super) fn fail(&self, failure: &Failure) {
        let reason = failure.stop_reason();
        tracing::error!(reason = reason.as_str(), %failure, "writes are stopped");
        self.shared.enter(Condition::Stopped(reason));
    }

    fn end(&mut self) {
        if let Err(error) = self.store.sync() {
            tracing::warn!(%error, "the engine's log has what the ledger on the disk lacks");
        }
        let reason = StopReason::ShuttingDown;
        self.shared.enter(Condition::Stopped(reason));
        let flight = self.flight.take().map(|flight| flight.waiting);
        refuse_all(flight.unwrap_or_default(), Unavailable::Stopped(reason));
        while let Ok(waiting) = self.inbox.try_recv() {
            refuse_all(vec![*waiting], Unavailable::Stopped(reason));
        }
    }
}

/// Returns when who leads has changed; never while nobody would say so.
async fn changed(leadership: Option<&mut watch::Receiver<Leadership>>) {
    let changed = match leadership {
        Some(leadership) => leadership.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending::<()>().await;
    }
}

/// Forgets some of the answers that nobody can ask for again.
pub(super) fn expire_answers(store: &Store) {
    let before = UnixMillis::new(clock::now().get().saturating_sub(ANSWERS_KEPT_MS));
    if let Err(error) = store.expire_answers(before, EXPIRED_AT_A_TIME) {
        tracing::warn!(%error, "old answers are kept for now");
    }
}

pub(super) fn refuse_all(waiting: Vec<Waiting>, reason: Unavailable) {
    for waiting in waiting {
        let _ = waiting.answer.send(Err(reason));
    }
}
