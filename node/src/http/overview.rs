//! The operator's page, `/etat`, and the same for programs, `/etat.json`.
//!
//! Nothing secret is on it: whoever can read the metrics learns as much. It has no script, and says
//! nothing of a till or an entry.

mod drawing;
mod html;
mod words;

use axum::extract::{RawQuery, State};
use axum::http::header::{ACCEPT_LANGUAGE, CONTENT_SECURITY_POLICY, REFRESH, VARY};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use self::words::Language;
use super::{NO_CACHE, Pages, page};

/// Its own style and nothing else: no script, no picture, no frame, no form.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
const STYLE: &str = include_str!("overview/page.css");
const JSON: &str = "application/json";
/// How often the page is loaded again for whoever asks for that: as often as checkpoints are renewed.
const REFRESH_S: u64 = 20;

/// `GET /etat`, in French or, with `?lang=en` or for a browser that prefers it, in English. With
/// `refresh` in the query it loads itself again.
pub(super) async fn html(
    State(pages): State<Pages>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let is_asked = |word: &str| query.split('&').any(|it| it == word);
    let accepted = headers.get(ACCEPT_LANGUAGE).and_then(|it| it.to_str().ok());
    let language = match (is_asked("lang=en"), is_asked("lang=fr")) {
        (true, _) => Language::English,
        (_, true) => Language::French,
        _ => Language::preferred(accepted.unwrap_or_default()),
    };
    let refreshes = is_asked("refresh");
    let seen = pages.watch.look().await;
    let body = html::page(&seen, language, refreshes);
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, NO_CACHE),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (VARY, "accept-language"),
    ];
    let mut response = (headers, body).into_response();
    if refreshes {
        let again = HeaderValue::from(REFRESH_S);
        response.headers_mut().insert(REFRESH, again);
    }
    response
}

/// `GET /etat.json`.
pub(super) async fn json(State(pages): State<Pages>) -> Response {
    match serde_json::to_string_pretty(&*pages.watch.look().await) {
        Ok(text) => page(StatusCode::OK, JSON, NO_CACHE, text + "\n"),
        Err(_) => page(StatusCode::INTERNAL_SERVER_ERROR, JSON, NO_CACHE, "{}\n"),
    }
}

/// `GET /etat.css`.
pub(super) async fn style() -> Response {
    page(StatusCode::OK, "text/css; charset=utf-8", NO_CACHE, STYLE)
}
