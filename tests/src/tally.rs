//! Spans and points of metrics as lines that a test can list.

use crate::{Call, Item, Telemetry, attributes};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Lines and how often they came.
pub type Tally = BTreeMap<String, u64>;

/// Values of `keys` with spaces between them, `-` for one that is missing.
fn values(attributes: &Map<String, Value>, keys: &[&str]) -> Vec<String> {
    let value = |key: &&str| match attributes.get(*key) {
        None => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    keys.iter().map(value).collect()
}

impl Item {
    /// The name of a span, `key` by `key` its attributes, and what kind of error it is, if it is one.
    #[must_use]
    pub fn line(&self, keys: &[&str]) -> String {
        let mut words = vec![self.text("name").to_owned()];
        words.extend(values(&self.attributes(), keys));
        if self.is_error() {
            words.push(format!("error={}", self.attribute("error.type").as_str().unwrap_or("-")));
        }
        words.join(" | ")
    }
}

impl Call {
    /// [`Item::line`] of both ends.
    ///
    /// # Panics
    /// The ends do not say the same.
    #[must_use]
    pub fn line(&self, keys: &[&str]) -> String {
        let (client, server) = (self.client.line(keys), self.server.line(keys));
        assert_eq!(client, server, "the ends of a call do not say the same: {self:#?}");
        client
    }
}

impl Telemetry {
    /// What a metric of a service counted, by the values of `keys`: the last point of each series of the server at `port`
    /// (of any, where the series have no `server.port`).
    ///
    /// # Panics
    /// A point has no number.
    #[must_use]
    pub fn counted(&self, metric: &str, service: &str, port: u16, keys: &[&str]) -> Tally {
        self.counted_by(metric, |item| item.service() == service, port, keys)
    }

    /// As [`Telemetry::counted`], by the services that `counts` takes: programs that end at once may have no name.
    pub fn counted_by(&self, metric: &str, counts: impl Fn(&Item) -> bool, port: u16, keys: &[&str]) -> Tally {
        let mut last: BTreeMap<String, (String, u64)> = BTreeMap::new();
        for item in self.metrics.iter().filter(|item| item.text("name") == metric && counts(item)) {
            for point in points(&item.value) {
                let own = attributes(&point["attributes"]);
                let is_ended = point["flags"].as_u64().unwrap_or(0) & 1 != 0;
                if !is_ended && own.get("server.port").is_none_or(|of| *of == port) {
                    let series = format!("{:?} {own:?}", item.resource);
                    last.insert(series, (values(&own, keys).join(" | "), number(point)));
                }
            }
        }
        tally(last.into_values())
    }
}

/// Adds up what has the same line.
pub fn tally(lines: impl IntoIterator<Item = (String, u64)>) -> Tally {
    let mut sums = Tally::new();
    for (line, n) in lines {
        *sums.entry(line).or_default() += n;
    }
    sums
}

/// How often each line is there.
pub fn count(lines: impl IntoIterator<Item = String>) -> Tally {
    tally(lines.into_iter().map(|line| (line, 1)))
}

/// `values` of spans, to be compared with [`Telemetry::counted`].
#[must_use]
pub fn by_attributes(spans: &[Item], keys: &[&str]) -> Tally {
    count(spans.iter().map(|span| values(&span.attributes(), keys).join(" | ")))
}

fn points(metric: &Value) -> &[Value] {
    let data = ["histogram", "exponentialHistogram", "sum", "gauge"].into_iter().find_map(|kind| metric.get(kind));
    data.and_then(|data| data["dataPoints"].as_array()).map_or(&[], Vec::as_slice)
}

/// Count of a histogram's point, value of another.
fn number(point: &Value) -> u64 {
    let text = [&point["count"], &point["asInt"]].into_iter().find_map(Value::as_str);
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("a point without a number: {point}"))
}
