//! The cold path's second rule: where one template shows by its form that a value stands at a place, what another
//! template has at that place is a value too, if both agree otherwise: `on host <*>` (it was `db7`) and `on host main`.
//! Must stay a function of the two templates, as all learning here.
//!
//! Templates are compared by fields, the parts between white space, because values differ in their inner form:
//! `db7[10.0.0.1]` is one variable, `main[10.0.0.1]` a word and a variable.

use crate::outline::Outline;
use crate::template::{Builder, Slot, Template};
use std::ops::Range;

/// Most fields that may be told apart in two templates that become one.
const MAX_VALUES: usize = 3;
/// Constant words that two such templates share at least.
const MIN_WORDS: usize = 2;
/// Most fields of one template that one value of the other stands for.
const MAX_RUN: usize = 2;
/// Most words of what one value stands for.
const MAX_WORDS: usize = 2;

/// Places looked at to find how two templates agree; two that take more are too much alike in too many ways to tell values.
const MAX_STEPS: u32 = 256;

/// Messages that make a word at a place of values a value, that with the value included; one less if so many words agree.
const ENOUGH: usize = 3;
const MANY_WORDS: usize = 5;

/// What two templates are together.
#[derive(Debug)]
pub(crate) struct Union {
    /// The template of all messages of both.
    pub(crate) template: Template,
    /// Different templates of one kind that it takes to make one of them.
    pub(crate) needed: usize,
}

impl Union {
    /// Whether it says no more than a template does.
    pub(crate) fn equals(&self, template: &Template) -> bool {
        self.template.layout() == template.layout() && self.template.slots() == template.slots()
    }
}

/// Whether two templates may be one together, as far as their outlines tell.
#[inline]
pub(crate) fn may_unite(left: Outline, right: Outline) -> bool {
    left.may_unite(right, (MAX_VALUES * (MAX_RUN - 1)) as u16)
}

/// What two templates are together, if they agree but for values.
pub(crate) fn unite(left: &Template, right: &Template) -> Option<Union> {
    if !may_unite(left.outline(), right.outline()) || !ends_may_agree(left, right) {
        return None;
    }
    let mut walk = Walk { left, right, steps: Vec::new(), end: Place::default(), steps_left: MAX_STEPS };
    walk.agrees_from(Place::default()).then(|| Union {
        template: walk.union(),
        needed: match walk.end {
            Place { doubtful: false, .. } => 1,
            Place { words: MANY_WORDS.., .. } => ENOUGH - 1,
            _ => ENOUGH,
        },
    })
}

/// Whether the last fields that differ may be a value of one template and what the other has there.
fn ends_may_agree(left: &Template, right: &Template) -> bool {
    let mut ends = (0..left.fields()).rev().zip((0..right.fields()).rev());
    let differ = ends.find(|(mine, theirs)| !left.field_equals(*mine, right, *theirs));
    differ.is_none_or(|(mine, theirs)| value(left, mine).is_some() || value(right, theirs).is_some())
}

/// Where two templates were followed to.
#[derive(Clone, Copy, Default)]
struct Place {
    left: usize,
    right: usize,
    /// The field before was a value of one template: brackets that close behind it may be part of it.
    behind_value: bool,
    values: usize,
    words: usize,
    /// A word stands where the other template has a value by form alone.
    doubtful: bool,
}

/// What stands at a place.
#[derive(Clone, Copy)]
enum Step {
    /// The same field in both.
    Same,
    /// A value.
    Value(Slot),
}

/// Which of the two templates has the value.
#[derive(Clone, Copy)]
enum Side {
    Left,
    Right,
}

struct Walk<'a> {
    left: &'a Template,
    right: &'a Template,
    steps: Vec<(Place, Step)>,
    end: Place,
    /// Of [`MAX_STEPS`].
    steps_left: u32,
}

