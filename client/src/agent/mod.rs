//! The agent: a service on a shop's own machine for its till software, JSON over HTTP.
//!
//! It listens on 127.0.0.1 and nowhere else, for one till key. What it is asked it does by what
//! this library does for the commands; identities come in by bodies and go no further than the
//! commands let them.
//!
//! Whoever can open a connection to the machine is kept out by [`gate`]: the Host header must be the
//! agent's own address, a page's Origin must be listed, and every request shows the pairing token.
//! A request that writes names an Idempotency-Key, and is done once however often it is sent.
//!
//! The counter page is served beside the interface and calls it like any other program.
//!
//! [`gate`]: self::Agent::serve

mod answer;
mod conformance;
mod counter;
mod entries;
mod fingerprint;
mod gate;
mod idempotency;
mod kept_quotes;
mod live;
mod openapi;
mod outbound;
mod page;
mod pairing;
mod problem;
mod request;
mod routes;
mod serving;
mod simulated;

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use self::conformance::Conformance;
pub use self::conformance::{ConformanceAnswer, ScenarioAnswer};
use self::counter::Counter;
pub use self::gate::Handled;
use self::idempotency::Requests;
use self::kept_quotes::KeptQuotes;
use self::live::{Live, LiveParts};
pub use self::openapi::openapi_json;
use self::outbound::Recorder;
use self::pairing::Pairing;
pub use self::problem::{Problem, ProblemCode};
pub use self::simulated::SimulationError;
use self::simulated::Simulator;
use crate::failure::{Failure, FailureKind};
use crate::files::{self, FileError};
use crate::profile::{AGENT_LISTEN, Profile};
use crate::queue::{Queue, QueueError};
use crate::receipts::Receipts;
use crate::system::NoRandomness;

/// Longest body: a card with two contracts and eight items has about 1 KiB.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// Most requests at a time: a shop has a handful of screens.
pub const REQUESTS_AT_ONCE_MAX: usize = 16;
/// Most connections at a time.
pub const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take for the head of a request, and may idle between two.
pub const HEAD_WITHIN: Duration = Duration::from_secs(20);
/// How long a body may take: it comes from the same machine.
pub const BODY_WITHIN: Duration = Duration::from_secs(5);
/// How long a request may take before its caller is told to ask again. What it began goes on.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How often it is tried to send what waits.
pub const RESEND_EVERY: Duration = Duration::from_secs(15);
/// Most origins that may be listed.
pub const ORIGINS_MAX: usize = 16;

/// Who stands behind the counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// The federation of the profile.
    Live,
    /// Nobody: fixed test cards give every answer.
    Simulated {
        /// Where the report of the conformance kit goes, if its scenarios are watched.
        conformance: Option<PathBuf>,
    },
}

/// What an agent is started with.
pub struct AgentParts {
    /// The shop's profile.
    pub profile: Profile,
    /// The address to listen on; port 0 for any.
    pub listen: SocketAddr,
    /// The folder of its token's hash, its requests and kept quotes.
    pub folder: PathBuf,
    /// The folder of the claims that wait.
    pub queue: PathBuf,
    /// The origins of pages that may call it.
    pub origins: Vec<String>,
    /// Who stands behind the counter.
    pub mode: Mode,
    /// Whether to draw a new pairing token, which ends the old one.
    pub new_token: bool,
    /// Told of each request that was handled.
    pub log: Arc<dyn Fn(&Handled) + Send + Sync>,
}

/// Why an agent does not start.
#[derive(Debug, Error)]
pub enum AgentError {
    /// The address is not this machine's alone.
    #[error("listen: an agent listens on 127.0.0.1 and nowhere else")]
    NotLoopback,
    /// The address is taken.
    #[error("listen: the address cannot be bound: {0}")]
    Bind(std::io::ErrorKind),
    /// An origin is not written as browsers send it.
    #[error(
        "origins: each must be http:// or https:// with a host and no path, {ORIGINS_MAX} at most"
    )]
    Origin,
    /// Another agent works in the folder.
    #[error("another agent works in {folder}")]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The file of the token's hash is torn.
    #[error("the file of the pairing token's hash cannot be read: draw a new one with --new-token")]
    TokenHash,
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The queue cannot be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// A token takes fresh random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The simulation cannot be set up.
    #[error("simulation: {0}")]
    Simulation(#[from] SimulationError),
}

impl Failure for AgentError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::NotLoopback | Self::Origin | Self::TokenHash | Self::Simulation(_) => {
                FailureKind::Malformed
            }
            Self::Bind(_) | Self::InUse { .. } => FailureKind::Unavailable,
            Self::File(error) => error.kind(),
            Self::Queue(error) => error.kind(),
            Self::NoRandomness(error) => error.kind(),
        }
    }
}

