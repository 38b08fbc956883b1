//! Every shape that the writer can make equals, byte for byte, what the generated code of
//! `opentelemetry-proto` makes of the same message; and it decodes with it.
#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

#[path = "support/shapes.rs"]
mod shapes;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::resource::v1::Resource as ProtoResource;
use opentelemetry_proto::tonic::trace::v1 as trace;
use proptest::prelude::*;
use prost::Message;
use remora_otlp::{
    Attribute, Encoded, Envelope, Interval, Items, Logs, MetricName, Metrics, Number, NumberPoint, Packer, Resource, Scope, SignalKind,
    Span, SpanKind, SumKind, Temporality, Traces,
};

const RESOURCE_SCHEMA: &str = "https://opentelemetry.io/schemas/1.44.0";

fn resource(attributes: &[Attribute<'_>]) -> Resource {
    Resource { attributes: Encoded::new(attributes.iter().copied()), dropped_attributes: 3, schema_url: RESOURCE_SCHEMA.into() }
}

fn scope() -> Scope {
    Scope {
        name: "remora".into(),
        version: "0.1.0".into(),
        attributes: Encoded::new([Attribute::new("scope", true)]),
        schema_url: "https://example.org/scope".into(),
    }
}

fn envelope() -> Envelope {
    Envelope::new(&resource(&[Attribute::new("service.name", "shop")]), &scope())
}

fn proto_resource() -> ProtoResource {
    ProtoResource { attributes: vec![shapes::text_pair("service.name", "shop")], dropped_attributes_count: 3, ..Default::default() }
}

fn proto_scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "remora".into(),
        version: "0.1.0".into(),
        attributes: vec![shapes::bool_pair("scope", true)],
        ..Default::default()
    }
}

/// The one request that `items` make.
fn only_request<S: SignalKind>(items: &Items<S>) -> Vec<u8> {
    let mut packer = Packer::<S>::new(usize::MAX);
    packer.add(&envelope(), items);
    let mut batches = packer.finish();
    assert_eq!(batches.len(), 1);
    let batch = batches.pop().unwrap();
    assert_eq!(batch.items, items.count());
    batch.payload.to_vec()
}

fn trace_request(spans: Vec<trace::Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![trace::ResourceSpans {
            resource: Some(proto_resource()),
            scope_spans: vec![trace::ScopeSpans { scope: Some(proto_scope()), spans, schema_url: "https://example.org/scope".into() }],
            schema_url: RESOURCE_SCHEMA.into(),
        }],
    }
}

fn metrics_request(found: Vec<metrics::Metric>) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest {
        resource_metrics: vec![metrics::ResourceMetrics {
            resource: Some(proto_resource()),
            scope_metrics: vec![metrics::ScopeMetrics {
                scope: Some(proto_scope()),
                metrics: found,
                schema_url: "https://example.org/scope".into(),
            }],
            schema_url: RESOURCE_SCHEMA.into(),
        }],
    }
}

fn logs_request(log_records: Vec<logs::LogRecord>) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest {
        resource_logs: vec![logs::ResourceLogs {
            resource: Some(proto_resource()),
            scope_logs: vec![logs::ScopeLogs { scope: Some(proto_scope()), log_records, schema_url: "https://example.org/scope".into() }],
            schema_url: RESOURCE_SCHEMA.into(),
        }],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spans_equal_the_generated_encoder(spans in prop::collection::vec(shapes::span(), 1..4), constant in 0usize..4) {
        let mut items = Items::<Traces>::new();
        spans.iter().for_each(|span| shapes::write_span(&mut items, span, constant));
        prop_assert_eq!(only_request(&items), trace_request(spans).encode_to_vec());
    }

    #[test]
    fn metrics_equal_the_generated_encoder(found in prop::collection::vec(shapes::metric(), 1..4)) {
        let mut items = Items::<Metrics>::new();
        found.iter().for_each(|metric| shapes::write_metric(&mut items, metric));
        prop_assert_eq!(items.count(), found.iter().map(shapes::points_of).sum::<u64>());
        prop_assert_eq!(only_request(&items), metrics_request(found).encode_to_vec());
    }

    #[test]
    fn log_records_equal_the_generated_encoder(records in prop::collection::vec(shapes::log_record(), 1..4), constant in 0usize..4) {
        let mut items = Items::<Logs>::new();
        records.iter().for_each(|record| shapes::write_log_record(&mut items, record, constant));
        prop_assert_eq!(only_request(&items), logs_request(records).encode_to_vec());
    }

    #[test]
    fn packing_keeps_every_span_once_and_the_limit(
        counts in prop::collection::vec(0usize..30, 1..6),
        limit in 300usize..4_000,
    ) {
        let mut packer = Packer::<Traces>::new(limit);
        let mut expected = Vec::new();
        for (resource_index, &count) in counts.iter().enumerate() {
            let name = format!("resource-{resource_index}");
            let mut items = Items::new();
            for span_index in 0..count {
                items.span(&plain_span(&format!("{name}/{span_index}")), []);
                expected.push((name.clone(), format!("{name}/{span_index}")));
            }
            packer.add(&Envelope::new(&resource(&[Attribute::new("service.name", name.as_str())]), &Scope::default()), &items);
        }
        let batches = packer.finish();
        let total: u64 = batches.iter().map(|batch| batch.items).sum();
        prop_assert_eq!(total, expected.len() as u64);
        let mut found = Vec::new();
        for batch in &batches {
            prop_assert!(batch.payload.len() <= limit, "{} > {}", batch.payload.len(), limit);
            let request = ExportTraceServiceRequest::decode(batch.payload.clone()).unwrap();
            prop_assert_eq!(spans_by_resource(&request, &mut found), batch.items);
        }
        prop_assert_eq!(found, expected);
    }
}

