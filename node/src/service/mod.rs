//! The gRPC services of `vitrail.v1`, and the gate that every call goes through.

mod access;
mod claims;
mod engine;
mod evaluator;
mod gate;
mod lane;
mod ledger;
mod log;
mod news;
mod open;
mod quote;
mod replication;
mod status;

use std::sync::Arc;
use std::time::Duration;

use proto::attestation::GrantState;
use proto::signing::PublicKey;
use proto::wire::v1::access_service_server::AccessServiceServer;
use proto::wire::v1::claim_service_server::ClaimServiceServer;
use proto::wire::v1::engine_service_server::EngineServiceServer;
use proto::wire::v1::evaluator_service_server::EvaluatorServiceServer;
use proto::wire::v1::ledger_service_server::LedgerServiceServer;
use proto::wire::v1::log_service_server::LogServiceServer;
use proto::wire::v1::quote_service_server::QuoteServiceServer;
use proto::wire::v1::replication_service_server::ReplicationServiceServer;
use tokio::sync::watch;
use tonic::Request;
use tonic::service::Routes;
use tonic::transport::Server;

pub use self::gate::{Gate, GateLayer};
use self::lane::Lane;
pub use self::news::NEWS_WAIT;
pub use self::status::{CallError, DEADLINE_MAX, ERROR_DOMAIN, NOT_LEADING};
use crate::access::Recorder;
use crate::access::alarm::{Alarms, Reading};
use crate::admission::Method;
use crate::clock;
use crate::coverage::Quoter;
use crate::evaluator::Evaluator;
use crate::follow::Upstream;
use crate::metrics::Metrics;
use crate::quota::Quotas;
use crate::sequencer::Sequencer;
use crate::tls::PeerKey;

/// Longest request: the longest entry with its payload, or a thousand blinded elements, fit.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Longest message of an engine: a batch of one MiB, and a margin for what is one record over.
pub const ENGINE_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most calls at a time on one connection. A till makes a handful, an insurer's import or a load
/// generator some hundred; without a limit one connection may hold thousands unfinished.
pub const STREAMS_MAX: u32 = 256;
/// Longest list of request headers: ours have a few hundred bytes.
const HEADER_BYTES_MAX: u32 = 8 * 1024;
/// Silence after which a peer is asked over HTTP/2 whether it is still there.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
/// How long it has to answer.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// What the services share.
#[derive(Debug, Clone)]
pub struct Services {
    /// The ledger.
    pub sequencer: Sequencer,
    /// The shares of the joint keys, at a member that holds any.
    pub evaluator: Option<Arc<Evaluator>>,
    /// Who watches for reading that tills do not do.
    pub alarms: Arc<Alarms>,
    /// What each key has spent here.
    pub quotas: Arc<Quotas>,
    /// What makes a look durable before it is answered.
    pub recorder: Recorder,
    /// Where entries are passed on to while this node does not lead.
    pub upstream: Upstream,
    /// The ordering engine, at a node that has a seat in it.
    pub engine: Option<crate::engine::Engine>,
    /// What makes coverages, at a payer's node that has contracts.
    pub quoter: Option<Arc<Quoter>>,
    /// How old the newest checkpoint may be before tills are refused.
    pub fresh_for: Duration,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Whether the node stops: long streams end then.
    pub stopping: watch::Receiver<bool>,
}

impl Services {
    /// The services of the schema, each with the limit on its messages.
    #[must_use]
    pub fn routes(&self) -> Routes {
        let ledger = LedgerServiceServer::new(ledger::Ledger(self.clone()));
        let log = LogServiceServer::new(log::Log(self.sequencer.clone()));
        let evaluator = EvaluatorServiceServer::new(evaluator::Evaluation {
            services: self.clone(),
        });
        let quotes = QuoteServiceServer::new(quote::Quotes(self.clone()));
        let access = AccessServiceServer::new(access::Access(self.sequencer.clone()));
        let claims = ClaimServiceServer::new(claims::Claims {
            sequencer: self.sequencer.clone(),
            recorder: self.recorder.clone(),
        });
        let replication = ReplicationServiceServer::new(replication::Replication {
            sequencer: self.sequencer.clone(),
            ledger: ledger::Ledger(self.clone()),
            engine: self.engine.clone(),
        });
        let engine = EngineServiceServer::new(engine::Engine {
            sequencer: self.sequencer.clone(),
            engine: self.engine.clone(),
        });
        Routes::new(ledger.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(access.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(claims.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(quotes.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(log.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(evaluator.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(replication.max_decoding_message_size(MESSAGE_BYTES_MAX))
            .add_service(engine.max_decoding_message_size(ENGINE_MESSAGE_BYTES_MAX))
    }

    /// The gate in front of them.
    #[must_use]
    pub fn gate(&self) -> GateLayer {
        GateLayer::new(self.sequencer.clone(), self.fresh_for, self.metrics.clone())
    }
}

impl Services {
    /// A stream of appends, each let in and counted as a call of this method.
    fn lane(&self, method: Method, key: PublicKey) -> Lane {
        Lane {
            gate: self.gate(),
            method,
            key,
            stopping: self.stopping.clone(),
        }
    }

    /// Tells the watch of a till what it did. Members are not watched, and what cannot be read now
    /// fails where it is needed.
    fn watch(&self, peer: PeerKey, reading: Reading) {
        let PeerKey(till, address) = peer;
        if let Ok(Some(GrantState::Active { by, .. })) = self.sequencer.snapshot().grant(&till) {
            self.alarms.saw(&till, by, address, reading, clock::now());
        }
    }
}

/// A gRPC server with every limit that tonic leaves open set.
#[must_use]
pub fn limited_server() -> Server {
    Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .timeout(DEADLINE_MAX)
}

/// The key at the other end of the call's connection.
fn peer<T>(request: &Request<T>) -> Result<PublicKey, CallError> {
    peer_key(request).map(|peer| peer.0)
}

/// The key at the other end of the call's connection, and where that is.
fn peer_key<T>(request: &Request<T>) -> Result<PeerKey, CallError> {
    let peer = request.extensions().get::<PeerKey>().copied();
    peer.ok_or(CallError::NoPeer)
}
