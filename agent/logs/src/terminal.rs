//! Takes out of a line what only a terminal understands: colours and other control sequences (ECMA-48, sections 5.4 and 5.6).
//! Must never drop a byte that is text.

const ESCAPE: u8 = 0x1b;
/// Ends an operating system command; xterm's alternative to ST.
const BELL: u8 = 0x07;
/// Longest sequence; what is longer is none.
const MAX_SEQUENCE: usize = 256;

/// `line` without its control sequences, written to `room` if it has any.
pub(crate) fn plain<'a>(line: &'a [u8], room: &'a mut Vec<u8>) -> &'a [u8] {
    if !is_coloured(line) {
        return line;
    }
    room.clear();
    let mut rest = line;
    while let Some(at) = memchr::memchr(ESCAPE, rest) {
        room.extend_from_slice(&rest[..at]);
        rest = &rest[at + sequence(&rest[at..])..];
    }
    room.extend_from_slice(rest);
    room
}

/// Whether a line may have control sequences.
pub(crate) fn is_coloured(line: &[u8]) -> bool {
    memchr::memchr(ESCAPE, line).is_some()
}

/// The length of the sequence that starts `text`; that of the escape alone if it starts none.
fn sequence(text: &[u8]) -> usize {
    let window = &text[..text.len().min(MAX_SEQUENCE)];
    let length = match window.get(1) {
        // CSI, parameters, intermediates, and the byte that ends it.
        Some(b'[') => {
            let end = window[2..].iter().position(|byte| !matches!(byte, 0x20..=0x3f)).map(|end| end + 2);
            end.filter(|end| matches!(window[*end], 0x40..=0x7e)).map(|end| end + 1)
        }
        Some(b']') => {
            let end = window.iter().skip(2).position(|byte| matches!(*byte, BELL | ESCAPE)).map(|end| end + 2);
            end.map(|end| if window[end] == ESCAPE { end + 2 } else { end + 1 })
        }
        Some(b'(' | b')') if window.len() > 2 => Some(3),
        _ => None,
    };
    length.unwrap_or(1).min(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn colours_titles_and_character_sets_vanish_and_text_stays() {
        let cases: [(&[u8], &[u8]); 8] = [
            (b"\x1b[32mINFO\x1b[0m started", b"INFO started"),
            (b"[\x1b[1;93mWARNING\x1b[m] \x1b[38;5;12mx\x1b[K", b"[WARNING] x"),
            (b"\x1b]0;title\x07text", b"text"),
            (b"\x1b]8;;http://a/b\x1b\\link\x1b]8;;\x1b\\", b"link"),
            (b"\x1b(Btext", b"text"),
            (b"a\x1b", b"a"),
            (b"a\x1b[", b"a["),
            (b"none at all", b"none at all"),
        ];
        for (line, expected) in cases {
            assert_eq!(plain(line, &mut Vec::new()), expected, "{}", line.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe_and_no_escape_is_left(line in proptest::collection::vec(prop_oneof![Just(0x1b), Just(b'['), Just(b']'), any::<u8>()], 0..80)) {
            let mut room = Vec::new();
            let plain = plain(&line, &mut room);
            prop_assert!(!is_coloured(plain) && plain.len() <= line.len());
        }
    }
}
