//! The agent's own counters as OpenTelemetry instruments.
//!
//! Names are those of the semantic conventions for SDKs (`otel.sdk.*`) and processes (`process.*`); what
//! they do not name is below `remora.`. Everything is observed when a reader collects, never pushed.

use super::counters::{Counters, Event, Loss};
use crate::config::Protocol;
use crate::kernel::{Units, Usage};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use remora_otlp::Signal;
use remora_otlp::client::{DropReason, ExportCounters};
use std::path::PathBuf;
use std::sync::Arc;

/// Instrumentation scope of the agent's own metrics.
pub const SCOPE: &str = "remora.selfobs";

/// Answers what became of the items of a signal; `None` if it is not exported.
pub type Exports = Arc<dyn Fn(Signal) -> Option<ExportCounters> + Send + Sync>;

/// What the instruments observe.
#[derive(Clone)]
pub struct Observed {
    /// The counters.
    pub counters: Arc<Counters>,
    /// What became of exported items.
    pub exports: Exports,
    /// The host's `proc` directory.
    pub proc: PathBuf,
    /// How telemetry is exported, which names the exporter.
    pub protocol: Protocol,
}

/// Registers all instruments with `meter`.
pub fn register(meter: &Meter, observed: &Observed) {
    register_work(meter, &observed.counters);
    register_process(meter, &observed.proc);
    for signal in Signal::ALL {
        register_export(meter, observed, signal);
    }
    register_queue(meter, &observed.exports);
}

fn register_work(meter: &Meter, counters: &Arc<Counters>) {
    let shared = Arc::clone(counters);
    meter
        .u64_observable_counter("remora.lost")
        .with_unit("{item}")
        .with_description("Things that were lost, dropped or cut, by component and reason.")
        .with_callback(move |observer| {
            for loss in Loss::ALL {
                let (component, reason) = loss.names();
                observer.observe(shared.loss(*loss), &component_and("remora.reason", component, reason));
            }
            for (protocol, loss, count) in shared.flow_losses() {
                let mut attributes = component_and("remora.reason", "flow", loss.name()).to_vec();
                attributes.extend(protocol.map(|name| KeyValue::new("remora.protocol", name)));
                observer.observe(count, &attributes);
            }
        })
        .build();
    let shared = Arc::clone(counters);
    meter
        .u64_observable_counter("remora.processed")
        .with_unit("{item}")
        .with_description("Things that the agent has worked on, by component and kind.")
        .with_callback(move |observer| {
            for event in Event::ALL {
                let (component, kind) = event.names();
                observer.observe(shared.event(*event), &component_and("remora.kind", component, kind));
            }
        })
        .build();
}

fn component_and(name: &'static str, component: &'static str, word: &'static str) -> [KeyValue; 2] {
    [KeyValue::new("remora.component", component), KeyValue::new(name, word)]
}

