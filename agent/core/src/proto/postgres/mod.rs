//! PostgreSQL protocol 3.x: simple and extended queries in any batching.
//!
//! The server answers in order, so calls wait in a queue; `ReadyForQuery` ends a group of them. A statement is one
//! exchange from its first message (Parse, Bind or Execute) to its completion; a Parse that nothing executes in its
//! group is a `PREPARE`. Rows are counted and never looked at. After a loss, requests are taken up where a segment
//! begins with whole valid messages, answers where the request's segment said that they begin; a connection that does
//! not wait for answers and loses bytes is given up. Nothing is paired by guess.

mod message;
#[cfg(test)]
mod tests;

use super::http::close_error;
use super::ordered::is_behind;
use super::sql::{self, Backslash, Dialect, Rules, Statement, Statements};
use super::{Cx, Descriptor, End, Evidence, Input, Mark, Parser, Sample, Step, Stop};
use crate::flow::{Amount, Capture, Loss};
use crate::model::semconv as s;
use crate::model::{CallKey, Close, Exchange, Family, Message, Mono, Transport};
use message::{Chain, HEAD, Head, Opening, Read};
use std::collections::VecDeque;

/// PostgreSQL, and what speaks its protocol.
pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "postgresql",
    family: Family::Db,
    transport: Transport::Tcp,
    ports: &[5432, 6432, 26257],
    capture: Capture { client: Amount::Burst(16 * 1024), server: Amount::Burst(4 * 1024) },
    detect,
    parser: |midway| Box::new(Postgres::new(midway)),
};

/// Bytes of one message that are waited for; what is longer is skipped.
const KEEP: usize = 12 * 1024;
/// Most calls without an exchange of their own that are remembered so that later answers find theirs.
const MAX_UNTRACKED: usize = 16 * 1024;
/// Most named portals whose statement is remembered.
const MAX_PORTALS: usize = 64;
/// Longest name of a statement or portal that is remembered (the server cuts at 63).
const NAME_LIMIT: usize = 256;
/// `error.type` of a statement that was not run because one before it in its group failed.
const ERROR_ABORTED: &str = "pipeline_aborted";

fn detect(sample: &Sample<'_>) -> Evidence {
    if !sample.midway {
        match message::opening(sample.client) {
            Read::Is(_) => return Evidence::Strong,
            Read::More if sample.server.is_empty() => return Evidence::More,
            Read::More | Read::Bad => {}
        }
    }
    let client = message::client_chain(sample.client);
    match (client, sample.client.is_empty()) {
        (Chain::Certain | Chain::Partial, false) => return Evidence::Strong,
        (Chain::No, _) if !sample.midway => return Evidence::No,
        _ => {}
    }
    match message::server_chain(sample.server) {
        Chain::Certain | Chain::Partial if sample.midway && !sample.server.is_empty() => Evidence::Strong,
        Chain::No => Evidence::No,
        _ if client == Chain::No => Evidence::No,
        _ => Evidence::More,
    }
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The first message has not come.
    Opening,
    /// Encryption was asked for and not answered.
    Encryption,
    /// Messages with type bytes.
    Messages,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    /// It is not known where messages begin.
    lost: bool,
    /// Bytes of a message that was cut: they are skipped next.
    drain: u64,
    /// Sequence number behind what was seen or is skipped.
    seq: Option<u32>,
    /// Acknowledgement number of the segment in which the framing was lost, where that is known.
    lost_ack: Option<u32>,
    last: Mono,
}

impl Lane {
    fn new(lost: bool) -> Self {
        Self { lost, drain: 0, seq: None, lost_ack: None, last: Mono::default() }
    }

    /// Takes the first `len` bytes, some of which may not have come yet.
    fn take(&mut self, input: &Input<'_>, len: usize) -> Step {
        let seen = len.min(input.bytes().len());
        let last = input.mark(seen.saturating_sub(1));
        self.last = last.time;
        self.seq = Some(last.seq_at(input.offset() + len as u64));
        if seen == len { Step::Take(len) } else { Step::Skip(len as u64) }
    }
}

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `ReadyForQuery` after a simple query or a function call.
    Query,
    /// `ParseComplete`.
    Prepare,
    /// The completion of an Execute.
    Execute,
    /// A completion, or what shows that it was only prepared: what followed its Parse was lost.
    TornParse,
    /// A completion: what followed its Bind was lost.
    Torn,
    /// `ReadyForQuery` after Sync or the start-up.
    Sync,
    /// The end of the connection: a cancel request.
    Cancel,
}

impl Kind {
    fn ends_group(self) -> bool {
        matches!(self, Kind::Query | Kind::Sync)
    }
}

