//! The values that say how far the engine's log was applied, and up to where a snapshot reaches.

use super::check;
use crate::engine::Applied;
use crate::engine::record::{applied_from_bytes, applied_to_bytes};
use crate::store::database::Database;
use crate::store::{StoreError, Stored, keys};

/// How far the engine's log was applied, by what is in the database.
pub(in crate::store) fn applied_in(database: &Database) -> Result<Option<Applied>, StoreError> {
    stored_applied(database, keys::APPLIED, Stored::EngineApplied)
}

pub(super) fn stored_applied(
    database: &Database,
    key: &[u8],
    what: Stored,
) -> Result<Option<Applied>, StoreError> {
    let Some(bytes) = database.value(key)? else {
        return Ok(None);
    };
    let content = check::unchecked(key, &bytes);
    let applied = content.and_then(|content| applied_from_bytes(content).ok());
    applied.map(Some).ok_or(StoreError::Corrupt { what })
}

/// The value that says how far was applied, or up to where a snapshot reaches.
pub(in crate::store) fn applied_value(
    key: &[u8],
    applied: &Applied,
) -> Result<Vec<u8>, StoreError> {
    Ok(check::checked(key, applied_to_bytes(applied)?))
}
