//! Any bytes of either end, with any holes, after a request: no panic, no unbounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::testkit::Talk;
use remora_core_fuzz::conversation;

const START: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";

fuzz_target!(|data: &[u8]| {
    assert!(conversation(Talk::new().client(START), data).run().held < 512 * 1024);
});
