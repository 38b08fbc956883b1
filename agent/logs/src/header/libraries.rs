//! Headers that one logging library writes in a form of its own. Must hold no form that columns already tell.

use super::{MAX_HEADER, MAX_NAME, Parser};
use crate::bytes::{is_alphanumeric, is_space, run_end};
use crate::severity::Severity;
use crate::timestamp;

impl<'a> Parser<'a> {
    /// `[pid:tid:MMDD/time:LEVEL:file.cc(12)] message` (or `file.cc:12`) of Chromium and what embeds it.
    pub(super) fn colon_columns(&mut self, inner: &'a [u8], end: usize) -> bool {
        let mut columns = inner.rsplit(|byte| *byte == b':').skip_while(|column| column.iter().all(u8::is_ascii_digit));
        let (Some(source), Some(word), Some(_)) = (columns.next(), columns.next(), columns.next()) else { return false };
        let placed = source.contains(&b'.') && word.iter().all(u8::is_ascii_uppercase);
        let Some(severity) = Severity::from_word(word).filter(|_| placed) else { return false };
        self.set_level(severity, word);
        self.header.has_time = inner.contains(&b'/');
        self.at = end + 1;
        true
    }

    /// glog and klog: `I1125 15:04:05.000000    12 file.go:34] message`; CockroachDB: `I261125 15:04:05.000000 12 file.go:34  message`.
    pub(super) fn glog(&mut self) -> bool {
        let rest = self.rest();
        let Some(severity) = rest.first().and_then(|letter| Severity::from_letter(*letter)) else {
            return false;
        };
        let digits = run_end(rest, 1, |byte| byte.is_ascii_digit()) - 1;
        if !matches!(digits, 4 | 6 | 8) || rest.get(digits + 1) != Some(&b' ') {
            return false;
        }
        let Some(end) = rest.get(digits + 2..).and_then(timestamp::end) else {
            return false;
        };
        let start = self.at;
        let columns = self.at + digits + 2 + end;
        let window = &self.text[columns..self.text.len().min(columns + MAX_NAME)];
        let end = if digits == 6 { source_column(window) } else { memchr::memchr(b']', window).map(|close| close + 1) };
        let Some(end) = end else { return false };
        self.set_level(severity, &self.text[start..start + 1]);
        self.header.has_time = true;
        self.at = columns + end;
        true
    }

