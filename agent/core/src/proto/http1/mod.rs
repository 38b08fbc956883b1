//! HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112) on streams with known holes.
//!
//! Bodies are never looked at: their ends are computed. After a loss, a response is taken for the answer to a request
//! only where it begins at exactly the byte that the request's segment acknowledged, which holds for ends that take
//! turns; a connection that pipelines and loses the framing is given up. Nothing is paired by guess.

mod bodies;
mod body;
mod head;
mod losses;
mod recent;
mod requests;
mod responses;
mod room;
mod said;
#[cfg(test)]
mod tests;
mod web;

use super::event_stream::EventStream;
use super::http;
use super::{Cx, Descriptor, End, Evidence, Input, Mark, Pairing, Parser, Sample, Step, Stop};
use crate::model::semconv as s;
use crate::model::{Close, Exchange, Family, Mono, Transport};
use body::{Asked, Framing};
use head::Parsed;
pub(crate) use recent::Recent;
use room::Room;
use std::collections::VecDeque;

/// HTTP/1.x over TCP.
pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "http/1.1",
    family: Family::Http,
    pairing: Pairing::Order,
    transport: Transport::Tcp,
    ports: &[80, 8000, 8080, 8888, 3000, 5000],
    capture: room::USUAL,
    detect,
    parser: |midway| Box::new(Http1::new(midway)),
};

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
    /// In a body or chunk of events, of which so many bytes are still to come, with so many behind it that are none.
    Events { left: u64, behind: u64 },
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
    room: Room,
    /// Set once the connection is no HTTP/1 any more.
    stop: Option<Stop>,
    /// Whether a whole head was seen: before that, bytes that are none mean another protocol.
    confirmed: bool,
    first_fin: Option<End>,
    /// The request that HTTP/2 will answer (`Upgrade: h2c`).
    upgraded: Option<Box<Exchange>>,
    /// Reads the body of the response, where that is a stream of events.
    events: Option<EventStream>,
}

impl Http1 {
    fn new(midway: bool) -> Self {
        let reading = if midway { Reading::Lost } else { Reading::Head };
        Self {
            client: Lane::new(reading),
            server: Lane::new(reading),
            queue: VecDeque::new(),
            turns: Turns::Alternate,
            room: Room::new(),
            stop: None,
            confirmed: false,
            first_fin: None,
            upgraded: None,
            events: None,
        }
    }

    /// A whole head of a message came: does another amount suffice from now on, or is more needed?
    fn fit_room(&mut self, from: End, len: usize, framing: Framing, cx: &mut Cx<'_>) {
        let asked = match self.turns {
            Turns::Alternate => self.room.head(from, len, framing),
            Turns::Pipelined => self.room.body(),
        };
        if let Some(capture) = asked {
            cx.want(capture);
        }
    }

    fn lane(&mut self, end: End) -> &mut Lane {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }
}

/// Line end behind a chunk's data.
const CRLF: u64 = 2;

/// What a connection speaks after `101` to h2c: the response to the request itself comes there (RFC 7540 §3.2).
const TO_HTTP2: Stop = Stop::Switch("http/2");

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
            (Reading::Events { left, behind }, _) => self.events(left, behind, input, cx),
            (Reading::UntilClose, _) => self.until_close(input, cx),
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
