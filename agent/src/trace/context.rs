//! Where a span stands: its trace, its id and its parent, decided when its request is seen.
//!
//! * A context on the wire gives the trace, always. Without one, the trace is the in-process parent's, else the hash of
//!   the call's key, which the other end computes as well.
//! * SERVER: below the CLIENT span of the same call where that end was seen on this node or runs an agent
//!   ([`Settings::instrumented`]), else below the span that the header names, else root.
//! * CLIENT: below the request that its process is serving ([`super::parents`]) if there is no header or the header is
//!   the one which that request carried; else below the span that the header names.
//!
//! Both ends of a call on one node agree through [`super::calls`]. The client's egress comes first; where it does not,
//! the server's span has begun as root of the hash trace. It then moves into the client's trace, unless a call made
//! below it already took its trace along: in that case both keep their traces and the client's span links to the server's.
//!
//! A client end and a server end on two nodes agree by hash alone, so a client whose other end runs an agent elsewhere
//! stays in the hash trace and links to its in-process parent. Where the other end is not known to run an agent, the
//! client follows its parent; an unknown agent there is in the hash trace, with no parent named.

use super::calls::{Calls, ClientEnd, ServerEnd};
use super::ids::{self, Unkeyed};
use super::parents::{Incoming, Outgoing, Parents};
use super::sampling::{Errors, Sampler};
use ipnet::IpNet;
use remora_core::model::{
    CallKey, ConnId, ConnInfo, Exchange, ExchangeId, Kind, Mono, Pid, Role, SpanId, Task, TraceContext, TraceId, Transport,
};
use rustc_hash::{FxHashMap, FxHashSet};
use std::net::IpAddr;
use std::time::Duration;

/// Another span that a span belongs together with, in another trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its trace.
    pub trace: TraceId,
    /// Its id.
    pub span: SpanId,
}

/// Where a span stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanContext {
    /// Trace.
    pub trace: TraceId,
    /// The span's own id.
    pub span: SpanId,
    /// Parent; `None` for a root.
    pub parent: Option<SpanId>,
    /// Span of another trace that this one belongs to.
    pub link: Option<Link>,
    /// Whether the span is exported.
    pub kept: bool,
}

/// Whether the span of an exchange will be exported if its trace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reported {
    /// It will.
    Yes,
    /// The user does not want it: what hangs below it hangs below its parent instead.
    No,
}

/// Choices of the user.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which traces are exported.
    pub sampler: Sampler,
    /// Networks whose nodes all run an agent: their ends of calls count as observed.
    pub instrumented: Vec<IpNet>,
    /// Random for each start of the agent; see [`Unkeyed`].
    pub seed: u64,
}

/// Bounds of what is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Exchanges in flight.
    pub in_flight: usize,
    /// Calls of which one end was seen.
    pub calls: usize,
    /// How long such a call waits for its other end, at least.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight: 200_000, calls: 65_536, patience: Duration::from_secs(10) }
    }
}

/// What the tracer could not do, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exchanges whose context was decided alone because too many were in flight.
    pub untracked: u64,
    /// Calls forgotten before their other end came, for want of room.
    pub calls_crowded_out: u64,
}

/// An exchange in flight.
#[derive(Debug)]
struct Open {
    context: SpanContext,
    reported: Reported,
    /// Context on the wire.
    header: Option<TraceContext>,
    /// Whether a child has taken this trace along.
    given: bool,
    asker: Asker,
}

/// What is known of the end that asked, at the end that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    /// Its span is known, or it is this end.
    Known,
    /// It was not seen yet.
    Unseen,
    /// It was not seen when the answer was over.
    Awaited,
}

/// Decides contexts. One for the whole node, on the capture thread.
#[derive(Debug)]
pub struct Tracer {
    settings: Settings,
    limits: Limits,
    unkeyed: Unkeyed,
    calls: Calls,
    parents: Parents,
    open: FxHashMap<ExchangeId, Open>,
    /// Addresses of this node, as its connections show them.
    local: FxHashSet<IpAddr>,
    untracked: u64,
}

impl Open {
    /// Parent of what hangs below this exchange.
    fn visible(&self) -> Option<SpanId> {
        visible(&self.context, self.reported)
    }
}

