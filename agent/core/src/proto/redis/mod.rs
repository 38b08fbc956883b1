//! Redis, Valkey and KeyDB: RESP2 and RESP3 (`redis.io/docs/latest/develop/reference/protocol-spec`) with inline
//! commands, pipelines, transactions, pub/sub and pushes.
//!
//! Values are never looked at, in neither direction: their ends are computed. Nothing is paired by guess after a loss
//! ([`super::ordered`]), and a push is never taken for an answer.

mod command;
mod reply;
#[cfg(test)]
mod tests;

use super::keys::{set_error, set_query_text};
use super::ordered::{Calls, Found, Patience, end_of_hole, is_within};
use super::text::write_decimal;
use super::{Cx, Descriptor, End, Evidence, Input, Mark, Parser, Sample, Step, Stop};
use crate::flow::{Capture, Loss};
use crate::model::semconv as s;
use crate::model::{Close, Exchange, Family, Mono, Transport};
use command::{Command, Facts, Nature, Parsed, bulk_header, command, integer_line, is_command_name, is_known, procedure};
use reply::{Element, Kind, Topic, element, string, topic};

/// Redis and what speaks like it, over TCP.
pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "redis",
    family: Family::Db,
    transport: Transport::Tcp,
    ports: &[6379, 6380, 6381, 7000, 7001, 7002, 26379],
    // Commands and replies are small and many: a pipeline that is cut would lose its count.
    capture: Capture::ALL,
    detect,
    parser: |midway| Box::new(Redis::new(midway)),
};

const CRLF: u64 = 2;

/// Strong for an array of bulk strings that begins with a command's name; an inline command needs a reply too.
fn detect(sample: &Sample<'_>) -> Evidence {
    if sample.first == Some(End::Server) && !sample.midway {
        return Evidence::No;
    }
    let server = match sample.server.is_empty() {
        true => Parsed::More,
        false => element(sample.server),
    };
    let is_array = sample.client.first() == Some(&b'*');
    match (request_fit(sample.client), server) {
        (Evidence::No, Parsed::Is(_)) if sample.midway && sample.client.is_empty() => Evidence::More,
        (Evidence::No, _) => Evidence::No,
        (_, Parsed::Bad) if !sample.midway => Evidence::No,
        (Evidence::Strong, _) if is_array => Evidence::Strong,
        (Evidence::Strong, Parsed::Is(_)) if !sample.midway => Evidence::Strong,
        _ => Evidence::More,
    }
}

/// How well bytes fit the start of a request: strong for one with a command's name.
fn request_fit(client: &[u8]) -> Evidence {
    if client.is_empty() {
        return Evidence::More;
    }
    if client[0] != b'*' {
        return match command(client) {
            // Words that mean the same to other line protocols (POP3, NATS, FTP) are no evidence.
            Parsed::Is(command) => match command.arg(0) {
                Some(name) if is_known(name) && ![&b"AUTH"[..], b"QUIT", b"INFO"].iter().any(|n| n.eq_ignore_ascii_case(name)) => {
                    Evidence::Strong
                }
                _ => Evidence::No,
            },
            Parsed::More if client.len() < 64 && client[0].is_ascii_alphabetic() => Evidence::More,
            _ => Evidence::No,
        };
    }
    match command(client) {
        // The elements of a reply may be bulk strings too: only a known name, or a module's, makes a request.
        Parsed::Is(command) => match command.arg(0) {
            Some(name) if is_known(name) || (is_command_name(name) && name.contains(&b'.')) => Evidence::Strong,
            Some(name) if is_command_name(name) => Evidence::Weak,
            Some(_) => Evidence::No,
            None => Evidence::More,
        },
        Parsed::More => first_name(client).map_or(Evidence::More, |name| if is_known(name) { Evidence::Strong } else { Evidence::More }),
        Parsed::Bad => Evidence::No,
    }
}

/// Name of a command whose arguments have not all come.
fn first_name(client: &[u8]) -> Option<&[u8]> {
    let Parsed::Is((_, at)) = integer_line(client, 0) else { return None };
    let Parsed::Is((name, _)) = string(client, at) else { return None };
    Some(name)
}

/// What an answer means to the parser.
#[derive(Clone, Copy, Debug)]
struct Asked {
    nature: Nature,
    /// Confirmations that are still to come.
    confirmations: u64,
    /// The database before it.
    database: Option<u32>,
}