struct Call {
    kind: Kind,
    /// `None` for a Sync, and where it is not tracked (over a limit, or already reported as timed out).
    exchange: Option<Box<Exchange>>,
    /// Where the server's stream was when the request was sent: its answer begins there if the ends take turns.
    ack: u32,
    /// Rows that were returned.
    rows: i64,
    /// `ParseComplete` came.
    is_parsed: bool,
    /// A completion came: it was not only prepared.
    is_run: bool,
    /// The start of its answer was lost.
    missed: bool,
}

/// A statement between its Parse or Bind and its Execute.
struct Pending {
    exchange: Option<Box<Exchange>>,
    /// Name of the statement that it parsed.
    parsed: Option<Vec<u8>>,
    ack: u32,
}

/// How the ends use the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turns {
    Alternate,
    Pipelined,
}

struct Postgres {
    phase: Phase,
    client: Lane,
    server: Lane,
    calls: VecDeque<Call>,
    pending: Option<Pending>,
    /// Whether messages were sent since the last Sync or Query.
    is_group_open: bool,
    /// Whether a statement of the group that is being answered failed.
    is_group_failed: bool,
    turns: Turns,
    named: Statements<Vec<u8>>,
    unnamed: Option<Statement>,
    /// Statement of each named portal; the unnamed portal is the first.
    portals: Vec<(Vec<u8>, Vec<u8>)>,
    /// Used for each simple query.
    query: Statement,
    database: String,
    system: &'static str,
    rules: Rules,
    stop: Option<Stop>,
    confirmed: bool,
    first_fin: Option<End>,
}

impl Postgres {
    fn new(midway: bool) -> Self {
        Self {
            phase: if midway { Phase::Messages } else { Phase::Opening },
            client: Lane::new(midway),
            server: Lane::new(midway),
            calls: VecDeque::new(),
            pending: None,
            is_group_open: false,
            is_group_failed: false,
            turns: Turns::Alternate,
            named: Statements::new(),
            unnamed: None,
            portals: Vec::new(),
            query: Statement::default(),
            database: String::new(),
            system: "postgresql",
            rules: Rules { dialect: Dialect::Postgres, backslash: Backslash::Unknown },
            stop: None,
            confirmed: false,
            first_fin: None,
        }
    }

    // ---- start-up

    fn opening(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match message::opening(input.bytes()) {
            Read::More => Step::More,
            Read::Is((opening, len)) => {
                self.confirmed = true;
                match opening {
                    Opening::Encryption => self.phase = Phase::Encryption,
                    Opening::Cancel => self.cancel(input, cx),
                    Opening::Startup(parameters) => self.startup(parameters, input),
                }
                self.client.take(input, len)
            }
            // A TLS record, or bytes that began before capture did.
            Read::Bad if self.phase == Phase::Encryption => Step::Stop(Stop::Opaque),
            Read::Bad => {
                self.phase = Phase::Messages;
                self.client_message(input, cx)
            }
        }
    }

    fn startup(&mut self, parameters: &[u8], input: &Input<'_>) {
        self.phase = Phase::Messages;
        let user = message::parameter(parameters, b"user");
        if let Some(name) = message::parameter(parameters, b"database").or(user) {
            self.database = String::from_utf8_lossy(&name[..name.len().min(NAME_LIMIT)]).into_owned();
        }
        self.push(Kind::Sync, None, input.mark(0).ack);
    }

    fn cancel(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) {
        let exchange = self.begin(input, cx).map(|mut exchange| {
            exchange.attrs.set_static(s::DB_OPERATION_NAME, "CANCEL");
            cx.request(&mut exchange);
            exchange
        });
        self.push(Kind::Cancel, exchange, input.mark(0).ack);
    }

    /// The one byte that answers a request for encryption.
    fn encryption_answer(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match input.bytes()[0] {
            b'N' => {
                self.phase = Phase::Opening;
                self.server.take(input, 1)
            }
            b'S' | b'G' => Step::Stop(Stop::Opaque),
            _ => {
                self.phase = Phase::Messages;
                self.server_messages(input, cx)
            }
        }
    }

    // ---- requests

