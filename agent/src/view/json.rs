//! The JSON of the local API, version 1. Fields are only ever added.
//!
//! Times are microseconds since 1970 (`_us`), durations nanoseconds (`_ns`): both are exact in JavaScript. Ids are lower-case
//! hexadecimal. A field without a value is absent or `null`. `remora top` reads the same types.

use std::net::SocketAddr;

use remora_core::model::{Completeness, Kind, Transport, nanos};
use serde::{Deserialize, Serialize};

use super::{
    Capture, ConnectionRow, Direction, ExporterRow, Health, Listed, LossRow, PatternRow, Related, ServiceRow, Status, Totals, UnixNanos,
    View, Window, query,
};

fn micros(time: UnixNanos) -> u64 {
    time.0 / 1_000
}

/// One end of a call or connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Answered, accepted.
    Served,
    /// Asked, connected.
    Called,
}

impl From<Direction> for Part {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Served => Self::Served,
            Direction::Called => Self::Called,
        }
    }
}

/// `GET /api/v1/services`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Services {
    /// By name.
    pub services: Vec<Service>,
}

/// One service in one direction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Service {
    /// `service.name`.
    pub service: String,
    /// Part that it plays.
    pub part: Part,
    /// Last call.
    pub last_us: u64,
    /// Calls since the agent started.
    pub calls: u64,
    /// Failed ones of them.
    pub errors: u64,
    /// The last minute.
    pub minute: Rates,
    /// The last five minutes.
    pub five_minutes: Rates,
    /// Calls in each 5 s of the last five minutes, oldest first.
    pub trend: Vec<u32>,
    /// Failed ones of them.
    pub trend_errors: Vec<u32>,
}

/// Numbers of one window.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Rates {
    /// Calls.
    pub calls: u64,
    /// Failed ones.
    pub errors: u64,
    /// Calls a second.
    pub rate: f64,
    /// Median duration.
    pub p50_ns: Option<u64>,
    /// Duration that 95 % do not exceed.
    pub p95_ns: Option<u64>,
    /// Duration that 99 % do not exceed.
    pub p99_ns: Option<u64>,
}

impl From<Window> for Rates {
    fn from(window: Window) -> Self {
        let quantile = |index: usize| window.quantiles.map(|quantiles| nanos(quantiles[index]));
        Self {
            calls: window.calls,
            errors: window.errors,
            rate: window.rate,
            p50_ns: quantile(0),
            p95_ns: quantile(1),
            p99_ns: quantile(2),
        }
    }
}

impl From<ServiceRow> for Service {
    fn from(row: ServiceRow) -> Self {
        Self {
            service: row.service.to_string(),
            part: row.direction.into(),
            last_us: micros(row.last),
            calls: row.calls,
            errors: row.errors,
            minute: row.minute.into(),
            five_minutes: row.five_minutes.into(),
            trend: row.trend,
            trend_errors: row.trend_errors,
        }
    }
}

/// `GET /api/v1/requests`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Requests {
    /// Number of the newest request of the agent: pass it as `after` to get only what is newer.
    pub last: u64,
    /// Matching requests beyond `limit`, older than those given.
    pub more: usize,
    /// Newest first.
    pub requests: Vec<Request>,
}

/// One observed end of one request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Number in the list.
    pub id: u64,
    /// First byte.
    pub time_us: u64,
    /// To the last byte of the response.
    pub duration_ns: u64,
    /// `service.name`.
    pub service: String,
    /// Container, unit or process.
    pub instance: Option<String>,
    /// `client`, `server`, `producer`, `consumer`.
    pub kind: String,
    /// e.g. `http/1.1`.
    pub protocol: String,
    /// Span name.
    pub name: String,
    /// What a reader calls it.
    pub label: String,
    /// Status code.
    pub status: Option<String>,
    /// `error.type`.
    pub error: Option<String>,
    /// Service of the other end.
    pub peer_service: Option<String>,
    /// Address of the other end.
    pub peer_address: Option<SocketAddr>,
    /// Trace.
    pub trace_id: String,
    /// Span.
    pub span_id: String,
    /// Parent span.
    pub parent_span_id: Option<String>,
    /// What was not seen of it: `request_cut`, `request_lost`, `response_lost`, `end_inferred`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<String>,
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Client => "client",
        Kind::Server => "server",
        Kind::Producer => "producer",
        Kind::Consumer => "consumer",
    }
}

fn missing(seen: Completeness) -> Vec<String> {
    let flags = [
        (seen.request_cut, "request_cut"),
        (seen.request_lost, "request_lost"),
        (seen.response_lost, "response_lost"),
        (seen.end_inferred, "end_inferred"),
    ];
    flags.into_iter().filter(|(set, _)| *set).map(|(_, name)| name.to_owned()).collect()
}

