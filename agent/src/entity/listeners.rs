//! Who listens on which TCP port and address, in each network namespace.
//!
//! Refreshed from time to time; the expensive part, finding a socket's process, is done only for sockets that are new or
//! whose process is gone: a daemon's first process listens and leaves the socket to its child.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use remora_core::model::Pid;

use super::process::{self, NetNs};
use super::sockets::{self, Limits, Skipped, SocketInode, SocketState};

/// Who listened when that was last looked at. The process is the one that holds the socket; of several, the oldest.
#[derive(Debug, Default)]
pub struct Listening {
    pub(super) ports: HashMap<(NetNs, u16), Pid>,
    /// Each socket by itself, but those of the agent: an address is there more than once if several namespaces or sockets
    /// have it.
    pub addresses: Vec<(Pid, SocketAddr)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    owners: HashMap<SocketInode, Option<Pid>>,
    listening: Arc<Listening>,
}

impl Listeners {
    /// What the last look found.
    pub(super) fn listening(&self) -> &Arc<Listening> {
        &self.listening
    }

    /// Reads the kernel's tables again. Blocks.
    pub(super) fn refresh(mut self, proc_root: &Path) -> Self {
        let limits = Limits::default();
        let mut skipped = Skipped::default();
        let listening: Vec<_> = sockets::sockets(proc_root, &limits, &mut skipped)
            .into_iter()
            .filter(|socket| socket.state == SocketState::Listening)
            .collect();
        let inodes: HashSet<_> = listening.iter().map(|socket| socket.inode).collect();
        let is_there = |pid: Pid| process::dir(proc_root, pid).exists();
        self.owners.retain(|inode, owner| inodes.contains(inode) && owner.is_none_or(is_there));
        let strangers: HashSet<_> = inodes.into_iter().filter(|inode| !self.owners.contains_key(inode)).collect();
        if !strangers.is_empty() {
            let found = sockets::owners(proc_root, strangers.clone(), &limits, &mut skipped);
            // Sockets of the kernel itself (NFS) have no owner; they are not looked for again.
            self.owners.extend(strangers.into_iter().map(|inode| (inode, found.get(&inode).copied())));
        }
        let own = process::own(proc_root);
        let mut now = Listening { ports: HashMap::with_capacity(listening.len()), addresses: Vec::with_capacity(listening.len()) };
        for socket in listening {
            if let Some(Some(pid)) = self.owners.get(&socket.inode).copied() {
                let owner = now.ports.entry((socket.net, socket.local.port())).or_insert(pid);
                *owner = (*owner).min(pid);
                if own != Some(pid) {
                    now.addresses.push((pid, socket.local));
                }
            }
        }
        self.listening = Arc::new(now);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    const LISTENING: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
        0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 INODE 1 0000000000000000 100 0 0 10 0\n";

    fn holder(proc: &fixture::Tree, pid: u32, net: u32, inode: &str) {
        proc.link(&format!("{pid}/ns/net"), &format!("net:[{net}]"));
        proc.write(&format!("{pid}/net/tcp"), LISTENING.replace("INODE", inode));
        proc.link(&format!("{pid}/fd/3"), &format!("socket:[{inode}]"));
    }

    fn addresses(listeners: &Listeners) -> Vec<(u32, String)> {
        let mut all: Vec<_> = listeners.listening().addresses.iter().map(|(pid, address)| (pid.0, address.to_string())).collect();
        all.sort();
        all
    }

    #[test]
    fn an_address_is_listened_on_in_each_namespace_that_has_it() {
        let proc = fixture::tree(&[]);
        holder(&proc, 10, 1, "71");
        holder(&proc, 20, 2, "72");
        let listeners = Listeners::default().refresh(proc.path());
        assert_eq!(addresses(&listeners), [(10, "0.0.0.0:80".into()), (20, "0.0.0.0:80".into())]);
        assert_eq!(listeners.listening().ports, HashMap::from([((NetNs(1), 80), Pid(10)), ((NetNs(2), 80), Pid(20))]));
    }

    #[test]
    fn a_socket_that_a_child_inherits_is_the_childs_when_the_parent_is_gone() {
        let proc = fixture::tree(&[]);
        holder(&proc, 10, 1, "71");
        let listeners = Listeners::default().refresh(proc.path());
        holder(&proc, 11, 1, "71");
        let listeners = listeners.refresh(proc.path());
        assert_eq!(addresses(&listeners), [(10, "0.0.0.0:80".into())], "both hold it");
        std::fs::remove_dir_all(proc.path().join("10")).expect("the parent");
        assert_eq!(addresses(&listeners.refresh(proc.path())), [(11, "0.0.0.0:80".into())]);
    }

    #[test]
    fn the_agents_own_socket_names_its_port_and_is_not_reported() {
        let proc = fixture::tree(&[]);
        holder(&proc, 10, 1, "71");
        proc.link("self", "10");
        let listeners = Listeners::default().refresh(proc.path());
        assert_eq!(addresses(&listeners), []);
        assert_eq!(listeners.listening().ports, HashMap::from([((NetNs(1), 80), Pid(10))]));
    }
}
