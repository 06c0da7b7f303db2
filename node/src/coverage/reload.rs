//! Reading the payer's files again when they change, while the node serves.

use std::fs;
use std::future::Future;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use proto::hash::Hash;
use proto::identity::PayerNumber;
use proto::roster::Roster;
use tokio::task::spawn_blocking;

use super::{Book, BookError, Quoter, Sources};
use crate::metrics::Metrics;

/// How often the files are looked at: a look is two calls of the system, and nobody waits for a
/// new plan for seconds.
pub const RELOAD_PAUSE: Duration = Duration::from_secs(1);

/// What a change of a file shows in: moment, length and number of the file.
type Fingerprint = Option<(i64, i64, u64, u64)>;

/// The contracts, the plans, the networks, and the roster that the contracts are for.
type Seen = ([Fingerprint; 3], Hash);

/// A payer's files, and as what they were read last.
#[derive(Debug, Clone)]
pub struct Watched {
    sources: Sources,
    payer: PayerNumber,
    seen: Seen,
}

impl Watched {
    /// Reads the files of this payer. Blocks for seconds when there are a million contracts.
    ///
    /// # Errors
    /// [`BookError`], which names the file.
    pub fn open(
        sources: Sources,
        roster: &Roster,
        payer: PayerNumber,
    ) -> Result<(Book, Self), BookError> {
        // Before they are read: what changes meanwhile is read again.
        let seen = look(&sources, roster);
        let book = Book::load(&sources, roster, &payer)?;
        let watched = Self {
            sources,
            payer,
            seen,
        };
        Ok((book, watched))
    }

    /// Reads the files again if one of them, or the roster, has changed since the last time. What
    /// cannot be used is read again when it has changed once more.
    ///
    /// # Errors
    /// [`BookError`], which names the file.
    pub(super) fn read_changed(&mut self, roster: &Roster) -> Result<Option<Book>, BookError> {
        let seen = look(&self.sources, roster);
        if self.seen == seen {
            return Ok(None);
        }
        self.seen = seen;
        Book::load(&self.sources, roster, &self.payer).map(Some)
    }
}

fn look(sources: &Sources, roster: &Roster) -> Seen {
    let of = |path: &PathBuf| {
        let found = fs::metadata(path).ok()?;
        Some((found.mtime(), found.mtime_nsec(), found.len(), found.ino()))
    };
    let networks = sources.networks.as_ref().and_then(of);
    (
        [of(&sources.contracts), of(&sources.plans), networks],
        roster.hash(),
    )
}

/// Keeps a quoter's book as the files are, until told to stop. Files that cannot be used change
/// nothing: what was read before goes on counting.
pub async fn reload(
    quoter: Arc<Quoter>,
    mut watched: Watched,
    metrics: Arc<Metrics>,
    told: impl Future<Output = ()>,
) {
    let mut told = pin!(told);
    loop {
        tokio::select! {
            () = &mut told => return,
            () = tokio::time::sleep(RELOAD_PAUSE) => {}
        }
        let roster = quoter.roster();
        let read = spawn_blocking(move || {
            let read = watched.read_changed(&roster);
            (watched, read)
        });
        let Ok((watching, read)) = read.await else {
            return;
        };
        watched = watching;
        match read {
            Ok(None) => {}
            Ok(Some(book)) => {
                let (contracts, plans) = (book.contracts(), book.plans());
                metrics.contracts_loaded(contracts);
                quoter.replace(book);
                tracing::info!(contracts, plans, "contracts and plans were read again");
            }
            Err(error) => {
                metrics.contracts_refused();
                tracing::error!(%error, "changed contracts or plans are not used");
            }
        }
    }
}
