//! From a finished exchange to the span that is exported: completes the attributes in place, then lends them.
//!
//! A parser knows what was on the wire; this adds what the connection and the identities of both ends tell, by semantic
//! conventions 1.44 ("recommended" and "conditionally required" attributes included). It replaces nothing that the wire
//! said and must know no OTLP type.

use super::context::SpanContext;
use remora_core::model::{
    Attrs, Completeness, ConnInfo, Exchange, ExchangeId, Family, Key, Kind, Message, Mono, Role, Task, Transport, naming, semconv as s,
};
use std::fmt::Write;
use std::net::IpAddr;

/// What is known of the other end of a connection beside its address. Empty texts are unknown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer<'a> {
    /// `service.name` of the other end.
    pub service: &'a str,
    /// `service.namespace` of the other end.
    pub namespace: &'a str,
    /// Name of its container.
    pub container: &'a str,
    /// Name by which it was looked up (DNS), where the protocol carries none.
    pub host: &'a str,
}

/// Nanoseconds from the origin of [`Mono`] to the Unix epoch's clock: `unix = mono + offset`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnixOffset(pub i64);

impl UnixOffset {
    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub fn unix_nanos(self, at: Mono) -> u64 {
        at.0.saturating_add_signed(self.0)
    }
}

/// Status of a span. It has no description: `error.type` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No error was seen.
    Unset,
    /// [`Exchange::error`] is set.
    Error,
}

/// A span, ready to be encoded.
#[derive(Clone, Copy, Debug)]
pub struct SpanData<'a> {
    /// Ids, parent and link.
    pub context: SpanContext,
    /// `tracestate`; may be empty.
    pub trace_state: &'a str,
    /// Name, of low cardinality.
    pub name: &'a str,
    /// Kind.
    pub kind: Kind,
    /// First byte of the request, in nanoseconds since the Unix epoch.
    pub start_unix_nano: u64,
    /// Last byte seen, in nanoseconds since the Unix epoch; never before the start.
    pub end_unix_nano: u64,
    /// Attributes.
    pub attrs: &'a Attrs,
    /// Status.
    pub status: Status,
}

/// The span of a completed exchange. `name` is a buffer for its name and is overwritten.
pub fn span<'a>(exchange: &'a Exchange, context: SpanContext, offset: UnixOffset, name: &'a mut String) -> SpanData<'a> {
    name.clear();
    naming::span_name(exchange, name);
    let start = exchange.request.first;
    SpanData {
        context,
        trace_state: &exchange.trace_state,
        name,
        kind: exchange.kind,
        start_unix_nano: offset.unix_nanos(start),
        end_unix_nano: offset.unix_nanos(exchange.end().max(start)),
        attrs: &exchange.attrs,
        status: if exchange.error.is_some() { Status::Error } else { Status::Unset },
    }
}

/// A connect that failed, as the exchange of which a CLIENT span named `connect` is made ([`Family::Tcp`]).
///
/// The conventions have no span for it: it stands where the span of the request would, with the same `server.*` and
/// `error.type`. `error` is [`s::ERROR_REFUSED`], [`s::ERROR_TIMEOUT`] or another error's name.
#[must_use]
pub fn failed_connect(id: ExchangeId, conn: &ConnInfo, sender: Option<Task>, error: &str, end: Mono) -> Exchange {
    Exchange {
        id,
        protocol: "tcp",
        family: Family::Tcp,
        role: Some(Role::Client),
        kind: Kind::Client,
        request: Message { first: conn.opened, last: end.max(conn.opened), body_bytes: None },
        sender,
        error: Some(error.to_owned()),
        ..Exchange::default()
    }
}

/// Adds what the wire did not say. Once per exchange, before it is aggregated and exported.
pub fn complete(exchange: &mut Exchange, conn: &ConnInfo, peer: &Peer<'_>) {
    let role = exchange.role.or(conn.role).unwrap_or(Role::Client);
    server_address(&mut exchange.attrs, conn, role, peer);
    if role == Role::Server {
        set_address(&mut exchange.attrs, s::CLIENT_ADDRESS, conn.remote.ip());
    }
    set_address(&mut exchange.attrs, s::NETWORK_PEER_ADDRESS, conn.remote.ip());
    set_int(&mut exchange.attrs, s::NETWORK_PEER_PORT, i64::from(conn.remote.port()));
    network(exchange, conn);
    body_sizes(exchange);
    names(&mut exchange.attrs, peer);
    if let Some(error) = &exchange.error {
        exchange.attrs.set_str(s::ERROR_TYPE, error);
    }
    incomplete(&mut exchange.attrs, exchange.completeness);
}

