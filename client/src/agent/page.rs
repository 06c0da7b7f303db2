//! The counter page, `/comptoir`: what an optician works with who has no till software of this kind.
//!
//! The page is one more program that calls the agent's interface, with the pairing token and nothing
//! else; there is no second interface, and the agent keeps nothing for it. Its files are part of this
//! program and hold no secret, so they are served to whoever asks under the right Host.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;

use super::Shop;
use super::problem::{Problem, ProblemCode};

/// Where the page is.
pub(super) const PAGE_PATH: &str = "/comptoir";

/// Its own scripts and style, answers of this agent, pictures that it has drawn itself. Nothing of
/// another origin, nothing inline; no frame may hold it, and no text becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Declares the files once: their routes, types and texts, out of `client/pages`.
macro_rules! files {
    ($($route:literal, $kind:ident, $file:literal;)*) => {
        const FILES: &[(&str, &str, &str)] = &[
            $(($route, $kind, include_str!(concat!("../../pages/", $file))),)*
        ];
    };
}

files! {
    "/comptoir", HTML, "comptoir/page.html";
    "/comptoir/page.css", CSS, "comptoir/page.css";
    "/comptoir/main.js", SCRIPT, "comptoir/main.js";
    "/comptoir/agent.js", SCRIPT, "comptoir/agent.js";
    "/comptoir/amounts.js", SCRIPT, "comptoir/amounts.js";
    "/comptoir/claiming.js", SCRIPT, "comptoir/claiming.js";
    "/comptoir/desk.js", SCRIPT, "comptoir/desk.js";
    "/comptoir/element.js", SCRIPT, "recu/src/element.js";
    "/comptoir/entries.js", SCRIPT, "comptoir/entries.js";
    "/comptoir/form.js", SCRIPT, "comptoir/form.js";
    "/comptoir/outbound.js", SCRIPT, "comptoir/outbound.js";
    "/comptoir/problems.js", SCRIPT, "comptoir/problems.js";
    "/comptoir/quote.js", SCRIPT, "comptoir/quote.js";
    "/comptoir/receipt.js", SCRIPT, "comptoir/receipt.js";
    "/comptoir/standing.js", SCRIPT, "comptoir/standing.js";
    "/comptoir/words.js", SCRIPT, "comptoir/words.js";
}

/// The routes of the page.
pub(super) fn routes() -> Router<Arc<Shop>> {
    let routes = FILES.iter().map(|(route, ..)| *route);
    routes.fold(Router::new(), |router, route| {
        router.route(route, get(file))
    })
}

/// Whether a path is one of the page's: these need no pairing.
pub(super) fn has(path: &str) -> bool {
    FILES.iter().any(|(route, ..)| *route == path)
}

async fn file(State(shop): State<Arc<Shop>>, path: MatchedPath, headers: HeaderMap) -> Response {
    let Some((_, kind, text)) = FILES.iter().find(|(route, ..)| *route == path.as_str()) else {
        return shop
            .marked(Problem::new(ProblemCode::NotFound))
            .into_response();
    };
    // Under another name than 127.0.0.1 the page would belong to another origin: see `gate`.
    let [own, _] = &shop.hosts;
    let is_own = headers
        .get(HOST)
        .is_some_and(|host| host.as_bytes() == own.as_bytes());
    if path.as_str() == PAGE_PATH && !is_own {
        let there = [(LOCATION, format!("http://{own}{PAGE_PATH}"))];
        return (StatusCode::TEMPORARY_REDIRECT, there).into_response();
    }
    let headers = [(CONTENT_TYPE, *kind), (CONTENT_SECURITY_POLICY, POLICY)];
    (headers, *text).into_response()
}
