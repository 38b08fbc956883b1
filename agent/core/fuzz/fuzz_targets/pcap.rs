//! Any file: no panic, no hang, bounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::flow::{Flow, Limits};
use remora_core::model::Role;
use remora_core::pcap;
use remora_core::proto::Options;
use remora_core::testkit::Outcome;

fuzz_target!(|data: &[u8]| {
    let mut flow = Flow::new(Limits::default(), Options::default());
    let mut outcome = Outcome::default();
    let _ = pcap::replay(data, Role::Server, &mut flow, &mut outcome);
    assert!(flow.held_bytes() < 1 << 24);
});
