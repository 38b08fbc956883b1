//! Cuts a text line into header and message: times, host, process and thread ids, level, logger.
//! Must never cut where nothing proves a header: without a time or a level the whole line is the message.

use crate::bytes::{ByteSet, find, is_alphanumeric, is_space, run_end};
use crate::severity::Severity;
use crate::timestamp;

/// How far a header reaches.
const MAX_HEADER: usize = 256;
/// Columns looked at between the time and the level.
const MAX_COLUMNS: usize = 10;
/// In front of a message in UTF-8; RFC 5424 section 6.4.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
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
    let mut parser = Parser { text: line, at: 0, header: Header::default(), versioned: false, syslog_time: false };
    parser.run();
    let message_start = run_end(line, parser.at.min(line.len()), is_space);
    Header { message_start, ..parser.header }
}

/// A name that ends at a colon, and where the text behind it starts.
struct Named<'a> {
    name: &'a [u8],
    after: usize,
    /// A process id in brackets is part of it.
    has_process: bool,
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    header: Header<'a>,
    /// A syslog priority with the version of RFC 5424 was there.
    versioned: bool,
    /// The last time has a form that syslog daemons write: a host and a program follow.
    syslog_time: bool,
}

impl<'a> Parser<'a> {
    fn run(&mut self) {
        self.priority();
        if self.glog() || self.redis() || self.android_brief() {
            return;
        }
        self.ruby_letter();
        if self.bracketed_columns() {
            return;
        }
        self.numbered_columns();
        self.times();
        if self.header.has_time {
            if self.syslog_columns() {
                return;
            }
            self.pipe_columns();
            if self.category_level() {
                return;
            }
            if self.second_line_level() || self.level_column() || self.logcat() {
                self.after_level();
            } else {
                self.program();
            }
        } else if self.leading_level() {
            self.after_level();
        }
    }

