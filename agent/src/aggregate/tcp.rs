//! Metrics of connections, by peer: connects, failures, open connections, bytes, retransmits, round-trip times.
//!
//! A peer is the server side's address and port and the other side's name: the ephemeral ports of clients, and the
//! addresses of clients without a name, never make a series.

use super::instruments::GroupId;
use super::messages::Carries;
use super::series::{Picked, Scalar};
use super::{Aggregate, Entities};
use crate::trace::span::Peer;
use remora_core::model::{ConnId, ConnInfo, Mono, Role};
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What a connection has carried since it began, as the kernel counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Payload bytes sent.
    pub sent: u64,
    /// Payload bytes received.
    pub received: u64,
    /// Segments sent again.
    pub retransmits: u64,
}

/// Whether an address is listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// It is.
    Begins,
    /// It is no longer.
    Ends,
}

/// Texts of a peer's attributes.
#[derive(Clone, Debug)]
pub(super) struct PeerKey {
    role: &'static str,
    address: Box<str>,
    port: i64,
    reached: Option<Box<str>>,
    service: Box<str>,
    namespace: Box<str>,
}

/// Place of the attribute that follows the peer's six.
const EXTRA: usize = 6;
/// Places in [`GroupId::TcpPeer`].
const CONNECT_DURATION: usize = 0;
const CONNECTIONS: usize = 1;
const RETRANSMITS: usize = 2;
const RTT: usize = 3;

impl PeerKey {
    pub(super) fn new(conn: &ConnInfo, peer: &Peer<'_>) -> Self {
        let role = conn.role.unwrap_or(Role::Client);
        let server = match role {
            Role::Client => conn.dialed.unwrap_or(conn.remote),
            Role::Server => conn.local,
        };
        // Before and after address translation, where they differ.
        let reached = (role == Role::Client && server.ip() != conn.remote.ip()).then(|| text(conn.remote.ip()));
        let role = match role {
            Role::Client => "client",
            Role::Server => "server",
        };
        Self {
            role,
            address: text(server.ip()),
            port: i64::from(server.port()),
            reached,
            service: peer.service.into(),
            namespace: peer.namespace.into(),
        }
    }

    pub(super) fn picked(&self) -> Picked<'_> {
        let known = |text: &'_ str| !text.is_empty();
        let mut picked = Picked::default();
        picked[0] = Some(Scalar::Str(self.role));
        picked[1] = Some(Scalar::Str(&self.address));
        picked[2] = Some(Scalar::Int(self.port));
        picked[3] = self.reached.as_deref().map(Scalar::Str);
        picked[4] = known(&self.service).then_some(Scalar::Str(&self.service));
        picked[5] = known(&self.namespace).then_some(Scalar::Str(&self.namespace));
        picked
    }

    pub(super) fn with<'a>(&'a self, extra: &'a str) -> Picked<'a> {
        let mut picked = self.picked();
        picked[EXTRA] = Some(Scalar::Str(extra));
        picked
    }
}

fn text(address: IpAddr) -> Box<str> {
    address.to_string().into()
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Tracked<E> {
    pub(super) entity: E,
    pub(super) peer: PeerKey,
    totals: Totals,
    pub(super) carries: Carries,
    /// Open streams of events.
    pub(super) streams: i64,
}

impl<E: Copy + Eq + Hash, C: Default> Aggregate<E, C> {
    /// A connection of `entity` is open: it is counted until [`Self::closed`]. `took` is the time of its handshake, where the
    /// observed end opened it and that was seen. Told again with another entity or peer, it moves there.
    pub fn opened(&mut self, entity: E, conn: &ConnInfo, peer: &Peer<'_>, took: Option<Duration>, at: Mono) {
        let peer = PeerKey::new(conn, peer);
        let (totals, carries, streams) = self.forget(conn.id, at).unwrap_or_default();
        let row = self.entities.row(entity, GroupId::TcpPeer, &peer.picked(), at);
        row[CONNECTIONS].shift(1);
        if let Some(took) = took {
            row[CONNECT_DURATION].record(took.as_secs_f64());
        }
        self.connections.insert(conn.id, Tracked { entity, peer, totals, carries: Carries::Bytes, streams: 0 });
        if carries == Carries::Messages {
            self.carries_messages(conn.id, at);
        }
        self.streams(conn.id, streams, at);
    }

    /// A connect of `entity` failed with `error` (an `error.type`).
    pub fn connect_failed(&mut self, entity: E, conn: &ConnInfo, peer: &Peer<'_>, error: &str, at: Mono) {
        let peer = PeerKey::new(conn, peer);
        self.entities.row(entity, GroupId::TcpFailure, &peer.with(error), at)[0].add(1);
    }

    /// What an open connection has carried so far. Counters that went back are ignored; unknown connections are, too.
    pub fn carried(&mut self, conn: ConnId, totals: Totals, rtt: Option<Duration>, at: Mono) {
        let Self { connections, entities, .. } = self;
        let Some(Tracked { entity, peer, totals: before, .. }) = connections.get_mut(&conn) else { return };
        let ways = [("transmit", totals.sent, before.sent), ("receive", totals.received, before.received)];
        for (way, now, then) in ways {
            if now > then {
                entities.row(*entity, GroupId::TcpIo, &peer.with(way), at)[0].add(now - then);
            }
        }
        if totals.retransmits > before.retransmits || rtt.is_some() {
            let row = entities.row(*entity, GroupId::TcpPeer, &peer.picked(), at);
            let retransmits = totals.retransmits.saturating_sub(before.retransmits);
            if retransmits > 0 {
                row[RETRANSMITS].add(retransmits);
            }
            if let Some(rtt) = rtt {
                row[RTT].record(rtt.as_secs_f64());
            }
        }
        *before = Totals {
            sent: totals.sent.max(before.sent),
            received: totals.received.max(before.received),
            retransmits: totals.retransmits.max(before.retransmits),
        };
    }

    /// A connection is over; tell its last totals by [`Self::carried`] before.
    pub fn closed(&mut self, conn: ConnId, at: Mono) {
        self.forget(conn, at);
    }

    /// An address that `entity` listens on, or no longer does.
    pub fn listening(&mut self, entity: E, address: SocketAddr, listening: Listening, at: Mono) {
        let host = text(address.ip());
        let mut picked = Picked::default();
        picked[0] = Some(Scalar::Str(&host));
        picked[1] = Some(Scalar::Int(i64::from(address.port())));
        let value = match listening {
            Listening::Begins => Some(1),
            Listening::Ends => None,
        };
        self.entities.row(entity, GroupId::Listen, &picked, at)[0].set(value);
    }

    fn forget(&mut self, conn: ConnId, at: Mono) -> Option<(Totals, Carries, i64)> {
        let Tracked { entity, peer, totals, carries, streams } = self.connections.remove(&conn)?;
        if self.entities.contains(entity) {
            self.entities.row(entity, GroupId::TcpPeer, &peer.picked(), at)[CONNECTIONS].shift(-1);
            if carries == Carries::Messages {
                self.entities.messages_end(entity, &peer, at);
            }
            if streams != 0 {
                self.entities.streams(entity, &peer, -streams, at);
            }
        }
        Some((totals, carries, streams))
    }
}

impl<E: Copy + Eq + Hash, C: Default> Entities<E, C> {
    fn contains(&self, entity: E) -> bool {
        self.map.contains_key(&entity)
    }
}
