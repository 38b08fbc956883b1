//! Any bytes of either end, with any holes, after a command of the text or the binary protocol: no panic, no unbounded
//! memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::testkit::Talk;
use remora_core_fuzz::conversation;

const TEXT: &[u8] = b"set k 0 0 1\r\nx\r\n";
const BINARY: &[u8] = b"\x80\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\x07\0\0\0\0\0\0\0\0k";

fuzz_target!(|data: &[u8]| {
    let start = if data.first().is_some_and(|byte| byte & 2 == 2) { BINARY } else { TEXT };
    assert!(conversation(Talk::new().client(start), data).run().held < 512 * 1024);
});