    /// A new exchange whose request begins at the start of `input`; `None` over the limit.
    fn begin(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Option<Box<Exchange>> {
        if self.calls.len() >= cx.options.in_flight_limit {
            cx.count(Loss::InFlight, 1);
            return None;
        }
        let mut exchange = cx.begin(input, 0);
        // The other end may see what follows the message in another segment.
        let len = message::length(input.bytes());
        exchange.call = Some(CallKey::new(input.seq(0), input.mark(0).ack, input.bytes().get(..len).unwrap_or(input.bytes())));
        sql::system(&mut exchange, self.system, &self.database);
        Some(exchange)
    }

    fn push(&mut self, kind: Kind, exchange: Option<Box<Exchange>>, ack: u32) {
        self.calls.push_back(Call { kind, exchange, ack, rows: 0, is_parsed: false, is_run: false, missed: false });
    }

    fn client_message(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        match message::client_head(bytes) {
            Read::More => Step::More,
            Read::Bad => self.malformed(End::Client, input, cx),
            Read::Is(head) => {
                let total = head.total();
                let is_data = matches!(head.kind, b'd' | b'p' | b'f');
                if bytes.len() < total && bytes.len() < KEEP && !is_data {
                    return Step::More;
                }
                self.confirmed |= matches!(head.kind, b'Q' | b'P' | b'B' | b'E');
                self.client_body(head, input, cx);
                self.client.take(input, total)
            }
        }
    }

    /// A message whose head and body, as far as captured, stand at the start of `input`.
    fn client_body(&mut self, head: Head, input: &Input<'_>, cx: &mut Cx<'_>) {
        let available = input.bytes().len().min(head.total());
        // The same is read of a long message in whatever pieces it comes.
        let available = if head.total() > KEEP { available.min(KEEP) } else { available };
        let body = &input.bytes()[HEAD.min(available)..available];
        let last = input.time(available - 1);
        if matches!(head.kind, b'Q' | b'P' | b'B' | b'E' | b'D' | b'C' | b'S' | b'F') && !self.is_group_open {
            self.turn(input.mark(0).ack, cx);
            self.is_group_open = true;
        }
        match head.kind {
            b'Q' => self.simple(body, available == head.total(), last, input, cx),
            b'F' => self.function(last, input, cx),
            b'P' => self.parse_message(body, last, input, cx),
            b'B' => self.bind(body, last, input, cx),
            b'E' => self.execute(body, last, input, cx),
            b'C' => self.close_statement(body),
            b'H' => self.flush_prepare(cx),
            b'S' => {
                self.flush_pending(cx);
                self.push(Kind::Sync, None, input.mark(0).ack);
                self.is_group_open = false;
            }
            _ => {}
        }
    }

    /// `Query`: a text of one statement or more.
    fn simple(&mut self, body: &[u8], is_whole: bool, last: Mono, input: &Input<'_>, cx: &mut Cx<'_>) {
        self.flush_pending(cx);
        let mut exchange = self.begin(input, cx);
        if let Some(exchange) = &mut exchange {
            let (text, is_whole) = message::text(body).map_or((body, false), |(text, _)| (text, is_whole));
            self.query.fill(text, is_whole, self.rules, cx.options, &mut cx.shared.sql);
            self.query.apply(exchange, cx);
            self.query.apply_context(exchange);
            exchange.request.last = last;
            cx.request(exchange);
        }
        self.push(Kind::Query, exchange, input.mark(0).ack);
        self.is_group_open = false;
    }

    fn function(&mut self, last: Mono, input: &Input<'_>, cx: &mut Cx<'_>) {
        self.flush_pending(cx);
        let mut exchange = self.begin(input, cx);
        if let Some(exchange) = &mut exchange {
            exchange.attrs.set_static(s::DB_OPERATION_NAME, "CALL");
            exchange.request.last = last;
            cx.request(exchange);
        }
        self.push(Kind::Query, exchange, input.mark(0).ack);
        self.is_group_open = false;
    }

    /// `Parse`: a text gets a name, which may be empty.
    fn parse_message(&mut self, body: &[u8], last: Mono, input: &Input<'_>, cx: &mut Cx<'_>) {
        self.flush_pending(cx);
        let mut exchange = self.begin(input, cx);
        let (name, text) = message::text(body).unwrap_or((body, &[]));
        let (text, is_whole) = message::text(text).map_or((text, false), |(text, _)| (text, true));
        let mut statement = match self.unnamed.take() {
            Some(statement) if name.is_empty() => statement,
            unnamed => {
                self.unnamed = unnamed;
                Statement::default()
            }
        };
        statement.fill(text, is_whole, self.rules, cx.options, &mut cx.shared.sql);
        if let Some(exchange) = &mut exchange {
            statement.apply_context(exchange);
            exchange.request.last = last;
        }
        self.portals.retain(|(_, of)| of != name);
        if name.is_empty() {
            self.unnamed = Some(statement);
        } else if name.len() <= NAME_LIMIT {
            self.named.insert(name.to_vec(), Box::new(statement));
        }
        self.pending = Some(Pending { exchange, parsed: Some(name.to_vec()), ack: input.mark(0).ack });
    }

    /// `Bind`: a statement gets values and becomes a portal.
    fn bind(&mut self, body: &[u8], last: Mono, input: &Input<'_>, cx: &mut Cx<'_>) {
        let Some((portal, statement)) = message::bind_names(body) else { return self.tear_pending(cx) };
        let is_same = self.pending.as_ref().is_some_and(|pending| pending.parsed.as_deref() == Some(statement));
        if !is_same {
            self.flush_pending(cx);
            let exchange = self.begin(input, cx);
            self.pending = Some(Pending { exchange, parsed: None, ack: input.mark(0).ack });
        }
        let known = if statement.is_empty() { self.unnamed.as_ref() } else { self.named.get(statement) };
        if let Some(Pending { exchange, parsed, .. }) = &mut self.pending {
            *parsed = None;
            if let Some(exchange) = exchange {
                exchange.request.last = last;
                if let Some(known) = known {
                    known.apply(exchange, cx);
                }
            }
        }
        self.remember_portal(portal, statement);
    }

    fn remember_portal(&mut self, portal: &[u8], statement: &[u8]) {
        match self.portals.iter_mut().find(|(name, _)| name == portal) {
            Some((_, of)) => {
                of.clear();
                of.extend_from_slice(statement);
            }
            None if portal.len() <= NAME_LIMIT && statement.len() <= NAME_LIMIT => {
                if self.portals.len() >= MAX_PORTALS {
                    self.portals.remove(0);
                }
                self.portals.push((portal.to_vec(), statement.to_vec()));
            }
            None => {}
        }
    }

    /// `Execute`: runs a portal, or goes on with one.
    fn execute(&mut self, body: &[u8], last: Mono, input: &Input<'_>, cx: &mut Cx<'_>) {
        let (mut exchange, ack) = match self.pending.take() {
            Some(Pending { exchange, parsed: None, ack }) => (exchange, ack),
            parsed => {
                self.pending = parsed;
                self.flush_pending(cx);
                (self.begin_portal(body, input, cx), input.mark(0).ack)
            }
        };
        if let Some(exchange) = &mut exchange {
            exchange.request.last = last;
            cx.request(exchange);
        }
        self.push(Kind::Execute, exchange, ack);
    }

    /// An exchange for a portal that was bound before.
    fn begin_portal(&mut self, body: &[u8], input: &Input<'_>, cx: &mut Cx<'_>) -> Option<Box<Exchange>> {
        let mut exchange = self.begin(input, cx)?;
        let portal = message::text(body).map(|(portal, _)| portal)?;
        let statement = self.portals.iter().find(|(name, _)| name == portal).map(|(_, statement)| statement);
        let known = statement.and_then(|name| if name.is_empty() { self.unnamed.as_ref() } else { self.named.get(name) });
        if let Some(known) = known {
            known.apply(&mut exchange, cx);
        }
        Some(exchange)
    }

    fn close_statement(&mut self, body: &[u8]) {
        let Some((name, _)) = body.get(1..).and_then(message::text) else { return };
        match body[0] {
            b'S' => {
                self.named.remove(name);
                self.portals.retain(|(_, of)| of != name);
            }
            _ => self.portals.retain(|(portal, _)| portal != name),
        }
    }

    /// The client wants to know how its Parse went before it goes on.
    fn flush_prepare(&mut self, cx: &mut Cx<'_>) {
        if self.pending.as_ref().is_some_and(|pending| pending.parsed.is_some()) {
            self.flush_pending(cx);
        }
    }

    /// Nothing executes what is pending: a Parse becomes a call of its own, a Bind is none.
    fn flush_pending(&mut self, cx: &mut Cx<'_>) {
        let Some(Pending { exchange, parsed, ack }) = self.pending.take() else { return };
        match (exchange, parsed) {
            (Some(mut exchange), Some(name)) => {
                let statement = if name.is_empty() { self.unnamed.as_ref() } else { self.named.get(&name) };
                if let Some(statement) = statement {
                    statement.apply_prepare(&mut exchange, cx);
                }
                cx.request(&mut exchange);
                self.push(Kind::Prepare, Some(exchange), ack);
            }
            (None, Some(_)) => self.push(Kind::Prepare, None, ack),
            (Some(exchange), None) => cx.void(exchange),
            (None, None) => {}
        }
    }

    /// What follows the pending Parse or Bind was lost: its answer will tell what it was.
    fn tear_pending(&mut self, cx: &mut Cx<'_>) {
        let Some(Pending { mut exchange, parsed, ack }) = self.pending.take() else { return };
        if let Some(exchange) = &mut exchange {
            let statement = parsed.as_ref().and_then(|name| if name.is_empty() { self.unnamed.as_ref() } else { self.named.get(name) });
            if let Some(statement) = statement {
                statement.apply(exchange, cx);
            }
            exchange.completeness.request_lost = true;
            cx.request(exchange);
        }
        self.push(if parsed.is_some() { Kind::TornParse } else { Kind::Torn }, exchange, ack);
    }

    /// A group of requests begins whose segment acknowledges `ack`: what does that say about the one before it?
    fn turn(&mut self, ack: u32, cx: &mut Cx<'_>) {
        let Some(last) = self.calls.back() else { return };
        if self.turns == Turns::Pipelined {
            return;
        }
        let is_answered = is_behind(ack, last.ack);
        let unseen = self.server.lost || is_behind(ack, self.server.seq.unwrap_or(last.ack));
        if !(is_answered && unseen) {
            self.turns = Turns::Pipelined;
            return;
        }
        while let Some(mut call) = self.calls.pop_front() {
            call.missed = true;
            self.finish(call, None, cx);
        }
        self.server.lost = true;
        self.is_group_failed = false;
    }

    // ---- answers

    fn server_messages(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let mut at = 0;
        while at < bytes.len() && self.stop.is_none() {
            let rest = &bytes[at..];
            match message::server_head(rest) {
                Read::More => break,
                Read::Bad if at > 0 => break,
                Read::Bad => return self.malformed(End::Server, input, cx),
                Read::Is(head) => {
                    let available = rest.len().min(head.total());
                    let is_needed = matches!(head.kind, b'C' | b'E' | b'S' | b'Z');
                    if available < head.total() && is_needed && available < KEEP {
                        break;
                    }
                    self.server_message(head.kind, &rest[HEAD..available], input, at, cx);
                    at += head.total();
                }
            }
        }
        if at == 0 { Step::More } else { self.server.take(input, at) }
    }

    /// A message at byte `at`; of `body` there is what was captured.
    fn server_message(&mut self, kind: u8, body: &[u8], input: &Input<'_>, at: usize, cx: &mut Cx<'_>) {
        let end = input.time((at + HEAD + body.len()).saturating_sub(1));
        match kind {
            b'S' => return self.parameter(body),
            b'N' | b'A' | b'K' | b'R' | b'v' => return,
            _ => {}
        }
        if let Some(Call { exchange: Some(exchange), kind: of, .. }) = self.calls.front_mut()
            && exchange.response.is_none()
            && *of != Kind::Sync
        {
            cx.respond(exchange, input, at);
        }
        match kind {
            b'D' => {
                if let Some(call) = self.calls.front_mut() {
                    call.rows += 1;
                }
            }
            b'1' => self.parse_complete(end, cx),
            b'C' => self.command_complete(body, end, cx),
            b's' => self.suspended(end, cx),
            b'I' if self.calls.front().is_some_and(|call| matches!(call.kind, Kind::Execute | Kind::Torn | Kind::TornParse)) => {
                self.complete(end, cx)
            }
            b'E' => self.error_response(body, end, cx),
            b'Z' => self.ready(end, cx),
            _ => {}
        }
    }

    /// `ParameterStatus`: the server tells how it is set, and each time that changes.
    fn parameter(&mut self, body: &[u8]) {
        match message::text(body) {
            Some((b"crdb_version", _)) => self.system = "cockroachdb",
            Some((b"standard_conforming_strings", value)) => {
                self.rules.backslash = match value {
                    b"on\0" => Backslash::Plain,
                    b"off\0" => Backslash::Escape,
                    _ => Backslash::Unknown,
                };
            }
            _ => {}
        }
    }

    fn parse_complete(&mut self, end: Mono, cx: &mut Cx<'_>) {
        let Some(call) = self.calls.front_mut() else { return };
        match call.kind {
            Kind::Prepare => self.complete(end, cx),
            // Another Parse: what this one prepared was not run in between.
            Kind::TornParse if call.is_parsed => {
                call.exchange.iter_mut().for_each(|exchange| sql::prepares(exchange));
                call.kind = Kind::Prepare;
                self.complete(end, cx);
            }
            _ => call.is_parsed = true,
        }
    }

    /// `PortalSuspended`: as many rows as were asked for.
    fn suspended(&mut self, end: Mono, cx: &mut Cx<'_>) {
        let Some(call) = self.calls.front_mut().filter(|call| matches!(call.kind, Kind::Execute | Kind::Torn | Kind::TornParse)) else {
            return;
        };
        call.is_run = true;
        if let Some(exchange) = &mut call.exchange {
            exchange.attrs.set_int(s::DB_RESPONSE_RETURNED_ROWS, call.rows);
        }
        self.complete(end, cx);
    }

    fn command_complete(&mut self, body: &[u8], end: Mono, cx: &mut Cx<'_>) {
        self.confirmed = true;
        let Some(call) = self.calls.front_mut() else { return };
        call.is_run = true;
        if let Some((operation, rows)) = message::tag(body)
            && let Some(exchange) = &mut call.exchange
        {
            if exchange.attrs.get(s::DB_OPERATION_NAME).is_none() {
                exchange.attrs.set_str(s::DB_OPERATION_NAME, operation);
            }
            let is_read = matches!(operation, "SELECT" | "FETCH" | "SHOW" | "EXPLAIN");
            match rows {
                Some(rows) if !is_read => {
                    let before = exchange.attrs.int(s::REMORA_DB_AFFECTED_ROWS).unwrap_or(0);
                    exchange.attrs.set_int(s::REMORA_DB_AFFECTED_ROWS, before.saturating_add(rows));
                }
                _ => {}
            }
            if call.rows > 0 || is_read {
                exchange.attrs.set_int(s::DB_RESPONSE_RETURNED_ROWS, call.rows);
            }
        }
        if matches!(call.kind, Kind::Execute | Kind::Torn | Kind::TornParse) {
            self.complete(end, cx);
        }
    }

    fn error_response(&mut self, body: &[u8], end: Mono, cx: &mut Cx<'_>) {
        let Some(call) = self.calls.front_mut() else { return };
        if let Some(exchange) = &mut call.exchange {
            match message::sqlstate(body) {
                Some(code) => sql::fail(exchange, code),
                None => {
                    exchange.error = Some(s::ERROR_OTHER.to_owned());
                    exchange.completeness.response_lost = true;
                }
            }
        }
        match call.kind {
            Kind::Query | Kind::Sync | Kind::Cancel => {}
            Kind::Prepare | Kind::Execute | Kind::Torn | Kind::TornParse => {
                self.complete(end, cx);
                self.is_group_failed = true;
            }
        }
    }

    /// `ReadyForQuery`: the group is over.
    fn ready(&mut self, end: Mono, cx: &mut Cx<'_>) {
        self.confirmed = true;
        if self.calls.is_empty() {
            cx.count(Loss::Orphan, 1);
        }
        while let Some(mut call) = self.calls.pop_front() {
            let is_last = call.kind.ends_group();
            if let Some(exchange) = &mut call.exchange
                && matches!(call.kind, Kind::Execute | Kind::Prepare)
            {
                if self.is_group_failed {
                    exchange.error = Some(ERROR_ABORTED.to_owned());
                } else {
                    exchange.completeness.response_lost = true;
                }
            }
            if call.kind == Kind::TornParse && call.is_parsed && !call.missed {
                call.exchange.iter_mut().for_each(|exchange| sql::prepares(exchange));
                call.kind = Kind::Prepare;
            }
            self.finish(call, Some(end), cx);
            if is_last {
                break;
            }
        }
        self.is_group_failed = false;
    }

    fn complete(&mut self, end: Mono, cx: &mut Cx<'_>) {
        if let Some(call) = self.calls.pop_front() {
            self.finish(call, Some(end), cx);
        }
    }

    /// Hands over a call's exchange. `end` is the time of its answer's last byte; `None` if that was not seen.
    fn finish(&self, call: Call, end: Option<Mono>, cx: &mut Cx<'_>) {
        let Some(mut exchange) = call.exchange else { return };
        exchange.completeness.response_lost |= call.missed;
        if call.kind == Kind::TornParse && (call.missed || !call.is_run) {
            forget_operation(&mut exchange);
        }
        if let Some(response) = &mut exchange.response {
            response.last = response.first.max(end.unwrap_or(self.server.last));
            exchange.completeness.end_inferred = end.is_none() && call.missed;
        }
        cx.finish(exchange);
    }

    // ---- losses

    fn malformed(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        match from {
            End::Client => self.lose_client(Some(input.mark(0).ack), cx),
            End::Server => self.lose_server(None, cx),
        }
        let len = input.bytes().len();
        match from {
            End::Client => self.client.take(input, len),
            End::Server => self.server.take(input, len),
        }
    }

    fn lose_client(&mut self, ack: Option<u32>, cx: &mut Cx<'_>) {
        self.tear_pending(cx);
        self.client.lost = true;
        self.client.lost_ack = ack;
        self.is_group_open = false;
        // What was lost may have given these names to other statements.
        self.named.clear();
        self.unnamed = None;
        self.portals.clear();
        if self.turns == Turns::Pipelined {
            self.give_up(cx);
        }
    }

    /// Framing of the server is gone; `mark` is the segment that showed it.
    fn lose_server(&mut self, mark: Option<Mark>, cx: &mut Cx<'_>) {
        self.server.lost = true;
        self.rules.backslash = Backslash::Unknown;
        self.miss(mark, cx);
    }

    /// The start of the answers to all that was asked is lost.
    fn miss(&mut self, mark: Option<Mark>, cx: &mut Cx<'_>) {
        for call in &mut self.calls {
            call.missed = true;
            if let (Some(mark), Some(exchange)) = (mark, &mut call.exchange)
                && exchange.response.is_none()
            {
                exchange.response = Some(Message { first: mark.time, last: mark.time, body_bytes: None });
            }
        }
        if self.turns == Turns::Pipelined {
            self.give_up(cx);
        }
    }

    fn give_up(&mut self, cx: &mut Cx<'_>) {
        self.stop = Some(Stop::Opaque);
        self.flush_pending(cx);
        while let Some(mut call) = self.calls.pop_front() {
            call.missed = true;
            self.finish(call, None, cx);
        }
    }

    /// Looks for a request: whole valid messages at the start of a segment, after the server has said something.
    fn find_request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let before = self.client.lost_ack.or(self.calls.back().map(|call| call.ack));
        let ack = input.mark(0).ack;
        if !input.starts_segment(0) || before.is_some_and(|before| !is_behind(ack, before)) {
            return self.client.take(input, input.next_segment(0).unwrap_or(bytes.len()));
        }
        // Messages of one burst: what the server had said when they were sent is the same for all.
        let mut burst = 0;
        while burst < bytes.len() && input.mark(burst).ack == ack {
            burst = input.next_segment(burst).unwrap_or(bytes.len());
        }
        match message::client_chain(&bytes[..burst]) {
            Chain::Certain | Chain::Partial => {
                self.client.lost = false;
                self.client.lost_ack = None;
                self.client_message(input, cx)
            }
            Chain::Maybe if burst == bytes.len() => Step::More,
            Chain::Maybe | Chain::No => self.client.take(input, input.next_segment(0).unwrap_or(bytes.len())),
        }
    }

