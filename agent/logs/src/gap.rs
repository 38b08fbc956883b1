//! The cold path's third rule: templates that begin and end alike and say something else in between, in one word or many, are one
//! statement with a text in it: `error no such file not handled on operation 5`.
//! Must stay a function of the set of templates, as all learning here.

use crate::outline::Outline;
use crate::template::{Builder, Slot, Template};

/// Most fields of such a text.
const MAX_TEXT: usize = 8;
/// Constant words that such templates share at least; one of them in front of the text.
const MIN_WORDS: usize = 5;
/// Texts that differ in length or beginning that make a variable of the place.
const ENOUGH: usize = 3;
/// Most frames that are tried for a new template.
const MAX_FRAMES: usize = 16;

/// How many fields templates share at their beginning and at their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Frame {
    shared: usize,
    before: usize,
    after: usize,
}

impl Frame {
    /// The frame of two templates; `None` if one of them has nothing in between, or the other too much.
    fn of(left: &Template, right: &Template) -> Option<Self> {
        if left.field_glue(left.fields()) != right.field_glue(right.fields()) {
            return None;
        }
        let most = left.fields().min(right.fields());
        let equal = |back: usize| left.field_equals(left.fields() - back, right, right.fields() - back);
        let glued = |back: usize| left.field_glue(left.fields() - back) == right.field_glue(right.fields() - back);
        let before = (0..most).take_while(|at| left.field_equals(*at, right, *at) && left.field_glue(*at) == right.field_glue(*at)).count();
        let after = (1..=most - before).take_while(|back| equal(*back) && glued(*back)).count();
        let frame = Self { shared: before + after, before, after };
        (frame.fits(left) && frame.fits(right)).then_some(frame)
    }

    /// Whether a text of a template fits in.
    fn fits(self, template: &Template) -> bool {
        (1..=MAX_TEXT).contains(&template.fields().saturating_sub(self.shared))
    }

    /// Whether the other's texts hold all of this one's.
    fn encloses(self, other: Self) -> bool {
        self.before >= other.before && self.after >= other.after
    }

    /// Whether a template has so many constant words around its text that others with the same ones are of the same statement.
    fn tells(self, template: &Template) -> bool {
        let in_front = template.words_in(0..self.before);
        self.after > 0 && in_front > 0 && in_front + template.words_in(template.fields() - self.after..template.fields()) >= MIN_WORDS
    }

    /// Whether what stands in the frame can be a text: no verb that belongs to the words in front, no preposition, no `key=value`.
    fn holds_text(self, template: &Template) -> bool {
        let first = template.field(self.before).start;
        !template.is_verb(first) && !template.is_preposition(first) && !template.is_keyed(self.before)
    }

    /// How many texts of templates differ in their length or in their beginning: those that do not may be one statement of their own.
    fn texts(self, templates: &[&Template]) -> usize {
        let first = |template: &Template| template.slots()[template.field(self.before).start].as_u64();
        let mut texts: Vec<(usize, u64)> = templates.iter().map(|template| (template.fields(), first(template))).collect();
        texts.sort_unstable();
        texts.dedup();
        texts.len()
    }

    /// The template with a variable where its text is.
    fn open(self, template: &Template) -> Template {
        let mut builder = Builder::default();
        let copy = |builder: &mut Builder, field: usize| {
            builder.some_glue(template.field_glue(field));
            builder.copy(template, template.field(field));
        };
        (0..self.before).for_each(|field| copy(&mut builder, field));
        builder.some_glue(template.field_glue(self.before));
        builder.value(Slot::TEXT);
        (template.fields() - self.after..template.fields()).for_each(|field| copy(&mut builder, field));
        builder.some_glue(template.field_glue(template.fields()));
        builder.finish()
    }
}

/// Whether two templates may be one statement with a text in it, as far as their outlines tell.
#[inline]
pub(crate) fn may_learn(new: Outline, known: Outline) -> bool {
    new.may_frame(known, MAX_TEXT as u16)
}

/// The union that adding `new` to the known templates calls for, and which of them become part of it; those that `may_learn` excludes
/// make no difference.
pub(crate) fn learn<'a>(new: &Template, known: impl Iterator<Item = (u32, &'a Template)>) -> Option<(Template, Vec<u32>)> {
    if new.is_open() {
        return None;
    }
    let near: Vec<(u32, &Template, Frame)> = known
        .filter_map(|(index, template)| Some((index, template, Frame::of(new, template)?)))
        .filter(|(_, _, frame)| frame.tells(new))
        .collect();
    let mut frames: Vec<Frame> = near.iter().map(|(_, _, frame)| *frame).collect();
    frames.sort_unstable_by(|left, right| right.cmp(left));
    frames.dedup();
    frames.into_iter().take(MAX_FRAMES).find_map(|frame| {
        let alike = near.iter().filter(|(_, template, have)| have.encloses(frame) && frame.fits(template));
        let members: Vec<(u32, &Template)> = alike.map(|(index, template, _)| (*index, *template)).collect();
        let all: Vec<&Template> = members.iter().map(|(_, template)| *template).chain([new]).collect();
        let holds = all.iter().all(|template| frame.holds_text(template));
        (holds && frame.texts(&all) >= ENOUGH).then(|| (frame.open(new), members.into_iter().map(|(index, _)| index).collect()))
    })
}

/// Whether `special` says what `general` says, with some text where that has one.
pub(crate) fn covers(general: &Template, special: &Template) -> bool {
    let Some(before) = general.text_field() else { return false };
    let after = general.fields() - before - 1;
    let frame = Frame { shared: before + after, before, after };
    let equal =
        |mine: usize, theirs: usize| general.field_glue(mine) == special.field_glue(theirs) && general.field_covers(mine, special, theirs);
    frame.fits(special)
        && (0..before).all(|at| equal(at, at))
        && (1..=after).all(|back| equal(general.fields() - back, special.fields() - back))
        && general.field_glue(general.fields()) == special.field_glue(special.fields())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(messages: &[&str]) -> Option<String> {
        let all: Vec<Template> = messages.iter().map(|message| Template::of(&[message.as_bytes()])).collect();
        let (new, known) = all.split_last().expect("some messages");
        learn(new, (0..).zip(known)).map(|(union, members)| {
            assert!(all.iter().all(|template| covers(&union, template)), "{}", union.text());
            assert_eq!(members.len(), known.len());
            union.text()
        })
    }

    #[test]
    fn three_texts_of_any_length_in_one_statement_are_a_variable() {
        let messages = [
            "error no such host is not handled on step 5",
            "error broken pipe is not handled on step 5",
            "error timeout is not handled on step 5",
        ];
        assert_eq!(learned(&messages[..2]), None);
        assert_eq!(learned(&messages).as_deref(), Some("error <*> is not handled on step <*>"));
    }

    #[test]
    fn texts_that_begin_alike_are_one_statement_of_their_own() {
        let messages = [
            "wrong password for root from 5 on the second port",
            "wrong password for guest user bob from 5 on the second port",
            "wrong password for guest user eve from 5 on the second port",
        ];
        assert_eq!(learned(&messages), None);
    }

    #[test]
    fn verbs_and_statements_that_share_less_stay_apart() {
        assert_eq!(
            learned(&[
                "could not open any file of the volume 5",
                "could not read from any file of the volume 5",
                "could not close and sync any file of the volume 5",
            ]),
            None
        );
        assert_eq!(learned(&["pump on at 5", "pump is nearly off at 5", "pump was never seen at 5"]), None);
        assert_eq!(learned(&["state of the pump: on fire", "state of the pump: wet", "state of the pump: as good as new"]), None);
    }
}
