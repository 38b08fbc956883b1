//! Finds the exception in a message of several lines: type, message, stack trace.
//! Must never name a type that the text does not name.

use crate::bytes::{find, trim, trim_start};
use crate::join::exception_type;

/// An exception found in a text; all parts borrow from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exception<'a> {
    /// Its type as the runtime names it; `panic` for Go and Rust.
    pub kind: &'a [u8],
    /// What it says; may be empty.
    pub message: &'a [u8],
    /// From its first line to the end.
    pub stacktrace: &'a [u8],
}

/// Most lines looked at for the start of a trace.
const MAX_LINES: usize = 64;

/// Finds the exception of a text of several lines; `None` in a text of one line.
pub fn in_text(text: &[u8]) -> Option<Exception<'_>> {
    find(text, 0, b'\n')?;
    if let Some(exception) = python(text) {
        return Some(exception);
    }
    let mut at = 0;
    for _ in 0..MAX_LINES {
        let end = find(text, at, b'\n').unwrap_or(text.len());
        if let Some((kind, message)) = head(&text[at..end], text.get(end + 1..).unwrap_or_default()) {
            return Some(Exception { kind, message, stacktrace: &text[at..] });
        }
        if end == text.len() {
            return None;
        }
        at = end + 1;
    }
    None
}

/// The last traceback names the exception that was raised; its line is the first that is not indented.
fn python(text: &[u8]) -> Option<Exception<'_>> {
    const START: &[u8] = b"Traceback (most recent call last)";
    let first = memchr::memmem::find(text, START)?;
    let last = memchr::memmem::rfind(text, START)?;
    let mut lines = text[last..].split(|byte| *byte == b'\n').skip(1);
    let line = lines.find(|line| !matches!(line.first(), None | Some(b' ' | b'\t' | b'|')))?;
    let colon = memchr::memmem::find(line, b": ");
    let (kind, message) = match colon {
        Some(colon) => (&line[..colon], &line[colon + 2..]),
        None => (line.strip_suffix(b":").unwrap_or(line), &line[line.len()..]),
    };
    let named = !kind.is_empty() && kind.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_'));
    named.then(|| Exception { kind, message, stacktrace: &text[first..] })
}

/// Type and message if a line is the head of a trace; `next` is what follows.
fn head<'a>(line: &'a [u8], next: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    go(line)
        .or_else(|| rust(line, next))
        .or_else(|| sanitizer(line))
        .or_else(|| beam(line))
        .or_else(|| ruby(line, next))
        .or_else(|| typed(line))
}

fn go(line: &[u8]) -> Option<(&[u8], &[u8])> {
    line.strip_prefix(b"panic: ")
        .map(|message| (&line[..5], message))
        .or_else(|| line.strip_prefix(b"fatal error: ").map(|message| (&line[..11], message)))
}

fn rust<'a>(line: &'a [u8], next: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = line.starts_with(b"thread '").then(|| memchr::memmem::find(line, b"panicked at "))??;
    let place = &line[at + 12..];
    let message = match place {
        [b'\'', quoted @ ..] => &quoted[..memchr::memrchr(b'\'', quoted)?],
        _ => &next[..find(next, 0, b'\n').unwrap_or(next.len())],
    };
    Some((&line[at..at + 5], message))
}

fn sanitizer(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memmem::find(line, b"Sanitizer: ")? + 9;
    let start = line[..at].iter().rposition(|byte| !byte.is_ascii_alphabetic()).map_or(0, |at| at + 1);
    Some((&line[start..at], &line[at + 2..]))
}

/// `** (RuntimeError) boom` of Elixir.
fn beam(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = line.strip_prefix(b"** (")?;
    let close = find(rest, 0, b')')?;
    (!rest[..close].contains(&b' ')).then(|| (&rest[..close], trim(&rest[close + 1..])))
}

