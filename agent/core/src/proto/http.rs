//! What HTTP of any version says on an exchange: attributes by the semantic conventions 1.44 for each role, status and
//! error rules. The framing of messages belongs to the parsers of the versions.

use super::event_stream::EventStream;
use super::text::{write_display, write_ip};
use super::url::{Url, host_and_port, write_authority, write_query, write_text};
use super::{Cx, End};
use crate::flow::Loss;
use crate::model::semconv as s;
use crate::model::{Attrs, Close, Exchange, Family, Key, Role, TraceContext};

/// A request, as its head tells it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// Method token.
    pub(crate) method: &'a [u8],
    /// Scheme of the connection; a target with its own wins.
    pub(crate) scheme: &'static str,
    /// `Host` field or `:authority`.
    pub(crate) authority: Option<&'a [u8]>,
    /// Target in any of its four forms.
    pub(crate) target: &'a [u8],
    /// `network.protocol.version`.
    pub(crate) version: &'static str,
    /// `User-Agent`.
    pub(crate) user_agent: Option<&'a [u8]>,
}

/// Methods with a value of their own (RFC 9110, RFC 5789, QUERY); they are case-sensitive.
const METHODS: [&str; 10] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "QUERY"];

/// Whether `method` has a value of its own in `http.request.method`.
pub(crate) fn is_known_method(method: &[u8]) -> bool {
    METHODS.iter().any(|known| known.as_bytes() == method)
}

/// Sets the attributes of a request.
pub(crate) fn request(exchange: &mut Exchange, request: &Request<'_>, cx: &mut Cx<'_>) {
    let parts = Parts::of(request);
    if parts.ends(&mut exchange.attrs, cx) {
        cx.count(Loss::Text, 1);
    }
    parts.target(exchange, cx);
}

/// As [`request`], where `exchange` has the attributes of [`ends`] already.
pub(crate) fn target(exchange: &mut Exchange, request: &Request<'_>, cx: &mut Cx<'_>) {
    Parts::of(request).target(exchange, cx);
}

/// What a request says of the ends of its connection, if its header fields alone tell that: then it is the same for
/// all requests with these fields on the connection, whose target must have no authority ([`is_origin_form`]).
/// Returns whether that is so.
pub(crate) fn ends(attrs: &mut Attrs, request: &Request<'_>, cx: &Cx<'_>) -> bool {
    let parts = Parts::of(request);
    let is_cut = parts.ends(attrs, cx);
    is_origin_form(request.target) && parts.authority.is_some() && !is_cut
}

/// Whether a target is a path (RFC 9112 §3.2.1).
pub(crate) fn is_origin_form(target: &[u8]) -> bool {
    target.first() == Some(&b'/')
}

/// Makes it a call of gRPC and sets its attributes: its method, as `target` names it, and its server.
pub(crate) fn rpc(exchange: &mut Exchange, request: &Request<'_>, target: Option<&[u8]>, cx: &mut Cx<'_>) {
    exchange.family = Family::Rpc;
    exchange.attrs.set_str(s::RPC_SYSTEM_NAME, "grpc");
    if let Some(target) = target {
        let path = Url::parse(target).path;
        if set_clipped(&mut exchange.attrs, s::RPC_METHOD, path.strip_prefix(b"/").unwrap_or(path), cx) {
            cx.count(Loss::Text, 1);
        }
    }
    let authority = request.authority.filter(|authority| (1..=MAX_AUTHORITY).contains(&authority.len()));
    Parts { request, url: Url::default(), authority }.server_address(&mut exchange.attrs, cx);
    exchange.attrs.set_str(s::NETWORK_PROTOCOL_VERSION, request.version);
    if cx.observes(End::Server) {
        exchange.attrs.set_with(s::CLIENT_ADDRESS, |out| write_ip(out, cx.conn.remote.ip()));
        // Also tells what the agents of other nodes send to a collector on this one.
        if let Some(agent) = request.user_agent
            && set_clipped(&mut exchange.attrs, s::USER_AGENT_ORIGINAL, agent, cx)
        {
            cx.count(Loss::Text, 1);
        }
    }
}

