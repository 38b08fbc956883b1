//! Arbitrary OTLP messages as generated structs, and the same messages through the writer.
//!
//! The borrowed values of the writer need an owner; here, in a test, that is the end of the
//! process (`leak`).

use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value};
use opentelemetry_proto::tonic::logs::v1 as logs;
use opentelemetry_proto::tonic::metrics::v1 as metrics;
use opentelemetry_proto::tonic::metrics::v1::{exemplar, exponential_histogram_data_point, metric, number_data_point};
use opentelemetry_proto::tonic::trace::v1 as trace;
use proptest::prelude::*;
use remora_otlp::{
    Attribute, Buckets, Encoded, Exemplar, ExponentialHistogramPoint, HistogramPoint, Interval, Items, LogRecord, Logs, MetricName,
    Metrics, Number, NumberPoint, ParentContext, Severity, Span, SpanEvent, SpanFlags, SpanKind, SpanLink, Status, SumKind, Temporality,
    Traces, Value,
};

fn leak<T>(values: Vec<T>) -> &'static [T] {
    Box::leak(values.into_boxed_slice())
}

// ---- values and attributes

pub(crate) fn text_pair(key: &str, text: &str) -> KeyValue {
    pair(key.into(), Some(any_value::Value::StringValue(text.into())))
}

pub(crate) fn bool_pair(key: &str, truth: bool) -> KeyValue {
    pair(key.into(), Some(any_value::Value::BoolValue(truth)))
}

pub(crate) fn text_of(pair: &KeyValue) -> String {
    match pair.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        other => panic!("not a text: {other:?}"),
    }
}

fn pair(key: String, value: Option<any_value::Value>) -> KeyValue {
    KeyValue { key, value: Some(AnyValue { value }), ..Default::default() }
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let scalar = prop_oneof![
        Just(None),
        text(200).prop_map(|text| Some(any_value::Value::StringValue(text))),
        any::<bool>().prop_map(|truth| Some(any_value::Value::BoolValue(truth))),
        any::<i64>().prop_map(|number| Some(any_value::Value::IntValue(number))),
        any::<f64>().prop_map(|number| Some(any_value::Value::DoubleValue(number))),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Some(any_value::Value::BytesValue(bytes))),
    ]
    .prop_map(|value| AnyValue { value });
    scalar.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|values| any_value::Value::ArrayValue(ArrayValue { values })),
            prop::collection::vec((text(10), inner), 0..4).prop_map(|pairs| {
                let values = pairs.into_iter().map(|(key, value)| pair(key, value.value)).collect();
                any_value::Value::KvlistValue(KeyValueList { values })
            }),
        ]
        .prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn text(longest: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..longest).prop_map(|chars| chars.into_iter().collect())
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    let one = (text(20), any_value()).prop_map(|(key, value)| pair(key, value.value));
    prop::collection::vec(one, 0..5)
}

fn value_of(any: &AnyValue) -> Value<'static> {
    match &any.value {
        None => Value::Empty,
        Some(any_value::Value::StringValue(text)) => Value::Str(text.clone().leak()),
        Some(any_value::Value::BoolValue(truth)) => Value::Bool(*truth),
        Some(any_value::Value::IntValue(number)) => Value::I64(*number),
        Some(any_value::Value::DoubleValue(number)) => Value::F64(*number),
        Some(any_value::Value::BytesValue(bytes)) => Value::Bytes(leak(bytes.clone())),
        Some(any_value::Value::ArrayValue(array)) => array_of(&array.values),
        Some(any_value::Value::KvlistValue(list)) => Value::Map(attributes_of(&list.values)),
        Some(any_value::Value::StringValueStrindex(_)) => panic!("only in profiles"),
    }
}

fn array_of(values: &[AnyValue]) -> Value<'static> {
    let values: Vec<Value<'static>> = values.iter().map(value_of).collect();
    let texts: Option<Vec<&'static str>> = values
        .iter()
        .map(|value| match value {
            Value::Str(text) => Some(*text),
            _ => None,
        })
        .collect();
    match texts {
        Some(texts) => Value::StrSlice(leak(texts)),
        None => Value::Array(leak(values)),
    }
}

fn attributes_of(pairs: &[KeyValue]) -> &'static [Attribute<'static>] {
    let attribute =
        |pair: &KeyValue| Attribute { key: pair.key.clone().leak(), value: value_of(pair.value.as_ref().expect("always set here")) };
    leak(pairs.iter().map(attribute).collect())
}

