//! The columns between a line's times and its message, one of which may be the level.
//! Must never take prose for a column: a name is one only by its form or by what separates it.

use super::{COLUMN_END, COLUMN_GAP, MAX_COLUMNS, MAX_HEADER, MAX_NAME, Parser, group};
use crate::bytes::{is_alphanumeric, is_space, run_end};
use crate::grammar;
use crate::severity::Severity;

/// A level in a header: its word, and where the text behind it starts.
pub(super) struct Level {
    pub(super) severity: Severity,
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) after: usize,
}

/// What a column of a header is.
pub(super) enum Column {
    Level(Level),
    /// A name that ` - ` ends, as many of Python's programs have it.
    Named {
        start: usize,
        end: usize,
        after: usize,
    },
    Other {
        after: usize,
    },
    Prose,
}

impl Parser<'_> {
    /// The level behind the times, past columns that are no prose. Leaves the position alone if there is none.
    pub(super) fn level_column(&mut self) -> bool {
        if !self.header.severity_text.is_empty() {
            return true;
        }
        let (mut at, mut logger) = (self.at, self.header.logger);
        for column in 0..MAX_COLUMNS {
            let gap = at;
            at = run_end(self.text, at, |byte| COLUMN_GAP.has(byte));
            if at > MAX_HEADER + self.at {
                return false;
            }
            let apart = column > 0 && at >= gap + 2 && self.text[at - 2] == b' ';
            let found = self.letter_at(at, apart).map_or_else(|| self.column_at(at, column == 0), Column::Level);
            match found {
                Column::Level(level) => {
                    self.header.logger = logger;
                    self.take(&level);
                    return true;
                }
                Column::Named { start, end, after } => {
                    logger = &self.text[start..end];
                    at = after;
                }
                Column::Other { after } => at = after,
                Column::Prose => return false,
            }
        }
        false
    }

    /// A level of one letter: in front of a bracket, a bar or a name in capitals, `E [module] message`, with a tag behind it,
    /// `E/Tag: message`, or set apart behind another column; Telegraf's `E! message`.
    fn letter_at(&self, at: usize, apart: bool) -> Option<Level> {
        let severity = Severity::from_letter(*self.text.get(at)?).filter(|_| self.text[at] != b'A')?;
        let after = self.behind_letter(at, apart)?;
        Some(Level { severity, start: at, end: at + 1, after })
    }

    /// Where the text behind a letter at `at` starts that is a level.
    fn behind_letter(&self, at: usize, apart: bool) -> Option<usize> {
        match *self.text.get(at + 1)? {
            b' ' => {
                let next = run_end(self.text, at + 1, is_space);
                let named = run_end(self.text, next, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()) >= next + 3;
                (apart || named || matches!(self.text.get(next), Some(b'[' | b'|')) || self.is_tag(next) || self.is_place(next))
                    .then_some(at + 1)
            }
            b'!' => (self.text.get(at + 2) == Some(&b' ')).then_some(at + 2),
            b'/' => {
                let tag = run_end(self.text, at + 2, |byte| !is_space(byte) && byte != b':');
                (tag > at + 2 && tag <= at + MAX_NAME && self.text[tag..].starts_with(b": ")).then_some(at + 2)
            }
            // `I125: ` of VMware, behind a bar.
            b'0'..=b'9' => {
                let end = run_end(self.text, at + 1, |byte| byte.is_ascii_digit());
                let barred = self.text[..at].trim_ascii_end().ends_with(b"|");
                (barred && self.text[end..].starts_with(b": ")).then_some(end + 2)
            }
            _ => None,
        }
    }

    /// Whether a position that a bracket closes stands at `at`: `I platform/loader.cc:48] x`.
    pub(super) fn is_place(&self, at: usize) -> bool {
        let end = run_end(self.text, at, |byte| !is_space(byte));
        self.text[at..end].strip_suffix(b"]").is_some_and(super::is_source_line)
    }

    /// Whether a tag with a colon stands at `at`: `D MainActivity: x`.
    fn is_tag(&self, at: usize) -> bool {
        let end = run_end(self.text, at, |byte| is_alphanumeric(byte) || matches!(byte, b'_' | b'.' | b'$'));
        let colon = run_end(self.text, end, |byte| byte == b' ');
        self.text[at..end].first().is_some_and(u8::is_ascii_uppercase)
            && end > at + 1
            && end - at <= MAX_NAME
            && self.text[colon..].starts_with(b": ")
    }

    pub(super) fn column_at(&self, at: usize, first: bool) -> Column {
        let Some(rest) = self.text.get(at..).filter(|rest| !rest.is_empty()) else {
            return Column::Prose;
        };
        if matches!(rest[0], b'[' | b'(' | b'<') {
            return self.group_column(at);
        }
        if let Some(length) = query_id(rest) {
            return Column::Other { after: at + length };
        }
        let end = run_end(rest, 0, |byte| !COLUMN_END.has(byte));
        let word = &rest[..end];
        if let Some(column) = self.named_column(at, word, first) {
            return column;
        }
        if is_column(word, rest.get(end).copied()) || !first && is_compound(word) || is_numbered(&rest[end..]) {
            Column::Other { after: at + run_end(rest, 0, |byte| !is_space(byte) && byte != b'|') }
        } else {
            Column::Prose
        }
    }

    /// The level at `at`, in brackets or not.
    pub(super) fn level_at(&self, at: usize) -> Option<Level> {
        match self.marked_column(at)? {
            Column::Level(level) => Some(level),
            Column::Named { .. } | Column::Other { .. } | Column::Prose => None,
        }
    }

    /// Takes over a level, and goes on behind it.
    pub(super) fn take(&mut self, level: &Level) {
        self.set_level(level.severity, &self.text[level.start..level.end]);
        self.at = level.after;
    }

    /// What is a column by brackets or by a word that says so.
    pub(super) fn marked_column(&self, at: usize) -> Option<Column> {
        match *self.text.get(at)? {
            b'[' | b'(' | b'<' => Some(self.group_column(at)),
            _ => self.named_column(at, &self.text[at..run_end(self.text, at, |byte| !COLUMN_END.has(byte))], false),
        }
    }

    /// A word that is a level or tied to one, or a name that ` - ` ends.
    fn named_column(&self, at: usize, word: &[u8], first: bool) -> Option<Column> {
        let behind = &self.text[at + word.len()..];
        let next = behind.first().copied();
        let padded = next == Some(b'\t') || behind.starts_with(b"  ");
        let announced =
            || next == Some(b':') && self.header.has_time && matches!(word, b"Notice" | b"Alert" | b"Panic" | b"Verbose" | b"Trace");
        let severity = if first && (padded || announced()) { Severity::from_word(word) } else { Severity::from_header_word(word) };
        if let Some(severity) = severity {
            let end = at + word.len();
            let capitals = word.iter().all(u8::is_ascii_uppercase);
            let marked = padded
                || matches!(next, Some(b':' | b'|' | b','))
                || [b" : ".as_slice(), b" --- "].iter().any(|mark| behind.starts_with(mark));
            // `info <-- x`: no sentence goes on so.
            let pointed = next == Some(b' ') && behind.get(1).is_some_and(u8::is_ascii_punctuation);
            let pointed = pointed && (at == 0 || behind.get(1) == Some(&b'<'));
            if capitals || marked || pointed || (first && next == Some(b' ')) {
                let after = end + usize::from(matches!(next, Some(b'|' | b',')));
                return Some(Column::Level(Level { severity, start: at, end, after }));
            }
        }
        if self.header.has_time
            && may_tie_a_level(word, behind, first)
            && let Some(level) = self.level_behind(at, first)
        {
            return Some(Column::Level(level));
        }
        let name = word.first().is_some_and(u8::is_ascii_alphabetic);
        if name && behind.starts_with(b" - ") && word.iter().all(|byte| is_alphanumeric(*byte) || matches!(byte, b'_' | b'.' | b'-')) {
            let end = at + word.len();
            return Some(Column::Named { start: at, end, after: end + 3 });
        }
        None
    }

    /// A level by what ties it to a name in front, in a line that has a time: `main.py[INFO]: x`, `app[12] [INFO] x`, `Puppet (debug): x`, `vm/INFO/locust.main: x`,
    /// `cluster [WRN] x`, `production.ERROR: x`, and behind the time `root WARNING x`.
    fn level_behind(&self, at: usize, first: bool) -> Option<Level> {
        let end = run_end(self.text, at, |byte| is_alphanumeric(byte) || matches!(byte, b'.' | b'_' | b'-' | b'@'));
        let name = &self.text[at..end];
        let capitals = |(start, end): (usize, usize)| self.text[start..end].iter().all(u8::is_ascii_uppercase);
        let plain = !name.is_empty() && name.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_');
        let follows = |end: usize, mark: u8| self.text.get(end) == Some(&mark);
        let (level, after) = match (self.text.get(end)?, self.text.get(end + 1)?) {
            (b'[', digit) if digit.is_ascii_digit() => {
                let (_, process) = group(self.text, end)?;
                let level = group(self.text, process + 2)
                    .filter(|level| follows(process + 1, b' ') && follows(process + 2, b'[') && capitals(*level))?;
                (level, level.1 + 1)
            }
            (b'[', _) => {
                let level = group(self.text, end).filter(|level| capitals(*level))?;
                (level, level.1 + 1)
            }
            (b' ', b'[') => {
                let level = group(self.text, end + 1).filter(|level| plain && capitals(*level))?;
                (level, level.1 + 1)
            }
            (b' ', b'(') => {
                let level = group(self.text, end + 1).filter(|level| follows(level.1 + 1, b':'))?;
                (level, level.1 + 1)
            }
            (b' ', b'<') => {
                let level = group(self.text, end + 1)?;
                (level, level.1 + 1)
            }
            (b'/', _) => {
                let close = run_end(self.text, end + 1, |byte| byte.is_ascii_alphabetic());
                let name_end = run_end(self.text, close, |byte| !is_space(byte) && byte != b':');
                let named = follows(close, b'/') && follows(name_end, b':');
                if !named && !self.text[close..].starts_with(b" - ") {
                    return None;
                }
                ((end + 1, close), if named { close + 1 } else { close })
            }
            (b' ', b'A'..=b'Z' | b' ') if first && plain && !grammar::is_participle(name) && !grammar::is_function_word(name) => {
                let start = run_end(self.text, end, |byte| byte == b' ');
                let close = run_end(self.text, start, |byte| byte.is_ascii_uppercase());
                ((start, close), close)
            }
            (b':', b' ') => {
                let dot = at + memchr::memrchr(b'.', name).filter(|dot| name[..*dot].iter().all(u8::is_ascii_lowercase))?;
                let level = Some((dot + 1, end)).filter(|level| capitals(*level))?;
                (level, end)
            }
            _ => return None,
        };
        let ends = self.text.get(after).is_none_or(|byte| is_space(*byte) || matches!(byte, b':' | b'-')) || follows(level.1, b'/');
        let word = &self.text[level.0..level.1];
        let enclosed = matches!(self.text.get(level.1), Some(b')' | b'>'));
        let severity = if enclosed { Severity::from_word(word) } else { Severity::from_plain_word(word) };
        let severity = severity.filter(|_| ends && !name.is_empty())?;
        Some(Level { severity, start: level.0, end: level.1, after })
    }

    /// `[error]`, `[core:warn]`, `[main/WARN]`, `<info>`, or a group that is no level.
    fn group_column(&self, at: usize) -> Column {
        let Some((start, end)) = group(self.text, at) else {
            return Column::Prose;
        };
        let inner = &self.text[start..end];
        // `[core:error]` of httpd, `[main/WARN]` of log4j's users.
        let word_start = inner.iter().rposition(|byte| matches!(byte, b':' | b'/')).map_or(0, |mark| mark + 1);
        let word = crate::bytes::trim(&inner[word_start..]);
        // `[wallet.api:Info:59]`: a thread behind the level.
        let threaded = || {
            let level_end = start + word_start.checked_sub(1)?;
            let name = memchr::memrchr(b':', &self.text[start..level_end])?;
            let level_at = start + name + 1;
            let severity =
                Severity::from_word(&self.text[level_at..level_end]).filter(|_| !word.is_empty() && word.iter().all(u8::is_ascii_digit))?;
            Some(Level { severity, start: level_at, end: level_end, after: end + 1 })
        };
        // `[ debug network.job ]`: a level in front of one name.
        let leading = || {
            let text = inner.strip_prefix(b" ")?.strip_suffix(b" ")?;
            let length = memchr::memchr(b' ', text).filter(|length| !text[length + 1..].contains(&b' ') && self.header.has_time)?;
            let severity = Severity::from_plain_word(&text[..length])?;
            Some(Level { severity, start: start + 1, end: start + 1 + length, after: end + 1 })
        };
        // `[libretro INFO]`: one name in front of a level in capitals.
        let named = || {
            let blank = memchr::memchr(b' ', inner).filter(|blank| inner[..*blank].iter().all(|byte| is_alphanumeric(*byte)))?;
            let word = &inner[blank + 1..];
            let severity = Severity::from_plain_word(word).filter(|_| word.iter().all(u8::is_ascii_uppercase))?;
            Some(Level { severity, start: start + blank + 1, end, after: end + 1 })
        };
        match Severity::from_word(word) {
            Some(severity) => {
                let word_at = start + word_start + run_end(&inner[word_start..], 0, is_space);
                Column::Level(Level { severity, start: word_at, end: word_at + word.len(), after: end + 1 })
            }
            None if self.text[at] == b'<' => Column::Prose,
            None if let Some(level) = named().or_else(threaded).or_else(leading) => Column::Level(level),
            None if self.text[at] == b'(' && matches!(inner, b"II" | b"WW" | b"EE") => {
                let severity = Severity::from_letter(inner[0]).unwrap_or_default();
                Column::Level(Level { severity, start, end, after: end + 1 })
            }
            // `[unknown]@[unknown],app=[unknown]` of PostgreSQL.
            None if self.text.get(end + 1) == Some(&b'@') => Column::Other { after: run_end(self.text, end, |byte| !is_space(byte)) },
            // `[   0.014][v][player] x` of mpv.
            None if self.header.has_time
                && matches!(inner, [b'd' | b'i' | b'w' | b'e' | b'f' | b'v'])
                && self.text.get(end + 1) == Some(&b'[') =>
            {
                let severity = Severity::from_letter(inner[0].to_ascii_uppercase()).unwrap_or_default();
                Column::Level(Level { severity, start, end, after: end + 1 })
            }
            // `[08:02:47][I][logger:156]: `; ESPHome tells configuration by a C.
            None if self.header.has_time && self.text[at] == b'[' && inner.len() == 1 && inner[0] != b'A' => {
                let configures = inner == b"C" && self.text.get(end + 1) == Some(&b'[');
                let severity = if configures { Some(Severity::DEBUG3) } else { Severity::from_letter(inner[0]) };
                severity.map_or(Column::Other { after: end + 1 }, |severity| Column::Level(Level { severity, start, end, after: end + 1 }))
            }
            None if inner == b"System" && self.text[end + 1..].starts_with(b" [MY-") => {
                Column::Level(Level { severity: Severity::INFO, start, end, after: end + 1 })
            }
            None => Column::Other { after: end + 1 },
        }
    }
}

