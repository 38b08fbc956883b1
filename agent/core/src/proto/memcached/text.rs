//! Lines of the text and the meta protocol (memcached `doc/protocol.txt`).

use crate::proto::keys::{write_pattern, write_raw};

/// Longest command line: a server takes more only from `get` with many keys.
const MAX_LINE: usize = 64 * 1024;
/// Longest key.
const MAX_KEY: usize = 250;
/// Largest value that a server can be configured for.
const MAX_VALUE: u64 = 1 << 30;
const CRLF: u64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parsed<T> {
    Is(T),
    More,
    Bad,
}

/// What answers a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Values, then `END`.
    Values,
    /// One line.
    Line,
    /// Lines up to `END`, or one other line.
    Lines,
    /// The line of a meta command, with a value behind `VA`.
    Meta,
    /// Nothing: the connection ends.
    Nothing,
    /// Lines without end.
    Stream,
}

/// What follows a command's line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// Keys.
    Keys,
    /// An expiry, then keys.
    ExpiryKeys,
    /// Key, flags, expiry, length, then a value.
    Store,
    /// Store with a unique number.
    Cas,
    /// Key and what belongs to it.
    Key,
    /// Meta command with a key.
    MetaKey,
    /// Meta command with a key, a length and a value.
    MetaStore,
    /// Words that are no keys.
    Words,
}

struct Known {
    name: &'static str,
    shape: Shape,
    answer: Answer,
}

const fn known(name: &'static str, shape: Shape, answer: Answer) -> Known {
    Known { name, shape, answer }
}

static COMMANDS: &[Known] = &[
    known("get", Shape::Keys, Answer::Values),
    known("set", Shape::Store, Answer::Line),
    known("gets", Shape::Keys, Answer::Values),
    known("mg", Shape::MetaKey, Answer::Meta),
    known("ms", Shape::MetaStore, Answer::Meta),
    known("md", Shape::MetaKey, Answer::Meta),
    known("ma", Shape::MetaKey, Answer::Meta),
    known("mn", Shape::Words, Answer::Meta),
    known("me", Shape::MetaKey, Answer::Meta),
    known("gat", Shape::ExpiryKeys, Answer::Values),
    known("gats", Shape::ExpiryKeys, Answer::Values),
    known("add", Shape::Store, Answer::Line),
    known("replace", Shape::Store, Answer::Line),
    known("append", Shape::Store, Answer::Line),
    known("prepend", Shape::Store, Answer::Line),
    known("cas", Shape::Cas, Answer::Line),
    known("delete", Shape::Key, Answer::Line),
    known("incr", Shape::Key, Answer::Line),
    known("decr", Shape::Key, Answer::Line),
    known("touch", Shape::Key, Answer::Line),
    known("stats", Shape::Words, Answer::Lines),
    known("version", Shape::Words, Answer::Line),
    known("flush_all", Shape::Words, Answer::Line),
    known("verbosity", Shape::Words, Answer::Line),
    known("cache_memlimit", Shape::Words, Answer::Line),
    known("slabs", Shape::Words, Answer::Line),
    known("lru", Shape::Words, Answer::Line),
    known("lru_crawler", Shape::Words, Answer::Lines),
    known("refresh_certs", Shape::Words, Answer::Line),
    known("watch", Shape::Words, Answer::Stream),
    known("quit", Shape::Words, Answer::Nothing),
    known("shutdown", Shape::Words, Answer::Nothing),
];

/// A command line.
#[derive(Clone, Copy)]
pub(super) struct Command<'a> {
    known: &'static Known,
    words: &'a [u8],
    /// Bytes of the line with its end.
    pub(super) len: usize,
    /// Bytes of the value behind it, its line end included.
    pub(super) value: u64,
    /// Whether the client asked for no answer (`noreply`), or for none in the usual case (meta flag `q`).
    pub(super) quiet: Quiet,
}

/// Which answers a command wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quiet {
    /// All.
    Answered,
    /// Not the usual one.
    Usual,
    /// None.
    Always,
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
}

/// The line at the start of `bytes`, without its end, and its length with it.
pub(super) fn line(bytes: &[u8]) -> Parsed<(&[u8], usize)> {
    match memchr::memchr(b'\n', &bytes[..bytes.len().min(MAX_LINE)]) {
        Some(end) => Parsed::Is((bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1)),
        None if bytes.len() < MAX_LINE => Parsed::More,
        None => Parsed::Bad,
    }
}

