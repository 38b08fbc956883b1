//! Conversations of MongoDB drivers and servers.

use super::compressed;
use crate::flow::Loss;
use crate::model::semconv as s;
use crate::model::{Close, Key};
use crate::proto::End::{Client, Server};
use crate::proto::Options;
use crate::testkit::{Outcome, Talk, parts};
use proptest::prelude::*;
use std::io::Write;
use std::time::Duration;

const STATUS: &[Key] = &[s::DB_RESPONSE_STATUS_CODE];
const TARGET: &[Key] = &[s::DB_NAMESPACE, s::DB_COLLECTION_NAME];
const TEXT: &[Key] = &[s::DB_QUERY_TEXT];

/// A BSON value, with its type.
enum B<'a> {
    Str(&'a str),
    Int(i32),
    Double(f64),
    Doc(Vec<u8>),
    Array(Vec<B<'a>>),
    Null,
}

fn element(out: &mut Vec<u8>, name: &str, value: &B<'_>) {
    let (kind, bytes) = match value {
        B::Double(n) => (1, n.to_le_bytes().to_vec()),
        B::Str(text) => (2, [&len(text.len() + 1), text.as_bytes(), &[0]].concat()),
        B::Doc(document) => (3, document.clone()),
        B::Array(items) => {
            let names: Vec<String> = (0..items.len()).map(|i| i.to_string()).collect();
            let pairs: Vec<(&str, &B<'_>)> = names.iter().map(String::as_str).zip(items).collect();
            (4, document(pairs.into_iter()))
        }
        B::Null => (10, Vec::new()),
        B::Int(n) => (16, n.to_le_bytes().to_vec()),
    };
    out.push(kind);
    out.extend(name.bytes());
    out.push(0);
    out.extend(bytes);
}

fn len(n: usize) -> [u8; 4] {
    u32::try_from(n).expect("short").to_le_bytes()
}

fn document<'a>(elements: impl Iterator<Item = (&'a str, &'a B<'a>)>) -> Vec<u8> {
    let mut inner = Vec::new();
    elements.for_each(|(name, value)| element(&mut inner, name, value));
    [&len(inner.len() + 5)[..], &inner, &[0]].concat()
}