/// The first `constant` attributes encoded beforehand, and the others.
fn split<const FIELD: u32>(pairs: &[KeyValue], constant: usize) -> (Encoded<FIELD>, &'static [Attribute<'static>]) {
    let (first, rest) = attributes_of(pairs).split_at(constant.min(pairs.len()));
    (Encoded::new(first.iter().copied()), rest)
}

// ---- spans

const SPAN_FLAGS: [(u32, u8, ParentContext); 4] =
    [(0, 0, ParentContext::Unknown), (1, 1, ParentContext::Unknown), (0x101, 1, ParentContext::Local), (0x300, 0, ParentContext::Remote)];

fn flags_of(bits: u32) -> SpanFlags {
    let (_, flags, parent) = SPAN_FLAGS.iter().find(|entry| entry.0 == bits).expect("one of the table");
    SpanFlags::new(*flags, *parent)
}

fn span_flags() -> impl Strategy<Value = u32> {
    prop::sample::select(SPAN_FLAGS.map(|entry| entry.0).to_vec())
}

fn status() -> impl Strategy<Value = Option<trace::Status>> {
    prop_oneof![
        Just(None),
        Just(Some(trace::Status { code: 1, message: String::new() })),
        text(30).prop_map(|message| Some(trace::Status { code: 2, message })),
    ]
}

fn event() -> impl Strategy<Value = trace::span::Event> {
    (any::<u64>(), text(20), attributes(), 0u32..3).prop_map(|(time, name, attributes, dropped)| trace::span::Event {
        time_unix_nano: time,
        name,
        attributes,
        dropped_attributes_count: dropped,
    })
}

fn link() -> impl Strategy<Value = trace::span::Link> {
    (any::<[u8; 16]>(), any::<[u8; 8]>(), text(20), attributes(), 0u32..3, span_flags()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| trace::span::Link {
            trace_id: trace_id.to_vec(),
            span_id: span_id.to_vec(),
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

pub(crate) fn span() -> impl Strategy<Value = trace::Span> {
    let ids = (any::<[u8; 16]>(), any::<[u8; 8]>(), any::<Option<[u8; 8]>>(), text(10), span_flags());
    let body = (text(200), 1i32..=5, any::<u64>(), any::<u64>(), attributes(), status());
    let lists = (prop::collection::vec(event(), 0..3), prop::collection::vec(link(), 0..3), 0u32..300, 0u32..300, 0u32..300);
    (ids, body, lists).prop_map(|(ids, body, lists)| trace::Span {
        trace_id: ids.0.to_vec(),
        span_id: ids.1.to_vec(),
        parent_span_id: ids.2.map(|id| id.to_vec()).unwrap_or_default(),
        trace_state: ids.3,
        flags: ids.4,
        name: body.0,
        kind: body.1,
        start_time_unix_nano: body.2,
        end_time_unix_nano: body.3,
        attributes: body.4,
        status: body.5,
        events: lists.0,
        links: lists.1,
        dropped_attributes_count: lists.2,
        dropped_events_count: lists.3,
        dropped_links_count: lists.4,
    })
}

fn kind_of(number: i32) -> SpanKind {
    match number {
        1 => SpanKind::Internal,
        2 => SpanKind::Server,
        3 => SpanKind::Client,
        4 => SpanKind::Producer,
        _ => SpanKind::Consumer,
    }
}

fn status_of(status: Option<&trace::Status>) -> Status<'_> {
    match status {
        None => Status::Unset,
        Some(status) if status.code == 1 => Status::Ok,
        Some(status) => Status::Error(&status.message),
    }
}

fn event_of(event: &trace::span::Event) -> SpanEvent<'_> {
    SpanEvent {
        time_unix_nano: event.time_unix_nano,
        name: &event.name,
        attributes: attributes_of(&event.attributes),
        dropped_attributes: event.dropped_attributes_count,
    }
}

fn link_of(link: &trace::span::Link) -> SpanLink<'_> {
    SpanLink {
        trace_id: link.trace_id.as_slice().try_into().unwrap(),
        span_id: link.span_id.as_slice().try_into().unwrap(),
        trace_state: &link.trace_state,
        attributes: attributes_of(&link.attributes),
        dropped_attributes: link.dropped_attributes_count,
        flags: flags_of(link.flags),
    }
}

