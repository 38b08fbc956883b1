//! Conversations for tests of protocols: pieces of bytes with splits and holes in, comparable exchanges out.
//!
//! A [`Talk`] is written as the ends speak, is run through the real [`Flow`], and gives an [`Outcome`]. Every piece
//! passes one millisecond after the one before it, so times in an outcome are numbers a test can state.

use crate::flow::{Amount, Carrier, Direction, Flow, Limits, Loss, Order, Segment, Sink};
use crate::model::naming::span_name;
use crate::model::{Close, ConnId, ConnInfo, Exchange, Key, Mono, Role, Transport, Value};
use crate::proto::{Descriptor, End, Options, TABLE};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// Nanoseconds between two pieces.
const STEP: u64 = 1_000_000;

#[derive(Clone, Debug)]
enum Event {
    Bytes(End, Vec<u8>),
    Fin(End),
    Close(Close),
    Wait(Duration),
    Tick,
}

/// One connection, written down in the order in which its pieces pass.
#[derive(Clone, Debug)]
pub struct Talk {
    events: Vec<Event>,
    transport: Transport,
    role: Role,
    tells_role: bool,
    port: u16,
    midway: bool,
    split: usize,
    lost: Vec<(End, Range<u64>)>,
    seq: [u32; 2],
    options: Options,
    limits: Limits,
    table: &'static [&'static Descriptor],
}

impl Talk {
    /// A TCP connection to port 4000 of the server, observed at its client's end.
    #[must_use]
    pub fn new() -> Self {
        Self {
            events: Vec::new(),
            transport: Transport::Tcp,
            role: Role::Client,
            tells_role: true,
            port: 4000,
            midway: false,
            split: usize::MAX,
            lost: Vec::new(),
            seq: [1000, 5000],
            options: Options::default(),
            limits: Limits::default(),
            table: TABLE,
        }
    }

    /// Datagrams instead: each piece is one, none is split.
    #[must_use]
    pub fn udp(mut self) -> Self {
        self.transport = Transport::Udp;
        self
    }

    /// Observes the server's end.
    #[must_use]
    pub fn at_server(mut self) -> Self {
        self.role = Role::Server;
        self
    }

    /// Does not tell the flow which end is which.
    #[must_use]
    pub fn role_unknown(mut self) -> Self {
        self.tells_role = false;
        self
    }

    /// The server's port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The connection existed before capture saw it.
    #[must_use]
    pub fn midway(mut self) -> Self {
        self.midway = true;
        self
    }

    /// The connection existed before, and capture begins with piece `n` of either end.
    #[must_use]
    pub fn joined_at(mut self, n: usize) -> Self {
        self.events.drain(..n.min(self.events.len()));
        self.midway()
    }

    /// Number of pieces and other events so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing was said yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// First TCP sequence number of the client's and of the server's bytes.
    #[must_use]
    pub fn seq(mut self, client: u32, server: u32) -> Self {
        self.seq = [client, server];
        self
    }

