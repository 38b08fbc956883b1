//! PostgreSQL protocol 3.x: simple and extended queries in any batching.
//!
//! The server answers in order, so calls wait in a queue; `ReadyForQuery` ends a group of them. A statement is one
//! exchange from its first message (Parse, Bind or Execute) to its completion; a Parse that nothing executes in its
//! group is a `PREPARE`. Rows are counted and never looked at. After a loss, requests are taken up where a segment
//! begins with whole valid messages, answers where the request's segment said that they begin; a connection that does
//! not wait for answers and loses bytes is given up. Nothing is paired by guess.

mod answers;
mod losses;
mod message;
mod requests;
mod startup;
#[cfg(test)]
mod tests;

use super::http::close_error;
use super::ordered::is_behind;
use super::sql::{Backslash, Dialect, Rules, Statement, Statements};
use super::{Cx, Descriptor, End, Evidence, Input, Mark, Pairing, Parser, Sample, Step, Stop};
use crate::flow::{Amount, Capture};
use crate::model::semconv as s;
use crate::model::{Close, Exchange, Family, Mono, Transport};
use message::{Chain, Read};
use std::collections::VecDeque;

/// PostgreSQL, and what speaks its protocol.
pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "postgresql",
    family: Family::Db,
    pairing: Pairing::Order,
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
                    answers::forget_operation(&mut exchange);
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
