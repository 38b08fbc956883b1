//! The hash behind pattern ids. It is written out here because ids outlive processes and releases:
//! it must never change, depend on the machine, or take a random seed.

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
/// Where the hash of a whole text starts: not where an empty one would give 0.
const SEED: u64 = 0x2545_f491_4f6c_dd1d;

/// Mixes one 64-bit word into a running hash.
#[inline]
pub(crate) fn mix(state: u64, word: u64) -> u64 {
    let product = u128::from(state ^ word ^ MULTIPLIER) * 0xd6e8_feb8_6659_fd93;
    (product as u64) ^ ((product >> 64) as u64)
}

/// Mixes `bytes` into a running hash, eight bytes at a time, then the length.
#[inline]
pub(crate) fn mix_bytes(mut state: u64, bytes: &[u8]) -> u64 {
    let (chunks, tail) = bytes.as_chunks::<8>();
    for chunk in chunks {
        state = mix(state, u64::from_le_bytes(*chunk));
    }
    let word = tail.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    mix(state, word ^ (bytes.len() as u64) << 56)
}

/// As [`mix_bytes`] for hashes that live in memory only: other values, faster for words of a few bytes.
#[inline]
pub(crate) fn mix_short(state: u64, bytes: &[u8]) -> u64 {
    let length = bytes.len() as u64;
    let (word, state) = match bytes {
        [] => (0, state),
        [only] => (u64::from(*only), state),
        [first, .., last] if bytes.len() < 4 => (u64::from(*first) | u64::from(bytes[1]) << 8 | u64::from(*last) << 16, state),
        _ => match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            (Some(_), Some(last)) => {
                let (chunks, _) = bytes[..bytes.len() - 1].as_chunks::<8>();
                (u64::from_le_bytes(*last), chunks.iter().fold(state, |state, chunk| mix(state, u64::from_le_bytes(*chunk))))
            }
            _ => {
                let half = |part: Option<&[u8; 4]>| part.map_or(0, |part| u64::from(u32::from_le_bytes(*part)));
                (half(bytes.first_chunk()) | half(bytes.last_chunk()) << 32, state)
            }
        },
    };
    mix(state ^ length.wrapping_mul(MULTIPLIER), word)
}

/// The hash of `bytes`.
#[inline]
pub(crate) fn of(bytes: &[u8]) -> u64 {
    mix_bytes(SEED, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_never_changes_between_releases() {
        assert_eq!(of(b""), of(b""));
        assert_eq!(of(b"user <*> logged in"), 2_785_012_332_365_734_931);
    }

    #[test]
    fn short_hashes_tell_words_apart() {
        let words: Vec<Vec<u8>> = (0..40usize)
            .flat_map(|length| {
                (0..length).map(move |at| {
                    let mut word = vec![b'a'; length];
                    word[at] = b'b';
                    word
                })
            })
            .collect();
        let hashes: std::collections::BTreeSet<u64> = words.iter().map(|word| mix_short(1, word)).collect();
        assert_eq!(hashes.len(), words.len());
        assert_ne!(mix_short(mix_short(0, b"ab"), b"c"), mix_short(mix_short(0, b"a"), b"bc"));
    }

    #[test]
    fn length_and_order_count() {
        assert_ne!(of(b"a"), of(b"a\0"));
        assert_ne!(of(b"ab"), of(b"ba"));
        assert_ne!(of(b"12345678"), of(b"12345678\0"));
    }
}
