//! The configuration: read from defaults, one YAML file, the environment and flags, validated as a
//! whole, and from then on passed around as plain data.
//!
//! Nothing here is global and nothing reads the process's environment; `main` hands in a snapshot. A key
//! that does not exist or a value that cannot be stops the start with one line that says where and what
//! is allowed.

pub mod env;
pub mod error;
pub mod file;
pub mod keys;
pub mod kind;
pub mod layers;
pub mod otel;
pub mod otlp;
pub mod raw;
pub mod reference;
pub mod rules;
pub mod values;

pub use env::Environment;
pub use error::{ConfigError, Origin};
pub use kind::Secret;
pub use layers::{Effective, File, FlagValue, Sources};
pub use otlp::{OtlpConfig, OtlpSettings};
pub use rules::{LogRule, LogSeverity, RedactionRule, RouteRule};
pub use values::{Compression, Exporter, Histogram, LogLevel, ParentRule, Protocol, ReadingThread, Sampler, Temporality};

use crate::selection::{Glob, Selection};
use ipnet::IpNet;
use layers::Layers;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// The whole configuration, valid.
#[derive(Debug)]
pub struct Config {
    /// Directory for state that outlives the agent.
    pub state_dir: PathBuf,
    /// The live view.
    pub view: ViewConfig,
    /// Capture of connections.
    pub capture: CaptureConfig,
    /// What is observed.
    pub selection: Selection,
    /// HTTP.
    pub http: HttpConfig,
    /// Databases and messaging.
    pub query: QueryConfig,
    /// Spans.
    pub traces: TracesConfig,
    /// Metrics.
    pub metrics: MetricsConfig,
    /// Where telemetry is sent and how.
    pub otlp: OtlpConfig,
    /// What is added to Resources.
    pub resource: ResourceConfig,
    /// Container runtimes.
    pub entity: EntityConfig,
    /// Where the host is seen.
    pub host: HostConfig,
    /// Address ranges whose nodes run this agent too.
    pub instrumented_networks: Vec<IpNet>,
    /// Logs of workloads.
    pub logs: LogsConfig,
    /// The agent's own log.
    pub log_level: LogLevel,
    /// Each key with its effective value and origin, in the order of the reference.
    pub effective: Vec<Effective>,
    /// Remarks for the log, each one line.
    pub notices: Vec<String>,
}

/// Keys `view.*`.
#[derive(Clone, Debug)]
pub struct ViewConfig {
    /// Whether it is served.
    pub enabled: bool,
    /// Where.
    pub listen: SocketAddr,
    /// What clients must present; always there if `listen` is not loopback.
    pub token: Option<Secret>,
}

/// Keys `capture.*`.
#[derive(Clone, Debug)]
pub struct CaptureConfig {
    /// Ring buffer, bytes, a power of two; by the number of processors if not set.
    pub ring_bytes: Option<u64>,
    /// Root of the cgroup v2 hierarchy, if not found by itself.
    pub cgroup_root: Option<PathBuf>,
    /// Whether the reading thread is observed.
    pub reading_thread: ReadingThread,
    /// Most connections at one time.
    pub max_connections: u64,
}

/// Keys `http.*`.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Time after which an unanswered request is reported.
    pub timeout: Duration,
    /// The user's route templates, first match first.
    pub routes: Vec<RouteRule>,
    /// Most learned routes of a service.
    pub route_limit: u64,
}

/// Keys `query.*`.
#[derive(Clone, Debug)]
pub struct QueryConfig {
    /// Whether statements keep their literals.
    pub raw_text: bool,
    /// Most bytes of statement text.
    pub text_bytes: u64,
}

/// Keys `traces.*`.
#[derive(Clone, Debug)]
pub struct TracesConfig {
    /// Where spans go.
    pub exporter: Exporter,
    /// Which spans go.
    pub sampler: Sampler,
    /// Most spans in one export.
    pub batch_size: u64,
    /// Longest time a span waits.
    pub batch_delay: Duration,
}

/// Keys `metrics.*`.
#[derive(Clone, Debug)]
pub struct MetricsConfig {
    /// Where metrics go.
    pub exporter: Exporter,
    /// Time between exports.
    pub interval: Duration,
    /// What a point counts from.
    pub temporality: Temporality,
    /// Buckets.
    pub histogram: Histogram,
    /// Most series of one metric of one Resource.
    pub cardinality_resource: u64,
    /// Most series of the node.
    pub cardinality_node: u64,
    /// Time without an event after which a series ends.
    pub staleness: Duration,
}

