//! Answers of OTLP over gRPC: status in the trailers, the response message in a frame.
//! Source: gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md), gRPC HTTP status mapping.

use http::header::CONTENT_TYPE;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::answer::Accepted;
use super::error::{SendError, one_line};
use super::transport::Answer;

pub(crate) const NAME: &str = "OTLP over gRPC";
const HEAD: usize = 5;

pub(crate) fn read(endpoint: String, answer: &Answer) -> Result<Accepted, SendError> {
    // An answer without a message carries its status in the headers.
    let status = Status::from_header_map(&answer.trailers).or_else(|| Status::from_header_map(&answer.headers));
    match status {
        Some(status) if status.code() == Code::Ok => Ok(message(&answer.body)),
        Some(status) => Err(refused(endpoint, &status)),
        None => Err(not_grpc(endpoint, answer)),
    }
}

fn message(body: &[u8]) -> Accepted {
    // The client announces no compression, so the flag has to be 0.
    match body.split_at_checked(HEAD) {
        Some(([0, ..], message)) => Accepted::decode(message),
        Some(_) => Accepted::warning("the answer is compressed although that was not offered"),
        None => Accepted::default(),
    }
}

fn refused(endpoint: String, status: &Status) -> SendError {
    let retry_after = status.get_details_retry_info().and_then(|info| info.retry_delay);
    let message = match status.code() {
        Code::Unimplemented => format!("{}; the receiver has no such service", status.message()),
        _ => status.message().to_owned(),
    };
    SendError::Grpc { endpoint, code: status.code(), message: one_line(&message), retry_after }
}

/// An answer without a gRPC status: from a proxy, or from something else altogether.
fn not_grpc(endpoint: String, answer: &Answer) -> SendError {
    if matches!(answer.status.as_u16(), 429 | 502 | 503 | 504) {
        let message = "no gRPC status".to_owned();
        return SendError::Http { endpoint, status: answer.status, message, retry_after: None };
    }
    let content_type = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("no content type");
    let detail = format!(
        "it answered {} with {}; for OTLP over HTTP set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        answer.status,
        one_line(content_type)
    );
    SendError::NotOtlp { endpoint, protocol: NAME, detail }
}
