//! The accept loop of the gRPC listener. tonic's own cannot ask for a certificate without an
//! authority, nor bound the handshake or the number of connections.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use proto::certificate::public_key;
use proto::signing::PublicKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::server::{Connected, TcpIncoming};

use crate::metrics::Metrics;

/// Most connections at a time, unfinished handshakes included: the tills of a large federation's
/// shops, at some 40 KiB each a third of a GiB. The next one waits in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 8_192;
/// Most connections of one key: a mirror or a load test wants dozens, and the thief of one till's
/// key must not be able to take the node's.
pub const CONNECTIONS_PER_KEY_MAX: usize = 512;
/// Most connections of keys that are neither members nor tills. They are let in at all so that
/// they get an answer that says so (and auditors the log); they must not crowd out tills.
pub const STRANGERS_MAX: usize = 128;
/// Longest TLS handshake: a round trip or two of a slow line, with room.
pub const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(5);
/// Silence after which the kernel asks whether the peer is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(60);
/// Pause after a failed accept, which is mostly one of file descriptors: without it the loop spins.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);
/// Finished handshakes that wait to be taken up by the HTTP/2 server.
const FINISHED_MAX: usize = 64;

/// Whether a key belongs to a member or a till at this moment.
pub type IsKnown = Arc<dyn Fn(&PublicKey) -> bool + Send + Sync>;

/// Whose connection it is: what the TLS handshake proved, found in each request's extensions; and
/// where it came from, if the system says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerKey(pub PublicKey, pub Option<IpAddr>);

/// One accepted connection.
pub struct PeerStream<T = TcpStream> {
    tls: TlsStream<T>,
    peer: PeerKey,
    _place: Place,
}

impl<T> fmt::Debug for PeerStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerStream")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl<T: Unpin> Connected for PeerStream<T> {
    type ConnectInfo = PeerKey;

    fn connect_info(&self) -> PeerKey {
        self.peer
    }
}

/// Accepts connections until the stream is dropped. A peer that fails costs its connection only.
pub fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    is_known: IsKnown,
    metrics: Arc<Metrics>,
) -> ReceiverStream<io::Result<PeerStream>> {
    let incoming = TcpIncoming::from(listener)
        .with_nodelay(Some(true))
        .with_keepalive(Some(TCP_KEEPALIVE));
    let incoming = incoming.map(|tcp| {
        let tcp = tcp?;
        let from = tcp.peer_addr().ok().map(|address| address.ip());
        Ok((tcp, from))
    });
    let_in(incoming, tls, is_known, metrics)
}

/// Lets in what comes, each with where it comes from, until the stream is dropped.
pub(crate) fn let_in<T: Transport>(
    incoming: impl Stream<Item = io::Result<(T, Option<IpAddr>)>> + Send + Unpin + 'static,
    tls: TlsAcceptor,
    is_known: IsKnown,
    metrics: Arc<Metrics>,
) -> ReceiverStream<io::Result<PeerStream<T>>> {
    let (finished, stream) = mpsc::channel(FINISHED_MAX);
    let door = Door {
        tls,
        is_known,
        places: Places::new(metrics),
    };
    tokio::spawn(accept_loop(incoming, Arc::new(door), finished));
    ReceiverStream::new(stream)
}

/// What TLS runs over.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

async fn accept_loop<T: Transport>(
    mut incoming: impl Stream<Item = io::Result<(T, Option<IpAddr>)>> + Unpin,
    door: Arc<Door>,
    finished: mpsc::Sender<io::Result<PeerStream<T>>>,
) {
    loop {
        let next = async {
            let permit = door.places.all.clone().acquire_owned().await.ok()?;
            Some((permit, incoming.next().await?))
        };
        let next = tokio::select! {
            () = finished.closed() => None,
            next = next => next,
        };
        match next {
            None => return,
            Some((_, Err(error))) => {
                tracing::warn!(kind = ?error.kind(), "a connection could not be accepted");
                sleep(ACCEPT_BACKOFF).await;
            }
            Some((permit, Ok((tcp, from)))) => {
                let (door, finished) = (door.clone(), finished.clone());
                tokio::spawn(async move {
                    if let Some(stream) = door.let_in(tcp, from, permit).await {
                        // Fails only when the server has stopped, and the connection with it.
                        let _ = finished.send(Ok(stream)).await;
                    }
                });
            }
        }
    }
}

struct Door {
    tls: TlsAcceptor,
    is_known: IsKnown,
    places: Places,
}

impl Door {
    async fn let_in<T: Transport>(
        &self,
        tcp: T,
        from: Option<IpAddr>,
        permit: OwnedSemaphorePermit,
    ) -> Option<PeerStream<T>> {
        let handshake = timeout(HANDSHAKE_DEADLINE, self.tls.accept(tcp)).await;
        let tls = match handshake {
            Ok(Ok(tls)) => tls,
            Ok(Err(_)) => return self.turn_away("the TLS handshake failed"),
            Err(_) => return self.turn_away("the TLS handshake took too long"),
        };
        let certificate = tls.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let Some(Ok(key)) = certificate.map(public_key) else {
            return self.turn_away("the client certificate holds no key");
        };
        match self.places.take(key, (self.is_known)(&key), permit) {
            Some(place) => Some(PeerStream {
                tls,
                peer: PeerKey(key, from),
                _place: place,
            }),
            None => self.turn_away("too many connections of one key, or of strangers"),
        }
    }

    fn turn_away<T>(&self, why: &'static str) -> Option<PeerStream<T>> {
        self.places.metrics.connection_refused();
        tracing::debug!(why, "connection refused");
        None
    }
}

/// How many connections there are: in all, of each key, of strangers.
struct Places {
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    by_key: Arc<Mutex<HashMap<PublicKey, usize>>>,
    metrics: Arc<Metrics>,
}

impl Places {
    fn new(metrics: Arc<Metrics>) -> Self {
        Self {
            all: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
            by_key: Arc::default(),
            metrics,
        }
    }

    fn take(&self, key: PublicKey, is_known: bool, permit: OwnedSemaphorePermit) -> Option<Place> {
        let stranger = match is_known {
            true => None,
            false => Some(self.strangers.clone().try_acquire_owned().ok()?),
        };
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_key.entry(key).or_default();
        if *count >= CONNECTIONS_PER_KEY_MAX {
            return None;
        }
        *count += 1;
        self.metrics.connection_opened();
        let (by_key, metrics) = (self.by_key.clone(), self.metrics.clone());
        Some(Place {
            key,
            by_key,
            metrics,
            _permit: permit,
            _stranger: stranger,
        })
    }
}

/// One connection's place, given back when it is dropped.
struct Place {
    key: PublicKey,
    by_key: Arc<Mutex<HashMap<PublicKey, usize>>>,
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
    _stranger: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_key.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                by_key.remove(&self.key);
            }
        }
        self.metrics.connection_closed();
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for PeerStream<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_read(context, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for PeerStream<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tls).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tls.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tls).poll_shutdown(context)
    }
}
