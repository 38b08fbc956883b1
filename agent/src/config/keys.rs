//! Every configuration key, once: its path, kind, default and one sentence.
//!
//! The file, the environment, the flags, `remora config` and `docs/configuration.md` all follow this
//! table; a key that is not here does not exist.

use super::kind::{
    Absolute, Choice, Count, Endpoint, Kind, Labels, ListOf, Listen, Network, Ratio, Secrecy, SecretText, Size, Step, Switch, Text, Time,
};
use super::raw::Node;
use super::rules::{GlobKind, LogRuleKind, MatcherKind, RedactionKind, RouteKind};
use super::values::{Compression, Exporter, Histogram, LogLevel, Protocol, ReadingThread, SamplerKind, Temporality};
use std::time::Duration;

/// One key with the type of its value.
pub struct Key<K> {
    /// Its place in the file, sections first: `metrics.interval`.
    pub path: &'static str,
    /// What it may hold.
    pub kind: K,
    /// Its value when nothing sets it, as one would write it in an environment variable; `None` if
    /// not set is a value of its own.
    pub default: Option<&'static str>,
    /// What it does, in one sentence.
    pub doc: &'static str,
}

/// A key without the type of its value, for tables.
pub trait AnyKey: Sync {
    /// Its place in the file.
    fn path(&self) -> &'static str;
    /// The default as text.
    fn default(&self) -> Option<&'static str>;
    /// What it does.
    fn doc(&self) -> &'static str;
    /// The name of its kind.
    fn kind_name(&self) -> String;
    /// What is allowed, in words.
    fn allowed(&self) -> String;
    /// Whether its value may be shown.
    fn secrecy(&self) -> Secrecy;
    /// Gives untyped text the type of the key.
    fn normal(&self, node: Node) -> Node;
}

impl<K: Kind> AnyKey for Key<K> {
    fn path(&self) -> &'static str {
        self.path
    }

    fn default(&self) -> Option<&'static str> {
        self.default
    }

    fn doc(&self) -> &'static str {
        self.doc
    }

    fn kind_name(&self) -> String {
        self.kind.name()
    }

    fn allowed(&self) -> String {
        self.kind.allowed()
    }

    fn secrecy(&self) -> Secrecy {
        self.kind.secrecy()
    }

    fn normal(&self, node: Node) -> Node {
        self.kind.normal(node)
    }
}

const fn ms(min: u64, max: u64) -> Time {
    Time { min: Duration::from_millis(min), max: Duration::from_millis(max) }
}

const fn count(min: u64, max: u64) -> Count {
    Count { min, max }
}

const fn size(min: u64, max: u64) -> Size {
    Size { min, max, step: Step::Byte }
}

const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// `otlp`, `none` or `console`.
const EXPORTERS: Choice<Exporter> = Choice(&[("otlp", Exporter::Otlp), ("none", Exporter::None), ("console", Exporter::Console)]);
const HEADERS: Labels = Labels { what: "header names", secrecy: Secrecy::Secret };
const PROTOCOLS: Choice<Protocol> = Choice(&[("grpc", Protocol::Grpc), ("http/protobuf", Protocol::HttpProtobuf)]);
const COMPRESSIONS: Choice<Compression> = Choice(&[("none", Compression::None), ("gzip", Compression::Gzip), ("zstd", Compression::Zstd)]);
const OTLP_TIMEOUT: Time = ms(1, 10 * 60 * SECOND);

/// Declares the keys and the table of all keys in one go.
macro_rules! keys {
    ($($name:ident: $kind:ty = $path:literal, $make:expr, $default:expr, $doc:literal;)+) => {
        $(
            #[doc = concat!("`", $path, "`: ", $doc)]
            pub const $name: Key<$kind> = Key { path: $path, kind: $make, default: $default, doc: $doc };
        )+

        /// All keys, in the order of the reference.
        pub static ALL: &[&dyn AnyKey] = &[$(&$name),+];
    };
}