    /// Looks for the answer to the first call where its request said that it begins, else for the end of its group.
    fn find_answer(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let Some(call) = self.calls.front() else { return self.server.take(input, bytes.len()) };
        if call.missed {
            return self.find_ready(input, cx);
        }
        let ahead = call.ack.wrapping_sub(input.seq(0));
        if ahead == 0 {
            self.server.lost = false;
            return self.server_messages(input, cx);
        }
        if ahead >= 1 << 31 {
            self.miss(Some(input.mark(0)), cx);
            return self.find_ready(input, cx);
        }
        self.server.take(input, bytes.len().min(usize::try_from(ahead).unwrap_or(bytes.len())))
    }

    /// `ReadyForQuery` at the end of a segment, behind the NUL that ends every completion and every error.
    fn find_ready(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let part = input.next_segment(0).unwrap_or(input.bytes().len());
        let bytes = &input.bytes()[..part];
        let Some((before, [b'Z', 0, 0, 0, 5, b'I' | b'T' | b'E'])) = bytes.split_at_checked(part.saturating_sub(6)) else {
            return self.server.take(input, part);
        };
        let is_end = match before {
            [.., last, 0] if last.is_ascii_alphanumeric() => true,
            [.., 0, 0] => {
                self.fail_unknown();
                true
            }
            _ => false,
        };
        let step = self.server.take(input, part);
        if is_end && input.ends_segment(part) && self.turns == Turns::Alternate {
            self.server.lost = false;
            let end = input.time(part - 1);
            while let Some(call) = self.calls.pop_front() {
                self.finish(call, Some(end), cx);
            }
            self.is_group_failed = false;
        }
        step
    }

