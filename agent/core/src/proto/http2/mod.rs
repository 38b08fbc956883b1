//! HTTP/2 (RFC 9113) and gRPC on it, on streams with known holes.
//!
//! Payload of DATA is not looked at, but for the trailers of gRPC-Web and for events, which are there. After a loss, a
//! direction goes on only at the start of a segment where frames certainly begin, and its header table begins anew: what
//! was in it is unknown. A call whose answer may have been lost is never an error by that.

mod call;
mod frame;
mod head;
mod hpack;
mod huffman;
#[cfg(test)]
mod tests;

use super::http;
use super::{Cx, Descriptor, End, Evidence, Input, Mark, Pairing, Parser, Sample, Step, Stop};
use crate::flow::{Capture, Loss};
use crate::model::{Close, Family, Mono, Transport};
use call::{Call, Over, Start};
use frame::{Chain, Header, PREFACE};
use head::Head;
use hpack::Decoder;

/// HTTP/2 over TCP; its calls are of family [`Family::Rpc`] where they are gRPC.
pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "http/2",
    family: Family::Http,
    pairing: Pairing::Number,
    transport: Transport::Tcp,
    ports: &[80, 8080, 50051],
    // One frame header or header block that is missed leaves values unknown for the rest of the connection.
    capture: Capture::ALL,
    detect,
    parser: |midway| Box::new(Http2::new(midway)),
};

/// The client's first bytes, and what capture shall take of the connection from there on.
pub(super) const OPENING: (&[u8], Capture) = (PREFACE, Capture::ALL);

/// Longest header block that is put together from CONTINUATION frames.
const MAX_BLOCK: usize = 128 * 1024;

/// Length of what stands before a message of gRPC: whether it is compressed, and its length.
const GRPC_PREFIX: usize = 5;

/// Strong for the client's preface, and midway for frames of which one is a request's or a response's HEADERS by the
/// right end.
fn detect(sample: &Sample<'_>) -> Evidence {
    let client = sample.client;
    if client.starts_with(PREFACE) {
        return Evidence::Strong;
    }
    if !sample.midway {
        let server = sample.server;
        let settings =
            server.len() < frame::HEADER || Header::read(server).is_some_and(|header| header.kind == frame::SETTINGS && header.is_valid());
        return if PREFACE.starts_with(client) && settings { Evidence::More } else { Evidence::No };
    }
    let [asks, answers] = [client, sample.server].map(|bytes| frame::chain(bytes, |_| false));
    match (asks, answers) {
        (Chain::Certain(Some(End::Server)), _) | (_, Chain::Certain(Some(End::Client))) => Evidence::No,
        (Chain::Certain(Some(_)), _) | (_, Chain::Certain(Some(_))) => Evidence::Strong,
        (Chain::Certain(None), _) | (_, Chain::Certain(None)) => Evidence::Weak,
        (Chain::No, Chain::No) => Evidence::No,
        (Chain::Fits, _) | (_, Chain::Fits) => Evidence::More,
    }
}

/// Where one direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// In front of the client's preface.
    Preface,
    /// At the start of a frame.
    Frame,
    /// In a frame that is done with: so many bytes of it are still to come.
    Rest(u64),
    /// In DATA of a response whose body is read: so many bytes of that and of padding are still to come.
    Data { stream: u32, body: usize, padding: usize, is_last: bool },
    /// Somewhere unknown.
    Lost,
}

/// A header block that is not complete.
#[derive(Debug)]
struct Pending {
    header: Header,
    start: Start,
    /// Whether a part of the block is missing and the rest is of no use.
    is_done: bool,
}

/// DATA that the flow skips.
#[derive(Clone, Copy, Debug)]
struct Passing {
    stream: u32,
    is_last: bool,
    /// Stream offset behind the frame.
    end: u64,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    reading: Reading,
    table: Decoder,
    pending: Option<Pending>,
    block: Vec<u8>,
    passing: Option<Passing>,
}

impl Lane {
    fn new(reading: Reading, midway: bool) -> Self {
        Self { reading, table: Decoder::new(midway), pending: None, block: Vec::new(), passing: None }
    }
}

