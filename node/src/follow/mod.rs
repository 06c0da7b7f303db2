//! Following the voting members: page after page, from whichever of them answers.
//!
//! A page is asked for with what is held already, and the other node waits with its answer until
//! it has more. So a grant or a revocation is in force here as soon as its batch is cosigned and
//! has crossed the line. When nobody answers, the newest checkpoint ages, and the gate refuses
//! tills once it is too old.

pub mod evidence;
mod upstream;

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Duration;

use proto::ids::TreeSize;
use proto::roster::Roster;
use proto::signing::{PublicKey, SecretKey};
use thiserror::Error;

pub use self::upstream::{NotIssued, Upstream};
use crate::blocking::blocking;
use crate::clock;
use crate::cosigning::Cosigner;
use crate::metrics::Lies;
use crate::peer::{Peer, PeerError};
use crate::sequencer::{Applied, ApplyError, Replica, Sequencer, StopReason};
use crate::sources::{Liars, PageLie, Sources};
use crate::store::SignedLock;
use crate::tls::TlsError;

/// Pause after a failure, before the next member is asked: short against the five seconds within
/// which a revocation counts everywhere.
const RETRY_PAUSE: Duration = Duration::from_millis(250);
/// How often a failure that goes on is logged.
const FAILURES_PER_LINE: u32 = 40;

/// Why nothing is followed any more.
#[derive(Debug, Error)]
pub enum FollowEnd {
    /// The roster has no voting member with an address.
    #[error("the roster has no voting member with an address")]
    NobodyToFollow,
    /// The way to a voting member cannot be prepared.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The voting members have contradicted themselves; the evidence is in this file.
    #[error("the voting members have contradicted themselves: see {path}", path = .0.display())]
    Contradicted(PathBuf),
    /// This node's own ledger failed.
    #[error("the own ledger failed: {0}")]
    Own(ApplyError),
    /// The work was broken off.
    #[error("following was broken off")]
    BrokenOff,
}

/// What failed once, and may work with the next member or later.
#[derive(Debug, Error)]
enum Failure {
    #[error(transparent)]
    Peer(#[from] PeerError),
    #[error("a page is not taken: {0}")]
    Page(ApplyError),
}

impl Failure {
    const fn lie(&self) -> Option<PageLie> {
        match self {
            Self::Peer(error) => error.lie(),
            Self::Page(error) => error.lie(),
        }
    }
}

/// A ledger on its way after those of the voting members.
#[derive(Debug)]
pub struct Following {
    replica: Option<Replica>,
    secret: SecretKey,
    data: PathBuf,
    sources: Sources,
    failures: u32,
}

impl Following {
    /// Follows from what the replica has on. Evidence goes to a folder in `data`.
    ///
    /// # Errors
    /// [`FollowEnd::NobodyToFollow`] and [`FollowEnd::Tls`].
    pub fn new(replica: Replica, secret: SecretKey, data: PathBuf) -> Result<Self, FollowEnd> {
        Self::from(replica, secret, data, None)
    }

    /// The same for a ledger that has yet to be fetched, from the members of this roster if they
    /// are known to be others than those of the first.
    ///
    /// # Errors
    /// As [`Following::new`].
    pub fn from(
        replica: Replica,
        secret: SecretKey,
        data: PathBuf,
        known: Option<&Roster>,
    ) -> Result<Self, FollowEnd> {
        let peers = match replica.sequencer() {
            Some(_) => Peer::voting(replica.roster(), &secret)?,
            None => Vec::new(),
        };
        let peers = match peers.is_empty() {
            // Who has nothing yet, or voted alone, asks everybody: what comes is verified all the
            // same.
            true => Peer::all(known.unwrap_or(replica.roster()), &secret)?,
            false => peers,
        };
        if peers.is_empty() {
            return Err(FollowEnd::NobodyToFollow);
        }
        Ok(Self {
            replica: Some(replica),
            secret,
            data,
            sources: Sources::new(peers, Liars::default()),
            failures: 0,
        })
    }

    /// The same; whose pages are no good is counted there.
    #[must_use]
    pub fn counting(self, lies: Lies) -> Self {
        let sources = self.sources.counting(lies);
        Self { sources, ..self }
    }

    /// What cosigns for a member that only follows; `None` before anything is published. `lock` is
    /// what it had signed last.
    #[must_use]
    pub fn cosigner(&self, lock: Option<SignedLock>) -> Option<Cosigner> {
        let published = self.replica.as_ref()?.published()?;
        Some(Cosigner::new(published, lock))
    }

    /// The way to the published ledger, as soon as there is one: a node that has seen one before
    /// has it at once, a new one when it has caught up.
    ///
    /// # Errors
    /// [`FollowEnd`].
    pub async fn published(&mut self) -> Result<Sequencer, FollowEnd> {
        loop {
            let replica = self.replica.as_ref().ok_or(FollowEnd::BrokenOff)?;
            if let Some(sequencer) = replica.sequencer() {
                return Ok(sequencer.clone());
            }
            self.step().await?;
        }
    }

    /// Follows until the ledger has this size, or who answers has no more of it.
    ///
    /// # Errors
    /// [`FollowEnd`].
    pub async fn reach(&mut self, size: TreeSize) -> Result<(), FollowEnd> {
        loop {
            let held = self.size()?;
            if held >= size {
                return Ok(());
            }
            self.step().await?;
            if self.failures == 0 && self.size()? == held {
                return Ok(());
            }
        }
    }

