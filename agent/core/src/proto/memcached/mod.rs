//! Memcached: the text protocol, the meta commands in it, and the binary protocol.
//!
//! Values are never looked at, in neither direction: their ends are computed. Commands that ask for no answer, or only
//! for an unusual one, are never given another's.

mod binary;
#[cfg(test)]
mod tests;
mod text;

use super::keys::{set_error, set_query_text, write_pattern, write_raw};
use super::ordered::{Calls, Found, Patience, end_of_hole, is_within};
use super::{Cx, Descriptor, End, Evidence, Input, Mark, Pairing, Parser, Sample, Step, Stop};
use crate::flow::{Amount, Capture, Loss};
use crate::model::semconv as s;
use crate::model::{Close, Exchange, Family, Mono, Transport};
use rustc_hash::FxHasher;
use std::hash::Hasher;
use text::{Answer, Parsed, Quiet, Reply};

/// Memcached over TCP.
pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "memcached",
    family: Family::Db,
    pairing: Pairing::Order,
    transport: Transport::Tcp,
    ports: &[11211, 11212],
    capture: Capture { client: Amount::Burst(32 * 1024), server: Amount::Burst(32 * 1024) },
    detect,
    parser: |midway| Box::new(Memcached::new(midway)),
};

/// Strong for a valid binary header, for a storage command, and for another command with an answer that fits it.
fn detect(sample: &Sample<'_>) -> Evidence {
    if sample.first == Some(End::Server) && !sample.midway {
        return Evidence::No;
    }
    match sample.client.first() {
        None => Evidence::More,
        Some(&binary::REQUEST) => detect_binary(sample),
        Some(_) => detect_text(sample),
    }
}

fn detect_binary(sample: &Sample<'_>) -> Evidence {
    if sample.client.len() < binary::HEADER {
        return Evidence::More;
    }
    let is_answered = match sample.server.len() {
        0..binary::HEADER => sample.server.first().is_none_or(|magic| *magic == binary::REQUEST + 1),
        _ => binary::response(sample.server).is_some(),
    };
    match binary::request(sample.client) {
        Some(_) if is_answered || sample.midway => Evidence::Strong,
        _ => Evidence::No,
    }
}

fn detect_text(sample: &Sample<'_>) -> Evidence {
    let command = match text::command(sample.client) {
        Parsed::Is(command) => command,
        Parsed::More => return Evidence::More,
        Parsed::Bad => return Evidence::No,
    };
    let answer = match text::line(sample.server) {
        Parsed::Is((line, _)) => Some(text::fits(command.answer(), line)),
        Parsed::More => None,
        Parsed::Bad => Some(false),
    };
    match answer {
        Some(true) => Evidence::Strong,
        Some(false) if !sample.midway => Evidence::No,
        Some(false) if any_line_fits(command.answer(), sample.server) => Evidence::Strong,
        _ if command.value > 0 => Evidence::Strong,
        _ if command.keys().next().is_some() => Evidence::Weak,
        _ => Evidence::More,
    }
}

/// Whether one of the first lines of a server that was joined midway fits.
fn any_line_fits(answer: Answer, server: &[u8]) -> bool {
    const LINES: usize = 8;
    let whole = server.split_inclusive(|byte| *byte == b'\n').filter_map(|line| line.strip_suffix(b"\r\n"));
    whole.take(LINES).any(|line| text::fits(answer, line))
}

/// What has to be known of a call to find its answer.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Text {
        answer: Answer,
        name: &'static str,
        quiet: Quiet,
        /// Hash of the opaque token, and of the key, by which a meta answer may name it.
        opaque: Option<u64>,
        key: u64,
    },
    Binary {
        op: &'static binary::Opcode,
        opaque: u32,
    },
}

/// Which of the two protocols the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Unknown,
    Text,
    Binary,
}

/// Where an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// At the start of one.
    Nothing,
    /// Between its lines (or packets).
    Within,
    /// In its last value: the flow skips to the end.
    Ending,
    /// In a value that belongs to no known call.
    Ownerless,
}

