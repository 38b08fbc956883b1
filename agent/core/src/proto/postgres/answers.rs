//! What a PostgreSQL server answers, call by call, up to `ReadyForQuery`.

use super::message::{HEAD, Read};
use super::{Call, ERROR_ABORTED, KEEP, Kind, Postgres, message};
use crate::flow::Loss;
use crate::model::semconv as s;
use crate::model::{Exchange, Mono};
use crate::proto::sql::Backslash;
use crate::proto::{Cx, End, Input, Step, sql};

impl Postgres {
    pub(super) fn server_messages(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        let mut at = 0;
        while at < bytes.len() && self.stop.is_none() {
            let rest = &bytes[at..];
            match message::server_head(rest) {
                Read::More => break,
                Read::Bad if at > 0 => break,
                Read::Bad => return self.malformed(End::Server, input, cx),
                Read::Is(head) => {
                    let available = rest.len().min(head.total());
                    let is_needed = matches!(head.kind, b'C' | b'E' | b'S' | b'Z');
                    if available < head.total() && is_needed && available < KEEP {
                        break;
                    }
                    self.server_message(head.kind, &rest[HEAD..available], input, at, cx);
                    at += head.total();
                }
            }
        }
        if at == 0 { Step::More } else { self.server.take(input, at) }
    }

    /// A message at byte `at`; of `body` there is what was captured.
    pub(super) fn server_message(&mut self, kind: u8, body: &[u8], input: &Input<'_>, at: usize, cx: &mut Cx<'_>) {
        let end = input.time((at + HEAD + body.len()).saturating_sub(1));
        match kind {
            b'S' => return self.parameter(body),
            b'N' | b'A' | b'K' | b'R' | b'v' => return,
            _ => {}
        }
        if let Some(Call { exchange: Some(exchange), kind: of, .. }) = self.calls.front_mut()
            && exchange.response.is_none()
            && *of != Kind::Sync
        {
            cx.respond(exchange, input, at);
        }
        match kind {
            b'D' => {
                if let Some(call) = self.calls.front_mut() {
                    call.rows += 1;
                }
            }
            b'1' => self.parse_complete(end, cx),
            b'C' => self.command_complete(body, end, cx),
            b's' => self.suspended(end, cx),
            b'I' if self.calls.front().is_some_and(|call| matches!(call.kind, Kind::Execute | Kind::Torn | Kind::TornParse)) => {
                self.complete(end, cx)
            }
            b'E' => self.error_response(body, end, cx),
            b'Z' => self.ready(end, cx),
            _ => {}
        }
    }

    /// `ParameterStatus`: the server tells how it is set, and each time that changes.
    pub(super) fn parameter(&mut self, body: &[u8]) {
        match message::text(body) {
            Some((b"crdb_version", _)) => self.system = "cockroachdb",
            Some((b"standard_conforming_strings", value)) => {
                self.rules.backslash = match value {
                    b"on\0" => Backslash::Plain,
                    b"off\0" => Backslash::Escape,
                    _ => Backslash::Unknown,
                };
            }
            _ => {}
        }
    }

    fn parse_complete(&mut self, end: Mono, cx: &mut Cx<'_>) {
        let Some(call) = self.calls.front_mut() else { return };
        match call.kind {
            Kind::Prepare => self.complete(end, cx),
            // Another Parse: what this one prepared was not run in between.
            Kind::TornParse if call.is_parsed => {
                call.exchange.iter_mut().for_each(|exchange| sql::prepares(exchange));
                call.kind = Kind::Prepare;
                self.complete(end, cx);
            }
            _ => call.is_parsed = true,
        }
    }

    /// `PortalSuspended`: as many rows as were asked for.
    fn suspended(&mut self, end: Mono, cx: &mut Cx<'_>) {
        let Some(call) = self.calls.front_mut().filter(|call| matches!(call.kind, Kind::Execute | Kind::Torn | Kind::TornParse)) else {
            return;
        };
        call.is_run = true;
        if let Some(exchange) = &mut call.exchange {
            exchange.attrs.set_int(s::DB_RESPONSE_RETURNED_ROWS, call.rows);
        }
        self.complete(end, cx);
    }