impl Walk<'_> {
    /// Whether the rest of both templates agrees; leaves its steps behind if so.
    fn agrees_from(&mut self, at: Place) -> bool {
        let Some(steps_left) = self.steps_left.checked_sub(1) else { return false };
        self.steps_left = steps_left;
        if self.glue(at).is_none() {
            return false;
        }
        match (at.left < self.left.fields(), at.right < self.right.fields()) {
            (false, false) => {
                self.end = at;
                at.words >= MIN_WORDS && at.words > at.values
            }
            (true, true) => {
                let equal = self.left.field_equals(at.left, self.right, at.right);
                // A value of both may be a longer one in one of them; an equal word is nothing else.
                let may_vary = at.values < MAX_VALUES && (!equal || value(self.left, at.left).is_some());
                equal && self.same(at) || may_vary && (self.value_of(Side::Left, at) || self.value_of(Side::Right, at))
            }
            _ => false,
        }
    }

    /// The glue in front of a field, or at the end, if it is the same in both but for brackets that close behind a value.
    fn glue(&self, at: Place) -> Option<&[u8]> {
        let (mut left, mut right) = (self.left.field_glue(at.left), self.right.field_glue(at.right));
        if at.behind_value && left != right {
            (left, right) = (without_closers(left), without_closers(right));
        }
        (left == right).then_some(left)
    }

    fn step(&mut self, at: Place, step: Step, to: Place) -> bool {
        self.steps.push((at, step));
        let agrees = self.agrees_from(to);
        if !agrees {
            self.steps.pop();
        }
        agrees
    }

    fn same(&mut self, at: Place) -> bool {
        let words = at.words + self.left.field(at.left).filter(|slot| self.left.slots()[*slot].is_word()).count();
        self.step(at, Step::Same, Place { left: at.left + 1, right: at.right + 1, behind_value: false, words, ..at })
    }

    /// Goes on behind a value of the template on one side and what the other has there.
    fn value_of(&mut self, side: Side, at: Place) -> bool {
        let (left, right) = (self.left, self.right);
        let (mine, my_field, other, other_field) = match side {
            Side::Left => (left, at.left, right, at.right),
            Side::Right => (right, at.right, left, at.left),
        };
        let Some(value) = value(mine, my_field) else { return false };
        (1..=MAX_RUN).any(|run| {
            let to = match side {
                Side::Left => Place { left: at.left + 1, right: at.right + run, ..at },
                Side::Right => Place { left: at.left + run, right: at.right + 1, ..at },
            };
            content(other, other_field..other_field + run).is_some_and(|content| self.value(at, value, content, to))
        })
    }

    /// A value in one template for what the other has; what stands for words too has learned to vary.
    fn value(&mut self, at: Place, value: Slot, other: Content, to: Place) -> bool {
        let learned = value == Slot::LEARNED;
        let doubtful = at.doubtful || other == Content::Word && !learned;
        let slot = if learned || other != Content::Variable { Slot::LEARNED } else { Slot::VARIABLE };
        self.step(at, Step::Value(slot), Place { behind_value: true, values: at.values + 1, doubtful, ..to })
    }

    fn union(&self) -> Template {
        let mut builder = Builder::default();
        for (at, step) in &self.steps {
            builder.some_glue(self.glue(*at).unwrap_or_default());
            match step {
                Step::Same => builder.copy(self.left, self.left.field(at.left)),
                Step::Value(slot) => builder.value(*slot),
            }
        }
        builder.some_glue(self.glue(self.end).unwrap_or_default());
        builder.finish()
    }
}

fn without_closers(mut glue: &[u8]) -> &[u8] {
    while let [b')' | b']' | b'}', rest @ ..] = glue {
        glue = rest;
    }
    glue
}

/// The variable that a field consists of.
fn value(template: &Template, field: usize) -> Option<Slot> {
    let mut slots = template.field(field).map(|slot| template.slots()[slot]);
    match (slots.next(), slots.next()) {
        (Some(slot), None) if !slot.is_word() => Some(slot),
        (Some(first), Some(second)) if !first.is_word() && !second.is_word() && slots.all(|slot| !slot.is_word()) => Some(Slot::VARIABLE),
        _ => None,
    }
}

/// What a value stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// A variable by its form.
    Variable,
    /// What was learned to vary, words together with variables, or a word that is a name by its form or its place.
    Mixed,
    /// Words alone.
    Word,
}

