//! Texts in quotes, which are values, and what else quotes and apostrophes stand for.
//! Must never look for the end of a quote twice where there is none.

use super::{Last, MAX_VALUE, Scanner, Sink};
use crate::bytes::{CLASS, END, find, is_alphanumeric, is_space, run_end};

/// How far an apostrophe looks for its partner.
const MAX_APOSTROPHE: usize = 128;

impl<S: Sink> Scanner<'_, '_, S> {
    /// A quoted value, or the request line of an HTTP log, whose method stays.
    pub(super) fn double_quote(&mut self) {
        let start = self.at + 1;
        if self.at == self.message_end {
            self.at += 1;
            return;
        }
        if let Some(end) = self.quoted_message_end(start) {
            self.message_end = end;
            self.at = start;
            return;
        }
        let Some(end) = self.closing_quote(start) else {
            self.at += 1;
            return;
        };
        let value = &self.text[start..end];
        if let Some(method) = http_method(value) {
            self.word(method);
            self.glue.space();
        }
        self.at = end + 1;
        self.variable(Last::Variable);
    }

    /// The end of a text in quotes that begins the message, if `key=value` pairs follow it: then it is no value.
    fn quoted_message_end(&mut self, start: usize) -> Option<usize> {
        if self.last != Last::Start {
            return None;
        }
        let end = self.closing_quote(start)?;
        let key = run_end(self.text, end + 1, is_space);
        let key_end = run_end(self.text, key, |byte| CLASS[usize::from(byte)] & END == 0);
        (key > end + 1 && key_end > key && self.text.get(key_end) == Some(&b'=')).then_some(end)
    }

    fn closing_quote(&mut self, start: usize) -> Option<usize> {
        if self.no_more_quotes {
            return None;
        }
        let mut from = start;
        loop {
            let Some(end) = find(self.text, from, b'"') else {
                self.no_more_quotes = from == start;
                return None;
            };
            if self.text[end - 1] != b'\\' || end == start {
                return Some(end);
            }
            if end - start > MAX_VALUE {
                return None;
            }
            from = end + 1;
        }
    }

    /// A value in single quotes or backticks; a lone apostrophe is skipped.
    pub(super) fn single_quote(&mut self, quote: u8) {
        let start = self.at + 1;
        let window = &self.text[start..self.text.len().min(start + MAX_APOSTROPHE)];
        let opens = !self.after_alphanumeric();
        let close = if opens { memchr::memchr2(quote, b'\'', window) } else { None };
        match close {
            Some(length) if !window.get(length + 1).copied().is_some_and(is_alphanumeric) => {
                self.at = start + length + 1;
                self.variable(Last::Variable);
            }
            _ => self.at += 1,
        }
    }

    /// Where a string with the prefix of its kind ends, as Python prints it: `u'name'`, `b"bytes"`.
    pub(super) fn literal_end(&self, start: usize, quote: usize) -> Option<usize> {
        if !matches!(&self.text[start..quote], b"u" | b"b") {
            return None;
        }
        let window = &self.text[quote + 1..self.text.len().min(quote + 1 + MAX_APOSTROPHE)];
        let close = memchr::memchr(self.text[quote], window)?;
        let ends = !window.get(close + 1).copied().is_some_and(is_alphanumeric);
        ends.then_some(quote + 1 + close + 1)
    }
}

/// The method of an HTTP request line such as `GET /index.html HTTP/1.1`.
fn http_method(value: &[u8]) -> Option<&[u8]> {
    let end = memchr::memchr(b' ', value.get(..10.min(value.len()))?)?;
    let method = &value[..end];
    let target = value.get(end + 1)?;
    (method.len() >= 3 && method.iter().all(u8::is_ascii_uppercase) && matches!(target, b'/' | b'h' | b'*')).then_some(method)
}
