//! What this member has signed, as the others remember it: heard before it signs anything more.
//!
//! The own lock says what was signed last, unless the data folder is an old backup. The others
//! hold this member's newest cosignature. With the lock a node that was started in its own folder
//! finds nothing new in it; one from a backup finds that it has forgotten something, and stops.
//!
//! It hears from as many voting members as make a quorum with itself. Any certificate that rests
//! on its cosignature was cosigned by at least one of them, and without so many nothing could be
//! certified anyway, so the wait costs a federation nothing.

use std::collections::BTreeSet;

use proto::checkpoint::SignedCheckpoint;
use proto::ids::MemberName;
use proto::roster::Roster;

use super::worker::Worker;
use super::{Condition, StopReason};

/// What another member's node remembers of this one.
#[derive(Debug)]
pub(super) struct Recalled {
    /// Who was asked, over its own TLS key.
    pub(super) by: MemberName,
    /// The newest cosignatures that it holds; those of others are passed over.
    pub(super) cosignatures: Vec<SignedCheckpoint>,
}

/// Who has been heard so far.
#[derive(Debug, Default)]
pub(super) struct Recalling {
    heard: BTreeSet<MemberName>,
}

impl Recalling {
    /// Nothing, if this member makes a quorum alone: it needs nobody to go on.
    pub(super) fn begin(name: &MemberName, roster: &Roster) -> Option<Self> {
        (needed(name, roster) > 0).then(Self::default)
    }
}

/// How many other voting members are heard before this one signs.
fn needed(name: &MemberName, roster: &Roster) -> usize {
    let votes = roster.member(name).is_some_and(|own| own.is_voting());
    roster.quorum().saturating_sub(usize::from(votes))
}

impl Worker {
    /// Takes what another node remembers; with enough of them this one signs again.
    pub(super) fn recalled(&mut self, recalled: &Recalled) {
        let roster = self.shared.snapshot().roster().clone();
        let own = self.witness.name().clone();
        let Some(recalling) = &mut self.recalling else {
            return;
        };
        for signed in &recalled.cosignatures {
            if !is_cosigned_by(signed, &own, &roster) {
                continue;
            }
            let reason = match self.witness.remembers(signed.claimed()) {
                Ok(true) => continue,
                Ok(false) => StopReason::Restored,
                Err(_) => StopReason::RootMismatch,
            };
            tracing::error!(
                reason = reason.as_str(), member = %recalled.by,
                "another node holds a cosignature of this one that is unknown here"
            );
            self.shared.enter(Condition::Stopped(reason));
            return;
        }
        let votes = |name: &MemberName| roster.member(name).is_some_and(|it| it.is_voting());
        if recalled.by != own && votes(&recalled.by) {
            recalling.heard.insert(recalled.by.clone());
        }
        if recalling.heard.iter().filter(|it| votes(it)).count() < needed(&own, &roster) {
            return;
        }
        self.recalling = None;
        self.shared.recalling.send_replace(false);
        self.sign_pending();
        self.certify();
        self.renew();
    }
}

/// Whether that member's cosignature is among these, and verifies.
pub(crate) fn is_cosigned_by(signed: &SignedCheckpoint, own: &MemberName, roster: &Roster) -> bool {
    let checkpoint = signed.claimed();
    let mut lines = signed.cosignatures().iter();
    checkpoint.origin == *roster.origin()
        && lines.any(|line| {
            let signer = checkpoint.verify_cosignature(line, roster);
            signer.is_ok_and(|signer| signer.name == *own)
        })
}
