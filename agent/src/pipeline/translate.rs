//! Wire records of the kernel side to values of the core, and policies back. Pure.

use super::early::{Early, Ends};
use remora_core::flow::{Amount, Capture, Direction, Order, Segment};
use remora_core::model::{CgroupId, Close, ConnId, ConnInfo, Mono, Owner, Pid, Role, Task, Tid, Transport, semconv};
use remora_core::proto::OPENINGS;
use remora_ebpf::wire::{self, Record};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Address of the wire; IPv4-mapped becomes IPv4.
pub(super) fn address(ip: [u8; 16], port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::from(ip)).to_canonical(), port)
}

fn task(tgid: u32, tid: u32) -> Option<Task> {
    (tgid != 0 && tid != 0).then_some(Task { pid: Pid(tgid), tid: Tid(tid) })
}

fn role(role: u8) -> Option<Role> {
    match role {
        wire::ROLE_CLIENT => Some(Role::Client),
        wire::ROLE_SERVER => Some(Role::Server),
        _ => None,
    }
}

/// A record without the processes that it names: their ids mean nothing here.
pub(super) fn nameless(record: Record<'_>) -> Record<'_> {
    let open = |open: wire::Open| wire::Open { tgid: 0, ..open };
    match record {
        Record::Segment(head, data) => Record::Segment(wire::Segment { tgid: 0, tid: 0, ..head }, data),
        Record::Datagram(head, data) => Record::Datagram(wire::Datagram { open: open(head.open), tid: 0, ..head }, data),
        Record::Early(head, data) => Record::Early(head, data),
        Record::Open(head) => Record::Open(open(head)),
        Record::Totals(totals) => Record::Totals(totals),
        Record::Close(totals) => Record::Close(totals),
        Record::Read(read) => Record::Read(wire::Read { tgid: 0, tid: 0, ..read }),
        Record::Listen(listen) => Record::Listen(wire::Listen { tgid: 0, ..listen }),
    }
}

/// Text up to the first NUL.
fn comm(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

/// What a connection's record says of it.
pub(super) fn connection(open: &wire::Open) -> ConnInfo {
    let remote = address(open.remote, open.remote_port);
    let dialed = (open.dialed_port != 0).then(|| address(open.dialed, open.dialed_port)).filter(|dialed| *dialed != remote);
    ConnInfo {
        id: ConnId(open.cookie),
        transport: if open.transport == wire::IPPROTO_UDP { Transport::Udp } else { Transport::Tcp },
        local: address(open.local, open.local_port),
        remote,
        dialed,
        role: role(open.role),
        owner: (open.tgid != 0).then(|| Owner { pid: Pid(open.tgid), comm: comm(&open.comm) }),
        cgroup: (open.cgroup != 0).then_some(CgroupId(open.cgroup)),
        opened: Mono(open.time),
        midway: open.midway != 0,
    }
}

/// Id of a socket's talk with one peer: a datagram socket may have many.
pub(super) fn datagram_id(info: &ConnInfo) -> ConnId {
    use std::hash::{Hash, Hasher};
    let mut hasher = rustc_hash::FxHasher::default();
    (info.id, info.local, info.remote).hash(&mut hasher);
    // Cookies of the kernel are small numbers: the upper bit keeps the two kinds apart.
    ConnId(hasher.finish() | 1 << 63)
}

/// Adds what a later record of the same connection knows and `known` does not.
pub(super) fn complete(known: &mut ConnInfo, later: ConnInfo) {
    let ConnInfo { role, owner, cgroup, dialed, id: _, transport: _, local: _, remote: _, opened: _, midway: _ } = later;
    known.role = known.role.or(role);
    known.cgroup = known.cgroup.or(cgroup);
    known.dialed = known.dialed.or(dialed);
    if known.owner.is_none() {
        known.owner = owner;
    }
}

/// What a record tells of a stream: the range whose beginning was captured, and the rest of it if its tail was as well.
pub(super) fn segments<'a>(record: &'a wire::Segment, data: &'a [u8]) -> (Segment<'a>, Option<Segment<'a>>) {
    let (captured, tail_len) = (record.captured, record.tail_len);
    let tail = record.tail.get(..tail_len as usize).unwrap_or_default();
    let whole = Segment {
        direction: direction(record.direction),
        time: Mono(record.time),
        seq: record.seq,
        ack: record.ack,
        len: record.len,
        data_at: 0,
        data,
        order: match record.order {
            wire::ORDER_AHEAD => Order::Ahead,
            wire::ORDER_OLD => Order::Old,
            _ => Order::Next,
        },
        task: task(record.tgid, record.tid),
    };
    let rest = record.len.saturating_sub(captured);
    let data_at = rest.saturating_sub(tail_len);
    match (captured, tail_len) {
        (_, 0) => (whole, None),
        (0, _) => (Segment { data_at, data: tail, ..whole }, None),
        _ => {
            let seq = record.seq.wrapping_add(captured);
            let end = Segment { seq, len: rest, data_at, data: tail, order: Order::Next, task: None, ..whole };
            (Segment { len: captured, ..whole }, Some(end))
        }
    }
}

/// A datagram as the flow takes it: a segment without places in a stream.
pub(super) fn datagram<'a>(record: &wire::Datagram, data: &'a [u8]) -> Segment<'a> {
    Segment {
        direction: direction(record.direction),
        time: Mono(record.open.time),
        seq: 0,
        ack: 0,
        len: record.len,
        data_at: 0,
        data,
        order: Order::Next,
        task: task(record.open.tgid, record.tid),
    }
}