    /// Only these protocols.
    #[must_use]
    pub fn table(mut self, table: &'static [&'static Descriptor]) -> Self {
        self.table = table;
        self
    }

    /// Limits and choices of the parsers.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Limits of the flow.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The client sends `bytes`, in one segment unless split.
    #[must_use]
    pub fn client(self, bytes: impl AsRef<[u8]>) -> Self {
        self.piece(End::Client, bytes)
    }

    /// The server sends `bytes`.
    #[must_use]
    pub fn server(self, bytes: impl AsRef<[u8]>) -> Self {
        self.piece(End::Server, bytes)
    }

    /// `end` sends `bytes`.
    #[must_use]
    pub fn piece(mut self, end: End, bytes: impl AsRef<[u8]>) -> Self {
        self.events.push(Event::Bytes(end, bytes.as_ref().to_vec()));
        self
    }

    /// `end` sends `n` bytes that capture does not copy.
    #[must_use]
    pub fn hole(mut self, end: End, n: u64) -> Self {
        let at = self.sent(end);
        self.lost.push((end, at..at + n));
        self.piece(end, vec![0; usize::try_from(n).unwrap_or(0)])
    }

    /// Bytes `range` of all that `end` sends are not captured; what is around them is.
    #[must_use]
    pub fn lose(mut self, end: End, range: Range<u64>) -> Self {
        self.lost.push((end, range));
        self
    }

    /// Parts of the streams are not captured: of an end, from that share of all that it sends on, so many bytes.
    #[must_use]
    pub fn lose_parts(self, parts: impl IntoIterator<Item = (End, f64, u64)>) -> Self {
        parts.into_iter().fold(self, |talk, (end, share, len)| {
            let from = (talk.sent(end) as f64 * share) as u64;
            talk.lose(end, from..from + len)
        })
    }

    /// `end` sends its FIN.
    #[must_use]
    pub fn fin(mut self, end: End) -> Self {
        self.events.push(Event::Fin(end));
        self
    }

    /// The connection is over. Without this, it ends as [`Close::Unobserved`].
    #[must_use]
    pub fn close(mut self, how: Close) -> Self {
        self.events.push(Event::Close(how));
        self
    }

    /// Time passes.
    #[must_use]
    pub fn wait(mut self, span: Duration) -> Self {
        self.events.push(Event::Wait(span));
        self
    }

    /// The flow's clock ticks: see [`Flow::tick`].
    #[must_use]
    pub fn tick(mut self) -> Self {
        self.events.push(Event::Tick);
        self
    }

    /// Cuts every piece into segments of at most `n` bytes. Times do not change.
    #[must_use]
    pub fn split(mut self, n: usize) -> Self {
        self.split = n.max(1);
        self
    }

    /// Bytes that `end` sends in all.
    #[must_use]
    pub fn sent(&self, end: End) -> u64 {
        let of = |event: &Event| match event {
            Event::Bytes(from, bytes) if *from == end => bytes.len() as u64,
            _ => 0,
        };
        self.events.iter().map(of).sum()
    }

    /// Lets the flow see it all.
    #[must_use]
    pub fn run(&self) -> Outcome {
        let mut flow = Flow::with_table(self.table, self.limits.clone(), self.options.clone());
        let mut outcome = Outcome::default();
        flow.open(self.info(), &mut outcome);
        let mut run = Run { talk: self, flow, outcome, sent: [0; 2], now: 0 };
        self.events.iter().for_each(|event| run.event(event));
        let end = Mono(run.now);
        run.flow.finish(end, &mut run.outcome);
        run.outcome
    }

    fn info(&self) -> ConnInfo {
        let (client, server) = (SocketAddr::from(([10, 0, 0, 1], 50000)), SocketAddr::from(([10, 0, 0, 2], self.port)));
        let (local, remote) = if self.role == Role::Client { (client, server) } else { (server, client) };
        ConnInfo {
            id: CONN,
            transport: self.transport,
            local,
            remote,
            dialed: None,
            role: self.tells_role.then_some(self.role),
            owner: None,
            cgroup: None,
            opened: Mono(0),
            midway: self.midway,
        }
    }
}

impl Default for Talk {
    fn default() -> Self {
        Self::new()
    }
}

const CONN: ConnId = ConnId(1);

struct Run<'a> {
    talk: &'a Talk,
    flow: Flow,
    outcome: Outcome,
    sent: [u64; 2],
    now: u64,
}