/// What the server is sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// Nothing begun.
    Nothing,
    /// The answer to the first call.
    Answer,
    /// Something that nobody asked for.
    Push,
}

/// Which commands are answered (`CLIENT REPLY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    All,
    None,
    /// All but the latest command's and the next one's.
    SkipThis,
    /// All but the latest command's.
    SkipNext,
}

struct Redis {
    calls: Calls<Asked>,
    /// Arguments of the latest request that were not read.
    args_left: u64,
    /// What the server is sending.
    sending: Sending,
    /// Elements of what the server is sending that were not read.
    elements_left: u64,
    /// Elements of attributes in front of it.
    attribute_left: u64,
    /// Whether the element is the answer itself, not one inside it.
    is_top: bool,
    /// Database index, where it is known.
    database: Option<u32>,
    /// Commands since MULTI.
    queued: Option<i64>,
    is_subscribed: bool,
    answers: Answers,
    /// Whether a whole command was seen: before that, bytes that are none mean another protocol.
    confirmed: bool,
    stop: Option<Stop>,
}

impl Redis {
    fn new(midway: bool) -> Self {
        Self {
            calls: Calls::new(midway),
            args_left: 0,
            sending: Sending::Nothing,
            elements_left: 0,
            attribute_left: 0,
            is_top: false,
            database: (!midway).then_some(0),
            queued: None,
            is_subscribed: false,
            answers: Answers::All,
            confirmed: false,
            stop: None,
        }
    }

    // ---- requests

