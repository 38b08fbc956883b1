//! The log part of `remora run`: its pieces from the configuration, its thread, and its end.

use super::CommandError;
use crate::config::Config;
use crate::entity::host::Host;
use crate::entity::table::Entities;
use crate::logs::{Intake, IntakeSettings, Machine, Settings, Sources, Store};
use crate::pipeline::Feed;
use crate::pipeline::export::Export;
use crate::pipeline::logs::{self, Arrival, Landing, LogParts, LogSettings};
use crate::selfobs::{Counters, Loss};
use crate::view::{UnixNanos, View};
use remora_logs::redact::Redactor;
use remora_logs::table::Limits;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

/// The log thread.
pub(super) struct LogThread(JoinHandle<Landing>);

/// What the log part shares with the rest.
pub(super) struct Shared<'a> {
    pub(super) entities: Entities,
    pub(super) host: Host,
    pub(super) view: &'a View,
    pub(super) counters: &'a Arc<Counters>,
    pub(super) export: &'a Export,
    pub(super) served: Feed,
}

/// Starts the log thread, if logs are wanted.
pub(super) fn start(config: &Config, shared: Shared<'_>, stop: Arc<AtomicBool>) -> Result<Option<LogThread>, CommandError> {
    if !config.logs.enabled {
        return Ok(None);
    }
    let parts = parts(config, shared);
    let thread = std::thread::Builder::new()
        .name("logs".into())
        .spawn(move || logs::run(parts, &stop))
        .map_err(|source| CommandError::Io { doing: "start the log thread".into(), source })?;
    Ok(Some(LogThread(thread)))
}

impl LogThread {
    /// Waits until the thread has submitted what it held. `None` if it panicked.
    pub(super) fn join(self, export: &Export) -> Option<Ending> {
        let left_behind = export.log_records_left_behind();
        match self.0.join() {
            Ok(landing) => Some(Ending { landing, left_behind }),
            Err(_) => {
                tracing::error!("the log thread panicked; what it held is sent again after the next start");
                None
            }
        }
    }
}

/// What is left to do when the exporter has ended.
pub(super) struct Ending {
    landing: Landing,
    /// Records that had been given up before.
    left_behind: u64,
}

impl Ending {
    /// Keeps the positions of what has arrived.
    pub(super) fn settle(self, export: &Export) {
        let arrival = if export.log_records_left_behind() == self.left_behind { Arrival::All } else { Arrival::Partial };
        self.landing.settle(arrival);
    }
}

fn parts(config: &Config, shared: Shared<'_>) -> LogParts {
    let store = Store::open(&config.state_dir).inspect_err(|error| {
        shared.counters.lost(Loss::StateWrite, 1);
        tracing::warn!(%error, directory = %config.state_dir.display(), "positions of logs are not kept: lines may be lost or sent again");
    });
    let store = store.ok();
    let checkpoint = store.as_ref().and_then(Store::load);
    let settings = Settings {
        root: config.host.root.clone(),
        proc_root: config.host.proc.clone(),
        include: config.logs.files_include.clone(),
        exclude: config.logs.files_exclude.clone(),
        selection: config.selection.clone(),
        machine: Machine::Read,
        clock: || UnixNanos::now().0,
    };
    let intake = IntakeSettings {
        settings: remora_logs::Settings { limits: limits(config), redactor: redactor(config) },
        state: store.as_ref().map(|_| config.state_dir.clone()),
        counters: Arc::clone(shared.counters),
    };
    LogParts {
        sources: Sources::new(settings, shared.entities.clone(), shared.host, checkpoint),
        intake: Intake::new(intake),
        store,
        records: shared.export.log_outlet(config.logs.exporter),
        metrics: shared.export.outlet(),
        served: shared.served,
        entities: shared.entities,
        view: shared.view.clone(),
        counters: Arc::clone(shared.counters),
        settings: LogSettings {
            batch: usize::try_from(config.logs.batch_size).unwrap_or(usize::MAX),
            delay: config.logs.batch_delay,
            metrics_interval: config.metrics.interval,
            temporality: config.metrics.temporality,
            staleness: config.metrics.staleness,
            selection: config.selection.clone(),
            exclude: config.logs.exclude.clone(),
            rate: config.logs.rate,
            redactions: config.logs.redaction_rules.clone(),
        },
    }
}

/// The memory of templates grows with their number.
fn limits(config: &Config) -> Limits {
    let default = Limits::default();
    let patterns = usize::try_from(config.logs.patterns_limit).unwrap_or(usize::MAX);
    Limits { patterns, template_bytes: default.template_bytes / default.patterns * patterns, ..default }
}

fn redactor(config: &Config) -> Redactor {
    if config.logs.redaction_enabled { Redactor::default() } else { Redactor::off() }
}
