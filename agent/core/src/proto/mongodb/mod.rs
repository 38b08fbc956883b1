//! MongoDB's wire protocol: OP_MSG with all section kinds, OP_COMPRESSED, and the messages before them.
//!
//! Only the start of a message is looked at; its end is computed. Answers name their request, so a loss never shifts
//! them.

mod bson;
mod command;
mod compressed;
mod message;
#[cfg(test)]
mod tests;

use super::http::close_error;
use super::ordered::is_within;
use super::{Cx, Descriptor, End, Evidence, Input, Mark, Pairing, Parser, Sample, Step, Stop};
use crate::flow::{Amount, Capture, Loss};
use crate::model::semconv as s;
use crate::model::{CallKey, Close, Exchange, Family, Mono, Transport};
use message::{Content, HEADER, Header, OP_COMPRESSED};
use std::collections::VecDeque;

/// MongoDB over TCP.
pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "mongodb",
    family: Family::Db,
    pairing: Pairing::Number,
    transport: Transport::Tcp,
    ports: &[27017, 27018, 27019],
    capture: Capture { client: Amount::Burst(64 * 1024), server: Amount::Burst(32 * 1024) },
    detect,
    parser: |midway| Box::new(MongoDb::new(midway)),
};

/// Bytes of a request, and of a reply, that are waited for at most.
const REQUEST_HEAD: usize = 48 * 1024;
const REPLY_HEAD: usize = 16 * 1024;
/// Bytes of a compressed message that are decompressed at most.
const DECOMPRESSED: usize = 16 * 1024;

/// Strong for a whole valid start of a message that can be its end's.
fn detect(sample: &Sample<'_>) -> Evidence {
    if sample.first == Some(End::Server) && !sample.midway {
        return Evidence::No;
    }
    match (fit(sample.client, Header::is_request), fit(sample.server, |header| header.is_response() && header.response_to != 0)) {
        (Some(true), Some(false)) if !sample.midway => Evidence::No,
        (Some(true), _) => Evidence::Strong,
        (Some(false), _) => Evidence::No,
        (None, Some(true)) if sample.midway && sample.client.is_empty() => Evidence::Strong,
        (None, _) => Evidence::More,
    }
}

/// Whether `bytes` begin with a message; `None` if they are too few to say.
fn fit(bytes: &[u8], may_be: impl Fn(&Header) -> bool) -> Option<bool> {
    if bytes.len() < HEADER {
        return None;
    }
    match message::header(bytes).filter(may_be) {
        None => Some(false),
        Some(header) => header.fits(bytes),
    }
}

/// A request that waits for its answer.
struct Call {
    id: i32,
    exchange: Box<Exchange>,
    /// Whether bytes of the server were lost since.
    missed: bool,
    /// Whether its answer may take any time: the server waits for something to tell.
    endless: bool,
}

/// Where one direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// At the start of a message.
    Head,
    /// So many bytes before the next one.
    Rest(u64),
    /// Somewhere unknown.
    Lost,
}

struct MongoDb {
    client: Reading,
    server: Reading,
    calls: VecDeque<Call>,
    /// Id of the request that is being sent.
    sending: Option<i32>,
    /// Id of the call whose reply is being sent.
    replying: Option<i32>,
    /// Id of the last reply that announced another one.
    streaming: Option<i32>,
    /// Acknowledgement number of the latest request, and that beyond which requests are looked for.
    last_ack: Option<u32>,
    lost_ack: Option<u32>,
    first_fin: Option<End>,
    confirmed: bool,
    /// Decompressed bytes; kept for its memory.
    scratch: Vec<u8>,
}

impl MongoDb {
    fn new(midway: bool) -> Self {
        let reading = if midway { Reading::Lost } else { Reading::Head };
        Self {
            client: reading,
            server: reading,
            calls: VecDeque::new(),
            sending: None,
            replying: None,
            streaming: None,
            last_ack: None,
            lost_ack: None,
            first_fin: None,
            confirmed: false,
            scratch: Vec::new(),
        }
    }

