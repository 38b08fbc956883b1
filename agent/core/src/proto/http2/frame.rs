//! Frames (RFC 9113 §4 and §6): their headers, and where in unknown bytes one certainly begins.

use super::hpack::{Decoder, Name};
use crate::proto::End;

/// What a client sends first (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length of a frame header.
pub(super) const HEADER: usize = 9;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

/// END_STREAM of DATA and HEADERS, ACK of SETTINGS and PING.
pub(super) const END_STREAM: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
const WITH_PRIORITY: u8 = 0x20;

/// Longest payload that is believed where it is not certain that a frame begins: the least that all ends allow.
const USUAL_PAYLOAD: usize = 16 * 1024;
/// Error codes end here (RFC 9113 §7).
const LAST_ERROR: u32 = 0xd;

/// The first nine bytes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Length of the payload.
    pub(super) len: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    /// Stream, without the reserved bit.
    pub(super) stream: u32,
}

impl Header {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (head, _) = bytes.split_first_chunk::<HEADER>()?;
        let [a, b, c, kind, flags, stream @ ..] = *head;
        let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        Some(Self { len, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff })
    }

    /// Length with the header.
    pub(super) fn total(&self) -> usize {
        HEADER + self.len
    }

    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether its length and stream are those that RFC 9113 §6 asks of its type. Unknown types may be anything.
    pub(super) fn is_valid(&self) -> bool {
        match self.kind {
            DATA | HEADERS | CONTINUATION => self.stream != 0,
            PRIORITY => self.stream != 0 && self.len == 5,
            RST_STREAM => self.stream != 0 && self.len == 4,
            SETTINGS => self.stream == 0 && self.len.is_multiple_of(6) && (self.len == 0 || !self.has(END_STREAM)),
            PUSH_PROMISE => self.stream != 0 && self.len >= 4,
            PING => self.stream == 0 && self.len == 8,
            GOAWAY => self.stream == 0 && self.len >= 8,
            WINDOW_UPDATE => self.len == 4,
            _ => true,
        }
    }

    /// Whether it also has no bits that the RFC does not define, and a usual length: for where it may be no header.
    fn is_usual(&self) -> bool {
        let flags = match self.kind {
            DATA => END_STREAM | PADDED,
            HEADERS => END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY,
            SETTINGS | PING => END_STREAM,
            PUSH_PROMISE => END_HEADERS | PADDED,
            CONTINUATION => END_HEADERS,
            PRIORITY | RST_STREAM | GOAWAY | WINDOW_UPDATE => 0,
            _ => return false,
        };
        self.is_valid() && self.flags & !flags == 0 && (self.len <= USUAL_PAYLOAD || self.kind == DATA)
    }
}

/// The part of a HEADERS or PUSH_PROMISE payload, whole or cut, that is its header block: without padding, priority
/// and promised stream. `None` if the padding is longer than the payload.
pub(super) fn block<'a>(header: &Header, payload: &'a [u8]) -> Option<&'a [u8]> {
    if header.kind == CONTINUATION {
        return Some(payload);
    }
    let (padding, start) = if header.has(PADDED) { (usize::from(*payload.first()?), 1) } else { (0, 0) };
    let start = match header.kind {
        HEADERS if header.has(WITH_PRIORITY) => start + 5,
        PUSH_PROMISE => start + 4,
        _ => start,
    };
    let end = header.len.checked_sub(padding).filter(|&end| end >= start)?;
    payload.get(start..end.min(payload.len()))
}

/// What bytes say about whether a frame begins with the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// None does.
    No,
    /// Frames that fit, none of which is more than that.
    Fits,
    /// It does: a frame that chance does not make. A request's or a response's HEADERS tell who sent it.
    Certain(Option<End>),
}

/// Follows frames from the first byte on, up to `bytes`' end, where the segment ends too or is not known to go on.
///
/// `is_open` tells streams that are known.
pub(super) fn chain(bytes: &[u8], is_open: impl Fn(u32) -> bool) -> Chain {
    let mut rest = bytes;
    let mut result = Chain::Fits;
    while !rest.is_empty() {
        let Some(header) = Header::read(rest) else { return result };
        if !header.is_usual() {
            return Chain::No;
        }
        let Some(payload) = rest.get(HEADER..header.total()) else { return result };
        match weigh(&header, payload, &is_open) {
            Chain::No => return Chain::No,
            Chain::Certain(end) => match result {
                Chain::Certain(Some(_)) => {}
                _ => result = Chain::Certain(end),
            },
            Chain::Fits => {}
        }
        rest = &rest[header.total()..];
    }
    result
}