pub(crate) fn write_span(items: &mut Items<Traces>, span: &trace::Span, constant: usize) {
    let (constant, attributes) = split(&span.attributes, constant);
    let events: Vec<_> = span.events.iter().map(event_of).collect();
    let links: Vec<_> = span.links.iter().map(link_of).collect();
    items.span(
        &Span {
            trace_id: span.trace_id.as_slice().try_into().unwrap(),
            span_id: span.span_id.as_slice().try_into().unwrap(),
            trace_state: &span.trace_state,
            parent_span_id: span.parent_span_id.as_slice().try_into().ok(),
            flags: flags_of(span.flags),
            name: &span.name,
            kind: kind_of(span.kind),
            start_unix_nano: span.start_time_unix_nano,
            end_unix_nano: span.end_time_unix_nano,
            constant: &constant,
            dropped_attributes: span.dropped_attributes_count,
            events: &events,
            dropped_events: span.dropped_events_count,
            links: &links,
            dropped_links: span.dropped_links_count,
            status: status_of(span.status.as_ref()),
        },
        attributes.iter().copied(),
    );
}

// ---- log records

pub(crate) fn log_record() -> impl Strategy<Value = logs::LogRecord> {
    let head = (any::<u64>(), any::<u64>(), 0i32..=24, text(8), any_value(), attributes());
    let tail = (0u32..3, any::<u8>(), any::<Option<[u8; 16]>>(), any::<Option<[u8; 8]>>(), text(12));
    (head, tail).prop_map(|(head, tail)| logs::LogRecord {
        time_unix_nano: head.0,
        observed_time_unix_nano: head.1,
        severity_number: head.2,
        severity_text: head.3,
        body: head.4.value.map(|value| AnyValue { value: Some(value) }),
        attributes: head.5,
        dropped_attributes_count: tail.0,
        flags: u32::from(tail.1),
        trace_id: tail.2.map(|id| id.to_vec()).unwrap_or_default(),
        span_id: tail.3.map(|id| id.to_vec()).unwrap_or_default(),
        event_name: tail.4,
    })
}

pub(crate) fn write_log_record(items: &mut Items<Logs>, record: &logs::LogRecord, constant: usize) {
    let (constant, attributes) = split(&record.attributes, constant);
    items.log_record(
        &LogRecord {
            time_unix_nano: record.time_unix_nano,
            observed_time_unix_nano: record.observed_time_unix_nano,
            severity: Severity::new(record.severity_number as u8),
            severity_text: &record.severity_text,
            body: record.body.as_ref().map_or(Value::Empty, value_of),
            constant: &constant,
            dropped_attributes: record.dropped_attributes_count,
            trace_flags: record.flags as u8,
            trace_id: record.trace_id.as_slice().try_into().ok(),
            span_id: record.span_id.as_slice().try_into().ok(),
            event_name: &record.event_name,
        },
        attributes.iter().copied(),
    );
}

// ---- metrics

fn exemplar() -> impl Strategy<Value = metrics::Exemplar> {
    let value = prop_oneof![any::<f64>().prop_map(exemplar::Value::AsDouble), any::<i64>().prop_map(exemplar::Value::AsInt),];
    (any::<u64>(), value, any::<[u8; 8]>(), any::<[u8; 16]>(), attributes()).prop_map(
        |(time_unix_nano, value, span_id, trace_id, filtered_attributes)| metrics::Exemplar {
            time_unix_nano,
            value: Some(value),
            span_id: span_id.to_vec(),
            trace_id: trace_id.to_vec(),
            filtered_attributes,
        },
    )
}

fn exemplars() -> impl Strategy<Value = Vec<metrics::Exemplar>> {
    prop::collection::vec(exemplar(), 0..3)
}

fn number_point() -> impl Strategy<Value = metrics::NumberDataPoint> {
    let value = prop_oneof![
        Just(None),
        any::<f64>().prop_map(|value| Some(number_data_point::Value::AsDouble(value))),
        any::<i64>().prop_map(|value| Some(number_data_point::Value::AsInt(value))),
    ];
    (attributes(), any::<u64>(), any::<u64>(), value, exemplars()).prop_map(|(attributes, start, time, value, exemplars)| {
        metrics::NumberDataPoint {
            attributes,
            start_time_unix_nano: start,
            time_unix_nano: time,
            flags: u32::from(value.is_none()),
            value,
            exemplars,
        }
    })
}

fn histogram_point() -> impl Strategy<Value = metrics::HistogramDataPoint> {
    let counts = prop::collection::vec(any::<u64>(), 0..20);
    let bounds = prop::collection::vec(any::<f64>(), 0..20);
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<[Option<f64>; 3]>());
    (attributes(), numbers, counts, bounds, exemplars()).prop_map(|(attributes, numbers, bucket_counts, explicit_bounds, exemplars)| {
        metrics::HistogramDataPoint {
            attributes,
            start_time_unix_nano: numbers.0,
            time_unix_nano: numbers.1,
            count: numbers.2,
            sum: numbers.3[0],
            bucket_counts,
            explicit_bounds,
            exemplars,
            flags: 0,
            min: numbers.3[1],
            max: numbers.3[2],
        }
    })
}

