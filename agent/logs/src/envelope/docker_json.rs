//! Docker's json-file driver: `{"log":"text\n","stream":"stdout","attrs":{…},"time":"2026-…Z"}`.
//! A line longer than 16 KiB is several entries; only the last ends in `\n`.

use super::{Entry, Part, Stream, without_line_end};
use crate::structured::json_fields;
use crate::timestamp;
use std::borrow::Cow;

/// Decodes one line of a json-file; `None` if it is none.
pub fn decode(line: &[u8]) -> Option<Entry<'_>> {
    let (mut log, mut stream, mut time) = (None, None, None);
    json_fields(crate::bytes::trim(line), |path, value| match path {
        b"log" => log = Some(value),
        b"stream" => stream = Stream::of(&value.text()),
        b"time" => time = timestamp::rfc3339(&value.text()),
        _ => {}
    })?;
    let text = log?.text();
    let part = if text.ends_with(b"\n") { Part::Full } else { Part::Partial };
    let text = match text {
        Cow::Borrowed(text) => Cow::Borrowed(without_line_end(text)),
        Cow::Owned(mut text) => {
            text.truncate(without_line_end(&text).len());
            Cow::Owned(text)
        }
    };
    Some(Entry { time, stream: stream?, part, text })
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
        assert_eq!(decode(br#"{"log":"half","stream":"stdout","time":"x"}"#).expect("an entry").part, Part::Partial);
        assert_eq!(decode(b"{\"stream\":\"stdout\"}"), None);
        assert_eq!(decode(b"text"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(line in "\\{?(\"log\":|\"stream\":|\"stdout\"|\"a\\\\n\"|,|\\}|[a-z\"]){0,12}") {
            let _ = decode(line.as_bytes());
        }
    }
}
