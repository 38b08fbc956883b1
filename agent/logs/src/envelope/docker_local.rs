//! Docker's `local` driver: length (4 bytes, big endian), a protobuf `LogEntry`, the length again.
//! Fields of `LogEntry` (moby, `api/types/plugins/logdriver/entry.proto`): 1 source, 2 time_nano, 3 line, 4 partial, 5 partial metadata.

use super::{Entry, Part, Stream};
use std::borrow::Cow;

/// Longest entry accepted; Docker cuts lines at 16 KiB.
pub const MAX_ENTRY: usize = 1 << 20;

/// Why bytes are no entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    /// More bytes are needed: the file is still being written, or ends here.
    #[error("the entry is not complete")]
    Incomplete,
    /// The length is impossible or the two lengths differ.
    #[error("the length {0} is not that of an entry")]
    BadLength(u32),
    /// The entry is no protobuf message of this kind.
    #[error("the entry cannot be decoded")]
    BadEntry,
}

/// Decodes the entry at the start of `bytes`; returns it and the bytes it takes.
///
/// # Errors
/// [`LocalError::Incomplete`] asks for more bytes; the other errors mean that the file is damaged here.
pub fn decode(bytes: &[u8]) -> Result<(Entry<'_>, usize), LocalError> {
    let length = length_at(bytes, 0)?;
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if size == 0 || size > MAX_ENTRY {
        return Err(LocalError::BadLength(length));
    }
    if length_at(bytes, 4 + size)? != length {
        return Err(LocalError::BadLength(length));
    }
    let entry = message(&bytes[4..4 + size]).ok_or(LocalError::BadEntry)?;
    Ok((entry, size + 8))
}

fn length_at(bytes: &[u8], at: usize) -> Result<u32, LocalError> {
    let field = bytes.get(at..at + 4).ok_or(LocalError::Incomplete)?;
    Ok(field.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))
}

fn message(bytes: &[u8]) -> Option<Entry<'_>> {
    let mut entry = Entry { time: None, stream: Stream::Stdout, part: Part::Full, text: Cow::Borrowed(&[]) };
    let mut source = None;
    let mut rest = bytes;
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        match (key >> 3, key & 7) {
            (1, 2) => source = Some(Stream::of(chunk(&mut rest)?)?),
            (2, 0) => entry.time = Some(varint(&mut rest)?),
            (3, 2) => entry.text = Cow::Borrowed(super::without_line_end(chunk(&mut rest)?)),
            (4, 0) if varint(&mut rest)? != 0 => entry.part = Part::Partial,
            (5, 2) => entry.part = partial_metadata(chunk(&mut rest)?)?,
            (_, 0) => drop(varint(&mut rest)?),
            (_, 2) => drop(chunk(&mut rest)?),
            (_, 1) => rest = rest.get(8..)?,
            (_, 5) => rest = rest.get(4..)?,
            _ => return None,
        }
    }
    entry.stream = source?;
    Some(entry)
}

/// `last` (field 1) ends a line in parts.
fn partial_metadata(bytes: &[u8]) -> Option<Part> {
    let mut part = Part::Partial;
    let mut rest = bytes;
    while !rest.is_empty() {
        match varint(&mut rest)? {
            8 if varint(&mut rest)? != 0 => part = Part::Full,
            key if key & 7 == 0 => drop(varint(&mut rest)?),
            key if key & 7 == 2 => drop(chunk(&mut rest)?),
            _ => return None,
        }
    }
    Some(part)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn chunk<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(bytes)?).ok()?;
    let chunk = bytes.get(..length)?;
    *bytes = &bytes[length..];
    Some(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).expect("short").to_be_bytes();
        [&length[..], message, &length[..]].concat()
    }

    #[test]
    fn entries_are_decoded_in_a_row() {
        let one = [&[0x0a, 6][..], b"stderr", &[0x10, 0x81, 0x01, 0x1a, 3], b"a b"].concat();
        let two = [&[0x0a, 6][..], b"stdout", &[0x1a, 1], b"c", &[0x20, 1]].concat();
        let three = [&[0x0a, 6][..], b"stdout", &[0x1a, 1], b"d", &[0x20, 1, 0x2a, 2, 8, 1]].concat();
        let file = [framed(&one), framed(&two), framed(&three)].concat();
        let (entry, taken) = decode(&file).expect("an entry");
        assert_eq!(entry, Entry { time: Some(129), stream: Stream::Stderr, part: Part::Full, text: Cow::Borrowed(b"a b") });
        let (entry, more) = decode(&file[taken..]).expect("an entry");
        assert_eq!((entry.text.as_ref(), entry.part), (&b"c"[..], Part::Partial));
        assert_eq!(decode(&file[taken + more..]).expect("an entry").0.part, Part::Full);
    }

    #[test]
    fn damage_is_told_from_missing_bytes() {
        let mut file = framed(&[&[0x0a, 6][..], b"stdout", &[0x1a, 1], b"c"].concat());
        assert_eq!(decode(&file[..file.len() - 1]), Err(LocalError::Incomplete));
        *file.last_mut().expect("bytes") = 9;
        assert!(matches!(decode(&file), Err(LocalError::BadLength(_))));
        assert_eq!(decode(&framed(&[0x0b])), Err(LocalError::BadEntry));
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes);
            let _ = decode(&framed(&bytes));
        }
    }
}
