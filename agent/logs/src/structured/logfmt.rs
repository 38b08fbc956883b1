//! A logfmt scanner: a line that consists of `key=value` pairs, as Go's slog, go-kit and logrus write it.
//! Must never take prose for pairs: every token is a pair, and one of them is a message or a level.

use super::Raw;
use crate::bytes::{is_space, run_end};

/// How far the end of a value is looked for whose quotes are not escaped.
const MAX_UNESCAPED: usize = 4096;
/// Most pairs looked at.
const MAX_PAIRS: usize = 512;

/// Whether the line starts with a pair; cheap.
pub(crate) fn looks_like(line: &[u8]) -> bool {
    let named = line.first().is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'@'));
    named && line.get(key_end(line, 0)) == Some(&b'=')
}

fn key_end(line: &[u8], from: usize) -> usize {
    run_end(line, from, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'@' | b'/' | b'(' | b')'))
}

/// Calls `field` with every pair; `None`, and what it was called with means nothing, if a token is no pair, there are fewer than two,
/// or none names message or level.
pub(crate) fn visit<'a>(line: &'a [u8], mut field: impl FnMut(&[u8], Raw<'a>)) -> Option<()> {
    let mut telling = false;
    pairs(line, &mut |key, value| {
        telling |= matches!(key, b"msg" | b"message" | b"level" | b"lvl" | b"severity");
        field(key, value);
    })?;
    telling.then_some(())
}

fn pairs<'a>(line: &'a [u8], field: &mut dyn FnMut(&[u8], Raw<'a>)) -> Option<()> {
    let mut at = 0;
    let mut count = 0;
    while at < line.len() && count < MAX_PAIRS {
        let key_at = run_end(line, at, is_space);
        if key_at == line.len() {
            break;
        }
        let key_stop = key_end(line, key_at);
        if key_stop == key_at || line.get(key_stop) != Some(&b'=') {
            return None;
        }
        let (value, end) = value(line, key_stop + 1)?;
        field(&line[key_at..key_stop], value);
        count += 1;
        at = end;
    }
    (count >= 2).then_some(())
}

fn value(line: &[u8], at: usize) -> Option<(Raw<'_>, usize)> {
    if line.get(at) == Some(&b'"') {
        return quoted(line, at + 1);
    }
    let end = run_end(line, at, |byte| !is_space(byte));
    let text = &line[at..end];
    Some((bare(text), end))
}

fn bare(text: &[u8]) -> Raw<'_> {
    match text {
        b"true" => Raw::Bool(true),
        b"false" => Raw::Bool(false),
        b"null" | b"nil" => Raw::Null,
        [b'-' | b'0'..=b'9', ..] if text.iter().skip(1).all(|byte| matches!(byte, b'0'..=b'9' | b'.')) => Raw::Number(text),
        _ => Raw::Plain(text),
    }
}

fn quoted(line: &[u8], start: usize) -> Option<(Raw<'_>, usize)> {
    let (text, end) = super::json::string(line, start)?;
    if line.get(end).is_none_or(|byte| is_space(*byte)) {
        return Some((text, end));
    }
    // Whoever carried the line has unescaped the quotes within: `msg="loading plugin "x"..." type=x`.
    let ends_value = |quote: &usize| {
        let next = run_end(line, quote + 1, is_space);
        let key_stop = key_end(line, next);
        next == line.len() || next > quote + 1 && key_stop > next && line.get(key_stop) == Some(&b'=')
    };
    let window = &line[start..line.len().min(start + MAX_UNESCAPED)];
    let quote = memchr::memchr_iter(b'"', window).map(|quote| start + quote).find(ends_value)?;
    Some((Raw::Plain(&line[start..quote]), quote + 1))
}
