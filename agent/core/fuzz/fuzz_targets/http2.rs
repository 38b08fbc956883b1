//! Any bytes of either end, with any holes, behind the preface or midway, and as frames: no panic, no unbounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::proto::End;
use remora_core::testkit::Talk;

const START: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x06\x01\x05\0\0\0\x01\x82\x86\x84\x41\x01h";

// The first byte tells whether the connection is joined midway. Each piece begins with two bytes: bit 0 its end, bit 1
// a hole, bit 2 a frame of the type and stream that the second byte gives, the rest its length.
fuzz_target!(|data: &[u8]| {
    let Some((midway, mut rest)) = data.split_first() else { return };
    let mut talk = if midway & 1 == 1 { Talk::new().midway() } else { Talk::new() }.client(START);
    while let [head, what, tail @ ..] = rest {
        let end = if head & 1 == 0 { End::Client } else { End::Server };
        let len = usize::from(head >> 3) * 4;
        if head & 2 != 0 {
            talk = talk.hole(end, len as u64 + 1);
            rest = tail;
            continue;
        }
        let (piece, after) = tail.split_at(len.min(tail.len()));
        talk = if head & 4 == 0 {
            talk.piece(end, piece)
        } else {
            let flags = piece.first().copied().unwrap_or_default();
            talk.piece(end, [&[0, 0, piece.len() as u8, what & 0xf, flags, 0, 0, 0, what >> 4], piece].concat())
        };
        rest = after;
    }
    assert!(talk.run().held < 512 * 1024);
});