impl From<&Listed> for Request {
    fn from(Listed { seq, row }: &Listed) -> Self {
        Self {
            id: seq.0,
            time_us: micros(row.time),
            duration_ns: nanos(row.duration),
            service: row.service.to_string(),
            instance: row.instance.as_deref().map(str::to_owned),
            kind: kind(row.kind).to_owned(),
            protocol: row.protocol.to_owned(),
            name: row.name.clone(),
            label: row.label.clone(),
            status: row.status.clone(),
            error: row.error.clone(),
            peer_service: row.peer.service.as_deref().map(str::to_owned),
            peer_address: row.peer.address,
            trace_id: row.trace.to_string(),
            span_id: row.span.to_string(),
            parent_span_id: row.parent.map(|parent| parent.to_string()),
            incomplete: missing(row.completeness),
        }
    }
}

/// A request and its attributes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct End {
    /// The request.
    #[serde(flatten)]
    pub request: Request,
    /// Attributes of its span, in their order.
    pub attributes: Vec<(String, String)>,
}

impl From<&Listed> for End {
    fn from(listed: &Listed) -> Self {
        let attributes = listed.row.attributes.iter().map(|(key, value)| (key.name().to_owned(), value.clone())).collect();
        Self { request: listed.into(), attributes }
    }
}

/// A span of a trace.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Span {
    /// Steps below the first known ancestor.
    pub depth: usize,
    /// The request.
    #[serde(flatten)]
    pub request: Request,
}

/// `GET /api/v1/requests/{id}`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detail {
    /// The end that was asked for.
    pub request: End,
    /// The other end of the call, where it was seen.
    pub other_end: Option<End>,
    /// Connection that carried it, where it is still known.
    pub connection: Option<Connection>,
    /// Known spans of its trace as a waterfall.
    pub trace: Vec<Span>,
}

impl Detail {
    /// Writes what is known around a request.
    #[must_use]
    pub fn new(related: &Related, connection: Option<ConnectionRow>) -> Self {
        Self {
            request: (&related.request).into(),
            other_end: related.other_end.as_ref().map(End::from),
            connection: connection.map(Connection::from),
            trace: query::waterfall(&related.trace).iter().map(|(depth, listed)| Span { depth: *depth, request: listed.into() }).collect(),
        }
    }
}

/// `GET /api/v1/connections`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connections {
    /// Open ones known to the agent.
    pub open: usize,
    /// Open before closed, the newest first.
    pub connections: Vec<Connection>,
}

/// One observed end of a connection.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Connection {
    /// Id (the kernel's socket cookie) in hexadecimal.
    pub id: String,
    /// `tcp` or `udp`.
    pub transport: String,
    /// Part of the observed end.
    pub part: Option<Part>,
    /// Observed end.
    pub local: SocketAddr,
    /// Other end.
    pub remote: SocketAddr,
    /// Service of the observed end.
    pub service: Option<String>,
    /// Service of the other end.
    pub peer_service: Option<String>,
    /// Protocol, once recognised.
    pub protocol: Option<String>,
    /// Begin, or first sight.
    pub opened_us: u64,
    /// End.
    pub closed_us: Option<u64>,
    /// Payload sent.
    pub sent_bytes: u64,
    /// Payload received.
    pub received_bytes: u64,
    /// Segments sent again.
    pub retransmits: u64,
    /// Smoothed round trip time.
    pub rtt_ns: Option<u64>,
}

impl From<ConnectionRow> for Connection {
    fn from(row: ConnectionRow) -> Self {
        let transport = match row.transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        Self {
            id: format!("{:x}", row.id.0),
            transport: transport.to_owned(),
            part: row.direction.map(Part::from),
            local: row.local,
            remote: row.remote,
            service: row.service.as_deref().map(str::to_owned),
            peer_service: row.peer_service.as_deref().map(str::to_owned),
            protocol: row.protocol.map(str::to_owned),
            opened_us: micros(row.opened),
            closed_us: row.closed.map(micros),
            sent_bytes: row.sent_bytes,
            received_bytes: row.received_bytes,
            retransmits: row.retransmits,
            rtt_ns: row.rtt.map(nanos),
        }
    }
}

/// `GET /api/v1/losses`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Losses {
    /// By component and reason.
    pub losses: Vec<Loss>,
}

/// Something lost, cut or not understood.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Loss {
    /// Part of the agent.
    pub component: String,
    /// Why.
    pub reason: String,
    /// How many since the agent started.
    pub count: u64,
    /// When it last grew.
    pub last_us: u64,
}

impl From<LossRow> for Loss {
    fn from(row: LossRow) -> Self {
        Self { component: row.component.to_owned(), reason: row.reason.to_owned(), count: row.count, last_us: micros(row.last) }
    }
}

/// `GET /api/v1/patterns`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Patterns {
    /// The newest first.
    pub patterns: Vec<Pattern>,
}

