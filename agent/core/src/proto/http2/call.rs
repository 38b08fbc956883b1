//! One stream's request and its answer, from the first HEADERS to whatever ends it.

use super::head::Head;
use super::hpack::Name;
use crate::flow::Carrier;
use crate::model::semconv as s;
use crate::model::{CallKey, Exchange, Family, Message, Mono, Role};
use crate::proto::event_stream::EventStream;
use crate::proto::grpc::{self, Code, Format, WebBody};
use crate::proto::{Cx, End, Input, Mark, http};
use std::time::Duration;

/// Where a head began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) mark: Mark,
    pub(super) key: CallKey,
}

impl Start {
    /// A frame of `len` bytes at the start of `input`.
    pub(super) fn of(input: &Input<'_>, len: usize) -> Self {
        let bytes = input.bytes();
        // Bytes behind the frame may or may not have come: they are no part of the key.
        let key = CallKey::new(input.seq(0), input.mark(0).ack, &bytes[..bytes.len().min(len)]);
        Self { mark: input.mark(0), key }
    }
}

/// What ended a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Over {
    /// END_STREAM of the server, at this time; `None` if its last byte was not seen.
    Answered(Option<Mono>),
    /// RST_STREAM.
    Reset { by: End, error: u32, at: Mono },
    /// GOAWAY said that it was not looked at.
    Refused,
    /// The connection is over, which is this error.
    Closed(Option<&'static str>),
    /// It waited too long.
    Expired,
}

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Awaited,
    /// A head was seen, and its status was not known: it may be an interim one.
    Unclear,
    Begun,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) stream: u32,
    exchange: Box<Exchange>,
    format: Option<Format>,
    /// Whether it may be gRPC although that was not seen.
    may_be_grpc: bool,
    /// Whether the request's body begins with exactly one message of gRPC, as the first DATA shows.
    is_enveloped: bool,
    timeout: Option<Duration>,
    /// Whether it may have a deadline although none was seen.
    may_have_timeout: bool,
    answer: Answer,
    http_status: Option<u16>,
    code: Option<Code>,
    /// Whether the request ended, as far as known.
    sent: bool,
    /// Whether frames of the answer may have been lost.
    unsure: bool,
    /// Whether frames of the client may have been lost: it may have given the call up.
    may_be_given_up: bool,
    request_bytes: Option<u64>,
    response_bytes: Option<u64>,
    /// Reads the response's body, where that is of use.
    body: Body,
}

/// What reads the body of a response.
#[derive(Debug)]
enum Body {
    Nothing,
    /// The outcome of a gRPC-Web call is at its end.
    Web(Box<WebBody>),
    Events(EventStream),
}

impl Call {
    /// A call whose request's fields are `head`; announced.
    pub(super) fn open(stream: u32, head: &Head, start: &Start, last: Mono, cx: &mut Cx<'_>) -> Self {
        let mut exchange = cx.begin_unseen(start.mark.time);
        exchange.call = Some(start.key);
        exchange.sender = start.mark.task.filter(|_| cx.observes(End::Client));
        exchange.request.last = last;
        let format = head.get(Name::ContentType).and_then(Format::of);
        describe(&mut exchange, head, format, cx);
        http::trace_context(&mut exchange, head.get(Name::TraceParent), head.get(Name::TraceState).into_iter());
        exchange.completeness.request_lost =
            [Name::Method, Name::Path, Name::ContentType, Name::TraceParent].into_iter().any(|name| head.may_lack(name));
        cx.request(&mut exchange);
        Self {
            stream,
            exchange,
            format,
            may_be_grpc: head.may_lack(Name::ContentType),
            is_enveloped: false,
            timeout: head.get(Name::GrpcTimeout).and_then(grpc::timeout),
            may_have_timeout: head.may_lack(Name::GrpcTimeout),
            answer: Answer::Awaited,
            http_status: None,
            code: None,
            sent: false,
            unsure: false,
            may_be_given_up: false,
            request_bytes: Some(0),
            response_bytes: Some(0),
            body: Body::Nothing,
        }
    }

    /// The call of a request that HTTP/1 carried and that is answered here (`Upgrade: h2c`).
    pub(super) fn upgraded(stream: u32, mut exchange: Box<Exchange>) -> Self {
        exchange.response = None;
        exchange.error = None;
        exchange.attrs.remove(s::HTTP_RESPONSE_STATUS_CODE);
        let request_bytes = exchange.request.body_bytes;
        Self {
            stream,
            exchange,
            format: None,
            may_be_grpc: false,
            is_enveloped: false,
            timeout: None,
            may_have_timeout: false,
            answer: Answer::Awaited,
            http_status: None,
            code: None,
            sent: true,
            unsure: false,
            may_be_given_up: false,
            request_bytes,
            response_bytes: Some(0),
            body: Body::Nothing,
        }
    }

