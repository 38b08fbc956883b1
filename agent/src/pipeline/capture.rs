//! The capture thread: records out of the ring buffer, through flow and desk, batches and policies out.
//!
//! It sleeps between drains instead of being woken: a wake-up per record would cost the observed processes more than
//! everything else together. It must never wait for anything but that sleep.

use super::clock::Reading;
use super::desk::Desk;
use super::early::{self, Ends};
use super::spans::Outlet;
use super::translate;
use crate::bpf::Captured;
use crate::entity::sockets::{SocketState, SocketTable};
use crate::kernel::ProcessIds;
use crate::selfobs::{Counters, Event, Loss};
use crate::view::{ConnectionRow, Direction as Shown, UnixNanos, View};
use remora_core::flow::{Direction, Flow};
use remora_core::model::{Close, ConnId, ConnInfo, Mono, Owner, Pid, Role, Task, Transport};
use remora_ebpf::wire::{self, Counter, Malformed, Policy, Record};
use rustc_hash::FxHashMap;
use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Longest sleep: waking up is most of the cost of an agent with little to do.
const IDLE: Duration = Duration::from_millis(10);
/// Shortest sleep.
const BUSY: Duration = Duration::from_millis(1);
/// Records that may come during one sleep: some 600 bytes each, a tenth of the ring buffer, so that a thread which gets
/// its turn late loses nothing.
const IN_A_SLEEP: usize = 1024;
/// Most records of one drain: the rest waits for the next, after policies were written.
const DRAIN: usize = 16_384;
/// Between ticks of the flow.
const TICK: Duration = Duration::from_secs(1);
/// Between readings of both clocks.
const CLOCK: Duration = Duration::from_secs(10);
/// Most own sockets that are remembered.
const OWN_SOCKETS: usize = 1024;

/// Whether the kernel side tells of closes, or they are inferred from FIN and RST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closes {
    /// It tells.
    Told,
    /// The hook that would is off.
    Inferred,
}

/// What the capture thread needs.
pub struct Parts {
    /// The attached programs.
    pub captured: Captured,
    /// The connections.
    pub flow: Flow,
    /// Where exchanges go.
    pub desk: Desk,
    /// Where batches go.
    pub outlet: Box<dyn Outlet>,
    /// The agent's counters.
    pub counters: Arc<Counters>,
    /// Live view.
    pub view: View,
    /// Where the agent itself listens.
    pub own_listener: Option<SocketAddr>,
    /// Sockets that existed before the programs were attached.
    pub existing: SocketTable,
    /// How closes are known.
    pub closes: Closes,
    /// Whether the process ids of records are those of `/proc`.
    pub process_ids: ProcessIds,
    /// Between exports of metrics.
    pub metrics_interval: Duration,
}

/// Runs until `stop` is set, then finishes what is open and submits it.
pub fn run(parts: Parts, stop: &AtomicBool) {
    let Parts { mut captured, flow, desk, outlet, counters, view, own_listener, existing, closes, process_ids, metrics_interval } = parts;
    let listening = listeners(&existing).map(|(address, _)| address.port()).collect();
    let found: Vec<(SocketAddr, Pid)> = listeners(&existing).filter_map(|(address, pid)| Some((address, pid?))).collect();
    let clock = Reading::now();
    let mut state = State {
        flow,
        desk,
        counters,
        view,
        own_listener,
        existing,
        closes,
        process_ids,
        listening,
        own: OwnSockets::default(),
        early: early::Waiting::default(),
        early_lost: 0,
        early_bytes: FxHashMap::default(),
        forget: Vec::new(),
        now: clock.mono,
    };
    found.into_iter().for_each(|(address, pid)| state.desk.listens(address, pid));
    let (mut clock, mut ticked, mut exported) = (clock, clock.mono, clock.mono);
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        let before = state.now;
        let n = captured.drain(DRAIN, |record| state.record(record));
        if n < DRAIN {
            state.desk.seen(before);
        }
        let reading = Reading::now();
        state.now = reading.mono;
        if clock.is_older_than(CLOCK, state.now) || clock.was_stepped(&reading) {
            clock = reading;
        }
        state.desk.set_time(clock, state.now);
        if state.now.since(ticked) >= TICK || stopping {
            ticked = state.now;
            state.tick(&captured);
        }
        let policies: Vec<(u64, Policy)> = state.desk.take_policies().collect();
        if let Err(error) = captured.set_policies(policies) {
            tracing::debug!(%error, "policy map full");
            state.counters.lost(Loss::MapFull, 1);
        }
        state.forget.drain(..).for_each(|cookie| captured.forget_policy(cookie));
        state.desk.turn().into_iter().for_each(|batch| outlet.submit(batch));
        if state.now.since(exported) >= metrics_interval && !stopping {
            exported = state.now;
            state.desk.metrics().into_iter().for_each(|batch| outlet.submit(batch));
        }
        if stopping && n < DRAIN {
            break;
        }
        if n < DRAIN {
            std::thread::sleep(pause(n, state.now.since(before)));
        }
    }
    state.flow.finish(state.now, &mut state.desk);
    // What waits for its owner does so for a few seconds at most.
    while state.desk.is_waiting() {
        std::thread::sleep(IDLE);
        state.now = Reading::now().mono;
        state.desk.set_time(clock, state.now);
        state.desk.turn().into_iter().for_each(|batch| outlet.submit(batch));
    }
    state.desk.finish().into_iter().for_each(|batch| outlet.submit(batch));
    state.desk.metrics().into_iter().for_each(|batch| outlet.submit(batch));
}