/// A log pattern of a service.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pattern {
    /// Service.
    pub service: String,
    /// Id.
    pub id: String,
    /// OTLP severity number, 0 if unknown.
    pub severity: u8,
    /// Template with `<*>` placeholders.
    pub template: String,
    /// A redacted message.
    pub example: String,
    /// First message.
    pub first_us: u64,
    /// Last message.
    pub last_us: u64,
    /// Messages since then.
    pub count: u64,
    /// Messages a second over the last minute.
    pub rate: f64,
    /// Messages in each 5 s of the last five minutes, oldest first.
    pub trend: Vec<u32>,
}

impl From<PatternRow> for Pattern {
    fn from(row: PatternRow) -> Self {
        let PatternRow { service, id, severity, template, example, first, last, count, rate, trend } = row;
        Self { service, id, severity, template, example, first_us: micros(first), last_us: micros(last), count, rate, trend }
    }
}

/// `GET /api/v1/status`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Agent {
    /// Version of the agent.
    pub version: String,
    /// Host name.
    pub host: String,
    /// Kernel release.
    pub kernel: String,
    /// Start of the agent.
    pub started_us: u64,
    /// The agent's clock.
    pub now_us: u64,
    /// CPU cores that the agent uses.
    pub cpu_cores: f64,
    /// Resident memory of the agent.
    pub memory_bytes: u64,
    /// Whether capture is attached.
    pub capture: CaptureState,
    /// Destinations of telemetry.
    pub exporters: Vec<Exporter>,
    /// What works on this machine and what is off.
    pub capabilities: Vec<Capability>,
    /// Requests counted.
    pub requests: u64,
    /// Of these, not listed one by one because of their rate.
    pub unlisted: u64,
    /// Services, patterns and open connections forgotten because a table was full.
    pub forgotten: u64,
}

/// State of capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CaptureState {
    /// Being loaded.
    Starting,
    /// Attached.
    Attached {
        /// Since when.
        since_us: u64,
    },
    /// Cannot work.
    Failed {
        /// Why.
        reason: String,
    },
}

/// State of an exporter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ExportState {
    /// Nothing sent so far.
    Untried,
    /// Accepted.
    Ok {
        /// Since when.
        since_us: u64,
    },
    /// Not accepted.
    Failing {
        /// Since when.
        since_us: u64,
        /// Why.
        error: String,
    },
}

/// One destination of telemetry.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exporter {
    /// `traces`, `metrics`, `logs`.
    pub signal: String,
    /// Where to.
    pub endpoint: String,
    /// Health.
    pub health: ExportState,
    /// Accepted items.
    pub sent: u64,
    /// Items given up.
    pub dropped: u64,
    /// Waiting items.
    pub queued: u64,
}

impl From<ExporterRow> for Exporter {
    fn from(row: ExporterRow) -> Self {
        let health = match row.health {
            Health::Untried => ExportState::Untried,
            Health::Ok { since } => ExportState::Ok { since_us: micros(since) },
            Health::Failing { since, error } => ExportState::Failing { since_us: micros(since), error },
        };
        Self { signal: row.signal.to_owned(), endpoint: row.endpoint, health, sent: row.sent, dropped: row.dropped, queued: row.queued }
    }
}

/// Something that works on some machines only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Capability {
    /// What.
    pub name: String,
    /// Why it is off; `null` means that it works.
    pub off: Option<String>,
}

impl Agent {
    /// Writes the state of the agent at `now`.
    #[must_use]
    pub fn new(status: Status, totals: Totals, now: UnixNanos) -> Self {
        let capture = match status.capture {
            Capture::Starting => CaptureState::Starting,
            Capture::Attached { since } => CaptureState::Attached { since_us: micros(since) },
            Capture::Failed { reason } => CaptureState::Failed { reason },
        };
        Self {
            version: status.facts.version,
            host: status.facts.host,
            kernel: status.facts.kernel,
            started_us: micros(status.facts.started),
            now_us: micros(now),
            cpu_cores: status.usage.cpu_cores,
            memory_bytes: status.usage.memory_bytes,
            capture,
            exporters: status.exporters.into_iter().map(Exporter::from).collect(),
            capabilities: status.capabilities.into_iter().map(|row| Capability { name: row.name, off: row.off }).collect(),
            requests: totals.requests,
            unlisted: totals.unlisted,
            forgotten: totals.forgotten,
        }
    }
}

/// Event `change` of `GET /api/v1/events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Grows with every change of anything.
    pub revision: u64,
    /// Number of the newest request.
    pub last: u64,
}

impl Change {
    /// State of `view` now.
    #[must_use]
    pub fn of(view: &View) -> Self {
        let (_, last) = view.requests_after(super::Seq(u64::MAX));
        Self { revision: view.revision(), last: last.0 }
    }
}

/// Body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong, in one line.
    pub error: String,
}
