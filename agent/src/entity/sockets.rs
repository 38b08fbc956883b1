//! TCP sockets that are open already, and who holds them: `/proc/PID/net/tcp{,6}` of each network namespace, joined with
//! the descriptors of processes by socket inode.
//!
//! For connections and listeners older than the agent; younger ones come from the kernel with their owner. Reads are
//! bounded by [`Limits`], and what was left out is counted. Only workers call this.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use remora_core::model::Pid;

use super::process::{self, NetNs};

/// How much one scan may look at.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Processes.
    pub pids: usize,
    /// Sockets, over all namespaces.
    pub sockets: usize,
    /// Descriptors, over all processes.
    pub descriptors: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { pids: 65_536, sockets: 262_144, descriptors: 1_048_576 }
    }
}

/// Inode of a socket, as `/proc/PID/fd` links name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketInode(pub u64);

/// State of a socket, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketState {
    /// Accepts connections.
    Listening,
    /// Has a peer, from the handshake to the last acknowledgement.
    Connected,
}

/// A TCP socket. IPv4-mapped addresses are given as IPv4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Its network namespace.
    pub net: NetNs,
    /// Own address.
    pub local: SocketAddr,
    /// Peer; unspecified while listening.
    pub remote: SocketAddr,
    /// Its state.
    pub state: SocketState,
    /// Its inode.
    pub inode: SocketInode,
}

/// What a scan had to leave out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Sockets and descriptors beyond the limits.
    pub over_limit: u64,
    /// Lines of the kernel's tables that are not in the known format.
    pub malformed: u64,
    /// Processes whose descriptors may not be read.
    pub unreadable: u64,
}

/// Sockets of a node with their owners.
#[derive(Clone, Debug, Default)]
pub struct SocketTable {
    sockets: Vec<Socket>,
    by_ends: HashMap<(SocketAddr, SocketAddr), Vec<u32>>,
    owners: HashMap<SocketInode, Pid>,
    /// What is missing in it.
    pub skipped: Skipped,
}

impl SocketTable {
    /// Reads everything below `proc_root`.
    #[must_use]
    pub fn scan(proc_root: &Path, limits: &Limits) -> Self {
        let mut skipped = Skipped::default();
        let sockets = sockets(proc_root, limits, &mut skipped);
        let wanted = sockets.iter().map(|socket| socket.inode).collect();
        let owners = owners(proc_root, wanted, limits, &mut skipped);
        let mut by_ends: HashMap<_, Vec<u32>> = HashMap::with_capacity(sockets.len());
        for (at, socket) in (0_u32..).zip(&sockets) {
            by_ends.entry((socket.local, socket.remote)).or_default().push(at);
        }
        Self { sockets, by_ends, owners, skipped }
    }

    /// All sockets.
    pub fn iter(&self) -> impl Iterator<Item = (&Socket, Option<Pid>)> {
        self.sockets.iter().map(|socket| (socket, self.owner(socket.inode)))
    }

    /// Process that holds a socket; of several, the one with the lowest id, which is the oldest in most trees.
    #[must_use]
    pub fn owner(&self, inode: SocketInode) -> Option<Pid> {
        self.owners.get(&inode).copied()
    }

    /// The socket with these two ends. Where several namespaces use the same addresses, `net` decides; without it, none.
    #[must_use]
    pub fn find(&self, local: SocketAddr, remote: SocketAddr, net: Option<NetNs>) -> Option<&Socket> {
        let found = self.by_ends.get(&(local, remote))?;
        let mut fitting = found.iter().map(|&at| &self.sockets[at as usize]).filter(|socket| net.is_none_or(|net| net == socket.net));
        let first = fitting.next()?;
        fitting.next().is_none().then_some(first)
    }
}

/// Sockets of every network namespace that has a process.
#[must_use]
pub fn sockets(proc_root: &Path, limits: &Limits, skipped: &mut Skipped) -> Vec<Socket> {
    let mut namespaces = HashSet::new();
    let mut sockets = Vec::new();
    for pid in process::pids(proc_root, limits.pids) {
        let Some(net) = process::net_namespace(proc_root, pid) else { continue };
        if !namespaces.insert(net) {
            continue;
        }
        for table in ["net/tcp", "net/tcp6"] {
            if let Ok(file) = std::fs::File::open(process::dir(proc_root, pid).join(table)) {
                read_table(file, net, limits, &mut sockets, skipped);
            }
        }
    }
    sockets
}

