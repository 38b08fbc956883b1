//! What a protocol parser is, and the table of all parsers.
//!
//! A parser is a state machine for one connection: it is given bytes of either direction in order, with the holes
//! named, and emits exchanges. It does no I/O, knows no clock, never panics on any input and keeps bounded state.
//!
//! # Adding a protocol
//! One file here and one line in [`TABLE`]:
//! 1. A [`Descriptor`] with a `detect` that says [`Evidence::Strong`] only for what no other protocol can be.
//! 2. A [`Parser`]. [`Parser::parse`] is given the bytes of one end from the current position on. A whole message head
//!    is answered with [`Step::Take`], or with [`Step::Skip`] over head and payload at once, where its length is known:
//!    what is skipped need not be captured. Half a head is [`Step::More`].
//! 3. A request: [`Cx::begin`] gives an exchange with times, role and call key; set attributes by the names in
//!    [`crate::model::semconv`]; announce it with [`Cx::request`] once its head is read. Keep it in a bounded queue (or
//!    map, where the protocol numbers its requests) until its answer: [`Cx::respond`], then [`Cx::finish`].
//! 4. [`Parser::lost`]: what was not captured. Mark what is incomplete and take the next message only where its start
//!    is certain: [`Input::starts_segment`] and a head that is valid to its end. A request's segment acknowledges the
//!    server's bytes before it ([`Mark::ack`]): where ends take turns, its answer begins at exactly that number.
//! 5. [`Parser::closed`] and [`Parser::expire`] finish what is still open, with the `error.type` of
//!    [`crate::model::semconv`].
//!
//! Its real traffic gets a line in `confusion.rs`, so that neither it nor any other protocol is taken for another.
//!
//! Tests write conversations with `crate::testkit::Talk`: bytes of real programs, any split (`Talk::split`), any
//! hole (`Talk::lose`), and compare `Outcome::brief` or `Outcome::full`.

mod bytes;
#[cfg(test)]
mod confusion;
mod context;
mod dns;
mod event_stream;
mod grpc;
mod http;
mod http1;
mod http2;
mod inflate;
mod input;
mod kafka;
mod keys;
#[cfg(test)]
mod keyvalue_captures;
mod memcached;
#[cfg(test)]
mod midway;
mod mongodb;
mod mysql;
mod ordered;
mod postgres;
mod redis;
mod sql;
mod text;
mod url;
mod websocket;

pub(crate) use context::Shared;
pub use context::{Cx, Options};
pub use dns::NameCache;
pub use input::{Input, Mark};
pub use websocket::NAME as WEBSOCKET;

use crate::flow::Capture;
use crate::model::{Close, Family, Mono, Transport};

/// All protocols, in the order in which equal evidence is settled.
pub static TABLE: &[&Descriptor] = &[
    &http1::DESCRIPTOR,
    &http2::DESCRIPTOR,
    &websocket::DESCRIPTOR,
    &postgres::DESCRIPTOR,
    &mysql::DESCRIPTOR,
    &dns::UDP,
    &dns::TCP,
    &redis::DESCRIPTOR,
    &memcached::DESCRIPTOR,
    &kafka::DESCRIPTOR,
    &mongodb::DESCRIPTOR,
];

/// First bytes of a client by which capture knows what to take of a connection before that is classified: only of protocols
/// in which what is missed at the start leaves values unknown for as long as the connection lives.
pub static OPENINGS: &[(&[u8], Capture)] = &[http2::OPENING];

/// An end of a connection, by its part in the protocol: requests come from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// Sends requests.
    Client,
    /// Sends responses.
    Server,
}

impl End {
    /// The other end.
    #[must_use]
    pub fn other(self) -> End {
        match self {
            End::Client => End::Server,
            End::Server => End::Client,
        }
    }
}

/// The first bytes of a connection, or the bytes at which the agent joined it: what classification may look at.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// First bytes from the client end as assumed; may be empty.
    pub client: &'a [u8],
    /// First bytes from the server end as assumed; may be empty.
    pub server: &'a [u8],
    /// Port of the server end as assumed: a hint only.
    pub port: u16,
    /// Whether the connection existed before capture saw it.
    pub midway: bool,
    /// Which end's bytes came first, if that was seen.
    pub first: Option<End>,
}

