//! Log patterns of every service: how often, since when, and one example of each.

use std::time::Duration;

use rustc_hash::FxHashMap;

use super::row::clip;
use super::services::{SLOT, SLOTS};
use super::slots::Slots;
use super::{PatternSeen, UnixNanos};

/// Most patterns held; beyond it the one that was silent longest is forgotten. At most 2.5 KB each.
pub const MAX_PATTERNS: usize = 2_000;

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct PatternKey {
    service: Box<str>,
    id: Box<str>,
    severity: u8,
}

#[derive(Debug)]
struct Pattern {
    template: String,
    example: String,
    first: UnixNanos,
    last: UnixNanos,
    count: u64,
    slots: Slots<u32>,
}

/// One pattern of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct PatternRow {
    /// Service that logs it.
    pub service: String,
    /// Its id.
    pub id: String,
    /// OTLP severity number, 0 if unknown.
    pub severity: u8,
    /// Template with `<*>` placeholders.
    pub template: String,
    /// The newest redacted message given with it.
    pub example: String,
    /// First message since the agent started (or the pattern was last forgotten).
    pub first: UnixNanos,
    /// Last message.
    pub last: UnixNanos,
    /// Messages since `first`.
    pub count: u64,
    /// Messages a second over the last minute.
    pub rate: f64,
    /// Messages in each 5 s of the last five minutes, oldest first.
    pub trend: Vec<u32>,
}

/// All patterns.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    table: FxHashMap<PatternKey, Pattern>,
    pub(super) forgotten: u64,
}

impl Patterns {
    /// Counts messages of a pattern.
    pub(super) fn count(&mut self, seen: &PatternSeen<'_>) {
        let key = PatternKey { service: seen.service.into(), id: seen.id.into(), severity: seen.severity };
        if !self.table.contains_key(&key) {
            self.make_room();
        }
        let pattern = self.table.entry(key).or_insert_with(|| Pattern::new(seen.time));
        pattern.count(seen);
    }

    fn make_room(&mut self) {
        if self.table.len() < MAX_PATTERNS {
            return;
        }
        if let Some(silent) = self.table.iter().min_by_key(|(key, pattern)| (pattern.last, *key)).map(|(key, _)| key.clone()) {
            self.table.remove(&silent);
            self.forgotten += 1;
        }
    }

    /// Every pattern, the newest first.
    pub(super) fn rows(&self, now: UnixNanos) -> Vec<PatternRow> {
        let mut rows: Vec<_> = self.table.iter().map(|(key, pattern)| pattern.row(key, now)).collect();
        rows.sort_by(|a, b| b.first.cmp(&a.first).then_with(|| (&a.service, &a.id, a.severity).cmp(&(&b.service, &b.id, b.severity))));
        rows
    }
}

impl Pattern {
    fn new(now: UnixNanos) -> Self {
        Self { template: String::new(), example: String::new(), first: now, last: now, count: 0, slots: Slots::new(SLOT, SLOTS) }
    }

    fn count(&mut self, seen: &PatternSeen<'_>) {
        replace(&mut self.template, seen.template);
        replace(&mut self.example, seen.example);
        self.last = seen.time;
        self.count += seen.count;
        let slot = self.slots.at(seen.time);
        *slot = slot.saturating_add(u32::try_from(seen.count).unwrap_or(u32::MAX));
    }

    fn row(&self, key: &PatternKey, now: UnixNanos) -> PatternRow {
        let trend: Vec<u32> = self.slots.last(now, SLOTS).map(|slot| slot.copied().unwrap_or(0)).collect();
        let seconds = self.slots.span(now, 12).min(now.since(self.first)).max(Duration::from_secs(1));
        PatternRow {
            service: key.service.to_string(),
            id: key.id.to_string(),
            severity: key.severity,
            template: self.template.clone(),
            example: self.example.clone(),
            first: self.first,
            last: self.last,
            count: self.count,
            rate: trend[SLOTS - 12..].iter().map(|count| f64::from(*count)).sum::<f64>() / seconds.as_secs_f64(),
            trend,
        }
    }
}

fn replace(old: &mut String, new: &str) {
    if old != new {
        old.clear();
        old.push_str(&new[..new.floor_char_boundary(super::row::MAX_TEXT + 1)]);
        clip(old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn seen(id: &str, second: u64) -> PatternSeen<'_> {
        PatternSeen {
            service: "shop",
            id,
            severity: 9,
            template: "user <*> in",
            example: "user 7 in",
            count: 3,
            time: UnixNanos(second * SECOND),
        }
    }

    #[test]
    fn patterns_are_counted_and_the_newest_stands_first() {
        let mut patterns = Patterns::default();
        for second in 1_000..1_120 {
            patterns.count(&seen("old", second));
        }
        patterns.count(&seen("new", 1_119));
        let rows = patterns.rows(UnixNanos(1_119 * SECOND + SECOND - 1));
        assert_eq!(rows.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["new", "old"]);
        assert_eq!((rows[1].count, rows[1].first.0 / SECOND, rows[1].last.0 / SECOND), (360, 1_000, 1_119));
        assert!((rows[1].rate - 3.0).abs() < 0.05, "{}", rows[1].rate);
        assert_eq!(rows[1].trend[SLOTS - 24..], [15; 24]);
    }

    #[test]
    fn a_flood_of_patterns_is_bounded_and_counted() {
        let mut patterns = Patterns::default();
        for number in 0..MAX_PATTERNS as u64 + 5 {
            patterns.count(&PatternSeen { template: &"é".repeat(4_000), ..seen(&number.to_string(), number) });
        }
        let rows = patterns.rows(UnixNanos(0));
        assert_eq!((rows.len(), patterns.forgotten), (MAX_PATTERNS, 5));
        assert!(rows.iter().all(|row| row.template.len() <= super::super::row::MAX_TEXT && row.id.parse::<u64>().is_ok_and(|id| id >= 5)));
    }
}
