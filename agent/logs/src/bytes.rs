//! Byte classes shared by every scanner of this crate, so that "what is a word" has one answer.
//! Must never allocate or look beyond the slice it is given.

/// A decimal digit.
pub(crate) const DIGIT: u8 = 1;
/// An ASCII letter outside `a`–`f`, or any byte of a non-ASCII character.
pub(crate) const LETTER: u8 = 2;
/// One of the letters `a`–`f`, `A`–`F`: a letter that may also be a hexadecimal digit.
pub(crate) const HEX_LETTER: u8 = 4;
/// A full stop.
pub(crate) const DOT: u8 = 8;
/// A slash.
pub(crate) const SLASH: u8 = 16;
/// `@` or a backslash: marks of addresses and Windows names.
pub(crate) const ADDRESS: u8 = 32;
/// White space and control bytes.
pub(crate) const SPACE: u8 = 64;
/// Punctuation that ends a token.
pub(crate) const SEPARATOR: u8 = 128;
/// Any letter.
pub(crate) const ANY_LETTER: u8 = LETTER | HEX_LETTER;
/// What ends a token.
pub(crate) const END: u8 = SPACE | SEPARATOR;

/// The class bits of every byte. A byte without bits is punctuation that may stand inside a token (`-`, `_`, `%` …).
pub(crate) const CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'a'..=b'f' | b'A'..=b'F' => HEX_LETTER,
            b'g'..=b'z' | b'G'..=b'Z' | 0x80..=0xff => LETTER,
            b'.' => DOT,
            b'/' => SLASH,
            b'@' | b'\\' => ADDRESS,
            0..=b' ' | 0x7f => SPACE,
            b'=' | b':' | b',' | b';' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>' | b'|' | b'"' | b'\'' | b'`' => SEPARATOR,
            _ => 0,
        };
        byte += 1;
    }
    table
}

/// A set of bytes: one look-up tells whether a byte is in it.
pub(crate) struct ByteSet([bool; 256]);

impl ByteSet {
    /// White space, control bytes and `others`.
    pub(crate) const fn spaces_and(others: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            set[byte] = CLASS[byte] & SPACE != 0;
            byte += 1;
        }
        let mut at = 0;
        while at < others.len() {
            set[others[at] as usize] = true;
            at += 1;
        }
        Self(set)
    }

    /// Whether `byte` is in the set.
    #[inline]
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }
}

/// Whether `byte` is a letter, a digit or part of a non-ASCII character.
pub(crate) fn is_alphanumeric(byte: u8) -> bool {
    CLASS[usize::from(byte)] & (ANY_LETTER | DIGIT) != 0
}

/// Whether `byte` is white space or a control byte.
pub(crate) fn is_space(byte: u8) -> bool {
    CLASS[usize::from(byte)] & SPACE != 0
}

/// `text` without white space at both ends.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    trim_start(trim_end(text))
}

/// `text` without white space at its start.
pub(crate) fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_space(*byte)).unwrap_or(text.len());
    &text[start..]
}

/// `text` without white space at its end.
pub(crate) fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| !is_space(*byte)).map_or(0, |last| last + 1);
    &text[..end]
}

/// Where the run of bytes for which `holds` is true, starting at `from`, ends.
pub(crate) fn run_end(text: &[u8], from: usize, holds: impl Fn(u8) -> bool) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !holds(*byte)).unwrap_or(rest.len())
}

/// The position of `needle` in `text`, at or after `from`.
pub(crate) fn find(text: &[u8], from: usize, needle: u8) -> Option<usize> {
    memchr::memchr(needle, text.get(from..)?).map(|found| from + found)
}

/// Whether `text` holds `needle`.
pub(crate) fn contains(text: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(text, needle).is_some()
}

/// `text` as UTF-8, bytes that are none replaced by U+FFFD.
pub(crate) fn lossy(text: &[u8]) -> String {
    // The usual case by itself: this looks at many bytes at once, the replacing one at each.
    std::str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text).into_owned(), str::to_owned)
}
