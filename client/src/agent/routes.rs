//! The routes under `/v1`, each with its description for OpenAPI.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Router, middleware};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use proto::ids::UnixSeconds;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::answer::{
    CheckAnswer, EntryAnswer, QueueAnswer, QueuedAnswer, ReceiptItem, ReceiptsAnswer, StatusAnswer,
};
use super::conformance::{ConformanceAnswer, Seen};
use super::entries::{self, EntriesAnswer};
use super::fingerprint::{self, FingerprintAnswer};
use super::idempotency::{Begun, Keyed, Open, Operation};
use super::openapi::{OPENAPI_PATH, openapi_json};
use super::outbound::OutboundAnswer;
use super::pairing::RequestKey;
use super::problem::{Problem, ProblemCode};
use super::request::{self, CheckRequest, ClaimRequest, DeliverRequest, ReleaseRequest};
use super::{ANSWER_WITHIN, BODY_BYTES_MAX, BODY_WITHIN, Shop, gate, page};
use crate::files::FileError;
use crate::receipts::ReceiptName;
use crate::system;

/// Largest number of a query: the description says `int64`.
pub const NUMBER_MAX: u64 = i64::MAX as u64;
/// Most receipts of one page.
pub const RECEIPTS_PAGE_MAX: usize = 200;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
/// The header of an answer that was given before.
const REPLAYED: &str = "idempotent-replayed";
const RECEIPTS: &str = "/v1/receipts/";
const FINGERPRINT: &str = "/fingerprint";
const QUEUE: &str = "/v1/queue/";
const DAY_S: u64 = 24 * 3600;

type Answer = Result<Response, Problem>;
type Key = Extension<Arc<RequestKey>>;

/// All routes behind the gate.
pub(super) fn router(shop: Arc<Shop>) -> Router {
    let routes = Router::new()
        .route(OPENAPI_PATH, get(description))
        .route("/v1/check", post(check))
        .route("/v1/claim", post(claim))
        .route("/v1/deliver", post(deliver))
        .route("/v1/release", post(release))
        .route("/v1/receipts", get(receipts))
        .route("/v1/receipts/{name}", get(receipt))
        .route("/v1/receipts/{name}/fingerprint", get(fingerprint))
        .route("/v1/entries", get(entries))
        .route("/v1/queue", get(queue))
        .route("/v1/queue/{name}", get(queued))
        .route("/v1/status", get(status))
        .route("/v1/outbound", get(outbound))
        .route("/v1/conformance", get(conformance))
        .merge(page::routes())
        .fallback(nothing)
        .method_not_allowed_fallback(other_method);
    routes
        .layer(middleware::from_fn_with_state(shop.clone(), gate::gate))
        .with_state(shop)
}

async fn nothing(State(shop): State<Arc<Shop>>) -> Problem {
    shop.marked(Problem::new(ProblemCode::NotFound))
}

async fn other_method(State(shop): State<Arc<Shop>>) -> Problem {
    shop.marked(Problem::new(ProblemCode::MethodNotAllowed))
}

async fn description() -> Response {
    ([(header::CONTENT_TYPE, JSON)], openapi_json()).into_response()
}

/// What is covered, who pays what, and what is left to pay.
///
/// Nothing is reserved by it. A line that is not covered, and items that a rule refuses, are
/// answers.
#[utoipa::path(
    post, path = "/v1/check", tag = "counter", operation_id = "check",
    request_body = CheckRequest,
    responses((status = 200, body = CheckAnswer, description = "Who pays what.")),
    security(("pairing" = []))
)]
pub(super) async fn check(State(shop): State<Arc<Shop>>, headers: HeaderMap, body: Body) -> Answer {
    shop.clone()
        .told(async move {
            let body = read(&headers, body).await?;
            let (sale, keep) = request::parse::<CheckRequest>(&body)?.read()?;
            let checked = timeout(ANSWER_WITHIN, shop.counter.check(sale, keep)).await;
            let answer = checked.map_err(|_| Problem::new(ProblemCode::Unreachable))?;
            Ok(json(200, &answer?))
        })
        .await
}

