//! Work that blocks, off the threads that answer calls.

use tokio::task::{JoinError, spawn_blocking};

/// Does work on a thread that may block, and waits for it. In a simulation it is done where it is
/// asked for, so that it goes the same way each time.
///
/// # Errors
/// When the work panics, or the runtime ends before it begins.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JoinError> {
    #[cfg(test)]
    if crate::simulation::is_on() {
        return Ok(work());
    }
    spawn_blocking(work).await
}
