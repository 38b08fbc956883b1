//! What one line is, looked at alone: does it carry a header, is it indented, does it begin or continue a report of a runtime?
//! Must stay a pure function of the line.

use crate::bytes::{contains, is_alphanumeric, run_end, trim};
use crate::header::{self, Span};
use crate::severity::Severity;
use crate::structured;
use crate::timestamp;

/// What runtimes write in front of an exception that nothing caught.
const UNCAUGHT: [&[u8]; 7] = [
    b"Exception in thread ",
    b"Unhandled exception. ",
    b"Unhandled Exception: ",
    b"Uncaught ",
    b"terminate called ",
    b"Task exception was never retrieved",
    b"Exception ignored in",
];

/// How a line can begin a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// `java.lang.X: text`, `Error: text`, `System.X: text`: an exception's type at the start of the line.
    Exception,
    /// `Exception in thread "main" …`, `Unhandled exception. …`: the runtime itself reports.
    Uncaught,
    /// `Traceback (most recent call last):`
    Python,
    /// `panic: …`, `fatal error: …`, `SIGSEGV: …` of Go.
    Go,
    /// `thread '…' panicked at …`
    Rust,
    /// `/app/x.js:10`, the source line of Node.js.
    NodeSource,
    /// `PHP Fatal error:  Uncaught …`
    Php,
    /// `x.rb:3:in 'f': text (Type)`
    Ruby,
    /// `** (Type) text`, `=ERROR REPORT====`
    Beam,
    /// `==12==ERROR: AddressSanitizer: …`, `WARNING: ThreadSanitizer: …`
    Sanitizer,
    /// `x.cc:7:3: runtime error: …` of UndefinedBehaviorSanitizer, after which the program goes on.
    Undefined,
    /// A line of equals signs in front of a sanitizer's report.
    Rule,
    /// `{` or `[`, or an object that does not end on its line.
    Json,
}

/// A line looked at.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// It starts with a time.
    pub(crate) dated: bool,
    /// The level in its header.
    pub(crate) severity: Severity,
    /// It has a time or a level.
    pub(crate) header: bool,
    /// Its header, if it was looked for.
    pub(crate) span: Option<Span>,
    /// It starts with white space.
    pub(crate) indented: bool,
    /// The report it begins.
    pub(crate) start: Option<Start>,
}

impl Shape {
    /// Looks at a line that is not empty.
    pub(crate) fn of(line: &[u8]) -> Self {
        let group = starts_exception_group(line);
        let indented = !group && matches!(line.first(), Some(b' ' | b'\t'));
        let start = match (group, indented) {
            (true, _) => Some(Start::Python),
            (_, true) => None,
            _ => start(line),
        };
        let none = Self { dated: false, severity: Severity::UNSPECIFIED, header: false, span: None, indented, start };
        // What has fields has no columns in front of them.
        let headless = structured::looks_like(line) || indented && !starts_with_time(line);
        if headless || start.is_some_and(|start| start != Start::Php) {
            return none;
        }
        let header = header::parse(line);
        let header_seen = header.has_time || header.severity.is_specified();
        let start = start.or_else(|| start_behind_header(&line[header.message_start..]).filter(|_| header.message_start > 0));
        Self {
            dated: header.has_time,
            severity: header.severity,
            header: header_seen,
            span: Some(header.span(line)),
            start,
            indented: indented && !header.has_time,
        }
    }

    /// Neither header nor indentation nor the begin of anything.
    pub(crate) fn is_plain(&self) -> bool {
        !self.header && !self.indented && self.start.is_none()
    }
}

fn starts_with_time(line: &[u8]) -> bool {
    let text = crate::bytes::trim_start(line);
    timestamp::has_date(text.strip_prefix(b"[").unwrap_or(text))
}

fn start(line: &[u8]) -> Option<Start> {
    match line.first()? {
        b'0'..=b'9' => return None,
        b'{' | b'[' => return opens_json(line).then_some(Start::Json),
        b'=' => return equals_start(line),
        b'*' if line.starts_with(b"** (") => return Some(Start::Beam),
        b'/' | b'n' | b'f' if is_source_position(line) => return Some(Start::NodeSource),
        b'g' if is_goroutine(line) => return Some(Start::Go),
        b'A' if line == b"AddressSanitizer:DEADLYSIGNAL" => return Some(Start::Rule),
        _ => {}
    }
    if line.starts_with(b"Traceback (most recent call last)") {
        return Some(Start::Python);
    }
    if line.starts_with(b"thread '") && contains(line, b" panicked at ") {
        return Some(Start::Rust);
    }
    if is_go_start(line) {
        return Some(Start::Go);
    }
    if UNCAUGHT.iter().any(|start| line.starts_with(start)) {
        return Some(Start::Uncaught);
    }
    if line.starts_with(b"WARNING: ThreadSanitizer") || line.starts_with(b"WARNING: MemorySanitizer") {
        return Some(Start::Sanitizer);
    }
    if is_undefined_behaviour(line) {
        return Some(Start::Undefined);
    }
    if is_php(line) {
        return Some(Start::Php);
    }
    if line.ends_with(b")") && is_ruby_frame(line) {
        return Some(Start::Ruby);
    }
    exception_type(line).map(|_| Start::Exception)
}

/// `  + Exception Group Traceback (most recent call last):`, the one report that begins with an indented line.
fn starts_exception_group(line: &[u8]) -> bool {
    line.starts_with(b"  + Exception Group Traceback (most recent call last)")
}

