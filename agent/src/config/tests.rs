//! The configuration as a user meets it: what is accepted, what is refused, and with which words.

use super::*;
use crate::selection::{Fact, Facts, Verdict};

/// Names with values.
type Pairs<'a> = &'a [(&'a str, &'a str)];

fn load(yaml: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let flag =
        |(path, text): &(&str, &str)| FlagValue { flag: format!("--set {path}"), path: (*path).to_owned(), text: (*text).to_owned() };
    Config::load(&Sources {
        file: Some(File { path: "c.yaml".into(), text: yaml.to_owned() }),
        environment: Environment::new(variables.iter().copied()),
        flags: flags.iter().map(flag).collect(),
    })
}

fn refused(yaml: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    let message = match load(yaml, variables, flags) {
        Ok(_) => panic!("accepted: {yaml:?} {variables:?} {flags:?}"),
        Err(error) => error.to_string(),
    };
    assert!(!message.contains('\n'), "{message:?}");
    message
}

fn origin(config: &Config, path: &str) -> String {
    let found = config.effective.iter().find(|value| value.key.path() == path);
    found.map(|value| value.origin.to_string()).expect("key")
}

#[test]
fn defaults_are_valid_and_as_documented() {
    let config = Config::load(&Sources::default()).expect("defaults");
    assert_eq!(config.state_dir, PathBuf::from("/var/lib/remora"));
    assert_eq!(config.view.listen.to_string(), "127.0.0.1:4390");
    assert_eq!(config.otlp.all.endpoint.as_deref(), Some("http://localhost:4317"));
    assert_eq!(config.otlp.endpoint_choice, otlp::EndpointChoice::Default);
    assert_eq!(config.traces.sampler, Sampler { parent: ParentRule::Follow, ratio: 1.0 });
    assert_eq!(config.metrics.interval, Duration::from_secs(60));
    assert_eq!(config.selection.evaluate(&Facts::default()), Verdict::Yes);
    assert_eq!(config.logs.rate, None);
    assert!(config.effective.iter().all(|value| value.origin == Origin::Default));
}

#[test]
fn an_empty_file_and_empty_sections_change_nothing() {
    for yaml in ["", "# nothing\n", "view:\n", "view:\n  listen:\nlogs: ~\n", "---\n"] {
        let config = load(yaml, &[], &[]).expect(yaml);
        assert_eq!(origin(&config, "view.listen"), "default", "{yaml}");
    }
}

