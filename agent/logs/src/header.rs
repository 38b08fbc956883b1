//! Cuts a text line into header and message: times, host, process and thread ids, level, logger.
//! Must never cut where nothing proves a header: without a time or a level the whole line is the message.

mod carrier;
mod columns;
mod distant;
mod leading;
mod libraries;
mod programs;
mod syslog;
#[cfg(test)]
mod tests;

use crate::bytes::{ByteSet, is_alphanumeric, is_space, run_end};
use crate::grammar;
use crate::severity::Severity;
use crate::timestamp;
pub(crate) use libraries::{is_first_of_two, level_line};
pub(crate) use programs::is_mnemonic;
use std::ops::Range;
use syslog::is_syslog_time;

/// How far a header reaches.
const MAX_HEADER: usize = 256;
/// Columns looked at between the time and the level.
const MAX_COLUMNS: usize = 10;
/// Longest thread, logger or program name.
const MAX_NAME: usize = 120;

/// What ends a column of a header.
static COLUMN_END: ByteSet = ByteSet::spaces_and(b":|,][(");
/// What stands between columns.
static COLUMN_GAP: ByteSet = ByteSet::spaces_and(b"|-:,");
/// What ends the name of a logger.
static LOGGER_END: ByteSet = ByteSet::spaces_and(b"\"'=[({");

/// What stands in front of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header<'a> {
    /// What the level says.
    pub severity: Severity,
    /// The level as written; empty if there is none.
    pub severity_text: &'a [u8],
    /// Logger, tag or program; empty if there is none.
    pub logger: &'a [u8],
    /// Whether the line starts with a time.
    pub has_time: bool,
    /// Where the message starts.
    pub message_start: usize,
}

/// Splits the header off a line.
pub fn parse(line: &[u8]) -> Header<'_> {
    let mut parser =
        Parser { text: line, at: 0, header: Header::default(), versioned: false, syslog_time: false, carrier: b"", is_inner: false };
    parser.run();
    parser.message_level();
    let message_start = run_end(line, parser.at.min(line.len()), is_space);
    let logger = if parser.header.logger.is_empty() { parser.carrier } else { parser.header.logger };
    Header { message_start, logger, ..parser.header }
}

/// Where the parts of a header stand in its line, for whoever keeps the line elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    severity: Severity,
    severity_text: Range<usize>,
    logger: Range<usize>,
    has_time: bool,
    message_start: usize,
}

impl Header<'_> {
    /// Where the parts stand in the line that was parsed.
    pub(crate) fn span(&self, line: &[u8]) -> Span {
        let range = |part: &[u8]| {
            let start = part.as_ptr().addr().wrapping_sub(line.as_ptr().addr());
            if part.is_empty() { 0..0 } else { start..start + part.len() }
        };
        Span {
            severity: self.severity,
            severity_text: range(self.severity_text),
            logger: range(self.logger),
            has_time: self.has_time,
            message_start: self.message_start,
        }
    }
}

impl Span {
    /// The header again; `line` is a copy of the line that was parsed.
    pub(crate) fn header<'a>(&self, line: &'a [u8]) -> Header<'a> {
        let part = |range: &Range<usize>| line.get(range.clone()).unwrap_or_default();
        Header {
            severity: self.severity,
            severity_text: part(&self.severity_text),
            logger: part(&self.logger),
            has_time: self.has_time,
            message_start: self.message_start.min(line.len()),
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    header: Header<'a>,
    /// A syslog priority with the version of RFC 5424 was there.
    versioned: bool,
    /// The last time has a form that syslog daemons write: a host and a program follow.
    syslog_time: bool,
    /// The program whose own header follows that of its carrier; empty if there is none.
    carrier: &'a [u8],
    /// What is parsed is the header behind the one of the carrier.
    is_inner: bool,
}

