//! Who accepts the connections of an address, told as it changes. Two processes that ever listened on one address, or on
//! addresses that both may accept for, leave nobody to be told by it.

use crate::entity::table::{Entities, EntityId, Who};
use remora_core::model::Pid;
use rustc_hash::FxHashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most listening addresses that are known.
const LISTENERS: usize = 4096;

/// The sockets that listen on one address: several network namespaces may have it, or one several times.
#[derive(Clone, Copy)]
struct Listener {
    sockets: u32,
    pid: Pid,
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
    pub(super) fn begins(&mut self, address: SocketAddr, pid: Pid, entities: &Entities) {
        // Asks for it; a later look finds it.
        let _ = entities.lookup(&Who::pid(pid));
        self.begin(address, pid);
    }

    fn begin(&mut self, address: SocketAddr, pid: Pid) {
        if let Some(listener) = self.by_address.get_mut(&address) {
            listener.sockets += 1;
            if listener.pid != pid {
                listener.sole = Sole::No;
            }
        } else if self.by_address.len() < LISTENERS {
            self.by_address.insert(address, Listener { sockets: 1, pid, sole: Sole::Yes });
        }
    }

    /// One socket less listens on `address`.
    pub(super) fn ends(&mut self, address: SocketAddr) {
        let Some(listener) = self.by_address.get_mut(&address) else { return };
        listener.sockets -= 1;
        if listener.sockets == 0 {
            self.by_address.remove(&address);
        }
    }

    /// The only one who listens where connections to `address` are accepted.
    pub(super) fn at(&self, address: SocketAddr, entities: &Entities) -> Option<EntityId> {
        entities.known(self.only(address)?).map(|entity| entity.id)
    }

    fn only(&self, address: SocketAddr) -> Option<Pid> {
        let any = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()].map(|any| SocketAddr::new(any, address.port()));
        let mut accepting = [address, any[0], any[1]].into_iter().filter_map(|address| self.by_address.get(&address));
        let first = accepting.next()?;
        let others = accepting.all(|other| other.pid == first.pid && other.sole == Sole::Yes);
        (others && first.sole == Sole::Yes).then_some(first.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_tells_its_process_while_no_other_may_accept_there() {
        let mut listeners = Listeners::default();
        for address in ["0.0.0.0:80", "[::]:80", "10.0.0.1:81", "10.0.0.2:81"] {
            listeners.begin(at(address), Pid(1));
        }
        assert_eq!(listeners.only(at("10.0.0.1:80")), Some(Pid(1)));
        assert_eq!(listeners.only(at("10.0.0.1:81")), Some(Pid(1)));
        assert_eq!(listeners.only(at("10.0.0.3:81")), None);
        listeners.begin(at("127.0.0.1:80"), Pid(2));
        assert_eq!(listeners.only(at("127.0.0.1:80")), None, "the other may be of another namespace");
        assert_eq!(listeners.only(at("10.0.0.1:80")), Some(Pid(1)));
    }

    #[test]
    fn an_address_of_several_namespaces_tells_nobody_until_all_have_ended() {
        let mut listeners = Listeners::default();
        let address = at("[::]:8080");
        listeners.begin(address, Pid(1));
        listeners.begin(address, Pid(2));
        listeners.ends(address);
        assert_eq!(listeners.only(address), None, "which one ended?");
        listeners.begin(address, Pid(3));
        assert_eq!(listeners.only(address), None);
        listeners.ends(address);
        listeners.ends(address);
        listeners.begin(address, Pid(3));
        listeners.begin(address, Pid(3));
        assert_eq!(listeners.only(address), Some(Pid(3)));
        listeners.ends(address);
        assert_eq!(listeners.only(address), Some(Pid(3)), "the other socket of SO_REUSEPORT");
        listeners.ends(address);
        listeners.ends(address);
        assert_eq!(listeners.only(address), None);
    }
}
