//! Every request and TCP metric, once: name, unit, shape, bounds and the attributes that make its series.
//!
//! Attributes are of low cardinality by definition: no path, no text, no address of a client. Instruments that share
//! their attributes form a group and are found by one look-up. Names, units and bounds are those of the semantic
//! conventions 1.44; what they do not define stands under `remora.`.

use remora_core::model::{Exchange, Family, Key, Kind, Role, semconv as s};

/// A metric.
#[derive(Debug)]
pub struct Instrument {
    /// Name.
    pub name: &'static str,
    /// What it measures.
    pub description: &'static str,
    /// Unit, in UCUM.
    pub unit: &'static str,
    /// Kind of its points.
    pub shape: Shape,
    pub(super) source: Source,
}

/// Kind of a metric's points.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// Histogram, with its bounds where explicit ones are wanted.
    Histogram(&'static [f64]),
    /// Monotonic sum.
    Counter,
    /// Non-monotonic sum; always cumulative.
    UpDownCounter,
    /// Gauge.
    Gauge,
}

/// What of an exchange an instrument measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Duration,
    RequestBody,
    ResponseBody,
    Messages,
    /// It is fed by other means.
    Other,
}

/// Instruments that share their attributes.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) keys: &'static [Key],
    pub(super) instruments: &'static [Instrument],
}

/// Most attributes of a group.
pub(super) const MAX_KEYS: usize = 10;

const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const DB_SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
const NET_SECONDS: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
const BYTES: &[f64] =
    &[0.0, 128.0, 512.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0, 67_108_864.0];

const fn duration(name: &'static str, description: &'static str, bounds: &'static [f64]) -> Instrument {
    Instrument { name, description, unit: "s", shape: Shape::Histogram(bounds), source: Source::Duration }
}

const fn size(name: &'static str, description: &'static str, source: Source) -> Instrument {
    Instrument { name, description, unit: "By", shape: Shape::Histogram(BYTES), source }
}

const fn messages(name: &'static str, description: &'static str) -> Instrument {
    Instrument { name, description, unit: "{message}", shape: Shape::Counter, source: Source::Messages }
}

const fn other(name: &'static str, description: &'static str, unit: &'static str, shape: Shape) -> Instrument {
    Instrument { name, description, unit, shape, source: Source::Other }
}

const DB: &[Key] = &[
    s::DB_SYSTEM_NAME,
    s::DB_OPERATION_NAME,
    s::DB_COLLECTION_NAME,
    s::DB_NAMESPACE,
    s::DB_QUERY_SUMMARY,
    s::DB_STORED_PROCEDURE_NAME,
    s::DB_RESPONSE_STATUS_CODE,
    s::ERROR_TYPE,
    s::SERVER_ADDRESS,
    s::SERVER_PORT,
];
const RPC: &[Key] = &[s::RPC_SYSTEM_NAME, s::RPC_METHOD, s::RPC_RESPONSE_STATUS_CODE, s::ERROR_TYPE, s::SERVER_ADDRESS, s::SERVER_PORT];
const MESSAGING: &[Key] = &[
    s::MESSAGING_SYSTEM,
    s::MESSAGING_OPERATION_NAME,
    s::MESSAGING_OPERATION_TYPE,
    s::MESSAGING_DESTINATION_NAME,
    s::MESSAGING_CONSUMER_GROUP_NAME,
    s::ERROR_TYPE,
    s::SERVER_ADDRESS,
    s::SERVER_PORT,
];
/// What passes a connection is counted by.
const PEER_IO: &[Key] = &[
    s::REMORA_CONNECTION_ROLE,
    s::SERVER_ADDRESS,
    s::SERVER_PORT,
    s::NETWORK_PEER_ADDRESS,
    s::SERVICE_PEER_NAME,
    s::SERVICE_PEER_NAMESPACE,
    s::NETWORK_IO_DIRECTION,
];
/// A connection itself goes no way.
const PEER: &[Key] = PEER_IO.split_at(PEER_IO.len() - 1).0;
const DNS: &[Key] = &[s::DNS_QUESTION_NAME, s::ERROR_TYPE];
const MESSAGING_DURATION: Instrument =
    duration("messaging.client.operation.duration", "Duration of messaging operations of a client.", SECONDS);

