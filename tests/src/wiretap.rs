//! A wire to a node, from a till or from another node, that keeps a copy of every byte, both ways.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How much is passed on at once.
const PIECE_BYTES: usize = 16 * 1024;

/// A tapped wire. It lasts as long as the runtime.
#[derive(Debug, Clone)]
pub struct Wiretap {
    /// Where to connect to in place of the node.
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Wiretap {
    /// A wire whose far end is set by [`lead_to`](Self::lead_to).
    ///
    /// # Panics
    /// When no port is free.
    pub async fn new() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::default();
        (Self { address, heard }, listener)
    }

    /// Taps the wire to this address.
    ///
    /// # Panics
    /// When no port is free.
    pub async fn to(address: SocketAddr) -> Self {
        let (tap, listener) = Self::new().await;
        tap.lead_to(listener, address);
        tap
    }

    /// Leads to this address from now on. Where nobody listens yet, a connection ends at once.
    pub fn lead_to(&self, listener: TcpListener, node: SocketAddr) {
        let wire = self.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(node).await else {
                    continue;
                };
                let (from_near, to_near) = near.into_split();
                let (from_far, to_far) = far.into_split();
                tokio::spawn(wire.clone().pass(from_near, to_far));
                tokio::spawn(wire.clone().pass(from_far, to_near));
            }
        });
    }

    async fn pass(self, mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
        let mut piece = vec![0; PIECE_BYTES];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            self.lock().extend_from_slice(&piece[..length]);
            if to.write_all(&piece[..length]).await.is_err() {
                return;
            }
        }
    }

    /// Everything that went over it so far.
    #[must_use]
    pub fn heard(&self) -> Vec<u8> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
