//! What the node counts, in OpenMetrics.
//!
//! A label holds a word of a closed list (a kind, a reason, a method of the schema) and nothing
//! else: no key, no name of a till, no value of an entry can get in, because no method here takes
//! one.

mod lies;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use proto::entry::Kind;
use proto::ids::TreeSize;

pub use self::lies::Lies;
use crate::access::pattern::Pattern;
use crate::ledger::{Outcome, Verdict};
use crate::sequencer::BatchReport;

/// What the node counts. Shared by everything that has something to count.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    appends: Family<AppendLabels, Counter>,
    batches: Counter,
    batch_entries: Histogram,
    batch_bytes: Histogram,
    prepare_seconds: Histogram,
    commit_seconds: Histogram,
    syncs: Counter,
    sync_seconds: Histogram,
    appends_waiting: Gauge,
    log_entries: Gauge<u64, AtomicU64>,
    checkpoint_age: Gauge<f64, AtomicU64>,
    vouched_entries: Gauge<u64, AtomicU64>,
    store_state: Family<StateLabels, Gauge>,
    recalling: Gauge,
    cosignature_age: Gauge<f64, AtomicU64>,
    members: Family<MembersLabels, Gauge>,
    disk_free: Gauge<u64, AtomicU64>,
    disk_watermark: Gauge<u64, AtomicU64>,
    last_backup: Gauge<f64, AtomicU64>,
    last_backup_entries: Gauge<u64, AtomicU64>,
    connections: Gauge,
    connections_refused: Counter,
    cut_off: Counter,
    rpc_seconds: Family<RpcLabels, Histogram, fn() -> Histogram>,
    alarms: Family<AlarmLabels, Counter>,
    contracts: Gauge,
    contracts_refused: Counter,
    lies: Lies,
}

/// One append that waits, for as long as this lives.
#[derive(Debug)]
pub struct Waiting(Gauge);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What the edges see of the ledger when the metrics are read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// The number of entries of the newest published state.
    pub size: TreeSize,
    /// The largest number of entries that a quorum is known to vouch for.
    pub vouched: TreeSize,
    /// Whether this node has yet to hear what it had signed.
    pub recalling: bool,
    /// The voting members, at a node that takes part in ordering.
    pub members: Option<Members>,
    /// How old the newest cosignature is that this node has given to others; `None` when it gives
    /// none.
    pub cosignature_age: Option<Duration>,
    /// The room on the disk.
    pub disk: Option<Room>,
    /// The last backup.
    pub backup: Option<LastBackup>,
    /// How old its checkpoint is; `None` when its cosignatures do not verify.
    pub checkpoint_age: Option<Duration>,
    /// `writing`, or why writes are stopped.
    pub store_state: &'static str,
    /// How many syncs the store has made.
    pub syncs: u64,
}

/// How many members vote, must cosign, and did so lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Members {
    /// How many vote.
    pub voting: usize,
    /// How many of them make a quorum.
    pub quorum: usize,
    /// How many of them have cosigned lately, as far as this node has heard, itself included.
    pub cosigning: usize,
    /// How many only follow.
    pub following: usize,
    /// How many of those have cosigned lately.
    pub following_cosigning: usize,
}

/// The room on the disk of the ledger, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// What is free.
    pub free: u64,
    /// Below what writes stop.
    pub watermark: u64,
}

