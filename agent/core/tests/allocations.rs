//! Decoding allocates nothing once its memory has grown: on no protocol, however many connections there are.

#[path = "../benches/load/mod.rs"]
mod load;

use load::Case;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

// One test: the allocator counts for all threads.
#[test]
fn an_exchange_of_any_protocol_costs_no_allocation() {
    for case in Case::all() {
        let mut load = case.warm_load();
        let found = load.found();
        let region = Region::new(ALLOCATOR);
        load.round();
        load.round();
        let change = region.change();
        assert_eq!(load.found() - found, 2 * case.round(), "{}", case.name);
        assert_eq!((change.allocations, change.reallocations), (0, 0), "{}", case.name);
    }
}
