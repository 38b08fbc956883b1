//! DNS over UDP and TCP (RFC 1035, RFC 6891, RFC 7766): one lookup is one exchange, whoever asks and in any order.
//!
//! A lookup is its number and its question together, so a number used again for another question never pairs two
//! strangers, and a question sent again is the same lookup. What an answer says of addresses is for [`NameCache`].

mod message;
mod names;
#[cfg(test)]
mod tests;

pub use names::NameCache;

use super::http::close_error;
use super::{Cx, Descriptor, End, Evidence, Input, Mark, Pairing, Parser, Sample, Step, Stop};
use crate::flow::{Amount, Capture, Loss};
use crate::model::semconv as s;
use crate::model::{Close, Exchange, Family, Mono, Transport};
use message::{Fault, HEADER, Header, Question, Records};
use rustc_hash::{FxHashMap, FxHasher};
use std::fmt::Write;
use std::hash::Hasher;
use std::time::Duration;

/// DNS in datagrams.
pub(super) static UDP: Descriptor = Descriptor {
    name: "dns",
    family: Family::Dns,
    pairing: Pairing::Number,
    transport: Transport::Udp,
    ports: &[53],
    capture: Capture { client: Amount::Segment(1024), server: Amount::Segment(4096) },
    detect: detect_datagram,
    parser: |_| Box::new(Dns::new(Framing::Datagram, Reading::Start)),
};

/// DNS with a length in front of each message.
pub(super) static TCP: Descriptor = Descriptor {
    name: "dns/tcp",
    family: Family::Dns,
    pairing: Pairing::Number,
    transport: Transport::Tcp,
    ports: &[53],
    capture: Capture { client: Amount::Segment(4096), server: Amount::Segment(64 * 1024) },
    detect: detect_stream,
    parser: |midway| Box::new(Dns::new(Framing::Length, if midway { Reading::Lost } else { Reading::Start })),
};

/// Bytes of the length in front of a message on TCP.
const PREFIX: usize = 2;
/// A question of the root and nothing else.
const MIN_QUERY: usize = HEADER + 5;
/// Most addresses of one answer that are kept.
const MAX_ANSWERS: usize = 32;
/// No resolver waits shorter than this for a datagram: whoever gives up later does so because time is out.
const PATIENCE: Duration = Duration::from_secs(1);

/// How well bytes fit a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Not,
    /// Nothing against it so far.
    Short,
    /// Valid, but so short or odd that others may look the same.
    Odd,
    /// A plain query or its answer, valid to its last byte.
    Whole,
}

fn fit(message: &[u8], from: End) -> Fit {
    let header = match Header::read(message) {
        Ok(header) => header,
        Err(_) => return Fit::Short,
    };
    let is_response = from == End::Server;
    if header.is_response() != is_response || header.is_reserved_set() || header.opcode() > 6 || header.counts.questions > 1 {
        return Fit::Not;
    }
    let counts = header.counts;
    let is_plain = header.opcode() == 0 && counts.questions == 1;
    if is_plain && !is_response && (header.rcode() != 0 || counts.answers > 0 || counts.authorities > 1 || counts.additionals > 3) {
        return Fit::Not;
    }
    match message::end(message, header) {
        Err(Fault::Bad) => Fit::Not,
        Err(Fault::Short) => Fit::Short,
        Ok(end) if end != message.len() => Fit::Odd,
        Ok(_) if is_plain && has_known_question(message) => Fit::Whole,
        Ok(_) => Fit::Odd,
    }
}

fn has_known_question(message: &[u8]) -> bool {
    const CLASSES: [u16; 5] = [1, 3, 4, 254, 255];
    Question::read(message, HEADER)
        .is_ok_and(|question| message::kind_name(question.kind).is_some() && CLASSES.contains(&(question.class & 0x7fff)))
}

fn detect_datagram(sample: &Sample<'_>) -> Evidence {
    let of = |bytes: &[u8], from| if bytes.is_empty() { None } else { Some(fit(bytes, from)) };
    match (of(sample.client, End::Client), of(sample.server, End::Server)) {
        (Some(Fit::Not), _) | (_, Some(Fit::Not)) => Evidence::No,
        (Some(Fit::Whole), _) | (_, Some(Fit::Whole)) => Evidence::Strong,
        (Some(Fit::Odd), _) | (_, Some(Fit::Odd)) => Evidence::Weak,
        // A datagram that does not end is none, or was cut by capture.
        (Some(Fit::Short), _) | (_, Some(Fit::Short)) if sample.port == 53 => Evidence::Weak,
        (None, None) => Evidence::More,
        _ => Evidence::No,
    }
}

