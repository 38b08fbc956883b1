//! MySQL and MariaDB: text and binary protocol, prepared statements, results of any number and size.
//!
//! What ends columns and rows is told by its length (`EOF` has 5 bytes, the `OK` that deprecates it at least 7), so a
//! connection whose login was not seen is read as well. A connection that turns to TLS is left alone.
//! Texts of prepared statements are kept by the number that the server gives them.

mod answers;
mod commands;
mod compressed;
mod login;
mod losses;
mod packet;
#[cfg(test)]
mod tests;

use super::ordered::{Calls, Patience, end_of_hole, is_within};
use super::sql::{Backslash, Dialect, Rules, Statement, Statements};
use super::{Cx, Descriptor, End, Evidence, Input, Mark, Pairing, Parser, Sample, Step, Stop};
use crate::flow::{Amount, Capture};
use crate::model::{Close, Family, Mono, Transport};
use compressed::Compressed;
use packet::{Certainty, FULL, HEAD, Head};

/// MySQL, MariaDB, and what speaks their protocol.
pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "mysql",
    family: Family::Db,
    pairing: Pairing::Order,
    transport: Transport::Tcp,
    ports: &[3306, 4000, 6033],
    capture: Capture { client: Amount::Burst(16 * 1024), server: Amount::Burst(4 * 1024) },
    detect,
    parser: |midway| Box::new(Connection { plain: MySql::new(midway), compressed: None }),
};

/// Bytes of one command that are waited for; what is longer is skipped.
const KEEP: usize = 12 * 1024;
/// Bytes of one answer packet that tell what it is.
const ANSWER: usize = 32;
/// Longest database name that is kept.
const NAME_LIMIT: usize = 256;
/// Number of a MariaDB client's latest prepared statement.
const LATEST: u32 = u32::MAX;

fn detect(sample: &Sample<'_>) -> Evidence {
    if !sample.midway {
        return detect_login(sample);
    }
    match (packet::command(sample.client), sample.client.is_empty()) {
        (Certainty::Certain, false) => return Evidence::Strong,
        (Certainty::No, false) if sample.server.is_empty() => return Evidence::No,
        _ => {}
    }
    match packet::answer(sample.server) {
        Certainty::Certain => Evidence::Strong,
        Certainty::No => Evidence::No,
        Certainty::Maybe if !sample.client.is_empty() && packet::command(sample.client) == Certainty::No => Evidence::No,
        Certainty::Maybe => Evidence::More,
    }
}

/// The server greets; behind TLS its client's login is the first that is seen.
fn detect_login(sample: &Sample<'_>) -> Evidence {
    let fits = |bytes: &[u8], seqs: &[u8], first: Option<u8>| {
        let Some(head) = packet::head(bytes) else { return bytes.get(2).is_none_or(|byte| *byte == 0) };
        seqs.contains(&head.seq)
            && (32..FULL).contains(&head.len)
            && bytes.get(HEAD).is_none_or(|byte| first.is_none_or(|first| first == *byte))
    };
    if !sample.server.is_empty() && sample.first == Some(End::Server) {
        let is_greeting = packet::head(sample.server).is_some_and(|head| head.seq == 0)
            && sample.server.get(HEAD..).is_some_and(|payload| packet::greeting(payload).is_some());
        return match is_greeting {
            true => Evidence::Strong,
            false if fits(sample.server, &[0], Some(10)) && sample.server.len() < 160 => Evidence::More,
            false => Evidence::No,
        };
    }
    let is_login = packet::head(sample.client).is_some_and(|head| matches!(head.seq, 1 | 2))
        && sample.client.get(HEAD..).is_some_and(|payload| packet::login(payload).is_some());
    match is_login {
        true => Evidence::Strong,
        false if fits(sample.client, &[1, 2], None) && sample.client.len() < 40 => Evidence::More,
        false => Evidence::No,
    }
}

/// How far the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The server has not greeted.
    Greeting,
    /// Greeted; the client has to log in.
    Login,
    /// Exchanging secrets.
    Auth,
    Commands,
}

/// What kind of answer a command has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reply {
    /// `OK`, `ERR`, a request for a local file, or rows; one or several of them.
    Results,
    /// Number of the statement, then its parameters and columns.
    Prepared,
    /// Rows of a cursor.
    Rows,
    /// Columns up to an `EOF`.
    Fields,
    /// One packet of any kind.
    One,
    /// Secrets, up to an `OK` or an `ERR`.
    Auth,
    /// Events without an end.
    Stream,
}

/// What is to be known of a command when its answer comes.
#[derive(Debug)]
struct Asked {
    reply: Reply,
    /// The statement to prepare.
    statement: Option<Box<Statement>>,
    /// Database that is current once this succeeds.
    database: Option<String>,
}

/// Where in an answer the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    First,
    Columns(u64),
    AfterColumns,
    Rows,
    /// Parameters and columns of a prepared statement that are still to come.
    Definitions(u32, u32),
    /// The client sends a file.
    File,
}

/// One direction.
#[derive(Debug, Default)]
struct Lane {
    /// Bytes of a packet that was cut: they are skipped next.
    drain: u64,
    /// The next packet goes on with the payload of the last one.
    continues: bool,
}

