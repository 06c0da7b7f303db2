//! The ledger's syncs, beside the batches that come after.

use std::sync::{Arc, Weak};
use std::time::Duration;

use proto::ids::TreeSize;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::steps::Failure;
use super::{Condition, Shared};
use crate::blocking::blocking;
use crate::store::Store;

/// How long batches gather at most before they are made durable together: a sync writes once what
/// several of them have changed. After a crash a node applies what came in about twice this time
/// again.
const GATHER: Duration = Duration::from_millis(60);
/// Bytes after which they gather no longer: the database keeps its readers waiting while it takes
/// them.
const GATHER_BYTES: usize = 512 * 1024;

/// Makes durable what is published, for as long as there is a ledger.
pub(super) fn keep_durable(store: Store, shared: &Arc<Shared>) {
    let published = shared.published.subscribe();
    tokio::spawn(keep(store, published, Arc::downgrade(shared)));
}

/// A sync that fails ends the writes: what is missing on the disk is in the engine's log.
async fn keep(store: Store, mut published: watch::Receiver<TreeSize>, shared: Weak<Shared>) {
    while published.changed().await.is_ok() {
        gather(&store, &mut published).await;
        let syncing = store.clone();
        let synced = blocking(move || syncing.sync()).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        if let Ok(Err(error)) = synced {
            let failure = Failure::Store(error);
            let reason = failure.stop_reason();
            tracing::error!(reason = reason.as_str(), %failure, "writes are stopped");
            return shared.enter(Condition::Stopped(reason));
        }
    }
}

async fn gather(store: &Store, published: &mut watch::Receiver<TreeSize>) {
    let until = Instant::now() + GATHER;
    while store.unwritten_bytes() < GATHER_BYTES {
        let more = timeout_at(until, published.changed()).await;
        if !matches!(more, Ok(Ok(()))) {
            return;
        }
    }
}