    fn lane(&mut self, end: End) -> &mut Reading {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    /// A message of `from` begins here.
    fn message(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        if bytes.len() < HEADER {
            return Step::More;
        }
        let header = message::header(bytes).filter(|header| if from == End::Client { header.is_request() } else { header.is_response() });
        let (header, fits) = match header.map(|header| (header, header.fits(bytes))) {
            Some((_, None)) => return Step::More,
            Some((header, Some(fits))) => (header, fits),
            None => return self.malformed(from, input, cx),
        };
        if !fits {
            return self.malformed(from, input, cx);
        }
        let limit = if from == End::Client { REQUEST_HEAD } else { REPLY_HEAD };
        match message::needed(&header, bytes, limit) {
            Some(needed) if needed <= bytes.len() => self.head(from, &header, input, needed, cx),
            _ => Step::More,
        }
    }

    /// The first `len` bytes of a message are there, as many as are wanted of it.
    fn head(&mut self, from: End, header: &Header, input: &Input<'_>, len: usize, cx: &mut Cx<'_>) -> Step {
        self.confirmed = true;
        self.read(from, header, input, len, cx);
        if usize::try_from(header.len).is_ok_and(|whole| whole <= input.bytes().len()) {
            let whole = usize::try_from(header.len).unwrap_or(len);
            self.message_done(from, input.time(whole - 1), cx);
            return Step::Take(whole);
        }
        Step::Skip(header.len)
    }

    fn read(&mut self, from: End, header: &Header, input: &Input<'_>, len: usize, cx: &mut Cx<'_>) {
        let rest = &input.bytes()[HEADER..len];
        let mut scratch = std::mem::take(&mut self.scratch);
        let content = match header.opcode {
            OP_COMPRESSED => match message::decompress(rest, DECOMPRESSED, &mut scratch) {
                Some(opcode) => message::content(opcode, &scratch),
                None => {
                    cx.count(Loss::Malformed, 1);
                    Content::default()
                }
            },
            opcode => message::content(opcode, rest),
        };
        match from {
            End::Client => self.request(header, &content, input, len, cx),
            End::Server => self.reply(header, &content, input, cx),
        }
        self.scratch = scratch;
    }

    fn request(&mut self, header: &Header, content: &Content<'_>, input: &Input<'_>, len: usize, cx: &mut Cx<'_>) {
        let ack = input.mark(0).ack;
        self.turn(ack, cx);
        if self.calls.len() >= cx.options.in_flight_limit {
            return cx.count(Loss::InFlight, 1);
        }
        let mut exchange = cx.begin(input, 0);
        exchange.call = Some(CallKey::new(input.seq(0), ack, &input.bytes()[..len]));
        exchange.request.body_bytes = Some(header.len - HEADER as u64);
        exchange.request.last = input.time(len - 1);
        let is_endless = command::describe(&mut exchange, content, cx);
        cx.request(&mut exchange);
        // What was not understood may or may not be answered.
        if !content.is_answered() && content.opcode != 0 {
            return cx.finish(exchange);
        }
        self.sending = Some(header.id);
        let endless = is_endless || content.allows_exhaust();
        self.calls.push_back(Call { id: header.id, exchange, missed: false, endless });
    }

    /// A request begins: those whose answers were lost will not be answered any more.
    fn turn(&mut self, ack: u32, cx: &mut Cx<'_>) {
        if self.last_ack.replace(ack) == Some(ack) {
            return;
        }
        while let Some(at) = self.calls.iter().position(|call| call.missed) {
            if let Some(call) = self.calls.remove(at) {
                cx.finish(call.exchange);
            }
        }
    }

    fn reply(&mut self, header: &Header, content: &Content<'_>, input: &Input<'_>, cx: &mut Cx<'_>) {
        let is_streamed = self.streaming == Some(header.response_to);
        if content.is_more_to_come() {
            self.streaming = Some(header.id);
        } else if is_streamed {
            self.streaming = None;
        }
        let Some(call) = self.calls.iter_mut().find(|call| call.id == header.response_to) else {
            if !is_streamed {
                cx.count(Loss::Orphan, 1);
            }
            return;
        };
        call.missed = false;
        self.replying = Some(call.id);
        cx.respond(&mut call.exchange, input, 0);
        if let Some(response) = &mut call.exchange.response {
            response.body_bytes = Some(header.len - HEADER as u64);
        }
        command::outcome(&mut call.exchange, content);
    }

    /// The last byte of a message has passed.
    fn message_done(&mut self, from: End, at: Mono, cx: &mut Cx<'_>) {
        *self.lane(from) = Reading::Head;
        match from {
            End::Client => {
                let sent = self.sending.take();
                if let Some(call) = self.calls.iter_mut().rev().find(|call| Some(call.id) == sent) {
                    call.exchange.request.last = call.exchange.request.last.max(at);
                }
            }
            End::Server => {
                let replied = self.replying.take();
                let place = self.calls.iter().position(|call| Some(call.id) == replied);
                if let Some(mut call) = place.and_then(|place| self.calls.remove(place)) {
                    if let Some(response) = &mut call.exchange.response {
                        response.last = response.first.max(at);
                    }
                    cx.finish(call.exchange);
                }
            }
        }
    }

    fn malformed(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        self.lose(from, Some(input.mark(0).ack));
        Step::Take(input.bytes().len())
    }

    fn lose(&mut self, from: End, ack: Option<u32>) {
        *self.lane(from) = Reading::Lost;
        match from {
            End::Client => self.lost_ack = ack.or(self.last_ack),
            End::Server => {
                self.replying = None;
                self.calls.iter_mut().for_each(|call| {
                    call.missed = true;
                    call.exchange.completeness.response_lost = true;
                });
            }
        }
    }

    /// Looks for a message at the start of a segment: a request that the client sends after it heard more of the
    /// server, a reply to a request that waits.
    fn find(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let len = input.next_segment(0).unwrap_or(bytes.len());
        let ack = input.mark(0).ack;
        let is_later = |before: u32| ack != before && ack.wrapping_sub(before) < 1 << 31;
        let may_start = input.starts_segment(0) && (from == End::Server || self.lost_ack.is_none_or(is_later));
        if !may_start {
            return Step::Take(len);
        }
        if bytes.len() < HEADER {
            return Step::More;
        }
        let is_expected = |header: &Header| match from {
            End::Client => header.is_request(),
            End::Server => header.is_response() && self.calls.iter().any(|call| call.id == header.response_to),
        };
        match fit(bytes, is_expected) {
            None => Step::More,
            Some(false) => Step::Take(len),
            Some(true) => {
                *self.lane(from) = Reading::Head;
                self.message(from, input, cx)
            }
        }
    }

    /// A message's head was cut: what was seen of it is read, and its end is known.
    fn cut(&mut self, from: End, before: &Input<'_>, bytes: u64, cx: &mut Cx<'_>) -> Option<Reading> {
        let header = message::header(before.bytes()).filter(|header| header.fits(before.bytes()) == Some(true))?;
        let passed = before.bytes().len() as u64 + bytes;
        let is_expected = if from == End::Client { header.is_request() } else { header.is_response() };
        if !is_expected {
            return None;
        }
        self.read(from, &header, before, before.bytes().len(), cx);
        let cut = match from {
            End::Client => self.sending,
            End::Server => self.replying,
        };
        if let Some(call) = self.calls.iter_mut().find(|call| Some(call.id) == cut) {
            let missing = &mut call.exchange.completeness;
            *(if from == End::Client { &mut missing.request_lost } else { &mut missing.response_lost }) = true;
        }
        behind(header.len, passed)
    }
}

/// Where a direction is whose message of `len` bytes has had `passed` of them; `None` if others passed too.
fn behind(len: u64, passed: u64) -> Option<Reading> {
    match passed.cmp(&len) {
        std::cmp::Ordering::Less => Some(Reading::Rest(len - passed)),
        std::cmp::Ordering::Equal => Some(Reading::Head),
        std::cmp::Ordering::Greater => None,
    }
}

impl Parser for MongoDb {
    fn parse(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match *self.lane(from) {
            Reading::Head => self.message(from, input, cx),
            Reading::Rest(left) => Step::Skip(left),
            Reading::Lost => self.find(from, input, cx),
        }
    }

