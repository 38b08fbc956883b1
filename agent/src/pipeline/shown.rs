//! A finished exchange as a row of the live view.

use crate::entity::table::Entity;
use crate::trace::span::SpanData;
use crate::view::{self, RequestRow, UnixNanos};
use remora_core::model::{ConnInfo, Exchange, Key, semconv};
use std::time::Duration;

/// Where protocols keep the status of an answer.
const STATUS: [Key; 4] = [
    semconv::HTTP_RESPONSE_STATUS_CODE,
    semconv::DB_RESPONSE_STATUS_CODE,
    semconv::RPC_RESPONSE_STATUS_CODE,
    semconv::REMORA_DNS_RESPONSE_CODE,
];

/// The row of `exchange`, which `entity` had with `other`.
pub(super) fn row(conn: &ConnInfo, exchange: &Exchange, data: &SpanData<'_>, entity: &Entity, other: Option<&Entity>) -> RequestRow {
    let text = |key| exchange.attrs.int(key).map(|code| code.to_string()).or_else(|| exchange.attrs.str(key).map(str::to_owned));
    RequestRow {
        time: UnixNanos(data.start_unix_nano),
        duration: Duration::from_nanos(data.end_unix_nano - data.start_unix_nano),
        service: entity.service.name.as_str().into(),
        instance: entity.container_name().map(Into::into),
        kind: data.kind,
        protocol: exchange.protocol,
        name: data.name.to_owned(),
        label: view::label(data.attrs, data.name),
        status: STATUS.into_iter().find_map(text),
        error: exchange.error.clone(),
        peer: view::Peer { service: other.map(|other| other.service.name.as_str().into()), address: Some(conn.remote) },
        trace: data.context.trace,
        span: data.context.span,
        parent: data.context.parent,
        attributes: view::texts(data.attrs),
        connection: Some(conn.id),
        completeness: exchange.completeness,
    }
}
