use super::histogram::{Buckets, Division};
use super::messages::Passed;
use super::series::Scalar;
use super::tcp::{Listening, Totals};
use super::*;
use crate::trace::ids;
use crate::trace::span::Peer;
use proptest::prelude::*;
use remora_core::flow::{Carrier, Direction};
use remora_core::model::{CallKey, ConnInfo, Family, Kind, Message, Role, Transport};
use std::collections::BTreeMap;
use std::time::Duration;

const SECOND: u64 = 1_000_000_000;
const SHOP: u32 = 1;
const CART: u32 = 2;

/// A point as text and number: what a test compares.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    series: String,
    start: u64,
    value: Option<f64>,
    exemplar: Option<f64>,
}

#[derive(Default)]
struct Points(Vec<Seen>);

impl Visitor<u32, u32> for Points {
    fn point(&mut self, entity: u32, instrument: &'static Instrument, attributes: Attributes<'_>, cache: &mut u32, point: &Point<'_>) {
        *cache += 1;
        let attributes: Vec<String> = attributes
            .iter()
            .map(|(key, value)| (key.name(), value))
            .map(|(key, value)| match value {
                Scalar::Str(text) => format!("{key}={text}"),
                Scalar::Int(int) => format!("{key}={int}"),
                Scalar::Bool(truth) => format!("{key}={truth}"),
            })
            .collect();
        let value = match point.data {
            Data::Sum(value) | Data::Gauge(value) => Some(value as f64),
            Data::Histogram(histogram) => {
                assert_eq!(in_buckets(histogram), histogram.count);
                Some(histogram.count as f64)
            }
            Data::NoRecordedValue => None,
        };
        assert!(point.start <= point.time);
        let series = format!("{entity} {} {}", instrument.name, attributes.join(" "));
        self.0.push(Seen { series, start: point.start.0 / SECOND, value, exemplar: point.exemplar.map(|exemplar| exemplar.value) });
    }
}

fn in_buckets(histogram: &Histogram) -> u64 {
    match &histogram.buckets {
        Buckets::Explicit { counts, .. } => counts.iter().sum(),
        Buckets::Exponential(exponential) => exponential.counts.iter().sum::<u64>() + exponential.zero_count,
    }
}

struct Registry(Aggregate<u32, u32>);

impl Registry {
    fn new(settings: Settings) -> Self {
        Self(Aggregate::new(settings, Mono(0)))
    }

    fn query(&mut self, entity: u32, operation: &str, at: u64, millis: u64) {
        self.0.exchange(entity, &query(operation, at, millis), None);
    }

    fn collect(&mut self, second: u64) -> Vec<Seen> {
        let mut points = Points::default();
        self.0.collect(Mono(second * SECOND), &mut points);
        points.0.sort_by(|a, b| a.series.cmp(&b.series));
        points.0
    }

    fn values(&mut self, second: u64) -> Vec<(String, Option<f64>)> {
        self.collect(second).into_iter().map(|seen| (seen.series, seen.value)).collect()
    }
}

fn at(second: u64, millis: u64) -> Message {
    let time = Mono(second * SECOND + millis * 1_000_000);
    Message { first: time, last: time, body_bytes: None }
}

fn query(operation: &str, second: u64, millis: u64) -> Exchange {
    let mut exchange = Exchange {
        family: Family::Db,
        role: Some(Role::Client),
        request: at(second, 0),
        response: Some(at(second, millis)),
        ..Exchange::default()
    };
    exchange.attrs.set_str(s::DB_SYSTEM_NAME, "redis");
    exchange.attrs.set_str(s::DB_OPERATION_NAME, operation);
    exchange.attrs.set_str(s::DB_QUERY_TEXT, "never a series");
    exchange
}

fn series(entity: u32, operation: &str) -> String {
    format!("{entity} db.client.operation.duration db.system.name=redis db.operation.name={operation}")
}

