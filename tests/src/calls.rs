//! Spans of both ends of a call, brought together the way a tracing backend does: by trace and parent.

use crate::{Item, SpanKind};
use std::collections::HashMap;

/// A call of which both ends were observed.
#[derive(Clone, Debug)]
pub struct Call {
    /// The CLIENT span, or that of a PRODUCER or CONSUMER.
    pub client: Item,
    /// The SERVER span, whose parent is the CLIENT span.
    pub server: Item,
}

/// The calls among `spans` in the order of their CLIENT spans' starts, and the spans without their other end.
#[must_use]
pub fn calls(spans: Vec<Item>) -> (Vec<Call>, Vec<Item>) {
    let (servers, others): (Vec<Item>, Vec<Item>) = spans.into_iter().partition(|span| span.kind() == SpanKind::Server);
    let key = |span: &Item, id: &str| (span.text("traceId").to_owned(), span.text(id).to_owned());
    let mut asking: HashMap<_, Item> = HashMap::new();
    let mut alone = Vec::new();
    for span in others {
        match span.kind() {
            SpanKind::Client | SpanKind::Producer | SpanKind::Consumer => alone.extend(asking.insert(key(&span, "spanId"), span)),
            SpanKind::Server | SpanKind::Other => alone.push(span),
        }
    }
    let mut found = Vec::new();
    for server in servers {
        match asking.remove(&key(&server, "parentSpanId")) {
            Some(client) => found.push(Call { client, server }),
            None => alone.push(server),
        }
    }
    found.sort_by_key(|call| call.client.nanos("startTimeUnixNano"));
    alone.extend(asking.into_values());
    (found, alone)
}
