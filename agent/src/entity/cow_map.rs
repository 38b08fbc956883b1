//! A map that is read without locks and written by copying a small part of it.
//!
//! Made for tables that every event reads and that change a few times a second: a read is one atomic load and one hash
//! look-up, whatever the writer does, and a write copies one of 64 shards.

use std::hash::{BuildHasher, Hash};

use arc_swap::ArcSwap;
use rustc_hash::{FxBuildHasher, FxHashMap};

const SHARDS: usize = 64;

/// See the module.
#[derive(Debug)]
pub(super) struct CowMap<K, V> {
    shards: Box<[ArcSwap<FxHashMap<K, V>>]>,
}

impl<K, V> Default for CowMap<K, V> {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| ArcSwap::default()).collect() }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> CowMap<K, V> {
    fn shard(&self, key: &K) -> &ArcSwap<FxHashMap<K, V>> {
        // The low bits choose the bucket inside the shard, so take the shard from others.
        let hash = FxBuildHasher.hash_one(key);
        &self.shards[(hash >> 48) as usize % SHARDS]
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.shard(key).load().get(key).cloned()
    }

    pub(super) fn insert(&self, key: K, value: V) {
        self.update(&key, |map| {
            map.insert(key.clone(), value.clone());
        });
    }

    /// Inserts, and keeps the shard below its part of `limit` by removing the entry with the lowest `rank`.
    /// Whether something was removed.
    pub(super) fn insert_bounded(&self, key: K, value: V, limit: usize, rank: impl Fn(&V) -> u64) -> bool {
        let mut removed = false;
        self.update(&key, |map| {
            removed = false;
            if map.len() >= limit.div_ceil(SHARDS) && !map.contains_key(&key) {
                let lowest = map.iter().min_by_key(|(_, value)| rank(value)).map(|(key, _)| key.clone());
                removed = lowest.is_some_and(|lowest| map.remove(&lowest).is_some());
            }
            map.insert(key.clone(), value.clone());
        });
        removed
    }

    pub(super) fn remove(&self, key: &K) {
        if self.get(key).is_some() {
            self.update(key, |map| {
                map.remove(key);
            });
        }
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.load().len()).sum()
    }

    /// Visits all entries, each shard as it is at that moment.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&K, &V)) {
        for shard in &self.shards {
            shard.load().iter().for_each(|(key, value)| visit(key, value));
        }
    }

    /// `change` may run more than once, each time on a fresh copy.
    fn update(&self, key: &K, mut change: impl FnMut(&mut FxHashMap<K, V>)) {
        self.shard(key).rcu(|map| {
            let mut copy = FxHashMap::clone(map);
            change(&mut copy);
            copy
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_until_it_is_removed() {
        let map = CowMap::default();
        for n in 0..1000_u32 {
            map.insert(n, n * 2);
        }
        assert_eq!((map.len(), map.get(&500), map.get(&1000)), (1000, Some(1000), None));
        map.remove(&500);
        map.remove(&5000);
        assert_eq!((map.len(), map.get(&500)), (999, None));
        let mut sum = 0;
        map.for_each(|_, value| sum += value);
        assert_eq!(sum, 999_000 - 1000);
    }

    #[test]
    fn a_bounded_map_gives_up_what_ranks_lowest() {
        let map = CowMap::default();
        let mut removed = 0;
        for n in 0..10_000_u64 {
            removed += usize::from(map.insert_bounded(n, n, 640, |value| *value));
        }
        assert_eq!(map.len() + removed, 10_000);
        assert!(map.len() <= 640, "{}", map.len());
        assert_eq!(map.get(&9_999), Some(9_999));
        assert_eq!(map.get(&0), None);
    }
}