    /// The only call ended with an error whose code was lost.
    fn fail_unknown(&mut self) {
        if let [Call { exchange: Some(exchange), .. }] = self.calls.make_contiguous() {
            exchange.error = Some(s::ERROR_OTHER.to_owned());
        }
    }

    /// A message of the client was cut, or bytes between messages are missing. Returns what is left of the message.
    fn cut_by_client(&mut self, before: &Input<'_>, end: u64, cx: &mut Cx<'_>) -> Option<u64> {
        if self.phase != Phase::Messages || before.bytes().is_empty() {
            return None;
        }
        let Read::Is(head) = message::client_head(before.bytes()) else { return None };
        let left = (before.offset() + head.total() as u64).checked_sub(end)?;
        let body = before.bytes().get(HEAD..)?;
        // A message whose names are lost may be about any statement.
        match head.kind {
            b'B' => message::bind_names(body).map(|_| ())?,
            b'P' | b'E' => message::text(body).map(|_| ())?,
            b'C' => return None,
            _ => {}
        }
        self.client_body(head, before, cx);
        Some(left)
    }

    fn cut_by_server(&mut self, before: &Input<'_>, end: u64, cx: &mut Cx<'_>) -> Option<u64> {
        if self.phase != Phase::Messages || before.bytes().is_empty() {
            return None;
        }
        let Read::Is(head) = message::server_head(before.bytes()) else { return None };
        let left = (before.offset() + head.total() as u64).checked_sub(end)?;
        let body = &before.bytes()[HEAD..before.bytes().len().min(head.total())];
        match head.kind {
            // A tag that was cut tells no number.
            b'C' => self.server_message(head.kind, &[], before, 0, cx),
            b'Z' | b'E' => self.server_message(head.kind, body, before, 0, cx),
            _ => {}
        }
        Some(left)
    }
}

