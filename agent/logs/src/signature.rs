//! The stateless half of pattern recognition: one pass over a message tells constant words from variable parts.
//! It must never consult state, dictionaries or regular expressions: the same bytes give the same signature on
//! every node, and everything later (merging, ids) is built on that.
//!
//! A token is variable if it has a digit, is hexadecimal, a URL, path, e-mail address, host or dotted name, a quoted
//! value, a truth value or null, a date word beside a number, a unit after a number, or the value after `key=`.
//! Runs of variables and the punctuation between them are one variable, as are lists and maps in brackets: any length looks alike.

mod brackets;
mod glue;
mod pairs;
mod quotes;
mod states;
mod words;

use crate::bytes::{ANY_LETTER, CLASS, DIGIT, DOT, END, LETTER, SLASH, is_alphanumeric, is_space, run_end};
use crate::hash;
use crate::header::is_mnemonic;
use brackets::{Address, address, bracketed, is_list};
use glue::Glue;
pub(crate) use words::is_exception_type;
use words::{follows_scheme, hex_groups, is_key, is_literal, is_month, is_number, is_unit, is_variable_name, is_weekday};

/// What stands for a variable in a template.
pub const PLACEHOLDER: &str = "<*>";
/// Words and variables looked at in one message; what follows is one variable.
pub(crate) const MAX_ITEMS: usize = 96;
/// Longest word kept as a constant; a longer one is data.
const MAX_WORD: usize = 64;
/// How far a quoted or bracketed value may reach.
const MAX_VALUE: usize = 1024;

/// Receives a message's canonical parts in order.
pub(crate) trait Sink {
    /// Punctuation and single spaces in front of the next part, or at the end.
    fn glue(&mut self, glue: &[u8]);
    /// A constant word.
    fn word(&mut self, word: &[u8]);
    /// A variable, or a run of them.
    fn variable(&mut self);
}

/// The hash of a message's canonical parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HashSink {
    /// The running hash.
    pub(crate) hash: u64,
    /// Constant words so far.
    pub(crate) words: u32,
}

impl HashSink {
    pub(crate) fn new() -> Self {
        Self { hash: 0, words: 0 }
    }
}

impl Sink for HashSink {
    #[inline]
    fn glue(&mut self, glue: &[u8]) {
        self.hash = if glue == b" " { !self.hash } else { hash::mix_short(self.hash, glue) };
    }
    #[inline]
    fn word(&mut self, word: &[u8]) {
        self.words += 1;
        self.hash = hash::mix_short(self.hash, word);
    }
    #[inline]
    fn variable(&mut self) {
        self.hash = hash::mix(self.hash, 0x2a);
    }
}

/// Scans `message` once and reports its parts.
#[inline]
pub(crate) fn scan<S: Sink>(message: &[u8], sink: &mut S) {
    Scanner::new(message, sink).run();
}

/// What the last reported part was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Start,
    Word,
    Number,
    Variable,
}

impl Last {
    fn is_variable(self) -> bool {
        matches!(self, Self::Number | Self::Variable)
    }
}

struct Scanner<'a, 'b, S> {
    text: &'a [u8],
    at: usize,
    glue: Glue,
    last: Last,
    items: usize,
    /// Opening brackets that vanished in a run of variables; their closers vanish too.
    dropped_openers: u32,
    /// Set once a search for a closing double quote failed: there is none further on.
    no_more_quotes: bool,
    /// Set once a brace or bracket did not close: none is looked for further on.
    no_more_braces: bool,
    no_more_brackets: bool,
    /// Where the quote stands that closes the text the message began with.
    message_end: usize,
    sink: &'b mut S,
}

impl<'a, 'b, S: Sink> Scanner<'a, 'b, S> {
    fn new(message: &'a [u8], sink: &'b mut S) -> Self {
        Self {
            text: unquoted(message),
            at: 0,
            glue: Glue::new(),
            last: Last::Start,
            items: 0,
            dropped_openers: 0,
            no_more_quotes: false,
            no_more_braces: false,
            no_more_brackets: false,
            message_end: usize::MAX,
            sink,
        }
    }