fn number(word: Option<&[u8]>) -> Option<u64> {
    let word = word.filter(|word| (1..=20).contains(&word.len()))?;
    word.iter().try_fold(0u64, |n, byte| match byte {
        b'0'..=b'9' => n.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

fn is_signed(word: Option<&[u8]>) -> bool {
    number(word.map(|word| word.strip_prefix(b"-").unwrap_or(word))).is_some()
}

fn is_key(word: &[u8]) -> bool {
    (1..=MAX_KEY).contains(&word.len()) && word.iter().all(|byte| *byte > b' ' && *byte != 0x7f)
}

/// The command at the start of `bytes`. Bad if it is none that a server knows, or not in its form.
pub(super) fn command(bytes: &[u8]) -> Parsed<Command<'_>> {
    // No command's name is longer; a value's bytes would be searched far for a line end.
    let is_start = bytes
        .iter()
        .take(16)
        .take_while(|byte| !matches!(byte, b' ' | b'\r' | b'\n'))
        .all(|byte| byte.is_ascii_lowercase() || *byte == b'_');
    if !is_start {
        return Parsed::Bad;
    }
    let (text, len) = match line(bytes) {
        Parsed::Is(line) => line,
        Parsed::More => return Parsed::More,
        Parsed::Bad => return Parsed::Bad,
    };
    let mut rest = words(text);
    let name = rest.next().unwrap_or_default();
    let Some(known) = COMMANDS.iter().find(|known| known.name.as_bytes() == name) else { return Parsed::Bad };
    let words = &text[name.len()..];
    match shape(known.shape, words) {
        Some((value, quiet)) => Parsed::Is(Command { known, words, len, value, quiet }),
        None => Parsed::Bad,
    }
}

/// Bytes of the value that follows, and which answers are wanted; `None` if the words do not fit.
fn shape(shape: Shape, line: &[u8]) -> Option<(u64, Quiet)> {
    let mut rest = words(line);
    let noreply = |word: Option<&[u8]>| if word == Some(b"noreply") { Quiet::Always } else { Quiet::Answered };
    let value = |length: Option<&[u8]>| number(length).filter(|n| *n <= MAX_VALUE).map(|n| n + CRLF);
    match shape {
        Shape::Keys => rest.next().is_some_and(is_key).then_some((0, Quiet::Answered)),
        Shape::ExpiryKeys => (is_signed(rest.next()) && rest.next().is_some_and(is_key)).then_some((0, Quiet::Answered)),
        Shape::Store | Shape::Cas => {
            let fits = rest.next().is_some_and(is_key) && number(rest.next()).is_some() && is_signed(rest.next());
            let value = value(rest.next().filter(|_| fits))?;
            if shape == Shape::Cas {
                number(rest.next())?;
            }
            Some((value, noreply(rest.next())))
        }
        Shape::Key => {
            rest.next().filter(|key| is_key(key))?;
            Some((0, noreply(rest.last())))
        }
        Shape::MetaKey => {
            rest.next().filter(|key| is_key(key))?;
            Some((0, quiet_flag(rest)?))
        }
        Shape::MetaStore => {
            rest.next().filter(|key| is_key(key))?;
            let value = value(rest.next())?;
            Some((value, quiet_flag(rest)?))
        }
        Shape::Words => Some((0, noreply(rest.last()))),
    }
}

/// Whether the flags of a meta command (a letter each, with a token) ask for quiet; `None` if they are no flags.
fn quiet_flag<'a>(flags: impl Iterator<Item = &'a [u8]>) -> Option<Quiet> {
    let mut quiet = Quiet::Answered;
    for flag in flags {
        if !flag[0].is_ascii_alphabetic() {
            return None;
        }
        if flag == b"q" {
            quiet = Quiet::Usual;
        }
    }
    Some(quiet)
}

impl<'a> Command<'a> {
    pub(super) fn name(&self) -> &'static str {
        self.known.name
    }

    pub(super) fn answer(&self) -> Answer {
        self.known.answer
    }

    /// Its keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a [u8]> {
        let (skip, most) = match self.known.shape {
            Shape::Keys => (0, usize::MAX),
            Shape::ExpiryKeys => (1, usize::MAX),
            Shape::Words => (0, 0),
            Shape::Store | Shape::Cas | Shape::Key | Shape::MetaKey | Shape::MetaStore => (0, 1),
        };
        words(self.words).skip(skip).take(most)
    }

    /// Appends the command as text: keys by pattern, values not at all.
    pub(super) fn write_text(&self, raw: bool, out: &mut String) {
        const SHOWN: usize = 16;
        out.push_str(self.known.name);
        for key in self.keys().take(SHOWN) {
            out.push(' ');
            if raw { write_raw(out, key) } else { write_pattern(out, key) }
        }
        match self.known.shape {
            Shape::Keys | Shape::ExpiryKeys if self.keys().nth(SHOWN).is_some() => out.push_str(" ..."),
            Shape::Store | Shape::Cas | Shape::MetaStore => out.push_str(" ?"),
            _ => {}
        }
    }

    /// The opaque token by which the answer to a meta command names its command, if it has one.
    pub(super) fn opaque(&self) -> Option<&'a [u8]> {
        let is_meta = matches!(self.known.shape, Shape::MetaKey | Shape::MetaStore);
        words(self.words).skip(1).find(|flag| flag[0] == b'O').filter(|_| is_meta).map(|flag| &flag[1..])
    }
}

