//! How many entries each of the last minutes brought, in memory.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use proto::ids::{TreeSize, UnixSeconds};

use crate::clock;
use crate::sequencer::Sequencer;

/// How many minutes are remembered.
pub const MINUTES: u64 = 60;
const MINUTE_S: u64 = 60;
/// Seconds that are remembered: the minutes, the first of which may have begun just before.
const SECONDS: u64 = (MINUTES + 1) * MINUTE_S;

/// The sizes of the log at the ends of seconds, as far as this node was there to see it grow.
#[derive(Debug)]
pub struct Pace {
    sizes: Mutex<BTreeMap<UnixSeconds, u64>>,
}

impl Pace {
    /// Begins with the size that is there: what came before is not known minute by minute.
    #[must_use]
    pub fn new(now: UnixSeconds, size: TreeSize) -> Self {
        let sizes = Mutex::new(BTreeMap::from([(before(now, 1), size.get())]));
        Self { sizes }
    }

    /// The log has this size now.
    pub fn saw(&self, now: UnixSeconds, size: TreeSize) {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = sizes.entry(now).or_default();
        *seen = size.get().max(*seen);
        // The newest of those that are too old stays: the oldest minute is counted from it.
        let oldest = before(now, SECONDS);
        while sizes.keys().nth(1).is_some_and(|second| *second <= oldest) {
            sizes.pop_first();
        }
    }

    /// The size that the log had at the end of a second, or the first that was seen.
    #[must_use]
    pub fn size_at(&self, second: UnixSeconds) -> u64 {
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = sizes.range(..=second).next_back();
        let seen = seen.or_else(|| sizes.first_key_value());
        seen.map_or(0, |(_, size)| *size)
    }

    /// How many entries came in each of the last [`MINUTES`] minutes, the oldest first. The last one
    /// is the minute of `now`, in which the log has come to `size`.
    #[must_use]
    pub fn minutes(&self, now: UnixSeconds, size: TreeSize) -> Vec<u64> {
        self.saw(now, size);
        let begun = now.get() - now.get() % MINUTE_S;
        let end =
            |back: u64| UnixSeconds::new((begun + MINUTE_S - 1).saturating_sub(back * MINUTE_S));
        let ends = (0..=MINUTES).rev().map(|back| self.size_at(end(back)));
        let ends: Vec<u64> = ends.collect();
        let minutes = ends.iter().zip(ends.iter().skip(1));
        minutes.map(|(from, to)| to.saturating_sub(*from)).collect()
    }
}

/// So many seconds before.
#[must_use]
pub const fn before(now: UnixSeconds, seconds: u64) -> UnixSeconds {
    UnixSeconds::new(now.get().saturating_sub(seconds))
}

/// Watches the ledger grow until it is told to end.
pub async fn watch(pace: Arc<Pace>, sequencer: Sequencer, told: impl Future<Output = ()>) {
    let mut told = pin!(told);
    let mut published = sequencer.published();
    loop {
        let size = *published.borrow_and_update();
        pace.saw(clock::now().seconds(), size);
        tokio::select! {
            () = &mut told => return,
            changed = published.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(second: u64) -> UnixSeconds {
        UnixSeconds::new(60_000 + second)
    }

    #[test]
    fn a_minute_in_which_nothing_came_is_empty_and_what_was_before_is_not_counted() {
        let pace = Pace::new(at(0), TreeSize::new(100));
        pace.saw(at(0), TreeSize::new(103));
        pace.saw(at(121), TreeSize::new(110));
        pace.saw(at(179), TreeSize::new(111));
        let minutes = pace.minutes(at(180), TreeSize::new(113));
        assert_eq!(minutes.len(), 60);
        assert_eq!(minutes[56..], [3, 0, 8, 2]);
        assert!(minutes[..56].iter().all(|count| *count == 0));
        assert_eq!(pace.size_at(at(178)), 110);
        assert_eq!(pace.size_at(before(at(0), 9)), 100);
    }

    proptest! {
        /// Held against the list of all that came.
        #[test]
        fn every_entry_of_the_hour_is_in_its_minute(
            came in prop::collection::vec((0_u64..2_000, 1_u64..9), 1..60),
        ) {
            let (pace, mut size, mut second) = (Pace::new(at(0), TreeSize::new(5)), 5, 0);
            let mut all = BTreeMap::new();
            for (later, count) in came {
                second += later;
                size += count;
                *all.entry(second / 60).or_insert(0) += count;
                pace.saw(at(second), TreeSize::new(size));
            }
            let counted = pace.minutes(at(second), TreeSize::new(size));
            prop_assert_eq!(counted.len(), 60);
            for (count, back) in counted.iter().rev().zip(0..) {
                let wanted = (second / 60).checked_sub(back).and_then(|it| all.get(&it));
                prop_assert_eq!(*count, wanted.copied().unwrap_or(0), "{} back", back);
            }
        }
    }
}