    /// `bytes` more bytes of a body, without padding.
    pub(super) fn data(&mut self, from: End, bytes: usize, at: Mono) {
        let sum = if from == End::Client { &mut self.request_bytes } else { &mut self.response_bytes };
        *sum = sum.map(|sum| sum.saturating_add(bytes as u64));
        self.touch(from, at);
    }

    /// Whether the bytes of the response's body are of use.
    pub(super) fn reads_body(&self) -> bool {
        !matches!(self.body, Body::Nothing)
    }

    /// The next bytes of the response's body.
    pub(super) fn read_body(&mut self, bytes: &[u8], cx: &mut Cx<'_>) {
        match &mut self.body {
            Body::Nothing => {}
            Body::Web(web) => web.feed(bytes),
            Body::Events(events) => events.feed(bytes, &mut |data| cx.message(End::Server, Carrier::EventStream, data)),
        }
    }

    /// Bytes of the response's body may have been lost.
    pub(super) fn body_lost(&mut self) {
        match &mut self.body {
            Body::Events(events) => events.lost(),
            body => *body = Body::Nothing,
        }
    }

    /// The size of a body is not known: DATA was seen whose padding was not.
    pub(super) fn lose_size(&mut self, from: End) {
        match from {
            End::Client => self.request_bytes = None,
            End::Server => self.response_bytes = None,
        }
    }

    /// Whether the first bytes of the request's body are of use.
    pub(super) fn wants_envelope(&self) -> bool {
        self.may_be_grpc && self.format.is_none() && self.request_bytes == Some(0)
    }

    /// The first DATA of the request begins with `prefix` and has `len` bytes.
    pub(super) fn envelope(&mut self, prefix: [u8; 5], len: usize) {
        let [compressed, length @ ..] = prefix;
        self.is_enveloped = compressed <= 1 && usize::try_from(u32::from_be_bytes(length)).is_ok_and(|length| length + prefix.len() == len);
    }

    /// `from` sent something for this stream at `at`.
    pub(super) fn touch(&mut self, from: End, at: Mono) {
        let exchange = &mut *self.exchange;
        match (from, &mut exchange.response) {
            (End::Client, _) => exchange.request.last = exchange.request.last.max(at),
            (End::Server, Some(response)) => response.last = response.last.max(at),
            (End::Server, None) => {}
        }
    }

    /// The request is over.
    pub(super) fn request_done(&mut self) {
        self.sent = true;
    }

    /// Frames of `from` were lost, which may have been this stream's.
    pub(super) fn lost(&mut self, from: End) {
        match from {
            End::Client => {
                if !self.sent {
                    (self.request_bytes, self.sent) = (None, true);
                }
                self.may_be_given_up = true;
            }
            End::Server => {
                (self.response_bytes, self.unsure) = (None, true);
                self.body_lost();
            }
        }
    }

    /// HEADERS of the server: an interim response, the response, or trailers.
    pub(super) fn answered(&mut self, head: &Head, is_last: bool, start: &Start, cx: &mut Cx<'_>) {
        let status = head.status();
        let is_trailers = self.answer == Answer::Begun || (is_last && self.answer == Answer::Unclear && status.is_none());
        if status.is_some_and(|status| status < 200) {
            return;
        }
        if !is_trailers {
            self.response(status, head, start, cx);
        }
        self.touch(End::Server, start.mark.time);
        self.code = head.get(Name::GrpcStatus).and_then(Code::parse).or(self.code);
        // A message of exactly the length that it says, and trailers: nothing else speaks like that.
        let is_grpc = self.code.is_some() || (is_trailers && is_last && self.is_enveloped);
        if self.may_be_grpc && self.format.is_none() && is_grpc {
            self.turn_into_rpc(Format::Grpc);
        }
        // The status may be one of the fields that are not known.
        self.unsure |= is_last && self.code.is_none() && head.may_lack(Name::GrpcStatus);
    }

