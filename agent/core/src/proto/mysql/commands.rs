//! What a MySQL client asks.

use super::packet::{HEAD, Head, Reader};
use super::{Asked, KEEP, LATEST, MySql, NAME_LIMIT, Phase, Reply, packet};
use crate::model::semconv as s;
use crate::model::{Exchange, Mono, TraceContext};
use crate::proto::sql::Statement;
use crate::proto::{Cx, End, Input, Step, sql};

impl MySql {
    pub(super) fn client_packet(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let Some(head) = packet::head(bytes) else { return Step::More };
        let is_whole = bytes.len() >= head.total();
        if !is_whole && bytes.len() < KEEP && !self.client.continues {
            return Step::More;
        }
        if !self.client.continues && self.phase == Phase::Commands && head.seq == 0 && head.len == 0 {
            return self.malformed(End::Client, input, cx);
        }
        self.client_body(head, input, cx);
        self.take(End::Client, head, input)
    }

    /// A packet whose head and payload, as far as captured, stand at the start of `input`.
    pub(super) fn client_body(&mut self, head: Head, input: &Input<'_>, cx: &mut Cx<'_>) {
        // The same is read of a long packet in whatever pieces it comes.
        let available = input.bytes().len().min(head.total());
        let available = if head.total() > KEEP { available.min(KEEP) } else { available };
        let payload = &input.bytes()[HEAD..available];
        let at = input.time(available - 1);
        let is_command = head.seq == 0 && !self.client.continues;
        match self.phase {
            Phase::Greeting | Phase::Login if !is_command => self.login(payload, head.len),
            Phase::Auth if !is_command => {}
            _ if is_command => {
                self.phase = Phase::Commands;
                self.command(head, payload, input, at, cx);
            }
            _ => {
                self.calls.sent(at);
                self.seq = Some(head.seq.wrapping_add(1));
            }
        }
    }

    pub(super) fn command(&mut self, head: Head, payload: &[u8], input: &Input<'_>, at: Mono, cx: &mut Cx<'_>) {
        let Some((&command, body)) = payload.split_first() else { return };
        let is_whole = payload.len() == head.len;
        match command {
            0x03 => self.query(body, is_whole, head, input, at, cx),
            0x16 => self.prepare(body, is_whole, head, input, at, cx),
            0x17 | 0xfa => self.execute(body, head, input, at, cx),
            0x1c => self.fetch(body, head, input, at, cx),
            0x19 => {
                if let Some(id) = Reader(body).u32() {
                    self.statements.remove(&id);
                }
            }
            // Quit, long data: no answer.
            0x01 | 0x18 => {}
            0x02 => self.plain("USE", Reply::One, Some(body), head, input, at, cx),
            0x11 => self.plain("CHANGE USER", Reply::Auth, packet::change_user(body).or(Some(b"")), head, input, at, cx),
            0x04 => self.plain("FIELD LIST", Reply::Fields, None, head, input, at, cx),
            0x0a => self.plain("PROCESS INFO", Reply::Results, None, head, input, at, cx),
            0x12 | 0x1e => self.plain("BINLOG DUMP", Reply::Stream, None, head, input, at, cx),
            _ => self.plain(plain_name(command), Reply::One, None, head, input, at, cx),
        }
    }

    fn begin(&mut self, head: Head, input: &Input<'_>, at: Mono, cx: &mut Cx<'_>) -> Option<Box<Exchange>> {
        let mut exchange = self.calls.begin(input, head.total(), cx)?;
        sql::system(&mut exchange, self.system, &self.database);
        exchange.request.last = at;
        Some(exchange)
    }

    fn push(&mut self, exchange: Option<Box<Exchange>>, asked: Asked, cx: &mut Cx<'_>) {
        self.calls.push(exchange, asked, cx);
    }

    fn query(&mut self, body: &[u8], is_whole: bool, head: Head, input: &Input<'_>, at: Mono, cx: &mut Cx<'_>) {
        let mut exchange = self.begin(head, input, at, cx);
        let (text, traceparent) = packet::query(body, self.capabilities & packet::QUERY_ATTRIBUTES != 0);
        self.query.fill(text, is_whole, self.rules, cx.options, &mut cx.shared.sql);
        if let Some(exchange) = &mut exchange {
            self.query.apply(exchange, cx);
            self.query.apply_context(exchange);
            exchange.context = traceparent.and_then(TraceContext::parse).or(exchange.context);
        }
        let asked = Asked { reply: Reply::Results, statement: None, database: used_database(text) };
        self.push(exchange, asked, cx);
    }

