//! A member that is behind fetches pages of the log from whichever member has them.
//!
//! Each page is checked like a batch, and nothing is published that a quorum has not vouched for.
//! So it does not matter who gives them, and the engine need not keep what the ledger has.

use std::time::Duration;

use proto::ids::{TreeSize, UnixSeconds};
use proto::signing::SecretKey;
use thiserror::Error;

use crate::clock;
use crate::peer::{Peer, PeerError};
use crate::sequencer::{ApplyError, PageError, Sequencer};
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

/// Brings the ledger up to a size that a quorum has vouched for. Goes on for as long as it takes.
///
/// # Errors
/// [`CatchUpError`] when this node is at fault, or shutting down.
pub(super) async fn catch_up(
    sequencer: &Sequencer,
    secret: &SecretKey,
    wanted: TreeSize,
) -> Result<(), CatchUpError> {
    let mut peers = Peer::all(sequencer.snapshot().roster(), secret)?;
    let mut held = sequencer.snapshot().size();
    while sequencer.snapshot().size() < wanted {
        let Some(peer) = peers.first() else {
            tokio::time::sleep(RETRY_PAUSE).await;
            continue;
        };
        let error = match page(sequencer, peer, &mut held).await {
            Ok(()) => continue,
            Err(CatchUpError::Page(error)) if error.is_own_fault() => return Err(error.into()),
            // Something else brought the ledger further meanwhile: on from there.
            Err(CatchUpError::Page(ApplyError::Page(PageError::Elsewhere { .. }))) => continue,
            Err(CatchUpError::ShuttingDown) => return Err(CatchUpError::ShuttingDown),
            Err(error) => error,
        };
        tracing::warn!(member = %peer.member(), %error, "no page to catch up with");
        peers.rotate_left(1);
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    Ok(())
}

/// One page from one member. `held` is where it begins, and then where the next one must.
async fn page(sequencer: &Sequencer, peer: &Peer, held: &mut TreeSize) -> Result<(), CatchUpError> {
    let page = peer.follow(*held, UnixSeconds::new(0)).await?;
    let taken = sequencer.page(*held, page, clock::now().seconds()).await;
    let taken = taken.ok_or(CatchUpError::ShuttingDown)?;
    *held = taken.held;
    taken.outcome?;
    Ok(())
}