/// Whether a statement was run or only prepared is not known.
fn forget_operation(exchange: &mut Exchange) {
    exchange.attrs.remove(s::DB_QUERY_SUMMARY);
    exchange.attrs.remove(s::DB_OPERATION_NAME);
}

impl Parser for Postgres {
    fn parse(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if let Some(stop) = self.stop {
            return Step::Stop(stop);
        }
        let lane = if from == End::Client { &mut self.client } else { &mut self.server };
        if lane.drain > 0 {
            let drain = usize::try_from(std::mem::take(&mut lane.drain)).unwrap_or(usize::MAX);
            return lane.take(input, drain);
        }
        match (from, self.phase) {
            (End::Client, _) if self.client.lost => self.find_request(input, cx),
            (End::Client, Phase::Opening | Phase::Encryption) => self.opening(input, cx),
            (End::Client, Phase::Messages) => self.client_message(input, cx),
            (End::Server, Phase::Encryption) => self.encryption_answer(input, cx),
            (End::Server, _) if self.server.lost => self.find_answer(input, cx),
            (End::Server, _) => self.server_messages(input, cx),
        }
    }

    fn skipped(&mut self, from: End, mark: &Mark, _: &mut Cx<'_>) {
        match from {
            End::Client => {
                self.client.last = mark.time;
                let exchange = match &mut self.pending {
                    Some(pending) => pending.exchange.as_mut(),
                    None => self.calls.back_mut().and_then(|call| call.exchange.as_mut()),
                };
                if let Some(exchange) = exchange.filter(|exchange| exchange.response.is_none()) {
                    exchange.request.last = exchange.request.last.max(mark.time);
                }
            }
            End::Server => self.server.last = mark.time,
        }
    }

