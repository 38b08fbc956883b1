//! Trace context in SQL comments, as sqlcommenter writes it: `/*key='value',…*/`, keys and values URL-encoded.

use crate::model::TraceContext;
use memchr::memmem;

/// Longest `tracestate` that is read (W3C Trace Context §3.3.1.5 asks for at least 512).
const STATE_LIMIT: usize = 1024;

/// Context and `tracestate` of a comment.
pub(super) fn trace_context(comment: &[u8]) -> Option<(TraceContext, String)> {
    let context = TraceContext::parse(value(comment, b"traceparent=")?)?;
    let state = value(comment, b"tracestate=").filter(|state| state.len() <= STATE_LIMIT);
    Some((context, state.map(decode).unwrap_or_default()))
}

fn value<'a>(comment: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = memmem::find(comment, key)?;
    if at > 0 && comment[at - 1].is_ascii_alphanumeric() {
        return None;
    }
    let value = comment.get(at + key.len()..)?.strip_prefix(b"'")?;
    Some(&value[..memchr::memchr(b'\'', value)?])
}

fn decode(value: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, after @ ..] = rest {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => (bytes.push(byte), rest = &after[2..]).1,
            None => (bytes.push(*first), rest = after).1,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
