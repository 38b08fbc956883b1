//! Searches in short texts, eight bytes at a time: message heads are many short lines, for which a call to a vectorised
//! search costs more than the search itself.

/// Bytes after which the vectorised search is faster.
const NEAR: usize = 64;
const LOW: u64 = u64::from_ne_bytes([1; 8]);
const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);

/// Bytes of a little-endian word as flags in their highest bits. The lowest flag is right; those above it may not be.
fn equal(word: u64, byte: u8) -> u64 {
    let differs = word ^ (LOW * u64::from(byte));
    differs.wrapping_sub(LOW) & !differs & HIGH
}

/// Flags of the controls and spaces in `word`, as in [`equal`].
fn hidden(word: u64) -> u64 {
    word.wrapping_sub(LOW * 0x21) & !word & HIGH
}

fn first(flags: u64) -> usize {
    flags.trailing_zeros() as usize / 8
}

/// Index of the first `byte`.
pub(super) fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    let (near, far) = bytes.split_at(bytes.len().min(NEAR));
    let (words, tail) = near.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let found = equal(u64::from_le_bytes(*word), byte);
        if found != 0 {
            return Some(i * 8 + first(found));
        }
    }
    if far.is_empty() {
        return tail.iter().position(|other| *other == byte).map(|at| near.len() - tail.len() + at);
    }
    memchr::memchr(byte, far).map(|at| NEAR + at)
}

/// Length of the name in front of the first `:`: visible ASCII only, and not empty.
pub(super) fn name_before_colon(bytes: &[u8]) -> Option<usize> {
    let (words, tail) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let colon = equal(word, b':');
        let before = colon.isolate_lowest_one().wrapping_sub(1);
        if (hidden(word) | word & HIGH) & before != 0 {
            return None;
        }
        if colon != 0 {
            return Some(i * 8 + first(colon)).filter(|len| *len > 0);
        }
    }
    let start = bytes.len() - tail.len();
    let end = tail.iter().position(|byte| !byte.is_ascii_graphic() || *byte == b':')?;
    (tail[end] == b':' && start + end > 0).then_some(start + end)
}

/// Length of what comes before the first control or space.
pub(super) fn visible(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let odd = hidden(word) | equal(word, 0x7f);
        if odd != 0 {
            return i * 8 + first(odd);
        }
    }
    words.len() * 8 + tail.iter().take_while(|byte| **byte > b' ' && **byte != 0x7f).count()
}

/// Whether no byte is a control or a space.
pub(super) fn is_visible(bytes: &[u8]) -> bool {
    visible(bytes) == bytes.len()
}

/// Length of what `a` and `b` begin with alike.
pub(super) fn common(a: &[u8], b: &[u8]) -> usize {
    let blocks = common_chunks::<32>(a, b);
    let words = blocks + common_chunks::<8>(&a[blocks..], &b[blocks..]);
    words + common_chunks::<1>(&a[words..], &b[words..])
}

/// Length of the chunks of `N` bytes that `a` and `b` begin with alike.
fn common_chunks<const N: usize>(a: &[u8], b: &[u8]) -> usize {
    a.as_chunks::<N>().0.iter().zip(b.as_chunks::<N>().0).take_while(|(a, b)| a == b).count() * N
}

/// Whether `word` is `lower`, which is in lower case and has only letters and `-`, in any case.
pub(super) fn is_word<const N: usize>(word: &[u8], lower: &[u8; N]) -> bool {
    let Ok(word) = <&[u8; N]>::try_from(word) else { return false };
    word.iter().zip(lower).fold(0, |differs, (a, b)| differs | ((a | 0x20) ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn searches_find_what_a_loop_finds(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), b' '..b'~'], 0..150), byte: u8) {
            prop_assert_eq!(find(byte, &bytes), bytes.iter().position(|other| *other == byte));
            let colon = bytes.iter().position(|other| *other == b':');
            let name = colon.filter(|at| *at > 0 && bytes[..*at].iter().all(u8::is_ascii_graphic));
            let may_be_del = colon.is_some_and(|at| bytes[..at].contains(&0x7f));
            prop_assert!(name_before_colon(&bytes) == name || may_be_del);
            let hidden = bytes.iter().position(|other| *other <= b' ' || *other == 0x7f);
            prop_assert_eq!(visible(&bytes), hidden.unwrap_or(bytes.len()));
            prop_assert_eq!(is_visible(&bytes), hidden.is_none());
        }

        #[test]
        fn what_is_common_ends_at_the_first_difference(text in proptest::collection::vec(any::<u8>(), 0..80), at: usize, longer in 0..9usize) {
            prop_assert_eq!(common(&text, &[&text[..], &vec![0; longer]].concat()), text.len());
            if !text.is_empty() {
                let at = at % text.len();
                let mut other = text.clone();
                other[at] ^= 1;
                prop_assert_eq!(common(&text, &other), at);
            }
        }
    }

    #[test]
    fn words_are_equal_in_any_case() {
        assert!(is_word(b"Content-LENGTH", b"content-length"));
        for other in [&b"content-lengt"[..], b"content-lengthy", b"content_length", b"content=length"] {
            assert!(!is_word(other, b"content-length"));
        }
    }
}
