//! Gives each finished exchange its owner and hands it on: to the aggregates, to its span, to the live view.
//!
//! It is the [`Sink`] of the flow and runs on the capture thread: it never waits. An exchange whose owner is not known yet
//! is kept for a moment; every exchange that was announced leaves exactly once.

use super::clock::Reading;
use super::identity::{Identity, identify, nobody, process};
use super::metrics::Collection;
use super::peers::{self, Peers};
use super::routes::{RouteSettings, Routes};
use super::served::{Feed, Teller};
use super::spans::{Flush, Sheets, SpanBuffer};
use super::translate;
use crate::aggregate::messages::Passed;
use crate::aggregate::tcp::{self, Listening};
use crate::aggregate::{Aggregate, Temporality};
use crate::entity::host::Host;
use crate::entity::table::{Entities, Entity, EntityId, EntityKind, Who};
use crate::selection::{Fact, Facts, Selection, Verdict};
use crate::selfobs::{Counters, Event, Loss as Lost};
use crate::trace::span::{self, Peer, SpanData, UnixOffset};
use crate::trace::{Reported, SpanContext, Tracer};
use crate::view::{self, Call, Listing, RequestRow, UnixNanos, View};
use remora_core::flow::{Amount, Direction, Loss, Sink};
use remora_core::model::{ConnId, ConnInfo, Exchange, ExchangeId, Mono, Pid, Role, Task, Transport, semconv};
use remora_core::proto::{NameCache, WEBSOCKET};
use remora_ebpf::wire::{self, Policy};
use remora_otlp::{EncodedBatch, Metrics};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Most exchanges that wait for their owner.
const WAITING: usize = 20_000;
/// Most addresses whose names are remembered.
const NAMES: usize = 65_536;
/// How long a name is believed at least: programs hold on to an address longer than its record says.
const NAME_FLOOR: Duration = Duration::from_secs(300);
/// Most listening addresses that are reported.
const LISTENERS: usize = 4096;
/// Turns after which what both ends of a connection have sent at the same time is read: a drain of the ring may end
/// between them.
const TURNS: u64 = 2;
/// How long an exchange waits for its owner.
const PATIENCE: Duration = Duration::from_secs(3);
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

/// An address that somebody listens on. The same address in several network namespaces is one of them.
struct Listener {
    address: SocketAddr,
    pid: Pid,
    entity: Option<EntityId>,
    sole: Sole,
}

/// Whether an address was only ever listened on by one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sole {
    Yes,
    No,
}

/// An open connection on its way into the aggregates.
struct OpenConnection {
    took: Option<Duration>,
    counted: bool,
    /// What has passed before it was counted, where it carries messages.
    messages: Option<Box<Messages>>,
    /// Streams of events that are open and not counted yet.
    streams: i64,
}

/// Messages that wait for their connection to be counted.
#[derive(Default)]
struct Messages {
    egress: Passed,
    ingress: Passed,
}

/// A connection that is over and whose owner is not known yet.
struct Ended {
    conn: ConnInfo,
    totals: Option<wire::Totals>,
    at: Mono,
    until: Mono,
}