    fn run(mut self) {
        while let Some(&byte) = self.text.get(self.at) {
            if self.items >= MAX_ITEMS {
                self.variable(Last::Variable);
                break;
            }
            let class = CLASS[usize::from(byte)];
            if class & END == 0 {
                self.token();
            } else if is_space(byte) {
                self.at += 1;
                self.glue.space();
            } else {
                self.separator(byte);
            }
        }
        self.finish();
    }

    /// Reports the glue behind the last part; closing punctuation of a sentence says nothing.
    fn finish(self) {
        let mut glue = self.glue.as_bytes();
        while let [rest @ .., b' ' | b'.' | b',' | b';' | b'!' | b'-'] = glue {
            glue = rest;
        }
        if !glue.is_empty() {
            self.sink.glue(glue);
        }
    }

    fn separator(&mut self, byte: u8) {
        match byte {
            b'"' => self.double_quote(),
            b'\'' | b'`' => self.single_quote(byte),
            b'=' => self.equals(),
            b'(' if self.nothing() => {}
            b'[' if self.bracketed_address() => {}
            b'[' | b'{' if self.collection(byte) => {}
            b'(' | b'[' | b'{' => {
                self.glue.push(byte);
                self.glue.openers += 1;
                self.at += 1;
            }
            b')' | b']' | b'}' => self.closer(byte),
            b'<' | b'>' if self.text.get(self.at + 1).is_some_and(u8::is_ascii_digit) && !self.after_alphanumeric() && !self.encloses() => {
                self.at += 1;
            }
            _ => {
                self.glue.push(byte);
                self.at += 1;
            }
        }
    }

    /// A list or map in brackets, which is one value whatever its length: `{a=b, c=d}`, `{"a":1}`, `[x, y]`.
    fn collection(&mut self, opener: u8) -> bool {
        let unclosed = if opener == b'{' { &mut self.no_more_braces } else { &mut self.no_more_brackets };
        if *unclosed {
            return false;
        }
        let window = &self.text[self.at..self.text.len().min(self.at + MAX_VALUE)];
        let Some(length) = bracketed(window) else {
            *unclosed = true;
            return false;
        };
        let inner = &window[1..length - 1];
        let is_collection =
            if opener == b'{' { memchr::memchr2(b'=', b':', inner).is_some() } else { is_list(inner) || self.is_announced_list(length) };
        if is_collection {
            self.glue.push(opener);
            self.glue.openers += 1;
            self.variable(Last::Variable);
            self.at += length;
            self.push_closer(window[length - 1]);
        }
        is_collection
    }

    /// Whether brackets behind a colon, with which the message ends, hold names: `running: [a b c]`, as Go prints a slice.
    fn is_announced_list(&self, length: usize) -> bool {
        let rest = &self.text[self.at..];
        let inner = &rest[1..length - 1];
        let names = inner.iter().all(|byte| is_alphanumeric(*byte) || matches!(byte, b' ' | b'-' | b'_' | b'.' | b'/'));
        self.last == Last::Word && self.glue.as_bytes() == b": " && names && !inner.is_empty() && rest.len() == length
    }

    /// An address in brackets: with its port, `[::1]:80`, it is one value.
    fn bracketed_address(&mut self) -> bool {
        let Some(Address { length, has_port }) = address(&self.text[self.at..]) else { return false };
        self.at += length;
        if has_port {
            self.variable(Last::Variable);
        } else {
            self.glue.push(b'[');
            self.glue.openers += 1;
            self.variable(Last::Variable);
            self.push_closer(b']');
        }
        true
    }

    /// `(nil)` and `(null)`, as C libraries print a null pointer.
    fn nothing(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let length = [&b"(nil)"[..], b"(null)"].iter().find(|nothing| rest.starts_with(nothing)).map_or(0, |nothing| nothing.len());
        if length > 0 && !self.after_alphanumeric() {
            self.at += length;
            self.variable(Last::Variable);
            return true;
        }
        false
    }