struct MySql {
    phase: Phase,
    client: Lane,
    server: Lane,
    calls: Calls<Asked>,
    reading: Reading,
    /// Sequence number of the answer's next packet, where that is known.
    seq: Option<u8>,
    rows: i64,
    /// Whether columns and rows end without `EOF`; learnt from the login or from the first answer that tells.
    deprecates_eof: Option<bool>,
    /// An `EOF` with this number may follow the answer that is over.
    trailing: Option<u8>,
    statements: Statements<u32>,
    latest: Option<u32>,
    query: Statement,
    /// Capabilities that the server's greeting offered; all of them where that was not seen.
    offered: u32,
    /// Capabilities that both ends have.
    capabilities: u32,
    database: String,
    system: &'static str,
    rules: Rules,
    stop: Option<Stop>,
    confirmed: bool,
    /// Whether packets are compressed from the end of the login on.
    is_compressed: bool,
}

/// A connection, whose packets may be in compressed ones.
struct Connection {
    plain: MySql,
    compressed: Option<Box<Compressed>>,
}

impl MySql {
    fn new(midway: bool) -> Self {
        Self {
            phase: if midway { Phase::Commands } else { Phase::Greeting },
            client: Lane::default(),
            server: Lane::default(),
            calls: Calls::new(midway),
            reading: Reading::First,
            seq: None,
            rows: 0,
            deprecates_eof: None,
            trailing: None,
            statements: Statements::new(),
            latest: None,
            query: Statement::default(),
            offered: u32::MAX,
            capabilities: 0,
            database: String::new(),
            system: "mysql",
            rules: Rules { dialect: Dialect::MySql, backslash: Backslash::Unknown },
            stop: None,
            confirmed: false,
            is_compressed: false,
        }
    }

    fn lane(&mut self, end: End) -> &mut Lane {
        match end {
            End::Client => &mut self.client,
            End::Server => &mut self.server,
        }
    }

    /// Takes a packet, some bytes of which may not have come yet.
    fn take(&mut self, from: End, head: Head, input: &Input<'_>) -> Step {
        self.lane(from).continues = head.len == FULL;
        if head.total() <= input.bytes().len() { Step::Take(head.total()) } else { Step::Skip(head.total() as u64) }
    }
}

fn patience(asked: &Asked) -> Patience {
    if asked.reply == Reply::Stream { Patience::Endless } else { Patience::Usual }
}

impl Parser for MySql {
    fn parse(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if let Some(stop) = self.stop {
            return Step::Stop(stop);
        }
        let lane = self.lane(from);
        if lane.drain > 0 {
            return Step::Skip(std::mem::take(&mut lane.drain));
        }
        match (from, self.calls.is_lost(from)) {
            (End::Client, true) => self.find_command(input, cx),
            (End::Client, false) => self.client_packet(input, cx),
            (End::Server, true) => self.find_answer(input, cx),
            (End::Server, false) => self.server_packet(input, cx),
        }
    }

    fn skipped(&mut self, from: End, mark: &Mark, _: &mut Cx<'_>) {
        if from == End::Client && !self.calls.is_lost(End::Client) && self.calls.front().is_some_and(|call| !call.begun) {
            self.calls.sent(mark.time);
        }
    }

    fn lost(&mut self, from: End, before: &Input<'_>, bytes: u64, mark: &Mark, cx: &mut Cx<'_>) {
        if self.stop.is_some() {
            return;
        }
        let is_lost = self.calls.is_lost(from);
        let inside = std::mem::take(&mut self.lane(from).drain);
        let left = match (is_lost, inside) {
            (true, _) => None,
            (false, 0) if from == End::Client => self.cut_by_client(before, bytes, cx),
            (false, 0) => self.cut_by_server(before, bytes),
            (false, inside) => inside.checked_sub(bytes),
        };
        if let Some(left) = left {
            self.lane(from).drain = left;
            return;
        }
        self.phase = Phase::Commands;
        let within = is_within(before, bytes, mark);
        match from {
            End::Client if is_lost => self.calls.stay_lost(mark.ack, within),
            End::Client => self.lose_client(mark.ack, within),
            End::Server => self.lose_server(end_of_hole(before, bytes, mark), mark.time, cx),
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

impl Parser for Connection {
    fn parse(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let Self { plain, compressed } = self;
        if let Some(compressed) = compressed {
            return compressed.parse(from, input, plain, cx);
        }
        let step = plain.parse(from, input, cx);
        if plain.is_compressed {
            *compressed = Some(Box::default());
            cx.want(compressed::CAPTURE);
        }
        step
    }

    fn skipped(&mut self, from: End, mark: &Mark, cx: &mut Cx<'_>) {
        if self.compressed.is_none() {
            self.plain.skipped(from, mark, cx);
        }
    }

    fn lost(&mut self, from: End, before: &Input<'_>, bytes: u64, mark: &Mark, cx: &mut Cx<'_>) {
        match &mut self.compressed {
            Some(compressed) => compressed.lost(from, before, bytes, mark, &mut self.plain, cx),
            None => self.plain.lost(from, before, bytes, mark, cx),
        }
    }

    fn fin(&mut self, from: End, at: Mono, cx: &mut Cx<'_>) {
        self.plain.fin(from, at, cx);
    }

    fn closed(&mut self, how: Close, at: Mono, cx: &mut Cx<'_>) {
        self.plain.closed(how, at, cx);
    }

    fn expire(&mut self, before: Mono, cx: &mut Cx<'_>) {
        self.plain.expire(before, cx);
    }
}
