//! MySQL and MariaDB: text and binary protocol, prepared statements, results of any number and size.
//!
//! What ends columns and rows is told by its length (`EOF` has 5 bytes, the `OK` that deprecates it at least 7), so a
//! connection whose login was not seen is read as well. A connection that turns to TLS or compression is left alone.
//! Texts of prepared statements are kept by the number that the server gives them.

mod packet;
#[cfg(test)]
mod tests;

use super::ordered::{Calls, Found, Patience, end_of_hole, is_within};
use super::sql::{self, Backslash, Dialect, Rules, Statement, Statements};
use super::text::Decimal;
use super::{Cx, Descriptor, End, Evidence, Input, Mark, Parser, Sample, Step, Stop};
use crate::flow::{Amount, Capture, Loss};
use crate::model::semconv as s;
use crate::model::{Close, Exchange, Family, Mono, TraceContext, Transport};
use packet::{Certainty, FULL, HEAD, Head, Reader};

/// MySQL, MariaDB, and what speaks their protocol.
pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: "mysql",
    family: Family::Db,
    transport: Transport::Tcp,
    ports: &[3306, 4000, 6033],
    capture: Capture { client: Amount::Burst(16 * 1024), server: Amount::Burst(4 * 1024) },
    detect,
    parser: |midway| Box::new(MySql::new(midway)),
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

    // ---- login

    fn greeting(&mut self, payload: &[u8]) {
        if let Some(greeting) = packet::greeting(payload) {
            self.confirmed = true;
            self.phase = Phase::Login;
            self.offered = greeting.capabilities;
            if memchr::memmem::find(greeting.version, b"MariaDB").is_some() {
                self.system = "mariadb";
            }
        } else {
            // `ERR`: the server refuses the connection.
            self.phase = Phase::Auth;
        }
    }

    fn login(&mut self, payload: &[u8], len: usize) {
        self.phase = Phase::Auth;
        let Some(login) = packet::login(payload) else { return };
        self.confirmed = true;
        // What a client asks for and its server does not offer is not used.
        self.capabilities = login.capabilities & self.offered;
        self.deprecates_eof = Some(self.capabilities & packet::DEPRECATE_EOF != 0);
        if login.capabilities & packet::SSL != 0 && len == 32 {
            self.stop = Some(Stop::Opaque);
        }
        self.set_database(login.database);
    }

    fn set_database(&mut self, name: Option<&[u8]>) {
        self.database.clear();
        if let Some(name) = name {
            self.database.push_str(&String::from_utf8_lossy(&name[..name.len().min(NAME_LIMIT)]));
        }
    }

    /// An answer of the server before the first command.
    fn auth(&mut self, payload: &[u8]) {
        if payload.first() == Some(&0) {
            self.phase = Phase::Commands;
            self.heed(packet::ok(payload).map(|(_, status)| status));
            if self.capabilities & (packet::COMPRESS | packet::ZSTD) != 0 {
                self.stop = Some(Stop::Opaque);
            }
        }
    }

    // ---- commands

    fn client_packet(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let Some(head) = packet::head(bytes) else { return Step::More };
        let is_whole = bytes.len() >= head.total();
        if !is_whole && bytes.len() < KEEP && !self.client.continues {
            return Step::More;
        }
        if !self.client.continues && self.phase == Phase::Commands && head.seq == 0 && head.len == 0 {
            return self.malformed(End::Client, input, cx);
        }
        self.client_body(head, input, cx);
        self.take(End::Client, head, input)
    }

    /// A packet whose head and payload, as far as captured, stand at the start of `input`.
    fn client_body(&mut self, head: Head, input: &Input<'_>, cx: &mut Cx<'_>) {
        // The same is read of a long packet in whatever pieces it comes.
        let available = input.bytes().len().min(head.total());
        let available = if head.total() > KEEP { available.min(KEEP) } else { available };
        let payload = &input.bytes()[HEAD..available];
        let at = input.time(available - 1);
        let is_command = head.seq == 0 && !self.client.continues;
        match self.phase {
            Phase::Greeting | Phase::Login if !is_command => self.login(payload, head.len),
            Phase::Auth if !is_command => {}
            _ if is_command => {
                self.phase = Phase::Commands;
                self.command(head, payload, input, at, cx);
            }
            _ => {
                self.calls.sent(at);
                self.seq = Some(head.seq.wrapping_add(1));
            }
        }
    }

    fn command(&mut self, head: Head, payload: &[u8], input: &Input<'_>, at: Mono, cx: &mut Cx<'_>) {
        let Some((&command, body)) = payload.split_first() else { return };
        let is_whole = payload.len() == head.len;
        match command {
            0x03 => self.query(body, is_whole, head, input, at, cx),
            0x16 => self.prepare(body, is_whole, head, input, at, cx),
            0x17 | 0xfa => self.execute(body, head, input, at, cx),
            0x1c => self.fetch(body, head, input, at, cx),
            0x19 => {
                if let Some(id) = Reader(body).u32() {
                    self.statements.remove(&id);
                }
            }
            // Quit, long data: no answer.
            0x01 | 0x18 => {}
            0x02 => self.plain("USE", Reply::One, Some(body), head, input, at, cx),
            0x11 => self.plain("CHANGE USER", Reply::Auth, packet::change_user(body).or(Some(b"")), head, input, at, cx),
            0x04 => self.plain("FIELD LIST", Reply::Fields, None, head, input, at, cx),
            0x0a => self.plain("PROCESS INFO", Reply::Results, None, head, input, at, cx),
            0x12 | 0x1e => self.plain("BINLOG DUMP", Reply::Stream, None, head, input, at, cx),
            _ => self.plain(plain_name(command), Reply::One, None, head, input, at, cx),
        }
    }

    fn begin(&mut self, head: Head, input: &Input<'_>, at: Mono, cx: &mut Cx<'_>) -> Option<Box<Exchange>> {
        let mut exchange = self.calls.begin(input, head.total(), cx)?;
        sql::system(&mut exchange, self.system, &self.database);
        exchange.request.last = at;
        Some(exchange)
    }

    fn push(&mut self, exchange: Option<Box<Exchange>>, asked: Asked, cx: &mut Cx<'_>) {
        self.calls.push(exchange, asked, cx);
    }

    fn query(&mut self, body: &[u8], is_whole: bool, head: Head, input: &Input<'_>, at: Mono, cx: &mut Cx<'_>) {
        let mut exchange = self.begin(head, input, at, cx);
        let (text, traceparent) = packet::query(body, self.capabilities & packet::QUERY_ATTRIBUTES != 0);
        self.query.fill(text, is_whole, self.rules, cx.options, &mut cx.shared.sql);
        if let Some(exchange) = &mut exchange {
            self.query.apply(exchange, cx);
            self.query.apply_context(exchange);
            exchange.context = traceparent.and_then(TraceContext::parse).or(exchange.context);
        }
        let asked = Asked { reply: Reply::Results, statement: None, database: used_database(text) };
        self.push(exchange, asked, cx);
    }

    fn prepare(&mut self, body: &[u8], is_whole: bool, head: Head, input: &Input<'_>, at: Mono, cx: &mut Cx<'_>) {
        let mut exchange = self.begin(head, input, at, cx);
        let mut statement = Box::<Statement>::default();
        statement.fill(body, is_whole, self.rules, cx.options, &mut cx.shared.sql);
        if let Some(exchange) = &mut exchange {
            statement.apply_prepare(exchange, cx);
            statement.apply_context(exchange);
        }
        self.push(exchange, Asked { reply: Reply::Prepared, statement: Some(statement), database: None }, cx);
    }

    fn execute(&mut self, body: &[u8], head: Head, input: &Input<'_>, at: Mono, cx: &mut Cx<'_>) {
        let mut exchange = self.begin(head, input, at, cx);
        if let Some(exchange) = &mut exchange {
            let id = Reader(body).u32();
            let preparing = self.calls.back().and_then(|call| call.what.statement.as_deref()).filter(|_| id == Some(LATEST));
            let id = if id == Some(LATEST) { self.latest } else { id };
            match preparing.or_else(|| self.statements.get(&id?)) {
                Some(statement) => statement.apply(exchange, cx),
                None => exchange.attrs.set_static(s::DB_OPERATION_NAME, "EXECUTE"),
            }
        }
        self.push(exchange, Asked { reply: Reply::Results, statement: None, database: None }, cx);
    }

    fn fetch(&mut self, body: &[u8], head: Head, input: &Input<'_>, at: Mono, cx: &mut Cx<'_>) {
        let mut exchange = self.begin(head, input, at, cx);
        if let Some(exchange) = &mut exchange {
            match Reader(body).u32().and_then(|id| self.statements.get(&id)) {
                Some(statement) => statement.apply(exchange, cx),
                None => exchange.attrs.set_static(s::DB_OPERATION_NAME, "FETCH"),
            }
        }
        self.push(exchange, Asked { reply: Reply::Rows, statement: None, database: None }, cx);
    }

    /// A command that is no statement.
    #[expect(clippy::too_many_arguments, reason = "what a packet is and where it stands")]
    fn plain(
        &mut self,
        name: &'static str,
        reply: Reply,
        database: Option<&[u8]>,
        head: Head,
        input: &Input<'_>,
        at: Mono,
        cx: &mut Cx<'_>,
    ) {
        let mut exchange = self.begin(head, input, at, cx);
        if let Some(exchange) = &mut exchange {
            exchange.attrs.set_static(s::DB_OPERATION_NAME, name);
        }
        let database = database.map(|name| String::from_utf8_lossy(&name[..name.len().min(NAME_LIMIT)]).into_owned());
        self.push(exchange, Asked { reply, statement: None, database }, cx);
    }

    // ---- answers

    fn server_packet(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let Some(head) = packet::head(bytes) else { return Step::More };
        let needed = if self.phase == Phase::Greeting { head.len.min(KEEP) } else { head.len.min(ANSWER) };
        if bytes.len() < HEAD + needed && !self.server.continues {
            return Step::More;
        }
        if self.server.continues {
            self.seq = Some(head.seq.wrapping_add(1));
        } else if !self.server_body(head, input, cx) {
            return self.malformed(End::Server, input, cx);
        }
        self.take(End::Server, head, input)
    }

    /// A packet whose head and payload, as far as captured, stand at the start of `input`; `false` if it breaks the protocol.
    fn server_body(&mut self, head: Head, input: &Input<'_>, cx: &mut Cx<'_>) -> bool {
        let available = input.bytes().len().min(head.total());
        let payload = &input.bytes()[HEAD..available];
        match self.phase {
            Phase::Greeting => {
                self.greeting(payload);
                return self.confirmed || payload.first() == Some(&0xff);
            }
            Phase::Login | Phase::Auth => {
                self.auth(payload);
                return true;
            }
            Phase::Commands => {}
        }
        if let Some(seq) = self.trailing.take()
            && is_eof(head, payload)
            && head.seq == seq
        {
            return true;
        }
        let Some(call) = self.calls.front() else {
            cx.count(Loss::Orphan, 1);
            return true;
        };
        let reply = call.what.reply;
        if reply == Reply::Stream || reply == Reply::Auth {
            self.calls.respond(input, cx);
            if reply == Reply::Auth && matches!(payload.first(), Some(0 | 0xff)) {
                self.single(payload, input.time(available - 1), cx);
            }
            return true;
        }
        // The first packet's number follows the last one of the command, of which there may be several.
        if self.seq.is_some_and(|seq| seq != head.seq) || head.seq == 0 && self.seq.is_none() {
            return false;
        }
        self.calls.respond(input, cx);
        self.seq = Some(head.seq.wrapping_add(1));
        self.answer(reply, head, payload, input.time(available - 1), cx)
    }

    /// The server tells its status with each result.
    fn heed(&mut self, status: Option<u16>) -> u16 {
        if let Some(status) = status {
            let is_plain = status & packet::NO_BACKSLASH_ESCAPES != 0;
            self.rules.backslash = if is_plain { Backslash::Plain } else { Backslash::Escape };
        }
        status.unwrap_or(0)
    }

    fn answer(&mut self, reply: Reply, head: Head, payload: &[u8], at: Mono, cx: &mut Cx<'_>) -> bool {
        let Some(&first) = payload.first() else { return head.len > 0 || self.reading == Reading::Rows };
        if first == 0xff && !matches!(self.reading, Reading::Columns(_)) {
            self.fail(payload);
            self.finish(at, cx);
            return true;
        }
        match (self.reading, reply) {
            (Reading::First, Reply::One) => self.single(payload, at, cx),
            (Reading::First, Reply::Prepared) => return self.prepared(head, payload, at, cx),
            (Reading::First, Reply::Rows) | (Reading::Rows, _) => self.row(head, payload, at, cx),
            (Reading::First, Reply::Fields) => {
                if is_end(head, payload) {
                    self.finish(at, cx);
                }
            }
            (Reading::First | Reading::File, _) => return self.first(head, payload, at, cx),
            (Reading::Columns(left), _) => self.reading = if left > 1 { Reading::Columns(left - 1) } else { Reading::AfterColumns },
            (Reading::AfterColumns, _) => self.after_columns(head, payload, at, cx),
            (Reading::Definitions(params, columns), _) => self.definition(params, columns, head, payload, at, cx),
        }
        true
    }

    /// An answer of one packet.
    fn single(&mut self, payload: &[u8], at: Mono, cx: &mut Cx<'_>) {
        if payload.first() == Some(&0xff) {
            self.fail(payload);
        } else if let Some(call) = self.calls.front() {
            let is_reset = call.what.reply == Reply::Auth;
            let database = call.what.database.take();
            if let Some(name) = database {
                self.database = name;
            }
            if is_reset {
                self.statements.clear();
            }
        }
        self.finish(at, cx);
    }

    /// The first packet of a result.
    fn first(&mut self, head: Head, payload: &[u8], at: Mono, cx: &mut Cx<'_>) -> bool {
        match payload[0] {
            0 => {
                let Some((affected, status)) = packet::ok(payload) else { return false };
                self.heed(Some(status));
                if let Some(call) = self.calls.front() {
                    if affected > 0
                        && let Some(exchange) = &mut call.exchange
                    {
                        let before = exchange.attrs.int(s::REMORA_DB_AFFECTED_ROWS).unwrap_or(0);
                        let affected = i64::try_from(affected).unwrap_or(i64::MAX);
                        exchange.attrs.set_int(s::REMORA_DB_AFFECTED_ROWS, before.saturating_add(affected));
                    }
                    if let Some(name) = call.what.database.take() {
                        self.database = name;
                    }
                }
                self.result_done(status, at, cx);
            }
            0xfe if is_end(head, payload) => {
                let status = self.heed(packet::end_status(payload, head.len));
                self.result_done(status, at, cx);
            }
            0xfb => {
                self.reading = Reading::File;
                self.seq = None;
            }
            _ => {
                let Some((columns, has_metadata)) = self.columns(payload) else { return false };
                self.reading = if has_metadata { Reading::Columns(columns) } else { Reading::AfterColumns };
            }
        }
        true
    }

    /// Number of columns, and whether they are described: both servers can be asked to say so, each in its own order.
    fn columns(&self, payload: &[u8]) -> Option<(u64, bool)> {
        if self.capabilities & packet::OPTIONAL_METADATA != 0 && self.system == "mysql" {
            let columns = Reader(payload.get(1..)?).lenenc()?;
            return Some((columns, payload[0] != 0)).filter(|(columns, _)| *columns > 0);
        }
        let mut reader = Reader(payload);
        let columns = reader.lenenc()?;
        let has_metadata = reader.u8().is_none_or(|follows| follows != 0);
        (columns > 0 && columns <= 4096 && reader.0.is_empty()).then_some((columns, has_metadata))
    }

    /// What follows the columns: an `EOF`, a row, or the end of a result without rows.
    fn after_columns(&mut self, head: Head, payload: &[u8], at: Mono, cx: &mut Cx<'_>) {
        self.reading = Reading::Rows;
        if is_eof(head, payload) {
            self.deprecates_eof = Some(false);
            let status = self.heed(packet::end_status(payload, head.len));
            if status & packet::CURSOR != 0 {
                self.result_done(status, at, cx);
            }
            return;
        }
        self.deprecates_eof = Some(true);
        self.row(head, payload, at, cx);
    }

    fn row(&mut self, head: Head, payload: &[u8], at: Mono, cx: &mut Cx<'_>) {
        self.reading = Reading::Rows;
        if is_end(head, payload) {
            let status = self.heed(packet::end_status(payload, head.len));
            return self.result_done(status, at, cx);
        }
        self.rows += 1;
    }

    fn result_done(&mut self, status: u16, at: Mono, cx: &mut Cx<'_>) {
        if self.reading == Reading::Rows
            && let Some(Some(exchange)) = self.calls.front().map(|call| &mut call.exchange)
        {
            exchange.attrs.set_int(s::DB_RESPONSE_RETURNED_ROWS, self.rows);
        }
        if status & packet::MORE_RESULTS != 0 {
            self.reading = Reading::First;
        } else {
            self.finish(at, cx);
        }
    }

    fn prepared(&mut self, head: Head, payload: &[u8], at: Mono, cx: &mut Cx<'_>) -> bool {
        let mut reader = Reader(payload);
        let (Some(0), Some(id), Some(columns), Some(params)) = (reader.u8(), reader.u32(), reader.u16(), reader.u16()) else {
            return false;
        };
        if let Some(statement) = self.calls.front().and_then(|call| call.what.statement.take()) {
            self.statements.insert(id, statement);
            self.latest = Some(id);
        }
        let has_metadata = head.len < 13 || payload.get(12) != Some(&0);
        if has_metadata && (params > 0 || columns > 0) {
            self.reading = Reading::Definitions(u32::from(params), u32::from(columns));
        } else {
            self.finish(at, cx);
        }
        true
    }

    /// A parameter or column of a prepared statement, or the `EOF` behind them.
    fn definition(&mut self, params: u32, columns: u32, head: Head, payload: &[u8], at: Mono, cx: &mut Cx<'_>) {
        if is_eof(head, payload) {
            self.deprecates_eof = Some(false);
            if params == 0 && columns == 0 {
                self.finish(at, cx);
            }
            return;
        }
        let (params, columns) = if params > 0 { (params - 1, columns) } else { (0, columns.saturating_sub(1)) };
        self.reading = Reading::Definitions(params, columns);
        if params == 0 && columns == 0 && self.deprecates_eof != Some(false) {
            let seq = self.seq.filter(|_| self.deprecates_eof.is_none());
            self.finish(at, cx);
            self.trailing = seq;
        }
    }

    fn fail(&mut self, payload: &[u8]) {
        let Some(Some(exchange)) = self.calls.front().map(|call| &mut call.exchange) else { return };
        match packet::error(payload) {
            Some(code) => sql::fail(exchange, Decimal::of(code).as_str()),
            None => exchange.error = Some(s::ERROR_OTHER.to_owned()),
        }
    }

    fn finish(&mut self, at: Mono, cx: &mut Cx<'_>) {
        self.confirmed = true;
        self.reset_answer();
        self.calls.finish(at, cx);
    }

    fn reset_answer(&mut self) {
        self.reading = Reading::First;
        self.seq = None;
        self.rows = 0;
        self.trailing = None;
        self.server = Lane::default();
    }

    // ---- losses

    fn malformed(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        if !self.confirmed {
            return Step::Stop(Stop::NotMine);
        }
        cx.count(Loss::Malformed, 1);
        let len = input.bytes().len();
        match from {
            End::Client => self.lose_client(input.mark(0).ack, true),
            End::Server => self.lose_server(input.seq(len), input.time(len - 1), cx),
        }
        Step::Take(len)
    }

    fn lose_client(&mut self, ack: u32, is_within: bool) {
        self.client = Lane::default();
        self.rules.backslash = Backslash::Unknown;
        self.calls.lose_client(ack, is_within);
    }

    fn lose_server(&mut self, end: u32, at: Mono, cx: &mut Cx<'_>) {
        self.reset_answer();
        self.calls.lose_server(end, at, cx);
    }

    /// Looks for a command: whole and valid, at the start of a segment, after the server has said something.
    fn find_command(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let next = input.next_segment(0).unwrap_or(bytes.len());
        if !self.calls.may_resume(input) {
            return Step::Take(next);
        }
        let ack = input.mark(0).ack;
        let mut burst = 0;
        while burst < bytes.len() && input.mark(burst).ack == ack {
            burst = input.next_segment(burst).unwrap_or(bytes.len());
        }
        match packet::command(&bytes[..burst]) {
            Certainty::Certain => {
                self.calls.resume(cx);
                self.reset_answer();
                self.client_packet(input, cx)
            }
            Certainty::Maybe if burst == bytes.len() && packet::head(bytes).is_none_or(|head| head.total() > bytes.len()) => Step::More,
            Certainty::Maybe | Certainty::No => Step::Take(next),
        }
    }

    fn find_answer(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        match self.calls.find(input) {
            Found::Here => {
                self.reset_answer();
                self.server_packet(input, cx)
            }
            Found::Pass(len) => {
                let part = input.next_segment(0).unwrap_or(len).min(len);
                if input.ends_segment(part) {
                    self.find_end(&input.bytes()[..part], input.time(part - 1), cx);
                }
                Step::Take(part)
            }
        }
    }

    /// The end of rows at the end of a segment ends the only call whose answer has begun.
    fn find_end(&mut self, bytes: &[u8], at: Mono, cx: &mut Cx<'_>) {
        let is_eof = matches!(bytes, [.., 5, 0, 0, _, 0xfe, _, _, low, _] if *low & 0x08 == 0);
        let is_ok = matches!(bytes, [.., 7, 0, 0, _, 0xfe, 0, 0, low, _, _, _] if *low & 0x08 == 0);
        let is_only = self.calls.iter().count() == 1
            && self.calls.front().is_some_and(|call| call.exchange.as_ref().is_some_and(|e| e.completeness.response_lost));
        if is_only && (is_eof || is_ok) {
            self.calls.finish(at, cx);
        }
    }

    /// A packet of the client was cut. Returns what is left of it.
    fn cut_by_client(&mut self, before: &Input<'_>, bytes: u64, cx: &mut Cx<'_>) -> Option<u64> {
        let head = packet::head(before.bytes())?;
        let left = (head.total() as u64).checked_sub(before.bytes().len() as u64 + bytes)?;
        if before.bytes().len() > HEAD && !self.client.continues {
            // A command whose statement is not told may be any.
            if head.seq == 0 && matches!(before.bytes()[HEAD], 0x17 | 0xfa | 0x1c | 0x19) && before.bytes().len() < HEAD + 5 {
                return None;
            }
            self.client_body(head, before, cx);
        } else if head.seq == 0 {
            return None;
        }
        self.client.continues = head.len == FULL;
        Some(left)
    }

    fn cut_by_server(&mut self, before: &Input<'_>, bytes: u64) -> Option<u64> {
        // Only what is longer than what tells its kind can be skipped; that much has not come.
        let head = packet::head(before.bytes())?;
        let left = (head.total() as u64).checked_sub(before.bytes().len() as u64 + bytes)?;
        let is_plain = self.phase == Phase::Commands && matches!(self.reading, Reading::Columns(2..));
        if !is_plain || self.seq != Some(head.seq) {
            return None;
        }
        if let Reading::Columns(columns) = self.reading {
            self.reading = Reading::Columns(columns - 1);
        }
        self.seq = Some(head.seq.wrapping_add(1));
        Some(left)
    }
}