/// Reserves what is covered, and keeps the receipt.
///
/// The same Idempotency-Key with the same body gives the same answer, also after a restart.
#[utoipa::path(
    post, path = "/v1/claim", tag = "counter", operation_id = "claim",
    request_body = ClaimRequest,
    params(("Idempotency-Key" = String, Header, min_length = 16, max_length = 66,
        pattern = "^(\"[A-Za-z0-9_-]{16,64}\"|[A-Za-z0-9_-]{16,64})$",
        description = "Drawn anew for each claim, and the same whenever that claim is sent again.")),
    responses(
        (status = 200, body = EntryAnswer, description = "Accepted, or refused by a rule."),
        (status = 202, body = EntryAnswer, description = "It waits on this machine.")
    ),
    security(("pairing" = []))
)]
pub(super) async fn claim(
    State(shop): State<Arc<Shop>>,
    Extension(key): Key,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked = Asked { key, headers, body };
    let work = |shop: Arc<Shop>, what, open| async move { shop.counter.claim(what, open).await };
    once(shop, Operation::Claim, asked, ClaimRequest::read, work).await
}

/// Hands over what was claimed, and invoices it to its payers.
#[utoipa::path(
    post, path = "/v1/deliver", tag = "counter", operation_id = "deliver",
    request_body = DeliverRequest,
    params(("Idempotency-Key" = String, Header, min_length = 16, max_length = 66,
        pattern = "^(\"[A-Za-z0-9_-]{16,64}\"|[A-Za-z0-9_-]{16,64})$",
        description = "As for a claim.")),
    responses((status = 200, body = EntryAnswer, description = "Accepted, or refused by a rule.")),
    security(("pairing" = []))
)]
pub(super) async fn deliver(
    State(shop): State<Arc<Shop>>,
    Extension(key): Key,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked = Asked { key, headers, body };
    let work = |shop: Arc<Shop>, what, open| async move { shop.counter.deliver(what, open).await };
    once(shop, Operation::Delivery, asked, DeliverRequest::read, work).await
}

/// Gives claimed slots back, or takes delivered goods back.
#[utoipa::path(
    post, path = "/v1/release", tag = "counter", operation_id = "release",
    request_body = ReleaseRequest,
    params(("Idempotency-Key" = String, Header, min_length = 16, max_length = 66,
        pattern = "^(\"[A-Za-z0-9_-]{16,64}\"|[A-Za-z0-9_-]{16,64})$",
        description = "As for a claim.")),
    responses((status = 200, body = EntryAnswer, description = "Accepted, or refused by a rule.")),
    security(("pairing" = []))
)]
pub(super) async fn release(
    State(shop): State<Arc<Shop>>,
    Extension(key): Key,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let asked = Asked { key, headers, body };
    let work = |shop: Arc<Shop>, what, open| async move { shop.counter.release(what, open).await };
    once(shop, Operation::Release, asked, ReleaseRequest::read, work).await
}

/// The receipts of this till, and the proofs of its refusals.
#[utoipa::path(
    get, path = "/v1/receipts", tag = "receipts", operation_id = "receipts",
    params(
        ("after" = Option<String>, Query, description = "The name that the page begins behind."),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200,
            description = "Most receipts of the page; 200 if left out.")
    ),
    responses((status = 200, body = ReceiptsAnswer, description = "A page of names.")),
    security(("pairing" = []))
)]
pub(super) async fn receipts(State(shop): State<Arc<Shop>>, uri: Uri) -> Answer {
    let page = || {
        let (mut after, mut limit) = (None, RECEIPTS_PAGE_MAX);
        for (name, value) in uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|it| it.split_once('='))
        {
            match name {
                "after" => {
                    let named = ReceiptName::parse(value);
                    after = Some(
                        named.ok_or_else(|| Problem::invalid("after", "the name of a receipt"))?,
                    );
                }
                "limit" => {
                    let wanted = value
                        .parse()
                        .ok()
                        .filter(|it| (1..=RECEIPTS_PAGE_MAX).contains(it));
                    let problem =
                        || Problem::invalid("limit", "a number from 1").beyond(RECEIPTS_PAGE_MAX);
                    limit = wanted.ok_or_else(problem)?;
                }
                _ => {}
            }
        }
        let names = shop
            .receipts
            .names()
            .map_err(super::idempotency::not_kept)?;
        let mut rest = names
            .into_iter()
            .filter(|name| after.as_ref().is_none_or(|after| name > after));
        let listed: Vec<ReceiptName> = rest.by_ref().take(limit).collect();
        let next = rest
            .next()
            .and_then(|_| listed.last())
            .map(|last| last.as_str().to_owned());
        let item = |name: &ReceiptName| ReceiptItem {
            name: name.as_str().to_owned(),
            kind: name.kind().to_owned(),
            refusal: name.is_refusal(),
        };
        Ok(json(
            200,
            &ReceiptsAnswer {
                receipts: listed.iter().map(item).collect(),
                next,
                simulated: shop.counter.is_simulated(),
            },
        ))
    };
    page().map_err(|problem| shop.marked(problem))
}

