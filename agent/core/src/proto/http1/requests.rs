//! Heads of requests: each begins a call.

use super::body::{Asked, Framing};
use super::head::{Parsed, RequestLine, Section};
use super::{Answer, Call, Http1, Reading, Turns, body, head, web};
use crate::flow::Loss;
use crate::model::{Exchange, Mono};
use crate::proto::ordered::is_behind;
use crate::proto::{Cx, End, Input, Step, http};

impl Http1 {
    pub(super) fn request_head(&mut self, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        // Empty lines in front of a request line are ignored (RFC 9112 §2.2).
        let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        if empty > 0 {
            return self.client.take(input, empty);
        }
        let lane = &mut self.client;
        if lane.scanned > 0 && !head::has_empty_line(bytes, lane.scanned) {
            lane.scanned = bytes.len();
            return Step::More;
        }
        match head::request_line(bytes) {
            Parsed::Is((line, at)) => match cx.shared.http1.read(cx.conn.id, End::Client, &bytes[at..]) {
                Some(section) => self.request(&line, at, &section, input, cx),
                None => self.await_head(End::Client, bytes),
            },
            Parsed::More => self.await_head(End::Client, bytes),
            Parsed::Bad => self.malformed(End::Client, input, cx),
        }
    }

    /// The end of a head has not come.
    pub(super) fn await_head(&mut self, from: End, bytes: &[u8]) -> Step {
        self.lane(from).scanned = bytes.len();
        Step::More
    }

    /// A request whose header section stands at byte `at` of `input`.
    pub(super) fn request(&mut self, line: &RequestLine<'_>, at: usize, section: &Section<'_>, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        self.confirmed = true;
        self.client.scanned = 0;
        self.turn(input.mark(0).ack, cx);
        let (fields, len) = (&section.fields, at + section.bytes.len());
        let mut exchange = self.begin(line, section, input, cx);
        let framing = body::request_framing(fields);
        if let Some(exchange) = &mut exchange {
            exchange.request.last = input.time(len - 1);
            exchange.request.body_bytes = if let Framing::Length(n) = framing { Some(n) } else { None };
        }
        if fields.bad > 0 || framing == Framing::Unknown {
            cx.count(Loss::Malformed, 1);
        }
        self.push(exchange, Asked::by(line.method), input.mark(0).ack);
        self.fit_room(End::Client, len, framing, cx);
        self.body(End::Client, framing, input, len, cx)
    }

    /// A new exchange for a request line and what is known of its fields; `None` over the limit.
    pub(super) fn begin(
        &mut self,
        line: &RequestLine<'_>,
        section: &Section<'_>,
        input: &Input<'_>,
        cx: &mut Cx<'_>,
    ) -> Option<Box<Exchange>> {
        if self.queue.len() >= cx.options.in_flight_limit {
            cx.count(Loss::InFlight, 1);
            return None;
        }
        let mut exchange = cx.begin(input, 0);
        let RequestLine { text, method, target, version } = *line;
        let fields = &section.fields;
        let (authority, user_agent) = (section.value(fields.host), section.value(fields.user_agent));
        let request = http::Request { method, scheme: "http", authority, target, version, user_agent };
        if web::is_call(section) {
            http::rpc(&mut exchange, &request, Some(target), cx);
        } else if http::is_origin_form(target) {
            describe(&mut exchange, text, &request, cx);
        } else {
            http::request(&mut exchange, &request, cx);
        }
        if let Some(traceparent) = section.value(fields.traceparent) {
            let tracestate = fields.tracestate.into_iter().filter_map(|state| section.value(state));
            http::trace_context(&mut exchange, Some(traceparent), tracestate);
        }
        cx.request(&mut exchange);
        Some(exchange)
    }

    pub(super) fn push(&mut self, exchange: Option<Box<Exchange>>, asked: Asked, ack: u32) {
        self.client.attached = true;
        self.client.body = Some(0);
        self.queue.push_back(Call { exchange, asked, answer: Answer::Awaited, sent: false, ack });
    }

    /// A request begins whose segment acknowledges `ack`: what does that say about the one before it?
    pub(super) fn turn(&mut self, ack: u32, cx: &mut Cx<'_>) {
        if self.turns == Turns::Pipelined {
            return;
        }
        let Some(call) = self.queue.front() else { return };
        // Bytes of the server that its client has, and that were not seen here.
        let unseen = is_behind(ack, self.server.seq.unwrap_or(call.ack));
        match (call.answer, self.server.reading) {
            (Answer::Begun, Reading::Body) if !is_behind(self.server.end_seq, ack) => self.finish_response(None, cx),
            (Answer::Begun, Reading::Torn | Reading::Lost) | (Answer::Missed, _) => self.finish_unseen(cx),
            (Answer::Begun, Reading::Chunk | Reading::ChunkData | Reading::Trailers) if unseen => self.finish_unseen(cx),
            (Answer::Awaited, _) if unseen => {
                self.missed(None);
                self.finish_unseen(cx);
            }
            _ => self.turns = Turns::Pipelined,
        }
    }

    pub(super) fn request_done(&mut self, at: Mono) {
        let lane = &mut self.client;
        lane.reading = Reading::Head;
        if !std::mem::replace(&mut lane.attached, false) {
            return;
        }
        let body = lane.body;
        if let Some(call) = self.queue.back_mut() {
            call.sent = true;
            if let Some(exchange) = &mut call.exchange {
                exchange.request.last = exchange.request.last.max(at);
                exchange.request.body_bytes = body;
            }
        }
    }
}

/// Sets the attributes of a request with this line, whose target is a path.
fn describe(exchange: &mut Exchange, line: &[u8], request: &http::Request<'_>, cx: &mut Cx<'_>) {
    let conn = cx.conn.id;
    let mut said = cx.shared.http1.take_said(conn);
    if !said.is_of(conn, request) {
        http::request(exchange, request, cx);
        said.of(conn, request);
        if request.authority.is_none() || !http::ends(&mut said.ends, request, cx) {
            said.forget();
        }
    } else if let Some(all) = said.by(line) {
        exchange.attrs.clone_from(all);
    } else {
        exchange.attrs.clone_from(&said.ends);
        http::target(exchange, request, cx);
        if exchange.completeness.is_complete() {
            said.keep(line, &exchange.attrs);
        }
    }
    cx.shared.http1.keep_said(conn, said);
}
