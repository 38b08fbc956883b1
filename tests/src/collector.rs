//! A real OpenTelemetry Collector, and what it received.

use crate::otlp::{Item, LOGS, METRICS, SPANS, items};
use crate::{Process, free_port, get, part, repository};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

/// A running Collector with `otel-collector-config/file-and-prometheus.yaml`.
#[derive(Debug)]
pub struct Collector {
    process: Process,
    directory: TempDir,
    grpc: u16,
    http: u16,
    prometheus: u16,
}

impl Collector {
    /// Starts a Collector on free ports, or says why the test is skipped.
    ///
    /// # Panics
    /// It is there and does not start.
    #[must_use]
    pub fn start() -> Option<Self> {
        let program = part("otelcol")?;
        let directory = TempDir::new().expect("a scratch directory");
        let (grpc, http, prometheus) = (free_port(), free_port(), free_port());
        let mut command = Command::new(program);
        command
            .arg("--config")
            .arg(repository().join("otel-collector-config/file-and-prometheus.yaml"))
            .env("OTLP_GRPC_LISTEN", format!("127.0.0.1:{grpc}"))
            .env("OTLP_HTTP_LISTEN", format!("127.0.0.1:{http}"))
            .env("PROMETHEUS_LISTEN", format!("127.0.0.1:{prometheus}"))
            .env("OUTPUT_DIR", directory.path());
        let mut process = Process::start("otelcol", &mut command);
        process.wait_for_log("Everything is ready");
        Some(Self { process, directory, grpc, http, prometheus })
    }

    /// Its endpoint for OTLP over gRPC, as `OTEL_EXPORTER_OTLP_ENDPOINT` takes it.
    #[must_use]
    pub fn grpc_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// Its port for OTLP over gRPC.
    #[must_use]
    pub fn grpc_port(&self) -> u16 {
        self.grpc
    }

    /// Its endpoint for OTLP over HTTP, as `OTEL_EXPORTER_OTLP_ENDPOINT` takes it.
    #[must_use]
    pub fn http_endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// The spans received so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Item> {
        items(&self.received("traces"), SPANS)
    }

    /// The metrics received so far, each with the points of one export.
    #[must_use]
    pub fn metrics(&self) -> Vec<Item> {
        items(&self.received("metrics"), METRICS)
    }

    /// The log records received so far.
    #[must_use]
    pub fn log_records(&self) -> Vec<Item> {
        items(&self.received("logs"), LOGS)
    }

    /// The log records received so far, as the JSON text that the Collector wrote: for tests with very many.
    #[must_use]
    pub fn log_text(&self) -> String {
        self.received("logs")
    }

    /// What its Prometheus exporter shows; empty before it has anything.
    #[must_use]
    pub fn prometheus(&self) -> String {
        get(self.prometheus, "/metrics").map(|response| response.body).unwrap_or_default()
    }

    /// Its process, for a test that stops or suspends it.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn received(&self, signal: &str) -> String {
        let file: PathBuf = self.directory.path().join(format!("{signal}.jsonl"));
        fs::read_to_string(file).unwrap_or_default()
    }
}
