//! Requests of a capture file as spans: `remora decode --otlp`.
//!
//! The same places in traces and the same attributes as for live traffic; only nobody tells whose the addresses were, so
//! all spans belong to one Resource, the host that replays.

use super::Outlet;
use super::identity::nobody;
use super::spans::{Flush, SpanBuffer};
use crate::entity::host::Host;
use crate::entity::table::Entity;
use crate::trace::span::{self, Peer, UnixOffset};
use crate::trace::{Reported, Tracer};
use remora_core::flow::Sink;
use remora_core::model::{ConnInfo, Exchange, Mono};
use std::sync::Arc;
use std::time::Duration;

/// Spans of one request to the receiver.
const BATCH: usize = 8192;

/// See the module.
pub struct Replay {
    tracer: Tracer,
    spans: SpanBuffer,
    outlet: Box<dyn Outlet>,
    entity: Arc<Entity>,
    name: String,
    last: Mono,
    exported: u64,
}

impl Replay {
    /// Nothing replayed yet.
    #[must_use]
    pub fn new(tracer: Tracer, host: &Host, outlet: Box<dyn Outlet>) -> Self {
        let spans = SpanBuffer::new(BATCH, Duration::MAX);
        Self { tracer, spans, outlet, entity: nobody(host), name: String::new(), last: Mono(0), exported: 0 }
    }

    /// Hands over what waits. Returns how many spans there were in all.
    pub fn finish(&mut self) -> u64 {
        self.spans.flush(self.last, Flush::All).into_iter().for_each(|batch| self.outlet.submit(batch));
        self.exported
    }
}

impl Sink for Replay {
    fn request(&mut self, conn: &ConnInfo, exchange: &mut Exchange) {
        self.tracer.request(conn, exchange, Reported::Yes);
    }

    fn exchange(&mut self, conn: &ConnInfo, mut exchange: Box<Exchange>) -> Option<Box<Exchange>> {
        let context = self.tracer.finish(conn, &exchange);
        if context.kept {
            span::complete(&mut exchange, conn, &Peer::default());
            self.last = exchange.end();
            // Times of a capture file count from the Unix epoch already.
            let data = span::span(&exchange, context, UnixOffset(0), &mut self.name);
            self.spans.add(&self.entity, &data, self.last);
            self.exported += 1;
            self.spans.flush(self.last, Flush::Due).into_iter().for_each(|batch| self.outlet.submit(batch));
        }
        Some(exchange)
    }

    fn void(&mut self, conn: &ConnInfo, exchange: &Exchange) {
        self.tracer.void(conn, exchange);
    }
}