/// Judges a whole frame.
fn weigh(header: &Header, payload: &[u8], is_open: impl Fn(u32) -> bool) -> Chain {
    let number = |at: usize| payload.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(u32::MAX, u32::from_be_bytes);
    let certain_if = |fits: bool| if fits { Chain::Certain(None) } else { Chain::No };
    match header.kind {
        DATA if header.has(PADDED) && payload.first().is_none_or(|&padding| usize::from(padding) >= header.len) => Chain::No,
        DATA if is_open(header.stream) => Chain::Certain(None),
        HEADERS => match block(header, payload) {
            Some(block) if header.has(END_HEADERS) => headers(block),
            Some(_) => Chain::Fits,
            None => Chain::No,
        },
        RST_STREAM => certain_if(number(0) <= LAST_ERROR && (header.stream < 1 << 24 || is_open(header.stream))),
        SETTINGS if header.len == 0 && header.flags == 0 => Chain::Fits,
        SETTINGS => certain_if(payload.as_chunks::<6>().0.iter().all(|setting| matches!(setting, [0, 1..=16, ..]))),
        PING => Chain::Certain(None),
        GOAWAY => certain_if(number(0) < 1 << 31 && number(4) <= LAST_ERROR),
        WINDOW_UPDATE => certain_if((1..1 << 31).contains(&number(0)) && (header.stream < 1 << 24 || is_open(header.stream))),
        _ => Chain::Fits,
    }
}

/// Whether `block` is a header block, and whose: the first field of a request or a response is a pseudo-header field.
fn headers(block: &[u8]) -> Chain {
    let mut decoder = Decoder::new(true);
    let mut first = None;
    let mut request = 0;
    let result = decoder.decode(block, |name, _| {
        first = first.or(Some(name));
        request += u32::from(name == Name::Method || name == Name::Path);
    });
    match (result, first) {
        (Err(_), _) | (_, None) => Chain::No,
        _ if decoder.had_odd_names() => Chain::No,
        (Ok(()), Some(Name::Status)) => Chain::Certain(Some(End::Server)),
        (Ok(()), Some(name)) if name.is_of_request() && request > 0 => Chain::Certain(Some(End::Client)),
        _ => Chain::Fits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        let header = Header::read(&[0, 1, 2, 1, 0x25, 0x80, 0, 0, 3, 9]).unwrap();
        assert_eq!(header, Header { len: 258, kind: HEADERS, flags: 0x25, stream: 3 });
        assert_eq!(header.total(), 267);
        assert_eq!(Header::read(&[0; 8]), None);
    }

    #[test]
    fn padding_and_priority_are_no_part_of_a_block() {
        let header = |flags, len| Header { len, kind: HEADERS, flags, stream: 1 };
        assert_eq!(block(&header(0, 3), b"abc"), Some(&b"abc"[..]));
        assert_eq!(block(&header(PADDED | WITH_PRIORITY, 10), b"\x02\0\0\0\x01\xffab\0\0"), Some(&b"ab"[..]));
        assert_eq!(block(&header(PADDED, 3), b"\x03ab"), None);
        assert_eq!(block(&header(PADDED, 30), b"\x03ab"), Some(&b"ab"[..]), "cut by the capture");
    }

    #[test]
    fn what_is_no_frame_is_not_taken_for_one() {
        let chain = |bytes: &[u8]| chain(bytes, |stream| stream == 1);
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"*1\r\n$4\r\nPING\r\n",
            b"\x00\x00\x00\x1e\x00\x03\x00\x00\x00\x01",
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"\x05\0\0\x01\x85\xa6\x03\0\0\0\0",
            b"\0\0\0\0\x05hello",
            b"\0\0\x08\x06\0\0\0\0\0abcdefghGARBAGE-BEHIND",
        ] {
            assert_eq!(chain(bytes), Chain::No, "{bytes:?}");
        }
        assert_eq!(chain(b"\0\0\x08\x06\0\0\0\0\0abcdefgh"), Chain::Certain(None));
        assert_eq!(chain(b"\0\0\0\x04\x01\0\0\0\0\0\0\x01\x01\x05\0\0\0\x01\x88"), Chain::Certain(Some(End::Server)));
        assert_eq!(chain(b"\0\0\x03\x01\x05\0\0\0\x01\x82\x86\x84"), Chain::Certain(Some(End::Client)));
        assert_eq!(chain(b"\0\0\x01\x01\x05\0\0\0\x01\xbe"), Chain::Fits);
        assert_eq!(chain(b"\0\0\x01\0\x01\0\0\0\x03a"), Chain::Fits);
        assert_eq!(chain(b"\0\0\x01\0\x01\0\0\0\x01a"), Chain::Certain(None));
    }
}
