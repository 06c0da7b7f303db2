//! `ReplicationService`: what the nodes of members ask of each other.

use std::time::Duration;

use proto::entry::Kind;
use proto::ids::{LeafIndex, TreeSize, UnixSeconds};
use proto::wire::batch::read_cosigned;
use proto::wire::replication::{PAGE_ENTRIES_MAX, read_forwarded, write_page};
use proto::wire::status::{NodeStatus, write_status};
use proto::wire::v1;
use proto::wire::v1::replication_service_server::ReplicationService;
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status, async_trait};

use super::ledger::Ledger;
use super::status::CallError;
use crate::blocking::blocking;
use crate::engine::Engine;
use crate::sequencer::{Condition, Sequencer, Unavailable};
use crate::snapshot::Snapshot;

/// How long an answer waits for news. Short, because a node that stops lets calls finish, and one
/// that is asked again every two seconds by a hundred members has nothing to do.
pub const NEWS_WAIT: Duration = Duration::from_secs(2);

/// How long looks gather before they are news: of many small batches together a page costs who
/// follows one commit, one sync and one signature, and nobody waits to read that somebody looked.
const LOOKS_GATHER: Duration = Duration::from_millis(100);
/// Most entries that are searched for one that is no look: who has more to fetch need not wait.
const SEARCHED_MAX: u64 = 256;

/// The service over one ledger.
#[derive(Debug)]
pub(super) struct Replication {
    pub(super) sequencer: Sequencer,
    pub(super) ledger: Ledger,
    pub(super) engine: Option<Engine>,
}

#[async_trait]
impl ReplicationService for Replication {
    async fn follow(
        &self,
        request: Request<v1::FollowRequest>,
    ) -> Result<Response<v1::FollowResponse>, Status> {
        let v1::FollowRequest { size, cosigned_at } = *request.get_ref();
        let (size, cosigned_at) = (TreeSize::new(size), UnixSeconds::new(cosigned_at));
        self.wait_for_news(size, cosigned_at).await;
        let snapshot = self.sequencer.snapshot();
        // Thousands of entries may come from the disk.
        let read = blocking(move || snapshot.page(size, PAGE_ENTRIES_MAX)).await;
        let page = read.map_err(|_| CallError::AnswerLost)?;
        Ok(Response::new(write_page(&page.map_err(CallError::Read)?)))
    }

    async fn forward(
        &self,
        request: Request<v1::ForwardRequest>,
    ) -> Result<Response<v1::ForwardResponse>, Status> {
        // Before anything costs: while nobody leads, everybody is asked again and again.
        if self.sequencer.condition() == Condition::Following {
            return Err(CallError::from(Unavailable::NotLeading).into());
        }
        // The member's node has admitted the issuer at its place of the log; here the ledger
        // decides at its own. That the issuer signed it is checked like any entry's.
        let append = read_forwarded(request.get_ref()).map_err(CallError::Malformed)?;
        let issuer = append.0.header().issuer;
        let answer = self.ledger.append(append, &issuer).await?;
        Ok(Response::new(v1::ForwardResponse {
            append: Some(answer),
        }))
    }

    async fn cosign(
        &self,
        request: Request<v1::CosignRequest>,
    ) -> Result<Response<v1::CosignResponse>, Status> {
        let signed = read_cosigned(&request.get_ref().checkpoint).map_err(CallError::Malformed)?;
        self.sequencer.cosigned_by_others(signed).await;
        let checkpoint = self.sequencer.snapshot().checkpoint_text().to_owned();
        Ok(Response::new(v1::CosignResponse { checkpoint }))
    }

    async fn status(
        &self,
        _: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        // The cosignatures first: the state that is answered beside them is not older.
        let cosignatures = self.sequencer.cosignatures().await;
        let snapshot = self.sequencer.snapshot();
        let engine = self.engine.as_ref();
        Ok(Response::new(write_status(&NodeStatus {
            checkpoint: snapshot.checkpoint().clone(),
            cosignatures,
            roster: snapshot.signed_roster().map_err(CallError::Read)?,
            leader: engine.and_then(Engine::leader),
            seats: engine.map(Engine::seats).unwrap_or_default(),
            condition: self.sequencer.condition().as_str().to_owned(),
        })))
    }
}

impl Replication {
    /// Returns when there is more than the caller has, and in any case after [`NEWS_WAIT`]. Looks
    /// alone are more once they have gathered.
    async fn wait_for_news(&self, size: TreeSize, cosigned_at: UnixSeconds) {
        let mut until = Instant::now() + NEWS_WAIT;
        let mut gathers = false;
        let mut published = self.sequencer.published();
        loop {
            published.borrow_and_update();
            let snapshot = self.sequencer.snapshot();
            let is_newer = snapshot.vouched_at().is_some_and(|at| at > cosigned_at);
            let has_more = snapshot.size() != size;
            let is_news = match has_more {
                true => !adds_looks_alone(&snapshot, size),
                false => is_newer,
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
}

/// Whether what the log has beyond this size are looks, as far as a short search tells.
fn adds_looks_alone(snapshot: &Snapshot, size: TreeSize) -> bool {
    let (from, to) = (size.get(), snapshot.size().get());
    let is_look = |index| match snapshot.entry(LeafIndex::new(index)) {
        Ok(Some(entry)) => entry.header().kind == Kind::Access,
        // Whoever reads the page is told why it cannot be read.
        Ok(None) | Err(_) => false,
    };
    from < to && to - from <= SEARCHED_MAX && (from..to).all(is_look)
}