fn buckets() -> impl Strategy<Value = Option<exponential_histogram_data_point::Buckets>> {
    let some = (any::<i32>(), prop::collection::vec(any::<u64>(), 0..20))
        .prop_map(|(offset, bucket_counts)| exponential_histogram_data_point::Buckets { offset, bucket_counts });
    prop::option::of(some)
}

fn exponential_point() -> impl Strategy<Value = metrics::ExponentialHistogramDataPoint> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<[Option<f64>; 3]>());
    let scale = (any::<i32>(), any::<u64>(), prop_oneof![Just(0.0), any::<f64>()]);
    (attributes(), numbers, scale, buckets(), buckets(), exemplars()).prop_map(
        |(attributes, numbers, scale, positive, negative, exemplars)| metrics::ExponentialHistogramDataPoint {
            attributes,
            start_time_unix_nano: numbers.0,
            time_unix_nano: numbers.1,
            count: numbers.2,
            sum: numbers.3[0],
            scale: scale.0,
            zero_count: scale.1,
            zero_threshold: scale.2,
            positive,
            negative,
            flags: 0,
            exemplars,
            min: numbers.3[1],
            max: numbers.3[2],
        },
    )
}

fn ended_histogram() -> impl Strategy<Value = metrics::HistogramDataPoint> {
    (attributes(), any::<u64>(), any::<u64>()).prop_map(|(attributes, start, time)| metrics::HistogramDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: time,
        flags: 1,
        ..Default::default()
    })
}

fn ended_exponential() -> impl Strategy<Value = metrics::ExponentialHistogramDataPoint> {
    (attributes(), any::<u64>(), any::<u64>()).prop_map(|(attributes, start, time)| metrics::ExponentialHistogramDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: time,
        flags: 1,
        ..Default::default()
    })
}

fn data() -> impl Strategy<Value = metric::Data> {
    let numbers = || prop::collection::vec(number_point(), 1..4);
    let histograms = prop::collection::vec(prop_oneof![3 => histogram_point(), 1 => ended_histogram()], 1..4);
    let exponentials = prop::collection::vec(prop_oneof![3 => exponential_point(), 1 => ended_exponential()], 1..4);
    prop_oneof![
        numbers().prop_map(|data_points| metric::Data::Gauge(metrics::Gauge { data_points })),
        (numbers(), 1i32..=2, any::<bool>()).prop_map(|(data_points, aggregation_temporality, is_monotonic)| {
            metric::Data::Sum(metrics::Sum { data_points, aggregation_temporality, is_monotonic })
        }),
        (histograms, 1i32..=2).prop_map(|(data_points, aggregation_temporality)| {
            metric::Data::Histogram(metrics::Histogram { data_points, aggregation_temporality })
        }),
        (exponentials, 1i32..=2).prop_map(|(data_points, aggregation_temporality)| {
            metric::Data::ExponentialHistogram(metrics::ExponentialHistogram { data_points, aggregation_temporality })
        }),
    ]
}

pub(crate) fn metric() -> impl Strategy<Value = metrics::Metric> {
    (text(20), text(60), text(5), data()).prop_map(|(name, description, unit, data)| metrics::Metric {
        name,
        description,
        unit,
        data: Some(data),
        ..Default::default()
    })
}

pub(crate) fn points_of(metric: &metrics::Metric) -> u64 {
    let points = match metric.data.as_ref().expect("always set here") {
        metric::Data::Gauge(gauge) => gauge.data_points.len(),
        metric::Data::Sum(sum) => sum.data_points.len(),
        metric::Data::Histogram(histogram) => histogram.data_points.len(),
        metric::Data::ExponentialHistogram(histogram) => histogram.data_points.len(),
        metric::Data::Summary(_) => panic!("never made"),
    };
    points as u64
}

pub(crate) fn integers_of(metric: &metrics::Metric) -> Vec<i64> {
    let Some(metric::Data::Sum(sum)) = &metric.data else { panic!("not a sum") };
    let integer = |point: &metrics::NumberDataPoint| match point.value {
        Some(number_data_point::Value::AsInt(value)) => value,
        other => panic!("not an integer: {other:?}"),
    };
    sum.data_points.iter().map(integer).collect()
}

fn temporality_of(number: i32) -> Temporality {
    if number == 1 { Temporality::Delta } else { Temporality::Cumulative }
}