/// A line of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    /// `VALUE`: so many bytes follow, the line end included.
    Value(u64),
    /// `END`.
    End,
    /// `VA` of a meta command: so many bytes follow.
    MetaValue(u64),
    /// `MN`.
    NoOp,
    /// Another answer of a meta command: its code.
    Meta(&'static str),
    /// One of the fixed words: `STORED`, `NOT_FOUND` …
    Word(&'static str),
    /// `ERROR`, `CLIENT_ERROR …`, `SERVER_ERROR …`.
    Error(&'static str),
    /// Something else: a number, a version, a statistic.
    Other(&'a [u8]),
}

const WORDS: [&str; 10] = ["STORED", "NOT_STORED", "EXISTS", "NOT_FOUND", "DELETED", "TOUCHED", "OK", "RESET", "BUSY", "NOTFULL"];
const META: [&str; 6] = ["HD", "EN", "NS", "EX", "NF", "ME"];
const ERRORS: [&str; 3] = ["ERROR", "CLIENT_ERROR", "SERVER_ERROR"];

/// What the line `text` of a server says.
pub(super) fn reply(text: &[u8]) -> Option<Reply<'_>> {
    let mut rest = words(text);
    let first = rest.next()?;
    let of = |list: &[&'static str]| list.iter().copied().find(|word| word.as_bytes() == first);
    match first {
        b"VALUE" => {
            let fits = rest.next().is_some_and(is_key) && number(rest.next()).is_some();
            let length = number(rest.next()).filter(|n| fits && *n <= MAX_VALUE)?;
            return Some(Reply::Value(length + CRLF));
        }
        b"VA" => return number(rest.next()).filter(|n| *n <= MAX_VALUE).map(|n| Reply::MetaValue(n + CRLF)),
        b"END" => return Some(Reply::End),
        b"MN" => return Some(Reply::NoOp),
        _ => {}
    }
    let reply = of(&WORDS).map(Reply::Word).or(of(&META).map(Reply::Meta)).or(of(&ERRORS).map(Reply::Error));
    Some(reply.unwrap_or(Reply::Other(text)))
}

/// Whether `text` may be the first line of an answer to a command that is answered by `answer`.
pub(super) fn fits(answer: Answer, text: &[u8]) -> bool {
    match (answer, reply(text)) {
        (_, None) => false,
        (_, Some(Reply::Error(_))) => true,
        (Answer::Values, Some(reply)) => matches!(reply, Reply::Value(_) | Reply::End),
        (Answer::Meta, Some(reply)) => matches!(reply, Reply::MetaValue(_) | Reply::NoOp | Reply::Meta(_)),
        (Answer::Line, Some(Reply::Word(_))) => true,
        (Answer::Line, Some(Reply::Other(text))) => number(Some(text)).is_some() || text.starts_with(b"VERSION "),
        (Answer::Lines, Some(reply)) => {
            matches!(reply, Reply::End | Reply::Word(_)) || text.starts_with(b"STAT ") || text.starts_with(b"key=")
        }
        (Answer::Line | Answer::Nothing | Answer::Stream, Some(_)) => false,
    }
}

/// The token of flag `flag` in an answer to a meta command.
pub(super) fn reply_token(text: &[u8], flag: u8) -> Option<&[u8]> {
    words(text).skip(1).find(|word| word[0] == flag).map(|word| &word[1..])
}