#[test]
fn cumulative_points_grow_and_start_when_the_series_was_still_zero() {
    let mut registry = Registry::new(Settings::default());
    registry.query(SHOP, "GET", 1, 3);
    assert_eq!(registry.collect(10), [Seen { series: series(SHOP, "GET"), start: 0, value: Some(1.0), exemplar: None }]);
    registry.query(SHOP, "GET", 11, 3);
    registry.query(SHOP, "SET", 12, 3);
    let seen = registry.collect(20);
    assert_eq!(seen.iter().map(|seen| (seen.start, seen.value)).collect::<Vec<_>>(), [(0, Some(2.0)), (10, Some(1.0))]);
    assert_eq!(registry.collect(30).len(), 2, "silent series are still reported");
}

#[test]
fn delta_points_cover_one_interval_and_silent_series_have_none() {
    let mut registry = Registry::new(Settings { temporality: Temporality::Delta, ..Settings::default() });
    registry.query(SHOP, "GET", 1, 3);
    registry.query(SHOP, "GET", 2, 3);
    assert_eq!(registry.values(10), [(series(SHOP, "GET"), Some(2.0))]);
    registry.query(SHOP, "GET", 11, 3);
    let seen = registry.collect(20);
    assert_eq!((seen[0].start, seen[0].value), (10, Some(1.0)));
    assert_eq!(registry.collect(30), []);
}

#[test]
fn beyond_the_limits_measurements_go_to_the_overflow_series() {
    let overflow = format!("{SHOP} db.client.operation.duration otel.metric.overflow=true");
    let mut registry = Registry::new(Settings { per_entity: 2, ..Settings::default() });
    for operation in ["A", "B", "C", "D", "A"] {
        registry.query(SHOP, operation, 1, 3);
    }
    assert_eq!(registry.values(10), [(series(SHOP, "A"), Some(2.0)), (series(SHOP, "B"), Some(1.0)), (overflow.clone(), Some(2.0))]);
    let mut registry = Registry::new(Settings { per_node: 1, ..Settings::default() });
    registry.query(CART, "A", 1, 3);
    registry.query(SHOP, "A", 1, 3);
    assert_eq!(registry.values(10), [(overflow, Some(1.0)), (series(CART, "A"), Some(1.0))]);
    assert_eq!(registry.0.series(), 1);
}

#[test]
fn an_ended_entity_has_a_last_point_and_one_mark_and_is_then_gone() {
    let mut registry = Registry::new(Settings::default());
    registry.query(SHOP, "GET", 1, 3);
    registry.query(CART, "GET", 1, 3);
    registry.0.ended(SHOP);
    assert_eq!(registry.values(10), [(series(SHOP, "GET"), Some(1.0)), (series(CART, "GET"), Some(1.0))]);
    assert_eq!(registry.values(20), [(series(SHOP, "GET"), None), (series(CART, "GET"), Some(1.0))]);
    assert_eq!(registry.values(30), [(series(CART, "GET"), Some(1.0))]);
    assert_eq!(registry.0.series(), 1);
}

#[test]
fn what_comes_after_the_last_point_is_still_reported() {
    let mut registry = Registry::new(Settings::default());
    registry.query(SHOP, "GET", 1, 3);
    registry.0.ended(SHOP);
    registry.collect(10);
    registry.query(SHOP, "GET", 9, 3);
    assert_eq!(registry.values(20), [(series(SHOP, "GET"), Some(2.0))]);
    assert_eq!(registry.values(30), [(series(SHOP, "GET"), None)]);
    assert_eq!(registry.values(40), []);
}

