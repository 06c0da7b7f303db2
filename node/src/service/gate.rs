//! What is checked before a call reaches its service: the method is listed, there is a deadline,
//! and the key may call it. What came of it is counted here too.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use proto::signing::PublicKey;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::status::{CallError, DEADLINE_MAX};
use crate::admission::{self, Access, Admission, AdmissionError, RefusedTill};
use crate::clock;
use crate::metrics::Metrics;
use crate::sequencer::{Condition, Sequencer, StopReason};
use crate::tls::PeerKey;

/// The standard health service is open to every key, and its `Watch` has no deadline.
const HEALTH_PREFIX: &str = "/grpc.health.v1.Health/";
/// The header that carries a call's deadline (gRPC over HTTP/2, "Timeout").
const TIMEOUT_HEADER: &str = "grpc-timeout";

/// A call on its way through the gate.
type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// Puts the gate in front of a service.
#[derive(Debug, Clone)]
pub struct GateLayer {
    sequencer: Sequencer,
    fresh_for: Duration,
    metrics: Arc<Metrics>,
}

impl GateLayer {
    /// A gate that admits by this ledger's newest published state, and tills only while a quorum
    /// has vouched for it within `fresh_for`.
    #[must_use]
    pub const fn new(sequencer: Sequencer, fresh_for: Duration, metrics: Arc<Metrics>) -> Self {
        Self {
            sequencer,
            fresh_for,
            metrics,
        }
    }

    /// Lets a call in, or says why not. What an admitted key is goes on with the call.
    fn check(&self, access: Access, request: &mut Request<Body>) -> Result<(), CallError> {
        check_deadline(request.headers())?;
        if access == Access::Anyone {
            return Ok(());
        }
        let key = request.extensions().get::<PeerKey>();
        let key = key.ok_or(CallError::NoPeer)?.0;
        match self.admit(access, &key) {
            Err(CallError::Admission(AdmissionError::Refused(reason)))
                if access.is_recorded() && admission::was_granted(reason) =>
            {
                request.extensions_mut().insert(RefusedTill(reason));
            }
            admitted => {
                request.extensions_mut().insert(admitted?);
            }
        }
        Ok(())
    }

    /// What a key is that may make a call of this access now.
    ///
    /// # Errors
    /// [`CallError`]: it may not, or this node lets nobody in.
    pub(super) fn admit(&self, access: Access, key: &PublicKey) -> Result<Admission, CallError> {
        if self.sequencer.condition() == Condition::Stopped(StopReason::Contradicted) {
            return Err(CallError::Contradicted);
        }
        let (snapshot, now) = (self.sequencer.snapshot(), clock::now());
        let admission = admission::admit(&snapshot, key, now)?;
        admission::allow(access, admission).map_err(AdmissionError::Refused)?;
        let is_member = matches!(admission, Admission::Member(_));
        self.require_fresh(is_member, snapshot.age(now.seconds()))?;
        Ok(admission)
    }

    /// Times a call of this method that is one of many in a stream.
    pub(super) fn timed(&self, method: &'static str) -> Timer {
        Timer::start(method, self.metrics.clone())
    }
}

impl GateLayer {
    /// A till may have been revoked in what this node has not heard of. A member's key goes only
    /// with a roster, which takes days to agree on.
    fn require_fresh(&self, is_member: bool, age: Option<Duration>) -> Result<(), CallError> {
        if is_member || age.is_some_and(|age| age <= self.fresh_for) {
            return Ok(());
        }
        self.metrics.cut_off();
        Err(CallError::CutOff)
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate {
            inner,
            rules: self.clone(),
        }
    }
}

/// A service behind the gate.
#[derive(Debug, Clone)]
pub struct Gate<S> {
    inner: S,
    rules: GateLayer,
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let path = request.uri().path();
        if path.starts_with(HEALTH_PREFIX) {
            return Box::pin(self.inner.call(request));
        }
        let Some((method, access)) = admission::method(path) else {
            return answer(CallError::MethodUnknown.into());
        };
        let timer = Timer::start(method, self.rules.metrics.clone());
        if let Err(error) = self.rules.check(access, &mut request) {
            let status = Status::from(error);
            timer.end(status.code());
            return answer(status);
        }
        let answered = self.inner.call(request);
        Box::pin(async move {
            let response = answered.await?;
            timer.end(code_of(&response));
            Ok(response)
        })
    }
}

fn answer(status: Status) -> Answering {
    Box::pin(std::future::ready(Ok(status.into_http())))
}

/// Times one call. A call that is given up, by deadline or by the peer, counts as cancelled.
pub(super) struct Timer {
    method: &'static str,
    metrics: Arc<Metrics>,
    started: Instant,
    code: Code,
}

impl Timer {
    fn start(method: &'static str, metrics: Arc<Metrics>) -> Self {
        Self {
            method,
            metrics,
            started: Instant::now(),
            code: Code::Cancelled,
        }
    }

    pub(super) fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.metrics
            .rpc_answered(self.method, self.code, self.started.elapsed());
    }
}

/// An error of a unary call is in the headers; a success ends in trailers, which are OK.
fn code_of(response: &Response<Body>) -> Code {
    Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
}

fn check_deadline(headers: &HeaderMap) -> Result<(), CallError> {
    let header = headers
        .get(TIMEOUT_HEADER)
        .ok_or(CallError::DeadlineMissing)?;
    let deadline = header.to_str().ok().and_then(parse_timeout);
    let fits = deadline.is_some_and(|deadline| deadline <= DEADLINE_MAX);
    fits.then_some(()).ok_or(CallError::DeadlineUnfit)
}

/// Reads `grpc-timeout`: 1 to 8 digits and a unit (gRPC over HTTP/2, "Timeout").
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let shaped = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let value: u64 = digits.parse().ok().filter(|_| shaped)?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        for (text, want) in [
            ("10S", Some(Duration::from_secs(10))),
            ("00000001m", Some(Duration::from_millis(1))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("5u", Some(Duration::from_micros(5))),
            ("123456789S", None),
            ("S", None),
            ("", None),
            ("+1S", None),
            ("1s", None),
            ("1é", None),
        ] {
            assert_eq!(parse_timeout(text), want, "{text}");
        }
    }

    #[test]
    fn a_call_without_a_deadline_or_with_a_far_one_is_told_so() {
        let check = |value: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(TIMEOUT_HEADER, value.parse().unwrap());
            }
            check_deadline(&headers)
        };
        assert!(matches!(check(None), Err(CallError::DeadlineMissing)));
        assert!(matches!(check(Some("61S")), Err(CallError::DeadlineUnfit)));
        assert!(matches!(check(Some("soon")), Err(CallError::DeadlineUnfit)));
        assert!(check(Some("60S")).is_ok());
        assert!(check(Some("2500m")).is_ok());
    }
}
