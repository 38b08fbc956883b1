//! Settings of one signal's client from the standard `OTEL_EXPORTER_OTLP_*` variables.
//!
//! Pure: variables come in as a function. A variable that is set but empty counts as unset; a value
//! that cannot be used is an error that names the variable and what is allowed, never a guess.
//! Source: opentelemetry.io/docs/specs/otel/protocol/exporter.

use std::path::PathBuf;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{PathAndQuery, Scheme, Uri};

use crate::signal::Signal;

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_GRPC: &str = "http://localhost:4317";
const DEFAULT_HTTP: &str = "http://localhost:4318";

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// OTLP/gRPC (`grpc`).
    Grpc,
    /// OTLP/HTTP with binary protobuf (`http/protobuf`).
    HttpProtobuf,
}

/// How requests are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip at level 1; every receiver has to take it.
    Gzip,
    /// zstd at level 1; cheaper and smaller, but not every receiver takes it.
    Zstd,
}

impl Compression {
    /// Value of `content-encoding` or `grpc-encoding`.
    pub(crate) const fn encoding(self) -> Option<&'static str> {
        match self {
            Compression::None => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
        }
    }
}

/// PEM files of a certificate that the client shows, and of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Certificate chain, the client's own first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// PEM files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities to trust instead of those of the system.
    pub authorities: Option<PathBuf>,
    /// What the client shows.
    pub identity: Option<ClientIdentity>,
}

/// Everything about sending one signal.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientConfig {
    /// The signal.
    pub signal: Signal,
    /// How requests travel.
    pub protocol: Protocol,
    /// Full address of the method or resource that requests are posted to.
    pub url: Uri,
    /// How requests are compressed.
    pub compression: Compression,
    /// Additional request headers; values are marked sensitive and never printed.
    pub headers: HeaderMap,
    /// Time for one attempt, from connecting to the end of the answer.
    pub timeout: Duration,
    /// Certificates.
    pub tls: TlsFiles,
}

/// A variable that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct ConfigError {
    /// The variable.
    pub variable: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

/// A variable that is set.
struct Found {
    variable: String,
    value: String,
    specific: bool,
}

impl Found {
    fn error(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError { variable: self.variable.clone(), problem: problem.into() }
    }

    fn not_one_of(&self, allowed: &str) -> ConfigError {
        self.error(format!("\"{}\" is not allowed; allowed: {allowed}", self.value))
    }
}

/// The variables of one signal.
struct Variables<'a> {
    signal: Signal,
    lookup: &'a dyn Fn(&str) -> Option<String>,
}

impl Variables<'_> {
    /// The signal's own variable, else the generic one.
    fn get(&self, option: &str) -> Option<Found> {
        let names = [
            (format!("OTEL_EXPORTER_OTLP_{}_{option}", self.signal.variable_part()), true),
            (format!("OTEL_EXPORTER_OTLP_{option}"), false),
        ];
        names.into_iter().find_map(|(variable, specific)| {
            let value = (self.lookup)(&variable)?.trim().to_owned();
            (!value.is_empty()).then_some(Found { variable, value, specific })
        })
    }

    fn path(&self, option: &str) -> Option<PathBuf> {
        self.get(option).map(|found| PathBuf::from(found.value))
    }
}

impl ClientConfig {
    /// Reads the variables of `signal`; what is not set has the default of the specification,
    /// except that the protocol is gRPC and that requests to another host are gzipped.
    pub fn from_lookup(signal: Signal, lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let variables = Variables { signal, lookup: &lookup };
        let protocol = protocol(&variables)?;
        let url = url(&variables, protocol)?;
        Ok(Self {
            signal,
            protocol,
            compression: compression(&variables, &url)?,
            url,
            headers: headers(&variables)?,
            timeout: timeout(&variables)?,
            tls: tls(&variables)?,
        })
    }

    /// The address without its path, for messages.
    pub(crate) fn endpoint(&self) -> String {
        let scheme = self.url.scheme_str().unwrap_or("http");
        let authority = self.url.authority().map_or("", |authority| authority.as_str());
        format!("{scheme}://{authority}")
    }
}

