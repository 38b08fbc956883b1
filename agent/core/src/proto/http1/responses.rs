//! Heads of responses, and the ends of calls.

use super::body::Framing;
use super::head::{Parsed, Section, StatusLine};
use super::{Answer, Call, Http1, Reading, TO_HTTP2, body, head, room, web};
use crate::flow::Loss;
use crate::model::semconv as s;
use crate::model::{Family, Message, Mono};
use crate::proto::{Cx, End, Input, Mark, Step, Stop, http};

impl Http1 {
    pub(super) fn response_head(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
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
        let (code, fields, len) = (line.code, &section.fields, at + section.bytes.len());
        if code < 200 && code != 101 {
            return self.server.take(input, len);
        }
        let Some(call) = self.queue.front_mut() else { return self.server.take(input, len) };
        call.answer = Answer::Begun;
        let framing = body::response_framing(fields, code, call.asked);
        let is_looked_at = call.exchange.as_ref().is_some_and(|exchange| exchange.family == Family::Rpc);
        if let Some(exchange) = &mut call.exchange {
            cx.respond(exchange, input, 0);
            match exchange.family {
                Family::Rpc => web::head(exchange, code, section, cx.role()),
                _ => {
                    http::status(exchange, code, cx);
                    self.events = http::stream(exchange, section.value(fields.content_type), cx);
                }
            }
            if let (101, Some(protocol)) = (code, section.value(fields.upgrade)) {
                exchange.attrs.set_bytes(s::REMORA_HTTP_UPGRADE, &protocol[..protocol.len().min(64)]);
            }
        }
        if fields.bad > 0 || framing == Framing::Unknown {
            cx.count(Loss::Malformed, 1);
        }
        self.server.attached = true;
        self.server.body = Some(0);
        if framing == Framing::Tunnel {
            self.stop = Some(after_tunnel(code, section.value(fields.upgrade)));
        }
        self.fit_room(End::Server, len, if is_looked_at { Framing::Unknown } else { framing }, cx);
        if self.events.is_some() {
            cx.want(room::EVENTS);
        }
        self.body(End::Server, framing, input, len, cx)
    }

    /// The response of the first call is over. `None` if its end was not seen.
    pub(super) fn finish_response(&mut self, end: Option<Mono>, cx: &mut Cx<'_>) {
        let (body, last) = (self.server.body, self.server.last);
        self.server.attached = false;
        if self.events.take().is_some() {
            cx.want(self.room.events_over());
        }
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
    pub(super) fn finish_unseen(&mut self, cx: &mut Cx<'_>) {
        self.finish_response(None, cx);
        self.server.lose(Reading::Lost);
    }

    /// The head of the first call's response was lost, in the segment `mark` where that is known.
    pub(super) fn missed(&mut self, mark: Option<Mark>) {
        let Some(call) = self.queue.front_mut() else { return };
        call.answer = Answer::Missed;
        if let Some(exchange) = &mut call.exchange {
            exchange.completeness.response_lost = true;
            if let (Some(mark), None) = (mark, exchange.response) {
                exchange.response = Some(Message { first: mark.time, last: mark.time, body_bytes: None });
            }
        }
    }
}

/// What a connection speaks after a response that ends HTTP/1 on it.
fn after_tunnel(code: u16, upgrade: Option<&[u8]>) -> Stop {
    match upgrade.filter(|_| code == 101) {
        Some(protocol) if protocol.eq_ignore_ascii_case(b"websocket") => Stop::Switch("websocket"),
        Some(protocol) if protocol.eq_ignore_ascii_case(b"h2c") => TO_HTTP2,
        _ => Stop::Opaque,
    }
}
