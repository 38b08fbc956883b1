//! A signature kept for learning: the words of a message, the punctuation between them, and which places vary.
//! Must stay a pure function of the message: its text is what ids are hashes of.

use crate::grammar;
use crate::hash;
use crate::head::{Head, HeadFinder, Part, head_end};
use crate::outline::Outline;
use crate::signature::{self, PLACEHOLDER, Sink};
use std::fmt;
use std::ops::Range;

/// A pattern's identity: the hash of its template, the same on every node and after every restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatternId(u64);

impl PatternId {
    /// The id of a template.
    pub fn of(template: &str) -> Self {
        Self(hash::of(template.as_bytes()))
    }

    /// The id as a number.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for PatternId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// One place of a template: a constant word by its hash, a variable that the message's form shows, a word or a text that was
/// learned to vary, or all that follows where any text may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(u64);

impl Slot {
    /// A variable by its form.
    pub(crate) const VARIABLE: Self = Self(0);
    /// A word that was learned to vary.
    pub(crate) const LEARNED: Self = Self(1);
    /// The rest of the message, which was learned to vary.
    pub(crate) const REST: Self = Self(4);
    /// One field or more that were learned to vary.
    pub(crate) const TEXT: Self = Self(5);

    /// A constant word.
    pub(crate) fn word(word: &[u8]) -> Self {
        Self(hash::of(word) | 2)
    }

    /// Whether this is a constant word.
    pub(crate) fn is_word(self) -> bool {
        self.0 & 2 != 0
    }

    /// Whether this describes `other`: it is the same, or was learned to vary.
    pub(crate) fn covers(self, other: Self) -> bool {
        self == other || self == Self::LEARNED
    }

    /// The word's hash; a number without its second bit is no word.
    pub(crate) fn as_u64(self) -> u64 {
        self.0
    }
}

/// Longest template kept; a longer message ends in a placeholder.
const MAX_TEXT: usize = 768;

/// A message's parts: `slots[i]` stands behind `glue` i, and the last glue ends the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    slots: Box<[Slot]>,
    /// For each slot, the end of its glue and the end of its word in `text`.
    ends: Box<[(u16, u16)]>,
    text: Box<[u8]>,
    /// The first slot of every field, the parts between white space.
    fields: Box<[u16]>,
    outline: Outline,
    layout: u64,
    head: Option<Head>,
}

