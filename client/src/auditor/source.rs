//! Where an auditor reads the log: plain HTTP, paths of C2SP tlog-tiles.

use std::time::Duration;

use http::{StatusCode, Uri};
use http_body_util::{BodyExt as _, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use thiserror::Error;

use crate::failure::{Failure, FailureKind};

/// How long one file may take: the longest, a bundle of 256 of the largest entries, has 8 MB.
pub const FETCH_DEADLINE: Duration = Duration::from_secs(30);
/// How often a file is asked for again.
pub const FETCH_RETRIES_MAX: u32 = 3;

/// Why a file of the log cannot be had. The path is one of the log's own.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FetchError {
    /// The address is none.
    #[error("the address of a log must be http://host[:port][/path]")]
    Address,
    /// There is no such file.
    #[error("{path} is not there")]
    NotFound {
        /// Its path.
        path: String,
    },
    /// It is longer than its kind of file ever is, or was cut.
    #[error("{path} cannot be read whole, or is longer than {limit} bytes")]
    Body {
        /// Its path.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// The server answered with something else than the file.
    #[error("{path}: the server answered {status}")]
    Status {
        /// Its path.
        path: String,
        /// The HTTP status.
        status: u16,
    },
    /// The server does not answer.
    #[error("{path}: the server does not answer")]
    Unreachable {
        /// Its path.
        path: String,
    },
}

impl Failure for FetchError {
    fn kind(&self) -> FailureKind {
        match self {
            Self::Address => FailureKind::Malformed,
            Self::NotFound { .. }
            | Self::Body { .. }
            | Self::Status { .. }
            | Self::Unreachable { .. } => FailureKind::Unavailable,
        }
    }
}

/// The files of a log. Nothing that comes out is believed.
pub trait LogSource: Sync {
    /// The file with this path, such as `checkpoint` or `tile/0/000`, up to a length.
    ///
    /// # Errors
    /// [`FetchError`], see its variants.
    fn fetch(
        &self,
        path: &str,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<u8>, FetchError>> + Send;
}

/// The files of a log over HTTP.
#[derive(Debug, Clone)]
pub struct HttpSource {
    base: String,
    client: Client<HttpConnector, String>,
}

impl HttpSource {
    /// The log at `http://host[:port][/path]`.
    ///
    /// # Errors
    /// [`FetchError::Address`].
    pub fn new(address: &str) -> Result<Self, FetchError> {
        let base = address.trim_end_matches('/').to_owned();
        let uri: Uri = base.parse().map_err(|_| FetchError::Address)?;
        let is_plain = uri.scheme_str() == Some("http") && uri.query().is_none();
        if !is_plain || uri.host().is_none_or(str::is_empty) {
            return Err(FetchError::Address);
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        Ok(Self { base, client })
    }

    async fn attempt(&self, path: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        let path = || path.to_owned();
        let uri = format!("{}/{}", self.base, path())
            .parse()
            .map_err(|_| FetchError::Address)?;
        let unreachable = |_| FetchError::Unreachable { path: path() };
        let response = self.client.get(uri).await.map_err(unreachable)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(FetchError::NotFound { path: path() }),
            status => {
                return Err(FetchError::Status {
                    path: path(),
                    status: status.as_u16(),
                });
            }
        }
        let body = Limited::new(response.into_body(), limit).collect().await;
        let body = body.map_err(|_| FetchError::Body {
            path: path(),
            limit,
        })?;
        Ok(body.to_bytes().to_vec())
    }
}

impl LogSource for HttpSource {
    async fn fetch(&self, path: &str, limit: usize) -> Result<Vec<u8>, FetchError> {
        let mut attempt = 0;
        loop {
            let unreachable = || {
                Err(FetchError::Unreachable {
                    path: path.to_owned(),
                })
            };
            let fetched = tokio::time::timeout(FETCH_DEADLINE, self.attempt(path, limit)).await;
            let fetched = fetched.unwrap_or_else(|_| unreachable());
            let again = match &fetched {
                Err(FetchError::Unreachable { .. }) => true,
                Err(FetchError::Status { status, .. }) => *status >= 500,
                _ => false,
            };
            if !again || attempt == FETCH_RETRIES_MAX {
                return fetched;
            }
            tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
            attempt += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_http_with_a_host() {
        for good in ["http://127.0.0.1:7480", "http://log.example/optique/"] {
            assert!(HttpSource::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "log.example",
            "https://log.example",
            "http://",
            "http://a/?b",
            "/a",
        ] {
            assert!(
                matches!(HttpSource::new(bad), Err(FetchError::Address)),
                "{bad}"
            );
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unreachable() {
        // Port 1 of the loopback: nothing listens there.
        let source = HttpSource::new("http://127.0.0.1:1").unwrap();
        let fetched = source.fetch("checkpoint", 10).await;
        assert!(matches!(fetched, Err(FetchError::Unreachable { .. })));
    }
}
