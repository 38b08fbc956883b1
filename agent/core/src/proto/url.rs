//! URLs as telemetry may carry them: credentials and the values of secret query keys replaced by `REDACTED`.
//!
//! Everything else of a path or query is kept as it was sent. Nothing that leaves this module unredacted may be a
//! secret by its key; what a key does not tell is not known here.

use super::bytes::find;

/// A request target or URL in parts, as it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    /// Scheme without `:`, if the target has one.
    pub(crate) scheme: Option<&'a [u8]>,
    /// `[userinfo@]host[:port]`, if the target has one.
    pub(crate) authority: Option<&'a [u8]>,
    /// Path up to `?`.
    pub(crate) path: &'a [u8],
    /// Query behind `?`.
    pub(crate) query: Option<&'a [u8]>,
}

impl<'a> Url<'a> {
    /// Splits an origin-form (`/path?query`) or absolute-form (`scheme://authority/path?query`) target. A fragment,
    /// which no target should have, is dropped.
    pub(crate) fn parse(target: &'a [u8]) -> Self {
        let target = &target[..find(b'#', target).unwrap_or(target.len())];
        let mut url = Url::default();
        let mut rest = target;
        if target.first().is_some_and(|&byte| byte != b'/')
            && let Some(colon) = memchr::memmem::find(target, b"://")
        {
            url.scheme = Some(&target[..colon]);
            let behind = &target[colon + 3..];
            let end = behind.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(behind.len());
            (url.authority, rest) = (Some(&behind[..end]), &behind[end..]);
        }
        match find(b'?', rest) {
            Some(mark) => (url.path, url.query) = (&rest[..mark], Some(&rest[mark + 1..])),
            None => url.path = rest,
        }
        url
    }
}

/// Host and port of `[userinfo@]host[:port]`; an IPv6 host without its brackets.
pub(crate) fn host_and_port(authority: &[u8]) -> (&[u8], Option<u16>) {
    let authority = without_userinfo(authority);
    if let Some(rest) = authority.strip_prefix(b"[")
        && let Some(end) = find(b']', rest)
    {
        return (&rest[..end], rest[end + 1..].strip_prefix(b":").and_then(port));
    }
    match find(b':', authority) {
        Some(colon) if find(b':', &authority[colon + 1..]).is_none() => (&authority[..colon], port(&authority[colon + 1..])),
        _ => (authority, None),
    }
}

fn without_userinfo(authority: &[u8]) -> &[u8] {
    // The last `@` counts; most authorities have none.
    match find(b'@', authority) {
        Some(_) => authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default(),
        None => authority,
    }
}

fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u16, |port, digit| {
        let digit = u16::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
        port.checked_mul(10)?.checked_add(digit)
    })
}

/// Appends an authority with its user information replaced (semantic conventions, `url.full`).
pub(crate) fn write_authority(out: &mut String, authority: &[u8]) {
    let host = without_userinfo(authority);
    if host.len() < authority.len() {
        out.push_str("REDACTED:REDACTED@");
    }
    write_text(out, host);
}

/// Appends a query with the values of secret keys replaced.
pub(crate) fn write_query(out: &mut String, query: &[u8]) {
    let (mut written, mut start) = (0, 0);
    while start < query.len() {
        let end = find(b'&', &query[start..]).map_or(query.len(), |len| start + len);
        let pair = &query[start..end];
        if let Some(equals) = find(b'=', pair).filter(|equals| is_secret(&pair[..*equals])) {
            write_text(out, &query[written..=start + equals]);
            out.push_str("REDACTED");
            written = end;
        }
        start = end + 1;
    }
    write_text(out, &query[written..]);
}

