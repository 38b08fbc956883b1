//! The table of connections.

use super::connection::{Connection, Tools};
use super::{Direction, Loss, Pool, Segment, Sink};
use crate::model::{Close, ConnId, ConnInfo, Mono, Transport, nanos};
use crate::proto::{Descriptor, Options, Shared, TABLE};
use rustc_hash::FxHashMap;
use std::time::Duration;

/// Bounds of the table.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most connections followed at once.
    pub connections: usize,
    /// How long a request may wait for its answer before it is a timeout.
    pub answer: Duration,
    /// How long a silent datagram "connection" is remembered.
    pub datagram_idle: Duration,
}

/// How long both ends of a connection have to be silent until nothing is taken to be on its way.
pub(crate) const QUIET: Duration = Duration::from_secs(10);

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 200_000, answer: Duration::from_secs(300), datagram_idle: Duration::from_secs(30) }
    }
}

/// Connections, their streams and their parsers.
pub struct Flow {
    connections: FxHashMap<ConnId, Connection>,
    table: &'static [&'static Descriptor],
    options: Options,
    limits: Limits,
    pool: Pool,
    shared: Shared,
}

impl Flow {
    /// An empty table that knows all protocols.
    #[must_use]
    pub fn new(limits: Limits, options: Options) -> Self {
        Self::with_table(TABLE, limits, options)
    }

    /// An empty table that knows the protocols of `table` (at most 64).
    #[must_use]
    pub fn with_table(table: &'static [&'static Descriptor], limits: Limits, options: Options) -> Self {
        Self { connections: FxHashMap::default(), table, options, limits, pool: Pool::default(), shared: Shared::default() }
    }

    /// Begins to follow a connection. One that is already followed is left as it is.
    pub fn open(&mut self, info: ConnInfo, sink: &mut dyn Sink) {
        if self.connections.len() >= self.limits.connections && !self.connections.contains_key(&info.id) {
            return sink.loss(None, Loss::Connections, 1);
        }
        self.connections.entry(info.id).or_insert_with(|| Connection::new(info));
    }

    /// What is known of a connection.
    #[must_use]
    pub fn info(&self, id: ConnId) -> Option<&ConnInfo> {
        self.connections.get(&id).map(|connection| &connection.info)
    }

    /// Changes what is known of a connection (owner, role, dialled address learned later).
    pub fn update(&mut self, id: ConnId, change: impl FnOnce(&mut ConnInfo)) {
        if let Some(connection) = self.connections.get_mut(&id) {
            change(&mut connection.info);
        }
    }

    /// Name of the protocol that a connection speaks, once classified.
    #[must_use]
    pub fn protocol(&self, id: ConnId) -> Option<&'static str> {
        self.connections.get(&id).and_then(Connection::protocol)
    }

    /// All connections.
    pub fn iter(&self) -> impl Iterator<Item = &ConnInfo> {
        self.connections.values().map(|connection| &connection.info)
    }

    /// Number of connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether no connection is followed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// Bytes that wait for parsers, over all connections.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.connections.values().map(Connection::held).sum()
    }

    /// A segment or datagram of connection `id`. Unknown connections are ignored: open them first.
    pub fn segment(&mut self, id: ConnId, segment: &Segment<'_>, sink: &mut dyn Sink) {
        self.with(
            id,
            sink,
            |connection, tools| {
                if connection.is_tcp() { connection.segment(segment, tools) } else { connection.datagram(segment, tools) }
            },
        );
    }

    /// `direction` has sent its FIN. Returns whether both have now.
    pub fn fin(&mut self, id: ConnId, direction: Direction, at: Mono, sink: &mut dyn Sink) -> bool {
        self.with(id, sink, |connection, tools| connection.fin(direction, at, tools));
        self.connections.get(&id).is_some_and(Connection::both_finished)
    }

    /// The connection is over. Gives back what was known of it.
    pub fn close(&mut self, id: ConnId, how: Close, at: Mono, sink: &mut dyn Sink) -> Option<ConnInfo> {
        self.with(id, sink, |connection, tools| connection.closed(how, at, tools));
        self.connections.remove(&id).map(|connection| connection.info)
    }

    /// Ends all connections as unobserved: the capture is over.
    pub fn finish(&mut self, at: Mono, sink: &mut dyn Sink) {
        let mut ids: Vec<ConnId> = self.connections.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            self.close(id, Close::Unobserved, at, sink);
        }
    }

    /// Finishes requests that have waited too long and forgets idle datagram sockets. Cheap enough for once a second.
    pub fn tick(&mut self, now: Mono, sink: &mut dyn Sink) {
        let before = |span: Duration| Mono(now.0.saturating_sub(nanos(span)));
        let (unanswered, idle, quiet) = (before(self.limits.answer), before(self.limits.datagram_idle), before(QUIET));
        let mut tools = Tools { table: self.table, options: &self.options, pool: &mut self.pool, shared: &mut self.shared, sink };
        self.connections.retain(|_, connection| {
            let is_udp = connection.info.transport == Transport::Udp;
            // An answer that does not come before the socket is forgotten never comes.
            connection.expire(if is_udp { unanswered.max(idle) } else { unanswered }, quiet, &mut tools);
            let over = is_udp && (connection.last_seen < idle || connection.is_opaque());
            if over {
                connection.closed(Close::Unobserved, connection.last_seen, &mut tools);
            }
            !over
        });
    }

    fn with(&mut self, id: ConnId, sink: &mut dyn Sink, work: impl FnOnce(&mut Connection, &mut Tools<'_>)) {
        if let Some(connection) = self.connections.get_mut(&id) {
            let mut tools = Tools { table: self.table, options: &self.options, pool: &mut self.pool, shared: &mut self.shared, sink };
            work(connection, &mut tools);
        }
    }
}