struct Memcached {
    calls: Calls<Asked>,
    dialect: Dialect,
    sending: Sending,
    /// Values of the answer so far.
    values: i64,
    confirmed: bool,
    stop: Option<Stop>,
}

fn hash(token: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(token);
    hasher.finish()
}

impl Memcached {
    fn new(midway: bool) -> Self {
        Self { calls: Calls::new(midway), dialect: Dialect::Unknown, sending: Sending::Nothing, values: 0, confirmed: false, stop: None }
    }

    // ---- requests

    fn request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if self.dialect == Dialect::Unknown {
            self.dialect = if input.bytes()[0] == binary::REQUEST { Dialect::Binary } else { Dialect::Text };
        }
        match self.dialect {
            Dialect::Binary => self.binary_request(input, cx),
            Dialect::Text | Dialect::Unknown => self.text_request(input, cx),
        }
    }

    fn text_request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let command = match text::command(input.bytes()) {
            Parsed::Is(command) => command,
            Parsed::More => return Step::More,
            Parsed::Bad => return self.malformed_request(input, cx),
        };
        self.confirmed = true;
        let mut exchange = self.calls.begin(input, command.len, cx);
        if let Some(exchange) = &mut exchange {
            describe(exchange, command.name());
            let keys = command.keys().take(MAX_BATCH).count();
            if keys > 1 {
                exchange.attrs.set_int(s::DB_OPERATION_BATCH_SIZE, i64::try_from(keys).unwrap_or(i64::MAX));
            }
            exchange.request.body_bytes = Some(command.value.saturating_sub(2));
            let raw = cx.options.raw_text;
            set_query_text(exchange, cx, |out| command.write_text(raw, out));
        }
        let asked = Asked::Text {
            answer: command.answer(),
            name: command.name(),
            quiet: command.quiet,
            opaque: command.opaque().map(hash),
            key: command.keys().next().map_or(0, hash),
        };
        self.calls.push(exchange, asked, cx);
        self.goes_on(input, command.len, command.value, cx)
    }

    fn malformed_request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        self.calls.lose_client(input.mark(0).ack, true);
        Step::Take(input.bytes().len())
    }

    fn binary_request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        if bytes.len() < binary::HEADER {
            return Step::More;
        }
        let Some(header) = binary::request(bytes) else { return self.malformed_request(input, cx) };
        let key_at = binary::HEADER + header.extras_len;
        let Some(key) = bytes.get(key_at..key_at + header.key_len) else { return Step::More };
        self.confirmed = true;
        let mut exchange = self.calls.begin(input, key_at + header.key_len, cx);
        if let Some(exchange) = &mut exchange {
            describe(exchange, header.op.name);
            let value = header.body - (header.extras_len + header.key_len) as u64;
            exchange.request.body_bytes = Some(value);
            let raw = cx.options.raw_text;
            set_query_text(exchange, cx, |out| write_binary_text(&header, key, value, raw, out));
        }
        self.calls.push(exchange, Asked::Binary { op: header.op, opaque: header.opaque }, cx);
        self.goes_on(input, key_at + header.key_len, header.body - (key_at + header.key_len - binary::HEADER) as u64, cx)
    }

    /// Goes on behind a request of `head` bytes and a value of `value` bytes.
    fn goes_on(&mut self, input: &Input<'_>, head: usize, value: u64, cx: &mut Cx<'_>) -> Step {
        self.calls.sent(input.time(head - 1));
        if value == 0 {
            self.request_sent(cx);
            return Step::Take(head);
        }
        Step::Skip(head as u64 + value)
    }

    fn request_sent(&mut self, cx: &mut Cx<'_>) {
        let Some(call) = self.calls.back() else { return };
        match call.what {
            Asked::Text { quiet: Quiet::Always, .. } | Asked::Text { answer: Answer::Nothing, .. } => self.calls.finish_back(cx),
            _ => {}
        }
    }

    fn find_request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let len = input.next_segment(0).unwrap_or(bytes.len());
        if !self.calls.may_resume(input) {
            return Step::Take(len);
        }
        let is_start = match (self.dialect, bytes[0]) {
            (Dialect::Binary | Dialect::Unknown, binary::REQUEST) if bytes.len() < binary::HEADER => return Step::More,
            (Dialect::Binary | Dialect::Unknown, binary::REQUEST) => binary::request(bytes).is_some(),
            (Dialect::Binary, _) => false,
            (Dialect::Text | Dialect::Unknown, _) => match text::command(bytes) {
                Parsed::Is(_) => true,
                Parsed::More => return Step::More,
                Parsed::Bad => false,
            },
        };
        if !is_start {
            return Step::Take(len);
        }
        self.calls.resume(cx);
        self.sending = Sending::Nothing;
        self.request(input, cx)
    }

    // ---- answers

    fn answer(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match self.calls.front().map(|call| call.what) {
            Some(Asked::Text { .. }) => self.text_answer(input, cx),
            Some(Asked::Binary { .. }) => self.binary_answer(input, cx),
            None => {
                cx.count(Loss::Orphan, 1);
                self.lose_server(input, cx)
            }
        }
    }

    fn lose_server(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        self.sending = Sending::Nothing;
        self.calls.lose_server(input.seq(0), input.time(0), cx);
        Step::Take(input.bytes().len())
    }

    fn malformed_answer(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        cx.count(Loss::Malformed, 1);
        self.lose_server(input, cx)
    }

    fn text_answer(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let (line, len) = match text::line(input.bytes()) {
            Parsed::Is(line) => line,
            Parsed::More => return Step::More,
            Parsed::Bad => return self.malformed_answer(input, cx),
        };
        let Some(reply) = text::reply(line) else { return self.malformed_answer(input, cx) };
        if self.sending == Sending::Nothing {
            match self.whose(line, reply) {
                Whose::Call(n) => self.calls.finish_silent(n, cx),
                Whose::OneOf(n) => {
                    self.calls.miss(n);
                    return self.ownerless(len, reply);
                }
            }
            self.values = 0;
        }
        let Some(Asked::Text { answer, .. }) = self.calls.front().map(|call| call.what) else { return self.malformed_answer(input, cx) };
        if self.sending == Sending::Nothing && !text::fits(answer, line) && answer != Answer::Line && answer != Answer::Stream {
            return self.malformed_answer(input, cx);
        }
        self.calls.respond(input, cx);
        match reply {
            Reply::Value(n) => {
                self.values += 1;
                self.sending = Sending::Within;
                return Step::Skip(len as u64 + n);
            }
            Reply::MetaValue(n) => {
                self.values = 1;
                self.sending = Sending::Ending;
                return Step::Skip(len as u64 + n);
            }
            Reply::Other(_) if answer == Answer::Lines => {
                self.sending = Sending::Within;
                return Step::Take(len);
            }
            Reply::Error(code) => self.note(Outcome::Failure, code),
            Reply::Word(word @ ("NOT_STORED" | "EXISTS" | "NOT_FOUND")) => self.note(Outcome::Other, word),
            Reply::Meta(code @ ("EN" | "NS" | "EX" | "NF")) => self.note(Outcome::Other, code),
            _ => {}
        }
        self.answer_done(input.time(len - 1), cx).map_or(Step::Take(len), Step::Stop)
    }

    /// An answer that cannot be told to belong to a certain call.
    fn ownerless(&mut self, len: usize, reply: Reply<'_>) -> Step {
        match reply {
            Reply::MetaValue(n) => {
                self.sending = Sending::Ownerless;
                Step::Skip(len as u64 + n)
            }
            _ => Step::Take(len),
        }
    }

    /// Whose answer begins with `line`: those in front of it may be quiet and stay without one.
    fn whose(&self, line: &[u8], reply: Reply<'_>) -> Whose {
        let named = |token: u8, of: fn(&Asked) -> Option<u64>| {
            let token = text::reply_token(line, token).map(hash)?;
            self.calls.iter().position(|call| of(&call.what) == Some(token))
        };
        let is_meta = matches!(reply, Reply::MetaValue(_) | Reply::Meta(_));
        // Only its own word answers a no-op.
        let is_noop = |asked: &Asked| matches!(asked, Asked::Text { name: "mn", .. });
        if reply == Reply::NoOp {
            return Whose::Call(self.calls.iter().position(|call| is_noop(&call.what)).unwrap_or(0));
        }
        if is_meta && let Some(n) = named(b'O', opaque_of).or_else(|| named(b'k', key_of)) {
            return Whose::Call(n);
        }
        let quiet = self.calls.iter().take_while(|call| matches!(call.what, Asked::Text { quiet: Quiet::Usual, .. })).count();
        match (quiet, self.calls.iter().nth(quiet).is_some_and(|call| !is_noop(&call.what))) {
            (0, _) | (1, false) => Whose::Call(0),
            (n, false) => Whose::OneOf(n),
            (n, true) => Whose::OneOf(n + 1),
        }
    }

    fn binary_answer(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        if bytes.len() < binary::HEADER {
            return Step::More;
        }
        let Some(header) = binary::response(bytes) else { return self.malformed_answer(input, cx) };
        let is_its = |asked: &Asked| matches!(asked, Asked::Binary { op, opaque } if op.code == header.op.code && *opaque == header.opaque);
        let is_quiet = |asked: &Asked| matches!(asked, Asked::Binary { op, .. } if op.quiet != binary::Quiet::Never);
        let Some(n) = self.calls.iter().position(|call| is_its(&call.what)) else { return self.malformed_answer(input, cx) };
        if !self.calls.iter().take(n).all(|call| is_quiet(&call.what)) {
            return self.malformed_answer(input, cx);
        }
        self.calls.finish_silent(n, cx);
        self.calls.respond(input, cx);
        let len = binary::HEADER as u64 + header.body;
        let is_part = header.op.code == binary::STAT && header.status == 0 && header.key_len > 0;
        self.values = i64::from(header.op.name == "get" && header.status == 0);
        match binary::status(header.status) {
            binary::Status::Ok => {}
            binary::Status::Outcome(code) => self.note(Outcome::Other, code),
            binary::Status::Failure(code) => self.note(Outcome::Failure, code),
        }
        self.sending = if is_part { Sending::Within } else { Sending::Ending };
        Step::Skip(len)
    }

    /// Notes the code by which an answer tells how it turned out.
    fn note(&mut self, outcome: Outcome, code: &'static str) {
        let Some(exchange) = self.calls.front().and_then(|call| call.exchange.as_deref_mut()) else { return };
        match outcome {
            Outcome::Failure => set_error(exchange, code),
            Outcome::Other => exchange.attrs.set_str(s::DB_RESPONSE_STATUS_CODE, code),
        }
    }

    fn answer_done(&mut self, at: Mono, cx: &mut Cx<'_>) -> Option<Stop> {
        self.sending = Sending::Nothing;
        let values = std::mem::take(&mut self.values);
        let call = self.calls.front()?;
        let is_read = match call.what {
            Asked::Text { answer, name, .. } => answer == Answer::Values || name == "mg",
            Asked::Binary { op, .. } => matches!(op.name, "get" | "gat"),
        };
        let is_stream = matches!(call.what, Asked::Text { answer: Answer::Stream, .. });
        if let Some(exchange) = call.exchange.as_deref_mut().filter(|exchange| is_read && exchange.error.is_none()) {
            exchange.attrs.set_int(s::DB_RESPONSE_RETURNED_ROWS, values);
        }
        self.calls.finish(at, cx);
        if is_stream {
            self.stop = Some(Stop::Opaque);
        }
        self.stop
    }

    fn find_answer(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match self.calls.find(input) {
            Found::Here => {
                self.sending = Sending::Nothing;
                self.answer(input, cx)
            }
            Found::Pass(n) => Step::Take(n.max(1)),
        }
    }
}