    fn lost(&mut self, from: End, before: &Input<'_>, bytes: u64, mark: &Mark, cx: &mut Cx<'_>) {
        if self.stop.is_some() {
            return;
        }
        let start = before.offset() + before.bytes().len() as u64;
        let end = start + bytes;
        let is_within = mark.offset < end;
        match from {
            End::Client => {
                self.client.seq = Some(mark.seq_at(end));
                // A segment behind the hole says nothing of what its client knew when it sent what is missing.
                let ack = is_within.then_some(mark.ack);
                if self.client.lost {
                    self.client.lost_ack = ack.or(self.client.lost_ack);
                    return;
                }
                let inside = std::mem::take(&mut self.client.drain);
                let left = if inside > 0 { inside.checked_sub(bytes) } else { self.cut_by_client(before, end, cx) };
                match left {
                    Some(left) => self.client.drain = left,
                    None => {
                        self.phase = Phase::Messages;
                        self.lose_client(ack, cx);
                    }
                }
            }
            End::Server => {
                self.server.seq = Some(mark.seq_at(end));
                if is_within {
                    self.server.last = mark.time;
                }
                let inside = std::mem::take(&mut self.server.drain);
                let left = match (self.server.lost, inside) {
                    (true, _) => None,
                    (false, 0) => self.cut_by_server(before, end, cx),
                    (false, inside) => inside.checked_sub(bytes),
                };
                match left {
                    Some(left) => self.server.drain = left,
                    None => {
                        self.server.lost = true;
                        self.rules.backslash = Backslash::Unknown;
                        let seq = mark.seq_at(end);
                        if self.calls.front().is_some_and(|call| is_behind(seq, call.ack)) {
                            self.miss(Some(*mark), cx);
                        }
                    }
                }
            }
        }
    }

