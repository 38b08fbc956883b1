//! The OTLP client: takes encoded requests from any thread and sends them, for each signal, over
//! gRPC or HTTP/protobuf.
//!
//! It must never block a caller, hold unbounded memory, or lose a record without counting it: every
//! item that was submitted ends as sent, rejected by the receiver, or dropped for a named reason.
//! Rules are those of the OTLP specification 1.11.
//!
//! `config` reads the `OTEL_EXPORTER_OTLP_*` variables · `body` compresses and frames once a
//! batch · `transport` is the HTTP client below both protocols · `grpc` and `http_protobuf` build
//! requests and read answers · `retry` decides · `account` bounds and counts · `exporter` runs it.

mod account;
mod answer;
mod body;
mod config;
mod error;
mod exporter;
mod grpc;
mod http_protobuf;
mod retry;
mod tls;
mod transport;

pub use account::{DropReason, ExportCounters, Health};
pub use config::{
    ClientConfig, ClientIdentity, Compression, ConfigError, HistogramPreference, Protocol, TemporalityPreference, TlsFiles,
    metric_preferences,
};
pub use error::SetupError;
pub use exporter::{Exporter, ExporterConfig, Receipt, SubmitError};
pub use retry::RetryPolicy;
