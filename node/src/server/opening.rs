//! From the node's files to a ledger that can be served.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use proto::ids::Origin;
#[cfg(test)]
use proto::ids::TreeSize;
use proto::roster::{Roster, SignedRoster};
use proto::signing::SecretKey;
use tokio::task::spawn_blocking;

use super::StartError;
use super::keys::Keys;
use super::taking_up::Ledger;
use crate::ceremony;
use crate::clock;
use crate::config::Config;
use crate::cosigning::Cosigner;
use crate::coverage::{Book, Watched};
use crate::engine::Engine;
#[cfg(test)]
use crate::engine::EngineId;
use crate::evaluator::Evaluator;
use crate::follow::{Following, evidence};
use crate::metrics::Metrics;
use crate::protection::Protection;
use crate::quota::Quotas;
use crate::secret_file;
use crate::sequencer::{OpenError, Replica, Sequencer};
use crate::store::{DISK_WATERMARK_BYTES, Store, StoreError, StoreOptions, SyncMode};
use crate::witness::Witness;

/// What is opened from the node's files, before anything is asked of others or bound.
pub(super) struct Opened {
    config: Config,
    protection: Protection,
    keys: Keys,
    store: Store,
    quotas: Arc<Quotas>,
    first: Roster,
    replica: Replica,
    metrics: Arc<Metrics>,
}

/// Everything that serving takes.
pub(super) struct Ready {
    pub(super) origin: Origin,
    pub(super) secret: SecretKey,
    /// None at a member that holds no share.
    pub(super) evaluator: Option<Arc<Evaluator>>,
    pub(super) store: Store,
    pub(super) quotas: Arc<Quotas>,
    pub(super) sequencer: Sequencer,
    /// What a payer quotes from, and how its files are watched.
    pub(super) book: Option<(Book, Watched)>,
    /// What goes on following while the node serves.
    pub(super) following: Option<Box<Following>>,
    /// What cosigns at a node that only follows.
    pub(super) cosigner: Option<Box<Cosigner>>,
    pub(super) engine: Option<Engine>,
}

impl Opened {
    /// Blocks: recovering a ledger of a million entries takes seconds.
    pub(super) fn open(config: &Config, metrics: Arc<Metrics>) -> Result<Self, StartError> {
        let keys = Keys::read(&config.key)?;
        let protection = config.protection().map_err(StartError::Protection)?;
        let first = read_roster(&config.roster)?;
        refuse_evidence(&config.data)?;
        let store = open_store(config)?;
        let observed = metrics.clone();
        store.observe_syncs(Box::new(move |took| observed.synced(took)));
        let quotas = open_quotas(config)?.into();
        let (keys, replica) = replica(config, keys, &store, &first)?;
        Ok(Self {
            config: config.clone(),
            protection,
            keys,
            store,
            quotas,
            first,
            replica,
            metrics,
        })
    }

    /// The largest size of which the data folder knows that this node has signed it.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> TreeSize {
        let lock = EngineId::draw().map(|fresh| self.store.begin_engine(fresh));
        let lock = lock.ok().and_then(Result::ok).and_then(|state| state.lock);
        let locked = lock.map_or(TreeSize::new(0), |lock| lock.size);
        locked.max(self.replica.size())
    }

    /// Waits until there is a ledger to serve, which a new member first has to fetch, and checks
    /// that everything belongs together.
    pub(super) async fn ready(self) -> Result<Ready, StartError> {
        let Ledger {
            sequencer,
            following,
            cosigner,
            engine,
        } = Ledger::take_up(
            &self.config,
            &self.keys,
            &self.store,
            self.replica,
            &self.metrics,
        )
        .await?;
        let origin = self.first.origin().clone();
        let opened = match evaluator(&self.config, &self.protection, &origin, &sequencer) {
            Ok(evaluator) => book(&self.config, &sequencer)
                .await
                .map(|book| (evaluator, book)),
            Err(error) => Err(error),
        };
        match opened {
            Ok((evaluator, book)) => Ok(Ready {
                book,
                origin,
                secret: self.keys.secret,
                evaluator: evaluator.map(Arc::new),
                store: self.store,
                quotas: self.quotas,
                sequencer,
                following,
                cosigner,
                engine,
            }),
            Err(error) => {
                sequencer.stop();
                if let Some(engine) = engine {
                    engine.stop().await;
                }
                Err(error)
            }
        }
    }
}

