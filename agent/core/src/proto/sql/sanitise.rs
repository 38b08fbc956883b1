//! Writes a statement's text without its literals; lists of values become one.

use super::scan::{Kind, Token};

/// Where in `VALUES (…), (…)` the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Values {
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

pub(super) struct Writer {
    limit: usize,
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
    full: bool,
}

impl Writer {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            depth: 0,
            values: Values::No,
            list: None,
            after_in: false,
            after_value: false,
            comma: false,
            after_is: false,
            full: false,
        }
    }

    /// Writes `token`. Returns whether it belongs to what is shown: further rows of values do not.
    pub(super) fn token(&mut self, token: &Token<'_>, text: &mut String) -> bool {
        let outside = self.depth;
        match token.kind {
            Kind::Punct(b'(') => self.depth += 1,
            Kind::Punct(b')') => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if !self.is_shown(token, outside, text) {
            return false;
        }
        let is_truth = token.kind == Kind::Word
            && !self.after_is
            && (token.text.eq_ignore_ascii_case(b"true") || token.text.eq_ignore_ascii_case(b"false"));
        let is_value = is_truth || matches!(token.kind, Kind::Literal | Kind::Param);
        if self.list.is_some_and(|inside| self.is_collapsed(token, inside, is_value, text)) {
            return true;
        }
        self.after_value = is_value;
        match token.kind {
            Kind::Param => self.push(token.spaced, token.text, text),
            _ if is_value => self.push(token.spaced, b"?", text),
            _ => self.push(token.spaced, token.text, text),
        }
        if self.after_in && token.kind == Kind::Punct(b'(') {
            self.list = Some(self.depth);
        }
        let is_word = |word: &[u8]| token.kind == Kind::Word && token.text.eq_ignore_ascii_case(word);
        self.after_in = is_word(b"in");
        self.after_is = is_word(b"is") || is_word(b"not");
        if is_word(b"values") || is_word(b"value") {
            self.values = Values::Named;
        }
        true
    }

    /// Follows `VALUES (…), (…)`: only its first row is shown.
    fn is_shown(&mut self, token: &Token<'_>, outside: u32, text: &mut String) -> bool {
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
                self.push(false, b",", text);
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
    fn is_collapsed(&mut self, token: &Token<'_>, inside: u32, is_value: bool, text: &mut String) -> bool {
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
            self.push(false, b",", text);
        }
        false
    }

    fn push(&mut self, spaced: bool, bytes: &[u8], text: &mut String) {
        if self.full {
            return;
        }
        if spaced && !text.is_empty() {
            text.push(' ');
        }
        push_utf8(bytes, text);
        self.full = text.len() > self.limit;
    }

    /// Writes the text as it is.
    pub(super) fn raw(&mut self, raw: &[u8], text: &mut String) {
        push_utf8(&raw[..raw.len().min(self.limit.saturating_add(1))], text);
        self.full = raw.len() > self.limit;
    }

    /// Cuts the text to the limit. Returns whether anything was cut.
    pub(super) fn finish(&self, text: &mut String) -> bool {
        text.truncate(text.floor_char_boundary(self.limit));
        self.full
    }
}

fn push_utf8(bytes: &[u8], text: &mut String) {
    match std::str::from_utf8(bytes) {
        Ok(part) => text.push_str(part),
        Err(_) => text.push_str(&String::from_utf8_lossy(bytes)),
    }
}
