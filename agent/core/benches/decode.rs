//! Exchanges per second and core, and allocations per exchange, from segments as capture delivers them.
//!
//! `cargo bench -p remora-core --bench decode`. Budget: 2 M exchanges/s for HTTP/1, no allocation in the steady state.

use remora_core::flow::{Direction, Flow, Limits, Order, Segment, Sink};
use remora_core::model::{ConnId, ConnInfo, Exchange, Mono, Role, Transport};
use remora_core::proto::Options;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::net::SocketAddr;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const REQUEST: &[u8] = b"GET /api/v1/items/42?page=3 HTTP/1.1\r\nHost: items.example:8080\r\nUser-Agent: wrk/4.2.0\r\nAccept: */*\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.26.0\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: application/json\r\n\
    Content-Length: 18\r\nConnection: keep-alive\r\n\r\n{\"id\":42,\"ok\":true}";

/// Counts and gives back.
#[derive(Default)]
struct Count(u64);

impl Sink for Count {
    fn request(&mut self, _: &ConnInfo, _: &mut Exchange) {}

    fn exchange(&mut self, _: &ConnInfo, exchange: Box<Exchange>) -> Option<Box<Exchange>> {
        self.0 += 1;
        Some(exchange)
    }
}

/// Connections that ask and answer in turn.
struct Load {
    flow: Flow,
    count: Count,
    connections: u64,
    turn: u32,
}

impl Load {
    fn new(connections: u64, role: Role) -> Self {
        let mut load = Self { flow: Flow::new(Limits::default(), Options::default()), count: Count::default(), connections, turn: 0 };
        (0..connections).for_each(|id| load.flow.open(info(id, role), &mut load.count));
        load
    }

    /// One exchange on each connection.
    fn round(&mut self) {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let (asked, answered) = (self.turn.wrapping_mul(len(REQUEST)), self.turn.wrapping_mul(len(RESPONSE)));
        for id in 0..self.connections {
            let mut segment = |direction, seq, ack, data| {
                let time = Mono(u64::from(self.turn));
                let segment = Segment { direction, time, seq, ack, len: len(data), data_at: 0, data, order: Order::Next, task: None };
                self.flow.segment(ConnId(id), &segment, &mut self.count);
            };
            segment(Direction::Egress, asked, answered, REQUEST);
            segment(Direction::Ingress, answered, asked.wrapping_add(len(REQUEST)), RESPONSE);
        }
        self.turn = self.turn.wrapping_add(1);
    }
}

fn info(id: u64, role: Role) -> ConnInfo {
    ConnInfo {
        id: ConnId(id),
        transport: Transport::Tcp,
        local: SocketAddr::from(([10, 0, 0, 1], 50_000)),
        remote: SocketAddr::from(([10, 0, 0, 2], 8080)),
        dialed: None,
        role: Some(role),
        owner: None,
        cgroup: None,
        opened: Mono(0),
        midway: false,
    }
}

fn measure(name: &str, connections: u64, exchanges: u64) {
    let mut load = Load::new(connections, Role::Client);
    (0..20).for_each(|_| load.round());
    let (start, before) = (cpu_nanos(), load.count.0);
    let region = Region::new(ALLOCATOR);
    (0..exchanges / connections).for_each(|_| load.round());
    let change = region.change();
    let (nanos, done) = (cpu_nanos() - start, load.count.0 - before);
    assert_eq!(done, exchanges / connections * connections, "every exchange is found");
    let allocations = change.allocations + change.reallocations;
    println!("{name}: {:.2} M exchanges/s, {allocations} allocations in {done} exchanges", done as f64 / nanos as f64 * 1e3);
}

/// Time that this thread ran, which other work on the machine does not change.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel has scheduler statistics");
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("its first field is a time")
}

fn main() {
    measure("http/1.1, 1 connection", 1, 2_000_000);
    measure("http/1.1, 1000 connections", 1000, 2_000_000);
}
