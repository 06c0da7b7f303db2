//! What the service manager is told: that the node is starting, serves, is alive, and stops.
//!
//! By sd_notify(3). Without a service manager that listens (`NOTIFY_SOCKET`) nobody is told, and
//! nothing else changes.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use proto::ids::LeafIndex;
use sd_notify::{NotifyState, notify, watchdog_enabled};

use crate::blocking::blocking;
use crate::sequencer::Sequencer;

/// How often a start that goes on asks for more time: a lost ledger is fetched in hours, not in
/// the minute and a half that a service has.
const START_PAUSE: Duration = Duration::from_secs(10);
/// How much more time it asks for each time: three pauses, in microseconds.
const START_MORE_US: u32 = 30_000_000;
/// Signs of life in the time after which the service manager gives a service up: one that is lost
/// to a busy machine does no harm.
const SIGNS_OF_LIFE: u32 = 3;

/// Waits for a start, and asks for more time as long as it goes on.
pub async fn starting<T>(start: impl Future<Output = T>) -> T {
    let mut start = pin!(start);
    loop {
        tell(&[NotifyState::ExtendTimeoutUsec(START_MORE_US)]);
        tokio::select! {
            started = &mut start => return started,
            () = tokio::time::sleep(START_PAUSE) => {}
        }
    }
}

/// The node serves from now on; `status` is a sentence for who asks the service manager.
pub fn serving(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The node has been told to stop, and is on its way.
pub fn stopping() {
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("finishing what is in flight"),
    ]);
}

/// Gives signs of life for as long as the node is alive, if the service manager wants them: its
/// runtime turns, its sequencer answers, and its store is read. Reading a value that is corrupt is
/// alive too; a restart would not mend it.
pub async fn keep_alive(sequencer: Sequencer) {
    let Some(within) = watchdog_enabled() else {
        return;
    };
    loop {
        // A sequencer that hangs does not answer; one that has ended does so at once.
        let _ = sequencer.cosignatures().await;
        let snapshot = sequencer.snapshot();
        let newest = LeafIndex::new(snapshot.size().get().saturating_sub(1));
        let _ = blocking(move || snapshot.prove_entry(newest).is_ok()).await;
        tell(&[NotifyState::Watchdog]);
        tokio::time::sleep(within / SIGNS_OF_LIFE).await;
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
