//! The log format of CRI (containerd, CRI-O): `2016-10-06T00:17:09.669794202Z stdout F text`.
//! Format: Kubernetes design "CRI log path and format".

use super::{Entry, Part, Stream, without_line_end};
use crate::timestamp;
use std::borrow::Cow;

/// Decodes one line of a CRI file; `None` if it is none.
pub fn decode(line: &[u8]) -> Option<Entry<'_>> {
    let line = without_line_end(line);
    let (time, rest) = field(line)?;
    let time = timestamp::rfc3339(time)?;
    let (stream, rest) = match rest.split_first_chunk()? {
        (b"stdout ", rest) => (Stream::Stdout, rest),
        (b"stderr ", rest) => (Stream::Stderr, rest),
        _ => return None,
    };
    let (part, tags) = match rest.split_first()? {
        (b'F', tags) => (Part::Full, tags),
        (b'P', tags) => (Part::Partial, tags),
        _ => return None,
    };
    let text = match tags {
        [] => tags,
        [b' ', text @ ..] => text,
        [b':', more @ ..] => field(more).map_or(&[][..], |(_, text)| text),
        _ => return None,
    };
    Some(Entry { time: Some(time), stream, part, text: Cow::Borrowed(text) })
}

/// What stands in front of the next space, and what behind it.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', line)?;
    Some((&line[..end], &line[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::super::PartJoiner;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_are_joined_with_the_first_time() {
        let mut joiner = PartJoiner::default();
        let mut lines = Vec::new();
        for line in [
            "2016-10-06T00:17:09.669794202Z stdout P log ",
            "2016-10-06T00:17:10Z stdout P content",
            "2016-10-06T00:17:11Z stdout F \n",
            "2016-10-06T00:17:12+02:00 stderr F next",
        ] {
            joiner.push(&decode(line.as_bytes()).expect("CRI"), |text, time| lines.push((text.to_vec(), time)));
        }
        assert_eq!(
            lines,
            [(b"log content".to_vec(), Some(1_475_713_029_669_794_202)), (b"next".to_vec(), Some(1_475_705_832_000_000_000))]
        );
    }

    #[test]
    fn other_lines_are_none() {
        for line in ["", "text", "2016-10-06T00:17:09Z stdout X a", "2016-10-06T00:17:09Z stdin F a", "2016-10-06 stdout F a"] {
            assert_eq!(decode(line.as_bytes()), None, "{line}");
        }
        assert_eq!(decode(b"2016-10-06T00:17:09Z stdout F").expect("CRI").text.as_ref(), b"");
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode(&line);
        }
    }
}
