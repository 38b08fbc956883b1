//! `remora run`: the agent in the foreground until SIGTERM or SIGINT.
//!
//! Starts the parts, wires them, waits, and stops them in the order in which data flows.

use super::CommandError;
use super::run_logs::{self, Shared};
use crate::aggregate::histogram::Division;
use crate::aggregate::series::Settings as AggregateSettings;
use crate::aggregate::{Aggregate, Temporality};
use crate::bpf::{self, Hook, HookState, Hooks, LoadOptions};
use crate::config::{
    Config, Histogram as ConfigHistogram, ParentRule as ConfigParentRule, ReadingThread, Temporality as ConfigTemporality,
};
use crate::entity::cgroup::Runtime as ContainerRuntime;
use crate::entity::engine::EngineSocket;
use crate::entity::host::{Host, Uname};
use crate::entity::resolver;
use crate::entity::sockets::{self, SocketTable};
use crate::entity::table::{Entities, Lookup, Who};
use crate::kernel::{self, Capability, CgroupLayout, ProcessIds, Roots};
use crate::pipeline::capture::{self, Closes, Parts};
use crate::pipeline::export::Export;
use crate::pipeline::report::{self, Reporter};
use crate::pipeline::{Desk, DeskSettings, Feed, Reading, RouteSettings, openings};
use crate::selfobs::Counters;
use crate::trace::sampling::{Errors, ParentRule, Sampler};
use crate::trace::{Limits as TraceLimits, Settings as TraceSettings, Tracer};
use crate::view::{self, AgentFacts, CapabilityRow, Capture, Limits as ViewLimits, Listen, Token, UnixNanos, View};
use remora_core::flow::{Flow, Limits as FlowLimits};
use remora_core::model::Pid;
use remora_core::proto;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Time for sending what is left at the end.
pub(super) const FLUSH: Duration = Duration::from_secs(10);
/// Longest wait for the names of processes that hold sockets.
const NAMING: Duration = Duration::from_millis(500);
/// Threads of the asynchronous runtime: exporter, view and container engines need few.
const WORKERS: usize = 2;

/// Runs the agent; returns after a clean stop.
///
/// # Errors
/// What kept it from starting, or from going on.
pub fn run(config: Config) -> Result<(), CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .map_err(failed("start the asynchronous runtime"))?;
    let _entered = runtime.enter();
    // Before anything is attached: from here on a signal means a clean stop.
    let stop_signal = StopSignals::catch()?;
    let export = Export::start(&config, runtime.handle())?;
    let _lock = super::lock::only_agent(&config.state_dir)?;

    privileged(&config)?;
    let (captured, hooks) = bpf::load(&load_options(&config)).map_err(failed("capture"))?;
    let host = Host::read(&config.host.root, &Uname::of_this_machine());
    let entities = resolver::start(entity_settings(&config), host.clone());
    let counters = Arc::new(Counters::new(proto::TABLE.iter().map(|protocol| protocol.name)));
    let existing = SocketTable::scan(&config.host.proc, &sockets::Limits::default());
    name_holders(&existing, &entities);
    let view = View::new(ViewLimits::default());
    describe(&view, &host, &hooks);
    let listener = serve(&config, &view, &runtime);
    runtime.spawn(report_for_ever(export.reporter(&view, &counters, config.host.proc.clone())));
    let own_metrics = export.own_metrics(&config, &host, &counters);

    let stop = Arc::new(AtomicBool::new(false));
    let served = Feed::default();
    let shared = Shared {
        entities: entities.clone(),
        host: host.clone(),
        view: &view,
        counters: &counters,
        export: &export,
        served: served.clone(),
    };
    let logs = run_logs::start(&config, shared, Arc::clone(&stop))?;
    let parts = Parts {
        flow: flow(&config),
        desk: desk(&config, entities, host, &view, &counters, served),
        outlet: export.outlet(),
        counters,
        view,
        own_listener: listener,
        existing,
        closes: closes(&hooks),
        process_ids: process_ids(&config),
        metrics_interval: config.metrics.interval,
        captured,
    };
    let thread = start(parts, Arc::clone(&stop))?;
    let signal = runtime.block_on(stop_signal.first());
    tracing::info!(signal, "stopping: sending what is left");
    stop.store(true, Ordering::Relaxed);
    if thread.join().is_err() {
        tracing::error!("the capture thread panicked; what it held is lost");
    }
    let logs = logs.and_then(|logs| logs.join(&export));
    drop(own_metrics);
    runtime.block_on(export.shutdown(FLUSH));
    if let Some(logs) = logs {
        logs.settle(&export);
    }
    Ok(())
}

