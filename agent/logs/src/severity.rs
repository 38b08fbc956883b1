//! Severity words and numbers of many log formats as OTLP severity numbers, so that "how bad" means the same for every source.
//! Must never guess from prose: only a whole word in a position or under a key that means severity counts; all else is unspecified (0).
//!
//! Numbers: OpenTelemetry logs data model, "Severity fields" and appendix B.

/// An OTLP severity number, 0 (unspecified) to 24.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Severity(u8);

impl Severity {
    /// Nothing is known.
    pub const UNSPECIFIED: Self = Self(0);
    /// Finest detail (1).
    pub const TRACE: Self = Self(1);
    /// Debugging detail (5).
    pub const DEBUG: Self = Self(5);
    /// `CONFIG` of java.util.logging (7).
    pub const DEBUG3: Self = Self(7);
    /// Ordinary event (9).
    pub const INFO: Self = Self(9);
    /// Notice (10).
    pub const INFO2: Self = Self(10);
    /// Warning (13).
    pub const WARN: Self = Self(13);
    /// Error (17).
    pub const ERROR: Self = Self(17);
    /// Critical (18).
    pub const ERROR2: Self = Self(18);
    /// Alert (19).
    pub const ERROR3: Self = Self(19);
    /// Emergency, fatal (21).
    pub const FATAL: Self = Self(21);

    /// The severity with this OTLP number; `None` above 24.
    pub fn from_number(number: u8) -> Option<Self> {
        (number <= 24).then_some(Self(number))
    }

    /// The OTLP number.
    pub fn number(self) -> u8 {
        self.0
    }

    /// Whether anything is known.
    pub fn is_specified(self) -> bool {
        self.0 != 0
    }

    /// The severity a whole word names, in any case; `None` for a word that names none.
    pub fn from_word(word: &[u8]) -> Option<Self> {
        level(word).map(|level| level.severity)
    }

    /// The severity of a word that stands where a header may or may not end. Words that are also ordinary English
    /// (`config`, `note`, `log`, `fine`, `fail` …) count only in capitals there.
    pub(crate) fn from_header_word(word: &[u8]) -> Option<Self> {
        let level = level(word)?;
        (level.alone || word.iter().all(u8::is_ascii_uppercase)).then_some(level.severity)
    }

    /// The severity of a word that is no ordinary English word, in any case.
    pub(crate) fn from_plain_word(word: &[u8]) -> Option<Self> {
        level(word).filter(|level| level.alone).map(|level| level.severity)
    }

    /// A syslog or journald `PRIORITY`, 0 (emergency) to 7 (debug); RFC 5424 section 6.2.1.
    pub fn from_syslog(priority: u64) -> Option<Self> {
        Some(match priority {
            0 => Self::FATAL,
            1 => Self::ERROR3,
            2 => Self::ERROR2,
            3 => Self::ERROR,
            4 => Self::WARN,
            5 => Self::INFO2,
            6 => Self::INFO,
            7 => Self::DEBUG,
            _ => return None,
        })
    }

    /// The letter that Android's logcat, glog and .NET-like short forms use.
    pub(crate) fn from_letter(letter: u8) -> Option<Self> {
        Some(match letter {
            b'V' | b'T' => Self::TRACE,
            b'D' => Self::DEBUG,
            b'I' => Self::INFO,
            b'N' => Self::INFO2,
            b'W' => Self::WARN,
            b'E' => Self::ERROR,
            b'C' => Self::ERROR2,
            b'F' | b'A' => Self::FATAL,
            _ => return None,
        })
    }

    /// The mark of a Redis line: `.` debug, `-` verbose, `*` notice, `#` warning.
    pub(crate) fn from_redis(mark: u8) -> Option<Self> {
        Some(match mark {
            b'.' => Self::DEBUG,
            b'-' => Self::INFO,
            b'*' => Self::INFO2,
            b'#' => Self::WARN,
            _ => return None,
        })
    }

    /// A number under a level key: syslog (0–7), bunyan and pino (10–60), else unknown.
    pub(crate) fn from_level_number(number: u64) -> Option<Self> {
        match number {
            0..=7 => Self::from_syslog(number),
            10 => Some(Self::TRACE),
            20 => Some(Self::DEBUG),
            30 => Some(Self::INFO),
            40 => Some(Self::WARN),
            50 => Some(Self::ERROR),
            60 => Some(Self::FATAL),
            _ => None,
        }
    }
}

/// A word that names a severity.
struct Level {
    /// In lower case.
    word: &'static [u8],
    severity: Severity,
    /// Whether it is no ordinary English word and so counts in any case where a header may or may not end.
    alone: bool,
}

const fn level_word(word: &'static [u8], severity: Severity) -> Level {
    Level { word, severity, alone: true }
}

const fn ordinary(word: &'static [u8], severity: Severity) -> Level {
    Level { word, severity, alone: false }
}

