//! How long members take to cosign: the time of each cosignature less that of the newest entry
//! under it.
//!
//! The log has no cosignatures, and a member serves its newest checkpoint alone. So they are
//! samples: the checkpoint that an audit ends at, and those that were served while it ran, each
//! counted once the log has been verified up to its size. Without writes members cosign the same
//! state again, every [`RENEWAL_S`] seconds: such a checkpoint says nothing of how fast they are,
//! and is counted as idle.
//!
//! The times are whole seconds of the members' clocks, and the entry's that of its issuer.

use std::collections::BTreeMap;

use proto::checkpoint::SignedCheckpoint;
use proto::ids::{MemberName, TreeSize, UnixMillis};
use proto::roster::Roster;

/// After how many seconds without writes a member cosigns again (protocol.md, section 10).
pub const RENEWAL_S: u64 = 20;
/// The longest delay that is told from longer ones, in seconds: an hour.
pub const DELAY_S_MAX: u32 = 3_600;
/// Most checkpoints that wait to be counted: at one a second, those of four minutes. They take some
/// kilobytes each.
pub const WAITING_MAX: usize = 256;

/// How often each delay was seen, in seconds.
pub type Delays = BTreeMap<u32, u64>;

/// What was seen of the members' cosignatures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cosigning {
    /// Of each member that cosigned a checkpoint that counts.
    pub delays: BTreeMap<MemberName, Delays>,
    /// Checkpoints that count.
    pub sampled: u64,
    /// Checkpoints that had been cosigned again, and so say nothing.
    pub idle: u64,
    pub(super) waiting: BTreeMap<TreeSize, SignedCheckpoint>,
}

impl Cosigning {
    /// Takes a checkpoint that was served, until the log is verified up to its size. The first one
    /// of a size counts.
    pub(super) fn wait(&mut self, shown: &SignedCheckpoint, verified: TreeSize) {
        let size = shown.claimed().size;
        if size > verified && self.waiting.len() < WAITING_MAX {
            let waiting = self.waiting.entry(size);
            waiting.or_insert_with(|| shown.clone());
        }
    }

    /// The log has been verified up to a size: its newest entry was issued at this moment, under
    /// this roster.
    pub(super) fn reach(&mut self, size: TreeSize, issued_at: UnixMillis, roster: &Roster) {
        let Some(shown) = self.waiting.remove(&size) else {
            return;
        };
        // What somebody else signed is no sample; the checkpoint of the audit is judged elsewhere.
        let Ok(signers) = shown.verify_signers(roster) else {
            return;
        };
        let issued_at = issued_at.seconds().get();
        let after = signers.into_iter().map(|(member, time)| {
            let delay = time.get().saturating_sub(issued_at);
            (member.name.clone(), delay)
        });
        let after: Vec<_> = after.collect();
        if after.iter().all(|(_, delay)| *delay >= RENEWAL_S) {
            self.idle += 1;
            return;
        }
        self.sampled += 1;
        for (member, delay) in after {
            let delay = u32::try_from(delay).unwrap_or(DELAY_S_MAX).min(DELAY_S_MAX);
            let delays = self.delays.entry(member).or_default();
            *delays.entry(delay).or_default() += 1;
        }
    }
}

/// The smallest delay, in seconds, that at least this many hundredths of the samples do not exceed
/// (nearest rank); `None` without a sample.
#[must_use]
pub fn percentile(delays: &Delays, hundredths: u64) -> Option<u32> {
    let samples: u64 = delays.values().sum();
    let rank = samples.saturating_mul(hundredths).div_ceil(100).max(1);
    let mut so_far = 0;
    let mut reached = delays.iter().filter(|(_, count)| {
        so_far += **count;
        so_far >= rank
    });
    reached.next().map(|(delay, _)| *delay)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::{BEGIN, Ledger};

    #[test]
    fn percentiles_are_those_of_the_sorted_samples() {
        assert_eq!(percentile(&Delays::new(), 50), None);
        let samples = [0_u32, 0, 1, 1, 1, 2, 2, 7, 7, 60];
        for len in 1..=samples.len() {
            let mut delays = Delays::new();
            for sample in &samples[..len] {
                *delays.entry(*sample).or_default() += 1;
            }
            for hundredths in [1, 50, 90, 99, 100] {
                let rank = (len * hundredths).div_ceil(100).max(1);
                let slow = samples[rank - 1];
                let hundredths = hundredths as u64;
                assert_eq!(
                    percentile(&delays, hundredths),
                    Some(slow),
                    "{len} {hundredths}"
                );
            }
        }
    }

    #[test]
    fn a_sample_counts_when_its_size_is_reached_and_idle_ones_apart() {
        let ledger = Ledger::furnished();
        let size = TreeSize::new(6);
        let issued_at = UnixMillis::new(BEGIN.get() + 5_000);
        let reach = |shown: &SignedCheckpoint| {
            let mut cosigning = Cosigning::default();
            cosigning.wait(shown, TreeSize::new(0));
            cosigning.reach(TreeSize::new(5), issued_at, &ledger.roster);
            assert_eq!(cosigning.sampled + cosigning.idle, 0);
            cosigning.reach(size, issued_at, &ledger.roster);
            assert!(cosigning.waiting.is_empty());
            cosigning
        };
        let sampled = reach(&ledger.cosigned_by(&["amc", "amo"]));
        let names: Vec<_> = sampled.delays.keys().map(MemberName::as_str).collect();
        assert_eq!(names, ["amc", "amo"]);
        assert!(
            sampled
                .delays
                .values()
                .all(|it| *it == Delays::from([(1, 1)]))
        );
        assert_eq!((sampled.sampled, sampled.idle), (1, 0));
        let idle = reach(&ledger.cosigned_later(&["amc"], RENEWAL_S));
        assert_eq!((idle.sampled, idle.idle, idle.delays.len()), (0, 1, 0));
    }

    #[test]
    fn what_is_verified_already_is_not_waited_for_and_what_waits_is_bounded() {
        let shown = Ledger::furnished().checkpoint();
        let mut cosigning = Cosigning::default();
        cosigning.wait(&shown, TreeSize::new(6));
        assert!(cosigning.waiting.is_empty());
        for size in 0..WAITING_MAX as u64 {
            cosigning
                .waiting
                .insert(TreeSize::new(100 + size), shown.clone());
        }
        cosigning.wait(&shown, TreeSize::new(0));
        assert_eq!(cosigning.waiting.len(), WAITING_MAX);
    }
}
