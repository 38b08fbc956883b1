//! Start lines and header sections (RFC 9112 §2 to §5): bytes in, borrowed parts out.
//!
//! Only what telemetry needs is kept. Nothing here knows where in a connection it is, and nothing is guessed: what
//! breaks the grammar of a start line is no head, what breaks the grammar of a field line is counted.

use crate::proto::bytes::{find, is_visible, is_word, name_before_colon, visible};
use std::ops::Range;

/// What came of looking at bytes that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed<T> {
    /// Fits so far; the end was not reached.
    More,
    /// Breaks the grammar.
    Bad,
    /// Complete.
    Is(T),
}

/// `method SP request-target SP HTTP-version` (RFC 9112 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestLine<'a> {
    /// All of it, with its end.
    pub(super) text: &'a [u8],
    pub(super) method: &'a [u8],
    pub(super) target: &'a [u8],
    pub(super) version: &'static str,
}

/// `HTTP-version SP status-code SP [reason-phrase]` (RFC 9112 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StatusLine {
    pub(super) code: u16,
    pub(super) version: &'static str,
}

/// What the `Content-Length` fields say together (RFC 9110 §8.6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Length {
    #[default]
    Absent,
    Is(u64),
    /// Not a number, or two different ones.
    Bad,
}

/// The last transfer coding (RFC 9112 §6.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Coding {
    #[default]
    Absent,
    Chunked,
    Other,
}

/// Names of the fields that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Host,
    UserAgent,
    Traceparent,
    Tracestate,
    Upgrade,
    ContentType,
    GrpcStatus,
    ContentLength,
    TransferEncoding,
}

/// The fields that matter: where their values are, without the white space around them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) host: Option<Span>,
    pub(super) user_agent: Option<Span>,
    pub(super) traceparent: Option<Span>,
    /// `tracestate` fields in order.
    pub(super) tracestate: [Option<Span>; 4],
    pub(super) upgrade: Option<Span>,
    pub(super) content_type: Option<Span>,
    /// `grpc-status` of a gRPC-Web response that is no more than its head.
    pub(super) grpc_status: Option<Span>,
    pub(super) length: Length,
    pub(super) coding: Coding,
    /// Lines that are no fields.
    pub(super) bad: u32,
}

/// A part of some bytes. Heads are far shorter than 4 GiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(range: Range<usize>) -> Self {
        let [start, end] = [range.start, range.end].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        Self { start, end }
    }

    fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A header section as read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Section<'a> {
    /// All of it, the empty line included; where it was cut, what there is of the head.
    pub(super) bytes: &'a [u8],
    pub(super) fields: Fields,
}

impl<'a> Section<'a> {
    /// Value of one of its fields.
    pub(super) fn value(&self, field: Option<Span>) -> Option<&'a [u8]> {
        self.bytes.get(field?.range())
    }
}

/// A request line with its header section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub(super) line: RequestLine<'a>,
    pub(super) fields: Fields,
    /// Length of all of it, the empty line included.
    pub(super) len: usize,
}

/// Reads a request's head at the start of `bytes`.
pub(super) fn request(bytes: &[u8]) -> Parsed<Head<'_>> {
    match request_line(bytes) {
        Parsed::More => Parsed::More,
        Parsed::Bad => Parsed::Bad,
        Parsed::Is((line, at)) => match fields(bytes, at) {
            (fields, Some(len)) => Parsed::Is(Head { line, fields, len }),
            (_, None) => Parsed::More,
        },
    }
}

/// Reads a request line; the number is its length with its line end.
pub(super) fn request_line(bytes: &[u8]) -> Parsed<(RequestLine<'_>, usize)> {
    match whole_request_line(bytes) {
        Some(line) => Parsed::Is(line),
        None if find(b'\n', bytes).is_some() => Parsed::Bad,
        None => request_line_start(bytes),
    }
}