/// Most keys of one command that are counted.
const MAX_BATCH: usize = 10_000;

/// What the code of an answer means.
enum Outcome {
    /// The command failed.
    Failure,
    /// It did what it does where there is no such key, or another.
    Other,
}

/// Whose an answer is.
enum Whose {
    /// The call at this place.
    Call(usize),
    /// One of so many.
    OneOf(usize),
}

fn opaque_of(asked: &Asked) -> Option<u64> {
    match asked {
        Asked::Text { opaque, .. } => *opaque,
        Asked::Binary { .. } => None,
    }
}

fn key_of(asked: &Asked) -> Option<u64> {
    match asked {
        Asked::Text { key, .. } => Some(*key),
        Asked::Binary { .. } => None,
    }
}

fn describe(exchange: &mut Exchange, name: &'static str) {
    exchange.attrs.set_str(s::DB_SYSTEM_NAME, "memcached");
    exchange.attrs.set_str(s::DB_OPERATION_NAME, name);
}

/// Appends a binary command as the text protocol would write it.
fn write_binary_text(header: &binary::Header, key: &[u8], value: u64, raw: bool, out: &mut String) {
    out.push_str(header.op.name);
    if !key.is_empty() {
        out.push(' ');
        if raw { write_raw(out, key) } else { write_pattern(out, key) }
    }
    if value > 0 {
        out.push_str(" ?");
    }
}