    /// Follows until the ledger's roster has this key.
    ///
    /// # Errors
    /// [`FollowEnd`].
    pub async fn reach_key(&mut self, key: &PublicKey) -> Result<(), FollowEnd> {
        loop {
            let replica = self.replica.as_ref().ok_or(FollowEnd::BrokenOff)?;
            if replica.roster().member_by_key(key).is_some() {
                return Ok(());
            }
            self.step().await?;
        }
    }

    /// How many entries are held, verified or on the way to it.
    ///
    /// # Errors
    /// [`FollowEnd::BrokenOff`] when the ledger was lost with a thread.
    pub fn size(&self) -> Result<TreeSize, FollowEnd> {
        let replica = self.replica.as_ref().ok_or(FollowEnd::BrokenOff)?;
        Ok(replica.size())
    }

    /// Follows until the node is told to stop, or cannot go on.
    pub async fn run(mut self, told: impl Future<Output = ()>) {
        let mut told = pin!(told);
        loop {
            let stepped = tokio::select! {
                () = &mut told => return,
                stepped = self.step() => stepped,
            };
            if let Err(end) = stepped {
                tracing::error!(%end, "this node follows no more and stops answering");
                return;
            }
        }
    }

    /// Whether a quorum has vouched for what is held.
    ///
    /// # Errors
    /// [`FollowEnd::BrokenOff`] when the ledger was lost with a thread.
    pub fn is_published(&self) -> Result<bool, FollowEnd> {
        let replica = self.replica.as_ref().ok_or(FollowEnd::BrokenOff)?;
        Ok(replica.sequencer().is_some())
    }

    /// One page, or one failure and its pause.
    ///
    /// # Errors
    /// [`FollowEnd`].
    pub async fn step(&mut self) -> Result<(), FollowEnd> {
        match self.page().await? {
            Ok(applied) => {
                if self.failures > 0 {
                    tracing::info!(member = %self.peer()?.member(), "following again");
                }
                self.failures = 0;
                self.sources.answered();
                if applied == Applied::Certified {
                    self.follow_roster()?;
                }
            }
            Err(failure) => {
                if self.failures.is_multiple_of(FAILURES_PER_LINE) {
                    tracing::warn!(%failure, "nothing to follow for now");
                }
                self.failures = self.failures.wrapping_add(1);
                match failure.lie() {
                    Some(lie) => self.sources.lied(lie),
                    None => self.sources.failed(),
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
        Ok(())
    }

    async fn page(&mut self) -> Result<Result<Applied, Failure>, FollowEnd> {
        let replica = self.replica.as_ref().ok_or(FollowEnd::BrokenOff)?;
        let (size, vouched_at) = (replica.size(), replica.vouched_at());
        let page = match self.peer()?.follow(size, vouched_at).await {
            Ok(page) => page,
            Err(error) => return Ok(Err(error.into())),
        };
        // Hashes, signatures and syncs: not on a thread that answers calls. Nothing is cancelled
        // halfway either: the thread goes on to the end.
        let mut replica = self.replica.take().ok_or(FollowEnd::BrokenOff)?;
        let applying = blocking(move || {
            let applied = replica.apply(page, clock::now().seconds());
            (replica, applied)
        });
        let (replica, applied) = applying.await.map_err(|_| FollowEnd::BrokenOff)?;
        let replica = self.replica.insert(replica);
        match applied {
            Ok(applied) => Ok(Ok(applied)),
            Err(ApplyError::Contradicted(found)) => {
                replica.halt(StopReason::Contradicted);
                evidence::tell(&found, replica.roster());
                let kept = evidence::keep(&self.data, &found);
                let path = kept.unwrap_or_else(|error| {
                    tracing::error!(%error, "the evidence cannot be written");
                    self.data.join(evidence::EVIDENCE_FOLDER)
                });
                Err(FollowEnd::Contradicted(path))
            }
            Err(error) if error.is_own_fault() => {
                replica.halt(StopReason::Corrupt);
                Err(FollowEnd::Own(error))
            }
            Err(error) => Ok(Err(Failure::Page(error))),
        }
    }

    /// Ends following, with the ledger as it is.
    ///
    /// # Errors
    /// [`FollowEnd::BrokenOff`] when the ledger was lost with a thread.
    pub fn into_replica(self) -> Result<Replica, FollowEnd> {
        self.replica.ok_or(FollowEnd::BrokenOff)
    }

    /// Goes on with the voting members of the roster in force, if they are others.
    fn follow_roster(&mut self) -> Result<(), FollowEnd> {
        let replica = self.replica.as_ref().ok_or(FollowEnd::BrokenOff)?;
        let voting = replica.roster().voting_members();
        let known = |name| self.sources.has(name);
        let reachable = voting.filter(|member| member.grpc.is_some());
        if reachable.map(|member| &member.name).all(known) {
            return Ok(());
        }
        let peers = Peer::voting(replica.roster(), &self.secret)?;
        if !peers.is_empty() {
            self.sources.replace(peers);
        }
        Ok(())
    }

    fn peer(&self) -> Result<&Peer, FollowEnd> {
        self.sources.current().ok_or(FollowEnd::NobodyToFollow)
    }
}

#[cfg(test)]
mod tests;
