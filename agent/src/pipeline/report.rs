//! What the live view says of the agent itself: losses, exporters, cost. Once every two seconds, off the capture thread.

use crate::kernel::{Units, Usage};
use crate::selfobs::{Counters, Loss};
use crate::view::{self, ExporterRow, Health, UnixNanos, View};
use remora_otlp::Signal;
use remora_otlp::client::{self, Exporter};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between reports.
pub const INTERVAL: Duration = Duration::from_secs(2);

/// Turns totals into what is new since the last report.
pub struct Reporter {
    view: View,
    counters: Arc<Counters>,
    exporter: Arc<Exporter>,
    endpoints: Vec<(Signal, String)>,
    proc: PathBuf,
    seen: HashMap<(&'static str, &'static str), u64>,
    usage: Option<(Instant, Usage)>,
}

impl Reporter {
    /// A reporter that has told nothing.
    #[must_use]
    pub fn new(view: View, counters: Arc<Counters>, exporter: Arc<Exporter>, endpoints: Vec<(Signal, String)>, proc: PathBuf) -> Self {
        Self { view, counters, exporter, endpoints, proc, seen: HashMap::new(), usage: None }
    }

    /// Tells what is new.
    pub fn report(&mut self, now: UnixNanos) {
        self.losses(now);
        for (signal, endpoint) in &self.endpoints {
            if let Some(counters) = self.exporter.counters(*signal) {
                self.view.exporter(exporter_row(*signal, endpoint, &counters));
            }
        }
        let read = Usage::read(&self.proc, Units::of_this_system());
        if let Some(usage) = read {
            let before = self.usage.replace((Instant::now(), usage));
            let cores = before.map_or(0.0, |(at, old)| {
                let spent = (usage.user + usage.system).saturating_sub(old.user + old.system);
                spent.as_secs_f64() / at.elapsed().as_secs_f64().max(0.001)
            });
            self.view.usage(view::Usage { cpu_cores: cores, memory_bytes: usage.resident });
        }
    }

    fn losses(&mut self, now: UnixNanos) {
        let own = Loss::ALL.iter().map(|loss| (loss.names(), self.counters.loss(*loss)));
        let flow = self.counters.flow_losses().map(|(protocol, loss, n)| ((protocol.unwrap_or("unclassified"), loss.name()), n));
        for (names, total) in own.chain(flow) {
            let seen = self.seen.entry(names).or_default();
            let new = total.saturating_sub(std::mem::replace(seen, total));
            self.view.loss(names.0, names.1, new, now);
        }
    }
}

fn exporter_row(signal: Signal, endpoint: &str, counters: &client::ExportCounters) -> ExporterRow {
    let dropped = counters.dropped_items.iter().sum::<u64>() + counters.rejected_items;
    ExporterRow {
        signal: signal_name(signal),
        endpoint: endpoint.to_owned(),
        health: match &counters.health {
            client::Health::Unknown => Health::Untried,
            client::Health::Working { since } => Health::Ok { since: UnixNanos::of(*since) },
            client::Health::Failing { since, error } => Health::Failing { since: UnixNanos::of(*since), error: error.clone() },
        },
        sent: counters.sent_items,
        dropped,
        queued: counters.submitted_items.saturating_sub(counters.sent_items + dropped),
    }
}

/// Name of a signal in configuration keys and paths.
#[must_use]
pub fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "traces",
        Signal::Metrics => "metrics",
        Signal::Logs => "logs",
    }
}
