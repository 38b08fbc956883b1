//! What one path segment tells by itself: a word of the program, an id, or something between.
//!
//! Pure and stateless, so the same segment is judged the same for ever. In doubt a value is no word: a word that is
//! taken for a value costs a name, an id that is taken for a word costs a series for each of its values.

/// How much a segment looks like a value. Order matters: a later one looks more like one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// Letters, as programmers name things.
    Word,
    /// Anything else that may be a name.
    Odd,
    /// Certainly a value.
    Id,
}

/// A segment as routes know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    /// The segment without its extension; [`ID`] for an id.
    pub(super) label: &'a str,
    /// Extension of a file name with its dot, verb behind an id with its colon, or nothing.
    pub(super) suffix: &'a str,
    pub(super) class: Class,
}

/// What stands for an id.
pub(super) const ID: &str = "{id}";

/// Longer segments, in bytes, are values.
const MAX_WORD: usize = 64;

/// Judges a segment as it stands in a path, percent-encoded or not. Matrix parameters (RFC 3986 §3.3) are no part of it.
pub(super) fn segment(raw: &str) -> Segment<'_> {
    let raw = raw.split(';').next().unwrap_or_default();
    let (label, suffix) = split_extension(raw);
    match class(label) {
        Class::Id => Segment { label: ID, suffix, class: Class::Id },
        class => with_verb(raw).unwrap_or(Segment { label, suffix, class }),
    }
}

/// An id with a verb behind it, as in `123:cancel`.
fn with_verb(raw: &str) -> Option<Segment<'_>> {
    let (label, verb) = raw.split_at(raw.rfind(':')?);
    let is_verb = (2..=20).contains(&verb.len()) && verb.bytes().skip(1).all(|byte| byte.is_ascii_alphabetic());
    (is_verb && class(label) == Class::Id).then_some(Segment { label: ID, suffix: verb, class: Class::Id })
}

/// Splits `name.ext`: letters of one case, at most five of them and one digit behind (`mp4`, `woff2`). An e-mail address
/// is no file.
fn split_extension(raw: &str) -> (&str, &str) {
    let Some(dot) = raw.rfind('.').filter(|&dot| dot > 0) else { return (raw, "") };
    let extension = match &raw.as_bytes()[dot + 1..] {
        [letters @ .., b'0'..=b'9'] | letters => letters,
    };
    let one_case = extension.iter().all(u8::is_ascii_lowercase) || extension.iter().all(u8::is_ascii_uppercase);
    let is_file = (1..=5).contains(&extension.len()) && one_case && !raw.contains('@') && !raw.contains("%40");
    if is_file { raw.split_at(dot) } else { (raw, "") }
}

fn class(label: &str) -> Class {
    let mut buffer = [0; MAX_WORD];
    let Some(text) = decode(label.as_bytes(), &mut buffer) else { return Class::Id };
    if is_id(text) {
        Class::Id
    } else if is_word(text) {
        Class::Word
    } else {
        Class::Odd
    }
}

/// Takes percent-encoding (RFC 3986 §2.1) off; `None` for what is too long.
fn decode<'a>(raw: &'a [u8], buffer: &'a mut [u8; MAX_WORD]) -> Option<&'a [u8]> {
    if memchr::memchr(b'%', raw).is_none() {
        return (raw.len() <= MAX_WORD).then_some(raw);
    }
    let (mut rest, mut len) = (raw, 0);
    while let [first, tail @ ..] = rest {
        let escaped = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| (high << 4 | low, tail)),
            _ => None,
        };
        let (byte, tail) = escaped.unwrap_or((*first, tail));
        *buffer.get_mut(len)? = byte;
        len += 1;
        rest = tail;
    }
    Some(&buffer[..len])
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn is_id(text: &[u8]) -> bool {
    let digits = text.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = text.iter().filter(|byte| is_letter(**byte)).count();
    let is_number = digits > 0 && letters == 0;
    let is_address = memchr::memchr(b'@', text).is_some_and(|at| at > 0 && at + 1 < text.len());
    let is_long = text.len() >= 20 && digits >= 3;
    is_number || is_address || is_long || tokens(text).any(is_id_token)
}

/// Numbers of four digits and more, hexadecimal of eight and more, digits and letters mixed more than once.
fn is_id_token(token: &[u8]) -> bool {
    let digits = token.iter().filter(|byte| byte.is_ascii_digit()).count();
    if digits == token.len() {
        return digits >= 4;
    }
    let is_hex = token.len() >= 8 && token.iter().all(u8::is_ascii_hexdigit);
    let is_mixed = token.len() >= 5 && runs(token, u8::is_ascii_digit) >= 2 && !is_version(token);
    digits >= 5 || is_hex || is_mixed || token.len() >= 32
}

