//! Metrics of what stays open: connections that carry messages instead of requests (WebSocket) and responses that are
//! streams of events, with what passes.
//!
//! They are counted with the peer of their connection, and only while that is counted itself ([`Aggregate::opened`]).

use super::instruments::GroupId;
use super::tcp::{PeerKey, Tracked};
use super::{Aggregate, Entities};
use remora_core::flow::{Carrier, Direction};
use remora_core::model::{ConnId, Mono};
use std::hash::Hash;

/// What a connection carries, beside bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Carries {
    /// Nothing that is counted here.
    #[default]
    Bytes,
    /// Messages.
    Messages,
}

/// Messages that have passed in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// How many.
    pub messages: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
}

impl Passed {
    /// Counts one more message.
    pub fn add(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Places in [`GroupId::WebSocketIo`] and [`GroupId::EventStreamIo`].
const MESSAGES: usize = 0;
const IO: usize = 1;

impl<E: Copy + Eq + Hash, C: Default> Aggregate<E, C> {
    /// An open connection carries messages from now on; it is counted as such until it is closed.
    pub fn carries_messages(&mut self, conn: ConnId, at: Mono) {
        let Self { connections, entities, .. } = self;
        let Some(Tracked { entity, peer, carries, .. }) = connections.get_mut(&conn) else { return };
        if std::mem::replace(carries, Carries::Messages) == Carries::Bytes {
            entities.row(*entity, GroupId::WebSocket, &peer.picked(), at)[0].shift(1);
        }
    }

    /// Messages have passed an open connection; unknown connections are ignored.
    pub fn messages(&mut self, conn: ConnId, carrier: Carrier, direction: Direction, passed: Passed, at: Mono) {
        let Self { connections, entities, .. } = self;
        let Some(Tracked { entity, peer, .. }) = connections.get(&conn) else { return };
        if passed == Passed::default() {
            return;
        }
        let way = match direction {
            Direction::Egress => "transmit",
            Direction::Ingress => "receive",
        };
        let group = match carrier {
            Carrier::WebSocket => GroupId::WebSocketIo,
            Carrier::EventStream => GroupId::EventStreamIo,
        };
        let row = entities.row(*entity, group, &peer.with(way), at);
        row[MESSAGES].add(passed.messages);
        row[IO].add(passed.bytes);
    }
}

impl<E: Copy + Eq + Hash, C: Default> Aggregate<E, C> {
    /// So many more streams of events are open on an open connection; they end with it.
    pub fn streams(&mut self, conn: ConnId, more: i64, at: Mono) {
        let Self { connections, entities, .. } = self;
        let Some(Tracked { entity, peer, streams, .. }) = connections.get_mut(&conn).filter(|_| more != 0) else { return };
        *streams += more;
        entities.streams(*entity, peer, more, at);
    }
}

impl<E: Copy + Eq + Hash, C: Default> Entities<E, C> {
    pub(super) fn streams(&mut self, entity: E, peer: &PeerKey, more: i64, at: Mono) {
        self.row(entity, GroupId::EventStream, &peer.picked(), at)[0].shift(more);
    }

    pub(super) fn messages_end(&mut self, entity: E, peer: &PeerKey, at: Mono) {
        self.row(entity, GroupId::WebSocket, &peer.picked(), at)[0].shift(-1);
    }
}
