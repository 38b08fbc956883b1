//! The joiner on arbitrary lines: every line comes out once or is counted as empty, below the bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_logs::join::{Joiner, MAX_MESSAGE};

fuzz_target!(|data: &[u8]| {
    let mut joiner = Joiner::default();
    let (mut given, mut taken) = (0u64, 0u64);
    for line in data.split(|byte| *byte == b'\n') {
        given += 1;
        joiner.push(line, 0, |joined| {
            assert!(joined.text.len() <= MAX_MESSAGE);
            taken += u64::from(joined.lines);
        });
    }
    joiner.flush(|joined| taken += u64::from(joined.lines));
    assert_eq!(given, taken + joiner.empty_lines());
});
