//! Points of the aggregates, encoded into one sheet per entity and packed into requests at each interval.

use super::clock::Reading;
use super::spans::Sheets;
use crate::aggregate::histogram::{Buckets as ModelBuckets, Histogram};
use crate::aggregate::instruments::{Instrument, Shape};
use crate::aggregate::series::{Attributes, Scalar};
use crate::aggregate::{Data, Exemplar as ModelExemplar, Point, Temporality, Visitor};
use crate::entity::table::{Entity, EntityId};
use remora_otlp::{
    Attribute, Buckets, Encoded, EncodedBatch, Exemplar, ExponentialHistogramPoint, HistogramPoint, Interval, Items, MetricName, Metrics,
    Number, NumberPoint, SumKind, Temporality as OtlpTemporality, Value, field,
};
use std::sync::Arc;

/// Encodes the points of one collection.
pub(super) struct Collection<'a, F> {
    sheets: &'a mut Sheets<Metrics>,
    entity: F,
    clock: Reading,
    temporality: Temporality,
    /// Points of one entity and instrument: the registry gives them one behind the other.
    open: Option<(EntityId, &'static Instrument)>,
    numbers: Vec<OwnedNumber>,
    histograms: Vec<OwnedHistogram>,
}

struct OwnedNumber {
    interval: Interval,
    value: Option<i64>,
    attributes: Encoded<{ field::NUMBER_POINT }>,
}

struct OwnedHistogram {
    interval: Interval,
    value: Option<Histogram>,
    exemplar: Option<(u64, ModelExemplar)>,
    explicit: Encoded<{ field::HISTOGRAM_POINT }>,
    exponential: Encoded<{ field::EXPONENTIAL_POINT }>,
}

impl<'a, F: FnMut(EntityId) -> Arc<Entity>> Collection<'a, F> {
    /// A collection into `sheets`; `entity` tells whose number is whose.
    pub(super) fn new(sheets: &'a mut Sheets<Metrics>, entity: F, clock: Reading, temporality: Temporality) -> Self {
        Self { sheets, entity, clock, temporality, open: None, numbers: Vec::new(), histograms: Vec::new() }
    }

    /// Closes what is open and packs everything.
    pub(super) fn finish(mut self) -> Vec<EncodedBatch> {
        self.close();
        self.sheets.pack()
    }

    fn close(&mut self) {
        let Some((id, instrument)) = self.open.take() else { return };
        let entity = (self.entity)(id);
        let items = &mut self.sheets.of(&entity).items;
        let name = MetricName { name: instrument.name, description: instrument.description, unit: instrument.unit };
        let temporality = match self.temporality.of(instrument) {
            Temporality::Cumulative => OtlpTemporality::Cumulative,
            Temporality::Delta => OtlpTemporality::Delta,
        };
        match instrument.shape {
            Shape::Gauge => items.gauge(name, |points| self.numbers.drain(..).for_each(|number| number.push(points))),
            Shape::Counter => {
                items.sum(name, temporality, SumKind::Monotonic, |points| self.numbers.drain(..).for_each(|number| number.push(points)));
            }
            Shape::UpDownCounter => {
                items.sum(name, temporality, SumKind::NonMonotonic, |points| self.numbers.drain(..).for_each(|number| number.push(points)));
            }
            Shape::Histogram(_) => write_histograms(items, name, temporality, std::mem::take(&mut self.histograms)),
        }
    }
}

impl OwnedNumber {
    fn push(self, points: &mut remora_otlp::Points<'_, remora_otlp::Numbers>) {
        let value = self.value.map(Number::I64);
        points.push(&NumberPoint { interval: self.interval, value, exemplars: &[], attributes: &self.attributes });
    }
}

/// Writes points of either division; a series without a value is written in the division of its neighbours.
fn write_histograms(items: &mut Items<Metrics>, name: MetricName<'_>, temporality: OtlpTemporality, all: Vec<OwnedHistogram>) {
    let is_exponential = |point: &OwnedHistogram| matches!(point.value, Some(Histogram { buckets: ModelBuckets::Exponential(_), .. }));
    if all.iter().any(is_exponential) {
        items.exponential_histogram(name, temporality, |points| {
            for point in &all {
                let exemplar = point.exemplar();
                match &point.value {
                    None => points.ended(point.interval, &point.exponential),
                    Some(Histogram { count, sum, min, max, buckets: ModelBuckets::Exponential(buckets) }) => {
                        points.push(&ExponentialHistogramPoint {
                            interval: point.interval,
                            count: *count,
                            sum: Some(*sum),
                            scale: buckets.scale,
                            zero_count: buckets.zero_count,
                            zero_threshold: 0.0,
                            positive: Some(Buckets { offset: buckets.offset, counts: &buckets.counts }),
                            negative: None,
                            exemplars: exemplar.as_slice(),
                            attributes: &point.exponential,
                            min: Some(*min),
                            max: Some(*max),
                        });
                    }
                    Some(_) => {}
                }
            }
        });
        return;
    }
    items.histogram(name, temporality, |points| {
        for point in &all {
            let exemplar = point.exemplar();
            match &point.value {
                None => points.ended(point.interval, &point.explicit),
                Some(Histogram { count, sum, min, max, buckets: ModelBuckets::Explicit { bounds, counts } }) => {
                    points.push(&HistogramPoint {
                        interval: point.interval,
                        count: *count,
                        sum: Some(*sum),
                        bucket_counts: counts,
                        explicit_bounds: bounds,
                        exemplars: exemplar.as_slice(),
                        attributes: &point.explicit,
                        min: Some(*min),
                        max: Some(*max),
                    })
                }
                Some(_) => {}
            }
        }
    });
}

