//! What a message teaches that no known pattern describes: which patterns it joins, and which become one by it.
//! Must come to the same patterns in whatever order their messages come, as far as the bounds of the table allow.

use super::{Change, MemoryBudget, PATTERN_OVERHEAD, Pattern, PatternTable, tails};
use crate::absorb::{self, Union};
use crate::gap;
use crate::merge;
use crate::severity::Severity;
use crate::template::{PatternId, Slot, Template};
use std::sync::Arc;

/// Most ways to become one with another pattern that are tried for a new template.
const MAX_UNIONS: usize = 8;

impl PatternTable {
    /// Compares patterns anew once more words are known to vary; returns where the pattern at `index` went.
    pub(super) fn relearn(&mut self, index: u32, severity: Severity, now: u64, budget: &mut MemoryBudget) -> Option<u32> {
        let mut news = self.values.take_news();
        if news.is_empty() {
            return Some(index);
        }
        let id = self.patterns.get(index as usize)?.as_ref()?.id;
        while let Some(pattern) = self.mergeable(&news).and_then(|index| self.remove(index, budget)) {
            let severity = pattern.counts.first().map_or(severity, |(severity, _)| *severity);
            self.admit(pattern.template.clone(), vec![pattern], true, severity, now, budget);
            news.append(&mut self.values.take_news());
        }
        self.by_id.get(&self.resolve(id)).copied()
    }

    /// A pattern with one of these words that would become one with others if it came now.
    fn mergeable(&self, news: &[Slot]) -> Option<u32> {
        let mut concerned = self.templates().filter(|(_, template)| template.slots().iter().any(|slot| news.contains(slot)));
        concerned.find(|(index, template)| self.merge(template, |other| other != *index).is_some()).map(|(index, _)| index)
    }

    /// What a template becomes, word by word, with those patterns of its layout that are asked for.
    fn merge(&self, template: &Template, wanted: impl Fn(u32) -> bool) -> Option<merge::Merge> {
        let bucket = self.bucket(template.layout());
        let known = || bucket.iter().filter(|index| wanted(**index)).filter_map(|index| self.template(*index));
        let near = merge::near(template, known());
        if near.is_empty() {
            return None;
        }
        let known: Vec<&Template> = known().collect();
        merge::learn(template, &known, &near, &self.values)
    }

    /// The pattern that describes a message word by word.
    pub(super) fn covering(&self, layout: u64, slots: &[Slot]) -> Option<u32> {
        let mut bucket = self.bucket(layout).iter().copied();
        bucket.find(|index| self.template(*index).is_some_and(|known| merge::covers(known, slots)))
    }

    /// Notes what the message in `scratch` has where the pattern that it belongs to varies.
    pub(super) fn note_values(&mut self, index: u32) {
        if let Some(Some(general)) = self.patterns.get(index as usize) {
            self.values.note(self.scratch.slots(), general.template.slots(), &self.familiar);
        }
    }

    /// Finds or makes the pattern of the message in `scratch`, which no pattern describes word by word.
    pub(super) fn observe_template(&mut self, learnable: bool, severity: Severity, now: u64, budget: &mut MemoryBudget) -> Option<u32> {
        let template = self.scratch.finish();
        let known = if learnable { self.absorbing(&template).or_else(|| self.filling(&template)) } else { None };
        match known {
            Some(index) => {
                self.note_values(index);
                Some(index)
            }
            None => self.admit(template, Vec::new(), learnable, severity, now, budget),
        }
    }

    /// The pattern that says of a message as much as both together.
    fn absorbing(&self, template: &Template) -> Option<u32> {
        self.unions(template)
            .find(|(index, union)| union.needed == 1 && self.template(*index).is_some_and(|known| union.equals(known)))
            .map(|(index, _)| index)
    }

    /// The pattern with a variable text that a message belongs to.
    fn filling(&self, template: &Template) -> Option<u32> {
        let mut known = self.templates_like(|known| known.may_hold(template.outline()));
        known.find(|(_, known)| gap::covers(known, template)).map(|(index, _)| index)
    }

    /// The patterns that agree with a template but for values, and what each is together with it.
    fn unions(&self, template: &Template) -> impl Iterator<Item = (u32, Union)> {
        self.templates_like(|known| absorb::may_unite(known, template.outline()))
            .filter_map(|(index, known)| Some((index, absorb::unite(known, template)?)))
    }

    /// The pattern with an open rest that the message in `scratch` belongs to.
    pub(super) fn covering_head(&self) -> Option<u32> {
        self.tails.covering(self.scratch.head()?, self.scratch.slots(), |index| self.template(index))
    }

