//! Rebuilding a member's node whose data folder is lost: the whole ledger, from the other members,
//! verified entry by entry.
//!
//! It is the way in which a new member gets its ledger, and nothing is taken on trust in it: each
//! entry's signature, each payload against its entry's commitment, each entry against the rules at
//! its place, and both roots, recomputed here, against a checkpoint that a quorum of the roster in
//! force has cosigned. The node that runs on it afterwards begins a new life in the engine.

use std::path::PathBuf;
use std::time::Duration;

use proto::ids::TreeSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::Config;
use crate::follow::{FollowEnd, Following};
use crate::server::{StartError, open_data};

/// How often is told how far it is.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Why a node is not rebuilt.
#[derive(Debug, Error)]
pub enum RebuildError {
    /// There is a ledger already.
    #[error("{path} has a ledger with {size} entries already", path = path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// How many entries it has.
        size: TreeSize,
    },
    /// The node's files cannot be used.
    #[error(transparent)]
    Start(#[from] Box<StartError>),
    /// The ledger cannot be fetched, or contradicts itself.
    #[error(transparent)]
    Follow(#[from] FollowEnd),
    /// The roots were not vouched for by a quorum.
    #[error("no quorum vouches for what was fetched")]
    NotVouched,
}

/// What was fetched and verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rebuilt {
    /// The ledger.
    pub origin: String,
    /// How many entries: each was read, its signature checked, and decided at its place.
    pub entries: u64,
    /// The root of the log, in base64.
    pub log_root: String,
    /// The root of the map, in base64.
    pub map_root: String,
    /// How many voting members vouch for both roots.
    pub cosigned_by: usize,
    /// How many had to.
    pub quorum: usize,
}

/// Fetches the ledger into an empty data folder. `progress` is told from time to time how many
/// entries are held. A rebuild that was broken off goes on where it was.
///
/// # Errors
/// [`RebuildError`]. What was fetched until then is verified, and stays.
pub async fn rebuild(
    config: &Config,
    mut progress: impl FnMut(TreeSize),
) -> Result<Rebuilt, RebuildError> {
    let files = config.clone();
    let opened = tokio::task::spawn_blocking(move || open_data(&files)).await;
    let opened = opened.map_err(|_| FollowEnd::BrokenOff)?;
    let (replica, secret) = opened.map_err(Box::new)?;
    if replica.sequencer().is_some() {
        let (path, size) = (config.data.clone(), replica.size());
        return Err(RebuildError::NotEmpty { path, size });
    }
    let mut following = Following::new(replica, secret, config.data.clone())?;
    let mut told = tokio::time::Instant::now();
    while !following.is_published()? {
        following.step().await?;
        if told.elapsed() >= PROGRESS_INTERVAL {
            told = tokio::time::Instant::now();
            progress(following.size()?);
        }
    }
    let sequencer = following.published().await?;
    let snapshot = sequencer.snapshot();
    let (checkpoint, roster) = (snapshot.checkpoint().claimed(), snapshot.roster());
    let verified = snapshot.checkpoint().verify(roster);
    let verified = verified.map_err(|_| RebuildError::NotVouched)?;
    let votes = |name| roster.member(name).is_some_and(|it| it.is_voting());
    progress(checkpoint.size);
    Ok(Rebuilt {
        origin: checkpoint.origin.to_string(),
        entries: checkpoint.size.get(),
        log_root: checkpoint.log_root.to_base64(),
        map_root: checkpoint.map_root.to_base64(),
        cosigned_by: verified.signers().filter(|name| votes(name)).count(),
        quorum: roster.quorum(),
    })
}
