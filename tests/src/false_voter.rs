//! A voting member's node that serves what is not so: real TLS with the member's key, real gRPC, one
//! page that its followers must not take.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use node::metrics::Metrics;
use node::tls;
use proto::checkpoint::SignedCheckpoint;
use proto::ids::TreeSize;
use proto::signing::SecretKey;
use proto::wire::batch::read_cosigned;
use proto::wire::replication::{Page, write_page};
use proto::wire::v1;
use proto::wire::v1::replication_service_server::{ReplicationService, ReplicationServiceServer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

/// How long it waits with an answer that has no news, as an honest node does.
const NO_NEWS: Duration = Duration::from_secs(1);

/// What such a node serves, and what others have handed to it. Clones are the same.
#[derive(Debug, Clone)]
pub struct FalseVoter {
    /// From this size on it has the page, and before and after it nothing.
    from: TreeSize,
    page: Page,
    cosigned: Arc<Mutex<Vec<SignedCheckpoint>>>,
}

impl FalseVoter {
    /// Serves this page to whoever has so many entries, at this address with the key of a member,
    /// until the runtime ends.
    ///
    /// # Panics
    /// When the address cannot be bound.
    pub async fn serve(address: SocketAddr, key: &SecretKey, from: TreeSize, page: Page) -> Self {
        let voter = Self {
            from,
            page,
            cosigned: Arc::default(),
        };
        let listener = TcpListener::bind(address).await.unwrap();
        let acceptor = TlsAcceptor::from(tls::server_config(key).unwrap());
        let metrics = Arc::new(Metrics::new());
        let incoming = tls::accept(listener, acceptor, Arc::new(|_| true), metrics);
        let service = ReplicationServiceServer::new(voter.clone());
        let server = tonic::transport::Server::builder().add_service(service);
        tokio::spawn(server.serve_with_incoming(incoming));
        voter
    }

    /// The cosignatures that others have handed to it.
    #[must_use]
    pub fn cosigned(&self) -> Vec<SignedCheckpoint> {
        let cosigned = self.cosigned.lock().unwrap_or_else(PoisonError::into_inner);
        cosigned.clone()
    }
}

#[async_trait]
impl ReplicationService for FalseVoter {
    async fn follow(
        &self,
        request: Request<v1::FollowRequest>,
    ) -> Result<Response<v1::FollowResponse>, Status> {
        if request.get_ref().size != self.from.get() {
            tokio::time::sleep(NO_NEWS).await;
            return Err(Status::unavailable("no news"));
        }
        Ok(Response::new(write_page(&self.page)))
    }

    async fn forward(
        &self,
        _: Request<v1::ForwardRequest>,
    ) -> Result<Response<v1::ForwardResponse>, Status> {
        Err(Status::unavailable("nothing is taken"))
    }

    type ForwardEachStream = BoxStream<v1::NumberedAnswer>;

    async fn forward_each(
        &self,
        _: Request<Streaming<v1::NumberedAppend>>,
    ) -> Result<Response<Self::ForwardEachStream>, Status> {
        Err(Status::unavailable("nothing is taken"))
    }

    async fn cosign(
        &self,
        request: Request<v1::CosignRequest>,
    ) -> Result<Response<v1::CosignResponse>, Status> {
        let signed = read_cosigned(&request.get_ref().checkpoint);
        let signed = signed.map_err(|_| Status::invalid_argument("checkpoint"))?;
        let mut cosigned = self.cosigned.lock().unwrap_or_else(PoisonError::into_inner);
        cosigned.push(signed);
        let checkpoint = self.page.checkpoint.to_text();
        Ok(Response::new(v1::CosignResponse { checkpoint }))
    }

    async fn status(
        &self,
        _: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        Err(Status::unavailable("nothing is said"))
    }
}
