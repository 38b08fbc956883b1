//! Metric points as OTLP bytes. Source: `opentelemetry/proto/metrics/v1/metrics.proto`.
//!
//! A metric is opened with its name and shape, takes the points of that shape, and is closed when
//! the closure returns; a metric without points leaves no trace. A metric that grows large is
//! continued as a second one of the same name, so that no request has to carry it whole.
//! It must never aggregate: values, buckets and start times are the caller's.

use std::marker::PhantomData;

use crate::items::Items;
use crate::resource::RECORD;
use crate::signal::Metrics;
use crate::value::{Attribute, Encoded, field, write_attributes};
use crate::wire::{self, Field, Opened};

/// Encoded size at which a metric is continued as another of the same name.
const SPLIT_METRIC_BYTES: usize = 512 * 1024;
const TYPICAL_METRIC: usize = 1024;
const TYPICAL_POINT: usize = 200;
const TYPICAL_EXEMPLAR: usize = 60;
/// `DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK`.
const NO_RECORDED_VALUE: u64 = 1;

/// Name, description and unit of a metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricName<'a> {
    /// Name.
    pub name: &'a str,
    /// What it measures.
    pub description: &'a str,
    /// Unit, in UCUM.
    pub unit: &'a str,
}

/// What a sum or a histogram covers (`AggregationTemporality`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Temporality {
    /// Since the last export.
    Delta = 1,
    /// Since the start time of the series.
    Cumulative = 2,
}

/// How a sum behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SumKind {
    /// Only grows: a counter.
    Monotonic,
    /// Grows and shrinks: an up-down counter.
    NonMonotonic,
}

/// Times of a point, in nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval {
    /// When the series (cumulative) or the interval (delta) began; 0 for a gauge.
    pub start_unix_nano: u64,
    /// When the value was taken.
    pub time_unix_nano: u64,
}

/// An integer or a floating-point measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Integer.
    I64(i64),
    /// Double.
    F64(f64),
}

impl Number {
    fn write(self, out: &mut Vec<u8>, double: Field, integer: Field) {
        match self {
            Number::F64(value) => wire::fixed64_field(out, double, value.to_bits()),
            Number::I64(value) => wire::fixed64_field(out, integer, value as u64),
        }
    }
}

/// One measurement behind a point, with the span during which it was taken.
#[derive(Clone, Copy, Debug)]
pub struct Exemplar<'a> {
    /// When, in nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// The measured value.
    pub value: Number,
    /// Span of the measurement.
    pub span_id: [u8; 8],
    /// Trace of the measurement.
    pub trace_id: [u8; 16],
    /// Attributes that the point has left out.
    pub filtered_attributes: &'a [Attribute<'a>],
}

impl Exemplar<'_> {
    fn write(&self, out: &mut Vec<u8>, field: Field) {
        wire::message(out, field, TYPICAL_EXEMPLAR, |out| {
            wire::nonzero_fixed64(out, 2, self.time_unix_nano);
            self.value.write(out, 3, 6);
            wire::bytes_field(out, 4, &self.span_id);
            wire::bytes_field(out, 5, &self.trace_id);
            write_attributes(out, field::EXEMPLAR, self.filtered_attributes.iter().copied());
        });
    }
}

/// A point of a gauge or a sum (`NumberDataPoint`).
#[derive(Clone, Copy, Debug)]
pub struct NumberPoint<'a> {
    /// Its times.
    pub interval: Interval,
    /// Its value; `None` says that the series has ended (`NO_RECORDED_VALUE`).
    pub value: Option<Number>,
    /// Measurements behind it.
    pub exemplars: &'a [Exemplar<'a>],
    /// The series.
    pub attributes: &'a Encoded<{ field::NUMBER_POINT }>,
}

/// A point of a histogram with explicit bounds (`HistogramDataPoint`).
#[derive(Clone, Copy, Debug)]
pub struct HistogramPoint<'a> {
    /// Its times.
    pub interval: Interval,
    /// Number of measurements: the sum of `bucket_counts`.
    pub count: u64,
    /// Sum of the measurements, where all are non-negative.
    pub sum: Option<f64>,
    /// Measurements in each bucket: one more than bounds, or none at all.
    pub bucket_counts: &'a [u64],
    /// Upper bounds of the buckets, ascending; the last bucket has none.
    pub explicit_bounds: &'a [f64],
    /// Measurements behind it.
    pub exemplars: &'a [Exemplar<'a>],
    /// The series.
    pub attributes: &'a Encoded<{ field::HISTOGRAM_POINT }>,
    /// Smallest measurement of the interval.
    pub min: Option<f64>,
    /// Largest measurement of the interval.
    pub max: Option<f64>,
}

