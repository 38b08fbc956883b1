//! Where a message body ends (RFC 9112 §6 and §7): lengths and chunk lines, without looking at the body itself.

use super::head::{Coding, Fields, Length, Parsed, fields, line};

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes follow the head.
    Length(u64),
    /// Chunks follow.
    Chunked,
    /// All bytes up to the end of the connection.
    UntilClose,
    /// No HTTP follows.
    Tunnel,
    /// The head contradicts itself.
    Unknown,
}

/// What of a request decides how its response's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// `HEAD`.
    Head,
    /// `CONNECT`.
    Connect,
    /// Any other method.
    Other,
}

impl Asked {
    pub(super) fn by(method: &[u8]) -> Self {
        match method {
            b"HEAD" => Asked::Head,
            b"CONNECT" => Asked::Connect,
            _ => Asked::Other,
        }
    }
}

/// Body of a request (RFC 9112 §6.3, 4 to 7).
pub(super) fn request_framing(fields: &Fields) -> Framing {
    match (fields.coding, fields.length) {
        (Coding::Chunked, _) => Framing::Chunked,
        (Coding::Absent, Length::Absent) => Framing::Length(0),
        (Coding::Absent, Length::Is(n)) => Framing::Length(n),
        _ => Framing::Unknown,
    }
}

/// Body of a final response (RFC 9112 §6.3).
pub(super) fn response_framing(fields: &Fields, status: u16, asked: Asked) -> Framing {
    match (asked, status, fields.coding, fields.length) {
        (Asked::Head, ..) | (_, 204 | 304, ..) => Framing::Length(0),
        (_, 101, ..) | (Asked::Connect, 200..=299, ..) => Framing::Tunnel,
        (_, _, Coding::Chunked, _) => Framing::Chunked,
        (_, _, Coding::Other, _) | (_, _, Coding::Absent, Length::Absent) => Framing::UntilClose,
        (_, _, Coding::Absent, Length::Is(n)) => Framing::Length(n),
        (_, _, Coding::Absent, Length::Bad) => Framing::Unknown,
    }
}

/// Longest chunk line, extensions included.
const MAX_CHUNK_LINE: usize = 16 * 1024;

/// Reads `chunk-size [ chunk-ext ] CRLF`: size, and length of the line with its end.
pub(super) fn chunk_line(bytes: &[u8]) -> Parsed<(u64, usize)> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let size = bytes[..digits].iter().try_fold(0u64, |sum, &byte| {
        let digit = u64::from(char::from(byte).to_digit(16)?);
        sum.checked_mul(16)?.checked_add(digit)
    });
    // Sizes near 2^64 would wrap when their line ends are added; no body is that long.
    let Some(size) = size.filter(|&size| size < 1 << 62) else { return Parsed::Bad };
    match (digits, bytes.get(digits)) {
        (_, None) => Parsed::More,
        (1.., Some(b';' | b' ' | b'\t' | b'\r' | b'\n')) => match line(bytes, digits) {
            Some((_, len)) => Parsed::Is((size, digits + len)),
            None if bytes.len() > MAX_CHUNK_LINE => Parsed::Bad,
            None => Parsed::More,
        },
        _ => Parsed::Bad,
    }
}

/// Whether `bytes`, the end of a segment, end a chunked body: the last chunk with its trailers, after the line end of
/// the chunk before it or as all that the segment holds (`whole`).
pub(super) fn ends_with_last_chunk(bytes: &[u8], whole: bool) -> bool {
    if !bytes.ends_with(b"\r\n\r\n") {
        return false;
    }
    let is_end = |at: usize| {
        let Parsed::Is((0, len)) = chunk_line(&bytes[at..]) else { return false };
        let (trailers, end) = fields(bytes, at + len);
        end == Some(bytes.len()) && trailers.bad == 0
    };
    let after_line_end = memchr::memmem::find_iter(bytes, b"\r\n0").any(|at| is_end(at + 2));
    after_line_end || whole && is_end(0)
}

/// Whether `bytes` are nothing but whole chunks, the last one not among them.
pub(super) fn are_chunks(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Parsed::Is((size @ 1.., len)) = chunk_line(rest) else { return false };
        let data = usize::try_from(size).ok().and_then(|size| rest[len..].get(size..));
        let Some(behind) = data.and_then(|data| data.strip_prefix(b"\r\n")) else { return false };
        rest = behind;
    }
    !bytes.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_lines_are_read_with_extensions() {
        assert_eq!(chunk_line(b"1a\r\nxx"), Parsed::Is((26, 4)));
        assert_eq!(chunk_line(b"0;name=\"v;x\"\r\n"), Parsed::Is((0, 14)));
        assert_eq!(chunk_line(b"5  \r\n"), Parsed::Is((5, 5)));
        for more in [&b""[..], b"1", b"1a\r", b"1;ext"] {
            assert_eq!(chunk_line(more), Parsed::More);
        }
        for bad in [&b"g\r\n"[..], b"-1\r\n", b"\r\n", b"0x10\r\n", b"ffffffffffffffff\r\n", b"10000000000000000000\r\n", b"1g"] {
            assert_eq!(chunk_line(bad), Parsed::Bad, "{bad:?}");
        }
    }

    #[test]
    fn whole_chunks_are_known_by_their_sizes() {
        for chunks in ["3\r\nabc\r\n", "3;x\r\nabc\r\n1\r\n\n\r\n"] {
            assert!(are_chunks(chunks.as_bytes()), "{chunks:?}");
        }
        for other in ["", "3\r\nabc", "3\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n", "abc\r\n", "3\r\nabc\r\n2\r\nab\r"] {
            assert!(!are_chunks(other.as_bytes()), "{other:?}");
        }
    }

    #[test]
    fn the_last_chunk_is_known_by_its_line_ends() {
        for (tail, whole) in
            [("x\r\n0\r\n\r\n", false), ("\r\n0;a=b\r\nDigest: x\r\n\r\n", false), ("0\r\n\r\n", true), ("00\r\n\r\n", true)]
        {
            assert!(ends_with_last_chunk(tail.as_bytes(), whole), "{tail:?}");
        }
        for (tail, whole) in [
            ("0\r\n\r\n", false),
            ("10\r\n\r\n", false),
            ("\r\n0\r\n", false),
            ("\r\n0\r\nbad line\r\n\r\n", false),
            ("\r\n10\r\n\r\n", true),
        ] {
            assert!(!ends_with_last_chunk(tail.as_bytes(), whole), "{tail:?}");
        }
    }
}
