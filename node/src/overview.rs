//! What an operator wants to see of a node and of its federation at a glance.
//!
//! Everything here is of organisations and machines: no entry, no till and no key is in it. What it
//! says of other members rests on their cosignatures, each checked; a member whose cosignature is
//! not new is away, as far as this node can tell.

mod alarm;
pub mod pace;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proto::checkpoint::SignedCheckpoint;
use proto::ids::{MemberName, UnixMillis};
use proto::roster::{Member, Roster};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

pub use self::alarm::Alarm;
use self::pace::{Pace, before};
use crate::access::pattern::Pattern;
use crate::backup;
use crate::clock;
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::presence::{self, Cosigned};
use crate::sequencer::{Condition, Sequencer};
use crate::store::{DiskSpace, Store};

/// How long a member may lack a state that a quorum vouches for before it counts as away. A node
/// that is well cosigns it in a fraction of a second.
pub const LATE_MAX: Duration = Duration::from_secs(10);
/// How long one look is shown to everybody: the page is open to all, and must cost nothing.
const KEPT: Duration = Duration::from_secs(1);
/// How old the last backup may be: as for the alert `VitrailBackupOld` (deploy/prometheus).
const BACKUP_AGE_MAX: Duration = Duration::from_secs(2 * 86_400);
/// How long a node may run before a backup that was never made is missed, as for the same alert.
const BACKUP_MISSED_AFTER: Duration = Duration::from_secs(3_600);
/// Longest wait for the ledger's writer, which may hang on its disk.
const WRITER_WAIT: Duration = Duration::from_secs(1);

/// One member, as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemberOverview {
    /// Its name.
    pub name: String,
    /// The word for what it is in the roster.
    pub role: &'static str,
    /// Whether it votes.
    pub voting: bool,
    /// Whether it has cosigned within [`PRESENT_MAX`](presence::PRESENT_MAX), and all that is older than [`LATE_MAX`].
    pub present: bool,
    /// The size of the state that it cosigned last; none that this node knows of.
    pub cosigned: Option<u64>,
    /// How many entries that is behind the newest state.
    pub behind: Option<u64>,
    /// How long ago, in seconds.
    pub cosigned_ago_s: Option<u64>,
}

/// The shares of the joint keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shares {
    /// How many it takes to make a token.
    pub threshold: u16,
    /// How many there are.
    pub held: usize,
    /// How many of them are with members that are present.
    pub present: usize,
    /// Whether this node has its share; `None` if it is to have none.
    pub own: Option<bool>,
    /// Whether a ceremony made the keys; else the founder knows them.
    pub ceremony: bool,
}

/// The disk that the ledger lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// What is free, in bytes.
    pub free_bytes: u64,
    /// Below this writes stop.
    pub watermark_bytes: u64,
}

impl From<DiskSpace> for Disk {
    fn from(space: DiskSpace) -> Self {
        Self {
            free_bytes: space.free,
            watermark_bytes: space.watermark,
        }
    }
}

/// What is seen at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// The ledger.
    pub origin: String,
    /// The member whose node this is.
    pub name: String,
    /// The roster in force.
    pub epoch: u64,
    /// `writing`, `following`, or why writes are stopped.
    pub condition: &'static str,
    /// Entries of the newest state that a quorum vouches for.
    pub size: u64,
    /// How long ago a quorum vouched for it, in seconds; `None` when none did.
    pub checkpoint_age_s: Option<u64>,
    /// Who leads, if that is known here.
    pub leader: Option<String>,
    /// How many voting members must cosign.
    pub quorum: usize,
    /// How many of the members that are present may fail before nothing can be written any more;
    /// `None` at a node that the others send no cosignatures, since it has no vote.
    pub may_fail: Option<usize>,
    /// Every member, as the roster lists them.
    pub members: Vec<MemberOverview>,
    /// Entries of each of the last sixty minutes, the oldest first; the last one has not ended.
    pub appended: Vec<u64>,
    /// The shares of the joint keys.
    pub shares: Shares,
    /// The disk; `None` when it cannot be asked.
    pub disk: Option<Disk>,
    /// How long ago the last backup was made, in seconds; `None` when there was none.
    pub backup_age_s: Option<u64>,
    /// What somebody should look at.
    pub alarms: Vec<Alarm>,
}

/// What an overview is made from.
#[derive(Debug)]
#[allow(missing_docs, reason = "each part is the type it is named after")]
pub struct Watched {
    pub sequencer: Sequencer,
    pub engine: Option<Engine>,
    pub store: Store,
    pub metrics: Arc<Metrics>,
    /// The data folder, which says when it was backed up.
    pub data: PathBuf,
    pub name: MemberName,
    /// Whether the node has its shares of the joint keys.
    pub has_share: bool,
    /// How old a checkpoint may be before tills are refused.
    pub fresh_for: Duration,
    pub pace: Arc<Pace>,
}

/// Looks at a node, however many ask.
#[derive(Debug)]
pub struct Watch {
    watched: Watched,
    since: Instant,
    shown: Mutex<Option<(Instant, Arc<Overview>)>>,
}

impl Watch {
    /// Watches these.
    #[must_use]
    pub fn new(watched: Watched) -> Self {
        Self {
            watched,
            since: Instant::now(),
            shown: Mutex::default(),
        }
    }

