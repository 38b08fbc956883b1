//! The words a key may hold, as types.

/// Where a signal goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exporter {
    /// To the OTLP endpoint.
    Otlp,
    /// Nowhere; the live view still works.
    None,
    /// To standard output, for a look.
    Console,
}

/// How OTLP is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP.
    HttpProtobuf,
}

impl Protocol {
    /// The word of `OTEL_EXPORTER_OTLP_PROTOCOL`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}

/// How OTLP requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The word of `OTEL_EXPORTER_OTLP_COMPRESSION`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Whether the thread that reads a request is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadingThread {
    /// Where it decides the parent of a call.
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
}

/// The samplers of the OpenTelemetry specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SamplerKind {
    /// All.
    AlwaysOn,
    /// None.
    AlwaysOff,
    /// By trace id.
    TraceIdRatio,
    /// As the parent; all roots.
    ParentBasedAlwaysOn,
    /// As the parent; no roots.
    ParentBasedAlwaysOff,
    /// As the parent; roots by trace id.
    ParentBasedTraceIdRatio,
}

/// Whether the sampled flag of a parent decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParentRule {
    /// It decides; the ratio is for roots.
    Follow,
    /// The ratio is for all.
    Ignore,
}

/// Which spans are exported.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// What a sampled parent means.
    pub parent: ParentRule,
    /// Part of the traces that is kept, 0 to 1.
    pub ratio: f64,
}

impl Sampler {
    /// The sampler named `kind` with its argument.
    #[must_use]
    pub fn new(kind: SamplerKind, argument: f64) -> Self {
        let (parent, ratio) = match kind {
            SamplerKind::AlwaysOn => (ParentRule::Ignore, 1.0),
            SamplerKind::AlwaysOff => (ParentRule::Ignore, 0.0),
            SamplerKind::TraceIdRatio => (ParentRule::Ignore, argument),
            SamplerKind::ParentBasedAlwaysOn => (ParentRule::Follow, 1.0),
            SamplerKind::ParentBasedAlwaysOff => (ParentRule::Follow, 0.0),
            SamplerKind::ParentBasedTraceIdRatio => (ParentRule::Follow, argument),
        };
        Self { parent, ratio }
    }
}

/// Temporality preference of `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// Since the start of the series.
    Cumulative,
    /// Since the export before, for all that only grows.
    Delta,
    /// Delta for synchronous counters and histograms, cumulative for the rest.
    LowMemory,
}

/// Buckets of histograms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Histogram {
    /// Fixed bounds.
    Explicit,
    /// Base-2 exponential.
    Exponential,
}

/// How much the agent says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// Failures.
    Error,
    /// What deserves attention.
    Warn,
    /// What it does.
    Info,
    /// How it does it.
    Debug,
    /// Each step.
    Trace,
}