#[test]
fn marks_can_be_switched_off_and_deltas_need_none() {
    for settings in [
        Settings { staleness: Staleness::Silent, ..Settings::default() },
        Settings { temporality: Temporality::Delta, ..Settings::default() },
    ] {
        let mut registry = Registry::new(settings);
        registry.query(SHOP, "GET", 1, 3);
        registry.0.ended(SHOP);
        assert_eq!(registry.values(10), [(series(SHOP, "GET"), Some(1.0))]);
        assert_eq!(registry.values(20), []);
        assert_eq!(registry.0.series(), 0);
    }
}

#[test]
fn an_idle_series_is_marked_freed_and_begins_anew() {
    let mut registry = Registry::new(Settings { idle: Duration::from_secs(15), per_entity: 2, ..Settings::default() });
    registry.query(SHOP, "OLD", 1, 3);
    registry.query(SHOP, "GET", 11, 3);
    registry.collect(12);
    let seen = registry.values(20);
    assert_eq!(seen, [(series(SHOP, "GET"), Some(1.0)), (series(SHOP, "OLD"), Some(1.0)), (series(SHOP, "OLD"), None)]);
    registry.query(SHOP, "GET", 21, 3);
    registry.query(SHOP, "OLD", 22, 3);
    let seen = registry.collect(23);
    assert_eq!(seen.iter().map(|seen| (seen.start, seen.value)).collect::<Vec<_>>(), [(0, Some(2.0)), (20, Some(1.0))]);
}

#[test]
fn the_slowest_exported_request_of_an_interval_is_the_exemplar() {
    let mut registry = Registry::new(Settings::default());
    let call = CallKey::new(1, 2, b"GET");
    let exported = Some((ids::trace_id(&call), ids::client_span_id(&call)));
    for (millis, exported) in [(5, exported), (50, exported), (20, exported), (900, None)] {
        registry.0.exchange(SHOP, &query("GET", 1, millis), exported);
    }
    assert_eq!(registry.collect(10)[0].exemplar, Some(0.05));
    assert_eq!(registry.collect(20)[0].exemplar, None);
}

#[test]
fn http_sizes_are_counted_where_they_are_known_beside_the_duration() {
    let mut registry = Registry::new(Settings::default());
    let mut exchange = Exchange { role: Some(Role::Server), kind: Kind::Server, request: at(1, 0), ..Exchange::default() };
    exchange.attrs.set_str(s::HTTP_REQUEST_METHOD, "GET");
    exchange.attrs.set_int(s::HTTP_RESPONSE_STATUS_CODE, 200);
    exchange.response = Some(Message { body_bytes: Some(100), ..at(1, 7) });
    registry.0.exchange(SHOP, &exchange, None);
    let tail = "http.request.method=GET http.response.status_code=200";
    assert_eq!(
        registry.values(10),
        [
            (format!("{SHOP} http.server.request.duration {tail}"), Some(1.0)),
            (format!("{SHOP} http.server.response.body.size {tail}"), Some(1.0)),
        ]
    );
}

#[test]
fn messages_are_counted_beside_operations() {
    let mut registry = Registry::new(Settings::default());
    let mut batch =
        Exchange { family: Family::Messaging, kind: Kind::Producer, role: Some(Role::Client), request: at(1, 0), ..Exchange::default() };
    batch.attrs.set_str(s::MESSAGING_SYSTEM, "kafka");
    batch.attrs.set_int(s::MESSAGING_BATCH_MESSAGE_COUNT, 12);
    registry.0.exchange(SHOP, &batch, None);
    let values: Vec<_> = registry.values(10).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values, [Some(1.0), Some(12.0)]);
}

fn conn(id: u64, role: Role, local: &str, remote: &str) -> ConnInfo {
    ConnInfo {
        id: ConnId(id),
        transport: Transport::Tcp,
        local: local.parse().expect("address"),
        remote: remote.parse().expect("address"),
        dialed: None,
        role: Some(role),
        owner: None,
        cgroup: None,
        opened: Mono(0),
        midway: false,
    }
}