/// What a dated line can begin that goes on without indentation.
fn start_behind_header(message: &[u8]) -> Option<Start> {
    if is_php(message) {
        Some(Start::Php)
    } else if is_go_start(message) {
        Some(Start::Go)
    } else if message.starts_with(b"Traceback (most recent call last)") {
        Some(Start::Python)
    } else if opens_json(message) && trim(message).len() <= 2 {
        Some(Start::Json)
    } else {
        None
    }
}

/// `goroutine 7 [running]:`, the head of one goroutine's frames.
pub(super) fn is_goroutine(line: &[u8]) -> bool {
    line.strip_prefix(b"goroutine ").is_some_and(|rest| rest.first().is_some_and(u8::is_ascii_digit)) && line.ends_with(b"]:")
}

pub(super) fn is_go_start(line: &[u8]) -> bool {
    const STARTS: [&[u8]; 7] = [
        b"panic: ",
        b"fatal error: ",
        b"SIGSEGV: ",
        b"SIGABRT: ",
        b"SIGQUIT: ",
        b"unexpected fault address ",
        b"runtime: goroutine stack exceeds",
    ];
    STARTS.iter().any(|start| line.starts_with(start))
}

fn is_php(line: &[u8]) -> bool {
    let line = line.strip_prefix(b"PHP ").unwrap_or(line);
    (line.starts_with(b"Fatal error: ") || line.starts_with(b"Recoverable fatal error: "))
        && contains(&line[..line.len().min(64)], b"Uncaught ")
}

/// `path:line:column: runtime error: text`.
fn is_undefined_behaviour(line: &[u8]) -> bool {
    let window = &line[..line.len().min(512)];
    let Some(blank) = memchr::memchr(b' ', window) else { return false };
    if !window[blank..].starts_with(b" runtime error: ") {
        return false;
    }
    let mut parts = window[..blank].rsplit(|byte| *byte == b':');
    let is_number = |part: Option<&[u8]>| part.is_some_and(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit));
    parts.next() == Some(b"") && is_number(parts.next()) && is_number(parts.next()) && parts.next().is_some_and(|path| !path.is_empty())
}

fn equals_start(line: &[u8]) -> Option<Start> {
    if line.starts_with(b"==") && (contains(line, b"Sanitizer: ") || contains(line, b"==ERROR: ")) {
        return Some(Start::Sanitizer);
    }
    if contains(line, b" REPORT====") {
        return Some(Start::Beam);
    }
    (line.len() >= 18 && line.iter().all(|byte| *byte == b'=')).then_some(Start::Rule)
}

/// `{` or `[` alone, or a JSON object that is still open at the end of the line.
fn opens_json(line: &[u8]) -> bool {
    let line = trim(line);
    match line {
        [b'{'] | [b'['] | [b'[', b'{'] => true,
        [b'{', rest @ ..] => trim(rest).first() == Some(&b'"') && matches!(line.last(), Some(b',' | b'{' | b'[')),
        _ => false,
    }
}

/// `/app/x.js:10`, `file:///app/x.mjs:3`, `node:fs:12`.
fn is_source_position(line: &[u8]) -> bool {
    let line = crate::bytes::trim_end(line);
    let digits = line.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &line[..line.len() - digits];
    let script = [&b".js:"[..], b".mjs:", b".cjs:", b".ts:", b".mts:", b".tsx:", b".jsx:"].iter().any(|end| rest.ends_with(end));
    digits > 0 && !rest.contains(&b' ') && (script || (rest.starts_with(b"node:") && rest.len() > 5 && rest.ends_with(b":")))
}

/// `path:12:in 'f'`, a frame of Ruby.
pub(crate) fn is_ruby_frame(line: &[u8]) -> bool {
    let window = &line[..line.len().min(512)];
    let Some(at) = memchr::memmem::find(window, b":in ") else { return false };
    let digits = window[..at].iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && matches!(window.get(at + 4), Some(b'`' | b'\'')) && at > digits && window[at - digits - 1] == b':'
}

/// The exception type that a line starts with: a dotted or plain name whose last part ends in `Error`, `Exception` or a
/// similar word, followed by `:`, ` [`, ` (` or the end.
pub(crate) fn exception_type(line: &[u8]) -> Option<&[u8]> {
    let end = run_end(line, 0, |byte| is_alphanumeric(byte) || matches!(byte, b'.' | b'_' | b'$' | b'\\' | b'/'));
    let name = line.get(..end).filter(|name| !name.is_empty() && name.len() <= 200)?;
    let behind = &line[end..];
    let (name, behind) = if behind.starts_with(b"::") { return None } else { (name, behind) };
    let ends = behind.is_empty() || behind.starts_with(b": ") || behind == b":" || behind.starts_with(b" [") || behind.starts_with(b" (");
    let last = name.rsplit(|byte| matches!(byte, b'.' | b'$' | b'\\')).next().unwrap_or_default();
    let capital = last.first().is_some_and(u8::is_ascii_uppercase);
    let suffix = [&b"Exception"[..], b"Error", b"Throwable", b"Fault", b"Exit", b"Interrupt"].iter().any(|suffix| last.ends_with(suffix));
    let bare_error = behind.is_empty() && name.len() == last.len();
    (ends && capital && suffix && !bare_error).then_some(name)
}
