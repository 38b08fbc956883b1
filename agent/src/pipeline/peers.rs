//! Who is at the other end of a connection, where both ends are on this node.

use remora_core::model::{ConnId, ConnInfo, Mono, Pid, Transport};
use rustc_hash::FxHashMap;
use std::net::SocketAddr;
use std::time::Duration;

/// Most connections whose ends are remembered.
const LIMIT: usize = 200_000;
/// How long the ends of a closed connection are remembered: the other end's last exchange may come later.
const REMEMBERED: Duration = Duration::from_secs(10);

/// Addresses of one end: own and peer's.
type Ends = (SocketAddr, SocketAddr);

#[derive(Debug)]
struct End {
    conn: ConnId,
    pid: Option<Pid>,
    closed: Option<Mono>,
}

/// Observed ends by their addresses. The same pair in several network namespaces is ambiguous and names nobody.
#[derive(Debug, Default)]
pub(super) struct Peers {
    ends: FxHashMap<Ends, Vec<End>>,
}

impl Peers {
    /// Notes an end, or what is new of it. Datagram sockets have no end that would be told, so they are not remembered.
    pub(super) fn note(&mut self, conn: &ConnInfo) {
        if conn.transport == Transport::Udp {
            return;
        }
        let ends = (conn.local, conn.remote);
        if self.ends.len() >= LIMIT && !self.ends.contains_key(&ends) {
            return;
        }
        let pid = conn.owner.as_ref().map(|owner| owner.pid);
        let all = self.ends.entry(ends).or_default();
        match all.iter_mut().find(|end| end.conn == conn.id) {
            Some(end) => end.pid = pid.or(end.pid),
            None => all.push(End { conn: conn.id, pid, closed: None }),
        }
    }

    /// An end is closed.
    pub(super) fn close(&mut self, conn: &ConnInfo, at: Mono) {
        for end in self.ends.get_mut(&(conn.local, conn.remote)).into_iter().flatten().filter(|end| end.conn == conn.id) {
            end.closed = Some(at);
        }
    }

    /// Forgets what closed long ago.
    pub(super) fn tick(&mut self, now: Mono) {
        self.ends.retain(|_, all| {
            all.retain(|end| end.closed.is_none_or(|closed| now.since(closed) < REMEMBERED));
            !all.is_empty()
        });
    }

    /// Whether the other end of `conn` is, or was a moment ago, observed on this node.
    pub(super) fn observes_other(&self, conn: &ConnInfo) -> bool {
        self.ends.get(&(conn.remote, conn.local)).is_some_and(|all| all.iter().any(|end| end.conn != conn.id))
    }

    /// Process of the other end of `conn`, if exactly one observed end fits.
    pub(super) fn other(&self, conn: &ConnInfo) -> Option<Pid> {
        let live = |all: &'_ Vec<End>| {
            let mut fitting = all.iter().filter(|end| end.conn != conn.id && end.closed.is_none());
            let first = fitting.next().or_else(|| all.iter().rfind(|end| end.conn != conn.id))?;
            if fitting.next().is_some() { None } else { first.pid }
        };
        self.ends.get(&(conn.remote, conn.local)).and_then(live)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use remora_core::model::Owner;

    fn conn(id: u64, local: &str, remote: &str, pid: u32) -> ConnInfo {
        ConnInfo {
            id: ConnId(id),
            transport: Transport::Tcp,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            dialed: None,
            role: None,
            owner: Some(Owner { pid: Pid(pid), comm: String::new() }),
            cgroup: None,
            opened: Mono(0),
            midway: false,
        }
    }

    #[test]
    fn the_other_end_is_the_one_with_the_addresses_turned_around() {
        let mut peers = Peers::default();
        let (client, server) = (conn(1, "10.0.0.1:4000", "10.0.0.2:80", 11), conn(2, "10.0.0.2:80", "10.0.0.1:4000", 22));
        peers.note(&client);
        peers.note(&server);
        assert_eq!((peers.other(&client), peers.other(&server)), (Some(Pid(22)), Some(Pid(11))));
        assert!(peers.observes_other(&client) && !peers.observes_other(&conn(3, "10.0.0.1:4001", "10.0.0.2:80", 11)));
        peers.close(&server, Mono(5));
        assert_eq!(peers.other(&client), Some(Pid(22)), "a closed end is still known for a while");
        peers.tick(Mono(20_000_000_000));
        assert_eq!(peers.other(&client), None);
    }

    #[test]
    fn two_ends_with_the_same_addresses_name_nobody() {
        let mut peers = Peers::default();
        peers.note(&conn(2, "127.0.0.1:80", "127.0.0.1:4000", 22));
        peers.note(&conn(3, "127.0.0.1:80", "127.0.0.1:4000", 33));
        assert_eq!(peers.other(&conn(1, "127.0.0.1:4000", "127.0.0.1:80", 11)), None);
    }
}
