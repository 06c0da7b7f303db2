//! How far the ledger is: as it is read, and as a power cut would leave it.

use proto::ids::TreeSize;

use crate::engine::{Applied, LogId};

/// How far it is in one of the two.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reached {
    /// The size of the log.
    size: TreeSize,
    /// How far the engine's log was applied.
    applied: Option<LogId>,
    /// How often something was applied since the store was opened.
    turns: u64,
}

/// Both. What is read is never behind what is durable.
#[derive(Debug, Default)]
pub(super) struct Progress {
    newest: Reached,
    durable: Reached,
}

impl Progress {
    /// What a store finds when it is opened.
    pub(super) fn found(applied: Option<LogId>) -> Self {
        let found = Reached {
            applied,
            ..Reached::default()
        };
        Self {
            newest: found,
            durable: found,
        }
    }

    /// The size that was recovered, in a store that has written nothing yet.
    pub(super) const fn recovered(&mut self, size: TreeSize) {
        self.newest.size = size;
        self.durable.size = size;
    }

    /// A batch was applied, after which the log has this size.
    pub(super) fn apply(&mut self, size: TreeSize, applied: Option<&Applied>) {
        let place = applied.map_or(self.newest.applied, |applied| applied.log_id);
        self.newest = Reached {
            size,
            applied: place,
            turns: self.newest.turns + 1,
        };
    }

    /// The engine's log was applied up to here, and nothing of it was a batch.
    pub(super) fn apply_place(&mut self, applied: Option<LogId>) {
        self.newest.applied = applied;
        self.newest.turns += 1;
    }

    /// How far what is read is: to be said again once it is durable.
    pub(super) const fn newest(&self) -> Reached {
        self.newest
    }

    /// All is durable that was read then.
    pub(super) const fn became_durable(&mut self, then: Reached) {
        if then.turns > self.durable.turns {
            self.durable = then;
        }
    }

    /// The size of the log that no power cut takes back.
    pub(super) const fn durable_size(&self) -> TreeSize {
        self.durable.size
    }

    /// How often something was applied that is not durable.
    pub(super) const fn waiting(&self) -> u64 {
        self.newest.turns - self.durable.turns
    }

    /// Whether anything is not durable.
    pub(super) const fn waits(&self) -> bool {
        self.waiting() > 0
    }

    /// Whether a power cut could leave the ledger behind this place of the engine's log.
    pub(super) fn may_lack(&self, place: LogId) -> bool {
        let has = self
            .durable
            .applied
            .is_some_and(|it| it.index >= place.index);
        self.waits() && !has
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::CommittedLeaderId;

    fn place(index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(1), index)
    }

    #[test]
    fn a_sync_that_ends_late_takes_nothing_back() {
        let mut progress = Progress::found(Some(place(3)));
        progress.recovered(TreeSize::new(7));
        assert!(!progress.waits() && !progress.may_lack(place(9)));
        progress.apply_place(Some(place(4)));
        let early = progress.newest();
        let applied = Applied {
            log_id: Some(place(5)),
            ..Applied::default()
        };
        progress.apply(TreeSize::new(9), Some(&applied));
        assert_eq!(progress.waiting(), 2);
        assert!(progress.may_lack(place(4)) && !progress.may_lack(place(3)));
        let late = progress.newest();
        progress.became_durable(late);
        progress.became_durable(early);
        assert_eq!(progress.durable_size(), TreeSize::new(9));
        assert!(!progress.waits() && !progress.may_lack(place(5)));
    }
}
