//! What the view is told: plain data about one request, connection, pattern, exporter or capability.
//!
//! No JSON, no clock and no telemetry type here, so that the capture thread fills these without knowing who shows them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use remora_core::model::{Attrs, Completeness, ConnId, Key, Kind, SpanId, TraceId, Transport, Value, nanos};

/// Nanoseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixNanos(pub u64);

impl UnixNanos {
    /// The machine's clock, for callers at the edge; everything below is told the time.
    #[must_use]
    pub fn now() -> Self {
        Self::of(SystemTime::now())
    }

    /// The same of a time that is known; zero for what was before 1970.
    #[must_use]
    pub fn of(time: SystemTime) -> Self {
        Self(nanos(time.duration_since(UNIX_EPOCH).unwrap_or_default()))
    }

    /// Time from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Whether a service answered a call or made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// It answered (SERVER, CONSUMER).
    Served,
    /// It asked (CLIENT, PRODUCER).
    Called,
}

impl From<Kind> for Direction {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Server | Kind::Consumer => Self::Served,
            Kind::Client | Kind::Producer => Self::Called,
        }
    }
}

/// How a call ended, as far as rates are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No `error.type`.
    Ok,
    /// With an `error.type`.
    Failed,
}

/// The other end of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its service, where it is known.
    pub service: Option<Arc<str>>,
    /// Its address.
    pub address: Option<SocketAddr>,
}

/// One observed end of one request: what its span says.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestRow {
    /// Time of the request's first byte.
    pub time: UnixNanos,
    /// From the request's first byte to the last byte of the response.
    pub duration: Duration,
    /// `service.name` of the observed end.
    pub service: Arc<str>,
    /// Container, unit or process that tells instances of the service apart.
    pub instance: Option<Arc<str>>,
    /// Span kind of the observed end.
    pub kind: Kind,
    /// Protocol, e.g. `http/1.1`.
    pub protocol: &'static str,
    /// Span name.
    pub name: String,
    /// What a reader calls the request: `GET /cart?id=7`, `SELECT …`. Falls back to the name.
    pub label: String,
    /// Status code as the protocol writes it, e.g. `200`.
    pub status: Option<String>,
    /// `error.type`; `None` means success.
    pub error: Option<String>,
    /// The other end.
    pub peer: Peer,
    /// Trace.
    pub trace: TraceId,
    /// Span of this end.
    pub span: SpanId,
    /// Parent span.
    pub parent: Option<SpanId>,
    /// Attributes of the span, as text.
    pub attributes: Vec<(Key, String)>,
    /// Connection that carried it.
    pub connection: Option<ConnId>,
    /// What of it was not seen.
    pub completeness: Completeness,
}

/// Longest text of any field or attribute value, in bytes; the rest is cut and marked with `…`.
pub const MAX_TEXT: usize = 1024;
/// Most attributes of one row.
pub const MAX_ATTRIBUTES: usize = 48;

impl RequestRow {
    /// Bytes that the row holds, for the bound of the ring.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(_, value)| size_of::<(Key, String)>() + value.len()).sum();
        let texts =
            self.name.len() + self.label.len() + self.status.as_ref().map_or(0, String::len) + self.error.as_ref().map_or(0, String::len);
        size_of::<Self>() + texts + attributes
    }

    /// Cuts every text and the number of attributes to what one row may hold.
    pub fn clip(&mut self) {
        self.attributes.truncate(MAX_ATTRIBUTES);
        let values = self.attributes.iter_mut().map(|(_, value)| value);
        let texts = [&mut self.name, &mut self.label].into_iter().chain(&mut self.status).chain(&mut self.error);
        texts.chain(values).for_each(clip);
    }
}

/// Cuts `text` to [`MAX_TEXT`] bytes at a character and marks the cut.
pub(super) fn clip(text: &mut String) {
    if text.len() > MAX_TEXT {
        text.truncate(text.floor_char_boundary(MAX_TEXT - '…'.len_utf8()));
        text.push('…');
        text.shrink_to_fit();
    }
}

/// Attributes of an exchange as texts.
#[must_use]
pub fn texts(attrs: &Attrs) -> Vec<(Key, String)> {
    attrs.iter().take(MAX_ATTRIBUTES).map(|(key, value)| (key, text(&value))).collect()
}