fn protocol(variables: &Variables<'_>) -> Result<Protocol, ConfigError> {
    let Some(found) = variables.get("PROTOCOL") else { return Ok(Protocol::Grpc) };
    match found.value.as_str() {
        "grpc" => Ok(Protocol::Grpc),
        "http/protobuf" => Ok(Protocol::HttpProtobuf),
        _ => Err(found.not_one_of("grpc, http/protobuf")),
    }
}

fn compression(variables: &Variables<'_>, url: &Uri) -> Result<Compression, ConfigError> {
    let Some(found) = variables.get("COMPRESSION") else {
        return Ok(if is_loopback(url) { Compression::None } else { Compression::Gzip });
    };
    match found.value.as_str() {
        "none" => Ok(Compression::None),
        "gzip" => Ok(Compression::Gzip),
        "zstd" => Ok(Compression::Zstd),
        _ => Err(found.not_one_of("none, gzip, zstd")),
    }
}

fn is_loopback(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn timeout(variables: &Variables<'_>) -> Result<Duration, ConfigError> {
    let Some(found) = variables.get("TIMEOUT") else { return Ok(DEFAULT_TIMEOUT) };
    match found.value.parse::<u32>() {
        Ok(milliseconds) if milliseconds > 0 => Ok(Duration::from_millis(u64::from(milliseconds))),
        _ => Err(found.not_one_of("milliseconds, a whole number from 1 to 4294967295")),
    }
}

fn boolean(found: &Found) -> Result<bool, ConfigError> {
    match found.value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(found.not_one_of("true, false")),
    }
}

fn tls(variables: &Variables<'_>) -> Result<TlsFiles, ConfigError> {
    let certificate = variables.get("CLIENT_CERTIFICATE");
    let key = variables.get("CLIENT_KEY");
    let identity = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(ClientIdentity { certificate: certificate.value.into(), key: key.value.into() }),
        (Some(found), None) => return Err(found.error("needs the key as well: set OTEL_EXPORTER_OTLP_CLIENT_KEY")),
        (None, Some(found)) => return Err(found.error("needs the certificate as well: set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE")),
    };
    Ok(TlsFiles { authorities: variables.path("CERTIFICATE"), identity })
}

// ---- endpoint

fn url(variables: &Variables<'_>, protocol: Protocol) -> Result<Uri, ConfigError> {
    let found = variables.get("ENDPOINT").unwrap_or_else(|| Found {
        variable: "OTEL_EXPORTER_OTLP_ENDPOINT".into(),
        value: if protocol == Protocol::Grpc { DEFAULT_GRPC } else { DEFAULT_HTTP }.into(),
        specific: false,
    });
    let base = base_url(variables, &found, protocol)?;
    let path = match protocol {
        Protocol::Grpc => grpc_path(&found, &base, variables.signal)?,
        Protocol::HttpProtobuf => http_path(&found, &base, variables.signal),
    };
    let mut parts = base.into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).map_err(|_| endpoint_error(&found, protocol))?);
    Uri::from_parts(parts).map_err(|_| endpoint_error(&found, protocol))
}

fn endpoint_error(found: &Found, protocol: Protocol) -> ConfigError {
    let allowed = match protocol {
        Protocol::Grpc => "http://HOST:PORT, https://HOST:PORT or HOST:PORT",
        Protocol::HttpProtobuf => "an address that begins with http:// or https://",
    };
    found.error(format!("is not an endpoint; allowed: {allowed}"))
}

