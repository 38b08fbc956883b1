//! A filter that tells at once that a template has nothing in common with any pattern.
//! Must never say "unfamiliar" of a template that a pattern covers or could merge with.
//!
//! Patterns that cover or merge share two constant words at least, so a template with fewer known words need not be
//! compared with any. Under a flood of new words this is what keeps the table fast.

use crate::hash;
use crate::template::Slot;

/// Bits of the filter; a full table of eight-word patterns sets 3 % of them.
const BITS: usize = 1 << 16;
/// Constant words that covering and merging patterns share.
const SHARED: usize = 2;

/// A Bloom filter (one hash) of the words of all patterns.
#[derive(Debug)]
pub(super) struct Familiar {
    words: Box<[u64]>,
}

impl Default for Familiar {
    fn default() -> Self {
        Self { words: vec![0; BITS / 64].into_boxed_slice() }
    }
}

impl Familiar {
    /// Adds a pattern's words. They stay: a word too many costs time, a missing one would cost a merge.
    pub(super) fn add(&mut self, slots: &[Slot]) {
        for (place, bit) in positions(slots) {
            self.words[place] |= bit;
        }
    }

    /// Whether a template can have to do with a known pattern.
    pub(super) fn knows(&self, slots: &[Slot]) -> bool {
        let (mut words, mut known) = (0usize, 0usize);
        for (place, bit) in positions(slots) {
            words += 1;
            known += usize::from(self.words[place] & bit != 0);
        }
        known >= SHARED.min(words)
    }

    /// Whether a word is one of them.
    pub(super) fn has(&self, word: Slot) -> bool {
        positions(&[word]).any(|(place, bit)| self.words[place] & bit != 0)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }
}

fn positions(slots: &[Slot]) -> impl Iterator<Item = (usize, u64)> {
    slots.iter().filter(|slot| slot.is_word()).map(|slot| {
        let bit = (hash::mix(0, slot.as_u64()) as usize) % BITS;
        (bit / 64, 1u64 << (bit % 64))
    })
}
