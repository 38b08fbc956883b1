//! Conversations of memcached clients and servers.

use crate::flow::Loss;
use crate::model::semconv as s;
use crate::model::{Close, Key};
use crate::proto::End::{Client, Server};
use crate::testkit::{Outcome, Talk, parts};
use proptest::prelude::*;
use std::time::Duration;

const STATUS: &[Key] = &[s::DB_RESPONSE_STATUS_CODE];
const TEXT: &[Key] = &[s::DB_QUERY_TEXT];
const ROWS: &[Key] = &[s::DB_OPERATION_BATCH_SIZE, s::DB_RESPONSE_RETURNED_ROWS];

fn status(request: impl AsRef<[u8]>, response: impl AsRef<[u8]>) -> Vec<String> {
    Talk::new().client(request).server(response).run().brief(STATUS)
}

#[test]
fn a_command_has_the_attributes_of_the_conventions() {
    let talk = Talk::new().client("set user:17 0 60 5\r\nhello\r\n").server("STORED\r\n");
    assert_eq!(
        talk.run().full(),
        ["memcached Client set db.system.name=memcached db.operation.name=set db.query.text=set user:? ? \
          call=1000/5000/\"set user:17 0 60\" request=0-0ms,5B response=1-1ms,?B"]
    );
    assert_eq!(talk.at_server().run().full()[0].split(' ').nth(1), Some("Server"));
}

#[test]
fn a_multi_get_is_one_span_with_its_keys_and_values_counted() {
    let values = "VALUE a 0 3\r\nEND\r\nVALUE c 0 5 77\r\nhello\r\nEND\r\n";
    let talk = Talk::new().client("gets a b:1 c\r\n").server(values).client("get x\r\n").server("END\r\n");
    assert_eq!(talk.run().brief(ROWS), ["gets 3 2", "get - 0"]);
    assert_eq!(talk.clone().split(1).run().full(), talk.run().full());
    assert_eq!(talk.run().brief(TEXT), ["gets gets a b:? c", "get get x"]);
    let many: String = (0..40).map(|_| " k").collect();
    let many = Talk::new().client(format!("get{many}\r\n")).server("END\r\n").run();
    assert_eq!(many.brief(TEXT), [format!("get get{} ...", " k".repeat(16))]);
}

#[test]
fn sets_of_any_size_are_seen() {
    for size in [1_100u64, 3_000, 5_000_000] {
        let talk = Talk::new().client(format!("set k 0 0 {size}\r\n")).hole(Client, size).client("\r\n").server("STORED\r\n");
        let talk = talk.client("get k\r\n").server(format!("VALUE k 0 {size}\r\n")).hole(Server, size).server("\r\nEND\r\n");
        let outcome = talk.run();
        assert_eq!(outcome.brief(STATUS), ["set -", "get -"]);
        assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
        assert_eq!(outcome.exchanges[0].request.body_bytes, Some(size));
    }
}

#[test]
fn outcomes_are_codes_and_only_failures_are_errors() {
    assert_eq!(status("add k 0 0 1\r\nx\r\n", "NOT_STORED\r\n"), ["add NOT_STORED"]);
    assert_eq!(status("cas k 0 0 1 7\r\nx\r\n", "EXISTS\r\n"), ["cas EXISTS"]);
    assert_eq!(status("delete k\r\n", "NOT_FOUND\r\n"), ["delete NOT_FOUND"]);
    assert_eq!(status("incr k 1\r\n", "8\r\n"), ["incr -"]);
    assert_eq!(status("incr k 1\r\n", "CLIENT_ERROR cannot increment\r\n"), ["incr CLIENT_ERROR error=CLIENT_ERROR"]);
    assert_eq!(status("set k 0 0 1\r\nx\r\n", "SERVER_ERROR out of memory\r\n"), ["set SERVER_ERROR error=SERVER_ERROR"]);
    assert_eq!(status("touch k 0\r\n", "TOUCHED\r\n"), ["touch -"]);
    assert_eq!(status("gat 100 k\r\n", "END\r\n"), ["gat -"]);
    assert_eq!(status("flush_all\r\n", "OK\r\n"), ["flush_all -"]);
    assert_eq!(status("version\r\n", "VERSION 1.6.18\r\n"), ["version -"]);
    assert_eq!(status("stats\r\n", "STAT pid 1\r\nSTAT uptime 5\r\nEND\r\n"), ["stats -"]);
}