struct Http2 {
    client: Lane,
    server: Lane,
    /// In the order of their streams.
    calls: Vec<Call>,
    /// Highest stream that a request was seen on.
    highest: u32,
    head: Head,
    /// Whether frames were seen that are certainly frames: before that, bytes that are none mean another protocol.
    confirmed: bool,
    first_fin: Option<End>,
}

impl Http2 {
    fn new(midway: bool) -> Self {
        let (client, server) = if midway { (Reading::Lost, Reading::Lost) } else { (Reading::Preface, Reading::Frame) };
        Self {
            client: Lane::new(client, midway),
            server: Lane::new(server, midway),
            calls: Vec::new(),
            highest: 0,
            head: Head::default(),
            confirmed: false,
            first_fin: None,
        }
    }

    fn lane(&mut self, end: End) -> &mut Lane {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    fn find(&self, stream: u32) -> Option<usize> {
        self.calls.binary_search_by_key(&stream, |call| call.stream).ok()
    }

    fn call(&mut self, stream: u32) -> Option<&mut Call> {
        self.find(stream).map(|at| &mut self.calls[at])
    }

    fn finish(&mut self, stream: u32, over: Over, cx: &mut Cx<'_>) {
        if let Some(at) = self.find(stream) {
            self.calls.remove(at).finish(over, cx);
        }
    }

    // ---- frames

    fn preface(&mut self, input: &Input<'_>) -> Step {
        let bytes = input.bytes();
        if bytes.starts_with(PREFACE) {
            self.confirmed = true;
            self.client.reading = Reading::Frame;
            return Step::Take(PREFACE.len());
        }
        if PREFACE.starts_with(bytes) { Step::More } else { Step::Stop(Stop::NotMine) }
    }

    fn frame(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let Some(header) = Header::read(bytes) else { return Step::More };
        let continues = self.lane(from).pending.as_ref().map(|pending| pending.header.stream);
        let in_turn = match continues {
            Some(stream) => header.kind == frame::CONTINUATION && header.stream == stream,
            None => header.kind != frame::CONTINUATION,
        };
        if !header.is_valid() || !in_turn {
            return self.malformed(from, input, cx);
        }
        let payload = bytes.get(frame::HEADER..header.total());
        match (header.kind, payload) {
            (frame::DATA, _) => self.data(from, &header, input, cx),
            (frame::HEADERS | frame::PUSH_PROMISE | frame::CONTINUATION, Some(payload)) => self.headers(from, &header, payload, input, cx),
            (frame::RST_STREAM, Some(payload)) => {
                let over = Over::Reset { by: from, error: number(payload), at: input.time(header.total() - 1) };
                self.finish(header.stream, over, cx);
                Step::Take(header.total())
            }
            (frame::GOAWAY, _) => match bytes.get(frame::HEADER..frame::HEADER + 8) {
                Some(head) => {
                    if from == End::Server {
                        self.goaway(number(head) & 0x7fff_ffff, cx);
                    }
                    self.skip(from, header.total())
                }
                None => Step::More,
            },
            (frame::HEADERS | frame::PUSH_PROMISE | frame::CONTINUATION | frame::RST_STREAM, None) => Step::More,
            _ => self.skip(from, header.total()),
        }
    }

    fn skip(&mut self, from: End, len: usize) -> Step {
        self.lane(from).passing = None;
        Step::Skip(len as u64)
    }

    fn data(&mut self, from: End, header: &Header, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let (mut start, mut padding) = (frame::HEADER, 0);
        if header.has(frame::PADDED) {
            let Some(&length) = bytes.get(frame::HEADER) else { return Step::More };
            (start, padding) = (start + 1, usize::from(length));
        }
        let Some(body) = header.total().checked_sub(start + padding) else { return self.malformed(from, input, cx) };
        let (stream, is_last) = (header.stream, header.has(frame::END_STREAM));
        let mut is_read = false;
        if let Some(call) = self.call(stream) {
            if from == End::Client && body >= GRPC_PREFIX && call.wants_envelope() {
                let Some(prefix) = bytes.get(start..).and_then(|bytes| bytes.first_chunk::<GRPC_PREFIX>()) else { return Step::More };
                call.envelope(*prefix, body);
            }
            is_read = from == End::Server && call.reads_body();
            call.data(from, body, input.time(0));
        }
        if is_read {
            self.server.reading = Reading::Data { stream, body, padding, is_last };
            if body + padding == 0 {
                self.data_done(from, stream, is_last, Some(input.time(start - 1)), cx);
            }
            return Step::Take(start);
        }
        self.pass(from, header, input);
        Step::Skip(header.total() as u64)
    }

    /// The DATA frame at the start of `input` will pass unseen.
    fn pass(&mut self, from: End, header: &Header, input: &Input<'_>) {
        let end = input.offset() + header.total() as u64;
        self.lane(from).passing = Some(Passing { stream: header.stream, is_last: header.has(frame::END_STREAM), end });
    }

    /// A response's body that is read.
    fn body(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let Reading::Data { stream, body, padding, is_last } = self.server.reading else { return Step::More };
        let bytes = input.bytes();
        let taken = bytes.len().min(body + padding);
        if let Some(call) = self.call(stream) {
            call.read_body(&bytes[..taken.min(body)], cx);
        }
        let (body, padding) = (body.saturating_sub(taken), padding - taken.saturating_sub(body));
        self.server.reading = Reading::Data { stream, body, padding, is_last };
        if body + padding == 0 {
            self.data_done(End::Server, stream, is_last, Some(input.time(taken - 1)), cx);
        }
        Step::Take(taken)
    }

    /// A DATA frame is over; `at` is `None` if its last byte was not seen.
    fn data_done(&mut self, from: End, stream: u32, is_last: bool, at: Option<Mono>, cx: &mut Cx<'_>) {
        self.lane(from).reading = Reading::Frame;
        if let (Some(call), Some(at)) = (self.call(stream), at) {
            call.touch(from, at);
        }
        if is_last {
            self.end_stream(from, stream, at, cx);
        }
    }

    fn end_stream(&mut self, from: End, stream: u32, at: Option<Mono>, cx: &mut Cx<'_>) {
        match from {
            End::Server => self.finish(stream, Over::Answered(at), cx),
            End::Client => {
                if let Some(call) = self.call(stream) {
                    call.request_done();
                }
            }
        }
    }

    /// The server looked at no stream above `last`.
    fn goaway(&mut self, last: u32, cx: &mut Cx<'_>) {
        while self.calls.last().is_some_and(|call| call.stream > last)
            && let Some(call) = self.calls.pop()
        {
            call.finish(Over::Refused, cx);
        }
    }

    // ---- header blocks

    fn headers(&mut self, from: End, header: &Header, payload: &[u8], input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let Some(block) = frame::block(header, payload) else { return self.malformed(from, input, cx) };
        let last = input.time(header.total() - 1);
        let ends = header.has(frame::END_HEADERS);
        let lane = self.lane(from);
        match (lane.pending.take(), ends) {
            (None, true) => {
                let start = Start::of(input, header.total());
                self.whole_block(from, header, &start, block, last, cx);
            }
            (None, false) => {
                lane.block.clear();
                lane.block.extend_from_slice(block);
                lane.pending = Some(Pending { header: *header, start: Start::of(input, header.total()), is_done: false });
            }
            (Some(pending), ends) => self.continuation(from, pending, block, ends, last, cx),
        }
        Step::Take(header.total())
    }

    fn continuation(&mut self, from: End, mut pending: Pending, block: &[u8], ends: bool, last: Mono, cx: &mut Cx<'_>) {
        let lane = self.lane(from);
        if !pending.is_done {
            lane.block.extend_from_slice(block);
        }
        if lane.block.len() > MAX_BLOCK {
            cx.count(Loss::Oversized, 1);
            self.cut_block(from, &pending, last, cx);
            pending.is_done = true;
        } else if ends && !pending.is_done {
            let block = std::mem::take(&mut lane.block);
            self.whole_block(from, &pending.header, &pending.start, &block, last, cx);
            self.lane(from).block = block;
        }
        if !ends {
            self.lane(from).pending = Some(pending);
        }
    }

    fn whole_block(&mut self, from: End, header: &Header, start: &Start, block: &[u8], last: Mono, cx: &mut Cx<'_>) {
        let Self { client, server, head, .. } = self;
        let table = if from == End::Client { &mut client.table } else { &mut server.table };
        head.clear();
        if table.decode(block, |name, value| head.add(name, value)).is_err() {
            head.is_cut();
            table.lose();
            cx.count(Loss::Malformed, 1);
        }
        self.fields(from, header, start, last, cx);
    }

    /// A block of which only the first bytes, which the lane holds, were seen.
    fn cut_block(&mut self, from: End, pending: &Pending, last: Mono, cx: &mut Cx<'_>) {
        let Self { client, server, head, .. } = self;
        let lane = if from == End::Client { client } else { server };
        head.clear();
        let _ = lane.table.decode(&lane.block, |name, value| head.add(name, value));
        head.is_cut();
        lane.table.lose();
        lane.block.clear();
        self.fields(from, &pending.header, &pending.start, last, cx);
    }

    /// Fields of a HEADERS frame or of a promise, which stand in `self.head`.
    fn fields(&mut self, from: End, header: &Header, start: &Start, last: Mono, cx: &mut Cx<'_>) {
        let stream = header.stream;
        // Pushed responses answer no request that was sent.
        if header.kind != frame::HEADERS || stream.is_multiple_of(2) {
            return;
        }
        let is_last = header.has(frame::END_STREAM);
        match (from, self.find(stream)) {
            (End::Client, None) if stream > self.highest => {
                self.open(stream, start, last, cx);
            }
            (End::Server, Some(at)) => self.calls[at].answered(&self.head, is_last, start, cx),
            (End::Server, None) if stream > self.highest && self.head.status().is_some() => cx.count(Loss::Orphan, 1),
            (End::Client, Some(at)) => self.calls[at].touch(End::Client, last),
            _ => {}
        }
        if is_last {
            self.end_stream(from, stream, Some(last), cx);
        }
    }

    fn open(&mut self, stream: u32, start: &Start, last: Mono, cx: &mut Cx<'_>) {
        if !self.head.is_request() {
            return;
        }
        self.highest = stream;
        if self.calls.len() >= cx.options.in_flight_limit {
            return cx.count(Loss::InFlight, 1);
        }
        self.calls.push(Call::open(stream, &self.head, start, last, cx));
    }

    // ---- losses

    /// Bytes that break the framing.
    fn malformed(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        self.lose_framing(from, input.time(0), cx);
        Step::Take(input.next_segment(0).unwrap_or(input.bytes().len()))
    }

    /// It is not known any more where frames begin, nor what the header table holds.
    fn lose_framing(&mut self, from: End, at: Mono, cx: &mut Cx<'_>) {
        if let Some(pending) = self.lane(from).pending.take()
            && !pending.is_done
        {
            self.cut_block(from, &pending, at, cx);
        }
        let lane = self.lane(from);
        lane.reading = Reading::Lost;
        lane.passing = None;
        lane.table.lose();
        self.doubt(from);
    }

    /// Looks for the start of a frame at the start of a segment.
    fn resume(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        if !input.starts_segment(0) {
            return self.pass_unread(from, input);
        }
        if from == End::Client && bytes.starts_with(PREFACE) {
            self.client.table = Decoder::new(false);
            return self.preface(input);
        }
        match frame::chain(bytes, |stream| self.find(stream).is_some()) {
            Chain::Certain(end) if end.is_none_or(|end| end == from) => {
                self.confirmed = true;
                self.lane(from).reading = Reading::Frame;
                self.frame(from, input, cx)
            }
            // The frame may be longer than what has come of it.
            Chain::Fits if bytes.len() < MAX_UNCERTAIN && is_begun(bytes) => Step::More,
            _ => self.pass_unread(from, input),
        }
    }

    /// Bytes up to the next segment are not understood: they may be frames of any call that is open by now.
    fn pass_unread(&mut self, from: End, input: &Input<'_>) -> Step {
        self.doubt(from);
        Step::Take(input.next_segment(0).unwrap_or(input.bytes().len()))
    }

    /// Frames of `from` may have been missed.
    fn doubt(&mut self, from: End) {
        self.calls.iter_mut().for_each(|call| call.lost(from));
    }

    /// Bytes in front of a hole that begin a frame: what of it is there, and where it ends.
    fn cut_frame(&mut self, from: End, header: &Header, before: &Input<'_>, mark: &Mark, cx: &mut Cx<'_>) {
        let payload = &before.bytes()[frame::HEADER..];
        if header.kind == frame::DATA {
            if let Some(call) = self.call(header.stream) {
                call.data(from, header.len, before.time(0));
                if header.has(frame::PADDED) {
                    call.lose_size(from);
                }
            }
            return self.pass(from, header, before);
        }
        match header.kind {
            frame::HEADERS | frame::PUSH_PROMISE | frame::CONTINUATION => {}
            // What they end is not known to be over, nor why.
            frame::RST_STREAM => return self.call(header.stream).into_iter().for_each(|call| call.lost(from)),
            frame::GOAWAY => return self.doubt(from),
            _ => return,
        }
        let block = frame::block(header, payload).unwrap_or_default();
        let lane = self.lane(from);
        let mut pending = lane.pending.take().unwrap_or_else(|| {
            lane.block.clear();
            Pending { header: *header, start: Start::of(before, header.total()), is_done: false }
        });
        if !pending.is_done {
            lane.block.extend_from_slice(block);
            self.cut_block(from, &pending, mark.time, cx);
            pending.is_done = true;
        }
        self.lane(from).pending = (!header.has(frame::END_HEADERS)).then_some(pending);
    }
}

/// Bytes after which a frame that is only possible is not waited for.
const MAX_UNCERTAIN: usize = 20 * 1024;

/// Whether bytes that fit begin a HEADERS frame whose end has not come.
fn is_begun(bytes: &[u8]) -> bool {
    Header::read(bytes).is_none_or(|header| header.kind != frame::DATA && header.total() > bytes.len())
}

fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(u32::MAX, |four| u32::from_be_bytes(*four))
}

