//! The pattern table of one workload: exact counts for every pattern, within fixed bounds.
//! Must never stop, lose a count, or hand out more ids than its limit plus one overflow id per severity.
//!
//! Hot path: hash of a message's signature → pattern. Only an unknown hash builds a template and learns.
//! When templates merge, the old id keeps what was counted for it, an alias leads from the old id to the new one,
//! and counts go on under the new id.

mod familiar;
mod state;
mod tails;
mod values;

use crate::absorb::{self, Union};
use crate::gap;
use crate::merge;
use crate::severity::Severity;
use crate::signature::{self, HashSink};
use crate::template::{Builder, PatternId, Slot, Template};
use familiar::Familiar;
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use tails::Tails;
use values::Values;

/// Bounds of a table.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Patterns kept at one time.
    pub patterns: usize,
    /// Bytes of templates kept at one time.
    pub template_bytes: usize,
    /// A pattern unseen for this long (nanoseconds) gives way to a new one when the table is full.
    pub idle_ns: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { patterns: 256, template_bytes: 160 * 1024, idle_ns: 600 * 1_000_000_000 }
    }
}

/// Memory that all tables of a node share.
#[derive(Clone, Copy, Debug)]
pub struct MemoryBudget {
    left: usize,
}

impl MemoryBudget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { left: bytes }
    }

    fn take(&mut self, bytes: usize) -> bool {
        let enough = self.left >= bytes;
        if enough {
            self.left -= bytes;
        }
        enough
    }

    fn give_back(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(bytes);
    }
}

/// What happened to the set of patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A pattern was seen for the first time.
    New {
        /// Its id.
        id: PatternId,
        /// Its template.
        template: Arc<str>,
        /// The severity of the message that brought it.
        severity: Severity,
    },
    /// A pattern became part of another.
    Alias {
        /// The id no longer used.
        old: PatternId,
        /// The id used from now on.
        new: PatternId,
    },
    /// A pattern gave way to a new one.
    Evicted {
        /// Its id.
        id: PatternId,
    },
}

/// Messages of one pattern and severity since the last time they were taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The pattern.
    pub id: PatternId,
    /// The severity of the messages.
    pub severity: Severity,
    /// How many.
    pub messages: u64,
}

#[derive(Debug)]
struct Pattern {
    template: Template,
    id: PatternId,
    text: Arc<str>,
    counts: Vec<(Severity, u64)>,
    last_seen: u64,
    /// Bytes taken from the budget.
    taken: usize,
    /// Different templates that became this one.
    weight: u32,
}

/// Most aliases and retired counts kept.
const MAX_RETIRED: usize = 1024;
/// Most changes kept until they are taken; older ones are dropped and counted.
const MAX_CHANGES: usize = 2048;
/// Largest direct-mapped cache of signature hashes.
const MAX_CACHE: usize = 2048;
/// First size of it.
const MIN_CACHE: usize = 64;
/// Most ways to become one with another pattern that are tried for a new template.
const MAX_UNIONS: usize = 8;
/// The bookkeeping of a pattern beside its template.
const PATTERN_OVERHEAD: usize = 192;

/// The patterns of one workload.
#[derive(Debug)]
pub struct PatternTable {
    limits: Limits,
    patterns: Vec<Option<Pattern>>,
    live: usize,
    template_bytes: usize,
    /// Patterns by layout: only these can merge.
    buckets: FxHashMap<u64, Vec<u32>>,
    by_id: FxHashMap<PatternId, u32>,
    /// Direct-mapped: signature hash and the pattern it belongs to.
    cache: Vec<(u64, u32)>,
    /// Entries that gave way to others since the cache grew: many signatures may belong to one pattern.
    cache_lost: usize,
    aliases: FxHashMap<PatternId, PatternId>,
    alias_order: VecDeque<PatternId>,
    overflow: Vec<(Severity, u64)>,
    retired: Vec<Count>,
    changes: VecDeque<Change>,
    changes_dropped: u64,
    /// No pattern can be idle before this time.
    next_idle_check: u64,
    /// Words of the patterns, by layout.
    familiar: Familiar,
    /// Words that were learned to vary.
    values: Values,
    /// Patterns by the part in front of a colon.
    tails: Tails,
    scratch: Builder,
}

const NOT_CACHED: u32 = u32::MAX;

