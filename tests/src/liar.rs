//! A member's node that evaluates under other shares than the roster publishes for it: real TLS
//! with the member's key, real gRPC, wrong answers.

use std::net::SocketAddr;
use std::sync::Arc;

use client::system;
use node::evaluator::{Evaluator, JointKey};
use node::metrics::Metrics;
use node::tls;
use proto::oprf::JointSecret;
use proto::signing::SecretKey;
use proto::wire::v1::evaluator_service_server::{EvaluatorService, EvaluatorServiceServer};
use proto::wire::{read, v1, write};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tonic::{Request, Response, Status, async_trait};

/// The service over shares that nobody expects.
#[derive(Debug)]
struct WrongShares(Evaluator);

#[async_trait]
impl EvaluatorService for WrongShares {
    async fn evaluate(
        &self,
        request: Request<v1::EvaluateRequest>,
    ) -> Result<Response<v1::EvaluateResponse>, Status> {
        let malformed = |_| Status::invalid_argument("");
        let (_, kind, blinded) = read::evaluate(request.get_ref()).map_err(malformed)?;
        let key = JointKey::of(kind).unwrap();
        let random = system::random().unwrap();
        let answer = self.0.evaluate(key, &blinded, &random).unwrap();
        Ok(Response::new(write::evaluation(&answer)))
    }
}

/// Serves wrong evaluations at this address with the key of a member, until the runtime ends.
///
/// # Panics
/// When the address cannot be bound.
pub async fn serve_wrong_shares(address: SocketAddr, key: &SecretKey) {
    let share = || {
        JointSecret::derive(&system::random().unwrap(), b"other")
            .unwrap()
            .sole_share()
    };
    let service = EvaluatorServiceServer::new(WrongShares(Evaluator::new(share(), share())));
    let listener = TcpListener::bind(address).await.unwrap();
    let acceptor = TlsAcceptor::from(tls::server_config(key).unwrap());
    let incoming = tls::accept(
        listener,
        acceptor,
        Arc::new(|_| true),
        Arc::new(Metrics::new()),
    );
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
}