impl Parser for Http2 {
    fn parse(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if let Some(exchange) = cx.take_over() {
            self.highest = 1;
            self.calls.push(Call::upgraded(1, exchange));
        }
        match self.lane(from).reading {
            Reading::Preface => self.preface(input),
            Reading::Frame => self.frame(from, input, cx),
            Reading::Rest(n) => {
                self.lane(from).reading = Reading::Frame;
                Step::Skip(n)
            }
            Reading::Data { .. } => self.body(input, cx),
            Reading::Lost => self.resume(from, input, cx),
        }
    }

    fn skipped(&mut self, from: End, mark: &Mark, cx: &mut Cx<'_>) {
        if let Some(Passing { stream, is_last, end }) = self.lane(from).passing.take() {
            let at = (mark.offset < end).then_some(mark.time);
            self.data_done(from, stream, is_last, at, cx);
        }
    }

    fn lost(&mut self, from: End, before: &Input<'_>, bytes: u64, mark: &Mark, cx: &mut Cx<'_>) {
        let header = Header::read(before.bytes()).filter(Header::is_valid);
        let lane = self.lane(from);
        // Bytes of the frame that the hole is in, behind the hole's start.
        let left = match (lane.reading, header) {
            (Reading::Frame, Some(header)) => {
                self.cut_frame(from, &header, before, mark, cx);
                (header.total() - before.bytes().len()) as u64
            }
            (Reading::Rest(n), _) => n,
            (Reading::Data { stream, body, padding, is_last }, _) => {
                lane.passing = Some(Passing { stream, is_last, end: before.offset() + (body + padding) as u64 });
                if let Some(call) = self.call(stream) {
                    call.body_lost();
                }
                (body + padding) as u64
            }
            _ => return self.lose_framing(from, mark.time, cx),
        };
        match left.checked_sub(bytes) {
            Some(0) => {
                self.lane(from).reading = Reading::Frame;
                self.skipped(from, mark, cx);
            }
            Some(rest) => self.lane(from).reading = Reading::Rest(rest),
            None => {
                self.skipped(from, mark, cx);
                self.lose_framing(from, mark.time, cx);
            }
        }
    }

    fn fin(&mut self, from: End, _: Mono, _: &mut Cx<'_>) {
        self.first_fin = self.first_fin.or(Some(from));
    }

    fn closed(&mut self, how: Close, _: Mono, cx: &mut Cx<'_>) {
        for end in [End::Client, End::Server] {
            if self.lane(end).reading == Reading::Lost {
                self.doubt(end);
            }
        }
        let error = http::close_error(how, self.first_fin, cx);
        for call in std::mem::take(&mut self.calls) {
            call.finish(Over::Closed(error), cx);
        }
    }

    fn expire(&mut self, before: Mono, cx: &mut Cx<'_>) {
        for call in self.calls.extract_if(.., |call| call.is_stale(before)) {
            call.finish(Over::Expired, cx);
        }
    }
}