/// `v1beta1` and the like.
fn is_version(token: &[u8]) -> bool {
    let number = |rest: &[u8]| rest.len() <= 2 && rest.iter().all(u8::is_ascii_digit);
    let Some(rest) = token.strip_prefix(b"v") else { return false };
    let major = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (major, rest) = rest.split_at(major);
    number(major) && [&b"alpha"[..], b"beta", b"rc"].iter().any(|stage| rest.strip_prefix(*stage).is_some_and(number))
}

/// At most four tokens of letters, each with at most two digits behind, and nothing else.
fn is_word(text: &[u8]) -> bool {
    let is_plain = text.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    is_plain && text.len() <= 40 && tokens(text).count() <= 4 && tokens(text).all(|token| is_version(token) || is_word_token(token))
}

fn is_word_token(token: &[u8]) -> bool {
    let letters = token.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (name, number) = token.split_at(letters);
    let vowels = name.iter().filter(|byte| b"aeiouyAEIOUY".contains(byte)).count();
    (1..=20).contains(&letters) && number.len() <= 2 && number.iter().all(u8::is_ascii_digit) && (letters < 8 || vowels * 5 >= letters)
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || !byte.is_ascii()
}

/// What stands between separators.
fn tokens(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| !byte.is_ascii_digit() && !is_letter(*byte)).filter(|token| !token.is_empty())
}

/// How often bytes of a kind begin.
fn runs(text: &[u8], kind: impl Fn(&u8) -> bool) -> usize {
    let starts = text.windows(2).filter(|pair| !kind(&pair[0]) && kind(&pair[1])).count();
    starts + usize::from(text.first().is_some_and(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_known_at_once() {
        for id in [
            "0",
            "42",
            "-17",
            "1,2,3",
            "10.0.0.12",
            "550e8400-e29b-41d4-a716-446655440000",
            "{550E8400-E29B-41D4-A716-446655440000}",
            "abcdefab-abcd-4bcd-abcd-abcdefabcdef",
            "507f1f77bcf86cd799439011",
            "d41d8cd98f00b204e9800998ecf8427e",
            "deadbeef",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "2024-01-31",
            "2024-01-31T10:00:00Z",
            "alice@example.com",
            "alice%40example.com",
            "user-12345",
            "ORD-2024-0007",
            "cus_NffrFeUfNV2Hib9",
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4",
            "nginx-7d9f8b6c5d-x2x4z",
            "52.5200,13.4050",
            "urn:uuid:550e8400-e29b-41d4-a716-446655440000",
            "V1StGXR8_Z5jdHi6B-myT",
            "17;jsessionid=abc",
        ] {
            let found = segment(id);
            assert_eq!((found.label, found.class), (ID, Class::Id), "{id}");
        }
    }

    #[test]
    fn words_of_programs_are_no_ids() {
        for word in [
            "users",
            "api",
            "v1",
            "v2",
            "v1beta1",
            "v2alpha1",
            "oauth2",
            "healthz",
            "getUserById",
            "user-profile",
            "user_profile",
            "kube-system",
            "index",
            "s3",
            "utf8",
            "i18n",
            "k8s",
            "ipv4",
            "OAuth2",
            ".well-known",
            "openid-configuration",
            "pkg.Service",
            "sha256",
            "en-US",
        ] {
            let found = segment(word);
            assert!(found.class <= Class::Odd, "{word}: {found:?}");
            assert_eq!(format!("{}{}", found.label, found.suffix), word);
        }
    }

    #[test]
    fn what_may_be_a_name_is_told_from_words() {
        for odd in [
            "how-to-cook-rice-in-ten-minutes",
            "@alice",
            "a+b",
            "%C3%A9t%C3%A9",
            "web-0x",
            "rhythmtkpq",
            "Albert_Einstein_(physicist)",
            "1.1b",
        ] {
            assert_eq!(segment(odd).class, Class::Odd, "{odd}");
        }
    }

    #[test]
    fn files_keep_their_extension() {
        let parts = |text| {
            let Segment { label, suffix, class } = segment(text);
            (label.to_owned(), suffix.to_owned(), class)
        };
        let is = |label: &str, suffix: &str, class| (label.to_owned(), suffix.to_owned(), class);
        assert_eq!(parts("app.js"), is("app", ".js", Class::Word));
        assert_eq!(parts("main.3f2a1b9c.js"), is(ID, ".js", Class::Id));
        assert_eq!(parts("12345.PNG"), is(ID, ".PNG", Class::Id));
        assert_eq!(parts("font.woff2"), is("font", ".woff2", Class::Word));
        assert_eq!(parts("index.a1b2c"), is(ID, "", Class::Id));
        assert_eq!(parts("7:cancel"), is(ID, ":cancel", Class::Id));
        assert_eq!(parts("user:cancel"), is("user:cancel", "", Class::Odd));
        assert_eq!(parts(".env"), is(".env", "", Class::Word));
    }

    proptest! {
        #[test]
        fn any_segment_is_judged_and_never_lengthened(raw in "[^/]{0,100}") {
            let found = segment(&raw);
            prop_assert!(found.class == Class::Id || raw.starts_with(found.label));
        }
    }
}
