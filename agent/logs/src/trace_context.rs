//! Finds the trace and span a log line belongs to, by a key beside the id.
//! Must never take an id for one that stands alone, is all zero, or names a parent.

use crate::bytes::is_alphanumeric;

/// A W3C trace id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// A W3C span id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

/// The ids found in one line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace, if named.
    pub trace_id: Option<TraceId>,
    /// The span, if named; only beside a trace.
    pub span_id: Option<SpanId>,
}

/// What a key says about its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TraceKey {
    Trace,
    Span,
    Parent,
}

impl TraceKey {
    /// The meaning of a key in lower case.
    pub(crate) fn of(key: &[u8]) -> Option<Self> {
        Some(match key {
            b"trace_id" | b"traceid" | b"trace-id" | b"trace.id" | b"@tr" | b"oteltraceid" | b"otel.trace_id" => Self::Trace,
            b"span_id" | b"spanid" | b"span-id" | b"span.id" | b"@sp" | b"otelspanid" | b"otel.span_id" => Self::Span,
            b"traceparent" => Self::Parent,
            _ => return None,
        })
    }
}

impl TraceContext {
    /// Takes a keyed value; a value that is no id of the kind is ignored.
    pub(crate) fn set(&mut self, key: TraceKey, value: &[u8]) {
        match key {
            TraceKey::Trace => self.trace_id = self.trace_id.or_else(|| hex_id(value).map(TraceId)),
            TraceKey::Span => self.span_id = self.span_id.or_else(|| hex_id(value).map(SpanId)),
            TraceKey::Parent => self.set_parent(value),
        }
    }

    /// `00-<trace>-<span>-<flags>`, W3C Trace Context section 3.2.
    fn set_parent(&mut self, value: &[u8]) {
        let mut parts = value.split(|byte| *byte == b'-');
        let (Some(version), Some(trace), Some(span), Some(_)) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
            return;
        };
        if version.len() == 2
            && version != b"ff"
            && let (Some(trace), Some(span)) = (hex_id(trace), hex_id(span))
        {
            self.trace_id = Some(TraceId(trace));
            self.span_id = Some(SpanId(span));
        }
    }

    /// The context, unless no trace is named.
    pub(crate) fn found(self) -> Option<Self> {
        self.trace_id.is_some().then_some(self)
    }
}

/// Reads the ids of a text line: `trace_id=…`, `traceId: …`, `[app,trace,span]`.
pub(crate) fn in_text(line: &[u8]) -> Option<TraceContext> {
    let window = &line[..line.len().min(4096)];
    if !has_long_hex(window) {
        return None;
    }
    let mut context = TraceContext::default();
    for start in long_hex_runs(window) {
        keyed(window, start, &mut context);
    }
    context.found()
}

/// Whether 32 hexadecimal digits in a row may stand somewhere; cheap, looks at every 16th byte first.
fn has_long_hex(line: &[u8]) -> bool {
    let mut at = 15;
    while at < line.len() {
        if line[at].is_ascii_hexdigit() && line.get(at + 16).is_some_and(u8::is_ascii_hexdigit) {
            let start = line[..at].iter().rposition(|byte| !byte.is_ascii_hexdigit()).map_or(0, |before| before + 1);
            if run_of_hex(line, start) >= 32 {
                return true;
            }
        }
        at += 16;
    }
    false
}

fn run_of_hex(line: &[u8], start: usize) -> usize {
    line[start..].iter().take(33).take_while(|byte| byte.is_ascii_hexdigit()).count()
}

/// Starts of runs of 16 or 32 hexadecimal digits that are whole words.
fn long_hex_runs(line: &[u8]) -> impl Iterator<Item = usize> {
    let starts = (0..line.len()).filter(|at| line[*at].is_ascii_hexdigit() && (*at == 0 || !is_alphanumeric(line[*at - 1])));
    starts.filter(|start| {
        let length = run_of_hex(line, *start);
        matches!(length, 16 | 32) && line.get(start + length).is_none_or(|byte| !is_alphanumeric(*byte))
    })
}

