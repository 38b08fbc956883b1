//! Recognises the many ways a line writes its time, so that the header can be cut off; turns RFC 3339 into Unix time.
//! Must never guess a zone or a year: a time that has none is recognised but has no value.

use crate::bytes::{is_alphanumeric, run_end};

/// Longest name of a month in any language, in bytes.
const MAX_MONTH: usize = 24;

/// Nanoseconds since 1970-01-01 UTC.
pub type UnixNanos = u64;

/// Where a time at the start of `text` ends; `None` if there is none. A whole number counts only as an epoch.
pub(crate) fn end(text: &[u8]) -> Option<usize> {
    let first = *text.first()?;
    let end = if first.is_ascii_digit() {
        numeric(text)
    } else if first.is_ascii_uppercase() {
        // `INFO` is more frequent here than a month.
        if text.get(1).is_some_and(u8::is_ascii_lowercase) { named(text) } else { None }
    } else if first == b'@' {
        tai64n(text)
    } else if first.is_ascii_lowercase() || !first.is_ascii() {
        foreign(text)
    } else {
        None
    }?;
    text.get(end).is_none_or(|byte| !byte.is_ascii_alphanumeric()).then_some(end)
}

/// Whether the time at the start of `text` has a calendar date (an epoch or a time of day alone has none).
pub(crate) fn has_date(text: &[u8]) -> bool {
    end(text).is_some_and(|end| is_date(&text[..end]))
}

/// Whether what [`end`] took for a time has a calendar date.
pub(crate) fn is_date(time: &[u8]) -> bool {
    time.len() >= 8 && time.get(2) != Some(&b':') && time.iter().any(|byte| matches!(byte, b'-' | b'/' | b'.' | b' '))
}

/// `@` and 24 hexadecimal digits, the external TAI64N format of daemontools and runit.
fn tai64n(text: &[u8]) -> Option<usize> {
    let end = run_end(text, 1, |byte| byte.is_ascii_hexdigit());
    (end == 25 && text[1] == b'4').then_some(end)
}

/// The first bytes of `text`, if they have the most frequent form: `2026-11-25 15:04:05`, with a blank, `T` or `_` between date and time.
#[inline]
fn date_and_time(text: &[u8]) -> Option<&[u8; 19]> {
    let start = text.first_chunk::<19>()?;
    let is_day = start[8].is_ascii_digit() && start[9].is_ascii_digit() && matches!(start[10], b' ' | b'T' | b't' | b'_');
    (is_day && has_form(start.first_chunk()?, b"0000-00-") && has_form(start.last_chunk()?, b"00:00:00")).then_some(start)
}

/// Whether eight bytes are those of `form`, in which `0` stands for any digit: all of them are compared at once.
#[inline]
fn has_form(text: &[u8; 8], form: &[u8; 8]) -> bool {
    // A digit differs from `0` by at most 9, and 6 more carry into the upper half of a byte what is larger; of a mark, 15 carry any difference.
    let most = form.map(|byte| if byte == b'0' { 6 } else { 15 });
    let difference = u64::from_ne_bytes(*text) ^ u64::from_ne_bytes(*form);
    (difference.wrapping_add(u64::from_ne_bytes(most)) | difference) & 0xf0f0_f0f0_f0f0_f0f0 == 0
}

struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn digits(&mut self, least: usize, most: usize) -> Option<()> {
        let end = run_end(self.text, self.at, |byte| byte.is_ascii_digit());
        let count = end - self.at;
        if count < least || count > most {
            return None;
        }
        self.at = end;
        Some(())
    }

    fn one_of(&mut self, set: &[u8]) -> Option<u8> {
        let byte = *self.text.get(self.at)?;
        set.contains(&byte).then(|| {
            self.at += 1;
            byte
        })
    }

    fn spaces(&mut self) -> Option<()> {
        let end = run_end(self.text, self.at, |byte| byte == b' ' || byte == b'\t');
        let some = end > self.at;
        self.at = end;
        some.then_some(())
    }

    fn letters(&mut self) -> &'a [u8] {
        let end = run_end(self.text, self.at, |byte| byte.is_ascii_alphabetic());
        let word = &self.text[self.at..end];
        self.at = end;
        word
    }

    /// Runs `step`; where it fails, nothing is consumed.
    fn optional(&mut self, step: impl FnOnce(&mut Self) -> Option<()>) {
        let before = self.at;
        if step(self).is_none() {
            self.at = before;
        }
    }

    /// `HH:MM:SS`, a fraction and a zone, where the last two are optional.
    fn time_of_day(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        if rest.first_chunk().is_some_and(|clock| has_form(clock, b"00:00:00")) && !rest.get(8).is_some_and(u8::is_ascii_digit) {
            self.at += 8;
            self.fraction_and_zone();
            return Some(());
        }
        self.digits(1, 2)?;
        let separator = self.one_of(b":.")?;
        self.digits(2, 2)?;
        self.one_of(&[separator])?;
        self.digits(2, 2)?;
        self.fraction_and_zone();
        Some(())
    }

    /// `3:04PM`, as Go's `time.Kitchen` has it.
    fn kitchen_time(&mut self) -> Option<()> {
        self.digits(1, 2)?;
        self.one_of(b":")?;
        self.digits(2, 2)?;
        matches!(self.letters(), b"AM" | b"PM").then_some(())
    }

    fn fraction_and_zone(&mut self) {
        if matches!(self.text.get(self.at), Some(b'.' | b',' | b':')) {
            let end = run_end(self.text, self.at + 1, |byte| byte.is_ascii_digit());
            if (2..=10).contains(&(end - self.at)) {
                self.at = end;
            }
            // Microseconds set apart from milliseconds, as Zephyr has them.
            let more = run_end(self.text, end + 1, |byte| byte.is_ascii_digit());
            if self.text.get(end) == Some(&b',') && more == end + 4 && self.text.get(more) == Some(&b']') {
                self.at = more;
            }
        }
        self.optional(Self::zone);
    }

    fn zone(&mut self) -> Option<()> {
        if self.one_of(b"Z").is_some() {
            return Some(());
        }
        self.optional(Self::spaces);
        if matches!(self.text.get(self.at), Some(b'+' | b'-')) {
            return self.offset();
        }
        let half = self.text.get(self.at..self.at + 2).is_some_and(|half| matches!(half, b"am" | b"pm"));
        if !half && !self.text.get(self.at).is_some_and(u8::is_ascii_uppercase) {
            return None;
        }
        let word = self.letters();
        if matches!(word, b"AM" | b"PM" | b"am" | b"pm") {
            self.optional(|cursor| {
                cursor.spaces()?;
                matches!(cursor.letters(), b"UTC" | b"GMT").then_some(())
            });
            return Some(());
        }
        if matches!(word, b"UTC" | b"GMT") {
            self.optional(Self::offset);
            return Some(());
        }
        matches!(word, b"CET" | b"CEST" | b"EST" | b"EDT" | b"CST" | b"CDT" | b"MST" | b"MDT" | b"PST" | b"PDT" | b"JST" | b"IST" | b"MSK")
            .then_some(())
    }

    /// `+0100`, `+01:00` or `+01`.
    fn offset(&mut self) -> Option<()> {
        self.one_of(b"+-")?;
        self.digits(2, 4)?;
        self.optional(|cursor| {
            cursor.one_of(b":")?;
            cursor.digits(2, 2)
        });
        Some(())
    }

    /// ` 15:04` in front of a bracket, the time of day of pacman.
    fn date_and_minute(&mut self) -> Option<()> {
        self.spaces()?;
        self.digits(2, 2)?;
        self.one_of(b":")?;
        self.digits(2, 2)?;
        (self.text.get(self.at) == Some(&b']')).then_some(())
    }

    fn date_and_time(&mut self) -> Option<()> {
        if self.one_of(b"T_-:").is_none() {
            self.spaces()?;
        }
        self.time_of_day()
    }
}

fn numeric(text: &[u8]) -> Option<usize> {
    if let Some(start) = date_and_time(text).filter(|_| !text.get(19).is_some_and(u8::is_ascii_digit)) {
        let mut cursor = Cursor { text, at: start.len() };
        cursor.fraction_and_zone();
        return Some(cursor.at);
    }
    let digits = run_end(text, 0, |byte| byte.is_ascii_digit());
    let next = text.get(digits).copied();
    match (digits, next) {
        (4, Some(b'-' | b'/' | b'.')) => year_first(text),
        (8, Some(b'-' | b'T' | b' ')) if matches!(text.first(), Some(b'1' | b'2')) => compact(text, 8),
        (6, Some(b' ')) => compact(text, 6),
        (1..=9, Some(b'.')) if run_end(text, digits + 1, |byte| byte.is_ascii_digit()) == digits + 10 => {
            // Seconds since the start, as Rust's tracing writes them: `0.023323334s`.
            (text.get(digits + 10) == Some(&b's')).then_some(digits + 11)
        }
        (1 | 2, Some(b':')) => finish(text, |cursor| cursor.time_of_day()).or_else(|| finish(text, |cursor| cursor.kitchen_time())),
        (1 | 2, Some(b'/' | b'-' | b'.' | b' ')) => {
            short_date(text).or_else(|| day_month_name(text)).or_else(|| day_month(text)).or_else(|| spaced_date(text))
        }
        (1 | 2, Some(0x80..)) => foreign(text),
        (10, Some(b'.')) if text.first() == Some(&b'1') => {
            let end = run_end(text, 11, |byte| byte.is_ascii_digit());
            (end > 11).then_some(end)
        }
        (10 | 13 | 16 | 19, _) if text.first() == Some(&b'1') => Some(digits),
        _ => None,
    }
}

