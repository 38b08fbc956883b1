//! The keys `otlp.*`: once for all signals, and again for each signal where it differs.
//!
//! Values stay as the exporter specification names them; the client of `remora-otlp` reads them through
//! `OtlpConfig::lookup` as if they were the standard variables, so that one piece of code knows how an
//! endpoint is to be understood.

use super::error::ConfigError;
use super::keys::{self, Key};
use super::kind::{Absolute, Choice, Endpoint, Labels, Secret, Switch, Time};
use super::layers::Layers;
use super::values::{Compression, Protocol};
use std::path::PathBuf;
use std::time::Duration;

/// Keys `otlp.*`.
#[derive(Clone, Debug)]
pub struct OtlpConfig {
    /// For all signals; `endpoint` is always there.
    pub all: OtlpSettings,
    /// What differs for spans.
    pub traces: OtlpSettings,
    /// What differs for metrics.
    pub metrics: OtlpSettings,
    /// What differs for logs.
    pub logs: OtlpSettings,
    /// Most bytes waiting in memory.
    pub queue_bytes: u64,
    /// Whether anyone chose an endpoint, or all are the specification's default.
    pub endpoint_choice: EndpointChoice,
    /// The same for the endpoint of all signals alone.
    common_endpoint: EndpointChoice,
}

/// How the endpoint came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointChoice {
    /// Configured: failures are reported.
    Configured,
    /// The specification's default: nothing may be listening there, which is said once.
    Default,
}

impl EndpointChoice {
    fn of(configured: bool) -> Self {
        if configured { Self::Configured } else { Self::Default }
    }
}

/// One set of exporter settings; `None` where nothing is set.
#[derive(Clone, Debug, Default)]
pub struct OtlpSettings {
    /// URL.
    pub endpoint: Option<String>,
    /// Transport.
    pub protocol: Option<Protocol>,
    /// Request headers.
    pub headers: Vec<(String, Secret)>,
    /// Compression.
    pub compression: Option<Compression>,
    /// Longest time for one request.
    pub timeout: Option<Duration>,
    /// PEM file of authorities.
    pub certificate: Option<PathBuf>,
    /// PEM file of the own certificate.
    pub client_certificate: Option<PathBuf>,
    /// PEM file of the own key.
    pub client_key: Option<PathBuf>,
    /// No TLS for gRPC without scheme.
    pub insecure: Option<bool>,
}

struct SettingKeys {
    endpoint: Key<Endpoint>,
    protocol: Key<Choice<Protocol>>,
    headers: Key<Labels>,
    compression: Key<Choice<Compression>>,
    timeout: Key<Time>,
    certificate: Key<Absolute>,
    client_certificate: Key<Absolute>,
    client_key: Key<Absolute>,
    insecure: Key<Switch>,
}

const ALL: SettingKeys = SettingKeys {
    endpoint: keys::OTLP_ENDPOINT,
    protocol: keys::OTLP_PROTOCOL,
    headers: keys::OTLP_HEADERS,
    compression: keys::OTLP_COMPRESSION,
    timeout: keys::OTLP_TIMEOUT_ALL,
    certificate: keys::OTLP_CERTIFICATE,
    client_certificate: keys::OTLP_CLIENT_CERTIFICATE,
    client_key: keys::OTLP_CLIENT_KEY,
    insecure: keys::OTLP_INSECURE,
};

const TRACES: SettingKeys = SettingKeys {
    endpoint: keys::OTLP_TRACES_ENDPOINT,
    protocol: keys::OTLP_TRACES_PROTOCOL,
    headers: keys::OTLP_TRACES_HEADERS,
    compression: keys::OTLP_TRACES_COMPRESSION,
    timeout: keys::OTLP_TRACES_TIMEOUT,
    certificate: keys::OTLP_TRACES_CERTIFICATE,
    client_certificate: keys::OTLP_TRACES_CLIENT_CERTIFICATE,
    client_key: keys::OTLP_TRACES_CLIENT_KEY,
    insecure: keys::OTLP_TRACES_INSECURE,
};

const METRICS: SettingKeys = SettingKeys {
    endpoint: keys::OTLP_METRICS_ENDPOINT,
    protocol: keys::OTLP_METRICS_PROTOCOL,
    headers: keys::OTLP_METRICS_HEADERS,
    compression: keys::OTLP_METRICS_COMPRESSION,
    timeout: keys::OTLP_METRICS_TIMEOUT,
    certificate: keys::OTLP_METRICS_CERTIFICATE,
    client_certificate: keys::OTLP_METRICS_CLIENT_CERTIFICATE,
    client_key: keys::OTLP_METRICS_CLIENT_KEY,
    insecure: keys::OTLP_METRICS_INSECURE,
};