/// The ledger on the disk. The key that was to take over does, if the ledger has the roster that
/// lists it.
fn replica(
    config: &Config,
    keys: Keys,
    store: &Store,
    first: &Roster,
) -> Result<(Keys, Replica), StartError> {
    let witness = |keys: &Keys| {
        let witness = Witness::new(config.name.clone(), keys.secret.clone());
        witness.with_next(keys.next_key())
    };
    match Replica::open(store, witness(&keys), first.clone()) {
        Err(OpenError::KeyReplaced(_)) => {
            let keys = keys.take_over()?;
            let replica = Replica::open(store, witness(&keys), first.clone())?;
            Ok((keys, replica))
        }
        opened => Ok((keys, opened?)),
    }
}

/// The ledger must be the roster file's, and the shares those of the roster in force.
fn evaluator(
    config: &Config,
    protection: &Protection,
    origin: &Origin,
    sequencer: &Sequencer,
) -> Result<Option<Evaluator>, StartError> {
    let snapshot = sequencer.snapshot();
    let roster = snapshot.roster();
    if roster.origin() != origin {
        let (ledger, roster) = (roster.origin().clone(), origin.clone());
        return Err(StartError::OtherLedger { ledger, roster });
    }
    // Who has joined gets its shares in the next key ceremony.
    let Some(published) = roster.share(&config.name) else {
        return Ok(None);
    };
    ceremony::share_in_force(config, protection, published).map(Some)
}

/// What this member quotes from, if it is a payer that does.
async fn book(
    config: &Config,
    sequencer: &Sequencer,
) -> Result<Option<(Book, Watched)>, StartError> {
    let Some(sources) = config.coverage.clone() else {
        return Ok(None);
    };
    let roster = sequencer.snapshot().roster().clone();
    let payer = roster
        .member(&config.name)
        .and_then(|own| own.payer.clone());
    let payer = payer.ok_or(StartError::NotAPayer {
        member: config.name.clone(),
    })?;
    let read = spawn_blocking(move || Watched::open(sources, &roster, payer)).await;
    Ok(Some(read.map_err(|_| StartError::BrokenOff)??))
}

/// The ledger in a data folder, or the place for one that is to be fetched, and the node's key.
/// Blocks.
pub(crate) fn open_data(config: &Config) -> Result<(Replica, SecretKey), StartError> {
    let secret = read_key(&config.key)?;
    let first = read_roster(&config.roster)?;
    refuse_evidence(&config.data)?;
    let store = open_store(config)?;
    let witness = Witness::new(config.name.clone(), secret.clone());
    Ok((Replica::open(&store, witness, first)?, secret))
}

/// Reads a node's key.
pub(crate) fn read_key(path: &Path) -> Result<SecretKey, StartError> {
    let path = path.to_owned();
    match secret_file::read(&path) {
        Ok(pem) => SecretKey::from_pem(&pem).map_err(|error| StartError::Key { path, error }),
        Err(error) => Err(StartError::SecretFile { path, error }),
    }
}

/// The federation's first roster, once its signatures are checked.
pub(crate) fn read_roster(path: &Path) -> Result<Roster, StartError> {
    let path = path.to_owned();
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) => {
            return Err(StartError::RosterFile {
                path,
                kind: error.kind(),
            });
        }
    };
    let signed = match SignedRoster::parse(&bytes) {
        Ok(signed) => signed,
        Err(error) => {
            return Err(StartError::Roster {
                path,
                error: Box::new(error),
            });
        }
    };
    let not_genesis = |error| StartError::NotGenesis {
        path,
        error: Box::new(error),
    };
    signed.verify_genesis().map_err(not_genesis)
}

fn open_store(config: &Config) -> Result<Store, StartError> {
    let sync = match config.sync_delay {
        Duration::ZERO => SyncMode::Durable,
        delay => SyncMode::Delayed(delay),
    };
    let options = StoreOptions {
        sync,
        cache_bytes: config.cache_bytes,
        disk_watermark_bytes: config.disk_watermark_bytes.unwrap_or(DISK_WATERMARK_BYTES),
    };
    let path = config.data.clone();
    Store::open(&config.data, options).map_err(|error| StartError::Store { path, error })
}

fn open_quotas(config: &Config) -> Result<Quotas, StartError> {
    let path = config.data.join("quota");
    Quotas::open(&path, clock::now()).map_err(|error| StartError::Quotas {
        path,
        kind: error.kind(),
    })
}

/// What contradicts the ledger is looked at before anybody is answered from it again.
fn refuse_evidence(data: &Path) -> Result<(), StartError> {
    match evidence::first(data) {
        Ok(None) => Ok(()),
        Ok(Some(path)) => Err(StartError::Evidence { path }),
        Err(error) => Err(StartError::Store {
            path: data.join(evidence::EVIDENCE_FOLDER),
            error: StoreError::Io(error),
        }),
    }
}
