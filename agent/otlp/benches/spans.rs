//! Spans encoded and compressed by one thread: the budget is one million encoded spans a second.
//!
//! Ten attributes a span, three of them constant for the connection, the others different in each
//! span; 64 Resources, requests below the default limit. Prints nanoseconds of
//! processor time and spans a second.

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use remora_otlp::{
    Attribute, DEFAULT_REQUEST_BYTES, Encoded, EncodedBatch, Envelope, Items, Packer, ParentContext, Resource, Scope, Span, SpanFlags,
    SpanKind, Status, Traces, field,
};

const RESOURCES: usize = 64;
const SPANS_A_RESOURCE: usize = 512;
const SPANS_A_ROUND: f64 = (RESOURCES * SPANS_A_RESOURCE) as f64;
const ROUNDS: u32 = 30;

/// A cheap source of changing bits (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// What spans are made of.
struct Source {
    constant: Encoded<{ field::SPAN }>,
    paths: Vec<String>,
    addresses: Vec<String>,
    random: Random,
}

impl Source {
    fn new() -> Self {
        let mut random = Random(7);
        let mut texts = |shape: fn(u64) -> String| (0..1024).map(|_| shape(random.next())).collect::<Vec<_>>();
        Self {
            constant: Encoded::new([
                Attribute::new("server.address", "shop.default.svc.cluster.local"),
                Attribute::new("server.port", 8080u16),
                Attribute::new("network.protocol.version", "1.1"),
            ]),
            paths: texts(|bits| format!("/api/v1/items/{bits:x}")),
            addresses: texts(|bits| format!("10.{}.{}.{}", bits & 255, bits >> 8 & 255, bits >> 16 & 255)),
            random: Random(42),
        }
    }

    fn write(&mut self, items: &mut Items<Traces>) {
        let bits = self.random.next();
        let mut trace_id = [0; 16];
        trace_id[..8].copy_from_slice(&bits.to_be_bytes());
        trace_id[8..].copy_from_slice(&self.random.next().to_be_bytes());
        let start = 1_700_000_000_000_000_000 + (bits >> 20);
        let span = Span {
            trace_id,
            span_id: self.random.next().to_be_bytes(),
            trace_state: "",
            parent_span_id: Some(self.random.next().to_be_bytes()),
            flags: SpanFlags::new(SpanFlags::SAMPLED, ParentContext::Remote),
            name: "GET /api/v1/items/{id}",
            kind: SpanKind::Server,
            start_unix_nano: start,
            end_unix_nano: start + (bits & 0xff_ffff),
            constant: &self.constant,
            dropped_attributes: 0,
            events: &[],
            dropped_events: 0,
            links: &[],
            dropped_links: 0,
            status: Status::Unset,
        };
        let attributes = [
            Attribute::new("http.request.method", "GET"),
            Attribute::new("url.path", self.paths[bits as usize & 1023].as_str()),
            Attribute::new("url.scheme", "http"),
            Attribute::new("http.response.status_code", 200u16),
            Attribute::new("client.address", self.addresses[(bits >> 10) as usize & 1023].as_str()),
            Attribute::new("network.peer.address", self.addresses[(bits >> 20) as usize & 1023].as_str()),
            Attribute::new("network.peer.port", (bits >> 30) as u16),
        ];
        items.span(&span, attributes);
    }
}

fn envelope(index: usize) -> Envelope {
    let name = format!("service-{index}");
    let attributes = Encoded::new([Attribute::new("service.name", name.as_str())]);
    Envelope::new(&Resource { attributes, ..Resource::default() }, &Scope { name: "remora".into(), ..Scope::default() })
}

/// Encodes and packs the spans of one export.
fn round(source: &mut Source, envelopes: &[Envelope], items: &mut [Items<Traces>]) -> Vec<EncodedBatch> {
    let mut packer = Packer::new(DEFAULT_REQUEST_BYTES);
    for (envelope, items) in envelopes.iter().zip(items) {
        items.clear();
        (0..SPANS_A_RESOURCE).for_each(|_| source.write(items));
        packer.add(envelope, items);
    }
    packer.finish()
}

/// Processor time of this thread: other programs on the machine do not count.
fn processor_time() -> Duration {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = schedstat.split(' ').next().and_then(|field| field.parse().ok());
    Duration::from_nanos(nanos.expect("Linux with scheduler statistics"))
}

/// Nanoseconds of processor time a span that `work` takes for one round.
fn measured(mut work: impl FnMut()) -> f64 {
    work();
    let began = processor_time();
    (0..ROUNDS).for_each(|_| work());
    let spent = processor_time() - began;
    spent.as_nanos() as f64 / f64::from(ROUNDS) / SPANS_A_ROUND
}

fn gzip(payload: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(1));
    encoder.write_all(payload)?;
    encoder.finish()
}

fn zstd(payload: &[u8]) -> std::io::Result<Vec<u8>> {
    zstd::bulk::compress(payload, 1)
}

type Compress = fn(&[u8]) -> std::io::Result<Vec<u8>>;

fn main() -> std::io::Result<()> {
    let mut source = Source::new();
    let envelopes: Vec<Envelope> = (0..RESOURCES).map(envelope).collect();
    let mut items = vec![Items::<Traces>::new(); RESOURCES];

    let encoding = measured(|| drop(black_box(round(&mut source, &envelopes, &mut items))));
    let batches = round(&mut source, &envelopes, &mut items);
    println!("{} requests of {RESOURCES} Resources and {SPANS_A_ROUND} spans a round", batches.len());
    report("encode + pack", encoding, batches.iter().map(|batch| batch.payload.len()).sum());
    for (name, compress) in [("gzip 1", gzip as Compress), ("zstd 1", zstd as Compress)] {
        let mut bytes = 0;
        for batch in &batches {
            bytes += compress(&batch.payload)?.len();
        }
        let compressing = measured(|| batches.iter().for_each(|batch| drop(black_box(compress(&batch.payload)))));
        report(&format!("encode + pack + {name}"), encoding + compressing, bytes);
    }
    Ok(())
}

fn report(what: &str, nanos: f64, bytes: usize) {
    println!("{what:<24} {nanos:>7.0} ns/span {:>6.2} M spans/s {:>5.0} B/span", 1_000.0 / nanos, bytes as f64 / SPANS_A_ROUND);
}
