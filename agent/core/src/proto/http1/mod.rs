//! HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112) on streams with known holes.
//!
//! Bodies are never looked at: their ends are computed. After a loss, a response is taken for the answer to a request
//! only where it begins at exactly the byte that the request's segment acknowledged, which holds for ends that take
//! turns; a connection that pipelines and loses the framing is given up. Nothing is paired by guess.

mod body;
mod head;
mod recent;
#[cfg(test)]
mod tests;
mod web;

use super::http;
use super::{Cx, Descriptor, End, Evidence, Input, Mark, Parser, Sample, Step, Stop};
use crate::flow::{Amount, Capture, Loss};
use crate::model::semconv as s;
use crate::model::{Close, Exchange, Family, Message, Mono, Transport};
use body::{Asked, Framing};
use head::{Parsed, RequestLine, StatusLine};
pub(crate) use recent::Recent;
use recent::Section;
use std::collections::VecDeque;

/// HTTP/1.x over TCP.
pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "http/1.1",
    family: Family::Http,
    transport: Transport::Tcp,
    ports: &[80, 8000, 8080, 8888, 3000, 5000],
    capture: Capture { client: Amount::Burst(16 * 1024), server: Amount::Burst(2 * 1024) },
    detect,
    parser: |midway| Box::new(Http1::new(midway)),
};

/// What is asked of capture once a head was cut.
const LARGE_HEADS: Capture = Capture { client: Amount::Burst(68 * 1024), server: Amount::Burst(68 * 1024) };

/// Most requests without an exchange of their own that are remembered so that later answers find theirs.
const MAX_UNTRACKED: usize = 16 * 1024;

/// Strong for a whole request line (or a method of HTTP with a path too long for anything else), or for a whole status
/// line where no request was seen; nothing else speaks like that.
fn detect(sample: &Sample<'_>) -> Evidence {
    let start = sample.client.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let client = match fit(&sample.client[start..], head::request_line) {
        Fit::Start if head::is_long_target(&sample.client[start..]) => Fit::Whole,
        client => client,
    };
    let server = fit(sample.server, head::status_line);
    match (client, server) {
        (Fit::Whole, _) => Evidence::Strong,
        (Fit::Not, _) if !sample.midway => Evidence::No,
        (_, Fit::Whole) => Evidence::Strong,
        (Fit::Not, _) | (_, Fit::Not) => Evidence::No,
        (Fit::Start, Fit::Start) => Evidence::More,
    }
}

enum Fit {
    Not,
    Start,
    Whole,
}

fn fit<'a, T>(bytes: &'a [u8], line: impl FnOnce(&'a [u8]) -> Parsed<T>) -> Fit {
    match line(bytes) {
        Parsed::Bad => Fit::Not,
        Parsed::More => Fit::Start,
        Parsed::Is(_) => Fit::Whole,
    }
}

/// Where one direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// At the start of a message.
    Head,
    /// In a body of known length; the flow skips to its end.
    Body,
    /// At a body of this length that is looked at as a whole.
    Web(u64),
    /// At a chunk's size.
    Chunk,
    /// In a chunk; the flow skips to its end.
    ChunkData,
    /// Behind the last chunk.
    Trailers,
    /// In a body that ends with the connection.
    UntilClose,
    /// In a chunked body whose chunk lines were lost.
    Torn,
    /// Somewhere unknown.
    Lost,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    reading: Reading,
    /// Whether the message on it belongs to a call in the queue (the client's last, the server's first).
    attached: bool,
    /// Bytes that were looked at for the end of a head.
    scanned: usize,
    /// Body bytes so far; `None` once that cannot be known.
    body: Option<u64>,
    /// Stream offset behind the body or chunk that is skipped.
    end: u64,
    /// Sequence number behind the last byte that was seen or skipped.
    seq: Option<u32>,
    /// Sequence number behind the body that is skipped.
    end_seq: u32,
    /// Acknowledgement number of the segment in which the framing was lost, where that is known.
    lost_ack: Option<u32>,
    /// Time of the last byte seen.
    last: Mono,
}

