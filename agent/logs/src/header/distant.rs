//! Levels in layouts that nothing is known of: somewhere in front of the message, set apart by marks.
//! Must never take a level out of prose.

use super::{MAX_NAME, Parser};
use crate::bytes::{is_alphanumeric, run_end};
use crate::grammar;
use crate::severity::Severity;

/// Most words of prose in front of what is cut off with the level.
const MAX_WORDS: usize = 2;

impl Parser<'_> {
    /// A level somewhere in front of the message, where no known column has one. What stands in front of it is cut off unless it is
    /// a text.
    pub(super) fn distant_level(&mut self) {
        let rest = self.rest();
        let window = &rest[..rest.len().min(MAX_NAME)];
        let Some((start, end, severity)) = level_before_colon(window).or_else(|| self.level_beside_mark(window)) else { return };
        let is_text = words_of_prose(&window[..start]) > MAX_WORDS;
        let (start, end) = (self.at + start, self.at + end);
        self.set_level(severity, &self.text[start..end]);
        if !is_text {
            let behind = &self.text[end..];
            self.at = end + if behind.starts_with(b" :") { 2 } else { usize::from(matches!(behind.first(), Some(b'/' | b'-'))) };
            self.after_level();
        }
    }

    /// A level in capitals with a mark on one side at least, in a line that has a time: `{main.py:9} INFO - x`, `Queue:WRN x`,
    /// `main :CRIT :x`, `<launcher> INFO  x`; and `warning/Name: x`.
    fn level_beside_mark(&self, window: &[u8]) -> Option<(usize, usize, Severity)> {
        if !self.header.has_time {
            return None;
        }
        let name_end = run_end(window, 0, |byte| byte.is_ascii_lowercase());
        if window.get(name_end) == Some(&b'/') {
            let tag = run_end(window, name_end + 1, is_alphanumeric);
            let severity = Severity::from_word(&window[..name_end]).filter(|_| tag > name_end + 1 && window[tag..].starts_with(b": "));
            return severity.map(|severity| (0, name_end, severity));
        }
        let mut at = 0;
        while let Some(skipped) = window[at..].iter().position(u8::is_ascii_uppercase) {
            let start = at + skipped;
            at = run_end(window, start, |byte| byte.is_ascii_uppercase());
            let (before, behind) = (&window[..start], &window[at..]);
            if is_word_byte(before.last()) || is_word_byte(behind.first()) || !(is_marked_before(before) || is_marked_behind(behind)) {
                continue;
            }
            if let Some(severity) = Severity::from_plain_word(&window[start..at]) {
                return (words_of_prose(before) == 0).then_some((start, at, severity));
            }
        }
        None
    }

    /// A letter with a mark behind up to two columns: `...main.go:231:run() [I] x`, `[23378] main/102/init C> x`.
    pub(super) fn letter_beside_mark(&mut self) -> bool {
        if !self.header.has_time {
            return false;
        }
        let rest = self.rest();
        let mut blank = 0;
        for _ in 0..2 {
            let column = blank;
            blank = run_end(rest, blank + 1, |byte| byte != b' ');
            let passed = rest.get(column..blank).unwrap_or_default();
            if passed.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b' ') {
                return false;
            }
            let (letter, start, length) = match rest.get(blank..) {
                Some([b' ', b'[', letter, b']', b' ', ..]) => (letter, 2, 4),
                Some([b' ', letter, b'>', b' ', ..]) => (letter, 1, 3),
                _ => continue,
            };
            let Some(severity) = Severity::from_letter(*letter).filter(|_| *letter != b'A') else { return false };
            let at = self.at + blank;
            self.set_level(severity, &self.text[at + start..at + start + 1]);
            self.at = at + length;
            return true;
        }
        false
    }

    /// `Window manager warning: x`: a warning that a program in up to three words says it is.
    pub(super) fn named_warning(&mut self) {
        let rest = self.rest();
        let window = &rest[..rest.len().min(MAX_NAME)];
        let Some(colon) = memchr::memchr(b':', window) else { return };
        let Some(name) = window[..colon].strip_suffix(b" warning") else { return };
        let letters = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b' ' | b'-');
        let words = || name.split(|byte| *byte == b' ');
        if name.iter().all(letters) && words().count() <= 3 && !words().any(grammar::is_function_word) {
            let start = self.at + name.len() + 1;
            self.set_level(Severity::WARN, &self.text[start..start + b"warning".len()]);
        }
    }
}

/// A level with a colon that follows a number or another colon: `a.rst:8: WARNING: x`, `main pid 13433: DEBUG: x`,
/// `Main 07:04:18 INFO: x`.
fn level_before_colon(window: &[u8]) -> Option<(usize, usize, Severity)> {
    memchr::memchr_iter(b':', window).find_map(|colon| {
        let start = colon - window[..colon].iter().rev().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let [before, b' '] = window[..start].last_chunk()? else { return None };
        let capitals = window[start..colon].iter().all(u8::is_ascii_uppercase);
        let placed = *before == b':' && window[..start - 2].last().is_some_and(u8::is_ascii_digit)
            || *before == b')' && window[..start - 2].last().is_some_and(u8::is_ascii_digit) && window[start].is_ascii_uppercase();
        let marked = placed || capitals && (matches!(before, b':' | b']' | b')') || before.is_ascii_digit());
        let severity = Severity::from_plain_word(&window[start..colon]).filter(|_| marked)?;
        Some((start, colon, severity))
    })
}

/// The words in small letters that another word or a remark in brackets follows.
fn words_of_prose(text: &[u8]) -> usize {
    let words = || text.split(|byte| *byte == b' ');
    let small = |word: &[u8]| word.len() > 1 && word.iter().all(u8::is_ascii_lowercase);
    let goes_on = |next: &[u8]| next.first().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'(' | b'['));
    words().zip(words().skip(1)).filter(|(word, next)| small(word) && goes_on(next)).count()
}

fn is_word_byte(byte: Option<&u8>) -> bool {
    byte.is_some_and(|byte| is_alphanumeric(*byte) || matches!(byte, b'_' | b'='))
}

/// Whether what stands in front of a word sets it apart from prose.
fn is_marked_before(before: &[u8]) -> bool {
    match before {
        [] => false,
        [.., b'-', b'>'] => false,
        [.., b']', b'.'] | [.., b' ', b':', b' '] => true,
        [.., b'|' | b'[' | b'(' | b'<' | b'{' | b':' | b';' | b'\t'] => true,
        [.., b']' | b')' | b'>' | b'}' | b'|' | b' ' | b'\t', b' '] => true,
        // A name such as `runtime-worker`.
        [name @ .., b' '] => {
            let name = &name[name.iter().rposition(|byte| *byte == b' ').map_or(0, |blank| blank + 1)..];
            name.first().is_some_and(u8::is_ascii_alphabetic) && name.iter().any(|byte| matches!(byte, b'-' | b'_'))
        }
        _ => false,
    }
}

/// Whether what stands behind a word sets it apart from prose; something has to follow.
fn is_marked_behind(behind: &[u8]) -> bool {
    matches!(behind, [b'|' | b']' | b'>' | b'}' | b':' | b'\t' | b';', _, ..] | [b' ', b'-' | b'[' | b'(' | b'|' | b':' | b' ', _, ..])
}