/// A segment that came to a listener, and the ends of its connection.
pub(super) fn early(record: &wire::Early, data: &[u8]) -> (Ends, Early) {
    let open = &record.open;
    let ends = (address(open.local, open.local_port), address(open.remote, open.remote_port));
    (ends, Early { time: Mono(open.time), seq: record.seq, ack: record.ack, len: record.len, data: data.into() })
}

/// The same as the flow takes it.
pub(super) fn early_segment(early: &Early) -> Segment<'_> {
    Segment {
        direction: Direction::Ingress,
        time: early.time,
        seq: early.seq,
        ack: early.ack,
        len: early.len,
        data_at: 0,
        data: &early.data,
        order: Order::Next,
        task: None,
    }
}

pub(super) fn direction(direction: u8) -> Direction {
    if direction == wire::INGRESS { Direction::Ingress } else { Direction::Egress }
}

/// Thread of a read record.
pub(super) fn reader(read: &wire::Read) -> Option<Task> {
    task(read.tgid, read.tid)
}

/// Amount as the kernel side writes it.
pub(super) fn amount(amount: Amount) -> wire::Amount {
    match amount {
        Amount::Nothing => wire::Amount::NOTHING,
        Amount::Burst(bytes) => wire::Amount::burst(bytes),
        Amount::Segment(bytes) => wire::Amount::segment(bytes),
    }
}

/// What clients begin with where capture must know at once what to take.
pub fn openings() -> Vec<([u8; wire::OPENING], wire::Policy)> {
    let policy = |capture: Capture| wire::Policy { egress: amount(capture.client), ingress: amount(capture.server) };
    OPENINGS.iter().filter_map(|(bytes, capture)| Some((*bytes.first_chunk()?, policy(*capture)))).collect()
}

/// `TCP_SYN_SENT` of `include/net/tcp_states.h`.
const TCP_SYN_SENT: u8 = 2;
/// A connect that the local end gave up sooner than this was not ended by SYN retransmission (RFC 6298 §2: 1 s).
const FIRST_RETRANSMISSION_NS: u64 = 1_000_000_000;

/// `error.type` of a connection that never was established; `None` if it was.
pub(super) fn connect_failure(totals: &wire::Totals, opened: Mono) -> Option<&'static str> {
    if totals.old_state != TCP_SYN_SENT {
        return None;
    }
    Some(if totals.flags_ingress & wire::TCP_RST != 0 {
        semconv::ERROR_REFUSED
    } else if totals.time.saturating_sub(opened.0) >= FIRST_RETRANSMISSION_NS {
        semconv::ERROR_TIMEOUT
    } else {
        semconv::ERROR_OTHER
    })
}