/// What all requests share.
struct Shop {
    /// What the Host header may be.
    hosts: [String; 2],
    /// The origin of the counter page.
    own_origin: String,
    origins: Vec<String>,
    pairing: Pairing,
    requests: Requests,
    receipts: Receipts,
    counter: Counter,
    conformance: Option<Arc<Conformance>>,
    outbound: Arc<Recorder>,
    places: Arc<Semaphore>,
    log: Arc<dyn Fn(&Handled) + Send + Sync>,
    /// Held for as long as the agent lives.
    _lock: File,
}

/// An agent that has its address and is about to serve.
pub struct Agent {
    listener: TcpListener,
    address: SocketAddr,
    token_file: Option<PathBuf>,
    shop: Arc<Shop>,
}

impl Agent {
    /// Opens the folder and binds the address.
    ///
    /// # Errors
    /// [`AgentError`], see its variants.
    pub async fn bind(parts: AgentParts) -> Result<Self, AgentError> {
        if parts.listen.ip() != AGENT_LISTEN.ip() {
            return Err(AgentError::NotLoopback);
        }
        if parts.origins.len() > ORIGINS_MAX || !parts.origins.iter().all(|it| is_origin(it)) {
            return Err(AgentError::Origin);
        }
        files::create_folder(&parts.folder)?;
        let lock = lock(&parts.folder)?;
        let (pairing, drawn) = Pairing::open(&parts.folder, parts.new_token)?;
        // What a simulation leaves is never taken for a shop's.
        let own = match &parts.mode {
            Mode::Live => parts.folder.clone(),
            Mode::Simulated { .. } => parts.folder.join("simulated"),
        };
        let requests = Requests::open(&own.join("requests"))?;
        let quotes = KeptQuotes::open(&own.join("quotes"))?;
        let conformance = match &parts.mode {
            Mode::Simulated {
                conformance: Some(report),
            } => Some(Arc::new(Conformance::new(report.clone())?)),
            _ => None,
        };
        let outbound = Arc::<Recorder>::default();
        let (receipts, counter) = match parts.mode {
            Mode::Live => live(parts.profile, &parts.queue, &requests, quotes, &outbound)?,
            Mode::Simulated { .. } => simulated(&own, quotes, conformance.clone())?,
        };
        let listener = TcpListener::bind(parts.listen).await;
        let listener = listener.map_err(|error| AgentError::Bind(error.kind()))?;
        let address = listener.local_addr();
        let address = address.map_err(|error| AgentError::Bind(error.kind()))?;
        let port = address.port();
        let shop = Shop {
            hosts: [format!("127.0.0.1:{port}"), format!("localhost:{port}")],
            own_origin: format!("http://127.0.0.1:{port}"),
            origins: parts.origins,
            pairing,
            requests,
            receipts,
            counter,
            conformance,
            outbound,
            places: Arc::new(Semaphore::new(REQUESTS_AT_ONCE_MAX)),
            log: parts.log,
            _lock: lock,
        };
        Ok(Self {
            listener,
            address,
            token_file: drawn.or_else(|| Pairing::left_in(&parts.folder)),
            shop: Arc::new(shop),
        })
    }

    /// Where it is reached.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The file with the pairing token, while nobody has taken it away.
    #[must_use]
    pub fn token_file(&self) -> Option<&Path> {
        self.token_file.as_deref()
    }
}

/// The counter of a shop, and where its receipts are.
fn live(
    profile: Profile,
    queue: &Path,
    requests: &Requests,
    quotes: KeptQuotes,
    outbound: &Arc<Recorder>,
) -> Result<(Receipts, Counter), AgentError> {
    let receipts = Receipts::new(profile.receipts_folder());
    let live = Live::new(LiveParts {
        profile,
        requests: requests.clone(),
        quotes,
        queue: Queue::open(queue)?,
        outbound: outbound.clone(),
    });
    Ok((receipts, Counter::Live(Box::new(live))))
}

/// A counter with nobody behind it, and where its receipts are.
fn simulated(
    folder: &Path,
    quotes: KeptQuotes,
    watching: Option<Arc<Conformance>>,
) -> Result<(Receipts, Counter), AgentError> {
    let receipts = Receipts::new(&folder.join("receipts"));
    let simulator = Simulator::open(folder, quotes, receipts.clone(), watching)?;
    Ok((receipts, Counter::Simulated(Box::new(simulator))))
}

/// Whether a text is an origin as browsers send it (RFC 6454, 6.2).
fn is_origin(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-:[]".contains(&byte);
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(allowed))
}

/// Keeps a second agent out of the folder.
fn lock(folder: &Path) -> Result<File, AgentError> {
    let path = folder.join("lock");
    let mut options = File::options();
    options.create(true).truncate(false).write(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path);
    let file = file.map_err(|error| files::io_error(&path, &error))?;
    let folder = folder.to_owned();
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(AgentError::InUse { folder }),
    }
}

#[cfg(test)]
mod tests;
