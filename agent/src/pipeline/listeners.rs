//! Who listens where on this node. Two processes that ever listened on one address leave nobody to be told by it.

use crate::entity::table::{Entities, EntityId, Who};
use remora_core::model::Pid;
use rustc_hash::FxHashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most listening addresses that are known.
const LISTENERS: usize = 4096;

/// An address that somebody listens on. The same address in several network namespaces is one of them.
struct Listener {
    pid: Pid,
    entity: Option<EntityId>,
    sole: Sole,
}

/// Whether an address was only ever listened on by one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sole {
    Yes,
    No,
}

/// All of them.
#[derive(Default)]
pub(super) struct Listeners {
    by_address: FxHashMap<SocketAddr, Listener>,
}

impl Listeners {
    /// `pid` listens on `address`.
    pub(super) fn begins(&mut self, address: SocketAddr, pid: Option<Pid>, entities: &Entities) {
        let Some(pid) = pid.filter(|_| self.by_address.len() < LISTENERS) else { return };
        // Asks for it; a later look finds it.
        let _ = entities.lookup(&Who::pid(pid));
        let sole = match self.by_address.get(&address) {
            Some(known) if known.pid != pid || known.sole == Sole::No => Sole::No,
            _ => Sole::Yes,
        };
        self.by_address.insert(address, Listener { pid, entity: None, sole });
    }

    /// Nobody listens on `address` any more. Gives who did, if that had become known.
    pub(super) fn ends(&mut self, address: SocketAddr) -> Option<EntityId> {
        self.by_address.remove(&address)?.entity
    }

    /// Listeners whose owners have become known since the last call.
    pub(super) fn found(&mut self, entities: &Entities) -> Vec<(EntityId, SocketAddr)> {
        let unknown = self.by_address.iter_mut().filter(|(_, listener)| listener.entity.is_none());
        let found = unknown.filter_map(|(address, listener)| {
            listener.entity = entities.known(listener.pid).map(|entity| entity.id);
            Some((listener.entity?, *address))
        });
        found.collect()
    }

    /// The only one who listens where connections to `address` are accepted.
    pub(super) fn at(&self, address: SocketAddr, entities: &Entities) -> Option<EntityId> {
        let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()].map(|any| SocketAddr::new(any, address.port()));
        let listener = [address, any[0], any[1]].into_iter().find_map(|address| self.by_address.get(&address))?;
        let entity = listener.entity.or_else(|| entities.known(listener.pid).map(|entity| entity.id));
        entity.filter(|_| listener.sole == Sole::Yes)
    }
}