fn patience(asked: &Asked) -> Patience {
    match asked {
        Asked::Text { quiet: Quiet::Usual | Quiet::Always, .. } | Asked::Text { answer: Answer::Nothing, .. } => Patience::Silent,
        Asked::Binary { op, .. } if op.quiet != binary::Quiet::Never => Patience::Silent,
        Asked::Text { .. } | Asked::Binary { .. } => Patience::Usual,
    }
}

impl Parser for Memcached {
    fn parse(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if let Some(stop) = self.stop {
            return Step::Stop(stop);
        }
        match (from, self.calls.is_lost(from)) {
            (End::Client, true) => self.find_request(input, cx),
            (End::Client, false) => self.request(input, cx),
            (End::Server, true) => self.find_answer(input, cx),
            (End::Server, false) => self.answer(input, cx),
        }
    }

    fn skipped(&mut self, from: End, mark: &Mark, cx: &mut Cx<'_>) {
        match (from, self.sending) {
            _ if self.calls.is_lost(from) => {}
            (End::Client, _) => {
                self.calls.sent(mark.time);
                self.request_sent(cx);
            }
            (End::Server, Sending::Ending) => {
                self.answer_done(mark.time, cx);
            }
            (End::Server, Sending::Ownerless) => self.sending = Sending::Nothing,
            (End::Server, _) => {}
        }
    }

    fn lost(&mut self, from: End, before: &Input<'_>, bytes: u64, mark: &Mark, cx: &mut Cx<'_>) {
        if self.stop.is_some() {
            return;
        }
        // Commands or answers are longer than usual here.
        cx.want(Capture::ALL);
        let within = is_within(before, bytes, mark);
        match from {
            End::Client if self.calls.is_lost(from) => self.calls.stay_lost(mark.ack, within),
            End::Client => self.calls.lose_client(mark.ack, within),
            End::Server => {
                self.sending = Sending::Nothing;
                self.calls.lose_server(end_of_hole(before, bytes, mark), mark.time, cx);
            }
        }
    }

    fn fin(&mut self, from: End, _: Mono, _: &mut Cx<'_>) {
        self.calls.fin(from);
    }

    fn closed(&mut self, how: Close, _: Mono, cx: &mut Cx<'_>) {
        self.calls.closed(how, cx, patience);
    }

    fn expire(&mut self, before: Mono, cx: &mut Cx<'_>) {
        self.calls.expire(before, cx, patience);
    }
}
