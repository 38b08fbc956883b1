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
    fn length_and_order_count() {
        assert_ne!(of(b"a"), of(b"a\0"));
        assert_ne!(of(b"ab"), of(b"ba"));
        assert_ne!(of(b"12345678"), of(b"12345678\0"));
    }
}
