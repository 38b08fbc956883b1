//! Answers of OTLP over HTTP with binary protobuf.
//! Source: OTLP specification 1.11, "OTLP/HTTP Response".

use std::time::SystemTime;

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use prost::Message;

use super::answer::Accepted;
use super::error::{SendError, one_line};
use super::retry;
use super::transport::Answer;

pub(crate) const NAME: &str = "OTLP over HTTP";
const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

pub(crate) fn read(endpoint: String, answer: &Answer, now: SystemTime) -> Result<Accepted, SendError> {
    if answer.status.is_success() {
        return accepted(endpoint, answer);
    }
    let retry_after = header(answer, &RETRY_AFTER).and_then(|value| retry::retry_after(value, now));
    Err(SendError::Http { endpoint, status: answer.status, message: message(answer), retry_after })
}

fn header<'a>(answer: &'a Answer, name: &HeaderName) -> Option<&'a str> {
    answer.headers.get(name)?.to_str().ok()
}

fn accepted(endpoint: String, answer: &Answer) -> Result<Accepted, SendError> {
    let content_type = header(answer, &CONTENT_TYPE).unwrap_or_default();
    if content_type.starts_with(PROTOBUF) {
        return Ok(Accepted::decode(&answer.body));
    }
    if answer.body.is_empty() && !content_type.starts_with("text/html") {
        return Ok(Accepted::default());
    }
    if content_type.starts_with(JSON) {
        return Ok(Accepted::warning("the receiver answers in JSON; whether records were rejected is not known"));
    }
    let detail = format!("it answered {} with content type \"{}\"", answer.status, one_line(content_type));
    Err(SendError::NotOtlp { endpoint, protocol: NAME, detail })
}

/// What the receiver says about a failure, with a hint where the address is probably wrong.
fn message(answer: &Answer) -> String {
    if answer.status.is_redirection() {
        return format!("it points to {}; set the endpoint to that", one_line(header(answer, &LOCATION).unwrap_or("nowhere")));
    }
    let said = said(answer);
    match answer.status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => format!("{said} (is the path of the endpoint right?)"),
        _ => said,
    }
}

fn said(answer: &Answer) -> String {
    let content_type = header(answer, &CONTENT_TYPE).unwrap_or_default();
    let text = if content_type.starts_with(PROTOBUF) {
        tonic_types::Status::decode(answer.body.clone()).map(|status| status.message).unwrap_or_default()
    } else if content_type.starts_with("text/plain") || content_type.starts_with(JSON) {
        String::from_utf8_lossy(&answer.body[..answer.body.len().min(1024)]).into_owned()
    } else {
        String::new()
    };
    if text.trim().is_empty() { "no explanation".to_owned() } else { one_line(&text) }
}