/// How long to sleep when `records` have come in `time`.
fn pause(records: usize, time: Duration) -> Duration {
    let most = u32::try_from(IN_A_SLEEP * 100 / records.max(1)).unwrap_or(u32::MAX);
    (time.saturating_mul(most) / 100).clamp(BUSY, IDLE)
}

/// Listening addresses of a table of sockets, with their owners.
fn listeners(sockets: &SocketTable) -> impl Iterator<Item = (SocketAddr, Option<Pid>)> {
    sockets.iter().filter(|(socket, _)| socket.state == SocketState::Listening).map(|(socket, pid)| (socket.local, pid))
}

/// The agent's own connections, as their other ends see them.
#[derive(Default)]
struct OwnSockets {
    ends: HashSet<Ends>,
    by_id: FxHashMap<ConnId, Ends>,
}

impl OwnSockets {
    fn add(&mut self, id: ConnId, ends: Ends) {
        if self.by_id.len() < OWN_SOCKETS && self.by_id.insert(id, ends).is_none() {
            self.ends.insert(ends);
        }
    }

    /// Forgets a connection; whether it was one.
    fn remove(&mut self, id: ConnId) -> bool {
        self.by_id.remove(&id).is_some_and(|ends| self.ends.remove(&ends))
    }
}

struct State {
    flow: Flow,
    desk: Desk,
    counters: Arc<Counters>,
    view: View,
    own_listener: Option<SocketAddr>,
    existing: SocketTable,
    closes: Closes,
    process_ids: ProcessIds,
    listening: HashSet<u16>,
    own: OwnSockets,
    early: early::Waiting,
    early_lost: u64,
    /// Bytes of open connections that the kernel's totals do not have: they came before there was a socket.
    early_bytes: FxHashMap<ConnId, u64>,
    /// Connections that ended: their policies are of no use.
    forget: Vec<u64>,
    now: Mono,
}

impl State {
    fn record(&mut self, record: Result<Record<'_>, Malformed>) {
        self.counters.count(Event::Records, 1);
        let record = match self.process_ids {
            ProcessIds::Shared => record,
            ProcessIds::Foreign => record.map(translate::nameless),
        };
        match record {
            Ok(Record::Segment(head, data)) => self.segment(&head, data),
            Ok(Record::Datagram(head, data)) => self.datagram(&head, data),
            Ok(Record::Open(open)) => self.open(&open),
            Ok(Record::Early(head, data)) => {
                let (ends, segment) = translate::early(&head, data);
                self.early_lost += self.early.keep(ends, segment);
            }
            Ok(Record::Read(read)) => {
                if let Some(task) = translate::reader(&read) {
                    self.owner(ConnId(read.cookie), task);
                    self.desk.read(ConnId(read.cookie), task, Mono(read.time));
                }
            }
            Ok(Record::Totals(totals)) => self.totals(&totals),
            Ok(Record::Close(totals)) => self.close(&totals),
            Ok(Record::Listen(listen)) => {
                let address = translate::address(listen.local, listen.port);
                if listen.ended == 0 {
                    self.listening.insert(listen.port);
                    if listen.tgid != 0 {
                        self.desk.listens(address, Pid(listen.tgid));
                    }
                } else {
                    self.desk.listens_no_more(address);
                }
            }
            Err(malformed) => {
                tracing::debug!(%malformed, "record skipped");
                self.counters.lost(Loss::BadRecord, 1);
            }
        }
    }

