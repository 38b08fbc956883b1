//! What a parser may do to the world: begin, announce and finish exchanges, count, and ask for more bytes.

use super::{Descriptor, End, Input, http1, kafka, sql};
use crate::flow::{Capture, Carrier, Direction, Loss, Pool, Probation, Sink};
use crate::model::{ConnInfo, Exchange, Kind, Message, Mono, Role};

/// Limits and choices that parsers obey.
#[derive(Clone, Debug)]
pub struct Options {
    /// Export statement text as it is, literals included (opt-in).
    pub raw_text: bool,
    /// Longest text kept of a path or a statement, in bytes.
    pub text_limit: usize,
    /// Most requests in flight that are tracked on one connection.
    pub in_flight_limit: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { raw_text: false, text_limit: 4096, in_flight_limit: 1024 }
    }
}

/// What connections tell each other, protocol by protocol; bounded by those protocols.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Names of topic ids, groups of clients.
    pub(crate) kafka: kafka::Memory,
    /// Header sections that were read last.
    pub(crate) http1: http1::Recent,
    /// What statements do.
    pub(crate) sql: sql::Digests,
}

/// A parser's hands for one call.
pub struct Cx<'a> {
    /// The connection.
    pub conn: &'a ConnInfo,
    /// Limits and choices.
    pub options: &'a Options,
    pub(crate) descriptor: &'static Descriptor,
    pub(crate) pool: &'a mut Pool,
    pub(crate) shared: &'a mut Shared,
    pub(crate) sink: &'a mut dyn Sink,
    pub(crate) capture: Option<Capture>,
    pub(crate) probation: &'a mut Probation,
    pub(crate) handed_over: &'a mut Option<Box<Exchange>>,
}

impl Cx<'_> {
    /// Part of the observed end; parsers run only once that is known.
    #[must_use]
    pub fn role(&self) -> Role {
        self.conn.role.unwrap_or(Role::Client)
    }

    /// Whether the observed (local) end is `end`.
    #[must_use]
    pub fn observes(&self, end: End) -> bool {
        matches!((self.role(), end), (Role::Client, End::Client) | (Role::Server, End::Server))
    }

    /// A new exchange whose request begins at byte `index` of `input`. Role, kind, times, call key and sending thread
    /// are filled; attributes, body and [`Message::last`] are the parser's.
    #[must_use]
    pub fn begin(&mut self, input: &Input<'_>, index: usize) -> Box<Exchange> {
        let mark = input.mark(index);
        let mut exchange = self.begin_unseen(mark.time);
        exchange.call = Some(input.call_key(index));
        exchange.sender = if self.observes(End::Client) { mark.task } else { None };
        exchange
    }

    /// A new exchange whose request's first byte was not seen: it has no call key and no thread.
    #[must_use]
    pub fn begin_unseen(&mut self, at: Mono) -> Box<Exchange> {
        let mut exchange = self.pool.take();
        exchange.protocol = self.descriptor.name;
        exchange.family = self.descriptor.family;
        exchange.role = Some(self.role());
        exchange.kind = match self.role() {
            Role::Client => Kind::Client,
            Role::Server => Kind::Server,
        };
        exchange.request = Message { first: at, last: at, body_bytes: None };
        exchange
    }

    /// Announces a request whose head has been read: trace context and parent are decided now. Once per exchange.
    pub fn request(&mut self, exchange: &mut Exchange) {
        if self.probation.is_on() {
            self.probation.request().into_iter().for_each(|proven| self.tell(proven));
        }
        self.sink.request(self.conn, exchange);
    }

    /// Marks the response's first byte as byte `index` of `input`.
    pub fn respond(&self, exchange: &mut Exchange, input: &Input<'_>, index: usize) {
        let mark = input.mark(index);
        exchange.response = Some(Message { first: mark.time, last: mark.time, body_bytes: None });
        exchange.responder = if self.observes(End::Server) { mark.task } else { None };
    }

    /// Hands over a finished exchange. Once per exchange, and always after [`Self::request`].
    pub fn finish(&mut self, exchange: Box<Exchange>) {
        if let Some(exchange) = self.probation.finish(exchange) {
            self.tell(exchange);
        } else if self.probation.is_hopeless() {
            self.refute();
        }
    }

    fn tell(&mut self, exchange: Box<Exchange>) {
        if let Some(exchange) = self.sink.exchange(self.conn, exchange) {
            self.pool.put(exchange);
        }
    }

    /// What was held back was paired wrongly: nothing is known of these requests but that there were some.
    fn refute(&mut self) {
        for exchange in self.probation.orphan() {
            self.sink.void(self.conn, &exchange);
            self.pool.put(exchange);
        }
    }

    /// Takes back an exchange that turned out to be none (never announced, or announced and void): see [`Sink::void`].
    pub fn void(&mut self, exchange: Box<Exchange>) {
        self.probation.void();
        self.sink.void(self.conn, &exchange);
        self.pool.put(exchange);
    }

    /// Counts something that was dropped, cut or not understood.
    pub fn count(&mut self, loss: Loss, n: u64) {
        self.sink.loss(Some(self.descriptor.name), loss, n);
        if loss == Loss::Orphan {
            self.refute();
        }
    }

    /// Asks the kernel for another amount of each direction from now on.
    pub fn want(&mut self, capture: Capture) {
        self.capture = Some(capture);
    }

    /// Leaves an announced exchange to the parser that [`super::Stop::Switch`] names: its answer comes there.
    pub fn hand_over(&mut self, exchange: Box<Exchange>) {
        *self.handed_over = Some(exchange);
    }

    /// Takes the exchange that the parser before this one left.
    pub fn take_over(&mut self) -> Option<Box<Exchange>> {
        self.handed_over.take()
    }

    /// Tells that the response to an announced request is a stream that lasts until the exchange is finished.
    pub fn streams(&mut self, exchange: &Exchange) {
        self.sink.streams(self.conn, exchange);
    }

    /// Counts a message that is no request and no answer: `from` has sent it whole, with `bytes` of payload.
    pub fn message(&mut self, from: End, carrier: Carrier, bytes: u64) {
        let direction = if self.observes(from) { Direction::Egress } else { Direction::Ingress };
        self.sink.message(self.conn, carrier, direction, bytes);
    }
}