impl Template {
    /// The template of the parts, joined by `: `, before anything is learned.
    #[cfg(test)]
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut builder = Builder::default();
        builder.fill(parts);
        builder.finish()
    }

    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// What it is like, for a quick look before it is compared.
    pub(crate) fn outline(&self) -> Outline {
        self.outline
    }

    /// How many fields there are: parts between white space.
    pub(crate) fn fields(&self) -> usize {
        self.fields.len()
    }

    /// The slots of a field.
    pub(crate) fn field(&self, index: usize) -> Range<usize> {
        let start = |index: usize| self.fields.get(index).map_or(self.slots.len(), |slot| usize::from(*slot));
        start(index)..start(index + 1)
    }

    /// The punctuation in front of a field; behind the last one, that at the end.
    pub(crate) fn field_glue(&self, index: usize) -> &[u8] {
        self.glue(self.field(index).start)
    }

    /// Whether a field is the same as one of another template.
    pub(crate) fn field_equals(&self, index: usize, other: &Self, other_index: usize) -> bool {
        let (mine, theirs) = (self.field(index), other.field(other_index));
        self.slots[mine.clone()] == other.slots[theirs.clone()]
            && mine.zip(theirs).skip(1).all(|(mine, theirs)| self.glue(mine) == other.glue(theirs))
    }

    /// Whether a field is the same as one of another template, or has learned variables where that has words.
    pub(crate) fn field_covers(&self, index: usize, other: &Self, other_index: usize) -> bool {
        let (mine, theirs) = (self.field(index), other.field(other_index));
        mine.len() == theirs.len()
            && self.slots[mine.clone()].iter().zip(&other.slots[theirs.clone()]).all(|(mine, theirs)| mine.covers(*theirs))
            && mine.zip(theirs).skip(1).all(|(mine, theirs)| self.glue(mine) == other.glue(theirs))
    }

    /// Whether a field is a `key=value`.
    pub(crate) fn is_keyed(&self, index: usize) -> bool {
        self.field(index).any(|slot| self.is_key(slot))
    }

    /// Whether the word at `index` is the key of a value.
    pub(crate) fn is_key(&self, index: usize) -> bool {
        self.glue(index + 1).first() == Some(&b'=')
    }

    /// Equal for templates that differ in words only.
    pub(crate) fn layout(&self) -> u64 {
        self.layout
    }

    /// The head, if the message has one.
    pub(crate) fn head(&self) -> Option<Head> {
        self.head
    }

    /// Constant words of fields.
    pub(crate) fn words_in(&self, fields: Range<usize>) -> usize {
        fields.flat_map(|field| self.field(field)).filter(|slot| self.slots[*slot].is_word()).count()
    }

    /// The field that stands for any text, if there is one.
    pub(crate) fn text_field(&self) -> Option<usize> {
        let slot = self.slots.iter().position(|slot| *slot == Slot::TEXT)?;
        (0..self.fields()).find(|field| self.field(*field).contains(&slot))
    }

    /// Whether the rest behind the head is a variable.
    pub(crate) fn is_open(&self) -> bool {
        self.outline.is_open()
    }

    /// The template of all messages with this head; `None` if there is no head.
    pub(crate) fn opened(&self) -> Option<Self> {
        let head = self.head?;
        let mut builder = Builder::default();
        let mut left = head.slots + 1;
        self.parts(|slot, glue, word| {
            match left {
                0 => return,
                1 => {
                    builder.glue(head_end(glue).unwrap_or(glue));
                    builder.rest();
                }
                _ => {
                    if !glue.is_empty() {
                        builder.glue(glue);
                    }
                    builder.place(slot, word);
                }
            }
            left -= 1;
        });
        Some(builder.finish())
    }

    /// Whether the word at `index` is written in capitals: the convention for states and enumerations.
    pub(crate) fn is_capitals(&self, index: usize) -> bool {
        let word = self.word_text(index);
        word.len() > 1 && word.iter().all(|byte| !byte.is_ascii_lowercase()) && word.iter().any(u8::is_ascii_uppercase)
    }

    /// Whether the word at `index` has the form of an identifier rather than of prose.
    pub(crate) fn is_identifier(&self, index: usize) -> bool {
        let word = self.word_text(index);
        let inner_capital = word.windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
        inner_capital || word.iter().any(|byte| matches!(byte, b'_' | b'-' | b'/' | b'$' | b'#' | b':'))
    }

    /// Whether the word at `index` stands alone in brackets.
    pub(crate) fn is_enclosed(&self, index: usize) -> bool {
        matches!(self.glue(index).last(), Some(b'(' | b'[')) && matches!(self.glue(index + 1).first(), Some(b')' | b']'))
    }

    /// Whether the word at `index` is all that stands in square brackets or behind a colon: `[main] done`, `state: ready`, `mode: fast, …`.
    pub(crate) fn is_slotted(&self, index: usize) -> bool {
        let behind = self.glue(index + 1);
        let ends = if index + 1 == self.slots.len() { behind.is_empty() } else { matches!(behind.first(), Some(b',' | b';')) };
        match self.glue(index) {
            [.., b'['] => behind.first() == Some(&b']'),
            b": " => index > 0 && ends && self.slots[index - 1].is_word(),
            _ => false,
        }
    }

    /// Whether the word at `index` is what is or was done, rather than to whom.
    pub(crate) fn is_participle(&self, index: usize) -> bool {
        grammar::is_participle(self.word_text(index))
    }

    /// Whether the word at `index` is grammar, which is never a value.
    pub(crate) fn is_grammar(&self, index: usize) -> bool {
        grammar::is_function_word(self.word_text(index))
    }

    /// The word that stands directly in front of a place.
    pub(crate) fn word_before(&self, index: usize) -> Option<Slot> {
        let before = index.checked_sub(1)?;
        let beside = matches!(self.glue(index), b" " | b" (" | b" [" | b" #" | b": ");
        let word = self.slots[before];
        (beside && word.is_word() && !self.is_grammar(before)).then_some(word)
    }

    /// Whether a verb stands at `index`, as the words in front of it tell: `could not open`, `failed to open`.
    pub(crate) fn is_verb(&self, index: usize) -> bool {
        let word =
            |back: usize| index.checked_sub(back).filter(|at| self.glue(at + 1) == b" ").map(|at| self.word_text(at)).unwrap_or_default();
        grammar::introduces_verb(word(1)) || word(1) == b"to" && grammar::takes_infinitive(word(2))
    }

    /// The words that stand directly in front of values.
    pub(crate) fn announcers(&self) -> impl Iterator<Item = Slot> {
        (0..self.slots.len()).filter(|place| !self.slots[*place].is_word()).filter_map(|place| self.word_before(place))
    }

    /// Whether the word at `index` is a preposition.
    pub(crate) fn is_preposition(&self, index: usize) -> bool {
        grammar::is_preposition(self.word_text(index))
    }

    /// Whether what stands in front of the word at `index` makes a value of it likely: a preposition, or a colon behind a name.
    pub(crate) fn is_announced(&self, index: usize) -> bool {
        match (self.glue(index), index.checked_sub(1)) {
            (b" ", Some(before)) => self.is_preposition(before),
            (b": ", Some(_)) => true,
            _ => false,
        }
    }

    /// Whether the word at `index` begins a sentence of several words.
    pub(crate) fn begins_sentence(&self, index: usize) -> bool {
        let behind = index == 0 || self.glue(index).ends_with(b": ");
        behind && self.glue(index + 1).first() == Some(&b' ') && self.is_capitalised(index)
    }

    /// Whether the word at `index` begins with a capital letter and is no identifier: so a sentence begins.
    pub(crate) fn is_capitalised(&self, index: usize) -> bool {
        self.word_text(index).first().is_some_and(u8::is_ascii_uppercase) && !self.is_identifier(index)
    }

    /// The punctuation in front of the slot at `index`; behind the last one, that at the end.
    pub(crate) fn glue(&self, index: usize) -> &[u8] {
        let from = index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |(_, end)| usize::from(*end));
        let to = self.ends.get(index).map_or(self.text.len(), |(glue_end, _)| usize::from(*glue_end));
        self.text.get(from..to).unwrap_or_default()
    }

    fn word_text(&self, index: usize) -> &[u8] {
        let (glue_end, end) = self.ends[index];
        &self.text[usize::from(glue_end)..usize::from(end)]
    }

    /// Makes the words at `places` learned variables.
    pub(crate) fn generalise(&mut self, places: impl IntoIterator<Item = usize>) {
        for place in places {
            if let Some(slot) = self.slots.get_mut(place).filter(|slot| slot.is_word()) {
                *slot = Slot::LEARNED;
            }
        }
        self.outline = Outline::of(&self.slots, self.fields.len());
    }

    /// Calls `each` with every slot, the glue in front of it and its word; returns the glue at the end.
    pub(crate) fn parts(&self, mut each: impl FnMut(Slot, &[u8], &[u8])) -> &[u8] {
        let mut from = 0usize;
        for (slot, (glue_end, end)) in self.slots.iter().zip(&self.ends) {
            each(*slot, &self.text[from..usize::from(*glue_end)], &self.text[usize::from(*glue_end)..usize::from(*end)]);
            from = usize::from(*end);
        }
        &self.text[from..]
    }

    /// The bytes held, for memory accounting.
    pub(crate) fn bytes(&self) -> usize {
        let slots = self.slots.len() * (size_of::<Slot>() + size_of::<(u16, u16)>());
        size_of::<Self>() + slots + self.fields.len() * size_of::<u16>() + self.text.len()
    }

    /// An upper bound of the length of [`Self::text`].
    pub(crate) fn text_bytes(&self) -> usize {
        self.text.len() + self.slots.len() * PLACEHOLDER.len()
    }

    /// The canonical text; runs of placeholders are one.
    pub(crate) fn text(&self) -> String {
        let mut out: Vec<u8> = Vec::with_capacity(self.text.len() + 8);
        let mut after_variable = false;
        let tail = self.parts(|slot, glue, word| {
            let variable = !slot.is_word();
            if variable && after_variable && matches!(glue, b" " | b"" | b"-" | b", " | b"," | b" - ") {
                return;
            }
            out.extend_from_slice(glue);
            out.extend_from_slice(if variable { PLACEHOLDER.as_bytes() } else { word });
            after_variable = variable;
        });
        out.extend_from_slice(tail);
        String::from_utf8_lossy(&out).into_owned()
    }
}

