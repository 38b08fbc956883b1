//! Writer and client as independent code sees them: Python's protobuf runtime and grpcio.
//!
//! Needs a Python with the package `opentelemetry-proto`, which `scripts/setup-tests` installs;
//! `REMORA_PYTHON` names another one. Without it the test says why and checks nothing. The expected decodings are the JSON files beside the decoder, read and
//! approved by eye.
#![expect(clippy::unwrap_used, reason = "a test that cannot unwrap has failed")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use remora_otlp::client::{ClientConfig, ExportCounters, Exporter, ExporterConfig};
use remora_otlp::{
    Attribute, Buckets, Encoded, EncodedBatch, Envelope, Exemplar, ExponentialHistogramPoint, HistogramPoint, Interval, Items, LogRecord,
    Logs, MetricName, Metrics, Number, NumberPoint, Packer, ParentContext, Resource, Scope, Severity, Signal, SignalKind, Span, SpanEvent,
    SpanFlags, SpanKind, SpanLink, Status, SumKind, Temporality, Traces, Value,
};

/// The Python to use, or why there is none.
fn python() -> Result<PathBuf, String> {
    if let Some(python) = std::env::var_os("REMORA_PYTHON") {
        return Ok(python.into());
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let parts = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from).join("parts");
    match std::fs::read_to_string(parts.join("python.path")) {
        Ok(python) => Ok(python.trim().into()),
        Err(_) => Err(std::fs::read_to_string(parts.join("python.skip")).unwrap_or_else(|_| "scripts/setup-tests has not run".into())),
    }
}

/// The named Python program of this directory, started; `None`, with a word about it, where there is no Python.
fn start(test: &str, program: &str, arguments: &[&str]) -> Option<Child> {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            eprintln!("skipped: {test}: {}", reason.trim());
            return None;
        }
    };
    let mut command = Command::new(python);
    command.arg(oracle().join(program)).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    Some(command.spawn().unwrap())
}

fn oracle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle")
}

/// Compares the decoding of `batch` with the approved one.
fn check(batch: &EncodedBatch) {
    let name = batch.signal.name();
    let Some(mut decoder) = start("independent decoding", "decode.py", &[name]) else { return };
    decoder.stdin.take().unwrap().write_all(&batch.payload).unwrap();
    let output = decoder.wait_with_output().unwrap();
    assert!(output.status.success());
    let decoded = String::from_utf8(output.stdout).unwrap();
    let approved = std::fs::read_to_string(oracle().join(format!("{name}.json"))).unwrap_or_default();
    assert!(decoded == approved, "{name}.json is not what was decoded:\n{decoded}");
}

fn request<S: SignalKind>(items: &Items<S>) -> EncodedBatch {
    let resource = Resource {
        attributes: Encoded::new([Attribute::new("service.name", "shop")]),
        dropped_attributes: 1,
        schema_url: "https://opentelemetry.io/schemas/1.44.0".into(),
    };
    let scope = Scope { name: "remora".into(), version: "1".into(), schema_url: "https://scope".into(), ..Scope::default() };
    let mut packer = Packer::new(usize::MAX);
    packer.add(&Envelope::new(&resource, &scope), items);
    packer.finish().pop().unwrap()
}

#[test]
fn a_span_with_everything() {
    let constant = Encoded::new([Attribute::new("server.port", 5432u16)]);
    let event = SpanEvent { time_unix_nano: 15, name: "first byte", attributes: &[Attribute::new("n", 1.5)], dropped_attributes: 2 };
    let link = SpanLink {
        trace_id: [4; 16],
        span_id: [5; 8],
        trace_state: "b=2",
        attributes: &[Attribute::new("ok", true)],
        dropped_attributes: 3,
        flags: SpanFlags::new(1, ParentContext::Unknown),
    };
    let mut items = Items::<Traces>::new();
    items.span(
        &Span {
            trace_id: [1; 16],
            span_id: [2; 8],
            trace_state: "a=1",
            parent_span_id: Some([3; 8]),
            flags: SpanFlags::new(1, ParentContext::Remote),
            name: "SELECT größe",
            kind: SpanKind::Client,
            start_unix_nano: 1_700_000_000_000_000_001,
            end_unix_nano: 1_700_000_000_000_000_002,
            constant: &constant,
            dropped_attributes: 4,
            events: &[event],
            dropped_events: 5,
            links: &[link],
            dropped_links: 6,
            status: Status::Error("timeout"),
        },
        [Attribute { key: "bytes", value: Value::Bytes(&[0, 255]) }, Attribute::new("negative", -1i64)],
    );
    check(&request(&items));
}