/// One receipt, as `vitrail receipt verify` takes it.
#[utoipa::path(
    get, path = "/v1/receipts/{name}", tag = "receipts", operation_id = "receipt",
    params(("name" = String, Path, description = "Its name, as `GET /v1/receipts` gives it.")),
    responses((status = 200, body = String, content_type = "text/plain",
        description = "The text of the file.")),
    security(("pairing" = []))
)]
pub(super) async fn receipt(State(shop): State<Arc<Shop>>, uri: Uri) -> Answer {
    let text = shop.receipt(uri.path().strip_prefix(RECEIPTS))?;
    shop.saw(|| Seen::ReceiptRead);
    Ok(([(header::CONTENT_TYPE, TEXT)], text).into_response())
}

/// What a receipt is told apart by: the ledger, the place and the leaf of its entry, also as a QR code.
///
/// Proofs of refusals have none.
#[utoipa::path(
    get, path = "/v1/receipts/{name}/fingerprint", tag = "receipts", operation_id = "fingerprint",
    params(("name" = String, Path, description = "Its name, as `GET /v1/receipts` gives it.")),
    responses((status = 200, body = FingerprintAnswer, description = "As text and as SVG.")),
    security(("pairing" = []))
)]
pub(super) async fn fingerprint(State(shop): State<Arc<Shop>>, uri: Uri) -> Answer {
    let name = uri.path().strip_prefix(RECEIPTS);
    let text = shop.receipt(name.and_then(|name| name.strip_suffix(FINGERPRINT)))?;
    let found = fingerprint::of(&text, shop.counter.is_simulated());
    let missing = || shop.marked(Problem::new(ProblemCode::NotFound));
    Ok(json(200, &found.ok_or_else(missing)?))
}

/// What this till has put into the ledger lately, by its receipts, and what may still be done with it.
#[utoipa::path(
    get, path = "/v1/entries", tag = "receipts", operation_id = "entries",
    params(("since" = Option<u64>, Query,
        description = "The earliest moment, in seconds since 1970; the last 24 hours if left out.")),
    responses((status = 200, body = EntriesAnswer,
        description = "The newest first, 200 of each kind at most.")),
    security(("pairing" = []))
)]
pub(super) async fn entries(State(shop): State<Arc<Shop>>, uri: Uri) -> Answer {
    let page = || {
        let day_ago = system::now().seconds().get().saturating_sub(DAY_S);
        let since = UnixSeconds::new(number(&uri, "since")?.unwrap_or(day_ago));
        let found = entries::since(&shop.receipts, since);
        let (entries, more) = found.map_err(super::idempotency::not_kept)?;
        let simulated = shop.counter.is_simulated();
        Ok(json(
            200,
            &EntriesAnswer {
                entries,
                more,
                simulated,
            },
        ))
    };
    page().map_err(|problem| shop.marked(problem))
}

/// Claims that wait on this machine, and those refused while they did.
#[utoipa::path(
    get, path = "/v1/queue", tag = "queue", operation_id = "queue",
    responses((status = 200, body = QueueAnswer, description = "The oldest first.")),
    security(("pairing" = []))
)]
pub(super) async fn queue(State(shop): State<Arc<Shop>>) -> Answer {
    let claims = shop
        .counter
        .queued()
        .await
        .map_err(|problem| shop.marked(problem))?;
    let waiting = claims.iter().filter(|claim| claim.answer.is_none()).count();
    shop.saw(|| Seen::QueueAsked);
    Ok(json(
        200,
        &QueueAnswer {
            claims,
            waiting,
            simulated: shop.counter.is_simulated(),
        },
    ))
}

