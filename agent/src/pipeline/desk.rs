//! Gives each finished exchange its owner and hands it on: to the aggregates, to its span, to the live view.
//!
//! It is the [`Sink`] of the flow and runs on the capture thread: it never waits. An exchange whose owner is not known yet
//! is kept for a moment; every exchange that was announced leaves exactly once.

use super::clock::Reading;
use super::connections::{Connections, Count};
use super::identity::{Identity, process};
use super::listening::Reporting;
use super::metrics::Collection;
use super::parties::{Other, PATIENCE, Parties, WAITING, owner, peer_of};
use super::routes::{RouteSettings, Routes};
use super::served::{Feed, Teller};
use super::spans::{Flush, Sheets, SpanBuffer};
use super::wanted::Wanted;
use super::{shown, translate};
use crate::aggregate::{Aggregate, Temporality};
use crate::entity::host::Host;
use crate::entity::table::{Entities, Entity, EntityId};
use crate::selection::Selection;
use crate::selfobs::{Counters, Event, Loss as Lost};
use crate::trace::span::{self, Peer, SpanData, UnixOffset};
use crate::trace::{Reported, SpanContext, Tracer};
use crate::view::{self, Call, Listing, UnixNanos, View};
use remora_core::flow::{Amount, Carrier, Direction, Loss, Sink};
use remora_core::model::{ConnId, ConnInfo, Exchange, ExchangeId, Family, Mono, Pid, Role, Task, semconv};
use remora_core::proto::{NameCache, WEBSOCKET};
use remora_ebpf::wire::{self, Policy};
use remora_otlp::{EncodedBatch, Metrics};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Most addresses whose names are remembered.
const NAMES: usize = 65_536;
/// How long a name is believed at least: programs hold on to an address longer than its record says.
const NAME_FLOOR: Duration = Duration::from_secs(300);
/// Turns after which what both ends of a connection have sent at the same time is read: a drain of the ring may end
/// between them.
const TURNS: u64 = 2;
/// `user_agent.original` of the agent's own export begins so; what carries it is never reported.
pub(super) const OWN_USER_AGENT: &str = "Remora/";

/// What the desk works with.
pub struct DeskSettings {
    /// Who is who.
    pub entities: Entities,
    /// The machine.
    pub host: Host,
    /// Places of spans.
    pub tracer: Tracer,
    /// Metrics of exchanges and connections.
    pub aggregate: Aggregate<EntityId>,
    /// What points of metrics cover.
    pub temporality: Temporality,
    /// Live view.
    pub view: View,
    /// The agent's own counters.
    pub counters: Arc<Counters>,
    /// What the user wants observed.
    pub selection: Selection,
    /// Routes of HTTP.
    pub routes: RouteSettings,
    /// Who tells the log thread of requests, if there is one.
    pub served: Option<Feed>,
    /// Spans in a batch.
    pub batch: usize,
    /// Longest time that a span waits for its batch.
    pub delay: Duration,
}

struct Waiting {
    conn: ConnInfo,
    exchange: Box<Exchange>,
    context: SpanContext,
    until: Mono,
}

/// An answered exchange whose asking end, observed on this node too, is not read yet.
struct Unmet {
    conn: ConnInfo,
    exchange: Box<Exchange>,
    /// Number of the turn in which it was answered.
    turn: u64,
}

/// See the module.
pub struct Desk {
    parties: Parties,
    connections: Connections,
    listening: Reporting,
    tracer: Tracer,
    aggregate: Aggregate<EntityId>,
    temporality: Temporality,
    metrics: Sheets<Metrics>,
    view: View,
    counters: Arc<Counters>,
    wanted: Wanted,
    routes: Routes,
    spans: SpanBuffer,
    waiting: VecDeque<Waiting>,
    waiting_generation: u64,
    unmet: VecDeque<Unmet>,
    turns: u64,
    policies: FxHashMap<u64, Policy>,
    /// What each service was told that addresses are called.
    names: NameCache<EntityId>,
    clock: Reading,
    now: Mono,
    name: String,
    next_connect: u64,
    served: Option<Teller>,
}

impl Desk {
    /// An empty desk.
    #[must_use]
    pub fn new(settings: DeskSettings, clock: Reading) -> Self {
        let DeskSettings { entities, host, tracer, aggregate, temporality, view, counters, selection, routes, served, batch, delay } =
            settings;
        Self {
            parties: Parties::new(entities, &host),
            connections: Connections::default(),
            listening: Reporting::default(),
            tracer,
            aggregate,
            temporality,
            metrics: Sheets::new(),
            view,
            counters,
            wanted: Wanted(selection),
            routes: Routes::new(routes),
            spans: SpanBuffer::new(batch, delay),
            waiting: VecDeque::new(),
            waiting_generation: 0,
            unmet: VecDeque::new(),
            turns: 0,
            policies: FxHashMap::default(),
            names: NameCache::new(NAMES, NAME_FLOOR),
            now: clock.mono,
            clock,
            name: String::new(),
            next_connect: u64::MAX,
            served: served.map(Teller::new),
        }
    }

