//! The one place where the node reads the time.

use std::time::SystemTime;

use proto::ids::UnixMillis;

/// This machine's time; 1970 for a clock that stands before it.
#[must_use]
pub fn now() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
