//! The Collector of the other tests takes OTLP and gives back what it took, so that they may rely on it.

use remora_tests::{Collector, Process, part, wait_until};
use std::process::Command;

#[test]
fn what_is_sent_is_what_was_received() {
    let (Some(curl), Some(collector)) = (part("curl"), Collector::start()) else { return };
    let span = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
        "scopeSpans":[{"scope":{"name":"by hand"},"spans":[{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174",
        "name":"GET /","kind":2,"startTimeUnixNano":"1","endTimeUnixNano":"2"}]}]}]}"#;
    let point = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"visits","sum":{"aggregationTemporality":2,"isMonotonic":true,
        "dataPoints":[{"asInt":"7","startTimeUnixNano":"1","timeUnixNano":"2"}]}}]}]}]}"#;
    for (signal, body) in [("traces", span), ("metrics", point)] {
        let url = format!("{}/v1/{signal}", collector.http_endpoint());
        let sent =
            Process::start("curl", Command::new(&curl).args(["-sf", "-H", "Content-Type: application/json", "-d", body, &url])).wait();
        assert!(sent.success(), "{signal}: {sent}");
    }

    let spans = wait_until("a span", || Some(collector.spans()).filter(|spans| !spans.is_empty()));
    assert_eq!(spans.len(), 1);
    assert_eq!((spans[0].text("name"), spans[0].scope.as_str()), ("GET /", "by hand"));
    assert_eq!(spans[0].resource["service.name"], "shop");

    let metrics = wait_until("a metric", || Some(collector.metrics()).filter(|metrics| !metrics.is_empty()));
    assert_eq!(metrics[0].value["sum"]["dataPoints"][0]["asInt"], "7");
    wait_until("the Prometheus exporter", || collector.prometheus().contains("visits_total").then_some(()));
}