#[test]
fn commands_without_reply_are_spans_and_shift_no_answers() {
    let talk = Talk::new().client("set a 0 0 1 noreply\r\nx\r\ndelete b noreply\r\nget a\r\n").server("VALUE a 0 1\r\nx\r\nEND\r\n");
    let outcome = talk.client("quit\r\n").fin(Client).close(Close::Fin).run();
    assert_eq!(outcome.brief(ROWS), ["set - -", "delete - -", "get - 1", "quit - -"]);
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
}

#[test]
fn meta_commands_are_read() {
    let talk = Talk::new().client("mg user:1 v t\r\n").server("VA 5 t-1\r\nhello\r\n").client("mg none v\r\n").server("EN\r\n");
    let talk =
        talk.client("ms k 3 T60\r\nabc\r\n").server("HD\r\n").client("md k\r\n").server("NF\r\n").client("ma n\r\n").server("HD\r\n");
    let talk = talk.client("mn\r\n").server("MN\r\n").client("me k\r\n").server("ME k exp=-1\r\n");
    let all = ["mg -", "mg EN", "ms -", "md NF", "ma -", "mn -", "me -"];
    assert_eq!(talk.run().brief(STATUS), all);
    assert_eq!(talk.split(1).run().brief(STATUS), all);
}

#[test]
fn quiet_meta_commands_have_their_own_answers_or_none() {
    let talk = Talk::new().client("mg a v q O1\r\nmg b v q O2\r\nmg c v q k\r\nmn\r\n").server("VA 1 O2\r\nx\r\nMN\r\n");
    let outcome = talk.run();
    assert_eq!(outcome.brief(ROWS), ["mg - -", "mg - 1", "mg - -", "mn - -"]);
    let unclear = Talk::new().client("mg a v q\r\nmg b v q\r\nmn\r\n").server("VA 1\r\nx\r\nMN\r\n").run();
    assert_eq!(unclear.brief(STATUS), ["mg - incomplete=response_lost", "mg - incomplete=response_lost", "mn -"]);
}

/// A packet of the binary protocol.
fn packet(magic: u8, opcode: u8, status: u16, opaque: u32, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = u32::try_from(extras.len() + key.len() + value.len()).expect("short");
    let mut out = vec![magic, opcode];
    out.extend(u16::try_from(key.len()).expect("short").to_be_bytes());
    out.extend([u8::try_from(extras.len()).expect("short"), 0]);
    out.extend(status.to_be_bytes());
    out.extend(body.to_be_bytes());
    out.extend(opaque.to_be_bytes());
    out.extend([0; 8]);
    [out.as_slice(), extras, key, value].concat()
}

fn ask(opcode: u8, opaque: u32, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    packet(0x80, opcode, 0, opaque, extras, key, value)
}

fn say(opcode: u8, opaque: u32, status: u16, value: &[u8]) -> Vec<u8> {
    packet(0x81, opcode, status, opaque, &[], &[], value)
}

#[test]
fn binary_commands_are_read() {
    let talk = Talk::new().client(ask(0, 1, &[], b"user:9", &[])).server(packet(0x81, 0, 0, 1, &[0; 4], &[], b"hello"));
    let talk = talk.client(ask(0, 2, &[], b"none", &[])).server(say(0, 2, 1, b"Not found"));
    let talk = talk.client(ask(1, 3, &[0; 8], b"k", &[7; 3000])).server(say(1, 3, 0, &[]));
    let talk = talk.client(ask(5, 4, &[0; 20], b"k", &[])).server(say(5, 4, 6, b"Non-numeric"));
    let keys = &[s::DB_QUERY_TEXT, s::DB_RESPONSE_STATUS_CODE, s::DB_RESPONSE_RETURNED_ROWS];
    let all = ["get get user:? - 1", "get get none NOT_FOUND 0", "set set k ? - -", "incr incr k NON_NUMERIC - error=NON_NUMERIC"];
    assert_eq!(talk.run().brief(keys), all);
    assert_eq!(talk.clone().split(1).run().full(), talk.run().full());
}

#[test]
fn quiet_binary_commands_have_their_own_answers_or_none() {
    let asks = [ask(0x09, 1, &[], b"a", &[]), ask(0x09, 2, &[], b"b", &[]), ask(0x09, 3, &[], b"c", &[]), ask(0x0a, 4, &[], &[], &[])];
    let talk = Talk::new().client(asks.concat()).server([packet(0x81, 9, 0, 2, &[0; 4], &[], b"x"), say(0x0a, 4, 0, &[])].concat());
    let outcome = talk.run();
    assert_eq!(outcome.brief(ROWS), ["get - -", "get - 1", "get - -", "noop - -"]);
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
}