/// The name that the request used, with its port, if the parser knows it; else the name that was looked up or the address
/// that was dialled.
fn server_address(attrs: &mut Attrs, conn: &ConnInfo, role: Role, peer: &Peer<'_>) {
    if attrs.get(s::SERVER_ADDRESS).is_some() {
        return;
    }
    let server = match role {
        Role::Client => conn.dialed.unwrap_or(conn.remote),
        Role::Server => conn.local,
    };
    match (role, peer.host) {
        (Role::Client, host) if !host.is_empty() => attrs.set_str(s::SERVER_ADDRESS, host),
        _ => set_address(attrs, s::SERVER_ADDRESS, server.ip()),
    }
    set_int(attrs, s::SERVER_PORT, i64::from(server.port()));
}

/// `network.transport` and `network.type`: recommended for RPC, and what tells DNS over UDP from DNS over TCP.
fn network(exchange: &mut Exchange, conn: &ConnInfo) {
    if matches!(exchange.family, Family::Http | Family::Db) {
        return;
    }
    let transport = match conn.transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    };
    let version = match conn.remote.ip() {
        IpAddr::V4(_) => "ipv4",
        IpAddr::V6(_) => "ipv6",
    };
    exchange.attrs.set_str(s::NETWORK_TRANSPORT, transport);
    exchange.attrs.set_str(s::NETWORK_TYPE, version);
}

/// Body sizes, which the flow knows and HTTP has attributes for.
fn body_sizes(exchange: &mut Exchange) {
    if exchange.family != Family::Http {
        return;
    }
    let response = exchange.response.and_then(|response| response.body_bytes);
    for (key, size) in [(s::HTTP_REQUEST_BODY_SIZE, exchange.request.body_bytes), (s::HTTP_RESPONSE_BODY_SIZE, response)] {
        if let Some(size) = size.and_then(|size| i64::try_from(size).ok()) {
            exchange.attrs.set_int(key, size);
        }
    }
}

fn names(attrs: &mut Attrs, peer: &Peer<'_>) {
    let names = [
        (s::SERVICE_PEER_NAME, peer.service),
        (s::SERVICE_PEER_NAMESPACE, peer.namespace),
        (s::REMORA_PEER_CONTAINER_NAME, peer.container),
    ];
    for (key, name) in names {
        if !name.is_empty() {
            attrs.set_str(key, name);
        }
    }
}

fn incomplete(attrs: &mut Attrs, completeness: Completeness) {
    if completeness.is_complete() {
        return;
    }
    let Completeness { request_cut, request_lost, response_lost, end_inferred } = completeness;
    let parts =
        [(request_cut, "request_cut"), (request_lost, "request_lost"), (response_lost, "response_lost"), (end_inferred, "end_inferred")];
    attrs.set_list(s::REMORA_INCOMPLETE, parts.into_iter().filter(|(missing, _)| *missing).map(|(_, name)| name));
}

fn set_int(attrs: &mut Attrs, key: Key, value: i64) {
    if attrs.get(key).is_none() {
        attrs.set_int(key, value);
    }
}