/// Collects the parts of a template.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    slots: Vec<Slot>,
    ends: Vec<(u16, u16)>,
    text: Vec<u8>,
    fields: Vec<u16>,
    layout: u64,
    /// The layout in front of the last glue.
    layout_before_glue: u64,
    head: HeadFinder,
    full: bool,
}

impl Builder {
    fn place(&mut self, slot: Slot, word: &[u8]) {
        if self.full {
            return;
        }
        let glue_end = self.text.len();
        self.full = glue_end + word.len() > MAX_TEXT;
        let (slot, word) = if self.full { (Slot::VARIABLE, &b""[..]) } else { (slot, word) };
        let glue_start = self.ends.last().map_or(0, |(_, end)| usize::from(*end));
        let glue = self.text.get(glue_start..glue_end).unwrap_or_default();
        let failed = || self.ends.iter().any(|(start, end)| grammar::tells_failure(&self.text[usize::from(*start)..usize::from(*end)]));
        self.head.part(&Part { slot, word, glue, index: self.slots.len(), layout: self.layout_before_glue }, failed);
        if self.slots.is_empty() || glue.contains(&b' ') {
            self.fields.push(u16::try_from(self.slots.len()).unwrap_or(u16::MAX));
        }
        self.text.extend_from_slice(word);
        let end = u16::try_from(self.text.len()).unwrap_or(u16::MAX);
        self.slots.push(slot);
        self.ends.push((u16::try_from(glue_end).unwrap_or(u16::MAX), end));
        let kind = match slot {
            Slot::VARIABLE => 1,
            Slot::REST => 2,
            Slot::TEXT => 3,
            _ => 0,
        };
        self.layout = hash::mix(self.layout, kind);
    }