/// Keys `resource.*`.
#[derive(Clone, Debug)]
pub struct ResourceConfig {
    /// Attributes of every Resource.
    pub attributes: Vec<(String, String)>,
    /// `service.name` of the agent itself.
    pub service_name: String,
}

/// Keys `entity.*`.
#[derive(Clone, Debug)]
pub struct EntityConfig {
    /// Docker.
    pub docker_socket: PathBuf,
    /// Podman.
    pub podman_socket: PathBuf,
    /// containerd.
    pub containerd_socket: PathBuf,
    /// Longest time for a question.
    pub timeout: Duration,
}

/// Keys `host.*`.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The host's root directory.
    pub root: PathBuf,
    /// The host's `/proc`.
    pub proc: PathBuf,
    /// The host's `/sys`.
    pub sys: PathBuf,
}

/// Keys `logs.*`.
#[derive(Clone, Debug)]
pub struct LogsConfig {
    /// Whether logs are followed.
    pub enabled: bool,
    /// Where records go.
    pub exporter: Exporter,
    /// Further files.
    pub files_include: Vec<Glob>,
    /// Files that are left out.
    pub files_exclude: Vec<Glob>,
    /// Records that are counted but not exported.
    pub exclude: Vec<LogRule>,
    /// Most patterns of a container.
    pub patterns_limit: u64,
    /// Whether bodies are redacted.
    pub redaction_enabled: bool,
    /// Further redactions.
    pub redaction_rules: Vec<RedactionRule>,
    /// Rate limit; `None` exports all.
    pub rate: Option<LogRate>,
    /// Most records in one export.
    pub batch_size: u64,
    /// Longest time a record waits.
    pub batch_delay: Duration,
}

/// Keys `logs.rate.*`: the first records of a pattern in each interval, then one in so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRate {
    /// Records exported before sampling starts, at least 1.
    pub first: u64,
    /// One in so many afterwards.
    pub every: u64,
    /// The interval.
    pub interval: Duration,
}

impl Config {
    /// Reads and validates.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let layers = Layers::read(sources)?;
        Ok(Self {
            state_dir: layers.get(&keys::STATE_DIR)?,
            view: view(&layers)?,
            capture: capture(&layers)?,
            selection: Selection { include: layers.get(&keys::SELECTION_INCLUDE)?, exclude: layers.get(&keys::SELECTION_EXCLUDE)? },
            http: http(&layers)?,
            query: query(&layers)?,
            traces: traces(&layers)?,
            metrics: metrics(&layers)?,
            otlp: otlp::read(&layers)?,
            resource: ResourceConfig {
                attributes: layers.find(&keys::RESOURCE_ATTRIBUTES)?.unwrap_or_default(),
                service_name: layers.get(&keys::RESOURCE_SERVICE_NAME)?,
            },
            entity: entity(&layers)?,
            host: HostConfig {
                root: layers.get(&keys::HOST_ROOT)?,
                proc: layers.get(&keys::HOST_PROC)?,
                sys: layers.get(&keys::HOST_SYS)?,
            },
            instrumented_networks: layers.get(&keys::NETWORKS_INSTRUMENTED)?,
            logs: logs(&layers)?,
            log_level: layers.get(&keys::LOG_LEVEL)?,
            effective: layers.effective(),
            notices: layers.notices,
        })
    }
}

impl Config {
    /// Turns a complaint about a standard `OTEL_EXPORTER_OTLP_*` variable, as the OTLP client makes it,
    /// into one about the key behind it and the place where that was set.
    #[must_use]
    pub fn complaint(&self, variable: &str, problem: String) -> ConfigError {
        let path = otlp::key_path(variable);
        let value = self.effective.iter().find(|value| Some(value.key.path()) == path.as_deref());
        let origin = value.map_or_else(|| Origin::Environment(variable.to_owned()), |value| value.origin.clone());
        ConfigError::Conflict { origin, key: value.map_or("otlp", |value| value.key.path()), problem: problem.into() }
    }
}

fn view(layers: &Layers) -> Result<ViewConfig, ConfigError> {
    let view = ViewConfig {
        enabled: layers.get(&keys::VIEW_ENABLED)?,
        listen: layers.get(&keys::VIEW_LISTEN)?,
        token: layers.find(&keys::VIEW_TOKEN)?,
    };
    if view.enabled && !view.listen.ip().is_loopback() && view.token.is_none() {
        return Err(ConfigError::Conflict {
            origin: layers.origin(keys::VIEW_LISTEN.path),
            key: keys::VIEW_LISTEN.path,
            problem: "an address other than loopback needs view.token".into(),
        });
    }
    Ok(view)
}

