//! What is remembered of each node: how soon it answers, and for how long it is put back.
//!
//! A pure function of what happened and when: times and lots are arguments.

use std::time::Duration;

use tokio::time::Instant;

/// Shortest pause before a second node is asked: below it the network's own jitter would ask two
/// nodes where one is well.
pub const HEDGE_PAUSE_MIN: Duration = Duration::from_millis(50);
/// Longest pause before a second node is asked, and the pause for a node of which nothing is known:
/// what a person at a counter hardly notices.
pub const HEDGE_PAUSE_MAX: Duration = Duration::from_millis(500);
/// How long a node is put back after its first failure: a process that is started again is there.
pub const PUT_BACK_FIRST: Duration = Duration::from_secs(2);
/// How long a node is put back at most: one that is well again is found within minutes.
pub const PUT_BACK_MAX: Duration = Duration::from_secs(300);
/// Nodes that answer sooner than this are equally near: it is the jitter of one town.
const NEAR: Duration = Duration::from_millis(5);
/// Failures beyond which the time put back no longer doubles: two to this power is above the
/// longest.
const DOUBLINGS_MAX: u32 = 8;

/// What an answer takes at a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// Reading: nothing is written before the answer.
    Read,
    /// Something is durable in the log before the answer: a look, or an entry.
    Durable,
}

/// How long answers take, as RFC 6298 (section 2) estimates it: smoothed, and by how much it varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Estimate {
    pub(super) smoothed: Option<Duration>,
    pub(super) deviation: Duration,
}

impl Estimate {
    /// `deviation = 3/4 deviation + 1/4 |smoothed - took|`, `smoothed = 7/8 smoothed + 1/8 took`;
    /// the first answer is taken as it is, its half as the deviation.
    fn take(&mut self, took: Duration) {
        match self.smoothed {
            None => {
                self.deviation = took / 2;
                self.smoothed = Some(took);
            }
            Some(smoothed) => {
                self.deviation = self.deviation * 3 / 4 + smoothed.abs_diff(took) / 4;
                self.smoothed = Some(smoothed * 7 / 8 + took / 8);
            }
        }
    }

    /// Later than almost all answers come: the smoothed time and four deviations, within bounds.
    fn pause(&self) -> Duration {
        let Some(smoothed) = self.smoothed else {
            return HEDGE_PAUSE_MAX;
        };
        let late = smoothed.saturating_add(self.deviation.saturating_mul(4));
        late.clamp(HEDGE_PAUSE_MIN, HEDGE_PAUSE_MAX)
    }
}

/// What is remembered of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct NodeHealth {
    pub(super) read: Estimate,
    pub(super) durable: Estimate,
    /// Failures since the last answer.
    pub(super) failures: u32,
    /// Until when it is asked after the others.
    pub(super) put_back_until: Option<Instant>,
}

impl NodeHealth {
    const fn estimate(&self, effort: Effort) -> &Estimate {
        match effort {
            Effort::Read => &self.read,
            Effort::Durable => &self.durable,
        }
    }

    fn is_put_back(&self, now: Instant) -> bool {
        self.put_back_until.is_some_and(|until| now < until)
    }

    /// How far away it is, for a lot from 0 to 1: nodes whose times are within a factor of two
    /// change places. One that is not known yet is taken for near, so that it becomes known.
    fn distance(&self, lot: f64) -> f64 {
        let known = self.read.smoothed.or(self.durable.smoothed);
        known.unwrap_or(NEAR).max(NEAR).as_secs_f64() * (1.0 + lot)
    }
}

/// What is remembered of the nodes of a federation, by their places in a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Health {
    pub(super) nodes: Vec<NodeHealth>,
}

impl Health {
    /// Of so many nodes nothing is known yet.
    pub(super) fn of(count: usize) -> Self {
        Self {
            nodes: vec![NodeHealth::default(); count],
        }
    }

    /// In which order the nodes are asked: those that are well before those put back, of which the
    /// one that is back soonest comes first; the preferred one before the others; then the nearest.
    /// There is a lot for each node.
    pub(super) fn order(&self, preferred: Option<usize>, lots: &[u32], now: Instant) -> Vec<usize> {
        let key = |place: usize| {
            let node = self.nodes.get(place).copied().unwrap_or_default();
            let lot = lots.get(place).copied().unwrap_or_default();
            let until = node.put_back_until.filter(|_| node.is_put_back(now));
            let distance = node.distance(f64::from(lot) / f64::from(u32::MAX));
            (until, preferred != Some(place), distance)
        };
        let mut keyed: Vec<_> = (0..self.nodes.len()).map(|at| (key(at), at)).collect();
        keyed.sort_by(|((a, b, near), _), ((c, d, far), _)| {
            (a, b).cmp(&(c, d)).then(near.total_cmp(far))
        });
        keyed.into_iter().map(|(_, place)| place).collect()
    }

    /// How long to wait for a node before another is asked as well.
    pub(super) fn hedge_pause(&self, place: usize, effort: Effort) -> Duration {
        let node = self.nodes.get(place).copied().unwrap_or_default();
        node.estimate(effort).pause()
    }

    /// Whether a node is asked after the others.
    pub(super) fn is_put_back(&self, place: usize, now: Instant) -> bool {
        let node = self.nodes.get(place);
        node.is_some_and(|node| node.is_put_back(now))
    }

