//! Connections: the open ones, and the last that closed.

use rustc_hash::FxHashMap;

use remora_core::model::ConnId;

use super::ConnectionRow;

/// Most connections held. A closed one makes room before an open one, an older before a younger.
pub const MAX_CONNECTIONS: usize = 2_000;
/// How many are given up at once, so that making room is rare.
const ROOM: usize = MAX_CONNECTIONS / 10;

/// All connections.
#[derive(Debug, Default)]
pub(super) struct Connections {
    table: FxHashMap<ConnId, ConnectionRow>,
    pub(super) forgotten: u64,
}

impl Connections {
    /// Adds a connection or replaces what was known of it.
    pub(super) fn put(&mut self, row: ConnectionRow) {
        if self.table.len() >= MAX_CONNECTIONS && !self.table.contains_key(&row.id) {
            self.make_room();
        }
        self.table.insert(row.id, row);
    }

    fn make_room(&mut self) {
        let mut order: Vec<_> = self.table.values().map(|row| (row.closed.is_none(), row.closed.unwrap_or(row.opened), row.id)).collect();
        order.sort_unstable();
        for (open, _, id) in order.into_iter().take(ROOM) {
            self.table.remove(&id);
            self.forgotten += u64::from(open);
        }
    }

    /// One of them.
    pub(super) fn get(&self, id: ConnId) -> Option<ConnectionRow> {
        self.table.get(&id).cloned()
    }

    /// All of them: open before closed, the newest first.
    pub(super) fn rows(&self) -> Vec<ConnectionRow> {
        let mut rows: Vec<_> = self.table.values().cloned().collect();
        rows.sort_by_key(|row| (row.closed.is_some(), std::cmp::Reverse((row.opened, row.id))));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{UnixNanos, sample};

    #[test]
    fn closed_connections_make_room_before_open_ones() {
        let mut connections = Connections::default();
        for id in 0..MAX_CONNECTIONS as u64 {
            let closed = (id >= 1_000).then_some(UnixNanos(id));
            connections.put(ConnectionRow { closed, ..sample::connection(id) });
        }
        connections.put(sample::connection(99_999));
        let ids: Vec<u64> = connections.rows().iter().map(|row| row.id.0).collect();
        assert_eq!((ids.len(), connections.forgotten), (MAX_CONNECTIONS - ROOM + 1, 0));
        assert!((0..1_000).all(|id| ids.contains(&id)) && !ids.contains(&1_000) && ids.contains(&1_999));
        assert_eq!(ids[0], 99_999);

        for id in 100_000..110_000 {
            connections.put(sample::connection(id));
            assert!(connections.table.len() <= MAX_CONNECTIONS);
        }
        assert!(connections.forgotten > 0);
    }
}
