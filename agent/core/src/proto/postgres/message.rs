//! Messages of the PostgreSQL protocol 3.x (PostgreSQL documentation, chapter 55 "Frontend/Backend Protocol").

use memchr::memchr;

/// Type byte and length in front of a message.
pub(super) const HEAD: usize = 5;
/// Longest message (the server's own limit is 1 GB).
const LONGEST: usize = 1 << 30;

/// Codes in place of a version in the first message.
pub(super) const CANCEL: u32 = 80_877_102;
pub(super) const SSL: u32 = 80_877_103;
pub(super) const GSSENC: u32 = 80_877_104;

/// A message's type and its length without the type byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: u8,
    pub(super) len: usize,
}

impl Head {
    /// Bytes from the type byte to the end.
    pub(super) fn total(self) -> usize {
        self.len + 1
    }
}

/// What stands at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read<T> {
    Is(T),
    More,
    Bad,
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + 4)?;
    Some(four.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    let two = bytes.get(at..at + 2)?;
    Some(usize::from(two[0]) << 8 | usize::from(two[1]))
}

/// A text that ends with NUL, and what follows it.
pub(super) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(0, bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Length of the client's message at the start of `bytes`, type byte or not.
pub(super) fn length(bytes: &[u8]) -> usize {
    match client_head(bytes) {
        Read::Is(head) => head.total(),
        _ => number(bytes, 0).unwrap_or(bytes.len()),
    }
}

/// Portal and statement of a `Bind`.
pub(super) fn bind_names(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let (portal, rest) = text(body)?;
    Some((portal, text(rest)?.0))
}

/// Head of a message of the client.
pub(super) fn client_head(bytes: &[u8]) -> Read<Head> {
    head(bytes, |kind, len| match kind {
        b'S' | b'H' | b'X' | b'c' => len == 4,
        b'Q' | b'f' | b'p' => len >= 5,
        b'P' => len >= 8,
        b'B' => len >= 12,
        b'E' => len >= 9,
        b'D' | b'C' => len >= 6,
        b'F' => len >= 12,
        b'd' => true,
        _ => false,
    })
}

/// Head of a message of the server.
pub(super) fn server_head(bytes: &[u8]) -> Read<Head> {
    head(bytes, |kind, len| match kind {
        b'1' | b'2' | b'3' | b'n' | b's' | b'I' | b'c' => len == 4,
        b'Z' => len == 5,
        b'C' | b'E' | b'N' => len >= 5,
        b'T' | b'D' | b't' | b'S' => len >= 6,
        b'G' | b'H' | b'W' => len >= 7,
        b'A' => len >= 10,
        b'K' | b'R' | b'V' | b'v' => len >= 8,
        b'd' => true,
        _ => false,
    })
}

fn head(bytes: &[u8], fits: impl Fn(u8, usize) -> bool) -> Read<Head> {
    let Some(&kind) = bytes.first() else { return Read::More };
    let Some(len) = number(bytes, 1) else {
        // The first two bytes alone tell most foreign protocols.
        let starts = fits(kind, 4) || fits(kind, 5) || fits(kind, 64);
        return if starts && bytes.get(1).is_none_or(|byte| *byte < 0x40) { Read::More } else { Read::Bad };
    };
    if (4..=LONGEST).contains(&len) && fits(kind, len) { Read::Is(Head { kind, len }) } else { Read::Bad }
}

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening<'a> {
    /// TLS or GSSAPI encryption is asked for; the server answers with one byte.
    Encryption,
    Cancel,
    /// Parameters: names and values, each with its NUL.
    Startup(&'a [u8]),
}

/// The first message of a client, which has no type byte, and its length.
pub(super) fn opening(bytes: &[u8]) -> Read<(Opening<'_>, usize)> {
    let (Some(len), Some(code)) = (number(bytes, 0), number(bytes, 4)) else {
        // 10,000 bytes is the server's limit.
        let starts = bytes.iter().zip([0, 0, 0x28]).all(|(byte, most)| *byte <= most);
        let minor = bytes.get(4..).unwrap_or_default();
        let version =
            minor.iter().zip([0, 3, 0]).all(|(byte, expected)| *byte == expected) || minor.iter().zip([4, 210, 22]).all(|(a, b)| *a == b);
        return if starts && version { Read::More } else { Read::Bad };
    };
    let code = u32::try_from(code).unwrap_or(0);
    match (code, len) {
        (SSL | GSSENC, 8) => Read::Is((Opening::Encryption, 8)),
        (CANCEL, 16..=268) if bytes.len() < len => Read::More,
        (CANCEL, 16..=268) => Read::Is((Opening::Cancel, len)),
        (0x0003_0000..=0x0003_00ff, 9..=10_000) if parameters(&bytes[8..bytes.len().min(len)], bytes.len() >= len) => {
            if bytes.len() >= len { Read::Is((Opening::Startup(&bytes[8..len]), len)) } else { Read::More }
        }
        _ => Read::Bad,
    }
}

fn parameters(bytes: &[u8], whole: bool) -> bool {
    let first = text(bytes).map_or(bytes, |(name, _)| name);
    first.iter().all(|byte| byte.is_ascii_graphic()) && (!whole || bytes.ends_with(&[0, 0]) || bytes == [0])
}

/// Value of a parameter of the startup message.
pub(super) fn parameter<'a>(mut rest: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    loop {
        let (key, after) = text(rest)?;
        let (value, after) = text(after)?;
        if key == name {
            return Some(value);
        }
        rest = after;
    }
}

