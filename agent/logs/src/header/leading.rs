//! Levels that lines without a time start with. Must ask for more than a word: sentences start with words, too.

use super::columns::{Column, Level};
use super::{MAX_NAME, Parser};
use crate::bytes::{is_space, run_end};
use crate::severity::Severity;

/// Longest symbol in front of a level, in bytes: an emoji with its variation.
const MAX_SYMBOL: usize = 16;

impl Parser<'_> {
    /// A line without time that starts with its level: `WARNING: x`, `[INFO] x`, `ERROR:root:x`, `INFO x`, `warn --- x`; or that
    /// has it behind one name: `root - INFO - x`, `startup   info<tab>x`.
    pub(super) fn leading_level(&mut self) -> bool {
        self.skip_spaces();
        self.at = self.behind_symbol();
        if self.dotnet() || self.padded_name() {
            return true;
        }
        let (column, logger) = match self.marked_column(self.at) {
            Some(Column::Named { start, end, after }) => (self.marked_column(after), &self.text[start..end]),
            // `[main]<tab>INFO<tab>x`, `[main] [info] x`
            Some(Column::Other { after }) => {
                let next = run_end(self.text, after, is_space);
                let level = self.capitals_at(next).or_else(|| self.level_at(next).filter(|_| self.text.get(next) == Some(&b'[')));
                (level.map(Column::Level), &b""[..])
            }
            None => (self.level_behind_numbers().map(Column::Level), &b""[..]),
            column => (column, &b""[..]),
        };
        let Some(Column::Level(level)) = column else { return false };
        if !logger.is_empty() && !self.text[level.end..].starts_with(b" - ") {
            return false;
        }
        self.header.logger = logger;
        self.take(&level);
        true
    }

    /// Behind a symbol such as an emoji, if a level in brackets follows: `✔ [INFO] x`.
    fn behind_symbol(&self) -> usize {
        let end = run_end(self.text, self.at, |byte| !byte.is_ascii());
        let next = run_end(self.text, end, is_space);
        let symbol = end > self.at && end <= self.at + MAX_SYMBOL && next > end && self.text.get(next) == Some(&b'[');
        if symbol && self.level_at(next).is_some() { next } else { self.at }
    }

    /// A level in capitals at `at` that a space or colon ends.
    fn capitals_at(&self, at: usize) -> Option<Level> {
        let end = run_end(self.text, at, |byte| byte.is_ascii_uppercase());
        let ends = self.text.get(end).is_some_and(|byte| is_space(*byte) || *byte == b':');
        let severity = Severity::from_plain_word(self.text.get(at..end)?).filter(|_| ends)?;
        Some(Level { severity, start: at, end, after: end })
    }

    /// A level in capitals with a colon behind nothing but numbers and marks: `611 INFO: x`, `0(30161) ERROR: x`, `*** WARNING: x`;
    /// or behind seconds: `0.408 DEBUG   x`.
    fn level_behind_numbers(&self) -> Option<Level> {
        let start = run_end(self.text, self.at, |byte| matches!(byte, b'0'..=b'9' | b'(' | b')' | b':' | b'.' | b'*' | b'!' | b' '));
        let level = self.capitals_at(start).filter(|_| start > self.at && start <= self.at + MAX_NAME)?;
        let number = self.text[self.at..start].trim_ascii_end();
        let decimal = number.contains(&b'.') && number.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        (self.text[start - 1] == b' ' && (self.text.get(level.end) == Some(&b':') || decimal)).then_some(level)
    }

    /// A name padded with blanks, then a level that a tab ends.
    fn padded_name(&mut self) -> bool {
        let name = run_end(self.text, self.at, |byte| !is_space(byte));
        let start = run_end(self.text, name, |byte| byte == b' ');
        if start < name + 2 {
            return false;
        }
        let end = run_end(self.text, start, |byte| byte.is_ascii_alphabetic());
        if self.text.get(end) != Some(&b'\t') || name - self.at > MAX_NAME {
            return false;
        }
        let Some(severity) = Severity::from_word(&self.text[start..end]) else { return false };
        self.header.logger = &self.text[self.at..name];
        self.set_level(severity, &self.text[start..end]);
        self.at = end + 1;
        true
    }
}