/// The span that others may name: the exchange's own, or its parent's where the own is not reported.
fn visible(context: &SpanContext, reported: Reported) -> Option<SpanId> {
    match reported {
        Reported::Yes => Some(context.span),
        Reported::No => context.parent,
    }
}

/// Addresses of this node that are remembered.
const LOCAL_ADDRESSES: usize = 4096;
/// `trace-flags`: the sender kept its span.
const SAMPLED: u8 = 1;

/// Trace, parent and the parent's sampling decision.
struct Place {
    trace: TraceId,
    parent: Option<SpanId>,
    kept: Option<bool>,
    link: Option<Link>,
}

impl Place {
    fn root(trace: TraceId) -> Self {
        Self { trace, parent: None, kept: None, link: None }
    }

    fn below(trace: TraceId, parent: impl Into<Option<SpanId>>, kept: Option<bool>) -> Self {
        Self { trace, parent: parent.into(), kept, link: None }
    }

    fn named_by(header: &TraceContext) -> Self {
        Self::below(header.trace, header.parent, Some(header.flags & SAMPLED != 0))
    }
}

impl Tracer {
    /// A tracer that has seen nothing.
    #[must_use]
    pub fn new(settings: Settings, limits: Limits) -> Self {
        Self {
            unkeyed: Unkeyed::new(settings.seed),
            calls: Calls::new(limits.calls, limits.patience),
            parents: Parents::new(limits.in_flight),
            open: FxHashMap::default(),
            local: FxHashSet::default(),
            untracked: 0,
            settings,
            limits,
        }
    }

    /// A request's head was read: its place is decided.
    pub fn request(&mut self, conn: &ConnInfo, exchange: &Exchange, reported: Reported) {
        self.note_local(conn.local.ip());
        if self.open.len() >= self.limits.in_flight {
            self.untracked += 1;
            if !asks(exchange) {
                self.parents.untracked(owner(conn));
            }
            return;
        }
        let (context, asker) =
            if asks(exchange) { (self.client(conn, exchange, reported), Asker::Known) } else { self.server(conn, exchange, reported) };
        self.open.insert(exchange.id, Open { context, reported, header: exchange.context, given: false, asker });
        if !asks(exchange) {
            self.parents.open(&Incoming {
                id: exchange.id,
                conn: conn.id,
                process: owner(conn),
                header: exchange.context,
                arrived: exchange.request.first,
            });
        }
    }

    /// `task` read what the connection had received by `at`.
    pub fn read(&mut self, conn: ConnId, task: Task, at: Mono) {
        self.parents.read(conn, task, at);
    }

    /// Whether the end that asked was not seen yet. Where only an answer tells which protocol a connection speaks, the
    /// answering end knows it first: its exchange is over before the asking end's begins.
    #[must_use]
    pub fn lacks_asker(&self, exchange: &Exchange) -> bool {
        exchange.call.is_some() && self.open.get(&exchange.id).is_some_and(|open| open.asker == Asker::Unseen)
    }

    /// The exchange is over for what its process does next, but [`Self::finish`] waits for the end that asked.
    pub fn answered(&mut self, conn: &ConnInfo, exchange: &Exchange) {
        if let Some(open) = self.open.get_mut(&exchange.id).filter(|open| open.asker == Asker::Unseen) {
            open.asker = Asker::Awaited;
            self.parents.close(exchange.id, owner(conn), exchange.responder);
        }
    }

    /// The exchange is over: its final context.
    pub fn finish(&mut self, conn: &ConnInfo, exchange: &Exchange) -> SpanContext {
        let mut context = match self.close(conn, exchange) {
            Some(open) => open.context,
            None => self.alone(conn, exchange),
        };
        if !context.kept && exchange.error.is_some() && self.settings.sampler.errors() == Errors::Keep {
            context = SpanContext { parent: None, link: None, kept: true, ..context };
        }
        context
    }

    /// The process that serves a request in flight, once it is known.
    #[must_use]
    pub fn serving(&self, exchange: ExchangeId) -> Option<Pid> {
        self.parents.process_of(exchange)
    }

    /// Where the span of an exchange in flight stands, as it is known now; `None` if it is not followed or not reported.
    #[must_use]
    pub fn in_flight_context(&self, exchange: ExchangeId) -> Option<SpanContext> {
        self.open.get(&exchange).filter(|open| open.reported == Reported::Yes).map(|open| open.context)
    }

