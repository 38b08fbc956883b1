//! Replies as servers send them: RESP2 and RESP3, element by element, so that none has to be held whole.

use super::command::{Parsed, bulk_header, integer_line};

/// Longest line of a reply: simple strings and errors are short, whatever they say.
const MAX_LINE: usize = 64 * 1024;
/// Most elements of one aggregate that are believed.
const MAX_ELEMENTS: i64 = 1 << 31;
const CRLF: u64 = 2;

/// Kind of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Simple string, number, boolean, null, bulk string.
    Value,
    /// `-`, or `!` with its text in a bulk.
    Error,
    /// `*`, `~`, `%`.
    Aggregate,
    /// `>`: not an answer to anything.
    Push,
    /// `|`: precedes the element that it describes.
    Attribute,
}

/// One element, without the elements in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) kind: Kind,
    /// The line behind the type byte.
    pub(super) line: &'a [u8],
    /// Bytes of type byte, line and CRLF.
    pub(super) head: usize,
    /// Bytes of a bulk that follow, CRLF included.
    pub(super) payload: u64,
    /// Elements that follow in it.
    pub(super) children: u64,
}

/// The element at the start of `bytes`.
pub(super) fn element(bytes: &[u8]) -> Parsed<Element<'_>> {
    let Some(&first) = bytes.first() else { return Parsed::More };
    if !b"+-:$*%~>|!=,(#_".contains(&first) {
        return Parsed::Bad;
    }
    let searched = &bytes[..bytes.len().min(MAX_LINE)];
    let Some(end) = memchr::memchr(b'\r', searched) else {
        return if bytes.len() < MAX_LINE { Parsed::More } else { Parsed::Bad };
    };
    match bytes.get(end + 1) {
        None => return Parsed::More,
        Some(b'\n') => {}
        Some(_) => return Parsed::Bad,
    }
    let line = &bytes[1..end];
    let head = end + 2;
    let simple = |kind| Parsed::Is(Element { kind, line, head, payload: 0, children: 0 });
    match first {
        b'+' => simple(Kind::Value),
        b'-' => simple(Kind::Error),
        b':' | b'(' if is_integer(line) => simple(Kind::Value),
        b',' if !line.is_empty() && line.len() <= 64 => simple(Kind::Value),
        b'#' if matches!(line, b"t" | b"f") => simple(Kind::Value),
        b'_' if line.is_empty() => simple(Kind::Value),
        b'$' | b'=' | b'!' => match integer_line(bytes, 0) {
            Parsed::Is((-1, _)) if first == b'$' => simple(Kind::Value),
            Parsed::Is((len @ 0.., _)) => {
                let kind = if first == b'!' { Kind::Error } else { Kind::Value };
                Parsed::Is(Element { kind, line, head, payload: len.unsigned_abs() + CRLF, children: 0 })
            }
            _ => Parsed::Bad,
        },
        b'*' | b'~' | b'%' | b'>' | b'|' => aggregate(first, bytes, line, head),
        _ => Parsed::Bad,
    }
}

fn aggregate<'a>(first: u8, bytes: &'a [u8], line: &'a [u8], head: usize) -> Parsed<Element<'a>> {
    let count = match integer_line(bytes, 0) {
        Parsed::Is((-1, _)) if first == b'*' => return Parsed::Is(Element { kind: Kind::Value, line, head, payload: 0, children: 0 }),
        Parsed::Is((count @ 0..=MAX_ELEMENTS, _)) => count.unsigned_abs(),
        _ => return Parsed::Bad,
    };
    let (kind, children) = match first {
        b'%' => (Kind::Aggregate, 2 * count),
        b'|' => (Kind::Attribute, 2 * count),
        b'>' => (Kind::Push, count),
        _ => (Kind::Aggregate, count),
    };
    Parsed::Is(Element { kind, line, head, payload: 0, children })
}

fn is_integer(line: &[u8]) -> bool {
    let digits = line.strip_prefix(b"-").or(line.strip_prefix(b"+")).unwrap_or(line);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// The bulk (or simple) string at `at`, if it is whole, and where the next element begins.
pub(super) fn string(bytes: &[u8], at: usize) -> Parsed<(&[u8], usize)> {
    if bytes.get(at) == Some(&b'+') {
        return match element(&bytes[at..]) {
            Parsed::Is(element) => Parsed::Is((element.line, at + element.head)),
            Parsed::More => Parsed::More,
            Parsed::Bad => Parsed::Bad,
        };
    }
    match bulk_header(bytes, at) {
        Parsed::Is((len, data)) => {
            let end = data.saturating_add(usize::try_from(len).unwrap_or(usize::MAX));
            match bytes.get(data..end) {
                Some(text) if bytes.len() >= end + 2 => Parsed::Is((text, end + 2)),
                _ => Parsed::More,
            }
        }
        Parsed::More => Parsed::More,
        Parsed::Bad => Parsed::Bad,
    }
}

/// What the first string of an array says of it, where it might be a message of pub/sub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    /// A message for a subscriber.
    Message,
    /// The confirmation of a subscription.
    Subscribed,
    /// The confirmation of a subscription's end.
    Unsubscribed,
    /// Something else.
    Other,
}

pub(super) fn topic(name: &[u8]) -> Topic {
    match name {
        b"message" | b"pmessage" | b"smessage" => Topic::Message,
        b"subscribe" | b"psubscribe" | b"ssubscribe" => Topic::Subscribed,
        b"unsubscribe" | b"punsubscribe" | b"sunsubscribe" => Topic::Unsubscribed,
        _ => Topic::Other,
    }
}