/// See the module.
pub struct Desk {
    entities: Entities,
    nobody: Arc<Entity>,
    tracer: Tracer,
    aggregate: Aggregate<EntityId>,
    temporality: Temporality,
    metrics: Sheets<Metrics>,
    view: View,
    counters: Arc<Counters>,
    selection: Selection,
    routes: Routes,
    peers: Peers,
    spans: SpanBuffer,
    waiting: VecDeque<Waiting>,
    waiting_generation: u64,
    unmet: VecDeque<Unmet>,
    turns: u64,
    policies: FxHashMap<u64, Policy>,
    open: FxHashMap<ConnId, OpenConnection>,
    /// Exchanges whose responses are streams of events.
    streaming: FxHashSet<ExchangeId>,
    /// Those whose owner is being looked up.
    uncounted: Vec<ConnInfo>,
    uncounted_generation: u64,
    /// What each service was told that addresses are called.
    names: NameCache<EntityId>,
    listeners: FxHashMap<SocketAddr, Listener>,
    ended: VecDeque<Ended>,
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
            nobody: nobody(&host),
            entities,
            tracer,
            aggregate,
            temporality,
            metrics: Sheets::new(),
            view,
            counters,
            selection,
            routes: Routes::new(routes),
            peers: Peers::default(),
            spans: SpanBuffer::new(batch, delay),
            waiting: VecDeque::new(),
            waiting_generation: 0,
            unmet: VecDeque::new(),
            turns: 0,
            policies: FxHashMap::default(),
            open: FxHashMap::default(),
            streaming: FxHashSet::default(),
            uncounted: Vec::new(),
            uncounted_generation: 0,
            names: NameCache::new(NAMES, NAME_FLOOR),
            listeners: FxHashMap::default(),
            ended: VecDeque::new(),
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
        !self.waiting.is_empty() || !self.ended.is_empty() || !self.unmet.is_empty()
    }

    /// Lets go of everything, known or not: the agent stops.
    pub fn finish(&mut self) -> Vec<EncodedBatch> {
        self.meet(self.turns);
        while let Some(waiting) = self.waiting.pop_front() {
            self.settle(waiting);
        }
        while let Some(ended) = self.ended.pop_front() {
            self.count_closed(&ended);
        }
        self.spans.flush(self.now, Flush::All)
    }

    /// A connection, or what is new of it. Its owner is looked up at once: a short-lived process may be gone when its
    /// first exchange is over.
    pub fn note(&mut self, conn: &ConnInfo) {
        self.peers.note(conn);
        if let Identity::Known(entity) = identify(&self.entities, conn, conn.owner.as_ref().map(|owner| owner.pid)) {
            self.ignore_unselected(conn, conn.owner.as_ref().map(|owner| owner.pid), &entity);
        }
    }

    /// Stops the capture of a connection whose whole process the user does not want. A port or a path that is not wanted is
    /// captured all the same: calls that are made on its behalf must not be taken for those of another request.
    fn ignore_unselected(&mut self, conn: &ConnInfo, pid: Option<Pid>, entity: &Entity) {
        if !self.selection.is_empty() && self.verdict(pid, entity, Fact::Unknown, Fact::Unknown) == Verdict::No {
            self.ignore(conn.id);
        }
    }

    /// A connection is open; `took` is the time of its handshake. Counted once, as soon as its owner is known.
    pub fn opened(&mut self, conn: &ConnInfo, took: Option<Duration>) {
        let open = self.open.entry(conn.id).or_insert(OpenConnection { took, counted: false, messages: None, streams: 0 });
        open.took = open.took.or(took);
        if !self.count_open(conn, None) && conn.owner.is_some() && self.uncounted.len() < WAITING {
            self.uncounted.push(conn.clone());
        }
    }

    /// Counts the connections whose owners have become known: one that is silent says nothing more that would remind of it.
    fn count_uncounted(&mut self) {
        let generation = self.entities.generation();
        if generation == self.uncounted_generation || self.uncounted.is_empty() {
            return;
        }
        self.uncounted_generation = generation;
        let mut uncounted = std::mem::take(&mut self.uncounted);
        uncounted.retain(|conn| self.open.contains_key(&conn.id) && !self.count_open(conn, None));
        self.uncounted = uncounted;
    }

    /// Counts a connection if that was not done and its owner (or `instead`) is known. Returns whether it is counted.
    fn count_open(&mut self, conn: &ConnInfo, instead: Option<EntityId>) -> bool {
        match self.open.get(&conn.id) {
            Some(open) if !open.counted => {}
            open => return open.is_some(),
        }
        let known = match self.whose(conn, conn.owner.as_ref().map(|owner| owner.pid)) {
            Identity::Known(entity) => Some(entity.id),
            Identity::Pending | Identity::Nobody => instead,
        };
        let (Some(entity), Some(open)) = (known, self.open.get_mut(&conn.id)) else { return false };
        open.counted = true;
        let other = peers::entity(&self.peers, &self.entities, conn);
        self.aggregate.opened(entity, conn, &peer_of(other.as_deref()), open.took, self.now);
        self.aggregate.streams(conn.id, std::mem::take(&mut open.streams), self.now);
        if let Some(messages) = open.messages.take() {
            self.aggregate.carries_messages(conn.id, self.now);
            self.aggregate.messages(conn.id, Direction::Egress, messages.egress, self.now);
            self.aggregate.messages(conn.id, Direction::Ingress, messages.ingress, self.now);
        }
        true
    }

    /// A stream of events begins (1) or ends (-1).
    fn stream_changes(&mut self, conn: ConnId, change: i64) {
        match self.open.get_mut(&conn) {
            Some(open) if open.counted => self.aggregate.streams(conn, change, self.now),
            Some(open) => open.streams += change,
            None => {}
        }
    }

    /// An exchange is over that may have been a stream of events.
    fn stream_ends(&mut self, conn: ConnId, exchange: ExchangeId) {
        if !self.streaming.is_empty() && self.streaming.remove(&exchange) {
            self.stream_changes(conn, -1);
        }
    }

    /// A connection carries messages from now on.
    fn carries_messages(&mut self, conn: &ConnInfo) {
        let Some(open) = self.open.get_mut(&conn.id) else { return };
        match open.counted {
            true => self.aggregate.carries_messages(conn.id, self.now),
            false => drop(open.messages.get_or_insert_default()),
        }
    }

    /// What a connection has carried so far.
    pub fn carried(&mut self, conn: &ConnInfo, totals: &wire::Totals) {
        if self.count_open(conn, None) {
            self.count_carried(conn, totals);
        }
    }

    fn count_carried(&mut self, conn: &ConnInfo, totals: &wire::Totals) {
        let carried = tcp::Totals { sent: totals.bytes_sent, received: totals.bytes_received, retransmits: u64::from(totals.retransmits) };
        let rtt = (totals.srtt_us > 0).then(|| Duration::from_micros(u64::from(totals.srtt_us)));
        self.aggregate.carried(conn.id, carried, rtt, Mono(totals.time));
    }

    /// A connection is over; `totals` is the last that was told of it. Waits for its owner as exchanges do.
    pub fn closed(&mut self, conn: ConnInfo, totals: Option<wire::Totals>, at: Mono) {
        self.peers.close(&conn, at);
        let ended = Ended { conn, totals, at, until: self.now.after(PATIENCE) };
        if self.count_open(&ended.conn, None) || self.ended.len() >= WAITING {
            self.count_closed(&ended);
        } else {
            self.ended.push_back(ended);
        }
    }

    fn count_closed(&mut self, ended: &Ended) {
        self.count_open(&ended.conn, Some(self.stand_in_or_nobody(&ended.conn).id));
        if let Some(totals) = &ended.totals {
            self.count_carried(&ended.conn, totals);
        }
        self.aggregate.closed(ended.conn.id, ended.at);
        self.open.remove(&ended.conn.id);
    }

    /// All metrics as they are now, in requests.
    pub fn metrics(&mut self) -> Vec<EncodedBatch> {
        let (entities, nobody) = (&self.entities, &self.nobody);
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
        let own = conn.owner.as_ref().and_then(|owner| self.entities.known(owner.pid));
        (own.map(name), peers::entity(&self.peers, &self.entities, conn).map(name))
    }

    /// Forgets what is too old, and counts listeners whose owners have become known. Once a second.
    pub fn tick(&mut self) {
        self.peers.tick(self.now);
        self.count_uncounted();
        self.tracer.forget_ended(|pid| self.entities.known(pid).is_some());
        for listener in self.listeners.values_mut().filter(|listener| listener.entity.is_none()) {
            listener.entity = self.entities.known(listener.pid).map(|entity| entity.id);
            if let Some(entity) = listener.entity {
                self.aggregate.listening(entity, listener.address, Listening::Begins, self.now);
            }
        }
    }

    /// `pid` listens on `address`.
    pub fn listens(&mut self, address: SocketAddr, pid: Option<Pid>) {
        let Some(pid) = pid.filter(|_| self.listeners.len() < LISTENERS) else { return };
        // Asks for it; the next tick finds it.
        let _ = self.entities.lookup(&Who::pid(pid));
        let sole = match self.listeners.get(&address) {
            Some(known) if known.pid != pid || known.sole == Sole::No => Sole::No,
            _ => Sole::Yes,
        };
        self.listeners.insert(address, Listener { address, pid, entity: None, sole });
    }

    /// Nobody listens on `address` any more.
    pub fn listens_no_more(&mut self, address: SocketAddr, at: Mono) {
        if let Some(Listener { entity: Some(entity), .. }) = self.listeners.remove(&address) {
            self.aggregate.listening(entity, address, Listening::Ends, at);
        }
    }

    /// A connect that failed becomes an error span of its own.
    pub fn connect_failed(&mut self, conn: &ConnInfo, error: &str, end: Mono) {
        if let Identity::Known(entity) = identify(&self.entities, conn, conn.owner.as_ref().map(|owner| owner.pid)) {
            let other = peers::entity(&self.peers, &self.entities, conn);
            self.aggregate.connect_failed(entity.id, conn, &peer_of(other.as_deref()), error, end);
        } else {
            self.aggregate.connect_failed(self.nobody.id, conn, &Peer::default(), error, end);
        }
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
        let generation = self.entities.generation();
        let until = [self.waiting.front().map(|first| first.until), self.ended.front().map(|first| first.until)];
        let expired = until.into_iter().flatten().any(|until| until <= self.now);
        if generation == self.waiting_generation && !expired {
            return;
        }
        self.waiting_generation = generation;
        for _ in 0..self.ended.len() {
            let Some(ended) = self.ended.pop_front() else { break };
            if ended.until <= self.now || self.count_open(&ended.conn, None) {
                self.count_closed(&ended);
            } else {
                self.ended.push_back(ended);
            }
        }
        for _ in 0..self.waiting.len() {
            let Some(waiting) = self.waiting.pop_front() else { break };
            let pid = process(&waiting.conn, &waiting.exchange);
            match self.whose(&waiting.conn, pid) {
                Identity::Known(entity) if self.knows_peer(&waiting.conn) || waiting.until <= self.now => {
                    drop(self.deliver(&waiting.conn, waiting.exchange, waiting.context, &entity))
                }
                _ if waiting.until <= self.now => self.settle(waiting),
                _ => self.waiting.push_back(waiting),
            }
        }
    }

    /// Delivers an exchange whose owner will not be known.
    fn settle(&mut self, waiting: Waiting) {
        let pid = process(&waiting.conn, &waiting.exchange);
        let entity = match self.whose(&waiting.conn, pid) {
            Identity::Known(entity) => entity,
            _ => self.stand_in_or_nobody(&waiting.conn),
        };
        if entity.id == self.nobody.id {
            self.counters.lost(Lost::Unresolved, 1);
        }
        self.deliver(&waiting.conn, waiting.exchange, waiting.context, &entity);
    }

    /// Whose `pid`'s end of `conn` is. A process that was gone before it could be looked at is part of what owns the
    /// connection, or listens where it was accepted: a server may have a process for each connection.
    fn whose(&self, conn: &ConnInfo, pid: Option<Pid>) -> Identity {
        match identify(&self.entities, conn, pid) {
            Identity::Known(entity) if entity.kind == EntityKind::Unknown => Identity::Known(self.stand_in(conn).unwrap_or(entity)),
            identity => identity,
        }
    }

    fn stand_in(&self, conn: &ConnInfo) -> Option<Arc<Entity>> {
        let owner = conn.owner.as_ref().and_then(|owner| self.entities.known(owner.pid));
        owner.filter(|entity| entity.kind != EntityKind::Unknown).or_else(|| self.entities.get(self.listening(conn)?))
    }

    fn stand_in_or_nobody(&self, conn: &ConnInfo) -> Arc<Entity> {
        self.stand_in(conn).unwrap_or_else(|| Arc::clone(&self.nobody))
    }

    /// The only one who listens where a served connection was accepted.
    fn listening(&self, conn: &ConnInfo) -> Option<EntityId> {
        let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()].map(|any| SocketAddr::new(any, conn.local.port()));
        let mut listeners = [conn.local, any[0], any[1]].into_iter().filter_map(|address| self.listeners.get(&address));
        let listener = listeners.next().filter(|_| conn.role == Some(Role::Server) && conn.transport == Transport::Tcp)?;
        let entity = listener.entity.or_else(|| self.entities.known(listener.pid).map(|entity| entity.id));
        entity.filter(|_| listener.sole == Sole::Yes)
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
        if let Identity::Known(entity) = self.whose(conn, process(conn, &exchange))
            && self.knows_peer(conn)
        {
            return self.deliver(conn, exchange, context, &entity);
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
    ) -> Option<Box<Exchange>> {
        if self.selected(conn, &exchange, entity) == Reported::No {
            self.ignore_unselected(conn, process(conn, &exchange), entity);
            return Some(exchange);
        }
        let other = peers::entity(&self.peers, &self.entities, conn);
        self.names.learn(entity.id, &exchange);
        let server = conn.dialed.unwrap_or(conn.remote).ip();
        let host = self.names.name(entity.id, server, exchange.request.first).unwrap_or_default();
        let peer = Peer { host, ..peer_of(other.as_deref()) };
        let serving = if exchange.role == Some(Role::Server) { &entity.service.name } else { peer.service };
        self.routes.name(&mut exchange, entity.id, serving);
        span::complete(&mut exchange, conn, &peer);
        self.counters.count(Event::Exchanges, 1);
        let exported = context.kept.then_some((context.trace, context.span));
        self.aggregate.exchange(entity.id, &exchange, exported);
        let offset = UnixOffset(self.clock.unix_nanos.cast_signed().wrapping_sub(self.clock.mono.0.cast_signed()));
        let mut name = std::mem::take(&mut self.name);
        let data = span::span(&exchange, context, offset, &mut name);
        if context.kept {
            self.counters.count(Event::Spans, 1);
            self.spans.add(entity, &data, self.now);
        } else {
            self.counters.count(Event::Unsampled, 1);
        }
        self.show(conn, &exchange, &data, entity, other.as_deref());
        self.name = name;
        Some(exchange)
    }

    /// Whether all that will be known of the other end is known: a process of this node is still being looked up if not.
    fn knows_peer(&self, conn: &ConnInfo) -> bool {
        self.peers.other(conn).is_none_or(|pid| self.entities.known(pid).is_some())
    }

    fn verdict(&self, pid: Option<Pid>, entity: &Entity, port: Fact<u16>, path: Fact<&str>) -> Verdict {
        let facts = pid.and_then(|pid| self.entities.selection_facts(pid));
        let executable = facts.as_ref().and_then(|facts| facts.executable.as_deref());
        self.selection.evaluate(&Facts {
            container: known(entity.container_name()),
            service: Fact::Known(&entity.service.name),
            executable: known(executable),
            port,
            path,
        })
    }

    /// Whether an exchange of `entity` is wanted.
    fn selected(&self, conn: &ConnInfo, exchange: &Exchange, entity: &Entity) -> Reported {
        if self.selection.is_empty() {
            return Reported::Yes;
        }
        let port = known(conn.server().map(|server| server.port()));
        let path = known(path_of(exchange));
        match self.verdict(process(conn, exchange), entity, port, path) {
            Verdict::Yes => Reported::Yes,
            Verdict::No | Verdict::Undecided => Reported::No,
        }
    }

    /// The same for a request that has just begun; what nobody knows yet counts as wanted.
    fn selected_early(&self, conn: &ConnInfo, exchange: &Exchange) -> Reported {
        if self.selection.is_empty() {
            return Reported::Yes;
        }
        if let Identity::Known(entity) = identify(&self.entities, conn, process(conn, exchange)) {
            return self.selected(conn, exchange, &entity);
        }
        let port = known(conn.server().map(|server| server.port()));
        match self.selection.evaluate(&Facts { port, path: known(path_of(exchange)), ..Facts::default() }) {
            Verdict::No => Reported::No,
            Verdict::Yes | Verdict::Undecided => Reported::Yes,
        }
    }

    fn show(&self, conn: &ConnInfo, exchange: &Exchange, data: &SpanData<'_>, entity: &Entity, other: Option<&Entity>) {
        let duration = Duration::from_nanos(data.end_unix_nano - data.start_unix_nano);
        let outcome = if exchange.error.is_some() { view::Outcome::Failed } else { view::Outcome::Ok };
        let now = UnixNanos(self.clock.unix(self.now));
        let call = Call { service: &entity.service.name, direction: data.kind.into(), duration, outcome, now };
        if self.view.count(&call) != Listing::List {
            return;
        }
        let status = [
            semconv::HTTP_RESPONSE_STATUS_CODE,
            semconv::DB_RESPONSE_STATUS_CODE,
            semconv::RPC_RESPONSE_STATUS_CODE,
            semconv::REMORA_DNS_RESPONSE_CODE,
        ]
        .into_iter()
        .find_map(|key| exchange.attrs.int(key).map(|code| code.to_string()).or_else(|| exchange.attrs.str(key).map(str::to_owned)));
        let peer = view::Peer { service: other.map(|other| other.service.name.as_str().into()), address: Some(conn.remote) };
        self.view.request(RequestRow {
            time: UnixNanos(data.start_unix_nano),
            duration,
            service: entity.service.name.as_str().into(),
            instance: entity.container_name().map(Into::into),
            kind: data.kind,
            protocol: exchange.protocol,
            name: data.name.to_owned(),
            label: view::label(data.attrs, data.name),
            status,
            error: exchange.error.clone(),
            peer,
            trace: data.context.trace,
            span: data.context.span,
            parent: data.context.parent,
            attributes: view::texts(data.attrs),
            connection: Some(conn.id),
            completeness: exchange.completeness,
        });
    }
}