#[test]
fn statistics_are_one_binary_span() {
    let stat = |key: &[u8]| packet(0x81, 0x10, 0, 5, &[], key, b"1");
    let talk = Talk::new().client(ask(0x10, 5, &[], &[], &[])).server([stat(b"pid"), stat(b"time"), say(0x10, 5, 0, &[])].concat());
    let talk = talk.client(ask(0x0b, 6, &[], &[], &[])).server(say(0x0b, 6, 0, b"1.6"));
    assert_eq!(talk.run().brief(&[]), ["stats", "version"]);
}

#[test]
fn pipelined_commands_are_paired_in_order() {
    let talk = Talk::new().client("get a\r\n".repeat(100)).server("VALUE a 0 1\r\nx\r\nEND\r\n".repeat(99)).server("SERVER_ERROR x\r\n");
    let outcome = talk.split(7).run();
    assert_eq!(outcome.exchanges.len(), 100);
    assert_eq!(outcome.exchanges.iter().filter(|exchange| exchange.error.is_some()).count(), 1);
    assert_eq!(outcome.exchanges[99].error.as_deref(), Some("SERVER_ERROR"));
}

#[test]
fn a_lost_exchange_does_not_shift_the_answers() {
    let one = |i: u8| (format!("incr k{} 1\r\n", (b'a' + i) as char), ["1\r\n", "NOT_FOUND\r\n", "ERROR\r\n", "2\r\n"][usize::from(i)]);
    let talk = (0..4).map(one).fold(Talk::new(), |talk, (request, response)| talk.client(request).server(response));
    let (request, response) = (11, 3);
    let all = ["incr -", "incr NOT_FOUND", "incr ERROR error=ERROR", "incr -"];
    assert_eq!(talk.run().brief(STATUS), all);
    assert_eq!(talk.clone().lose(Client, request..2 * request).run().brief(STATUS), [all[0], all[2], all[3]]);
    let holed = talk.clone().lose(Server, response..response + 11).run().brief(STATUS);
    assert_eq!(holed, [all[0], "incr - incomplete=response_lost", all[2], all[3]]);
}

#[test]
fn a_connection_joined_midway_is_understood_from_the_next_command_on() {
    let talk = Talk::new().midway().role_unknown().server("rest of a value\r\nEND\r\n").client("get k\r\n").server("END\r\n");
    assert_eq!(talk.run().brief(&[]), ["get"]);
    let binary = Talk::new().midway().role_unknown().server([0u8; 30]).client(ask(0, 1, &[], b"k", &[])).server(say(0, 1, 1, b"no"));
    assert_eq!(binary.run().brief(&[]), ["get"]);
}

#[test]
fn requests_without_an_answer_say_why() {
    let end = |how| Talk::new().client("set k 0 0 1\r\nx\r\n").close(how).run().brief(&[]);
    assert_eq!(end(Close::ResetByRemote), ["set error=connection_reset"]);
    assert_eq!(end(Close::Unobserved), ["set incomplete=response_lost"]);
    let late = Talk::new().client("set k 0 0 1\r\nx\r\n").wait(Duration::from_secs(4000)).tick().server("STORED\r\n");
    assert_eq!(late.client("get k\r\n").server("END\r\n").run().brief(&[]), ["set error=timeout", "get"]);
}

#[test]
fn other_line_protocols_are_left_alone() {
    for (client, server) in [
        ("get key\r\n", "$5\r\nhello\r\n"),
        ("PING\r\n", "PONG\r\n"),
        ("quit\r\n", "221 bye\r\n"),
        ("stats\r\n", "500 unknown command\r\n"),
        ("put 1 0 60 5\r\nhello\r\n", "INSERTED 1\r\n"),
    ] {
        let outcome = Talk::new().port(11211).client(client).server(server).run();
        assert!(outcome.brief(STATUS).iter().all(|line| !line.ends_with(" -")), "{client}: {:?}", outcome.brief(STATUS));
    }
}

#[test]
fn malformed_bytes_are_counted_and_never_believed() {
    let talk = Talk::new()
        .client("set k 0 0 1\r\nx\r\n")
        .server("STORED\r\n")
        .client("bogus\r\n")
        .server("ERROR\r\n")
        .client("get k\r\n")
        .server("END\r\n");
    let outcome = talk.run();
    assert_eq!(outcome.brief(STATUS), ["set -", "get -"]);
    assert_eq!(outcome.lost(Loss::Malformed), 1);
}

#[derive(Clone, Debug)]
struct Turn {
    value: Vec<u8>,
    kind: u8,
}