/// What became of a claim that was queued.
#[utoipa::path(
    get, path = "/v1/queue/{name}", tag = "queue", operation_id = "queued",
    params(("name" = String, Path, description = "Its name, as the answer 202 gives it.")),
    responses((status = 200, body = QueuedAnswer, description = "Where it stands.")),
    security(("pairing" = []))
)]
pub(super) async fn queued(State(shop): State<Arc<Shop>>, uri: Uri) -> Answer {
    let name = uri.path().strip_prefix(QUEUE).unwrap_or_default();
    let found = match shop.requests.answer_of(name) {
        Some(answer) => Some(QueuedAnswer::answered(name, answer)),
        None => {
            let waiting = shop.counter.queued_as(name).await;
            waiting.map_err(|problem| shop.marked(problem))?
        }
    };
    shop.saw(|| Seen::QueueAsked);
    let missing = || shop.marked(Problem::new(ProblemCode::NotFound));
    Ok(json(200, &found.ok_or_else(missing)?))
}

/// Who of the federation is there, and how old what they say is.
#[utoipa::path(
    get, path = "/v1/status", tag = "status", operation_id = "status",
    responses((status = 200, body = StatusAnswer, description = "How things stand.")),
    security(("pairing" = []))
)]
pub(super) async fn status(State(shop): State<Arc<Shop>>) -> Answer {
    Ok(json(200, &shop.counter.status().await))
}

/// What left this machine for the federation, byte for byte: the last messages, up to a limit.
#[utoipa::path(
    get, path = "/v1/outbound", tag = "status", operation_id = "outbound",
    params(("after" = Option<u64>, Query,
        description = "The number of the last message that is not asked for; 0 if left out.")),
    responses((status = 200, body = OutboundAnswer, description = "In the order of leaving.")),
    security(("pairing" = []))
)]
pub(super) async fn outbound(State(shop): State<Arc<Shop>>, uri: Uri) -> Answer {
    let after = number(&uri, "after").map_err(|problem| shop.marked(problem))?;
    let simulated = shop.counter.is_simulated();
    let left = shop.outbound.after(after.unwrap_or(0), simulated);
    Ok(json(200, &left))
}

/// How far the scenarios of the conformance kit have been played. A simulating agent with a
/// script has it.
#[utoipa::path(
    get, path = "/v1/conformance", tag = "status", operation_id = "conformance",
    responses((status = 200, body = ConformanceAnswer, description = "Passed, failed, not played.")),
    security(("pairing" = []))
)]
pub(super) async fn conformance(State(shop): State<Arc<Shop>>) -> Answer {
    let watching = shop.conformance.as_ref();
    let missing = || shop.marked(Problem::new(ProblemCode::NotFound));
    Ok(json(200, &watching.ok_or_else(missing)?.answer()))
}

impl Shop {
    /// The text of a receipt.
    fn receipt(&self, name: Option<&str>) -> Result<String, Problem> {
        let missing = || self.marked(Problem::new(ProblemCode::NotFound));
        let name = name.and_then(ReceiptName::parse).ok_or_else(missing)?;
        self.receipts.read(&name).map_err(|error| match error {
            FileError::Missing { .. } => missing(),
            error => self.marked(super::idempotency::not_kept(error)),
        })
    }

    /// Lets the conformance kit see what was asked, if it watches.
    fn saw(&self, seen: impl FnOnce() -> Seen) {
        if let Some(conformance) = &self.conformance {
            conformance.saw(seen());
        }
    }

    /// The answer, its problems marked when a simulation tells them.
    async fn told(&self, work: impl Future<Output = Answer>) -> Answer {
        work.await.map_err(|problem| self.marked(problem))
    }
}