/// How a connection ended, by the flags that passed.
pub(super) fn close(totals: &wire::Totals) -> Close {
    let reset = |flags: u8| flags & wire::TCP_RST != 0;
    let fin = |flags: u8| flags & wire::TCP_FIN != 0;
    match (totals.flags_egress, totals.flags_ingress) {
        (_, ingress) if reset(ingress) => Close::ResetByRemote,
        (egress, _) if reset(egress) => Close::ResetByLocal,
        (egress, ingress) if fin(egress) || fin(ingress) => Close::Fin,
        _ => Close::TimedOut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(old_state: u8, egress: u8, ingress: u8, time: u64) -> wire::Totals {
        wire::Totals {
            kind: wire::KIND_CLOSE,
            flags_ingress: ingress,
            flags_egress: egress,
            old_state,
            retransmits: 0,
            cookie: 1,
            time,
            bytes_sent: 0,
            bytes_received: 0,
            segments_sent: 0,
            segments_received: 0,
            srtt_us: 0,
            reserved: 0,
        }
    }

    #[test]
    fn a_record_is_the_range_that_it_stands_for() {
        let parts = |captured, tail_len| {
            let record = wire::Segment {
                kind: wire::KIND_SEGMENT,
                direction: wire::INGRESS,
                order: wire::ORDER_AHEAD,
                flags: 0,
                captured,
                cookie: 1,
                time: 2,
                seq: u32::MAX - 1,
                ack: 3,
                len: 100,
                tail_len,
                tgid: 4,
                tid: 5,
                tail: *b"0123456789abcdef",
            };
            let part = |part: &Segment<'_>| (part.seq, part.len, part.data_at, part.data.len(), part.order, part.task.is_some());
            let data = vec![0; captured as usize];
            let (first, rest) = segments(&record, &data);
            (part(&first), rest.as_ref().map(part))
        };
        assert_eq!(parts(0, 0), ((u32::MAX - 1, 100, 0, 0, Order::Ahead, true), None));
        assert_eq!(parts(60, 0), ((u32::MAX - 1, 100, 0, 60, Order::Ahead, true), None));
        assert_eq!(parts(0, 16), ((u32::MAX - 1, 100, 84, 16, Order::Ahead, true), None));
        assert_eq!(parts(60, 16), ((u32::MAX - 1, 60, 0, 60, Order::Ahead, true), Some((58, 40, 24, 16, Order::Next, false))));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1];
        assert_eq!(address(mapped, 80), "10.0.0.1:80".parse().unwrap());
        assert_eq!(address([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], 80), "[::1]:80".parse().unwrap());
    }

    #[test]
    fn every_opening_is_long_enough_for_the_kernel() {
        let openings = openings();
        assert_eq!(openings.len(), OPENINGS.len());
        let whole = wire::Amount::segment(u32::MAX);
        assert_eq!(openings, [(*b"PRI * HT", wire::Policy { egress: whole, ingress: whole })]);
    }

    #[test]
    fn a_failed_connect_has_its_reason() {
        let failure = |old, ingress, time| connect_failure(&totals(old, wire::TCP_SYN, ingress, time), Mono(0));
        assert_eq!(failure(TCP_SYN_SENT, wire::TCP_RST | wire::TCP_ACK, 10), Some("connection_refused"));
        assert_eq!(failure(TCP_SYN_SENT, 0, 3_000_000_000), Some("timeout"));
        assert_eq!(failure(TCP_SYN_SENT, 0, 10), Some("_OTHER"));
        assert_eq!(failure(1, wire::TCP_RST, 10), None);
    }

    #[test]
    fn the_flags_tell_how_a_connection_ended() {
        let ended = |egress, ingress| close(&totals(1, egress, ingress, 0));
        assert_eq!(ended(wire::TCP_FIN, wire::TCP_RST), Close::ResetByRemote);
        assert_eq!(ended(wire::TCP_RST, wire::TCP_FIN), Close::ResetByLocal);
        assert_eq!(ended(wire::TCP_FIN, wire::TCP_FIN), Close::Fin);
        assert_eq!(ended(wire::TCP_ACK, wire::TCP_ACK), Close::TimedOut);
    }
}