fn detect_stream(sample: &Sample<'_>) -> Evidence {
    match (fit_framed(sample.client, End::Client), fit_framed(sample.server, End::Server)) {
        (Fit::Not, _) | (_, Fit::Not) => Evidence::No,
        (Fit::Whole, _) | (_, Fit::Whole) => Evidence::Strong,
        (Fit::Odd, Fit::Odd) => Evidence::Weak,
        _ => Evidence::More,
    }
}

/// How well the first message of a stream fits.
fn fit_framed(bytes: &[u8], from: End) -> Fit {
    let Some((prefix, rest)) = bytes.split_first_chunk::<PREFIX>() else { return Fit::Short };
    let length = usize::from(u16::from_be_bytes(*prefix));
    let shortest = if from == End::Client { MIN_QUERY } else { HEADER };
    match rest.get(..length) {
        _ if length < shortest => Fit::Not,
        Some(message) => fit(message, from),
        None => fit(rest, from).min(Fit::Short),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Datagram,
    Length,
}

/// Where one direction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// At the start of a message.
    Start,
    /// So many bytes before the start of the next message.
    Rest(u64),
    /// Somewhere unknown.
    Lost,
}

/// What pairs an answer with its query: number, and hash of name and type.
type Key = (u16, u64);

struct Dns {
    framing: Framing,
    client: Reading,
    server: Reading,
    pending: FxHashMap<Key, Box<Exchange>>,
    /// Whether a valid message was seen: before that, other bytes mean another protocol.
    confirmed: bool,
    first_fin: Option<End>,
    /// Memory for texts, reused.
    text: String,
}

impl Dns {
    fn new(framing: Framing, reading: Reading) -> Self {
        Self {
            framing,
            client: reading,
            server: reading,
            pending: FxHashMap::default(),
            confirmed: false,
            first_fin: None,
            text: String::new(),
        }
    }

