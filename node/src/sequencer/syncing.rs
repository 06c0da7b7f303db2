//! The ledger's syncs, beside the batches that come after.

use std::sync::{Arc, Weak};
use std::time::Duration;

use proto::ids::TreeSize;
use tokio::sync::watch;
use tokio::time::sleep;

use super::steps::Failure;
use super::{Condition, Shared};
use crate::blocking::blocking;
use crate::store::Store;

/// How long batches gather before they are made durable together: a sync writes once what several
/// of them have changed. After a crash a node applies what came in about twice this time again.
const GATHER: Duration = Duration::from_millis(20);

/// Makes durable what is published, for as long as there is a ledger.
pub(super) fn keep_durable(store: Store, shared: &Arc<Shared>) {
    let published = shared.published.subscribe();
    tokio::spawn(keep(store, published, Arc::downgrade(shared)));
}

/// A sync that fails ends the writes: what is missing on the disk is in the engine's log.
async fn keep(store: Store, mut published: watch::Receiver<TreeSize>, shared: Weak<Shared>) {
    while published.changed().await.is_ok() {
        sleep(GATHER).await;
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