#[test]
fn connections_are_counted_by_the_server_side_whatever_the_clients_ports_are() {
    let mut registry = Registry::new(Settings::default());
    let peer = Peer { service: "cart", ..Peer::default() };
    for id in 1..=3 {
        let conn = conn(id, Role::Client, &format!("10.0.0.1:{}", 40_000 + id), "10.0.0.2:80");
        registry.0.opened(SHOP, &conn, &peer, Some(Duration::from_millis(1)), Mono(1));
    }
    registry.0.closed(ConnId(2), Mono(2));
    registry.0.closed(ConnId(2), Mono(2));
    let totals = Totals { sent: 100, received: 0, retransmits: 2 };
    registry.0.carried(ConnId(1), totals, Some(Duration::from_micros(300)), Mono(3));
    registry.0.carried(ConnId(1), Totals { sent: 150, ..totals }, None, Mono(4));
    registry.0.carried(ConnId(9), totals, None, Mono(4));
    let tail = "remora.connection.role=client server.address=10.0.0.2 server.port=80 service.peer.name=cart";
    assert_eq!(
        registry.values(10),
        [
            (format!("{SHOP} remora.tcp.connect.duration {tail}"), Some(3.0)),
            (format!("{SHOP} remora.tcp.connections {tail}"), Some(2.0)),
            (format!("{SHOP} remora.tcp.io {tail} network.io.direction=transmit"), Some(150.0)),
            (format!("{SHOP} remora.tcp.retransmits {tail}"), Some(2.0)),
            (format!("{SHOP} remora.tcp.rtt {tail}"), Some(1.0)),
        ]
    );
}

#[test]
fn a_service_address_and_the_address_behind_it_are_both_told() {
    let mut registry = Registry::new(Settings::default());
    let conn = ConnInfo { dialed: Some("10.96.0.1:80".parse().expect("address")), ..conn(1, Role::Client, "10.0.0.1:5", "10.0.0.2:8080") };
    registry.0.connect_failed(SHOP, &conn, &Peer::default(), s::ERROR_REFUSED, Mono(1));
    let tail = "server.address=10.96.0.1 server.port=80 network.peer.address=10.0.0.2 error.type=connection_refused";
    assert_eq!(registry.values(10), [(format!("{SHOP} remora.tcp.connect.failures remora.connection.role=client {tail}"), Some(1.0))]);
}

#[test]
fn a_connection_moves_to_the_entity_that_is_learned_later() {
    let mut registry = Registry::new(Settings { idle: Duration::from_secs(5), ..Settings::default() });
    let conn = conn(1, Role::Server, "10.0.0.1:80", "10.0.0.2:40000");
    registry.0.opened(SHOP, &conn, &Peer::default(), None, Mono(1));
    registry.0.carried(ConnId(1), Totals { sent: 10, ..Totals::default() }, None, Mono(1));
    registry.0.opened(CART, &conn, &Peer::default(), None, Mono(2));
    registry.0.carried(ConnId(1), Totals { sent: 15, ..Totals::default() }, None, Mono(2));
    let tail = "remora.connection.role=server server.address=10.0.0.1 server.port=80";
    assert_eq!(
        registry.values(3),
        [
            (format!("{SHOP} remora.tcp.connections {tail}"), Some(0.0)),
            (format!("{SHOP} remora.tcp.io {tail} network.io.direction=transmit"), Some(10.0)),
            (format!("{CART} remora.tcp.connections {tail}"), Some(1.0)),
            (format!("{CART} remora.tcp.io {tail} network.io.direction=transmit"), Some(5.0)),
        ]
    );
    registry.values(20);
    assert_eq!(registry.values(30), [(format!("{CART} remora.tcp.connections {tail}"), Some(1.0))], "an open connection is not idle");
}

