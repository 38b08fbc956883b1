//! What a template is like in a few bytes: a look at them tells of most pairs of templates that they have nothing to do with each
//! other. Must never say so of two that have: it is asked in front of comparisons that take a hundred times as long.

use crate::template::Slot;

/// Constant words that templates with a text in between share at least, of which two may have one bit.
const FRAME_WORDS: u32 = 3;

/// What can be seen of a template without looking at its words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outline {
    /// A bit for each constant word, by its hash.
    words: u64,
    /// The first and the last slot.
    ends: (u32, u32),
    /// Slots that are no words.
    values: u16,
    /// Parts between white space.
    fields: u16,
    kind: Kind,
}

/// What any text may stand in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Closed,
    /// A text in the middle.
    Text,
    /// All of the rest.
    Open,
}

impl Outline {
    /// Of the slots of a template with so many fields.
    pub(crate) fn of(slots: &[Slot], fields: usize) -> Self {
        let short = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
        let kind = match slots.last() {
            Some(&Slot::REST) => Kind::Open,
            _ if slots.contains(&Slot::TEXT) => Kind::Text,
            _ => Kind::Closed,
        };
        let end = |slot: Option<&Slot>| slot.map_or(0, |slot| slot.as_u64() as u32);
        Self {
            words: slots.iter().filter(|slot| slot.is_word()).fold(0, |words, slot| words | 1 << (slot.as_u64() >> 58)),
            ends: (end(slots.first()), end(slots.last())),
            values: short(slots.iter().filter(|slot| !slot.is_word()).count()),
            fields: short(fields),
            kind,
        }
    }

    /// Whether all that follows varies.
    pub(crate) fn is_open(self) -> bool {
        self.kind == Kind::Open
    }

    /// Whether two templates may agree but for values: the words that only one of them has are so few that the other's values can
    /// stand for them, they share some, and they differ by `most_apart` fields at most.
    #[inline]
    pub(crate) fn may_unite(self, other: Self, most_apart: u16) -> bool {
        // Counting bits is a call where the machine's baseline has no instruction for it: what costs less comes first.
        if self.words & other.words == 0 || self.fields.abs_diff(other.fields) > most_apart || self.is_open() || other.is_open() {
            return false;
        }
        let stands_for = |values: u16, words: u64| words.count_ones() <= if values == 0 { 0 } else { u32::from(values) + 1 };
        stands_for(other.values, self.words & !other.words) && stands_for(self.values, other.words & !self.words)
    }

    /// Whether two templates may begin and end alike around texts of `most` fields.
    #[inline]
    pub(crate) fn may_frame(self, other: Self, most: u16) -> bool {
        self.ends == other.ends
            && (self.words & other.words).count_ones() >= FRAME_WORDS
            && self.fields.abs_diff(other.fields) < most
            && !self.is_open()
            && !other.is_open()
    }

    /// Whether a template with a text in the middle may describe `special`: all its words are there.
    #[inline]
    pub(crate) fn may_hold(self, special: Self) -> bool {
        self.kind == Kind::Text && self.words & !special.words == 0
    }
}
