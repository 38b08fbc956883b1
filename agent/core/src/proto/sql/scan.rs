//! SQL text into tokens: just enough to know where literals, names and comments end.

use super::{Backslash, Dialect, Rules};
use memchr::{memchr, memchr2, memmem};

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Keyword or plain name.
    Word,
    /// Name in quotes.
    Quoted,
    /// String, number, bit string: never shown.
    Literal,
    /// Placeholder of a parameter.
    Param,
    /// Comment, marks included.
    Comment,
    /// Any other single byte.
    Punct(u8),
}

/// A token with its bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a [u8],
    /// Whether white space or a comment is in front of it.
    pub(super) spaced: bool,
}

pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    rules: Rules,
    /// Whether the token before can be followed by `.name`.
    after_name: bool,
    after_comment: bool,
    /// Inside MySQL's `/*! code */`.
    conditional: bool,
}

/// Classes of bytes, as bits of [`CLASS`].
const SPACE: u8 = 1;
const WORD_START: u8 = 2;
const WORD: u8 = 4;

static CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c | 0 => SPACE,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => WORD_START | WORD,
            b'0'..=b'9' | b'$' | b'@' => WORD,
            _ => 0,
        };
        byte += 1;
    }
    table
};

fn is(byte: u8, class: u8) -> bool {
    CLASS[usize::from(byte)] & class != 0
}

/// Number of bytes at the start of `bytes` that are of `class`.
fn run(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|byte| !is(*byte, class)).unwrap_or(bytes.len())
}

fn is_word_start(byte: u8) -> bool {
    is(byte, WORD_START)
}

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8], rules: Rules) -> Self {
        Self { bytes, at: 0, rules, after_name: false, after_comment: false, conditional: false }
    }

    /// What follows the last token.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next token; `None` at the end.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        let spaces = run(self.rest(), SPACE);
        self.at += spaces;
        let rest = self.rest();
        let first = *rest.first()?;
        if self.conditional && rest.starts_with(b"*/") {
            (self.at, self.conditional, self.after_comment) = (self.at + 2, false, true);
            return self.next();
        }
        if first == b'/' && self.rules.dialect == Dialect::MySql && (rest.starts_with(b"/*!") || rest.starts_with(b"/*M!")) {
            let mark = if rest[2] == b'M' { 4 } else { 3 };
            let digits = rest[mark..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            (self.at, self.conditional, self.after_comment) = (self.at + mark + digits, true, true);
            return self.next();
        }
        let (kind, len) = self.token(first, rest);
        let len = len.clamp(1, rest.len());
        let after_comment = std::mem::replace(&mut self.after_comment, kind == Kind::Comment);
        let spaced = spaces > 0 || after_comment;
        self.after_name = matches!(kind, Kind::Word | Kind::Quoted | Kind::Punct(b')' | b']'));
        self.at += len;
        Some(Token { kind, text: &rest[..len], spaced })
    }

    fn token(&self, first: u8, rest: &[u8]) -> (Kind, usize) {
        let second = rest.get(1).copied().unwrap_or(0);
        let Rules { dialect, backslash } = self.rules;
        let is_mysql = dialect == Dialect::MySql;
        match first {
            b'\'' => (Kind::Literal, quoted(rest, 0, backslash)),
            b'"' if is_mysql => (Kind::Literal, quoted(rest, 0, backslash)),
            b'"' => (Kind::Quoted, quoted(rest, 0, Backslash::Plain)),
            b'`' if is_mysql => (Kind::Quoted, quoted(rest, 0, Backslash::Plain)),
            b'-' if second == b'-' && (!is_mysql || rest.get(2).is_none_or(|byte| *byte <= b' ')) => (Kind::Comment, line(rest)),
            b'#' if is_mysql => (Kind::Comment, line(rest)),
            b'/' if second == b'*' => (Kind::Comment, block(rest, !is_mysql)),
            b'?' => (Kind::Param, 1),
            b'$' if second.is_ascii_digit() => (Kind::Param, 1 + rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count()),
            b'$' if !is_mysql => dollar(rest).map_or((Kind::Punct(b'$'), 1), |len| (Kind::Literal, len)),
            b'0'..=b'9' => (Kind::Literal, number(rest)),
            b'.' if second.is_ascii_digit() && !self.after_name => (Kind::Literal, number(rest)),
            b'@' | b'$' if is_mysql => (Kind::Word, 1 + word(&rest[1..])),
            _ if is_word_start(first) => self.word_or_string(rest),
            _ => (Kind::Punct(first), 1),
        }
    }

    /// A word, or a string with a prefix: `E'…'`, `B'…'`, `X'…'`, `N'…'`, `U&'…'`.
    fn word_or_string(&self, rest: &[u8]) -> (Kind, usize) {
        let len = word(rest);
        let Rules { dialect, backslash } = self.rules;
        let is_mysql = dialect == Dialect::MySql;
        match (&rest[..len], rest.get(len)) {
            ([b'e' | b'E'], Some(b'\'')) if !is_mysql => (Kind::Literal, quoted(rest, 1, Backslash::Escape)),
            ([b'b' | b'B' | b'x' | b'X' | b'n' | b'N'], Some(b'\'')) => (Kind::Literal, quoted(rest, 1, backslash)),
            ([b'u' | b'U'], Some(b'&')) if !is_mysql && rest.get(2) == Some(&b'\'') => (Kind::Literal, quoted(rest, 2, backslash)),
            _ => (Kind::Word, len),
        }
    }
}