fn read_table(file: impl Read, net: NetNs, limits: &Limits, sockets: &mut Vec<Socket>, skipped: &mut Skipped) {
    // The first line holds the titles.
    for line in BufReader::new(file).split(b'\n').map_while(Result::ok).skip(1) {
        match parse_line(&line, net) {
            Line::Socket(_) if sockets.len() >= limits.sockets => skipped.over_limit += 1,
            Line::Socket(socket) => sockets.push(socket),
            Line::Ownerless => {}
            Line::Malformed => skipped.malformed += 1,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Line {
    Socket(Socket),
    /// Time-wait and request sockets belong to no process.
    Ownerless,
    Malformed,
}

/// One line of `/proc/net/tcp`: slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode, …
fn parse_line(line: &[u8], net: NetNs) -> Line {
    let parsed = std::str::from_utf8(line).ok().and_then(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = address(fields.next()?)?;
        let remote = address(fields.next()?)?;
        let state = u8::from_str_radix(fields.next()?, 16).ok()?;
        let inode: u64 = fields.nth(5)?.parse().ok()?;
        Some((local, remote, state, inode))
    });
    const LISTEN: u8 = 10;
    match parsed {
        None => Line::Malformed,
        Some((_, _, _, 0)) => Line::Ownerless,
        Some((local, remote, state, inode)) => {
            let state = if state == LISTEN { SocketState::Listening } else { SocketState::Connected };
            Line::Socket(Socket { net, local, remote, state, inode: SocketInode(inode) })
        }
    }
}

/// `ADDRESS:PORT`: the address as 32-bit words in the machine's byte order, the port as a number.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    if !address.is_ascii() {
        return None;
    }
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = [0; 16];
    let words = address.len() / 8;
    if address.len() % 8 != 0 || !matches!(words, 1 | 4) {
        return None;
    }
    for (at, word) in bytes.as_chunks_mut::<4>().0.iter_mut().take(words).enumerate() {
        let value = u32::from_str_radix(&address[at * 8..at * 8 + 8], 16).ok()?;
        *word = value.to_ne_bytes();
    }
    let ip = match words {
        1 => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
        _ => Ipv6Addr::from(bytes).to_canonical(),
    };
    Some(SocketAddr::new(ip, port))
}

/// Which process holds each of the `wanted` sockets. Stops as soon as all are found.
#[must_use]
pub fn owners(proc_root: &Path, mut wanted: HashSet<SocketInode>, limits: &Limits, skipped: &mut Skipped) -> HashMap<SocketInode, Pid> {
    let mut found = HashMap::with_capacity(wanted.len());
    let mut budget = limits.descriptors;
    for pid in process::pids(proc_root, limits.pids) {
        if wanted.is_empty() {
            break;
        }
        let Ok(descriptors) = std::fs::read_dir(process::dir(proc_root, pid).join("fd")) else {
            skipped.unreadable += 1;
            continue;
        };
        for descriptor in descriptors.flatten() {
            if budget == 0 {
                skipped.over_limit += 1;
                return found;
            }
            budget -= 1;
            if let Some(inode) = socket_inode(&descriptor.path()).filter(|inode| wanted.remove(inode)) {
                found.insert(inode, pid);
            }
        }
    }
    found
}

