//! Hands what the SDK's reader collects to the agent's own OTLP client, like all other telemetry.
//!
//! Knows sums and gauges, which is all that `instruments` registers; another shape is reported as an
//! error to the SDK, never sent half.

use super::instruments::{self, Observed};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics, ScopeMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use remora_core::model::nanos;
use remora_otlp::{
    Attribute, DEFAULT_REQUEST_BYTES, Encoded, EncodedBatch, Envelope, Interval, Items, MetricName, Metrics, Number, NumberPoint, Packer,
    Scope, SumKind, Value,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Takes encoded requests: `Exporter::submit` of the OTLP client, which counts what it refuses.
pub type Submit = Arc<dyn Fn(EncodedBatch) + Send + Sync>;

/// A provider whose instruments are read every `interval` and submitted.
#[must_use]
pub fn provider(resource: Vec<KeyValue>, interval: Duration, submit: Submit) -> SdkMeterProvider {
    let reader = PeriodicReader::builder(OtlpMetrics { submit }).with_interval(interval).build();
    let resource = Resource::builder_empty().with_attributes(resource).build();
    SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build()
}

/// The agent's own metrics, read and submitted until this is dropped.
pub struct OwnMetrics(SdkMeterProvider);

impl OwnMetrics {
    /// Starts them, with the agent's own Resource.
    #[must_use]
    pub fn start(resource: &[(&'static str, &str)], interval: Duration, submit: Submit, observed: &Observed) -> Self {
        let resource = resource.iter().map(|(key, value)| KeyValue::new(*key, (*value).to_owned())).collect();
        let provider = provider(resource, interval, submit);
        instruments::register(&provider.meter(instruments::SCOPE), observed);
        Self(provider)
    }
}

impl Drop for OwnMetrics {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::debug!(%error, "own metrics");
        }
    }
}

/// The exporter of the SDK's reader.
struct OtlpMetrics {
    submit: Submit,
}

impl PushMetricExporter for OtlpMetrics {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        encode(metrics)?.into_iter().for_each(|batch| (self.submit)(batch));
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

fn encode(metrics: &ResourceMetrics) -> Result<Vec<EncodedBatch>, OTelSdkError> {
    let attributes = metrics.resource().iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone()));
    let resource = remora_otlp::Resource { attributes: encoded(&attributes.collect::<Vec<_>>()), ..Default::default() };
    let mut packer = Packer::<Metrics>::new(DEFAULT_REQUEST_BYTES);
    for scope in metrics.scope_metrics() {
        let mut items = Items::new();
        scope.metrics().try_for_each(|metric| write(metric, &mut items))?;
        packer.add(&Envelope::new(&resource, &scope_of(scope)), &items);
    }
    Ok(packer.finish())
}

fn scope_of(metrics: &ScopeMetrics) -> Scope {
    let scope = metrics.scope();
    Scope { name: scope.name().to_owned(), version: scope.version().unwrap_or_default().to_owned(), ..Scope::default() }
}

fn write(metric: &Metric, items: &mut Items<Metrics>) -> OTelSdkResult {
    match metric.data() {
        AggregatedMetrics::U64(data) => write_data(metric, data, items, |value| Number::I64(i64::try_from(value).unwrap_or(i64::MAX))),
        AggregatedMetrics::I64(data) => write_data(metric, data, items, Number::I64),
        AggregatedMetrics::F64(data) => write_data(metric, data, items, Number::F64),
    }
}