    fn prepare(&mut self, body: &[u8], is_whole: bool, head: Head, input: &Input<'_>, at: Mono, cx: &mut Cx<'_>) {
        let mut exchange = self.begin(head, input, at, cx);
        let mut statement = Box::<Statement>::default();
        statement.fill(body, is_whole, self.rules, cx.options, &mut cx.shared.sql);
        if let Some(exchange) = &mut exchange {
            statement.apply_prepare(exchange, cx);
            statement.apply_context(exchange);
        }
        self.push(exchange, Asked { reply: Reply::Prepared, statement: Some(statement), database: None }, cx);
    }

    fn execute(&mut self, body: &[u8], head: Head, input: &Input<'_>, at: Mono, cx: &mut Cx<'_>) {
        let mut exchange = self.begin(head, input, at, cx);
        if let Some(exchange) = &mut exchange {
            let id = Reader(body).u32();
            let preparing = self.calls.back().and_then(|call| call.what.statement.as_deref()).filter(|_| id == Some(LATEST));
            let id = if id == Some(LATEST) { self.latest } else { id };
            match preparing.or_else(|| self.statements.get(&id?)) {
                Some(statement) => statement.apply(exchange, cx),
                None => exchange.attrs.set_str(s::DB_OPERATION_NAME, "EXECUTE"),
            }
        }
        self.push(exchange, Asked { reply: Reply::Results, statement: None, database: None }, cx);
    }

    fn fetch(&mut self, body: &[u8], head: Head, input: &Input<'_>, at: Mono, cx: &mut Cx<'_>) {
        let mut exchange = self.begin(head, input, at, cx);
        if let Some(exchange) = &mut exchange {
            match Reader(body).u32().and_then(|id| self.statements.get(&id)) {
                Some(statement) => statement.apply(exchange, cx),
                None => exchange.attrs.set_str(s::DB_OPERATION_NAME, "FETCH"),
            }
        }
        self.push(exchange, Asked { reply: Reply::Rows, statement: None, database: None }, cx);
    }

    /// A command that is no statement.
    #[expect(clippy::too_many_arguments, reason = "what a packet is and where it stands")]
    fn plain(
        &mut self,
        name: &'static str,
        reply: Reply,
        database: Option<&[u8]>,
        head: Head,
        input: &Input<'_>,
        at: Mono,
        cx: &mut Cx<'_>,
    ) {
        let mut exchange = self.begin(head, input, at, cx);
        if let Some(exchange) = &mut exchange {
            exchange.attrs.set_str(s::DB_OPERATION_NAME, name);
        }
        let database = database.map(|name| String::from_utf8_lossy(&name[..name.len().min(NAME_LIMIT)]).into_owned());
        self.push(exchange, Asked { reply, statement: None, database }, cx);
    }
}

fn plain_name(command: u8) -> &'static str {
    match command {
        0x05 => "CREATE DATABASE",
        0x06 => "DROP DATABASE",
        0x07 => "REFRESH",
        0x08 => "SHUTDOWN",
        0x09 => "STATISTICS",
        0x0c => "KILL",
        0x0d => "DEBUG",
        0x0e => "PING",
        0x15 => "REGISTER REPLICA",
        0x1a => "RESET STATEMENT",
        0x1b => "SET OPTION",
        0x1f => "RESET CONNECTION",
        _ => "COMMAND",
    }
}

/// Database that `USE name` names.
fn used_database(text: &[u8]) -> Option<String> {
    let text = text.trim_ascii();
    let (verb, name) = text.split_at_checked(4)?;
    if !verb[..3].eq_ignore_ascii_case(b"use") || !verb[3].is_ascii_whitespace() {
        return None;
    }
    let name = name.trim_ascii();
    let name = name.strip_suffix(b";").unwrap_or(name).trim_ascii();
    let name = name.strip_prefix(b"`").and_then(|name| name.strip_suffix(b"`")).unwrap_or(name);
    (name.len() <= NAME_LIMIT).then(|| String::from_utf8_lossy(name).into_owned())
}
