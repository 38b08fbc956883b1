//! The decoder of the kernel side's records on arbitrary bytes: a record whose captured bytes are among those given, or a reason.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_ebpf::wire::{Record, TAIL, decode};

fuzz_target!(|bytes: &[u8]| match decode(bytes) {
    Ok(Record::Segment(head, data)) => {
        assert_eq!(data.len(), head.captured as usize);
        assert!(head.tail_len <= TAIL && u64::from(head.captured) + u64::from(head.tail_len) <= u64::from(head.len));
    }
    Ok(Record::Datagram(head, data)) => assert_eq!(data.len(), head.captured as usize),
    Ok(Record::Early(head, data)) => assert_eq!(data.len(), head.captured as usize),
    Ok(Record::Open(_) | Record::Totals(_) | Record::Close(_) | Record::Read(_) | Record::Listen(_)) => {}
    Err(reason) => assert!(!reason.to_string().is_empty()),
});
