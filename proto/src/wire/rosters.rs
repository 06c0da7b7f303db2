//! A roster of the log, with the place of its entry.

use super::{WireError, read, v1, write};
use crate::checkpoint::SignedCheckpoint;
use crate::receipt::EntryProof;

/// Reads the answer about a roster: its entry with its place, and the checkpoint.
///
/// # Errors
/// The first field that is missing or malformed. Nothing of it is verified yet.
pub fn read_roster(
    message: &v1::GetRosterResponse,
) -> Result<(EntryProof, SignedCheckpoint), WireError> {
    let missing = WireError::Missing { field: "entry" };
    let entry = read::proved_entry(message.entry.as_ref().ok_or(missing)?)?;
    Ok((entry, read::checkpoint(&message.checkpoint)?))
}

/// The answer, as it is sent. `checkpoint` is the text of the checkpoint.
#[must_use]
pub fn write_roster(proved: &EntryProof, checkpoint: &str) -> v1::GetRosterResponse {
    v1::GetRosterResponse {
        entry: Some(write::proved_entry(proved)),
        checkpoint: checkpoint.to_owned(),
    }
}
