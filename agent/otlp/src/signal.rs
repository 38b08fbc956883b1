//! The three signals, and what differs between them on the wire: paths and variable names.

/// An OTLP signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Metric points.
    Metrics,
    /// Log records.
    Logs,
}

impl Signal {
    /// All signals, in the order of [`Signal::index`].
    pub const ALL: [Signal; 3] = [Signal::Traces, Signal::Metrics, Signal::Logs];

    /// Position in tables with one entry a signal.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Lower-case name, as in log lines and attribute values.
    pub const fn name(self) -> &'static str {
        match self {
            Signal::Traces => "traces",
            Signal::Metrics => "metrics",
            Signal::Logs => "logs",
        }
    }

    /// Middle part of `OTEL_EXPORTER_OTLP_{TRACES|METRICS|LOGS}_…`.
    pub const fn variable_part(self) -> &'static str {
        match self {
            Signal::Traces => "TRACES",
            Signal::Metrics => "METRICS",
            Signal::Logs => "LOGS",
        }
    }

    /// Path below a generic OTLP/HTTP endpoint (OTLP specification, "OTLP/HTTP Request").
    pub const fn http_path(self) -> &'static str {
        match self {
            Signal::Traces => "v1/traces",
            Signal::Metrics => "v1/metrics",
            Signal::Logs => "v1/logs",
        }
    }

    /// Method of the gRPC service that takes this signal.
    pub const fn grpc_path(self) -> &'static str {
        match self {
            Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        }
    }
}

/// The signal of a buffer, as a type: a span cannot be put among log records.
pub trait SignalKind {
    /// The same as a value.
    const SIGNAL: Signal;
}

/// Type of [`Signal::Traces`].
#[derive(Clone, Copy, Debug)]
pub enum Traces {}
/// Type of [`Signal::Metrics`].
#[derive(Clone, Copy, Debug)]
pub enum Metrics {}
/// Type of [`Signal::Logs`].
#[derive(Clone, Copy, Debug)]
pub enum Logs {}

impl SignalKind for Traces {
    const SIGNAL: Signal = Signal::Traces;
}
impl SignalKind for Metrics {
    const SIGNAL: Signal = Signal::Metrics;
}
impl SignalKind for Logs {
    const SIGNAL: Signal = Signal::Logs;
}
