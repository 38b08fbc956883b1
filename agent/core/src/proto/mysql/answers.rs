//! What a MySQL server answers, packet by packet.

use super::packet::{FULL, HEAD, Head, Reader};
use super::{ANSWER, KEEP, Lane, MySql, Phase, Reading, Reply, packet};
use crate::flow::Loss;
use crate::model::Mono;
use crate::model::semconv as s;
use crate::proto::sql::Backslash;
use crate::proto::text::Decimal;
use crate::proto::{Cx, End, Input, Step, sql};

impl MySql {
    pub(super) fn server_packet(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
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
    pub(super) fn heed(&mut self, status: Option<u16>) -> u16 {
        if let Some(status) = status {
            let is_plain = status & packet::NO_BACKSLASH_ESCAPES != 0;
            self.rules.backslash = if is_plain { Backslash::Plain } else { Backslash::Escape };
        }
        status.unwrap_or(0)
    }

    pub(super) fn answer(&mut self, reply: Reply, head: Head, payload: &[u8], at: Mono, cx: &mut Cx<'_>) -> bool {
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
    pub(super) fn first(&mut self, head: Head, payload: &[u8], at: Mono, cx: &mut Cx<'_>) -> bool {
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
    pub(super) fn columns(&self, payload: &[u8]) -> Option<(u64, bool)> {
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

    pub(super) fn finish(&mut self, at: Mono, cx: &mut Cx<'_>) {
        self.confirmed = true;
        self.reset_answer();
        self.calls.finish(at, cx);
    }

    pub(super) fn reset_answer(&mut self) {
        self.reading = Reading::First;
        self.seq = None;
        self.rows = 0;
        self.trailing = None;
        self.server = Lane::default();
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