impl OwnedHistogram {
    fn exemplar(&self) -> Option<Exemplar<'static>> {
        self.exemplar.as_ref().map(|(time_unix_nano, exemplar)| Exemplar {
            time_unix_nano: *time_unix_nano,
            value: Number::F64(exemplar.value),
            span_id: *exemplar.span.bytes(),
            trace_id: *exemplar.trace.bytes(),
            filtered_attributes: &[],
        })
    }
}

/// Attributes of a series for a field of a point.
fn encode<const FIELD: u32>(attributes: Attributes<'_>) -> Encoded<FIELD> {
    Encoded::new(attributes.iter().map(|(key, value)| Attribute {
        key: key.name(),
        value: match value {
            Scalar::Str(text) => Value::Str(text),
            Scalar::Int(int) => Value::I64(int),
            Scalar::Bool(truth) => Value::Bool(truth),
        },
    }))
}

impl<F: FnMut(EntityId) -> Arc<Entity>> Visitor<EntityId, ()> for Collection<'_, F> {
    fn point(&mut self, entity: EntityId, instrument: &'static Instrument, attributes: Attributes<'_>, (): &mut (), point: &Point<'_>) {
        if self.open.is_none_or(|(id, open)| id != entity || !std::ptr::eq(open, instrument)) {
            self.close();
            self.open = Some((entity, instrument));
        }
        let interval = Interval { start_unix_nano: self.clock.unix(point.start), time_unix_nano: self.clock.unix(point.time) };
        let number = match point.data {
            Data::Sum(value) | Data::Gauge(value) => Some(value),
            Data::Histogram(_) | Data::NoRecordedValue => None,
        };
        if let Shape::Histogram(_) = instrument.shape {
            let value = match point.data {
                Data::Histogram(histogram) => Some(histogram.clone()),
                _ => None,
            };
            let exemplar = point.exemplar.map(|exemplar| (self.clock.unix(exemplar.time), exemplar));
            let (explicit, exponential) = (encode(attributes), encode(attributes));
            self.histograms.push(OwnedHistogram { interval, value, exemplar, explicit, exponential });
        } else {
            self.numbers.push(OwnedNumber { interval, value: number, attributes: encode(attributes) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Aggregate;
    use crate::aggregate::series::Settings;
    use crate::entity::host::{Host, Uname};
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::metric::Data as MetricData;
    use prost::Message;
    use remora_core::model::{Exchange, Family, Kind, Mono, semconv};

    #[test]
    fn counted_exchanges_come_out_as_one_histogram_of_their_entity() {
        let host = Host::read(std::path::Path::new("/nowhere"), &Uname::of_this_machine());
        let entity = super::super::identity::nobody(&host);
        let mut aggregate: Aggregate<EntityId> = Aggregate::new(Settings::default(), Mono(0));
        for _ in 0..3 {
            let mut exchange =
                Exchange { family: Family::Http, kind: Kind::Server, role: Some(remora_core::model::Role::Server), ..Exchange::default() };
            exchange.attrs.set_str(semconv::HTTP_REQUEST_METHOD, "GET");
            exchange.attrs.set_str(semconv::URL_SCHEME, "http");
            exchange.attrs.set_int(semconv::HTTP_RESPONSE_STATUS_CODE, 200);
            aggregate.exchange(entity.id, &exchange, None);
        }
        let mut sheets = Sheets::new();
        let clock = Reading { mono: Mono(0), unix_nanos: 1_000 };
        let mut collection = Collection::new(&mut sheets, |_| Arc::clone(&entity), clock, Temporality::Cumulative);
        aggregate.collect(Mono(5), &mut collection);
        let batches = collection.finish();
        let request = ExportMetricsServiceRequest::decode(batches[0].payload.clone()).unwrap();
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        let duration = metrics.iter().find(|metric| metric.name == "http.server.request.duration").unwrap();
        let Some(MetricData::Histogram(histogram)) = &duration.data else { panic!("no histogram") };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, duration.unit.as_str(), histogram.aggregation_temporality), (3, "s", 2));
        assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1_000, 1_005));
    }
}
