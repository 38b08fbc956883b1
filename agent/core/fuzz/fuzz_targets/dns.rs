//! Any bytes of either end, with any holes, after a query, in datagrams and on a stream: no panic, no unbounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::testkit::Talk;
use remora_core_fuzz::{Holes, pieces};

const QUERY: &[u8] = b"\0\x13\0\x01\x01\0\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01";

// The first byte chooses the transport, the rest are pieces.
fuzz_target!(|data: &[u8]| {
    let Some((transport, rest)) = data.split_first() else { return };
    let (start, holes) = if transport & 1 == 0 {
        (Talk::new().udp().client(&QUERY[2..]), Holes::None)
    } else {
        (Talk::new().client(QUERY), Holes::Some)
    };
    assert!(pieces(start, rest, holes).run().held < 512 * 1024);
});
