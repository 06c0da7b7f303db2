//! A member whose node lies and one whose node does not, both behind real TLS: the liar is asked
//! once, nothing of its page is kept, and the other one brings the ledger up.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use proto::attestation::{Attestation, Grant, GrantClass};
use proto::entry::Entry;
use proto::ids::{RequestId, UnixMillis};
use proto::roster::Epoch;
use proto::wire::replication::{Page, write_page};
use proto::wire::v1;
use proto::wire::v1::replication_service_server::{ReplicationService, ReplicationServiceServer};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::*;
use crate::example::{first_roster, founded, origin, roster_parts, secret};
use crate::metrics::Metrics;
use crate::store::{Store, StoreOptions};
use crate::tls;
use crate::witness::Witness;

/// Entries of a page here.
const PAGE: usize = 4;
/// Longest wait for what must come, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node that has this ledger, and makes of each page what it likes.
struct Served {
    ledger: Sequencer,
    asked: Arc<AtomicUsize>,
    lie: fn(&mut Page),
}

#[async_trait]
impl ReplicationService for Served {
    async fn follow(
        &self,
        request: Request<v1::FollowRequest>,
    ) -> Result<Response<v1::FollowResponse>, Status> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let from = TreeSize::new(request.get_ref().size);
        let mut page = self.ledger.snapshot().page(from, PAGE).unwrap();
        (self.lie)(&mut page);
        Ok(Response::new(write_page(&page)))
    }

    async fn forward(
        &self,
        _: Request<v1::ForwardRequest>,
    ) -> Result<Response<v1::ForwardResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    type ForwardEachStream = BoxStream<v1::NumberedAnswer>;

    async fn forward_each(
        &self,
        _: Request<Streaming<v1::NumberedAppend>>,
    ) -> Result<Response<Self::ForwardEachStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn cosign(
        &self,
        _: Request<v1::CosignRequest>,
    ) -> Result<Response<v1::CosignResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn status(
        &self,
        _: Request<v1::StatusRequest>,
    ) -> Result<Response<v1::StatusResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Serves the ledger as this member, until the runtime ends; how often it was asked.
async fn serve(
    ledger: &Sequencer,
    name: &str,
    lie: fn(&mut Page),
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = TlsAcceptor::from(tls::server_config(&secret(name)).unwrap());
    let known = Arc::new(|_: &_| true);
    let incoming = tls::accept(listener, acceptor, known, Arc::new(Metrics::new()));
    let asked = Arc::new(AtomicUsize::new(0));
    let served = Served {
        ledger: ledger.clone(),
        asked: asked.clone(),
        lie,
    };
    let service = ReplicationServiceServer::new(served);
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
    (address, asked)
}

/// A ledger of so many grants.
async fn ledger(dir: &Path, grants: u64) -> Sequencer {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let ledger = founded(dir);
    for till in 0..grants {
        let grant = Attestation::Grant(Grant {
            till: secret(&format!("till {till}")).public(),
            finess: "750000001".parse().unwrap(),
            expires_at: UnixMillis::new(clock::now().get() + 86_400_000),
            hourly_quota: 20,
            daily_quota: 60,
            class: GrantClass::Till,
        });
        let mut random = [0; 10];
        let request = REQUESTS.fetch_add(1, Ordering::Relaxed);
        random[2..].copy_from_slice(&request.to_be_bytes());
        let (key, id) = (secret("opticians"), RequestId::new(clock::now(), random));
        let entry = Entry::sign(&grant.header(key.public(), id), &origin(), &key).unwrap();
        ledger.append(entry, None).await.unwrap();
    }
    ledger
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lies_about_a_page_is_asked_once_and_the_next_one_brings_the_ledger_up() {
    let place = tempfile::tempdir().unwrap();
    let ledger = ledger(&place.path().join("leader"), 11).await;
    // Its word for the end of the page is true, but the entry before is left out.
    let lie = |page: &mut Page| drop(page.entries.remove(page.entries.len() / 2));
    let (liar, asked_liar) = serve(&ledger, "cnam", lie).await;
    let (honest, asked_honest) = serve(&ledger, "opticians", |_| ()).await;

    let mut parts = roster_parts(Epoch::default(), None);
    for (place, address) in [(0, liar), (3, honest)] {
        parts.members[place].grpc = Some(address.to_string().parse().unwrap());
    }
    let known = Roster::new(parts).unwrap();
    let data = place.path().join("replica");
    let store = Store::open(&data, StoreOptions::default()).unwrap();
    let witness = Witness::new("amc".parse().unwrap(), secret("amc"));
    let first = first_roster().verify_genesis().unwrap();
    let replica = Replica::open(&store, witness, first).unwrap();
    let following = Following::from(replica, secret("amc"), data, Some(&known));
    let mut following = following.unwrap();
    assert_eq!(following.peer().unwrap().member().as_str(), "cnam");

    // A ledger that has taken the lie goes nowhere, for ever.
    let published = timeout(PATIENCE, following.published()).await;
    let published = published.expect("it is brought up").unwrap().snapshot();
    let wanted = ledger.snapshot();
    assert_eq!(
        published.checkpoint().claimed(),
        wanted.checkpoint().claimed()
    );
    assert_eq!(asked_liar.load(Ordering::Relaxed), 1);
    assert_eq!(asked_honest.load(Ordering::Relaxed), 3);
    ledger.stop();
}