/// The other end as spans and metrics name it.
fn peer_of(other: Option<&Entity>) -> Peer<'_> {
    other.map_or_else(Peer::default, |other| Peer {
        service: &other.service.name,
        namespace: other.service.namespace.as_deref().unwrap_or_default(),
        container: other.container_name().unwrap_or_default(),
        host: "",
    })
}

/// A fact that is as known now as it will ever be.
fn known<T>(value: Option<T>) -> Fact<T> {
    value.map_or(Fact::Absent, Fact::Known)
}

/// Path of a request, at either end: the asking one has the whole URL.
fn path_of(exchange: &Exchange) -> Option<&str> {
    exchange.attrs.str(semconv::URL_PATH).or_else(|| {
        let (_, rest) = exchange.attrs.str(semconv::URL_FULL)?.split_once("://")?;
        let path = &rest[rest.find('/')?..];
        Some(&path[..path.find(['?', '#']).unwrap_or(path.len())])
    })
}

/// Whether an exchange is telemetry that this agent (or another one) sends.
fn is_own_export(exchange: &Exchange) -> bool {
    exchange.attrs.str(semconv::USER_AGENT_ORIGINAL).is_some_and(|agent| agent.starts_with(OWN_USER_AGENT))
}

impl Sink for Desk {
    fn request(&mut self, conn: &ConnInfo, exchange: &mut Exchange) {
        let reported = self.selected_early(conn, exchange);
        self.tracer.request(conn, exchange, reported);
        if let Some(served) = &mut self.served {
            served.request(exchange, self.clock);
        }
    }