#[test]
fn later_layers_win_and_each_value_knows_its_origin() {
    let yaml = "metrics:\n  interval: 10s\n  staleness: 2m\n  temporality: delta\n  exporter: console\n";
    let variables = [
        ("REMORA_METRICS_STALENESS", "3m"),
        ("REMORA_METRICS_TEMPORALITY", "lowmemory"),
        ("REMORA_METRICS_EXPORTER", "console"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Cumulative"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
    ];
    let config = load(yaml, &variables, &[("metrics.exporter", "none")]).expect("valid");
    assert_eq!(config.metrics.interval, Duration::from_secs(10));
    assert_eq!(config.metrics.staleness, Duration::from_secs(180));
    assert_eq!(config.metrics.temporality, Temporality::Cumulative);
    assert_eq!(config.metrics.exporter, Exporter::None);
    assert_eq!(origin(&config, "metrics.interval"), "c.yaml:2:13");
    assert_eq!(origin(&config, "metrics.staleness"), "REMORA_METRICS_STALENESS");
    assert_eq!(origin(&config, "metrics.temporality"), "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE");
    assert_eq!(origin(&config, "metrics.exporter"), "--set metrics.exporter");
    assert_eq!(origin(&config, "metrics.histogram"), "default");
}

#[test]
fn bad_files_are_refused_with_place_key_and_what_is_allowed() {
    let cases: &[(&str, &[&str])] = &[
        ("metrics:\n  intervall: 10s\n", &["c.yaml:2:3: ", "unknown key metrics.intervall", "did you mean metrics.interval?"]),
        ("metric:\n  interval: 10s\n", &["c.yaml:1:1: ", "unknown key metric;", "did you mean metrics?"]),
        ("logs:\n  nonsense: 1\n", &["c.yaml:2:3: ", "unknown key logs.nonsense", "allowed here: enabled, exporter, files"]),
        ("listen: 1\n", &["c.yaml:1:1: ", "unknown key listen"]),
        ("otlp.endpoint: http://x:1\n", &["c.yaml:1:1: ", "unknown key otlp.endpoint; did you mean endpoint below otlp:?"]),
        ("view.enabled:\n  x: 1\n", &["c.yaml:1:1: "]),
        ("metrics: 5\n", &["c.yaml:1:10: ", "metrics: a number instead of a mapping", "interval"]),
        ("- a\n- b\n", &["c.yaml:1:1: ", "the file: a list instead of a mapping"]),
        ("metrics:\n  interval: [1]\n", &["c.yaml:2:13: ", "metrics.interval: ", "a list is of the wrong type", "a duration with unit"]),
        ("metrics:\n  interval: 10\n", &["c.yaml:2:13: ", "metrics.interval: ", "\"10\" (no unit)", "a duration with unit"]),
        ("metrics:\n  interval: 10 parsecs\n", &["c.yaml:2:13: ", "\"10 parsecs\""]),
        ("metrics:\n  interval: 0s\n", &["c.yaml:2:13: ", "from 100ms to 1h"]),
        ("view:\n  enabled: maybe\n", &["c.yaml:2:12: ", "view.enabled: a string is of the wrong type", "true or false"]),
        ("view:\n  listen: localhost\n", &["c.yaml:2:11: ", "\"localhost\"", "an IP address and port"]),
        ("view:\n  listen: 127.0.0.1:99999\n", &["c.yaml:2:11: ", "127.0.0.1:99999"]),
        ("view:\n  listen: 0.0.0.0:4390\n", &["c.yaml:2:11: ", "view.listen: ", "needs view.token"]),
        ("view:\n  listen: \"[::]:4390\"\n", &["needs view.token"]),
        ("state:\n  dir: relative/path\n", &["c.yaml:2:8: ", "state.dir", "an absolute path"]),
        ("state:\n  dir: 5\n", &["c.yaml:2:8: ", "a number is of the wrong type"]),
        ("capture:\n  ring_bytes: 3MiB\n", &["c.yaml:2:15: ", "\"3MiB\"", "a power of two"]),
        ("capture:\n  ring_bytes: 512GiB\n", &["c.yaml:2:15: ", "to 1GiB"]),
        ("capture:\n  max_connections: -5\n", &["c.yaml:2:20: ", "\"-5\"", "an integer from 1024 to 4194304"]),
        ("capture:\n  max_connections: \"5000\"\n", &["c.yaml:2:20: ", "a string is of the wrong type"]),
        ("traces:\n  exporter: jaeger\n", &["c.yaml:2:13: ", "\"jaeger\"", "otlp, none or console"]),
        ("traces:\n  sampler_argument: 1.5\n", &["c.yaml:2:21: ", "a number from 0 to 1"]),
        (
            "networks:\n  instrumented:\n    - 10.0.0.0/8\n    - 10.0.0.0/40\n",
            &["c.yaml:4:7: ", "networks.instrumented", "\"10.0.0.0/40\""],
        ),
        (
            "selection:\n  include:\n    - contaner: x\n",
            &["c.yaml:3:7: ", "selection.include: unknown field contaner; did you mean container?"],
        ),
        ("selection:\n  include:\n    - {}\n", &["c.yaml:3:7: ", "empty mapping"]),
        ("selection:\n  exclude:\n    - port: 70000\n", &["c.yaml:3:13: ", "\"70000\" (not a port)"]),
        ("selection:\n  exclude:\n    - service: \"[a\"\n", &["c.yaml:3:16: ", "\"[a\""]),
        ("selection:\n  exclude: nginx\n", &["c.yaml:2:12: ", "a string is of the wrong type"]),
        ("http:\n  routes:\n    - users/{id}\n", &["c.yaml:3:7: ", "does not start with /"]),
        ("http:\n  routes:\n    - /a/{b...}/c\n", &["c.yaml:3:7: ", "stands before the end"]),
        ("http:\n  routes:\n    - service: x\n", &["c.yaml:3:7: ", "field pattern is missing"]),
        ("logs:\n  redaction:\n    rules:\n      - \"(\"\n", &["c.yaml:4:9: ", "logs.redaction.rules", "unclosed group"]),
        ("logs:\n  exclude:\n    - severity: loud\n", &["c.yaml:3:17: ", "\"loud\""]),
        ("otlp:\n  headers: {x: 1}\n", &["c.yaml:2:16: ", "otlp.headers", "numbers in quotes"]),
        ("otlp:\n  endpoint: collector\n", &["c.yaml:2:13: ", "otlp.endpoint", "\"collector\""]),
        ("otlp:\n  endpoint: ftp://collector:21\n", &["c.yaml:2:13: ", "otlp.endpoint"]),
        ("view:\n  token: short\n", &["c.yaml:2:10: ", "too short", "at least 16 characters"]),
        ("view:\n  listen: 127.0.0.1:1\n  listen: 127.0.0.1:2\n", &["c.yaml:3:", "malformed YAML", "duplicate"]),
        ("view:\n\tlisten: x\n", &["c.yaml:2:", "malformed YAML"]),
        ("view: {listen: [\n", &["c.yaml:1:16: ", "malformed YAML"]),
        ("state:\n  dir: ${NOWHERE}\n", &["c.yaml:2:8: ", "state.dir: environment variable NOWHERE is not set"]),
        ("state:\n  dir: ${HOME\n", &["c.yaml:2:8: ", "without a closing }"]),
    ];
    for (yaml, parts) in cases {
        let message = refused(yaml, &[], &[]);
        for part in *parts {
            assert!(message.contains(part), "{yaml:?}\n  gives  {message}\n  without {part}");
        }
    }
}

#[test]
fn bad_variables_and_flags_are_refused_by_name() {
    let cases: &[(Pairs<'_>, Pairs<'_>, &[&str])] = &[
        (&[("REMORA_METRICS_INTERVAL", "soon")], &[], &["REMORA_METRICS_INTERVAL: metrics.interval: ", "\"soon\"", "a duration"]),
        (&[("REMORA_METRICS_INTERVALL", "1s")], &[], &["unknown key REMORA_METRICS_INTERVALL", "did you mean REMORA_METRICS_INTERVAL?"]),
        (&[("REMORA_VIEW_ENABLED", "7")], &[], &["REMORA_VIEW_ENABLED: view.enabled: ", "true or false"]),
        (&[("OTEL_METRIC_EXPORT_INTERVAL", "1s")], &[], &["OTEL_METRIC_EXPORT_INTERVAL: metrics.interval: ", "\"1sms\""]),
        (&[("OTEL_TRACES_SAMPLER", "sometimes")], &[], &["OTEL_TRACES_SAMPLER: traces.sampler: ", "always_on"]),
        (&[("OTEL_TRACES_SAMPLER_ARG", "2")], &[], &["OTEL_TRACES_SAMPLER_ARG: traces.sampler_argument: "]),
        (&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")], &[], &["OTEL_EXPORTER_OTLP_PROTOCOL: otlp.protocol: ", "grpc or http/protobuf"]),
        (&[("OTEL_RESOURCE_ATTRIBUTES", "nonsense")], &[], &["OTEL_RESOURCE_ATTRIBUTES: resource.attributes: "]),
        (&[], &[("view.lisen", "x")], &["--set view.lisen: unknown key view.lisen; did you mean view.listen?"]),
        (&[], &[("view.listen", "x")], &["--set view.listen: view.listen: impossible value \"x\""]),
    ];
    for (variables, flags, parts) in cases {
        let message = refused("", variables, flags);
        for part in *parts {
            assert!(message.contains(part), "{variables:?} {flags:?}\n  gives  {message}\n  without {part}");
        }
    }
}

#[test]
fn refusals_never_repeat_a_secret() {
    let messages = [
        refused("", &[("OTEL_EXPORTER_OTLP_HEADERS", "Bearer hunter2")], &[]),
        refused("", &[("REMORA_VIEW_TOKEN", "hunter2")], &[]),
        refused("view:\n  token: hunter2\n", &[], &[]),
    ];
    for message in messages {
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn variables_in_values_take_the_type_of_the_key() {
    let yaml = "capture:\n  max_connections: ${MAX}\nview:\n  enabled: ${ON:-false}\notlp:\n  headers:\n    api-key: ${KEY}\nnetworks:\n  instrumented: ${NETS}\n";
    let variables = [("MAX", "5000"), ("KEY", "123"), ("NETS", "10.0.0.0/8,192.168.0.0/16")];
    let config = load(yaml, &variables, &[]).expect("valid");
    assert_eq!(config.capture.max_connections, 5000);
    assert!(!config.view.enabled);
    assert_eq!(config.otlp.all.headers[0].1.reveal(), "123");
    assert_eq!(config.instrumented_networks.len(), 2);
    assert_eq!(origin(&config, "capture.max_connections"), "c.yaml:2:20");
}

#[test]
fn rules_come_from_the_file_and_from_the_environment_alike() {
    let yaml = "selection:\n  include:\n    - container: shop-*\n      port: 8000-8099\n    - executable: nginx\n";
    let variables = [("REMORA_SELECTION_INCLUDE", "[{container: shop-*, port: 8000-8099}, {executable: nginx}]")];
    let from_file = load(yaml, &[], &[]).expect("file").selection;
    assert_eq!(from_file, load("", &variables, &[]).expect("environment").selection);
    let facts = Facts {
        container: Fact::Known("shop-cart"),
        port: Fact::Known(80),
        executable: Fact::Known("/usr/sbin/nginx"),
        ..Facts::default()
    };
    assert_eq!(from_file.evaluate(&facts), Verdict::Yes);
}

#[test]
fn the_exporter_reads_the_file_as_if_it_were_the_standard_variables() {
    let yaml = "otlp:\n  endpoint: http://file:4317\n  headers: {a: \"x y\"}\n  timeout: 3s\n  traces: {endpoint: \"http://t:1\"}\n";
    let config = load(yaml, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://env:4317")], &[]).expect("valid");
    let cases = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", Some("https://env:4317")),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", Some("http://t:1")),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", None),
        ("OTEL_EXPORTER_OTLP_HEADERS", Some("a=x%20y")),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", Some("3000")),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", Some("grpc")),
        ("HOME", None),
    ];
    for (name, value) in cases {
        assert_eq!(config.otlp.lookup(name).as_deref(), value, "{name}");
    }
    assert_eq!(config.otlp.endpoint_choice, otlp::EndpointChoice::Configured);
}

#[test]
fn the_default_endpoint_follows_the_protocol() {
    let config = load("", &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")], &[]).expect("valid");
    assert_eq!(config.otlp.all.endpoint.as_deref(), Some("http://localhost:4318"));
}

#[test]
fn printed_configuration_hides_secrets_and_can_be_read_back() {
    let yaml = "view:\n  listen: 10.0.0.1:4390\n  token: abcdefghijklmnop\notlp:\n  endpoint: http://joe:hunter2@c:4317\n  headers: {key: hunter2}\nselection:\n  exclude: [{port: 22}]\n";
    let config = load(yaml, &[], &[]).expect("valid");
    let (yaml, json) = (reference::yaml(&config.effective), reference::json(&config.effective).to_string());
    for text in [&yaml, &json] {
        assert!(!text.contains("hunter2") && !text.contains("abcdefgh"), "{text}");
    }
    assert!(yaml.contains("  token: \"***\"  # c.yaml:3:10\n"), "{yaml}");
    assert!(yaml.contains("  exclude: [{\"port\":22}]  # c.yaml:8:12\n"), "{yaml}");
    let defaults = Config::load(&Sources::default()).expect("defaults");
    let printed = reference::yaml(&defaults.effective);
    let again = load(&printed, &[], &[]).expect("the printed defaults");
    let values = |config: &Config| -> Vec<_> {
        config.effective.iter().map(|value| format!("{:?}", reference::json(std::slice::from_ref(value))["value"])).collect()
    };
    assert_eq!(values(&again), values(&defaults));
}

#[test]
fn variables_of_others_are_noticed_and_ignored() {
    let config = load("", &[("REMORA_PORT_4390_TCP_ADDR", "10.0.0.1"), ("REMORA_BIN", "x")], &[]).expect("valid");
    assert_eq!(config.notices.len(), 2);
}

#[test]
fn the_reference_page_is_up_to_date() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let page = reference::markdown();
    let updating = std::env::var_os("UPDATE_DOCS").is_some();
    if updating {
        std::fs::write(&path, &page).expect("write docs/configuration.md");
    }
    let committed = std::fs::read_to_string(&path).expect("docs/configuration.md");
    assert!(committed == page, "docs/configuration.md is out of date: UPDATE_DOCS=1 cargo test -p remora reference_page");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_loader_panic(text in "\\PC{0,200}", value in "\\PC{0,40}") {
        let _ = load(&text, &[("X", &value)], &[("view.listen", &value)]);
        let _ = load(&format!("selection:\n  include: {value}\nmetrics:\n  interval: {value}\n"), &[], &[]);
    }
}
