//! The network of a simulation, and outside of one the machine's.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::machine;
use crate::peer::names::dial;

/// Connections that wait to be let in.
const WAITING_MAX: usize = 16;

/// A connection that a node of the tests dials.
#[derive(Debug)]
pub(crate) enum Tcp {
    Real(tokio::net::TcpStream),
    Simulated(turmoil::net::TcpStream),
}

/// What a simulated listener hands over: connections, and where they come from.
pub(crate) type Incoming = ReceiverStream<io::Result<(turmoil::net::TcpStream, Option<IpAddr>)>>;

/// Dials where this thread's network is.
pub(crate) async fn connect(address: &str) -> io::Result<Tcp> {
    if machine::is_simulated() {
        let unreadable = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let address: SocketAddr = address.parse().map_err(unreadable)?;
        return Ok(Tcp::Simulated(
            turmoil::net::TcpStream::connect(address).await?,
        ));
    }
    Ok(Tcp::Real(dial(address).await?))
}

/// Listens on the simulated host that calls this, until the stream is dropped.
///
/// # Errors
/// When the port is taken.
pub(super) async fn listen(port: u16) -> io::Result<Incoming> {
    let listener = turmoil::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    let (accepted, incoming) = mpsc::channel(WAITING_MAX);
    tokio::spawn(async move {
        loop {
            let next = listener.accept().await;
            let next = next.map(|(tcp, from)| (tcp, Some(from.ip())));
            if accepted.send(next).await.is_err() {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(incoming))
}

impl AsyncRead for Tcp {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Real(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::Simulated(tcp) => Pin::new(tcp).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Real(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::Simulated(tcp) => Pin::new(tcp).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Real(tcp) => Pin::new(tcp).poll_flush(context),
            Self::Simulated(tcp) => Pin::new(tcp).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Real(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::Simulated(tcp) => Pin::new(tcp).poll_shutdown(context),
        }
    }
}
