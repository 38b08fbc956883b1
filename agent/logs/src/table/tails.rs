//! Messages that agree up to a colon and say anything behind it: `failed to open the file: <error text>`.
//! Must stay a function of the set of templates, as all learning here.
//!
//! Error texts have any number of words, so their templates differ in layout and word by word merging never sees them
//! together. Behind a head of several words of prose, three different texts make the rest of the message one variable; behind one
//! that reports a failure or a result, any text is one.

use crate::head::{Head, Tail};
use crate::template::{Slot, Template};
use rustc_hash::FxHashMap;

/// Different texts behind one head that make the rest a variable.
const ENOUGH: u32 = 3;

/// The patterns that have a head, by it.
#[derive(Debug, Default)]
pub(super) struct Tails {
    /// Patterns with the same head, each with how many different texts it stands for.
    alike: FxHashMap<u64, Vec<(u32, u32)>>,
    /// Patterns whose rest is a variable, by the layout of their head.
    open: FxHashMap<u64, Vec<u32>>,
}

/// Whether a pattern with an open rest describes a message with this head.
pub(super) fn covers(open: &Template, head: Head, slots: &[Slot]) -> bool {
    let mut words = open.slots().iter().zip(slots).take(head.slots);
    open.slots().len() == head.slots + 1
        && open.head().is_some_and(|known| known.layout == head.layout)
        && words.all(|(left, right)| left.covers(*right))
}

impl Tails {
    /// Adds a pattern that `weight` different templates became; returns all of its head once they are enough.
    pub(super) fn add(&mut self, index: u32, template: &Template, weight: u32) -> Option<Vec<u32>> {
        let head = template.head()?;
        if template.is_open() {
            self.open.entry(head.layout).or_default().push(index);
            return None;
        }
        let alike = self.alike.entry(head.hash(template.slots())).or_default();
        let texts = if template.slots().iter().skip(head.slots).all(|slot| *slot != Slot::LEARNED) { 1 } else { weight.min(ENOUGH) };
        alike.push((index, texts));
        let texts: u32 = alike.iter().map(|(_, weight)| weight).sum();
        let enough = match head.tail {
            Tail::Reason => 1,
            Tail::Unknown => ENOUGH,
        };
        (texts >= enough).then(|| alike.iter().map(|(index, _)| *index).collect())
    }

    /// Forgets a pattern.
    pub(super) fn remove(&mut self, index: u32, template: &Template) {
        let Some(head) = template.head() else { return };
        let hash = head.hash(template.slots());
        let left = if template.is_open() {
            self.open.get_mut(&head.layout).map(|open| {
                open.retain(|have| *have != index);
                open.len()
            })
        } else {
            self.alike.get_mut(&hash).map(|alike| {
                alike.retain(|(have, _)| *have != index);
                alike.len()
            })
        };
        if left == Some(0) {
            if template.is_open() {
                self.open.remove(&head.layout).is_some()
            } else {
                self.alike.remove(&hash).is_some()
            };
        }
    }

    /// The pattern with an open rest that a message with this head belongs to.
    pub(super) fn covering<'a>(&self, head: Head, slots: &[Slot], template: impl Fn(u32) -> Option<&'a Template>) -> Option<u32> {
        let open = self.open.get(&head.layout)?;
        open.iter().copied().find(|index| template(*index).is_some_and(|known| covers(known, head, slots)))
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        (self.alike.len() + self.open.len()) * 48
    }
}