fn word(rest: &[u8]) -> usize {
    run(rest, WORD)
}

/// Length of a number, of whatever base, with its fraction and exponent.
fn number(rest: &[u8]) -> usize {
    let mut len = 0;
    while let Some(byte) = rest.get(len) {
        let is_sign = matches!(byte, b'+' | b'-') && matches!(rest[len - 1], b'e' | b'E') && !rest.starts_with(b"0x");
        if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || len > 0 && is_sign) {
            break;
        }
        len += 1;
    }
    len
}

/// Length of a quoted token whose quote stands at `open`; one whose end is not certain reaches to the end of the text.
fn quoted(rest: &[u8], open: usize, backslash: Backslash) -> usize {
    let quote = rest[open];
    let mut at = open + 1;
    loop {
        let left = rest.get(at..).unwrap_or_default();
        let found = if backslash == Backslash::Plain { memchr(quote, left) } else { memchr2(quote, b'\\', left) };
        let Some(found) = found else { return rest.len() };
        at += found;
        let next = rest.get(at + 1);
        at += match (rest[at] == b'\\', backslash) {
            (true, Backslash::Escape) => 2,
            // The two readings part here: what either takes for a literal must not be shown.
            (true, _) if next == Some(&quote) => return rest.len(),
            (true, _) if next == Some(&b'\\') => 2,
            (true, _) => 1,
            (false, _) if next == Some(&quote) => 2,
            (false, _) => return at + 1,
        };
    }
}

fn line(rest: &[u8]) -> usize {
    memchr(b'\n', rest).map_or(rest.len(), |end| end + 1)
}

fn block(rest: &[u8], nests: bool) -> usize {
    if !nests {
        return memmem::find(&rest[2..], b"*/").map_or(rest.len(), |end| end + 4);
    }
    let (mut at, mut depth) = (2, 1);
    while depth > 0 {
        let Some(found) = memchr2(b'*', b'/', rest.get(at..).unwrap_or_default()) else { return rest.len() };
        at += found;
        match rest.get(at..at + 2) {
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            _ => at += 1,
        }
    }
    at
}

/// Length of `$tag$…$tag$`, if this begins one.
fn dollar(rest: &[u8]) -> Option<usize> {
    let tag = rest[1..].iter().take_while(|byte| is_word_start(**byte) || byte.is_ascii_digit()).count();
    let open = rest.get(..tag + 2).filter(|open| open.ends_with(b"$"))?;
    Some(memmem::find(&rest[open.len()..], open).map_or(rest.len(), |end| end + 2 * open.len()))
}
