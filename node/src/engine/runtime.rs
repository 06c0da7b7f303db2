//! Where the engine's own tasks run: apart from all that serves callers.
//!
//! Each batch passes through them four times. Beside the calls of hundreds of tills, whose
//! signatures are checked where they are answered, each time would wait until a worker is free,
//! and so would heartbeats.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// A runtime of one thread; in a simulation the one that it is in, so that it goes the same way
/// each time. What still runs in it ends when it is dropped.
#[derive(Debug)]
pub(super) struct EngineRuntime {
    /// Taken only to be ended.
    own: Option<Runtime>,
    handle: Handle,
}

impl EngineRuntime {
    /// Starts its thread.
    ///
    /// # Errors
    /// When the system gives none.
    pub(super) fn start() -> io::Result<Self> {
        #[cfg(test)]
        if crate::simulation::is_on() {
            return Ok(Self {
                own: None,
                handle: Handle::current(),
            });
        }
        let own = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("engine")
            .enable_all()
            .build()?;
        Ok(Self {
            handle: own.handle().clone(),
            own: Some(own),
        })
    }

    /// Begins a task on its thread, whoever calls.
    pub(super) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.handle.spawn(task)
    }
}

impl Drop for EngineRuntime {
    /// It may be dropped by a task of another runtime, which must not wait.
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            own.shutdown_background();
        }
    }
}