/// `boom (RuntimeError)` in front of a frame of Ruby.
fn ruby<'a>(line: &'a [u8], next: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let body = line.strip_suffix(b")")?;
    let frame = trim_start(next);
    let frame = frame.strip_prefix(b"from ").unwrap_or(frame);
    let open = memchr::memrchr(b'(', body)?;
    let kind = &body[open + 1..];
    let named = kind.first().is_some_and(u8::is_ascii_uppercase)
        && kind.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'_'));
    let framed = crate::join::is_ruby_frame(&frame[..find(frame, 0, b'\n').unwrap_or(frame.len())]);
    if !named || !framed {
        return None;
    }
    let message = &body[..open];
    let start = memchr::memmem::find(message, b"': ").map_or(0, |at| at + 3);
    Some((kind, trim(&message[start..])))
}

/// `Type: message`, behind `Exception in thread "x"`, `Unhandled exception.`, `Uncaught` or nothing.
fn typed(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = trim_start(line);
    let line = match line.strip_prefix(b"Exception in thread \"") {
        Some(rest) => trim_start(&rest[find(rest, 0, b'"')? + 1..]),
        None => line.strip_prefix(b"Unhandled exception. ").or_else(|| line.strip_prefix(b"Unhandled Exception: ")).unwrap_or(line),
    };
    let line = match memchr::memmem::find(&line[..line.len().min(80)], b"Uncaught ") {
        Some(at) => &line[at + 9..],
        None => line,
    };
    let kind = exception_type(line)?;
    let behind = &line[kind.len()..];
    let message = match memchr::memmem::find(behind, b": ") {
        Some(colon) if colon < 32 => &behind[colon + 2..],
        _ => &behind[behind.len()..],
    };
    Some((kind, trim(message)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exceptions_of_many_runtimes() {
        let cases: &[(&str, &str, &str)] = &[
            (
                "2026 ERROR x\njava.lang.IllegalStateException: boom\n\tat a.B.c(B.java:1)\nCaused by: java.io.IOException: y",
                "java.lang.IllegalStateException",
                "boom",
            ),
            ("Exception in thread \"main\" java.lang.Error\n\tat a.B.c(B.java:1)", "java.lang.Error", ""),
            (
                "Traceback (most recent call last):\n  File \"a\"\nKeyError: 'k'\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"b\"\napp.Bad: worse",
                "app.Bad",
                "worse",
            ),
            ("panic: runtime error: index out of range\n\ngoroutine 1 [running]:", "panic", "runtime error: index out of range"),
            ("thread 'main' panicked at src/a.rs:1:2:\nboom\nnote: x", "panic", "boom"),
            ("thread 'main' panicked at 'boom', src/a.rs:1:2\nnote: x", "panic", "boom"),
            ("/a.js:1\n  throw\n  ^\n\nTypeError: x is not a function\n    at f (/a.js:1:1)", "TypeError", "x is not a function"),
            ("Unhandled exception. System.ArgumentException: inner\n   at N.C.A()", "System.ArgumentException", "inner"),
            (
                "PHP Fatal error:  Uncaught RuntimeException: boom in /a.php:3\nStack trace:\n#0 {main}",
                "RuntimeException",
                "boom in /a.php:3",
            ),
            ("a.rb:3:in `f': boom (RuntimeError)\n\tfrom a.rb:7:in `g'", "RuntimeError", "boom"),
            ("** (ArgumentError) bad\n    a.exs:1: (file)", "ArgumentError", "bad"),
            ("==1==ERROR: AddressSanitizer: heap-use-after-free on x\n    #0", "AddressSanitizer", "heap-use-after-free on x"),
        ];
        for (text, kind, message) in cases {
            let found = in_text(text.as_bytes()).expect("an exception");
            assert_eq!(
                (crate::bytes::lossy(found.kind).as_str(), crate::bytes::lossy(found.message).as_str()),
                (*kind, *message),
                "{text}"
            );
        }
        assert_eq!(in_text(b"one line: java.lang.Error: x"), None);
        assert_eq!(in_text(b"two lines\nno error here"), None);
    }

    proptest! {
        #[test]
        fn any_text_is_safe(text in "(Traceback \\(most recent call last\\)|panic: |thread '|panicked at |Error: |\n|\\*\\* \\(|\\)|:|'|Uncaught |[a-z]){0,20}") {
            let _ = in_text(text.as_bytes());
        }
    }
}
