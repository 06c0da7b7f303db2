//! The sockets: a cap on connections, none that idles for long, an end in order.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::{Agent, CONNECTIONS_MAX, ConformanceAnswer, HEAD_WITHIN, RESEND_EVERY, Shop, routes};
use crate::system;

/// Pause after a failed accept, which is mostly one of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long requests that are being answered may take once the agent is to end.
const END_WITHIN: Duration = Duration::from_secs(35);
/// How often old records are removed.
const EXPIRE_EVERY: Duration = Duration::from_secs(3600);

impl Agent {
    /// Serves until `stop` completes, then lets the requests at work end. What the conformance kit
    /// has seen, if it watched.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Option<ConformanceAnswer> {
        let kit = self.shop.conformance.clone();
        let router = routes::router(self.shop.clone());
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (ending, ended) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut upkeep = JoinSet::new();
        upkeep.spawn(resend(self.shop.clone()));
        upkeep.spawn(expire(self.shop));
        tokio::pin!(stop);
        loop {
            let accepted = async {
                let place = places.clone().acquire_owned().await;
                (place, self.listener.accept().await)
            };
            tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => {}
                accepted = accepted => match accepted {
                    (Ok(place), Ok((tcp, _))) => {
                        connections.spawn(connection(tcp, router.clone(), ended.clone(), place));
                    }
                    _ => sleep(ACCEPT_PAUSE).await,
                },
            }
        }
        let _ = ending.send(true);
        let all = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(END_WITHIN, all).await;
        kit.map(|kit| kit.answer())
    }
}

/// One connection to its end. When the agent is to end, the request at work is answered first.
async fn connection(
    tcp: TcpStream,
    router: Router,
    mut ended: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let _ = tcp.set_nodelay(true);
    let service = TowerToHyperService::new(router);
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .serve_connection(TokioIo::new(tcp), service);
    tokio::pin!(serving);
    tokio::select! {
        _ = serving.as_mut() => return,
        _ = ended.wait_for(|ended| *ended) => serving.as_mut().graceful_shutdown(),
    }
    // How it ends is the caller's business: he knows no more than that it did.
    let _ = serving.await;
}

async fn resend(shop: Arc<Shop>) {
    let mut ticks = interval(RESEND_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        shop.counter.send_waiting(&shop.requests).await;
    }
}

async fn expire(shop: Arc<Shop>) {
    let mut ticks = interval(EXPIRE_EVERY);
    loop {
        ticks.tick().await;
        // What cannot be removed now can be in an hour.
        let _ = shop.requests.expire(system::now());
    }
}
