//! Kafka's protocol over TCP, by number and version of each request, as brokers and clients of any age speak it.
//!
//! A message is walked over by its description, so payloads of any size are skipped by their length and need not be
//! captured. An answer belongs to the request with its correlation id. A poll that brings nothing is no work and is not
//! reported; neither is it an error.

mod api;
mod bodies;
mod errors;
mod found;
mod heads;
mod losses;
mod memory;
mod records;
mod schema;
#[cfg(test)]
mod tests;

pub(crate) use memory::Memory;

use super::http::close_error;
use super::{Cx, Descriptor, End, Evidence, Input, Mark, Pairing, Parser, Sample, Step};
use crate::flow::{Amount, Capture};
use crate::model::semconv as s;
use crate::model::{Close, Exchange, Family, Kind, Mono, Transport};
use api::Api;
use found::Found;
use schema::{Extent, Pause, Walk};
use std::collections::VecDeque;

/// Kafka over TCP.
pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "kafka",
    family: Family::Messaging,
    pairing: Pairing::Number,
    transport: Transport::Tcp,
    ports: &[9092, 9093, 9094, 19092, 29092],
    capture: Capture { client: Amount::Segment(8 * 1024), server: Amount::Segment(4 * 1024) },
    detect,
    parser: |midway| Box::new(Kafka::new(midway)),
};

/// What is asked of capture once a head was lost.
const LARGE: Capture = Capture { client: Amount::Segment(64 * 1024), server: Amount::Segment(64 * 1024) };
/// Largest message that is believed (brokers take 100 MiB unless told otherwise).
const MAX_FRAME: u64 = 512 << 20;
/// Length, number, version, correlation id, length of the client's id.
const REQUEST_HEAD: usize = 14;
/// Length and correlation id.
const RESPONSE_HEAD: usize = 8;
/// Longest client id that is believed.
const MAX_CLIENT_ID: usize = 1024;
/// Bytes of a batch's records that are looked at for trace contexts.
const PEEK: usize = 4096;
/// Bytes of a message that have to fit before it is believed without its end.
const ENOUGH: usize = 64;

/// Head of a request (protocol guide, "Protocol Primitive Types" and "Request Header").
#[derive(Clone, Copy, Debug)]
struct Head<'a> {
    key: i16,
    version: i16,
    correlation: i32,
    client_id: &'a [u8],
    api: &'static Api,
    /// Bytes of the head, the length included.
    len: usize,
    /// Bytes behind the head.
    left: u64,
}

enum Read<T> {
    Is(T),
    More,
    Bad,
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Bytes of the message behind its length.
fn frame(bytes: &[u8], shortest: u64) -> Read<u64> {
    let Some(length) = array(bytes, 0).map(i32::from_be_bytes) else { return Read::More };
    match u64::try_from(length) {
        Ok(length) if (shortest..=MAX_FRAME).contains(&length) => Read::Is(length),
        _ => Read::Bad,
    }
}

fn head(bytes: &[u8]) -> Read<Head<'_>> {
    let length = match frame(bytes, REQUEST_HEAD as u64 - 4) {
        Read::Is(length) => length,
        Read::More => return Read::More,
        Read::Bad => return Read::Bad,
    };
    let Some(key) = array(bytes, 4).map(i16::from_be_bytes) else { return Read::More };
    let Some(api) = Api::of(key) else { return Read::Bad };
    let (Some(version), Some(correlation), Some(id)) = (array(bytes, 6), array(bytes, 8), array(bytes, 12)) else { return Read::More };
    let (version, correlation) = (i16::from_be_bytes(version), i32::from_be_bytes(correlation));
    let id = i16::from_be_bytes(id);
    let end = REQUEST_HEAD + usize::try_from(id.max(0)).unwrap_or(0);
    let Some(left) = (length + 4).checked_sub(end as u64) else { return Read::Bad };
    if id < -1 || version < 0 || end > REQUEST_HEAD + MAX_CLIENT_ID {
        return Read::Bad;
    }
    let Some(client_id) = bytes.get(REQUEST_HEAD..end) else { return Read::More };
    if client_id.iter().any(u8::is_ascii_control) {
        return Read::Bad;
    }
    Read::Is(Head { key, version, correlation, client_id, api, len: end, left })
}

impl Head<'_> {
    /// A walk over the body, if its layout is known.
    fn walk(&self) -> Option<Walk> {
        let fields = self.api.request(self.version)?;
        let flexible = self.api.is_flexible(self.version);
        let peek = if self.key == api::PRODUCE { PEEK } else { 0 };
        Some(Walk::new(fields, self.version, flexible, flexible, Extent::Whole).peeking(peek))
    }
}

