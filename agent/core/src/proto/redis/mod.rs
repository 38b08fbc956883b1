//! Redis, Valkey and KeyDB: RESP2 and RESP3 (`redis.io/docs/latest/develop/reference/protocol-spec`) with inline
//! commands, pipelines, transactions, pub/sub and pushes.
//!
//! Values are never looked at, in neither direction: their ends are computed. Nothing is paired by guess after a loss
//! ([`super::ordered`]), and a push is never taken for an answer.

mod answers;
mod command;
mod reply;
mod requests;
#[cfg(test)]
mod tests;

use super::ordered::{Calls, Patience, end_of_hole, is_within};
use super::{Cx, Descriptor, End, Evidence, Input, Mark, Pairing, Parser, Sample, Step, Stop};
use crate::flow::Capture;
use crate::model::{Close, Family, Mono, Transport};
use command::{Nature, Parsed, command, integer_line, is_command_name, is_known};
use reply::{element, string};

/// Redis and what speaks like it, over TCP.
pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "redis",
    family: Family::Db,
    pairing: Pairing::Order,
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
