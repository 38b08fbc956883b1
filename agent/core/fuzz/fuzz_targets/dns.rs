//! Any bytes of either end, with any holes, after a query, in datagrams and on a stream: no panic, no unbounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::proto::End;
use remora_core::testkit::Talk;

const QUERY: &[u8] = b"\0\x13\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";

// Each piece begins with a byte: bit 0 its end, bit 1 a hole, the rest its length.
fuzz_target!(|data: &[u8]| {
    let Some((&transport, mut rest)) = data.split_first() else { return };
    let is_udp = transport & 1 == 0;
    let mut talk = if is_udp { Talk::new().udp().client(&QUERY[2..]) } else { Talk::new().client(QUERY) };
    while let [head, tail @ ..] = rest {
        let end = if head & 1 == 0 { End::Client } else { End::Server };
        let len = usize::from(head >> 2) * 4;
        if is_udp || head & 2 == 0 {
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
