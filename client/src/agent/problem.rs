//! Why a request gets no answer: RFC 9457 problems with a stable code each.
//!
//! A problem names the field and the limit, and never a value: what a till sends may be a
//! person's. That a rule says no is an answer and no problem.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::failure::{Failure, FailureKind};

/// The media type of every problem (RFC 9457, section 3).
pub const PROBLEM_JSON: &str = "application/problem+json";

/// Declares the list once: name, code, status, title.
macro_rules! problems {
    ($($name:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// What is wrong, by a code that never changes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
        #[serde(rename_all = "kebab-case")]
        pub enum ProblemCode {
            $(#[doc = $title] $name,)*
        }

        impl ProblemCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status that goes with it.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The code as the `type` of a problem: a URN of Vitrail's own.
            #[must_use]
            pub const fn urn(self) -> &'static str {
                match self { $(Self::$name => concat!("urn:vitrail:problem:", $code),)* }
            }

            /// What it means, for every occurrence.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

problems! {
    HostNotAllowed = "host-not-allowed", 421,
        "The Host header is not the address of this agent.";
    OriginNotAllowed = "origin-not-allowed", 403,
        "Pages of this origin may not call this agent.";
    NotPaired = "not-paired", 401,
        "The request carries no pairing token, or another one.";
    NotFound = "not-found", 404,
        "There is nothing under this path.";
    MethodNotAllowed = "method-not-allowed", 405,
        "The path has another method.";
    BodyTooLong = "body-too-long", 413,
        "The body is longer than any request is.";
    BodyNotJson = "body-not-json", 415,
        "The body must be application/json.";
    BodyMalformed = "body-malformed", 400,
        "The body is not the JSON of this request.";
    FieldInvalid = "field-invalid", 400,
        "A field of the request is not of its form.";
    IdempotencyKeyMissing = "idempotency-key-missing", 400,
        "This request needs an Idempotency-Key header.";
    IdempotencyKeyMalformed = "idempotency-key-malformed", 400,
        "The Idempotency-Key header is not of its form.";
    IdempotencyKeyReused = "idempotency-key-reused", 422,
        "This Idempotency-Key was used for another request.";
    IdempotencyKeyInUse = "idempotency-key-in-use", 409,
        "A request with this Idempotency-Key is still being worked on.";
    QuoteUnknown = "quote-unknown", 422,
        "No kept quote has this name.";
    EntryUnknown = "entry-unknown", 422,
        "The ledger has no entry at this place.";
    NotATestCard = "not-a-test-card", 422,
        "A simulating agent takes its test cards alone.";
    Unfit = "unfit", 422,
        "The request can be read, and does not fit what it is about.";
    Refused = "refused", 403,
        "The federation does not admit this till, or not to this.";
    Busy = "busy", 503,
        "The agent has too much to do: ask again.";
    Unreachable = "unreachable", 503,
        "Nobody could be asked, and nothing was sent: ask again.";
    OutcomeUnknown = "outcome-unknown", 504,
        "It is not known yet what becomes of it: ask again with the same Idempotency-Key.";
    LedgerContradicted = "ledger-contradicted", 502,
        "Members have signed a ledger that contradicts what was seen before.";
    NotKept = "not-kept", 500,
        "The agent could not write to its own folder.";
}

/// A problem, as RFC 9457 has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(title = "Problem")]
pub struct Problem {
    /// `urn:vitrail:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What the code means.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The code.
    pub code: ProblemCode,
    /// What is wrong this time. It holds no value of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The field it is about, as a JSON pointer (RFC 6901), or the name of a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The limit that was passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub limit: Option<Box<str>>,
    /// What may be tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<&'static str>,
    /// Whether a simulating agent says it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub simulated: bool,
}

impl Problem {
    /// The bare problem.
    #[must_use]
    pub fn new(code: ProblemCode) -> Self {
        Self {
            kind: code.urn(),
            title: code.title(),
            status: code.status(),
            code,
            detail: None,
            field: None,
            limit: None,
            hint: None,
            simulated: false,
        }
    }

    /// The same about a field.
    #[must_use]
    pub fn of_field(self, field: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            ..self
        }
    }

    /// The same with what is wrong this time.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "errors and texts alike")]
    pub fn saying(self, detail: impl ToString) -> Self {
        Self {
            detail: Some(detail.to_string()),
            ..self
        }
    }

    /// The same with the limit that was passed.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "figures and texts alike")]
    pub fn beyond(self, limit: impl ToString) -> Self {
        Self {
            limit: Some(limit.to_string().into()),
            ..self
        }
    }

    /// A field that is not of its form. The error names field and limit, as all errors here do.
    #[must_use]
    pub fn invalid(field: impl Into<String>, why: impl ToString) -> Self {
        Self::new(ProblemCode::FieldInvalid)
            .of_field(field)
            .saying(why)
    }

    /// What a failure is when nothing was sent yet.
    #[must_use]
    pub fn of(failure: &dyn Failure) -> Self {
        let code = match failure.kind() {
            FailureKind::Malformed => ProblemCode::Unfit,
            FailureKind::Refused => ProblemCode::Refused,
            FailureKind::Unavailable => ProblemCode::Unreachable,
            FailureKind::Contradicted => ProblemCode::LedgerContradicted,
        };
        Self {
            hint: failure.hint(),
            ..Self::new(code).saying(failure)
        }
    }

    /// What a failure is once something may have been sent: the same key finds out.
    #[must_use]
    pub fn after_sending(failure: &dyn Failure) -> Self {
        match failure.kind() {
            FailureKind::Contradicted => Self::of(failure),
            _ => Self::new(ProblemCode::OutcomeUnknown).saying(failure),
        }
    }
}

impl<E: Failure> From<E> for Problem {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        match self.code {
            ProblemCode::NotPaired => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            ProblemCode::Busy | ProblemCode::IdempotencyKeyInUse => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_its_json_name_and_its_type() {
        for code in ProblemCode::ALL {
            let json = serde_json::to_value(Problem::new(*code)).unwrap();
            assert_eq!(json["code"], code.as_str());
            assert_eq!(
                json["type"],
                format!("urn:vitrail:problem:{}", code.as_str())
            );
            assert!(StatusCode::from_u16(code.status()).is_ok_and(|status| status.as_u16() >= 400));
        }
    }

    #[test]
    fn a_problem_has_these_bytes() {
        let problem = Problem::invalid("/card/nir", "the key does not match");
        insta::assert_snapshot!(serde_json::to_string(&problem).unwrap(), @r#"{"type":"urn:vitrail:problem:field-invalid","title":"A field of the request is not of its form.","status":400,"code":"field-invalid","detail":"the key does not match","field":"/card/nir"}"#);
    }
}