/// How well a [`Sample`] fits a protocol. Order matters: a later one is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Evidence {
    /// It cannot be this protocol.
    No,
    /// Too few bytes to say; nothing against it.
    More,
    /// It fits, and so might others: taken only where the port agrees and nothing stronger comes.
    Weak,
    /// It fits in a way that other protocols do not (a magic, a full valid head, both ends consistent).
    Strong,
}

/// What tells to which request an answer belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Their order alone: what is seen first after a connection was joined is held back until it is certain.
    Order,
    /// Numbers in both; or there are no answers.
    Number,
}

/// What a protocol is to the rest: a name, a test and a maker of parsers.
#[derive(Debug)]
pub struct Descriptor {
    /// Name, e.g. `http/1.1`; also the value of counters by protocol.
    pub name: &'static str,
    /// Kind of its exchanges (a parser may set another on a single exchange, as HTTP/2 does for gRPC).
    pub family: Family,
    /// How answers are told apart.
    pub pairing: Pairing,
    /// Transport that carries it.
    pub transport: Transport,
    /// Well-known server ports: they turn weak evidence into a decision and decide nothing else.
    pub ports: &'static [u16],
    /// How much of each direction the parser wants from the kernel.
    pub capture: Capture,
    /// How well a sample fits. Must be pure, cheap and total.
    pub detect: fn(&Sample<'_>) -> Evidence,
    /// A parser for one connection. `midway` says that it starts at an unknown place in the conversation.
    pub parser: fn(midway: bool) -> Box<dyn Parser>,
}

/// What a parser asks for after it looked at its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// These first bytes are done with; give me the rest. Must be at least 1 and at most the input's length.
    Take(usize),
    /// The next so many bytes (they may not have come yet) are payload that I need not see. Must be at least 1.
    /// [`Parser::skipped`] is called when the last of them has passed, lost or not.
    Skip(u64),
    /// I need more than this to go on.
    More,
    /// Stop: see [`Stop`].
    Stop(Stop),
}

/// Why a parser wants no more bytes of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// This is not my protocol after all: let others look at it.
    NotMine,
    /// The bytes are no longer a protocol (CONNECT, `101` to something unknown, TLS after STARTTLS).
    Opaque,
    /// The connection speaks another protocol from the bytes that follow, by its [`Descriptor::name`].
    Switch(&'static str),
}

/// A protocol's state machine for one connection.
pub trait Parser: Send {
    /// Looks at the bytes of one direction from the current position on.
    ///
    /// Called again with the rest after [`Step::Take`], and with more bytes after [`Step::More`]. `input` is never empty.
    fn parse(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step;

    /// The bytes of a [`Step::Skip`] have passed; `mark` is the segment with the last of them.
    fn skipped(&mut self, from: End, mark: &Mark, cx: &mut Cx<'_>) {
        let _ = (from, mark, cx);
    }

    /// `bytes` bytes at the current position were not captured or were lost, outside any skip.
    ///
    /// `before` is what had been captured in front of the hole and was answered with [`Step::More`] (empty if nothing):
    /// it is gone after this call. `mark` is the segment that showed the hole: it holds the missing bytes, or follows
    /// them ([`Mark::offset`] tells). `bytes` is 0 where `before` itself was more than the buffer holds.
    ///
    /// Never guess what was in the hole: mark what is incomplete and look for the next certain message start.
    fn lost(&mut self, from: End, before: &Input<'_>, bytes: u64, mark: &Mark, cx: &mut Cx<'_>);

    /// `from` has sent its last byte (FIN), and all before it was delivered.
    fn fin(&mut self, from: End, at: Mono, cx: &mut Cx<'_>) {
        let _ = (from, at, cx);
    }

    /// The connection is over: every request still open has to be finished now.
    fn closed(&mut self, how: Close, at: Mono, cx: &mut Cx<'_>);

    /// Finishes requests that were sent before `before` and have no answer (`error.type` `timeout`).
    fn expire(&mut self, before: Mono, cx: &mut Cx<'_>) {
        let _ = (before, cx);
    }
}