fn finish(text: &[u8], step: impl FnOnce(&mut Cursor<'_>) -> Option<()>) -> Option<usize> {
    let mut cursor = Cursor::new(text);
    step(&mut cursor)?;
    Some(cursor.at)
}

/// `2026/11/25 15:04:05,000`, `2026-11-25-15.04.05.000000`, `2026-Nov-25 15:04:05`, or the date alone.
fn year_first(text: &[u8]) -> Option<usize> {
    finish(text, |cursor| {
        cursor.digits(4, 4)?;
        let separator = cursor.one_of(b"-/.")?;
        if !is_month(cursor.letters()) {
            cursor.digits(1, 2)?;
        }
        cursor.one_of(&[separator])?;
        cursor.digits(1, 2)?;
        let date = cursor.at;
        cursor.optional(Cursor::date_and_time);
        if cursor.at == date {
            cursor.optional(Cursor::date_and_minute);
        }
        Some(())
    })
}

/// `20261125-15:04:05:000`, `20261125 150405`, `261125 150405`.
fn compact(text: &[u8], digits: usize) -> Option<usize> {
    finish(text, |cursor| {
        cursor.digits(digits, digits)?;
        if cursor.one_of(b"-T").is_none() {
            cursor.spaces()?;
        }
        let start = cursor.at;
        if cursor.time_of_day().is_none() {
            cursor.at = start;
            cursor.digits(6, 6)?;
            cursor.optional(Cursor::zone);
        }
        Some(())
    })
}

/// `25/11/26 15:04:05`, `25/11/2026 15:04:05`, `11-25 15:04:05.000`, `11.25 15:04:05`.
fn short_date(text: &[u8]) -> Option<usize> {
    finish(text, |cursor| {
        cursor.digits(1, 2)?;
        let separator = cursor.one_of(b"/-.")?;
        cursor.digits(1, 2)?;
        cursor.optional(|cursor| {
            cursor.one_of(&[separator])?;
            cursor.digits(1, 4)
        });
        cursor.one_of(b",");
        if cursor.one_of(b":-").is_none() {
            cursor.spaces()?;
        }
        cursor.time_of_day()
    })
}

/// `25/Nov/2026:15:04:05 +0000`, `25 Nov 2026 15:04:05`, `25-Nov-2026 15:04:05`.
fn day_month_name(text: &[u8]) -> Option<usize> {
    finish(text, |cursor| {
        cursor.digits(1, 2)?;
        let separator = cursor.one_of(b"/ -")?;
        is_month(cursor.letters()).then_some(())?;
        cursor.one_of(&[separator])?;
        cursor.digits(2, 4)?;
        cursor.one_of(b",");
        if cursor.one_of(b":").is_none() {
            cursor.spaces()?;
        }
        cursor.time_of_day()
    })
}

/// `Nov 25 15:04:05`, `Nov 25, 2026 3:04:05 PM`, `Wed Nov 25 15:04:05 2026`, `Wed, 25 Nov 2026 15:04:05 GMT`.
fn named(text: &[u8]) -> Option<usize> {
    finish(text, |cursor| {
        let mut word = cursor.letters();
        if is_weekday(word) {
            cursor.one_of(b",");
            cursor.spaces()?;
            if cursor.text.get(cursor.at).is_some_and(u8::is_ascii_digit) {
                cursor.at += day_month_name(&cursor.text[cursor.at..])?;
                return Some(());
            }
            word = cursor.letters();
        }
        is_month(word).then_some(())?;
        if cursor.one_of(b"-").is_none() {
            cursor.spaces()?;
        }
        cursor.digits(1, 2)?;
        cursor.one_of(b",");
        cursor.spaces()?;
        cursor.optional(|cursor| {
            cursor.digits(4, 4)?;
            cursor.one_of(b",");
            cursor.spaces()
        });
        cursor.time_of_day()?;
        cursor.optional(|cursor| {
            cursor.spaces()?;
            cursor.digits(4, 4)?;
            cursor.text.get(cursor.at).is_none_or(|byte| !byte.is_ascii_alphanumeric()).then_some(())
        });
        Some(())
    })
}

/// `25 11 2026 15:04:05`.
fn spaced_date(text: &[u8]) -> Option<usize> {
    finish(text, |cursor| {
        for _ in 0..2 {
            cursor.digits(1, 2)?;
            cursor.one_of(b" ")?;
        }
        cursor.digits(4, 4)?;
        cursor.one_of(b" ")?;
        cursor.time_of_day()
    })
}

/// `25 Nov 15:04:05`.
fn day_month(text: &[u8]) -> Option<usize> {
    finish(text, |cursor| {
        cursor.digits(1, 2)?;
        cursor.spaces()?;
        is_month(cursor.letters()).then_some(())?;
        cursor.spaces()?;
        cursor.time_of_day()
    })
}

/// `ott 25 15:04:05`, `févr. 25 15:04:05` or `9月 25 15:04:05`: a month in another language, as the C library names it for syslog.
fn foreign(text: &[u8]) -> Option<usize> {
    let month = memchr::memchr(b' ', &text[..text.len().min(MAX_MONTH + 1)])?;
    let is_name = |byte: &u8| !byte.is_ascii() || is_alphanumeric(*byte) || *byte == b'.';
    if !matches!(text.get(month + 1), Some(b' ' | b'0'..=b'9')) || !text[..month].iter().all(is_name) {
        return None;
    }
    finish(text, |cursor| {
        cursor.at = month;
        cursor.spaces()?;
        cursor.digits(1, 2)?;
        cursor.spaces()?;
        cursor.digits(2, 2)?;
        cursor.one_of(b":")?;
        cursor.digits(2, 2)?;
        cursor.one_of(b":")?;
        cursor.digits(2, 2)
    })
}

fn is_month(word: &[u8]) -> bool {
    matches!(word.get(..3), Some(b"Jan" | b"Feb" | b"Mar" | b"Apr" | b"May" | b"Jun" | b"Jul" | b"Aug" | b"Sep" | b"Oct" | b"Nov" | b"Dec"))
        && word.len() <= 9
}

fn is_weekday(word: &[u8]) -> bool {
    matches!(word.get(..3), Some(b"Mon" | b"Tue" | b"Wed" | b"Thu" | b"Fri" | b"Sat" | b"Sun")) && word.len() <= 9
}

/// The value of an RFC 3339 time that fills `text`, such as Docker and CRI write it; RFC 3339 section 5.6.
pub fn rfc3339(text: &[u8]) -> Option<UnixNanos> {
    let fixed = date_and_time(text).filter(|fixed| fixed[10] != b'_')?;
    let two = |at: usize| i64::from(fixed[at] - b'0') * 10 + i64::from(fixed[at + 1] - b'0');
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (nanos, zone_at) = fraction(text, 19);
    let offset = zone_seconds(text.get(zone_at..)?)?;
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset;
    u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// The value of an epoch written in seconds (with or without a fraction), milli-, micro- or nanoseconds.
pub fn epoch(text: &[u8]) -> Option<UnixNanos> {
    let digits = run_end(text, 0, |byte| byte.is_ascii_digit());
    let whole = text[..digits].iter().try_fold(0u64, |value, byte| value.checked_mul(10)?.checked_add(u64::from(byte - b'0')))?;
    let (nanos, end) = fraction(text, digits);
    if end != text.len() {
        return None;
    }
    let unit = match digits {
        9 | 10 => 1_000_000_000,
        13 => 1_000_000,
        16 => 1_000,
        19 => 1,
        _ => return None,
    };
    whole.checked_mul(unit)?.checked_add(nanos * unit / 1_000_000_000)
}

/// Nanoseconds of the fraction at `at`, and where it ends.
fn fraction(text: &[u8], at: usize) -> (u64, usize) {
    if !matches!(text.get(at), Some(b'.' | b',')) {
        return (0, at);
    }
    const NANOS: usize = 9;
    let digits = &text[at + 1..run_end(text, at + 1, |byte| byte.is_ascii_digit())];
    let told = &digits[..digits.len().min(NANOS)];
    let value = told.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0'));
    (value * POWERS_OF_TEN[NANOS - told.len()], at + 1 + digits.len())
}

const POWERS_OF_TEN: [u64; 10] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];

fn zone_seconds(zone: &[u8]) -> Option<i64> {
    match zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] | [sign @ (b'+' | b'-'), h1, h2, m1, m2] => {
            let digits = [h1, h2, m1, m2].map(|byte| i64::from(*byte) - i64::from(b'0'));
            if digits.iter().any(|digit| !(0..=9).contains(digit)) {
                return None;
            }
            let seconds = (digits[0] * 10 + digits[1]) * 3_600 + (digits[2] * 10 + digits[3]) * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

/// Days between 1970-01-01 and a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_of_many_programs_end_where_they_end() {
        let times = [
            "2026-11-25T15:04:05.123Z",
            "2026-11-25 15:04:05,123",
            "2026-11-25 15:04:05.123 UTC",
            "2026/11/25 15:04:05",
            "2026-11-25-15.04.05.363779",
            "2026.11.25",
            "26/11/25 15:04:05",
            "26-1-5 15:04:05.1",
            "25 11 2026 15:04:05.774",
            "Nov-25 15:04:05.476",
            "11-25 15:04:05.811",
            "10.30 16:49:06",
            "Nov 25 15:04:05",
            "Nov  5 15:04:05",
            "Wed Nov 25 15:04:05 2026",
            "Wed Nov 25 15:04:05.123456 2026",
            "25/Nov/2026:15:04:05 +0000",
            "25 Nov 2026 15:04:05.678",
            "081109 203615",
            "20171223-22:15:29:606",
            "1117838570",
            "1117838570.123",
            "Nov 25, 2026 3:04:05 PM",
            "Wed, 25 Nov 2026 15:04:05 GMT",
            "15:04:05.123",
            "25 Nov 15:04:05.123",
            "ott 25 15:04:05",
            "févr. 25 15:04:05",
            "9月 25 15:04:05",
            "2026-11-25T15:04:05+01:00",
            "2026-11-25 15:04:05.269 GMT+01:00",
            "2026-Nov-25 15:04:05.404060 UTC",
            "Nov 25, 2026, 3:04:05 PM UTC",
            "Wed, Nov 25 2026 3:04:05 pm",
            "11/25/2026-15:04:05",
            "3:04PM",
        ];
        for time in times {
            assert_eq!(end(time.as_bytes()), Some(time.len()), "{time}");
            assert_eq!(end(format!("{time} INFO").as_bytes()), Some(time.len()), "{time} followed by a word");
        }
        for other in
            ["12345 x", "10.1.2.3 - -", "May be", "Monday", "2026", "1.5 seconds", "May 5 errors", "took 12 15:04", "retry 3 in 15:04:05"]
        {
            assert_eq!(end(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn rfc3339_has_its_value() {
        assert_eq!(rfc3339(b"1970-01-01T00:00:01Z"), Some(1_000_000_000));
        assert_eq!(rfc3339(b"2016-10-06T00:17:09.669794202Z"), Some(1_475_713_029_669_794_202));
        assert_eq!(rfc3339(b"2016-10-06T02:17:09.5+02:00"), Some(1_475_713_029_500_000_000));
        assert_eq!(rfc3339(b"2016-10-06T00:17:09.0000000019Z"), Some(1_475_713_029_000_000_001));
        assert_eq!(rfc3339(b"2016-10-06T02:17:09"), None);
        assert_eq!(rfc3339(b"2016-13-06T02:17:09Z"), None);
    }

    proptest! {
        #[test]
        fn a_form_is_met_by_digits_and_its_marks_alone(text in any::<[u8; 8]>(), near in "[0-9:;/-]{2}[0-9:.]{6}") {
            let near: [u8; 8] = near.into_bytes().try_into().expect("eight bytes");
            for text in [text, near, *b"15:04:05", *b"1:304:05", *b"15:04:0:"] {
                let form = b"00:00:00";
                let meets = text.iter().zip(form).all(|(byte, form)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form });
                prop_assert_eq!(has_form(&text, form), meets);
            }
        }

        #[test]
        fn any_bytes_are_safe(text in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(end(&text).is_none_or(|end| end <= text.len()));
            let _ = (rfc3339(&text), has_date(&text));
        }

        #[test]
        fn digits_and_marks_are_safe(text in "[0-9:./ TZ+-]{0,40}") {
            prop_assert!(end(text.as_bytes()).is_none_or(|end| end <= text.len()));
        }
    }
}
