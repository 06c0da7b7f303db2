//! What a member that only follows cosigns: each state that it has published, which it has checked
//! itself and which a quorum vouches for already. Its signature counts for no quorum. It is one more
//! member's word for the same state, and keeps the rules of any other cosignature.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use proto::checkpoint::{Checkpoint, SignedCheckpoint};
use proto::ids::MemberName;
use proto::roster::Roster;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::blocking::blocking;
use crate::clock;
use crate::peer::Peer;
use crate::recall;
use crate::sequencer::{Condition, Published, Sequencer, StopReason, is_cosigned_by};
use crate::snapshot::Snapshot;
use crate::store::{SignedLock, Store, StoreError};
use crate::witness::{Witness, WitnessError};

/// Pause before the others are asked again what this node has signed.
const ROUND_PAUSE: Duration = Duration::from_millis(250);

/// Why a following member cosigns no more, until its node is started again.
#[derive(Debug, Error)]
enum Unsigned {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Witness(#[from] WitnessError),
    #[error("signing was broken off")]
    BrokenOff,
}

/// Cosigns what a following node publishes.
#[derive(Debug)]
pub struct Cosigner {
    witness: Witness,
    store: Store,
    sequencer: Sequencer,
    /// Where a signature goes that may leave the node.
    leaves: watch::Sender<Option<SignedCheckpoint>>,
}

impl Cosigner {
    /// Signs what is published there. `lock` is what it had signed last, as far as the data folder knows.
    #[must_use]
    pub fn new(published: Published, lock: Option<SignedLock>) -> Self {
        let Published {
            mut witness,
            store,
            sequencer,
            leaves,
        } = published;
        let snapshot = sequencer.snapshot();
        if let Some(vouched_at) = snapshot.vouched_at() {
            witness.not_before(vouched_at);
        }
        if let Some(lock) = lock {
            witness.settle_lock(&lock.checkpoint(snapshot.roster().origin()));
        }
        sequencer.set_recalling(true);
        Self {
            witness,
            store,
            sequencer,
            leaves,
        }
    }

    /// Hears what this member had signed, as a quorum remembers it; then cosigns each state that is
    /// published, until it is told to end.
    pub async fn run(mut self, told: impl Future<Output = ()>) {
        let mut told = pin!(told);
        tokio::select! {
            () = &mut told => {}
            end = self.cosign_all() => {
                if let Err(error) = end {
                    tracing::error!(%error, "this node follows on, and cosigns no more");
                }
            }
        }
    }

    async fn cosign_all(&mut self) -> Result<(), Unsigned> {
        if !self.recall().await? {
            return Ok(());
        }
        self.sequencer.set_recalling(false);
        let mut published = self.sequencer.published();
        loop {
            published.mark_unchanged();
            let snapshot = self.sequencer.snapshot();
            if self.may_sign(&snapshot) {
                self.sign(snapshot.checkpoint().claimed().clone()).await?;
            }
            if published.changed().await.is_err() {
                return Ok(());
            }
        }
    }

    /// Asks until as many voting members as make a quorum have said what they hold of this one. A
    /// folder that is an old backup has forgotten it, and is bound by it all the same. False when
    /// they hold what this member cannot have signed beside what it has.
    async fn recall(&mut self) -> Result<bool, Unsigned> {
        let mut heard = BTreeSet::new();
        loop {
            let roster = self.sequencer.snapshot().roster().clone();
            let peers = Peer::voting(&roster, self.witness.secret()).unwrap_or_default();
            let mut asked = recall::ask(peers);
            while let Some(answered) = asked.join_next().await {
                let Ok(Some((by, cosignatures))) = answered else {
                    continue;
                };
                if !self.remember(&cosignatures, &roster).await? {
                    return Ok(false);
                }
                heard.insert(by);
                if count_voting(&heard, &roster) >= roster.quorum() {
                    return Ok(true);
                }
            }
            sleep(ROUND_PAUSE).await;
        }
    }

    async fn remember(
        &mut self,
        held: &[SignedCheckpoint],
        roster: &Roster,
    ) -> Result<bool, Unsigned> {
        for signed in held {
            if !is_cosigned_by(signed, self.witness.name(), roster) {
                continue;
            }
            match self.witness.remembers(signed.claimed()) {
                Ok(true) => {}
                Ok(false) => self.lock(signed.claimed().clone()).await?,
                Err(error) => {
                    tracing::error!(%error, "another node holds a cosignature of this one");
                    let reason = StopReason::RootMismatch;
                    self.sequencer.end_for(reason);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// A member that votes cosigns by its engine alone, and one that has signed later states none.
    fn may_sign(&self, snapshot: &Snapshot) -> bool {
        let roster = snapshot.roster();
        let follows = roster.member(self.witness.name());
        self.sequencer.condition() == Condition::Following
            && follows.is_some_and(|own| !own.is_voting())
            && self.witness.place_in(roster).is_none()
            && !self.witness.is_past(snapshot.checkpoint().claimed())
    }

    /// The lock is durable before the signature leaves.
    async fn sign(&mut self, checkpoint: Checkpoint) -> Result<(), Unsigned> {
        let now = clock::now().seconds();
        let signed = self.witness.cosign(checkpoint.clone(), now)?;
        if !self.witness.has_settled(&checkpoint) {
            self.lock(checkpoint).await?;
        }
        self.leaves.send_replace(Some(signed));
        Ok(())
    }

    /// Nothing that contradicts this is ever signed again.
    async fn lock(&mut self, checkpoint: Checkpoint) -> Result<(), Unsigned> {
        let (store, lock) = (self.store.clone(), SignedLock::of(&checkpoint));
        let locked = blocking(move || store.lock_signature(&lock)).await;
        locked.map_err(|_| Unsigned::BrokenOff)??;
        self.witness.settle(&checkpoint);
        Ok(())
    }
}

fn count_voting(heard: &BTreeSet<MemberName>, roster: &Roster) -> usize {
    let votes = |name: &&MemberName| roster.member(name).is_some_and(|it| it.is_voting());
    heard.iter().filter(votes).count()
}