/// A request line that is there to its end. No part may hold the space behind it, so each byte is looked at once.
fn whole_request_line(bytes: &[u8]) -> Option<(RequestLine<'_>, usize)> {
    let method = bytes.iter().take(MAX_METHOD).take_while(|byte| is_token_byte(**byte)).count();
    let (method, rest) = bytes.split_at(method);
    let rest = rest.strip_prefix(b" ")?;
    let (target, rest) = rest.split_at(visible(rest));
    let (version, rest) = rest.strip_prefix(b" ")?.split_at_checked(8)?;
    let version = version_of(version)?;
    let text = &bytes[..bytes.len() - line_end(rest)?.len()];
    let is_valid = !method.is_empty() && is_well_formed(method, target);
    is_valid.then_some((RequestLine { text, method, target, version }, text.len()))
}

/// Whether bytes without a line end may become a request line.
fn request_line_start(bytes: &[u8]) -> Parsed<(RequestLine<'_>, usize)> {
    let mut words = bytes.splitn(3, |&byte| byte == b' ');
    let fits = match (words.next(), words.next(), words.next()) {
        (Some(method), None, None) => method.len() <= MAX_METHOD && method.iter().all(|&byte| is_token_byte(byte)),
        (Some(method), Some(target), None) => is_token(method) && may_be_target(target),
        (Some(method), Some(target), Some(version)) => {
            let version = version.strip_suffix(b"\r").unwrap_or(version);
            let start = version.len().min(7);
            is_token(method) && is_target(method, target) && version.len() <= 8 && b"HTTP/1."[..start] == version[..start]
        }
        _ => false,
    };
    if fits { Parsed::More } else { Parsed::Bad }
}

/// Whether `bytes`, the start of a request line, hold a well-known method and a path that no other text protocol's
/// command has room for.
pub(super) fn is_long_target(bytes: &[u8]) -> bool {
    const METHODS: [&[u8]; 7] = [b"GET /", b"POST /", b"PUT /", b"DELETE /", b"HEAD /", b"PATCH /", b"OPTIONS /"];
    bytes.len() >= 512 && METHODS.iter().any(|method| bytes.starts_with(method))
}

/// The start of a request line that was cut: its method, and its target as far as it goes.
pub(super) fn cut_request_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    if find(b'\n', bytes).is_some() || request_line_start(bytes) != Parsed::More {
        return None;
    }
    let mut words = bytes.splitn(3, |&byte| byte == b' ');
    Some((words.next()?, words.next()?))
}

/// Reads a status line; the number is its length with its line end.
pub(super) fn status_line(bytes: &[u8]) -> Parsed<(StatusLine, usize)> {
    if let Some(line) = whole_status_line(bytes) {
        return Parsed::Is(line);
    }
    let start = bytes.len().min(7);
    let fits = b"HTTP/1."[..start] == bytes[..start] && bytes.len() <= MAX_STATUS_LINE && find(b'\n', bytes).is_none();
    if fits { Parsed::More } else { Parsed::Bad }
}

fn whole_status_line(bytes: &[u8]) -> Option<(StatusLine, usize)> {
    let (version, rest) = bytes.split_at_checked(8)?;
    let version = version_of(version)?;
    let [b' ', a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] = rest else { return None };
    let rest = match rest {
        [b' ', reason @ ..] => &reason[find(b'\n', reason)? + 1..],
        _ => line_end(rest)?,
    };
    let digit = |byte: &u8| u16::from(byte - b'0');
    Some((StatusLine { code: digit(a) * 100 + digit(b) * 10 + digit(c), version }, bytes.len() - rest.len()))
}

/// What comes behind the line end at the start of `bytes`: CRLF, or LF alone as RFC 9112 §2.2 allows.
fn line_end(bytes: &[u8]) -> Option<&[u8]> {
    bytes.strip_prefix(b"\r").unwrap_or(bytes).strip_prefix(b"\n")
}

/// Whether an empty line ends in `bytes` at `from` or later: the cheap question before a head is parsed again.
pub(super) fn has_empty_line(bytes: &[u8], from: usize) -> bool {
    let mut at = from.saturating_sub(3);
    while let Some(newline) = bytes.get(at..).and_then(|rest| find(b'\n', rest)) {
        at += newline + 1;
        if matches!(bytes.get(at..), Some([b'\n', ..] | [b'\r', b'\n', ..])) {
            return true;
        }
    }
    false
}

/// Reads field lines from `at` on, to the empty line if that is there: then its end is given too.
pub(super) fn fields(bytes: &[u8], at: usize) -> (Fields, Option<usize>) {
    let mut fields = Fields::default();
    let lines = lines(bytes, at, |line| fields.add(&line, bytes));
    fields.bad = lines.bad;
    (fields, lines.end)
}

