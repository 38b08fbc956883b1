//! Writes a statement's text without its literals; lists of values become one.

use super::scan::{Kind, Token};

/// Where in `VALUES (…), (…)` the text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Values {
    #[default]
    No,
    /// The word was read.
    Named,
    /// In the first row, which is shown; the depth outside of it.
    First(u32),
    /// Behind a row.
    Between,
    /// Behind a row and a comma, which is not written yet.
    Comma,
    /// In a row that is not shown; the depth outside of it.
    Further(u32),
}

#[derive(Default)]
pub(super) struct Writer {
    depth: u32,
    values: Values,
    /// Depth inside the parentheses of `IN (…)`.
    list: Option<u32>,
    after_in: bool,
    /// The last token written in the list was a value.
    after_value: bool,
    /// A comma behind a value of a list is not written yet.
    comma: bool,
    /// The word before is `IS` or `NOT`: what follows is a test, no value.
    after_is: bool,
}

impl Writer {
    /// Writes what is shown of `token` to `text`.
    pub(super) fn token(&mut self, token: &Token<'_>, text: &mut Vec<u8>) {
        let outside = self.depth;
        match token.kind {
            Kind::Punct(b'(') => self.depth += 1,
            Kind::Punct(b')') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.values != Values::No && !self.is_shown(token, outside, text) {
            return;
        }
        let word = Word::of(token);
        let is_value = word == Word::Truth && !self.after_is || matches!(token.kind, Kind::Literal | Kind::Param);
        if self.list.is_some_and(|inside| self.is_collapsed(token, inside, is_value, text)) {
            return;
        }
        self.after_value = is_value;
        let shown = if is_value && token.kind != Kind::Param { b"?" } else { token.text };
        push(token.spaced, shown, text);
        if self.after_in && token.kind == Kind::Punct(b'(') {
            self.list = Some(self.depth);
        }
        self.after_in = word == Word::In;
        self.after_is = word == Word::Is;
        if word == Word::Values {
            self.values = Values::Named;
        }
    }

    /// Follows `VALUES (…), (…)`: only its first row is shown.
    fn is_shown(&mut self, token: &Token<'_>, outside: u32, text: &mut Vec<u8>) -> bool {
        let (opens, closes) = (token.kind == Kind::Punct(b'('), token.kind == Kind::Punct(b')'));
        match self.values {
            Values::Named => self.values = if opens { Values::First(outside) } else { Values::No },
            Values::First(around) if closes && self.depth == around => self.values = Values::Between,
            Values::Between if token.kind == Kind::Punct(b',') => {
                self.values = Values::Comma;
                return false;
            }
            Values::Between => self.values = Values::No,
            Values::Comma if opens => {
                self.values = Values::Further(outside);
                return false;
            }
            Values::Comma => {
                push(false, b",", text);
                self.values = Values::No;
            }
            Values::Further(around) => {
                if closes && self.depth == around {
                    self.values = Values::Between;
                }
                return false;
            }
            Values::No | Values::First(_) => {}
        }
        true
    }

    /// Whether `token` is dropped from a list of values.
    fn is_collapsed(&mut self, token: &Token<'_>, inside: u32, is_value: bool, text: &mut Vec<u8>) -> bool {
        if self.depth < inside {
            self.list = None;
            self.comma = false;
            return false;
        }
        match token.kind {
            Kind::Punct(b'-' | b'+') if self.depth == inside && (self.comma || !self.after_value) => return true,
            Kind::Punct(b',') if self.after_value && self.depth == inside => {
                self.comma = true;
                return true;
            }
            _ if self.comma && is_value => return true,
            _ => {}
        }
        if std::mem::take(&mut self.comma) {
            push(false, b",", text);
        }
        false
    }
}

/// Words that change how what follows is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    In,
    /// `IS` or `NOT`.
    Is,
    Truth,
    Values,
    Other,
}

impl Word {
    fn of(token: &Token<'_>) -> Self {
        if token.kind != Kind::Word {
            return Word::Other;
        }
        let is = |word: &[u8]| token.text.eq_ignore_ascii_case(word);
        match (token.text.len(), token.text[0] | 0x20) {
            (2, b'i') if is(b"in") => Word::In,
            (2, b'i') if is(b"is") => Word::Is,
            (3, b'n') if is(b"not") => Word::Is,
            (4, b't') if is(b"true") => Word::Truth,
            (5, b'f') if is(b"false") => Word::Truth,
            (5, b'v') if is(b"value") => Word::Values,
            (6, b'v') if is(b"values") => Word::Values,
            _ => Word::Other,
        }
    }
}

fn push(spaced: bool, bytes: &[u8], text: &mut Vec<u8>) {
    if spaced && !text.is_empty() {
        text.push(b' ');
    }
    text.extend_from_slice(bytes);
}
