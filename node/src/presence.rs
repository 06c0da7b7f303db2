//! Who cosigns: each member's newest cosignature that verifies, and whether it is recent.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::checkpoint::SignedCheckpoint;
use proto::ids::{MemberName, UnixSeconds};
use proto::roster::Roster;

use crate::sequencer::RENEWAL;

/// How old the newest cosignature of a member may be whose node is well: it is renewed every 20 s
/// without writes, and two of them may get lost. Clients want a checkpoint younger than this.
pub const PRESENT_MAX: Duration = Duration::from_secs(3 * RENEWAL.as_secs());

/// The newest cosignature of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cosigned {
    /// The size of the state that it vouches for.
    pub size: u64,
    /// When it was made.
    pub at: UnixSeconds,
}

impl Cosigned {
    /// How long ago it was made, in seconds; zero for one from the future.
    #[must_use]
    pub const fn seconds_ago(&self, now: UnixSeconds) -> u64 {
        now.get().saturating_sub(self.at.get())
    }

    /// Whether it is at most [`PRESENT_MAX`] old.
    #[must_use]
    pub const fn is_recent(&self, now: UnixSeconds) -> bool {
        self.seconds_ago(now) <= PRESENT_MAX.as_secs()
    }
}

/// Of each member that this roster lists the cosignature of the largest state, whoever holds it.
/// What does not verify under the roster counts for nothing.
#[must_use]
pub fn newest<'a>(
    roster: &Roster,
    held: impl IntoIterator<Item = &'a SignedCheckpoint>,
) -> BTreeMap<MemberName, Cosigned> {
    let mut newest = BTreeMap::new();
    for signed in held {
        let checkpoint = signed.claimed();
        for line in signed.cosignatures() {
            let verified = checkpoint.verify_cosignature(line, roster);
            let (Ok(member), Some(at)) = (verified, line.time()) else {
                continue;
            };
            let size = checkpoint.size.get();
            let cosigned = Cosigned { size, at };
            let kept = newest.entry(member.name.clone()).or_insert(cosigned);
            *kept = cosigned.max(*kept);
        }
    }
    newest
}