impl Turn {
    fn request(&self, i: usize) -> Vec<u8> {
        let key = "x".repeat(i + 1);
        match self.kind {
            0 => [format!("set {key} 0 0 {}\r\n", self.value.len()).as_bytes(), &self.value, b"\r\n"].concat(),
            1 => [format!("add {key} 0 0 {} noreply\r\n", self.value.len()).as_bytes(), &self.value, b"\r\n"].concat(),
            2 => format!("ms {key} 2 T0\r\nhi\r\n").into_bytes(),
            _ => format!("get {key}\r\n").into_bytes(),
        }
    }

    fn reply(&self) -> Vec<u8> {
        match self.kind {
            0 => b"STORED\r\n".to_vec(),
            1 => Vec::new(),
            2 => b"NS\r\n".to_vec(),
            _ => [format!("VALUE k 0 {}\r\n", self.value.len()).as_bytes(), &self.value, b"\r\nEND\r\n"].concat(),
        }
    }
}

fn turn() -> impl Strategy<Value = Turn> {
    let value = prop_oneof![proptest::collection::vec(any::<u8>(), 0..200), Just(b"get fake\r\nEND\r\n".to_vec())];
    (value, 0u8..4).prop_map(|(value, kind)| Turn { value, kind })
}

fn talk(turns: &[Turn], depth: usize) -> Talk {
    let numbered: Vec<(usize, &Turn)> = turns.iter().enumerate().collect();
    numbered.chunks(depth).fold(Talk::new().port(11211), |talk, group| {
        let talk = talk.client(group.iter().flat_map(|(i, turn)| turn.request(*i)).collect::<Vec<u8>>());
        let replies: Vec<u8> = group.iter().flat_map(|(_, turn)| turn.reply()).collect();
        if replies.is_empty() { talk } else { talk.server(replies) }
    })
}

/// Call, text and code: what may be missing in part, and must never be another.
fn facts(outcome: &Outcome) -> Vec<(Option<u32>, String, Option<String>)> {
    let fact = |exchange: &crate::model::Exchange| {
        let text = |key| exchange.attrs.str(key).map(str::to_owned);
        (exchange.call.map(|call| call.seq), text(s::DB_QUERY_TEXT).unwrap_or_default(), text(s::DB_RESPONSE_STATUS_CODE))
    };
    outcome.exchanges.iter().map(fact).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_exchanges(turns in proptest::collection::vec(turn(), 1..8), depth in 1usize..5, split in 1usize..200) {
        let whole = talk(&turns, depth).run();
        prop_assert_eq!(whole.exchanges.len(), turns.len());
        prop_assert_eq!(talk(&turns, depth).split(split).run().full(), whole.full());
    }

    #[test]
    fn any_holes_give_a_subset_of_the_exchanges(
        turns in proptest::collection::vec(turn(), 2..10),
        split in 20usize..400,
        holes in parts(400),
    ) {
        let whole = facts(&talk(&turns, 1).run());
        let holed = talk(&turns, 1).split(split).lose_parts(holes);
        for (seq, text, code) in facts(&holed.run()) {
            let same = whole.iter().find(|(other, ..)| *other == seq);
            let (_, whole_text, whole_code) = same.ok_or_else(|| TestCaseError::fail(format!("{text} is no exchange of the whole")))?;
            prop_assert_eq!(&text, whole_text);
            prop_assert!(code.is_none() || code == *whole_code, "{:?} for {:?} of {}", code, whole_code, text);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        pieces in proptest::collection::vec((any::<bool>(), prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            "(get|set|mg|ms|delete|stats) [a-z]{1,3} [0-9]{0,3} ?[0-9]{0,3} ?[0-9]{0,20}( q)?\r\n".prop_map(String::into_bytes),
            "(VALUE a 0 |VA |END|STORED|HD|MN|ERROR)[0-9]{0,20}\r\n".prop_map(String::into_bytes),
            (any::<u8>(), 0u8..0x25, 0u16..3, 0u32..3).prop_map(|(magic, op, status, opaque)| packet(0x80 | magic & 1, op, status, opaque, &[], b"k", &[])),
        ], 0u64..20), 0..40),
        binary in any::<bool>(),
        midway in any::<bool>(),
    ) {
        let start = if binary { Talk::new().client(ask(0, 1, &[], b"k", &[])) } else { Talk::new().client("set k 0 0 1\r\nx\r\n") };
        let talk = pieces.into_iter().fold(if midway { start.midway() } else { start }, |talk, (client, bytes, hole)| {
            let end = if client { Client } else { Server };
            let talk = talk.piece(end, bytes);
            if hole > 15 { talk.hole(end, hole) } else { talk }
        });
        prop_assert!(talk.run().held < 512 * 1024);
    }
}
