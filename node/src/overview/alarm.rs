//! What somebody should look at: a closed list, each with the figures that it takes to understand it.

use serde::Serialize;

use super::{Overview, Sight};
use crate::sequencer::Condition;

/// Free space under so many watermarks is little: there is time to make room before writes stop.
const LOW_WATERMARKS: u64 = 3;

/// One alarm. The codes are part of `/etat.json`: a code never changes its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "kebab-case")]
pub enum Alarm {
    /// Writes are stopped at this node.
    WritesStopped {
        /// Why, as in the metrics.
        reason: &'static str,
    },
    /// The newest state is older than tills accept, or no quorum vouches for it.
    CheckpointOld {
        /// Its age in seconds.
        age_s: Option<u64>,
    },
    /// Fewer voting members are present than must cosign: nothing can be written.
    QuorumLost {
        /// How many are present.
        present: usize,
        /// How many it takes.
        quorum: usize,
    },
    /// The next voting member that fails stops all writes.
    NobodyMayFail,
    /// A voting member has not cosigned lately.
    MemberAway {
        /// Which.
        member: String,
    },
    /// This node has yet to hear from others what it had signed, and signs nothing until then.
    NotCosigning,
    /// Fewer shares are with members that are present than it takes to make a token.
    SharesMissing {
        /// How many are present.
        present: usize,
        /// How many it takes.
        threshold: u16,
    },
    /// The roster lists a share of this member that its node does not have.
    OwnShareMissing,
    /// Little of the disk is free.
    DiskLow {
        /// What is free, in bytes.
        free_bytes: u64,
    },
    /// Other members' nodes have sent what no honest one sends, or what does not follow here; the
    /// metrics, the log and `data/refused/` say more.
    OthersRefused {
        /// How many batches were refused since the node started.
        batches: u64,
        /// How many pages.
        pages: u64,
    },
    /// The last backup is older than two days, or none was made though the node runs for an hour.
    BackupOld {
        /// Its age in seconds; `None` when there was none.
        age_s: Option<u64>,
    },
    /// Tills have read as tills do not; the metrics and the log say more.
    Readings {
        /// The pattern, as in the metrics.
        pattern: &'static str,
        /// How often since the node started.
        count: u64,
    },
}

/// The alarms of what was seen; `present` voting members are there.
pub(super) fn raised(sight: &Sight, overview: &Overview, present: usize) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    if let Condition::Stopped(reason) = sight.condition {
        let reason = reason.as_str();
        alarms.push(Alarm::WritesStopped { reason });
    }
    if sight.age.is_none_or(|age| age > sight.fresh_for) {
        let age_s = overview.checkpoint_age_s;
        alarms.push(Alarm::CheckpointOld { age_s });
    }
    if sight.votes {
        alarms.extend(of_members(overview, present));
    }
    alarms.extend(sight.is_recalling.then_some(Alarm::NotCosigning));
    let shares = &overview.shares;
    alarms.extend((shares.own == Some(false)).then_some(Alarm::OwnShareMissing));
    let low = |disk: &super::Disk| disk.free_bytes < disk.watermark_bytes * LOW_WATERMARKS;
    let low = overview.disk.filter(low);
    alarms.extend(low.map(|disk| Alarm::DiskLow {
        free_bytes: disk.free_bytes,
    }));
    let (batches, pages) = sight.refused;
    let refused = Alarm::OthersRefused { batches, pages };
    alarms.extend((batches + pages > 0).then_some(refused));
    let age_s = overview.backup_age_s;
    alarms.extend(sight.misses_backup().then_some(Alarm::BackupOld { age_s }));
    let readings = sight.readings.iter().filter(|(_, count)| *count > 0);
    alarms.extend(readings.map(|&(pattern, count)| Alarm::Readings { pattern, count }));
    alarms
}

/// What is wrong with others; only a node with a vote is sent all their cosignatures.
fn of_members(overview: &Overview, present: usize) -> Vec<Alarm> {
    let quorum = overview.quorum;
    let mut alarms = Vec::new();
    if present < quorum {
        alarms.push(Alarm::QuorumLost { present, quorum });
    } else if present == quorum && overview.members.iter().filter(|it| it.voting).count() > quorum {
        alarms.push(Alarm::NobodyMayFail);
    }
    let away = overview
        .members
        .iter()
        .filter(|it| it.voting && !it.present);
    alarms.extend(away.map(|it| Alarm::MemberAway {
        member: it.name.clone(),
    }));
    let (present, threshold) = (overview.shares.present, overview.shares.threshold);
    let few = present < usize::from(threshold);
    alarms.extend(few.then_some(Alarm::SharesMissing { present, threshold }));
    alarms
}
