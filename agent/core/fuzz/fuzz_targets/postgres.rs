//! Any bytes of either end, with any holes, after a start-up: no panic, no unbounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::testkit::Talk;
use remora_core_fuzz::conversation;

const START: &[u8] = b"\0\0\0\x12\0\x03\0\0user\0app\0\0";

fuzz_target!(|data: &[u8]| {
    assert!(conversation(Talk::new().client(START), data).run().held < 512 * 1024);
});
