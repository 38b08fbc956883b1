//! What addresses are called: the names that programs asked for before they connected.
//!
//! Bounded, and honest about age: a name is forgotten when its record's time to live is over, never later than a floor
//! that the caller gives for programs that hold on to an address.

use crate::model::semconv as s;
use crate::model::{Exchange, Family, Mono, Value};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

/// Longest time that a record is believed, whatever it says (RFC 8767 §4 suggests at most a week; addresses of
/// workloads move faster).
const MAX_TTL: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
struct Entry {
    name: Box<str>,
    expires: Mono,
    /// Number of the place in `order` that stands for it.
    turn: u64,
}

/// Address → name, kept apart by who asked: with split views, one asker's answer says nothing to another.
///
/// `A` is the asker (a container, a host; `()` if there is only one).
#[derive(Debug)]
pub struct NameCache<A> {
    entries: FxHashMap<(A, IpAddr), Entry>,
    /// Keys by age of their last answer; a place whose number is not the entry's is void.
    order: VecDeque<((A, IpAddr), u64)>,
    turn: u64,
    capacity: usize,
    floor: Duration,
}

impl<A: Copy + Eq + Hash> NameCache<A> {
    /// An empty cache of at most `capacity` addresses. A name lives for its record's time to live, but at least `floor`.
    #[must_use]
    pub fn new(capacity: usize, floor: Duration) -> Self {
        Self { entries: FxHashMap::default(), order: VecDeque::new(), turn: 0, capacity: capacity.max(1), floor }
    }

    /// Learns from a finished lookup (other exchanges and failed lookups teach nothing) what `asker` was answered.
    pub fn learn(&mut self, asker: A, exchange: &Exchange) {
        let attrs = &exchange.attrs;
        let (Family::Dns, None, Some(response)) = (exchange.family, &exchange.error, exchange.response) else { return };
        let (Some(name), Some(Value::List(answers))) = (attrs.str(s::DNS_QUESTION_NAME), attrs.get(s::DNS_ANSWERS)) else { return };
        let ttl = attrs.int(s::REMORA_DNS_TTL).and_then(|ttl| u64::try_from(ttl).ok()).unwrap_or(0);
        for address in answers.iter().filter_map(|answer| answer.parse().ok()) {
            self.insert(asker, address, name, Duration::from_secs(ttl), response.last);
        }
    }

    /// Notes that `asker` was told at `at` that `name` is `address`, for `ttl`. The newest answer wins.
    pub fn insert(&mut self, asker: A, address: IpAddr, name: &str, ttl: Duration, at: Mono) {
        let expires = at.after(ttl.min(MAX_TTL).max(self.floor));
        let key = (asker, address);
        self.turn += 1;
        let turn = self.turn;
        match self.entries.get_mut(&key) {
            Some(entry) => {
                (entry.expires, entry.turn) = (expires, turn);
                if *entry.name != *name {
                    entry.name = name.into();
                }
            }
            None => {
                self.entries.insert(key, Entry { name: name.into(), expires, turn });
            }
        }
        self.order.push_back((key, turn));
        self.shrink();
    }

    /// What `asker` calls `address` at `at`, if it asked and the answer still holds.
    #[must_use]
    pub fn name(&self, asker: A, address: IpAddr, at: Mono) -> Option<&str> {
        self.entries.get(&(asker, address)).filter(|entry| at < entry.expires).map(|entry| &*entry.name)
    }

    /// Forgets what is over at `now`.
    pub fn expire(&mut self, now: Mono) {
        self.entries.retain(|_, entry| now < entry.expires);
        self.forget_void();
    }

    /// Addresses in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Holds the bound: the addresses that were answered longest ago go first.
    fn shrink(&mut self) {
        while self.entries.len() > self.capacity {
            let Some((key, turn)) = self.order.pop_front() else { break };
            if self.entries.get(&key).is_some_and(|entry| entry.turn == turn) {
                self.entries.remove(&key);
            }
        }
        if self.order.len() > 2 * self.capacity {
            self.forget_void();
        }
    }

    fn forget_void(&mut self) {
        let entries = &self.entries;
        self.order.retain(|(key, turn)| entries.get(key).is_some_and(|entry| entry.turn == *turn));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn ip(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    fn cache(capacity: usize) -> NameCache<u32> {
        NameCache::new(capacity, Duration::from_secs(10))
    }

    #[test]
    fn a_name_lives_for_its_time_and_at_least_the_floor() {
        let mut names = cache(9);
        names.insert(1, ip(1), "short", Duration::from_secs(1), Mono(0));
        names.insert(1, ip(2), "long", Duration::from_secs(60), Mono(0));
        let at = |second: u64| [ip(1), ip(2)].map(|ip| names.name(1, ip, Mono(second * SECOND)));
        assert_eq!(at(9), [Some("short"), Some("long")]);
        assert_eq!(at(10), [None, Some("long")]);
        assert_eq!(at(60), [None, None]);
        names.expire(Mono(10 * SECOND));
        assert_eq!(names.len(), 1);
    }

    #[test]
    fn the_newest_answer_wins_for_the_one_who_asked() {
        let mut names = cache(9);
        names.insert(1, ip(1), "old", Duration::ZERO, Mono(0));
        names.insert(1, ip(1), "new", Duration::ZERO, Mono(5));
        names.insert(2, ip(1), "other", Duration::ZERO, Mono(6));
        assert_eq!([1, 2, 3].map(|asker| names.name(asker, ip(1), Mono(7))), [Some("new"), Some("other"), None]);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_answers_go_first() {
        let mut names = cache(3);
        for round in 0..1000 {
            names.insert(1, ip(1), "kept", Duration::ZERO, Mono(round));
            names.insert(1, ip(2), "kept too", Duration::ZERO, Mono(round));
            names.insert(round as u32, ip(9), "passing", Duration::ZERO, Mono(round));
            assert!(names.len() <= 3 && names.order.len() <= 6);
        }
        assert_eq!(names.name(1, ip(1), Mono(1000)), Some("kept"));
        assert_eq!(names.name(5, ip(9), Mono(1000)), None);
    }
}
