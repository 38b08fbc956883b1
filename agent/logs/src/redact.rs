//! Replaces secrets in what leaves the process: keys, tokens, credentials, passwords.
//! Must never change a pattern's id: it works on bodies and attributes, after and apart from recognition.
//!
//! Every rule starts from a mark or a short literal. One search for all literals tells most texts that have none; a text without any
//! secret is not copied.

use crate::bytes::{is_alphanumeric, is_space, run_end};
use aho_corasick::packed::Searcher;
use std::borrow::Cow;
use std::sync::LazyLock;

/// What stands for a secret.
pub const REDACTED: &[u8] = b"[REDACTED]";

/// A rule of the user: text between `prefix` and the next white space, quote or separator is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    prefix: Vec<u8>,
}

impl Rule {
    /// A rule for what follows `prefix`, in any case; `None` for an empty prefix.
    pub fn new(prefix: &str) -> Option<Self> {
        (!prefix.is_empty()).then(|| Self { prefix: prefix.to_ascii_lowercase().into_bytes() })
    }
}

/// What a redactor does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Redacts,
    LeavesAll,
}

/// Replaces secrets by [`REDACTED`].
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    rules: Vec<Rule>,
    mode: Mode,
}

/// Names whose value is a secret; matched in any case as the end of a name.
const SECRET_NAMES: [&[u8]; 12] = [
    b"password",
    b"passwd",
    b"pwd",
    b"passphrase",
    b"secret",
    b"token",
    b"api_key",
    b"apikey",
    b"api-key",
    b"access_key",
    b"private_key",
    b"credential",
];

/// A bit for each letter that one of them ends in: most names are told by it alone.
const LAST_LETTERS: u32 = {
    let (mut letters, mut at) = (0u32, 0);
    while at < SECRET_NAMES.len() {
        letters |= 1 << (SECRET_NAMES[at][SECRET_NAMES[at].len() - 1] - b'a');
        at += 1;
    }
    letters
};

/// Prefixes of tokens that services hand out, and the least length of what follows.
const TOKEN_PREFIXES: [(&[u8], usize); 14] = [
    (b"AKIA", 16),
    (b"ASIA", 16),
    (b"ghp_", 30),
    (b"gho_", 30),
    (b"ghs_", 30),
    (b"github_pat_", 30),
    (b"glpat-", 16),
    (b"xoxb-", 16),
    (b"xoxp-", 16),
    (b"sk_live_", 16),
    (b"rk_live_", 16),
    (b"AIza", 30),
    (b"SG.", 40),
    (b"npm_", 30),
];

/// Where a private key begins (RFC 7468).
const PRIVATE_KEY: &[u8] = b"-----BEGIN ";
/// How the JSON of a token's header and payload begins: `{"` in base64url.
const JSON_IN_BASE64: &[u8] = b"eyJ";
/// The ends of `Bearer ` and `Basic `, of which the first letter may be small.
const SCHEMES: [&[u8]; 2] = [b"earer ", b"asic "];

/// All literals, for one vectorised search that tells whether a text has any; `None` on a machine that has no such instructions.
static LITERALS: LazyLock<Option<Searcher>> = LazyLock::new(|| {
    let prefixes = TOKEN_PREFIXES.iter().map(|(prefix, _)| *prefix);
    Searcher::new(prefixes.chain([PRIVATE_KEY, JSON_IN_BASE64]).chain(SCHEMES))
});

impl Redactor {
    /// The default rules and these.
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, mode: Mode::Redacts }
    }

    /// A redactor that changes nothing: the user has turned redaction off.
    pub fn off() -> Self {
        Self { rules: Vec::new(), mode: Mode::LeavesAll }
    }

    /// `text` without secrets.
    pub fn redact<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let mut secrets = Vec::new();
        if self.mode == Mode::Redacts {
            self.find(text, &mut secrets);
        }
        if secrets.is_empty() {
            return Cow::Borrowed(text);
        }
        secrets.sort_unstable();
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        for (start, end) in secrets {
            if start >= at {
                out.extend_from_slice(&text[at..start]);
                out.extend_from_slice(REDACTED);
            }
            at = at.max(end);
        }
        out.extend_from_slice(&text[at..]);
        Cow::Owned(out)
    }

    /// Whether the value under this name is replaced whatever it is.
    pub fn replaces(&self, name: &str) -> bool {
        self.mode == Mode::Redacts && Self::is_secret_name(name)
    }

    /// Whether the value under this name is a secret whatever it is.
    pub fn is_secret_name(name: &str) -> bool {
        let name = name.as_bytes();
        is_secret(name) || ends_with(name, b"authorization")
    }

    fn find(&self, text: &[u8], secrets: &mut Vec<(usize, usize)>) {
        for at in memchr::memchr2_iter(b'=', b':', text) {
            if text[at..].starts_with(b"://") {
                url_credentials(text, at + 3, secrets);
            }
            named_value(text, at, secrets);
        }
        if LITERALS.as_ref().is_none_or(|literals| literals.find(text).is_some()) {
            private_keys(text, secrets);
            json_web_tokens(text, secrets);
            schemes(text, secrets);
            for (prefix, least) in TOKEN_PREFIXES {
                tokens(text, prefix, least, secrets);
            }
        }
        for rule in &self.rules {
            rule.find(text, secrets);
        }
    }
}

