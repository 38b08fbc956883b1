//! What the words that differ at one place of otherwise equal templates have in common, and so how many different ones it takes to
//! make a variable of the place. Must stay a function of the templates and of what all patterns tell about words.

use crate::template::{Slot, Template};

/// What all patterns tell about words.
pub(crate) trait Vocabulary {
    /// Whether a word varies in some pattern.
    fn varies(&self, word: Slot) -> bool;
    /// Whether a value stands behind a word in some pattern.
    fn announces(&self, word: Slot) -> bool;
}

/// The distinct words that make a variable of a place whose words name states, what is done, or keys.
const STATES: usize = 12;
/// The distinct words that make a variable of the word a sentence begins with.
const FIRST: usize = 7;
/// The distinct words that make a variable of a place although one word alone agrees: `(root) CMD (/a/b)`.
const LONELY: usize = 6;
/// The distinct words that make a variable of a place whose words vary elsewhere.
const VALUES: usize = 2;

/// Counts of the words at one place by what tells values from the text of a statement.
#[derive(Default)]
pub(crate) struct Evidence {
    total: usize,
    /// In capitals, as states are.
    capitals: usize,
    /// Participles: what is or was done.
    participles: usize,
    /// Of the form of an identifier.
    identifiers: usize,
    /// Alone in brackets.
    enclosed: usize,
    /// All that stands in square brackets, or behind a colon at the end of the message or in front of a comma.
    slotted: usize,
    /// Behind a preposition or a colon.
    announced: usize,
    /// Behind a word that has values behind it in other patterns.
    named: usize,
    /// Values in other patterns.
    values: usize,
    /// Beside values by form.
    beside_values: usize,
    /// The word that a sentence begins with.
    first: usize,
    /// Words of the statement by their grammar: verbs and keys of values.
    fixed: usize,
    /// Articles, prepositions and the like, which no value is.
    grammar: usize,
}

impl Evidence {
    /// Of the words that the templates of a group have at a place.
    pub(crate) fn of<'a>(place: usize, group: impl Iterator<Item = &'a Template>, vocabulary: &dyn Vocabulary) -> Self {
        let mut evidence = Self::default();
        for template in group.filter(|template| template.slots()[place].is_word()) {
            evidence.add(place, template, vocabulary);
        }
        evidence
    }

    fn add(&mut self, place: usize, template: &Template, vocabulary: &dyn Vocabulary) {
        let count = |holds: bool| usize::from(holds);
        let announced = template.word_before(place).is_some_and(|word| vocabulary.announces(word));
        self.total += 1;
        self.capitals += count(template.is_capitals(place));
        self.participles += count(template.is_participle(place));
        self.identifiers += count(template.is_identifier(place));
        self.enclosed += count(template.is_enclosed(place));
        self.slotted += count(template.is_slotted(place));
        self.announced += count(template.is_announced(place));
        self.named += count(announced);
        self.values += count(vocabulary.varies(template.slots()[place]));
        self.beside_values += count(template.slots().contains(&Slot::VARIABLE));
        self.first += count(template.begins_sentence(place));
        self.fixed += count(template.is_key(place) || template.is_verb(place));
        self.grammar += count(template.is_grammar(place));
    }

    fn mostly(&self, count: usize) -> bool {
        count * 2 > self.total
    }

    fn names_states(&self) -> bool {
        self.mostly(self.capitals) || self.participles * 4 > self.total * 3
    }

    /// The distinct words that make a variable of the place, where `words_left` agree and `open` places differ.
    pub(crate) fn needed(&self, words_left: usize, open: usize) -> usize {
        if self.grammar > 0 || words_left == 0 {
            return usize::MAX;
        }
        if words_left == 1 {
            let likely = self.mostly(self.enclosed) || self.mostly(self.announced) || self.beside_values > 0 && self.first == 0;
            return if likely && open == 1 { LONELY } else { usize::MAX };
        }
        let likely = self.mostly(self.announced) || self.mostly(self.identifiers) || self.mostly(self.enclosed);
        let base = match open {
            1 if likely || words_left > 3 => 3,
            1 | 2 => 4,
            _ => 6,
        };
        if open == 1 && self.fixed == 0 && self.participles == 0 && self.slotted == self.total {
            return VALUES;
        }
        if self.fixed > 0 || self.names_states() {
            STATES
        } else if self.first > 0 {
            FIRST
        } else if self.mostly(self.values) {
            VALUES
        } else if self.mostly(self.named) {
            if words_left == 2 { VALUES + 1 } else { VALUES }
        } else {
            base
        }
    }
}
