//! One running node: recovered, bound, serving; and its orderly end.
//!
//! Start checks before it serves: keys, roster and store must fit each other, and the ledger's
//! roots are recomputed before anything is signed. Stop first stops accepting, lets what is in
//! flight finish, and ends the sequencer last, because it answers what is in flight.

mod health;
mod keys;
mod opening;
#[cfg(test)]
mod simulated;
mod taking_up;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proto::ids::{MemberName, Origin, TreeSize};
use proto::roster::{SignedRosterError, SuccessionError};
use proto::signing::{SecretKey, SigningError};
use proto::wire::DESCRIPTORS;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

use self::opening::{Opened, Ready};
pub(crate) use self::opening::{open_data, read_key, read_roster};
#[cfg(test)]
pub(crate) use self::simulated::SimulatedNode;
use crate::access::Recorder;
use crate::access::alarm::Alarms;
use crate::admission::admit;
use crate::clock;
use crate::config::Config;
use crate::cosigning;
use crate::coverage::{self, BookError, Quoter, reload};
use crate::engine::{Engine, EngineError};
use crate::evaluator::EvaluatorKeyError;
use crate::follow::{FollowEnd, Upstream};
use crate::head_log::{self, HeadLog};
use crate::http::{PageListener, Pages};
use crate::metrics::Metrics;
use crate::order::Orderer;
use crate::overview::pace::{self, Pace};
use crate::overview::{Watch, Watched};
use crate::protection::ProtectionError;
use crate::recall;
use crate::secret_file::SecretFileError;
use crate::sequencer::{Condition, OpenError, Sequencer, StopReason};
use crate::service::{Services, limited_server};
use crate::standing;
use crate::store::{Store, StoreError};
use crate::tls::{self, IsKnown, PeerStream, TlsError, Transport};

/// How long a node that votes alone may take to lead: its log is on its own disk.
const LEAD_WAIT: Duration = Duration::from_secs(10);

/// How often a running node looks whether its key has been replaced.
const KEY_LOOK: Duration = Duration::from_millis(200);

/// How long calls in flight get to finish: more than any batch takes, less than the ten seconds
/// after which service managers lose patience.
pub const DRAIN_MAX: Duration = Duration::from_secs(8);