/// A walk over a response's body, if its layout is known.
fn response_walk(api: &Api, key: i16, version: i16) -> Option<Walk> {
    let fields = api.response(version)?;
    let flexible = api.is_flexible(version);
    Some(Walk::new(fields, version, flexible, flexible && key != api::API_VERSIONS, Extent::Start))
}

/// How well bytes fit a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Not,
    /// Nothing against it so far.
    Short,
    /// It fits, but its layout is not known.
    Odd,
    /// Valid to its end, or for as long as no other protocol's bytes would be.
    Whole,
}

fn fit_request(bytes: &[u8]) -> Fit {
    let head = match head(bytes) {
        Read::Is(head) => head,
        Read::More => return Fit::Short,
        Read::Bad => return Fit::Not,
    };
    if head.correlation < 0 || !head.api.knows(head.version) {
        return Fit::Not;
    }
    let Some(mut walk) = head.walk() else { return Fit::Odd };
    let mut found = Found::default();
    match probe(&mut walk, bytes.get(head.len..).unwrap_or_default(), head.left, &mut found) {
        Probe::Done(0) => Fit::Whole,
        Probe::Done(_) | Probe::Bad => Fit::Not,
        Probe::Short if found.has_batch => Fit::Whole,
        Probe::Short if !head.client_id.is_empty() && bytes.len() >= ENOUGH => Fit::Whole,
        Probe::Short => Fit::Short,
    }
}

enum Probe {
    /// Valid, with so many bytes behind it.
    Done(u64),
    Short,
    Bad,
}

/// Walks over the start of a body that has `left` bytes, without a trace.
fn probe(walk: &mut Walk, bytes: &[u8], left: u64, found: &mut Found) -> Probe {
    let there = usize::try_from(left).map_or(bytes, |left| bytes.get(..left).unwrap_or(bytes));
    let mut nothing = Memory::default();
    match walk.run(there, left, true, &mut |event| found.see(event, &mut nothing)) {
        (used, Pause::Done) => Probe::Done(left - used as u64),
        (_, Pause::More) if there.len() as u64 == left => Probe::Bad,
        (_, Pause::More | Pause::Skip(_)) => Probe::Short,
        (_, Pause::Bad) => Probe::Bad,
    }
}

fn detect(sample: &Sample<'_>) -> Evidence {
    if matches!(frame(sample.server, 4), Read::Bad) {
        return Evidence::No;
    }
    match fit_request(sample.client) {
        Fit::Not => Evidence::No,
        Fit::Short => Evidence::More,
        Fit::Odd => Evidence::Weak,
        Fit::Whole => Evidence::Strong,
    }
}

/// Where one direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// At the start of a message.
    Head,
    /// In a message whose layout is known.
    Body,
    /// In the rest of a message, of which nothing is wanted.
    Rest,
    /// Somewhere unknown.
    Lost,
}

/// One direction.
#[derive(Debug)]
struct Lane {
    reading: Reading,
    /// Place in the message, in its body.
    walk: Walk,
    /// Bytes of the message still to come.
    left: u64,
    /// How many of them are to be stepped over before reading goes on.
    owed: u64,
    /// Time of the last byte seen of it.
    last: Mono,
    /// Stream offset behind what is skipped.
    skip_end: u64,
    call: Option<Call>,
    found: Found,
}

impl Lane {
    fn new(midway: bool) -> Self {
        let reading = if midway { Reading::Lost } else { Reading::Head };
        Self { reading, walk: Walk::default(), left: 0, owed: 0, last: Mono::default(), skip_end: 0, call: None, found: Found::default() }
    }

    /// Begins a body, along `walk` if its layout is known.
    fn begin(&mut self, walk: Option<Walk>) {
        self.reading = if walk.is_some() { Reading::Body } else { Reading::Rest };
        self.walk = walk.unwrap_or_default();
    }

    /// Skips `n` bytes from the start of `input` on.
    fn skip(&mut self, input: &Input<'_>, n: u64) -> Step {
        self.left = self.left.saturating_sub(n);
        self.skip_end = input.offset() + n;
        self.last = input.time(0);
        Step::Skip(n)
    }
}

/// A request on its way.
#[derive(Debug)]
struct Call {
    key: i16,
    version: i16,
    correlation: i32,
    api: &'static Api,
    exchange: Box<Exchange>,
    /// Whether its answer may have been lost.
    unsure: bool,
}

