//! One request with its response, or with its absence.

use super::{Attrs, CallKey, ExchangeId, Mono, Role, Task, TraceContext};

/// What kind of conversation an exchange belongs to; decides span name, metrics and required attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    /// `http.*`
    #[default]
    Http,
    /// `rpc.*`
    Rpc,
    /// `db.*`: databases and caches.
    Db,
    /// `messaging.*`
    Messaging,
    /// `dns.*`
    Dns,
    /// No protocol was spoken: a connect that failed.
    Tcp,
}

/// Span kind (OpenTelemetry `SpanKind`) of the observed end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The observed end asked.
    #[default]
    Client,
    /// The observed end answered.
    Server,
    /// The observed end sent messages to a broker.
    Producer,
    /// The observed end took messages from a broker.
    Consumer,
}

/// When and how large one message of an exchange was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Time of the segment with its first byte.
    pub first: Mono,
    /// Time of the segment with its last byte, as far as seen.
    pub last: Mono,
    /// Bytes of the body (payload without the protocol's head), where known.
    pub body_bytes: Option<u64>,
}

/// What of an exchange is missing. Empty means that it was seen whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Completeness {
    /// Request text (path, statement, key) was cut by the capture limit.
    pub request_cut: bool,
    /// Bytes of the request head were lost: attributes may be missing.
    pub request_lost: bool,
    /// Bytes of the response head were lost: status may be missing.
    pub response_lost: bool,
    /// The end of the response was inferred from what followed, not seen.
    pub end_inferred: bool,
}

impl Completeness {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_complete(self) -> bool {
        self == Self::default()
    }
}

/// One request with its response. Boxed and recycled: see [`crate::flow::Sink::exchange`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exchange {
    /// Its number.
    pub id: ExchangeId,
    /// Name of the protocol, e.g. `http/1.1`: [`crate::proto::Descriptor::name`].
    pub protocol: &'static str,
    /// Kind of conversation.
    pub family: Family,
    /// Part of the observed end.
    pub role: Option<Role>,
    /// Span kind of the observed end.
    pub kind: Kind,
    /// Attributes from the wire, named and typed by the semantic conventions.
    pub attrs: Attrs,
    /// Trace context that the request carried.
    pub context: Option<TraceContext>,
    /// `tracestate` that came with it.
    pub trace_state: String,
    /// What the other end of this call can compute too. Absent where the first byte was not seen.
    pub call: Option<CallKey>,
    /// The request.
    pub request: Message,
    /// The response; `None` if there was none.
    pub response: Option<Message>,
    /// Thread that sent the request's first byte; only for an observed client, only where a hook was certain of it.
    pub sender: Option<Task>,
    /// Thread that sent the response's first byte; only for an observed server.
    pub responder: Option<Task>,
    /// `error.type`; `None` means success. The span's status is Error exactly when this is set.
    pub error: Option<String>,
    /// What was not seen.
    pub completeness: Completeness,
}

impl Exchange {
    /// Empties it for another use and keeps its memory.
    pub fn reset(&mut self) {
        let Self { attrs, trace_state, .. } = self;
        let (mut attrs, mut trace_state) = (std::mem::take(attrs), std::mem::take(trace_state));
        attrs.clear();
        trace_state.clear();
        *self = Self { attrs, trace_state, ..Self::default() };
    }

    /// Time of the last byte seen of this exchange.
    #[must_use]
    pub fn end(&self) -> Mono {
        self.response.map_or(self.request.last, |response| response.last.max(self.request.first))
    }
}
