//! Packets to segments of connections: who is client, what is new, what ended.

use super::container::Frame;
use super::packet::{Header, Packet, Skipped, Tcp, parse};
use crate::flow::{Direction, Flow, Order, Segment, Sink};
use crate::model::{Close, ConnId, ConnInfo, Mono, Role, Transport};
use rustc_hash::FxHashMap;
use std::net::SocketAddr;

/// What a capture file held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Frames in the file.
    pub frames: u64,
    /// Frames of a link layer that is not read.
    pub other_link: u64,
    /// Frames that are neither TCP nor UDP.
    pub other: u64,
    /// Parts of datagrams that IP cut.
    pub fragments: u64,
    /// Frames with cut or broken headers.
    pub broken: u64,
    /// Packets of connections beyond the limit.
    pub over_limit: u64,
    /// Whether the file ends in the middle of a block.
    pub cut: bool,
}

/// Most connections that are told apart at once.
const MAX_CONNECTIONS: usize = 200_000;
/// Nanoseconds between two ticks of the flow.
const TICK: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Pair {
    transport: Transport,
    low: SocketAddr,
    high: SocketAddr,
}

#[derive(Debug)]
struct Known {
    /// `None` once it is over.
    id: Option<ConnId>,
    local: SocketAddr,
    /// Sequence number behind the highest byte of each direction.
    next: [Option<u32>; 2],
    fins: [bool; 2],
    /// First sequence number of the end that opened it, if that was seen.
    opened: Option<u32>,
}

/// A capture file on its way through a flow.
#[derive(Debug)]
pub struct Replay {
    end: Role,
    known: FxHashMap<Pair, Known>,
    last_id: u64,
    now: u64,
    ticked: u64,
    summary: Summary,
}

impl Replay {
    /// A replay that observes `end` of each connection.
    #[must_use]
    pub fn new(end: Role) -> Self {
        Self { end, known: FxHashMap::default(), last_id: 0, now: 0, ticked: 0, summary: Summary::default() }
    }

    pub(super) fn frame(&mut self, frame: &Frame<'_>, flow: &mut Flow, sink: &mut dyn Sink) {
        self.summary.frames += 1;
        self.now = self.now.max(frame.time);
        if self.now - self.ticked >= TICK {
            self.ticked = self.now;
            flow.tick(Mono(self.now), sink);
        }
        match parse(frame) {
            Ok(packet) => self.packet(&packet, Mono(frame.time), flow, sink),
            Err(Skipped::Link) => self.summary.other_link += 1,
            Err(Skipped::Other) => self.summary.other += 1,
            Err(Skipped::Fragment) => self.summary.fragments += 1,
            Err(Skipped::Broken) => self.summary.broken += 1,
        }
    }

    /// Ends what is still open.
    pub fn finish(self, flow: &mut Flow, sink: &mut dyn Sink) -> Summary {
        flow.finish(Mono(self.now), sink);
        self.summary
    }

    fn packet(&mut self, packet: &Packet<'_>, time: Mono, flow: &mut Flow, sink: &mut dyn Sink) {
        let (low, high) =
            if packet.source <= packet.destination { (packet.source, packet.destination) } else { (packet.destination, packet.source) };
        let transport = match packet.transport {
            Header::Tcp(_) => Transport::Tcp,
            Header::Udp => Transport::Udp,
        };
        let pair = Pair { transport, low, high };
        match packet.transport {
            Header::Tcp(tcp) => self.tcp(pair, packet, &tcp, time, flow, sink),
            Header::Udp => self.udp(pair, packet, time, flow, sink),
        }
    }

    fn udp(&mut self, pair: Pair, packet: &Packet<'_>, time: Mono, flow: &mut Flow, sink: &mut dyn Sink) {
        let is_followed = self.known.get(&pair).and_then(|known| known.id).is_some_and(|id| flow.info(id).is_some());
        if !is_followed && !self.open(pair, packet, None, time, flow, sink) {
            return;
        }
        let Some(known) = self.known.get_mut(&pair) else { return };
        let Some(id) = known.id else { return };
        let segment = Segment {
            direction: known.direction(packet.source),
            time,
            seq: 0,
            ack: 0,
            len: packet.len,
            data_at: 0,
            data: packet.payload,
            order: Order::Next,
            task: None,
        };
        flow.segment(id, &segment, sink);
    }

