//! The machine's clock and random source: the only file of this package that reads either.

use std::time::{SystemTime, UNIX_EPOCH};

use proto::ids::{RequestId, UnixMillis};
use thiserror::Error;

use crate::failure::{Failure, FailureKind};

/// The machine gave no random bytes. Nothing can be blinded, salted or signed without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the system's random source does not answer")]
pub struct NoRandomness;

impl Failure for NoRandomness {
    fn kind(&self) -> FailureKind {
        FailureKind::Unavailable
    }
}

/// The present moment; the epoch itself on a clock set before it.
#[must_use]
pub fn now() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Fresh bytes of the system's cryptographic random source.
///
/// # Errors
/// [`NoRandomness`] when the system has none.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// The id of a request made now.
///
/// # Errors
/// [`NoRandomness`] when the system has none.
pub fn request_id() -> Result<RequestId, NoRandomness> {
    Ok(RequestId::new(now(), random()?))
}
