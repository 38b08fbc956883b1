//! Prints the table of keys: `docs/configuration.md` for readers, `remora config` for a running set-up.

use super::keys::{self, AnyKey};
use super::kind::Secrecy;
use super::layers::Effective;
use super::raw::{Node, Value};
use std::fmt::Write as _;

/// What stands for a secret.
const MASK: &str = "***";

/// The page `docs/configuration.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut section = "";
    for key in keys::ALL {
        let first = key.path().split('.').next().unwrap_or_default();
        if first != section {
            section = first;
            let _ = write!(page, "\n## {section}\n\n| key | kind | default | allowed | meaning |\n|---|---|---|---|---|\n");
        }
        page.push_str(&row(*key));
    }
    page
}

fn row(key: &dyn AnyKey) -> String {
    let default = match key.default() {
        None => "not set".to_owned(),
        Some("") => "empty".to_owned(),
        Some(text) => format!("`{text}`"),
    };
    format!("| `{}` | {} | {default} | {} | {} |\n", key.path(), key.kind_name(), key.allowed(), key.doc())
}

const INTRODUCTION: &str = "# Configuration

This page is generated from `agent/src/config/keys.rs`; a test compares it, and writes it
with `UPDATE_DOCS=1`.

One YAML file: `--config FILE`, else `REMORA_CONFIG`, else `/etc/remora/config.yaml` if it exists.
Every key can also be set by an environment variable named after it (`metrics.interval` is
`REMORA_METRICS_INTERVAL`) and by `--set KEY=VALUE`. Lists are written there with commas or as a YAML list
in brackets, mappings as `name=value,name=value` or as a YAML mapping in braces.

Later ones win: defaults, file, `REMORA_*`, `OTEL_*`, flags. `remora config` prints the result with the
origin of each value. An unknown key, a wrong type or an impossible value stops the start.

`${NAME}` in a string value of the file is replaced by the environment variable, `${NAME:-default}` by the
default where the variable is not set or empty; `$${` stands for a literal `${`. A variable that is not set
and has no default stops the start.

The standard variables of OpenTelemetry SDKs are understood: `OTEL_EXPORTER_OTLP_*` for all signals and for
`TRACES`, `METRICS` and `LOGS`, `OTEL_TRACES_EXPORTER`, `OTEL_METRICS_EXPORTER`, `OTEL_LOGS_EXPORTER`,
`OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG`, `OTEL_BSP_SCHEDULE_DELAY`,
`OTEL_BSP_MAX_EXPORT_BATCH_SIZE`, `OTEL_BLRP_SCHEDULE_DELAY`, `OTEL_BLRP_MAX_EXPORT_BATCH_SIZE`,
`OTEL_METRIC_EXPORT_INTERVAL`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`, `OTEL_LOG_LEVEL` and
`OTEL_SDK_DISABLED`. Unlike an SDK, the agent does not ignore a value that it does not understand: it stops.
";

/// The effective configuration as YAML that can be read back, each value with its origin in a comment.
#[must_use]
pub fn yaml(effective: &[Effective]) -> String {
    let mut text = String::new();
    let mut open: Vec<&str> = Vec::new();
    for value in effective {
        let mut sections: Vec<&str> = value.key.path().split('.').collect();
        let name = sections.pop().unwrap_or_default();
        let common = open.iter().zip(&sections).take_while(|(a, b)| a == b).count();
        for (depth, section) in sections.iter().enumerate().skip(common) {
            let _ = writeln!(text, "{:indent$}{section}:", "", indent = depth * 2);
        }
        let indent = sections.len() * 2;
        let _ = writeln!(text, "{:indent$}{name}: {}  # {}", "", shown(value), value.origin);
        open = sections;
    }
    text
}

/// The effective configuration as JSON: one object a key with `value` and `origin`.
#[must_use]
pub fn json(effective: &[Effective]) -> serde_json::Value {
    let entry = |value: &Effective| {
        let object = serde_json::json!({ "value": shown(value), "origin": value.origin.to_string() });
        (value.key.path().to_owned(), object)
    };
    serde_json::Value::Object(effective.iter().map(entry).collect())
}

fn shown(value: &Effective) -> serde_json::Value {
    value.node.as_ref().map_or(serde_json::Value::Null, |node| json_of(node, value.key.secrecy()))
}

fn json_of(node: &Node, secrecy: Secrecy) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::List(list) => list.iter().map(|item| json_of(item, secrecy)).collect(),
        Value::Map(map) => serde_json::Value::Object(map.iter().map(|entry| (entry.key.clone(), json_of(&entry.node, secrecy))).collect()),
        _ if secrecy == Secrecy::Secret => MASK.into(),
        Value::Switch(value) => (*value).into(),
        Value::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
        Value::Text(text) | Value::Untyped(text) => without_user_info(text).into(),
    }
}

/// Hides the user and password of a URL.
fn without_user_info(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://{MASK}{}", &rest[at..]),
        None => text.to_owned(),
    }
}
