//! Log records as OTLP bytes. Source: `opentelemetry/proto/logs/v1/logs.proto`.

use crate::value::{Attribute, Encoded, Value, field, write_attributes};
use crate::wire;

/// A severity number of the log data model: 1 (`TRACE`) to 24 (`FATAL4`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Severity(u8);

impl Severity {
    /// The severity with this number; `None` outside 1 to 24.
    pub const fn new(number: u8) -> Option<Self> {
        match number {
            1..=24 => Some(Self(number)),
            _ => None,
        }
    }

    /// 1 to 24.
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// One log record.
#[derive(Clone, Copy, Debug)]
pub struct LogRecord<'a> {
    /// When it happened, in nanoseconds since the Unix epoch; 0 if the record does not say.
    pub time_unix_nano: u64,
    /// When the agent saw it, in nanoseconds since the Unix epoch.
    pub observed_time_unix_nano: u64,
    /// Severity, where one is known.
    pub severity: Option<Severity>,
    /// Severity as the record spells it; may be empty.
    pub severity_text: &'a str,
    /// Message, as text or as a structure; [`Value::Empty`] leaves it out.
    pub body: Value<'a>,
    /// Attributes that many records share, for instance those of the file.
    pub constant: &'a Encoded<{ field::LOG_RECORD }>,
    /// Attributes left out.
    pub dropped_attributes: u32,
    /// W3C trace flags of the span.
    pub trace_flags: u8,
    /// Trace during which it was written, where known.
    pub trace_id: Option<[u8; 16]>,
    /// Span during which it was written, where known.
    pub span_id: Option<[u8; 8]>,
    /// Name of the event that the record is; empty for an ordinary record.
    pub event_name: &'a str,
}

impl<'a> LogRecord<'a> {
    /// A record with nothing but its body and when it was seen; the other fields are set with `..LogRecord::new(…)`.
    pub const fn new(observed_time_unix_nano: u64, body: Value<'a>) -> Self {
        Self {
            time_unix_nano: 0,
            observed_time_unix_nano,
            severity: None,
            severity_text: "",
            body,
            constant: Encoded::EMPTY,
            dropped_attributes: 0,
            trace_flags: 0,
            trace_id: None,
            span_id: None,
            event_name: "",
        }
    }
}

impl LogRecord<'_> {
    /// Appends the fields of the `LogRecord` message; `attributes` follow the constant ones.
    #[inline]
    pub(crate) fn write<'a>(&self, out: &mut Vec<u8>, attributes: impl IntoIterator<Item = Attribute<'a>>) {
        wire::nonzero_fixed64(out, 1, self.time_unix_nano);
        wire::nonzero_varint(out, 2, self.severity.map_or(0, |severity| u64::from(severity.number())));
        wire::nonempty_bytes(out, 3, self.severity_text.as_bytes());
        if self.body != Value::Empty {
            self.body.write(out, 5);
        }
        out.extend_from_slice(self.constant.bytes());
        write_attributes(out, field::LOG_RECORD, attributes);
        wire::nonzero_varint(out, 7, u64::from(self.dropped_attributes));
        wire::nonzero_fixed32(out, 8, u32::from(self.trace_flags));
        if let Some(trace_id) = &self.trace_id {
            wire::bytes_field(out, 9, trace_id);
        }
        if let Some(span_id) = &self.span_id {
            wire::bytes_field(out, 10, span_id);
        }
        wire::nonzero_fixed64(out, 11, self.observed_time_unix_nano);
        wire::nonempty_bytes(out, 12, self.event_name.as_bytes());
    }
}