impl PatternTable {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            patterns: Vec::new(),
            live: 0,
            template_bytes: 0,
            buckets: FxHashMap::default(),
            by_id: FxHashMap::default(),
            cache: vec![(0, NOT_CACHED); MIN_CACHE],
            cache_lost: 0,
            aliases: FxHashMap::default(),
            alias_order: VecDeque::new(),
            overflow: Vec::new(),
            retired: Vec::new(),
            changes: VecDeque::new(),
            changes_dropped: 0,
            next_idle_check: 0,
            familiar: Familiar::default(),
            values: Values::default(),
            tails: Tails::default(),
            scratch: Builder::default(),
        }
    }

    /// Counts one message, given in parts (an optional logger and the text), and returns its pattern's id.
    #[inline]
    pub fn observe(&mut self, parts: &[&[u8]], severity: Severity, now: u64, budget: &mut MemoryBudget) -> PatternId {
        let mut sink = HashSink::new();
        for part in parts {
            signature::scan(part, &mut sink);
        }
        self.observe_hashed(sink.hash, parts, severity, now, budget)
    }

    /// As [`Self::observe`], for a signature that was hashed already.
    #[inline]
    pub(crate) fn observe_hashed(
        &mut self,
        hash: u64,
        parts: &[&[u8]],
        severity: Severity,
        now: u64,
        budget: &mut MemoryBudget,
    ) -> PatternId {
        let (cached, index) = self.cache[self.cache_place(hash)];
        if cached == hash && index != NOT_CACHED {
            return self.count(index, severity, now);
        }
        self.observe_unknown(hash, parts, severity, now, budget)
    }

    fn cache_place(&self, hash: u64) -> usize {
        (hash as usize) & (self.cache.len() - 1)
    }

    #[inline]
    fn count(&mut self, index: u32, severity: Severity, now: u64) -> PatternId {
        match self.patterns.get_mut(index as usize).and_then(Option::as_mut) {
            Some(pattern) => {
                pattern.last_seen = now;
                add(&mut pattern.counts, severity, 1);
                pattern.id
            }
            None => self.count_overflow(severity),
        }
    }

    fn count_overflow(&mut self, severity: Severity) -> PatternId {
        add(&mut self.overflow, severity, 1);
        overflow_id(severity)
    }

    #[cold]
    #[inline(never)]
    fn observe_unknown(&mut self, hash: u64, parts: &[&[u8]], severity: Severity, now: u64, budget: &mut MemoryBudget) -> PatternId {
        self.scratch.fill(parts);
        if let Some(index) = self.covering_head() {
            self.remember(hash, index);
            return self.count(index, severity, now);
        }
        let learnable = self.familiar.knows(self.scratch.slots());
        if !learnable && self.is_full() && now < self.next_idle_check {
            return self.count_overflow(severity);
        }
        let covering = if learnable { self.covering(self.scratch.layout(), self.scratch.slots()) } else { None };
        let index = match covering {
            Some(index) => {
                self.note_values(index);
                Some(index)
            }
            None => self.observe_template(learnable, severity, now, budget),
        };
        let index = index.and_then(|index| self.relearn(index, severity, now, budget));
        let Some(index) = index else {
            return self.count_overflow(severity);
        };
        self.remember(hash, index);
        self.count(index, severity, now)
    }

    /// Compares patterns anew once more words are known to vary; returns where the pattern at `index` went.
    fn relearn(&mut self, index: u32, severity: Severity, now: u64, budget: &mut MemoryBudget) -> Option<u32> {
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
        concerned.find_map(|(index, template)| {
            let others: Vec<&Template> =
                self.bucket(template.layout()).iter().filter(|other| **other != index).filter_map(|other| self.template(*other)).collect();
            let near = merge::near(template, others.iter().copied());
            merge::learn(template, &others, &near, &self.values).map(|_| index)
        })
    }

    fn template(&self, index: u32) -> Option<&Template> {
        self.patterns.get(index as usize)?.as_ref().map(|pattern| &pattern.template)
    }

    fn bucket(&self, layout: u64) -> &[u32] {
        self.buckets.get(&layout).map(Vec::as_slice).unwrap_or_default()
    }

    /// The pattern that describes a message word by word.
    fn covering(&self, layout: u64, slots: &[Slot]) -> Option<u32> {
        let mut bucket = self.bucket(layout).iter().copied();
        bucket.find(|index| self.template(*index).is_some_and(|known| merge::covers(known, slots)))
    }

    /// Notes what the message in `scratch` has where the pattern that it belongs to varies.
    fn note_values(&mut self, index: u32) {
        if let Some(Some(general)) = self.patterns.get(index as usize) {
            self.values.note(self.scratch.slots(), general.template.slots(), &self.familiar);
        }
    }

    /// Finds or makes the pattern of the message in `scratch`, which no pattern describes word by word.
    fn observe_template(&mut self, learnable: bool, severity: Severity, now: u64, budget: &mut MemoryBudget) -> Option<u32> {
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
        self.templates().find(|(_, known)| gap::covers(known, template)).map(|(index, _)| index)
    }

    fn templates(&self) -> impl Iterator<Item = (u32, &Template)> {
        (0u32..).zip(&self.patterns).filter_map(|(index, pattern)| Some((index, &pattern.as_ref()?.template)))
    }

    /// The patterns that agree with a template but for values, and what each is together with it.
    fn unions(&self, template: &Template) -> impl Iterator<Item = (u32, Union)> {
        self.templates().filter_map(|(index, known)| Some((index, absorb::unite(known, template)?)))
    }

    /// The pattern with an open rest that the message in `scratch` belongs to.
    fn covering_head(&self) -> Option<u32> {
        self.tails.covering(self.scratch.head()?, self.scratch.slots(), |index| self.template(index))
    }

    /// Learns from a new template: it joins others or takes a place of its own; `None` if there is none left.
    /// `replaced` are patterns that became this template already.
    fn admit(
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
        let (union, members) = gap::learn(template, self.templates())?;
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
        let bucket = self.bucket(template.layout());
        let known = || bucket.iter().filter_map(|index| self.template(*index));
        let near = merge::near(template, known());
        if near.is_empty() {
            return None;
        }
        let known: Vec<&Template> = known().collect();
        let merge = merge::learn(template, &known, &near, &self.values)?;
        template.generalise(merge.places);
        Some(merge.members.into_iter().filter_map(|member| bucket.get(member).copied()).collect())
    }

    fn is_full(&self) -> bool {
        self.live >= self.limits.patterns
    }

    fn make_room(&mut self, cost: usize, now: u64, budget: &mut MemoryBudget) -> bool {
        let full = self.is_full() || self.template_bytes + cost > self.limits.template_bytes;
        if full && !self.evict_idle(now, budget) {
            return false;
        }
        budget.take(cost)
    }

    fn evict_idle(&mut self, now: u64, budget: &mut MemoryBudget) -> bool {
        if now < self.next_idle_check {
            return false;
        }
        let seen = |pattern: &Option<Pattern>| pattern.as_ref().map(|pattern| pattern.last_seen);
        let oldest = self.patterns.iter().enumerate().filter_map(|(index, pattern)| Some((seen(pattern)?, index))).min();
        let Some((seen, index)) = oldest else { return false };
        if now.saturating_sub(seen) < self.limits.idle_ns {
            self.next_idle_check = seen.saturating_add(self.limits.idle_ns);
            return false;
        }
        let Some(pattern) = u32::try_from(index).ok().and_then(|index| self.remove(index, budget)) else { return false };
        self.push_change(Change::Evicted { id: pattern.id });
        self.retire_counts(&pattern, pattern.id);
        true
    }

    fn insert(&mut self, pattern: Pattern) -> u32 {
        let free = self.patterns.iter().position(Option::is_none).unwrap_or(self.patterns.len());
        let index = u32::try_from(free).unwrap_or(NOT_CACHED);
        self.buckets.entry(pattern.template.layout()).or_default().push(index);
        self.by_id.insert(pattern.id, index);
        self.unalias(pattern.id);
        self.live += 1;
        self.familiar.add(pattern.template.slots());
        self.values.note_announcers(&pattern.template);
        self.template_bytes += pattern.taken;
        if free == self.patterns.len() {
            self.patterns.push(Some(pattern));
        } else {
            self.patterns[free] = Some(pattern);
        }
        index
    }

    fn remove(&mut self, index: u32, budget: &mut MemoryBudget) -> Option<Pattern> {
        let pattern = self.patterns.get_mut(index as usize)?.take()?;
        let layout = pattern.template.layout();
        if let Some(bucket) = self.buckets.get_mut(&layout) {
            bucket.retain(|have| *have != index);
            if bucket.is_empty() {
                self.buckets.remove(&layout);
            }
        }
        self.tails.remove(index, &pattern.template);
        self.by_id.remove(&pattern.id);
        for entry in self.cache.iter_mut().filter(|entry| entry.1 == index) {
            *entry = (0, NOT_CACHED);
        }
        self.live -= 1;
        self.template_bytes -= pattern.taken;
        budget.give_back(pattern.taken);
        Some(pattern)
    }

    fn retire(&mut self, pattern: Pattern, new: PatternId) {
        if pattern.id == new {
            self.retire_counts(&pattern, new);
            return;
        }
        self.retire_counts(&pattern, pattern.id);
        self.push_change(Change::Alias { old: pattern.id, new });
        if self.aliases.insert(pattern.id, new).is_none() {
            self.alias_order.push_back(pattern.id);
        }
        if self.alias_order.len() > MAX_RETIRED
            && let Some(oldest) = self.alias_order.pop_front()
        {
            self.aliases.remove(&oldest);
        }
    }

    fn retire_counts(&mut self, pattern: &Pattern, id: PatternId) {
        for (severity, messages) in pattern.counts.iter().filter(|(_, messages)| *messages > 0) {
            if self.retired.len() < MAX_RETIRED {
                self.retired.push(Count { id, severity: *severity, messages: *messages });
            } else {
                add(&mut self.overflow, *severity, *messages);
            }
        }
    }

    fn unalias(&mut self, id: PatternId) {
        if self.aliases.remove(&id).is_some() {
            self.alias_order.retain(|have| *have != id);
        }
    }

    fn remember(&mut self, hash: u64, index: u32) {
        let small = self.live * 4 > self.cache.len() || self.cache_lost > self.cache.len() / 2;
        if small && self.cache.len() < MAX_CACHE {
            let old = std::mem::replace(&mut self.cache, vec![(0, NOT_CACHED); 0]);
            self.cache = vec![(0, NOT_CACHED); old.len() * 2];
            self.cache_lost = 0;
            for entry in old.into_iter().filter(|entry| entry.1 != NOT_CACHED) {
                let place = self.cache_place(entry.0);
                self.cache[place] = entry;
            }
        }
        let place = self.cache_place(hash);
        self.cache_lost += usize::from(self.cache[place].1 != NOT_CACHED);
        self.cache[place] = (hash, index);
    }

    fn push_change(&mut self, change: Change) {
        if self.changes.len() >= MAX_CHANGES {
            self.changes.pop_front();
            self.changes_dropped += 1;
        }
        self.changes.push_back(change);
    }

    /// The id that an id handed out earlier stands for now: itself, or what it was merged into.
    pub fn resolve(&self, id: PatternId) -> PatternId {
        let mut current = id;
        for _ in 0..64 {
            match self.aliases.get(&current) {
                Some(next) => current = *next,
                None => break,
            }
        }
        current
    }

    /// The template of a current id.
    pub fn template_of(&self, id: PatternId) -> Option<Arc<str>> {
        let index = *self.by_id.get(&id)?;
        self.patterns.get(index as usize)?.as_ref().map(|pattern| pattern.text.clone())
    }

    /// Takes the messages counted since the last call.
    pub fn take_counts(&mut self) -> Vec<Count> {
        let mut counts = std::mem::take(&mut self.retired);
        for pattern in self.patterns.iter_mut().flatten() {
            let id = pattern.id;
            counts.extend(pattern.counts.drain(..).map(|(severity, messages)| Count { id, severity, messages }));
        }
        counts.extend(self.overflow.drain(..).map(|(severity, messages)| Count { id: overflow_id(severity), severity, messages }));
        counts
    }

    /// Takes what happened to the set of patterns since the last call.
    pub fn take_changes(&mut self) -> Vec<Change> {
        self.changes.drain(..).collect()
    }

    /// Changes that were never taken and had to give way.
    pub fn changes_dropped(&self) -> u64 {
        self.changes_dropped
    }

    /// Gives the memory of the table back.
    pub(crate) fn release(self, budget: &mut MemoryBudget) {
        budget.give_back(self.template_bytes);
    }

    /// The learned patterns as text, a few KiB; counts are not part of it.
    pub fn save(&self) -> Vec<u8> {
        state::save(self.patterns.iter().flatten().map(|pattern| &pattern.template))
    }

    /// Adds the patterns of a saved state; damaged lines are skipped. Nothing of it counts as new.
    pub(crate) fn load(&mut self, saved: &[u8], now: u64, budget: &mut MemoryBudget) {
        for template in state::load(saved) {
            if self.covering(template.layout(), template.slots()).is_none() {
                self.admit(template, Vec::new(), true, Severity::UNSPECIFIED, now, budget);
            }
        }
        self.changes.clear();
    }

    /// Patterns in the table.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether the table is empty.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Bytes held.
    pub fn memory(&self) -> usize {
        self.template_bytes
            + self.familiar.bytes()
            + self.values.bytes()
            + self.tails.bytes()
            + self.cache.len() * size_of::<(u64, u32)>()
            + self.aliases.len() * 40
            + self.retired.len() * size_of::<Count>()
            + self
                .changes
                .iter()
                .map(|change| size_of::<Change>() + if let Change::New { template, .. } = change { template.len() } else { 0 })
                .sum::<usize>()
    }
}

/// Adds to the count of a severity.
fn add(counts: &mut Vec<(Severity, u64)>, severity: Severity, messages: u64) {
    match counts.iter_mut().find(|(have, _)| *have == severity) {
        Some((_, count)) => *count += messages,
        None => counts.push((severity, messages)),
    }
}

/// The template of what finds no place in the table, one for each severity.
pub fn overflow_template(severity: Severity) -> String {
    format!("<other patterns of severity {}>", severity.number())
}

/// The id of what finds no place in the table.
pub fn overflow_id(severity: Severity) -> PatternId {
    PatternId::of(&overflow_template(severity))
}

#[cfg(test)]
mod tests;