/// What fields of a template have that a variable of another can stand for: none that is a `key=value`, a state in capitals or
/// begins a sentence, and several only if they are a list of which one part is a variable.
fn content(template: &Template, fields: Range<usize>) -> Option<Content> {
    if fields.end > template.fields() || fields.start == 0 && template.is_capitalised(0) {
        return None;
    }
    let listed = fields.len() == 1 || (fields.start + 1..=fields.end).all(|field| template.field_glue(field).contains(&b','));
    let keyed = fields.clone().any(|field| template.is_keyed(field));
    let slots = template.field(fields.start).start..template.field(fields.end - 1).end;
    let words = slots.clone().filter(|slot| template.slots()[*slot].is_word()).count();
    let state = slots.len() == 1 && words == 1 && template.is_capitals(slots.start);
    if keyed || state || !listed || words > MAX_WORDS || fields.len() > 1 && words >= fields.len() {
        return None;
    }
    let first = slots.start;
    let named = template.is_identifier(first) || template.is_announced(first) || template.is_enclosed(first);
    Some(match words {
        0 if template.slots()[slots.clone()].iter().all(|slot| *slot == Slot::VARIABLE) => Content::Variable,
        words if words == slots.len() && !named => Content::Word,
        _ => Content::Mixed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn united(left: &str, right: &str) -> Option<String> {
        let of = |message: &str| Template::of(&[message.as_bytes()]);
        let forward = unite(&of(left), &of(right)).map(|union| union.template.text());
        assert_eq!(forward, unite(&of(right), &of(left)).map(|union| union.template.text()), "{left} / {right}");
        forward
    }

    /// Without a bound the first of these would take longer than anybody waits.
    #[test]
    fn templates_that_may_agree_in_very_many_ways_are_given_up() {
        let alphabet = ('a'..='z').chain('A'..='N');
        let base: String = alphabet.clone().map(|letter| format!("word{letter} 1 ")).collect();
        let shifted: String = alphabet.map(|letter| format!("2 word{letter} ")).collect();
        for (left, right) in [
            (format!("{base}one two three four 1 end"), format!("{base}five six seven eight 1 end")),
            (format!("{base}one two three 1"), format!("{shifted}four five six 1")),
            (format!("1 {base} a 1 b 1 c 1"), format!("{base}d 1 e 1 f 1")),
        ] {
            assert_eq!(united(&left, &right), None);
        }
    }

    #[test]
    fn a_word_where_another_message_has_a_value_is_one() {
        let cases = [
            ("connect from db7", "connect from main", Some("connect from <*>")),
            ("connect from db7[10.0.0.1]", "connect from main[10.0.0.1]", Some("connect from <*>")),
            (
                "retrying server: db7:8030. Tried 5 times",
                "retrying server: main:8030. Tried 5 times",
                Some("retrying server: <*>. Tried <*> times"),
            ),
            ("lost task (TID 5, db7, executor 1)", "lost task (TID 5, main, executor 1)", Some("lost task (TID <*>, executor <*>)")),
            ("user 5 was on db7 at night", "user bob was on main at night", Some("user <*> was on <*> at night")),
            ("user bob was on db7 at night", "user 5 was on main at night", Some("user <*> was on <*> at night")),
        ];
        for (left, right, expected) in cases {
            assert_eq!(united(left, right).as_deref(), expected, "{left} / {right}");
        }
    }

    #[test]
    fn messages_that_share_less_stay_apart() {
        for (left, right) in [
            ("started 5", "started main"),
            ("connect from main", "connect from other"),
            ("link 5 is up", "link 5 is down"),
            ("7 workers are idle now", "Workers workers are idle now"),
            ("task done in 5", "task done in time=5"),
            ("no space for \"a\"", "no space for \"b\", skipping"),
            ("link to db7 is 5", "link to db7 is DOWN"),
            ("session of 5 closed", "session of the user 5 closed"),
        ] {
            assert_eq!(united(left, right), None, "{left} / {right}");
        }
    }
}
