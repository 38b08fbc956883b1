//! The journal's export format: bytes in, entries out. Bounded, whatever the stream holds.
//!
//! Format: systemd, "Journal Export Formats": lines `KEY=value`, or a line `KEY` with a 64-bit little-endian length, that
//! many bytes and a line end; an empty line ends the entry.

use remora_logs::lines::MAX_LINE;
use std::io::{self, BufRead, Read};

/// Most fields of an entry that are kept.
const MAX_FIELDS: usize = 128;
/// Longest line without value.
const MAX_NAME: u64 = 4096;

/// One entry: its fields in the order of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    fields: Vec<(String, Vec<u8>)>,
    /// Bytes of fields that were too long.
    pub(super) skipped: u64,
}

impl Entry {
    /// The first value of a field.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_slice())
    }

    /// The same as text, if it is text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|value| std::str::from_utf8(value).ok())
    }

    /// The same as a number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    fn add(&mut self, name: &[u8], value: Vec<u8>, wanted: impl Fn(&str) -> bool) {
        if let Ok(name) = std::str::from_utf8(name)
            && wanted(name)
            && self.fields.len() < MAX_FIELDS
        {
            self.fields.push((name.to_owned(), value));
        }
    }
}

/// Reads the next entry, of which only the fields that are `wanted` are kept; `None` at the end of the stream.
///
/// # Errors
/// The stream fails, ends within a field, or is not in this format.
pub(super) fn read(reader: &mut impl BufRead, wanted: impl Fn(&str) -> bool) -> io::Result<Option<Entry>> {
    let mut entry = Entry::default();
    loop {
        let mut line = Vec::new();
        let (complete, skipped) = line_of(reader, &mut line)?;
        entry.skipped += skipped;
        if !complete {
            return if line.is_empty() && entry.fields.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        if line.is_empty() {
            if entry.fields.is_empty() {
                continue;
            }
            return Ok(Some(entry));
        }
        match memchr::memchr(b'=', &line) {
            Some(equals) => {
                let value = line.split_off(equals + 1);
                entry.add(&line[..equals], value, &wanted);
            }
            None if line.len() as u64 > MAX_NAME => return Err(io::ErrorKind::InvalidData.into()),
            None => {
                let value = binary(reader, &mut entry.skipped)?;
                entry.add(&line, value, &wanted);
            }
        }
    }
}

/// A line without its end, cut at [`MAX_LINE`]; whether it had an end, and the bytes left out.
fn line_of(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<(bool, u64)> {
    let mut skipped = 0;
    loop {
        let chunk = match reader.fill_buf() {
            Ok(chunk) => chunk,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if chunk.is_empty() {
            return Ok((false, skipped));
        }
        let end = memchr::memchr(b'\n', chunk);
        let text = &chunk[..end.unwrap_or(chunk.len())];
        let kept = text.len().min(MAX_LINE - line.len());
        line.extend_from_slice(&text[..kept]);
        skipped += (text.len() - kept) as u64;
        let used = text.len() + usize::from(end.is_some());
        reader.consume(used);
        if end.is_some() {
            return Ok((true, skipped));
        }
    }
}

fn binary(reader: &mut impl BufRead, skipped: &mut u64) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    reader.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let kept = length.min(MAX_LINE as u64);
    let mut value = Vec::new();
    reader.by_ref().take(kept).read_to_end(&mut value)?;
    io::copy(&mut reader.by_ref().take(length - kept), &mut io::sink())?;
    *skipped += length - kept;
    let mut end = [0; 1];
    reader.read_exact(&mut end)?;
    if end == *b"\n" { Ok(value) } else { Err(io::ErrorKind::InvalidData.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(mut bytes: &[u8]) -> Vec<Entry> {
        std::iter::from_fn(|| read(&mut bytes, |_| true).ok().flatten()).collect()
    }

    #[test]
    fn entries_with_text_and_binary_fields() {
        let stream =
            [&b"__CURSOR=s=1\nMESSAGE=hello=you\nPRIORITY=6\n\n\n__CURSOR=s=2\nMESSAGE\n"[..], &8u64.to_le_bytes(), b"two\nline\n\n"]
                .concat();
        let entries = all(&stream);
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].text("MESSAGE"), entries[0].number("PRIORITY")), (Some("hello=you"), Some(6)));
        assert_eq!((entries[1].text("__CURSOR"), entries[1].get("MESSAGE")), (Some("s=2"), Some(&b"two\nline"[..])));
    }

    #[test]
    fn a_field_of_any_length_is_cut_and_the_next_entry_is_whole() {
        let long = vec![b'x'; 3 * MAX_LINE];
        let stream = [&b"MESSAGE\n"[..], &(long.len() as u64).to_le_bytes(), &long, b"\nA=", &long, b"\n\nMESSAGE=next\n\n"].concat();
        let entries = all(&stream);
        assert_eq!(entries[0].get("MESSAGE").map(<[u8]>::len), Some(MAX_LINE));
        assert_eq!(entries[0].skipped, 4 * MAX_LINE as u64 + 2);
        assert_eq!(entries[1].text("MESSAGE"), Some("next"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'='), any::<u8>()], 0..200)) {
            let _ = all(&bytes);
        }
    }
}