    fn exchange(&mut self, conn: &ConnInfo, exchange: Box<Exchange>) -> Option<Box<Exchange>> {
        self.stream_ends(conn.id, exchange.id);
        if self.tracer.lacks_asker(&exchange) && self.peers.observes_other(conn) && self.unmet.len() < WAITING {
            self.tracer.answered(conn, &exchange);
            self.unmet.push_back(Unmet { conn: conn.clone(), exchange, turn: self.turns });
            return None;
        }
        self.over(conn, exchange)
    }

    fn streams(&mut self, conn: &ConnInfo, exchange: &Exchange) {
        if self.streaming.len() < WAITING && self.streaming.insert(exchange.id) {
            self.stream_changes(conn.id, 1);
        }
    }

    fn void(&mut self, conn: &ConnInfo, exchange: &Exchange) {
        self.stream_ends(conn.id, exchange.id);
        self.tracer.void(conn, exchange);
        if let Some(served) = &mut self.served {
            served.void(exchange);
        }
    }

    fn capture(&mut self, conn: ConnId, egress: Amount, ingress: Amount) {
        self.policies.insert(conn.0, Policy { egress: translate::amount(egress), ingress: translate::amount(ingress) });
    }

    fn classified(&mut self, conn: &ConnInfo, protocol: Option<&'static str>) {
        self.peers.note(conn);
        if protocol == Some(WEBSOCKET) {
            self.carries_messages(conn);
        }
    }

    fn message(&mut self, conn: &ConnInfo, _protocol: &'static str, direction: Direction, bytes: u64) {
        let waiting = self.open.get_mut(&conn.id).and_then(|open| open.messages.as_mut());
        match (waiting, direction) {
            (Some(waiting), Direction::Egress) => waiting.egress.add(bytes),
            (Some(waiting), Direction::Ingress) => waiting.ingress.add(bytes),
            (None, _) => self.aggregate.messages(conn.id, direction, Passed { messages: 1, bytes }, self.now),
        }
    }

    fn loss(&mut self, protocol: Option<&'static str>, loss: Loss, n: u64) {
        self.counters.flow_lost(protocol, loss, n);
    }
}
