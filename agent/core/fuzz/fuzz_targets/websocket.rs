//! Any bytes of either end, with any holes, after a WebSocket upgrade: one request, no panic, no unbounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::testkit::Talk;
use remora_core_fuzz::{Holes, pieces};

const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

fuzz_target!(|data: &[u8]| {
    let outcome = pieces(Talk::new().client(UPGRADE).server(SWITCHING), data, Holes::Some).run();
    assert!(outcome.held < 512 * 1024 && outcome.exchanges.len() == 1);
});
