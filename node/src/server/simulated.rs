//! A node whose network is a simulation's. All else of it is what runs everywhere: its files, its
//! ledger, its engine, TLS and the services. Admin and plain HTTP listeners are left out.

use std::net::IpAddr;
use std::sync::Arc;

use proto::ids::TreeSize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::Stream;

use super::opening::Opened;
use super::{StartError, health, io, serve_grpc};
use crate::config::Config;
use crate::engine::Engine;
use crate::metrics::Metrics;
use crate::sequencer::Sequencer;
use crate::tls::{self, Transport};

/// A simulated node that serves. It ends when it is dropped, as by a crash.
pub(crate) struct SimulatedNode {
    pub(crate) sequencer: Sequencer,
    pub(crate) engine: Option<Engine>,
    _servers: JoinSet<()>,
    _stop: watch::Sender<bool>,
}

impl SimulatedNode {
    /// Starts as a node does; `remembered` hears first up to which size the data folder knows what
    /// this member has signed.
    ///
    /// # Errors
    /// [`StartError`]; nothing is then served.
    pub(crate) async fn start<T: Transport>(
        config: &Config,
        incoming: impl Stream<Item = io::Result<(T, Option<IpAddr>)>> + Send + Unpin + 'static,
        remembered: impl FnOnce(TreeSize),
    ) -> Result<Self, StartError> {
        let metrics = Arc::new(Metrics::new());
        let opened = Opened::open(config, metrics.clone())?;
        remembered(opened.remembered());
        let ready = opened.ready().await?;
        let (sequencer, engine) = (ready.sequencer.clone(), ready.engine.clone());
        let (stop, stopping) = watch::channel(false);
        let counted = metrics.clone();
        let incoming = |acceptor, is_known| tls::let_in(incoming, acceptor, is_known, counted);
        let health = health::service().1;
        let servers = serve_grpc(ready, incoming, health, config, &metrics, &stopping)?;
        Ok(Self {
            sequencer,
            engine,
            _servers: servers,
            _stop: stop,
        })
    }
}
