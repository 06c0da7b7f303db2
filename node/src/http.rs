//! Plain HTTP, read only: what anybody may cache, and what an operator's monitoring asks for.
//!
//! Everything served from the log is public, self-verifying, and the same for everybody, so no
//! TLS and no admission stand before it; a mirror or a CDN may.

mod catalogue;
mod head_log;
mod listener;
mod overview;
mod reading;
mod receipt_page;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use proto::ids::LeafIndex;
use proto::tile::{TilePath, TileWidth};

pub use self::listener::{IDLE_MAX, PAGE_CONNECTIONS_MAX, PageListener};
use crate::clock;
use crate::head_log::HeadLog;
use crate::metrics::Metrics;
use crate::overview::Watch;
use crate::sequencer::{Condition, Sequencer};
use crate::snapshot::{ReadError, Snapshot};
use crate::store::Store;

const NO_CACHE: &str = "no-cache";
/// A full tile never changes.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// A partial tile never changes either, but is of no use once it is full.
const SHORT_LIVED: &str = "public, max-age=600";
const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the pages are made from.
#[derive(Debug, Clone)]
pub struct Pages {
    /// The ledger.
    pub sequencer: Sequencer,
    /// Its store, for the count of its syncs.
    pub store: Store,
    /// The data folder, which knows when it was backed up last.
    pub data: PathBuf,
    /// The folder of the catalogues that are served.
    pub catalogues: PathBuf,
    /// How old a checkpoint may be before tills are refused.
    pub fresh_for: Duration,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What an operator sees at a glance.
    pub watch: Arc<Watch>,
    /// The head log, at a member that keeps one.
    pub head_log: Option<Arc<HeadLog>>,
}

impl Pages {
    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/checkpoint", get(checkpoint))
            .route("/roster", get(roster))
            .route("/tile/{*path}", get(tile))
            .route("/head/checkpoint", get(head_log::checkpoint))
            .route("/head/key", get(head_log::verifier_key))
            .route("/head/tile/{*path}", get(head_log::tile))
            .route("/catalogue/{hash}", get(catalogue::text))
            .route("/metrics", get(metrics))
            .route("/recu", get(receipt_page::html))
            .route("/etat", get(overview::html))
            .route("/etat.json", get(overview::json))
            .route("/etat.css", get(overview::style))
            .route(
                "/livez",
                get(async || page(StatusCode::OK, TEXT, NO_CACHE, "ok\n")),
            )
            .route("/readyz", get(readyz))
            .with_state(self)
    }
}

fn page(
    status: StatusCode,
    content_type: &'static str,
    cache: &'static str,
    body: impl IntoResponse,
) -> Response {
    let headers: [(HeaderName, &str); 2] = [(CONTENT_TYPE, content_type), (CACHE_CONTROL, cache)];
    (status, headers, body).into_response()
}

fn not_found() -> Response {
    page(StatusCode::NOT_FOUND, TEXT, NO_CACHE, "not found\n")
}

fn unreadable(error: &ReadError) -> Response {
    tracing::error!(%error, "a page could not be made");
    page(
        StatusCode::INTERNAL_SERVER_ERROR,
        TEXT,
        NO_CACHE,
        "the ledger cannot be read\n",
    )
}

async fn checkpoint(State(pages): State<Pages>) -> Response {
    let checkpoint = pages.sequencer.snapshot().checkpoint_text().to_owned();
    page(StatusCode::OK, TEXT, NO_CACHE, checkpoint)
}

/// The signed roster in force, as its entry has it.
async fn roster(State(pages): State<Pages>) -> Response {
    match pages.sequencer.snapshot().signed_roster() {
        Ok(signed) => page(StatusCode::OK, TEXT, NO_CACHE, signed.to_text()),
        Err(error) => unreadable(&error),
    }
}