    fn reading(&mut self, end: End) -> &mut Reading {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    fn datagram(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match self.message(from, input, 0, input.bytes().len(), cx) {
            Ok(()) => Step::Take(input.bytes().len()),
            Err(_) => self.malformed(Step::Take(input.bytes().len()), cx),
        }
    }

    fn framed(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let Some(prefix) = input.bytes().first_chunk::<PREFIX>() else { return Step::More };
        let length = usize::from(u16::from_be_bytes(*prefix));
        if input.bytes().len() < PREFIX + length {
            return Step::More;
        }
        let done = Step::Take(PREFIX + length);
        match self.message(from, input, PREFIX, length, cx) {
            Ok(()) => done,
            Err(_) => self.malformed(done, cx),
        }
    }

    fn malformed(&mut self, step: Step, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        step
    }

    /// Looks for a message that begins with a segment and is valid to its end.
    fn find(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let elsewhere = Step::Take(input.next_segment(0).unwrap_or(input.bytes().len()));
        if !input.starts_segment(0) {
            return elsewhere;
        }
        match fit_framed(input.bytes(), from) {
            Fit::Whole => {
                *self.reading(from) = Reading::Start;
                self.framed(from, input, cx)
            }
            Fit::Short => Step::More,
            Fit::Odd | Fit::Not => elsewhere,
        }
    }

    /// A message of `length` bytes, as far as seen, behind `prefix` bytes of framing.
    fn message(&mut self, from: End, input: &Input<'_>, prefix: usize, length: usize, cx: &mut Cx<'_>) -> Result<(), Fault> {
        let message = &input.bytes()[prefix..prefix + length];
        let header = Header::read(message)?;
        if header.is_response() != (from == End::Server) {
            return Err(Fault::Bad);
        }
        let question = if header.counts.questions > 0 { Some(Question::read(message, HEADER)?) } else { None };
        self.text.clear();
        if let Some(question) = question {
            message::write_name(message, question.name, &mut self.text)?;
        }
        self.confirmed = true;
        let last = input.time(prefix + length - 1);
        match from {
            End::Client => self.query(header, question, input, length, last, cx),
            End::Server => self.answer(header, question, input, message, last, cx),
        }
        Ok(())
    }

    fn key(&self, header: Header, question: Option<Question>) -> Key {
        let mut hasher = FxHasher::default();
        hasher.write(self.text.as_bytes());
        hasher.write_u16(question.map_or(0, |question| question.kind));
        (header.id, hasher.finish())
    }

    fn query(&mut self, header: Header, question: Option<Question>, input: &Input<'_>, length: usize, last: Mono, cx: &mut Cx<'_>) {
        let key = self.key(header, question);
        if self.pending.contains_key(&key) {
            // The same lookup, sent again because no answer came yet.
            return;
        }
        if self.pending.len() >= cx.options.in_flight_limit {
            return cx.count(Loss::InFlight, 1);
        }
        let mut exchange = cx.begin(input, 0);
        exchange.request.last = last;
        exchange.request.body_bytes = Some(length as u64);
        if let Some(question) = question {
            exchange.attrs.set_str(s::DNS_QUESTION_NAME, &self.text);
            match message::kind_name(question.kind) {
                Some(name) => exchange.attrs.set_str(s::REMORA_DNS_QUESTION_TYPE, name),
                None => exchange.attrs.set_with(s::REMORA_DNS_QUESTION_TYPE, |text| write_number(text, "TYPE", question.kind)),
            }
        }
        cx.request(&mut exchange);
        self.pending.insert(key, exchange);
    }

    fn answer(&mut self, header: Header, question: Option<Question>, input: &Input<'_>, message: &[u8], last: Mono, cx: &mut Cx<'_>) {
        let key = match question {
            Some(_) => Some(self.key(header, question)),
            None => self.only(header.id),
        };
        let Some(mut exchange) = key.and_then(|key| self.pending.remove(&key)) else {
            return cx.count(Loss::Orphan, 1);
        };
        cx.respond(&mut exchange, input, 0);
        if let Some(response) = &mut exchange.response {
            response.last = last;
            response.body_bytes = Some(message.len() as u64);
        }
        let start = question.map_or(HEADER, |question| question.end);
        self.addresses(&mut exchange, Records::new(message, start, u32::from(header.counts.answers)));
        rcode(&mut exchange, header, message, cx);
        if header.is_truncated() {
            exchange.attrs.set_bool(s::REMORA_DNS_TRUNCATED, true);
        }
        cx.finish(exchange);
    }

    /// The lookup with number `id`, for an answer that does not repeat its question.
    fn only(&self, id: u16) -> Option<Key> {
        let mut fitting = self.pending.keys().filter(|key| key.0 == id);
        let only = fitting.next().copied();
        only.filter(|_| fitting.next().is_none())
    }

    fn addresses(&mut self, exchange: &mut Exchange, records: Records<'_>) {
        self.text.clear();
        let (mut found, mut ttl) = (0, u32::MAX);
        for record in records {
            let Ok(record) = record else {
                exchange.completeness.response_lost = true;
                break;
            };
            ttl = ttl.min(record.ttl);
            if let Some(address) = record.address().filter(|_| found < MAX_ANSWERS) {
                found += 1;
                // Writing to a string cannot fail.
                let _ = write!(self.text, "{address} ");
            }
        }
        if found > 0 {
            exchange.attrs.set_list(s::DNS_ANSWERS, self.text.split_ascii_whitespace());
            exchange.attrs.set_int(s::REMORA_DNS_TTL, i64::from(ttl));
        }
    }

    /// Finishes what `is_over` says is over, in the order in which it was asked.
    fn finish_all(&mut self, mut is_over: impl FnMut(&mut Exchange) -> bool, cx: &mut Cx<'_>) {
        let mut over: Vec<Box<Exchange>> = self.pending.extract_if(|_, exchange| is_over(exchange)).map(|(_, exchange)| exchange).collect();
        over.sort_unstable_by_key(|exchange| exchange.id);
        over.into_iter().for_each(|exchange| cx.finish(exchange));
    }

    /// Why a lookup has no answer when its connection or socket ends, if that is an error.
    fn unanswered(&self, how: Close, asked: Mono, at: Mono, cx: &Cx<'_>) -> Option<&'static str> {
        let gave_up = self.framing == Framing::Datagram && how != Close::Unobserved && at.since(asked) >= PATIENCE;
        if gave_up { Some(s::ERROR_TIMEOUT) } else { close_error(how, self.first_fin.or(self.closer()), cx) }
    }

    /// Datagram sockets have no FIN: the end that closed is the one that asked.
    fn closer(&self) -> Option<End> {
        (self.framing == Framing::Datagram).then_some(End::Client)
    }
}

/// Sets response code and error. A client's lookup fails unless it is answered `NOERROR`; a server fails only by its
/// own fault.
fn rcode(exchange: &mut Exchange, header: Header, message: &[u8], cx: &Cx<'_>) {
    let counts = header.counts;
    let start = if counts.questions > 0 { Question::read(message, HEADER).map_or(message.len(), |question| question.end) } else { HEADER };
    let (mut extended, mut is_cut) = (0, false);
    for record in Records::new(message, start, [counts.answers, counts.authorities, counts.additionals].map(u32::from).iter().sum()) {
        match record {
            Ok(record) => extended = record.extended_rcode().unwrap_or(extended),
            Err(_) => is_cut = true,
        }
    }
    if is_cut {
        exchange.completeness.response_lost = true;
        // The upper half of the code may be in what is missing.
        if counts.additionals > 0 {
            return;
        }
    }
    let rcode = extended << 4 | header.rcode();
    match message::rcode_name(rcode) {
        Some(name) => exchange.attrs.set_str(s::REMORA_DNS_RESPONSE_CODE, name),
        None => exchange.attrs.set_with(s::REMORA_DNS_RESPONSE_CODE, |text| write_number(text, "RCODE", rcode)),
    }
    let is_error = if cx.observes(End::Client) { rcode != 0 } else { matches!(rcode, SERVFAIL | NOTIMP) };
    if is_error {
        exchange.error = exchange.attrs.str(s::REMORA_DNS_RESPONSE_CODE).map(str::to_owned);
    }
}

const SERVFAIL: u16 = 2;
const NOTIMP: u16 = 4;

fn write_number(text: &mut String, prefix: &str, number: u16) {
    // Writing to a string cannot fail.
    let _ = write!(text, "{prefix}{number}");
}

impl Parser for Dns {
    fn parse(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if self.framing == Framing::Datagram {
            return self.datagram(from, input, cx);
        }
        match *self.reading(from) {
            Reading::Start => self.framed(from, input, cx),
            Reading::Rest(bytes) => {
                *self.reading(from) = Reading::Start;
                Step::Skip(bytes)
            }
            Reading::Lost => self.find(from, input, cx),
        }
    }

    fn lost(&mut self, from: End, before: &Input<'_>, bytes: u64, _: &Mark, cx: &mut Cx<'_>) {
        let rest = match (*self.reading(from), before.bytes().split_first_chunk::<PREFIX>()) {
            (Reading::Lost, _) | (Reading::Start, None) => None,
            (Reading::Rest(rest), _) => Some(rest),
            (Reading::Start, Some((prefix, seen))) => {
                // Enough of it may be there: what is not is noted.
                let _ = self.message(from, before, PREFIX, seen.len(), cx);
                Some(u64::from(u16::from_be_bytes(*prefix)).saturating_sub(seen.len() as u64))
            }
        };
        *self.reading(from) = match rest.and_then(|rest| rest.checked_sub(bytes)) {
            Some(0) => Reading::Start,
            Some(rest) => Reading::Rest(rest),
            None => Reading::Lost,
        };
    }

    fn fin(&mut self, from: End, _: Mono, _: &mut Cx<'_>) {
        self.first_fin = self.first_fin.or(Some(from));
    }

    fn closed(&mut self, how: Close, at: Mono, cx: &mut Cx<'_>) {
        let mut over: Vec<Box<Exchange>> = self.pending.drain().map(|(_, exchange)| exchange).collect();
        over.sort_unstable_by_key(|exchange| exchange.id);
        for mut exchange in over {
            exchange.completeness.response_lost |= how == Close::Unobserved;
            exchange.error = self.unanswered(how, exchange.request.last, at, cx).map(str::to_owned);
            cx.finish(exchange);
        }
    }

    fn expire(&mut self, before: Mono, cx: &mut Cx<'_>) {
        let is_over = |exchange: &mut Exchange| {
            let is_over = exchange.request.last < before;
            if is_over {
                exchange.error = Some(s::ERROR_TIMEOUT.to_owned());
            }
            is_over
        };
        self.finish_all(is_over, cx);
    }
}