impl Run<'_> {
    fn event(&mut self, event: &Event) {
        let now = Mono(self.now);
        match event {
            Event::Wait(span) => {
                self.now = now.after(*span).0;
                return;
            }
            Event::Tick => return self.flow.tick(now, &mut self.outcome),
            Event::Bytes(end, bytes) if self.talk.transport == Transport::Udp => self.segment(*end, bytes),
            Event::Bytes(end, bytes) => bytes.chunks(self.talk.split).for_each(|part| self.segment(*end, part)),
            Event::Fin(end) => {
                self.flow.fin(CONN, self.direction(*end), now, &mut self.outcome);
            }
            Event::Close(how) => {
                self.flow.close(CONN, *how, now, &mut self.outcome);
            }
        }
        self.now += STEP;
        self.outcome.held = self.outcome.held.max(self.flow.held_bytes());
        self.outcome.protocol = self.outcome.protocol.or(self.flow.protocol(CONN));
    }

    fn direction(&self, end: End) -> Direction {
        if (end == End::Client) == (self.talk.role == Role::Client) { Direction::Egress } else { Direction::Ingress }
    }

    /// One segment, as capture delivers it: what of it was not lost, in as many records as there are pieces.
    fn segment(&mut self, end: End, bytes: &[u8]) {
        let (own, other) = if end == End::Client { (0, 1) } else { (1, 0) };
        let start = self.sent[own];
        let talk = self.talk;
        let direction = self.direction(end);
        let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let ack = self.talk.seq[other].wrapping_add(number(self.sent[other]));
        let behind = start + bytes.len() as u64;
        let concerns = |(of, range): &&(End, Range<u64>)| *of == end && range.start < behind && start < range.end;
        let lost: Vec<&Range<u64>> = talk.lost.iter().filter(concerns).map(|(_, range)| range).collect();
        let is_lost = |i: usize| lost.iter().any(|range| range.contains(&(start + i as u64)));
        let mut from = 0;
        while from < bytes.len() {
            let data_at = (from..bytes.len()).find(|&i| !is_lost(i)).unwrap_or(bytes.len());
            let data_to = (data_at..bytes.len()).find(|&i| is_lost(i)).unwrap_or(bytes.len());
            // The record of the last piece reaches to the segment's end.
            let more = (data_to..bytes.len()).any(|i| !is_lost(i));
            let to = if more { data_to } else { bytes.len() };
            let segment = Segment {
                direction,
                time: Mono(self.now),
                seq: self.talk.seq[own].wrapping_add(number(start + from as u64)),
                ack,
                len: number((to - from) as u64),
                data_at: number((data_at - from) as u64),
                data: &bytes[data_at..data_to],
                order: Order::Next,
                task: None,
            };
            self.flow.segment(CONN, &segment, &mut self.outcome);
            from = to;
        }
        self.sent[own] += bytes.len() as u64;
    }
}

/// What came of a [`Talk`].
#[derive(Debug, Default)]
pub struct Outcome {
    /// Finished exchanges, in the order in which they were finished.
    pub exchanges: Vec<Exchange>,
    /// What was counted as lost.
    pub losses: BTreeMap<Loss, u64>,
    /// First protocol that the connection was classified as.
    pub protocol: Option<&'static str>,
    /// What was asked of capture, as (egress, ingress).
    pub captures: Vec<(Amount, Amount)>,
    /// Exchanges that were announced and taken back.
    pub voided: u64,
    /// Most bytes held at any time.
    pub held: usize,
    /// Responses that turned out to be streams of events.
    pub streams: u64,
    /// Messages that are no requests and no answers: how many, and bytes of payload, as (egress, ingress).
    pub messages: [(u64, u64); 2],
    announced: BTreeSet<u64>,
}

impl Outcome {
    /// One line an exchange: span name, the values of `keys`, error and what is missing.
    ///
    /// `GET 200 error=… incomplete=request_cut,…`; an absent value is `-`.
    #[must_use]
    pub fn brief(&self, keys: &[Key]) -> Vec<String> {
        self.exchanges.iter().map(|exchange| brief(exchange, keys)).collect()
    }

    /// One line an exchange with everything in it that does not depend on the run.
    #[must_use]
    pub fn full(&self) -> Vec<String> {
        self.exchanges.iter().map(full).collect()
    }

    /// How often `loss` was counted.
    #[must_use]
    pub fn lost(&self, loss: Loss) -> u64 {
        self.losses.get(&loss).copied().unwrap_or(0)
    }
}

impl Sink for Outcome {
    fn request(&mut self, _: &ConnInfo, exchange: &mut Exchange) {
        assert!(self.announced.insert(exchange.id.0), "exchange announced twice");
    }