    /// Sets the time of what follows.
    pub fn set_time(&mut self, clock: Reading, now: Mono) {
        (self.clock, self.now) = (clock, now);
    }

    /// Everything that happened before `until` was handed on.
    pub fn seen(&mut self, until: Mono) {
        if let Some(served) = &mut self.served {
            served.seen(until);
        }
    }

    /// A thread read what a connection had received.
    pub fn read(&mut self, conn: ConnId, task: Task, at: Mono) {
        self.tracer.read(conn, task, at);
    }

    /// Policies that were asked for since the last call.
    pub fn take_policies(&mut self) -> impl Iterator<Item = (u64, Policy)> + '_ {
        self.policies.drain()
    }

    /// Looks again at the exchanges that wait, and gives the batches that are due. Once per drain of the ring.
    pub fn turn(&mut self) -> Vec<EncodedBatch> {
        self.turns += 1;
        self.meet(self.turns.saturating_sub(TURNS));
        self.look_again();
        if let Some(served) = &mut self.served {
            served.turn(&self.tracer, self.clock);
        }
        self.spans.flush(self.now, Flush::Due)
    }

    /// Whether something waits for its owner to become known.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.connections.is_waiting() || !self.unmet.is_empty()
    }

    /// Lets go of everything, known or not: the agent stops.
    pub fn finish(&mut self) -> Vec<EncodedBatch> {
        self.meet(self.turns);
        while let Some(waiting) = self.waiting.pop_front() {
            self.settle(waiting);
        }
        self.counting(Connections::finish);
        self.spans.flush(self.now, Flush::All)
    }

    /// A connection, or what is new of it. Its owner is looked up at once: a short-lived process may be gone when its
    /// first exchange is over.
    pub fn note(&mut self, conn: &ConnInfo) {
        self.parties.peers.note(conn);
        if let Identity::Known(entity) = self.parties.owner(conn) {
            self.ignore_unwanted(conn, owner(conn), &entity);
        }
    }

    /// Stops the capture of a connection whose whole process the user does not want.
    fn ignore_unwanted(&mut self, conn: &ConnInfo, pid: Option<Pid>, entity: &Entity) {
        if self.wanted.excludes(&self.parties, pid, entity) {
            self.ignore(conn.id);
        }
    }

    /// A connection is open; `took` is the time of its handshake.
    pub fn opened(&mut self, conn: &ConnInfo, took: Option<Duration>) {
        self.counting(|connections, with| connections.opened(conn, took, with));
    }

    /// What a connection has carried so far.
    pub fn carried(&mut self, conn: &ConnInfo, totals: &wire::Totals) {
        self.counting(|connections, with| connections.carried(conn, totals, with));
    }

    /// A connection is over; `totals` is the last that was told of it.
    pub fn closed(&mut self, conn: ConnInfo, totals: Option<wire::Totals>, at: Mono) {
        self.parties.peers.close(&conn, at);
        self.counting(|connections, with| connections.closed(conn, totals, at, with));
    }

    fn counting(&mut self, count: impl FnOnce(&mut Connections, &mut Count<'_>)) {
        count(
            &mut self.connections,
            &mut Count { parties: &self.parties, wanted: &self.wanted, aggregate: &mut self.aggregate, now: self.now },
        );
    }

    /// All metrics as they are now, in requests.
    pub fn metrics(&mut self) -> Vec<EncodedBatch> {
        self.listening.report(&self.parties, &self.wanted, &mut self.aggregate, self.now);
        let Parties { entities, nobody, .. } = &self.parties;
        let whose = |id| entities.get(id).unwrap_or_else(|| Arc::clone(nobody));
        let mut collection = Collection::new(&mut self.metrics, whose, self.clock, self.temporality);
        self.aggregate.collect(self.now, &mut collection);
        collection.finish()
    }

    /// Nothing of a connection is wanted, ever.
    pub fn ignore(&mut self, conn: ConnId) {
        self.capture(conn, Amount::Nothing, Amount::Nothing);
    }

    /// Wall-clock time of `at`, in nanoseconds since the Unix epoch.
    #[must_use]
    pub fn unix(&self, at: Mono) -> u64 {
        self.clock.unix(at)
    }

    /// Services of both ends of a connection, as far as known.
    #[must_use]
    pub fn services_of(&self, conn: &ConnInfo) -> (Option<Arc<str>>, Option<Arc<str>>) {
        let name = |entity: Arc<Entity>| Arc::from(entity.service.name.as_str());
        let own = owner(conn).and_then(|pid| self.parties.entities.known(pid));
        (own.map(name), self.parties.other(conn).map(name))
    }

    /// Forgets what is too old, and counts connections whose owners have become known. Once a second.
    pub fn tick(&mut self) {
        self.parties.peers.tick(self.now);
        self.counting(Connections::count_uncounted);
        let entities = &self.parties.entities;
        self.tracer.forget_ended(|pid| entities.known(pid).is_some());
    }

    /// `pid` listens on `address`.
    pub fn listens(&mut self, address: SocketAddr, pid: Pid) {
        let Parties { entities, listeners, .. } = &mut self.parties;
        listeners.begins(address, pid, entities);
    }

    /// One socket less listens on `address`.
    pub fn listens_no_more(&mut self, address: SocketAddr) {
        self.parties.listeners.ends(address);
    }

    /// A connect that failed becomes an error span of its own.
    pub fn connect_failed(&mut self, conn: &ConnInfo, error: &str, end: Mono) {
        // Numbers of the flow count up from zero, these down from the other end.
        self.next_connect -= 1;
        let exchange = Box::new(span::failed_connect(ExchangeId(self.next_connect), conn, None, error, end));
        let context = self.tracer.finish(conn, &exchange);
        self.route(conn, exchange, context);
    }

    /// Places the exchanges that were answered in turn `until` or before it: both ends have been read by now.
    fn meet(&mut self, until: u64) {
        while let Some(Unmet { conn, exchange, .. }) = self.unmet.pop_front_if(|unmet| unmet.turn <= until) {
            drop(self.over(&conn, exchange));
        }
    }

    /// An exchange is over, and its place in a trace is settled.
    fn over(&mut self, conn: &ConnInfo, exchange: Box<Exchange>) -> Option<Box<Exchange>> {
        let reported = self.tracer.in_flight_context(exchange.id);
        let context = self.tracer.finish(conn, &exchange);
        if let Some(served) = &mut self.served {
            served.finished(&exchange, process(conn, &exchange), reported.map(|_| context), self.clock, self.now);
        }
        self.route(conn, exchange, context)
    }

    fn look_again(&mut self) {
        let generation = self.parties.entities.generation();
        let until = [self.waiting.front().map(|first| first.until), self.connections.until()];
        let expired = until.into_iter().flatten().any(|until| until <= self.now);
        if generation == self.waiting_generation && !expired {
            return;
        }
        self.waiting_generation = generation;
        self.counting(Connections::look_again);
        for _ in 0..self.waiting.len() {
            let Some(waiting) = self.waiting.pop_front() else { break };
            let pid = process(&waiting.conn, &waiting.exchange);
            match (self.parties.whose(&waiting.conn, pid), self.parties.other_end(&waiting.conn)) {
                (Identity::Known(entity), Other::Settled(other)) => {
                    drop(self.deliver(&waiting.conn, waiting.exchange, waiting.context, &entity, other.as_deref()))
                }
                _ if waiting.until <= self.now => self.settle(waiting),
                _ => self.waiting.push_back(waiting),
            }
        }
    }

    /// Delivers an exchange with what is known of both ends, as more will not be.
    fn settle(&mut self, waiting: Waiting) {
        let pid = process(&waiting.conn, &waiting.exchange);
        let entity = match self.parties.whose(&waiting.conn, pid) {
            Identity::Known(entity) => entity,
            Identity::Pending | Identity::Nobody => self.parties.stand_in_or_nobody(&waiting.conn),
        };
        if entity.id == self.parties.nobody.id {
            self.counters.lost(Lost::Unresolved, 1);
        }
        let other = self.parties.other(&waiting.conn);
        self.deliver(&waiting.conn, waiting.exchange, waiting.context, &entity, other.as_deref());
    }

    /// Delivers an exchange, or keeps it until its owner is known.
    fn route(&mut self, conn: &ConnInfo, exchange: Box<Exchange>, context: SpanContext) -> Option<Box<Exchange>> {
        if is_own_export(&exchange) {
            return Some(exchange);
        }
        if !self.waiting.is_empty() {
            // What the same process did before comes first: it may have looked up whom it talks to now.
            self.look_again();
        }
        if let Identity::Known(entity) = self.parties.whose(conn, process(conn, &exchange))
            && let Other::Settled(other) = self.parties.other_end(conn)
        {
            return self.deliver(conn, exchange, context, &entity, other.as_deref());
        }
        let waiting = Waiting { conn: conn.clone(), exchange, context, until: self.now.after(PATIENCE) };
        if self.waiting.len() >= WAITING {
            self.settle(waiting);
        } else {
            self.waiting.push_back(waiting);
        }
        None
    }

    fn deliver(
        &mut self,
        conn: &ConnInfo,
        mut exchange: Box<Exchange>,
        context: SpanContext,
        entity: &Arc<Entity>,
        other: Option<&Entity>,
    ) -> Option<Box<Exchange>> {
        if self.wanted.exchange(&self.parties, conn, &exchange, entity) == Reported::No {
            self.ignore_unwanted(conn, process(conn, &exchange), entity);
            return Some(exchange);
        }
        self.names.learn(entity.id, &exchange);
        let server = conn.dialed.unwrap_or(conn.remote).ip();
        let host = self.names.name(entity.id, server, exchange.request.first).unwrap_or_default();
        let peer = Peer { host, ..peer_of(other) };
        let serving = if exchange.role == Some(Role::Server) { &entity.service.name } else { peer.service };
        self.routes.name(&mut exchange, entity.id, serving);
        span::complete(&mut exchange, conn, &peer);
        self.counters.count(Event::Exchanges, 1);
        let exported = context.kept.then_some((context.trace, context.span));
        match (exchange.family, &exchange.error) {
            (Family::Tcp, Some(error)) => self.aggregate.connect_failed(entity.id, conn, &peer, error, exchange.request.last),
            _ => self.aggregate.exchange(entity.id, &exchange, exported),
        }
        let offset = UnixOffset(self.clock.unix_nanos.cast_signed().wrapping_sub(self.clock.mono.0.cast_signed()));
        let mut name = std::mem::take(&mut self.name);
        let data = span::span(&exchange, context, offset, &mut name);
        if context.kept {
            self.counters.count(Event::Spans, 1);
            self.spans.add(entity, &data, self.now);
        } else {
            self.counters.count(Event::Unsampled, 1);
        }
        self.show(conn, &exchange, &data, entity, other);
        self.name = name;
        Some(exchange)
    }

    fn show(&self, conn: &ConnInfo, exchange: &Exchange, data: &SpanData<'_>, entity: &Entity, other: Option<&Entity>) {
        let duration = Duration::from_nanos(data.end_unix_nano - data.start_unix_nano);
        let outcome = if exchange.error.is_some() { view::Outcome::Failed } else { view::Outcome::Ok };
        let now = UnixNanos(self.clock.unix(self.now));
        let call = Call { service: &entity.service.name, direction: data.kind.into(), duration, outcome, now };
        if self.view.count(&call) != Listing::List {
            return;
        }
        self.view.request(shown::row(conn, exchange, data, entity, other));
    }
}

