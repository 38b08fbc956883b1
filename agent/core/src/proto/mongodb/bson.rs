//! BSON (bsonspec.org 1.1) as far as a command has to be understood: top-level elements of a document that may be cut,
//! and the document as text without its values.

use crate::proto::keys::write_raw;
use std::fmt::Write;

/// Deepest nesting that is written.
const MAX_DEPTH: u32 = 12;

/// Element types.
pub(super) const STRING: u8 = 0x02;
pub(super) const DOCUMENT: u8 = 0x03;
pub(super) const ARRAY: u8 = 0x04;

/// An element; its value may be cut at the end of what was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) kind: u8,
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
}

pub(super) fn int32(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..)?.first_chunk().copied().map(i32::from_le_bytes)
}

/// A C string at `at`, and where the next byte is.
pub(super) fn cstring(bytes: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let rest = bytes.get(at..)?;
    let end = memchr::memchr(0, rest)?;
    Some((&rest[..end], at + end + 1))
}

/// Elements of a document, which begins with its length; ends where it ends, is cut or is broken.
pub(super) fn elements(document: &[u8]) -> Elements<'_> {
    let len = int32(document, 0).and_then(|len| usize::try_from(len).ok()).unwrap_or(0);
    Elements { bytes: &document[..document.len().min(len)], at: 4 }
}

pub(super) struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        let kind = *self.bytes.get(self.at)?;
        let (name, at) = cstring(self.bytes, self.at + 1)?;
        let len = value_len(kind, self.bytes, at)?;
        let end = at.saturating_add(len);
        let value = &self.bytes[at..end.min(self.bytes.len())];
        self.at = end.min(self.bytes.len());
        Some(Element { kind, name, value })
    }
}

/// Length of a value of `kind` at `at`; `None` if there is no such type or the length is not there.
fn value_len(kind: u8, bytes: &[u8], at: usize) -> Option<usize> {
    let counted = |extra: usize, least: i32| {
        let len = int32(bytes, at).filter(|len| *len >= least)?;
        usize::try_from(len).ok()?.checked_add(extra)
    };
    match kind {
        0x01 | 0x09 | 0x11 | 0x12 => Some(8),
        0x02 | 0x0d | 0x0e => counted(4, 1),
        0x03 | 0x04 => counted(0, 5),
        0x0f => counted(0, 14),
        0x05 => counted(5, 0),
        0x06 | 0x0a | 0x7f | 0xff => Some(0),
        0x07 => Some(12),
        0x08 => Some(1),
        0x0b => {
            let (_, options) = cstring(bytes, at)?;
            let (_, end) = cstring(bytes, options)?;
            Some(end - at)
        }
        0x0c => counted(4 + 12, 1),
        0x10 => Some(4),
        0x13 => Some(16),
        _ => None,
    }
}

/// Whether `document` (which may be cut) begins as one: its length is at most `most`, and its first element is one.
pub(super) fn is_start(document: &[u8], most: u64) -> bool {
    let Some(len) = int32(document, 0).and_then(|len| u64::try_from(len).ok()) else { return false };
    if len < 5 || len > most {
        return false;
    }
    match document.get(4) {
        None | Some(0) => true,
        Some(kind) => {
            let name = &document[5..document.len().min(5 + 64)];
            let name = &name[..memchr::memchr(0, name).unwrap_or(name.len())];
            matches!(kind, 0x01..=0x13 | 0x7f | 0xff) && name.iter().all(|byte| (b' '..0x7f).contains(byte) || *byte >= 0x80)
        }
    }
}

impl<'a> Element<'a> {
    /// Text of a string that is whole.
    pub(super) fn string(&self) -> Option<&'a [u8]> {
        let len = usize::try_from(int32(self.value, 0)?).ok()?;
        self.value.get(4..4 + len.checked_sub(1)?).filter(|_| self.kind == STRING)
    }

    /// A number or truth value.
    pub(super) fn number(&self) -> Option<f64> {
        let eight = || self.value.first_chunk::<8>().copied();
        match self.kind {
            0x01 => eight().map(f64::from_le_bytes),
            0x10 => int32(self.value, 0).map(f64::from),
            #[expect(clippy::cast_precision_loss, reason = "codes and truth values are small")]
            0x12 => eight().map(|bytes| i64::from_le_bytes(bytes) as f64),
            0x08 => self.value.first().map(|byte| f64::from(*byte)),
            _ => None,
        }
    }

    /// Whether all of its value is there.
    pub(super) fn is_whole(&self) -> bool {
        value_len(self.kind, self.value, 0).is_some_and(|len| len <= self.value.len())
    }
}

/// What of a document's values is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Values {
    /// `?` for each.
    Hidden,
    /// As they are.
    Shown,
}

/// Appends an element's value: documents with their names, all else as `?` unless it is to be shown.
///
/// Stops soon after `out` has `limit` bytes.
pub(super) fn write_value(element: &Element<'_>, values: Values, limit: usize, depth: u32, out: &mut String) {
    match element.kind {
        DOCUMENT if depth < MAX_DEPTH => {
            out.push('{');
            for (i, inner) in elements(element.value).enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write_name(inner.name, out);
                write_value(&inner, values, limit, depth + 1, out);
                if out.len() > limit {
                    return;
                }
            }
            out.push('}');
        }
        ARRAY if depth < MAX_DEPTH => write_array(element.value, values, limit, depth, out),
        _ if values == Values::Hidden => out.push('?'),
        _ => write_scalar(element, out),
    }
}

pub(super) fn write_name(name: &[u8], out: &mut String) {
    out.push('"');
    write_raw(out, name);
    out.push_str("\":");
}

/// Elements of an array; those that read the same as the one before are written once.
fn write_array(array: &[u8], values: Values, limit: usize, depth: u32, out: &mut String) {
    out.push('[');
    let mut previous = 0..0;
    for element in elements(array) {
        let start = out.len();
        if !previous.is_empty() {
            out.push(',');
        }
        let from = out.len();
        write_value(&element, values, limit, depth + 1, out);
        if values == Values::Hidden && !previous.is_empty() && out[previous.clone()] == out[from..] {
            out.truncate(start);
        } else {
            previous = from..out.len();
        }
        if out.len() > limit {
            return;
        }
    }
    out.push(']');
}

fn write_scalar(element: &Element<'_>, out: &mut String) {
    let eight = element.value.first_chunk::<8>().copied();
    let _ = match (element.kind, element.string(), eight) {
        (STRING, Some(text), _) => {
            out.push('"');
            write_raw(out, text);
            out.push('"');
            Ok(())
        }
        (0x01, _, Some(bytes)) => write!(out, "{}", f64::from_le_bytes(bytes)),
        (0x12 | 0x09 | 0x11, _, Some(bytes)) => write!(out, "{}", i64::from_le_bytes(bytes)),
        (0x10, ..) => int32(element.value, 0).map_or(Ok(()), |n| write!(out, "{n}")),
        (0x08, ..) => write!(out, "{}", element.value.first() == Some(&1)),
        (0x0a, ..) => write!(out, "null"),
        (0x07, ..) => element.value.iter().try_for_each(|byte| write!(out, "{byte:02x}")),
        _ => write!(out, "?"),
    };
}