fn text(value: &Value<'_>) -> String {
    match value {
        Value::Str(text) => (*text).to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::List(items) => items.join(", "),
    }
}

/// One observed end of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionRow {
    /// Its id.
    pub id: ConnId,
    /// TCP or UDP.
    pub transport: Transport,
    /// Whether the observed end opened it; `None` while unknown.
    pub direction: Option<Direction>,
    /// Address of the observed end.
    pub local: SocketAddr,
    /// Address of the other end.
    pub remote: SocketAddr,
    /// Service of the observed end, where known.
    pub service: Option<Arc<str>>,
    /// Service of the other end, where known.
    pub peer_service: Option<Arc<str>>,
    /// Protocol, once recognised.
    pub protocol: Option<&'static str>,
    /// When it began or was first seen.
    pub opened: UnixNanos,
    /// When it ended.
    pub closed: Option<UnixNanos>,
    /// Payload bytes sent by the observed end.
    pub sent_bytes: u64,
    /// Payload bytes received by the observed end.
    pub received_bytes: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// Smoothed round trip time.
    pub rtt: Option<Duration>,
}

/// Some messages of one log pattern.
#[derive(Clone, Copy, Debug)]
pub struct PatternSeen<'a> {
    /// Service that logged them.
    pub service: &'a str,
    /// Id of the pattern.
    pub id: &'a str,
    /// OTLP severity number, 0 if unknown.
    pub severity: u8,
    /// Template with `<*>` placeholders.
    pub template: &'a str,
    /// One redacted message.
    pub example: &'a str,
    /// How many messages.
    pub count: u64,
    /// When the last of them was seen.
    pub time: UnixNanos,
}

/// Whether telemetry reaches its destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing was sent so far.
    Untried,
    /// The last export was accepted.
    Ok {
        /// First of the unbroken row of successes.
        since: UnixNanos,
    },
    /// The last export was not accepted.
    Failing {
        /// First of the unbroken row of failures.
        since: UnixNanos,
        /// Why, in one line.
        error: String,
    },
}

/// One destination of telemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExporterRow {
    /// `traces`, `metrics`, `logs`.
    pub signal: &'static str,
    /// Where to, without credentials.
    pub endpoint: String,
    /// Health.
    pub health: Health,
    /// Items accepted by the receiver.
    pub sent: u64,
    /// Items given up.
    pub dropped: u64,
    /// Items that wait.
    pub queued: u64,
}

/// Something that the agent can do on some kernels only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapabilityRow {
    /// What it is, e.g. `TLS contents`.
    pub name: String,
    /// Why it is off; `None` means that it works.
    pub off: Option<String>,
}

/// Whether capture is attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Capture {
    /// Programs are being loaded.
    #[default]
    Starting,
    /// Attached.
    Attached {
        /// Since when.
        since: UnixNanos,
    },
    /// Cannot work.
    Failed {
        /// Why, in one line.
        reason: String,
    },
}

/// Facts about the agent and its host that do not change while it runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// Version of the agent.
    pub version: String,
    /// Host name.
    pub host: String,
    /// Kernel release.
    pub kernel: String,
    /// Start of the agent.
    pub started: UnixNanos,
}

/// What the agent uses of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU cores, averaged over the last sampling period.
    pub cpu_cores: f64,
    /// Resident memory.
    pub memory_bytes: u64,
}

/// What a reader calls a request, from its span's attributes: method and target, query text or summary, question.
#[must_use]
pub fn label(attrs: &Attrs, name: &str) -> String {
    use remora_core::model::semconv as s;
    let http = || {
        let target = attrs.str(s::URL_PATH).or_else(|| attrs.str(s::URL_FULL))?;
        let method = attrs.str(s::HTTP_REQUEST_METHOD_ORIGINAL).or_else(|| attrs.str(s::HTTP_REQUEST_METHOD))?;
        let query = attrs.str(s::URL_QUERY).map(|query| format!("?{query}")).unwrap_or_default();
        Some(format!("{method} {target}{query}"))
    };
    let text = |key| attrs.str(key).map(str::to_owned);
    let dns = || attrs.str(s::DNS_QUESTION_NAME).map(|question| format!("{name} {question}"));
    let mut label = http().or_else(|| text(s::DB_QUERY_TEXT)).or_else(dns).unwrap_or_else(|| name.to_owned());
    clip(&mut label);
    label
}
