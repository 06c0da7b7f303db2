//! The receipt page: one file that verifies receipts in a browser, without asking anybody.
//!
//! The same bytes work from a disk. They are part of the program, so that a node can serve them
//! wherever it runs; whoever does not trust this node takes them from elsewhere.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};

use super::NO_CACHE;

/// The page as it was built from `client/pages/recu/src`.
const PAGE: &str = include_str!("../../../client/pages/recu/recu.html");
const HTML: &str = "text/html; charset=utf-8";

/// `GET /recu`.
pub(super) async fn html() -> Response {
    // What a page cannot say of itself is that no other may frame it.
    let policy = format!("{}; frame-ancestors 'none'", policy());
    let headers = [
        (CONTENT_TYPE, HTML.to_owned()),
        (CACHE_CONTROL, NO_CACHE.to_owned()),
        (CONTENT_SECURITY_POLICY, policy),
        (REFERRER_POLICY, "no-referrer".to_owned()),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, PAGE).into_response()
}

/// What the page allows itself; nothing at all if it does not say.
fn policy() -> &'static str {
    let before = "<meta http-equiv=\"Content-Security-Policy\" content=\"";
    let behind = PAGE.split_once(before);
    behind
        .and_then(|(_, behind)| behind.split_once('"'))
        .map_or("default-src 'none'", |(policy, _)| policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_page_may_run_its_own_script_and_nothing_else() {
        let policy = policy();
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"));
        assert!(!policy.contains("unsafe") && !policy.contains("http"));
        let response = html().await;
        let header = response.headers()[CONTENT_SECURITY_POLICY].to_str();
        assert_eq!(header.unwrap(), format!("{policy}; frame-ancestors 'none'"));
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
        assert_eq!(body.unwrap(), PAGE);
    }
}