/// Name, unit, description and value of something that goes up and down.
type Quantity<T> = (&'static str, &'static str, &'static str, fn(&T) -> u64);

fn register_process(meter: &Meter, proc: &std::path::Path) {
    let units = Units::of_this_system();
    let usage = |proc: PathBuf| move || Usage::read(&proc, units);
    let read = usage(proc.to_owned());
    meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("CPU time of the agent.")
        .with_callback(move |observer| {
            if let Some(usage) = read() {
                observer.observe(usage.user.as_secs_f64(), &[KeyValue::new("cpu.mode", "user")]);
                observer.observe(usage.system.as_secs_f64(), &[KeyValue::new("cpu.mode", "system")]);
            }
        })
        .build();
    let gauges: [Quantity<Usage>; 3] = [
        ("process.memory.usage", "By", "Resident memory of the agent.", |usage| usage.resident),
        ("process.memory.virtual", "By", "Virtual memory of the agent.", |usage| usage.virtual_memory),
        ("process.thread.count", "{thread}", "Threads of the agent.", |usage| usage.threads),
    ];
    for (name, unit, description, value) in gauges {
        let read = usage(proc.to_owned());
        meter
            .i64_observable_up_down_counter(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |observer| {
                if let Some(usage) = read() {
                    observer.observe(signed(value(&usage)), &[]);
                }
            })
            .build();
    }
}

/// The names of one signal's instruments.
struct Names {
    exported: &'static str,
    in_flight: &'static str,
    unit: &'static str,
    item: &'static str,
}

const fn names(signal: Signal) -> Names {
    match signal {
        Signal::Traces => Names {
            exported: "otel.sdk.exporter.span.exported",
            in_flight: "otel.sdk.exporter.span.inflight",
            unit: "{span}",
            item: "span",
        },
        Signal::Metrics => Names {
            exported: "otel.sdk.exporter.metric_data_point.exported",
            in_flight: "otel.sdk.exporter.metric_data_point.inflight",
            unit: "{data_point}",
            item: "metric",
        },
        Signal::Logs => Names {
            exported: "otel.sdk.exporter.log.exported",
            in_flight: "otel.sdk.exporter.log.inflight",
            unit: "{log_record}",
            item: "log",
        },
    }
}

fn register_export(meter: &Meter, observed: &Observed, signal: Signal) {
    let names = names(signal);
    let transport = match observed.protocol {
        Protocol::Grpc => "grpc",
        Protocol::HttpProtobuf => "http",
    };
    let exporter = component(format!("otlp_{transport}_{}_exporter", names.item));
    let (exports, attributes) = (Arc::clone(&observed.exports), exporter.clone());
    meter
        .u64_observable_counter(names.exported)
        .with_unit(names.unit)
        .with_description("Items for which the export has finished; with error.type where it failed.")
        .with_callback(move |observer| {
            for (error, count) in exports(signal).iter().flat_map(finished) {
                let mut attributes = attributes.to_vec();
                attributes.extend(error.map(|reason| KeyValue::new("error.type", reason)));
                observer.observe(count, &attributes);
            }
        })
        .build();
    let exports = Arc::clone(&observed.exports);
    meter
        .i64_observable_up_down_counter(names.in_flight)
        .with_unit(names.unit)
        .with_description("Items handed to the exporter whose export has not finished.")
        .with_callback(move |observer| {
            if let Some(counters) = exports(signal) {
                let ended: u64 = finished(&counters).iter().map(|(_, count)| count).sum();
                observer.observe(signed(counters.submitted_items.saturating_sub(ended)), &exporter);
            }
        })
        .build();
}

/// Items whose export is over: how it failed, and how many.
fn finished(counters: &ExportCounters) -> Vec<(Option<&'static str>, u64)> {
    let dropped = DropReason::ALL.into_iter().map(|reason| (Some(reason.name()), counters.dropped(reason)));
    [(None, counters.sent_items), (Some("rejected"), counters.rejected_items)].into_iter().chain(dropped).collect()
}

fn register_queue(meter: &Meter, exports: &Exports) {
    let quantities: [Quantity<ExportCounters>; 2] = [
        ("remora.export.held", "By", "Bytes that wait for the endpoint.", |counters| {
            u64::try_from(counters.held_bytes).unwrap_or(u64::MAX)
        }),
        ("remora.export.retries", "{request}", "Attempts that failed and were repeated.", |counters| counters.retries),
    ];
    for (name, unit, description, value) in quantities {
        let exports = Arc::clone(exports);
        meter
            .i64_observable_up_down_counter(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |observer| {
                for signal in Signal::ALL {
                    if let Some(counters) = exports(signal) {
                        observer.observe(signed(value(&counters)), &[KeyValue::new("remora.signal", signal.name())]);
                    }
                }
            })
            .build();
    }
}

fn component(kind: String) -> [KeyValue; 2] {
    let name = format!("{kind}/0");
    [KeyValue::new("otel.component.type", kind), KeyValue::new("otel.component.name", name)]
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::metrics::data::{AggregatedMetrics, MetricData, ResourceMetrics};
    use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
    use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::time::Duration;

    type Sums = BTreeMap<String, Vec<(String, u64)>>;

    #[derive(Clone, Default)]
    struct Collected(Arc<Mutex<Sums>>);

    impl PushMetricExporter for Collected {
        async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
            let mut collected = self.0.lock().expect("lock");
            for metric in metrics.scope_metrics().flat_map(|scope| scope.metrics()) {
                let points = collected.entry(metric.name().to_owned()).or_default();
                if let AggregatedMetrics::U64(MetricData::Sum(sum)) = metric.data() {
                    points.extend(sum.data_points().map(|point| {
                        let attributes = point.attributes().map(|a| format!("{}={}", a.key, a.value));
                        let mut attributes: Vec<_> = attributes.collect();
                        attributes.sort();
                        (attributes.join(" "), point.value())
                    }));
                }
            }
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

    #[test]
    fn counters_arrive_at_a_reader_under_their_names() {
        let collected = Collected::default();
        let reader = PeriodicReader::builder(collected.clone()).with_interval(Duration::from_secs(3600)).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let counters = Arc::new(Counters::new(["redis"]));
        let mut exported = ExportCounters { submitted_items: 10, sent_items: 5, ..ExportCounters::default() };
        exported.dropped_items[DropReason::QueueFull as usize] = 3;
        let exports: Exports = Arc::new(move |signal| (signal == Signal::Traces).then(|| exported.clone()));
        let observed = Observed { counters: Arc::clone(&counters), exports, proc: "/nowhere".into(), protocol: Protocol::Grpc };
        register(&provider.meter(SCOPE), &observed);
        counters.lost(Loss::RingFull, 7);
        counters.flow_lost(Some("redis"), remora_core::flow::Loss::Hole, 2);
        provider.force_flush().expect("flush");
        let sums = collected.0.lock().expect("lock").clone();
        let value = |name: &str, attributes: &str| {
            let points = sums.get(name).unwrap_or_else(|| panic!("no {name}"));
            points.iter().find(|(found, _)| found == attributes).map(|(_, value)| *value)
        };
        assert_eq!(value("remora.lost", "remora.component=capture remora.reason=ring_full"), Some(7));
        assert_eq!(value("remora.lost", "remora.component=flow remora.protocol=redis remora.reason=hole"), Some(2));
        let exporter = "error.type=queue_full otel.component.name=otlp_grpc_span_exporter/0 otel.component.type=otlp_grpc_span_exporter";
        assert_eq!(value("otel.sdk.exporter.span.exported", exporter), Some(3));
        for name in ["otel.sdk.exporter.span.inflight", "remora.export.held", "remora.processed"] {
            assert!(sums.contains_key(name), "{name}");
        }
    }
}
