//! Erasing a payload: for whoever issued an entry, be it a payer or a till.

use proto::attestation::{Attestation, Erasure};
use proto::ids::LeafIndex;

use crate::issue::{IssueError, Issued};
use crate::session::Session;

/// Asks every member to delete the payload and the salt of an entry. The entry, its receipt and
/// every proof stay as they are; without the salt its commitment opens for nobody any more.
///
/// # Errors
/// [`IssueError`]; a refusal is an answer: only the issuer of an entry may erase its payload.
pub async fn erase(session: &Session, erased: LeafIndex) -> Result<Issued, IssueError> {
    let erasure = Attestation::Erasure(Erasure { erased });
    session.issue(&erasure, None).await
}
