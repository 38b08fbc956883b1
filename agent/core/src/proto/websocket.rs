//! WebSocket (RFC 6455) behind its upgrade: whole messages are counted with their size, and nothing else is.
//!
//! Nothing in it is a request. Payload is never looked at. After a loss, counting goes on at a segment that is exactly
//! one or more frames of its sender; what was missed stays missed.

use super::{Cx, Descriptor, End, Evidence, Input, Mark, Pairing, Parser, Sample, Step};
use crate::flow::{Amount, Capture, Carrier, Loss};
use crate::model::{Close, Family, Mono, Transport};

/// [`Descriptor::name`] of what carries messages instead of requests.
pub const NAME: &str = "websocket";

/// WebSocket over TCP. Only an HTTP/1 upgrade leads here: its frames alone are no evidence.
pub(super) static DESCRIPTOR: Descriptor = Descriptor {
    name: NAME,
    family: Family::Http,
    pairing: Pairing::Number,
    transport: Transport::Tcp,
    ports: &[],
    capture: Capture { client: Amount::Segment(4096), server: Amount::Segment(4096) },
    detect: |_: &Sample<'_>| Evidence::No,
    parser: |_| Box::new(WebSocket::default()),
};

/// Header of a frame (RFC 6455 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Frame {
    is_final: bool,
    opcode: u8,
    /// Length of header and payload.
    total: u64,
    payload: u64,
}

enum Parsed {
    Is(Frame),
    More,
    Bad,
}

/// Reads a frame header. Extensions may use the reserved bits.
fn frame(bytes: &[u8], from: End) -> Parsed {
    let [first, second, rest @ ..] = bytes else { return Parsed::More };
    let (opcode, is_masked) = (first & 0xf, second & 0x80 != 0);
    let number = |n: usize| rest.get(..n).map(|bytes| bytes.iter().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte)));
    let (extra, payload) = match second & 0x7f {
        126 => (2, number(2)),
        127 => (8, number(8)),
        n => (0, Some(u64::from(n))),
    };
    let is_control = opcode >= 8;
    let well_formed = matches!(opcode, 0..=2 | 8..=10) && is_masked == (from == End::Client);
    let control_fits = !is_control || (first & 0x80 != 0 && extra == 0);
    if !well_formed || !control_fits {
        return Parsed::Bad;
    }
    let Some(payload) = payload else { return Parsed::More };
    if payload >= 1 << 63 {
        return Parsed::Bad;
    }
    let header = 2 + extra + if is_masked { 4 } else { 0 };
    Parsed::Is(Frame { is_final: first & 0x80 != 0, opcode, total: header + payload, payload })
}

/// Whether `bytes` are whole frames to their end.
fn is_whole(bytes: &[u8], from: End) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let Parsed::Is(frame) = frame(rest, from) else { return false };
        let Some(tail) = usize::try_from(frame.total).ok().and_then(|total| rest.get(total..)) else { return false };
        rest = tail;
    }
    true
}

/// What of a message has passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Message {
    #[default]
    None,
    /// So many bytes of it.
    Begun(u64),
    /// Its start was lost.
    Torn,
}

#[derive(Debug, Default)]
struct Lane {
    message: Message,
    /// A message that is whole once the frame that is skipped has passed.
    ends: Option<u64>,
    is_lost: bool,
}

#[derive(Debug, Default)]
struct WebSocket {
    lanes: [Lane; 2],
    asked_more: bool,
}

impl WebSocket {
    fn lane(&mut self, from: End) -> &mut Lane {
        &mut self.lanes[usize::from(from == End::Server)]
    }

    fn lose(&mut self, from: End, cx: &mut Cx<'_>) {
        *self.lane(from) = Lane { message: Message::Torn, ends: None, is_lost: true };
        if !std::mem::replace(&mut self.asked_more, true) {
            // Frames were missed.
            cx.want(Capture::ALL);
        }
    }
}

impl Lane {
    fn frame(&mut self, frame: &Frame) {
        let message = match (frame.opcode, self.message) {
            (8.., _) => return,
            (0, Message::Begun(bytes)) => Message::Begun(bytes.saturating_add(frame.payload)),
            (0, _) => Message::Torn,
            _ => Message::Begun(frame.payload),
        };
        self.ends = match message {
            Message::Begun(bytes) if frame.is_final => Some(bytes),
            _ => None,
        };
        self.message = if frame.is_final { Message::None } else { message };
    }
}

impl Parser for WebSocket {
    fn parse(&mut self, from: End, input: &Input<'_>, cx: &mut Cx<'_>) -> Step {
        let bytes = input.bytes();
        if self.lane(from).is_lost {
            let next = input.next_segment(0).unwrap_or(bytes.len());
            if !input.starts_segment(0) || !is_whole(&bytes[..next], from) {
                return Step::Take(next);
            }
            self.lane(from).is_lost = false;
        }
        match frame(bytes, from) {
            Parsed::Is(frame) => {
                self.lane(from).frame(&frame);
                Step::Skip(frame.total)
            }
            Parsed::More => Step::More,
            Parsed::Bad => {
                cx.count(Loss::Malformed, 1);
                self.lose(from, cx);
                Step::Take(bytes.len())
            }
        }
    }

