//! The way out: one OTLP exporter for all signals, fed by the capture thread, the log readers and the agent's own metrics.

use super::Outlet;
use super::clients::clients;
use super::console;
use super::logs::LogOutlet;
use super::report::Reporter;
use crate::commands::CommandError;
use crate::config::{Config, Exporter as ExporterChoice, Protocol};
use crate::entity::host::Host;
use crate::selfobs::Counters;
use crate::selfobs::export::OwnMetrics;
use crate::selfobs::instruments::Observed;
use crate::view::View;
use remora_otlp::client::{DropReason, Exporter, ExporterConfig, Receipt};
use remora_otlp::{EncodedBatch, Signal};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// The running exporter.
pub struct Export {
    exporter: Arc<Exporter>,
    endpoints: Vec<(Signal, String)>,
    /// Signals that are printed.
    console: Vec<Signal>,
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
        let choices =
            [(Signal::Traces, config.traces.exporter), (Signal::Metrics, config.metrics.exporter), (Signal::Logs, config.logs.exporter)];
        let console = choices.into_iter().filter(|(_, choice)| *choice == ExporterChoice::Console).map(|(signal, _)| signal).collect();
        Ok(Self { exporter: Arc::new(exporter), endpoints, console })
    }

    fn way(&self) -> ToExporter {
        ToExporter { exporter: Arc::clone(&self.exporter), console: self.console.clone() }
    }

    /// A handle for a thread that makes batches.
    #[must_use]
    pub fn outlet(&self) -> Box<dyn Outlet> {
        Box::new(self.way())
    }

    /// A handle for the log thread, which keeps positions until what it sent is settled.
    #[must_use]
    pub fn log_outlet(&self, choice: ExporterChoice) -> Box<dyn LogOutlet> {
        match choice {
            ExporterChoice::None => Box::new(ToNobody),
            ExporterChoice::Otlp | ExporterChoice::Console => Box::new(self.way()),
        }
    }

    /// Log records that were given up because the agent stopped.
    #[must_use]
    pub fn log_records_left_behind(&self) -> u64 {
        self.exporter.counters(Signal::Logs).map_or(0, |counters| counters.dropped(DropReason::Shutdown))
    }

    /// What tells the live view how export goes.
    #[must_use]
    pub fn reporter(&self, view: &View, counters: &Arc<Counters>, proc: PathBuf) -> Reporter {
        Reporter::new(view.clone(), Arc::clone(counters), Arc::clone(&self.exporter), self.endpoints.clone(), proc)
    }

    /// Starts the agent's metrics about itself; they end when the result is dropped.
    #[must_use]
    pub fn own_metrics(&self, config: &Config, host: &Host, counters: &Arc<Counters>) -> OwnMetrics {
        let outlet = self.way();
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

/// Batches to the console where that is asked for, else to the exporter, which counts what it cannot take.
#[derive(Clone)]
struct ToExporter {
    exporter: Arc<Exporter>,
    console: Vec<Signal>,
}

impl Outlet for ToExporter {
    fn submit(&self, batch: EncodedBatch) {
        if self.console.contains(&batch.signal) {
            // A closed standard output is nobody looking.
            let _ = console::write(&batch, &mut std::io::stdout().lock());
        } else if let Err(error) = self.exporter.submit(batch) {
            tracing::debug!(%error, "batch dropped");
        }
    }
}

impl LogOutlet for ToExporter {
    fn submit_tracked(&self, batch: EncodedBatch) -> Receipt {
        if self.console.contains(&batch.signal) {
            self.submit(batch);
            return Receipt::settled();
        }
        self.exporter.submit_tracked(batch).unwrap_or_else(|error| {
            tracing::debug!(%error, "batch dropped");
            Receipt::settled()
        })
    }
}

/// The user wants counts and patterns of logs, but no records.
struct ToNobody;

impl LogOutlet for ToNobody {
    fn submit_tracked(&self, _: EncodedBatch) -> Receipt {
        Receipt::settled()
    }
}