impl Rule {
    fn find(&self, text: &[u8], secrets: &mut Vec<(usize, usize)>) {
        let Some(first) = self.prefix.first() else { return };
        for at in memchr::memchr2_iter(*first, first.to_ascii_uppercase(), text) {
            let start = at + self.prefix.len();
            if text.get(at..start).is_some_and(|have| have.eq_ignore_ascii_case(&self.prefix)) {
                let end = value_end(text, start);
                if end > start {
                    secrets.push((start, end));
                }
            }
        }
    }
}

/// `-----BEGIN … PRIVATE KEY-----` to its end, or to the end of the text.
fn private_keys(text: &[u8], secrets: &mut Vec<(usize, usize)>) {
    let mut from = 0;
    while let Some(found) = memchr::memmem::find(&text[from..], PRIVATE_KEY) {
        let start = from + found;
        from = start + PRIVATE_KEY.len();
        let line = &text[from..text.len().min(from + 64)];
        let Some(marker) = memchr::memmem::find(line, b"PRIVATE KEY") else { continue };
        let body = from + marker + 11;
        let end = memchr::memmem::find(&text[body..], b"-----END ").map(|end| body + end + 9);
        let end = end.and_then(|end| memchr::memmem::find(&text[end..], b"-----").map(|dashes| end + dashes + 5)).unwrap_or(text.len());
        secrets.push((start, end));
        from = end;
    }
}