    /// Whether a value in angle brackets starts here: `<10.0.0.1:9618>`.
    fn encloses(&self) -> bool {
        let end = run_end(self.text, self.at + 1, |byte| !is_space(byte) && !matches!(byte, b'<' | b'>' | b',' | b';'));
        self.text[self.at] == b'<' && self.text.get(end) == Some(&b'>')
    }

    fn after_alphanumeric(&self) -> bool {
        self.at > 0 && is_alphanumeric(self.text[self.at - 1])
    }

    /// A closing bracket. Brackets around nothing but punctuation hold an empty variable, except after a name: `init()`.
    fn closer(&mut self, byte: u8) {
        self.at += 1;
        let opener = match byte {
            b')' => b'(',
            b']' => b'[',
            _ => b'{',
        };
        let pair = self.glue.as_bytes().iter().rposition(|have| *have == opener);
        match pair {
            Some(0) if self.last == Last::Word && opener == b'(' => {
                self.glue.push(byte);
                self.glue.openers = self.glue.openers.saturating_sub(1);
            }
            Some(position) => {
                self.glue.len = position + 1;
                self.variable(Last::Variable);
                self.push_closer(byte);
            }
            None => self.push_closer(byte),
        }
    }

    fn push_closer(&mut self, byte: u8) {
        if self.dropped_openers > 0 {
            self.dropped_openers -= 1;
            return;
        }
        self.glue.push(byte);
        self.glue.closers += 1;
    }

    fn token(&mut self) {
        let start = self.at;
        let (mut end, mut flags) = self.token_run(start);
        if self.is_plain(end, flags) {
            self.at = end;
            self.plain_word(start, end);
            return;
        }
        if self.text.get(end) == Some(&b':')
            && let Some(end) = hex_groups(self.text, start, end)
        {
            self.at = end;
            self.variable(Last::Variable);
            return;
        }
        if matches!(self.text.get(end), Some(b'\'' | b'"'))
            && let Some(end) = self.literal_end(start, end)
        {
            self.at = end;
            self.variable(Last::Variable);
            return;
        }
        while self.text.get(end) == Some(&b'\'') && flags & ANY_LETTER != 0 && self.apostrophe_inside(end) {
            let (more, more_flags) = self.token_run(end + 1);
            end = more;
            flags |= more_flags;
        }
        while flags & ANY_LETTER != 0 && self.scope_inside(end) {
            let (more, more_flags) = self.token_run(end + 2);
            end = more;
            flags |= more_flags;
        }
        if flags & (ANY_LETTER | DIGIT) == 0 {
            self.punctuation(start, end);
            return;
        }
        if let Some(end) = self.long_address(start, end, flags) {
            self.at = end;
            self.variable(Last::Variable);
            return;
        }
        if self.text.get(end) == Some(&b',')
            && let Some(end) = self.name_list(end)
        {
            self.at = end;
            self.variable(Last::Variable);
            return;
        }
        if flags & DOT != 0 {
            end = self.split_dots(start, end);
        }
        let core_end = core_end(self.text, start, end);
        if core_end == start {
            // What had the letters or digits was split off: `!..0`.
            self.punctuation(start, end);
            return;
        }
        self.classify(start, core_end, flags);
        self.at = core_end;
        while self.at < end {
            self.glue.push(self.text[self.at]);
            self.at += 1;
        }
    }

    #[inline]
    fn token_run(&self, start: usize) -> (usize, u8) {
        let text = self.text;
        let (mut flags, mut end) = (0u8, start);
        while end < text.len() {
            let class = CLASS[usize::from(text[end])];
            if class & END != 0 {
                break;
            }
            flags |= class;
            end += 1;
        }
        (end, flags)
    }

    /// Whether `::` at `at` joins two names.
    fn scope_inside(&self, at: usize) -> bool {
        self.text.get(at..at + 2) == Some(b"::") && self.text.get(at + 2).is_some_and(|next| CLASS[usize::from(*next)] & ANY_LETTER != 0)
    }

