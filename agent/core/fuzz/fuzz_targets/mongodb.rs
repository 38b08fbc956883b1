//! Any bytes of either end, with any holes, after a message, plain or in an OP_COMPRESSED: no panic, no unbounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::testkit::Talk;
use remora_core_fuzz::conversation;

const PING: &[u8] =
    b"\x2e\0\0\0\x02\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\x19\0\0\0\x10ping\0\x01\0\0\0\x02$db\0\x01\0\0\0\0\0";

/// `data` as the content of a request of opcode 2001 to 2013, and as it is.
fuzz_target!(|data: &[u8]| {
    assert!(conversation(Talk::new().client(PING), data).run().held < 512 * 1024);
    let Some((opcode, content)) = data.split_first() else { return };
    let content = &content[..content.len().min(40_000)];
    let opcode = 2001 + u32::from(opcode % 13);
    let len = u32::try_from(16 + content.len()).unwrap_or(u32::MAX);
    let header = [len.to_le_bytes(), [3, 0, 0, 0], [0; 4], opcode.to_le_bytes()].concat();
    assert!(Talk::new().client(PING).client([&header, content].concat()).run().held < 512 * 1024);
});