#[test]
fn metrics_of_every_shape() {
    let interval = Interval { start_unix_nano: 10, time_unix_nano: 20 };
    let exemplar = Exemplar {
        time_unix_nano: 11,
        value: Number::F64(0.25),
        span_id: [6; 8],
        trace_id: [7; 16],
        filtered_attributes: &[Attribute::new("f", "x")],
    };
    let name = |name| MetricName { name, description: "what it is", unit: "s" };
    let series = [Attribute::new("k", "v")];
    let mut items = Items::<Metrics>::new();
    items.gauge(name("gauge"), |points| {
        let attributes = &Encoded::new(series);
        points.push(&NumberPoint { interval, value: Some(Number::F64(-0.5)), exemplars: &[], attributes });
        points.push(&NumberPoint { interval, value: None, exemplars: &[], attributes });
    });
    items.sum(name("sum"), Temporality::Cumulative, SumKind::Monotonic, |points| {
        let attributes = &Encoded::new(series);
        points.push(&NumberPoint { interval, value: Some(Number::I64(-7)), exemplars: &[exemplar], attributes });
    });
    items.histogram(name("histogram"), Temporality::Delta, |points| {
        let attributes = &Encoded::new(series);
        let (bucket_counts, explicit_bounds): (&[u64], &[f64]) = (&[1, 0, 2], &[0.1, 0.5]);
        let (sum, min, max) = (Some(1.5), Some(0.05), Some(0.9));
        points.push(&HistogramPoint {
            interval,
            count: 3,
            sum,
            bucket_counts,
            explicit_bounds,
            exemplars: &[exemplar],
            attributes,
            min,
            max,
        });
        points.ended(interval, attributes);
    });
    items.exponential_histogram(name("exponential"), Temporality::Cumulative, |points| {
        let attributes = &Encoded::new(series);
        points.push(&ExponentialHistogramPoint {
            interval,
            count: 303,
            sum: None,
            scale: -2,
            zero_count: 1,
            zero_threshold: 0.001,
            positive: Some(Buckets { offset: -3, counts: &[2, 300] }),
            negative: None,
            exemplars: &[],
            attributes,
            min: Some(0.0),
            max: None,
        });
        points.ended(interval, attributes);
    });
    check(&request(&items));
}

#[test]
fn a_log_record_with_everything() {
    let constant = Encoded::new([Attribute::new("log.iostream", "stderr")]);
    let inner = [Attribute { key: "null", value: Value::Empty }, Attribute::new("deep", 1i64)];
    let list = [Value::I64(1), Value::Map(&inner)];
    let body = [
        Attribute::new("msg", "failed"),
        Attribute::new("tags", Value::StrSlice(&["a", "b"])),
        Attribute::new("list", Value::Array(&list)),
    ];
    let mut items = Items::<Logs>::new();
    items.log_record(
        &LogRecord {
            time_unix_nano: 1,
            observed_time_unix_nano: 2,
            severity: Severity::new(17),
            severity_text: "ERROR",
            body: Value::Map(&body),
            constant: &constant,
            dropped_attributes: 3,
            trace_flags: 1,
            trace_id: Some([8; 16]),
            span_id: Some([9; 8]),
            event_name: "remora.event",
        },
        [Attribute::new("count", 2i64)],
    );
    check(&request(&items));
}

/// A client of `port` that compresses as told and sends `batch` until it is settled.
async fn export(port: &str, compression: &str, batch: EncodedBatch) -> ExportCounters {
    let endpoint = format!("http://127.0.0.1:{port}");
    let client = ClientConfig::from_lookup(Signal::Traces, |name| match name {
        "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.clone()),
        "OTEL_EXPORTER_OTLP_COMPRESSION" => Some(compression.to_owned()),
        "OTEL_EXPORTER_OTLP_HEADERS" => Some("x-tenant=blue%20team".to_owned()),
        _ => None,
    })
    .unwrap();
    let exporter = Exporter::start(ExporterConfig::new(vec![client]), &tokio::runtime::Handle::current()).unwrap();
    exporter.submit(batch).unwrap();
    exporter.shutdown(std::time::Duration::from_secs(600)).await;
    exporter.counters(Signal::Traces).unwrap()
}

#[tokio::test]
async fn grpcio_takes_requests_and_is_understood() {
    let Some(mut receiver) = start("export to grpcio", "receive.py", &[]) else { return };
    let mut lines = BufReader::new(receiver.stdout.take().unwrap()).lines().map(Result::unwrap);
    let port = lines.next().unwrap();
    let mut items = Items::<Traces>::new();
    (0..3).for_each(|_| items.span(&Span::new([1; 16], [2; 8], SpanKind::Client, "GET"), []));
    // The first attempt meets UNAVAILABLE, the second a partial success.
    let counters = export(&port, "none", request(&items)).await;
    assert_eq!((counters.retries, counters.sent_items, counters.rejected_items), (1, 2, 1));
    assert_eq!(counters.last_warning.as_deref(), Some("one is too old"));
    let counters = export(&port, "gzip", request(&items)).await;
    assert_eq!((counters.retries, counters.sent_items), (0, 3));
    drop(receiver.stdin.take());
    assert_eq!(lines.collect::<Vec<_>>(), ["3 blue team"; 3]);
    assert!(receiver.wait().unwrap().success());
}
