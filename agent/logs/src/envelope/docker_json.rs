//! Docker's json-file driver: `{"log":"text\n","stream":"stdout","attrs":{…},"time":"2026-…Z"}`.
//! A line longer than 16 KiB is several entries; only the last ends in `\n`.

use super::{Entry, Part, Stream, without_line_end};
use crate::structured::{Raw, json_fields, json_string};
use crate::timestamp::{self, UnixNanos};
use std::borrow::Cow;

/// What stands in front of the text of an entry without attributes.
const TEXT: &[u8] = b"{\"log\":\"";
/// What stands between its text and its time.
const STREAMS: [(&[u8], Stream); 2] =
    [(b",\"stream\":\"stdout\",\"time\":\"", Stream::Stdout), (b",\"stream\":\"stderr\",\"time\":\"", Stream::Stderr)];

/// Decodes one line of a json-file; `None` if it is none.
pub fn decode(line: &[u8]) -> Option<Entry<'_>> {
    let line = crate::bytes::trim(line);
    if let Some((log, stream, time)) = plain_entry(line) {
        return Some(entry(log, stream, Some(time)));
    }
    let (mut log, mut stream, mut time) = (None, None, None);
    json_fields(line, |path, value| match path {
        b"log" => log = Some(value),
        b"stream" => stream = Stream::of(&value.text()),
        b"time" => time = timestamp::rfc3339(&value.text()),
        _ => {}
    })?;
    Some(entry(log?, stream?, time))
}

/// An entry with the fields that the driver writes by default, in its order: nothing else needs to be looked at.
fn plain_entry(line: &[u8]) -> Option<(Raw<'_>, Stream, UnixNanos)> {
    if !line.starts_with(TEXT) {
        return None;
    }
    let (log, end) = json_string(line, TEXT.len())?;
    let rest = &line[end..];
    let (time, stream) = STREAMS.iter().find_map(|(between, stream)| Some((rest.strip_prefix(*between)?, *stream)))?;
    Some((log, stream, timestamp::rfc3339(time.strip_suffix(b"\"}")?)?))
}

fn entry(log: Raw<'_>, stream: Stream, time: Option<UnixNanos>) -> Entry<'_> {
    if let Some(text) = whole_line(log) {
        return Entry { time, stream, part: Part::Full, text: Cow::Borrowed(text) };
    }
    let text = log.text();
    let part = if text.ends_with(b"\n") { Part::Full } else { Part::Partial };
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(without_line_end(text)),
        Cow::Owned(mut text) => {
            text.truncate(without_line_end(&text).len());
            Cow::Owned(text)
        }
    };
    Entry { time, stream, part, text }
}

/// A line whose only escape is the line end behind it: no copy is needed.
fn whole_line(log: Raw<'_>) -> Option<&[u8]> {
    let Raw::Escaped(raw) = log else { return None };
    raw.strip_suffix(b"\\n").filter(|text| memchr::memchr(b'\\', text).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries_of_docker_are_decoded() {
        let entry = decode(br#"{"log":"a \"b\"\r\n","stream":"stderr","attrs":{"tag":"x"},"time":"2016-10-06T00:17:09.669794202Z"}"#)
            .expect("an entry");
        assert_eq!(
            entry,
            Entry { time: Some(1_475_713_029_669_794_202), stream: Stream::Stderr, part: Part::Full, text: Cow::Borrowed(b"a \"b\"") }
        );
        let text = |line: &'static [u8]| decode(line).expect("an entry").text.into_owned();
        assert_eq!(text(br#"{"log":"plain\n","stream":"stdout","time":"x"}"#), b"plain");
        assert_eq!(text(br#"{"log":"back\\n","stream":"stdout","time":"x"}"#), br"back\n");
        assert_eq!(decode(br#"{"log":"half","stream":"stdout","time":"x"}"#).expect("an entry").part, Part::Partial);
        assert_eq!(decode(b"{\"stream\":\"stdout\"}"), None);
        assert_eq!(decode(b"text"), None);
    }

    #[test]
    fn entries_in_another_order_or_with_other_fields_are_the_same() {
        let expected = decode(br#"{"log":"a\tb\n","stream":"stderr","time":"2016-10-06T00:17:09.6Z"}"#).expect("an entry");
        assert_eq!((expected.text.as_ref(), expected.time), (&b"a\tb"[..], Some(1_475_713_029_600_000_000)));
        for line in [
            r#"{"stream":"stderr","log":"a\tb\n","time":"2016-10-06T00:17:09.6Z"}"#,
            r#"{"log":"a\tb\n","stream":"stderr", "time":"2016-10-06T00:17:09.6Z"}"#,
            r#"{"log":"a\tb\n","stream":"stderr","attrs":{"time":"x"},"time":"2016-10-06T00:17:09.6Z"}"#,
        ] {
            assert_eq!(decode(line.as_bytes()), Some(expected.clone()), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(line in "\\{?(\"log\":|\"stream\":|\"stdout\"|\"a\\\\n\"|,|\\}|[a-z\"]){0,12}") {
            let _ = decode(line.as_bytes());
        }
    }
}