    fn command_complete(&mut self, body: &[u8], end: Mono, cx: &mut Cx<'_>) {
        self.confirmed = true;
        let Some(call) = self.calls.front_mut() else { return };
        if call.kind == Kind::Sync {
            // More statements were completed than were asked for as far as seen.
            return cx.count(Loss::Orphan, 1);
        }
        call.is_run = true;
        if let Some((operation, rows)) = message::tag(body)
            && let Some(exchange) = &mut call.exchange
        {
            if exchange.attrs.get(s::DB_OPERATION_NAME).is_none() {
                exchange.attrs.set_str(s::DB_OPERATION_NAME, operation);
            }
            let is_read = matches!(operation, "SELECT" | "FETCH" | "SHOW" | "EXPLAIN");
            match rows {
                Some(rows) if !is_read => {
                    let before = exchange.attrs.int(s::REMORA_DB_AFFECTED_ROWS).unwrap_or(0);
                    exchange.attrs.set_int(s::REMORA_DB_AFFECTED_ROWS, before.saturating_add(rows));
                }
                _ => {}
            }
            if call.rows > 0 || is_read {
                exchange.attrs.set_int(s::DB_RESPONSE_RETURNED_ROWS, call.rows);
            }
        }
        if matches!(call.kind, Kind::Execute | Kind::Torn | Kind::TornParse) {
            self.complete(end, cx);
        }
    }

    fn error_response(&mut self, body: &[u8], end: Mono, cx: &mut Cx<'_>) {
        let Some(call) = self.calls.front_mut() else { return };
        if let Some(exchange) = &mut call.exchange {
            match message::sqlstate(body) {
                Some(code) => sql::fail(exchange, code),
                None => {
                    exchange.error = Some(s::ERROR_OTHER.to_owned());
                    exchange.completeness.response_lost = true;
                }
            }
        }
        match call.kind {
            Kind::Query | Kind::Sync | Kind::Cancel => {}
            Kind::Prepare | Kind::Execute | Kind::Torn | Kind::TornParse => {
                self.complete(end, cx);
                self.is_group_failed = true;
            }
        }
    }

    /// `ReadyForQuery`: the group is over.
    fn ready(&mut self, end: Mono, cx: &mut Cx<'_>) {
        self.confirmed = true;
        if self.calls.is_empty() {
            cx.count(Loss::Orphan, 1);
        }
        while let Some(mut call) = self.calls.pop_front() {
            let is_last = call.kind.ends_group();
            if let Some(exchange) = &mut call.exchange
                && matches!(call.kind, Kind::Execute | Kind::Prepare)
            {
                if self.is_group_failed {
                    exchange.error = Some(ERROR_ABORTED.to_owned());
                } else {
                    exchange.completeness.response_lost = true;
                }
            }
            if call.kind == Kind::TornParse && call.is_parsed && !call.missed {
                call.exchange.iter_mut().for_each(|exchange| sql::prepares(exchange));
                call.kind = Kind::Prepare;
            }
            self.finish(call, Some(end), cx);
            if is_last {
                break;
            }
        }
        self.is_group_failed = false;
    }

    fn complete(&mut self, end: Mono, cx: &mut Cx<'_>) {
        if let Some(call) = self.calls.pop_front() {
            self.finish(call, Some(end), cx);
        }
    }

    /// Hands over a call's exchange. `end` is the time of its answer's last byte; `None` if that was not seen.
    pub(super) fn finish(&self, call: Call, end: Option<Mono>, cx: &mut Cx<'_>) {
        let Some(mut exchange) = call.exchange else { return };
        exchange.completeness.response_lost |= call.missed;
        if call.kind == Kind::TornParse && (call.missed || !call.is_run) {
            forget_operation(&mut exchange);
        }
        if let Some(response) = &mut exchange.response {
            response.last = response.first.max(end.unwrap_or(self.server.last));
            exchange.completeness.end_inferred = end.is_none() && call.missed;
        }
        cx.finish(exchange);
    }
}

/// Whether a statement was run or only prepared is not known.
pub(super) fn forget_operation(exchange: &mut Exchange) {
    exchange.attrs.remove(s::DB_QUERY_SUMMARY);
    exchange.attrs.remove(s::DB_OPERATION_NAME);
}
