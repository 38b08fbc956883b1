//! Keys and words of key-value stores as text that may leave the node: keys by their pattern, values not at all.

use super::Cx;
use crate::flow::Loss;
use crate::model::Exchange;
use crate::model::semconv as s;

/// Longest part of a key that is taken for a name.
const MAX_NAME: usize = 32;
/// Parts of only hexadecimal digits from this length on are ids.
const MIN_HEX: usize = 8;

/// Appends the pattern of `key`: parts that look like names stay, all others become `?`.
///
/// `user:1234:profile` is `user:?:profile`. A part with a digit, of hexadecimal digits, very long or not ASCII is no
/// name; neither is any part of an e-mail address.
pub(super) fn write_pattern(out: &mut String, key: &[u8]) {
    if key.contains(&b'@') || !key.is_ascii() {
        out.push('?');
        return;
    }
    let is_separator = |byte: &u8| matches!(byte, b':' | b'/' | b'.' | b'-' | b'_' | b'|' | b'{' | b'}' | b'#' | b',' | b'*');
    let mut rest = key;
    while !rest.is_empty() {
        let end = rest.iter().position(is_separator).unwrap_or(rest.len());
        let (part, tail) = rest.split_at(end);
        match std::str::from_utf8(part) {
            Ok(name) if is_name(part) => out.push_str(name),
            _ if out.ends_with("?-") || out.ends_with("?_") => drop(out.pop()),
            _ => out.push('?'),
        }
        let Some((&separator, tail)) = tail.split_first() else { return };
        out.push(char::from(separator));
        rest = tail;
    }
}

fn is_name(part: &[u8]) -> bool {
    part.len() <= MAX_NAME && part.iter().all(u8::is_ascii_alphabetic) && !(part.len() >= MIN_HEX && part.iter().all(u8::is_ascii_hexdigit))
}

/// Appends `bytes` as they are; what cannot be printed is escaped.
pub(super) fn write_raw(out: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
        }
        for byte in chunk.invalid() {
            out.extend(std::ascii::escape_default(*byte).map(char::from));
        }
    }
}

/// Sets `db.query.text` by writing it, cut at [`super::Options::text_limit`].
pub(super) fn set_query_text(exchange: &mut Exchange, cx: &mut Cx<'_>, write: impl FnOnce(&mut String)) {
    let limit = cx.options.text_limit;
    let mut is_cut = false;
    exchange.attrs.set_with(s::DB_QUERY_TEXT, |out| {
        let start = out.len();
        write(out);
        if out.len() - start > limit {
            is_cut = true;
            out.truncate(out.floor_char_boundary(start + limit));
        }
    });
    if is_cut {
        exchange.completeness.request_cut = true;
        cx.count(Loss::Text, 1);
    }
}

/// Sets `db.response.status_code` and `error.type`, which the conventions want equal.
pub(super) fn set_error(exchange: &mut Exchange, code: &str) {
    exchange.attrs.set_str(s::DB_RESPONSE_STATUS_CODE, code);
    exchange.error = Some(code.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_their_names_and_lose_their_ids() {
        let pattern = |key: &str| {
            let mut out = String::new();
            write_pattern(&mut out, key.as_bytes());
            out
        };
        for (key, expected) in [
            ("user:1234:profile", "user:?:profile"),
            ("session:deadbeefcafe", "session:?"),
            ("cart/550e8400-e29b-41d4-a716-446655440000/items", "cart/?/items"),
            ("{tenant7}.queue_jobs", "{?}.queue_jobs"),
            ("mail:ann@example.org", "?"),
            ("größe", "?"),
            ("", ""),
            ("config", "config"),
        ] {
            assert_eq!(pattern(key), expected, "{key}");
        }
    }
}
