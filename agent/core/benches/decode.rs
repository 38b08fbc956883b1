//! Exchanges per second and core, and allocations per exchange, from segments as capture delivers them.
//!
//! `cargo bench -p remora-core --bench decode [-- PART_OF_A_NAME [EXCHANGES]]`. Budget: 2 M exchanges/s for HTTP/1 and
//! Redis, 1 M for all others, no allocation in the steady state.

mod load;

use load::Case;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn measure(case: &Case, exchanges: u64) {
    let mut load = case.warm_load();
    let (start, before) = (cpu_nanos(), load.found());
    let region = Region::new(ALLOCATOR);
    let rounds = exchanges / case.round();
    (0..rounds).for_each(|_| load.round());
    let change = region.change();
    let (nanos, done) = (cpu_nanos() - start, load.found() - before);
    assert_eq!(done, rounds * case.round(), "every exchange is found");
    let allocations = change.allocations + change.reallocations;
    let (name, connections) = (case.name, case.connections);
    let rate = done as f64 / nanos as f64 * 1e3;
    println!("{name}, {connections} connections: {rate:.2} M exchanges/s, {allocations} allocations in {done} exchanges");
}

/// Time that this thread ran, which other work on the machine does not change.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel has scheduler statistics");
    text.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("its first field is a time")
}

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-'));
    let part = words.next().unwrap_or_default();
    let exchanges = words.next().map_or(2_000_000, |count| count.parse().expect("a number of exchanges"));
    Case::all().iter().filter(|case| case.name.contains(&part)).for_each(|case| measure(case, exchanges));
}