/// The length of `{}` or `{id}` with a space behind, as ClickHouse names the query.
fn query_id(text: &[u8]) -> Option<usize> {
    let inner = text.strip_prefix(b"{")?;
    let end = run_end(inner, 0, |byte| is_alphanumeric(byte) || byte == b'-');
    (end <= MAX_NAME && inner[end..].starts_with(b"} ")).then_some(end + 2)
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

/// Whether a number follows a name at once and ends the column: the rest of `T:8572 `.
fn is_numbered(behind: &[u8]) -> bool {
    let Some(number) = behind.strip_prefix(b":") else { return false };
    let end = run_end(number, 0, |byte| byte.is_ascii_digit());
    end > 0 && number.get(end) == Some(&b' ')
}

/// Whether what stands behind a word may tie it to a level, see [`Parser::level_behind`]; cheap.
fn may_tie_a_level(word: &[u8], behind: &[u8], first: bool) -> bool {
    let tied = match behind {
        [b'[', ..] | [b' ', b'[' | b'(' | b'<', ..] => true,
        [b' ', b'A'..=b'Z' | b' ', ..] => first,
        [b':', ..] => word.last().is_some_and(u8::is_ascii_uppercase),
        _ => false,
    };
    tied || word.contains(&b'/')
}

/// Whether a word is a name made of others, such as `MailWorker` or `TID-af`.
fn is_compound(word: &[u8]) -> bool {
    if !word.first().is_some_and(u8::is_ascii_uppercase) {
        return false;
    }
    let capitals = word.iter().filter(|byte| byte.is_ascii_uppercase()).count();
    let letters = word.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'-');
    capitals >= 2 && letters && word.iter().any(u8::is_ascii_lowercase)
}
