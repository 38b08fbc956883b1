//! The OTLP clients that the configuration asks for, one for each signal that is exported.

use crate::config::{Config, ConfigError, Exporter};
use remora_otlp::Signal;
use remora_otlp::client::ClientConfig;

/// Settings of the clients; none for a signal that is not exported by OTLP.
///
/// # Errors
/// A setting that cannot be, with the key and the place where it was set.
pub fn clients(config: &Config) -> Result<Vec<ClientConfig>, ConfigError> {
    let exporters =
        [(Signal::Traces, config.traces.exporter), (Signal::Metrics, config.metrics.exporter), (Signal::Logs, config.logs.exporter)];
    let exported = exporters.into_iter().filter(|(_, exporter)| *exporter == Exporter::Otlp);
    exported
        .map(|(signal, _)| {
            ClientConfig::from_lookup(signal, |name| config.otlp.lookup(name))
                .map_err(|error| config.complaint(&error.variable, error.problem))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, File, Sources};

    fn load(yaml: &str, variables: &[(&str, &str)]) -> Result<Vec<ClientConfig>, ConfigError> {
        let file = Some(File { path: "c.yaml".into(), text: yaml.to_owned() });
        let environment = Environment::new(variables.iter().copied());
        let config = Config::load(&Sources { file, environment, flags: Vec::new() }).expect("configuration");
        clients(&config)
    }

    fn urls(yaml: &str, variables: &[(&str, &str)]) -> Vec<String> {
        load(yaml, variables).expect("clients").iter().map(|client| client.url.to_string()).collect()
    }

    #[test]
    fn every_signal_goes_to_the_default_endpoint_of_its_protocol() {
        let found = urls("otlp:\n  logs: {protocol: http/protobuf}\n", &[]);
        assert!(found[0].starts_with("http://localhost:4317/"), "{found:?}");
        assert_eq!(found[2], "http://localhost:4318/v1/logs");
    }

    #[test]
    fn variables_and_file_together_make_the_clients() {
        let yaml = "otlp:\n  endpoint: http://file:4318/base\n  protocol: http/protobuf\n  headers: {tenant: a b}\n";
        let variables = [("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://m:1/own"), ("OTEL_LOGS_EXPORTER", "none")];
        assert_eq!(urls(yaml, &variables), ["http://file:4318/base/v1/traces", "https://m:1/own"]);
        let clients = load(yaml, &variables).expect("clients");
        assert_eq!(clients[0].headers["tenant"], "a b");
    }

    #[test]
    fn contradictions_are_reported_where_they_were_written() {
        let refused = |yaml: &str| load(yaml, &[]).expect_err(yaml).to_string();
        let message = refused("otlp:\n  client_key: /k.pem\n");
        assert!(message.starts_with("c.yaml:2:15: otlp.client_key: needs the certificate"), "{message}");
        let message = refused("otlp:\n  traces:\n    endpoint: http://c:4317/path\n");
        assert!(message.starts_with("c.yaml:3:15: otlp.traces.endpoint: has the path"), "{message}");
    }
}