fn keyed(line: &[u8], start: usize, context: &mut TraceContext) {
    let value = &line[start..start + run_of_hex(line, start)];
    let before = &line[..start];
    if let Some(key) = key_before(before) {
        context.set(key, value);
    } else if value.len() == 32
        && before.ends_with(b"-")
        && key_before(before.strip_suffix(b"00-").unwrap_or_default()) == Some(TraceKey::Parent)
    {
        let end = line.len().min(start + 52);
        context.set_parent(&line[start - 3..end]);
    } else {
        sleuth(line, start, value, context);
    }
}

/// The key whose value starts behind `before`.
fn key_before(before: &[u8]) -> Option<TraceKey> {
    let end = before.iter().rposition(|byte| !matches!(byte, b'=' | b':' | b' ' | b'"' | b'\''))? + 1;
    if before.len() == end || before.len() - end > 4 {
        return None;
    }
    let start =
        before[..end].iter().rposition(|byte| !is_alphanumeric(*byte) && !matches!(byte, b'_' | b'-' | b'.' | b'@')).map_or(0, |at| at + 1);
    let mut lower = [0u8; 16];
    let lower = lower.get_mut(..end - start)?;
    lower.copy_from_slice(&before[start..end]);
    lower.make_ascii_lowercase();
    TraceKey::of(lower)
}

/// Spring's `[app,trace,span]` and `[app,trace,span,true]`.
fn sleuth(line: &[u8], start: usize, value: &[u8], context: &mut TraceContext) {
    let Some(open) = memchr::memrchr(b'[', &line[..start]) else {
        return;
    };
    let Some(close) = memchr::memchr(b']', &line[start..]) else {
        return;
    };
    let parts: Vec<&[u8]> = line[open + 1..start + close].split(|byte| *byte == b',').map(crate::bytes::trim).take(5).collect();
    if let [_, trace, span, ..] = parts[..]
        && parts.len() <= 4
        && value == trace
        && let (Some(trace), Some(span)) = (hex_id(trace), hex_id(span))
    {
        context.trace_id = Some(TraceId(trace));
        context.span_id = Some(SpanId(span));
    }
}

/// An id of `N` bytes in hexadecimal, not all zero.
fn hex_id<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    if value.len() != N * 2 {
        return None;
    }
    let mut id = [0u8; N];
    for (byte, pair) in id.iter_mut().zip(value.as_chunks::<2>().0) {
        *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
    }
    id.iter().any(|byte| *byte != 0).then_some(id)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn keyed_ids_are_found() {
        for line in [
            format!("msg trace_id={TRACE} span_id={SPAN} done"),
            format!("msg traceId: {TRACE}, spanId: {SPAN}"),
            format!("2026 INFO [app,{TRACE},{SPAN}] 1 --- x"),
            format!("INFO [app,{TRACE},{SPAN},true] x"),
            format!("header traceparent: 00-{TRACE}-{SPAN}-01"),
            format!("[trace.id=\"{TRACE}\" span.id=\"{SPAN}\"]"),
        ] {
            let found = in_text(line.as_bytes()).expect("a context");
            assert_eq!(found.trace_id.map(|id| id.0[0]), Some(0x4b), "{line}");
            assert_eq!(found.span_id.map(|id| id.0[1]), Some(0xf0), "{line}");
        }
    }

    #[test]
    fn bare_zero_and_parent_ids_are_not() {
        let zero = "0".repeat(32);
        for line in [
            format!("md5 {TRACE}"),
            format!("trace_id={zero}"),
            format!("parent_trace={TRACE}"),
            format!("trace_id={TRACE}ab"),
            format!("parent_id={SPAN}"),
        ] {
            assert_eq!(in_text(line.as_bytes()), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(line in "([0-9a-f]{0,40}|trace_id=|traceparent[:=]|00-|[\\[\\], ]){0,8}") {
            let _ = in_text(line.as_bytes());
        }
    }
}