    /// Learns from a new template: it joins others or takes a place of its own; `None` if there is none left.
    /// `replaced` are patterns that became this template already.
    pub(super) fn admit(
        &mut self,
        mut template: Template,
        mut replaced: Vec<Pattern>,
        learnable: bool,
        severity: Severity,
        now: u64,
        budget: &mut MemoryBudget,
    ) -> Option<u32> {
        let mut before = template.clone();
        while learnable && let Some(members) = self.learn(&mut template) {
            let members: Vec<Pattern> = members.into_iter().filter_map(|index| self.remove(index, budget)).collect();
            for special in members.iter().map(|pattern| &pattern.template).chain([&before]) {
                self.values.note(special.slots(), template.slots(), &self.familiar);
            }
            replaced.extend(members);
            before = template.clone();
        }
        replaced.extend(self.take_opened(&template, budget));
        let cost = template.bytes() + template.text_bytes() + PATTERN_OVERHEAD;
        if !self.make_room(cost, now, budget) {
            replaced.iter().for_each(|pattern| self.retire_counts(pattern, pattern.id));
            return None;
        }
        let text: Arc<str> = template.text().into();
        let id = PatternId::of(&text);
        let known = self.by_id.contains_key(&id) || self.aliases.contains_key(&id) || replaced.iter().any(|pattern| pattern.id == id);
        if !known {
            self.push_change(Change::New { id, template: text.clone(), severity });
        }
        let weight = replaced.iter().map(|pattern| pattern.weight).sum::<u32>().saturating_add(1);
        for pattern in replaced {
            self.retire(pattern, id);
        }
        let index = self.insert(Pattern { template, id, text, counts: Vec::new(), last_seen: now, taken: cost, weight });
        self.open_rest(index, severity, now, budget).or(Some(index))
    }

    /// Removes the patterns that say no more than a template whose rest is open.
    fn take_opened(&mut self, template: &Template, budget: &mut MemoryBudget) -> Vec<Pattern> {
        if !template.is_open() {
            return Vec::new();
        }
        let said = |known: &Template| known.head().is_some_and(|head| tails::covers(template, head, known.slots()));
        let indices: Vec<u32> = self.templates().filter(|(_, known)| said(known)).map(|(index, _)| index).collect();
        indices.into_iter().filter_map(|index| self.remove(index, budget)).collect()
    }

    /// Makes one pattern of all that have the head of a new one, if they are enough.
    fn open_rest(&mut self, index: u32, severity: Severity, now: u64, budget: &mut MemoryBudget) -> Option<u32> {
        let pattern = self.patterns.get(index as usize)?.as_ref()?;
        let members = self.tails.add(index, &pattern.template, pattern.weight)?;
        let opened = pattern.template.opened()?;
        let replaced = members.into_iter().filter_map(|member| self.remove(member, budget)).collect();
        self.admit(opened, replaced, true, severity, now, budget)
    }

    /// One step of learning; returns the patterns that became one with `template`.
    fn learn(&self, template: &mut Template) -> Option<Vec<u32>> {
        self.learn_words(template).or_else(|| self.learn_values(template)).or_else(|| self.learn_gap(template))
    }

    /// Makes a variable of the only part in which templates of several words differ.
    fn learn_gap(&self, template: &mut Template) -> Option<Vec<u32>> {
        let (union, members) = gap::learn(template, self.templates_like(|known| gap::may_learn(template.outline(), known)))?;
        *template = union;
        Some(members)
    }

    /// Makes variables of words where other patterns have values.
    fn learn_values(&self, template: &mut Template) -> Option<Vec<u32>> {
        let (union, members) = self.unions(template).take(MAX_UNIONS).find_map(|(_, union)| {
            let covered = self.unions(&union.template).filter(|(_, both)| both.equals(&union.template));
            let members: Vec<u32> = covered.map(|(index, _)| index).collect();
            let all = members.len() + usize::from(!union.equals(template));
            (!members.is_empty() && all >= union.needed).then_some((union.template, members))
        })?;
        *template = union;
        Some(members)
    }

    /// Makes variables of places at which enough different words were seen.
    fn learn_words(&self, template: &mut Template) -> Option<Vec<u32>> {
        let merge = self.merge(template, |_| true)?;
        let bucket = self.bucket(template.layout());
        template.generalise(merge.places);
        Some(merge.members.into_iter().filter_map(|member| bucket.get(member).copied()).collect())
    }
}