    /// Android's brief form: `W/Tag ( 123): message`.
    pub(super) fn android_brief(&mut self) -> bool {
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

    /// Android's logcat: two numbers, then one letter, then the tag.
    pub(super) fn logcat(&mut self) -> bool {
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

    /// `[D 2026-11-25 15:04:05.000 Name] message`, as Tornado's and Jupyter's formatters write it; `[WRN 15:04:05.000] message`.
    pub(super) fn level_and_time(&mut self, inner: &'a [u8], end: usize) -> bool {
        let length = run_end(inner, 0, |byte| byte.is_ascii_uppercase());
        let word = &inner[..length];
        let severity = if let [letter] = word { Severity::from_letter(*letter) } else { Severity::from_word(word) };
        let Some(tail) = inner[length..].strip_prefix(b" ") else { return false };
        let (Some(severity), Some(time)) = (severity, timestamp::end(tail)) else { return false };
        self.set_level(severity, word);
        self.header.has_time = true;
        self.header.logger = crate::bytes::trim(&tail[time..]);
        self.at = end + 1;
        true
    }

    /// `[Info   :   Source] message`, as BepInEx writes it for games.
    pub(super) fn level_and_source(&mut self, inner: &'a [u8], end: usize) -> bool {
        let length = run_end(inner, 0, |byte| byte.is_ascii_alphabetic());
        let colon = run_end(inner, length, |byte| byte == b' ');
        let Some(source) = inner.get(colon..).and_then(|tail| tail.strip_prefix(b":")).map(crate::bytes::trim) else { return false };
        let severity = match &inner[..length] {
            b"Message" => Some(Severity::INFO),
            word @ (b"Info" | b"Debug" | b"Warning" | b"Error" | b"Fatal") => Severity::from_word(word),
            _ => None,
        };
        let Some(severity) = severity.filter(|_| !source.is_empty()) else { return false };
        self.set_level(severity, &inner[..length]);
        self.header.logger = source;
        self.at = end + 1;
        true
    }

    /// `<W>2026-11-25 15:04:05 message`, `(W) 2026-11-25 …`, `W 11/25/26 …`, `W [25/Nov/2026:…] …` or `[W][12.345678] …`.
    pub(super) fn letter_before_time(&mut self) {
        let (found, dated) = match self.rest() {
            [letter, b' ', b'0'..=b'9', ..] => ((letter, 0, 2), timestamp::has_date(&self.rest()[2..])),
            [letter, b' ', b'[', b'0'..=b'9', ..] => ((letter, 0, 2), self.time_at(self.at + 2).is_some()),
            [b'[', letter, b']', b'[', b'0'..=b'9', ..] => ((letter, 1, 3), self.time_at(self.at + 3).is_some()),
            [b'<', letter, b'>', b'0'..=b'9', ..] | [b'(', letter, b')', b' ', b'0'..=b'9', ..] => ((letter, 1, 3), true),
            _ => return,
        };
        let (letter, at, length) = found;
        if let Some(severity) = Severity::from_letter(*letter).filter(|_| dated) {
            self.set_level(severity, &self.text[self.at + at..self.at + at + 1]);
            self.at += length;
        }
    }

    /// `E, [2026-11-25T15:04:05 #12] ERROR -- : message`, Ruby's logger; the letter says nothing more than the word.
    pub(super) fn ruby_letter(&mut self) {
        if let [b'A'..=b'Z', b',', b' ', b'[', ..] = self.rest() {
            self.at += 3;
        }
    }

    /// `[Nest] 12  - ` in front of the time.
    pub(super) fn nest(&mut self) {
        let Some(rest) = self.rest().strip_prefix(b"[Nest] ") else { return };
        let digits = run_end(rest, 0, |byte| byte.is_ascii_digit());
        let dash = run_end(rest, digits, is_space);
        if digits > 0 && rest[dash..].starts_with(b"- ") {
            self.at = self.text.len() - rest.len() + dash + 2;
        }
    }

    /// java.util.logging: `Nov 25, 2026 3:04:05 PM a.B method`, and on the next line `INFO: message`.
    pub(super) fn second_line_level(&mut self) -> bool {
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

    /// `ThreadId(01) request{id=1}:query: ` in front of the target, the spans that Rust's tracing is in.
    pub(super) fn tracing_spans(&mut self) {
        let rest = self.rest();
        let window = &rest[..rest.len().min(2 * MAX_HEADER)];
        let thread = window.strip_prefix(b"ThreadId(").and_then(|tail| memchr::memmem::find(tail, b") ")).map_or(0, |end| end + 11);
        let (mut at, mut fields, mut spans) = (thread, false, 0);
        while let Some(end) = span_end(window, at) {
            fields |= window[end - 1] == b'}';
            spans += 1;
            at = end + 1;
            if window.get(at) == Some(&b' ') {
                // Names alone are spans if a target follows.
                let target = &window[at + 1..run_end(window, at + 1, |byte| !is_space(byte))];
                if fields || spans > 1 && target.ends_with(b":") && crate::bytes::contains(target, b"::") {
                    self.at += at + 1;
                }
                return;
            }
        }
    }

    /// `fail: Category[13]`, the first line of .NET's console logger.
    pub(super) fn dotnet(&mut self) -> bool {
        let rest = self.rest();
        let category = rest.get(4..).unwrap_or_default();
        let numbered = category.starts_with(b": ") && category.split(|byte| *byte == b'\n').next().is_some_and(|line| line.ends_with(b"]"));
        let Some(severity) = rest.get(..4).and_then(Severity::from_word).filter(|_| numbered) else { return false };
        self.set_level(severity, &rest[..4]);
        self.at += 4;
        true
    }

    /// `LEVEL:logger:message`, the default form of Python.
    pub(super) fn python_logger(&mut self) {
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
    pub(super) fn process_id(&mut self) {
        let rest = self.rest();
        let digits = run_end(rest, 0, |byte| byte.is_ascii_digit());
        let next = run_end(rest, digits, is_space);
        if digits > 0 && rest[next..].starts_with(b"--- ") {
            self.at += next + 3;
            self.skip_separators();
        }
    }
}

/// Where a span at `at`, a name and perhaps its fields in braces, ends in front of a colon.
fn span_end(text: &[u8], at: usize) -> Option<usize> {
    let name = run_end(text, at, |byte| is_alphanumeric(byte) || matches!(byte, b'_' | b'-' | b'.'));
    let mut end = name;
    if text.get(name) == Some(&b'{') {
        let mut depth = 0usize;
        end += 1 + text[name..].iter().position(|byte| {
            depth += usize::from(*byte == b'{');
            depth -= usize::from(*byte == b'}');
            depth == 0
        })?;
    }
    (name > at && text.get(end) == Some(&b':')).then_some(end)
}

/// Where ` 12 file.go:34` ends.
fn source_column(text: &[u8]) -> Option<usize> {
    let number = run_end(text, run_end(text, 0, is_space), |byte| byte.is_ascii_digit());
    let start = run_end(text, number, is_space);
    let end = run_end(text, start, |byte| !is_space(byte));
    (number > 0 && super::is_source_line(&text[start..end])).then_some(end)
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