/// A field line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Its name, if it matters.
    name: Option<Name>,
    /// Where its value is: without the white space around it, if it matters.
    value: Span,
}

impl Line {
    /// The line whose name has `len` bytes and stands at the start of `line`, which begins at byte `at`.
    fn read(line: &[u8], len: usize, at: usize) -> Self {
        let (name, value) = line.split_at(len);
        let (name, value) = (Name::of(name), &value[1..]);
        let start = at + len + 1;
        if name.is_none() {
            return Self { name, value: Span::new(start..start + value.len()) };
        }
        let behind = value.trim_ascii_start();
        let start = start + value.len() - behind.len();
        Self { name, value: Span::new(start..start + behind.trim_ascii_end().len()) }
    }

    /// Whether its value tells where the body ends; of all others, [`Fields`] holds no more than where they are.
    pub(super) fn is_of_framing(&self) -> bool {
        matches!(self.name, Some(Name::ContentLength | Name::TransferEncoding))
    }

    /// Where its value ends.
    pub(super) fn end(&self) -> usize {
        self.value.end as usize
    }

    /// Whether it is the same line with another value where `bytes` differs from what it was read from, at `at` first.
    pub(super) fn has_value(&self, bytes: &[u8], at: usize) -> bool {
        let range = self.value.range();
        let Some(value) = bytes.get(range.clone()).filter(|_| range.contains(&at)) else { return false };
        let is_trimmed = || value.trim_ascii().len() == value.len();
        memchr::memchr(b'\n', value).is_none() && (self.name.is_none() || is_trimmed())
    }
}

/// Field lines as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    /// Where the empty line behind them ends.
    pub(super) end: Option<usize>,
    /// Lines that are no fields.
    pub(super) bad: u32,
    /// Lines that continue the one before them.
    pub(super) folded: u32,
}

/// Gives the field lines from `at` on, to the empty line if that is there.
pub(super) fn lines(bytes: &[u8], mut at: usize, mut field: impl FnMut(Line)) -> Lines {
    let mut lines = Lines::default();
    while let Some(rest) = bytes.get(at..) {
        match rest {
            [b'\n', ..] => return Lines { end: Some(at + 1), ..lines },
            [b'\r', b'\n', ..] => return Lines { end: Some(at + 2), ..lines },
            _ => {}
        }
        let name = name_before_colon(rest);
        let start = name.unwrap_or(0);
        let Some(len) = find(b'\n', &rest[start..]).map(|len| start + len) else { break };
        match name {
            Some(name) => field(Line::read(&rest[..len], name, at)),
            // An obsolete line fold (RFC 9112 §5.2) continues a value; none of ours may have one.
            None if matches!(rest[0], b' ' | b'\t') => lines.folded += 1,
            None => lines.bad += 1,
        }
        at += len + 1;
    }
    lines
}

impl Name {
    fn of(name: &[u8]) -> Option<Self> {
        match (name.len(), name[0] | 0x20) {
            (4, b'h') if is_word(name, b"host") => Some(Name::Host),
            (7, b'u') if is_word(name, b"upgrade") => Some(Name::Upgrade),
            (10, b'u') if is_word(name, b"user-agent") => Some(Name::UserAgent),
            (10, b't') if is_word(name, b"tracestate") => Some(Name::Tracestate),
            (12, b'c') if is_word(name, b"content-type") => Some(Name::ContentType),
            (11, b'g') if is_word(name, b"grpc-status") => Some(Name::GrpcStatus),
            (11, b't') if is_word(name, b"traceparent") => Some(Name::Traceparent),
            (14, b'c') if is_word(name, b"content-length") => Some(Name::ContentLength),
            (17, b't') if is_word(name, b"transfer-encoding") => Some(Name::TransferEncoding),
            _ => None,
        }
    }
}