    /// The announced request was none.
    pub fn void(&mut self, conn: &ConnInfo, exchange: &Exchange) {
        if let Some(call) = call_key(conn, exchange) {
            self.calls.forget(&call);
        }
        self.close(conn, exchange);
    }

    /// Forgets what was learned of processes of which `lives` does not know any more.
    pub fn forget_ended(&mut self, lives: impl Fn(Pid) -> bool) {
        self.parents.forget_ended(lives);
    }

    /// What could not be done so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { untracked: self.untracked, calls_crowded_out: self.calls.crowded_out() }
    }

    /// Exchanges in flight that are followed.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.open.len()
    }

    fn close(&mut self, conn: &ConnInfo, exchange: &Exchange) -> Option<Open> {
        let open = self.open.remove(&exchange.id);
        let is_told = open.as_ref().is_some_and(|open| open.asker == Asker::Awaited);
        if !asks(exchange) && !is_told {
            self.parents.close(exchange.id, owner(conn), exchange.responder);
        }
        open
    }

    fn client(&mut self, conn: &ConnInfo, exchange: &Exchange, reported: Reported) -> SpanContext {
        let call = call_key(conn, exchange);
        let place = self.place_client(conn, exchange);
        let mut context = self.context(place, self.span_id(conn, exchange));
        if let Some(call) = call {
            match self.calls.server_of(&call) {
                Some(server) => self.meet(server, &mut context, reported),
                None => {
                    let end = ClientEnd { trace: context.trace, span: visible(&context, reported), kept: context.kept };
                    self.calls.note_client(call, end, exchange.request.first);
                }
            }
        }
        context
    }

    fn place_client(&mut self, conn: &ConnInfo, exchange: &Exchange) -> Place {
        let Some(parent) = self.in_process_parent(conn, exchange) else {
            return exchange.context.as_ref().map_or_else(|| Place::root(self.trace_id(conn, exchange)), Place::named_by);
        };
        let elsewhere = self.runs_agent_elsewhere(conn.remote.ip());
        let Some(open) = self.open.get_mut(&parent) else {
            return Place::root(self.trace_id(conn, exchange));
        };
        let (SpanContext { trace, kept, .. }, span) = (open.context, open.visible());
        match &exchange.context {
            Some(header)
                if open.header.is_some_and(|own| (own.trace, own.parent) == (header.trace, header.parent)) && header.trace == trace =>
            {
                open.given = true;
                Place::below(trace, span, Some(kept))
            }
            Some(header) => Place::named_by(header),
            None if elsewhere && exchange.call.is_some() => {
                open.given = true;
                Place { link: span.map(|span| Link { trace, span }), ..Place::root(self.trace_id(conn, exchange)) }
            }
            None => {
                open.given = true;
                Place::below(trace, span, Some(kept))
            }
        }
    }

    fn in_process_parent(&self, conn: &ConnInfo, exchange: &Exchange) -> Option<ExchangeId> {
        // What takes messages from a broker does not do so for the request that happens to be in flight.
        if exchange.kind == Kind::Consumer {
            return None;
        }
        let process = exchange.sender.map(|task| task.pid).or_else(|| owner(conn))?;
        let thread = exchange.sender.map(|task| task.tid);
        self.parents.parent_of(&Outgoing { process, thread, header: exchange.context, sent: exchange.request.first })
    }

    /// The server's end of the call was seen before the client's.
    fn meet(&mut self, server: ServerEnd, client: &mut SpanContext, reported: Reported) {
        let parent = visible(client, reported);
        let same_trace = server.trace == client.trace;
        let mut open = self.open.get_mut(&server.exchange);
        if let Some(open) = open.as_mut().filter(|open| open.asker == Asker::Unseen) {
            open.asker = Asker::Known;
        }
        match open {
            Some(open) if same_trace => open.context.parent = parent,
            Some(open) if !open.given && open.header.is_none() => {
                let SpanContext { trace, kept, .. } = *client;
                open.context = SpanContext { trace, kept, parent, ..open.context };
            }
            _ if same_trace => {}
            _ => client.link = server.span.map(|span| Link { trace: server.trace, span }),
        }
    }

    fn server(&mut self, conn: &ConnInfo, exchange: &Exchange, reported: Reported) -> (SpanContext, Asker) {
        let call = call_key(conn, exchange);
        let client = call.and_then(|call| self.calls.client_of(&call));
        let seen = client.is_some();
        let place = self.place_server(conn, exchange, client);
        let context = self.context(place, self.span_id(conn, exchange));
        if let (Some(call), false) = (call, seen) {
            let end = ServerEnd { exchange: exchange.id, trace: context.trace, span: visible(&context, reported) };
            self.calls.note_server(call, end, exchange.request.first);
        }
        (context, if seen { Asker::Known } else { Asker::Unseen })
    }

    fn place_server(&self, conn: &ConnInfo, exchange: &Exchange, client: Option<ClientEnd>) -> Place {
        let elsewhere = wide_key(conn, exchange).filter(|_| self.runs_agent_elsewhere(conn.remote.ip())).map(ids::client_span_id);
        match (&exchange.context, client, elsewhere) {
            (None, Some(client), _) => Place::below(client.trace, client.span, Some(client.kept)),
            (Some(header), Some(client), _) if client.trace == header.trace => Place::below(client.trace, client.span, Some(client.kept)),
            (Some(header), _, Some(parent)) => Place { parent: Some(parent), ..Place::named_by(header) },
            (Some(header), ..) => Place::named_by(header),
            (None, None, Some(parent)) => Place::below(self.trace_id(conn, exchange), parent, None),
            (None, None, None) => Place::root(self.trace_id(conn, exchange)),
        }
    }

    /// Context of an exchange that was not followed.
    fn alone(&self, conn: &ConnInfo, exchange: &Exchange) -> SpanContext {
        let place = exchange.context.as_ref().map_or_else(|| Place::root(self.trace_id(conn, exchange)), Place::named_by);
        self.context(place, self.span_id(conn, exchange))
    }

    fn context(&self, place: Place, span: SpanId) -> SpanContext {
        let Place { trace, parent, kept, link } = place;
        SpanContext { trace, span, parent, link, kept: self.settings.sampler.keeps(&trace, kept) }
    }

    fn trace_id(&self, conn: &ConnInfo, exchange: &Exchange) -> TraceId {
        wide_key(conn, exchange).map_or_else(|| self.unkeyed.trace_id(exchange.id), ids::trace_id)
    }

    fn span_id(&self, conn: &ConnInfo, exchange: &Exchange) -> SpanId {
        let of_call = if asks(exchange) { ids::client_span_id } else { ids::server_span_id };
        wide_key(conn, exchange).map_or_else(|| self.unkeyed.span_id(exchange.id), of_call)
    }

    fn runs_agent_elsewhere(&self, address: IpAddr) -> bool {
        self.settings.instrumented.iter().any(|network| network.contains(&address)) && !self.local.contains(&address)
    }

    fn note_local(&mut self, address: IpAddr) {
        if self.local.len() < LOCAL_ADDRESSES && !self.settings.instrumented.is_empty() {
            self.local.insert(address);
        }
    }
}

