//! gRPC-Web on HTTP/1: the status of a call is in its response's head, or in the last bytes of the body.
//!
//! Bodies are not looked at as a whole: only short ones, and short chunks, are waited for.

use super::head::Section;
use crate::model::semconv as s;
use crate::model::{Exchange, Family, Role};
use crate::proto::grpc::{Code, Format, WebBody};

/// Longest body or chunk that is looked at.
const SHORT: u64 = 1024;

/// Whether a request with this header section is a call of gRPC-Web.
pub(super) fn is_call(section: &Section<'_>) -> bool {
    section.value(section.fields.content_type).and_then(Format::of).is_some_and(|format| format != Format::Grpc)
}

/// Sets what the head of the response tells of the call's outcome.
pub(super) fn head(exchange: &mut Exchange, status: u16, section: &Section<'_>, role: Role) {
    match section.value(section.fields.grpc_status).and_then(Code::parse) {
        Some(code) => code.set(exchange, role),
        None if status != 200 => {
            exchange.attrs.set_int(s::HTTP_RESPONSE_STATUS_CODE, i64::from(status));
            Code::of_http(status).set(exchange, role);
        }
        None => {}
    }
}

/// Whether the outcome of `exchange` may be in the next `len` bytes of its body, and those are to be seen.
pub(super) fn wants(exchange: &Exchange, len: u64) -> bool {
    len <= SHORT && has_no_outcome(exchange)
}

/// Looks for the outcome in a whole body or chunk.
pub(super) fn body(exchange: &mut Exchange, bytes: &[u8], role: Role) {
    let found = [Format::Web, Format::WebText].into_iter().find_map(|format| {
        let mut body = WebBody::of(format)?;
        body.feed(bytes);
        body.status()
    });
    if let Some(code) = found {
        code.set(exchange, role);
    }
}

/// Whether `exchange` is a call whose outcome was not seen.
pub(super) fn has_no_outcome(exchange: &Exchange) -> bool {
    exchange.family == Family::Rpc && exchange.attrs.get(s::RPC_RESPONSE_STATUS_CODE).is_none()
}