/// The last backup of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastBackup {
    /// When it was done, in milliseconds since 1970.
    pub at_ms: u64,
    /// How many entries it has.
    pub entries: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MembersLabels {
    are: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AppendLabels {
    kind: &'static str,
    outcome: &'static str,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabels {
    state: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AlarmLabels {
    pattern: &'static str,
}

impl From<Pattern> for AlarmLabels {
    fn from(pattern: Pattern) -> Self {
        let pattern = pattern.as_str();
        Self { pattern }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RpcLabels {
    method: &'static str,
    code: &'static str,
}

/// From 50 us, a sync of a fast disk, to 26 s, beyond every deadline.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 20))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Metrics that count from zero.
    #[must_use]
    pub fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("vitrail"),
            appends: Family::default(),
            batches: Counter::default(),
            batch_entries: Histogram::new(exponential_buckets(1.0, 2.0, 13)),
            batch_bytes: Histogram::new(exponential_buckets(256.0, 2.0, 12)),
            prepare_seconds: seconds(),
            commit_seconds: seconds(),
            syncs: Counter::default(),
            sync_seconds: seconds(),
            appends_waiting: Gauge::default(),
            log_entries: Gauge::default(),
            checkpoint_age: Gauge::default(),
            vouched_entries: Gauge::default(),
            store_state: Family::default(),
            recalling: Gauge::default(),
            cosignature_age: Gauge::default(),
            members: Family::default(),
            disk_free: Gauge::default(),
            disk_watermark: Gauge::default(),
            last_backup: Gauge::default(),
            last_backup_entries: Gauge::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            cut_off: Counter::default(),
            rpc_seconds: Family::new_with_constructor(seconds),
            alarms: Family::default(),
            contracts: Gauge::default(),
            contracts_refused: Counter::default(),
            lies: Lies::default(),
        };
        metrics.register_ledger();
        metrics.register_member();
        metrics.register_edges();
        // From the start, so that the first alarm is an increase.
        for pattern in Pattern::ALL {
            drop(metrics.alarms.get_or_create(&pattern.into()));
        }
        metrics
    }

    fn register_ledger(&mut self) {
        let (registry, s) = (&mut self.registry, Unit::Seconds);
        registry.register("appends", "Entries decided", self.appends.clone());
        registry.register("batches", "Batches committed", self.batches.clone());
        registry.register(
            "batch_entries",
            "Entries of a batch",
            self.batch_entries.clone(),
        );
        registry.register(
            "batch_bytes",
            "Bytes of a batch's entries",
            self.batch_bytes.clone(),
        );
        let (prepare, commit) = (self.prepare_seconds.clone(), self.commit_seconds.clone());
        registry.register_with_unit("prepare", "From collected to cosigned", s.clone(), prepare);
        registry.register_with_unit("commit", "From cosigned to published", s.clone(), commit);
        registry.register("syncs", "Syncs of the store's files", self.syncs.clone());
        let (what, sync) = ("How long each of them took", self.sync_seconds.clone());
        registry.register_with_unit("sync", what, s.clone(), sync);
        let (waiting, age) = (self.appends_waiting.clone(), self.checkpoint_age.clone());
        registry.register(
            "appends_waiting",
            "Appends that are not answered yet",
            waiting,
        );
        registry.register(
            "log_entries",
            "Entries of the log",
            self.log_entries.clone(),
        );
        registry.register_with_unit("checkpoint_age", "Age of the newest checkpoint", s, age);
        let state = self.store_state.clone();
        registry.register("store_state", "1 for the state that the store is in", state);
    }

    fn register_member(&mut self) {
        let registry = &mut self.registry;
        self.lies.register(registry);
        let help = "Entries that a quorum is known to vouch for";
        registry.register("vouched_entries", help, self.vouched_entries.clone());
        let help = "1 while this node has yet to hear what it had signed, and signs nothing";
        registry.register("recalling", help, self.recalling.clone());
        let help = "Age of the newest cosignature that others get of this node; infinite for none";
        let (unit, age) = (Unit::Seconds, self.cosignature_age.clone());
        registry.register_with_unit("cosignature_age", help, unit, age);
        let help = "Members that vote, make a quorum, and have cosigned lately; that follow";
        registry.register("members", help, self.members.clone());
        let (free, watermark) = (self.disk_free.clone(), self.disk_watermark.clone());
        let help = "Free bytes of the ledger's disk";
        registry.register_with_unit("disk_free", help, Unit::Bytes, free);
        let help = "Free bytes below which writes stop";
        registry.register_with_unit("disk_watermark", help, Unit::Bytes, watermark);
        let help = "When this node was backed up last, in seconds since 1970; 0 for never";
        let (unit, at) = (Unit::Seconds, self.last_backup.clone());
        registry.register_with_unit("last_backup_timestamp", help, unit, at);
        let entries = self.last_backup_entries.clone();
        registry.register("last_backup_entries", "Entries of that backup", entries);
    }

    fn register_edges(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "connections",
            "Open gRPC connections",
            self.connections.clone(),
        );
        let refused = self.connections_refused.clone();
        registry.register("connections_refused", "Connections turned away", refused);
        let alarms = self.alarms.clone();
        registry.register("alarms", "Tills that read as tills do not", alarms);
        let cut_off = self.cut_off.clone();
        let help = "Calls of tills refused because the newest checkpoint is too old";
        registry.register("cut_off", help, cut_off);
        let contracts = self.contracts.clone();
        registry.register("contracts", "Contracts that are quoted from", contracts);
        let refused = self.contracts_refused.clone();
        let help = "Changed contracts or plans that could not be used";
        registry.register("contracts_refused", help, refused);
        let rpc = self.rpc_seconds.clone();
        registry.register_with_unit("rpc", "Time of one call", Unit::Seconds, rpc);
    }

    /// What is refused of other members is counted here.
    #[must_use]
    pub const fn lies(&self) -> &Lies {
        &self.lies
    }

    /// One entry was decided.
    pub fn entry_decided(&self, kind: Kind, verdict: &Verdict) {
        let (outcome, reason) = match (verdict.outcome, verdict.repeated) {
            (Outcome::Appended(_), false) => ("appended", ""),
            (Outcome::Appended(_), true) => ("repeated", ""),
            (Outcome::Refused(refusal), _) => ("refused", refusal.reason.code()),
        };
        let labels = AppendLabels {
            kind: kind.as_str(),
            outcome,
            reason,
        };
        self.appends.get_or_create(&labels).inc();
    }

    /// The store has synced one of its files.
    pub fn synced(&self, took: Duration) {
        self.sync_seconds.observe(took.as_secs_f64());
    }

    /// One batch came to the ledger.
    pub fn batch_committed(&self, report: &BatchReport) {
        self.batches.inc();
        self.batch_entries.observe(approximate(report.decided));
        self.batch_bytes.observe(approximate(report.bytes));
        self.prepare_seconds
            .observe(report.prepared_in.as_secs_f64());
        self.commit_seconds
            .observe(report.committed_in.as_secs_f64());
    }

    /// An append starts to wait; it ends when the guard is dropped, answered or given up.
    #[must_use]
    pub fn append_waits(&self) -> Waiting {
        self.appends_waiting.inc();
        Waiting(self.appends_waiting.clone())
    }

    /// One gRPC connection finished its handshake.
    pub fn connection_opened(&self) {
        self.connections.inc();
    }

    /// One gRPC connection ended.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// How many gRPC connections are open.
    #[must_use]
    pub fn connections(&self) -> i64 {
        self.connections.get()
    }

    /// How many connections were turned away.
    #[must_use]
    pub fn refused_connections(&self) -> u64 {
        self.connections_refused.get()
    }

    /// A till completed a pattern of reading.
    pub fn alarm_raised(&self, pattern: Pattern) {
        self.alarms.get_or_create(&pattern.into()).inc();
    }

    /// How often this pattern was seen.
    #[must_use]
    pub fn alarms(&self, pattern: Pattern) -> u64 {
        self.alarms.get_or_create(&pattern.into()).get()
    }

    /// One connection was turned away: its handshake failed, or there were too many.
    pub fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// One call of a till was refused because this node is cut off from the federation.
    pub fn cut_off(&self) {
        self.cut_off.inc();
    }

    /// This many contracts are quoted from.
    pub fn contracts_loaded(&self, contracts: usize) {
        self.contracts
            .set(i64::try_from(contracts).unwrap_or(i64::MAX));
    }

    /// Changed contracts or plans could not be used.
    pub fn contracts_refused(&self) {
        self.contracts_refused.inc();
    }

    /// One call of a listed method was answered with this gRPC code.
    pub fn rpc_answered(&self, method: &'static str, code: tonic::Code, took: Duration) {
        let labels = RpcLabels {
            method,
            code: code_name(code),
        };
        self.rpc_seconds
            .get_or_create(&labels)
            .observe(took.as_secs_f64());
    }

    fn read_member(&self, reading: &Reading) {
        self.vouched_entries.set(reading.vouched.get());
        self.recalling.set(i64::from(reading.recalling));
        let age = reading.cosignature_age.map(|age| age.as_secs_f64());
        self.cosignature_age.set(age.unwrap_or(f64::INFINITY));
        self.members.clear();
        if let Some(members) = reading.members {
            let Members {
                voting,
                quorum,
                cosigning,
                following,
                following_cosigning,
            } = members;
            for (are, count) in [
                ("voting", voting),
                ("quorum", quorum),
                ("cosigning", cosigning),
                ("following", following),
                ("following-cosigning", following_cosigning),
            ] {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                self.members
                    .get_or_create(&MembersLabels { are })
                    .set(count);
            }
        }
        if let Some(Room { free, watermark }) = reading.disk {
            self.disk_free.set(free);
            self.disk_watermark.set(watermark);
        }
        let backup = reading.backup;
        self.last_backup
            .set(backup.map_or(0.0, |it| seconds_of(it.at_ms)));
        self.last_backup_entries
            .set(backup.map_or(0, |it| it.entries));
    }

    /// The text of the page, with the ledger as it is at this moment.
    #[must_use]
    pub fn to_text(&self, reading: &Reading) -> String {
        self.log_entries.set(reading.size.get());
        self.syncs.inner().store(reading.syncs, Ordering::Relaxed);
        let age = reading
            .checkpoint_age
            .map_or(f64::INFINITY, |age| age.as_secs_f64());
        self.checkpoint_age.set(age);
        self.read_member(reading);
        // A state that the store has left must not stay at 1.
        self.store_state.clear();
        self.store_state
            .get_or_create(&StateLabels {
                state: reading.store_state,
            })
            .set(1);
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Seconds of a moment in milliseconds; exact to the millisecond until the year 140,000.
fn seconds_of(millis: u64) -> f64 {
    Duration::from_millis(millis).as_secs_f64()
}

/// A count as a histogram takes it; exact up to 2^32, which no batch reaches.
fn approximate(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The name of a gRPC code as the specification spells it.
const fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use proto::ids::LeafIndex;
    use proto::refusal::Reason;

    use super::*;

    fn reading(store_state: &'static str) -> Reading {
        let checkpoint_age = Some(Duration::from_millis(1500));
        Reading {
            size: TreeSize::new(7),
            vouched: TreeSize::new(8),
            recalling: true,
            members: Some(Members {
                voting: 4,
                quorum: 3,
                cosigning: 2,
                following: 3,
                following_cosigning: 1,
            }),
            cosignature_age: Some(Duration::from_secs(4)),
            disk: Some(Room {
                free: 1 << 40,
                watermark: 1 << 30,
            }),
            backup: Some(LastBackup {
                at_ms: 1_768_000_000_500,
                entries: 6,
            }),
            checkpoint_age,
            store_state,
            syncs: 4,
        }
    }

    #[test]
    fn what_was_counted_is_on_the_page() {
        let metrics = Metrics::new();
        let decided = |outcome, repeated| {
            metrics.entry_decided(Kind::Claim, &Verdict { outcome, repeated });
        };
        let appended = Outcome::Appended(LeafIndex::new(6));
        decided(appended, false);
        decided(appended, true);
        decided(Outcome::Refused(Reason::SlotHeld.into()), false);
        metrics.batch_committed(&BatchReport {
            decided: 3,
            appended: 1,
            bytes: 900,
            prepared_in: Duration::from_millis(1),
            committed_in: Duration::from_millis(2),
        });
        metrics.synced(Duration::from_millis(500));
        let waiting = metrics.append_waits();
        metrics.connection_opened();
        metrics.rpc_answered("/m", tonic::Code::Ok, Duration::from_millis(3));
        let text = metrics.to_text(&reading("writing"));
        for line in [
            "vitrail_appends_total{kind=\"claim\",outcome=\"appended\",reason=\"\"} 1\n",
            "vitrail_appends_total{kind=\"claim\",outcome=\"repeated\",reason=\"\"} 1\n",
            "vitrail_appends_total{kind=\"claim\",outcome=\"refused\",reason=\"SLOT_HELD\"} 1\n",
            "vitrail_batches_total 1\n",
            "vitrail_batch_entries_sum 3.0\n",
            "vitrail_syncs_total 4\n",
            "vitrail_sync_seconds_sum 0.5\n",
            "vitrail_appends_waiting 1\n",
            "vitrail_log_entries 7\n",
            "vitrail_checkpoint_age_seconds 1.5\n",
            "vitrail_store_state{state=\"writing\"} 1\n",
            "vitrail_vouched_entries 8\n",
            "vitrail_recalling 1\n",
            "vitrail_members{are=\"voting\"} 4\n",
            "vitrail_members{are=\"quorum\"} 3\n",
            "vitrail_members{are=\"cosigning\"} 2\n",
            "vitrail_members{are=\"following-cosigning\"} 1\n",
            "vitrail_cosignature_age_seconds 4.0\n",
            "vitrail_disk_free_bytes 1099511627776\n",
            "vitrail_disk_watermark_bytes 1073741824\n",
            "vitrail_last_backup_timestamp_seconds 1768000000.5\n",
            "vitrail_last_backup_entries 6\n",
            "vitrail_alarms_total{pattern=\"night\"} 0\n",
            "vitrail_batches_refused_total{fault=\"roots\"} 0\n",
            "vitrail_pages_refused_total{fault=\"other-log\"} 0\n",
            "vitrail_connections 1\n",
            "vitrail_rpc_seconds_count{method=\"/m\",code=\"OK\"} 1\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        drop(waiting);
        assert!(
            metrics
                .to_text(&reading("writing"))
                .contains("vitrail_appends_waiting 0\n")
        );
    }

    #[test]
    fn only_the_state_that_the_store_is_in_is_named() {
        let metrics = Metrics::new();
        let _ = metrics.to_text(&reading("writing"));
        let text = metrics.to_text(&reading("disk full"));
        assert!(text.contains("{state=\"disk full\"} 1") && !text.contains("writing"));
    }
}