impl Fields {
    /// Adds what a line of `bytes` says.
    pub(super) fn add(&mut self, line: &Line, bytes: &[u8]) {
        let (Some(name), Some(value)) = (line.name, bytes.get(line.value.range())) else { return };
        let span = Some(line.value);
        match name {
            Name::Host => self.host = self.host.or(span),
            Name::Upgrade => self.upgrade = span,
            Name::UserAgent => self.user_agent = span,
            Name::Traceparent => self.traceparent = span,
            Name::Tracestate => {
                if let Some(free) = self.tracestate.iter_mut().find(|state| state.is_none()).filter(|_| !value.is_empty()) {
                    *free = span;
                }
            }
            Name::ContentType => self.content_type = span,
            Name::GrpcStatus => self.grpc_status = span,
            Name::ContentLength => self.length = self.length.and(value),
            Name::TransferEncoding => self.coding = coding(value),
        }
    }
}

impl Length {
    /// Adds one more field value: a list of equal numbers is that number.
    fn and(self, value: &[u8]) -> Self {
        if let (Length::Absent, Some(n)) = (self, decimal(value)) {
            return Length::Is(n);
        }
        value.split(|&byte| byte == b',').fold(self, |sum, item| match (sum, decimal(item.trim_ascii())) {
            (Length::Absent, Some(n)) => Length::Is(n),
            (Length::Is(m), Some(n)) if m == n => Length::Is(n),
            _ => Length::Bad,
        })
    }
}

fn coding(value: &[u8]) -> Coding {
    let last = value.rsplit(|&byte| byte == b',').next().unwrap_or_default().trim_ascii();
    if last.eq_ignore_ascii_case(b"chunked") { Coding::Chunked } else { Coding::Other }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, &byte| {
        if !byte.is_ascii_digit() {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
    })
}

/// The line that begins at `at`, without its end (CRLF, or LF alone as RFC 9112 §2.2 allows), and its length with it.
pub(super) fn line(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let newline = find(b'\n', rest)?;
    let line = &rest[..newline];
    Some((line.strip_suffix(b"\r").unwrap_or(line), newline + 1))
}

fn version_of(bytes: &[u8]) -> Option<&'static str> {
    match bytes.strip_prefix(b"HTTP/1.")? {
        b"0" => Some("1.0"),
        [b'1'..=b'9'] => Some("1.1"),
        _ => None,
    }
}

/// Longest method token that is taken for one.
const MAX_METHOD: usize = 64;
/// Longest status line that is waited for.
const MAX_STATUS_LINE: usize = 8 * 1024;

fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.len() <= MAX_METHOD && bytes.iter().all(|&byte| is_token_byte(byte))
}

fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// `tchar` of RFC 9110 §5.6.2.
static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        byte += 1;
    }
    table
};

/// The four forms of RFC 9112 §3.2. Bytes above 127 break the grammar and are sent all the same.
fn is_target(method: &[u8], target: &[u8]) -> bool {
    is_well_formed(method, target) && is_visible(target)
}

/// As [`is_target`], for a target that has no controls or spaces.
fn is_well_formed(method: &[u8], target: &[u8]) -> bool {
    match target.first() {
        Some(b'/') => true,
        Some(b'*') => target.len() == 1,
        Some(_) if method == b"CONNECT" => target.contains(&b':'),
        Some(_) => is_absolute(target),
        None => false,
    }
}

fn is_absolute(target: &[u8]) -> bool {
    find(b':', target).is_some_and(|colon| is_scheme(&target[..colon]) && target[colon..].starts_with(b"://"))
}