struct Parts<'a> {
    request: &'a Request<'a>,
    url: Url<'a>,
    authority: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn of(request: &'a Request<'a>) -> Self {
        let url = match request.target {
            b"*" => Url::default(),
            target if request.method == b"CONNECT" => Url { authority: Some(target), ..Url::default() },
            target => Url::parse(target),
        };
        let authority = url.authority.or(request.authority).filter(|authority| (1..=MAX_AUTHORITY).contains(&authority.len()));
        Self { request, url, authority }
    }

    /// What the request line says.
    fn target(&self, exchange: &mut Exchange, cx: &mut Cx<'_>) {
        method(exchange, self.request.method);
        match cx.role() {
            Role::Client => self.client(exchange, cx),
            Role::Server => self.server(exchange, cx),
        }
        exchange.attrs.set_str(s::NETWORK_PROTOCOL_VERSION, self.request.version);
    }

    /// What is known of client and server. Returns whether a text was cut.
    fn ends(&self, attrs: &mut Attrs, cx: &Cx<'_>) -> bool {
        let mut is_cut = false;
        if cx.observes(End::Server) {
            attrs.set_with(s::URL_SCHEME, |out| self.write_scheme(out));
            attrs.set_with(s::CLIENT_ADDRESS, |out| write_ip(out, cx.conn.remote.ip()));
            if let Some(agent) = self.request.user_agent {
                is_cut = set_clipped(attrs, s::USER_AGENT_ORIGINAL, agent, cx);
            }
        }
        self.server_address(attrs, cx);
        is_cut
    }

    fn client(&self, exchange: &mut Exchange, cx: &mut Cx<'_>) {
        if self.request.method == b"CONNECT" {
            return;
        }
        let limit = cx.options.text_limit;
        let (path, query, cut) = self.within(limit);
        let conn = cx.conn;
        exchange.attrs.set_with(s::URL_FULL, |out| {
            self.write_scheme(out);
            out.push_str("://");
            match (self.authority, conn.server()) {
                (Some(authority), _) => write_authority(out, authority),
                (None, Some(address)) => write_display(out, address),
                (None, None) => {}
            }
            write_text(out, path);
            if let Some(query) = query {
                out.push('?');
                write_query(out, query);
            }
        });
        note_cut(exchange, cut, cx);
    }

    fn server(&self, exchange: &mut Exchange, cx: &mut Cx<'_>) {
        let (path, query, cut) = self.within(cx.options.text_limit);
        let path = if self.request.target == b"*" { b"*" } else { path };
        exchange.attrs.set_bytes(s::URL_PATH, path);
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            exchange.attrs.set_with(s::URL_QUERY, |out| write_query(out, query));
        }
        note_cut(exchange, cut, cx);
    }

    fn server_address(&self, attrs: &mut Attrs, cx: &Cx<'_>) {
        match (self.authority, cx.conn.server()) {
            (Some(authority), _) => {
                let (host, port) = host_and_port(authority);
                attrs.set_bytes(s::SERVER_ADDRESS, &host[..host.len().min(MAX_HOST)]);
                if let Some(port) = port.or(self.default_port()) {
                    attrs.set_int(s::SERVER_PORT, i64::from(port));
                }
            }
            (None, Some(address)) => {
                attrs.set_with(s::SERVER_ADDRESS, |out| write_ip(out, address.ip()));
                attrs.set_int(s::SERVER_PORT, i64::from(address.port()));
            }
            (None, None) => {}
        }
    }

    fn default_port(&self) -> Option<u16> {
        let scheme = self.url.scheme.unwrap_or(self.request.scheme.as_bytes());
        [(&b"http"[..], 80), (b"https", 443), (b"ws", 80), (b"wss", 443)]
            .into_iter()
            .find_map(|(name, port)| scheme.eq_ignore_ascii_case(name).then_some(port))
    }

    fn write_scheme(&self, out: &mut String) {
        match self.url.scheme {
            Some(scheme) => scheme.iter().for_each(|byte| out.push(char::from(byte.to_ascii_lowercase()))),
            None => out.push_str(self.request.scheme),
        }
    }

    /// Path and query, cut to `limit` bytes together.
    fn within(&self, limit: usize) -> (&[u8], Option<&[u8]>, bool) {
        let Url { path, query, .. } = self.url;
        if path.len() > limit {
            return (&path[..limit], None, true);
        }
        let left = limit - path.len();
        match query {
            // A key that lost its value's end is still redacted; a key that lost its own end may not be.
            Some(query) if query.len() > left => (path, memchr::memrchr(b'&', &query[..left]).map(|end| &query[..end]), true),
            _ => (path, query, false),
        }
    }
}