/// The endpoint as given, with a scheme.
fn base_url(variables: &Variables<'_>, found: &Found, protocol: Protocol) -> Result<Uri, ConfigError> {
    let text = match (found.value.contains("://"), protocol) {
        (true, _) => found.value.clone(),
        (false, Protocol::HttpProtobuf) => return Err(endpoint_error(found, protocol)),
        (false, Protocol::Grpc) => {
            let insecure = variables.get("INSECURE").as_ref().map(boolean).transpose()?.unwrap_or(false);
            format!("{}://{}", if insecure { "http" } else { "https" }, found.value)
        }
    };
    let base: Uri = text.parse().map_err(|_| endpoint_error(found, protocol))?;
    let known_scheme = base.scheme() == Some(&Scheme::HTTP) || base.scheme() == Some(&Scheme::HTTPS);
    let authority = base.authority().map_or("", |authority| authority.as_str());
    if !known_scheme || base.host().is_none_or(str::is_empty) {
        return Err(endpoint_error(found, protocol));
    }
    if authority.contains('@') {
        return Err(found.error("must not contain a user name or password; send them with OTEL_EXPORTER_OTLP_HEADERS"));
    }
    Ok(base)
}

fn grpc_path(found: &Found, base: &Uri, signal: Signal) -> Result<String, ConfigError> {
    match base.path() {
        "" | "/" => Ok(signal.grpc_path().to_owned()),
        path => Err(found.error(format!(
            "has the path \"{path}\", which OTLP over gRPC does not use; leave it out, or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
        ))),
    }
}

/// A generic endpoint gets the signal's path appended, a signal's own is used as it is.
fn http_path(found: &Found, base: &Uri, signal: Signal) -> String {
    let query = base.query().map_or(String::new(), |query| format!("?{query}"));
    if found.specific {
        return format!("{}{query}", base.path());
    }
    format!("{}/{}{query}", base.path().trim_end_matches('/'), signal.http_path())
}

// ---- headers

/// `key1=value1,key2=value2`, values percent-encoded as in W3C Baggage.
fn headers(variables: &Variables<'_>) -> Result<HeaderMap, ConfigError> {
    let mut headers = HeaderMap::new();
    let Some(found) = variables.get("HEADERS") else { return Ok(headers) };
    for pair in found.value.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = header(pair).ok_or_else(|| {
            // The text may hold a secret: it is not repeated.
            found.error("is not a list of headers; allowed: key1=value1,key2=value2 with percent-encoded values")
        })?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let name = HeaderName::try_from(name.trim()).ok()?;
    let mut value = HeaderValue::from_bytes(&percent_decoded(value.trim())?).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        if *first != b'%' {
            decoded.push(*first);
            rest = tail;
            continue;
        }
        let digits = tail.get(..2)?;
        let high = char::from(digits[0]).to_digit(16)?;
        let low = char::from(digits[1]).to_digit(16)?;
        decoded.push((high * 16 + low) as u8);
        rest = &tail[2..];
    }
    Some(decoded)
}

// ---- metrics only

/// `OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TemporalityPreference {
    /// Cumulative for all instruments.
    #[default]
    Cumulative,
    /// Delta for counters and histograms, cumulative for up-down counters.
    Delta,
    /// Delta for synchronous counters and histograms, cumulative for all others.
    LowMemory,
}

/// `OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HistogramPreference {
    /// Explicit bounds.
    #[default]
    ExplicitBucket,
    /// Base-2 exponential.
    Exponential,
}