fn is_scheme(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

fn may_be_target(start: &[u8]) -> bool {
    let fits = match start.first() {
        None | Some(b'/' | b'*' | b'[') => true,
        Some(first) => first.is_ascii_alphanumeric(),
    };
    fits && is_visible(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(bytes: &[u8]) -> Parsed<String> {
        match request_line(bytes) {
            Parsed::More => Parsed::More,
            Parsed::Bad => Parsed::Bad,
            Parsed::Is((line, len)) => {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                Parsed::Is(format!("{} {} {} {len}", text(line.method), text(line.target), line.version))
            }
        }
    }

    #[test]
    fn request_lines_of_all_forms_are_read() {
        let is = |text: &str| Parsed::Is(text.to_owned());
        assert_eq!(line_of(b"GET / HTTP/1.1\r\n"), is("GET / 1.1 16"));
        assert_eq!(line_of(b"OPTIONS * HTTP/1.0\n"), is("OPTIONS * 1.0 19"));
        assert_eq!(line_of(b"CONNECT a.example:443 HTTP/1.1\r\n"), is("CONNECT a.example:443 1.1 32"));
        assert_eq!(line_of(b"M-SEARCH http://h/p?q HTTP/1.1\r\nHost"), is("M-SEARCH http://h/p?q 1.1 32"));
        assert_eq!(line_of("GET /ü HTTP/1.1\r\n".as_bytes()), is("GET /ü 1.1 18"));
    }

    #[test]
    fn what_is_no_request_line_is_told_early() {
        for more in ["", "G", "GET", "GET ", "GET /a", "GET /a ", "GET /a H", "GET /a HTTP/1.1", "GET /a HTTP/1.1\r", "SET a"] {
            assert_eq!(line_of(more.as_bytes()), Parsed::More, "{more}");
        }
        for bad in [
            "*1\r\n$4\r\nPING\r\n",
            "PING\r\n",
            "SET key value\r\n",
            "PUB x 5\r\nhello\r\n",
            "PUB x 5",
            "get key\r\n",
            "HELO mail.example\r\n",
            "INVITE sip:bob@example.com SIP/2.0\r\n",
            "OPTIONS rtsp://host/media RTSP/1.0\r\n",
            "NICK me\r\n",
            "USER anonymous\r\n",
            "PRI * HTTP/2.0\r\n",
            "GET  / HTTP/1.1\r\n",
            "GET /a b HTTP/1.1\r\n",
            "GET / HTTP/1.12\r\n",
            "G\0T / HTTP/1.1\r\n",
            " GET / HTTP/1.1\r\n",
            "GET /\r\n",
            "\r\n",
            "\x16\x03\x01",
        ] {
            assert_eq!(line_of(bad.as_bytes()), Parsed::Bad, "{bad:?}");
        }
    }

    #[test]
    fn status_lines_are_read_with_and_without_reason() {
        let code = |text: &str| match status_line(text.as_bytes()) {
            Parsed::Is((line, _)) => Some(line.code),
            _ => None,
        };
        assert_eq!(code("HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(code("HTTP/1.0 404\r\n"), Some(404));
        assert_eq!(code("HTTP/1.1 599 \n"), Some(599));
        for bad in
            ["HTTP/1.1 20 OK\r\n", "HTTP/2 200\r\n", "HTTP/1.1 2000\r\n", "HTTP/1.1  200\r\n", "RTSP/1.0 200 OK\r\n", "HTTP/1.1 099 x\r\n"]
        {
            assert_eq!(code(bad), None, "{bad}");
        }
        assert_eq!(status_line(b"HTTP/1.1 20"), Parsed::More);
        assert_eq!(status_line(b"HTTP/2"), Parsed::Bad);
    }

    #[test]
    fn fields_are_read_by_name_in_any_case() {
        let bytes =
            b"GET / HTTP/1.1\r\nhOsT:  a.example \r\nTransfer-Encoding: gzip, Chunked\r\nX: 1\r\n folded\r\nnot a field\r\n\r\nbody";
        let Parsed::Is(head) = request(bytes) else { panic!("no head") };
        let section = Section { bytes, fields: head.fields };
        assert_eq!(section.value(head.fields.host), Some(&b"a.example"[..]));
        assert_eq!((head.fields.coding, head.fields.bad, head.len), (Coding::Chunked, 1, 99));
    }

    #[test]
    fn content_lengths_must_agree() {
        let length = |values: &[&str]| values.iter().fold(Length::Absent, |sum, value| sum.and(value.as_bytes()));
        assert_eq!(length(&["12"]), Length::Is(12));
        assert_eq!(length(&["12", " 12 , 12"]), Length::Is(12));
        for bad in [&["12", "13"][..], &["-1"], &["+1"], &["1 2"], &[""], &["18446744073709551616"], &["0x10"]] {
            assert_eq!(length(bad), Length::Bad, "{bad:?}");
        }
    }

    #[test]
    fn an_empty_line_is_found_wherever_the_new_bytes_begin() {
        let bytes = b"a: b\r\n\r\n";
        assert!((0..bytes.len()).all(|from| has_empty_line(bytes, from)));
        assert!(has_empty_line(b"a\n\n", 2));
        assert!(!has_empty_line(b"a\r\nb\r\n\r", 0));
    }
}