/// Appends bytes as text; what is not UTF-8 becomes U+FFFD.
pub(crate) fn write_text(out: &mut String, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return out.push_str(text);
    }
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Whether a key is secret as a whole, in lower case without `-`, `_` and `.`.
fn is_secret_word(plain: &[u8]) -> bool {
    matches!(
        plain,
        b"auth"
            | b"authorization"
            | b"code"
            | b"jwt"
            | b"key"
            | b"pass"
            | b"pin"
            | b"pwd"
            | b"sas"
            | b"session"
            | b"sessionid"
            | b"sid"
            | b"sig"
            | b"ticket"
    )
}
/// Parts that make any key with them secret.
const SECRET_PARTS: &[&[u8]] =
    &[b"accesskey", b"apikey", b"credential", b"passphrase", b"passwd", b"password", b"privatekey", b"secret", b"signature", b"token"];

/// Length of the shortest of [`SECRET_PARTS`].
const SHORTEST_PART: usize = 5;

/// Whether the value of query key `key`, percent-encoded or not, is a secret by its name.
fn is_secret(key: &[u8]) -> bool {
    let mut plain = [0; 64];
    let mut len = 0;
    let mut rest = key;
    while let [byte, tail @ ..] = rest {
        let (byte, tail) = match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => (hex(*high) << 4 | hex(*low), tail),
            _ => (*byte, tail),
        };
        rest = tail;
        if !matches!(byte, b'-' | b'_' | b'.') && len < plain.len() {
            plain[len] = byte.to_ascii_lowercase();
            len += 1;
        }
    }
    let plain = &plain[..len];
    is_secret_word(plain) || (0..len.saturating_sub(SHORTEST_PART - 1)).any(|at| begins_secret(&plain[at..]))
}

/// Whether `text` begins with a part that makes a key secret.
fn begins_secret(text: &[u8]) -> bool {
    matches!(text[0], b'a' | b'c' | b'p' | b's' | b't') && SECRET_PARTS.iter().any(|part| text.starts_with(part))
}

fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        write(&mut out);
        out
    }

    #[test]
    fn targets_are_split() {
        let parts = |target: &str| {
            let url = Url::parse(target.as_bytes());
            let text = |bytes: Option<&[u8]>| bytes.map_or("-".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned());
            [text(url.scheme), text(url.authority), text(Some(url.path)), text(url.query)].join(" ")
        };
        assert_eq!(parts("/a/b?c=d?e#f"), "- - /a/b c=d?e");
        assert_eq!(parts("http://u:p@h:1/a?b"), "http u:p@h:1 /a b");
        assert_eq!(parts("https://h?b"), "https h  b");
        assert_eq!(parts("/to?u=http://h/"), "- - /to u=http://h/");
    }

    #[test]
    fn hosts_and_ports_are_split() {
        assert_eq!(host_and_port(b"a.example"), (&b"a.example"[..], None));
        assert_eq!(host_and_port(b"u:p@a.example:8080"), (&b"a.example"[..], Some(8080)));
        assert_eq!(host_and_port(b"[::1]:80"), (&b"::1"[..], Some(80)));
        assert_eq!(host_and_port(b"::1"), (&b"::1"[..], None));
        assert_eq!(host_and_port(b"h:99999"), (&b"h"[..], None));
        assert_eq!(host_and_port(b"h:+1"), (&b"h"[..], None));
    }

    #[test]
    fn secrets_are_replaced_by_key() {
        let query = |text: &str| written(|out| write_query(out, text.as_bytes()));
        assert_eq!(query("a=1&access_token=x&b"), "a=1&access_token=REDACTED&b");
        assert_eq!(query("X-Amz-Signature=abc&sig=1&Pass%77ord=p"), "X-Amz-Signature=REDACTED&sig=REDACTED&Pass%77ord=REDACTED");
        assert_eq!(query("keyword=1&design=2&monkey=3&coder=4&=&&"), "keyword=1&design=2&monkey=3&coder=4&=&&");
        for part in SECRET_PARTS {
            assert!(is_secret(&[b"x", *part, b"y"].concat()) && is_secret(part) && part.len() >= SHORTEST_PART);
        }
        assert_eq!(written(|out| write_authority(out, b"u:p@h")), "REDACTED:REDACTED@h");
    }
}
