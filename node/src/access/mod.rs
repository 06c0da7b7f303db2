//! Records of who looked at what: durable in the log before an answer leaves.
//!
//! ```text
//! look -> gather -> seal to the incident keys -> sign -> append -> answer
//! ```
//!
//! Looks of one moment share an entry (group commit). A look that cannot be recorded is not
//! answered: without an incident key in the roster, or while writes are stopped, a node hands
//! nothing out.

pub mod alarm;
pub mod pattern;
mod recorder;

use proto::attestation::RecordError;
use proto::entry::EntryError;
use proto::refusal::Reason;
use proto::seal::SealRecordError;
use thiserror::Error;

pub use self::recorder::{LOOKS_WAITING_MAX, Recorder};
use crate::follow::NotIssued;
use crate::sequencer::Unavailable;

/// Why a look was not recorded, and so is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotRecorded {
    /// Nobody could ever read the record.
    #[error("the roster has no incident key, so that no look can be recorded")]
    NoIncidentKey,
    /// As many looks wait as may.
    #[error("{LOOKS_WAITING_MAX} looks wait to be recorded already")]
    Busy,
    /// The entry was not taken.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// The voting member's answer does not prove that the entry is in the log.
    #[error("the receipt of the access entry fails")]
    Unproved,
    /// A rule refused the entry: this node's clock or membership is not as it must be.
    #[error("the access entry was refused: {}", .0.english())]
    Refused(Reason),
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    NoRandomness,
    /// The looks do not make a record.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record cannot be sealed.
    #[error(transparent)]
    Seal(#[from] SealRecordError),
    /// The entry cannot be signed.
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// The recorder is gone: the node is shutting down.
    #[error("the node is shutting down")]
    ShuttingDown,
}

impl From<NotIssued> for NotRecorded {
    fn from(error: NotIssued) -> Self {
        match error {
            NotIssued::Unavailable(error) => Self::Unavailable(error),
            NotIssued::Unproved => Self::Unproved,
            NotIssued::Refused(reason) => Self::Refused(reason),
        }
    }
}

#[cfg(test)]
mod tests;
