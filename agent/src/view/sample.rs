//! Rows for tests.

use std::time::Duration;

use remora_core::model::{Completeness, ConnId, Kind, SpanId, TraceId, Transport, semconv};

use super::{ConnectionRow, Direction, Peer, RequestRow, UnixNanos};

pub(crate) fn trace(byte: u8) -> TraceId {
    TraceId::new([byte; 16]).expect("not zero")
}

pub(crate) fn span(byte: u8) -> SpanId {
    SpanId::new([byte; 8]).expect("not zero")
}

pub(crate) fn request(service: &str) -> RequestRow {
    RequestRow {
        time: UnixNanos(1_700_000_000_000_000_000),
        duration: Duration::from_micros(1_500),
        service: service.into(),
        instance: None,
        kind: Kind::Server,
        protocol: "http/1.1",
        name: "GET".into(),
        label: "GET /index.html".into(),
        status: Some("200".into()),
        error: None,
        peer: Peer::default(),
        trace: trace(1),
        span: span(1),
        parent: None,
        attributes: vec![(semconv::URL_PATH, "/index.html".into())],
        connection: None,
        completeness: Completeness::default(),
    }
}

pub(crate) fn connection(id: u64) -> ConnectionRow {
    ConnectionRow {
        id: ConnId(id),
        transport: Transport::Tcp,
        direction: Some(Direction::Served),
        local: ([127, 0, 0, 1], 80).into(),
        remote: ([127, 0, 0, 1], 40_000).into(),
        service: Some("nginx".into()),
        peer_service: None,
        protocol: Some("http/1.1"),
        opened: UnixNanos(id),
        closed: None,
        sent_bytes: 1,
        received_bytes: 2,
        retransmits: 0,
        rtt: Some(Duration::from_micros(50)),
    }
}
