//! Finds where the head of a message ends: the part behind which any text may follow, `could not open the file <*>: `.
//! Must stay a function of the message alone.

use crate::grammar;
use crate::hash;
use crate::signature;
use crate::template::Slot;

/// Words of prose in front of a colon that make them the head of a message.
const PROSE: u32 = 3;
/// Words of prose in the clause in front of a colon, if they say that something failed or was done.
const REASONED: u32 = 2;

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// The reason or the result of what the head reports: a text.
    Reason,
    /// A text, or the rest of the statement.
    Unknown,
}

/// The part of a message in front of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// How many slots it has.
    pub(crate) slots: usize,
    /// Equal for heads that differ in words only.
    pub(crate) layout: u64,
    /// What follows.
    pub(crate) tail: Tail,
}

impl Head {
    /// The hash of this head of `slots`.
    pub(crate) fn hash(self, slots: &[Slot]) -> u64 {
        slots.iter().take(self.slots).fold(self.layout, |hash, slot| hash::mix(hash, slot.as_u64()))
    }
}

/// The part of the punctuation between two words that ends a head: up to a colon and a space, which one mark may precede.
pub(crate) fn head_end(glue: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memmem::find(glue, b": ").filter(|colon| *colon <= 1)?;
    glue.get(..colon + 2)
}

/// What the word before says about what follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Before {
    #[default]
    Nothing,
    /// `with`, in front of `error`.
    With,
    /// `due`, in front of `to`.
    Due,
    /// `with error`, `due to`: a reason follows.
    Reason,
    /// A past participle.
    Done,
    /// The type of an exception, in front of its message.
    Exception,
}

impl Before {
    fn then(self, word: &[u8]) -> Self {
        match (self, word) {
            (Self::With, b"error") | (Self::Due, b"to") => Self::Reason,
            (_, b"with") => Self::With,
            (_, b"due") => Self::Due,
            _ if signature::is_exception_type(word) => Self::Exception,
            _ if grammar::is_past_participle(word) => Self::Done,
            _ => Self::Nothing,
        }
    }
}

/// A part of a message that is added.
pub(crate) struct Part<'a> {
    pub(crate) slot: Slot,
    pub(crate) word: &'a [u8],
    /// The punctuation in front of it.
    pub(crate) glue: &'a [u8],
    /// How many parts are in front of it.
    pub(crate) index: usize,
    /// The layout in front of the glue.
    pub(crate) layout: u64,
}

/// Follows a message part by part until its head ends.
#[derive(Debug, Default)]
pub(crate) struct HeadFinder {
    /// Words of prose so far, and those in the last clause.
    prose: u32,
    clause: u32,
    before: Before,
    /// Brackets that are open, and that were where the head ended: a head within brackets that close in front of
    /// a word is none, unless an exception follows it.
    depth: usize,
    head_depth: usize,
    /// The brackets in which the head ended have closed.
    left: bool,
    head: Option<Head>,
}

impl HeadFinder {
    /// The head so far.
    pub(crate) fn head(&self) -> Option<Head> {
        self.head
    }

    /// Follows the brackets of punctuation.
    pub(crate) fn glue(&mut self, glue: &[u8]) {
        for byte in glue {
            match byte {
                b'(' | b'[' | b'{' => self.depth += 1,
                b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            self.left |= self.depth < self.head_depth;
        }
    }

    /// Notes where the head ends, if it does in front of a part: behind a colon, at the type of an exception, or behind what
    /// announces a reason. `failed` tells whether a word in front of the part reports a failure; it is asked only where that counts.
    pub(crate) fn part(&mut self, part: &Part<'_>, failed: impl FnOnce() -> bool) {
        if self.head.is_some() && self.head_depth == 0 {
            return;
        }
        if std::mem::take(&mut self.left) {
            self.head = None;
            self.head_depth = 0;
        }
        if self.head.is_none() {
            let exception = signature::is_exception_type(part.word);
            self.head = self.end_before(part, exception, failed);
            self.head_depth = if exception || self.head.is_none() { 0 } else { self.depth };
        }
        self.read(part);
    }

    /// `exception` tells whether the part is the type of one.
    fn end_before(&self, part: &Part<'_>, exception: bool, failed: impl FnOnce() -> bool) -> Option<Head> {
        let typed = exception && part.glue == b" " && self.prose + 1 >= PROSE;
        let announced = part.glue == b" " && self.prose >= PROSE && self.before == Before::Reason;
        let open = part.slot == Slot::REST;
        let colon = head_end(part.glue);
        let text = colon.is_some() && part.slot.is_word() && !exception;
        let clause = text && self.clause >= REASONED && (self.before == Before::Done || failed());
        let reported = clause || text && self.before == Before::Exception;
        let end = match colon {
            Some(end) if self.prose >= PROSE || reported || open => end,
            _ if typed || announced || open => part.glue,
            _ => return None,
        };
        let tail = if announced || reported { Tail::Reason } else { Tail::Unknown };
        Some(Head { slots: part.index, layout: hash::mix_bytes(part.layout, end), tail })
    }

    fn read(&mut self, part: &Part<'_>) {
        if part.glue.contains(&b':') {
            self.clause = 0;
        }
        let spaced = part.index == 0 || matches!(part.glue, b" " | b") " | b": " | b" (" | b" [" | b"] ");
        let prose = u32::from(part.slot != Slot::VARIABLE && spaced);
        self.prose += prose;
        self.clause += prose;
        self.before = self.before.then(part.word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    fn head(message: &str) -> Option<(usize, Tail)> {
        Template::of(&[message.as_bytes()]).head().map(|head| (head.slots, head.tail))
    }

    #[test]
    fn what_follows_a_failure_or_what_was_done_is_a_reason() {
        assert_eq!(head("parse failed: no such host"), Some((2, Tail::Reason)));
        assert_eq!(head("payment 5 of bob declined: card expired"), Some((5, Tail::Reason)));
        assert_eq!(head("session 5 ended with error no such host"), Some((5, Tail::Reason)));
        assert_eq!(head("stopped the transfer due to high load"), Some((5, Tail::Reason)));
    }

    #[test]
    fn other_heads_need_more_words_and_may_be_followed_by_anything() {
        assert_eq!(head("state of the pump: on fire"), Some((4, Tail::Unknown)));
        assert_eq!(head("pump state: on fire"), None);
        assert_eq!(head("error: on fire"), None);
        assert_eq!(head("mailer: reject: on fire"), None);
    }

    #[test]
    fn a_head_in_brackets_that_close_is_none() {
        assert_eq!(head("login was refused (tls: bad certificate): bob at home"), Some((6, Tail::Reason)));
        assert_eq!(head("login of today (tls: bad certificate) [bob] at home"), None);
    }

    #[test]
    fn values_behind_a_colon_are_no_reason() {
        assert_eq!(head("upload aborted: 'shop'"), None);
        assert_eq!(head("upload aborted: disk full"), Some((2, Tail::Reason)));
    }
}
