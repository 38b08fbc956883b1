//! Family `flow`: what passes TCP sockets (and DNS over UDP), whose sockets they are, and how they end.
//!
//! Programs: `egress` and `ingress` (cgroup_skb), `sock_ops` (connection life), `connect4`/`connect6` (who dials what),
//! `tcp_rcv_space_adjust` (which thread reads). They know no application protocol, never change a packet or a socket,
//! and let everything pass: cgroup_skb and connect programs return 1 on every path.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod life;
#[cfg(target_arch = "bpf")]
mod segments;
#[cfg(target_arch = "bpf")]
mod sockets;

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(target_arch = "bpf"))]
fn main() {}
