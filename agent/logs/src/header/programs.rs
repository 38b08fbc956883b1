//! Headers that one program writes in a form of its own. Must hold no form that columns already tell.

use super::{MAX_HEADER, MAX_NAME, Parser, group};
use crate::bytes::{is_alphanumeric, is_space, run_end};
use crate::severity::Severity;
use crate::timestamp;

impl Parser<'_> {
    /// Redis: `12:M 25 Nov 2026 15:04:05.000 * message`.
    pub(super) fn redis(&mut self) -> bool {
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

    /// A letter in front of the message of a line without a time: `W: x` of apt and PulseAudio, `I (43) boot: x` of ESP-IDF,
    /// `E path/file.cc:111] x` of TensorFlow.
    pub(super) fn letter_in_front(&mut self) -> bool {
        let rest = self.rest();
        let [letter @ (b'D' | b'I' | b'W' | b'E' | b'F' | b'V'), tail @ ..] = rest else { return false };
        let length = match tail {
            [b':', b' ', ..] if *letter != b'V' => 2,
            [b' ', b'(', digits @ ..] => {
                let end = run_end(digits, 0, |byte| byte.is_ascii_digit());
                let tag = run_end(digits, end + 2, |byte| !is_space(byte));
                if end == 0 || !digits[end..].starts_with(b") ") || !digits[..tag].ends_with(b":") {
                    return false;
                }
                end + 4
            }
            [b' ', ..] if self.is_place(self.at + 2) => run_end(rest, 2, |byte| !is_space(byte)),
            _ => return false,
        };
        let Some(severity) = Severity::from_letter(*letter) else { return false };
        self.set_level(severity, &self.text[self.at..self.at + 1]);
        self.at += length;
        true
    }

    /// `(program:12): Domain-WARNING **: message` of GLib.
    pub(super) fn glib(&mut self) -> bool {
        let rest = self.rest();
        let window = &rest[..rest.len().min(MAX_NAME)];
        let Some(stars) = memchr::memchr(b'*', window).and_then(|star| star.checked_sub(1)) else { return false };
        if !window[stars..].starts_with(b" **: ") {
            return false;
        }
        let start = window[..stars].iter().rposition(|byte| !byte.is_ascii_uppercase()).map_or(0, |at| at + 1);
        let Some(severity) = Severity::from_word(&window[start..stars]) else { return false };
        if !window[..start].ends_with(b"-") || window[..start].iter().filter(|byte| **byte == b' ').count() > 1 {
            return false;
        }
        let (start, end) = (self.at + start, self.at + stars);
        self.set_level(severity, &self.text[start..end]);
        self.at = end + 5;
        true
    }

    /// `002c:err:channel:function message` of Wine, and `tool: error: message`.
    pub(super) fn level_between_colons(&mut self) -> bool {
        let rest = self.rest();
        let name = run_end(rest, 0, |byte| is_alphanumeric(byte) || matches!(byte, b'-' | b'_' | b'.'));
        let thread = (2..=8).contains(&name) && rest[..name].iter().all(u8::is_ascii_hexdigit);
        let Some(tail) = rest.get(name..).and_then(|tail| tail.strip_prefix(b":")) else { return false };
        let start = run_end(tail, 0, |byte| byte == b' ');
        let end = run_end(tail, start, |byte| byte.is_ascii_lowercase());
        let placed = if start == 0 { thread && tail[end..].starts_with(b":") } else { name > 0 && tail[end..].starts_with(b": ") };
        let Some(severity) =
            Severity::from_plain_word(&tail[start..end]).or_else(|| (&tail[start..end] == b"trace").then_some(Severity::TRACE))
        else {
            return false;
        };
        if !placed || Severity::from_word(&rest[..name]).is_some() {
            return false;
        }
        let at = self.at + name + 1;
        self.set_level(severity, &self.text[at + start..at + end]);
        // A tool's name is part of what it says.
        self.at = if start == 0 { at + end + 1 } else { self.at };
        true
    }

    /// `npm ERR! message` and `npm WARN message`.
    pub(super) fn npm(&mut self) -> bool {
        let (severity, end) = match self.rest() {
            [b'n', b'p', b'm', b' ', b'E', b'R', b'R', b'!', b' ', ..] => (Severity::ERROR, 7),
            [b'n', b'p', b'm', b' ', b'W', b'A', b'R', b'N', b' ', ..] => (Severity::WARN, 8),
            _ => return false,
        };
        self.set_level(severity, &self.text[self.at + 4..self.at + end]);
        self.at += 8;
        true
    }

    /// `category: level: message`, as BIND writes it behind the time; a number may follow the level.
    pub(super) fn category_level(&mut self) -> bool {
        let rest = crate::bytes::trim_start(self.rest());
        let name_end = run_end(rest, 0, |byte| is_alphanumeric(byte) || matches!(byte, b'-' | b'_' | b'.'));
        let Some(tail) = rest.get(name_end..).and_then(|tail| tail.strip_prefix(b": ")) else { return false };
        let end = run_end(tail, 0, |byte| byte.is_ascii_alphabetic());
        let number = run_end(tail, end, |byte| matches!(byte, b' ' | b'0'..=b'9'));
        let Some(severity) = Severity::from_word(&tail[..end]).filter(|_| tail[number..].starts_with(b": ")) else { return false };
        let named = rest.first().is_some_and(u8::is_ascii_alphabetic);
        let is_level = Severity::from_word(&rest[..name_end]).is_some();
        if !named || is_level || self.syslog_time || !self.header.severity_text.is_empty() {
            return false;
        }
        self.set_level(severity, &tail[..end]);
        self.header.logger = &rest[..name_end];
        self.at = self.text.len() - tail.len() + number + 2;
        true
    }

    /// `[] [INFO] [] [logger] [tid: 1] [timeMillis: 1] [levelValue: 800] message` of GlassFish: all groups are columns.
    pub(super) fn glassfish_columns(&mut self) {
        let rest = self.rest();
        let window = &rest[..rest.len().min(2 * MAX_HEADER)];
        let Some(mark) = memchr::memmem::find(window, b"[timeMillis: ") else { return };
        let Some(last) = memchr::memmem::find(&window[mark..], b"[levelValue: ") else { return };
        let Some(close) = memchr::memchr(b']', &window[mark + last..]) else { return };
        self.at += mark + last + close + 1;
    }

    /// `node@host <0.12.0> 1a2b3c ` behind the time, where CouchDB names the node, the process and the request.
    pub(super) fn couchdb_columns(&mut self) {
        let rest = self.rest();
        let node = run_end(rest, 0, |byte| !is_space(byte));
        let numbers = rest.get(node + 2..).map_or(0, |tail| run_end(tail, 0, |byte| byte.is_ascii_digit() || byte == b'.'));
        if !rest[..node].contains(&b'@') || !rest[node..].starts_with(b" <") || numbers == 0 || rest.get(node + 2 + numbers) != Some(&b'>')
        {
            return;
        }
        let request = run_end(rest, node + 3 + numbers, is_space);
        let end = run_end(rest, request, |byte| byte.is_ascii_hexdigit() || byte == b'-');
        if end > request && rest.get(end) == Some(&b' ') {
            self.at += end + 1;
        }
    }

    /// `%LINK-3-UPDOWN: message` of Cisco's systems: facility, syslog severity, mnemonic. It stays with the message, which it names.
    pub(super) fn cisco_mnemonic(&mut self) -> bool {
        let rest = self.rest();
        let window = &rest[..rest.len().min(MAX_NAME)];
        let Some(percent) = memchr::memchr(b'%', window).filter(|at| *at == 0 || window[at - 1] == b' ') else { return false };
        let end = run_end(window, percent, |byte| !is_space(byte) && byte != b':');
        let Some(digit) = mnemonic_severity(&window[percent..end]).filter(|_| window[end..].trim_ascii_start().starts_with(b":")) else {
            return false;
        };
        let Some(severity) = Severity::from_syslog(u64::from(window[percent + digit] - b'0')) else { return false };
        let digit = self.at + percent + digit;
        self.set_level(severity, &self.text[digit..digit + 1]);
        self.at += percent;
        true
    }

    /// `*` or `.` in front of the time of a clock that is not set or not in step, as Cisco's systems have it.
    pub(super) fn clock_mark(&mut self) {
        if let [b'*' | b'.', b'A'..=b'Z', ..] = self.rest()
            && timestamp::has_date(&self.rest()[1..])
        {
            self.at += 1;
        }
    }

    /// `(time): [backend] [function] (0x0100): message` of SSSD, whose levels are bits (sssd.conf(5), `debug_level`).
    pub(super) fn sssd(&mut self) -> bool {
        let mut at = run_end(self.text, self.at, |byte| matches!(byte, b':' | b' '));
        for _ in 0..2 {
            let Some((_, end)) = group(self.text, at).filter(|_| self.text.get(at) == Some(&b'[')) else { return false };
            at = run_end(self.text, end + 1, |byte| byte == b' ');
        }
        let bits = self.text.get(at + 1..at + 7).unwrap_or_default();
        let severity = match bits {
            b"0x0010" => Severity::FATAL,
            b"0x0020" => Severity::ERROR2,
            b"0x0040" => Severity::ERROR,
            b"0x0080" => Severity::WARN,
            b"0x0100" => Severity::INFO,
            b"0x0200" | b"0x0400" | b"0x1000" => Severity::DEBUG,
            b"0x2000" | b"0x4000" => Severity::TRACE,
            _ => return false,
        };
        if self.text[at] != b'(' || !self.text[at + 7..].starts_with(b"): ") {
            return false;
        }
        self.set_level(severity, &self.text[at + 1..at + 7]);
        self.at = at + 9;
        true
    }
}

/// Where in `%FACILITY-SUBFACILITY-SEVERITY-MNEMONIC` the digit of the severity stands.
fn mnemonic_severity(word: &[u8]) -> Option<usize> {
    let name = |part: &[u8]| !part.is_empty() && part.iter().all(|byte| is_alphanumeric(*byte) || *byte == b'_');
    let body = word.strip_prefix(b"%")?;
    let mut parts = body.rsplitn(3, |byte| *byte == b'-');
    let (mnemonic, severity, facility) = (parts.next()?, parts.next()?, parts.next()?);
    let named = name(mnemonic) && facility.first().is_some_and(u8::is_ascii_uppercase) && facility.split(|byte| *byte == b'-').all(name);
    let told = facility.len() > 1 && mnemonic.len() > 1;
    (named && told && matches!(severity, [b'0'..=b'7'])).then(|| facility.len() + 2)
}

/// Whether a word is a mnemonic such as `%LINK-3-UPDOWN`: its digits are no value.
pub(crate) fn is_mnemonic(word: &[u8]) -> bool {
    word.first() == Some(&b'%') && mnemonic_severity(word).is_some()
}
