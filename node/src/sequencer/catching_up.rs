//! A voting member that is far behind: its ledger is brought up by pages, and then goes on.

use proto::batch::SignedHeader;
use proto::ids::{TreeSize, UnixSeconds};
use proto::wire::replication::Page;
use tokio::sync::oneshot;

use super::checking::Chain;
use super::ordering::Certified;
use super::replica::{Applied, ApplyError, PageError, Replica};
use super::worker::Worker;

/// A page for a ledger that catches up.
#[derive(Debug)]
pub(super) struct Paged {
    /// The place of its first entry.
    pub(super) from: TreeSize,
    pub(super) page: Page,
    pub(super) now: UnixSeconds,
    pub(super) done: oneshot::Sender<Taken>,
}

/// What became of a page.
#[derive(Debug)]
pub struct Taken {
    /// What it brought, or why it was not taken.
    pub outcome: Result<Applied, ApplyError>,
    /// Where the next one must begin.
    pub held: TreeSize,
}

/// Where the chain of headers is at the end of a snapshot of the engine.
#[derive(Debug)]
pub(super) struct Installed {
    /// The last header before it; none when there was no batch yet.
    pub(super) header: Option<SignedHeader>,
    /// Told once the thread goes on from there.
    pub(super) done: oneshot::Sender<()>,
}

impl Worker {
    /// Takes a page. What is published stays as it is until a quorum vouches for something newer.
    pub(super) fn page(&mut self, paged: Paged) {
        let Paged {
            from,
            page,
            now,
            done,
        } = paged;
        let replica = self.behind();
        // Whoever fetched it may have asked before other pages, or batches, came.
        let applied = match replica.size() {
            held if held == from => replica.apply(page, now),
            held => Err(PageError::Elsewhere { from, held }.into()),
        };
        let held = replica.size();
        if matches!(applied, Ok(Applied::Certified)) {
            self.catching_up = None;
            let published = self.shared.snapshot();
            self.witness.settle_newer(published.checkpoint().claimed());
            // Both were made for a state that is no longer the newest.
            self.checked = None;
            self.gathering.forget_up_to(published.size());
            if let Some(pending) = self
                .pending
                .take_if(|it| it.checkpoint.size <= published.size())
            {
                let _ = pending.done.send(Ok(Certified::Before));
            }
            self.came_by_pages = true;
            self.found_awaited();
        }
        let _ = done.send(Taken {
            outcome: applied,
            held,
        });
    }

    /// The ledger that pages are put on. Batches may have brought what is published past it since
    /// the last page: then it is begun anew from there.
    fn behind(&mut self) -> &mut Replica {
        let (store, shared) = (&self.store, &self.shared);
        let published = shared.snapshot().size();
        self.catching_up.take_if(|it| it.size() <= published);
        self.catching_up
            .get_or_insert_with(|| Replica::over(store, &self.witness, shared.clone()))
    }

    /// Goes on from the end of a snapshot.
    pub(super) fn installed(&mut self, installed: Installed) {
        let header = installed.header.as_ref();
        self.chain = header.map_or_else(Chain::default, |it| Chain::after(it.claimed()));
        let _ = installed.done.send(());
    }
}
