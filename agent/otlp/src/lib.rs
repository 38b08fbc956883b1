//! OTLP: the wire writer of spans, metric points and log records, and the client that sends them.
//!
//! Why it exists: an agent exports for hundreds of Resources at once and at rates where building
//! generated structs costs more than everything else, so records are written straight as protobuf
//! bytes. Encoding is synchronous, works on buffers that the caller reuses and knows no I/O; only
//! [`client`] talks to the network. It must never decide what a span or a metric *means*: names,
//! attributes and sampling belong to the callers.
//!
//! From a record to the wire:
//! [`Span`], [`LogRecord`], [`NumberPoint`] … → [`Items`] of one Resource → [`Packer`] →
//! [`EncodedBatch`] → [`client::Exporter::submit`].
#![cfg_attr(test, expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed"))]

pub mod client;

mod items;
mod logs;
mod metrics;
mod request;
mod resource;
mod signal;
mod span;
mod value;
mod wire;

pub use items::Items;
pub use logs::{LogRecord, Severity};
pub use metrics::{
    Buckets, Exemplar, ExponentialHistogramPoint, ExponentialHistograms, HistogramPoint, Histograms, Interval, MetricName, Number,
    NumberPoint, Numbers, Points, SumKind, Temporality,
};
pub use request::{DEFAULT_REQUEST_BYTES, EncodedBatch, Packer};
pub use resource::{Envelope, Resource, Scope};
pub use signal::{Logs, Metrics, Signal, SignalKind, Traces};
pub use span::{ParentContext, Span, SpanEvent, SpanFlags, SpanKind, SpanLink, Status};
pub use value::{Attribute, Encoded, Value, field};
