//! What the metrics say of the ledger, read at the moment when they are asked for.

use std::time::Duration;

use proto::checkpoint::SignedCheckpoint;
use proto::ids::UnixSeconds;
use proto::note::NoteSignature;
use proto::roster::{Member, Roster};
use tokio::time::timeout;

use super::{Pages, checkpoint_age};
use crate::backup;
use crate::clock;
use crate::metrics::{LastBackup, Members, Reading, Room};
use crate::presence;
use crate::store::DiskSpace;

/// How long the sequencer may take to say who cosigned: one that hangs must not hide the rest.
const ANSWER_MAX: Duration = Duration::from_secs(1);

pub(super) async fn of(pages: &Pages) -> Reading {
    // The cosignatures first: the state that they are counted for is not older.
    let cosignatures = timeout(ANSWER_MAX, pages.sequencer.cosignatures()).await;
    let cosignatures = cosignatures.unwrap_or_default();
    let snapshot = pages.sequencer.snapshot();
    let now = clock::now().seconds();
    let own = pages.sequencer.own_cosignature().borrow().clone();
    Reading {
        size: snapshot.size(),
        vouched: pages.sequencer.vouched().max(snapshot.size()),
        recalling: pages.sequencer.is_recalling(),
        members: members(snapshot.roster(), &cosignatures, now),
        cosignature_age: own.and_then(|own| age(&own, now)),
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

/// How long ago a checkpoint was cosigned last.
fn age(signed: &SignedCheckpoint, now: UnixSeconds) -> Option<Duration> {
    let times = signed.cosignatures().iter().filter_map(NoteSignature::time);
    let at = times.map(UnixSeconds::get).max()?;
    Some(Duration::from_secs(now.get().saturating_sub(at)))
}

/// Each was verified when it came in, but under the roster of its time. A node that only follows
/// gathers none of the voting members' and counts nobody.
fn members(
    roster: &Roster,
    cosignatures: &[SignedCheckpoint],
    now: UnixSeconds,
) -> Option<Members> {
    let cosigned = presence::newest(roster, cosignatures);
    let gathers = |member: &Member| cosigned.contains_key(&member.name);
    let is_recent = |member: &&Member| {
        let newest = cosigned.get(&member.name);
        newest.is_some_and(|it| it.is_recent(now))
    };
    let following = || roster.members().iter().filter(|it| !it.is_voting());
    roster.voting_members().any(gathers).then(|| Members {
        voting: roster.voting_members().count(),
        quorum: roster.quorum(),
        cosigning: roster.voting_members().filter(is_recent).count(),
        following: following().count(),
        following_cosigning: following().filter(is_recent).count(),
    })
}
