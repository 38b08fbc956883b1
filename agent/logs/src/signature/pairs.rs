//! The value behind `key=`, however it is written.
//! Must never take two pairs for one.

use super::{Last, MAX_VALUE, MAX_WORD, Scanner, Sink};
use crate::bytes::{CLASS, END, find, is_space, run_end};

impl<S: Sink> Scanner<'_, '_, S> {
    /// `=` after a name makes what follows a value, even an empty one; `==`, `=>` and the like are punctuation.
    pub(super) fn equals(&mut self) {
        let next = self.text.get(self.at + 1).copied();
        let before = self.at.checked_sub(1).map(|at| self.text[at]);
        self.glue.push(b'=');
        self.at += 1;
        let operator = matches!(next, Some(b'=' | b'>')) || matches!(before, Some(b'=' | b'!' | b'<' | b'>' | b':'));
        if operator || self.last == Last::Start || self.glue.len > 3 {
            return;
        }
        let mut start = self.at;
        if next.is_none_or(is_space) {
            start = run_end(self.text, self.at, is_space);
            if self.is_key(start) {
                self.variable(Last::Variable);
                return;
            }
        }
        self.at = self.value_end(start);
        self.variable(Last::Variable);
    }

    /// Whether a `name=` starts here.
    fn is_key(&self, start: usize) -> bool {
        let end = run_end(self.text, start, |byte| CLASS[usize::from(byte)] & END == 0);
        end == start || self.text.get(end) == Some(&b'=')
    }

    /// The end of the value that starts at `start`: white space or a closing mark outside of its own brackets.
    fn value_end(&self, start: usize) -> usize {
        let limit = self.text.len().min(start + MAX_VALUE);
        let mut depth = 0u32;
        let mut at = start;
        while at < limit {
            match self.text[at] {
                b'"' => match find(&self.text[..limit], at + 1, b'"') {
                    Some(close) => at = close,
                    None => return self.plain_value_end(start),
                },
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' if depth == 0 => return at,
                b')' | b']' | b'}' => depth -= 1,
                b';' | b'|' if depth == 0 => return at,
                b',' if depth == 0 && !self.continues_list(at + 1) => return at,
                byte if depth == 0 && is_space(byte) => return at,
                _ => {}
            }
            at += 1;
        }
        if depth == 0 { at } else { self.plain_value_end(start) }
    }

    fn plain_value_end(&self, start: usize) -> usize {
        run_end(self.text, start, |byte| !is_space(byte) && !matches!(byte, b',' | b';' | b'|' | b')' | b']' | b'}')).max(start)
    }

    /// Whether a comma separates elements of one value rather than two `key=value` pairs.
    fn continues_list(&self, from: usize) -> bool {
        let window = &self.text[from.min(self.text.len())..self.text.len().min(from + MAX_WORD)];
        let end = window.iter().position(|byte| is_space(*byte) || matches!(byte, b',' | b';' | b'|' | b')' | b']' | b'}' | b'=' | b':'));
        match end {
            Some(0) => false,
            Some(end) => !matches!(window[end], b'=' | b':'),
            None => !window.is_empty(),
        }
    }
}