/// Generates the table and the names of its lines, so that neither can miss the other.
macro_rules! groups {
    ($($name:ident: $keys:expr => [$($instrument:expr),* $(,)?];)*) => {
        /// Line of [`GROUPS`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum GroupId { $($name),* }

        /// All groups.
        pub(super) static GROUPS: &[Group] = &[$(Group { keys: $keys, instruments: &[$($instrument),*] }),*];
    };
}

groups! {
    HttpClient: &[
        s::HTTP_REQUEST_METHOD, s::SERVER_ADDRESS, s::SERVER_PORT, s::HTTP_RESPONSE_STATUS_CODE, s::ERROR_TYPE,
        s::NETWORK_PROTOCOL_NAME, s::NETWORK_PROTOCOL_VERSION, s::URL_TEMPLATE, s::SERVICE_PEER_NAME, s::REMORA_HTTP_STREAM,
    ] => [
        duration("http.client.request.duration", "Duration of HTTP client requests.", SECONDS),
        size("http.client.request.body.size", "Size of HTTP client request bodies.", Source::RequestBody),
        size("http.client.response.body.size", "Size of HTTP client response bodies.", Source::ResponseBody),
    ];
    HttpServer: &[
        s::HTTP_REQUEST_METHOD, s::URL_SCHEME, s::HTTP_RESPONSE_STATUS_CODE, s::HTTP_ROUTE, s::ERROR_TYPE,
        s::NETWORK_PROTOCOL_NAME, s::NETWORK_PROTOCOL_VERSION, s::REMORA_HTTP_STREAM,
    ] => [
        duration("http.server.request.duration", "Duration of HTTP server requests.", SECONDS),
        size("http.server.request.body.size", "Size of HTTP server request bodies.", Source::RequestBody),
        size("http.server.response.body.size", "Size of HTTP server response bodies.", Source::ResponseBody),
    ];
    RpcClient: RPC => [duration("rpc.client.call.duration", "Duration of outgoing remote procedure calls.", SECONDS)];
    RpcServer: RPC => [duration("rpc.server.call.duration", "Duration of incoming remote procedure calls.", SECONDS)];
    DbClient: DB => [duration("db.client.operation.duration", "Duration of database client operations.", DB_SECONDS)];
    DbServer: DB => [duration("db.server.operation.duration", "Duration of operations as the database serves them.", DB_SECONDS)];
    MessagingClient: MESSAGING => [MESSAGING_DURATION];
    MessagingProducer: MESSAGING => [
        MESSAGING_DURATION,
        messages("messaging.client.sent.messages", "Number of messages that a producer sent to the broker."),
    ];
    MessagingConsumer: MESSAGING => [
        MESSAGING_DURATION,
        messages("messaging.client.consumed.messages", "Number of messages that a consumer took from the broker."),
    ];
    MessagingServer: MESSAGING => [
        duration("remora.messaging.server.operation.duration", "Duration of operations as the broker serves them.", SECONDS),
    ];
    DnsClient: DNS => [duration("dns.lookup.duration", "Duration of DNS lookups.", SECONDS)];
    DnsServer: DNS => [duration("remora.dns.server.duration", "Duration of DNS lookups as the server answers them.", SECONDS)];
    TcpPeer: PEER => [
        other("remora.tcp.connect.duration", "Time from SYN to an established connection.", "s", Shape::Histogram(NET_SECONDS)),
        other("remora.tcp.connections", "Open connections.", "{connection}", Shape::UpDownCounter),
        other("remora.tcp.retransmits", "Segments sent again.", "{segment}", Shape::Counter),
        other("remora.tcp.rtt", "Smoothed round-trip time, as sampled.", "s", Shape::Histogram(NET_SECONDS)),
    ];
    TcpIo: PEER_IO => [other("remora.tcp.io", "Payload bytes.", "By", Shape::Counter)];
    TcpFailure: &[
        s::REMORA_CONNECTION_ROLE, s::SERVER_ADDRESS, s::SERVER_PORT, s::NETWORK_PEER_ADDRESS, s::SERVICE_PEER_NAME,
        s::SERVICE_PEER_NAMESPACE, s::ERROR_TYPE,
    ] => [other("remora.tcp.connect.failures", "Connects that failed.", "{connect}", Shape::Counter)];
    WebSocket: PEER => [other("remora.websocket.connections", "Open WebSocket connections.", "{connection}", Shape::UpDownCounter)];
    WebSocketIo: PEER_IO => [
        other("remora.websocket.messages", "WebSocket messages, each counted when it is whole.", "{message}", Shape::Counter),
        other("remora.websocket.io", "Payload bytes of WebSocket messages.", "By", Shape::Counter),
    ];
    EventStream: PEER => [other("remora.sse.streams", "Open streams of server-sent events.", "{stream}", Shape::UpDownCounter)];
    EventStreamIo: PEER_IO => [
        other("remora.sse.messages", "Server-sent events, each counted when it is whole.", "{message}", Shape::Counter),
        other("remora.sse.io", "Bytes of data of server-sent events.", "By", Shape::Counter),
    ];
    Listen: &[s::NETWORK_LOCAL_ADDRESS, s::NETWORK_LOCAL_PORT] => [
        other("remora.net.listen", "1 for each address that is listened on.", "1", Shape::Gauge),
    ];
}

