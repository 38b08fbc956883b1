//! The words that were learned to vary, in whatever pattern, and the words in front of values: users, hosts and queues are named by
//! many statements.
//! Must stay bounded: when it is full, no further word is remembered.

use super::familiar::Familiar;
use crate::evidence::Vocabulary;
use crate::template::{Slot, Template};

/// Most words that are remembered; more would make a value of every word.
const MAX_WORDS: u32 = 4096;

/// What is known of words.
#[derive(Debug)]
pub(super) struct Values {
    words: Familiar,
    /// Words in front of values.
    announcers: Familiar,
    /// How many more may be remembered.
    left: u32,
    /// Words that were added since the patterns were compared, of those that stand in some.
    news: Vec<Slot>,
}

impl Default for Values {
    fn default() -> Self {
        Self { words: Familiar::default(), announcers: Familiar::default(), left: MAX_WORDS, news: Vec::new() }
    }
}

impl Values {
    /// Notes the words of a message that are a variable of its pattern; `patterns` are the words of all patterns.
    pub(super) fn note(&mut self, message: &[Slot], pattern: &[Slot], patterns: &Familiar) {
        if message.len() != pattern.len() {
            return;
        }
        for (word, slot) in message.iter().zip(pattern) {
            if word.is_word() && *slot == Slot::LEARNED && self.left > 0 && !self.varies(*word) {
                self.words.add(&[*word]);
                self.left -= 1;
                if patterns.has(*word) {
                    self.news.push(*word);
                }
            }
        }
    }

    /// Notes the words in front of the values of a pattern.
    pub(super) fn note_announcers(&mut self, template: &Template) {
        for word in template.announcers() {
            if self.left > 0 && !self.announces(word) {
                self.announcers.add(&[word]);
                self.left -= 1;
                self.news.push(word);
            }
        }
    }

    /// How many words are remembered.
    pub(super) fn len(&self) -> u32 {
        MAX_WORDS - self.left
    }

    /// Words whose patterns have to be compared anew; told once.
    pub(super) fn take_news(&mut self) -> Vec<Slot> {
        std::mem::take(&mut self.news)
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.words.bytes() + self.announcers.bytes()
    }
}

impl Vocabulary for Values {
    fn varies(&self, word: Slot) -> bool {
        self.words.has(word)
    }

    fn announces(&self, word: Slot) -> bool {
        self.announcers.has(word)
    }
}
