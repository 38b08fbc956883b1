//! Our exponential histogram beside the OpenTelemetry SDK's, on the same measurements: same scale, same buckets.

use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{Aggregation, Instrument, PeriodicReader, SdkMeterProvider, Stream, Temporality};
use proptest::prelude::*;
use remora::aggregate::histogram::{Buckets, Division, Histogram};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a histogram says: scale, zeros, filled buckets by index, count.
#[derive(Clone, Debug, Default, PartialEq)]
struct Summary {
    scale: i32,
    zeros: u64,
    buckets: BTreeMap<i32, u64>,
    count: u64,
}

fn filled(offset: i32, counts: impl IntoIterator<Item = u64>) -> BTreeMap<i32, u64> {
    (offset..).zip(counts).filter(|(_, count)| *count > 0).collect()
}

fn ours(values: &[f64]) -> Summary {
    let mut histogram = Histogram::new(Division::Exponential, &[]);
    values.iter().for_each(|value| histogram.record(*value));
    let Buckets::Exponential(buckets) = histogram.buckets else { panic!("an exponential histogram") };
    let counts = filled(buckets.offset, buckets.counts);
    Summary { scale: buckets.scale, zeros: buckets.zero_count, buckets: counts, count: histogram.count }
}

#[derive(Clone, Debug, Default)]
struct Last(Arc<Mutex<Summary>>);

impl PushMetricExporter for Last {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
            let AggregatedMetrics::F64(MetricData::ExponentialHistogram(histogram)) = metric.data() else { continue };
            for point in histogram.data_points() {
                let positive = point.positive_bucket();
                *self.0.lock().expect("one thread") = Summary {
                    scale: i32::from(point.scale()),
                    zeros: point.zero_count(),
                    buckets: filled(positive.offset(), positive.counts()),
                    count: point.count() as u64,
                };
            }
        }
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}

fn sdks(values: &[f64]) -> Summary {
    let last = Last::default();
    let exponential = |_: &Instrument| {
        let aggregation = Aggregation::Base2ExponentialHistogram { max_size: 160, max_scale: 20, record_min_max: true };
        Stream::builder().with_aggregation(aggregation).build().ok()
    };
    let provider = SdkMeterProvider::builder().with_reader(PeriodicReader::builder(last.clone()).build()).with_view(exponential).build();
    let histogram = provider.meter("test").f64_histogram("values").build();
    values.iter().for_each(|value| histogram.record(*value, &[]));
    provider.force_flush().expect("an export");
    last.0.lock().expect("one thread").clone()
}

/// Durations from nanoseconds to days, powers of two, and zero.
fn measurement() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => (-9.0..5.0f64).prop_map(|exponent| 10f64.powf(exponent)),
        1 => (-20..20i32).prop_map(|exponent| 2f64.powi(exponent)),
        1 => Just(0.0),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_measurements_fall_into_the_sdks_buckets(values in proptest::collection::vec(measurement(), 1..200)) {
        prop_assert_eq!(ours(&values), sdks(&values));
    }
}

#[test]
fn a_narrow_range_keeps_the_finest_scale_and_a_wide_one_loses_it() {
    let (narrow, wide) = ([1.0, 1.000_01], [1e-6, 1.0, 3600.0]);
    assert_eq!(ours(&narrow), sdks(&narrow));
    assert_eq!(ours(&narrow).scale, 20);
    assert_eq!(ours(&wide), sdks(&wide));
    assert!(ours(&wide).scale < 5, "{}", ours(&wide).scale);
}
