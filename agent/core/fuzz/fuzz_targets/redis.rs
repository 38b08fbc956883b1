//! Any bytes of either end, with any holes, after a command: no panic, no unbounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::testkit::Talk;
use remora_core_fuzz::conversation;

const START: &str = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";

fuzz_target!(|data: &[u8]| {
    assert!(conversation(Talk::new().client(START), data).run().held < 512 * 1024);
});
