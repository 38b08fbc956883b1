//! The words that were learned to vary, in whatever pattern: users, hosts and queues are named by many statements.
//! Must stay bounded: when it is full, no further word is remembered.

use super::familiar::Familiar;
use crate::template::{Slot, Template};

/// Most words that are remembered; more would make a value of every word.
const MAX_WORDS: u32 = 4096;

/// A set of words that vary.
#[derive(Debug)]
pub(super) struct Values {
    words: Familiar,
    left: u32,
    /// A word of other patterns was added since they were compared.
    news: bool,
}

impl Default for Values {
    fn default() -> Self {
        Self { words: Familiar::default(), left: MAX_WORDS, news: false }
    }
}

impl Values {
    /// Whether a word varies in some pattern.
    pub(super) fn has(&self, word: Slot) -> bool {
        self.words.has(word)
    }

    /// Whether a template has such a word.
    pub(super) fn are_in(&self, template: &Template) -> bool {
        template.slots().iter().any(|slot| slot.is_word() && self.has(*slot))
    }

    /// Notes the words of `special` that are a variable of `general`; `patterns` are the words of all patterns.
    pub(super) fn note(&mut self, special: &Template, general: &Template, patterns: &Familiar) {
        if special.slots().len() != general.slots().len() {
            return;
        }
        for (word, slot) in special.slots().iter().zip(general.slots()) {
            if word.is_word() && *slot == Slot::LEARNED && self.left > 0 && !self.has(*word) {
                self.words.add(&[*word]);
                self.left -= 1;
                self.news |= patterns.has(*word);
            }
        }
    }

    /// Whether patterns have to be compared anew; asked once.
    pub(super) fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.words.bytes()
    }
}