    /// Where a list of three names or more with nothing but commas between them ends: `a,b,c`.
    fn name_list(&self, first: usize) -> Option<usize> {
        let mut end = first;
        let mut commas = 0;
        while end - first < MAX_VALUE && self.text.get(end) == Some(&b',') {
            let (next, flags) = self.token_run(end + 1);
            if flags & (ANY_LETTER | DIGIT) == 0 {
                break;
            }
            end = next;
            commas += 1;
        }
        let ends = self.text.get(end).is_none_or(|byte| !matches!(byte, b'=' | b'\''));
        (commas >= 2 && ends).then(|| core_end(self.text, first, end))
    }

    fn apostrophe_inside(&self, at: usize) -> bool {
        self.text.get(at + 1).is_some_and(|next| CLASS[usize::from(*next)] & ANY_LETTER != 0) && is_alphanumeric(self.text[at - 1])
    }

    /// A token without letter or digit is punctuation; a lone slash is a path.
    fn punctuation(&mut self, start: usize, end: usize) {
        self.at = end;
        if &self.text[start..end] == b"/" && self.glue.last().is_none_or(|byte| byte == b' ') {
            self.variable(Last::Variable);
            return;
        }
        for byte in &self.text[start..end] {
            self.glue.push(*byte);
        }
    }