/// Whether an exchange is telemetry that this agent (or another one) sends.
fn is_own_export(exchange: &Exchange) -> bool {
    exchange.attrs.str(semconv::USER_AGENT_ORIGINAL).is_some_and(|agent| agent.starts_with(OWN_USER_AGENT))
}

impl Sink for Desk {
    fn request(&mut self, conn: &ConnInfo, exchange: &mut Exchange) {
        let reported = self.wanted.request(&self.parties, conn, exchange);
        self.tracer.request(conn, exchange, reported);
        if let Some(served) = &mut self.served {
            served.request(exchange, self.clock);
        }
    }

    fn exchange(&mut self, conn: &ConnInfo, exchange: Box<Exchange>) -> Option<Box<Exchange>> {
        self.counting(|connections, with| connections.stream_ends(conn, exchange.id, with));
        if self.tracer.lacks_asker(&exchange) && self.parties.peers.observes_other(conn) && self.unmet.len() < WAITING {
            self.tracer.answered(conn, &exchange);
            self.unmet.push_back(Unmet { conn: conn.clone(), exchange, turn: self.turns });
            return None;
        }
        self.over(conn, exchange)
    }

    fn streams(&mut self, conn: &ConnInfo, exchange: &Exchange) {
        self.counting(|connections, with| connections.stream_begins(conn, exchange.id, with));
    }

    fn void(&mut self, conn: &ConnInfo, exchange: &Exchange) {
        self.counting(|connections, with| connections.stream_ends(conn, exchange.id, with));
        self.tracer.void(conn, exchange);
        if let Some(served) = &mut self.served {
            served.void(exchange);
        }
    }

    fn capture(&mut self, conn: ConnId, egress: Amount, ingress: Amount) {
        self.policies.insert(conn.0, Policy { egress: translate::amount(egress), ingress: translate::amount(ingress) });
    }

    fn classified(&mut self, conn: &ConnInfo, protocol: Option<&'static str>) {
        self.parties.peers.note(conn);
        if protocol == Some(WEBSOCKET) {
            self.counting(|connections, with| connections.carries_messages(conn, with));
        }
    }

    fn message(&mut self, conn: &ConnInfo, carrier: Carrier, direction: Direction, bytes: u64) {
        self.counting(|connections, with| connections.message(conn, carrier, direction, bytes, with));
    }

    fn loss(&mut self, protocol: Option<&'static str>, loss: Loss, n: u64) {
        self.counters.flow_lost(protocol, loss, n);
    }
}
