//! What gRPC adds to HTTP of any version: message types, deadlines, status codes and the ways in which one is found.
//!
//! Sources: "gRPC over HTTP2", "HTTP to gRPC Status Code Mapping", "gRPC Web" of the gRPC project, and the semantic
//! conventions for gRPC. A status that was not seen is never made up.

use crate::model::semconv as s;
use crate::model::{Exchange, Role};
use std::time::Duration;

/// Wire format of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// gRPC: the status is a trailer.
    Grpc,
    /// gRPC-Web: the status is the last message of the body.
    Web,
    /// gRPC-Web in base64.
    WebText,
}

impl Format {
    /// Format by `content-type`; `None` if it is no gRPC.
    pub(crate) fn of(content_type: &[u8]) -> Option<Self> {
        let (format, rest) = [
            (&b"application/grpc-web-text"[..], Format::WebText),
            (b"application/grpc-web", Format::Web),
            (b"application/grpc", Format::Grpc),
        ]
        .into_iter()
        .find_map(|(name, format)| {
            Some((format, content_type.split_at_checked(name.len()).filter(|(head, _)| head.eq_ignore_ascii_case(name))?.1))
        })?;
        matches!(rest.first(), None | Some(b'+' | b';' | b' ')).then_some(format)
    }
}

const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(usize);

impl Code {
    const CANCELLED: Code = Code(1);
    const UNKNOWN: Code = Code(2);
    const DEADLINE_EXCEEDED: Code = Code(4);
    pub(crate) const UNAVAILABLE: Code = Code(14);

    /// Reads `grpc-status`. Codes that are none are UNKNOWN, as libraries take them.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let number: usize = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
        Some(if number < NAMES.len() { Code(number) } else { Code::UNKNOWN })
    }

    /// Code that a client makes of an answer that is HTTP and no gRPC.
    pub(crate) fn of_http(status: u16) -> Self {
        Code(match status {
            400 => 13,
            401 => 16,
            403 => 7,
            404 => 12,
            429 | 502 | 503 | 504 => 14,
            _ => 2,
        })
    }

    /// Code that a reset by the server stands for, by HTTP/2 error code.
    pub(crate) fn of_reset(error: u32) -> Self {
        Code(match error {
            7 => 14,
            8 => 1,
            11 => 8,
            12 => 7,
            _ => 13,
        })
    }

    /// Code of a call that its client gave up after `elapsed`.
    ///
    /// Libraries round the deadline that they send up, by less than a sixteenth.
    pub(crate) fn of_cancel(elapsed: Duration, timeout: Option<Duration>) -> Self {
        match timeout {
            Some(timeout) if elapsed >= timeout - timeout / 16 => Code::DEADLINE_EXCEEDED,
            _ => Code::CANCELLED,
        }
    }

    /// Name, as `rpc.response.status_code` wants it.
    pub(crate) fn name(self) -> &'static str {
        NAMES[self.0]
    }

    /// Sets it as the outcome of `exchange`, whose observed end is `role`.
    pub(crate) fn set(self, exchange: &mut Exchange, role: Role) {
        exchange.attrs.set_str(s::RPC_RESPONSE_STATUS_CODE, self.name());
        exchange.error = self.is_error(role).then(|| self.name().to_owned());
    }

    /// Whether it is an error for `role`: for a server, what the client did wrong is none.
    pub(crate) fn is_error(self, role: Role) -> bool {
        match role {
            Role::Client => self.0 != 0,
            Role::Server => matches!(self.0, 2 | 4 | 12..=15),
        }
    }
}

/// Reads `grpc-timeout`: up to eight digits and a unit.
pub(crate) fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let n: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(n * 3600),
        b'M' => Duration::from_secs(n * 60),
        b'S' => Duration::from_secs(n),
        b'm' => Duration::from_millis(n),
        b'u' => Duration::from_micros(n),
        b'n' => Duration::from_nanos(n),
        _ => return None,
    })
}

/// Trailers that are looked at at most.
const TRAILERS: usize = 4096;

/// Finds the status in a gRPC-Web response body, given in any pieces.
#[derive(Debug, Default)]
pub(crate) struct WebBody {
    base64: Option<Base64>,
    prefix: [u8; 5],
    prefix_len: usize,
    /// Bytes of the current message that are still to come.
    left: u32,
    is_trailers: bool,
    trailers: Vec<u8>,
}

#[derive(Debug, Default)]
struct Base64 {
    bits: u32,
    digits: u32,
}

impl WebBody {
    /// The body of a response in `format`; `None` if its status is not in the body.
    pub(crate) fn of(format: Format) -> Option<Self> {
        match format {
            Format::Grpc => None,
            Format::Web => Some(Self::default()),
            Format::WebText => Some(Self { base64: Some(Base64::default()), ..Self::default() }),
        }
    }