/// `EOF` of 5 bytes.
fn is_eof(head: Head, payload: &[u8]) -> bool {
    head.len == 5 && payload.first() == Some(&0xfe)
}

/// `EOF`, or the `OK` in its place; a row that begins with this byte holds more than 16 MB.
fn is_end(head: Head, payload: &[u8]) -> bool {
    head.len < FULL && payload.first() == Some(&0xfe)
}

fn plain_name(command: u8) -> &'static str {
    match command {
        0x05 => "CREATE DATABASE",
        0x06 => "DROP DATABASE",
        0x07 => "REFRESH",
        0x08 => "SHUTDOWN",
        0x09 => "STATISTICS",
        0x0c => "KILL",
        0x0d => "DEBUG",
        0x0e => "PING",
        0x15 => "REGISTER REPLICA",
        0x1a => "RESET STATEMENT",
        0x1b => "SET OPTION",
        0x1f => "RESET CONNECTION",
        _ => "COMMAND",
    }
}

/// Database that `USE name` names.
fn used_database(text: &[u8]) -> Option<String> {
    let text = text.trim_ascii();
    let (verb, name) = text.split_at_checked(4)?;
    if !verb[..3].eq_ignore_ascii_case(b"use") || !verb[3].is_ascii_whitespace() {
        return None;
    }
    let name = name.trim_ascii();
    let name = name.strip_suffix(b";").unwrap_or(name).trim_ascii();
    let name = name.strip_prefix(b"`").and_then(|name| name.strip_suffix(b"`")).unwrap_or(name);
    (name.len() <= NAME_LIMIT).then(|| String::from_utf8_lossy(name).into_owned())
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
