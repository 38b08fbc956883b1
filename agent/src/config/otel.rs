//! The standard `OTEL_*` variables, each as the key it sets.
//!
//! Names and meanings: OpenTelemetry specification, "SDK environment variables" and "OTLP exporter". An
//! empty variable counts as not set. Unlike an SDK, which ignores what it does not understand, the agent
//! stops at an impossible value: it is configured on purpose, not by accident of a shared environment.

use super::env::Environment;
use super::error::ConfigError;
use super::keys;

/// How the text of a variable becomes the text of its key.
#[derive(Clone, Copy)]
enum Reading {
    /// As it is.
    Verbatim,
    /// In lower case; the specification calls these values case-insensitive.
    LowerCase,
    /// A number of milliseconds.
    Milliseconds,
    /// Aggregation names of the specification.
    Aggregation,
}

impl Reading {
    fn apply(self, text: &str) -> String {
        match self {
            Self::Verbatim => text.to_owned(),
            Self::LowerCase => text.to_ascii_lowercase(),
            Self::Milliseconds => format!("{}ms", text.trim()),
            Self::Aggregation => match text.to_ascii_lowercase().as_str() {
                "explicit_bucket_histogram" => "explicit".to_owned(),
                "base2_exponential_bucket_histogram" => "exponential".to_owned(),
                _ => text.to_owned(),
            },
        }
    }
}

/// Variables and keys outside the OTLP exporter.
const GENERAL: [(&str, &str, Reading); 17] = [
    ("OTEL_TRACES_EXPORTER", keys::TRACES_EXPORTER.path, Reading::Verbatim),
    ("OTEL_METRICS_EXPORTER", keys::METRICS_EXPORTER.path, Reading::Verbatim),
    ("OTEL_LOGS_EXPORTER", keys::LOGS_EXPORTER.path, Reading::Verbatim),
    ("OTEL_TRACES_SAMPLER", keys::TRACES_SAMPLER.path, Reading::Verbatim),
    ("OTEL_TRACES_SAMPLER_ARG", keys::TRACES_SAMPLER_ARGUMENT.path, Reading::Verbatim),
    ("OTEL_BSP_SCHEDULE_DELAY", keys::TRACES_BATCH_DELAY.path, Reading::Milliseconds),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", keys::TRACES_BATCH_SIZE.path, Reading::Verbatim),
    ("OTEL_BLRP_SCHEDULE_DELAY", keys::LOGS_BATCH_DELAY.path, Reading::Milliseconds),
    ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", keys::LOGS_BATCH_SIZE.path, Reading::Verbatim),
    ("OTEL_METRIC_EXPORT_INTERVAL", keys::METRICS_INTERVAL.path, Reading::Milliseconds),
    ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", keys::METRICS_TEMPORALITY.path, Reading::LowerCase),
    ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", keys::METRICS_HISTOGRAM.path, Reading::Aggregation),
    ("OTEL_RESOURCE_ATTRIBUTES", keys::RESOURCE_ATTRIBUTES.path, Reading::Verbatim),
    ("OTEL_SERVICE_NAME", keys::RESOURCE_SERVICE_NAME.path, Reading::Verbatim),
    ("OTEL_LOG_LEVEL", keys::LOG_LEVEL.path, Reading::LowerCase),
    ("OTEL_EXPORTER_OTLP_SPAN_INSECURE", keys::OTLP_TRACES_INSECURE.path, Reading::LowerCase),
    ("OTEL_EXPORTER_OTLP_METRIC_INSECURE", keys::OTLP_METRICS_INSECURE.path, Reading::LowerCase),
];

/// Settings of the OTLP exporter: end of the variable's name, end of the key's path.
const EXPORTER: [(&str, &str, Reading); 9] = [
    ("ENDPOINT", "endpoint", Reading::Verbatim),
    ("PROTOCOL", "protocol", Reading::Verbatim),
    ("HEADERS", "headers", Reading::Verbatim),
    ("COMPRESSION", "compression", Reading::Verbatim),
    ("TIMEOUT", "timeout", Reading::Milliseconds),
    ("CERTIFICATE", "certificate", Reading::Verbatim),
    ("CLIENT_CERTIFICATE", "client_certificate", Reading::Verbatim),
    ("CLIENT_KEY", "client_key", Reading::Verbatim),
    ("INSECURE", "insecure", Reading::LowerCase),
];

/// For all signals, then for each.
const SCOPES: [(&str, &str); 4] = [("", "otlp"), ("TRACES_", "otlp.traces"), ("METRICS_", "otlp.metrics"), ("LOGS_", "otlp.logs")];

/// What `OTEL_SDK_DISABLED=true` sets.
const DISABLED: [&str; 3] = [keys::TRACES_EXPORTER.path, keys::METRICS_EXPORTER.path, keys::LOGS_EXPORTER.path];

/// A key set by a standard variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The variable.
    pub variable: String,
    /// The key's path.
    pub path: String,
    /// The value as the key reads it.
    pub text: String,
}

/// The keys that the standard variables set, in order of precedence.
///
/// # Errors
/// A variable that is not UTF-8.
pub fn settings(environment: &Environment) -> Result<Vec<Setting>, ConfigError> {
    let general = GENERAL.iter().map(|(variable, path, reading)| ((*variable).to_owned(), (*path).to_owned(), *reading));
    let exporter = SCOPES.iter().flat_map(|(scope, section)| {
        EXPORTER
            .iter()
            .map(move |(variable, key, reading)| (format!("OTEL_EXPORTER_OTLP_{scope}{variable}"), format!("{section}.{key}"), *reading))
    });
    let mut settings = Vec::new();
    for (variable, path, reading) in general.chain(exporter) {
        if let Some(text) = environment.get(&variable)? {
            settings.push(Setting { text: reading.apply(text), path, variable });
        }
    }
    let disabled = environment.get("OTEL_SDK_DISABLED")?.is_some_and(|text| text.eq_ignore_ascii_case("true"));
    if disabled {
        settings.extend(DISABLED.iter().map(|path| Setting {
            variable: "OTEL_SDK_DISABLED".into(),
            path: (*path).to_owned(),
            text: "none".into(),
        }));
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standard_variable_sets_a_key_that_exists() {
        let names = GENERAL.iter().map(|(variable, ..)| (*variable).to_owned());
        let exporter =
            SCOPES.iter().flat_map(|(scope, _)| EXPORTER.iter().map(move |(variable, ..)| format!("OTEL_EXPORTER_OTLP_{scope}{variable}")));
        let environment = Environment::new(names.chain(exporter).map(|name| (name, "1")));
        let settings = settings(&environment).expect("settings");
        assert_eq!(settings.len(), GENERAL.len() + 36);
        for setting in settings {
            assert!(keys::ALL.iter().any(|key| key.path() == setting.path), "{setting:?}");
        }
    }

    #[test]
    fn disabling_the_sdk_exports_nothing() {
        let environment = Environment::new([("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "otlp")]);
        let settings = settings(&environment).expect("settings");
        let last = settings.iter().rfind(|setting| setting.path == "traces.exporter").expect("set");
        assert_eq!((last.text.as_str(), last.variable.as_str()), ("none", "OTEL_SDK_DISABLED"));
    }
}