const LEVELS: [Level; 61] = [
    ordinary(b"trace", Severity::TRACE),
    level_word(b"trace1", Severity::TRACE),
    level_word(b"trace2", Severity::TRACE),
    level_word(b"trace3", Severity::TRACE),
    level_word(b"trace4", Severity::TRACE),
    level_word(b"trace5", Severity::TRACE),
    level_word(b"trace6", Severity::TRACE),
    level_word(b"trace7", Severity::TRACE),
    level_word(b"trace8", Severity::TRACE),
    ordinary(b"finest", Severity::TRACE),
    ordinary(b"verbose", Severity::TRACE),
    ordinary(b"verb", Severity::TRACE),
    ordinary(b"silly", Severity::TRACE),
    level_word(b"trce", Severity::TRACE),
    level_word(b"trc", Severity::TRACE),
    level_word(b"vrb", Severity::TRACE),
    ordinary(b"finer", Severity(3)),
    ordinary(b"fine", Severity(6)),
    level_word(b"debug", Severity::DEBUG),
    level_word(b"dbug", Severity::DEBUG),
    level_word(b"dbg", Severity::DEBUG),
    level_word(b"debg", Severity::DEBUG),
    level_word(b"debu", Severity::DEBUG),
    level_word(b"debug1", Severity::DEBUG),
    level_word(b"debug2", Severity::DEBUG),
    level_word(b"debug3", Severity::DEBUG),
    level_word(b"debug4", Severity::DEBUG),
    level_word(b"debug5", Severity::DEBUG),
    ordinary(b"config", Severity::DEBUG3),
    level_word(b"info", Severity::INFO),
    level_word(b"inf", Severity::INFO),
    level_word(b"nfo", Severity::INFO),
    level_word(b"informational", Severity::INFO),
    ordinary(b"information", Severity::INFO),
    ordinary(b"note", Severity::INFO),
    ordinary(b"log", Severity::INFO),
    ordinary(b"notice", Severity::INFO2),
    level_word(b"notc", Severity::INFO2),
    level_word(b"ntc", Severity::INFO2),
    level_word(b"warn", Severity::WARN),
    level_word(b"warning", Severity::WARN),
    level_word(b"wrn", Severity::WARN),
    level_word(b"warni", Severity::WARN),
    level_word(b"error", Severity::ERROR),
    level_word(b"err", Severity::ERROR),
    level_word(b"erro", Severity::ERROR),
    level_word(b"eror", Severity::ERROR),
    ordinary(b"severe", Severity::ERROR),
    ordinary(b"failure", Severity::ERROR),
    ordinary(b"fail", Severity::ERROR),
    level_word(b"critical", Severity::ERROR2),
    level_word(b"crit", Severity::ERROR2),
    level_word(b"crt", Severity::ERROR2),
    ordinary(b"alert", Severity::ERROR3),
    level_word(b"alrt", Severity::ERROR3),
    level_word(b"emergency", Severity::FATAL),
    level_word(b"emerg", Severity::FATAL),
    level_word(b"fatal", Severity::FATAL),
    level_word(b"ftl", Severity::FATAL),
    level_word(b"dpanic", Severity::FATAL),
    ordinary(b"panic", Severity::FATAL),
];

/// Longest level word.
const LONGEST: usize = 13;

/// For each length, the first letters of the level words that are so long: most words are told by it alone.
const FIRST_LETTERS: [u32; LONGEST + 1] = first_letters();

const fn first_letters() -> [u32; LONGEST + 1] {
    let mut letters = [0u32; LONGEST + 1];
    let mut at = 0;
    while at < LEVELS.len() {
        letters[LEVELS[at].word.len()] |= 1 << (LEVELS[at].word[0] - b'a');
        at += 1;
    }
    letters
}

/// The level words by their length, those of length `n` from `ENDS[n - 1]` to `ENDS[n]`.
const BY_LENGTH: [usize; LEVELS.len()] = by_length().0;
const ENDS: [usize; LONGEST + 1] = by_length().1;

const fn by_length() -> ([usize; LEVELS.len()], [usize; LONGEST + 1]) {
    let (mut order, mut ends) = ([0; LEVELS.len()], [0; LONGEST + 1]);
    let (mut length, mut filled) = (0, 0);
    while length <= LONGEST {
        let mut at = 0;
        while at < LEVELS.len() {
            if LEVELS[at].word.len() == length {
                order[filled] = at;
                filled += 1;
            }
            at += 1;
        }
        ends[length] = filled;
        length += 1;
    }
    (order, ends)
}

/// The level that a whole word names, in any case.
fn level(word: &[u8]) -> Option<&'static Level> {
    let first = word.first().filter(|byte| byte.is_ascii_alphabetic())? | 0x20;
    let letters = FIRST_LETTERS.get(word.len())?;
    if letters >> (first - b'a') & 1 == 0 {
        return None;
    }
    let of_length = &BY_LENGTH[ENDS[word.len() - 1]..ENDS[word.len()]];
    of_length.iter().map(|at| &LEVELS[*at]).find(|level| level.word[0] == first && level.word.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_map_as_appendix_b() {
        let cases: [(&str, u8); 19] = [
            ("TRACE", 1),
            ("FINE", 6),
            ("debug", 5),
            ("CONFIG", 7),
            ("Info", 9),
            ("informational", 9),
            ("Notice", 10),
            ("WARNING", 13),
            ("warn", 13),
            ("ERROR", 17),
            ("err", 17),
            ("SEVERE", 17),
            ("crit", 18),
            ("Critical", 18),
            ("alert", 19),
            ("emerg", 21),
            ("FATAL", 21),
            ("PANIC", 21),
            ("LOG", 9),
        ];
        for (word, number) in cases {
            assert_eq!(Severity::from_word(word.as_bytes()).map(Severity::number), Some(number), "{word}");
        }
        assert_eq!(Severity::from_word(b"errors"), None);
        assert_eq!(Severity::from_word(b"a word longer than all"), None);
        assert_eq!(Severity::from_header_word(b"config"), None);
        assert_eq!(Severity::from_header_word(b"CONFIG"), Some(Severity::DEBUG3));
    }

    #[test]
    fn syslog_priorities_map() {
        let numbers: Vec<u8> = (0..8).filter_map(Severity::from_syslog).map(Severity::number).collect();
        assert_eq!(numbers, [21, 19, 18, 17, 13, 10, 9, 5]);
        assert_eq!(Severity::from_syslog(8), None);
    }
}
