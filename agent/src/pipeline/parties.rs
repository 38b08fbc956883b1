//! Who is at both ends of a connection: its owner or who stands in for it, and the other end where that is on this node.

use super::identity::{Identity, identify, nobody};
use super::listeners::Listeners;
use super::peers::Peers;
use crate::entity::host::Host;
use crate::entity::table::{Entities, Entity, EntityKind};
use crate::trace::span::Peer;
use remora_core::model::{ConnInfo, Pid, Role, Transport};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Most exchanges, and most connections, that wait for their owner to become known.
pub(super) const WAITING: usize = 20_000;
/// How long they wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// What is known of processes, connections and listeners, and of whom they belong to.
pub(super) struct Parties {
    pub(super) entities: Entities,
    pub(super) peers: Peers,
    pub(super) listeners: Listeners,
    /// Owner of what nobody is known to own.
    pub(super) nobody: Arc<Entity>,
}

impl Parties {
    pub(super) fn new(entities: Entities, host: &Host) -> Self {
        Self { entities, peers: Peers::default(), listeners: Listeners::default(), nobody: nobody(host) }
    }

    /// Whose `pid`'s end of `conn` is. A process that was gone before it could be looked at is part of what owns the
    /// connection, or listens where it was accepted: a server may have a process for each connection.
    pub(super) fn whose(&self, conn: &ConnInfo, pid: Option<Pid>) -> Identity {
        match identify(&self.entities, conn, pid) {
            Identity::Known(entity) if !is_named(&entity) => Identity::Known(self.stand_in(conn).unwrap_or(entity)),
            identity => identity,
        }
    }

    /// Owner of a connection.
    pub(super) fn owner(&self, conn: &ConnInfo) -> Identity {
        self.whose(conn, owner(conn))
    }

    /// Who counts as the owner where that will not become known.
    pub(super) fn stand_in_or_nobody(&self, conn: &ConnInfo) -> Arc<Entity> {
        self.stand_in(conn).unwrap_or_else(|| Arc::clone(&self.nobody))
    }

    fn stand_in(&self, conn: &ConnInfo) -> Option<Arc<Entity>> {
        let owner = owner(conn).and_then(|pid| self.entities.known(pid)).filter(is_named);
        owner.or_else(|| self.listening(conn, Role::Server, conn.local))
    }

    /// What is known of the other end.
    pub(super) fn other_end(&self, conn: &ConnInfo) -> Other {
        match self.peers.other(conn) {
            Some(pid) => match self.entities.known(pid) {
                Some(entity) => Other::Settled(self.named(conn, entity)),
                None => Other::Pending,
            },
            None => Other::Settled(self.at_address(conn)),
        }
    }

    /// The other end as far as it is known now.
    pub(super) fn other(&self, conn: &ConnInfo) -> Option<Arc<Entity>> {
        match self.other_end(conn) {
            Other::Settled(other) => other,
            Other::Pending => self.at_address(conn),
        }
    }

    /// A container by the other end's address.
    fn at_address(&self, conn: &ConnInfo) -> Option<Arc<Entity>> {
        let dialed = || self.entities.by_endpoint(conn.dialed?);
        self.named(conn, self.entities.by_endpoint(conn.remote).or_else(dialed)?)
    }

    /// The other end by a name that says something: where its process was gone before it was looked at, that of who listens.
    fn named(&self, conn: &ConnInfo, other: Arc<Entity>) -> Option<Arc<Entity>> {
        if is_named(&other) {
            return Some(other);
        }
        let listener = self.listening(conn, Role::Client, conn.remote);
        listener.or_else(|| Some(other).filter(|entity| entity.service.name != self.nobody.service.name))
    }

    /// The only one who listens at `address`, where `conn` is an end in `role` of what was accepted there.
    fn listening(&self, conn: &ConnInfo, role: Role, address: SocketAddr) -> Option<Arc<Entity>> {
        let was_accepted = conn.role == Some(role) && conn.transport == Transport::Tcp;
        self.entities.get(self.listeners.at(address, &self.entities).filter(|_| was_accepted)?)
    }
}

/// The other end of a connection.
pub(super) enum Other {
    /// A process of this node that is still being looked up.
    Pending,
    /// All that will be known of it.
    Settled(Option<Arc<Entity>>),
}

/// Whether more is known of a process than that it was there.
fn is_named(entity: &Arc<Entity>) -> bool {
    entity.kind != EntityKind::Unknown
}

/// Process that owns a connection, if known.
pub(super) fn owner(conn: &ConnInfo) -> Option<Pid> {
    conn.owner.as_ref().map(|owner| owner.pid)
}

/// The other end as spans and metrics name it.
pub(super) fn peer_of(other: Option<&Entity>) -> Peer<'_> {
    other.map_or_else(Peer::default, |other| Peer {
        service: &other.service.name,
        namespace: other.service.namespace.as_deref().unwrap_or_default(),
        container: other.container_name().unwrap_or_default(),
        host: "",
    })
}