    fn response(&mut self, status: Option<u16>, head: &Head, start: &Start, cx: &mut Cx<'_>) {
        let time = start.mark.time;
        self.exchange.response = Some(Message { first: time, last: time, body_bytes: None });
        self.exchange.responder = start.mark.task.filter(|_| cx.observes(End::Server));
        self.exchange.completeness.response_lost = status.is_none();
        self.answer = if status.is_some() { Answer::Begun } else { Answer::Unclear };
        self.http_status = status;
        let format = head.get(Name::ContentType).and_then(Format::of);
        if let (true, None, Some(format)) = (self.may_be_grpc, self.format, format) {
            self.turn_into_rpc(format);
        }
        match (self.format, status) {
            (Some(_), _) => self.body = format.and_then(WebBody::of).map_or(Body::Nothing, |web| Body::Web(Box::new(web))),
            (None, Some(status)) => {
                http::status(&mut self.exchange, status, cx);
                self.body = http::stream(&mut self.exchange, head.get(Name::ContentType), cx).map_or(Body::Nothing, Body::Events);
            }
            (None, None) => {}
        }
    }

    /// It is gRPC, as its answer shows: the request's own word for it was not seen.
    fn turn_into_rpc(&mut self, format: Format) {
        self.format = Some(format);
        let exchange = &mut *self.exchange;
        exchange.family = Family::Rpc;
        let attrs = &mut exchange.attrs;
        let path = attrs.str(s::URL_PATH).or_else(|| attrs.str(s::URL_FULL).and_then(path_of)).map(str::to_owned);
        for key in HTTP_ONLY {
            attrs.remove(*key);
        }
        attrs.set_str(s::RPC_SYSTEM_NAME, "grpc");
        if let Some(path) = path {
            attrs.set_str(s::RPC_METHOD, path.strip_prefix('/').unwrap_or(&path));
        }
        exchange.error = None;
    }

    /// Whether it has waited since before `before` for something that should have come by now.
    pub(super) fn is_stale(&self, before: Mono) -> bool {
        let last = self.exchange.response.map_or(self.exchange.request.last, |response| response.last.max(self.exchange.request.last));
        let waits = self.answer == Answer::Awaited && self.sent;
        (waits || self.unsure) && last < before
    }

    /// Finishes the call.
    pub(super) fn finish(mut self, over: Over, cx: &mut Cx<'_>) {
        let role = cx.role();
        match over {
            Over::Answered(at) => self.complete(at, role),
            Over::Reset { by, error, at } => self.reset(by, error, at, role),
            Over::Refused => self.fail(Code::UNAVAILABLE, ERRORS[7], role),
            Over::Closed(error) => self.interrupt(error),
            Over::Expired => self.interrupt(Some(s::ERROR_TIMEOUT)),
        }
        let Self { mut exchange, request_bytes, response_bytes, .. } = self;
        exchange.request.body_bytes = request_bytes;
        if let Some(response) = &mut exchange.response {
            response.body_bytes = response_bytes;
        }
        cx.finish(exchange);
    }

    fn complete(&mut self, at: Option<Mono>, role: Role) {
        if let Some(at) = at {
            self.touch(End::Server, at);
        }
        self.exchange.completeness.end_inferred |= at.is_none();
        self.exchange.completeness.response_lost |= self.http_status.is_none();
        let Some(format) = self.format else {
            self.exchange.completeness.response_lost |= self.may_be_grpc && self.unsure;
            return;
        };
        let code = self.code.or_else(|| match &self.body {
            Body::Web(web) => web.status(),
            Body::Nothing | Body::Events(_) => None,
        });
        match (code, self.http_status) {
            (Some(code), _) => self.set_code(code, role),
            (None, _) if self.unsure => self.exchange.completeness.response_lost = true,
            (None, Some(status)) if status != 200 => {
                self.exchange.attrs.set_int(s::HTTP_RESPONSE_STATUS_CODE, i64::from(status));
                self.set_code(Code::of_http(status), role);
            }
            // An answer without a status breaks gRPC.
            (None, _) if format == Format::Grpc => self.exchange.error = Some(s::ERROR_OTHER.to_owned()),
            (None, _) => self.exchange.completeness.response_lost = true,
        }
    }

