//! The head log's pages, where stock tools look for them (C2SP tlog-tiles) under `/head/`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use proto::tile::TilePath;

use super::{BYTES, NO_CACHE, Pages, TEXT, cache_of, not_found, page};
use crate::head_log::HeadLog;

/// `GET /head/checkpoint`: the newest head, signed.
pub(super) async fn checkpoint(State(pages): State<Pages>) -> Response {
    shown(pages.head_log.as_ref(), HeadLog::checkpoint)
}

/// `GET /head/key`: the verifier key that a tool is given, to be compared with the roster's.
pub(super) async fn verifier_key(State(pages): State<Pages>) -> Response {
    shown(pages.head_log.as_ref(), |log| {
        format!("{}\n", log.verifier_key())
    })
}

fn shown(log: Option<&Arc<HeadLog>>, text: impl FnOnce(&HeadLog) -> String) -> Response {
    log.map_or_else(not_found, |log| {
        page(StatusCode::OK, TEXT, NO_CACHE, text(log))
    })
}

/// `GET /head/tile/...`: a tile or a bundle of leaves. The path has one spelling, and no escapes.
pub(super) async fn tile(State(pages): State<Pages>, uri: Uri) -> Response {
    let path = uri.path().strip_prefix("/head/");
    let path = path.and_then(|path| path.parse::<TilePath>().ok());
    let (Some(log), Some(path)) = (pages.head_log, path) else {
        return not_found();
    };
    match log.tile(&path) {
        Ok(Some(bytes)) => page(StatusCode::OK, BYTES, cache_of(&path), bytes),
        Ok(None) => not_found(),
        Err(error) => {
            tracing::error!(%error, "a page of the head log could not be made");
            let body = "the head log cannot be read\n";
            page(StatusCode::INTERNAL_SERVER_ERROR, TEXT, NO_CACHE, body)
        }
    }
}