    /// The end of a URL, a Windows path or a path with a query, which go on through separators.
    fn long_address(&self, start: usize, end: usize, flags: u8) -> Option<usize> {
        let next = self.text.get(end).copied();
        let rest = self.text.get(end + 1..).unwrap_or_default();
        let url = next == Some(b':') && rest.starts_with(b"//");
        let drive = next == Some(b':') && end - start == 1 && rest.first() == Some(&b'\\');
        let query = flags & SLASH != 0 && next == Some(b'=');
        (url || drive || query).then(|| {
            let stop = |byte: u8| is_space(byte) || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b')' | b']' | b'}' | b'|');
            let end = run_end(self.text, end, |byte| !stop(byte));
            let trailing = self.text[..end].iter().rev().take_while(|byte| matches!(byte, b'.' | b',' | b';' | b':')).count();
            end - trailing
        })
    }

    /// Two dots or more end a token (`enable......0`), unless they begin a relative path.
    fn split_dots(&self, start: usize, end: usize) -> usize {
        let token = &self.text[start..end];
        match token.windows(2).position(|pair| pair == b"..") {
            Some(position) if position > 0 && token[position - 1] != b'/' => start + position,
            _ => end,
        }
    }

    /// Whether a token is nothing but letters with a space behind it, as most are.
    #[inline]
    fn is_plain(&self, end: usize, flags: u8) -> bool {
        flags & !ANY_LETTER == 0
            && flags & LETTER != 0
            && self.text.get(end).is_none_or(|byte| *byte == b' ')
            && CLASS[usize::from(self.text[end - 1])] & ANY_LETTER != 0
    }

    /// As [`Self::classify`] for what [`Self::is_plain`].
    #[inline]
    fn plain_word(&mut self, start: usize, end: usize) {
        let word = &self.text[start..end];
        if self.last == Last::Number && self.after_number() && (is_unit(word) || is_month(word)) {
            self.variable(Last::Number);
        } else if word.len() > MAX_WORD || is_literal(word) || self.is_date_word(word, end) || self.is_secret_value(word, start) {
            self.variable(Last::Variable);
        } else if !self.transition(end) && !(word == b"from" && self.change(end)) {
            self.word(word);
        }
    }

    fn classify(&mut self, start: usize, end: usize, flags: u8) {
        let word = &self.text[start..end];
        if flags & DIGIT != 0 && is_mnemonic(word) {
            self.word(word);
        } else if flags & DIGIT != 0 && word.iter().any(u8::is_ascii_digit) {
            self.variable(if is_number(word) { Last::Number } else { Last::Variable });
        } else if self.last == Last::Number && self.after_number() && self.text.get(end) != Some(&b'=') && (is_unit(word) || is_month(word))
        {
            self.variable(Last::Number);
        } else if self.is_value(word, start, end, flags) {
            self.variable(Last::Variable);
        } else {
            self.word(word);
        }
    }

    /// Whether a word without digits is a value by its form or its place.
    fn is_value(&self, word: &[u8], start: usize, end: usize, flags: u8) -> bool {
        let called = self.text.get(end) == Some(&b'(');
        word.len() > MAX_WORD
            || is_variable_name(word, flags, called) && !(self.text.get(end) == Some(&b'=') && is_key(word))
            || is_literal(word)
            || self.is_date_word(word, end)
            || self.is_secret_value(word, start)
    }

    /// Whether the word is what `password: ` or `Bearer ` announces.
    #[inline]
    fn is_secret_value(&self, word: &[u8], start: usize) -> bool {
        let may = match self.glue.as_bytes() {
            [] => false,
            // Behind `Bearer` or `Basic`, or more than one blank.
            [b' '] => word.len() >= 8 && start >= 2 && (matches!(self.text[start - 2], b'r' | b'c') || is_space(self.text[start - 2])),
            glue => glue.contains(&b':'),
        };
        may && self.follows_secret_name(word, start)
    }

    #[inline(never)]
    fn follows_secret_name(&self, word: &[u8], start: usize) -> bool {
        match self.glue.as_bytes() {
            b" " => word.len() >= 8 && follows_scheme(&self.text[..start]),
            [.., b':'] | [.., b':', b' '] => {
                let before = crate::bytes::trim_end(&self.text[..start]);
                before.strip_suffix(b":").is_some_and(crate::redact::is_secret)
            }
            _ => false,
        }
    }

    fn after_number(&self) -> bool {
        matches!(self.glue.as_bytes(), b"" | b" " | b"-" | b"/")
    }

    /// The name of a weekday or a month in front of a number or another such name.
    #[inline]
    fn is_date_word(&self, word: &[u8], end: usize) -> bool {
        word[0].is_ascii_uppercase() && (3..=9).contains(&word.len()) && self.is_date_name(word, end)
    }

    #[inline(never)]
    fn is_date_name(&self, word: &[u8], end: usize) -> bool {
        if !(is_month(word) || is_weekday(word)) {
            return false;
        }
        let next = run_end(self.text, end, |byte| is_space(byte) || matches!(byte, b',' | b'.' | b'-' | b'/'));
        let next_end = run_end(self.text, next, |byte| byte.is_ascii_alphabetic());
        let next_word = &self.text[next..next_end];
        next > end && (self.text.get(next).is_some_and(u8::is_ascii_digit) || is_month(next_word))
    }

    #[inline]
    fn word(&mut self, word: &[u8]) {
        self.emit_glue();
        self.sink.word(word);
        self.last = Last::Word;
        self.items += 1;
    }

    #[inline]
    fn variable(&mut self, kind: Last) {
        if self.last.is_variable() && self.glue.closers <= self.glue.openers && self.closers_first() && !self.glue.opens_aside() {
            self.dropped_openers += u32::from(self.glue.openers - self.glue.closers);
            self.glue.clear();
        } else {
            self.emit_glue();
            self.sink.variable();
            self.items += 1;
        }
        self.last = kind;
    }

    /// Whether the glue between two variables can vanish: it closes only what it opens again.
    fn closers_first(&self) -> bool {
        self.glue.closers == 0 || self.glue.closers == self.glue.openers
    }

    #[inline]
    fn emit_glue(&mut self) {
        if self.glue.len > 0 && !(self.last == Last::Start && self.glue.as_bytes() == b" ") {
            self.sink.glue(self.glue.as_bytes());
        }
        self.glue.clear();
    }
}

/// A message that is one quoted string, without its quotes.
fn unquoted(message: &[u8]) -> &[u8] {
    match message {
        [b'"', inner @ .., b'"'] if memchr::memchr(b'"', inner).is_none() => inner,
        _ => message,
    }
}

/// Where a token ends when closing punctuation is left off.
fn core_end(text: &[u8], start: usize, end: usize) -> usize {
    let trailing = text[start..end].iter().rev().take_while(|byte| matches!(byte, b'.' | b'!' | b'?' | b'-')).count();
    end - trailing
}

#[cfg(test)]
mod tests;