fn spans_by_resource(request: &ExportTraceServiceRequest, found: &mut Vec<(String, String)>) -> u64 {
    let before = found.len();
    for group in &request.resource_spans {
        let name = shapes::text_of(&group.resource.as_ref().unwrap().attributes[0]);
        assert!(!group.scope_spans[0].spans.is_empty(), "an empty group");
        for span in &group.scope_spans[0].spans {
            found.push((name.clone(), span.name.clone()));
        }
    }
    (found.len() - before) as u64
}

fn plain_span(name: &str) -> Span<'_> {
    Span { start_unix_nano: 1, end_unix_nano: 2, ..Span::new([1; 16], [2; 8], SpanKind::Client, name) }
}

#[test]
fn a_span_above_the_limit_goes_alone() {
    let long = "x".repeat(5_000);
    let mut items = Items::<Traces>::new();
    for name in ["a", long.as_str(), "b"] {
        items.span(&plain_span(name), []);
    }
    let mut packer = Packer::new(1_000);
    packer.add(&envelope(), &items);
    let sizes: Vec<u64> = packer.finish().iter().map(|batch| batch.items).collect();
    assert_eq!(sizes, [1, 1, 1]);
}

#[test]
fn nothing_is_made_of_nothing() {
    let mut items = Items::<Metrics>::new();
    items.gauge(MetricName { name: "empty", description: "", unit: "" }, |_| {});
    assert!(items.is_empty());
    assert_eq!(items.encoded_len(), 0);
    let mut packer = Packer::new(1_000);
    packer.add(&envelope(), &items);
    assert!(packer.finish().is_empty());
}

#[test]
fn a_large_metric_is_continued_under_its_name() {
    let series = 20_000u64;
    let attributes = Encoded::new([Attribute::new("k", "v".repeat(60).as_str())]);
    let mut items = Items::<Metrics>::new();
    let name = MetricName { name: "remora.large", description: "many series", unit: "{x}" };
    items.sum(name, Temporality::Delta, SumKind::Monotonic, |points| {
        for index in 0..series {
            points.push(&NumberPoint {
                interval: Interval { start_unix_nano: 1, time_unix_nano: 2 },
                value: Some(Number::I64(index as i64)),
                exemplars: &[],
                attributes: &attributes,
            });
        }
    });
    let limit = 1_000_000;
    let mut packer = Packer::new(limit);
    packer.add(&envelope(), &items);
    let batches = packer.finish();
    assert_eq!(batches.iter().map(|batch| batch.items).sum::<u64>(), series);
    let mut values = Vec::new();
    for batch in batches {
        assert!(batch.payload.len() <= limit);
        let request = ExportMetricsServiceRequest::decode(batch.payload).unwrap();
        for metric in &request.resource_metrics[0].scope_metrics[0].metrics {
            assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("remora.large", "{x}"));
            values.extend(shapes::integers_of(metric));
        }
    }
    assert_eq!(values, (0..series as i64).collect::<Vec<_>>());
}
