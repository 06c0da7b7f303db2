//! Who gets in: before any route is asked, in this order.
//!
//! 1. The Host header is the agent's own address. A page whose name was made to lead to 127.0.0.1
//!    (DNS rebinding) still shows its own name here.
//! 2. If there is an Origin, it is listed, or that of the counter page: `http://127.0.0.1` and the port.
//!    `http://localhost` is not: that name may lead to another program, on another address of this
//!    machine. A preflight is answered for these origins alone.
//! 3. The pairing token is shown, but for the description of the interface and the files of the page.
//! 4. There is room: no more than [`REQUESTS_AT_ONCE_MAX`] at a time, nobody waits in a line.
//!
//! No cookie is read or set. Nothing that is answered may be kept by anybody on its way.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::openapi::OPENAPI_PATH;
use super::pairing::RequestKey;
use super::problem::{Problem, ProblemCode};
use super::{REQUESTS_AT_ONCE_MAX, Shop, page};

/// What a preflight of a listed page is told.
const PREFLIGHT: [(HeaderName, &str); 3] = [
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
    (
        ACCESS_CONTROL_ALLOW_HEADERS,
        "authorization, content-type, idempotency-key",
    ),
    (ACCESS_CONTROL_MAX_AGE, "600"),
];

/// What every answer carries.
const ALWAYS: [(HeaderName, &str); 5] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// One request that was handled, for the log: which route, and how. It has no part of the request
/// that a caller could write a person into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled {
    /// The method, or `-` for one that no route has.
    pub method: &'static str,
    /// The route as it is declared, or `-` when there is none.
    pub route: String,
    /// The status of the answer.
    pub status: u16,
    /// How long it took.
    pub milliseconds: u128,
}

impl fmt::Display for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            method,
            route,
            status,
            milliseconds,
        } = self;
        write!(f, "{method} {route} {status} {milliseconds} ms")
    }
}

/// Lets a request in, or not.
pub(super) async fn gate(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let method = known_method(request.method());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("-", |route| route.as_str()).to_owned();
    let origin = request.headers().get(ORIGIN).cloned();
    let (mut response, is_listed) = match shop.answer(request, next).await {
        Ok(response) => (response, true),
        // Who may not call is not told more by way of an open page.
        Err(problem) => {
            let listed = !matches!(
                problem.code,
                ProblemCode::OriginNotAllowed | ProblemCode::HostNotAllowed
            );
            (shop.marked(problem).into_response(), listed)
        }
    };
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        // The counter page has a policy of its own.
        let kept = headers.entry(name);
        kept.or_insert(HeaderValue::from_static(value));
    }
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin.filter(|_| is_listed) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static("idempotent-replayed, location, retry-after");
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    (shop.log)(&Handled {
        method,
        route,
        status: response.status().as_u16(),
        milliseconds: begun.elapsed().as_millis(),
    });
    response
}

fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "-",
    }
}

impl Shop {
    async fn answer(&self, mut request: Request, next: Next) -> Result<Response, Problem> {
        self.host(&request)?;
        self.origin(request.headers())?;
        if is_preflight(&request) {
            let mut response = StatusCode::NO_CONTENT.into_response();
            for (name, value) in PREFLIGHT {
                response
                    .headers_mut()
                    .insert(name, HeaderValue::from_static(value));
            }
            return Ok(response);
        }
        let path = request.uri().path();
        if path != OPENAPI_PATH && !page::has(path) {
            let key = self.paired(request.headers())?;
            request.extensions_mut().insert(Arc::new(key));
        }
        let busy = |_| Problem::new(ProblemCode::Busy).beyond(REQUESTS_AT_ONCE_MAX);
        let _place = self.places.clone().try_acquire_owned().map_err(busy)?;
        Ok(next.run(request).await)
    }

    fn host(&self, request: &Request) -> Result<(), Problem> {
        let is_own = |host: &[u8]| self.hosts.iter().any(|own| own.as_bytes() == host);
        let mut named = request.headers().get_all(HOST).iter();
        let header = named.next().is_some_and(|host| is_own(host.as_bytes()));
        let others = named.count();
        // A target in absolute form names a host too (RFC 9112, 3.2.2).
        let target = request.uri().authority();
        let target = target.is_none_or(|host| is_own(host.as_str().as_bytes()));
        let problem = || Problem::new(ProblemCode::HostNotAllowed).of_field("Host");
        (header && others == 0 && target)
            .then_some(())
            .ok_or_else(problem)
    }

    fn origin(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let mut named = headers.get_all(ORIGIN).iter();
        let is_listed = |origin: &HeaderValue| {
            let origin = origin.as_bytes();
            let mut listed = self.origins.iter().chain([&self.own_origin]);
            listed.any(|own| own.as_bytes() == origin)
        };
        let problem = || Problem::new(ProblemCode::OriginNotAllowed).of_field("Origin");
        named.all(is_listed).then_some(()).ok_or_else(problem)
    }

    fn paired(&self, headers: &HeaderMap) -> Result<RequestKey, Problem> {
        let problem = || Problem::new(ProblemCode::NotPaired).of_field("Authorization");
        let shown = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = shown.and_then(|value| value.split_once(' '));
        // The scheme is case-insensitive (RFC 9110, 11.1).
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        let (_, token) = token.ok_or_else(problem)?;
        self.pairing.admit(token).ok_or_else(problem)
    }

    /// A problem, marked when a simulation tells it.
    pub(super) fn marked(&self, problem: Problem) -> Problem {
        Problem {
            simulated: self.counter.is_simulated(),
            ..problem
        }
    }
}

fn is_preflight(request: &Request) -> bool {
    let headers = request.headers();
    *request.method() == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}