    fn request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        // Empty lines are ignored.
        let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if empty > 0 {
            return Step::Take(empty);
        }
        match command(bytes) {
            Parsed::More => Step::More,
            Parsed::Bad => self.malformed_request(input, cx),
            Parsed::Is(command) if command.total == 0 => Step::Take(command.len),
            Parsed::Is(command) if !is_command_name(command.arg(0).unwrap_or_default()) => self.malformed_request(input, cx),
            Parsed::Is(command) => {
                self.confirmed = true;
                self.begin(&command, input, cx);
                self.args_left = if command.is_inline { 0 } else { command.left() };
                self.calls.sent(input.time(command.len - 1));
                self.request_sent(cx);
                Step::Take(command.len)
            }
        }
    }

    fn begin(&mut self, command: &Command<'_>, input: &Input<'_>, cx: &mut Cx<'_>) {
        let facts = Facts::of(command);
        let nature = facts.nature();
        let database = self.database;
        match nature {
            Nature::Select => self.database = command.arg(1).and_then(number),
            Nature::Reset => self.reset(),
            _ => {}
        }
        let mut exchange = self.calls.begin(input, command.len, cx);
        if let Some(exchange) = &mut exchange {
            self.describe(exchange, command, facts, cx);
        }
        self.note_transaction(command, exchange.as_deref_mut());
        let confirmations = if nature == Nature::Subscribe { command.total - 1 } else { 1 };
        self.calls.push(exchange, Asked { nature, confirmations, database }, cx);
        if nature == Nature::Client {
            self.client_reply(command);
        }
    }

    fn describe(&self, exchange: &mut Exchange, command: &Command<'_>, facts: Facts, cx: &mut Cx<'_>) {
        let attrs = &mut exchange.attrs;
        attrs.set_static(s::DB_SYSTEM_NAME, "redis");
        match facts.simple_name() {
            Some(name) => attrs.set_static(s::DB_OPERATION_NAME, name),
            None => attrs.set_with(s::DB_OPERATION_NAME, |out| facts.write_name(command, out)),
        }
        if let Some(database) = self.database {
            attrs.set_with(s::DB_NAMESPACE, |out| write_decimal(out, database));
        }
        if let Some(procedure) = procedure(command) {
            attrs.set_bytes(s::DB_STORED_PROCEDURE_NAME, &procedure[..procedure.len().min(64)]);
        }
        let raw = cx.options.raw_text;
        set_query_text(exchange, cx, |out| facts.write_text(command, raw, out));
    }

    /// Counts the commands between MULTI and EXEC.
    fn note_transaction(&mut self, command: &Command<'_>, exchange: Option<&mut Exchange>) {
        let is = |name: &str| command.arg(0).is_some_and(|arg| arg.eq_ignore_ascii_case(name.as_bytes()));
        if is("MULTI") {
            self.queued = Some(0);
        } else if is("DISCARD") {
            self.queued = None;
        } else if is("EXEC") {
            if let (Some(queued), Some(exchange)) = (self.queued.take().filter(|n| *n > 0), exchange) {
                exchange.attrs.set_int(s::DB_OPERATION_BATCH_SIZE, queued);
            }
        } else if let Some(queued) = &mut self.queued {
            *queued += 1;
        }
    }

    fn reset(&mut self) {
        self.database = Some(0);
        self.queued = None;
        self.is_subscribed = false;
        self.answers = Answers::All;
    }

    /// `CLIENT REPLY ON|OFF|SKIP` decides which commands are answered from itself on.
    fn client_reply(&mut self, command: &Command<'_>) {
        let is = |index: usize, word: &[u8]| command.arg(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word));
        if !is(1, b"REPLY") {
            return;
        }
        if is(2, b"ON") {
            self.answers = Answers::All;
        } else if is(2, b"OFF") {
            self.answers = Answers::None;
        } else if is(2, b"SKIP") && self.answers == Answers::All {
            self.answers = Answers::SkipThis;
        }
    }

    /// The arguments of the latest request that are not shown: their bytes are not needed.
    fn arguments(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let mut at = 0;
        while self.args_left > 0 {
            match bulk_header(bytes, at) {
                Parsed::Is((len, data)) => {
                    let end = (data as u64).saturating_add(len + CRLF);
                    self.args_left -= 1;
                    match usize::try_from(end).ok().filter(|end| *end <= bytes.len()) {
                        Some(end) => at = end,
                        None => return Step::Skip(end),
                    }
                }
                Parsed::More if at == 0 => return Step::More,
                Parsed::More => break,
                Parsed::Bad => return self.malformed_request(input, cx),
            }
        }
        self.calls.sent(input.time(at - 1));
        self.request_sent(cx);
        Step::Take(at)
    }

    /// All bytes of the latest request have passed, unless arguments are left.
    fn request_sent(&mut self, cx: &mut Cx<'_>) {
        if self.args_left > 0 {
            return;
        }
        match self.answers {
            Answers::All => {}
            Answers::None => self.calls.finish_back(cx),
            Answers::SkipThis | Answers::SkipNext => {
                self.calls.finish_back(cx);
                self.answers = if self.answers == Answers::SkipThis { Answers::SkipNext } else { Answers::All };
            }
        }
    }

    fn malformed_request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        self.args_left = 0;
        self.calls.lose_client(input.mark(0).ack, true);
        Step::Take(input.bytes().len())
    }

    /// Looks for a command at the start of a segment.
    fn find_request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let len = input.next_segment(0).unwrap_or(input.bytes().len());
        if !self.calls.may_resume(input) || input.bytes()[0] != b'*' {
            return Step::Take(len);
        }
        match command(input.bytes()) {
            Parsed::Is(command) if command.arg(0).is_some_and(|name| is_known(name) || name.contains(&b'.')) => {
                self.calls.resume(cx);
                self.sending = Sending::Nothing;
                self.request(input, cx)
            }
            Parsed::More => Step::More,
            _ => Step::Take(len),
        }
    }

    // ---- answers

    fn reply(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if self.sending == Sending::Nothing {
            match self.begin_reply(input, cx) {
                Ok(()) => {}
                Err(step) => return step,
            }
        }
        let bytes = input.bytes();
        let mut at = 0;
        while self.elements_left > 0 {
            let element = match element(&bytes[at..]) {
                Parsed::Is(element) => element,
                Parsed::More if at == 0 => return Step::More,
                Parsed::More => return Step::Take(at),
                Parsed::Bad => return self.malformed_reply(input, cx),
            };
            self.element(&element, &bytes[at..], cx);
            let end = (at + element.head) as u64 + element.payload;
            match usize::try_from(end).ok().filter(|end| *end <= bytes.len()) {
                Some(end) => at = end,
                None => return Step::Skip(end),
            }
        }
        self.reply_done(input.time(at - 1), cx).map_or(Step::Take(at), Step::Stop)
    }

    /// Decides what begins here: an answer or a push. `Err` is the step instead.
    fn begin_reply(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Result<(), Step> {
        let bytes = input.bytes();
        let first = match element(bytes) {
            Parsed::Is(first) => first,
            Parsed::More => return Err(Step::More),
            Parsed::Bad => return Err(self.malformed_reply(input, cx)),
        };
        let front = self.calls.front().map(|call| call.what.nature);
        let may_be_topic =
            first.kind == Kind::Push || self.is_subscribed || matches!(front, None | Some(Nature::Subscribe | Nature::Unsubscribe));
        if may_be_topic && matches!(first.kind, Kind::Push | Kind::Aggregate) && first.children >= 2 {
            match string(bytes, first.head) {
                Parsed::More => return Err(Step::More),
                Parsed::Is((name, next)) => match topic(name) {
                    Topic::Message => self.start(Sending::Push),
                    found @ (Topic::Subscribed | Topic::Unsubscribed) if first.children == 3 => {
                        return self.confirmation(input, first.kind, next, found, cx);
                    }
                    _ => {}
                },
                Parsed::Bad => {}
            }
        }
        if self.sending == Sending::Nothing {
            match (first.kind, front) {
                (Kind::Push, _) => self.start(Sending::Push),
                (_, Some(_)) => {
                    self.start(Sending::Answer);
                    self.calls.respond(input, cx);
                }
                (_, None) => {
                    cx.count(Loss::Orphan, 1);
                    self.calls.lose_server(input.seq(0), input.time(0), cx);
                    return Err(Step::Take(bytes.len()));
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, sending: Sending) {
        self.sending = sending;
        self.elements_left = 1;
        self.attribute_left = 0;
        self.is_top = true;
    }

    /// A confirmation of SUBSCRIBE and the like: three elements, the last of them the number of subscriptions.
    fn confirmation(&mut self, input: &Input<'_>, kind: Kind, channel: usize, topic: Topic, cx: &mut Cx<'_>) -> Result<(), Step> {
        let bytes = input.bytes();
        let channel = match element(&bytes[channel..]) {
            Parsed::Is(element) => channel as u64 + element.head as u64 + element.payload,
            Parsed::More => return Err(Step::More),
            Parsed::Bad => return Err(self.malformed_reply(input, cx)),
        };
        let count_at = usize::try_from(channel).unwrap_or(usize::MAX);
        let (count, len) = match (bytes.get(count_at), integer_line(bytes, count_at)) {
            (None, _) | (_, Parsed::More) => return Err(Step::More),
            (Some(b':'), Parsed::Is(line)) => line,
            _ => return Err(self.malformed_reply(input, cx)),
        };
        // RESP3 sends messages as pushes, so an array is no message there.
        self.is_subscribed = count > 0 && kind == Kind::Aggregate;
        let wanted = if topic == Topic::Subscribed { Nature::Subscribe } else { Nature::Unsubscribe };
        if self.calls.front().is_some_and(|call| call.what.nature == wanted) {
            self.calls.respond(input, cx);
            let Some(call) = self.calls.front() else { return Err(Step::Take(len)) };
            call.what.confirmations = call.what.confirmations.saturating_sub(1);
            if call.what.confirmations == 0 {
                self.calls.finish(input.time(len - 1), cx);
            }
        }
        Err(Step::Take(len))
    }

    /// One element of what the server is sending.
    fn element(&mut self, element: &Element<'_>, bytes: &[u8], cx: &mut Cx<'_>) {
        if element.kind == Kind::Attribute {
            let left = if self.attribute_left > 0 { &mut self.attribute_left } else { &mut self.elements_left };
            if self.is_top {
                self.attribute_left = self.attribute_left.saturating_add(element.children);
            } else {
                *left = left.saturating_add(element.children);
            }
            return;
        }
        if self.attribute_left > 0 {
            self.attribute_left = (self.attribute_left - 1).saturating_add(element.children);
            return;
        }
        self.elements_left = (self.elements_left - 1).saturating_add(element.children);
        let is_top = std::mem::replace(&mut self.is_top, false);
        if element.kind == Kind::Error && self.sending == Sending::Answer {
            self.error(element, bytes, is_top, cx);
        }
    }

    /// An error as the answer, or in the answer to EXEC.
    fn error(&mut self, element: &Element<'_>, bytes: &[u8], is_top: bool, cx: &mut Cx<'_>) {
        let text = match element.payload {
            0 => element.line,
            len => {
                let end = (element.head as u64).saturating_add(len);
                &bytes[element.head..usize::try_from(end).unwrap_or(usize::MAX).min(bytes.len())]
            }
        };
        let Some(call) = self.calls.front() else { return };
        let Asked { nature, database, .. } = call.what;
        if !is_top && nature != Nature::Exec {
            return;
        }
        if nature == Nature::Select && is_top {
            self.database = database;
        }
        let Some(exchange) = self.calls.front().and_then(|call| call.exchange.as_deref_mut()) else { return };
        if exchange.error.is_none() {
            note_error(exchange, text, cx);
        }
    }

    fn reply_done(&mut self, at: Mono, cx: &mut Cx<'_>) -> Option<Stop> {
        let sending = std::mem::replace(&mut self.sending, Sending::Nothing);
        if sending != Sending::Answer {
            return None;
        }
        let asked = self.calls.front().map(|call| call.what);
        self.calls.finish(at, cx);
        if asked.is_some_and(|asked| asked.nature == Nature::Stream) {
            self.stop = Some(Stop::Opaque);
        }
        self.stop
    }

    fn malformed_reply(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        cx.count(Loss::Malformed, 1);
        self.sending = Sending::Nothing;
        self.calls.lose_server(input.seq(0), input.time(0), cx);
        Step::Take(input.bytes().len())
    }

    fn find_reply(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match self.calls.find(input) {
            Found::Here => {
                self.sending = Sending::Nothing;
                self.reply(input, cx)
            }
            Found::Pass(n) => Step::Take(n.max(1)),
        }
    }
}

fn number(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// An error's first word is its code (`WRONGTYPE`, `ERR`); a redirect of a cluster is no failure.
fn note_error(exchange: &mut Exchange, text: &[u8], cx: &mut Cx<'_>) {
    let word = text.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_code = (1..=32).contains(&word.len()) && word.iter().all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'_' | b'0'..=b'9'));
    let code = std::str::from_utf8(word).ok().filter(|_| is_code);
    match code {
        Some(code @ ("MOVED" | "ASK")) => {
            exchange.attrs.set_str(s::DB_RESPONSE_STATUS_CODE, code);
            exchange.attrs.set_bytes(s::REMORA_REDIS_REDIRECT, &text[..text.len().min(128)]);
        }
        Some(code) => set_error(exchange, code),
        None => {
            cx.count(Loss::Malformed, 1);
            exchange.error = Some(s::ERROR_OTHER.to_owned());
        }
    }
}

fn patience(asked: &Asked) -> Patience {
    if asked.nature == Nature::Blocking { Patience::Endless } else { Patience::Usual }
}

impl Parser for Redis {
    fn parse(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if let Some(stop) = self.stop {
            return Step::Stop(stop);
        }
        match (from, self.calls.is_lost(from)) {
            (End::Client, true) => self.find_request(input, cx),
            (End::Client, false) if self.args_left > 0 => self.arguments(input, cx),
            (End::Client, false) => self.request(input, cx),
            (End::Server, true) => self.find_reply(input, cx),
            (End::Server, false) => self.reply(input, cx),
        }
    }

    fn skipped(&mut self, from: End, mark: &Mark, cx: &mut Cx<'_>) {
        match from {
            _ if self.calls.is_lost(from) => {}
            End::Client => {
                self.calls.sent(mark.time);
                self.request_sent(cx);
            }
            End::Server if self.elements_left == 0 && self.sending != Sending::Nothing => {
                self.reply_done(mark.time, cx);
            }
            End::Server => {}
        }
    }

    fn lost(&mut self, from: End, before: &Input<'_>, bytes: u64, mark: &Mark, cx: &mut Cx<'_>) {
        if self.stop.is_some() {
            return;
        }
        let within = is_within(before, bytes, mark);
        match from {
            End::Client if self.calls.is_lost(from) => self.calls.stay_lost(mark.ack, within),
            End::Client => {
                if std::mem::take(&mut self.args_left) > 0
                    && let Some(exchange) = self.calls.back().and_then(|call| call.exchange.as_deref_mut())
                {
                    exchange.completeness.request_lost = true;
                }
                self.calls.lose_client(mark.ack, within);
            }
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
