//! The CNAM: naming a catalogue in the ledger by its hash.

use proto::attestation::{Attestation, CatalogueNotice};
use proto::lpp::Catalogue;

use crate::issue::{IssueError, Issued};
use crate::session::Session;

/// Names the catalogue that is in force from now on. Its text is published elsewhere; whoever
/// uses it finds its hash in the entry.
///
/// # Errors
/// [`IssueError`]; a refusal is an answer: only the CNAM may, and not before the catalogue's day.
pub async fn publish(session: &Session, catalogue: &Catalogue) -> Result<Issued, IssueError> {
    let notice = CatalogueNotice {
        hash: catalogue.hash(),
        valid_from: catalogue.valid_from(),
    };
    session.issue(&Attestation::Catalogue(notice), None).await
}
