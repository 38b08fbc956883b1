//! What a word is by its form alone: number, hexadecimal, path, address, name of a host, unit, date word or one of the names of nothing.
//! Must stay pure functions of the word: no dictionary of things, no state.

use crate::bytes::{ADDRESS, CLASS, DOT, HEX_LETTER, LETTER, SLASH, is_alphanumeric};

/// The end of a MAC or IPv6 address, whose first group ends at `first`: four or more groups of hexadecimal digits joined by colons.
pub(super) fn hex_groups(text: &[u8], start: usize, first: usize) -> Option<usize> {
    if first - start > 4 || !text[start..first].iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut at = start;
    let mut groups = 0;
    loop {
        let end = at + text[at..].iter().take(5).take_while(|byte| byte.is_ascii_hexdigit()).count();
        if end - at > 4 {
            return None;
        }
        groups += 1;
        at = end;
        if text.get(at) != Some(&b':') {
            break;
        }
        at += 1;
        if groups > 16 {
            return None;
        }
    }
    let ends_word = text.get(at).is_none_or(|byte| !is_alphanumeric(*byte));
    (groups >= 4 && ends_word && at > start + 3).then_some(at)
}

/// Whether a word that has a digit is a number, perhaps with a unit at its end: what a unit may follow.
pub(super) fn is_number(word: &[u8]) -> bool {
    let last_digit = word.iter().rposition(u8::is_ascii_digit).unwrap_or(0);
    word[..last_digit].iter().all(|byte| !byte.is_ascii_alphabetic())
}

/// Whether a token without digits is still a value: hexadecimal, path, address, host or dotted name.
pub(super) fn is_variable_name(word: &[u8], flags: u8, called: bool) -> bool {
    if flags & (DOT | SLASH | ADDRESS) != 0 {
        return is_path(word) || is_address(word) || (is_dotted(word) && !called && !is_exception(word));
    }
    flags & LETTER == 0 && flags & HEX_LETTER != 0 && word.len() >= 8 && word.iter().all(u8::is_ascii_hexdigit)
}

pub(super) fn is_path(word: &[u8]) -> bool {
    let slashes = memchr::memchr_iter(b'/', word).count();
    match word {
        [b'/', ..] | [b'.' | b'~', b'/', ..] | [b'.', b'.', b'/', ..] => true,
        _ => slashes >= 2 || (slashes == 1 && (word.contains(&b'.') || word.ends_with(b"/"))),
    }
}

pub(super) fn is_address(word: &[u8]) -> bool {
    word.iter().skip(1).rev().skip(1).any(|byte| CLASS[usize::from(*byte)] & ADDRESS != 0) || word.starts_with(b"\\\\")
}

/// Whether a word in front of `=` is a key such as `java.version`, rather than the path or address of a thing.
pub(super) fn is_key(word: &[u8]) -> bool {
    word[0].is_ascii_alphabetic() && word.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

/// Whether two alphanumeric parts are joined by a dot.
pub(super) fn is_dotted(word: &[u8]) -> bool {
    word.windows(3).any(|part| part[1] == b'.' && is_alphanumeric(part[0]) && is_alphanumeric(part[2]))
}

/// Whether a word is the type of an exception in a package: `java.io.IOException`.
pub(crate) fn is_exception_type(word: &[u8]) -> bool {
    is_exception(word) && is_dotted(word)
}

/// The type of an exception names what happened and stays.
pub(super) fn is_exception(word: &[u8]) -> bool {
    word.ends_with(b"Exception") || word.ends_with(b"Error")
}

/// Whether a text ends in the name of a scheme that credentials follow.
pub(super) fn follows_scheme(before: &[u8]) -> bool {
    let before = crate::bytes::trim_end(before);
    matches!(before.last(), Some(b'r' | b'c')) && (before.ends_with(b"Bearer") || before.ends_with(b"Basic"))
}

/// Truth values and the many names of nothing.
#[inline]
pub(super) fn is_literal(word: &[u8]) -> bool {
    let first = word.first().map(|byte| byte | 0x20);
    matches!(first, Some(b't' | b'f' | b'n' | b'u')) && matches!(word.len(), 3..=5 | 9) && is_truth_or_nothing(word)
}

#[inline(never)]
fn is_truth_or_nothing(word: &[u8]) -> bool {
    matches!(
        word,
        b"true" | b"false" | b"True" | b"False" | b"TRUE" | b"FALSE" | b"null" | b"NULL" | b"nil" | b"None" | b"NaN" | b"undefined"
    )
}

pub(super) fn is_unit(word: &[u8]) -> bool {
    matches!(
        word,
        b"ns"
            | b"us"
            | b"\xc2\xb5s"
            | b"ms"
            | b"s"
            | b"sec"
            | b"secs"
            | b"second"
            | b"seconds"
            | b"min"
            | b"mins"
            | b"minute"
            | b"minutes"
            | b"h"
            | b"hour"
            | b"hours"
            | b"day"
            | b"days"
            | b"d"
            | b"m"
            | b"millis"
            | b"milliseconds"
            | b"msec"
            | b"B"
            | b"b"
            | b"byte"
            | b"bytes"
            | b"Bytes"
            | b"kB"
            | b"KB"
            | b"MB"
            | b"GB"
            | b"TB"
            | b"KiB"
            | b"MiB"
            | b"GiB"
            | b"TiB"
            | b"k"
            | b"K"
            | b"M"
            | b"G"
            | b"kb"
            | b"mb"
            | b"gb"
            | b"Kbytes"
            | b"Mbytes"
            | b"Hz"
            | b"kHz"
            | b"MHz"
            | b"GHz"
            | b"AM"
            | b"PM"
            | b"am"
            | b"pm"
            | b"UTC"
            | b"GMT"
            | b"CET"
            | b"CEST"
            | b"EST"
            | b"EDT"
            | b"PST"
            | b"PDT"
    )
}

pub(super) fn is_month(word: &[u8]) -> bool {
    matches!(word.get(..3), Some(b"Jan" | b"Feb" | b"Mar" | b"Apr" | b"May" | b"Jun" | b"Jul" | b"Aug" | b"Sep" | b"Oct" | b"Nov" | b"Dec"))
        && (word.len() == 3
            || matches!(
                word,
                b"January"
                    | b"February"
                    | b"March"
                    | b"April"
                    | b"June"
                    | b"July"
                    | b"August"
                    | b"September"
                    | b"October"
                    | b"November"
                    | b"December"
            ))
}

pub(super) fn is_weekday(word: &[u8]) -> bool {
    matches!(word.get(..3), Some(b"Mon" | b"Tue" | b"Wed" | b"Thu" | b"Fri" | b"Sat" | b"Sun"))
        && (word.len() == 3 || word.ends_with(b"day"))
}