fn capture(layers: &Layers) -> Result<CaptureConfig, ConfigError> {
    Ok(CaptureConfig {
        ring_bytes: layers.find(&keys::CAPTURE_RING_BYTES)?,
        cgroup_root: layers.find(&keys::CAPTURE_CGROUP_ROOT)?,
        reading_thread: layers.get(&keys::CAPTURE_READING_THREAD)?,
        max_connections: layers.get(&keys::CAPTURE_MAX_CONNECTIONS)?,
    })
}

fn http(layers: &Layers) -> Result<HttpConfig, ConfigError> {
    Ok(HttpConfig {
        timeout: layers.get(&keys::HTTP_TIMEOUT)?,
        routes: layers.get(&keys::HTTP_ROUTES)?,
        route_limit: layers.get(&keys::HTTP_ROUTE_LIMIT)?,
    })
}

fn query(layers: &Layers) -> Result<QueryConfig, ConfigError> {
    Ok(QueryConfig { raw_text: layers.get(&keys::QUERY_RAW_TEXT)?, text_bytes: layers.get(&keys::QUERY_TEXT_BYTES)? })
}

fn traces(layers: &Layers) -> Result<TracesConfig, ConfigError> {
    let argument = layers.get(&keys::TRACES_SAMPLER_ARGUMENT)?;
    Ok(TracesConfig {
        exporter: layers.get(&keys::TRACES_EXPORTER)?,
        sampler: Sampler::new(layers.get(&keys::TRACES_SAMPLER)?, argument),
        batch_size: layers.get(&keys::TRACES_BATCH_SIZE)?,
        batch_delay: layers.get(&keys::TRACES_BATCH_DELAY)?,
    })
}

fn metrics(layers: &Layers) -> Result<MetricsConfig, ConfigError> {
    Ok(MetricsConfig {
        exporter: layers.get(&keys::METRICS_EXPORTER)?,
        interval: layers.get(&keys::METRICS_INTERVAL)?,
        temporality: layers.get(&keys::METRICS_TEMPORALITY)?,
        histogram: layers.get(&keys::METRICS_HISTOGRAM)?,
        cardinality_resource: layers.get(&keys::METRICS_CARDINALITY_RESOURCE)?,
        cardinality_node: layers.get(&keys::METRICS_CARDINALITY_NODE)?,
        staleness: layers.get(&keys::METRICS_STALENESS)?,
    })
}

fn entity(layers: &Layers) -> Result<EntityConfig, ConfigError> {
    Ok(EntityConfig {
        docker_socket: layers.get(&keys::ENTITY_DOCKER_SOCKET)?,
        podman_socket: layers.get(&keys::ENTITY_PODMAN_SOCKET)?,
        containerd_socket: layers.get(&keys::ENTITY_CONTAINERD_SOCKET)?,
        timeout: layers.get(&keys::ENTITY_TIMEOUT)?,
    })
}

fn logs(layers: &Layers) -> Result<LogsConfig, ConfigError> {
    let rate = LogRate {
        first: layers.get(&keys::LOGS_RATE_FIRST)?,
        every: layers.get(&keys::LOGS_RATE_EVERY)?,
        interval: layers.get(&keys::LOGS_RATE_INTERVAL)?,
    };
    Ok(LogsConfig {
        enabled: layers.get(&keys::LOGS_ENABLED)?,
        exporter: layers.get(&keys::LOGS_EXPORTER)?,
        files_include: layers.get(&keys::LOGS_FILES_INCLUDE)?,
        files_exclude: layers.get(&keys::LOGS_FILES_EXCLUDE)?,
        exclude: layers.get(&keys::LOGS_EXCLUDE)?,
        patterns_limit: layers.get(&keys::LOGS_PATTERNS_LIMIT)?,
        redaction_enabled: layers.get(&keys::LOGS_REDACTION_ENABLED)?,
        redaction_rules: layers.get(&keys::LOGS_REDACTION_RULES)?,
        rate: (rate.first > 0).then_some(rate),
        batch_size: layers.get(&keys::LOGS_BATCH_SIZE)?,
        batch_delay: layers.get(&keys::LOGS_BATCH_DELAY)?,
    })
}

#[cfg(test)]
mod tests;