    /// `[pid:tid:MMDD/time:LEVEL:file.cc(12)] message` (or `file.cc:12`) of Chromium and what embeds it.
    fn colon_columns(&mut self, inner: &'a [u8], end: usize) -> bool {
        let mut columns = inner.rsplit(|byte| *byte == b':').skip_while(|column| column.iter().all(u8::is_ascii_digit));
        let (Some(source), Some(word), Some(_)) = (columns.next(), columns.next(), columns.next()) else { return false };
        let placed = source.contains(&b'.') && word.iter().all(u8::is_ascii_uppercase);
        let Some(severity) = Severity::from_word(word).filter(|_| placed) else { return false };
        self.set_level(severity, word);
        self.header.has_time = inner.contains(&b'/');
        self.at = end + 1;
        true
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

    /// `<34>` of syslog (RFC 5424 section 6.2.1), with the version behind it.
    fn priority(&mut self) {
        if self.text.first() != Some(&b'<') {
            return;
        }
        let end = run_end(self.text, 1, |byte| byte.is_ascii_digit());
        let digits = &self.text[1..end];
        if self.text.get(end) != Some(&b'>') || !(1..=3).contains(&digits.len()) {
            return;
        }
        let value = digits.iter().fold(0u64, |value, byte| value * 10 + u64::from(byte - b'0'));
        if let Some(severity) = Severity::from_syslog(value % 8).filter(|_| value < 192) {
            self.header.severity = severity;
            self.at = end + 1;
            if self.rest().starts_with(b"1 ") {
                self.at += 2;
                self.versioned = true;
            }
        }
    }

    /// Host, application, process, message id and structured data of RFC 5424 (section 6) behind the time.
    fn syslog_columns(&mut self) -> bool {
        if !self.versioned {
            return false;
        }
        let mut at = self.at;
        let mut application: &[u8] = &[];
        for column in 0..4 {
            at = run_end(self.text, at, |byte| byte == b' ');
            let end = run_end(self.text, at, |byte| byte != b' ');
            if end == at || end - at > MAX_NAME {
                return false;
            }
            if column == 1 {
                application = &self.text[at..end];
            }
            at = end;
        }
        at = run_end(self.text, at, |byte| byte == b' ');
        match self.text.get(at) {
            Some(b'-') => at += 1,
            Some(b'[') => {
                while let Some((_, end)) = group(self.text, at) {
                    at = end + 1;
                }
            }
            _ => return false,
        }
        if application != b"-" {
            self.header.logger = application;
        }
        at = run_end(self.text, at, is_space);
        self.at = at + if self.text[at..].starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        self.program_level();
        true
    }

    /// `[time LEVEL module] message` or `[time: LEVEL/process] message`: all columns in one pair of brackets.
    fn bracketed_columns(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        let Some((start, end)) = group(self.text, self.at) else { return false };
        let inner = &self.text[start..end];
        if self.colon_columns(inner, end) {
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

    /// glog and klog: `I1125 15:04:05.000000    12 file.go:34] message`.
    fn glog(&mut self) -> bool {
        let rest = self.rest();
        let Some(severity) = rest.first().and_then(|letter| Severity::from_letter(*letter)) else {
            return false;
        };
        let digits = run_end(rest, 1, |byte| byte.is_ascii_digit()) - 1;
        let Some(end) = rest.get(digits + 2..).and_then(timestamp::end) else {
            return false;
        };
        if !matches!(digits, 4 | 8) || rest.get(digits + 1) != Some(&b' ') {
            return false;
        }
        let start = self.at;
        let columns = self.at + digits + 2 + end;
        let window = &self.text[columns..self.text.len().min(columns + MAX_NAME)];
        let Some(close) = memchr::memchr(b']', window) else {
            return false;
        };
        self.set_level(severity, &self.text[start..start + 1]);
        self.header.has_time = true;
        self.at = columns + close + 1;
        true
    }

    /// Redis: `12:M 25 Nov 2026 15:04:05.000 * message`.
    fn redis(&mut self) -> bool {
        let rest = self.rest();
        let digits = run_end(rest, 0, |byte| byte.is_ascii_digit());
        if digits == 0 || !matches!(rest.get(digits..digits + 3), Some([b':', b'A'..=b'Z', b' '])) {
            return false;
        }
        let time = digits + 3;
        let Some(end) = rest.get(time..).and_then(timestamp::end) else {
            return false;
        };
        let Some([b' ', mark, b' ']) = rest.get(time + end..time + end + 3) else {
            return false;
        };
        let Some(severity) = Severity::from_redis(*mark) else {
            return false;
        };
        let mark_at = self.at + time + end + 1;
        self.set_level(severity, &self.text[mark_at..mark_at + 1]);
        self.header.has_time = true;
        self.at = mark_at + 2;
        true
    }

    /// Android's brief form: `W/Tag ( 123): message`.
    fn android_brief(&mut self) -> bool {
        let [letter, b'/', tail @ ..] = self.rest() else {
            return false;
        };
        let Some(severity) = Severity::from_letter(*letter) else {
            return false;
        };
        let window = &tail[..tail.len().min(MAX_NAME)];
        let Some(close) = memchr::memmem::find(window, b"): ") else {
            return false;
        };
        let Some(open) = memchr::memrchr(b'(', &window[..close]) else {
            return false;
        };
        if !window[open + 1..close].iter().all(|byte| byte.is_ascii_digit() || *byte == b' ') {
            return false;
        }
        self.set_level(severity, &self.text[self.at..self.at + 1]);
        self.header.logger = crate::bytes::trim(&window[..open]);
        self.at += 2 + close + 3;
        true
    }

    /// `E, [2026-11-25T15:04:05 #12] ERROR -- : message`, Ruby's logger; the letter says nothing more than the word.
    fn ruby_letter(&mut self) {
        if let [b'A'..=b'Z', b',', b' ', b'[', ..] = self.rest() {
            self.at += 3;
        }
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
        let rest = self.rest();
        if rest.first() != Some(&b'[') {
            return timestamp::end(rest).map(|end| self.at + end);
        }
        let inner = run_end(rest, 1, |byte| byte == b' ');
        let body = &rest[inner..];
        let end = timestamp::end(body).or_else(|| uptime_end(body))?;
        let end = end + body[end..].iter().take(12).take_while(|byte| matches!(byte, b' ' | b'#' | b'0'..=b'9')).count();
        (body.get(end) == Some(&b']')).then_some(self.at + inner + end + 1)
    }

    /// The level, if it is the column in front of a time: `INFO 2026-11-25 15:04:05 message`.
    fn level_before_time(&mut self) {
        let end = run_end(self.text, self.at, |byte| !COLUMN_END.has(byte));
        let word = &self.text[self.at..end];
        if let Some(severity) = Severity::from_header_word(word).filter(|_| word.iter().all(u8::is_ascii_uppercase)) {
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

    /// A column such as an alert tag, a file or a host name that a date follows at once.
    fn column_before_time(&self) -> Option<usize> {
        let rest = self.rest();
        let window = &rest[..rest.len().min(64)];
        let end = window.iter().position(|byte| is_space(*byte))?;
        let mut next = run_end(rest, end, is_space);
        if rest.get(next) == Some(&b'|') {
            next = run_end(rest, next + 1, is_space);
        }
        let prose =
            rest[..end].iter().all(u8::is_ascii_lowercase) && !self.header.has_time && rest.get(next.wrapping_sub(2)) != Some(&b'|');
        let after = rest.get(next..)?;
        if !after.first().is_some_and(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()) {
            return None;
        }
        let time = if prose { None } else { timestamp::end(after) };
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
        if self.at == 0 || self.text[self.at - 1] != b'|' {
            return;
        }
        for _ in 0..4 {
            let rest = self.rest();
            let end = run_end(rest, 0, |byte| !is_space(byte) && byte != b'|');
            if rest.get(end) != Some(&b'|') || end > MAX_NAME {
                return;
            }
            let column = &rest[..end];
            if let Some(severity) = Severity::from_word(column) {
                self.set_level(severity, column);
            } else if self.header.logger.is_empty() && column.iter().any(u8::is_ascii_alphabetic) {
                self.header.logger = column;
            }
            self.at += end + 1;
        }
    }

    /// The level behind the times, past columns that are no prose. Leaves the position alone if there is none.
    fn level_column(&mut self) -> bool {
        if self.header.severity_text.is_empty() {
            let mut at = self.at;
            for column in 0..MAX_COLUMNS {
                at = run_end(self.text, at, |byte| COLUMN_GAP.has(byte));
                if at > MAX_HEADER + self.at {
                    return false;
                }
                match self.column_at(at, column == 0) {
                    Column::Level { severity, start, end, after } => {
                        self.set_level(severity, &self.text[start..end]);
                        self.at = after;
                        return true;
                    }
                    Column::Other { after } => at = after,
                    Column::Prose => return false,
                }
            }
            return false;
        }
        true
    }

    /// `category: level: message`, as BIND writes it behind the time; a number may follow the level.
    fn category_level(&mut self) -> bool {
        let rest = crate::bytes::trim_start(self.rest());
        let name_end = run_end(rest, 0, |byte| is_alphanumeric(byte) || matches!(byte, b'-' | b'_' | b'.'));
        let Some(tail) = rest.get(name_end..).and_then(|tail| tail.strip_prefix(b": ")) else { return false };
        let end = run_end(tail, 0, |byte| byte.is_ascii_alphabetic());
        let number = run_end(tail, end, |byte| matches!(byte, b' ' | b'0'..=b'9'));
        let Some(severity) = Severity::from_word(&tail[..end]).filter(|_| tail[number..].starts_with(b": ")) else { return false };
        let named = rest.first().is_some_and(u8::is_ascii_alphabetic);
        if !named || self.syslog_time || !self.header.severity_text.is_empty() {
            return false;
        }
        self.set_level(severity, &tail[..end]);
        self.header.logger = &rest[..name_end];
        self.at = self.text.len() - tail.len() + number + 2;
        true
    }

    fn column_at(&self, at: usize, first: bool) -> Column {
        let Some(rest) = self.text.get(at..).filter(|rest| !rest.is_empty()) else {
            return Column::Prose;
        };
        if matches!(rest[0], b'[' | b'(' | b'<') {
            return self.group_column(at);
        }
        let end = run_end(rest, 0, |byte| !COLUMN_END.has(byte));
        let word = &rest[..end];
        let next = rest.get(end).copied();
        let padded = next == Some(b'\t') || rest[end..].starts_with(b"  ");
        let severity = if first && padded { Severity::from_word(word) } else { Severity::from_header_word(word) };
        if let Some(severity) = severity {
            let capitals = word.iter().all(u8::is_ascii_uppercase);
            let marked = padded || matches!(next, Some(b':' | b'|' | b','));
            if capitals || marked || (first && next == Some(b' ')) {
                let after = at + end + usize::from(matches!(next, Some(b'|' | b',')));
                return Column::Level { severity, start: at, end: at + end, after };
            }
        }
        if is_column(word, next) {
            Column::Other { after: at + run_end(rest, 0, |byte| !is_space(byte) && byte != b'|') }
        } else {
            Column::Prose
        }
    }

    /// `[error]`, `[core:warn]`, `<info>`, or a group that is no level.
    fn group_column(&self, at: usize) -> Column {
        let Some((start, end)) = group(self.text, at) else {
            return Column::Prose;
        };
        let inner = &self.text[start..end];
        let word_start = memchr::memrchr(b':', inner).map_or(0, |colon| colon + 1);
        let word = crate::bytes::trim(&inner[word_start..]);
        match Severity::from_word(word) {
            Some(severity) => {
                let word_at = start + word_start + run_end(&inner[word_start..], 0, is_space);
                Column::Level { severity, start: word_at, end: word_at + word.len(), after: end + 1 }
            }
            None if self.text[at] == b'<' => Column::Prose,
            None => Column::Other { after: end + 1 },
        }
    }

    /// java.util.logging: `Nov 25, 2026 3:04:05 PM a.B method`, and on the next line `INFO: message`.
    fn second_line_level(&mut self) -> bool {
        if !ends_in_half_day(&self.text[..self.at]) {
            return false;
        }
        let rest = self.rest();
        let window = &rest[..rest.len().min(MAX_HEADER)];
        let Some(end) = memchr::memchr(b'\n', window) else { return false };
        let Some(length) = level_line(&rest[end + 1..]) else { return false };
        let start = self.at + end + 1;
        let word = &self.text[start..start + length];
        let Some(severity) = Severity::from_word(word) else { return false };
        self.set_level(severity, word);
        self.header.logger = rest[..end].split(|byte| is_space(*byte)).find(|word| !word.is_empty()).unwrap_or_default();
        self.at = start + length + 2;
        true
    }

    /// Android's logcat: two numbers, then one letter, then the tag.
    fn logcat(&mut self) -> bool {
        let mut at = self.at;
        for _ in 0..2 {
            at = run_end(self.text, at, is_space);
            let end = run_end(self.text, at, |byte| byte.is_ascii_digit());
            if end == at {
                return false;
            }
            at = end;
        }
        at = run_end(self.text, at, is_space);
        let (Some(letter), Some(b' ')) = (self.text.get(at), self.text.get(at + 1)) else {
            return false;
        };
        let Some(severity) = Severity::from_letter(*letter) else {
            return false;
        };
        self.set_level(severity, &self.text[at..at + 1]);
        self.at = at + 1;
        true
    }

    /// A line without time that starts with its level: `WARNING: x`, `[INFO] x`, `ERROR:root:x`, `INFO x`.
    fn leading_level(&mut self) -> bool {
        self.skip_spaces();
        if self.dotnet() {
            return true;
        }
        match self.column_at(self.at, false) {
            Column::Level { severity, start, end, after } => {
                self.set_level(severity, &self.text[start..end]);
                self.at = after;
                true
            }
            _ => false,
        }
    }

    /// `fail: Category[13]`, the first line of .NET's console logger.
    fn dotnet(&mut self) -> bool {
        let rest = self.rest();
        let category = rest.get(4..).unwrap_or_default();
        let numbered = category.starts_with(b": ") && category.split(|byte| *byte == b'\n').next().is_some_and(|line| line.ends_with(b"]"));
        let Some(severity) = rest.get(..4).and_then(Severity::from_word).filter(|_| numbered) else { return false };
        self.set_level(severity, &rest[..4]);
        self.at += 4;
        true
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

    /// `LEVEL:logger:message`, the default form of Python.
    fn python_logger(&mut self) {
        let [b':', tail @ ..] = self.rest() else {
            return;
        };
        let end = run_end(tail, 0, |byte| !is_space(byte) && byte != b':');
        if end > 0 && tail.get(end) == Some(&b':') {
            self.header.logger = &tail[..end];
            self.at += end + 2;
        } else {
            self.at += 1;
        }
    }

    /// `1234 ---` as Spring writes it.
    fn process_id(&mut self) {
        let rest = self.rest();
        let digits = run_end(rest, 0, |byte| byte.is_ascii_digit());
        let next = run_end(rest, digits, is_space);
        if digits > 0 && rest[next..].starts_with(b"--- ") {
            self.at += next + 3;
            self.skip_separators();
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

    /// Host and program of syslog: `host program[123]: message`; then a level that the message starts with.
    ///
    /// Behind another time only a process id tells a program from the first words of a message: `dial failed: timeout`.
    fn program(&mut self) {
        self.skip_spaces();
        self.facility();
        let host_end = run_end(self.text, self.at, |byte| !is_space(byte) && !matches!(byte, b':' | b'['));
        let after_host = run_end(self.text, host_end, is_space);
        let behind_host = if after_host > host_end { program_name(self.text, after_host) } else { None };
        let behind_host = behind_host.filter(|found| self.syslog_time || found.has_process);
        let direct =
            || program_name(self.text, self.at).filter(|found| self.syslog_time || found.has_process || found.name.contains(&b'.'));
        let Some(found) = behind_host.or_else(direct) else { return };
        self.header.logger = found.name;
        self.at = run_end(self.text, found.after, is_space);
        if let Some(uptime) = self.time_here().filter(|_| self.peek() == Some(b'[')) {
            self.at = run_end(self.text, uptime, is_space);
        }
        self.program_level();
    }

    /// `<auth.info>` or `<4.6>`, facility and level as syslogd of BSD writes them in front of the host.
    fn facility(&mut self) {
        if self.peek() != Some(b'<') {
            return;
        }
        let Some((start, end)) = group(self.text, self.at) else { return };
        let Some(dot) = find(&self.text[..end], start, b'.') else { return };
        let word = &self.text[dot + 1..end];
        let severity = match word {
            [digit @ b'0'..=b'7'] => Severity::from_syslog(u64::from(digit - b'0')),
            word => Severity::from_word(word),
        };
        if let Some(severity) = severity {
            self.set_level(severity, word);
            self.at = end + 1;
            self.skip_spaces();
        }
    }

    fn program_level(&mut self) {
        if self.glog() {
            return;
        }
        let Column::Level { severity, start, end, after } = self.column_at(self.at, false) else {
            return;
        };
        self.set_level(severity, &self.text[start..end]);
        let word = &self.text[start..end];
        let bracketed = start > self.at;
        if bracketed || word.iter().all(u8::is_ascii_uppercase) {
            self.at = after;
            self.skip_separators();
        }
    }
}

enum Column {
    Level { severity: Severity, start: usize, end: usize, after: usize },
    Other { after: usize },
    Prose,
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

/// Whether a time has the form of syslog, a month in front (RFC 3164 section 4.1.2), TAI64N, or that of a date with an offset in
/// digits, as rsyslog and syslog-ng write it.
fn is_syslog_time(time: &[u8]) -> bool {
    let offset = |from_end: usize| time.len() > 24 && matches!(time[time.len() - from_end], b'+' | b'-');
    time.starts_with(b"@")
        || time.first().is_some_and(u8::is_ascii_uppercase) && time.get(3) == Some(&b' ')
        || time.get(10) == Some(&b'T') && offset(6)
}

/// Whether a time of twelve hours ends here.
fn ends_in_half_day(time: &[u8]) -> bool {
    let time = crate::bytes::trim_end(time);
    time.ends_with(b" AM") || time.ends_with(b" PM")
}

/// The length of the level that a line such as `INFO: message` starts with.
pub(crate) fn level_line(line: &[u8]) -> Option<usize> {
    let end = run_end(line, 0, |byte| byte.is_ascii_uppercase());
    (line[end..].starts_with(b": ") && Severity::from_word(&line[..end]).is_some()).then_some(end)
}

/// Whether a line is the first of java.util.logging's two.
pub(crate) fn is_first_of_two(line: &[u8]) -> bool {
    timestamp::end(line).is_some_and(|end| {
        let names = crate::bytes::trim(&line[end..]).split(|byte| *byte == b' ').count();
        ends_in_half_day(&line[..end]) && (1..=2).contains(&names)
    })
}

/// Whether a word is a column of a header rather than prose: a number, an id, `user@database`, `key=value`, a dotted or all-capital name.
fn is_column(word: &[u8], next: Option<u8>) -> bool {
    if word.is_empty() || word.len() > MAX_NAME {
        return false;
    }
    let (mut upper, mut lower, mut digit, mut dotted, mut joined) = (false, false, false, false, false);
    for (at, byte) in word.iter().enumerate() {
        match byte {
            b'A'..=b'Z' => upper = true,
            b'a'..=b'z' => lower = true,
            b'0'..=b'9' => digit = true,
            b'@' | b'=' => joined |= at > 0,
            b'.' => dotted |= at > 0 && is_alphanumeric(word[at - 1]) && word.get(at + 1).is_some_and(|next| is_alphanumeric(*next)),
            _ => {}
        }
    }
    let program = next == Some(b'[') || (next == Some(b':') && !digit);
    !program && (upper && !lower || dotted || joined || digit || next == Some(b'|'))
}

/// Seconds since boot as the kernel writes them: `12.345678`.
fn uptime_end(text: &[u8]) -> Option<usize> {
    let dot = run_end(text, 0, |byte| byte.is_ascii_digit());
    let end = run_end(text, dot + 1, |byte| byte.is_ascii_digit());
    (dot > 0 && text.get(dot) == Some(&b'.') && end == dot + 7).then_some(end)
}

/// Whether a word is a name: a path, or one without colons that has no digit unless it is dotted.
fn is_plain_name(name: &[u8]) -> bool {
    has_scope(name) || !name.contains(&b':') && (!name.iter().any(u8::is_ascii_digit) || name.contains(&b'.'))
}

/// Whether a name is a path of Rust or C++: every colon in it is one of a pair.
fn has_scope(name: &[u8]) -> bool {
    if memchr::memchr(b':', name).is_none() {
        return false;
    }
    let pairs = memchr::memmem::find_iter(name, b"::").count();
    pairs > 0 && memchr::memchr_iter(b':', name).count() == 2 * pairs
}

/// `file.go:12`, a source position.
fn is_source_line(name: &[u8]) -> bool {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && name.len() > digits && name[name.len() - digits - 1] == b':' && name.contains(&b'.')
}

/// `program[123]:` (up to three words), `program:` or `file.go:12:`.
fn program_name(text: &[u8], at: usize) -> Option<Named<'_>> {
    let window = &text[at..text.len().min(at + MAX_NAME)];
    let mut colon = find(window, 0, b':')?;
    if window.get(colon + 1).is_some_and(u8::is_ascii_digit) {
        colon = find(window, colon + 1, b':').filter(|colon| is_source_line(&window[..*colon]))?;
    }
    if window.get(colon + 1).is_some_and(|byte| !is_space(*byte)) {
        return None;
    }
    let head = &window[..colon];
    let after = at + colon + 1;
    let words = head.split(|byte| *byte == b' ').count();
    if let Some(pid) = head.strip_suffix(b"]") {
        let open = memchr::memrchr(b'[', pid)?;
        let digits = &pid[open + 1..];
        let valid = open > 0 && words <= 3 && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        return valid.then(|| Named { name: &pid[..open], after, has_process: true });
    }
    (words == 1 && head.first().is_some_and(u8::is_ascii_alphabetic)).then_some(Named { name: head, after, has_process: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_of_many_programs_are_cut() {
        // line, severity number, level word, logger, message
        let cases: &[(&str, u8, &str, &str, &str)] = &[
            ("261125 150405 148 INFO store.Node$Writer: Writer 1 of a part", 9, "INFO", "store.Node$Writer", "Writer 1 of a part"),
            ("25-Mar-2027 11:52:34.771 xfer-in: info: transferred serial 7", 9, "info", "xfer-in", "transferred serial 7"),
            ("25-Mar-2027 11:52:34.771 general: debug 1: zone loaded: yes", 5, "debug", "general", "zone loaded: yes"),
            ("[2027-03-16 09:47:15] WARNING[2959][C-00001ede]: pbx.c: Call ended", 13, "WARNING", "pbx.c", "Call ended"),
            ("2026-11-25 15:04:05,978 INFO [main] org.example.Foo: Created app", 9, "INFO", "org.example.Foo", "Created app"),
            ("26/11/25 15:04:05 WARN executor.Backend: Registered handlers", 13, "WARN", "executor.Backend", "Registered handlers"),
            (
                "2026-11-25 15:04:05,747 - WARN  [Peer[id=1]/0:0:0:0:0:0:0:0:7000:Fast@774] - No vote for 3200",
                13,
                "WARN",
                "",
                "No vote for 3200",
            ),
            (
                "- 1795619045 2026.11.25 X02-B1-S0:P12 2026-11-25-15.04.05.363779 X02-B1-S0:P12 HW KERNEL INFO memory error corrected",
                9,
                "INFO",
                "",
                "memory error corrected",
            ),
            (
                "MEMFAIL 1795619045 2026.11.25 X30 2026-11-25-15.04.05.581048 X30 HW KERNEL FATAL memory error",
                21,
                "FATAL",
                "",
                "memory error",
            ),
            (
                "- 1795619045 2026.11.25 n228 Nov 25 15:04:05 n228/n228 crond(pam_unix)[2915]: session closed for user root",
                0,
                "",
                "crond(pam_unix)",
                "session closed for user root",
            ),
            ("2026-11-25 15:04:05, Info                  PKG    Loaded package list v6.1", 9, "Info", "PKG", "Loaded package list v6.1"),
            (
                "Jun 14 15:16:01 login-1 sshd(pam_unix)[19939]: authentication failure; logname=",
                0,
                "",
                "sshd(pam_unix)",
                "authentication failure; logname=",
            ),
            ("Dec 10 06:55:46 bastion sshd[24200]: error: Received disconnect", 17, "error", "sshd", "error: Received disconnect"),
            ("11-25 15:04:05.811  1702  2395 D WindowManager: printFreezing", 5, "D", "WindowManager", "printFreezing"),
            ("20261125-15:04:05:606|Walk_Count|30002312|onChanged 3579", 0, "", "Walk_Count", "onChanged 3579"),
            ("[Wed Nov 25 15:04:05 2026] [notice] pool.init() ok", 10, "notice", "", "pool.init() ok"),
            ("[Wed Nov 25 15:04:05.123456 2026] [core:error] [pid 12:tid 3] AH00126: Invalid URI", 17, "error", "", "AH00126: Invalid URI"),
            ("[11.25 15:04:05] app.exe - proxy.example.org:5070 close", 0, "", "", "app.exe - proxy.example.org:5070 close"),
            (
                "compute.log.1.2026-11-25_15:04:05 2026-11-25 15:04:05.008 25746 INFO compute.api.server [req-38101a0b-2096 - - -] 10.11.10.1 \"GET\"",
                9,
                "INFO",
                "compute.api.server",
                "10.11.10.1 \"GET\"",
            ),
            ("Nov 25 15:04:05 laptop-10 Some Editor[14463]: scripting is on", 0, "", "Some Editor", "scripting is on"),
            ("I1125 15:04:05.678901    12 server.go:34] Serving on 8080", 9, "I", "", "Serving on 8080"),
            ("12:M 25 Nov 2026 15:04:05.678 # Warning: no config", 13, "#", "", "Warning: no config"),
            ("2026/11/25 15:04:05 [error] 12#12: *5 open() failed", 17, "error", "", "12#12: *5 open() failed"),
            ("W/ActivityManager( 123): Slow operation", 13, "W", "ActivityManager", "Slow operation"),
            ("WARNING:root:disk is full", 13, "WARNING", "root", "disk is full"),
            ("[INFO] Scanning for projects...", 9, "INFO", "", "Scanning for projects..."),
            (
                "2026-11-25 15:04:05.000  INFO 12 --- [           main] o.s.b.Application    : Started Application",
                9,
                "INFO",
                "o.s.b.Application",
                "Started Application",
            ),
            ("2026-11-25 15:04:05.123 UTC [12] LOG:  checkpoint starting", 9, "LOG", "", "checkpoint starting"),
            ("2026-11-25 15:04:05 0 [Note] InnoDB: started", 9, "Note", "InnoDB", "started"),
            ("2026-11-25T15:04:05Z\tinfo\tstarted worker", 9, "info", "", "started worker"),
            ("web_1  | 2026-11-25 15:04:05 ERROR boom", 17, "ERROR", "", "boom"),
            ("<11>Nov 25 15:04:05 host app[1]: broken", 17, "", "app", "broken"),
            ("[   12.345678] usb 1-1: new device", 0, "", "", "usb 1-1: new device"),
            ("Nov 25, 2026 4:57:41 PM x.Y main\nSEVERE: failed twice", 17, "SEVERE", "x.Y", "failed twice"),
            ("[2026-11-25T15:04:05Z WARN  app::db] pool is empty", 13, "WARN", "app::db", "pool is empty"),
            ("2026-11-25T15:04:05.123456Z  INFO app::db: pool is ready", 9, "INFO", "app::db", "pool is ready"),
            ("<30>1 2026-11-25T15:04:05Z host app 12 ID7 [a@1 b=\"c\"] started", 9, "", "app", "started"),
            ("<30>1 2026-11-25T15:04:05Z host app - - - started", 9, "", "app", "started"),
            ("Nov 25 15:04:05 host kernel: [   12.345678] usb 1-1: new device", 0, "", "kernel", "usb 1-1: new device"),
            ("2026-11-25 15:04:05, Trace                 CORE   loading", 1, "Trace", "CORE", "loading"),
            (
                "2026-11-25T15:04:05.000Z\tINFO\tsetup\tcmd/main.go:12\tstarting manager\t{\"n\": 1}",
                9,
                "INFO",
                "setup",
                "starting manager\t{\"n\": 1}",
            ),
            ("2026-11-25 15:04:05.767815 [WARNING] sofia_reg.c:1533 SIP auth", 13, "WARNING", "sofia_reg.c:1533", "SIP auth"),
            ("@400000004c91b044077a9e94 imap-login: Info: Aborted login", 9, "Info", "imap-login", "Info: Aborted login"),
            ("[1234:5678:1125/150405.123456:ERROR:bus.cc(408)] Failed to connect", 17, "ERROR", "", "Failed to connect"),
            ("[1234:5678:1125/150405.123456:ERROR:dbus/bus.cc:405] Failed to connect", 17, "ERROR", "", "Failed to connect"),
            ("2026/11/25 15:04:05 dial failed: i/o timeout", 0, "", "", "dial failed: i/o timeout"),
            ("[   12.345678] ACPI: Core revision 20221020", 0, "", "", "ACPI: Core revision 20221020"),
            ("2026-11-25T15:04:05.123456+00:00 host app: started", 0, "", "app", "started"),
            ("2026-11-25T15:04:05Z app[12]: started", 0, "", "app", "started"),
            ("Nov 25 15:04:05 <auth.info> host sshd[1]: Invalid user", 9, "info", "sshd", "Invalid user"),
            ("Nov 25 15:04:05 <4.3> host sshd[1]: Invalid user", 17, "3", "sshd", "Invalid user"),
            ("2026-11-25 12:35:25.088 UTC [9845] app@shop LOG:  started", 9, "LOG", "", "started"),
            ("2026-11-25 12:35:25.088 UTC [9845] user=app,db=shop ERROR:  failed", 17, "ERROR", "", "failed"),
            ("INFO 2026-11-25 15:04:05,123 worker 12 created", 9, "INFO", "", "worker 12 created"),
            ("[2026-11-25 15:04:05,123: INFO/MainProcess] Task received", 9, "INFO", "MainProcess", "Task received"),
            ("2026-11-25 15:04:05.123 [info] <0.123.0> created", 9, "info", "", "created"),
            ("2026-11-25 15:04:05.123 [info] <unknown> created", 9, "info", "", "<unknown> created"),
            ("2026/11/25 15:04:05 main.go:12: created", 0, "", "main.go:12", "created"),
            ("7012 node-2 net.link up 1795619045 Link ok", 0, "", "", "Link ok"),
            ("12 jobs wait since 1795619045 for you", 0, "", "", "12 jobs wait since 1795619045 for you"),
            ("search criteria matched", 0, "", "", "search criteria matched"),
            ("errors=0 and notification sent", 0, "", "", "errors=0 and notification sent"),
            ("Failed to open file", 0, "", "", "Failed to open file"),
            ("starting alertmanager", 0, "", "", "starting alertmanager"),
            ("SEVERE: Servlet threw exception", 17, "SEVERE", "", "Servlet threw exception"),
        ];
        for (line, severity, word, logger, message) in cases {
            let header = parse(line.as_bytes());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            assert_eq!(
                (
                    header.severity.number(),
                    text(header.severity_text).as_str(),
                    text(header.logger).as_str(),
                    text(&line.as_bytes()[header.message_start..]).as_str()
                ),
                (*severity, *word, *logger, *message),
                "{line}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_safe(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse(&line).message_start <= line.len());
        }

        #[test]
        fn header_like_text_is_safe(line in "([0-9]{1,4}|[-:/., |\\[\\]()<>]|INFO|[a-z]{1,3}|Nov){0,30}") {
            prop_assert!(parse(line.as_bytes()).message_start <= line.len());
        }
    }
}
