//! Catalogues and the ledger: naming one by its hash, and getting the text of one that is named.

use proto::attestation::{Attestation, CatalogueNotice};
use proto::hash::Hash;
use proto::ids::LeafIndex;
use proto::lpp::{CATALOGUE_BYTES_MAX, Catalogue, CatalogueError, CataloguePath};
use thiserror::Error;

use crate::auditor::{FetchError, LogSource};
use crate::failure::{Failure, FailureKind};
use crate::issue::{IssueError, Issued};
use crate::lookup::{LookupError, NamedCatalogue};
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

/// Why a catalogue that the ledger names cannot be had.
#[derive(Debug, Error)]
pub enum CatalogueFetchError {
    /// The ledger's state cannot be had.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// No catalogue was named yet.
    #[error("the ledger names no catalogue yet")]
    NoneNamed,
    /// The entry names none.
    #[error("entry {index} names no catalogue")]
    NotACatalogue {
        /// The entry.
        index: LeafIndex,
    },
    /// Nobody serves its text.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// What is served is another text.
    #[error("the text that is served has another hash than the ledger names")]
    OtherText,
    /// The text that the CNAM named is no catalogue that this program reads.
    #[error("the catalogue that the ledger names cannot be read: {0}")]
    Unreadable(#[from] CatalogueError),
}

impl Failure for CatalogueFetchError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::Fetch(error) => error.kind(),
            Self::NoneNamed | Self::OtherText => FailureKind::Unavailable,
            Self::NotACatalogue { .. } | Self::Unreadable(_) => FailureKind::Malformed,
        }
    }

    fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Lookup(error) => error.hint(),
            Self::Fetch(FetchError::NotFound { .. }) | Self::OtherText => {
                Some("ask another member with --http; the CNAM serves what it publishes")
            }
            Self::Unreadable(_) => Some("is this program older than the catalogue?"),
            _ => None,
        }
    }
}

/// The catalogue in force, or the one that an entry names, such as an older coverage's.
///
/// # Errors
/// [`CatalogueFetchError`], see its variants.
pub async fn named(
    session: &Session,
    entry: Option<LeafIndex>,
) -> Result<NamedCatalogue, CatalogueFetchError> {
    let Some(index) = entry else {
        let in_force = session.catalogue_in_force().await?;
        return in_force.ok_or(CatalogueFetchError::NoneNamed);
    };
    let entry = session.verified_entry(index).await?;
    match Attestation::read(entry.header()) {
        Ok(Attestation::Catalogue(notice)) => Ok(NamedCatalogue { index, notice }),
        _ => Err(CatalogueFetchError::NotACatalogue { index }),
    }
}

/// The catalogue with this hash, from whoever serves it: only the hash is believed.
///
/// # Errors
/// [`CatalogueFetchError`], see its variants.
pub async fn fetch(source: &impl LogSource, hash: Hash) -> Result<Catalogue, CatalogueFetchError> {
    let path = CataloguePath(hash).to_string();
    let text = source.fetch(&path, CATALOGUE_BYTES_MAX).await?;
    if Catalogue::hash_of_text(&text) != hash {
        return Err(CatalogueFetchError::OtherText);
    }
    Ok(Catalogue::from_bytes(&text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves one text under one path.
    struct Served(String, Vec<u8>);

    impl LogSource for Served {
        async fn fetch(&self, path: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
            assert_eq!(limit, CATALOGUE_BYTES_MAX);
            let found = (path == self.0).then(|| self.1.clone());
            let path = path.to_owned();
            found.ok_or(FetchError::NotFound { path })
        }
    }

    #[tokio::test]
    async fn only_the_text_of_the_hash_is_taken() {
        let text = "vitrail-catalogue/v1\nversion;LPP-1\nvalid-from;2020-01-01\n\
                    code;grouped;label;base;plv;age-max;end\n\
                    2222124;M01;MONTURE A;;30.00;;\n";
        let catalogue = Catalogue::from_bytes(text.as_bytes()).unwrap();
        let hash = catalogue.hash();
        let path = CataloguePath(hash).to_string();
        let served = |text: &str| Served(path.clone(), text.as_bytes().to_vec());
        assert_eq!(fetch(&served(text), hash).await.unwrap(), catalogue);
        let other = fetch(&served(&text.replace("30.00", "31.00")), hash).await;
        assert!(matches!(other, Err(CatalogueFetchError::OtherText)));
        let unreadable = "vitrail-catalogue/v9\n";
        let hash = Catalogue::hash_of_text(unreadable.as_bytes());
        let served = Served(CataloguePath(hash).to_string(), unreadable.into());
        let unreadable = fetch(&served, hash).await;
        assert!(matches!(
            unreadable,
            Err(CatalogueFetchError::Unreadable(_))
        ));
        let absent = fetch(&served, Hash::from_bytes([1; 32])).await;
        let not_there = |error: &_| {
            matches!(
                error,
                CatalogueFetchError::Fetch(FetchError::NotFound { .. })
            )
        };
        assert!(absent.is_err_and(|error| not_there(&error)));
    }
}