struct Kafka {
    client: Lane,
    server: Lane,
    queue: VecDeque<Call>,
    /// Whether a whole request was seen: before that, other bytes mean another protocol.
    confirmed: bool,
    first_fin: Option<End>,
}

impl Kafka {
    fn new(midway: bool) -> Self {
        Self { client: Lane::new(midway), server: Lane::new(midway), queue: VecDeque::new(), confirmed: false, first_fin: None }
    }

    fn lane(&mut self, end: End) -> &mut Lane {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }
}

/// A broker serves, whatever its client does.
fn role_kind(cx: &Cx<'_>, client: Kind) -> Kind {
    if cx.observes(End::Client) { client } else { Kind::Server }
}

/// Ends a call whose answer was not seen. Whether such a poll brought anything is not known, and most bring nothing.
fn unseen(mut call: Call, cx: &mut Cx<'_>) {
    if call.key == api::FETCH {
        return cx.void(call.exchange);
    }
    call.exchange.completeness.response_lost = true;
    cx.finish(call.exchange);
}

impl Parser for Kafka {
    fn parse(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let lane = self.lane(from);
        let owed = std::mem::take(&mut lane.owed);
        if owed > 0 {
            return lane.skip(input, owed);
        }
        match (self.lane(from).reading, from) {
            (Reading::Head, End::Client) => self.request_head(input, cx),
            (Reading::Head, End::Server) => self.response_head(input, cx),
            (Reading::Body, _) => self.body(from, input, cx),
            (Reading::Rest, _) => {
                let lane = self.lane(from);
                let left = lane.left;
                lane.skip(input, left)
            }
            (Reading::Lost, _) => self.find(from, input, cx),
        }
    }

    fn skipped(&mut self, from: End, mark: &Mark, cx: &mut Cx<'_>) {
        let lane = self.lane(from);
        if mark.offset < lane.skip_end {
            lane.last = mark.time;
        }
        if lane.left == 0 {
            self.message_done(from, cx);
        }
    }

    fn lost(&mut self, from: End, before: &Input<'_>, bytes: u64, mark: &Mark, cx: &mut Cx<'_>) {
        cx.want(LARGE);
        let gone = before.bytes().len() as u64 + bytes;
        let left = match self.lane(from).reading {
            Reading::Lost => return,
            Reading::Head => self.lost_head(from, before),
            Reading::Rest => Some(self.lane(from).left),
            Reading::Body => {
                let unwanted = self.last_bytes(from, before, cx);
                self.lane(from).owed = self.lose_body(from, gone, unwanted);
                Some(self.lane(from).left)
            }
        };
        let Some(left) = left.and_then(|left| left.checked_sub(gone)) else {
            if self.lane(from).reading != Reading::Head {
                self.message_done(from, cx);
            }
            return self.lose(from);
        };
        let lane = self.lane(from);
        lane.left = left;
        if mark.offset < before.offset() + gone {
            lane.last = mark.time;
        }
        if left == 0 {
            self.message_done(from, cx);
        }
    }

    fn fin(&mut self, from: End, _: Mono, _: &mut Cx<'_>) {
        self.first_fin = self.first_fin.or(Some(from));
    }

    fn closed(&mut self, how: Close, _: Mono, cx: &mut Cx<'_>) {
        if let Some(mut call) = self.client.call.take() {
            call.exchange.completeness.request_lost = true;
            self.client.found.describe(&mut call.exchange);
            cx.request(&mut call.exchange);
            self.queue.push_back(call);
        }
        if let Some(mut call) = self.server.call.take() {
            call.exchange.error = close_error(how, self.first_fin, cx).map(str::to_owned);
            unseen(call, cx);
        }
        for mut call in std::mem::take(&mut self.queue) {
            let error = close_error(how, self.first_fin, cx);
            match error {
                _ if call.unsure => unseen(call, cx),
                None => unseen(call, cx),
                // A consumer that leaves does not wait for its last poll.
                Some(s::ERROR_CANCELLED) if call.key == api::FETCH => cx.void(call.exchange),
                Some(error) => {
                    call.exchange.error = Some(error.to_owned());
                    cx.finish(call.exchange);
                }
            }
        }
    }

    fn expire(&mut self, before: Mono, cx: &mut Cx<'_>) {
        let is_old = |call: &Call| call.exchange.request.last < before;
        while let Some(mut call) = self.queue.iter().position(is_old).and_then(|place| self.queue.remove(place)) {
            if call.unsure {
                unseen(call, cx);
            } else {
                call.exchange.error = Some(s::ERROR_TIMEOUT.to_owned());
                cx.finish(call.exchange);
            }
        }
    }
}
