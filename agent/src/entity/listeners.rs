//! Who listens on which TCP port, in each network namespace.
//!
//! Refreshed from time to time; the expensive part, finding a socket's process, is done only for sockets that are new.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use remora_core::model::Pid;

use super::process::NetNs;
use super::sockets::{self, Limits, Skipped, SocketInode, SocketState};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Listeners {
    owners: HashMap<SocketInode, Option<Pid>>,
    ports: HashMap<(NetNs, u16), Pid>,
}

impl Listeners {
    /// The process that listens; of several, the oldest.
    pub(super) fn ports(&self) -> &HashMap<(NetNs, u16), Pid> {
        &self.ports
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
        self.owners.retain(|inode, _| inodes.contains(inode));
        let strangers: HashSet<_> = inodes.into_iter().filter(|inode| !self.owners.contains_key(inode)).collect();
        if !strangers.is_empty() {
            let found = sockets::owners(proc_root, strangers.clone(), &limits, &mut skipped);
            // Sockets of the kernel itself (NFS) have no owner; they are not looked for again.
            self.owners.extend(strangers.into_iter().map(|inode| (inode, found.get(&inode).copied())));
        }
        self.ports = HashMap::with_capacity(listening.len());
        for socket in listening {
            if let Some(Some(pid)) = self.owners.get(&socket.inode).copied() {
                let owner = self.ports.entry((socket.net, socket.local.port())).or_insert(pid);
                *owner = (*owner).min(pid);
            }
        }
        self
    }
}