    fn open(&mut self, open: &wire::Open) {
        let mut info = translate::connection(open);
        if open.role == wire::ROLE_OWN {
            return self.own.add(info.id, (info.remote, info.local));
        }
        if info.transport == Transport::Udp {
            info.id = translate::datagram_id(&info);
        }
        if self.is_own(&info) {
            self.desk.ignore(info.id);
            return;
        }
        if info.midway {
            self.recall(&mut info);
        }
        if self.flow.info(info.id).is_some() {
            self.flow.update(info.id, |known| translate::complete(known, info.clone()));
        } else {
            self.counters.count(Event::Connections, 1);
            self.flow.open(info.clone(), &mut self.desk);
        }
        if let Some(info) = self.flow.info(info.id) {
            self.desk.note(info);
            if info.transport == Transport::Tcp {
                if open.established != 0 || info.midway {
                    let took =
                        (info.role == Some(Role::Client) && open.established != 0).then(|| Mono(open.established).since(info.opened));
                    self.desk.opened(info, took);
                }
                self.view.connection(row(info, self.flow.protocol(info.id), &self.desk, None, None));
            }
        }
        if open.role == wire::ROLE_SERVER {
            self.begin_early(info.id, (info.local, info.remote));
        }
    }

    /// What came before the connection had a socket.
    fn begin_early(&mut self, id: ConnId, ends: Ends) {
        if let Some(early) = self.early.take(ends) {
            self.early_bytes.insert(id, u64::from(early.len));
            self.counters.count(Event::PayloadBytes, early.data.len() as u64);
            self.flow.segment(id, &translate::early_segment(&early), &mut self.desk);
        }
    }

    /// Totals with what the kernel could not count.
    fn complete(&self, totals: &wire::Totals) -> wire::Totals {
        let early = self.early_bytes.get(&ConnId(totals.cookie)).copied().unwrap_or_default();
        wire::Totals { bytes_received: totals.bytes_received + early, ..*totals }
    }

    /// The agent's own view, and the other ends of its own connections.
    fn is_own(&self, info: &ConnInfo) -> bool {
        let served = self
            .own_listener
            .is_some_and(|own| own.port() == info.local.port() && (own.ip() == info.local.ip() || own.ip().is_unspecified()));
        let asked = self.own_listener.is_some_and(|own| own.port() == info.remote.port() && own.ip() == info.remote.ip());
        served || asked || self.own.ends.contains(&(info.local, info.remote))
    }

    /// Owner and role of a connection that existed before the programs were attached.
    fn recall(&self, info: &mut ConnInfo) {
        if info.owner.is_none()
            && let Some(pid) = self.existing.find(info.local, info.remote, None).and_then(|socket| self.existing.owner(socket.inode))
        {
            info.owner = Some(Owner { pid, comm: String::new() });
        }
        if info.role.is_none() && info.transport == Transport::Tcp {
            let (serves, asks) = (self.listening.contains(&info.local.port()), self.listening.contains(&info.remote.port()));
            info.role = match (serves, asks) {
                (true, false) => Some(Role::Server),
                (false, true) => Some(Role::Client),
                _ => None,
            };
        }
    }

    fn owner(&mut self, id: ConnId, task: Task) {
        if self.flow.info(id).is_some_and(|info| info.owner.is_none()) {
            self.flow.update(id, |info| info.owner = Some(Owner { pid: task.pid, comm: String::new() }));
            if let Some(info) = self.flow.info(id) {
                self.desk.note(info);
                self.desk.opened(info, None);
            }
        }
    }

    fn segment(&mut self, head: &wire::Segment, data: &[u8]) {
        let id = ConnId(head.cookie);
        self.counters.count(Event::PayloadBytes, u64::from(head.captured) + u64::from(head.tail_len));
        let (segment, rest) = translate::segments(head, data);
        if let Some(task) = segment.task {
            self.owner(id, task);
        }
        if head.len > 0 {
            self.flow.segment(id, &segment, &mut self.desk);
        }
        if let Some(rest) = rest {
            self.flow.segment(id, &rest, &mut self.desk);
        }
        let finished = head.flags & wire::TCP_FIN != 0 && self.flow.fin(id, segment.direction, segment.time, &mut self.desk);
        if self.closes == Closes::Inferred {
            let how = match (head.flags & wire::TCP_RST != 0, segment.direction) {
                (true, Direction::Ingress) => Close::ResetByRemote,
                (true, Direction::Egress) => Close::ResetByLocal,
                (false, _) if finished => Close::Fin,
                _ => return,
            };
            self.end(id, how, segment.time);
        }
    }