/// Has the processes that hold sockets named before the agent is ready: one may end with the first call that is seen of it.
fn name_holders(sockets: &SocketTable, entities: &Entities) {
    let holders: BTreeSet<Pid> = sockets.iter().filter_map(|(_, holder)| holder).collect();
    let until = Instant::now() + NAMING;
    let is_pending = |pid: &Pid| matches!(entities.lookup(&Who::pid(*pid)), Lookup::Pending);
    // All are asked for in the first round.
    while holders.iter().filter(|pid| is_pending(pid)).count() > 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What keeps capture from working at all, before the kernel is asked for anything.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {reason}; run it as root, and see `remora check`")]
struct Obstacle {
    name: String,
    reason: String,
}

fn privileged(config: &Config) -> Result<(), CommandError> {
    let roots = Roots { proc: config.host.proc.clone(), sys: config.host.sys.clone(), cgroup: config.capture.cgroup_root.clone() };
    let Some(Capability { name, reason, .. }) = kernel::obstacle(&kernel::probe(&roots)).cloned() else { return Ok(()) };
    Err(failed("capture")(Obstacle { name, reason }))
}

fn failed<E: std::error::Error + Send + Sync + 'static>(doing: &'static str) -> impl FnOnce(E) -> CommandError {
    move |source| CommandError::Failed { doing, source: Box::new(source) }
}

/// How the programs are loaded, from configuration and the running kernel.
pub(super) fn load_options(config: &Config) -> LoadOptions {
    LoadOptions {
        ring_bytes: config.capture.ring_bytes.and_then(|bytes| u32::try_from(bytes).ok()),
        cgroup_root: cgroup_root(config),
        first_cgroup_namespace: kernel::first_namespace(&config.host.proc),
        self_pid: std::process::id(),
        reading_thread: config.capture.reading_thread != ReadingThread::Off,
        kernel_btf: std::fs::read(config.host.sys.join("kernel/btf/vmlinux")).ok(),
        openings: openings(),
    }
}

/// Where the cgroup v2 root is mounted: as configured, else as found.
fn cgroup_root(config: &Config) -> Option<PathBuf> {
    CgroupLayout::read(&config.host.proc, config.capture.cgroup_root.as_deref()).root().map(Path::to_path_buf)
}

fn entity_settings(config: &Config) -> resolver::Settings {
    let engine = |runtime, path: &Path| EngineSocket { runtime, path: path.to_path_buf() };
    resolver::Settings {
        proc_root: config.host.proc.clone(),
        cgroup2: cgroup_root(config),
        engines: vec![
            engine(ContainerRuntime::Docker, &config.entity.docker_socket),
            engine(ContainerRuntime::Podman, &config.entity.podman_socket),
            engine(ContainerRuntime::Containerd, &config.entity.containerd_socket),
        ],
        host_root: Some(config.host.root.clone()),
        engine_timeout: config.entity.timeout,
        ..resolver::Settings::default()
    }
}

/// The table of connections, as configured.
pub(super) fn flow(config: &Config) -> Flow {
    let limits = FlowLimits {
        connections: usize::try_from(config.capture.max_connections).unwrap_or(usize::MAX),
        answer: config.http.timeout,
        ..FlowLimits::default()
    };
    let options = proto::Options {
        raw_text: config.query.raw_text,
        text_limit: usize::try_from(config.query.text_bytes).unwrap_or(usize::MAX),
        ..proto::Options::default()
    };
    Flow::new(limits, options)
}

fn desk(config: &Config, entities: Entities, host: Host, view: &View, counters: &Arc<Counters>, served: Feed) -> Desk {
    let clock = Reading::now();
    let seed = clock.unix_nanos ^ u64::from(std::process::id()) << 32;
    let settings = DeskSettings {
        entities,
        host,
        tracer: tracer(config, seed),
        aggregate: Aggregate::new(aggregate_settings(config), clock.mono),
        temporality: temporality(config),
        view: view.clone(),
        counters: Arc::clone(counters),
        selection: config.selection.clone(),
        routes: RouteSettings { rules: config.http.routes.clone(), limit: usize::try_from(config.http.route_limit).unwrap_or(usize::MAX) },
        served: config.logs.enabled.then_some(served),
        batch: usize::try_from(config.traces.batch_size).unwrap_or(usize::MAX),
        delay: config.traces.batch_delay,
    };
    Desk::new(settings, clock)
}

