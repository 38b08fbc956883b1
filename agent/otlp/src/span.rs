//! Spans as OTLP bytes. Source: `opentelemetry/proto/trace/v1/trace.proto`.
//!
//! It must never check or complete what it is given: ids, kinds and times are the caller's.

use crate::value::{Attribute, Encoded, field, write_attributes};
use crate::wire;

/// Role of the span (`Span.SpanKind`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Inside an application.
    Internal = 1,
    /// Serves a remote call.
    Server = 2,
    /// Makes a remote call.
    Client = 3,
    /// Sends a message.
    Producer = 4,
    /// Takes a message.
    Consumer = 5,
}

/// Outcome of the span (`Status`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status<'a> {
    /// Nothing said: the normal outcome.
    #[default]
    Unset,
    /// Marked as good by an operator or a developer.
    Ok,
    /// Failed, with a description that may be empty.
    Error(&'a str),
}

/// Where the context of a span's parent came from (`SpanFlags`, bits 8 and 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentContext {
    /// Not known.
    Unknown,
    /// Made in the same process.
    Local,
    /// Received from another process.
    Remote,
}

/// W3C trace flags of the span and the origin of its parent (`Span.flags`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanFlags(u32);

impl SpanFlags {
    /// W3C `sampled`.
    pub const SAMPLED: u8 = 1;

    /// `trace_flags` as in `traceparent`.
    pub const fn new(trace_flags: u8, parent: ParentContext) -> Self {
        let origin = match parent {
            ParentContext::Unknown => 0,
            ParentContext::Local => 0x100,
            ParentContext::Remote => 0x300,
        };
        Self(trace_flags as u32 | origin)
    }

    /// The number on the wire.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

/// Something that happened during a span (`Span.Event`).
#[derive(Clone, Copy, Debug)]
pub struct SpanEvent<'a> {
    /// When, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// What.
    pub name: &'a str,
    /// Its attributes.
    pub attributes: &'a [Attribute<'a>],
    /// Attributes left out.
    pub dropped_attributes: u32,
}

/// Another span that this one is related to (`Span.Link`).
#[derive(Clone, Copy, Debug)]
pub struct SpanLink<'a> {
    /// Trace of the other span.
    pub trace_id: [u8; 16],
    /// The other span.
    pub span_id: [u8; 8],
    /// W3C `tracestate` of the link; may be empty.
    pub trace_state: &'a str,
    /// Its attributes.
    pub attributes: &'a [Attribute<'a>],
    /// Attributes left out.
    pub dropped_attributes: u32,
    /// Flags of the other span.
    pub flags: SpanFlags,
}

/// One span.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    /// Trace the span belongs to.
    pub trace_id: [u8; 16],
    /// The span.
    pub span_id: [u8; 8],
    /// W3C `tracestate`; may be empty.
    pub trace_state: &'a str,
    /// Span that this one is a child of.
    pub parent_span_id: Option<[u8; 8]>,
    /// Trace flags and origin of the parent.
    pub flags: SpanFlags,
    /// Name, as the semantic conventions build it.
    pub name: &'a str,
    /// Role.
    pub kind: SpanKind,
    /// Begin, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// End, in nanoseconds since the Unix epoch.
    pub end_unix_nano: u64,
    /// Attributes that many spans share, for instance those of the connection.
    pub constant: &'a Encoded<{ field::SPAN }>,
    /// Attributes left out.
    pub dropped_attributes: u32,
    /// Events during the span.
    pub events: &'a [SpanEvent<'a>],
    /// Events left out.
    pub dropped_events: u32,
    /// Related spans.
    pub links: &'a [SpanLink<'a>],
    /// Links left out.
    pub dropped_links: u32,
    /// Outcome.
    pub status: Status<'a>,
}

impl<'a> Span<'a> {
    /// A span with nothing but ids, role and name; the other fields are set with `..Span::new(…)`.
    pub const fn new(trace_id: [u8; 16], span_id: [u8; 8], kind: SpanKind, name: &'a str) -> Self {
        Self {
            trace_id,
            span_id,
            trace_state: "",
            parent_span_id: None,
            flags: SpanFlags(0),
            name,
            kind,
            start_unix_nano: 0,
            end_unix_nano: 0,
            constant: Encoded::EMPTY,
            dropped_attributes: 0,
            events: &[],
            dropped_events: 0,
            links: &[],
            dropped_links: 0,
            status: Status::Unset,
        }
    }
}

impl Span<'_> {
    /// Appends the fields of the `Span` message; `attributes` follow the constant ones.
    #[inline]
    pub(crate) fn write<'a>(&self, out: &mut Vec<u8>, attributes: impl IntoIterator<Item = Attribute<'a>>) {
        wire::bytes_field(out, 1, &self.trace_id);
        wire::bytes_field(out, 2, &self.span_id);
        wire::nonempty_bytes(out, 3, self.trace_state.as_bytes());
        if let Some(parent) = &self.parent_span_id {
            wire::bytes_field(out, 4, parent);
        }
        wire::nonempty_bytes(out, 5, self.name.as_bytes());
        wire::varint_field(out, 6, self.kind as u64);
        wire::nonzero_fixed64(out, 7, self.start_unix_nano);
        wire::nonzero_fixed64(out, 8, self.end_unix_nano);
        out.extend_from_slice(self.constant.bytes());
        write_attributes(out, field::SPAN, attributes);
        wire::nonzero_varint(out, 10, u64::from(self.dropped_attributes));
        self.events.iter().for_each(|event| event.write(out));
        wire::nonzero_varint(out, 12, u64::from(self.dropped_events));
        self.links.iter().for_each(|link| link.write(out));
        wire::nonzero_varint(out, 14, u64::from(self.dropped_links));
        self.status.write(out);
        wire::nonzero_fixed32(out, 16, self.flags.bits());
    }
}

impl SpanEvent<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        wire::message(out, 11, 100, |out| {
            wire::nonzero_fixed64(out, 1, self.time_unix_nano);
            wire::nonempty_bytes(out, 2, self.name.as_bytes());
            write_attributes(out, field::SPAN_EVENT, self.attributes.iter().copied());
            wire::nonzero_varint(out, 4, u64::from(self.dropped_attributes));
        });
    }
}

impl SpanLink<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        wire::message(out, 13, 100, |out| {
            wire::bytes_field(out, 1, &self.trace_id);
            wire::bytes_field(out, 2, &self.span_id);
            wire::nonempty_bytes(out, 3, self.trace_state.as_bytes());
            write_attributes(out, field::SPAN_LINK, self.attributes.iter().copied());
            wire::nonzero_varint(out, 5, u64::from(self.dropped_attributes));
            wire::nonzero_fixed32(out, 6, self.flags.bits());
        });
    }
}

impl Status<'_> {
    #[inline]
    fn write(self, out: &mut Vec<u8>) {
        let (message, code) = match self {
            Status::Unset => return,
            Status::Ok => ("", 1),
            Status::Error(message) => (message, 2),
        };
        wire::message(out, 15, 50, |out| {
            wire::nonempty_bytes(out, 2, message.as_bytes());
            wire::varint_field(out, 3, code);
        });
    }
}
