//! The engine of one running node: started, told who sits where, stopped.

mod seats;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use openraft::async_runtime::WatchReceiver as _;
use openraft::impls::ProgressResponder;
use openraft::{Config, Raft, SnapshotPolicy};
use proto::ids::MemberName;
use proto::roster::Roster;
use proto::signing::SecretKey;
use proto::wire::status::SeatStatus;
use thiserror::Error;
use tokio::sync::{Mutex, watch};

use super::catching_up::catch_up;
use super::distrust::Distrust;
use super::leadership::{LOOK, leadership};
use super::log_store::{DiskWork, LogStore};
use super::machine::Machine;
use super::mandate::Mandates;
use super::network::Links;
use super::refused::Refusals;
use super::runtime::EngineRuntime;
use super::{
    Applied, CommittedLeaderId, EngineId, LogId, Membership, Record, Seat, TypeConfig, Vote,
};
use crate::blocking::blocking;
use crate::metrics::Lies;
use crate::next_key::NextKey;
use crate::order::{Leadership, Lost, Orderer};
use crate::sequencer::Sequencer;
use crate::sources::Liars;
use crate::store::{EngineState, Store, StoreError};

pub use self::seats::NotReady;

/// Heartbeats for which a silent leader is waited for, at least and at most.
const ELECTION_HEARTBEATS: (u32, u32) = (3, 6);
/// Heartbeats for which a leader that no majority answers falls silent, so that those who still
/// hear it elect another: long enough for its lease and several elections, also on a busy machine.
const QUIET_HEARTBEATS: u32 = 50;
/// Batches kept after a snapshot, for members that are a little behind.
const RECORDS_KEPT: u64 = 64;
/// Batches after which what is applied is a snapshot again, and older records go.
const SNAPSHOT_EVERY: u64 = 64;
/// How often a node without its seat asks for one, and a leader looks whether seats are right.
const SEAT_CHECK: Duration = Duration::from_millis(500);
/// How long a node may stay behind what a quorum has vouched for before it fetches pages.
const BEHIND_MAX: Duration = Duration::from_secs(1);
/// Pause before the engine is asked again whether it has purged an erased salt.
const FORGET_PAUSE: Duration = Duration::from_millis(100);

/// openraft over our types.
pub(super) type EngineRaft = Raft<TypeConfig, Machine>;

/// Why the engine does not start.
#[derive(Debug, Error)]
pub enum EngineError {
    /// What it has on the disk cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread of the engine cannot be started.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The engine itself says no.
    #[error("the ordering engine does not start: {0}")]
    Engine(String),
}

/// Whose engine it is.
#[derive(Debug)]
pub struct Own {
    /// The folder of its data.
    pub data: PathBuf,
    /// What it refuses of others is counted here.
    pub lies: Lies,
    /// The member.
    pub name: MemberName,
    /// Its key.
    pub secret: SecretKey,
    /// Where the key lies that takes over with the roster that lists it.
    pub next: NextKey,
}

/// The engine of one running node. Clones share it.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    raft: EngineRaft,
    runtime: EngineRuntime,
    id: EngineId,
    name: MemberName,
    secret: SecretKey,
    /// Where the key of this member lies that takes over with the roster that lists it.
    next: NextKey,
    sequencer: Sequencer,
    store: Store,
    leadership: watch::Sender<Leadership>,
    mandates: Mandates,
    distrust: Distrust,
    /// Whose pages are no good.
    liars: Liars,
    /// When a leader was heard last; from the start on, a while is given to one.
    heard_at: Lock<Instant>,
    refusals: Refusals,
    /// The newest life of each member that has asked this node for a seat.
    enlisted: Mutex<BTreeMap<MemberName, EngineId>>,
    /// Ends the tasks.
    stop: watch::Sender<bool>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({})", self.0.id)
    }
}

