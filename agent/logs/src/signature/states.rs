//! States between which something changes are values: `Idle -> Active`, `moved from idle to active`.
//! Must never take a sentence for that: what follows has to be one word, and no participle.

use super::{Last, Scanner, Sink, core_end};
use crate::bytes::{ADDRESS, ANY_LETTER, SLASH, trim_end};
use crate::grammar;

impl<S: Sink> Scanner<'_, '_, S> {
    /// An arrow to another word behind the one that ends at `end`: both are states.
    #[inline]
    pub(super) fn transition(&mut self, end: usize) -> bool {
        let arrow = self.text.get(end + 1) == Some(&b'-') && self.text[end..].starts_with(b" -> ");
        let Some(end) = (if arrow { self.state_at(end + 4) } else { None }) else { return false };
        self.variable(Last::Variable);
        self.at = end;
        true
    }

    /// `changed from a to b`: two states behind a word that says that something changes.
    #[inline(never)]
    pub(super) fn change(&mut self, from: usize) -> bool {
        let Some(first) = self.state_at(from + 1).filter(|first| self.text[*first..].starts_with(b" to ")) else { return false };
        let Some(second) = self.state_at(first + 4) else { return false };
        let before = trim_end(&self.text[..from - b"from".len()]);
        let verb = &before[before.iter().rposition(|byte| *byte == b' ').map_or(0, |blank| blank + 1)..];
        if !grammar::tells_change(verb) {
            return false;
        }
        self.word(b"from");
        self.glue.space();
        self.variable(Last::Variable);
        self.glue.space();
        self.word(b"to");
        self.glue.space();
        self.variable(Last::Variable);
        self.at = second;
        true
    }

    /// Where a word that may name a state ends.
    fn state_at(&self, at: usize) -> Option<usize> {
        self.text.get(at)?;
        let (end, flags) = self.token_run(at);
        let end = core_end(self.text, at, end);
        let word = &self.text[at..end];
        let is_name = end > at && flags & ANY_LETTER != 0 && flags & (ADDRESS | SLASH) == 0;
        let ends = self.text.get(end).is_none_or(|byte| matches!(byte, b' ' | b',' | b'.' | b';' | b')' | b']'));
        let is_prose = grammar::is_function_word(word) || grammar::is_participle(word) && word[0].is_ascii_lowercase();
        (is_name && ends && !is_prose).then_some(end)
    }
}