fn write_data<T: Copy>(metric: &Metric, data: &MetricData<T>, items: &mut Items<Metrics>, number: impl Fn(T) -> Number) -> OTelSdkResult {
    let name = MetricName { name: metric.name(), description: metric.description(), unit: metric.unit() };
    match data {
        MetricData::Gauge(gauge) => items.gauge(name, |points| {
            let interval = Interval { start_unix_nano: 0, time_unix_nano: nanoseconds(gauge.time()) };
            for point in gauge.data_points() {
                points.push(&number_point(interval, number(point.value()), &attributes(point.attributes())));
            }
        }),
        MetricData::Sum(sum) => {
            let kind = if sum.is_monotonic() { SumKind::Monotonic } else { SumKind::NonMonotonic };
            items.sum(name, remora_otlp::Temporality::Cumulative, kind, |points| {
                let interval = Interval { start_unix_nano: nanoseconds(sum.start_time()), time_unix_nano: nanoseconds(sum.time()) };
                for point in sum.data_points() {
                    points.push(&number_point(interval, number(point.value()), &attributes(point.attributes())));
                }
            });
        }
        _ => return Err(OTelSdkError::InternalFailure(format!("{} is neither a sum nor a gauge", metric.name()))),
    }
    Ok(())
}

fn number_point(interval: Interval, value: Number, attributes: &Encoded<{ remora_otlp::field::NUMBER_POINT }>) -> NumberPoint<'_> {
    NumberPoint { interval, value: Some(value), exemplars: &[], attributes }
}

fn attributes<'a, const FIELD: u32>(attributes: impl Iterator<Item = &'a KeyValue>) -> Encoded<FIELD> {
    encoded(&attributes.cloned().collect::<Vec<_>>())
}

fn encoded<const FIELD: u32>(attributes: &[KeyValue]) -> Encoded<FIELD> {
    let mut encoded = Encoded::default();
    for attribute in attributes {
        let text = attribute.value.as_str();
        let value = match &attribute.value {
            opentelemetry::Value::Bool(value) => Value::Bool(*value),
            opentelemetry::Value::I64(value) => Value::I64(*value),
            opentelemetry::Value::F64(value) => Value::F64(*value),
            _ => Value::Str(&text),
        };
        encoded.extend([Attribute::new(attribute.key.as_str(), value)]);
    }
    encoded
}

fn nanoseconds(time: SystemTime) -> u64 {
    nanos(time.duration_since(UNIX_EPOCH).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selfobs::instruments::{self, Observed};
    use crate::selfobs::{Counters, Loss};
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point::Value as PointValue};
    use prost::Message;
    use std::sync::Mutex;

    #[test]
    fn own_counters_leave_as_otlp_with_the_resource_of_the_agent() {
        let batches = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&batches);
        let submit: Submit = Arc::new(move |batch| sink.lock().expect("lock").push(batch));
        let provider = provider(vec![KeyValue::new("service.name", "remora")], Duration::from_secs(3600), submit);
        let counters = Arc::new(Counters::new([]));
        let observed = Observed {
            counters: Arc::clone(&counters),
            exports: Arc::new(|_| None),
            proc: "/nowhere".into(),
            protocol: crate::config::Protocol::Grpc,
        };
        instruments::register(&provider.meter(instruments::SCOPE), &observed);
        counters.lost(Loss::RingFull, 7);
        provider.force_flush().expect("flush");
        let batch = batches.lock().expect("lock").pop().expect("a batch");
        let request = ExportMetricsServiceRequest::decode(batch.payload).expect("OTLP");
        let resource = &request.resource_metrics[0];
        let names: Vec<_> = resource.resource.iter().flat_map(|r| &r.attributes).map(|a| a.key.as_str()).collect();
        assert_eq!(names, ["service.name"]);
        assert_eq!(resource.scope_metrics[0].scope.as_ref().map(|scope| scope.name.as_str()), Some(instruments::SCOPE));
        let metrics = &resource.scope_metrics[0].metrics;
        let lost = metrics.iter().find(|metric| metric.name == "remora.lost").expect("remora.lost");
        let Some(Data::Sum(sum)) = &lost.data else { panic!("no sum") };
        assert!(sum.is_monotonic && sum.aggregation_temporality == 2);
        let sevens = sum.data_points.iter().filter(|point| point.value == Some(PointValue::AsInt(7))).count();
        assert_eq!((sevens, sum.data_points.len()), (1, Loss::ALL.len()));
    }
}
