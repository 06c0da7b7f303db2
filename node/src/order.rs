//! Who decides the order of batches: the one place where a replicated engine takes over.
//!
//! A single node is a cluster of one: it sets the moment of each batch by its own clock and goes
//! on at once. Everything after this point (`decide`, store, witness) does not know the difference.

use proto::entry::VerifiedEntry;
use proto::ids::UnixMillis;

use crate::ledger::Batch;

/// Puts batches in an order that every member keeps.
pub trait Orderer: Send {
    /// Returns once the batch has its place. `now` is this node's clock.
    fn order(&mut self, entries: Vec<VerifiedEntry>, now: UnixMillis) -> Batch;
}

/// The engine of a federation with one voting member.
#[derive(Debug)]
pub struct ClusterOfOne {
    latest: UnixMillis,
}

impl ClusterOfOne {
    /// Continues after a batch of this moment.
    #[must_use]
    pub const fn after(latest: UnixMillis) -> Self {
        Self { latest }
    }
}

impl Orderer for ClusterOfOne {
    /// The moment never goes back, whatever the clock does: dates decided once stay decided.
    fn order(&mut self, entries: Vec<VerifiedEntry>, now: UnixMillis) -> Batch {
        self.latest = self.latest.max(now);
        Batch {
            at: self.latest,
            entries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moment_of_a_batch_never_goes_back() {
        let mut order = ClusterOfOne::after(UnixMillis::new(50));
        assert_eq!(
            order.order(Vec::new(), UnixMillis::new(100)).at,
            UnixMillis::new(100)
        );
        assert_eq!(
            order.order(Vec::new(), UnixMillis::new(60)).at,
            UnixMillis::new(100)
        );
    }
}
