//! What somebody who carries lines on puts in front of each: docker compose the container's name and a bar, a journal's reader
//! the program with its process id, a syslog daemon all of its header. Must never take a program's own columns for that.

use super::{MAX_NAME, Parser};
use crate::bytes::{is_alphanumeric, is_space, run_end};
use crate::severity::Severity;
use crate::structured;
use crate::timestamp;

impl<'a> Parser<'a> {
    /// `web_1  | ` or `dockerd[12]: ` in front of the whole line.
    pub(super) fn carrier(&mut self) {
        let rest = self.rest();
        if !rest.first().is_some_and(u8::is_ascii_alphabetic) {
            return;
        }
        let name_end = run_end(rest, 0, |byte| is_alphanumeric(byte) || matches!(byte, b'-' | b'_' | b'.' | b'@' | b'/'));
        // A container is no logger.
        let (after, program) = match rest.get(name_end) {
            Some(b'[') => (behind_process(rest, name_end), &rest[..name_end]),
            Some(b' ' | b'|') => (behind_bar(rest, name_end), &rest[..0]),
            _ => return,
        };
        if let Some(after) = after.filter(|_| name_end <= MAX_NAME) {
            self.carrier = program;
            self.at += run_end(rest, after, is_space);
        }
    }

    /// Where the header begins that a program wrote itself, behind that of a syslog daemon or a supervisor; `None` if there is none.
    pub(super) fn own_header(&self) -> Option<usize> {
        let at = run_end(self.text, self.at, is_space);
        let inner = run_end(self.text, at, |byte| byte == b'[');
        let first = self.text.get(inner)?;
        let month = || self.syslog_time && first.is_ascii_uppercase() && self.text.get(inner + 3) == Some(&b' ');
        if self.is_inner || !(first.is_ascii_digit() || month()) {
            return None;
        }
        let end = self.time_at(at)?;
        let time = &self.text[inner..end];
        let epoch = time.iter().all(u8::is_ascii_digit) && self.text.get(end) == Some(&b':') && self.syslog_time;
        let dated = timestamp::is_date(time) && time.contains(&b':');
        (epoch || dated).then_some(at)
    }

    /// Goes on with a program's own header; gives the level of the other one.
    pub(super) fn enter(&mut self, at: usize) -> (Severity, &'a [u8]) {
        self.at = at;
        self.is_inner = true;
        self.carrier = std::mem::take(&mut self.header.logger);
        (self.header.severity, std::mem::take(&mut self.header.severity_text))
    }
}

/// Behind `[12]: `, if that is what stands at `open`.
fn behind_process(text: &[u8], open: usize) -> Option<usize> {
    let close = run_end(text, open + 1, |byte| byte.is_ascii_digit());
    (close > open + 1 && text[close..].starts_with(b"]: ")).then_some(close + 3)
}

/// Behind the bar of docker compose. Tables have bars too: a number ends the name, or a header follows.
fn behind_bar(text: &[u8], name_end: usize) -> Option<usize> {
    let bar = run_end(text, name_end, |byte| byte == b' ');
    if !text.get(bar..)?.starts_with(b"| ") {
        return None;
    }
    let after = run_end(text, bar + 1, is_space);
    let digits = text[..name_end].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let numbered = digits > 0 && name_end > digits && matches!(text[name_end - digits - 1], b'-' | b'_');
    let line = &text[after..];
    let dated = timestamp::has_date(line.strip_prefix(b"[").unwrap_or(line));
    (numbered || dated || structured::looks_like(line)).then_some(after)
}