#[test]
fn messages_and_open_connections_of_websockets_follow_their_connection() {
    let mut registry = Registry::new(Settings::default());
    let conn = conn(1, Role::Server, "10.0.0.1:80", "10.0.0.2:40000");
    registry.0.carries_messages(ConnId(1), Mono(1));
    registry.0.messages(ConnId(1), Carrier::WebSocket, Direction::Egress, Passed { messages: 1, bytes: 5 }, Mono(1));
    assert_eq!(registry.values(2), [], "nothing is counted of a connection whose owner is unknown");
    registry.0.opened(SHOP, &conn, &Peer::default(), None, Mono(1));
    registry.0.carries_messages(ConnId(1), Mono(1));
    registry.0.carries_messages(ConnId(1), Mono(1));
    registry.0.messages(ConnId(1), Carrier::WebSocket, Direction::Egress, Passed { messages: 2, bytes: 30 }, Mono(1));
    registry.0.messages(ConnId(1), Carrier::WebSocket, Direction::Ingress, Passed::default(), Mono(1));
    let tail = "remora.connection.role=server server.address=10.0.0.1 server.port=80";
    let of = |entity: u32, connections: f64| {
        vec![
            (format!("{entity} remora.tcp.connections {tail}"), Some(connections)),
            (format!("{entity} remora.websocket.connections {tail}"), Some(connections)),
        ]
    };
    let io = [
        (format!("{SHOP} remora.websocket.io {tail} network.io.direction=transmit"), Some(30.0)),
        (format!("{SHOP} remora.websocket.messages {tail} network.io.direction=transmit"), Some(2.0)),
    ];
    assert_eq!(registry.values(3), [of(SHOP, 1.0), io.to_vec()].concat());
    registry.0.opened(CART, &conn, &Peer::default(), None, Mono(4));
    assert_eq!(registry.values(5), [of(SHOP, 0.0), io.to_vec(), of(CART, 1.0)].concat(), "it moves with its connection");
    registry.0.closed(ConnId(1), Mono(6));
    assert_eq!(registry.values(7), [of(SHOP, 0.0), io.to_vec(), of(CART, 0.0)].concat());
}

#[test]
fn open_streams_of_events_follow_their_connection_and_end_with_it() {
    let mut registry = Registry::new(Settings::default());
    let conn = conn(1, Role::Client, "10.0.0.1:40000", "10.0.0.2:80");
    registry.0.streams(ConnId(1), 1, Mono(1));
    registry.0.opened(SHOP, &conn, &Peer::default(), None, Mono(1));
    registry.0.streams(ConnId(1), 2, Mono(1));
    registry.0.streams(ConnId(1), -1, Mono(1));
    let open = |registry: &mut Registry, second| -> Vec<f64> {
        let values = registry.values(second).into_iter().filter(|(series, _)| series.contains("remora.sse.streams"));
        values.filter_map(|(_, value)| value).collect()
    };
    assert_eq!(open(&mut registry, 2), [1.0]);
    registry.0.messages(ConnId(1), Carrier::EventStream, Direction::Ingress, Passed { messages: 3, bytes: 70 }, Mono(2));
    let passed = registry.values(3).into_iter().filter(|(series, _)| series.contains("network.io.direction=receive"));
    let passed: Vec<_> = passed.map(|(series, value)| (series.split(' ').nth(1).unwrap_or_default().to_owned(), value)).collect();
    assert_eq!(passed, [("remora.sse.io".to_owned(), Some(70.0)), ("remora.sse.messages".to_owned(), Some(3.0))]);
    registry.0.opened(CART, &conn, &Peer::default(), None, Mono(3));
    assert_eq!(open(&mut registry, 4), [0.0, 1.0]);
    registry.0.closed(ConnId(1), Mono(5));
    assert_eq!(open(&mut registry, 6), [0.0, 0.0]);
}

