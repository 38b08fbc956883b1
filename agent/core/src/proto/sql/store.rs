//! Prepared statements of one connection: bounded in number and bytes, the oldest forgotten first.

use super::Statement;
use rustc_hash::FxHashMap;
use std::borrow::Borrow;
use std::collections::VecDeque;
use std::hash::Hash;

/// Most statements of one connection.
const MOST: usize = 1024;
/// Most bytes of their texts.
const MOST_BYTES: usize = 256 * 1024;

/// Statements by the name that the protocol gives them.
pub(in crate::proto) struct Statements<K> {
    by_key: FxHashMap<K, Box<Statement>>,
    order: VecDeque<K>,
    bytes: usize,
}

impl<K: Hash + Eq + Clone> Statements<K> {
    pub(in crate::proto) fn new() -> Self {
        Self { by_key: FxHashMap::default(), order: VecDeque::new(), bytes: 0 }
    }

    pub(in crate::proto) fn insert(&mut self, key: K, statement: Box<Statement>) {
        self.remove(&key);
        self.bytes += statement.size();
        self.order.push_back(key.clone());
        self.by_key.insert(key, statement);
        while self.by_key.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.order.front().cloned() else { break };
            self.remove(&oldest);
        }
    }

    pub(in crate::proto) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&Statement>
    where
        K: Borrow<Q>,
    {
        self.by_key.get(key).map(|statement| &**statement)
    }

    pub(in crate::proto) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some(statement) = self.by_key.remove(key) {
            self.bytes -= statement.size();
            self.order.retain(|other| other.borrow() != key);
        }
    }

    pub(in crate::proto) fn clear(&mut self) {
        self.by_key.clear();
        self.order.clear();
        self.bytes = 0;
    }
}
