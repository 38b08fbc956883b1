//! Any bytes of either end, with any holes, after a WebSocket upgrade: one request, no panic, no unbounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::proto::End;
use remora_core::testkit::Talk;

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

// Each piece begins with a byte: bit 0 its end, bit 1 a hole, the rest its length.
fuzz_target!(|data: &[u8]| {
    let mut talk = Talk::new().client(UPGRADE).server(SWITCHING);
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
    let outcome = talk.run();
    assert!(outcome.held < 512 * 1024 && outcome.exchanges.len() == 1);
});