#[test]
fn a_listener_is_reported_while_it_listens() {
    let mut registry = Registry::new(Settings::default());
    let address = "[::]:80".parse().expect("address");
    registry.0.listening(SHOP, address, Listening::Begins, Mono(1));
    assert_eq!(registry.values(10), [(format!("{SHOP} remora.net.listen network.local.address=:: network.local.port=80"), Some(1.0))]);
    registry.0.listening(SHOP, address, Listening::Ends, Mono(11));
    assert_eq!(registry.values(20), []);
}

#[test]
fn the_cache_stays_with_its_attribute_set() {
    #[derive(Default)]
    struct Caches(Vec<u32>);
    impl Visitor<u32, u32> for Caches {
        fn point(&mut self, _: u32, _: &'static Instrument, _: Attributes<'_>, cache: &mut u32, _: &Point<'_>) {
            *cache += 1;
            self.0.push(*cache);
        }
    }
    let mut registry = Registry::new(Settings::default());
    let mut caches = Caches::default();
    for second in 1..4 {
        registry.query(SHOP, "GET", second, 3);
        registry.0.collect(Mono(second * SECOND), &mut caches);
    }
    assert_eq!(caches.0, [1, 2, 3]);
}

/// What may happen to a registry.
#[derive(Clone, Debug)]
enum Step {
    Query { entity: u32, operation: u8, millis: u64 },
    Collect,
    End(u32),
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3_u32, 0..12_u8, 0..20_000_u64).prop_map(|(entity, operation, millis)| Step::Query { entity, operation, millis }),
        2 => Just(Step::Collect),
        1 => (0..3_u32).prop_map(Step::End),
        1 => (1..40_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 0..200)
}

/// Runs `steps` and returns all reported counts by series, with what a cumulative series had before it ended added up.
fn run(steps: &[Step], settings: Settings) -> (BTreeMap<String, f64>, u64) {
    let mut registry = Registry::new(settings);
    let (mut second, mut queries) = (0, 0);
    let mut done: BTreeMap<String, f64> = BTreeMap::new();
    let mut open: BTreeMap<String, f64> = BTreeMap::new();
    let mut take = |points: Vec<Seen>| {
        for Seen { series, value, .. } in points {
            match (value, settings.temporality) {
                (Some(value), Temporality::Delta) => *done.entry(series).or_default() += value,
                (Some(value), Temporality::Cumulative) => drop(open.insert(series, value)),
                (None, _) => *done.entry(series.clone()).or_default() += open.remove(&series).unwrap_or(0.0),
            }
        }
    };
    for step in steps {
        match step {
            Step::Query { entity, operation, millis } => {
                queries += 1;
                registry.query(*entity, &operation.to_string(), second, *millis);
            }
            Step::Collect => take(registry.collect(second)),
            Step::End(entity) => registry.0.ended(*entity),
            Step::Wait(seconds) => second += seconds,
        }
        second += 1;
    }
    take(registry.collect(second));
    for (series, value) in open {
        *done.entry(series).or_default() += value;
    }
    done.retain(|_, count| *count > 0.0);
    (done, queries)
}

proptest! {
    #[test]
    fn every_exchange_is_counted_once_under_any_interleaving_and_limits(
        steps in steps(), per_entity in 1..15_usize, per_node in 1..40_usize, idle in 5..100_u64, exponential in any::<bool>(),
    ) {
        let division = if exponential { Division::Exponential } else { Division::Explicit };
        let settings = Settings { per_entity, per_node, idle: Duration::from_secs(idle), division, ..Settings::default() };
        for temporality in [Temporality::Cumulative, Temporality::Delta] {
            let (counts, queries) = run(&steps, Settings { temporality, ..settings });
            prop_assert_eq!(counts.values().sum::<f64>(), queries as f64);
        }
    }

    #[test]
    fn deltas_add_up_to_the_cumulative_values(steps in steps()) {
        let (deltas, _) = run(&steps, Settings { temporality: Temporality::Delta, ..Settings::default() });
        let (cumulative, _) = run(&steps, Settings::default());
        prop_assert_eq!(deltas, cumulative);
    }
}