/// Three base64url parts, the first two of which begin as JSON does (RFC 7519).
fn json_web_tokens(text: &[u8], secrets: &mut Vec<(usize, usize)>) {
    for start in memchr::memmem::find_iter(text, JSON_IN_BASE64) {
        let end = run_end(text, start, |byte| is_token_byte(byte) || byte == b'.');
        let mut parts = text[start..end].split(|byte| *byte == b'.');
        let (header, payload) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if header.len() >= 8 && payload.starts_with(JSON_IN_BASE64) && parts.next().is_some() {
            secrets.push((start, end));
        }
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// `scheme://user:password@host`; `start` is where the authority begins (RFC 3986 section 3.2).
fn url_credentials(text: &[u8], start: usize, secrets: &mut Vec<(usize, usize)>) {
    let window = &text[start..text.len().min(start + 512)];
    let end = window
        .iter()
        .position(|byte| is_space(*byte) || matches!(byte, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>'))
        .unwrap_or(window.len());
    if let Some(at) = memchr::memrchr(b'@', &window[..end]).filter(|at| *at > 0) {
        secrets.push((start, start + at));
    }
}

/// The value behind `name=`, `name: `, `"name":"`, if the name is that of a secret; `at` is the mark.
fn named_value(text: &[u8], at: usize, secrets: &mut Vec<(usize, usize)>) {
    let name_end = text[..at].iter().rposition(|byte| !matches!(byte, b' ' | b'"' | b'\'' | b'\\')).map_or(0, |last| last + 1);
    if at - name_end > 3 || name_end == 0 {
        return;
    }
    if !is_secret(&text[..name_end]) {
        return;
    }
    let start = run_end(text, at + 1, |byte| matches!(byte, b' ' | b'"' | b'\'' | b'\\' | b'='));
    if start - at > 6 {
        return;
    }
    let end =
        if text[at + 1..start].iter().any(|byte| matches!(byte, b'"' | b'\'')) { quoted_end(text, start) } else { value_end(text, start) };
    if end > start && text[start..end] != *REDACTED && !text[start..].starts_with(b"Bearer ") && !text[start..].starts_with(b"Basic ") {
        secrets.push((start, end));
    }
}

/// Whether a name ends as the names of secrets do.
pub(crate) fn is_secret(name: &[u8]) -> bool {
    let Some(last) = name.last().filter(|last| last.is_ascii_alphabetic()) else { return false };
    let may = LAST_LETTERS >> ((last | 0x20) - b'a') & 1 != 0;
    may && SECRET_NAMES.iter().any(|secret| ends_with(name, secret))
}

/// Whether a name ends in `end`, in any case.
fn ends_with(name: &[u8], end: &[u8]) -> bool {
    name.len() >= end.len() && name[name.len() - end.len()..].eq_ignore_ascii_case(end)
}

fn value_end(text: &[u8], start: usize) -> usize {
    run_end(text, start, |byte| !is_space(byte) && !matches!(byte, b'"' | b'\'' | b',' | b';' | b'&' | b')' | b']' | b'}'))
}

fn quoted_end(text: &[u8], start: usize) -> usize {
    run_end(text, start, |byte| !matches!(byte, b'"' | b'\'' | b'\n'))
}

/// `Bearer …` and `Basic …` (RFC 6750, RFC 7617); short words are prose.
fn schemes(text: &[u8], secrets: &mut Vec<(usize, usize)>) {
    for scheme in SCHEMES {
        for found in memchr::memmem::find_iter(text, scheme) {
            let capital = found > 0 && matches!(text[found - 1], b'B' | b'b') && (found < 2 || !is_alphanumeric(text[found - 2]));
            let start = found + scheme.len();
            let end = run_end(text, start, |byte| is_token_byte(byte) || matches!(byte, b'.' | b'~' | b'+' | b'/' | b'='));
            let mixed = text[start..end].iter().any(|byte| !byte.is_ascii_lowercase());
            if capital && end - start >= 8 && mixed {
                secrets.push((start, end));
            }
        }
    }
}

fn tokens(text: &[u8], prefix: &[u8], least: usize, secrets: &mut Vec<(usize, usize)>) {
    for start in memchr::memmem::find_iter(text, prefix) {
        let body = start + prefix.len();
        let end = run_end(text, body, |byte| is_token_byte(byte) || byte == b'.');
        if end - body >= least && (start == 0 || !is_alphanumeric(text[start - 1])) {
            secrets.push((start, end));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn redact(text: &str) -> String {
        crate::bytes::lossy(&Redactor::default().redact(text.as_bytes()))
    }

    #[test]
    fn secrets_are_replaced() {
        let cases = [
            ("login password=hunter2 ok", "login password=[REDACTED] ok"),
            ("{\"db_password\": \"a b c\", \"x\":1}", "{\"db_password\": \"[REDACTED]\", \"x\":1}"),
            ("API_KEY: abc123, rest", "API_KEY: [REDACTED], rest"),
            ("GET /x?token=abc&y=1", "GET /x?token=[REDACTED]&y=1"),
            ("Authorization: Bearer abcDEF123.x-y", "Authorization: Bearer [REDACTED]"),
            ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [REDACTED]"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln end", "jwt [REDACTED] end"),
            ("postgres://bob:pw@db:5432/x", "postgres://[REDACTED]@db:5432/x"),
            ("key AKIAIOSFODNN7EXAMPLE used", "key [REDACTED] used"),
            ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- tail", "[REDACTED] tail"),
            ("-----BEGIN PRIVATE KEY-----\nMIIE", "[REDACTED]"),
        ];
        for (text, expected) in cases {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn ordinary_text_is_untouched() {
        for text in [
            "password reset requested",
            "bearer of news",
            "basic auth enabled",
            "time: 12:30",
            "http://host/a@b",
            "token bucket: full",
            "-----BEGIN CERTIFICATE-----\nMIIE",
            "AKIA",
        ] {
            let expected = if text.starts_with("token bucket") { "token bucket: full" } else { text };
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn rules_of_the_user_apply() {
        let redactor = Redactor::new(Rule::new("customer#").into_iter().collect());
        assert_eq!(redactor.redact(b"for Customer#4711, done").as_ref(), b"for Customer#[REDACTED], done");
        assert_eq!(Rule::new(""), None);
    }

    proptest! {
        #[test]
        fn any_text_is_safe_and_redaction_is_final(text in "(password=|token: |eyJ|://|@|Bearer |\"|AKIA|-----BEGIN |PRIVATE KEY|[a-zA-Z0-9./ ]){0,30}") {
            let redactor = Redactor::default();
            let once = redactor.redact(text.as_bytes()).into_owned();
            prop_assert!(once.len() <= text.len() + 20 * REDACTED.len() * 8);
        }
    }
}
