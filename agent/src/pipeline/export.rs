//! The way out: one OTLP exporter for all signals, fed by the capture thread, the log readers and the agent's own metrics.

use super::Outlet;
use super::clients::clients;
use super::report::Reporter;
use crate::commands::CommandError;
use crate::config::{Config, Protocol};
use crate::entity::host::Host;
use crate::selfobs::Counters;
use crate::selfobs::export::OwnMetrics;
use crate::selfobs::instruments::Observed;
use crate::view::View;
use remora_otlp::client::{Exporter, ExporterConfig};
use remora_otlp::{EncodedBatch, Signal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// The running exporter.
pub struct Export {
    exporter: Arc<Exporter>,
    endpoints: Vec<(Signal, String)>,
}

impl Export {
    /// Starts the clients that the configuration asks for; they connect at the first batch.
    ///
    /// # Errors
    /// A setting or a certificate that cannot be used.
    pub fn start(config: &Config, runtime: &Handle) -> Result<Self, CommandError> {
        let clients = clients(config)?;
        let endpoints = clients.iter().map(|client| (client.signal, client.url.to_string())).collect();
        let queue_bytes = usize::try_from(config.otlp.queue_bytes).unwrap_or(usize::MAX);
        let exporter = Exporter::start(ExporterConfig { queue_bytes, ..ExporterConfig::new(clients) }, runtime)
            .map_err(|source| CommandError::Failed { doing: "set up OTLP export", source: Box::new(source) })?;
        Ok(Self { exporter: Arc::new(exporter), endpoints })
    }

    /// A handle for a thread that makes batches.
    #[must_use]
    pub fn outlet(&self) -> Box<dyn Outlet> {
        Box::new(ToExporter(Arc::clone(&self.exporter)))
    }

    /// What tells the live view how export goes.
    #[must_use]
    pub fn reporter(&self, view: &View, counters: &Arc<Counters>, proc: PathBuf) -> Reporter {
        Reporter::new(view.clone(), Arc::clone(counters), Arc::clone(&self.exporter), self.endpoints.clone(), proc)
    }

    /// Starts the agent's metrics about itself; they end when the result is dropped.
    #[must_use]
    pub fn own_metrics(&self, config: &Config, host: &Host, counters: &Arc<Counters>) -> OwnMetrics {
        let outlet = ToExporter(Arc::clone(&self.exporter));
        let counted = Arc::clone(&self.exporter);
        let observed = Observed {
            counters: Arc::clone(counters),
            exports: Arc::new(move |signal| counted.counters(signal)),
            proc: config.host.proc.clone(),
            protocol: config.otlp.all.protocol.unwrap_or(Protocol::Grpc),
        };
        let resource = [
            ("service.name", config.resource.service_name.as_str()),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", host.id.as_deref().unwrap_or(&host.name)),
            ("host.name", &host.name),
        ];
        OwnMetrics::start(&resource, config.metrics.interval, Arc::new(move |batch| outlet.submit(batch)), &observed)
    }

    /// Sends what is held, for at most `time`.
    pub async fn shutdown(&self, time: Duration) {
        self.exporter.shutdown(time).await;
    }
}

/// Batches to the exporter, which counts what it cannot take.
struct ToExporter(Arc<Exporter>);

impl Outlet for ToExporter {
    fn submit(&self, batch: EncodedBatch) {
        if let Err(error) = self.0.submit(batch) {
            tracing::debug!(%error, "batch dropped");
        }
    }
}