/// Why a node does not start. Nothing is then served.
#[derive(Debug, Error)]
pub enum StartError {
    /// A file with a secret cannot be used.
    #[error("{path}: {error}", path = path.display())]
    SecretFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: SecretFileError,
    },
    /// The node's key is not one.
    #[error("{path}: {error}", path = path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: SigningError,
    },
    /// The evaluator key is not one.
    #[error("{path}: {error}", path = path.display())]
    EvaluatorKey {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: EvaluatorKeyError,
    },
    /// What the evaluator key is sealed with cannot be used, or does not open it.
    #[error("evaluator key: {0}")]
    Protection(ProtectionError),
    /// The roster file cannot be read.
    #[error("{path}: {kind}", path = path.display())]
    RosterFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// The roster file is not a signed roster.
    #[error("{path}: {error}", path = path.display())]
    Roster {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: Box<SignedRosterError>,
    },
    /// The roster file is not a first roster that its voting members signed.
    #[error("{path}: {error}", path = path.display())]
    NotGenesis {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: Box<SuccessionError>,
    },
    /// The ledger on disk belongs to another federation than the roster file.
    #[error("the ledger is of {ledger}, the roster file of {roster}")]
    OtherLedger {
        /// The origin of the ledger.
        ledger: Origin,
        /// The origin in the roster file.
        roster: Origin,
    },
    /// The shares in the evaluator key are not those that the roster publishes for this member.
    #[error("the evaluator key does not hold the shares of {member} in the roster")]
    OtherShares {
        /// This node's member name.
        member: MemberName,
    },
    /// The node holds evidence against its federation, at which an operator has to look.
    #[error("there is evidence against the federation's ledger in {path}", path = path.display())]
    Evidence {
        /// The file.
        path: PathBuf,
    },
    /// There is nothing to follow, or it contradicts itself.
    #[error(transparent)]
    Follow(#[from] FollowEnd),
    /// What a payer quotes from cannot be used.
    #[error(transparent)]
    Coverage(#[from] BookError),
    /// There are contracts, and this member pays nothing.
    #[error("{member} has no payer number in the roster, and so no contracts")]
    NotAPayer {
        /// This node's member name.
        member: MemberName,
    },
    /// The store cannot be opened.
    #[error("{path}: {error}", path = path.display())]
    Store {
        /// The folder.
        path: PathBuf,
        /// Why not.
        error: StoreError,
    },
    /// What the keys have spent cannot be read.
    #[error("{path}: {kind}", path = path.display())]
    Quotas {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// The ledger on disk is not taken up.
    #[error(transparent)]
    Ledger(#[from] OpenError),
    /// The ordering engine does not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The operating system has no randomness.
    #[error("the operating system has no randomness")]
    NoRandomness,
    /// This node does not lead a federation in which nobody else votes.
    #[error("the ordering engine does not lead after {LEAD_WAIT:?}")]
    NotLeading,
    /// The TLS side cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address cannot be bound.
    #[error("{address} cannot be bound: {kind}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// The reflection service refuses the schema.
    #[error("the schema cannot be served by reflection")]
    Reflection,
    /// The roster in force lists this member with the key that was to take over, and now does.
    #[error("the new key of this member is in force: start the node again")]
    KeyReplaced,
    /// The start was broken off.
    #[error("the start was broken off")]
    BrokenOff,
}

impl StartError {
    /// Whether the ledger was written under another key of this member.
    #[must_use]
    pub const fn is_of_another_key(&self) -> bool {
        matches!(
            self,
            Self::Ledger(OpenError::NotAMember(_) | OpenError::KeyReplaced(_))
        )
    }
}

/// Where a node is reached, with the ports that the system chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, schemars::JsonSchema)]
pub struct Addresses {
    /// gRPC over TLS.
    pub grpc: SocketAddr,
    /// Plain HTTP pages.
    pub http: SocketAddr,
    /// Reflection and health, on loopback.
    pub admin: SocketAddr,
}

/// A node that serves until it is stopped. Dropped without that, it ends with its runtime.
#[derive(Debug)]
pub struct RunningNode {
    addresses: Addresses,
    origin: Origin,
    sequencer: Sequencer,
    engine: Option<Engine>,
    store: Store,
    stop: watch::Sender<bool>,
    servers: JoinSet<()>,
}

impl RunningNode {
    /// Checks the node's files against each other, recovers the ledger, binds and serves.
    ///
    /// # Errors
    /// [`StartError`]; nothing is then served.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new());
        let (observed, files) = (metrics.clone(), config.clone());
        let opened = spawn_blocking(move || Opened::open(&files, observed)).await;
        let opened = opened.map_err(|_| StartError::BrokenOff)??;
        let ready = opened.ready().await?;
        let (sequencer, engine) = (ready.sequencer.clone(), ready.engine.clone());
        let served = Self::serve(ready, &config, &metrics).await;
        if served.is_err() {
            end(sequencer, engine.as_ref()).await;
        }
        served
    }

    async fn serve(
        ready: Ready,
        config: &Config,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, StartError> {
        let bound = Bound::bind(config).await?;
        let (addresses, origin) = (bound.addresses, ready.origin.clone());
        let (sequencer, store) = (ready.sequencer.clone(), ready.store.clone());
        let engine = ready.engine.clone();
        let (stop, stopping) = watch::channel(false);
        let (watched, name) = (sequencer.clone(), config.name.clone());
        let watch = standing::watch(watched, name, ready.secret.clone(), told(&stopping));
        let mut servers = serve(ready, bound, config, metrics, &stopping)?;
        servers.spawn(watch);
        tracing::info!(
            name = %config.name, %origin, size = %sequencer.snapshot().size(),
            grpc = %addresses.grpc, http = %addresses.http, admin = %addresses.admin,
            "serving"
        );
        Ok(Self {
            addresses,
            origin,
            sequencer,
            engine,
            store,
            stop,
            servers,
        })
    }

    /// Where it is reached.
    #[must_use]
    pub const fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The ledger it serves.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// How many entries the ledger has.
    #[must_use]
    pub fn size(&self) -> TreeSize {
        self.sequencer.snapshot().size()
    }

    /// The way to its ledger.
    #[must_use]
    pub const fn sequencer(&self) -> &Sequencer {
        &self.sequencer
    }

    /// Completes once the roster in force lists this member with another key than the node runs
    /// with: the node is to be stopped and started again.
    pub async fn key_replaced(&self) {
        while self.sequencer.condition() != Condition::Stopped(StopReason::KeyReplaced) {
            tokio::time::sleep(KEY_LOOK).await;
        }
    }

    /// How many syncs its store has made.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.store.syncs()
    }

    /// Stops accepting, lets calls in flight finish for at most [`DRAIN_MAX`], then ends the
    /// sequencer. Every entry that was acknowledged is durable long before.
    pub async fn stop(mut self) {
        tracing::info!("stopping");
        if let Some(engine) = &self.engine {
            engine.hand_over().await;
        }
        self.stop.send_replace(true);
        let drained = timeout(DRAIN_MAX, async {
            while self.servers.join_next().await.is_some() {}
        });
        if drained.await.is_err() {
            tracing::warn!("calls in flight were broken off");
            self.servers.shutdown().await;
        }
        end(self.sequencer.clone(), self.engine.as_ref()).await;
        tracing::info!(size = %self.size(), "stopped");
    }
}

/// Ends what writes: the sequencer's thread with what it has, then the engine.
async fn end(sequencer: Sequencer, engine: Option<&Engine>) {
    let _ = spawn_blocking(move || sequencer.stop()).await;
    if let Some(engine) = engine {
        engine.stop().await;
    }
}

/// The three listeners, bound.
struct Bound {
    grpc: TcpListener,
    http: TcpListener,
    admin: TcpListener,
    addresses: Addresses,
}

impl Bound {
    async fn bind(config: &Config) -> Result<Self, StartError> {
        let (grpc, grpc_address) = bind(config.grpc).await?;
        let (http, http_address) = bind(config.http).await?;
        let (admin, admin_address) = bind(config.admin).await?;
        let addresses = Addresses {
            grpc: grpc_address,
            http: http_address,
            admin: admin_address,
        };
        Ok(Self {
            grpc,
            http,
            admin,
            addresses,
        })
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error: io::Error| StartError::Bind {
        address,
        kind: error.kind(),
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn serve(
    ready: Ready,
    bound: Bound,
    config: &Config,
    metrics: &Arc<Metrics>,
    stopping: &watch::Receiver<bool>,
) -> Result<JoinSet<()>, StartError> {
    let sequencer = ready.sequencer.clone();
    let watched = watched(&ready, config, metrics);
    let head_log = head_log(&ready, config);
    let pace = pace::watch(watched.pace.clone(), sequencer.clone(), told(stopping));
    let (reporter, health) = health::service();
    let incoming = |tls, is_known| tls::accept(bound.grpc, tls, is_known, metrics.clone());
    let checked = health.clone();
    let mut servers = serve_grpc(ready, incoming, checked, config, metrics, stopping)?;

    let admin = limited_server()
        .add_service(reflection()?)
        .add_service(health);
    let incoming = TcpIncoming::from(bound.admin);
    let admin = admin.serve_with_incoming_shutdown(incoming, told(stopping));
    servers.spawn(ended("admin", admin));

    servers.spawn(pace);
    if let Some(log) = head_log.clone() {
        servers.spawn(head_log::keep(log, sequencer.clone(), told(stopping)));
    }
    let pages = pages(watched, head_log, config).router();
    let pages = axum::serve(PageListener::new(bound.http), pages);
    let pages = pages.with_graceful_shutdown(told(stopping));
    servers.spawn(ended("http", pages.into_future()));

    servers.spawn(health::report(reporter, sequencer, told(stopping)));
    Ok(servers)
}

/// The services over TLS, and all that a node does by itself.
fn serve_grpc<T: Transport>(
    ready: Ready,
    incoming: impl FnOnce(TlsAcceptor, IsKnown) -> ReceiverStream<io::Result<PeerStream<T>>>,
    health: HealthServer<HealthService>,
    config: &Config,
    metrics: &Arc<Metrics>,
    stopping: &watch::Receiver<bool>,
) -> Result<JoinSet<()>, StartError> {
    let Ready {
        secret,
        evaluator,
        quotas,
        sequencer,
        following,
        cosigner,
        engine,
        book,
        ..
    } = ready;
    let acceptor = TlsAcceptor::from(tls::server_config(&secret)?);
    let known = sequencer.clone();
    let is_known = Arc::new(move |key: &_| admit(&known.snapshot(), key, clock::now()).is_ok());
    let upstream = upstream(&sequencer, &secret, engine.as_ref());
    let mut servers = JoinSet::new();
    let quoter = book.map(|(book, watched)| {
        metrics.contracts_loaded(book.contracts());
        let quoter = Quoter::new(book, sequencer.clone(), upstream.clone(), secret.clone());
        keep_reading(quoter, watched, metrics, &mut servers, stopping)
    });
    let services = Services {
        sequencer: sequencer.clone(),
        quotas,
        alarms: Arc::new(Alarms::new(metrics.clone())),
        recorder: Recorder::start(sequencer.clone(), upstream.clone(), secret.clone()),
        engine: engine.clone(),
        evaluator,
        upstream,
        quoter,
        fresh_for: config.fresh_for,
        metrics: metrics.clone(),
        stopping: stopping.clone(),
    };

    let incoming = incoming(acceptor, is_known);
    let routes = services.routes();
    let grpc = limited_server().layer(services.gate()).add_routes(routes);
    let grpc = grpc.add_service(health);
    let grpc = grpc.serve_with_incoming_shutdown(incoming, told(stopping));
    servers.spawn(ended("grpc", grpc));
    if let Some(following) = following {
        servers.spawn(following.run(told(stopping)));
    }
    // Each hears what this node had signed before it signs anything more.
    if engine.is_some() {
        let (asking, own) = (sequencer.clone(), secret.clone());
        servers.spawn(recall::keep_asking(asking, own, told(stopping)));
    } else if let Some(cosigner) = cosigner {
        servers.spawn(cosigner.run(told(stopping)));
    }
    servers.spawn(cosigning::carry(sequencer, secret, told(stopping)));
    Ok(servers)
}

fn upstream(sequencer: &Sequencer, secret: &SecretKey, engine: Option<&Engine>) -> Upstream {
    let leadership = engine.map(Orderer::leadership);
    Upstream::new(sequencer.clone(), secret.clone(), leadership)
}

/// Has the payer's files read again whenever they change.
fn keep_reading(
    quoter: Quoter,
    watched: coverage::Watched,
    metrics: &Arc<Metrics>,
    servers: &mut JoinSet<()>,
    stopping: &watch::Receiver<bool>,
) -> Arc<Quoter> {
    let quoter = Arc::new(quoter);
    let (kept, counted) = (quoter.clone(), metrics.clone());
    servers.spawn(reload(kept, watched, counted, told(stopping)));
    quoter
}

/// The schema, for whoever asks what this node speaks.
fn reflection() -> Result<ServerReflectionServer<impl ServerReflection>, StartError> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|_| StartError::Reflection)
}

/// What the operator's page is made from.
fn watched(ready: &Ready, config: &Config, metrics: &Arc<Metrics>) -> Watched {
    let sequencer = ready.sequencer.clone();
    Watched {
        pace: Arc::new(Pace::new(
            clock::now().seconds(),
            sequencer.snapshot().size(),
        )),
        sequencer,
        engine: ready.engine.clone(),
        store: ready.store.clone(),
        metrics: metrics.clone(),
        data: config.data.clone(),
        name: config.name.clone(),
        has_share: ready.evaluator.is_some(),
        fresh_for: config.fresh_for,
    }
}

/// The head log of a member that takes part in ordering. Without it a node does all else.
fn head_log(ready: &Ready, config: &Config) -> Option<Arc<HeadLog>> {
    ready.engine.as_ref()?;
    let (store, secret) = (ready.store.clone(), ready.secret.clone());
    match HeadLog::open(store, &ready.origin, &config.name, secret) {
        Ok(log) => Some(Arc::new(log)),
        Err(error) => {
            tracing::error!(%error, "there is no head log until the node is started again");
            None
        }
    }
}

/// What plain HTTP serves.
fn pages(watched: Watched, head_log: Option<Arc<HeadLog>>, config: &Config) -> Pages {
    Pages {
        sequencer: watched.sequencer.clone(),
        store: watched.store.clone(),
        data: config.data.clone(),
        catalogues: config.catalogues.clone(),
        fresh_for: config.fresh_for,
        metrics: watched.metrics.clone(),
        watch: Arc::new(Watch::new(watched)),
        head_log,
    }
}

/// Completes when the node is told to stop, or is dropped.
fn told(stopping: &watch::Receiver<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut stopping = stopping.clone();
    async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    }
}

/// Runs a server to its end, which is a fault unless the node was told to stop.
async fn ended<E: std::fmt::Display>(
    listener: &'static str,
    server: impl Future<Output = Result<(), E>>,
) {
    if let Err(error) = server.await {
        tracing::error!(listener, %error, "a listener ended");
    }
}

#[cfg(test)]
mod tests;