/// All instruments, for documentation and checks. An instrument of several groups comes several times.
pub fn all() -> impl Iterator<Item = &'static Instrument> {
    GROUPS.iter().flat_map(|group| group.instruments)
}

impl GroupId {
    pub(super) fn group(self) -> &'static Group {
        &GROUPS[self as usize]
    }

    /// Group that counts `exchange`; a failed connect is no request.
    pub(super) fn of(exchange: &Exchange) -> Option<Self> {
        let server = exchange.role == Some(Role::Server);
        Some(match (exchange.family, server) {
            (Family::Http, false) => Self::HttpClient,
            (Family::Http, true) => Self::HttpServer,
            (Family::Rpc, false) => Self::RpcClient,
            (Family::Rpc, true) => Self::RpcServer,
            (Family::Db, false) => Self::DbClient,
            (Family::Db, true) => Self::DbServer,
            (Family::Messaging, true) => Self::MessagingServer,
            (Family::Messaging, false) => match exchange.kind {
                Kind::Producer => Self::MessagingProducer,
                Kind::Consumer => Self::MessagingConsumer,
                Kind::Client | Kind::Server => Self::MessagingClient,
            },
            (Family::Dns, false) => Self::DnsClient,
            (Family::Dns, true) => Self::DnsServer,
            (Family::Tcp, _) => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_name_has_one_unit_and_one_shape() {
        let mut seen = BTreeMap::new();
        for instrument in all() {
            let (unit, shape) = *seen.entry(instrument.name).or_insert((instrument.unit, instrument.shape));
            assert_eq!((unit, shape), (instrument.unit, instrument.shape), "{}", instrument.name);
        }
        assert_eq!(seen.len(), 29);
    }

    #[test]
    fn no_series_is_made_of_raw_paths_texts_or_client_addresses() {
        let raw = [s::URL_FULL, s::URL_PATH, s::URL_QUERY, s::DB_QUERY_TEXT, s::CLIENT_ADDRESS, s::CLIENT_PORT, s::USER_AGENT_ORIGINAL];
        for group in GROUPS {
            assert!(group.keys.len() <= MAX_KEYS);
            assert!(group.keys.iter().all(|key| !raw.contains(key) && s::ALL.contains(key)), "{:?}", group.keys);
        }
    }
}
