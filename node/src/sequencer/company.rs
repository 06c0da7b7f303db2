//! How long a batch waits for company.
//!
//! A batch costs the same messages, syncs and cosignatures whatever its size, at every member. Those
//! who were answered together ask again at about the same moment, so a batch waits for as many as
//! the one before it had, at most half as long as that one was on its way: where a batch costs
//! little, little is to be saved. A lone till never waits.

use std::time::Duration;

use tokio::time::Instant;

/// Longest wait for company, whatever the batch before took.
const LINGER_MAX: Duration = Duration::from_millis(20);

/// What this node's last batch says of its next one.
#[derive(Debug)]
pub(super) struct Company {
    entries: usize,
    left_at: Instant,
    took: Duration,
}

impl Company {
    /// Before the first batch nobody is expected.
    pub(super) fn none() -> Self {
        Self {
            entries: 1,
            left_at: Instant::now(),
            took: Duration::ZERO,
        }
    }

    /// Whether a batch of so many entries is as large as what is expected.
    pub(super) const fn is_there(&self, entries: usize) -> bool {
        entries >= self.entries
    }

    /// Until when a batch that is collected from now on waits for those who are missing.
    pub(super) fn waits_until(&self) -> Instant {
        Instant::now() + LINGER_MAX.min(self.took / 2)
    }

    /// A batch of so many entries leaves.
    pub(super) fn leaves(&mut self, entries: usize) {
        self.entries = entries;
        self.left_at = Instant::now();
    }

    /// A batch is answered: the last one, where somebody is expected.
    pub(super) fn returned(&mut self) {
        self.took = self.left_at.elapsed();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// How long a batch waits after one of so many entries that was so long on its way.
    async fn wait_after(entries: usize, took: Duration) -> (Company, Duration) {
        let mut company = Company::none();
        company.leaves(entries);
        advance(took).await;
        company.returned();
        let wait = company.waits_until() - Instant::now();
        (company, wait)
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_waits_for_as_many_as_came_before_half_as_long_as_they_took() {
        let (company, wait) = wait_after(40, MS(10)).await;
        assert!(!company.is_there(39) && company.is_there(40));
        assert_eq!(wait, MS(5));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_batch_that_took_long_the_next_waits_no_longer_than_the_limit() {
        let (_, wait) = wait_after(40, Duration::from_secs(5)).await;
        assert_eq!(wait, LINGER_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_alone_after_one_who_came_alone_does_not_wait() {
        assert!(Company::none().is_there(1));
        let (company, _) = wait_after(1, MS(10)).await;
        assert!(company.is_there(1));
    }
}
