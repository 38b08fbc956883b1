//! Who is at both ends of a connection: its owner or who stands in for it, and the other end where that is on this node.

use super::identity::{Identity, identify, nobody};
use super::listeners::Listeners;
use super::peers::{self, Peers};
use crate::entity::host::Host;
use crate::entity::table::{Entities, Entity, EntityKind};
use crate::trace::span::Peer;
use remora_core::model::{ConnInfo, Pid, Role};
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
            Identity::Known(entity) if entity.kind == EntityKind::Unknown => Identity::Known(self.stand_in(conn).unwrap_or(entity)),
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
        let owner = owner(conn).and_then(|pid| self.entities.known(pid));
        let owner = owner.filter(|entity| entity.kind != EntityKind::Unknown);
        owner.or_else(|| self.entities.get(self.listeners.of(conn, &self.entities)?))
    }

    /// The other end, if it is known: also where the process that served this connection was gone before it was looked at.
    pub(super) fn other(&self, conn: &ConnInfo) -> Option<Arc<Entity>> {
        let entity = peers::entity(&self.peers, &self.entities, conn)?;
        if entity.kind != EntityKind::Unknown {
            return Some(entity);
        }
        let listener = self.listeners.of(&turned(conn), &self.entities).and_then(|id| self.entities.get(id));
        listener.or_else(|| Some(entity).filter(|entity| entity.service.name != self.nobody.service.name))
    }

    /// Whether all that will be known of the other end is known: a process of this node is still being looked up if not.
    pub(super) fn knows_other(&self, conn: &ConnInfo) -> bool {
        self.peers.other(conn).is_none_or(|pid| self.entities.known(pid).is_some())
    }
}

/// Process that owns a connection, if known.
pub(super) fn owner(conn: &ConnInfo) -> Option<Pid> {
    conn.owner.as_ref().map(|owner| owner.pid)
}

/// A connection of this node as its other end sees it.
fn turned(conn: &ConnInfo) -> ConnInfo {
    let role = conn.role.map(|role| match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    });
    ConnInfo { local: conn.remote, remote: conn.local, role, owner: None, ..conn.clone() }
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