fn doc(elements: &[(&str, B<'_>)]) -> Vec<u8> {
    document(elements.iter().map(|(name, value)| (*name, value)))
}

fn message(id: i32, response_to: i32, opcode: i32, rest: &[u8]) -> Vec<u8> {
    let numbers = [id.to_le_bytes(), response_to.to_le_bytes(), opcode.to_le_bytes()].concat();
    [&len(16 + rest.len())[..], &numbers, rest].concat()
}

/// OP_MSG with a body.
fn msg(id: i32, response_to: i32, flags: u32, body: &[u8]) -> Vec<u8> {
    message(id, response_to, 2013, &[&flags.to_le_bytes()[..], &[0], body].concat())
}

fn find(id: i32, collection: &str) -> Vec<u8> {
    let filter = doc(&[("name", B::Str("ann")), ("age", B::Doc(doc(&[("$gt", B::Int(21))])))]);
    msg(id, 0, 0, &doc(&[("find", B::Str(collection)), ("filter", B::Doc(filter)), ("limit", B::Int(5)), ("$db", B::Str("shop"))]))
}

fn ok(id: i32, response_to: i32) -> Vec<u8> {
    msg(id, response_to, 0, &doc(&[("ok", B::Double(1.0))]))
}

fn failed(id: i32, response_to: i32, code: i32) -> Vec<u8> {
    msg(id, response_to, 0, &doc(&[("ok", B::Double(0.0)), ("errmsg", B::Str("no")), ("code", B::Int(code)), ("codeName", B::Str("No"))]))
}

#[test]
fn a_command_has_the_attributes_of_the_conventions() {
    let talk = Talk::new().client(find(7, "users")).server(ok(1, 7));
    let line = talk.run().full().remove(0);
    assert!(
        line.starts_with(
            "mongodb Client find users db.system.name=mongodb db.operation.name=find db.namespace=shop db.collection.name=users \
             db.query.text={\"find\":\"users\",\"filter\":{\"name\":?,\"age\":{\"$gt\":?}},\"limit\":?} call=1000/5000/"
        ),
        "{line}"
    );
    assert!(line.ends_with(" request=0-0ms,97B response=1-1ms,22B"), "{line}");
    assert_eq!(talk.at_server().run().full()[0].split(' ').nth(1), Some("Server"));
}

#[test]
fn values_leave_the_parser_only_by_choice_and_secrets_never() {
    let text = |body: &[u8]| {
        let options = Options { raw_text: true, ..Options::default() };
        Talk::new().options(options).client(msg(1, 0, 0, body)).server(ok(2, 1)).run().brief(TEXT).remove(0)
    };
    let filter = doc(&[("name", B::Str("ann")), ("n", B::Array(vec![B::Int(1), B::Double(2.5), B::Null]))]);
    assert_eq!(
        text(&doc(&[("count", B::Str("c")), ("query", B::Doc(filter)), ("$db", B::Str("d"))])),
        "count c {\"count\":\"c\",\"query\":{\"name\":\"ann\",\"n\":[1,2.5,null]}}"
    );
    let login = doc(&[("saslStart", B::Int(1)), ("payload", B::Str("n,,n=u,r=x")), ("$db", B::Str("admin"))]);
    assert_eq!(text(&login), "saslStart {\"saslStart\":?,\"payload\":?}");
}

#[test]
fn arrays_of_like_values_are_written_once() {
    let ids = B::Array((0..500).map(B::Int).collect());
    let filter = doc(&[("_id", B::Doc(doc(&[("$in", ids)])))]);
    let talk = Talk::new().client(msg(1, 0, 0, &doc(&[("delete", B::Str("c")), ("q", B::Doc(filter)), ("$db", B::Str("d"))])));
    assert_eq!(talk.server(ok(2, 1)).run().brief(TEXT), ["delete c {\"delete\":\"c\",\"q\":{\"_id\":{\"$in\":[?]}}}"]);
}

#[test]
fn document_sequences_are_read_in_any_order() {
    let body = doc(&[("insert", B::Str("c")), ("ordered", B::Int(1)), ("$db", B::Str("d"))]);
    for n in [3, 1000] {
        let documents = doc(&[("x", B::Int(1))]).repeat(n);
        let sequence = [&len(4 + 10 + documents.len())[..], b"documents\0", &documents].concat();
        let body_first = [&[0; 5][..], &body, &[1], &sequence].concat();
        let body_last = [&[0; 4][..], &[1], &sequence, &[0], &body].concat();
        let with_checksum = [&[1, 0, 0, 0, 0][..], &body, &[1], &sequence, &[9; 4]].concat();
        for rest in [body_first, body_last, with_checksum] {
            let talk = Talk::new().client(message(1, 0, 2013, &rest)).server(ok(2, 1));
            let keys = &[s::DB_NAMESPACE, s::DB_OPERATION_BATCH_SIZE, s::DB_QUERY_TEXT];
            assert_eq!(talk.run().brief(keys), [format!("insert c d {n} {{\"insert\":\"c\",\"ordered\":?,\"documents\":[?]}}")]);
        }
    }
}

#[test]
fn large_messages_need_not_be_captured() {
    let body = doc(&[("insert", B::Str("c")), ("$db", B::Str("d"))]);
    let sequence = [&len(4 + 10 + 10_000_000)[..], b"documents\0"].concat();
    let rest = [&[0; 5][..], &body, &[1], &sequence].concat();
    let head = [&len(16 + rest.len() + 10_000_000)[..], &message(1, 0, 2013, &rest)[4..]].concat();
    let talk = Talk::new().client(head).hole(Client, 10_000_000).server(ok(2, 1)).client(find(3, "x")).server(ok(4, 3));
    let outcome = talk.run();
    assert_eq!(outcome.brief(TARGET), ["insert c d c", "find x shop x"]);
    assert_eq!(outcome.exchanges[0].attrs.int(s::DB_OPERATION_BATCH_SIZE), None, "how many were not captured is unknown");
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
}

#[test]
fn errors_are_their_codes() {
    let status = |reply: Vec<u8>| Talk::new().client(find(1, "c")).server(reply).run().brief(STATUS).remove(0);
    assert_eq!(status(failed(2, 1, 13)), "find c 13 error=13");
    let write_error = B::Array(vec![B::Doc(doc(&[("index", B::Int(0)), ("code", B::Int(11000))]))]);
    let reply = doc(&[("n", B::Int(0)), ("writeErrors", write_error), ("ok", B::Double(1.0))]);
    assert_eq!(status(msg(2, 1, 0, &reply)), "find c 11000 error=11000");
    let concern = doc(&[("n", B::Int(1)), ("writeConcernError", B::Doc(doc(&[("code", B::Int(64))]))), ("ok", B::Double(1.0))]);
    assert_eq!(status(msg(2, 1, 0, &concern)), "find c 64 error=64");
    assert_eq!(status(msg(2, 1, 0, &doc(&[("ok", B::Int(0))]))), "find c - error=_OTHER");
    assert_eq!(status(ok(2, 1)), "find c -");
}

#[test]
fn returned_documents_are_counted() {
    let batch = B::Array(vec![B::Doc(doc(&[])), B::Doc(doc(&[]))]);
    let cursor = doc(&[("id", B::Int(0)), ("ns", B::Str("shop.c")), ("firstBatch", batch)]);
    let talk = Talk::new().client(find(1, "c")).server(msg(2, 1, 0, &doc(&[("cursor", B::Doc(cursor)), ("ok", B::Double(1.0))])));
    assert_eq!(talk.run().brief(&[s::DB_RESPONSE_RETURNED_ROWS]), ["find c 2"]);
}

#[test]
fn the_target_is_a_collection_only_where_the_command_names_one() {
    let target = |body: &[u8]| Talk::new().client(msg(1, 0, 0, body)).server(ok(2, 1)).run().brief(TARGET).remove(0);
    assert_eq!(target(&doc(&[("getMore", B::Int(9)), ("collection", B::Str("c")), ("$db", B::Str("d"))])), "getMore c d c");
    assert_eq!(target(&doc(&[("aggregate", B::Int(1)), ("$db", B::Str("admin"))])), "aggregate admin -");
    assert_eq!(target(&doc(&[("dropUser", B::Str("ann")), ("$db", B::Str("d"))])), "dropUser d -");
    assert_eq!(target(&doc(&[("ping", B::Int(1)), ("$db", B::Str("admin"))])), "ping admin -");
}

#[test]
fn trace_context_is_read_from_comments() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let as_document = doc(&[("traceparent", B::Str(PARENT))]);
    let as_sql = format!("route='/x',traceparent='{PARENT}'");
    let as_json = format!("{{\"traceparent\": \"{PARENT}\"}}");
    for comment in [B::Doc(as_document), B::Str(&as_sql), B::Str(&as_json)] {
        let body = doc(&[("find", B::Str("c")), ("comment", comment), ("$db", B::Str("d"))]);
        let outcome = Talk::new().client(msg(1, 0, 0, &body)).server(ok(2, 1)).run();
        assert_eq!(outcome.exchanges[0].context.expect("context").parent.to_string(), "00f067aa0ba902b7");
        assert_eq!(outcome.brief(TEXT), ["find c {\"find\":\"c\"}"]);
    }
    let none = doc(&[("find", B::Str("c")), ("comment", B::Str("traceparent soon")), ("$db", B::Str("d"))]);
    assert_eq!(Talk::new().client(msg(1, 0, 0, &none)).server(ok(2, 1)).run().exchanges[0].context, None);
}

#[test]
fn messages_before_op_msg_are_read() {
    let query =
        |id: i32, namespace: &str, body: &[u8]| message(id, 0, 2004, &[&[0; 4][..], namespace.as_bytes(), &[0], &[0; 8], body].concat());
    let reply = |id: i32, response_to: i32, flags: u8, body: &[u8]| {
        message(id, response_to, 1, &[&[flags, 0, 0, 0][..], &[0; 12], &1i32.to_le_bytes(), body].concat())
    };
    let hello = doc(&[("isMaster", B::Int(1)), ("helloOk", B::Int(1))]);
    let talk =
        Talk::new().client(query(1, "admin.$cmd", &hello)).server(reply(5, 1, 8, &doc(&[("ismaster", B::Int(1)), ("ok", B::Double(1.0))])));
    let talk = talk.client(query(2, "d.c", &doc(&[("x", B::Int(1))]))).server(reply(
        6,
        2,
        2,
        &doc(&[("$err", B::Str("no")), ("code", B::Int(50))]),
    ));
    let insert = message(3, 0, 2002, &[&[0; 4][..], b"d.c\0", &doc(&[("x", B::Int(1))])].concat());
    let outcome = talk.client(insert).client(find(4, "x")).server(ok(7, 4)).run();
    let keys = &[s::DB_NAMESPACE, s::DB_RESPONSE_STATUS_CODE];
    assert_eq!(outcome.brief(keys), ["isMaster admin -", "find c d 50 error=50", "insert c d -", "find x shop -"]);
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
}

#[test]
fn unacknowledged_requests_wait_for_no_answer() {
    let body = doc(&[("insert", B::Str("c")), ("$db", B::Str("d"))]);
    let talk = Talk::new().client([msg(1, 0, 2, &body), msg(2, 0, 2, &body), find(3, "c")].concat()).server(ok(4, 3));
    let outcome = talk.run();
    assert_eq!(outcome.brief(&[]), ["insert c", "insert c", "find c"]);
    assert_eq!(outcome.exchanges.iter().map(|exchange| exchange.response.is_some()).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn streamed_replies_belong_to_one_request() {
    let hello = doc(&[("hello", B::Int(1)), ("maxAwaitTimeMS", B::Int(10_000)), ("$db", B::Str("admin"))]);
    let more = |id, to| msg(id, to, 2, &doc(&[("ok", B::Double(1.0))]));
    let talk =
        Talk::new().client(msg(1, 0, 1 << 16, &hello)).server(more(50, 1)).server(more(51, 50)).server(more(52, 51)).server(ok(53, 52));
    let outcome = talk.client(find(2, "c")).server(ok(54, 2)).run();
    assert_eq!(outcome.brief(&[]), ["hello", "find c"]);
    assert!(outcome.losses.is_empty(), "{:?}", outcome.losses);
}

#[test]
fn a_server_that_waits_for_news_is_not_late() {
    let hello = doc(&[("hello", B::Int(1)), ("maxAwaitTimeMS", B::Int(10_000)), ("$db", B::Str("admin"))]);
    let late = |request: Vec<u8>| Talk::new().client(request).wait(Duration::from_secs(4000)).tick().server(ok(2, 1)).run().brief(&[]);
    assert_eq!(late(msg(1, 0, 1 << 16, &hello)), ["hello"]);
    assert_eq!(late(find(1, "c")), ["find c error=timeout"]);
}

/// `plain` as OP_COMPRESSED by compressor `id`.
fn pack(plain: &[u8], id: u8, packed: &[u8]) -> Vec<u8> {
    let number = |at: usize| i32::from_le_bytes(plain[at..at + 4].try_into().expect("four"));
    message(number(4), number(8), 2012, &[&plain[12..16], &len(plain.len() - 16), &[id], packed].concat())
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(&plain[16..]).expect("memory");
    pack(plain, 2, &encoder.finish().expect("memory"))
}

fn zstandard(plain: &[u8]) -> Vec<u8> {
    pack(plain, 3, &zstd::bulk::compress(&plain[16..], 3).expect("memory"))
}

/// Snappy of literals only, and of one copy at the end.
fn snappy(plain: &[u8]) -> Vec<u8> {
    let data = &plain[16..];
    let mut packed = Vec::new();
    let mut n = data.len();
    while n >= 0x80 {
        packed.push(n as u8 | 0x80);
        n >>= 7;
    }
    packed.push(n as u8);
    for part in data.chunks(60) {
        packed.push(((part.len() - 1) << 2) as u8);
        packed.extend(part);
    }
    pack(plain, 1, &packed)
}

#[test]
fn compressed_messages_are_read() {
    for wrap in [zlib, zstandard, snappy, |plain: &[u8]| pack(plain, 0, &plain[16..])] {
        let talk = Talk::new().client(wrap(&find(1, "users"))).server(wrap(&failed(2, 1, 26)));
        assert_eq!(talk.run().brief(TARGET), ["find users shop users error=26"]);
        assert_eq!(talk.clone().split(1).run().full(), talk.run().full());
    }
    let broken = Talk::new().client(pack(&find(1, "users"), 3, b"what is this?")).server(ok(2, 1)).run();
    assert_eq!(broken.brief(TARGET), ["mongodb - - incomplete=request_lost"]);
    assert_eq!(broken.lost(Loss::Malformed), 1);
}

#[test]
fn decompression_is_bounded_and_takes_what_is_there() {
    let zeros = vec![0u8; 50_000_000];
    let mut out = Vec::new();
    let bomb = zstd::bulk::compress(&zeros, 19).expect("memory");
    compressed::start(3, &bomb, 1000, &mut out).unwrap_or_default();
    assert!(out.len() <= 1000 && out.capacity() < 100_000);
    let text: Vec<u8> = (0..20_000u32).flat_map(|n| n.to_string().into_bytes()).collect();
    let packed = zstd::bulk::compress(&text, 3).expect("memory");
    compressed::start(3, &packed, 5000, &mut out).expect("whole");
    assert_eq!(out, text[..5000]);
    // RFC-less: the examples of snappy's format description.
    compressed::start(1, &[12, 0b0000_1100, b'a', b'b', b'c', b'd', 0b0001_0001, 4], 100, &mut out).expect("copy");
    assert_eq!(out, b"abcdabcdabcd"[..12]);
    assert_eq!(compressed::start(1, &[5, 0b0000_0001, 9], 100, &mut out), None);
}

#[test]
fn answers_out_of_order_find_their_requests() {
    let talk = Talk::new().client([find(1, "a"), find(2, "b"), find(3, "c")].concat()).server(failed(9, 3, 3)).server(failed(8, 1, 1));
    assert_eq!(talk.server(failed(7, 2, 2)).run().brief(STATUS), ["find c 3 error=3", "find a 1 error=1", "find b 2 error=2"]);
}

#[test]
fn a_lost_exchange_does_not_shift_the_answers() {
    let talk = (1..=4).fold(Talk::new(), |talk, i| talk.client(find(i, "c")).server(failed(i, i, i)));
    let (request, response) = (find(1, "c").len() as u64, failed(1, 1, 1).len() as u64);
    let all = ["find c 1 error=1", "find c 2 error=2", "find c 3 error=3", "find c 4 error=4"];
    assert_eq!(talk.run().brief(STATUS), all);
    assert_eq!(talk.clone().lose(Client, request..2 * request).run().brief(STATUS), [all[0], all[2], all[3]]);
    let holed = talk.clone().lose(Server, response..2 * response).run().brief(STATUS);
    assert_eq!(holed, [all[0], "find c - incomplete=response_lost", all[2], all[3]]);
    let cut = talk.lose(Client, request + 60..request + 90).run().brief(TARGET);
    assert_eq!(cut[1], "find c - c error=2 incomplete=request_lost");
    assert_eq!(cut.len(), 4);
}

#[test]
fn a_connection_joined_midway_is_understood_from_the_next_message_on() {
    let talk = Talk::new().midway().role_unknown().server("tail of a document").client(find(2, "c")).server(ok(3, 2));
    assert_eq!(talk.run().brief(&[]), ["find c"]);
    let reply_first = Talk::new().midway().role_unknown().server(ok(9, 8)).client(find(2, "c")).server(ok(3, 2));
    assert_eq!(reply_first.run().brief(&[]), ["find c"]);
}

#[test]
fn requests_without_an_answer_say_why() {
    let end = |how| Talk::new().client(find(1, "c")).close(how).run().brief(&[]);
    assert_eq!(end(Close::ResetByRemote), ["find c error=connection_reset"]);
    assert_eq!(end(Close::TimedOut), ["find c error=timeout"]);
    assert_eq!(end(Close::Unobserved), ["find c incomplete=response_lost"]);
}

fn requests() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>)>> {
    let turn = ("[a-z]{1,8}", "[ -~]{0,300}", any::<bool>(), 0u8..4);
    proptest::collection::vec(turn, 1..8).prop_map(|turns| {
        let turn = |(i, (collection, value, fails, packing)): (usize, (String, String, bool, u8))| {
            let id = i32::try_from(i).expect("few") + 1;
            let body = doc(&[("find", B::Str(&collection)), ("filter", B::Doc(doc(&[("v", B::Str(&value))]))), ("$db", B::Str("d"))]);
            let wrap = [|plain: &[u8]| plain.to_vec(), zlib, zstandard, snappy][usize::from(packing)];
            let reply = if fails { failed(id + 100, id, id) } else { ok(id + 100, id) };
            (wrap(&msg(id, 0, 0, &body)), wrap(&reply))
        };
        turns.into_iter().enumerate().map(turn).collect()
    })
}

fn talk(turns: &[(Vec<u8>, Vec<u8>)], depth: usize) -> Talk {
    turns.chunks(depth).fold(Talk::new(), |talk, group| {
        let talk = talk.client(group.iter().flat_map(|(request, _)| request.clone()).collect::<Vec<u8>>());
        talk.server(group.iter().rev().flat_map(|(_, reply)| reply.clone()).collect::<Vec<u8>>())
    })
}

/// Call, target and error: what may be missing in part, and must never be another.
fn facts(outcome: &Outcome) -> Vec<(Option<u32>, Option<String>, Option<String>)> {
    let fact = |exchange: &crate::model::Exchange| {
        let collection = exchange.attrs.str(s::DB_COLLECTION_NAME).map(str::to_owned);
        (exchange.call.map(|call| call.seq), collection, exchange.error.clone())
    };
    outcome.exchanges.iter().map(fact).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same_exchanges(turns in requests(), depth in 1usize..4, split in 1usize..200) {
        let whole = talk(&turns, depth).run();
        prop_assert_eq!(whole.exchanges.len(), turns.len());
        prop_assert_eq!(talk(&turns, depth).split(split).run().full(), whole.full());
    }

    #[test]
    fn any_holes_give_a_subset_of_the_exchanges(
        turns in requests(),
        depth in 1usize..4,
        split in 20usize..400,
        holes in parts(400),
    ) {
        let whole = facts(&talk(&turns, depth).run());
        let holed = talk(&turns, depth).split(split).lose_parts(holes);
        for (seq, collection, error) in facts(&holed.run()) {
            let same = whole.iter().find(|(other, ..)| *other == seq);
            let (_, whole_collection, whole_error) = same.ok_or_else(|| TestCaseError::fail("no exchange of the whole"))?;
            prop_assert!(collection.is_none() || collection == *whole_collection);
            // A reply that was cut may tell that it is an error, and not which.
            let error = error.filter(|error| error != s::ERROR_OTHER || whole_error.is_none());
            prop_assert!(error.is_none() || error == *whole_error);
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        pieces in proptest::collection::vec((any::<bool>(), prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            (any::<i32>(), -1i32..3, prop_oneof![Just(1), 2001i32..2014], proptest::collection::vec(any::<u8>(), 0..80)).prop_map(|(id, to, op, rest)| message(id, to, op, &rest)),
            (any::<i32>(), -1i32..3, 0u32..4, proptest::collection::vec(any::<u8>(), 0..80)).prop_map(|(id, to, flags, rest)| msg(id, to, flags, &[&len(rest.len() + 5)[..], &rest, &[0]].concat())),
        ], 0u64..20), 0..40),
        midway in any::<bool>(),
    ) {
        let start = Talk::new().client(find(1, "c"));
        let talk = pieces.into_iter().fold(if midway { start.midway() } else { start }, |talk, (client, bytes, hole)| {
            let end = if client { Client } else { Server };
            let talk = talk.piece(end, bytes);
            if hole > 15 { talk.hole(end, hole) } else { talk }
        });
        prop_assert!(talk.run().held < 512 * 1024);
    }

    #[test]
    fn arbitrary_compressed_bytes_do_no_harm(id in 0u8..5, data in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut out = Vec::new();
        compressed::start(id, &data, 1000, &mut out).unwrap_or_default();
        prop_assert!(out.len() <= 1000);
    }
}