    /// What there is to see, at most a second old: whoever asks more often is shown the same.
    pub async fn look(&self) -> Arc<Overview> {
        let mut shown = self.shown.lock().await;
        if let Some((at, overview)) = &*shown
            && at.elapsed() < KEPT
        {
            return overview.clone();
        }
        let overview = Arc::new(self.watched.sight(self.since.elapsed()).await.overview());
        *shown = Some((Instant::now(), overview.clone()));
        overview
    }
}

impl Watched {
    async fn sight(&self, running_for: Duration) -> Sight {
        let asked = timeout(WRITER_WAIT, self.sequencer.cosignatures()).await;
        let snapshot = self.sequencer.snapshot();
        let now = clock::now();
        let mut cosignatures = asked.unwrap_or_default();
        cosignatures.push(snapshot.checkpoint().clone());
        Sight {
            now,
            roster: snapshot.roster().clone(),
            name: self.name.clone(),
            condition: self.sequencer.condition(),
            is_recalling: self.sequencer.is_recalling(),
            size: snapshot.size().get(),
            age: snapshot.age(now.seconds()),
            fresh_for: self.fresh_for,
            cosignatures,
            votes: self.engine.is_some(),
            leader: self.engine.as_ref().and_then(Engine::leader),
            has_share: self.has_share,
            appended: self.pace.minutes(now.seconds(), snapshot.size()),
            settled: self.pace.size_at(before(now.seconds(), LATE_MAX.as_secs())),
            disk: self.store.disk_space().ok().map(Disk::from),
            backup: backup::last(&self.data).map(|it| UnixMillis::new(it.taken_at_ms)),
            refused: (self.metrics.lies().batches(), self.metrics.lies().pages()),
            running_for,
            readings: Pattern::ALL
                .map(|pattern| (pattern.as_str(), self.metrics.alarms(pattern)))
                .to_vec(),
        }
    }
}

/// What was seen at one moment; the overview is a function of it.
#[derive(Debug)]
struct Sight {
    now: UnixMillis,
    roster: Arc<Roster>,
    name: MemberName,
    condition: Condition,
    is_recalling: bool,
    size: u64,
    /// The size that the log had [`LATE_MAX`] ago.
    settled: u64,
    age: Option<Duration>,
    fresh_for: Duration,
    cosignatures: Vec<SignedCheckpoint>,
    votes: bool,
    leader: Option<MemberName>,
    has_share: bool,
    appended: Vec<u64>,
    disk: Option<Disk>,
    backup: Option<UnixMillis>,
    running_for: Duration,
    readings: Vec<(&'static str, u64)>,
    /// Batches and pages of other members that were refused.
    refused: (u64, u64),
}

impl Sight {
    fn overview(self) -> Overview {
        let cosigned = presence::newest(&self.roster, &self.cosignatures);
        let members = self.roster.members().iter();
        let members: Vec<_> = members
            .map(|member| self.member(member, cosigned.get(&member.name).copied()))
            .collect();
        let (quorum, shares) = (self.roster.quorum(), self.shares(&members));
        let present = members.iter().filter(|it| it.voting && it.present).count();
        let mut overview = Overview {
            origin: self.roster.origin().to_string(),
            name: self.name.to_string(),
            epoch: self.roster.epoch().get(),
            condition: self.condition.as_str(),
            size: self.size,
            checkpoint_age_s: self.age.map(|age| age.as_secs()),
            leader: self.leader.as_ref().map(ToString::to_string),
            quorum,
            may_fail: self.votes.then(|| present.saturating_sub(quorum)),
            members,
            shares,
            disk: self.disk,
            backup_age_s: self.backup_age().map(|age| age.as_secs()),
            alarms: Vec::new(),
            appended: self.appended.clone(),
        };
        overview.alarms = alarm::raised(&self, &overview, present);
        overview
    }

    fn backup_age(&self) -> Option<Duration> {
        let age = |at: UnixMillis| self.now.get().saturating_sub(at.get());
        self.backup.map(|at| Duration::from_millis(age(at)))
    }

    /// Whether somebody should have made a backup by now.
    fn misses_backup(&self) -> bool {
        match self.backup_age() {
            Some(age) => age > BACKUP_AGE_MAX,
            None => self.running_for > BACKUP_MISSED_AFTER,
        }
    }

    fn member(&self, member: &Member, cosigned: Option<Cosigned>) -> MemberOverview {
        let now = self.now.seconds();
        let is_recent = cosigned.is_some_and(|it| it.is_recent(now));
        let has_settled = cosigned.is_some_and(|it| it.size >= self.settled);
        MemberOverview {
            name: member.name.to_string(),
            role: member.role.as_str(),
            voting: member.is_voting(),
            present: is_recent && has_settled,
            cosigned: cosigned.map(|it| it.size),
            behind: cosigned.map(|it| self.size.saturating_sub(it.size)),
            cosigned_ago_s: cosigned.map(|it| it.seconds_ago(now)),
        }
    }

    fn shares(&self, members: &[MemberOverview]) -> Shares {
        let held = self.roster.shares();
        let is_present = |name: &MemberName| {
            let mut present = members.iter().filter(|it| it.present);
            present.any(|it| it.name == name.as_str())
        };
        Shares {
            threshold: self.roster.threshold().get(),
            held: held.len(),
            present: held.iter().filter(|it| is_present(&it.member)).count(),
            own: self.roster.share(&self.name).map(|_| self.has_share),
            ceremony: self.roster.ceremony().is_some(),
        }
    }
}