    fn fin(&mut self, from: End, _: Mono, _: &mut Cx<'_>) {
        self.first_fin = self.first_fin.or(Some(from));
    }

    fn closed(&mut self, how: Close, _: Mono, cx: &mut Cx<'_>) {
        self.tear_pending(cx);
        let error = close_error(how, self.first_fin, cx);
        while let Some(mut call) = self.calls.pop_front() {
            if let Some(exchange) = &mut call.exchange {
                let is_certain = call.kind != Kind::Cancel && !call.missed && exchange.error.is_none();
                if let Some(error) = error.filter(|_| is_certain) {
                    exchange.error = Some(error.to_owned());
                }
                exchange.completeness.response_lost |= how == Close::Unobserved && call.kind != Kind::Cancel;
            }
            self.finish(call, None, cx);
        }
    }

    fn expire(&mut self, before: Mono, cx: &mut Cx<'_>) {
        for call in &mut self.calls {
            let is_old = |exchange: &mut Box<Exchange>| exchange.response.is_none() && exchange.request.last < before;
            if let Some(mut exchange) = call.exchange.take_if(is_old) {
                if call.kind == Kind::TornParse {
                    forget_operation(&mut exchange);
                }
                exchange.error = Some(s::ERROR_TIMEOUT.to_owned());
                cx.finish(exchange);
            }
        }
        if self.calls.len() > MAX_UNTRACKED {
            self.give_up(cx);
        }
    }
}