    fn skipped(&mut self, from: End, _: &Mark, cx: &mut Cx<'_>) {
        if let Some(bytes) = self.lane(from).ends.take() {
            cx.message(from, Carrier::WebSocket, bytes);
        }
    }

    fn lost(&mut self, from: End, _: &Input<'_>, _: u64, _: &Mark, cx: &mut Cx<'_>) {
        self.lose(from, cx);
    }

    fn closed(&mut self, _: Close, _: Mono, _: &mut Cx<'_>) {}
}

#[cfg(test)]
mod tests {
    use crate::flow::{Flow, Limits, Loss};
    use crate::model::Role;
    use crate::model::semconv as s;
    use crate::pcap::replay;
    use crate::proto::End::{Client, Server};
    use crate::proto::Options;
    use crate::testkit::{Outcome, Talk};
    use proptest::prelude::*;

    const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n";

    fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
        let mask = if masked { 0x80 } else { 0 };
        let mut bytes = vec![first];
        match payload.len() {
            n @ 0..126 => bytes.push(mask | n as u8),
            n @ 126..0x1_0000 => bytes.extend([[mask | 126].as_slice(), &(n as u16).to_be_bytes()].concat()),
            n => bytes.extend([[mask | 127].as_slice(), &(n as u64).to_be_bytes()].concat()),
        }
        if masked {
            bytes.extend([0; 4]);
        }
        bytes.extend(payload);
        bytes
    }

    fn upgraded() -> Talk {
        Talk::new().client(UPGRADE).server(SWITCHING)
    }

    #[test]
    fn an_upgrade_is_one_request_and_messages_are_counted() {
        let talk = upgraded()
            .client(frame(0x81, true, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
            .server(frame(0x82, false, &[7; 300]))
            .server([frame(0x01, false, b"ab"), frame(0x89, false, b"ping"), frame(0x00, false, b"cd"), frame(0x80, false, b"ef")].concat())
            .client(frame(0x8a, true, b"ping"))
            .server(frame(0xc2, false, &[1; 70_000]))
            .client(frame(0x88, true, &[3, 0xe8]));
        for split in [usize::MAX, 1000, 4, 1] {
            let outcome = talk.clone().split(split).run();
            assert_eq!(outcome.brief(&[s::HTTP_RESPONSE_STATUS_CODE, s::REMORA_HTTP_UPGRADE]), ["GET 101 WebSocket"]);
            assert_eq!(outcome.messages, [(1, 27), (3, 70_306)], "{split}");
            assert!(outcome.losses.is_empty());
        }
    }

    #[test]
    fn messages_of_a_real_client_are_counted_as_they_are_on_the_wire() {
        // Python's websockets on two connections, the first with permessage-deflate: 8 messages each way, one of them in
        // four frames, pings and closes besides.
        let file = include_bytes!("../../../../tests/fixtures/websocket/websockets.pcap").as_slice();
        for (role, expected) in [(Role::Client, [(8, 2428), (8, 2410)]), (Role::Server, [(8, 2410), (8, 2428)])] {
            let mut outcome = Outcome::default();
            replay(file, role, &mut Flow::new(Limits::default(), Options::default()), &mut outcome).expect("the file is whole");
            assert_eq!(outcome.messages, expected);
            assert_eq!(outcome.brief(&[s::HTTP_RESPONSE_STATUS_CODE, s::REMORA_HTTP_UPGRADE]), ["GET 101 websocket"; 2]);
            assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
        }
    }

    #[test]
    fn after_a_loss_counting_goes_on_where_frames_certainly_begin() {
        let talk = upgraded().server(frame(0x81, false, b"a")).hole(Server, 500);
        let outcome = talk.server(frame(0x81, false, b"abc")).client(frame(0x81, true, b"ab")).run();
        assert_eq!(outcome.messages, [(1, 2), (2, 4)]);
        assert_eq!(outcome.lost(Loss::Hole), 1);
    }

    #[test]
    fn a_frame_masked_by_the_wrong_end_is_none() {
        let outcome = upgraded().client(frame(0x81, false, b"abc")).run();
        assert_eq!((outcome.messages, outcome.lost(Loss::Malformed)), ([(0, 0); 2], 1));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..80), 0u64..20), 0..30)) {
            let talk = pieces.into_iter().fold(upgraded(), |talk, (client, bytes, hole)| {
                let end = if client { Client } else { Server };
                let talk = talk.piece(end, bytes);
                if hole > 15 { talk.hole(end, hole) } else { talk }
            });
            let outcome = talk.run();
            prop_assert_eq!(outcome.exchanges.len(), 1);
            prop_assert!(outcome.held < 256 * 1024);
        }
    }
}
