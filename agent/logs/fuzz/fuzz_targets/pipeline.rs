//! The whole way from lines to records, and a saved state from the outside: counts stay exact, nothing panics.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_logs::join::Joined;
use remora_logs::{Pipeline, Settings, Severity};

fuzz_target!(|data: &[u8]| {
    let mut pipeline = Pipeline::new(Settings::default(), 1 << 20);
    let mut table = pipeline.load_table(data, 0);
    let mut messages = 0u64;
    for line in data.split(|byte| *byte == b'\n') {
        pipeline.record(&mut table, &Joined::line(line), Severity::UNSPECIFIED, 0);
        messages += 1;
    }
    assert_eq!(table.take_counts().iter().map(|count| count.messages).sum::<u64>(), messages);
});
