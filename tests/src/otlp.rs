//! OTLP as the Collector's file exporter writes it (OTLP/JSON, one request a line), flattened for assertions.

use serde_json::{Map, Value};

/// `SpanKind` of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Serves a request.
    Server,
    /// Sends a request and waits.
    Client,
    /// Sends messages to a broker.
    Producer,
    /// Takes messages from a broker.
    Consumer,
    /// Any other.
    Other,
}

/// One span, metric or log record, with the attributes of the Resource it came with.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Attributes of the Resource, as plain JSON values.
    pub resource: Map<String, Value>,
    /// Name of the instrumentation scope, empty if none.
    pub scope: String,
    /// The span, metric or log record as OTLP/JSON.
    pub value: Value,
}

impl Item {
    /// A field of the item as text; empty where it is missing.
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        self.value[field].as_str().unwrap_or_default()
    }

    /// Kind of a span.
    #[must_use]
    pub fn kind(&self) -> SpanKind {
        match self.value["kind"].as_u64() {
            Some(2) => SpanKind::Server,
            Some(3) => SpanKind::Client,
            Some(4) => SpanKind::Producer,
            Some(5) => SpanKind::Consumer,
            _ => SpanKind::Other,
        }
    }

    /// Whether the status of a span is Error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.value["status"]["code"] == 2
    }

    /// A time of a span in nanoseconds since the Unix epoch; zero where it is missing.
    #[must_use]
    pub fn nanos(&self, field: &str) -> u64 {
        self.text(field).parse().unwrap_or_default()
    }

    /// One of the item's own attributes; null where it is missing.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Value {
        self.attributes().remove(key).unwrap_or_default()
    }

    /// Name of the service that a Resource stands for.
    #[must_use]
    pub fn service(&self) -> &str {
        self.resource.get("service.name").and_then(Value::as_str).unwrap_or_default()
    }

    /// The item's own attributes.
    #[must_use]
    pub fn attributes(&self) -> Map<String, Value> {
        attributes(&self.value["attributes"])
    }
}

/// The names of the three levels of a request.
pub(crate) type Levels = (&'static str, &'static str, &'static str);

pub(crate) const SPANS: Levels = ("resourceSpans", "scopeSpans", "spans");
pub(crate) const METRICS: Levels = ("resourceMetrics", "scopeMetrics", "metrics");
pub(crate) const LOGS: Levels = ("resourceLogs", "scopeLogs", "logRecords");

/// All items of one signal in lines of OTLP/JSON; a last line that is still being written is left for the next time.
pub(crate) fn items(lines: &str, (resources, scopes, list): Levels) -> Vec<Item> {
    let mut found = Vec::new();
    for request in lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        for resource in each(&request[resources]) {
            let shared = attributes(&resource["resource"]["attributes"]);
            for scope in each(&resource[scopes]) {
                let name = scope["scope"]["name"].as_str().unwrap_or_default();
                let item = |value: &Value| Item { resource: shared.clone(), scope: name.to_owned(), value: value.clone() };
                found.extend(each(&scope[list]).iter().map(item));
            }
        }
    }
    found
}

fn each(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// OTLP/JSON key-value pairs as a plain JSON object.
#[must_use]
pub fn attributes(pairs: &Value) -> Map<String, Value> {
    each(pairs).iter().map(|pair| (pair["key"].as_str().unwrap_or_default().to_owned(), plain(&pair["value"]))).collect()
}

/// An OTLP/JSON `AnyValue` as plain JSON; 64-bit integers, which JSON writes as text, become numbers.
fn plain(value: &Value) -> Value {
    let Some((kind, inner)) = value.as_object().and_then(|object| object.iter().next()) else { return Value::Null };
    match kind.as_str() {
        "intValue" => inner.as_str().and_then(|text| text.parse::<i64>().ok()).map_or_else(|| inner.clone(), Value::from),
        "arrayValue" => each(&inner["values"]).iter().map(plain).collect(),
        "kvlistValue" => Value::Object(attributes(&inner["values"])),
        _ => inner.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_item_keeps_its_resource_and_scope() {
        let request = json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [{"scope": {"name": "remora"}, "spans": [{"name": "GET", "attributes": [
                {"key": "http.response.status_code", "value": {"intValue": "200"}},
                {"key": "tags", "value": {"arrayValue": {"values": [{"boolValue": true}, {"doubleValue": 0.5}]}}},
            ]}]}],
        }]});
        let lines = format!("{request}\n{}", &request.to_string()[..40]);
        let found = items(&lines, SPANS);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].resource["service.name"], "shop");
        assert_eq!(found[0].scope, "remora");
        assert_eq!(found[0].text("name"), "GET");
        assert_eq!(Value::Object(found[0].attributes()), json!({"http.response.status_code": 200, "tags": [true, 0.5]}));
        assert_eq!(items(&lines, LOGS), []);
    }
}
