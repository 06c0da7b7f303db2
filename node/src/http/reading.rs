//! What the metrics say of the ledger, read at the moment when they are asked for.

use std::time::Duration;

use proto::checkpoint::SignedCheckpoint;
use proto::ids::{UnixMillis, UnixSeconds};
use proto::roster::Roster;
use tokio::time::timeout;

use super::{Pages, checkpoint_age};
use crate::backup;
use crate::clock;
use crate::metrics::{LastBackup, Members, Reading, Room};
use crate::store::DiskSpace;

/// How old a member's newest cosignature may be before it counts as silent, in seconds: each signs
/// every twenty again, and clients want a checkpoint younger than this.
const COSIGNED_LATELY_S: u64 = 60;

/// How long the sequencer may take to say who cosigned: one that hangs must not hide the rest.
const ANSWER_MAX: Duration = Duration::from_secs(1);

pub(super) async fn of(pages: &Pages) -> Reading {
    // The cosignatures first: the state that they are counted for is not older.
    let cosignatures = timeout(ANSWER_MAX, pages.sequencer.cosignatures()).await;
    let cosignatures = cosignatures.unwrap_or_default();
    let snapshot = pages.sequencer.snapshot();
    let counted = members(snapshot.roster(), &cosignatures, clock::now());
    Reading {
        size: snapshot.size(),
        vouched: pages.sequencer.vouched().max(snapshot.size()),
        recalling: pages.sequencer.is_recalling(),
        members: (!cosignatures.is_empty()).then_some(counted),
        disk: room(pages),
        backup: backup::last(&pages.data).map(|done| LastBackup {
            at_ms: done.taken_at_ms,
            entries: done.entries,
        }),
        checkpoint_age: checkpoint_age(&snapshot),
        store_state: pages.sequencer.condition().as_str(),
        syncs: pages.store.syncs(),
    }
}

fn room(pages: &Pages) -> Option<Room> {
    let DiskSpace { free, watermark } = pages.store.disk_space().ok()?;
    Some(Room { free, watermark })
}

/// Each was verified when it came in, but under the roster of its time.
fn members(roster: &Roster, cosignatures: &[SignedCheckpoint], now: UnixMillis) -> Members {
    let since = now.seconds().get().saturating_sub(COSIGNED_LATELY_S);
    let is_recent = |signed: &&SignedCheckpoint| {
        let checkpoint = signed.claimed();
        signed.cosignatures().iter().any(|line| {
            let member = checkpoint.verify_cosignature(line, roster);
            member.is_ok_and(|it| it.is_voting())
                && line.time().is_some_and(|at| at >= UnixSeconds::new(since))
        })
    };
    Members {
        voting: roster.voting_members().count(),
        quorum: roster.quorum(),
        cosigning: cosignatures.iter().filter(is_recent).count(),
    }
}