    /// A node answered, after so long.
    pub(super) fn answered(&mut self, place: usize, effort: Effort, took: Duration) {
        let Some(node) = self.nodes.get_mut(place) else {
            return;
        };
        match effort {
            Effort::Read => node.read.take(took),
            Effort::Durable => node.durable.take(took),
        }
        (node.failures, node.put_back_until) = (0, None);
    }

    /// A node gave no answer that can be used: it is put back, each time for twice as long.
    pub(super) fn failed(&mut self, place: usize, now: Instant) {
        let Some(node) = self.nodes.get_mut(place) else {
            return;
        };
        let doublings = node.failures.min(DOUBLINGS_MAX);
        let back = PUT_BACK_FIRST.saturating_mul(1 << doublings);
        node.failures = node.failures.saturating_add(1);
        node.put_back_until = Some(now + back.min(PUT_BACK_MAX));
    }

    /// A node answered what is not true: it is put back for the longest time.
    pub(super) fn lied(&mut self, place: usize, now: Instant) {
        if let Some(node) = self.nodes.get_mut(place) {
            node.failures = node.failures.saturating_add(1);
            node.put_back_until = Some(now + PUT_BACK_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Nodes of which the first is the nearest.
    fn three(now: Instant) -> Health {
        let mut health = Health::of(3);
        for (place, took) in [10, 40, 160].into_iter().enumerate() {
            health.answered(place, Effort::Read, took * MS);
        }
        assert_eq!(health.order(None, &[0; 3], now), [0, 1, 2]);
        health
    }

    #[tokio::test]
    async fn the_preferred_node_comes_first_and_then_the_nearest() {
        let now = Instant::now();
        let health = three(now);
        assert_eq!(health.order(Some(2), &[0; 3], now), [2, 0, 1]);
    }

    #[tokio::test]
    async fn lots_exchange_near_nodes_and_no_far_ones() {
        let now = Instant::now();
        let mut health = three(now);
        let lots = [u32::MAX, 0, 0];
        assert_eq!(health.order(None, &lots, now), [0, 1, 2]);
        let mut near = Health::of(3);
        near.answered(1, Effort::Read, 3 * MS);
        // One at 3 ms and two that are not known are equally near: the lot alone decides.
        assert_eq!(near.order(None, &[2, 1, 0], now), [2, 1, 0]);
        assert_eq!(near.order(None, &[1, 0, 2], now), [1, 0, 2]);
        health.answered(1, Effort::Read, 15 * MS);
        let first = |lots: &[u32]| health.order(None, lots, now)[0];
        assert_eq!((first(&[0, 0, 0]), first(&lots)), (0, 0));
    }

    #[tokio::test]
    async fn a_node_that_fails_is_put_back_twice_as_long_each_time_and_not_for_ever() {
        let now = Instant::now();
        let mut health = three(now);
        let mut want = PUT_BACK_FIRST;
        for _ in 0..40 {
            health.failed(0, now);
            assert_eq!(health.order(Some(0), &[0; 3], now), [1, 2, 0]);
            assert!(health.is_put_back(0, now + want - MS));
            assert!(!health.is_put_back(0, now + want));
            assert_eq!(health.order(Some(0), &[0; 3], now + want), [0, 1, 2]);
            want = (want * 2).min(PUT_BACK_MAX);
        }
        assert_eq!(want, PUT_BACK_MAX);
        health.answered(0, Effort::Read, MS);
        assert_eq!(health.order(None, &[0; 3], now), [0, 1, 2]);
        health.failed(0, now);
        assert!(
            !health.is_put_back(0, now + PUT_BACK_FIRST),
            "it begins anew"
        );
    }

    #[tokio::test]
    async fn of_nodes_put_back_the_one_that_is_back_soonest_is_asked_first() {
        let now = Instant::now();
        let mut health = three(now);
        health.lied(0, now);
        health.failed(1, now);
        health.failed(2, now + MS);
        assert_eq!(health.order(Some(0), &[0; 3], now), [1, 2, 0]);
    }

    #[tokio::test]
    async fn the_pause_is_later_than_almost_all_answers_and_within_bounds() {
        let mut health = Health::of(1);
        let pause = |health: &Health| health.hedge_pause(0, Effort::Durable);
        assert_eq!(pause(&health), HEDGE_PAUSE_MAX);
        for _ in 0..200 {
            health.answered(0, Effort::Durable, 2 * MS);
        }
        assert_eq!(pause(&health), HEDGE_PAUSE_MIN);
        // Times from 40 to 80 ms: 95 of 100 are below 78 ms.
        for step in 0..400_u32 {
            health.answered(0, Effort::Durable, (40 + step * 7 % 41) * MS);
        }
        assert!(pause(&health) > 78 * MS, "{:?}", pause(&health));
        assert!(pause(&health) < 200 * MS, "{:?}", pause(&health));
        for _ in 0..50 {
            health.answered(0, Effort::Durable, Duration::from_secs(3));
        }
        assert_eq!(pause(&health), HEDGE_PAUSE_MAX);
        assert_eq!(health.hedge_pause(0, Effort::Read), HEDGE_PAUSE_MAX);
    }
}