/// Reads the two preferences about metrics.
pub fn metric_preferences(lookup: impl Fn(&str) -> Option<String>) -> Result<(TemporalityPreference, HistogramPreference), ConfigError> {
    let variables = Variables { signal: Signal::Metrics, lookup: &lookup };
    let temporality = match variables.get("TEMPORALITY_PREFERENCE").filter(|found| found.specific) {
        None => TemporalityPreference::Cumulative,
        Some(found) => match found.value.to_ascii_lowercase().as_str() {
            "cumulative" => TemporalityPreference::Cumulative,
            "delta" => TemporalityPreference::Delta,
            "lowmemory" => TemporalityPreference::LowMemory,
            _ => return Err(found.not_one_of("cumulative, delta, lowmemory")),
        },
    };
    let histogram = match variables.get("DEFAULT_HISTOGRAM_AGGREGATION").filter(|found| found.specific) {
        None => HistogramPreference::ExplicitBucket,
        Some(found) => match found.value.to_ascii_lowercase().as_str() {
            "explicit_bucket_histogram" => HistogramPreference::ExplicitBucket,
            "base2_exponential_bucket_histogram" => HistogramPreference::Exponential,
            _ => return Err(found.not_one_of("explicit_bucket_histogram, base2_exponential_bucket_histogram")),
        },
    };
    Ok((temporality, histogram))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(signal: Signal, set: &[(&str, &str)]) -> Result<ClientConfig, ConfigError> {
        ClientConfig::from_lookup(signal, |name| {
            let found = set.iter().find(|(variable, _)| format!("OTEL_EXPORTER_OTLP_{variable}") == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_set_means_grpc_to_localhost() {
        let config = read(Signal::Traces, &[]).unwrap();
        assert_eq!(config.protocol, Protocol::Grpc);
        assert_eq!(config.url, "http://localhost:4317/opentelemetry.proto.collector.trace.v1.TraceService/Export");
        assert_eq!(config.compression, Compression::None);
        assert_eq!(config.timeout, Duration::from_secs(10));
        assert_eq!(config.tls, TlsFiles::default());
        assert!(config.headers.is_empty());
    }

    #[test]
    fn endpoints_of_the_specification() {
        let http = ("PROTOCOL", "http/protobuf");
        for (set, expected) in [
            (vec![http], "http://localhost:4318/v1/metrics"),
            (vec![http, ("ENDPOINT", "http://c:4318")], "http://c:4318/v1/metrics"),
            (vec![http, ("ENDPOINT", "http://c:4318/mycollector/")], "http://c:4318/mycollector/v1/metrics"),
            (vec![http, ("ENDPOINT", "https://c/x?tenant=a")], "https://c/x/v1/metrics?tenant=a"),
            (vec![http, ("METRICS_ENDPOINT", "http://m:4318")], "http://m:4318/"),
            (vec![http, ("METRICS_ENDPOINT", "https://m/mymetrics"), ("ENDPOINT", "http://c")], "https://m/mymetrics"),
            (vec![http, ("METRICS_ENDPOINT", " "), ("ENDPOINT", "http://c")], "http://c/v1/metrics"),
            (vec![("ENDPOINT", "http://c:4317")], "http://c:4317/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"),
            (vec![("ENDPOINT", "c:4317")], "https://c:4317/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"),
            (
                vec![("ENDPOINT", "c:4317"), ("INSECURE", "TRUE")],
                "http://c:4317/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            ),
            (
                vec![("ENDPOINT", "https://[::1]:4317/"), ("INSECURE", "true")],
                "https://[::1]:4317/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
            ),
        ] {
            assert_eq!(read(Signal::Metrics, &set).unwrap().url, expected, "{set:?}");
        }
    }

    #[test]
    fn a_signal_overrides_the_generic_value() {
        let set = [
            ("TIMEOUT", "1000"),
            ("LOGS_TIMEOUT", "2500"),
            ("COMPRESSION", "gzip"),
            ("LOGS_COMPRESSION", "zstd"),
            ("HEADERS", "a=1"),
            ("LOGS_HEADERS", "b=2"),
            ("CERTIFICATE", "/ca.pem"),
            ("LOGS_CLIENT_CERTIFICATE", "/c.pem"),
            ("LOGS_CLIENT_KEY", "/k.pem"),
        ];
        let logs = read(Signal::Logs, &set).unwrap();
        assert_eq!((logs.timeout, logs.compression), (Duration::from_millis(2500), Compression::Zstd));
        assert_eq!(logs.headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b"]);
        let identity = ClientIdentity { certificate: "/c.pem".into(), key: "/k.pem".into() };
        assert_eq!(logs.tls, TlsFiles { authorities: Some("/ca.pem".into()), identity: Some(identity) });
        let traces = read(Signal::Traces, &set).unwrap();
        assert_eq!((traces.timeout, traces.compression), (Duration::from_secs(1), Compression::Gzip));
        assert_eq!(traces.tls.identity, None);
    }

    #[test]
    fn requests_to_another_host_are_gzipped_unless_told() {
        let compression = |endpoint| read(Signal::Traces, &[("ENDPOINT", endpoint)]).unwrap().compression;
        assert_eq!(compression("http://collector:4317"), Compression::Gzip);
        assert_eq!(compression("http://127.0.0.1:4317"), Compression::None);
        assert_eq!(compression("http://[::1]:4317"), Compression::None);
    }

    #[test]
    fn headers_are_percent_decoded_and_never_printed() {
        let config = read(Signal::Traces, &[("HEADERS", "api-key=a%20b%3Dc , x-tenant = t=1,")]).unwrap();
        assert_eq!(config.headers["api-key"], "a b=c");
        assert_eq!(config.headers["x-tenant"], "t=1");
        assert!(!format!("{config:?}").contains("a b=c"));
    }

    #[test]
    fn what_cannot_be_used_names_the_variable_and_what_is_allowed() {
        let http = ("PROTOCOL", "http/protobuf");
        for (set, expected) in [
            (vec![("PROTOCOL", "http/json")], "OTEL_EXPORTER_OTLP_PROTOCOL: \"http/json\" is not allowed; allowed: grpc, http/protobuf"),
            (vec![("TRACES_PROTOCOL", "udp")], "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: \"udp\" is not allowed; allowed: grpc, http/protobuf"),
            (vec![("COMPRESSION", "br")], "OTEL_EXPORTER_OTLP_COMPRESSION: \"br\" is not allowed; allowed: none, gzip, zstd"),
            (
                vec![("TIMEOUT", "10s")],
                "OTEL_EXPORTER_OTLP_TIMEOUT: \"10s\" is not allowed; allowed: milliseconds, a whole number from 1 to 4294967295",
            ),
            (
                vec![("ENDPOINT", "c:4317"), ("INSECURE", "yes")],
                "OTEL_EXPORTER_OTLP_INSECURE: \"yes\" is not allowed; allowed: true, false",
            ),
            (
                vec![http, ("ENDPOINT", "c:4318")],
                "OTEL_EXPORTER_OTLP_ENDPOINT: is not an endpoint; allowed: an address that begins with http:// or https://",
            ),
            (
                vec![("ENDPOINT", "ftp://c")],
                "OTEL_EXPORTER_OTLP_ENDPOINT: is not an endpoint; allowed: http://HOST:PORT, https://HOST:PORT or HOST:PORT",
            ),
            (
                vec![("TRACES_ENDPOINT", "http://c:4318/v1/traces")],
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: has the path \"/v1/traces\", which OTLP over gRPC does not use; \
                 leave it out, or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
            ),
            (
                vec![("ENDPOINT", "http://me:secret@c:4317")],
                "OTEL_EXPORTER_OTLP_ENDPOINT: must not contain a user name or password; send them with OTEL_EXPORTER_OTLP_HEADERS",
            ),
            (
                vec![("HEADERS", "secret")],
                "OTEL_EXPORTER_OTLP_HEADERS: is not a list of headers; allowed: key1=value1,key2=value2 with percent-encoded values",
            ),
            (
                vec![("CLIENT_KEY", "/k")],
                "OTEL_EXPORTER_OTLP_CLIENT_KEY: needs the certificate as well: set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
            ),
        ] {
            assert_eq!(read(Signal::Traces, &set).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn preferences_about_metrics() {
        let read = |name: &'static str, value: &'static str| metric_preferences(move |asked| (asked == name).then(|| value.to_owned()));
        let temporality = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        assert_eq!(read(temporality, "Delta").unwrap().0, TemporalityPreference::Delta);
        assert_eq!(read(temporality, "LowMemory").unwrap().0, TemporalityPreference::LowMemory);
        assert_eq!(read("", "").unwrap(), Default::default());
        let histogram = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
        assert_eq!(read(histogram, "base2_exponential_bucket_histogram").unwrap().1, HistogramPreference::Exponential);
        assert!(read(histogram, "sparse").unwrap_err().to_string().starts_with(histogram));
    }
}
