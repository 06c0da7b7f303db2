//! From a ledger on the disk to one that goes on: ordered with others, or followed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proto::ids::TreeSize;
use proto::signing::SecretKey;
use tokio::time::timeout;

use super::keys::Keys;
use super::{LEAD_WAIT, StartError};
use crate::config::Config;
use crate::cosigning::Cosigner;
use crate::engine::{Engine, EngineId, Own, unapplied};
use crate::follow::{FollowEnd, Following};
use crate::metrics::Metrics;
use crate::order::{Leadership, Orderer as _};
use crate::recall;
use crate::sequencer::{OpenError, Replica, Sequencer, Unapplied};
use crate::standing;
use crate::store::{EngineState, SignedLock, Store};

/// A ledger that goes on.
pub(super) struct Ledger {
    pub(super) sequencer: Sequencer,
    /// What goes on following while the node serves.
    pub(super) following: Option<Box<Following>>,
    /// What cosigns at a node that only follows.
    pub(super) cosigner: Option<Box<Cosigner>>,
    /// The engine, at a node that takes part in ordering.
    pub(super) engine: Option<Engine>,
}

impl Ledger {
    /// A member that votes, or is about to, takes part in ordering; others follow. An empty or
    /// half-fetched ledger is first fetched from the other members, and checked on the way.
    pub(super) async fn take_up(
        config: &Config,
        keys: &Keys,
        store: &Store,
        replica: Replica,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let secret = &keys.secret;
        let replica = not_replaced(config, keys, replica).await?;
        let replica = fetched(config, secret, replica).await?;
        let own = replica.roster().member(&config.name);
        if !config.learn && own.is_none_or(|own| !own.is_voting()) {
            let following = Following::new(replica, secret.clone(), config.data.clone())?;
            let following = following.counting(metrics.lies().clone());
            return Self::followed(config, store, following).await;
        }
        let (state, unapplied) = begin_engine(store, &config.data)?;
        let (replica, state) = remembered(config, secret, store, replica, state).await?;
        let counted = metrics.clone();
        let observer = Box::new(move |report: &_| counted.batch_committed(report));
        let unapplied = Unapplied {
            lock: state.lock,
            ..unapplied
        };
        let sequencer = replica.into_sequencer(unapplied, observer)?;
        let own = Own {
            data: config.data.clone(),
            lies: metrics.lies().clone(),
            name: config.name.clone(),
            secret: keys.secret.clone(),
            next: keys.next_key(),
        };
        let engine = start_engine(&state, &sequencer, store, own, config.heartbeat).await?;
        Ok(Self {
            sequencer,
            following: None,
            cosigner: None,
            engine: Some(engine),
        })
    }

    /// What a member that only follows signs is bound by what it signed before, as any other's is.
    async fn followed(
        config: &Config,
        store: &Store,
        mut following: Following,
    ) -> Result<Self, StartError> {
        let sequencer = following.published().await?;
        let (state, _) = begin_engine(store, &config.data)?;
        Ok(Self {
            sequencer,
            cosigner: following.cosigner(state.lock).map(Box::new),
            following: Some(Box::new(following)),
            engine: None,
        })
    }
}

/// The same ledger, unless the key that was to take over has done so while this node was away. Then
/// nobody hears the old one any more: what is missing is fetched with the new one, and the next
/// start puts it in the old one's place.
async fn not_replaced(
    config: &Config,
    keys: &Keys,
    replica: Replica,
) -> Result<Replica, StartError> {
    let Some(next) = keys.next.as_ref().filter(|_| replica.sequencer().is_some()) else {
        return Ok(replica);
    };
    let newer = standing::in_force(replica.roster(), next).await?;
    if !newer.is_some_and(|newer| keys.is_replaced_in(&newer)) {
        return Ok(replica);
    }
    let mut following = Following::new(replica, next.clone(), config.data.clone())?;
    following.reach_key(&next.public()).await?;
    Err(StartError::KeyReplaced)
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
    // Of the members of the first roster some may have left, or be elsewhere.
    let known = standing::in_force(replica.roster(), secret).await?;
    let (secret, data) = (secret.clone(), config.data.clone());
    let following = Following::from(replica, secret, data, known.as_ref());
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

/// What the engine has on the disk. Its log says more of what was signed than the lock there.
fn begin_engine(store: &Store, data: &Path) -> Result<(EngineState, Unapplied), StartError> {
    let failed = |error| StartError::Store {
        path: data.to_owned(),
        error,
    };
    let fresh = EngineId::draw().map_err(|_| StartError::NoRandomness)?;
    let mut state = store.begin_engine(fresh).map_err(failed)?;
    let unapplied = unapplied(store, &state).map_err(failed)?;
    state.lock = unapplied.lock;
    Ok((state, unapplied))
}

/// Starts the engine and gives it to the sequencer. One that votes alone leads before it serves.
async fn start_engine(
    state: &EngineState,
    sequencer: &Sequencer,
    store: &Store,
    own: Own,
    heartbeat: Duration,
) -> Result<Engine, StartError> {
    let (ledger, store, name) = (sequencer.clone(), store.clone(), own.name.clone());
    let engine = Engine::start(state, ledger, store, own, heartbeat).await?;
    sequencer.attach(Arc::new(engine.clone()));
    let snapshot = sequencer.snapshot();
    let mut voting = snapshot.roster().voting_members();
    let is_own = voting.next().is_some_and(|it| it.name == name);
    if is_own && voting.next().is_none() {
        let mut leadership = engine.leadership();
        let leads = leadership.wait_for(|it| matches!(it, Leadership::Own { .. }));
        let led = timeout(LEAD_WAIT, leads).await;
        led.map_err(|_| StartError::NotLeading)?
            .map_err(|_| StartError::BrokenOff)?;
    }
    Ok(engine)
}