/// Inode of a descriptor's link, which reads `socket:[4711]`.
fn socket_inode(link: &Path) -> Option<SocketInode> {
    let target = std::fs::read_link(link).ok()?;
    let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok().map(SocketInode)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture;
    use super::*;

    const TITLES: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";
    const TCP: &str = "   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   106        0 5001 1 0000000000000000 100 0 0 10 0\n   \
        1: 0100007F:1538 0100007F:C350 01 00000000:00000000 02:00000AAA 00000000   106        0 5002 2 0000000000000000 20 4 30 10 -1\n   \
        2: 0100007F:1538 0100007F:C351 06 00000000:00000000 03:00000AAA 00000000     0        0 0 3 0000000000000000\n   junk\n";
    const TCP6: &str = "   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 5003 1 0 100 0 0 10 0\n   \
        1: 0000000000000000FFFF00000100000A:0050 0000000000000000FFFF00000200000A:C352 08 00000000:00000000 00:00000000 00000000 0 0 5004 1 0 100 0 0 10 0\n";

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn node() -> fixture::Tree {
        let proc = fixture::tree(&[]);
        for (pid, net) in [("10", 1), ("11", 1), ("20", 2)] {
            proc.link(&format!("{pid}/ns/net"), &format!("net:[{net}]"));
            proc.write(&format!("{pid}/net/tcp"), format!("{TITLES}{TCP}"));
        }
        proc.write("10/net/tcp6", format!("{TITLES}{TCP6}"));
        proc.link("10/fd/0", "/dev/null");
        proc.link("10/fd/3", "socket:[5001]");
        proc.link("11/fd/3", "socket:[5001]");
        proc.link("11/fd/4", "socket:[5002]");
        proc.link("11/fd/5", "socket:[9999]");
        proc
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn sockets_and_owners_are_joined_by_inode() {
        let proc = node();
        let table = SocketTable::scan(proc.path(), &Limits::default());
        // Namespace 1 is read once although two processes live in it.
        let mut seen: Vec<_> =
            table.iter().map(|(socket, owner)| (socket.net.0, socket.inode.0, socket.state, owner.map(|pid| pid.0))).collect();
        seen.sort_unstable_by_key(|row| (row.0, row.1));
        use SocketState::{Connected, Listening};
        assert_eq!(
            seen,
            [
                (1, 5001, Listening, Some(10)),
                (1, 5002, Connected, Some(11)),
                (1, 5003, Listening, None),
                (1, 5004, Connected, None),
                (2, 5001, Listening, Some(10)),
                (2, 5002, Connected, Some(11)),
            ]
        );
        let mapped = table.find(at("10.0.0.1:80"), at("10.0.0.2:50002"), None).expect("an IPv4-mapped connection");
        assert_eq!(mapped.inode, SocketInode(5004));
        // The same ends in two namespaces: only the namespace tells which.
        let (local, remote) = (at("127.0.0.1:5432"), at("127.0.0.1:50000"));
        assert_eq!(table.find(local, remote, None), None);
        assert_eq!(table.find(local, remote, Some(NetNs(1))).map(|socket| socket.net), Some(NetNs(1)));
        assert_eq!((table.skipped.malformed, table.skipped.over_limit, table.skipped.unreadable), (2, 0, 1));
    }

    #[test]
    fn limits_hold_and_are_counted() {
        let proc = node();
        let table = SocketTable::scan(proc.path(), &Limits { pids: 100, sockets: 1, descriptors: 1 });
        assert_eq!(table.iter().count(), 1);
        assert!(table.skipped.over_limit >= 5, "{:?}", table.skipped);
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_line(&line, NetNs(1));
        }

        #[test]
        fn any_fields_are_read_without_panic(local in "[0-9A-Fé:]{0,40}", remote in "[0-9A-F]{8}:[0-9A-F]{4}", inode in "[0-9]{0,22}") {
            let _ = parse_line(format!("0: {local} {remote} 01 0:0 0:0 0 0 0 {inode} 1").as_bytes(), NetNs(1));
        }
    }

    mod root {
        use super::*;

        #[test]
        fn own_listener_and_connection_are_found_in_the_real_proc() {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
            let server = listener.local_addr().expect("address");
            let client = std::net::TcpStream::connect(server).expect("connect");
            let own = client.local_addr().expect("address");
            let table = SocketTable::scan(Path::new("/proc"), &Limits::default());
            let net = process::net_namespace(Path::new("/proc"), Pid(std::process::id()));
            let socket = table.find(own, server, net).expect("the connection");
            assert_eq!((socket.state, table.owner(socket.inode)), (SocketState::Connected, Some(Pid(std::process::id()))));
            let listening = table
                .iter()
                .find(|(socket, _)| socket.state == SocketState::Listening && socket.local == server && Some(socket.net) == net);
            assert_eq!(listening.expect("the listener").1, Some(Pid(std::process::id())));
        }
    }
}
