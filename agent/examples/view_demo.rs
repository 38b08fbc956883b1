//! The live view over made-up traffic, for work on the page: `cargo run -p remora --example view_demo [ADDRESS] [empty]`.
//!
//! The numbers come from a small generator with a fixed seed, so two runs show the same shop.

use std::time::Duration;

use remora::view::{
    AgentFacts, Call, CapabilityRow, Capture, ConnectionRow, Direction, ExporterRow, Health, Limits, Listen, Listing, Outcome, PatternSeen,
    Peer, RequestRow, UnixNanos, Usage, View,
};
use remora_core::model::{Completeness, ConnId, Key, Kind, SpanId, TraceId, Transport, semconv};

/// Asked service, protocol, name, label, usual microseconds, one in how many fails.
type Step = (&'static str, &'static str, &'static str, &'static str, u64, u64);

/// What one page of the shop does, each step called by the service of the step before it or by the first.
const STEPS: [(&str, Step); 6] = [
    ("curl", ("storefront", "http/1.1", "GET", "GET /products?page=3", 24_000, 40)),
    ("storefront", ("catalog", "http/1.1", "GET", "GET /api/v2/products?limit=20&sort=price", 11_000, 60)),
    ("catalog", ("postgres", "postgresql", "SELECT products", "SELECT id, name, price FROM products ORDER BY price LIMIT $1", 2_300, 200)),
    ("storefront", ("redis", "redis", "GET", "GET session:?", 240, 500)),
    ("storefront", ("payments", "http/1.1", "POST", "POST /charge", 48_000, 12)),
    ("payments", ("postgres", "postgresql", "INSERT charges", "INSERT INTO charges (id, amount) VALUES ($1, $2)", 3_900, 90)),
];

const PATTERNS: [(&str, u8, &str, &str); 5] = [
    ("storefront", 9, "GET <*> <*> in <*> ms", "GET /products?page=3 200 in 24 ms"),
    ("catalog", 13, "slow query: <*> took <*> ms", "slow query: products_by_price took 212 ms"),
    ("payments", 17, "charge <*> failed: card declined", "charge ch_918 failed: card declined"),
    (
        "postgres",
        9,
        "checkpoint complete: wrote <*> buffers (<*>%); write=<*> s",
        "checkpoint complete: wrote 41 buffers (0.3%); write=4.0 s",
    ),
    (
        "storefront",
        17,
        "java.lang.IllegalStateException: no stock for <*>",
        "java.lang.IllegalStateException: no stock for sku-77\n\tat shop.Stock.take(Stock.java:41)",
    ),
];

/// xorshift64*: enough for a picture.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Between two thirds of `usual` and, rarely, many times it.
    fn micros(&mut self, usual: u64) -> u64 {
        let tail = if self.next().is_multiple_of(25) { 6 } else { 1 };
        usual * 2 / 3 + self.next() % (usual * tail).max(1)
    }
}

fn span(number: u64) -> Option<SpanId> {
    SpanId::new(number.to_be_bytes())
}

struct End<'a> {
    service: &'a str,
    peer: &'a str,
    kind: Kind,
    span: u64,
    parent: u64,
}

/// Counts and lists one end of one step.
fn show(view: &View, step: Step, end: &End<'_>, time: UnixNanos, micros: u64, failed: bool, trace: TraceId) {
    let (_, protocol, name, label, ..) = step;
    let duration = Duration::from_micros(micros);
    let outcome = if failed { Outcome::Failed } else { Outcome::Ok };
    let call = Call { service: end.service, direction: Direction::from(end.kind), duration, outcome, now: time };
    let (Listing::List, Some(span)) = (view.count(&call), span(end.span)) else { return };
    let http = protocol.starts_with("http");
    let error = failed.then(|| if http { "503" } else { "57014" }.to_owned());
    let attributes: [(Key, &str); 4] = [
        if http { (semconv::URL_PATH, label.split([' ', '?']).nth(1).unwrap_or("/")) } else { (semconv::DB_QUERY_TEXT, label) },
        (semconv::NETWORK_PROTOCOL_NAME, protocol),
        (semconv::SERVER_ADDRESS, "10.0.3.17"),
        (semconv::SERVER_PORT, "8080"),
    ];
    view.request(RequestRow {
        time,
        duration,
        service: end.service.into(),
        instance: (end.service != "curl").then(|| format!("shop-{}-1", end.service).into()),
        kind: end.kind,
        protocol,
        name: name.into(),
        label: label.into(),
        status: if http { Some(if failed { "503" } else { "200" }.into()) } else { None },
        error,
        peer: Peer { service: Some(end.peer.into()), address: Some(([10, 0, 3, 17], 8080).into()) },
        trace,
        span,
        parent: self::span(end.parent).filter(|_| end.parent != 0),
        attributes: attributes.map(|(key, value)| (key, value.to_owned())).to_vec(),
        connection: Some(ConnId(trace.bytes()[15] as u64 % 12)),
        completeness: Completeness::default(),
    });
}

