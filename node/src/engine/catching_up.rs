//! A member that is behind fetches pages of the log from whichever member has them.
//!
//! Each page is checked like a batch, and nothing is taken that is not shown to be in a log that a
//! quorum vouches for. So it does not matter who gives them, and the engine need not keep what the ledger has.

use std::time::Duration;

use proto::ids::{TreeSize, UnixSeconds};
use proto::signing::SecretKey;
use thiserror::Error;

use crate::clock;
use crate::peer::{Peer, PeerError};
use crate::sequencer::{ApplyError, PageError, Sequencer};
use crate::sources::{Liars, PageLie, Sources};
use crate::tls::TlsError;

/// Pause after a member has failed to give a page.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// Why a ledger is not brought up.
#[derive(Debug, Error)]
pub(super) enum CatchUpError {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("a page: {0}")]
    Page(#[from] ApplyError),
    #[error("the node is shutting down")]
    ShuttingDown,
}

impl CatchUpError {
    const fn lie(&self) -> Option<PageLie> {
        match self {
            Self::Peer(error) => error.lie(),
            Self::Page(error) => error.lie(),
            Self::Tls(_) | Self::ShuttingDown => None,
        }
    }
}

/// Brings the ledger up to a size that a quorum has vouched for. Goes on for as long as it takes.
///
/// # Errors
/// [`CatchUpError`] when this node is at fault, or shutting down.
pub(super) async fn catch_up(
    sequencer: &Sequencer,
    secret: &SecretKey,
    liars: &Liars,
    wanted: TreeSize,
) -> Result<(), CatchUpError> {
    let peers = Peer::all(sequencer.snapshot().roster(), secret)?;
    let mut sources = Sources::new(peers, liars.clone());
    let mut held = sequencer.snapshot().size();
    while sequencer.snapshot().size() < wanted {
        let Some(peer) = sources.current() else {
            tokio::time::sleep(RETRY_PAUSE).await;
            continue;
        };
        let error = match page(sequencer, peer, &mut held).await {
            Ok(true) => {
                sources.answered();
                continue;
            }
            // It is behind itself, or says so.
            Ok(false) => {
                sources.failed();
                tokio::time::sleep(RETRY_PAUSE).await;
                continue;
            }
            Err(CatchUpError::Page(error)) if error.is_own_fault() => return Err(error.into()),
            // Something else brought the ledger further meanwhile: on from there.
            Err(CatchUpError::Page(ApplyError::Page(PageError::Elsewhere { .. }))) => continue,
            Err(CatchUpError::ShuttingDown) => return Err(CatchUpError::ShuttingDown),
            Err(error) => error,
        };
        tracing::warn!(member = %peer.member(), %error, "no page to catch up with");
        match error.lie() {
            Some(lie) => sources.lied(lie),
            None => sources.failed(),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    Ok(())
}

/// One page from one member; whether it has brought anything. `held` is where it begins, and then
/// where the next one must.
async fn page(
    sequencer: &Sequencer,
    peer: &Peer,
    held: &mut TreeSize,
) -> Result<bool, CatchUpError> {
    let from = *held;
    let page = peer.follow(*held, UnixSeconds::new(0)).await?;
    let taken = sequencer.page(*held, page, clock::now().seconds()).await;
    let taken = taken.ok_or(CatchUpError::ShuttingDown)?;
    *held = taken.held;
    taken.outcome?;
    Ok(taken.held > from)
}