const LOGS: SettingKeys = SettingKeys {
    endpoint: keys::OTLP_LOGS_ENDPOINT,
    protocol: keys::OTLP_LOGS_PROTOCOL,
    headers: keys::OTLP_LOGS_HEADERS,
    compression: keys::OTLP_LOGS_COMPRESSION,
    timeout: keys::OTLP_LOGS_TIMEOUT,
    certificate: keys::OTLP_LOGS_CERTIFICATE,
    client_certificate: keys::OTLP_LOGS_CLIENT_CERTIFICATE,
    client_key: keys::OTLP_LOGS_CLIENT_KEY,
    insecure: keys::OTLP_LOGS_INSECURE,
};

pub(super) fn read(layers: &Layers) -> Result<OtlpConfig, ConfigError> {
    let all = settings(layers, &ALL)?;
    let (traces, metrics, logs) = (settings(layers, &TRACES)?, settings(layers, &METRICS)?, settings(layers, &LOGS)?);
    let chosen = [&ALL, &TRACES, &METRICS, &LOGS].iter().any(|keys| layers.is_set(keys.endpoint.path));
    Ok(OtlpConfig {
        all,
        traces,
        metrics,
        logs,
        queue_bytes: layers.get(&keys::OTLP_QUEUE_BYTES)?,
        endpoint_choice: EndpointChoice::of(chosen),
        common_endpoint: EndpointChoice::of(layers.is_set(ALL.endpoint.path)),
    })
}

fn settings(layers: &Layers, keys: &SettingKeys) -> Result<OtlpSettings, ConfigError> {
    let headers = layers.find(&keys.headers)?.unwrap_or_default();
    Ok(OtlpSettings {
        endpoint: layers.find(&keys.endpoint)?,
        protocol: layers.find(&keys.protocol)?,
        headers: headers.into_iter().map(|(name, value)| (name, Secret::new(value))).collect(),
        compression: layers.find(&keys.compression)?,
        timeout: layers.find(&keys.timeout)?,
        certificate: layers.find(&keys.certificate)?,
        client_certificate: layers.find(&keys.client_certificate)?,
        client_key: layers.find(&keys.client_key)?,
        insecure: layers.find(&keys.insecure)?,
    })
}

/// What the standard variables of the exporter start with.
const PREFIX: &str = "OTEL_EXPORTER_OTLP_";

/// The key that the standard variable `name` sets.
pub(super) fn key_path(name: &str) -> Option<String> {
    let rest = name.strip_prefix(PREFIX)?.to_ascii_lowercase();
    let signal = ["traces", "metrics", "logs"].iter().find_map(|signal| Some((signal, rest.strip_prefix(signal)?.strip_prefix('_')?)));
    Some(signal.map_or_else(|| format!("otlp.{rest}"), |(signal, setting)| format!("otlp.{signal}.{setting}")))
}

impl OtlpConfig {
    /// Answers the standard variable `name` (`OTEL_EXPORTER_OTLP_…`) from the effective configuration.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(PREFIX)?;
        if rest == "ENDPOINT" && self.common_endpoint == EndpointChoice::Default {
            // A signal may have another protocol than the rest, and so another default endpoint.
            return None;
        }
        let signals = [("TRACES_", &self.traces), ("METRICS_", &self.metrics), ("LOGS_", &self.logs)];
        let signal = signals.iter().find_map(|(prefix, settings)| Some((*settings, rest.strip_prefix(prefix)?)));
        let (settings, setting) = signal.unwrap_or((&self.all, rest));
        settings.variable(setting)
    }
}

impl OtlpSettings {
    fn variable(&self, setting: &str) -> Option<String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        match setting {
            "ENDPOINT" => self.endpoint.clone(),
            "PROTOCOL" => self.protocol.map(|protocol| protocol.name().to_owned()),
            "HEADERS" => (!self.headers.is_empty()).then(|| encode_headers(&self.headers)),
            "COMPRESSION" => self.compression.map(|compression| compression.name().to_owned()),
            "TIMEOUT" => self.timeout.map(|timeout| timeout.as_millis().to_string()),
            "CERTIFICATE" => path(&self.certificate),
            "CLIENT_CERTIFICATE" => path(&self.client_certificate),
            "CLIENT_KEY" => path(&self.client_key),
            "INSECURE" => self.insecure.map(|insecure| insecure.to_string()),
            _ => None,
        }
    }
}

/// `name=value,…` with percent-encoded values, as the specification wants it.
fn encode_headers(headers: &[(String, Secret)]) -> String {
    let pair = |(name, value): &(String, Secret)| format!("{name}={}", percent_encode(value.reveal()));
    headers.iter().map(pair).collect::<Vec<_>>().join(",")
}

fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
