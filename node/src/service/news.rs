//! When the node of a member that asks for more is told of it.

use std::time::Duration;

use proto::entry::Kind;
use proto::ids::{LeafIndex, TreeSize, UnixSeconds};
use tokio::time::{Instant, timeout_at};

use crate::sequencer::Sequencer;
use crate::snapshot::Snapshot;

/// How long an answer waits for news. Short, because a node that stops lets calls finish, and one
/// that is asked again every two seconds by a hundred members has nothing to do.
pub const NEWS_WAIT: Duration = Duration::from_secs(2);

/// How long looks gather before they are news: of many small batches together a page costs who
/// follows one commit, one sync and one signature, and nobody waits to read that somebody looked.
const LOOKS_GATHER: Duration = Duration::from_millis(100);
/// Most entries that are searched for one that is no look: who has more to fetch need not wait.
const SEARCHED_MAX: u64 = 256;

/// Returns when there is more than the caller has, and in any case after [`NEWS_WAIT`]. Looks
/// alone are more once they have gathered.
pub(super) async fn wait_for_news(sequencer: &Sequencer, size: TreeSize, cosigned_at: UnixSeconds) {
    let mut until = Instant::now() + NEWS_WAIT;
    let mut gathers = false;
    let mut search = Search::beyond(size);
    let mut published = sequencer.published();
    loop {
        published.borrow_and_update();
        let snapshot = sequencer.snapshot();
        let has_more = snapshot.size() != size;
        let is_news = match has_more {
            true => !search.finds_looks_alone(&snapshot),
            false => snapshot.vouched_at().is_some_and(|at| at > cosigned_at),
        };
        if is_news {
            return;
        }
        if has_more && !gathers {
            (gathers, until) = (true, until.min(Instant::now() + LOOKS_GATHER));
        }
        if !matches!(timeout_at(until, published.changed()).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// A short search of what the log has beyond a size, for anything that is no look. It goes on
/// where it ended when the log has grown, so that each entry is read once.
struct Search {
    from: u64,
    /// Up to here there are looks alone.
    searched: u64,
}

impl Search {
    const fn beyond(size: TreeSize) -> Self {
        let from = size.get();
        Self {
            from,
            searched: from,
        }
    }

    /// Whether the log has gone on by looks alone. Not so if there are too many to search, or if
    /// the caller is ahead: then there is no cause to wait.
    fn finds_looks_alone(&mut self, snapshot: &Snapshot) -> bool {
        let end = snapshot.size().get();
        let is_short = self.searched <= end && end - self.from <= SEARCHED_MAX;
        if !is_short || !(self.searched..end).all(|index| is_look(snapshot, index)) {
            return false;
        }
        self.searched = end;
        true
    }
}

fn is_look(snapshot: &Snapshot, index: u64) -> bool {
    match snapshot.entry(LeafIndex::new(index)) {
        Ok(Some(entry)) => entry.header().kind == Kind::Access,
        // Whoever reads the page is told why it cannot be read.
        Ok(None) | Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use proto::attestation::{Access, Attestation, CatalogueNotice};
    use proto::entry::Entry;
    use proto::hash::Hash;
    use proto::ids::RequestId;

    use super::*;
    use crate::clock;
    use crate::example::{founded, origin, secret};
    use crate::ledger::Outcome;

    async fn append(ledger: &Sequencer, number: u16, attestation: &Attestation) {
        let mut random = [0; 10];
        random[8..].copy_from_slice(&number.to_be_bytes());
        let id = RequestId::new(clock::now(), random);
        let header = attestation.header(secret("cnam").public(), id);
        let entry = Entry::sign(&header, &origin(), &secret("cnam")).unwrap();
        let decided = ledger.append(entry, None).await.unwrap();
        assert!(matches!(decided.verdict.outcome, Outcome::Appended(_)));
    }

    async fn look(ledger: &Sequencer, number: u16) {
        let commitment = Hash::from_bytes([3; 32]);
        append(ledger, number, &Attestation::Access(Access { commitment })).await;
    }

    async fn publish_catalogue(ledger: &Sequencer, number: u16) {
        let notice = CatalogueNotice {
            hash: Hash::from_bytes([9; 32]),
            valid_from: clock::now().day(),
        };
        append(ledger, number, &Attestation::Catalogue(notice)).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn looks_alone_are_told_once_they_have_gathered() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = founded(dir.path());
        let before = ledger.snapshot();
        look(&ledger, 1).await;
        let started = Instant::now();
        let cosigned_at = before.vouched_at().unwrap();
        wait_for_news(&ledger, before.size(), cosigned_at).await;
        assert!(started.elapsed() >= LOOKS_GATHER);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_no_look_is_news_whatever_is_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = founded(dir.path());
        let mut search = Search::beyond(ledger.snapshot().size());
        look(&ledger, 1).await;
        assert!(search.finds_looks_alone(&ledger.snapshot()));
        look(&ledger, 2).await;
        assert!(search.finds_looks_alone(&ledger.snapshot()));
        assert_eq!(search.searched, search.from + 2);
        publish_catalogue(&ledger, 3).await;
        look(&ledger, 4).await;
        assert!(!search.finds_looks_alone(&ledger.snapshot()));
        assert!(!search.finds_looks_alone(&ledger.snapshot()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_is_far_behind_or_ahead_need_not_wait() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = founded(dir.path());
        let size = ledger.snapshot().size();
        let many = u16::try_from(SEARCHED_MAX).unwrap();
        join_all((0..many).map(|number| look(&ledger, number))).await;
        assert!(Search::beyond(size).finds_looks_alone(&ledger.snapshot()));
        look(&ledger, many).await;
        assert!(!Search::beyond(size).finds_looks_alone(&ledger.snapshot()));
        let ahead = TreeSize::new(ledger.snapshot().size().get() + 1);
        assert!(!Search::beyond(ahead).finds_looks_alone(&ledger.snapshot()));
    }
}