    fn datagram(&mut self, head: &wire::Datagram, data: &[u8]) {
        self.open(&head.open);
        self.counters.count(Event::PayloadBytes, data.len() as u64);
        let id = translate::datagram_id(&translate::connection(&head.open));
        self.flow.segment(id, &translate::datagram(head, data), &mut self.desk);
    }

    fn totals(&mut self, totals: &wire::Totals) {
        let totals = &self.complete(totals);
        let id = ConnId(totals.cookie);
        if let Some(info) = self.flow.info(id) {
            self.desk.carried(info, totals);
        }
        self.show(id, totals, None);
    }

    fn show(&self, id: ConnId, totals: &wire::Totals, closed: Option<Mono>) {
        if let Some(info) = self.flow.info(id) {
            self.view.connection(row(info, self.flow.protocol(id), &self.desk, Some(totals), closed));
        }
    }

    fn close(&mut self, totals: &wire::Totals) {
        let (id, at) = (ConnId(totals.cookie), Mono(totals.time));
        if self.own.remove(id) {
            return;
        }
        let totals = &self.complete(totals);
        self.early_bytes.remove(&id);
        self.show(id, totals, Some(at));
        self.forget.push(id.0);
        let Some(info) = self.flow.close(id, translate::close(totals), at, &mut self.desk) else { return };
        match translate::connect_failure(totals, info.opened) {
            Some(error) => self.desk.connect_failed(&info, error, at),
            None => self.desk.closed(info, Some(*totals), at),
        }
    }

    /// Ends a connection of which no last totals will come.
    fn end(&mut self, id: ConnId, how: Close, at: Mono) {
        self.forget.push(id.0);
        self.early_bytes.remove(&id);
        if let Some(info) = self.flow.close(id, how, at, &mut self.desk) {
            self.desk.closed(info, None, at);
        }
    }

    fn tick(&mut self, captured: &Captured) {
        self.flow.tick(self.now, &mut self.desk);
        self.desk.tick();
        self.early_lost += self.early.drop_older(self.now);
        self.counters.set_lost(Loss::RingFull, captured.counter(Counter::RingFull));
        self.counters.set_lost(Loss::NoStorage, captured.counter(Counter::NoStorage));
        self.counters.set_lost(Loss::BadHeaders, captured.counter(Counter::Unparsed));
        self.counters.set_lost(Loss::OnListener, captured.counter(Counter::OnListener) + self.early_lost);
        self.counters.set_lost(Loss::Undecided, captured.counter(Counter::Undecided));
        self.counters.set_lost(Loss::Spared, captured.counter(Counter::Spared));
    }
}

/// A connection as the live view shows it.
fn row(info: &ConnInfo, protocol: Option<&'static str>, desk: &Desk, totals: Option<&wire::Totals>, closed: Option<Mono>) -> ConnectionRow {
    let (service, peer_service) = desk.services_of(info);
    ConnectionRow {
        id: info.id,
        transport: info.transport,
        direction: info.role.map(|role| match role {
            Role::Server => Shown::Served,
            Role::Client => Shown::Called,
        }),
        local: info.local,
        remote: info.remote,
        service,
        peer_service,
        protocol,
        opened: UnixNanos(desk.unix(info.opened)),
        closed: closed.map(|at| UnixNanos(desk.unix(at))),
        sent_bytes: totals.map_or(0, |totals| totals.bytes_sent),
        received_bytes: totals.map_or(0, |totals| totals.bytes_received),
        retransmits: totals.map_or(0, |totals| u64::from(totals.retransmits)),
        rtt: totals.filter(|totals| totals.srtt_us > 0).map(|totals| Duration::from_micros(u64::from(totals.srtt_us))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_sleeps_as_long_as_a_tenth_of_the_ring_takes_to_fill() {
        let pause = |records, millis| pause(records, Duration::from_millis(millis));
        assert_eq!(pause(0, 10), IDLE);
        assert_eq!(pause(600, 10), IDLE, "10,000 requests a second, both ends");
        assert_eq!(pause(4096, 10), Duration::from_micros(2500));
        assert_eq!(pause(100_000, 10), BUSY);
        assert_eq!(pause(usize::MAX, 10), BUSY);
    }
}