    fn tcp(&mut self, pair: Pair, packet: &Packet<'_>, tcp: &Tcp, time: Mono, flow: &mut Flow, sink: &mut dyn Sink) {
        let opens = (tcp.syn && !tcp.has_ack).then_some(tcp.seq);
        if let Some(known) = self.known.get(&pair)
            && opens.is_some()
            && known.opened != opens
        {
            // The ports are used again.
            if let Some(id) = known.id {
                flow.close(id, Close::Unobserved, time, sink);
            }
            self.known.remove(&pair);
        }
        if !self.known.contains_key(&pair) && (tcp.rst || !self.open(pair, packet, Some(tcp), time, flow, sink)) {
            return;
        }
        let Some(known) = self.known.get_mut(&pair) else { return };
        let Some(id) = known.id else { return };
        let direction = known.direction(packet.source);
        let seq = tcp.seq.wrapping_add(u32::from(tcp.syn));
        let order = known.order(direction, seq, packet.len);
        let mut segment = Segment {
            direction,
            time,
            seq,
            ack: if tcp.has_ack { tcp.ack } else { 0 },
            len: packet.len,
            data_at: 0,
            data: packet.payload,
            order,
            task: None,
        };
        if tcp.has_ack || tcp.syn {
            flow.segment(id, &segment, sink);
        }
        if tcp.rst {
            known.id = None;
            let how = if direction == Direction::Egress { Close::ResetByLocal } else { Close::ResetByRemote };
            flow.close(id, how, time, sink);
        } else if tcp.fin && !known.fins[index(direction)] {
            // An empty segment at the end shows what before it was not captured.
            (segment.seq, segment.len, segment.data) = (seq.wrapping_add(packet.len), 0, &[]);
            flow.segment(id, &segment, sink);
            known.fins[index(direction)] = true;
            flow.fin(id, direction, time, sink);
            if known.fins == [true; 2] {
                known.id = None;
                flow.close(id, Close::Fin, time, sink);
            }
        }
    }

    /// Begins to follow a connection, seen first by `packet`.
    fn open(&mut self, pair: Pair, packet: &Packet<'_>, tcp: Option<&Tcp>, time: Mono, flow: &mut Flow, sink: &mut dyn Sink) -> bool {
        if self.known.len() >= MAX_CONNECTIONS {
            self.known.retain(|_, known| known.id.is_some_and(|id| flow.info(id).is_some()));
        }
        if self.known.len() >= MAX_CONNECTIONS {
            self.summary.over_limit += 1;
            return false;
        }
        let (sender, receiver) = (packet.source, packet.destination);
        let (client, server, is_certain) = match tcp {
            Some(tcp) if tcp.syn && tcp.has_ack => (receiver, sender, true),
            Some(tcp) if tcp.syn => (sender, receiver, true),
            // A well-known port is lower than one that a client was given.
            _ if sender.port() < receiver.port() => (receiver, sender, false),
            _ => (sender, receiver, false),
        };
        let (local, remote) = if self.end == Role::Client { (client, server) } else { (server, client) };
        self.last_id += 1;
        let id = ConnId(self.last_id);
        let info = ConnInfo {
            id,
            transport: pair.transport,
            local,
            remote,
            dialed: None,
            role: is_certain.then_some(self.end),
            owner: None,
            cgroup: None,
            opened: time,
            midway: !is_certain && pair.transport == Transport::Tcp,
        };
        flow.open(info, sink);
        let opened = tcp.filter(|tcp| tcp.syn && !tcp.has_ack).map(|tcp| tcp.seq);
        self.known.insert(pair, Known { id: Some(id), local, next: [None; 2], fins: [false; 2], opened });
        true
    }
}

impl Known {
    fn direction(&self, source: SocketAddr) -> Direction {
        if source == self.local { Direction::Egress } else { Direction::Ingress }
    }

    /// Place of a segment among those before it, as capture on a socket would tell it.
    fn order(&mut self, direction: Direction, seq: u32, len: u32) -> Order {
        let next = &mut self.next[index(direction)];
        let end = seq.wrapping_add(len);
        let Some(high) = *next else {
            *next = Some(end);
            return Order::Next;
        };
        let is_behind = |a: u32, b: u32| a != b && a.wrapping_sub(b) < 1 << 31;
        if is_behind(end, high) {
            *next = Some(end);
        }
        match seq {
            seq if seq == high => Order::Next,
            seq if is_behind(seq, high) => Order::Ahead,
            _ => Order::Old,
        }
    }
}

fn index(direction: Direction) -> usize {
    match direction {
        Direction::Egress => 0,
        Direction::Ingress => 1,
    }
}
