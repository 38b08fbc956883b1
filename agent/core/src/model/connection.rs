//! What is known of a connection: its addresses, its observed end and the process that owns it.

use super::{CgroupId, ConnId, Mono, Pid};
use std::net::SocketAddr;

/// Transport protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP: a byte stream each way.
    Tcp,
    /// UDP: datagrams; a "connection" is one socket's talk with one peer.
    Udp,
}

/// Which part the observed (local) end plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It opened the connection or sends the requests.
    Client,
    /// It accepted the connection or answers the requests.
    Server,
}

/// The process that owns the socket, as the kernel told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Process.
    pub pid: Pid,
    /// `comm` of the thread that connected, listened or read; empty if unknown.
    pub comm: String,
}

/// One observed end of one connection. Two processes on this node that talk to each other are two of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnInfo {
    /// Its id.
    pub id: ConnId,
    /// TCP or UDP.
    pub transport: Transport,
    /// Address of the observed end; IPv4-mapped IPv6 addresses are IPv4 here.
    pub local: SocketAddr,
    /// Address of the other end as packets carry it (after NAT).
    pub remote: SocketAddr,
    /// Address that the client dialled (before NAT), where a hook saw it and it differs from `remote`.
    pub dialed: Option<SocketAddr>,
    /// Part of the observed end, once known.
    pub role: Option<Role>,
    /// Owning process, once known.
    pub owner: Option<Owner>,
    /// cgroup v2 of the socket, where it is not the root.
    pub cgroup: Option<CgroupId>,
    /// When the connection began, or was first seen.
    pub opened: Mono,
    /// Whether it existed before capture saw it.
    pub midway: bool,
}

impl ConnInfo {
    /// Address of the server end; `None` while the roles are unknown.
    #[must_use]
    pub fn server(&self) -> Option<SocketAddr> {
        self.role.map(|role| match role {
            Role::Client => self.dialed.unwrap_or(self.remote),
            Role::Server => self.local,
        })
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    /// Both ends closed in order.
    Fin,
    /// The local end reset it.
    ResetByLocal,
    /// The remote end reset it.
    ResetByRemote,
    /// The kernel gave up on retransmission.
    TimedOut,
    /// Capture lost sight of it: the end of the capture file, an evicted entry, the agent stopping.
    Unobserved,
}
