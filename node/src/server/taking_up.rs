//! From a ledger on the disk to one that goes on: ordered with others, or followed.

use std::path::Path;
use std::sync::Arc;

use proto::ids::TreeSize;
use proto::signing::SecretKey;
use tokio::time::timeout;

use super::{LEAD_WAIT, StartError};
use crate::config::Config;
use crate::engine::{Engine, EngineId};
use crate::follow::{FollowEnd, Following};
use crate::order::{Leadership, Orderer as _};
use crate::recall;
use crate::sequencer::{BatchObserver, OpenError, Replica, Sequencer};
use crate::store::{EngineState, SignedLock, Store};

/// A ledger that goes on.
pub(super) struct Ledger {
    pub(super) sequencer: Sequencer,
    /// What goes on following while the node serves.
    pub(super) following: Option<Box<Following>>,
    /// The engine, at a node that takes part in ordering.
    pub(super) engine: Option<Engine>,
}

impl Ledger {
    /// A member that votes, or is about to, takes part in ordering; others follow. An empty or
    /// half-fetched ledger is first fetched from the other members, and checked on the way.
    pub(super) async fn take_up(
        config: &Config,
        secret: &SecretKey,
        store: &Store,
        replica: Replica,
        observer: BatchObserver,
    ) -> Result<Self, StartError> {
        let replica = fetched(config, secret, replica).await?;
        let own = replica.roster().member(&config.name);
        if !config.learn && own.is_none_or(|own| !own.is_voting()) {
            return Self::followed(config, secret, replica).await;
        }
        let state = begin_engine(store, &config.data)?;
        let (replica, state) = remembered(config, secret, store, replica, state).await?;
        let sequencer = replica.into_sequencer(state.lock, observer)?;
        let engine = start_engine(&state, &sequencer, store, config, secret).await?;
        Ok(Self {
            sequencer,
            following: None,
            engine: Some(engine),
        })
    }

    async fn followed(
        config: &Config,
        secret: &SecretKey,
        replica: Replica,
    ) -> Result<Self, StartError> {
        let mut following = Following::new(replica, secret.clone(), config.data.clone())?;
        Ok(Self {
            sequencer: following.published().await?,
            following: Some(Box::new(following)),
            engine: None,
        })
    }
}

/// The ledger, once a quorum has vouched for what is held.
async fn fetched(
    config: &Config,
    secret: &SecretKey,
    replica: Replica,
) -> Result<Replica, StartError> {
    if replica.sequencer().is_some() {
        return Ok(replica);
    }
    let following = Following::new(replica, secret.clone(), config.data.clone());
    let mut following = following.map_err(|end| match end {
        // A founder without its ledger, and nobody to have it from.
        FollowEnd::NobodyToFollow => StartError::Ledger(OpenError::Empty),
        end => end.into(),
    })?;
    following.published().await?;
    Ok(following.into_replica()?)
}

/// The same ledger, unless the other members hold a cosignature of this one that its data folder
/// knows nothing of: then the folder is an old backup, or begins again after a loss. Such a node
/// never returns under its old engine id, because its votes are forgotten too. It begins a new
/// life that is bound by what it had signed, and catches up before it takes part in anything.
async fn remembered(
    config: &Config,
    secret: &SecretKey,
    store: &Store,
    replica: Replica,
    state: EngineState,
) -> Result<(Replica, EngineState), StartError> {
    let signed = recall::newest_signed(replica.roster(), &config.name, secret).await?;
    let locked = state.lock.map_or(TreeSize::new(0), |lock| lock.size);
    let Some(signed) = signed.filter(|it| it.size > locked.max(replica.size())) else {
        return Ok((replica, state));
    };
    tracing::warn!(
        size = %signed.size, held = %replica.size(),
        "this node has signed more than its data folder knows: it begins a new life"
    );
    let failed = |error| StartError::Store {
        path: config.data.clone(),
        error,
    };
    let fresh = EngineId::draw().map_err(|_| StartError::NoRandomness)?;
    let lock = SignedLock::of(&signed);
    let state = store.begin_engine_anew(fresh, &lock).map_err(failed)?;
    let mut following = Following::new(replica, secret.clone(), config.data.clone())?;
    following.reach(signed.size).await?;
    Ok((following.into_replica()?, state))
}

fn begin_engine(store: &Store, data: &Path) -> Result<EngineState, StartError> {
    let failed = |error| StartError::Store {
        path: data.to_owned(),
        error,
    };
    let fresh = EngineId::draw().map_err(|_| StartError::NoRandomness)?;
    store.begin_engine(fresh).map_err(failed)
}

/// Starts the engine and gives it to the sequencer. One that votes alone leads before it serves.
async fn start_engine(
    state: &EngineState,
    sequencer: &Sequencer,
    store: &Store,
    config: &Config,
    secret: &SecretKey,
) -> Result<Engine, StartError> {
    let (name, secret) = (config.name.clone(), secret.clone());
    let (ledger, data) = (sequencer.clone(), &config.data);
    let store = store.clone();
    let engine = Engine::start(state, ledger, store, name, secret, data, config.heartbeat).await?;
    sequencer.attach(Arc::new(engine.clone()));
    let snapshot = sequencer.snapshot();
    let mut voting = snapshot.roster().voting_members();
    let is_own = voting.next().is_some_and(|it| it.name == config.name);
    if is_own && voting.next().is_none() {
        let mut leadership = engine.leadership();
        let leads = leadership.wait_for(|it| matches!(it, Leadership::Own { .. }));
        let led = timeout(LEAD_WAIT, leads).await;
        led.map_err(|_| StartError::NotLeading)?
            .map_err(|_| StartError::BrokenOff)?;
    }
    Ok(engine)
}
