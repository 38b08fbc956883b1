//! Why a request was not accepted, and why a client could not be set up: each one line.

use std::path::PathBuf;
use std::time::Duration;

use http::StatusCode;
use tonic::Code;

/// A client that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A PEM file that cannot be read or holds nothing usable.
    #[error("{path}: {problem}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Certificates and key do not make a TLS client.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// An attempt that did not end with the receiver accepting the request.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum SendError {
    #[error("cannot connect to {endpoint}: {detail}")]
    Unreachable { endpoint: String, detail: String },
    #[error("TLS with {endpoint} failed: {detail}")]
    Tls { endpoint: String, detail: String },
    #[error("{endpoint} closed the connection without an answer: {detail}")]
    Disconnected { endpoint: String, detail: String },
    #[error("{endpoint} did not answer within {} ms", limit.as_millis())]
    TimedOut { endpoint: String, limit: Duration },
    #[error("{endpoint} does not speak {protocol}: {detail}")]
    NotOtlp { endpoint: String, protocol: &'static str, detail: String },
    #[error("{endpoint} answered {code:?}: {message}")]
    Grpc { endpoint: String, code: Code, message: String, retry_after: Option<Duration> },
    #[error("{endpoint} answered {status}: {message}")]
    Http { endpoint: String, status: StatusCode, message: String, retry_after: Option<Duration> },
    #[error("the answer of {endpoint} is larger than {limit} bytes")]
    AnswerTooLarge { endpoint: String, limit: usize },
    #[error("a request of {size} bytes is larger than the {limit} bytes that OTLP allows")]
    RequestTooLarge { size: usize, limit: usize },
    #[error("the request could not be compressed: {0}")]
    Compression(String),
}

/// What hyper says of a request that waited for a connection that another one failed to make.
pub(crate) const CANCELED: &str = "request was canceled";

impl SendError {
    /// Whether it says nothing but that another request has failed.
    pub(crate) fn is_echo(&self) -> bool {
        matches!(self, Self::Unreachable { detail, .. } if detail == CANCELED)
    }
}

/// The last reason in a chain of errors: the one nearest to the cause.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    one_line(&cause.to_string())
}

/// Text from outside as one short line without control characters.
pub(crate) fn one_line(text: &str) -> String {
    const LONGEST: usize = 200;
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    line.trim_end().to_owned()
}