/// Buckets of one sign of an exponential histogram.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buckets<'a> {
    /// Index of the first bucket.
    pub offset: i32,
    /// Measurements in each bucket from `offset` on.
    pub counts: &'a [u64],
}

impl Buckets<'_> {
    fn write(self, out: &mut Vec<u8>, field: Field) {
        wire::message(out, field, self.counts.len(), |out| {
            wire::nonzero_sint32(out, 1, self.offset);
            wire::packed_varint(out, 2, self.counts);
        });
    }
}

/// A point of an exponential histogram (`ExponentialHistogramDataPoint`).
#[derive(Clone, Copy, Debug)]
pub struct ExponentialHistogramPoint<'a> {
    /// Its times.
    pub interval: Interval,
    /// Number of measurements: all buckets and `zero_count`.
    pub count: u64,
    /// Sum of the measurements, where all are non-negative.
    pub sum: Option<f64>,
    /// Resolution: bucket bounds are powers of 2^(2^-scale).
    pub scale: i32,
    /// Measurements whose magnitude is at most `zero_threshold`.
    pub zero_count: u64,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Buckets of positive measurements.
    pub positive: Option<Buckets<'a>>,
    /// Buckets of negative measurements.
    pub negative: Option<Buckets<'a>>,
    /// Measurements behind it.
    pub exemplars: &'a [Exemplar<'a>],
    /// The series.
    pub attributes: &'a Encoded<{ field::EXPONENTIAL_POINT }>,
    /// Smallest measurement of the interval.
    pub min: Option<f64>,
    /// Largest measurement of the interval.
    pub max: Option<f64>,
}

impl Interval {
    fn write(self, out: &mut Vec<u8>) {
        wire::nonzero_fixed64(out, 2, self.start_unix_nano);
        wire::nonzero_fixed64(out, 3, self.time_unix_nano);
    }
}

fn write_exemplars(out: &mut Vec<u8>, field: Field, exemplars: &[Exemplar<'_>]) {
    exemplars.iter().for_each(|exemplar| exemplar.write(out, field));
}

/// Marker of the points of gauges and sums.
#[derive(Debug)]
pub enum Numbers {}
/// Marker of the points of histograms with explicit bounds.
#[derive(Debug)]
pub enum Histograms {}
/// Marker of the points of exponential histograms.
#[derive(Debug)]
pub enum ExponentialHistograms {}

/// Field of the data in `Metric`, and what follows the points inside it.
#[derive(Clone, Copy)]
struct Shape {
    field: Field,
    temporality: Option<Temporality>,
    monotonic: bool,
}

impl Shape {
    /// Appends what stands behind the points.
    fn write_end(self, out: &mut Vec<u8>) {
        wire::nonzero_varint(out, 2, self.temporality.map_or(0, |temporality| temporality as u64));
        wire::nonzero_varint(out, 3, u64::from(self.monotonic));
    }
}

/// An open metric that takes points of shape `P`.
pub struct Points<'a, P> {
    items: &'a mut Items<Metrics>,
    metric: MetricName<'a>,
    shape: Shape,
    opened: OpenMetric,
    count: u32,
    points: PhantomData<P>,
}

/// A metric that is being written: where it begins and what has to be closed.
#[derive(Clone, Copy)]
struct OpenMetric {
    start: usize,
    metric: Opened,
    data: Opened,
}

fn open_metric(out: &mut Vec<u8>, name: &MetricName<'_>, shape: Shape) -> OpenMetric {
    let start = out.len();
    let metric = wire::open(out, RECORD, TYPICAL_METRIC);
    wire::nonempty_bytes(out, 1, name.name.as_bytes());
    wire::nonempty_bytes(out, 2, name.description.as_bytes());
    wire::nonempty_bytes(out, 3, name.unit.as_bytes());
    let data = wire::open(out, shape.field, TYPICAL_METRIC);
    OpenMetric { start, metric, data }
}

impl<'a, P> Points<'a, P> {
    fn open(items: &'a mut Items<Metrics>, metric: MetricName<'a>, shape: Shape) -> Self {
        let opened = open_metric(items.bytes_mut(), &metric, shape);
        Self { items, metric, shape, opened, count: 0, points: PhantomData }
    }

    fn point(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.items.encoded_len() - self.opened.start >= SPLIT_METRIC_BYTES {
            self.close();
            self.opened = open_metric(self.items.bytes_mut(), &self.metric, self.shape);
        }
        wire::message(self.items.bytes_mut(), 1, TYPICAL_POINT, write);
        self.count += 1;
    }

    fn close(&mut self) {
        let out = self.items.bytes_mut();
        if self.count == 0 {
            out.truncate(self.opened.start);
            return;
        }
        self.shape.write_end(out);
        wire::close(out, self.opened.data);
        wire::close(out, self.opened.metric);
        self.items.end_record(std::mem::take(&mut self.count));
    }
}