/// What decides the places of spans, as configured. `seed` makes ids of what has no key.
pub(super) fn tracer(config: &Config, seed: u64) -> Tracer {
    let sampler = &config.traces.sampler;
    let parent = match sampler.parent {
        ConfigParentRule::Follow => ParentRule::Follow,
        ConfigParentRule::Ignore => ParentRule::Ignore,
    };
    let sampler = Sampler::new(parent, sampler.ratio, Errors::default());
    Tracer::new(TraceSettings { sampler, instrumented: config.instrumented_networks.clone(), seed }, TraceLimits::default())
}

fn temporality(config: &Config) -> Temporality {
    match config.metrics.temporality {
        // `lowmemory` is delta for what synchronous instruments would measure, and all of these are.
        ConfigTemporality::Delta | ConfigTemporality::LowMemory => Temporality::Delta,
        ConfigTemporality::Cumulative => Temporality::Cumulative,
    }
}

fn aggregate_settings(config: &Config) -> AggregateSettings {
    let count = |n| usize::try_from(n).unwrap_or(usize::MAX);
    AggregateSettings {
        per_entity: count(config.metrics.cardinality_resource),
        per_node: count(config.metrics.cardinality_node),
        division: match config.metrics.histogram {
            ConfigHistogram::Explicit => Division::Explicit,
            ConfigHistogram::Exponential => Division::Exponential,
        },
        temporality: temporality(config),
        idle: config.metrics.staleness,
        ..AggregateSettings::default()
    }
}

/// Tells the view what works.
fn describe(view: &View, host: &Host, hooks: &Hooks) {
    view.agent(AgentFacts {
        version: env!("CARGO_PKG_VERSION").into(),
        host: host.name.clone(),
        kernel: host.kernel.clone(),
        started: UnixNanos::now(),
    });
    view.capabilities(hooks.hooks.iter().map(capability).collect());
    view.capture(Capture::Attached { since: UnixNanos::now() });
    for Hook { name, gives, state } in &hooks.hooks {
        if let HookState::Off(reason) = state {
            tracing::warn!(hook = name, reason, "not seen: {gives}");
        }
    }
    tracing::info!(root = ?hooks.root, sender = ?hooks.sender, "capture attached");
}

fn capability(hook: &Hook) -> CapabilityRow {
    let off = match &hook.state {
        HookState::Attached => None,
        HookState::Off(reason) => Some(reason.clone()),
    };
    CapabilityRow { name: hook.gives.to_owned(), off }
}

/// Whether records may name processes; says so if not.
fn process_ids(config: &Config) -> ProcessIds {
    let ids = ProcessIds::read(&config.host.proc);
    if ids == ProcessIds::Foreign {
        tracing::warn!("{}", ProcessIds::WHEN_FOREIGN);
    }
    ids
}

/// Whether the kernel side tells of closes.
fn closes(hooks: &Hooks) -> Closes {
    let told = hooks.hooks.iter().any(|hook| hook.name == "life" && hook.state == HookState::Attached);
    if told { Closes::Told } else { Closes::Inferred }
}

/// Serves the view, if it can; the agent goes on without it.
fn serve(config: &Config, view: &View, runtime: &Runtime) -> Option<SocketAddr> {
    if !config.view.enabled {
        return None;
    }
    let token = config.view.token.as_ref().and_then(|token| Token::new(token.reveal()));
    match runtime.block_on(view::bind(Listen { address: config.view.listen, token })) {
        Ok(bound) => {
            let address = bound.address();
            println!("Remora: live view at http://{address}/");
            let view = view.clone();
            runtime.spawn(async move {
                if let Err(error) = bound.serve(view, std::future::pending()).await {
                    tracing::error!(%error, "live view");
                }
            });
            Some(address)
        }
        Err(error) => {
            tracing::warn!("{error}");
            None
        }
    }
}

async fn report_for_ever(mut reporter: Reporter) {
    let mut ticks = tokio::time::interval(report::INTERVAL);
    loop {
        ticks.tick().await;
        reporter.report(UnixNanos::now());
    }
}

fn start(parts: Parts, stop: Arc<AtomicBool>) -> Result<std::thread::JoinHandle<()>, CommandError> {
    let work = move || capture::run(parts, &stop);
    std::thread::Builder::new()
        .name("capture".into())
        .spawn(work)
        .map_err(|source| CommandError::Io { doing: "start the capture thread".into(), source })
}

/// SIGTERM and SIGINT, caught from the moment this exists.
struct StopSignals {
    term: Signal,
    int: Signal,
}

impl StopSignals {
    fn catch() -> Result<Self, CommandError> {
        let catch = |kind| signal(kind).map_err(|source| CommandError::Io { doing: "catch signals".into(), source });
        Ok(Self { term: catch(SignalKind::terminate())?, int: catch(SignalKind::interrupt())? })
    }

    /// Waits for the first of them, and names it.
    async fn first(mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}