    fn reset(&mut self, by: End, error: u32, at: Mono, role: Role) {
        self.touch(by, at);
        let name = ERRORS.get(error as usize).copied().unwrap_or(s::ERROR_OTHER);
        if self.unsure && (by == End::Client || error == 0) {
            // The answer may have ended before, unseen.
            self.exchange.completeness.response_lost = true;
            return;
        }
        match by {
            End::Client => {
                let code = Code::of_cancel(at.since(self.exchange.request.first), self.timeout);
                if self.may_have_timeout && self.format.is_some() {
                    return self.fail_vaguely(code, role);
                }
                let name = if matches!(error, 0 | 8) { s::ERROR_CANCELLED } else { name };
                self.fail(code, name, role);
            }
            End::Server => self.fail(Code::of_reset(error), name, role),
        }
    }

    fn interrupt(&mut self, error: Option<&'static str>) {
        match error {
            Some(error) if !self.unsure && !self.may_be_given_up => self.exchange.error = Some(error.to_owned()),
            _ => {
                self.exchange.completeness.response_lost |= self.unsure || self.answer != Answer::Begun;
                self.exchange.completeness.end_inferred |= self.answer != Answer::Awaited;
            }
        }
    }

    fn fail(&mut self, code: Code, error: &'static str, role: Role) {
        match self.format {
            Some(_) => self.set_code(code, role),
            None if !self.may_be_grpc => self.exchange.error = Some(error.to_owned()),
            None => self.fail_vaguely(code, role),
        }
    }

    /// What a failure is called, and whether it is one for a server, depends on what was not seen of the request.
    fn fail_vaguely(&mut self, code: Code, role: Role) {
        self.exchange.completeness.response_lost = true;
        self.exchange.error = code.is_error(role).then(|| s::ERROR_OTHER.to_owned());
    }

    fn set_code(&mut self, code: Code, role: Role) {
        code.set(&mut self.exchange, role);
    }
}

/// Names of error codes (RFC 9113 §7), which are `error.type` of what they end.
const ERRORS: [&str; 14] = [
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
];

/// Attributes that a call has only as long as it is not known to be an RPC.
const HTTP_ONLY: &[crate::model::Key] = &[
    s::HTTP_REQUEST_METHOD,
    s::HTTP_REQUEST_METHOD_ORIGINAL,
    s::HTTP_RESPONSE_STATUS_CODE,
    s::URL_FULL,
    s::URL_PATH,
    s::URL_QUERY,
    s::URL_SCHEME,
];

fn path_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.find('/').map(|at| &rest[at..])
}

/// Sets what the request's fields tell; what is not known of them is not set.
fn describe(exchange: &mut Exchange, head: &Head, format: Option<Format>, cx: &mut Cx<'_>) {
    let (method, path) = (head.get(Name::Method), head.get(Name::Path));
    let authority = head.get(Name::Authority).or(head.get(Name::Host));
    let is_connect = method == Some(b"CONNECT");
    let request = http::Request {
        // An extended CONNECT (RFC 8441) has a path, as a GET has.
        method: if is_connect && path.is_some() { b"GET" } else { method.unwrap_or(b"GET") },
        scheme: if head.get(Name::Scheme) == Some(b"https") { "https" } else { "http" },
        authority,
        target: if is_connect && path.is_none() { authority.unwrap_or_default() } else { path.unwrap_or(b"/") },
        version: "2",
        user_agent: head.get(Name::UserAgent),
    };
    if format.is_some() {
        return http::rpc(exchange, &request, path, cx);
    }
    http::request(exchange, &request, cx);
    if let (true, Some(protocol)) = (is_connect, head.get(Name::Protocol)) {
        exchange.attrs.set_str(s::HTTP_REQUEST_METHOD, "CONNECT");
        exchange.attrs.set_bytes(s::REMORA_HTTP_UPGRADE, &protocol[..protocol.len().min(64)]);
    }
    if method.is_none() {
        exchange.attrs.remove(s::HTTP_REQUEST_METHOD);
    }
    if path.is_none() && !is_connect {
        exchange.attrs.remove(s::URL_FULL);
        exchange.attrs.remove(s::URL_PATH);
        exchange.attrs.remove(s::URL_QUERY);
    }
    if head.may_lack(Name::Authority) && head.get(Name::Host).is_none() && exchange.attrs.str(s::URL_FULL).is_some() {
        // The host in the URL is not known, and is not the peer's address.
        exchange.attrs.remove(s::URL_FULL);
        exchange.attrs.set_bytes(s::URL_PATH, path_only(path.unwrap_or_default(), cx.options.text_limit));
    }
    if head.may_lack(Name::Scheme) {
        exchange.attrs.remove(s::URL_SCHEME);
    }
}

fn path_only(target: &[u8], limit: usize) -> &[u8] {
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    &path[..path.len().min(limit)]
}
