//! The pattern table of one workload: exact counts for every pattern, within fixed bounds.
//! Must never stop, lose a count, or hand out more ids than its limit plus one overflow id per severity.
//!
//! Hot path: hash of a message's signature → pattern. Only an unknown hash builds a template and learns.
//! When templates merge, the old id keeps what was counted for it, an alias leads from the old id to the new one,
//! and counts go on under the new id.

mod familiar;
mod learning;
mod state;
mod tails;
mod values;

use crate::outline::Outline;
use crate::severity::Severity;
use crate::signature::{self, HashSink};
use crate::template::{Builder, PatternId, Template};
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
/// The bookkeeping of a pattern beside its template.
const PATTERN_OVERHEAD: usize = 192;

/// The patterns of one workload.
#[derive(Debug)]
pub struct PatternTable {
    limits: Limits,
    patterns: Vec<Option<Pattern>>,
    /// What each of them is like, side by side: most comparisons end there.
    outlines: Vec<Outline>,
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
    /// Patterns that came or went so far.
    moves: u64,
    /// What was known when the cached messages had no room.
    no_room_since: (u64, u32),
    /// Words of the patterns, by layout.
    familiar: Familiar,
    /// Words that were learned to vary.
    values: Values,
    /// Patterns by the part in front of a colon.
    tails: Tails,
    scratch: Builder,
}

const NOT_CACHED: u32 = u32::MAX;
/// In the cache: no pattern describes the message, and there is no room for one while the table is full.
const NO_ROOM: u32 = u32::MAX - 1;

impl PatternTable {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            patterns: Vec::new(),
            outlines: Vec::new(),
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
            moves: 0,
            no_room_since: (0, 0),
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
        if cached == hash && (index < NO_ROOM || index == NO_ROOM && self.still_no_room(now)) {
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
            self.remember_no_room(hash);
            return self.count_overflow(severity);
        };
        self.remember(hash, index);
        self.count(index, severity, now)
    }

    fn template(&self, index: u32) -> Option<&Template> {
        self.patterns.get(index as usize)?.as_ref().map(|pattern| &pattern.template)
    }

    fn bucket(&self, layout: u64) -> &[u32] {
        self.buckets.get(&layout).map(Vec::as_slice).unwrap_or_default()
    }

    fn templates(&self) -> impl Iterator<Item = (u32, &Template)> {
        (0u32..).zip(&self.patterns).filter_map(|(index, pattern)| Some((index, &pattern.as_ref()?.template)))
    }

    /// The templates whose outlines are as wanted; those of free places are of no use to any rule.
    fn templates_like(&self, wanted: impl Fn(Outline) -> bool) -> impl Iterator<Item = (u32, &Template)> {
        let outlines = (0u32..).zip(&self.outlines).filter(move |(_, outline)| wanted(**outline));
        outlines.filter_map(|(index, _)| Some((index, self.template(index)?)))
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
        self.moves += 1;
        self.live += 1;
        self.familiar.add(pattern.template.slots());
        self.values.note_announcers(&pattern.template);
        self.template_bytes += pattern.taken;
        let outline = pattern.template.outline();
        if free == self.patterns.len() {
            self.patterns.push(Some(pattern));
            self.outlines.push(outline);
        } else {
            self.patterns[free] = Some(pattern);
            self.outlines[free] = outline;
        }
        index
    }

    fn remove(&mut self, index: u32, budget: &mut MemoryBudget) -> Option<Pattern> {
        let pattern = self.patterns.get_mut(index as usize)?.take()?;
        self.outlines[index as usize] = Outline::default();
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
        self.moves += 1;
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

    /// As [`Self::remember`], for a message that a full table has no place for; never at the cost of one that has.
    fn remember_no_room(&mut self, hash: u64) {
        let known = self.knowledge();
        if std::mem::replace(&mut self.no_room_since, known) != known {
            for entry in self.cache.iter_mut().filter(|entry| entry.1 == NO_ROOM) {
                *entry = (0, NOT_CACHED);
            }
        }
        let place = self.cache_place(hash);
        if self.is_full() && self.cache[place].1 >= NO_ROOM {
            self.cache[place] = (hash, NO_ROOM);
        }
    }

    /// Whether a message that had no place would have none now: nothing was learned since, and no pattern can give way.
    fn still_no_room(&self, now: u64) -> bool {
        now < self.next_idle_check && self.no_room_since == self.knowledge()
    }

    /// What grows with all that is learned: patterns that came or went, and words.
    fn knowledge(&self) -> (u64, u32) {
        (self.moves, self.values.len())
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
            + self.outlines.len() * size_of::<Outline>()
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