/// Whether the observed end is the one that asks.
#[must_use]
pub fn asks(exchange: &Exchange) -> bool {
    match exchange.role {
        Some(role) => role == Role::Client,
        None => exchange.kind != Kind::Server,
    }
}

fn owner(conn: &ConnInfo) -> Option<Pid> {
    conn.owner.as_ref().map(|owner| owner.pid)
}

/// Key by which the ends of a call find each other on this node.
///
/// Datagrams have no sequence numbers. What both ends see alike of them is the client's port (nodes rarely change it)
/// and the first bytes, which begin with the query's id: enough for the seconds that a call waits, and no more.
fn call_key(conn: &ConnInfo, exchange: &Exchange) -> Option<CallKey> {
    let call = exchange.call?;
    Some(match conn.transport {
        Transport::Tcp => call,
        Transport::Udp => {
            let client = if asks(exchange) { conn.local } else { conn.remote };
            CallKey { seq: u32::from(client.port()), ack: 0, ..call }
        }
    })
}

/// Key that is unique for good and everywhere, so that ids can be made of it.
fn wide_key<'a>(conn: &ConnInfo, exchange: &'a Exchange) -> Option<&'a CallKey> {
    exchange.call.as_ref().filter(|_| conn.transport == Transport::Tcp)
}

#[cfg(test)]
mod tests;