    fn skipped(&mut self, from: End, mark: &Mark, cx: &mut Cx<'_>) {
        if *self.lane(from) != Reading::Lost {
            self.message_done(from, mark.time, cx);
        }
    }

    fn lost(&mut self, from: End, before: &Input<'_>, bytes: u64, mark: &Mark, cx: &mut Cx<'_>) {
        let ack = is_within(before, bytes, mark).then_some(mark.ack);
        if *self.lane(from) == Reading::Lost {
            if from == End::Client {
                self.lost_ack = ack.or(self.lost_ack);
            }
            return;
        }
        let reading = match *self.lane(from) {
            Reading::Head => self.cut(from, before, bytes, cx),
            Reading::Rest(left) => behind(left, bytes),
            Reading::Lost => None,
        };
        match reading {
            Some(Reading::Head) => self.message_done(from, mark.time, cx),
            Some(reading) => *self.lane(from) = reading,
            None => {
                // The end of the message that was cut is not known, nor is what followed.
                if from == End::Server
                    && let Some(id) = self.replying.take()
                    && let Some(place) = self.calls.iter().position(|call| call.id == id)
                    && let Some(call) = self.calls.remove(place)
                {
                    cx.finish(call.exchange);
                }
                self.lose(from, ack);
            }
        }
    }

    fn fin(&mut self, from: End, _: Mono, _: &mut Cx<'_>) {
        self.first_fin = self.first_fin.or(Some(from));
    }

    fn closed(&mut self, how: Close, _: Mono, cx: &mut Cx<'_>) {
        while let Some(Call { mut exchange, missed, .. }) = self.calls.pop_front() {
            let is_answered = exchange.response.is_some();
            let error = close_error(how, self.first_fin, cx).filter(|_| !missed && !is_answered);
            exchange.completeness.response_lost |= how == Close::Unobserved && !is_answered;
            exchange.error = exchange.error.take().or(error.map(str::to_owned));
            cx.finish(exchange);
        }
    }

    fn expire(&mut self, before: Mono, cx: &mut Cx<'_>) {
        let is_old = |call: &Call| call.exchange.request.last < before && call.exchange.response.is_none() && !call.endless;
        while let Some(place) = self.calls.iter().position(is_old) {
            let Some(Call { mut exchange, missed, .. }) = self.calls.remove(place) else { return };
            if !missed {
                exchange.error = Some(s::ERROR_TIMEOUT.to_owned());
            }
            cx.finish(exchange);
        }
    }
}
