//! Every envelope decoder on arbitrary bytes: an entry or none, without panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_logs::envelope::{cri, docker_json, docker_local};

fuzz_target!(|data: &[u8]| {
    let _ = cri::decode(data);
    let _ = docker_json::decode(data);
    let mut rest = data;
    while let Ok((_, taken)) = docker_local::decode(rest) {
        rest = &rest[taken..];
    }
});