impl<'a> Parser<'a> {
    fn run(&mut self) {
        self.priority();
        self.carrier();
        if self.known_start() {
            return;
        }
        let mut outer = None;
        loop {
            self.times();
            if !self.header.has_time {
                if self.leading_level() {
                    self.after_level();
                } else {
                    self.distant_level();
                }
                return;
            }
            if self.syslog_columns() {
                return;
            }
            self.columns();
            let Some(at) = self.own_header() else { break };
            outer = Some(self.enter(at));
        }
        if let Some((severity, word)) = outer.filter(|_| self.header.severity_text.is_empty()) {
            self.set_level(severity, word);
        }
    }

    /// What the first byte of a line may begin that is no column of the usual kind; whether that was the whole header.
    fn known_start(&mut self) -> bool {
        match self.peek() {
            Some(b'0'..=b'9') => {
                if self.redis() {
                    return true;
                }
                self.numbered_columns();
            }
            Some(b'a'..=b'z' | b'A'..=b'Z') => {
                if self.glog() || self.android_brief() || self.npm() || self.letter_in_front() {
                    return true;
                }
                self.ruby_letter();
                self.letter_before_time();
            }
            Some(b'[') => {
                self.nest();
                self.letter_before_time();
                return self.bracketed_columns();
            }
            Some(b'*' | b'.') => self.clock_mark(),
            Some(b'<' | b'(') => self.letter_before_time(),
            _ => {}
        }
        // Ruby's letter stands in front of brackets.
        self.peek() == Some(b'[') && self.bracketed_columns()
    }

    /// What stands behind the times.
    fn columns(&mut self) {
        self.pipe_columns();
        if self.category_level() || self.sssd() {
            return;
        }
        if self.second_line_level() || self.logcat() || self.level_column() {
            self.after_level();
        } else if !self.program() {
            self.distant_level();
        }
    }