impl Engine {
    /// Starts the engine over what is on the disk. A founder that votes alone leads at once.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn start(
        state: &EngineState,
        sequencer: Sequencer,
        store: Store,
        own: Own,
        heartbeat: Duration,
    ) -> Result<Self, EngineError> {
        let Own {
            data,
            lies,
            name,
            secret,
            next,
        } = own;
        let id = state.id;
        let log = LogStore::new(store.clone(), state, DiskWork::of_this_node())?;
        let (liars, refusals) = (Liars::new(lies.clone()), Refusals::new(data, lies));
        let (ledger, key) = (sequencer.clone(), secret.clone());
        let refused = refusals.clone();
        let machine = Machine::open(ledger, store.clone(), key, liars.clone(), refused)?;
        let origin = sequencer.snapshot().roster().origin().clone();
        let mandates = Mandates::new(id, name.clone(), secret.clone(), origin, state.vote);
        let links = Links {
            sequencer: sequencer.clone(),
            secret: secret.clone(),
            mandates: mandates.clone(),
            id,
        };
        let config = Arc::new(config(heartbeat).validate().map_err(said)?);
        let runtime = EngineRuntime::start()?;
        let raft = runtime.spawn(Raft::new(id, config, links, log, machine));
        let engine = Self(Arc::new(Inner {
            raft: raft.await.map_err(said)?.map_err(said)?,
            runtime,
            id,
            name,
            secret,
            next,
            sequencer,
            store,
            leadership: watch::Sender::new(Leadership::Nobody),
            mandates,
            distrust: Distrust::default(),
            liars,
            heard_at: Lock::new(Instant::now()),
            refusals,
            enlisted: Mutex::default(),
            stop: watch::Sender::new(false),
        }));
        engine.found().await?;
        tokio::spawn(engine.clone().watch_leadership());
        tokio::spawn(engine.clone().keep_seats());
        tokio::spawn(engine.clone().keep_up());
        tokio::spawn(engine.clone().forget_erased());
        Ok(engine)
    }

    /// The one voting member of a young federation is its first and only voter.
    async fn found(&self) -> Result<(), EngineError> {
        let roster = self.roster();
        let mut voting = roster.voting_members();
        let alone =
            voting.next().is_some_and(|it| it.name == self.0.name) && voting.next().is_none();
        if !alone {
            return Ok(());
        }
        if !self.raft().is_initialized().await.map_err(said)? {
            let own = BTreeMap::from([(self.id(), self.seat())]);
            self.raft().initialize(own).await.map_err(said)?;
        } else if self.votes().iter().eq([&self.id()]) {
            self.raft().trigger().elect(false).await.map_err(said)?;
        }
        Ok(())
    }

    fn seat(&self) -> Seat {
        Seat {
            member: self.0.name.clone(),
        }
    }

    pub(super) fn raft(&self) -> &EngineRaft {
        &self.0.raft
    }

    pub(super) fn mandates(&self) -> &Mandates {
        &self.0.mandates
    }

    pub(super) fn refusals(&self) -> &Refusals {
        &self.0.refusals
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn distrust(&self) -> &Distrust {
        &self.0.distrust
    }

    /// A leader was heard.
    pub(super) fn hear(&self) {
        let mut heard_at = self
            .0
            .heard_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *heard_at = Instant::now();
    }

    fn heard_at(&self) -> Instant {
        *self
            .0
            .heard_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How far this node's ledger is, and the membership there: a majority has it.
    pub(super) fn applied(&self) -> Result<Applied, StoreError> {
        Ok(self.0.store.applied()?.unwrap_or_default())
    }

    /// The vote of this node, or one shortly before it.
    pub(super) fn own_vote(&self) -> Vote {
        self.raft().metrics().borrow_watched().vote
    }

    pub(super) fn sequencer(&self) -> &Sequencer {
        &self.0.sequencer
    }

    /// This life of this node.
    #[must_use]
    pub fn id(&self) -> EngineId {
        self.0.id
    }

    pub(super) fn roster(&self) -> Arc<Roster> {
        self.0.sequencer.snapshot().roster().clone()
    }

    pub(super) fn membership(&self) -> Membership {
        let metrics = self.raft().metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.membership().clone()
    }

    /// Who sits in the engine, as far as this node knows.
    #[must_use]
    pub fn seats(&self) -> Vec<SeatStatus> {
        let (membership, votes) = (self.membership(), self.votes());
        let seats = membership.nodes().map(|(id, seat)| SeatStatus {
            member: seat.member.clone(),
            engine_id: id.get(),
            votes: votes.contains(id),
        });
        seats.collect()
    }

    /// The member whose node leads, if any is known to.
    #[must_use]
    pub fn leader(&self) -> Option<MemberName> {
        match &*self.0.leadership.borrow() {
            Leadership::Nobody => None,
            Leadership::Own { .. } => Some(self.0.name.clone()),
            Leadership::Member(name) => Some(name.clone()),
        }
    }

    fn votes(&self) -> BTreeSet<EngineId> {
        self.membership().voter_ids().collect()
    }

    /// Tells the sequencer whose turn it is, as often as it changes.
    async fn watch_leadership(self) {
        let mut stop = self.0.stop.subscribe();
        let (mut metrics, mut roles) = (self.raft().metrics(), self.raft().server_metrics());
        loop {
            let leadership = leadership(&metrics.borrow_watched(), self.heard_at());
            self.0.leadership.send_if_modified(|known| {
                let changed = *known != leadership;
                *known = leadership.clone();
                changed
            });
            // Each batch changes the metrics; who leads need not look that often.
            let leads = matches!(leadership, Leadership::Own { .. });
            let goes_on = tokio::select! {
                changed = metrics.changed(), if !leads => changed.is_ok(),
                changed = roles.changed(), if leads => changed.is_ok(),
                () = tokio::time::sleep(LOOK) => true,
                _ = stop.changed() => false,
            };
            if !goes_on {
                self.0.leadership.send_replace(Leadership::Nobody);
                return;
            }
        }
    }

    /// Asks for a seat while there is none; gives seats while leading.
    async fn keep_seats(self) {
        let mut stop = self.0.stop.subscribe();
        loop {
            tokio::select! {
                () = tokio::time::sleep(SEAT_CHECK) => {}
                _ = stop.changed() => return,
            }
            let leadership = self.0.leadership.borrow().clone();
            let kept = match leadership {
                Leadership::Own { .. } => self.give_seats().await,
                _ => self.ask_for_seat().await,
            };
            if let Err(error) = kept {
                tracing::warn!(%error, "seats of the ordering engine");
            }
        }
    }

    /// What the engine brings is mostly faster. It brings nothing more of a batch that was
    /// certified while this node was away.
    async fn keep_up(self) {
        let mut stop = self.0.stop.subscribe();
        let sequencer = &self.0.sequencer;
        loop {
            let held = sequencer.snapshot().size();
            tokio::select! {
                () = tokio::time::sleep(BEHIND_MAX) => {}
                _ = stop.changed() => return,
            }
            let vouched = sequencer.vouched();
            if sequencer.snapshot().size() != held || vouched <= held {
                continue;
            }
            tracing::info!(%held, %vouched, "behind: fetching pages");
            let caught_up = tokio::select! {
                caught_up = catch_up(sequencer, &self.0.secret, &self.0.liars, vouched) => caught_up,
                _ = stop.changed() => return,
            };
            if let Err(error) = caught_up {
                tracing::error!(%error, "this node stays behind");
            }
        }
    }

    /// The salts that a batch erases lie in the engine's log too, in the record that brought them.
    async fn forget_erased(self) {
        let mut stop = self.0.stop.subscribe();
        let mut erased = self.0.sequencer.erased();
        // Whatever was erased before this start.
        let mut place = self
            .0
            .store
            .applied()
            .ok()
            .flatten()
            .and_then(|it| it.log_id);
        loop {
            while !self.has_forgotten(place).await {
                tokio::select! {
                    () = tokio::time::sleep(FORGET_PAUSE) => {}
                    _ = stop.changed() => return,
                }
            }
            tokio::select! {
                changed = erased.changed() => if changed.is_err() { return },
                _ = stop.changed() => return,
            }
            place = *erased.borrow_and_update();
        }
    }

    /// Has the engine purge up to this place, and says whether it has.
    async fn has_forgotten(&self, place: Option<LogId>) -> bool {
        let Some(place) = place else { return true };
        let trigger = self.raft().trigger();
        if trigger.snapshot().await.is_err() || trigger.purge_log(place.index).await.is_err() {
            return true;
        }
        let store = self.0.store.clone();
        let purged = blocking(move || store.forget_purged()).await;
        match purged {
            Ok(Ok(purged)) => purged >= Some(place),
            // A store that fails takes no writes until the node is started again.
            Ok(Err(_)) | Err(_) => true,
        }
    }

    /// Hands the lead to another voter, if this node leads and there is one.
    pub async fn hand_over(&self) {
        if !matches!(*self.0.leadership.borrow(), Leadership::Own { .. }) {
            return;
        }
        let (roster, membership) = (self.roster(), self.membership());
        let votes = |id: &EngineId| {
            let seat = membership.get_node(id);
            let member = seat.and_then(|seat| roster.member(&seat.member));
            member.is_some_and(|it| it.is_voting())
        };
        let others = self.votes().into_iter().filter(|id| *id != self.id());
        for other in others.filter(votes).filter(|id| self.has_caught_up(id)) {
            if self.raft().trigger().transfer_leader(other).await.is_ok() {
                return;
            }
        }
    }

    /// Ends the engine. The sequencer must have ended before: the engine waits for what it applies.
    pub async fn stop(&self) {
        self.0.stop.send_replace(true);
        if self.raft().shutdown().await.is_err() {
            tracing::warn!("the ordering engine was broken off");
        }
    }
}

impl Orderer for Engine {
    fn leadership(&self) -> watch::Receiver<Leadership> {
        self.0.leadership.subscribe()
    }

    fn propose(&self, term: u64, record: Bytes, lost: Lost) {
        let raft = self.raft().clone();
        self.0.runtime.spawn(async move {
            let (responder, ordered) = ProgressResponder::complete_only();
            let write = raft.write(Record::new(record));
            let write = write
                .responder(responder)
                .with_leader(CommittedLeaderId::new(term));
            let taken = write.await.is_ok();
            if !taken || !matches!(ordered.await, Ok(Ok(_))) {
                lost();
            }
        });
    }
}

fn config(heartbeat: Duration) -> Config {
    let (least, most) = ELECTION_HEARTBEATS;
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    Config {
        cluster_name: "vitrail".to_owned(),
        heartbeat_interval: millis(heartbeat),
        election_timeout_min: millis(heartbeat * least),
        election_timeout_max: millis(heartbeat * most),
        max_payload_entries: 8,
        replication_lag_threshold: SNAPSHOT_EVERY * 4,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(SNAPSHOT_EVERY),
        max_in_snapshot_log_to_keep: RECORDS_KEPT,
        enable_pre_vote: Some(true),
        quorum_loss_probe_interval: Some(millis(heartbeat * QUIET_HEARTBEATS)),
        // A leader that starts again has forgotten what it signed in its term: it is elected anew.
        enable_leader_restore: Some(false),
        ..Config::default()
    }
}

fn said(error: impl fmt::Display) -> EngineError {
    EngineError::Engine(error.to_string())
}
