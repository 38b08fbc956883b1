//! Any segments, whatever their numbers, lengths and order: no panic, and never more bytes than were captured.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remora_core::flow::{Direction, Flow, Limits, Order, Segment};
use remora_core::model::{Close, ConnId, ConnInfo, Mono, Role, Transport};
use remora_core::proto::Options;
use remora_core::testkit::Outcome;

// Twelve bytes a segment: sequence, acknowledgement, length, offset, flags; its data is a part of a request.
fuzz_target!(|data: &[u8]| {
    let text = b"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n123456789HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut flow = Flow::new(Limits::default(), Options::default());
    let mut outcome = Outcome::default();
    let id = ConnId(1);
    let address = |last: u8| ([10, 0, 0, last], 80).into();
    flow.open(
        ConnInfo {
            id,
            transport: Transport::Tcp,
            local: address(1),
            remote: address(2),
            dialed: None,
            role: Some(Role::Client),
            owner: None,
            cgroup: None,
            opened: Mono(0),
            midway: data.len() % 2 == 1,
        },
        &mut outcome,
    );
    for (i, piece) in data.as_chunks::<12>().0.iter().enumerate() {
        let [s0, s1, s2, s3, a0, a1, a2, a3, len, at, from, flags] = *piece;
        let bytes = &text[usize::from(from) % text.len()..];
        let segment = Segment {
            direction: if flags & 1 == 0 { Direction::Egress } else { Direction::Ingress },
            time: Mono(i as u64),
            seq: u32::from_le_bytes([s0, s1, s2, s3]),
            ack: u32::from_le_bytes([a0, a1, a2, a3]),
            len: if flags & 2 == 0 { u32::from(len) } else { u32::from(len) << 24 },
            data_at: u32::from(at),
            data: &bytes[..bytes.len().min(usize::from(len))],
            order: [Order::Next, Order::Ahead, Order::Old, Order::Next][usize::from(flags >> 2) % 4],
            task: None,
        };
        match flags >> 4 {
            15 => drop(flow.fin(id, segment.direction, segment.time, &mut outcome)),
            14 => flow.tick(segment.time, &mut outcome),
            _ => flow.segment(id, &segment, &mut outcome),
        }
    }
    assert!(flow.held_bytes() < 512 * 1024);
    flow.close(id, Close::Fin, Mono(u64::MAX), &mut outcome);
});
