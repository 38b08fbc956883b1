//! Headers of syslog: the priority, the columns of RFC 5424, and host and program of RFC 3164 with what daemons make of them.
//! Must never take the first words of a message for a program.

use super::columns::Level;
use super::{MAX_NAME, Parser, group, is_source_line};
use crate::bytes::{find, is_alphanumeric, is_space, run_end};
use crate::severity::Severity;
use crate::timestamp;

/// In front of a message in UTF-8; RFC 5424 section 6.4.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A name that ends at a colon, and where the text behind it starts.
struct Named<'a> {
    name: &'a [u8],
    after: usize,
    /// A process id in brackets is part of it.
    has_process: bool,
}

impl<'a> Parser<'a> {
    /// `<34>` of syslog (RFC 5424 section 6.2.1), with the version behind it.
    pub(super) fn priority(&mut self) {
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
    pub(super) fn syslog_columns(&mut self) -> bool {
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

    /// Host and program of syslog: `host program[123]: message`; then a level that the message starts with. Whether there is
    /// a program.
    ///
    /// Behind another time only a process id tells a program from the first words of a message: `dial failed: timeout`.
    pub(super) fn program(&mut self) -> bool {
        self.skip_spaces();
        self.facility(self.at);
        let host_end = run_end(self.text, self.at, |byte| !is_space(byte) && !matches!(byte, b':' | b'['));
        let after_host = run_end(self.text, host_end, is_space);
        if self.syslog_time && after_host > host_end && self.facility(after_host) {
            return self.program();
        }
        let behind_host = if after_host > host_end { program_name(self.text, after_host) } else { None };
        let behind_host = behind_host.filter(|found| self.syslog_time || found.has_process);
        let direct =
            || program_name(self.text, self.at).filter(|found| self.syslog_time || found.has_process || found.name.contains(&b'.'));
        let Some(found) = behind_host.or_else(direct) else { return false };
        self.header.logger = found.name;
        self.at = run_end(self.text, found.after, is_space);
        let dated = || timestamp::has_date(&self.text[self.at + 1..]);
        if let Some(uptime) = self.time_here().filter(|_| self.peek() == Some(b'[') && !dated()) {
            self.at = run_end(self.text, uptime, is_space);
        }
        if self.own_header().is_none() {
            self.program_level();
        }
        true
    }

    /// `<auth.info>` or `<4.6>` at `at`, facility and level as syslogd of BSD writes them in front of the host; `auth.info` in those
    /// of BusyBox and OpenWrt, also behind the host. Goes on behind it if there is one.
    fn facility(&mut self, at: usize) -> bool {
        let (start, end) = match group(self.text, at) {
            Some(inner) if self.text[at] == b'<' => inner,
            _ => (at, run_end(self.text, at, |byte| !is_space(byte) && byte != b':')),
        };
        let Some(dot) = find(&self.text[..end], start, b'.') else { return false };
        let (facility, word) = (&self.text[start..dot], &self.text[dot + 1..end]);
        let severity = match word {
            [digit @ b'0'..=b'7'] if start > at => Severity::from_syslog(u64::from(digit - b'0')),
            word => Severity::from_word(word),
        };
        let Some(severity) = severity.filter(|_| start > at || is_facility(facility)) else { return false };
        self.set_level(severity, word);
        self.at = end + (start - at) + usize::from(self.text.get(end) == Some(&b':'));
        self.skip_spaces();
        true
    }

    fn program_level(&mut self) {
        if self.glog() {
            return;
        }
        // `[12:0] info: `: process and thread once more.
        if let Some((start, end)) = group(self.text, self.at)
            && self.text[start..end].iter().all(|byte| byte.is_ascii_digit() || *byte == b':')
            && self.level_at(run_end(self.text, end + 1, is_space)).is_some()
        {
            self.at = run_end(self.text, end + 1, is_space);
        }
        let Some(Level { severity, start, end, after }) = self.level_at(self.at).or_else(|| self.ordinary_level()) else { return };
        self.set_level(severity, &self.text[start..end]);
        let word = &self.text[start..end];
        let bracketed = start > self.at;
        if bracketed || word.iter().all(u8::is_ascii_uppercase) {
            self.at = after;
            self.skip_separators();
        }
    }
}

impl Parser<'_> {
    /// A level that is an ordinary word too, with a colon behind it: `program[12]: notice: x`.
    fn ordinary_level(&self) -> Option<Level> {
        let end = run_end(self.text, self.at, |byte| byte.is_ascii_lowercase());
        let word = &self.text[self.at..end];
        let is_level = matches!(word, b"notice" | b"alert" | b"panic") && self.text[end..].starts_with(b": ");
        let severity = Severity::from_word(word).filter(|_| is_level)?;
        Some(Level { severity, start: self.at, end, after: end })
    }
}

/// Whether a time has the form of syslog, a month in front (RFC 3164 section 4.1.2), TAI64N, or that of a date with an offset in
/// digits, as rsyslog and syslog-ng write it.
pub(super) fn is_syslog_time(time: &[u8]) -> bool {
    let offset = |from_end: usize| time.len() > 24 && matches!(time[time.len() - from_end], b'+' | b'-');
    time.first().is_some_and(|first| !first.is_ascii_digit() && *first != b'[') || time.get(10) == Some(&b'T') && offset(6)
}

/// Names of facilities (`SYSLOG_NAMES` of `<syslog.h>`).
fn is_facility(name: &[u8]) -> bool {
    matches!(
        name,
        b"auth" | b"authpriv" | b"cron" | b"daemon" | b"ftp" | b"kern" | b"lpr" | b"mail" | b"news" | b"syslog" | b"user" | b"uucp"
    ) || matches!(name, [b'l', b'o', b'c', b'a', b'l', b'0'..=b'7'])
}

/// `program[123]:` (up to three words), `program:` or `file.go:12:`.
fn program_name(text: &[u8], at: usize) -> Option<Named<'_>> {
    let window = &text[at..text.len().min(at + MAX_NAME)];
    let mut colon = find(window, 0, b':')?;
    if window.get(colon + 1).is_some_and(u8::is_ascii_digit) {
        if let Some(named) = with_thread(window, at) {
            return Some(named);
        }
        colon = find(window, colon + 1, b':').filter(|colon| is_source_line(&window[..*colon]))?;
    }
    if window.get(colon + 1).is_some_and(|byte| !is_space(*byte)) {
        return None;
    }
    let (mut head, mut after) = (&window[..colon], at + colon + 1);
    // `program[123](info): `: the level is left to whoever reads on.
    let (inner, opener) = match head {
        [inner @ .., b')'] => (inner, b'('),
        [inner @ .., b'>'] => (inner, b'<'),
        _ => (&head[..0], b'('),
    };
    if let Some(open) = memchr::memrchr(opener, inner)
        && inner[..open].trim_ascii_end().ends_with(b"]")
        && Severity::from_word(&inner[open + 1..]).is_some()
    {
        (head, after) = (inner[..open].trim_ascii_end(), at + open);
    }
    let words = head.split(|byte| *byte == b' ').count();
    if let Some(pid) = head.strip_suffix(b"]") {
        let open = memchr::memrchr(b'[', pid)?;
        let digits = &pid[open + 1..];
        let valid = open > 0 && words <= 3 && !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        return valid.then(|| Named { name: &pid[..open], after, has_process: true });
    }
    (words == 1 && head.first().is_some_and(u8::is_ascii_alphabetic)).then_some(Named { name: head, after, has_process: false })
}

/// `program[123:4] `, a process and its thread, without a colon behind.
fn with_thread(window: &[u8], at: usize) -> Option<Named<'_>> {
    let open = run_end(window, 0, |byte| is_alphanumeric(byte) || matches!(byte, b'-' | b'_'));
    let process = run_end(window, open + 1, |byte| byte.is_ascii_digit());
    let thread = run_end(window, process + 1, |byte| byte.is_ascii_digit());
    let valid = open > 0 && window.get(open) == Some(&b'[') && window.get(process) == Some(&b':') && window[thread..].starts_with(b"] ");
    valid.then(|| Named { name: &window[..open], after: at + thread + 1, has_process: true })
}
