//! The optician federation: which tills are admitted, and which no longer.

use proto::attestation::{Attestation, Grant, Revocation};
use proto::signing::PublicKey;

use crate::issue::{IssueError, Issued};
use crate::session::Session;

/// Elements that each node evaluates for a till in an hour, if the federation says nothing else:
/// six people with two payers each.
pub const HOURLY_QUOTA: u32 = 20;
/// Elements that each node evaluates for a till in a day, if the federation says nothing else:
/// twenty people with two payers each.
pub const DAILY_QUOTA: u32 = 60;

/// Admits a till's key.
///
/// # Errors
/// [`IssueError`]; a refusal is an answer.
pub async fn grant(session: &Session, grant: Grant) -> Result<Issued, IssueError> {
    session.issue(&Attestation::Grant(grant), None).await
}

/// Ends a till's admission, for good.
///
/// # Errors
/// [`IssueError`]; a refusal is an answer: only the federation that granted a key may revoke it.
pub async fn revoke(session: &Session, till: PublicKey) -> Result<Issued, IssueError> {
    session
        .issue(&Attestation::Revocation(Revocation { till }), None)
        .await
}