/// Longest authority that is taken for one.
const MAX_AUTHORITY: usize = 1024;
/// Longest host name that is kept (RFC 1035 allows 255 bytes).
const MAX_HOST: usize = 255;

fn method(exchange: &mut Exchange, method: &[u8]) {
    match METHODS.iter().find(|known| known.as_bytes() == method) {
        Some(known) => exchange.attrs.set_str(s::HTTP_REQUEST_METHOD, known),
        None => {
            exchange.attrs.set_str(s::HTTP_REQUEST_METHOD, "_OTHER");
            exchange.attrs.set_bytes(s::HTTP_REQUEST_METHOD_ORIGINAL, method);
        }
    }
}

fn note_cut(exchange: &mut Exchange, cut: bool, cx: &mut Cx<'_>) {
    if cut {
        exchange.completeness.request_cut = true;
        cx.count(Loss::Text, 1);
    }
}

/// Returns whether the value was cut.
fn set_clipped(attrs: &mut Attrs, key: Key, value: &[u8], cx: &Cx<'_>) -> bool {
    let limit = cx.options.text_limit;
    attrs.set_bytes(key, &value[..value.len().min(limit)]);
    value.len() > limit
}

/// Reads W3C Trace Context fields (a `tracestate` in several fields is joined in order).
pub(crate) fn trace_context<'a>(exchange: &mut Exchange, traceparent: Option<&[u8]>, tracestate: impl Iterator<Item = &'a [u8]>) {
    exchange.context = traceparent.and_then(TraceContext::parse);
    if exchange.context.is_none() {
        return;
    }
    for member in tracestate.filter(|member| !member.is_empty()) {
        if exchange.trace_state.len() + member.len() >= MAX_TRACE_STATE {
            break;
        }
        if !exchange.trace_state.is_empty() {
            exchange.trace_state.push(',');
        }
        write_text(&mut exchange.trace_state, member);
    }
}

/// Longest `tracestate` that is passed on (W3C Trace Context §3.3.1.5 asks for at least 512).
const MAX_TRACE_STATE: usize = 2048;

/// Sets the status of the final response, and the error where it is one for the observed role.
pub(crate) fn status(exchange: &mut Exchange, code: u16, cx: &Cx<'_>) {
    exchange.attrs.set_int(s::HTTP_RESPONSE_STATUS_CODE, i64::from(code));
    let first_error = if cx.observes(End::Client) { 400 } else { 500 };
    if code >= first_error {
        exchange.error = Some(code.to_string());
    }
}

/// Marks a response that is a stream of events (HTML Standard §9.2, "Server-sent events"): it lasts as long as somebody
/// listens, so its duration says nothing of how fast it was answered. Returns its events' reader.
pub(crate) fn stream(exchange: &mut Exchange, content_type: Option<&[u8]>, cx: &mut Cx<'_>) -> Option<EventStream> {
    const EVENTS: &[u8] = b"text/event-stream";
    let is_events = content_type.and_then(|value| value.split_at_checked(EVENTS.len())).is_some_and(|(media, parameters)| {
        media.eq_ignore_ascii_case(EVENTS) && parameters.first().is_none_or(|byte| matches!(byte, b';' | b' ' | b'\t'))
    });
    if !is_events {
        return None;
    }
    exchange.attrs.set_str(s::REMORA_HTTP_STREAM, "event-stream");
    cx.streams(exchange);
    Some(EventStream::default())
}

/// `error.type` of a call that has no whole answer when its connection ends, if that is an error.
pub(crate) fn close_error(how: Close, first_fin: Option<End>, cx: &Cx<'_>) -> Option<&'static str> {
    match how {
        Close::Fin if first_fin == Some(End::Client) => Some(s::ERROR_CANCELLED),
        Close::Fin => Some(s::ERROR_CLOSED),
        Close::ResetByLocal if cx.observes(End::Client) => Some(s::ERROR_CANCELLED),
        Close::ResetByRemote if cx.observes(End::Server) => Some(s::ERROR_CANCELLED),
        Close::ResetByLocal | Close::ResetByRemote => Some(s::ERROR_RESET),
        Close::TimedOut => Some(s::ERROR_TIMEOUT),
        Close::Unobserved => None,
    }
}
