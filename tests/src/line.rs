//! A line between two nodes that can be cut: what arrives on one side goes out on the other, or
//! nothing does and nobody is told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// How often a side that is cut looks whether it is whole again.
const LOOK: Duration = Duration::from_millis(20);

/// A line that carries bytes to one address.
#[derive(Debug, Clone)]
pub struct Line {
    address: SocketAddr,
    is_cut: Arc<AtomicBool>,
}

impl Line {
    /// A line whose far end is set by [`connect`](Self::connect).
    ///
    /// # Panics
    /// When no port can be bound.
    pub async fn new() -> (Self, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let line = Self {
            address: listener.local_addr().unwrap(),
            is_cut: Arc::default(),
        };
        (line, listener)
    }

    /// Where it begins.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Leads to this address from now on.
    pub fn connect(&self, listener: TcpListener, to: SocketAddr) {
        let is_cut = self.is_cut.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let is_cut = is_cut.clone();
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(to).await else {
                        return;
                    };
                    let (near_in, near_out) = near.into_split();
                    let (far_in, far_out) = far.into_split();
                    tokio::join!(
                        carry(near_in, far_out, &is_cut),
                        carry(far_in, near_out, &is_cut)
                    );
                });
            }
        });
    }

    /// Cuts it: bytes wait, connections stay open, and nobody is told.
    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    /// Makes it whole again.
    pub fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    is_cut: &AtomicBool,
) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        while is_cut.load(Ordering::SeqCst) {
            tokio::time::sleep(LOOK).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}
