//! What one key has spent in the last day, and what it may spend now. Pure: time is an argument.

use std::collections::VecDeque;

use proto::ids::UnixMillis;

/// An hour, in milliseconds.
pub const HOUR_MS: u64 = 3_600_000;
/// A day, in milliseconds. Nothing older is kept.
pub const DAY_MS: u64 = 24 * HOUR_MS;
/// Elements of one second are counted as one, at its end: a key then has at most 86,400 counts,
/// and none is forgotten early.
const GRAIN_MS: u64 = 1000;

/// How many elements a key may have evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In any hour.
    pub hour: u64,
    /// In any day.
    pub day: u64,
}

/// Why elements are not evaluated now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exhausted {
    /// So many at once are never allowed.
    Never,
    /// They will be, after this many milliseconds without another spending.
    For(u64),
}

impl Exhausted {
    /// The one that lasts longer.
    pub(super) fn or_longer(self, other: Self) -> Self {
        match (self, other) {
            (Self::For(a), Self::For(b)) => Self::For(a.max(b)),
            _ => Self::Never,
        }
    }
}

/// What one key has spent, in order of time.
#[derive(Debug, Default)]
pub(super) struct Spent {
    counts: VecDeque<(u64, u64)>,
    sum: u64,
}

impl Spent {
    /// Counts elements that were spent at this moment; moments do not go back.
    pub(super) fn add(&mut self, at: UnixMillis, elements: u64) {
        let at = at.get().div_ceil(GRAIN_MS) * GRAIN_MS;
        match self.counts.back_mut() {
            Some((last, count)) if *last == at => *count += elements,
            _ => self.counts.push_back((at, elements)),
        }
        self.sum += elements;
    }

    /// Forgets what is a day old.
    pub(super) fn forget(&mut self, now: UnixMillis) {
        while let Some((at, count)) = self.counts.front()
            && at + DAY_MS <= now.get()
        {
            self.sum -= count;
            self.counts.pop_front();
        }
    }

    /// Whether nothing is left to remember.
    pub(super) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Whether so many elements may be spent now. [`forget`](Self::forget) has been called.
    pub(super) fn allows(
        &self,
        elements: u64,
        limits: Limits,
        now: UnixMillis,
    ) -> Result<(), Exhausted> {
        let hour = self.within(elements, limits.hour, HOUR_MS, now);
        let day = self.within(elements, limits.day, DAY_MS, now);
        match (hour, day) {
            (Err(hour), Err(day)) => Err(hour.or_longer(day)),
            (hour, day) => hour.and(day),
        }
    }

    fn within(
        &self,
        elements: u64,
        limit: u64,
        span: u64,
        now: UnixMillis,
    ) -> Result<(), Exhausted> {
        let room = limit.checked_sub(elements).ok_or(Exhausted::Never)?;
        let begin = now.get().saturating_sub(span);
        // From the newest back: the first count that does not fit beside the newer ones has to
        // leave the span before there is room.
        let mut spent = 0;
        let newest_first = self.counts.iter().rev();
        for (at, count) in newest_first.take_while(|(at, _)| *at > begin) {
            spent += count;
            if spent > room {
                return Err(Exhausted::For(at + span - now.get()));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { hour: 20, day: 60 };

    /// Every admitted spending, and nothing else: what the promise is checked on.
    #[derive(Default)]
    struct Reference(Vec<(u64, u64)>);

    impl Reference {
        /// The most that was spent in any span of this length: one that ends at a spending.
        fn most(&self, span: u64) -> u64 {
            let ends = self.0.iter().map(|(end, _)| *end);
            let in_span = |end: u64| {
                let events = self.0.iter();
                let inside = events.filter(|(at, _)| *at <= end && at + span > end);
                inside.map(|(_, count)| count).sum()
            };
            ends.map(in_span).max().unwrap_or(0)
        }
    }

    proptest! {
        #[test]
        fn no_span_ever_holds_more_than_its_limit(
            steps in prop::collection::vec((0..4_000_000_u64, 1..25_u64), 1..200),
        ) {
            let (mut spent, mut reference, mut now) = (Spent::default(), Reference::default(), 0);
            for (pause, elements) in steps {
                now += pause;
                let moment = UnixMillis::new(now);
                spent.forget(moment);
                if spent.allows(elements, LIMITS, moment).is_ok() {
                    spent.add(moment, elements);
                    reference.0.push((now, elements));
                }
            }
            prop_assert!(reference.most(HOUR_MS) <= LIMITS.hour);
            prop_assert!(reference.most(DAY_MS) <= LIMITS.day);
        }

        #[test]
        fn who_waits_as_long_as_he_is_told_is_let_in_and_not_before(
            steps in prop::collection::vec((0..2_000_000_u64, 1..20_u64), 1..60),
            asked in 1..20_u64,
        ) {
            let (mut spent, mut now) = (Spent::default(), 0);
            for (pause, elements) in steps {
                now += pause;
                let moment = UnixMillis::new(now);
                spent.forget(moment);
                if spent.allows(elements, LIMITS, moment).is_ok() {
                    spent.add(moment, elements);
                }
            }
            if let Err(refused) = spent.allows(asked, LIMITS, UnixMillis::new(now)) {
                let Exhausted::For(wait) = refused else {
                    panic!("fewer than the limit are never refused for good");
                };
                let before = UnixMillis::new(now + wait - 1);
                prop_assert!(spent.allows(asked, LIMITS, before).is_err());
                let then = UnixMillis::new(now + wait);
                spent.forget(then);
                prop_assert_eq!(spent.allows(asked, LIMITS, then), Ok(()));
            }
        }
    }

    #[test]
    fn more_than_the_limit_at_once_is_refused_for_good() {
        let now = UnixMillis::new(5);
        let refused = Spent::default().allows(21, LIMITS, now);
        assert_eq!(refused, Err(Exhausted::Never));
    }

    #[test]
    fn the_turn_of_the_hour_gives_nothing() {
        let mut spent = Spent::default();
        spent.add(UnixMillis::new(HOUR_MS - 1), 20);
        for later in [0, 1, HOUR_MS / 2, HOUR_MS - 1] {
            let now = UnixMillis::new(HOUR_MS + later);
            assert!(spent.allows(1, LIMITS, now).is_err(), "{later}");
        }
        let later = UnixMillis::new(2 * HOUR_MS);
        assert_eq!(spent.allows(20, LIMITS, later), Ok(()));
    }
}
