//! Spans of both ends of a call, brought together the way a tracing backend does: by trace and parent.

use crate::{Item, SpanKind};

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
    let (servers, mut others): (Vec<Item>, Vec<Item>) = spans.into_iter().partition(|span| span.kind() == SpanKind::Server);
    let mut found = Vec::new();
    let mut alone = Vec::new();
    for server in servers {
        let above = |client: &Item| {
            matches!(client.kind(), SpanKind::Client | SpanKind::Producer | SpanKind::Consumer)
                && client.text("spanId") == server.text("parentSpanId")
                && client.text("traceId") == server.text("traceId")
        };
        match others.iter().position(above) {
            Some(at) => found.push(Call { client: others.swap_remove(at), server }),
            None => alone.push(server),
        }
    }
    found.sort_by_key(|call| call.client.nanos("startTimeUnixNano"));
    alone.append(&mut others);
    (found, alone)
}
