//! Tells the lists and maps that stand in brackets, which are one value whatever their length.
//! Must look at each byte a bounded number of times.

use crate::bytes::run_end;

/// The length of the group of brackets that `text` begins with, which hold brackets in pairs.
pub(super) fn bracketed(text: &[u8]) -> Option<usize> {
    let mut depth = 0usize;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Whether what stands in square brackets is elements with commas between them, maps, or pairs such as `a:1 b:2`.
pub(super) fn is_list(inner: &[u8]) -> bool {
    if inner.first() == Some(&b'{') && inner.last() == Some(&b'}') {
        return true;
    }
    let separator = if memchr::memchr(b',', inner).is_some() { b',' } else { b' ' };
    let is_element = |element: &[u8]| !element.is_empty() && !element.contains(&b' ') && (separator == b',' || is_pair(element));
    inner.split(|byte| *byte == separator).map(crate::bytes::trim).all(is_element) && (separator == b',' || inner.contains(&b' '))
}

/// Whether a word is a key and its value, such as `name:x`.
pub(super) fn is_pair(word: &[u8]) -> bool {
    memchr::memchr(b':', word).is_some_and(|colon| colon > 0 && colon + 1 < word.len())
}

/// Longest address in brackets: IPv6 with a mapped address and a zone.
const MAX_ADDRESS: usize = 64;

/// An address in brackets at the start of a text.
pub(super) struct Address {
    /// With the brackets and the port.
    pub(super) length: usize,
    pub(super) has_port: bool,
}

/// `[address]` or `[address]:port` (RFC 3986 section 3.2.2) at the start of `text`; programs write IPv4 so, too, with a port.
pub(super) fn address(text: &[u8]) -> Option<Address> {
    let close = memchr::memchr(b']', &text[..text.len().min(MAX_ADDRESS)])?;
    let (address, zone) = match memchr::memchr(b'%', &text[1..close]) {
        Some(percent) => (&text[1..1 + percent], &text[2 + percent..close]),
        None => (&text[1..close], &b""[..]),
    };
    let count = |mark: u8| memchr::memchr_iter(mark, address).count();
    let port = run_end(text, close + 2, |byte| byte.is_ascii_digit());
    let has_port = text.get(close + 1) == Some(&b':') && port > close + 2;
    let is_address = (count(b':') >= 2 || has_port && count(b'.') == 3)
        && address.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
        && zone.iter().all(u8::is_ascii_alphanumeric);
    is_address.then_some(Address { length: if has_port { port } else { close + 1 }, has_port })
}