impl Lane {
    fn new(reading: Reading) -> Self {
        Self { reading, attached: false, scanned: 0, body: None, end: 0, seq: None, end_seq: 0, lost_ack: None, last: Mono::default() }
    }

    /// Takes `len` bytes of `input`.
    fn take(&mut self, input: &Input<'_>, len: usize) -> Step {
        self.last = input.time(len.saturating_sub(1));
        self.seq = Some(input.seq(len));
        Step::Take(len)
    }

    /// Skips `len` bytes from the start of `input` on; the body or chunk ends there.
    fn skip(&mut self, input: &Input<'_>, len: u64, reading: Reading) -> Step {
        self.last = input.time(0);
        self.reading = reading;
        self.end = input.offset() + len;
        self.end_seq = input.mark(0).seq_at(self.end);
        self.seq = Some(input.seq(input.bytes().len().min(usize::try_from(len).unwrap_or(usize::MAX))));
        Step::Skip(len)
    }

    fn lose(&mut self, reading: Reading) {
        self.reading = reading;
        self.body = None;
        self.scanned = 0;
    }
}

/// How far a call's answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// None of it was seen.
    Awaited,
    /// Its final head was seen, or a part of it that tells the status.
    Begun,
    /// Its head was lost.
    Missed,
}

/// A request on its way.
#[derive(Debug)]
struct Call {
    /// `None` if it is not tracked (over a limit, or already reported as timed out).
    exchange: Option<Box<Exchange>>,
    asked: Asked,
    answer: Answer,
    /// Whether all of the request was sent, as far as known.
    sent: bool,
    /// Where the server's stream was when the request was sent: its answer begins there if the ends take turns.
    ack: u32,
}

/// How the ends use the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turns {
    /// A request is sent once the one before it is answered, as far as seen.
    Alternate,
    /// Requests were seen that did not wait.
    Pipelined,
}

struct Http1 {
    client: Lane,
    server: Lane,
    queue: VecDeque<Call>,
    turns: Turns,
    /// Set once the connection is no HTTP/1 any more.
    stop: Option<Stop>,
    /// Whether a whole head was seen: before that, bytes that are none mean another protocol.
    confirmed: bool,
    first_fin: Option<End>,
    /// The request that HTTP/2 will answer (`Upgrade: h2c`).
    upgraded: Option<Box<Exchange>>,
}