fn exemplar_of(exemplar: &metrics::Exemplar) -> Exemplar<'static> {
    Exemplar {
        time_unix_nano: exemplar.time_unix_nano,
        value: match exemplar.value.expect("always set here") {
            exemplar::Value::AsDouble(value) => Number::F64(value),
            exemplar::Value::AsInt(value) => Number::I64(value),
        },
        span_id: exemplar.span_id.as_slice().try_into().unwrap(),
        trace_id: exemplar.trace_id.as_slice().try_into().unwrap(),
        filtered_attributes: attributes_of(&exemplar.filtered_attributes),
    }
}

fn exemplars_of(exemplars: &[metrics::Exemplar]) -> Vec<Exemplar<'static>> {
    exemplars.iter().map(exemplar_of).collect()
}

fn encoded<const FIELD: u32>(pairs: &[KeyValue]) -> Encoded<FIELD> {
    Encoded::new(attributes_of(pairs).iter().copied())
}

fn push_number(points: &mut remora_otlp::Points<'_, remora_otlp::Numbers>, point: &metrics::NumberDataPoint) {
    points.push(&NumberPoint {
        interval: Interval { start_unix_nano: point.start_time_unix_nano, time_unix_nano: point.time_unix_nano },
        value: point.value.map(|value| match value {
            number_data_point::Value::AsDouble(value) => Number::F64(value),
            number_data_point::Value::AsInt(value) => Number::I64(value),
        }),
        exemplars: &exemplars_of(&point.exemplars),
        attributes: &encoded(&point.attributes),
    });
}

fn push_histogram(points: &mut remora_otlp::Points<'_, remora_otlp::Histograms>, point: &metrics::HistogramDataPoint) {
    let interval = Interval { start_unix_nano: point.start_time_unix_nano, time_unix_nano: point.time_unix_nano };
    if point.flags == 1 {
        return points.ended(interval, &encoded(&point.attributes));
    }
    points.push(&HistogramPoint {
        interval,
        count: point.count,
        sum: point.sum,
        bucket_counts: &point.bucket_counts,
        explicit_bounds: &point.explicit_bounds,
        exemplars: &exemplars_of(&point.exemplars),
        attributes: &encoded(&point.attributes),
        min: point.min,
        max: point.max,
    });
}

fn buckets_of(buckets: Option<&exponential_histogram_data_point::Buckets>) -> Option<Buckets<'_>> {
    buckets.map(|buckets| Buckets { offset: buckets.offset, counts: &buckets.bucket_counts })
}

fn push_exponential(
    points: &mut remora_otlp::Points<'_, remora_otlp::ExponentialHistograms>,
    point: &metrics::ExponentialHistogramDataPoint,
) {
    let interval = Interval { start_unix_nano: point.start_time_unix_nano, time_unix_nano: point.time_unix_nano };
    if point.flags == 1 {
        return points.ended(interval, &encoded(&point.attributes));
    }
    points.push(&ExponentialHistogramPoint {
        interval,
        count: point.count,
        sum: point.sum,
        scale: point.scale,
        zero_count: point.zero_count,
        zero_threshold: point.zero_threshold,
        positive: buckets_of(point.positive.as_ref()),
        negative: buckets_of(point.negative.as_ref()),
        exemplars: &exemplars_of(&point.exemplars),
        attributes: &encoded(&point.attributes),
        min: point.min,
        max: point.max,
    });
}

pub(crate) fn write_metric(items: &mut Items<Metrics>, metric: &metrics::Metric) {
    let name = MetricName { name: &metric.name, description: &metric.description, unit: &metric.unit };
    match metric.data.as_ref().expect("always set here") {
        metric::Data::Gauge(gauge) => {
            items.gauge(name, |points| gauge.data_points.iter().for_each(|point| push_number(points, point)));
        }
        metric::Data::Sum(sum) => {
            let kind = if sum.is_monotonic { SumKind::Monotonic } else { SumKind::NonMonotonic };
            items.sum(name, temporality_of(sum.aggregation_temporality), kind, |points| {
                sum.data_points.iter().for_each(|point| push_number(points, point));
            });
        }
        metric::Data::Histogram(histogram) => {
            items.histogram(name, temporality_of(histogram.aggregation_temporality), |points| {
                histogram.data_points.iter().for_each(|point| push_histogram(points, point));
            });
        }
        metric::Data::ExponentialHistogram(histogram) => {
            items.exponential_histogram(name, temporality_of(histogram.aggregation_temporality), |points| {
                histogram.data_points.iter().for_each(|point| push_exponential(points, point));
            });
        }
        metric::Data::Summary(_) => panic!("never made"),
    }
}