    /// Takes the next bytes of the body.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        let Some(mut base64) = self.base64.take() else { return self.plain(bytes) };
        for &byte in bytes {
            if let Some((decoded, len)) = base64.digit(byte) {
                self.plain(&decoded[..len]);
            }
        }
        self.base64 = Some(base64);
    }

    fn plain(&mut self, mut bytes: &[u8]) {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.left == 0 {
                self.prefix[self.prefix_len] = first;
                self.prefix_len += 1;
                bytes = rest;
                if self.prefix_len == self.prefix.len() {
                    self.message();
                }
                continue;
            }
            let n = bytes.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            if self.is_trailers {
                let keep = n.min(TRAILERS.saturating_sub(self.trailers.len()));
                self.trailers.extend_from_slice(&bytes[..keep]);
            }
            self.left -= u32::try_from(n).unwrap_or(self.left);
            bytes = &bytes[n..];
        }
    }

    fn message(&mut self) {
        let [flags, len @ ..] = self.prefix;
        self.prefix_len = 0;
        self.left = u32::from_be_bytes(len);
        self.is_trailers = flags & 0x80 != 0;
    }

    /// The status, once its trailers were seen.
    pub(crate) fn status(&self) -> Option<Code> {
        self.trailers.split(|&byte| byte == b'\n').find_map(|line| {
            let (name, value) = line.split_at_checked(b"grpc-status".len())?;
            let value = value.trim_ascii_start().strip_prefix(b":")?;
            name.eq_ignore_ascii_case(b"grpc-status").then(|| Code::parse(value.trim_ascii()))?
        })
    }
}

impl Base64 {
    /// Takes one digit; gives what a full group, or one that padding ends, stands for.
    fn digit(&mut self, byte: u8) -> Option<([u8; 3], usize)> {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' if self.digits >= 2 => return Some(self.group()),
            _ => return None,
        };
        self.bits = self.bits << 6 | u32::from(value);
        self.digits += 1;
        (self.digits == 4).then(|| self.group())
    }

    fn group(&mut self) -> ([u8; 3], usize) {
        let [_, a, b, c] = (self.bits << (6 * (4 - self.digits))).to_be_bytes();
        let len = self.digits as usize - 1;
        *self = Self::default();
        ([a, b, c], len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_content_type() {
        assert_eq!(Format::of(b"application/grpc"), Some(Format::Grpc));
        assert_eq!(Format::of(b"application/grpc+proto"), Some(Format::Grpc));
        assert_eq!(Format::of(b"application/grpc-web+proto"), Some(Format::Web));
        assert_eq!(Format::of(b"application/grpc-web-text; charset=utf-8"), Some(Format::WebText));
        for other in ["application/grpcurl", "application/json", "", "text/application/grpc", "application/grpc-webx"] {
            assert_eq!(Format::of(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn timeouts_are_read() {
        assert_eq!(timeout(b"100m"), Some(Duration::from_millis(100)));
        assert_eq!(timeout(b"99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for bad in ["", "S", "1", "-1S", "123456789S", "1x"] {
            assert!(timeout(bad.as_bytes()).is_none_or(|t| bad == "S" && t.is_zero()), "{bad}");
        }
    }

    #[test]
    fn an_early_cancel_is_no_deadline() {
        let ms = Duration::from_millis;
        assert_eq!(Code::of_cancel(ms(99), Some(ms(100))).name(), "DEADLINE_EXCEEDED");
        assert_eq!(Code::of_cancel(ms(50), Some(ms(100))).name(), "CANCELLED");
        assert_eq!(Code::of_cancel(ms(50), None).name(), "CANCELLED");
    }

    #[test]
    fn the_status_of_a_web_body_is_found_in_any_pieces() {
        let body = b"\0\0\0\0\x03abc\x80\0\0\0\x1egrpc-message:x\r\nGrpc-Status: 5\r\n";
        let text = b"AAAAAANhYmM=gAAAAB5ncnBjLW1lc3NhZ2U6eA0KR3JwYy1TdGF0dXM6IDUNCg==";
        for (format, bytes) in [(Format::Web, &body[..]), (Format::WebText, text)] {
            for n in 1..bytes.len() {
                let mut web = WebBody::of(format).unwrap();
                bytes.chunks(n).for_each(|piece| web.feed(piece));
                assert_eq!(web.status().map(Code::name), Some("NOT_FOUND"), "{n}");
            }
        }
        assert!(WebBody::of(Format::Grpc).is_none());
    }
}
