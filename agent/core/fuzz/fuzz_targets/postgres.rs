//! Any bytes of either end, with any holes, after a start-up: no panic, no unbounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::proto::End;
use remora_core::testkit::Talk;

const START: &[u8] = b"\0\0\0\x12\0\x03\0\0user\0app\0\0";

// Each piece begins with a byte: bit 0 its end, bit 1 a hole, the rest its length.
fuzz_target!(|data: &[u8]| {
    let mut talk = Talk::new().client(START);
    let mut rest = data;
    while let [head, tail @ ..] = rest {
        let end = if head & 1 == 0 { End::Client } else { End::Server };
        let len = usize::from(head >> 2) * 4;
        if head & 2 == 0 {
            let (piece, after) = tail.split_at(len.min(tail.len()));
            talk = talk.piece(end, piece);
            rest = after;
        } else {
            talk = talk.hole(end, len as u64 + 1);
            rest = tail;
        }
    }
    assert!(talk.run().held < 512 * 1024);
});