/// A number of the query.
fn number(uri: &Uri, name: &'static str) -> Result<Option<u64>, Problem> {
    let pairs = uri.query().unwrap_or_default().split('&');
    let mut values = pairs.filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let Some(value) = values.next_back() else {
        return Ok(None);
    };
    let read = value.parse().ok().filter(|it| *it <= NUMBER_MAX);
    let problem = || Problem::invalid(name, "a whole number").beyond(NUMBER_MAX);
    read.map(Some).ok_or_else(problem)
}

/// The body, up to its limit, and of the one kind there is.
async fn read(headers: &HeaderMap, body: Body) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case(JSON)) {
        return Err(Problem::new(ProblemCode::BodyNotJson).of_field("Content-Type"));
    }
    let collected = timeout(BODY_WITHIN, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let cut = || Problem::new(ProblemCode::BodyMalformed).saying("the body did not come whole");
    let collected = collected.map_err(|_| cut())?.map_err(|error| {
        match error.downcast_ref::<LengthLimitError>() {
            Some(_) => {
                Problem::new(ProblemCode::BodyTooLong).beyond(format!("{BODY_BYTES_MAX} bytes"))
            }
            None => cut(),
        }
    })?;
    Ok(Zeroizing::new(collected.to_bytes().to_vec()))
}

/// A request that writes, as it came.
struct Asked {
    key: Arc<RequestKey>,
    headers: HeaderMap,
    body: Body,
}

impl Asked {
    /// What is asked, and the key that it is asked under.
    async fn read<T: DeserializeOwned, R>(
        self,
        operation: Operation,
        read_whole: impl FnOnce(&T) -> Result<R, Problem>,
    ) -> Result<(Keyed, R), Problem> {
        let body = read(&self.headers, self.body).await?;
        let shown = self.headers.get("idempotency-key");
        let shown = shown.map(HeaderValue::as_bytes);
        let keyed = Keyed::read(operation, shown, &body, &self.key)?;
        let asked = request::parse::<T>(&body)?;
        Ok((keyed, read_whole(&asked)?))
    }
}

/// The answer to a request that writes: what it has the counter do happens once for its key.
async fn once<T, R, W>(
    shop: Arc<Shop>,
    operation: Operation,
    asked: Asked,
    read_whole: impl FnOnce(&T) -> Result<R, Problem>,
    work: impl FnOnce(Arc<Shop>, R, Open) -> W,
) -> Answer
where
    T: DeserializeOwned,
    W: Future<Output = Result<EntryAnswer, Problem>> + Send + 'static,
{
    let answer = async {
        let (keyed, what) = asked.read(operation, read_whole).await?;
        write(shop.clone(), keyed, |shop, open| work(shop, what, open)).await
    };
    shop.told(answer).await
}

/// Does a request that writes, once. It goes on when the caller hangs up or its time is over.
async fn write<F, W>(shop: Arc<Shop>, keyed: Keyed, work: F) -> Answer
where
    F: FnOnce(Arc<Shop>, Open) -> W,
    W: Future<Output = Result<EntryAnswer, Problem>> + Send + 'static,
{
    let open = match shop.requests.begin(keyed, system::now())? {
        Begun::Answered(answer) => {
            let mut response = told(&answer);
            let replayed = HeaderValue::from_static("true");
            response.headers_mut().insert(REPLAYED, replayed);
            return Ok(response);
        }
        Begun::Open(open) => *open,
    };
    let at_work = tokio::spawn(work(shop.clone(), open));
    match timeout(ANSWER_WITHIN, at_work).await {
        Ok(Ok(answer)) => Ok(told(&answer?)),
        Ok(Err(_)) | Err(_) => Err(Problem::new(ProblemCode::OutcomeUnknown)),
    }
}

fn told(answer: &EntryAnswer) -> Response {
    let mut response = json(answer.status(), answer);
    let ask = answer
        .queued
        .as_ref()
        .map(|waiting| HeaderValue::from_str(&waiting.ask));
    if let Some(Ok(ask)) = ask {
        response.headers_mut().insert(header::LOCATION, ask);
    }
    response
}

fn json(status: u16, answer: &impl Serialize) -> Response {
    let body = serde_json::to_vec(answer).unwrap_or_default();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, JSON)], body).into_response()
}