impl Points<'_, Numbers> {
    /// Adds a point.
    pub fn push(&mut self, point: &NumberPoint<'_>) {
        self.point(|out| {
            point.interval.write(out);
            if let Some(value) = point.value {
                value.write(out, 4, 6);
            }
            write_exemplars(out, 5, point.exemplars);
            out.extend_from_slice(point.attributes.bytes());
            wire::nonzero_varint(out, 8, if point.value.is_none() { NO_RECORDED_VALUE } else { 0 });
        });
    }
}

impl Points<'_, Histograms> {
    /// Adds a point.
    pub fn push(&mut self, point: &HistogramPoint<'_>) {
        self.point(|out| {
            point.interval.write(out);
            wire::nonzero_fixed64(out, 4, point.count);
            wire::optional_double(out, 5, point.sum);
            wire::packed_fixed64(out, 6, point.bucket_counts.iter().copied());
            wire::packed_fixed64(out, 7, point.explicit_bounds.iter().map(|bound| bound.to_bits()));
            write_exemplars(out, 8, point.exemplars);
            out.extend_from_slice(point.attributes.bytes());
            wire::optional_double(out, 11, point.min);
            wire::optional_double(out, 12, point.max);
        });
    }

    /// Says that the series has ended (`NO_RECORDED_VALUE`).
    pub fn ended(&mut self, interval: Interval, attributes: &Encoded<{ field::HISTOGRAM_POINT }>) {
        self.point(|out| {
            interval.write(out);
            out.extend_from_slice(attributes.bytes());
            wire::varint_field(out, 10, NO_RECORDED_VALUE);
        });
    }
}

impl Points<'_, ExponentialHistograms> {
    /// Adds a point.
    pub fn push(&mut self, point: &ExponentialHistogramPoint<'_>) {
        self.point(|out| {
            out.extend_from_slice(point.attributes.bytes());
            point.interval.write(out);
            wire::nonzero_fixed64(out, 4, point.count);
            wire::optional_double(out, 5, point.sum);
            wire::nonzero_sint32(out, 6, point.scale);
            wire::nonzero_fixed64(out, 7, point.zero_count);
            if let Some(buckets) = point.positive {
                buckets.write(out, 8);
            }
            if let Some(buckets) = point.negative {
                buckets.write(out, 9);
            }
            write_exemplars(out, 11, point.exemplars);
            wire::optional_double(out, 12, point.min);
            wire::optional_double(out, 13, point.max);
            wire::optional_double(out, 14, Some(point.zero_threshold).filter(|&width| width != 0.0));
        });
    }

    /// Says that the series has ended (`NO_RECORDED_VALUE`).
    pub fn ended(&mut self, interval: Interval, attributes: &Encoded<{ field::EXPONENTIAL_POINT }>) {
        self.point(|out| {
            out.extend_from_slice(attributes.bytes());
            interval.write(out);
            wire::varint_field(out, 10, NO_RECORDED_VALUE);
        });
    }
}

impl Items<Metrics> {
    /// Adds a gauge with the points that `points` pushes.
    pub fn gauge(&mut self, metric: MetricName<'_>, points: impl FnOnce(&mut Points<'_, Numbers>)) {
        self.metric(metric, Shape { field: 5, temporality: None, monotonic: false }, points);
    }

    /// Adds a counter or an up-down counter with the points that `points` pushes.
    pub fn sum(&mut self, metric: MetricName<'_>, temporality: Temporality, kind: SumKind, points: impl FnOnce(&mut Points<'_, Numbers>)) {
        let shape = Shape { field: 7, temporality: Some(temporality), monotonic: kind == SumKind::Monotonic };
        self.metric(metric, shape, points);
    }

    /// Adds a histogram with explicit bounds with the points that `points` pushes.
    pub fn histogram(&mut self, metric: MetricName<'_>, temporality: Temporality, points: impl FnOnce(&mut Points<'_, Histograms>)) {
        self.metric(metric, Shape { field: 9, temporality: Some(temporality), monotonic: false }, points);
    }

    /// Adds an exponential histogram with the points that `points` pushes.
    pub fn exponential_histogram(
        &mut self,
        metric: MetricName<'_>,
        temporality: Temporality,
        points: impl FnOnce(&mut Points<'_, ExponentialHistograms>),
    ) {
        self.metric(metric, Shape { field: 10, temporality: Some(temporality), monotonic: false }, points);
    }

    fn metric<P>(&mut self, metric: MetricName<'_>, shape: Shape, points: impl FnOnce(&mut Points<'_, P>)) {
        let mut open = Points::open(self, metric, shape);
        points(&mut open);
        open.close();
    }
}
