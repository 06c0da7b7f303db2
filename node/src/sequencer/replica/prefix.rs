//! That a page is part of the log that a quorum vouches for, shown before anything of it is taken.
//!
//! What lies under a quorum's checkpoint is one log: no other entries lead to its root. So who
//! sends a page can leave it out, and cannot change it. The map needs no proof: it is computed
//! from these entries by the rules, and compared at each checkpoint that a page reaches.

use proto::checkpoint::VerifiedCheckpoint;
use proto::ids::UnixSeconds;
use proto::lineage::{Lineage, LineageError};
use proto::wire::replication::Page;

use super::{PageError, Replica, require_past};
use crate::sequencer::steps::GrownLog;

impl Replica {
    /// Checks that the log with the page begins the log of the page's checkpoint, and that a quorum
    /// vouches for that: of the roster in force there, to which those in the page lead.
    ///
    /// A page that reaches the checkpoint is taken in one commit, before which both its roots are
    /// compared. But a first page is not: entry 0 is committed before the rest.
    pub(super) fn require_prefix(
        &self,
        page: &Page,
        log: &GrownLog,
        now: UnixSeconds,
    ) -> Result<(), PageError> {
        let theirs = page.checkpoint.claimed();
        if self.held.is_some() && log.edge.size() == theirs.size {
            return Ok(());
        }
        require_past(&self.vouched(page)?, now)?;
        let (size, root) = (log.edge.size(), log.edge.root());
        let begins = page
            .consistency
            .verify(size, root, theirs.size, theirs.log_root);
        begins.map_err(PageError::NotInLog)
    }

    fn vouched(&self, page: &Page) -> Result<VerifiedCheckpoint, LineageError> {
        let mut lineage = Lineage::from(self.roster().clone());
        for proved in &page.rosters {
            lineage.take(proved.clone(), page.checkpoint.clone())?;
        }
        match lineage.end()? {
            Some(verified) => Ok(verified.checkpoint),
            None => Ok(page.checkpoint.verify(self.roster())?),
        }
    }
}