    /// Starts anew with the parts of a message, joined by `: `.
    pub(crate) fn fill(&mut self, parts: &[&[u8]]) {
        self.slots.clear();
        self.ends.clear();
        self.text.clear();
        self.fields.clear();
        self.layout = 0;
        self.head = HeadFinder::default();
        self.full = false;
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.glue(b": ");
            }
            signature::scan(part, self);
        }
    }

    /// Adds a variable of another template.
    pub(crate) fn value(&mut self, slot: Slot) {
        self.place(slot, b"");
    }

    /// Adds punctuation, if there is any.
    pub(crate) fn some_glue(&mut self, glue: &[u8]) {
        if !glue.is_empty() {
            self.glue(glue);
        }
    }

    /// Adds slots of another template with the punctuation between them.
    pub(crate) fn copy(&mut self, template: &Template, slots: Range<usize>) {
        for slot in slots.clone() {
            if slot > slots.start {
                self.some_glue(template.glue(slot));
            }
            self.place(template.slots[slot], template.word_text(slot));
        }
    }

    /// Adds the rest of a message, which is known to vary.
    pub(crate) fn rest(&mut self) {
        self.place(Slot::REST, b"");
    }

    /// The head so far.
    pub(crate) fn head(&self) -> Option<Head> {
        self.head.head()
    }

    /// The layout so far.
    pub(crate) fn layout(&self) -> u64 {
        self.layout
    }

    /// The slots so far.
    pub(crate) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The template.
    pub(crate) fn finish(&self) -> Template {
        Template {
            slots: self.slots.as_slice().into(),
            ends: self.ends.as_slice().into(),
            text: self.text.as_slice().into(),
            fields: self.fields.as_slice().into(),
            outline: Outline::of(&self.slots, self.fields.len()),
            layout: self.layout,
            head: self.head.head(),
        }
    }
}

impl Sink for Builder {
    fn glue(&mut self, glue: &[u8]) {
        if !self.full {
            self.text.extend_from_slice(glue);
            self.layout_before_glue = self.layout;
            self.layout = hash::mix_bytes(self.layout, glue);
            self.head.glue(glue);
        }
    }

    fn word(&mut self, word: &[u8]) {
        self.place(Slot::word(word), word);
    }

    fn variable(&mut self) {
        self.place(Slot::VARIABLE, b"");
    }
}
