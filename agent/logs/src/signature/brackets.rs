//! Tells the lists and maps that stand in brackets, which are one value whatever their length.
//! Must look at each byte a bounded number of times.

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
