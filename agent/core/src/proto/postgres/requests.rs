//! What a PostgreSQL client asks: simple queries, and statements from their Parse or Bind to their Execute.

use super::message::{HEAD, Head, Read};
use super::{Call, KEEP, Kind, MAX_PORTALS, NAME_LIMIT, Pending, Postgres, Turns, message};
use crate::flow::Loss;
use crate::model::semconv as s;
use crate::model::{CallKey, Exchange, Mono};
use crate::proto::ordered::is_behind;
use crate::proto::sql::Statement;
use crate::proto::{Cx, End, Input, Step, sql};

impl Postgres {
    /// A new exchange whose request begins at the start of `input`; `None` over the limit.
    pub(super) fn begin(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Option<Box<Exchange>> {
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

    pub(super) fn push(&mut self, kind: Kind, exchange: Option<Box<Exchange>>, ack: u32) {
        self.calls.push_back(Call { kind, exchange, ack, rows: 0, is_parsed: false, is_run: false, missed: false });
    }

    pub(super) fn client_message(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
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
    pub(super) fn client_body(&mut self, head: Head, input: &Input<'_>, cx: &mut Cx<'_>) {
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
            exchange.attrs.set_str(s::DB_OPERATION_NAME, "CALL");
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
    pub(super) fn flush_pending(&mut self, cx: &mut Cx<'_>) {
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
    pub(super) fn tear_pending(&mut self, cx: &mut Cx<'_>) {
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
}
