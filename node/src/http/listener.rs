//! The listener of the plain HTTP pages: a cap on connections, and none that idles for long.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// Most connections for pages at a time. They are open to everybody, and apart from those of the
/// tills: whoever fills them keeps mirrors waiting, and no claim.
pub const PAGE_CONNECTIONS_MAX: usize = 1024;
/// Longest silence of a peer, before its request or between two: it frees the connections of
/// those who open many and send nothing.
pub const IDLE_MAX: Duration = Duration::from_secs(30);
/// Pause after a failed accept, which is mostly one of file descriptors.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// Accepts connections for pages.
#[derive(Debug)]
pub struct PageListener {
    tcp: TcpListener,
    places: Arc<Semaphore>,
}

impl PageListener {
    /// Accepts on a bound socket.
    #[must_use]
    pub fn new(tcp: TcpListener) -> Self {
        Self {
            tcp,
            places: Arc::new(Semaphore::new(PAGE_CONNECTIONS_MAX)),
        }
    }
}

impl Listener for PageListener {
    type Io = PageStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (PageStream, SocketAddr) {
        loop {
            let place = self.places.clone().acquire_owned().await;
            match (place, self.tcp.accept().await) {
                (Ok(place), Ok((tcp, address))) => {
                    // A page is one write; waiting to fill a packet only delays it.
                    let _ = tcp.set_nodelay(true);
                    return (PageStream::new(tcp, place), address);
                }
                (_, accepted) => {
                    let kind = accepted.err().map(|error| error.kind());
                    tracing::warn!(?kind, "a connection could not be accepted");
                    sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

/// One connection, which breaks off when its peer is silent for [`IDLE_MAX`].
#[derive(Debug)]
pub struct PageStream {
    tcp: TcpStream,
    idle: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl PageStream {
    fn new(tcp: TcpStream, place: OwnedSemaphorePermit) -> Self {
        Self {
            tcp,
            idle: Box::pin(sleep(IDLE_MAX)),
            _place: place,
        }
    }

    /// A peer that takes nothing is as silent as one that sends nothing.
    fn or_idle<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE_MAX);
            return polled;
        }
        match self.idle.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for PageStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.tcp).poll_read(context, buffer);
        self.or_idle(context, polled)
    }
}

impl AsyncWrite for PageStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.tcp).poll_write(context, bytes);
        self.or_idle(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.tcp).poll_flush(context);
        self.or_idle(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.tcp).poll_shutdown(context);
        self.or_idle(context, polled)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_connection_breaks_off() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut listener = PageListener::new(tcp);
        let address = listener.local_addr().unwrap();
        let mut peer = TcpStream::connect(address).await.unwrap();
        let (mut stream, _) = listener.accept().await;
        peer.write_all(b"x").await.unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).await.unwrap();
        let error = stream.read_exact(&mut byte).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
