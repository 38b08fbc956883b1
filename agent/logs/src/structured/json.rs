//! A JSON scanner that reports every scalar of a line with its dotted path (RFC 8259).
//! Must never recurse or allocate for depth: the path and a counter are its whole state.

use super::{MAX_DEPTH, MAX_KEY, Raw};
use crate::bytes::run_end;

/// The line is no JSON object.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("no JSON object: byte {at}")]
pub(crate) struct NotJson {
    at: usize,
}

/// Calls `field` with the path and value of every field of the object that fills `text`.
pub(crate) fn visit<'a>(text: &'a [u8], mut field: impl FnMut(&[u8], Raw<'a>)) -> Result<(), NotJson> {
    let mut scanner = Scanner { text, at: 1 };
    let mut path: Vec<u8> = Vec::new();
    let mut parents: Vec<usize> = Vec::new();
    let mut first = true;
    loop {
        if scanner.closes(first)? {
            match parents.pop() {
                None => break,
                Some(length) => path.truncate(length),
            }
            first = false;
            continue;
        }
        let parent = path.len();
        let name = scanner.key()?;
        let opens = scanner.peek() == Some(b'{') && parents.len() + 1 < MAX_DEPTH;
        match name {
            Raw::Plain(name) if parents.is_empty() && !opens => field(&name[..name.len().min(MAX_KEY)], scanner.value()?),
            name => {
                append_name(&mut path, name);
                if opens {
                    scanner.at += 1;
                    parents.push(parent);
                    first = true;
                    continue;
                }
                field(&path, scanner.value()?);
                path.truncate(parent);
            }
        }
        first = false;
    }
    scanner.skip_spaces();
    if scanner.at == text.len() { Ok(()) } else { Err(scanner.error()) }
}

/// Adds a field's name to the path of its parents.
fn append_name(path: &mut Vec<u8>, name: Raw<'_>) {
    if !path.is_empty() {
        path.push(b'.');
    }
    let name = name.text();
    path.extend_from_slice(&name[..name.len().min(MAX_KEY)]);
}

/// The string whose first byte is at `start`, and where the text goes on behind its closing quote.
pub(crate) fn string(text: &[u8], start: usize) -> Option<(Raw<'_>, usize)> {
    let mut at = start;
    let mut escaped = false;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            break;
        }
        escaped = true;
        at += 2;
    }
    let raw = &text[start..at];
    Some((if escaped { Raw::Escaped(raw) } else { Raw::Plain(raw) }, at + 1))
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn error(&self) -> NotJson {
        NotJson { at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        self.at = run_end(self.text, self.at, |byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    }

    fn expect(&mut self, byte: u8) -> Result<(), NotJson> {
        self.skip_spaces();
        if self.peek() != Some(byte) {
            return Err(self.error());
        }
        self.at += 1;
        self.skip_spaces();
        Ok(())
    }

    /// Whether the object ends here; else consumes the comma in front of the next field.
    fn closes(&mut self, first: bool) -> Result<bool, NotJson> {
        self.skip_spaces();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(true);
        }
        if !first {
            self.expect(b',')?;
        }
        Ok(false)
    }

    /// Reads a field's name and the colon behind it.
    fn key(&mut self) -> Result<Raw<'a>, NotJson> {
        let name = self.string()?;
        self.expect(b':')?;
        Ok(name)
    }

    fn string(&mut self) -> Result<Raw<'a>, NotJson> {
        if self.peek() != Some(b'"') {
            return Err(self.error());
        }
        let start = self.at + 1;
        let (text, end) = string(self.text, start).ok_or(NotJson { at: start })?;
        self.at = end;
        Ok(text)
    }

    fn value(&mut self) -> Result<Raw<'a>, NotJson> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'[' | b'{') => self.nested(),
            Some(b't') => self.literal(b"true", Raw::Bool(true)),
            Some(b'f') => self.literal(b"false", Raw::Bool(false)),
            Some(b'n') => self.literal(b"null", Raw::Null),
            Some(b'-' | b'0'..=b'9') => {
                let end = run_end(self.text, self.at, |byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
                let number = &self.text[self.at..end];
                self.at = end;
                Ok(Raw::Number(number))
            }
            _ => Err(self.error()),
        }
    }

    fn literal(&mut self, word: &[u8], value: Raw<'a>) -> Result<Raw<'a>, NotJson> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.error());
        }
        self.at += word.len();
        Ok(value)
    }

    /// An array or a deep object, taken whole: only brackets and strings are looked at.
    fn nested(&mut self) -> Result<Raw<'a>, NotJson> {
        let start = self.at;
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'[' | b'{' => depth += 1,
                b']' | b'}' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(Raw::Json(&self.text[start..self.at]));
            }
        }
        Err(self.error())
    }
}

/// The text of a string with escapes; an escape that is none stays as it is.
pub(crate) fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &raw[at..]) {
        out.extend_from_slice(&raw[at..at + found]);
        at += found;
        at += escape(&raw[at..], &mut out);
    }
    out.extend_from_slice(&raw[at..]);
    out
}

/// Writes what the escape at the start of `raw` stands for; returns its length.
fn escape(raw: &[u8], out: &mut Vec<u8>) -> usize {
    let simple = match raw.get(1) {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'b') => 8,
        Some(b'f') => 12,
        Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
        Some(b'u') => return unicode_escape(raw, out),
        _ => {
            out.push(b'\\');
            return 1;
        }
    };
    out.push(simple);
    2
}

fn unicode_escape(raw: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(high) = unit(raw, 2) else {
        out.push(b'\\');
        return 1;
    };
    let low = if raw.get(6..8) == Some(b"\\u") { unit(raw, 8) } else { None };
    let decoded = char::decode_utf16([high].into_iter().chain(low)).next();
    let (character, length) = match decoded {
        Some(Ok(character)) => (character, if character.len_utf16() == 2 { 12 } else { 6 }),
        _ => (char::REPLACEMENT_CHARACTER, 6),
    };
    let mut buffer = [0u8; 4];
    out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes());
    length
}

fn unit(raw: &[u8], at: usize) -> Option<u16> {
    let digits = raw.get(at..at + 4)?;
    digits.iter().try_fold(0u16, |value, byte| Some(value << 4 | u16::try_from(char::from(*byte).to_digit(16)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape(br#"a\n\t\"\\\/\u00e9\ud83d\ude00\ud83d\x"#), "a\n\t\"\\/é😀\u{fffd}\\x".as_bytes());
    }

    #[test]
    fn paths_are_flattened() {
        let mut seen = Vec::new();
        visit(br#"{"a":{"b":1,"c":{"d":"x"}},"e":[{"f":1}] , "g":null}"#, |path, value| {
            seen.push(format!("{}={}", String::from_utf8_lossy(path), String::from_utf8_lossy(&value.text())));
        })
        .expect("JSON");
        assert_eq!(seen, ["a.b=1", "a.c.d=x", "e=[{\"f\":1}]", "g="]);
    }

    proptest! {
        #[test]
        fn unescape_is_safe(raw in "[\\\\un\"a-f0-9d]{0,40}") {
            let _ = unescape(raw.as_bytes());
        }
    }
}