/// `ErrorResponse`: the SQLSTATE (field `C`).
pub(super) fn sqlstate(body: &[u8]) -> Option<&str> {
    let mut rest = body;
    loop {
        let (field, after) = text(rest)?;
        match field {
            [b'C', code @ ..] if code.len() == 5 && code.iter().all(u8::is_ascii_alphanumeric) => return std::str::from_utf8(code).ok(),
            [] => return None,
            _ => rest = after,
        }
    }
}

/// Whether `body` is an `ErrorResponse` or `NoticeResponse` from its first field to its end.
fn is_fields(body: &[u8]) -> bool {
    let mut rest = body;
    while let Some((field, after)) = text(rest) {
        match field.first() {
            None => return after.is_empty(),
            Some(kind) if kind.is_ascii_alphabetic() => rest = after,
            Some(_) => return false,
        }
    }
    false
}

/// Operation and number of rows of a `CommandComplete` tag: `INSERT 0 5`, `SELECT 3`, `CREATE TABLE`.
pub(super) fn tag(body: &[u8]) -> Option<(&str, Option<i64>)> {
    let tag = std::str::from_utf8(text(body)?.0).ok()?;
    let (words, rows) = match tag.rsplit_once(' ') {
        Some((words, number)) => match number.parse() {
            Ok(rows) => (words, Some(rows)),
            Err(_) => (tag, None),
        },
        None => (tag, None),
    };
    let words = words.strip_suffix(" 0").unwrap_or(words);
    let is_words = !words.is_empty() && words.len() <= 40 && words.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b' ');
    is_words.then_some((words, rows))
}

/// Whether `body` is what a client's message of `kind` holds, to its last byte.
pub(super) fn is_client_body(kind: u8, body: &[u8]) -> bool {
    let only_text = |body: &[u8]| text(body).is_some_and(|(text, rest)| rest.is_empty() && is_readable(text));
    match kind {
        b'Q' => only_text(body),
        b'P' => is_parse(body).is_some(),
        b'B' => is_bind(body).is_some(),
        b'E' => text(body).is_some_and(|(portal, rest)| is_readable(portal) && rest.len() == 4),
        b'D' | b'C' => matches!(body.first(), Some(b'S' | b'P')) && only_text(&body[1..]),
        b'S' | b'H' | b'X' => body.is_empty(),
        _ => false,
    }
}

/// No control characters but white space.
fn is_readable(text: &[u8]) -> bool {
    text.iter().all(|byte| *byte >= b' ' && *byte != 0x7f || matches!(byte, b'\t' | b'\n' | b'\r' | 0x0b | 0x0c))
}

