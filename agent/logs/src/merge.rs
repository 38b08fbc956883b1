//! The cold path: decides which templates that differ in plain words only are one statement with a variable.
//! Must stay a function of the *set* of templates: no counters, no clock, no order of arrival.
//!
//! A context is a template with up to three places left open. Its members differ in those places alone.
//! When every open place has enough distinct words, the places are variables. "Enough" is told by [`Evidence`].

use crate::evidence::{Evidence, Vocabulary};
use crate::template::{Slot, Template};

/// Most places that may differ between two templates of one context.
const MAX_OPEN: u32 = 3;

/// A merge that the set of templates calls for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Merge {
    /// Places that vary.
    pub(crate) places: Vec<usize>,
    /// Indices of the known templates that become one with the new one.
    pub(crate) members: Vec<usize>,
}

/// The places in which two templates of one layout differ, as a bit mask; `None` if they are too many.
fn difference(a: &Template, b: &Template) -> Option<u128> {
    let mut mask = 0u128;
    let mut count = 0;
    for (place, (left, right)) in a.slots().iter().zip(b.slots()).enumerate() {
        if left != right {
            count += 1;
            if count > MAX_OPEN {
                return None;
            }
            mask |= 1u128.checked_shl(u32::try_from(place).unwrap_or(u32::MAX)).unwrap_or(0);
        }
    }
    Some(mask)
}

/// Whether `general` describes a message with the slots `special`: they differ at most where `general` has learned a variable.
pub(crate) fn covers(general: &Template, special: &[Slot]) -> bool {
    general.slots().len() == special.len() && general.slots().iter().zip(special).all(|(left, right)| left.covers(*right))
}

/// A known template, by its position, and the places in which it differs from the new one.
pub(crate) type Near = (usize, u128);

/// The known templates (all of one layout) that differ from `new` in few places.
pub(crate) fn near<'a>(new: &Template, known: impl Iterator<Item = &'a Template>) -> Vec<Near> {
    known.enumerate().filter_map(|(index, template)| difference(new, template).map(|mask| (index, mask))).collect()
}

/// The merge that adding `new` to `known` calls for, the one with the fewest open places first.
///
/// `vocabulary` tells words that vary in other templates: two of them are enough.
pub(crate) fn learn(new: &Template, known: &[&Template], near: &[Near], vocabulary: &dyn Vocabulary) -> Option<Merge> {
    let mut contexts: Vec<u128> = near.iter().map(|(_, mask)| *mask).collect();
    contexts.sort_unstable_by_key(|mask| (mask.count_ones(), *mask));
    contexts.dedup();
    contexts.into_iter().take(64).find_map(|open| saturated(new, known, near, open, vocabulary))
}

/// The merge of the context with the `open` places, if each of them has enough distinct words.
fn saturated(new: &Template, known: &[&Template], near: &[Near], open: u128, vocabulary: &dyn Vocabulary) -> Option<Merge> {
    let places: Vec<usize> = (0..new.slots().len()).filter(|place| place_bit(*place) & open != 0).collect();
    let members: Vec<usize> = near.iter().filter(|(_, mask)| mask & !open == 0).map(|(index, _)| *index).collect();
    let words_left = new.slots().iter().enumerate().filter(|(place, slot)| slot.is_word() && place_bit(*place) & open == 0).count();
    let enough = places.iter().all(|place| {
        let group = || members.iter().map(|index| known[*index]).chain([new]);
        distinct(group().map(|template| template.slots()[*place]))
            >= Evidence::of(*place, group(), vocabulary).needed(words_left, places.len())
    });
    enough.then_some(Merge { places, members })
}

fn place_bit(place: usize) -> u128 {
    1u128.checked_shl(u32::try_from(place).unwrap_or(u32::MAX)).unwrap_or(0)
}