/// One visit of the shop that began at `time`.
fn visit(view: &View, chance: &mut Chance, time: UnixNanos) {
    let mut bytes = [1; 16];
    bytes[8..].copy_from_slice(&chance.next().to_be_bytes());
    let Some(trace) = TraceId::new(bytes) else { return };
    let base = chance.next() & !0xff | 1;
    let mut begun = time.0;
    for (index, (caller, step)) in STEPS.into_iter().enumerate() {
        let (service, _, _, _, usual, fails) = step;
        let micros = chance.micros(usual);
        let failed = chance.next().is_multiple_of(fails);
        let (client, server) = (base + index as u64 * 2, base + index as u64 * 2 + 1);
        // The calling service's own SERVER span is that of the step that asked it.
        let parent = STEPS[..index].iter().rposition(|(_, earlier)| earlier.0 == caller).map_or(0, |asked| base + asked as u64 * 2 + 1);
        let asks = End { service: caller, peer: service, kind: Kind::Client, span: client, parent };
        show(view, step, &asks, UnixNanos(begun), micros + 180, failed, trace);
        let answers = End { service, peer: caller, kind: Kind::Server, span: server, parent: client };
        show(view, step, &answers, UnixNanos(begun + 90_000), micros, failed, trace);
        begun += 700_000;
    }
}

fn log(view: &View, chance: &mut Chance, time: UnixNanos) {
    for (index, (service, severity, template, example)) in PATTERNS.into_iter().enumerate() {
        let count = if chance.next().is_multiple_of(index as u64 * 3 + 1) { 1 + chance.next() % 4 } else { 0 };
        if count > 0 {
            view.log_pattern(&PatternSeen { service, id: &format!("{:016x}", index * 7919 + 1), severity, template, example, count, time });
        }
    }
}

fn surroundings(view: &View, now: UnixNanos) {
    view.agent(AgentFacts { version: "0.1.0".into(), host: "demo".into(), kernel: "6.12.0".into(), started: now });
    view.usage(Usage { cpu_cores: 0.021, memory_bytes: 31 << 20 });
    view.capture(Capture::Attached { since: now });
    let row = |signal, health, sent| ExporterRow { signal, endpoint: "http://localhost:4317".into(), health, sent, dropped: 0, queued: 12 };
    view.exporter(row("traces", Health::Ok { since: now }, 48_210));
    view.exporter(row("logs", Health::Failing { since: now, error: "connection refused (os error 111)".into() }, 0));
    let able = |name: &str, off: Option<&str>| CapabilityRow { name: name.into(), off: off.map(str::to_owned) };
    view.capabilities(vec![
        able("requests (cgroup_skb)", None),
        able("TCP state", None),
        able("delays of tasks", Some("kernel.task_delayacct is 0; set it with `sysctl kernel.task_delayacct=1`")),
    ]);
}

fn connect(view: &View, now: UnixNanos) {
    for (id, (caller, step)) in (0..12).zip(STEPS.into_iter().cycle()) {
        view.connection(ConnectionRow {
            id: ConnId(id),
            transport: Transport::Tcp,
            direction: Some(if id % 2 == 0 { Direction::Served } else { Direction::Called }),
            local: ([10, 0, 3, 17], 8080).into(),
            remote: ([10, 0, 3, 4], 40_000 + id as u16).into(),
            service: Some(step.0.into()),
            peer_service: Some(caller.into()),
            protocol: Some(step.1),
            opened: now,
            closed: (id > 9).then_some(now),
            sent_bytes: 81_231 * (id + 1),
            received_bytes: 12_210 * (id + 1),
            retransmits: id / 5,
            rtt: Some(Duration::from_micros(80 + id * 7)),
        });
    }
}

/// Five minutes of past and then one step each 250 ms, for as long as the process lives.
fn play(view: &View) {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let now = UnixNanos::now();
    connect(view, now);
    for ago in (1..300).rev() {
        let time = UnixNanos(now.0 - ago * 1_000_000_000);
        (0..1 + chance.next() % 4).for_each(|_| visit(view, &mut chance, time));
        log(view, &mut chance, time);
    }
    view.loss("flow", "connection seen from its middle", 3, now);
    view.loss("bpf", "ring buffer full", 17, now);
    loop {
        std::thread::sleep(Duration::from_millis(250));
        visit(view, &mut chance, UnixNanos::now());
        log(view, &mut chance, UnixNanos::now());
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:4390".into()).parse()?;
    let view = View::new(Limits::default());
    surroundings(&view, UnixNanos::now());
    if arguments.next().as_deref() != Some("empty") {
        let fed = view.clone();
        std::thread::spawn(move || play(&fed));
    }
    let bound = remora::view::bind(Listen { address, token: None }).await?;
    println!("http://{}", bound.address());
    bound.serve(view, std::future::pending()).await?;
    Ok(())
}
