//! A record that is written into a warm buffer allocates nothing.

use remora_otlp::{
    Attribute, Encoded, Interval, Items, LogRecord, Logs, MetricName, Metrics, Number, NumberPoint, ParentContext, Severity, Span,
    SpanFlags, SpanKind, Status, SumKind, Temporality, Traces, Value,
};

const RECORDS: u64 = 1_000;

/// Allocations of `fill` on a buffer that has been filled once before.
fn allocations_when_warm<S: remora_otlp::SignalKind>(mut fill: impl FnMut(&mut Items<S>)) -> u64 {
    let mut items = Items::new();
    fill(&mut items);
    items.clear();
    let measured = allocation_counter::measure(|| fill(&mut items));
    assert_eq!(items.count(), RECORDS);
    measured.count_total
}

#[test]
fn spans_allocate_nothing() {
    let constant = Encoded::new([Attribute::new("server.address", "db"), Attribute::new("server.port", 5432u16)]);
    let path = String::from("/cart/items?id=17");
    let allocations = allocations_when_warm::<Traces>(|items| {
        for index in 0..RECORDS {
            let span = Span {
                parent_span_id: Some([3; 8]),
                flags: SpanFlags::new(SpanFlags::SAMPLED, ParentContext::Remote),
                start_unix_nano: index,
                end_unix_nano: index + 1,
                constant: &constant,
                status: Status::Error("timeout"),
                ..Span::new([1; 16], index.to_be_bytes(), SpanKind::Server, "GET")
            };
            items.span(&span, [Attribute::new("url.path", path.as_str()), Attribute::new("http.request.method", "GET")]);
        }
    });
    assert_eq!(allocations, 0);
}

#[test]
fn points_allocate_nothing() {
    let series = Encoded::new([Attribute::new("http.request.method", "GET")]);
    let name = MetricName { name: "requests", description: "Requests.", unit: "{request}" };
    let allocations = allocations_when_warm::<Metrics>(|items| {
        items.sum(name, Temporality::Cumulative, SumKind::Monotonic, |points| {
            for index in 0..RECORDS {
                points.push(&NumberPoint {
                    interval: Interval { start_unix_nano: 1, time_unix_nano: 2 },
                    value: Some(Number::I64(index as i64)),
                    exemplars: &[],
                    attributes: &series,
                });
            }
        });
    });
    assert_eq!(allocations, 0);
}

#[test]
fn log_records_allocate_nothing() {
    let constant = Encoded::new([Attribute::new("log.file.path", "/var/log/app.log")]);
    let fields = [Attribute::new("user", "ada"), Attribute::new("ids", Value::StrSlice(&["a", "b"]))];
    let allocations = allocations_when_warm::<Logs>(|items| {
        for index in 0..RECORDS {
            let record = LogRecord {
                severity: Severity::new(17),
                severity_text: "error",
                constant: &constant,
                ..LogRecord::new(index, Value::Map(&fields))
            };
            items.log_record(&record, [Attribute::new("log.iostream", "stderr")]);
        }
    });
    assert_eq!(allocations, 0);
}