fn set_address(attrs: &mut Attrs, key: Key, address: IpAddr) {
    if attrs.get(key).is_none() {
        attrs.set_with(key, |text| {
            let _ = write!(text, "{address}");
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::ids;
    use remora_core::model::{CallKey, ConnId, Value};

    fn conn(role: Role) -> ConnInfo {
        ConnInfo {
            id: ConnId(1),
            transport: Transport::Tcp,
            local: "10.0.0.1:40000".parse().expect("address"),
            remote: "10.0.0.2:8080".parse().expect("address"),
            dialed: None,
            role: Some(role),
            owner: None,
            cgroup: None,
            opened: Mono(5),
            midway: false,
        }
    }

    fn get(exchange: &Exchange, attrs: &[(Key, &str)]) -> Exchange {
        let mut exchange = Exchange { attrs: Attrs::default(), ..exchange.clone() };
        exchange.attrs.set_str(s::HTTP_REQUEST_METHOD, "GET");
        attrs.iter().for_each(|(key, value)| exchange.attrs.set_str(*key, value));
        exchange
    }

    fn text(exchange: &Exchange, key: Key) -> &str {
        exchange.attrs.str(key).unwrap_or("-")
    }

    #[test]
    fn a_client_span_has_the_required_attributes_even_without_a_host_header() {
        let client = Exchange { role: Some(Role::Client), ..Exchange::default() };
        let mut exchange = get(&client, &[]);
        complete(&mut exchange, &conn(Role::Client), &Peer::default());
        assert_eq!(text(&exchange, s::SERVER_ADDRESS), "10.0.0.2");
        assert_eq!(exchange.attrs.int(s::SERVER_PORT), Some(8080));
        assert_eq!(text(&exchange, s::NETWORK_PEER_ADDRESS), "10.0.0.2");
        assert_eq!(text(&exchange, s::CLIENT_ADDRESS), "-");
    }

    #[test]
    fn the_server_is_named_as_dialled_and_the_peer_as_reached() {
        let mut exchange = get(&Exchange { role: Some(Role::Client), ..Exchange::default() }, &[]);
        let conn = ConnInfo { dialed: Some("10.96.0.1:80".parse().expect("address")), ..conn(Role::Client) };
        complete(&mut exchange, &conn, &Peer { service: "cart", ..Peer::default() });
        assert_eq!((text(&exchange, s::SERVER_ADDRESS), exchange.attrs.int(s::SERVER_PORT)), ("10.96.0.1", Some(80)));
        assert_eq!((text(&exchange, s::NETWORK_PEER_ADDRESS), text(&exchange, s::SERVICE_PEER_NAME)), ("10.0.0.2", "cart"));
    }

    #[test]
    fn what_the_wire_said_is_not_replaced() {
        let server = Exchange { role: Some(Role::Server), kind: Kind::Server, ..Exchange::default() };
        let mut exchange = get(&server, &[(s::SERVER_ADDRESS, "shop.example"), (s::CLIENT_ADDRESS, "192.0.2.9")]);
        exchange.attrs.set_int(s::SERVER_PORT, 443);
        complete(&mut exchange, &conn(Role::Server), &Peer { host: "ignored", ..Peer::default() });
        assert_eq!((text(&exchange, s::SERVER_ADDRESS), exchange.attrs.int(s::SERVER_PORT)), ("shop.example", Some(443)));
        assert_eq!(text(&exchange, s::CLIENT_ADDRESS), "192.0.2.9");
    }

    #[test]
    fn only_families_that_ask_for_it_tell_the_transport() {
        for (family, transport) in [(Family::Http, "-"), (Family::Db, "-"), (Family::Rpc, "tcp"), (Family::Dns, "tcp")] {
            let mut exchange = Exchange { family, ..Exchange::default() };
            complete(&mut exchange, &conn(Role::Client), &Peer::default());
            assert_eq!(text(&exchange, s::NETWORK_TRANSPORT), transport, "{family:?}");
        }
    }

    #[test]
    fn what_was_not_seen_is_said() {
        let completeness = Completeness { request_cut: true, end_inferred: true, ..Completeness::default() };
        let mut exchange = Exchange { completeness, error: Some(s::ERROR_RESET.to_owned()), ..Exchange::default() };
        complete(&mut exchange, &conn(Role::Client), &Peer::default());
        assert_eq!(exchange.attrs.get(s::REMORA_INCOMPLETE), Some(Value::List(vec!["request_cut", "end_inferred"])));
        assert_eq!(text(&exchange, s::ERROR_TYPE), "connection_reset");
    }

    #[test]
    fn a_failed_connect_is_a_client_span_with_an_error() {
        let conn = conn(Role::Client);
        let mut exchange = failed_connect(ExchangeId(1), &conn, None, s::ERROR_REFUSED, Mono(25));
        complete(&mut exchange, &conn, &Peer::default());
        let call = CallKey::new(1, 2, b"");
        let context = SpanContext { trace: ids::trace_id(&call), span: ids::client_span_id(&call), parent: None, link: None, kept: true };
        let mut name = "old".to_owned();
        let span = span(&exchange, context, UnixOffset(1000), &mut name);
        assert_eq!((span.name, span.kind, span.status), ("connect", Kind::Client, Status::Error));
        assert_eq!((span.start_unix_nano, span.end_unix_nano), (1005, 1025));
        let attrs: Vec<_> = span.attrs.iter().map(|(key, value)| (key.name(), value)).collect();
        assert_eq!(
            attrs,
            [
                ("server.address", Value::Str("10.0.0.2")),
                ("server.port", Value::Int(8080)),
                ("network.peer.address", Value::Str("10.0.0.2")),
                ("network.peer.port", Value::Int(8080)),
                ("network.transport", Value::Str("tcp")),
                ("network.type", Value::Str("ipv4")),
                ("error.type", Value::Str("connection_refused")),
            ]
        );
    }
}