    /// A level that the message itself starts with, where no column has one.
    fn message_level(&mut self) {
        if self.header.severity.is_specified() || self.cisco_mnemonic() || self.letter_beside_mark() || self.glib() {
            return;
        }
        if self.at > 0 || !self.level_between_colons() {
            self.named_warning();
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        self.at = run_end(self.text, self.at, is_space);
    }

    /// Skips spaces and the marks that separate columns.
    fn skip_separators(&mut self) {
        loop {
            self.skip_spaces();
            let end = run_end(self.text, self.at, |byte| matches!(byte, b'|' | b'-' | b':' | b',' | b';'));
            let alone = self.text.get(end).is_none_or(|byte| is_space(*byte) || *byte == b'[' || self.text[self.at] == b'|');
            if end == self.at || !alone {
                return;
            }
            self.at = end;
        }
    }

    fn set_level(&mut self, severity: Severity, word: &'a [u8]) {
        self.header.severity = severity;
        self.header.severity_text = word;
    }

    /// `[time LEVEL module] message` or `[time: LEVEL/process] message`: all columns in one pair of brackets.
    fn bracketed_columns(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        let Some((start, end)) = group(self.text, self.at) else { return false };
        let inner = &self.text[start..end];
        if self.colon_columns(inner, end) || self.level_and_time(inner, end) || self.level_and_source(inner, end) {
            return true;
        }
        let Some(time) = timestamp::end(inner) else { return false };
        let mut level = None;
        let mut logger: &[u8] = &[];
        for word in inner[time..].split(|byte| is_space(*byte) || *byte == b'/').filter(|word| !matches!(*word, b"" | b":" | b"|" | b"-")) {
            match Severity::from_word(word).filter(|_| level.is_none()) {
                Some(severity) => level = Some((severity, word)),
                None if logger.is_empty() => logger = word,
                None => return false,
            }
        }
        let Some((severity, word)) = level else { return false };
        self.set_level(severity, word);
        self.header.has_time = true;
        self.header.logger = logger;
        self.at = end + 1;
        true
    }

    /// Leading times, also in brackets, and the columns in front of or between them.
    fn times(&mut self) {
        for _ in 0..6 {
            self.skip_separators();
            if let Some(end) = self.time_here() {
                self.syslog_time = is_syslog_time(&self.text[self.at..end]);
                self.at = end;
                self.header.has_time = true;
            } else if let Some(next) = self.column_before_time() {
                self.level_before_time();
                self.at = next;
            } else {
                return;
            }
        }
    }

    fn time_here(&self) -> Option<usize> {
        self.time_at(self.at)
    }

    /// Where a time at `at` ends, also one in brackets.
    fn time_at(&self, at: usize) -> Option<usize> {
        let rest = self.text.get(at..)?;
        let close = match rest.first()? {
            b'[' => b']',
            b'(' => b')',
            _ => return timestamp::end(rest).map(|end| at + end),
        };
        let inner = run_end(rest, 1, |byte| byte == b' ');
        let body = &rest[inner..];
        let end = timestamp::end(body).or_else(|| if close == b']' { uptime_end(body) } else { None })?;
        let end = end + body[end..].iter().take(12).take_while(|byte| matches!(byte, b' ' | b'#' | b'0'..=b'9')).count();
        (body.get(end) == Some(&close)).then_some(at + inner + end + 1)
    }

    /// The level, if it is the column in front of a time: `INFO 2026-11-25 15:04:05 message`, `[info] 2026-11-25 …`,
    /// `bridge:info 2026-11-25 …`.
    fn level_before_time(&mut self) {
        let (word, severity) = match group(self.text, self.at) {
            Some((start, end)) => (&self.text[start..end], Severity::from_word(&self.text[start..end])),
            None => {
                let end = run_end(self.text, self.at, |byte| !is_space(byte));
                let column = &self.text[self.at..end];
                let word = &self.text[self.at + memchr::memrchr(b':', column).map_or(0, |colon| colon + 1)..end];
                let tied = word.len() < column.len();
                let certain = tied || word.iter().all(u8::is_ascii_uppercase) || Severity::from_plain_word(word).is_some();
                (word, Severity::from_header_word(word).filter(|_| certain))
            }
        };
        // `NOT` of Nim's chronicles.
        let notice = || (word == b"NOT").then_some(Severity::INFO2);
        if let Some(severity) = severity.or_else(notice) {
            self.set_level(severity, word);
        }
    }

    /// Columns of a numbered line in front of a time in seconds: `7012 node-2 unix.hw up 1077804742 message`. Prose has none that
    /// are names by their form.
    fn numbered_columns(&mut self) {
        let mut at = run_end(self.text, 0, |byte| byte.is_ascii_digit());
        let mut named = false;
        for _ in 0..5 {
            if at == 0 || self.text.get(at) != Some(&b' ') {
                return;
            }
            let end = run_end(self.text, at + 1, |byte| !is_space(byte));
            let column = &self.text[at + 1..end];
            if named && column.iter().all(u8::is_ascii_digit) && timestamp::end(column) == Some(column.len()) {
                self.at = at + 1;
                return;
            }
            named |=
                column.iter().any(|byte| matches!(byte, b'-' | b'_' | b'.')) && column.last().is_some_and(|byte| is_alphanumeric(*byte));
            at = end;
        }
    }

    /// A column such as an alert tag, a file or a host name that a date follows at once; a name in brackets may be followed by a
    /// time of day.
    fn column_before_time(&self) -> Option<usize> {
        let rest = self.rest();
        if let Some((start, end)) = group(rest, 0)
            && rest.get(end + 1) == Some(&b' ')
            && rest.len() > end + 2
        {
            let (inner, after) = (&rest[start..end], &rest[end + 2..]);
            let of_day =
                || inner.iter().all(|byte| is_alphanumeric(*byte)) && after.get(2) == Some(&b':') && timestamp::end(after).is_some();
            let word = run_end(after, 0, |byte| byte.is_ascii_uppercase());
            let dated = match after.get(word + 1) {
                Some(b'0'..=b'9') if word > 0 => begins_with_level(after) && timestamp::has_date(&after[word + 1..]),
                _ => after[0].is_ascii_digit() && timestamp::has_date(after),
            };
            if of_day() || dated {
                return Some(self.at + end + 2);
            }
        }
        let window = &rest[..rest.len().min(64)];
        let end = window.iter().position(|byte| is_space(*byte))?;
        let mut next = run_end(rest, end, is_space);
        if rest.get(next) == Some(&b'|') {
            next = run_end(rest, next + 1, is_space);
        }
        let after = rest.get(next..)?;
        if !after.first().is_some_and(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()) {
            return None;
        }
        let prose = rest[..end].iter().all(u8::is_ascii_lowercase)
            && Severity::from_plain_word(&rest[..end]).is_none()
            && !self.header.has_time
            && rest.get(next.wrapping_sub(2)) != Some(&b'|');
        let time = timestamp::end(after).filter(|end| !prose || begins_with_level(crate::bytes::trim_start(&after[*end..])));
        let dated = time.is_some_and(|end| {
            timestamp::is_date(&after[..end]) || after.get(end) == Some(&b' ') && timestamp::has_date(&after[end + 1..])
        });
        dated.then_some(self.at + next)
    }

    /// Columns separated by `|`: `time|logger|pid|message`.
    fn pipe_columns(&mut self) {
        while self.peek() == Some(b'|') {
            self.at += 1;
        }
        if !self.text[..self.at].trim_ascii_end().ends_with(b"|") {
            return;
        }
        for _ in 0..4 {
            let rest = self.rest();
            let start = run_end(rest, 0, |byte| byte == b' ');
            let end = run_end(rest, start, |byte| !is_space(byte) && byte != b'|');
            if rest.get(end) != Some(&b'|') || end > MAX_NAME {
                return;
            }
            let column = &rest[start..end];
            let letter = || if let [letter] = column { Severity::from_letter(*letter) } else { None };
            if let Some(severity) = Severity::from_word(column).or_else(letter) {
                self.set_level(severity, column);
            } else if self.header.logger.is_empty() && column.iter().any(u8::is_ascii_alphabetic) {
                self.header.logger = column;
            }
            self.at += end + 1;
        }
    }

    /// Thread, process id and logger behind a level.
    fn after_level(&mut self) {
        self.python_logger();
        self.skip_separators();
        if self.peek() == Some(b']') {
            self.at += 1;
            self.skip_separators();
        }
        self.process_id();
        if self.text[0] == b'[' {
            self.glassfish_columns();
            self.couchdb_columns();
        }
        self.tracing_spans();
        for _ in 0..2 {
            if !self.skip_group() {
                break;
            }
        }
        self.tabbed_columns();
        if self.header.logger.is_empty() {
            self.logger();
        }
    }

    /// A thread in brackets, or a process such as Erlang's `<0.123.0>`, if a message follows.
    fn skip_group(&mut self) -> bool {
        let Some((start, end)) = group(self.text, self.at) else {
            return false;
        };
        let numbers = self.text[start..end].iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        if self.peek() == Some(b'<') && !numbers {
            return false;
        }
        if self.text.get(end + 1).is_none_or(|byte| !is_space(*byte) && !matches!(byte, b':' | b'[')) {
            return false;
        }
        self.at = end + 1;
        self.skip_separators();
        true
    }

    /// Columns that tabs end: logger, source position.
    fn tabbed_columns(&mut self) {
        for _ in 0..2 {
            let rest = self.rest();
            let end = run_end(rest, 0, |byte| !is_space(byte) && !matches!(byte, b'"' | b'{'));
            let more = rest.get(end) == Some(&b'\t') && rest.get(end + 1).is_some_and(|byte| !matches!(byte, b'{' | b'\t'));
            if end == 0 || end > MAX_NAME || !more || self.text[self.at - 1] != b'\t' {
                return;
            }
            if self.header.logger.is_empty() {
                self.header.logger = &rest[..end];
            }
            self.at += end + 1;
        }
    }

    fn logger(&mut self) {
        let rest = self.rest();
        let end = run_end(rest, 0, |byte| !LOGGER_END.has(byte));
        let token = &rest[..end];
        let named = token.first().is_some_and(u8::is_ascii_alphabetic) && end <= MAX_NAME;
        if !named {
            return;
        }
        let behind = run_end(rest, end, is_space);
        let after = &rest[behind..];
        let name = token.strip_suffix(b":").unwrap_or(token);
        let spaced = behind > end && !after.is_empty();
        let colon =
            if token.len() > name.len() { spaced && is_plain_name(name) || is_source_line(name) } else { spaced && is_source_line(token) };
        let dash = spaced && (after.starts_with(b"- ") || after.starts_with(b": "));
        let padded = behind >= end + 2 && after.first().is_some_and(|byte| is_alphanumeric(*byte));
        let dotted = spaced && matches!(after[0], b'[' | b'(' | b'-') && memchr::memchr_iter(b'.', name).count() >= 2;
        if colon || dash || padded || dotted {
            self.header.logger = name;
            self.at += behind;
            self.skip_separators();
            if dotted || colon {
                self.request_group();
            }
        }
    }

    /// The request or thread in brackets behind a logger, if it is no text.
    fn request_group(&mut self) {
        if self.peek() != Some(b'[') {
            return;
        }
        let Some((start, end)) = group(self.text, self.at) else {
            return;
        };
        let inner = &self.text[start..end];
        let opaque = inner == b"-" || (inner.iter().any(u8::is_ascii_digit) && !inner.contains(&b':'));
        if opaque && self.text.get(end + 1) == Some(&b' ') {
            self.at = end + 2;
        }
    }
}

/// The inside of the bracket group at `at`, brackets within it included.
fn group(text: &[u8], at: usize) -> Option<(usize, usize)> {
    let open = *text.get(at)?;
    let close = match open {
        b'[' => b']',
        b'(' => b')',
        b'<' => b'>',
        _ => return None,
    };
    let window = &text[at..text.len().min(at + MAX_NAME * 2)];
    let first = memchr::memchr(close, window)?;
    if memchr::memchr(open, &window[1..first]).is_none() {
        return Some((at + 1, at + first));
    }
    let mut depth = 0usize;
    for (offset, byte) in window.iter().enumerate() {
        if *byte == open {
            depth += 1;
        } else if *byte == close {
            depth -= 1;
            if depth == 0 {
                return Some((at + 1, at + offset));
            }
        }
    }
    None
}

/// Seconds since boot as the kernel writes them, `12.345678`, or since the start, `12.345678s`.
fn uptime_end(text: &[u8]) -> Option<usize> {
    let dot = run_end(text, 0, |byte| byte.is_ascii_digit());
    let end = run_end(text, dot + 1, |byte| byte.is_ascii_digit());
    let unit = usize::from(text.get(end) == Some(&b's'));
    (dot > 0 && text.get(dot) == Some(&b'.') && matches!(end - dot, 4 | 7)).then_some(end + unit)
}

/// Whether a text begins with a level in capitals that a blank ends.
fn begins_with_level(text: &[u8]) -> bool {
    let end = run_end(text, 0, |byte| byte.is_ascii_uppercase());
    text.get(end).is_some_and(|byte| is_space(*byte)) && Severity::from_plain_word(&text[..end]).is_some()
}

/// Whether a word is a name: a path, or one without colons that has no digit unless it is dotted. What is or was done is
/// none, `stopped: worker`, nor is a level.
fn is_plain_name(name: &[u8]) -> bool {
    if name.contains(&b':') {
        return has_scope(name);
    }
    let is_participle = name.len() >= 6 && grammar::is_participle(name) && name[1..].iter().all(u8::is_ascii_lowercase);
    let is_word = is_participle || Severity::from_word(name).is_some();
    !is_word && (!name.iter().any(u8::is_ascii_digit) || name.contains(&b'.'))
}

/// Whether a name is a path of Rust or C++: every colon in it is one of a pair.
fn has_scope(name: &[u8]) -> bool {
    let pairs = memchr::memmem::find_iter(name, b"::").count();
    pairs > 0 && memchr::memchr_iter(b':', name).count() == 2 * pairs
}

/// `file.go:12`, a source position.
fn is_source_line(name: &[u8]) -> bool {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && name.len() > digits && name[name.len() - digits - 1] == b':' && name.contains(&b'.')
}
