//! The log in pages, as another member's node takes it: with what shows, before anything of a page
//! is taken, that it is part of what a quorum vouches for.

use proto::ids::{LeafIndex, TreeSize};
use proto::receipt::EntryProof;
use proto::wire::replication::{PAGE_BYTES_MAX, PAGE_ROSTERS_BYTES_MAX, Page};

use super::{ReadError, Snapshot};

impl Snapshot {
    /// The log from `from` on, as much as one answer holds and at most so many entries.
    ///
    /// # Errors
    /// What is stored cannot be read or does not fit.
    pub fn page(&self, from: TreeSize, entries_max: usize) -> Result<Page, ReadError> {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for index in from.get()..self.size().get() {
            if entries.len() >= entries_max || bytes >= PAGE_BYTES_MAX {
                break;
            }
            let Some((entry, payload)) = self.replicated(LeafIndex::new(index))? else {
                break;
            };
            let sealed = payload.as_ref().map(|(sealed, _)| sealed.to_bytes().len());
            bytes += entry.bytes().len() + sealed.unwrap_or(0);
            entries.push(((*entry).clone(), payload));
        }
        let size = self.size();
        let end = TreeSize::new(from.get() + entries.len() as u64).min(size);
        let rosters = match end < size || from.get() == 0 {
            true => self.rosters_from(from)?,
            false => Vec::new(),
        };
        Ok(Page {
            entries,
            checkpoint: self.checkpoint.clone(),
            consistency: self.prove_consistency(end)?,
            rosters,
        })
    }

    /// The rosters after the first one that stand in the log from here on, by epoch.
    fn rosters_from(&self, from: TreeSize) -> Result<Vec<EntryProof>, ReadError> {
        let mut leaves = Vec::new();
        let mut epoch = self.roster.epoch();
        while epoch.get() > 0 {
            match self.store.roster_entry(epoch)? {
                Some(leaf) if leaf.get() >= from.get() => leaves.push(leaf),
                _ => break,
            }
            epoch = proto::roster::Epoch::new(epoch.get() - 1);
        }
        let (mut rosters, mut bytes) = (Vec::new(), 0);
        for leaf in leaves.into_iter().rev() {
            if bytes >= PAGE_ROSTERS_BYTES_MAX {
                break;
            }
            let corrupt = ReadError::Corrupt {
                what: "roster entry",
            };
            let proved = self.prove_entry(leaf)?.ok_or(corrupt)?;
            bytes += proved.entry.bytes().len();
            rosters.push(proved);
        }
        Ok(rosters)
    }
}