fn is_parse(body: &[u8]) -> Option<()> {
    let (name, rest) = text(body)?;
    let (query, rest) = text(rest)?;
    (is_readable(name) && is_readable(query) && rest.len() == 2 + 4 * short(rest, 0)?).then_some(())
}

fn is_bind(body: &[u8]) -> Option<()> {
    let (portal, rest) = text(body)?;
    let (name, mut rest) = text(rest)?;
    if !is_readable(portal) || !is_readable(name) {
        return None;
    }
    rest = rest.get(2 + 2 * short(rest, 0)?..)?;
    let values = short(rest, 0)?;
    rest = &rest[2..];
    for _ in 0..values {
        let len = number(rest, 0)?;
        rest = rest.get(if len == 0xffff_ffff { 4 } else { 4usize.checked_add(len)? }..)?;
    }
    (rest.len() == 2 + 2 * short(rest, 0)?).then_some(())
}

/// Whether `body` is what a server's message of `kind` holds, as far as that can be told.
fn is_server_body(kind: u8, body: &[u8]) -> bool {
    match kind {
        b'C' => tag(body).is_some() && body.last() == Some(&0),
        b'E' | b'N' => is_fields(body),
        b'Z' => matches!(body, [b'I' | b'T' | b'E']),
        b'S' => text(body).and_then(|(_, rest)| text(rest)).is_some_and(|(_, rest)| rest.is_empty()),
        b'D' => is_row(body).is_some(),
        _ => true,
    }
}

fn is_row(body: &[u8]) -> Option<()> {
    let mut rest = body.get(2..)?;
    for _ in 0..short(body, 0)? {
        let len = number(rest, 0)?;
        rest = rest.get(if len == 0xffff_ffff { 4 } else { 4usize.checked_add(len)? }..)?;
    }
    rest.is_empty().then_some(())
}

/// What a run of messages tells of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chain {
    /// No messages of this end.
    No,
    /// It may be; the last one is not whole, or none is certain.
    Maybe,
    /// Whole messages of this end from the first byte to the last, at least one of them certain.
    Certain,
    /// As before, but the last message goes on behind the bytes.
    Partial,
}

/// Judges `bytes` as messages of a client in the middle of a connection.
pub(super) fn client_chain(bytes: &[u8]) -> Chain {
    let mut before = 0;
    chain(bytes, client_head, |kind, body| {
        let is_certain = matches!(kind, b'Q' | b'P' | b'B') || kind == b'S' && before == b'E';
        before = kind;
        is_client_body(kind, body).then_some(is_certain)
    })
}

/// Judges `bytes` as messages of a server in the middle of a connection.
pub(super) fn server_chain(bytes: &[u8]) -> Chain {
    let mut before = 0;
    chain(bytes, server_head, |kind, body| {
        let is_certain = kind == b'Z' && before != 0 || kind == b'E';
        before = kind;
        is_server_body(kind, body).then_some(is_certain)
    })
}

fn chain(mut bytes: &[u8], head: impl Fn(&[u8]) -> Read<Head>, mut judge: impl FnMut(u8, &[u8]) -> Option<bool>) -> Chain {
    let mut certain = false;
    while !bytes.is_empty() {
        match head(bytes) {
            Read::Bad => return Chain::No,
            Read::More => return if certain { Chain::Partial } else { Chain::Maybe },
            Read::Is(head) => {
                let Some(body) = bytes.get(HEAD..head.total()) else {
                    let is_query = head.kind == b'Q' && bytes.len() >= HEAD + 16 && is_readable(&bytes[HEAD..]);
                    return if certain || is_query { Chain::Partial } else { Chain::Maybe };
                };
                let Some(is_certain) = judge(head.kind, body) else { return Chain::No };
                certain |= is_certain;
                bytes = &bytes[head.total()..];
            }
        }
    }
    if certain { Chain::Certain } else { Chain::Maybe }
}