    fn exchange(&mut self, _: &ConnInfo, exchange: Box<Exchange>) -> Option<Box<Exchange>> {
        assert!(self.announced.remove(&exchange.id.0), "exchange finished twice, or not announced");
        self.exchanges.push((*exchange).clone());
        Some(exchange)
    }

    fn void(&mut self, _: &ConnInfo, exchange: &Exchange) {
        self.announced.remove(&exchange.id.0);
        self.voided += 1;
    }

    fn capture(&mut self, _: ConnId, egress: Amount, ingress: Amount) {
        self.captures.push((egress, ingress));
    }

    fn streams(&mut self, _: &ConnInfo, _: &Exchange) {
        self.streams += 1;
    }

    fn message(&mut self, _: &ConnInfo, _: Carrier, direction: Direction, bytes: u64) {
        let (count, sum) = &mut self.messages[usize::from(direction == Direction::Ingress)];
        *count += 1;
        *sum += bytes;
    }

    fn loss(&mut self, _: Option<&'static str>, loss: Loss, n: u64) {
        *self.losses.entry(loss).or_default() += n;
    }
}

fn brief(exchange: &Exchange, keys: &[Key]) -> String {
    let mut line = String::new();
    span_name(exchange, &mut line);
    for key in keys {
        line.push(' ');
        match exchange.attrs.get(*key) {
            Some(value) => text(&mut line, &value),
            None => line.push('-'),
        }
    }
    tail(&mut line, exchange);
    line
}

fn full(exchange: &Exchange) -> String {
    let mut line = format!("{} {:?} ", exchange.protocol, exchange.kind);
    span_name(exchange, &mut line);
    for (key, value) in exchange.attrs.iter().map(|(key, value)| (key.name(), value)) {
        let _ = write!(line, " {key}=");
        text(&mut line, &value);
    }
    if let Some(context) = exchange.context {
        let _ = write!(line, " trace={}/{}/{} {}", context.trace, context.parent, context.flags, exchange.trace_state);
    }
    if let Some(call) = exchange.call {
        let _ = write!(line, " call={}/{}/{:?}", call.seq, call.ack, String::from_utf8_lossy(&call.head));
    }
    let message = |m: crate::model::Message| {
        let body = m.body_bytes.map_or_else(|| "?".to_owned(), |n| n.to_string());
        format!("{}-{}ms,{body}B", m.first.0 / STEP, m.last.0 / STEP)
    };
    let response = exchange.response.map_or_else(|| "-".to_owned(), message);
    let _ = write!(line, " request={} response={response}", message(exchange.request));
    tail(&mut line, exchange);
    line
}

fn text(line: &mut String, value: &Value<'_>) {
    let _ = match value {
        Value::Str(text) => write!(line, "{text}"),
        Value::Int(int) => write!(line, "{int}"),
        Value::Bool(truth) => write!(line, "{truth}"),
        Value::List(items) => write!(line, "{items:?}"),
    };
}

fn tail(line: &mut String, exchange: &Exchange) {
    if let Some(error) = &exchange.error {
        let _ = write!(line, " error={error}");
    }
    let missing = exchange.completeness;
    let flags = [
        (missing.request_cut, "request_cut"),
        (missing.request_lost, "request_lost"),
        (missing.response_lost, "response_lost"),
        (missing.end_inferred, "end_inferred"),
    ];
    let named: Vec<&str> = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
    if !named.is_empty() {
        let _ = write!(line, " incomplete={}", named.join(","));
    }
}

/// Parts for [`Talk::lose_parts`], each shorter than `longest` bytes.
#[cfg(test)]
pub(crate) fn parts(longest: u64) -> impl proptest::strategy::Strategy<Value = Vec<(End, f64, u64)>> {
    use proptest::prelude::*;
    let end = any::<bool>().prop_map(|client| if client { End::Client } else { End::Server });
    proptest::collection::vec((end, 0.0..1.0f64, 1..longest), 1..4)
}