/// A tile or an entry bundle (C2SP tlog-tiles). The path is read as it came: it has one spelling,
/// and no escapes.
async fn tile(State(pages): State<Pages>, uri: Uri) -> Response {
    let path = uri
        .path()
        .strip_prefix('/')
        .and_then(|path| path.parse::<TilePath>().ok());
    let Some(path) = path else { return not_found() };
    match pages.sequencer.snapshot().tile(&path) {
        Ok(Some(bytes)) => page(StatusCode::OK, BYTES, cache_of(&path), bytes),
        Ok(None) => not_found(),
        Err(error) => unreadable(&error),
    }
}

fn cache_of(path: &TilePath) -> &'static str {
    let (TilePath::Hashes { width, .. } | TilePath::Entries { width, .. }) = path;
    if *width == TileWidth::FULL {
        IMMUTABLE
    } else {
        SHORT_LIVED
    }
}

async fn metrics(State(pages): State<Pages>) -> Response {
    let text = pages.metrics.to_text(&reading::of(&pages).await);
    page(StatusCode::OK, OPEN_METRICS, NO_CACHE, text)
}

/// One check of whether the node should be sent work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Check {
    name: &'static str,
    passed: bool,
}

async fn readyz(State(pages): State<Pages>, RawQuery(query): RawQuery) -> Response {
    let snapshot = pages.sequencer.snapshot();
    let fresh = checkpoint_age(&snapshot).is_some_and(|age| age <= pages.fresh_for);
    let checks = [
        Check {
            name: "store",
            passed: can_read(&snapshot),
        },
        Check {
            name: "writes",
            passed: !matches!(pages.sequencer.condition(), Condition::Stopped(_)),
        },
        Check {
            name: "cosigning",
            passed: !pages.sequencer.is_recalling(),
        },
        Check {
            name: "checkpoint-age",
            passed: fresh,
        },
    ];
    let verbose = query.is_some_and(|query| query.split('&').any(|word| word == "verbose"));
    readiness(&checks, verbose)
}

fn readiness(checks: &[Check], verbose: bool) -> Response {
    let ready = checks.iter().all(|check| check.passed);
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut text = String::new();
    if verbose {
        for Check { name, passed } in checks {
            let line = if *passed {
                ("+", "ok")
            } else {
                ("-", "failed")
            };
            // Writing into a String cannot fail.
            let _ = writeln!(text, "[{}]{name} {}", line.0, line.1);
        }
    }
    text.push_str(if ready { "ready\n" } else { "not ready\n" });
    page(status, TEXT, NO_CACHE, text)
}

/// Whether the newest entry can be read back and fits the log.
fn can_read(snapshot: &Snapshot) -> bool {
    let newest = snapshot.size().get().checked_sub(1).map(LeafIndex::new);
    newest.is_some_and(|newest| matches!(snapshot.prove_entry(newest), Ok(Some(_))))
}

/// How long ago a quorum vouched for the newest checkpoint; `None` when it did not.
fn checkpoint_age(snapshot: &Snapshot) -> Option<Duration> {
    snapshot.age(clock::now().seconds())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response) -> String {
        let bytes = axum::body::to_bytes(response.into_body(), 1000)
            .await
            .unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn one_failed_check_makes_the_node_unready_and_is_named() {
        let store = Check {
            name: "store",
            passed: true,
        };
        let writes = Check {
            name: "writes",
            passed: false,
        };
        let response = readiness(&[store, writes], true);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            body(response).await,
            "[+]store ok\n[-]writes failed\nnot ready\n"
        );
        let response = readiness(&[store], false);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(body(response).await, "ready\n");
    }

    #[test]
    fn only_a_full_tile_is_cached_for_good() {
        let cache = |path: &str| cache_of(&path.parse().unwrap());
        assert_eq!(cache("tile/0/000"), IMMUTABLE);
        assert_eq!(cache("tile/entries/000"), IMMUTABLE);
        assert_eq!(cache("tile/entries/000.p/7"), SHORT_LIVED);
    }
}