/// Whether `a` is behind `b` in sequence space (RFC 9293 §3.4).
fn is_behind(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

impl Http1 {
    fn new(midway: bool) -> Self {
        let reading = if midway { Reading::Lost } else { Reading::Head };
        Self {
            client: Lane::new(reading),
            server: Lane::new(reading),
            queue: VecDeque::new(),
            turns: Turns::Alternate,
            stop: None,
            confirmed: false,
            first_fin: None,
            upgraded: None,
        }
    }

    fn lane(&mut self, end: End) -> &mut Lane {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    // ---- requests

    fn request_head(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        // Empty lines in front of a request line are ignored (RFC 9112 §2.2).
        let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if empty > 0 {
            return self.client.take(input, empty);
        }
        let lane = &mut self.client;
        if lane.scanned > 0 && !head::has_empty_line(bytes, lane.scanned) {
            lane.scanned = bytes.len();
            return Step::More;
        }
        match head::request_line(bytes) {
            Parsed::Is((line, at)) => match cx.shared.http1.read(cx.conn.id, End::Client, &bytes[at..]) {
                Some(section) => self.request(&line, at, &section, input, cx),
                None => self.await_head(End::Client, bytes),
            },
            Parsed::More => self.await_head(End::Client, bytes),
            Parsed::Bad => self.malformed(End::Client, input, cx),
        }
    }

    /// The end of a head has not come.
    fn await_head(&mut self, from: End, bytes: &[u8]) -> Step {
        self.lane(from).scanned = bytes.len();
        Step::More
    }

    /// A request whose header section stands at byte `at` of `input`.
    fn request(&mut self, line: &RequestLine<'_>, at: usize, section: &Section<'_>, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        self.confirmed = true;
        self.client.scanned = 0;
        self.turn(input.mark(0).ack, cx);
        let (fields, len) = (&section.fields, at + section.len);
        let mut exchange = self.begin(line, section, input, cx);
        let framing = body::request_framing(fields);
        if let Some(exchange) = &mut exchange {
            exchange.request.last = input.time(len - 1);
            exchange.request.body_bytes = if let Framing::Length(n) = framing { Some(n) } else { None };
        }
        if fields.bad > 0 || framing == Framing::Unknown {
            cx.count(Loss::Malformed, 1);
        }
        self.push(exchange, Asked::by(line.method), input.mark(0).ack);
        self.body(End::Client, framing, input, len, cx)
    }

    /// A new exchange for a request line and what is known of its fields; `None` over the limit.
    fn begin(&mut self, line: &RequestLine<'_>, section: &Section<'_>, input: &Input<'_>, cx: &mut Cx<'_>) -> Option<Box<Exchange>> {
        if self.queue.len() >= cx.options.in_flight_limit {
            cx.count(Loss::InFlight, 1);
            return None;
        }
        let mut exchange = cx.begin(input, 0);
        let RequestLine { method, target, version } = *line;
        let fields = &section.fields;
        let request = http::Request { method, scheme: "http", authority: fields.host, target, version, user_agent: fields.user_agent };
        if web::is_call(fields) {
            http::rpc(&mut exchange, &request, Some(target), cx);
        } else if section.is_kept && http::is_origin_form(target) {
            describe(&mut exchange, &request, cx);
        } else {
            http::request(&mut exchange, &request, cx);
        }
        if let Some(traceparent) = fields.traceparent {
            http::trace_context(&mut exchange, Some(traceparent), fields.tracestate.into_iter());
        }
        cx.request(&mut exchange);
        Some(exchange)
    }

    fn push(&mut self, exchange: Option<Box<Exchange>>, asked: Asked, ack: u32) {
        self.client.attached = true;
        self.client.body = Some(0);
        self.queue.push_back(Call { exchange, asked, answer: Answer::Awaited, sent: false, ack });
    }

    /// A request begins whose segment acknowledges `ack`: what does that say about the one before it?
    fn turn(&mut self, ack: u32, cx: &mut Cx<'_>) {
        if self.turns == Turns::Pipelined {
            return;
        }
        let Some(call) = self.queue.front() else { return };
        // Bytes of the server that its client has, and that were not seen here.
        let unseen = is_behind(ack, self.server.seq.unwrap_or(call.ack));
        match (call.answer, self.server.reading) {
            (Answer::Begun, Reading::Body) if !is_behind(self.server.end_seq, ack) => self.finish_response(None, cx),
            (Answer::Begun, Reading::Torn | Reading::Lost) | (Answer::Missed, _) => self.finish_unseen(cx),
            (Answer::Begun, Reading::Chunk | Reading::ChunkData | Reading::Trailers) if unseen => self.finish_unseen(cx),
            (Answer::Awaited, _) if unseen => {
                self.missed(None);
                self.finish_unseen(cx);
            }
            _ => self.turns = Turns::Pipelined,
        }
    }

    fn request_done(&mut self, at: Mono) {
        let lane = &mut self.client;
        lane.reading = Reading::Head;
        if !std::mem::replace(&mut lane.attached, false) {
            return;
        }
        let body = lane.body;
        if let Some(call) = self.queue.back_mut() {
            call.sent = true;
            if let Some(exchange) = &mut call.exchange {
                exchange.request.last = exchange.request.last.max(at);
                exchange.request.body_bytes = body;
            }
        }
    }

    // ---- responses

    fn response_head(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        if self.queue.is_empty() {
            if bytes.starts_with(b"HTTP/1.") {
                cx.count(Loss::Orphan, 1);
            }
            self.server.lose(Reading::Lost);
            return self.server.take(input, bytes.len());
        }
        let lane = &mut self.server;
        if lane.scanned > 0 && !head::has_empty_line(bytes, lane.scanned) {
            lane.scanned = bytes.len();
            return Step::More;
        }
        match head::status_line(bytes) {
            Parsed::Is((line, at)) => match cx.shared.http1.read(cx.conn.id, End::Server, &bytes[at..]) {
                Some(section) => self.response(line, at, &section, input, cx),
                None => self.await_head(End::Server, bytes),
            },
            Parsed::More => self.await_head(End::Server, bytes),
            Parsed::Bad => {
                self.missed(Some(input.mark(0)));
                self.malformed(End::Server, input, cx)
            }
        }
    }

    /// A response whose header section stands at byte `at` of `input`.
    fn response(&mut self, line: StatusLine, at: usize, section: &Section<'_>, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        self.confirmed = true;
        self.server.scanned = 0;
        let (code, fields, len) = (line.code, &section.fields, at + section.len);
        if code < 200 && code != 101 {
            return self.server.take(input, len);
        }
        let Some(call) = self.queue.front_mut() else { return self.server.take(input, len) };
        call.answer = Answer::Begun;
        let framing = body::response_framing(fields, code, call.asked);
        if let Some(exchange) = &mut call.exchange {
            cx.respond(exchange, input, 0);
            match exchange.family {
                Family::Rpc => web::head(exchange, code, fields, cx.role()),
                _ => http::status(exchange, code, cx),
            }
            if let (101, Some(protocol)) = (code, fields.upgrade) {
                exchange.attrs.set_bytes(s::REMORA_HTTP_UPGRADE, &protocol[..protocol.len().min(64)]);
            }
        }
        if fields.bad > 0 || framing == Framing::Unknown {
            cx.count(Loss::Malformed, 1);
        }
        self.server.attached = true;
        self.server.body = Some(0);
        if framing == Framing::Tunnel {
            self.stop = Some(after_tunnel(code, fields.upgrade));
        }
        self.body(End::Server, framing, input, len, cx)
    }

    /// The response of the first call is over. `None` if its end was not seen.
    fn finish_response(&mut self, end: Option<Mono>, cx: &mut Cx<'_>) {
        let (body, last) = (self.server.body, self.server.last);
        self.server.attached = false;
        let Some(Call { exchange, answer, .. }) = self.queue.pop_front() else { return };
        if self.queue.is_empty() {
            self.client.attached = false;
        }
        let Some(mut exchange) = exchange else { return };
        if let Some(response) = &mut exchange.response {
            response.last = response.first.max(end.unwrap_or(last));
            response.body_bytes = body.filter(|_| answer == Answer::Begun);
        }
        exchange.completeness.response_lost |= web::has_no_outcome(&exchange);
        exchange.completeness.end_inferred = end.is_none() && answer == Answer::Begun;
        if self.stop == Some(TO_HTTP2) && answer == Answer::Begun {
            self.upgraded = Some(exchange);
            return;
        }
        cx.finish(exchange);
    }

    /// The response of the first call ended somewhere in what was not seen.
    fn finish_unseen(&mut self, cx: &mut Cx<'_>) {
        self.finish_response(None, cx);
        self.server.lose(Reading::Lost);
    }

    /// The head of the first call's response was lost, in the segment `mark` where that is known.
    fn missed(&mut self, mark: Option<Mark>) {
        let Some(call) = self.queue.front_mut() else { return };
        call.answer = Answer::Missed;
        if let Some(exchange) = &mut call.exchange {
            exchange.completeness.response_lost = true;
            if let (Some(mark), None) = (mark, exchange.response) {
                exchange.response = Some(Message { first: mark.time, last: mark.time, body_bytes: None });
            }
        }
    }

    // ---- bodies

    /// Goes on behind a head of `len` bytes.
    fn body(&mut self, from: End, framing: Framing, input: &Input<'_>, len: usize, cx: &mut Cx<'_>) -> Step {
        match framing {
            Framing::Length(0) | Framing::Tunnel => {
                let step = self.lane(from).take(input, len);
                self.message_done(from, input.time(len - 1), cx);
                return step;
            }
            Framing::Length(n) if self.wants_body(from, n) => {
                let lane = self.lane(from);
                (lane.body, lane.reading) = (Some(n), Reading::Web(n));
            }
            Framing::Length(n) => {
                let lane = self.lane(from);
                lane.body = Some(n);
                return lane.skip(input, n.saturating_add(len as u64), Reading::Body);
            }
            Framing::Chunked => self.lane(from).reading = Reading::Chunk,
            Framing::UntilClose => self.lane(from).reading = Reading::UntilClose,
            Framing::Unknown => self.lose_framing(from, Reading::Lost, None, cx),
        }
        self.lane(from).take(input, len)
    }

    fn chunk(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match body::chunk_line(input.bytes()) {
            Parsed::More => Step::More,
            Parsed::Bad => self.malformed(from, input, cx),
            Parsed::Is((0, len)) => {
                let lane = self.lane(from);
                lane.reading = Reading::Trailers;
                lane.take(input, len)
            }
            Parsed::Is((size, len)) => {
                if self.wants_body(from, size) && !self.look(&input.bytes()[len..], size, cx) {
                    return Step::More;
                }
                let lane = self.lane(from);
                lane.body = lane.body.map(|sum| sum.saturating_add(size));
                lane.skip(input, size + len as u64 + CRLF, Reading::ChunkData)
            }
        }
    }

    /// Whether the next `len` bytes of the body may hold the outcome of a gRPC-Web call.
    fn wants_body(&self, from: End, len: u64) -> bool {
        let exchange = self.queue.front().and_then(|call| call.exchange.as_ref());
        from == End::Server && self.server.attached && exchange.is_some_and(|exchange| web::wants(exchange, len))
    }

    /// Looks for the outcome of a gRPC-Web call in the first `len` of `bytes`, if they have come.
    fn look(&mut self, bytes: &[u8], len: u64, cx: &Cx<'_>) -> bool {
        let Some(bytes) = usize::try_from(len).ok().and_then(|len| bytes.get(..len)) else { return false };
        if let Some(exchange) = self.queue.front_mut().and_then(|call| call.exchange.as_mut()) {
            web::body(exchange, bytes, cx.role());
        }
        true
    }

    fn web_body(&mut self, from: End, len: u64, input: &Input<'_>, cx: &Cx<'_>) -> Step {
        if !self.look(input.bytes(), len, cx) {
            return Step::More;
        }
        self.lane(from).skip(input, len, Reading::Body)
    }

    /// A line of the trailer section, or the empty one at its end.
    fn trailer(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let Some((line, len)) = head::line(input.bytes(), 0) else { return Step::More };
        let is_last = line.is_empty();
        let step = self.lane(from).take(input, len);
        if is_last {
            self.message_done(from, input.time(len - 1), cx);
        }
        step
    }

    fn until_close(&mut self, input: &Input<'_>) -> Step {
        let len = input.bytes().len();
        self.server.body = self.server.body.map(|sum| sum + len as u64);
        self.server.take(input, len)
    }

    /// Bytes of a chunked body whose chunk lines were lost: capture keeps the end of each pushed segment.
    fn torn(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let len = input.bytes().len();
        if from == End::Client && self.may_resume(input) {
            return self.find_request(input, cx);
        }
        let part = input.next_segment(0).unwrap_or(len);
        let step = self.lane(from).take(input, part);
        if input.ends_segment(part) && body::ends_with_last_chunk(&input.bytes()[..part], input.starts_segment(0)) {
            self.message_done(from, input.time(part - 1), cx);
        }
        step
    }

    fn message_done(&mut self, from: End, at: Mono, cx: &mut Cx<'_>) {
        match from {
            End::Client => self.request_done(at),
            End::Server => {
                self.server.reading = Reading::Head;
                if self.server.attached {
                    self.finish_response(Some(at), cx);
                }
            }
        }
    }

    // ---- losses

    /// Bytes that break the grammar.
    fn malformed(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        self.lose_framing(from, Reading::Lost, Some(input.mark(0).ack), cx);
        self.lane(from).take(input, input.bytes().len())
    }

    /// It is not known any more where messages begin. A connection that pipelines cannot be paired after that.
    fn lose_framing(&mut self, from: End, reading: Reading, ack: Option<u32>, cx: &mut Cx<'_>) {
        let lane = self.lane(from);
        lane.lose(reading);
        lane.lost_ack = ack;
        if from == End::Client
            && let Some(call) = self.queue.back_mut()
        {
            call.sent = true;
        }
        if self.turns == Turns::Pipelined {
            self.give_up(cx);
        }
    }

    fn give_up(&mut self, cx: &mut Cx<'_>) {
        self.stop = Some(Stop::Opaque);
        while let Some(call) = self.queue.front() {
            if call.answer == Answer::Awaited {
                self.missed(None);
            }
            self.finish_response(None, cx);
        }
    }

    /// Whether the client may begin a request here: at the start of a segment, after the server has said something.
    fn may_resume(&self, input: &Input<'_>) -> bool {
        let before = self.client.lost_ack.or(self.queue.back().map(|call| call.ack));
        input.starts_segment(0) && before.is_none_or(|before| is_behind(input.mark(0).ack, before))
    }

    /// Looks for a request at the start of a segment: nothing less than a whole valid head with a well-known method
    /// (the rest of a token is a token too), in segments between which the server said nothing.
    fn find_request(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if self.may_resume(input) {
            let is_one_burst = |len: usize| input.mark(len - 1).ack == input.mark(0).ack;
            match head::request(input.bytes()) {
                Parsed::Is(head) if head.fields.bad == 0 && http::is_known_method(head.line.method) && is_one_burst(head.len) => {
                    self.client.reading = Reading::Head;
                    self.client.lost_ack = None;
                    return self.request_head(input, cx);
                }
                Parsed::More if is_one_burst(input.bytes().len()) => return Step::More,
                _ => {}
            }
        }
        let len = input.next_segment(0).unwrap_or(input.bytes().len());
        self.client.take(input, len)
    }

    /// Looks for the answer to the first call, where its request said that it begins.
    fn find_response(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let len = input.bytes().len();
        let Some(call) = self.queue.front() else { return self.server.take(input, len) };
        if call.answer != Answer::Awaited {
            return self.server.take(input, len);
        }
        let ahead = call.ack.wrapping_sub(input.seq(0));
        if ahead == 0 {
            self.server.reading = Reading::Head;
            return self.response_head(input, cx);
        }
        if ahead >= 1 << 31 {
            self.missed(Some(input.mark(0)));
            return self.server.take(input, len);
        }
        self.server.take(input, len.min(usize::try_from(ahead).unwrap_or(len)))
    }

    /// A request's head that was cut: its line, or the start of that, may be there.
    fn cut_request(&mut self, before: &Input<'_>, cx: &mut Cx<'_>) {
        let bytes = before.bytes();
        let (line, fields, is_cut) = match (head::request_line(bytes), head::cut_request_line(bytes)) {
            (Parsed::Is((line, len)), _) => (line, head::fields(bytes, len).0, false),
            (_, Some((method, target))) => (RequestLine { method, target, version: "1.1" }, head::Fields::default(), true),
            _ => return,
        };
        let section = Section { fields, len: 0, is_kept: false };
        self.turn(before.mark(0).ack, cx);
        let mut exchange = self.begin(&line, &section, before, cx);
        if let Some(exchange) = &mut exchange {
            exchange.completeness.request_lost = true;
            exchange.completeness.request_cut |= is_cut;
            if is_cut {
                exchange.attrs.remove(s::NETWORK_PROTOCOL_VERSION);
            }
        }
        self.push(exchange, Asked::by(line.method), before.mark(0).ack);
        cx.want(LARGE_HEADS);
    }

    fn lost_by_client(&mut self, before: &Input<'_>, mark: &Mark, ack: Option<u32>, cx: &mut Cx<'_>) {
        match self.client.reading {
            Reading::Head | Reading::Lost if !before.bytes().is_empty() => {
                self.cut_request(before, cx);
                self.lose_framing(End::Client, Reading::Lost, ack, cx);
            }
            Reading::Head => {
                // One or more requests that nobody saw.
                self.turn(mark.ack, cx);
                self.lose_framing(End::Client, Reading::Lost, ack, cx);
            }
            Reading::Lost => self.client.lost_ack = ack.or(self.client.lost_ack),
            Reading::Chunk | Reading::Trailers | Reading::Torn => self.lose_framing(End::Client, Reading::Torn, ack, cx),
            Reading::Body | Reading::Web(_) | Reading::ChunkData | Reading::UntilClose => {}
        }
    }

    fn lost_by_server(&mut self, before: &Input<'_>, bytes: u64, mark: &Mark, cx: &mut Cx<'_>) {
        match self.server.reading {
            Reading::Head => {
                self.cut_response(before, mark, cx);
                self.lose_framing(End::Server, Reading::Lost, None, cx);
            }
            Reading::Web(_) => self.lose_framing(End::Server, Reading::Lost, None, cx),
            Reading::Lost => {
                let end = mark.seq_at(before.offset() + before.bytes().len() as u64 + bytes);
                if self.queue.front().is_some_and(|call| call.answer == Answer::Awaited && is_behind(end, call.ack)) {
                    self.missed(Some(*mark));
                }
            }
            Reading::Chunk | Reading::Trailers => self.lose_framing(End::Server, Reading::Torn, None, cx),
            Reading::UntilClose => self.server.body = self.server.body.map(|sum| sum.saturating_add(bytes)),
            Reading::Torn | Reading::Body | Reading::ChunkData => {}
        }
    }

    /// A response's head that was cut: its status line may be there.
    fn cut_response(&mut self, before: &Input<'_>, mark: &Mark, cx: &mut Cx<'_>) {
        let Some(call) = self.queue.front_mut() else { return };
        let line = match head::status_line(before.bytes()) {
            Parsed::Is((line, _)) if line.code >= 200 || line.code == 101 => line,
            _ => return self.missed(Some(*mark)),
        };
        call.answer = Answer::Begun;
        if let Some(exchange) = &mut call.exchange {
            exchange.completeness.response_lost = true;
            cx.respond(exchange, before, 0);
            match exchange.family {
                Family::Rpc => web::head(exchange, line.code, &head::Fields::default(), cx.role()),
                _ => http::status(exchange, line.code, cx),
            }
        }
        self.server.attached = true;
        if body::response_framing(&head::Fields::default(), line.code, call.asked) == Framing::Tunnel {
            self.finish_response(None, cx);
            self.stop = Some(Stop::Opaque);
        }
        cx.want(LARGE_HEADS);
    }
}

/// Sets the attributes of a request whose header section is remembered, and whose target is a path.
fn describe(exchange: &mut Exchange, request: &http::Request<'_>, cx: &mut Cx<'_>) {
    if let Some(ends) = cx.shared.http1.ends(cx.conn.id) {
        exchange.attrs.clone_from(ends);
        return http::target(exchange, request, cx);
    }
    http::request(exchange, request, cx);
    if let Some(ends) = http::ends(request, cx) {
        cx.shared.http1.keep_ends(cx.conn.id, ends);
    }
}

/// Line end behind a chunk's data.
const CRLF: u64 = 2;

/// What a connection speaks after `101` to h2c: the response to the request itself comes there (RFC 7540 §3.2).
const TO_HTTP2: Stop = Stop::Switch("http/2");

/// What a connection speaks after a response that ends HTTP/1 on it.
fn after_tunnel(code: u16, upgrade: Option<&[u8]>) -> Stop {
    match upgrade.filter(|_| code == 101) {
        Some(protocol) if protocol.eq_ignore_ascii_case(b"websocket") => Stop::Switch("websocket"),
        Some(protocol) if protocol.eq_ignore_ascii_case(b"h2c") => TO_HTTP2,
        _ => Stop::Opaque,
    }
}

impl Parser for Http1 {
    fn parse(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if let Some(stop) = self.stop {
            if let Some(exchange) = self.upgraded.take() {
                cx.hand_over(exchange);
            }
            return Step::Stop(stop);
        }
        match (self.lane(from).reading, from) {
            (Reading::Head, End::Client) => self.request_head(input, cx),
            (Reading::Head, End::Server) => self.response_head(input, cx),
            (Reading::Chunk, _) => self.chunk(from, input, cx),
            (Reading::Web(len), _) => self.web_body(from, len, input, cx),
            (Reading::Trailers, _) => self.trailer(from, input, cx),
            (Reading::UntilClose, _) => self.until_close(input),
            (Reading::Torn, _) => self.torn(from, input, cx),
            (Reading::Lost, End::Client) => self.find_request(input, cx),
            (Reading::Lost, End::Server) => self.find_response(input, cx),
            (Reading::Body | Reading::ChunkData, _) => self.lane(from).take(input, input.bytes().len()),
        }
    }

    fn skipped(&mut self, from: End, mark: &Mark, cx: &mut Cx<'_>) {
        let lane = self.lane(from);
        let seen = mark.offset < lane.end;
        if seen {
            lane.last = mark.time;
        }
        lane.seq = Some(mark.seq_at(lane.end));
        match lane.reading {
            Reading::ChunkData => lane.reading = Reading::Chunk,
            Reading::Body if from == End::Server && !seen => {
                lane.reading = Reading::Head;
                if self.server.attached {
                    self.finish_response(None, cx);
                }
            }
            Reading::Body => {
                let last = lane.last;
                self.message_done(from, last, cx);
            }
            _ => {}
        }
    }

    fn lost(&mut self, from: End, before: &Input<'_>, bytes: u64, mark: &Mark, cx: &mut Cx<'_>) {
        if self.stop.is_some() {
            return;
        }
        let start = before.offset() + before.bytes().len() as u64;
        let is_within = mark.offset < start + bytes;
        let lane = self.lane(from);
        if is_within {
            lane.last = mark.time;
        }
        lane.seq = Some(mark.seq_at(start + bytes));
        match from {
            // A segment behind the hole says nothing of what its client knew when it sent what is missing.
            End::Client => self.lost_by_client(before, mark, is_within.then_some(mark.ack), cx),
            End::Server => self.lost_by_server(before, bytes, mark, cx),
        }
        self.lane(from).scanned = 0;
    }

    fn fin(&mut self, from: End, at: Mono, cx: &mut Cx<'_>) {
        self.first_fin = self.first_fin.or(Some(from));
        if from == End::Server && self.server.reading == Reading::UntilClose {
            self.server.reading = Reading::Lost;
            if self.server.attached {
                self.finish_response(Some(at), cx);
            }
        }
    }

    fn closed(&mut self, how: Close, at: Mono, cx: &mut Cx<'_>) {
        if let Some(exchange) = self.upgraded.take() {
            cx.finish(exchange);
        }
        while let Some(call) = self.queue.front_mut() {
            let error = http::close_error(how, self.first_fin, cx);
            let until_close = self.server.reading == Reading::UntilClose && self.server.attached;
            let (error, end) = match call.answer {
                Answer::Awaited => (error, None),
                // The close is the end of such a body; a reset is not.
                Answer::Begun if until_close && how == Close::Fin => (None, Some(at)),
                // Whether the rest of the body came is not known, unless the end was violent.
                Answer::Begun if how != Close::Fin => (error, None),
                Answer::Begun | Answer::Missed => (None, None),
            };
            if let Some(exchange) = &mut call.exchange {
                exchange.completeness.response_lost |= call.answer == Answer::Awaited && how == Close::Unobserved;
                if let Some(error) = error {
                    exchange.error = Some(error.to_owned());
                }
            }
            self.finish_response(end, cx);
        }
    }

    fn expire(&mut self, before: Mono, cx: &mut Cx<'_>) {
        for call in &mut self.queue {
            let is_old = call.answer == Answer::Awaited && call.sent;
            if let Some(mut exchange) = call.exchange.take_if(|exchange| is_old && exchange.request.last < before) {
                exchange.error = Some(s::ERROR_TIMEOUT.to_owned());
                cx.finish(exchange);
            }
        }
        if self.queue.len() > MAX_UNTRACKED {
            self.give_up(cx);
        }
    }
}