keys! {
    STATE_DIR: Absolute = "state.dir", Absolute, Some("/var/lib/remora"),
        "Directory for log offsets and pattern state.";

    VIEW_ENABLED: Switch = "view.enabled", Switch, Some("true"), "Serves the live view, the JSON API and the health checks.";
    VIEW_LISTEN: Listen = "view.listen", Listen, Some("127.0.0.1:4390"),
        "Address of the live view; an address other than loopback needs `view.token`.";
    VIEW_TOKEN: SecretText = "view.token", SecretText { min_length: 16 }, None,
        "Bearer token that the live view and its API ask for.";

    CAPTURE_RING_BYTES: Size = "capture.ring_bytes", Size { min: 256 * KIB, max: GIB, step: Step::PowerOfTwo }, None,
        "Size of the ring buffer between kernel and agent; 1 MiB for each processor where not set, at least 8 MiB and at most 32 MiB.";
    CAPTURE_CGROUP_ROOT: Absolute = "capture.cgroup_root", Absolute, None,
        "Root of the cgroup v2 hierarchy; found by itself, and mounted privately where there is none.";
    CAPTURE_READING_THREAD: Choice<ReadingThread> = "capture.reading_thread",
        Choice(&[("auto", ReadingThread::Auto), ("on", ReadingThread::On), ("off", ReadingThread::Off)]), Some("auto"),
        "Observes which thread reads a request, which parents its outgoing calls (2 to 4 % of an exchange); auto does so only where it decides something.";
    CAPTURE_MAX_CONNECTIONS: Count = "capture.max_connections", count(1_024, 4_194_304), Some("262144"),
        "Most connections followed at one time; further ones are counted and ignored.";

    SELECTION_INCLUDE: ListOf<MatcherKind> = "selection.include", ListOf(MatcherKind), Some(""),
        "What is observed: requests, connections, listeners and logs; without a rule everything on the node is. A rule with `executable`, `port` or `path` matches no logs.";
    SELECTION_EXCLUDE: ListOf<MatcherKind> = "selection.exclude", ListOf(MatcherKind), Some(""),
        "What is not observed although it is included.";

    HTTP_TIMEOUT: Time = "http.timeout", ms(SECOND, 24 * HOUR), Some("15m"),
        "Time after which a request of any protocol without an answer is reported as timed out, although its connection lives on.";
    HTTP_ROUTES: ListOf<RouteKind> = "http.routes", ListOf(RouteKind), Some(""),
        "Path templates that name routes before the learner does.";
    HTTP_ROUTE_LIMIT: Count = "http.route_limit", count(1, 10_000), Some("200"),
        "Most routes learned for one service; further paths share one route.";

    QUERY_RAW_TEXT: Switch = "query.raw_text", Switch, Some("false"),
        "Exports statements with their literals; they may hold personal data and secrets.";
    QUERY_TEXT_BYTES: Size = "query.text_bytes", size(64, 64 * KIB), Some("2KiB"),
        "Most bytes of statement text on a span; longer text is cut and marked.";

    TRACES_EXPORTER: Choice<Exporter> = "traces.exporter", EXPORTERS, Some("otlp"), "Where spans go.";
    TRACES_SAMPLER: Choice<SamplerKind> = "traces.sampler", Choice(&[
            ("always_on", SamplerKind::AlwaysOn),
            ("always_off", SamplerKind::AlwaysOff),
            ("traceidratio", SamplerKind::TraceIdRatio),
            ("parentbased_always_on", SamplerKind::ParentBasedAlwaysOn),
            ("parentbased_always_off", SamplerKind::ParentBasedAlwaysOff),
            ("parentbased_traceidratio", SamplerKind::ParentBasedTraceIdRatio),
        ]), Some("parentbased_always_on"),
        "Which spans are exported; metrics count every request in any case.";
    TRACES_SAMPLER_ARGUMENT: Ratio = "traces.sampler_argument", Ratio, Some("1"), "Ratio of the traces that a ratio sampler keeps.";
    TRACES_BATCH_SIZE: Count = "traces.batch_size", count(1, 65_536), Some("2048"), "Most spans in one export.";
    TRACES_BATCH_DELAY: Time = "traces.batch_delay", ms(10, 60 * SECOND), Some("1s"), "Longest time a span waits for others.";

    METRICS_EXPORTER: Choice<Exporter> = "metrics.exporter", EXPORTERS, Some("otlp"), "Where metrics go.";
    METRICS_INTERVAL: Time = "metrics.interval", ms(100, HOUR), Some("1m"), "Time between two exports of metrics.";
    METRICS_TEMPORALITY: Choice<Temporality> = "metrics.temporality", Choice(&[
            ("cumulative", Temporality::Cumulative), ("delta", Temporality::Delta), ("lowmemory", Temporality::LowMemory),
        ]), Some("cumulative"),
        "Whether a point counts from the start of its series or from the export before.";
    METRICS_HISTOGRAM: Choice<Histogram> = "metrics.histogram",
        Choice(&[("explicit", Histogram::Explicit), ("exponential", Histogram::Exponential)]), Some("explicit"),
        "Buckets of histograms: the fixed ones of the semantic conventions, or exponential ones.";
    METRICS_CARDINALITY_RESOURCE: Count = "metrics.cardinality_limit.resource", count(16, 1_000_000), Some("2000"),
        "Most series of one metric of one container or unit; further ones share an overflow series.";
    METRICS_CARDINALITY_NODE: Count = "metrics.cardinality_limit.node", count(16, 10_000_000), Some("200000"),
        "Most series of the whole node.";
    METRICS_STALENESS: Time = "metrics.staleness", ms(SECOND, 24 * HOUR), Some("5m"),
        "Time without an event after which a series ends.";

    OTLP_ENDPOINT: Endpoint = "otlp.endpoint", Endpoint, Some("http://localhost:4317"), "Where telemetry is sent; `http://localhost:4318` if nothing is set and the protocol is http/protobuf.";
    OTLP_PROTOCOL: Choice<Protocol> = "otlp.protocol", PROTOCOLS, Some("grpc"), "How telemetry is sent.";
    OTLP_HEADERS: Labels = "otlp.headers", HEADERS, None, "Headers of each request, such as an API key.";
    OTLP_COMPRESSION: Choice<Compression> = "otlp.compression", COMPRESSIONS, None,
        "Compression of requests; not set: gzip, and none to this machine.";
    OTLP_TIMEOUT_ALL: Time = "otlp.timeout", OTLP_TIMEOUT, Some("10s"), "Longest time for one request.";
    OTLP_CERTIFICATE: Absolute = "otlp.certificate", Absolute, None, "PEM file with the authorities that the server's certificate is checked against.";
    OTLP_CLIENT_CERTIFICATE: Absolute = "otlp.client_certificate", Absolute, None, "PEM file with the agent's own certificate chain.";
    OTLP_CLIENT_KEY: Absolute = "otlp.client_key", Absolute, None, "PEM file with the key of the agent's own certificate.";
    OTLP_INSECURE: Switch = "otlp.insecure", Switch, None, "Sends gRPC without TLS where the endpoint has no scheme.";

    OTLP_TRACES_ENDPOINT: Endpoint = "otlp.traces.endpoint", Endpoint, None, "As `otlp.endpoint`, for spans; over HTTP the whole URL.";
    OTLP_TRACES_PROTOCOL: Choice<Protocol> = "otlp.traces.protocol", PROTOCOLS, None, "As `otlp.protocol`, for spans.";
    OTLP_TRACES_HEADERS: Labels = "otlp.traces.headers", HEADERS, None, "As `otlp.headers`, for spans.";
    OTLP_TRACES_COMPRESSION: Choice<Compression> = "otlp.traces.compression", COMPRESSIONS, None, "As `otlp.compression`, for spans.";
    OTLP_TRACES_TIMEOUT: Time = "otlp.traces.timeout", OTLP_TIMEOUT, None, "As `otlp.timeout`, for spans.";
    OTLP_TRACES_CERTIFICATE: Absolute = "otlp.traces.certificate", Absolute, None, "As `otlp.certificate`, for spans.";
    OTLP_TRACES_CLIENT_CERTIFICATE: Absolute = "otlp.traces.client_certificate", Absolute, None, "As `otlp.client_certificate`, for spans.";
    OTLP_TRACES_CLIENT_KEY: Absolute = "otlp.traces.client_key", Absolute, None, "As `otlp.client_key`, for spans.";
    OTLP_TRACES_INSECURE: Switch = "otlp.traces.insecure", Switch, None, "As `otlp.insecure`, for spans.";

    OTLP_METRICS_ENDPOINT: Endpoint = "otlp.metrics.endpoint", Endpoint, None, "As `otlp.endpoint`, for metrics; over HTTP the whole URL.";
    OTLP_METRICS_PROTOCOL: Choice<Protocol> = "otlp.metrics.protocol", PROTOCOLS, None, "As `otlp.protocol`, for metrics.";
    OTLP_METRICS_HEADERS: Labels = "otlp.metrics.headers", HEADERS, None, "As `otlp.headers`, for metrics.";
    OTLP_METRICS_COMPRESSION: Choice<Compression> = "otlp.metrics.compression", COMPRESSIONS, None, "As `otlp.compression`, for metrics.";
    OTLP_METRICS_TIMEOUT: Time = "otlp.metrics.timeout", OTLP_TIMEOUT, None, "As `otlp.timeout`, for metrics.";
    OTLP_METRICS_CERTIFICATE: Absolute = "otlp.metrics.certificate", Absolute, None, "As `otlp.certificate`, for metrics.";
    OTLP_METRICS_CLIENT_CERTIFICATE: Absolute = "otlp.metrics.client_certificate", Absolute, None, "As `otlp.client_certificate`, for metrics.";
    OTLP_METRICS_CLIENT_KEY: Absolute = "otlp.metrics.client_key", Absolute, None, "As `otlp.client_key`, for metrics.";
    OTLP_METRICS_INSECURE: Switch = "otlp.metrics.insecure", Switch, None, "As `otlp.insecure`, for metrics.";

    OTLP_LOGS_ENDPOINT: Endpoint = "otlp.logs.endpoint", Endpoint, None, "As `otlp.endpoint`, for logs; over HTTP the whole URL.";
    OTLP_LOGS_PROTOCOL: Choice<Protocol> = "otlp.logs.protocol", PROTOCOLS, None, "As `otlp.protocol`, for logs.";
    OTLP_LOGS_HEADERS: Labels = "otlp.logs.headers", HEADERS, None, "As `otlp.headers`, for logs.";
    OTLP_LOGS_COMPRESSION: Choice<Compression> = "otlp.logs.compression", COMPRESSIONS, None, "As `otlp.compression`, for logs.";
    OTLP_LOGS_TIMEOUT: Time = "otlp.logs.timeout", OTLP_TIMEOUT, None, "As `otlp.timeout`, for logs.";
    OTLP_LOGS_CERTIFICATE: Absolute = "otlp.logs.certificate", Absolute, None, "As `otlp.certificate`, for logs.";
    OTLP_LOGS_CLIENT_CERTIFICATE: Absolute = "otlp.logs.client_certificate", Absolute, None, "As `otlp.client_certificate`, for logs.";
    OTLP_LOGS_CLIENT_KEY: Absolute = "otlp.logs.client_key", Absolute, None, "As `otlp.client_key`, for logs.";
    OTLP_LOGS_INSECURE: Switch = "otlp.logs.insecure", Switch, None, "As `otlp.insecure`, for logs.";

    OTLP_QUEUE_BYTES: Size = "otlp.queue_bytes", size(MIB, 4 * GIB), Some("32MiB"),
        "Most memory of telemetry that waits for the endpoint; the oldest is dropped and counted beyond it.";

    RESOURCE_ATTRIBUTES: Labels = "resource.attributes", Labels { what: "attribute names", secrecy: Secrecy::Public }, None,
        "Attributes added to everything exported, such as deployment.environment.name; what the agent finds out itself wins.";
    RESOURCE_SERVICE_NAME: Text = "resource.service_name", Text { allowed: "a name" }, Some("remora"),
        "`service.name` of the agent's own telemetry.";

    ENTITY_DOCKER_SOCKET: Absolute = "entity.docker_socket", Absolute, Some("/var/run/docker.sock"), "Socket of the Docker engine.";
    ENTITY_PODMAN_SOCKET: Absolute = "entity.podman_socket", Absolute, Some("/run/podman/podman.sock"), "Socket of Podman.";
    ENTITY_CONTAINERD_SOCKET: Absolute = "entity.containerd_socket", Absolute, Some("/run/containerd/containerd.sock"), "Socket of containerd; k3s has it at /run/k3s/containerd/containerd.sock.";
    ENTITY_TIMEOUT: Time = "entity.timeout", ms(100, 60 * SECOND), Some("2s"), "Longest time for a question to a container runtime.";

    HOST_ROOT: Absolute = "host.root", Absolute, Some("/"), "Root of the host's files as the agent sees them.";
    HOST_PROC: Absolute = "host.proc", Absolute, Some("/proc"), "The host's /proc as the agent sees it.";
    HOST_SYS: Absolute = "host.sys", Absolute, Some("/sys"), "The host's /sys as the agent sees it.";

    NETWORKS_INSTRUMENTED: ListOf<Network> = "networks.instrumented", ListOf(Network), Some(""),
        "Address ranges whose nodes run this agent too, so that spans may name the other end's span as parent.";

    LOGS_ENABLED: Switch = "logs.enabled", Switch, Some("true"), "Follows the logs of containers, units and files.";
    LOGS_EXPORTER: Choice<Exporter> = "logs.exporter", EXPORTERS, Some("otlp"), "Where log records go.";
    LOGS_FILES_INCLUDE: ListOf<GlobKind> = "logs.files.include", ListOf(GlobKind), Some(""),
        "Log files that are followed in addition to those of containers and the journal.";
    LOGS_FILES_EXCLUDE: ListOf<GlobKind> = "logs.files.exclude", ListOf(GlobKind), Some(""),
        "Log files that are not followed although they are included.";
    LOGS_EXCLUDE: ListOf<LogRuleKind> = "logs.exclude", ListOf(LogRuleKind), Some(""),
        "Log records that are counted but not exported.";
    LOGS_PATTERNS_LIMIT: Count = "logs.patterns.limit", count(16, 65_536), Some("256"),
        "Most patterns of one container; further ones are counted together by severity.";
    LOGS_REDACTION_ENABLED: Switch = "logs.redaction.enabled", Switch, Some("true"),
        "Takes keys, tokens, credentials and URL user info out of log bodies.";
    LOGS_REDACTION_RULES: ListOf<RedactionKind> = "logs.redaction.rules", ListOf(RedactionKind), Some(""),
        "Further expressions that are taken out of log bodies.";
    LOGS_RATE_FIRST: Count = "logs.rate.first", count(0, 1_000_000_000), Some("0"),
        "Records of one pattern exported in each interval before sampling starts; 0 exports all.";
    LOGS_RATE_EVERY: Count = "logs.rate.every", count(1, 1_000_000), Some("100"),
        "Beyond that, one record in so many is exported; errors always are.";
    LOGS_RATE_INTERVAL: Time = "logs.rate.interval", ms(SECOND, 24 * HOUR), Some("1m"), "The interval of `logs.rate.first`.";
    LOGS_BATCH_SIZE: Count = "logs.batch_size", count(1, 65_536), Some("2048"), "Most log records in one export.";
    LOGS_BATCH_DELAY: Time = "logs.batch_delay", ms(10, 60 * SECOND), Some("1s"), "Longest time a log record waits for others.";

    LOG_LEVEL: Choice<LogLevel> = "log.level", Choice(&[
            ("off", LogLevel::Off), ("error", LogLevel::Error), ("warn", LogLevel::Warn), ("info", LogLevel::Info),
            ("debug", LogLevel::Debug), ("trace", LogLevel::Trace),
        ]), Some("info"),
        "How much the agent says about itself on standard error.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::env::variable;
    use std::collections::HashSet;

    #[test]
    fn paths_and_variables_are_unique_and_no_key_is_a_section() {
        let paths: HashSet<_> = ALL.iter().map(|key| key.path()).collect();
        let variables: HashSet<_> = ALL.iter().map(|key| variable(key.path())).collect();
        assert_eq!(paths.len(), ALL.len());
        assert_eq!(variables.len(), ALL.len());
        for path in &paths {
            let section = format!("{path}.");
            assert!(!paths.iter().any(|other| other.starts_with(&section)), "{path}");
        }
    }

    #[test]
    fn every_key_says_what_it_does_in_one_sentence() {
        for key in ALL {
            assert!(key.doc().ends_with('.') && !key.doc().contains('\n'), "{}", key.path());
        }
    }
}
