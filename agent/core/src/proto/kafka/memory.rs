//! What Kafka's connections tell each other: names of topic ids, and which group a client belongs to.
//!
//! Clients ask one broker for metadata and fetch from another, and talk to their group's coordinator on a connection of
//! its own. Bounded; what is ambiguous is not told.

use crate::model::{ConnInfo, Role};
use rustc_hash::{FxHashMap, FxHasher};
use std::hash::{Hash, Hasher};

/// Most topics, and most clients, that are remembered.
const CAPACITY: usize = 16 * 1024;

/// Shared by all connections of a flow.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    topics: FxHashMap<[u8; 16], Box<str>>,
    /// `None` where clients of one name are in several groups.
    groups: FxHashMap<u64, Option<Box<str>>>,
}

impl Memory {
    /// Name of the topic with `id`, if a broker told it.
    pub(super) fn topic(&self, id: &[u8; 16]) -> Option<&str> {
        self.topics.get(id).map(|name| &**name)
    }

    pub(super) fn learn_topic(&mut self, id: [u8; 16], name: &str) {
        if id == [0; 16] || self.topics.get(&id).is_some_and(|known| **known == *name) {
            return;
        }
        if self.topics.len() >= CAPACITY {
            // Rare: ids are learned again with the next metadata.
            self.topics.clear();
        }
        self.topics.insert(id, name.into());
    }

    /// The only group that the client of this name on this connection's client end was seen in.
    pub(super) fn group(&self, client: u64) -> Option<&str> {
        self.groups.get(&client)?.as_deref()
    }

    pub(super) fn learn_group(&mut self, client: u64, group: &str) {
        match self.groups.get_mut(&client) {
            Some(known) => {
                if known.as_deref().is_some_and(|known| known != group) {
                    *known = None;
                }
            }
            None => {
                if self.groups.len() >= CAPACITY {
                    self.groups.clear();
                }
                self.groups.insert(client, Some(group.into()));
            }
        }
    }
}

/// What is the same on all connections of one client: its process or host, and the name it gives itself.
pub(super) fn client(conn: &ConnInfo, id: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    match (conn.role, &conn.owner) {
        (Some(Role::Server), _) => conn.remote.ip().hash(&mut hasher),
        (_, Some(owner)) => owner.pid.hash(&mut hasher),
        (_, None) => conn.local.ip().hash(&mut hasher),
    }
    hasher.write(id);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_in_two_groups_is_in_none_that_can_be_told() {
        let mut memory = Memory::default();
        memory.learn_group(1, "a");
        memory.learn_group(1, "a");
        memory.learn_group(2, "b");
        assert_eq!([1, 2, 3].map(|client| memory.group(client)), [Some("a"), Some("b"), None]);
        memory.learn_group(1, "b");
        memory.learn_group(1, "a");
        assert_eq!(memory.group(1), None);
    }

    #[test]
    fn topics_are_bounded() {
        let mut memory = Memory::default();
        for i in 0..100_000u32 {
            let mut id = [1; 16];
            id[..4].copy_from_slice(&i.to_be_bytes());
            memory.learn_topic(id, "t");
            assert_eq!(memory.topic(&id), Some("t"));
        }
        assert!(memory.topics.len() <= CAPACITY);
    }
}
