//! Conversations as real programs hold them, and as hostile ones would.

use super::frame::*;
use crate::flow::{Amount, Flow, Limits, Loss};
use crate::model::semconv as s;
use crate::model::{Close, Family, Key, Role};
use crate::pcap::replay;
use crate::proto::End::{Client, Server};
use crate::proto::{End, Options};
use crate::testkit::{Outcome, Talk, parts};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::time::Duration;

const RPC: &[Key] = &[s::RPC_RESPONSE_STATUS_CODE];
const HTTP: &[Key] = &[s::URL_PATH, s::HTTP_RESPONSE_STATUS_CODE];

fn frame(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let len = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&len[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// An HPACK encoder that puts every field into its table and refers to it from then on.
#[derive(Default)]
struct Encoder {
    table: VecDeque<(String, String)>,
}

impl Encoder {
    fn block(&mut self, fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        for &(name, value) in fields {
            match (name, value) {
                (":method", "GET") => block.push(0x82),
                (":method", "POST") => block.push(0x83),
                (":scheme", "http") => block.push(0x86),
                (":status", "200") => block.push(0x88),
                _ => self.field(name, value, &mut block),
            }
        }
        block
    }

    fn field(&mut self, name: &str, value: &str, block: &mut Vec<u8>) {
        if let Some(at) = self.table.iter().position(|(n, v)| n == name && v == value) {
            return integer(block, 0x80, 7, at + 62);
        }
        block.push(0x40);
        for text in [name, value] {
            integer(block, 0, 7, text.len());
            block.extend(text.bytes());
        }
        self.table.push_front((name.to_owned(), value.to_owned()));
        let size = |table: &VecDeque<(String, String)>| table.iter().map(|(n, v)| n.len() + v.len() + 32).sum::<usize>();
        while size(&self.table) > 4096 {
            self.table.pop_back();
        }
    }
}

fn integer(block: &mut Vec<u8>, high: u8, prefix: u32, mut n: usize) {
    let mask = (1 << prefix) - 1;
    if n < mask {
        return block.push(high | n as u8);
    }
    block.push(high | mask as u8);
    n -= mask;
    while n >= 128 {
        block.push(n as u8 | 0x80);
        n >>= 7;
    }
    block.push(n as u8);
}

/// A connection whose header tables are kept by the test.
struct Peers {
    talk: Talk,
    client: Encoder,
    server: Encoder,
    is_merged: bool,
    /// What is not sent yet.
    row: Option<(End, Vec<u8>)>,
}

const ALL: u8 = END_HEADERS | END_STREAM;

impl Peers {
    fn new() -> Self {
        let talk = Talk::new().client([PREFACE, &frame(SETTINGS, 0, 0, [])].concat()).server(frame(SETTINGS, 0, 0, [0, 3, 0, 0, 0, 100]));
        Self { talk, client: Encoder::default(), server: Encoder::default(), is_merged: false, row: None }
    }

    /// What one end sends in a row is one segment.
    fn merged(mut self) -> Self {
        self.is_merged = true;
        self
    }

    /// The frames before this are not seen.
    fn joined_here(mut self) -> Self {
        self.talk = Talk::new().midway();
        self
    }

    fn send(mut self, from: End, bytes: impl AsRef<[u8]>) -> Self {
        match &mut self.row {
            Some((end, row)) if *end == from => row.extend(bytes.as_ref()),
            _ => {
                self = self.flush();
                self.row = Some((from, bytes.as_ref().to_vec()));
            }
        }
        if self.is_merged { self } else { self.flush() }
    }

    fn flush(mut self) -> Self {
        if let Some((from, row)) = self.row.take() {
            self.talk = self.talk.piece(from, row);
        }
        self
    }

    fn lost(mut self, from: End, bytes: impl AsRef<[u8]>) -> Self {
        self.talk = self.talk.hole(from, bytes.as_ref().len() as u64);
        self
    }

    fn request(&mut self, stream: u32, flags: u8, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
        let method = if more.is_empty() { "GET" } else { "POST" };
        let fields = [&[(":method", method), (":scheme", "http"), (":path", path), (":authority", "h.example:80")], more].concat();
        frame(HEADERS, flags, stream, self.client.block(&fields))
    }

    fn get(mut self, stream: u32, path: &str) -> Self {
        let bytes = self.request(stream, ALL, path, &[]);
        self.send(Client, bytes)
    }

    fn call(mut self, stream: u32, path: &str, more: &[(&str, &str)]) -> Self {
        let more = [&[("content-type", "application/grpc"), ("te", "trailers")], more].concat();
        let bytes = [self.request(stream, END_HEADERS, path, &more), frame(DATA, END_STREAM, stream, b"\0\0\0\0\x02hi")].concat();
        self.send(Client, bytes)
    }

    fn response(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
        frame(HEADERS, flags, stream, self.server.block(fields))
    }

    fn answer(mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) -> Self {
        let bytes = self.response(stream, flags, fields);
        self.send(Server, bytes)
    }

    fn ok(self, stream: u32, status: &str) -> Self {
        self.answer(stream, END_HEADERS, &[(":status", status)]).send(Server, frame(DATA, END_STREAM, stream, b"hello"))
    }

    fn grpc_ok(self, stream: u32) -> Self {
        self.answer(stream, END_HEADERS, &[(":status", "200"), ("content-type", "application/grpc")])
            .send(Server, frame(DATA, 0, stream, b"\0\0\0\0\x02yo"))
            .answer(stream, ALL, &[("grpc-status", "0")])
    }

    fn brief(&self, keys: &[Key]) -> Vec<String> {
        self.talk.run().brief(keys)
    }

    fn at_server(mut self) -> Self {
        self.talk = self.talk.at_server();
        self
    }
}

#[test]
fn a_unary_call_is_one_rpc_with_its_status_from_the_trailers() {
    let traced = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("tracestate", "a=1"), ("tracestate", "b=2")];
    let peers = Peers::new().call(1, "/pkg.Svc/Get", &traced).grpc_ok(1);
    let outcome = peers.talk.run();
    assert_eq!(
        outcome.full(),
        [
            "http/2 Client pkg.Svc/Get rpc.system.name=grpc rpc.method=pkg.Svc/Get server.address=h.example server.port=80 network.protocol.version=2 \
          rpc.response.status_code=OK trace=4bf92f3577b34da6a3ce929d0e0e4736/00f067aa0ba902b7/1 a=1,b=2 \
          call=1033/5015/\"\\0\\0\u{fffd}\\u{1}\\u{4}\\0\\0\\0\\u{1}\u{fffd}\u{fffd}@\\u{5}:pa\" request=2-2ms,7B response=3-5ms,7B"
        ]
    );
    assert_eq!(outcome.exchanges[0].family, Family::Rpc);
    assert!(outcome.losses.is_empty());
    let server = peers.at_server().talk.run();
    assert_eq!(server.brief(&[s::CLIENT_ADDRESS, s::RPC_RESPONSE_STATUS_CODE]), ["pkg.Svc/Get 10.0.0.1 OK"]);
}

#[test]
fn plain_requests_have_the_attributes_of_http() {
    let peers = Peers::new().get(1, "/a?token=x").ok(1, "404");
    assert_eq!(peers.brief(&[s::URL_FULL, s::HTTP_RESPONSE_STATUS_CODE]), ["GET http://h.example:80/a?token=REDACTED 404 error=404"]);
    assert_eq!(peers.at_server().brief(HTTP), ["GET /a 404"]);
}

#[test]
fn streams_are_answered_in_any_order() {
    let peers = Peers::new().get(1, "/1").get(3, "/2").get(5, "/3").ok(5, "200").ok(1, "201").ok(3, "503").at_server();
    assert_eq!(peers.brief(HTTP), ["GET /3 200", "GET /1 201", "GET /2 503 error=503"]);
}

#[test]
fn ten_calls_in_one_segment_are_ten() {
    let mut peers = Peers::new();
    let requests: Vec<u8> = (0..10).flat_map(|i| peers.request(2 * i + 1, ALL, "/same", &[])).collect();
    let answers: Vec<u8> = (0..10).flat_map(|i| peers.response(2 * i + 1, ALL, &[(":status", "204")])).collect();
    let peers = peers.send(Client, requests).send(Server, answers).at_server();
    assert_eq!(peers.brief(HTTP), vec!["GET /same 204"; 10]);
}

#[test]
fn padding_priority_and_continuation_are_understood() {
    let mut peers = Peers::new();
    let block = peers.client.block(&[(":method", "GET"), (":scheme", "http"), (":path", "/padded"), (":authority", "h")]);
    let (one, rest) = block.split_at(7);
    let (two, three) = rest.split_at(1);
    let first = [&[4][..], &[0x80, 0, 0, 0, 16], one, &[0; 4]].concat();
    let peers = peers
        .send(Client, frame(HEADERS, END_STREAM | PADDED | 0x20, 1, first))
        .send(Client, [frame(CONTINUATION, 0, 1, two), frame(CONTINUATION, END_HEADERS, 1, three)].concat())
        .answer(1, END_HEADERS, &[(":status", "103"), ("link", "x")])
        .answer(1, END_HEADERS, &[(":status", "200")])
        .send(Server, frame(DATA, PADDED | END_STREAM, 1, b"\x03hello\0\0\0"))
        .at_server();
    let outcome = peers.talk.run();
    assert_eq!(outcome.brief(HTTP), ["GET /padded 200"]);
    assert_eq!(outcome.exchanges[0].response.unwrap().body_bytes, Some(5));
}

#[test]
fn frames_of_unknown_types_and_pushes_are_passed_over() {
    let mut peers = Peers::new().get(1, "/a");
    let promise = [&2u32.to_be_bytes()[..], &peers.server.block(&[(":method", "GET"), (":path", "/pushed"), ("x", "y")])].concat();
    let peers = peers
        .send(Server, frame(0xfa, 0xff, 77, [9; 40]))
        .send(Server, frame(PUSH_PROMISE, END_HEADERS, 1, promise))
        .answer(2, ALL, &[(":status", "200")])
        .answer(1, ALL, &[(":status", "500"), ("x", "y")])
        .at_server();
    let outcome = peers.talk.run();
    assert_eq!(outcome.brief(HTTP), ["GET /a 500 error=500"]);
    assert!(outcome.losses.is_empty());
}

#[test]
fn errors_of_calls_follow_the_role() {
    let failed = |code: &str| {
        Peers::new().call(1, "/s/m", &[]).answer(1, ALL, &[(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", code)])
    };
    assert_eq!(failed("5").brief(RPC), ["s/m NOT_FOUND error=NOT_FOUND"]);
    assert_eq!(failed("5").at_server().brief(RPC), ["s/m NOT_FOUND"]);
    assert_eq!(failed("13").at_server().brief(RPC), ["s/m INTERNAL error=INTERNAL"]);
    assert_eq!(failed("99").brief(RPC), ["s/m UNKNOWN error=UNKNOWN"]);
    let proxy = Peers::new().call(1, "/s/m", &[]).answer(1, ALL, &[(":status", "503"), ("content-type", "text/html")]);
    assert_eq!(proxy.brief(RPC), ["s/m UNAVAILABLE error=UNAVAILABLE"]);
    let mute = Peers::new().call(1, "/s/m", &[]).answer(1, ALL, &[(":status", "200"), ("content-type", "application/grpc")]);
    assert_eq!(mute.brief(RPC), ["s/m - error=_OTHER"]);
}

#[test]
fn resets_are_errors_by_who_sent_them() {
    let reset = |from: End, code: u32| Peers::new().get(1, "/a").send(from, frame(RST_STREAM, 0, 1, code.to_be_bytes()));
    assert_eq!(reset(Server, 7).brief(&[]), ["GET error=REFUSED_STREAM"]);
    assert_eq!(reset(Client, 8).brief(&[]), ["GET error=request_cancelled"]);
    assert_eq!(reset(Server, 99).brief(&[]), ["GET error=_OTHER"]);
    let call = |from: End, code: u32| Peers::new().call(1, "/s/m", &[]).send(from, frame(RST_STREAM, 0, 1, code.to_be_bytes()));
    assert_eq!(call(Server, 7).brief(RPC), ["s/m UNAVAILABLE error=UNAVAILABLE"]);
    assert_eq!(call(Client, 8).brief(RPC), ["s/m CANCELLED error=CANCELLED"]);
    assert_eq!(call(Client, 8).at_server().brief(RPC), ["s/m CANCELLED"]);
}

#[test]
fn a_deadline_that_passed_is_told_from_a_cancel() {
    let given_up = |after: u64| {
        let mut peers = Peers::new().call(1, "/s/m", &[("grpc-timeout", "200m")]);
        peers.talk = peers.talk.wait(Duration::from_millis(after));
        peers.send(Client, frame(RST_STREAM, 0, 1, 8u32.to_be_bytes()))
    };
    assert_eq!(given_up(200).brief(RPC), ["s/m DEADLINE_EXCEEDED error=DEADLINE_EXCEEDED"]);
    assert_eq!(given_up(20).brief(RPC), ["s/m CANCELLED error=CANCELLED"]);
    assert_eq!(given_up(200).at_server().brief(RPC), ["s/m DEADLINE_EXCEEDED error=DEADLINE_EXCEEDED"]);
}

#[test]
fn goaway_refuses_what_is_above_its_stream_and_leaves_the_rest() {
    let goaway = frame(GOAWAY, 0, 0, [0, 0, 0, 1, 0, 0, 0, 0, b'b', b'y', b'e']);
    let peers = Peers::new().get(1, "/1").get(3, "/2").call(5, "/s/m", &[]).send(Server, goaway).ok(1, "200");
    assert_eq!(peers.brief(&[]), ["s/m error=UNAVAILABLE", "GET error=REFUSED_STREAM", "GET"]);
}

#[test]
fn unanswered_calls_end_with_their_connection_or_their_time() {
    let open = || Peers::new().get(1, "/1").answer(1, END_HEADERS, &[(":status", "200")]).get(3, "/2");
    let closed = |how: Close| open().talk.close(how).run().brief(&[]);
    assert_eq!(closed(Close::ResetByRemote), ["GET error=connection_reset"; 2]);
    assert_eq!(closed(Close::Unobserved), ["GET incomplete=end_inferred", "GET incomplete=response_lost"]);
    assert_eq!(open().talk.fin(Server).close(Close::Fin).run().brief(&[]), ["GET error=connection_closed"; 2]);
    let waited = open().talk.wait(Duration::from_secs(400)).tick().run();
    assert_eq!(waited.brief(&[]), ["GET error=timeout", "GET incomplete=end_inferred"]);
}

#[test]
fn all_kinds_of_streaming_are_one_call_each() {
    let message = |stream: u32, flags: u8| frame(DATA, flags, stream, b"\0\0\0\0\x01m");
    let mut peers = Peers::new();
    let grpc = [("content-type", "application/grpc")];
    let up = peers.request(1, END_HEADERS, "/s/Up", &grpc);
    let both = peers.request(3, END_HEADERS, "/s/Both", &grpc);
    let peers = peers
        .send(Client, up)
        .send(Client, message(1, 0))
        .send(Client, both)
        .answer(3, END_HEADERS, &[(":status", "200"), ("content-type", "application/grpc")])
        .send(Client, [message(3, 0), message(1, END_STREAM)].concat())
        .send(Server, message(3, 0))
        .grpc_ok(1)
        .send(Client, message(3, END_STREAM))
        .answer(3, ALL, &[("grpc-status", "0")]);
    let outcome = peers.talk.run();
    assert_eq!(outcome.brief(RPC), ["s/Up OK", "s/Both OK"]);
    let sizes = outcome.exchanges.iter().map(|e| (e.request.body_bytes, e.response.unwrap().body_bytes)).collect::<Vec<_>>();
    assert_eq!(sizes, [(Some(12), Some(7)), (Some(12), Some(6))]);
}

#[test]
fn the_status_of_grpc_web_is_in_the_body() {
    let body = b"\0\0\0\0\x02yo\x80\0\0\0\x10grpc-status: 3\r\n";
    let mut peers = Peers::new();
    let request = peers.request(1, ALL, "/s/m", &[("content-type", "application/grpc-web+proto")]);
    let peers = peers.send(Client, request).answer(1, END_HEADERS, &[(":status", "200"), ("content-type", "application/grpc-web+proto")]);
    let peers = peers.send(Server, frame(DATA, 0, 1, &body[..9])).send(Server, frame(DATA, END_STREAM, 1, &body[9..]));
    for split in [usize::MAX, 4, 1] {
        assert_eq!(peers.talk.clone().split(split).run().brief(RPC), ["s/m INVALID_ARGUMENT error=INVALID_ARGUMENT"]);
    }
}

#[test]
fn events_of_a_stream_are_counted_beside_other_streams() {
    let mut peers =
        Peers::new().get(1, "/events").get(3, "/").answer(1, END_HEADERS, &[(":status", "200"), ("content-type", "text/event-stream")]);
    peers = peers.send(Server, frame(DATA, 0, 1, b"data: one\n\ndata: t")).ok(3, "200");
    peers = peers.send(Server, frame(DATA, 0, 1, b"wo\n\n: ping\n\n")).send(Server, frame(DATA, END_STREAM, 1, b"data: 3\n\n")).at_server();
    for split in [usize::MAX, 4, 1] {
        let outcome = peers.talk.clone().split(split).run();
        assert_eq!((outcome.brief(HTTP), outcome.streams), (vec!["GET / 200".to_owned(), "GET /events 200".to_owned()], 1));
        assert_eq!(outcome.messages, [(3, 7), (0, 0)], "{split}");
    }
}

#[test]
fn a_request_that_was_upgraded_to_h2c_is_answered_on_stream_1() {
    let upgrade = "GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    let switching = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let mut peers = Peers::new();
    peers.talk = Talk::new().client(upgrade).server([&switching[..], &frame(SETTINGS, 0, 0, [])].concat());
    let peers = peers.send(Client, PREFACE).send(Client, frame(SETTINGS, 0, 0, [])).ok(1, "200").get(3, "/next").ok(3, "404").at_server();
    for split in [usize::MAX, 7, 1] {
        assert_eq!(peers.talk.clone().split(split).run().brief(HTTP), ["GET /up 200", "GET /next 404"]);
    }
    let alone = Talk::new().client(upgrade).server(switching).at_server();
    assert_eq!(alone.run().brief(HTTP), ["GET /up 101"]);
}

#[test]
fn an_extended_connect_is_one_request_as_long_as_it_lives() {
    let mut peers = Peers::new();
    let fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat"), (":authority", "h")];
    let request = frame(HEADERS, END_HEADERS, 1, peers.client.block(&fields));
    let peers = peers.send(Client, request).answer(1, END_HEADERS, &[(":status", "200")]).send(Server, frame(DATA, 0, 1, b"\x81\x02hi"));
    let peers = peers.send(Client, frame(DATA, END_STREAM, 1, b"\x88\0")).send(Server, frame(DATA, END_STREAM, 1, b"\x88\0")).at_server();
    let keys = [s::URL_PATH, s::HTTP_RESPONSE_STATUS_CODE, s::REMORA_HTTP_UPGRADE];
    assert_eq!(peers.brief(&keys), ["CONNECT /chat 200 websocket"]);
}

#[test]
fn joined_midway_unknown_values_are_marked_and_later_ones_known() {
    let before = Peers::new().get(1, "/known-before").ok(1, "204").call(3, "/s/Old", &[]).grpc_ok(3);
    let peers = before
        .joined_here()
        .get(5, "/known-before")
        .ok(5, "200")
        .get(7, "/new")
        .ok(7, "404")
        .get(9, "/new")
        .ok(9, "404")
        .call(11, "/s/Old", &[])
        .grpc_ok(11)
        .at_server();
    for port in [80, 4000] {
        let outcome = peers.talk.clone().port(port).run();
        assert_eq!(outcome.protocol, Some("http/2"));
        assert_eq!(
            outcome.brief(HTTP),
            [
                "GET - 200 incomplete=request_lost",
                "GET /new 404 incomplete=request_lost",
                "GET /new 404 incomplete=request_lost",
                "grpc - - incomplete=request_lost,response_lost"
            ]
        );
    }
}

#[test]
fn after_a_loss_frames_and_header_values_are_found_again() {
    let mut peers = Peers::new().get(1, "/1").ok(1, "200");
    let missed = peers.request(3, ALL, "/missed", &[]);
    let peers = peers.lost(Client, missed).ok(3, "201").get(5, "/missed").ok(5, "202").get(7, "/7").ok(7, "203").at_server();
    let outcome = peers.talk.run();
    assert_eq!(outcome.brief(HTTP), ["GET /1 200", "GET - 202 incomplete=request_lost", "GET /7 203 incomplete=request_lost"]);
    assert_eq!((outcome.lost(Loss::Hole), outcome.lost(Loss::Orphan)), (1, 1));
}

#[test]
fn an_answer_that_was_lost_is_no_error() {
    let mut peers = Peers::new().get(1, "/1").get(3, "/2");
    let missed = peers.response(1, ALL, &[(":status", "200"), ("x", "y")]);
    let cancel = frame(RST_STREAM, 0, 1, 8u32.to_be_bytes());
    let peers = peers.lost(Server, missed).send(Client, cancel).ok(3, "200").at_server();
    assert_eq!(peers.brief(HTTP), ["GET /1 - incomplete=response_lost", "GET /2 200"]);
}

#[test]
fn a_call_whose_reset_may_have_been_lost_did_not_time_out() {
    let mut peers = Peers::new().get(1, "/1").lost(Client, frame(RST_STREAM, 0, 1, 8u32.to_be_bytes()));
    peers.talk = peers.talk.wait(Duration::from_secs(400)).tick().at_server();
    assert_eq!(peers.brief(HTTP), ["GET /1 - incomplete=response_lost"]);
}

#[test]
fn bodies_need_not_be_captured() {
    let mut peers = Peers::new().get(1, "/1").answer(1, END_HEADERS, &[(":status", "200")]);
    let data = frame(DATA, END_STREAM, 1, vec![0; 16_000]);
    let from = peers.talk.sent(Server);
    let trailing = peers.response(3, ALL, &[(":status", "204")]);
    let mut peers = peers.get(3, "/2").send(Server, [data, trailing].concat()).at_server();
    peers.talk = peers.talk.lose(Server, from + 9..from + 16_000);
    let outcome = peers.talk.run();
    assert_eq!(outcome.brief(HTTP), ["GET /1 200", "GET /2 204"]);
    assert!(outcome.losses.is_empty());
    assert_eq!(outcome.exchanges[0].response.unwrap().body_bytes, Some(16_000));
}

/// The kernel sends at least two packets in one segment (`tcp_min_tso_segs`), which loopback's are the largest of.
const LARGEST_SEGMENT: usize = 2 * 65_483;

#[test]
fn large_answers_side_by_side_hide_no_frame_in_what_capture_takes_of_a_segment() {
    let streams = [1, 3, 5, 7];
    let mut peers = streams.iter().fold(Peers::new().merged(), |peers, stream| peers.call(*stream, "/shop.Cart/Get", &[]));
    let before = peers.talk.sent(Server);
    for stream in streams {
        peers = peers.answer(stream, END_HEADERS, &[(":status", "200"), ("content-type", "application/grpc")]);
    }
    for part in 0..7 {
        let data = |peers: Peers, stream: &u32| peers.send(Server, frame(DATA, 0, *stream, vec![b'd'; 16_384 - part * 100]));
        peers = streams.iter().fold(peers, data);
    }
    for stream in streams {
        peers = peers.answer(stream, ALL, &[("grpc-status", "0")]);
    }
    let mut talk = peers.flush().talk.split(LARGEST_SEGMENT);
    let Amount::Segment(taken) = super::DESCRIPTOR.capture.server else { panic!("frames lie in the middle of segments") };
    for at in (before..talk.sent(Server)).step_by(LARGEST_SEGMENT) {
        let end = talk.sent(Server).min(at + LARGEST_SEGMENT as u64);
        talk = talk.lose(Server, at.saturating_add(u64::from(taken)).min(end)..end);
    }
    let outcome = talk.run();
    assert_eq!(outcome.brief(RPC), ["shop.Cart/Get OK"; 4]);
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
}

#[test]
fn a_head_that_was_cut_keeps_what_was_captured() {
    let mut peers = Peers::new();
    let long = "x".repeat(30_000);
    let request = peers.request(1, ALL, "/cut", &[("x-long", &long), ("content-type", "text/plain")]);
    let from = peers.talk.sent(Client);
    let mut peers = peers.send(Client, &request).ok(1, "200").get(3, "/next").ok(3, "201").at_server();
    peers.talk = peers.talk.lose(Client, from + 2000..from + request.len() as u64);
    assert_eq!(peers.brief(HTTP), ["POST /cut 200 incomplete=request_lost", "GET /next 201"]);
}

#[test]
fn more_streams_than_the_limit_are_counted_and_memory_is_bounded() {
    let mut peers = Peers::new();
    peers.talk = peers.talk.options(Options { in_flight_limit: 10, ..Options::default() });
    for i in 0..25 {
        peers = peers.get(2 * i + 1, "/a");
    }
    let peers = (0..25).fold(peers, |peers, i| peers.ok(2 * i + 1, "200"));
    let outcome = peers.talk.run();
    assert_eq!((outcome.exchanges.len(), outcome.lost(Loss::InFlight), outcome.lost(Loss::Orphan)), (10, 15, 0));
}

#[test]
fn endless_continuations_are_cut() {
    let mut peers = Peers::new();
    let block = peers.client.block(&[(":method", "GET"), (":scheme", "http"), (":path", "/endless"), (":authority", "h")]);
    peers = peers.send(Client, frame(HEADERS, END_STREAM, 1, block));
    for _ in 0..100 {
        let filler = [&[0x00, 1, b'a', 0x7f, 0xdf, 0x1c][..], &vec![b'b'; 3_722]].concat();
        peers = peers.send(Client, frame(CONTINUATION, 0, 1, filler));
    }
    let peers = peers.send(Client, frame(CONTINUATION, END_HEADERS, 1, [])).ok(1, "431").get(3, "/next").ok(3, "200").at_server();
    let outcome = peers.talk.run();
    assert_eq!(outcome.brief(HTTP), ["GET /endless 431 incomplete=request_lost", "GET /next 200"]);
    assert_eq!(outcome.lost(Loss::Oversized), 1);
    assert!(outcome.held < 256 * 1024);
}

#[test]
fn other_protocols_are_left_alone() {
    for (client, server) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ("*1\r\n$4\r\nPING\r\n", "+PONG\r\n"),
        ("\0\0\0\x08\x04\u{2}\u{16}/", "N"),
        ("\0\0\0\x1e\0\x03\0\0\0\0\0\x01\0\x0aconsumer-1", "\0\0\0\x08\0\0\0\x01\0\0\0\0"),
        ("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", ""),
        ("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
    ] {
        for talk in [Talk::new(), Talk::new().midway(), Talk::new().midway().role_unknown()] {
            let outcome = talk.port(50051).client(client).server(server).client(client).server(server).run();
            assert_ne!(outcome.protocol, Some("http/2"), "{client:?}");
        }
    }
}

// ---- captures of real programs

macro_rules! fixture {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../../../../../tests/fixtures/http2/", $name)).as_slice(),
            include_str!(concat!("../../../../../tests/fixtures/http2/", $name, ".tshark")),
        )
    };
}

const CAPTURES: [(&str, &[u8], &str); 5] = [
    fixture!("curl-nginx.pcap"),
    fixture!("go.pcap"),
    fixture!("grpcio.pcap"),
    fixture!("h2load-nginx.pcap"),
    fixture!("upgrade-nghttpx.pcap"),
];

fn observed(file: &[u8], role: Role) -> Outcome {
    let mut flow = Flow::new(Limits::default(), Options::default());
    let mut outcome = Outcome::default();
    replay(file, role, &mut flow, &mut outcome).expect("the file is whole");
    outcome
}

/// Method and path, or what is called, with the status.
fn ours(outcome: &Outcome) -> Vec<String> {
    let line = |e: &crate::model::Exchange| {
        let text = |key| e.attrs.str(key).unwrap_or("-").to_owned();
        match e.family {
            Family::Rpc => format!("/{} {}", text(s::RPC_METHOD), text(s::RPC_RESPONSE_STATUS_CODE)),
            _ => {
                let status = e.attrs.int(s::HTTP_RESPONSE_STATUS_CODE).map_or("-".to_owned(), |code| code.to_string());
                format!("{} {} {status}", text(s::HTTP_REQUEST_METHOD), text(s::URL_PATH))
            }
        }
    };
    let mut lines: Vec<String> = outcome.exchanges.iter().map(line).collect();
    lines.sort();
    lines
}

/// The same from `connection|stream|method|path|status|grpc-status` lines. A call that its client cancelled has no status.
fn theirs(lines: &str) -> Vec<String> {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split('|').collect();
        let [_, _, method, path, status, code] = fields[..] else { panic!("{line}") };
        let path = path.split('?').next().unwrap_or_default();
        match (path.starts_with("/test.Echo/"), code) {
            (true, "-") => format!("{path} CANCELLED"),
            (true, code) => format!("{path} {}", crate::proto::grpc::Code::parse(code.as_bytes()).unwrap().name()),
            (false, _) => format!("{method} {path} {status}"),
        }
    };
    let mut lines: Vec<String> = lines.lines().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn captures_of_real_programs_agree_with_tshark() {
    for (name, file, expected) in CAPTURES {
        let outcome = observed(file, Role::Server);
        // What came before an upgrade is HTTP/1, which this dissector does not show.
        let expected = expected.replace("|1|-|-|", "|1|GET|/a|");
        assert_eq!(ours(&outcome), theirs(&expected), "{name}");
        assert!(outcome.losses.is_empty(), "{name}: {:?}", outcome.losses);
        assert_eq!(observed(file, Role::Client).exchanges.len(), outcome.exchanges.len(), "{name}");
    }
}

#[test]
fn deadlines_and_trace_contexts_of_real_calls_are_read() {
    let outcome = observed(CAPTURES[2].1, Role::Client);
    let contexts = outcome.exchanges.iter().filter_map(|exchange| exchange.context).count();
    assert_eq!(contexts, 8);
    let errors: Vec<String> = outcome.exchanges.iter().filter_map(|exchange| exchange.error.clone()).collect();
    assert_eq!(errors, ["NOT_FOUND", "UNKNOWN", "UNIMPLEMENTED", "DEADLINE_EXCEEDED", "CANCELLED"]);
}

// ---- properties

#[derive(Clone, Debug)]
struct Turn {
    path: u8,
    is_rpc: bool,
    status: u16,
    code: u8,
    body: usize,
    late: bool,
    end: TurnEnd,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum TurnEnd {
    Answer,
    Interim,
    Reset(End, u32),
    Never,
}

fn turn_end() -> impl Strategy<Value = TurnEnd> {
    prop_oneof![
        5 => Just(TurnEnd::Answer),
        1 => Just(TurnEnd::Interim),
        1 => (any::<bool>(), 0u32..14).prop_map(|(client, code)| TurnEnd::Reset(if client { Client } else { Server }, code)),
        1 => Just(TurnEnd::Never),
    ]
}

fn turn() -> impl Strategy<Value = Turn> {
    (0u8..6, any::<bool>(), 200u16..600, 0u8..17, 0usize..600, any::<bool>(), turn_end())
        .prop_map(|(path, is_rpc, status, code, body, late, end)| Turn { path, is_rpc, status, code, body, late, end })
}

/// Calls one after the other; late ones are answered after the one behind them.
fn talk(turns: &[Turn], is_merged: bool) -> Talk {
    let mut peers = if is_merged { Peers::new().merged() } else { Peers::new() };
    let mut waiting = None;
    for (i, turn) in turns.iter().enumerate() {
        let stream = 2 * i as u32 + 1;
        let path = format!("/svc/{}", turn.path);
        let timeout: &[(&str, &str)] = if turn.late { &[("grpc-timeout", "1m")] } else { &[] };
        peers = if turn.is_rpc { peers.call(stream, &path, timeout) } else { peers.get(stream, &path) };
        let before = waiting.take();
        if turn.late {
            waiting = Some((stream, turn));
        } else {
            peers = answer(peers, stream, turn);
        }
        if let Some((stream, turn)) = before {
            peers = answer(peers, stream, turn);
        }
    }
    match waiting {
        Some((stream, turn)) => answer(peers, stream, turn),
        None => peers,
    }
    .flush()
    .talk
    .at_server()
}

fn answer(peers: Peers, stream: u32, turn: &Turn) -> Peers {
    let (status, code) = (turn.status.to_string(), turn.code.to_string());
    let peers = match turn.end {
        TurnEnd::Answer => peers,
        TurnEnd::Interim => peers.answer(stream, END_HEADERS, &[(":status", "103"), ("link", "x")]),
        TurnEnd::Reset(from, code) => return peers.send(from, frame(RST_STREAM, 0, stream, code.to_be_bytes())),
        TurnEnd::Never => return peers,
    };
    let fields: &[(&str, &str)] =
        if turn.is_rpc { &[(":status", "200"), ("content-type", "application/grpc")] } else { &[(":status", &status)] };
    let peers = peers.answer(stream, END_HEADERS, fields);
    let data = frame(DATA, if turn.is_rpc { 0 } else { END_STREAM }, stream, vec![b'd'; turn.body]);
    let peers = peers.send(Server, data);
    if turn.is_rpc { peers.answer(stream, ALL, &[("grpc-status", &code)]) } else { peers }
}

/// Call key and what may be missing in part, and must never be another.
fn facts(outcome: &Outcome) -> Vec<(u32, [Option<String>; 5])> {
    let fact = |e: &crate::model::Exchange| {
        let text = |key| e.attrs.str(key).map(str::to_owned);
        let path = text(s::URL_PATH).or(text(s::RPC_METHOD).map(|method| format!("/{method}")));
        let status = e.attrs.int(s::HTTP_RESPONSE_STATUS_CODE).map(|code| code.to_string());
        // A call that was not seen to be gRPC has the status of HTTP, which is 200.
        let status = status.filter(|status| e.family == Family::Http && status != "200");
        let sizes = e.request.body_bytes.map(|n| n.to_string());
        (e.call.expect("seen").seq, [path, status, text(s::RPC_RESPONSE_STATUS_CODE), e.error.clone(), sizes])
    };
    outcome.exchanges.iter().map(fact).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_exchanges(turns in proptest::collection::vec(turn(), 1..8), is_merged in any::<bool>(), split in 1usize..200) {
        let whole = talk(&turns, is_merged).run();
        prop_assert_eq!(whole.exchanges.len(), turns.len());
        prop_assert!(whole.losses.is_empty());
        let parts = talk(&turns, is_merged).split(split).run();
        prop_assert_eq!(parts.full(), whole.full());
    }

    #[test]
    fn any_holes_give_a_subset_of_the_exchanges(
        turns in proptest::collection::vec(turn(), 2..10),
        is_merged in any::<bool>(),
        how in prop_oneof![Just(Close::Fin), Just(Close::Unobserved), Just(Close::ResetByRemote)],
        split in 20usize..400,
        holes in parts(400),
    ) {
        let run = talk(&turns, is_merged).close(how).run();
        let missing = |outcome: &Outcome| outcome.exchanges.iter().filter(|e| e.completeness.request_lost || e.completeness.response_lost).count();
        let (whole, lost) = (facts(&run), missing(&run));
        let mut holed = talk(&turns, is_merged).close(how).split(split);
        for (end, share, len) in holes {
            // Where a stream begins is known by the first byte that is seen of it.
            let from = 1 + (holed.sent(end) as f64 * share) as u64;
            holed = holed.lose(end, from..from + len);
        }
        let run = holed.run();
        prop_assert!(missing(&run) <= lost || !run.losses.is_empty(), "lost and not counted: {:?}", run.brief(RPC));
        for (seq, parts) in facts(&run) {
            let same = whole.iter().find(|(other, _)| *other == seq);
            let (_, all) = same.ok_or_else(|| TestCaseError::fail(format!("{parts:?} is no exchange of the whole")))?;
            for (part, all) in parts.iter().zip(all) {
                // An error whose kind is not known is one of some kind.
                let is_vague = part.as_deref() == Some(s::ERROR_OTHER) && all.is_some();
                prop_assert!(part.is_none() || part == all || is_vague, "{:?} for {:?}", part, all);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        pieces in proptest::collection::vec((any::<bool>(), prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            (0u8..11, any::<u8>(), 0u32..6, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, payload)),
            (1u32..9).prop_map(|stream| frame(HEADERS, ALL, stream, [0x82, 0x86, 0x84, 0x41, 1, b'h'])),
            (1u32..9, 0x88u8..0x8f, any::<u8>()).prop_map(|(stream, status, flags)| frame(HEADERS, flags, stream, [status])),
        ], 0u64..20), 0..40),
        midway in any::<bool>(),
    ) {
        let start = Peers::new().talk;
        let talk = pieces.into_iter().fold(if midway { start.midway() } else { start }, |talk, (client, bytes, hole)| {
            let end = if client { Client } else { Server };
            let talk = talk.piece(end, bytes);
            if hole > 15 { talk.hole(end, hole) } else { talk }
        });
        let outcome = talk.run();
        prop_assert!(outcome.held < 512 * 1024);
    }
}