/// Distinct words at one place; a place that already varies has any number.
fn distinct(slots: impl Iterator<Item = Slot>) -> usize {
    let mut words: Vec<u64> = Vec::new();
    for slot in slots {
        if !slot.is_word() {
            return usize::MAX;
        }
        words.push(slot.as_u64());
    }
    words.sort_unstable();
    words.dedup();
    words.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nothing;
    impl Vocabulary for Nothing {
        fn varies(&self, _: Slot) -> bool {
            false
        }
        fn announces(&self, _: Slot) -> bool {
            false
        }
    }

    fn templates(messages: &[&str]) -> Vec<Template> {
        messages.iter().map(|message| Template::of(&[message.as_bytes()])).collect()
    }

    fn places(messages: &[&str]) -> Option<Vec<usize>> {
        let all = templates(messages);
        let (new, known) = all.split_last().expect("some messages");
        let known: Vec<&Template> = known.iter().collect();
        learn(new, &known, &near(new, known.iter().copied()), &Nothing).map(|merge| merge.places)
    }

    #[test]
    fn a_place_with_four_words_is_a_variable() {
        let messages = ["session opened user ann", "session opened user bob", "session opened user eve", "session opened user joe"];
        assert_eq!(places(&messages[..3]), None);
        assert_eq!(places(&messages), Some(vec![3]));
    }

    #[test]
    fn states_in_capitals_stay_apart() {
        assert_eq!(
            places(&[
                "task moved to NEW",
                "task moved to RUNNING",
                "task moved to FAILED",
                "task moved to KILLED",
                "task moved to DONE",
                "task moved to LOST"
            ]),
            None
        );
    }

    #[test]
    fn two_words_that_fill_a_slot_are_enough() {
        assert_eq!(places(&["[main] view onStart() called", "[list] view onStart() called"]), Some(vec![0]));
        assert_eq!(places(&["hosting environment: Development", "hosting environment: Production"]), Some(vec![2]));
        assert_eq!(places(&["compaction of shard (start)", "compaction of shard (end)"]), None);
        assert_eq!(places(&["garbage collector: started", "garbage collector: stopped"]), None);
    }

    #[test]
    fn words_alone_in_brackets_need_fewer() {
        assert_eq!(places(&["killed process 5 (java)", "killed process 5 (httpd)", "killed process 5 (mysqld)"]), Some(vec![3]));
        let users = ["root", "www", "mail", "news", "ann", "bob"].map(|user| format!("({user}) CMD (/a/b)"));
        assert_eq!(places(&users.each_ref().map(String::as_str)), Some(vec![0]));
    }

    #[test]
    fn what_was_done_stays_apart() {
        let messages = ["Started", "Stopped", "Paused", "Resumed"].map(|verb| format!("[instance: 5] VM {verb} (Lifecycle Event)"));
        assert_eq!(places(&messages.each_ref().map(String::as_str)), None);
        let messages = ["installed", "unpacked", "half-configured", "half-installed", "listed"]
            .map(|state| format!("status {state} for package of many"));
        assert_eq!(places(&messages.each_ref().map(String::as_str)), None);
        let messages = ["db", "web", "cache", "mail"].map(|name| format!("[instance: 5] VM {name} (Lifecycle Event)"));
        assert_eq!(places(&messages.each_ref().map(String::as_str)), Some(vec![3]));
    }

    #[test]
    fn grammar_and_verbs_stay_apart() {
        let messages = ["to", "from", "within", "under"].map(|word| format!("file was moved {word} the folder"));
        assert_eq!(places(&messages.each_ref().map(String::as_str)), None);
        let messages = ["open", "read", "close", "stat"].map(|verb| format!("could not {verb} the file of settings"));
        assert_eq!(places(&messages.each_ref().map(String::as_str)), None);
        let messages = ["open", "read", "close", "stat"].map(|verb| format!("failed to {verb} the file of settings"));
        assert_eq!(places(&messages.each_ref().map(String::as_str)), None);
        let messages = ["open", "read", "close", "stat"].map(|name| format!("sent to {name} the file of settings"));
        assert_eq!(places(&messages.each_ref().map(String::as_str)), Some(vec![2]));
    }

    #[test]
    fn keys_of_values_stay_apart() {
        let messages = [
            "server set up os.name=5",
            "server set up user.dir=5",
            "server set up os.arch=5",
            "server set up tmp=5",
            "server set up max=5",
        ];
        assert_eq!(places(&messages), None);
    }

    #[test]
    fn verbs_that_begin_a_sentence_stay_apart() {
        let messages = ["Start", "Begin", "Stop", "End", "Skip", "Await"].map(|verb| format!("{verb} the daily update of lists"));
        assert_eq!(places(&messages.each_ref().map(String::as_str)), None);
        let messages = messages.map(|message| message.to_lowercase());
        assert_eq!(places(&messages.each_ref().map(String::as_str)), Some(vec![0]));
    }

    #[test]
    fn two_random_places_are_found_together() {
        let messages: Vec<String> = (0..10u8)
            .map(|n| {
                let c = char::from(b'a' + n);
                format!("user {c}{c} opened file {c}x today")
            })
            .collect();
        let messages: Vec<&str> = messages.iter().map(String::as_str).collect();
        assert_eq!(places(&messages), Some(vec![1, 4]));
    }

    #[test]
    fn learned_places_cover_other_words() {
        let mut general = Template::of(&[b"user bob left"]);
        general.generalise([1]);
        assert!(covers(&general, Template::of(&[b"user ann left"]).slots()));
        assert!(!covers(&general, Template::of(&[b"user ann came"]).slots()));
        assert_eq!(general.text(), "user <*> left");
    }
}
